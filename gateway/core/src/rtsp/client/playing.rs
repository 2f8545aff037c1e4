//! While the camera plays: packets, keepalives and reports.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use super::track::TrackState;
use super::{Client, Phase};
use crate::media::{MediaKind, RtpError, RtpPacket};
use crate::rtsp::requests::Request;
use crate::rtsp::{Failure, Lower, Method, Output, Port};

/// Timeout of a session whose camera names none (RFC 2326 §12.37).
const SESSION_TIMEOUT: Duration = Duration::from_secs(60);

/// Bounds of the time between two keepalives, whatever timeout the camera names.
const KEEPALIVE_INTERVAL: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Time between two receiver reports (RFC 3550 §6.2).
const REPORT_INTERVAL: Duration = Duration::from_secs(5);

/// The marker bit in the second byte of an RTP packet.
pub(super) const MARKER: u8 = 0x80;

/// Types of RTCP packets that are in use, as the second byte of a packet.
const RTCP_TYPES: RangeInclusive<u8> = 200..=207;

/// The requests that keep a session alive.
#[derive(Debug)]
pub(super) struct Keepalive {
    method: Method,
    interval: Duration,
    /// Time of the next one, once the camera plays.
    pub(super) at: Option<Instant>,
}

impl Default for Keepalive {
    fn default() -> Self {
        Self { method: Method::Options, interval: SESSION_TIMEOUT / 2, at: None }
    }
}

impl Keepalive {
    /// Chooses the method from the value of `Public`. GET_PARAMETER is the one that every server
    /// that has it takes as a keepalive; OPTIONS is the one that every server has.
    pub(super) fn set_methods(&mut self, public: &str) {
        let has_parameters = public.to_ascii_uppercase().contains(Method::GetParameter.name());
        self.method = if has_parameters { Method::GetParameter } else { Method::Options };
    }

    /// Sets the time after which the camera ends a session of which it hears nothing.
    pub(super) fn set_session_timeout(&mut self, timeout: Duration) {
        let (shortest, longest) = KEEPALIVE_INTERVAL;
        if !timeout.is_zero() {
            self.interval = (timeout / 2).clamp(shortest, longest);
        }
    }

    /// Handles the reply to one. A refusal is not the end: the packets tell if the session lives.
    pub(super) fn handle_reply(&mut self, is_success: bool) {
        if !is_success {
            self.method = Method::Options;
        }
    }
}

impl Client {
    /// Begins to expect packets.
    pub(super) fn start_playing(&mut self, now: Instant) {
        self.phase = Phase::Playing;
        self.refusal = None;
        self.last_packet = now;
        self.keepalive.at = Some(now + self.keepalive.interval);
        self.report_at = Some(now + REPORT_INTERVAL);
        self.outputs.push_back(Output::Playing);
    }

    pub(super) fn handle_playing_timeout(&mut self, now: Instant) {
        if self.last_packet + self.config.timeouts.silence <= now {
            self.fail(Failure::Silent);
            return;
        }
        if self.report_at.is_some_and(|at| at <= now) {
            self.report_at = Some(now + REPORT_INTERVAL);
            self.send_reports(now);
        }
        if self.keepalive.at.is_some_and(|at| at <= now) {
            self.keepalive.at = Some(now + self.keepalive.interval);
            let request = Request::new(self.keepalive.method, self.aggregate());
            self.send(now, request);
        }
    }

    fn send_reports(&mut self, now: Instant) {
        if self.lower != Lower::Tcp {
            self.punch(now);
            return;
        }
        let mut frames = BytesMut::new();
        for track in &mut self.tracks {
            let report = track.reception.report(now, self.own_ssrc);
            let len = u16::try_from(report.len()).unwrap_or(0).to_be_bytes();
            frames.extend_from_slice(&[b'$', track.channels.1, len[0], len[1]]);
            frames.extend_from_slice(&report);
        }
        self.send_bytes(frames.freeze());
    }

