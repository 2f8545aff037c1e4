//! The time as a driver passes it to a core: [`Now`], two clocks read at one moment.
//!
//! Architecture invariant: this crate reads no clock. Drivers do, and tests move theirs by
//! [`Now::after`].

#![warn(missing_docs)]

use std::time::{Duration, Instant};

/// One moment on both clocks of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// The monotonic clock, which never jumps: for deadlines, rates and idle times.
    pub instant: Instant,
    /// The wall clock in seconds since 1970, UTC: for what outlives a restart or is compared with
    /// other machines, such as credentials, tokens and nonces.
    pub unix_s: u64,
}

impl Now {
    /// Returns the moment `time` after this one. The wall clock moves by whole seconds; the rest
    /// of `time` is dropped from it.
    #[must_use]
    pub fn after(self, time: Duration) -> Self {
        Self { instant: self.instant + time, unix_s: self.unix_s + time.as_secs() }
    }
}
