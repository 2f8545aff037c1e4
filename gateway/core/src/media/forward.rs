//! Forwarding of packets in order: each leaves as it came unless it is too large for the path.
//!
//! Parameter sets, SEI, delimiters and filler are removed. The parameter sets are sent in one
//! packet ahead of every key frame, so that a viewer can start at any of them however the camera
//! sends its sets; the rest means nothing to a browser.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use super::access_unit::{AccessUnit, Place};
use super::codec::NalCodec;
use super::emitter::Emitter;
use super::gap::{Gap, Steps};
use super::marks::Marks;
use super::nal::packetize::{aggregates, fragments, room};
use super::nal::parameter_sets::{MAX_SET_LEN, ParameterSets};
use super::nal::payload::{filler, fragment, is_bare};
use super::nal::slice::{SliceStart, begins_picture, is_plausible_slice, is_recovery_point};
use super::nal::start_code;
use super::nal::unit::{Fragment, NalHeader, NalKind, Shape};
use super::stream::{IngestError, MAX_PAYLOAD};

/// Maximum time for which a marked slice waits for the next one while it is uncertain whether it is
/// the last of its picture. The next picture ends the wait, too, so that only cameras with fewer
/// than 20 pictures a second wait for so long.
const MARK_HOLD: Duration = Duration::from_millis(50);

/// Maximum number of packets between two pictures that may be no loss over UDP: fewer than the
/// smallest range of frame numbers of H.264, after which they are the same again.
const MAX_LEFT_OUT: u64 = 8;

/// The NAL unit whose fragments are arriving.
#[derive(Debug)]
enum Fragments {
    None,
    /// A slice, forwarded fragment by fragment.
    Forwarding {
        header: NalHeader,
        /// The fragment with the start bit was sent.
        started: bool,
        /// The end of a fragment that was too large. It waits for the next fragment, without which
        /// the NAL unit is useless anyway: sending it alone would double the number of packets.
        rest: BytesMut,
    },
    /// A parameter set, assembled.
    Collecting(NalKind, BytesMut),
    /// The header of a NAL unit that follows a start code, until it is complete.
    Heading(BytesMut),
    /// A NAL unit that is not forwarded.
    Dropping,
}

/// A marked slice that may not be the last of its picture.
#[derive(Debug)]
struct Held {
    payload: Bytes,
    until: Instant,
}

/// Forwards the packets of one stream.
#[derive(Debug)]
pub(super) struct Forwarder {
    codec: NalCodec,
    pub(super) sets: ParameterSets,
    unit: Option<AccessUnit>,
    fragments: Fragments,
    /// Number of zeros at the end of the latest fragment, which may begin a start code.
    zeros: usize,
    /// A key frame was sent since the camera started; slices before it cannot be decoded.
    started: bool,
    marks: Marks,
    /// A fragment without the end bit had the marker. Either the camera marks more than the last
    /// packet of a picture, or it sets no end bits.
    is_marked_inside: bool,
    /// The camera sets no end bits: the marker ends the last NAL unit.
    lacks_end_bits: bool,
    held: Option<Held>,
    latest_slice: Option<SliceStart>,
    /// Numbers that are missing before the next slice, which tells if they matter.
    gap: Gap,
    steps: Steps,
}

impl Forwarder {
    pub(super) fn new(codec: NalCodec) -> Self {
        let sets = ParameterSets::new(codec);
        Self {
            codec,
            sets,
            unit: None,
            fragments: Fragments::None,
            zeros: 0,
            started: false,
            marks: Marks::new(),
            is_marked_inside: false,
            lacks_end_bits: false,
            held: None,
            latest_slice: None,
            gap: Gap::default(),
            steps: Steps::default(),
        }
    }

    /// Keeps a parameter set of the stream's description.
    pub(super) fn insert_parameter_set(&mut self, unit: &[u8]) -> Result<(), IngestError> {
        self.sets.insert(NalKind::of(self.codec, unit), unit)
    }

    /// Handles a restart of the camera: its next packets do not refer to earlier ones.
    pub(super) fn restart(&mut self, emitter: &mut Emitter) {
        self.release(true, emitter);
        self.handle_loss(0, emitter);
        self.started = false;
        (self.latest_slice, self.gap) = (None, Gap::default());
        emitter.gop.clear();
    }

    /// Handles the loss of packets before the next one.
    pub(super) fn handle_loss(&mut self, lost: u64, emitter: &mut Emitter) {
        self.flush_rest(false, false, emitter);
        self.fragments = Fragments::None;
        if lost > 0 {
            emitter.skip(lost);
        }
        if let Some(unit) = &mut self.unit {
            unit.is_complete = false;
        }
    }

