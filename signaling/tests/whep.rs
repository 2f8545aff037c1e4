//! Tests of WHEP over real HTTP, with a gateway on a real WebSocket.

mod support;

use std::borrow::Cow;
use std::net::SocketAddr;
use std::path::Path;

use porthole_signaling::{Asset, Config};
use porthole_signaling_proto::method::{
    Close, IceServers, Offer, OfferResult, Restart, RestartResult, SessionParams, Trickle,
    TrickleParams,
};
use porthole_signaling_proto::rest::Role;

use support::{HttpResponse, Key, Peer, Running, http, proxy, token};

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
        Self::with(data, |_| {}).await
    }

    /// Starts the server with changed settings.
    async fn with(data: &Path, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = support::config(data);
        change(&mut config);
        let server = Running::with(config).await;
        let gateway = Key::new(1).with_cameras(data, server.address, &["demo", "barn"]).await;
        let bearer = format!("Bearer {}", token(data, Role::Viewer, &["demo"]).await);
        Self { server, gateway, bearer }
    }

    fn to(&self) -> SocketAddr {
        self.server.address
    }

    /// Starts a session. Returns the response to the offer.
    async fn play(&mut self) -> HttpResponse {
        self.play_at(self.to(), "/whep/demo").await
    }

    /// Starts a session at another address and path, those of a proxy.
    async fn play_at(&mut self, to: SocketAddr, path: &str) -> HttpResponse {
        let headers = [("authorization", self.bearer.as_str()), SDP];
        let post = http(to, "POST", path, &headers, OFFER);
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
        self.patch_at(self.to(), path, if_match, fragment).await
    }

    async fn patch_at(
        &self,
        to: SocketAddr,
        path: &str,
        if_match: Option<&str>,
        fragment: &str,
    ) -> HttpResponse {
        let mut headers = vec![("authorization", self.bearer.as_str()), FRAGMENT];
        headers.extend(if_match.map(|tag| ("if-match", tag)));
        http(to, "PATCH", path, &headers, fragment).await
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
        ("GET", "/whep/demo", vec![bearer], "", 200),
        ("GET", "/whep/demo", vec![], "", 401),
        ("GET", "/whep/barn", vec![bearer], "", 403),
        ("GET", "/whep/demo/s1", vec![bearer], "", 404),
        ("PUT", "/whep/demo", vec![bearer], "", 405),
        ("PATCH", "/whep/demo/s1", vec![bearer, text], TRICKLE, 415),
        ("PATCH", "/whep/demo/s1", vec![bearer, FRAGMENT], TRICKLE, 404),
        ("DELETE", "/whep/demo/s1", vec![bearer], "", 404),
        ("DELETE", "/whep/demo/s1", vec![], "", 401),
        ("OPTIONS", "/whep/demo", vec![], "", 200),
        ("OPTIONS", "/whep/demo/s1", vec![], "", 200),
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
    assert_eq!(gateway.next_notification::<Close>().await.session.as_str().len(), 48);
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
        if status == 409 {
            break;
        }
    }
    assert_eq!(status, 409);
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

#[tokio::test]
async fn a_player_that_asks_first_gets_the_ice_servers_if_it_may_watch() {
    let data = tempfile::tempdir().unwrap();
    let scene = Scene::new(data.path()).await;
    let bearer = ("authorization", scene.bearer.as_str());
    for (what, path, headers, links) in [
        ("a preflight", "/whep/demo", vec![], 0),
        ("its camera", "/whep/demo", vec![bearer], 2),
        ("another camera", "/whep/barn", vec![bearer], 0),
        ("its session", "/whep/demo/s1", vec![bearer], 0),
    ] {
        let response = http(scene.to(), "OPTIONS", path, &headers, "").await;
        assert_eq!((response.status, response.body.as_str()), (200, ""), "{what}");
        assert_eq!(response.header("accept-post"), Some("application/sdp"), "{what}");
        assert_eq!(response.header("access-control-allow-origin"), Some("*"), "{what}");
        let found = response.all("link");
        assert_eq!(found.len(), links, "{what}");
        if let [_, turn] = found.as_slice() {
            assert!(turn.starts_with("<turn:127.0.0.1:3478?transport=udp>; rel=\"ice-server\"; "));
            assert!(turn.contains("credential-type=\"password\""), "{turn}");
            assert_eq!(response.header("cache-control"), Some("no-store"));
        }
    }
    scene.server.stop().await;
}

