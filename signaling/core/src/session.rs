//! Sessions: one viewer, one camera, and what is passed between them.

use crate::{
    ConnId, Hub, Principal,
    connection::check_expiry,
    request::{Kind, Origin, Request, passed_on},
    timer::Timer,
};
use porthole_clock::Now;
use porthole_signaling_proto::{
    CameraId, GatewayId, IceServer, SessionId,
    method::{
        Close, Invite, InviteParams, Method as _, Notice as _, SessionParams, Trickle,
        TrickleParams,
    },
    rpc::{self, Fault, Message, RequestId, code},
};
use serde_json::Value;
use std::{
    collections::HashSet,
    time::{Duration, Instant},
};
use tracing::debug;

/// The longest trickle that is passed on: a candidate is a line below 512 bytes, the rest is for
/// the names around it. With longer ones a viewer could fill the line to the gateway, which would
/// then be closed as too slow, for everybody.
const MAX_TRICKLE_BYTES: usize = 2 * 1024;
/// How old a session is that its gateway must have: longer than `connect` or a viewer's offer may
/// be under way.
const GATEWAY_HAS: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) gateway: GatewayId,
    pub(crate) camera: CameraId,
    pub(crate) viewer: Viewer,
    /// Who began it, or extended it last.
    pub(crate) principal: Principal,
    pub(crate) began: Instant,
    pub(crate) expires: Instant,
    /// The gateway has not said yes yet.
    pub(crate) beginning: bool,
    /// For the viewer, once the gateway has said yes.
    pub(crate) ice_servers: Vec<IceServer>,
    /// What is asked in it and not answered yet.
    pub(crate) open: Vec<Kind>,
}

#[derive(Debug)]
pub(crate) enum Viewer {
    /// A client by its WebSocket, and since when that is lost.
    Socket(Result<ConnId, Instant>),
    /// A WHEP player.
    Whep {
        /// Which ICE generation it is; the entity tag.
        generation: u64,
        /// The ICE user name fragment the viewer uses in it.
        ufrag: String,
        /// The one it will use when the gateway has restarted ICE too.
        restarting: Option<String>,
    },
}

/// Who a session counts for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum ViewerKey {
    Socket(ConnId),
    Whep(String),
}

impl Session {
    fn viewer_key(&self) -> Option<ViewerKey> {
        match &self.viewer {
            Viewer::Socket(Ok(conn)) => Some(ViewerKey::Socket(*conn)),
            Viewer::Socket(Err(_)) => None,
            Viewer::Whep { .. } => Some(ViewerKey::Whep(self.principal.subject.clone())),
        }
    }

    fn client(&self) -> Option<ConnId> {
        match self.viewer {
            Viewer::Socket(Ok(conn)) => Some(conn),
            Viewer::Socket(Err(_)) | Viewer::Whep { .. } => None,
        }
    }
}

impl Hub {
    /// Makes room for a session; 1001 when there is none.
    pub(crate) fn begin(&mut self, session: Session) -> Result<SessionId, Fault> {
        let limits = &self.config.limits;
        let full = |text: &str| Err(Fault::new(code::INSUFFICIENT_RESOURCES, text));
        let key = session.viewer_key();
        let of_viewer = key.as_ref().and_then(|key| self.viewers.get(key));
        if of_viewer.is_some_and(|sessions| sessions.len() >= limits.sessions_per_client) {
            return full("too many sessions of this client; close some");
        }
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
        self.timers.add(session.expires, Timer::Session(id.clone()));
        debug!(session = %id, camera = %session.camera, "session begins");
        self.sessions.insert(id.clone(), session);
        Ok(id)
    }

    fn new_session_id(&mut self) -> SessionId {
        let name = self.random_name("s");
        name.parse().expect("hexadecimal digits are the characters of an id")
    }

    pub(crate) fn forget(&mut self, id: &SessionId) -> Option<Session> {
        let session = self.sessions.remove(id)?;
        debug!(session = %id, camera = %session.camera, "session is over");
        if let Some(gateway) = self.gateways.get_mut(&session.gateway) {
            gateway.sessions.remove(id);
        }
        if let Some(key) = session.viewer_key() {
            self.drop_from_viewer(&key, id);
        }
        Some(session)
    }

    fn drop_from_viewer(&mut self, key: &ViewerKey, id: &SessionId) {
        if let Some(sessions) = self.viewers.get_mut(key) {
            sessions.remove(id);
            if sessions.is_empty() {
                self.viewers.remove(key);
            }
        }
    }

