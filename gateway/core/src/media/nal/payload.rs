//! Operations on NAL units and RTP payloads that differ by codec.

use bytes::{BufMut, Bytes, BytesMut};

use super::unit::{NalHeader, NalKind, Shape};
use super::{h264, h265, start_code};
use crate::media::codec::{Codec, NalCodec};
use crate::media::frames;
use crate::media::stream::IngestError;

impl NalKind {
    /// Classifies a NAL unit by its first bytes.
    pub(crate) fn of(codec: NalCodec, unit: &[u8]) -> Self {
        match codec {
            NalCodec::H264 => h264::kind(unit),
            NalCodec::H265 => h265::kind(unit),
        }
    }
}

impl Shape {
    /// Takes an RTP payload apart. The units share its memory.
    pub(crate) fn of(codec: NalCodec, payload: &Bytes) -> Result<Self, IngestError> {
        match codec {
            NalCodec::H264 => h264::shape(payload),
            NalCodec::H265 => h265::shape(payload),
        }
    }

    /// Returns true if a payload begins with the beginning of a NAL unit.
    pub(crate) fn begins_unit(codec: NalCodec, payload: &Bytes) -> bool {
        match Self::of(codec, payload) {
            Ok(Self::Single | Self::Aggregate(_)) => true,
            Ok(Self::Fragment(part)) => part.start,
            Err(_) => start_code::begins(payload),
        }
    }

    /// Returns true if a NAL unit of `payload`, which has this shape, is of such a kind.
    pub(crate) fn has_unit(
        &self,
        codec: NalCodec,
        payload: &[u8],
        is_wanted: impl Fn(NalKind) -> bool,
    ) -> bool {
        let is_wanted = |unit: &[u8]| is_wanted(NalKind::of(codec, unit));
        match self {
            Self::Single => is_wanted(payload),
            Self::Aggregate(units) => units.iter().any(|unit| is_wanted(unit)),
            Self::Fragment(fragment) => is_wanted(fragment.header.as_bytes(codec)),
        }
    }
}

/// Returns true if an RTP payload holds nothing of a picture, but whole parameter sets, or units
/// that are not forwarded.
pub(crate) fn is_bare(codec: NalCodec, payload: &[u8]) -> bool {
    let is_bare_unit = |unit: &[u8]| {
        let is_slice = matches!(NalKind::of(codec, unit), NalKind::KeySlice | NalKind::Slice);
        !is_slice && start_code::find(codec, 0, unit).is_none()
    };
    let header_len = match codec {
        NalCodec::H264 => h264::bare_header_len(payload),
        NalCodec::H265 => h265::bare_header_len(payload),
    };
    let Some(header_len) = header_len else { return false };
    if header_len == 0 {
        return is_bare_unit(payload);
    }
    let mut rest = payload.get(header_len..).unwrap_or_default();
    while let Some((len, after)) = rest.split_first_chunk::<2>() {
        let len = usize::from(u16::from_be_bytes(*len));
        let Some((unit, next)) = after.split_at_checked(len).filter(|_| len > 0) else { break };
        if !is_bare_unit(unit) {
            return false;
        }
        rest = next;
    }
    true
}

/// Returns true if an RTP payload holds, or begins, a slice or frame that a decoder can start from.
#[must_use]
pub fn starts_key_slice(codec: Codec, payload: &Bytes) -> bool {
    let Some(codec) = codec.nal() else {
        return frames::Part::read(codec, payload).is_some_and(|part| part.is_key);
    };
    let Ok(shape) = Shape::of(codec, payload) else { return false };
    let is_continuation = matches!(&shape, Shape::Fragment(fragment) if !fragment.start);
    !is_continuation && shape.has_unit(codec, payload, |kind| kind == NalKind::KeySlice)
}

/// Returns the payload (FU-A, FU) that carries one part of a NAL unit.
pub(crate) fn fragment(
    codec: NalCodec,
    header: NalHeader,
    start: bool,
    end: bool,
    body: &[u8],
) -> Bytes {
    let mut payload = BytesMut::with_capacity(codec.header_len() + 1 + body.len());
    match codec {
        NalCodec::H264 => payload.put_slice(&h264::fragment_header(header, start, end)),
        NalCodec::H265 => payload.put_slice(&h265::fragment_header(header, start, end)),
    }
    payload.put_slice(body);
    payload.freeze()
}

