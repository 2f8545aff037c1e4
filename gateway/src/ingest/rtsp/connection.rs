//! The TCP and TLS connections of a session.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use porthole_gateway_core::rtsp::{Address, Connection, Line};
use rustls::pki_types::ServerName;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::ingest::SourceError;
use crate::ingest::source::RtspCamera;
use crate::tls;

/// A connection, encrypted or not.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send + Sync {
    /// Returns the connection below the encryption, if there is one.
    fn tcp(&self) -> &TcpStream;
}

impl Stream for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Stream for TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

/// One of the connections to the camera, if it is open. Reading from a closed one never ends.
#[derive(Default)]
pub(super) struct Half(Option<Box<dyn Stream>>);

impl AsyncRead for Half {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Some(stream) => Pin::new(stream).poll_read(context, buffer),
            None => Poll::Pending,
        }
    }
}

/// The connections to the camera.
#[derive(Default)]
pub(super) struct Lines {
    pub(super) main: Half,
    upstream: Half,
    ends: Option<Ends>,
}

/// The addresses of a connection.
#[derive(Clone, Copy)]
struct Ends {
    local: SocketAddr,
    peer: SocketAddr,
}

impl Lines {
    /// Returns the address of the camera, while it is connected.
    pub(super) fn peer(&self) -> Option<SocketAddr> {
        self.ends.map(|ends| ends.peer)
    }

    /// Returns the address from which the camera is reached, while it is connected.
    pub(super) fn local(&self) -> Option<SocketAddr> {
        self.ends.map(|ends| ends.local)
    }

    /// Drops the connections, which the camera has closed. Its end would keep the camera's port for
    /// a minute (TIME_WAIT), and a server that comes back within it, such as live555's, could not
    /// listen: a reset ends it at once.
    pub(super) fn reset(&mut self) {
        let lines = std::mem::take(self);
        for stream in [lines.main.0, lines.upstream.0].into_iter().flatten() {
            let _ = SockRef::from(stream.tcp()).set_linger(Some(Duration::ZERO));
        }
    }

    /// Sends bytes to the camera.
    pub(super) async fn send(&mut self, line: Line, bytes: &[u8]) -> io::Result<()> {
        let half = match line {
            Line::Main => &mut self.main,
            Line::Upstream => &mut self.upstream,
        };
        let stream = half.0.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        stream.write_all(bytes).await?;
        stream.flush().await
    }
}

/// Opens the connections that the client wants.
pub(super) async fn open(
    camera: &RtspCamera,
    wanted: &Connection,
) -> Result<(Lines, SocketAddr), SourceError> {
    let host = wanted.address.host_and_port();
    let after = camera.timeouts.connect;
    let opened = timeout(after, async {
        let (main, ends) = connect(camera, &wanted.address).await?;
        let upstream =
            if wanted.is_tunnel { Some(connect(camera, &wanted.address).await?.0) } else { None };
        let lines = Lines { main: Half(Some(main)), upstream: Half(upstream), ends: Some(ends) };
        Ok((lines, ends.peer))
    });
    opened.await.unwrap_or(Err(SourceError::NoAnswer { host, after }))
}

async fn connect(
    camera: &RtspCamera,
    address: &Address,
) -> Result<(Box<dyn Stream>, Ends), SourceError> {
    let host = address.host_and_port();
    let Ok(found) = lookup_host((address.host(), address.port())).await else {
        return Err(SourceError::UnknownHost { host: address.host().to_owned() });
    };
    let found: Vec<_> = found.collect();
    let stream = TcpStream::connect(&found[..]).await.map_err(|error| {
        let (host, kind) = (host.clone(), error.kind());
        if kind == io::ErrorKind::ConnectionRefused {
            SourceError::Refused { host }
        } else if kind == io::ErrorKind::TimedOut {
            SourceError::NoAnswer { host, after: camera.timeouts.connect }
        } else {
            SourceError::Unreachable { host }
        }
    })?;
    let ends = ends(&stream).map_err(|_| SourceError::Unreachable { host: host.clone() })?;
    // Requests are small, and the next one waits for the reply.
    let _ = stream.set_nodelay(true);
    if !address.is_tls() {
        return Ok((Box::new(stream), ends));
    }
    let failed = |reason| SourceError::Tls { host: address.host_and_port(), reason };
    let name = ServerName::try_from(address.host().to_owned())
        .map_err(|error| failed(error.to_string()))?;
    let config = tls::client(camera.verifies_tls).map_err(|error| failed(error.to_string()))?;
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    let stream = stream.map_err(|error| {
        let is_old = tls::is_incompatible(&error);
        if is_old { SourceError::OldTls { host } } else { failed(error.to_string()) }
    })?;
    Ok((Box::new(stream), ends))
}

fn ends(stream: &TcpStream) -> io::Result<Ends> {
    Ok(Ends { local: stream.local_addr()?, peer: stream.peer_addr()? })
}
