use std::net::SocketAddr;

use bytes::Bytes;

use super::*;
use crate::ice::LocalBase;
use crate::media::VideoPacket;
use crate::transport::{LOST_TIMEOUT, SETUP_TIMEOUT};

const GATEWAY: &str = "192.168.1.2:5000";
const VIEWER: &str = "192.168.1.3:6000";
const FORGER: &str = "192.168.1.66:666";

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn config(now: Instant, seed: u64) -> SessionConfig {
    SessionConfig {
        camera: "door".parse().unwrap(),
        identity: Identity::generate().unwrap(),
        ice_servers: Vec::new(),
        turn_only: false,
        expires: now + Duration::from_secs(3600),
        seed,
    }
}

/// A gateway's session and a viewer's in one LAN, with a virtual clock.
struct Pair {
    now: Instant,
    gateway: Session,
    viewer: Option<Session>,
    /// Candidates of the gateway that arrived before its offer was answered.
    early: Vec<String>,
    frames: usize,
    key_frames_requested: usize,
    offers: usize,
    ended: Vec<String>,
    /// Every datagram that the gateway sent, for tests that forge one.
    seen: Vec<Bytes>,
    /// The DTLS handshake messages that the viewer sent.
    handshake: Vec<Bytes>,
    cut: bool,
}

impl Pair {
    fn new() -> Self {
        let now = Instant::now();
        let mut gateway = Session::offering(now, config(now, 1), None).unwrap();
        gateway.set_addresses(now, &[address(GATEWAY)]);
        gateway.handle_reflexive_complete(now);
        Self {
            now,
            gateway,
            viewer: None,
            early: Vec::new(),
            frames: 0,
            key_frames_requested: 0,
            offers: 0,
            ended: Vec::new(),
            seen: Vec::new(),
            handshake: Vec::new(),
            cut: false,
        }
    }

    fn handle_offer(&mut self, offer: &str) {
        self.offers += 1;
        if let Some(viewer) = &mut self.viewer {
            return viewer.handle_offer(self.now, offer).unwrap();
        }
        let mut viewer = Session::receiving(self.now, config(self.now, 2), offer).unwrap();
        viewer.set_addresses(self.now, &[address(VIEWER)]);
        viewer.handle_reflexive_complete(self.now);
        for candidate in std::mem::take(&mut self.early) {
            viewer.handle_candidate(self.now, &candidate);
        }
        self.viewer = Some(viewer);
    }

    fn handle_gateway_output(&mut self, output: SessionOutput) {
        match output {
            SessionOutput::Offer(offer) => self.handle_offer(&offer),
            SessionOutput::Trickle(candidate) => match &mut self.viewer {
                Some(viewer) => viewer.handle_candidate(self.now, &candidate.candidate),
                None => self.early.push(candidate.candidate),
            },
            SessionOutput::Datagram(datagram) => {
                self.seen.push(datagram.bytes.clone());
                let reached = !self.cut && datagram.to == address(VIEWER);
                if let Some(viewer) = self.viewer.as_mut().filter(|_| reached) {
                    let base = LocalBase::Socket(datagram.to);
                    viewer.handle_datagram(self.now, base, datagram.from, &datagram.bytes);
                }
            }
            SessionOutput::KeyFrame => self.key_frames_requested += 1,
            SessionOutput::Ended(reason) => self.ended.push(reason),
            SessionOutput::Started
            | SessionOutput::Answer(_)
            | SessionOutput::Fragment(_)
            | SessionOutput::Received(_)
            | SessionOutput::TurnTransport(..) => {}
        }
    }

