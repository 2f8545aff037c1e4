//! What the signaling server asks of the gateway, one method for each message.

use super::{Gateway, MAX_SESSIONS, Pending};
use crate::Output;
use crate::session::{Session, SessionConfig};
use porthole_signaling_proto::method::{
    Close, ConnectDevice, ConnectDeviceParams, ConnectDeviceResult, Extend, ExtendParams,
    ExtendResult, IceServers, IceServersParams, Invite, InviteParams, InviteResult, Method,
    Notice as _, Offer, OfferParams, OfferResult, RefusedCamera, ReportResult, Restart,
    RestartParams, RestartResult, SessionParams, Trickle, TrickleParams,
};
use porthole_signaling_proto::rpc::{self, Fault, Message, RequestId, Value, code};
use porthole_signaling_proto::{CameraId, IceCandidate, IceServer, SessionId};
use rand::Rng as _;
use std::time::{Duration, Instant};
use tracing::{debug, warn};

/// How long a session may last when the server names no time.
const DEFAULT_EXPIRY: Duration = Duration::from_secs(24 * 3600);

/// What a session begins with, whoever makes the offer.
struct Beginning<'a> {
    session: &'a SessionId,
    profile: Option<CameraId>,
    ice_servers: &'a [IceServer],
    expiry_time_seconds: Option<u32>,
}

impl Gateway {
    pub(super) fn dispatch(&mut self, now: Instant, message: Message) {
        match message {
            Message::Request { id, method, params } => self.take_request(now, id, &method, params),
            Message::Notification { method, params } => self.take_notice(now, &method, params),
            Message::Response { id, outcome } => self.take_response(now, id, outcome),
            Message::Error(fault) => debug!("the signaling server says: {fault}"),
        }
    }

    fn take_request(&mut self, now: Instant, id: RequestId, method: &str, params: Value) {
        let refused = match method {
            ConnectDevice::NAME => {
                rpc::read(params).and_then(|params| self.take_connect(now, &id, params))
            }
            Offer::NAME => rpc::read(params).and_then(|params| self.take_offer(now, &id, params)),
            Restart::NAME => {
                rpc::read(params).and_then(|params| self.take_restart(now, &id, params))
            }
            Extend::NAME => rpc::read(params).and_then(|params| self.take_extend(now, &id, params)),
            _ => {
                let why = format!("this gateway knows no method `{method}`");
                Err(Fault::new(code::METHOD_NOT_FOUND, why))
            }
        };
        if let Err(fault) = refused {
            self.signal(Message::fault(Some(id), fault));
        }
    }

    fn take_notice(&mut self, now: Instant, method: &str, params: Value) {
        match method {
            Trickle::NAME => {
                if let Ok(TrickleParams { session, candidate }) = rpc::read(params) {
                    self.take_trickle(now, &session, &candidate);
                }
            }
            IceServers::NAME => {
                if let Ok(IceServersParams { session, ice_servers }) = rpc::read(params)
                    && let Some(session) = self.sessions.get_mut(&session)
                {
                    session.set_ice_servers(ice_servers);
                }
            }
            Close::NAME => {
                if let Ok(SessionParams { session }) = rpc::read(params) {
                    self.end_session(now, &session, "the viewer left");
                }
            }
            _ => {}
        }
    }

    /// Somebody wants to watch, and we make the offer (ONVIF WebRTC §5.4).
    fn take_connect(
        &mut self,
        now: Instant,
        id: &RequestId,
        params: ConnectDeviceParams,
    ) -> Result<(), Fault> {
        let beginning = Beginning {
            session: &params.session,
            profile: params.profile,
            ice_servers: &params.ice_servers,
            expiry_time_seconds: params.expiry_time_seconds,
        };
        let (camera, config) = self.begin(now, beginning)?;
        let format = self.cameras.get(&camera).and_then(|camera| camera.format());
        let session = Session::offering(now, config, format).map_err(|e| unusable(&e))?;
        self.reply::<ConnectDevice>(
            id,
            &ConnectDeviceResult { capabilities: Some(vec!["extend".to_owned()]) },
        );
        self.admit(now, &params.session, &camera, session, &params.ice_servers);
        Ok(())
    }

    /// Somebody wants to watch and makes the offer (WHEP). Answered once we know where we are.
    fn take_offer(
        &mut self,
        now: Instant,
        id: &RequestId,
        params: OfferParams,
    ) -> Result<(), Fault> {
        let beginning = Beginning {
            session: &params.session,
            profile: Some(params.profile),
            ice_servers: &params.ice_servers,
            expiry_time_seconds: params.expiry_time_seconds,
        };
        let (camera, config) = self.begin(now, beginning)?;
        let format = self.cameras.get(&camera).and_then(|camera| camera.format());
        let session =
            Session::answering(now, config, format, &params.offer).map_err(|e| unusable(&e))?;
        self.answers_due.insert(params.session.clone(), id.clone());
        self.admit(now, &params.session, &camera, session, &params.ice_servers);
        Ok(())
    }

    fn begin(
        &mut self,
        now: Instant,
        b: Beginning<'_>,
    ) -> Result<(CameraId, SessionConfig), Fault> {
        if self.sessions.contains_key(b.session) {
            return Err(Fault::new(code::CONFLICT, "the session exists already"));
        }
        if self.sessions.len() >= MAX_SESSIONS {
            let why = format!("this gateway serves {MAX_SESSIONS} viewers already");
            return Err(Fault::new(code::INSUFFICIENT_RESOURCES, why));
        }
        let camera = match b.profile {
            Some(camera) => camera,
            None => self.cameras.keys().next().cloned().ok_or_else(no_camera)?,
        };
        if !self.cameras.contains_key(&camera) {
            return Err(no_camera());
        }
        let life = b.expiry_time_seconds.map_or(DEFAULT_EXPIRY, |s| Duration::from_secs(s.into()));
        let config = SessionConfig {
            camera: camera.clone(),
            identity: self.identity.clone(),
            ice_servers: b.ice_servers.to_vec(),
            turn_only: self.turn_only,
            expires: now + life,
            seed: self.rng.random(),
        };
        Ok((camera, config))
    }

