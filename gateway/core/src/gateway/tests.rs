mod starting;

use bytes::Bytes;
use porthole_signaling_proto::method::{
    Close, Connect, ConnectDevice, ConnectDeviceParams, Extend, ExtendParams, ExtendResult, Invite,
    InviteParams, Method, Notification as _, Offer, OfferParams, OfferResult, ReportParams,
    RestartParams, SessionParams, Trickle,
};
use porthole_signaling_proto::rpc::{Fault, Message, Value, code};
use porthole_signaling_proto::{CameraState, IceServer};

use super::*;
use crate::camera::{CameraSettings, Picture, SourceCommand};
use crate::media::{Codec, Delivery, MediaKind, RtpPacket, StreamDescription, TrackDescription};
use crate::{TurnTransportCommand, sdp};

/// 640x480, made by x264.
const SPS: &[u8] = b"\x67\x42\xc0\x1e\xd9\x00\xa0\x3d\xb0\x11\x00\x00\x03\x00\x01\x00\x00\
    \x03\x00\x32\x0f\x16\x2e\x48";
const PPS: &[u8] = b"\x68\xcb\x83\xcb\x20";

/// 1280x720, made by x265.
const H265_VPS: &[u8] = b"\x40\x01\x0c\x01\xff\xff\x01\x60";
const H265_SPS: &[u8] = b"\x42\x01\x01\x01\x60\x00\x00\x03\x00\x90\x00\x00\x03\x00\x00\x03\x00\x5d\
    \xa0\x02\x80\x80\x2d\x16\x59\x59\xa4\x93\x2b\xc0\x5a\x02\x00\x00\x03\x00\x02\x00\x00\x03\x00\
    \x32\x10";
const H265_PPS: &[u8] = b"\x44\x01\xc1\x72";

const ADDRESS: &str = "192.168.1.2:5000";

/// A gateway with the cameras `door` and `yard`, registered, and its clock.
pub(super) struct Case {
    pub(super) now: Instant,
    pub(super) gateway: Gateway,
}

impl Case {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        let camera = |id: &str, on_demand| CameraSettings {
            id: id.parse().unwrap(),
            name: id.to_uppercase(),
            on_demand,
            has_sub: id == "yard",
            picture: Picture::default(),
            provisional: false,
        };
        let mut gateway = Gateway::new(GatewayConfig {
            identity: Identity::generate().unwrap(),
            turn_only: false,
            max_uplink: None,
            seed: 1,
        });
        for settings in [camera("door", true), camera("yard", false)] {
            gateway.change_camera(now, CameraChange::Put(settings));
        }
        gateway.set_addresses(now, vec![ADDRESS.parse().unwrap()]);
        gateway.handle_online(now);
        Self { now, gateway }
    }

    /// A case in which the formats of both cameras are known.
    pub(super) fn described() -> Self {
        let mut case = Self::new();
        for camera in ["door", "yard"] {
            case.describe(camera);
        }
        case
    }

    fn describe(&mut self, camera: &str) {
        self.play(&main_stream(camera), Self::description());
    }

    /// Connects a stream and sends its first key frame.
    fn play(&mut self, stream: &StreamId, description: StreamDescription) {
        self.gateway.handle_source(self.now, stream, SourceEvent::Connected(description));
        self.send_slice(stream, 1, 0x65);
    }

    /// Sends a slice whose NAL unit begins with `header`.
    fn send_slice(&mut self, stream: &StreamId, sequence: u8, header: u8) {
        let bytes = [0x80, 96, 0, sequence, 0, 0, 0, sequence, 0, 0, 0, 1, header, 0x88, 0x84, 3];
        let packet = RtpPacket::parse(Bytes::copy_from_slice(&bytes)).unwrap();
        let event = SourceEvent::Packet { track: MediaKind::Video, arrival: self.now, packet };
        self.gateway.handle_source(self.now, stream, event);
    }

    fn description() -> StreamDescription {
        StreamDescription::video(TrackDescription {
            codec: Codec::H264,
            parameter_sets: [SPS, PPS].map(Bytes::from_static).to_vec(),
            delivery: Delivery::InOrder,
        })
    }

    pub(super) fn outputs(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.gateway.poll_output()).collect()
    }

    pub(super) fn signals(&mut self) -> Vec<Message> {
        self.outputs().into_iter().filter_map(signal).collect()
    }

    fn request<M: Method>(&mut self, id: i64, params: &M::Params) -> Vec<Message> {
        self.gateway.handle_message(self.now, Message::request::<M>(id, params));
        self.signals()
    }

    pub(super) fn connect(&mut self, session: &str, profile: Option<&str>) -> Vec<Message> {
        self.request::<ConnectDevice>(
            7,
            &ConnectDeviceParams {
                session: session.parse().unwrap(),
                profile: profile.map(|profile| profile.parse().unwrap()),
                ice_servers: Vec::new(),
                expiry_time_seconds: Some(60),
                audio: false,
                caps: Vec::new(),
            },
        )
    }
}

