//! Sessions: who watches what, counted by user or token and by gateway.

mod session;

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::Hash;
use std::time::{Duration, Instant};

use porthole_clock::Now;
use porthole_signaling_proto::rpc::{Fault, code};
use porthole_signaling_proto::{CameraId, GatewayId, SessionId};

use crate::{Admitted, ConnId, GatewayCamera, Granted, Limits, Principal};

pub(crate) use session::{Session, Viewer, WhepViewer};

/// Age at which a session that its gateway does not report is removed: longer than `connect` or a
/// viewer's offer may take.
const MIN_REPORTED_AGE: Duration = Duration::from_secs(20);
/// Time a session has to find a path before it may have to make room for another of its user or
/// token: longer than most that succeed need.
const START_TIME: Duration = Duration::from_secs(5);

/// The sessions of all viewers. Each is counted for its gateway and for its user or token, on
/// whatever connections they are.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    all: HashMap<SessionId, Session>,
    /// The sessions of each connection of a client; never empty.
    by_client: HashMap<ConnId, BTreeSet<SessionId>>,
    /// The sessions of each user or token; never empty.
    by_account: HashMap<String, BTreeSet<SessionId>>,
    /// The sessions of each gateway; never empty.
    by_gateway: HashMap<GatewayId, BTreeSet<SessionId>>,
}

impl Sessions {
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &Session> {
        self.all.values()
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

    /// Checks that the user or token of a session, and its gateway, may have one more. Returns the
    /// sessions that have to make room for it.
    ///
    /// Of a user or token that has as many as it may have, this is the one whose client has been
    /// away longest, or else the oldest that has found no path for [`START_TIME`], since players
    /// that give up do not always say so. At a gateway with too many sessions that nobody has
    /// answered, it is the oldest of whoever has most of these, and more than this one.
    ///
    /// # Errors
    /// [`code::INSUFFICIENT_RESOURCES`] if none can make room.
    pub(crate) fn make_room(
        &self,
        session: &Session,
        limits: &Limits,
    ) -> Result<Vec<SessionId>, Fault> {
        let now = session.started_at();
        let account = session.account();
        let of_account = self.with_ids(self.by_account.get(account));
        let unanswered = of_account.iter().filter(|(_, session)| session.is_unanswered()).count();
        let mut leaving = Vec::new();
        let is_full = of_account.len() >= limits.sessions_per_subject;
        if is_full || unanswered >= limits.unanswered_per_subject {
            let away = is_full.then(|| longest_away(&of_account)).flatten();
            let other = away.or_else(|| oldest_stuck(&of_account, now));
            leaving
                .push(other.ok_or_else(|| full("too many sessions of this client; close some"))?);
        }
        let of_gateway = self.with_ids(self.by_gateway.get(session.gateway()));
        let frees = |id: &SessionId| of_gateway.iter().any(|(other, _)| *other == id);
        if !leaving.iter().any(frees) && is_crowded(&of_gateway, limits) {
            let other = oldest_of_most(&of_gateway, account);
            leaving.push(other.ok_or_else(full_gateway)?);
        }
        Ok(leaving)
    }

    fn with_ids<'a>(
        &'a self,
        ids: Option<&'a BTreeSet<SessionId>>,
    ) -> Vec<(&'a SessionId, &'a Session)> {
        let ids = ids.into_iter().flatten();
        ids.filter_map(|id| Some((id, self.all.get(id)?))).collect()
    }

    /// Returns true if the user or token of a principal has a session.
    pub(crate) fn has_one_of(&self, principal: &Principal) -> bool {
        let of_account = self.with_ids(self.by_account.get(principal.account()));
        of_account.iter().any(|(_, session)| session.subject() == principal.subject())
    }

