mod careless;
mod sound;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::media::{RtpHeader, RtpPacket};
use crate::rtsp::{Caution, Credentials, Timeouts};

const PEER: &str = "192.0.2.1:554";
const SDP: &str = "v=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:track1\r\n";
const OK: &str = "RTSP/1.0 200 OK\r\nCSeq: {cseq}\r\n\r\n";
const OPTIONS: &str = "RTSP/1.0 200 OK\r\nCSeq: {cseq}\r\nPublic: GET_PARAMETER\r\n\r\n";
const DESCRIBE: &str = "RTSP/1.0 200 OK\r\nCSeq: {cseq}\r\nContent-Base: rtsp://cam/live/\r\n\
    Content-Type: application/sdp\r\nContent-Length: {length}\r\n\r\n{sdp}";
const SETUP: &str = "RTSP/1.0 200 OK\r\nCSeq: {cseq}\r\nSession: 7;timeout=60\r\n\
    Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n\r\n";

fn config(transport: Transport) -> Config {
    Config {
        address: Address::parse("rtsp://cam/live").unwrap(),
        credentials: None,
        transport,
        timeouts: Timeouts::default(),
        caution: Caution::default(),
        require: Vec::new(),
        seed: 1,
    }
}

/// A client, the replies that it will get, and everything that it has put out, in words.
struct Dialogue {
    client: Client,
    now: Instant,
    /// The next replies; an empty one is never sent.
    replies: VecDeque<String>,
    words: Vec<String>,
    /// The latest request.
    request: String,
}

impl Dialogue {
    fn new(config: Config, replies: &[&str]) -> Self {
        let now = Instant::now();
        let replies = replies.iter().map(|reply| (*reply).to_owned()).collect();
        let client = Client::new(config, now);
        let mut dialogue = Self { client, now, replies, words: Vec::new(), request: String::new() };
        dialogue.run();
        dialogue
    }

    /// Passes what the client sends to the camera, and its replies back, until nothing happens.
    fn run(&mut self) {
        while let Some(output) = self.client.poll_output() {
            match output {
                Output::Connect(connection) => {
                    self.words.push(format!("connect {}", connection.address.url()));
                    self.client.handle_connected(self.now, PEER.parse().unwrap());
                }
                Output::Send(_, bytes) => self.handle_sent(&bytes),
                Output::OpenPorts(track) => self.client.handle_ports(self.now, track, (6000, 6001)),
                Output::JoinGroup { group, ports, .. } => {
                    self.words.push(format!("join {group} {}", ports.0));
                }
                Output::Datagram(datagram) => {
                    self.words.push(format!("datagram {}", datagram.to));
                }
                Output::Described(stream) => {
                    self.words.push(format!("described {}", stream.video.codec));
                    if let Some(audio) = stream.audio {
                        let format = audio.format.map(|format| format.sent().to_string());
                        let text = format.unwrap_or_else(|problem| problem.to_string());
                        self.words.push(format!("sound {text}"));
                    }
                }
                Output::Playing => self.words.push("playing".to_owned()),
                Output::Packet { packet, .. } => {
                    self.words.push(format!("packet {}", packet.header.sequence));
                }
                Output::Clock { .. } => self.words.push("clock".to_owned()),
                Output::Ended(failure) => self.words.push(format!("{failure:?}")),
            }
        }
    }

    fn handle_sent(&mut self, bytes: &Bytes) {
        if bytes.starts_with(b"$") {
            self.words.push("report".to_owned());
            return;
        }
        self.request = String::from_utf8(bytes.to_vec()).unwrap();
        let first = self.request.lines().next().unwrap().trim_end_matches(" RTSP/1.0").to_owned();
        self.words.push(first.clone());
        if first.starts_with("RTSP/") {
            return;
        }
        let Some(reply) = self.replies.pop_front() else { return };
        let cseq = self.request.lines().find_map(|line| line.strip_prefix("CSeq: "));
        let reply = reply
            .replace("{cseq}", cseq.unwrap_or_default())
            .replace("{length}", &SDP.len().to_string())
            .replace("{sdp}", SDP);
        self.client.handle_data(self.now, reply.as_bytes());
    }

