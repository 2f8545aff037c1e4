//! One camera's video, from RTP as it arrives to packets every viewer can be sent.

use std::time::Instant;

use bytes::Bytes;
use thiserror::Error;

use super::VideoPacket;
use super::codec::{Codec, Format};
use super::forward::{Emitter, Forwarder};
use super::gop::Gop;
use super::rtp::RtpPacket;
use super::sequence::{Fate, Sequencer};
use super::timeline::Timeline;

/// What a camera says about its stream before the first packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamDescription {
    pub codec: Codec,
    /// NAL units of an SDP's `sprop-` parameters; empty when the camera sends them in band only.
    pub parameter_sets: Vec<Bytes>,
    /// Whether the transport keeps the order (RTSP over TCP), so that no packet is ever held.
    pub in_order: bool,
}

/// Why a packet was not forwarded. The feed goes on with the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum IngestError {
    #[error("a packet came before the description of its stream")]
    NotDescribed,
    #[error("not the codec that was announced: {0}")]
    Malformed(&'static str),
    #[error(
        "the camera sends {0} packets, which WebRTC has no way to carry: \
         set its packetization mode to non-interleaved"
    )]
    Unsupported(&'static str),
    #[error("a parameter set that cannot be read")]
    ParameterSet,
}

impl IngestError {
    /// Whether the next packet will fare no better: the camera must be set differently.
    #[must_use]
    pub fn is_lasting(&self) -> bool {
        match self {
            Self::Unsupported(_) => true,
            Self::NotDescribed | Self::Malformed(_) | Self::ParameterSet => false,
        }
    }
}

/// What [`Feed::poll_output`] gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeedOutput {
    /// The format is now this one; the packets after it are of it.
    Format(Format),
    Packet(VideoPacket),
}

/// Counted since the feed was made.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct FeedStatistics {
    /// Packets of the camera, whatever became of them.
    pub received: u64,
    /// Packets for viewers.
    pub forwarded: u64,
    pub key_frames: u64,
    /// Packets the camera numbered and that never came.
    pub lost: u64,
    /// Packets that came too late, twice, or far out of order.
    pub late: u64,
    /// Packets that ended in an [`IngestError`].
    pub refused: u64,
    /// Times the camera began anew.
    pub restarts: u64,
}

/// One camera's video. Lives as long as the camera is configured; after each `handle_…` drain
/// [`Feed::poll_output`], then ask [`Feed::poll_timeout`].
#[derive(Debug, Default)]
pub struct Feed {
    stream: Option<Stream>,
    timeline: Timeline,
    emitter: Emitter,
}

/// What a new description replaces.
#[derive(Debug)]
struct Stream {
    sequencer: Sequencer,
    forwarder: Forwarder,
    ssrc: Option<u32>,
}

impl Feed {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The camera is connected, for the first time or again.
    pub fn handle_description(&mut self, description: &StreamDescription) {
        let mut forwarder = Forwarder::new(description.codec);
        for unit in &description.parameter_sets {
            // A camera whose SDP is wrong still has its sets in band.
            if forwarder.sets.insert(description.codec.kind(unit), unit).is_err() {
                self.emitter.statistics.refused += 1;
            }
        }
        self.timeline.restart();
        self.emitter.gop.clear();
        self.emitter.statistics.restarts += u64::from(self.stream.is_some());
        self.emitter.announce(&forwarder.sets);
        let sequencer = Sequencer::new(description.in_order);
        self.stream = Some(Stream { sequencer, forwarder, ssrc: None });
    }

    /// The camera is gone: nobody must start from the picture it had.
    pub fn handle_end(&mut self) {
        self.emitter.gop.clear();
    }

    /// One RTP packet of the camera.
    pub fn handle_packet(&mut self, now: Instant, packet: RtpPacket) -> Result<(), IngestError> {
        self.emitter.statistics.received += 1;
        self.insert(now, packet)?;
        self.forward(now)
    }

    /// The time of [`Feed::poll_timeout`] has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        // Refused packets are counted; there is no caller to tell about an older packet.
        let _ = self.forward(now);
    }

    pub fn poll_output(&mut self) -> Option<FeedOutput> {
        self.emitter.output.pop_front()
    }

    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.stream.as_ref()?.sequencer.timeout()
    }

    /// The format of the packets given last; `None` until the camera's parameter sets are known.
    #[must_use]
    pub fn format(&self) -> Option<&Format> {
        self.emitter.format.as_ref()
    }

    /// What a new viewer is sent first.
    #[must_use]
    pub fn gop(&self) -> &Gop {
        &self.emitter.gop
    }

    #[must_use]
    pub fn statistics(&self) -> FeedStatistics {
        self.emitter.statistics
    }

    fn insert(&mut self, now: Instant, packet: RtpPacket) -> Result<(), IngestError> {
        let stream = self.stream.as_mut().ok_or(IngestError::NotDescribed)?;
        let ssrc = packet.header.ssrc;
        let same_ssrc = stream.ssrc.is_none_or(|known| known == ssrc);
        stream.ssrc = Some(ssrc);
        if !same_ssrc {
            stream.sequencer.restart();
        }
        let fate = stream.sequencer.insert(now, packet);
        if !same_ssrc || fate == Fate::Restarted {
            stream.forwarder.restart(&mut self.emitter);
            self.timeline.restart();
            self.emitter.statistics.restarts += 1;
        }
        match fate {
            Fate::Accepted | Fate::Restarted => {}
            Fate::Late | Fate::Suspect => self.emitter.statistics.late += 1,
        }
        Ok(())
    }

    /// Forwards every packet whose turn it is; the first error of them.
    fn forward(&mut self, now: Instant) -> Result<(), IngestError> {
        let mut result = Ok(());
        while let Some(Stream { sequencer, forwarder, .. }) = &mut self.stream {
            let Some(ordered) = sequencer.poll(now) else { break };
            if ordered.lost > 0 {
                forwarder.lose(ordered.lost, &mut self.emitter);
            }
            let RtpPacket { header, payload } = ordered.packet;
            let timestamp = self.timeline.map(ordered.arrival, header.timestamp);
            let forwarded = forwarder.packet(
                ordered.arrival,
                timestamp,
                header.marker,
                payload,
                &mut self.emitter,
            );
            self.emitter.statistics.refused += u64::from(forwarded.is_err());
            result = result.and(forwarded);
        }
        result
    }
}

#[cfg(test)]
mod tests;
