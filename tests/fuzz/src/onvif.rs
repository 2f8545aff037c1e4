//! The targets for what devices answer to a search and to the questions of a probe.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use porthole_gateway_core::onvif::discovery::{MAX_DEVICES, Output as Discovered, Search};
use porthole_gateway_core::onvif::probe::{CallError, Config, Output, Probe};
use porthole_gateway_core::onvif::{Networks, Reply, ReplyError, ReplyReader};
use porthole_gateway_core::rtsp::Credentials;

use crate::control;
use crate::onvif_settings::settings_answers;

/// Maximum number of requests of a probe with everything that it does.
const MAX_REQUESTS: u32 = 180;

/// Maximum number of deadlines on the way to the end of a probe that hears nothing more.
const MAX_DEADLINES: usize = 200;

/// Maximum number of answers that are taken from one input.
const MAX_PIECES: usize = 300;

/// Longest time of a probe, whatever the device does.
const MAX_TIME: Duration = Duration::from_secs(60);

/// Checks that any answers to a search are read within their bounds. A zero byte parts two answers,
/// which come from different addresses.
pub fn discovery_answers(data: &[u8]) {
    let now = Instant::now();
    let mut search = Search::new(1, 1, now);
    let mut devices = 0;
    for (number, answer) in data.split(|byte| *byte == 0).enumerate().take(MAX_PIECES) {
        let last = u8::try_from(number % 200).unwrap_or_default();
        search.handle_datagram(SocketAddr::from(([192, 0, 2, last], 3702)), answer);
    }
    // As a response of multicast DNS.
    let response = [&[0, 0, 0x84, 0], data].concat();
    search.handle_datagram(SocketAddr::from(([192, 0, 2, 251], 5353)), &response);
    // UTF-16 has zero bytes.
    search.handle_datagram(SocketAddr::from(([192, 0, 2, 250], 3702)), data);
    while let Some(output) = search.poll_output() {
        let (Discovered::Found(device) | Discovered::Moved(device)) = output else { continue };
        devices = devices.max(device.number + 1);
        let texts = [&device.vendor, &device.model, &device.name, &device.mac, &device.uuid];
        for text in texts.into_iter().flatten() {
            assert!(text.chars().count() <= 128 && !text.contains(char::is_control), "{text}");
        }
    }
    assert!(devices <= MAX_DEVICES);
    let due = search.poll_timeout().expect("the search goes on");
    assert!(due > now);
}

/// Checks that a probe of any device stays within its bounds and ends in time, contacts one address
/// only, and has at most two requests with a password refused. The first byte chooses the
/// credentials; then come answers, each after its length and a byte for its kind. The same answers
/// are given to a look at the device's settings, to a change of them, and to the control of a
/// camera.
pub fn onvif_answers(data: &[u8]) {
    let Some((choice, rest)) = data.split_first() else { return };
    read_reply(rest);
    let mut session = Session::new(*choice);
    let mut rest = rest;
    let mut pieces = Vec::new();
    while let [high, low, kind, piece @ ..] = rest {
        let len = usize::from(u16::from_be_bytes([*high, *low])).min(piece.len());
        let (body, after) = piece.split_at(len);
        rest = after;
        session.answer(*kind, body);
        if pieces.len() < MAX_PIECES {
            pieces.push((*kind, body));
        }
    }
    session.wait();
    settings_answers(*choice, &pieces);
    control::answers(*choice, &pieces);
}

/// Returns the settings of a device; the first bits choose its credentials.
pub(crate) fn device(choice: u8) -> Config {
    let peer = IpAddr::from(Ipv4Addr::new(192, 0, 2, 1));
    let own = vec!["192.0.2.0/24".parse().expect("a network")];
    let credentials = Credentials { user: "u".to_owned(), password: "geheim".to_owned() };
    Config {
        peer: SocketAddr::new(peer, 0),
        host: peer.to_string(),
        services: Vec::new(),
        only_services: false,
        credentials: (choice & 1 != 0).then_some(credentials),
        allows_text: choice & 2 != 0,
        networks: Networks { own, named: Vec::new() },
        unix_s: 1_795_867_200,
        seed: 1,
    }
}

/// Checks that a reply is the same however it is cut.
fn read_reply(bytes: &[u8]) {
    let read = |step: usize| -> Result<Reply, ReplyError> {
        let mut reader = ReplyReader::default();
        for piece in bytes.chunks(step) {
            if let Some(reply) = reader.push(piece)? {
                return Ok(reply);
            }
        }
        reader.finish()
    };
    assert_eq!(read(bytes.len().max(1)), read(1));
}

/// A probe in virtual time.
struct Session {
    probe: Probe,
    start: Instant,
    now: Instant,
    waiting: VecDeque<u32>,
    requests: u32,
    is_done: bool,
}

impl Session {
    fn new(choice: u8) -> Self {
        let config = device(choice);
        let now = Instant::now();
        let probe = Probe::new(config, now).expect("an address of the network");
        let waiting = VecDeque::new();
        let mut session = Self { probe, start: now, now, waiting, requests: 0, is_done: false };
        session.drain();
        session
    }

    fn answer(&mut self, kind: u8, body: &[u8]) {
        let Some(id) = self.waiting.pop_front() else { return };
        let text = String::from_utf8_lossy(body).into_owned();
        let reply = |status| Reply { status, body: body.to_vec(), ..Reply::default() };
        match kind % 8 {
            0..=2 => self.probe.handle_reply(self.now, id, &reply(200)),
            3 => self.probe.handle_reply(self.now, id, &reply(400)),
            4 => {
                let challenges = text.lines().map(ToOwned::to_owned).collect();
                let reply = Reply { challenges, ..reply(401) };
                self.probe.handle_reply(self.now, id, &reply);
            }
            5 => {
                let reply = Reply { location: Some(text), ..reply(302) };
                self.probe.handle_reply(self.now, id, &reply);
            }
            6 => self.probe.handle_error(self.now, id, CallError::Refused),
            _ => self.probe.handle_error(self.now, id, CallError::Unreachable),
        }
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.probe.poll_output() {
            assert!(!self.is_done, "nothing follows the end: {output:?}");
            match output {
                Output::Send(request) => {
                    assert_eq!(request.to.ip(), IpAddr::from([192, 0, 2, 1]));
                    self.requests += 1;
                    self.waiting.push_back(request.id);
                }
                Output::Cancel(id) => self.waiting.retain(|waiting| *waiting != id),
                Output::Finding(finding) => {
                    let sentence = finding.to_string();
                    assert!(!sentence.contains(char::is_control) && sentence.len() < 1000);
                }
                Output::Camera(camera) => {
                    assert!(!camera.main.address.url().contains(char::is_whitespace));
                }
                Output::Device(_) => {}
                Output::Done => self.is_done = true,
            }
        }
        assert!(self.probe.refused() <= 2, "{} refused", self.probe.refused());
        assert!(self.requests <= MAX_REQUESTS, "{} requests", self.requests);
    }

    /// Waits for the end of a probe that hears nothing more.
    fn wait(&mut self) {
        for _ in 0..MAX_DEADLINES {
            let Some(due) = self.probe.poll_timeout() else {
                assert!(self.is_done, "a probe ends with its last output");
                assert!(self.now.duration_since(self.start) <= MAX_TIME);
                return;
            };
            self.now = self.now.max(due);
            self.probe.handle_timeout(self.now);
            self.drain();
        }
        panic!("a deadline stays due");
    }
}
