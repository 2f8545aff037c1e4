//! Messages of the signaling server, one method for each.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use porthole_signaling_proto::method::{
    Close, ConnectDevice, ConnectDeviceParams, ConnectDeviceResult, Extend, ExtendParams,
    ExtendResult, IceServers, IceServersParams, Invite, InviteParams, InviteResult, Method,
    Notification as _, Offer, OfferParams, OfferResult, RefusedCamera, ReportResult, Restart,
    RestartParams, RestartResult, SessionParams, Trickle, TrickleParams,
};
use porthole_signaling_proto::rpc::{Fault, Message, RequestId, Value, code};
use porthole_signaling_proto::{CameraId, IceCandidate, IceServer, SessionId, rpc};
use rand::Rng as _;
use tracing::{debug, warn};

use super::{Gateway, MAX_SESSIONS, PendingRequest};
use crate::Output;
use crate::camera::{StreamId, Viewer};
use crate::sdp::MediaKind;
use crate::session::{SectionConfig, Session, SessionConfig};

/// Lifetime of a session for which the server names none.
const DEPANIC_REASON_EXPIRY: Duration = Duration::from_secs(24 * 3600);

/// Time for which a viewer waits for a camera whose format is not known yet: the time that a camera
/// may take to connect (`CONNECT_TIMEOUT` of the ingest), well within the server's own timeout.
const FORMAT_TIMEOUT: Duration = Duration::from_secs(5);

/// A request to watch a camera.
#[derive(Debug)]
enum ViewerRequest {
    /// The gateway makes the offer (ONVIF WebRTC §5.4).
    Connect(ConnectDeviceParams),
    /// The viewer has made the offer (WHEP).
    Offer(OfferParams),
}

/// A viewer waiting for the format of its camera.
#[derive(Debug)]
pub(super) struct PendingViewer {
    id: RequestId,
    stream: StreamId,
    pub(super) deadline: Instant,
    request: ViewerRequest,
}

impl ViewerRequest {
    fn session(&self) -> &SessionId {
        match self {
            Self::Connect(params) => &params.session,
            Self::Offer(params) => &params.session,
        }
    }

    fn profile(&self) -> Option<&CameraId> {
        match self {
            Self::Connect(params) => params.profile.as_ref(),
            Self::Offer(params) => Some(&params.profile),
        }
    }

    fn ice_servers(&self) -> &[IceServer] {
        match self {
            Self::Connect(params) => &params.ice_servers,
            Self::Offer(params) => &params.ice_servers,
        }
    }

    /// Returns the address of a viewer that may gather no candidate with it.
    fn viewer_address(&self) -> Option<IpAddr> {
        match self {
            Self::Connect(_) => None,
            Self::Offer(params) => params.viewer_address,
        }
    }

    fn lifetime(&self) -> Duration {
        let seconds = match self {
            Self::Connect(params) => params.expiry_time_seconds,
            Self::Offer(params) => params.expiry_time_seconds,
        };
        seconds.map_or(DEPANIC_REASON_EXPIRY, |seconds| Duration::from_secs(seconds.into()))
    }
}

impl Gateway {
    pub(super) fn dispatch(&mut self, now: Instant, message: Message) {
        match message {
            Message::Request { id, method, params } => {
                self.handle_request(now, id, &method, params)
            }
            Message::Notification { method, params } => {
                self.handle_notification(now, &method, params)
            }
            Message::Response { id, outcome } => self.handle_response(now, id, outcome),
            Message::Error(fault) => debug!("error from the signaling server: {fault}"),
        }
    }

    fn handle_request(&mut self, now: Instant, id: RequestId, method: &str, params: Value) {
        let handled = match method {
            ConnectDevice::NAME => rpc::read(params)
                .and_then(|params| self.admit_or_queue(now, &id, ViewerRequest::Connect(params))),
            Offer::NAME => rpc::read(params)
                .and_then(|params| self.admit_or_queue(now, &id, ViewerRequest::Offer(params))),
            Restart::NAME => {
                rpc::read(params).and_then(|params| self.handle_restart(now, &id, params))
            }
            Extend::NAME => {
                rpc::read(params).and_then(|params| self.handle_extend(now, &id, params))
            }
            _ => {
                let why = format!("this gateway knows no method `{method}`");
                Err(Fault::new(code::METHOD_NOT_FOUND, why))
            }
        };
        if let Err(fault) = handled {
            self.signal(Message::fault(Some(id), fault));
        }
    }

