use std::net::SocketAddr;

use proptest::prelude::*;

use super::*;

const PASSWORD: &[u8] = b"VOkJxbRl1RmTxUk/WvJxBt";
const ID: TransactionId =
    TransactionId([0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae]);

/// Request of RFC 5769 §2.1.
const REQUEST: &str = "000100582112a442b7e7a701bc34d686fa87dfae\
    802200105354554e207465737420636c69656e74\
    002400046e0001ff80290008932ff9b151263b36\
    000600096576746a3a68367659202020\
    000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2\
    80280004e57a3bcf";
/// Response of RFC 5769 §2.2.
const RESPONSE_V4: &str = "0101003c2112a442b7e7a701bc34d686fa87dfae\
    8022000b7465737420766563746f7220\
    002000080001a147e112a643\
    000800142b91f599fd9e90c38c7489f92af9ba53f06be7d7\
    80280004c07d4c96";
/// Response of RFC 5769 §2.3.
const RESPONSE_V6: &str = "010100482112a442b7e7a701bc34d686fa87dfae\
    8022000b7465737420766563746f7220\
    002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9\
    00080014a382954e4be67bf11784c97c8292c275bfe3ed41\
    80280004c8fb0b4c";
/// Request of RFC 5769 §2.4.
const LONG_TERM: &str = "000100602112a44278ad3433c6ad72c029da412e\
    00060012e3839ee38388e383aae38383e382afe382b90000\
    0015001c662f2f3439396b39353464364f4c33346f4c394653547679363473 41\
    0014000b6578616d706c652e6f726700\
    00080014f67024656dd64a3e02b8e0712e85c9a28ca89666";

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u32> = hex.chars().filter_map(|c| c.to_digit(16)).collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap()).collect()
}

#[test]
fn the_vectors_of_rfc_5769_are_read() {
    let request = bytes(REQUEST);
    let message = Message::parse(&request).unwrap();
    assert_eq!((message.class(), message.method()), (Class::Request, Method::Binding));
    assert_eq!(message.id(), ID);
    assert_eq!(message.text(attribute::SOFTWARE), Ok(Some("STUN test client")));
    assert_eq!(message.text(attribute::USERNAME), Ok(Some("evtj:h6vY")));
    assert!(message.has_fingerprint());
    assert!(message.integrity_matches(PASSWORD, Integrity::Sha1));
    assert!(!message.integrity_matches(b"another", Integrity::Sha1));

    for (hex, want) in [
        (RESPONSE_V4, "192.0.2.1:32853"),
        (RESPONSE_V6, "[2001:db8:1234:5678:11:2233:4455:6677]:32853"),
    ] {
        let response = bytes(hex);
        let message = Message::parse(&response).unwrap();
        assert_eq!((message.class(), message.method()), (Class::Success, Method::Binding));
        assert_eq!(message.text(attribute::SOFTWARE), Ok(Some("test vector")));
        let mapped = message.xor_address(attribute::XOR_MAPPED_ADDRESS).unwrap();
        assert_eq!(mapped, Some(want.parse().unwrap()));
        assert!(message.has_fingerprint());
        assert!(message.integrity_matches(PASSWORD, Integrity::Sha1));
    }
}

#[test]
fn the_long_term_vector_of_rfc_5769_is_read() {
    let request = bytes(LONG_TERM);
    let message = Message::parse(&request).unwrap();
    let username = message.text(attribute::USERNAME).unwrap().unwrap();
    let realm = message.text(attribute::REALM).unwrap().unwrap();
    assert_eq!((username, realm), ("マトリックス", "example.org"));
    assert!(message.has_valid_integrity(&long_term_key(username, realm, "TheMatrIX")));
    assert!(!message.has_valid_integrity(&long_term_key(username, realm, "thematrix")));
}

