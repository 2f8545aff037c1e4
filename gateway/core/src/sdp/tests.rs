use proptest::prelude::*;

use super::*;
use crate::dtls_srtp::{DtlsRole, Fingerprint};
use crate::media::{Codec, Profile};

const CHROMIUM_VIDEO: &str = include_str!("samples/chromium-offer-video.sdp");
const CHROMIUM_ALL: &str = include_str!("samples/chromium-offer-all.sdp");
const CHROMIUM_MAX_BUNDLE: &str = include_str!("samples/chromium-offer-max-bundle.sdp");
const CHROMIUM_ANSWER: &str = include_str!("samples/chromium-answer.sdp");
const CHROMIUM_ANSWER_H265: &str = include_str!("samples/chromium-answer-h265.sdp");
const FIREFOX_ALL: &str = include_str!("samples/firefox-offer-all.sdp");
const GSTREAMER: &str = include_str!("samples/gstreamer-offer.sdp");
const AIORTC: &str = include_str!("samples/aiortc-answer.sdp");

mod codecs;
mod sections;
mod sound;
mod spelling;

const SAMPLES: [&str; 8] = [
    CHROMIUM_VIDEO,
    CHROMIUM_ALL,
    CHROMIUM_MAX_BUNDLE,
    CHROMIUM_ANSWER,
    CHROMIUM_ANSWER_H265,
    FIREFOX_ALL,
    GSTREAMER,
    AIORTC,
];

const HIGH: Option<Profile> = h264([0x64, 0x00, 0x28]);

const fn h264(profile_level_id: [u8; 3]) -> Option<Profile> {
    Some(Profile::H264 { profile_level_id })
}

fn transport() -> Transport {
    Transport {
        ufrag: "abcd".to_owned(),
        pwd: "0123456789abcdefABCDEF".to_owned(),
        fingerprint: Fingerprint([0xab; 32]),
        setup: Setup::ActPass,
    }
}

fn track() -> TrackIds {
    TrackIds {
        ssrc: 1111,
        rtx_ssrc: 2222,
        cname: "canonical".to_owned(),
        stream: "camera".to_owned(),
    }
}

fn offer_of(codecs: &[OfferedCodec], version: u64) -> String {
    offer(&OfferConfig {
        session_id: 77,
        version,
        transport: &transport(),
        sections: &[OfferedSection { mid: "0", media: video(codecs, Some(&track())) }],
        candidates: &["candidate:1 1 udp 2130706431 192.0.2.1 5000 typ host".to_owned()],
    })
}

fn video<'a>(codecs: &'a [OfferedCodec], track: Option<&'a TrackIds>) -> LocalMedia<'a> {
    let direction = if track.is_some() { Direction::SendOnly } else { Direction::RecvOnly };
    LocalMedia { kind: MediaKind::Video, codecs, track, direction }
}

/// Applies the answer to an offer of one video section.
fn apply(codecs: &[OfferedCodec], answer: &str) -> Result<Negotiated, SdpError> {
    let track = track();
    let sections = [OfferedSection { mid: "0", media: video(codecs, Some(&track)) }];
    apply_answer(&sections, &parse(answer)?)
}

/// Applies the answer and returns what is agreed on.
fn agreed(
    codecs: &[OfferedCodec],
    answer: &str,
) -> Result<(NegotiatedTransport, NegotiatedSection), SdpError> {
    let Negotiated { mut transports, mut sections } = apply(codecs, answer)?;
    Ok((transports.remove(0), sections.remove(0)))
}

fn try_answer(
    offer: &str,
    codecs: &[OfferedCodec],
    setup: Setup,
    track: Option<&TrackIds>,
) -> Result<Answer, SdpError> {
    let candidates = ["candidate:2 1 udp 2130706431 192.0.2.2 5000 typ host".to_owned()];
    let media = [video(codecs, track)];
    let transports = [LocalTransport { candidates: &candidates, ..OURS }];
    let config = AnswerConfig { setup, media: &media, transports: &transports, ..answer_config() };
    answer(&parse(offer)?, &config)
}

/// The gateway's side of a transport.
const OURS: LocalTransport<'static> = LocalTransport {
    ufrag: "wxyz",
    pwd: "FEDCBA9876543210fedcba",
    candidates: &[],
    end_of_candidates: true,
};

