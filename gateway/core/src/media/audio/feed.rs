//! The core of one camera's sound: RTP packets in, packets for every listener out.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tracing::error;

use super::format::{
    AudioCodec, AudioDescription, AudioEncoding, AudioFormat, AudioProblem, OPUS_CLOCK_RATE,
};
use super::transcoder::Transcoder;
use crate::media::reorder::{InsertOutcome, ReorderBuffer};
use crate::media::timeline::Timeline;
use crate::media::{Delivery, MAX_PAYLOAD, MediaPacket, Reference, RtpPacket, ticks_at};

/// Maximum length of a packet of G.711 or G.722 in bytes: longer ones, of 1.2 seconds of sound, are
/// split at this length into ones that fit every path.
const MAX_TELEPHONE: usize = 960;

/// Maximum number of packets that wait to be polled; the owner drains them after each input.
const MAX_OUTPUT: usize = 256;

/// Duration of a packet of Opus, as nearly all senders choose it (RFC 7587 §4.2).
const OPUS_PACKET: Duration = Duration::from_millis(20);

/// Longest duration of a packet that is believed, for the time at which it was recorded.
const MAX_PACKET: Duration = Duration::from_millis(200);

/// Largest difference between the time that the camera reports and that of the arrival. No network
/// delays one track by more; cameras that report more have a clock for each track.
const MAX_REPORTED: Duration = Duration::from_secs(3);

/// Prepares one camera's sound for its listeners.
///
/// A feed lives as long as its camera is configured. After each `handle_…` drain
/// [`AudioFeed::poll_output`], then ask [`AudioFeed::poll_timeout`].
#[derive(Debug, Default)]
pub struct AudioFeed {
    track: Option<Track>,
    /// The codec in which the sound leaves, or why it does not. It stays known while the camera is
    /// disconnected.
    known: Option<Known>,
    /// True while somebody listens.
    is_wanted: bool,
    /// A moment of the camera's timestamps on our clock.
    reference: Option<Reference>,
    next_sequence: u64,
    timeline: Timeline,
    /// Timestamp of the last packet of Opus that was made here, and its arrival.
    made: Option<(u32, Instant)>,
    /// The next packet of Opus has nothing to do with the last one.
    is_new_run: bool,
    output: VecDeque<MediaPacket>,
}

/// The sound of a camera, as it is reported.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Known {
    name: String,
    sent: Result<AudioCodec, AudioProblem>,
}

/// The times of a packet.
#[derive(Debug, Clone, Copy)]
struct Moment {
    timestamp: u32,
    arrival: Instant,
    captured: Instant,
}

/// The state that a new description replaces.
#[derive(Debug)]
struct Track {
    delivery: Delivery,
    format: AudioFormat,
    reorder_buffer: ReorderBuffer,
    /// The maker of Opus from the packets; `None` while they pass, or nobody has listened yet.
    transcoder: Option<Box<Transcoder>>,
}

impl Track {
    fn new(format: AudioFormat, delivery: Delivery) -> Self {
        Self { delivery, format, reorder_buffer: ReorderBuffer::new(delivery), transcoder: None }
    }

    /// Returns the time at which the first sample of a packet was recorded, if its arrival is all
    /// that is known: the packet leaves the camera when its last sample is recorded.
    fn captured(&self, arrival: Instant, len: usize) -> Instant {
        let AudioFormat { clock_rate, channels, .. } = self.format;
        let of_bytes = |each: u64| {
            let a_second = each * u64::from(clock_rate) * u64::from(channels);
            Duration::from_nanos(len as u64 * 1_000_000_000 / a_second.max(1))
        };
        let duration = match &self.format.encoding {
            AudioEncoding::G711(_) | AudioEncoding::G722 => of_bytes(1),
            AudioEncoding::Linear => of_bytes(2),
            AudioEncoding::Opus => OPUS_PACKET,
            AudioEncoding::Aac(aac) => aac.frame(),
        };
        arrival.checked_sub(duration.min(MAX_PACKET)).unwrap_or(arrival)
    }
}

