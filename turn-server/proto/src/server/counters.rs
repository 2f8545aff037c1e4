//! Totals since the start, by a fixed number of kinds.

use std::ops::Add;

use super::{Doubt, Traffic};
use crate::Transport;
use crate::stun::ErrorCode;

/// The codes that errors are counted by. Any other code is counted with the last.
const ERROR_CODES: [ErrorCode; 17] = [
    ErrorCode::TRY_ALTERNATE,
    ErrorCode::BAD_REQUEST,
    ErrorCode::UNAUTHENTICATED,
    ErrorCode::FORBIDDEN,
    ErrorCode::MOBILITY_FORBIDDEN,
    ErrorCode::UNKNOWN_ATTRIBUTE,
    ErrorCode::ALLOCATION_MISMATCH,
    ErrorCode::STALE_NONCE,
    ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED,
    ErrorCode::WRONG_CREDENTIALS,
    ErrorCode::UNSUPPORTED_TRANSPORT,
    ErrorCode::PEER_ADDRESS_FAMILY_MISMATCH,
    ErrorCode::CONNECTION_ALREADY_EXISTS,
    ErrorCode::CONNECTION_TIMEOUT_OR_FAILURE,
    ErrorCode::ALLOCATION_QUOTA_REACHED,
    ErrorCode::INSUFFICIENT_CAPACITY,
    ErrorCode::SERVER_ERROR,
];

/// The reason why a packet was not relayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// A length is impossible, or an attribute is missing, malformed or unknown.
    Malformed,
    /// The client has no allocation, or that of the relay socket has ended.
    NoAllocation,
    /// The channel is not bound, or has expired.
    NoChannel,
    /// The peer has no permission, or it has expired.
    NoPermission,
    /// The policy denies this peer.
    PeerDenied,
    /// The allocation or the user has used up its bandwidth.
    Bandwidth,
}

impl DropReason {
    /// Every reason, in the order of the counters.
    pub const ALL: [Self; 6] = [
        Self::Malformed,
        Self::NoAllocation,
        Self::NoChannel,
        Self::NoPermission,
        Self::PeerDenied,
        Self::Bandwidth,
    ];

    /// Returns the name for labels of metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::NoAllocation => "no_allocation",
            Self::NoChannel => "no_channel",
            Self::NoPermission => "no_permission",
            Self::PeerDenied => "peer_denied",
            Self::Bandwidth => "bandwidth",
        }
    }
}

/// Relayed traffic in both directions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Relayed {
    /// Traffic from clients to peers.
    pub to_peers: Traffic,
    /// Traffic from peers to clients.
    pub to_clients: Traffic,
}

impl Relayed {
    const LEN: usize = 4;

    const fn to_array(self) -> [u64; Self::LEN] {
        let Self { to_peers, to_clients } = self;
        [to_peers.packets, to_peers.bytes, to_clients.packets, to_clients.bytes]
    }

    const fn from_array(cells: [u64; Self::LEN]) -> Self {
        let [packets, bytes, client_packets, client_bytes] = cells;
        Self {
            to_peers: Traffic { packets, bytes },
            to_clients: Traffic { packets: client_packets, bytes: client_bytes },
        }
    }
}

/// Totals since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Binding requests that were answered.
    pub bindings: u64,
    /// Allocations that were made.
    pub allocations_made: u64,
    /// Requests that were refused for any reason but missing or wrong credentials or a stale nonce.
    pub refused: u64,
    /// Requests answered with 401 or 438: the first of each client, and wrong passwords.
    pub challenged: u64,
    /// Datagrams that are neither STUN nor ChannelData, unexpected responses, and streams that
    /// cannot be read any further.
    pub malformed: u64,
    /// Unauthenticated requests that were not answered, because there were too many or they were
    /// too short for an answer.
    pub unanswered: u64,
    doubts: [u64; Doubt::ALL.len()],
    /// The part of the traffic of clients over UDP that the fast path relayed.
    pub offloaded: Relayed,
    relayed: [Relayed; Transport::ALL.len()],
    errors: [u64; ERROR_CODES.len()],
    drops: [u64; DropReason::ALL.len()],
}

impl Counters {
    /// Length of [`Self::to_array`].
    pub const LEN: usize = 6
        + Doubt::ALL.len()
        + (1 + Transport::ALL.len()) * Relayed::LEN
        + ERROR_CODES.len()
        + DropReason::ALL.len();

    /// Returns the traffic of the clients of each transport.
    pub fn relayed(&self) -> impl Iterator<Item = (Transport, Relayed)> {
        Transport::ALL.into_iter().zip(self.relayed)
    }

    /// Returns the traffic to peers over all transports.
    pub fn to_peers(&self) -> Traffic {
        self.relayed.iter().fold(Traffic::default(), |sum, relayed| sum + relayed.to_peers)
    }

    /// Returns the traffic to clients over all transports.
    pub fn to_clients(&self) -> Traffic {
        self.relayed.iter().fold(Traffic::default(), |sum, relayed| sum + relayed.to_clients)
    }

