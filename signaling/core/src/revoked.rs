//! The credentials that were revoked lately. A request that was authenticated just before, and goes
//! on just after, must not start anything with them.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Time a revoked credential is remembered: longer than any request takes from its authentication
/// to its effect (10 s for the body, 5 s for a lock of the database).
const REMEMBERED: Duration = Duration::from_secs(60);
/// The most that are remembered; beyond it, the oldest are forgotten.
const MAX_REMEMBERED: usize = 4096;

/// The credentials that were revoked lately, in the order of time.
#[derive(Debug, Default)]
pub(crate) struct Revoked {
    recent: VecDeque<Revocation>,
}

#[derive(Debug)]
struct Revocation {
    at: Instant,
    credential: String,
    /// The number of sessions that it has ended.
    sessions: usize,
}

impl Revoked {
    /// Notes that a credential was revoked, which has ended so many sessions. Returns how many it
    /// has ended together with what was noted before.
    pub(crate) fn add(&mut self, now: Instant, credential: &str, sessions: usize) -> usize {
        let before = self.recent.iter().find(|other| other.credential == credential);
        let sessions = sessions + before.map_or(0, |before| before.sessions);
        self.recent.retain(|other| other.at + REMEMBERED > now && other.credential != credential);
        if self.recent.len() >= MAX_REMEMBERED {
            self.recent.pop_front();
        }
        let credential = credential.to_owned();
        self.recent.push_back(Revocation { at: now, credential, sessions });
        sessions
    }

    /// Returns true if a credential was revoked lately.
    pub(crate) fn has(&self, credential: &str) -> bool {
        self.recent.iter().any(|revoked| revoked.credential == credential)
    }

    /// Forgets that a credential was revoked, because it is valid again: a gateway that has
    /// enrolled once more.
    pub(crate) fn forget(&mut self, credential: &str) {
        self.recent.retain(|revoked| revoked.credential != credential);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revoked_credential_is_remembered_for_a_while() {
        let (start, mut revoked) = (Instant::now(), Revoked::default());
        assert_eq!(revoked.add(start, "token:1", 2), 2);
        assert_eq!(revoked.add(start, "token:1", 1), 3, "told once more");
        revoked.add(start + Duration::from_secs(50), "token:2", 0);
        assert!(revoked.has("token:1") && revoked.has("token:2") && !revoked.has("token:3"));
        revoked.add(start + REMEMBERED, "token:3", 0);
        assert!(!revoked.has("token:1") && revoked.has("token:2"));
        revoked.forget("token:2");
        assert!(!revoked.has("token:2"));
        for number in 0..MAX_REMEMBERED {
            revoked.add(start + REMEMBERED, &format!("token:{}", 10 + number), 0);
        }
        assert_eq!(revoked.recent.len(), MAX_REMEMBERED);
        assert!(!revoked.has("token:3"));
    }
}