    /// Ends a session and says so to its gateway.
    pub(crate) fn end_at_gateway(&mut self, id: &SessionId) {
        if let Some(session) = self.forget(id) {
            self.tell_gateway(&session.gateway, closed(id));
        }
    }

    /// A gateway says which sessions it has. It may have started anew since the others began; they
    /// would count against their viewers until their time is over.
    pub(crate) fn forget_others(&mut self, now: Now, gateway: &GatewayId, has: &[SessionId]) {
        let has: HashSet<&SessionId> = has.iter().collect();
        let of_gateway = self.gateways.get(gateway).map(|known| &known.sessions);
        let others: Vec<SessionId> = of_gateway
            .into_iter()
            .flatten()
            .filter(|name| !has.contains(name))
            .filter(|name| {
                let began = self.sessions.get(*name).map(|session| session.began);
                began.is_some_and(|began| began + GATEWAY_HAS <= now.instant)
            })
            .cloned()
            .collect();
        for name in others {
            let client = self.forget(&name).and_then(|session| session.client());
            if let Some(client) = client {
                self.send(client, closed(&name));
            }
        }
    }

    /// How long a session may last: no longer than the credential it is begun with.
    pub(crate) fn lifetime(
        now: Now,
        principal: &Principal,
        longest: Duration,
    ) -> Result<Duration, Fault> {
        check_expiry(principal, now)?;
        let left = principal.expires_s.map(|end| Duration::from_secs(end - now.unix_s));
        Ok(left.map_or(longest, |left| left.min(longest)))
    }

    /// A gateway's offer goes to the client; the answer comes back.
    pub(crate) fn invite(
        &mut self,
        now: Now,
        conn: ConnId,
        id: &RequestId,
        params: Value,
    ) -> Result<(), Fault> {
        let from = self.gateway(conn)?;
        let InviteParams { session: name, .. } = rpc::read(params.clone())?;
        let session = self.sessions.get(&name).filter(|session| session.gateway == *from);
        let Some(session) = session else { return Err(no_such_session(code::BAD_REQUEST)) };
        let Some(client) = session.client() else {
            return Err(Fault::new(code::GONE, "the client is no more connected"));
        };
        let origin = Origin::Peer { conn, id: id.clone() };
        let request = Request { kind: Kind::Invite, session: name, origin };
        self.request_of(now, client, Invite::NAME, params, request)
    }

    /// Passed on unaltered, also before the offer (ONVIF WebRTC 26.06 §5.6).
    pub(crate) fn trickle(&mut self, conn: ConnId, params: Value) -> Result<(), Fault> {
        let name = session_of(&params);
        if let Err(fault) = rpc::read::<TrickleParams>(params.clone()) {
            return Err(Fault { code: code::MALFORMED_CANDIDATE, session: name, ..fault });
        }
        if params.to_string().len() > MAX_TRICKLE_BYTES {
            let text = "the candidate is too long: a trickle has at most 2 KiB";
            let fault = Fault::new(code::MALFORMED_CANDIDATE, text);
            return Err(Fault { session: name, ..fault });
        }
        let other = name.and_then(|name| self.other_side(conn, &name));
        if let Some(other) = other {
            let method = Trickle::NAME.to_owned();
            self.send(other, Message::Notification { method, params });
        }
        Ok(())
    }

    /// A peer of the session ends it.
    pub(crate) fn close_session(&mut self, conn: ConnId, params: Value) -> Result<(), Fault> {
        let SessionParams { session: name } = rpc::read(params)?;
        if !self.is_peer(conn, &name) {
            return Ok(());
        }
        let other = self.other_side(conn, &name);
        self.forget(&name);
        if let Some(other) = other {
            self.send(other, closed(&name));
        }
        Ok(())
    }

    /// An `error` about a session goes to its other side.
    pub(crate) fn relay_error(&mut self, conn: ConnId, fault: Fault) {
        let other = fault.session.as_ref().and_then(|name| self.other_side(conn, name));
        if let Some(other) = other {
            self.send(other, Message::Error(passed_on(fault)));
        }
    }

    /// Whether this connection is one of the two that the session is between.
    fn is_peer(&self, conn: ConnId, name: &SessionId) -> bool {
        self.sessions.get(name).is_some_and(|session| {
            let gateway = self.gateways.get(&session.gateway).and_then(|gateway| gateway.conn);
            session.client() == Some(conn) || gateway == Some(conn)
        })
    }