    fn handle_viewer_output(&mut self, output: SessionOutput) {
        match output {
            SessionOutput::Answer(answer) => self.gateway.handle_answer(self.now, &answer),
            SessionOutput::Trickle(candidate) => {
                self.gateway.handle_candidate(self.now, &candidate.candidate);
            }
            SessionOutput::Datagram(datagram) => {
                if datagram.bytes.first() == Some(&22) {
                    self.handshake.push(datagram.bytes.clone());
                }
                if !self.cut && datagram.to == address(GATEWAY) {
                    let base = LocalBase::Socket(datagram.to);
                    self.gateway.handle_datagram(self.now, base, datagram.from, &datagram.bytes);
                }
            }
            SessionOutput::Received(_) => self.frames += 1,
            SessionOutput::Ended(reason) => self.ended.push(format!("viewer: {reason}")),
            SessionOutput::Offer(_)
            | SessionOutput::Fragment(_)
            | SessionOutput::Started
            | SessionOutput::KeyFrame
            | SessionOutput::TurnTransport(..) => {}
        }
    }

    /// Passes all outputs to the other side until both have no more.
    fn exchange_outputs(&mut self) {
        for _ in 0..1000 {
            let from_gateway = self.gateway.poll_output();
            let from_viewer = self.viewer.as_mut().and_then(Session::poll_output);
            if from_gateway.is_none() && from_viewer.is_none() {
                return;
            }
            if let Some(output) = from_gateway {
                self.handle_gateway_output(output);
            }
            if let Some(output) = from_viewer {
                self.handle_viewer_output(output);
            }
        }
        panic!("there are always more outputs");
    }

    /// Advances the time by `span`, from deadline to deadline.
    fn run(&mut self, span: Duration) {
        let end = self.now + span;
        self.exchange_outputs();
        for _ in 0..100_000 {
            let viewer = self.viewer.as_ref().and_then(Session::poll_timeout);
            let next = self.gateway.poll_timeout().into_iter().chain(viewer).min();
            let Some(next) = next.filter(|next| *next <= end) else {
                self.now = end;
                return;
            };
            self.now = next.max(self.now);
            self.gateway.handle_timeout(self.now);
            if let Some(viewer) = &mut self.viewer {
                viewer.handle_timeout(self.now);
            }
            self.exchange_outputs();
        }
        panic!("time does not pass");
    }

    /// Sends a key frame that fits into one packet.
    fn send_key_frame(&mut self, sequence: u64) {
        let packet = VideoPacket {
            payload: Bytes::from_static(&[0x65, 1, 2, 3]),
            timestamp: u32::try_from(sequence).unwrap() * 3000,
            marker: true,
            sequence,
            starts_key_frame: true,
            arrival: self.now,
        };
        self.gateway.send_packets(self.now, &[packet]);
        self.exchange_outputs();
    }

    fn both_started(&self) -> bool {
        self.gateway.is_started() && self.viewer.as_ref().is_some_and(Session::is_started)
    }
}

#[test]
fn a_viewer_in_the_lan_gets_the_first_frame_after_a_few_round_trips() {
    let mut pair = Pair::new();
    let begin = pair.now;
    while !pair.both_started() {
        pair.run(Duration::from_millis(1));
        assert!(pair.now - begin < Duration::from_millis(200), "{:?}", pair.gateway);
    }
    pair.send_key_frame(1);
    assert_eq!(pair.frames, 1);
    assert_eq!(pair.gateway.describe_path(), "direct");
    assert_eq!(pair.gateway.codec(), Some(Codec::H264));
}

#[test]
fn r14_a_forged_packet_from_an_unvalidated_address_changes_nothing() {
    let mut pair = Pair::new();
    pair.run(Duration::from_millis(1));
    let now = pair.now;
    let base = LocalBase::Socket(address(GATEWAY));
    // A ClientHello, an alert, RTP, RTCP, and everything that was really sent, from a wrong
    // address.
    let hello = [&[22, 254, 253][..], &[0; 40]].concat();
    let alert = [21, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 1, 0];
    let captured = pair.seen.iter().map(|bytes| bytes.to_vec());
    let forged: Vec<Vec<u8>> = [hello, alert.to_vec(), vec![0x80, 96, 0, 1], vec![0x80, 203, 0, 1]]
        .into_iter()
        .chain(captured)
        .collect();
    for datagram in forged {
        pair.gateway.handle_datagram(now, base, address(FORGER), &datagram);
    }
    pair.run(Duration::from_secs(1));
    assert!(pair.both_started() && pair.ended.is_empty(), "{:?}", pair.ended);
}

