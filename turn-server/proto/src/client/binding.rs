//! One STUN Binding transaction: which address the server sees this client at (RFC 8489 §3).

use std::net::SocketAddr;
use std::time::Instant;

use rand::Rng as _;

use super::transaction::{Due, Schedule};
use crate::Transport;
use crate::stun::{Class, Message, MessageWriter, Method, TransactionId, attribute};

/// The client of one Binding transaction over UDP. Create a new one for each request.
#[derive(Debug)]
pub struct StunClient {
    id: TransactionId,
    schedule: Schedule,
    /// True while the request waits for [`Self::poll_transmit`].
    send: bool,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    Mapped(SocketAddr),
    Failed,
}

impl StunClient {
    /// Creates a client whose transaction id comes from the operating system's randomness.
    pub fn new(now: Instant) -> Self {
        Self::with_id(now, TransactionId(rand::rng().random()))
    }

    /// Creates a client with a given transaction id, for repeatable simulations.
    pub fn with_id(now: Instant, id: TransactionId) -> Self {
        Self { id, schedule: Schedule::new(Transport::Udp, now), send: true, state: State::Waiting }
    }

    /// Returns the request if it is due to be sent, for the first time or again.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        if !std::mem::take(&mut self.send) {
            return None;
        }
        let mut out = Vec::with_capacity(crate::stun::HEADER_LEN);
        let written =
            MessageWriter::new(&mut out, Class::Request, Method::Binding, self.id).finish();
        written.ok().map(|()| out)
    }

    /// Handles a datagram and returns the mapped address if it is the success response. Ignores
    /// datagrams that do not belong to this transaction.
    pub fn handle_datagram(&mut self, bytes: &[u8]) -> Option<SocketAddr> {
        let message = Message::parse(bytes).ok()?;
        let expected = message.method() == Method::Binding && message.id() == self.id;
        if !expected || self.state != State::Waiting {
            return None;
        }
        match message.class() {
            Class::Success => {
                let mapped = mapped_address(&message)?;
                self.state = State::Mapped(mapped);
                Some(mapped)
            }
            Class::Error => {
                self.state = State::Failed;
                None
            }
            Class::Request | Class::Indication => None,
        }
    }

    /// Retransmits the request or gives up, if that is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.state != State::Waiting {
            return;
        }
        match self.schedule.due(now) {
            Due::Nothing => {}
            Due::Resend => self.send = true,
            Due::GiveUp => self.state = State::Failed,
        }
    }

    /// Returns the time at which to call [`Self::handle_timeout`], or `None` once the transaction
    /// has succeeded or failed.
    pub fn poll_timeout(&self) -> Option<Instant> {
        (self.state == State::Waiting).then(|| self.schedule.next())
    }

    /// Returns the mapped address, once the server has answered.
    pub fn mapped(&self) -> Option<SocketAddr> {
        match self.state {
            State::Mapped(mapped) => Some(mapped),
            State::Waiting | State::Failed => None,
        }
    }

    /// Returns true if the server refused or did not answer in time.
    pub fn has_failed(&self) -> bool {
        self.state == State::Failed
    }
}

/// Returns XOR-MAPPED-ADDRESS, or the MAPPED-ADDRESS of a server that knows RFC 3489 only.
pub(super) fn mapped_address(message: &Message<'_>) -> Option<SocketAddr> {
    match message.xor_address(attribute::XOR_MAPPED_ADDRESS) {
        Ok(Some(mapped)) => Some(mapped),
        Ok(None) => message.address(attribute::MAPPED_ADDRESS).ok().flatten(),
        Err(_) => None,
    }
}
