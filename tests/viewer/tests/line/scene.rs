//! A gateway with a camera of two streams, and viewers behind links, in virtual time.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use porthole_gateway_core::camera::{CameraChange, CameraSettings, Picture, SourceEvent, StreamId};
use porthole_gateway_core::dtls_srtp::{DtlsRole, Identity};
use porthole_gateway_core::ice::LocalBase;
use porthole_gateway_core::media::{
    Codec, Delivery, MediaKind, RtpPacket, StreamDescription, TrackDescription,
};
use porthole_gateway_core::{Core, Datagram, Gateway, GatewayConfig, Output};
use porthole_signaling_proto::method::{
    ConnectDevice, ConnectDeviceParams, Invite, InviteParams, InviteResult, Method as _,
    Notification as _, Trickle, TrickleParams,
};
use porthole_signaling_proto::rpc;
use porthole_signaling_proto::rpc::{Message, RequestId};
use porthole_viewer::{ReceivedFrame, ViewerConfig, ViewerOutput, ViewerSession};

use crate::link::{Link, Shape};

/// 640x480, made by x264.
const SPS: &[u8] = b"\x67\x42\xc0\x1e\xd9\x00\xa0\x3d\xb0\x11\x00\x00\x03\x00\x01\x00\x00\
    \x03\x00\x32\x0f\x16\x2e\x48";
const PPS: &[u8] = b"\x68\xcb\x83\xcb\x20";

const GATEWAY: &str = "192.168.1.2:5000";

/// Interval between two pictures.
const PICTURE: Duration = Duration::from_millis(40);

/// A change of the picture's size is seen by this many bytes of its pictures.
const LARGE: usize = 9_000;

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

/// A stream that plays.
struct Playing {
    id: StreamId,
    shape: StreamShape,
    next: Instant,
    pictures: usize,
    sequence: u16,
}

/// A viewer behind its link.
pub(crate) struct Watcher {
    session: ViewerSession,
    /// Index of its link.
    pub(crate) link: usize,
    pub(crate) frames: Vec<ReceivedFrame>,
    pub(crate) ended: Vec<String>,
    invite: Option<RequestId>,
}

impl Watcher {
    /// Returns the time of the first picture after this one that is large, or small.
    pub(crate) fn first(&self, from: Instant, large: bool) -> Option<Instant> {
        let frame = self.frames.iter().find(|it| it.at >= from && is_large(it) == large);
        frame.map(|frame| frame.at)
    }

    /// Returns how often the picture has changed its size.
    pub(crate) fn changes(&self, from: Instant, until: Instant) -> usize {
        let shown: Vec<_> =
            self.frames.iter().filter(|it| (from..until).contains(&it.at)).map(is_large).collect();
        shown.windows(2).filter(|two| two[0] != two[1]).count()
    }

    /// Returns the time that passes without a picture for longer than browsers accept as smooth:
    /// 150 ms more than usual, or `patience` more.
    pub(crate) fn frozen(&self, from: Instant, until: Instant, patience: Duration) -> Duration {
        let times = self.frames.iter().map(|frame| frame.at);
        let times: Vec<_> = [from]
            .into_iter()
            .chain(times.filter(|at| (from..until).contains(at)))
            .chain([until])
            .collect();
        let gaps = times.windows(2).map(|two| two[1] - two[0]);
        gaps.filter(|gap| *gap > PICTURE + patience).sum()
    }

    /// Returns the longest time without a picture.
    pub(crate) fn longest_gap(&self, from: Instant, until: Instant) -> Duration {
        let times = self.frames.iter().map(|frame| frame.at);
        let times: Vec<_> = times.filter(|at| (from..until).contains(at)).collect();
        times.windows(2).map(|two| two[1] - two[0]).max().unwrap_or(until - from)
    }
}

/// Returns true for a picture of the main stream. Those of the sub stream that are as large are key
/// frames.
fn is_large(frame: &ReceivedFrame) -> bool {
    frame.bytes > LARGE && !(frame.is_key && frame.bytes < 30_000)
}

