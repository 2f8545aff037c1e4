//! Tests of gateways and viewers on real WebSockets.

mod support;

use std::time::Duration;

use porthole_signaling::{Config, Rate};
use porthole_signaling_proto::method::{
    Cameras, Challenge, Close, Connect, ConnectDevice, ConnectDeviceResult, ConnectParams, Empty,
    Enroll, Extend, ExtendParams, ExtendResult, Invite, InviteParams, InviteResult, SessionParams,
    Trickle, TrickleParams,
};
use porthole_signaling_proto::rest::Role;
use porthole_signaling_proto::rpc::code;
use porthole_signaling_proto::{CameraState, IceCandidate, SessionId};
use tempfile::TempDir;

use support::{Key, Peer, Running, config, http, report, token};

/// A server with a gateway that has the camera `demo`, and a token of a viewer.
struct Scene {
    server: Running,
    key: Key,
    gateway: Peer,
    token: String,
    data: TempDir,
}

impl Scene {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// Starts the server with changed settings.
    async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let data = tempfile::tempdir().expect("a temporary folder");
        let mut config = config(data.path());
        change(&mut config);
        let server = Running::with(config).await;
        let key = Key::new(1);
        let gateway = key.with_cameras(data.path(), server.address, &["demo"]).await;
        let token = token(data.path(), Role::Viewer, &[]).await;
        Self { server, key, gateway, token, data }
    }

    async fn viewer(&self) -> Peer {
        Peer::viewer(self.server.address, &self.token).await
    }

    /// Starts a session, which the gateway accepts.
    async fn start_session(&mut self, viewer: &mut Peer) -> SessionId {
        let request = viewer.request::<Connect>(&connect_params(&self.key, "demo")).await;
        let (id, device) = self.gateway.next_request::<ConnectDevice>().await;
        self.gateway.respond::<ConnectDevice>(id, &ConnectDeviceResult::default()).await;
        viewer.response::<Connect>(request).await.expect("the session is accepted");
        device.session
    }
}

fn connect_params(key: &Key, camera: &str) -> ConnectParams {
    let profile = Some(camera.parse().expect("an id"));
    ConnectParams { peer: key.id(), profile, authorization: None, audio: None }
}

#[tokio::test]
async fn a_gateway_enrols_with_a_claim_code_and_its_key() {
    let data = tempfile::tempdir().unwrap();
    let server = Running::start(data.path()).await;
    let (key, to) = (Key::new(1), server.address);

    let mut peer = Peer::open(to, &[]).await.unwrap();
    let nonce = peer.call::<Challenge>(&Empty {}).await.unwrap().nonce;
    let fault = peer.register(Some(key.token(&nonce))).await.unwrap_err();
    assert_eq!(fault.code, code::UNAUTHORIZED, "it has not enrolled yet: {fault}");

    let claim = porthole_signaling::admin::create_claim(data.path()).await.unwrap().code;
    let nonce = peer.call::<Challenge>(&Empty {}).await.unwrap().nonce;
    let mut forged = key.enroll_params(&nonce, &claim);
    forged.signature = Key::new(2).sign(b"something else");
    let fault = peer.call::<Enroll>(&forged).await.unwrap_err();
    assert_eq!(fault.code, code::UNAUTHORIZED, "another key has signed: {fault}");
    let fault = peer.call::<Enroll>(&key.enroll_params(&nonce, &claim)).await.unwrap_err();
    assert_eq!(fault.code, code::UNAUTHORIZED, "the nonce has been used: {fault}");
    assert!(fault.message.contains("nonce"), "{fault}");

    let result = key.enroll(to, &claim).await.unwrap();
    assert_eq!(result.id, key.id(), "a refused enrolment does not use up the claim");
    let fault = Key::new(2).enroll(to, &claim).await.unwrap_err();
    assert_eq!(fault.code, code::FORBIDDEN, "the claim has been used: {fault}");
    let fault = Key::new(2).enroll(to, "NO-SUCH-CLAIM").await.unwrap_err();
    assert_eq!(fault.code, code::FORBIDDEN, "{fault}");

    let mut peer = Peer::open(to, &[]).await.unwrap();
    let nonce = peer.call::<Challenge>(&Empty {}).await.unwrap().nonce;
    let token = key.token(&nonce);
    assert_eq!(peer.register(Some(token.clone())).await.unwrap().id, key.id().to_string());
    let mut replay = Peer::open(to, &[]).await.unwrap();
    let fault = replay.register(Some(token.clone())).await.unwrap_err();
    assert_eq!(fault.code, code::UNAUTHORIZED, "a token without a nonce: {fault}");
    replay.call::<Challenge>(&Empty {}).await.unwrap();
    let fault = replay.register(Some(token)).await.unwrap_err();
    assert_eq!(fault.code, code::UNAUTHORIZED, "a token for another nonce: {fault}");
    server.stop().await;
}

