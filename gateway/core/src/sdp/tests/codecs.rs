//! The choice among payload types, and what is offered for a stream.

use super::*;

/// Returns an offer of these payload types, numbered from 96 on.
fn offer_of_codecs(codecs: &[(&str, &str)]) -> String {
    let at = CHROMIUM_VIDEO.find("m=video").unwrap();
    let transport = CHROMIUM_VIDEO.lines().filter(|line| {
        ["a=ice-", "a=fingerprint", "a=setup", "a=rtcp-mux", "a=mid", "a=recvonly"]
            .iter()
            .any(|start| line.starts_with(start))
    });
    let transport: Vec<_> = transport.collect();
    let types: Vec<_> = (96..).take(codecs.len()).map(|number: u8| number.to_string()).collect();
    let mut offer = format!(
        "{}m=video 9 UDP/TLS/RTP/SAVPF {}\r\n{}\r\n",
        &CHROMIUM_VIDEO[..at],
        types.join(" "),
        transport.join("\r\n")
    );
    for (number, (name, fmtp)) in types.iter().zip(codecs) {
        offer += &format!("a=rtpmap:{number} {name}/90000\r\n");
        if !fmtp.is_empty() {
            offer += &format!("a=fmtp:{number} {fmtp}\r\n");
        }
    }
    offer
}

/// Returns payload type and packetization mode of the answer.
fn chosen(
    codec: Codec,
    profile: Option<Profile>,
    offered: &[(&str, &str)],
) -> Result<(u8, u8), String> {
    let codecs = offered_codecs(codec, profile);
    let answer = try_answer(&offer_of_codecs(offered), &codecs, Setup::Passive, Some(&track()));
    let section = answer.map_err(|error| error.to_string())?.negotiated.sections.remove(0);
    Ok((section.payload_type, section.packetization_mode))
}

const CB: &str = "packetization-mode=1;profile-level-id=42e01f";
const CB_40: &str = "packetization-mode=1;profile-level-id=42e028";
const BASELINE: &str = "packetization-mode=1;profile-level-id=42001f";
const MAIN: &str = "packetization-mode=1;profile-level-id=4d001f";
const HIGH_31: &str = "packetization-mode=1;profile-level-id=64001f";
const HIGH_40: &str = "packetization-mode=1;profile-level-id=640028";
const HIGH_40_WHOLE: &str = "packetization-mode=0;profile-level-id=640028";
const HIGH_40_UNSAID: &str = "profile-level-id=640028";

#[test]
fn the_payload_type_that_decodes_the_stream_is_chosen() {
    const STREAM_CB: [u8; 3] = [0x42, 0xe0, 0x1e];
    const STREAM_CB_40: [u8; 3] = [0x42, 0xe0, 0x28];
    const STREAM_MAIN: [u8; 3] = [0x4d, 0x40, 0x1f];
    const STREAM_HIGH: [u8; 3] = [0x64, 0x00, 0x28];
    let table: [(&str, [u8; 3], &[&str], u8); 16] = [
        ("the same profile", STREAM_HIGH, &[CB, MAIN, HIGH_40], 98),
        ("the same profile, sufficient level", STREAM_HIGH, &[HIGH_31, HIGH_40], 97),
        ("High of a lower level before a lower profile", STREAM_HIGH, &[CB_40, HIGH_31], 97),
        ("Main for Constrained Baseline", STREAM_CB, &[MAIN], 96),
        ("High for Constrained Baseline", STREAM_CB, &[BASELINE, HIGH_40], 96),
        ("Constrained Baseline before others", STREAM_CB, &[HIGH_40, CB], 97),
        ("level before profile", STREAM_CB_40, &[CB, HIGH_40], 97),
        ("level and profile", STREAM_CB_40, &[CB, HIGH_40, CB_40], 98),
        ("High for Main", STREAM_MAIN, &[BASELINE, CB, HIGH_31], 98),
        ("what every browser lists for High", STREAM_HIGH, &[BASELINE, CB], 97),
        ("nothing better than Baseline", STREAM_HIGH, &[BASELINE], 96),
        ("what every browser lists before Main", STREAM_HIGH, &[MAIN, CB], 97),
        ("fragments before the profile", STREAM_HIGH, &[HIGH_40_WHOLE, CB], 97),
        ("nothing said before whole units", STREAM_HIGH, &[HIGH_40_WHOLE, HIGH_40_UNSAID], 97),
        ("fragments before nothing said", STREAM_HIGH, &[HIGH_40_UNSAID, HIGH_40], 97),
        ("not even a profile", STREAM_HIGH, &[""], 96),
    ];
    for (case, stream, offered, expected) in table {
        let offered: Vec<_> = offered.iter().map(|fmtp| ("H264", *fmtp)).collect();
        assert_eq!(chosen(Codec::H264, h264(stream), &offered), Ok((expected, 1)), "{case}");
    }
}

