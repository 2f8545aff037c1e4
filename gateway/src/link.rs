//! The link: a WebSocket to the signaling server, re-established whenever it is lost.
//!
//! It authenticates the gateway (`portholeChallenge`, `portholeEnroll`, `register`) and then passes
//! messages between the server and the core.

use std::cmp::Ordering;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use porthole_gateway_core::backoff::Backoff;
use porthole_gateway_core::ice_servers::is_public;
use porthole_signaling_proto::identity::{GatewayToken, enroll_message, register_message};
use porthole_signaling_proto::method::{
    Challenge, Empty, Enroll, EnrollParams, Method, PROTOCOL, Register, RegisterParams,
    RegisterResult,
};
use porthole_signaling_proto::rpc::{Fault, Message, RequestId, code};
use porthole_signaling_proto::{MAX_GATEWAY_MESSAGE_BYTES, SUBPROTOCOL, WEBSOCKET_PATH, rpc};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::{
    Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config, tungstenite,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};
use url::Url;

use crate::key::Key;

/// Timeout of connecting, and of each request before the gateway is registered.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Time without any frame, pings included, after which the link counts as dead. The server pings
/// more often.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(45);

/// Interval of our own pings, which keep the NAT's TCP mapping alive: RFC 5382 §5 requires NATs to
/// keep it for two hours, but home routers drop it after minutes.
const PING_INTERVAL: Duration = Duration::from_secs(15);

/// Shortest time for a sign of life of a link that the driver doubts.
const DOUBT_MIN: Duration = Duration::from_millis(800);
/// Longest time for it, on slow lines.
const DOUBT_MAX: Duration = Duration::from_secs(5);
/// The time for it in round trips, as the latest ping has measured them.
const DOUBT_ROUND_TRIPS: u32 = 4;
/// Time after which a link that has become stale is opened again at once. One that was up for less
/// waits like any that failed, so that a line which loses it again and again is left in peace.
const STEADY: Duration = Duration::from_secs(10);

/// Time in which a server that has said goodbye is expected back: it is probably being restarted.
const RETURN_TIME: Duration = Duration::from_secs(10);
/// Shortest and longest wait before an attempt in that time. They are random, so that gateways that
/// have lost the server together do not all return at the same moment.
const RETURN_WAITS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_millis(400));

/// Codes of close frames with which a server says goodbye (RFC 6455 §7.4).
const GOODBYES: [CloseCode; 2] = [CloseCode::Away, CloseCode::Restart];

/// Size of the read buffer: our messages have a few kB, and tungstenite's default is 128 kB.
const READ_BUFFER_BYTES: usize = 4 * 1024;

/// An event of the link, for the driver.
#[derive(Debug)]
pub enum LinkEvent {
    /// The link is up and the gateway registered; messages flow.
    Online {
        /// The address at which the server was reached.
        server: Option<IpAddr>,
    },
    /// The link is lost and being re-established.
    Offline,
    /// A message of the signaling server.
    Message(Message),
}

/// Reason for which the link cannot be established.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The URL cannot be that of a signaling server.
    #[error("`{0}` is not the http or https URL of a signaling server")]
    Address(String),
    /// The server does not know this gateway, and no claim code is configured.
    #[error(
        "the server does not know this gateway: create a claim code there and pass it with --claim"
    )]
    NotEnrolled,
    /// The server is on the Internet, and the connection would be without TLS.
    #[error(
        "{0} is on the Internet and without TLS, so that others on the way could read and change \
         everything: use https, or insist with gateway.allow_plain_http = true"
    )]
    PlainHttp(String),
    /// The server refuses the claim code.
    #[error("the server refuses the claim code: {0}")]
    ClaimRefused(String),
    /// A problem of the network or the server that may pass.
    #[error("{0}")]
    Temporary(String),
}

impl LinkError {
    /// Returns true if trying again is pointless.
    fn is_final(&self) -> bool {
        !matches!(self, Self::Temporary(_))
    }
}

