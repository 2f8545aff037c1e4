//! The integrity of responses, which shows that they are the server's (RFC 8489 §9.2.4).

use super::world::{PEER_V4, PEER_V6, REALM, World, addr, tuple};
use super::*;
use crate::REQUESTED_UDP;
use crate::stun::{
    ErrorCode, Integrity, LongTermKey, MessageWriter, PasswordAlgorithm, TransactionId, attribute,
};

type Fill = fn(&mut MessageWriter<'_>);
/// A name, user, password and nonce, method and attributes, and the code of the response and
/// whether it has integrity.
type Case = (&'static str, [&'static str; 3], Method, Fill, u16, bool);

/// Stands for a valid nonce.
const NONCE: &str = "a nonce";

fn allocate(writer: &mut MessageWriter<'_>) {
    writer.u32(attribute::REQUESTED_TRANSPORT, REQUESTED_UDP);
}

/// Returns a signed request and its key. USERNAME is left out if the name is empty.
fn request(
    [user, password, nonce]: [&str; 3],
    integrity: Integrity,
    method: Method,
    fill: Fill,
) -> (Vec<u8>, LongTermKey) {
    let key = LongTermKey::new(PasswordAlgorithm::Md5, [user, REALM, password], integrity);
    let mut out = Vec::new();
    let mut writer = MessageWriter::new(&mut out, Class::Request, method, TransactionId([7; 12]));
    fill(&mut writer);
    if !user.is_empty() {
        writer.attribute(attribute::USERNAME, user.as_bytes());
    }
    writer
        .attribute(attribute::REALM, REALM.as_bytes())
        .attribute(attribute::NONCE, nonce.as_bytes())
        .integrity(&key)
        .finish()
        .unwrap();
    (out, key)
}

#[test]
fn a_response_is_signed_with_the_key_of_its_request_once_that_is_known() {
    const ANNA: [&str; 3] = ["anna", "anna's", NONCE];
    const BERT: [&str; 3] = ["bert", "bert's", NONCE];
    let table: &[Case] = &[
        ("a wrong password", ["anna", "guess", NONCE], Method::Allocate, allocate, 401, false),
        ("no user", ["eve", "eve's", NONCE], Method::Allocate, allocate, 401, false),
        ("a made-up nonce", ["anna", "anna's", "?"], Method::Allocate, allocate, 438, false),
        ("no name", ["", "anna's", NONCE], Method::Allocate, allocate, 400, false),
        ("no transport", ANNA, Method::Allocate, |_| {}, 400, true),
        ("no allocation yet", ANNA, Method::Refresh, |_| {}, 437, true),
        ("Allocate", ANNA, Method::Allocate, allocate, 0, true),
        ("the same again", ANNA, Method::Allocate, allocate, 0, true),
        ("another's", BERT, Method::Refresh, |_| {}, 441, true),
        ("Refresh", ANNA, Method::Refresh, |_| {}, 0, true),
        (
            "an unknown attribute",
            ANNA,
            Method::Refresh,
            |w| {
                w.attribute(0x7ABC, &[]);
            },
            420,
            true,
        ),
        (
            "a private peer",
            ANNA,
            Method::CreatePermission,
            |w| {
                w.xor_address(attribute::XOR_PEER_ADDRESS, addr("10.0.0.1:1"));
            },
            403,
            true,
        ),
        (
            "another family",
            ANNA,
            Method::CreatePermission,
            |w| {
                w.xor_address(attribute::XOR_PEER_ADDRESS, addr(PEER_V6));
            },
            443,
            true,
        ),
        (
            "CreatePermission",
            ANNA,
            Method::CreatePermission,
            |w| {
                w.xor_address(attribute::XOR_PEER_ADDRESS, addr(PEER_V4));
            },
            0,
            true,
        ),
        (
            "ChannelBind",
            ANNA,
            Method::ChannelBind,
            |w| {
                w.u32(attribute::CHANNEL_NUMBER, 0x4000_0000)
                    .xor_address(attribute::XOR_PEER_ADDRESS, addr(PEER_V4));
            },
            0,
            true,
        ),
    ];
    for integrity in [Integrity::Sha1, Integrity::Sha256] {
        let mut world = World::new();
        let from = tuple(Transport::Udp, "198.51.100.7:4000");
        let (first, _) = request(["anna", "", ""], integrity, Method::Allocate, allocate);
        let challenge = world.send_to_server(&from, &first).remove(0);
        let challenge = Message::parse(&challenge).unwrap();
        let nonce = challenge.text(attribute::NONCE).unwrap().unwrap();
        for &(what, [user, password, given], method, fill, code, signed) in table {
            let given = if given == NONCE { nonce } else { given };
            let (request, key) = request([user, password, given], integrity, method, fill);
            let sent = world.send_to_server(&from, &request);
            let [response] = &sent[..] else { panic!("{what}: {} responses", sent.len()) };
            let response = Message::parse(response).unwrap();
            let got = response.error_code().map_or(0, ErrorCode::value);
            assert_eq!(got, code, "{what} {integrity:?}");
            assert_eq!(response.integrity(), signed.then_some(integrity), "{what} {integrity:?}");
            assert_eq!(response.has_valid_integrity(&key), signed, "{what} {integrity:?}");
        }
    }
}
