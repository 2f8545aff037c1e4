//! Tests of WHEP over real HTTP, with a gateway on a real WebSocket.

mod support;

use std::net::SocketAddr;
use std::path::Path;

use porthole_signaling_proto::method::{
    Close, IceServers, Offer, OfferResult, Restart, RestartResult, SessionParams, Trickle,
    TrickleParams,
};
use porthole_signaling_proto::rest::Role;

use support::{HttpResponse, Key, Peer, Running, http, token};

const OFFER: &str = "v=0\r\na=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n";
const TRICKLE: &str = "a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n\
    m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:0\r\n\
    a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\na=end-of-candidates\r\n";
const RESTART: &str = "a=ice-ufrag:efgh\r\na=ice-pwd:0123456789012345678901\r\n";
const SDP: (&str, &str) = ("content-type", "application/sdp");
const FRAGMENT: (&str, &str) = ("content-type", "application/trickle-ice-sdpfrag");

struct Scene {
    server: Running,
    gateway: Peer,
    bearer: String,
}

impl Scene {
    async fn new(data: &Path) -> Self {
        let server = Running::start(data).await;
        let gateway = Key::new(1).with_cameras(data, server.address, &["demo", "barn"]).await;
        let bearer = format!("Bearer {}", token(data, Role::Viewer, &["demo"]).await);
        Self { server, gateway, bearer }
    }

    fn to(&self) -> SocketAddr {
        self.server.address
    }

    /// Starts a session. Returns the response to the offer.
    async fn play(&mut self) -> HttpResponse {
        let headers = [("authorization", self.bearer.as_str()), SDP];
        let post = http(self.server.address, "POST", "/whep/demo", &headers, OFFER);
        let gateway = async {
            let (id, offer) = self.gateway.next_request::<Offer>().await;
            assert_eq!((offer.offer.as_str(), offer.profile.as_str()), (OFFER, "demo"));
            assert_eq!(offer.ice_servers.len(), 2);
            let answer = OfferResult { answer: "v=0\r\nanswer".into() };
            self.gateway.respond::<Offer>(id, &answer).await;
        };
        tokio::join!(post, gateway).0
    }

    async fn patch(&self, path: &str, if_match: Option<&str>, fragment: &str) -> HttpResponse {
        let mut headers = vec![("authorization", self.bearer.as_str()), FRAGMENT];
        headers.extend(if_match.map(|tag| ("if-match", tag)));
        http(self.to(), "PATCH", path, &headers, fragment).await
    }
}

