//! Limits of access tokens and share links. Each is an uplink of its own, in whose places all those
//! are who watch with it, and a session has as many as its token comes from.

use std::collections::BTreeMap;

use porthole_signaling_proto::SessionId;
use porthole_signaling_proto::method::RateCap;

use crate::congestion::{Shown, Uplink};

/// The limits of all sessions that have some.
#[derive(Debug, Default)]
pub(super) struct Caps {
    /// The viewers below each limit, by its name. There is none without a session.
    limits: BTreeMap<String, Uplink<SessionId>>,
    /// The names of the limits of each session, [`RateCap::MAX`] at most.
    of_sessions: BTreeMap<SessionId, Vec<String>>,
}

impl Caps {
    /// Notes the limits of a session that begins. What is said of a limit last counts for all.
    pub(super) fn add(&mut self, id: &SessionId, caps: &[RateCap]) {
        let caps = caps.get(..RateCap::MAX).unwrap_or(caps);
        if caps.is_empty() {
            return;
        }
        for RateCap { of, max_kbit_per_s } in caps {
            let cap = Some(u64::from(*max_kbit_per_s) * 1000);
            self.limits.entry(of.clone()).or_insert_with(|| Uplink::new(cap)).set_cap(cap);
        }
        let names = caps.iter().map(|cap| cap.of.clone()).collect();
        self.of_sessions.insert(id.clone(), names);
    }

    /// Returns true if a session has a limit.
    pub(super) fn bind(&self, id: &SessionId) -> bool {
        self.of_sessions.contains_key(id)
    }

    /// Returns the sessions that have a limit.
    pub(super) fn sessions(&self) -> impl Iterator<Item = &SessionId> {
        self.of_sessions.keys()
    }

    /// Notes what is shown to a viewer.
    pub(super) fn show(&mut self, id: &SessionId, shown: Shown) {
        for name in self.of_sessions.get(id).into_iter().flatten() {
            if let Some(limit) = self.limits.get_mut(name) {
                limit.show(id, shown);
            }
        }
    }

    /// Notes that nothing can be sent to a viewer now.
    pub(super) fn hide(&mut self, id: &SessionId) {
        for name in self.of_sessions.get(id).into_iter().flatten() {
            if let Some(limit) = self.limits.get_mut(name) {
                limit.remove(id);
            }
        }
    }

    /// Forgets a session, and the limits that no other session has.
    pub(super) fn remove(&mut self, id: &SessionId) {
        self.hide(id);
        let Some(names) = self.of_sessions.remove(id) else { return };
        for name in names {
            if !self.of_sessions.values().any(|others| others.contains(&name)) {
                self.limits.remove(&name);
            }
        }
    }

    /// Returns the bits per second that the limits leave for a viewer; `None` without a limit.
    pub(super) fn left(&self, id: &SessionId) -> Option<u64> {
        let names = self.of_sessions.get(id)?.iter();
        names.filter_map(|name| self.limits.get(name)?.left(id)).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::congestion::{Rates, Rung};

    fn id(name: &str) -> SessionId {
        name.parse().unwrap()
    }

    fn caps(names: &[(&str, u32)]) -> Vec<RateCap> {
        let cap = |(of, rate): &(&str, u32)| RateCap { of: (*of).into(), max_kbit_per_s: *rate };
        names.iter().map(cap).collect()
    }

    fn shows(rung: Rung) -> Shown {
        let rates = Rates { main: 4_000_000, sub: 500_000 };
        Shown { rung, rates, is_fixed: false }
    }

    #[test]
    fn a_limit_is_for_all_that_have_it_and_the_least_of_several_counts() {
        let mut all = Caps::default();
        for (name, limits) in [
            ("s1", &[("link", 6000)][..]),
            ("s2", &[("link", 6000)]),
            ("s3", &[("token", 1000), ("first", 9000)]),
            ("s4", &[("first", 9000)]),
            ("s5", &[]),
        ] {
            all.add(&id(name), &caps(limits));
            assert_eq!(all.left(&id(name)), None, "{name} is not shown anything yet");
            all.show(&id(name), shows(Rung::Main));
        }
        // What is left for each in kbit/s: `s1` sees the main stream, so `s2` has the rest, and
        // what others see does not count.
        for (name, expected) in [
            ("s1", Some(5425)),
            ("s2", Some(1800)),
            ("s3", Some(1000)),
            ("s4", Some(4800)),
            ("s5", None),
        ] {
            let left = all.left(&id(name)).map(|left| left / 1000);
            assert_eq!(left, expected, "{name}");
            assert_eq!(all.bind(&id(name)), expected.is_some(), "{name}");
        }
        all.hide(&id("s1"));
        assert_eq!(all.left(&id("s2")), Some(6_000_000), "nothing is sent to the other");
    }

    #[test]
    fn nothing_is_kept_of_a_limit_when_its_last_session_has_ended() {
        let mut all = Caps::default();
        for name in ["s1", "s2"] {
            all.add(&id(name), &caps(&[("link", 1000), ("token", 2000), ("more", 1)]));
            all.show(&id(name), shows(Rung::Sub));
        }
        assert_eq!(all.limits.len(), RateCap::MAX, "no session has more");
        // What is said last counts for all.
        all.add(&id("s3"), &caps(&[("link", 700)]));
        assert_eq!(all.limits["link"].cap(), Some(700_000));
        for (name, left) in [("s1", 2), ("s2", 1), ("s4", 1), ("s3", 0)] {
            all.remove(&id(name));
            assert_eq!(all.limits.len(), left, "without {name}");
        }
        assert_eq!(all.sessions().count(), 0);
    }
}
