//! Limits on what gateways send for access tokens and share links.
//!
//! A token has the limit that it was given, and shares the one of the first token with a limit that
//! it comes from: what tokens give each other never adds up to more than the first may have.

use porthole_signaling_proto::method;

use super::Principal;
use crate::SessionKey;

/// A limit on what each gateway sends, at a time, for all sessions of a token or link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateCap {
    /// The credential that has the limit.
    pub of: String,
    /// The limit in kbit/s.
    pub kbit_per_s: u32,
}

impl RateCap {
    /// Returns the limit as a gateway is told of it, which need not know whose it is.
    pub(crate) fn sealed(&self, key: &SessionKey) -> method::RateCap {
        method::RateCap { of: key.stand_in(&self.of), max_kbit_per_s: self.kbit_per_s }
    }
}

impl Principal {
    /// Returns the principal with a limit of its own.
    pub(super) fn with_own_cap(self, kbit_per_s: Option<u32>) -> Self {
        let of = self.credential().to_owned();
        match kbit_per_s {
            Some(kbit_per_s) => self.with_cap(RateCap { of, kbit_per_s }),
            None => self,
        }
    }

    /// Returns the principal with one more limit: that of a token from which it comes.
    #[must_use]
    pub fn with_cap(mut self, cap: RateCap) -> Self {
        self.caps.push(cap);
        self
    }

    /// Returns the limits on what is sent for it.
    pub fn caps(&self) -> &[RateCap] {
        &self.caps
    }

    /// Returns the least of its limits in kbit/s; `None` without one.
    pub fn max_kbit_per_s(&self) -> Option<u32> {
        self.caps.iter().map(|cap| cap.kbit_per_s).min()
    }
}
