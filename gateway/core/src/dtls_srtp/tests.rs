use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::*;

/// A client and a server, and a path between them with delay and loss.
struct Link {
    now: Instant,
    client: DtlsSrtp,
    server: DtlsSrtp,
    /// Time that a datagram takes from one side to the other.
    delay: Duration,
    /// Datagrams on their way: time of arrival, true for those to the server, bytes.
    in_flight: VecDeque<(Instant, bool, BytesMut)>,
    sent: usize,
}

impl Link {
    fn new(delay: Duration, known: bool) -> Self {
        Self::between(delay, known, &[], &[])
    }

    /// Makes a link between ends with these profiles; an empty list: all, as usual.
    fn between(
        delay: Duration,
        known: bool,
        of_client: &[SrtpProfile],
        of_server: &[SrtpProfile],
    ) -> Self {
        let now = Instant::now();
        let (mut client, mut server) = pair(None);
        for (side, profiles) in [(&mut client, of_client), (&mut server, of_server)] {
            if !profiles.is_empty() {
                side.set_profiles(profiles);
            }
        }
        let round_trip = known.then_some(delay * 2);
        client.start(now, round_trip).unwrap();
        server.start(now, round_trip).unwrap();
        Self { now, client, server, delay, in_flight: VecDeque::new(), sent: 0 }
    }

    fn is_ready(&self) -> bool {
        self.client.is_ready() && self.server.is_ready()
    }

    /// Lets time pass until both sides are ready, at most `limit`; drops the datagrams for which
    /// `lose` returns true. Returns the time that has passed.
    fn run(
        &mut self,
        limit: Duration,
        mut lose: impl FnMut(usize) -> bool,
    ) -> Result<Duration, DtlsSrtpError> {
        let begin = self.now;
        while !self.is_ready() && self.now <= begin + limit {
            self.transmit(&mut lose);
            let arrival = self.in_flight.front().map(|(at, ..)| *at);
            let timers = [self.client.poll_timeout(), self.server.poll_timeout(), arrival];
            let Some(next) = timers.into_iter().flatten().min() else { break };
            self.now = next.max(self.now);
            self.client.handle_timeout(self.now)?;
            self.server.handle_timeout(self.now)?;
            while self.in_flight.front().is_some_and(|(at, ..)| *at <= self.now) {
                let (_, to_server, bytes) = self.in_flight.pop_front().unwrap();
                let side = if to_server { &mut self.server } else { &mut self.client };
                side.handle_dtls(self.now, &bytes)?;
            }
        }
        Ok(self.now - begin)
    }

    fn transmit(&mut self, lose: &mut impl FnMut(usize) -> bool) {
        for to_server in [true, false] {
            let side = if to_server { &mut self.client } else { &mut self.server };
            while let Some(bytes) = side.poll_transmit() {
                self.sent += 1;
                if !lose(self.sent) {
                    self.in_flight.push_back((self.now + self.delay, to_server, bytes));
                }
            }
        }
    }
}

/// Time after which a session without a path and keys ends.
const SETUP: Duration = crate::transport::SETUP_TIMEOUT;

fn pair(expected_by_server: Option<Fingerprint>) -> (DtlsSrtp, DtlsSrtp) {
    let (a, b) = (Identity::generate().unwrap(), Identity::generate().unwrap());
    let client = DtlsSrtp::new(&a, DtlsRole::Client, b.fingerprint()).unwrap();
    let expected = expected_by_server.unwrap_or(a.fingerprint());
    let server = DtlsSrtp::new(&b, DtlsRole::Server, expected).unwrap();
    (client, server)
}

/// Makes an RTP packet with this sequence number and one byte of payload.
fn rtp(sequence: u16) -> Vec<u8> {
    let mut packet = vec![0x80, 96];
    packet.extend_from_slice(&sequence.to_be_bytes());
    packet.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 9, 7]);
    packet
}

#[test]
fn both_ends_derive_the_same_keys_whatever_is_lost() {
    for (name, lost) in [("nothing", vec![]), ("the first", vec![1]), ("some", vec![2, 3, 5])] {
        let mut link = Link::new(Duration::from_millis(10), true);
        link.run(SETUP, |n| lost.contains(&n)).expect(name);
        assert!(link.is_ready(), "{name}");
        let sent = link.server.protect_rtp(&rtp(1)).unwrap();
        assert_ne!(sent.as_ref(), rtp(1), "{name}");
        assert_eq!(link.client.unprotect_rtp(&sent).unwrap().as_ref(), rtp(1), "{name}");
        let again = link.client.unprotect_rtp(&sent);
        assert_eq!(again, Err(DtlsSrtpError::NotAuthentic), "replayed");
    }
}

#[test]
fn aes_gcm_is_agreed_wherever_both_ends_have_it() {
    use SrtpProfile::{AeadAes128Gcm as Gcm, AeadAes256Gcm as Gcm256, Aes128CmHmacSha1_80 as Cm};
    type Case = (&'static [SrtpProfile], &'static [SrtpProfile], SrtpProfile);
    // Profiles of the client and of the server; an empty list: ours, which prefers AES-GCM.
    let table: [Case; 7] = [
        (&[Cm, Gcm256, Gcm], &[], Gcm),
        (&[Cm, Gcm256], &[], Gcm256),
        (&[Cm], &[], Cm),
        (&[], &[Cm], Cm),
        (&[], &[Gcm256, Cm], Gcm256),
        (&[], &[Cm, Gcm], Gcm),
        (&[], &[], Gcm),
    ];
    for (client, server, expected) in table {
        let mut link = Link::between(Duration::from_millis(1), true, client, server);
        link.run(SETUP, |_| false).unwrap();
        let profiles = (link.client.profile(), link.server.profile());
        assert_eq!(profiles, (Some(expected), Some(expected)), "{client:?} {server:?}");
        let sent = link.server.protect_rtp(&rtp(1)).unwrap();
        assert_eq!(link.client.unprotect_rtp(&sent).unwrap().as_ref(), rtp(1), "{expected:?}");
    }
}