#[tokio::test]
async fn an_expired_claim_says_that_it_has_expired() {
    let data = tempfile::tempdir().unwrap();
    let server = Running::start(data.path()).await;
    let claim = porthole_signaling::admin::create_claim(data.path()).await.unwrap().code;
    let url = format!("sqlite://{}", data.path().join("signaling.sqlite3").display());
    let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
    sqlx::query("UPDATE claims SET expires_s = 1").execute(&pool).await.unwrap();
    let fault = Key::new(1).enroll(server.address, &claim).await.unwrap_err();
    assert_eq!(fault.code, code::FORBIDDEN);
    assert!(fault.message.contains("expired"), "{fault}");
    pool.close().await;
    server.stop().await;
}

#[tokio::test]
async fn a_viewer_and_a_gateway_set_up_a_session() {
    let scene = Scene::new().await;
    let mut viewer = scene.viewer().await;
    let Scene { server, key, mut gateway, data: _data, .. } = scene;
    let cameras = viewer.next_notification::<Cameras>().await.cameras;
    assert_eq!(cameras.len(), 1);
    assert_eq!(cameras[0].gateway, key.id());
    assert_eq!(cameras[0].report.state, CameraState::Idle);

    let request = viewer.request::<Connect>(&connect_params(&key, "demo")).await;
    let (id, device) = gateway.next_request::<ConnectDevice>().await;
    assert_eq!(device.profile.as_ref().unwrap().as_str(), "demo");
    assert_eq!(device.ice_servers.len(), 2);
    let session = device.session.clone();
    let user = device.ice_servers[1].username.clone().unwrap();
    assert!(user.ends_with(&format!(":{session}")), "{user}");
    gateway.respond::<ConnectDevice>(id, &ConnectDeviceResult::default()).await;
    let result = viewer.response::<Connect>(request).await.unwrap();
    assert_eq!((&result.session, &result.ice_servers), (&session, &device.ice_servers));
    let expiry = result.expiry_time_seconds.unwrap();
    assert!((3590..=3600).contains(&expiry), "{expiry}");

    let candidate = |text: &str| TrickleParams {
        session: session.clone(),
        candidate: IceCandidate { candidate: text.into(), ..IceCandidate::default() },
    };
    gateway.notify::<Trickle>(&candidate("candidate:early")).await;
    assert_eq!(viewer.next_notification::<Trickle>().await, candidate("candidate:early"));
    let offer = InviteParams { session: session.clone(), offer: "o".into(), subprotocols: None };
    let invited = gateway.request::<Invite>(&offer).await;
    let (id, params) = viewer.next_request::<Invite>().await;
    assert_eq!(params, offer);
    let answer = InviteResult { answer: "a".into(), subprotocols: None };
    viewer.respond::<Invite>(id, &answer).await;
    assert_eq!(gateway.response::<Invite>(invited).await.unwrap(), answer);
    viewer.notify::<Trickle>(&candidate("")).await;
    assert_eq!(gateway.next_notification::<Trickle>().await, candidate(""));

    let params =
        ExtendParams { session: session.clone(), authorization: None, expiry_time_seconds: None };
    let extended = viewer.request::<Extend>(&params).await;
    let (id, params) = gateway.next_request::<Extend>().await;
    assert_eq!(params.expiry_time_seconds, Some(3600));
    gateway.respond::<Extend>(id, &ExtendResult { expiry_time_seconds: 3600 }).await;
    assert_eq!(viewer.response::<Extend>(extended).await.unwrap().expiry_time_seconds, 3600);

    viewer.notify::<Close>(&SessionParams { session: session.clone() }).await;
    assert_eq!(gateway.next_notification::<Close>().await, SessionParams { session });
    server.stop().await;
}

