//! The link: one WebSocket to the signaling server, made again whenever it is lost.
//!
//! It proves who the gateway is (`portholeChallenge`, `portholeEnroll`, `register`) and then
//! carries messages; what they mean is the core's business.

use crate::key::Key;
use futures_util::{SinkExt as _, StreamExt as _};
use porthole_gateway_core::backoff::Backoff;
use porthole_signaling_proto::identity::{GatewayToken, enroll_message, register_message};
use porthole_signaling_proto::method::{
    Challenge, Empty, Enroll, EnrollParams, Method, Register, RegisterParams,
};
use porthole_signaling_proto::rpc::{self, Fault, Message, RequestId, code};
use porthole_signaling_proto::{MAX_MESSAGE_BYTES, SUBPROTOCOL, WEBSOCKET_PATH};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message as Frame};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};
use url::Url;

/// How long the server may take for each step of coming in.
const STEP_TIMEOUT: Duration = Duration::from_secs(10);

/// Nothing heard for this long, pings included, and the link counts as dead. The server pings
/// more often.
const SILENCE: Duration = Duration::from_secs(45);

/// Our own ping: keeps the NAT's mapping for TCP, which RFC 5382 §5 lets go after two hours at
/// the earliest but home routers let go after minutes.
const PING_INTERVAL: Duration = Duration::from_secs(15);

/// tungstenite's default is 128 kB per connection, for messages of a few kB.
const READ_BUFFER_BYTES: usize = 4 * 1024;

/// What the link tells the driver.
#[derive(Debug)]
pub enum LinkEvent {
    /// Registered; messages flow.
    Online,
    /// Lost; it is being made again.
    Offline,
    /// Something the server said.
    Message(Message),
}

/// Why the link cannot be made, now or ever.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The address is not one of a signaling server.
    #[error("`{0}` is not an http or https address of a signaling server")]
    Address(String),
    /// The server does not know this gateway and there is no claim code.
    #[error(
        "the server does not know this gateway: make a claim code there and give it by --claim"
    )]
    NotEnrolled,
    /// The server does not take the claim code.
    #[error("the server does not take the claim code: {0}")]
    ClaimRefused(String),
    /// The network, or the server, for now.
    #[error("{0}")]
    Temporary(String),
}

impl LinkError {
    /// Whether trying again is useless.
    fn is_final(&self) -> bool {
        !matches!(self, Self::Temporary(_))
    }
}

/// What the link needs to know.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) server: Url,
    pub(crate) claim: Option<String>,
    pub(crate) name: String,
    pub(crate) key: Key,
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

impl Link {
    /// Keeps the link up until told to stop.
    pub(crate) async fn run(
        self,
        events: mpsc::Sender<LinkEvent>,
        mut outgoing: mpsc::Receiver<Message>,
        stop: CancellationToken,
    ) -> Result<(), LinkError> {
        let mut backoff = Backoff::default();
        loop {
            let opened = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                opened = self.open() => opened,
            };
            match opened {
                Ok(socket) => {
                    backoff.reset();
                    info!(gateway = %self.key.id(), "registered with the signaling server");
                    if events.send(LinkEvent::Online).await.is_err() {
                        return Ok(());
                    }
                    let why = carry(socket, &events, &mut outgoing, &stop).await;
                    if stop.is_cancelled() || events.send(LinkEvent::Offline).await.is_err() {
                        return Ok(());
                    }
                    warn!("the link to the signaling server is lost: {why}; making it again");
                }
                Err(error) if error.is_final() => return Err(error),
                Err(error) => warn!("no link to the signaling server: {error}; trying again"),
            }
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(backoff.next(rand::random())) => {}
            }
        }
    }

    /// Connects and registers.
    async fn open(&self) -> Result<Socket, LinkError> {
        let mut socket = self.connect().await?;
        let challenge = || call::<Challenge>(0, &Empty {});
        let nonce = step(&mut socket, challenge()).await?.map_err(refused)?;
        let nonce = read::<Challenge>(nonce)?.nonce;
        match self.register(&mut socket, &nonce).await? {
            Ok(()) => return Ok(socket),
            Err(fault) if fault.code == code::UNAUTHORIZED => {}
            Err(fault) => return Err(refused(fault)),
        }
        // A nonce is good once, so enrolling takes a new one, and registering another.
        let claim = self.claim.as_deref().ok_or(LinkError::NotEnrolled)?;
        let mut socket = self.connect().await?;
        let nonce = step(&mut socket, challenge()).await?.map_err(refused)?;
        let nonce = read::<Challenge>(nonce)?.nonce;
        self.enroll(&mut socket, &nonce, claim).await?;
        let nonce = step(&mut socket, challenge()).await?.map_err(refused)?;
        let nonce = read::<Challenge>(nonce)?.nonce;
        self.register(&mut socket, &nonce).await?.map_err(refused)?;
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
            .max_message_size(Some(MAX_MESSAGE_BYTES))
            .max_frame_size(Some(MAX_MESSAGE_BYTES));
        let connect = connect_async_with_config(request, Some(config), true);
        match timeout(STEP_TIMEOUT, connect).await {
            Ok(Ok((socket, _))) => Ok(socket),
            Ok(Err(e)) => {
                Err(LinkError::Temporary(format!("{} does not answer: {e}", self.server)))
            }
            Err(_) => Err(LinkError::Temporary(format!("{} does not answer in time", self.server))),
        }
    }

    async fn enroll(&self, socket: &mut Socket, nonce: &str, claim: &str) -> Result<(), LinkError> {
        let params = EnrollParams {
            claim: claim.to_owned(),
            public_key: self.key.public(),
            signature: self.key.sign(&enroll_message(nonce, claim)),
            name: self.name.clone(),
        };
        match step(socket, call::<Enroll>(1, &params)).await? {
            Ok(_) => Ok(()),
            Err(fault) if is_about_the_claim(fault.code) => {
                Err(LinkError::ClaimRefused(fault.message))
            }
            Err(fault) => Err(refused(fault)),
        }
    }

    async fn register(
        &self,
        socket: &mut Socket,
        nonce: &str,
    ) -> Result<Result<(), Fault>, LinkError> {
        let id = self.key.id();
        let signature = self.key.sign(&register_message(nonce, &id));
        let params = RegisterParams {
            authorization: Some(GatewayToken { id, signature }.to_string()),
            name: Some(self.name.clone()),
            capabilities: Some(vec!["extend".to_owned()]),
        };
        Ok(step(socket, call::<Register>(2, &params)).await?.map(drop))
    }
}