#[test]
fn packetization_mode_0_is_the_last_choice_and_reported() {
    let whole = [("H264", HIGH_40_WHOLE)];
    assert_eq!(chosen(Codec::H264, HIGH, &whole), Ok((96, 0)));
}

#[test]
fn an_offer_with_a_packetization_mode_that_webrtc_does_not_have_gets_its_name() {
    type Case<'a> = (&'a [(&'a str, &'a str)], Result<u8, &'a str>);
    let table: [Case<'_>; 5] = [
        (&[("H264", "packetization-mode=2;profile-level-id=640028")], Err("packetization-mode=2,")),
        (&[("VP8", ""), ("H264", "packetization-mode=2")], Err("packetization-mode=2,")),
        (&[("H264", "packetization-mode=7")], Err("packetization-mode=7,")),
        (&[("H264", "packetization-mode=2"), ("H264", HIGH_40)], Ok(97)),
        (&[("VP8", "packetization-mode=2")], Err("the player offers VP8")),
    ];
    for (offered, expected) in table {
        match (chosen(Codec::H264, HIGH, offered), expected) {
            (Ok((found, _)), Ok(expected)) => assert_eq!(found, expected, "{offered:?}"),
            (Err(why), Err(expected)) => assert!(why.contains(expected), "{offered:?}: {why}"),
            (found, _) => panic!("{offered:?}: {found:?}"),
        }
    }
}

#[test]
fn h265_is_matched_with_what_the_viewer_takes() {
    type Case<'a> = (&'a str, Option<Profile>, &'a [(&'a str, &'a str)], Option<u8>);
    let stream =
        |profile_id, level_id| Some(Profile::H265 { profile_id, is_high_tier: false, level_id });
    let main = ("H265", "level-id=93;profile-id=1;tier-flag=0;tx-mode=SRST");
    let main_5 = ("H265", "level-id=150;profile-id=1;tier-flag=0");
    let main_10 = ("H265", "level-id=150;profile-id=2");
    let unsaid = ("H265", "");
    let multiple = ("H265", "profile-id=1;tx-mode=MRST");
    let table: [Case<'_>; 8] = [
        ("Main", stream(1, 93), &[main_10, main], Some(97)),
        ("a higher level", stream(1, 120), &[main, main_5], Some(97)),
        ("no sufficient level", stream(1, 180), &[main], Some(96)),
        ("Main 10 for Main", stream(1, 93), &[main_10], Some(96)),
        ("Main 10", stream(2, 93), &[main, main_10], Some(97)),
        ("only Main for Main 10", stream(2, 93), &[main], None),
        ("nothing said", stream(2, 93), &[unsaid], Some(96)),
        ("several streams", stream(1, 93), &[multiple], None),
    ];
    for (case, stream, offered, expected) in table {
        let chosen = chosen(Codec::H265, stream, offered);
        assert_eq!(chosen.ok(), expected.map(|number| (number, 1)), "{case}");
    }
    let offered = offered_codecs(Codec::H265, stream(2, 153));
    assert_eq!(offered[0].fmtp, "level-id=153;profile-id=2;tier-flag=0;tx-mode=SRST");
    let low = offered_codecs(Codec::H265, stream(1, 30));
    assert_eq!(low[0].fmtp, "level-id=93;profile-id=1;tier-flag=0;tx-mode=SRST");
}