#[tokio::test]
async fn a_player_plays_trickles_restarts_and_leaves() {
    let data = tempfile::tempdir().unwrap();
    let mut scene = Scene::new(data.path()).await;
    let created = scene.play().await;
    assert_eq!((created.status, created.body.as_str()), (201, "v=0\r\nanswer"), "{created:?}");
    assert_eq!(created.header("content-type"), Some("application/sdp"));
    assert_eq!(created.header("access-control-allow-origin"), Some("*"));
    let exposed = created.header("access-control-expose-headers").unwrap();
    assert!(["Location", "ETag", "Link"].iter().all(|name| exposed.contains(name)), "{exposed}");
    let path = created.header("location").unwrap().to_owned();
    let session = path.strip_prefix("/whep/demo/").unwrap().to_owned();
    let etag = created.header("etag").unwrap().to_owned();
    let links = created.all("link");
    assert_eq!(links[0], "<stun:127.0.0.1:3478>; rel=\"ice-server\"");
    assert!(links[1].starts_with("<turn:127.0.0.1:3478?transport=udp>; rel=\"ice-server\"; "));
    assert!(links[1].ends_with("; credential-type=\"password\""), "{}", links[1]);

    assert_eq!(scene.patch(&path, None, TRICKLE).await.status, 428);
    assert_eq!(scene.patch(&path, Some("\"other\""), TRICKLE).await.status, 412);
    assert_eq!(scene.patch(&path, Some(&etag), "nonsense").await.status, 422);
    assert_eq!(scene.patch(&path, Some(&etag), TRICKLE).await.status, 204);
    let TrickleParams { session: named, candidate } =
        scene.gateway.next_notification::<Trickle>().await;
    assert_eq!((named.as_str(), candidate.sdp_mid.as_deref()), (session.as_str(), Some("0")));
    assert_eq!(candidate.candidate, "candidate:1 1 udp 1 192.0.2.1 9 typ host");
    assert_eq!(scene.gateway.next_notification::<Trickle>().await.candidate.candidate, "");

    let headers = [("authorization", scene.bearer.as_str()), FRAGMENT, ("if-match", "*")];
    let patch = http(scene.server.address, "PATCH", &path, &headers, RESTART);
    let gateway = async {
        let (id, restart) = scene.gateway.next_request::<Restart>().await;
        assert_eq!(restart.fragment, RESTART);
        let result = RestartResult { fragment: "a=ice-ufrag:gate\r\n".into() };
        scene.gateway.respond::<Restart>(id, &result).await;
    };
    let restarted = tokio::join!(patch, gateway).0;
    assert_eq!((restarted.status, restarted.body.as_str()), (200, "a=ice-ufrag:gate\r\n"));
    assert_eq!(restarted.header("content-type"), Some("application/trickle-ice-sdpfrag"));
    assert_eq!(restarted.all("link").len(), 2, "with new credentials");
    assert_eq!(scene.gateway.next_notification::<IceServers>().await.ice_servers.len(), 2);
    let renewed = restarted.header("etag").unwrap();
    assert_ne!(renewed, etag);
    assert_eq!(scene.patch(&path, Some(&etag), RESTART).await.status, 412);
    assert_eq!(scene.patch(&path, Some(renewed), RESTART).await.status, 204);

    let headers = [("authorization", scene.bearer.as_str())];
    assert_eq!(http(scene.to(), "DELETE", &path, &headers, "").await.status, 200);
    let closed = scene.gateway.next_notification::<Close>().await;
    assert_eq!(closed, SessionParams { session: session.parse().unwrap() });
    assert_eq!(http(scene.to(), "DELETE", &path, &headers, "").await.status, 404);
    scene.server.stop().await;
}

#[tokio::test]
async fn each_refusal_has_its_status() {
    let data = tempfile::tempdir().unwrap();
    let scene = Scene::new(data.path()).await;
    let bearer = ("authorization", scene.bearer.as_str());
    let basic = ("authorization", "Basic abc");
    let unknown = ("authorization", "Bearer ph_nonsense");
    let text = ("content-type", "text/plain");
    let long = format!("{OFFER}{}", "x".repeat(70_000));
    for (method, path, headers, body, status) in [
        ("POST", "/whep/demo", vec![SDP], OFFER, 401),
        ("POST", "/whep/demo", vec![SDP, basic], OFFER, 401),
        ("POST", "/whep/demo", vec![SDP, unknown], OFFER, 401),
        ("POST", "/whep/barn", vec![SDP, bearer], OFFER, 403),
        ("POST", "/whep/none", vec![SDP, bearer], OFFER, 403),
        ("POST", "/whep/a%20b", vec![SDP, bearer], OFFER, 404),
        ("POST", "/whep/demo", vec![bearer], OFFER, 415),
        ("POST", "/whep/demo", vec![text, bearer], OFFER, 415),
        ("POST", "/whep/demo", vec![SDP, bearer], "nonsense", 400),
        ("POST", "/whep/demo", vec![SDP, bearer], "", 400),
        ("POST", "/whep/demo", vec![SDP, bearer], &long, 413),
        ("GET", "/whep/demo", vec![bearer], "", 405),
        ("PUT", "/whep/demo", vec![bearer], "", 405),
        ("PATCH", "/whep/demo/s1", vec![bearer, text], TRICKLE, 415),
        ("PATCH", "/whep/demo/s1", vec![bearer, FRAGMENT], TRICKLE, 404),
        ("DELETE", "/whep/demo/s1", vec![bearer], "", 404),
        ("DELETE", "/whep/demo/s1", vec![], "", 401),
        ("OPTIONS", "/whep/demo", vec![], "", 204),
        ("OPTIONS", "/whep/demo/s1", vec![], "", 204),
    ] {
        let response = http(scene.to(), method, path, &headers, body).await;
        assert_eq!(response.status, status, "{method} {path} {headers:?}: {response:?}");
        assert_eq!(response.header("access-control-allow-origin"), Some("*"), "{method} {path}");
        let challenged = response.header("www-authenticate").is_some();
        assert_eq!(challenged, status == 401, "{method} {path}");
    }
    scene.server.stop().await;
}

