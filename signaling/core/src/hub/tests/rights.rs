//! Rights of peers: a row for every message, with a column for every kind of sender. The
//! expectations are written by hand. They say what must be, whatever the table of rights says.

use std::collections::BTreeSet;

use porthole_signaling_proto::method::{Discover, Method as _, Report, ReportParams};
use porthole_signaling_proto::rest::{Role, Scope};
use porthole_signaling_proto::rpc::{Fault, Message, RequestId, code};
use porthole_signaling_proto::{CameraReport, SessionId};
use serde_json::{Value, json};

use super::world::{World, camera, connect_params, expiring, gateway_of, only, only_of, principal};
use crate::messages::{NOTIFICATIONS, REQUESTS};
use crate::{Access, Close, ConnId, Expiry, Identity, Objects, Principal, Sharing};

/// The senders, in the order of the columns. There are two gateways, one with the cameras `cam` and
/// `cam2`, the other with `other` and a `cam` of its own. A client is for cameras of the first
/// gateway or for `other`, unless its name says more. The owner has a session with `cam` of the
/// first.
const SENDERS: [&str; 23] = [
    "nobody",
    "cookie, not registered",
    "client",
    "client who controls cam",
    "client for cam",
    "client for cam2",
    "client for other",
    "client for cam of the other gateway",
    "owner",
    "owner on another WebSocket",
    "admin",
    "admin for other",
    "expired client",
    "gateway",
    "other gateway",
    // Access tokens of admins, each with one scope.
    "scope watch",
    "scope gateways",
    "scope read",
    "share of cam",
    "admin whose token was revoked",
    "scope people",
    "scope shares",
    "scope audit",
];

/// The message was answered by the server.
const OK: i64 = 0;
/// The message has reached another peer.
const SENT: i64 = 1;
/// The message has ended the session, and nobody was told.
const ENDED: i64 = 2;
/// The message had no effect.
const NONE: i64 = -1;

