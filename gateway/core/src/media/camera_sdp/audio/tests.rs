use super::*;
use crate::media::AudioCodec;

fn describe(lines: &str) -> String {
    let lines = lines.replace('|', "\r\n");
    format!("v=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n{lines}\r\n")
}

#[test]
fn the_sound_of_cameras_is_found_or_refused_with_a_sentence() {
    let stereo = AudioCodec::Opus { is_stereo: true };
    let mono = AudioCodec::Opus { is_stereo: false };
    type Expected = Option<(&'static str, Result<AudioCodec, &'static str>)>;
    let table: [(&str, Expected); 22] = [
        ("", None),
        ("m=audio 0 RTP/AVP 0", Some(("PCMU", Ok(AudioCodec::Pcmu)))),
        ("m=audio 0 RTP/AVP 8|a=rtpmap:8 PCMA/8000", Some(("PCMA", Ok(AudioCodec::Pcma)))),
        ("m=audio 0 RTP/AVP 97|a=rtpmap:97 pcma/8000/1", Some(("PCMA", Ok(AudioCodec::Pcma)))),
        ("m=audio 0 RTP/AVP 97|a=rtpmap:97 PCMU/16000", Some(("PCMU", Ok(mono)))),
        ("m=audio 0 RTP/AVP 97|a=rtpmap:97 PCMU/8000/2", Some(("PCMU", Ok(stereo)))),
        ("m=audio 0 RTP/AVP 9", Some(("G722", Ok(AudioCodec::G722)))),
        ("m=audio 0 RTP/AVP 97|a=rtpmap:97 L16/16000", Some(("L16", Ok(mono)))),
        ("m=audio 0 RTP/AVP 10", Some(("L16", Ok(stereo)))),
        ("m=audio 0 RTP/AVP 97|a=rtpmap:97 opus/48000/2", Some(("Opus", Ok(mono)))),
        (
            "m=audio 0 RTP/AVP 97|a=rtpmap:97 OPUS/48000/2|a=fmtp:97 sprop-stereo=1",
            Some(("Opus", Ok(stereo))),
        ),
        (
            "m=audio 0 RTP/AVP 97|a=rtpmap:97 MPEG4-GENERIC/16000/1|a=fmtp:97 streamtype=5; \
             profile-level-id=15; mode=AAC-hbr; config=1408; sizeLength=13; indexLength=3; \
             indexDeltaLength=3",
            Some(("AAC", Ok(mono))),
        ),
        (
            "m=audio 0 RTP/AVP 97|a=rtpmap:97 mpeg4-generic/44100/2|a=fmtp:97 config=1210",
            Some(("AAC", Ok(stereo))),
        ),
        (
            "m=audio 0 RTP/AVP 97|a=rtpmap:97 mpeg4-generic/44100/2|a=fmtp:97 config=2B920800",
            Some(("AAC", Err("HE-AAC"))),
        ),
        (
            "m=audio 0 RTP/AVP 97|a=rtpmap:97 MP4A-LATM/44100/2|a=fmtp:97 cpresent=0; \
             config=400024203FC0",
            Some(("AAC", Ok(stereo))),
        ),
        ("m=audio 0 RTP/AVP 97|a=rtpmap:97 G726-32/8000", Some(("G.726", Err("G.726")))),
        ("m=audio 0 RTP/AVP 14", Some(("MP3", Err("MP3")))),
        ("m=audio 0 RTP/AVP 97", Some(("an unnamed codec", Err("unnamed")))),
        ("m=audio 0 RTP/AVP 97|a=rtpmap:97 L16/48000/6", Some(("L16", Err("6 channels")))),
        ("m=audio 0 RTP/AVP 0|a=sendonly", None),
        (
            "m=audio 0 RTP/AVP 97|a=rtpmap:97 G726-32/8000|m=audio 0 RTP/AVP 8",
            Some(("PCMA", Ok(AudioCodec::Pcma))),
        ),
        ("m=audio 0 RTP/AVP 97 0|a=rtpmap:97 G726-32/8000", Some(("PCMU", Ok(AudioCodec::Pcmu)))),
    ];
    for (lines, expected) in table {
        let found = find_audio(&describe(lines));
        let found = found.map(|section| section.description);
        let Some((codec, outcome)) = expected else {
            assert_eq!(found, None, "{lines}");
            continue;
        };
        let found = found.unwrap_or_else(|| panic!("{lines}: no sound"));
        assert_eq!(found.codec, codec, "{lines}");
        match (found.format, outcome) {
            (Ok(format), Ok(sent)) => assert_eq!(format.sent(), sent, "{lines}"),
            (Err(problem), Err(part)) => {
                assert!(problem.to_string().contains(part), "{lines}: {problem}");
            }
            (found, outcome) => panic!("{lines}: {found:?} instead of {outcome:?}"),
        }
    }
}

#[test]
fn a_camera_that_calls_all_its_tracks_sent_has_sound() {
    let text = describe("a=sendonly|m=audio 0 RTP/AVP 8|a=sendonly");
    assert!(find_audio(&text).is_some());
}

#[test]
fn a_track_of_sound_is_asked_for_by_its_own_address() {
    let text = describe("m=audio 0 RTP/AVP 8|a=control:trackID=2");
    let place = find_audio(&text).unwrap().place;
    assert_eq!((place.index, place.control.as_deref()), (1, Some("trackID=2")));
    assert_eq!(place.payload_type, 8);
}
