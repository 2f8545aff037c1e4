//! Two connections that are one (RFC 6062): what comes from one goes to the other.

use std::io::{self, ErrorKind, Read, Write};

/// What waits in one direction: one TLS record. What does not fit is not read, so that the sender
/// feels how fast the receiver is.
pub(crate) const PIPE: usize = 16 << 10;
/// Bytes moved in one direction before others have their turn.
const BUDGET: usize = 16 * PIPE;

/// One of two connections.
pub(crate) trait End: Read + Write {
    /// Says that nothing more will come; reading goes on.
    fn end(&mut self);
}

impl End for mio::net::TcpStream {
    fn end(&mut self) {
        // Not connected any more: then there is nobody to tell.
        let _ = self.shutdown(std::net::Shutdown::Write);
    }
}

/// How a turn of a splice ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spliced {
    /// An event will come when there is more to do.
    Waits,
    /// There is more to do at once.
    More,
    /// Both have said that nothing more will come.
    Over,
}

/// Both directions.
#[derive(Debug)]
pub(crate) struct Splice {
    to_peer: Pipe,
    to_client: Pipe,
}

impl Splice {
    /// What the client has sent already goes first.
    pub(crate) fn new(from_client: Vec<u8>) -> Self {
        Self { to_peer: Pipe::new(from_client), to_client: Pipe::new(Vec::new()) }
    }

    /// An error is the end of both.
    pub(crate) fn pump(
        &mut self,
        client: &mut impl End,
        peer: &mut impl End,
    ) -> io::Result<Spliced> {
        let to_peer = self.to_peer.pump(client, peer)?;
        let to_client = self.to_client.pump(peer, client)?;
        Ok(match (to_peer, to_client) {
            (Spliced::Over, Spliced::Over) => Spliced::Over,
            (Spliced::More, _) | (_, Spliced::More) => Spliced::More,
            (Spliced::Waits | Spliced::Over, Spliced::Waits | Spliced::Over) => Spliced::Waits,
        })
    }
}

/// One direction.
#[derive(Debug)]
struct Pipe {
    buffer: Vec<u8>,
    /// Bytes at its front that are written.
    written: usize,
    /// Whether the sender has said that nothing more will come.
    ended: bool,
    /// Whether the receiver knows.
    told: bool,
}

impl Pipe {
    fn new(buffer: Vec<u8>) -> Self {
        Self { buffer, written: 0, ended: false, told: false }
    }

    fn pump(&mut self, from: &mut impl End, to: &mut impl End) -> io::Result<Spliced> {
        let mut budget = BUDGET;
        loop {
            if !self.write(to)? {
                return Ok(Spliced::Waits);
            }
            if self.ended {
                return self.tell(to);
            }
            if budget == 0 {
                return Ok(Spliced::More);
            }
            if !self.read(from)? {
                // Records that wait; when there is room for them there will be an event.
                unless_full(to.flush())?;
                return Ok(Spliced::Waits);
            }
            budget = budget.saturating_sub(self.buffer.len());
        }
    }

    /// Whether all is written.
    fn write(&mut self, to: &mut impl End) -> io::Result<bool> {
        while let Some(rest) = self.buffer.get(self.written..).filter(|rest| !rest.is_empty()) {
            match to.write(rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(n) => self.written += n,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return unless_full(Err(error)),
            }
        }
        self.buffer.clear();
        self.written = 0;
        Ok(true)
    }

    /// Whether there was something, be it the end.
    fn read(&mut self, from: &mut impl End) -> io::Result<bool> {
        self.buffer.resize(PIPE, 0);
        let read = from.read(&mut self.buffer);
        self.buffer.truncate(*read.as_ref().unwrap_or(&0));
        match read {
            Ok(n) => self.ended = n == 0,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return unless_full(Err(error)),
        }
        Ok(true)
    }

    fn tell(&mut self, to: &mut impl End) -> io::Result<Spliced> {
        if !self.told {
            if !unless_full(to.flush())? {
                return Ok(Spliced::Waits);
            }
            to.end();
            self.told = true;
        }
        Ok(Spliced::Over)
    }
}

/// `false` when it would have had to wait.
fn unless_full(done: io::Result<()>) -> io::Result<bool> {
    match done {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
