//! A client that floods its WebSocket, next to others that do not.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use porthole_test_support::porthole::Server;
use porthole_test_support::program::Place;
use porthole_test_support::scene::scene;
use serde_json::{Value, json};
use tungstenite::client::IntoClientRequest as _;
use tungstenite::handshake::HandshakeError;
use tungstenite::protocol::frame::Frame;
use tungstenite::protocol::frame::coding::{Data, OpCode};
use tungstenite::{Message, WebSocket};

use crate::installation::{Installation, NEEDS};
use crate::sentence::check_sentence;

/// The server answers at once; on an idle connection it only pings, every 10 s.
const READ_TIMEOUT: Duration = Duration::from_secs(5);
const MAX_FRAMES: usize = 20;
const MEGABYTE: usize = 1_000_000;

/// A client of the signaling WebSocket.
pub(crate) struct Client(WebSocket<TcpStream>);

/// The close frame of the server.
#[derive(Debug)]
pub(crate) struct Closed {
    pub(crate) code: u16,
    pub(crate) reason: String,
}

impl Client {
    /// Connects with the token in the URL, as a browser does. The inner `Err` is the JSON of a
    /// refused handshake.
    pub(crate) fn open(server: &Server<'_>, token: Option<&str>) -> Result<Result<Self, Value>> {
        let query = token.map(|token| format!("?access_token={token}")).unwrap_or_default();
        let url = server.url(&format!("/ws{query}")).replace("http://", "ws://");
        let mut request = url.into_client_request()?;
        request.headers_mut().insert("Sec-WebSocket-Protocol", "webrtc.onvif.org".parse()?);
        let stream = TcpStream::connect(server.http())?;
        stream.set_read_timeout(Some(READ_TIMEOUT))?;
        stream.set_write_timeout(Some(READ_TIMEOUT))?;
        match tungstenite::client(request, stream) {
            Ok((socket, _)) => Ok(Ok(Self(socket))),
            Err(HandshakeError::Failure(tungstenite::Error::Http(response))) => {
                let body = response.body().as_deref().unwrap_or_default();
                let status = response.status().as_u16();
                let mut refusal: Value = serde_json::from_slice(body)?;
                refusal["status"] = status.into();
                Ok(Err(refusal))
            }
            Err(error) => bail!("the handshake failed: {error}"),
        }
    }

    /// Sends one request and returns its complete response.
    pub(crate) fn request(&mut self, method: &str, params: &Value) -> Result<Value> {
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        self.0.send(Message::text(request.to_string()))?;
        for _ in 0..MAX_FRAMES {
            match self.0.read()? {
                Message::Text(text) => {
                    let message: Value = serde_json::from_str(&text)?;
                    if message["id"] == request["id"] {
                        return Ok(message);
                    }
                }
                Message::Close(close) => bail!("closed without a response: {close:?}"),
                Message::Ping(_) | Message::Pong(_) | Message::Binary(_) | Message::Frame(_) => {}
            }
        }
        bail!("no response in {MAX_FRAMES} frames")
    }

    /// Waits until the server closes the connection, which it must do within this time.
    pub(crate) fn wait_for_close(&mut self, deadline: Duration) -> Result<Closed> {
        self.0.get_ref().set_read_timeout(Some(deadline))?;
        for _ in 0..MAX_FRAMES {
            if let Message::Close(close) = self.0.read().context("closed without a close frame")? {
                let frame = close.context("closed without a reason")?;
                return Ok(Closed { code: frame.code.into(), reason: frame.reason.to_string() });
            }
        }
        bail!("not closed in {MAX_FRAMES} frames")
    }

    /// Connects and registers.
    fn registered(server: &Server<'_>, token: &str) -> Result<Self> {
        let refused = |refusal| anyhow!("the handshake was refused: {refusal}");
        let mut client = Self::open(server, Some(token))?.map_err(refused)?;
        let response = client.request("register", &json!({}))?;
        ensure!(response["result"]["id"].is_string(), "not registered: {response}");
        Ok(client)
    }

    /// Checks that the server still responds; it refuses a second registration.
    fn check_responsive(&mut self) -> Result<()> {
        let response = self.request("register", &json!({}))?;
        ensure!(response["error"]["message"].is_string(), "no response: {response}");
        Ok(())
    }
}

#[test]
fn a_message_of_one_megabyte_closes_only_its_own_websocket() {
    scene("a_message_of_one_megabyte_closes_only_its_own_websocket", &NEEDS, |scene| {
        let mut installation = Installation::start(scene, Place::Here, &[])?;
        let mut bystander = Client::registered(&installation.server, &installation.token)?;
        let table: [(&str, Send); 4] = [
            ("one frame of text", |client| Ok(client.0.send(text())?)),
            ("one frame of bytes", |client| Ok(client.0.send(vec![0; MEGABYTE].into())?)),
            ("many fragments", fragments),
            ("only the header of one", header_only),
        ];
        for (case, send) in table {
            for registered in [true, false] {
                let mut client = match registered {
                    true => Client::registered(&installation.server, &installation.token)?,
                    false => {
                        Client::open(&installation.server, None)?.map_err(|_| anyhow!("refused"))?
                    }
                };
                send(&mut client).context(case)?;
                let Closed { code, reason } = client.wait_for_close(READ_TIMEOUT).context(case)?;
                ensure!(code == 1009, "{case}: closed with {code}, {reason}");
                check_sentence(&reason, &["too long", "64 KiB"], &[&installation.token])
                    .context(case)?;
                bystander.check_responsive().context(case)?;
            }
        }
        installation.check_unharmed()
    });
}

type Send = fn(&mut Client) -> Result<()>;

fn text() -> Message {
    Message::text("x".repeat(MEGABYTE))
}

/// Sends a long message in fragments, each of which is short enough.
fn fragments(client: &mut Client) -> Result<()> {
    let (count, bytes) = (20, MEGABYTE / 20);
    for number in 0..count {
        let kind = if number == 0 { Data::Text } else { Data::Continue };
        let frame = Frame::message(vec![b'x'; bytes], OpCode::Data(kind), number == count - 1);
        // The server may close the connection before the last one.
        if client.0.send(Message::Frame(frame)).is_err() {
            break;
        }
    }
    Ok(())
}

/// Sends the header of a long frame (RFC 6455 §5.2) and nothing after it.
fn header_only(client: &mut Client) -> Result<()> {
    let length = u64::try_from(MEGABYTE)?.to_be_bytes();
    let head = [&[0x81, 0x80 | 127][..], &length, &[1, 2, 3, 4]].concat();
    Ok(client.0.get_mut().write_all(&head)?)
}
