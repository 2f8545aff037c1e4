//! Sessions: who watches what, counted by viewer and by gateway.

mod session;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::{Duration, Instant};

use porthole_clock::Now;
use porthole_signaling_proto::rpc::{Fault, code};
use porthole_signaling_proto::{GatewayId, SessionId};

use crate::sessions::session::ViewerKey;
use crate::{Admitted, ConnId, Limits};

pub(crate) use session::{Session, Viewer, WhepViewer};

/// Age at which a session that its gateway does not report is removed: longer than `connect` or a
/// viewer's offer may take.
const MIN_REPORTED_AGE: Duration = Duration::from_secs(20);
/// Time a session has to find a path before it may have to make room for another of its viewer:
/// longer than most that succeed need.
const START_TIME: Duration = Duration::from_secs(5);

/// The sessions of all viewers. Each is counted for its gateway and, unless its client is away, for
/// its viewer.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    all: HashMap<SessionId, Session>,
    /// The sessions of each connected client, and of each token or user over WHEP; never empty.
    by_viewer: HashMap<ViewerKey, BTreeSet<SessionId>>,
    /// The sessions of each gateway; never empty.
    by_gateway: HashMap<GatewayId, BTreeSet<SessionId>>,
}

impl Sessions {
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn get(&self, id: &SessionId) -> Option<&Session> {
        self.all.get(id)
    }

    pub(crate) fn get_mut(&mut self, id: &SessionId) -> Option<&mut Session> {
        self.all.get_mut(id)
    }

    /// Returns a WHEP session. Only its owner learns that it exists.
    pub(crate) fn of_owner(&self, sender: &Admitted, id: &SessionId) -> Option<&Session> {
        let owner = sender.owner_of_session();
        let session = self.all.get(id).filter(|session| Some(session.subject()) == owner);
        session.filter(|session| session.whep().is_some())
    }

    /// Checks that the viewer of a session may have one more. If it has as many as it may have,
    /// returns the session that has to make room: the oldest that has found no path for
    /// [`START_TIME`], since players that give up do not always say so.
    ///
    /// # Errors
    /// [`code::INSUFFICIENT_RESOURCES`] if none can make room.
    pub(crate) fn make_room(
        &self,
        session: &Session,
        limits: &Limits,
    ) -> Result<Option<SessionId>, Fault> {
        let of_viewer = session.viewer_key().and_then(|key| self.by_viewer.get(&key));
        let Some(of_viewer) = of_viewer.filter(|all| all.len() >= limits.sessions_per_client)
        else {
            return Ok(None);
        };
        let stuck = self.oldest_stuck(of_viewer, session.started_at());
        let full = || full("too many sessions of this client; close some");
        stuck.ok_or_else(full).map(Some)
    }

    /// Returns the oldest of these sessions whose gateway says that it has not found a path, unless
    /// it has begun within [`START_TIME`].
    fn oldest_stuck(&self, ids: &BTreeSet<SessionId>, now: Instant) -> Option<SessionId> {
        let sessions = ids.iter().filter_map(|id| Some((id, self.all.get(id)?)));
        let stuck = sessions.filter(|(_, session)| {
            session.is_starting() && session.started_at() + START_TIME <= now
        });
        stuck.min_by_key(|(_, session)| session.started_at()).map(|(id, _)| id.clone())
    }

    /// Adds a session under an id that no other has.
    ///
    /// # Errors
    /// [`code::INSUFFICIENT_RESOURCES`] if its gateway has as many as it may have.
    pub(crate) fn add(
        &mut self,
        id: SessionId,
        session: Session,
        limits: &Limits,
    ) -> Result<(), Fault> {
        let of_gateway = self.by_gateway.get(session.gateway());
        if of_gateway.is_some_and(|all| all.len() >= limits.sessions_per_gateway) {
            return Err(full("too many sessions of this gateway; try again later"));
        }
        self.by_gateway.entry(session.gateway().clone()).or_default().insert(id.clone());
        if let Some(key) = session.viewer_key() {
            self.by_viewer.entry(key).or_default().insert(id.clone());
        }
        self.all.insert(id, session);
        Ok(())
    }

    pub(crate) fn remove(&mut self, id: &SessionId) -> Option<Session> {
        let session = self.all.remove(id)?;
        if let Some(of_gateway) = self.by_gateway.get_mut(session.gateway()) {
            of_gateway.remove(id);
            if of_gateway.is_empty() {
                self.by_gateway.remove(session.gateway());
            }
        }
        self.remove_from_viewer(session.viewer_key(), id);
        Some(session)
    }