pub(super) fn main_stream(camera: &str) -> StreamId {
    StreamId::main(camera.parse().unwrap())
}

pub(super) fn signal(output: Output) -> Option<Message> {
    if let Output::Signal(message) = output { Some(message) } else { None }
}

fn outcome(message: &Message) -> Option<Result<&Value, &Fault>> {
    if let Message::Response { outcome, .. } = message { Some(outcome.as_ref()) } else { None }
}

pub(super) fn fault_of(messages: &[Message]) -> Option<&Fault> {
    messages.iter().filter_map(outcome).find_map(Result::err)
}

fn result_of<M: Method>(messages: &[Message]) -> Option<M::Result> {
    let value = messages.iter().filter_map(outcome).find_map(Result::ok)?;
    rpc::read(value.clone()).ok()
}

pub(super) fn params_of<T: for<'de> serde::Deserialize<'de>>(
    messages: &[Message],
    method: &str,
) -> Vec<T> {
    let params = |message: &Message| {
        let (Message::Request { method: m, params, .. }
        | Message::Notification { method: m, params }) = message
        else {
            return None;
        };
        (m == method).then(|| rpc::read::<T>(params.clone()).ok()).flatten()
    };
    messages.iter().filter_map(params).collect()
}

#[test]
fn a_gateway_reports_its_cameras_when_it_comes_online_and_when_one_changes() {
    let mut case = Case::new();
    let states = |messages: &[Message]| -> Vec<(String, CameraState)> {
        let reports: Vec<ReportParams> = params_of(messages, Report::NAME);
        let cameras = reports.into_iter().flat_map(|report| report.cameras);
        cameras.map(|camera| (camera.id.to_string(), camera.state)).collect()
    };
    let first = case.signals();
    let expected = [("door", CameraState::Idle), ("yard", CameraState::Connecting)];
    assert_eq!(states(&first), expected.map(|(id, state)| (id.to_owned(), state)));

    let reason = "it is off".to_owned();
    let ended = SourceEvent::Ended { reason, needs_a_person: false };
    case.gateway.handle_source(case.now, &main_stream("yard"), ended);
    assert!(case.signals().is_empty(), "changes are collected");
    case.now += REPORT_DELAY;
    case.gateway.handle_timeout(case.now);
    let second = case.signals();
    assert_eq!(states(&second)[1].1, CameraState::Failed);
}

#[test]
fn a_connect_is_answered_and_an_invite_follows() {
    let mut case = Case::described();
    case.outputs();
    case.gateway.handle_message(
        case.now,
        Message::request::<ConnectDevice>(
            7,
            &ConnectDeviceParams {
                session: "s1".parse().unwrap(),
                profile: Some("door".parse().unwrap()),
                ice_servers: Vec::new(),
                expiry_time_seconds: None,
                audio: false,
                caps: Vec::new(),
            },
        ),
    );
    let outputs = case.outputs();
    let started = outputs.iter().any(|output| {
        matches!(output, Output::Source(id, SourceCommand::Start) if *id == main_stream("door"))
    });
    assert!(started, "the camera is connected to");
    let messages: Vec<Message> = outputs.into_iter().filter_map(signal).collect();
    assert!(result_of::<ConnectDevice>(&messages[..1]).is_some(), "the answer comes first");
    let invites: Vec<InviteParams> = params_of(&messages, Invite::NAME);
    let offer = sdp::parse(&invites[0].offer).unwrap();
    assert!(offer.trickle, "RFC 8838 demands the option");
    let trickled: Vec<Value> = params_of(&messages, Trickle::NAME);
    assert_eq!(trickled.len(), 2, "the host candidate and the end of candidates");
}

