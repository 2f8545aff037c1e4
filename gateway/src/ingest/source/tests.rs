use std::time::Duration;

use super::*;

fn parse(text: &str) -> Source {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn user_and_password_are_removed_from_the_address() {
    let table = [
        ("rtsp://cam/live", "rtsp://cam/live", None),
        ("rtsp://admin:secret@cam:8554/a?b=c", "rtsp://cam:8554/a?b=c", Some(("admin", "secret"))),
        ("rtsp://admin@10.0.0.7/", "rtsp://10.0.0.7/", Some(("admin", ""))),
        ("rtsp://u%40x:p%23%2f@[fd00::1]/x", "rtsp://[fd00::1]/x", Some(("u@x", "p#/"))),
        ("rtsp://u:100%zz@cam/", "rtsp://cam/", Some(("u", "100%zz"))),
    ];
    for (text, expected_url, expected) in table {
        let Source::Rtsp(camera) = parse(text) else { panic!("{text}") };
        let RtspCamera { address, credentials, transport, .. } = camera;
        assert_eq!(address.url(), expected_url);
        assert_eq!(transport, Transport::Auto);
        let credentials = credentials.map(|c| (c.user.clone(), c.password.clone()));
        assert_eq!(credentials, expected.map(|(u, p)| (u.to_owned(), p.to_owned())), "{text}");
    }
}

#[test]
fn transport_and_tls_are_chosen_behind_the_address() {
    for (text, transport, verifies_tls) in [
        ("rtsp://cam/", Transport::Auto, false),
        ("rtsp://cam/#transport=auto", Transport::Auto, false),
        ("rtsp://cam/#transport=tcp", Transport::Tcp, false),
        ("rtsp://cam/#transport=udp", Transport::Udp, false),
        ("rtsp://cam/#transport=multicast", Transport::Multicast, false),
        ("rtsp://cam/#transport=http", Transport::Http, false),
        ("rtsps://cam/", Transport::Auto, false),
        ("rtsps://cam/#tls=verify", Transport::Auto, true),
        ("rtsps://cam/#transport=http&tls=verify", Transport::Http, true),
    ] {
        let Source::Rtsp(camera) = parse(text) else { panic!("{text}") };
        assert_eq!((camera.transport, camera.verifies_tls), (transport, verifies_tls), "{text}");
        let text = text.replace("#transport=auto", "");
        assert_eq!(camera.to_string(), text);
    }
    let timeouts = Timeouts { connect: Duration::from_secs(1), ..Timeouts::default() };
    let Source::Rtsp(camera) = parse("rtsp://cam/").with_timeouts(timeouts) else { panic!() };
    assert_eq!(camera.timeouts, timeouts);
}

#[test]
fn no_password_is_ever_shown() {
    let valid = "rtsp://admin:hunter2@cam/live#transport=udp";
    let source = parse(valid);
    assert_eq!(source.to_string(), "rtsp://***:***@cam/live#transport=udp");
    assert!(!format!("{source:?}").contains("hunter2"));
    for text in [
        "rtsp://cam/user=admin&password=hunter2&channel=1&stream=0.sdp?real_stream",
        "rtsp://cam/live?usr=admin&pwd=hunter2",
        "rtsps://admin:hunter2@cam/?token=hunter2",
    ] {
        let source = parse(text);
        assert!(!format!("{source} {source:?}").contains("hunter2"), "{source}");
    }
    for text in [
        "rtsp://admin:hunter2#x@cam/",
        "rtsp://admin:hunter2@",
        "rtsp://admin:hunter2@cam:99999/",
        "rtsp://admin:x#hunter2@cam/",
        "rtsp://admin:1#hunter2@cam/",
    ] {
        let error = Source::from_str(text).expect_err(text);
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
    }
}

#[test]
fn addresses_of_local_ports_are_parsed() {
    let table = [
        ("rtp://0.0.0.0:5004?codec=h264", "0.0.0.0:5004", Codec::H264, None, 0),
        ("rtp://[::1]:5004?codec=H265&payload_type=35", "[::1]:5004", Codec::H265, Some(35), 0),
        ("rtp://:6000/?codec=h264&sprop=Z0LAHtkA,aMuM+g==", "[::]:6000", Codec::H264, None, 2),
    ];
    for (text, listen, codec, payload_type, sets) in table {
        let source = parse(text);
        let Source::Rtp { listen: address, description, payload_type: number } = source else {
            panic!("{text}");
        };
        assert_eq!((address, number), (listen.parse().unwrap(), payload_type));
        assert_eq!((description.codec, description.parameter_sets.len()), (codec, sets));
        assert_eq!(description.delivery, Delivery::Udp);
    }
}

#[test]
fn files_and_test_pictures_are_parsed() {
    for text in ["rtp+sdp:/run/cam.sdp", "/run/cam.sdp", "cam.SDP"] {
        let Source::RtpSdp { file } = parse(text) else { panic!("{text}") };
        assert!(text.ends_with(file.to_str().unwrap()));
    }
    let picture = |width, height, frames_per_second, bitrate| {
        Source::Test(TestPicture { width, height, frames_per_second, bitrate })
    };
    assert_eq!(parse("test:"), picture(1280, 720, 30, 2_000_000));
    assert_eq!(parse("test:640x360"), picture(640, 360, 30, 2_000_000));
    assert_eq!(parse("test:321x241@15#bitrate=500000"), picture(320, 240, 15, 500_000));
    assert_eq!(parse("test:@5"), picture(1280, 720, 5, 2_000_000));
    assert_eq!(parse("test:@5").to_string(), "test:1280x720@5");
}

#[test]
fn invalid_addresses_are_refused_with_a_remedy() {
    let table = [
        ("", "rtsp://, rtp:// or test:"),
        ("http://cam/", "begins with “http”"),
        ("rtsp:///path", "not a valid rtsp:// address"),
        ("rtsp://a:b#c@cam/", "%23"),
        ("rtsp://cam/#transport=sctp", "tcp, udp, multicast"),
        ("rtsps://cam/#transport=udp", "encrypts TCP only"),
        ("rtsps://cam/#tls=none", "expected verify"),
        ("rtp://cam.local:5004?codec=h264", "an address of this machine"),
        ("rtp://0.0.0.0?codec=h264", "an address of this machine"),
        ("rtp://0.0.0.0:0?codec=h264", "an address of this machine"),
        ("rtp://0.0.0.0:5004", "codec=h264"),
        ("rtp://0.0.0.0:5004?codec=mpeg4", "“mpeg4” is not a value for codec"),
        ("rtp://0.0.0.0:5004?codec=h264&pt=9", "“pt” is not known"),
        ("rtp://0.0.0.0:5004?codec=h264&payload_type=200", "below 128"),
        ("test:10x10", "from 256x144"),
        ("test:1280x720@0", "1 to 60"),
        ("test:#bitrate=1", "50000 to 20000000"),
        ("test:#sound=on", "“sound” is not known"),
    ];
    for (text, expected) in table {
        let error = Source::from_str(text).expect_err(text).to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
}
