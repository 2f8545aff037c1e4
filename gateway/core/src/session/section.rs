//! A section of a session: one track, which a stream of a camera feeds.

use std::time::Instant;

use rand::Rng as _;
use rand::rngs::StdRng;

use super::SessionError;
use super::single_units::{SingleUnits, are_whole};
use crate::camera::StreamId;
use crate::media::{Codec, MediaPacket, TrackCodec};
use crate::rtp::rtcp::Packet;
use crate::rtp::{Clock, Feedback, Pace, Pacer, Sender, SenderConfig, SenderStatistics};
use crate::sdp::{Direction, LocalMedia, MediaKind, NegotiatedSection, OfferedCodec, TrackIds};

/// Largest group of pictures that is sent for recovery: half a second on a path of 8 Mbit/s.
const MAX_RECOVERY_BURST_BYTES: usize = 512 * 1024;

/// A section to be negotiated with the viewer.
#[derive(Debug, Clone)]
pub struct SectionConfig {
    /// Kind of the media.
    pub kind: MediaKind,
    /// The stream that feeds the section.
    pub source: StreamId,
    /// The codecs to offer, the best first.
    pub codecs: Vec<OfferedCodec>,
}

/// A section of a session. It sends once it is negotiated and the session has started.
#[derive(Debug)]
pub struct Section {
    mid: String,
    kind: MediaKind,
    /// Index of the section's transport in the session.
    transport: usize,
    source: StreamId,
    codecs: Vec<OfferedCodec>,
    track: TrackIds,
    first: FirstNumbers,
    seed: u64,
    negotiated: Option<Negotiated>,
    /// First sequence number of the last group of pictures that was sent for recovery.
    recovery_burst: Option<u64>,
    shown: Shown,
    /// The pace of groups on a path that is known to be narrow.
    pace: Option<Pace>,
}

/// The part of the stream that is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    All,
    /// Key frames only.
    KeyFrames {
        /// The last packet was one of a key frame, and more of it may follow.
        is_inside: bool,
        /// True if all is sent again from the next key frame on.
        is_ending: bool,
    },
    Nothing,
}

/// First numbers of the streams of a section; random (RFC 3550 §5.1).
#[derive(Debug)]
struct FirstNumbers {
    sequence: u16,
    rtx_sequence: u16,
    timestamp: u32,
}

/// State of a section that is negotiated.
#[derive(Debug)]
struct Negotiated {
    codec: TrackCodec,
    sender: Sender,
    pacer: Pacer,
    /// Splits packets for a viewer that takes whole NAL units only.
    single_units: Option<SingleUnits>,
}

impl Section {
    /// Creates a section with the mid that our offer gives it and the canonical name of its
    /// session.
    pub(super) fn new(rng: &mut StdRng, mid: String, cname: String, config: SectionConfig) -> Self {
        let SectionConfig { kind, source, codecs } = config;
        let ssrc: u32 = rng.random();
        // The SSRC of the RTX stream only has to differ.
        let rtx_ssrc = ssrc ^ rng.random_range(1..=u32::MAX);
        Self {
            mid,
            kind,
            transport: 0,
            codecs,
            // The same stream whenever the camera is watched; its tracks belong together.
            track: TrackIds {
                ssrc,
                rtx_ssrc,
                cname,
                stream: format!("porthole-{}", source.camera),
            },
            source,
            first: FirstNumbers {
                sequence: rng.random(),
                rtx_sequence: rng.random(),
                timestamp: rng.random(),
            },
            seed: rng.random(),
            negotiated: None,
            recovery_burst: None,
            shown: Shown::All,
            pace: None,
        }
    }

    /// Returns the name of the section in the session's descriptions.
    pub fn mid(&self) -> &str {
        &self.mid
    }

    /// Returns the index of the section's transport in the session.
    pub(super) fn transport(&self) -> usize {
        self.transport
    }

    /// Returns the kind of media of the section.
    pub fn kind(&self) -> MediaKind {
        self.kind
    }

    /// Returns the stream that feeds the section.
    pub fn source(&self) -> &StreamId {
        &self.source
    }

    /// Returns the negotiated codec; `None` if the viewer has not taken the section.
    pub fn codec(&self) -> Option<TrackCodec> {
        self.negotiated.as_ref().map(|negotiated| negotiated.codec)
    }