#[tokio::test]
async fn a_camera_without_its_gateway_is_offline_and_its_viewers_are_told() {
    let mut scene = Scene::new().await;
    let mut viewer = scene.viewer().await;
    viewer.next_notification::<Cameras>().await;
    let session = scene.start_session(&mut viewer).await;
    let Scene { server, key, gateway, data: _data, .. } = scene;

    gateway.close().await;
    let error = viewer.next_error().await;
    assert_eq!((error.code, error.session), (code::PEER_DISCONNECTED, Some(session)));
    let cameras = viewer.next_notification::<Cameras>().await.cameras;
    assert_eq!(cameras[0].report.state, CameraState::Offline);
    let fault = viewer.call::<Connect>(&connect_params(&key, "demo")).await.unwrap_err();
    assert_eq!(fault.code, code::UNAVAILABLE, "{fault}");

    let mut gateway = key.connect(server.address).await;
    report(&mut gateway, &["demo"]).await;
    let cameras = viewer.next_notification::<Cameras>().await.cameras;
    assert_eq!(cameras[0].report.state, CameraState::Idle, "the gateway is back");
    server.stop().await;
}

#[tokio::test]
async fn a_restarted_server_knows_its_cameras_and_peers_can_reconnect() {
    let scene = Scene::new().await;
    let mut viewer = scene.viewer().await;
    let Scene { server, key, mut gateway, token, data } = scene;
    server.stop().await;
    assert_eq!(u16::from(gateway.close_frame().await.unwrap().code), 1001);
    assert_eq!(u16::from(viewer.close_frame().await.unwrap().code), 1001);

    let server = Running::start(data.path()).await;
    let mut viewer = Peer::viewer(server.address, &token).await;
    let cameras = viewer.next_notification::<Cameras>().await.cameras;
    assert_eq!(cameras[0].report.state, CameraState::Offline);
    let gateway = key.connect(server.address).await;
    let mut scene = Scene { server, key, gateway, token, data };
    scene.start_session(&mut viewer).await;
    scene.server.stop().await;
}

#[tokio::test]
async fn a_gateway_that_connects_again_replaces_its_older_connection() {
    let Scene { server, key, gateway: mut old, data: _data, .. } = Scene::new().await;
    let mut new = key.connect(server.address).await;
    assert_eq!(u16::from(old.close_frame().await.unwrap().code), 4409);
    assert_eq!(report(&mut new, &["demo"]).await.refused, []);
    server.stop().await;
}