#[test]
fn impossible_requests_are_refused_with_a_reason() {
    let mut case = Case::described();
    case.signals();
    let session = || "s1".parse().unwrap();
    assert!(fault_of(&case.connect("s1", Some("door"))).is_none());
    let offer = OfferParams {
        session: "s2".parse().unwrap(),
        profile: "door".parse().unwrap(),
        offer: "nonsense".to_owned(),
        viewer_address: None,
        ice_servers: Vec::new(),
        expiry_time_seconds: None,
        audio: false,
        caps: Vec::new(),
    };
    let unknown = ExtendParams {
        session: "s9".parse().unwrap(),
        authorization: None,
        expiry_time_seconds: Some(1),
    };
    let restart = RestartParams { session: session(), fragment: "a=mid:0\r\n".to_owned() };
    let client = porthole_signaling_proto::method::RegisterParams::default();
    for (name, messages, expected) in [
        ("a session twice", case.connect("s1", Some("door")), code::CONFLICT),
        ("no such camera", case.connect("s3", Some("attic")), code::NOT_FOUND),
        ("an invalid offer", case.request::<Offer>(1, &offer), code::BAD_REQUEST),
        ("no such session", case.request::<Extend>(1, &unknown), code::NOT_FOUND),
        (
            "an invalid restart",
            case.request::<porthole_signaling_proto::method::Restart>(1, &restart),
            code::BAD_REQUEST,
        ),
        (
            "a method of clients",
            case.request::<porthole_signaling_proto::method::Register>(1, &client),
            code::METHOD_NOT_FOUND,
        ),
    ] {
        let fault = fault_of(&messages).unwrap_or_else(|| panic!("{name}: {messages:?}"));
        assert_eq!(fault.code, expected, "{name}: {fault}");
        assert!(!fault.message.is_empty(), "{name}");
    }
    assert_eq!(Connect::NAME, ConnectDevice::NAME, "both sides of ONVIF's connect");
}

#[test]
fn a_viewers_offer_is_answered_with_candidates_and_no_trickle() {
    let mut case = Case::described();
    case.signals();
    let viewer = include_str!("../sdp/samples/chromium-offer-video.sdp");
    let messages = case.request::<Offer>(
        3,
        &OfferParams {
            session: "s1".parse().unwrap(),
            profile: "door".parse().unwrap(),
            offer: viewer.to_owned(),
            viewer_address: None,
            ice_servers: Vec::new(),
            expiry_time_seconds: None,
            audio: false,
            caps: Vec::new(),
        },
    );
    let OfferResult { answer } = result_of::<Offer>(&messages).expect("nothing to wait for");
    let answer = sdp::parse(&answer).unwrap();
    assert_eq!(answer.sections[0].candidates.len(), 1, "{answer:?}");
    assert!(answer.sections[0].end_of_candidates);
    assert!(params_of::<Value>(&messages, Trickle::NAME).is_empty());
}

#[test]
fn a_restart_is_answered_with_the_group_and_options_of_the_session() {
    use porthole_signaling_proto::method::{Restart, RestartResult};

    let mut case = Case::described();
    case.signals();
    let session = || "s1".parse().unwrap();
    let offer = OfferParams {
        session: session(),
        profile: "door".parse().unwrap(),
        offer: include_str!("../sdp/samples/chromium-offer-video.sdp").to_owned(),
        viewer_address: Some("203.0.113.7".parse().unwrap()),
        ice_servers: Vec::new(),
        expiry_time_seconds: None,
        audio: false,
        caps: Vec::new(),
    };
    result_of::<Offer>(&case.request::<Offer>(3, &offer)).expect("nothing to wait for");
    let credentials = "a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n";
    for (group, mid) in [("a=group:BUNDLE 0 1\r\n", "0"), ("", "video")] {
        let fragment = format!("{credentials}{group}m=video 9 X 0\r\na=mid:{mid}\r\n");
        let restart = RestartParams { session: session(), fragment };
        let messages = case.request::<Restart>(4, &restart);
        let RestartResult { fragment } = result_of::<Restart>(&messages).expect("at once");
        assert_eq!(fragment.contains("a=group:BUNDLE"), !group.is_empty(), "{fragment}");
        for line in [group, "a=ice-options:trickle ice2\r\n", "a=ice-pacing:"] {
            assert!(fragment.contains(line), "{line}: {fragment}");
        }
        assert!(fragment.contains(&format!("a=mid:{mid}\r\n")), "{fragment}");
    }
}

