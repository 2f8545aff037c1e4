//! Descriptions that say the same in other words, and more of it than is read.

use super::*;

/// Returns the negotiation of an offer with the stream of a High profile camera.
fn negotiated(offer: &str) -> Negotiated {
    let codecs = offered_codecs(Codec::H264, HIGH);
    let answer = try_answer(offer, &codecs, Setup::Passive, Some(&track()));
    answer.unwrap_or_else(|error| panic!("{error} in\n{offer}")).negotiated
}

/// Replaces a text that must be there.
fn edit(from: &str, to: &str) -> String {
    assert!(CHROMIUM_VIDEO.contains(from), "{from}");
    CHROMIUM_VIDEO.replace(from, to)
}

#[test]
fn an_offer_is_understood_in_any_spelling() {
    let expected = negotiated(CHROMIUM_VIDEO);
    let setup = edit("a=setup:actpass", "a=setup:ACTPASS");
    let table = [
        ("blanks at the ends of lines", edit("\r\n", " \r\n")),
        ("tabs at the ends of lines", edit("\r\n", "\t\r\n")),
        ("LF only", edit("\r\n", "\n")),
        ("empty lines", edit("\r\n", "\r\n\r\n")),
        ("no final line end", CHROMIUM_VIDEO.trim_end().to_owned()),
        ("a byte order mark", format!("\u{feff}{CHROMIUM_VIDEO}")),
        ("blanks after colons", edit("a=mid:", "a=mid: ").replace("a=rtpmap:", "a=rtpmap: ")),
        ("blanks before the value of fmtp", edit("profile-level-id", "  profile-level-id")),
        ("the hash in capitals", edit("fingerprint:sha-256 ", "fingerprint:SHA-256  ")),
        ("the role in capitals", setup),
        ("names of attributes in capitals", edit("a=rtcp-mux", "a=RTCP-MUX")),
        ("the codec in small letters", edit("H264/90000", "h264/90000")),
        ("the group in small letters", edit("group:BUNDLE", "group:bundle")),
        ("two blanks in the m= line", edit("m=video 9 ", "m=video  9  ")),
        ("only rtcp-mux-only", edit("a=rtcp-mux\r\n", "a=rtcp-mux-only\r\n")),
        ("an origin without numbers", edit("o=-", "o=porthole viewer one")),
        ("lines that mean nothing", edit("s=-", "s=-\r\nhello\r\na=\r\n=\r\na=x\u{7}y\r\nk=clear")),
        ("half an rtpmap", edit("a=rtcp-mux\r\n", "a=rtcp-mux\r\na=rtpmap:120 X\r\n")),
        (
            "half an extmap",
            edit("a=rtcp-mux\r\n", "a=rtcp-mux\r\na=extmap:x\r\na=extmap:900 y\r\n"),
        ),
        (
            "half an ssrc",
            edit("a=rtcp-mux\r\n", "a=rtcp-mux\r\na=ssrc:x y\r\na=ssrc-group:FID 1\r\n"),
        ),
    ];
    for (case, offer) in table {
        assert_eq!(negotiated(&offer), expected, "{case}");
    }
}

#[test]
fn every_protocol_of_secure_rtp_is_answered_as_it_was_offered() {
    for protocol in [
        "UDP/TLS/RTP/SAVPF",
        "UDP/TLS/RTP/SAVP",
        "RTP/SAVPF",
        "TCP/TLS/RTP/SAVPF",
        "TCP/DTLS/RTP/SAVPF",
    ] {
        let offer = edit("UDP/TLS/RTP/SAVPF", protocol);
        let codecs = offered_codecs(Codec::H264, HIGH);
        let answer = try_answer(&offer, &codecs, Setup::Passive, Some(&track())).unwrap();
        assert!(answer.text.contains(&format!("m=video 9 {protocol} ")), "{}", answer.text);
    }
}

