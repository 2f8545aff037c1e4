//! Tests of revocation: whoever revokes a credential, in whatever way, ends what was started with
//! it within two seconds.

mod support;

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use porthole_signaling::admin;
use porthole_signaling::admin::Given;
use porthole_signaling_proto::manage::{AddCameraParams, ChangedResult};
use porthole_signaling_proto::method::{
    AddCamera, Challenge, ChangeCamera, Close, Empty, Offer, OfferResult, Report, ReportParams,
};
use porthole_signaling_proto::rest::Removed;
use porthole_signaling_proto::rpc::code;
use porthole_signaling_proto::{CameraState, SessionId};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use support::{HttpResponse, Installation, JSON, Key, Peer, Running, camera, http};

const PASSWORD: &str = "a password of ann";
/// Time within which a revocation has ended everything.
const PROMPT: Duration = Duration::from_secs(2);

/// A server with a gateway that has the camera `demo`, and the token of an admin.
struct Scene {
    at: Installation,
    admin: String,
}

impl Scene {
    async fn new() -> Self {
        let at = Installation::new(&["demo"]).await;
        let admin = at.admin().await;
        Self { at, admin }
    }

    fn to(&self) -> SocketAddr {
        self.at.to()
    }

    async fn as_admin(&self, method: &str, path: &str, body: &str) -> HttpResponse {
        let headers = [("authorization", self.admin.as_str()), JSON];
        http(self.to(), method, path, &headers, body).await
    }

    /// Creates a viewer's token, and starts a session on a WebSocket and one over WHEP with it.
    /// Returns its number and the WebSocket.
    async fn watch(&mut self) -> (i64, String, Peer) {
        let (number, token, mut viewer) = self.viewer().await;
        self.play(&mut viewer).await;
        self.play_whep(&[("authorization", &format!("Bearer {token}"))]).await;
        (number, token, viewer)
    }

    /// Creates a viewer's token and a WebSocket with it. Returns its number and text, too.
    async fn viewer(&self) -> (i64, String, Peer) {
        let new = json!({"name": "wall", "role": "viewer"}).to_string();
        let made = self.as_admin("POST", "/api/v1/tokens", &new).await.json();
        let token = made["token"].as_str().expect("a token").to_owned();
        let list = self.as_admin("GET", "/api/v1/tokens", "").await.json();
        assert_eq!(list["tokens"][0]["name"], "wall", "the newest is the first");
        let number = list["tokens"][0]["id"].as_i64().expect("a number");
        let viewer = Peer::viewer(self.to(), &token).await;
        (number, token, viewer)
    }

    /// Starts a session of a viewer, which the gateway accepts.
    async fn play(&mut self, viewer: &mut Peer) -> SessionId {
        self.at.play(viewer).await
    }

    async fn play_whep(&mut self, credential: &[(&str, &str)]) -> SessionId {
        let mut headers = credential.to_vec();
        headers.push(("content-type", "application/sdp"));
        let post =
            http(self.at.server.address, "POST", "/whep/demo", &headers, "a=ice-ufrag:abcd\r\n");
        let gateway = async {
            let (id, started) = self.at.gateway.next_request::<Offer>().await;
            self.at.gateway.respond::<Offer>(id, &OfferResult { answer: "a".into() }).await;
            started.session
        };
        let (response, session) = tokio::join!(post, gateway);
        assert_eq!(response.status, 201);
        session
    }

    /// Waits until the use of a token is noted: its request was admitted.
    async fn wait_until_used(&self, name: &str) {
        self.wait_for("/api/v1/tokens", |list| {
            let tokens = list["tokens"].as_array().expect("a list");
            tokens.iter().any(|token| token["name"] == name && token["seenS"].is_u64())
        })
        .await;
    }

    /// Waits until the audit log has an event of this kind.
    async fn wait_until_noted(&self, kind: &str) {
        self.wait_for("/api/v1/audit", |log| {
            log["events"].as_array().expect("a log").iter().any(|event| event["kind"] == kind)
        })
        .await;
    }

    async fn wait_for(&self, path: &str, is: impl Fn(&Value) -> bool) {
        let done = async {
            while !is(&self.as_admin("GET", path, "").await.json()) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), done).await.expect(path);
    }

    /// Checks that a viewer's WebSocket is closed, and that the gateway is told to end so many
    /// sessions, in time.
    async fn check_ended(&mut self, viewer: &mut Peer, sessions: usize, what: &str) {
        let since = Instant::now();
        let close = viewer.close_frame().await.expect("a reason");
        assert_eq!(u16::from(close.code), 4401, "{what}");
        for _ in 0..sessions {
            self.at.gateway.next_notification::<Close>().await;
        }
        assert!(since.elapsed() < PROMPT, "{what} took {:?}", since.elapsed());
    }
}

