use super::*;
use crate::config::Account;
use porthole_test_support::ports::free_port;
use porthole_turn_proto::stun::{Class, Message, MessageWriter, Method, attribute};
use std::time::Duration;
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
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
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

fn asked(user: Option<&Account>, patience: Duration) -> Asked<'_> {
    Asked { user, tls: None, patience }
}

#[tokio::test]
async fn two_servers_tell_how_the_nat_maps() {
    let elsewhere = "203.0.113.9:999".parse().unwrap();
    for (second, mapping) in
        [(None, Mapping::EndpointIndependent), (Some(elsewhere), Mapping::EndpointDependent)]
    {
        let mut servers = Vec::new();
        for mapped in [None, second] {
            servers.push(resolve(&serve(mapped).await.to_string()).await.unwrap());
        }
        let report = gather(&servers, &asked(None, probe::PATIENCE)).await.unwrap();
        assert_eq!(report.mapping, mapping);
        assert_eq!(report.failures(), 0, "{report}");
        assert_eq!(report.checks.len(), 4, "UDP and TCP to each: {report}");
    }
}

#[tokio::test]
async fn what_does_not_answer_fails_with_advice() {
    // Nobody listens there.
    let closed = free_port().unwrap();
    let servers = [resolve(&closed.to_string()).await.unwrap()];
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

#[tokio::test]
async fn a_server_is_named_with_or_without_its_port() {
    for (name, address) in [
        ("127.0.0.1", "127.0.0.1:3478"),
        ("127.0.0.1:99", "127.0.0.1:99"),
        ("::1", "[::1]:3478"),
        ("[::1]:99", "[::1]:99"),
    ] {
        let address: SocketAddr = address.parse().unwrap();
        assert_eq!(resolve(name).await.unwrap().addresses, [address], "{name}");
    }
    assert!(resolve("no such host").await.is_err());
}

/// Our own server with a certificate of our own: trusted or not, with an account or without.
#[tokio::test]
async fn tls_is_tried_as_a_browser_would() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
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
    let server = server.unwrap();
    let (plain, tls) = (server.local_addrs()[0], server.tls_addrs()[0]);
    let named = Server { name: format!("localhost:{}", plain.port()), addresses: vec![plain] };
    let user: Account = "anna:secret".parse().unwrap();
    for (ca, user, checks, failures) in [
        (true, None, 3, 0),
        (true, Some(&user), 6, 0),
        (false, None, 3, 1),
        (false, Some(&user), 6, 2),
    ] {
        let ca = ca.then(|| file("certificate.pem"));
        let tls = Some(Tls::new(tls.port(), ca.as_deref()).unwrap());
        let asked = Asked { user, tls, patience: probe::PATIENCE };
        let report = gather(std::slice::from_ref(&named), &asked).await.unwrap();
        assert_eq!((report.checks.len(), report.failures()), (checks, failures), "{report}");
        assert_eq!(failures > 0, report.to_string().contains("certificate"), "{report}");
    }
    assert!(
        Tls::new(tls.port(), Some(&file("key.pem"))).is_ok(),
        "no certificate in it: none more"
    );
    assert!(Tls::new(tls.port(), Some(&file("missing.pem"))).is_err());
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
        let named = Server { name: primary.to_string(), addresses: vec![primary] };
        let report = gather(&[named], &asked(None, probe::PATIENCE)).await.unwrap();
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["nat"]["class"], "open", "{json}");
        server.shutdown(Duration::ZERO);
    }
}
