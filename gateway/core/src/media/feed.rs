//! The core of one camera's video: RTP packets in, packets for every viewer out.

use std::time::Instant;

use bytes::Bytes;

use super::codec::{Codec, Format};
use super::emitter::Emitter;
use super::forward::Forwarder;
use super::frames::FrameForwarder;
use super::gop::Gop;
use super::reference::Reference;
use super::reorder::{InsertOutcome, ReorderBuffer};
use super::rtp_packet::{RtpHeader, RtpPacket};
use super::stream::{Delivery, FeedOutput, FeedStatistics, IngestError, TrackDescription};
use super::timeline::Timeline;

/// Prepares one camera's video for its viewers.
///
/// A feed lives as long as its camera is configured, over any number of connections. After each
/// `handle_…` drain [`Feed::poll_output`], then ask [`Feed::poll_timeout`].
#[derive(Debug, Default)]
pub struct Feed {
    stream: Option<Stream>,
    timeline: Timeline,
    /// A moment of the camera's timestamps on our clock.
    reference: Option<Reference>,
    emitter: Emitter,
}

/// The state that a new description replaces.
#[derive(Debug)]
struct Stream {
    delivery: Delivery,
    reorder_buffer: ReorderBuffer,
    forwarder: StreamForwarder,
}

/// The forwarder of a stream, by the way in which its codec fills packets.
#[derive(Debug)]
enum StreamForwarder {
    /// NAL units: H.264 and H.265.
    Nal(Box<Forwarder>),
    /// Frames behind a descriptor: VP8, VP9 and AV1.
    Frames(FrameForwarder),
}

impl StreamForwarder {
    fn new(codec: Codec) -> Self {
        match codec.nal() {
            Some(codec) => Self::Nal(Box::new(Forwarder::new(codec))),
            None => Self::Frames(FrameForwarder::new(codec)),
        }
    }

    fn restart(&mut self, emitter: &mut Emitter) {
        match self {
            Self::Nal(forwarder) => forwarder.restart(emitter),
            Self::Frames(forwarder) => forwarder.restart(emitter),
        }
    }

    /// Handles a gap in the numbers of packets that arrive in this way.
    fn handle_gap(
        &mut self,
        delivery: Delivery,
        missing: u64,
        next: &Bytes,
        emitter: &mut Emitter,
    ) {
        match (self, delivery) {
            (Self::Nal(forwarder), Delivery::Tcp) => forwarder.handle_gap(missing, next, emitter),
            (Self::Nal(forwarder), Delivery::Udp) => {
                forwarder.handle_possible_loss(missing, next, emitter);
            }
            (Self::Nal(forwarder), Delivery::InOrder) => forwarder.handle_loss(missing, emitter),
            (Self::Frames(_), _) => emitter.skip(missing),
        }
    }

    /// Returns true if a payload holds nothing of a picture.
    fn is_bare(&self, payload: &[u8]) -> bool {
        match self {
            Self::Nal(forwarder) => forwarder.is_bare(payload),
            Self::Frames(_) => false,
        }
    }

    /// Takes a packet that holds nothing of a picture.
    fn handle_bare(
        &mut self,
        timestamp: u32,
        marker: bool,
        payload: Bytes,
        emitter: &mut Emitter,
    ) -> Result<(), IngestError> {
        match self {
            Self::Nal(forwarder) => forwarder.handle_bare(timestamp, marker, payload, emitter),
            Self::Frames(_) => Ok(()),
        }
    }

    fn timeout(&self) -> Option<Instant> {
        match self {
            Self::Nal(forwarder) => forwarder.timeout(),
            Self::Frames(_) => None,
        }
    }

    fn handle_timeout(&mut self, now: Instant, emitter: &mut Emitter) {
        match self {
            Self::Nal(forwarder) => forwarder.handle_timeout(now, emitter),
            Self::Frames(_) => {}
        }
    }

    fn handle_packet(
        &mut self,
        arrival: Instant,
        timestamp: u32,
        marker: bool,
        payload: Bytes,
        emitter: &mut Emitter,
    ) -> Result<(), IngestError> {
        match self {
            Self::Nal(forwarder) => {
                forwarder.handle_packet(arrival, timestamp, marker, payload, emitter)
            }
            Self::Frames(forwarder) => {
                forwarder.handle_packet(arrival, timestamp, marker, payload, emitter)
            }
        }
    }
}

