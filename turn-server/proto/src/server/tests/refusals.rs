//! Requests that the server refuses, and messages that it ignores.

use super::world::{PEER_V4, PEER_V6, REALM, SERVER, World, addr};
use super::{world, *};
use crate::REQUESTED_UDP;
use crate::stun::{
    ErrorCode, LongTermKey, MessageWriter, TransactionId, attribute, encode_xor_address,
    long_term_key,
};

type Fill = fn(&mut MessageWriter<'_>);

const CLIENT: &str = "198.51.100.7:4000";
const ID: TransactionId = TransactionId([5; 12]);

fn tuple(client: &str) -> FiveTuple {
    FiveTuple { transport: Transport::Udp, client: addr(client), server: addr(SERVER) }
}

fn key() -> LongTermKey {
    long_term_key("anna", REALM, "anna's")
}

/// Returns a signed request; `fill` writes the attributes of the method.
fn signed(nonce: &str, method: Method, fill: impl FnOnce(&mut MessageWriter<'_>)) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = MessageWriter::new(&mut out, Class::Request, method, ID);
    fill(&mut writer);
    writer
        .attribute(attribute::USERNAME, b"anna")
        .attribute(attribute::REALM, REALM.as_bytes())
        .attribute(attribute::NONCE, nonce.as_bytes())
        .integrity(&key())
        .finish()
        .unwrap();
    out
}

fn unsigned(method: Method, fill: impl FnOnce(&mut MessageWriter<'_>)) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = MessageWriter::new(&mut out, Class::Request, method, ID);
    fill(&mut writer);
    writer.finish().unwrap();
    out
}

/// Returns the code of the only response, or 0 for success.
fn response(world: &mut World, from: &FiveTuple, request: &[u8]) -> u16 {
    let sent = world.send_to_server(from, request);
    let [response] = &sent[..] else { panic!("{} responses", sent.len()) };
    let message = Message::parse(response).unwrap();
    message.error_code().map_or(0, ErrorCode::value)
}

fn nonce(world: &mut World, from: &FiveTuple) -> String {
    let sent = world.send_to_server(from, &unsigned(Method::Allocate, allocate));
    let message = Message::parse(&sent[0]).unwrap();
    assert_eq!(message.error_code(), Some(ErrorCode::UNAUTHENTICATED));
    assert_eq!(message.text(attribute::REALM), Ok(Some(REALM)));
    message.text(attribute::NONCE).unwrap().unwrap().to_owned()
}

fn allocate(writer: &mut MessageWriter<'_>) {
    writer.u32(attribute::REQUESTED_TRANSPORT, REQUESTED_UDP);
}

#[test]
fn each_mistake_has_its_code() {
    const FAMILY: u16 = attribute::REQUESTED_ADDRESS_FAMILY;
    const PEER: u16 = attribute::XOR_PEER_ADDRESS;
    let before: &[(&str, Method, Fill, u16)] = &[
        ("allocate without transport", Method::Allocate, |_| {}, 400),
        (
            "allocate with short transport",
            Method::Allocate,
            |w| {
                w.attribute(attribute::REQUESTED_TRANSPORT, &[17]);
            },
            400,
        ),
        (
            "allocate with SCTP",
            Method::Allocate,
            |w| {
                w.u32(attribute::REQUESTED_TRANSPORT, 132 << 24);
            },
            442,
        ),
        (
            "allocate with an unknown family",
            Method::Allocate,
            |w| {
                allocate(w);
                w.u32(FAMILY, 0x0300_0000);
            },
            440,
        ),
        (
            "allocate with an unknown attribute",
            Method::Allocate,
            |w| {
                allocate(w);
                w.attribute(0x7ABC, &[]);
            },
            420,
        ),
        (
            "even port of no size",
            Method::Allocate,
            |w| {
                allocate(w);
                w.attribute(attribute::EVEN_PORT, &[]);
            },
            400,
        ),
        (
            "even port and a token",
            Method::Allocate,
            |w| {
                allocate(w);
                w.attribute(attribute::EVEN_PORT, &[0]);
                w.attribute(attribute::RESERVATION_TOKEN, &[0; 8]);
            },
            400,
        ),
        (
            "a token and a family",
            Method::Allocate,
            |w| {
                allocate(w);
                w.u32(FAMILY, 0x0100_0000).attribute(attribute::RESERVATION_TOKEN, &[0; 8]);
            },
            400,
        ),
        (
            "a short token",
            Method::Allocate,
            |w| {
                allocate(w);
                w.attribute(attribute::RESERVATION_TOKEN, &[0; 7]);
            },
            400,
        ),
        (
            "a made-up token",
            Method::Allocate,
            |w| {
                allocate(w);
                w.attribute(attribute::RESERVATION_TOKEN, &[0xC3, 0x50, 0, 0, 0, 0, 0, 0]);
            },
            508,
        ),
        ("refresh without allocation", Method::Refresh, |_| {}, 437),
        (
            "release without allocation",
            Method::Refresh,
            |w| {
                w.u32(attribute::LIFETIME, 0);
            },
            437,
        ),
        (
            "permission without allocation",
            Method::CreatePermission,
            |w| {
                w.xor_address(PEER, addr(PEER_V4));
            },
            437,
        ),
        (
            "channel without allocation",
            Method::ChannelBind,
            |w| {
                w.u32(attribute::CHANNEL_NUMBER, 0x4000_0000).xor_address(PEER, addr(PEER_V4));
            },
            437,
        ),
        ("allocate", Method::Allocate, allocate, 0),
    ];
    let after: &[(&str, Method, Fill, u16)] = &[
        (
            "refresh of another family",
            Method::Refresh,
            |w| {
                w.u32(FAMILY, 0x0200_0000);
            },
            443,
        ),
        (
            "refresh of its family",
            Method::Refresh,
            |w| {
                w.u32(FAMILY, 0x0100_0000);
            },
            0,
        ),
        (
            "refresh with a short lifetime",
            Method::Refresh,
            |w| {
                w.attribute(attribute::LIFETIME, &[0; 2]);
            },
            400,
        ),
        ("permission without peer", Method::CreatePermission, |_| {}, 400),
        (
            "permission for half an address",
            Method::CreatePermission,
            |w| {
                w.attribute(PEER, &[0, 1, 2]);
            },
            400,
        ),
        (
            "permission of another family",
            Method::CreatePermission,
            |w| {
                w.xor_address(PEER, addr(PEER_V6));
            },
            443,
        ),
        (
            "permission for a private peer",
            Method::CreatePermission,
            |w| {
                w.xor_address(PEER, addr("10.0.0.1:1"));
            },
            403,
        ),
        (
            "… hidden in IPv6",
            Method::CreatePermission,
            |w| {
                w.xor_address(PEER, addr("[::ffff:10.0.0.1]:1"));
            },
            403,
        ),
        (
            "permission for a good and a private peer",
            Method::CreatePermission,
            |w| {
                w.xor_address(PEER, addr(PEER_V4)).xor_address(PEER, addr("10.0.0.1:1"));
            },
            403,
        ),
        (
            "permission for two",
            Method::CreatePermission,
            |w| {
                w.xor_address(PEER, addr(PEER_V4)).xor_address(PEER, addr("192.0.2.10:1"));
            },
            0,
        ),
        (
            "channel without peer",
            Method::ChannelBind,
            |w| {
                w.u32(attribute::CHANNEL_NUMBER, 0x4000_0000);
            },
            400,
        ),
        (
            "channel without number",
            Method::ChannelBind,
            |w| {
                w.xor_address(PEER, addr(PEER_V4));
            },
            400,
        ),
        (
            "channel below the range",
            Method::ChannelBind,
            |w| {
                w.u32(attribute::CHANNEL_NUMBER, 0x3FFF_0000).xor_address(PEER, addr(PEER_V4));
            },
            400,
        ),
        (
            "channel above the range",
            Method::ChannelBind,
            |w| {
                w.u32(attribute::CHANNEL_NUMBER, 0x5000_0000).xor_address(PEER, addr(PEER_V4));
            },
            400,
        ),
        (
            "channel for a private peer",
            Method::ChannelBind,
            |w| {
                w.u32(attribute::CHANNEL_NUMBER, 0x4000_0000)
                    .xor_address(PEER, addr("127.0.0.1:1"));
            },
            403,
        ),
        (
            "channel for the relay's own other ports",
            Method::ChannelBind,
            |w| {
                w.u32(attribute::CHANNEL_NUMBER, 0x4000_0000)
                    .xor_address(PEER, addr("203.0.113.1:22"));
            },
            403,
        ),
        (
            "channel for port 0",
            Method::ChannelBind,
            |w| {
                w.u32(attribute::CHANNEL_NUMBER, 0x4000_0000)
                    .xor_address(PEER, addr("192.0.2.9:0"));
            },
            403,
        ),
        (
            "channel",
            Method::ChannelBind,
            |w| {
                w.u32(attribute::CHANNEL_NUMBER, 0x4000_0000).xor_address(PEER, addr(PEER_V4));
            },
            0,
        ),
        (
            "the same again",
            Method::ChannelBind,
            |w| {
                w.u32(attribute::CHANNEL_NUMBER, 0x4000_0000).xor_address(PEER, addr(PEER_V4));
            },
            0,
        ),
        (
            "its number for another",
            Method::ChannelBind,
            |w| {
                w.u32(attribute::CHANNEL_NUMBER, 0x4000_0000)
                    .xor_address(PEER, addr("192.0.2.10:1"));
            },
            400,
        ),
        (
            "its peer with another number",
            Method::ChannelBind,
            |w| {
                w.u32(attribute::CHANNEL_NUMBER, 0x4001_0000).xor_address(PEER, addr(PEER_V4));
            },
            400,
        ),
        ("data as a request", Method::Data, |_| {}, 400),
        ("a second refresh", Method::Refresh, |_| {}, 0),
        (
            "release",
            Method::Refresh,
            |w| {
                w.u32(attribute::LIFETIME, 0);
            },
            0,
        ),
        (
            "release again",
            Method::Refresh,
            |w| {
                w.u32(attribute::LIFETIME, 0);
            },
            437,
        ),
    ];
    let mut world = World::new();
    let from = tuple(CLIENT);
    let nonce = nonce(&mut world, &from);
    for (what, method, fill, code) in before.iter().chain(after) {
        assert_eq!(response(&mut world, &from, &signed(&nonce, *method, fill)), *code, "{what}");
    }
    assert_eq!((world.ports_taken(), world.quota_in_use()), (0, 0));
}

#[test]
fn channels_of_rfc_5766_are_accepted_if_configured() {
    for (rfc5766_channels, number, code) in [
        (false, 0x4FFF, 0),
        (false, 0x5000, 400),
        (true, 0x5000, 0),
        (true, 0x7FFE, 0),
        (true, 0x7FFF, 400),
    ] {
        let mut world = World::new();
        let settings = ReloadableConfig { rfc5766_channels, ..world::credentials() };
        let from = tuple(CLIENT);
        world.request(&from, "anna", Method::Allocate, allocate);
        world.server.set_reloadable(world.now, settings);
        let response = world.request(&from, "anna", Method::ChannelBind, |writer| {
            writer
                .u32(attribute::CHANNEL_NUMBER, number << 16)
                .xor_address(attribute::XOR_PEER_ADDRESS, addr("1.1.1.1:1"));
        });
        assert_eq!(response.code(), code, "{rfc5766_channels} {number:#x}");
    }
}

#[test]
fn a_second_allocation_or_a_foreign_one_is_refused() {
    let mut world = World::new();
    let from = tuple(CLIENT);
    let nonce = nonce(&mut world, &from);
    assert_eq!(response(&mut world, &from, &signed(&nonce, Method::Allocate, allocate)), 0);
    // Another transaction of the same client.
    let another = |username: &str, method: Method| {
        let mut out = Vec::new();
        let key = long_term_key(username, REALM, &format!("{username}'s"));
        MessageWriter::new(&mut out, Class::Request, method, TransactionId([6; 12]))
            .u32(attribute::REQUESTED_TRANSPORT, REQUESTED_UDP)
            .attribute(attribute::USERNAME, username.as_bytes())
            .attribute(attribute::REALM, REALM.as_bytes())
            .attribute(attribute::NONCE, nonce.as_bytes())
            .integrity(&key)
            .finish()
            .unwrap();
        out
    };
    assert_eq!(response(&mut world, &from, &another("anna", Method::Allocate)), 437);
    assert_eq!(response(&mut world, &from, &another("bert", Method::Refresh)), 441);
    assert_eq!(response(&mut world, &from, &another("anna", Method::Refresh)), 0);
    assert_eq!(world.server.allocations(), 1);
}

#[test]
fn a_client_without_a_password_is_challenged_and_costs_nothing() {
    let mut world = World::new();
    let from = tuple(CLIENT);
    let good = nonce(&mut world, &from);
    let tampered = {
        let mut bytes = good.clone().into_bytes();
        let last = bytes.len() - 1;
        bytes[last] = if bytes[last] == b'A' { b'B' } else { b'A' };
        String::from_utf8(bytes).unwrap()
    };
    let with = |username: &str, password: &str, nonce: &str| {
        let mut out = Vec::new();
        MessageWriter::new(&mut out, Class::Request, Method::Allocate, ID)
            .u32(attribute::REQUESTED_TRANSPORT, REQUESTED_UDP)
            .attribute(attribute::USERNAME, username.as_bytes())
            .attribute(attribute::REALM, REALM.as_bytes())
            .attribute(attribute::NONCE, nonce.as_bytes())
            .integrity(&long_term_key(username, REALM, password))
            .finish()
            .unwrap();
        out
    };
    let bare = unsigned(Method::Allocate, |w| {
        w.integrity(&key());
    });
    for (what, request, code) in [
        ("no integrity", unsigned(Method::Allocate, allocate), 401),
        ("integrity alone", bare, 400),
        ("wrong password", with("anna", "guess", &good), 401),
        ("unknown user", with("eve", "eve's", &good), 401),
        ("made-up nonce", with("anna", "anna's", "made up"), 438),
        ("empty nonce", with("anna", "anna's", ""), 438),
        ("tampered nonce", with("anna", "anna's", &tampered), 438),
        ("long nonce", with("anna", "anna's", &format!("{good}AAAA")), 438),
    ] {
        assert_eq!(response(&mut world, &from, &request), code, "{what}");
    }
    // The nonce belongs to one address, port and transport.
    for elsewhere in [
        tuple("198.51.100.8:4000"),
        tuple("198.51.100.7:4001"),
        FiveTuple { transport: Transport::Tcp, ..tuple(CLIENT) },
    ] {
        assert_eq!(response(&mut world, &elsewhere, &with("anna", "anna's", &good)), 438);
    }
    world.advance(Duration::from_secs(NONCE_LIFETIME_S + 1));
    assert_eq!(response(&mut world, &from, &with("anna", "anna's", &good)), 438, "an hour later");
    assert_eq!((world.server.allocations(), world.quota_in_use()), (0, 0));
    assert_eq!(world.server.poll_timeout(), None);
}

#[test]
fn attributes_behind_the_integrity_have_no_effect() {
    let mut world = World::new();
    let from = tuple(CLIENT);
    let nonce = nonce(&mut world, &from);
    assert_eq!(response(&mut world, &from, &signed(&nonce, Method::Allocate, allocate)), 0);
    let append = |request: Vec<u8>, kind: u16, value: &[u8]| {
        // An attacker on the path can do this, since the length is not covered.
        let mut out = request;
        out.extend_from_slice(&kind.to_be_bytes());
        out.extend_from_slice(&u16::try_from(value.len()).unwrap().to_be_bytes());
        out.extend_from_slice(value);
        let body = u16::try_from(out.len() - 20).unwrap();
        out[2..4].copy_from_slice(&body.to_be_bytes());
        out
    };
    let refresh = signed(&nonce, Method::Refresh, |_| {});
    let released = append(refresh, attribute::LIFETIME, &[0; 4]);
    assert_eq!(response(&mut world, &from, &released), 0);
    assert_eq!(world.server.allocations(), 1, "a lifetime of 0 was not honoured");

    let permit = signed(&nonce, Method::CreatePermission, |_| {});
    let (peer, len) = encode_xor_address(addr(PEER_V4), ID);
    let permit = append(permit, attribute::XOR_PEER_ADDRESS, &peer[..len]);
    assert_eq!(response(&mut world, &from, &permit), 400, "a peer was not honoured");
}

#[test]
fn only_requests_are_answered() {
    let mut world = World::new();
    let from = tuple(CLIENT);
    let message = |class, method| {
        let mut out = Vec::new();
        MessageWriter::new(&mut out, class, method, ID).finish().unwrap();
        out
    };
    for (what, bytes) in [
        ("nothing", vec![]),
        ("text", b"hello".to_vec()),
        ("rtp", vec![0x80; 40]),
        ("dtls", vec![0x16; 40]),
        ("channel data without allocation", vec![0x40, 0, 0, 0]),
        ("a success", message(Class::Success, Method::Binding)),
        ("an error", message(Class::Error, Method::Allocate)),
        ("a binding indication", message(Class::Indication, Method::Binding)),
        ("a send without allocation", message(Class::Indication, Method::Send)),
        ("half a message", message(Class::Request, Method::Binding)[..12].to_vec()),
        (
            "an unknown method",
            vec![0, 0x0D, 0, 0, 0x21, 0x12, 0xA4, 0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        ),
    ] {
        assert!(world.send_to_server(&from, &bytes).is_empty(), "{what}");
        assert!(world.sent_to_peers.is_empty(), "{what}");
    }
}

#[test]
fn lifetimes_stay_within_bounds() {
    let mut world = World::new();
    let from = tuple(CLIENT);
    let nonce = nonce(&mut world, &from);
    for (requested, granted) in
        [(None, 600), (Some(1), 600), (Some(1000), 1000), (Some(u32::MAX), 3600)]
    {
        let request = signed(&nonce, Method::Allocate, |w| {
            allocate(w);
            requested.into_iter().for_each(|s| {
                w.u32(attribute::LIFETIME, s);
            });
        });
        let sent = world.send_to_server(&from, &request);
        let message = Message::parse(&sent[0]).unwrap();
        assert_eq!(message.u32(attribute::LIFETIME), Ok(Some(granted)), "{requested:?}");
        assert!(message.has_valid_integrity(&key()));
        let release = signed(&nonce, Method::Refresh, |w| {
            w.u32(attribute::LIFETIME, 0);
        });
        assert_eq!(response(&mut world, &from, &release), 0);
    }
}

#[test]
fn peers_and_channels_of_one_allocation_are_bounded() {
    let mut world = World::new();
    let from = tuple(CLIENT);
    let nonce = nonce(&mut world, &from);
    assert_eq!(response(&mut world, &from, &signed(&nonce, Method::Allocate, allocate)), 0);
    for n in 0..=MAX_CHANNELS {
        let n16 = u32::try_from(n).unwrap();
        let request = signed(&nonce, Method::ChannelBind, |w| {
            w.u32(attribute::CHANNEL_NUMBER, (0x4000 + n16) << 16);
            let port = u16::try_from(n + 1).unwrap();
            w.xor_address(attribute::XOR_PEER_ADDRESS, SocketAddr::new(addr(PEER_V4).ip(), port));
        });
        let code = if n < MAX_CHANNELS { 0 } else { 508 };
        assert_eq!(response(&mut world, &from, &request), code, "channel {n}");
    }
    for n in 0..=MAX_PERMISSIONS {
        let peer = SocketAddr::new(IpAddr::from([192, 0, 2, u8::try_from(n).unwrap()]), 1);
        let request = signed(&nonce, Method::CreatePermission, |w| {
            w.xor_address(attribute::XOR_PEER_ADDRESS, peer);
        });
        // One permission is there already, for the channels' peer.
        let code = if n < MAX_PERMISSIONS { 0 } else { 508 };
        assert_eq!(response(&mut world, &from, &request), code, "permission {n}");
    }
    let (_, allocation) = world.server.table.get_by_client(&from).unwrap();
    assert_eq!((allocation.channels.len(), allocation.permissions.len()), (64, 128));
    let many = signed(&nonce, Method::CreatePermission, |w| {
        (0..=MAX_PEERS_PER_REQUEST).for_each(|_| {
            w.xor_address(attribute::XOR_PEER_ADDRESS, addr(PEER_V4));
        });
    });
    assert_eq!(response(&mut world, &from, &many), 508);
}
