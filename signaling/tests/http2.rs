//! Tests of HTTP/2, as connections of the public port speak it once TLS has agreed on it. The
//! client is that of the library, and for what no client does a row of bytes.

mod support;

use std::net::{IpAddr, Ipv4Addr};

use http::{Request, Response, StatusCode, Version};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http2;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use porthole_signaling::{Entrance, HttpVersion, Server};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use support::{TIMEOUT, config};

/// The address of all clients.
const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9));
/// Bytes that fit in each direction of a connection.
const PIPE: usize = 1024 * 1024;
/// More streams than a client may give up unseen.
const FLOOD: u32 = 1000;
/// The error code of a connection that asks for too much (RFC 9113 §7).
const ENHANCE_YOUR_CALM: u32 = 11;

type Sender = SendRequest<Full<Bytes>>;

/// A server, and the entrance of its public port.
struct Port {
    entrance: Entrance,
    setup_link: String,
    stop: CancellationToken,
    task: JoinHandle<()>,
    _data: tempfile::TempDir,
}

impl Port {
    async fn start() -> Self {
        let data = tempfile::tempdir().expect("a folder");
        let server = Server::bind(config(data.path())).await.expect("a server");
        let (entrance, setup_link) = (server.entrance(), server.setup_link().expect("a link"));
        let stop = CancellationToken::new();
        let task = tokio::spawn(server.run(stop.clone()));
        Self { entrance, setup_link, stop, task, _data: data }
    }

    /// Opens a connection, of which the client sends the bytes.
    fn open(&self) -> DuplexStream {
        let (ours, theirs) = tokio::io::duplex(PIPE);
        let visitor = self.entrance.admit(CLIENT).expect("there are places");
        visitor.serve(HttpVersion::Http2, theirs);
        ours
    }

    async fn connect(&self) -> Sender {
        let io = TokioIo::new(self.open());
        let connected = http2::handshake(TokioExecutor::new(), io).await;
        let (sender, connection) = connected.expect("a connection");
        tokio::spawn(connection);
        sender
    }

    async fn end(self) {
        self.stop.cancel();
        timeout(TIMEOUT, self.task).await.expect("the server stops in time").expect("no panic");
    }
}

/// Sends a request with these headers.
async fn send(
    sender: &mut Sender,
    (method, url): (&str, &str),
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Response<Incoming> {
    let mut request = Request::builder().method(method).uri(url).version(Version::HTTP_2);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(body.into())).expect("a request");
    let response = timeout(TIMEOUT, sender.send_request(request)).await;
    response.expect("the response arrives in time").expect("a response")
}

const JSON: (&str, &str) = ("content-type", "application/json");

#[tokio::test]
async fn what_depends_on_the_host_takes_it_from_the_authority() {
    let port = Port::start().await;
    let mut sender = port.connect().await;
    for (url, header, host) in [
        ("https://cams.example/healthz", None, "cams.example"),
        ("https://cams.example:8443/healthz", None, "cams.example:8443"),
        ("https://cams.example/healthz", Some("evil.example"), "cams.example"),
    ] {
        let header = header.map(|header| ("host", header));
        let response = send(&mut sender, ("GET", url), header.as_slice(), "").await;
        assert_eq!(response.status(), StatusCode::OK, "{url}");
        let policy = response.headers()["content-security-policy"].to_str().unwrap();
        let connect = format!("connect-src 'self' ws://{host} wss://{host};");
        assert!(policy.contains(&connect), "{url} {header:?}: {policy}");
    }
    let sign_in = json!({"name": "nobody", "password": "0123456789"}).to_string();
    for (origin, status) in [
        ("https://cams.example", StatusCode::UNAUTHORIZED),
        ("https://cams.example:8443", StatusCode::FORBIDDEN),
        ("https://evil.example", StatusCode::FORBIDDEN),
    ] {
        let request = ("POST", "https://cams.example/api/v1/session");
        let headers = [JSON, ("origin", origin), ("host", "evil.example")];
        let response = send(&mut sender, request, &headers, sign_in.clone()).await;
        assert_eq!(response.status(), status, "{origin}");
    }
    port.end().await;
}

