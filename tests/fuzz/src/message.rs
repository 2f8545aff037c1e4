//! STUN messages: reading, and writing what was read.

use std::time::Instant;

use porthole_turn_proto::stun::{Message, MessageWriter, attribute, long_term_key};
use porthole_turn_proto::{ClientConfig, StunClient, Transport, TurnClient};

/// No message makes a reader or a client panic, and what is read can be written and read again.
pub fn message(data: &[u8]) {
    let now = Instant::now();
    let _ = StunClient::new(now).handle_datagram(data);
    let config = ClientConfig::new("anna".to_owned(), "secret".to_owned(), Transport::Udp);
    let mut client = TurnClient::new(config, now);
    // Its first request has a transaction of its own, which nothing in here guesses: so the
    // answer is made to fit.
    let request = client.poll_transmit().unwrap_or_default();
    let mut answer = data.to_vec();
    if let (Some(id), Some(asked)) = (answer.get_mut(8..20), request.get(8..20)) {
        id.copy_from_slice(asked);
    }
    let _ = client.handle_datagram(now, &answer);
    while client.poll_event().is_some() || client.poll_transmit().is_some() {}

    if let Ok(message) = Message::parse(data) {
        read(data, &message);
        rewrite(&message);
    }
}

fn read(data: &[u8], message: &Message<'_>) {
    let key = long_term_key("anna", "realm", "secret");
    let signed = message.is_made_with(&key);
    assert!(!signed || message.has_integrity(), "made with a key, without integrity");
    let mut end = 20;
    for found in message.attributes() {
        assert_eq!(data.get(found.offset..found.offset + found.value.len()), Some(found.value));
        assert!(found.offset >= end + 4, "attributes overlap");
        end = found.offset + found.value.len();
        let first = message.first(found.kind).expect("it is in the list");
        let _ = (message.text(found.kind), message.u32(found.kind), message.u64(found.kind));
        let _ = (message.xor_address(found.kind), message.address(found.kind));
        assert!(first.offset <= found.offset, "a later one came first");
        assert!(
            found.kind != attribute::MESSAGE_INTEGRITY && found.kind != attribute::FINGERPRINT,
            "what ends the covered part is shown in it"
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
    assert!(again.is_made_with(&key) && again.has_fingerprint());
    let same = |m: &Message<'_>| (m.class(), m.method(), m.id());
    assert_eq!(same(&again), same(message));
    let pairs = again.attributes().zip(message.attributes());
    assert!(pairs.clone().all(|(a, b)| (a.kind, a.value) == (b.kind, b.value)));
    assert_eq!(pairs.count(), message.attributes().count());
}