    fn send(&mut self, bytes: &[u8]) {
        self.client.handle_data(self.now, bytes);
        self.run();
    }

    /// Lets the time pass, with every deadline on its way.
    fn wait(&mut self, duration: Duration) {
        let end = self.now + duration;
        for _ in 0..1000 {
            let due = self.client.poll_timeout().filter(|due| *due <= end);
            self.now = due.unwrap_or(end).max(self.now);
            self.client.handle_timeout(self.now);
            self.run();
            if due.is_none() {
                return;
            }
        }
        panic!("a deadline that stays due");
    }

    fn header(&self, name: &str) -> Option<&str> {
        let line = self.request.lines().find(|line| line.starts_with(&format!("{name}: ")))?;
        line.split_once(": ").map(|(_, value)| value)
    }

    fn take_words(&mut self) -> String {
        std::mem::take(&mut self.words).join(", ")
    }
}

fn rtp(sequence: u16, payload_type: u8) -> Vec<u8> {
    let header = RtpHeader { marker: true, payload_type, sequence, timestamp: 1, ssrc: 9 };
    RtpPacket { header, payload: Bytes::from_static(b"\x65x") }.to_bytes().to_vec()
}

fn frame(channel: u8, packet: &[u8]) -> Vec<u8> {
    [&[b'$', channel, 0, u8::try_from(packet.len()).unwrap()], packet].concat()
}

/// Returns a dialogue with a camera that plays.
fn playing() -> Dialogue {
    let mut dialogue = Dialogue::new(config(Transport::Auto), &[OPTIONS, DESCRIBE, SETUP, OK]);
    assert!(dialogue.take_words().ends_with("playing"));
    dialogue
}

#[test]
fn a_camera_is_described_set_up_and_played() {
    let mut dialogue = Dialogue::new(config(Transport::Auto), &[OPTIONS, DESCRIBE, SETUP, OK]);
    assert_eq!(
        dialogue.take_words(),
        "connect rtsp://cam/live, OPTIONS rtsp://cam/live, DESCRIBE rtsp://cam/live, \
         SETUP rtsp://cam/live/track1, described H.264, PLAY rtsp://cam/live/, playing"
    );
    assert_eq!(dialogue.header("Session"), Some("7"));
    assert_eq!(dialogue.header("Range"), Some("npt=0.000-"));
    dialogue.send(&[frame(0, &rtp(1, 96)), frame(0, &rtp(2, 96))].concat());
    assert_eq!(dialogue.take_words(), "packet 1, packet 2");
    dialogue.client.close(dialogue.now);
    dialogue.run();
    assert_eq!(dialogue.take_words(), "TEARDOWN rtsp://cam/live/");
    assert_eq!(dialogue.client.poll_timeout(), None);
}

