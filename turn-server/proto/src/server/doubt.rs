//! Time-limited credentials whose end suggests that two clocks differ: that of this server, and
//! that of the server which made the credentials.

use std::time::{Duration, Instant};

use porthole_clock::Now;

use super::{Output, Server};

/// Shortest time between two [`Output::DoubtfulCredential`] of one kind; in between they are only
/// counted.
pub(super) const DOUBT_INTERVAL: Duration = Duration::from_secs(600);
/// Remaining lifetime above which credentials are doubtful. Signaling servers grant minutes, at
/// most a day (draft-uberti-behave-turn-rest-00 §2.2).
pub(super) const LONGEST_LIFETIME_S: u64 = 2 * 24 * 60 * 60;

/// The reason to doubt the end of time-limited credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Doubt {
    /// Credentials that are signed rightly but have expired; the request is refused.
    Expired,
    /// Credentials that end days from now; the request is served.
    FarFuture,
}

impl Doubt {
    /// Every reason, in the order of the counters.
    pub const ALL: [Self; 2] = [Self::Expired, Self::FarFuture];

    /// Returns the name for labels of metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::FarFuture => "far_future",
        }
    }
}

/// The times of the last outputs of each kind.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    expired: Option<Instant>,
    far_future: Option<Instant>,
}

impl Doubts {
    /// Returns true if there was no output of this kind within [`DOUBT_INTERVAL`], and notes one.
    fn is_due(&mut self, doubt: Doubt, now: Instant) -> bool {
        let last = match doubt {
            Doubt::Expired => &mut self.expired,
            Doubt::FarFuture => &mut self.far_future,
        };
        let due = last.is_none_or(|last| last + DOUBT_INTERVAL <= now);
        if due {
            *last = Some(now);
        }
        due
    }
}

impl Server {
    /// Counts credentials whose end is doubtful, and tells the driver from time to time.
    pub(super) fn doubt(&mut self, now: Now, doubt: Doubt, expiry_s: u64) {
        self.counters.count_doubt(doubt);
        if self.doubts.is_due(doubt, now.instant) {
            self.outputs.push_back(Output::DoubtfulCredential {
                doubt,
                expiry_s,
                now_s: now.unix_s,
            });
        }
    }
}
