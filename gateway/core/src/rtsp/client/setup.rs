//! From the first request to the reply to PLAY.

use std::collections::VecDeque;
use std::time::Instant;

use super::others::OtherTracks;
use super::track::{AUDIO, Content, TrackState, VIDEO};
use super::{Client, Phase};
use crate::media::camera_sdp::AudioSection;
use crate::media::{
    AudioDescription, AudioProblem, Delivery, StreamDescription, TrackDescription, camera_sdp,
};
use crate::rtsp::message::Message;
use crate::rtsp::requests::Request;
use crate::rtsp::transport::{self, Reply};
use crate::rtsp::{Datagram, Failure, Lower, Method, Output, Port, Transport};

/// The part of the stream to play: everything from now on (RFC 2326 §12.29). Some servers require
/// it, a few refuse it.
const RANGE: &str = "npt=0.000-";

/// Status for a transport that the camera does not have (RFC 2326 §11.3). Many use others for it.
const UNSUPPORTED_TRANSPORT: u16 = 461;

/// Statuses after which another address of the track or stream is tried: not found, bad request,
/// not allowed here, not understood, no such session, not valid here, aggregate not allowed, and
/// only aggregate allowed.
const ADDRESS_REFUSALS: &[u16] = &[400, 404, 405, 451, 454, 455, 459, 460];

