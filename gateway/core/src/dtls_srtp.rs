//! DTLS-SRTP (RFC 5763, RFC 5764, RFC 7714): authenticates the peer and encrypts the media.
//!
//! Architecture invariant: this is the only module that names the WebRTC engine (`rtc-dtls`,
//! `rtc-srtp`). Everything else of a session is our own code.

mod admission;
mod association;
mod hello;
mod identity;
mod retransmission;
mod srtp;

use rtc_shared::error::Error as EngineError;

pub use association::DtlsSrtp;
pub use hello::{HelloPeek, MAX_HELD_BYTES, Peeked, SrtpProfile};
pub use identity::{Fingerprint, Identity};

/// Error of a DTLS-SRTP association.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DtlsSrtpError {
    /// The certificate could not be generated.
    #[error("cannot generate a DTLS certificate: {0}")]
    Certificate(String),
    /// The handshake has failed: another certificate than announced, no common protection profile,
    /// or no response.
    #[error("the DTLS handshake failed: {0}")]
    Handshake(String),
    /// The peer has sent more handshake messages than any handshake has.
    #[error("the other side sent too many DTLS handshake messages")]
    Flood,
    /// The handshake is not finished.
    #[error("the DTLS handshake is not finished")]
    NotReady,
    /// The packet was tampered with or replayed, or belongs to another association.
    #[error("the packet is not authentic")]
    NotAuthentic,
}

/// Role in the DTLS handshake; the client begins it (RFC 8842 §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DtlsRole {
    /// The side with `a=setup:active`.
    Client,
    /// The side with `a=setup:passive`.
    Server,
}

fn handshake(error: EngineError) -> DtlsSrtpError {
    DtlsSrtpError::Handshake(error.to_string())
}

#[cfg(test)]
mod tests;
