//! Requests that the hub sends to a peer on behalf of another one: under a number of its own, and
//! with a deadline.

use std::time::Duration;

use porthole_clock::Now;
use porthole_signaling_proto::rpc::{Fault, Message, RequestId, code};
use porthole_signaling_proto::{MAX_GATEWAY_MESSAGE_BYTES, SessionId};
use serde_json::Value;

use crate::exchanges::Effect;
use crate::reasons::for_viewers;
use crate::timer::Timer;
use crate::whep::http;
use crate::{ConnId, Hub, WhepRequestId};

/// The longest sentence of a peer's fault that is forwarded.
const MAX_FAULT_CHARS: usize = 300;
/// Room for what is around the parameters of a request: version, id and method.
const ENVELOPE_BYTES: usize = 256;
/// The most bytes of offers and restarts to which one gateway has not responded yet: half of what
/// may wait in the queue of its WebSocket.
const MAX_PENDING_BYTES: usize = 512 * 1024;

/// A request to which a peer has not responded yet.
#[derive(Debug)]
pub(crate) struct PendingRequest {
    pub(crate) kind: RequestKind,
    pub(crate) session: SessionId,
    pub(crate) origin: Origin,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RequestKind {
    Connect,
    Invite,
    Extend,
    Offer,
    Restart,
}

/// The recipient of a request's outcome.
#[derive(Debug, Clone)]
pub(crate) enum Origin {
    Peer { conn: ConnId, id: RequestId },
    Whep(WhepRequestId),
}

impl Hub {
    /// Sends a request to a peer. A session has at most one pending request of each kind.
    pub(crate) fn send_request(
        &mut self,
        now: Now,
        to: ConnId,
        method: &str,
        params: Value,
        request: PendingRequest,
    ) -> Result<(), Fault> {
        let timeout = self.timeout(request.kind);
        let bytes = self.checked_size(to, request.kind, &params)?;
        let session = self.sessions.get_mut(&request.session);
        if session.is_some_and(|session| !session.begin_request(request.kind)) {
            let text = "the previous request of this kind in the session has no response yet";
            return Err(Fault::new(code::BAD_REQUEST, text));
        }
        let id = self.links.add_request(to, request, bytes);
        self.timers.set(now.instant + timeout, Timer::Request(to, id));
        let method = method.to_owned();
        self.send(to, Message::Request { id: RequestId::Number(id), method, params });
        Ok(())
    }

    /// Refuses what is too long for a gateway, and what would fill the send queue of its WebSocket,
    /// which would then be closed as too slow, for all viewers. Only offers and restarts over HTTP
    /// are that long.
    fn checked_size(&self, to: ConnId, kind: RequestKind, params: &Value) -> Result<usize, Fault> {
        if !matches!(kind, RequestKind::Offer | RequestKind::Restart) {
            return Ok(0);
        }
        let bytes = params.to_string().len();
        if bytes + ENVELOPE_BYTES > MAX_GATEWAY_MESSAGE_BYTES {
            let text = "the description is too long for the camera's gateway; send fewer lines";
            return Err(Fault::new(http::CONTENT_TOO_LARGE, text));
        }
        if self.links.pending_bytes(to) + bytes > MAX_PENDING_BYTES {
            let text = "the camera's gateway has too many offers to answer; try again";
            return Err(Fault::new(code::INSUFFICIENT_RESOURCES, text));
        }
        Ok(bytes)
    }

