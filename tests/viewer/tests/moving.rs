//! A gateway and a viewer whose NAT gives it another address in mid-picture, in virtual time. The
//! gateway itself has to find the session that a packet from an unknown address belongs to.

#![expect(clippy::unwrap_used, reason = "unexpected values fail the test")]

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
use porthole_viewer::{ViewerConfig, ViewerOutput, ViewerSession};

/// 640x480, made by x264.
const SPS: &[u8] = b"\x67\x42\xc0\x1e\xd9\x00\xa0\x3d\xb0\x11\x00\x00\x03\x00\x01\x00\x00\
    \x03\x00\x32\x0f\x16\x2e\x48";
const PPS: &[u8] = b"\x68\xcb\x83\xcb\x20";

const GATEWAY: &str = "192.168.1.2:5000";
/// The viewer's own address, behind its NAT.
const VIEWER: &str = "10.0.0.3:6000";
/// Its address as its NAT shows it at first.
const MAPPED: &str = "203.0.113.3:40000";
const SESSION: &str = "s1";
/// Interval between two pictures, and step of the clock.
const PICTURE: Duration = Duration::from_millis(40);

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn camera() -> StreamId {
    StreamId::main("door".parse().unwrap())
}

/// A gateway with one camera, one viewer and the NAT in front of it.
struct Scene {
    now: Instant,
    gateway: Gateway,
    viewer: Option<ViewerSession>,
    invite: Option<RequestId>,
    mapped: SocketAddr,
    early: Vec<String>,
    pictures: u16,
    frames: usize,
    offers: usize,
    /// False if the viewer sends no checks of its own, as if they came too late.
    reports_only: bool,
}

impl Scene {
    fn new() -> Self {
        let now = Instant::now();
        let settings = CameraSettings {
            id: "door".parse().unwrap(),
            name: "Door".to_owned(),
            on_demand: false,
            has_sub: false,
            picture: Picture::default(),
            provisional: false,
        };
        let mut gateway = Gateway::new(GatewayConfig {
            identity: Identity::generate().unwrap(),
            turn_only: false,
            max_uplink: None,
            seed: 1,
        });
        gateway.change_camera(now, CameraChange::Put(settings));
        gateway.set_addresses(now, vec![address(GATEWAY)]);
        gateway.handle_online(now);
        let description = StreamDescription::video(TrackDescription {
            codec: Codec::H264,
            parameter_sets: [SPS, PPS].map(Bytes::from_static).to_vec(),
            delivery: Delivery::InOrder,
        });
        gateway.handle_source(now, &camera(), SourceEvent::Connected(description));
        let connect = ConnectDeviceParams {
            session: SESSION.parse().unwrap(),
            profile: Some("door".parse().unwrap()),
            ice_servers: Vec::new(),
            expiry_time_seconds: Some(3600),
            audio: false,
            caps: Vec::new(),
        };
        gateway.handle_message(now, Message::request::<ConnectDevice>(7, &connect));
        Self {
            now,
            gateway,
            viewer: None,
            invite: None,
            mapped: address(MAPPED),
            early: Vec::new(),
            pictures: 0,
            frames: 0,
            offers: 0,
            reports_only: false,
        }
    }

    fn handle_signal(&mut self, message: Message) {
        match message {
            Message::Request { id, method, params } if method == Invite::NAME => {
                self.offers += 1;
                self.invite = Some(id);
                let InviteParams { offer, .. } = rpc::read(params).unwrap();
                let config = ViewerConfig {
                    identity: Identity::generate().unwrap(),
                    ice_servers: Vec::new(),
                    turn_only: false,
                    role: DtlsRole::Client,
                    seed: 2,
                };
                let mut viewer = ViewerSession::new(self.now, config, &offer).unwrap();
                viewer.set_addresses(self.now, &[address(VIEWER)]);
                viewer.handle_reflexive_complete(self.now);
                for candidate in self.early.drain(..) {
                    viewer.handle_candidate(self.now, &candidate);
                }
                self.viewer = Some(viewer);
            }
            Message::Notification { method, params } if method == Trickle::NAME => {
                let TrickleParams { candidate, .. } = rpc::read(params).unwrap();
                match &mut self.viewer {
                    Some(viewer) => viewer.handle_candidate(self.now, &candidate.candidate),
                    None => self.early.push(candidate.candidate),
                }
            }
            Message::Request { .. }
            | Message::Notification { .. }
            | Message::Response { .. }
            | Message::Error(_) => {}
        }
    }

