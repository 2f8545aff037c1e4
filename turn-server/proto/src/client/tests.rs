use super::*;
use crate::stun::long_term_key;
use crate::{Family, Transport};

const RELAYED: &str = "203.0.113.1:50000";
const MAPPED: &str = "198.51.100.7:40000";
const REALM: &str = "example.org";

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A client, and a scripted server that signs its responses.
struct Script {
    client: TurnClient,
    start: Instant,
    now: Instant,
    key: LongTermKey,
}

impl Script {
    fn new(transport: Transport) -> Self {
        let mut config = ClientConfig::new("anna".to_owned(), "secret".to_owned(), transport);
        config.seed = [7; 32];
        config.requested_family = Some(Family::V4);
        let now = Instant::now();
        let key = long_term_key("anna", REALM, "secret");
        Self { client: TurnClient::new(config, now), start: now, now, key }
    }

    fn allocated(transport: Transport) -> Self {
        let mut script = Self::new(transport);
        script.challenge(ErrorCode::UNAUTHENTICATED, b"nonce-1");
        script.grant(|w| {
            w.xor_address(attribute::XOR_RELAYED_ADDRESS, addr(RELAYED));
            w.xor_address(attribute::XOR_MAPPED_ADDRESS, addr(MAPPED));
            w.u32(attribute::LIFETIME, 600);
        });
        let event = script.client.poll_event();
        let (relayed, mapped) = (addr(RELAYED), addr(MAPPED));
        assert_eq!(event, Some(ClientEvent::Allocated { relayed, mapped }));
        script
    }

    fn request(&mut self) -> (Vec<u8>, Method, TransactionId) {
        let bytes = self.client.poll_transmit().expect("a request");
        let message = Message::parse(&bytes).unwrap();
        assert_eq!(message.class(), Class::Request);
        let (method, id) = (message.method(), message.id());
        (bytes, method, id)
    }