    fn remove_from_viewer(&mut self, key: Option<ViewerKey>, id: &SessionId) {
        let Some(key) = key else { return };
        if let Some(sessions) = self.by_viewer.get_mut(&key) {
            sessions.remove(id);
            if sessions.is_empty() {
                self.by_viewer.remove(&key);
            }
        }
    }

    /// Returns the sessions of a gateway, in the order of their ids.
    pub(crate) fn of_gateway(&self, gateway: &GatewayId) -> Vec<SessionId> {
        self.by_gateway.get(gateway).into_iter().flatten().cloned().collect()
    }

    /// Returns the sessions that were started or extended with this credential, in the order of
    /// their ids.
    pub(crate) fn of_credential(&self, credential: &str) -> Vec<SessionId> {
        let uses_credential =
            |session: &Session| session.granted().principal().credential() == credential;
        let sessions = self.all.iter().filter(|(_, session)| uses_credential(session));
        let mut ids: Vec<SessionId> = sessions.map(|(id, _)| id.clone()).collect();
        // A hash map iterates in a different order each time.
        ids.sort();
        ids
    }

    /// Notes that a client has disconnected. Returns its sessions, which go on.
    pub(crate) fn detach_client(&mut self, now: Now, conn: ConnId) -> Vec<SessionId> {
        let ids = self.by_viewer.remove(&ViewerKey::Client(conn)).unwrap_or_default();
        for id in &ids {
            if let Some(session) = self.all.get_mut(id) {
                session.set_viewer(Viewer::Disconnected { since: now.instant });
            }
        }
        ids.into_iter().collect()
    }

    /// Moves a session to another connection of the same user: a client that has reconnected.
    pub(crate) fn attach_client(&mut self, conn: ConnId, id: &SessionId) {
        let Some(session) = self.all.get_mut(id) else { return };
        let before = session.viewer_key();
        session.set_viewer(Viewer::Connected(conn));
        self.remove_from_viewer(before, id);
        self.by_viewer.entry(ViewerKey::Client(conn)).or_default().insert(id.clone());
    }

    /// Returns the sessions of a gateway that its report does not list, unless they have just
    /// begun.
    pub(crate) fn unreported(
        &self,
        now: Now,
        gateway: &GatewayId,
        reported: &[SessionId],
    ) -> Vec<SessionId> {
        let reported: HashSet<&SessionId> = reported.iter().collect();
        let is_old = |id: &SessionId| {
            let started_at = self.all.get(id).map(Session::started_at);
            started_at.is_some_and(|at| at + MIN_REPORTED_AGE <= now.instant)
        };
        let known = self.by_gateway.get(gateway).into_iter().flatten();
        known.filter(|id| !reported.contains(id) && is_old(id)).cloned().collect()
    }

    /// Notes which of the reported sessions of a gateway are still `starting`.
    pub(crate) fn note_progress(
        &mut self,
        gateway: &GatewayId,
        reported: &[SessionId],
        starting: &[SessionId],
    ) {
        let starting: HashSet<&SessionId> = starting.iter().collect();
        for id in reported {
            let session = self.all.get_mut(id).filter(|session| session.gateway() == gateway);
            if let Some(session) = session {
                session.note_progress(starting.contains(id));
            }
        }
    }
}

fn full(text: &str) -> Fault {
    Fault::new(code::INSUFFICIENT_RESOURCES, text)
}

#[cfg(test)]
impl Sessions {
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&SessionId, &Session)> {
        self.all.iter()
    }

    /// Returns true if nothing is left of any session.
    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty() && self.by_viewer.is_empty() && self.by_gateway.is_empty()
    }

    pub(crate) fn assert_consistent(&self, most_of_gateway: usize) {
        for ids in self.by_viewer.values().chain(self.by_gateway.values()) {
            assert!(!ids.is_empty());
            assert!(ids.iter().all(|id| self.all.contains_key(id)));
        }
        assert!(self.by_gateway.values().all(|ids| ids.len() <= most_of_gateway));
        let of_gateways: usize = self.by_gateway.values().map(BTreeSet::len).sum();
        assert_eq!(of_gateways, self.all.len());
    }
}

#[cfg(test)]
mod tests;