#[test]
fn replies_are_taken_whatever_is_odd_about_them() {
    let no_length = DESCRIBE.replace("Content-Length: {length}\r\n", "");
    let line_feeds = DESCRIBE.replace("\r\n", "\n");
    let cases: Vec<(&str, [&str; 4])> = vec![
        (
            "no CSeq",
            [
                OPTIONS,
                "RTSP/1.0 200 OK\r\nContent-Length: {length}\r\n\r\n{sdp}",
                SETUP,
                "RTSP/1.0 200 OK\r\n\r\n",
            ],
        ),
        (
            "always the same CSeq",
            [
                "RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n",
                "RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Length: {length}\r\n\r\n{sdp}",
                "RTSP/1.0 200 OK\r\nCSeq: 1\r\nSession: 7\r\n\r\n",
                "RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n",
            ],
        ),
        ("OPTIONS refused", ["RTSP/1.0 501 No\r\nCSeq: {cseq}\r\n\r\n", DESCRIBE, SETUP, OK]),
        ("no length", [OPTIONS, &no_length, SETUP, OK]),
        ("line feeds", [OPTIONS, &line_feeds, SETUP, OK]),
        (
            "a blank in the session id",
            [
                OPTIONS,
                DESCRIBE,
                "RTSP/1.0 200 OK\r\nCSeq: {cseq}\r\nSession: 7 ;timeout=60\r\n\r\n",
                OK,
            ],
        ),
        (
            "a folded header",
            [
                OPTIONS,
                DESCRIBE,
                SETUP,
                "RTSP/1.0 200 OK\r\nCSeq: {cseq}\r\nSession: 7\r\n \r\nRTP-Info: url=x\r\n\r\n",
            ],
        ),
        ("no session", [OPTIONS, DESCRIBE, OK, OK]),
        (
            "a provisional reply",
            [
                OPTIONS,
                DESCRIBE,
                SETUP,
                "RTSP/1.0 100 Continue\r\nCSeq: {cseq}\r\n\r\n\
                 RTSP/1.0 200 OK\r\nCSeq: {cseq}\r\n\r\n",
            ],
        ),
        ("HTTP", [OPTIONS, DESCRIBE, SETUP, "HTTP/1.1 200 OK\r\nCSeq: {cseq}\r\n\r\n"]),
        (
            "short transport",
            [
                OPTIONS,
                DESCRIBE,
                "RTSP/1.0 200 OK\r\nCSeq: {cseq}\r\nSession: 7\r\n\
                 Transport: RTP/AVP/TCP;unicast\r\n\r\n",
                OK,
            ],
        ),
        (
            "a wrong SSRC",
            [
                OPTIONS,
                DESCRIBE,
                "RTSP/1.0 200 OK\r\nCSeq: {cseq}\r\nSession: 7\r\n\
             Transport: RTP/AVP/TCP;unicast;interleaved=0-1;ssrc=DEADBEEF\r\n\r\n",
                OK,
            ],
        ),
    ];
    for (case, replies) in cases {
        let mut dialogue = Dialogue::new(config(Transport::Auto), &replies);
        dialogue.wait(Duration::from_secs(1));
        dialogue.send(&frame(0, &rtp(1, 96)));
        let words = dialogue.take_words();
        assert!(words.ends_with("playing, packet 1"), "{case}: {words}");
    }
}

#[test]
fn refusals_end_the_session_or_another_way_is_tried() {
    let refuse = |status: &str| format!("RTSP/1.0 {status} No\r\nCSeq: {{cseq}}\r\n\r\n");
    let udp = "RTSP/1.0 200 OK\r\nCSeq: {cseq}\r\nSession: 7\r\n\
        Transport: RTP/AVP;unicast;client_port=6000-6001;server_port=7000-7001\r\n\r\n";
    let elsewhere = DESCRIBE.replace("rtsp://cam/live/", "rtsp://10.0.0.1/x/");
    let (auto, tcp) = (Transport::Auto, Transport::Tcp);
    let (r404, r461, r453) = (refuse("404"), refuse("461"), refuse("453"));
    let (r459, r457) = (refuse("459"), refuse("457"));
    let table: Vec<(&str, Transport, Vec<&str>, &str)> = vec![
        ("no stream", auto, vec![OPTIONS, &r404], "NotFound(\"/live\")"),
        ("no bandwidth", auto, vec![OPTIONS, &r453], "Status(453)"),
        ("no TCP", tcp, vec![OPTIONS, DESCRIBE, &r461], "Transport(Tcp)"),
        (
            "UDP instead of TCP",
            auto,
            vec![OPTIONS, DESCRIBE, &r461, udp, OK],
            "SETUP rtsp://cam/live/track1, SETUP rtsp://cam/live/track1, \
             datagram 192.0.2.1:7000, datagram 192.0.2.1:7001, described H.264, \
             PLAY rtsp://cam/live/, playing",
        ),
        (
            "another address of the track",
            auto,
            vec![OPTIONS, &elsewhere, &r404, SETUP, OK],
            "SETUP rtsp://10.0.0.1/x/track1, SETUP rtsp://cam/live/track1, described?",
        ),
        (
            "no aggregate",
            auto,
            vec![OPTIONS, DESCRIBE, SETUP, &r459, &r459, OK],
            "PLAY rtsp://cam/live/, PLAY rtsp://cam/live, PLAY rtsp://cam/live/track1, playing",
        ),
        (
            "no range",
            auto,
            vec![OPTIONS, DESCRIBE, SETUP, &r457, OK],
            "PLAY rtsp://cam/live/, PLAY rtsp://cam/live/, playing",
        ),
        (
            "nothing at all",
            auto,
            vec![OPTIONS, DESCRIBE, SETUP, &r404, &r404, &r404, &r404, &r404],
            "TEARDOWN rtsp://cam/live/track1, NotFound(\"/live\")",
        ),
    ];
    for (case, transport, replies, expected) in table {
        let mut dialogue = Dialogue::new(config(transport), &replies);
        let words = dialogue.take_words();
        match expected.strip_suffix('?') {
            Some(part) => assert!(words.contains(part), "{case}: {words}"),
            None => assert!(words.ends_with(expected), "{case}: {words}"),
        }
    }
}