/// The gateway, its viewers and links, and the clock.
pub(crate) struct Scene {
    pub(crate) now: Instant,
    gateway: Gateway,
    streams: Vec<Playing>,
    pub(crate) watchers: BTreeMap<String, Watcher>,
    /// The links; several viewers may share one.
    pub(crate) links: Vec<Link>,
    /// Datagrams to viewers by arrival, and those to the gateway.
    to_viewers: BTreeMap<(Instant, u64), (String, Bytes)>,
    to_gateway: VecDeque<(Instant, SocketAddr, Bytes)>,
    count: u64,
    early: BTreeMap<String, Vec<String>>,
}

impl Scene {
    /// Creates a gateway with a camera that plays, and a link for each shape.
    pub(crate) fn new(main: StreamShape, sub: Option<StreamShape>, links: &[Shape]) -> Self {
        let now = Instant::now();
        let mut gateway = Gateway::new(GatewayConfig {
            identity: Identity::generate().unwrap(),
            turn_only: false,
            seed: 1,
        });
        let settings = CameraSettings {
            id: "door".parse().unwrap(),
            name: "Door".to_owned(),
            on_demand: false,
            has_sub: sub.is_some(),
            picture: Picture::default(),
            provisional: false,
        };
        gateway.change_camera(now, CameraChange::Put(settings));
        gateway.set_addresses(now, vec![address(GATEWAY)]);
        gateway.handle_online(now);
        let main = (StreamId::main("door".parse().unwrap()), main, Duration::ZERO);
        let sub = sub
            .map(|sub| (StreamId::sub("door".parse().unwrap()), sub, Duration::from_millis(713)));
        let mut streams = Vec::new();
        for (id, shape, after) in [Some(main), sub].into_iter().flatten() {
            let description = StreamDescription::video(TrackDescription {
                codec: Codec::H264,
                parameter_sets: [SPS, PPS].map(Bytes::from_static).to_vec(),
                delivery: Delivery::InOrder,
            });
            gateway.handle_source(now, &id, SourceEvent::Connected(description));
            streams.push(Playing { id, shape, next: now + after, pictures: 0, sequence: 0 });
        }
        let links = links.iter().zip(1..).map(|(shape, seed)| Link::new(*shape, seed)).collect();
        let mut scene = Self {
            now,
            gateway,
            streams,
            watchers: BTreeMap::new(),
            links,
            to_viewers: BTreeMap::new(),
            to_gateway: VecDeque::new(),
            count: 0,
            early: BTreeMap::new(),
        };
        scene.run(Duration::from_secs(3));
        scene
    }

    /// Lets a viewer watch the camera, or its stream with this id.
    pub(crate) fn watch(&mut self, name: &str, profile: &str, link: usize) {
        let connect = ConnectDeviceParams {
            session: name.parse().unwrap(),
            profile: Some(profile.parse().unwrap()),
            ice_servers: Vec::new(),
            expiry_time_seconds: Some(36_000),
            audio: false,
        };
        // The session, and with it its link, are found by the id of the request.
        let id = i64::try_from(100 + link).unwrap();
        self.gateway.handle_message(self.now, Message::request::<ConnectDevice>(id, &connect));
        self.exchange(Some(link));
    }

    fn mapped(&self, name: &str) -> SocketAddr {
        let index = self.watchers.keys().position(|known| known == name).unwrap_or(0);
        address(&format!("203.0.113.{}:40000", index + 1))
    }

    fn handle_signal(&mut self, message: Message, link: Option<usize>) {
        match message {
            Message::Request { id, method, params } if method == Invite::NAME => {
                let InviteParams { offer, session, .. } = rpc::read(params).unwrap();
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
            ViewerOutput::Datagram(Datagram { bytes, .. }) => {
                let delay = self.links[watcher.link].shape.delay;
                self.to_gateway.push_back((self.now + delay, from, bytes));
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
        let link = self.watchers[&name].link;
        if let Some(at) = self.links[link].pass(self.now, bytes.len()) {
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

    fn next(&mut self) -> Option<Instant> {
        let viewers = self.watchers.values().filter_map(|it| it.session.poll_timeout()).min();
        let pictures = self.streams.iter().map(|stream| stream.next).min();
        let arrival = self.to_viewers.first_key_value().map(|((at, _), _)| *at);
        let report = self.to_gateway.front().map(|(at, ..)| *at);
        let gateway = self.gateway.poll_timeout();
        [viewers, pictures, arrival, report, gateway].into_iter().flatten().min()
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