#[test]
fn a_hello_in_two_datagrams_is_answered_once_it_is_whole() {
    let hello = include_bytes!("hello/tests/chromium.bin");
    let (first, second) = hello.split_at(1200);
    for order in [[first, second], [second, first]] {
        let (_, mut server) = pair(None);
        let now = Instant::now();
        server.handle_dtls(now, order[0]).unwrap();
        assert_eq!(server.poll_transmit(), None, "half of a hello");
        server.handle_dtls(now, order[0]).unwrap();
        server.handle_dtls(now, order[1]).unwrap();
        let answer = server.poll_transmit().unwrap();
        assert_eq!((answer[0], answer[13]), (22, 3), "HelloVerifyRequest");
    }
}

#[test]
fn a_long_path_delays_the_handshake_and_does_not_end_it() {
    let second = Duration::from_secs(1);
    let table = [
        // One-way delay, round trip known, at most this time and this many datagrams.
        (Duration::from_millis(5), true, second / 10, 8),
        (Duration::from_millis(750), true, second * 5, 8),
        (Duration::from_millis(750), false, second * 5, 20),
        (Duration::from_secs(3), true, second * 20, 30),
    ];
    for (delay, known, time, datagrams) in table {
        let mut link = Link::new(delay, known);
        let taken = link.run(SETUP, |_| false).unwrap();
        assert!(link.is_ready() && taken <= time, "{delay:?} {known}: {taken:?}");
        assert!(link.sent <= datagrams, "{delay:?} {known}: {} datagrams", link.sent);
    }
}

#[test]
fn a_flight_that_is_lost_is_sent_again_ever_more_rarely() {
    let mut link = Link::new(Duration::from_millis(50), true);
    let taken = link.run(Duration::from_secs(100), |_| true).unwrap();
    assert!(!link.is_ready());
    assert_eq!(link.sent, 8, "the first ClientHello and seven more");
    assert_eq!(taken, Duration::from_millis(200) * (1 + 2 + 4 + 8 + 16 + 32 + 64));
    assert_eq!(link.client.poll_timeout(), None, "its owner limits the time");
}

#[test]
fn a_path_with_loss_delays_the_handshake_and_does_not_end_it() {
    for (delay, percent) in [(1, 30), (100, 20), (750, 8)] {
        for seed in 0..40 {
            let mut link = Link::new(Duration::from_millis(delay), seed % 2 == 0);
            let mut rng = StdRng::seed_from_u64(seed);
            let taken = link.run(SETUP, |_| rng.random_range(0..100) < percent).unwrap();
            assert!(link.is_ready(), "{delay} ms, {percent} %, seed {seed}: {taken:?}");
        }
    }
}

#[test]
fn a_flood_before_the_handshake_ends_it_early() {
    // Fragments of one long message, each of one byte, which the engine would keep and join.
    let mut link = Link::new(Duration::ZERO, true);
    let mut count = 0_u32;
    let error = loop {
        let mut datagram = vec![22, 254, 253, 0, 0, 0, 0];
        datagram.extend(count.to_be_bytes());
        let [_, o2, o1, o0] = count.to_be_bytes();
        datagram.extend([0, 13, 11, 0, 0, 1, 0, 0, o2, o1, o0, 0, 0, 1, 7]);
        count += 1;
        if let Err(error) = link.server.handle_dtls(link.now, &datagram) {
            break error;
        }
        assert!(count < 100_000, "nothing bounds the flood");
    };
    assert_eq!((error, count), (DtlsSrtpError::Flood, 513));
}

#[test]
fn records_before_their_keys_do_not_disturb_the_handshake() {
    let mut link = Link::new(Duration::from_millis(1), true);
    let now = link.now;
    for sequence in 0..10_000_u32 {
        for (kind, epoch) in [(23, 1), (23, 7), (23, 0), (99, 0)] {
            let mut datagram = vec![kind, 254, 253, 0, epoch, 0, 0];
            datagram.extend((1_000_000 + sequence).to_be_bytes());
            datagram.extend([0, 100]);
            datagram.extend([0; 100]);
            link.server.handle_dtls(now, &datagram).unwrap();
            link.client.handle_dtls(now, &datagram).unwrap();
        }
    }
    link.run(SETUP, |_| false).unwrap();
    assert!(link.is_ready());
}

#[test]
fn a_certificate_that_was_not_announced_is_refused() {
    let mut link = Link::new(Duration::ZERO, true);
    let (mut client, server) = pair(Some(Fingerprint([0; 32])));
    client.start(link.now, None).unwrap();
    (link.client, link.server) = (client, server);
    let error = link.run(SETUP, |_| false).unwrap_err();
    assert!(matches!(error, DtlsSrtpError::Handshake(_)), "{error}");
    assert!(!link.server.is_ready());
}

#[test]
fn nothing_is_protected_before_the_handshake() {
    let (mut client, _) = pair(None);
    assert_eq!(client.protect_rtp(&rtp(1)), Err(DtlsSrtpError::NotReady));
    assert_eq!(client.unprotect_rtp(&rtp(1)), Err(DtlsSrtpError::NotReady));
}

#[test]
fn closing_tells_the_peer() {
    let mut link = Link::new(Duration::ZERO, true);
    link.run(SETUP, |_| false).unwrap();
    link.server.close(link.now);
    while let Some(datagram) = link.server.poll_transmit() {
        link.client.handle_dtls(link.now, &datagram).unwrap();
    }
    assert!(link.client.is_closed() && !link.client.is_ready());
}
