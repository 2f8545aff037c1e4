//! VP9 (RFC 9628).

use bytes::Bytes;

use super::{Bits, Part, split_body};
use crate::media::codec::Profile;

/// Bits of the first byte of a descriptor (RFC 9628 §4.2).
const PICTURE_ID: u8 = 0x80;
const INTER_PREDICTED: u8 = 0x40;
const LAYERS: u8 = 0x20;
const FLEXIBLE: u8 = 0x10;
const BEGIN: u8 = 0x08;
const END: u8 = 0x04;
const SCALABILITY: u8 = 0x02;

/// The most reference indices of a picture in flexible mode (RFC 9628 §4.2).
const MAX_REFERENCES: usize = 3;

/// The start code of a key frame (VP9 §6.1.2).
const SYNC_CODE: u32 = 0x49_83_42;

/// The value of `color_space` for RGB (VP9 §7.2.2).
const RGB: u32 = 7;

pub(super) fn part(payload: &[u8]) -> Option<Part> {
    let descriptor = Descriptor::read(payload)?;
    let first = *payload.first()?;
    let is_base = descriptor.spatial_layer == 0;
    if first & BEGIN == 0 || first & INTER_PREDICTED != 0 || !is_base {
        return Some(Part::of_delta_frame());
    }
    // Some senders never set the bit of predicted frames, so that the frame itself is asked.
    let frame = payload.get(descriptor.len..)?;
    Some(key_frame(frame).unwrap_or(Part::of_delta_frame()))
}

pub(super) fn split(payload: &Bytes, limit: usize) -> Option<Vec<Bytes>> {
    let descriptor = Descriptor::read(payload)?;
    let body = payload.get(descriptor.len..)?;
    let with_flags = |clear: u8, len: usize| {
        let mut bytes = payload.get(..len)?.to_vec();
        *bytes.first_mut()? &= !clear;
        Some(bytes)
    };
    // The scalability structure is at the end of the descriptor, and sent once.
    let first = with_flags(END, descriptor.len)?;
    let middle = with_flags(BEGIN | END | SCALABILITY, descriptor.without_structure)?;
    let last = with_flags(BEGIN | SCALABILITY, descriptor.without_structure)?;
    Some(split_body(&first, &middle, &last, body, limit))
}

/// The descriptor of a payload.
#[derive(Debug)]
struct Descriptor {
    /// Length in bytes.
    len: usize,
    /// Length without the scalability structure.
    without_structure: usize,
    spatial_layer: u8,
}

impl Descriptor {
    fn read(payload: &[u8]) -> Option<Self> {
        let first = *payload.first()?;
        let mut len = 1;
        if first & PICTURE_ID != 0 {
            len += if payload.get(len)? & 0x80 == 0 { 1 } else { 2 };
        }
        let mut spatial_layer = 0;
        if first & LAYERS != 0 {
            spatial_layer = payload.get(len)? >> 1 & 7;
            len += if first & FLEXIBLE == 0 { 2 } else { 1 };
        }
        if first & FLEXIBLE != 0 && first & INTER_PREDICTED != 0 {
            for _ in 0..MAX_REFERENCES {
                let has_more = payload.get(len)? & 1 != 0;
                len += 1;
                if !has_more {
                    break;
                }
            }
        }
        let without_structure = len;
        if first & SCALABILITY != 0 {
            len += structure_len(payload.get(len..)?)?;
        }
        Some(Self { len, without_structure, spatial_layer })
    }
}

/// Returns the length of a scalability structure (RFC 9628 §4.2.1).
fn structure_len(structure: &[u8]) -> Option<usize> {
    let first = *structure.first()?;
    let mut len = 1;
    if first & 0x10 != 0 {
        len += 4 * (usize::from(first >> 5) + 1);
    }
    if first & 0x08 != 0 {
        let pictures = *structure.get(len)?;
        len += 1;
        for _ in 0..pictures {
            len += 1 + usize::from(structure.get(len)? >> 2 & 3);
        }
    }
    Some(len)
}

/// Reads the uncompressed header of a key frame (VP9 §6.2); `None` for other frames.
fn key_frame(frame: &[u8]) -> Option<Part> {
    let mut bits = Bits::new(frame);
    let marker = bits.number(2)?;
    let profile_id = bits.number(1)? | bits.number(1)? << 1;
    if profile_id == 3 {
        bits.flag()?;
    }
    let shows_existing = bits.flag()?;
    let is_predicted = bits.flag()?;
    bits.number(2)?;
    if marker != 2 || shows_existing || is_predicted || bits.number(24)? != SYNC_CODE {
        return None;
    }
    if profile_id >= 2 {
        bits.flag()?;
    }
    let has_subsampling = profile_id % 2 == 1;
    if bits.number(3)? == RGB {
        bits.number(u32::from(has_subsampling))?;
    } else {
        bits.flag()?;
        bits.number(if has_subsampling { 3 } else { 0 })?;
    }
    let size = (bits.number(16)? + 1, bits.number(16)? + 1);
    let profile = Profile::Vp9 { profile_id: u8::try_from(profile_id).ok()? };
    Some(Part { is_key: true, size: Some(size), profile: Some(profile) })
}
