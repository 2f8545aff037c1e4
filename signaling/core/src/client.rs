//! What clients ask for: `connect` and `extend`.

use crate::{
    ConnId, Hub, Principal, Question,
    hub::Then,
    request::{Kind, Origin, Request},
    session::{Session, Viewer, no_such_session},
    timer::Timer,
};
use porthole_clock::Now;
use porthole_signaling_proto::{
    CameraId, GatewayId, IceServer, SessionId,
    method::{
        Connect, ConnectDevice, ConnectDeviceParams, ConnectDeviceResult, ConnectParams,
        ConnectResult, Extend, ExtendParams, IceServers, IceServersParams, Method as _,
    },
    rpc::{self, Fault, Message, RequestId, code},
};
use serde_json::Value;
use std::time::Duration;

impl Hub {
    pub(crate) fn connect(
        &mut self,
        now: Now,
        conn: ConnId,
        id: &RequestId,
        params: Value,
    ) -> Result<(), Fault> {
        let principal = self.client(conn)?.clone();
        let mut params: ConnectParams = rpc::read(params)?;
        match params.authorization.take() {
            Some(token) => self.ask(conn, id, Question::Token(token), Then::Connect(params)),
            None => self.connect_as(now, conn, id, &params, principal),
        }
    }

    pub(crate) fn connect_as(
        &mut self,
        now: Now,
        conn: ConnId,
        id: &RequestId,
        params: &ConnectParams,
        principal: Principal,
    ) -> Result<(), Fault> {
        self.client(conn)?;
        let lifetime = Self::lifetime(now, &principal, self.config.limits.session_lifetime)?;
        let camera = self.find_camera(&principal, &params.peer, params.profile.as_ref())?;
        let device = self.online(&params.peer)?;
        let session = self.begin(Session {
            gateway: params.peer.clone(),
            camera: camera.clone(),
            viewer: Viewer::Socket(Ok(conn)),
            principal,
            began: now.instant,
            expires: now.instant + lifetime,
            beginning: true,
            ice_servers: Vec::new(),
            open: Vec::new(),
        })?;
        let ice_servers = self.offer_ice(&session, now);
        let params = ConnectDeviceParams {
            session: session.clone(),
            profile: Some(camera),
            ice_servers,
            expiry_time_seconds: Some(whole_seconds(lifetime)),
        };
        let origin = Origin::Peer { conn, id: id.clone() };
        let request = Request { kind: Kind::Connect, session, origin };
        self.request_of(now, device, ConnectDevice::NAME, rpc::write(&params), request)
    }

    /// The gateway takes the session, or does not.
    pub(crate) fn connect_done(
        &mut self,
        now: Now,
        name: &SessionId,
        origin: Origin,
        outcome: Result<Value, Fault>,
    ) {
        let result = match outcome.and_then(rpc::read::<ConnectDeviceResult>) {
            Ok(result) => result,
            Err(fault) => {
                self.end_at_gateway(name);
                return self.refuse(origin, fault);
            }
        };
        // Without a session, the client has gone meanwhile and the gateway was told.
        let Some(session) = self.sessions.get_mut(name) else { return };
        session.beginning = false;
        let left = session.expires.saturating_duration_since(now.instant);
        let registered = self.gateways.get(&session.gateway).map(|g| g.capabilities.clone());
        let answer = ConnectResult {
            session: name.clone(),
            ice_servers: std::mem::take(&mut session.ice_servers),
            expiry_time_seconds: Some(whole_seconds(left)),
            capabilities: result.capabilities.or(registered),
        };
        if let Origin::Peer { conn, id } = origin {
            self.send(conn, Message::result::<Connect>(id, &answer));
        }
    }

    /// More time; and a client that has come back on a new WebSocket takes its session up again.
    pub(crate) fn extend(
        &mut self,
        now: Now,
        conn: ConnId,
        id: &RequestId,
        params: Value,
    ) -> Result<(), Fault> {
        let principal = self.client(conn)?.clone();
        let params: ExtendParams = rpc::read(params)?;
        match params.authorization {
            Some(token) => self.ask(conn, id, Question::Token(token), Then::Extend(params.session)),
            None => self.extend_as(now, conn, id, &params.session, principal),
        }
    }

