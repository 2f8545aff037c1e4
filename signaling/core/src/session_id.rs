//! Ids of sessions. Each names, sealed, the credential that its session was started with, so that
//! a hub that has forgotten the session, as after a restart, can still end it with its credential:
//! gateways list the ids of their sessions, and need not know more. Names that stand for
//! credentials are made with the same key.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac as _};
use porthole_signaling_proto::SessionId;
use sha1::Sha1;

/// Random bytes of an id, which nobody can guess.
const NONCE_BYTES: usize = 16;
/// Bytes of a credential: its kind, its number, and for a cookie how often its rights have changed.
const CREDENTIAL_BYTES: usize = 13;
/// Bytes of the code that tells ids of this key from others. A forged one would only end the
/// session of the gateway that reports it.
const MAC_BYTES: usize = 6;

const TOKEN: u8 = 1;
const COOKIE: u8 = 2;
const SHARE: u8 = 3;
/// The kind of a credential that is none of these, and is not in the id.
const NONE: u8 = 0;

/// The key that seals the credentials in the ids of sessions: the same after a restart.
#[derive(Clone, Default)]
pub struct SessionKey([u8; 32]);

impl SessionKey {
    /// Creates the key from bytes that are random and secret.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns an id with these random bytes.
    pub(crate) fn seal(&self, nonce: [u8; NONCE_BYTES], credential: &str) -> SessionId {
        let mut sealed = plain(credential);
        mask(&mut sealed, &self.hmac(&[b"mask", &nonce]));
        let mac = self.hmac(&[b"mac", &nonce, &sealed]);
        let bytes = [&nonce[..], &sealed, mac.get(..MAC_BYTES).unwrap_or_default()].concat();
        let id = format!("s{}", URL_SAFE_NO_PAD.encode(bytes));
        id.parse().expect("the characters of base64url are those of an id")
    }

    /// Returns the credential in an id; `None` if another key has made it, or there is none in it.
    pub(crate) fn open(&self, id: &SessionId) -> Option<String> {
        let bytes = URL_SAFE_NO_PAD.decode(id.as_str().strip_prefix('s')?).ok()?;
        let (nonce, rest) = bytes.split_at_checked(NONCE_BYTES)?;
        let (sealed, mac) = rest.split_at_checked(CREDENTIAL_BYTES)?;
        if self.hmac(&[b"mac", nonce, sealed]).get(..MAC_BYTES) != Some(mac) {
            return None;
        }
        let mut plain: [u8; CREDENTIAL_BYTES] = sealed.try_into().ok()?;
        mask(&mut plain, &self.hmac(&[b"mask", nonce]));
        credential(plain)
    }

    /// Returns a name that stands for a credential: always the same one, from which nobody without
    /// the key finds the credential.
    pub(crate) fn stand_in(&self, credential: &str) -> String {
        URL_SAFE_NO_PAD.encode(self.hmac(&[b"stand-in", credential.as_bytes()]))
    }

    fn hmac(&self, parts: &[&[u8]]) -> [u8; 20] {
        let mut mac = Hmac::<Sha1>::new_from_slice(&self.0).expect("HMAC takes any key");
        parts.iter().for_each(|part| mac.update(part));
        mac.finalize().into_bytes().into()
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionKey").finish_non_exhaustive()
    }
}

fn mask(bytes: &mut [u8; CREDENTIAL_BYTES], with: &[u8; 20]) {
    bytes.iter_mut().zip(with).for_each(|(byte, mask)| *byte ^= mask);
}

/// Returns a credential in bytes, such as that of `token:7` or `cookie:0123456789abcdef.2`.
fn plain(credential: &str) -> [u8; CREDENTIAL_BYTES] {
    let (kind, number, version) =
        numbered(credential).or_else(|| cookie(credential)).unwrap_or((NONE, 0, 0));
    let mut bytes = [kind; CREDENTIAL_BYTES];
    bytes[1..9].copy_from_slice(&number.to_be_bytes());
    bytes[9..].copy_from_slice(&version.to_be_bytes());
    bytes
}

fn numbered(credential: &str) -> Option<(u8, u64, u32)> {
    let (kind, number) = credential.split_once(':')?;
    let kind = match kind {
        "token" => TOKEN,
        "share" => SHARE,
        _ => return None,
    };
    Some((kind, number.parse().ok()?, 0))
}

fn cookie(credential: &str) -> Option<(u8, u64, u32)> {
    let (name, version) = credential.strip_prefix("cookie:")?.split_once('.')?;
    let is_name = name.len() == 16 && name.bytes().all(|digit| digit.is_ascii_hexdigit());
    let number = u64::from_str_radix(name, 16).ok().filter(|_| is_name)?;
    Some((COOKIE, number, version.parse().ok()?))
}

fn credential(bytes: [u8; CREDENTIAL_BYTES]) -> Option<String> {
    let [kind, a, b, c, d, e, f, g, h, version @ ..] = bytes;
    let number = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
    let version = u32::from_be_bytes(version);
    match kind {
        TOKEN => Some(format!("token:{number}")),
        SHARE => Some(format!("share:{number}")),
        COOKIE => Some(format!("cookie:{number:016x}.{version}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_names_its_credential_to_the_holder_of_the_key_alone() {
        let (key, other) = (SessionKey::new([1; 32]), SessionKey::new([2; 32]));
        for (credential, is_in_it) in [
            ("token:7", true),
            ("share:7", true),
            ("token:9223372036854775807", true),
            ("cookie:0123456789abcdef.0", true),
            ("cookie:ffffffffffffffff.4294967295", true),
            ("cookie:ffffffffffffffff.4294967296", false),
            ("cookie:+123456789abcdef.0", false),
            ("cookie:0123456789abcdef", false),
            ("cookie:ann", false),
            ("token:", false),
            ("operator", false),
        ] {
            let id = key.seal([9; NONCE_BYTES], credential);
            assert_eq!(id.as_str().len(), 48, "{id}");
            assert_eq!(key.open(&id).as_deref(), is_in_it.then_some(credential), "{id}");
            assert_eq!(other.open(&id), None, "{credential}");
            assert_ne!(id, key.seal([8; NONCE_BYTES], credential));
        }
        let name = key.stand_in("token:7");
        assert_eq!(key.stand_in("token:7"), name, "for all of its sessions");
        for other in [key.stand_in("token:8"), other.stand_in("token:7")] {
            assert_ne!(other, name);
        }
        let id = key.seal([9; NONCE_BYTES], "token:7");
        for (place, _) in id.as_str().char_indices() {
            let mut changed = id.as_str().to_owned();
            let to = if changed[place..].starts_with('A') { "B" } else { "A" };
            changed.replace_range(place..=place, to);
            let opened = changed.parse().ok().and_then(|id| key.open(&id));
            assert_eq!(opened, None, "{place}");
        }
        for id in ["s", "s1", "s0123456789abcdef0123456789abcdef", "x"] {
            assert_eq!(key.open(&id.parse().unwrap()), None, "{id}");
        }
        assert!(!format!("{key:?}").contains('1'), "{key:?}");
    }
}
