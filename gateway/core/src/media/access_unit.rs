//! The access unit that is being forwarded, and the packets that belong to it.
//!
//! Packets of one picture have one timestamp, and pictures differ in theirs (RFC 6184 §5.1). Some
//! cameras give every slice or packet a timestamp of its own, or many pictures the same; the slices
//! then tell where a picture begins.

use std::time::Instant;

use bytes::Bytes;

use super::codec::NalCodec;
use super::nal::payload::is_bare;
use super::nal::slice::begins_picture;
use super::nal::unit::{NalKind, Shape};
use super::ticks::{ahead, ticks};

/// The access unit that is being forwarded.
#[derive(Debug)]
pub(super) struct AccessUnit {
    /// The timestamp of its packets.
    pub(super) timestamp: u32,
    /// The timestamp of the camera's first packet of it.
    camera: u32,
    began: Instant,
    pub(super) arrival: Instant,
    /// A slice was sent, so the end of the access unit must be marked.
    pub(super) has_slice: bool,
    /// The marker was sent.
    pub(super) is_marked: bool,
    /// Number of markers that came with slices.
    pub(super) markers: u32,
    /// No packet of the access unit was lost.
    pub(super) is_complete: bool,
    /// A key frame, whose parameter sets were sent.
    pub(super) is_key_frame: bool,
}

/// The place of a packet in a picture, as its slices tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Holds the first slice of a picture.
    First,
    /// Holds another slice, or a later part of one.
    Later,
    /// Holds no slice at all.
    Unknown,
}

impl Place {
    /// Returns the place of a payload with this shape.
    pub(super) fn of(codec: NalCodec, shape: &Shape, payload: &[u8]) -> Self {
        let place = |header: &[u8], body: &[u8], is_start| match NalKind::of(codec, header) {
            NalKind::KeySlice | NalKind::Slice if is_start && begins_picture(body) => Self::First,
            NalKind::KeySlice | NalKind::Slice => Self::Later,
            NalKind::Vps | NalKind::Sps | NalKind::Pps | NalKind::Other => Self::Unknown,
        };
        let of_unit = |unit: &[u8]| {
            let (header, body) = unit.split_at(codec.header_len().min(unit.len()));
            place(header, body, true)
        };
        match shape {
            Shape::Single => of_unit(payload),
            Shape::Aggregate(units) => {
                let mut places = units.iter().map(|unit| of_unit(unit));
                places.find(|place| *place != Self::Unknown).unwrap_or(Self::Unknown)
            }
            Shape::Fragment(part) => place(part.header.as_bytes(codec), &part.body, part.start),
        }
    }

    /// Returns true if a payload begins a picture, or comes before one.
    pub(super) fn begins_picture(codec: NalCodec, payload: &Bytes) -> bool {
        let first = |shape| Self::of(codec, &shape, payload) == Self::First;
        is_bare(codec, payload) || Shape::of(codec, payload).is_ok_and(first)
    }
}

impl AccessUnit {
    /// Begins an access unit with the camera's timestamp, or, if that is not after the timestamp of
    /// the one before although its pictures are, with the time that really passed.
    pub(super) fn begin(before: Option<&Self>, camera: u32, arrival: Instant) -> Self {
        let invented = before.filter(|before| {
            let is_behind = ahead(before.timestamp, camera) >= 0;
            camera == before.camera || (before.timestamp != before.camera && is_behind)
        });
        let timestamp = invented.map_or(camera, |before| {
            let passed = ticks(arrival.saturating_duration_since(before.began));
            before.timestamp.wrapping_add(passed.max(1))
        });
        Self {
            timestamp,
            camera,
            began: arrival,
            arrival,
            has_slice: false,
            is_marked: false,
            markers: 0,
            is_complete: true,
            is_key_frame: false,
        }
    }

    /// Returns true if a packet with this timestamp and place belongs to it. `is_held` tells that
    /// its last slice may have been sent, but not its marker.
    pub(super) fn continues(&self, camera: u32, place: Place, is_held: bool) -> bool {
        let has_end = self.is_marked || is_held;
        if camera == self.camera {
            !(has_end && place == Place::First)
        } else {
            self.has_slice && self.is_complete && !has_end && place == Place::Later
        }
    }

    /// Returns the distance to a timestamp of the camera; negative if that is earlier.
    pub(super) fn step_to(&self, camera: u32) -> i32 {
        ahead(camera, self.camera)
    }
}
