//! Sound that browsers do not play, decoded and encoded as Opus.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::aac::{Depacketizer, SAMPLES};
use super::decoder::Decoder;
use super::encoder::{Encoder, FRAME_RATE, takes};
use super::format::{AudioEncoding, AudioFormat, OPUS_CLOCK_RATE};
use super::resampler::Resampler;
use crate::media::ahead;

/// Ticks of Opus' RTP clock in a frame.
const FRAME_TICKS: u32 = OPUS_CLOCK_RATE / FRAME_RATE;

/// Time by which timestamps may differ from the count of samples. Cameras round them to
/// milliseconds, or take them from another clock; a difference below is no gap.
const TOLERANCE: Duration = Duration::from_millis(60);

/// Time by which the samples may be ahead of their timestamps until these catch up. More is another
/// clock.
const MAX_LEAD: Duration = Duration::from_secs(1);

/// Maximum number of samples that wait for the end of their frame, for each channel: a second of
/// 96 kHz. More is no sound of a camera.
const MAX_WAITING: usize = 96_000;

/// Number of units in a row that cannot be decoded after which the sound is given up: a second.
const MAX_FAILURES: u32 = 50;

/// A packet of Opus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OpusPacket {
    pub(super) payload: Bytes,
    /// Ticks of Opus' RTP clock since the packet before.
    pub(super) step: u32,
    /// Time at which its first sample was recorded.
    pub(super) captured: Instant,
}

/// Decodes and encodes the sound of one track.
#[derive(Debug)]
pub(super) struct Transcoder {
    depacketizer: Option<Depacketizer>,
    decoder: Decoder,
    resampler: Option<Resampler>,
    encoder: Encoder,
    channels: usize,
    sample_rate: u32,
    clock_rate: u32,
    /// Samples that wait for the end of their frame, interleaved.
    waiting: Vec<f32>,
    /// Timestamp, in the camera's clock, of the sample after the last one.
    next: Option<u32>,
    /// Time at which that sample was recorded.
    next_captured: Option<Instant>,
    /// Ticks of Opus' clock that the next packet is further away than a frame.
    skipped: u32,
    failures: u32,
}

impl Transcoder {
    /// Creates a transcoder; `None` if the format cannot be decoded.
    pub(super) fn new(format: &AudioFormat) -> Option<Self> {
        let (decoder, depacketizer, sample_rate) = match &format.encoding {
            AudioEncoding::G711(law) => (Decoder::G711(*law), None, format.clock_rate),
            AudioEncoding::Linear => (Decoder::Linear, None, format.clock_rate),
            AudioEncoding::Aac(aac) => {
                let depacketizer = Some(Depacketizer::new(aac.framing));
                (Decoder::aac(aac).ok()?, depacketizer, aac.sample_rate)
            }
            AudioEncoding::Opus | AudioEncoding::G722 => return None,
        };
        let encoded_rate = if takes(sample_rate) { sample_rate } else { OPUS_CLOCK_RATE };
        let encoder = Encoder::new(encoded_rate, format.channels)?;
        let resampler = if encoded_rate == sample_rate {
            None
        } else {
            Some(Resampler::new(sample_rate, encoded_rate, format.channels, encoder.frame())?)
        };
        Some(Self {
            depacketizer,
            decoder,
            resampler,
            encoder,
            channels: format.channels.into(),
            sample_rate,
            clock_rate: format.clock_rate,
            waiting: Vec::new(),
            next: None,
            next_captured: None,
            skipped: 0,
            failures: 0,
        })
    }

    /// Returns true if nothing of the last second could be decoded.
    pub(super) fn has_failed(&self) -> bool {
        self.failures >= MAX_FAILURES
    }

    /// Notes that packets before the next one are lost.
    pub(super) fn handle_loss(&mut self) {
        if let Some(depacketizer) = &mut self.depacketizer {
            depacketizer.handle_loss();
        }
    }

    /// Decodes a packet, whose first sample has this timestamp and was recorded at `captured`.
    /// Returns the packets of Opus that are complete.
    pub(super) fn handle_packet(
        &mut self,
        timestamp: u32,
        captured: Instant,
        payload: &Bytes,
    ) -> Vec<OpusPacket> {
        let mut packets = Vec::new();
        let Some(depacketizer) = &mut self.depacketizer else {
            self.handle_unit(timestamp, captured, payload, &mut packets);
            return packets;
        };
        for (index, unit) in (0_u32..).zip(depacketizer.units(payload)) {
            let samples = index * SAMPLES;
            let ticks = scale(samples, self.clock_rate, self.sample_rate);
            let captured = captured + self.duration(samples);
            self.handle_unit(timestamp.wrapping_add(ticks), captured, &unit, &mut packets);
        }
        packets
    }

