//! Tests of REST, of the dashboard's files, and of starting and stopping.

mod support;

use std::borrow::Cow;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use porthole_signaling::{Asset, PlaceLimits, Server, StartError};
use porthole_signaling_proto::rest::Role;
use porthole_signaling_proto::rpc::Message;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use support::{HttpResponse, Key, Peer, Running, config, http, token};

const JSON: (&str, &str) = ("content-type", "application/json");

async fn post(to: SocketAddr, path: &str, body: serde_json::Value) -> HttpResponse {
    http(to, "POST", path, &[JSON], &body.to_string()).await
}

fn cookie(response: &HttpResponse) -> String {
    let cookie = response.header("set-cookie").expect("a cookie is set");
    assert!(cookie.contains("; HttpOnly; SameSite=Strict"), "{cookie}");
    cookie.split(';').next().expect("a first part").to_owned()
}

#[tokio::test]
async fn the_first_admin_is_created_once_and_signs_in_and_out() {
    let data = tempfile::tempdir().unwrap();
    let server = Running::start(data.path()).await;
    let to = server.address;
    let link = server.setup_link.clone().unwrap();
    let (page, setup_token) = link.split_once("#t=").unwrap();
    assert_eq!(page, format!("http://localhost:{}/setup", to.port()));

    let setup =
        |token: &str, password: &str| json!({"token": token, "name": "Ann", "password": password});
    let short = post(to, "/api/v1/setup", setup(setup_token, "short")).await;
    assert_eq!(short.status, 422, "{short:?}");
    let wrong = post(to, "/api/v1/setup", setup("wrong", "long enough")).await;
    assert_eq!(wrong.status, 403, "{wrong:?}");
    let made = post(to, "/api/v1/setup", setup(setup_token, "long enough")).await;
    assert_eq!((made.status, made.json()), (200, json!({"name": "Ann", "role": "owner"})));
    let first = cookie(&made);
    let again = post(to, "/api/v1/setup", setup(setup_token, "long enough")).await;
    assert_eq!(again.status, 403, "single use: {again:?}");

    let sign_in = |name: &str, password: &str| json!({"name": name, "password": password});
    let wrong = post(to, "/api/v1/session", sign_in("ann", "wrong password")).await;
    let nobody = post(to, "/api/v1/session", sign_in("bob", "wrong password")).await;
    assert_eq!(
        (wrong.status, wrong.body),
        (401, nobody.body),
        "the response does not reveal which names exist"
    );
    let signed_in = post(to, "/api/v1/session", sign_in("ann", "long enough")).await;
    assert_eq!(signed_in.status, 200);
    let second = cookie(&signed_in);
    assert_ne!(first, second);

    let headers = [("cookie", second.as_str())];
    let me = http(to, "GET", "/api/v1/session", &headers, "").await;
    assert_eq!((me.status, me.json()), (200, json!({"name": "Ann", "role": "owner"})));
    let mut socket = Peer::open(to, &headers).await.unwrap();
    socket.register(None).await.unwrap();
    assert_eq!(http(to, "DELETE", "/api/v1/session", &headers, "").await.status, 204);
    assert_eq!(u16::from(socket.close_frame().await.unwrap().code), 4401, "signed out");
    assert_eq!(http(to, "GET", "/api/v1/session", &headers, "").await.status, 401);
    let headers = [("cookie", first.as_str())];
    assert_eq!(http(to, "GET", "/api/v1/session", &headers, "").await.status, 200);

    server.stop().await;
    let server = Running::start(data.path()).await;
    assert_eq!(server.setup_link, None, "there already is an admin");
    let me = http(server.address, "GET", "/api/v1/session", &headers, "").await;
    assert_eq!(me.status, 200, "cookies survive a restart");
    server.stop().await;
}

#[tokio::test]
async fn pages_of_other_sites_and_forms_change_nothing() {
    let data = tempfile::tempdir().unwrap();
    let server = Running::start(data.path()).await;
    let to = server.address;
    let setup = server.setup_link.clone().unwrap();
    let token = setup.split_once("#t=").unwrap().1;
    let body = json!({"token": token, "name": "ann", "password": "0123456789"}).to_string();
    let evil = ("origin", "https://evil.example");
    let form = ("content-type", "text/plain");
    assert_eq!(http(to, "POST", "/api/v1/setup", &[JSON, evil], &body).await.status, 403);
    assert_eq!(http(to, "POST", "/api/v1/setup", &[form], &body).await.status, 415);
    let made = http(to, "POST", "/api/v1/setup", &[JSON], &body).await;
    let cookie = cookie(&made);
    let signed_in = ("cookie", cookie.as_str());
    assert_eq!(http(to, "POST", "/api/v1/claims", &[signed_in, evil], "").await.status, 403);
    let cross = ("sec-fetch-site", "cross-site");
    assert_eq!(http(to, "POST", "/api/v1/claims", &[signed_in, cross], "").await.status, 403);
    assert_eq!(http(to, "POST", "/api/v1/claims", &[signed_in], "").await.status, 200);
    server.stop().await;
}