/// Configuration of the link.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) server: Url,
    pub(crate) claim: Option<String>,
    pub(crate) name: String,
    pub(crate) key: Arc<Key>,
    /// The settings of TLS to the server.
    pub(crate) tls: Arc<rustls::ClientConfig>,
    pub(crate) allow_plain_http: bool,
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

impl Link {
    /// Keeps the link up until `stop` is cancelled; returns an error if trying again is pointless.
    pub(crate) async fn run(
        self,
        events: mpsc::Sender<LinkEvent>,
        mut outgoing: mpsc::Receiver<Message>,
        doubts: &Notify,
        stop: CancellationToken,
    ) -> Result<(), LinkError> {
        let mut backoff = Backoff::default();
        let mut returns_by = None;
        loop {
            let opened = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                opened = self.open() => opened,
            };
            match opened {
                Ok(socket) => {
                    backoff.reset();
                    info!(gateway = %self.key.id(), "registered with the signaling server");
                    let server = server_address(socket.get_ref());
                    if events.send(LinkEvent::Online { server }).await.is_err() {
                        return Ok(());
                    }
                    let up_since = Instant::now();
                    let end = pass_messages(socket, &events, &mut outgoing, doubts, &stop).await;
                    if stop.is_cancelled() || events.send(LinkEvent::Offline).await.is_err() {
                        return Ok(());
                    }
                    warn!("the link to the signaling server is lost: {}; reconnecting", end.why);
                    let was_steady = up_since.elapsed() >= STEADY;
                    returns_by =
                        (was_steady && end.is_goodbye).then(|| Instant::now() + RETURN_TIME);
                    if end.is_stale && was_steady {
                        continue;
                    }
                }
                Err(error) if error.is_final() => return Err(error),
                Err(error) => {
                    warn!("cannot connect to the signaling server: {error}; trying again")
                }
            }
            let jitter = rand::random();
            let wait = match returns_by.filter(|by| Instant::now() < *by) {
                Some(_) => return_wait(jitter),
                None => backoff.next(jitter),
            };
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Connects and registers, and enrols first if the server does not know the gateway yet.
    async fn open(&self) -> Result<Socket, LinkError> {
        let mut socket = self.connect().await?;
        let challenge = || request::<Challenge>(0, &Empty {});
        let nonce = call(&mut socket, challenge()).await?.map_err(server_refused)?;
        let nonce = parse_result::<Challenge>(nonce)?.nonce;
        match self.register(&mut socket, &nonce).await? {
            Ok(registered) => {
                compare_protocols(&registered);
                return Ok(socket);
            }
            Err(fault) if fault.code == code::UNAUTHORIZED => {}
            Err(fault) => return Err(server_refused(fault)),
        }
        // A nonce is valid once, so enrolling needs a new one, and registering another.
        let claim = self.claim.as_deref().ok_or(LinkError::NotEnrolled)?;
        let mut socket = self.connect().await?;
        let nonce = call(&mut socket, challenge()).await?.map_err(server_refused)?;
        let nonce = parse_result::<Challenge>(nonce)?.nonce;
        self.enroll(&mut socket, &nonce, claim).await?;
        let nonce = call(&mut socket, challenge()).await?.map_err(server_refused)?;
        let nonce = parse_result::<Challenge>(nonce)?.nonce;
        let registered = self.register(&mut socket, &nonce).await?.map_err(server_refused)?;
        compare_protocols(&registered);
        Ok(socket)
    }

    async fn connect(&self) -> Result<Socket, LinkError> {
        let url = websocket_url(&self.server)?;
        let address = || LinkError::Address(self.server.to_string());
        let mut request = url.as_str().into_client_request().map_err(|_| address())?;
        let header = SUBPROTOCOL.parse().map_err(|_| address())?;
        request.headers_mut().insert("Sec-WebSocket-Protocol", header);
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .max_message_size(Some(MAX_GATEWAY_MESSAGE_BYTES))
            .max_frame_size(Some(MAX_GATEWAY_MESSAGE_BYTES));
        let tls = Connector::Rustls(Arc::clone(&self.tls));
        let connect = connect_async_tls_with_config(request, Some(config), true, Some(tls));
        match timeout(CALL_TIMEOUT, connect).await {
            Ok(Ok((socket, _))) => {
                let is_plain = url.scheme() == "ws" && !self.allow_plain_http;
                self.check_address(is_plain, server_address(socket.get_ref()))?;
                Ok(socket)
            }
            Ok(Err(e)) => {
                Err(LinkError::Temporary(format!("{} does not respond: {e}", self.server)))
            }
            Err(_) => {
                Err(LinkError::Temporary(format!("{} does not respond in time", self.server)))
            }
        }
    }

    /// Refuses a connection without TLS to an address on the Internet, before anything is sent on
    /// it. In a private network, it is nobody's but the owner's.
    fn check_address(&self, is_plain: bool, address: Option<IpAddr>) -> Result<(), LinkError> {
        if is_plain && address.is_some_and(is_public) {
            return Err(LinkError::PlainHttp(self.server.to_string()));
        }
        Ok(())
    }

    /// Returns the origin of the server, for which everything is signed.
    fn origin(&self) -> Option<String> {
        let mut server = self.server.clone();
        let scheme = match server.scheme() {
            "ws" => "http",
            "wss" => "https",
            _ => return Some(server.origin().ascii_serialization()),
        };
        // Both kinds have a host and a port, so that this does not fail.
        server.set_scheme(scheme).ok()?;
        Some(server.origin().ascii_serialization())
    }

    async fn enroll(&self, socket: &mut Socket, nonce: &str, claim: &str) -> Result<(), LinkError> {
        let origin = self.origin();
        let signature = self.key.sign(&enroll_message(origin.as_deref(), nonce, claim));
        let params = EnrollParams {
            claim: claim.to_owned(),
            public_key: self.key.public(),
            origin,
            signature,
            name: self.name.clone(),
        };
        match call(socket, request::<Enroll>(1, &params)).await? {
            Ok(_) => Ok(()),
            Err(fault) if is_claim_refused(fault.code) => {
                Err(LinkError::ClaimRefused(fault.message))
            }
            Err(fault) => Err(server_refused(fault)),
        }
    }

    async fn register(
        &self,
        socket: &mut Socket,
        nonce: &str,
    ) -> Result<Result<RegisterResult, Fault>, LinkError> {
        let id = self.key.id();
        let origin = self.origin();
        let signature = self.key.sign(&register_message(origin.as_deref(), nonce, &id));
        let params = RegisterParams {
            version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            protocol: Some(PROTOCOL),
            authorization: Some(GatewayToken { id, origin, signature }.to_string()),
            name: Some(self.name.clone()),
            capabilities: Some(vec!["extend".to_owned()]),
        };
        let outcome = call(socket, request::<Register>(2, &params)).await?;
        Ok(match outcome {
            Ok(value) => Ok(parse_result::<Register>(value)?),
            Err(fault) => Err(fault),
        })
    }
}

/// Returns the WebSocket URL of a signaling server.
///
/// # Errors
/// Returns [`LinkError::Address`] unless the URL is `http`, `https`, `ws` or `wss` and has a host.
pub fn websocket_url(server: &Url) -> Result<Url, LinkError> {
    let scheme = match server.scheme() {
        "http" | "ws" => "ws",
        "https" | "wss" => "wss",
        _ => return Err(LinkError::Address(server.to_string())),
    };
    let mut url = server.clone();
    let fits = url.set_scheme(scheme).is_ok() && url.has_host();
    // The server may be below a path of its own, such as `https://example.org/cameras/`.
    let path = url.path().trim_end_matches('/');
    let path = format!("{}{WEBSOCKET_PATH}", path.strip_suffix(WEBSOCKET_PATH).unwrap_or(path));
    url.set_path(&path);
    if fits { Ok(url) } else { Err(LinkError::Address(server.to_string())) }
}

/// Returns the address to which a connection was made.
pub fn server_address(stream: &MaybeTlsStream<TcpStream>) -> Option<IpAddr> {
    let stream = match stream {
        MaybeTlsStream::Plain(stream) => stream,
        MaybeTlsStream::Rustls(stream) => stream.get_ref().0,
        _ => return None,
    };
    stream.peer_addr().ok().map(|address| address.ip())
}

/// Returns true if the error code concerns the claim code itself, not the state of the server.
fn is_claim_refused(code: i64) -> bool {
    matches!(
        code,
        code::BAD_REQUEST
            | code::UNAUTHORIZED
            | code::FORBIDDEN
            | code::NOT_FOUND
            | code::CONFLICT
            | code::GONE
            | code::INVALID_PARAMS
    )
}

/// Logs which side is to be upgraded, if the two do not speak the same protocol.
fn compare_protocols(registered: &RegisterResult) {
    if let Some(advice) = advice(registered.protocol) {
        warn!("{advice}");
    }
}

/// Returns what to do about a server that speaks this protocol; one from before there were numbers
/// tells none.
fn advice(protocol: Option<u32>) -> Option<&'static str> {
    match protocol.unwrap_or(0).cmp(&PROTOCOL) {
        Ordering::Less => {
            Some("the server is older than this gateway: to use what is new, upgrade the server")
        }
        Ordering::Equal => None,
        Ordering::Greater => {
            Some("this gateway is older than the server: to use what is new, upgrade the gateway")
        }
    }
}

