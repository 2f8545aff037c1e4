//! Tests of descriptions.

use proptest::prelude::*;

use super::*;

/// A file that ffmpeg wrote.
const FFMPEG: &str = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=No Name\r\nc=IN IP4 127.0.0.1\r\n\
    t=0 0\r\na=tool:libavformat 59.27.100\r\nm=video 5004 RTP/AVP 96\r\nb=AS:200\r\n\
    a=rtpmap:96 H264/90000\r\n\
    a=fmtp:96 packetization-mode=1; sprop-parameter-sets=Z0LAHtkA,aMuMsg==; \
    profile-level-id=42C01E\r\n";

#[test]
fn the_file_ffmpeg_writes() {
    let expected = VideoSection {
        codec: Codec::H264,
        parameter_sets: vec![
            Bytes::from_static(b"\x67\x42\xc0\x1e\xd9\0"),
            Bytes::from_static(b"\x68\xcb\x8c\xb2"),
        ],
        place: Place {
            payload_type: 96,
            port: 5004,
            address: Some([127, 0, 0, 1].into()),
            index: 0,
            control: None,
        },
        session_control: None,
    };
    assert_eq!(find_video(FFMPEG), Ok(expected));
}

#[test]
fn the_first_stream_that_can_be_forwarded_is_chosen() {
    let h265 = "m=audio 0 RTP/AVP 0\nm=video 0/2 RTP/AVP 97\na=rtpmap:97 h265/90000\n\
        a=fmtp:97 sprop-vps=QAEM; sprop-sps=QgEB; sprop-pps=RAHA\nc=IN IP6 2001:db8::1\n";
    let found = find_video(h265).unwrap();
    assert_eq!((found.codec, found.place.payload_type, found.place.index), (Codec::H265, 97, 1));
    assert_eq!(found.parameter_sets.len(), 3);
    assert_eq!(found.place.address, Some("2001:db8::1".parse().unwrap()));

    let second = "m=video 0 RTP/AVP 26\nm=video 0 RTP/AVP 99\na=rtpmap:99 H264/90000\n";
    assert_eq!(find_video(second).unwrap().place.index, 1);
    let several = "m=video 0 RTP/AVP 98 99\na=rtpmap:98 theora/90000\na=rtpmap:99 H264/90000\n";
    assert_eq!(find_video(several).unwrap().place.payload_type, 99);
}

#[test]
fn h264_is_chosen_among_several_tracks() {
    let sdp = "m=video 0 RTP/AVP 96\na=rtpmap:96 H265/90000\na=control:big\n\
        m=video 0 RTP/AVP 97\na=rtpmap:97 H264/90000\na=control:small\n";
    let found = find_video(sdp).unwrap();
    assert_eq!((found.codec, found.place.control.as_deref()), (Codec::H264, Some("small")));
    let first = sdp.split("m=video 0 RTP/AVP 97").next().unwrap();
    assert_eq!(find_video(first).unwrap().codec, Codec::H265);
}

#[test]
fn a_careless_description_is_understood_if_one_section_is_usable() {
    let table = [
        (
            "no addresses",
            "v=0\no=- 1001 1 IN\nc=IN\nm=video 0 RTP/AVP 96\n\
            a=rtpmap:96 H264/90000\n",
        ),
        ("nothing but the section", "m=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000"),
        (
            "blank lines and blanks",
            "\n\n v = 0 \n\n m = video 0 RTP/AVP 96 \n\n \
            a = rtpmap : 96   H264/90000 \n",
        ),
        ("bare carriage returns", "v=0\rm=video 0 RTP/AVP 96\ra=rtpmap:96 H264/90000\r"),
        ("any case", "M=VIDEO 0 rtp/avp 96\nA=RTPMAP:96 h264/90000"),
        ("no clock rate", "m=video 0 RTP/AVP 96\na=rtpmap:96 H264"),
        ("an odd clock rate", "m=video 0 RTP/AVP 96\na=rtpmap:96 H264/1000"),
        ("blanks in the rtpmap", "m=video 0 RTP/AVP 96\na=rtpmap: 96 H264 / 90000"),
        (
            "parameters first",
            "m=video 0 RTP/AVP 96\na=fmtp:96 packetization-mode=1\n\
            a=rtpmap:96 H264/90000",
        ),
        ("no rtpmap", "m=video 0 RTP/AVP 96\na=fmtp:96 packetization-mode=1"),
        ("no payload type", "m=video 0 RTP/AVP\na=rtpmap:96 H264/90000"),
        ("no port", "m=video RTP/AVP 96\na=rtpmap:96 H264/90000"),
        ("the rtpmap before the section", "a=rtpmap:96 H264/90000\nm=video 0 RTP/AVP 96"),
        ("an unusual name", "m=video 0 RTP/AVP 96\na=rtpmap:96 H.264/90000"),
        ("another charset", "s=K\u{fffd}che\nm=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000"),
        ("noise", "hello\n=\na=\nm=audio\nm=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000"),
        ("SRTP without a key", "m=video 0 RTP/SAVP 96\na=rtpmap:96 H264/90000"),
        (
            "SRTP first",
            "m=video 0 RTP/SAVPF 97\na=rtpmap:97 H264/90000\na=crypto:1 AES inline:x\n\
            m=video 0 RTP/SAVP 98\na=rtpmap:98 H264/90000\n\
            m=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000",
        ),
        (
            "interleaved, as it says",
            "m=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000\n\
            a=fmtp:96 packetization-mode=2;sprop-max-don-diff=3",
        ),
    ];
    for (case, sdp) in table {
        let found =
            find_video(sdp).map(|video| (video.codec, video.place.payload_type, video.place.port));
        assert_eq!(found, Ok((Codec::H264, 96, 0)), "{case}");
    }
}