#[test]
fn a_redirect_is_followed_to_the_same_host_three_times() {
    let to = |url: &str| format!("RTSP/1.0 302 Moved\r\nCSeq: {{cseq}}\r\nLocation: {url}\r\n\r\n");
    let mut replies = vec![OPTIONS.to_owned(), to("rtsp://CAM:8554/other")];
    replies.extend([OPTIONS, DESCRIBE, SETUP, OK].map(str::to_owned));
    let replies: Vec<&str> = replies.iter().map(String::as_str).collect();
    let words = Dialogue::new(config(Transport::Auto), &replies).take_words();
    assert!(words.contains("connect rtsp://CAM:8554/other, OPTIONS"), "{words}");
    assert!(words.ends_with("playing"), "{words}");

    let table = [
        ("rtsp://other/live", "rtsp://other/live", "OtherHost"),
        ("rtsp://u:secret@other/l?pwd=secret", "rtsp://other/l?pwd=***", "OtherHost"),
        ("http://cam/", "http://cam/", "NotRtsp"),
        ("", "nowhere", "NotRtsp"),
    ];
    for (location, shown, problem) in table {
        let moved = to(location);
        let words = Dialogue::new(config(Transport::Auto), &[OPTIONS, &moved]).take_words();
        let expected = format!("Redirect {{ to: \"{shown}\", problem: {problem} }}");
        assert!(words.ends_with(&expected), "{words}");
        assert!(!words.contains("secret"), "{words}");
    }
    let around = to("/around");
    let replies = [&around[..]; 9];
    let words = Dialogue::new(config(Transport::Auto), &replies).take_words();
    assert_eq!(words.matches("connect").count(), 4, "{words}");
    assert!(words.ends_with("problem: TooMany }"), "{words}");
    // The same host by its address.
    let moved = to("rtsp://192.0.2.1:99/x");
    let words = Dialogue::new(config(Transport::Auto), &[OPTIONS, &moved]).take_words();
    assert!(words.contains("connect rtsp://192.0.2.1:99/x"), "{words}");
}

