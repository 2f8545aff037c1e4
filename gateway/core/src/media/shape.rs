//! How an RTP payload carries NAL units: alone, several in one packet, or one in several.

use bytes::{Buf, Bytes};

use super::codec::Codec;
use super::feed::IngestError;
use super::{h264, h265};

/// What a payload holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// The payload is the NAL unit.
    Single,
    /// STAP-A (RFC 6184 §5.7.1) or AP (RFC 7798 §4.4.2).
    Aggregate(Vec<Bytes>),
    /// FU-A (RFC 6184 §5.8) or FU (RFC 7798 §4.4.3).
    Fragment(Fragment),
}

/// A piece of a NAL unit.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fragment {
    pub(super) header: NalHeader,
    pub(super) start: bool,
    pub(super) end: bool,
    /// Without any header.
    pub(super) body: Bytes,
}

/// A NAL unit header; of H.264 only the first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NalHeader(pub(super) [u8; 2]);

impl NalHeader {
    pub(super) fn as_bytes(&self, codec: Codec) -> &[u8] {
        self.0.get(..codec.header_len()).unwrap_or(&self.0)
    }
}

impl Shape {
    pub(super) fn of(codec: Codec, payload: &Bytes) -> Result<Self, IngestError> {
        match codec {
            Codec::H264 => h264::shape(payload),
            Codec::H265 => h265::shape(payload),
        }
    }
}

/// NAL units behind each other, each after its length in 16 bits.
pub(super) fn aggregated(mut rest: Bytes) -> Result<Shape, IngestError> {
    let mut units = Vec::new();
    while !rest.is_empty() {
        let len = usize::from(rest.try_get_u16().map_err(|_| CUT_OFF)?);
        if len == 0 || len > rest.len() {
            return Err(CUT_OFF);
        }
        units.push(rest.split_to(len));
    }
    Ok(Shape::Aggregate(units))
}

const CUT_OFF: IngestError = IngestError::Malformed("an aggregation packet is cut off");