#[test]
fn feedback_for_all_codecs_holds_wherever_it_stands() {
    let without: String = CHROMIUM_VIDEO
        .split_inclusive('\n')
        .filter(|line| !line.starts_with("a=rtcp-fb"))
        .collect();
    let wildcard = "a=rtcp-fb:* nack\r\na=rtcp-fb:* nack  pli\r\n";
    let (head, tail) = without.split_at(without.find("a=rtpmap").unwrap());
    for (case, offer) in [
        ("before the codecs", format!("{head}{wildcard}{tail}")),
        ("after the codecs", format!("{without}{wildcard}")),
    ] {
        let codecs = offered_codecs(Codec::H264, HIGH);
        let answer = try_answer(&offer, &codecs, Setup::Passive, Some(&track())).unwrap();
        let [video] = answer.negotiated.sections.as_slice() else { panic!("one section") };
        assert_eq!((video.nack, video.pli, video.fir), (true, true, false), "{case}");
        for feedback in ["nack", "nack pli"] {
            let line = format!("a=rtcp-fb:{} {feedback}\r\n", video.payload_type);
            assert!(answer.text.contains(&line), "{case}");
        }
    }
}

/// Returns the candidates of a host with this many bridges: IPv4, link-local IPv6, TCP.
fn candidates_of_bridges(bridges: usize) -> String {
    let lines = (0..bridges).map(|bridge| {
        let (v4, v6) = (format!("172.{}.0.1", 16 + bridge), format!("fe80::{bridge:x}"));
        format!(
            "a=candidate:{bridge} 1 udp 2130706431 {v4} 40000 typ host\r\n\
             a=candidate:{bridge} 1 TCP 1671430143 {v4} 9 typ host tcptype active\r\n\
             a=candidate:{bridge} 1 TCP 1671430143 {v4} 40001 typ host tcptype passive\r\n\
             a=candidate:{bridge} 1 UDP 2130706431 {v6} 40000 typ host\r\n\
             a=candidate:{bridge} 1 TCP 1671430143 {v6} 9 typ host tcptype active\r\n\
             a=candidate:{bridge} 1 TCP 1671430143 {v6} 40001 typ host tcptype passive\r\n"
        )
    });
    lines.collect()
}

#[test]
fn many_candidates_do_not_refuse_an_offer() {
    let bridges = candidates_of_bridges(14);
    assert_eq!(bridges.lines().count(), 84);
    let last = "a=candidate:9 1 udp 1 192.0.2.9 9 typ relay raddr 0.0.0.0 rport 0\r\n";
    let alone = format!("{CHROMIUM_VIDEO}{bridges}{last}");
    let at = CHROMIUM_MAX_BUNDLE.find("m=video").unwrap();
    let (audio, video) = CHROMIUM_MAX_BUNDLE.split_at(at);
    let known = |offer: &str| negotiated(offer).transports[0].remote_candidates.len();
    for (case, before, offer) in [
        ("in one section", CHROMIUM_VIDEO, alone),
        ("in two sections", CHROMIUM_MAX_BUNDLE, format!("{audio}{bridges}{video}{bridges}{last}")),
    ] {
        assert_eq!(known(&offer), known(before) + 28 + 1, "{case}");
    }
    let far_too_many: String = (0..1000)
        .map(|port| format!("a=candidate:1 1 udp 1 192.0.2.1 {port} typ host\r\n"))
        .collect();
    assert_eq!(known(&format!("{CHROMIUM_VIDEO}{far_too_many}")), MAX_CANDIDATES);
}

