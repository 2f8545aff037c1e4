//! Nonces that need no memory: the time, and an HMAC over it and the client's address.
//!
//! A *plain* nonce is just that. An *advertising* one begins with the nonce cookie and the
//! security features that the challenge announces (RFC 8489 §9.2). The HMAC covers them, so that a
//! bid-down attack is detected.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use super::FiveTuple;
use crate::Transport;

/// Seconds that a nonce is valid (RFC 8656 §5 recommends an hour at most).
pub const NONCE_LIFETIME_S: u64 = 3600;
/// Keeps this use of the key apart from any other.
const DOMAIN: &[u8] = b"porthole turn nonce 2";
/// Seconds per unit of the time in a nonce, whose two bytes wrap around after six days.
const TICK_S: u64 = 8;
const TIME_LEN: usize = 2;
/// Bytes of the HMAC. 48 bits suffice: each guess costs a packet to us, and a right one only leads
/// to the check of the password. A longer tag would make the response more than twice as long as a
/// short request.
const TAG_LEN: usize = 6;
/// Bytes of a plain nonce: time and tag as base64.
pub(super) const PLAIN_LEN: usize = 11;
/// Bytes of the nonce cookie and the feature bits.
const COOKIE_LEN: usize = 13;
/// Bytes of an advertising nonce.
pub(super) const ADVERTISING_LEN: usize = COOKIE_LEN + PLAIN_LEN;

/// The security features that a challenge announced, as its nonce tells (RFC 8489 §9.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Features {
    /// No features: the client behaves as RFC 5389 says.
    None,
    /// Password algorithms, and optionally username anonymity.
    Algorithms {
        /// True if a request may name its user by USERHASH.
        userhash: bool,
    },
}

impl Features {
    const ALL: [Self; 3] =
        [Self::None, Self::Algorithms { userhash: true }, Self::Algorithms { userhash: false }];

    /// Returns the nonce cookie and 24 feature bits in base64.
    ///
    /// The RFCs number the bits from 0 and show them in two orders: an example counts from the
    /// left (RFC 8656 §20), another from the right (RFC 8489 §B.1), and so do clients. So both ends
    /// are set, 0x800001 and 0xC00003; the bits between have no meaning yet.
    const fn prefix(self) -> &'static [u8] {
        match self {
            Self::None => b"",
            Self::Algorithms { userhash: false } => b"obMatJos2gAAB",
            Self::Algorithms { userhash: true } => b"obMatJos2wAAD",
        }
    }
}

/// Makes and checks nonces. Servers with the same key accept each other's nonces.
#[derive(Clone)]
pub(super) struct Nonces {
    /// The HMAC with the key and the domain, to be cloned for each nonce.
    mac: Hmac<Sha256>,
}

impl std::fmt::Debug for Nonces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Nonces(…)")
    }
}

impl Nonces {
    pub(super) fn new(key: [u8; 32]) -> Self {
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("HMAC takes a key of any length");
        mac.update(DOMAIN);
        Self { mac }
    }

    pub(super) fn make(&self, client: &FiveTuple, unix_s: u64, features: Features) -> Vec<u8> {
        let mut nonce = features.prefix().to_vec();
        let time = ticks(unix_s).to_be_bytes();
        let mut rest = [0; TIME_LEN + TAG_LEN];
        rest[..TIME_LEN].copy_from_slice(&time);
        rest[TIME_LEN..].copy_from_slice(&self.tag(client, time, &nonce));
        nonce.extend_from_slice(URL_SAFE_NO_PAD.encode(rest).as_bytes());
        nonce
    }

    /// Returns the features that were announced with the nonce, if it is valid for this client and
    /// has not expired.
    pub(super) fn check(&self, nonce: &[u8], client: &FiveTuple, unix_s: u64) -> Option<Features> {
        let (prefix, rest) = nonce.split_at_checked(nonce.len().checked_sub(PLAIN_LEN)?)?;
        let features = Features::ALL.into_iter().find(|features| features.prefix() == prefix)?;
        let mut decoded = [0; TIME_LEN + TAG_LEN];
        if URL_SAFE_NO_PAD.decode_slice(rest, &mut decoded) != Ok(decoded.len()) {
            return None;
        }
        let [t0, t1, tag @ ..] = decoded;
        let time = [t0, t1];
        let age = ticks(unix_s).wrapping_sub(u16::from_be_bytes(time));
        let ours = bool::from(self.tag(client, time, prefix).ct_eq(&tag));
        // A clock that was set back makes the age huge; then the client is challenged once more.
        (ours && u64::from(age) * TICK_S < NONCE_LIFETIME_S).then_some(features)
    }

    fn tag(&self, client: &FiveTuple, time: [u8; TIME_LEN], prefix: &[u8]) -> [u8; TAG_LEN] {
        let mut mac = self.mac.clone();
        let transport = match client.transport {
            Transport::Udp => 0,
            Transport::Tcp => 1,
            Transport::Tls => 2,
            Transport::Dtls => 3,
        };
        mac.update(&time);
        mac.update(&[transport]);
        mac.update(&client.client.port().to_be_bytes());
        match client.client.ip() {
            std::net::IpAddr::V4(ip) => mac.update(&ip.octets()),
            std::net::IpAddr::V6(ip) => mac.update(&ip.octets()),
        }
        mac.update(prefix);
        let full: [u8; 32] = mac.finalize().into_bytes().into();
        let mut tag = [0; TAG_LEN];
        tag.copy_from_slice(&full[..TAG_LEN]);
        tag
    }
}

fn ticks(unix_s: u64) -> u16 {
    u16::try_from((unix_s / TICK_S) & u64::from(u16::MAX)).unwrap_or(0)
}
