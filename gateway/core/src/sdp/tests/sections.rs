//! Offers with sections beside the video, in any order, bundled or not.

use super::*;

const TRANSPORT: &str = "a=ice-ufrag:NMQq\r\na=ice-pwd:0123456789abcdefABCDEF01\r\n";
const VIDEO: &str = "m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\nc=IN IP4 0.0.0.0\r\na=mid:video\r\n\
    a=recvonly\r\na=rtcp-mux\r\na=rtpmap:96 H264/90000\r\n\
    a=fmtp:96 packetization-mode=1;profile-level-id=42e01f\r\na=rtpmap:97 rtx/90000\r\n\
    a=fmtp:97 apt=96\r\n";
const AUDIO: &str = "m=audio 9 UDP/TLS/RTP/SAVPF 111 0\r\nc=IN IP4 0.0.0.0\r\na=mid:audio\r\n\
    a=recvonly\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\na=fmtp:111 useinbandfec=1\r\n";
const DATA: &str = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\n\
    a=mid:data\r\na=sctp-port:5000\r\n";
const TEXT: &str = "m=text 9 UDP/TLS/RTP/SAVPF 98\r\nc=IN IP4 0.0.0.0\r\na=mid:text\r\n\
    a=rtcp-mux\r\na=rtpmap:98 t140/1000\r\n";

/// Returns an offer of these sections, each with its transport.
fn offer_with(sections: &[&str], group: Option<&str>) -> String {
    let fingerprint = CHROMIUM_VIDEO.lines().find(|l| l.starts_with("a=fingerprint")).unwrap();
    let group = group.map(|mids| format!("a=group:BUNDLE {mids}\r\n")).unwrap_or_default();
    let mut text = format!("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n{group}");
    for section in sections {
        text += &format!("{section}{TRANSPORT}{fingerprint}\r\na=setup:actpass\r\n");
    }
    text
}

fn answer_to(offer: &str) -> (Negotiated, String) {
    let codecs = offered_codecs(Codec::H264, HIGH);
    let answer = try_answer(offer, &codecs, Setup::Passive, Some(&track()));
    let answer = answer.unwrap_or_else(|error| panic!("{error} in\n{offer}"));
    (answer.negotiated, answer.text)
}

/// Returns the text of each section of a description.
fn sections_of(text: &str) -> Vec<String> {
    text.split("\r\nm=").skip(1).map(|section| format!("m={section}\r\n")).collect()
}

#[test]
fn an_idle_section_of_the_bundle_stays_in_it_in_any_order() {
    let orders: [&[&str]; 6] = [
        &["video", "audio", "data"],
        &["video", "data", "audio"],
        &["audio", "video", "data"],
        &["audio", "data", "video"],
        &["data", "video", "audio"],
        &["data", "audio", "video"],
    ];
    for order in orders {
        let text = |mid: &&str| match *mid {
            "video" => VIDEO,
            "audio" => AUDIO,
            _ => DATA,
        };
        let offered: Vec<_> = order.iter().map(text).collect();
        let (negotiated, answer) = answer_to(&offer_with(&offered, Some(&order.join(" "))));
        assert!(answer.contains(&format!("a=group:BUNDLE {}\r\n", order.join(" "))), "{answer}");
        assert_eq!(negotiated.transports[0].mid.as_deref(), Some(order[0]), "{order:?}");
        assert_eq!(negotiated.sections.len(), 1);
        let sections = sections_of(&answer);
        assert_eq!(sections.len(), 3, "{order:?}");
        for (index, (section, mid)) in sections.iter().zip(order).enumerate() {
            let expected = match *mid {
                "video" => ["m=video 9 ", "a=sendonly\r\n", "a=rtpmap:96 H264/90000\r\n"],
                "audio" => ["m=audio 9 ", "a=inactive\r\n", "a=rtpmap:111 opus/48000/2\r\n"],
                _ => ["m=application 9 ", "webrtc-datachannel\r\n", "a=sctp-port:5000\r\n"],
            };
            for part in expected {
                assert!(section.contains(part), "{order:?}: {part} is not in\n{section}");
            }
            // The first section of the group has the candidates (RFC 9143 §7.2.1).
            assert_eq!(section.matches("a=candidate").count(), usize::from(index == 0));
            assert_eq!(section.matches("a=end-of-candidates").count(), usize::from(index == 0));
        }
    }
}

#[test]
fn a_section_outside_of_the_bundle_is_rejected() {
    type Case = (
        &'static str,
        &'static [&'static str],
        Option<&'static str>,
        &'static [&'static str],
        Option<&'static str>,
    );
    let table: [Case; 7] = [
        ("no bundle", &[VIDEO, AUDIO], None, &["video 9", "audio 0"], None),
        ("no bundle, audio first", &[AUDIO, VIDEO], None, &["audio 0", "video 9"], None),
        ("no bundle, data", &[DATA, VIDEO], None, &["application 0", "video 9"], None),
        (
            "audio beside the bundle",
            &[AUDIO, VIDEO, DATA],
            Some("video data"),
            &["audio 0", "video 9", "application 9"],
            Some("video data"),
        ),
        (
            "a bundle of the others",
            &[AUDIO, DATA, VIDEO],
            Some("audio data"),
            &["audio 0", "application 0", "video 9"],
            None,
        ),
        (
            "unknown media",
            &[TEXT, VIDEO],
            Some("text video"),
            &["text 0", "video 9"],
            Some("video"),
        ),
        (
            "a bundle in another order",
            &[AUDIO, VIDEO],
            Some("video audio"),
            &["audio 9", "video 9"],
            Some("video audio"),
        ),
    ];
    for (case, offered, group, lines, expected) in table {
        let (negotiated, answer) = answer_to(&offer_with(offered, group));
        let sections = sections_of(&answer);
        for (section, line) in sections.iter().zip(lines) {
            assert!(section.starts_with(&format!("m={line} ")), "{case}: {section}");
        }
        let group = answer.lines().find_map(|line| line.strip_prefix("a=group:BUNDLE "));
        assert_eq!(group, expected, "{case}");
        let carrier = negotiated.transports[0].mid.as_deref();
        assert_eq!(carrier, Some(expected.map_or("video", |g| g.split(' ').next().unwrap())));
    }
}

