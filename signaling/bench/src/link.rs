//! One WebSocket to the server, of a gateway or a viewer.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signer as _, SigningKey};
use futures_util::{SinkExt as _, StreamExt as _};
use porthole_signaling_proto::identity::{
    GatewayToken, enroll_message, gateway_id, register_message,
};
use porthole_signaling_proto::method::{
    Challenge, Empty, Enroll, EnrollParams, Method, Register, RegisterParams, Report, ReportParams,
};
use porthole_signaling_proto::rpc::{Fault, Message, RequestId};
use porthole_signaling_proto::{CameraReport, CameraState, SUBPROTOCOL, WEBSOCKET_PATH, rpc};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

/// The camera of each gateway.
pub(crate) const CAMERA: &str = "door";

/// Number of addresses of this machine from which connections come.
const ADDRESSES: usize = 200;
/// Time for a connection, and for each request before it is registered.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// Size of the read buffer: there are tens of thousands.
const READ_BUFFER_BYTES: usize = 2 * 1024;

pub(crate) struct Link(WebSocketStream<TcpStream>);

impl Link {
    /// Connects from one of many addresses.
    async fn connect(server: SocketAddr, number: usize) -> Result<Self> {
        let stream = connect_from(server, number).await?;
        // As the gateway does: two messages in a row must not wait for an acknowledgement.
        stream.set_nodelay(true)?;
        let mut request = format!("ws://{server}{WEBSOCKET_PATH}").into_client_request()?;
        request.headers_mut().insert("Sec-WebSocket-Protocol", SUBPROTOCOL.parse()?);
        let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER_BYTES);
        let (socket, _) = client_async_with_config(request, stream, Some(config)).await?;
        Ok(Self(socket))
    }

    /// Connects and registers a gateway with its cameras, and enrols it first with a claim code.
    pub(crate) async fn gateway(
        server: SocketAddr,
        number: usize,
        key: &SigningKey,
        claim: Option<&str>,
        cameras: &[&str],
    ) -> Result<Self> {
        let opening = async {
            let mut link = Self::connect(server, number).await?;
            let public = key.verifying_key().to_bytes();
            if let Some(claim) = claim {
                let nonce = link.nonce().await?;
                let params = EnrollParams {
                    claim: claim.to_owned(),
                    public_key: URL_SAFE_NO_PAD.encode(public),
                    origin: None,
                    signature: sign(key, &enroll_message(None, &nonce, claim)),
                    name: format!("Gateway {number}"),
                };
                link.call::<Enroll>(&params).await?;
            }
            let (nonce, id) = (link.nonce().await?, gateway_id(&public));
            let signature = sign(key, &register_message(None, &nonce, &id));
            let token = GatewayToken { id, origin: None, signature };
            link.register(&token.to_string()).await?;
            let camera = |id: &&str| {
                anyhow::Ok(CameraReport::new(id.parse()?, (*id).to_owned(), CameraState::Idle))
            };
            let cameras = cameras.iter().map(camera).collect::<Result<_>>()?;
            let report = ReportParams { cameras, ..ReportParams::default() };
            link.call::<Report>(&report).await?;
            anyhow::Ok(link)
        };
        tokio::time::timeout(CALL_TIMEOUT, opening).await.context("the server is too slow")?
    }

    /// Connects and registers a viewer.
    pub(crate) async fn viewer(server: SocketAddr, number: usize, token: &str) -> Result<Self> {
        let mut link = Self::connect(server, number).await?;
        link.register(token).await?;
        Ok(link)
    }

    async fn register(&mut self, authorization: &str) -> Result<()> {
        let authorization = Some(authorization.to_owned());
        self.call::<Register>(&RegisterParams { authorization, ..RegisterParams::default() })
            .await
            .map(drop)
    }

    async fn nonce(&mut self) -> Result<String> {
        Ok(self.call::<Challenge>(&Empty {}).await?.nonce)
    }

    /// Sends a request and waits for its response, ignoring other messages.
    async fn call<M: Method>(&mut self, params: &M::Params) -> Result<M::Result> {
        self.send(&Message::request::<M>(0, params)).await?;
        loop {
            let message = self.next().await?.context("closed by the server")?;
            let Message::Response { id: Some(RequestId::Number(0)), outcome } = message else {
                continue;
            };
            let refused = |fault: Fault| anyhow::anyhow!("{} is refused: {fault}", M::NAME);
            return rpc::read(outcome.map_err(refused)?).map_err(refused);
        }
    }

    pub(crate) async fn send(&mut self, message: &Message) -> Result<()> {
        Ok(self.0.send(Frame::text(message.to_json())).await?)
    }

    /// Returns the next message; `None` once the server has closed the connection.
    pub(crate) async fn next(&mut self) -> Result<Option<Message>> {
        while let Some(frame) = self.0.next().await {
            match frame? {
                Frame::Text(text) => match Message::from_json(&text) {
                    Ok(message) => return Ok(Some(message)),
                    Err(fault) => bail!("the server sends what cannot be read: {fault}"),
                },
                Frame::Close(_) => return Ok(None),
                Frame::Binary(_) | Frame::Ping(_) | Frame::Pong(_) | Frame::Frame(_) => {}
            }
        }
        Ok(None)
    }
}

/// Connects from one of the addresses of this machine.
pub(crate) async fn connect_from(server: SocketAddr, number: usize) -> Result<TcpStream> {
    let host = u8::try_from(number % ADDRESSES)? + 2;
    let socket = TcpSocket::new_v4()?;
    socket.bind((Ipv4Addr::new(127, 0, 0, host), 0).into())?;
    Ok(socket.connect(server).await?)
}

fn sign(key: &SigningKey, message: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(key.sign(message).to_bytes())
}
