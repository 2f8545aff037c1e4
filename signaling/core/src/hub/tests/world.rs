//! A test driver of the hub, with a database in memory and a clock that is moved by hand.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signer as _, SigningKey};
use porthole_clock::Now;
use porthole_signaling_proto::identity::{
    GatewayToken, enroll_message, gateway_id, register_message,
};
use porthole_signaling_proto::method::{
    Challenge, ChallengeResult, Connect, ConnectDevice, ConnectDeviceResult, ConnectParams,
    ConnectResult, Empty, Enroll, EnrollParams, Extend, ExtendParams, Method, Register,
    RegisterParams, Report, ReportParams, ReportResult,
};
use porthole_signaling_proto::rest::{Removed, Role};
use porthole_signaling_proto::rpc::{Fault, Message, RequestId, code};
use porthole_signaling_proto::{CameraReport, CameraState, GatewayId, SessionId, rpc};

use crate::{
    Action, Admitted, CameraChange, CameraRemoval, ChangeKind, Close, Config, ConnId, Enrolled,
    Hub, Identity, Limits, Lookup, LookupResult, Objects, Output, Principal, Sender, TurnConfig,
    TurnServer, WhepRequestId, WhepResponse,
};

pub(super) struct World {
    pub(super) hub: Hub,
    pub(super) now: Now,
    /// The messages sent to each connection that a test has not taken yet.
    pub(super) inbox: BTreeMap<ConnId, Vec<Message>>,
    pub(super) closed: BTreeMap<ConnId, Close>,
    /// The owner of each connection that has registered.
    pub(super) owners: BTreeMap<ConnId, String>,
    pub(super) responses: BTreeMap<WhepRequestId, Result<WhepResponse, Fault>>,
    pub(super) persisted: Vec<(GatewayId, usize)>,
    /// The TURN users that have ended.
    pub(super) ended: Vec<String>,
    /// The credentials that the database is to be asked about.
    pub(super) to_check: Vec<String>,
    pub(super) tokens: HashMap<String, Principal>,
    pub(super) keys: HashMap<GatewayId, [u8; 32]>,
    pub(super) claims: Vec<String>,
    /// The gateway whose place the next one takes.
    pub(super) replaces: Option<GatewayId>,
    /// The cameras whose rights were taken, and whether their gateway has removed them.
    pub(super) taken: Vec<(String, bool)>,
    /// True if the rights that were taken last stay, for another camera with the same id.
    pub(super) hidden: bool,
    /// The number of rights that each camera has.
    pub(super) grants: u32,
    /// The changes of cameras that were written down, with who has made them.
    pub(super) written: Vec<(ChangeKind, String)>,
    last: u64,
}

impl World {
    pub(super) fn new() -> Self {
        Self::with(Limits::default())
    }

    pub(super) fn with(limits: Limits) -> Self {
        let server = TurnServer {
            name: "main".to_owned(),
            urls: vec!["stun:h".into(), "turn:h".into()],
            secret: b"s".to_vec(),
            weight: TurnServer::USUAL_WEIGHT,
            region: None,
        };
        let turn = TurnConfig { servers: vec![server], lifetime: Duration::from_secs(600) };
        Self {
            hub: Hub::new(Config { limits, turn: Some(turn), ..Config::default() }, [7; 32]),
            now: Now { instant: Instant::now(), unix_s: 1_000_000 },
            inbox: BTreeMap::new(),
            closed: BTreeMap::new(),
            owners: BTreeMap::new(),
            responses: BTreeMap::new(),
            persisted: Vec::new(),
            ended: Vec::new(),
            to_check: Vec::new(),
            tokens: HashMap::new(),
            keys: HashMap::new(),
            claims: Vec::new(),
            replaces: None,
            taken: Vec::new(),
            hidden: false,
            grants: 0,
            written: Vec::new(),
            last: 0,
        }
    }

