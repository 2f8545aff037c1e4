use super::*;
use crate::config::Account;
use porthole_test_support::ports::free_port;
use porthole_turn_proto::stun::{Class, ErrorCode, Message, MessageWriter, Method, attribute};
use std::{path::Path, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

/// Answers a Binding request with an address; anything else not at all.
fn answer(request: &[u8], mapped: SocketAddr) -> Option<Vec<u8>> {
    let request = Message::parse(request).ok()?;
    let mut out = Vec::new();
    let mut writer = MessageWriter::new(&mut out, Class::Success, Method::Binding, request.id());
    writer.xor_address(attribute::XOR_MAPPED_ADDRESS, mapped);
    writer.finish().ok()?;
    Some(out)
}

/// A STUN server on loopback that says it sees everybody at `mapped`, or as they are.
pub async fn serve(mapped: Option<SocketAddr>) -> SocketAddr {
    serve_at("127.0.0.1", mapped).await
}

async fn serve_at(ip: &str, mapped: Option<SocketAddr>) -> SocketAddr {
    let tcp = TcpListener::bind((ip, 0)).await.unwrap();
    let address = tcp.local_addr().unwrap();
    let udp = UdpSocket::bind(address).await.unwrap();
    tokio::spawn(async move {
        let mut bytes = [0; 2048];
        while let Ok((length, from)) = udp.recv_from(&mut bytes).await {
            if let Some(answer) = answer(&bytes[..length], mapped.unwrap_or(from)) {
                udp.send_to(&answer, from).await.unwrap();
            }
        }
    });
    tokio::spawn(async move {
        while let Ok((mut stream, from)) = tcp.accept().await {
            let mut bytes = [0; 2048];
            let length = stream.read(&mut bytes).await.unwrap();
            if let Some(answer) = answer(&bytes[..length], mapped.unwrap_or(from)) {
                // In two pieces, as a stream may.
                stream.write_all(&answer[..7]).await.unwrap();
                tokio::task::yield_now().await;
                stream.write_all(&answer[7..]).await.unwrap();
            }
        }
    });
    address
}

/// Nobody has asked for TLS, and where it would be nobody listens.
fn asked(user: Option<&Account>, patience: Duration) -> Asked<'_> {
    let tls = Tls { port: free_port().unwrap().port(), is_asked: false, ..tls(None) };
    Asked { user, tls, patience }
}

fn tls(ca: Option<&Path>) -> Tls {
    Tls::new(None, ca).unwrap()
}

/// What each check has found, beside STUN over UDP and TCP that works.
fn results(report: &Report) -> Vec<(String, String)> {
    let json = serde_json::to_value(report).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let checks = json["checks"].as_array().unwrap().iter();
    let all = checks.map(|check| (text(&check["what"]), text(&check["result"])));
    let is_plain = |what: &str| matches!(what, "STUN over UDP" | "STUN over TCP");
    all.filter(|(what, result)| !(is_plain(what) && result == "ok")).collect()
}

#[tokio::test]
async fn two_servers_tell_how_the_nat_maps() {
    let elsewhere = "203.0.113.9:999".parse().unwrap();
    for (second, mapping) in
        [(None, Mapping::EndpointIndependent), (Some(elsewhere), Mapping::EndpointDependent)]
    {
        let mut servers = Vec::new();
        for (ip, mapped) in [("127.0.0.1", None), ("127.0.0.2", second)] {
            let server = serve_at(ip, mapped).await;
            servers.push(Server::resolve(&server.to_string()).await.unwrap());
        }
        let report = gather(&servers, &asked(None, probe::PATIENCE)).await.unwrap();
        assert_eq!(report.mapping, mapping);
        assert_eq!(report.failures(), 0, "{report}");
        // UDP and TCP to each, TLS and TURN at none.
        let not_offered = |what: &str| (what.to_owned(), "not-offered".to_owned());
        let expected = ["STUN over TLS", "STUN over TLS", "TURN over UDP", "TURN over TCP"];
        assert_eq!(results(&report), expected.map(not_offered), "{report}");
        assert!(report.to_string().contains("not offered (the server refuses"), "{report}");
    }
}

#[tokio::test]
async fn one_server_under_two_names_is_asked_once() {
    let at = serve(None).await;
    let mut servers = Vec::new();
    for host in ["127.0.0.1", "one.example.org", "other.example.org"] {
        let name = format!("{host}:{}", at.port());
        servers.push(Server { name, host: host.to_owned(), addresses: vec![at], tls_port: None });
    }
    let report = gather(&servers, &asked(None, probe::PATIENCE)).await.unwrap();
    assert_eq!(report.mapping, Mapping::Unknown, "{report}");
    let json = serde_json::to_value(&report).unwrap();
    let checks = json["checks"].as_array().unwrap();
    let count = |what: &str| checks.iter().filter(|check| check["what"] == what).count();
    let counts = ["STUN over UDP", "STUN over TCP", "STUN over TLS"].map(count);
    assert_eq!(counts, [1, 1, 3], "a certificate is for a name: {report}");
}

