//! NAL units that contain others, parted by start codes.

use super::*;

/// Returns a NAL unit in fragments whose bodies have this length.
fn in_fragments(codec: Codec, unit: &[u8], len: usize) -> Vec<Vec<u8>> {
    let (header, body) = unit.split_at(codec.nal().unwrap().header_len());
    let count = body.len().div_ceil(len);
    let fragment = |(index, chunk): (usize, &[u8])| {
        let flags = if index == 0 { START } else { MIDDLE };
        let flags = flags | if index + 1 == count { END } else { MIDDLE };
        let mut payload = match codec.nal().unwrap() {
            NalCodec::H264 => vec![header[0] & 0xe0 | 28, flags | header[0] & 0x1f],
            NalCodec::H265 => vec![49 << 1, header[1], flags | header[0] >> 1],
        };
        payload.extend_from_slice(chunk);
        payload
    };
    body.chunks(len).enumerate().map(fragment).collect()
}

#[test]
fn units_that_hide_in_another_are_forwarded_as_units() {
    let (code, short) = (&b"\0\0\0\x01"[..], &b"\0\0\x01"[..]);
    let idr = [IDR, &[7; 3000]].concat();
    let slice = [SLICE, &[9; 3000]].concat();
    let h265_idr = [&b"\x26\x01"[..], &[7; 3000]].concat();
    type Case<'a> = (&'a str, Codec, Vec<u8>, Vec<&'a [u8]>);
    let table: Vec<Case<'_>> = vec![
        (
            "sets and key slice",
            Codec::H264,
            [SPS, code, PPS, code, &idr].concat(),
            vec![SPS, PPS, &idr],
        ),
        ("short codes", Codec::H264, [SPS, short, PPS, short, &idr].concat(), vec![SPS, PPS, &idr]),
        (
            "a delimiter first",
            Codec::H264,
            [DELIMITER, code, SPS, code, PPS, code, SEI, code, &idr].concat(),
            vec![SPS, PPS, &idr],
        ),
        (
            "a code first",
            Codec::H264,
            [code, SPS, code, PPS, code, &idr].concat(),
            vec![SPS, PPS, &idr],
        ),
        (
            "a short code first",
            Codec::H264,
            [short, SPS, code, PPS, short, &idr].concat(),
            vec![SPS, PPS, &idr],
        ),
        (
            "a code first, H.265",
            Codec::H265,
            [code, H265_VPS, code, H265_SPS, code, H265_PPS, code, &h265_idr].concat(),
            vec![H265_VPS, H265_SPS, H265_PPS, &h265_idr],
        ),
        (
            "a short code first, H.265",
            Codec::H265,
            [short, H265_VPS, code, H265_SPS, code, H265_PPS, code, &h265_idr].concat(),
            vec![H265_VPS, H265_SPS, H265_PPS, &h265_idr],
        ),
        (
            "two slices",
            Codec::H264,
            [SPS, code, PPS, code, &idr, short, &slice].concat(),
            vec![SPS, PPS, &idr, &slice],
        ),
        (
            "H.265",
            Codec::H265,
            [H265_VPS, code, H265_SPS, code, H265_PPS, code, &h265_idr].concat(),
            vec![H265_VPS, H265_SPS, H265_PPS, &h265_idr],
        ),
    ];
    for (case, codec, unit, expected) in table {
        let sent = |payloads: &[Vec<u8>]| {
            let mut camera = Camera::new(&description(codec, &[]));
            for (index, payload) in payloads.iter().enumerate() {
                camera.send(1, index + 1 == payloads.len(), payload).expect(case);
            }
            let packets = camera.packets();
            let markers = packets.iter().filter(|packet| packet.marker).count();
            assert_eq!(markers, 1, "{case}");
            assert!(packets.iter().all(|packet| packet.payload.len() <= MAX_PAYLOAD), "{case}");
            let stream = byte_stream(codec.nal().unwrap(), &packets);
            annex_b_units(&stream).map(<[u8]>::to_vec).collect::<Vec<_>>()
        };
        assert_eq!(sent(std::slice::from_ref(&unit)), expected, "{case}, in one packet");
        for len in [1, 2, 3, 5, 7, 24, 29, 700, 1400] {
            assert_eq!(sent(&in_fragments(codec, &unit, len)), expected, "{case}, {len} a part");
        }
        let mut aggregate = match codec.nal().unwrap() {
            NalCodec::H264 => vec![0x78],
            NalCodec::H265 => vec![48 << 1, 1],
        };
        aggregate.extend_from_slice(&u16::try_from(unit.len()).unwrap().to_be_bytes());
        aggregate.extend_from_slice(&unit);
        assert_eq!(sent(&[aggregate]), expected, "{case}, in an aggregation packet");
    }
}
