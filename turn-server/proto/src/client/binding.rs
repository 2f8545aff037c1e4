//! One STUN Binding request: "which address do you see me at?"

use std::net::SocketAddr;
use std::time::Instant;

use rand::Rng as _;

use super::transaction::{Due, Schedule};
use crate::Transport;
use crate::stun::{Class, Message, MessageWriter, Method, TransactionId, attribute};

/// One Binding transaction over UDP. Make a new one for each question.
#[derive(Debug)]
pub struct StunClient {
    id: TransactionId,
    schedule: Schedule,
    /// The request, waiting to be fetched.
    send: bool,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Asking,
    Answered(SocketAddr),
    Failed,
}

impl StunClient {
    /// With a transaction id from the operating system's randomness.
    pub fn new(now: Instant) -> Self {
        Self::with_id(now, TransactionId(rand::rng().random()))
    }

    /// With an id of the caller's, for repeatable simulations.
    pub fn with_id(now: Instant, id: TransactionId) -> Self {
        Self { id, schedule: Schedule::new(Transport::Udp, now), send: true, state: State::Asking }
    }

    /// The request, when it is to be sent (again).
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        if !std::mem::take(&mut self.send) {
            return None;
        }
        let mut out = Vec::with_capacity(crate::stun::HEADER_LEN);
        let written =
            MessageWriter::new(&mut out, Class::Request, Method::Binding, self.id).finish();
        written.ok().map(|()| out)
    }

    /// The mapped address, if this is the answer. Other datagrams are left alone.
    pub fn handle_datagram(&mut self, bytes: &[u8]) -> Option<SocketAddr> {
        let message = Message::parse(bytes).ok()?;
        let expected = message.method() == Method::Binding && message.id() == self.id;
        if !expected || self.state != State::Asking {
            return None;
        }
        match message.class() {
            Class::Success => {
                let mapped = mapped_address(&message)?;
                self.state = State::Answered(mapped);
                Some(mapped)
            }
            Class::Error => {
                self.state = State::Failed;
                None
            }
            Class::Request | Class::Indication => None,
        }
    }

    /// Sends again or gives up, when it is time.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.state != State::Asking {
            return;
        }
        match self.schedule.due(now) {
            Due::Nothing => {}
            Due::Resend => self.send = true,
            Due::GiveUp => self.state = State::Failed,
        }
    }

    /// When [`Self::handle_timeout`] wants to be called; `None` once answered or failed.
    pub fn poll_timeout(&self) -> Option<Instant> {
        (self.state == State::Asking).then(|| self.schedule.next())
    }

    /// The answer, once there is one.
    pub fn mapped(&self) -> Option<SocketAddr> {
        match self.state {
            State::Answered(mapped) => Some(mapped),
            State::Asking | State::Failed => None,
        }
    }

    /// Whether the server refused or never answered.
    pub fn has_failed(&self) -> bool {
        self.state == State::Failed
    }
}

/// XOR-MAPPED-ADDRESS, or MAPPED-ADDRESS from a server of RFC 3489's days.
pub(super) fn mapped_address(message: &Message<'_>) -> Option<SocketAddr> {
    match message.xor_address(attribute::XOR_MAPPED_ADDRESS) {
        Ok(Some(mapped)) => Some(mapped),
        Ok(None) => message.address(attribute::MAPPED_ADDRESS).ok().flatten(),
        Err(_) => None,
    }
}