/// Returns the payload (STAP-A, AP) that carries several NAL units, which must fit one packet.
pub(super) fn aggregate(codec: NalCodec, units: &[Bytes]) -> Bytes {
    let mut payload = BytesMut::new();
    match codec {
        NalCodec::H264 => payload.put_u8(h264::aggregate_header(units.iter().map(|u| &u[..]))),
        NalCodec::H265 => payload.put_slice(&h265::aggregate_header()),
    }
    for unit in units {
        payload.put_u16(u16::try_from(unit.len()).expect("chosen to fit one packet"));
        payload.put_slice(unit);
    }
    payload.freeze()
}

/// Returns a NAL unit that means nothing: the end of an access unit whose camera never marks one.
pub(crate) fn filler(codec: NalCodec) -> Bytes {
    Bytes::from_static(match codec {
        NalCodec::H264 => h264::FILLER,
        NalCodec::H265 => h265::FILLER,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_slices_are_found() {
        use Codec::{H264, H265};
        let table: [(&str, Codec, &'static [u8], bool); 14] = [
            ("IDR", H264, b"\x65x", true),
            ("slice", H264, b"\x41x", false),
            ("parameter sets", H264, b"\x78\0\x01\x67\0\x01\x68", false),
            ("IDR among others", H264, b"\x78\0\x01\x67\0\x02\x65x", true),
            ("cut off", H264, b"\x78\0\x01\x67\0\x09\x65x", false),
            ("first fragment", H264, b"\x7c\x85x", true),
            ("second fragment", H264, b"\x7c\x05x", false),
            ("fragment of a slice", H264, b"\x5c\x81x", false),
            ("nothing", H264, b"", false),
            ("IDR", H265, b"\x26\x01x", true),
            ("slice", H265, b"\x02\x01x", false),
            ("CRA among others", H265, b"\x60\x01\0\x02\x40\x01\0\x02\x2a\x01", true),
            ("first fragment", H265, b"\x62\x01\x93x", true),
            ("second fragment", H265, b"\x62\x01\x13x", false),
        ];
        for (case, codec, payload, expected) in table {
            assert_eq!(
                starts_key_slice(codec, &Bytes::from_static(payload)),
                expected,
                "{codec} {case}"
            );
        }
    }

    #[test]
    fn what_holds_nothing_of_a_picture() {
        use NalCodec::{H264, H265};
        let table: [(&str, NalCodec, &[u8], bool); 16] = [
            ("a parameter set", H264, b"\x67x", true),
            ("SEI", H264, b"\x06x", true),
            ("a reserved unit", H264, b"\x17x", true),
            ("a slice", H264, b"\x41x", false),
            ("a key slice behind a parameter set", H264, b"\x67x\0\0\x01\x65x", false),
            ("sets in one packet", H264, b"\x78\0\x02\x67x\0\x02\x68x", true),
            ("a slice with its set", H264, b"\x78\0\x02\x67x\0\x02\x41x", false),
            ("a part of a set", H264, b"\x7c\x87x", false),
            ("a start code", H264, b"\0\0\x01\x67x", false),
            ("nothing", H264, b"", false),
            ("a parameter set", H265, b"\x42\x01x", true),
            ("SEI", H265, b"\x4e\x01x", true),
            ("a slice", H265, b"\x02\x01x", false),
            ("sets in one packet", H265, b"\x60\x01\0\x02\x42\x01\0\x02\x44\x01", true),
            ("a slice with its set", H265, b"\x60\x01\0\x02\x42\x01\0\x02\x02\x01", false),
            ("a part of a set", H265, b"\x62\x01\xa1x", false),
        ];
        for (case, codec, payload, expected) in table {
            assert_eq!(is_bare(codec, payload), expected, "{case}, {codec:?}");
        }
    }
}
