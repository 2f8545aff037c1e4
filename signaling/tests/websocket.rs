//! Gateways and viewers over real WebSockets.

mod support;

use porthole_signaling::Rate;
use porthole_signaling_proto::{
    CameraState, IceCandidate,
    method::{
        Cameras, Challenge, Close, Connect, ConnectDevice, ConnectDeviceResult, ConnectParams,
        Empty, Enroll, Extend, ExtendParams, ExtendResult, Invite, InviteParams, InviteResult,
        SessionParams, Trickle, TrickleParams,
    },
    rest::Role,
    rpc::code,
};
use std::time::Duration;
use support::{Key, Peer, Running, config, http, report, token};

fn watch(key: &Key, camera: &str) -> ConnectParams {
    let profile = Some(camera.parse().expect("an id"));
    ConnectParams { peer: key.id(), profile, authorization: None }
}

#[tokio::test]
async fn a_gateway_becomes_known_by_a_claim_and_its_key() {
    let data = tempfile::tempdir().unwrap();
    let server = Running::start(data.path()).await;
    let (key, to) = (Key::new(1), server.address);

    let mut peer = Peer::open(to, &[]).await.unwrap();
    let nonce = peer.call::<Challenge>(&Empty {}).await.unwrap().nonce;
    let fault = peer.register(Some(key.token(&nonce))).await.unwrap_err();
    assert_eq!(fault.code, code::UNAUTHORIZED, "it is not known yet: {fault}");

    let claim = porthole_signaling::admin::create_claim(data.path()).await.unwrap().code;
    let nonce = peer.call::<Challenge>(&Empty {}).await.unwrap().nonce;
    let mut forged = key.enroll_params(&nonce, &claim);
    forged.signature = Key::new(2).sign(b"something else");
    let fault = peer.call::<Enroll>(&forged).await.unwrap_err();
    assert_eq!(fault.code, code::UNAUTHORIZED, "another key has signed: {fault}");
    let fault = peer.call::<Enroll>(&key.enroll_params(&nonce, &claim)).await.unwrap_err();
    assert_eq!(fault.code, code::UNAUTHORIZED, "the nonce was used: {fault}");
    assert!(fault.message.contains("nonce"), "{fault}");

    let result = key.enroll(to, &claim).await.unwrap();
    assert_eq!(result.id, key.id(), "a refused enrolment uses up no claim");
    let fault = Key::new(2).enroll(to, &claim).await.unwrap_err();
    assert_eq!(fault.code, code::FORBIDDEN, "the claim was used: {fault}");
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
async fn a_viewer_and_a_gateway_are_introduced() {
    let data = tempfile::tempdir().unwrap();
    let server = Running::start(data.path()).await;
    let key = Key::new(1);
    let mut gateway = key.with_cameras(data.path(), server.address, &["demo"]).await;
    let token = token(data.path(), Role::Viewer, &[]).await;
    let mut viewer = Peer::viewer(server.address, &token).await;
    let cameras = viewer.told::<Cameras>().await.cameras;
    assert_eq!(cameras.len(), 1);
    assert_eq!(cameras[0].gateway, key.id());
    assert_eq!(cameras[0].report.state, CameraState::Idle);

    let asked = viewer.request::<Connect>(&watch(&key, "demo")).await;
    let (id, device) = gateway.asked::<ConnectDevice>().await;
    assert_eq!(device.profile.as_ref().unwrap().as_str(), "demo");
    assert_eq!(device.ice_servers.len(), 2);
    let session = device.session.clone();
    let user = device.ice_servers[1].username.clone().unwrap();
    assert!(user.ends_with(&format!(":{session}")), "{user}");
    gateway.answer::<ConnectDevice>(id, &ConnectDeviceResult::default()).await;
    let result = viewer.response::<Connect>(asked).await.unwrap();
    assert_eq!((&result.session, &result.ice_servers), (&session, &device.ice_servers));
    let expiry = result.expiry_time_seconds.unwrap();
    assert!((3590..=3600).contains(&expiry), "{expiry}");

    let candidate = |text: &str| TrickleParams {
        session: session.clone(),
        candidate: IceCandidate { candidate: text.into(), ..IceCandidate::default() },
    };
    gateway.tell::<Trickle>(&candidate("candidate:early")).await;
    assert_eq!(viewer.told::<Trickle>().await, candidate("candidate:early"));
    let offer = InviteParams { session: session.clone(), offer: "o".into(), subprotocols: None };
    let invited = gateway.request::<Invite>(&offer).await;
    let (id, params) = viewer.asked::<Invite>().await;
    assert_eq!(params, offer);
    let answer = InviteResult { answer: "a".into(), subprotocols: None };
    viewer.answer::<Invite>(id, &answer).await;
    assert_eq!(gateway.response::<Invite>(invited).await.unwrap(), answer);
    viewer.tell::<Trickle>(&candidate("")).await;
    assert_eq!(gateway.told::<Trickle>().await, candidate(""));

    let params =
        ExtendParams { session: session.clone(), authorization: None, expiry_time_seconds: None };
    let extended = viewer.request::<Extend>(&params).await;
    let (id, params) = gateway.asked::<Extend>().await;
    assert_eq!(params.expiry_time_seconds, Some(3600));
    gateway.answer::<Extend>(id, &ExtendResult { expiry_time_seconds: 3600 }).await;
    assert_eq!(viewer.response::<Extend>(extended).await.unwrap().expiry_time_seconds, 3600);

    viewer.tell::<Close>(&SessionParams { session: session.clone() }).await;
    assert_eq!(gateway.told::<Close>().await, SessionParams { session });
    server.stop().await;
}

#[tokio::test]
async fn a_camera_whose_gateway_is_away_is_offline_and_its_sessions_hear_of_it() {
    let data = tempfile::tempdir().unwrap();
    let server = Running::start(data.path()).await;
    let key = Key::new(1);
    let mut gateway = key.with_cameras(data.path(), server.address, &["demo"]).await;
    let token = token(data.path(), Role::Viewer, &[]).await;
    let mut viewer = Peer::viewer(server.address, &token).await;
    viewer.told::<Cameras>().await;
    let asked = viewer.request::<Connect>(&watch(&key, "demo")).await;
    let (id, device) = gateway.asked::<ConnectDevice>().await;
    gateway.answer::<ConnectDevice>(id, &ConnectDeviceResult::default()).await;
    viewer.response::<Connect>(asked).await.unwrap();

    gateway.close().await;
    let error = viewer.error().await;
    assert_eq!((error.code, error.session), (code::PEER_DISCONNECTED, Some(device.session)));
    let cameras = viewer.told::<Cameras>().await.cameras;
    assert_eq!(cameras[0].report.state, CameraState::Offline);
    let fault = viewer.call::<Connect>(&watch(&key, "demo")).await.unwrap_err();
    assert_eq!(fault.code, code::UNAVAILABLE, "{fault}");

    let mut gateway = key.come_in(server.address).await;
    report(&mut gateway, &["demo"]).await;
    let cameras = viewer.told::<Cameras>().await.cameras;
    assert_eq!(cameras[0].report.state, CameraState::Idle, "it is back");
    server.stop().await;
}

#[tokio::test]
async fn a_restarted_server_knows_cameras_and_takes_everybody_in_again() {
    let data = tempfile::tempdir().unwrap();
    let server = Running::start(data.path()).await;
    let key = Key::new(1);
    let mut gateway = key.with_cameras(data.path(), server.address, &["demo"]).await;
    let token = token(data.path(), Role::Viewer, &[]).await;
    let mut viewer = Peer::viewer(server.address, &token).await;
    server.stop().await;
    assert_eq!(u16::from(gateway.closed().await.unwrap().code), 1001);
    assert_eq!(u16::from(viewer.closed().await.unwrap().code), 1001);

    let server = Running::start(data.path()).await;
    let mut viewer = Peer::viewer(server.address, &token).await;
    let cameras = viewer.told::<Cameras>().await.cameras;
    assert_eq!(cameras[0].report.state, CameraState::Offline);
    let mut gateway = key.come_in(server.address).await;
    let asked = viewer.request::<Connect>(&watch(&key, "demo")).await;
    let (id, _) = gateway.asked::<ConnectDevice>().await;
    gateway.answer::<ConnectDevice>(id, &ConnectDeviceResult::default()).await;
    viewer.response::<Connect>(asked).await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn the_same_gateway_coming_in_again_replaces_its_older_connection() {
    let data = tempfile::tempdir().unwrap();
    let server = Running::start(data.path()).await;
    let key = Key::new(1);
    let mut old = key.with_cameras(data.path(), server.address, &["demo"]).await;
    let mut new = key.come_in(server.address).await;
    assert_eq!(u16::from(old.closed().await.unwrap().code), 4409);
    assert_eq!(report(&mut new, &["demo"]).await.refused, []);
    let mut other = Key::new(2).with_cameras(data.path(), server.address, &[]).await;
    let refused = report(&mut other, &["demo", "barn"]).await.refused;
    assert_eq!(refused.len(), 1, "a camera id is its first gateway's");
    assert_eq!(refused[0].id.as_str(), "demo");
    server.stop().await;
}

#[tokio::test]
async fn a_limited_token_sees_and_watches_its_cameras_only() {
    let data = tempfile::tempdir().unwrap();
    let server = Running::start(data.path()).await;
    let key = Key::new(1);
    let mut gateway = key.with_cameras(data.path(), server.address, &["barn", "demo"]).await;
    let limited = token(data.path(), Role::Viewer, &["barn"]).await;
    let mut viewer = Peer::viewer(server.address, &limited).await;
    let cameras = viewer.told::<Cameras>().await.cameras;
    assert_eq!(cameras.len(), 1);
    let fault = viewer.call::<Connect>(&watch(&key, "demo")).await.unwrap_err();
    assert_eq!(fault.code, code::FORBIDDEN, "{fault}");
    let fault = viewer.call::<Connect>(&watch(&key, "no-such")).await.unwrap_err();
    assert_eq!(fault.code, code::FORBIDDEN, "what is not theirs is not told to exist: {fault}");

    let all = token(data.path(), Role::Viewer, &[]).await;
    let authorization = Some(all);
    let asked =
        viewer.request::<Connect>(&ConnectParams { authorization, ..watch(&key, "demo") }).await;
    let (id, _) = gateway.asked::<ConnectDevice>().await;
    gateway.refuse(id, code::INSUFFICIENT_RESOURCES, "full").await;
    let fault = viewer.response::<Connect>(asked).await.unwrap_err();
    assert_eq!((fault.code, fault.message.as_str()), (code::INSUFFICIENT_RESOURCES, "full"));
    server.stop().await;
}

#[tokio::test]
async fn a_websocket_is_let_in_by_token_cookie_and_origin() {
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
    let answer = http(to, "POST", "/api/v1/setup", &[json], &body.to_string()).await;
    let cookie = answer.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
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
    let answer = http(to, "GET", "/ws", &socket[..], "").await;
    assert_eq!(answer.status, 400, "{answer:?}");
    assert!(answer.error().contains("sub-protocol"), "{answer:?}");
    server.stop().await;
}

#[tokio::test]
async fn an_expired_token_is_told_so_and_ends_the_connection() {
    let data = tempfile::tempdir().unwrap();
    let server = Running::start(data.path()).await;
    let new = porthole_signaling_proto::rest::NewToken {
        name: "short".into(),
        role: Role::Viewer,
        cameras: Vec::new(),
        expires_in_seconds: Some(2),
    };
    let token = porthole_signaling::admin::create_token(data.path(), new).await.unwrap().token;
    let mut viewer = Peer::viewer(server.address, &token).await;
    assert_eq!(viewer.error().await.code, code::UNAUTHORIZED);
    assert_eq!(u16::from(viewer.closed().await.unwrap().code), 4401);
    let mut viewer = Peer::open(server.address, &[]).await.unwrap();
    let fault = viewer.register(Some(token.clone())).await.unwrap_err();
    assert_eq!(fault.code, code::UNAUTHORIZED);
    assert!(fault.message.contains("expired"), "{fault}");
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str())];
    let answer = http(server.address, "GET", "/api/v1/cameras", &headers, "").await;
    assert_eq!(answer.status, 401);
    assert!(answer.error().contains("expired"), "{answer:?}");
    server.stop().await;
}

