//! The viewer's core: registers, connects, answers the offer and counts frames.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use porthole_gateway_core::camera::{CameraChange, ControlFacts, SourceEvent, StreamId};
use porthole_gateway_core::dtls_srtp::{DtlsRole, Identity};
use porthole_gateway_core::ice::{LocalBase, Path};
use porthole_gateway_core::question::QuestionEvent;
use porthole_gateway_core::reflexive::ReflexiveGatherer;
use porthole_gateway_core::{Core, IceServerEndpoint, Output, TurnClientId};
use porthole_signaling_proto::method::{
    Cameras, CamerasParams, Close, Connect, ConnectParams, ConnectResult, Empty, Invite,
    InviteParams, InviteResult, Method, Notification as _, Register, RegisterParams, SessionParams,
    Trickle, TrickleParams,
};
use porthole_signaling_proto::rpc::{Message, RequestId, Value};
use porthole_signaling_proto::{Camera, CameraId, SessionId, rpc};
use porthole_viewer::{ViewerConfig, ViewerOutput, ViewerSession};

use crate::events;

const REGISTER: i64 = 1;
const CONNECT: i64 = 2;

/// Minimum time between two reports of the number of frames.
const REPORT_INTERVAL: Duration = Duration::from_millis(200);

pub(crate) struct Watch {
    camera: CameraId,
    turn_only: bool,
    identity: Identity,
    addresses: Vec<SocketAddr>,
    reflexive: ReflexiveGatherer,
    connect_sent: bool,
    connected: Option<ConnectResult>,
    session: Option<ViewerSession>,
    invite: Option<RequestId>,
    early_candidates: Vec<String>,
    path: Option<(LocalBase, SocketAddr)>,
    frames: u64,
    last_report: Option<Instant>,
    outbox: VecDeque<Output>,
}

impl Watch {
    pub(crate) fn new(camera: CameraId, turn_only: bool) -> anyhow::Result<Self> {
        Ok(Self {
            camera,
            turn_only,
            identity: Identity::generate().context("no certificate")?,
            addresses: Vec::new(),
            reflexive: ReflexiveGatherer::default(),
            connect_sent: false,
            connected: None,
            session: None,
            invite: None,
            early_candidates: Vec::new(),
            path: None,
            frames: 0,
            last_report: None,
            outbox: VecDeque::new(),
        })
    }

    fn signal(&mut self, message: Message) {
        self.outbox.push_back(Output::Signal(message));
    }

    fn request<M: Method>(&mut self, id: i64, params: &M::Params) {
        self.signal(Message::request::<M>(id, params));
    }

    fn handle_notification(&mut self, now: Instant, method: &str, params: Value) {
        match method {
            Cameras::NAME => {
                if let Ok(CamerasParams { cameras }) = rpc::read(params) {
                    let has_stream = |camera: &Camera| {
                        let mut streams = camera.report.streams.iter();
                        camera.report.id == self.camera || streams.any(|s| s.id == self.camera)
                    };
                    let found = cameras.into_iter().find(has_stream);
                    if let Some(camera) = found.filter(|_| !self.connect_sent) {
                        self.connect_sent = true;
                        self.request::<Connect>(
                            CONNECT,
                            &ConnectParams {
                                peer: camera.gateway,
                                profile: Some(self.camera.clone()),
                                authorization: None,
                                audio: Some(false),
                            },
                        );
                    }
                }
            }
            Trickle::NAME => {
                if let Ok(TrickleParams { candidate, .. }) = rpc::read(params) {
                    match &mut self.session {
                        Some(session) => session.handle_candidate(now, &candidate.candidate),
                        None => self.early_candidates.push(candidate.candidate),
                    }
                }
            }
            _ => {}
        }
    }

    fn handle_invite(&mut self, now: Instant, id: RequestId, params: Value) {
        let Ok(InviteParams { offer, .. }) = rpc::read(params) else { return };
        let Some(connected) = &self.connected else { return };
        self.invite = Some(id);
        if let Some(session) = &mut self.session {
            if let Err(error) = session.handle_offer(now, &offer) {
                events::error(&error.to_string());
            }
            return;
        }
        let config = ViewerConfig {
            identity: self.identity.clone(),
            ice_servers: connected.ice_servers.clone(),
            turn_only: self.turn_only,
            role: DtlsRole::Client,
            seed: rand::random(),
        };
        match ViewerSession::new(now, config, &offer) {
            Ok(mut session) => {
                session.set_addresses(now, &self.addresses);
                for (base, mapped) in self.reflexive.known() {
                    session.handle_reflexive(now, base, mapped);
                }
                for candidate in std::mem::take(&mut self.early_candidates) {
                    session.handle_candidate(now, &candidate);
                }
                self.session = Some(session);
            }
            Err(error) => events::error(&error.to_string()),
        }
    }

    fn session_id(&self) -> Option<SessionId> {
        self.connected.as_ref().map(|connected| connected.session.clone())
    }

    /// Processes the outputs of the session and the gatherer.
    fn process_outputs(&mut self, now: Instant) {
        while let Some(datagram) = self.reflexive.poll_transmit() {
            self.outbox.push_back(Output::Datagram(datagram));
        }
        while let Some(server) = self.reflexive.poll_resolve() {
            self.outbox.push_back(Output::Resolve(server));
        }
        if let Some(session) = self.session.as_mut().filter(|_| self.reflexive.is_complete()) {
            session.handle_reflexive_complete(now);
        }
        let Some(id) = self.session_id() else { return };
        while let Some(output) = self.session.as_mut().and_then(ViewerSession::poll_output) {
            match output {
                ViewerOutput::Datagram(datagram) => {
                    self.outbox.push_back(Output::Datagram(datagram));
                }
                ViewerOutput::TurnTransport(index, command) => {
                    let key = TurnClientId { session: id.clone(), index };
                    self.outbox.push_back(Output::TurnTransport(key, command));
                }
                ViewerOutput::Answer(answer) => {
                    if let Some(request) = self.invite.take() {
                        let result = InviteResult { answer, subprotocols: None };
                        self.signal(Message::result::<Invite>(request, &result));
                    }
                }
                ViewerOutput::Trickle(candidate) => {
                    let params = TrickleParams { session: id.clone(), candidate };
                    self.signal(Message::notification::<Trickle>(&params));
                }
                ViewerOutput::Frame(_) => self.count_frame(now),
                ViewerOutput::Ended(reason) => events::error(&reason),
                ViewerOutput::Started | ViewerOutput::Rtcp(_) => {}
            }
        }
        self.report_path();
    }

