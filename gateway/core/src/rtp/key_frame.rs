//! Whether a payload belongs to a key frame, from the first bytes of its NAL units.

use crate::media::Codec;

/// Whether it holds, or begins, a slice that a decoder can start from.
pub(super) fn starts_key_slice(codec: Codec, payload: &[u8]) -> bool {
    match codec {
        Codec::H264 => match payload {
            [24, units @ ..] | [56, units @ ..] | [88, units @ ..] | [120, units @ ..] => {
                aggregated(units).any(|unit| unit.first().is_some_and(|first| first & 0x1f == 5))
            }
            // FU-A: the start bit, and the type of the unit.
            [first, header, ..] if first & 0x1f == 28 => header & 0x9f == 0x85,
            [first, ..] => first & 0x1f == 5,
            [] => false,
        },
        Codec::H265 => {
            let key = |kind: u8| (16..=23).contains(&kind);
            match payload {
                [first, _, units @ ..] if first >> 1 & 0x3f == 48 => {
                    aggregated(units).any(|u| u.first().is_some_and(|f| key(f >> 1 & 0x3f)))
                }
                [first, _, header, ..] if first >> 1 & 0x3f == 49 => {
                    header & 0x80 != 0 && key(header & 0x3f)
                }
                [first, ..] => key(first >> 1 & 0x3f),
                [] => false,
            }
        }
    }
}

/// NAL units behind each other, each after its length; ends at the first that is cut off.
fn aggregated(mut rest: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (len, behind) = rest.split_first_chunk()?;
        let (unit, behind) = behind.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
        rest = behind;
        Some(unit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_slices_are_found() {
        use Codec::{H264, H265};
        let table: [(&str, Codec, &[u8], bool); 14] = [
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
            assert_eq!(starts_key_slice(codec, payload), expected, "{codec} {case}");
        }
    }
}
