//! Start codes (H.264 and H.265 annex B) inside NAL units, where none may be: some cameras send
//! several units as one, as their encoder wrote them.

use std::sync::LazyLock;

use bytes::Bytes;
use memchr::memmem::Finder;

use crate::media::codec::NalCodec;

/// Maximum number of units that are read of one payload; a picture has at most a few hundred.
const MAX_UNITS: usize = 512;

/// Length of the start code without leading zeros.
const LEN: usize = 3;

/// The search for it, which every byte of every camera goes through.
static START_CODE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(&[0, 0, 1]));

/// The boundary between two units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Boundary {
    /// End of the unit before the start code, without the zeros that belong to the code.
    pub(crate) end: usize,
    /// Beginning of the unit after it.
    pub(crate) begin: usize,
}

/// Finds the first start code that a NAL unit follows. `zeros` is the number of zeros at the end of
/// the bytes before these.
pub(crate) fn find(codec: NalCodec, zeros: usize, bytes: &[u8]) -> Option<Boundary> {
    let boundary = |at: usize, run: usize| {
        let begin = at + 1;
        let follows = is_header(codec, bytes.get(begin..).unwrap_or_default());
        follows.then(|| Boundary { end: at.saturating_sub(run), begin })
    };
    // One that begins before these bytes.
    let first = bytes.iter().take(LEN).take_while(|byte| **byte == 0).count();
    if bytes.get(first) == Some(&1)
        && zeros + first >= LEN - 1
        && let Some(found) = boundary(first, zeros + first)
    {
        return Some(found);
    }
    START_CODE.find_iter(bytes).find_map(|begin| {
        let before = bytes.get(..begin)?;
        let run = before.iter().rev().take_while(|byte| **byte == 0).count();
        let earlier = if run == begin { zeros } else { 0 };
        boundary(begin + LEN - 1, run + earlier + LEN - 1)
    })
}

/// Returns the number of zeros at the end of bytes that follow `zeros` others.
pub(crate) fn trailing_zeros(zeros: usize, bytes: &[u8]) -> usize {
    match bytes.iter().rposition(|byte| *byte != 0) {
        Some(last) => bytes.len() - last - 1,
        None => zeros.saturating_add(bytes.len()).min(LEN),
    }
}

/// Returns true if bytes begin with a start code, as no NAL unit does.
pub(crate) fn begins(bytes: &[u8]) -> bool {
    matches!(bytes, [0, 0, 1, ..] | [0, 0, 0, 1, ..])
}

/// Splits a NAL unit that contains others. Returns `None` if it contains none.
pub(crate) fn split(codec: NalCodec, unit: &Bytes) -> Option<Vec<Bytes>> {
    let mut boundary = find(codec, 0, unit)?;
    let (mut units, mut rest) = (Vec::new(), unit.clone());
    loop {
        units.push(rest.slice(..boundary.end));
        rest = rest.slice(boundary.begin..);
        match find(codec, 0, &rest) {
            Some(next) if units.len() < MAX_UNITS => boundary = next,
            _ => break,
        }
    }
    units.push(rest);
    units.retain(|unit| unit.len() >= codec.header_len());
    Some(units)
}