#[test]
fn lists_that_are_too_long_are_trimmed() {
    let lines = |line: &dyn Fn(usize) -> String| {
        (0..400).map(|index| format!("{}\r\n", line(index))).collect::<String>()
    };
    let expected = negotiated(CHROMIUM_VIDEO);
    let groups = lines(&|index| format!("a=group:BUNDLE x{index} y"));
    let formats = (0..100).map(|format| format!(" {format}")).collect::<String>();
    let m_line = CHROMIUM_VIDEO.lines().find(|line| line.starts_with("m=video")).unwrap();
    let long = format!("a=candidate:{}", "1".repeat(MAX_CANDIDATE_LEN + 1));
    let table = [
        (
            "extensions",
            format!("{CHROMIUM_VIDEO}{}", lines(&|index| format!("a=extmap:{index} x"))),
        ),
        (
            "feedback",
            format!("{CHROMIUM_VIDEO}{}", lines(&|index| format!("a=rtcp-fb:96 {index}"))),
        ),
        (
            "sources",
            format!("{CHROMIUM_VIDEO}{}", lines(&|index| format!("a=ssrc-group:FEC {index}"))),
        ),
        (
            "codecs",
            format!(
                "{CHROMIUM_VIDEO}{}",
                lines(&|index| format!("a=rtpmap:{} X/1", 50 + index % 40))
            ),
        ),
        ("groups", edit("a=extmap-allow-mixed", &format!("a=x\r\n{groups}"))),
        ("formats", edit(m_line, &format!("{m_line}{formats}"))),
        ("a long candidate", format!("{CHROMIUM_VIDEO}{long}\r\n")),
    ];
    for (case, offer) in table {
        let negotiated = negotiated(&offer);
        assert_eq!(
            negotiated.sections[0].payload_type, expected.sections[0].payload_type,
            "{case}"
        );
        assert_eq!(negotiated.transports[0], expected.transports[0], "{case}");
    }
}

#[test]
fn long_format_parameters_are_cut_between_parameters() {
    let sets = format!("profile-level-id=42e01f;sprop-parameter-sets={}", "A".repeat(3000));
    let offer = edit("profile-level-id=42e01f", &sets);
    let chosen = negotiated(&offer).sections[0].payload_type;
    assert_eq!(chosen, negotiated(CHROMIUM_VIDEO).sections[0].payload_type);
    let read = parse(&offer).unwrap();
    assert!(read.sections[0].codecs.iter().all(|codec| codec.fmtp.len() <= 2048));
}

#[test]
fn what_is_said_about_ice_is_passed_on() {
    let plain = &negotiated(CHROMIUM_VIDEO).transports[0];
    assert!(!plain.ice2 && !plain.ice_lite);
    assert_eq!(plain.ice_pacing, None);
    let said =
        edit("t=0 0", "t=0 0\r\na=ice-lite\r\na=ice-options:ice2 rtp+ecn\r\na=ice-pacing:120");
    let transport = &negotiated(&said).transports[0];
    assert!(transport.ice2 && transport.ice_lite && transport.trickle);
    assert_eq!(transport.ice_pacing, Some(std::time::Duration::from_millis(120)));
    for odd in ["a=ice-pacing:fast", "a=ice-pacing:99999999999", "a=ice-pacing:-1"] {
        let transport = &negotiated(&edit("t=0 0", &format!("t=0 0\r\n{odd}"))).transports[0];
        assert_eq!(transport.ice_pacing, None, "{odd}");
    }
    let ours = offer_of(&offered_codecs(Codec::H264, HIGH), 1);
    for line in ["a=ice-options:trickle ice2\r\n", "a=ice-pacing:20\r\n", "a=rtcp-mux-only\r\n"] {
        assert_eq!(ours.matches(line).count(), 1, "{line}");
    }
}

#[test]
fn an_answer_does_not_say_rtcp_mux_only() {
    let offer = edit("a=rtcp-mux\r\n", "a=rtcp-mux\r\na=rtcp-mux-only\r\n");
    let codecs = offered_codecs(Codec::H264, HIGH);
    let answer = try_answer(&offer, &codecs, Setup::Passive, Some(&track())).unwrap().text;
    assert!(answer.contains("a=rtcp-mux\r\n") && !answer.contains("a=rtcp-mux-only"), "{answer}");
}
