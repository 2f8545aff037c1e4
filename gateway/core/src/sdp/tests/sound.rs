//! Offers and answers with sound beside the picture.

use super::*;
use crate::media::{AudioCodec, TrackCodec};

const STEREO: AudioCodec = AudioCodec::Opus { is_stereo: true };
const MONO: AudioCodec = AudioCodec::Opus { is_stereo: false };

fn sound<'a>(codecs: &'a [OfferedCodec], track: &'a TrackIds) -> LocalMedia<'a> {
    LocalMedia {
        kind: MediaKind::Audio,
        codecs,
        track: Some(track),
        direction: Direction::SendOnly,
    }
}

fn second_track() -> TrackIds {
    TrackIds { ssrc: 3333, rtx_ssrc: 4444, ..track() }
}

/// Answers an offer with a picture in H.264 and this sound.
fn answered(offer: &str, codec: AudioCodec) -> Result<Answer, SdpError> {
    let (codecs, sounds) = (offered_codecs(Codec::H264, HIGH), [offered_audio(codec)]);
    let (one, two) = (track(), second_track());
    let media = [video(&codecs, Some(&one)), sound(&sounds, &two)];
    let transports = [OURS, LocalTransport { ufrag: "apart", ..OURS }];
    let config = AnswerConfig { media: &media, transports: &transports, ..answer_config() };
    answer(&parse(offer)?, &config)
}

/// Returns the text of the section of this kind.
fn section(text: &str, kind: &str) -> String {
    let mut sections = text.split("\r\nm=").skip(1);
    sections.find(|section| section.starts_with(kind)).unwrap_or_default().to_owned()
}

#[test]
fn browsers_take_the_sound_that_a_camera_has() {
    for (browser, offer, opus) in [
        ("Chromium", CHROMIUM_ALL, 111),
        ("Chromium, max-bundle", CHROMIUM_MAX_BUNDLE, 111),
        ("Firefox", FIREFOX_ALL, 109),
    ] {
        for (codec, payload_type) in [
            (STEREO, opus),
            (MONO, opus),
            (AudioCodec::Pcmu, 0),
            (AudioCodec::Pcma, 8),
            (AudioCodec::G722, 9),
        ] {
            let answer = answered(offer, codec).unwrap();
            let sections = &answer.negotiated.sections;
            // All offers have the sound first.
            assert_eq!(sections.iter().map(|s| s.media).collect::<Vec<_>>(), [1, 0], "{browser}");
            let found = &sections[0];
            assert_eq!(found.codec, TrackCodec::Audio(codec), "{browser}");
            assert_eq!(found.payload_type, payload_type, "{browser} {codec}");
            assert_eq!(found.rtx_payload_type, None);
            let text = section(&answer.text, "audio");
            assert!(
                text.contains("a=sendonly\r\n") && text.contains("a=ssrc:3333 cname"),
                "{text}"
            );
            assert!(text.contains("a=msid:camera audio"), "{text}");
            assert!(!text.contains("4444"), "nothing is sent again: {text}");
        }
    }
}

#[test]
fn a_picture_is_played_whatever_becomes_of_the_sound() {
    // What is done to Chromium's offer, and the tracks that are sent then.
    let without = |from: &str| CHROMIUM_ALL.replace(from, "a=rtpmap:8 nothing/8000");
    let audio = section(CHROMIUM_ALL, "audio");
    let unwanted = CHROMIUM_ALL.replace(&audio, &audio.replace("a=recvonly", "a=inactive"));
    let third = format!("{}m={audio}\r\n", without_group());
    let bare = without_group().replacen("a=ice-pwd:", "a=x-ice-pwd:", 1);
    let table: [(&str, String, &[usize]); 6] = [
        ("as it is", CHROMIUM_ALL.to_owned(), &[1, 0]),
        ("the player does not play the codec", without("a=rtpmap:8 PCMA/8000"), &[0]),
        ("the player wants no sound", unwanted, &[0]),
        ("the player offers none", CHROMIUM_VIDEO.to_owned(), &[0]),
        ("the sound describes no transport", bare, &[0]),
        ("there is sound twice", third, &[1, 0]),
    ];
    for (case, offer, expected) in table {
        let answer = answered(&offer, AudioCodec::Pcma).unwrap();
        let media: Vec<_> = answer.negotiated.sections.iter().map(|s| s.media).collect();
        assert_eq!(media, expected, "{case}");
    }
    let refused = CHROMIUM_ALL.replace("m=video 9", "m=video 0");
    assert_eq!(answered(&refused, AudioCodec::Pcma), Err(SdpError::NoVideo), "sound alone");
}

