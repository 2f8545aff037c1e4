//! STUN and TURN as values: the codec, the server and the clients.
//!
//! Bytes, events and the time go in; bytes, events and the next deadline come out.
//! Architecture invariant: no socket, clock, thread or lock in here, and only this crate knows
//! STUN bytes.
//!
//! - [`stun`] has the messages (RFC 8489), [`channel`] ChannelData and framing (RFC 8656 §12).
//! - [`client`] has a [`TurnClient`] and a [`StunClient`], [`server`] the [`server::Server`].
//! - [`credentials`] makes time-limited credentials.

#![warn(missing_docs)]

pub mod channel;
pub mod client;
pub mod credentials;
mod room;
pub mod server;
pub mod stun;

pub use channel::{StreamDecoder, StreamError};
pub use client::{ClientConfig, ClientEvent, FailureReason, StunClient, TurnClient};
pub use credentials::rest_credentials;
pub use room::{give_back, spare_room};

/// How a client reaches the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// One datagram, one message.
    Udp,
    /// A stream of frames, see [`StreamDecoder`].
    Tcp,
    /// As [`Self::Tcp`]; whoever drives this crate encrypts and decrypts.
    Tls,
    /// As [`Self::Udp`]; whoever drives this crate encrypts and decrypts.
    Dtls,
}

impl Transport {
    /// All there are.
    pub const ALL: [Self; 4] = [Self::Udp, Self::Tcp, Self::Tls, Self::Dtls];

    /// For labels and lists.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Dtls => "dtls",
        }
    }

    /// Whether messages follow one another on a stream, reliably and padded (RFC 8656 §12.5).
    pub const fn is_stream(self) -> bool {
        match self {
            Self::Udp | Self::Dtls => false,
            Self::Tcp | Self::Tls => true,
        }
    }
}

/// The address family of a relayed address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of an address.
    pub const fn of(ip: &std::net::IpAddr) -> Self {
        match ip {
            std::net::IpAddr::V4(_) => Self::V4,
            std::net::IpAddr::V6(_) => Self::V6,
        }
    }

    /// 0 or 1.
    pub(crate) const fn index(self) -> usize {
        match self {
            Self::V4 => 0,
            Self::V6 => 1,
        }
    }

    /// As REQUESTED-ADDRESS-FAMILY carries it (RFC 8656 §18.6): the number and 24 zero bits.
    pub(crate) const fn to_attribute(self) -> u32 {
        match self {
            Self::V4 => 0x0100_0000,
            Self::V6 => 0x0200_0000,
        }
    }

    /// The reserved bits do not count.
    pub(crate) const fn from_attribute(value: u32) -> Option<Self> {
        match value >> 24 {
            1 => Some(Self::V4),
            2 => Some(Self::V6),
            _ => None,
        }
    }
}

/// REQUESTED-TRANSPORT: UDP's protocol number and 24 zero bits (RFC 8656 §18.8).
pub(crate) const REQUESTED_UDP: u32 = 17 << 24;
/// REQUESTED-TRANSPORT: TCP's (RFC 6062 §5.1).
pub(crate) const REQUESTED_TCP: u32 = 6 << 24;
