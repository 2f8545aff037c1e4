//! Deadlines in the order they expire. Timers are never cancelled: a handler checks that its
//! timer still means something.

use std::collections::BTreeMap;
use std::time::Instant;

use porthole_signaling_proto::{GatewayId, SessionId};

use crate::ConnId;

#[derive(Debug, Clone)]
pub(crate) enum Timer {
    /// The time by which a connection must have registered.
    Register(ConnId),
    /// The expiry of a connection's credential.
    Credential(ConnId),
    /// The time by which a peer must have answered a request.
    Request(ConnId, i64),
    /// The time by which a gateway must have said something in an exchange, by its connection and
    /// the number of the request there.
    Exchange(ConnId, i64),
    /// The end of a session's lifetime.
    Session(SessionId),
    /// The end of the time a disconnected client has to take its session up again.
    ClientAway(SessionId),
    /// The end of the time a disconnected gateway has to come back to its sessions.
    GatewayAway(GatewayId),
    /// The earliest time at which clients may get another list of cameras.
    Cameras,
}

/// Pending timers; those with the same deadline fire in the order they were added.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    pending: BTreeMap<(Instant, u64), Timer>,
    count: u64,
}

impl Timers {
    pub(crate) fn add(&mut self, at: Instant, timer: Timer) {
        self.count += 1;
        self.pending.insert((at, self.count), timer);
    }

    /// Returns the earliest deadline.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.pending.keys().next().map(|(at, _)| *at)
    }

    /// Removes and returns the earliest timer that is due.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<Timer> {
        let first = self.pending.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }
}