    /// Handles a gap in the numbers of a camera of which nothing is lost on the way. It is a loss
    /// if it cuts a NAL unit, or if the next slice shows that a picture is missing.
    pub(super) fn handle_gap(&mut self, missing: u64, next: &Bytes, emitter: &mut Emitter) {
        let is_ended = self.held.is_some() || self.unit.as_ref().is_none_or(|unit| unit.is_marked);
        let is_cut = !is_ended && !matches!(self.fragments, Fragments::None);
        if is_cut || !Shape::begins_unit(self.codec, next) {
            self.handle_loss(missing, emitter);
        } else {
            self.gap.add(missing, false);
        }
    }

    /// Handles a gap in the numbers of packets that may be lost on the way. It is no loss between
    /// whole pictures if the next slice shows that none is missing: cameras leave numbers out, and
    /// what is beside the pictures may be lost.
    pub(super) fn handle_possible_loss(
        &mut self,
        missing: u64,
        next: &Bytes,
        emitter: &mut Emitter,
    ) {
        let is_held = self.held.is_some();
        let is_ended = self.unit.as_ref().is_some_and(|unit| {
            let has_all = is_held && self.marks.may_be_all(unit.markers);
            unit.is_complete && (unit.is_marked || has_all)
        });
        if missing <= MAX_LEFT_OUT && is_ended && Place::begins_picture(self.codec, next) {
            self.gap.add(missing, true);
        } else {
            self.handle_loss(missing, emitter);
        }
    }

    /// Returns the time at which [`Self::handle_timeout`] is due.
    pub(super) fn timeout(&self) -> Option<Instant> {
        self.held.as_ref().map(|held| held.until)
    }

    /// Ends the picture whose last slice has waited long enough for another one.
    pub(super) fn handle_timeout(&mut self, now: Instant, emitter: &mut Emitter) {
        if self.timeout().is_some_and(|until| until <= now) {
            self.release(true, emitter);
        }
    }

    /// Forwards the next packet in order.
    pub(super) fn handle_packet(
        &mut self,
        arrival: Instant,
        timestamp: u32,
        marker: bool,
        payload: Bytes,
        emitter: &mut Emitter,
    ) -> Result<(), IngestError> {
        let units =
            start_code::begins(&payload).then(|| start_code::split(self.codec, &payload)).flatten();
        let shape = match units {
            Some(units) => Shape::Aggregate(units),
            None => Shape::of(self.codec, &payload)?,
        };
        let place = Place::of(self.codec, &shape, &payload);
        let is_held = self.held.is_some();
        if self.unit.as_ref().is_none_or(|unit| !unit.continues(timestamp, place, is_held)) {
            self.end_unit(emitter);
            self.count_markers();
            let step = self.unit.as_ref().map_or(0, |unit| unit.step_to(timestamp));
            emitter.statistics.pictures_back += u64::from(step < 0);
            self.steps.push(step);
            self.unit = Some(AccessUnit::begin(self.unit.as_ref(), timestamp, arrival));
        }
        if let Some(unit) = &mut self.unit {
            unit.arrival = arrival;
        }
        let marker = marker && self.ends_unit(&shape, place);
        match shape {
            Shape::Single => self.forward_unit(payload, marker, emitter)?,
            Shape::Aggregate(units) => {
                self.forward_each(units, marker, emitter, Self::forward_unit)?;
            }
            Shape::Fragment(fragment) => {
                self.forward_fragment(payload, fragment, marker, emitter)?;
            }
        }
        if marker && self.held.is_none() {
            self.end_unit(emitter);
        }
        Ok(())
    }

    /// Takes a packet that holds nothing of a picture. Its timestamp is that of a picture only if
    /// it is the current one's: cameras give parameter sets others, or none.
    pub(super) fn handle_bare(
        &mut self,
        timestamp: u32,
        marker: bool,
        payload: Bytes,
        emitter: &mut Emitter,
    ) -> Result<(), IngestError> {
        match Shape::of(self.codec, &payload)? {
            Shape::Single => self.forward_plain_unit(payload, false, emitter)?,
            Shape::Aggregate(units) => {
                self.forward_each(units, false, emitter, Self::forward_plain_unit)?;
            }
            Shape::Fragment(_) => {}
        }
        let is_current = self.unit.as_ref().is_some_and(|unit| unit.step_to(timestamp) == 0);
        if marker && is_current && self.held.is_none() {
            self.end_unit(emitter);
        }
        Ok(())
    }

