//! Property tests with random steps in random order: nothing panics, no one receives a message of
//! another's session, limits hold, and nothing is left after all peers have disconnected.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;
use std::time::Duration;

use porthole_signaling_proto::method::{Cameras, Notification as _};
use porthole_signaling_proto::rpc::{Fault, Message, RequestId};
use porthole_signaling_proto::{GatewayId, SessionId};
use proptest::prelude::*;
use proptest::test_runner::Config;
use serde_json::{Value, json};

use super::rights::admin;
use super::world::{World, admitted, gateway_of, only, only_of, principal};
use crate::address::Address;
use crate::links::Peer;
use crate::{
    Action, Admitted, ConnId, IfMatch, Limits, Objects, Principal, WhepDelete, WhepFragment,
    WhepOffer, WhepPatch, WhepRequestId,
};

/// A step of a run. Its numbers select among the existing peers and sessions, so that most steps
/// have an effect.
#[derive(Debug, Clone)]
enum Step {
    Client(u8),
    Gateway(u8),
    Close(u8),
    Connect { from: u8, gateway: u8, camera: u8 },
    Session { from: u8, session: u8, method: u8 },
    Respond { from: u8, good: bool },
    Ask { from: u8, gateway: u8 },
    Progress { from: u8, request: u8 },
    Cancel { from: u8 },
    Offer { who: u8, camera: u8 },
    Patch { who: u8, session: u8, restart: bool },
    Delete { who: u8, session: u8 },
    Abandon,
    Garbage { from: u8, text: String },
    Wait { seconds: u16 },
}

fn step() -> impl Strategy<Value = Step> {
    let n = 0u8..6;
    prop_oneof![
        2 => n.clone().prop_map(Step::Client),
        2 => n.clone().prop_map(Step::Gateway),
        1 => any::<u8>().prop_map(Step::Close),
        6 => (any::<u8>(), n.clone(), n.clone())
            .prop_map(|(from, gateway, camera)| Step::Connect { from, gateway, camera }),
        8 => (any::<u8>(), any::<u8>(), n.clone())
            .prop_map(|(from, session, method)| Step::Session { from, session, method }),
        10 => (any::<u8>(), any::<bool>()).prop_map(|(from, good)| Step::Respond { from, good }),
        4 => (any::<u8>(), n.clone()).prop_map(|(from, gateway)| Step::Ask { from, gateway }),
        3 => (any::<u8>(), any::<u8>())
            .prop_map(|(from, request)| Step::Progress { from, request }),
        1 => any::<u8>().prop_map(|from| Step::Cancel { from }),
        3 => (n.clone(), n.clone()).prop_map(|(who, camera)| Step::Offer { who, camera }),
        3 => (n.clone(), any::<u8>(), any::<bool>())
            .prop_map(|(who, session, restart)| Step::Patch { who, session, restart }),
        1 => (n, any::<u8>()).prop_map(|(who, session)| Step::Delete { who, session }),
        1 => Just(Step::Abandon),
        1 => (any::<u8>(), ".{0,40}").prop_map(|(from, text)| Step::Garbage { from, text }),
        1 => (0u16..700).prop_map(|seconds| Step::Wait { seconds }),
    ]
}

/// The ids of cameras. The first gateway has the first two, the second one those in the middle.
const CAMERAS: [&str; 4] = ["a1", "both", "b1", "none"];

fn person(number: u8) -> Principal {
    match number % 4 {
        0 => principal("ann", Objects::All),
        3 => admin(Objects::All),
        1 => principal("bob", only(&["a1"])),
        _ => principal("cid", only_of(2, &["both", "none"])),
    }
}

static GATEWAYS: LazyLock<[GatewayId; 2]> = LazyLock::new(|| [gateway_of(1), gateway_of(2)]);

/// Returns true if a person may watch this camera.
fn may_watch(subject: &str, gateway: &GatewayId, camera: &str) -> bool {
    match subject {
        "bob" => camera == "a1" && *gateway == GATEWAYS[0],
        "cid" => camera == "both" && *gateway == GATEWAYS[1],
        _ => true,
    }
}

fn sender(who: u8, action: Action) -> Admitted {
    admitted(person(who), action)
}

