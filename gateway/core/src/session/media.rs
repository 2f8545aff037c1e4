//! The packets of a session: to the viewer, or at the viewer's end from the gateway.

use super::{Session, SessionOutput};
use crate::media::{Codec, VideoPacket};
use crate::rtp::{Clock, Receiver, ReceiverConfig, Sender, SenderConfig};
use crate::sdp::{Negotiated, TrackIds};
use porthole_signaling_proto::CameraId;
use rand::Rng as _;
use rand::rngs::StdRng;
use std::time::Instant;
use tracing::trace;

/// The largest group of pictures that is repeated: half a second of a path of 8 Mbit/s.
const MAX_REPEATED_BYTES: usize = 512 * 1024;

/// One direction or the other.
#[derive(Debug)]
pub(super) enum Media {
    Sending(Box<Sending>),
    Receiving(Option<Box<Receiver>>),
}

#[derive(Debug)]
pub(super) struct Sending {
    track: TrackIds,
    /// First sequence numbers, of the stream and of its repetitions, and first timestamp.
    first: (u16, u16, u32),
    codec: Option<Codec>,
    sender: Option<Sender>,
    /// One packet, before it is encrypted.
    plain: Vec<u8>,
}

impl Media {
    pub(super) fn sending(rng: &mut StdRng, camera: &CameraId) -> Self {
        let ssrc: u32 = rng.random();
        // Any other number will do for the repetitions.
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

    /// What our descriptions announce.
    pub(super) fn track(&self) -> Option<&TrackIds> {
        match self {
            Self::Sending(sending) => Some(&sending.track),
            Self::Receiving(_) => None,
        }
    }

    pub(super) fn codec(&self) -> Option<Codec> {
        match self {
            Self::Sending(sending) => sending.codec,
            Self::Receiving(_) => None,
        }
    }

    /// What was agreed on. A restart agrees on the same again.
    pub(super) fn negotiated(&mut self, now: Instant, with: &Negotiated) {
        match self {
            Self::Sending(sending) => sending.negotiated(now, with),
            Self::Receiving(receiver) => {
                receiver.get_or_insert_with(|| Box::new(Receiver::new(receiver_config(with))));
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
    fn negotiated(&mut self, now: Instant, with: &Negotiated) {
        if self.sender.is_some() {
            return;
        }
        let (first_sequence, first_rtx_sequence, first_timestamp) = self.first;
        self.codec = Some(with.codec);
        self.sender = Some(Sender::new(SenderConfig {
            ssrc: self.track.ssrc,
            rtx_ssrc: self.track.rtx_ssrc,
            payload_type: with.payload_type,
            rtx_payload_type: with.rtx_payload_type,
            cname: self.track.cname.clone(),
            mid: with.mid_extension.zip(with.mid.clone()),
            playout_delay: with.playout_delay_extension,
            first_sequence,
            first_rtx_sequence,
            first_timestamp,
            clock: Clock::since(now),
        }));
    }
}

fn receiver_config(with: &Negotiated) -> ReceiverConfig {
    ReceiverConfig {
        ssrc: 1,
        cname: "viewer".to_owned(),
        codec: with.codec,
        payload_type: with.payload_type,
        rtx_payload_type: with.rtx_payload_type,
        remote_ssrc: with.remote_ssrc,
    }
}

/// What leaves in one go.
#[derive(Debug, Clone, Copy)]
enum Plain {
    Rtp,
    Rtcp,
}

impl Session {
    /// Live packets of the camera.
    pub fn send_packets(&mut self, now: Instant, packets: &[VideoPacket]) {
        if !self.started {
            return;
        }
        for packet in packets {
            self.write(now, Plain::Rtp, |sender, out| {
                sender.write_packet(now, packet, out);
                true
            });
        }
        self.media_timeout(now);
    }

    /// The packets since the last key frame, before the live ones go on behind them.
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

    /// The cached group once more, for a viewer that lost too much of it: once for each group,
    /// and only a small one. A path that lost a large one would lose it again.
    pub fn repeat_burst(&mut self, now: Instant, group: &[VideoPacket]) {
        let bytes: usize = group.iter().map(|packet| packet.payload.len()).sum();
        let Some(first) = group.first().map(|packet| packet.sequence) else { return };
        if bytes <= MAX_REPEATED_BYTES && self.repeated != Some(first) {
            self.repeated = Some(first);
            self.send_burst(now, group);
        }
    }

    /// Lets the sender write one packet, encrypts it, sends it. Says whether there was one.
    fn write(
        &mut self,
        now: Instant,
        plain: Plain,
        fill: impl FnOnce(&mut Sender, &mut Vec<u8>) -> bool,
    ) -> bool {
        let Media::Sending(sending) = &mut self.media else { return false };
        let Sending { sender: Some(sender), plain: buffer, .. } = sending.as_mut() else {
            return false;
        };
        if !fill(sender, buffer) {
            return false;
        }
        let Some(dtls_srtp) = &mut self.dtls_srtp else { return false };
        let protected = match plain {
            Plain::Rtp => dtls_srtp.protect_rtp(buffer),
            Plain::Rtcp => dtls_srtp.protect_rtcp(buffer),
        };
        match protected {
            Ok(packet) => self.send_on_path(now, packet.freeze()),
            Err(error) => trace!("a packet cannot be sent: {error}"),
        }
        true
    }

    /// Repetitions and reports that are due.
    pub(super) fn media_timeout(&mut self, now: Instant) {
        if !self.started {
            return;
        }
        if let Media::Receiving(Some(receiver)) = &mut self.media {
            receiver.handle_timeout(now);
            return self.flush_receiver(now);
        }
        while self.write(now, Plain::Rtp, |sender, out| sender.poll_retransmission(now, out)) {}
        while self.write(now, Plain::Rtcp, |sender, out| sender.poll_report(now, out)) {}
    }

    pub(super) fn handle_rtp(&mut self, now: Instant, datagram: &[u8]) {
        let Some(dtls_srtp) = &mut self.dtls_srtp else { return };
        let Media::Receiving(Some(receiver)) = &mut self.media else { return };
        match dtls_srtp.unprotect_rtp(datagram) {
            Ok(plain) => receiver.handle_rtp(now, plain.freeze()),
            Err(error) => trace!("an RTP packet is dropped: {error}"),
        }
        self.flush_receiver(now);
    }

    pub(super) fn handle_rtcp(&mut self, now: Instant, datagram: &[u8]) {
        let Some(dtls_srtp) = &mut self.dtls_srtp else { return };
        let plain = match dtls_srtp.unprotect_rtcp(datagram) {
            Ok(plain) => plain,
            Err(error) => return trace!("an RTCP packet is dropped: {error}"),
        };
        match &mut self.media {
            Media::Sending(sending) => {
                let Some(sender) = &mut sending.sender else { return };
                let feedback = sender.handle_rtcp(now, &plain);
                if feedback.key_frame_requested {
                    self.outbox.push_back(SessionOutput::KeyFrame);
                }
                if feedback.goodbye {
                    self.end("the viewer left");
                }
                self.media_timeout(now);
            }
            Media::Receiving(receiver) => {
                if let Some(receiver) = receiver {
                    receiver.handle_rtcp(now, &plain);
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
        let mut reports = Vec::new();
        let mut plain = Vec::new();
        while receiver.poll_rtcp(now, &mut plain) {
            reports.push(std::mem::take(&mut plain));
        }
        for report in reports {
            let Some(dtls_srtp) = &mut self.dtls_srtp else { return };
            if let Ok(packet) = dtls_srtp.protect_rtcp(&report) {
                self.send_on_path(now, packet.freeze());
            }
        }
    }
}