    pub(crate) fn handle_response(
        &mut self,
        now: Now,
        conn: ConnId,
        id: i64,
        outcome: Result<Value, Fault>,
    ) {
        let outcome = outcome.map_err(shortened);
        // A response that is late or answers no request has no entry.
        if let Some((asker, effect)) = self.exchanges.complete(conn, id) {
            self.timers.cancel(&Timer::Exchange(conn, id));
            match effect {
                Some(Effect::RemovalCheck(removal)) => {
                    self.handle_removal_check(now, asker, *removal, outcome);
                }
                Some(Effect::Removal(removal)) => {
                    self.handle_removal_result(asker, *removal, outcome);
                }
                Some(Effect::Change(change)) => self.handle_change_result(asker, *change, outcome),
                None => self.answer(asker, outcome),
            }
        } else if let Some(request) = self.links.take_request(conn, id) {
            self.timers.cancel(&Timer::Request(conn, id));
            let is_for_viewer = !matches!(request.kind, RequestKind::Invite);
            let outcome = outcome.map_err(|fault| match is_for_viewer {
                true => for_viewers(fault),
                false => fault,
            });
            self.complete_request(now, request, outcome);
        }
    }

    pub(crate) fn handle_request_timeout(&mut self, now: Now, conn: ConnId, id: i64) {
        let Some(request) = self.links.take_request(conn, id) else { return };
        let fault = match request.kind {
            RequestKind::Connect => {
                Fault::new(code::UNAVAILABLE, "the gateway did not respond; try again")
            }
            RequestKind::Invite => {
                Fault::new(code::REQUEST_TIMEOUT, "the client did not respond in time")
            }
            RequestKind::Extend | RequestKind::Offer | RequestKind::Restart => {
                Fault::new(code::REQUEST_TIMEOUT, "the gateway did not respond in time; try again")
            }
        };
        self.complete_request(now, request, Err(fault));
    }

    /// Fails every pending request to a peer that has disconnected.
    pub(crate) fn fail_requests_to(&mut self, now: Now, conn: ConnId) {
        for request in self.links.take_requests_to(conn) {
            let fault = match request.kind {
                RequestKind::Invite => Fault::new(code::GONE, "the client has disconnected"),
                RequestKind::Connect
                | RequestKind::Extend
                | RequestKind::Offer
                | RequestKind::Restart => {
                    Fault::new(code::UNAVAILABLE, "the gateway has just disconnected; try again")
                }
            };
            self.complete_request(now, request, Err(fault));
        }
    }

    fn complete_request(
        &mut self,
        now: Now,
        request: PendingRequest,
        outcome: Result<Value, Fault>,
    ) {
        let PendingRequest { kind, session, origin } = request;
        if let Some(session) = self.sessions.get_mut(&session) {
            session.end_request(kind);
            if kind == RequestKind::Invite && outcome.is_ok() {
                session.note_answer();
            }
        }
        match kind {
            RequestKind::Connect => self.handle_connect_result(now, &session, origin, outcome),
            RequestKind::Invite | RequestKind::Extend => self.forward_outcome(origin, outcome),
            RequestKind::Offer => self.handle_offer_result(now, &session, origin, outcome),
            RequestKind::Restart => self.handle_restart_result(now, &session, origin, outcome),
        }
    }

    /// Forwards an outcome unchanged to the peer that sent the request.
    fn forward_outcome(&mut self, origin: Origin, outcome: Result<Value, Fault>) {
        if let Origin::Peer { conn, id } = origin {
            self.send(conn, Message::Response { id: Some(id), outcome });
        }
    }

    pub(crate) fn refuse(&mut self, origin: Origin, fault: Fault) {
        match origin {
            Origin::Peer { conn, id } => self.send(conn, Message::fault(Some(id), fault)),
            Origin::Whep(request) => self.respond_whep(request, Err(fault)),
        }
    }

    fn timeout(&self, kind: RequestKind) -> Duration {
        let limits = &self.config.limits;
        match kind {
            RequestKind::Connect => limits.connect_timeout,
            RequestKind::Invite | RequestKind::Extend => limits.request_timeout,
            RequestKind::Offer | RequestKind::Restart => limits.offer_timeout,
        }
    }
}

/// Cuts the sentence of a peer's fault to [`MAX_FAULT_CHARS`].
pub(crate) fn shortened(fault: Fault) -> Fault {
    let message = fault.message.chars().take(MAX_FAULT_CHARS).collect();
    Fault { message, ..fault }
}