    pub(crate) fn extend_as(
        &mut self,
        now: Now,
        conn: ConnId,
        id: &RequestId,
        name: &SessionId,
        principal: Principal,
    ) -> Result<(), Fault> {
        let lifetime = Self::lifetime(now, &principal, self.config.limits.session_lifetime)?;
        let subject = &self.client(conn)?.subject;
        let unknown = || no_such_session(code::NOT_FOUND);
        let session = self.sessions.get(name).ok_or_else(unknown)?;
        match session.viewer {
            Viewer::Socket(Ok(own)) if own == conn => {}
            Viewer::Socket(_) if session.principal.subject == *subject => {}
            Viewer::Socket(_) | Viewer::Whep { .. } => return Err(unknown()),
        }
        if !principal.may_see(&session.camera) {
            return Err(forbidden());
        }
        let device = self.online(&session.gateway)?;
        if session.beginning || session.open.contains(&Kind::Extend) {
            return Err(Fault::new(code::BAD_REQUEST, "the session is being changed; wait"));
        }
        self.adopt(conn, name);
        let expires = now.instant + lifetime;
        self.timers.add(expires, Timer::Session(name.clone()));
        if let Some(session) = self.sessions.get_mut(name) {
            session.expires = expires;
            session.principal = principal;
        }
        let fresh = self.fresh_ice(name, now);
        self.send(conn, fresh.clone());
        self.send(device, fresh);
        let params = rpc::write(&ExtendParams {
            session: name.clone(),
            authorization: None,
            expiry_time_seconds: Some(whole_seconds(lifetime)),
        });
        let origin = Origin::Peer { conn, id: id.clone() };
        let request = Request { kind: Kind::Extend, session: name.clone(), origin };
        self.request_of(now, device, Extend::NAME, params, request)
    }

    /// The camera that is asked for, if they may see it. Who may not see all is told the same of
    /// cameras that are not and of cameras that are not theirs.
    pub(crate) fn find_camera(
        &self,
        principal: &Principal,
        gateway: &GatewayId,
        camera: Option<&CameraId>,
    ) -> Result<CameraId, Fault> {
        if camera.is_some_and(|camera| !principal.may_see(camera)) {
            return Err(forbidden());
        }
        let known = self.gateways.get(gateway);
        let mut cameras = known.iter().flat_map(|gateway| gateway.cameras.iter());
        let found = cameras.find(|known| match camera {
            Some(camera) => known.id == *camera,
            None => principal.may_see(&known.id),
        });
        let missing = || Fault::new(code::NOT_FOUND, "there is no such camera");
        found.map(|camera| camera.id.clone()).ok_or_else(missing)
    }

    /// The STUN and TURN servers of a session, for both sides the same.
    pub(crate) fn offer_ice(&mut self, name: &SessionId, now: Now) -> Vec<IceServer> {
        let servers = self.ice_servers(name, now);
        if let Some(session) = self.sessions.get_mut(name) {
            session.ice_servers.clone_from(&servers);
        }
        servers
    }

    /// The same with credentials that are good for a while from now: for an ICE restart.
    pub(crate) fn fresh_ice(&self, name: &SessionId, now: Now) -> Message {
        let (session, ice_servers) = (name.clone(), self.ice_servers(name, now));
        Message::notification::<IceServers>(&IceServersParams { session, ice_servers })
    }

    pub(crate) fn ice_servers(&self, name: &SessionId, now: Now) -> Vec<IceServer> {
        let turn = self.config.turn.as_ref();
        turn.map(|turn| turn.for_session(name, now)).unwrap_or_default()
    }

    /// The WebSocket of the gateway.
    pub(crate) fn online(&self, gateway: &GatewayId) -> Result<ConnId, Fault> {
        let conn = self.gateways.get(gateway).and_then(|gateway| gateway.conn);
        conn.ok_or_else(|| {
            Fault::new(code::UNAVAILABLE, "the camera's gateway is not connected; try again later")
        })
    }
}

pub(crate) fn forbidden() -> Fault {
    Fault::new(code::FORBIDDEN, "this access token does not allow that camera")
}

pub(crate) fn whole_seconds(time: Duration) -> u32 {
    u32::try_from(time.as_secs()).unwrap_or(u32::MAX)
}