#[tokio::test]
async fn the_address_of_a_camera_and_of_a_session_can_be_looked_at() {
    let data = tempfile::tempdir().unwrap();
    let mut scene = Scene::new(data.path()).await;
    let path = scene.play().await.header("location").unwrap().to_owned();
    for method in ["GET", "HEAD"] {
        for (path, bearer, status) in [
            ("/whep/demo", Some(scene.bearer.as_str()), 200),
            ("/whep/demo", None, 401),
            ("/whep/barn", Some(scene.bearer.as_str()), 403),
            (path.as_str(), Some(scene.bearer.as_str()), 200),
            (path.as_str(), None, 401),
        ] {
            let headers: Vec<_> =
                bearer.into_iter().map(|value| ("authorization", value)).collect();
            let response = http(scene.to(), method, path, &headers, "").await;
            assert_eq!(response.status, status, "{method} {path} {bearer:?}");
            let content = (response.header("content-type"), response.body.as_str());
            assert!(status != 200 || content == (Some("application/sdp"), ""), "{response:?}");
        }
    }
    scene.server.stop().await;
}

#[tokio::test]
async fn a_user_name_fragment_per_section_trickles_without_a_restart() {
    let data = tempfile::tempdir().unwrap();
    let mut scene = Scene::new(data.path()).await;
    let pwd = "a=ice-pwd:0123456789012345678901\r\n";
    let section = |mid: &str, ufrag: &str| {
        format!("m=video 9 X 96\r\na=mid:{mid}\r\na=ice-ufrag:{ufrag}\r\n{pwd}")
    };
    let offer = format!("v=0\r\na=group:BUNDLE 0 1\r\n{}", section("0", "aaaa"));
    let offer = offer + &section("1", "bbbb");
    let headers = [("authorization", scene.bearer.as_str()), SDP];
    let post = http(scene.server.address, "POST", "/whep/demo", &headers, &offer);
    let answered = async {
        let (id, _) = scene.gateway.next_request::<Offer>().await;
        let answer = OfferResult { answer: "v=0".into() };
        scene.gateway.respond::<Offer>(id, &answer).await;
    };
    let created = tokio::join!(post, answered).0;
    let (path, etag) = (created.header("location").unwrap(), created.header("etag").unwrap());
    for (mid, ufrag) in [("0", "aaaa"), ("1", "bbbb"), ("0", "aaaa")] {
        let fragment =
            format!("{}a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n", section(mid, ufrag));
        let response = scene.patch(path, Some(etag), &fragment).await;
        assert_eq!((response.status, response.header("etag")), (204, None), "{mid}");
        let candidate = scene.gateway.next_notification::<Trickle>().await.candidate;
        assert_eq!(candidate.sdp_mid.as_deref(), Some(mid));
    }
    scene.server.stop().await;
}

#[tokio::test]
async fn an_offer_of_64_kib_reaches_the_gateway_whole() {
    let data = tempfile::tempdir().unwrap();
    let mut scene = Scene::new(data.path()).await;
    let lines = "a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n".repeat(1400);
    let offer = format!("{OFFER}{lines}");
    assert!((60_000..64 * 1024).contains(&offer.len()));
    let headers = [("authorization", scene.bearer.as_str()), SDP];
    let post = http(scene.server.address, "POST", "/whep/demo", &headers, &offer);
    let answered = async {
        let (id, params) = scene.gateway.next_request::<Offer>().await;
        assert_eq!(params.offer, offer);
        assert_eq!(params.viewer_address, None, "the player is on this machine");
        let answer = OfferResult { answer: "v=0".into() };
        scene.gateway.respond::<Offer>(id, &answer).await;
    };
    assert_eq!(tokio::join!(post, answered).0.status, 201);
    scene.server.stop().await;
}

/// A dashboard of one page and one file.
fn dashboard(path: &str) -> Option<Asset> {
    let (bytes, mime): (&[u8], _) = match path {
        "index.html" => (b"<meta content=\"./\"><script src=\"./assets/app.js\">", "text/html"),
        "assets/app.js" => (b"app", "text/javascript"),
        _ => return None,
    };
    let (bytes, mime) = (Cow::Borrowed(bytes), Cow::Borrowed(mime));
    Some(Asset { bytes, mime, immutable: false, etag: Some("\"1\"".into()) })
}

