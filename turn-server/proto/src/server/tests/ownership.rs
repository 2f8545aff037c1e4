//! A living allocation can only be changed by the user that made it (RFC 8656 §5).

use super::world::{PEER_V4, REALM, World, addr, tuple};
use super::*;
use crate::REQUESTED_UDP;
use crate::stun::{ErrorCode, MessageWriter, TransactionId, attribute, long_term_key};

const CLIENT: &str = "198.51.100.7:4000";
const OTHER_PEER: &str = "192.0.2.10:7000";

/// Requests that change an allocation with a channel to [`PEER_V4`].
type Change = (&'static str, Method, fn(&mut MessageWriter<'_>));

const CHANGES: [Change; 6] = [
    ("release", Method::Refresh, |w| {
        w.u32(attribute::LIFETIME, 0);
    }),
    ("prolong", Method::Refresh, |w| {
        w.u32(attribute::LIFETIME, 3600);
    }),
    ("permit another peer", Method::CreatePermission, |w| {
        w.xor_address(attribute::XOR_PEER_ADDRESS, addr(OTHER_PEER));
    }),
    ("prolong a permission", Method::CreatePermission, |w| {
        w.xor_address(attribute::XOR_PEER_ADDRESS, addr(PEER_V4));
    }),
    ("bind a channel", Method::ChannelBind, |w| {
        w.u32(attribute::CHANNEL_NUMBER, 0x4001_0000)
            .xor_address(attribute::XOR_PEER_ADDRESS, addr(OTHER_PEER));
    }),
    ("prolong a channel", Method::ChannelBind, |w| {
        w.u32(attribute::CHANNEL_NUMBER, 0x4000_0000)
            .xor_address(attribute::XOR_PEER_ADDRESS, addr(PEER_V4));
    }),
];

/// Returns a world with an allocation of Anna's that is 100 s old and has a channel.
fn living(from: &FiveTuple) -> World {
    let mut world = World::new();
    let allocated = world.request(from, "anna", Method::Allocate, |w| {
        w.u32(attribute::REQUESTED_TRANSPORT, REQUESTED_UDP);
    });
    assert_eq!(allocated.code(), 0);
    let bound = world.request(from, "anna", Method::ChannelBind, |w| {
        w.u32(attribute::CHANNEL_NUMBER, 0x4000_0000)
            .xor_address(attribute::XOR_PEER_ADDRESS, addr(PEER_V4));
    });
    assert_eq!(bound.code(), 0);
    world.advance(Duration::from_secs(100));
    world
}

/// Returns lifetime, permissions and channels of an allocation, with their times of expiry.
fn state(world: &World, from: &FiveTuple) -> Option<String> {
    let (_, allocation) = world.server.table.get_by_client(from)?;
    let ends = (allocation.expires_at, &allocation.permissions, &allocation.channels);
    Some(format!("{ends:?}"))
}

/// Returns a request with a username and a nonce, signed if there is a password.
fn request((_, method, fill): Change, user: &str, password: Option<&str>, nonce: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = MessageWriter::new(&mut out, Class::Request, method, TransactionId([7; 12]));
    fill(&mut writer);
    writer
        .attribute(attribute::USERNAME, user.as_bytes())
        .attribute(attribute::REALM, REALM.as_bytes())
        .attribute(attribute::NONCE, nonce);
    if let Some(password) = password {
        writer.integrity(&long_term_key(user, REALM, password));
    }
    writer.finish().unwrap();
    out
}

#[test]
fn only_its_owner_changes_a_living_allocation() {
    for (who, user, password, code) in [
        ("no integrity", "anna", None, 401),
        ("a wrong password", "anna", Some("guess"), 401),
        ("no user", "eve", Some("eve's"), 401),
        ("another user", "bert", Some("bert's"), 441),
        ("the owner", "anna", Some("anna's"), 0),
    ] {
        for (transport, change) in
            [Transport::Udp, Transport::Tcp].into_iter().flat_map(|t| CHANGES.map(|c| (t, c)))
        {
            let what = format!("{who}: {} over {transport:?}", change.0);
            let from = tuple(transport, CLIENT);
            let mut world = living(&from);
            let before = state(&world, &from);
            let sent = world.send_to_server(&from, &request(change, user, None, &[0; 40]));
            let nonce = Message::parse(&sent[0]).unwrap().first(attribute::NONCE).unwrap().value;

            let sent = world.send_to_server(&from, &request(change, user, password, nonce));
            let [response] = &sent[..] else { panic!("{what}: {} responses", sent.len()) };
            let got = Message::parse(response).unwrap().error_code();
            assert_eq!(got.map_or(0, ErrorCode::value), code, "{what}");
            assert_eq!(state(&world, &from) == before, code != 0, "{what}");
        }
    }
}
