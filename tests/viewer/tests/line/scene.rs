//! A gateway with a camera of two streams, and viewers behind links, in virtual time.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use porthole_gateway_core::camera::{CameraChange, CameraSettings, Picture, SourceEvent, StreamId};
use porthole_gateway_core::dtls_srtp::{DtlsRole, Identity};
use porthole_gateway_core::ice::LocalBase;
use porthole_gateway_core::media::{
    Beeper, Codec, Delivery, MediaKind, RtpPacket, StreamDescription, TrackDescription,
};
use porthole_gateway_core::{Core, Datagram, Gateway, GatewayConfig, Output};
use porthole_signaling_proto::method::{
    Close, ConnectDevice, ConnectDeviceParams, Invite, InviteParams, InviteResult, Method as _,
    Notification as _, RateCap, SessionParams, Shown, ShownParams, Trickle, TrickleParams,
};
use porthole_signaling_proto::rpc;
use porthole_signaling_proto::rpc::Message;
use porthole_viewer::{ViewerConfig, ViewerOutput, ViewerSession};

use crate::SECOND;
use crate::link::{Link, Shape};
use crate::watcher::Watcher;

/// 640x480, made by x264.
const SPS: &[u8] = b"\x67\x42\xc0\x1e\xd9\x00\xa0\x3d\xb0\x11\x00\x00\x03\x00\x01\x00\x00\
    \x03\x00\x32\x0f\x16\x2e\x48";
const PPS: &[u8] = b"\x68\xcb\x83\xcb\x20";

/// 1280x720, made by x265.
const H265: [&[u8]; 3] = [
    b"\x40\x01\x0c\x01\xff\xff\x01\x60",
    b"\x42\x01\x01\x01\x60\x00\x00\x03\x00\x90\x00\x00\x03\x00\x00\x03\x00\x5d\
        \xa0\x02\x80\x80\x2d\x16\x59\x59\xa4\x93\x2b\xc0\x5a\x02\x00\x00\x03\x00\x02\x00\x00\x03\
        \x00\x32\x10",
    b"\x44\x01\xc1\x72",
];

const GATEWAY: &str = "192.168.1.2:5000";

/// Interval between two pictures.
pub(crate) const PICTURE: Duration = Duration::from_millis(40);

/// Duration of a packet of sound.
const SOUND: Duration = Duration::from_millis(Beeper::PACKET_MILLISECONDS);

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A stream of the camera.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StreamShape {
    pub(crate) bits_per_second: usize,
    /// Pictures from one key frame to the next.
    pub(crate) group: usize,
    /// Size of a key frame in bytes.
    pub(crate) key: usize,
}

impl StreamShape {
    fn picture(&self, number: usize) -> usize {
        if number.is_multiple_of(self.group) {
            return self.key;
        }
        let group = self.bits_per_second / 8 * self.group / 25;
        group.saturating_sub(self.key) / (self.group - 1)
    }
}

/// A main stream of 4 Mbit/s.
pub(crate) const MAIN: StreamShape =
    StreamShape { bits_per_second: 4_000_000, group: 50, key: 80_000 };

/// A sub stream of 0.5 Mbit/s.
pub(crate) const SUB: StreamShape =
    StreamShape { bits_per_second: 500_000, group: 50, key: 12_000 };

/// The sub stream of the camera.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Sub {
    /// The camera has no sub stream.
    Missing,
    /// The camera has one, which does not connect.
    Silent,
    /// The camera sends one that the viewers' section cannot show.
    H265,
    /// A stream of this shape plays.
    Plays(StreamShape),
}

/// A player of the viewers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Player {
    /// True if it takes sound.
    pub(crate) has_sound: bool,
    /// True if it tells when each packet has arrived.
    pub(crate) is_detailed: bool,
    /// True if it takes packets that are sent again as a stream of their own.
    pub(crate) takes_rtx: bool,
    /// True if it says nothing of what it gets.
    pub(crate) is_silent: bool,
}

impl Default for Player {
    fn default() -> Self {
        Self { has_sound: false, is_detailed: true, takes_rtx: true, is_silent: false }
    }
}

impl Player {
    /// Returns what it understands of an offer.
    fn read(self, offer: &str) -> String {
        let is_known = |line: &&str| {
            let numbers = line.contains("transport-wide-cc") || line.contains("transport-cc");
            let rtx = line.contains("rtx/90000") || line.contains("apt=");
            (self.is_detailed || !numbers) && (self.takes_rtx || !rtx)
        };
        offer.lines().filter(is_known).flat_map(|line| [line, "\r\n"]).collect()
    }
}

