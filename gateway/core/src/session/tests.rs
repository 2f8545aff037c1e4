use super::*;
use crate::camera::StreamId;
use crate::media::Codec;
use crate::sdp;
use crate::sdp::{AnswerConfig, LocalMedia, MediaKind};
use crate::transport::SETUP_TIMEOUT;

fn config(now: Instant, seed: u64) -> SessionConfig {
    SessionConfig {
        sections: vec![SectionConfig {
            kind: MediaKind::Video,
            source: StreamId::main("door".parse().unwrap()),
            format: None,
        }],
        identity: Identity::generate().unwrap(),
        ice_servers: Vec::new(),
        turn_only: false,
        expires: now + Duration::from_secs(3600),
        seed,
    }
}

#[test]
fn a_session_without_an_answer_ends() {
    let now = Instant::now();
    let mut gateway = Session::offering(now, config(now, 1)).unwrap();
    let mut end = now;
    for _ in 0..10_000 {
        let Some(due) = gateway.poll_timeout() else { break };
        end = due;
        gateway.handle_timeout(due);
    }
    let ended = std::iter::from_fn(|| gateway.poll_output())
        .any(|output| matches!(output, SessionOutput::Ended(_)));
    assert!(ended);
    assert!(end - now <= SETUP_TIMEOUT, "{:?}", end - now);
}

#[test]
fn an_unusable_offer_is_refused_with_the_reason() {
    let now = Instant::now();
    for (offer, expected) in [
        ("", "line 1"),
        ("v=0\r\nnonsense", "no video section"),
        (
            "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\n",
            "video",
        ),
        (&"x".repeat(70_000), "more than"),
    ] {
        let error = Session::answering(now, config(now, 1), offer).unwrap_err().to_string();
        assert!(error.contains(expected), "{expected}: {error}");
    }
}

#[test]
fn a_session_holds_sections_of_several_cameras() {
    let now = Instant::now();
    let section = |camera: &str| SectionConfig {
        kind: MediaKind::Video,
        source: StreamId::main(camera.parse().unwrap()),
        format: None,
    };
    let sections = vec![section("door"), section("yard")];
    let config = SessionConfig { sections, ..config(now, 1) };
    let fingerprint = config.identity.fingerprint();
    let mut session = Session::offering(now, config).unwrap();
    let offers = std::iter::from_fn(|| session.poll_output());
    let offer = offers.filter_map(|o| if let SessionOutput::Offer(o) = o { Some(o) } else { None });
    let offer = sdp::parse(&offer.last().unwrap()).unwrap();
    let mids: Vec<_> = offer.sections.iter().map(|section| section.mid.as_deref()).collect();
    assert_eq!(mids, [Some("0"), Some("1")]);
    let codecs = sdp::offered_codecs(Codec::H264, None);
    let media = LocalMedia {
        kind: MediaKind::Video,
        codecs: &codecs,
        track: None,
        direction: sdp::Direction::RecvOnly,
    };
    let answer = sdp::answer(
        &offer,
        &AnswerConfig {
            session_id: 1,
            version: 1,
            ufrag: "viewer",
            pwd: "a password of 22 or more".replace(' ', "+").as_str(),
            fingerprint,
            setup: sdp::Setup::Active,
            media: &[media, media],
            candidates: &[],
            end_of_candidates: false,
        },
    );
    session.handle_answer(now, &answer.unwrap().text);
    let negotiated: Vec<_> = session
        .sections()
        .iter()
        .map(|s| (s.mid(), s.source().camera.as_str(), s.codec()))
        .collect();
    let h264 = Some(Codec::H264);
    assert_eq!(negotiated, [("0", "door", h264), ("1", "yard", h264)]);
}
