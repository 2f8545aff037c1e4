//! One camera's video, from RTP as it arrives to packets every viewer can be sent.

use std::time::Instant;

use super::codec::Format;
use super::forward::{Emitter, Forwarder};
use super::gop::Gop;
use super::nal::unit::NalKind;
use super::reorder::{Fate, ReorderBuffer};
use super::rtp_packet::RtpPacket;
use super::stream::{FeedOutput, FeedStatistics, IngestError, StreamDescription};
use super::timeline::Timeline;

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
    reorder_buffer: ReorderBuffer,
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
            if forwarder.sets.insert(NalKind::of(description.codec, unit), unit).is_err() {
                self.emitter.statistics.refused += 1;
            }
        }
        self.timeline.restart();
        self.emitter.gop.clear();
        self.emitter.statistics.restarts += u64::from(self.stream.is_some());
        self.emitter.announce(&forwarder.sets);
        let reorder_buffer = ReorderBuffer::new(description.in_order);
        self.stream = Some(Stream { reorder_buffer, forwarder, ssrc: None });
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
        self.stream.as_ref()?.reorder_buffer.timeout()
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
            stream.reorder_buffer.restart();
        }
        let fate = stream.reorder_buffer.insert(now, packet);
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
        while let Some(Stream { reorder_buffer, forwarder, .. }) = &mut self.stream {
            let Some(ordered) = reorder_buffer.poll(now) else { break };
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
