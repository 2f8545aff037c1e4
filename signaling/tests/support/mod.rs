//! Test support: a server on a real socket, and gateways and viewers that share no code with it
//! except the messages.

#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]
#![allow(
    clippy::unwrap_used,
    clippy::unwrap_in_result,
    clippy::wildcard_enum_match_arm,
    missing_debug_implementations,
    reason = "only tests are in here"
)]

pub mod provider;
pub mod totp;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signer as _, SigningKey};
use futures_util::{SinkExt as _, StreamExt as _};
use porthole_signaling::{Config, Server, TurnConfig, TurnServer, admin};
use porthole_signaling_proto::identity::{
    GatewayToken, enroll_message, gateway_id, register_message,
};
use porthole_signaling_proto::manage::{RemoveCameraParams, RemovedResult, StoredCamerasResult};
use porthole_signaling_proto::method::{
    Challenge, Connect, ConnectDevice, ConnectDeviceResult, ConnectParams, Empty, Enroll,
    EnrollParams, EnrollResult, Method, Notification, Register, RegisterParams, RegisterResult,
    RemoveCamera, Report, ReportParams, ReportResult, StoredCameras,
};
use porthole_signaling_proto::rest::{NewToken, Role};
use porthole_signaling_proto::rpc::{Fault, Message, RequestId};
use porthole_signaling_proto::{CameraReport, CameraState, GatewayId, SUBPROTOCOL, SessionId, rpc};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite};
use tokio_util::sync::CancellationToken;

/// Timeout of everything here: far longer than it takes, even on a busy machine.
pub const TIMEOUT: Duration = Duration::from_secs(20);

/// A running server.
pub struct Running {
    pub address: SocketAddr,
    pub setup_link: Option<String>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

pub fn config(data: &Path) -> Config {
    let mut config = Config::new(SocketAddr::from(([127, 0, 0, 1], 0)), data);
    let turn_server = TurnServer {
        name: "main".to_owned(),
        urls: vec!["stun:127.0.0.1:3478".into(), "turn:127.0.0.1:3478?transport=udp".into()],
        secret: b"secret".to_vec(),
        weight: TurnServer::USUAL_WEIGHT,
        region: None,
    };
    let (servers, lifetime) = (vec![turn_server], Duration::from_secs(600));
    config.turn = Some(TurnConfig { servers, lifetime });
    config
}

impl Running {
    pub async fn start(data: &Path) -> Self {
        Self::with(config(data)).await
    }

    pub async fn with(config: Config) -> Self {
        let server = Server::bind(config).await.unwrap();
        let (address, setup_link) = (server.local_addr(), server.setup_link());
        let stop = CancellationToken::new();
        let task = tokio::spawn(server.run(stop.clone()));
        Self { address, setup_link, stop, task }
    }

    pub async fn stop(self) {
        self.stop.cancel();
        timeout(Duration::from_secs(5), self.task)
            .await
            .expect("the server stops within 5 s")
            .unwrap();
    }
}

/// The media type of the bodies of the REST interface.
pub const JSON: (&str, &str) = ("content-type", "application/json");

/// A server in a folder of its own, with one gateway.
pub struct Installation {
    pub data: tempfile::TempDir,
    pub server: Running,
    pub key: Key,
    pub gateway: Peer,
}

impl Installation {
    /// Starts a server, and a gateway with these cameras.
    pub async fn new(cameras: &[&str]) -> Self {
        Self::with(cameras, |_| {}).await
    }

    /// Starts a server with other settings.
    pub async fn with(cameras: &[&str], change: impl FnOnce(&mut Config)) -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut config = config(data.path());
        change(&mut config);
        let server = Running::with(config).await;
        let key = Key::new(1);
        let gateway = key.with_cameras(data.path(), server.address, cameras).await;
        Self { data, server, key, gateway }
    }

    pub fn to(&self) -> SocketAddr {
        self.server.address
    }

    /// Sends a request to the REST interface; see [`rest`].
    pub async fn send(&self, who: &str, method: &str, path: &str, body: Value) -> HttpResponse {
        rest(self.to(), who, method, path, body).await
    }