    fn count_frame(&mut self, now: Instant) {
        self.frames += 1;
        let due = self.last_report.is_none_or(|last| now >= last + REPORT_INTERVAL);
        if due {
            self.last_report = Some(now);
            events::frames(self.frames);
        }
    }

    fn report_path(&mut self) {
        let Some(session) = &self.session else { return };
        let Some(path) = session.path().filter(|_| session.is_started()) else { return };
        let now: Option<(LocalBase, SocketAddr)> = Some((path.base, path.remote));
        if self.path != now {
            self.path = now;
            let Path { base, .. } = path;
            let relay = match base {
                LocalBase::Allocation(index) => session.turn_transport(index),
                LocalBase::Socket(_) => None,
            };
            events::path(&path, relay);
        }
    }
}

impl Core for Watch {
    fn handle_online(&mut self, _now: Instant) {
        self.request::<Register>(REGISTER, &RegisterParams::default());
    }

    fn handle_offline(&mut self, _now: Instant) {}

    fn handle_message(&mut self, now: Instant, message: Message) {
        match message {
            Message::Request { id, method, params } if method == Invite::NAME => {
                self.handle_invite(now, id, params);
            }
            Message::Request { id, .. } => {
                // Other requests, such as `extend`, need no action.
                self.signal(Message::result::<porthole_signaling_proto::method::Unregister>(
                    id,
                    &Empty {},
                ));
            }
            Message::Notification { method, params } => {
                self.handle_notification(now, &method, params)
            }
            Message::Response { id: Some(RequestId::Number(CONNECT)), outcome } => {
                match outcome.and_then(rpc::read::<ConnectResult>) {
                    Ok(result) => {
                        if !self.turn_only {
                            self.reflexive.refresh(now, &result.ice_servers);
                        }
                        self.connected = Some(result);
                    }
                    Err(fault) => events::error(&fault.to_string()),
                }
            }
            Message::Response { outcome: Err(fault), .. } => events::error(&fault.to_string()),
            Message::Response { .. } | Message::Error(_) => {}
        }
        self.process_outputs(now);
    }

    fn handle_datagram(&mut self, now: Instant, local: SocketAddr, from: SocketAddr, bytes: &[u8]) {
        let response = self.reflexive.handle_response(from, bytes);
        if let (Some(session), Some((base, mapped))) = (&mut self.session, response) {
            session.handle_reflexive(now, base, mapped);
        } else if let Some(session) = &mut self.session {
            session.handle_datagram(now, LocalBase::Socket(local), from, bytes);
        }
        self.process_outputs(now);
    }

    fn handle_turn_transport_opened(&mut self, now: Instant, key: &TurnClientId) {
        if let Some(session) = &mut self.session {
            session.handle_turn_transport_opened(now, key.index);
        }
        self.process_outputs(now);
    }

    fn handle_turn_transport_data(&mut self, now: Instant, key: &TurnClientId, bytes: &[u8]) {
        if let Some(session) = &mut self.session {
            session.handle_turn_transport_data(now, key.index, bytes);
        }
        self.process_outputs(now);
    }

    fn handle_turn_transport_closed(&mut self, now: Instant, key: &TurnClientId) {
        if let Some(session) = &mut self.session {
            session.handle_turn_transport_closed(now, key.index);
        }
        self.process_outputs(now);
    }

    fn handle_resolved(&mut self, now: Instant, server: &IceServerEndpoint, found: &[SocketAddr]) {
        self.reflexive.handle_resolved(now, server, found);
        self.process_outputs(now);
    }

    fn handle_source_events(&mut self, _: Instant, _: &StreamId, _: Vec<SourceEvent>) {}

    fn change_camera(&mut self, _now: Instant, _change: CameraChange) {}

    fn handle_question_event(&mut self, _now: Instant, _event: QuestionEvent) {}

    fn handle_control(&mut self, _now: Instant, _camera: &CameraId, _facts: ControlFacts) {}

    fn set_addresses(&mut self, now: Instant, addresses: Vec<SocketAddr>) {
        if let Some(session) = &mut self.session {
            session.set_addresses(now, &addresses);
        }
        if self.addresses != addresses {
            self.reflexive.set_bases(addresses.clone());
        }
        self.addresses = addresses;
        self.process_outputs(now);
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        let session = self.session.as_ref().and_then(ViewerSession::poll_timeout);
        session.into_iter().chain(self.reflexive.poll_timeout()).min()
    }

    fn handle_timeout(&mut self, now: Instant) {
        if let Some(session) = &mut self.session {
            session.handle_timeout(now);
        }
        self.reflexive.handle_timeout(now);
        self.process_outputs(now);
    }

    fn close(&mut self, now: Instant) {
        if let Some(session) = &mut self.session {
            session.close(now);
        }
        self.process_outputs(now);
        if let Some(session) = self.session_id() {
            self.signal(Message::notification::<Close>(&SessionParams { session }));
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outbox.pop_front()
    }
}