    /// Handles an interleaved frame.
    pub(super) fn handle_frame(&mut self, now: Instant, channel: u8, payload: Bytes) {
        let is_rtcp = payload.get(1).is_none_or(|second| RTCP_TYPES.contains(second));
        let number = if is_rtcp { None } else { self.numbering.number(channel, &payload) };
        let owner =
            self.tracks.iter().position(|t| [t.channels.0, t.channels.1].contains(&channel));
        match owner {
            Some(index) => {
                let Some(track) = self.tracks.get_mut(index) else { return };
                let is_rtp = track.channels.0 == channel;
                let port = if is_rtp { Port::Rtp } else { Port::Rtcp };
                let payload_type = payload.get(1).map(|second| second & !MARKER);
                track.uses_channels |= payload_type == Some(track.payload_type);
                self.handle_packet(now, index, (port, number), payload);
            }
            None if self.others.has_channel(channel) => {}
            // A camera that uses other channels than it says has nobody else to send to.
            None => self.handle_stray(now, number, payload),
        }
    }

    /// Handles a frame on a channel that nothing was said about: that of a track whose own channels
    /// are not used.
    fn handle_stray(&mut self, now: Instant, number: Option<u16>, payload: Bytes) {
        let Ok(packet) = RtpPacket::parse(payload.clone()) else { return };
        let payload_type = packet.header.payload_type;
        let is_lost =
            |track: &TrackState| track.payload_type == payload_type && !track.uses_channels;
        if let Some(index) = self.tracks.iter().position(is_lost) {
            self.handle_packet(now, index, (Port::Rtp, number), payload);
        }
    }

    /// Handles a datagram that arrived at one of a track's ports. Others than the camera may send
    /// there; what they send is dropped, unless the camera sends from an address that it did not
    /// name.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        track: u8,
        port: Port,
        from: SocketAddr,
        bytes: Bytes,
    ) {
        let index = usize::from(track);
        let Some(state) = self.tracks.get_mut(index) else { return };
        if port == Port::Rtp && !state.is_from(self.peer, from.ip()) {
            state.note_elsewhere(from.ip(), &bytes);
        }
        if state.is_from(self.peer, from.ip()) {
            self.handle_packet(now, index, (port, None), bytes);
        }
    }

    /// Handles a packet that came to this port, with its number if that in it is not its track's.
    fn handle_packet(
        &mut self,
        now: Instant,
        index: usize,
        (port, number): (Port, Option<u16>),
        bytes: Bytes,
    ) {
        if !matches!(self.phase, Phase::Play | Phase::Playing) {
            return;
        }
        let Some(track) = self.tracks.get_mut(index) else { return };
        let kind = track.content.kind();
        match parse(port, track.payload_type, &bytes) {
            Ok(mut packet) => {
                let payload_type = packet.header.payload_type;
                // Some cameras send RTP to the port or channel of RTCP.
                let is_described = payload_type == track.payload_type;
                if !is_described && port == Port::Rtcp || !track.accepts(payload_type) {
                    return;
                }
                track.reception.handle_rtp(now, &packet.header);
                packet.header.sequence = number.unwrap_or(packet.header.sequence);
                // Sound alone is not what anybody waits for.
                let is_video = kind == MediaKind::Video;
                if self.phase == Phase::Play && is_video {
                    // Some cameras send before they answer, or never answer.
                    self.requests.give_up();
                    self.start_playing(now);
                }
                if is_video {
                    self.last_packet = now;
                }
                self.outputs.push_back(Output::Packet { track: kind, packet });
            }
            Err(RtpError::Rtcp(_)) => {
                let clock = track.reception.handle_rtcp(now, &bytes);
                let output = clock.map(|report| Output::Clock { track: kind, report });
                self.outputs.extend(output);
            }
            // Noise, or something that is neither.
            Err(_) => {}
        }
    }
}

/// Parses a packet of a track. RTP and RTCP are told apart by the second byte (RFC 5761 §4); where
/// it may be either, because the described payload type is one of 64 to 95, by the port too.
fn parse(port: Port, described: u8, bytes: &Bytes) -> Result<RtpPacket, RtpError> {
    let second = bytes.get(1).copied().unwrap_or_default();
    let is_described = second == MARKER | described;
    let is_rtp = is_described && (port == Port::Rtp || !RTCP_TYPES.contains(&second));
    if is_rtp {
        RtpPacket::parse_as(described, bytes.clone())
    } else {
        RtpPacket::parse(bytes.clone())
    }
}
