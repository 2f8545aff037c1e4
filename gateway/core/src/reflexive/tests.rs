use porthole_turn_proto::stun::{Class, HEADER_LEN, Message, MessageWriter, Method, attribute};

use super::*;

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn servers(uri: &str) -> Vec<IceServer> {
    vec![IceServer { urls: vec![uri.to_owned()], username: None, credential: None }]
}

/// Encodes a STUN server's response to this request.
fn response(request: &[u8], mapped: SocketAddr) -> Vec<u8> {
    let id = Message::parse(request).unwrap().id();
    let mut out = Vec::with_capacity(HEADER_LEN);
    let mut writer = MessageWriter::new(&mut out, Class::Success, Method::Binding, id);
    writer.xor_address(attribute::XOR_MAPPED_ADDRESS, mapped);
    writer.finish().unwrap();
    out
}

#[test]
fn the_response_of_a_server_serves_later_sessions() {
    let now = Instant::now();
    let base = address("192.168.1.2:5000");
    let server = address("203.0.113.1:3478");
    let mut gatherer = ReflexiveGatherer::default();
    gatherer.set_bases(vec![base]);
    assert!(gatherer.is_complete(), "no server was named");

    gatherer.refresh(now, &servers("stun:stun.example"));
    let server_name = gatherer.poll_resolve().expect("the name is resolved");
    assert!(!gatherer.is_complete());
    gatherer.handle_resolved(now, &server_name, &[server]);

    let request = gatherer.poll_transmit().expect("the server is queried");
    assert_eq!((request.from, request.to), (base, server));
    let mapped = address("198.51.100.7:6000");
    let reply = response(&request.bytes, mapped);
    assert_eq!(
        gatherer.handle_response(address("203.0.113.9:3478"), &reply),
        None,
        "from another server"
    );
    assert_eq!(gatherer.handle_response(server, &reply), Some((base, mapped)));
    assert_eq!(gatherer.handle_response(server, &reply), None, "twice");
    assert!(gatherer.is_complete());
    assert_eq!(gatherer.known().collect::<Vec<_>>(), [(base, mapped)]);

    gatherer.refresh(now + FRESH / 2, &servers("stun:stun.example"));
    assert!(gatherer.poll_transmit().is_none(), "fresh enough");
    gatherer.refresh(now + FRESH, &servers("stun:stun.example"));
    assert!(gatherer.poll_transmit().is_some(), "queried again");
}

#[test]
fn a_name_without_address_completes_and_is_tried_for_the_next_session() {
    let now = Instant::now();
    let mut gatherer = ReflexiveGatherer::default();
    gatherer.set_bases(vec![address("192.168.1.2:5000")]);
    for round in 0..2 {
        gatherer.refresh(now, &servers("stun:nowhere.example"));
        let server_name = gatherer.poll_resolve().unwrap_or_else(|| panic!("round {round}"));
        gatherer.handle_resolved(now, &server_name, &[]);
        assert!(gatherer.is_complete(), "round {round}");
    }
}

#[test]
fn a_server_that_never_responds_is_given_up() {
    let mut now = Instant::now();
    let mut gatherer = ReflexiveGatherer::default();
    gatherer.set_bases(vec![address("192.168.1.2:5000")]);
    gatherer.refresh(now, &servers("stun:203.0.113.1"));
    let server_name = gatherer.poll_resolve().unwrap();
    gatherer.handle_resolved(now, &server_name, &[address("203.0.113.1:3478")]);
    for _ in 0..20 {
        let Some(due) = gatherer.poll_timeout() else { break };
        now = due;
        gatherer.handle_timeout(now);
    }
    assert!(gatherer.is_complete());
    assert_eq!(gatherer.known().count(), 0);
}
