//! The fast path on other systems: not available.

use std::convert::Infallible;
use std::net::IpAddr;

use porthole_turn_proto::server::RelayId;

use super::{Channel, Deadlines, FastPathStatus, RelayedTraffic};

/// A fast path, which cannot exist here.
#[derive(Clone, Debug)]
pub(crate) struct FastPath(Infallible);

/// Warns if the settings ask for a fast path.
pub(crate) fn start(interfaces: &[String], _local: &[IpAddr]) -> Option<FastPath> {
    if !interfaces.is_empty() {
        tracing::warn!("TURN channels are relayed by sockets: only Linux has a fast path");
    }
    None
}

/// Returns a state of zeros.
pub(crate) fn status(_: Option<&FastPath>) -> FastPathStatus {
    let reasons = ["expired", "interface", "checksum", "ttl", "mtu", "room"];
    FastPathStatus { interfaces: 0, fallbacks: reasons.map(|reason| (reason, 0)) }
}

#[derive(Debug)]
pub(crate) struct Channels(Infallible);

impl Channels {
    pub(crate) fn new(fast_path: &FastPath) -> Self {
        match fast_path.0 {}
    }

    pub(crate) fn install(&mut self, _: &Channel, _: Deadlines) -> Result<(), Infallible> {
        match self.0 {}
    }

    pub(crate) fn remove(&mut self, _: RelayId, _: u16) -> Option<RelayedTraffic> {
        match self.0 {}
    }

    pub(crate) fn collect(&mut self) -> Vec<RelayedTraffic> {
        match self.0 {}
    }

    pub(crate) fn clear(&mut self) {
        match self.0 {}
    }

    pub(crate) fn len(&self) -> usize {
        match self.0 {}
    }
}