/// A stream that plays.
struct Playing {
    id: StreamId,
    shape: StreamShape,
    next: Instant,
    pictures: usize,
    sequence: u16,
}

/// Sound that plays.
struct Sounding {
    next: Instant,
    sequence: u16,
}

/// The gateway, its viewers and links, and the clock.
pub(crate) struct Scene {
    pub(crate) now: Instant,
    gateway: Gateway,
    streams: Vec<Playing>,
    /// Sound of the main stream.
    sound: Option<Sounding>,
    players: BTreeMap<String, Player>,
    pub(crate) watchers: BTreeMap<String, Watcher>,
    /// The links; several viewers may share one.
    pub(crate) links: Vec<Link>,
    /// The gateway's own uplink, if it is a bottleneck for all.
    pub(crate) uplink: Option<Link>,
    /// Datagrams to viewers by arrival, and those to the gateway.
    to_viewers: BTreeMap<(Instant, u64), (String, Bytes)>,
    to_gateway: VecDeque<(Instant, SocketAddr, Bytes)>,
    count: u64,
    early: BTreeMap<String, Vec<String>>,
    /// Messages to viewers about their picture, with the time.
    told: Vec<(Instant, ShownParams)>,
    /// The limits of the viewers that come from now on.
    pub(crate) caps: Vec<RateCap>,
}

impl Scene {
    /// Creates a gateway with a camera that plays, and a link for each shape.
    pub(crate) fn new(main: StreamShape, sub: Option<StreamShape>, links: &[Shape]) -> Self {
        Self::with(main, sub.map_or(Sub::Missing, Sub::Plays), links, None)
    }

    /// Creates such a gateway with this sub stream and a cap of its uplink.
    pub(crate) fn with(
        main: StreamShape,
        sub: Sub,
        links: &[Shape],
        max_uplink: Option<u64>,
    ) -> Self {
        let now = Instant::now();
        let mut gateway = Gateway::new(GatewayConfig {
            identity: Identity::generate().unwrap(),
            turn_only: false,
            max_uplink,
            seed: 1,
        });
        let settings = CameraSettings {
            id: "door".parse().unwrap(),
            name: "Door".to_owned(),
            on_demand: false,
            has_sub: !matches!(sub, Sub::Missing),
            picture: Picture::default(),
            provisional: false,
        };
        gateway.change_camera(now, CameraChange::Put(settings));
        gateway.set_addresses(now, vec![address(GATEWAY)]);
        gateway.handle_online(now);
        let links = links.iter().zip(1..).map(|(shape, seed)| Link::new(*shape, seed)).collect();
        let mut scene = Self {
            now,
            gateway,
            streams: Vec::new(),
            sound: None,
            players: BTreeMap::new(),
            watchers: BTreeMap::new(),
            links,
            uplink: None,
            to_viewers: BTreeMap::new(),
            to_gateway: VecDeque::new(),
            count: 0,
            early: BTreeMap::new(),
            told: Vec::new(),
            caps: Vec::new(),
        };
        scene.connect(&StreamId::main("door".parse().unwrap()), main);
        match sub {
            Sub::Missing | Sub::Silent => {}
            Sub::H265 => {
                let id = StreamId::sub("door".parse().unwrap());
                let description = describe(Codec::H265, &H265);
                scene.gateway.handle_source(now, &id, SourceEvent::Connected(description));
            }
            Sub::Plays(shape) => scene.play_sub(shape),
        }
        scene.run(Duration::from_secs(3));
        scene
    }

    fn connect(&mut self, id: &StreamId, shape: StreamShape) {
        let description = StreamDescription {
            audio: Some(Beeper::description()),
            ..describe(Codec::H264, &[SPS, PPS])
        };
        self.gateway.handle_source(self.now, id, SourceEvent::Connected(description));
        let (id, next) = (id.clone(), self.now);
        self.streams.push(Playing { id, shape, next, pictures: 0, sequence: 0 });
    }

    /// Lets the sub stream play from now on.
    pub(crate) fn play_sub(&mut self, shape: StreamShape) {
        self.connect(&StreamId::sub("door".parse().unwrap()), shape);
        if let Some(stream) = self.streams.last_mut() {
            stream.next += Duration::from_millis(713);
        }
    }