#[tokio::test]
async fn a_session_is_hidden_from_other_users() {
    let data = tempfile::tempdir().unwrap();
    let mut scene = Scene::new(data.path()).await;
    let created = scene.play().await;
    let path = created.header("location").unwrap();
    let other = format!("Bearer {}", token(data.path(), Role::Admin, &[]).await);
    let headers = [("authorization", other.as_str()), FRAGMENT, ("if-match", "*")];
    assert_eq!(http(scene.to(), "PATCH", path, &headers, TRICKLE).await.status, 404);
    assert_eq!(http(scene.to(), "DELETE", path, &headers, "").await.status, 404);
    scene.server.stop().await;
}

#[tokio::test]
async fn a_gateway_that_is_full_slow_or_offline_has_its_status() {
    let data = tempfile::tempdir().unwrap();
    let mut config = support::config(data.path());
    config.limits.offer_timeout = std::time::Duration::from_millis(500);
    let server = Running::with(config).await;
    let to = server.address;
    let mut gateway = Key::new(1).with_cameras(data.path(), to, &["demo"]).await;
    let bearer = format!("Bearer {}", token(data.path(), Role::Viewer, &[]).await);
    let headers = [("authorization", bearer.as_str()), SDP];

    let post = http(to, "POST", "/whep/demo", &headers, OFFER);
    let full = async {
        let (id, _) = gateway.next_request::<Offer>().await;
        gateway.refuse(id, 1001, "too many viewers").await;
    };
    let response = tokio::join!(post, full).0;
    assert_eq!((response.status, response.error().as_str()), (503, "too many viewers"));
    assert!(response.header("retry-after").is_some());

    let slow = http(to, "POST", "/whep/demo", &headers, OFFER).await;
    assert_eq!(slow.status, 504);
    let (_, offered) = gateway.next_request::<Offer>().await;
    assert_eq!(gateway.next_notification::<Close>().await.session.as_str().len(), 33);
    assert_eq!(
        gateway.next_notification::<Close>().await.session,
        offered.session,
        "the session that was not answered in time"
    );

    gateway.close().await;
    let mut status = 504;
    // The server notices the closed WebSocket a moment later.
    for _ in 0..50 {
        status = http(to, "POST", "/whep/demo", &headers, OFFER).await.status;
        if status == 503 {
            break;
        }
    }
    assert_eq!(status, 503);
    server.stop().await;
}

#[tokio::test]
async fn a_player_that_disconnects_while_it_waits_leaves_no_session() {
    let data = tempfile::tempdir().unwrap();
    let mut scene = Scene::new(data.path()).await;
    let (to, bearer) = (scene.to(), scene.bearer.clone());
    let post = tokio::spawn(async move {
        let headers = [("authorization", bearer.as_str()), SDP];
        http(to, "POST", "/whep/demo", &headers, OFFER).await
    });
    let (_, offer) = scene.gateway.next_request::<Offer>().await;
    post.abort();
    assert_eq!(scene.gateway.next_notification::<Close>().await.session, offer.session);
    scene.server.stop().await;
}