#[test]
fn a_password_is_sent_when_it_is_demanded_and_never_before() {
    let challenge = |extra: &str| {
        format!(
            "RTSP/1.0 401 Unauthorized\r\nCSeq: {{cseq}}\r\n\
             WWW-Authenticate: Digest realm=\"r\", nonce=\"{extra}\"\r\n\r\n"
        )
    };
    let (first, second) = (challenge("a"), challenge("b"));
    let mut with_password = config(Transport::Auto);
    let (user, password) = ("ada".to_owned(), "secret".to_owned());
    with_password.credentials = Some(Credentials { user, password });

    let replies = [OPTIONS, &first, DESCRIBE, SETUP, &second, OK];
    let mut dialogue = Dialogue::new(with_password.clone(), &replies);
    let words = dialogue.take_words();
    assert!(words.ends_with("PLAY rtsp://cam/live/, PLAY rtsp://cam/live/, playing"), "{words}");
    assert!(dialogue.header("Authorization").unwrap().contains("nonce=\"b\""));
    let words = Dialogue::new(with_password.clone(), &[OPTIONS, &first, &second]).take_words();
    assert!(words.ends_with("WrongPassword"), "{words}");
    let words = Dialogue::new(config(Transport::Auto), &[OPTIONS, &first]).take_words();
    assert!(words.ends_with("PasswordMissing"), "{words}");

    // A camera that closes the connection with its challenge.
    let closing = with_password.clone();
    let mut dialogue = Dialogue::new(with_password, &[OPTIONS, &first]);
    dialogue.replies = [OPTIONS, DESCRIBE, SETUP, OK].map(str::to_owned).into();
    dialogue.client.handle_disconnected(dialogue.now);
    dialogue.run();
    assert!(dialogue.take_words().ends_with("playing"));
    // One that does so although the password was in the request.
    let mut dialogue = Dialogue::new(closing, &[OPTIONS, &first]);
    dialogue.replies = [OPTIONS.to_owned(), second.clone()].into();
    for _ in 0..2 {
        dialogue.client.handle_disconnected(dialogue.now);
        dialogue.run();
    }
    assert!(dialogue.take_words().ends_with("WrongPassword"));
}

#[test]
fn a_password_is_shown_no_more_often_than_allowed() {
    let all = "WWW-Authenticate: Digest realm=\"r\", nonce=\"1\", algorithm=SHA-256\r\n\
        WWW-Authenticate: Digest realm=\"r\", nonce=\"2\", algorithm=MD5\r\n\
        WWW-Authenticate: Basic realm=\"r\"\r\n";
    let basic = "WWW-Authenticate: Basic realm=\"r\"\r\n";
    let stale = "WWW-Authenticate: Digest realm=\"r\", nonce=\"3\", stale=TRUE\r\n";
    for (name, values, max_refused, allows_text, shown, end) in [
        ("each scheme once", all, u8::MAX, true, 3, "WrongPassword"),
        ("twice", all, 2, true, 2, "WrongPassword"),
        ("once", all, 1, true, 1, "WrongPassword"),
        ("no text after a hash was refused", all, 9, false, 2, "WrongPassword"),
        ("never as text", basic, 2, false, 0, "WantsText"),
        ("as text", basic, 2, true, 1, "WrongPassword"),
        ("an old nonce is believed once", stale, 2, false, 3, "WrongPassword"),
    ] {
        let mut config = config(Transport::Auto);
        let (user, password) = ("ada".to_owned(), "secret".to_owned());
        config.credentials = Some(Credentials { user, password });
        config.caution = Caution { allows_text, max_refused };
        let refusal = format!("RTSP/1.0 401 Unauthorized\r\nCSeq: {{cseq}}\r\n{values}\r\n");
        let replies = [&[OPTIONS][..], &[refusal.as_str(); 20]].concat();
        let words = Dialogue::new(config, &replies).take_words();
        assert!(words.ends_with(end), "{name}: {words}");
        assert_eq!(words.matches("DESCRIBE").count(), shown + 1, "{name}: {words}");
    }
}

