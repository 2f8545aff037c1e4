//! A gateway's session and a viewer's on one network, with a virtual clock.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use porthole_gateway_core::Datagram;
use porthole_gateway_core::camera::StreamId;
use porthole_gateway_core::dtls_srtp::{DtlsRole, Identity};
use porthole_gateway_core::ice::LocalBase;
use porthole_gateway_core::media::{Codec, MediaPacket};
use porthole_gateway_core::rtp::rtcp::Packet;
use porthole_gateway_core::sdp::{MediaKind, offered_codecs};
use porthole_gateway_core::session::{SectionConfig, Session, SessionConfig, SessionOutput};
use porthole_viewer::{ReceivedFrame, ViewerConfig, ViewerOutput, ViewerSession};

pub(crate) const GATEWAY: &str = "192.168.1.2:5000";
pub(crate) const VIEWER: &str = "192.168.1.3:6000";
pub(crate) const FORGER: &str = "192.168.1.66:666";

pub(crate) fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub(crate) fn config(now: Instant, seed: u64) -> SessionConfig {
    SessionConfig {
        sections: vec![SectionConfig {
            kind: MediaKind::Video,
            source: StreamId::main("door".parse().unwrap()),
            codecs: offered_codecs(Codec::H264, None),
        }],
        identity: Identity::generate().unwrap(),
        ice_servers: Vec::new(),
        turn_only: false,
        expires: now + Duration::from_secs(3600),
        seed,
    }
}

/// Both sessions and the datagrams on their way. Descriptions and candidates arrive at once.
pub(crate) struct Pair {
    pub(crate) now: Instant,
    pub(crate) gateway: Session,
    pub(crate) viewer: Option<ViewerSession>,
    /// The viewer's role in the DTLS handshake.
    pub(crate) role: DtlsRole,
    /// Time that a datagram takes from one side to the other.
    pub(crate) delay: Duration,
    /// Decides which datagrams are lost; the first argument counts them from 1.
    pub(crate) lose: fn(usize, &Datagram) -> bool,
    pub(crate) cut: bool,
    /// Changes the viewer's answer.
    pub(crate) rewrite: fn(String) -> String,
    /// Candidates of the gateway that arrived before its offer was answered.
    early: Vec<String>,
    in_flight: VecDeque<(Instant, Datagram)>,
    count: usize,
    pub(crate) frames: usize,
    pub(crate) last_frame: Option<ReceivedFrame>,
    pub(crate) key_frames_requested: usize,
    pub(crate) offers: Vec<String>,
    /// Reasons for which a session ended, the viewer's with a prefix.
    pub(crate) ended: Vec<String>,
    /// RTCP compounds that the viewer received, with their times of arrival.
    pub(crate) reports: Vec<(Instant, Vec<Packet>)>,
    /// Every datagram that the gateway sent, for tests that forge one.
    pub(crate) seen: Vec<Bytes>,
    /// The DTLS handshake messages that the viewer sent.
    pub(crate) handshake: Vec<Bytes>,
}

