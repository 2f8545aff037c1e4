use std::net::SocketAddr;
use std::sync::Arc;

use porthole_turn_proto::Transport;
use rcgen::{KeyPair, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};
use rtc_dtls::config::ConfigBuilder;
use rtc_dtls::endpoint::{Endpoint, EndpointEvent};
use rustls::pki_types::PrivateKeyDer;

use super::hello::{RECORD_HEADER, number};
use super::*;
use crate::tls::chain::Chain;
use crate::tls::test_certificates::{chain, rsa};

const SERVER: &str = "192.0.2.1:5349";

fn server(key: &KeyPair, now: Instant) -> Dtls {
    let identity = Identity::new(&chain(key)).unwrap();
    Dtls::new(Arc::new(CurrentIdentity::new(identity)), [7; 32], now).unwrap()
}

fn tuple(client: u32) -> FiveTuple {
    let client = SocketAddr::from((client.to_be_bytes(), 4000));
    FiveTuple { transport: Transport::Dtls, client, server: SERVER.parse().unwrap() }
}

impl Dtls {
    /// Receives a datagram while no client has an allocation.
    fn receive_unallocated(&mut self, now: Instant, from: &FiveTuple, bytes: &[u8]) -> Received {
        self.receive(now, from, bytes, |_| false)
    }
}

/// A client made of the engine's client side.
struct Client {
    endpoint: Endpoint,
    tuple: FiveTuple,
    received: Vec<Vec<u8>>,
    ready: bool,
    closed: bool,
}

impl Client {
    fn new(number: u32, now: Instant) -> Self {
        let server: SocketAddr = SERVER.parse().unwrap();
        let config = ConfigBuilder::default()
            .with_crypto_provider(rtc_crypto::default_provider().unwrap())
            .with_insecure_skip_verify(true)
            .build(true, None)
            .unwrap();
        let mut endpoint = Endpoint::new(tuple(number).client, Default::default(), None);
        endpoint.connect(now, server, Arc::new(config), None).unwrap();
        let tuple = tuple(number);
        Self { endpoint, tuple, received: Vec::new(), ready: false, closed: false }
    }

    fn poll(&mut self) -> Option<BytesMut> {
        self.endpoint.poll_transmit().map(|transmit| transmit.message)
    }

    fn receive(&mut self, now: Instant, bytes: &[u8]) {
        let server = self.tuple.server;
        for event in self.endpoint.read(now, server, None, BytesMut::from(bytes)).unwrap() {
            match event {
                EndpointEvent::HandshakeComplete => self.ready = true,
                EndpointEvent::ApplicationData(bytes) => self.received.push(bytes.to_vec()),
                EndpointEvent::PeerClosed => self.closed = true,
                _ => {}
            }
        }
    }

    fn send(&mut self, now: Instant, bytes: &[u8]) {
        self.endpoint.write(now, self.tuple.server, bytes).unwrap();
    }
}

/// Carries datagrams between both until neither sends more; `lost` is asked for each datagram.
/// Returns what the server received.
fn exchange(
    server: &mut Dtls,
    client: &mut Client,
    now: Instant,
    mut lost: impl FnMut() -> bool,
) -> Vec<Received> {
    let mut got = Vec::new();
    loop {
        let mut silent = true;
        while let Some(bytes) = client.poll() {
            silent = false;
            if !lost() {
                got.push(server.receive_unallocated(now, &client.tuple, &bytes));
            }
        }
        while let Some((to, bytes)) = server.poll_transmit() {
            silent = false;
            assert_eq!(to, client.tuple);
            if !lost() {
                client.receive(now, &bytes);
            }
        }
        if silent {
            got.retain(|received| *received != Received::Data(Vec::new()));
            return got;
        }
    }
}

fn connected(server: &mut Dtls, number: u32, now: Instant) -> Client {
    let mut client = Client::new(number, now);
    assert!(exchange(server, &mut client, now, || false).is_empty());
    assert!(client.ready);
    client
}

fn data(bytes: &[u8]) -> Received {
    Received::Data(vec![BytesMut::from(bytes)])
}