    /// Applies the hub's outputs, including the results of its lookups.
    pub(super) fn apply_outputs(&mut self) {
        while let Some(output) = self.hub.poll_output() {
            match output {
                Output::Send { to, message } => self.inbox.entry(to).or_default().push(message),
                Output::Close { conn, close } => {
                    self.closed.insert(conn, close);
                }
                Output::WhepResponse { request, outcome } => {
                    assert!(self.responses.insert(request, outcome).is_none(), "one response each");
                }
                Output::Registered { conn, owner } => {
                    self.owners.insert(conn, owner);
                }
                Output::TurnUserEnded(user) => self.ended.push(user.as_str().to_owned()),
                Output::CheckCredentials(credentials) => self.to_check.extend(credentials),
                Output::Persist(stored) => self.persisted.push((stored.id, stored.cameras.len())),
                Output::Lookup { id, lookup } => {
                    let result = self.look_up(lookup);
                    self.hub.handle_lookup_result(self.now, id, result);
                }
            }
        }
    }

    fn look_up(&mut self, lookup: Lookup) -> LookupResult {
        let unauthorized = |text: &str| Fault::new(code::UNAUTHORIZED, text);
        match lookup {
            Lookup::Token(token) => {
                LookupResult::Token(self.tokens.get(&token).cloned().ok_or(unauthorized("unknown")))
            }
            Lookup::GatewayKey(id) => {
                LookupResult::GatewayKey(self.keys.get(&id).copied().ok_or(unauthorized("unknown")))
            }
            Lookup::Enroll { claim, gateway, public_key, name } => {
                let Some(index) = self.claims.iter().position(|known| *known == claim) else {
                    return LookupResult::Enrolled(Err(Fault::new(code::FORBIDDEN, "unknown")));
                };
                self.claims.remove(index);
                self.keys.insert(gateway, public_key);
                let replaces = self.replaces.take();
                LookupResult::Enrolled(Ok(Enrolled { name, renamed: false, replaces }))
            }
            Lookup::TakeRights(removal) => {
                let CameraRemoval { granted, camera, before, is_hidden, .. } = *removal;
                self.hidden = is_hidden;
                let sessions = self.hub.handle_rights_taken(self.now, granted.object(), &camera);
                self.taken.push((camera.to_string(), before.is_some()));
                let sessions = u32::try_from(sessions).unwrap();
                let mut removed = before.unwrap_or(Removed { cameras: 1, ..Removed::default() });
                removed += Removed { sessions, grants: self.grants, ..Removed::default() };
                LookupResult::RightsTaken(Ok(removed))
            }
            Lookup::WriteDown(change) => {
                let CameraChange { granted, camera, kind } = *change;
                let line =
                    format!("{}: {camera} of {}", granted.principal().name(), granted.object());
                self.written.push((kind, line));
                LookupResult::Written
            }
        }
    }

    pub(super) fn wait(&mut self, time: Duration) {
        let end = self.now.after(time);
        while let Some(due) = self.hub.poll_timeout().filter(|due| *due <= end.instant) {
            let step = due.saturating_duration_since(self.now.instant);
            let passed = end.instant.saturating_duration_since(due);
            self.now = Now { instant: due, unix_s: end.unix_s - passed.as_secs() };
            assert!(step <= time);
            self.hub.handle_timeout(self.now);
            self.apply_outputs();
        }
        self.now = end;
    }

    pub(super) fn open(&mut self, principal: Option<Principal>) -> ConnId {
        self.last += 1;
        let conn = ConnId(self.last);
        self.hub.handle_opened(self.now, conn, principal);
        conn
    }

    pub(super) fn close(&mut self, conn: ConnId) {
        self.hub.handle_closed(self.now, conn);
        self.apply_outputs();
    }

    pub(super) fn send(&mut self, conn: ConnId, message: Message) {
        self.hub.handle_message(self.now, conn, Ok(message));
        self.apply_outputs();
    }

    /// Sends a request. Returns the immediate response, if there is one.
    pub(super) fn call<M: Method>(
        &mut self,
        conn: ConnId,
        params: &M::Params,
    ) -> Option<Result<M::Result, Fault>> {
        let id = self.request::<M>(conn, params);
        self.response::<M>(conn, id)
    }

    pub(super) fn request<M: Method>(&mut self, conn: ConnId, params: &M::Params) -> i64 {
        self.last += 1;
        let id = i64::try_from(self.last).unwrap();
        self.send(conn, Message::request::<M>(id, params));
        id
    }

