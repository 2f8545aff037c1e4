//! H.265: NAL unit types, the RTP payload format (RFC 7798) and parameter sets.

use bytes::Bytes;

use super::bits::BitReader;
use super::unit::{Fragment, NalHeader, NalKind, Picture, Shape, aggregated, cropped};
use crate::media::codec::Profile;
use crate::media::stream::IngestError;

const AP: u8 = 48;
const FU: u8 = 49;
const PACI: u8 = 50;

/// Filler data (type 38), which every decoder skips.
pub(super) const FILLER: &[u8] = &[38 << 1, 1, 0x80];

pub(super) fn kind(unit: &[u8]) -> NalKind {
    // The beginning of a start code, where the header should be.
    if unit.starts_with(&[0, 0]) {
        return NalKind::Other;
    }
    match unit.first().map_or(63, |header| unit_type(*header)) {
        // BLA, IDR and CRA pictures: intra random access points.
        16..=23 => NalKind::KeySlice,
        0..=31 => NalKind::Slice,
        32 => NalKind::Vps,
        33 => NalKind::Sps,
        34 => NalKind::Pps,
        _ => NalKind::Other,
    }
}

pub(super) fn shape(payload: &Bytes) -> Result<Shape, IngestError> {
    let &[first, second, ref rest @ ..] = &payload[..] else {
        return Err(IngestError::Malformed("a payload without header"));
    };
    match unit_type(first) {
        0..=47 => Ok(Shape::Single),
        AP => aggregated(payload.slice(2..)),
        FU => {
            let header =
                *rest.first().ok_or(IngestError::Malformed("a fragment without header"))?;
            Ok(Shape::Fragment(Fragment {
                header: NalHeader([first & 0x81 | (header & 0x3f) << 1, second]),
                start: header & 0x80 != 0,
                end: header & 0x40 != 0,
                body: payload.slice(3..),
            }))
        }
        PACI => Err(IngestError::Unsupported("PACI")),
        _ => Err(IngestError::Malformed("an undefined NAL unit type")),
    }
}

/// Returns the number of bytes before the units of a payload that may hold nothing of a picture;
/// `None` if its first byte tells that it does.
pub(super) fn bare_header_len(payload: &[u8]) -> Option<usize> {
    match unit_type(*payload.first()?) {
        32..=47 => Some(0),
        AP => Some(2),
        _ => None,
    }
}

/// Returns the three bytes before the body of an FU.
pub(super) fn fragment_header(header: NalHeader, start: bool, end: bool) -> [u8; 3] {
    let [first, second] = header.0;
    let flags = u8::from(start) << 7 | u8::from(end) << 6;
    [first & 0x81 | FU << 1, second, flags | unit_type(first)]
}

/// Returns the two bytes before the units of an AP that carries parameter sets: layer 0, temporal
/// id 0.
pub(super) fn aggregate_header() -> [u8; 2] {
    [AP << 1, 1]
}

/// Reads the id from the NAL unit of a video parameter set.
pub(super) fn vps_id(unit: &[u8]) -> Option<u32> {
    BitReader::new(unit.get(2..)?).bits(4)
}

/// Reads id and picture from the NAL unit of a sequence parameter set (H.265 §7.3.2.2.1).
pub(super) fn sps(unit: &[u8]) -> Option<(u32, Picture)> {
    let mut bits = BitReader::new(unit.get(2..)?);
    let _vps_id = bits.bits(4)?;
    let sub_layers = bits.bits(3)?;
    let _temporal_id_nesting = bits.bit()?;
    let profile = profile_tier_level(&mut bits, sub_layers)?;
    let id = bits.ue().filter(|id| *id <= 15)?;
    let chroma_format = bits.ue().filter(|format| *format <= 3)?;
    if chroma_format == 3 {
        bits.skip(1)?;
    }
    let (width, height) = (bits.ue()?, bits.ue()?);
    let crop = if bits.bit()? { [bits.ue()?, bits.ue()?, bits.ue()?, bits.ue()?] } else { [0; 4] };
    let (crop_x, crop_y) = match chroma_format {
        1 => (2, 2),
        2 => (2, 1),
        _ => (1, 1),
    };
    let [left, right, top, bottom] = crop;
    let width = cropped(width, left, right, crop_x)?;
    let height = cropped(height, top, bottom, crop_y)?;
    Some((id, Picture::new(profile, width, height)?))
}

/// Reads the id from the NAL unit of a picture parameter set.
pub(super) fn pps_id(unit: &[u8]) -> Option<u32> {
    BitReader::new(unit.get(2..)?).ue().filter(|id| *id <= 63)
}