#[tokio::test]
async fn what_does_not_answer_fails_with_advice() {
    // Nobody listens there.
    let closed = free_port().unwrap();
    let servers = [Server::resolve(&closed.to_string()).await.unwrap()];
    let user: Account = "a:b".parse().unwrap();
    // A refusal over loopback comes at once, and UDP has none.
    let patience = Duration::from_millis(50);
    let report = gather(&servers, &asked(Some(&user), patience)).await.unwrap();
    assert_eq!(report.failures(), 4, "{report}");
    assert_eq!(report.mapping, Mapping::Unknown);
    let shown = report.to_string();
    assert!(shown.contains("FAIL  STUN over TCP"), "{shown}");
    assert!(shown.contains("the server refuses the connection"), "{shown}");
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["checks"][0]["result"], "failed");
    assert!(json["checks"][0]["advice"].as_str().unwrap().starts_with("Let UDP out"));
}

/// Our own server with a certificate of our own in the folder, and a user.
fn serve_turn(folder: &Path) -> porthole_turn_server::Server {
    let file = |name: &str| folder.join(name);
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(file("certificate.pem"), made.cert.pem()).unwrap();
    std::fs::write(file("key.pem"), made.signing_key.serialize_pem()).unwrap();
    let files = porthole_turn_server::TlsFiles {
        certificate: file("certificate.pem"),
        key: file("key.pem"),
    };
    let server = porthole_turn_server::Server::start(porthole_turn_server::Config {
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        listen_tls: vec!["127.0.0.1:0".parse().unwrap()],
        tls: Some(files),
        users: vec![("anna".to_owned(), "secret".to_owned())],
        workers: 1,
        ..porthole_turn_server::Config::default()
    });
    server.unwrap()
}

/// Our own server with a certificate of our own: trusted or not, with an account or without.
#[tokio::test]
async fn tls_is_tried_as_a_browser_would() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let server = serve_turn(folder.path());
    let (plain, port) = (server.local_addrs()[0], server.tls_addrs()[0].port());
    let user: Account = "anna:secret".parse().unwrap();
    let (ok, answers, failed, not_offered) = ("ok", "answers", "failed", "not-offered");
    for (host, is_asked, ca, user, stun, turn) in [
        ("localhost", true, true, None, ok, Some([answers; 3])),
        ("localhost", true, true, Some(&user), ok, Some([ok; 3])),
        ("localhost", true, false, None, failed, None),
        ("localhost", true, false, Some(&user), failed, Some([ok, ok, failed])),
        // Nobody has asked for TLS: what is there must be good all the same.
        ("localhost", false, true, None, ok, Some([answers; 3])),
        ("localhost", false, false, None, failed, None),
        // The certificate is for no address.
        ("127.0.0.1", true, true, None, failed, None),
        ("127.0.0.1", false, true, None, not_offered, None),
    ] {
        let ca = ca.then(|| file("certificate.pem"));
        let tls = Tls { port, is_asked, ..tls(ca.as_deref()) };
        let asked = Asked { user, tls, patience: probe::PATIENCE };
        let name = format!("{host}:{}", plain.port());
        let addresses = vec![plain];
        let named = Server { name, host: host.to_owned(), addresses, tls_port: None };
        let report = gather(&[named], &asked).await.unwrap();
        let [by_udp, by_tcp, by_tls] = turn.unwrap_or([answers, answers, ""]);
        let mut expected = Vec::new();
        if stun != ok {
            expected.push(("STUN over TLS", stun));
        }
        expected.extend([("TURN over UDP", by_udp), ("TURN over TCP", by_tcp)]);
        expected.extend((!by_tls.is_empty()).then_some(("TURN over TLS", by_tls)));
        let mut found = results(&report);
        found.retain(|(what, result)| (what.as_str(), result.as_str()) != ("STUN over TLS", ok));
        let expected = expected.iter().map(|(what, result)| (what.to_string(), result.to_string()));
        assert_eq!(found, expected.collect::<Vec<_>>(), "{report}");
        let failures = found.iter().filter(|(_, result)| result == failed).count();
        assert_eq!(report.failures(), failures, "{report}");
        let shown = report.to_string();
        assert_eq!(by_udp == answers, shown.contains("give --user to try a relay"), "{report}");
    }
    assert!(Tls::new(None, Some(&file("key.pem"))).is_ok(), "no certificate in it: none more");
    assert!(Tls::new(None, Some(&file("missing.pem"))).is_err());
}

