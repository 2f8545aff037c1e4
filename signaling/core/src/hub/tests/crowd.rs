//! No wrong camera: a crowd of gateways whose cameras all have the same names, and of viewers who
//! ask for some of them. Every description and candidate is stamped with the gateway and the camera
//! that it comes from or is meant for, and whoever receives it compares. Messages are on their way
//! for a random time, while peers disconnect, the server restarts, sessions make room for others,
//! and credentials and gateways are revoked.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use ed25519_dalek::SigningKey;
use porthole_signaling_proto::method::{
    Close, Connect, ConnectDevice, ConnectDeviceParams, ConnectDeviceResult, ConnectResult, Invite,
    InviteParams, InviteResult, Method as _, Notification as _, Offer, OfferParams, OfferResult,
    SessionParams, Trickle, TrickleParams,
};
use porthole_signaling_proto::rpc::{Fault, Message, RequestId};
use porthole_signaling_proto::{CameraAddress, CameraId, GatewayId, IceCandidate, SessionId, rpc};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::Value;

use super::world::{World, admitted, connect_params, principal};
use crate::{
    Action, Config, ConnId, Hub, Limits, Objects, Principal, StoredCamera, StoredGateway,
    WhepOffer, WhepRequestId, WhepResponse,
};

/// Gateways of a run in the tests. `PORTHOLE_CROWD` is another number, such as 2000.
const GATEWAYS: usize = 300;
/// Sessions that each gateway is asked for on average.
const SESSIONS_PER_GATEWAY: usize = 10;
/// Gateways for each viewer, and gateways that a viewer may watch.
const GATEWAYS_PER_VIEWER: usize = 4;
const GRANTS: usize = 20;
/// Messages on their way, above which they are delivered before more is asked for.
const MOST_ON_THE_WAY: usize = 2_000;
/// The cameras of every gateway.
const CAMERAS: [&str; 3] = ["door", "yard", "hall"];

/// The camera that a session is about.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted {
    gateway: GatewayId,
    camera: CameraId,
}

impl Wanted {
    /// Returns the text that stands in everything that is sent about the session.
    fn stamp(&self, session: &str) -> String {
        format!("{} {} {session}", self.gateway, self.camera)
    }
}

struct Gateway {
    key: SigningKey,
    id: GatewayId,
    conn: Option<ConnId>,
}

struct Viewer {
    name: String,
    /// Number of the credential; the ones before it are revoked.
    credential: usize,
    grants: Vec<usize>,
    conn: Option<ConnId>,
}

#[derive(Clone, Copy)]
enum Peer {
    Gateway(usize),
    Viewer(usize),
}

/// Numbers of what was asked for and what came of it.
#[derive(Debug, Default)]
struct Counts {
    asked: usize,
    refused: usize,
    delivered: usize,
    answered: usize,
    disconnected: usize,
    revoked: usize,
    restarted: usize,
}

struct Crowd {
    world: World,
    rng: StdRng,
    gateways: Vec<Gateway>,
    viewers: Vec<Viewer>,
    peers: HashMap<ConnId, Peer>,
    /// Messages that their receiver has not handled yet.
    on_the_way: Vec<(ConnId, Message)>,
    /// The camera that each request of a viewer asks for.
    asked: HashMap<(ConnId, RequestId), Wanted>,
    whep: BTreeMap<WhepRequestId, Wanted>,
    /// The viewer of each session, unless it uses WHEP, and the camera that it has asked for.
    sessions: HashMap<SessionId, (Option<ConnId>, Wanted)>,
    last: i64,
    counts: Counts,
}

fn limits() -> Limits {
    // Few enough that sessions make room for others, and lists of cameras are not what is tested.
    Limits {
        sessions_per_subject: 24,
        sessions_per_gateway: 40,
        cameras_interval: Duration::from_secs(3600),
        ..Limits::default()
    }
}

impl Crowd {
    fn new(count: usize, seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let gateways = (0..count).map(|_| {
            let key = SigningKey::from_bytes(&rng.random());
            let id =
                porthole_signaling_proto::identity::gateway_id(&key.verifying_key().to_bytes());
            Gateway { key, id, conn: None }
        });
        let gateways: Vec<_> = gateways.collect();
        let viewers = (0..count / GATEWAYS_PER_VIEWER).map(|number| Viewer {
            name: format!("viewer{number}"),
            credential: 0,
            grants: (0..GRANTS).map(|_| rng.random_range(0..count)).collect(),
            conn: None,
        });
        let viewers = viewers.collect();
        Self {
            world: World::with(limits()),
            rng,
            gateways,
            viewers,
            peers: HashMap::new(),
            on_the_way: Vec::new(),
            asked: HashMap::new(),
            whep: BTreeMap::new(),
            sessions: HashMap::new(),
            last: 0,
            counts: Counts::default(),
        }
    }

