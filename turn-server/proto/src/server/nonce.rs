//! Nonces that need no memory: time and an HMAC over it and the client's address.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use super::FiveTuple;
use crate::Transport;

/// How long a nonce is good for (RFC 8656 §5 wants an hour at most).
pub const NONCE_LIFETIME_S: u64 = 3600;
/// Keeps this use of the key apart from any other.
const DOMAIN: &[u8] = b"porthole turn nonce 1";
const TIME_LEN: usize = 4;
/// 96 bits: guessing one in its hour is out of reach, and the answer stays small.
const TAG_LEN: usize = 12;

/// Makes and checks nonces. Servers with the same key accept each other's.
#[derive(Clone)]
pub(super) struct Nonces {
    key: [u8; 32],
}

impl std::fmt::Debug for Nonces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Nonces(…)")
    }
}

impl Nonces {
    pub(super) fn new(key: [u8; 32]) -> Self {
        Self { key }
    }

    pub(super) fn make(&self, client: &FiveTuple, unix_s: u64) -> String {
        let time = low_bits(unix_s).to_be_bytes();
        let mut nonce = [0; TIME_LEN + TAG_LEN];
        nonce[..TIME_LEN].copy_from_slice(&time);
        nonce[TIME_LEN..].copy_from_slice(&self.tag(client, time));
        URL_SAFE_NO_PAD.encode(nonce)
    }

    pub(super) fn is_fresh(&self, nonce: &[u8], client: &FiveTuple, unix_s: u64) -> bool {
        let mut decoded = [0; TIME_LEN + TAG_LEN];
        if URL_SAFE_NO_PAD.decode_slice(nonce, &mut decoded) != Ok(decoded.len()) {
            return false;
        }
        let [t0, t1, t2, t3, tag @ ..] = decoded;
        let time = [t0, t1, t2, t3];
        let age = low_bits(unix_s).wrapping_sub(u32::from_be_bytes(time));
        let ours = bool::from(self.tag(client, time).ct_eq(&tag));
        // A clock that was set back makes the age huge: the client asks once more, no harm.
        ours && u64::from(age) <= NONCE_LIFETIME_S
    }

    fn tag(&self, client: &FiveTuple, time: [u8; TIME_LEN]) -> [u8; TAG_LEN] {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes a key of any length");
        let transport = match client.transport {
            Transport::Udp => 0,
            Transport::Tcp => 1,
            Transport::Tls => 2,
            Transport::Dtls => 3,
        };
        mac.update(DOMAIN);
        mac.update(&time);
        mac.update(&[transport]);
        mac.update(&client.client.port().to_be_bytes());
        match client.client.ip() {
            std::net::IpAddr::V4(ip) => mac.update(&ip.octets()),
            std::net::IpAddr::V6(ip) => mac.update(&ip.octets()),
        }
        let full: [u8; 32] = mac.finalize().into_bytes().into();
        let mut tag = [0; TAG_LEN];
        tag.copy_from_slice(&full[..TAG_LEN]);
        tag
    }
}

/// Enough for ages of up to a century.
fn low_bits(unix_s: u64) -> u32 {
    u32::try_from(unix_s & u64::from(u32::MAX)).unwrap_or(0)
}