#[test]
fn a_report_names_the_sessions_without_a_path() {
    let mut case = Case::described();
    case.signals();
    case.connect("s1", None);
    case.now += REPORT_DELAY;
    case.gateway.handle_timeout(case.now);
    let reports: Vec<ReportParams> = params_of(&case.signals(), Report::NAME);
    let last = reports.last().expect("a report");
    assert_eq!(last.sessions.as_ref().map(Vec::len), Some(1));
    assert_eq!(last.starting, last.sessions);
}

#[test]
fn a_viewers_offer_does_not_wait_for_a_dead_turn_server() {
    let mut case = Case::described();
    case.signals();
    let dead = IceServer {
        urls: vec!["turn:203.0.113.9".to_owned()],
        username: Some("u".to_owned()),
        credential: Some("p".to_owned()),
    };
    let viewer = include_str!("../sdp/samples/chromium-offer-video.sdp");
    case.gateway.handle_message(
        case.now,
        Message::request::<Offer>(
            3,
            &OfferParams {
                session: "s1".parse().unwrap(),
                profile: "door".parse().unwrap(),
                offer: viewer.to_owned(),
                viewer_address: None,
                ice_servers: vec![dead],
                expiry_time_seconds: None,
                audio: false,
                caps: Vec::new(),
            },
        ),
    );
    let outputs = case.outputs();
    let opened = outputs
        .iter()
        .any(|o| matches!(o, Output::TurnTransport(_, TurnTransportCommand::Open(_))));
    assert!(opened, "the TURN server is tried");
    let begin = case.now;
    for _ in 0..100 {
        case.now = case.gateway.poll_timeout().expect("something is due");
        case.gateway.handle_timeout(case.now);
        if result_of::<Offer>(&case.signals()).is_some() {
            assert!(case.now - begin <= Duration::from_secs(2), "{:?}", case.now - begin);
            return;
        }
    }
    panic!("no answer");
}

#[test]
fn a_session_is_extended_and_closed() {
    let mut case = Case::described();
    case.signals();
    case.connect("s1", None);
    let session = || "s1".parse().unwrap();
    let extend =
        ExtendParams { session: session(), authorization: None, expiry_time_seconds: Some(120) };
    let extended = result_of::<Extend>(&case.request::<Extend>(1, &extend));
    assert_eq!(extended, Some(ExtendResult { expiry_time_seconds: 120 }));
    let close = Message::notification::<Close>(&SessionParams { session: session() });
    case.gateway.handle_message(case.now, close);
    assert_eq!(case.gateway.sessions.len(), 0);
    assert!(fault_of(&case.connect("s1", None)).is_none(), "the name is free again");
}

#[test]
fn the_first_viewer_waits_for_the_cameras_format_but_not_long() {
    for (name, connects) in [("the camera connects", true), ("it never does", false)] {
        let mut case = Case::new();
        case.signals();
        assert!(case.connect("s1", Some("door")).is_empty(), "{name}: nothing to offer yet");
        let requested = case.now;
        if connects {
            case.describe("door");
        }
        let mut messages = case.signals();
        for _ in 0..100 {
            if !params_of::<InviteParams>(&messages, Invite::NAME).is_empty() {
                break;
            }
            case.now = case.gateway.poll_timeout().expect("something is due");
            case.gateway.handle_timeout(case.now);
            messages.extend(case.signals());
        }
        assert_eq!(params_of::<InviteParams>(&messages, Invite::NAME).len(), 1, "{name}");
        let waited = case.now - requested;
        assert_eq!(waited.is_zero(), connects, "{name}: {waited:?}");
        assert!(waited <= Duration::from_secs(9), "{name}: {waited:?}");
        let viewers =
            case.gateway.cameras.get(&"door".parse().unwrap()).unwrap().report(None).viewers;
        assert_eq!(viewers, 1, "{name}");
    }
}

