//! The admin API over real sockets, as curl would use it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use porthole_admin::{Admin, Api, Config, Place, Reload};
use porthole_metrics::Exposition;
use porthole_test_support::turn_client::TestTurnClient;
use porthole_turn_proto::Transport;
use porthole_turn_server::Server;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio_util::sync::CancellationToken;

const TOKEN: &str = "0123456789abcdef";
const REFERENCE: &str = include_str!("../../../docs/ref/admin.md");
const PATIENCE: Duration = Duration::from_secs(10);

fn turn_config() -> porthole_turn_server::Config {
    porthole_turn_server::Config {
        listen: vec!["127.0.0.1:0".parse().expect("an address")],
        users: vec![("anna".to_owned(), "secret".to_owned())],
        workers: 1,
        ..Default::default()
    }
}

/// A running TURN server and its API.
struct Scene {
    server: Arc<Server>,
    place: Place,
    stop: CancellationToken,
    broken: Arc<AtomicBool>,
}

impl Scene {
    async fn start(at: &str, token: Option<&str>) -> Result<Self> {
        let server = Arc::new(Server::start(turn_config())?);
        let token = token.map(|token| token.to_owned().into());
        let admin = Admin::bind(Config { at: at.parse()?, token }).await?;
        let (place, stop) = (admin.place(), CancellationToken::new());
        let broken = Arc::new(AtomicBool::new(false));
        let (turn, is_broken) = (Arc::clone(&server), Arc::clone(&broken));
        let reload: Reload = Arc::new(move || {
            if is_broken.load(Ordering::Relaxed) {
                return Err("porthole.toml:1: it is broken".to_owned());
            }
            let deny_peers = vec!["198.51.100.0/24".parse().map_err(|_| "a block")?];
            let config = porthole_turn_server::Config { deny_peers, workers: 2, ..turn_config() };
            let changes = turn.reload(config).map_err(|error| error.to_string())?;
            Ok(changes.into_iter().map(porthole_turn_admin::change).collect())
        });
        tokio::spawn(admin.run(api(&server, reload), stop.clone()));
        Ok(Self { server, place, stop, broken })
    }

    async fn request(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
    ) -> Result<(u16, String)> {
        let token = token.map(|token| format!("Authorization: Bearer {token}\r\n"));
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: turn\r\nConnection: close\r\n{}\r\n",
            token.unwrap_or_default(),
        );
        match &self.place {
            Place::Tcp(address) => exchange(TcpStream::connect(address).await?, &request).await,
            Place::Unix(path) => exchange(UnixStream::connect(path).await?, &request).await,
        }
    }

    async fn json(&self, method: &str, path: &str) -> Result<Value> {
        let (status, body) = self.request(method, path, Some(TOKEN)).await?;
        ensure!(status == 200, "{status}: {body}");
        Ok(serde_json::from_str(&body)?)
    }
}

/// Returns the API of a TURN server alone.
fn api(server: &Arc<Server>, reload: Reload) -> Api {
    let (health, metrics) = (Arc::clone(server), Arc::clone(server));
    Api {
        is_draining: Arc::new(move || health.is_draining()),
        metrics: Arc::new(move || {
            let mut out = Exposition::default();
            porthole_turn_admin::write_metrics(&metrics, &mut out);
            Box::pin(std::future::ready(out.into_text()))
        }),
        reload,
        further: porthole_turn_admin::routes(Arc::clone(server)),
    }
}

/// Sends a request and returns the status and the body of the response.
async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    request: &str,
) -> Result<(u16, String)> {
    stream.write_all(request.as_bytes()).await?;
    let mut response = String::new();
    stream.read_to_string(&mut response).await?;
    let (head, body) = response.split_once("\r\n\r\n").context("a response has a head")?;
    let status = head.split(' ').nth(1).context("a response has a status")?.parse()?;
    Ok((status, body.to_owned()))
}

/// Makes an allocation over UDP, which lasts until it expires.
fn allocate(server: &Server) -> Result<()> {
    TestTurnClient::anna(server.local_addrs()[0], Transport::Udp)?.allocate().map(drop)
}

#[tokio::test]
async fn requests_without_the_token_are_refused() -> Result<()> {
    let scene = Scene::start("127.0.0.1:0", Some(TOKEN)).await?;
    for (method, path) in [
        ("GET", "/metrics"),
        ("GET", "/sessions"),
        ("DELETE", "/sessions/0-0"),
        ("POST", "/reload"),
    ] {
        for token in [None, Some(""), Some("0123456789abcdeF"), Some("0123456789abcdef0")] {
            let (status, body) = scene.request(method, path, token).await?;
            assert_eq!(status, 401, "{method} {path} with {token:?}: {body}");
        }
        assert_ne!(scene.request(method, path, Some(TOKEN)).await?.0, 401, "{method} {path}");
        assert!(REFERENCE.contains(&format!("| `{method} {}`", path.replace("0-0", "{id}"))));
    }
    Ok(())
}