#[test]
fn parameter_sets_are_read_however_they_are_written() {
    let expected: &[u8] = b"\x67\x42\xc0\x1e\xd9\0";
    for list in ["Z0LAHtkA", " Z0LAHtkA==, ", "\"Z0LAHtkA\"", "AAAAAWdCwB7ZAA==", "***,Z0LAHtkA"] {
        assert_eq!(parameter_sets(list), [Bytes::from_static(expected)], "{list}");
    }
}

#[test]
fn unusable_descriptions_are_refused_with_the_reason() {
    let unsupported = |name: &str| CameraSdpError::UnsupportedCodec(name.to_owned());
    let table = [
        ("", CameraSdpError::NoVideo),
        ("m=audio 0 RTP/AVP 0", CameraSdpError::NoVideo),
        ("m=video 0 RTP/AVP", CameraSdpError::NoVideo),
        ("m=video 0 RTP/AVP 26", unsupported("Motion JPEG")),
        ("m=video 0 RTP/AVP 96\na=rtpmap:96 theora/90000", unsupported("theora")),
        ("m=video 0 RTP/AVP 96", unsupported("an unnamed codec (payload type 96)")),
        (
            "m=video 0 RTP/SAVP 96\na=rtpmap:96 H264/90000\na=crypto:1 AES inline:x",
            CameraSdpError::Encrypted,
        ),
        (
            "a=key-mgmt:mikey AQ==\nm=video 0 RTP/SAVPF 96\na=rtpmap:96 H265/90000",
            CameraSdpError::Encrypted,
        ),
        (
            "m=video 0 RTP/AVP 96\na=rtpmap:96 H265/90000\na=fmtp:96 sprop-max-don-diff=3",
            CameraSdpError::Interleaved(Codec::H265),
        ),
    ];
    for (sdp, expected) in table {
        assert_eq!(find_video(sdp), Err(expected), "{sdp}");
    }
    assert_eq!(find_video(&"a".repeat(MAX_LEN + 1)), Err(CameraSdpError::TooLong));
    let message = unsupported("Motion JPEG").to_string();
    assert!(message.contains("Motion JPEG") && message.contains("H.264"), "{message}");
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(
        words in prop::collection::vec(
            prop::sample::select(vec![
                "m=", "video ", "5004", "/2", " RTP/AVP ", "96", " ", "\r\n", "a=rtpmap:",
                "H264", "/90000", "a=fmtp:", ";", "=", "c=IN IP4 ", "sprop-sps", "é", "",
            ]),
            0..60,
        ),
    ) {
        let _ = find_video(&words.concat());
    }
}

#[test]
fn parameters_in_several_lines_and_sets_in_one_item_are_taken() {
    // SPS and PPS, each with a start code, in base64.
    let both = "AAAAAWdCwB7ZAAAAAAABaMuMsg==";
    let [sps, pps]: [&[u8]; 2] = [b"\x67\x42\xc0\x1e\xd9", b"\x68\xcb\x8c\xb2"];
    let table = [
        (
            "two lines",
            "a=fmtp:96 packetization-mode=1\na=fmtp:96 sprop-parameter-sets=Z0LAHtk=,aMuMsg==",
            [sps, pps],
        ),
        (
            "the other order",
            "a=fmtp:96 sprop-parameter-sets=Z0LAHtk=,aMuMsg==\na=fmtp:96 packetization-mode=1",
            [sps, pps],
        ),
        ("one item", &format!("a=fmtp:96 sprop-parameter-sets={both}"), [sps, pps]),
        (
            "a line for each",
            "a=fmtp:96 sprop-parameter-sets=Z0LAHtk=\na=fmtp:96 sprop-parameter-sets=aMuMsg==",
            [sps, pps],
        ),
    ];
    for (case, lines, expected) in table {
        let found = find_video(&format!("m=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000\n{lines}\n"));
        assert_eq!(found.unwrap().parameter_sets, expected, "{case}");
    }
    let many = vec!["Z0LAHtk="; 2 * MAX_SETS].join(",");
    assert_eq!(parameter_sets(&many).len(), MAX_SETS);
}

#[test]
fn a_section_that_is_not_sent_is_the_last_choice() {
    let section = |number: u8, line| {
        format!("m=video 0 RTP/AVP {number}\na=rtpmap:{number} H264/90000\na={line}\n")
    };
    let (first, second) = (section(96, "inactive"), section(97, "recvonly"));
    let both = format!("{first}{second}");
    let table: [(&str, &[usize], Option<u8>); 5] = [
        (&both, &[], Some(97)),
        (&both, &[1], Some(96)),
        (&both, &[0, 1], None),
        (&first, &[], Some(96)),
        (&first, &[0], None),
    ];
    for (sdp, refused, expected) in table {
        let found = find_other_video(sdp, refused).ok().map(|video| video.place.payload_type);
        assert_eq!(found, expected, "{sdp} without {refused:?}");
    }
}