impl Pair {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self::with(now, Session::offering(now, config(now, 1)).unwrap())
    }

    pub(crate) fn with(now: Instant, mut gateway: Session) -> Self {
        gateway.set_addresses(now, &[address(GATEWAY)]);
        gateway.handle_reflexive_complete(now);
        Self {
            now,
            gateway,
            viewer: None,
            role: DtlsRole::Client,
            delay: Duration::ZERO,
            lose: |_, _| false,
            cut: false,
            rewrite: |answer| answer,
            early: Vec::new(),
            in_flight: VecDeque::new(),
            count: 0,
            frames: 0,
            last_frame: None,
            key_frames_requested: 0,
            offers: Vec::new(),
            ended: Vec::new(),
            reports: Vec::new(),
            seen: Vec::new(),
            handshake: Vec::new(),
        }
    }

    fn handle_offer(&mut self, offer: String) {
        self.offers.push(offer.clone());
        if let Some(viewer) = &mut self.viewer {
            return viewer.handle_offer(self.now, &offer).unwrap();
        }
        let config = ViewerConfig {
            identity: Identity::generate().unwrap(),
            ice_servers: Vec::new(),
            turn_only: false,
            role: self.role,
            seed: 2,
        };
        let mut viewer = ViewerSession::new(self.now, config, &offer).unwrap();
        viewer.set_addresses(self.now, &[address(VIEWER)]);
        viewer.handle_reflexive_complete(self.now);
        for candidate in std::mem::take(&mut self.early) {
            viewer.handle_candidate(self.now, &candidate);
        }
        self.viewer = Some(viewer);
    }

    fn handle_gateway_output(&mut self, output: SessionOutput) {
        match output {
            SessionOutput::Offer(offer) => self.handle_offer(offer),
            SessionOutput::Trickle(candidate) => match &mut self.viewer {
                Some(viewer) => viewer.handle_candidate(self.now, &candidate.candidate),
                None => self.early.push(candidate.candidate),
            },
            SessionOutput::Datagram(datagram) => {
                self.seen.push(datagram.bytes.clone());
                self.transmit(datagram);
            }
            SessionOutput::KeyFrame { .. } => self.key_frames_requested += 1,
            SessionOutput::Ended(_, reason) => self.ended.push(reason),
            SessionOutput::Started
            | SessionOutput::FirstPacket(_)
            | SessionOutput::Answer(_)
            | SessionOutput::Fragment(_)
            | SessionOutput::Quiet
            | SessionOutput::Line
            | SessionOutput::TurnTransport(..) => {}
        }
    }

    fn handle_viewer_output(&mut self, output: ViewerOutput) {
        match output {
            ViewerOutput::Answer(answer) => {
                let answer = (self.rewrite)(answer);
                self.gateway.handle_answer(self.now, &answer);
            }
            ViewerOutput::Trickle(candidate) => {
                self.gateway.handle_candidate(self.now, &candidate);
            }
            ViewerOutput::Datagram(datagram) => {
                if datagram.bytes.first() == Some(&22) {
                    self.handshake.push(datagram.bytes.clone());
                }
                self.transmit(datagram);
            }
            ViewerOutput::Frame(frame) => {
                self.frames += 1;
                self.last_frame = Some(frame);
            }
            ViewerOutput::Rtcp(packets) => self.reports.push((self.now, packets)),
            ViewerOutput::Ended(reason) => self.ended.push(format!("viewer: {reason}")),
            ViewerOutput::Started | ViewerOutput::TurnTransport(..) => {}
        }
    }

    fn transmit(&mut self, datagram: Datagram) {
        self.count += 1;
        if !self.cut && !(self.lose)(self.count, &datagram) {
            self.in_flight.push_back((self.now + self.delay, datagram));
        }
    }

    /// Delivers one datagram that has arrived.
    fn deliver(&mut self) -> bool {
        if self.in_flight.front().is_none_or(|(at, _)| *at > self.now) {
            return false;
        }
        let Some((_, Datagram { from, to, bytes })) = self.in_flight.pop_front() else {
            return false;
        };
        let base = LocalBase::Socket(to);
        if to == address(GATEWAY) {
            self.gateway.handle_datagram(self.now, base, from, &bytes);
        } else if let Some(viewer) = self.viewer.as_mut().filter(|_| to == address(VIEWER)) {
            viewer.handle_datagram(self.now, base, from, &bytes);
        }
        true
    }

    /// Passes all outputs to the other side until both have no more.
    pub(crate) fn exchange_outputs(&mut self) {
        for _ in 0..10_000 {
            let from_gateway = self.gateway.poll_output();
            let from_viewer = self.viewer.as_mut().and_then(ViewerSession::poll_output);
            let quiet = from_gateway.is_none() && from_viewer.is_none();
            if let Some(output) = from_gateway {
                self.handle_gateway_output(output);
            }
            if let Some(output) = from_viewer {
                self.handle_viewer_output(output);
            }
            if quiet && !self.deliver() {
                return;
            }
        }
        panic!("there are always more outputs");
    }

    /// Advances the time by `span`, from deadline to deadline.
    pub(crate) fn run(&mut self, span: Duration) {
        let end = self.now + span;
        self.exchange_outputs();
        for _ in 0..100_000 {
            let viewer = self.viewer.as_ref().and_then(ViewerSession::poll_timeout);
            let arrival = self.in_flight.front().map(|(at, _)| *at);
            let next = self.gateway.poll_timeout().into_iter().chain(viewer).chain(arrival).min();
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

    /// Returns a key frame that fits into one packet.
    pub(crate) fn key_frame(&self, sequence: u64) -> MediaPacket {
        MediaPacket {
            payload: Bytes::from_static(&[0x65, 1, 2, 3]),
            timestamp: u32::try_from(sequence).unwrap() * 3000,
            marker: true,
            sequence,
            starts_key_frame: true,
            arrival: self.now,
            captured: self.now,
        }
    }

    /// Sends a key frame that fits into one packet.
    pub(crate) fn send_key_frame(&mut self, sequence: u64) {
        let packet = self.key_frame(sequence);
        self.gateway.send_packets(self.now, 0, &[packet]);
        self.exchange_outputs();
    }

    pub(crate) fn both_started(&self) -> bool {
        self.gateway.is_started() && self.viewer.as_ref().is_some_and(ViewerSession::is_started)
    }
}
