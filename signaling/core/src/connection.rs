//! One WebSocket: a stranger until it has registered, then a client or a gateway.

use crate::{Bucket, Close, ConnId, Hub, Limits, Principal, Question, hub::Then, timer::Timer};
use porthole_clock::Now;
use porthole_signaling_proto::{
    GatewayId,
    identity::GatewayToken,
    method::{Empty, Register, RegisterParams, RegisterResult, Unregister},
    rpc::{self, Fault, Message, RequestId, code},
};
use serde_json::Value;
use std::time::Duration;

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) stage: Stage,
    /// Who the HTTP request that opened the WebSocket came from.
    pub(crate) entered_as: Option<Principal>,
    /// What a gateway has to sign; good once.
    pub(crate) nonce: Option<String>,
    pub(crate) bucket: Bucket,
    pub(crate) excess: Bucket,
    /// Questions to the database that are open.
    pub(crate) asks: usize,
    /// What the client was last told of cameras.
    pub(crate) cameras_hash: Option<u64>,
}

#[derive(Debug)]
pub(crate) enum Stage {
    Stranger,
    Client(Principal),
    Gateway(GatewayId),
}

impl Connection {
    pub(crate) fn new(now: Now, limits: &Limits, entered_as: Option<Principal>) -> Self {
        Self {
            stage: Stage::Stranger,
            entered_as,
            nonce: None,
            bucket: Bucket::new(limits.stranger_rate, now.instant),
            excess: Bucket::new(limits.excess_rate, now.instant),
            asks: 0,
            cameras_hash: None,
        }
    }

    pub(crate) fn principal(&self) -> Option<&Principal> {
        match &self.stage {
            Stage::Stranger => self.entered_as.as_ref(),
            Stage::Client(principal) => Some(principal),
            Stage::Gateway(_) => None,
        }
    }
}

impl Hub {
    pub(crate) fn register(
        &mut self,
        now: Now,
        conn: ConnId,
        id: &RequestId,
        params: Value,
    ) -> Result<(), Fault> {
        let params: RegisterParams = rpc::read(params)?;
        let connection = self.stranger(conn)?;
        match (params.authorization, connection.entered_as.clone()) {
            (Some(token), _) => match GatewayToken::parse(&token) {
                Some(token) => {
                    let token = token.map_err(|e| Fault::new(code::UNAUTHORIZED, e.to_string()))?;
                    let capabilities = params.capabilities.unwrap_or_default();
                    self.ask_gateway(conn, id, token, capabilities, params.name)
                }
                None => self.ask(conn, id, Question::Token(token), Then::Register),
            },
            (None, Some(principal)) => self.register_client(now, conn, id, principal),
            (None, None) => Err(Fault::new(
                code::UNAUTHORIZED,
                "no access token: give one in `authorization` of `register`",
            )),
        }
    }

    pub(crate) fn register_client(
        &mut self,
        now: Now,
        conn: ConnId,
        id: &RequestId,
        principal: Principal,
    ) -> Result<(), Fault> {
        self.stranger(conn)?;
        check_expiry(&principal, now)?;
        self.watch_expiry(now, conn, &principal);
        let bucket = Bucket::new(self.config.limits.client_rate, now.instant);
        let name = self.next_client_name();
        if let Some(connection) = self.connections.get_mut(&conn) {
            connection.stage = Stage::Client(principal);
            connection.bucket = bucket;
        }
        let result = RegisterResult { id: name };
        self.send(conn, Message::result::<Register>(id.clone(), &result));
        self.tell_cameras(conn);
        Ok(())
    }

    /// Going away on purpose: the next thing is that the WebSocket closes.
    pub(crate) fn unregister(
        &mut self,
        now: Now,
        conn: ConnId,
        id: &RequestId,
    ) -> Result<(), Fault> {
        let registered = self
            .connections
            .get(&conn)
            .is_some_and(|connection| !matches!(connection.stage, Stage::Stranger));
        if !registered {
            return Err(not_registered());
        }
        self.send(conn, Message::result::<Unregister>(id.clone(), &Empty {}));
        self.close(now, conn, Close::UNREGISTERED);
        Ok(())
    }

    pub(crate) fn register_due(&mut self, now: Now, conn: ConnId) {
        let stranger = self
            .connections
            .get(&conn)
            .is_some_and(|connection| matches!(connection.stage, Stage::Stranger));
        if stranger {
            self.close(now, conn, Close::NOT_REGISTERED);
        }
    }

    pub(crate) fn credential_due(&mut self, now: Now, conn: ConnId) {
        let principal = self.connections.get(&conn).and_then(Connection::principal);
        let Some(principal) = principal.cloned() else { return };
        if principal.is_expired(now.unix_s) {
            self.send(conn, Message::Error(expired()));
            self.close(now, conn, Close::EXPIRED);
        } else {
            // The wall clock was set back.
            self.watch_expiry(now, conn, &principal);
        }
    }

    fn watch_expiry(&mut self, now: Now, conn: ConnId, principal: &Principal) {
        let left = principal.expires_s.map(|end| end.saturating_sub(now.unix_s));
        let end = left.and_then(|left| now.instant.checked_add(Duration::from_secs(left)));
        if let Some(end) = end {
            self.timers.add(end, Timer::Credential(conn));
        }
    }

    /// The connection, if it has not registered yet.
    pub(crate) fn stranger(&mut self, conn: ConnId) -> Result<&mut Connection, Fault> {
        match self.connections.get_mut(&conn) {
            Some(connection) if matches!(connection.stage, Stage::Stranger) => Ok(connection),
            _ => Err(Fault::new(code::BAD_REQUEST, "this WebSocket has registered already")),
        }
    }

    /// Who the client on this connection is.
    pub(crate) fn client(&self, conn: ConnId) -> Result<&Principal, Fault> {
        match self.connections.get(&conn).map(|connection| &connection.stage) {
            Some(Stage::Client(principal)) => Ok(principal),
            Some(Stage::Gateway(_)) => {
                Err(Fault::new(code::FORBIDDEN, "only clients may do this, not gateways"))
            }
            Some(Stage::Stranger) | None => Err(not_registered()),
        }
    }

    /// Which gateway is on this connection.
    pub(crate) fn gateway(&self, conn: ConnId) -> Result<&GatewayId, Fault> {
        match self.connections.get(&conn).map(|connection| &connection.stage) {
            Some(Stage::Gateway(gateway)) => Ok(gateway),
            Some(Stage::Client(_)) => {
                Err(Fault::new(code::FORBIDDEN, "only gateways may do this, not clients"))
            }
            Some(Stage::Stranger) | None => Err(not_registered()),
        }
    }
}

pub(crate) fn check_expiry(principal: &Principal, now: Now) -> Result<(), Fault> {
    if principal.is_expired(now.unix_s) { Err(expired()) } else { Ok(()) }
}

fn expired() -> Fault {
    Fault::new(code::UNAUTHORIZED, "the access token has expired; sign in or use a new one")
}

fn not_registered() -> Fault {
    Fault::new(code::NOT_FOUND, "not registered: send `register` first")
}