    /// Takes what the hub has sent, to be delivered later.
    fn collect(&mut self) {
        for (conn, messages) in std::mem::take(&mut self.world.inbox) {
            self.on_the_way.extend(messages.into_iter().map(|message| (conn, message)));
        }
        for (request, response) in std::mem::take(&mut self.world.responses) {
            let wanted = self.whep.remove(&request).expect("a request that was sent");
            if let Ok(WhepResponse::Created { session, answer, .. }) = response {
                assert_eq!(answer, wanted.stamp("whep"), "an answer of another camera");
                self.sessions.insert(session, (None, wanted));
                self.counts.answered += 1;
            } else {
                self.counts.refused += 1;
            }
        }
        for conn in std::mem::take(&mut self.world.closed).into_keys() {
            self.forget(conn);
        }
    }

    /// Notes that a connection is gone.
    fn forget(&mut self, conn: ConnId) {
        match self.peers.remove(&conn) {
            Some(Peer::Gateway(number)) if self.gateways[number].conn == Some(conn) => {
                self.gateways[number].conn = None;
            }
            Some(Peer::Viewer(number)) if self.viewers[number].conn == Some(conn) => {
                self.viewers[number].conn = None;
            }
            Some(Peer::Gateway(_) | Peer::Viewer(_)) | None => {}
        }
        self.on_the_way.retain(|(to, _)| *to != conn);
    }

    fn connect_gateway(&mut self, number: usize) {
        let key = self.gateways[number].key.clone();
        let (conn, _) = self.world.gateway_with(&key, &CAMERAS);
        self.gateways[number].conn = Some(conn);
        self.peers.insert(conn, Peer::Gateway(number));
        self.collect();
    }

    fn principal_of(&self, number: usize) -> Principal {
        let viewer = &self.viewers[number];
        let cameras = viewer.grants.iter().flat_map(|gateway| {
            let id = &self.gateways[*gateway].id;
            // Not all: what is refused must stay refused.
            CAMERAS[..2].iter().map(|camera| (id.clone(), camera.parse().unwrap()))
        });
        let objects: Objects = cameras.collect();
        principal(&format!("{}.{}", viewer.name, viewer.credential), objects)
    }

    fn connect_viewer(&mut self, number: usize) {
        let conn = self.world.client(self.principal_of(number));
        self.viewers[number].conn = Some(conn);
        self.peers.insert(conn, Peer::Viewer(number));
        self.collect();
    }

    /// Asks for a session with a camera, over the WebSocket or over WHEP.
    fn ask(&mut self) {
        let number = self.rng.random_range(0..self.viewers.len());
        let grants = &self.viewers[number].grants;
        let gateway = grants[self.rng.random_range(0..grants.len())];
        let camera = CAMERAS[self.rng.random_range(0..CAMERAS.len())];
        let gateway = self.gateways[gateway].id.clone();
        let wanted = Wanted { gateway, camera: camera.parse().unwrap() };
        self.counts.asked += 1;
        self.last += 1;
        if self.rng.random_bool(0.3) {
            return self.ask_whep(number, wanted);
        }
        let Some(conn) = self.viewers[number].conn else { return };
        let params = connect_params(&wanted.gateway, camera);
        self.asked.insert((conn, RequestId::Number(self.last)), wanted);
        self.world.send(conn, Message::request::<Connect>(self.last, &params));
    }

    fn ask_whep(&mut self, number: usize, wanted: Wanted) {
        let request = WhepRequestId(u64::try_from(self.last).unwrap());
        let Wanted { gateway, camera } = wanted.clone();
        let offer = WhepOffer {
            sender: admitted(self.principal_of(number), Action::Offer),
            camera: CameraAddress::at(camera, gateway),
            offer: format!("a=ice-ufrag:abcd\r\ns={}\r\n", wanted.stamp("whep")),
            viewer_address: None,
        };
        self.whep.insert(request, wanted);
        self.world.hub.handle_whep_offer(self.world.now, request, offer);
        self.world.apply_outputs();
    }

    /// Delivers one of the messages that are on their way.
    fn deliver(&mut self) {
        if self.on_the_way.is_empty() {
            return;
        }
        let index = self.rng.random_range(0..self.on_the_way.len());
        let (conn, message) = self.on_the_way.swap_remove(index);
        self.counts.delivered += 1;
        match self.peers.get(&conn) {
            Some(Peer::Gateway(number)) => self.at_gateway(*number, conn, message),
            Some(Peer::Viewer(_)) => self.at_viewer(conn, message),
            None => {}
        }
    }

