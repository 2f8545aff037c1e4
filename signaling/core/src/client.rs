//! The requests of clients: `connect` and `extend`.

use porthole_clock::Now;
use porthole_signaling_proto::method::{
    Connect, ConnectDevice, ConnectDeviceParams, ConnectDeviceResult, ConnectParams, ConnectResult,
    Extend, ExtendParams, Method as _, RateCap,
};
use porthole_signaling_proto::rpc::{Fault, Message, code};
use porthole_signaling_proto::{SessionId, rpc};
use serde_json::Value;

use crate::address::Address;
use crate::call::Call;
use crate::lookup::Continuation;
use crate::request::{Origin, PendingRequest, RequestKind};
use crate::session::{no_such_session, whole_seconds};
use crate::sessions::{Session, Viewer};
use crate::stats::EndReason;
use crate::timer::Timer;
use crate::{Action, Admitted, Hub, Lookup};

impl Hub {
    pub(crate) fn handle_connect(
        &mut self,
        call: &Call,
        admitted: Admitted,
        params: Value,
    ) -> Result<(), Fault> {
        let mut params: ConnectParams = rpc::read(params)?;
        match params.authorization.take() {
            Some(token) => self.look_up(call, Lookup::Token(token), Continuation::Connect(params)),
            None => self.connect_as(call, &params, &admitted),
        }
    }

    pub(crate) fn connect_as(
        &mut self,
        call: &Call,
        params: &ConnectParams,
        admitted: &Admitted,
    ) -> Result<(), Fault> {
        let (now, conn) = (call.now, call.conn);
        let granted = self.find_camera(now, admitted, &params.peer, params.profile.as_ref())?;
        let lifetime = granted.lifetime(now, self.config.limits.session_lifetime);
        let camera = granted.object().camera.clone();
        let audio = params.audio.unwrap_or(true) && admitted.may_listen(&params.peer, &camera, now);
        let gateway_conn = self.reach(Address::Gateway(&params.peer))?;
        let session = Session::new(now, lifetime, granted, Viewer::Connected(conn));
        let session = session.with_sound(audio);
        let caps = self.sealed_caps(&session);
        let session = self.add_session(now, session)?;
        let ice_servers = self.issue_ice_servers(&session, now);
        let params = ConnectDeviceParams {
            session: session.clone(),
            profile: Some(camera),
            ice_servers,
            expiry_time_seconds: Some(whole_seconds(lifetime)),
            audio,
            caps,
        };
        let kind = RequestKind::Connect;
        let request = PendingRequest { kind, session, origin: call.origin() };
        self.send_request(now, gateway_conn, ConnectDevice::NAME, rpc::write(&params), request)
    }

    /// Returns the limits of a session as its gateway is told of them.
    pub(crate) fn sealed_caps(&self, session: &Session) -> Vec<RateCap> {
        let key = &self.config.session_key;
        session.caps().iter().map(|cap| cap.sealed(key)).collect()
    }

    /// Handles the gateway's response to `connect`: it accepts the session or refuses it.
    pub(crate) fn handle_connect_result(
        &mut self,
        now: Now,
        id: &SessionId,
        origin: Origin,
        outcome: Result<Value, Fault>,
    ) {
        let result = match outcome.and_then(rpc::read::<ConnectDeviceResult>) {
            Ok(result) => result,
            Err(fault) => {
                self.end_session(now, id, EndReason::Refused);
                return self.refuse(origin, fault);
            }
        };
        self.count_accepted(now, id);
        // Without a session, the client has disconnected meanwhile and the gateway was told.
        let Some(session) = self.sessions.get_mut(id) else { return };
        let ice_servers = session.accept();
        let left = session.expires_at().saturating_duration_since(now.instant);
        let registered = self.directory.capabilities(session.gateway());
        let result = ConnectResult {
            session: id.clone(),
            ice_servers,
            expiry_time_seconds: Some(whole_seconds(left)),
            capabilities: result.capabilities.or(registered),
        };
        if let Origin::Peer { conn, id } = origin {
            self.send(conn, Message::result::<Connect>(id, &result));
        }
    }

    /// Handles `extend`. A client that has reconnected also resumes its session with it.
    pub(crate) fn handle_extend(
        &mut self,
        call: &Call,
        admitted: Admitted,
        params: Value,
    ) -> Result<(), Fault> {
        let params: ExtendParams = rpc::read(params)?;
        match params.authorization {
            Some(token) => {
                self.look_up(call, Lookup::Token(token), Continuation::Extend(params.session))
            }
            None => self.extend_as(call, &params.session, &admitted),
        }
    }

    pub(crate) fn extend_as(
        &mut self,
        call: &Call,
        id: &SessionId,
        admitted: &Admitted,
    ) -> Result<(), Fault> {
        let (now, conn) = (call.now, call.conn);
        admitted.check_expiry(now)?;
        let client = self.admit(now, conn, Action::Extend)?;
        let subject = client.principal()?.subject();
        let unknown = || no_such_session(code::NOT_FOUND);
        let session = self.sessions.get(id).ok_or_else(unknown)?;
        if !session.can_be_extended_by(conn, subject) {
            return Err(unknown());
        }
        let granted = admitted.camera(session.gateway(), session.camera(), now)?;
        let hears = || admitted.may_listen(session.gateway(), session.camera(), now);
        if session.has_sound() && !hears() {
            let text = "this token may not hear the camera, and the session has its sound: connect \
                        with this token instead";
            return Err(Fault::new(code::FORBIDDEN, text));
        }
        // The gateway keeps to the limits with which the session began.
        if granted.principal().caps().iter().any(|cap| !session.caps().contains(cap)) {
            let text = "this token has a limit of what is sent, and the session is without it: \
                        connect with this token instead";
            return Err(Fault::new(code::FORBIDDEN, text));
        }
        let lifetime = granted.lifetime(now, self.config.limits.session_lifetime);
        let gateway_conn = self.reach(Address::Gateway(session.gateway()))?;
        if session.is_pending() || session.has_request(RequestKind::Extend) {
            let text = "another request for this session is in progress; wait for it";
            return Err(Fault::new(code::BAD_REQUEST, text));
        }
        let expires_at = now.instant + lifetime;
        self.sessions.prolong(id, granted, expires_at, &self.config.limits)?;
        self.sessions.attach_client(conn, id);
        self.timers.set(expires_at, Timer::Session(id.clone()));
        let ice_servers = self.ice_servers_message(id, now);
        self.send(conn, ice_servers.clone());
        self.send(gateway_conn, ice_servers);
        let params = rpc::write(&ExtendParams {
            session: id.clone(),
            authorization: None,
            expiry_time_seconds: Some(whole_seconds(lifetime)),
        });
        let kind = RequestKind::Extend;
        let request = PendingRequest { kind, session: id.clone(), origin: call.origin() };
        self.send_request(now, gateway_conn, Extend::NAME, params, request)
    }
}
