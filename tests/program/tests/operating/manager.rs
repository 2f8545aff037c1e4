//! A person who manages cameras over the WebSocket, as the dashboard does.

use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use porthole_test_support::porthole::Server;
use porthole_test_support::program::Place;
use serde_json::{Value, json};
use tungstenite::client::IntoClientRequest as _;
use tungstenite::{Message, WebSocket};

/// Time for the next message: the server pings every 10 s.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// Maximum number of messages before a response; lists of cameras come between.
const MAX_MESSAGES: usize = 1000;

/// A client that is registered, and asks one gateway.
pub(crate) struct Manager {
    socket: WebSocket<TcpStream>,
    gateway: &'static str,
    next: u32,
}

impl Manager {
    /// Connects to a server with the token of an admin.
    pub(crate) fn connect(
        place: Place<'_>,
        server: &Server<'_>,
        token: &str,
        gateway: &'static str,
    ) -> Result<Self> {
        let url = server.url(&format!("/ws?access_token={token}")).replace("http://", "ws://");
        let mut request = url.into_client_request()?;
        request.headers_mut().insert("Sec-WebSocket-Protocol", "webrtc.onvif.org".parse()?);
        let http = server.http();
        let stream = place.inside(move || TcpStream::connect(http))??;
        stream.set_read_timeout(Some(READ_TIMEOUT))?;
        let (socket, _) =
            tungstenite::client(request, stream).map_err(|error| anyhow!("{error}"))?;
        let mut manager = Self { socket, gateway, next: 0 };
        manager.request("register", &json!({})).context("not registered")?;
        Ok(manager)
    }

    /// Asks the gateway, and returns its result.
    pub(crate) fn ask(&mut self, method: &str, mut params: Value) -> Result<Value> {
        params["peer"] = self.gateway.into();
        self.request(method, &params)
    }

    /// Sends a notification.
    pub(crate) fn tell(&mut self, method: &str, params: &Value) -> Result<()> {
        let message = json!({ "jsonrpc": "2.0", "method": method, "params": params });
        Ok(self.socket.send(Message::text(message.to_string()))?)
    }

    fn request(&mut self, method: &str, params: &Value) -> Result<Value> {
        self.next += 1;
        let request =
            json!({ "jsonrpc": "2.0", "id": self.next, "method": method, "params": params });
        self.socket.send(Message::text(request.to_string()))?;
        for _ in 0..MAX_MESSAGES {
            match self.socket.read()? {
                Message::Text(text) => {
                    let mut message: Value = serde_json::from_str(&text)?;
                    // The server counts its own requests to this client, too.
                    if message["id"] == request["id"] && message["method"].is_null() {
                        ensure!(message["error"].is_null(), "{method} is refused: {message}");
                        return Ok(message["result"].take());
                    }
                }
                Message::Close(close) => bail!("closed without a response: {close:?}"),
                Message::Ping(_) | Message::Pong(_) | Message::Binary(_) | Message::Frame(_) => {}
            }
        }
        bail!("{method} is not answered")
    }
}
