use std::net::SocketAddr;

use porthole_turn_proto::stun::{Class, Message, attribute};

use super::*;
use crate::camera::StreamId;
use crate::media::{AudioCodec, Codec};
use crate::sdp;
use crate::sdp::{AnswerConfig, LocalMedia, LocalTransport, MediaKind};
use crate::transport::SETUP_TIMEOUT;

fn config(now: Instant, seed: u64) -> SessionConfig {
    SessionConfig {
        sections: vec![SectionConfig {
            kind: MediaKind::Video,
            source: StreamId::main("door".parse().unwrap()),
            codecs: sdp::offered_codecs(Codec::H264, None),
        }],
        identity: Identity::generate().unwrap(),
        ice_servers: Vec::new(),
        turn_only: false,
        expires: now + Duration::from_secs(3600),
        seed,
    }
}

const ADDRESS: &str = "192.168.1.2:5000";
const CHROMIUM_ALL: &str = include_str!("../sdp/samples/chromium-offer-all.sdp");
const CHROMIUM: &str = include_str!("../sdp/samples/chromium-offer-video.sdp");

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn outputs(session: &mut Session) -> Vec<SessionOutput> {
    std::iter::from_fn(|| session.poll_output()).collect()
}

fn trickled(outputs: Vec<SessionOutput>) -> Vec<String> {
    let candidate = |output| {
        if let SessionOutput::Trickle(found) = output { Some(found.candidate) } else { None }
    };
    outputs.into_iter().filter_map(candidate).collect()
}

/// Returns the addresses that checks went to, and whether the checks claim to control.
fn checks(outputs: Vec<SessionOutput>) -> Vec<(SocketAddr, bool)> {
    let check = |output| {
        let SessionOutput::Datagram(datagram) = output else { return None };
        let message = Message::parse(&datagram.bytes).ok()?;
        let controls = message.first(attribute::ICE_CONTROLLING).is_some();
        (message.class() == Class::Request).then_some((datagram.to, controls))
    };
    outputs.into_iter().filter_map(check).collect()
}

fn run(session: &mut Session, now: &mut Instant, time: Duration) {
    let end = *now + time;
    while let Some(due) = session.poll_timeout().filter(|due| *due <= end) {
        *now = due.max(*now);
        session.handle_timeout(*now);
    }
    *now = end;
}

/// Returns Chromium's offer with other candidates.
fn offer_with(candidates: &[String]) -> String {
    let rest = CHROMIUM.lines().filter(|line| !line.starts_with("a=candidate:"));
    let own = candidates.iter().map(|candidate| format!("a={candidate}"));
    rest.map(str::to_owned).chain(own).fold(String::new(), |text, line| text + &line + "\r\n")
}

#[test]
fn no_candidate_follows_the_end_of_candidates() {
    // The time at which a STUN server responds, and whether its candidate is signaled.
    for (seconds, expected) in [(1, true), (3, true), (9, true), (11, false)] {
        let mut now = Instant::now();
        let mut session = Session::offering(now, config(now, 1)).unwrap();
        session.set_addresses(now, &[address(ADDRESS)]);
        run(&mut session, &mut now, Duration::from_secs(seconds));
        session.handle_reflexive(now, address(ADDRESS), address("203.0.113.1:4000"));
        session.handle_reflexive_complete(now);
        // The next server is too late in any case.
        session.handle_reflexive(now, address(ADDRESS), address("203.0.113.1:4001"));
        run(&mut session, &mut now, Duration::from_secs(20));
        let lines = trickled(outputs(&mut session));
        let signaled = lines.iter().any(|line| line.contains("203.0.113.1 4000"));
        assert_eq!(signaled, expected, "after {seconds} s: {lines:?}");
        let end = lines.iter().position(String::is_empty).expect("an end of candidates");
        assert_eq!(end, lines.len() - 1, "after {seconds} s: {lines:?}");
    }
}