    /// Creates the first owner. Returns its cookie.
    pub async fn set_up(&self, name: &str, password: &str) -> String {
        let link = self.server.setup_link.clone().unwrap();
        let token = link.split_once("#t=").unwrap().1;
        let body = json!({"token": token, "name": name, "password": password});
        let set_up = self.send("", "POST", "/setup", body).await;
        assert_eq!(set_up.json(), json!({"name": name, "role": "owner"}));
        cookie(&set_up)
    }

    /// Creates the token of an admin, for `send`.
    pub async fn admin(&self) -> String {
        format!("Bearer {}", token(self.data.path(), Role::Admin, &[]).await)
    }

    /// Invites a person with these rights in the name of an owner. The person accepts with a
    /// Asks in the name of an owner for the removal of `demo`, while the gateway has made this many
    /// changes. Returns the WebSocket that waits, and the numbers of the request there and at the
    /// gateway.
    pub async fn ask_removal(&mut self, owner: &str, revision: u32) -> (Peer, i64, RequestId) {
        let mut asking = Peer::open(self.to(), &[("cookie", owner)]).await.expect("a WebSocket");
        asking.register(None).await.expect("the owner");
        let (peer, camera) = (self.key.id(), "demo".parse().expect("an id"));
        let params = RemoveCameraParams { peer, revision: 1, camera, by: None };
        let asked = asking.request::<RemoveCamera>(&params).await;
        self.gateway.list_stored(revision, &["demo", "barn"]).await;
        let (number, _) = self.gateway.next_request::<RemoveCamera>().await;
        (asking, asked, number)
    }

    /// Says as the gateway that `demo` is removed.
    pub async fn confirm_removal(&mut self, number: RequestId) {
        let camera = "demo".parse().expect("an id");
        let result = RemovedResult { camera, revision: 2, removed: None };
        self.gateway.respond::<RemoveCamera>(number, &result).await;
    }

    /// password. Returns its number and its cookie.
    pub async fn invite(
        &self,
        owner: &str,
        name: &str,
        mut access: Value,
        password: &str,
    ) -> (i64, String) {
        access["name"] = name.into();
        let link = self.send(owner, "POST", "/invitations", access).await.json();
        let body = json!({"token": link["token"], "password": password});
        let accepted = self.send("", "POST", "/invitations/accept", body).await;
        assert_eq!(accepted.status, 200, "{accepted:?}");
        (self.number(owner, name).await, cookie(&accepted))
    }

    /// Returns the number of a user, as an owner sees it.
    pub async fn number(&self, owner: &str, name: &str) -> i64 {
        let users = self.send(owner, "GET", "/users", Value::Null).await.json();
        let users = users["users"].as_array().expect("a list").clone();
        let user = users.iter().find(|user| user["name"] == name).expect("the user");
        user["id"].as_i64().expect("a number")
    }

    /// Starts a session of a viewer with `demo`, which the gateway accepts.
    pub async fn play(&mut self, viewer: &mut Peer) -> SessionId {
        let profile = Some("demo".parse().unwrap());
        let params =
            ConnectParams { peer: self.key.id(), profile, authorization: None, audio: None };
        let request = viewer.request::<Connect>(&params).await;
        let (id, started) = self.gateway.next_request::<ConnectDevice>().await;
        self.gateway.respond::<ConnectDevice>(id, &ConnectDeviceResult::default()).await;
        viewer.response::<Connect>(request).await.unwrap();
        started.session
    }
}

/// Sends a request to the REST interface: with a token if `who` is `Bearer …`, else with cookies,
/// if there are any.
pub async fn rest(
    to: SocketAddr,
    who: &str,
    method: &str,
    path: &str,
    body: Value,
) -> HttpResponse {
    let name = if who.starts_with("Bearer ") { "authorization" } else { "cookie" };
    let headers = [(name, who), JSON];
    let headers = if who.is_empty() { &headers[1..] } else { &headers[..] };
    let body = if body.is_null() { String::new() } else { body.to_string() };
    http(to, method, &format!("/api/v1{path}"), headers, &body).await
}

/// Returns the first cookie that a response sets, as a browser sends it.
pub fn cookie(response: &HttpResponse) -> String {
    let cookie = response.header("set-cookie").unwrap_or_else(|| panic!("{response:?}"));
    cookie.split(';').next().unwrap_or_default().to_owned()
}

