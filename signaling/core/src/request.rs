//! What the server has asked of a peer for somebody else: renumbered, and with a deadline.

use crate::{ConnId, Hub, WaiterId, timer::Timer};
use porthole_clock::Now;
use porthole_signaling_proto::{
    SessionId,
    rpc::{Fault, Message, RequestId, code},
};
use serde_json::Value;
use std::time::Duration;

/// The longest sentence of a peer that is passed on.
const MAX_FAULT_CHARS: usize = 300;

#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) kind: Kind,
    pub(crate) session: SessionId,
    pub(crate) origin: Origin,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Connect,
    Invite,
    Extend,
    Offer,
    Restart,
}

/// Who gets the answer.
#[derive(Debug, Clone)]
pub(crate) enum Origin {
    Peer { conn: ConnId, id: RequestId },
    Waiter(WaiterId),
}

impl Hub {
    /// Asks `to` for something. There is at most one of a kind in a session at a time.
    pub(crate) fn request_of(
        &mut self,
        now: Now,
        to: ConnId,
        method: &str,
        params: Value,
        request: Request,
    ) -> Result<(), Fault> {
        let timeout = self.timeout(request.kind);
        if let Some(session) = self.sessions.get_mut(&request.session) {
            if session.open.contains(&request.kind) {
                return Err(Fault::new(
                    code::BAD_REQUEST,
                    "the previous request of this kind in the session is still open",
                ));
            }
            session.open.push(request.kind);
        }
        let id = self.next_request_id();
        self.requests.insert((to, id), request);
        self.timers.add(now.instant + timeout, Timer::Request(to, id));
        let method = method.to_owned();
        self.send(to, Message::Request { id: RequestId::Number(id), method, params });
        Ok(())
    }

    pub(crate) fn response(
        &mut self,
        now: Now,
        conn: ConnId,
        id: i64,
        outcome: Result<Value, Fault>,
    ) {
        // A late answer, or one to a question nobody asked, has no entry.
        if let Some(request) = self.requests.remove(&(conn, id)) {
            self.finish(now, request, outcome.map_err(passed_on));
        }
    }

    pub(crate) fn request_due(&mut self, now: Now, conn: ConnId, id: i64) {
        let Some(request) = self.requests.remove(&(conn, id)) else { return };
        let fault = match request.kind {
            Kind::Connect => Fault::new(code::UNAVAILABLE, "the gateway did not react; try again"),
            Kind::Invite => Fault::new(code::REQUEST_TIMEOUT, "the client did not react in time"),
            Kind::Extend | Kind::Offer | Kind::Restart => {
                Fault::new(code::REQUEST_TIMEOUT, "the gateway did not react in time; try again")
            }
        };
        self.finish(now, request, Err(fault));
    }

    /// The peer that was asked is gone.
    pub(crate) fn requests_lost(&mut self, now: Now, conn: ConnId) {
        let range = (conn, i64::MIN)..=(conn, i64::MAX);
        let ids: Vec<_> = self.requests.range(range).map(|(key, _)| *key).collect();
        for key in ids {
            let Some(request) = self.requests.remove(&key) else { continue };
            let fault = match request.kind {
                Kind::Invite => Fault::new(code::GONE, "the client is gone"),
                Kind::Connect | Kind::Extend | Kind::Offer | Kind::Restart => {
                    Fault::new(code::UNAVAILABLE, "the gateway has just gone; try again")
                }
            };
            self.finish(now, request, Err(fault));
        }
    }

    fn finish(&mut self, now: Now, request: Request, outcome: Result<Value, Fault>) {
        let Request { kind, session, origin } = request;
        if let Some(session) = self.sessions.get_mut(&session) {
            session.open.retain(|open| *open != kind);
        }
        match kind {
            Kind::Connect => self.connect_done(now, &session, origin, outcome),
            Kind::Invite | Kind::Extend => self.relay_outcome(origin, outcome),
            Kind::Offer => self.offer_done(&session, origin, outcome),
            Kind::Restart => self.restart_done(now, &session, origin, outcome),
        }
    }

    /// The answer goes back as it came.
    fn relay_outcome(&mut self, origin: Origin, outcome: Result<Value, Fault>) {
        if let Origin::Peer { conn, id } = origin {
            self.send(conn, Message::Response { id: Some(id), outcome });
        }
    }

    pub(crate) fn refuse(&mut self, origin: Origin, fault: Fault) {
        match origin {
            Origin::Peer { conn, id } => self.send(conn, Message::fault(Some(id), fault)),
            Origin::Waiter(waiter) => self.reply(waiter, Err(fault)),
        }
    }

    fn timeout(&self, kind: Kind) -> Duration {
        let limits = &self.config.limits;
        match kind {
            Kind::Connect => limits.connect_timeout,
            Kind::Invite | Kind::Extend => limits.answer_timeout,
            Kind::Offer | Kind::Restart => limits.offer_timeout,
        }
    }
}

/// A peer's fault, cut to the size of a sentence.
pub(crate) fn passed_on(fault: Fault) -> Fault {
    let message = fault.message.chars().take(MAX_FAULT_CHARS).collect();
    Fault { message, ..fault }
}
