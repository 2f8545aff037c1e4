//! The life of sessions, and the messages that are forwarded between their two sides.

use std::time::Duration;

use porthole_clock::Now;
use porthole_signaling_proto::method::{
    Close, Invite, InviteParams, Method as _, Notification as _, SessionParams, Shown, ShownParams,
    Trickle, TrickleParams,
};
use porthole_signaling_proto::rpc::{Fault, Message, code};
use porthole_signaling_proto::{GatewayId, SessionId, rpc};
use serde_json::Value;
use tracing::debug;

use crate::address::Address;
use crate::call::Call;
use crate::reasons::for_viewers;
use crate::request::{PendingRequest, RequestKind, shortened};
use crate::sessions::Session;
use crate::stats::EndReason;
use crate::timer::Timer;
use crate::{Admitted, ConnId, Hub, Output};

/// The longest `trickle` that is forwarded: a candidate is a line below 512 bytes, the rest is for
/// the names around it. With longer ones a viewer could fill the send queue of the gateway's
/// WebSocket, which would then be closed as too slow, for all viewers.
const MAX_TRICKLE_BYTES: usize = 2 * 1024;

impl Hub {
    /// Adds a session and returns its new id. Others may have to make room, and then end.
    ///
    /// # Errors
    /// [`code::INSUFFICIENT_RESOURCES`] when its viewer or its gateway has too many.
    pub(crate) fn add_session(&mut self, now: Now, session: Session) -> Result<SessionId, Fault> {
        for other in self.sessions.make_room(&session, &self.config.limits)? {
            debug!(session = %other, "a session without a picture makes room for another");
            self.end_session_on_both_sides(now, &other, EndReason::MadeRoom);
        }
        if !self.directory.knows(session.gateway()) {
            return Err(Fault::new(code::NOT_FOUND, "there is no such gateway"));
        }
        let nonce = self.random_bytes();
        let id = self.config.session_key.seal(nonce, session.granted().principal().credential());
        let (camera, expires_at) = (session.camera().clone(), session.expires_at());
        let kind = session.viewer_kind();
        self.sessions.add(id.clone(), session, &self.config.limits)?;
        self.timers.set(expires_at, Timer::Session(id.clone()));
        self.stats.begun.add(kind, 1);
        debug!(session = %id, %camera, "session starts");
        Ok(id)
    }

    /// Removes a session that is over, for this reason.
    pub(crate) fn remove_session(
        &mut self,
        now: Now,
        id: &SessionId,
        reason: EndReason,
    ) -> Option<Session> {
        let session = self.take_session(now, id, reason)?;
        self.note_ended(id);
        Some(session)
    }

    /// Forgets a session that may well go on between its peers, until its credential is revoked.
    pub(crate) fn forget_session(&mut self, now: Now, id: &SessionId) {
        let Some(session) = self.take_session(now, id, EndReason::Away) else { return };
        let credential = session.granted().principal().credential();
        let limit = self.config.limits.sessions_per_gateway;
        self.forgotten.add(session.gateway(), id.clone(), credential, limit);
    }

    fn take_session(&mut self, now: Now, id: &SessionId, reason: EndReason) -> Option<Session> {
        let session = self.sessions.remove(id)?;
        self.timers.cancel(&Timer::Session(id.clone()));
        self.timers.cancel(&Timer::ClientAway(id.clone()));
        self.count_end(now, id, &session, reason);
        Some(session)
    }

    /// Notes which of the sessions that a gateway reports are not known, and asks if their
    /// credentials were revoked meanwhile.
    fn reconcile_forgotten(&mut self, gateway: &GatewayId, reported: &[SessionId]) {
        let unknown = reported.iter().filter(|id| self.sessions.get(id).is_none());
        let unknown = unknown.take(self.config.limits.sessions_per_gateway);
        let key = &self.config.session_key;
        let unknown = unknown.map(|id| (id.clone(), key.open(id))).collect();
        let new = self.forgotten.reconcile(gateway, unknown);
        if !new.is_empty() {
            self.push_output(Output::CheckCredentials(new));
        }
    }

    /// Ends the forgotten sessions that were started with this credential.
    pub(crate) fn end_forgotten_of_credential(&mut self, credential: &str) -> usize {
        let sessions = self.forgotten.take_of_credential(credential);
        for (id, gateway) in &sessions {
            self.end_forgotten(id, gateway);
        }
        sessions.len()
    }

    /// Ends a session that goes on at its gateway, and of which no more is known.
    pub(crate) fn end_forgotten(&mut self, id: &SessionId, gateway: &GatewayId) {
        debug!(session = %id, %gateway, "a forgotten session ends");
        self.post(Address::Gateway(gateway), session_closed(id));
        self.note_ended(id);
    }

    fn note_ended(&mut self, id: &SessionId) {
        if self.config.turn.is_some() {
            self.push_output(Output::TurnUserEnded(id.into()));
        }
    }

    /// Ends a session and tells its gateway.
    pub(crate) fn end_session(&mut self, now: Now, id: &SessionId, reason: EndReason) {
        if let Some(session) = self.remove_session(now, id, reason) {
            self.post(Address::Gateway(session.gateway()), session_closed(id));
        }
    }

