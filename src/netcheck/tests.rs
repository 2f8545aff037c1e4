use std::path::Path;
use std::time::Duration;

use porthole_test_support::ports::free_port;
use porthole_turn_proto::stun::{Class, ErrorCode, Message, MessageWriter, Method, attribute};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::config::Account;

/// Returns the response to a Binding request, with this mapped address; `None` for other messages.
fn respond(request: &[u8], mapped: SocketAddr) -> Option<Vec<u8>> {
    let request = Message::parse(request).ok()?;
    let mut out = Vec::new();
    let mut writer = MessageWriter::new(&mut out, Class::Success, Method::Binding, request.id());
    writer.xor_address(attribute::XOR_MAPPED_ADDRESS, mapped);
    writer.finish().ok()?;
    Some(out)
}

/// Starts a STUN server on loopback that responds with `mapped`, or with the client's address.
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
            if let Some(response) = respond(&bytes[..length], mapped.unwrap_or(from)) {
                udp.send_to(&response, from).await.unwrap();
            }
        }
    });
    tokio::spawn(async move {
        while let Ok((mut stream, from)) = tcp.accept().await {
            let mut bytes = [0; 2048];
            let length = stream.read(&mut bytes).await.unwrap();
            if let Some(response) = respond(&bytes[..length], mapped.unwrap_or(from)) {
                // In two parts, as a stream may deliver it.
                stream.write_all(&response[..7]).await.unwrap();
                tokio::task::yield_now().await;
                stream.write_all(&response[7..]).await.unwrap();
            }
        }
    });
    address
}

/// Returns options without required TLS, whose port is closed.
fn options(user: Option<&Account>, timeout: Duration) -> Options<'_> {
    let tls = Tls { port: free_port().unwrap().port(), is_required: false, ..tls(None) };
    Options { user, tls, timeout, map_port: false }
}

fn tls(ca: Option<&Path>) -> Tls {
    Tls::new(None, ca).unwrap()
}

/// Returns the result of each check, without successful ones of STUN over UDP and TCP.
fn results(report: &Report) -> Vec<(String, String)> {
    let json = serde_json::to_value(report).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let checks = json["checks"].as_array().unwrap().iter();
    let all = checks.map(|check| (text(&check["what"]), text(&check["result"])));
    let is_plain = |what: &str| matches!(what, "STUN over UDP" | "STUN over TCP");
    all.filter(|(what, result)| !(is_plain(what) && result == "ok")).collect()
}

#[tokio::test]
async fn two_servers_show_the_mapping() {
    let other = "203.0.113.9:999".parse().unwrap();
    for (second, mapping) in
        [(None, Mapping::EndpointIndependent), (Some(other), Mapping::EndpointDependent)]
    {
        let mut servers = Vec::new();
        for (ip, mapped) in [("127.0.0.1", None), ("127.0.0.2", second)] {
            let server = serve_at(ip, mapped).await;
            servers.push(Server::resolve(&server.to_string()).await.unwrap());
        }
        let report = run_checks(&servers, &options(None, probe::TIMEOUT)).await.unwrap();
        assert_eq!(report.mapping, mapping);
        assert_eq!(report.failures(), 0, "{report}");
        // Both have UDP and TCP, neither has TLS or TURN.
        let not_offered = |what: &str| (what.to_owned(), "not-offered".to_owned());
        let expected = ["STUN over TLS", "STUN over TLS", "TURN over UDP", "TURN over TCP"];
        assert_eq!(results(&report), expected.map(not_offered), "{report}");
        assert!(report.to_string().contains("not offered (connection refused"), "{report}");
    }
}