    /// Returns the sessions with a camera of a gateway, or with its sub stream.
    pub(crate) fn of_camera(&self, gateway: &GatewayId, camera: &CameraId) -> Vec<SessionId> {
        let of_gateway = self.with_ids(self.by_gateway.get(gateway)).into_iter();
        let is_meant =
            |shown: &CameraId| shown == camera || shown.main_stream().as_ref() == Some(camera);
        let shown = of_gateway.filter(|(_, session)| is_meant(session.camera()));
        shown.map(|(id, _)| id.clone()).collect()
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
            return Err(full_gateway());
        }
        self.by_gateway.entry(session.gateway().clone()).or_default().insert(id.clone());
        self.by_account.entry(session.account().to_owned()).or_default().insert(id.clone());
        if let Some(conn) = session.client() {
            self.by_client.entry(conn).or_default().insert(id.clone());
        }
        self.all.insert(id, session);
        Ok(())
    }

    pub(crate) fn remove(&mut self, id: &SessionId) -> Option<Session> {
        let session = self.all.remove(id)?;
        remove_from(&mut self.by_gateway, session.gateway(), id);
        remove_from(&mut self.by_account, session.account(), id);
        if let Some(conn) = session.client() {
            remove_from(&mut self.by_client, &conn, id);
        }
        Some(session)
    }

    /// Prolongs a session with a right to its camera, which may be that of another token. It counts
    /// for that from then on.
    ///
    /// # Errors
    /// [`code::INSUFFICIENT_RESOURCES`] if the other token has as many as it may have.
    pub(crate) fn prolong(
        &mut self,
        id: &SessionId,
        granted: Granted<GatewayCamera>,
        expires_at: Instant,
        limits: &Limits,
    ) -> Result<(), Fault> {
        let Some(session) = self.all.get_mut(id) else { return Ok(()) };
        let (before, after) = (session.account(), granted.principal().account());
        if before != after {
            let of_other = self.by_account.get(after).map_or(0, BTreeSet::len);
            if of_other >= limits.sessions_per_subject {
                return Err(full("too many sessions of this client; close some"));
            }
            remove_from(&mut self.by_account, before, id);
            self.by_account.entry(after.to_owned()).or_default().insert(id.clone());
        }
        session.prolong(granted, expires_at);
        Ok(())
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

    /// Returns the sessions that were started or extended with one of these credentials.
    pub(crate) fn of_credentials(
        &self,
        credentials: &HashSet<&str>,
    ) -> impl Iterator<Item = SessionId> {
        let used = self.all.iter().filter(|(_, session)| {
            credentials.contains(session.granted().principal().credential())
        });
        used.map(|(id, _)| id.clone())
    }

    /// Notes that a client has disconnected. Returns its sessions, which go on.
    pub(crate) fn detach_client(&mut self, now: Now, conn: ConnId) -> Vec<SessionId> {
        let ids = self.by_client.remove(&conn).unwrap_or_default();
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
        if let Some(before) = session.client() {
            remove_from(&mut self.by_client, &before, id);
        }
        session.set_viewer(Viewer::Connected(conn));
        self.by_client.entry(conn).or_default().insert(id.clone());
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

/// Returns true if a gateway has as many sessions as it may have, of all or of those that nobody
/// has answered.
fn is_crowded(of_gateway: &[(&SessionId, &Session)], limits: &Limits) -> bool {
    let unanswered = of_gateway.iter().filter(|(_, session)| session.is_unanswered()).count();
    of_gateway.len() >= limits.sessions_per_gateway || unanswered >= limits.unanswered_per_gateway
}

/// Returns the session whose client has been away longest.
fn longest_away(sessions: &[(&SessionId, &Session)]) -> Option<SessionId> {
    let away = sessions.iter().filter_map(|(id, session)| Some((session.away_since()?, *id)));
    away.min().map(|(_, id)| id.clone())
}

/// Returns the oldest of these sessions whose gateway says that it has not found a path, unless it
/// has begun within [`START_TIME`].
fn oldest_stuck(sessions: &[(&SessionId, &Session)], now: Instant) -> Option<SessionId> {
    let stuck = sessions
        .iter()
        .filter(|(_, session)| session.is_starting() && session.started_at() + START_TIME <= now);
    stuck.min_by_key(|(_, session)| session.started_at()).map(|(id, _)| (*id).clone())
}

/// Returns the oldest of the unanswered sessions of the user or token that has most of them. None
/// if `newcomer` would then have as many.
fn oldest_of_most(sessions: &[(&SessionId, &Session)], newcomer: &str) -> Option<SessionId> {
    let mut by_account: BTreeMap<&str, Vec<(Instant, &SessionId)>> = BTreeMap::new();
    for (id, session) in sessions.iter().filter(|(_, session)| session.is_unanswered()) {
        by_account.entry(session.account()).or_default().push((session.started_at(), id));
    }
    let own = by_account.get(newcomer).map_or(0, Vec::len);
    let most = by_account.into_values().max_by_key(Vec::len)?;
    let oldest = most.iter().min().map(|(_, id)| (*id).clone());
    oldest.filter(|_| most.len() > own + 1)
}

fn remove_from<K, Q>(index: &mut HashMap<K, BTreeSet<SessionId>>, key: &Q, id: &SessionId)
where
    K: Borrow<Q> + Hash + Eq,
    Q: Hash + Eq + ?Sized,
{
    if let Some(sessions) = index.get_mut(key) {
        sessions.remove(id);
        if sessions.is_empty() {
            index.remove(key);
        }
    }
}

fn full(text: &str) -> Fault {
    Fault::new(code::INSUFFICIENT_RESOURCES, text)
}

fn full_gateway() -> Fault {
    full("too many sessions of this gateway; try again later")
}

#[cfg(test)]
impl Sessions {
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&SessionId, &Session)> {
        self.all.iter()
    }

    /// Returns true if nothing is left of any session.
    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
            && self.by_client.is_empty()
            && self.by_account.is_empty()
            && self.by_gateway.is_empty()
    }

    pub(crate) fn assert_consistent(&self, limits: &Limits) {
        let indexes = self.by_client.values().chain(self.by_account.values());
        for ids in indexes.chain(self.by_gateway.values()) {
            assert!(!ids.is_empty());
            assert!(ids.iter().all(|id| self.all.contains_key(id)));
        }
        for (account, ids) in &self.by_account {
            assert!(ids.len() <= limits.sessions_per_subject, "{account}");
            assert!(ids.iter().all(|id| self.all[id].account() == account), "{account}");
        }
        assert!(self.by_gateway.values().all(|ids| ids.len() <= limits.sessions_per_gateway));
        for of_all in [self.by_gateway.values().map(BTreeSet::len).sum::<usize>(), {
            self.by_account.values().map(BTreeSet::len).sum()
        }] {
            assert_eq!(of_all, self.all.len());
        }
    }
}

#[cfg(test)]
mod tests;