    /// Returns the number of error responses by code.
    pub fn errors(&self) -> impl Iterator<Item = (ErrorCode, u64)> {
        ERROR_CODES.into_iter().zip(self.errors)
    }

    /// Returns the number of packets that were not relayed, by reason.
    pub fn drops(&self) -> impl Iterator<Item = (DropReason, u64)> {
        DropReason::ALL.into_iter().zip(self.drops)
    }

    /// Returns the number of requests with time-limited credentials whose end was doubtful.
    pub fn doubts(&self) -> impl Iterator<Item = (Doubt, u64)> {
        Doubt::ALL.into_iter().zip(self.doubts)
    }

    /// Returns the number of packets that were not relayed, for any reason.
    pub fn dropped(&self) -> u64 {
        self.drops.iter().sum()
    }

    pub(super) fn relayed_mut(&mut self, transport: Transport) -> &mut Relayed {
        let index = match transport {
            Transport::Udp => 0,
            Transport::Tcp => 1,
            Transport::Tls => 2,
            Transport::Dtls => 3,
        };
        &mut self.relayed[index]
    }

    pub(super) fn count_error(&mut self, code: ErrorCode) {
        let index = ERROR_CODES.iter().position(|known| *known == code);
        self.errors[index.unwrap_or(ERROR_CODES.len() - 1)] += 1;
    }

    pub(super) fn count_doubt(&mut self, doubt: Doubt) {
        let index = match doubt {
            Doubt::Expired => 0,
            Doubt::FarFuture => 1,
        };
        self.doubts[index] += 1;
    }

    pub(super) fn count_drop(&mut self, reason: DropReason) {
        let index = match reason {
            DropReason::Malformed => 0,
            DropReason::NoAllocation => 1,
            DropReason::NoChannel => 2,
            DropReason::NoPermission => 3,
            DropReason::PeerDenied => 4,
            DropReason::Bandwidth => 5,
        };
        self.drops[index] += 1;
    }

    /// Returns all numbers in a fixed order, for [`Self::from_array`].
    pub fn to_array(self) -> [u64; Self::LEN] {
        let Self { bindings, allocations_made, refused, challenged, malformed, unanswered, .. } =
            self;
        let single = [bindings, allocations_made, refused, challenged, malformed, unanswered];
        let relayed = [self.offloaded].into_iter().chain(self.relayed).flat_map(Relayed::to_array);
        let single = single.into_iter().chain(self.doubts);
        let mut all = single.chain(relayed).chain(self.errors).chain(self.drops);
        std::array::from_fn(|_| all.next().unwrap_or_default())
    }

    /// Returns the counters with these numbers, the inverse of [`Self::to_array`].
    pub fn from_array(numbers: [u64; Self::LEN]) -> Self {
        let mut rest = numbers.into_iter();
        let mut next = || rest.next().unwrap_or_default();
        // The fields are evaluated in the order in which they are written here.
        Self {
            bindings: next(),
            allocations_made: next(),
            refused: next(),
            challenged: next(),
            malformed: next(),
            unanswered: next(),
            doubts: std::array::from_fn(|_| next()),
            offloaded: Relayed::from_array(std::array::from_fn(|_| next())),
            relayed: std::array::from_fn(|_| Relayed::from_array(std::array::from_fn(|_| next()))),
            errors: std::array::from_fn(|_| next()),
            drops: std::array::from_fn(|_| next()),
        }
    }
}

impl Add for Counters {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let (one, two) = (self.to_array(), other.to_array());
        Self::from_array(std::array::from_fn(|i| one[i] + two[i]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(from: u64) -> Counters {
        let mut number = from..;
        Counters::from_array(std::array::from_fn(|_| number.next().unwrap()))
    }

    #[test]
    fn every_number_has_its_own_place_in_the_array() {
        let counters = numbered(1);
        assert_eq!(Counters::from_array(counters.to_array()), counters);
        let last = u64::try_from(Counters::LEN).unwrap();
        assert_eq!(counters.to_array(), std::array::from_fn(|i| u64::try_from(i).unwrap() + 1));
        assert_eq!(counters.drops().last(), Some((DropReason::Bandwidth, last)));
        assert_eq!((counters + counters).to_array()[3], 8);
    }

    #[test]
    fn each_kind_is_counted_under_its_name() {
        let mut counters = Counters::default();
        for transport in Transport::ALL {
            counters.relayed_mut(transport).to_peers.packets = 1;
        }
        assert!(counters.relayed().all(|(_, relayed)| relayed.to_peers.packets == 1));
        assert_eq!(counters.to_peers().packets, 4);
        for reason in DropReason::ALL {
            counters.count_drop(reason);
        }
        assert!(counters.drops().all(|(_, count)| count == 1));
        for code in ERROR_CODES {
            counters.count_error(code);
        }
        assert!(counters.errors().all(|(_, count)| count == 1));
        for doubt in Doubt::ALL {
            counters.count_doubt(doubt);
        }
        assert!(counters.doubts().all(|(_, count)| count == 1));
        counters.count_error(ErrorCode::ROLE_CONFLICT);
        assert_eq!(counters.errors().last(), Some((ErrorCode::SERVER_ERROR, 2)));
    }
}