    fn handle_notification(&mut self, now: Instant, method: &str, params: Value) {
        match method {
            Trickle::NAME => {
                if let Ok(TrickleParams { session, candidate }) = rpc::read(params) {
                    self.handle_trickle(now, &session, &candidate);
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

    /// Handles a request to watch. The format of a camera must be known to offer it, so the first
    /// viewer of a camera waits until it is connected, at most [`FORMAT_TIMEOUT`].
    fn admit_or_queue(
        &mut self,
        now: Instant,
        id: &RequestId,
        request: ViewerRequest,
    ) -> Result<(), Fault> {
        let stream = self.find_stream(request.profile())?;
        let pending = self.pending_viewers.len();
        let Some(known) = self.stream_mut(&stream) else { return Err(no_camera()) };
        if known.format().is_some() || pending >= MAX_SESSIONS {
            return self.begin_session(now, id, stream, request);
        }
        known.add_viewer(viewer(request.session()));
        self.collect_stream_outputs(&stream);
        let deadline = now + FORMAT_TIMEOUT;
        self.pending_viewers.push_back(PendingViewer { id: id.clone(), stream, deadline, request });
        Ok(())
    }

    /// Begins the sessions of viewers whose camera's format is known by now, or who have waited
    /// long enough.
    pub(super) fn admit_pending_viewers(&mut self, now: Instant) {
        for _ in 0..self.pending_viewers.len() {
            let Some(pending) = self.pending_viewers.pop_front() else { return };
            let known = self.stream(&pending.stream).is_some_and(|s| s.format().is_some());
            if !known && now < pending.deadline {
                self.pending_viewers.push_back(pending);
                continue;
            }
            let PendingViewer { id, stream, request, .. } = pending;
            let session = request.session().clone();
            if let Err(fault) = self.begin_session(now, &id, stream.clone(), request) {
                if !self.sessions.contains_key(&session)
                    && let Some(stream) = self.stream_mut(&stream)
                {
                    stream.remove_session(now, &session);
                }
                self.signal(Message::fault(Some(id), fault));
            }
        }
    }

    /// Finds the stream with this ONVIF profile token; without one, the first camera's main stream.
    fn find_stream(&self, profile: Option<&CameraId>) -> Result<StreamId, Fault> {
        let Some(profile) = profile else {
            let first = self.cameras.keys().next().ok_or_else(no_camera)?;
            return Ok(StreamId::main(first.clone()));
        };
        let owner = profile.main_stream();
        let candidates = [Some(profile.clone()), owner].into_iter().flatten();
        let found = candidates.into_iter().find_map(|camera| {
            let role = self.cameras.get(&camera)?.role_of(profile)?;
            Some(StreamId { camera, role })
        });
        found.ok_or_else(no_camera)
    }

    /// Begins a session. With [`ViewerRequest::Connect`] the gateway makes the offer; with
    /// [`ViewerRequest::Offer`] the answer follows once candidates are gathered.
    fn begin_session(
        &mut self,
        now: Instant,
        id: &RequestId,
        stream: StreamId,
        request: ViewerRequest,
    ) -> Result<(), Fault> {
        let session_id = request.session().clone();
        let ice_servers = request.ice_servers().to_vec();
        if self.sessions.contains_key(&session_id) {
            return Err(Fault::new(code::CONFLICT, "this session exists already"));
        }
        if self.sessions.len() >= MAX_SESSIONS {
            let why = format!("this gateway serves {MAX_SESSIONS} viewers already");
            return Err(Fault::new(code::INSUFFICIENT_RESOURCES, why));
        }
        let lifetime = request.lifetime();
        let viewer_address = request.viewer_address();
        let format = self.stream(&stream).and_then(|stream| stream.format()).cloned();
        let video = SectionConfig { kind: MediaKind::Video, source: stream.clone(), format };
        let config = SessionConfig {
            sections: vec![video],
            identity: self.identity.clone(),
            ice_servers: ice_servers.clone(),
            turn_only: self.turn_only,
            expires: now + lifetime,
            seed: self.rng.random(),
        };
        let session = super::catch_panic(|| match &request {
            ViewerRequest::Connect(_) => Session::offering(now, config),
            ViewerRequest::Offer(params) => Session::answering(now, config, &params.offer),
        });
        let session = session
            .ok_or_else(|| bad_request(&super::PANIC_REASON))?
            .map_err(|e| bad_request(&e))?;
        match request {
            ViewerRequest::Connect(_) => {
                let capabilities = Some(vec!["extend".to_owned()]);
                self.reply::<ConnectDevice>(id, &ConnectDeviceResult { capabilities });
            }
            ViewerRequest::Offer(_) => {
                self.pending_whep_answers.insert(session_id.clone(), id.clone());
            }
        }
        self.add_session(now, &session_id, &stream, session, &ice_servers);
        if let Some(address) = viewer_address {
            self.with_session(now, &session_id, |session| session.permit(now, address));
        }
        Ok(())
    }

    fn add_session(
        &mut self,
        now: Instant,
        id: &SessionId,
        stream: &StreamId,
        session: Session,
        ice_servers: &[IceServer],
    ) {
        self.sessions.insert(id.clone(), session);
        if let Some(stream) = self.stream_mut(stream) {
            stream.add_viewer(viewer(id));
        }
        self.collect_stream_outputs(stream);
        self.process_session_outputs(now, id);
        self.reflexive.refresh(now, ice_servers);
        self.gather(now, id);
        self.process_reflexive_outputs(now);
    }

    fn handle_trickle(&mut self, now: Instant, id: &SessionId, candidate: &IceCandidate) {
        self.with_session(now, id, |session| session.handle_candidate(now, &candidate.candidate));
    }

    fn handle_extend(
        &mut self,
        now: Instant,
        id: &RequestId,
        params: ExtendParams,
    ) -> Result<(), Fault> {
        let session = self.sessions.get_mut(&params.session).ok_or_else(no_session)?;
        let seconds = params
            .expiry_time_seconds
            .unwrap_or_else(|| u32::try_from(DEPANIC_REASON_EXPIRY.as_secs()).unwrap_or(u32::MAX));
        session.set_expiry(now + Duration::from_secs(seconds.into()));
        self.reply::<Extend>(id, &ExtendResult { expiry_time_seconds: seconds });
        // A viewer that extends its session can receive an offer again.
        self.with_session(now, &params.session, |session| session.handle_signaling_restored(now));
        Ok(())
    }

    fn handle_restart(
        &mut self,
        now: Instant,
        id: &RequestId,
        params: RestartParams,
    ) -> Result<(), Fault> {
        let session = self.sessions.get_mut(&params.session).ok_or_else(no_session)?;
        let restarted =
            super::catch_panic(|| session.handle_restart_fragment(now, &params.fragment));
        restarted.ok_or_else(|| bad_request(&super::PANIC_REASON))?.map_err(|e| bad_request(&e))?;
        let servers = session.ice_servers().to_vec();
        self.pending_whep_restarts.insert(params.session.clone(), id.clone());
        self.reflexive.refresh(now, &servers);
        self.gather(now, &params.session);
        self.process_reflexive_outputs(now);
        Ok(())
    }

    fn handle_response(
        &mut self,
        now: Instant,
        id: Option<RequestId>,
        outcome: Result<Value, Fault>,
    ) {
        let Some(RequestId::Number(id)) = id else { return };
        match self.pending.remove(&id) {
            Some(PendingRequest::Report) => handle_report_result(outcome),
            Some(PendingRequest::Invite(session)) => {
                self.handle_invite_result(now, &session, outcome)
            }
            None => debug!("the signaling server sent a response without a request"),
        }
    }

    fn handle_invite_result(
        &mut self,
        now: Instant,
        id: &SessionId,
        outcome: Result<Value, Fault>,
    ) {
        let answer = outcome.and_then(rpc::read::<InviteResult>);
        match answer {
            Ok(result) => {
                self.with_session(now, id, |session| session.handle_answer(now, &result.answer));
            }
            Err(fault) => {
                let started = self.sessions.get(id).is_some_and(Session::is_started);
                // A refused restart leaves the current path as it is.
                if !started {
                    self.end_session(now, id, &format!("no answer to the offer: {fault}"));
                }
            }
        }
    }

    pub(super) fn send_invite(&mut self, id: &SessionId, offer: String) {
        let params = InviteParams { session: id.clone(), offer, subprotocols: None };
        self.request::<Invite>(&params, PendingRequest::Invite(id.clone()));
    }

    pub(super) fn send_answer(&mut self, id: &SessionId, answer: String) {
        if let Some(request) = self.pending_whep_answers.remove(id) {
            self.reply::<Offer>(&request, &OfferResult { answer });
        }
    }

    pub(super) fn send_fragment(&mut self, id: &SessionId, fragment: String) {
        if let Some(request) = self.pending_whep_restarts.remove(id) {
            self.reply::<Restart>(&request, &RestartResult { fragment });
        }
    }

    pub(super) fn send_trickle(&mut self, id: &SessionId, candidate: IceCandidate) {
        let params = TrickleParams { session: id.clone(), candidate };
        self.signal(Message::notification::<Trickle>(&params));
    }

    /// Tells the viewer that its session has ended, and why.
    pub(super) fn send_close(&mut self, id: &SessionId, reason: &str) {
        let why = Fault { session: Some(id.clone()), ..Fault::new(code::GONE, reason) };
        self.signal(Message::Error(why));
        self.signal(Message::notification::<Close>(&SessionParams { session: id.clone() }));
    }

    pub(super) fn request<M: Method>(&mut self, params: &M::Params, pending: PendingRequest) {
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

fn handle_report_result(outcome: Result<Value, Fault>) {
    match outcome.and_then(rpc::read::<ReportResult>) {
        Ok(result) => {
            for refused in result.refused {
                let RefusedCamera { id, reason } = refused;
                warn!(camera = %id, "the signaling server refuses the camera: {reason}");
            }
        }
        Err(fault) => warn!("the signaling server refuses the report of cameras: {fault}"),
    }
}

/// Returns the only section of a session, as a stream's viewer.
fn viewer(session: &SessionId) -> Viewer {
    Viewer { session: session.clone(), section: 0 }
}

fn no_camera() -> Fault {
    Fault::new(code::NOT_FOUND, "this gateway has no such camera")
}

fn no_session() -> Fault {
    Fault::new(code::NOT_FOUND, "this gateway has no such session")
}

fn bad_request(error: &dyn std::fmt::Display) -> Fault {
    Fault::new(code::BAD_REQUEST, error.to_string())
}