impl Feed {
    /// Creates a feed whose camera has not connected yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins a stream: the camera has connected, for the first time or again.
    pub fn handle_description(&mut self, description: &TrackDescription) {
        if let Some(ended) = &mut self.stream {
            ended.forwarder.restart(&mut self.emitter);
        }
        let mut forwarder = StreamForwarder::new(description.codec);
        if let StreamForwarder::Nal(forwarder) = &mut forwarder {
            for unit in &description.parameter_sets {
                // A camera whose SDP is wrong still has its sets in band.
                if forwarder.insert_parameter_set(unit).is_err() {
                    self.emitter.statistics.refused += 1;
                }
            }
            self.emitter.announce_format(forwarder.sets.format());
        }
        self.timeline.restart();
        self.emitter.statistics.restarts += u64::from(self.stream.is_some());
        let delivery = description.delivery;
        let reorder_buffer = ReorderBuffer::new(delivery);
        self.stream = Some(Stream { delivery, reorder_buffer, forwarder });
    }

    /// Drops the cached group of pictures: the camera has disconnected, and a new viewer must not
    /// start from an old picture.
    pub fn handle_end(&mut self) {
        self.reference = None;
        self.emitter.gop.clear();
    }

    /// Handles one RTP packet from the camera.
    ///
    /// # Errors
    /// If this packet, or one that waited for it, cannot be forwarded; the feed continues.
    pub fn handle_packet(&mut self, now: Instant, packet: RtpPacket) -> Result<(), IngestError> {
        self.emitter.statistics.received += 1;
        self.insert(now, packet)?;
        self.forward(now)
    }

    /// Forwards the packets that have waited long enough for a missing one.
    pub fn handle_timeout(&mut self, now: Instant) {
        // Refused packets are counted; there is no caller to tell about an older packet.
        let _ = self.forward(now);
        if let Some(stream) = &mut self.stream {
            stream.forwarder.handle_timeout(now, &mut self.emitter);
        }
    }

    /// Sets the moment of one of the camera's timestamps on our clock, by its sender reports.
    pub fn set_reference(&mut self, reference: Option<Reference>) {
        self.reference = reference;
    }

    /// Returns the next output; `None` until the next input.
    pub fn poll_output(&mut self) -> Option<FeedOutput> {
        self.emitter.output.pop_front()
    }

    /// Returns the time at which [`Feed::handle_timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let stream = self.stream.as_ref()?;
        let both = [stream.reorder_buffer.timeout(), stream.forwarder.timeout()];
        both.into_iter().flatten().min()
    }

    /// Returns the format of the latest packets; `None` until the parameter sets are complete.
    #[must_use]
    pub fn format(&self) -> Option<&Format> {
        self.emitter.format.as_ref()
    }

    /// Returns the cached group of pictures, which a new viewer is sent first.
    #[must_use]
    pub fn gop(&self) -> &Gop {
        &self.emitter.gop
    }

    /// Returns the counters since the feed was created.
    #[must_use]
    pub fn statistics(&self) -> FeedStatistics {
        self.emitter.statistics
    }

    fn insert(&mut self, now: Instant, packet: RtpPacket) -> Result<(), IngestError> {
        let stream = self.stream.as_mut().ok_or(IngestError::NotDescribed)?;
        match stream.reorder_buffer.insert(now, packet) {
            InsertOutcome::Accepted | InsertOutcome::Renumbered => {}
            InsertOutcome::Restarted => {
                stream.forwarder.restart(&mut self.emitter);
                self.timeline.restart();
                self.emitter.statistics.restarts += 1;
            }
            InsertOutcome::Interrupted => {
                stream.forwarder.restart(&mut self.emitter);
                self.emitter.statistics.restarts += 1;
            }
            InsertOutcome::Late | InsertOutcome::Suspect => self.emitter.statistics.late += 1,
        }
        Ok(())
    }

    /// Forwards every packet that is due. Returns the first error.
    fn forward(&mut self, now: Instant) -> Result<(), IngestError> {
        let mut result = Ok(());
        while let Some(Stream { delivery, reorder_buffer, forwarder }) = &mut self.stream {
            let Some(ordered) = reorder_buffer.pop(now) else { break };
            let RtpPacket { header, payload } = ordered.packet;
            if ordered.lost > 0 {
                forwarder.handle_gap(*delivery, ordered.lost, &payload, &mut self.emitter);
            }
            let RtpHeader { timestamp, marker, .. } = header;
            let forwarded = if forwarder.is_bare(&payload) {
                let timestamp = timestamp.wrapping_add(self.timeline.offset());
                forwarder.handle_bare(timestamp, marker, payload, &mut self.emitter)
            } else {
                let timestamp = self.timeline.map(ordered.arrival, timestamp);
                let offset = self.timeline.offset();
                let known = self.reference.filter(|_| self.timeline.is_trusted());
                self.emitter.reference = known.map(|known| known.shifted(offset));
                let arrival = ordered.arrival;
                forwarder.handle_packet(arrival, timestamp, marker, payload, &mut self.emitter)
            };
            self.emitter.statistics.refused += u64::from(forwarded.is_err());
            result = result.and(forwarded);
        }
        result
    }
}

#[cfg(test)]
mod tests;