fn gateway_id_of(number: u8, world: &World) -> GatewayId {
    let known: Vec<_> = world.keys.keys().cloned().collect::<BTreeSet<_>>().into_iter().collect();
    match known.len() {
        0 => "gw-none".parse().unwrap(),
        count => known[usize::from(number) % count].clone(),
    }
}

struct Run {
    world: World,
    open: Vec<ConnId>,
    /// All sessions of the run, including ended ones.
    sessions: Vec<SessionId>,
    /// The connections that may receive messages of each session: those of its two sides, before
    /// and after each step.
    sides: BTreeMap<SessionId, BTreeSet<ConnId>>,
    last_request: u64,
}

impl Run {
    fn new() -> Self {
        let limits =
            Limits { sessions_per_subject: 3, sessions_per_gateway: 5, ..Limits::default() };
        let world = World::with(limits);
        Self { world, open: vec![], sessions: vec![], sides: BTreeMap::new(), last_request: 0 }
    }

    fn pick(&self, number: u8) -> Option<ConnId> {
        let count = self.open.len();
        (count > 0).then(|| self.open[usize::from(number) % count])
    }

    fn session(&self, number: u8) -> SessionId {
        match self.sessions.len() {
            0 => "s0".parse().unwrap(),
            count => self.sessions[usize::from(number) % count].clone(),
        }
    }

    fn whep_request(&mut self) -> WhepRequestId {
        self.last_request += 1;
        WhepRequestId(self.last_request)
    }

    fn act(&mut self, step: Step) {
        let now = self.world.now;
        match step {
            Step::Client(number) => {
                let conn = self.world.client(person(number));
                self.open.push(conn);
            }
            Step::Gateway(number) => {
                let cameras = if number % 2 == 0 { &CAMERAS[..2] } else { &CAMERAS[1..3] };
                let conn = self.world.gateway(number % 2 + 1, cameras).0;
                self.open.push(conn);
            }
            Step::Close(number) => {
                if let Some(conn) = self.pick(number) {
                    self.world.close(conn);
                    self.open.retain(|other| *other != conn);
                }
            }
            Step::Connect { from, gateway, camera } => {
                let peer = gateway_id_of(gateway, &self.world);
                let camera = CAMERAS.get(usize::from(camera));
                self.request(from, "connect", json!({"peer": peer, "profile": camera}));
            }
            Step::Session { from, session, method } => self.about_session(from, session, method),
            Step::Respond { from, good } => self.respond(from, good),
            Step::Ask { from, gateway } => {
                let peer = gateway_id_of(gateway, &self.world);
                self.request(from, "portholeDiscover", json!({"peer": peer}));
            }
            Step::Progress { from, request } => {
                let params = json!({"request": request, "value": {}});
                self.notify(from, "portholeProgress", params);
            }
            Step::Cancel { from } => self.notify(from, "portholeCancel", json!({"request": "r"})),
            Step::Offer { who, camera } => {
                let camera = CAMERAS[usize::from(camera) % CAMERAS.len()].parse().unwrap();
                let offer = "a=ice-ufrag:abcd\r\n".to_owned();
                let request = self.whep_request();
                let offer = WhepOffer {
                    sender: sender(who, Action::Offer),
                    camera,
                    offer,
                    viewer_address: None,
                };
                self.world.hub.handle_whep_offer(now, request, offer);
            }
            Step::Patch { who, session, restart } => {
                let ufrag = if restart { "efgh" } else { "abcd" };
                let pwd = "0123456789012345678901";
                let candidate = "candidate:1 1 udp 1 192.0.2.1 9 typ host";
                let text = format!("a=ice-ufrag:{ufrag}\r\na=ice-pwd:{pwd}\r\na={candidate}\r\n");
                let patch = WhepPatch {
                    sender: sender(who, Action::Patch),
                    session: self.session(session),
                    if_match: Some(IfMatch::Any),
                    fragment: WhepFragment::parse(&text).unwrap(),
                };
                let request = self.whep_request();
                self.world.hub.handle_whep_patch(now, request, patch);
            }
            Step::Delete { who, session } => {
                let sender = sender(who, Action::Delete);
                let delete = WhepDelete { sender, session: self.session(session) };
                let request = self.whep_request();
                self.world.hub.handle_whep_delete(now, request, &delete);
            }
            Step::Abandon => self
                .world
                .hub
                .handle_whep_abandoned(self.world.now, WhepRequestId(self.last_request)),
            Step::Garbage { from, text } => {
                if let Some(conn) = self.pick(from) {
                    let message = Message::from_json(&text);
                    self.world.hub.handle_message(now, conn, message);
                }
            }
            Step::Wait { seconds } => self.world.wait(Duration::from_secs(seconds.into())),
        }
        self.world.apply_outputs();
    }

