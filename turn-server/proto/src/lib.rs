//! STUN and TURN without I/O: the codec, the server and the clients.
//!
//! Bytes, events and the time go in; bytes, events and the next deadline come out.
//! Architecture invariant: this crate has no socket, clock, thread or lock, and it is the only
//! one that knows STUN bytes.
//!
//! - [`stun`] has the messages (RFC 8489), [`channel`] ChannelData and framing (RFC 8656 §12).
//! - [`client`] has a [`TurnClient`] and a [`StunClient`], [`server`] the [`server::Server`].
//! - [`credentials`] makes time-limited credentials, [`uri`] reads STUN and TURN URIs.

#![warn(missing_docs)]

pub mod channel;
pub mod client;
pub mod credentials;
pub mod server;
pub mod stun;
mod trim;
pub mod uri;

pub use channel::{StreamDecoder, StreamError};
pub use client::{ClientConfig, ClientEvent, FailureReason, StunClient, TurnClient};
pub use credentials::rest_credentials;
pub use trim::{trim, trimmed_capacity};

/// Transport between a client and the server (RFC 8656 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// UDP: each datagram is one message.
    Udp,
    /// TCP: a stream of frames, see [`StreamDecoder`].
    Tcp,
    /// TLS over TCP: framed as [`Self::Tcp`]; the driver encrypts and decrypts.
    Tls,
    /// DTLS over UDP: one message per record, as [`Self::Udp`]; the driver encrypts and decrypts.
    Dtls,
}

impl Transport {
    /// Every transport that a server speaks.
    pub const ALL: [Self; 4] = [Self::Udp, Self::Tcp, Self::Tls, Self::Dtls];

    /// Returns the lower-case name, for labels of metrics and for lists.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Dtls => "dtls",
        }
    }

    /// Returns true if messages follow one another on a reliable stream, where ChannelData is
    /// padded (RFC 8656 §12.5).
    pub const fn is_stream(self) -> bool {
        match self {
            Self::Udp | Self::Dtls => false,
            Self::Tcp | Self::Tls => true,
        }
    }
}

/// The family of an IP address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// The family of IPv4 addresses.
    V4,
    /// The family of IPv6 addresses.
    V6,
}

impl Family {
    /// Returns the family of `ip`.
    pub const fn of(ip: &std::net::IpAddr) -> Self {
        match ip {
            std::net::IpAddr::V4(_) => Self::V4,
            std::net::IpAddr::V6(_) => Self::V6,
        }
    }

    /// Returns 0 for IPv4 and 1 for IPv6.
    pub(crate) const fn index(self) -> usize {
        match self {
            Self::V4 => 0,
            Self::V6 => 1,
        }
    }

    /// Returns the value of REQUESTED-ADDRESS-FAMILY (RFC 8656 §18.6): the number and 24 zero bits.
    pub(crate) const fn to_attribute(self) -> u32 {
        match self {
            Self::V4 => 0x0100_0000,
            Self::V6 => 0x0200_0000,
        }
    }

    /// Reads the value of REQUESTED-ADDRESS-FAMILY; the reserved bits are ignored.
    pub(crate) const fn from_attribute(value: u32) -> Option<Self> {
        match value >> 24 {
            1 => Some(Self::V4),
            2 => Some(Self::V6),
            _ => None,
        }
    }
}

/// Value of REQUESTED-TRANSPORT for UDP: its protocol number and 24 zero bits (RFC 8656 §18.8).
pub(crate) const REQUESTED_UDP: u32 = 17 << 24;
/// Value of REQUESTED-TRANSPORT for TCP (RFC 6062 §5.1).
pub(crate) const REQUESTED_TCP: u32 = 6 << 24;
