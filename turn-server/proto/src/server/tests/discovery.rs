//! What a server with more than one address tells: RFC 5780, and where else to go.

use super::credentials::{anna, config, from, now, request};
use super::world::addr;
use super::*;
use crate::stun::{ErrorCode, MessageWriter, attribute, decode_address};

const PRIMARY: &str = "203.0.113.1:3478";
const ALTERNATE: &str = "203.0.113.2:3479";

fn discovery() -> Discovery {
    Discovery { primary: PRIMARY.parse().unwrap(), alternate: ALTERNATE.parse().unwrap() }
}

fn with_two_addresses() -> Server {
    let config = ServerConfig { discovery: Some(discovery()), ..config("porthole", anna()) };
    Server::new(config, Box::new(LocalQuota::new(QuotaLimits::default())))
}

/// From where to where the answer goes, and the answer.
fn ask(server: &mut Server, from: &FiveTuple, question: &[u8]) -> (FiveTuple, Vec<u8>) {
    server.handle_client(now(), from, question);
    let Some(Output::Send { client, bytes }) = server.poll_output() else { panic!("no answer") };
    (client, bytes)
}

fn at(server: &str) -> FiveTuple {
    let server = server.parse().unwrap();
    FiveTuple { server, ..from("198.51.100.7:4000", Transport::Udp) }
}

#[test]
fn the_answer_comes_from_the_address_and_port_that_were_asked_for() {
    let corners = ["203.0.113.1:3478", "203.0.113.1:3479", "203.0.113.2:3478", "203.0.113.2:3479"];
    for (asked, change, origin) in [
        (0, None, 0),
        (0, Some(0), 0),
        (0, Some(2), 1),
        (0, Some(4), 2),
        (0, Some(6), 3),
        (1, Some(4), 3),
        (2, Some(2), 3),
        (3, Some(6), 0),
        (3, None, 3),
    ] {
        let question = request(Method::Binding, |w| {
            if let Some(change) = change {
                w.u32(attribute::CHANGE_REQUEST, change);
            }
        });
        let (to, answer) = ask(&mut with_two_addresses(), &at(corners[asked]), &question);
        let message = Message::parse(&answer).unwrap();
        let origin: SocketAddr = corners[origin].parse().unwrap();
        assert_eq!((to.client, to.server), ("198.51.100.7:4000".parse().unwrap(), origin));
        assert_eq!(message.address(attribute::RESPONSE_ORIGIN), Ok(Some(origin)));
        let other = corners[3 - asked].parse().unwrap();
        assert_eq!(message.address(attribute::OTHER_ADDRESS), Ok(Some(other)));
        assert_eq!(message.xor_address(attribute::XOR_MAPPED_ADDRESS), Ok(Some(to.client)));
    }
}