    /// Lets the sub stream end.
    pub(crate) fn end_sub(&mut self) {
        let id = StreamId::sub("door".parse().unwrap());
        self.streams.retain(|stream| stream.id != id);
        let reason = "the camera is gone".to_owned();
        let ended = SourceEvent::Ended { reason, needs_a_person: false };
        self.gateway.handle_source(self.now, &id, ended);
        self.exchange(None);
    }

    /// Lets the main stream have sound from now on.
    pub(crate) fn play_sound(&mut self) {
        self.sound = Some(Sounding { next: self.now, sequence: 0 });
    }

    /// Lets a viewer watch the camera, or its stream with this id.
    pub(crate) fn watch(&mut self, name: &str, profile: &str, link: usize) {
        self.watch_with(name, profile, link, Player::default());
    }

    /// Lets a viewer with this player watch.
    pub(crate) fn watch_with(&mut self, name: &str, profile: &str, link: usize, player: Player) {
        self.players.insert(name.to_owned(), player);
        let connect = ConnectDeviceParams {
            session: name.parse().unwrap(),
            profile: Some(profile.parse().unwrap()),
            ice_servers: Vec::new(),
            expiry_time_seconds: Some(36_000),
            audio: player.has_sound,
            caps: self.caps.clone(),
        };
        // The session, and with it its link, are found by the id of the request.
        let id = i64::try_from(100 + link).unwrap();
        self.gateway.handle_message(self.now, Message::request::<ConnectDevice>(id, &connect));
        self.exchange(Some(link));
    }

    /// Returns what a viewer was told about its picture from this time on.
    pub(crate) fn told(&self, name: &str, from: Instant) -> Vec<(Instant, ShownParams)> {
        let is_its =
            |(at, shown): &&(Instant, ShownParams)| *at >= from && shown.session.as_str() == name;
        self.told.iter().filter(is_its).cloned().collect()
    }

    /// Sets another cap of the uplink.
    pub(crate) fn set_max_uplink(&mut self, max_uplink: Option<u64>) {
        self.gateway.set_max_uplink(self.now, max_uplink);
        self.exchange(None);
    }

    /// Lets a viewer leave.
    pub(crate) fn leave(&mut self, name: &str) {
        let params = SessionParams { session: name.parse().unwrap() };
        self.gateway.handle_message(self.now, Message::notification::<Close>(&params));
        self.exchange(None);
    }

    fn mapped(&self, name: &str) -> SocketAddr {
        let index = self.watchers.keys().position(|known| known == name).unwrap_or(0);
        let port = self.watchers.get(name).map_or(40_000, |watcher| watcher.port);
        address(&format!("203.0.113.{}:{port}", index + 1))
    }

    /// Lets the NAT of a viewer map it to another port.
    pub(crate) fn rebind(&mut self, name: &str) {
        if let Some(watcher) = self.watchers.get_mut(name) {
            watcher.port += 1;
        }
    }

    fn handle_signal(&mut self, message: Message, link: Option<usize>) {
        match message {
            Message::Request { id, method, params } if method == Invite::NAME => {
                let InviteParams { offer, session, .. } = rpc::read(params).unwrap();
                let offer = self.players[session.as_str()].read(&offer);
                if let Some(watcher) = self.watchers.get_mut(session.as_str()) {
                    watcher.invite = Some(id);
                    return watcher.session.handle_offer(self.now, &offer).unwrap();
                }
                let config = ViewerConfig {
                    identity: Identity::generate().unwrap(),
                    ice_servers: Vec::new(),
                    turn_only: false,
                    role: DtlsRole::Client,
                    seed: 2 + self.watchers.len() as u64,
                };
                let name = session.to_string();
                let mut viewer = ViewerSession::new(self.now, config, &offer).unwrap();
                viewer.set_addresses(self.now, &[address("10.0.0.3:6000")]);
                viewer.handle_reflexive_complete(self.now);
                for candidate in self.early.remove(&name).unwrap_or_default() {
                    viewer.handle_candidate(self.now, &candidate);
                }
                let watcher = Watcher {
                    session: viewer,
                    link: link.expect("an invite follows the request"),
                    frames: Vec::new(),
                    ended: Vec::new(),
                    invite: Some(id),
                    port: 40_000,
                    sent: 0,
                };
                self.watchers.insert(name, watcher);
            }
            Message::Notification { method, params } if method == Trickle::NAME => {
                let TrickleParams { candidate, session } = rpc::read(params).unwrap();
                match self.watchers.get_mut(session.as_str()) {
                    Some(it) => it.session.handle_candidate(self.now, &candidate.candidate),
                    None => {
                        let early = self.early.entry(session.to_string()).or_default();
                        early.push(candidate.candidate);
                    }
                }
            }
            Message::Notification { method, params } if method == Shown::NAME => {
                self.told.push((self.now, rpc::read(params).unwrap()));
            }
            Message::Request { .. }
            | Message::Notification { .. }
            | Message::Response { .. }
            | Message::Error(_) => {}
        }
    }