#[tokio::test]
async fn one_server_with_several_names_is_checked_once() {
    let at = serve(None).await;
    let mut servers = Vec::new();
    for host in ["127.0.0.1", "one.example.org", "other.example.org"] {
        let name = format!("{host}:{}", at.port());
        servers.push(Server { name, host: host.to_owned(), addresses: vec![at], tls_port: None });
    }
    let report = run_checks(&servers, &options(None, probe::TIMEOUT)).await.unwrap();
    assert_eq!(report.mapping, Mapping::Unknown, "{report}");
    let json = serde_json::to_value(&report).unwrap();
    let checks = json["checks"].as_array().unwrap();
    let count = |what: &str| checks.iter().filter(|check| check["what"] == what).count();
    let counts = ["STUN over UDP", "STUN over TCP", "STUN over TLS"].map(count);
    assert_eq!(counts, [1, 1, 3], "a certificate is for a name: {report}");
}

#[tokio::test]
async fn a_server_that_does_not_respond_fails_with_advice() {
    // Nothing listens on this port.
    let closed = free_port().unwrap();
    let servers = [Server::resolve(&closed.to_string()).await.unwrap()];
    let user: Account = "a:b".parse().unwrap();
    // Loopback refuses TCP at once; UDP is not refused.
    let timeout = Duration::from_millis(50);
    let report = run_checks(&servers, &options(Some(&user), timeout)).await.unwrap();
    assert_eq!(report.failures(), 4, "{report}");
    assert_eq!(report.mapping, Mapping::Unknown);
    let shown = report.to_string();
    assert!(shown.contains("FAIL  STUN over TCP"), "{shown}");
    assert!(shown.contains("connection refused"), "{shown}");
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["checks"][0]["result"], "failed");
    assert!(json["checks"][0]["advice"].as_str().unwrap().starts_with("Allow outgoing UDP"));
}

/// Starts Porthole's TURN server with a user and a self-signed certificate, stored in the folder.
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

/// The certificate is self-signed, and trusted or not; with a user and without.
#[tokio::test]
async fn tls_is_checked_as_browsers_do() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let server = serve_turn(folder.path());
    let (plain, port) = (server.local_addrs()[0], server.tls_addrs()[0].port());
    let user: Account = "anna:secret".parse().unwrap();
    let (ok, answers, failed, not_offered) = ("ok", "answers", "failed", "not-offered");
    for (host, is_required, ca, user, stun, turn) in [
        ("localhost", true, true, None, ok, Some([answers; 3])),
        ("localhost", true, true, Some(&user), ok, Some([ok; 3])),
        ("localhost", true, false, None, failed, None),
        ("localhost", true, false, Some(&user), failed, Some([ok, ok, failed])),
        // TLS is optional, but must work if the server has it.
        ("localhost", false, true, None, ok, Some([answers; 3])),
        ("localhost", false, false, None, failed, None),
        // The certificate is not for an address.
        ("127.0.0.1", true, true, None, failed, None),
        ("127.0.0.1", false, true, None, not_offered, None),
    ] {
        let ca = ca.then(|| file("certificate.pem"));
        let tls = Tls { port, is_required, ..tls(ca.as_deref()) };
        let options = Options { user, tls, timeout: probe::TIMEOUT, map_port: false };
        let name = format!("{host}:{}", plain.port());
        let addresses = vec![plain];
        let named = Server { name, host: host.to_owned(), addresses, tls_port: None };
        let report = run_checks(&[named], &options).await.unwrap();
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
        assert_eq!(
            by_udp == answers,
            shown.contains("use --user to test an allocation"),
            "{report}"
        );
    }
    assert!(
        Tls::new(None, Some(&file("key.pem"))).is_ok(),
        "a file without certificates adds none"
    );
    assert!(Tls::new(None, Some(&file("missing.pem"))).is_err());
}

