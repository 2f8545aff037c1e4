//! NAT behavior discovery (RFC 5780), and alternate servers (RFC 8489 §10).

use super::credentials::{anna, config, from, now, request};
use super::world::addr;
use super::*;
use crate::stun::{ErrorCode, MessageWriter, attribute, decode_address};

const PRIMARY: &str = "203.0.113.1:3478";
const ALTERNATE: &str = "203.0.113.2:3479";

fn discovery() -> NatDiscovery {
    NatDiscovery { primary: PRIMARY.parse().unwrap(), alternate: ALTERNATE.parse().unwrap() }
}

fn with_two_addresses() -> Server {
    let config = ServerConfig { nat_discovery: Some(discovery()), ..config("porthole", anna()) };
    Server::new(config, Box::new(LocalQuota::new(QuotaLimits::default())))
}

/// Sends a request to the server. Returns the response and the addresses that it is sent between.
fn exchange(server: &mut Server, from: &FiveTuple, request_bytes: &[u8]) -> (FiveTuple, Vec<u8>) {
    server.handle_client(now(), from, request_bytes);
    let Some(Output::Send { client, bytes }) = server.poll_output() else { panic!("no response") };
    (client, bytes)
}

fn at(server: &str) -> FiveTuple {
    let server = server.parse().unwrap();
    FiveTuple { server, ..from("198.51.100.7:4000", Transport::Udp) }
}

#[test]
fn the_response_comes_from_the_requested_address_and_port() {
    let corners = ["203.0.113.1:3478", "203.0.113.1:3479", "203.0.113.2:3478", "203.0.113.2:3479"];
    for (at_corner, change, origin) in [
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
        let request_bytes = request(Method::Binding, |w| {
            if let Some(change) = change {
                w.u32(attribute::CHANGE_REQUEST, change);
            }
        });
        let (to, response) =
            exchange(&mut with_two_addresses(), &at(corners[at_corner]), &request_bytes);
        let message = Message::parse(&response).unwrap();
        let origin: SocketAddr = corners[origin].parse().unwrap();
        assert_eq!((to.client, to.server), ("198.51.100.7:4000".parse().unwrap(), origin));
        assert_eq!(message.address(attribute::RESPONSE_ORIGIN), Ok(Some(origin)));
        let other = corners[3 - at_corner].parse().unwrap();
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
        let (to, response) = exchange(&mut server, &at(PRIMARY), &request(Method::Binding, fill));
        let message = Message::parse(&response).unwrap();
        assert_eq!(message.error_code().map_or(0, ErrorCode::value), code, "{what}");
        assert_eq!(to.client.port(), client_port, "{what}");
        assert_eq!(message.first(attribute::PADDING).map(|p| p.value.len()), padded, "{what}");
    }
}

/// Over IPv4 the response is longer by the two addresses of RFC 5780 §7.3 and §7.4; padding is as
/// long as that of the request.
#[test]
fn r5_the_bytes_that_nat_discovery_adds_are_known() {
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
    for (what, fill, in_len, out_len) in table {
        let request_bytes = request(Method::Binding, fill);
        let (_, response) = exchange(&mut with_two_addresses(), &at(PRIMARY), &request_bytes);
        println!("{what:16} {:5} {:5}", request_bytes.len(), response.len());
        assert_eq!((request_bytes.len(), response.len()), (in_len, out_len), "{what}");
    }
}

/// With one address, over another transport, or at a third address, CHANGE-REQUEST is an unknown
/// attribute, and plain requests get plain responses.
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
        let (_, response) = exchange(&mut server, &from, &request(Method::Binding, change));
        let message = Message::parse(&response).unwrap();
        assert_eq!(message.error_code(), Some(ErrorCode::UNKNOWN_ATTRIBUTE), "{what}");
        let (_, response) = exchange(&mut server, &from, &request(Method::Binding, |_| {}));
        assert_eq!(response.len(), 32, "{what}");
    }
}

/// ALTERNATE-SERVER is that of RFC 8489 §10.
#[test]
fn a_client_that_cannot_be_served_is_sent_to_an_alternate_server() {
    let (v4, v6) = ("198.51.100.99:3478", "[2001:db8::99]:3478");
    for (what, alternates, total, drains, to, wanted) in [
        ("free", &[v4][..], 9, false, "203.0.113.1:3478", (0, &[][..])),
        ("full", &[v4], 0, false, "203.0.113.1:3478", (300, &[v4])),
        ("draining", &[v4], 9, true, "203.0.113.1:3478", (300, &[v4])),
        ("another family", &[v6], 0, false, "203.0.113.1:3478", (508, &[])),
        ("its own family first", &[v6, v4], 0, false, "203.0.113.1:3478", (300, &[v4, v6])),
        ("itself", &[v4], 0, false, v4, (508, &[])),
        ("no alternate", &[], 9, true, "203.0.113.1:3478", (508, &[])),
    ] {
        let alternate_servers = alternates.iter().map(|addr| addr.parse().unwrap()).collect();
        let settings = ReloadableConfig { alternate_servers, ..anna() };
        let quota = LocalQuota::new(QuotaLimits { total, ..QuotaLimits::default() });
        let mut server = Server::new(config("porthole", settings), Box::new(quota));
        if drains {
            server.start_draining();
        }
        let from = at(to);
        let response = super::credentials::allocate(&mut server, &from);
        let message = Message::parse(&response).unwrap();
        assert!(message.has_integrity(), "{what}: nobody else may redirect the client");
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