    fn respond(
        &mut self,
        class: Class,
        sign: bool,
        fill: impl FnOnce(&mut MessageWriter<'_>),
    ) -> Vec<u8> {
        let (request, method, id) = self.request();
        let mut out = Vec::new();
        let mut writer = MessageWriter::new(&mut out, class, method, id);
        fill(&mut writer);
        if sign {
            writer.integrity(&self.key);
        }
        writer.finish().unwrap();
        assert_eq!(self.client.handle_datagram(self.now, &out), None);
        request
    }

    fn challenge(&mut self, code: ErrorCode, nonce: &[u8]) -> Vec<u8> {
        self.respond(Class::Error, false, |w| {
            w.error_code(code);
            w.attribute(attribute::REALM, REALM.as_bytes()).attribute(attribute::NONCE, nonce);
        })
    }

    fn grant(&mut self, fill: impl FnOnce(&mut MessageWriter<'_>)) -> Vec<u8> {
        self.respond(Class::Success, true, fill)
    }

    fn refuse(&mut self, code: ErrorCode) -> Vec<u8> {
        self.respond(Class::Error, true, |w| {
            w.error_code(code);
        })
    }

    fn wait(&mut self, duration: Duration) {
        self.now += duration;
        self.client.handle_timeout(self.now);
    }
}

#[test]
fn an_allocate_request_carries_what_the_challenge_gave() {
    let mut script = Script::new(Transport::Udp);
    let first = script.challenge(ErrorCode::UNAUTHENTICATED, b"nonce-1");
    assert!(!Message::parse(&first).unwrap().has_integrity());
    let second = script.challenge(ErrorCode::STALE_NONCE, b"nonce-2");
    let message = Message::parse(&second).unwrap();
    assert_eq!(message.text(attribute::NONCE), Ok(Some("nonce-1")));
    assert_eq!(message.text(attribute::REALM), Ok(Some(REALM)));
    assert_eq!(message.u32(attribute::REQUESTED_TRANSPORT), Ok(Some(0x1100_0000)));
    assert_eq!(message.u32(attribute::REQUESTED_ADDRESS_FAMILY), Ok(Some(0x0100_0000)));
    let (third, ..) = script.request();
    let message = Message::parse(&third).unwrap();
    assert_eq!(message.text(attribute::NONCE), Ok(Some("nonce-2")));
    assert!(message.has_valid_integrity(&script.key));
}

#[test]
fn a_server_that_finds_every_nonce_stale_is_given_up() {
    let mut script = Script::new(Transport::Udp);
    script.challenge(ErrorCode::UNAUTHENTICATED, b"nonce");
    for _ in 0..MAX_AUTH_RETRIES {
        assert_eq!(script.client.poll_event(), None);
        script.challenge(ErrorCode::STALE_NONCE, b"nonce");
    }
    let reason = FailureReason::Unauthenticated;
    assert_eq!(script.client.poll_event(), Some(ClientEvent::Failed { code: Some(438), reason }));
    assert!(script.client.is_finished());
}

#[test]
fn each_refusal_of_an_allocation_has_its_reason() {
    for (code, reason) in [
        (ErrorCode::TRY_ALTERNATE, FailureReason::TryAlternate(None)),
        (ErrorCode::UNAUTHENTICATED, FailureReason::Unauthenticated),
        (ErrorCode::FORBIDDEN, FailureReason::Refused),
        (ErrorCode::ALLOCATION_MISMATCH, FailureReason::Mismatch),
        (ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED, FailureReason::UnsupportedFamily),
        (ErrorCode::UNSUPPORTED_TRANSPORT, FailureReason::Refused),
        (ErrorCode::ALLOCATION_QUOTA_REACHED, FailureReason::QuotaReached),
        (ErrorCode::INSUFFICIENT_CAPACITY, FailureReason::NoCapacity),
    ] {
        let mut script = Script::new(Transport::Udp);
        script.challenge(ErrorCode::UNAUTHENTICATED, b"nonce");
        script.refuse(code);
        let code = Some(code.value());
        assert_eq!(script.client.poll_event(), Some(ClientEvent::Failed { code, reason }));
        assert_eq!(script.client.poll_timeout(), None);
    }
}

#[test]
fn a_server_that_does_not_answer_is_given_up_after_39_5_seconds() {
    for (transport, sends) in [(Transport::Udp, 7), (Transport::Tcp, 1)] {
        let mut script = Script::new(transport);
        let start = script.now;
        let mut sent = 0;
        while let Some(at) = script.client.poll_timeout() {
            sent += std::iter::from_fn(|| script.client.poll_transmit()).count();
            script.client.handle_timeout(at);
            script.now = at;
        }
        assert_eq!((sent, script.now - start), (sends, Duration::from_millis(39_500)));
        let reason = FailureReason::Timeout;
        assert_eq!(script.client.poll_event(), Some(ClientEvent::Failed { code: None, reason }));
    }
}

#[test]
fn a_response_without_the_key_is_ignored() {
    let mut script = Script::allocated(Transport::Udp);
    script.client.create_permission(script.now, addr("192.0.2.1:1").ip());
    let (_, method, id) = script.request();
    let wrong = long_term_key("anna", REALM, "wrong");
    for (what, class, code, key) in [
        ("unsigned success", Class::Success, None, None),
        ("success signed wrongly", Class::Success, None, Some(&wrong)),
        ("unsigned 437", Class::Error, Some(ErrorCode::ALLOCATION_MISMATCH), None),
        ("unsigned 403", Class::Error, Some(ErrorCode::FORBIDDEN), None),
        ("403 signed wrongly", Class::Error, Some(ErrorCode::FORBIDDEN), Some(&wrong)),
    ] {
        let mut out = Vec::new();
        let mut writer = MessageWriter::new(&mut out, class, method, id);
        code.into_iter().for_each(|code| {
            writer.error_code(code);
        });
        key.into_iter().for_each(|key| {
            writer.integrity(key);
        });
        writer.finish().unwrap();
        script.client.handle_datagram(script.now, &out);
        assert_eq!(script.client.poll_event(), None, "{what}");
        assert_eq!(script.client.transactions.len(), 1, "{what}");
    }
}

#[test]
fn data_sent_before_the_permission_waits_until_it_is_granted() {
    let mut script = Script::allocated(Transport::Udp);
    let peer = addr("192.0.2.1:9");
    let mut out = Vec::new();
    assert!(!script.client.wrap(peer, b"dropped", &mut out), "no permission is requested");
    script.client.create_permission(script.now, peer.ip());
    script.client.create_permission(script.now, peer.ip());
    for _ in 0..peers::MAX_QUEUED + 5 {
        assert!(!script.client.wrap(peer, b"waits", &mut out));
    }
    assert!(out.is_empty());
    script.grant(|_| {});
    let sent: Vec<_> = std::iter::from_fn(|| script.client.poll_transmit()).collect();
    assert_eq!(sent.len(), peers::MAX_QUEUED);
    for bytes in sent {
        let message = Message::parse(&bytes).unwrap();
        assert_eq!((message.class(), message.method()), (Class::Indication, Method::Send));
        assert_eq!(message.xor_address(attribute::XOR_PEER_ADDRESS), Ok(Some(peer)));
        assert_eq!(message.first(attribute::DATA).map(|a| a.value), Some(&b"waits"[..]));
    }
    assert!(script.client.wrap(peer, b"goes", &mut out));
}

#[test]
fn a_refused_peer_does_not_harm_the_others() {
    let mut script = Script::allocated(Transport::Udp);
    let (bad, good) = (addr("10.0.0.1:9"), addr("192.0.2.1:9"));
    script.client.create_permission(script.now, bad.ip());
    script.client.create_permission(script.now, good.ip());
    script.client.wrap(bad, b"never", &mut Vec::new());
    script.refuse(ErrorCode::FORBIDDEN);
    let event = ClientEvent::PermissionRefused { peer: bad.ip(), code: Some(403) };
    assert_eq!(script.client.poll_event(), Some(event));
    script.grant(|_| {});
    assert!(script.client.wrap(good, b"x", &mut Vec::new()));
    assert!(!script.client.wrap(bad, b"x", &mut Vec::new()));
}

#[test]
fn a_bound_channel_carries_data_both_ways_and_pads_on_tcp() {
    for (transport, len) in [(Transport::Udp, 9), (Transport::Tcp, 12)] {
        let mut script = Script::allocated(transport);
        let peer = addr("192.0.2.1:9");
        script.client.bind_channel(script.now, peer);
        script.client.bind_channel(script.now, peer);
        // bind_channel requests the permission, too: it may be granted where a channel is not.
        let permit = script.grant(|_| {});
        assert_eq!(Message::parse(&permit).unwrap().method(), Method::CreatePermission);
        let bind = script.grant(|_| {});
        let bind = Message::parse(&bind).unwrap();
        assert_eq!(bind.u32(attribute::CHANNEL_NUMBER), Ok(Some(0x4000_0000)));
        assert_eq!(bind.xor_address(attribute::XOR_PEER_ADDRESS), Ok(Some(peer)));
        let mut out = Vec::new();
        assert!(script.client.wrap(peer, b"hello", &mut out));
        assert_eq!((out.len(), &out[..9]), (len, &b"\x40\x00\x00\x05hello"[..]));
        assert_eq!(script.client.handle_datagram(script.now, &out), Some((peer, 4..9)));
        assert_eq!(script.client.handle_datagram(script.now, b"\x40\x01\x00\x00"), None);
    }
}

#[test]
fn data_is_accepted_from_permitted_peers_only() {
    let mut script = Script::allocated(Transport::Udp);
    let peer = addr("192.0.2.1:9");
    let mut data = Vec::new();
    MessageWriter::new(&mut data, Class::Indication, Method::Data, TransactionId([1; 12]))
        .xor_address(attribute::XOR_PEER_ADDRESS, peer)
        .attribute(attribute::DATA, b"hello")
        .finish()
        .unwrap();
    assert_eq!(script.client.handle_datagram(script.now, &data), None);
    script.client.create_permission(script.now, peer.ip());
    let (from, range) = script.client.handle_datagram(script.now, &data).unwrap();
    assert_eq!((from, &data[range]), (peer, &b"hello"[..]));
}

#[test]
fn everything_is_renewed_before_it_ends() {
    let mut script = Script::allocated(Transport::Udp);
    let peer = addr("192.0.2.1:9");
    script.client.bind_channel(script.now, peer);
    script.grant(|_| {});
    script.grant(|_| {});
    for (second, methods) in [
        (239, &[][..]),
        (240, &[Method::ChannelBind, Method::CreatePermission]),
        (480, &[Method::ChannelBind, Method::CreatePermission]),
        (539, &[]),
        (540, &[Method::Refresh]),
    ] {
        while script.now - script.start < Duration::from_secs(second) {
            script.wait(Duration::from_secs(1));
        }
        for method in methods {
            let request = script.grant(|w| {
                w.u32(attribute::LIFETIME, 600);
            });
            assert_eq!(Message::parse(&request).unwrap().method(), *method, "second {second}");
        }
        assert_eq!(script.client.poll_transmit(), None, "second {second}");
        assert_eq!(script.client.poll_event(), None);
    }
}

#[test]
fn an_allocation_that_cannot_be_renewed_expires() {
    let mut script = Script::allocated(Transport::Udp);
    script.wait(Duration::from_secs(540));
    script.refuse(ErrorCode::ALLOCATION_MISMATCH);
    assert_eq!(script.client.poll_event(), Some(ClientEvent::Expired));

    let mut script = Script::allocated(Transport::Udp);
    script.wait(Duration::from_secs(601));
    assert_eq!(script.client.poll_event(), Some(ClientEvent::Expired));
    assert_eq!(script.client.poll_timeout(), None);
}

#[test]
fn a_stale_nonce_costs_one_more_round_and_nothing_else() {
    let mut script = Script::allocated(Transport::Udp);
    script.wait(Duration::from_secs(540));
    script.challenge(ErrorCode::STALE_NONCE, b"nonce-9");
    let refresh = script.grant(|w| {
        w.u32(attribute::LIFETIME, 600);
    });
    let message = Message::parse(&refresh).unwrap();
    assert_eq!(message.text(attribute::NONCE), Ok(Some("nonce-9")));
    assert_eq!(script.client.poll_event(), None);
    assert!(script.client.relayed().is_some());
}

#[test]
fn closing_ends_the_allocation() {
    let mut script = Script::allocated(Transport::Udp);
    script.client.close(script.now);
    let release = script.grant(|w| {
        w.u32(attribute::LIFETIME, 0);
    });
    let message = Message::parse(&release).unwrap();
    assert_eq!(message.method(), Method::Refresh);
    assert_eq!(message.u32(attribute::LIFETIME), Ok(Some(0)));
    assert!(script.client.is_finished());
    assert_eq!(script.client.poll_event(), None);
}

#[test]
fn a_stun_client_accepts_the_response_to_its_own_request_only() {
    let now = Instant::now();
    let mut client = StunClient::with_id(now, TransactionId([3; 12]));
    let request = client.poll_transmit().unwrap();
    assert_eq!(request.len(), 20);
    assert_eq!(client.poll_transmit(), None);
    let response = |id| {
        let mut out = Vec::new();
        MessageWriter::new(&mut out, Class::Success, Method::Binding, TransactionId(id))
            .xor_address(attribute::XOR_MAPPED_ADDRESS, addr(MAPPED))
            .finish()
            .unwrap();
        out
    };
    assert_eq!(client.handle_datagram(&response([4; 12])), None);
    assert_eq!(client.handle_datagram(&response([3; 12])), Some(addr(MAPPED)));
    assert_eq!(client.handle_datagram(&response([3; 12])), None);
    assert_eq!((client.mapped(), client.poll_timeout()), (Some(addr(MAPPED)), None));
}
