//! What proves that an answer is the server's (RFC 8489 §9.2.4).

use super::world::{PEER_V4, PEER_V6, REALM, World, addr, tuple};
use super::*;
use crate::REQUESTED_UDP;
use crate::stun::{
    ErrorCode, Integrity, LongTermKey, MessageWriter, PasswordAlgorithm, TransactionId, attribute,
};

type Fill = fn(&mut MessageWriter<'_>);
/// What it is, who asks for what, the code of the answer and whether that has integrity.
type Case = (&'static str, [&'static str; 3], Method, Fill, u16, bool);

/// Stands for a good one.
const NONCE: &str = "a nonce";

fn allocate(writer: &mut MessageWriter<'_>) {
    writer.u32(attribute::REQUESTED_TRANSPORT, REQUESTED_UDP);
}

/// Signed by a user, or by nobody if the name is empty, with a password and a nonce; and the key.
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
fn an_answer_is_made_with_the_key_of_its_request_once_that_is_known() {
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
            "what nobody knows",
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
        let challenge = world.server_gets(&from, &first).remove(0);
        let challenge = Message::parse(&challenge).unwrap();
        let nonce = challenge.text(attribute::NONCE).unwrap().unwrap();
        for &(what, [user, password, shown], method, fill, code, proved) in table {
            let shown = if shown == NONCE { nonce } else { shown };
            let (request, key) = request([user, password, shown], integrity, method, fill);
            let sent = world.server_gets(&from, &request);
            let [answer] = &sent[..] else { panic!("{what}: {} answers", sent.len()) };
            let answer = Message::parse(answer).unwrap();
            let got = answer.error_code().map_or(0, ErrorCode::value);
            assert_eq!(got, code, "{what} {integrity:?}");
            assert_eq!(answer.integrity(), proved.then_some(integrity), "{what} {integrity:?}");
            assert_eq!(answer.is_made_with(&key), proved, "{what} {integrity:?}");
        }
    }
}