fn request<M: Method>(id: i64, params: &M::Params) -> (RequestId, Message) {
    (RequestId::Number(id), Message::request::<M>(id, params))
}

fn server_refused(fault: Fault) -> LinkError {
    LinkError::Temporary(format!("the server refuses: {}", fault.message))
}

fn parse_result<M: Method>(value: rpc::Value) -> Result<M::Result, LinkError> {
    rpc::read(value).map_err(server_refused)
}

/// Sends a request and waits for its response, ignoring other messages.
async fn call(
    socket: &mut Socket,
    (id, request): (RequestId, Message),
) -> Result<Result<rpc::Value, Fault>, LinkError> {
    let lost =
        |e: &dyn std::fmt::Display| LinkError::Temporary(format!("the connection failed: {e}"));
    let exchange = async {
        socket.send(Frame::text(request.to_json())).await.map_err(|e| lost(&e))?;
        while let Some(frame) = socket.next().await {
            let frame = frame.map_err(|e| lost(&e))?;
            let Frame::Text(text) = frame else { continue };
            match Message::from_json(&text) {
                Ok(Message::Response { id: Some(answered), outcome }) if answered == id => {
                    return Ok(outcome);
                }
                _ => {}
            }
        }
        Err(lost(&"closed by the server"))
    };
    timeout(CALL_TIMEOUT, exchange)
        .await
        .map_err(|_| LinkError::Temporary("the server does not respond in time".to_owned()))?
}

