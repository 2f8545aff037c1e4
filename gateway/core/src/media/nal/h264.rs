//! H.264: NAL unit types, the RTP payload format (RFC 6184) and parameter sets.

use bytes::Bytes;

use super::bits::BitReader;
use super::unit::{Fragment, NalHeader, NalKind, Picture, Shape, aggregated, cropped};
use crate::media::codec::Profile;
use crate::media::stream::IngestError;

const STAP_A: u8 = 24;
const FU_A: u8 = 28;
/// The payload types that need the interleaved mode of RFC 6184, which WebRTC forbids.
const INTERLEAVED: [(u8, &str); 4] = [(25, "STAP-B"), (26, "MTAP16"), (27, "MTAP24"), (29, "FU-B")];

/// Filler data (type 12), which every decoder skips.
pub(super) const FILLER: &[u8] = &[12, 0x80];

pub(super) fn kind(unit: &[u8]) -> NalKind {
    match unit.first().map_or(0, |header| header & 0x1f) {
        1..=4 => NalKind::Slice,
        5 => NalKind::KeySlice,
        7 => NalKind::Sps,
        8 => NalKind::Pps,
        _ => NalKind::Other,
    }
}

pub(super) fn shape(payload: &Bytes) -> Result<Shape, IngestError> {
    let &[indicator, ref rest @ ..] = &payload[..] else {
        return Err(IngestError::Malformed("an empty payload"));
    };
    match indicator & 0x1f {
        1..=23 => Ok(Shape::Single),
        STAP_A => aggregated(payload.slice(1..)),
        FU_A => {
            let header =
                *rest.first().ok_or(IngestError::Malformed("a fragment without header"))?;
            Ok(Shape::Fragment(Fragment {
                header: NalHeader([indicator & 0xe0 | header & 0x1f, 0]),
                start: header & 0x80 != 0,
                end: header & 0x40 != 0,
                body: payload.slice(2..),
            }))
        }
        other => Err(INTERLEAVED
            .iter()
            .find(|(kind, _)| *kind == other)
            .map_or(IngestError::Malformed("an undefined NAL unit type"), |(_, name)| {
                IngestError::Unsupported(name)
            })),
    }
}

/// Returns the number of bytes before the units of a payload that may hold nothing of a picture;
/// `None` if its first byte tells that it does.
pub(super) fn bare_header_len(payload: &[u8]) -> Option<usize> {
    match payload.first()? & 0x1f {
        6..=23 => Some(0),
        STAP_A => Some(1),
        _ => None,
    }
}

/// Returns the two bytes before the body of an FU-A.
pub(super) fn fragment_header(header: NalHeader, start: bool, end: bool) -> [u8; 2] {
    let unit = header.0[0];
    [unit & 0xe0 | FU_A, u8::from(start) << 7 | u8::from(end) << 6 | unit & 0x1f]
}

/// Returns the byte before the units of a STAP-A; it has the highest NRI of all (RFC 6184 §5.7.1).
pub(super) fn aggregate_header<'a>(units: impl Iterator<Item = &'a [u8]>) -> u8 {
    let headers = units.filter_map(|unit| unit.first());
    headers.fold(STAP_A, |header, unit| header & 0x9f | (header & 0x60).max(unit & 0x60))
}