impl AudioFeed {
    /// Begins a track, or ends it: the camera has connected, for the first time or again.
    pub fn handle_description(&mut self, description: Option<&AudioDescription>) {
        self.handle_end();
        self.known = description.map(|description| Known {
            name: description.codec.clone(),
            sent: description.format.as_ref().map(AudioFormat::sent).map_err(Clone::clone),
        });
        if let Some(AudioDescription { format: Ok(format), delivery, .. }) = description {
            self.begin(format.clone(), *delivery);
        }
    }

    /// Begins a run of packets that have nothing to do with the ones before.
    fn begin(&mut self, format: AudioFormat, delivery: Delivery) {
        if self.timeline.clock_rate() != format.clock_rate {
            self.timeline = Timeline::with_rate(format.clock_rate);
        }
        self.timeline.restart();
        self.is_new_run = true;
        self.track = Some(Track::new(format, delivery));
    }

    /// Ends the track: the camera has disconnected.
    pub fn handle_end(&mut self) {
        self.track = None;
        self.reference = None;
    }

    /// Says if somebody listens. Without a listener nothing is decoded.
    pub fn set_wanted(&mut self, is_wanted: bool) {
        if std::mem::replace(&mut self.is_wanted, is_wanted) == is_wanted {
            return;
        }
        if let Some(Track { format, delivery, .. }) = self.track.take() {
            self.begin(format, delivery);
        }
    }

    /// Sets the moment of one of the camera's timestamps on our clock, by its sender reports.
    pub fn set_reference(&mut self, reference: Option<Reference>) {
        self.reference = reference;
    }

    /// Returns the codec of the packets; `None` if there is no sound, or none that can be heard.
    #[must_use]
    pub fn codec(&self) -> Option<AudioCodec> {
        self.known.as_ref()?.sent.as_ref().ok().copied()
    }

    /// Returns the RTP clock rate of the camera's packets in hertz.
    #[must_use]
    pub fn clock_rate(&self) -> Option<u32> {
        self.track.as_ref().map(|track| track.format.clock_rate)
    }

    /// Returns the name of the camera's codec, and the reason why it cannot be heard if there is
    /// one; `None` if the camera sends no sound, or until that is known.
    #[must_use]
    pub fn sound(&self) -> Option<(&str, Option<&AudioProblem>)> {
        let known = self.known.as_ref()?;
        Some((&known.name, known.sent.as_ref().err()))
    }

    /// Handles one RTP packet from the camera.
    pub fn handle_packet(&mut self, now: Instant, packet: RtpPacket) {
        let Some(track) = self.track.as_mut().filter(|_| self.is_wanted) else { return };
        match track.reorder_buffer.insert(now, packet) {
            InsertOutcome::Restarted => self.timeline.restart(),
            InsertOutcome::Accepted
            | InsertOutcome::Interrupted
            | InsertOutcome::Renumbered
            | InsertOutcome::Late
            | InsertOutcome::Suspect => {}
        }
        self.forward(now);
    }