    pub(super) fn response<M: Method>(
        &mut self,
        conn: ConnId,
        id: i64,
    ) -> Option<Result<M::Result, Fault>> {
        let inbox = self.inbox.get_mut(&conn)?;
        let wanted = Some(RequestId::Number(id));
        let is_match =
            |message: &Message| matches!(message, Message::Response { id, .. } if *id == wanted);
        let index = inbox.iter().position(is_match)?;
        let Message::Response { outcome, .. } = inbox.remove(index) else { return None };
        Some(outcome.map(|result| rpc::read(result).unwrap()))
    }

    /// Takes the next request for `M` to this connection.
    pub(super) fn next_request<M: Method>(
        &mut self,
        conn: ConnId,
    ) -> Option<(RequestId, M::Params)> {
        let inbox = self.inbox.get_mut(&conn)?;
        let is_match = |message: &Message| {
            let Message::Request { method, .. } = message else { return false };
            method == M::NAME
        };
        let index = inbox.iter().position(is_match)?;
        let Message::Request { id, params, .. } = inbox.remove(index) else { return None };
        Some((id, rpc::read(params).unwrap()))
    }

    /// Takes all messages sent to this connection.
    pub(super) fn take(&mut self, conn: ConnId) -> Vec<Message> {
        self.inbox.remove(&conn).unwrap_or_default()
    }

    /// Takes all messages to this connection. Returns the code and session of each `error`.
    pub(super) fn errors(&mut self, conn: ConnId) -> Vec<(i64, Option<SessionId>)> {
        let errors = self.take(conn).into_iter().filter_map(|message| match message {
            Message::Error(fault) => Some((fault.code, fault.session)),
            _ => None,
        });
        errors.collect()
    }

    pub(super) fn client(&mut self, principal: Principal) -> ConnId {
        let conn = self.open(Some(principal));
        self.call::<Register>(conn, &RegisterParams::default()).unwrap().unwrap();
        conn
    }

    /// Connects a client to a camera of a gateway, and extends the session with the access token
    /// `token`. Returns the code of a refusal, and true if the gateway was asked.
    pub(super) fn extend(
        &mut self,
        client: ConnId,
        gateway: ConnId,
        params: &ConnectParams,
    ) -> (Option<i64>, bool) {
        let request = self.request::<Connect>(client, params);
        let (asked, device) = self.next_request::<ConnectDevice>(gateway).unwrap();
        let accepted = ConnectDeviceResult::default();
        self.send(gateway, Message::result::<ConnectDevice>(asked, &accepted));
        self.response::<Connect>(client, request).unwrap().unwrap();
        let authorization = Some("token".to_owned());
        let extend =
            ExtendParams { session: device.session, authorization, expiry_time_seconds: None };
        let request = self.request::<Extend>(client, &extend);
        let refused = self.response::<Extend>(client, request).and_then(Result::err);
        (refused.map(|fault| fault.code), self.next_request::<Extend>(gateway).is_some())
    }

    /// Connects a gateway with these cameras, enrolling it first if necessary.
    pub(super) fn gateway(&mut self, seed: u8, cameras: &[&str]) -> (ConnId, GatewayId) {
        self.gateway_with(&SigningKey::from_bytes(&[seed; 32]), cameras)
    }

    /// Connects the gateway with this key, enrolling it first if necessary.
    pub(super) fn gateway_with(
        &mut self,
        key: &SigningKey,
        cameras: &[&str],
    ) -> (ConnId, GatewayId) {
        let conn = self.open(None);
        if !self.keys.contains_key(&gateway_id(&key.verifying_key().to_bytes())) {
            self.claims.push("claim".into());
            let params = enroll_params(key, &self.nonce(conn), "claim");
            self.call::<Enroll>(conn, &params).unwrap().unwrap();
        }
        let token = gateway_token(key, &self.nonce(conn));
        let params = RegisterParams { authorization: Some(token), ..Default::default() };
        self.call::<Register>(conn, &params).unwrap().unwrap();
        self.report(conn, cameras);
        self.take(conn);
        (conn, gateway_id(&key.verifying_key().to_bytes()))
    }