#[test]
fn the_camera_is_answered_and_kept_alive() {
    let mut dialogue = playing();
    dialogue.send(b"OPTIONS * RTSP/1.0\r\nCSeq: 5\r\nSession: 7\r\n\r\n");
    assert_eq!((dialogue.header("CSeq"), dialogue.header("Session")), (Some("5"), Some("7")));
    assert_eq!(dialogue.take_words(), "RTSP/1.0 200 OK");
    dialogue.send(b"ANNOUNCE rtsp://cam RTSP/1.0\r\nCSeq: 6\r\nContent-Length: 3\r\n\r\nv=0");
    dialogue.send(b"FANCY rtsp://cam RTSP/1.0\r\nCSeq: 7\r\n\r\n");
    assert_eq!(dialogue.take_words(), "RTSP/1.0 200 OK, RTSP/1.0 501 Not Implemented");

    let mut methods = Vec::new();
    dialogue.replies = ["RTSP/1.0 405 No\r\nCSeq: {cseq}\r\n\r\n".to_owned()].into();
    for _ in 0..13 {
        dialogue.wait(Duration::from_secs(5));
        dialogue.send(&frame(0, &rtp(1, 96)));
        let words = dialogue.take_words();
        methods.extend(words.split(", ").filter(|w| w.contains("rtsp")).map(str::to_owned));
        assert!(words.contains("report") && words.contains("packet"), "{words}");
    }
    let expected = ["GET_PARAMETER rtsp://cam/live/", "OPTIONS rtsp://cam/live/"];
    assert_eq!(methods, expected, "one every 30 s, and a refused one is replaced");

    dialogue.send(b"TEARDOWN rtsp://cam RTSP/1.0\r\nCSeq: 8\r\n\r\n");
    assert!(dialogue.take_words().ends_with("Ended"));
}

#[test]
fn packets_are_taken_from_the_camera_only_and_from_odd_channels() {
    let mut dialogue = playing();
    dialogue.send(&frame(4, &rtp(1, 96)));
    dialogue.send(&frame(4, &rtp(2, 97)));
    dialogue.send(&frame(1, &rtp(3, 96)));
    let expected = "packet 1, packet 3";
    assert_eq!(dialogue.take_words(), expected, "the only track, by its payload type");
    let mut dialogue = playing();
    for sequence in 0..6 {
        dialogue.send(&frame(0, &rtp(sequence, 98)));
    }
    assert_eq!(dialogue.take_words(), "packet 4, packet 5", "its description was wrong");
}

#[test]
fn a_multicast_group_is_joined() {
    let reply = "RTSP/1.0 200 OK\r\nCSeq: {cseq}\r\nSession: 7\r\n\
        Transport: RTP/AVP;multicast;destination=239.1.2.3;port=5000-5001;ttl=1\r\n\r\n";
    let replies = [OPTIONS, DESCRIBE, reply, OK];
    let words = Dialogue::new(config(Transport::Multicast), &replies).take_words();
    assert!(words.contains("join 239.1.2.3 5000"), "{words}");
    let replies = [OPTIONS, DESCRIBE, OK];
    let words = Dialogue::new(config(Transport::Multicast), &replies).take_words();
    assert!(words.ends_with("Transport(Multicast)"), "no group was named: {words}");
}

#[test]
fn silence_is_noticed_in_time() {
    let connect = Timeouts::default().connect;
    for replies in [vec![], vec![OPTIONS], vec![OPTIONS, DESCRIBE], vec![OPTIONS, DESCRIBE, SETUP]]
    {
        let mut dialogue = Dialogue::new(config(Transport::Auto), &replies);
        dialogue.wait(connect - Duration::from_millis(1));
        assert!(!dialogue.take_words().contains("NoReply"), "{}", replies.len());
        dialogue.wait(Duration::from_millis(1));
        assert!(dialogue.take_words().ends_with("NoReply"), "{}", replies.len());
    }
    let mut dialogue = playing();
    dialogue.wait(Timeouts::default().silence - Duration::from_millis(1));
    assert!(!dialogue.take_words().contains("Silent"));
    dialogue.wait(Duration::from_millis(1));
    assert!(dialogue.take_words().ends_with("TEARDOWN rtsp://cam/live/, Silent"));
    let mut dialogue = playing();
    dialogue.client.handle_disconnected(dialogue.now);
    dialogue.run();
    assert_eq!(dialogue.take_words(), "TEARDOWN rtsp://cam/live/, Ended");
}