#[test]
fn every_section_has_what_players_look_for() {
    for (case, group) in [("bundled", Some("audio video data text")), ("not bundled", None)] {
        let (_, answer) = answer_to(&offer_with(&[AUDIO, VIDEO, DATA, TEXT], group));
        for section in sections_of(&answer) {
            if section.starts_with("m=application") {
                assert!(section.contains("a=sctp-port:5000\r\n"), "{case}: {section}");
            }
            // A section of its own transport that gets no candidates says so.
            let is_rejected = section.contains(" 0 UDP");
            assert!(!is_rejected || section.contains("a=end-of-candidates"), "{case}: {section}");
            for line in
                ["a=mid:", "a=ice-ufrag:wxyz", "a=ice-pwd:", "a=fingerprint:", "a=setup:passive"]
            {
                assert!(section.contains(line), "{case}: {line} is not in\n{section}");
            }
            if section.starts_with("m=audio") || section.starts_with("m=video") {
                assert!(section.contains("a=rtcp-mux\r\n"), "{case}: {section}");
                assert!(section.contains("a=rtpmap:"), "{case}: {section}");
            }
        }
    }
}

#[test]
fn audio_with_static_payload_types_stays_in_the_bundle() {
    let audio = AUDIO.replace("SAVPF 111 0", "SAVPF 8 0");
    let (_, answer) = answer_to(&offer_with(&[&audio, VIDEO], Some("audio video")));
    let audio = sections_of(&answer).remove(0);
    assert!(audio.starts_with("m=audio 9 UDP/TLS/RTP/SAVPF 8\r\n"), "{audio}");
    assert!(audio.contains("a=rtpmap:8 PCMA/8000\r\na=rtcp-mux") || audio.contains("PCMA/8000"));
}

#[test]
fn data_channels_of_before_rfc_8841_are_answered() {
    let old = DATA
        .replace("UDP/DTLS/SCTP webrtc-datachannel", "DTLS/SCTP 5000")
        .replace("a=sctp-port:5000", "a=sctpmap:5000 webrtc-datachannel 65535");
    let (_, answer) = answer_to(&offer_with(&[VIDEO, &old], Some("video data")));
    let data = sections_of(&answer).remove(1);
    assert!(data.starts_with("m=application 9 DTLS/SCTP 5000\r\n"), "{data}");
    assert!(data.contains("a=sctpmap:5000 webrtc-datachannel 1024\r\n"), "{data}");
}

#[test]
fn two_tracks_go_into_two_sections_of_one_bundle() {
    let second = VIDEO.replace("a=mid:video", "a=mid:second");
    let codecs = offered_codecs(Codec::H264, HIGH);
    let (one, two) = (
        track(),
        TrackIds {
            ssrc: 3,
            rtx_ssrc: 4,
            cname: "canonical".to_owned(),
            stream: "other".to_owned(),
        },
    );
    let media = [video(&codecs, Some(&one)), video(&codecs, Some(&two))];
    for (group, expected) in [(Some("audio video second"), 2), (None, 1)] {
        let offer = parse(&offer_with(&[AUDIO, VIDEO, &second], group)).unwrap();
        let answer = answer(&offer, &AnswerConfig { media: &media, ..answer_config() }).unwrap();
        let sections = &answer.negotiated.sections;
        assert_eq!(sections.len(), expected);
        for (index, section) in sections.iter().enumerate() {
            assert_eq!(section.media, index);
            assert_eq!(section.mid.as_deref(), Some(["video", "second"][index]));
            assert!(answer.text.contains(&format!("a=ssrc:{} cname", [1111, 3][index])));
        }
    }
}

#[test]
fn an_offer_of_several_sections_is_answered_by_some() {
    let codecs = offered_codecs(Codec::H264, HIGH);
    let (one, two) = (
        track(),
        TrackIds {
            ssrc: 3,
            rtx_ssrc: 4,
            cname: "canonical".to_owned(),
            stream: "other".to_owned(),
        },
    );
    let sections = [
        OfferedSection { mid: "video", media: video(&codecs, Some(&one)) },
        OfferedSection { mid: "second", media: video(&codecs, Some(&two)) },
    ];
    let transport = transport();
    let config = OfferConfig {
        session_id: 1,
        version: 1,
        transport: &transport,
        sections: &sections,
        candidates: &[],
    };
    let offer = offer(&config);
    assert!(offer.contains("a=group:BUNDLE video second\r\n"));
    assert_eq!(sections_of(&offer).len(), 2);
    let answered = offer_with(&[VIDEO, &VIDEO.replace("a=mid:video", "a=mid:second")], None)
        .replace("setup:actpass", "setup:active");
    let both = apply_answer(&sections, &parse(&answered).unwrap()).unwrap();
    assert_eq!(both.sections.iter().map(|s| s.media).collect::<Vec<_>>(), [0, 1]);
    let refused = answered.replacen("m=video 9", "m=video 0", 1);
    let second = apply_answer(&sections, &parse(&refused).unwrap()).unwrap();
    assert_eq!(second.sections.iter().map(|s| s.media).collect::<Vec<_>>(), [1]);
    assert_eq!(second.transports[0].mid.as_deref(), Some("second"));
}