    /// Returns true if a payload holds nothing of a picture.
    pub(super) fn is_bare(&self, payload: &[u8]) -> bool {
        is_bare(self.codec, payload)
    }

    /// Returns true if a packet with marker is the last of its access unit.
    fn ends_unit(&mut self, shape: &Shape, place: Place) -> bool {
        let Some(unit) = &mut self.unit else { return true };
        let is_cut = matches!(shape, Shape::Fragment(part) if !part.end);
        if is_cut && !self.lacks_end_bits {
            self.is_marked_inside = true;
            return false;
        }
        if place == Place::Unknown {
            return true;
        }
        unit.markers += 1;
        self.marks.are_complete(unit.markers)
    }

    /// Learns from the last access unit how many markers the next one will have.
    fn count_markers(&mut self) {
        let unit = self.unit.as_ref().filter(|unit| unit.is_complete && unit.markers > 0);
        if let Some(unit) = unit {
            self.marks.learn(unit.markers);
        }
    }

    /// Forwards a whole NAL unit, and those that hide in it.
    fn forward_unit(
        &mut self,
        nal: Bytes,
        marker: bool,
        emitter: &mut Emitter,
    ) -> Result<(), IngestError> {
        let Some(units) = start_code::split(self.codec, &nal) else {
            return self.forward_plain_unit(nal, marker, emitter);
        };
        self.forward_each(units, marker, emitter, Self::forward_plain_unit)
    }

    /// Forwards several NAL units, the last one with the marker. Returns the first error.
    fn forward_each(
        &mut self,
        units: Vec<Bytes>,
        marker: bool,
        emitter: &mut Emitter,
        forward: fn(&mut Self, Bytes, bool, &mut Emitter) -> Result<(), IngestError>,
    ) -> Result<(), IngestError> {
        let last = units.len().saturating_sub(1);
        let mut result = Ok(());
        for (index, unit) in units.into_iter().enumerate() {
            result = result.and(forward(self, unit, marker && index == last, emitter));
        }
        result
    }

