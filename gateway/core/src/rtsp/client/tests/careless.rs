//! Cameras whose replies and packets are right only in parts.

use super::*;
use crate::rtsp::Port;

const UDP: &str = "RTSP/1.0 200 OK\r\nCSeq: {cseq}\r\nSession: 7\r\n\
    Transport: RTP/AVP;unicast;client_port=6000-6001;server_port=7000-7001{more}\r\n\r\n";

fn refusal(status: u16) -> String {
    format!("RTSP/1.0 {status} No\r\nCSeq: {{cseq}}\r\n\r\n")
}

/// Returns a reply that names a session.
fn with_session(reply: &str, session: &str) -> String {
    let header = format!("CSeq: {{cseq}}\r\nSession: {session}");
    reply.replace("\r\nSession: 7;timeout=60", "").replacen("CSeq: {cseq}", &header, 1)
}

#[test]
fn udp_is_tried_once_if_tcp_is_refused_in_any_way() {
    let udp = UDP.replace("{more}", "");
    for status in [400, 403, 404, 405, 453, 454, 461, 500, 501, 503, 551] {
        let mut dialogue = Dialogue::new(config(Transport::Auto), &[OPTIONS, DESCRIBE]);
        // Once for each address that the track may have.
        for _ in 0..4 {
            if dialogue.request.contains("RTP/AVP/TCP") {
                let cseq = dialogue.header("CSeq").unwrap().to_owned();
                dialogue.send(refusal(status).replace("{cseq}", &cseq).as_bytes());
            }
        }
        let cseq = dialogue.header("CSeq").unwrap().to_owned();
        assert!(dialogue.request.contains("client_port=6000-6001"), "{status}");
        dialogue.replies = [OK.to_owned()].into();
        dialogue.send(udp.replace("{cseq}", &cseq).as_bytes());
        let words = dialogue.take_words();
        assert!(words.ends_with("playing"), "{status}: {words}");
    }
    // A camera that refuses both; the first reason is the one that tells most.
    for (tcp, udp, expected) in [
        (461, 461, "Transport(Udp)"),
        (503, 461, "Status(503)"),
        (461, 453, "Status(453)"),
        (453, 453, "Status(453)"),
    ] {
        let (tcp, udp) = (refusal(tcp), refusal(udp));
        let replies = [OPTIONS, DESCRIBE, &tcp, &udp, &udp];
        let words = Dialogue::new(config(Transport::Auto), &replies).take_words();
        assert!(words.ends_with(expected), "{words}");
        assert_eq!(words.matches("SETUP").count(), 2, "{words}");
    }
}

#[test]
fn udp_is_tried_once_if_the_connection_closes_on_setup_over_tcp() {
    let udp = UDP.replace("{more}", "");
    let closed = |config: Config, setup: &[&str]| {
        let replies = [&[OPTIONS, DESCRIBE], setup].concat();
        let mut dialogue = Dialogue::new(config, &replies);
        dialogue.take_words();
        dialogue.replies = [OPTIONS, DESCRIBE, &udp, OK].map(str::to_owned).into();
        dialogue.client.handle_disconnected(dialogue.now);
        dialogue.run();
        dialogue
    };
    let mut dialogue = closed(config(Transport::Auto), &[]);
    let words = dialogue.take_words();
    assert!(words.contains("datagram 192.0.2.1:7000") && words.ends_with("playing"), "{words}");
    let words = closed(config(Transport::Tcp), &[]).take_words();
    assert_eq!(words, "Closed");

    // With its refusal of the password it says nothing about TCP.
    let challenge =
        "RTSP/1.0 401 No\r\nCSeq: {cseq}\r\nWWW-Authenticate: Basic realm=\"x\"\r\n\r\n";
    let mut guarded = config(Transport::Auto);
    let (user, password) = ("ada".to_owned(), "secret".to_owned());
    guarded.credentials = Some(Credentials { user, password });
    let dialogue = closed(guarded, &[challenge]);
    assert!(!dialogue.words.join(", ").contains("datagram"), "{:?}", dialogue.words);
}