    fn request(&mut self, from: u8, method: &str, params: Value) {
        if let Some(conn) = self.pick(from) {
            let (id, method) = (RequestId::Text("r".into()), method.to_owned());
            self.world.send(conn, Message::Request { id, method, params });
        }
    }

    fn notify(&mut self, from: u8, method: &str, params: Value) {
        if let Some(conn) = self.pick(from) {
            let method = method.to_owned();
            self.world.send(conn, Message::Notification { method, params });
        }
    }

    /// Sends a message about a session, on a connection that may or may not be one of its sides.
    /// Each payload names both, so that it is recognised wherever it arrives.
    fn about_session(&mut self, from: u8, session: u8, method: u8) {
        let Some(conn) = self.pick(from) else { return };
        let session = self.session(session);
        let text = signed(&session, conn);
        match method {
            0 | 1 => {
                let params = json!({"session": session, "candidate": {"candidate": text}});
                let method = "trickle".to_owned();
                self.world.send(conn, Message::Notification { method, params });
            }
            2 => self.request(from, "invite", json!({"session": session, "offer": text})),
            3 => self.request(from, "extend", json!({"session": session})),
            4 => {
                let params = json!({"session": session});
                let method = "portholeClose".to_owned();
                self.world.send(conn, Message::Notification { method, params });
            }
            _ => {
                let fault = Fault { session: Some(session), ..Fault::new(1001, text) };
                self.world.send(conn, Message::Error(fault));
            }
        }
    }

    /// Responds to the oldest request on a connection.
    fn respond(&mut self, from: u8, good: bool) {
        let Some(conn) = self.pick(from) else { return };
        let inbox = self.world.inbox.entry(conn).or_default();
        let is_request = |message: &Message| matches!(message, Message::Request { .. });
        let Some(index) = inbox.iter().position(is_request) else { return };
        let Message::Request { id, params, .. } = inbox.remove(index) else { return };
        // An exchange has none.
        let session = params["session"].as_str().unwrap_or("s0").parse().unwrap();
        let text = signed(&session, conn);
        let outcome = match good {
            true => Ok(json!({"answer": text, "expiryTimeSeconds": 1, "fragment": text})),
            false => Err(Fault::new(480, text)),
        };
        self.world.send(conn, Message::Response { id: Some(id), outcome });
    }

    /// Records the connections of the two sides of each session.
    fn note_sides(&mut self) {
        let hub = &self.world.hub;
        for (name, session) in hub.sessions.iter() {
            if !self.sides.contains_key(name) {
                self.sessions.push(name.clone());
            }
            let (subject, gateway) = (session.subject(), session.gateway());
            let camera = session.camera().as_str();
            assert!(may_watch(subject, gateway, camera), "{subject} {gateway} {camera}");
            let sides = self.sides.entry(name.clone()).or_default();
            sides.extend(hub.resolve(Address::Client(name)));
            sides.extend(hub.resolve(Address::Gateway(session.gateway())));
        }
        self.sessions.sort();
    }

    fn check(&mut self) {
        for (conn, messages) in &self.world.inbox {
            for message in messages {
                let json = message.to_json();
                for (session, sides) in &self.sides {
                    let named = json.contains(session.as_str());
                    assert!(!named || sides.contains(conn), "{conn:?} receives {json}");
                    let sender = signer(&json, session);
                    assert!(sender.is_none_or(|from| sides.contains(&from)), "{json} is forged");
                }
                self.check_cameras(*conn, message);
            }
        }
        let hub = &self.world.hub;
        hub.links.assert_consistent();
        assert!(hub.exchanges.connections().all(|conn| hub.links.is_open(conn)));
        hub.sessions.assert_consistent(&hub.config.limits);
        hub.directory.assert_consistent();
    }

