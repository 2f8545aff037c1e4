//! The server of a scripted camera.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use porthole_gateway_core::media::{RtpHeader, RtpPacket};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::interval;

use super::{FIRST_SEQUENCE, PAYLOAD_TYPE, Packet, Reply, Request, ScriptedCamera, TICKS};

/// Time between two pictures.
const PERIOD: Duration = Duration::from_nanos(1_000_000_000 / 15);

/// Time by which a datagram is late.
const LAG: Duration = Duration::from_millis(30);

/// SSRC of an ordinary camera.
const SSRC: u32 = 0x1234_5678;

pub(super) async fn serve(
    listener: TcpListener,
    camera: Arc<ScriptedCamera>,
    log: Arc<Mutex<Vec<Request>>>,
    other_port: u16,
    is_second: bool,
) {
    let mut tasks = JoinSet::new();
    for connection in 0.. {
        let Ok((stream, peer)) = listener.accept().await else { return };
        let (read, mut write) = stream.into_split();
        let (sender, mut bytes) = mpsc::channel::<Vec<u8>>(64);
        tasks.spawn(async move {
            while let Some(bytes) = bytes.recv().await {
                // An empty message closes the connection.
                if bytes.is_empty() || write.write_all(&bytes).await.is_err() {
                    return;
                }
            }
        });
        let session = Session {
            camera: Arc::clone(&camera),
            log: Arc::clone(&log),
            template: Request {
                text: String::new(),
                connection,
                earlier: 0,
                other_port,
                is_second,
            },
            peer,
            sender,
            udp: None,
            counts: HashMap::new(),
        };
        tasks.spawn(session.run(read));
    }
}

/// A connection of a client.
struct Session {
    camera: Arc<ScriptedCamera>,
    log: Arc<Mutex<Vec<Request>>>,
    /// A request of this connection without its text.
    template: Request,
    peer: SocketAddr,
    sender: mpsc::Sender<Vec<u8>>,
    udp: Option<(Arc<UdpSocket>, SocketAddr)>,
    counts: HashMap<String, usize>,
}

impl Session {
    async fn run(mut self, mut read: OwnedReadHalf) {
        let mut players = JoinSet::new();
        let mut buffer = Vec::new();
        loop {
            while let Some(text) = next_request(&mut buffer) {
                let (is_playing, closes) = self.handle(text).await;
                if is_playing {
                    players.spawn(play(
                        Arc::clone(&self.camera),
                        self.sender.clone(),
                        self.udp.clone(),
                    ));
                }
                if closes {
                    let _ = self.sender.send(Vec::new()).await;
                    return;
                }
            }
            let mut chunk = [0; 4096];
            match read.read(&mut chunk).await {
                Ok(len @ 1..) => buffer.extend_from_slice(&chunk[..len]),
                Ok(0) | Err(_) => return,
            }
        }
    }

    /// Answers a request. Returns true if the camera now plays, and true if it closes.
    async fn handle(&mut self, text: String) -> (bool, bool) {
        let method = text.split(' ').next().unwrap_or_default().to_owned();
        // Our reply to a request of the camera.
        if method.starts_with("RTSP/") {
            self.log(Request { text, ..self.template.clone() });
            return (false, false);
        }
        let count = self.counts.entry(method.clone()).or_default();
        let request = Request { text, earlier: *count, ..self.template.clone() };
        *count += 1;
        let plain = self.plain(&request).await;
        let reply = (self.camera.answer)(&request, plain);
        self.log(request);
        let _ = self.sender.send(reply.bytes()).await;
        (method == "PLAY" && reply.status.starts_with("200"), reply.closes)
    }

    fn log(&self, request: Request) {
        self.log.lock().expect("no test panics with it").push(request);
    }

    /// Returns the reply of a camera that does everything right.
    async fn plain(&mut self, request: &Request) -> Reply {
        let reply = Reply {
            status: "200 OK".to_owned(),
            headers: Vec::new(),
            body: String::new(),
            raw: None,
            closes: false,
        };
        let reply = reply.with("CSeq", request.header("CSeq").unwrap_or_default());
        match request.method() {
            "OPTIONS" => {
                reply.with("Public", "OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER")
            }
            "DESCRIBE" => reply
                .with("Content-Type", "application/sdp")
                .with("Content-Base", &format!("{}/", request.uri()))
                .body(&self.camera.sdp),
            "SETUP" => {
                let wanted = request.header("Transport").unwrap_or_default().to_owned();
                let transport = match wanted.split_once("client_port=") {
                    Some((_, ports)) => self.open_udp(ports).await,
                    None => wanted,
                };
                reply.with("Session", "12345678;timeout=60").with("Transport", &transport)
            }
            _ => reply.with("Session", "12345678"),
        }
    }

