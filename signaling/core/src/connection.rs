//! The requests that begin and end a WebSocket, and the time of its credential.

use std::time::Duration;

use porthole_clock::Now;
use porthole_signaling_proto::identity::GatewayToken;
use porthole_signaling_proto::method::{
    Empty, Ping, Register, RegisterParams, RegisterResult, Unregister,
};
use porthole_signaling_proto::rpc::{self, Fault, Message, code};
use serde_json::Value;

use crate::call::Call;
use crate::directory::Introduction;
use crate::links::Connection;
use crate::lookup::Continuation;
use crate::timer::Timer;
use crate::{
    Action, Admitted, Bucket, Close, ConnId, Denied, Expiry, Hub, Lookup, Need, Output, Principal,
    Sender,
};

impl Hub {
    /// Handles `register`. A client registers with a token or with the credential of the HTTP
    /// request, a gateway with its signature.
    pub(crate) fn handle_register(
        &mut self,
        call: &Call,
        _: Admitted,
        params: Value,
    ) -> Result<(), Fault> {
        let params: RegisterParams = rpc::read(params)?;
        let connection = self.links.unregistered(call.conn)?;
        match (params.authorization, connection.principal().cloned()) {
            (Some(token), _) => match GatewayToken::parse(&token) {
                Some(token) => {
                    let token = token.map_err(|e| Fault::new(code::UNAUTHORIZED, e.to_string()))?;
                    let introduction = Introduction {
                        name: params.name,
                        version: params.version,
                        protocol: params.protocol,
                        capabilities: params.capabilities.unwrap_or_default(),
                    };
                    self.look_up_gateway(call, token, introduction)
                }
                None => self.look_up(call, Lookup::Token(token), Continuation::Register),
            },
            (None, Some(principal)) => self.register_client(call, principal),
            (None, None) => Err(Fault::new(
                code::UNAUTHORIZED,
                "no access token: send one in `authorization` of `register`",
            )),
        }
    }

    pub(crate) fn register_client(
        &mut self,
        call: &Call,
        principal: Principal,
    ) -> Result<(), Fault> {
        self.links.unregistered(call.conn)?;
        principal.check_expiry(call.now)?;
        let sockets = self.directory.clients_counted_for(principal.account()).count();
        if sockets >= self.config.limits.sockets_per_subject {
            let text = "too many connections of this user or token; close some";
            return Err(Fault::new(code::INSUFFICIENT_RESOURCES, text));
        }
        self.watch_expiry(call.now, call.conn, &principal);
        let bucket = Bucket::new(self.config.limits.client_rate, call.now.instant);
        let name = self.next_client_name();
        let owner = principal.account().to_owned();
        self.directory.connect_client(&principal, call.conn);
        self.links.unregistered(call.conn)?.register_client(principal, bucket);
        self.push_output(Output::Registered { conn: call.conn, owner });
        self.respond::<Register>(call, &RegisterResult { id: name, protocol: None });
        self.send_cameras(call.now, call.conn);
        Ok(())
    }

    /// Handles `unregister`, after which the WebSocket is closed.
    pub(crate) fn handle_unregister(
        &mut self,
        call: &Call,
        _: Admitted,
        _: Value,
    ) -> Result<(), Fault> {
        self.respond::<Unregister>(call, &Empty {});
        self.close_connection(call.now, call.conn, Close::UNREGISTERED);
        Ok(())
    }

    /// Handles `portholePing`, whose response is all that it is for.
    pub(crate) fn handle_ping(&mut self, call: &Call, _: Admitted, _: Value) -> Result<(), Fault> {
        self.respond::<Ping>(call, &Empty {});
        Ok(())
    }

    pub(crate) fn handle_register_timeout(&mut self, now: Now, conn: ConnId) {
        if self.links.unregistered(conn).is_ok() {
            self.close_connection(now, conn, Close::NOT_REGISTERED);
        }
    }

    pub(crate) fn handle_credential_timeout(&mut self, now: Now, conn: ConnId) {
        let principal = self.links.get(conn).and_then(Connection::principal);
        let Some(principal) = principal.cloned() else { return };
        if principal.is_expired(now.unix_s) {
            self.send(conn, Message::Error(Denied::Expired.into()));
            self.close_connection(now, conn, Close::EXPIRED);
        } else {
            // The wall clock was set back.
            self.watch_expiry(now, conn, &principal);
        }
    }

    fn watch_expiry(&mut self, now: Now, conn: ConnId, principal: &Principal) {
        let left_s = match principal.expiry() {
            Expiry::At(end_s) => end_s.saturating_sub(now.unix_s),
            Expiry::Never => return,
        };
        if let Some(end) = now.instant.checked_add(Duration::from_secs(left_s)) {
            self.timers.set(end, Timer::Credential(conn));
        }
    }

    /// Checks what the row of an action requires of the peer on this connection.
    pub(crate) fn admit(&self, now: Now, conn: ConnId, action: Action) -> Result<Admitted, Denied> {
        let sender = match action.need() {
            // Nobody need have registered, or the connection itself is the proof.
            Need::Nothing | Need::Side => Sender::Nobody,
            Need::Registered
            | Need::Gateway
            | Need::Credential
            | Need::OwnSession
            | Need::Give(_)
            | Need::On(..) => self.links.get(conn).map_or(Sender::Nobody, Connection::sender),
        };
        action.admit(sender, now)
    }
}