/// The end of a link that was up.
struct LinkEnd {
    why: String,
    /// True if the network no longer carries the connection, while the server may well be there.
    is_stale: bool,
    /// True if the server has said that it is going away.
    is_goodbye: bool,
}

impl LinkEnd {
    fn new(why: impl ToString) -> Self {
        Self { why: why.to_string(), is_stale: false, is_goodbye: false }
    }

    /// Returns the end with the reason that the server has given in its close frame.
    fn closed(frame: Option<&CloseFrame>) -> Self {
        let is_goodbye = frame.is_some_and(|frame| GOODBYES.contains(&frame.code));
        Self { is_goodbye, ..Self::new("closed by the server") }
    }
}

/// Returns a wait for a server that has said goodbye. `jitter` is random, from 0 to 1.
fn return_wait(jitter: f64) -> Duration {
    let (shortest, longest) = RETURN_WAITS;
    shortest + (longest - shortest).mul_f64(jitter)
}

/// Passes messages both ways until the link fails.
async fn pass_messages(
    mut socket: Socket,
    events: &mpsc::Sender<LinkEvent>,
    outgoing: &mut mpsc::Receiver<Message>,
    doubts: &Notify,
    stop: &CancellationToken,
) -> LinkEnd {
    let mut ping = tokio::time::interval(PING_INTERVAL);
    let silence = tokio::time::sleep(SILENCE_TIMEOUT);
    tokio::pin!(silence);
    let mut is_doubted = false;
    let (mut pinged, mut round_trip) = (Instant::now(), DOUBT_MAX);
    loop {
        tokio::select! {
            () = stop.cancelled() => {
                // Best effort: the server also notices the closed connection.
                let _ = socket.close(None).await;
                return LinkEnd::new("stopping");
            }
            () = &mut silence => {
                return LinkEnd { is_stale: is_doubted, ..LinkEnd::new("the server is silent") };
            }
            () = doubts.notified(), if !is_doubted => {
                is_doubted = true;
                let time = (round_trip * DOUBT_ROUND_TRIPS).clamp(DOUBT_MIN, DOUBT_MAX);
                silence.as_mut().reset(Instant::now() + time);
                ping.reset_immediately();
            }
            _ = ping.tick() => {
                pinged = Instant::now();
                if let Err(e) = socket.send(Frame::Ping(bytes::Bytes::new())).await {
                    return LinkEnd::new(e);
                }
            }
            message = outgoing.recv() => {
                let Some(message) = message else { return LinkEnd::new("stopping") };
                if let Err(e) = socket.send(Frame::text(message.to_json())).await {
                    return LinkEnd::new(e);
                }
            }
            frame = socket.next() => {
                if matches!(frame, Some(Ok(Frame::Pong(_)))) {
                    round_trip = pinged.elapsed();
                }
                is_doubted = false;
                silence.as_mut().reset(Instant::now() + SILENCE_TIMEOUT);
                match parse_frame(frame) {
                    Ok(Some(message)) => {
                        if events.send(LinkEvent::Message(message)).await.is_err() {
                            return LinkEnd::new("stopping");
                        }
                    }
                    Ok(None) => {}
                    Err(end) => return end,
                }
            }
        }
    }
}