#[tokio::test]
async fn a_limited_token_sees_and_watches_its_cameras_only() {
    let Scene { server, key, mut gateway, token: all, data } = Scene::new().await;
    report(&mut gateway, &["barn", "demo"]).await;
    let limited = token(data.path(), Role::Viewer, &["barn"]).await;
    let mut viewer = Peer::viewer(server.address, &limited).await;
    let cameras = viewer.next_notification::<Cameras>().await.cameras;
    assert_eq!(cameras.len(), 1);
    let fault = viewer.call::<Connect>(&connect_params(&key, "demo")).await.unwrap_err();
    assert_eq!(fault.code, code::FORBIDDEN, "{fault}");
    let fault = viewer.call::<Connect>(&connect_params(&key, "no-such")).await.unwrap_err();
    assert_eq!(
        fault.code,
        code::FORBIDDEN,
        "a camera outside the scope does not seem to exist: {fault}"
    );

    let authorization = Some(all);
    let request = viewer
        .request::<Connect>(&ConnectParams { authorization, ..connect_params(&key, "demo") })
        .await;
    let (id, _) = gateway.next_request::<ConnectDevice>().await;
    gateway.refuse(id, code::INSUFFICIENT_RESOURCES, "full").await;
    let fault = viewer.response::<Connect>(request).await.unwrap_err();
    assert_eq!((fault.code, fault.message.as_str()), (code::INSUFFICIENT_RESOURCES, "full"));
    server.stop().await;
}

#[tokio::test]
async fn a_websocket_is_admitted_by_token_cookie_and_origin() {
    let data = tempfile::tempdir().unwrap();
    let server = Running::start(data.path()).await;
    let to = server.address;
    let viewer = token(data.path(), Role::Viewer, &[]).await;
    let bearer = format!("Bearer {viewer}");
    let own = format!("http://{to}");
    let setup = server.setup_link.clone().unwrap();
    let body = serde_json::json!({
        "token": setup.split_once("#t=").unwrap().1, "name": "ann", "password": "0123456789",
    });
    let json = ("content-type", "application/json");
    let response = http(to, "POST", "/api/v1/setup", &[json], &body.to_string()).await;
    let cookie = response.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let cookie = cookie.as_str();
    for (headers, expected) in [
        (vec![("authorization", bearer.as_str())], Ok(true)),
        (vec![("authorization", "Bearer nonsense")], Err(401)),
        (vec![("cookie", cookie)], Ok(true)),
        (vec![("cookie", cookie), ("origin", own.as_str())], Ok(true)),
        (vec![("cookie", cookie), ("origin", "https://evil.example")], Err(403)),
        (vec![("cookie", "porthole_session=nonsense")], Ok(false)),
        (vec![], Ok(false)),
    ] {
        let opened = Peer::open(to, &headers).await;
        let outcome = match opened {
            Ok(mut peer) => Ok(peer.register(None).await.is_ok()),
            Err(status) => Err(status),
        };
        assert_eq!(outcome, expected, "{headers:?}");
    }
    let key = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    let version = ("sec-websocket-version", "13");
    let socket = [("connection", "Upgrade"), ("upgrade", "websocket"), key, version];
    let response = http(to, "GET", "/ws", &socket[..], "").await;
    assert_eq!(response.status, 400, "{response:?}");
    assert!(response.error().contains("sub-protocol"), "{response:?}");
    server.stop().await;
}

#[tokio::test]
async fn an_expired_token_ends_the_connection_with_the_reason() {
    let data = tempfile::tempdir().unwrap();
    let server = Running::start(data.path()).await;
    let new = porthole_signaling_proto::rest::NewToken {
        name: "short".into(),
        role: Role::Viewer,
        cameras: Vec::new(),
        control: false,
        listen: true,
        scopes: None,
        max_kbit_per_s: None,
        expires_in_seconds: Some(2),
    };
    let token = porthole_signaling::admin::create_token(data.path(), new).await.unwrap().token;
    let mut viewer = Peer::viewer(server.address, &token).await;
    assert_eq!(viewer.next_error().await.code, code::UNAUTHORIZED);
    assert_eq!(u16::from(viewer.close_frame().await.unwrap().code), 4401);
    let mut viewer = Peer::open(server.address, &[]).await.unwrap();
    let fault = viewer.register(Some(token.clone())).await.unwrap_err();
    assert_eq!(fault.code, code::UNAUTHORIZED);
    assert!(fault.message.contains("expired"), "{fault}");
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str())];
    let response = http(server.address, "GET", "/api/v1/cameras", &headers, "").await;
    assert_eq!(response.status, 401);
    assert!(response.error().contains("expired"), "{response:?}");
    server.stop().await;
}

