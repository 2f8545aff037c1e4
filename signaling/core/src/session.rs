//! Sessions: one viewer, one camera, and the messages forwarded between their two sides.

use std::collections::{BTreeSet, HashSet};
use std::time::{Duration, Instant};

use porthole_clock::Now;
use porthole_signaling_proto::method::{
    Close, Invite, InviteParams, Method as _, Notification as _, SessionParams, Trickle,
    TrickleParams,
};
use porthole_signaling_proto::rpc::{Fault, Message, code};
use porthole_signaling_proto::{CameraId, GatewayId, IceServer, SessionId, rpc};
use serde_json::Value;
use tracing::debug;

use crate::call::Call;
use crate::request::{PendingRequest, RequestKind, shortened};
use crate::timer::Timer;
use crate::{Admitted, ConnId, Granted, Hub};

/// The longest `trickle` that is forwarded: a candidate is a line below 512 bytes, the rest is for
/// the names around it. With longer ones a viewer could fill the send queue of the gateway's
/// WebSocket, which would then be closed as too slow, for all viewers.
const MAX_TRICKLE_BYTES: usize = 2 * 1024;
/// Age at which a session that its gateway does not report is removed: longer than `connect` or a
/// viewer's offer may take.
const MIN_REPORTED_AGE: Duration = Duration::from_secs(20);
/// Time a session has to find a path before it may have to make room for another of its viewer:
/// longer than most that succeed need.
const START_TIME: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) gateway: GatewayId,
    pub(crate) viewer: Viewer,
    /// The right to the camera with which the session was started or extended last.
    pub(crate) granted: Granted<CameraId>,
    pub(crate) started_at: Instant,
    pub(crate) expires_at: Instant,
    /// True until the gateway has accepted the session.
    pub(crate) pending: bool,
    /// The latest report of the gateway about this session.
    pub(crate) progress: Progress,
    /// The ICE servers for the viewer, sent once the gateway has accepted the session.
    pub(crate) ice_servers: Vec<IceServer>,
    /// The requests of this session that have no response yet.
    pub(crate) pending_requests: Vec<RequestKind>,
}

/// State of a session as its gateway reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// The gateway has not said.
    Unknown,
    /// No path to the viewer has been found yet.
    Starting,
    /// The viewer is being sent the picture, or was.
    Started,
}

#[derive(Debug)]
pub(crate) enum Viewer {
    /// A client with its WebSocket.
    Connected(ConnId),
    /// A client whose WebSocket is closed.
    Disconnected { since: Instant },
    /// A WHEP player.
    Whep {
        /// The number of the ICE generation, from which the entity tag is made.
        generation: u64,
        /// The viewer's ICE user name fragments in this generation: sections that are bundled may
        /// have different ones.
        ufrags: Vec<String>,
        /// The viewer's next user name fragments, while the gateway restarts ICE.
        restarting: Option<Vec<String>>,
    },
}

/// The viewer that a session counts against.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum ViewerKey {
    Client(ConnId),
    Whep(String),
}

impl Session {
    /// Creates a session that its gateway has not accepted yet.
    pub(crate) fn new(
        now: Now,
        lifetime: Duration,
        gateway: GatewayId,
        granted: Granted<CameraId>,
        viewer: Viewer,
    ) -> Self {
        Self {
            gateway,
            viewer,
            granted,
            started_at: now.instant,
            expires_at: now.instant + lifetime,
            pending: true,
            progress: Progress::Unknown,
            ice_servers: Vec::new(),
            pending_requests: Vec::new(),
        }
    }

    fn viewer_key(&self) -> Option<ViewerKey> {
        match &self.viewer {
            Viewer::Connected(conn) => Some(ViewerKey::Client(*conn)),
            Viewer::Disconnected { .. } => None,
            Viewer::Whep { .. } => Some(ViewerKey::Whep(self.subject().to_owned())),
        }
    }

    /// Returns the user or token that the session belongs to.
    pub(crate) fn subject(&self) -> &str {
        self.granted.principal().subject()
    }

    fn client(&self) -> Option<ConnId> {
        match self.viewer {
            Viewer::Connected(conn) => Some(conn),
            Viewer::Disconnected { .. } | Viewer::Whep { .. } => None,
        }
    }
}

