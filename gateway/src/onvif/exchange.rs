//! HTTP requests and their replies, each on a connection of its own.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use porthole_gateway_core::onvif::probe::{CallError, Request};
use porthole_gateway_core::onvif::{Reply, ReplyReader};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::{AbortHandle, JoinSet};
use tokio_rustls::TlsConnector;

use crate::tls;

/// Size of the buffer for the reply in bytes.
const READ_BUFFER: usize = 16 * 1024;

/// The result of a request, with its number.
pub(crate) type Ended = (u32, Result<Reply, CallError>);

/// The requests of a core that are under way. The core bounds their time.
#[derive(Debug, Default)]
pub(crate) struct Exchanges {
    tasks: JoinSet<Ended>,
    handles: HashMap<u32, AbortHandle>,
}

impl Exchanges {
    /// Sends a request.
    pub(crate) fn send(&mut self, request: Request) {
        let id = request.id;
        let task = async move { (id, run(request).await) };
        self.handles.insert(id, self.tasks.spawn(task));
    }

    /// Drops a request, whose result nobody waits for any more.
    pub(crate) fn cancel(&mut self, id: u32) {
        if let Some(handle) = self.handles.remove(&id) {
            handle.abort();
        }
    }

    /// Returns the next result; `None` if nothing is under way.
    pub(crate) async fn next(&mut self) -> Option<Ended> {
        loop {
            // One that was cancelled has none.
            let Ok((id, result)) = self.tasks.join_next().await? else { continue };
            self.handles.remove(&id);
            return Some((id, result));
        }
    }
}

/// Sends a request and reads its reply, or returns the reason why there is none.
async fn run(request: Request) -> Result<Reply, CallError> {
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