#[test]
fn an_answer_ends_the_candidates_that_it_contains() {
    let mut now = Instant::now();
    let begin = now;
    let mut session = Session::answering(now, config(now, 1), CHROMIUM).unwrap();
    session.set_addresses(now, &[address(ADDRESS)]);
    let answer = answer_of(&mut session, &mut now);
    assert!(now - begin <= Duration::from_secs(2), "{:?}", now - begin);
    assert!(answer.contains("a=end-of-candidates"), "{answer}");
    session.handle_reflexive(now, address(ADDRESS), address("203.0.113.1:4000"));
    session.handle_reflexive_complete(now);
    run(&mut session, &mut now, Duration::from_secs(20));
    assert_eq!(trickled(outputs(&mut session)), Vec::<String>::new());
}

#[test]
fn a_player_that_is_ice_lite_is_checked_by_a_controlling_agent_and_never_sent_an_offer() {
    let host = "candidate:1 1 udp 2130706431 192.168.1.9 7000 typ host".to_owned();
    for (lite, controls) in [("", false), ("a=ice-lite\r\n", true)] {
        let mut now = Instant::now();
        let offer = offer_with(std::slice::from_ref(&host)).replacen(
            "m=video",
            &format!("{lite}m=video"),
            1,
        );
        let mut session = Session::answering(now, config(now, 1), &offer).unwrap();
        session.set_addresses(now, &[address(ADDRESS)]);
        run(&mut session, &mut now, Duration::from_secs(30));
        let outputs = outputs(&mut session);
        let offers = outputs.iter().filter(|o| matches!(o, SessionOutput::Offer(_))).count();
        assert_eq!(offers, 0, "the player made the offer");
        let checks = checks(outputs);
        assert!(!checks.is_empty() && checks.iter().all(|check| check.1 == controls), "{lite}");
    }
}

#[test]
fn an_offer_with_eighty_candidates_is_answered_and_the_one_that_works_is_checked() {
    let mut lines = Vec::new();
    for bridge in 1..=20 {
        let (a, b) = (format!("172.17.{bridge}.1"), format!("fe80::{bridge:x}"));
        for ip in [a, b] {
            lines.push(format!("candidate:1 1 udp 2122260223 {ip} 40000 typ host"));
            lines.push(format!("candidate:2 1 tcp 1518280447 {ip} 9 typ host tcptype active"));
        }
    }
    // What works comes last.
    lines.push(
        "candidate:3 1 udp 1686052607 198.51.100.7 40000 typ srflx raddr 0.0.0.0 rport 0".into(),
    );
    let mut now = Instant::now();
    let mut session = Session::answering(now, config(now, 1), &offer_with(&lines)).unwrap();
    session.set_addresses(now, &[address(ADDRESS)]);
    session.handle_reflexive_complete(now);
    run(&mut session, &mut now, Duration::from_secs(3));
    let outputs = outputs(&mut session);
    assert!(outputs.iter().any(|output| matches!(output, SessionOutput::Answer(_))));
    let checks = checks(outputs);
    assert!(checks.iter().any(|check| check.0 == address("198.51.100.7:40000")), "{checks:?}");
    let link_local = |check: &&(SocketAddr, bool)| check.0.to_string().starts_with("[fe80");
    assert_eq!(checks.iter().find(link_local), None);
}

/// Returns the answer of a session, at the time at which it is ready.
fn answer_of(session: &mut Session, now: &mut Instant) -> String {
    for _ in 0..1000 {
        let answered = outputs(session).into_iter().find_map(|output| {
            if let SessionOutput::Answer(answer) = output { Some(answer) } else { None }
        });
        if let Some(answer) = answered {
            return answer;
        }
        *now = session.poll_timeout().unwrap().max(*now);
        session.handle_timeout(*now);
    }
    panic!("there is no answer");
}