    fn check_cameras(&self, conn: ConnId, message: &Message) {
        let Message::Notification { method, params } = message else { return };
        let peer = self.world.hub.links.get(conn).map(|connection| connection.peer());
        let Some(Peer::Client(principal)) = peer else { return };
        if method == Cameras::NAME {
            for camera in params["cameras"].as_array().unwrap() {
                let id = camera["id"].as_str().unwrap().parse().unwrap();
                let gateway = camera["gateway"].as_str().unwrap().parse().unwrap();
                let listing = admitted(principal.clone(), Action::ListCameras);
                let granted = listing.camera(&gateway, &id, self.world.now);
                assert!(granted.is_ok(), "{principal:?} gets {camera}");
            }
        }
    }
}

fn signed(session: &SessionId, from: ConnId) -> String {
    format!("{session} from {}.", from.0)
}

/// Returns the connection that sent this message about the session.
fn signer(json: &str, session: &SessionId) -> Option<ConnId> {
    let (_, rest) = json.split_once(&format!("{session} from "))?;
    rest.split_once('.')?.0.parse().ok().map(ConnId)
}

proptest! {
    #![proptest_config(Config { cases: 1024, failure_persistence: None, ..Config::default() })]

    #[test]
    fn no_one_receives_messages_of_other_sessions_and_nothing_is_left(
        steps in proptest::collection::vec(step(), 1..80),
    ) {
        let mut run = Run::new();
        for first in [Step::Client(0), Step::Client(1), Step::Gateway(0), Step::Gateway(1)] {
            run.act(first);
        }
        for step in steps {
            run.note_sides();
            run.act(step);
            run.note_sides();
            run.check();
        }
        for conn in std::mem::take(&mut run.open) {
            run.world.close(conn);
        }
        run.world.wait(Duration::from_secs(2 * 24 * 60 * 60));
        let hub = &run.world.hub;
        prop_assert_eq!(hub.counts(), (0, 0));
        prop_assert!(hub.links.is_idle() && hub.sessions.is_empty() && hub.lookups.is_empty());
        prop_assert!(hub.exchanges.is_empty());
        prop_assert_eq!(hub.directory.subjects().count(), 0);
        prop_assert_eq!(hub.poll_timeout(), None);
    }

    #[test]
    fn nothing_panics_on_any_text(
        texts in proptest::collection::vec(any_message(), 1..40),
    ) {
        let mut world = World::new();
        let conns = [
            world.client(person(3)), world.gateway(1, &["a1"]).0, world.open(None),
        ];
        for (index, text) in texts.iter().enumerate() {
            let now = world.now;
            world.hub.handle_message(now, conns[index % 3], Message::from_json(text));
            world.apply_outputs();
        }
    }
}

/// Generates messages that look like Porthole's, with arbitrary contents.
fn any_message() -> impl Strategy<Value = String> {
    let method = prop_oneof![
        Just("register"),
        Just("connect"),
        Just("invite"),
        Just("trickle"),
        Just("extend"),
        Just("portholeEnroll"),
        Just("portholeChallenge"),
        Just("portholeReport"),
        Just("error"),
        Just("unregister"),
        Just("portholeClose"),
        Just("portholeDiscover"),
        Just("portholeProbe"),
        Just("portholeAddCamera"),
        Just("portholeProgress"),
        Just("portholeShown"),
        Just("portholeCancel"),
    ];
    let key = prop_oneof![
        Just("session"),
        Just("authorization"),
        Just("peer"),
        Just("profile"),
        Just("offer"),
        Just("candidate"),
        Just("cameras"),
        Just("claim"),
        Just("publicKey"),
        Just("signature"),
        Just("name"),
        Just("id"),
        Just("capabilities"),
        Just("address"),
        Just("request"),
        Just("value"),
    ];
    let value = prop_oneof![
        Just(json!(null)),
        Just(json!({})),
        Just(json!([])),
        any::<i64>().prop_map(|n| json!(n)),
        ".{0,20}".prop_map(|text| json!(text)),
        Just(json!("pgw1.gw-a.b")),
        Just(json!([{}])),
    ];
    let params = proptest::collection::btree_map(key, value, 0..5);
    (method, params, any::<bool>(), any::<Option<i64>>()).prop_map(|(method, params, list, id)| {
        let params = if list { json!([params]) } else { json!(params) };
        json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string()
    })
}
