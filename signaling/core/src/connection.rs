//! WebSocket connections: unregistered at first, then a client's or a gateway's.

use std::time::Duration;

use porthole_clock::Now;
use porthole_signaling_proto::identity::GatewayToken;
use porthole_signaling_proto::method::{
    Empty, Register, RegisterParams, RegisterResult, Unregister,
};
use porthole_signaling_proto::rpc::{Fault, Message, code};
use porthole_signaling_proto::{GatewayId, rpc};
use serde_json::Value;

use crate::call::Call;
use crate::lookup::Continuation;
use crate::timer::Timer;
use crate::{
    Action, Admitted, Bucket, Close, ConnId, Denied, Expiry, Hub, Limits, Lookup, Need, Principal,
    Sender,
};

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) stage: Stage,
    /// The owner of the credential in the HTTP request that opened the WebSocket.
    pub(crate) http_principal: Option<Principal>,
    /// The nonce for a gateway to sign; valid once.
    pub(crate) nonce: Option<String>,
    pub(crate) bucket: Bucket,
    pub(crate) excess: Bucket,
    /// The number of database lookups in progress.
    pub(crate) lookups: usize,
    /// The hash of the list of cameras last sent to the client.
    pub(crate) cameras_hash: Option<u64>,
}

#[derive(Debug)]
pub(crate) enum Stage {
    Unregistered,
    Client(Principal),
    Gateway(GatewayId),
}

impl Connection {
    pub(crate) fn new(now: Now, limits: &Limits, http_principal: Option<Principal>) -> Self {
        Self {
            stage: Stage::Unregistered,
            http_principal,
            nonce: None,
            bucket: Bucket::new(limits.unregistered_rate, now.instant),
            excess: Bucket::new(limits.excess_rate, now.instant),
            lookups: 0,
            cameras_hash: None,
        }
    }

    pub(crate) fn principal(&self) -> Option<&Principal> {
        match &self.stage {
            Stage::Unregistered => self.http_principal.as_ref(),
            Stage::Client(principal) => Some(principal),
            Stage::Gateway(_) => None,
        }
    }

    fn is_registered(&self) -> bool {
        !matches!(self.stage, Stage::Unregistered)
    }

    /// Returns the peer that has registered.
    fn sender(&self) -> Sender {
        match &self.stage {
            Stage::Unregistered => Sender::Nobody,
            Stage::Client(principal) => Sender::Principal(principal.clone()),
            Stage::Gateway(gateway) => Sender::Gateway(gateway.clone()),
        }
    }
}

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
        let connection = self.unregistered(call.conn)?;
        match (params.authorization, connection.http_principal.clone()) {
            (Some(token), _) => match GatewayToken::parse(&token) {
                Some(token) => {
                    let token = token.map_err(|e| Fault::new(code::UNAUTHORIZED, e.to_string()))?;
                    let capabilities = params.capabilities.unwrap_or_default();
                    self.look_up_gateway(call, token, capabilities, params.name)
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
        self.unregistered(call.conn)?;
        if principal.is_expired(call.now.unix_s) {
            return Err(Denied::Expired.into());
        }
        self.watch_expiry(call.now, call.conn, &principal);
        let bucket = Bucket::new(self.config.limits.client_rate, call.now.instant);
        let name = self.next_client_name();
        if let Some(connection) = self.connections.get_mut(&call.conn) {
            connection.stage = Stage::Client(principal);
            connection.bucket = bucket;
        }
        self.respond::<Register>(call, &RegisterResult { id: name });
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

    pub(crate) fn handle_register_timeout(&mut self, now: Now, conn: ConnId) {
        if self.unregistered(conn).is_ok() {
            self.close_connection(now, conn, Close::NOT_REGISTERED);
        }
    }

    pub(crate) fn handle_credential_timeout(&mut self, now: Now, conn: ConnId) {
        let principal = self.connections.get(&conn).and_then(Connection::principal);
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
            self.timers.add(end, Timer::Credential(conn));
        }
    }

    /// Returns the connection if it has not registered yet.
    pub(crate) fn unregistered(&mut self, conn: ConnId) -> Result<&mut Connection, Fault> {
        match self.connections.get_mut(&conn) {
            Some(connection) if !connection.is_registered() => Ok(connection),
            _ => Err(Fault::new(code::BAD_REQUEST, "this WebSocket has already registered")),
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
            | Need::On(..) => {
                self.connections.get(&conn).map_or(Sender::Nobody, Connection::sender)
            }
        };
        action.admit(sender, now)
    }
}
