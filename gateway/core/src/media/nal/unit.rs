//! NAL units and the ways in which an RTP payload carries them, the same for both codecs.

use bytes::{Buf, Bytes};

use crate::media::codec::{NalCodec, Profile};
use crate::media::stream::IngestError;

/// The role of a NAL unit in forwarding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NalKind {
    /// A video parameter set; only H.265 has them.
    Vps,
    /// A sequence parameter set.
    Sps,
    /// A picture parameter set.
    Pps,
    /// A coded slice a decoder can start from: IDR of H.264, IRAP of H.265.
    KeySlice,
    /// A coded slice that refers to earlier pictures.
    Slice,
    /// A unit that is useless to a browser: delimiter, filler, SEI, a layer of another profile.
    Other,
}

/// The first bytes of a NAL unit: one of H.264 (the second is unused), two of H.265.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NalHeader(pub(crate) [u8; 2]);

impl NalHeader {
    pub(crate) fn as_bytes(&self, codec: NalCodec) -> &[u8] {
        self.0.get(..codec.header_len()).unwrap_or(&self.0)
    }
}

/// The NAL units of one RTP payload: one, several, or a part of one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// The payload is the NAL unit.
    Single,
    /// STAP-A (RFC 6184 §5.7.1) or AP (RFC 7798 §4.4.2).
    Aggregate(Vec<Bytes>),
    /// FU-A (RFC 6184 §5.8) or FU (RFC 7798 §4.4.3).
    Fragment(Fragment),
}

/// A part of a NAL unit.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fragment {
    pub(crate) header: NalHeader,
    pub(crate) start: bool,
    pub(crate) end: bool,
    /// The bytes of the part, without any header.
    pub(crate) body: Bytes,
}

/// Maximum number of units of an aggregation packet. Each may become a packet of its own.
const MAX_AGGREGATED: usize = 64;

/// Reads the units of an aggregation packet, each of which follows its length in 16 bits. Cameras
/// pad such packets: what follows the last whole unit is left out.
pub(super) fn aggregated(mut rest: Bytes) -> Result<Shape, IngestError> {
    let mut units = Vec::new();
    while units.len() < MAX_AGGREGATED {
        let len = rest.try_get_u16().map_or(0, usize::from);
        if len == 0 || len > rest.len() {
            break;
        }
        units.push(rest.split_to(len));
    }
    if units.is_empty() { Err(CUT_OFF) } else { Ok(Shape::Aggregate(units)) }
}

const CUT_OFF: IngestError = IngestError::Malformed("an aggregation packet is cut off");

/// Pixels to a side: the most any level of either codec allows.
const MAX_SIDE: u32 = 16_888;

/// The properties of the picture that a sequence parameter set gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Picture {
    pub(super) profile: Profile,
    pub(super) width: u32,
    pub(super) height: u32,
}

impl Picture {
    /// Returns `None` for sizes no picture has.
    pub(super) fn new(profile: Profile, width: u32, height: u32) -> Option<Self> {
        let sizes = 1..=MAX_SIDE;
        (sizes.contains(&width) && sizes.contains(&height)).then_some(Self {
            profile,
            width,
            height,
        })
    }
}

/// Returns the length of a side after cropping `before` and `after` units of it.
pub(super) fn cropped(size: u32, before: u32, after: u32, unit: u32) -> Option<u32> {
    size.checked_sub(before.checked_add(after)?.checked_mul(unit)?)
}