#[tokio::test]
async fn offending_peers_get_the_reason_and_others_are_not_affected() {
    let timeout = Duration::from_millis(300);
    let mut scene = Scene::with(|config| config.limits.register_timeout = timeout).await;
    let mut other = scene.viewer().await;

    let mut silent = Peer::open(scene.server.address, &[]).await.unwrap();
    assert_eq!(u16::from(silent.close_frame().await.unwrap().code), 1008);

    let mut big = scene.viewer().await;
    big.try_send_text("x".repeat(1024 * 1024)).await;
    let frame = big.close_frame().await.expect("it gets the reason");
    assert_eq!(u16::from(frame.code), 1009);
    assert!(frame.reason.contains("64 KiB"), "{}", frame.reason);

    let mut confused = scene.viewer().await;
    confused.next_notification::<Cameras>().await;
    confused.send_text("nonsense".into()).await;
    assert!(matches!(
        confused.next().await,
        porthole_signaling_proto::rpc::Message::Error(fault) if fault.code == code::PARSE_ERROR
    ));

    let mut fast = scene.viewer().await;
    for _ in 0..2000 {
        fast.try_send_text(r#"{"jsonrpc":"2.0","method":"portholeNothing"}"#.into()).await;
    }
    assert_eq!(u16::from(fast.close_frame().await.unwrap().code), 1008);

    scene.start_session(&mut other).await;
    scene.server.stop().await;
}

#[tokio::test]
async fn a_viewer_that_does_not_read_is_disconnected_and_others_are_served() {
    let rate = Rate { burst: 20_000, per_minute: 60_000 };
    let mut scene = Scene::with(|config| config.limits.gateway_rate = rate).await;
    let mut slow = scene.viewer().await;
    let session = scene.start_session(&mut slow).await;

    // The kernel's buffers on both sides hold some megabytes before the outbox fills.
    let long = TrickleParams {
        session: session.clone(),
        candidate: IceCandidate { candidate: "x".repeat(1900), ..IceCandidate::default() },
    };
    for _ in 0..12_000 {
        scene.gateway.notify::<Trickle>(&long).await;
    }
    let error = scene.gateway.next_error().await;
    assert_eq!((error.code, error.session), (code::PEER_DISCONNECTED, Some(session)));
    let mut other = scene.viewer().await;
    other.next_notification::<Cameras>().await;
    scene.server.stop().await;
}

#[tokio::test]
async fn s11_a_signature_that_a_foreign_server_passes_on_is_refused() {
    const HERE: &str = "https://cameras.example.org";
    for (origin, listed, expected) in [
        (Some(HERE), None, Ok(())),
        (Some("https://hostile.example"), None, Err(code::FORBIDDEN)),
        (None, None, Ok(())),
        (None, Some(HERE), Err(code::FORBIDDEN)),
        (Some("https://hostile.example"), Some(HERE), Err(code::FORBIDDEN)),
    ] {
        let data = tempfile::tempdir().expect("a temporary folder");
        let mut config = config(data.path());
        config.public_url = Some(HERE.parse().unwrap());
        config.gateway_urls = listed.map(|url: &str| url.parse().unwrap()).into_iter().collect();
        let server = Running::with(config).await;
        let gateway = Key::new(1);
        let claim = porthole_signaling::admin::create_claim(data.path()).await.unwrap();
        gateway.enroll_for(server.address, &claim.code, Some(HERE)).await.unwrap();
        let mut peer = Peer::open(server.address, &[]).await.unwrap();
        let nonce = peer.call::<Challenge>(&Empty {}).await.unwrap().nonce;
        // As the foreign server has got it from the gateway, with this nonce.
        let token = gateway.token_for(&nonce, origin);
        let registered = peer.register(Some(token)).await;
        assert_eq!(registered.map(drop).map_err(|fault| fault.code), expected, "{origin:?}");
        server.stop().await;
    }
}
