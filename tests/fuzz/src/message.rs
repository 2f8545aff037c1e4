//! The target for STUN messages, which are read and written again.

use std::time::Instant;

use porthole_turn_proto::stun::{Message, MessageWriter, attribute, long_term_key};
use porthole_turn_proto::{ClientConfig, StunClient, Transport, TurnClient};

/// Checks that no message makes a reader or a client panic, and that a message that was read can
/// be written and read again.
pub fn message(data: &[u8]) {
    let now = Instant::now();
    let _ = StunClient::new(now).handle_datagram(data);
    let config = ClientConfig::new("anna".to_owned(), "secret".to_owned(), Transport::Udp);
    let mut client = TurnClient::new(config, now);
    // The first request has a random transaction id, which the input cannot contain: it is copied
    // into the response.
    let request = client.poll_transmit().unwrap_or_default();
    let mut response = data.to_vec();
    if let (Some(id), Some(requested)) = (response.get_mut(8..20), request.get(8..20)) {
        id.copy_from_slice(requested);
    }
    let _ = client.handle_datagram(now, &response);
    while client.poll_event().is_some() || client.poll_transmit().is_some() {}

    if let Ok(message) = Message::parse(data) {
        read(data, &message);
        rewrite(&message);
    }
}

fn read(data: &[u8], message: &Message<'_>) {
    let key = long_term_key("anna", "realm", "secret");
    let signed = message.has_valid_integrity(&key);
    assert!(!signed || message.has_integrity(), "valid integrity, but no integrity attribute");
    let mut end = 20;
    for found in message.attributes() {
        assert_eq!(data.get(found.offset..found.offset + found.value.len()), Some(found.value));
        assert!(found.offset >= end + 4, "attributes overlap");
        end = found.offset + found.value.len();
        let first = message.first(found.kind).expect("it is in the list");
        let _ = (message.text(found.kind), message.u32(found.kind), message.u64(found.kind));
        let _ = (message.xor_address(found.kind), message.address(found.kind));
        assert!(first.offset <= found.offset, "the first one is not first");
        assert!(
            found.kind != attribute::MESSAGE_INTEGRITY && found.kind != attribute::FINGERPRINT,
            "the attributes behind the covered part are returned"
        );
    }
    let _ = (message.error_code(), message.unknown_required(&[]).count());
}

fn rewrite(message: &Message<'_>) {
    let key = long_term_key("anna", "realm", "secret");
    let mut out = Vec::new();
    let mut writer = MessageWriter::new(&mut out, message.class(), message.method(), message.id());
    for found in message.attributes() {
        writer.attribute(found.kind, found.value);
    }
    writer.integrity(&key).fingerprint();
    if writer.finish().is_err() {
        return;
    }
    let again = Message::parse(&out).expect("what is written can be read");
    assert!(again.has_valid_integrity(&key) && again.has_fingerprint());
    let same = |m: &Message<'_>| (m.class(), m.method(), m.id());
    assert_eq!(same(&again), same(message));
    let pairs = again.attributes().zip(message.attributes());
    assert!(pairs.clone().all(|(a, b)| (a.kind, a.value) == (b.kind, b.value)));
    assert_eq!(pairs.count(), message.attributes().count());
}