fn removed(response: &HttpResponse) -> Value {
    assert_eq!(response.status, 200, "{response:?}");
    response.json()
}

#[tokio::test]
async fn s2_the_open_websocket_of_a_revoked_token_is_closed_and_its_sessions_end() {
    let mut scene = Scene::new().await;
    for way in ["by a request", "on the host", "by another program"] {
        let (number, token, mut viewer) = scene.watch().await;
        match way {
            "by a request" => {
                let path = format!("/api/v1/tokens/{number}");
                let removed = removed(&scene.as_admin("DELETE", &path, "").await);
                assert_eq!((&removed["tokens"], &removed["sessions"]), (&json!(1), &json!(2)));
            }
            "on the host" => {
                admin::revoke_token(scene.at.data.path(), number).await.unwrap();
            }
            _ => delete_by_hand(scene.at.data.path(), number).await,
        }
        scene.check_ended(&mut viewer, 2, way).await;
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str())];
        let again = http(scene.to(), "GET", "/api/v1/cameras", &headers, "").await;
        assert_eq!(again.status, 401, "{way}");
        let mut late = Peer::open(scene.to(), &[]).await.unwrap();
        let refused = late.register(Some(token)).await.unwrap_err();
        assert_eq!(refused.code, code::UNAUTHORIZED, "{way}");
    }
    scene.at.server.stop().await;
}

#[tokio::test]
async fn a_revocation_takes_effect_while_another_program_keeps_the_database_for_itself() {
    let mut scene = Scene::new().await;
    let (number, _, mut viewer) = scene.watch().await;
    let pool = open_by_hand(scene.at.data.path()).await;
    let mut other = pool.acquire().await.unwrap();
    for step in ["BEGIN IMMEDIATE", "DELETE FROM tokens WHERE id = ?", "COMMIT", "BEGIN IMMEDIATE"]
    {
        let query = sqlx::query(step);
        let query = if step.contains('?') { query.bind(number) } else { query };
        query.execute(&mut *other).await.unwrap();
    }
    scene.check_ended(&mut viewer, 2, "while the database is kept").await;
    sqlx::query("ROLLBACK").execute(&mut *other).await.unwrap();
    drop(other);
    pool.close().await;
    // What the server has waited for in vain is not begun later, with nobody to end it.
    let new = json!({"name": "after", "role": "viewer"}).to_string();
    let made = scene.as_admin("POST", "/api/v1/tokens", &new).await;
    assert_eq!(made.status, 200, "{made:?}");
    scene.at.server.stop().await;
}

#[tokio::test]
async fn s2_a_request_whose_body_arrives_after_the_revocation_changes_nothing() {
    let mut scene = Scene::new().await;
    let new = json!({"name": "second admin", "role": "admin"}).to_string();
    let made = scene.as_admin("POST", "/api/v1/tokens", &new).await.json();
    let stolen = made["token"].as_str().unwrap().to_owned();
    let list = scene.as_admin("GET", "/api/v1/tokens", "").await.json();
    let number = |name: &str| {
        let all = list["tokens"].as_array().unwrap();
        all.iter().find(|token| token["name"] == name).unwrap()["id"].as_i64().unwrap()
    };
    let (other, _, _viewer) = scene.watch().await;
    let bearer = format!("Bearer {stolen}");
    let path = format!("/api/v1/tokens/{other}");
    let mut slow = SlowRequest::begin(scene.to(), "DELETE", &path, &bearer).await;
    scene.wait_until_used("second admin").await;
    let path = format!("/api/v1/tokens/{}", number("second admin"));
    removed(&scene.as_admin("DELETE", &path, "").await);
    let late = slow.finish().await;
    assert!(late.starts_with("HTTP/1.1 401 "), "{late}");
    let list = scene.as_admin("GET", "/api/v1/tokens", "").await.json();
    let left: Vec<_> = list["tokens"].as_array().unwrap().iter().map(|one| &one["id"]).collect();
    assert!(left.contains(&&json!(other)), "the other token is still there: {left:?}");
    scene.at.server.stop().await;
}

/// A request whose last byte is held back.
struct SlowRequest(TcpStream);