#[test]
fn the_tls_port_is_set_by_flag_or_uri() {
    let at = SocketAddr::from(([192, 0, 2, 1], 3478));
    for (flag, uri_port, port, is_required) in [
        (None, None, 5349, false),
        (None, Some(443), 443, true),
        (Some(99), None, 99, true),
        (Some(99), Some(443), 99, true),
    ] {
        let (name, host) = ("named".to_owned(), "turn.example.org".to_owned());
        let server = Server { name, host, addresses: vec![at], tls_port: uri_port };
        let tls = Tls::new(flag, None).unwrap();
        let targets = stream_targets(&server, at, &tls).unwrap();
        let found = targets.iter().map(|target| (target.address.port(), target.is_required));
        let expected = [(3478, true), (port, is_required)];
        assert_eq!(found.collect::<Vec<_>>(), expected, "{flag:?} {uri_port:?}");
    }
}

#[test]
fn an_optional_service_fails_only_if_it_is_there_and_does_not_work() {
    use porthole_turn_proto::FailureReason;
    use probe::ProbeError;
    for (error, fails) in [
        (ProbeError::Timeout, false),
        (ProbeError::Refused, false),
        (ProbeError::Unreachable, false),
        (ProbeError::InvalidResponse, false),
        (ProbeError::Turn(FailureReason::Refused), false),
        (ProbeError::Turn(FailureReason::TryAlternate(None)), true),
        (ProbeError::Turn(FailureReason::QuotaReached), true),
        (ProbeError::Turn(FailureReason::NoCapacity), true),
    ] {
        let shown = error.to_string();
        let outcome = Outcome::of_binding(Err(error)).optional(false);
        let failed = matches!(outcome, Outcome::Failed { .. });
        assert_eq!(failed, fails, "{shown}");
        assert_eq!(matches!(outcome, Outcome::NotOffered { .. }), !fails, "{shown}");
    }
}

/// NAT behavior discovery (RFC 5780) with Porthole's server; over loopback there is no NAT.
#[tokio::test]
async fn a_server_with_two_addresses_shows_the_behaviour_of_the_nat() {
    let primary = free_port().unwrap();
    let alternate = SocketAddr::from(([127, 0, 0, 2], free_port().unwrap().port()));
    for (discovery_address, is_measured) in [(Some(alternate), true), (None, false)] {
        let server = porthole_turn_server::Server::start(porthole_turn_server::Config {
            listen: vec![primary],
            discovery_address,
            users: vec![("anna".to_owned(), "secret".to_owned())],
            workers: 1,
            ..porthole_turn_server::Config::default()
        });
        let server = server.unwrap();
        let nat = nat::measure(primary).await.unwrap();
        let requests = server.stats().counters.bindings;
        if !is_measured {
            assert!(nat.is_none(), "measured with one address: {nat:?}");
            continue;
        }
        let nat = nat.expect("a server with two addresses");
        assert_eq!(nat.class, nat::NatClass::Open, "{nat:?}");
        assert_eq!(nat.mapping, nat::Dependence::EndpointIndependent, "{nat:?}");
        assert_eq!(nat.filtering, nat::Dependence::EndpointIndependent, "{nat:?}");
        assert!(requests >= 3, "{requests} requests");
        let named = Server::resolve(&primary.to_string()).await.unwrap();
        let report = run_checks(&[named], &options(None, probe::TIMEOUT)).await.unwrap();
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["nat"]["class"], "open", "{json}");
        server.shutdown(Duration::ZERO);
    }
}