    fn handle_viewer_output(&mut self, name: &str, output: ViewerOutput) {
        let from = self.mapped(name);
        let Some(watcher) = self.watchers.get_mut(name) else { return };
        match output {
            ViewerOutput::Answer(answer) => {
                let id = watcher.invite.take().expect("an offer");
                let result = InviteResult { answer, subprotocols: None };
                self.gateway.handle_message(self.now, Message::result::<Invite>(id, &result));
            }
            ViewerOutput::Datagram(Datagram { bytes, .. })
                if self.players[name].is_silent && is_rtcp(&bytes) => {}
            ViewerOutput::Datagram(Datagram { bytes, .. }) => {
                let Shape { delay, lost, .. } = self.links[watcher.link].shape;
                // A link that loses everything is cut.
                if lost < 100 {
                    self.to_gateway.push_back((self.now + delay, from, bytes));
                }
            }
            ViewerOutput::Frame(frame) => watcher.frames.push(frame),
            ViewerOutput::Ended(reason) => watcher.ended.push(reason),
            ViewerOutput::Trickle(_)
            | ViewerOutput::Rtcp(_)
            | ViewerOutput::Started
            | ViewerOutput::TurnTransport(..) => {}
        }
    }

    fn exchange(&mut self, link: Option<usize>) {
        loop {
            let mut is_quiet = true;
            while let Some(output) = self.gateway.poll_output() {
                is_quiet = false;
                match output {
                    Output::Signal(message) => self.handle_signal(message, link),
                    Output::Datagram(Datagram { to, bytes, .. }) => self.transmit(to, bytes),
                    Output::TurnTransport(..)
                    | Output::Source(..)
                    | Output::Question(_)
                    | Output::Resolve(_)
                    | Output::DoubtLink => {}
                }
            }
            let names: Vec<_> = self.watchers.keys().cloned().collect();
            for name in names {
                while let Some(output) =
                    self.watchers.get_mut(&name).and_then(|it| it.session.poll_output())
                {
                    is_quiet = false;
                    self.handle_viewer_output(&name, output);
                }
            }
            if is_quiet {
                return;
            }
        }
    }

    fn transmit(&mut self, to: SocketAddr, bytes: Bytes) {
        let names: Vec<_> = self.watchers.keys().cloned().collect();
        let Some(name) = names.into_iter().find(|name| self.mapped(name) == to) else { return };
        let Some(watcher) = self.watchers.get_mut(&name) else { return };
        watcher.sent += bytes.len() as u64 + 28;
        let through = match &mut self.uplink {
            Some(uplink) => uplink.pass(self.now, bytes.len()),
            None => Some(self.now),
        };
        let link = &mut self.links[watcher.link];
        if let Some(at) = through.and_then(|at| link.pass(at, bytes.len())) {
            self.count += 1;
            self.to_viewers.insert((at, self.count), (name, bytes));
        }
    }

    /// Lets a stream send its next picture.
    fn play(&mut self, index: usize) {
        let now = self.now;
        let Playing { id, shape, next, pictures, sequence } = &mut self.streams[index];
        let is_key = pictures.is_multiple_of(shape.group);
        let mut left = shape.picture(*pictures);
        let timestamp = u32::try_from(*pictures).unwrap().wrapping_mul(3600);
        let (kind, slice) = if is_key { (5, 0x88) } else { (1, 0x9a) };
        let mut events = Vec::new();
        let mut is_first = true;
        while left > 0 {
            let len = left.min(1100);
            left -= len;
            *sequence = sequence.wrapping_add(1);
            let marker = if left == 0 { 0x80 } else { 0 };
            let mut bytes = vec![0x80, marker | 96];
            bytes.extend(sequence.to_be_bytes());
            bytes.extend(timestamp.to_be_bytes());
            bytes.extend([0, 0, 0, 9, 0x7c]);
            let ends = if left == 0 { 0x40 } else { 0 };
            bytes.push(if is_first { 0x80 } else { 0 } | ends | kind);
            bytes.extend([slice, 0x84, 3]);
            bytes.resize(bytes.len() + len, 7);
            is_first = false;
            let packet = RtpPacket::parse(bytes.into()).unwrap();
            events.push(SourceEvent::Packet { track: MediaKind::Video, arrival: now, packet });
        }
        *next += PICTURE;
        *pictures += 1;
        let id = id.clone();
        self.gateway.handle_source_events(now, &id, events);
    }