impl SlowRequest {
    async fn begin(to: SocketAddr, method: &str, path: &str, bearer: &str) -> Self {
        let mut stream = TcpStream::connect(to).await.expect("the server listens");
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {to}\r\nAuthorization: {bearer}\r\n\
             Connection: close\r\nContent-Length: 2\r\n\r\n "
        );
        stream.write_all(head.as_bytes()).await.expect("it reads");
        Self(stream)
    }

    async fn finish(&mut self) -> String {
        self.0.write_all(b" ").await.expect("it reads");
        let mut response = String::new();
        self.0.read_to_string(&mut response).await.expect("a response");
        response
    }
}

async fn open_by_hand(data: &Path) -> sqlx::SqlitePool {
    let url = format!("sqlite://{}", data.join("signaling.sqlite3").display());
    sqlx::SqlitePool::connect(&url).await.expect("the database is there")
}

async fn delete_by_hand(data: &Path, number: i64) {
    let pool = open_by_hand(data).await;
    let deleted = sqlx::query("DELETE FROM tokens WHERE id = ?").bind(number).execute(&pool).await;
    deleted.expect("it can be written");
    pool.close().await;
}

/// Signs in. Returns the cookie.
async fn sign_in(to: SocketAddr, password: &str) -> Result<String, u16> {
    let body = json!({"name": "ann", "password": password}).to_string();
    let response = http(to, "POST", "/api/v1/session", &[JSON], &body).await;
    if response.status != 200 {
        return Err(response.status);
    }
    let cookie = response.header("set-cookie").expect("a cookie");
    Ok(cookie.split(';').next().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn a_user_signs_out_everywhere_and_gets_a_new_password_on_the_host() {
    let mut scene = Scene::new().await;
    let to = scene.to();
    let link = scene.at.server.setup_link.clone().unwrap();
    let token = link.split_once("#t=").unwrap().1;
    let body = json!({"token": token, "name": "ann", "password": "0123456789"}).to_string();
    assert_eq!(http(to, "POST", "/api/v1/setup", &[JSON], &body).await.status, 200);

    let first = sign_in(to, "0123456789").await.unwrap();
    let second = sign_in(to, "0123456789").await.unwrap();
    let mut open = Peer::open(to, &[("cookie", &first)]).await.unwrap();
    open.register(None).await.unwrap();
    scene.play(&mut open).await;
    let list = http(to, "GET", "/api/v1/sign-ins", &[("cookie", &second)], "").await.json();
    let list = list["signIns"].as_array().unwrap().clone();
    assert_eq!(list.len(), 3, "with that of the setup: {list:?}");
    assert_eq!(list.iter().filter(|one| one["current"] == true).count(), 1);
    let gone = http(to, "DELETE", "/api/v1/sign-ins", &[("cookie", &second)], "").await;
    let gone = removed(&gone);
    assert_eq!((&gone["signIns"], &gone["sessions"]), (&json!(3), &json!(1)));
    scene.check_ended(&mut open, 1, "signing out").await;
    for cookie in [&first, &second] {
        let me = http(to, "GET", "/api/v1/session", &[("cookie", cookie)], "").await;
        assert_eq!(me.status, 401);
    }

    let cookie = sign_in(to, "0123456789").await.unwrap();
    let mut open = Peer::open(to, &[("cookie", &cookie)]).await.unwrap();
    open.register(None).await.unwrap();
    let data = scene.at.data.path().to_owned();
    let weak = admin::reset_user(&data, "ann", "short".into(), Given::Kept).await.unwrap_err();
    assert!(weak.to_string().contains("at least 10 characters"), "{weak}");
    let unknown =
        admin::reset_user(&data, "bob", "another password".into(), Given::Kept).await.unwrap_err();
    assert!(unknown.to_string().contains("there is no user bob"), "{unknown}");
    let new = async |given| admin::reset_user(&data, "ann", "another password".into(), given).await;
    let reset = new(Given::Kept).await.unwrap();
    assert_eq!((reset.removed.sign_ins, reset.left), (1, Removed::default()));
    scene.check_ended(&mut open, 0, "the reset").await;
    assert_eq!(sign_in(to, "0123456789").await, Err(401));
    let cookie = sign_in(to, "another password").await.unwrap();
    // What was given with the old password goes on, which is said, unless it is to go as well.
    for body in [r#"{"name": "first", "role": "admin"}"#, r#"{"name": "second", "role": "viewer"}"#]
    {
        let made = http(to, "POST", "/api/v1/tokens", &[("cookie", &cookie), JSON], body).await;
        assert_eq!(made.status, 200, "{made:?}");
    }
    let two = Removed { tokens: 2, ..Removed::default() };
    assert_eq!(new(Given::Kept).await.unwrap().left, two);
    let reset = new(Given::Removed).await.unwrap();
    assert_eq!((reset.removed, reset.left), (two, Removed::default()));
    let last = admin::remove_user(&data, "ann").await.unwrap_err();
    assert!(last.to_string().contains("the last owner stays"), "{last}");
    scene.at.server.stop().await;
}

#[tokio::test]
async fn a_removed_gateway_is_disconnected_and_its_key_is_refused() {
    for on_the_host in [false, true] {
        let mut scene = Scene::new().await;
        let (_, _, mut viewer) = scene.watch().await;
        let (to, id) = (scene.to(), scene.at.key.id());
        if on_the_host {
            let removed = admin::remove_gateway(scene.at.data.path(), &id).await.unwrap();
            assert_eq!((removed.gateways, removed.cameras), (1, 1));
        } else {
            let path = format!("/api/v1/gateways/{id}");
            let removed = removed(&scene.as_admin("DELETE", &path, "").await);
            assert_eq!((&removed["cameras"], &removed["sessions"]), (&json!(1), &json!(2)));
        }
        let since = Instant::now();
        let close = scene.at.gateway.close_frame().await.expect("a reason");
        assert_eq!(u16::from(close.code), 4410, "{on_the_host}");
        viewer.next_notification::<Close>().await;
        assert!(since.elapsed() < PROMPT, "{on_the_host}");
        let mut again = Peer::open(to, &[]).await.unwrap();
        let nonce = again.call::<Challenge>(&Empty {}).await.unwrap().nonce;
        let refused = again.register(Some(scene.at.key.token(&nonce))).await.unwrap_err();
        assert_eq!(refused.code, code::UNAUTHORIZED, "{refused}");
        let cameras = scene.as_admin("GET", "/api/v1/cameras", "").await.json();
        assert_eq!(cameras["cameras"], json!([]));
        // A person may let it in again, with a new claim code, and at once.
        let _again = scene.at.key.with_cameras(scene.at.data.path(), to, &["demo"]).await;
        tokio::time::sleep(Duration::from_millis(1200)).await;
        let cameras = scene.as_admin("GET", "/api/v1/cameras", "").await.json();
        assert_eq!(cameras["cameras"][0]["state"], "idle", "it stays: {cameras}");
        scene.at.server.stop().await;
    }
}

#[tokio::test]
async fn a_revoked_claim_code_enrols_nobody() {
    let scene = Scene::new().await;
    let claim = scene.as_admin("POST", "/api/v1/claims", "").await.json();
    let list = scene.as_admin("GET", "/api/v1/claims", "").await.json();
    assert_eq!(list["claims"].as_array().unwrap().len(), 1, "{list}");
    assert_eq!(list["claims"][0]["giver"], "test");
    let path = format!("/api/v1/claims/{}", list["claims"][0]["id"].as_str().unwrap());
    assert_eq!(removed(&scene.as_admin("DELETE", &path, "").await)["claims"], 1);
    assert_eq!(scene.as_admin("DELETE", &path, "").await.status, 404);
    let code = claim["code"].as_str().unwrap();
    let refused = Key::new(2).enroll(scene.to(), code).await.unwrap_err();
    assert_eq!(refused.code, code::FORBIDDEN, "{refused}");
    scene.at.server.stop().await;
}

#[tokio::test]
async fn sessions_of_before_a_restart_of_the_server_end_with_their_credentials() {
    let mut scene = Scene::new().await;
    let (mut tokens, mut sessions) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let (number, token, mut viewer) = scene.viewer().await;
        let connected = scene.play(&mut viewer).await;
        let whep = scene.play_whep(&[("authorization", &format!("Bearer {token}"))]).await;
        tokens.push(number);
        sessions.push([connected, whep]);
    }
    let Installation { data, server, key, .. } = scene.at;
    server.stop().await;
    admin::revoke_token(data.path(), tokens[0]).await.unwrap();
    let server = Running::start(data.path()).await;
    let mut gateway = key.connect(server.address).await;
    let params = ReportParams {
        cameras: vec![camera("demo", CameraState::Idle)],
        sessions: Some(sessions.concat()),
        ..ReportParams::default()
    };
    gateway.call::<Report>(&params).await.unwrap();
    check_closed(&mut gateway, &sessions[0], "while the server was down").await;
    admin::revoke_token(data.path(), tokens[1]).await.unwrap();
    check_closed(&mut gateway, &sessions[1], "after the restart").await;
    // Had the others been ended as well, this would come after their end.
    admin::revoke_token(data.path(), tokens[2]).await.unwrap();
    check_closed(&mut gateway, &sessions[2], "later").await;
    server.stop().await;
}

/// Checks that a gateway is told to end these sessions next, in time.
async fn check_closed(gateway: &mut Peer, sessions: &[SessionId], when: &str) {
    let since = Instant::now();
    let mut closed = Vec::new();
    for _ in sessions {
        closed.push(gateway.next_notification::<Close>().await.session);
    }
    closed.sort();
    let mut expected = sessions.to_vec();
    expected.sort();
    assert_eq!(closed, expected, "revoked {when}");
    assert!(since.elapsed() < PROMPT, "revoked {when}: {:?}", since.elapsed());
}

/// Creates the first admin, signs in wrongly and rightly, and out again.
async fn sign_in_and_out(to: SocketAddr, setup: &str) {
    let body = json!({"token": setup, "name": "ann", "password": PASSWORD}).to_string();
    assert_eq!(http(to, "POST", "/api/v1/setup", &[JSON], &body).await.status, 200);
    for name in ["ann", "ann", "my secret typed into the wrong field"] {
        let body = json!({"name": name, "password": "wrong password"}).to_string();
        assert_eq!(http(to, "POST", "/api/v1/session", &[JSON], &body).await.status, 401);
    }
    let right = json!({"name": "ann", "password": PASSWORD}).to_string();
    let signed_in = http(to, "POST", "/api/v1/session", &[JSON], &right).await;
    let cookie = signed_in.header("set-cookie").expect("a cookie");
    let cookie = ("cookie", cookie.split(';').next().unwrap_or_default());
    assert_eq!(http(to, "DELETE", "/api/v1/session", &[cookie], "").await.status, 204);
}

/// Creates an admin's token that is limited to a camera, which wants to give more than it has.
async fn give_too_much(scene: &Scene) -> String {
    let limited = json!({"name": "wall", "role": "admin", "cameras": ["demo"]}).to_string();
    let limited = scene.as_admin("POST", "/api/v1/tokens", &limited).await.json();
    let limited = limited["token"].as_str().expect("a token").to_owned();
    let bearer = format!("Bearer {limited}");
    let more = json!({"name": "more", "role": "admin"}).to_string();
    for _ in 0..2 {
        let headers = [JSON, ("authorization", &*bearer)];
        let refused = http(scene.to(), "POST", "/api/v1/tokens", &headers, &more).await;
        assert_eq!(refused.status, 403, "{refused:?}");
    }
    limited
}

/// Returns kind, number, actor and address of each event.
fn shown(events: &[Value]) -> Vec<String> {
    let show = |event: &Value| {
        let text = |field: &str| event[field].as_str().unwrap_or("-").to_owned();
        format!("{} {} {} {}", text("kind"), event["count"], text("actor"), text("address"))
    };
    events.iter().map(show).collect()
}

#[tokio::test]
async fn s10_the_audit_log_has_who_got_access_who_tried_to_and_who_changed_it() {
    let scene = Scene::new().await;
    let link = scene.at.server.setup_link.clone().unwrap();
    let setup = link.split_once("#t=").unwrap().1;
    sign_in_and_out(scene.to(), setup).await;
    let limited = give_too_much(&scene).await;
    let list = scene.as_admin("GET", "/api/v1/tokens", "").await.json();
    let path = format!("/api/v1/tokens/{}", list["tokens"][0]["id"]);
    removed(&scene.as_admin("DELETE", &path, "").await);
    Key::new(3).enroll(scene.to(), "NO-SUCH-CODE").await.unwrap_err();
    // It is counted at once, and written down beside everything else.
    scene.wait_until_noted("enrolmentRefused").await;
    let path = format!("/api/v1/gateways/{}", scene.at.key.id());
    removed(&scene.as_admin("DELETE", &path, "").await);

    let log = scene.as_admin("GET", "/api/v1/audit", "").await;
    for secret in ["my secret", "wrong password", PASSWORD, setup, &limited, "NO-SUCH-CODE"] {
        assert!(!log.body.contains(secret), "{secret}: {}", log.body);
    }
    let log = log.json();
    let events = log["events"].as_array().unwrap();
    let expected = [
        "gatewayRemoved 1 test -",
        "enrolmentRefused 1 - -",
        "tokenRevoked 1 test -",
        "giftRefused 2 wall -",
        "tokenCreated 1 test -",
        "signedOut 1 ann -",
        "signedIn 2 ann 127.0.0.1",
        "signInFailed 1 - 127.0.0.1",
        "signInFailed 2 - 127.0.0.1",
        "setUp 1 ann 127.0.0.1",
        "tokenCreated 1 operator -",
        "gatewayEnrolled 1 - -",
        "claimCreated 1 operator -",
    ];
    assert_eq!(shown(events), expected);
    let oldest = events.last().unwrap()["id"].as_i64().unwrap();
    let rest = scene.as_admin("GET", &format!("/api/v1/audit?before={oldest}"), "").await.json();
    assert_eq!(rest, json!({"events": []}));
    let wrong = scene.as_admin("GET", "/api/v1/audit?before=x", "").await;
    assert_eq!(wrong.status, 400, "{wrong:?}");
    let on_the_host = admin::audit(scene.at.data.path()).await.unwrap();
    assert_eq!(on_the_host.len(), expected.len());
    scene.at.server.stop().await;
}

/// Changes `demo` in the name of an admin, and lets the gateway answer.
async fn change(scene: &mut Scene, asking: &mut Peer, field: &str, is_confirmed: bool) {
    let mut params = json!({"peer": scene.at.key.id(), "revision": 1, "camera": "demo"});
    params[field] = json!("probe.1");
    let asked =
        asking.request::<ChangeCamera>(&serde_json::from_value(params).expect("a change")).await;
    let (number, _) = scene.at.gateway.next_request::<ChangeCamera>().await;
    if is_confirmed {
        let result = ChangedResult { camera: "demo".parse().expect("an id"), revision: 2 };
        scene.at.gateway.respond::<ChangeCamera>(number, &result).await;
    } else {
        scene.at.gateway.refuse(number, code::FORBIDDEN, "not this one").await;
    }
    assert_eq!(asking.response::<ChangeCamera>(asked).await.is_ok(), is_confirmed);
}

#[tokio::test]
async fn s10_the_audit_log_has_what_was_done_to_a_gateway_and_its_cameras() {
    let mut scene = Scene::new().await;
    let id = scene.at.key.id();
    for name in ["House", "House"] {
        let body = json!({"name": name}).to_string();
        let renamed = scene.as_admin("PATCH", &format!("/api/v1/gateways/{id}"), &body).await;
        assert_eq!(renamed.status, 204, "{renamed:?}");
    }
    let token = scene.admin.trim_start_matches("Bearer ").to_owned();
    let mut asking = Peer::viewer(scene.to(), &token).await;
    let new = AddCameraParams {
        peer: id.clone(),
        revision: 1,
        provisional: "probe.1".parse().unwrap(),
        name: "Yard".to_owned(),
        by: None,
    };
    let asked = asking.request::<AddCamera>(&new).await;
    let (number, _) = scene.at.gateway.next_request::<AddCamera>().await;
    let result = ChangedResult { camera: "yard".parse().unwrap(), revision: 2 };
    scene.at.gateway.respond::<AddCamera>(number, &result).await;
    asking.response::<AddCamera>(asked).await.unwrap();
    for (field, is_confirmed) in [("name", true), ("provisional", false), ("provisional", true)] {
        change(&mut scene, &mut asking, field, is_confirmed).await;
    }
    support::report(&mut scene.at.gateway, &["yard"]).await;
    let path = format!("/api/v1/gateways/{id}/former-cameras/demo");
    assert_eq!(scene.as_admin("DELETE", &path, "").await.status, 204);

    let log = scene.as_admin("GET", "/api/v1/audit", "").await.json();
    let events = log["events"].as_array().unwrap();
    let told: Vec<_> = events
        .iter()
        .take_while(|event| event["kind"] != "tokenCreated")
        .map(|event| {
            assert_eq!((&event["actor"], &event["count"]), (&json!("test"), &json!(1)), "{event}");
            format!("{}: {}", event["kind"].as_str().unwrap(), event["object"].as_str().unwrap())
        })
        .collect();
    let of_house = |text: &str| format!("{text} (House, {id})");
    let expected = [
        of_house("cameraReleased: demo"),
        of_house("cameraReaddressed: demo"),
        of_house("cameraChanged: demo"),
        of_house("cameraAdded: yard"),
        format!("gatewayRenamed: Barn ({id}) to House"),
    ];
    assert_eq!(told, expected);
    scene.at.server.stop().await;
}