fn answer_config() -> AnswerConfig<'static> {
    AnswerConfig {
        session_id: 78,
        version: 1,
        transports: &[OURS],
        fingerprint: Fingerprint([0xcd; 32]),
        setup: Setup::Passive,
        media: &[],
    }
}

#[test]
fn offered_profiles_are_those_that_browsers_accept() {
    type Case<'a> = (&'a str, Option<Profile>, &'a [&'a str]);
    let table: [Case<'_>; 11] = [
        ("unknown", None, &["42e01f"]),
        ("Constrained Baseline, level 3", h264([0x42, 0xc0, 0x1e]), &["42e01f"]),
        ("Constrained Baseline, level 4", h264([0x42, 0xe0, 0x28]), &["42e028"]),
        ("Baseline", h264([0x42, 0x00, 0x1f]), &["42001f", "42e01f"]),
        ("Main", h264([0x4d, 0x40, 0x29]), &["4d0029", "42e01f"]),
        ("Main that is Constrained Baseline", h264([0x4d, 0x80, 0x1e]), &["42e01f"]),
        ("Extended", h264([0x58, 0x00, 0x1e]), &["58001f", "42e01f"]),
        ("High", HIGH, &["640028", "42e01f"]),
        ("Constrained High", h264([0x64, 0x0c, 0x33]), &["640c33", "42e01f"]),
        ("High 4:4:4", h264([0xf4, 0x00, 0x28]), &["f40028", "42e01f"]),
        ("High 10, which has no canonical form", h264([0x6e, 0x10, 0x28]), &["6e1028", "42e01f"]),
    ];
    for (case, profile, expected) in table {
        let offered = offered_codecs(Codec::H264, profile);
        let ids: Vec<_> =
            offered.iter().map(|c| c.fmtp.rsplit_once('=').unwrap().1.to_owned()).collect();
        assert_eq!(ids, expected, "{case}");
        for (codec, payload_type) in offered.iter().zip((96..).step_by(2)) {
            assert_eq!(codec.payload_type, payload_type);
            assert_eq!(codec.rtx_payload_type, Some(payload_type + 1));
            assert!(codec.fmtp.contains("level-asymmetry-allowed=1;packetization-mode=1;"));
        }
    }
    assert_eq!(offered_codecs(Codec::H265, None).len(), 1);
}

#[test]
fn an_offer_is_parsed_back() {
    let codecs = offered_codecs(Codec::H264, HIGH);
    let description = parse(&offer_of(&codecs, 3)).unwrap();
    assert_eq!(description.session, (77, 3));
    assert_eq!(description.bundles, [["0"]]);
    assert!(description.trickle);
    let [section] = description.sections.as_slice() else { panic!("one section") };
    assert_eq!((section.media.as_str(), section.port), ("video", 9));
    assert_eq!(section.protocol, "UDP/TLS/RTP/SAVPF");
    assert_eq!(section.formats, ["96", "97", "98", "99"]);
    assert_eq!(section.mid.as_deref(), Some("0"));
    assert_eq!(section.direction, Direction::SendOnly);
    assert_eq!(section.ufrag.as_deref(), Some("abcd"));
    assert_eq!(section.pwd.as_deref(), Some("0123456789abcdefABCDEF"));
    assert_eq!(section.fingerprint, Some(Fingerprint([0xab; 32])));
    assert_eq!(section.setup, Some(Setup::ActPass));
    assert!(section.rtcp_mux);
    assert_eq!(section.extension(EXTENSION_MID), Some(1));
    assert_eq!(section.extension(EXTENSION_PLAYOUT_DELAY), Some(2));
    assert_eq!(section.extension(EXTENSION_TRANSPORT_CC), Some(3));
    assert_eq!((section.ssrc, section.rtx_ssrc), (Some(1111), Some(2222)));
    assert_eq!(section.candidates, ["candidate:1 1 udp 2130706431 192.0.2.1 5000 typ host"]);
    assert_eq!(section.codecs.len(), 4);
    assert_eq!(section.codecs[2].parameter("profile-level-id"), Some("42e01f"));
    assert_eq!(section.codecs[3].parameter("apt"), Some("98"));
    for feedback in ["nack pli", "transport-cc", "goog-remb"] {
        assert!(section.codecs[2].has_feedback(feedback), "{feedback}");
    }
}

