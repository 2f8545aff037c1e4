//! The hub: what it knows, what goes in, what comes out.

use crate::{
    Answer, Bucket, Close, ConnId, Limits, Output, Principal, Question, Ticket, TurnOffer,
    WaiterId,
    connection::{Connection, Stage},
    gateway::Gateway,
    request::Request,
    session::{Session, ViewerKey},
    timer::{Timer, Timers},
};
use porthole_clock::Now;
use porthole_signaling_proto::{
    CameraId, GatewayId, SessionId,
    method::{
        Challenge, Close as CloseSession, Connect, Enroll, Extend, Invite, Method, Notice,
        Register, Report, Trickle, Unregister,
    },
    rest,
    rpc::{Fault, Message, RequestId, code},
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    time::Instant,
};

/// What the hub is told once.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// Its bounds.
    pub limits: Limits,
    /// The TURN server to offer; none if absent.
    pub turn: Option<TurnOffer>,
}

/// A gateway as it was written down.
#[derive(Debug, Clone)]
pub struct StoredGateway {
    /// The hash of its key.
    pub id: GatewayId,
    /// What people call it.
    pub name: String,
    /// Its cameras and what people call them.
    pub cameras: Vec<(CameraId, String)>,
}

/// See the crate's documentation.
#[derive(Debug)]
pub struct Hub {
    pub(crate) config: Config,
    pub(crate) connections: BTreeMap<ConnId, Connection>,
    pub(crate) gateways: BTreeMap<GatewayId, Gateway>,
    /// Which gateway a camera is behind. The first to report it keeps it.
    pub(crate) owners: HashMap<CameraId, GatewayId>,
    pub(crate) sessions: HashMap<SessionId, Session>,
    /// The sessions of each viewer that can still speak for them.
    pub(crate) viewers: HashMap<ViewerKey, BTreeSet<SessionId>>,
    /// What was asked of a peer and is not answered yet.
    pub(crate) requests: BTreeMap<(ConnId, i64), Request>,
    asks: HashMap<Ticket, Ask>,
    /// How often each token or user may still send a WHEP request, if they have lately.
    pub(crate) whep_buckets: HashMap<String, Bucket>,
    pub(crate) timers: Timers,
    outputs: VecDeque<Output>,
    rng: StdRng,
    next_request: i64,
    next_ticket: u64,
    next_client: u64,
    pub(crate) cameras_told: Option<Instant>,
    pub(crate) cameras_due: bool,
}

/// What goes on when an answer of the database comes.
#[derive(Debug)]
struct Ask {
    conn: ConnId,
    id: RequestId,
    then: Then,
}

#[derive(Debug)]
pub(crate) enum Then {
    Register,
    Connect(porthole_signaling_proto::method::ConnectParams),
    Extend(SessionId),
    RegisterGateway {
        token: porthole_signaling_proto::identity::GatewayToken,
        nonce: String,
        capabilities: Vec<String>,
        name: Option<String>,
    },
    Enroll {
        gateway: GatewayId,
        name: String,
    },
}

impl Hub {
    /// A hub that knows nobody. `seed` must be random: session ids and nonces come from it.
    pub fn new(config: Config, seed: [u8; 32]) -> Self {
        Self {
            config,
            connections: BTreeMap::new(),
            gateways: BTreeMap::new(),
            owners: HashMap::new(),
            sessions: HashMap::new(),
            viewers: HashMap::new(),
            requests: BTreeMap::new(),
            asks: HashMap::new(),
            whep_buckets: HashMap::new(),
            timers: Timers::default(),
            outputs: VecDeque::new(),
            rng: StdRng::from_seed(seed),
            next_request: 0,
            next_ticket: 0,
            next_client: 0,
            cameras_told: None,
            cameras_due: false,
        }
    }

    /// Tells of a gateway that was written down, so that its cameras are seen as offline.
    pub fn restore(&mut self, stored: StoredGateway) {
        for (camera, _) in &stored.cameras {
            self.owners.insert(camera.clone(), stored.id.clone());
        }
        self.gateways.insert(stored.id.clone(), Gateway::stored(stored.name, stored.cameras));
    }

    /// A WebSocket was opened, with a credential of the HTTP request if there was one.
    pub fn opened(&mut self, now: Now, conn: ConnId, principal: Option<Principal>) {
        let limits = &self.config.limits;
        self.timers.add(now.instant + limits.register_timeout, Timer::Register(conn));
        self.connections.insert(conn, Connection::new(now, limits, principal));
    }