#[test]
fn a_sub_stream_is_connected_and_watched_on_its_own() {
    let mut case = Case::described();
    case.signals();
    let sub = StreamId::sub("yard".parse().unwrap());
    assert!(case.connect("s1", Some("yard.sub")).is_empty(), "its format is not known yet");
    assert_eq!(case.viewers("yard"), [0, 1]);
    case.play(&sub, Case::description());
    assert_eq!(params_of::<InviteParams>(&case.signals(), Invite::NAME).len(), 1);
    assert_eq!(case.viewers("yard"), [0, 1], "a viewer that waited counts once");
    case.connect("s2", Some("yard"));
    assert_eq!(case.viewers("yard"), [1, 1]);
    let fault = fault_of(&case.connect("s3", Some("door.sub"))).map(|fault| fault.code);
    assert_eq!(fault, Some(code::NOT_FOUND), "the door has no sub stream");
}

impl Case {
    fn offer(&mut self, session: &str, profile: &str) -> Vec<Message> {
        let offer = include_str!("../sdp/samples/chromium-offer-video.sdp");
        self.offer_text(session, profile, offer)
    }

    fn offer_text(&mut self, session: &str, profile: &str, offer: &str) -> Vec<Message> {
        self.request::<Offer>(
            3,
            &OfferParams {
                session: session.parse().unwrap(),
                profile: profile.parse().unwrap(),
                offer: offer.to_owned(),
                ice_servers: Vec::new(),
                expiry_time_seconds: None,
                viewer_address: None,
                audio: false,
                caps: Vec::new(),
            },
        )
    }

    fn fails(&mut self, stream: &StreamId, reason: &str) {
        let reason = reason.to_owned();
        let ended = SourceEvent::Ended { reason, needs_a_person: true };
        self.gateway.handle_source(self.now, stream, ended);
    }

    fn viewers(&self, camera: &str) -> Vec<usize> {
        let camera = self.gateway.cameras.get(&camera.parse().unwrap()).unwrap();
        camera.streams().map(|stream| stream.viewers().len()).collect()
    }
}

#[test]
fn a_viewer_of_a_camera_without_picture_is_told_why() {
    let refusal = |messages: &[Message]| {
        fault_of(messages).map(|fault| (fault.code, fault.message.clone())).unwrap_or_default()
    };
    let yard = main_stream("yard");
    // The camera cannot be reached, before and while the viewer waits.
    let mut case = Case::new();
    case.signals();
    assert!(case.offer("s1", "yard").is_empty(), "it waits");
    case.fails(&yard, "wrong password");
    let expected = (code::NO_VIDEO, "wrong password".to_owned());
    assert_eq!(refusal(&case.signals()), expected);
    assert_eq!(refusal(&case.offer("s2", "yard")), expected);
    assert_eq!(refusal(&case.connect("s3", Some("yard"))), expected);
    assert_eq!(case.viewers("yard"), [0, 0]);

    // Pictures arrive, but no key frame.
    let mut case = Case::new();
    case.gateway.handle_source(case.now, &yard, SourceEvent::Connected(Case::description()));
    case.send_slice(&yard, 1, 0x41);
    case.signals();
    assert!(case.offer("s1", "yard").is_empty(), "it may come any moment");
    let asked = case.now;
    let mut messages = Vec::new();
    while fault_of(&messages).is_none() {
        case.now = case.gateway.poll_timeout().expect("something is due");
        case.gateway.handle_timeout(case.now);
        messages.extend(case.signals());
    }
    let (fault, why) = refusal(&messages);
    assert_eq!(fault, code::NO_VIDEO);
    assert!(why.contains("no key frame for 5 s"), "{why}");
    assert_eq!(case.now - asked, Duration::from_secs(5));
    case.send_slice(&yard, 2, 0x65);
    assert!(fault_of(&case.offer("s2", "yard")).is_none(), "now there is a picture");
}

