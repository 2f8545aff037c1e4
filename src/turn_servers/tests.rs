use std::time::{Duration, Instant};

use porthole_turn_proto::Transport;
use porthole_turn_proto::stun::{Class, ErrorCode, Message, MessageWriter};
use porthole_turn_server::Server;

use super::*;

fn config(text: &str) -> Config {
    toml::from_str(text).unwrap()
}

#[test]
fn the_external_turn_server_is_configured_with_its_secret() {
    let mut config = Config::default();
    assert!(of_signaling(&config).unwrap().is_none());
    config.signaling.turn_urls = vec!["stun:h:1".to_owned()];
    assert_eq!(of_signaling(&config).unwrap().unwrap().servers[0].urls, ["stun:h:1"]);
    config.signaling.turn_urls.push("turn:h:1?transport=udp".to_owned());
    let error = of_signaling(&config).unwrap_err().to_string();
    assert!(error.contains("signaling.turn_secret is missing"), "{error}");
    config.signaling.turn_secret = Some("shared".to_owned().into());
    let turn = of_signaling(&config).unwrap().unwrap();
    let main = &turn.servers[0];
    assert_eq!((main.name.as_str(), main.urls.len()), ("main", 2));
    assert_eq!(main.secret.as_slice(), b"shared");
}

#[test]
fn further_turn_servers_have_their_own_secret_or_the_common_one() {
    let tables = "[signaling.turn_server.a]\nurls = ['turn:a']\n\
                  [signaling.turn_server.b]\nurls = ['turn:b']\nsecret = 'own'\nweight = 7\n\
                  region = 'fra'\n";
    let common = "signaling.turn_secret = 'common'\nturn.secret = 'of up'\n";
    let of = |turn: Option<TurnConfig>| -> Vec<_> {
        let servers = turn.unwrap().servers.into_iter();
        let shown = |server: TurnServer| {
            let secret = String::from_utf8(server.secret).unwrap();
            (server.name, secret, server.weight.get(), server.region)
        };
        servers.map(shown).collect()
    };
    let row = |name: &str, secret: &str, weight, region: Option<&str>| {
        (name.to_owned(), secret.to_owned(), weight, region.map(str::to_owned))
    };
    let with = config(&format!("{common}{tables}"));
    let own = row("b", "own", 7, Some("fra"));
    assert_eq!(of(of_signaling(&with).unwrap()), [row("a", "common", 100, None), own.clone()]);
    let found = of(of_up(&with, vec!["turn:up".to_owned()]).unwrap());
    assert_eq!(found, [row("main", "of up", 100, None), row("a", "of up", 100, None), own]);
    let error = of_signaling(&config(tables)).unwrap_err().to_string();
    assert!(error.starts_with("signaling.turn_server.a has no secret: set"), "{error}");
}

#[test]
fn there_are_at_most_sixteen_further_turn_servers() {
    let tables = |count: usize| {
        let table = |name| format!("[signaling.turn_server.a{name}]\nurls = ['turn:a']\n");
        let tables: String = (0..count).map(table).collect();
        config(&format!("signaling.turn_secret = 's'\n{tables}"))
    };
    assert_eq!(of_signaling(&tables(16)).unwrap().unwrap().servers.len(), 16);
    let error = of_signaling(&tables(17)).unwrap_err().to_string();
    assert!(error.contains("17 servers; at most 16"), "{error}");
}

/// Returns a TURN server on loopback with this secret.
fn serve(secret: &str) -> Server {
    let mut config = config(&format!("turn.secret = '{secret}'\nturn.workers = 1"));
    config.turn.listen = vec!["127.0.0.1:0".parse().unwrap()];
    Server::start(crate::turn::server_config(&config).unwrap()).unwrap()
}

/// Returns the server of `[signaling.turn_server.a]` with these URLs and the secret `north`.
fn offered(urls: &[String]) -> TurnServer {
    let urls: Vec<_> = urls.iter().map(|url| format!("'{url}'")).collect();
    let text = format!(
        "signaling.turn_secret = 'north'\n[signaling.turn_server.a]\nurls = [{}]",
        urls.join(",")
    );
    of_signaling(&config(&text)).unwrap().unwrap().servers.remove(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_allocates_over_each_transport_and_leaves_nothing() {
    let running = serve("north");
    let at = running.local_addrs()[0];
    let urls =
        ["stun:AT", "turn:AT?transport=udp", "turn:AT?transport=tcp", "turns:AT?transport=udp"]
            .map(|url| url.replace("AT", &at.to_string()));
    let tls = connector(None).unwrap();
    for _ in 0..3 {
        let checks = check(&offered(&urls), &tls).await;
        let found: Vec<_> = checks.iter().map(|one| (one.transport, &one.outcome)).collect();
        let works = &Outcome::Works;
        assert_eq!(found, [(Transport::Udp, works), (Transport::Tcp, works)]);
    }
    // Over TCP, the allocation ends when the server notices the end of the connection.
    let deadline = Instant::now() + Duration::from_secs(10);
    while !running.sessions(None, 100).unwrap().is_empty() {
        assert!(Instant::now() < deadline, "an allocation is left");
        tokio::task::yield_now().await;
    }
    running.shutdown(Duration::ZERO);
}

#[tokio::test]
async fn a_check_says_why_a_server_cannot_be_used() {
    let (running, stopped) = (serve("south"), serve("north"));
    let gone = stopped.local_addrs()[0];
    stopped.shutdown(Duration::ZERO);
    drop(stopped);
    let wrong_secret = format!("turn:{}", running.local_addrs()[0]);
    let tls = connector(None).unwrap();
    for (url, reason) in [
        (wrong_secret, "the TURN server refused the credentials"),
        (format!("turn:{gone}"), "connection refused"),
        (format!("turn:{gone}?transport=tcp"), "connection refused"),
        ("turn:absent.invalid".to_owned(), "its name is unknown"),
    ] {
        let found = outcome(&check(&offered(std::slice::from_ref(&url)), &tls).await);
        assert_eq!(found, Outcome::Fails(reason.to_owned()), "{url}");
    }
    running.shutdown(Duration::ZERO);
}

/// Answers each request over UDP with this error code.
async fn refuse_all(code: ErrorCode) -> std::net::SocketAddr {
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut bytes = [0; 2048];
        while let Ok((length, from)) = socket.recv_from(&mut bytes).await {
            let Ok(request) = Message::parse(&bytes[..length]) else { continue };
            let mut out = Vec::new();
            let (method, id) = (request.method(), request.id());
            let mut writer = MessageWriter::new(&mut out, Class::Error, method, id);
            writer.error_code(code);
            writer.finish().unwrap();
            let _ = socket.send_to(&out, from).await;
        }
    });
    address
}

#[tokio::test]
async fn a_server_that_is_full_or_drains_or_names_another_one_takes_no_new_clients() {
    let tls = connector(None).unwrap();
    for (code, takes_none) in [
        (ErrorCode::TRY_ALTERNATE, true),
        (ErrorCode::ALLOCATION_QUOTA_REACHED, true),
        (ErrorCode::INSUFFICIENT_CAPACITY, true),
        (ErrorCode::FORBIDDEN, false),
    ] {
        let url = format!("turn:{}", refuse_all(code).await);
        let found = outcome(&check(&offered(&[url]), &tls).await);
        assert_eq!(matches!(found, Outcome::Refuses(_)), takes_none, "{code:?}: {found:?}");
        assert_ne!(found, Outcome::Works);
    }
}