impl Hub {
    /// Adds a session and returns its new id. If its viewer has as many as it may have, the oldest
    /// that has found no path for [`START_TIME`] makes room: players that give up do not always say
    /// so.
    ///
    /// # Errors
    /// [`code::INSUFFICIENT_RESOURCES`] when its viewer or its gateway has too many.
    pub(crate) fn add_session(&mut self, session: Session) -> Result<SessionId, Fault> {
        let full = |text: &str| Err(Fault::new(code::INSUFFICIENT_RESOURCES, text));
        let key = session.viewer_key();
        let of_viewer = key.as_ref().and_then(|key| self.viewers.get(key));
        if of_viewer.is_some_and(|all| all.len() >= self.config.limits.sessions_per_client) {
            let stuck = of_viewer.and_then(|all| self.oldest_stuck(all, session.started_at));
            let Some(stuck) = stuck else {
                return full("too many sessions of this client; close some");
            };
            debug!(session = %stuck, "a session that found no path makes room for another");
            self.end_session_on_both_sides(&stuck);
        }
        let limits = &self.config.limits;
        let Some(gateway) = self.gateways.get_mut(&session.gateway) else {
            return Err(Fault::new(code::NOT_FOUND, "there is no such gateway"));
        };
        if gateway.sessions.len() >= limits.sessions_per_gateway {
            return full("too many sessions of this gateway; try again later");
        }
        let id = self.new_session_id();
        if let Some(gateway) = self.gateways.get_mut(&session.gateway) {
            gateway.sessions.insert(id.clone());
        }
        if let Some(key) = key {
            self.viewers.entry(key).or_default().insert(id.clone());
        }
        self.timers.add(session.expires_at, Timer::Session(id.clone()));
        debug!(session = %id, camera = %session.granted.object(), "session starts");
        self.sessions.insert(id.clone(), session);
        Ok(id)
    }

    /// Returns the oldest of these sessions whose gateway says that it has not found a path, unless
    /// it has begun within [`START_TIME`].
    fn oldest_stuck(&self, ids: &BTreeSet<SessionId>, now: Instant) -> Option<SessionId> {
        let sessions = ids.iter().filter_map(|id| Some((id, self.sessions.get(id)?)));
        let stuck = sessions.filter(|(_, session)| {
            session.progress == Progress::Starting && session.started_at + START_TIME <= now
        });
        stuck.min_by_key(|(_, session)| session.started_at).map(|(id, _)| id.clone())
    }

    fn new_session_id(&mut self) -> SessionId {
        let id = self.random_name("s");
        id.parse().expect("hexadecimal digits are the characters of an id")
    }

    pub(crate) fn remove_session(&mut self, id: &SessionId) -> Option<Session> {
        let session = self.sessions.remove(id)?;
        debug!(session = %id, camera = %session.granted.object(), "session ends");
        if let Some(gateway) = self.gateways.get_mut(&session.gateway) {
            gateway.sessions.remove(id);
        }
        if let Some(key) = session.viewer_key() {
            self.remove_from_viewer(&key, id);
        }
        Some(session)
    }

    fn remove_from_viewer(&mut self, key: &ViewerKey, id: &SessionId) {
        if let Some(sessions) = self.viewers.get_mut(key) {
            sessions.remove(id);
            if sessions.is_empty() {
                self.viewers.remove(key);
            }
        }
    }

    /// Ends a session and tells its gateway.
    pub(crate) fn end_session(&mut self, id: &SessionId) {
        if let Some(session) = self.remove_session(id) {
            self.notify_gateway(&session.gateway, session_closed(id));
        }
    }

    /// Removes the sessions that a gateway's report does not list. The gateway may have restarted
    /// since they started, and they would count against their viewers until they expire. Notes
    /// which of the others are still `starting`, if the gateway reports it.
    pub(crate) fn reconcile_sessions(
        &mut self,
        now: Now,
        gateway: &GatewayId,
        reported: &[SessionId],
        starting: Option<&[SessionId]>,
    ) {
        if let Some(starting) = starting {
            self.note_progress(gateway, reported, starting);
        }
        let reported: HashSet<&SessionId> = reported.iter().collect();
        let known = self.gateways.get(gateway).map(|gateway| &gateway.sessions);
        let lost: Vec<SessionId> = known
            .into_iter()
            .flatten()
            .filter(|id| !reported.contains(id))
            .filter(|id| {
                let started_at = self.sessions.get(*id).map(|session| session.started_at);
                started_at.is_some_and(|at| at + MIN_REPORTED_AGE <= now.instant)
            })
            .cloned()
            .collect();
        for id in lost {
            let client = self.remove_session(&id).and_then(|session| session.client());
            if let Some(client) = client {
                self.send(client, session_closed(&id));
            }
        }
    }

