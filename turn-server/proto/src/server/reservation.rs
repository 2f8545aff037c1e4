//! EVEN-PORT with a reserved neighbour (RFC 8656 §7.2): the port waits half a minute for whoever
//! shows the token, in whichever worker.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use hmac::{Hmac, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use super::port::{PortGuard, RelayAddress, ReservedPort};

/// RFC 8656 §7.2 wants 30 seconds at least.
const LIFETIME: Duration = Duration::from_secs(30);
/// In one worker: nobody in WebRTC asks for pairs, and each holds a port outside of the quota.
const MAX_RESERVATIONS: usize = 256;
/// Keeps this use of the key apart from any other.
const DOMAIN: &[u8] = b"porthole turn reservation 1";

/// Names a reserved port to those who hold the key: the port and an HMAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token([u8; Self::LEN]);

impl Token {
    pub(super) const LEN: usize = 8;

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Makes tokens and keeps what they stand for until it is claimed or too old.
pub(super) struct Reservations {
    key: [u8; 32],
    /// In order of expiry: all live equally long.
    held: VecDeque<(Instant, ReservedPort)>,
}

impl std::fmt::Debug for Reservations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reservations").field("held", &self.held).finish_non_exhaustive()
    }
}

impl Reservations {
    pub(super) fn new(key: [u8; 32]) -> Self {
        Self { key, held: VecDeque::new() }
    }

    pub(super) fn is_full(&self) -> bool {
        self.held.len() >= MAX_RESERVATIONS
    }

    pub(super) fn reserve(
        &mut self,
        username: &str,
        relay_ip: IpAddr,
        port: PortGuard,
        now: Instant,
    ) -> Token {
        let token = self.token(username, relay_ip, port.port());
        self.held.push_back((now + LIFETIME, port.reserve()));
        token
    }

    /// The port of a token that this user was given, if it still waits.
    pub(super) fn claim(
        &self,
        username: &str,
        token: &[u8],
        relay: &RelayAddress,
    ) -> Option<PortGuard> {
        let &[high, low, ..] = token.first_chunk::<{ Token::LEN }>()?;
        let port = u16::from_be_bytes([high, low]);
        let ours = bool::from(self.token(username, relay.ip, port).0.ct_eq(token));
        if ours { relay.ports.claim(port) } else { None }
    }

    pub(super) fn expire(&mut self, now: Instant) {
        while self.held.pop_front_if(|(expires_at, _)| *expires_at <= now).is_some() {}
    }

    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.held.front().map(|(expires_at, _)| *expires_at)
    }

    fn token(&self, username: &str, relay_ip: IpAddr, port: u16) -> Token {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes a key of any length");
        mac.update(DOMAIN);
        mac.update(&port.to_be_bytes());
        match relay_ip {
            IpAddr::V4(ip) => mac.update(&ip.octets()),
            IpAddr::V6(ip) => mac.update(&ip.octets()),
        }
        mac.update(username.as_bytes());
        let tag: [u8; 32] = mac.finalize().into_bytes().into();
        let mut token = [0; Token::LEN];
        token[..2].copy_from_slice(&port.to_be_bytes());
        token[2..].copy_from_slice(&tag[..Token::LEN - 2]);
        Token(token)
    }

    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.held.iter().filter(|(_, port)| port.is_waiting()).count()
    }
}