#[test]
fn the_vectors_of_rfc_5769_are_written() {
    let mut out = vec![0xEE; 3];
    MessageWriter::new(&mut out, Class::Request, Method::Binding, message_id(LONG_TERM))
        .attribute(attribute::USERNAME, "マトリックス".as_bytes())
        .attribute(attribute::NONCE, b"f//499k954d6OL34oL9FSTvy64sA")
        .attribute(attribute::REALM, b"example.org")
        .integrity(&long_term_key("マトリックス", "example.org", "TheMatrIX"))
        .finish()
        .unwrap();
    assert_eq!(&out[3..], bytes(LONG_TERM));

    // The vector pads with spaces, where RFC 8489 §14 now demands zeros.
    let mut out = Vec::new();
    MessageWriter::new(&mut out, Class::Success, Method::Binding, ID)
        .attribute(attribute::SOFTWARE, b"test vector ")
        .xor_address(attribute::XOR_MAPPED_ADDRESS, "192.0.2.1:32853".parse().unwrap())
        .finish()
        .unwrap();
    assert_eq!(out[20 + 16..], bytes(RESPONSE_V4)[20 + 16..20 + 28]);
}

#[test]
fn padding_is_ignored_whatever_its_bytes() {
    for len in 0_usize..=5 {
        let value = "x".repeat(len);
        let mut out = Vec::new();
        MessageWriter::new(&mut out, Class::Request, Method::Allocate, ID)
            .attribute(attribute::SOFTWARE, value.as_bytes())
            .u32(attribute::LIFETIME, 1800)
            .attribute(attribute::REALM, value.as_bytes())
            .finish()
            .unwrap();
        let padding = len.next_multiple_of(4) - len;
        let first = 20 + 4 + len;
        for byte in [0, 1, b' ', b'x', 0x80, 0xFF] {
            let mut padded = out.clone();
            padded[first..first + padding].fill(byte);
            let last = padded.len() - padding;
            padded[last..].fill(byte);
            let message = Message::parse(&padded).unwrap();
            assert_eq!(message.text(attribute::SOFTWARE), Ok(Some(&*value)), "{len} {byte:#x}");
            assert_eq!(message.u32(attribute::LIFETIME), Ok(Some(1800)), "{len} {byte:#x}");
            assert_eq!(message.text(attribute::REALM), Ok(Some(&*value)), "{len} {byte:#x}");
            assert_eq!(message.attributes().count(), 3, "{len} {byte:#x}");
        }
    }
}

fn message_id(hex: &str) -> TransactionId {
    Message::parse(&bytes(hex)).unwrap().id()
}

#[test]
fn attributes_behind_the_integrity_are_not_returned() {
    let key = long_term_key("anna", "realm", "secret");
    let mut out = Vec::new();
    MessageWriter::new(&mut out, Class::Request, Method::Refresh, ID)
        .u32(attribute::LIFETIME, 600)
        .integrity(&key)
        .u32(attribute::LIFETIME, 0)
        .attribute(attribute::XOR_PEER_ADDRESS, &[0; 8])
        .attribute(0x7ABC, &[])
        .fingerprint()
        .finish()
        .unwrap();
    let message = Message::parse(&out);
    // A fingerprint is checked against the length that includes it.
    let message = message.unwrap();
    assert!(message.has_valid_integrity(&key));
    assert_eq!(message.u32(attribute::LIFETIME), Ok(Some(600)));
    assert_eq!(message.first(attribute::XOR_PEER_ADDRESS), None);
    assert_eq!(message.unknown_required(&[attribute::LIFETIME]).count(), 0);
    assert_eq!(message.attributes().count(), 1);
}

