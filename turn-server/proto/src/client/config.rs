//! The settings of a client, and the events that it reports.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use rand::Rng as _;

use crate::stun::ErrorCode;
use crate::{Family, Transport};

/// Settings of a [`TurnClient`](super::TurnClient).
#[derive(Clone)]
pub struct ClientConfig {
    /// The username, static or time-limited.
    pub username: String,
    /// The password of the long-term credential (RFC 8489 §9.2).
    pub password: String,
    /// Transport to the server, which decides about retransmission and padding.
    pub transport: Transport,
    /// Value of SOFTWARE in requests; `None` leaves the attribute out.
    pub software: Option<String>,
    /// Family of the relayed address; `None` leaves it to the server (IPv4).
    pub requested_family: Option<Family>,
    /// Seed of the transaction ids, which must be random outside of simulations.
    pub seed: [u8; 32],
}

impl ClientConfig {
    /// Creates settings without SOFTWARE and family, seeded from the operating system's randomness.
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

/// An event that the owner of a [`TurnClient`](super::TurnClient) must know of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientEvent {
    /// The server has made the allocation.
    Allocated {
        /// The relayed address, which peers send to.
        relayed: SocketAddr,
        /// The server-reflexive address: this client as the server sees it.
        mapped: SocketAddr,
    },
    /// The allocation could not be made. The client is finished.
    Failed {
        /// The server's error code, if it answered.
        code: Option<u16>,
        /// The kind of failure, which suggests what to do.
        reason: FailureReason,
    },
    /// The server refused the permission for one peer. Other peers are not affected.
    PermissionRefused {
        /// The address of the peer.
        peer: IpAddr,
        /// The server's error code, if it answered.
        code: Option<u16>,
    },
    /// The allocation has ended. The client is finished; create a new one to go on.
    Expired,
}

/// The reason why an allocation could not be made, with a variant for each reaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FailureReason {
    /// The server did not answer: try another transport or server.
    #[error("the TURN server did not answer")]
    Timeout,
    /// Username or password are wrong or expired: get new ones.
    #[error("the TURN server refused the credentials")]
    Unauthenticated,
    /// The server wants the client to use another one, whose address it may name (RFC 8489 §10).
    #[error("the TURN server names another server")]
    TryAlternate(Option<SocketAddr>),
    /// An allocation exists for this five-tuple: try again from another local port.
    #[error("the TURN server has an allocation for this address already")]
    Mismatch,
    /// The server has no relayed addresses of this family.
    #[error("the TURN server does not relay this address family")]
    UnsupportedFamily,
    /// The user has too many allocations: wait until others have ended.
    #[error("this user has too many allocations")]
    QuotaReached,
    /// The server has no capacity: try another one, or this one later (RFC 8656 §7.4: not within
    /// a minute).
    #[error("the TURN server is full")]
    NoCapacity,
    /// The response lacks attributes that the RFC demands.
    #[error("the TURN server's response is incomplete")]
    BadResponse,
    /// The server refused for any other reason.
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