    /// Sends the next packet of sound, if it is due.
    fn sound(&mut self) {
        let now = self.now;
        let Some(sound) = self.sound.as_mut().filter(|sound| sound.next <= now) else { return };
        let timestamp = u32::from(sound.sequence).wrapping_mul(160);
        let mut bytes = vec![0x80, Beeper::PAYLOAD_TYPE];
        bytes.extend(sound.sequence.to_be_bytes());
        bytes.extend(timestamp.to_be_bytes());
        bytes.extend([0, 0, 0, 5]);
        bytes.resize(bytes.len() + 160, 0xd5);
        sound.sequence = sound.sequence.wrapping_add(1);
        sound.next += SOUND;
        let packet = RtpPacket::parse(bytes.into()).unwrap();
        let event = SourceEvent::Packet { track: MediaKind::Audio, arrival: now, packet };
        let id = StreamId::main("door".parse().unwrap());
        self.gateway.handle_source_events(now, &id, vec![event]);
    }

    fn next(&mut self) -> Option<Instant> {
        let viewers = self.watchers.values().filter_map(|it| it.session.poll_timeout()).min();
        let pictures = self.streams.iter().map(|stream| stream.next).min();
        let arrival = self.to_viewers.first_key_value().map(|((at, _), _)| *at);
        let report = self.to_gateway.front().map(|(at, ..)| *at);
        let gateway = self.gateway.poll_timeout();
        let sound = self.sound.as_ref().map(|sound| sound.next);
        [viewers, pictures, sound, arrival, report, gateway].into_iter().flatten().min()
    }

    /// Lets so many seconds pass. Returns the bits per second that one of the counters of the first
    /// link has counted in them.
    pub(crate) fn rate(&mut self, counter: fn(&Link) -> u64, seconds: u32) -> u64 {
        let before = counter(&self.links[0]);
        self.run(SECOND * seconds);
        (counter(&self.links[0]) - before) * 8 / u64::from(seconds)
    }

    /// Lets so much time pass.
    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        self.exchange(None);
        while let Some(next) = self.next().filter(|next| *next <= end) {
            self.now = next.max(self.now);
            for index in 0..self.streams.len() {
                if self.streams[index].next <= self.now {
                    self.play(index);
                }
            }
            self.sound();
            while let Some(entry) = self.to_viewers.first_entry()
                && entry.key().0 <= self.now
            {
                let (name, bytes) = entry.remove();
                let base = LocalBase::Socket(address("10.0.0.3:6000"));
                if let Some(watcher) = self.watchers.get_mut(&name) {
                    watcher.session.handle_datagram(self.now, base, address(GATEWAY), &bytes);
                }
            }
            while self.to_gateway.front().is_some_and(|(at, ..)| *at <= self.now) {
                let Some((_, from, bytes)) = self.to_gateway.pop_front() else { break };
                self.gateway.handle_datagram(self.now, address(GATEWAY), from, &bytes);
            }
            self.gateway.handle_timeout(self.now);
            for watcher in self.watchers.values_mut() {
                if watcher.session.poll_timeout().is_some_and(|at| at <= self.now) {
                    watcher.session.handle_timeout(self.now);
                }
            }
            self.exchange(None);
        }
        self.now = end;
    }
}

/// Returns true if a datagram is RTCP (RFC 5761 §4, RFC 7983).
fn is_rtcp(bytes: &[u8]) -> bool {
    matches!(bytes, [128..=191, 192..=223, ..])
}

fn describe(codec: Codec, parameter_sets: &[&'static [u8]]) -> StreamDescription {
    StreamDescription::video(TrackDescription {
        codec,
        parameter_sets: parameter_sets.iter().map(|set| Bytes::from_static(set)).collect(),
        delivery: Delivery::InOrder,
    })
}
