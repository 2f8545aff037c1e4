//! Other systems: there is none.

use std::convert::Infallible;
use std::net::IpAddr;

use porthole_turn_proto::server::RelayId;

use super::{Channel, FastPathStatus, Share, Until};

/// Cannot be had.
#[derive(Clone, Debug)]
pub(crate) struct FastPath(Infallible);

pub(crate) fn start(interfaces: &[String], _local: &[IpAddr]) -> Option<FastPath> {
    if !interfaces.is_empty() {
        tracing::warn!("TURN channels are relayed by sockets: only Linux has a fast path");
    }
    None
}

/// Nothing.
pub(crate) fn status(_: Option<&FastPath>) -> FastPathStatus {
    let reasons = ["expired", "interface", "checksum", "ttl", "mtu", "room"];
    FastPathStatus { interfaces: 0, left_to_sockets: reasons.map(|reason| (reason, 0)) }
}

#[derive(Debug)]
pub(crate) struct Channels(Infallible);

impl Channels {
    pub(crate) fn new(fast_path: &FastPath) -> Self {
        match fast_path.0 {}
    }

    pub(crate) fn install(&mut self, _: &Channel, _: Until) -> Result<(), Infallible> {
        match self.0 {}
    }

    pub(crate) fn remove(&mut self, _: RelayId, _: u16) -> Option<Share> {
        match self.0 {}
    }

    pub(crate) fn collect(&mut self) -> Vec<Share> {
        match self.0 {}
    }

    pub(crate) fn clear(&mut self) {
        match self.0 {}
    }

    pub(crate) fn len(&self) -> usize {
        match self.0 {}
    }
}