#[test]
fn the_session_is_that_of_setup_or_the_first_one() {
    let described = with_session(DESCRIBE, "5;timeout=60");
    let (bare, played) = (with_session(SETUP, ""), with_session(OK, "9"));
    let options = with_session(OPTIONS, "4");
    let table = [
        ("in DESCRIBE only", [&options, &*described, &bare, OK], "5"),
        ("another one in PLAY", [OPTIONS, DESCRIBE, SETUP, &played], "7"),
        ("another one in SETUP", [OPTIONS, &described, SETUP, OK], "7"),
        ("in PLAY only", [OPTIONS, DESCRIBE, OK, &played], "9"),
    ];
    for (case, replies, expected) in table {
        let mut dialogue = Dialogue::new(config(Transport::Auto), &replies);
        assert!(dialogue.take_words().ends_with("playing"), "{case}");
        dialogue.client.close(dialogue.now);
        dialogue.run();
        assert_eq!(dialogue.header("Session"), Some(expected), "{case}");
    }
}

#[test]
fn a_redirect_to_the_same_host_may_have_a_password() {
    let to = |url: &str| format!("RTSP/1.0 302 Moved\r\nCSeq: {{cseq}}\r\nLocation: {url}\r\n\r\n");
    let challenge =
        "RTSP/1.0 401 No\r\nCSeq: {cseq}\r\nWWW-Authenticate: Basic realm=\"x\"\r\n\r\n";
    for (location, expected) in [
        ("rtsp://tok:e%6E@cam/x", Some("tok:en")),
        ("rtsp://cam/x", None),
        ("rtsp://tok@cam/x", None),
    ] {
        let moved = to(location);
        let replies = [OPTIONS, &moved, OPTIONS, challenge, DESCRIBE, SETUP, OK];
        let mut dialogue = Dialogue::new(config(Transport::Auto), &replies);
        let words = dialogue.take_words();
        let Some(expected) = expected else {
            assert!(words.ends_with("PasswordMissing"), "{location}: {words}");
            continue;
        };
        assert!(words.ends_with("playing"), "{location}: {words}");
        let expected = format!("Basic {}", STANDARD.encode(expected));
        assert_eq!(dialogue.header("Authorization"), Some(&*expected), "{location}");
    }
    let moved = to("rtsp://tok:en@other/x");
    let words = Dialogue::new(config(Transport::Auto), &[OPTIONS, &moved]).take_words();
    assert!(words.ends_with("problem: OtherHost }"), "{words}");
}

#[test]
fn datagrams_are_taken_from_the_camera_and_from_the_source_that_it_names() {
    let table = [
        ("", "198.51.100.9", false),
        (";source=198.51.100.9", "198.51.100.9", true),
        (";source=198.51.100.9", "198.51.100.8", false),
        (";source=198.51.100.9", "192.0.2.1", true),
        (";source=::ffff:198.51.100.9", "198.51.100.9", true),
        (";source=127.0.0.1", "127.0.0.1", false),
        (";source=0.0.0.0", "0.0.0.0", false),
        (";source=239.1.2.3", "239.1.2.3", false),
        (";source=255.255.255.255", "255.255.255.255", false),
    ];
    for (more, from, is_taken) in table {
        let udp = UDP.replace("{more}", more);
        let mut dialogue = Dialogue::new(config(Transport::Udp), &[OPTIONS, DESCRIBE, &udp, OK]);
        dialogue.take_words();
        let from = SocketAddr::new(from.parse().unwrap(), 9);
        dialogue.client.handle_datagram(dialogue.now, 0, Port::Rtp, from, rtp(1, 96).into());
        dialogue.run();
        let expected = if is_taken { "packet 1" } else { "" };
        assert_eq!(dialogue.take_words(), expected, "{more} {from}");
    }
}