#[test]
fn a_port_and_padding_are_honoured_but_not_together() {
    type Fill = fn(&mut MessageWriter<'_>);
    let port: Fill = |w| {
        w.attribute(attribute::RESPONSE_PORT, &[0x10, 0x00, 0, 0]);
    };
    let padding: Fill = |w| {
        w.attribute(attribute::PADDING, &[0; 1500]);
    };
    let both: Fill = |w| {
        w.attribute(attribute::RESPONSE_PORT, &[0x10, 0x00, 0, 0])
            .attribute(attribute::PADDING, &[0; 1500]);
    };
    let huge: Fill = |w| {
        w.attribute(attribute::PADDING, &[0; 60_000]);
    };
    let short: Fill = |w| {
        w.attribute(attribute::RESPONSE_PORT, &[1]);
    };
    let bad: Fill = |w| {
        w.attribute(attribute::CHANGE_REQUEST, &[0; 3]);
    };
    for (what, fill, client_port, padded, code) in [
        ("port", port, 0x1000, None, 0),
        ("padding", padding, 4000, Some(1500), 0),
        ("both", both, 4000, None, 400),
        ("more than a frame", huge, 4000, Some(9000), 0),
        ("half a port", short, 4000, None, 400),
        ("a short change", bad, 4000, None, 400),
    ] {
        let mut server = with_two_addresses();
        let (to, answer) = ask(&mut server, &at(PRIMARY), &request(Method::Binding, fill));
        let message = Message::parse(&answer).unwrap();
        assert_eq!(message.error_code().map_or(0, ErrorCode::value), code, "{what}");
        assert_eq!(to.client.port(), client_port, "{what}");
        assert_eq!(message.first(attribute::PADDING).map(|p| p.value.len()), padded, "{what}");
    }
}

/// Over IPv4 a plain question gets the two addresses more that RFC 5780 §7.2 wants; padding costs
/// as much as it brings.
#[test]
fn r5_what_discovery_adds_to_an_answer_is_known() {
    type Fill = fn(&mut MessageWriter<'_>);
    let table: [(&str, Fill, usize, usize); 4] = [
        ("Binding", |_| {}, 20, 56),
        (
            "CHANGE-REQUEST",
            |w| {
                w.u32(attribute::CHANGE_REQUEST, 6);
            },
            28,
            56,
        ),
        (
            "RESPONSE-PORT",
            |w| {
                w.attribute(attribute::RESPONSE_PORT, &[0x10, 0, 0, 0]);
            },
            28,
            56,
        ),
        (
            "PADDING",
            |w| {
                w.attribute(attribute::PADDING, &[0; 1500]);
            },
            1524,
            1560,
        ),
    ];
    println!("{:16} {:>5} {:>5}", "request", "in", "out");
    for (what, fill, asked, answered) in table {
        let question = request(Method::Binding, fill);
        let (_, answer) = ask(&mut with_two_addresses(), &at(PRIMARY), &question);
        println!("{what:16} {:5} {:5}", question.len(), answer.len());
        assert_eq!((question.len(), answer.len()), (asked, answered), "{what}");
    }
}

/// One address, another transport, a third address: CHANGE-REQUEST cannot be honoured and is
/// unknown, plain questions get plain answers.
#[test]
fn without_two_addresses_there_is_nothing_to_discover() {
    let change = |w: &mut MessageWriter<'_>| {
        w.u32(attribute::CHANGE_REQUEST, 6);
    };
    let one = || {
        Server::new(config("porthole", anna()), Box::new(LocalQuota::new(QuotaLimits::default())))
    };
    let tcp = FiveTuple { transport: Transport::Tcp, ..at(PRIMARY) };
    for (what, mut server, from) in [
        ("one address", one(), at(PRIMARY)),
        ("TCP", with_two_addresses(), tcp),
        ("a third address", with_two_addresses(), at("203.0.113.3:3478")),
        ("a third port", with_two_addresses(), at("203.0.113.1:3480")),
    ] {
        let (_, answer) = ask(&mut server, &from, &request(Method::Binding, change));
        let message = Message::parse(&answer).unwrap();
        assert_eq!(message.error_code(), Some(ErrorCode::UNKNOWN_ATTRIBUTE), "{what}");
        let (_, answer) = ask(&mut server, &from, &request(Method::Binding, |_| {}));
        assert_eq!(answer.len(), 32, "{what}");
    }
}

/// RFC 8489 §10.
#[test]
fn who_comes_when_there_is_no_room_is_sent_elsewhere() {
    let (v4, v6) = ("198.51.100.99:3478", "[2001:db8::99]:3478");
    for (what, alternates, total, drains, asked, wanted) in [
        ("room", &[v4][..], 9, false, "203.0.113.1:3478", (0, &[][..])),
        ("full", &[v4], 0, false, "203.0.113.1:3478", (300, &[v4])),
        ("draining", &[v4], 9, true, "203.0.113.1:3478", (300, &[v4])),
        ("another family", &[v6], 0, false, "203.0.113.1:3478", (508, &[])),
        ("its own family first", &[v6, v4], 0, false, "203.0.113.1:3478", (300, &[v4, v6])),
        ("itself", &[v4], 0, false, v4, (508, &[])),
        ("nobody", &[], 9, true, "203.0.113.1:3478", (508, &[])),
    ] {
        let alternate_servers = alternates.iter().map(|addr| addr.parse().unwrap()).collect();
        let settings = Reloadable { alternate_servers, ..anna() };
        let quota = LocalQuota::new(QuotaLimits { total, ..QuotaLimits::default() });
        let mut server = Server::new(config("porthole", settings), Box::new(quota));
        if drains {
            server.start_draining();
        }
        let from = at(asked);
        let answer = super::credentials::allocates(&mut server, &from);
        let message = Message::parse(&answer).unwrap();
        assert!(message.has_integrity(), "{what}: the way out is not for strangers to change");
        let named = message.attributes().filter(|a| a.kind == attribute::ALTERNATE_SERVER);
        let named = named.map(|a| decode_address(a.value).unwrap()).collect::<Vec<_>>();
        let code = message.error_code().map_or(0, ErrorCode::value);
        let (wanted_code, wanted) = wanted;
        assert_eq!(
            (code, named),
            (wanted_code, wanted.iter().map(|a| addr(a)).collect()),
            "{what}"
        );
    }
}