    fn note_progress(
        &mut self,
        gateway: &GatewayId,
        reported: &[SessionId],
        starting: &[SessionId],
    ) {
        let starting: HashSet<&SessionId> = starting.iter().collect();
        for id in reported {
            let session = self.sessions.get_mut(id).filter(|session| session.gateway == *gateway);
            if let Some(session) = session {
                let is_starting = starting.contains(id);
                session.progress = if is_starting { Progress::Starting } else { Progress::Started };
            }
        }
    }

    /// Handles `invite`: forwards a gateway's offer to the client, whose answer comes back.
    pub(crate) fn handle_invite(
        &mut self,
        call: &Call,
        admitted: Admitted,
        params: Value,
    ) -> Result<(), Fault> {
        let from = admitted.gateway()?;
        let InviteParams { session: id, .. } = rpc::read(params.clone())?;
        let session = self.sessions.get(&id).filter(|session| session.gateway == *from);
        let Some(session) = session else { return Err(no_such_session(code::BAD_REQUEST)) };
        let Some(client) = session.client() else {
            return Err(Fault::new(code::GONE, "the client is no longer connected"));
        };
        let kind = RequestKind::Invite;
        let request = PendingRequest { kind, session: id, origin: call.origin() };
        self.send_request(call.now, client, Invite::NAME, params, request)
    }

    /// Handles `trickle`: forwards it unchanged, even before the offer (ONVIF WebRTC 26.06 §5.6).
    pub(crate) fn handle_trickle(
        &mut self,
        conn: ConnId,
        _: Admitted,
        params: Value,
    ) -> Result<(), Fault> {
        let id = session_id(&params);
        if let Err(fault) = rpc::read::<TrickleParams>(params.clone()) {
            return Err(Fault { code: code::MALFORMED_CANDIDATE, session: id, ..fault });
        }
        if params.to_string().len() > MAX_TRICKLE_BYTES {
            let text = "the candidate is too long: `trickle` may have at most 2 KiB";
            let fault = Fault::new(code::MALFORMED_CANDIDATE, text);
            return Err(Fault { session: id, ..fault });
        }
        let other = id.and_then(|id| self.other_side(conn, &id));
        if let Some(other) = other {
            let method = Trickle::NAME.to_owned();
            self.send(other, Message::Notification { method, params });
        }
        Ok(())
    }

    /// Handles `portholeClose`: one side of a session ends it, and the other side is told.
    pub(crate) fn handle_close_session(
        &mut self,
        conn: ConnId,
        _: Admitted,
        params: Value,
    ) -> Result<(), Fault> {
        let SessionParams { session: id } = rpc::read(params)?;
        if !self.is_peer(conn, &id) {
            return Ok(());
        }
        let other = self.other_side(conn, &id);
        self.remove_session(&id);
        if let Some(other) = other {
            self.send(other, session_closed(&id));
        }
        Ok(())
    }

    /// Forwards an `error` about a session to its other side.
    pub(crate) fn forward_error(&mut self, conn: ConnId, fault: Fault) {
        let other = fault.session.as_ref().and_then(|id| self.other_side(conn, id));
        if let Some(other) = other {
            self.send(other, Message::Error(shortened(fault)));
        }
    }

    /// Returns true if this connection is one of the session's two sides.
    fn is_peer(&self, conn: ConnId, id: &SessionId) -> bool {
        self.sessions.get(id).is_some_and(|session| {
            let gateway = self.gateways.get(&session.gateway).and_then(|gateway| gateway.conn);
            session.client() == Some(conn) || gateway == Some(conn)
        })
    }

    /// Returns the other side of a session that this connection is a side of; `None` if it is not,
    /// or if the other side is not connected.
    fn other_side(&self, conn: ConnId, id: &SessionId) -> Option<ConnId> {
        let session = self.sessions.get(id)?;
        let gateway = self.gateways.get(&session.gateway)?.conn;
        match session.client() {
            Some(client) if client == conn => gateway,
            client if gateway == Some(conn) => client,
            _ => None,
        }
    }

