//! VP8 (RFC 7741).

use bytes::Bytes;

use super::{Part, split_body};

/// Bits of the first byte of a descriptor (RFC 7741 §4.2).
const EXTENDED: u8 = 0x80;
const START: u8 = 0x10;
const PARTITION: u8 = 0x07;

pub(super) fn part(payload: &[u8]) -> Option<Part> {
    let len = descriptor_len(payload)?;
    let first = *payload.first()?;
    let frame = payload.get(len..)?;
    let begins = first & START != 0 && first & PARTITION == 0;
    // The lowest bit of a frame is 0 in key frames; they begin with a start code (RFC 6386 §9.1).
    let is_key = begins && frame.first().is_some_and(|byte| byte & 1 == 0);
    if !is_key {
        return Some(Part::of_delta_frame());
    }
    let size = match frame {
        &[_, _, _, 0x9d, 0x01, 0x2a, w0, w1, h0, h1, ..] => {
            // Two bits of each tell how to scale the picture.
            let side = |low, high| u32::from(u16::from_le_bytes([low, high]) & 0x3fff);
            Some((side(w0, w1), side(h0, h1)))
        }
        _ => None,
    };
    Some(Part { is_key, size, profile: None })
}

pub(super) fn split(payload: &Bytes, limit: usize) -> Option<Vec<Bytes>> {
    let len = descriptor_len(payload)?;
    let (descriptor, body) = payload.split_at_checked(len)?;
    let mut next = descriptor.to_vec();
    *next.first_mut()? &= !START;
    Some(split_body(descriptor, &next, &next, body, limit))
}

fn descriptor_len(payload: &[u8]) -> Option<usize> {
    if payload.first()? & EXTENDED == 0 {
        return Some(1);
    }
    let fields = *payload.get(1)?;
    let picture_id = match payload.get(2) {
        Some(_) if fields & 0x80 == 0 => 0,
        Some(byte) if byte & 0x80 == 0 => 1,
        _ => 2,
    };
    let tl0_pic_idx = usize::from(fields & 0x40 != 0);
    let layer_and_key = usize::from(fields & 0x30 != 0);
    Some(2 + picture_id + tl0_pic_idx + layer_and_key)
}