#[tokio::test]
async fn a_token_in_the_address_counts_for_a_websocket_alone() {
    let data = tempfile::tempdir().unwrap();
    let server = Running::start(data.path()).await;
    let token = token(data.path(), Role::Viewer, &[]).await;
    // An address is in the log of every proxy on the way.
    let path = format!("/api/v1/cameras?access_token={token}");
    assert_eq!(http(server.address, "GET", &path, &[], "").await.status, 401);
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str())];
    assert_eq!(http(server.address, "GET", "/api/v1/cameras", &headers, "").await.status, 200);
    server.stop().await;
}

#[tokio::test]
async fn passwords_cannot_be_tried_for_ever() {
    let data = tempfile::tempdir().unwrap();
    let server = Running::start(data.path()).await;
    let body = json!({"token": "wrong", "name": "ann", "password": "0123456789"});
    let mut last = 0;
    for _ in 0..15 {
        let response = post(server.address, "/api/v1/setup", body.clone()).await;
        last = response.status;
        assert_eq!(response.header("retry-after").is_some(), last == 429);
    }
    assert_eq!(last, 429);
    let sign_in = |name: &str| json!({"name": name, "password": "0123456789"}).to_string();
    for (name, forwarded, status) in [
        ("ann", "127.0.0.1", 429),
        ("bob", "127.0.0.1", 401),
        ("ann", "198.51.100.7", 401),
        ("ann", "198.51.100.7, 203.0.113.1", 401),
        ("n".repeat(65).as_str(), "127.0.0.1", 401),
    ] {
        let headers = [JSON, ("x-forwarded-for", forwarded)];
        let path = "/api/v1/session";
        let response = http(server.address, "POST", path, &headers, &sign_in(name)).await;
        assert_eq!(response.status, status, "{name} from {forwarded}");
    }
    server.stop().await;
}

/// Creates the first admin, whose name is root.
async fn set_up(server: &Running) -> HttpResponse {
    let link = server.setup_link.clone().expect("there is no admin yet");
    let (_, token) = link.split_once("#t=").expect("the link has a token");
    let body = json!({"token": token, "name": "root", "password": "long enough"});
    post(server.address, "/api/v1/setup", body).await
}

#[tokio::test]
async fn s15_cookies_belong_to_this_host_alone_once_there_is_tls() {
    let data = tempfile::tempdir().unwrap();
    let plain = Running::start(data.path()).await;
    let old = cookie(&set_up(&plain).await);
    assert!(old.starts_with("porthole_session="), "{old}");
    plain.stop().await;
    start_earlier(data.path()).await;
    let body = json!({"name": "root", "password": "long enough"}).to_string();
    for (url, path, prefix, expected) in [
        ("https://cams.example.org", "/", "", "__Host-"),
        ("https://cams.example.org/cams", "/cams/", "/cams", "__Secure-"),
        ("http://cams.example.org", "/", "", ""),
    ] {
        let mut config = config(data.path());
        config.public_url = Some(url.parse().unwrap());
        let server = Running::with(config).await;
        let to = server.address;
        let api = format!("{prefix}/api/v1/session");
        let signed_in = http(to, "POST", &api, &[JSON], &body).await;
        assert_eq!(signed_in.status, 200, "{url}");
        let set = signed_in.all("set-cookie");
        assert_eq!(set.len(), 2, "{set:?}");
        for (cookie, name) in set.iter().zip(["porthole_session", "porthole_device"]) {
            assert!(cookie.starts_with(&format!("{expected}{name}=")), "{cookie}");
            assert!(cookie.contains(&format!("; Path={path};")), "{cookie}");
            assert_eq!(cookie.ends_with("; Secure"), url.starts_with("https"), "{cookie}");
        }
        let new = cookie(&signed_in);
        let both = format!("{old}; {new}");
        for cookies in [&old, &new, &both] {
            let headers = [("cookie", cookies.as_str())];
            assert_eq!(http(to, "GET", &api, &headers, "").await.status, 200, "{cookies}");
        }
        // Under the other names anybody below the domain could have set it.
        let (_, value) = new.split_once('=').unwrap();
        for other in ["", "__Secure-", "__Host-"].iter().filter(|other| **other != expected) {
            let set = format!("{other}porthole_session={value}");
            let headers = [("cookie", set.as_str())];
            assert_eq!(http(to, "GET", &api, &headers, "").await.status, 401, "{url} {set}");
        }
        let strict =
            http(to, "GET", "/", &[], "").await.header("strict-transport-security").is_some();
        assert_eq!(strict, url.starts_with("https"));
        let headers = [("cookie", new.as_str())];
        assert_eq!(http(to, "DELETE", &api, &headers, "").await.status, 204);
        assert_eq!(http(to, "GET", &api, &headers, "").await.status, 401);
        server.stop().await;
    }
}