    /// Returns the time at which [`AudioFeed::handle_timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.track.as_ref()?.reorder_buffer.timeout()
    }

    /// Forwards the packets that have waited long enough for a missing one.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.forward(now);
    }

    /// Returns the next packet; `None` until the next input.
    pub fn poll_output(&mut self) -> Option<MediaPacket> {
        self.output.pop_front()
    }

    fn forward(&mut self, now: Instant) {
        while let Some(track) = &mut self.track {
            let Some(ordered) = track.reorder_buffer.pop(now) else { break };
            if ordered.lost > 0 && track.delivery != Delivery::Tcp {
                self.next_sequence += ordered.lost;
                if let Some(transcoder) = &mut track.transcoder {
                    transcoder.handle_loss();
                }
            }
            let arrival = ordered.arrival;
            let RtpPacket { header, payload } = ordered.packet;
            let by_arrival = track.captured(arrival, payload.len());
            let reported = self.reference.map(|known| known.time_of(header.timestamp));
            let captured =
                reported.filter(|at| is_plausible(*at, by_arrival)).unwrap_or(by_arrival);
            let timestamp = self.timeline.map(arrival, header.timestamp);
            let moment = Moment { timestamp, arrival, captured };
            if track.format.passes() {
                self.pass(moment, header.marker, payload);
            } else {
                self.transcode(moment, &payload);
            }
        }
    }

    /// Sends a packet on as it is. One of G.711 that is too long for the path is split.
    fn pass(&mut self, moment: Moment, marker: bool, mut payload: Bytes) {
        let is_opus = matches!(self.codec(), Some(AudioCodec::Opus { .. }));
        if payload.is_empty() || is_opus && payload.len() > MAX_PAYLOAD {
            return;
        }
        let mut offset = 0;
        loop {
            let is_long = !is_opus && payload.len() > MAX_TELEPHONE;
            let rest = if is_long { payload.split_off(MAX_TELEPHONE) } else { Bytes::new() };
            let ticks = u32::try_from(offset).unwrap_or(0);
            let captured = moment.captured + Duration::from_micros(125) * ticks;
            let timestamp = moment.timestamp.wrapping_add(ticks);
            offset += payload.len();
            self.push(Moment { timestamp, captured, ..moment }, marker && ticks == 0, payload);
            if rest.is_empty() {
                return;
            }
            payload = rest;
        }
    }

    /// Makes Opus of a packet. A library that panics costs the sound of this camera only.
    fn transcode(&mut self, moment: Moment, payload: &Bytes) {
        let Some(track) = &mut self.track else { return };
        if track.transcoder.is_none() {
            track.transcoder = Transcoder::new(&track.format).map(Box::new);
        }
        let Some(transcoder) = &mut track.transcoder else {
            return self.give_up(AudioProblem::Undecodable);
        };
        let packets = catch_unwind(AssertUnwindSafe(|| {
            transcoder.handle_packet(moment.timestamp, moment.captured, payload)
        }));
        let Ok(packets) = packets else {
            error!("a decoder of sound panicked; please report this bug");
            return self.give_up(AudioProblem::Defect);
        };
        if transcoder.has_failed() {
            self.give_up(AudioProblem::Undecodable);
        }
        for packet in packets {
            let step = match self.made {
                Some((_, before)) if self.is_new_run => {
                    let passed = moment.arrival.saturating_duration_since(before);
                    ticks_at(passed, OPUS_CLOCK_RATE).max(packet.step)
                }
                _ => packet.step,
            };
            self.is_new_run = false;
            let timestamp = self.made.map_or(0, |(last, _)| last.wrapping_add(step));
            self.made = Some((timestamp, moment.arrival));
            let captured = packet.captured;
            self.push(Moment { timestamp, captured, ..moment }, false, packet.payload);
        }
    }

    fn give_up(&mut self, problem: AudioProblem) {
        self.track = None;
        if let Some(known) = &mut self.known {
            known.sent = Err(problem);
        }
    }

    fn push(&mut self, moment: Moment, marker: bool, payload: Bytes) {
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        if self.output.len() >= MAX_OUTPUT {
            return;
        }
        self.output.push_back(MediaPacket {
            payload,
            timestamp: moment.timestamp,
            marker,
            sequence,
            starts_key_frame: false,
            arrival: moment.arrival,
            captured: moment.captured,
        });
    }
}

fn is_plausible(reported: Instant, by_arrival: Instant) -> bool {
    let before = by_arrival.saturating_duration_since(reported);
    let after = reported.saturating_duration_since(by_arrival);
    before.max(after) <= MAX_REPORTED
}

#[cfg(test)]
mod tests;
