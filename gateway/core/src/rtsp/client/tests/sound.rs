use super::*;

const SETUP_SOUND: &str = "RTSP/1.0 200 OK\r\nCSeq: {cseq}\r\nSession: 7;timeout=60\r\n\
    Transport: RTP/AVP/TCP;unicast;interleaved=2-3\r\n\r\n";

/// Returns the reply to DESCRIBE of a camera with sound.
fn described(lines: &str) -> String {
    let sdp = format!("{SDP}m=audio 0 RTP/AVP {lines}\r\na=control:track2\r\n");
    format!(
        "RTSP/1.0 200 OK\r\nCSeq: {{cseq}}\r\nContent-Base: rtsp://cam/live/\r\n\
         Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}",
        sdp.len()
    )
}

#[test]
fn a_camera_plays_with_its_sound_or_without_it_whatever_it_makes_of_the_request() {
    let refuse = |status: &str| format!("RTSP/1.0 {status} No\r\nCSeq: {{cseq}}\r\n\r\n");
    let (r404, r454, r461) = (refuse("404"), refuse("454"), refuse("461"));
    let sound = described("8");
    let strange = described("97\r\na=rtpmap:97 G726-32/8000");
    let udp = "RTSP/1.0 200 OK\r\nCSeq: {cseq}\r\nSession: 7\r\n\
        Transport: RTP/AVP;unicast;client_port=6000-6001;server_port=7000-7001\r\n\r\n";
    let table: Vec<(&str, Vec<&str>, &str)> = vec![
        (
            "with sound",
            vec![OPTIONS, &sound, SETUP, SETUP_SOUND, OK],
            "SETUP rtsp://cam/live/track1, SETUP rtsp://cam/live/track2, described H.264, \
             sound G.711 A-law, PLAY rtsp://cam/live/, playing",
        ),
        (
            "sound that cannot be heard is not asked for",
            vec![OPTIONS, &strange, SETUP, OK],
            "SETUP rtsp://cam/live/track1, described H.264, sound the camera's sound is G.726, \
             which no browser plays: set it to G.711, AAC-LC or Opus, PLAY rtsp://cam/live/, \
             playing",
        ),
        (
            "sound is refused",
            vec![OPTIONS, &sound, SETUP, &r454, OK],
            "described H.264, sound the camera refuses to send its sound (RTSP status 454), \
             PLAY rtsp://cam/live/, playing",
        ),
        (
            "sound over TCP is refused",
            vec![OPTIONS, &sound, SETUP, &r461, OK],
            "SETUP rtsp://cam/live/track2, described H.264, sound the camera refuses to send its \
             sound (RTSP status 461), PLAY rtsp://cam/live/, playing",
        ),
        (
            "both over UDP",
            vec![OPTIONS, &sound, &r461, udp, udp, OK],
            "described H.264, sound G.711 A-law, PLAY rtsp://cam/live/, playing",
        ),
        (
            "PLAY is refused with sound",
            vec![OPTIONS, &sound, SETUP, SETUP_SOUND, &r404, &r404, OPTIONS, &sound, SETUP, OK],
            "connect rtsp://cam/live, OPTIONS rtsp://cam/live, DESCRIBE rtsp://cam/live, \
             SETUP rtsp://cam/live/track1, described H.264, sound the camera does not play with \
             its sound, so that it is left out, PLAY rtsp://cam/live/, playing",
        ),
    ];
    for (case, replies, expected) in table {
        let words = Dialogue::new(config(Transport::Auto), &replies).take_words();
        assert!(words.ends_with(expected), "{case}: {words}");
    }
}

#[test]
fn a_camera_that_is_silent_or_hangs_up_when_sound_is_asked_for_is_asked_without() {
    let sound = described("8");
    let again = [OPTIONS, &sound, SETUP, OK];
    for (case, hangs_up) in [("it hangs up", true), ("it says nothing", false)] {
        for before in [vec![OPTIONS, &sound, SETUP], vec![OPTIONS, &sound, SETUP, SETUP_SOUND]] {
            let mut dialogue = Dialogue::new(config(Transport::Tcp), &before);
            dialogue.replies = again.iter().map(|reply| (*reply).to_owned()).collect();
            if hangs_up {
                dialogue.client.handle_disconnected(dialogue.now);
                dialogue.run();
            } else {
                dialogue.wait(Timeouts::default().connect);
            }
            let words = dialogue.take_words();
            assert!(words.ends_with("playing"), "{case} after {}: {words}", before.len());
            assert!(words.contains("is left out"), "{case}: {words}");
        }
    }
}

#[test]
fn the_silence_of_the_picture_is_noticed_while_there_is_sound() {
    let sound = described("8");
    let replies = [OPTIONS, &sound, SETUP, SETUP_SOUND, OK];
    let mut dialogue = Dialogue::new(config(Transport::Auto), &replies);
    dialogue.take_words();
    let silence = Timeouts::default().silence;
    for sequence in 0..20 {
        dialogue.send(&frame(2, &rtp(sequence, 8)));
        dialogue.wait(silence / 20);
    }
    let words = dialogue.take_words();
    assert!(words.contains("packet 3") && words.ends_with("Silent"), "{words}");
}

#[test]
fn packets_of_sound_on_a_channel_that_nobody_named_are_told_by_their_type() {
    let sound = described("8");
    let replies = [OPTIONS, &sound, SETUP, SETUP_SOUND, OK];
    let mut dialogue = Dialogue::new(config(Transport::Auto), &replies);
    dialogue.take_words();
    let strays = [(6, 8), (7, 96), (8, 97)];
    for (channel, payload_type) in [&strays[..], &[(0, 96), (2, 8)], &strays].concat() {
        dialogue.send(&frame(channel, &rtp(channel.into(), payload_type)));
    }
    // Once the channels that were named are used, others have a stream that was not asked for.
    assert_eq!(dialogue.take_words(), "packet 6, packet 7, packet 0, packet 2");
}
