//! Reservations by EVEN-PORT (RFC 8656 §7.2): the next port waits half a minute for a client with
//! the token, in any worker.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use hmac::{Hmac, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use super::auth::Identity;
use super::port::{PortGuard, RelayAddress, ReservationId, ReservedPort};

/// Lifetime of a reservation (RFC 8656 §7.2: at least 30 seconds).
const LIFETIME: Duration = Duration::from_secs(30);
/// Reservations of one worker: few, because WebRTC does not use pairs, and each holds a port that
/// the quota does not count.
pub(super) const MAX_RESERVATIONS: usize = 256;
/// Unclaimed reservations of one user in one worker.
pub(super) const MAX_PER_USER: usize = 8;
/// Keeps this use of the key apart from any other.
const DOMAIN: &[u8] = b"porthole turn reservation 1";

/// A reservation token: the port and an HMAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token([u8; Self::LEN]);

impl Token {
    pub(super) const LEN: usize = 8;

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Makes tokens and holds their ports until they are claimed or expire.
pub(super) struct Reservations {
    key: [u8; 32],
    /// Reservations in order of expiry, since all have the same lifetime.
    held: VecDeque<Reservation>,
}

#[derive(Debug)]
struct Reservation {
    expires_at: Instant,
    user: Box<str>,
    token: Token,
    port: ReservedPort,
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

    /// Returns true if this user may have another reservation.
    pub(super) fn has_room(&mut self, user: &str) -> bool {
        self.held.retain(|held| held.port.is_waiting());
        let of_user = self.held.iter().filter(|held| *held.user == *user).count();
        self.held.len() < MAX_RESERVATIONS && of_user < MAX_PER_USER
    }

    pub(super) fn reserve(
        &mut self,
        owner: &Identity,
        relay_ip: IpAddr,
        port: PortGuard,
        now: Instant,
    ) -> Token {
        let (number, port) = (port.port(), port.reserve());
        let token = self.token(&owner.username, relay_ip, number, port.id());
        let (expires_at, user) = (now + LIFETIME, owner.quota_user().into());
        self.held.push_back(Reservation { expires_at, user, token, port });
        token
    }

    /// Cancels a reservation whose token no client has received.
    pub(super) fn cancel(&mut self, token: Token) {
        self.held.retain(|held| held.token != token);
    }

    /// Claims the port of a token, if the token was made for this user and the port still waits.
    pub(super) fn claim(
        &self,
        username: &str,
        token: &[u8],
        relay: &RelayAddress,
    ) -> Option<PortGuard> {
        let &[high, low, ..] = token.first_chunk::<{ Token::LEN }>()?;
        let port = u16::from_be_bytes([high, low]);
        let id = relay.ports.reservation(port)?;
        let ours = bool::from(self.token(username, relay.ip, port, id).0.ct_eq(token));
        if ours { relay.ports.claim(port, id) } else { None }
    }

    pub(super) fn expire(&mut self, now: Instant) {
        while self.held.pop_front_if(|held| held.expires_at <= now).is_some() {}
    }

    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.held.front().map(|held| held.expires_at)
    }

    fn token(&self, username: &str, relay_ip: IpAddr, port: u16, id: ReservationId) -> Token {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes a key of any length");
        mac.update(DOMAIN);
        mac.update(&port.to_be_bytes());
        mac.update(&id.to_be_bytes());
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
        self.held.iter().filter(|held| held.port.is_waiting()).count()
    }
}