    /// Tries to register a gateway that has enrolled before.
    pub(super) fn try_gateway(&mut self, seed: u8) -> Result<(), Fault> {
        let key = SigningKey::from_bytes(&[seed; 32]);
        let conn = self.open(None);
        let token = gateway_token(&key, &self.nonce(conn));
        let params = RegisterParams { authorization: Some(token), ..Default::default() };
        self.call::<Register>(conn, &params).unwrap().map(drop)
    }

    pub(super) fn nonce(&mut self, conn: ConnId) -> String {
        let ChallengeResult { nonce } = self.call::<Challenge>(conn, &Empty {}).unwrap().unwrap();
        nonce
    }

    pub(super) fn report(&mut self, conn: ConnId, cameras: &[&str]) -> ReportResult {
        let cameras = cameras.iter().map(|id| camera(id)).collect();
        self.call::<Report>(conn, &ReportParams { cameras, ..Default::default() }).unwrap().unwrap()
    }

    /// Starts a session, which the gateway accepts.
    pub(super) fn play(
        &mut self,
        client: ConnId,
        gateway: ConnId,
        params: &ConnectParams,
    ) -> Result<ConnectResult, Fault> {
        let id = self.request::<Connect>(client, params);
        if let Some((request, _)) = self.next_request::<ConnectDevice>(gateway) {
            let result = ConnectDeviceResult::default();
            self.send(gateway, Message::result::<ConnectDevice>(request, &result));
        }
        self.response::<Connect>(client, id).expect("connect is answered")
    }
}

pub(super) fn principal(name: &str, objects: Objects) -> Principal {
    expiring(name, objects, None)
}

/// Returns a principal whose credential expires at this time, in seconds since 1970.
pub(super) fn expiring(name: &str, objects: Objects, expires_s: Option<u64>) -> Principal {
    let (subject, credential) = (name.to_owned(), format!("cookie:{name}"));
    let identity = Identity { subject, credential, name: name.to_owned() };
    Principal::new(identity, Role::Viewer, objects, expires_s)
}

/// Returns the proof that this principal was admitted to an action.
pub(super) fn admitted(principal: Principal, action: Action) -> Admitted {
    let now = Now { instant: Instant::now(), unix_s: 0 };
    action.admit(Sender::Principal(principal), now).unwrap()
}

/// Returns cameras of the gateway with the key 1.
pub(super) fn only(cameras: &[&str]) -> Objects {
    only_of(1, cameras)
}

/// Returns cameras of the gateway with this key.
pub(super) fn only_of(seed: u8, cameras: &[&str]) -> Objects {
    let gateway = gateway_of(seed);
    cameras.iter().map(|id| (gateway.clone(), id.parse().unwrap())).collect()
}

/// Returns the id of the gateway with this key.
pub(super) fn gateway_of(seed: u8) -> GatewayId {
    gateway_id(&SigningKey::from_bytes(&[seed; 32]).verifying_key().to_bytes())
}

pub(super) fn connect_params(gateway: &GatewayId, camera: &str) -> ConnectParams {
    let profile = Some(camera.parse().unwrap());
    ConnectParams { peer: gateway.clone(), profile, authorization: None, audio: None }
}

pub(super) fn camera(id: &str) -> CameraReport {
    CameraReport::new(id.parse().unwrap(), id.to_owned(), CameraState::Idle)
}

pub(super) fn enroll_params(key: &SigningKey, nonce: &str, claim: &str) -> EnrollParams {
    EnrollParams {
        claim: claim.to_owned(),
        public_key: URL_SAFE_NO_PAD.encode(key.verifying_key().to_bytes()),
        signature: sign(key, &enroll_message(None, nonce, claim)),
        name: "Barn".to_owned(),
        origin: None,
    }
}

pub(super) fn gateway_token(key: &SigningKey, nonce: &str) -> String {
    let id = gateway_id(&key.verifying_key().to_bytes());
    let signature = sign(key, &register_message(None, nonce, &id));
    GatewayToken { id, origin: None, signature }.to_string()
}

fn sign(key: &SigningKey, message: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(key.sign(message).to_bytes())
}