    /// Returns what our descriptions say about the section.
    pub(super) fn local_media(&self) -> LocalMedia<'_> {
        LocalMedia {
            kind: self.kind,
            codecs: &self.codecs,
            track: Some(&self.track),
            direction: Direction::SendOnly,
        }
    }

    /// Applies the result of the negotiation. An ICE restart negotiates the same again. A picture
    /// that is played `at_once` does not wait for its sound.
    pub(super) fn apply(&mut self, now: Instant, negotiated: &NegotiatedSection, at_once: bool) {
        if self.negotiated.is_some() {
            return;
        }
        if let Some(mid) = &negotiated.mid {
            self.mid.clone_from(mid);
        }
        self.transport = negotiated.transport;
        let sender = Sender::new(SenderConfig {
            ssrc: self.track.ssrc,
            rtx_ssrc: self.track.rtx_ssrc,
            payload_type: negotiated.payload_type,
            clock_rate: negotiated.codec.clock_rate(),
            rtx_payload_type: negotiated.rtx_payload_type,
            cname: self.track.cname.clone(),
            mid: negotiated.mid_extension.zip(negotiated.mid.clone()),
            playout_delay: negotiated.playout_delay_extension.filter(|_| at_once),
            // The control of the path is about the first transport.
            transport_cc: negotiated.transport_cc_extension.filter(|_| self.transport == 0),
            first_sequence: self.first.sequence,
            first_rtx_sequence: self.first.rtx_sequence,
            first_timestamp: self.first.timestamp,
            seed: self.seed,
            clock: Clock::since(now),
        });
        let codec = negotiated.codec;
        let single_units = codec == Codec::H264.into() && negotiated.packetization_mode == 0;
        let single_units = single_units.then(SingleUnits::default);
        self.negotiated = Some(Negotiated { codec, sender, pacer: Pacer::new(now), single_units });
    }

    /// Feeds the section from another stream from now on. Its first packet begins a key frame.
    pub(super) fn set_source(&mut self, source: StreamId) {
        if self.source != source {
            self.source = source;
            self.recovery_burst = None;
            self.shown = Shown::All;
            if let Some(negotiated) = &mut self.negotiated {
                negotiated.pacer.clear();
                negotiated.sender.splice();
            }
        }
    }

    /// Shows the key frames of the stream only from now on, and drops what is queued.
    pub(super) fn show_key_frames(&mut self) {
        self.shown = Shown::KeyFrames { is_inside: false, is_ending: false };
        if let Some(negotiated) = &mut self.negotiated {
            negotiated.pacer.clear();
            negotiated.sender.end_burst();
        }
    }

    /// Shows nothing from now on, and drops what is queued.
    pub(super) fn show_nothing(&mut self) {
        self.show_key_frames();
        self.shown = Shown::Nothing;
    }

    /// Shows everything from the next key frame on, where nothing was shown.
    pub(super) fn show_again(&mut self) {
        self.shown = Shown::KeyFrames { is_inside: false, is_ending: true };
    }

    /// Shows everything again from the next key frame on.
    pub(super) fn show_all(&mut self) {
        if let Shown::KeyFrames { is_ending, .. } = &mut self.shown {
            *is_ending = true;
        }
    }

    /// Sets the pace of groups on a narrow path.
    pub(super) fn set_pace(&mut self, pace: Option<Pace>) {
        self.pace = pace;
    }

    /// Raises the pace of what is queued already, in bits per second, as the path recovers.
    pub(super) fn raise_pace(&mut self, bits_per_second: Option<u64>) {
        if let (Some(negotiated), Some(rate)) = (&mut self.negotiated, bits_per_second) {
            negotiated.pacer.raise_rate(rate);
        }
    }

    /// Returns true if a live packet is to be sent.
    fn admits(&mut self, packet: &MediaPacket) -> bool {
        let (is_inside, is_ending) = match &mut self.shown {
            Shown::All => return true,
            Shown::Nothing => return false,
            Shown::KeyFrames { is_inside, is_ending } => (is_inside, is_ending),
        };
        if packet.starts_key_frame {
            let waits = self.negotiated.as_ref().is_some_and(|it| !it.pacer.is_idle());
            // Behind one that is still on its way, key frames would come later and later.
            *is_inside = !waits || *is_ending;
            if let Some(negotiated) = self.negotiated.as_mut().filter(|_| *is_inside) {
                negotiated.pacer.clear();
                negotiated.sender.end_burst();
                negotiated.sender.skip();
            }
            if *is_ending {
                self.shown = Shown::All;
                return true;
            }
        }
        let is_admitted = *is_inside;
        *is_inside &= !packet.marker;
        is_admitted
    }

    /// Returns the sender, once the section is negotiated.
    pub(super) fn sender(&mut self) -> Option<&mut Sender> {
        self.negotiated.as_mut().map(|negotiated| &mut negotiated.sender)
    }

    /// Writes each of these live packets into `out` and passes it to `send`, or queues them behind
    /// a group of pictures that is being sent.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub(super) fn send_live(
        &mut self,
        now: Instant,
        packets: &[MediaPacket],
        out: &mut Vec<u8>,
        mut send: impl FnMut(&mut [u8]),
    ) -> Result<(), SessionError> {
        for packet in packets {
            if !self.admits(packet) {
                continue;
            }
            let Some(Negotiated { pacer, .. }) = &mut self.negotiated else { return Ok(()) };
            if pacer.is_idle() {
                self.write(now, packet, out, &mut send)?;
            } else {
                pacer.push(packet);
            }
        }
        Ok(())
    }

    /// Queues a group of pictures, in the place of what was queued.
    pub(super) fn begin_burst(&mut self, now: Instant, group: &[MediaPacket]) {
        if let Some(Negotiated { pacer, sender, .. }) = &mut self.negotiated {
            let times = pacer.begin(now, group, self.pace);
            sender.begin_burst(now, group, &times);
        }
    }

    /// Writes each queued packet that is due into `out` and passes it to `send`.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub(super) fn send_queued(
        &mut self,
        now: Instant,
        out: &mut Vec<u8>,
        mut send: impl FnMut(&mut [u8]),
    ) -> Result<(), SessionError> {
        while let Some(Negotiated { pacer, .. }) = &mut self.negotiated {
            let Some(packet) = pacer.poll_packet(now) else { break };
            let was_last = pacer.is_idle();
            self.write(now, &packet, out, &mut send)?;
            if was_last && let Some(sender) = self.sender() {
                sender.end_burst();
            }
        }
        Ok(())
    }

    /// Writes a packet into `out` and passes it to `send`; for a viewer that takes whole NAL units
    /// only, each unit of it.
    ///
    /// # Errors
    /// Returns [`SessionError::Fragmented`] if such a viewer cannot take the packet.
    fn write(
        &mut self,
        now: Instant,
        packet: &MediaPacket,
        out: &mut Vec<u8>,
        mut send: impl FnMut(&mut [u8]),
    ) -> Result<(), SessionError> {
        let Some(Negotiated { sender, single_units, .. }) = &mut self.negotiated else {
            return Ok(());
        };
        let Some(single_units) = single_units else {
            sender.write_packet(now, packet, out);
            send(out);
            return Ok(());
        };
        for packet in single_units.split(packet).ok_or(SessionError::Fragmented)? {
            sender.write_packet(now, &packet, out);
            send(out);
        }
        Ok(())
    }

    /// Checks that the viewer can take a group of pictures of the stream that feeds the section.
    ///
    /// # Errors
    /// Returns [`SessionError::Fragmented`] if the viewer takes H.264 in whole NAL units only, and
    /// the pictures do not fit into packets that way.
    pub fn check_group(&self, group: &[MediaPacket]) -> Result<(), SessionError> {
        let takes_whole_units =
            self.negotiated.as_ref().is_some_and(|negotiated| negotiated.single_units.is_some());
        if takes_whole_units && !are_whole(group) {
            return Err(SessionError::Fragmented);
        }
        Ok(())
    }

    /// Returns true if this group of pictures may be sent for recovery: each one once, and a large
    /// one never, because a path that lost it would lose it again.
    pub(super) fn admit_recovery_burst(&mut self, group: &[MediaPacket]) -> bool {
        let bytes: usize = group.iter().map(|packet| packet.payload.len()).sum();
        let Some(first) = group.first().map(|packet| packet.sequence) else { return false };
        if self.shown != Shown::All {
            // The next key frame is all that the path carries.
            return false;
        }
        if bytes > MAX_RECOVERY_BURST_BYTES || self.recovery_burst == Some(first) {
            return false;
        }
        self.recovery_burst = Some(first);
        true
    }

    /// Handles the packets of an RTCP compound of the viewer, as far as they are about this
    /// section.
    pub(super) fn handle_feedback(&mut self, now: Instant, packets: &[Packet]) -> Feedback {
        self.sender().map(|sender| sender.handle_feedback(now, packets)).unwrap_or_default()
    }

    /// Returns what was sent of this section until now.
    #[must_use]
    pub fn statistics(&self) -> SenderStatistics {
        self.negotiated.as_ref().map(|it| it.sender.statistics()).unwrap_or_default()
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let Negotiated { sender, pacer, .. } = self.negotiated.as_ref()?;
        sender.poll_timeout().into_iter().chain(pacer.poll_timeout()).min()
    }
}