    /// Handles the end of a client's WebSocket. Its sessions go on, except those that the gateway
    /// has not accepted yet.
    pub(crate) fn handle_client_lost(&mut self, now: Now, conn: ConnId) {
        let ids = self.viewers.remove(&ViewerKey::Client(conn)).unwrap_or_default();
        for id in ids {
            let Some(session) = self.sessions.get_mut(&id) else { continue };
            session.viewer = Viewer::Disconnected { since: now.instant };
            if session.pending {
                self.end_session(&id);
                continue;
            }
            let gateway = session.gateway.clone();
            let away = now.instant + self.config.limits.reconnect_window;
            self.timers.add(away, Timer::ClientAway(id.clone()));
            self.notify_gateway(
                &gateway,
                peer_disconnected("the client has closed its WebSocket", &id),
            );
        }
    }

    /// Tells the clients of a gateway's sessions that its WebSocket is closed.
    pub(crate) fn notify_gateway_lost(&mut self, gateway: &GatewayId) {
        let ids = self.gateways.get(gateway).map(|gateway| gateway.sessions.clone());
        for id in ids.unwrap_or_default() {
            let client = self.sessions.get(&id).and_then(Session::client);
            if let Some(client) = client {
                let text = "the gateway has lost its WebSocket; the stream goes on";
                self.send(client, peer_disconnected(text, &id));
            }
        }
    }

    /// Moves a session to another connection of the same user: a client that has reconnected.
    pub(crate) fn attach_client(&mut self, conn: ConnId, id: &SessionId) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        let before = session.viewer_key();
        session.viewer = Viewer::Connected(conn);
        if let Some(before) = before {
            self.remove_from_viewer(&before, id);
        }
        self.viewers.entry(ViewerKey::Client(conn)).or_default().insert(id.clone());
    }

    pub(crate) fn handle_session_timeout(&mut self, now: Now, id: &SessionId) {
        let Some(session) = self.sessions.get(id) else { return };
        // The session was extended, which has added another timer.
        if session.expires_at > now.instant {
            return;
        }
        self.end_session_on_both_sides(id);
    }

    /// Ends every session that was started or extended with this credential.
    pub(crate) fn end_sessions_of_credential(&mut self, credential: &str) {
        let uses_credential =
            |session: &Session| session.granted.principal().credential() == credential;
        let sessions = self.sessions.iter().filter(|(_, session)| uses_credential(session));
        let mut ids: Vec<SessionId> = sessions.map(|(id, _)| id.clone()).collect();
        // A hash map iterates in a different order each time.
        ids.sort();
        for id in ids {
            self.end_session_on_both_sides(&id);
        }
    }

    /// Ends a session and tells both its sides.
    fn end_session_on_both_sides(&mut self, id: &SessionId) {
        let client = self.sessions.get(id).and_then(Session::client);
        self.end_session(id);
        if let Some(client) = client {
            self.send(client, session_closed(id));
        }
    }

    pub(crate) fn handle_client_away_timeout(&mut self, now: Now, id: &SessionId) {
        let window = self.config.limits.reconnect_window;
        let away = self.sessions.get(id).is_some_and(|session| match session.viewer {
            Viewer::Disconnected { since } => since + window <= now.instant,
            Viewer::Connected(_) | Viewer::Whep { .. } => false,
        });
        // The gateway is not told: a client may close its WebSocket and go on watching (ONVIF
        // WebRTC 26.06 §5.6).
        if away {
            self.remove_session(id);
        }
    }
}

fn session_id(params: &Value) -> Option<SessionId> {
    params.get("session")?.as_str()?.parse().ok()
}

fn session_closed(id: &SessionId) -> Message {
    Message::notification::<Close>(&SessionParams { session: id.clone() })
}

fn peer_disconnected(text: &str, id: &SessionId) -> Message {
    let session = Some(id.clone());
    Message::Error(Fault { session, ..Fault::new(code::PEER_DISCONNECTED, text) })
}

pub(crate) fn whole_seconds(time: Duration) -> u32 {
    u32::try_from(time.as_secs()).unwrap_or(u32::MAX)
}

pub(crate) fn no_such_session(code: i64) -> Fault {
    Fault::new(code, "this session does not exist; connect again")
}