/// Starts a server over UDP that refuses every allocation, and names another server.
async fn serve_refusal(code: ErrorCode, other: SocketAddr) -> SocketAddr {
    let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = udp.local_addr().unwrap();
    tokio::spawn(async move {
        let mut bytes = [0; 2048];
        while let Ok((length, from)) = udp.recv_from(&mut bytes).await {
            let Ok(request) = Message::parse(&bytes[..length]) else { continue };
            let mut out = Vec::new();
            let id = request.id();
            if request.method() == Method::Binding {
                out.extend(respond(&bytes[..length], from).unwrap());
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
async fn a_refused_allocation_is_reported_by_its_code_with_and_without_an_account() {
    let other: SocketAddr = "203.0.113.9:3478".parse().unwrap();
    let user: Account = "a:b".parse().unwrap();
    let names_other = "--server 203.0.113.9:3478";
    for (code, user, result, shows) in [
        (ErrorCode::TRY_ALTERNATE, None, "failed", names_other),
        (ErrorCode::TRY_ALTERNATE, Some(&user), "failed", names_other),
        (ErrorCode::INSUFFICIENT_CAPACITY, None, "failed", "wait a minute"),
        (ErrorCode::ALLOCATION_QUOTA_REACHED, Some(&user), "failed", "of this user have ended"),
        // A server with STUN only.
        (ErrorCode::BAD_REQUEST, None, "not-offered", "not offered (the TURN server refused)"),
        (ErrorCode::BAD_REQUEST, Some(&user), "failed", "does not relay for this client"),
    ] {
        let at = serve_refusal(code, other).await;
        let server = Server::resolve(&at.to_string()).await.unwrap();
        let report = run_checks(&[server], &options(user, probe::TIMEOUT)).await.unwrap();
        let found = results(&report).into_iter().find(|(what, _)| what == "TURN over UDP");
        assert_eq!(found.unwrap().1, result, "{report}");
        assert!(report.to_string().contains(shows), "{report}");
    }
}

/// Less than the time after which a request is retransmitted over UDP.
const DELAY: Duration = Duration::from_millis(400);

/// Starts a proxy to a server over UDP that drops the first request or delays it by `DELAY`.
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

/// Starts a proxy to a server over TCP that delays the first data of the client by `DELAY`.
async fn bad_tcp(server: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut front, _) = listener.accept().await.unwrap();
        let mut back = tokio::net::TcpStream::connect(server).await.unwrap();
        tokio::time::sleep(DELAY).await;
        // An error means that the client has closed the connection.
        let _ = tokio::io::copy_bidirectional(&mut front, &mut back).await;
    });
    address
}

/// Returns the result with the time it took.
async fn timed<T>(what: impl Future<Output = T>) -> (Duration, T) {
    let start = std::time::Instant::now();
    let result = what.await;
    (start.elapsed(), result)
}

#[tokio::test]
async fn a_round_trip_is_the_last_request_and_its_response() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve_turn(folder.path());
    let (plain, with_tls) = (server.local_addrs()[0], server.tls_addrs()[0]);
    let tls = tls(Some(&folder.path().join("certificate.pem")));
    let name = ServerName::try_from("localhost").unwrap();
    let over_tls = || ProbeTransport::Tls { connector: &tls.connector, name: name.clone() };
    let user: Account = "anna:secret".parse().unwrap();
    let created = |allocation| match allocation {
        probe::Allocation::Created(response) => response,
        probe::Allocation::Challenged { .. } => panic!("challenged with an account"),
    };
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let (lossy, slow) = (bad_udp(plain, true).await, bad_udp(plain, false).await);
    let (slow_tcp, slow_tls) = (bad_tcp(plain).await, bad_tcp(with_tls).await);
    let timeout = probe::TIMEOUT;
    let (tls, user) = (over_tls(), Some(&user));
    let (binding, handshake, over_udp, over_tcp) = tokio::join!(
        timed(probe::binding_over_udp(&socket, lossy, timeout)),
        timed(probe::binding_over_stream(slow_tls, &tls, timeout)),
        timed(probe::allocate(slow, &ProbeTransport::Udp, user, timeout)),
        timed(probe::allocate(slow_tcp, &ProbeTransport::Tcp, user, timeout)),
    );
    for (before, whole, response) in [
        ("a lost packet", binding.0, binding.1.unwrap()),
        ("TLS's handshake", handshake.0, handshake.1.unwrap()),
        ("TURN's challenge over UDP", over_udp.0, created(over_udp.1.unwrap())),
        ("TURN's challenge over TCP", over_tcp.0, created(over_tcp.1.unwrap())),
    ] {
        assert!(whole - response.rtt >= DELAY, "{before} counts: {:?} of {whole:?}", response.rtt);
    }
}