    fn at_gateway(&mut self, number: usize, conn: ConnId, message: Message) {
        let own = self.gateways[number].id.clone();
        match message {
            Message::Request { id, method, params } if method == ConnectDevice::NAME => {
                let params: ConnectDeviceParams = rpc::read(params).unwrap();
                let result = ConnectDeviceResult::default();
                self.world.send(conn, Message::result::<ConnectDevice>(id, &result));
                let wanted = Wanted { gateway: own, camera: params.profile.unwrap() };
                let (session, text) = (params.session.clone(), params.session.to_string());
                self.last += 1;
                let offer = wanted.stamp(&text);
                let invite = InviteParams { session, offer, subprotocols: None };
                self.world.send(conn, Message::request::<Invite>(self.last, &invite));
                self.trickle(conn, params.session, wanted.stamp(&text));
            }
            Message::Request { id, method, params } if method == Offer::NAME => {
                let params: OfferParams = rpc::read(params).unwrap();
                let wanted = Wanted { gateway: own, camera: params.profile };
                let expected = format!("s={}\r\n", wanted.stamp("whep"));
                assert!(params.offer.contains(&expected), "{wanted:?}: {}", params.offer);
                let result = OfferResult { answer: wanted.stamp("whep") };
                self.world.send(conn, Message::result::<Offer>(id, &result));
            }
            Message::Notification { method, params } if method == Trickle::NAME => {
                let TrickleParams { session, candidate } = rpc::read(params).unwrap();
                let stamp = candidate.candidate;
                assert!(stamp.starts_with(own.as_str()), "{own} receives {stamp}");
                assert!(stamp.ends_with(session.as_str()), "{session}: {stamp}");
            }
            Message::Response { outcome: Ok(result), .. } => {
                let InviteResult { answer, .. } = rpc::read::<InviteResult>(result).unwrap();
                assert!(answer.starts_with(own.as_str()), "{own} receives {answer}");
                self.counts.answered += 1;
            }
            _ => {}
        }
    }

    fn at_viewer(&mut self, conn: ConnId, message: Message) {
        match message {
            Message::Response { id: Some(id), outcome } => {
                if let Some(wanted) = self.asked.remove(&(conn, id)) {
                    self.at_asker(conn, wanted, outcome);
                }
            }
            Message::Request { id, method, params } if method == Invite::NAME => {
                let InviteParams { session, offer, .. } = rpc::read(params).unwrap();
                let Some(wanted) = self.check(conn, &session, &offer) else { return };
                let answer = wanted.stamp(session.as_str());
                let result = InviteResult { answer, subprotocols: None };
                self.world.send(conn, Message::result::<Invite>(id, &result));
                self.trickle(conn, session.clone(), wanted.stamp(session.as_str()));
                if self.rng.random_bool(0.2) {
                    let close = Message::notification::<Close>(&SessionParams { session });
                    self.world.send(conn, close);
                }
            }
            Message::Notification { method, params } if method == Trickle::NAME => {
                let TrickleParams { session, candidate } = rpc::read(params).unwrap();
                self.check(conn, &session, &candidate.candidate);
            }
            _ => {}
        }
    }

    fn at_asker(&mut self, conn: ConnId, wanted: Wanted, outcome: Result<Value, Fault>) {
        match outcome {
            Ok(result) => {
                let ConnectResult { session, .. } = rpc::read(result).unwrap();
                assert_ne!(wanted.camera.as_str(), CAMERAS[2], "a camera without a grant");
                let known = self.sessions.insert(session, (Some(conn), wanted));
                assert!(known.is_none(), "one session each");
            }
            Err(_) => self.counts.refused += 1,
        }
    }

    /// Checks what a viewer receives about a session. It may overtake the result of the request.
    fn check(&self, conn: ConnId, session: &SessionId, stamp: &str) -> Option<Wanted> {
        let (viewer, wanted) = self.sessions.get(session)?;
        assert_eq!(*viewer, Some(conn), "the session of another viewer");
        assert_eq!(stamp, wanted.stamp(session.as_str()), "the picture of another camera");
        Some(wanted.clone())
    }

    fn trickle(&mut self, conn: ConnId, session: SessionId, candidate: String) {
        let candidate = IceCandidate {
            candidate,
            sdp_mid: None,
            sdp_mline_index: None,
            username_fragment: None,
        };
        let params = TrickleParams { session, candidate };
        self.world.send(conn, Message::notification::<Trickle>(&params));
    }

    fn disconnect(&mut self) {
        self.counts.disconnected += 1;
        let gateway = self.rng.random_range(0..self.gateways.len());
        let viewer = self.rng.random_range(0..self.viewers.len());
        let conn =
            if self.rng.random() { self.gateways[gateway].conn } else { self.viewers[viewer].conn };
        if let Some(conn) = conn {
            self.world.close(conn);
            self.collect();
            self.forget(conn);
        }
    }

