//! Media of a session: packets to the viewer, and its feedback.

use std::time::Instant;

use porthole_signaling_proto::CameraId;
use rand::Rng as _;
use rand::rngs::StdRng;

use super::{Session, SessionOutput};
use crate::media::{Codec, VideoPacket};
use crate::rtp::{Clock, Sender, SenderConfig};
use crate::sdp::{NegotiatedSection, TrackIds};

/// Largest group of pictures that is sent for recovery: half a second on a path of 8 Mbit/s.
const MAX_RECOVERY_BURST_BYTES: usize = 512 * 1024;

/// The media that a session sends.
#[derive(Debug)]
pub(super) struct Media {
    track: TrackIds,
    /// First sequence numbers of the media and the RTX stream, and first timestamp.
    first: (u16, u16, u32),
    codec: Option<Codec>,
    sender: Option<Sender>,
    /// Buffer for one packet before encryption.
    plain: Vec<u8>,
}

impl Media {
    pub(super) fn new(rng: &mut StdRng, camera: &CameraId) -> Self {
        let ssrc: u32 = rng.random();
        // The SSRC of the RTX stream only has to differ.
        let rtx_ssrc = ssrc ^ rng.random_range(1..=u32::MAX);
        Self {
            track: TrackIds { ssrc, rtx_ssrc, cname: format!("porthole-{camera}") },
            first: (rng.random(), rng.random(), rng.random()),
            codec: None,
            sender: None,
            plain: Vec::new(),
        }
    }

    /// Returns the identifiers that our descriptions announce.
    pub(super) fn track(&self) -> &TrackIds {
        &self.track
    }

    pub(super) fn codec(&self) -> Option<Codec> {
        self.codec
    }

    /// Applies the result of the negotiation. An ICE restart negotiates the same again.
    pub(super) fn apply(&mut self, now: Instant, negotiated: &NegotiatedSection) {
        if self.sender.is_some() {
            return;
        }
        let (first_sequence, first_rtx_sequence, first_timestamp) = self.first;
        self.codec = Some(negotiated.codec);
        self.sender = Some(Sender::new(SenderConfig {
            ssrc: self.track.ssrc,
            rtx_ssrc: self.track.rtx_ssrc,
            payload_type: negotiated.payload_type,
            rtx_payload_type: negotiated.rtx_payload_type,
            cname: self.track.cname.clone(),
            mid: negotiated.mid_extension.zip(negotiated.mid.clone()),
            playout_delay: negotiated.playout_delay_extension,
            first_sequence,
            first_rtx_sequence,
            first_timestamp,
            clock: Clock::since(now),
        }));
    }

    /// Returns the sender and the buffer for its packets, once they are negotiated.
    fn sender(&mut self) -> Option<(&mut Sender, &mut Vec<u8>)> {
        Some((self.sender.as_mut()?, &mut self.plain))
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.sender.as_ref()?.poll_timeout()
    }
}

impl Session {
    /// Sends live packets of the camera; ignored before the session has started.
    pub fn send_packets(&mut self, now: Instant, packets: &[VideoPacket]) {
        if !self.started {
            return;
        }
        for packet in packets {
            let Some((sender, out)) = self.media.sender() else { return };
            sender.write_packet(now, packet, out);
            self.transport.send_rtp(now, out);
        }
        self.send_due_packets(now);
        self.process_transport(now);
    }

    /// Sends the cached group of pictures as a burst; live packets follow it.
    pub fn send_burst(&mut self, now: Instant, group: &[VideoPacket]) {
        if group.is_empty() {
            return;
        }
        if let Some((sender, _)) = self.media.sender() {
            sender.begin_burst(group);
        }
        self.send_packets(now, group);
    }

    /// Sends the cached group of pictures again, for a viewer that lost too much of it. Each group
    /// is sent once only, and a large one never: a path that lost it would lose it again.
    pub fn send_recovery_burst(&mut self, now: Instant, group: &[VideoPacket]) {
        let bytes: usize = group.iter().map(|packet| packet.payload.len()).sum();
        let Some(first) = group.first().map(|packet| packet.sequence) else { return };
        if bytes <= MAX_RECOVERY_BURST_BYTES && self.recovery_burst != Some(first) {
            self.recovery_burst = Some(first);
            self.send_burst(now, group);
        }
    }

    /// Sends the retransmissions and reports that are due.
    pub(super) fn send_due_packets(&mut self, now: Instant) {
        if !self.started {
            return;
        }
        let Some((sender, out)) = self.media.sender() else { return };
        while sender.poll_retransmission(now, out) {
            self.transport.send_rtp(now, out);
        }
        while sender.poll_report(now, out) {
            self.transport.send_rtcp(now, out);
        }
    }

    pub(super) fn handle_rtcp(&mut self, now: Instant, compound: &[u8]) {
        let Some((sender, _)) = self.media.sender() else { return };
        let feedback = sender.handle_rtcp(now, compound);
        if feedback.key_frame_requested {
            self.outbox.push_back(SessionOutput::KeyFrame);
        }
        if feedback.goodbye {
            self.end("the viewer left");
        }
        self.send_due_packets(now);
    }
}