#[tokio::test]
async fn a_browser_signs_in_with_its_cookies_in_several_fields() {
    let port = Port::start().await;
    let mut sender = port.connect().await;
    let token = port.setup_link.split_once("#t=").unwrap().1.to_owned();
    let body = json!({"token": token, "name": "Ann", "password": "long enough"}).to_string();
    let request = ("POST", "https://cams.example/api/v1/setup");
    let made = send(&mut sender, request, &[JSON], body).await;
    assert_eq!(made.status(), StatusCode::OK);
    let cookie = made.headers()["set-cookie"].to_str().unwrap().to_owned();
    let cookie = cookie.split(';').next().unwrap();
    // Each cookie may have a field of its own (RFC 9113 §8.2.3).
    let headers = [("cookie", "a=b"), ("cookie", cookie)];
    let request = ("GET", "https://cams.example/api/v1/session");
    let me = send(&mut sender, request, &headers, "").await;
    assert_eq!(me.status(), StatusCode::OK);
    let body = me.into_body().collect().await.unwrap().to_bytes();
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["name"], "Ann");
    let stranger = send(&mut sender, request, &headers[..1], "").await;
    assert_eq!(stranger.status(), StatusCode::UNAUTHORIZED);
    port.end().await;
}

#[tokio::test]
async fn the_bounds_of_requests_are_those_of_http_1() {
    let port = Port::start().await;
    let mut sender = port.connect().await;
    let long = "x".repeat(64 * 1024 + 1);
    let head = "x".repeat(17 * 1024);
    for (what, request, headers, body, status) in [
        ("a long body", ("POST", "https://h/api/v1/session"), vec![JSON], long.as_str(), 413),
        ("a long head", ("GET", "https://h/healthz"), vec![("a", head.as_str())], "", 431),
        ("no upgrade", ("GET", "https://h/ws"), vec![], "", 426),
        ("a preflight", ("OPTIONS", "https://h/whep/cam"), vec![], "", 200),
        ("a tunnel", ("CONNECT", "h.example:443"), vec![], "", 404),
    ] {
        let response = send(&mut sender, request, &headers, body.to_owned()).await;
        assert_eq!(response.status().as_u16(), status, "{what}");
        assert_eq!(response.version(), Version::HTTP_2, "{what}");
    }
    // Bodies of more requests at a time than are received at once, and of none that is refused
    // before it is read.
    let request = ("POST", "https://h/api/v1/session");
    let body = || "x".repeat(60_000);
    let alone = send(&mut sender, request, &[JSON], body()).await.status();
    assert!(alone.is_client_error(), "{alone}");
    let requests = (0..32).map(|_| {
        let mut sender = sender.clone();
        async move { send(&mut sender, request, &[JSON], body()).await.status() }
    });
    for status in futures_util::future::join_all(requests).await {
        assert_eq!(status, alone);
    }
    port.end().await;
}

#[tokio::test]
async fn a_flood_of_streams_that_are_given_up_ends_its_connection_and_no_other() {
    let port = Port::start().await;
    let mut other = port.connect().await;
    let mut flood = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    flood.extend(frame(SETTINGS, 0, 0, &[]));
    for number in 0..FLOOD {
        let stream = 2 * number + 1;
        flood.extend(frame(HEADERS, END_STREAM | END_HEADERS, stream, &HEAD));
        flood.extend(frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes()));
    }
    let mut stream = port.open();
    stream.write_all(&flood).await.unwrap();
    let mut answer = Vec::new();
    let ended = timeout(TIMEOUT, stream.read_to_end(&mut answer)).await;
    ended.expect("the connection ends").unwrap();
    assert_eq!(goaway(&answer), Some(ENHANCE_YOUR_CALM));

    let request = ("GET", "https://cams.example/healthz");
    assert_eq!(send(&mut other, request, &[], "").await.status(), StatusCode::OK);
    port.end().await;
}

// Frames of RFC 9113 §6, and the flags of HEADERS.
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// The error code of a stream that is no longer needed.
const CANCEL: u32 = 8;
/// The head of a request (RFC 7541): GET, https, `/`, and the authority `h` as a literal.
const HEAD: [u8; 6] = [0x82, 0x87, 0x84, 0x01, 1, b'h'];

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short frame").to_be_bytes();
    let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
    [&head, payload].concat()
}

/// Returns the error code with which the server ends the connection.
fn goaway(mut bytes: &[u8]) -> Option<u32> {
    while bytes.len() >= 9 {
        let (head, rest) = bytes.split_at(9);
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let (payload, rest) = rest.split_at_checked(length)?;
        if head[3] == GOAWAY {
            return Some(u32::from_be_bytes(payload.get(4..8)?.try_into().ok()?));
        }
        bytes = rest;
    }
    None
}
