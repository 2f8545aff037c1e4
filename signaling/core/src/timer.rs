//! Deadlines, in order. One that has become pointless stays and fires for nothing.

use crate::ConnId;
use porthole_signaling_proto::{GatewayId, SessionId};
use std::{collections::BTreeMap, time::Instant};

#[derive(Debug, Clone)]
pub(crate) enum Timer {
    /// It should have registered by now.
    Register(ConnId),
    /// Its credential may have ended.
    Credential(ConnId),
    /// It should have answered this request by now.
    Request(ConnId, i64),
    /// The session may have ended.
    Session(SessionId),
    /// The session's client may have been away for too long.
    ClientAway(SessionId),
    /// The gateway may have been away for too long.
    GatewayAway(GatewayId),
    /// Clients may be told of cameras again.
    Cameras,
}

#[derive(Debug, Default)]
pub(crate) struct Timers {
    due: BTreeMap<(Instant, u64), Timer>,
    count: u64,
}

impl Timers {
    pub(crate) fn add(&mut self, at: Instant, timer: Timer) {
        self.count += 1;
        self.due.insert((at, self.count), timer);
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.due.keys().next().map(|(at, _)| *at)
    }

    pub(crate) fn pop(&mut self, now: Instant) -> Option<Timer> {
        let first = self.due.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }
}