/// Makes all sign-ins so old as if an earlier version of the server had started them.
async fn start_earlier(data: &std::path::Path) {
    let url = format!("sqlite://{}", data.join("signaling.sqlite3").display());
    let pool = sqlx::SqlitePool::connect(&url).await.expect("the database is there");
    let earlier = "UPDATE browser_sessions SET created_s = created_s - 3600";
    sqlx::query(earlier).execute(&pool).await.expect("it can be written");
    pool.close().await;
}

#[tokio::test]
async fn s15_health_and_names_are_what_they_are() {
    let data = tempfile::tempdir().unwrap();
    let server = Running::start(data.path()).await;
    let to = server.address;
    let wrong = [("authorization", "Bearer wrong")];
    assert_eq!(http(to, "GET", "/healthz", &wrong, "").await.status, 200);
    let admin = format!("Bearer {}", token(data.path(), Role::Admin, &[]).await);
    let headers = [("authorization", admin.as_str()), JSON];
    for (name, status) in [("wall", 200), ("wall\u{202e}nimda", 422), ("a\u{2066}b", 422)] {
        let body = json!({"name": name, "role": "viewer"}).to_string();
        let made = http(to, "POST", "/api/v1/tokens", &headers, &body).await;
        assert_eq!(made.status, status, "{name:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn s3_the_owner_signs_in_whatever_others_try() {
    let data = tempfile::tempdir().unwrap();
    let server = Running::start(data.path()).await;
    let cookies = set_up(&server).await;
    let device = cookies.all("set-cookie").into_iter().find(|one| one.contains("porthole_device"));
    let device = device.unwrap().split(';').next().unwrap().to_owned();
    let sign_in = async |password: &str, from: &str, cookie: &str| {
        let body = json!({"name": "root", "password": password}).to_string();
        let headers = [JSON, ("x-forwarded-for", from), ("cookie", cookie)];
        http(server.address, "POST", "/api/v1/session", &headers, &body).await.status
    };
    let (attacker, owner) = ("192.0.2.1", "198.51.100.7");
    let mut last = 0;
    for _ in 0..12 {
        last = sign_in("wrong password", attacker, "").await;
    }
    assert_eq!(last, 429);
    for (what, from, cookie, status) in [
        ("the attacker's address", attacker, "", 429),
        ("the attacker's address with an invented cookie", attacker, "porthole_device=AAAA", 429),
        ("a new browser elsewhere", owner, "", 200),
        ("a known browser beside the attacker", attacker, device.as_str(), 200),
    ] {
        assert_eq!(sign_in("long enough", from, cookie).await, status, "{what}");
    }
    let name = json!({"name": "ann", "password": "long enough"}).to_string();
    let headers = [JSON, ("x-forwarded-for", attacker), ("cookie", &device)];
    let other = http(server.address, "POST", "/api/v1/session", &headers, &name).await;
    assert_eq!(other.status, 401, "the cookie is for one name");
    // Another password makes all browsers new, but for the one that has changed it.
    let new = json!({"old": "long enough", "new": "longer than that"}).to_string();
    let both = format!("{}; {device}", cookie(&cookies));
    let headers = [JSON, ("x-forwarded-for", owner), ("cookie", both.as_str())];
    let changed = http(server.address, "PUT", "/api/v1/session/password", &headers, &new).await;
    assert_eq!(changed.status, 200, "{changed:?}");
    for _ in 0..12 {
        last = sign_in("wrong password", attacker, &device).await;
    }
    assert_eq!(last, 429, "a browser that knows the former password is a stranger");
    let own = sign_in("longer than that", attacker, &cookie(&changed)).await;
    assert_eq!(own, 200, "the browser that has changed it");
    server.stop().await;
}

#[tokio::test]
async fn s3_an_invented_header_does_not_pass_the_limit_without_a_trusted_proxy() {
    let data = tempfile::tempdir().unwrap();
    let mut config = config(data.path());
    config.trusts_proxy = Arc::new(|_| false);
    let server = Running::with(config).await;
    let body = json!({"name": "root", "password": "wrong password"}).to_string();
    let mut statuses = Vec::new();
    for number in 0..12 {
        let from = format!("198.51.100.{number}");
        let headers = [JSON, ("x-forwarded-for", from.as_str())];
        let response = http(server.address, "POST", "/api/v1/session", &headers, &body).await;
        statuses.push(response.status);
    }
    assert_eq!(statuses, [[401; 10].as_slice(), &[429; 2]].concat());
    server.stop().await;
}

#[tokio::test]
async fn s4_one_address_cannot_take_all_connections() {
    let data = tempfile::tempdir().unwrap();
    let mut config = config(data.path());
    config.trusts_proxy = Arc::new(|_| false);
    config.places = PlaceLimits { total: 40, strangers: 30, per_network: 10, per_owner: 6 };
    let server = Running::with(config).await;
    let to = server.address;
    let admin = format!("Bearer {}", token(data.path(), Role::Admin, &[]).await);
    let viewer = token(data.path(), Role::Viewer, &[]).await;
    let mut registered = Peer::viewer(to, &viewer).await;
    let mut strangers = Vec::new();
    for _ in 0..60 {
        // The oldest have lost their places.
        strangers.push(Peer::open(to, &[]).await.unwrap());
    }
    for mut stranger in strangers.drain(..50) {
        assert_eq!(stranger.close_frame().await, None, "it has made room");
    }
    for _ in 0..30 {
        assert_eq!(http(to, "GET", "/healthz", &[], "").await.status, 200);
        let headers = [("authorization", admin.as_str())];
        assert_eq!(http(to, "GET", "/api/v1/gateways", &headers, "").await.status, 200);
    }
    registered.send_text("[]".to_owned()).await;
    assert!(matches!(registered.next().await, Message::Notification { .. }), "it has its list");
    let (mut held, mut refused) = (Vec::new(), Vec::new());
    let bearer = format!("Bearer {viewer}");
    for _ in 0..8 {
        match Peer::open(to, &[("authorization", bearer.as_str())]).await {
            Ok(peer) => held.push(peer),
            Err(status) => refused.push(status),
        }
    }
    assert_eq!((held.len(), refused), (5, vec![429; 3]), "six each");
    server.stop().await;
}

#[tokio::test]
async fn an_admin_creates_claims_and_tokens_and_sees_gateways() {
    let data = tempfile::tempdir().unwrap();
    let server = Running::start(data.path()).await;
    let to = server.address;
    let admin = format!("Bearer {}", token(data.path(), Role::Admin, &[]).await);
    let headers = [("authorization", admin.as_str()), JSON];
    let claim = http(to, "POST", "/api/v1/claims", &headers, "").await.json();
    assert_eq!(claim["expiresInSeconds"], 3600);
    let key = Key::new(1);
    key.enroll(to, &claim["code"].as_str().unwrap().to_lowercase()).await.unwrap();
    let mut gateway = key.connect(to).await;
    support::report(&mut gateway, &["demo", "barn"]).await;
    let gateways = http(to, "GET", "/api/v1/gateways", &headers, "").await.json();
    let (id, seen_s) = (key.id().to_string(), gateways["gateways"][0]["seenS"].clone());
    assert!(seen_s.is_u64(), "{gateways}");
    let listed = json!({"id": id, "name": "Barn", "online": true, "seenS": seen_s});
    assert_eq!(gateways, json!({"gateways": [listed]}));
    let new = json!({"name": "wall", "role": "viewer", "cameras": ["demo"]}).to_string();
    let made = http(to, "POST", "/api/v1/tokens", &headers, &new).await.json();
    let bearer = format!("Bearer {}", made["token"].as_str().unwrap());
    let headers = [("authorization", bearer.as_str())];
    let cameras = http(to, "GET", "/api/v1/cameras", &headers, "").await.json();
    assert_eq!(cameras["cameras"].as_array().unwrap().len(), 1);
    assert_eq!(cameras["cameras"][0]["id"], "demo");
    server.stop().await;
}

#[tokio::test]
async fn s9_a_token_is_for_the_camera_of_one_gateway() {
    let data = tempfile::tempdir().unwrap();
    let server = Running::start(data.path()).await;
    let to = server.address;
    let admin = format!("Bearer {}", token(data.path(), Role::Admin, &[]).await);
    let [first, second] = [Key::new(1), Key::new(2)];
    let _first = first.with_cameras(data.path(), to, &["demo", "barn"]).await;
    // The server writes down what it knows of the first gateway before it hears of the second.
    saved(data.path(), 2).await;
    let _second = second.with_cameras(data.path(), to, &["demo", "gate"]).await;
    saved(data.path(), 4).await;
    let (first, second) = (first.id(), second.id());
    type Case<'a> = (&'a str, Result<&'a [&'a str], &'a str>);
    let [demo2, later, first_later] =
        [format!("demo@{second}"), format!("later@{second}"), format!("barn@{second}")];
    let table: [Case<'_>; 7] = [
        ("demo", Ok(&["demo"])),
        (&demo2, Ok(&[&demo2])),
        ("gate", Ok(&["gate"])),
        (&later, Ok(&[])),
        (&first_later, Ok(&[])),
        ("later", Err("write `later@GATEWAY` with the id of its gateway")),
        ("later@gw-none", Err("no gateway with the id `gw-none` has enrolled")),
    ];
    for (camera, expected) in table {
        let headers = [("authorization", admin.as_str()), JSON];
        let new = json!({"name": "n", "role": "viewer", "cameras": [camera]}).to_string();
        let made = http(to, "POST", "/api/v1/tokens", &headers, &new).await;
        let expected = match expected {
            Ok(expected) => expected,
            Err(part) => {
                assert_eq!(made.status, 422, "{camera}");
                let error = made.error();
                assert!(error.contains(part), "{camera}: {error}");
                continue;
            }
        };
        let bearer = format!("Bearer {}", made.json()["token"].as_str().unwrap());
        let headers = [("authorization", bearer.as_str())];
        let list = http(to, "GET", "/api/v1/cameras", &headers, "").await.json();
        let list = list["cameras"].as_array().unwrap().clone();
        let found: Vec<_> = list.iter().filter_map(|camera| camera["address"].as_str()).collect();
        assert_eq!(found, expected, "{camera}");
        let gateway = if camera == "demo" { &first } else { &second };
        assert!(list.iter().all(|camera| camera["gateway"] == gateway.as_str()), "{list:?}");
    }
    server.stop().await;
}

/// Waits until so many cameras are in the database.
async fn saved(data: &Path, cameras: i64) {
    let url = format!("sqlite://{}", data.join("signaling.sqlite3").display());
    let pool = sqlx::SqlitePool::connect(&url).await.expect("the database is there");
    let is_saved = async {
        let count = "SELECT COUNT(*) FROM cameras";
        let count = || sqlx::query_scalar::<_, i64>(count).fetch_one(&pool);
        while count().await.expect("it can be read") < cameras {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(support::TIMEOUT, is_saved).await.expect("the cameras are saved");
    pool.close().await;
}

fn assets(path: &str) -> Option<Asset> {
    let (bytes, mime, immutable): (&[u8], &str, bool) = match path {
        "index.html" => (b"<!doctype html>", "text/html; charset=utf-8", false),
        "assets/app.js" => (b"app", "text/javascript", true),
        _ => return None,
    };
    let etag = (!immutable).then(|| "\"1\"".to_owned());
    Some(Asset { bytes: Cow::Borrowed(bytes), mime: Cow::Borrowed(mime), immutable, etag })
}

#[tokio::test]
async fn the_dashboard_is_served_under_its_paths_with_its_headers() {
    let data = tempfile::tempdir().unwrap();
    let mut config = config(data.path());
    config.assets = assets;
    let server = Running::with(config).await;
    for (path, status, body, cache) in [
        ("/", 200, "<!doctype html>", Some("no-cache")),
        ("/setup", 200, "<!doctype html>", Some("no-cache")),
        ("/cameras/demo", 200, "<!doctype html>", Some("no-cache")),
        ("/camera/door.sub@gw-a", 200, "<!doctype html>", Some("no-cache")),
        ("/assets/app.js", 200, "app", Some("public, max-age=31536000, immutable")),
        ("/healthz", 200, "ok\n", None),
        ("/readyz", 200, "ok\n", None),
    ] {
        let response = http(server.address, "GET", path, &[], "").await;
        assert_eq!((response.status, response.body.as_str()), (status, body), "{path}");
        assert_eq!(response.header("cache-control"), cache, "{path}");
        assert_eq!(response.header("x-content-type-options"), Some("nosniff"));
        assert!(response.header("content-security-policy").unwrap().contains("frame-ancestors"));
        assert_eq!(response.header("referrer-policy"), Some("no-referrer"));
    }
    for path in ["/assets/gone.js", "/api/v1/nothing", "/favicon.ico", "/../secret", "/ws/x"] {
        let response = http(server.address, "GET", path, &[], "").await;
        assert_eq!(response.status, 404, "{path}");
    }
    let known = [("if-none-match", "\"1\"")];
    assert_eq!(http(server.address, "GET", "/", &known, "").await.status, 304);
    server.stop().await;
}

#[tokio::test]
async fn an_error_at_start_is_explained_in_a_sentence() {
    let data = tempfile::tempdir().unwrap();
    let server = Running::start(data.path()).await;
    let mut taken = config(tempfile::tempdir().unwrap().path());
    taken.http = server.address;
    let error = Server::bind(taken).await.unwrap_err();
    assert!(matches!(error, StartError::InUse(_)));
    assert!(error.to_string().contains("is in use"), "{error}");
    server.stop().await;

    for path in ["a;b", "cams'", &"x".repeat(200)] {
        let mut below = config(tempfile::tempdir().unwrap().path());
        below.public_url = Some(format!("https://host.example/{path}").parse().unwrap());
        let error = Server::bind(below).await.unwrap_err();
        assert!(error.to_string().contains("the path in signaling.public_url"), "{error}");
    }

    let url = format!("sqlite://{}", data.path().join("signaling.sqlite3").display());
    let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
    sqlx::query("INSERT INTO _sqlx_migrations VALUES (9999, 'later', 0, TRUE, x'00', 0)")
        .execute(&pool)
        .await
        .unwrap();
    pool.close().await;
    let error = Server::bind(config(data.path())).await.unwrap_err();
    assert!(error.to_string().contains("newer version"), "{error}");

    let file = tempfile::NamedTempFile::new().unwrap();
    let error = Server::bind(config(&file.path().join("sub"))).await.unwrap_err();
    assert!(error.to_string().contains("cannot be created"), "{error}");
}

#[tokio::test]
async fn a_body_that_does_not_arrive_times_out() {
    let data = tempfile::tempdir().unwrap();
    let server = Running::start(data.path()).await;
    let (to, mut responses) = (server.address, tokio::task::JoinSet::new());
    let bearer = format!("Bearer {}", token(data.path(), Role::Viewer, &[]).await);
    for route in [
        "POST /api/v1/session",
        "DELETE /api/v1/session",
        "POST /whep/demo",
        "PATCH /whep/demo/s1",
        "GET /healthz",
    ] {
        let request = format!(
            "{route} HTTP/1.1\r\nHost: {to}\r\nAuthorization: {bearer}\r\n\
             Content-Type: application/json\r\nContent-Length: 20\r\n\r\n{{"
        );
        responses.spawn(async move {
            let mut stream = TcpStream::connect(to).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut response = String::new();
            let read = stream.read_to_string(&mut response);
            tokio::time::timeout(support::TIMEOUT, read)
                .await
                .expect("the connection is closed")
                .unwrap();
            (route, response)
        });
    }
    while let Some(response) = responses.join_next().await {
        let (route, response) = response.unwrap();
        assert!(response.starts_with("HTTP/1.1 408 "), "{route}: {response}");
    }
    server.stop().await;
}

#[tokio::test]
async fn stopping_takes_at_most_five_seconds_whatever_clients_do() {
    let data = tempfile::tempdir().unwrap();
    let server = Running::start(data.path()).await;
    let to = server.address;
    let _idle = tokio::net::TcpStream::connect(to).await.unwrap();
    let mut half = tokio::net::TcpStream::connect(to).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut half, b"GET / HTTP/1.1\r\nHo").await.unwrap();
    let viewer = token(data.path(), Role::Viewer, &[]).await;
    let _never_reads = Peer::viewer(to, &viewer).await;
    tokio::time::timeout(Duration::from_secs(5), server.stop()).await.unwrap();
}