    fn revoke(&mut self) {
        self.counts.revoked += 1;
        let number = self.rng.random_range(0..self.gateways.len());
        if self.rng.random_bool(0.2) {
            let gateway = &self.gateways[number];
            self.world.hub.handle_gateway_removed(self.world.now, &gateway.id);
            self.world.keys.remove(&gateway.id);
            let key = SigningKey::from_bytes(&self.rng.random());
            let id =
                porthole_signaling_proto::identity::gateway_id(&key.verifying_key().to_bytes());
            self.world.apply_outputs();
            self.collect();
            self.gateways[number] = Gateway { key, id, conn: None };
            return;
        }
        let number = number % self.viewers.len();
        let credential = self.principal_of(number).credential().to_owned();
        self.world.hub.handle_revoked(self.world.now, &credential);
        self.world.apply_outputs();
        self.collect();
        assert!(self.viewers[number].conn.is_none(), "its WebSocket is closed");
        self.viewers[number].credential += 1;
    }

    /// Replaces the hub by one that knows what is in the database, and forgets all connections.
    fn restart(&mut self) {
        self.counts.restarted += 1;
        let config = Config { limits: limits(), ..Config::default() };
        self.world.hub = Hub::new(config, self.rng.random());
        for (place, gateway) in (0..).zip(&self.gateways) {
            if !self.world.keys.contains_key(&gateway.id) {
                continue;
            }
            let camera = |id: &&str| StoredCamera {
                id: id.parse().unwrap(),
                name: (*id).to_owned(),
                place,
                former: false,
            };
            self.world.hub.restore(StoredGateway {
                id: gateway.id.clone(),
                name: "Barn".to_owned(),
                renamed: false,
                seen_s: None,
                cameras: CAMERAS.iter().map(camera).collect(),
            });
        }
        for conn in std::mem::take(&mut self.peers).into_keys() {
            self.forget(conn);
        }
        self.gateways.iter_mut().for_each(|gateway| gateway.conn = None);
        self.viewers.iter_mut().for_each(|viewer| viewer.conn = None);
        self.on_the_way.clear();
        self.asked.clear();
        self.whep.clear();
    }

    /// Connects some of those who are not connected.
    fn reconnect(&mut self) {
        for number in 0..self.gateways.len() {
            if self.gateways[number].conn.is_none() && self.rng.random_bool(0.7) {
                self.connect_gateway(number);
            }
        }
        for number in 0..self.viewers.len() {
            if self.viewers[number].conn.is_none() && self.rng.random_bool(0.7) {
                self.connect_viewer(number);
            }
        }
    }

    fn step(&mut self) {
        match self.rng.random_range(0..1000) {
            0..30 => self.disconnect(),
            30..40 => self.revoke(),
            40..60 => {
                let time = Duration::from_millis(self.rng.random_range(0..20_000));
                self.world.wait(time);
            }
            60..100 => self.reconnect(),
            _ => self.ask(),
        }
        self.collect();
        let due = self.rng.random_range(0..8);
        let due = due + self.on_the_way.len().saturating_sub(MOST_ON_THE_WAY);
        for _ in 0..due {
            self.deliver();
            self.collect();
        }
    }
}

fn run(count: usize, seed: u64) -> Counts {
    let mut crowd = Crowd::new(count, seed);
    crowd.reconnect();
    let sessions = count * SESSIONS_PER_GATEWAY;
    let mut restarts = 0;
    while crowd.counts.asked < sessions {
        crowd.step();
        // Three times in each run.
        if crowd.counts.asked >= (restarts + 1) * sessions / 4 && restarts < 3 {
            restarts += 1;
            crowd.restart();
            crowd.reconnect();
        }
    }
    while !crowd.on_the_way.is_empty() {
        crowd.deliver();
        crowd.collect();
    }
    crowd.world.hub.sessions.assert_consistent(&limits());
    crowd.world.hub.links.assert_consistent();
    crowd.counts
}

/// The large run is `PORTHOLE_CROWD=2000 cargo test --release …`, with 20 000 sessions.
#[test]
fn no_viewer_gets_a_wrong_camera_in_a_crowd() {
    let count = std::env::var("PORTHOLE_CROWD").map_or(GATEWAYS, |text| text.parse().unwrap());
    for seed in 0..4 {
        let counts = run(count, seed);
        assert!(counts.answered * 4 > counts.asked, "too few get through: {counts:?}");
        assert!(counts.refused > 0 && counts.disconnected > 0, "{counts:?}");
        println!("{count} gateways, seed {seed}: {counts:?}");
    }
}
