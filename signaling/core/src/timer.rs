//! Deadlines in the order they expire. Each is there once: setting it again moves it, so that
//! nothing that is repeated piles up. A handler checks that its timer still means something.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use porthole_signaling_proto::{GatewayId, SessionId};

use crate::ConnId;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
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
    /// The time at which a TURN user of this user or token, without a session, may have to end.
    TurnUsers(String),
    /// The earliest time at which clients may get another list of cameras.
    Cameras,
}

/// A time, and a number that tells timers with the same time apart.
type Place = (Instant, u64);

/// Pending timers; those with the same deadline fire in the order they were set.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    pending: BTreeMap<Place, Timer>,
    places: HashMap<Timer, Place>,
    count: u64,
}

impl Timers {
    /// Sets a timer, or moves it if it is set already.
    pub(crate) fn set(&mut self, at: Instant, timer: Timer) {
        self.cancel(&timer);
        self.count += 1;
        self.places.insert(timer.clone(), (at, self.count));
        self.pending.insert((at, self.count), timer);
    }

    pub(crate) fn cancel(&mut self, timer: &Timer) {
        if let Some(place) = self.places.remove(timer) {
            self.pending.remove(&place);
        }
    }

    /// Returns the earliest deadline.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.pending.keys().next().map(|(at, _)| *at)
    }

    /// Removes and returns the earliest timer that is due.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<Timer> {
        let first = self.pending.first_entry()?;
        let timer = (first.key().0 <= now).then(|| first.remove())?;
        self.places.remove(&timer);
        Some(timer)
    }
}

#[cfg(test)]
impl Timers {
    /// Returns the number of timers that are set.
    pub(crate) fn len(&self) -> usize {
        assert_eq!(self.pending.len(), self.places.len());
        self.pending.len()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_timer_that_is_set_again_is_moved() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let session = |id: &str| Timer::Session(id.parse().unwrap());
        let mut timers = Timers::default();
        for (seconds, id) in [(1, "a"), (2, "b"), (3, "a"), (3, "c"), (4, "d")] {
            timers.set(at(seconds), session(id));
        }
        timers.cancel(&session("d"));
        timers.cancel(&session("e"));
        assert_eq!((timers.len(), timers.next()), (3, Some(at(2))));
        for (seconds, expected) in
            [(1, None), (3, Some("b")), (3, Some("a")), (3, Some("c")), (9, None)]
        {
            assert_eq!(timers.pop(at(seconds)), expected.map(session), "{seconds}");
        }
        assert_eq!(timers.len(), 0);
    }
}