    /// A WebSocket is closed, for whatever reason.
    pub fn closed(&mut self, now: Now, conn: ConnId) {
        let Some(connection) = self.connections.remove(&conn) else { return };
        match connection.stage {
            Stage::Stranger => {}
            Stage::Client(_) => self.client_lost(now, conn),
            Stage::Gateway(gateway) => self.gateway_lost(now, conn, &gateway),
        }
        self.requests_lost(now, conn);
    }

    /// A message came, or something that is none and the fault to be told of it.
    pub fn received(&mut self, now: Now, conn: ConnId, message: Result<Message, Fault>) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        if !connection.bucket.take(now.instant) {
            return self.over_the_rate(now, conn, message);
        }
        match message {
            Err(fault) => self.send(conn, Message::fault(None, fault)),
            Ok(Message::Request { id, method, params }) => {
                if let Err(fault) = self.request(now, conn, &id, &method, params) {
                    self.send(conn, Message::fault(Some(id), fault));
                }
            }
            Ok(Message::Notification { method, params }) => {
                if let Err(fault) = self.notification(conn, &method, params) {
                    self.send(conn, Message::Error(fault));
                }
            }
            Ok(Message::Response { id: Some(RequestId::Number(id)), outcome }) => {
                self.response(now, conn, id, outcome);
            }
            // We number our requests: anything else answers nothing.
            Ok(Message::Response { .. }) => {}
            Ok(Message::Error(fault)) => self.relay_error(conn, fault),
        }
    }

    /// The database has answered.
    pub fn answered(&mut self, now: Now, ticket: Ticket, answer: Answer) {
        let Some(Ask { conn, id, then }) = self.asks.remove(&ticket) else { return };
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        connection.asks = connection.asks.saturating_sub(1);
        if let Err(fault) = self.go_on(now, conn, &id, then, answer) {
            self.send(conn, Message::fault(Some(id), fault));
        }
    }

    fn go_on(
        &mut self,
        now: Now,
        conn: ConnId,
        id: &RequestId,
        then: Then,
        answer: Answer,
    ) -> Result<(), Fault> {
        match (then, answer) {
            (Then::Register, Answer::Token(who)) => self.register_client(now, conn, id, who?),
            (Then::Connect(params), Answer::Token(who)) => {
                self.connect_as(now, conn, id, &params, who?)
            }
            (Then::Extend(session), Answer::Token(who)) => {
                self.extend_as(now, conn, id, &session, who?)
            }
            (
                Then::RegisterGateway { token, nonce, capabilities, name },
                Answer::GatewayKey(key),
            ) => {
                self.prove_gateway(&token, &nonce, &key?)?;
                self.register_gateway(now, conn, id, token.id, capabilities, name)
            }
            (Then::Enroll { gateway, name }, Answer::Enrolled(done)) => {
                done?;
                self.enrolled(conn, id, gateway, name);
                Ok(())
            }
            (_, Answer::Token(_) | Answer::GatewayKey(_) | Answer::Enrolled(_)) => {
                Err(Fault::new(code::INTERNAL_ERROR, "the server answered another question"))
            }
        }
    }

    /// What an [`Output::Keep`] carried could not be written down; it comes again later.
    pub fn not_kept(&mut self, gateway: &GatewayId) {
        if let Some(gateway) = self.gateways.get_mut(gateway) {
            gateway.saved = None;
        }
    }

    /// A credential is no longer good: who came with it has to go, and what is watched by it ends.
    pub fn revoke(&mut self, now: Now, credential: &str) {
        self.end_sessions_of(credential);
        let theirs = |connection: &Connection| {
            connection.principal().is_some_and(|who| who.credential == credential)
        };
        let connections: Vec<ConnId> =
            self.connections.iter().filter(|(_, c)| theirs(c)).map(|(id, _)| *id).collect();
        for conn in connections {
            self.close(now, conn, Close::SIGNED_OUT);
        }
    }

    /// The server stops: every WebSocket is closed, sessions go on between their peers.
    pub fn shut_down(&mut self) {
        for conn in std::mem::take(&mut self.connections).into_keys() {
            self.outputs.push_back(Output::Close { conn, close: Close::GOING_AWAY });
        }
        let waiting: Vec<_> = std::mem::take(&mut self.requests).into_values().collect();
        for request in waiting {
            let gone = Fault::new(code::UNAVAILABLE, "the server is going away; try again");
            self.refuse(request.origin, gone);
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Now) {
        while let Some(timer) = self.timers.pop(now.instant) {
            match timer {
                Timer::Register(conn) => self.register_due(now, conn),
                Timer::Credential(conn) => self.credential_due(now, conn),
                Timer::Request(conn, id) => self.request_due(now, conn, id),
                Timer::Session(session) => self.session_due(now, &session),
                Timer::ClientAway(session) => self.client_away_due(now, &session),
                Timer::GatewayAway(gateway) => self.gateway_away_due(now, &gateway),
                Timer::Cameras => self.cameras_due(now),
            }
        }
    }

    /// When [`Self::handle_timeout`] is to be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// What is to be done next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// All gateways, sorted by name.
    pub fn gateways(&self) -> Vec<rest::Gateway> {
        let mut gateways: Vec<_> = self
            .gateways
            .iter()
            .map(|(id, gateway)| rest::Gateway {
                id: id.clone(),
                name: gateway.name.clone(),
                online: gateway.conn.is_some(),
            })
            .collect();
        gateways.sort_by(|a, b| a.name.cmp(&b.name).then_with(|| a.id.cmp(&b.id)));
        gateways
    }

    /// How many WebSockets and sessions there are.
    pub fn counts(&self) -> (usize, usize) {
        (self.connections.len(), self.sessions.len())
    }

    fn request(
        &mut self,
        now: Now,
        conn: ConnId,
        id: &RequestId,
        method: &str,
        params: Value,
    ) -> Result<(), Fault> {
        match method {
            Register::NAME => self.register(now, conn, id, params),
            Unregister::NAME => self.unregister(now, conn, id),
            Challenge::NAME => self.challenge(conn, id),
            Enroll::NAME => self.enroll(conn, id, params),
            Connect::NAME => self.connect(now, conn, id, params),
            Extend::NAME => self.extend(now, conn, id, params),
            Invite::NAME => self.invite(now, conn, id, params),
            Report::NAME => self.report(now, conn, id, params),
            other => Err(no_such_method(other)),
        }
    }

    fn notification(&mut self, conn: ConnId, method: &str, params: Value) -> Result<(), Fault> {
        match method {
            Trickle::NAME => self.trickle(conn, params),
            CloseSession::NAME => self.close_session(conn, params),
            // JSON-RPC 2.0 §4.1: a notification is never answered, and others' are ignored.
            _ => Ok(()),
        }
    }

    /// One refusal for each message over the rate, up to a point.
    fn over_the_rate(&mut self, now: Now, conn: ConnId, message: Result<Message, Fault>) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        if !connection.excess.take(now.instant) {
            return self.close(now, conn, Close::TOO_MANY);
        }
        let fault = Fault::new(code::TOO_MANY_REQUESTS, "too many messages; send fewer");
        let refusal = match message {
            Ok(Message::Request { id, .. }) => Message::fault(Some(id), fault),
            Ok(Message::Notification { .. } | Message::Response { .. } | Message::Error(_))
            | Err(_) => Message::Error(fault),
        };
        self.send(conn, refusal);
    }

    pub(crate) fn send(&mut self, to: ConnId, message: Message) {
        if self.connections.contains_key(&to) {
            self.outputs.push_back(Output::Send { to, message });
        }
    }

    pub(crate) fn close(&mut self, now: Now, conn: ConnId, close: Close) {
        self.outputs.push_back(Output::Close { conn, close });
        self.closed(now, conn);
    }

    pub(crate) fn output(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    pub(crate) fn reply(&mut self, waiter: WaiterId, outcome: Result<crate::WhepReply, Fault>) {
        self.outputs.push_back(Output::Reply { waiter, outcome });
    }

    pub(crate) fn ask(
        &mut self,
        conn: ConnId,
        id: &RequestId,
        question: Question,
        then: Then,
    ) -> Result<(), Fault> {
        let limit = self.config.limits.asks_per_connection;
        let Some(connection) = self.connections.get_mut(&conn) else { return Ok(()) };
        if connection.asks >= limit {
            return Err(Fault::new(code::TOO_MANY_REQUESTS, "too many requests at once; wait"));
        }
        connection.asks += 1;
        self.next_ticket += 1;
        let ticket = Ticket(self.next_ticket);
        self.asks.insert(ticket, Ask { conn, id: id.clone(), then });
        self.outputs.push_back(Output::Ask { ticket, question });
        Ok(())
    }

    pub(crate) fn next_request_id(&mut self) -> i64 {
        self.next_request += 1;
        self.next_request
    }

    pub(crate) fn next_client_name(&mut self) -> String {
        self.next_client += 1;
        format!("client-{}", self.next_client)
    }

    /// 128 random bits, as text that is also an id.
    pub(crate) fn random_name(&mut self, prefix: &str) -> String {
        let bits: u128 = self.rng.random();
        format!("{prefix}{bits:032x}")
    }
}

fn no_such_method(name: &str) -> Fault {
    let name: String = name.chars().take(40).collect();
    Fault::new(code::METHOD_NOT_FOUND, format!("there is no method `{name}`"))
}

#[cfg(test)]
mod tests;