#[tokio::test]
async fn everything_works_below_a_path_of_a_proxy() {
    // The proxy removes its path or not, and tells of it or not; the public URL has it or not.
    for (strips, tells, public_url) in [
        (true, true, Some("https://host.example/cams")),
        (true, true, None),
        (true, false, Some("https://host.example/cams/")),
        (false, false, Some("https://host.example/cams")),
    ] {
        let what = format!("{strips} {tells} {public_url:?}");
        let data = tempfile::tempdir().unwrap();
        let mut scene = Scene::with(data.path(), |config| {
            config.public_url = public_url.map(|url| url.parse().unwrap());
            config.assets = dashboard;
        })
        .await;
        let to = proxy(scene.to(), strips, tells).await;
        let created = scene.play_at(to, "/cams/whep/demo").await;
        let path = created.header("location").unwrap();
        assert!(path.starts_with("/cams/whep/demo/"), "{what}: {path}");
        let etag = created.header("etag");
        assert_eq!(scene.patch_at(to, path, etag, TRICKLE).await.status, 204, "{what}");
        let headers = [("authorization", scene.bearer.as_str())];
        assert_eq!(http(to, "DELETE", path, &headers, "").await.status, 200, "{what}");

        for (page, root) in [("", "./"), ("setup", "./"), ("camera/demo", "../")] {
            let page = http(to, "GET", &format!("/cams/{page}"), &[], "").await;
            let script = format!("src=\"{root}assets/app.js\"");
            assert!(page.status == 200 && page.body.contains(&script), "{what}: {page:?}");
        }
        assert_eq!(http(to, "GET", "/cams/assets/app.js", &[], "").await.body, "app", "{what}");

        let bearer = [("authorization", scene.bearer.as_str())];
        assert!(Peer::open_at(to, "/cams/ws", &bearer).await.is_ok(), "{what}");
        assert_eq!(http(to, "GET", "/cams/api/v1/cameras", &bearer, "").await.status, 200);

        let link = scene.server.setup_link.as_deref().unwrap().to_owned();
        let (base, token) = link.split_once("/setup#t=").unwrap();
        assert_eq!(base.ends_with("/cams"), public_url.is_some(), "{what}: {base}");
        let json = ("content-type", "application/json");
        let setup = format!(
            r#"{{"token": "{token}", "name": "ann", "password": "correct horse battery"}}"#
        );
        let made = http(to, "POST", "/cams/api/v1/setup", &[json], &setup).await;
        let cookie = made.header("set-cookie").unwrap();
        let expected = if tells || !strips { "Path=/cams/;" } else { "Path=/;" };
        assert!(made.status == 200 && cookie.contains(expected), "{what}: {cookie}");
        // Directly, without the proxy, everything is at the root as well.
        assert_eq!(http(scene.to(), "GET", "/api/v1/cameras", &bearer, "").await.status, 200);
        scene.server.stop().await;
    }
}

#[tokio::test]
async fn the_bare_path_of_the_public_url_leads_to_the_dashboard() {
    let data = tempfile::tempdir().unwrap();
    let scene = Scene::with(data.path(), |config| {
        config.public_url = Some("https://host.example/cams".parse().unwrap());
    })
    .await;
    let response = http(scene.to(), "GET", "/cams", &[], "").await;
    assert_eq!((response.status, response.header("location")), (308, Some("/cams/")));
    scene.server.stop().await;
}

#[tokio::test]
async fn the_addresses_of_a_session_have_the_form_that_the_player_has_used() {
    let data = tempfile::tempdir().unwrap();
    let mut scene = Scene::new(data.path()).await;
    scene.bearer = format!("Bearer {}", token(data.path(), Role::Viewer, &[]).await);
    let [first, second] = [Key::new(1), Key::new(2)];
    let mut other = second.with_cameras(data.path(), scene.to(), &["demo"]).await;
    let [first, second] = [first.id(), second.id()];
    let mut is_other = false;
    for (used, expected, is_second) in [
        ("demo".to_owned(), "demo".to_owned(), false),
        (format!("demo@{first}"), format!("demo@{first}"), false),
        (format!("demo@{second}"), format!("demo@{second}"), true),
        (format!("demo%40{second}"), format!("demo@{second}"), true),
    ] {
        // The scene's gateway is the one that has to answer.
        if is_second != is_other {
            std::mem::swap(&mut scene.gateway, &mut other);
            is_other = is_second;
        }
        let created = scene.play_at(scene.to(), &format!("/whep/{used}")).await;
        let path = created.header("location").unwrap();
        assert!(path.starts_with(&format!("/whep/{expected}/")), "{used}: {path}");
        let etag = created.header("etag");
        assert_eq!(scene.patch(path, etag, TRICKLE).await.status, 204, "{used}");
        let headers = [("authorization", scene.bearer.as_str())];
        assert_eq!(http(scene.to(), "GET", path, &headers, "").await.status, 200, "{used}");
        assert_eq!(http(scene.to(), "DELETE", path, &headers, "").await.status, 200, "{used}");
    }
    scene.server.stop().await;
}