#[tokio::test]
async fn offenders_are_told_why_and_others_feel_nothing() {
    let data = tempfile::tempdir().unwrap();
    let mut config = config(data.path());
    config.limits.register_timeout = Duration::from_millis(300);
    let server = Running::with(config).await;
    let key = Key::new(1);
    let mut gateway = key.with_cameras(data.path(), server.address, &["demo"]).await;
    let token = token(data.path(), Role::Viewer, &[]).await;
    let mut other = Peer::viewer(server.address, &token).await;

    let mut silent = Peer::open(server.address, &[]).await.unwrap();
    assert_eq!(u16::from(silent.closed().await.unwrap().code), 1008);

    let mut big = Peer::viewer(server.address, &token).await;
    big.try_send_text("x".repeat(1024 * 1024)).await;
    let frame = big.closed().await.expect("it hears why");
    assert_eq!(u16::from(frame.code), 1009);
    assert!(frame.reason.contains("64 KiB"), "{}", frame.reason);

    let mut confused = Peer::viewer(server.address, &token).await;
    confused.told::<Cameras>().await;
    confused.send_text("nonsense".into()).await;
    assert!(matches!(
        confused.next().await,
        porthole_signaling_proto::rpc::Message::Error(fault) if fault.code == code::PARSE_ERROR
    ));

    let mut fast = Peer::viewer(server.address, &token).await;
    for _ in 0..2000 {
        fast.try_send_text(r#"{"jsonrpc":"2.0","method":"portholeNothing"}"#.into()).await;
    }
    assert_eq!(u16::from(fast.closed().await.unwrap().code), 1008);

    let asked = other.request::<Connect>(&watch(&key, "demo")).await;
    let (id, _) = gateway.asked::<ConnectDevice>().await;
    gateway.answer::<ConnectDevice>(id, &ConnectDeviceResult::default()).await;
    other.response::<Connect>(asked).await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn a_viewer_that_does_not_read_is_let_go_and_others_are_served() {
    let data = tempfile::tempdir().unwrap();
    let mut config = config(data.path());
    config.limits.gateway_rate = Rate { burst: 20_000, per_minute: 60_000 };
    let server = Running::with(config).await;
    let key = Key::new(1);
    let mut gateway = key.with_cameras(data.path(), server.address, &["demo"]).await;
    let token = token(data.path(), Role::Viewer, &[]).await;
    let mut slow = Peer::viewer(server.address, &token).await;
    let asked = slow.request::<Connect>(&watch(&key, "demo")).await;
    let (id, device) = gateway.asked::<ConnectDevice>().await;
    gateway.answer::<ConnectDevice>(id, &ConnectDeviceResult::default()).await;
    slow.response::<Connect>(asked).await.unwrap();

    // The kernel's buffers on both sides take some megabytes before the line fills.
    let long = TrickleParams {
        session: device.session.clone(),
        candidate: IceCandidate { candidate: "x".repeat(1900), ..IceCandidate::default() },
    };
    for _ in 0..12_000 {
        gateway.tell::<Trickle>(&long).await;
    }
    let error = gateway.error().await;
    assert_eq!((error.code, error.session), (code::PEER_DISCONNECTED, Some(device.session)));
    let mut other = Peer::viewer(server.address, &token).await;
    other.told::<Cameras>().await;
    server.stop().await;
}
