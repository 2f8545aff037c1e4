//! Nonces that need no memory: time and an HMAC over it and the client's address.
//!
//! A *plain* nonce is just that. An *advertising* one begins with the nonce cookie and the
//! security features that the challenge offers (RFC 8489 §9.2); the HMAC covers them, so that
//! nobody on the way can strike an offer out unseen.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use super::FiveTuple;
use crate::Transport;

/// How long a nonce is good for (RFC 8656 §5 wants an hour at most).
pub const NONCE_LIFETIME_S: u64 = 3600;
/// Keeps this use of the key apart from any other.
const DOMAIN: &[u8] = b"porthole turn nonce 2";
/// What the time counts: two bytes of it come round after six days.
const TICK_S: u64 = 8;
const TIME_LEN: usize = 2;
/// 48 bits: a guess is one packet to us, and the prize is only to be asked for a password. Longer
/// ones would make the answer more than twice a small question.
const TAG_LEN: usize = 6;
/// Time and tag as text.
pub(super) const PLAIN_LEN: usize = 11;
/// The cookie and the features as text.
const OFFER_LEN: usize = 13;
/// The offer before the rest.
pub(super) const ADVERTISING_LEN: usize = OFFER_LEN + PLAIN_LEN;

/// What a nonce says its challenge offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offer {
    /// Nothing: the client is to do what RFC 5389 says.
    Plain,
    /// PASSWORD-ALGORITHMS, and perhaps USERHASH.
    Algorithms {
        /// Whether a user may be named by USERHASH.
        userhash: bool,
    },
}

impl Offer {
    const ALL: [Self; 3] =
        [Self::Plain, Self::Algorithms { userhash: true }, Self::Algorithms { userhash: false }];

    /// The cookie and 24 feature bits in base64. The RFC numbers the bits from 0 and shows them in
    /// two orders: its examples count from the left (RFC 8656 §20) and from the right (RFC 8489
    /// §B.1), and so do clients. Both ends are set, 0x800001 and 0xC00003; the bits between mean
    /// nothing yet.
    const fn prefix(self) -> &'static [u8] {
        match self {
            Self::Plain => b"",
            Self::Algorithms { userhash: false } => b"obMatJos2gAAB",
            Self::Algorithms { userhash: true } => b"obMatJos2wAAD",
        }
    }
}

/// Makes and checks nonces. Servers with the same key accept each other's.
#[derive(Clone)]
pub(super) struct Nonces {
    /// Keyed, and ready for the rest.
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

    pub(super) fn make(&self, client: &FiveTuple, unix_s: u64, offer: Offer) -> Vec<u8> {
        let mut nonce = offer.prefix().to_vec();
        let time = ticks(unix_s).to_be_bytes();
        let mut rest = [0; TIME_LEN + TAG_LEN];
        rest[..TIME_LEN].copy_from_slice(&time);
        rest[TIME_LEN..].copy_from_slice(&self.tag(client, time, &nonce));
        nonce.extend_from_slice(URL_SAFE_NO_PAD.encode(rest).as_bytes());
        nonce
    }

    /// What was offered with it, if it is ours, this client's, and young.
    pub(super) fn check(&self, nonce: &[u8], client: &FiveTuple, unix_s: u64) -> Option<Offer> {
        let (prefix, rest) = nonce.split_at_checked(nonce.len().checked_sub(PLAIN_LEN)?)?;
        let offer = Offer::ALL.into_iter().find(|offer| offer.prefix() == prefix)?;
        let mut decoded = [0; TIME_LEN + TAG_LEN];
        if URL_SAFE_NO_PAD.decode_slice(rest, &mut decoded) != Ok(decoded.len()) {
            return None;
        }
        let [t0, t1, tag @ ..] = decoded;
        let time = [t0, t1];
        let age = ticks(unix_s).wrapping_sub(u16::from_be_bytes(time));
        let ours = bool::from(self.tag(client, time, prefix).ct_eq(&tag));
        // A clock that was set back makes the age huge: the client asks once more, no harm.
        (ours && u64::from(age) * TICK_S < NONCE_LIFETIME_S).then_some(offer)
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