/// Where the server takes WebSockets.
pub fn websocket_url(server: &Url) -> Result<Url, LinkError> {
    let scheme = match server.scheme() {
        "http" | "ws" => "ws",
        "https" | "wss" => "wss",
        _ => return Err(LinkError::Address(server.to_string())),
    };
    let mut url = server.clone();
    let fits = url.set_scheme(scheme).is_ok() && url.has_host();
    url.set_path(WEBSOCKET_PATH);
    if fits { Ok(url) } else { Err(LinkError::Address(server.to_string())) }
}

/// Whether the claim itself is at fault, and not the server's disk or patience.
fn is_about_the_claim(code: i64) -> bool {
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

fn call<M: Method>(id: i64, params: &M::Params) -> (RequestId, Message) {
    (RequestId::Number(id), Message::request::<M>(id, params))
}

fn refused(fault: Fault) -> LinkError {
    LinkError::Temporary(format!("the server refuses: {}", fault.message))
}

fn read<M: Method>(value: rpc::Value) -> Result<M::Result, LinkError> {
    rpc::read(value).map_err(refused)
}

/// One request and its answer, before anything else flows.
async fn step(
    socket: &mut Socket,
    (id, request): (RequestId, Message),
) -> Result<Result<rpc::Value, Fault>, LinkError> {
    let lost = |e: &dyn std::fmt::Display| LinkError::Temporary(format!("the link broke: {e}"));
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
    timeout(STEP_TIMEOUT, exchange)
        .await
        .map_err(|_| LinkError::Temporary("the server does not answer in time".to_owned()))?
}

/// Carries messages until the link breaks; says why.
async fn carry(
    mut socket: Socket,
    events: &mpsc::Sender<LinkEvent>,
    outgoing: &mut mpsc::Receiver<Message>,
    stop: &CancellationToken,
) -> String {
    let mut ping = tokio::time::interval(PING_INTERVAL);
    let silence = tokio::time::sleep(SILENCE);
    tokio::pin!(silence);
    loop {
        tokio::select! {
            () = stop.cancelled() => {
                // The server learns it from the closed connection otherwise.
                let _ = socket.close(None).await;
                return "stopping".to_owned();
            }
            () = &mut silence => return "nothing was heard".to_owned(),
            _ = ping.tick() => {
                if let Err(e) = socket.send(Frame::Ping(bytes::Bytes::new())).await {
                    return e.to_string();
                }
            }
            message = outgoing.recv() => {
                let Some(message) = message else { return "stopping".to_owned() };
                if let Err(e) = socket.send(Frame::text(message.to_json())).await {
                    return e.to_string();
                }
            }
            frame = socket.next() => {
                silence.as_mut().reset(tokio::time::Instant::now() + SILENCE);
                match heard(frame) {
                    Ok(Some(message)) => {
                        if events.send(LinkEvent::Message(message)).await.is_err() {
                            return "stopping".to_owned();
                        }
                    }
                    Ok(None) => {}
                    Err(why) => return why,
                }
            }
        }
    }
}

/// What a frame says, if it says anything.
fn heard(frame: Option<Result<Frame, tungstenite::Error>>) -> Result<Option<Message>, String> {
    match frame {
        None | Some(Ok(Frame::Close(_))) => Err("closed by the server".to_owned()),
        Some(Err(e)) => Err(e.to_string()),
        Some(Ok(Frame::Text(text))) => Ok(Message::from_json(&text)
            .inspect_err(|fault| debug!("the server sent something unreadable: {fault}"))
            .ok()),
        Some(Ok(Frame::Binary(_) | Frame::Ping(_) | Frame::Pong(_) | Frame::Frame(_))) => Ok(None),
    }
}
