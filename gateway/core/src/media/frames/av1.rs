//! AV1 (RTP Payload Format for AV1, version 1.0).

use bytes::{BufMut, Bytes, BytesMut};

use super::{Bits, Part};
use crate::media::codec::Profile;

/// Bits of the aggregation header (§4.4).
const CONTINUES: u8 = 0x80;
const IS_CONTINUED: u8 = 0x40;
const NEW_SEQUENCE: u8 = 0x08;

/// Type of the unit that describes the stream (AV1 §6.2.2).
const SEQUENCE_HEADER: u8 = 1;

/// Limit of elements in a payload: a frame has a few units.
const MAX_ELEMENTS: usize = 64;

pub(super) fn part(payload: &[u8]) -> Option<Part> {
    let first = *payload.first()?;
    let elements = elements(payload)?;
    // The rest of a unit that began before says nothing of its own.
    let whole = elements.get(usize::from(first & CONTINUES != 0)..)?;
    let sequence_header = whole.iter().find(|unit| unit_type(unit) == Some(SEQUENCE_HEADER));
    let is_key = first & CONTINUES == 0 && (first & NEW_SEQUENCE != 0 || sequence_header.is_some());
    if !is_key {
        return Some(Part::of_delta_frame());
    }
    let described = sequence_header.and_then(|unit| read_sequence_header(unit));
    let (size, profile) = described.unzip();
    Some(Part { is_key, size, profile })
}

/// Splits the elements so that each payload has a part of one of them.
pub(super) fn split(payload: &Bytes, limit: usize) -> Option<Vec<Bytes>> {
    let first = *payload.first()?;
    let elements = elements(payload)?;
    let room = limit.checked_sub(1).filter(|room| *room > 0)?;
    let mut payloads: Vec<Bytes> = Vec::new();
    for (index, element) in elements.iter().enumerate() {
        let is_last_element = index + 1 == elements.len();
        let chunks = element.chunks(room);
        let count = chunks.len();
        for (position, chunk) in chunks.enumerate() {
            // One element without a length.
            let mut header = 1 << 4;
            let continues = if index == 0 { first & CONTINUES != 0 } else { false };
            if position > 0 || continues {
                header |= CONTINUES;
            }
            let is_continued = is_last_element && first & IS_CONTINUED != 0;
            if position + 1 < count || is_continued {
                header |= IS_CONTINUED;
            }
            if payloads.is_empty() {
                header |= first & NEW_SEQUENCE;
            }
            let mut payload = BytesMut::with_capacity(1 + chunk.len());
            payload.put_u8(header);
            payload.put_slice(chunk);
            payloads.push(payload.freeze());
        }
    }
    (!payloads.is_empty()).then_some(payloads)
}

/// Takes a payload apart (§4.3): each element follows its length, except that the last of one to
/// three counted elements has none.
fn elements(payload: &[u8]) -> Option<Vec<&[u8]>> {
    let (&first, mut rest) = payload.split_first()?;
    let count = usize::from(first >> 4 & 3);
    let mut elements = Vec::new();
    while !rest.is_empty() && elements.len() < MAX_ELEMENTS {
        let is_last = elements.len() + 1 == count;
        let len = if is_last { rest.len() } else { read_leb128(&mut rest)? };
        let (element, after) = rest.split_at_checked(len)?;
        elements.push(element);
        rest = after;
    }
    rest.is_empty().then_some(elements)
}

/// Reads a length of at most four bytes (AV1 §4.10.5); no packet is longer.
fn read_leb128(bytes: &mut &[u8]) -> Option<usize> {
    let mut value = 0;
    for shift in [0, 7, 14, 21] {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn unit_type(unit: &[u8]) -> Option<u8> {
    unit.first().map(|header| header >> 3 & 15)
}

/// Reads size and profile from a sequence header unit (AV1 §5.5.1); `None` if it has timing
/// information, which cameras do not send.
fn read_sequence_header(unit: &[u8]) -> Option<((u32, u32), Profile)> {
    let header = *unit.first()?;
    let has_extension = header & 4 != 0;
    let has_size = header & 2 != 0;
    let mut body = unit.get(1 + usize::from(has_extension)..)?;
    if has_size {
        read_leb128(&mut body)?;
    }
    let mut bits = Bits::new(body);
    let profile = bits.number(3)?;
    bits.flag()?;
    let is_reduced = bits.flag()?;
    let (mut level_idx, mut is_high_tier) = (0, false);
    if is_reduced {
        level_idx = bits.number(5)?;
    } else {
        if bits.flag()? {
            return None;
        }
        let has_delay = bits.flag()?;
        let points = bits.number(5)? + 1;
        for point in 0..points {
            bits.number(12)?;
            let level = bits.number(5)?;
            let tier = level > 7 && bits.flag()?;
            if point == 0 {
                (level_idx, is_high_tier) = (level, tier);
            }
            if has_delay && bits.flag()? {
                bits.number(4)?;
            }
        }
    }
    let (width_bits, height_bits) = (bits.number(4)? + 1, bits.number(4)? + 1);
    let size = (bits.number(width_bits)? + 1, bits.number(height_bits)? + 1);
    let (profile, level_idx) = (u8::try_from(profile).ok()?, u8::try_from(level_idx).ok()?);
    Some((size, Profile::Av1 { profile, level_idx, is_high_tier }))
}