    /// Removes the sessions that a gateway's report does not list. The gateway may have restarted
    /// since they started, and they would count against their viewers until they expire. Notes
    /// which of the others are still `starting`, if the gateway reports it, and which are not known
    /// here.
    pub(crate) fn reconcile_sessions(
        &mut self,
        now: Now,
        gateway: &GatewayId,
        reported: &[SessionId],
        starting: Option<&[SessionId]>,
    ) {
        if let Some(starting) = starting {
            self.sessions.note_progress(gateway, reported, starting);
        }
        self.reconcile_forgotten(gateway, reported);
        for id in self.sessions.unreported(now, gateway, reported) {
            self.post(Address::Client(&id), session_closed(&id));
            self.remove_session(now, &id, EndReason::Unreported);
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
        if self.sessions.get(&id).is_none_or(|session| session.gateway() != from) {
            return Err(no_such_session(code::BAD_REQUEST));
        }
        let client = self.reach(Address::Client(&id))?;
        let kind = RequestKind::Invite;
        let request = PendingRequest { kind, session: id, origin: call.origin() };
        self.send_request(call.now, client, Invite::NAME, params, request)
    }

    /// Handles `trickle`: forwards it unchanged, even before the offer (ONVIF WebRTC 26.06 §5.6).
    pub(crate) fn handle_trickle(
        &mut self,
        _: Now,
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
        if let Some(id) = id {
            let method = Trickle::NAME.to_owned();
            self.post_to_other_side(conn, &id, Message::Notification { method, params });
        }
        Ok(())
    }

    /// Handles `portholeShown`: tells the client of a session which picture its gateway has chosen.
    pub(crate) fn handle_shown(
        &mut self,
        _: Now,
        _: ConnId,
        admitted: Admitted,
        params: Value,
    ) -> Result<(), Fault> {
        let from = admitted.gateway()?;
        let params: ShownParams = rpc::read(params)?;
        let id = &params.session;
        if self.sessions.get(id).is_some_and(|session| session.gateway() == from) {
            self.post(Address::Client(id), Message::notification::<Shown>(&params));
        }
        Ok(())
    }

    /// Handles `portholeClose`: one side of a session ends it, and the other side is told.
    pub(crate) fn handle_close_session(
        &mut self,
        now: Now,
        conn: ConnId,
        _: Admitted,
        params: Value,
    ) -> Result<(), Fault> {
        let SessionParams { session: id } = rpc::read(params)?;
        let is_viewer = self.is_at(conn, Address::Client(&id));
        let reason = if is_viewer { EndReason::Viewer } else { EndReason::Gateway };
        if self.post_to_other_side(conn, &id, session_closed(&id)) {
            self.remove_session(now, &id, reason);
        }
        Ok(())
    }

    /// Forwards an `error` about a session to its other side.
    pub(crate) fn forward_error(&mut self, conn: ConnId, fault: Fault) {
        if let Some(id) = fault.session.clone() {
            self.post_to_other_side(conn, &id, Message::Error(for_viewers(shortened(fault))));
        }
    }

    /// Sends a message to the other side of a session, if it is connected. Returns false if this
    /// connection is not one of its sides.
    fn post_to_other_side(&mut self, conn: ConnId, id: &SessionId, message: Message) -> bool {
        let Some(session) = self.sessions.get(id) else { return false };
        let gateway = session.gateway().clone();
        if self.is_at(conn, Address::Client(id)) {
            self.post(Address::Gateway(&gateway), message);
        } else if self.is_at(conn, Address::Gateway(&gateway)) {
            self.post(Address::Client(id), message);
        } else {
            return false;
        }
        true
    }

    /// Handles the end of a client's WebSocket. Its sessions go on, except those that the gateway
    /// has not accepted yet.
    pub(crate) fn handle_client_lost(&mut self, now: Now, conn: ConnId) {
        for id in self.sessions.detach_client(now, conn) {
            let Some(session) = self.sessions.get(&id) else { continue };
            if session.is_pending() {
                self.end_session(now, &id, EndReason::Abandoned);
                continue;
            }
            let gateway = session.gateway().clone();
            let away = now.instant + self.config.limits.reconnect_window;
            self.timers.set(away, Timer::ClientAway(id.clone()));
            let text = "the client has closed its WebSocket";
            self.post(Address::Gateway(&gateway), peer_disconnected(text, &id));
        }
    }

    /// Tells the clients of a gateway's sessions that its WebSocket is closed.
    pub(crate) fn notify_gateway_lost(&mut self, gateway: &GatewayId) {
        for id in self.sessions.of_gateway(gateway) {
            let text = "the gateway has lost its WebSocket; the stream goes on";
            self.post(Address::Client(&id), peer_disconnected(text, &id));
        }
    }

    pub(crate) fn handle_session_timeout(&mut self, now: Now, id: &SessionId) {
        let Some(session) = self.sessions.get(id) else { return };
        // The session was extended, which has moved the timer.
        if session.expires_at() > now.instant {
            return;
        }
        self.end_session_on_both_sides(now, id, EndReason::Expired);
    }

    /// Ends every session that was started or extended with this credential.
    pub(crate) fn end_sessions_of_credential(&mut self, now: Now, credential: &str) -> usize {
        let sessions = self.sessions.of_credential(credential);
        for id in &sessions {
            self.end_session_on_both_sides(now, id, EndReason::Revoked);
        }
        sessions.len()
    }

    /// Ends a session and tells both its sides.
    pub(crate) fn end_session_on_both_sides(
        &mut self,
        now: Now,
        id: &SessionId,
        reason: EndReason,
    ) {
        let client = self.sessions.get(id).and_then(Session::client);
        self.end_session(now, id, reason);
        if let Some(client) = client {
            self.send(client, session_closed(id));
        }
    }

    pub(crate) fn handle_client_away_timeout(&mut self, now: Now, id: &SessionId) {
        let window = self.config.limits.reconnect_window;
        let since = self.sessions.get(id).and_then(Session::away_since);
        let away = since.is_some_and(|since| since + window <= now.instant);
        // The gateway is not told: a client may close its WebSocket and go on watching (ONVIF
        // WebRTC 26.06 §5.6).
        if away {
            self.forget_session(now, id);
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
