//! Clients of the public port: TLS connections that trust one certificate.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{Value, json};
use tungstenite::client::IntoClientRequest as _;
use tungstenite::{Message, WebSocket};

/// Time for a response: the server is on this machine, which may be loaded.
const READ_TIMEOUT: Duration = Duration::from_secs(20);
/// Maximum number of messages before a response.
const MAX_MESSAGES: usize = 100;

/// A TLS connection.
pub(super) type Stream = StreamOwned<ClientConnection, TcpStream>;

/// Connects to the server with this name and these application protocols.
pub(super) fn connect(
    server: SocketAddr,
    name: &str,
    authority: &str,
    protocols: &[&str],
) -> Result<Stream> {
    connect_after(&[], server, name, authority, protocols)
}

/// Connects, and sends some bytes before the handshake.
pub(super) fn connect_after(
    preface: &[u8],
    server: SocketAddr,
    name: &str,
    authority: &str,
    protocols: &[&str],
) -> Result<Stream> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(authority)? {
        roots.add(certificate?)?;
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions()?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    let name = ServerName::try_from(name.to_owned())?;
    let tls = ClientConnection::new(Arc::new(config), name)?;
    let mut tcp = TcpStream::connect(server)?;
    tcp.set_read_timeout(Some(READ_TIMEOUT))?;
    tcp.write_all(preface)?;
    let mut stream = StreamOwned::new(tls, tcp);
    stream.conn.complete_io(&mut stream.sock)?;
    Ok(stream)
}

/// Sends a request and returns the status and the whole response.
pub(super) fn request(stream: &mut Stream, head: &str, body: &str) -> Result<(u16, String)> {
    let length = body.len();
    let common = "Host: localhost\r\nConnection: close\r\n";
    write!(stream, "{head}\r\n{common}Content-Length: {length}\r\n\r\n{body}")?;
    let mut response = Vec::new();
    stream.read_to_end(&mut response)?;
    let response = String::from_utf8_lossy(&response).into_owned();
    let status = response.split(' ').nth(1).and_then(|word| word.parse().ok());
    Ok((status.with_context(|| response.clone())?, response))
}

/// A client that is registered over a WebSocket.
pub(super) struct Registered(WebSocket<Stream>);

impl Registered {
    pub(super) fn connect(stream: Stream, token: &str) -> Result<Self> {
        let url = format!("wss://localhost/ws?access_token={token}");
        let mut request = url.into_client_request()?;
        request.headers_mut().insert("Sec-WebSocket-Protocol", "webrtc.onvif.org".parse()?);
        let (socket, _) =
            tungstenite::client(request, stream).map_err(|error| anyhow!("{error}"))?;
        let mut client = Self(socket);
        let response = client.register()?;
        ensure!(response["error"].is_null(), "refused: {response}");
        Ok(client)
    }

    /// Returns once the server answers over the open connection: that it is registered already.
    pub(super) fn check(&mut self) -> Result<()> {
        let response = self.register()?;
        ensure!(response["error"]["code"] == 400, "{response}");
        Ok(())
    }

    fn register(&mut self) -> Result<Value> {
        let request = json!({ "jsonrpc": "2.0", "id": "1", "method": "register", "params": {} });
        self.0.send(Message::text(request.to_string()))?;
        for _ in 0..MAX_MESSAGES {
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
        bail!("no response")
    }
}