#[test]
fn a_camera_that_sends_from_another_address_is_known_by_its_packets() {
    const OWN: &str = "192.0.2.1";
    const OTHER: &str = "198.51.100.9";
    const THIRD: &str = "198.51.100.8";
    type Packets = Vec<(&'static str, u16, u8)>;
    let run = |numbers: std::ops::Range<u16>| numbers.map(|number| (OTHER, number, 96));
    let table: [(&str, Packets, &str); 7] = [
        ("a few", run(0..15).collect(), ""),
        ("many", run(0..18).collect(), "packet 15, packet 16, packet 17"),
        ("many, but one is missing", run(0..12).chain(run(13..25)).collect(), ""),
        (
            "after the camera's own",
            [(OWN, 7, 96)].into_iter().chain(run(0..18)).collect(),
            "packet 7",
        ),
        ("of another type", run(0..18).map(|(from, number, _)| (from, number, 97)).collect(), ""),
        ("of two", run(0..18).flat_map(|one| [one, (THIRD, one.1, 96)]).collect(), ""),
        ("from nowhere", run(0..18).map(|(_, number, _)| ("127.0.0.1", number, 96)).collect(), ""),
    ];
    let udp = UDP.replace("{more}", "");
    for (case, packets, expected) in table {
        let mut dialogue = Dialogue::new(config(Transport::Udp), &[OPTIONS, DESCRIBE, &udp, OK]);
        dialogue.take_words();
        for (from, number, payload_type) in packets {
            let from = SocketAddr::new(from.parse().unwrap(), 9);
            let packet = rtp(number, payload_type).into();
            dialogue.client.handle_datagram(dialogue.now, 0, Port::Rtp, from, packet);
        }
        dialogue.run();
        assert_eq!(dialogue.take_words(), expected, "{case}");
    }
}

#[test]
fn another_section_of_video_is_tried_if_the_first_is_refused() {
    let second = "m=video 0 RTP/AVP 97\r\na=rtpmap:97 H264/90000\r\na=control:track2\r\n";
    let described = |sdp: &str| {
        let sdp = format!("{SDP}{sdp}");
        DESCRIBE.replace("{length}", &sdp.len().to_string()).replace("{sdp}", &sdp)
    };
    let (one, two) = (described(""), described(second));
    let (missing, busy) = (refusal(404), refusal(453));
    let table: [(&str, Vec<&str>, &str); 4] = [
        ("not there", vec![OPTIONS, &two, &missing, OPTIONS, &two, SETUP, OK], "playing"),
        ("busy", vec![OPTIONS, &two, &busy, OPTIONS, &two, SETUP, OK], "playing"),
        ("no other", vec![OPTIONS, &one, &busy], "Status(453)"),
        ("both", vec![OPTIONS, &two, &busy, OPTIONS, &two, &missing], "Status(453)"),
    ];
    for (case, replies, expected) in table {
        let words = Dialogue::new(config(Transport::Tcp), &replies).take_words();
        assert!(words.ends_with(expected), "{case}: {words}");
        let is_tried = words.contains("SETUP rtsp://cam/live/track2");
        assert_eq!(is_tried, replies.len() > 3, "{case}: {words}");
    }
}

#[test]
fn rtp_and_rtcp_are_told_apart_by_their_types() {
    const MARKER: u8 = 0x80;
    let sender_report = |kind: u8| [&[0x80, kind, 0, 6][..], &[0; 24]].concat();
    // Described type, channel, the packet, and what it is taken for.
    let table: Vec<(u8, u8, Vec<u8>, &str)> = vec![
        (96, 1, rtp(1, 96), "packet 1"),
        (96, 1, rtp(1, 97), ""),
        (96, 0, sender_report(200), "clock"),
        (96, 1, sender_report(200), "clock"),
        (96, 1, rtp(1, 72), ""),
        (85, 0, rtp(1, 85), "packet 1"),
        (85, 1, rtp(1, 85), "packet 1"),
        (72, 0, rtp(1, 72), "packet 1"),
        (72, 1, sender_report(72 | MARKER), "clock"),
    ];
    for (described, channel, packet, expected) in table {
        let describe = DESCRIBE.replace("{length}", &SDP.len().to_string());
        let describe = describe.replace("{sdp}", &SDP.replace("96", &described.to_string()));
        let replies = [OPTIONS, &describe, SETUP, OK];
        let mut dialogue = Dialogue::new(config(Transport::Auto), &replies);
        assert!(dialogue.take_words().ends_with("playing"), "{described}");
        dialogue.send(&frame(channel, &packet));
        assert_eq!(dialogue.take_words(), expected, "{described} on {channel}: {packet:?}");
    }
}

#[test]
fn all_tracks_are_set_up_if_the_camera_does_not_play_without_them() {
    let sdp = format!(
        "{SDP}m=text 0 RTP/AVP 98\r\na=control:track2\r\n\
         m=text 0 RTP/SAVP 99\r\na=control:track3\r\nm=text 0 RTP/AVP 100\r\n\
         m=application 0 RTP/AVP 107\r\na=control:rtsp://cam/live/track4\r\n"
    );
    let described =
        |sdp: &str| DESCRIBE.replace("{length}", &sdp.len().to_string()).replace("{sdp}", sdp);
    let (several, many) = (described(&sdp), described(&sdp.repeat(10)));
    let (no, busy) = (refusal(455), refusal(503));
    let second = SETUP.replace("0-1", "2-3");
    let third = SETUP.replace("0-1", "0-1;mode=play");
    let udp = UDP.replace("{more}", "");
    let (auto, by_udp) = (Transport::Auto, Transport::Udp);
    let play = "PLAY rtsp://cam/live/, PLAY rtsp://cam/live/";
    let all = "SETUP rtsp://cam/live/track2, SETUP rtsp://cam/live/track4";
    type Case<'a> = (&'a str, Transport, &'a str, Vec<&'a str>, String);
    let table: Vec<Case<'_>> = vec![
        (
            "all of them",
            auto,
            &several,
            vec![SETUP, &no, &no, &second, &third, OK],
            format!("{play}, {all}, PLAY rtsp://cam/live/, playing"),
        ),
        (
            "another status",
            auto,
            &several,
            vec![SETUP, &busy, &second, &third, OK],
            format!("PLAY rtsp://cam/live/, {all}, PLAY rtsp://cam/live/, playing"),
        ),
        (
            "one is refused",
            auto,
            &several,
            vec![SETUP, &no, &no, &busy, &third, OK],
            format!("{play}, {all}, PLAY rtsp://cam/live/, playing"),
        ),
        (
            "over UDP",
            by_udp,
            &several,
            vec![&udp, &no, &no, &udp, &udp, OK],
            format!("{play}, {all}, PLAY rtsp://cam/live/, playing"),
        ),
        (
            "no other tracks",
            auto,
            DESCRIBE,
            vec![SETUP, &no, &no, &no, &no, &no, &no],
            "PLAY rtsp://cam/live/track1, TEARDOWN rtsp://cam/live/track1, Status(455)".to_owned(),
        ),
    ];
    for (case, transport, description, replies, expected) in table {
        let replies = [&[OPTIONS, description], &replies[..]].concat();
        let words = Dialogue::new(config(transport), &replies).take_words();
        assert!(words.ends_with(&expected), "{case}: {words}");
        assert_eq!(words.matches("described").count(), 1, "{case}: {words}");
    }

    // What arrives on the channels of the others is dropped, whatever it is; on channels that
    // nobody named, too, once the track's own are used.
    let replies = [OPTIONS, &several, SETUP, &no, &no, &second, &third, OK];
    let mut dialogue = Dialogue::new(config(auto), &replies);
    dialogue.take_words();
    for channel in 0..6 {
        dialogue.send(&frame(channel, &rtp(channel.into(), 96)));
    }
    assert_eq!(dialogue.take_words(), "packet 0, packet 1");

    // Their number is bounded, and they are set up once.
    let mut replies = vec![OPTIONS, &many, SETUP];
    replies.extend([&no[..]; 40]);
    let words = Dialogue::new(config(auto), &replies).take_words();
    assert_eq!(words.matches("SETUP").count(), 1 + 7, "{words}");
    assert!(words.ends_with("Status(455)"), "{words}");
}
