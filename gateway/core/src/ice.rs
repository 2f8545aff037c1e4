//! Interactive Connectivity Establishment: finds the best path through any pair of NATs and checks
//! that it stays alive.
//!
//! [`Agent`] is a full agent for one component over UDP: RFC 8445, trickle (RFC 8838), patiently
//! waiting for candidates (RFC 8863), dual stack (RFC 8421) and consent (RFC 7675). It is a value:
//! datagrams and `now` go in; datagrams, events and the next deadline come out. After every call
//! its owner drains
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

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use porthole_turn_proto::stun::ParseError;

pub use agent::Agent;
pub use candidate::{
    Candidate, CandidateKind, CandidateRefused, MAX_CANDIDATE_LINE, dual_stack_preferences,
    interleave_families, priority,
};
pub use config::{Config, Role};
pub use credentials::{BadCredentials, Credentials};
pub use pair::PairState;

/// Timers and bounds, each with its reason.
pub mod limits {
    pub use super::config::{
        CONSENT_EXPIRY, CONSENT_INTERVAL_MAX, CONSENT_INTERVAL_MIN, CONSENT_PROBE, DEFAULT_TA,
        DISCONNECTED_AFTER, MAX_EVENTS, MAX_LOCAL, MAX_PAIRS, MAX_PEER_REFLEXIVE, MAX_REMOTE,
        MAX_TA, MAX_TRANSACTIONS, MAX_TRANSMITS, MAX_VALIDATED, MIN_TA, PATIENCE,
        PEER_REFLEXIVE_REFILL, QUIET, RENOMINATION_WINDOW, ROLE_PATIENCE, TA, TRIGGERED_TA,
        WARM_FOR, WARM_INTERVAL,
    };
}

/// The base of a local candidate (RFC 8445 §3): the local end that a datagram is sent from or
/// arrived at.
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
    /// The local base to send from.
    pub base: LocalBase,
    /// The remote address.
    pub to: SocketAddr,
    /// A STUN message.
    pub bytes: Vec<u8>,
}

/// A valid candidate pair: checks on it have been answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path {
    /// The local base to send from.
    pub base: LocalBase,
    /// The remote address to send to.
    pub remote: SocketAddr,
    /// The kind of the local candidate: reflexive when the peer sees another address than the base.
    pub local_kind: CandidateKind,
    /// The kind of the remote candidate.
    pub remote_kind: CandidateKind,
    /// Smoothed round-trip time of the checks; `None` before the first response.
    pub rtt: Option<Duration>,
    /// The local candidate's address, as the peer sees it.
    pub local_address: SocketAddr,
}

impl Path {
    /// Returns true if packets pass through a TURN server on either side.
    pub const fn is_relayed(&self) -> bool {
        matches!(self.local_kind, CandidateKind::Relay)
            || matches!(self.remote_kind, CandidateKind::Relay)
    }

    /// Returns true if no NAT is on the way, as far as the candidates show it. A browser that hides
    /// its address in a local network is known by its checks only.
    pub fn is_untranslated(&self) -> bool {
        let is_remote_host = match self.remote_kind {
            CandidateKind::Host => true,
            CandidateKind::PeerReflexive => is_local(self.remote.ip()),
            CandidateKind::ServerReflexive | CandidateKind::Relay => false,
        };
        matches!(self.local_kind, CandidateKind::Host) && is_remote_host
    }
}

/// Returns true for an address of this machine or of a local network.
pub(crate) fn is_local(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(ip) => ip.is_private() || ip.is_loopback() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

/// An event for the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The first pair of a generation is selected, or the selected pair responds again after
    /// [`Self::Disconnected`]. Media may flow.
    Connected(Path),
    /// Another pair is selected; media uses it from now on.
    PathChanged(Path),
    /// Silence of the selected pair for [`limits::QUIET`], although media had arrived on it. A
    /// check is under way, and the network may have changed.
    Quiet,
    /// The selected pair has not responded for [`limits::DISCONNECTED_AFTER`]; time to restart ICE.
    Disconnected,
    /// This generation has failed; only an ICE restart helps.
    Failed(FailReason),
}

/// Reason for which an agent has no path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FailReason {
    /// No candidate pair responded within [`limits::PATIENCE`].
    #[error("no candidate pair responded")]
    NoPath,
    /// The peer did not respond for [`limits::CONSENT_EXPIRY`]; nothing more may be sent to it.
    #[error("the peer's consent expired")]
    ConsentExpired,
}

/// Reason for which a datagram was ignored. For counters and TRACE logs; callers need not act on
/// it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StunRefused {
    /// The datagram is not a STUN message.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// The method is not Binding.
    #[error("not a Binding message")]
    Method,
    /// The FINGERPRINT is missing; every ICE message carries one (RFC 8445 §7.1).
    #[error("no fingerprint")]
    NoFingerprint,
    /// The base was never added with [`Agent::add_local`].
    #[error("not a base of this agent")]
    UnknownBase,
    /// USERNAME names another agent, or a generation that is gone.
    #[error("the user name is not ours")]
    Username,
    /// MESSAGE-INTEGRITY is missing, or not made with the password of this generation.
    #[error("the message integrity is wrong or missing")]
    Integrity,
    /// The response matches no check in flight, or comes too late.
    #[error("unknown transaction")]
    UnknownTransaction,
    /// The response came from or to another address than the check (RFC 8445 §7.2.5.2.1).
    #[error("the response took another path than the request")]
    Asymmetric,
    /// An authenticated message lacks an attribute or has an unknown one. A request was answered
    /// with 400 or 420.
    #[error("an attribute is missing or malformed")]
    Attributes,
    /// Both sides claimed the same role. The request was answered with 487, or the response was a
    /// 487 and this side has switched.
    #[error("role conflict")]
    RoleConflict,
    /// The peer refused the check with this error code.
    #[error("the peer responded with {0}")]
    ErrorResponse(u16),
}

/// Diagnostic information about a candidate pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PairReport {
    /// The addresses and kinds of the two candidates.
    pub path: Path,
    /// State of the pair's checks.
    pub state: PairState,
    /// The pair priority of RFC 8445 §6.1.2.3, computed with the kind of local candidate that the
    /// responses have revealed so far.
    pub priority: u64,
    /// True if media uses this pair.
    pub selected: bool,
    /// True if the pair belongs to the generation before the last ICE restart.
    pub previous_generation: bool,
    /// Number of checks sent.
    pub checks: u32,
    /// Number of responses received.
    pub responses: u32,
}

#[cfg(test)]
mod tests;
