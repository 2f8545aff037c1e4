//! A camera that follows a script: an RTSP server of a page, whose replies and packets a test
//! changes one by one.
//!
//! ```text
//! let camera = ScriptedCamera::new(pictures(Codec::H264, &[]))
//!     .answer(|request, reply| match request.method() {
//!         "SETUP" => reply.with("Session", "1 ;timeout=60"),
//!         _ => reply,
//!     })
//!     .packets(|_, packets| packets.iter_mut().for_each(|packet| packet.ssrc = 7))
//!     .start()
//!     .await;
//! watch(&camera.url(""), …)
//! ```

mod encoder;
mod password;
mod proxy;
mod quirks;
mod server;

use std::sync::{Arc, Mutex};

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub(crate) use encoder::{Picture, attributes, pictures};
pub(crate) use password::{challenge, digest, is_authorized};
pub(crate) use proxy::{tls_proxy, tls_refusal, tunnel};
pub(crate) use quirks::{Quirk, all as all_quirks, groups};
pub(crate) use server::push;

/// Payload type of the stream.
pub(crate) const PAYLOAD_TYPE: u8 = 96;

/// Ticks of the RTP clock between two pictures at 15 a second.
pub(crate) const TICKS: u32 = 6000;

/// Sequence number of the first packet.
pub(crate) const FIRST_SEQUENCE: u16 = 65_500;

/// Largest payload of a packet in bytes.
const MTU: usize = 1400;

/// A request of the client.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) text: String,
    /// Number of the connection, from 0.
    pub(crate) connection: usize,
    /// Number of earlier requests with the same method on this connection.
    pub(crate) earlier: usize,
    /// The port of the camera on which the request did not come.
    pub(crate) other_port: u16,
    /// The request came on the second port.
    pub(crate) is_second: bool,
}

impl Request {
    pub(crate) fn method(&self) -> &str {
        self.text.split(' ').next().unwrap_or_default()
    }

    pub(crate) fn uri(&self) -> &str {
        self.text.split(' ').nth(1).unwrap_or_default()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let header = |line: &str| line.split_once(':').map(|(n, _)| n.eq_ignore_ascii_case(name));
        let line = self.text.lines().find(|line| header(line) == Some(true))?;
        line.split_once(':').map(|(_, value)| value.trim())
    }
}

/// A reply of the camera.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
    /// Bytes to send instead of all that.
    pub(crate) raw: Option<Vec<u8>>,
    /// Close the connection after the reply.
    pub(crate) closes: bool,
}

impl Reply {
    pub(crate) fn status(mut self, status: &str) -> Self {
        status.clone_into(&mut self.status);
        self
    }

    /// Replaces a header, or adds it.
    pub(crate) fn with(self, name: &str, value: &str) -> Self {
        let mut reply = self.without(name);
        reply.headers.push((name.to_owned(), value.to_owned()));
        reply
    }

    /// Adds a header even if there is one of its name.
    pub(crate) fn adding(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self
    }

    pub(crate) fn body(mut self, body: &str) -> Self {
        body.clone_into(&mut self.body);
        self.with("Content-Length", &body.len().to_string())
    }

    /// Changes the text that goes over the wire.
    pub(crate) fn rewritten(mut self, rewrite: impl Fn(String) -> String) -> Self {
        self.raw = Some(rewrite(self.text()).into_bytes());
        self
    }

    pub(crate) fn closing(mut self) -> Self {
        self.closes = true;
        self
    }

    fn text(&self) -> String {
        let mut text = format!("RTSP/1.0 {}\r\n", self.status);
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text + "\r\n" + &self.body
    }

    fn bytes(&self) -> Vec<u8> {
        self.raw.clone().unwrap_or_else(|| self.text().into_bytes())
    }
}

/// A packet before it is sent.
#[derive(Debug, Clone)]
pub(crate) struct Packet {
    pub(crate) payload: Vec<u8>,
    pub(crate) marker: bool,
    pub(crate) timestamp: u32,
    pub(crate) ssrc: u32,
    pub(crate) payload_type: u8,
    /// Channel of the interleaved frame.
    pub(crate) channel: u8,
    /// Number of the packet, which becomes its sequence number.
    pub(crate) sequence: u16,
}

type Answer = dyn Fn(&Request, Reply) -> Reply + Send + Sync;
type Packetize = dyn Fn(&Picture) -> Vec<(Vec<u8>, bool)> + Send + Sync;
type Packets = dyn Fn(usize, &mut Vec<Packet>) + Send + Sync;
type Aside = dyn Fn(usize) -> Vec<u8> + Send + Sync;