fn unit_type(header: u8) -> u8 {
    header >> 1 & 0x3f
}

/// Reads the general profile, tier and level (H.265 §7.3.3), and skips those of the sub-layers.
fn profile_tier_level(bits: &mut BitReader, sub_layers: u32) -> Option<Profile> {
    let _profile_space = bits.bits(2)?;
    let is_high_tier = bits.bit()?;
    let idc = bits.bits(5)?;
    let compatible = bits.bits(32)?;
    bits.skip(48)?;
    let level_id = u8::try_from(bits.bits(8)?).ok()?;
    // A stream may say no profile of its own, or a later one, and name those that decode it, the
    // first bit being profile 0 (H.265 §7.4.4).
    let lowest = (1..=2).find(|profile| compatible & (0x8000_0000 >> profile) != 0);
    let profile_id = u8::try_from(lowest.unwrap_or(idc)).ok()?;
    let mut skip = 0;
    for _ in 0..sub_layers {
        skip += if bits.bit()? { 88 } else { 0 };
        skip += if bits.bit()? { 8 } else { 0 };
    }
    if sub_layers > 0 {
        bits.skip(2 * (8 - usize::try_from(sub_layers).ok()?))?;
    }
    bits.skip(skip)?;
    Some(Profile::H265 { profile_id, is_high_tier, level_id })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_sequence_parameter_set_is_read() {
        // Made by x265: 4:2:0 of 8 bits, and of 10 bits with cropping.
        let main = b"\x42\x01\x01\x01\x60\x00\x00\x03\x00\x90\x00\x00\x03\x00\x00\x03\x00\x5d\
            \xa0\x02\x80\x80\x2d\x16\x59\x59\xa4\x93\x2b\xc0\x5a\x02\x00\x00\x03\x00\x02\x00\x00\
            \x03\x00\x32\x10";
        let main_10 = b"\x42\x01\x01\x02\x20\x00\x00\x03\x00\x90\x00\x00\x03\x00\x00\x03\x00\x78\
            \xa0\x03\xc0\x80\x10\xe7\x54\xd9\x65\x66\x92\x4c\xaf\x01\x68\x08";
        for (unit, profile_id, level_id, width, height) in
            [(&main[..], 1, 93, 1280, 720), (main_10, 2, 120, 1918, 1078)]
        {
            let profile = Profile::H265 { profile_id, is_high_tier: false, level_id };
            let expected = Picture::new(profile, width, height);
            assert_eq!(sps(unit), expected.map(|picture| (0, picture)));
        }
    }

    #[test]
    fn payloads_are_taken_apart() {
        let shape = |payload: &'static [u8]| shape(&Bytes::from_static(payload));
        assert_eq!(shape(b"\x26\x01\xaf"), Ok(Shape::Single));
        let units = vec![Bytes::from_static(b"\x40\x01"), Bytes::from_static(b"\x42\x01\x00")];
        assert_eq!(shape(b"\x60\x01\0\x02\x40\x01\0\x03\x42\x01\0"), Ok(Shape::Aggregate(units)));
        let fragment = Fragment {
            header: NalHeader([0x26, 1]),
            start: true,
            end: false,
            body: Bytes::from_static(b"\xaa"),
        };
        assert_eq!(shape(b"\x62\x01\x93\xaa"), Ok(Shape::Fragment(fragment)));
        assert_eq!(fragment_header(NalHeader([0x26, 1]), true, false), *b"\x62\x01\x93");
        assert_eq!(shape(b"\x64\x01\0"), Err(IngestError::Unsupported("PACI")));
        for malformed in [&b""[..], b"\x26", b"\x62\x01", b"\x60\x01\0\x09\0", b"\x7e\x01"] {
            assert!(matches!(shape(malformed), Err(IngestError::Malformed(_))), "{malformed:?}");
        }
    }

    #[test]
    fn kinds_of_units() {
        let table = [
            (0, NalKind::Slice),
            (1, NalKind::Slice),
            (16, NalKind::KeySlice),
            (19, NalKind::KeySlice),
            (20, NalKind::KeySlice),
            (21, NalKind::KeySlice),
            (32, NalKind::Vps),
            (33, NalKind::Sps),
            (34, NalKind::Pps),
            (35, NalKind::Other),
            (39, NalKind::Other),
        ];
        for (unit_type, expected) in table {
            assert_eq!(kind(&[unit_type << 1, 1]), expected, "{unit_type}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = (kind(&bytes), vps_id(&bytes), sps(&bytes), pps_id(&bytes));
            let _ = shape(&Bytes::from(bytes));
        }
    }
}