/// Returns true if these may be the first bytes of a NAL unit that a packet can carry alone.
fn is_header(codec: NalCodec, bytes: &[u8]) -> bool {
    match (codec, bytes) {
        (_, []) => true,
        (NalCodec::H264, [first, ..]) => first & 0x80 == 0 && (1..24).contains(&(first & 0x1f)),
        (NalCodec::H265, [first]) => first & 0x80 == 0 && first >> 1 < 48,
        // Layer 0, and a temporal id.
        (NalCodec::H265, [first, second, ..]) => {
            first & 0x81 == 0 && first >> 1 < 48 && second >> 3 == 0 && second & 7 != 0
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn units_within_units_are_found() {
        type Case<'a> = (&'a str, NalCodec, &'static [u8], &'a [&'a [u8]]);
        let table: [Case<'_>; 9] = [
            ("none", NalCodec::H264, b"\x65\x01\0\x01\0\0", &[]),
            ("four bytes", NalCodec::H264, b"\x67a\0\0\0\x01\x68b", &[b"\x67a", b"\x68b"]),
            ("three bytes", NalCodec::H264, b"\x67a\0\0\x01\x68b", &[b"\x67a", b"\x68b"]),
            (
                "three units",
                NalCodec::H264,
                b"\x67\0\0\x01\x68\0\0\x01\x65c",
                &[b"\x67", b"\x68", b"\x65c"],
            ),
            ("at the beginning", NalCodec::H264, b"\0\0\x01\x67\0\0\x01\x68", &[b"\x67", b"\x68"]),
            ("not a unit", NalCodec::H264, b"\x65\0\0\x01\xff", &[]),
            ("not a unit that stands alone", NalCodec::H264, b"\x65\0\0\x01\x7c\x85", &[]),
            (
                "H.265",
                NalCodec::H265,
                b"\x42\x01a\0\0\0\x01\x26\x01b",
                &[b"\x42\x01a", b"\x26\x01b"],
            ),
            ("H.265 without temporal id", NalCodec::H265, b"\x42\x01a\0\0\x01\x26\x00b", &[]),
        ];
        for (case, codec, unit, expected) in table {
            let units = split(codec, &Bytes::from_static(unit)).unwrap_or_default();
            assert_eq!(units, expected, "{case}");
        }
    }

    #[test]
    fn a_start_code_may_be_cut() {
        assert_eq!(find(NalCodec::H264, 2, b"\x01\x65"), Some(Boundary { end: 0, begin: 1 }));
        assert_eq!(find(NalCodec::H264, 1, b"\0\x01\x65"), Some(Boundary { end: 0, begin: 2 }));
        assert_eq!(find(NalCodec::H264, 1, b"\x01\x65"), None);
        assert_eq!(trailing_zeros(0, b"a\0\0"), 2);
        assert_eq!(trailing_zeros(1, b"\0"), 2);
        assert_eq!(trailing_zeros(2, b"a"), 0);
    }

    /// Finds a start code byte by byte.
    fn find_slowly(codec: NalCodec, zeros: usize, bytes: &[u8]) -> Option<Boundary> {
        let mut run = zeros;
        for (at, &byte) in bytes.iter().enumerate() {
            if byte == 1 && run >= 2 && is_header(codec, &bytes[at + 1..]) {
                return Some(Boundary { end: at.saturating_sub(run), begin: at + 1 });
            }
            run = if byte == 0 { run + 1 } else { 0 };
        }
        None
    }

    proptest! {
        #[test]
        fn the_first_one_is_found(h265 in any::<bool>(), zeros in 0_usize..4,
            bytes in prop::collection::vec(
                prop::sample::select(vec![0_u8, 0, 0, 1, 1, 2, 0x26, 0x41, 0x65, 0xff]), 0..80,
            ),
        ) {
            let codec = if h265 { NalCodec::H265 } else { NalCodec::H264 };
            prop_assert_eq!(find(codec, zeros, &bytes), find_slowly(codec, zeros, &bytes));
        }

        #[test]
        fn pieces_are_within_the_unit(h265 in any::<bool>(), bytes in prop::collection::vec(
            prop::sample::select(vec![0_u8, 0, 0, 1, 1, 2, 0x26, 0x41, 0x65, 0x67, 0xff]), 0..80,
        )) {
            let codec = if h265 { NalCodec::H265 } else { NalCodec::H264 };
            if let Some(units) = split(codec, &Bytes::from(bytes.clone())) {
                let len: usize = units.iter().map(Bytes::len).sum();
                prop_assert!(len < bytes.len());
            }
        }
    }
}
