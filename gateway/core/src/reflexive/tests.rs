use super::*;
use porthole_turn_proto::stun::{Class, HEADER_LEN, Message, MessageWriter, Method, attribute};

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn servers(uri: &str) -> Vec<IceServer> {
    vec![IceServer { urls: vec![uri.to_owned()], username: None, credential: None }]
}

/// What a STUN server answers to this request.
fn answer(request: &[u8], mapped: SocketAddr) -> Vec<u8> {
    let id = Message::parse(request).unwrap().id();
    let mut out = Vec::with_capacity(HEADER_LEN);
    let mut writer = MessageWriter::new(&mut out, Class::Success, Method::Binding, id);
    writer.xor_address(attribute::XOR_MAPPED_ADDRESS, mapped);
    writer.finish().unwrap();
    out
}

#[test]
fn the_answer_of_a_server_is_known_for_the_sessions_after() {
    let now = Instant::now();
    let base = address("192.168.1.2:5000");
    let server = address("203.0.113.1:3478");
    let mut discovery = ReflexiveGatherer::default();
    discovery.set_bases(vec![base]);
    assert!(discovery.is_complete(), "nobody was named");

    discovery.refresh(now, &servers("stun:stun.example"));
    let asked = discovery.poll_resolve().expect("the name is looked up");
    assert!(!discovery.is_complete());
    discovery.handle_resolved(now, &asked, &[server]);

    let request = discovery.poll_transmit().expect("the server is asked");
    assert_eq!((request.from, request.to), (base, server));
    let mapped = address("198.51.100.7:6000");
    let reply = answer(&request.bytes, mapped);
    assert_eq!(discovery.handle_response(address("203.0.113.9:3478"), &reply), None, "another's");
    assert_eq!(discovery.handle_response(server, &reply), Some((base, mapped)));
    assert_eq!(discovery.handle_response(server, &reply), None, "twice");
    assert!(discovery.is_complete());
    assert_eq!(discovery.known().collect::<Vec<_>>(), [(base, mapped)]);

    discovery.refresh(now + FRESH / 2, &servers("stun:stun.example"));
    assert!(discovery.poll_transmit().is_none(), "fresh enough");
    discovery.refresh(now + FRESH, &servers("stun:stun.example"));
    assert!(discovery.poll_transmit().is_some(), "asked again");
}

#[test]
fn a_name_without_address_settles_and_is_tried_for_the_next_session() {
    let now = Instant::now();
    let mut discovery = ReflexiveGatherer::default();
    discovery.set_bases(vec![address("192.168.1.2:5000")]);
    for round in 0..2 {
        discovery.refresh(now, &servers("stun:nowhere.example"));
        let asked = discovery.poll_resolve().unwrap_or_else(|| panic!("round {round}"));
        discovery.handle_resolved(now, &asked, &[]);
        assert!(discovery.is_complete(), "round {round}");
    }
}

#[test]
fn a_server_that_never_answers_is_given_up() {
    let mut now = Instant::now();
    let mut discovery = ReflexiveGatherer::default();
    discovery.set_bases(vec![address("192.168.1.2:5000")]);
    discovery.refresh(now, &servers("stun:203.0.113.1"));
    let asked = discovery.poll_resolve().unwrap();
    discovery.handle_resolved(now, &asked, &[address("203.0.113.1:3478")]);
    for _ in 0..20 {
        let Some(due) = discovery.poll_timeout() else { break };
        now = due;
        discovery.handle_timeout(now);
    }
    assert!(discovery.is_complete());
    assert_eq!(discovery.known().count(), 0);
}