#[test]
fn bytes_come_out_as_they_went_in_with_either_key() {
    let now = Instant::now();
    for key in [KeyPair::generate().unwrap(), rsa()] {
        let mut server = server(&key, now);
        let mut client = connected(&mut server, 1, now);
        for len in [1, 1200, 9000] {
            let payload: Vec<u8> = (0..=255).cycle().take(len).collect();
            client.send(now, &payload);
            assert_eq!(exchange(&mut server, &mut client, now, || false), [data(&payload)]);
            assert!(server.send(now, &client.tuple, &payload));
            exchange(&mut server, &mut client, now, || false);
            assert_eq!(client.received.pop(), Some(payload));
        }
        assert!(!server.send(now, &client.tuple, &[0; 16_385]), "more than a record");
        assert!(!server.send(now, &tuple(2), &[0]), "an unknown client");
        server.close(now, &client.tuple);
        exchange(&mut server, &mut client, now, || false);
        assert!(client.closed && server.len() == 0);
    }
}

#[test]
fn a_key_that_the_engine_cannot_use_is_refused_with_a_reason() {
    let sec1 = PrivateKeyDer::Sec1(vec![1, 2, 3].into());
    for (chain, expected) in [
        (chain(&KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap()), "P-256"),
        (chain(&KeyPair::generate_for(&PKCS_ED25519).unwrap()), "P-256"),
        (Chain { key: sec1, ..chain(&rsa()) }, "pkcs8 -topk8"),
    ] {
        let error = Identity::new(&chain).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_handshake_survives_the_loss_of_any_datagram() {
    let start = Instant::now();
    let key = KeyPair::generate().unwrap();
    for lost in 0..6 {
        let mut server = server(&key, start);
        let mut client = Client::new(1, start);
        let (mut now, mut sent) = (start, 0);
        while !client.ready {
            exchange(&mut server, &mut client, now, || {
                sent += 1;
                sent == lost + 1
            });
            assert!(now < start + HANDSHAKE_TIME, "datagram {lost}");
            now += Duration::from_millis(500);
            server.handle_timeout(now);
            client.endpoint.handle_timeout(client.tuple.server, now).unwrap();
        }
        client.send(now, b"through");
        assert_eq!(exchange(&mut server, &mut client, now, || false), [data(b"through")]);
    }
}

#[test]
fn ghsa_5x2p_4vqj_f6m4_forged_hellos_leave_no_state_and_get_less_than_they_cost() {
    let now = Instant::now();
    let mut server = server(&KeyPair::generate().unwrap(), now);
    let mut client = Client::new(1, now);
    let hello = client.poll().unwrap();
    let mut asked = 0;
    for forged in 0..2 * VERIFY_RATE {
        server.receive_unallocated(now, &tuple(forged), &hello);
        // A cookie sent to another address validates nothing.
        while let Some((_, bytes)) = server.poll_transmit() {
            assert!(bytes.len() < hello.len(), "{} for {}", bytes.len(), hello.len());
            asked += 1;
        }
    }
    assert_eq!(asked, VERIFY_RATE);
    assert_eq!((server.len(), server.handshakes.len()), (0, 0));
    // A second later there is a new budget, and the client is served.
    let now = now + Duration::from_secs(1);
    assert_eq!(server.receive_unallocated(now, &client.tuple, &hello), Received::Data(Vec::new()));
    exchange(&mut server, &mut client, now, || false);
    assert!(client.ready);
}

/// Returns the client's second hello, which validates its address.
fn second_hello(server: &mut Dtls, client: &mut Client, now: Instant) -> BytesMut {
    let hello = client.poll().unwrap();
    server.receive_unallocated(now, &client.tuple, &hello);
    let (_, request) = server.poll_transmit().unwrap();
    client.receive(now, &request);
    client.poll().unwrap()
}

#[test]
fn a_cookie_is_valid_for_its_address_and_hello_and_for_a_while() {
    let now = Instant::now();
    let mut server = server(&KeyPair::generate().unwrap(), now);
    let mut client = Client::new(1, now);
    let hello = second_hello(&mut server, &mut client, now);
    let mut other_random = hello.clone();
    other_random[RECORD_HEADER + 12 + 10] ^= 1;
    let later = |s| now + Duration::from_secs(s);
    for (from, hello, now, good) in [
        (tuple(2), &hello, now, false),
        (FiveTuple { server: "192.0.2.2:5349".parse().unwrap(), ..tuple(1) }, &hello, now, false),
        (tuple(1), &other_random, now, false),
        (tuple(1), &hello, later(120), false),
        (tuple(1), &hello, later(119), true),
        (tuple(1), &hello, now, true),
    ] {
        server.receive_unallocated(now, &from, hello);
        assert_eq!(server.len(), usize::from(good), "{from:?}");
        server.clients.clear();
    }
}

#[test]
fn anything_but_a_hello_is_dropped() {
    let now = Instant::now();
    let mut server = server(&KeyPair::generate().unwrap(), now);
    let hello = Client::new(1, now).poll().unwrap();
    for len in 0..hello.len() {
        server.receive_unallocated(now, &tuple(1), &hello[..len]);
        assert_eq!(server.poll_transmit(), None, "{len} bytes");
    }
    // Each byte replaced, among them all length fields.
    for at in 0..hello.len() {
        for value in [0, 1, 127, 255] {
            let mut hello = hello.clone();
            hello[at] = value;
            server.receive_unallocated(now, &tuple(1), &hello);
        }
    }
    assert_eq!(server.len(), 0);
}

#[test]
fn the_server_hello_continues_from_the_number_of_the_hello_it_responds_to() {
    let now = Instant::now();
    let mut server = server(&KeyPair::generate().unwrap(), now);
    let mut client = Client::new(1, now);
    let mut hello = second_hello(&mut server, &mut client, now);
    // As if the first hello had been sent seven times.
    hello[10] = 7;
    server.receive_unallocated(now, &client.tuple, &hello);
    let (_, flight) = server.poll_transmit().unwrap();
    assert_eq!(number(&flight[5..11]), 7);
}

#[test]
fn a_client_without_a_shared_version_or_suite_gets_an_alert() {
    let now = Instant::now();
    let mut server = server(&KeyPair::generate().unwrap(), now);
    // DTLS 1.0, which OpenSSL's older clients still try; then only unknown cipher suites.
    const PROTOCOL_VERSION: u8 = 70;
    const INSUFFICIENT_SECURITY: u8 = 71;
    for alert in [PROTOCOL_VERSION, INSUFFICIENT_SECURITY] {
        let mut client = Client::new(1, now);
        let mut hello = client.poll().unwrap().to_vec();
        if alert == PROTOCOL_VERSION {
            hello[RECORD_HEADER + 13] = 255;
        } else {
            let suites = RECORD_HEADER + 12 + 2 + 32 + 1 + 1;
            let length = number(&hello[suites..suites + 2]);
            hello[suites + 2..suites + 2 + length].fill(250);
        }
        server.receive_unallocated(now, &client.tuple, &hello);
        let (_, request) = server.poll_transmit().unwrap();
        let cookie = &request[request.len() - 20..];
        let at = RECORD_HEADER + 12 + 2 + 32 + 1;
        let mut hello = [&hello[..at], &[20], cookie, &hello[at + 1..]].concat();
        for (at, grown) in [(12, 20), (RECORD_HEADER + 3, 20), (RECORD_HEADER + 11, 20)] {
            hello[at] += grown;
        }
        // The second record, the second message.
        (hello[10], hello[RECORD_HEADER + 5]) = (1, 1);
        server.receive_unallocated(now, &client.tuple, &hello);
        let (_, sent) = server.poll_transmit().unwrap();
        assert_eq!((sent[0], &sent[RECORD_HEADER..]), (21, &[2, alert][..]));
        assert_eq!(number(&sent[5..11]), 1, "a number that the client has not seen");
        assert_eq!(server.len(), 0);
    }
}

#[test]
fn a_client_that_restarts_on_the_same_port_replaces_its_association() {
    let now = Instant::now();
    let mut server = server(&KeyPair::generate().unwrap(), now);
    let mut old = connected(&mut server, 1, now);
    let mut new = Client::new(1, now);
    // The old association lasts until the new client has validated its address.
    let hello = second_hello(&mut server, &mut new, now);
    old.send(now, b"still here");
    assert_eq!(exchange(&mut server, &mut old, now, || false), [data(b"still here")]);
    assert_eq!(server.receive_unallocated(now, &new.tuple, &hello), Received::Ended);
    // A retransmission belongs to the same handshake.
    assert_eq!(server.receive_unallocated(now, &new.tuple, &hello), Received::Data(Vec::new()));
    exchange(&mut server, &mut new, now, || false);
    assert!(new.ready && server.len() == 1);
    new.endpoint.close(now).unwrap();
    let goodbye = new.poll().unwrap();
    assert_eq!(server.receive_unallocated(now, &new.tuple, &goodbye), Received::Ended);
    assert_eq!(server.len(), 0);
}

#[test]
fn handshakes_are_bounded_in_number_and_time_and_idle_clients_are_found() {
    let now = Instant::now();
    let mut server = server(&KeyPair::generate().unwrap(), now);
    let client = connected(&mut server, 0, now);
    for number in 1..=u32::try_from(MAX_HANDSHAKES).unwrap() + 10 {
        let mut client = Client::new(number, now);
        let hello = second_hello(&mut server, &mut client, now);
        server.receive_unallocated(now, &client.tuple, &hello);
        server.transmits.clear();
    }
    assert_eq!(server.len(), 1 + MAX_HANDSHAKES);
    assert!(!server.clients.contains_key(&tuple(1)) && server.clients.contains_key(&tuple(11)));
    let later = now + HANDSHAKE_TIME;
    server.handle_timeout(later);
    assert_eq!((server.len(), server.poll_timeout()), (1, None));
    let limit = Duration::from_secs(30);
    assert!(server.idle(now + limit, limit, |_| false).is_empty());
    let allocated = now + 2 * limit;
    assert!(server.idle(allocated, limit, |_| true).is_empty(), "it has an allocation");
    assert!(
        server.idle(allocated + limit, limit, |_| false).is_empty(),
        "the allocation has just ended"
    );
    let late = allocated + limit + Duration::from_millis(1);
    assert_eq!(server.idle(late, limit, |_| false), [client.tuple]);
}

#[test]
fn an_association_without_an_allocation_is_evicted() {
    let start = Instant::now();
    let mut server = server(&KeyPair::generate().unwrap(), start);
    server.max = 2;
    let allocated = connected(&mut server, 1, start).tuple;
    let mut unallocated = connected(&mut server, 2, start);
    for (what, number, after, served) in [
        (
            "the second client has not been unallocated for long enough",
            3,
            EVICTABLE_AFTER - TICK,
            false,
        ),
        ("it has", 4, EVICTABLE_AFTER, true),
        ("the client that replaced it has not", 5, EVICTABLE_AFTER + TICK, false),
    ] {
        let now = start + after;
        server.idle(now, EVICTABLE_AFTER, |tuple| *tuple == allocated);
        let mut client = Client::new(number, now);
        while let Some(bytes) = client.poll() {
            server.receive_unallocated(now, &client.tuple, &bytes);
            while let Some((to, bytes)) = server.poll_transmit() {
                let receiver = if to == client.tuple { &mut client } else { &mut unallocated };
                receiver.receive(now, &bytes);
            }
        }
        assert_eq!((client.ready, server.len()), (served, 2), "{what}");
    }
    assert!(unallocated.closed, "it gets an alert");
    assert!(server.send(start + EVICTABLE_AFTER, &allocated, b"still served"));
}

/// Allocations are looked up once a second; a newcomer may need the place before that.
#[test]
fn an_allocation_protects_its_association_from_the_first_moment() {
    let start = Instant::now();
    let mut server = server(&KeyPair::generate().unwrap(), start);
    server.max = 1;
    let first = connected(&mut server, 1, start).tuple;
    let mut newcomer = Client::new(2, start);
    let hello = newcomer.poll().unwrap();
    server.receive_unallocated(start, &newcomer.tuple, &hello);
    let (_, request) = server.poll_transmit().unwrap();
    newcomer.receive(start, &request);
    let hello = newcomer.poll().unwrap();
    for (what, after, has_allocation, evicted) in [
        ("it has one now", EVICTABLE_AFTER, true, false),
        ("it had one a moment ago", EVICTABLE_AFTER + TICK, false, false),
        ("it has had none for long", 2 * EVICTABLE_AFTER, false, true),
    ] {
        server.receive(start + after, &newcomer.tuple, &hello, |_| has_allocation);
        assert_eq!(server.clients.contains_key(&first), !evicted, "{what}");
        assert_eq!(server.clients.contains_key(&newcomer.tuple), evicted, "{what}");
    }
}

fn record(kind: u8, epoch: u8, body: &[u8]) -> Vec<u8> {
    let mut record = vec![kind, 254, 253, 0, epoch, 0, 0, 0, 0, 0, 0];
    record.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
    record.extend(body);
    record
}

/// Makes a fragment of the handshake's third message, which has `whole` bytes in all.
fn message(kind: u8, whole: u8, offset: u8, part: &[u8]) -> Vec<u8> {
    let len = u8::try_from(part.len()).unwrap();
    [&[kind, 0, 0, whole, 0, 2, 0, 0, offset, 0, 0, len][..], part].concat()
}

#[test]
fn fragments_and_later_epochs_never_reach_the_engine() {
    use super::records::{Filter, MAX_EARLY_RECORDS, MAX_HANDSHAKE_RECORDS};
    let message = |whole, offset, len: usize| message(16, whole, offset, &vec![0; len]);
    for (datagram, admitted) in [
        (record(22, 0, &message(33, 0, 33)), true),
        (record(22, 0, &message(33, 0, 32)), false),
        (record(22, 0, &message(33, 1, 32)), false),
        (record(22, 0, &[message(2, 0, 2), message(2, 0, 2)].concat()), false),
        (record(22, 1, &[0; 48]), true),
        (record(22, 1, &[0; 49]), false),
        (record(22, 2, &[0; 48]), false),
        (record(23, 1, &[0; 2000]), true),
        (record(23, 2, &[0; 20]), false),
        ([record(20, 0, &[1]), record(22, 1, &[0; 48])].concat(), true),
        (record(23, 1, &[0; 20])[..20].to_vec(), false),
    ] {
        assert_eq!(Filter::default().admits(&datagram, true), admitted, "{datagram:?}");
    }
    let count = |datagram: &[u8], early| {
        let mut filter = Filter::default();
        (0..1000).filter(|_| filter.admits(datagram, early)).count()
    };
    let (finished, data) = (record(22, 1, &[0; 48]), record(23, 1, &[0; 20]));
    let limit = |n: u32| usize::try_from(n).unwrap();
    assert_eq!(count(&finished, false), limit(MAX_HANDSHAKE_RECORDS));
    assert_eq!(count(&data, true), limit(MAX_EARLY_RECORDS));
    assert_eq!(count(&data, false), 1000);
}

/// Makes a client that has validated its address and sent nothing else.
fn half_open(server: &mut Dtls, number: u32, now: Instant) -> Client {
    let mut client = Client::new(number, now);
    let hello = second_hello(server, &mut client, now);
    assert_eq!(server.receive_unallocated(now, &client.tuple, &hello), Received::Data(Vec::new()));
    assert!(server.clients.contains_key(&client.tuple));
    client
}

/// Fragments of messages were stored without a bound.
#[test]
fn cve_2022_29189_no_fragment_of_a_message_is_stored() {
    use super::records::Filter;
    let now = Instant::now();
    let mut server = server(&KeyPair::generate().unwrap(), now);
    let mut client = half_open(&mut server, 1, now);
    let mut filter = Filter::default();
    for sequence in 0..=u16::MAX {
        let mut part = record(22, 0, &message(16, 200, 0, &[0; 100]));
        part[RECORD_HEADER + 4..RECORD_HEADER + 6].copy_from_slice(&sequence.to_be_bytes());
        assert!(!filter.admits(&part, false), "the engine gets a fragment of message {sequence}");
        if sequence < 50 {
            server.receive_unallocated(now, &client.tuple, &part);
        }
    }
    // And the handshake still succeeds.
    exchange(&mut server, &mut client, now, || false);
    assert!(client.ready);
}

/// Empty fragments were added in an endless loop.
#[test]
fn cve_2022_29190_empty_fragments_cause_no_endless_loop() {
    use super::records::Filter;
    let now = Instant::now();
    let mut server = server(&KeyPair::generate().unwrap(), now);
    for kind in 0..=40 {
        let client = half_open(&mut server, u32::from(kind) + 1, now);
        for (whole, offset) in [(0, 0), (1, 0), (100, 0), (100, 100), (0, 255)] {
            let empty = record(22, 0, &message(kind, whole, offset, &[]));
            let is_whole = (whole, offset) == (0, 0);
            assert_eq!(Filter::default().admits(&empty, true), is_whole, "{whole} {offset}");
            server.receive_unallocated(now, &client.tuple, &empty);
            server.receive_unallocated(now, &client.tuple, &empty.repeat(20));
        }
        server.transmits.clear();
    }
    connected(&mut server, 100, now);
}

/// A ServerKeyExchange of ECDHE_PSK was read beyond its end if its lengths pointed there.
#[test]
fn cve_2026_54908_a_truncated_key_exchange_is_not_read_beyond_its_end() {
    use super::records::Filter;
    const SERVER_KEY_EXCHANGE: u8 = 12;
    const CLIENT_KEY_EXCHANGE: u8 = 16;
    let now = Instant::now();
    let mut server = server(&KeyPair::generate().unwrap(), now);
    // A hint of the identity, a named curve, a public key, a signature.
    let whole = [&[0, 4][..], b"hint", &[3, 0, 29, 32], &[9; 32], &[4, 3, 0, 8], &[1; 8]].concat();
    let truncated = (0..=whole.len()).map(|len| whole[..len].to_vec());
    let wrong_lengths = [0, 2, 6, 9, 44].map(|at| {
        let mut bytes = whole.clone();
        bytes[at] = 255;
        bytes
    });
    let mut number = 0;
    for body in truncated.chain(wrong_lengths) {
        for kind in [SERVER_KEY_EXCHANGE, CLIENT_KEY_EXCHANGE] {
            number += 1;
            let client = half_open(&mut server, number, now);
            let len = u8::try_from(body.len()).unwrap();
            let sent = record(22, 0, &message(kind, len, 0, &body));
            assert!(Filter::default().admits(&sent, true), "the engine does not see it");
            server.receive_unallocated(now, &client.tuple, &sent);
            server.close(now, &client.tuple);
            server.transmits.clear();
        }
    }
    connected(&mut server, number + 1, now);
}

/// The cookie was omitted for a client that resumed a session or was known.
#[test]
fn cve_2022_2576_a_client_that_resumes_or_is_known_is_validated_too() {
    const HELLO_VERIFY_REQUEST: u8 = 3;
    let now = Instant::now();
    let mut server = server(&KeyPair::generate().unwrap(), now);
    let mut known = connected(&mut server, 1, now);
    let hello = Client::new(1, now).poll().unwrap().to_vec();
    let session_id = RECORD_HEADER + 12 + 2 + 32;
    let mut resuming = [&hello[..session_id], &[32], &[7; 32], &hello[session_id + 1..]].concat();
    for at in [11, RECORD_HEADER + 2, RECORD_HEADER + 10] {
        let grown = u16::try_from(number(&resuming[at..at + 2]) + 32).unwrap();
        resuming[at..at + 2].copy_from_slice(&grown.to_be_bytes());
    }
    for (what, hello) in [("new session", &hello), ("resuming", &resuming)] {
        for from in [tuple(1), tuple(2)] {
            assert_eq!(
                server.receive_unallocated(now, &from, hello),
                Received::Data(Vec::new()),
                "{what}"
            );
            let (to, response) = server.poll_transmit().unwrap();
            assert_eq!((to, response[RECORD_HEADER]), (from, HELLO_VERIFY_REQUEST), "{what}");
            assert!(response.len() < hello.len(), "{what}: {} bytes", response.len());
            assert_eq!((server.poll_transmit(), server.len()), (None, 1), "{what}");
        }
    }
    known.send(now, b"still here");
    assert_eq!(exchange(&mut server, &mut known, now, || false), [data(b"still here")]);
}