    fn admit(
        &mut self,
        now: Instant,
        id: &SessionId,
        camera: &CameraId,
        session: Session,
        ice_servers: &[IceServer],
    ) {
        self.sessions.insert(id.clone(), session);
        if let Some(camera) = self.cameras.get_mut(camera) {
            camera.add_viewer();
        }
        self.drain_camera(camera);
        self.drain_session(now, id);
        self.discovery.refresh(now, ice_servers);
        self.gather(now, id);
        self.drain_discovery(now);
    }

    fn take_trickle(&mut self, now: Instant, id: &SessionId, candidate: &IceCandidate) {
        self.with_session(now, id, |session| session.handle_candidate(now, &candidate.candidate));
    }

    fn take_extend(
        &mut self,
        now: Instant,
        id: &RequestId,
        params: ExtendParams,
    ) -> Result<(), Fault> {
        let session = self.sessions.get_mut(&params.session).ok_or_else(no_session)?;
        let seconds = params
            .expiry_time_seconds
            .unwrap_or_else(|| u32::try_from(DEFAULT_EXPIRY.as_secs()).unwrap_or(u32::MAX));
        session.extend(now + Duration::from_secs(seconds.into()));
        self.reply::<Extend>(id, &ExtendResult { expiry_time_seconds: seconds });
        Ok(())
    }

    fn take_restart(
        &mut self,
        now: Instant,
        id: &RequestId,
        params: RestartParams,
    ) -> Result<(), Fault> {
        let session = self.sessions.get_mut(&params.session).ok_or_else(no_session)?;
        let fragment =
            session.restart_from_viewer(now, &params.fragment).map_err(|e| unusable(&e))?;
        self.reply::<Restart>(id, &RestartResult { fragment });
        self.gather(now, &params.session);
        Ok(())
    }

    fn take_response(
        &mut self,
        now: Instant,
        id: Option<RequestId>,
        outcome: Result<Value, Fault>,
    ) {
        let Some(RequestId::Number(id)) = id else { return };
        match self.pending.remove(&id) {
            Some(Pending::Report) => take_report_result(outcome),
            Some(Pending::Invite(session)) => self.take_invite_result(now, &session, outcome),
            None => debug!("the signaling server answers what was not asked"),
        }
    }

    fn take_invite_result(&mut self, now: Instant, id: &SessionId, outcome: Result<Value, Fault>) {
        let answer = outcome.and_then(rpc::read::<InviteResult>);
        match answer {
            Ok(result) => {
                self.with_session(now, id, |session| session.handle_answer(now, &result.answer));
            }
            Err(fault) => {
                let started = self.sessions.get(id).is_some_and(Session::is_started);
                // A restart that is refused leaves the path that there is.
                if !started {
                    self.end_session(now, id, &format!("no answer to the offer: {fault}"));
                }
            }
        }
    }

    pub(super) fn send_invite(&mut self, id: &SessionId, offer: String) {
        let params = InviteParams { session: id.clone(), offer, subprotocols: None };
        self.request::<Invite>(&params, Pending::Invite(id.clone()));
    }

    pub(super) fn send_answer(&mut self, id: &SessionId, answer: String) {
        if let Some(request) = self.answers_due.remove(id) {
            self.reply::<Offer>(&request, &OfferResult { answer });
        }
    }

    pub(super) fn send_trickle(&mut self, id: &SessionId, candidate: IceCandidate) {
        let params = TrickleParams { session: id.clone(), candidate };
        self.signal(Message::notification::<Trickle>(&params));
    }

    /// Tells the viewer that it is over, and why.
    pub(super) fn send_close(&mut self, id: &SessionId, reason: &str) {
        let why = Fault { session: Some(id.clone()), ..Fault::new(code::GONE, reason) };
        self.signal(Message::Error(why));
        self.signal(Message::notification::<Close>(&SessionParams { session: id.clone() }));
    }

    pub(super) fn request<M: Method>(&mut self, params: &M::Params, pending: Pending) {
        if !self.online {
            return;
        }
        self.next_request += 1;
        self.pending.insert(self.next_request, pending);
        self.signal(Message::request::<M>(self.next_request, params));
    }

    fn reply<M: Method>(&mut self, id: &RequestId, result: &M::Result) {
        self.signal(Message::result::<M>(id.clone(), result));
    }

    pub(super) fn signal(&mut self, message: Message) {
        if self.online {
            self.outbox.push_back(Output::Signal(message));
        }
    }
}

fn take_report_result(outcome: Result<Value, Fault>) {
    match outcome.and_then(rpc::read::<ReportResult>) {
        Ok(result) => {
            for refused in result.refused {
                let RefusedCamera { id, reason } = refused;
                warn!(camera = %id, "the server does not take the camera: {reason}");
            }
        }
        Err(fault) => warn!("the server does not take the report of the cameras: {fault}"),
    }
}

fn no_camera() -> Fault {
    Fault::new(code::NOT_FOUND, "this gateway has no such camera")
}

fn no_session() -> Fault {
    Fault::new(code::NOT_FOUND, "this gateway has no such session")
}

fn unusable(error: &dyn std::fmt::Display) -> Fault {
    Fault::new(code::BAD_REQUEST, error.to_string())
}