/// Reads id and picture from the NAL unit of a sequence parameter set (H.264 §7.3.2.1.1).
pub(super) fn sps(unit: &[u8]) -> Option<(u32, Picture)> {
    let (_, body) = unit.split_first()?;
    let profile_level_id = *body.first_chunk::<3>()?;
    let mut bits = BitReader::new(body.get(3..)?);
    let id = bits.ue().filter(|id| *id <= 31)?;
    let chroma = chroma(&mut bits, profile_level_id[0])?;
    let _frame_num_bits = bits.ue()?;
    picture_order_count(&mut bits)?;
    let _reference_frames = bits.ue()?;
    let _gaps_allowed = bits.bit()?;
    let width_in_macroblocks = bits.ue()?.checked_add(1)?;
    let height_in_map_units = bits.ue()?.checked_add(1)?;
    let frame_macroblocks_only = bits.bit()?;
    if !frame_macroblocks_only {
        bits.skip(1)?;
    }
    let _direct_8x8_inference = bits.bit()?;
    let crop = if bits.bit()? { [bits.ue()?, bits.ue()?, bits.ue()?, bits.ue()?] } else { [0; 4] };

    let fields = if frame_macroblocks_only { 1 } else { 2 };
    let (crop_x, crop_y) = match chroma {
        Chroma::Monochrome | Chroma::Planar444 => (1, 1),
        Chroma::Planar420 => (2, 2),
        Chroma::Planar422 => (2, 1),
    };
    let [left, right, top, bottom] = crop;
    let width = cropped(width_in_macroblocks.checked_mul(16)?, left, right, crop_x)?;
    let height = height_in_map_units.checked_mul(16)?.checked_mul(fields)?;
    let height = cropped(height, top, bottom, crop_y * fields)?;
    Some((id, Picture::new(Profile::H264 { profile_level_id }, width, height)?))
}

/// Reads the number of bits of a frame number from the NAL unit of a sequence parameter set;
/// `None` for pictures whose slices may name a colour plane before it.
pub(super) fn frame_number_bits(unit: &[u8]) -> Option<u32> {
    let mut bits = BitReader::new(unit.get(4..)?);
    let _id = bits.ue()?;
    match chroma(&mut bits, *unit.get(1)?)? {
        Chroma::Planar444 => None,
        Chroma::Monochrome | Chroma::Planar420 | Chroma::Planar422 => {
            bits.ue()?.checked_add(4).filter(|len| *len <= 16)
        }
    }
}

/// Reads the id of the sequence parameter set that a picture parameter set names.
pub(super) fn sps_id_of_pps(unit: &[u8]) -> Option<u32> {
    let mut bits = BitReader::new(unit.get(1..)?);
    let _id = bits.ue()?;
    bits.ue()
}

/// Reads the id from the NAL unit of a picture parameter set.
pub(super) fn pps_id(unit: &[u8]) -> Option<u32> {
    BitReader::new(unit.get(1..)?).ue().filter(|id| *id <= 255)
}

#[derive(Clone, Copy)]
enum Chroma {
    Monochrome,
    Planar420,
    Planar422,
    Planar444,
}

/// Reads the fields that only the High profiles have.
fn chroma(bits: &mut BitReader, profile: u8) -> Option<Chroma> {
    const HIGH_PROFILES: [u8; 13] = [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];
    if !HIGH_PROFILES.contains(&profile) {
        return Some(Chroma::Planar420);
    }
    let format = bits.ue()?;
    let chroma = match format {
        0 => Chroma::Monochrome,
        1 => Chroma::Planar420,
        2 => Chroma::Planar422,
        3 => Chroma::Planar444,
        _ => return None,
    };
    if format == 3 {
        bits.skip(1)?;
    }
    let _bit_depths = (bits.ue()?, bits.ue()?);
    bits.skip(1)?;
    if bits.bit()? {
        let lists = if format == 3 { 12 } else { 8 };
        for list in 0..lists {
            if bits.bit()? {
                skip_scaling_list(bits, if list < 6 { 16 } else { 64 })?;
            }
        }
    }
    Some(chroma)
}

/// Skips a scaling list (H.264 §7.3.2.1.1.1).
fn skip_scaling_list(bits: &mut BitReader, size: u32) -> Option<()> {
    let mut next = 8;
    for _ in 0..size {
        next = (next + bits.se()?.rem_euclid(256)) % 256;
        if next == 0 {
            break;
        }
    }
    Some(())
}