#[test]
fn a_restart_changes_version_and_credentials_only() {
    let codecs = offered_codecs(Codec::H264, None);
    let first = offer_of(&codecs, 1);
    let restarted = offer_of(&codecs, 2).replace("abcd\r", "efgh\r");
    let [first, mut second] = [first, restarted].map(|text| parse(&text).unwrap());
    assert_eq!(second.session, (77, 2));
    assert_eq!(second.sections[0].ufrag.as_deref(), Some("efgh"));
    second.session = first.session;
    second.sections[0].ufrag = first.sections[0].ufrag.clone();
    assert_eq!(first, second);
}

#[test]
fn answers_of_other_projects_are_applied() {
    let h264 = offered_codecs(Codec::H264, HIGH);
    let (transport, chromium) = agreed(&h264, CHROMIUM_ANSWER).unwrap();
    assert_eq!((chromium.payload_type, chromium.rtx_payload_type), (98, Some(99)));
    assert_eq!((chromium.mid_extension, chromium.playout_delay_extension), (Some(1), Some(2)));
    assert_eq!((chromium.nack, chromium.pli, chromium.fir), (true, true, true));
    assert_eq!(transport.role, DtlsRole::Server);
    assert_eq!(transport.remote.setup, Setup::Active);
    assert!(transport.trickle && !transport.ice_lite && !transport.end_of_candidates);
    assert_eq!(transport.remote_candidates.len(), 2);
    assert!(transport.remote_candidates.iter().all(|c| c.starts_with("candidate:")));

    let (transport, aiortc) = agreed(&h264, AIORTC).unwrap();
    assert_eq!((aiortc.payload_type, aiortc.rtx_payload_type), (98, Some(99)));
    assert_eq!((aiortc.mid_extension, aiortc.playout_delay_extension), (Some(1), None));
    assert_eq!((aiortc.nack, aiortc.pli, aiortc.fir), (true, true, false));
    assert!(!transport.trickle && transport.end_of_candidates);
    assert_eq!(transport.remote.ufrag, "RqTz");
    assert_eq!(aiortc.remote_ssrc, Some(3_371_240_592));
}

fn cannot_play(codec: Codec) -> SdpError {
    let player = "the player cannot play it".to_owned();
    SdpError::NoCommonCodec { sends: codec.to_string(), player }
}

#[test]
fn unusable_answers_are_refused_with_the_reason() {
    let h264 = offered_codecs(Codec::H264, HIGH);
    let h265 = offered_codecs(Codec::H265, None);
    let edit = |from: &str, to: &str| CHROMIUM_ANSWER.replace(from, to);
    let fingerprint = CHROMIUM_ANSWER.lines().find(|l| l.starts_with("a=fingerprint")).unwrap();
    let table = [
        ("refused", &h265, CHROMIUM_ANSWER_H265.to_owned(), cannot_play(Codec::H265)),
        ("other codec", &h264, edit("H264/90000", "VP8/90000"), cannot_play(Codec::H264)),
        ("no mux", &h264, edit("a=rtcp-mux\r\n", ""), SdpError::NoRtcpMux),
        ("no credentials", &h264, edit("a=ice-ufrag:", "a=x:"), SdpError::Missing("a=ice-ufrag")),
        (
            "SHA-1",
            &h264,
            edit(fingerprint, "a=fingerprint:sha-1 00:11"),
            SdpError::Missing("a=fingerprint line with SHA-256"),
        ),
        ("actpass", &h264, edit("setup:active", "setup:actpass"), SdpError::Setup),
        ("inactive", &h264, edit("a=recvonly", "a=inactive"), SdpError::Direction),
        ("more sections", &h264, CHROMIUM_ALL.to_owned(), SdpError::Sections),
    ];
    for (case, codecs, text, expected) in table {
        assert_eq!(apply(codecs, &text), Err(expected), "{case}");
    }
    let sentence = cannot_play(Codec::H265).to_string();
    assert_eq!(sentence, "the camera sends H.265; the player cannot play it");
}

/// Payload type, mid, transport mid, `m=` lines of the answer and its group.
type Expected<'a> = (u8, &'a str, &'a str, &'a [&'a str], &'a str);

