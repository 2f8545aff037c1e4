//! ICE: finding the best path through any pair of NATs, and knowing that it still lives.
//!
//! [`Agent`] is a full agent for one component over UDP: RFC 8445, trickle (RFC 8838), patience
//! (RFC 8863), dual stack (RFC 8421) and consent (RFC 7675). It is a value: datagrams and `now` go
//! in; datagrams, events and the next deadline come out. After every call the driver drains
//! [`poll_transmit`](Agent::poll_transmit) and [`poll_event`](Agent::poll_event), then sleeps until
//! [`poll_timeout`](Agent::poll_timeout).
//!
//! Architecture invariant: no socket, clock, task or lock in here. Deliberately absent: ICE-TCP,
//! ICE-lite, more than one component, resolving `.local` names, gathering (the session owns the
//! sockets and the TURN clients and tells the agent what they found).

mod agent;
mod candidate;
mod checks;
mod config;
mod credentials;
mod message;
mod pair;

use std::net::SocketAddr;
use std::time::Duration;

pub use agent::Agent;
pub use candidate::{
    Candidate, CandidateKind, CandidateRefused, MAX_CANDIDATE_LINE, dual_stack_preferences,
    priority,
};
pub use config::{Config, Role};
pub use credentials::{BadCredentials, Credentials};
pub use pair::PairState;
use porthole_turn_proto::stun::ParseError;

/// Timers and bounds, each with its reason.
pub mod limits {
    pub use super::config::{
        CONSENT_EXPIRY, CONSENT_INTERVAL_MAX, CONSENT_INTERVAL_MIN, CONSENT_PROBE,
        DISCONNECTED_AFTER, MAX_EVENTS, MAX_LOCAL, MAX_PAIRS, MAX_PEER_REFLEXIVE, MAX_REMOTE,
        MAX_TRANSACTIONS, MAX_TRANSMITS, MAX_VALIDATED, PATIENCE, PEER_REFLEXIVE_REFILL,
        RENOMINATION_WINDOW, TA, TRIGGERED_TA, WARM_FOR, WARM_INTERVAL,
    };
}

/// Where a datagram leaves from or arrived at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LocalBase {
    /// A local address of the shared UDP socket.
    Socket(SocketAddr),
    /// A TURN allocation, by its index.
    Allocation(u8),
}

/// A datagram to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// Where it leaves from.
    pub base: LocalBase,
    /// Where it goes.
    pub to: SocketAddr,
    /// A STUN message.
    pub bytes: Vec<u8>,
}

/// A pair of ends that has been checked in both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path {
    /// Where to send from.
    pub base: LocalBase,
    /// Where to send to.
    pub remote: SocketAddr,
    /// What the local end is on this path: reflexive when the peer sees another address.
    pub local_kind: CandidateKind,
    /// What the remote end is.
    pub remote_kind: CandidateKind,
    /// Of the checks, smoothed.
    pub rtt: Option<Duration>,
    /// Our address as the peer sees it.
    pub local_address: SocketAddr,
}

impl Path {
    /// Whether a TURN server is on it.
    pub const fn is_relayed(&self) -> bool {
        matches!(self.local_kind, CandidateKind::Relay)
            || matches!(self.remote_kind, CandidateKind::Relay)
    }
}

/// What the session must know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The first selected pair of a generation, or an answer after [`Self::Disconnected`]: media
    /// may flow.
    Connected(Path),
    /// Another pair is selected: media goes there from now on.
    PathChanged(Path),
    /// No answer on the selected pair for [`limits::DISCONNECTED_AFTER`]: time to restart ICE.
    Disconnected,
    /// The end of this generation: only a restart helps.
    Failed(FailReason),
}

/// Why there is no path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FailReason {
    /// Nothing answered in [`limits::PATIENCE`].
    #[error("no candidate pair answered")]
    NoPath,
    /// The peer did not answer for [`limits::CONSENT_EXPIRY`]; nothing more may be sent.
    #[error("the peer's consent expired")]
    ConsentExpired,
}

/// Why a datagram changed nothing. For counters and TRACE; there is nothing to be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StunRefused {
    /// No STUN message.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// Not a Binding.
    #[error("not a Binding message")]
    Method,
    /// Every message of ICE carries one (RFC 8445 §7.1).
    #[error("no fingerprint")]
    NoFingerprint,
    /// Nobody called [`Agent::add_local`] for this end.
    #[error("not an base of this agent")]
    UnknownBase,
    /// For somebody else, or for a generation that is gone.
    #[error("the user name is not ours")]
    Username,
    /// Not made with the password.
    #[error("the message integrity is wrong or missing")]
    Integrity,
    /// An answer to nothing, or a late one.
    #[error("unknown transaction")]
    UnknownTransaction,
    /// An answer from another address than was asked (RFC 8445 §7.2.5.2.1).
    #[error("the answer took another way than the request")]
    Asymmetric,
    /// An authenticated request or answer that lacks something; a request got 400 or 420.
    #[error("an attribute is missing or malformed")]
    Attributes,
    /// The request got 487, or the answer was one: the roles are settled now.
    #[error("role conflict")]
    RoleConflict,
    /// The peer refused the check with this code.
    #[error("the peer answered {0}")]
    ErrorResponse(u16),
}

/// A candidate pair as diagnosis shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PairReport {
    /// What is paired.
    pub path: Path,
    /// How far its checks are.
    pub state: PairState,
    /// RFC 8445 §6.1.2.3, with what is known of the local end by now.
    pub priority: u64,
    /// Whether media uses it.
    pub selected: bool,
    /// Whether it outlived a restart.
    pub of_old_generation: bool,
    /// Checks sent.
    pub checks: u32,
    /// Answers received.
    pub answers: u32,
}

#[cfg(test)]
mod tests;