#[test]
fn nothing_is_covered_by_a_second_integrity() {
    let key = long_term_key("anna", "realm", "secret");
    let mut out = Vec::new();
    MessageWriter::new(&mut out, Class::Request, Method::Refresh, ID)
        .attribute(attribute::MESSAGE_INTEGRITY, &[0; 20])
        .u32(attribute::LIFETIME, 0)
        .integrity(&key)
        .finish()
        .unwrap();
    let message = Message::parse(&out).unwrap();
    assert!(!message.has_valid_integrity(&key));
    assert_eq!(message.attributes().count(), 0);

    let mut out = Vec::new();
    MessageWriter::new(&mut out, Class::Request, Method::Refresh, ID)
        .attribute(attribute::MESSAGE_INTEGRITY_SHA256, &[0; 32])
        .u32(attribute::LIFETIME, 0)
        .integrity(&key)
        .finish()
        .unwrap();
    let message = Message::parse(&out).unwrap();
    assert!(!message.has_valid_integrity(&key), "nothing behind SHA-256 is covered");
    assert_eq!(message.attributes().count(), 0);
}

#[test]
fn either_integrity_covers_the_attributes_before_it() {
    use Integrity::{Sha1, Sha256};
    let names = ["anna", "realm", "secret"];
    let sha1 = LongTermKey::new(PasswordAlgorithm::Sha256, names, Sha1);
    let sha256 = sha1.with_integrity(Sha256);
    for (what, written, wanted, good) in [
        ("none", &[][..], None, [false, false]),
        ("SHA-1", &[&sha1][..], Some(Sha1), [true, false]),
        ("SHA-256", &[&sha256], Some(Sha256), [false, true]),
        ("both in order", &[&sha1, &sha256], Some(Sha256), [true, true]),
        ("SHA-1 behind SHA-256", &[&sha256, &sha1], Some(Sha256), [false, true]),
        ("two SHA-256", &[&sha256, &sha256], Some(Sha256), [false, true]),
    ] {
        let mut out = Vec::new();
        let mut writer = MessageWriter::new(&mut out, Class::Request, Method::Refresh, ID);
        writer.u32(attribute::LIFETIME, 600);
        written.iter().for_each(|key| {
            writer.integrity(key);
        });
        writer.u32(attribute::CHANNEL_NUMBER, 1).fingerprint().finish().unwrap();
        let message = Message::parse(&out).unwrap();
        assert_eq!(message.integrity(), wanted, "{what}");
        assert_eq!([&sha1, &sha256].map(|key| message.has_valid_integrity(key)), good, "{what}");
        let shown = if written.is_empty() { 2 } else { 1 };
        assert_eq!(message.attributes().count(), shown, "{what}");
    }
}

/// The vector of RFC 8489 §B.1, corrected by erratum 6268: the password is meant as prepared.
#[test]
fn the_vector_of_rfc_8489_is_written() {
    let names = ["\u{30DE}\u{30C8}\u{30EA}\u{30C3}\u{30AF}\u{30B9}", "example.org", "TheMatrIX"];
    let key = LongTermKey::new(PasswordAlgorithm::Sha256, names, Integrity::Sha256);
    let id = bytes("78ad3433c6ad72c029da412e").try_into().unwrap();
    let mut out = Vec::new();
    MessageWriter::new(&mut out, Class::Request, Method::Binding, TransactionId(id))
        .attribute(attribute::USERHASH, &userhash(names[0], names[1]))
        .attribute(attribute::NONCE, b"obMatJos2AAACf//499k954d6OL34oL9FSTvy64sA")
        .attribute(attribute::REALM, names[1].as_bytes())
        .attribute(attribute::PASSWORD_ALGORITHM, &PasswordAlgorithm::Sha256.encode())
        .integrity(&key)
        .finish()
        .unwrap();
    let hash = "4a3cf38fef6992bda952c67804 17da0f24819415569e60b205c46e41407f1704";
    assert_eq!(out[HEADER_LEN + 4..][..32], bytes(hash));
    let tag = "b5c7bf005b6c52a21c51c5e892f81924136296cb927c43149309278cc6518e65";
    assert_eq!(out[out.len() - INTEGRITY_SHA256_LEN..], bytes(tag));
}

