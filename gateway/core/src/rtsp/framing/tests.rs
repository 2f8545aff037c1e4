use proptest::prelude::*;

use super::*;

/// Returns the items of a stream in words, when it is cut into pieces of this length.
fn items(stream: &[u8], step: usize, expects_body: bool) -> Result<Vec<String>, FramingError> {
    let mut decoder = Decoder::default();
    decoder.set_expects_body(expects_body);
    decoder.add_channel(0);
    let mut words = Vec::new();
    for piece in stream.chunks(step) {
        decoder.push(piece);
        while let Some(item) = decoder.next()? {
            words.push(word(&item));
        }
    }
    if let Some(item) = decoder.finish()? {
        words.push(format!("finished {}", word(&item)));
    }
    Ok(words)
}

fn word(item: &Item) -> String {
    match item {
        Item::Frame { channel, payload } => format!("frame {channel} {}", payload.len()),
        Item::Message(Message { start: Start::Reply(status), headers, body, .. }) => {
            let cseq = headers.get("CSeq").unwrap_or("-");
            format!("reply {status} {cseq} {}", body.len())
        }
        Item::Message(Message { start: Start::Request(method), body, .. }) => {
            format!("{method} {}", body.len())
        }
    }
}

#[test]
fn items_are_found_between_noise() {
    let table: Vec<(&str, Vec<u8>, &[&str])> = vec![
        ("a reply", b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n".to_vec(), &["reply 200 1 0"]),
        (
            "line feeds only",
            b"RTSP/1.0 200 OK\nCSeq: 1\n\n$\0\0\x01x".to_vec(),
            &["reply 200 1 0", "frame 0 1"],
        ),
        ("mixed line ends", b"RTSP/1.0 200 OK\nCSeq: 1\r\n\n".to_vec(), &["reply 200 1 0"]),
        (
            "a folded header of one blank",
            b"RTSP/1.0 200 OK\r\nSession: 1\r\n \r\nCSeq: 2\r\n\r\n".to_vec(),
            &["reply 200 2 0"],
        ),
        (
            "a body",
            b"RTSP/1.0 200 OK\r\nContent-Length:4\r\n\r\nabcdRTSP/1.0 404 No\r\n\r\n".to_vec(),
            &["reply 200 - 4", "reply 404 - 0"],
        ),
        (
            "frames",
            b"$\0\0\x02ab$\0\0\0$\0\0\x01c".to_vec(),
            &["frame 0 2", "frame 0 0", "frame 0 1"],
        ),
        ("an unknown channel with RTP", b"$\x09\0\x02\x80b".to_vec(), &["frame 9 2"]),
        ("a mark that begins no frame", b"$$\x09\0\x02ab$\0\0\x01c".to_vec(), &["frame 0 1"]),
        (
            "zeros between frames",
            b"\0\0\0$\0\0\x01c\r\n\r\n$\0\0\x01d".to_vec(),
            &["frame 0 1", "frame 0 1"],
        ),
        (
            "noise before a reply",
            b"\xff\xfe\x01RTSP/1.0 200 OK\r\n\r\n".to_vec(),
            &["reply 200 - 0"],
        ),
        ("a line of noise", b"garbage\r\nRTSP/1.0 200 OK\r\n\r\n".to_vec(), &["reply 200 - 0"]),
        (
            "no empty line before a frame",
            b"RTSP/1.0 200 OK\r\nCSeq: 3\r\n$\0\0\x01c".to_vec(),
            &["reply 200 3 0", "frame 0 1"],
        ),
        (
            "no empty line at all",
            b"RTSP/1.0 200 OK\r\nCSeq: 3\r\n".to_vec(),
            &["finished reply 200 3 0"],
        ),
        (
            "a request",
            b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n$\0\0\x01c".to_vec(),
            &["OPTIONS 0", "frame 0 1"],
        ),
        (
            "a request with a body",
            b"ANNOUNCE rtsp://x RTSP/1.0\r\nContent-Length: 3\r\n\r\nv=0".to_vec(),
            &["ANNOUNCE 3"],
        ),
    ];
    for (case, stream, expected) in table {
        for step in [stream.len(), 1, 3] {
            assert_eq!(items(&stream, step, false).unwrap(), expected, "{case}, {step} at a time");
        }
    }
}

#[test]
fn descriptions_are_found_whatever_their_length_says() {
    let sdp = "v=0\r\nm=video 0 RTP/AVP 96\r\na=control:x\r\n";
    let reply = |length: &str, rest: &str| format!("RTSP/1.0 200 OK\r\n{length}\r\n{sdp}{rest}");
    let len = sdp.len();
    let table = [
        ("right", reply(&format!("Content-Length: {len}\r\n"), ""), "reply 200 - 40"),
        ("none", reply("", ""), "finished reply 200 - 40"),
        ("none, and a frame", reply("", "$\0\0\x01x"), "reply 200 - 40"),
        ("zero", reply("Content-Length: 0\r\n", ""), "finished reply 200 - 40"),
        ("too long", reply("Content-Length: 60\r\n", ""), "finished reply 200 - 40"),
        ("too short", reply("Content-Length: 30\r\n", ""), "finished reply 200 - 40"),
        ("a line too short", reply("Content-Length: 5\r\n", ""), "finished reply 200 - 40"),
    ];
    for (case, stream, expected) in table {
        let words = items(stream.as_bytes(), stream.len(), true).unwrap();
        assert_eq!(words.first().map(String::as_str), Some(expected), "{case}: {words:?}");
    }
}

#[test]
fn bounds_hold_and_are_named() {
    let endless = [b"RTSP/1.0 200 OK\r\n".to_vec(), b"X: y\r\n".repeat(MAX_HEAD / 4)].concat();
    let table = [
        ("endless headers", endless, FramingError::Head),
        ("an endless line", vec![b'A'; MAX_HEAD + 2], FramingError::Head),
        ("endless noise", vec![0xff; MAX_JUNK + 2], FramingError::Junk),
        (
            "a body of 1 MB",
            b"RTSP/1.0 200 OK\r\nContent-Length: 1000000\r\n\r\n".to_vec(),
            FramingError::Body,
        ),
        (
            "an endless body",
            [b"RTSP/1.0 200 OK\r\n\r\n".to_vec(), b"a=b\r\n".repeat(MAX_BODY / 4)].concat(),
            FramingError::Body,
        ),
    ];
    for (case, stream, expected) in table {
        assert_eq!(items(&stream, 4096, true), Err(expected), "{case}");
    }
}

proptest! {
    #[test]
    fn a_stream_is_read_the_same_however_it_is_cut(
        parts in prop::collection::vec(prop::sample::select(vec![
            &b"RTSP/1.0 200 OK\r\n"[..], b"CSeq: 1\r\n", b"\r\n", b"\n", b"$\0\0\x02ab", b"$\x01",
            b"\0\x01\x80", b"Content-Length: 3\r\n", b"abc", b"OPTIONS * RTSP/1.0\r\n", b"\xff",
        ]), 0..20),
        step in 1_usize..9,
    ) {
        let stream = parts.concat();
        prop_assert_eq!(items(&stream, stream.len().max(1), false), items(&stream, step, false));
    }

    #[test]
    fn any_bytes_are_read_within_bounds(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = items(&bytes, 7, true);
    }
}