/// The response to an HTTP request.
#[derive(Debug)]
pub struct HttpResponse {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl HttpResponse {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    pub fn all(&self, name: &str) -> Vec<&str> {
        let same = self.headers.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        same.map(|(_, value)| value.as_str()).collect()
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// Returns the sentence of a refusal.
    pub fn error(&self) -> String {
        self.json()["error"].as_str().expect("a refusal is an `Error`").to_owned()
    }
}

/// Sends an HTTP request on a connection of its own.
pub async fn http(
    to: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> HttpResponse {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += &format!("Content-Length: {}\r\n\r\n{body}", body.len());
    let exchange = async {
        let mut stream = TcpStream::connect(to).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut response = Vec::new();
        stream.read_to_end(&mut response).await.unwrap();
        response
    };
    let response = timeout(TIMEOUT, exchange).await.expect("the response arrives in time");
    read_response(&String::from_utf8(response).unwrap())
}

/// Starts a reverse proxy that passes `/cams/…` on to a server, as web servers are configured to.
/// It removes that part of the path if `strips`, and names it in a header if `tells`.
pub async fn proxy(to: SocketAddr, strips: bool, tells: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(pass_on(client, to, strips, tells));
        }
    });
    address
}

/// Passes a connection on, after a change to its first request.
async fn pass_on(mut client: TcpStream, to: SocketAddr, strips: bool, tells: bool) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let (method, rest) = head.split_once(' ').unwrap();
    let Some(below) = rest.strip_prefix("/cams/") else {
        client.write_all(b"HTTP/1.1 404 Not Found\r\n\r\nanother site").await.unwrap();
        return;
    };
    let root = if strips { "/" } else { "/cams/" };
    let (line, rest) = below.split_once("\r\n").unwrap();
    let told = if tells { "X-Forwarded-Prefix: /cams\r\n" } else { "" };
    let mut server = TcpStream::connect(to).await.unwrap();
    let head = format!("{method} {root}{line}\r\n{told}{rest}");
    server.write_all(head.as_bytes()).await.unwrap();
    let _ended = tokio::io::copy_bidirectional(&mut client, &mut server).await;
}

fn read_response(text: &str) -> HttpResponse {
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers = lines.filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    HttpResponse { status, headers, body: body.to_owned() }
}

pub async fn token(data: &Path, role: Role, cameras: &[&str]) -> String {
    let cameras = cameras.iter().map(|id| id.parse().unwrap()).collect();
    let new = NewToken {
        name: "test".into(),
        role,
        cameras,
        control: false,
        listen: true,
        scopes: None,
        max_kbit_per_s: None,
        expires_in_seconds: None,
    };
    admin::create_token(data, new).await.unwrap().token
}

/// A client or a gateway: the remote end of a WebSocket.
pub struct Peer {
    socket: WebSocketStream<TcpStream>,
    /// The messages that were received but not looked for yet.
    unread: VecDeque<Message>,
    next_id: i64,
}

impl Peer {
    /// Opens a WebSocket. The error is the HTTP status with which the server refused it.
    pub async fn open(to: SocketAddr, headers: &[(&str, &str)]) -> Result<Self, u16> {
        Self::open_at(to, "/ws", headers).await
    }

