//! VP8, VP9 and AV1: codecs whose RTP payloads are parts of a frame behind a descriptor.
//!
//! A packet is forwarded as it came unless it is too large for the path. The decoder's parameters
//! are in each key frame, so nothing is put ahead of it.

mod av1;
mod vp8;
mod vp9;

use std::time::Instant;

use bytes::Bytes;

use super::codec::{Codec, Format, Profile};
use super::emitter::Emitter;
use super::stream::{IngestError, MAX_PAYLOAD};

/// Forwards the packets of one stream.
#[derive(Debug)]
pub(super) struct FrameForwarder {
    codec: Codec,
    /// Timestamp of the last key frame that was begun; of several packets that say so, one begins.
    key_frame: Option<u32>,
}

impl FrameForwarder {
    /// Creates a forwarder, which forwards nothing before the first key frame.
    pub(super) fn new(codec: Codec) -> Self {
        Self { codec, key_frame: None }
    }

    /// Handles a restart of the camera: its next packets do not refer to earlier ones.
    pub(super) fn restart(&mut self, emitter: &mut Emitter) {
        self.key_frame = None;
        emitter.gop.clear();
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
        const CUT_OFF: IngestError = IngestError::Malformed("a payload descriptor is cut off");
        let part = Part::read(self.codec, &payload).ok_or(CUT_OFF)?;
        let starts_key_frame = part.is_key && self.key_frame != Some(timestamp);
        if starts_key_frame {
            self.key_frame = Some(timestamp);
            emitter.statistics.key_frames += 1;
            let known = emitter.format.clone().filter(|known| known.codec == self.codec);
            emitter.announce_format(part.format(self.codec).or(known));
        }
        if self.key_frame.is_none() {
            return Ok(());
        }
        let mut payloads = split(self.codec, payload, MAX_PAYLOAD).into_iter().peekable();
        let mut starts = starts_key_frame;
        while let Some(payload) = payloads.next() {
            let is_last = payloads.peek().is_none();
            emitter.push_packet(timestamp, arrival, payload, marker && is_last, starts);
            starts = false;
        }
        Ok(())
    }
}

/// The part of a frame that one payload carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    /// True if the part begins a frame that a decoder can start from.
    pub(super) is_key: bool,
    /// The size of the picture in pixels, where the part has it.
    size: Option<(u32, u32)>,
    /// The profile of the stream, where the part has it.
    profile: Option<Profile>,
}

impl Part {
    /// Reads descriptor and frame header; `None` if they are cut off, or for codecs with NAL units.
    pub(super) fn read(codec: Codec, payload: &[u8]) -> Option<Self> {
        match codec {
            Codec::Vp8 => vp8::part(payload),
            Codec::Vp9 => vp9::part(payload),
            Codec::Av1 => av1::part(payload),
            Codec::H264 | Codec::H265 => None,
        }
    }

    fn of_delta_frame() -> Self {
        Self { is_key: false, size: None, profile: None }
    }

    /// Returns the format that a key frame describes.
    fn format(&self, codec: Codec) -> Option<Format> {
        let (width, height) = self.size?;
        let (vps, sps, pps) = (Vec::new(), Vec::new(), Vec::new());
        Some(Format { codec, profile: self.profile, width, height, vps, sps, pps })
    }
}

/// Splits a payload into payloads of at most `limit` bytes; one that fits stays as it is.
fn split(codec: Codec, payload: Bytes, limit: usize) -> Vec<Bytes> {
    if payload.len() <= limit {
        return vec![payload];
    }
    let parts = match codec {
        Codec::Vp8 => vp8::split(&payload, limit),
        Codec::Vp9 => vp9::split(&payload, limit),
        Codec::Av1 => av1::split(&payload, limit),
        Codec::H264 | Codec::H265 => None,
    };
    // What cannot be taken apart is sent whole: a path that fragments it still delivers it.
    parts.unwrap_or_else(|| vec![payload])
}

/// Splits a body behind descriptors, of which the first payload has another one than the rest.
fn split_body(first: &[u8], middle: &[u8], last: &[u8], body: &[u8], limit: usize) -> Vec<Bytes> {
    let longest = first.len().max(middle.len()).max(last.len());
    let room = limit.saturating_sub(longest).max(1);
    let chunks = body.chunks(room);
    let count = chunks.len();
    let payloads = chunks.enumerate().map(|(index, chunk)| {
        let descriptor = match index {
            0 => first,
            _ if index + 1 == count => last,
            _ => middle,
        };
        [descriptor, chunk].concat().into()
    });
    payloads.collect()
}

/// Reads the bits of a header, most significant first.
#[derive(Debug)]
struct Bits<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Bits<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    fn flag(&mut self) -> Option<bool> {
        self.number(1).map(|bit| bit == 1)
    }

    /// Reads at most 32 bits.
    fn number(&mut self, count: u32) -> Option<u32> {
        let mut value = 0;
        for _ in 0..count {
            let byte = self.bytes.get(self.position / 8)?;
            value = value << 1 | u32::from(byte >> (7 - self.position % 8) & 1);
            self.position += 1;
        }
        Some(value)
    }
}

#[cfg(test)]
mod tests;