    fn handle_viewer_output(&mut self, output: ViewerOutput) {
        match output {
            ViewerOutput::Answer(answer) => {
                let id = self.invite.take().expect("an offer");
                let result = InviteResult { answer, subprotocols: None };
                self.gateway.handle_message(self.now, Message::result::<Invite>(id, &result));
            }
            ViewerOutput::Datagram(Datagram { to, bytes, .. }) => {
                let is_check = bytes.starts_with(&[0, 1]);
                if to == address(GATEWAY) && !(is_check && self.reports_only) {
                    self.gateway.handle_datagram(self.now, to, self.mapped, &bytes);
                }
            }
            ViewerOutput::Frame(_) => self.frames += 1,
            ViewerOutput::Trickle(_)
            | ViewerOutput::Rtcp(_)
            | ViewerOutput::Ended(_)
            | ViewerOutput::Started
            | ViewerOutput::TurnTransport(..) => {}
        }
    }

    fn exchange_outputs(&mut self) {
        for _ in 0..10_000 {
            let from_viewer = self.viewer.as_mut().and_then(ViewerSession::poll_output);
            let from_gateway = self.gateway.poll_output();
            if from_viewer.is_none() && from_gateway.is_none() {
                return;
            }
            match from_gateway {
                Some(Output::Signal(message)) => self.handle_signal(message),
                Some(Output::Datagram(Datagram { from, to, bytes })) if to == self.mapped => {
                    if let Some(viewer) = &mut self.viewer {
                        let base = LocalBase::Socket(address(VIEWER));
                        viewer.handle_datagram(self.now, base, from, &bytes);
                    }
                }
                _ => {}
            }
            if let Some(output) = from_viewer {
                self.handle_viewer_output(output);
            }
        }
        panic!("there are always more outputs");
    }

    /// Lets the camera send one picture, and time pass until the next one is due.
    fn play_picture(&mut self) {
        self.pictures += 1;
        let mut packet = vec![0x80, 0x80 | 96];
        packet.extend(self.pictures.to_be_bytes());
        packet.extend((u32::from(self.pictures) * 3600).to_be_bytes());
        packet.extend([0, 0, 0, 9, 0x65, 0x88, 0x80, 0x10]);
        let packet = RtpPacket::parse(packet.into()).unwrap();
        let event = SourceEvent::Packet { track: MediaKind::Video, arrival: self.now, packet };
        self.gateway.handle_source(self.now, &camera(), event);
        self.exchange_outputs();
        let end = self.now + PICTURE;
        while self.now < end {
            self.now += Duration::from_millis(10);
            self.gateway.handle_timeout(self.now);
            if let Some(viewer) = &mut self.viewer {
                viewer.handle_timeout(self.now);
            }
            self.exchange_outputs();
        }
    }

    fn play(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.play_picture();
        }
    }
}

#[test]
fn the_picture_follows_a_viewer_to_its_new_address_within_three_seconds() {
    for (name, mapped) in [("port", "203.0.113.3:40001"), ("address", "198.51.100.9:1024")] {
        for reports_only in [false, true] {
            for offset in 0..10 {
                let mut scene = Scene::new();
                scene.play(Duration::from_secs(20) + Duration::from_millis(offset * 200));
                assert!(scene.frames > 400, "{} frames", scene.frames);

                (scene.mapped, scene.reports_only) = (address(mapped), reports_only);
                let (moved, frames) = (scene.now, scene.frames);
                while scene.frames == frames && scene.now < moved + Duration::from_secs(20) {
                    scene.play_picture();
                }
                let took = scene.now - moved;
                let case = format!("another {name}, reports only: {reports_only}, {offset}");
                assert!(took <= Duration::from_secs(3), "{case}: {took:?}");
                assert_eq!(scene.offers, 1, "{case}: without a restart");
                scene.play(Duration::from_secs(10));
                assert!(scene.frames > frames + 240, "{case}: {} frames", scene.frames - frames);
            }
        }
    }
}

#[test]
fn nobody_takes_over_a_session_by_its_ssrc() {
    let mut scene = Scene::new();
    scene.play(Duration::from_secs(5));
    let forger = address("198.51.100.66:666");
    for ssrc in [0_u32, 1, 2, u32::MAX] {
        // A receiver report with each SSRC that is likely, and one with nonsense behind it.
        let mut report = vec![0x81, 201, 0, 7];
        report.extend(ssrc.to_be_bytes());
        report.extend([7; 40]);
        scene.gateway.handle_datagram(scene.now, address(GATEWAY), forger, &report);
    }
    while let Some(output) = scene.gateway.poll_output() {
        let sent = matches!(&output, Output::Datagram(datagram) if datagram.to == forger);
        assert!(!sent, "nothing is sent to an address that only forged reports came from");
    }
    let frames = scene.frames;
    scene.play(Duration::from_secs(5));
    assert!(scene.frames > frames + 100, "the picture goes on");
}