/// Returns Chromium's offer as a player that knows no bundle writes it.
fn without_group() -> String {
    let lines = CHROMIUM_ALL.lines().filter(|line| !line.starts_with("a=group:"));
    lines.fold(String::new(), |text, line| text + line + "\r\n")
}

#[test]
fn a_sound_outside_of_the_bundle_has_a_transport_of_its_own() {
    let answer = answered(&without_group(), STEREO).unwrap();
    let negotiated = &answer.negotiated;
    assert_eq!(negotiated.transports.len(), 2);
    let used: Vec<_> = negotiated.sections.iter().map(|s| (s.media, s.transport)).collect();
    // The sound comes first in the offer, and the picture's transport first in the session.
    assert_eq!(used, [(1, 1), (0, 0)]);
    assert!(!answer.text.contains("a=group:BUNDLE"), "{}", answer.text);
    for (kind, ufrag) in [("audio", "apart"), ("video", "wxyz")] {
        let text = section(&answer.text, kind);
        assert!(text.contains(&format!("a=ice-ufrag:{ufrag}\r\n")), "{kind}: {text}");
        assert!(text.contains("a=end-of-candidates"), "each has its candidates: {text}");
    }
    // A bundle of the sound with something else is kept, and so is the picture's.
    let other = CHROMIUM_ALL.replace("a=group:BUNDLE 0 1 2", "a=group:BUNDLE 0 2");
    assert_ne!(other, CHROMIUM_ALL);
    let answer = answered(&other, STEREO).unwrap();
    assert_eq!(answer.negotiated.transports.len(), 2, "{}", answer.text);
    assert!(answer.text.contains("a=group:BUNDLE 0 2\r\n"), "{}", answer.text);
}

#[test]
fn an_offer_with_sound_may_be_answered_without_it_but_not_without_the_picture() {
    let (codecs, sounds) = (offered_codecs(Codec::H264, HIGH), [offered_audio(STEREO)]);
    let (one, two) = (track(), second_track());
    let sections = [
        OfferedSection { mid: "0", media: video(&codecs, Some(&one)) },
        OfferedSection { mid: "1", media: sound(&sounds, &two) },
    ];
    let transport = transport();
    let config = OfferConfig {
        session_id: 1,
        version: 1,
        transport: &transport,
        sections: &sections,
        candidates: &[],
    };
    let offered = offer(&config);
    let text = section(&offered, "audio");
    assert!(text.contains("a=rtpmap:111 opus/48000/2\r\n") && text.contains("stereo=1"), "{text}");
    assert!(!text.contains("rtcp-fb") && !text.contains("playout-delay"), "{text}");

    let viewer_codecs = [offered_codecs(Codec::H264, None), vec![offered_audio(STEREO)]];
    let media = [
        video(&viewer_codecs[0], None),
        LocalMedia {
            kind: MediaKind::Audio,
            codecs: &viewer_codecs[1],
            track: None,
            direction: Direction::RecvOnly,
        },
    ];
    let config = AnswerConfig { setup: Setup::Active, media: &media, ..answer_config() };
    let both = answer(&parse(&offered).unwrap(), &config).unwrap().text;
    let applied = apply_answer(&sections, &parse(&both).unwrap()).unwrap();
    assert_eq!(applied.sections.iter().map(|s| s.media).collect::<Vec<_>>(), [0, 1]);
    let mute = both.replace("m=audio 9", "m=audio 0");
    let applied = apply_answer(&sections, &parse(&mute).unwrap()).unwrap();
    assert_eq!(applied.sections.iter().map(|s| s.media).collect::<Vec<_>>(), [0]);
    let blind = both.replace("m=video 9", "m=video 0");
    let refused = apply_answer(&sections, &parse(&blind).unwrap());
    assert!(matches!(refused, Err(SdpError::NoCommonCodec { .. })), "{refused:?}");
}