#[test]
fn codecs_without_nal_units_are_offered_and_matched() {
    type Case<'a> = (Codec, Option<Profile>, &'a str, &'a [(&'a str, &'a str)], Option<u8>);
    let vp9 = |profile_id| Some(Profile::Vp9 { profile_id });
    let av1 = |profile, level_idx| Some(Profile::Av1 { profile, level_idx, is_high_tier: false });
    let table: [Case<'_>; 8] = [
        (Codec::Vp8, None, "", &[("VP9", ""), ("VP8", "max-fr=60")], Some(97)),
        (Codec::Vp9, None, "profile-id=0", &[("vp9", "")], Some(96)),
        (Codec::Vp9, vp9(0), "profile-id=0", &[("VP9", "profile-id=2"), ("VP9", "")], Some(97)),
        (Codec::Vp9, vp9(2), "profile-id=2", &[("VP9", "profile-id=0")], None),
        (Codec::Av1, None, "level-idx=5;profile=0;tier=0", &[("AV1", "")], Some(96)),
        (
            Codec::Av1,
            av1(0, 8),
            "level-idx=8;profile=0;tier=0",
            &[("AV1", ""), ("AV1", "level-idx=9")],
            Some(97),
        ),
        (Codec::Av1, av1(0, 0), "level-idx=5;profile=0;tier=0", &[("AV1", "profile=1")], Some(96)),
        (Codec::Av1, av1(1, 0), "level-idx=5;profile=1;tier=0", &[("AV1", "")], None),
    ];
    for (codec, profile, fmtp, offered, expected) in table {
        let ours = offered_codecs(codec, profile);
        assert_eq!(ours.len(), 1);
        assert_eq!(ours[0].fmtp, fmtp, "{codec}");
        assert_eq!(ours[0].rtx_payload_type, Some(97), "{codec}");
        let chosen = chosen(codec, profile, offered).ok();
        assert_eq!(chosen, expected.map(|number| (number, 1)), "{codec} {profile:?}");
    }
    let offer = offer_of(&offered_codecs(Codec::Vp8, None), 1);
    assert!(offer.contains("a=rtpmap:96 VP8/90000\r\n"), "{offer}");
    assert!(offer.contains("a=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n"), "{offer}");
    assert!(!offer.contains("a=fmtp:96"), "{offer}");
}

#[test]
fn a_refusal_says_what_the_player_offers() {
    type Case<'a> = (Option<Profile>, &'a [(&'a str, &'a str)], &'a str);
    let high_10 = Some(Profile::H265 { profile_id: 2, is_high_tier: false, level_id: 93 });
    let table: [Case<'_>; 5] = [
        (None, &[("VP8", "")], "the camera sends H.265; the player offers VP8"),
        (
            None,
            &[("H264", CB), ("rtx", "apt=96"), ("VP8", ""), ("H264", MAIN), ("ulpfec", "")],
            "the camera sends H.265; the player offers H.264 and VP8",
        ),
        (
            None,
            &[("H264", ""), ("VP8", ""), ("theora", "")],
            "the camera sends H.265; the player offers H.264, VP8 and theora",
        ),
        (
            high_10,
            &[("H265", "profile-id=1"), ("VP8", "")],
            "the camera sends H.265 of profile 2; the player offers H.265 of profile 1 and VP8",
        ),
        (None, &[("rtx", "apt=96")], "the camera sends H.265; the player offers no codec"),
    ];
    for (profile, offered, expected) in table {
        assert_eq!(chosen(Codec::H265, profile, offered), Err(expected.to_owned()));
    }
}
