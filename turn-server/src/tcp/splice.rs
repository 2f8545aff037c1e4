//! A client's data connection joined with a peer's (RFC 6062): bytes of one go to the other.

use std::io;
use std::io::{ErrorKind, Read, Write};

/// Size of the buffer of one direction: one TLS record. Bytes that do not fit are not read, so that
/// TCP slows the sender down to the speed of the receiver.
pub(crate) const PIPE: usize = 16 << 10;
/// Most bytes moved in one direction before other sources are served.
const BUDGET: usize = 16 * PIPE;

/// One of the two connections.
pub(crate) trait SpliceEnd: Read + Write {
    /// Ends the sending direction; reading continues.
    fn shutdown_write(&mut self);
}

impl SpliceEnd for mio::net::TcpStream {
    fn shutdown_write(&mut self) {
        // Fails if the connection is already gone.
        let _ = self.shutdown(std::net::Shutdown::Write);
    }
}

/// The state of a splice after a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SpliceStatus {
    /// An event will report when there is more to do.
    Idle,
    /// More can be done at once.
    More,
    /// Both directions have ended.
    Done,
}

/// The two directions of joined connections.
#[derive(Debug)]
pub(crate) struct Splice {
    to_peer: Pipe,
    to_client: Pipe,
}

impl Splice {
    /// Joins two connections. Bytes already read from the client go first.
    pub(crate) fn new(from_client: Vec<u8>) -> Self {
        Self { to_peer: Pipe::new(from_client), to_client: Pipe::new(Vec::new()) }
    }

    /// Moves bytes both ways, reading at most `allowance`. After an error both must be closed.
    pub(crate) fn pump(
        &mut self,
        client: &mut impl SpliceEnd,
        peer: &mut impl SpliceEnd,
        allowance: usize,
    ) -> io::Result<SpliceStatus> {
        // A small allowance is shared by both directions.
        let allowance = if allowance < BUDGET { allowance.div_ceil(2) } else { BUDGET };
        let to_peer = self.to_peer.pump(client, peer, allowance)?;
        let to_client = self.to_client.pump(peer, client, allowance)?;
        Ok(match (to_peer, to_client) {
            (SpliceStatus::Done, SpliceStatus::Done) => SpliceStatus::Done,
            (SpliceStatus::More, _) | (_, SpliceStatus::More) => SpliceStatus::More,
            (SpliceStatus::Idle | SpliceStatus::Done, SpliceStatus::Idle | SpliceStatus::Done) => {
                SpliceStatus::Idle
            }
        })
    }

    /// Returns the bytes transferred since the last call.
    pub(crate) fn take_transferred(&mut self) -> Transferred {
        let to_peer = std::mem::take(&mut self.to_peer.transferred);
        let to_client = std::mem::take(&mut self.to_client.transferred);
        Transferred { to_peer, to_client }
    }
}

/// Numbers of bytes written to the other end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Transferred {
    pub(crate) to_peer: usize,
    pub(crate) to_client: usize,
}

/// One direction of a splice.
#[derive(Debug)]
struct Pipe {
    buffer: Vec<u8>,
    /// Bytes written since [`Splice::take_transferred`].
    transferred: usize,
    /// Bytes at the front of the buffer already written.
    written: usize,
    /// True once the sender has ended its direction.
    ended: bool,
    /// True once that was passed to the receiver.
    shut_down: bool,
}

impl Pipe {
    fn new(buffer: Vec<u8>) -> Self {
        Self { buffer, transferred: 0, written: 0, ended: false, shut_down: false }
    }

    fn pump(
        &mut self,
        from: &mut impl SpliceEnd,
        to: &mut impl SpliceEnd,
        mut budget: usize,
    ) -> io::Result<SpliceStatus> {
        loop {
            if !self.write(to)? {
                return Ok(SpliceStatus::Idle);
            }
            if self.ended {
                return self.finish(to);
            }
            if budget == 0 {
                return Ok(SpliceStatus::More);
            }
            if !self.read(from, budget)? {
                // Pending TLS records; an event reports when they can be written.
                completed(to.flush())?;
                return Ok(SpliceStatus::Idle);
            }
            budget = budget.saturating_sub(self.buffer.len());
        }
    }

    /// Writes the buffer. Returns true if all of it was written.
    fn write(&mut self, to: &mut impl SpliceEnd) -> io::Result<bool> {
        while let Some(rest) = self.buffer.get(self.written..).filter(|rest| !rest.is_empty()) {
            match to.write(rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(n) => {
                    self.written += n;
                    self.transferred += n;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return completed(Err(error)),
            }
        }
        self.buffer.clear();
        self.written = 0;
        Ok(true)
    }

    /// Reads into the empty buffer. Returns true if there were bytes, or the end.
    fn read(&mut self, from: &mut impl SpliceEnd, most: usize) -> io::Result<bool> {
        self.buffer.resize(PIPE.min(most), 0);
        let read = from.read(&mut self.buffer);
        self.buffer.truncate(*read.as_ref().unwrap_or(&0));
        match read {
            Ok(n) => self.ended = n == 0,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return completed(Err(error)),
        }
        Ok(true)
    }

    /// Passes the end of the direction on to the receiver.
    fn finish(&mut self, to: &mut impl SpliceEnd) -> io::Result<SpliceStatus> {
        if !self.shut_down {
            if !completed(to.flush())? {
                return Ok(SpliceStatus::Idle);
            }
            to.shutdown_write();
            self.shut_down = true;
        }
        Ok(SpliceStatus::Done)
    }
}

/// Returns false for `WouldBlock`.
fn completed(done: io::Result<()>) -> io::Result<bool> {
    match done {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