#[test]
fn sound_outside_of_the_bundle_has_a_transport_with_its_own_candidates_and_restarts() {
    let mut now = Instant::now();
    let sound = SectionConfig {
        kind: MediaKind::Audio,
        source: StreamId::main("door".parse().unwrap()),
        codecs: vec![sdp::offered_audio(AudioCodec::Pcmu)],
    };
    let picture = config(now, 1).sections.remove(0);
    let config = SessionConfig { sections: vec![picture, sound], ..config(now, 1) };
    let own = |line: &&str| !line.starts_with("a=group:") && !line.starts_with("a=candidate:");
    let offer: String = CHROMIUM_ALL.lines().filter(own).flat_map(|line| [line, "\r\n"]).collect();
    let mut session = Session::answering(now, config, &offer).unwrap();
    session.set_addresses(now, &[address(ADDRESS)]);
    session.handle_reflexive_complete(now);
    let answer = sdp::parse(&answer_of(&mut session, &mut now)).unwrap();
    let (audio, video) = (&answer.sections[0], &answer.sections[1]);
    assert_eq!((audio.media.as_str(), video.media.as_str()), ("audio", "video"));
    assert_ne!(audio.ufrag, video.ufrag);
    for section in [audio, video] {
        assert!(section.candidates.iter().any(|line| line.contains("192.168.1.2 5000")));
    }

    // A candidate is checked with the credentials of the section that it is for.
    let candidate = |mid: &str, port: u16| IceCandidate {
        candidate: format!("candidate:1 1 udp 2130706431 192.168.1.9 {port} typ host"),
        sdp_mid: Some(mid.to_owned()),
        sdp_mline_index: None,
        username_fragment: None,
    };
    session.handle_candidate(now, &candidate(audio.mid().unwrap(), 7000));
    session.handle_candidate(now, &candidate(video.mid().unwrap(), 7001));
    run(&mut session, &mut now, Duration::from_secs(1));
    let mut names: Vec<(u16, String)> = Vec::new();
    for output in outputs(&mut session) {
        let SessionOutput::Datagram(datagram) = output else { continue };
        let Ok(message) = Message::parse(&datagram.bytes) else { continue };
        let Ok(Some(name)) = message.text(attribute::USERNAME) else { continue };
        names.push((datagram.to.port(), name.to_owned()));
    }
    for (port, ours) in [(7000, audio), (7001, video)] {
        let suffix = format!(":{}", ours.ufrag.as_ref().unwrap());
        let mut of_port = names.iter().filter(|name| name.0 == port).peekable();
        assert!(of_port.peek().is_some(), "{port} is not checked: {names:?}");
        assert!(of_port.all(|name| name.1.ends_with(&suffix)), "{port}: {names:?}");
    }

    let sections = [audio, video].map(|section| {
        let mid = section.mid().unwrap();
        format!(
            "m={} 9 X 0\r\na=mid:{mid}\r\na=ice-ufrag:new{mid}\r\na=ice-pwd:{}\r\n",
            section.media,
            "p".repeat(22)
        )
    });
    session.handle_restart_fragment(now, &sections.concat()).unwrap();
    session.set_addresses(now, &[address(ADDRESS)]);
    session.handle_reflexive_complete(now);
    run(&mut session, &mut now, Duration::from_secs(3));
    let fragment = outputs(&mut session).into_iter().find_map(|output| {
        if let SessionOutput::Fragment(fragment) = output { Some(fragment) } else { None }
    });
    let fragment = sdp::parse_fragment(&fragment.expect("a response")).unwrap();
    let answered: Vec<_> =
        fragment.sections.iter().map(|it| (it.mid.as_str(), &it.ufrag)).collect();
    assert_eq!(answered[0].0, video.mid().unwrap());
    assert_eq!(answered[1].0, audio.mid().unwrap());
    assert!(answered[1].1.is_some() && *answered[1].1 != fragment.ufrag, "{fragment:?}");
    assert!(fragment.sections.iter().all(|section| !section.candidates.is_empty()));
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
        .any(|output| matches!(output, SessionOutput::Ended(..)));
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
        codecs: sdp::offered_codecs(Codec::H264, None),
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
            transports: &[LocalTransport {
                ufrag: "viewer",
                pwd: "a+password+of+22+or+more",
                candidates: &[],
                end_of_candidates: false,
            }],
            fingerprint,
            setup: sdp::Setup::Active,
            media: &[media, media],
        },
    );
    session.handle_answer(now, &answer.unwrap().text);
    let negotiated: Vec<_> = session
        .sections()
        .iter()
        .map(|s| (s.mid(), s.source().camera.as_str(), s.codec()))
        .collect();
    let h264 = Some(Codec::H264.into());
    assert_eq!(negotiated, [("0", "door", h264), ("1", "yard", h264)]);
}
