//! One HTTP request and its reply, on a connection of its own.

use std::io;
use std::sync::Arc;

use porthole_gateway_core::onvif::probe::{CallError, Request};
use porthole_gateway_core::onvif::{Reply, ReplyReader};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::tls;

/// Size of the buffer for the reply in bytes.
const READ_BUFFER: usize = 16 * 1024;

/// Sends a request and reads its reply. The caller bounds the time.
///
/// # Errors
/// With the reason why there is no reply.
pub(crate) async fn run(request: Request) -> Result<Reply, CallError> {
    let stream = TcpStream::connect(request.to).await.map_err(|error| {
        if error.kind() == io::ErrorKind::ConnectionRefused {
            CallError::Refused
        } else {
            CallError::Unreachable
        }
    })?;
    let Some(name) = request.tls_name else { return exchange(stream, &request.bytes).await };
    let name = ServerName::try_from(name).unwrap_or_else(|_| request.to.ip().into());
    let config = tls::client(false).map_err(|_| CallError::Unreachable)?;
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    exchange(stream.map_err(|_| CallError::Refused)?, &request.bytes).await
}

async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    request: &[u8],
) -> Result<Reply, CallError> {
    stream.write_all(request).await.map_err(|_| CallError::Unreachable)?;
    stream.flush().await.map_err(|_| CallError::Unreachable)?;
    let mut reader = ReplyReader::default();
    let mut buffer = vec![0; READ_BUFFER];
    loop {
        // A reset after the whole reply is an end like any other.
        let len = stream.read(&mut buffer).await.unwrap_or(0);
        let bytes = buffer.get(..len).unwrap_or_default();
        if bytes.is_empty() {
            return reader.finish().map_err(CallError::Reply);
        }
        if let Some(reply) = reader.push(bytes).map_err(CallError::Reply)? {
            return Ok(reply);
        }
    }
}
