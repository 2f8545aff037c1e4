//! A signaling server that follows a test: it admits the gateway, asks what the test asks, and
//! keeps every message that it gets.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};

/// Time for the next message of the gateway.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server that waits for its gateway.
pub(super) struct ScriptedServer {
    listener: TcpListener,
}

/// A server that a gateway is connected to.
pub(super) struct Connected {
    socket: WebSocketStream<TcpStream>,
    next: i64,
    /// The latest report of cameras.
    pub(super) cameras: Value,
    /// The messages of the gateway so far, one a line.
    pub(super) log: String,
}

/// The response to a request, and the progress before it.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) progress: Vec<Value>,
    pub(super) response: Value,
}

impl Heard {
    pub(super) fn fault(&self) -> Option<(i64, &str)> {
        let error = &self.response["error"];
        Some((error["code"].as_i64()?, error["message"].as_str()?))
    }

    pub(super) fn findings(&self) -> Vec<&str> {
        let keys = self.progress.iter().filter_map(|value| value["finding"]["key"].as_str());
        keys.collect()
    }

    /// Returns the last that was told about the first camera.
    pub(super) fn camera(&self) -> Option<&Value> {
        self.progress.iter().rev().map(|value| &value["camera"]).find(|it| it.is_object())
    }
}

impl ScriptedServer {
    pub(super) async fn bind() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.expect("loopback") }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/", self.listener.local_addr().expect("bound"))
    }

    /// Waits for the gateway, and admits it.
    pub(super) async fn accept(&self) -> Connected {
        let (stream, _) = self.listener.accept().await.expect("a connection");
        #[allow(clippy::result_large_err, reason = "the library's type")]
        let negotiate = |_: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
            let value = "webrtc.onvif.org".parse().expect("a header");
            response.headers_mut().insert("Sec-WebSocket-Protocol", value);
            Ok(response)
        };
        let socket = accept_hdr_async(stream, negotiate).await.expect("a WebSocket");
        let (cameras, log) = (Value::Null, String::new());
        let mut server = Connected { socket, next: 0, cameras, log };
        while server.cameras.is_null() {
            server.read().await;
        }
        server
    }
}

impl Connected {
    /// Reads a message; requests of the gateway are answered.
    async fn read(&mut self) -> Value {
        let message = loop {
            let next = timeout(PATIENCE, self.socket.next()).await.expect("a message in time");
            if let Message::Text(text) = next.expect("a message").expect("a WebSocket") {
                break text;
            }
        };
        self.log.push_str(&message);
        self.log.push('\n');
        let message: Value = serde_json::from_str(&message).expect("JSON");
        let result = match message["method"].as_str() {
            Some("portholeChallenge") => json!({ "nonce": "n" }),
            Some("register") => json!({ "id": "gateway" }),
            Some("portholeReport") => {
                self.cameras = message["params"]["cameras"].clone();
                json!({})
            }
            _ => return message,
        };
        let response = json!({ "jsonrpc": "2.0", "id": message["id"], "result": result });
        self.send(&response).await;
        message
    }

    async fn send(&mut self, message: &Value) {
        self.socket.send(Message::text(message.to_string())).await.expect("a WebSocket");
    }

    /// Sends a request; returns its id.
    pub(super) async fn begin(&mut self, method: &str, mut params: Value) -> i64 {
        params["peer"] = "gateway".into();
        self.next += 1;
        let request = json!({
            "jsonrpc": "2.0", "id": self.next, "method": method, "params": params,
        });
        self.send(&request).await;
        self.next
    }

    pub(super) async fn cancel(&mut self, id: i64) {
        let params = json!({ "request": id });
        let message = json!({ "jsonrpc": "2.0", "method": "portholeCancel", "params": params });
        self.send(&message).await;
    }

    /// Waits for progress of a request that fits, or for its response.
    pub(super) async fn wait(&mut self, id: i64, is_enough: impl Fn(&Value) -> bool) -> Heard {
        let mut progress = Vec::new();
        loop {
            let message = self.read().await;
            if message["method"].is_null() && message["id"] == id {
                return Heard { progress, response: message };
            }
            if message["method"] == "portholeProgress" && message["params"]["request"] == id {
                let value = message["params"]["value"].clone();
                let ends = is_enough(&value);
                progress.push(value);
                if ends {
                    return Heard { progress, response: Value::Null };
                }
            }
        }
    }

    /// Sends a request, and waits for its response.
    pub(super) async fn ask(&mut self, method: &str, params: Value) -> Heard {
        let id = self.begin(method, params).await;
        self.wait(id, |_| false).await
    }

    /// Waits for a report in which the camera with this id fits.
    pub(super) async fn wait_for_camera(&mut self, id: &str, fits: impl Fn(&Value) -> bool) {
        loop {
            let none = Vec::new();
            let cameras = self.cameras.as_array().unwrap_or(&none);
            if fits(cameras.iter().find(|camera| camera["id"] == id).unwrap_or(&Value::Null)) {
                return;
            }
            self.read().await;
        }
    }
}