    fn handle_unit(
        &mut self,
        timestamp: u32,
        captured: Instant,
        unit: &[u8],
        packets: &mut Vec<OpusPacket>,
    ) {
        let mut samples = Vec::new();
        if self.decoder.decode(unit, &mut samples).is_err() {
            self.failures = self.failures.saturating_add(1);
            return;
        }
        self.failures = 0;
        if !self.align(timestamp, packets) {
            return;
        }
        let count = u32::try_from(samples.len() / self.channels).unwrap_or(0);
        let ticks = scale(count, self.clock_rate, self.sample_rate);
        self.next = Some(self.next.unwrap_or(timestamp).wrapping_add(ticks));
        self.next_captured = Some(captured + self.duration(count));
        self.waiting.append(&mut samples);
        self.encode(packets);
    }

    /// Compares a timestamp with the one expected. Before a gap, what waits is sent with silence.
    /// Returns false if the unit is older than what was sent.
    fn align(&mut self, timestamp: u32, packets: &mut Vec<OpusPacket>) -> bool {
        let Some(next) = self.next else { return true };
        let off = ahead(timestamp, next);
        let distance = scale(off.unsigned_abs(), 1_000_000, self.clock_rate);
        let distance = Duration::from_micros(distance.into());
        if distance <= TOLERANCE {
            return true;
        }
        if off < 0 {
            let is_new_clock = distance > MAX_LEAD;
            if is_new_clock {
                self.next = Some(timestamp);
            }
            return is_new_clock;
        }
        let missing = scale(off.unsigned_abs(), self.sample_rate, self.clock_rate);
        let padding = self.finish_frame(packets);
        let left = missing.saturating_sub(padding);
        self.skipped = self.skipped.saturating_add(scale(left, OPUS_CLOCK_RATE, self.sample_rate));
        self.next = Some(timestamp);
        true
    }

    /// Fills the frame that waits with silence and encodes it. Returns the number of samples added,
    /// for each channel.
    fn finish_frame(&mut self, packets: &mut Vec<OpusPacket>) -> u32 {
        let needed = self.needed() * self.channels;
        let missing = needed.saturating_sub(self.waiting.len());
        if self.waiting.is_empty() || missing == 0 {
            return 0;
        }
        let count = u32::try_from(missing / self.channels).unwrap_or(0);
        self.waiting.resize(needed, 0.0);
        self.next_captured = self.next_captured.map(|at| at + self.duration(count));
        self.encode(packets);
        count
    }

    /// Returns the number of samples of the camera in the next frame, for each channel.
    fn needed(&self) -> usize {
        self.resampler.as_ref().map_or(self.encoder.frame(), Resampler::needed)
    }

    /// Encodes all complete frames.
    fn encode(&mut self, packets: &mut Vec<OpusPacket>) {
        if self.waiting.len() / self.channels > MAX_WAITING {
            self.waiting.clear();
        }
        let mut done = 0;
        loop {
            let needed = self.needed() * self.channels;
            let Some(frame) = self.waiting.get(done..done + needed) else { break };
            let resampled = match &mut self.resampler {
                Some(resampler) => resampler.process(frame),
                None => Some(frame),
            };
            let payload = resampled.and_then(|samples| self.encoder.encode(samples));
            let behind = u32::try_from((self.waiting.len() - done) / self.channels).unwrap_or(0);
            done += needed;
            let step = FRAME_TICKS + std::mem::take(&mut self.skipped);
            let captured = self.next_captured.and_then(|at| at.checked_sub(self.duration(behind)));
            match payload.zip(captured) {
                Some((payload, captured)) => packets.push(OpusPacket { payload, step, captured }),
                None => self.skipped = step,
            }
        }
        self.waiting.drain(..done);
    }

    /// Returns the duration of so many samples of each channel.
    fn duration(&self, samples: u32) -> Duration {
        Duration::from_nanos(u64::from(samples) * 1_000_000_000 / u64::from(self.sample_rate))
    }
}

/// Converts a number of ticks of one clock to another's.
fn scale(ticks: u32, to: u32, from: u32) -> u32 {
    let scaled = u64::from(ticks) * u64::from(to) / u64::from(from.max(1));
    u32::try_from(scaled).unwrap_or(u32::MAX)
}