#[test]
fn no_more_viewers_wait_than_may_have_sessions() {
    let mut case = Case::new();
    for number in 0..MAX_SESSIONS {
        case.connect(&format!("s{number}"), Some("yard"));
    }
    case.signals();
    assert_eq!(case.gateway.pending_viewers.len(), MAX_SESSIONS);
    let messages = case.connect("one-more", Some("yard"));
    assert_eq!(params_of::<InviteParams>(&messages, Invite::NAME).len(), 1, "it is offered H.264");
    assert_eq!(case.gateway.pending_viewers.len(), MAX_SESSIONS);
}

#[test]
fn a_viewer_that_leaves_while_it_waits_is_forgotten() {
    let mut case = Case::new();
    case.signals();
    assert!(case.offer("s1", "yard").is_empty());
    assert_eq!(case.viewers("yard"), [1, 0]);
    let close = SessionParams { session: "s1".parse().unwrap() };
    case.gateway.handle_message(case.now, Message::notification::<Close>(&close));
    assert_eq!(fault_of(&case.signals()).map(|fault| fault.code), Some(code::GONE));
    assert_eq!(case.viewers("yard"), [0, 0]);
}

#[test]
fn a_player_without_the_codec_of_the_main_stream_gets_the_sub_stream() {
    let h265 = StreamDescription::video(TrackDescription {
        codec: Codec::H265,
        parameter_sets: [H265_VPS, H265_SPS, H265_PPS].map(Bytes::from_static).to_vec(),
        delivery: Delivery::InOrder,
    });
    let (yard, sub) = (main_stream("yard"), StreamId::sub("yard".parse().unwrap()));
    let mut case = Case::new();
    case.signals();
    assert!(case.offer("s1", "yard").is_empty(), "the format is not known yet");
    case.gateway.handle_source(case.now, &yard, SourceEvent::Connected(h265));
    let packet = [0x80, 96, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0x26, 1, 0xa0, 3];
    let packet = RtpPacket::parse(Bytes::copy_from_slice(&packet)).unwrap();
    let event = SourceEvent::Packet { track: MediaKind::Video, arrival: case.now, packet };
    case.gateway.handle_source(case.now, &yard, event);
    assert!(case.signals().iter().all(|message| outcome(message).is_none()), "it waits again");
    assert_eq!(case.viewers("yard"), [0, 1]);
    case.play(&sub, Case::description());
    assert!(result_of::<Offer>(&case.signals()).is_some());
    assert_eq!(case.viewers("yard"), [0, 1]);

    case.fails(&sub, "it is off");
    let messages = case.offer("s2", "yard");
    assert_eq!(fault_of(&messages).map(|fault| fault.message.as_str()), Some("it is off"));
}

#[test]
fn a_player_that_takes_no_fragments_is_refused_what_does_not_fit() {
    let video = include_str!("../sdp/samples/chromium-offer-video.sdp");
    let whole = video.replace("packetization-mode=1", "packetization-mode=0");
    let mut case = Case::described();
    case.signals();
    case.offer("s1", "door");
    case.signals();
    // The camera's next key frame comes in fragments.
    for (sequence, indicator) in [(2, 0x85), (3, 0x45)] {
        let bytes = [0x80, 96, 0, sequence, 0, 0, 0, 9, 0, 0, 0, 1, 0x7c, indicator, 0x88, 3];
        let packet = RtpPacket::parse(Bytes::copy_from_slice(&bytes)).unwrap();
        let event = SourceEvent::Packet { track: MediaKind::Video, arrival: case.now, packet };
        case.gateway.handle_source(case.now, &main_stream("door"), event);
    }
    case.signals();
    let refused = case.offer_text("s2", "door", &whole);
    let why = fault_of(&refused).map(|fault| fault.message.clone()).unwrap_or_default();
    assert!(why.contains("packetization-mode=1"), "{why}");
    assert!(fault_of(&case.offer("s3", "door")).is_none(), "others play");
    assert!(fault_of(&case.offer_text("s4", "yard", &whole)).is_none(), "what fits is played");
}

#[test]
fn losing_the_server_ends_no_session() {
    let mut case = Case::described();
    case.connect("s1", None);
    case.gateway.handle_offline(case.now);
    assert_eq!(case.gateway.sessions.len(), 1);
    case.signals();
    case.gateway.handle_online(case.now);
    let reports: Vec<ReportParams> = params_of(&case.signals(), Report::NAME);
    assert_eq!(reports.len(), 1, "the server gets a new report");
}