#[test]
fn cve_2023_51443_a_hello_from_any_address_ends_no_call() {
    // A ClientHello as good as the viewer's, from an attacker who sends it first and repeatedly.
    let mut elsewhere = Pair::new();
    elsewhere.run(Duration::from_secs(1));
    let hello = elsewhere.handshake.remove(0);
    assert_eq!((hello[0], hello[13]), (22, 1), "a ClientHello");
    let mut pair = Pair::new();
    for _ in 0..500 {
        let base = LocalBase::Socket(address(GATEWAY));
        pair.gateway.handle_datagram(pair.now, base, address(FORGER), &hello);
        pair.run(Duration::from_millis(1));
    }
    assert!(pair.both_started() && pair.ended.is_empty(), "{:?}", pair.ended);
    pair.send_key_frame(1);
    assert_eq!(pair.frames, 1);
}

#[test]
fn a_viewer_that_leaves_ends_the_session() {
    let mut pair = Pair::new();
    pair.run(Duration::from_millis(200));
    assert!(pair.both_started());
    let now = pair.now;
    pair.viewer.as_mut().unwrap().close(now);
    pair.exchange_outputs();
    assert_eq!(pair.ended, ["the viewer left"]);
}

#[test]
fn a_session_ends_at_its_expiry() {
    for (name, extended, expected) in [("not extended", false, 1), ("extended", true, 0)] {
        let mut pair = Pair::new();
        pair.gateway.set_expiry(pair.now + Duration::from_secs(2));
        pair.run(Duration::from_secs(1));
        if extended {
            pair.gateway.set_expiry(pair.now + Duration::from_secs(3600));
        }
        pair.run(Duration::from_secs(2) + EXPIRY_GRACE);
        assert_eq!(pair.ended.len(), expected, "{name}: {:?}", pair.ended);
    }
}

#[test]
fn a_session_without_an_answer_ends() {
    let now = Instant::now();
    let mut gateway = Session::offering(now, config(now, 1), None).unwrap();
    let mut end = now;
    for _ in 0..10_000 {
        let Some(due) = gateway.poll_timeout() else { break };
        end = due;
        gateway.handle_timeout(due);
    }
    let ended = std::iter::from_fn(|| gateway.poll_output())
        .any(|output| matches!(output, SessionOutput::Ended(_)));
    assert!(ended);
    assert!(end - now <= SETUP_TIMEOUT, "{:?}", end - now);
}

#[test]
fn a_lost_path_is_restarted_and_the_picture_returns() {
    let mut pair = Pair::new();
    pair.run(Duration::from_millis(200));
    pair.cut = true;
    pair.run(Duration::from_secs(10));
    assert_eq!(pair.offers, 2, "the first one and one for the restart");
    pair.cut = false;
    pair.run(Duration::from_secs(5));
    pair.send_key_frame(1);
    assert_eq!(pair.frames, 1, "{:?} {:?}", pair.gateway, pair.ended);
    assert!(pair.ended.is_empty(), "{:?}", pair.ended);
}

#[test]
fn a_path_that_stays_lost_ends_the_session() {
    let mut pair = Pair::new();
    pair.run(Duration::from_millis(200));
    // The address that the path used is gone, so no check can be sent.
    pair.gateway.set_addresses(pair.now, &[]);
    pair.cut = true;
    pair.run(LOST_TIMEOUT + Duration::from_secs(1));
    assert_eq!(pair.ended.iter().filter(|reason| !reason.starts_with("viewer")).count(), 1);
}

#[test]
fn an_unusable_offer_is_refused_with_the_reason() {
    let now = Instant::now();
    for (offer, expected) in [
        ("", "line 1"),
        ("v=0\r\nnonsense", "no video section"),
        (
            "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\n",
            "video",
        ),
        (&"x".repeat(70_000), "more than"),
    ] {
        let error = Session::answering(now, config(now, 1), None, offer).unwrap_err().to_string();
        assert!(error.contains(expected), "{expected}: {error}");
    }
}