#[test]
fn an_hmac_sha256_of_another_length_is_invalid() {
    let names = ["anna", "realm", "secret"];
    let key = LongTermKey::new(PasswordAlgorithm::Sha256, names, Integrity::Sha256);
    let mut whole = Vec::new();
    let mut writer = MessageWriter::new(&mut whole, Class::Request, Method::Refresh, ID);
    writer.integrity(&key).finish().unwrap();
    let tag = whole[HEADER_LEN + 4..].to_vec();
    for len in [0, 4, 16, 20, 28, 31] {
        let mut out = Vec::new();
        MessageWriter::new(&mut out, Class::Request, Method::Refresh, ID)
            .attribute(attribute::MESSAGE_INTEGRITY_SHA256, &tag[..len])
            .finish()
            .unwrap();
        assert!(!Message::parse(&out).unwrap().has_valid_integrity(&key), "{len}");
    }
}

#[test]
fn malformed_messages_are_refused_with_their_reason() {
    let good = bytes(RESPONSE_V4);
    let edit = |at: usize, value: u8| {
        let mut bytes = good.clone();
        bytes[at] = value;
        bytes
    };
    for (what, bytes, want) in [
        ("empty", vec![], ParseError::Length),
        ("short header", good[..19].to_vec(), ParseError::Length),
        ("cut off", good[..good.len() - 4].to_vec(), ParseError::Length),
        ("trailing byte", [&good[..], &[0]].concat(), ParseError::Length),
        ("length not in words", edit(3, 0x3d), ParseError::Length),
        ("channel data", edit(0, 0x40), ParseError::NotStun),
        ("another cookie", edit(4, 0x22), ParseError::NotStun),
        ("unknown method", edit(1, 0x0D), ParseError::UnknownMethod(0x00D)),
        ("attribute past the end", edit(good.len() - 5, 8), ParseError::Truncated),
        ("flipped bit", edit(25, 0x64), ParseError::Fingerprint),
    ] {
        assert_eq!(Message::parse(&bytes).map(|_| ()), Err(want), "{what}");
    }
}

#[test]
fn an_attribute_of_the_wrong_size_is_named() {
    let mut out = Vec::new();
    MessageWriter::new(&mut out, Class::Request, Method::Allocate, ID)
        .attribute(attribute::LIFETIME, &[0; 3])
        .attribute(attribute::USERNAME, &[0xFF])
        .attribute(attribute::XOR_PEER_ADDRESS, &[0, 1, 0, 0, 1, 2, 3])
        .attribute(attribute::XOR_MAPPED_ADDRESS, &[0, 3, 0, 0, 1, 2, 3, 4])
        .attribute(attribute::LIFETIME, &[0; 4])
        .finish()
        .unwrap();
    let message = Message::parse(&out).unwrap();
    assert_eq!(message.u32(attribute::LIFETIME), Err(BadAttribute(attribute::LIFETIME)));
    assert_eq!(message.text(attribute::USERNAME), Err(BadAttribute(attribute::USERNAME)));
    for kind in [attribute::XOR_PEER_ADDRESS, attribute::XOR_MAPPED_ADDRESS] {
        assert_eq!(message.xor_address(kind), Err(BadAttribute(kind)));
    }
    assert_eq!(message.u32(attribute::REQUESTED_TRANSPORT), Ok(None));
}

#[test]
fn error_codes_are_between_300_and_699() {
    for (value, want) in [
        (&[0, 0, 4, 38][..], Some(438)),
        (&[0, 0, 6, 99, b'x'][..], Some(699)),
        (&[0, 0, 0xF8 | 3, 0][..], Some(300)),
        (&[0, 0, 2, 0][..], None),
        (&[0, 0, 7, 0][..], None),
        (&[0, 0, 4, 100][..], None),
        (&[0, 0, 4][..], None),
    ] {
        assert_eq!(ErrorCode::decode(value).map(ErrorCode::value), want, "{value:?}");
    }
    assert_eq!(ErrorCode::decode(&ErrorCode::STALE_NONCE.encode()), Some(ErrorCode::STALE_NONCE));
}

