//! A signaling server that follows a test: it admits the gateway, and asks what the test asks.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use serde_json::{Value, json};
use tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tungstenite::{Message, WebSocket, accept_hdr};

/// Time for the next message of the gateway, and for its start.
const PATIENCE: Duration = Duration::from_secs(30);

/// Maximum number of messages before a response.
const MAX_MESSAGES: usize = 1000;

/// A server that waits for its gateway.
pub(crate) struct ScriptedServer(TcpListener);

/// A server that a gateway is connected to.
pub(crate) struct Connected {
    socket: WebSocket<TcpStream>,
    next: i64,
    /// The first camera of the last report.
    camera: Value,
}

impl ScriptedServer {
    pub(crate) fn bind() -> Result<Self> {
        Ok(Self(TcpListener::bind("127.0.0.1:0")?))
    }

    pub(crate) fn address(&self) -> Result<SocketAddr> {
        Ok(self.0.local_addr()?)
    }

    /// Waits for the gateway, and admits it.
    pub(crate) fn accept(&self) -> Result<Connected> {
        self.0.set_nonblocking(true)?;
        let begun = Instant::now();
        let stream = loop {
            match self.0.accept() {
                Ok((stream, _)) => break stream,
                Err(_) if begun.elapsed() < PATIENCE => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(error) => return Err(error).context("the gateway does not connect"),
            }
        };
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        #[allow(clippy::result_large_err, reason = "the library's type")]
        let negotiate = |_: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
            let value = "webrtc.onvif.org".parse().expect("a header");
            response.headers_mut().insert("Sec-WebSocket-Protocol", value);
            Ok(response)
        };
        let socket = accept_hdr(stream, negotiate).map_err(|error| anyhow!("{error}"))?;
        let mut connected = Connected { socket, next: 0, camera: Value::Null };
        for _ in 0..MAX_MESSAGES {
            if connected.read()?["method"] == "portholeReport" {
                return Ok(connected);
            }
        }
        bail!("the gateway does not register")
    }
}

impl Connected {
    /// Reads a message; requests of the gateway are answered.
    fn read(&mut self) -> Result<Value> {
        let text = loop {
            match self.socket.read()? {
                Message::Text(text) => break text,
                Message::Close(_) => bail!("the gateway is gone"),
                Message::Ping(_) | Message::Pong(_) | Message::Binary(_) | Message::Frame(_) => {}
            }
        };
        let message: Value = serde_json::from_str(&text)?;
        let result = match message["method"].as_str() {
            Some("portholeChallenge") => json!({ "nonce": "n" }),
            Some("register") => json!({ "id": "gateway" }),
            Some("portholeReport") => {
                self.camera = message["params"]["cameras"][0].clone();
                json!({})
            }
            _ => return Ok(message),
        };
        self.send(&json!({ "jsonrpc": "2.0", "id": message["id"], "result": result }))?;
        Ok(message)
    }

    fn send(&mut self, message: &Value) -> Result<()> {
        Ok(self.socket.send(Message::text(message.to_string()))?)
    }

    fn begin(&mut self, method: &str, mut params: Value) -> Result<i64> {
        params["peer"] = "gateway".into();
        self.next += 1;
        let id = self.next;
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }))?;
        Ok(id)
    }

    /// Sends a request, and returns its result.
    pub(crate) fn ask(&mut self, method: &str, params: Value) -> Result<Value> {
        let id = self.begin(method, params)?;
        for _ in 0..MAX_MESSAGES {
            let message = self.read()?;
            if message["method"].is_null() && message["id"] == id {
                ensure!(message["error"].is_null(), "{method} is refused: {message}");
                return Ok(message["result"].clone());
            }
        }
        bail!("{method} is not answered")
    }

    /// Waits until the report of the first camera is as it is wanted, and returns it.
    pub(crate) fn wait_for(
        &mut self,
        what: &str,
        within: Duration,
        is_wanted: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let begun = Instant::now();
        while !is_wanted(&self.camera) {
            let left = within.checked_sub(begun.elapsed()).filter(|left| !left.is_zero());
            let left = left.with_context(|| format!("{what}: {}", self.camera))?;
            self.socket.get_ref().set_read_timeout(Some(left))?;
            let read = self.read();
            self.socket.get_ref().set_read_timeout(Some(PATIENCE))?;
            read.with_context(|| format!("{what}: {}", self.camera))?;
        }
        Ok(self.camera.clone())
    }

    /// Probes a camera, and returns its id as soon as it can be added.
    pub(crate) fn probe(&mut self, address: &str) -> Result<String> {
        let id = self.begin("portholeProbe", json!({ "address": address }))?;
        for _ in 0..MAX_MESSAGES {
            let message = self.read()?;
            // The gateway numbers its own requests as it likes.
            let is_reply = message["id"] == id && message.get("method").is_none();
            ensure!(!is_reply, "the camera is not found: {message}");
            if let Some(camera) = message["params"]["value"]["camera"]["id"].as_str() {
                let params = json!({ "request": id });
                let cancel =
                    json!({ "jsonrpc": "2.0", "method": "portholeCancel", "params": params });
                self.send(&cancel)?;
                return Ok(camera.to_owned());
            }
        }
        bail!("the probe has no end")
    }
}