    /// Opens a WebSocket at another path, behind a proxy.
    pub async fn open_at(
        to: SocketAddr,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Self, u16> {
        let mut request = format!("ws://{to}{path}").into_client_request().unwrap();
        let list = request.headers_mut();
        list.insert("sec-websocket-protocol", SUBPROTOCOL.parse().unwrap());
        for (name, value) in headers {
            let name: http::HeaderName = name.parse().unwrap();
            list.insert(name, value.parse().unwrap());
        }
        let stream = TcpStream::connect(to).await.unwrap();
        match timeout(TIMEOUT, client_async(request, stream)).await.unwrap() {
            Ok((socket, response)) => {
                assert_eq!(response.headers()["sec-websocket-protocol"], SUBPROTOCOL);
                Ok(Self { socket, unread: VecDeque::new(), next_id: 0 })
            }
            Err(tungstenite::Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    /// Connects and registers a viewer.
    pub async fn viewer(to: SocketAddr, token: &str) -> Self {
        let mut peer = Self::open(to, &[]).await.unwrap();
        peer.register(Some(token.to_owned())).await.unwrap();
        peer
    }

    pub async fn register(&mut self, token: Option<String>) -> Result<RegisterResult, Fault> {
        self.call::<Register>(&RegisterParams { authorization: token, ..Default::default() }).await
    }

    pub async fn send(&mut self, message: &Message) {
        self.send_text(message.to_json()).await;
    }

    pub async fn send_text(&mut self, text: String) {
        timeout(TIMEOUT, self.socket.send(Frame::text(text))).await.unwrap().unwrap();
    }

    /// Sends a text, which the server may not accept.
    pub async fn try_send_text(&mut self, text: String) {
        let _sent = timeout(TIMEOUT, self.socket.send(Frame::text(text))).await;
    }

    /// Waits for the close frame and ignores messages before it.
    pub async fn close_frame(&mut self) -> Option<CloseFrame> {
        loop {
            match timeout(TIMEOUT, self.socket.next())
                .await
                .expect("the WebSocket is closed in time")
            {
                Some(Ok(Frame::Close(frame))) => return frame,
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
        }
    }

    /// Waits for the next message.
    pub async fn next(&mut self) -> Message {
        match self.unread.pop_front() {
            Some(message) => message,
            None => self.read().await,
        }
    }

    async fn read(&mut self) -> Message {
        loop {
            match timeout(TIMEOUT, self.socket.next()).await.expect("a message arrives in time") {
                Some(Ok(Frame::Text(text))) => return Message::from_json(&text).unwrap(),
                Some(Ok(Frame::Ping(_) | Frame::Pong(_))) => {}
                other => panic!("no message: {other:?}"),
            }
        }
    }

    /// Waits for the first message that `pick` returns something for. The others stay unread.
    async fn find<T>(&mut self, mut pick: impl FnMut(&Message) -> Option<T>) -> T {
        for index in 0..self.unread.len() {
            if let Some(found) = pick(&self.unread[index]) {
                self.unread.remove(index);
                return found;
            }
        }
        loop {
            let message = self.read().await;
            match pick(&message) {
                Some(found) => return found,
                None => self.unread.push_back(message),
            }
        }
    }

    pub async fn call<M: Method>(&mut self, params: &M::Params) -> Result<M::Result, Fault> {
        let id = self.request::<M>(params).await;
        self.response::<M>(id).await
    }

    pub async fn request<M: Method>(&mut self, params: &M::Params) -> i64 {
        self.next_id += 1;
        self.send(&Message::request::<M>(self.next_id, params)).await;
        self.next_id
    }

    pub async fn response<M: Method>(&mut self, id: i64) -> Result<M::Result, Fault> {
        let outcome = self
            .find(|message| match message {
                Message::Response { id: Some(RequestId::Number(found)), outcome }
                    if *found == id =>
                {
                    Some(outcome.clone())
                }
                _ => None,
            })
            .await;
        outcome.map(|result| rpc::read(result).unwrap())
    }

    /// Waits for the next request for `M`.
    pub async fn next_request<M: Method>(&mut self) -> (RequestId, M::Params) {
        self.find(|message| match message {
            Message::Request { id, method, params } if method == M::NAME => {
                Some((id.clone(), rpc::read(params.clone()).unwrap()))
            }
            _ => None,
        })
        .await
    }

    pub async fn respond<M: Method>(&mut self, id: RequestId, result: &M::Result) {
        self.send(&Message::result::<M>(id, result)).await;
    }

    /// Answers as a gateway which cameras it keeps.
    pub async fn list_stored(&mut self, revision: u32, cameras: &[&str]) {
        let (number, _) = self.next_request::<StoredCameras>().await;
        let camera = |id: &&str| json!({"id": id, "name": id, "origin": "stored"});
        let cameras = cameras.iter().map(|id| serde_json::from_value(camera(id)).unwrap());
        let result = StoredCamerasResult { revision, cameras: cameras.collect() };
        self.respond::<StoredCameras>(number, &result).await;
    }

    pub async fn refuse(&mut self, id: RequestId, code: i64, text: &str) {
        self.send(&Message::fault(Some(id), Fault::new(code, text))).await;
    }

    pub async fn notify<N: Notification>(&mut self, params: &N::Params) {
        self.send(&Message::notification::<N>(params)).await;
    }

    /// Waits for the next notification `N`.
    pub async fn next_notification<N: Notification>(&mut self) -> N::Params {
        self.find(|message| match message {
            Message::Notification { method, params } if method == N::NAME => {
                Some(rpc::read(params.clone()).unwrap())
            }
            _ => None,
        })
        .await
    }

    /// Waits for the next `error`.
    pub async fn next_error(&mut self) -> Fault {
        self.find(|message| match message {
            Message::Error(fault) => Some(fault.clone()),
            _ => None,
        })
        .await
    }

    pub async fn close(mut self) {
        let _closed = self.socket.close(None).await;
    }
}

/// The identity of a gateway.
pub struct Key(SigningKey);

impl Key {
    pub fn new(seed: u8) -> Self {
        Self(SigningKey::from_bytes(&[seed; 32]))
    }

    pub fn id(&self) -> GatewayId {
        gateway_id(&self.0.verifying_key().to_bytes())
    }

    pub fn sign(&self, message: &[u8]) -> String {
        URL_SAFE_NO_PAD.encode(self.0.sign(message).to_bytes())
    }

    /// Returns the parameters of a gateway of the release before, which names no origin.
    pub fn enroll_params(&self, nonce: &str, claim: &str) -> EnrollParams {
        self.enroll_params_for(nonce, claim, None)
    }

    fn enroll_params_for(&self, nonce: &str, claim: &str, origin: Option<&str>) -> EnrollParams {
        EnrollParams {
            claim: claim.to_owned(),
            public_key: URL_SAFE_NO_PAD.encode(self.0.verifying_key().to_bytes()),
            signature: self.sign(&enroll_message(origin, nonce, claim)),
            name: "Barn".into(),
            origin: origin.map(str::to_owned),
        }
    }

    /// Returns the token of a gateway of the release before, which names no origin.
    pub fn token(&self, nonce: &str) -> String {
        self.token_for(nonce, None)
    }

    pub fn token_for(&self, nonce: &str, origin: Option<&str>) -> String {
        let signature = self.sign(&register_message(origin, nonce, &self.id()));
        let origin = origin.map(str::to_owned);
        GatewayToken { id: self.id(), origin, signature }.to_string()
    }

    pub async fn enroll(&self, to: SocketAddr, claim: &str) -> Result<EnrollResult, Fault> {
        self.enroll_for(to, claim, None).await
    }

    pub async fn enroll_for(
        &self,
        to: SocketAddr,
        claim: &str,
        origin: Option<&str>,
    ) -> Result<EnrollResult, Fault> {
        let mut peer = Peer::open(to, &[]).await.unwrap();
        let nonce = peer.call::<Challenge>(&Empty {}).await?.nonce;
        peer.call::<Enroll>(&self.enroll_params_for(&nonce, claim, origin)).await
    }

    /// Connects and registers the gateway.
    pub async fn connect(&self, to: SocketAddr) -> Peer {
        let mut peer = Peer::open(to, &[]).await.unwrap();
        let nonce = peer.call::<Challenge>(&Empty {}).await.unwrap().nonce;
        peer.register(Some(self.token(&nonce))).await.unwrap();
        peer
    }

    /// Enrols and connects the gateway, and reports these cameras.
    pub async fn with_cameras(&self, data: &Path, to: SocketAddr, cameras: &[&str]) -> Peer {
        let claim = admin::create_claim(data).await.unwrap();
        self.enroll(to, &claim.code).await.unwrap();
        let mut peer = self.connect(to).await;
        let result = report(&mut peer, cameras).await;
        assert_eq!(result.refused, []);
        peer
    }
}

pub async fn report(peer: &mut Peer, cameras: &[&str]) -> ReportResult {
    let cameras = cameras.iter().map(|id| camera(id, CameraState::Idle)).collect();
    peer.call::<Report>(&ReportParams { cameras, ..Default::default() }).await.unwrap()
}

pub fn camera(id: &str, state: CameraState) -> CameraReport {
    CameraReport::new(id.parse().unwrap(), format!("Camera {id}"), state)
}