/// The script of a camera.
pub(crate) struct ScriptedCamera {
    pictures: Vec<Picture>,
    sdp: String,
    answer: Box<Answer>,
    packetize: Box<Packetize>,
    packets: Box<Packets>,
    aside: Box<Aside>,
    swaps: bool,
    lags: bool,
    moves: bool,
    is_elsewhere: bool,
}

impl ScriptedCamera {
    /// Creates a camera that does everything right, with these pictures again and again.
    pub(crate) fn new(pictures: Vec<Picture>) -> Self {
        let sdp = format!(
            "v=0\r\no=- 1001 1 IN IP4 127.0.0.1\r\ns=Camera\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n\
             a=control:*\r\nm=video 0 RTP/AVP {PAYLOAD_TYPE}\r\n{}a=control:track1\r\n",
            attributes(&pictures, PAYLOAD_TYPE)
        );
        Self {
            pictures,
            sdp,
            answer: Box::new(|_, reply| reply),
            packetize: Box::new(|picture| picture.payloads(MTU)),
            packets: Box::new(|_, _| {}),
            aside: Box::new(|_| Vec::new()),
            swaps: false,
            lags: false,
            moves: false,
            is_elsewhere: false,
        }
    }

    /// Changes the session description.
    pub(crate) fn sdp(mut self, change: impl Fn(&str) -> String) -> Self {
        self.sdp = change(&self.sdp);
        self
    }

    /// Changes the replies, each of which is right before, or as an earlier change made it.
    pub(crate) fn answer(
        mut self,
        answer: impl Fn(&Request, Reply) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let before = self.answer;
        self.answer = Box::new(move |request, reply| answer(request, before(request, reply)));
        self
    }

    /// Replaces the way in which a picture becomes payloads, each with its marker.
    pub(crate) fn packetize(
        mut self,
        packetize: impl Fn(&Picture) -> Vec<(Vec<u8>, bool)> + Send + Sync + 'static,
    ) -> Self {
        self.packetize = Box::new(packetize);
        self
    }

    /// Changes the packets of each picture, which is given by its number.
    pub(crate) fn packets(
        mut self,
        packets: impl Fn(usize, &mut Vec<Packet>) + Send + Sync + 'static,
    ) -> Self {
        self.packets = Box::new(packets);
        self
    }

    /// Sends bytes on the RTSP connection before each picture, which is given by its number.
    pub(crate) fn aside(
        mut self,
        aside: impl Fn(usize) -> Vec<u8> + Send + Sync + 'static,
    ) -> Self {
        self.aside = Box::new(aside);
        self
    }

    /// Sends one of 200 datagrams after its successor.
    pub(crate) fn swapping(mut self) -> Self {
        self.swaps = true;
        self
    }

    /// Sends one of 60 datagrams later than the ones after it.
    pub(crate) fn lagging(mut self) -> Self {
        self.lags = true;
        self
    }

    /// Sends datagrams from another address than its own.
    pub(crate) fn elsewhere(mut self) -> Self {
        self.is_elsewhere = true;
        self
    }

    /// Sends the datagrams of each picture from another port.
    pub(crate) fn moving(mut self) -> Self {
        self.moves = true;
        self
    }

    /// Starts the camera on two ports of loopback.
    pub(crate) async fn start(self) -> RunningCamera {
        let first = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let second = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let number = |listener: &TcpListener| listener.local_addr().expect("bound").port();
        let ports = [number(&first), number(&second)];
        let requests = Arc::new(Mutex::new(Vec::new()));
        let camera = Arc::new(self);
        let serve = |listener, is_second: bool| {
            let other_port = ports[usize::from(!is_second)];
            let log = Arc::clone(&requests);
            tokio::spawn(server::serve(listener, Arc::clone(&camera), log, other_port, is_second))
        };
        let tasks = [serve(first, false), serve(second, true)];
        RunningCamera { port: ports[0], requests, tasks }
    }
}

/// A camera that runs until it is dropped.
pub(crate) struct RunningCamera {
    pub(crate) port: u16,
    requests: Arc<Mutex<Vec<Request>>>,
    tasks: [JoinHandle<()>; 2],
}

impl RunningCamera {
    /// Returns the address of the stream; `options` follow it.
    pub(crate) fn url(&self, options: &str) -> String {
        format!("rtsp://127.0.0.1:{}/live{options}", self.port)
    }

    /// Returns the requests so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().expect("no test panics with it").clone()
    }

    /// Returns the number of requests with this method so far.
    pub(crate) fn count(&self, method: &str) -> usize {
        self.requests().iter().filter(|request| request.method() == method).count()
    }
}

impl Drop for RunningCamera {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}
