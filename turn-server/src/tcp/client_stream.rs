//! A client's TCP connection as a stream of plaintext, with or without TLS.

use std::io;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;

use mio::net::TcpStream;
use rustls::ServerConfig;
use rustls::server::ServerConnection;

use crate::tls::stream::{FIRST_BYTE, TlsConnection};

/// The protocol that a listener expects.
#[derive(Clone, Debug)]
pub(crate) enum ExpectedProtocol {
    Plain,
    /// TLS or none, depending on the first byte.
    Detect(Arc<ServerConfig>),
    Tls(Arc<ServerConfig>),
}

/// A client connection that reads and writes plaintext and never blocks.
#[derive(Debug)]
pub(crate) struct ClientStream {
    stream: TcpStream,
    layer: Layer,
}

#[derive(Debug)]
enum Layer {
    /// The first byte has not arrived yet.
    Unknown(Arc<ServerConfig>),
    Plain,
    Tls(TlsConnection),
}

impl ClientStream {
    pub(crate) fn new(stream: TcpStream, expect: ExpectedProtocol) -> io::Result<Self> {
        let layer = match expect {
            ExpectedProtocol::Plain => Layer::Plain,
            ExpectedProtocol::Detect(config) => Layer::Unknown(config),
            ExpectedProtocol::Tls(config) => Layer::Tls(TlsConnection::new(config)?),
        };
        Ok(Self { stream, layer })
    }

    /// Goes on with a connection after its TLS handshake.
    pub(crate) fn after_handshake(stream: TcpStream, tls: Box<ServerConnection>) -> Self {
        Self { stream, layer: Layer::Tls(TlsConnection::continued(tls)) }
    }

    pub(crate) fn is_tls(&self) -> bool {
        matches!(self.layer, Layer::Tls(_))
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        matches!(&self.layer, Layer::Tls(tls) if tls.is_handshaking())
    }

    /// Decides by the first byte if the client uses TLS, unless that is known. Fails with
    /// `WouldBlock` before the byte has arrived.
    pub(crate) fn detect_tls(&mut self) -> io::Result<()> {
        let Layer::Unknown(config) = &self.layer else { return Ok(()) };
        let mut first = [0];
        let peeked = self.stream.peek(&mut first)?;
        self.layer = if peeked == 1 && first == [FIRST_BYTE] {
            Layer::Tls(TlsConnection::new(Arc::clone(config))?)
        } else {
            Layer::Plain
        };
        Ok(())
    }

    pub(crate) fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// Ends the sending direction; reading continues.
    pub(crate) fn shutdown_write(&mut self) {
        if let Layer::Tls(tls) = &mut self.layer {
            tls.close(&mut self.stream);
        }
        // Fails if the connection is already gone.
        let _ = self.stream.shutdown(Shutdown::Write);
    }
}

impl Read for ClientStream {
    /// Returns 0 at an orderly end.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.detect_tls()?;
        match &mut self.layer {
            Layer::Tls(tls) => tls.read(&mut self.stream, buffer),
            Layer::Plain => self.stream.read(buffer),
            Layer::Unknown(_) => Err(ErrorKind::WouldBlock.into()),
        }
    }
}

impl Write for ClientStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.layer {
            Layer::Tls(tls) => tls.write(&mut self.stream, bytes),
            Layer::Plain | Layer::Unknown(_) => self.stream.write(bytes),
        }
    }

    /// Writes pending TLS records. Fails with `WouldBlock` if some remain.
    fn flush(&mut self) -> io::Result<()> {
        match &mut self.layer {
            Layer::Tls(tls) => tls.flush(&mut self.stream),
            Layer::Plain | Layer::Unknown(_) => Ok(()),
        }
    }
}
