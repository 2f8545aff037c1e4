//! Forwarding one codec's packets: each leaves as it came unless it is too large, and key frames
//! leave with their parameter sets in front.
//!
//! Parameter sets, SEI, delimiters and filler are taken out on the way. The sets come back in one
//! packet ahead of every key frame, so that a viewer can start at any of them, whichever way the
//! camera sends its sets; the rest means nothing to a browser.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::{Bytes, BytesMut};

use super::codec::{Codec, Format};
use super::gop::Gop;
use super::nal::packetize::{aggregates, fragments, room};
use super::nal::parameter_sets::ParameterSets;
use super::nal::payload::{filler, fragment};
use super::nal::unit::{Fragment, NalHeader, NalKind, Shape};
use super::stream::{FeedOutput, FeedStatistics, IngestError, MAX_PAYLOAD, VideoPacket};

/// A parameter set in fragments is put together up to this size; a real one is a tenth of it.
const MAX_COLLECTED: usize = 1024;

/// Where packets go: numbered, into the group of pictures and out.
#[derive(Debug, Default)]
pub(super) struct Emitter {
    next_sequence: u64,
    pub(super) gop: Gop,
    pub(super) output: VecDeque<FeedOutput>,
    pub(super) statistics: FeedStatistics,
    /// The format that was announced last.
    pub(super) format: Option<Format>,
}

impl Emitter {
    /// Tells the format that the next packets are of, if it is another one.
    pub(super) fn announce(&mut self, sets: &ParameterSets) {
        let format = sets.format();
        if format.is_some() && format != self.format {
            self.format.clone_from(&format);
            self.output.extend(format.map(FeedOutput::Format));
        }
    }

    /// Leaves a gap for packets that never came.
    pub(super) fn skip(&mut self, lost: u64) {
        self.next_sequence += lost;
        self.statistics.lost += lost;
        self.gop.clear();
    }

    fn push(&mut self, unit: &AccessUnit, payload: Bytes, marker: bool, starts_key_frame: bool) {
        let packet = VideoPacket {
            payload,
            timestamp: unit.timestamp,
            marker,
            sequence: self.next_sequence,
            starts_key_frame,
            arrival: unit.arrival,
        };
        self.next_sequence += 1;
        self.statistics.forwarded += 1;
        self.gop.push(&packet);
        self.output.push_back(FeedOutput::Packet(packet));
    }
}

/// The access unit that is being forwarded.
#[derive(Debug)]
struct AccessUnit {
    timestamp: u32,
    arrival: Instant,
    /// A slice of it went out, and so its end must be marked.
    has_slice: bool,
    /// The marker went out.
    marked: bool,
    /// Markers that came with its slices.
    marks: u32,
    /// Nothing of it was lost.
    whole: bool,
    /// Its key frame was begun with the parameter sets.
    key: bool,
}

impl AccessUnit {
    fn new(timestamp: u32, arrival: Instant) -> Self {
        let (has_slice, marked, whole, key) = (false, false, true, false);
        Self { timestamp, arrival, has_slice, marked, marks: 0, whole, key }
    }
}

/// The NAL unit whose fragments are passing.
#[derive(Debug)]
enum Fragments {
    None,
    Passing {
        header: NalHeader,
        /// Whether the fragment with the start bit is out.
        begun: bool,
        /// The end of a fragment that was too large, waiting for the next one: the NAL unit is
        /// of no use without that one anyway, and so twice the packets are saved.
        carry: BytesMut,
    },
    /// A parameter set.
    Collecting(NalKind, BytesMut),
    Dropping,
}

#[derive(Debug)]
pub(super) struct Forwarder {
    codec: Codec,
    pub(super) sets: ParameterSets,
    unit: Option<AccessUnit>,
    fragments: Fragments,
    /// A key frame went out since the camera started; nothing before it can be decoded.
    started: bool,
    /// Markers in the last access unit. One, but for cameras that mark every slice of a picture:
    /// of theirs only the last marker may pass, or a browser takes each slice for a picture.
    marks_per_unit: u32,
}

impl Forwarder {
    pub(super) fn new(codec: Codec) -> Self {
        let sets = ParameterSets::new(codec);
        let (unit, fragments) = (None, Fragments::None);
        Self { codec, sets, unit, fragments, started: false, marks_per_unit: 1 }
    }