/// A packet that opens the way through NATs and firewalls: an RTP header of a static payload type.
const PUNCH: &[u8] = &[0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

impl Client {
    /// Begins the dialogue on a new connection.
    pub(super) fn begin(&mut self, now: Instant) {
        if self.skip_options {
            self.describe(now);
            return;
        }
        self.phase = Phase::Options;
        let request = Request::new(Method::Options, self.address.url());
        self.send(now, request);
    }

    pub(super) fn describe(&mut self, now: Instant) {
        self.phase = Phase::Describe;
        let request = Request::new(Method::Describe, self.address.url())
            .with("Accept", "application/sdp".to_owned());
        self.send_required(now, request);
    }

    /// Sends a request with the extensions that the camera must support.
    fn send_required(&mut self, now: Instant, request: Request) {
        let required = self.config.require.join(", ");
        self.send(now, request.with("Require", required));
    }

    /// Handles the final reply to a request.
    pub(super) fn handle_result(
        &mut self,
        now: Instant,
        status: u16,
        request: Request,
        message: &Message,
    ) {
        let is_success = (200..300).contains(&status);
        if is_success && request.method != Method::Options {
            (self.challenges, self.refused, self.unanswered) = (0, 0, 0);
            self.was_stale = false;
        }
        match (self.phase, request.method) {
            (Phase::Options, Method::Options) => {
                if is_success {
                    let methods: Vec<_> = message.headers.all("Public").collect();
                    self.keepalive.set_methods(&methods.join(","));
                }
                self.describe(now);
            }
            (Phase::Describe, Method::Describe) if is_success => {
                self.handle_description(now, message);
            }
            (Phase::Describe, Method::Describe) => self.refuse(status),
            (Phase::Setup(track), Method::Setup) if self.is_other(track) => {
                self.handle_other(now, track, Some(message).filter(|_| is_success));
            }
            (Phase::Setup(track), Method::Setup) if is_success => {
                self.handle_setup(now, track, message);
            }
            (Phase::Setup(track), Method::Setup) => self.retry_setup(now, track, status),
            (Phase::Play, Method::Play) if is_success => self.start_playing(now),
            (Phase::Play, Method::Play) => self.retry_play(now, status, request),
            (Phase::Playing, Method::GetParameter | Method::Options) => {
                self.keepalive.handle_reply(is_success);
            }
            _ => {}
        }
    }

    /// Ends the session because of a refusal.
    fn refuse(&mut self, status: u16) {
        let status = self.refusal.take().unwrap_or(status);
        self.fail(match status {
            403 if self.requests.authenticator.has_credentials() => Failure::WrongPassword,
            404 => Failure::NotFound(self.address.masked_target()),
            UNSUPPORTED_TRANSPORT => Failure::Transport(self.lower),
            _ => Failure::Status(status),
        });
    }

    fn handle_description(&mut self, now: Instant, message: &Message) {
        let text = String::from_utf8_lossy(&message.body);
        let video = match camera_sdp::find_other_video(&text, &self.refused_sections) {
            Ok(video) => video,
            Err(error) => {
                self.fail(Failure::Sdp(error));
                return;
            }
        };
        let section = video.place.index;
        let without = [&self.refused_sections[..], &[section]].concat();
        let has_other = camera_sdp::find_other_video(&text, &without).is_ok();
        self.other_section = Some(section).filter(|_| has_other);
        let headers = &message.headers;
        let base = headers.get("Content-Base").or_else(|| headers.get("Content-Location"));
        let base = self.address.base(base);
        self.aggregates = self.address.aggregates(&base, video.session_control.as_deref()).into();
        // A session's control is the base of its tracks only if it is a whole address.
        let session = video.session_control.clone().filter(|url| url.contains("://"));
        let base = session.unwrap_or(base);
        let urls = |control: Option<&str>| self.address.controls(&base, control);
        let audio = camera_sdp::find_audio(&text);
        let is_used = |audio: &AudioSection| audio.description.format.is_ok();
        let track = audio.clone().filter(is_used).filter(|_| !self.avoids_audio);
        let indices = [Some(video.place.index), track.as_ref().map(|track| track.place.index)];
        let others = camera_sdp::other_controls(&text, &indices);
        let others = OtherTracks::new(others.iter().map(|control| urls(Some(control))));
        let video_urls = urls(video.place.control.as_deref());
        let track = track.map(|track| (urls(track.place.control.as_deref()), track));
        self.tracks = vec![TrackState::video(video_urls, video)];
        self.tracks.extend(track.map(|(urls, track)| TrackState::audio(urls, track)));
        self.others = others;
        self.unheard = audio.map(|audio| audio.description);
        self.set_up(now, VIDEO);
    }

    /// Begins to set a track up.
    pub(super) fn set_up(&mut self, now: Instant, track: u8) {
        let has_ports =
            self.tracks.get(usize::from(track)).is_some_and(|track| track.local_ports.is_some());
        if self.lower == Lower::Udp && !has_ports {
            self.phase = Phase::Ports(track);
            self.outputs.push_back(Output::OpenPorts(track));
        } else {
            self.send_setup(now, track);
        }
    }

    /// Handles the pair of UDP ports that [`Output::OpenPorts`] asks for, RTP first.
    pub fn handle_ports(&mut self, now: Instant, track: u8, ports: (u16, u16)) {
        if self.phase != Phase::Ports(track) {
            return;
        }
        match self.tracks.get_mut(usize::from(track)) {
            Some(state) => state.local_ports = Some(ports),
            None => self.others.ports = ports,
        }
        self.send_setup(now, track);
    }

    fn send_setup(&mut self, now: Instant, track: u8) {
        let (url, ports) = match self.tracks.get(usize::from(track)) {
            Some(state) => (state.urls.front().cloned(), state.local_ports.unwrap_or_default()),
            None => {
                let variant = self.tracks.first().map_or(0, TrackState::variant);
                (self.others.url(variant), self.others.ports)
            }
        };
        let transport = transport::request(self.lower, track, ports);
        let uri = url.unwrap_or_else(|| self.address.url());
        self.phase = Phase::Setup(track);
        if self.lower == Lower::Tcp {
            // Some cameras send before they answer.
            let (rtp, rtcp) = transport::channels(track);
            self.decoder.add_channel(rtp);
            self.decoder.add_channel(rtcp);
        }
        let request = Request::new(Method::Setup, uri).with("Transport", transport);
        self.send_required(now, request);
    }

    /// Returns true if UDP is to be tried when the camera refuses TCP, with whatever status.
    pub(super) fn may_change_transport(&self) -> bool {
        self.config.transport == Transport::Auto
            && self.lower == Lower::Tcp
            && !self.address.is_tls()
    }

    /// Tries SETUP again with another address or transport.
    fn retry_setup(&mut self, now: Instant, track: u8, status: u16) {
        if track == VIDEO {
            self.refusal.get_or_insert(status);
        }
        let may_change = self.may_change_transport();
        let Some(state) = self.tracks.get_mut(usize::from(track)) else { return };
        let has_other = ADDRESS_REFUSALS.contains(&status) && state.urls.len() > 1;
        if has_other {
            state.urls.pop_front();
            self.send_setup(now, track);
        } else if track == AUDIO {
            self.give_audio_up(now, status);
        } else if may_change {
            state.reset_urls();
            self.lower = Lower::Udp;
            // Other reasons than the transport tell more than what follows.
            self.refusal = self.refusal.filter(|status| *status != UNSUPPORTED_TRANSPORT);
            self.set_up(now, track);
        } else if !self.retry_with_another_section() {
            self.refuse(status);
        }
    }

    /// Begins again with another section of video than the one that the camera refuses. Returns
    /// false if there is none.
    fn retry_with_another_section(&mut self) -> bool {
        let Some(refused) = self.other_section.take() else { return false };
        self.refused_sections.push(refused);
        self.lower = self.config.transport.first();
        self.reconnect();
        true
    }

    fn handle_setup(&mut self, now: Instant, number: u8, message: &Message) {
        self.refusal = None;
        let value = message.headers.get("Transport").unwrap_or_default();
        let reply = Reply::read(value, self.lower);
        let is_udp = !reply.is_tcp && reply.interleaved.is_none() && reply.server_port.is_some();
        if self.lower == Lower::Tcp && is_udp {
            self.retry_setup(now, number, UNSUPPORTED_TRANSPORT);
            return;
        }
        let Some(track) = self.tracks.get_mut(usize::from(number)) else { return };
        track.source = reply.source;
        if let Some(channels) = reply.interleaved {
            track.channels = channels;
            self.decoder.add_channel(channels.0);
            self.decoder.add_channel(channels.1);
        } else if self.lower == Lower::Multicast {
            let group = reply.destination.or(track.group.0).filter(std::net::IpAddr::is_multicast);
            let ports = reply.port.or(reply.server_port);
            let ports = ports.unwrap_or((track.group.1, track.group.1.wrapping_add(1)));
            let (Some(group), true) = (group, ports.0 > 0) else {
                match number {
                    AUDIO => self.give_audio_up(now, UNSUPPORTED_TRANSPORT),
                    _ => self.fail(Failure::Transport(Lower::Multicast)),
                }
                return;
            };
            track.is_multicast = true;
            self.outputs.push_back(Output::JoinGroup { track: number, group, ports });
        } else {
            track.server_ports = reply.server_port;
        }
        let next = number.saturating_add(1);
        if usize::from(next) < self.tracks.len() {
            self.set_up(now, next);
            return;
        }
        self.finish_setup(now);
    }

    /// Goes on without sound, which the camera refuses to send.
    fn give_audio_up(&mut self, now: Instant, status: u16) {
        self.tracks.truncate(usize::from(AUDIO));
        if let Some(unheard) = &mut self.unheard {
            unheard.format = Err(AudioProblem::Refused(status));
        }
        self.finish_setup(now);
    }

    /// Begins again without sound, if that may be why the camera does not play. Returns false if it
    /// cannot be.
    pub(super) fn retry_without_audio(&mut self) -> bool {
        let is_suspect = match self.phase {
            Phase::Setup(track) | Phase::Ports(track) => track == AUDIO,
            Phase::Play => true,
            Phase::Connecting
            | Phase::Tunnel
            | Phase::Options
            | Phase::Describe
            | Phase::Playing
            | Phase::Closed => false,
        };
        let has_audio = self.tracks.len() > usize::from(AUDIO);
        if is_suspect && has_audio && !self.avoids_audio {
            self.avoids_audio = true;
            self.reconnect();
            return true;
        }
        false
    }

    fn finish_setup(&mut self, now: Instant) {
        self.punch(now);
        let delivery = match self.lower {
            Lower::Tcp => Delivery::Tcp,
            Lower::Udp | Lower::Multicast => Delivery::Udp,
        };
        let mut audio = self.unheard.take();
        if self.avoids_audio
            && let Some(audio) = &mut audio
        {
            audio.format = audio.format.clone().and(Err(AudioProblem::Unwilling));
        }
        let mut video = None;
        for track in &self.tracks {
            match track.content.clone() {
                Content::Video(track) => video = Some(TrackDescription { delivery, ..track }),
                Content::Audio(track) => audio = Some(AudioDescription { delivery, ..track }),
            }
        }
        if let Some(video) = video {
            self.outputs.push_back(Output::Described(StreamDescription { video, audio }));
        }
        // After the addresses of the whole stream, that of its only track.
        let own = self.tracks.first().and_then(|track| track.urls.front().cloned());
        if let Some(url) = own.filter(|url| self.tracks.len() == 1 && !self.has_aggregate(url)) {
            self.aggregates.push_back(url);
        }
        self.play(now);
    }

    /// Asks the camera to play.
    pub(super) fn play(&mut self, now: Instant) {
        self.send_play(now, Some(RANGE));
    }

    fn has_aggregate(&self, url: &str) -> bool {
        self.aggregates.iter().any(|known| known == url)
    }

    /// Returns the address of the whole stream.
    pub(super) fn aggregate(&self) -> String {
        self.aggregates.front().cloned().unwrap_or_else(|| self.address.url())
    }

    fn send_play(&mut self, now: Instant, range: Option<&str>) {
        self.phase = Phase::Play;
        self.last_packet = now;
        let range = range.unwrap_or_default().to_owned();
        let request = Request::new(Method::Play, self.aggregate()).with("Range", range);
        self.send_required(now, request);
    }

    /// Tries PLAY again without a range, or with another address.
    fn retry_play(&mut self, now: Instant, status: u16, request: Request) {
        let has_range =
            request.headers.iter().any(|(name, value)| *name == "Range" && !value.is_empty());
        self.refusal.get_or_insert(status);
        if has_range && matches!(status, 400 | 451 | 455 | 456 | 457 | 500 | 501) {
            self.send_play(now, None);
        } else if self.set_up_others(now, status) {
            // PLAY follows.
        } else if ADDRESS_REFUSALS.contains(&status) && self.aggregates.len() > 1 {
            self.aggregates.pop_front();
            self.play(now);
        } else if !self.retry_without_audio() {
            self.refuse(status);
        }
    }

    /// Opens the way for the camera's packets through NATs and firewalls on our side.
    pub(super) fn punch(&mut self, now: Instant) {
        let Some(peer) = self.peer else { return };
        let mut outputs = VecDeque::new();
        for (number, track) in (0..).zip(&mut self.tracks) {
            let Some((rtp, rtcp)) = track.server_ports.filter(|ports| ports.0 > 0) else {
                continue;
            };
            let report = track.reception.report(now, self.own_ssrc);
            let punch = bytes::Bytes::from_static(PUNCH);
            for (port, to, bytes) in [(Port::Rtp, rtp, punch), (Port::Rtcp, rtcp, report)] {
                let to = std::net::SocketAddr::new(peer, to);
                outputs.push_back(Output::Datagram(Datagram { track: number, port, to, bytes }));
            }
        }
        self.outputs.append(&mut outputs);
    }
}