#[test]
fn a_message_that_does_not_fit_is_not_written() {
    let mut out = vec![1, 2, 3];
    let written = MessageWriter::new(&mut out, Class::Indication, Method::Send, ID)
        .attribute(attribute::DATA, &vec![0; 65_529])
        .finish();
    assert_eq!((written, out), (Err(TooLong), vec![1, 2, 3]));
    let mut out = Vec::new();
    MessageWriter::new(&mut out, Class::Indication, Method::Send, ID)
        .attribute(attribute::DATA, &vec![0; 65_528])
        .finish()
        .unwrap();
    assert!(Message::parse(&out).is_ok());
}

fn any_method() -> impl Strategy<Value = (Class, Method)> {
    let class = prop_oneof![
        Just(Class::Request),
        Just(Class::Indication),
        Just(Class::Success),
        Just(Class::Error)
    ];
    let method = prop_oneof![
        Just(Method::Binding),
        Just(Method::Allocate),
        Just(Method::Refresh),
        Just(Method::Send),
        Just(Method::Data),
        Just(Method::CreatePermission),
        Just(Method::ChannelBind)
    ];
    (class, method)
}

proptest! {
    #[test]
    fn reading_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        read_everything(&bytes);
    }

    #[test]
    fn reading_a_damaged_message_never_panics(at in 0_usize..108, value: u8, cut in 0_usize..108) {
        let mut message = bytes(REQUEST);
        message[at] = value;
        read_everything(&message);
        let body = (cut.max(20) - 20) / 4 * 4;
        message.truncate(20 + body);
        message[2..4].copy_from_slice(&u16::try_from(body).unwrap().to_be_bytes());
        read_everything(&message);
    }

    #[test]
    fn a_written_message_is_read_back(
        (class, method) in any_method(),
        id: [u8; 12],
        values in proptest::collection::vec(
            (0x7000_u16..0x8000, proptest::collection::vec(any::<u8>(), 0..40)), 0..8),
        addr: SocketAddr,
        sign: bool,
        seal: bool,
    ) {
        let key = long_term_key("anna", "realm", "secret");
        let addr = SocketAddr::new(addr.ip(), addr.port());
        let mut out = Vec::new();
        let mut writer = MessageWriter::new(&mut out, class, method, TransactionId(id));
        for (kind, value) in &values {
            writer.attribute(*kind, value);
        }
        writer.xor_address(attribute::XOR_PEER_ADDRESS, addr);
        if sign { writer.integrity(&key); }
        if seal { writer.fingerprint(); }
        writer.finish().unwrap();
        let message = Message::parse(&out).unwrap();
        prop_assert_eq!((message.class(), message.method()), (class, method));
        prop_assert_eq!(message.id(), TransactionId(id));
        prop_assert_eq!(message.xor_address(attribute::XOR_PEER_ADDRESS), Ok(Some(addr)));
        prop_assert_eq!(message.has_valid_integrity(&key), sign);
        prop_assert_eq!(message.has_fingerprint(), seal);
        let read: Vec<_> = message.attributes().map(|a| (a.kind, a.value.to_vec())).collect();
        prop_assert_eq!(&read[..values.len()], &values[..]);
    }
}

fn read_everything(bytes: &[u8]) {
    let Ok(message) = Message::parse(bytes) else { return };
    let key = long_term_key("anna", "realm", "secret");
    let _ = message.has_valid_integrity(&key);
    for found in message.attributes() {
        assert_eq!(&bytes[found.offset..found.offset + found.value.len()], found.value);
        let _ = (message.text(found.kind), message.u32(found.kind));
        let _ = (message.xor_address(found.kind), message.address(found.kind));
    }
    let _ = (message.error_code(), message.unknown_required(&[]).count());
}
