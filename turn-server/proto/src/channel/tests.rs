use proptest::prelude::*;

use super::*;

fn channel_data(number: u16, payload: &[u8], padded: bool) -> Vec<u8> {
    let header = channel_header(ChannelNumber::new(number).unwrap(), payload.len()).unwrap();
    let mut out = [&header[..], payload].concat();
    if padded {
        out.resize(out.len().next_multiple_of(4), 0);
    }
    out
}

fn stun(body_words: u8) -> Vec<u8> {
    let mut out = vec![0, 1, 0, body_words * 4];
    out.extend_from_slice(&MAGIC_COOKIE.to_be_bytes());
    out.resize(HEADER_LEN + usize::from(body_words) * 4, 7);
    out
}

#[test]
fn channel_data_is_read_by_its_own_length() {
    let one = ChannelNumber::new(0x4001);
    for (what, bytes, want) in [
        ("exact", vec![0x40, 1, 0, 2, 8, 9], Some(&[8, 9][..])),
        ("padded", vec![0x40, 1, 0, 2, 8, 9, 0, 0], Some(&[8, 9][..])),
        ("empty", vec![0x40, 1, 0, 0], Some(&[][..])),
        ("too short", vec![0x40, 1, 0, 3, 8, 9], None),
        ("no header", vec![0x40, 1, 0], None),
        ("no channel", vec![0x80, 1, 0, 0], None),
        ("stun", vec![0x00, 1, 0, 0], None),
    ] {
        let want = want.map(|payload| (one.unwrap(), payload));
        assert_eq!(read_channel_data(&bytes), want, "{what}");
    }
}

#[test]
fn channel_numbers_are_those_of_rfc_8656_and_rfc_5766() {
    for (number, ok) in [
        (0x3FFF, false),
        (0x4000, true),
        (0x4FFF, true),
        (0x7FFE, true),
        (0x7FFF, false),
        (0x8000, false),
    ] {
        assert_eq!(ChannelNumber::new(number).is_some(), ok, "{number:#x}");
    }
}

#[test]
fn a_stream_that_is_not_turn_is_refused() {
    for (what, bytes) in [
        ("rtp", vec![0x80, 96, 0, 1]),
        ("tls", vec![0x16, 3, 1, 0]),
        ("stun without cookie", vec![0, 1, 0, 0, 1, 2, 3, 4]),
        ("stun of odd length", [&[0, 1, 0, 3][..], &MAGIC_COOKIE.to_be_bytes()].concat()),
    ] {
        let mut decoder = StreamDecoder::new();
        decoder.push(&bytes).unwrap();
        assert_eq!(decoder.next_frame(), Err(StreamError::NotTurn), "{what}");
    }
}

#[test]
fn a_decoder_buffers_no_more_than_its_bound() {
    let mut decoder = StreamDecoder::new();
    decoder.push(&vec![0x40; StreamDecoder::MAX_BUFFERED]).unwrap();
    assert_eq!(decoder.push(&[0]), Err(StreamError::Overflow));
    assert!(decoder.next_frame().unwrap().is_some());
    assert!(decoder.is_mid_frame());
    decoder.push(&[0]).unwrap();
}

proptest! {
    #[test]
    fn frames_are_the_same_however_the_stream_is_cut(
        frames in proptest::collection::vec(
            (any::<bool>(), proptest::collection::vec(any::<u8>(), 0..60)), 0..20),
        cuts in proptest::collection::vec(1_usize..90, 1..60),
    ) {
        let mut sent = Vec::new();
        let mut wire = Vec::new();
        for (is_stun, payload) in &frames {
            let words = u8::try_from(payload.len()).unwrap();
            let frame = if *is_stun { stun(words) } else { channel_data(0x4000, payload, false) };
            wire.extend_from_slice(&frame);
            wire.resize(wire.len().next_multiple_of(4), 0);
            sent.push(frame);
        }
        let mut decoder = StreamDecoder::new();
        let mut received = Vec::new();
        let mut rest = &wire[..];
        for cut in cuts.iter().cycle() {
            let (now, later) = rest.split_at((*cut).min(rest.len()));
            decoder.push(now).unwrap();
            while let Some(frame) = decoder.next_frame().unwrap() {
                received.push(frame.to_vec());
            }
            rest = later;
            if rest.is_empty() { break; }
        }
        prop_assert_eq!(received, sent);
        prop_assert!(!decoder.is_mid_frame());
    }

    #[test]
    fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = read_channel_data(&bytes);
        let mut decoder = StreamDecoder::new();
        decoder.push(&bytes).unwrap();
        for _ in 0..=bytes.len() {
            if !matches!(decoder.next_frame(), Ok(Some(_))) { break; }
        }
    }
}

#[test]
fn a_frame_can_be_put_back_and_the_bytes_behind_it_taken() {
    let mut decoder = StreamDecoder::new();
    let frames = [[0x40, 0, 0, 1, 7, 0, 0, 0], [0x40, 0, 0, 2, 8, 9, 0, 0]].concat();
    decoder.push(&[&frames[..], b"rest"].concat()).unwrap();
    assert_eq!(decoder.next_frame().unwrap(), Some(&frames[..5]));
    for _ in 0..3 {
        assert_eq!(decoder.next_frame().unwrap(), Some(&frames[8..14]));
        decoder.put_back();
    }
    decoder.next_frame().unwrap();
    assert_eq!(decoder.take_rest(), b"rest");
    assert_eq!(decoder.next_frame().unwrap(), None);
}
