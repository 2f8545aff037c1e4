//! Messages of the signaling server, one method for each.

use std::time::{Duration, Instant};

use porthole_signaling_proto::manage::CancelParams;
use porthole_signaling_proto::method::{
    Cancel, Close, ConnectDevice, Extend, ExtendParams, ExtendResult, IceServers, IceServersParams,
    Invite, InviteParams, InviteResult, Method, Notification as _, Offer, OfferResult,
    RefusedCamera, ReportResult, Restart, RestartParams, RestartResult, SessionParams, Trickle,
    TrickleParams,
};
use porthole_signaling_proto::rpc::{Fault, Message, RequestId, Value, code};
use porthole_signaling_proto::{IceCandidate, SessionId, rpc};
use tracing::{debug, warn};

use super::admission::ViewerRequest;
use super::{Gateway, PendingRequest};
use crate::Output;
use crate::question::Question;
use crate::session::Session;
use crate::stats::{EndReason, Refused};

/// Lifetime of a session for which the server names none.
pub(super) const DEFAULT_LIFETIME: Duration = Duration::from_secs(24 * 3600);

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
            _ => match Question::read(method, params) {
                Some(question) => question.and_then(|it| self.handle_question(now, id.clone(), it)),
                None => {
                    let why = format!("this gateway knows no method `{method}`");
                    Err(Fault::new(code::METHOD_NOT_FOUND, why))
                }
            },
        };
        if let Err(fault) = handled {
            self.stats.refused.add(Refused::of(fault.code), 1);
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
                    self.remove_pending_viewer(now, &session);
                    self.end_session(now, &session, EndReason::ViewerLeft, "the viewer left");
                }
            }
            Cancel::NAME => {
                if let Ok(CancelParams { request }) = rpc::read(params) {
                    self.cancel_question(&request);
                }
            }
            _ => {}
        }
    }

    fn handle_trickle(&mut self, now: Instant, id: &SessionId, candidate: &IceCandidate) {
        self.with_session(now, id, |session| session.handle_candidate(now, candidate));
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
            .unwrap_or_else(|| u32::try_from(DEFAULT_LIFETIME.as_secs()).unwrap_or(u32::MAX));
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
                    let words = format!("no answer to the offer: {fault}");
                    self.end_session(now, id, EndReason::NoAnswer, &words);
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

    pub(super) fn reply<M: Method>(&mut self, id: &RequestId, result: &M::Result) {
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

fn no_session() -> Fault {
    Fault::new(code::NOT_FOUND, "this gateway has no such session")
}

pub(super) fn bad_request(error: &dyn std::fmt::Display) -> Fault {
    Fault::new(code::BAD_REQUEST, error.to_string())
}
