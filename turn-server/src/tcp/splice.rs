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

    /// Reads no more than `room` bytes. An error is the end of both.
    pub(crate) fn pump(
        &mut self,
        client: &mut impl End,
        peer: &mut impl End,
        room: usize,
    ) -> io::Result<Spliced> {
        // Scarce room is for both.
        let room = if room < BUDGET { room.div_ceil(2) } else { BUDGET };
        let to_peer = self.to_peer.pump(client, peer, room)?;
        let to_client = self.to_client.pump(peer, client, room)?;
        Ok(match (to_peer, to_client) {
            (Spliced::Over, Spliced::Over) => Spliced::Over,
            (Spliced::More, _) | (_, Spliced::More) => Spliced::More,
            (Spliced::Waits | Spliced::Over, Spliced::Waits | Spliced::Over) => Spliced::Waits,
        })
    }

    /// Since this was asked last.
    pub(crate) fn take_carried(&mut self) -> Carried {
        let to_peer = std::mem::take(&mut self.to_peer.carried);
        let to_client = std::mem::take(&mut self.to_client.carried);
        Carried { to_peer, to_client }
    }
}

/// Bytes that reached the other end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Carried {
    pub(crate) to_peer: usize,
    pub(crate) to_client: usize,
}

/// One direction.
#[derive(Debug)]
struct Pipe {
    buffer: Vec<u8>,
    /// Bytes written, until they are asked for.
    carried: usize,
    /// Bytes at its front that are written.
    written: usize,
    /// Whether the sender has said that nothing more will come.
    ended: bool,
    /// Whether the receiver knows.
    told: bool,
}

impl Pipe {
    fn new(buffer: Vec<u8>) -> Self {
        Self { buffer, carried: 0, written: 0, ended: false, told: false }
    }

    fn pump(
        &mut self,
        from: &mut impl End,
        to: &mut impl End,
        mut budget: usize,
    ) -> io::Result<Spliced> {
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
            if !self.read(from, budget)? {
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
                Ok(n) => {
                    self.written += n;
                    self.carried += n;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return unless_full(Err(error)),
            }
        }
        self.buffer.clear();
        self.written = 0;
        Ok(true)
    }

    /// Whether there was something, be it the end.
    fn read(&mut self, from: &mut impl End, most: usize) -> io::Result<bool> {
        self.buffer.resize(PIPE.min(most), 0);
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
