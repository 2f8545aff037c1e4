//! Media of a session: packets to the viewer, or on the viewer's side from the gateway.

use std::time::Instant;

use bytes::Bytes;
use porthole_signaling_proto::CameraId;
use rand::Rng as _;
use rand::rngs::StdRng;

use super::{Session, SessionOutput};
use crate::media::{Codec, VideoPacket};
use crate::rtp::{Clock, Receiver, ReceiverConfig, Sender, SenderConfig};
use crate::sdp::{NegotiatedSection, TrackIds};

/// Largest group of pictures that is sent for recovery: half a second on a path of 8 Mbit/s.
const MAX_RECOVERY_BURST_BYTES: usize = 512 * 1024;

/// The media direction of a session.
#[derive(Debug)]
pub(super) enum Media {
    Sending(Box<Sending>),
    Receiving(Option<Box<Receiver>>),
}

#[derive(Debug)]
pub(super) struct Sending {
    track: TrackIds,
    /// First sequence numbers of the media and the RTX stream, and first timestamp.
    first: (u16, u16, u32),
    codec: Option<Codec>,
    sender: Option<Sender>,
    /// Buffer for one packet before encryption.
    plain: Vec<u8>,
}

impl Media {
    pub(super) fn sending(rng: &mut StdRng, camera: &CameraId) -> Self {
        let ssrc: u32 = rng.random();
        // The SSRC of the RTX stream only has to differ.
        let rtx_ssrc = ssrc ^ rng.random_range(1..=u32::MAX);
        Self::Sending(Box::new(Sending {
            track: TrackIds { ssrc, rtx_ssrc, cname: format!("porthole-{camera}") },
            first: (rng.random(), rng.random(), rng.random()),
            codec: None,
            sender: None,
            plain: Vec::new(),
        }))
    }

    pub(super) fn receiving() -> Self {
        Self::Receiving(None)
    }

    /// Returns the identifiers that our descriptions announce.
    pub(super) fn track(&self) -> Option<&TrackIds> {
        match self {
            Self::Sending(sending) => Some(&sending.track),
            Self::Receiving(_) => None,
        }
    }

    /// Returns the sender and the buffer for its packets, once they are negotiated.
    fn sender(&mut self) -> Option<(&mut Sender, &mut Vec<u8>)> {
        let Self::Sending(sending) = self else { return None };
        Some((sending.sender.as_mut()?, &mut sending.plain))
    }

    pub(super) fn codec(&self) -> Option<Codec> {
        match self {
            Self::Sending(sending) => sending.codec,
            Self::Receiving(_) => None,
        }
    }

    /// Applies the result of the negotiation. An ICE restart negotiates the same again.
    pub(super) fn apply(&mut self, now: Instant, negotiated: &NegotiatedSection) {
        match self {
            Self::Sending(sending) => sending.apply(now, negotiated),
            Self::Receiving(receiver) => {
                receiver
                    .get_or_insert_with(|| Box::new(Receiver::new(receiver_config(negotiated))));
            }
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Self::Sending(sending) => sending.sender.as_ref()?.poll_timeout(),
            Self::Receiving(receiver) => receiver.as_ref()?.poll_timeout(),
        }
    }
}

impl Sending {
    fn apply(&mut self, now: Instant, negotiated: &NegotiatedSection) {
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
}

fn receiver_config(negotiated: &NegotiatedSection) -> ReceiverConfig {
    ReceiverConfig {
        ssrc: 1,
        cname: "viewer".to_owned(),
        codec: negotiated.codec,
        payload_type: negotiated.payload_type,
        rtx_payload_type: negotiated.rtx_payload_type,
        remote_ssrc: negotiated.remote_ssrc,
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
        if let Media::Sending(sending) = &mut self.media
            && let Some(sender) = &mut sending.sender
        {
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
        if let Media::Receiving(Some(receiver)) = &mut self.media {
            receiver.handle_timeout(now);
            return self.flush_receiver(now);
        }
        let Some((sender, out)) = self.media.sender() else { return };
        while sender.poll_retransmission(now, out) {
            self.transport.send_rtp(now, out);
        }
        while sender.poll_report(now, out) {
            self.transport.send_rtcp(now, out);
        }
    }

    pub(super) fn handle_rtp(&mut self, now: Instant, packet: Bytes) {
        let Media::Receiving(Some(receiver)) = &mut self.media else { return };
        receiver.handle_rtp(now, packet);
        self.flush_receiver(now);
    }

    pub(super) fn handle_rtcp(&mut self, now: Instant, compound: &[u8]) {
        match &mut self.media {
            Media::Sending(sending) => {
                let Some(sender) = &mut sending.sender else { return };
                let feedback = sender.handle_rtcp(now, compound);
                if feedback.key_frame_requested {
                    self.outbox.push_back(SessionOutput::KeyFrame);
                }
                if feedback.goodbye {
                    self.end("the viewer left");
                }
                self.send_due_packets(now);
            }
            Media::Receiving(receiver) => {
                if let Some(receiver) = receiver {
                    receiver.handle_rtcp(now, compound);
                }
                self.flush_receiver(now);
            }
        }
    }

    fn flush_receiver(&mut self, now: Instant) {
        let Media::Receiving(Some(receiver)) = &mut self.media else { return };
        while let Some(frame) = receiver.poll_frame() {
            self.outbox.push_back(SessionOutput::Received(frame));
        }
        let mut plain = Vec::new();
        while receiver.poll_rtcp(now, &mut plain) {
            self.transport.send_rtcp(now, &plain);
        }
    }
}