#[test]
fn a_hostile_camera_is_given_up_with_one_sentence() {
    let table: Vec<(&str, Vec<u8>, &str)> = vec![
        ("endless headers", b"RTSP/1.0 200 OK\r\nX: ".repeat(2000), "header of more than"),
        ("endless noise", vec![0xff; 1 << 20], "neither RTSP nor RTP"),
        ("replies to nothing", b"RTSP/1.0 200 OK\r\n\r\n".repeat(1000), "messages a second"),
        ("endless requests", b"OPTIONS * RTSP/1.0\r\n\r\n".repeat(1000), "messages a second"),
        (
            "1 MB of description",
            b"RTSP/1.0 200 OK\r\nContent-Length: 1000000\r\n\r\n".to_vec(),
            "longer than",
        ),
    ];
    for (case, bytes, expected) in table {
        let mut dialogue = playing();
        for piece in bytes.chunks(4096) {
            dialogue.client.handle_data(dialogue.now, piece);
            assert!(dialogue.client.outputs.len() < 1000, "{case}");
        }
        dialogue.run();
        let words = dialogue.take_words();
        assert!(words.contains(expected), "{case}: {words}");
        assert_eq!(words.matches("Protocol").count(), 1, "{case}");
    }
    // One byte a second: the bound of the reply holds all the same.
    let mut dialogue = Dialogue::new(config(Transport::Auto), &[OPTIONS]);
    for _ in 0..12 {
        dialogue.send(b"R");
        dialogue.wait(Duration::from_secs(1));
    }
    assert!(dialogue.take_words().ends_with("NoReply"));
}

#[test]
fn a_tunnel_carries_requests_in_base64() {
    let mut client = Client::new(config(Transport::Http), Instant::now());
    let now = Instant::now();
    assert!(matches!(client.poll_output(), Some(Output::Connect(c)) if c.is_tunnel));
    client.handle_connected(now, PEER.parse().unwrap());
    let Some(Output::Send(Line::Main, get)) = client.poll_output() else { panic!() };
    assert!(get.starts_with(b"GET /live HTTP/1.0\r\n"), "{get:?}");
    client.handle_data(now, b"HTTP/1.0 200 OK\r\nContent-Length: 99999999\r\n\r\n");
    let Some(Output::Send(Line::Upstream, post)) = client.poll_output() else { panic!() };
    assert!(post.starts_with(b"POST /live HTTP/1.0\r\n"), "{post:?}");
    let Some(Output::Send(Line::Upstream, request)) = client.poll_output() else { panic!() };
    let request = STANDARD.decode(request).unwrap();
    assert!(request.starts_with(b"OPTIONS rtsp://cam/live RTSP/1.0\r\n"), "{request:?}");
}

proptest! {
    #[test]
    fn no_stream_of_bytes_breaks_the_client(
        parts in prop::collection::vec(prop::sample::select(vec![
            "RTSP/1.0 200 OK\r\n", "RTSP/1.0 401 No\r\n", "RTSP/1.0 302 Moved\r\n", "CSeq: 1\r\n",
            "Location: rtsp://cam/x\r\n", "Session: 1;timeout=1\r\n", "\r\n", "$", "\0", "\u{1}",
            "Transport: RTP/AVP;server_port=1-2\r\n", "Content-Length: 9\r\n", "m=video 0 RTP 96",
            "WWW-Authenticate: Digest realm=r, nonce=n\r\n", "a=rtpmap:96 H264\r\n", "OPTIONS *",
        ]), 0..60),
        udp in any::<bool>(),
    ) {
        let transport = if udp { Transport::Udp } else { Transport::Auto };
        let mut dialogue = Dialogue::new(config(transport), &[]);
        for part in parts {
            dialogue.send(part.as_bytes());
            dialogue.wait(Duration::from_millis(300));
        }
        dialogue.wait(Duration::from_secs(60));
        prop_assert!(dialogue.client.poll_timeout().is_none(), "it ends in time");
    }
}