/// Parses a frame; `None` if it contains no message, an error if the connection has ended.
fn parse_frame(
    frame: Option<Result<Frame, tungstenite::Error>>,
) -> Result<Option<Message>, LinkEnd> {
    match frame {
        None => Err(LinkEnd::closed(None)),
        Some(Ok(Frame::Close(frame))) => Err(LinkEnd::closed(frame.as_ref())),
        Some(Err(e)) => Err(LinkEnd::new(e)),
        Some(Ok(Frame::Text(text))) => Ok(Message::from_json(&text)
            .inspect_err(|fault| debug!("the server sent a malformed message: {fault}"))
            .ok()),
        Some(Ok(Frame::Binary(_) | Frame::Ping(_) | Frame::Pong(_) | Frame::Frame(_))) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;
    use tokio::task::JoinHandle;

    use super::*;

    fn link(server: &str) -> Link {
        let data = tempfile::tempdir().expect("a folder");
        let key = Key::load_or_create(data.path()).expect("a key");
        let (server, name) = (server.parse().expect("a URL"), "g".to_owned());
        let tls = Arc::new(crate::tls::to_servers(&[]).expect("settings of TLS"));
        Link { server, claim: None, name, key: Arc::new(key), tls, allow_plain_http: false }
    }

    #[test]
    fn s11_plain_http_is_refused_to_the_internet_and_fine_in_a_private_network() {
        let link = link("http://cameras.example.org/");
        for (address, is_plain, expected) in [
            ("8.8.8.8", true, false),
            ("2606:4700::1111", true, false),
            ("8.8.8.8", false, true),
            ("192.168.1.7", true, true),
            ("127.0.0.1", true, true),
            ("fd00::7", true, true),
            ("100.64.1.1", true, true),
        ] {
            let address = Some(address.parse().unwrap());
            assert_eq!(link.check_address(is_plain, address).is_ok(), expected, "{address:?}");
        }
    }

    #[test]
    fn a_signature_is_for_the_origin_that_was_dialled() {
        for (server, origin) in [
            ("https://Cameras.example.org/below/a/path", "https://cameras.example.org"),
            ("https://cameras.example.org:443/", "https://cameras.example.org"),
            ("http://192.168.1.7:8080/", "http://192.168.1.7:8080"),
            ("wss://cameras.example.org:8443/ws", "https://cameras.example.org:8443"),
        ] {
            assert_eq!(link(server).origin().as_deref(), Some(origin));
        }
    }

    /// A link that is up, and the server's end of it.
    struct Up {
        server: WebSocketStream<TcpStream>,
        doubts: Arc<Notify>,
        passing: JoinHandle<LinkEnd>,
        /// Kept open, so that the link does not end.
        others: (mpsc::Sender<Message>, mpsc::Receiver<LinkEvent>),
    }

    impl Up {
        async fn new() -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("ws://{}", listener.local_addr().unwrap());
            let accept = async {
                tokio_tungstenite::accept_async(listener.accept().await.unwrap().0).await.unwrap()
            };
            let (server, client) = tokio::join!(accept, tokio_tungstenite::connect_async(url));
            let (socket, _) = client.unwrap();
            let (events, received) = mpsc::channel(1);
            let (sender, mut outgoing) = mpsc::channel(1);
            let doubts = Arc::new(Notify::new());
            let doubted = Arc::clone(&doubts);
            let passing = tokio::spawn(async move {
                let stop = CancellationToken::new();
                pass_messages(socket, &events, &mut outgoing, &doubted, &stop).await
            });
            Self { server, doubts, passing, others: (sender, received) }
        }
    }

    #[tokio::test]
    async fn a_doubted_link_without_a_sign_of_life_is_given_up_early() {
        let Up { mut server, doubts, passing, others } = Up::new().await;
        // The first ping of the link comes by itself; its answer measures the round trip.
        server.next().await.unwrap().unwrap();
        server.send(Frame::text(r#"{"jsonrpc":"2.0","method":"trickle"}"#)).await.unwrap();
        let (_sender, mut received) = others;
        received.recv().await.unwrap();
        doubts.notify_one();
        let start = Instant::now();
        let end = passing.await.unwrap();
        assert!(end.is_stale && start.elapsed() >= DOUBT_MIN, "{:?}", start.elapsed());
    }

    #[tokio::test]
    async fn a_doubted_link_with_a_sign_of_life_stays() {
        let Up { mut server, doubts, passing, others: _others } = Up::new().await;
        // The first ping of the link comes by itself.
        server.next().await.unwrap().unwrap();
        doubts.notify_one();
        assert!(server.next().await.unwrap().unwrap().is_ping(), "a doubt makes the link ask");
        server.send(Frame::text("{}")).await.unwrap();
        server.close(None).await.unwrap();
        let end = passing.await.unwrap();
        assert_eq!((end.why.as_str(), end.is_stale), ("closed by the server", false));
    }

    #[tokio::test]
    async fn a_server_says_goodbye_with_the_codes_for_it() {
        for (code, expected) in [
            (Some(CloseCode::Away), true),
            (Some(CloseCode::Restart), true),
            (Some(CloseCode::Normal), false),
            (Some(CloseCode::Library(4409)), false),
            (None, false),
        ] {
            let Up { mut server, passing, others: _others, .. } = Up::new().await;
            let frame = code.map(|code| CloseFrame { code, reason: "".into() });
            server.close(frame).await.unwrap();
            assert_eq!(passing.await.unwrap().is_goodbye, expected, "{code:?}");
        }
    }

    #[test]
    fn the_older_side_is_named_in_one_sentence() {
        for (protocol, begins) in [
            (None, Some("the server is older")),
            (Some(PROTOCOL), None),
            (Some(PROTOCOL + 1), Some("this gateway is older")),
        ] {
            let found = advice(protocol);
            assert_eq!(found.is_some(), begins.is_some(), "{protocol:?}");
            assert!(found.unwrap_or("").starts_with(begins.unwrap_or("")), "{protocol:?}");
        }
    }

    #[test]
    fn a_server_that_has_said_goodbye_is_asked_for_every_tenth_to_four_tenths_of_a_second() {
        let waits = [0.0, 0.5, 1.0].map(|jitter| return_wait(jitter).as_millis());
        assert_eq!(waits, [100, 250, 400]);
    }
}