#[test]
fn a_port_for_tls_is_asked_for_by_flag_or_uri() {
    let at = SocketAddr::from(([192, 0, 2, 1], 3478));
    for (flag, of_uri, port, is_asked) in [
        (None, None, 5349, false),
        (None, Some(443), 443, true),
        (Some(99), None, 99, true),
        (Some(99), Some(443), 99, true),
    ] {
        let (name, host) = ("named".to_owned(), "turn.example.org".to_owned());
        let server = Server { name, host, addresses: vec![at], tls_port: of_uri };
        let tls = Tls::new(flag, None).unwrap();
        let ways = streams(&server, at, &tls).unwrap();
        let found: Vec<_> = ways.iter().map(|way| (way.address.port(), way.is_asked)).collect();
        assert_eq!(found, [(3478, true), (port, is_asked)], "{flag:?} {of_uri:?}");
    }
}

/// A server that names another one is a failure, whether an account was given or not.
#[test]
fn what_is_there_and_does_not_work_fails_unasked() {
    use porthole_turn_proto::FailureReason;
    use probe::Silence;
    for (silence, fails) in [
        (Silence::Timeout, false),
        (Silence::Refused, false),
        (Silence::Unreachable, false),
        (Silence::Nonsense, false),
        (Silence::Turn(FailureReason::Refused), false),
        (Silence::Turn(FailureReason::TryAlternate(None)), true),
        (Silence::Turn(FailureReason::QuotaReached), true),
        (Silence::Turn(FailureReason::NoCapacity), true),
    ] {
        let shown = silence.to_string();
        let outcome = Outcome::of(Err(silence)).unasked(false);
        let failed = matches!(outcome, Outcome::Failed { .. });
        assert_eq!(failed, fails, "{shown}");
        assert_eq!(matches!(outcome, Outcome::NotOffered { .. }), !fails, "{shown}");
    }
}

/// RFC 5780 with our own server on two addresses; over loopback there is no NAT to be found.
#[tokio::test]
async fn a_server_with_two_addresses_tells_how_the_nat_behaves() {
    let primary = free_port().unwrap();
    let alternate = SocketAddr::from(([127, 0, 0, 2], free_port().unwrap().port()));
    for (discovery_address, behaves) in [(Some(alternate), true), (None, false)] {
        let server = porthole_turn_server::Server::start(porthole_turn_server::Config {
            listen: vec![primary],
            discovery_address,
            users: vec![("anna".to_owned(), "secret".to_owned())],
            workers: 1,
            ..porthole_turn_server::Config::default()
        });
        let server = server.unwrap();
        let nat = behaviour::discover(primary).await.unwrap();
        let questions = server.stats().counters.bindings;
        if !behaves {
            assert!(nat.is_none(), "one address cannot tell: {nat:?}");
            continue;
        }
        let nat = nat.expect("two addresses can tell");
        assert_eq!(nat.class, behaviour::NatClass::Open, "{nat:?}");
        assert_eq!(nat.mapping, behaviour::Dependence::EndpointIndependent, "{nat:?}");
        assert_eq!(nat.filtering, behaviour::Dependence::EndpointIndependent, "{nat:?}");
        assert!(questions >= 3, "the server was asked {questions} times");
        let named = Server::resolve(&primary.to_string()).await.unwrap();
        let report = gather(&[named], &asked(None, probe::PATIENCE)).await.unwrap();
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["nat"]["class"], "open", "{json}");
        server.shutdown(Duration::ZERO);
    }
}

/// A server over UDP that refuses every allocation, and names another server.
async fn refuse(code: ErrorCode, other: SocketAddr) -> SocketAddr {
    let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = udp.local_addr().unwrap();
    tokio::spawn(async move {
        let mut bytes = [0; 2048];
        while let Ok((length, from)) = udp.recv_from(&mut bytes).await {
            let Ok(request) = Message::parse(&bytes[..length]) else { continue };
            let mut out = Vec::new();
            let id = request.id();
            if request.method() == Method::Binding {
                out.extend(answer(&bytes[..length], from).unwrap());
            } else {
                MessageWriter::new(&mut out, Class::Error, request.method(), id)
                    .error_code(code)
                    .address(attribute::ALTERNATE_SERVER, other)
                    .finish()
                    .unwrap();
            }
            udp.send_to(&out, from).await.unwrap();
        }
    });
    address
}