#[tokio::test]
async fn sessions_are_listed_and_ended() -> Result<()> {
    let scene = Scene::start("127.0.0.1:0", Some(TOKEN)).await?;
    for _ in 0..3 {
        allocate(&scene.server)?;
    }
    let first = scene.json("GET", "/sessions?limit=2").await?;
    assert_eq!(first["sessions"].as_array().map(Vec::len), Some(2), "{first}");
    let next = first["next"].as_str().context("there is more")?;
    let second = scene.json("GET", &format!("/sessions?limit=2&after={next}")).await?;
    assert_eq!(second["sessions"].as_array().map(Vec::len), Some(1), "{second}");
    assert!(second["next"].is_null(), "{second}");
    let session = &second["sessions"][0];
    for key in ["id", "transport", "client", "username", "relayed", "age_s", "expires_in_s"] {
        assert!(!session[key].is_null(), "{key} is missing in {session}");
        assert!(
            REFERENCE.contains(&format!("\"{key}\":")),
            "{key} is missing in docs/ref/admin.md"
        );
    }

    let id = session["id"].as_str().context("an id is text")?;
    for (path, status) in [
        (format!("/sessions/{id}"), 204),
        (format!("/sessions/{id}"), 404),
        ("/sessions/7-0".to_owned(), 404),
        ("/sessions/..%2f".to_owned(), 400),
        ("/sessions/anna".to_owned(), 400),
    ] {
        assert_eq!(scene.request("DELETE", &path, Some(TOKEN)).await?.0, status, "{path}");
    }
    let left = scene.json("GET", "/sessions").await?;
    assert_eq!(left["sessions"].as_array().map(Vec::len), Some(2), "{left}");
    assert_eq!(scene.request("GET", "/sessions?after=anna", Some(TOKEN)).await?.0, 400);
    assert_eq!(scene.request("GET", "/sessions?what=else", Some(TOKEN)).await?.0, 400);
    Ok(())
}

#[tokio::test]
async fn metrics_are_live() -> Result<()> {
    let scene = Scene::start("127.0.0.1:0", Some(TOKEN)).await?;
    allocate(&scene.server)?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (status, text) = scene.request("GET", "/metrics", Some(TOKEN)).await?;
        assert_eq!(status, 200);
        if text.contains("porthole_turn_allocations 1\n") {
            // The first request has no credentials; if the response is slow, it is repeated.
            let challenged = "porthole_turn_errors_total{code=\"401\"} ";
            let challenged = text.lines().find_map(|line| line.strip_prefix(challenged));
            assert!(challenged.context("no 401")?.parse::<u64>()? >= 1, "{text}");
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "{text}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_reload_returns_what_has_changed_or_what_is_wrong() -> Result<()> {
    let scene = Scene::start("127.0.0.1:0", Some(TOKEN)).await?;
    let changes = scene.json("POST", "/reload").await?;
    let changes = changes.as_array().context("a list")?;
    let needs_restart = |setting: &str| {
        let change = changes.iter().find(|change| change["setting"] == setting);
        change.map(|change| change["needs_restart"].clone())
    };
    assert_eq!(needs_restart("deny_peers"), Some(Value::Bool(false)), "{changes:?}");
    assert_eq!(needs_restart("workers"), Some(Value::Bool(true)), "{changes:?}");
    scene.broken.store(true, Ordering::Relaxed);
    let (status, body) = scene.request("POST", "/reload", Some(TOKEN)).await?;
    assert_eq!(status, 422);
    let body: Value = serde_json::from_str(&body)?;
    assert_eq!(body["error"], "porthole.toml:1: it is broken");
    Ok(())
}

#[tokio::test]
async fn a_unix_socket_needs_no_token_and_is_removed_with_the_api() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("turn.sock");
    let scene = Scene::start(&format!("unix:{}", path.display()), None).await?;
    assert_eq!(scene.request("GET", "/sessions", None).await?.0, 200);
    assert_eq!(scene.request("GET", "/healthz", None).await?, (200, "ok\n".to_owned()));
    let server = Arc::clone(&scene.server);
    tokio::task::spawn_blocking(move || server.shutdown(Duration::ZERO)).await?;
    assert_eq!(scene.request("GET", "/healthz", None).await?, (503, "draining\n".to_owned()));
    assert_eq!(scene.request("GET", "/sessions", None).await?.0, 503, "no worker is left");
    scene.stop.cancel();
    let deadline = Instant::now() + PATIENCE;
    while path.exists() {
        ensure!(Instant::now() < deadline, "the socket is still there");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}