    async fn open_udp(&mut self, ports: &str) -> String {
        let port = ports.split('-').next().and_then(|port| port.parse().ok()).expect("a port");
        let from = if self.camera.is_elsewhere { "127.0.0.2:0" } else { "127.0.0.1:0" };
        let socket = UdpSocket::bind(from).await.expect("loopback");
        let own = socket.local_addr().expect("bound").port();
        self.udp = Some((Arc::new(socket), SocketAddr::new(self.peer.ip(), port)));
        format!("RTP/AVP;unicast;client_port={ports};server_port={own}-{}", own + 1)
    }
}

/// Takes the next request out of the buffer; interleaved frames are dropped.
fn next_request(buffer: &mut Vec<u8>) -> Option<String> {
    while buffer.first() == Some(&b'$') {
        let len = 4 + usize::from(u16::from_be_bytes([*buffer.get(2)?, *buffer.get(3)?]));
        if buffer.len() < len {
            return None;
        }
        buffer.drain(..len);
    }
    let end = buffer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let request = buffer.drain(..end + 4).collect();
    Some(String::from_utf8(request).expect("requests are text"))
}

/// Pushes the pictures of a camera to a port of loopback.
pub(crate) async fn push(camera: ScriptedCamera, port: u16) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("loopback");
    let (sender, _bytes) = mpsc::channel(1);
    let to = SocketAddr::from(([127, 0, 0, 1], port));
    play(Arc::new(camera), sender, Some((Arc::new(socket), to))).await;
}

/// Sends pictures until the connection ends.
async fn play(
    camera: Arc<ScriptedCamera>,
    sender: mpsc::Sender<Vec<u8>>,
    mut udp: Option<(Arc<UdpSocket>, SocketAddr)>,
) {
    let mut period = interval(PERIOD);
    let (mut sequence, mut timestamp) = (FIRST_SEQUENCE, u32::MAX - 20 * TICKS);
    let mut delayed: Option<Bytes> = None;
    let mut sent = 0_usize;
    for number in 0.. {
        period.tick().await;
        let Some(picture) = camera.pictures.get(number % camera.pictures.len().max(1)) else {
            return;
        };
        let mut packets = Vec::new();
        for (payload, marker) in (camera.packetize)(picture) {
            let (ssrc, payload_type, channel) = (SSRC, PAYLOAD_TYPE, 0);
            packets.push(Packet {
                payload,
                marker,
                timestamp,
                ssrc,
                payload_type,
                channel,
                sequence,
            });
            sequence = sequence.wrapping_add(1);
        }
        timestamp = timestamp.wrapping_add(TICKS);
        (camera.packets)(number, &mut packets);
        if let Some((socket, _)) = udp.as_mut().filter(|_| camera.moves) {
            *socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.expect("loopback"));
        }
        let aside = (camera.aside)(number);
        if !aside.is_empty() && sender.send(aside).await.is_err() {
            return;
        }
        for packet in packets {
            let bytes = bytes(&packet);
            match &udp {
                Some((socket, to)) => {
                    sent += 1;
                    if camera.swaps && sent % 200 == 50 {
                        delayed = Some(bytes);
                        continue;
                    }
                    if camera.lags && sent % 60 == 50 {
                        let (socket, to) = (Arc::clone(socket), *to);
                        tokio::spawn(async move {
                            tokio::time::sleep(LAG).await;
                            let _ = socket.send_to(&bytes, to).await;
                        });
                        continue;
                    }
                    for bytes in [Some(bytes), delayed.take()].into_iter().flatten() {
                        let _ = socket.send_to(&bytes, to).await;
                    }
                }
                None => {
                    let len = u16::try_from(bytes.len()).expect("it fits a frame").to_be_bytes();
                    let header = [b'$', packet.channel, len[0], len[1]];
                    if sender.send([&header[..], &bytes].concat()).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}

fn bytes(packet: &Packet) -> Bytes {
    let Packet { marker, timestamp, ssrc, payload_type, sequence, .. } = *packet;
    let header = RtpHeader { marker, payload_type, sequence, timestamp, ssrc };
    RtpPacket { header, payload: packet.payload.clone().into() }.to_bytes()
}