fn picture_order_count(bits: &mut BitReader) -> Option<()> {
    match bits.ue()? {
        0 => {
            bits.ue()?;
        }
        1 => {
            bits.skip(1)?;
            let _offsets = (bits.se()?, bits.se()?);
            let cycle = bits.ue().filter(|cycle| *cycle <= 255)?;
            for _ in 0..cycle {
                bits.se()?;
            }
        }
        2 => {}
        _ => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<_> = text.chars().filter_map(|c| c.to_digit(16)).collect();
        digits.chunks(2).map(|pair| u8::try_from(pair[0] << 4 | pair[1]).unwrap()).collect()
    }

    #[test]
    fn sequence_parameter_sets_are_read() {
        // Made by x264.
        let table = [
            ("67640028acd940780227e5c044000003000400000300c83c60c658", [0x64, 0, 0x28], 1920, 1080),
            ("6742c01ed900a03db011000003000100000300320f162e48", [0x42, 0xc0, 0x1e], 640, 480),
            // Interlaced.
            ("67640028acd94078044fde0220000003002000000643e2c5b2c0", [0x64, 0, 0x28], 1920, 1080),
            // 4:2:2.
            ("677a000dbcd941519e222f011000000300100000030320f1429960", [0x7a, 0, 0x0d], 322, 182),
            // 4:4:4.
            ("67f4000c919b282833f1b808800000030080000019078a14cb", [0xf4, 0, 0x0c], 320, 180),
            // Monochrome.
            ("6764000cf36505067e37016c800000030080000019078a14cb", [0x64, 0, 0x0c], 320, 180),
            // Scaling matrices are in the picture parameter set.
            ("6764000cacd941419f9f011000000300100000030320f1429960", [0x64, 0, 0x0c], 320, 180),
        ];
        for (unit, profile_level_id, width, height) in table {
            let expected = Picture::new(Profile::H264 { profile_level_id }, width, height);
            assert_eq!(sps(&hex(unit)), expected.map(|picture| (0, picture)), "{unit}");
        }
    }

    #[test]
    fn payloads_are_taken_apart() {
        let shape = |text: &str| shape(&Bytes::from(hex(text)));
        let fragment = |header, start, end, body: &'static [u8]| {
            let header = NalHeader([header, 0]);
            Ok(Shape::Fragment(Fragment { header, start, end, body: Bytes::from_static(body) }))
        };
        let malformed = |reason| Err(IngestError::Malformed(reason));
        assert_eq!(shape("65 88"), Ok(Shape::Single));
        let units = vec![Bytes::from_static(&[0x67, 1]), Bytes::from_static(&[0x68])];
        assert_eq!(shape("78 0002 6701 0001 68"), Ok(Shape::Aggregate(units)));
        assert_eq!(shape("7c 85 aabb"), fragment(0x65, true, false, b"\xaa\xbb"));
        assert_eq!(shape("5c 41 cc"), fragment(0x41, false, true, b"\xcc"));
        assert_eq!(shape(""), malformed("an empty payload"));
        assert_eq!(shape("7c"), malformed("a fragment without header"));
        assert_eq!(shape("78 0009 67"), malformed("an aggregation packet is cut off"));
        assert_eq!(shape("78 0000"), malformed("an aggregation packet is cut off"));
        assert_eq!(shape("00"), malformed("an undefined NAL unit type"));
        for (payload, name) in
            [("79", "STAP-B"), ("7a", "MTAP16"), ("7b", "MTAP24"), ("7d", "FU-B")]
        {
            assert_eq!(shape(payload), Err(IngestError::Unsupported(name)));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = kind(&bytes);
            let _ = sps(&bytes);
            let _ = pps_id(&bytes);
            let _ = shape(&Bytes::from(bytes));
        }

        #[test]
        fn no_high_profile_set_panics(tail in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = sps(&[&[0x67, 100, 0, 40][..], &tail].concat());
        }
    }
}