#[test]
fn every_offered_section_is_answered_in_order() {
    let table: [(&str, &str, Expected<'_>); 5] = [
        ("video alone", CHROMIUM_VIDEO, (108, "0", "0", &["m=video 9"], "0")),
        (
            "audio first, data last",
            CHROMIUM_ALL,
            (108, "1", "0", &["m=audio 9", "m=video 9", "m=application 9"], "0 1 2"),
        ),
        ("max-bundle", CHROMIUM_MAX_BUNDLE, (108, "1", "0", &["m=audio 9", "m=video 9"], "0 1")),
        (
            "Firefox",
            FIREFOX_ALL,
            (126, "1", "0", &["m=audio 9", "m=video 9", "m=application 9"], "0 1 2"),
        ),
        ("GStreamer", GSTREAMER, (96, "video0", "video0", &["m=video 9"], "video0")),
    ];
    for (case, offer, (payload_type, mid, transport_mid, lines, group)) in table {
        let codecs = offered_codecs(Codec::H264, HIGH);
        let answer = try_answer(offer, &codecs, Setup::Passive, Some(&track())).unwrap();
        assert_eq!(answer.negotiated.sections[0].payload_type, payload_type, "{case}");
        assert_eq!(answer.negotiated.sections[0].mid.as_deref(), Some(mid), "{case}");
        assert_eq!(answer.negotiated.transports[0].mid.as_deref(), Some(transport_mid), "{case}");
        assert_eq!(answer.negotiated.transports[0].role, DtlsRole::Server, "{case}");
        let media: Vec<_> = answer.text.lines().filter(|l| l.starts_with("m=")).collect();
        assert_eq!(media.len(), lines.len(), "{case}");
        for (line, start) in media.iter().zip(lines) {
            assert!(line.starts_with(&format!("{start} ")), "{case}: {line}");
        }
        assert!(answer.text.contains(&format!("a=group:BUNDLE {group}\r\n")), "{case}");
        let read = parse(&answer.text).unwrap();
        assert!(read.trickle, "{case}");
        assert_eq!(read.sections.iter().map(|s| s.candidates.len()).sum::<usize>(), 1, "{case}");
        let video = read.sections.iter().find(|s| s.media == "video").unwrap();
        assert_eq!(video.direction, Direction::SendOnly, "{case}");
        assert_eq!(video.setup, Some(Setup::Passive), "{case}");
        assert_eq!(video.codecs.len(), 2, "{case}");
        let offered = parse(offer).unwrap();
        for (ours, theirs) in read.sections.iter().zip(&offered.sections) {
            assert_eq!(ours.mid, theirs.mid, "{case}");
            assert_eq!(ours.protocol, theirs.protocol, "{case}");
        }
    }
}

#[test]
fn an_answer_has_the_feedback_about_the_path_that_the_offer_has() {
    let without = |name: &str| {
        let lines = CHROMIUM_VIDEO.lines().filter(|line| !line.contains(name));
        lines.flat_map(|line| [line, "\r\n"]).collect::<String>()
    };
    let (no_extension, no_feedback) = (without("transport-wide-cc"), without("transport-cc"));
    for (case, offer, numbered, remb) in [
        ("Chromium", CHROMIUM_VIDEO, true, true),
        ("Firefox", FIREFOX_ALL, false, true),
        ("GStreamer", GSTREAMER, false, false),
        ("numbers without reports", &no_feedback, false, true),
        ("reports without numbers", &no_extension, false, true),
    ] {
        let codecs = offered_codecs(Codec::H264, None);
        let answer = try_answer(offer, &codecs, Setup::Passive, Some(&track())).unwrap();
        let section = &answer.negotiated.sections[0];
        assert_eq!(section.transport_cc_extension.is_some(), numbered, "{case}");
        assert_eq!(section.remb, remb, "{case}");
        let parts = [
            (format!("extmap:{}", section.transport_cc_extension.unwrap_or(0)), numbered),
            ("transport-cc\r\n".to_owned(), numbered),
            ("goog-remb\r\n".to_owned(), remb),
        ];
        for (part, expected) in parts {
            assert_eq!(answer.text.contains(&part), expected, "{case}: {part}");
        }
    }
}

#[test]
fn the_best_of_the_offered_codecs_is_chosen() {
    let table = [
        ("High", HIGH, 108),
        ("Constrained Baseline", h264([0x42, 0xe0, 0x1f]), 108),
        ("Baseline", h264([0x42, 0x00, 0x1f]), 102),
        ("Main", h264([0x4d, 0x00, 0x28]), 116),
        ("High 4:4:4", h264([0xf4, 0x00, 0x28]), 41),
        ("unknown", None, 108),
    ];
    for (case, profile, expected) in table {
        let codecs = offered_codecs(Codec::H264, profile);
        let answer = try_answer(CHROMIUM_VIDEO, &codecs, Setup::Passive, Some(&track())).unwrap();
        assert_eq!(answer.negotiated.sections[0].payload_type, expected, "{case}");
    }
}

#[test]
fn the_handshake_has_one_client() {
    let table = [
        ("actpass", Setup::Passive, Setup::Passive, DtlsRole::Server),
        ("actpass", Setup::Active, Setup::Active, DtlsRole::Client),
        ("active", Setup::Active, Setup::Passive, DtlsRole::Server),
        ("passive", Setup::Passive, Setup::Active, DtlsRole::Client),
    ];
    for (offered, preferred, expected, role) in table {
        let offer = CHROMIUM_VIDEO.replace("setup:actpass", &format!("setup:{offered}"));
        let codecs = offered_codecs(Codec::H264, None);
        let answer = try_answer(&offer, &codecs, preferred, Some(&track())).unwrap();
        assert_eq!(answer.negotiated.transports[0].role, role, "{offered}, {preferred:?}");
        let line = format!("a=setup:{}\r\n", expected.as_str());
        assert!(answer.text.contains(&line), "{offered}, {preferred:?}");
        // The peer takes the opposite role.
        let (negotiated, _) = agreed(&codecs, &answer.text).unwrap();
        assert_ne!(negotiated.role, role);
    }
}

#[test]
fn unusable_offers_are_refused_with_the_reason() {
    let h264 = offered_codecs(Codec::H264, HIGH);
    let h265 = offered_codecs(Codec::H265, None);
    let edit = |from: &str, to: &str| CHROMIUM_VIDEO.replace(from, to);
    let no_common = SdpError::NoCommonCodec {
        sends: "H.265".to_owned(),
        player: "the player offers VP8, VP9, H.264 and AV1".to_owned(),
    };
    let table = [
        ("no H.265", &h265, CHROMIUM_VIDEO.to_owned(), no_common),
        ("no video", &h264, edit("m=video", "m=audio"), SdpError::NoVideo),
        ("rejected video", &h264, edit("m=video 9", "m=video 0"), SdpError::NoVideo),
        ("it sends only", &h264, edit("a=recvonly", "a=sendonly"), SdpError::Direction),
        ("no mux", &h264, edit("a=rtcp-mux\r\n", ""), SdpError::NoRtcpMux),
    ];
    for (case, codecs, text, expected) in table {
        let answer = try_answer(&text, codecs, Setup::Passive, Some(&track()));
        assert_eq!(answer.map(|a| a.text), Err(expected), "{case}");
    }
}

#[test]
fn our_viewer_answers_our_gateway() {
    let codecs = offered_codecs(Codec::H264, HIGH);
    let offer = offer_of(&codecs, 1);
    let answer = try_answer(&offer, &codecs, Setup::Active, None).unwrap();
    let [video] = answer.negotiated.sections.as_slice() else { panic!("one section") };
    assert_eq!((video.remote_ssrc, video.remote_rtx_ssrc), (Some(1111), Some(2222)));
    assert_eq!((video.payload_type, video.rtx_payload_type), (96, Some(97)));
    assert_eq!(answer.negotiated.transports[0].role, DtlsRole::Client);
    let (transport, video) = agreed(&codecs, &answer.text).unwrap();
    assert_eq!(transport.role, DtlsRole::Server);
    assert_eq!((video.payload_type, video.rtx_payload_type), (96, Some(97)));
    assert_eq!(transport.remote.fingerprint, Fingerprint([0xcd; 32]));
    assert_eq!(video.remote_ssrc, None);
    assert!(transport.end_of_candidates);
}

#[test]
fn a_section_on_another_ones_transport_is_found() {
    let codecs = offered_codecs(Codec::H264, HIGH);
    let at = CHROMIUM_MAX_BUNDLE.find("m=video").unwrap();
    let (head, video) = CHROMIUM_MAX_BUNDLE.split_at(at);
    let strict: String = video
        .replace("m=video 9", "m=video 0")
        .split_inclusive('\n')
        .filter(|line| {
            !["a=ice-", "a=fingerprint", "a=setup"].iter().any(|start| line.starts_with(start))
        })
        .collect();
    let offer = format!("{head}{strict}a=bundle-only\r\n");
    let answer = try_answer(&offer, &codecs, Setup::Passive, Some(&track())).unwrap();
    assert_eq!(answer.negotiated.transports[0].remote.ufrag, "NMQq");
    assert_eq!(answer.negotiated.transports[0].mid.as_deref(), Some("0"));
}

#[test]
fn what_no_peer_needs_is_refused() {
    let with_lines = |line: &str, count: usize| {
        format!("{CHROMIUM_VIDEO}{}", format!("{line}\r\n").repeat(count))
    };
    let line = CHROMIUM_VIDEO.lines().count() + 1;
    let malformed = |reason| SdpError::Malformed { line, reason };
    let table = [
        (
            "size",
            with_lines("a=x", MAX_SIZE),
            SdpError::TooLarge(CHROMIUM_VIDEO.len() + MAX_SIZE * 5),
        ),
        (
            "sections",
            with_lines("m=video 9 X 1", MAX_SECTIONS),
            SdpError::TooMany { what: "sections", limit: MAX_SECTIONS },
        ),
        (
            "a long mid",
            with_lines(&format!("a=mid:{}", "m".repeat(65)), 1),
            malformed("a mid is a token of at most 64 letters"),
        ),
        (
            "a short ufrag",
            with_lines("a=ice-ufrag:abc", 1),
            malformed("an a=ice-ufrag has 4 to 256 ICE characters"),
        ),
        (
            "a short fingerprint",
            with_lines("a=fingerprint:sha-256 AB:CD", 1),
            malformed("a SHA-256 fingerprint has 32 bytes"),
        ),
        ("no version", "o=-".to_owned(), SdpError::Malformed { line: 1, reason: "it must be v=0" }),
        ("nothing", "v=0\r\n".to_owned(), SdpError::NoVideo),
    ];
    for (case, text, expected) in table {
        assert_eq!(parse(&text), Err(expected), "{case}");
    }
}

#[test]
fn fragments_have_the_bounds_of_a_description() {
    let credentials = "a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n";
    let section = "m=video 9 X 0\r\na=mid:0\r\n";
    let most = format!("{credentials}{}", section.repeat(MAX_SECTIONS));
    assert_eq!(parse_fragment(&most).unwrap().sections.len(), MAX_SECTIONS);
    for (case, text, expected) in [
        ("size", format!("{most}{}", "a=x\r\n".repeat(MAX_SIZE)), None),
        (
            "sections",
            format!("{most}{section}"),
            Some(SdpError::TooMany { what: "sections", limit: MAX_SECTIONS }),
        ),
        (
            "candidates",
            "a=candidate:1\r\n".to_owned(),
            Some(SdpError::Fragment(FragmentError::Candidate)),
        ),
    ] {
        let expected = expected.unwrap_or(SdpError::TooLarge(text.len()));
        assert_eq!(parse_fragment(&text), Err(expected), "{case}");
    }
}

/// Removes lines, duplicates them, truncates them and inserts letters.
fn mutated(text: &str, edits: &[(usize, u8, usize, char)]) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for &(line, edit, at, letter) in edits {
        let index = line % lines.len().max(1);
        let Some(line) = lines.get_mut(index) else { break };
        let at = (0..=at.min(line.len())).rev().find(|at| line.is_char_boundary(*at)).unwrap_or(0);
        match edit {
            0 => drop(lines.remove(index)),
            1 => {
                let copy = line.clone();
                lines.push(copy);
            }
            2 => line.truncate(at),
            3 => line.insert(at, letter),
            _ => line.replace_range(at.., "99999999999999999999999"),
        }
    }
    lines.join("\r\n")
}

proptest! {
    #[test]
    fn mutated_descriptions_are_read_or_refused(
        sample in 0..SAMPLES.len(),
        edits in prop::collection::vec(
            (any::<usize>(), 0_u8..5, 0_usize..80, any::<char>()),
            0..40,
        ),
    ) {
        let text = mutated(SAMPLES[sample], &edits);
        let _ = parse_fragment(&text);
        let codecs = offered_codecs(Codec::H264, HIGH);
        let _ = apply(&codecs, &text);
        // Every answer can be parsed, and no value of the offer adds lines to it.
        if let Ok(answer) = try_answer(&text, &codecs, Setup::Passive, Some(&track())) {
            let read = parse(&answer.text).unwrap();
            prop_assert_eq!(read.sections.len(), parse(&text).unwrap().sections.len());
            prop_assert!(!answer.text.replace("\r\n", "").contains(['\r', '\n']));
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in ".{0,400}") {
        let _ = parse(&text);
        let _ = parse(&format!("v=0\n{text}"));
        let _ = parse_fragment(&text);
    }
}