    /// The camera begins anew: nothing it sends refers to what it sent.
    pub(super) fn restart(&mut self, emitter: &mut Emitter) {
        self.lose(0, emitter);
        self.started = false;
        emitter.gop.clear();
    }

    /// Packets are missing before the next one.
    pub(super) fn lose(&mut self, lost: u64, emitter: &mut Emitter) {
        self.flush_carry(false, false, emitter);
        self.fragments = Fragments::None;
        if lost > 0 {
            emitter.skip(lost);
        }
        if let Some(unit) = &mut self.unit {
            unit.whole = false;
        }
    }

    /// The next packet in order.
    pub(super) fn packet(
        &mut self,
        arrival: Instant,
        timestamp: u32,
        marker: bool,
        payload: Bytes,
        emitter: &mut Emitter,
    ) -> Result<(), IngestError> {
        if self.unit.as_ref().is_none_or(|unit| unit.timestamp != timestamp) {
            self.end_unit(emitter);
            self.marks_per_unit = self.marks_of_last_unit();
            self.unit = Some(AccessUnit::new(timestamp, arrival));
        }
        if let Some(unit) = &mut self.unit {
            unit.arrival = arrival;
        }
        let shape = Shape::of(self.codec, &payload)?;
        let marker = marker && self.ends_unit(&shape, &payload);
        match shape {
            Shape::Single => self.nal_unit(payload, marker, emitter)?,
            Shape::Aggregate(units) => {
                let last = units.len().saturating_sub(1);
                for (index, unit) in units.into_iter().enumerate() {
                    self.nal_unit(unit, marker && index == last, emitter)?;
                }
            }
            Shape::Fragment(fragment) => self.fragment(payload, fragment, marker, emitter)?,
        }
        if marker {
            self.end_unit(emitter);
        }
        Ok(())
    }

    /// Whether a packet with marker is the access unit's last.
    fn ends_unit(&mut self, shape: &Shape, payload: &[u8]) -> bool {
        let Some(unit) = &mut self.unit else { return true };
        let is_slice = |kind| matches!(kind, NalKind::KeySlice | NalKind::Slice);
        if !shape.has_unit(self.codec, payload, is_slice) {
            return true;
        }
        unit.marks += 1;
        unit.marks >= self.marks_per_unit
    }

    fn marks_of_last_unit(&self) -> u32 {
        match &self.unit {
            Some(unit) if unit.whole && unit.marks > 0 => unit.marks,
            _ => self.marks_per_unit,
        }
    }