/// A method, its parameters, and the outcome for each of [`SENDERS`]: one of the above, or the code
/// of the fault.
type Row = (&'static str, Value, [i64; SENDERS.len()]);

fn requests() -> Vec<Row> {
    let mut rows = requests_without_camera();
    rows.extend(connects_to_the_first_gateway());
    rows.extend(connects_to_the_other_gateway());
    rows.extend(requests_to_the_first_gateway());
    rows.extend(requests_to_cameras());
    rows
}

fn requests_without_camera() -> Vec<Row> {
    let wide = json!({"authorization": "wide"});
    let enroll = json!({"claim": "c", "publicKey": "k", "signature": "s", "name": "n"});
    let invite = json!({"session": "@session", "offer": "o"});
    let extend = json!({"session": "@session"});
    let extend_by = |token| json!({"session": "@session", "authorization": token});
    let report = json!({"cameras": []});
    vec![
        (
            "register",
            json!({}),
            [
                401, OK, 400, 400, 400, 400, 400, 400, 400, 400, 400, 400, 400, 400, 400, 400, 400,
                400, 400, NONE, 400, 400, 400,
            ],
        ),
        (
            "register",
            wide,
            [
                OK, OK, 400, 400, 400, 400, 400, 400, 400, 400, 400, 400, 400, 400, 400, 400, 400,
                400, 400, NONE, 400, 400, 400,
            ],
        ),
        (
            "register",
            json!({"authorization": "revoked"}),
            [
                401, 401, 400, 400, 400, 400, 400, 400, 400, 400, 400, 400, 400, 400, 400, 400,
                400, 400, 400, NONE, 400, 400, 400,
            ],
        ),
        (
            "unregister",
            json!({}),
            [
                404, 404, OK, OK, OK, OK, OK, OK, OK, OK, OK, OK, OK, OK, OK, OK, OK, OK, OK, NONE,
                OK, OK, OK,
            ],
        ),
        (
            "portholePing",
            json!({}),
            [
                404, 404, OK, OK, OK, OK, OK, OK, OK, OK, OK, OK, OK, OK, OK, OK, OK, OK, OK, NONE,
                OK, OK, OK,
            ],
        ),
        (
            "portholeChallenge",
            json!({}),
            [
                OK, OK, 400, 400, 400, 400, 400, 400, 400, 400, 400, 400, 400, 400, 400, 400, 400,
                400, 400, NONE, 400, 400, 400,
            ],
        ),
        (
            "portholeEnroll",
            enroll,
            [
                401, 401, 400, 400, 400, 400, 400, 400, 400, 400, 400, 400, 400, 400, 400, 400,
                400, 400, 400, NONE, 400, 400, 400,
            ],
        ),
        (
            "extend",
            extend,
            [
                404, 404, 404, 404, 404, 404, 404, 404, SENT, SENT, 404, 404, 401, 403, 403, 404,
                404, 404, 404, NONE, 404, 404, 404,
            ],
        ),
        (
            "extend",
            extend_by("narrow"),
            [
                404, 404, 404, 404, 404, 404, 404, 404, 403, 403, 404, 404, 404, 403, 403, 404,
                404, 404, 404, NONE, 404, 404, 404,
            ],
        ),
        (
            "extend",
            extend_by("reader"),
            [
                404, 404, 404, 404, 404, 404, 404, 404, 403, 403, 404, 404, 404, 403, 403, 404,
                404, 404, 404, NONE, 404, 404, 404,
            ],
        ),
        (
            "extend",
            extend_by("revoked"),
            [
                404, 404, 401, 401, 401, 401, 401, 401, 401, 401, 401, 401, 401, 403, 403, 401,
                401, 401, 401, NONE, 401, 401, 401,
            ],
        ),
        (
            "invite",
            invite,
            [
                404, 404, 403, 403, 403, 403, 403, 403, 403, 403, 403, 403, 403, SENT, 400, 403,
                403, 403, 403, NONE, 403, 403, 403,
            ],
        ),
        (
            "portholeReport",
            report,
            [
                404, 404, 403, 403, 403, 403, 403, 403, 403, 403, 403, 403, 403, OK, OK, 403, 403,
                403, 403, NONE, 403, 403, 403,
            ],
        ),
    ]
}

fn connects_to_the_first_gateway() -> Vec<Row> {
    let cam = |profile: &str| json!({"peer": "@gateway", "profile": profile});
    let by = |token: &str| json!({"peer": "@gateway", "profile": "cam", "authorization": token});
    let any = json!({"peer": "@gateway"});
    vec![
        (
            "connect",
            cam("cam"),
            [
                404, 404, SENT, SENT, SENT, 403, 403, 403, SENT, SENT, SENT, 403, 401, 403, 403,
                SENT, 403, 403, SENT, NONE, 403, 403, 403,
            ],
        ),
        (
            "connect",
            cam("cam2"),
            [
                404, 404, SENT, 403, 403, SENT, 403, 403, SENT, SENT, SENT, 403, 401, 403, 403,
                SENT, 403, 403, 403, NONE, 403, 403, 403,
            ],
        ),
        (
            "connect",
            cam("none"),
            [
                404, 404, 404, 403, 403, 403, 403, 403, 404, 404, 404, 403, 401, 403, 403, 404,
                403, 403, 403, NONE, 403, 403, 403,
            ],
        ),
        (
            "connect",
            cam("other"),
            [
                404, 404, 404, 403, 403, 403, 403, 403, 404, 404, 404, 403, 401, 403, 403, 404,
                403, 403, 403, NONE, 403, 403, 403,
            ],
        ),
        (
            "connect",
            any,
            [
                404, 404, SENT, SENT, SENT, SENT, 404, 404, SENT, SENT, SENT, 404, 401, 403, 403,
                SENT, 404, 404, SENT, NONE, 404, 404, 404,
            ],
        ),
        (
            "connect",
            by("wide"),
            [
                404, 404, SENT, SENT, SENT, SENT, SENT, SENT, SENT, SENT, SENT, SENT, SENT, 403,
                403, SENT, SENT, SENT, SENT, NONE, SENT, SENT, SENT,
            ],
        ),
        (
            "connect",
            by("narrow"),
            [
                404, 404, 403, 403, 403, 403, 403, 403, 403, 403, 403, 403, 403, 403, 403, 403,
                403, 403, 403, NONE, 403, 403, 403,
            ],
        ),
        (
            "connect",
            by("expired"),
            [
                404, 404, 401, 401, 401, 401, 401, 401, 401, 401, 401, 401, 401, 403, 403, 401,
                401, 401, 401, NONE, 401, 401, 401,
            ],
        ),
        (
            "connect",
            by("revoked"),
            [
                404, 404, 401, 401, 401, 401, 401, 401, 401, 401, 401, 401, 401, 403, 403, 401,
                401, 401, 401, NONE, 401, 401, 401,
            ],
        ),
        (
            "connect",
            cam("probe.1"),
            [
                404, 404, 404, 403, 403, 403, 403, 403, 404, 404, SENT, 403, 401, 403, 403, 404,
                403, 403, 403, NONE, 403, 403, 403,
            ],
        ),
    ]
}

/// Returns the rows for the gateway whose `cam` is not the one of the first.
fn connects_to_the_other_gateway() -> Vec<Row> {
    let cam = |profile: &str| json!({"peer": "@other", "profile": profile});
    let by =
        |profile: &str| json!({"peer": "@other", "profile": profile, "authorization": "narrow"});
    let any = json!({"peer": "@other"});
    vec![
        (
            "connect",
            cam("cam"),
            [
                404, 404, SENT, 403, 403, 403, 403, SENT, SENT, SENT, SENT, 403, 401, 403, 403,
                SENT, 403, 403, 403, NONE, 403, 403, 403,
            ],
        ),
        (
            "connect",
            cam("cam2"),
            [
                404, 404, 404, 403, 403, 403, 403, 403, 404, 404, 404, 403, 401, 403, 403, 404,
                403, 403, 403, NONE, 403, 403, 403,
            ],
        ),
        (
            "connect",
            cam("other"),
            [
                404, 404, SENT, 403, 403, 403, SENT, 403, SENT, SENT, SENT, SENT, 401, 403, 403,
                SENT, 403, 403, 403, NONE, 403, 403, 403,
            ],
        ),
        (
            "connect",
            any,
            [
                404, 404, SENT, 404, 404, 404, SENT, SENT, SENT, SENT, SENT, SENT, 401, 403, 403,
                SENT, 404, 404, 404, NONE, 404, 404, 404,
            ],
        ),
        (
            "connect",
            by("cam"),
            [
                404, 404, 403, 403, 403, 403, 403, 403, 403, 403, 403, 403, 403, 403, 403, 403,
                403, 403, 403, NONE, 403, 403, 403,
            ],
        ),
        (
            "connect",
            by("other"),
            [
                404, 404, SENT, SENT, SENT, SENT, SENT, SENT, SENT, SENT, SENT, SENT, SENT, 403,
                403, SENT, SENT, SENT, SENT, NONE, SENT, SENT, SENT,
            ],
        ),
    ]
}

/// Returns the rows for requests that belong to no session.
fn requests_to_the_first_gateway() -> Vec<Row> {
    const MANAGERS: [i64; SENDERS.len()] = [
        404, 404, 403, 403, 403, 403, 403, 403, 403, 403, SENT, 403, 401, 403, 403, 403, SENT, 403,
        403, NONE, 403, 403, 403,
    ];
    vec![
        ("portholeSealingKey", of_gateway(json!({})), MANAGERS),
        ("portholeDiscover", of_gateway(json!({})), MANAGERS),
        ("portholeProbe", of_gateway(json!({"address": "192.168.1.20"})), MANAGERS),
        (
            "portholeReadConfiguration",
            of_gateway(json!({
                "sealed": {"nonce": "n", "enc": "e", "ciphertext": "c"}, "piece": 0, "pieces": 1,
            })),
            MANAGERS,
        ),
        ("portholeStoredCameras", of_gateway(json!({})), MANAGERS),
        (
            "portholeAddCamera",
            of_gateway(json!({"revision": 1, "provisional": "probe.1", "name": "Door"})),
            MANAGERS,
        ),
        (
            "portholeChangeCamera",
            of_gateway(json!({"revision": 1, "camera": "cam", "name": "Door"})),
            MANAGERS,
        ),
        ("portholeRemoveCamera", of_gateway(json!({"revision": 1, "camera": "cam"})), MANAGERS),
        ("portholeCheckSettings", of_gateway(json!({"camera": "cam"})), MANAGERS),
        ("portholeApplySettings", of_gateway(json!({"camera": "cam", "plan": "p"})), MANAGERS),
    ]
}

/// Returns the rows for moving cameras. An admin who sees only `other` moves no other camera.
fn requests_to_cameras() -> Vec<Row> {
    const MOVERS: [i64; SENDERS.len()] = [
        404, 404, 403, SENT, 403, 403, 403, 403, 403, 403, SENT, 403, 401, 403, 403, SENT, 403,
        403, 403, NONE, 403, 403, 403,
    ];
    const MISSING: [i64; SENDERS.len()] = [
        404, 404, 403, 403, 403, 403, 403, 403, 403, 403, 404, 403, 401, 403, 403, 404, 403, 403,
        403, NONE, 403, 403, 403,
    ];
    let cam = json!({"camera": "cam"});
    let preset = json!({"camera": "cam", "preset": "1"});
    let other = json!({"peer": "@other", "camera": "other", "pan": 1});
    vec![
        ("portholeMove", of_gateway(json!({"camera": "cam", "pan": -40, "zoom": 100})), MOVERS),
        ("portholeMove", of_gateway(json!({"camera": "none", "pan": 1})), MISSING),
        ("portholeMove", of_gateway(json!({"camera": "other", "pan": 1})), MISSING),
        (
            "portholeMove",
            other,
            [
                404, 404, 403, 403, 403, 403, 403, 403, 403, 403, SENT, SENT, 401, 403, 403, SENT,
                403, 403, 403, NONE, 403, 403, 403,
            ],
        ),
        ("portholePresets", of_gateway(cam), MOVERS),
        ("portholeGoToPreset", of_gateway(preset.clone()), MOVERS),
        ("portholeSavePreset", of_gateway(json!({"camera": "cam", "name": "Gate"})), MOVERS),
        ("portholeRemovePreset", of_gateway(preset), MOVERS),
    ]
}

/// Adds the gateway to the parameters of a request.
fn of_gateway(mut params: Value) -> Value {
    params["peer"] = json!("@gateway");
    params
}

fn notifications() -> Vec<Row> {
    const SIDES: [i64; SENDERS.len()] = [
        NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, SENT, NONE, NONE, NONE, NONE, SENT, NONE,
        NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE,
    ];
    let candidate = json!({"candidate": "c"});
    vec![
        ("trickle", json!({"session": "@session", "candidate": candidate}), SIDES),
        ("portholeClose", json!({"session": "@session"}), SIDES),
        ("error", json!({"session": "@session"}), SIDES),
        (
            "portholeShown",
            json!({"session": "@session", "picture": "sub", "reason": "path", "kbitPerS": 900}),
            [
                NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, SENT,
                NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE,
            ],
        ),
        (
            "portholeProgress",
            json!({"request": "@number", "value": {}}),
            [
                NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, SENT,
                NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE,
            ],
        ),
        (
            "portholeCancel",
            json!({"request": "q"}),
            [
                NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, SENT, NONE, NONE, NONE,
                NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE,
            ],
        ),
    ]
}

/// A world with the two gateways, the session of the owner, and a search for cameras that the admin
/// has begun under the id `q`. The first gateway has also probed a camera, `probe.1`.
struct Scene {
    world: World,
    gateways: [ConnId; 2],
    gateway_ids: [String; 2],
    owner: ConnId,
    session: SessionId,
    admin: ConnId,
    /// The number of the search on the gateway's connection.
    search: RequestId,
}

impl Scene {
    fn new() -> Self {
        let mut world = World::new();
        let (gateway, id) = world.gateway(1, &["cam", "cam2"]);
        let (other, other_id) = world.gateway(2, &["other", "cam"]);
        let expired = expiring("old", Objects::All, Some(world.now.unix_s));
        for (token, principal) in [
            ("wide", principal("wide", Objects::All)),
            ("narrow", principal("narrow", only_of(2, &["other"]))),
            ("reader", limited_to(Scope::Read)),
            ("expired", expired),
        ] {
            world.tokens.insert(token.to_owned(), principal);
        }
        // The database has found it just before it was revoked.
        world.tokens.insert("revoked".to_owned(), principal("late", Objects::All));
        world.hub.handle_revoked(world.now, "cookie:late");
        let owner = world.client(principal("owner", Objects::All));
        let session = world.play(owner, gateway, &connect_params(&id, "cam")).unwrap().session;
        let gateways = [gateway, other];
        let provisional = CameraReport { provisional: true, ..camera("probe.1") };
        let cameras = vec![camera("cam"), camera("cam2"), provisional];
        let report = ReportParams { cameras, ..Default::default() };
        world.call::<Report>(gateway, &report).unwrap().unwrap();
        let admin = world.client(admin(Objects::All));
        let message = Message::Request {
            id: RequestId::Text("q".into()),
            method: Discover::NAME.to_owned(),
            params: json!({"peer": id}),
        };
        world.send(admin, message);
        let (search, _) = world.next_request::<Discover>(gateway).unwrap();
        let gateway_ids = [id, other_id].map(|id| id.to_string());
        Self { world, gateways, gateway_ids, owner, session, admin, search }
    }

    fn sender(&mut self, name: &str) -> ConnId {
        let world = &mut self.world;
        match name {
            "nobody" => world.open(None),
            "cookie, not registered" => world.open(Some(principal("ann", Objects::All))),
            "client" => world.client(principal("ann", Objects::All)),
            "client who controls cam" => {
                world.client(principal("ann", only(&["cam"])).with_control())
            }
            "client for cam" => world.client(principal("ann", only(&["cam"]))),
            "client for cam2" => world.client(principal("ann", only(&["cam2"]))),
            "client for other" => world.client(principal("ann", only_of(2, &["other"]))),
            "client for cam of the other gateway" => {
                world.client(principal("ann", only_of(2, &["cam"])))
            }
            "owner" => self.owner,
            "owner on another WebSocket" => world.client(principal("owner", Objects::All)),
            "admin" => self.admin,
            "admin for other" => world.client(admin(only_of(2, &["other"]))),
            "expired client" => {
                let end_s = world.now.unix_s + 5;
                let client = world.client(expiring("ann", Objects::All, Some(end_s)));
                // The time at which the hub closes the connection has not come yet.
                world.now.unix_s = end_s;
                client
            }
            "gateway" => self.gateways[0],
            "other gateway" => self.gateways[1],
            "scope watch" => world.client(limited_to(Scope::Watch)),
            "scope gateways" => world.client(limited_to(Scope::Gateways)),
            "scope read" => world.client(limited_to(Scope::Read)),
            "share of cam" => world.client(share_of_cam(world.now.unix_s + 60)),
            "admin whose token was revoked" => {
                let admin = world.client(admin_named("gone", Objects::All));
                world.hub.handle_revoked(world.now, "gone");
                world.apply_outputs();
                assert_eq!(world.closed.get(&admin), Some(&Close::SIGNED_OUT));
                admin
            }
            "scope people" => world.client(limited_to(Scope::People)),
            "scope shares" => world.client(limited_to(Scope::Shares)),
            "scope audit" => world.client(limited_to(Scope::Audit)),
            other => panic!("{other} is not a sender"),
        }
    }

    fn filled_in(&self, params: &Value) -> Value {
        let [gateway, other] = &self.gateway_ids;
        let text = params.to_string().replace("@gateway", gateway).replace("@other", other);
        let text = text.replace("@session", self.session.as_str());
        let search = serde_json::to_string(&self.search).unwrap();
        serde_json::from_str(&text.replace("\"@number\"", &search)).unwrap()
    }

    /// Sends a message and returns its outcome.
    fn outcome(&mut self, from: ConnId, message: Message) -> i64 {
        self.world.inbox.clear();
        self.world.send(from, message);
        let is_response = |message: &Message| matches!(message, Message::Response { .. });
        let answer = self.world.take(from).into_iter().find(is_response);
        match answer {
            Some(Message::Response { outcome, .. }) => outcome.err().map_or(OK, |fault| fault.code),
            _ if self.world.inbox.values().any(|messages| !messages.is_empty()) => SENT,
            _ if self.world.hub.counts().1 == 0 => ENDED,
            _ => NONE,
        }
    }
}

pub(super) fn admin(objects: Objects) -> Principal {
    admin_named("root", objects)
}

pub(super) fn admin_named(name: &str, objects: Objects) -> Principal {
    let [subject, credential, name] = [name; 3].map(str::to_owned);
    Principal::new(Identity { subject, credential, name }, Role::Admin, objects, None)
}

/// Returns the owner of an access token that has one scope.
fn limited_to(scope: Scope) -> Principal {
    let [subject, credential, name] = ["scoped"; 3].map(str::to_owned);
    let access = Access {
        role: Role::Admin,
        objects: Objects::All,
        control: true,
        listen: true,
        scopes: Some([scope].into()),
        expiry: Expiry::Never,
        max_kbit_per_s: None,
    };
    Principal::with_access(Identity { subject, credential, name }, &access)
}

/// Returns the bearer of a link that shows `cam` of the first gateway, with sound, until this time.
fn share_of_cam(end_s: u64) -> Principal {
    let [subject, credential, name] = ["share:1"; 3].map(str::to_owned);
    let cameras = [((gateway_of(1), "cam".parse().unwrap()), true)].into();
    let sharing = Sharing { cameras, end_s, max_kbit_per_s: None };
    Principal::of_share(Identity { subject, credential, name }, &sharing)
}

#[test]
fn every_request_is_for_the_senders_in_its_row() {
    let rows: BTreeSet<_> = requests().iter().map(|(method, ..)| *method).collect();
    let known: BTreeSet<_> = REQUESTS.iter().map(|(method, ..)| *method).collect();
    assert_eq!(rows, known, "a request has no row, or a row no request");
    for (method, params, expected) in requests() {
        for (name, expected) in SENDERS.iter().zip(expected) {
            let mut scene = Scene::new();
            let (from, params) = (scene.sender(name), scene.filled_in(&params));
            let (id, method) = (RequestId::Text("x".into()), method.to_owned());
            let request = Message::Request { id, method: method.clone(), params: params.clone() };
            assert_eq!(scene.outcome(from, request), expected, "{name}: {method} {params}");
        }
    }
}

#[test]
fn every_notification_is_for_the_senders_in_its_row() {
    let rows: BTreeSet<_> = notifications().iter().map(|(method, ..)| *method).collect();
    let known = NOTIFICATIONS.iter().map(|(method, ..)| *method).chain(["error"]);
    assert_eq!(rows, known.collect(), "a notification has no row, or a row no notification");
    for (method, params, expected) in notifications() {
        for (name, expected) in SENDERS.iter().zip(expected) {
            let mut scene = Scene::new();
            let (from, params) = (scene.sender(name), scene.filled_in(&params));
            let message = match method {
                "error" => {
                    let session = Some(scene.session.clone());
                    Message::Error(Fault { session, ..Fault::new(code::PEER_DISCONNECTED, "x") })
                }
                method => Message::Notification { method: method.to_owned(), params },
            };
            assert_eq!(scene.outcome(from, message), expected, "{name}: {method}");
        }
    }
}