    /// Where to pass on what this connection says in this session; nowhere if it is not its own.
    fn other_side(&self, conn: ConnId, name: &SessionId) -> Option<ConnId> {
        let session = self.sessions.get(name)?;
        let gateway = self.gateways.get(&session.gateway)?.conn;
        match session.client() {
            Some(client) if client == conn => gateway,
            client if gateway == Some(conn) => client,
            _ => None,
        }
    }

    /// A client's WebSocket is lost. What it watches goes on; what had only begun does not.
    pub(crate) fn client_lost(&mut self, now: Now, conn: ConnId) {
        let names = self.viewers.remove(&ViewerKey::Socket(conn)).unwrap_or_default();
        for name in names {
            let Some(session) = self.sessions.get_mut(&name) else { continue };
            session.viewer = Viewer::Socket(Err(now.instant));
            if session.beginning {
                self.end_at_gateway(&name);
                continue;
            }
            let gateway = session.gateway.clone();
            let away = now.instant + self.config.limits.route_kept;
            self.timers.add(away, Timer::ClientAway(name.clone()));
            self.tell_gateway(&gateway, peer_gone("the client has closed its WebSocket", &name));
        }
    }

    /// Tells the clients of these sessions that the gateway's WebSocket is lost.
    pub(crate) fn tell_gateway_lost(&mut self, gateway: &GatewayId) {
        let names = self.gateways.get(gateway).map(|gateway| gateway.sessions.clone());
        for name in names.unwrap_or_default() {
            let client = self.sessions.get(&name).and_then(Session::client);
            if let Some(client) = client {
                let text = "the gateway has lost its WebSocket; the picture goes on";
                self.send(client, peer_gone(text, &name));
            }
        }
    }

    /// The session passes to a connection of the same person: a client that came back.
    pub(crate) fn adopt(&mut self, conn: ConnId, name: &SessionId) {
        let Some(session) = self.sessions.get_mut(name) else { return };
        let before = session.viewer_key();
        session.viewer = Viewer::Socket(Ok(conn));
        if let Some(before) = before {
            self.drop_from_viewer(&before, name);
        }
        self.viewers.entry(ViewerKey::Socket(conn)).or_default().insert(name.clone());
    }

    pub(crate) fn session_due(&mut self, now: Now, name: &SessionId) {
        let Some(session) = self.sessions.get(name) else { return };
        // It was extended; that has a timer of its own.
        if session.expires > now.instant {
            return;
        }
        self.end_at_both(name);
    }

    /// Ends what is watched by this credential, whichever way it is watched.
    pub(crate) fn end_sessions_of(&mut self, credential: &str) {
        let theirs = |session: &Session| session.principal.credential == credential;
        let sessions = self.sessions.iter().filter(|(_, session)| theirs(session));
        let mut names: Vec<SessionId> = sessions.map(|(name, _)| name.clone()).collect();
        // The order of a hash map is another each time.
        names.sort();
        for name in names {
            self.end_at_both(&name);
        }
    }

    /// Ends a session and says so to both its sides.
    fn end_at_both(&mut self, name: &SessionId) {
        let client = self.sessions.get(name).and_then(Session::client);
        self.end_at_gateway(name);
        if let Some(client) = client {
            self.send(client, closed(name));
        }
    }

    pub(crate) fn client_away_due(&mut self, now: Now, name: &SessionId) {
        let kept = self.config.limits.route_kept;
        let away = self.sessions.get(name).is_some_and(|session| match session.viewer {
            Viewer::Socket(Err(since)) => since + kept <= now.instant,
            Viewer::Socket(Ok(_)) | Viewer::Whep { .. } => false,
        });
        // Without a word: the client may close its WebSocket and go on watching (ONVIF §5.6).
        if away {
            self.forget(name);
        }
    }

    pub(crate) fn tell_gateway(&mut self, gateway: &GatewayId, message: Message) {
        let conn = self.gateways.get(gateway).and_then(|gateway| gateway.conn);
        if let Some(conn) = conn {
            self.send(conn, message);
        }
    }
}

fn session_of(params: &Value) -> Option<SessionId> {
    params.get("session")?.as_str()?.parse().ok()
}

fn closed(name: &SessionId) -> Message {
    Message::notification::<Close>(&SessionParams { session: name.clone() })
}

fn peer_gone(text: &str, name: &SessionId) -> Message {
    let session = Some(name.clone());
    Message::Error(Fault { session, ..Fault::new(code::PEER_DISCONNECTED, text) })
}

pub(crate) fn no_such_session(code: i64) -> Fault {
    Fault::new(code, "the session is not known here; connect again")
}