    fn forward_plain_unit(
        &mut self,
        nal: Bytes,
        marker: bool,
        emitter: &mut Emitter,
    ) -> Result<(), IngestError> {
        self.flush_rest(false, false, emitter);
        self.fragments = Fragments::None;
        let kind = NalKind::of(self.codec, &nal);
        match kind {
            NalKind::Vps | NalKind::Sps | NalKind::Pps => self.sets.insert(kind, &nal)?,
            NalKind::Other => count_other(self.codec, &nal, emitter),
            NalKind::KeySlice | NalKind::Slice => {
                let (header, body) = nal.split_at(self.codec.header_len().min(nal.len()));
                self.count_slice(header, body, emitter);
                if self.begin_slice(kind, body, emitter) {
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

    /// Forwards a part of a NAL unit.
    fn forward_fragment(
        &mut self,
        payload: Bytes,
        part: Fragment,
        marker: bool,
        emitter: &mut Emitter,
    ) -> Result<(), IngestError> {
        if part.start && part.end {
            // RFC 6184 §5.8 forbids this, but cameras send it: it is a whole NAL unit.
            let nal = [part.header.as_bytes(self.codec), &part.body].concat();
            return self.forward_unit(nal.into(), marker, emitter);
        }
        let continues = !part.start && !matches!(self.fragments, Fragments::None);
        if !continues {
            // A start code may begin where the header should be.
            let header = part.header.as_bytes(self.codec);
            self.zeros = if part.start { start_code::trailing_zeros(0, header) } else { 0 };
            self.begin_fragments(&part, emitter);
        }
        let is_plain = !matches!(self.fragments, Fragments::Heading(_))
            && start_code::find(self.codec, self.zeros, &part.body).is_none();
        if is_plain {
            self.zeros = start_code::trailing_zeros(self.zeros, &part.body);
            let whole = Some((payload, part.header));
            return self.continue_unit(whole, &part.body, part.end, marker, emitter);
        }
        self.forward_hidden_units(part, marker, emitter)
    }

    /// Forwards a fragment in which other NAL units begin.
    fn forward_hidden_units(
        &mut self,
        part: Fragment,
        marker: bool,
        emitter: &mut Emitter,
    ) -> Result<(), IngestError> {
        let (mut body, mut zeros, mut result) = (part.body, self.zeros, Ok(()));
        if let Fragments::Heading(header) = &mut self.fragments {
            body = [&header[..], &body].concat().into();
            zeros = 0;
            body = self.begin_hidden_unit(body, emitter);
        }
        while let Some(boundary) = start_code::find(self.codec, zeros, &body) {
            let before = body.slice(..boundary.end);
            result = result.and(self.continue_unit(None, &before, true, false, emitter));
            body = self.begin_hidden_unit(body.slice(boundary.begin..), emitter);
            zeros = 0;
        }
        self.zeros = start_code::trailing_zeros(zeros, &body);
        result.and(self.continue_unit(None, &body, part.end, marker, emitter))
    }

    /// Begins a NAL unit that follows a start code. Returns its bytes after the header.
    fn begin_hidden_unit(&mut self, body: Bytes, emitter: &mut Emitter) -> Bytes {
        let header = match (self.codec, &body[..]) {
            (NalCodec::H264, [first, ..]) => NalHeader([*first, 0]),
            (NalCodec::H265, [first, second, ..]) => NalHeader([*first, *second]),
            _ => {
                self.fragments = Fragments::Heading(BytesMut::from(&body[..]));
                return Bytes::new();
            }
        };
        let part = Fragment { header, start: true, end: false, body: Bytes::new() };
        self.begin_fragments(&part, emitter);
        body.slice(self.codec.header_len()..)
    }

    /// Continues the current NAL unit with more of its body. `whole` is the payload that carries
    /// the body, with its header, if it carries nothing else.
    fn continue_unit(
        &mut self,
        whole: Option<(Bytes, NalHeader)>,
        body: &[u8],
        end: bool,
        marker: bool,
        emitter: &mut Emitter,
    ) -> Result<(), IngestError> {
        match &mut self.fragments {
            Fragments::Forwarding { header, rest, started } => {
                let unchanged = whole.filter(|(payload, of)| {
                    rest.is_empty() && of == header && payload.len() <= MAX_PAYLOAD
                });
                if let Some((payload, _)) = unchanged {
                    *started = true;
                    self.emit(payload, marker, emitter);
                } else {
                    rest.extend_from_slice(body);
                    self.send_full_fragments(end || marker, emitter);
                    if end || marker {
                        self.flush_rest(true, marker, emitter);
                    }
                }
            }
            Fragments::Collecting(kind, collected) => {
                collected.extend_from_slice(body);
                if end {
                    let (kind, mut unit) = (*kind, std::mem::take(collected));
                    self.fragments = Fragments::None;
                    // The zeros of a start code that was cut; no unit ends in a zero.
                    let len = unit.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
                    unit.truncate(len);
                    return self.sets.insert(kind, &unit);
                }
                if collected.len() > MAX_SET_LEN {
                    self.fragments = Fragments::Dropping;
                    return Err(IngestError::ParameterSet);
                }
            }
            Fragments::Dropping | Fragments::Heading(_) | Fragments::None => {}
        }
        if end && !matches!(self.fragments, Fragments::Heading(_)) {
            self.fragments = Fragments::None;
        }
        Ok(())
    }

    /// Begins a NAL unit with its first fragment, or with the first one after a loss.
    fn begin_fragments(&mut self, part: &Fragment, emitter: &mut Emitter) {
        self.flush_rest(false, false, emitter);
        let header = part.header;
        let kind = NalKind::of(self.codec, header.as_bytes(self.codec));
        if part.start {
            match kind {
                NalKind::Other => count_other(self.codec, header.as_bytes(self.codec), emitter),
                NalKind::KeySlice | NalKind::Slice => {
                    self.count_slice(header.as_bytes(self.codec), &part.body, emitter);
                }
                NalKind::Vps | NalKind::Sps | NalKind::Pps => {}
            }
        }
        self.fragments = match kind {
            NalKind::Other => Fragments::Dropping,
            NalKind::Vps | NalKind::Sps | NalKind::Pps if part.start => {
                Fragments::Collecting(kind, BytesMut::from(header.as_bytes(self.codec)))
            }
            NalKind::Vps | NalKind::Sps | NalKind::Pps => Fragments::Dropping,
            NalKind::KeySlice | NalKind::Slice => {
                let is_useful = match part.start {
                    true => self.begin_slice(kind, &part.body, emitter),
                    false => self.started,
                };
                if is_useful {
                    Fragments::Forwarding { header, started: !part.start, rest: BytesMut::new() }
                } else {
                    Fragments::Dropping
                }
            }
        };
    }

    /// Counts a slice for the diagnosis of the stream, and a loss that it shows.
    fn count_slice(&mut self, header: &[u8], body: &[u8], emitter: &mut Emitter) {
        let slice = SliceStart::new(header, body);
        let before = self.latest_slice.replace(slice);
        let gap = std::mem::take(&mut self.gap);
        if let Some(before) = before.filter(|_| gap.missing > 0) {
            let is_loss = match gap.may_be_lost {
                true => !self.steps.are_steady() || !slice.is_next(&before, &self.sets),
                false => !slice.follows(&before, &self.sets),
            };
            if is_loss {
                emitter.skip(gap.missing);
            }
        }
        emitter.statistics.slices += 1;
        let is_broken = !is_plausible_slice(&self.sets, header, body);
        emitter.statistics.broken_slices += u64::from(is_broken);
    }

    /// Sends the parameter sets that a slice needs. Returns true if the slice can be decoded; one
    /// that arrives after the end of its picture was marked would be another picture of that time.
    fn begin_slice(&mut self, kind: NalKind, body: &[u8], emitter: &mut Emitter) -> bool {
        let Some(unit) = &mut self.unit else { return false };
        if unit.is_marked && !begins_picture(body) {
            emitter.statistics.late += 1;
            self.marks.handle_more();
            return false;
        }
        let starts_key_frame = kind == NalKind::KeySlice && !unit.is_key_frame;
        if starts_key_frame {
            if self.sets.format().is_none() {
                emitter.statistics.bare_key_frames += 1;
                self.started = false;
                return false;
            }
            unit.is_key_frame = true;
            self.started = true;
            emitter.statistics.key_frames += 1;
        }
        if self.started && (starts_key_frame || self.sets.have_changed()) {
            emitter.announce_format(self.sets.format());
            let mut first = starts_key_frame;
            for payload in aggregates(self.codec, &self.sets.mark_sent()) {
                emitter.push(unit, payload, false, first);
                first = false;
            }
        }
        self.started
    }

    /// Sends as many full packets as the buffered bytes fill; the rest is kept for the next
    /// fragment or for `flush_rest`.
    fn send_full_fragments(&mut self, ends: bool, emitter: &mut Emitter) {
        let (codec, room) = (self.codec, room(self.codec));
        let mut payloads = Vec::new();
        if let Fragments::Forwarding { header, started, rest } = &mut self.fragments {
            while rest.len() > room || (rest.len() == room && !ends) {
                payloads.push(fragment(codec, *header, !*started, false, &rest.split_to(room)));
                *started = true;
            }
        }
        for payload in payloads {
            self.emit(payload, false, emitter);
        }
    }

    /// Sends the buffered bytes. `end`: the NAL unit ends with them; otherwise its end was lost.
    fn flush_rest(&mut self, end: bool, marker: bool, emitter: &mut Emitter) {
        let Fragments::Forwarding { header, started, rest } = &mut self.fragments else { return };
        if rest.is_empty() {
            return;
        }
        let payload = fragment(self.codec, *header, !*started, end, &rest.split());
        *started = true;
        self.emit(payload, marker, emitter);
    }

    fn emit(&mut self, payload: Bytes, marker: bool, emitter: &mut Emitter) {
        self.release(false, emitter);
        let Some(unit) = &mut self.unit else { return };
        unit.has_slice = true;
        if marker && self.marks.are_uncertain() {
            self.held = Some(Held { payload, until: unit.arrival + MARK_HOLD });
            return;
        }
        unit.is_marked |= marker;
        emitter.push(unit, payload, marker, false);
    }

    /// Sends the slice that was held. `marker`: it was the last of its picture.
    fn release(&mut self, marker: bool, emitter: &mut Emitter) {
        let (Some(held), Some(unit)) = (self.held.take(), &mut self.unit) else { return };
        unit.is_marked |= marker;
        emitter.push(unit, held.payload, marker, false);
    }

    /// Ends the access unit, with a marked filler if no packet had the marker. That happens when
    /// the camera marks a NAL unit that was removed, and with cameras that mark nothing.
    fn end_unit(&mut self, emitter: &mut Emitter) {
        let is_open = matches!(self.fragments, Fragments::Forwarding { .. });
        self.lacks_end_bits |= is_open && self.is_marked_inside;
        self.is_marked_inside = false;
        self.flush_rest(false, false, emitter);
        self.release(true, emitter);
        let Some(unit) = &mut self.unit else { return };
        // After a loss the end may have been lost, too; a viewer detects that on its own.
        if unit.has_slice && !unit.is_marked && unit.is_complete {
            unit.is_marked = true;
            emitter.push(unit, filler(self.codec), true, false);
        }
    }
}

/// Counts a NAL unit that is not forwarded.
fn count_other(codec: NalCodec, unit: &[u8], emitter: &mut Emitter) {
    emitter.statistics.other_units += 1;
    emitter.statistics.recovery_points += u64::from(is_recovery_point(codec, unit));
}
