use super::*;
use crate::ice::LocalBase;
use crate::media::VideoPacket;
use bytes::Bytes;
use std::net::SocketAddr;

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

/// A gateway's session and a viewer's in one LAN, on one clock.
struct Pair {
    now: Instant,
    gateway: Session,
    viewer: Option<Session>,
    /// Candidates of the gateway that came before its offer was answered.
    early: Vec<String>,
    frames: usize,
    key_frames_wanted: usize,
    offers: usize,
    ended: Vec<String>,
    /// Every datagram from the gateway's side, for who wants to forge one.
    seen: Vec<Bytes>,
    /// What the viewer says of DTLS.
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
            key_frames_wanted: 0,
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

    fn carry_out(&mut self, output: SessionOutput) {
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
                    let end = LocalBase::Socket(datagram.to);
                    viewer.handle_datagram(self.now, end, datagram.from, &datagram.bytes);
                }
            }
            SessionOutput::KeyFrame => self.key_frames_wanted += 1,
            SessionOutput::Ended(reason) => self.ended.push(reason),
            SessionOutput::Started
            | SessionOutput::Answer(_)
            | SessionOutput::Fragment(_)
            | SessionOutput::Received(_)
            | SessionOutput::TurnTransport(..) => {}
        }
    }

    fn carry_back(&mut self, output: SessionOutput) {
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
                    let end = LocalBase::Socket(datagram.to);
                    self.gateway.handle_datagram(self.now, end, datagram.from, &datagram.bytes);
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

    /// Carries everything both ways until both are silent.
    fn process_pending(&mut self) {
        for _ in 0..1000 {
            let from_gateway = self.gateway.poll_output();
            let from_viewer = self.viewer.as_mut().and_then(Session::poll_output);
            if from_gateway.is_none() && from_viewer.is_none() {
                return;
            }
            if let Some(output) = from_gateway {
                self.carry_out(output);
            }
            if let Some(output) = from_viewer {
                self.carry_back(output);
            }
        }
        panic!("the two never fall silent");
    }

    /// Lets time pass, from deadline to deadline.
    fn run(&mut self, span: Duration) {
        let end = self.now + span;
        self.process_pending();
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
            self.process_pending();
        }
        panic!("time does not pass");
    }

    /// A key frame in one packet.
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
        self.process_pending();
    }

    fn both_started(&self) -> bool {
        self.gateway.is_started() && self.viewer.as_ref().is_some_and(Session::is_started)
    }
}

#[test]
fn a_viewer_in_the_lan_has_the_first_frame_after_a_few_round_trips() {
    let mut pair = Pair::new();
    let begin = pair.now;
    while !pair.both_started() {
        pair.run(Duration::from_millis(1));
        assert!(pair.now - begin < Duration::from_millis(200), "{:?}", pair.gateway);
    }
    pair.send_key_frame(1);
    assert_eq!(pair.frames, 1);
    assert_eq!(pair.gateway.path_in_words(), "direct");
    assert_eq!(pair.gateway.codec(), Some(Codec::H264));
}

#[test]
fn r14_a_forged_packet_from_an_unproven_address_changes_nothing() {
    let mut pair = Pair::new();
    pair.run(Duration::from_millis(1));
    let now = pair.now;
    let end = LocalBase::Socket(address(GATEWAY));
    // What was really said, said again by somebody else: ClientHello, alert, RTP, RTCP, noise.
    let hello = [&[22, 254, 253][..], &[0; 40]].concat();
    let alert = [21, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 1, 0];
    let overheard = pair.seen.iter().map(|bytes| bytes.to_vec());
    let forged: Vec<Vec<u8>> = [hello, alert.to_vec(), vec![0x80, 96, 0, 1], vec![0x80, 203, 0, 1]]
        .into_iter()
        .chain(overheard)
        .collect();
    for datagram in forged {
        pair.gateway.handle_datagram(now, end, address(FORGER), &datagram);
    }
    pair.run(Duration::from_secs(1));
    assert!(pair.both_started() && pair.ended.is_empty(), "{:?}", pair.ended);
}

#[test]
fn cve_2023_51443_a_hello_from_any_address_ends_no_call() {
    // A ClientHello as good as the viewer's, of somebody who comes first, and goes on.
    let mut elsewhere = Pair::new();
    elsewhere.run(Duration::from_secs(1));
    let hello = elsewhere.handshake.remove(0);
    assert_eq!((hello[0], hello[13]), (22, 1), "a ClientHello");
    let mut pair = Pair::new();
    for _ in 0..500 {
        let end = LocalBase::Socket(address(GATEWAY));
        pair.gateway.handle_datagram(pair.now, end, address(FORGER), &hello);
        pair.run(Duration::from_millis(1));
    }
    assert!(pair.both_started() && pair.ended.is_empty(), "{:?}", pair.ended);
    pair.send_key_frame(1);
    assert_eq!(pair.frames, 1);
}

#[test]
fn a_viewer_who_leaves_ends_the_session() {
    let mut pair = Pair::new();
    pair.run(Duration::from_millis(200));
    assert!(pair.both_started());
    let now = pair.now;
    pair.viewer.as_mut().unwrap().close(now);
    pair.process_pending();
    assert_eq!(pair.ended, ["the viewer left"]);
}

#[test]
fn a_session_lasts_as_long_as_it_was_given() {
    for (name, extended, expected) in [("let be", false, 1), ("extended", true, 0)] {
        let mut pair = Pair::new();
        pair.gateway.extend(pair.now + Duration::from_secs(2));
        pair.run(Duration::from_secs(1));
        if extended {
            pair.gateway.extend(pair.now + Duration::from_secs(3600));
        }
        pair.run(Duration::from_secs(2) + EXPIRY_GRACE);
        assert_eq!(pair.ended.len(), expected, "{name}: {:?}", pair.ended);
    }
}

#[test]
fn a_viewer_that_never_answers_is_given_up() {
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
fn a_lost_path_is_looked_for_again_and_the_picture_returns() {
    let mut pair = Pair::new();
    pair.run(Duration::from_millis(200));
    pair.cut = true;
    pair.run(Duration::from_secs(10));
    assert_eq!(pair.offers, 2, "one for the beginning, one for the restart");
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
    // The address it went by is gone, and with it what could tell anybody.
    pair.gateway.set_addresses(pair.now, &[]);
    pair.cut = true;
    pair.run(LOST_TIMEOUT + Duration::from_secs(1));
    assert_eq!(pair.ended.iter().filter(|reason| !reason.starts_with("viewer")).count(), 1);
}

#[test]
fn an_offer_that_cannot_be_used_says_why() {
    let now = Instant::now();
    for (offer, expected) in [
        ("", "line 1"),
        ("v=0\r\nnonsense", "no video section"),
        (
            "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\n",
            "video",
        ),
        (&"x".repeat(40_000), "more than"),
    ] {
        let error = Session::answering(now, config(now, 1), None, offer).unwrap_err().to_string();
        assert!(error.contains(expected), "{expected}: {error}");
    }
}
