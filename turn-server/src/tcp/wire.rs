//! A client's TCP connection as a pipe of bytes: plain, or TLS inside.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;

use mio::net::TcpStream;
use rustls::ServerConfig;

use crate::tls::stream::{FIRST_BYTE, Session};

/// What a listener expects of those who connect.
#[derive(Clone, Debug)]
pub(crate) enum Expect {
    Plain,
    /// Whatever the first byte says it is.
    Either(Arc<ServerConfig>),
    Tls(Arc<ServerConfig>),
}

/// Reads and writes plaintext, never blocking.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    layer: Layer,
}

#[derive(Debug)]
enum Layer {
    /// Nothing has come yet.
    Unknown(Arc<ServerConfig>),
    Plain,
    Tls(Session),
}

impl Wire {
    pub(crate) fn new(stream: TcpStream, expect: Expect) -> io::Result<Self> {
        let layer = match expect {
            Expect::Plain => Layer::Plain,
            Expect::Either(config) => Layer::Unknown(config),
            Expect::Tls(config) => Layer::Tls(Session::new(config)?),
        };
        Ok(Self { stream, layer })
    }

    pub(crate) fn is_tls(&self) -> bool {
        matches!(self.layer, Layer::Tls(_))
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        matches!(&self.layer, Layer::Tls(session) if session.is_handshaking())
    }

    /// Looks at the first byte, if that has not been done. `WouldBlock` when there is none yet.
    pub(crate) fn recognise(&mut self) -> io::Result<()> {
        let Layer::Unknown(config) = &self.layer else { return Ok(()) };
        let mut first = [0];
        let peeked = self.stream.peek(&mut first)?;
        self.layer = if peeked == 1 && first == [FIRST_BYTE] {
            Layer::Tls(Session::new(Arc::clone(config))?)
        } else {
            Layer::Plain
        };
        Ok(())
    }

    pub(crate) fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// Sends no more, but goes on reading.
    pub(crate) fn end(&mut self) {
        if let Layer::Tls(session) = &mut self.layer {
            session.close(&mut self.stream);
        }
        // Not connected any more: then there is nobody to tell.
        let _ = self.stream.shutdown(Shutdown::Write);
    }
}

impl Read for Wire {
    /// 0 at a proper end.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.recognise()?;
        match &mut self.layer {
            Layer::Tls(session) => session.read(&mut self.stream, buffer),
            Layer::Plain => self.stream.read(buffer),
            Layer::Unknown(_) => Err(ErrorKind::WouldBlock.into()),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.layer {
            Layer::Tls(session) => session.write(&mut self.stream, bytes),
            Layer::Plain | Layer::Unknown(_) => self.stream.write(bytes),
        }
    }

    /// Records that wait; `WouldBlock` when some still do.
    fn flush(&mut self) -> io::Result<()> {
        match &mut self.layer {
            Layer::Tls(session) => session.flush(&mut self.stream),
            Layer::Plain | Layer::Unknown(_) => Ok(()),
        }
    }
}
