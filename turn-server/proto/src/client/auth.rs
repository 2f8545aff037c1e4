//! The answer to a challenge: long-term credentials with the algorithms that the server offers
//! (RFC 8489 §9.2.5).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::stun::{Integrity, LongTermKey, Message, MessageWriter, PasswordAlgorithm, attribute};

/// The beginning of nonces that announce security features (RFC 8489 §9.2).
const COOKIE: &[u8] = b"obMatJos2";

/// Characters of base64 with the 24 bits of these features.
const FEATURES_LEN: usize = 4;

/// Realm and nonce of the server's last challenge, and the key that belongs to them.
#[derive(Debug)]
pub(super) struct Auth {
    realm: String,
    nonce: Vec<u8>,
    pub(super) key: LongTermKey,
    /// The algorithms that the server offers, as it has written them, and ours.
    algorithms: Option<(Vec<u8>, PasswordAlgorithm)>,
}

impl Auth {
    /// Returns the answer to a challenge. `None` if it lacks something, offers no algorithm that we
    /// know, or announces algorithms and has none: somebody on the way has removed them, so that a
    /// weaker one would be used.
    pub(super) fn answer(challenge: &Message<'_>, username: &str, password: &str) -> Option<Self> {
        let realm = challenge.text(attribute::REALM).ok().flatten()?;
        let nonce = challenge.first(attribute::NONCE)?.value;
        let algorithms = if announces_algorithms(nonce) {
            let offered = challenge.first(attribute::PASSWORD_ALGORITHMS)?.value;
            Some((offered.to_vec(), best_of(offered)?))
        } else {
            None
        };
        let (algorithm, integrity) = match &algorithms {
            Some((_, algorithm)) => (*algorithm, Integrity::Sha256),
            None => (PasswordAlgorithm::Md5, Integrity::Sha1),
        };
        let key = LongTermKey::new(algorithm, [username, realm, password], integrity);
        Some(Self { realm: realm.to_owned(), nonce: nonce.to_vec(), key, algorithms })
    }

    /// Signs a request.
    pub(super) fn sign(&self, writer: &mut MessageWriter<'_>, username: &str) {
        writer.attribute(attribute::USERNAME, username.as_bytes());
        writer.attribute(attribute::REALM, self.realm.as_bytes());
        writer.attribute(attribute::NONCE, &self.nonce);
        if let Some((offered, algorithm)) = &self.algorithms {
            // Repeated, so that the server sees if they were changed on the way.
            writer.attribute(attribute::PASSWORD_ALGORITHMS, offered);
            writer.attribute(attribute::PASSWORD_ALGORITHM, &algorithm.encode());
        }
        writer.integrity(&self.key);
    }
}

/// Returns true if the nonce announces password algorithms. The RFCs number the bits from either
/// end, and so do servers.
fn announces_algorithms(nonce: &[u8]) -> bool {
    let features = nonce.strip_prefix(COOKIE).and_then(|rest| rest.get(..FEATURES_LEN));
    let bits = features.and_then(|features| STANDARD.decode(features).ok());
    matches!(bits.as_deref(), Some([first, _, last]) if first & 0x80 != 0 || last & 0x01 != 0)
}

/// Returns the best algorithm of a list that we know, SHA-256 before MD5.
fn best_of(offered: &[u8]) -> Option<PasswordAlgorithm> {
    let (mut rest, mut has_md5) = (offered, false);
    while let Some((head, after)) = rest.split_at_checked(4) {
        match PasswordAlgorithm::decode(head) {
            Some(PasswordAlgorithm::Sha256) => return Some(PasswordAlgorithm::Sha256),
            Some(PasswordAlgorithm::Md5) => has_md5 = true,
            None => {}
        }
        let &[_, _, high, low] = head else { return None };
        let parameters = usize::from(u16::from_be_bytes([high, low])).next_multiple_of(4);
        rest = after.get(parameters..).unwrap_or_default();
    }
    has_md5.then_some(PasswordAlgorithm::Md5)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stun::{Class, ErrorCode, Method, TransactionId};

    const BOTH: &[u8] = &[0, 2, 0, 0, 0, 1, 0, 0];

    fn challenge(nonce: &[u8], algorithms: Option<&[u8]>) -> Vec<u8> {
        let mut out = Vec::new();
        let id = TransactionId([1; 12]);
        let mut writer = MessageWriter::new(&mut out, Class::Error, Method::Allocate, id);
        writer.error_code(ErrorCode::UNAUTHENTICATED);
        writer.attribute(attribute::REALM, b"example.org").attribute(attribute::NONCE, nonce);
        if let Some(algorithms) = algorithms {
            writer.attribute(attribute::PASSWORD_ALGORITHMS, algorithms);
        }
        writer.finish().unwrap();
        out
    }

    #[test]
    fn the_best_algorithm_is_used_and_none_where_the_list_was_removed() {
        use PasswordAlgorithm::{Md5, Sha256};
        let (plain, signed) =
            (Some((Md5, Integrity::Sha1)), |algorithm| Some((algorithm, Integrity::Sha256)));
        for (name, nonce, algorithms, expected) in [
            ("a server of RFC 5389", &b"nonce"[..], None, plain),
            ("a cookie without features", b"obMatJos2AAAAnonce", None, plain),
            ("a cookie that is cut", b"obMatJos2gA", None, plain),
            ("a cookie that is no base64", b"obMatJos2????nonce", None, plain),
            ("bits from the left", b"obMatJos2gAAAnonce", Some(BOTH), signed(Sha256)),
            ("bits from the right", b"obMatJos2AAABnonce", Some(BOTH), signed(Sha256)),
            ("username anonymity only", b"obMatJos2QAAAnonce", None, plain),
            ("MD5 first", b"obMatJos2gAAA", Some(&[0, 1, 0, 0, 0, 2, 0, 0]), signed(Sha256)),
            ("MD5 only", b"obMatJos2gAAA", Some(&[0, 1, 0, 0]), signed(Md5)),
            (
                "an unknown one with parameters first",
                b"obMatJos2gAAA",
                Some(&[0, 9, 0, 3, 1, 2, 3, 0, 0, 2, 0, 0]),
                signed(Sha256),
            ),
            ("bid down", b"obMatJos2gAAAnonce", None, None),
            ("unknown ones only", b"obMatJos2gAAA", Some(&[0, 9, 0, 0]), None),
            ("an empty list", b"obMatJos2gAAA", Some(&[]), None),
            ("a list that is cut", b"obMatJos2gAAA", Some(&[0, 9, 0, 200, 0]), None),
        ] {
            let bytes = challenge(nonce, algorithms);
            let auth = Auth::answer(&Message::parse(&bytes).unwrap(), "anna", "secret");
            let key = expected.map(|(algorithm, integrity)| {
                LongTermKey::new(algorithm, ["anna", "example.org", "secret"], integrity)
            });
            assert_eq!(auth.as_ref().map(|auth| &auth.key), key.as_ref(), "{name}");
            let Some(auth) = auth else { continue };
            let mut out = Vec::new();
            let id = TransactionId([2; 12]);
            let mut writer = MessageWriter::new(&mut out, Class::Request, Method::Allocate, id);
            auth.sign(&mut writer, "anna");
            writer.finish().unwrap();
            let request = Message::parse(&out).unwrap();
            assert!(request.has_valid_integrity(&auth.key), "{name}");
            let is_offered = auth.key.integrity() == Integrity::Sha256;
            let repeated = request.first(attribute::PASSWORD_ALGORITHMS).map(|one| one.value);
            assert_eq!(repeated, algorithms.filter(|_| is_offered), "{name}");
        }
    }
}