#[tokio::test]
async fn a_refusal_of_turn_is_told_by_its_code_with_an_account_and_without() {
    let other: SocketAddr = "203.0.113.9:3478".parse().unwrap();
    let user: Account = "a:b".parse().unwrap();
    let names_other = "--server 203.0.113.9:3478";
    for (code, user, result, shows) in [
        (ErrorCode::TRY_ALTERNATE, None, "failed", names_other),
        (ErrorCode::TRY_ALTERNATE, Some(&user), "failed", names_other),
        (ErrorCode::INSUFFICIENT_CAPACITY, None, "failed", "wait a minute"),
        (ErrorCode::ALLOCATION_QUOTA_REACHED, Some(&user), "failed", "of this user have ended"),
        // A STUN server that knows no TURN.
        (ErrorCode::BAD_REQUEST, None, "not-offered", "not offered (the TURN server refused)"),
        (ErrorCode::BAD_REQUEST, Some(&user), "failed", "does not relay for this client"),
    ] {
        let at = refuse(code, other).await;
        let server = Server::resolve(&at.to_string()).await.unwrap();
        let report = gather(&[server], &asked(user, probe::PATIENCE)).await.unwrap();
        let found = results(&report).into_iter().find(|(what, _)| what == "TURN over UDP");
        assert_eq!(found.unwrap().1, result, "{report}");
        assert!(report.to_string().contains(shows), "{report}");
    }
}

/// Less than the time after which a request is repeated over UDP.
const DELAY: Duration = Duration::from_millis(400);

/// The way to a server over UDP, on which the first request is lost or its answer takes `DELAY`.
async fn bad_udp(server: SocketAddr, loses: bool) -> SocketAddr {
    let front = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let back = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = front.local_addr().unwrap();
    tokio::spawn(async move {
        let mut bytes = [0; 2048];
        let mut is_first = true;
        while let Ok((length, client)) = front.recv_from(&mut bytes).await {
            if std::mem::take(&mut is_first) {
                if loses {
                    continue;
                }
                tokio::time::sleep(DELAY).await;
            }
            back.send_to(&bytes[..length], server).await.unwrap();
            let length = back.recv(&mut bytes).await.unwrap();
            front.send_to(&bytes[..length], client).await.unwrap();
        }
    });
    address
}

/// The way to a server over TCP, on which the first thing that the client sends takes `DELAY`.
async fn bad_tcp(server: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut front, _) = listener.accept().await.unwrap();
        let mut back = tokio::net::TcpStream::connect(server).await.unwrap();
        tokio::time::sleep(DELAY).await;
        // The client's end is the end.
        let _ = tokio::io::copy_bidirectional(&mut front, &mut back).await;
    });
    address
}

async fn timed<T>(what: impl Future<Output = T>) -> (Duration, T) {
    let start = std::time::Instant::now();
    let result = what.await;
    (start.elapsed(), result)
}

#[tokio::test]
async fn a_round_trip_is_the_last_request_and_its_answer() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve_turn(folder.path());
    let (plain, with_tls) = (server.local_addrs()[0], server.tls_addrs()[0]);
    let tls = tls(Some(&folder.path().join("certificate.pem")));
    let name = ServerName::try_from("localhost").unwrap();
    let over_tls = || Over::Tls { connector: &tls.connector, name: name.clone() };
    let user: Account = "anna:secret".parse().unwrap();
    let made = |allocation| match allocation {
        probe::Allocation::Made(answer) => answer,
        probe::Allocation::AccountWanted { .. } => panic!("it has an account"),
    };
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let (lossy, slow) = (bad_udp(plain, true).await, bad_udp(plain, false).await);
    let (slow_tcp, slow_tls) = (bad_tcp(plain).await, bad_tcp(with_tls).await);
    let patience = probe::PATIENCE;
    let (tls, user) = (over_tls(), Some(&user));
    let ((whole, repeated), (of_tls, handshake), (of_udp, by_udp), (of_tcp, by_tcp)) = tokio::join!(
        timed(probe::binding_over_udp(&socket, lossy, patience)),
        timed(probe::binding_over_stream(slow_tls, &tls, patience)),
        timed(probe::allocate(slow, &Over::Udp, user, patience)),
        timed(probe::allocate(slow_tcp, &Over::Tcp, user, patience)),
    );
    for (before, whole, answer) in [
        ("a lost packet", whole, repeated.unwrap()),
        ("TLS's handshake", of_tls, handshake.unwrap()),
        ("TURN's challenge over UDP", of_udp, made(by_udp.unwrap())),
        ("TURN's challenge over TCP", of_tcp, made(by_tcp.unwrap())),
    ] {
        assert!(whole - answer.rtt >= DELAY, "{before} counts: {:?} of {whole:?}", answer.rtt);
    }
}
