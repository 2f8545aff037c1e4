//! The targets for RTSP: the client in virtual time, and the stream that it reads.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use porthole_gateway_core::media::RtpPacket;
use porthole_gateway_core::rtsp::{
    Address, Caution, Client, Config, Credentials, Failure, Output, Port, Timeouts, Transport,
};

/// Maximum number of outputs that one input may cause: a read of 64 kB has at most 16,000 frames.
const MAX_OUTPUTS: usize = 20_000;

/// Maximum number of deadlines on the way to the end of a session that hears nothing more.
const MAX_DEADLINES: usize = 200;

/// The description of a camera with one track.
const SDP: &str = "v=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n";

/// A client, and what it has put out.
struct Session {
    client: Client,
    now: Instant,
    packets: Vec<RtpPacket>,
    connections: u32,
    failure: Option<Failure>,
}

impl Session {
    fn new(transport: Transport, with_password: bool) -> Self {
        let credentials = Credentials { user: "u".to_owned(), password: "p".to_owned() };
        let config = Config {
            address: Address::parse("rtsp://cam/live").expect("a valid address"),
            credentials: with_password.then_some(credentials),
            transport,
            timeouts: Timeouts::default(),
            caution: Caution::default(),
            require: Vec::new(),
            seed: 1,
        };
        let now = Instant::now();
        let client = Client::new(config, now);
        let (packets, failure) = (Vec::new(), None);
        let mut session = Self { client, now, packets, connections: 0, failure };
        session.drain();
        session
    }

    fn handle_data(&mut self, bytes: &[u8]) {
        self.client.handle_data(self.now, bytes);
        self.drain();
    }

    fn handle_datagram(&mut self, bytes: &[u8]) {
        let bytes = bytes.to_vec().into();
        self.client.handle_datagram(self.now, 0, Port::Rtp, peer(), bytes);
        self.drain();
    }

    /// Applies the outputs.
    fn drain(&mut self) {
        for _ in 0..MAX_OUTPUTS {
            let Some(output) = self.client.poll_output() else { return };
            assert!(self.failure.is_none(), "nothing follows the end: {output:?}");
            match output {
                Output::Connect(_) => {
                    self.connections += 1;
                    self.client.handle_connected(self.now, peer());
                }
                Output::OpenPorts(track) => self.client.handle_ports(self.now, track, (6000, 6001)),
                Output::Packet { packet, .. } => self.packets.push(packet),
                Output::Ended(failure) => self.failure = Some(failure),
                Output::Send(..)
                | Output::JoinGroup { .. }
                | Output::Datagram(_)
                | Output::Described(_)
                | Output::Playing
                | Output::Clock { .. } => {}
            }
        }
        panic!("the outputs do not end");
    }

    fn wait(&mut self, duration: Duration) {
        let end = self.now + duration;
        for _ in 0..MAX_DEADLINES {
            let Some(due) = self.client.poll_timeout().filter(|due| *due <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(due);
            self.client.handle_timeout(self.now);
            self.drain();
        }
        panic!("a deadline stays due");
    }
}

fn peer() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 554))
}

/// Checks that a session with any camera stays within its bounds and ends in time. The first byte
/// chooses the transport; then come pieces, each after its length and the tenths of a second before
/// it.
pub fn rtsp_client(data: &[u8]) {
    let Some((choice, mut rest)) = data.split_first() else { return };
    let transport = match choice % 5 {
        0 => Transport::Auto,
        1 => Transport::Tcp,
        2 => Transport::Udp,
        3 => Transport::Multicast,
        _ => Transport::Http,
    };
    let mut session = Session::new(transport, choice & 0x80 != 0);
    while let [len, tenths, piece @ ..] = rest {
        // A length of 255 takes everything that is left.
        let len = if *len == u8::MAX { piece.len() } else { piece.len().min(usize::from(*len)) };
        let (piece, after) = piece.split_at(len);
        session.wait(Duration::from_millis(100) * u32::from(tenths % 64));
        match tenths / 64 {
            0 | 1 => session.handle_data(piece),
            2 => session.handle_datagram(piece),
            _ => {
                session.client.handle_disconnected(session.now);
                session.drain();
            }
        }
        rest = after;
    }
    session.wait(Duration::from_secs(120));
    assert!(session.failure.is_some(), "silence ends every session");
    assert_eq!(session.client.poll_timeout(), None);
}

/// Checks that the packets of a playing camera are the same however its stream is cut. The first
/// byte is the length of the pieces.
pub fn rtsp_frames(data: &[u8]) {
    let Some((step, stream)) = data.split_first() else { return };
    let step = usize::from(*step).max(1);
    let at_once = packets(stream, stream.len().max(1));
    let in_pieces = packets(stream, step);
    assert_eq!(at_once, in_pieces);
}

/// Returns the packets of a camera that plays, and true if its session lives on.
fn packets(stream: &[u8], step: usize) -> (Vec<RtpPacket>, bool) {
    let mut session = Session::new(Transport::Tcp, false);
    let replies = [
        "RTSP/1.0 200 OK\r\n\r\n".to_owned(),
        format!("RTSP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n{SDP}", SDP.len()),
        "RTSP/1.0 200 OK\r\nSession: 1\r\n\r\n".to_owned(),
        "RTSP/1.0 200 OK\r\n\r\n".to_owned(),
    ];
    for reply in &replies {
        session.handle_data(reply.as_bytes());
    }
    for piece in stream.chunks(step) {
        session.handle_data(piece);
        // What follows a redirect does not belong to the next connection.
        if session.connections > 1 {
            break;
        }
    }
    (session.packets, session.failure.is_none())
}
