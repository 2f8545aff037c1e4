//! What a client is told at its start, and what it tells.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use rand::Rng as _;

use crate::stun::ErrorCode;
use crate::{Family, Transport};

/// What a [`TurnClient`](super::TurnClient) needs to know.
#[derive(Clone)]
pub struct ClientConfig {
    /// As the server (or its REST secret) knows it.
    pub username: String,
    /// The long-term password.
    pub password: String,
    /// How the server is reached: decides retransmission and padding.
    pub transport: Transport,
    /// SOFTWARE in requests; `None` leaves it out.
    pub software: Option<String>,
    /// Family of the relayed address; `None` leaves it to the server (IPv4).
    pub requested_family: Option<Family>,
    /// Seed of the transaction ids: must be random outside of simulations.
    pub seed: [u8; 32],
}

impl ClientConfig {
    /// Without SOFTWARE and family, seeded from the operating system's randomness.
    pub fn new(username: String, password: String, transport: Transport) -> Self {
        let seed = rand::rng().random();
        Self { username, password, transport, software: None, requested_family: None, seed }
    }
}

impl fmt::Debug for ClientConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientConfig")
            .field("transport", &self.transport)
            .field("requested_family", &self.requested_family)
            .finish_non_exhaustive()
    }
}

/// What a client has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientEvent {
    /// The relayed address exists.
    Allocated {
        /// What peers send to.
        relayed: SocketAddr,
        /// Where the server sees this client (server-reflexive).
        mapped: SocketAddr,
    },
    /// There will be no allocation. The client is finished.
    Failed {
        /// The server's code, if it answered.
        code: Option<u16>,
        /// What to do about it.
        reason: FailureReason,
    },
    /// The server does not let this peer through. Others are not affected.
    PermissionRefused {
        /// The peer.
        peer: IpAddr,
        /// The server's code, if it answered.
        code: Option<u16>,
    },
    /// The allocation is gone. The client is finished; make a new one.
    Expired,
}

/// Why there is no allocation: a variant for each reaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FailureReason {
    /// Nothing came back: try another transport or server.
    #[error("the TURN server did not answer")]
    Timeout,
    /// Wrong or expired username or password: get new ones.
    #[error("the TURN server refused the credentials")]
    Unauthenticated,
    /// Ask there instead.
    #[error("the TURN server names another server")]
    TryAlternate(Option<SocketAddr>),
    /// Try again from another local port.
    #[error("the TURN server has an allocation for this address already")]
    Mismatch,
    /// The server has no relayed addresses of this family.
    #[error("the TURN server does not relay this address family")]
    UnsupportedFamily,
    /// Wait until other allocations have ended.
    #[error("this user has too many allocations")]
    QuotaReached,
    /// Try later (RFC 8656 §7.4: not within a minute) or another server.
    #[error("the TURN server is full")]
    NoCapacity,
    /// The answer lacks what the RFC promises.
    #[error("the TURN server's answer makes no sense")]
    BadResponse,
    /// Any other refusal.
    #[error("the TURN server refused")]
    Refused,
}

impl FailureReason {
    pub(super) fn of(code: ErrorCode, alternate: Option<SocketAddr>) -> Self {
        match code {
            ErrorCode::TRY_ALTERNATE => Self::TryAlternate(alternate),
            ErrorCode::UNAUTHENTICATED | ErrorCode::STALE_NONCE | ErrorCode::WRONG_CREDENTIALS => {
                Self::Unauthenticated
            }
            ErrorCode::ALLOCATION_MISMATCH => Self::Mismatch,
            ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED => Self::UnsupportedFamily,
            ErrorCode::ALLOCATION_QUOTA_REACHED => Self::QuotaReached,
            ErrorCode::INSUFFICIENT_CAPACITY => Self::NoCapacity,
            _ => Self::Refused,
        }
    }
}