    /// A whole NAL unit.
    fn nal_unit(
        &mut self,
        nal: Bytes,
        marker: bool,
        emitter: &mut Emitter,
    ) -> Result<(), IngestError> {
        self.flush_carry(false, false, emitter);
        self.fragments = Fragments::None;
        let kind = NalKind::of(self.codec, &nal);
        match kind {
            NalKind::Vps | NalKind::Sps | NalKind::Pps => self.sets.insert(kind, &nal)?,
            NalKind::Other => {}
            NalKind::KeySlice | NalKind::Slice => {
                if self.begin_slice(kind, emitter) {
                    if nal.len() <= MAX_PAYLOAD {
                        self.emit(nal, marker, emitter);
                    } else {
                        let mut payloads = fragments(self.codec, &nal).into_iter().peekable();
                        while let Some(payload) = payloads.next() {
                            let last = payloads.peek().is_none();
                            self.emit(payload, marker && last, emitter);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Part of a NAL unit.
    fn fragment(
        &mut self,
        payload: Bytes,
        part: Fragment,
        marker: bool,
        emitter: &mut Emitter,
    ) -> Result<(), IngestError> {
        if part.start && part.end {
            // RFC 6184 §5.8 forbids it, cameras send it: it is a whole NAL unit.
            let nal = [part.header.as_bytes(self.codec), &part.body].concat();
            return self.nal_unit(nal.into(), marker, emitter);
        }
        let continues = !part.start && !matches!(self.fragments, Fragments::None);
        if !continues {
            self.begin_fragments(&part, emitter);
        }
        match &mut self.fragments {
            Fragments::Passing { carry, begun, .. } => {
                if carry.is_empty() && payload.len() <= MAX_PAYLOAD {
                    *begun = true;
                    self.emit(payload, marker, emitter);
                } else {
                    carry.extend_from_slice(&part.body);
                    self.pass_full_fragments(part.end || marker, emitter);
                    if part.end || marker {
                        self.flush_carry(true, marker, emitter);
                    }
                }
            }
            Fragments::Collecting(kind, collected) => {
                collected.extend_from_slice(&part.body);
                if part.end {
                    let (kind, unit) = (*kind, std::mem::take(collected));
                    self.fragments = Fragments::None;
                    return self.sets.insert(kind, &unit);
                }
                if collected.len() > MAX_COLLECTED {
                    self.fragments = Fragments::Dropping;
                    return Err(IngestError::ParameterSet);
                }
            }
            Fragments::Dropping | Fragments::None => {}
        }
        if part.end {
            self.fragments = Fragments::None;
        }
        Ok(())
    }

    /// The first fragment of a NAL unit that is seen, its start or what a loss left of it.
    fn begin_fragments(&mut self, part: &Fragment, emitter: &mut Emitter) {
        self.flush_carry(false, false, emitter);
        let header = part.header;
        let kind = NalKind::of(self.codec, header.as_bytes(self.codec));
        self.fragments = match kind {
            NalKind::Other => Fragments::Dropping,
            NalKind::Vps | NalKind::Sps | NalKind::Pps if part.start => {
                Fragments::Collecting(kind, BytesMut::from(header.as_bytes(self.codec)))
            }
            NalKind::Vps | NalKind::Sps | NalKind::Pps => Fragments::Dropping,
            NalKind::KeySlice | NalKind::Slice => {
                let forwarded =
                    if part.start { self.begin_slice(kind, emitter) } else { self.started };
                if forwarded {
                    Fragments::Passing { header, begun: !part.start, carry: BytesMut::new() }
                } else {
                    Fragments::Dropping
                }
            }
        };
    }

    /// Sends what must go ahead of a slice. Whether the slice is of any use.
    fn begin_slice(&mut self, kind: NalKind, emitter: &mut Emitter) -> bool {
        let Some(unit) = &mut self.unit else { return false };
        let starts_key_frame = kind == NalKind::KeySlice && !unit.key;
        if starts_key_frame {
            if self.sets.format().is_none() {
                self.started = false;
                return false;
            }
            unit.key = true;
            self.started = true;
            emitter.statistics.key_frames += 1;
        }
        if self.started && (starts_key_frame || self.sets.changed()) {
            emitter.announce(&self.sets);
            let mut first = starts_key_frame;
            for payload in aggregates(self.codec, &self.sets.give()) {
                emitter.push(unit, payload, false, first);
                first = false;
            }
        }
        self.started
    }

    /// Sends the carried bytes as far as they fill packets; of the last one the end is kept for
    /// the next fragment, or for `flush_carry`.
    fn pass_full_fragments(&mut self, ends: bool, emitter: &mut Emitter) {
        let (codec, room) = (self.codec, room(self.codec));
        let mut payloads = Vec::new();
        if let Fragments::Passing { header, begun, carry } = &mut self.fragments {
            while carry.len() > room || (carry.len() == room && !ends) {
                payloads.push(fragment(codec, *header, !*begun, false, &carry.split_to(room)));
                *begun = true;
            }
        }
        for payload in payloads {
            self.emit(payload, false, emitter);
        }
    }

    /// Sends what is left of a NAL unit; `end` if nothing follows, else the rest was lost.
    fn flush_carry(&mut self, end: bool, marker: bool, emitter: &mut Emitter) {
        let Fragments::Passing { header, begun, carry } = &mut self.fragments else { return };
        if carry.is_empty() {
            return;
        }
        let payload = fragment(self.codec, *header, !*begun, end, &carry.split());
        *begun = true;
        self.emit(payload, marker, emitter);
    }

    fn emit(&mut self, payload: Bytes, marker: bool, emitter: &mut Emitter) {
        let Some(unit) = &mut self.unit else { return };
        unit.has_slice = true;
        unit.marked |= marker;
        emitter.push(unit, payload, marker, false);
    }

    /// The access unit is complete: if nothing marked its end, a filler does. That happens when
    /// the camera marks a NAL unit that was taken out, and with cameras that mark nothing.
    fn end_unit(&mut self, emitter: &mut Emitter) {
        self.flush_carry(false, false, emitter);
        let Some(unit) = &mut self.unit else { return };
        // After a loss the end may have been lost, too; a viewer finds it itself.
        if unit.has_slice && !unit.marked && unit.whole {
            unit.marked = true;
            emitter.push(unit, filler(self.codec), true, false);
        }
    }
}
