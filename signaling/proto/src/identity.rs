//! Identity of gateways.
//!
//! A gateway is identified by its Ed25519 key. Its id is a hash of the public key, so an id is
//! useless without the private key. A gateway first requests a nonce (`portholeChallenge`) and then
//! signs it, together with the origin of the server that it has dialled: with the claim code to
//! enrol (`portholeEnroll`, once), with its id to connect (`register`). The nonce is what makes the
//! signature fresh, because the clock of a gateway may be wrong by months.

use sha2::{Digest, Sha256};

use crate::{GatewayId, InvalidId};

/// Bytes of the key's hash in an id: 80 bits, which are 16 characters.
const ID_HASH_BYTES: usize = 10;

/// The base32 alphabet of RFC 4648 §6, in lower case.
const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// Returns the id of the gateway with this public key: `gw-` and 16 characters.
///
/// # Panics
/// Never: all characters of base32 are valid in an id.
pub fn gateway_id(public_key: &[u8; 32]) -> GatewayId {
    let hash = Sha256::digest(public_key);
    let mut id = String::from("gw-");
    let (mut bits, mut count) = (0u32, 0);
    for byte in hash.iter().take(ID_HASH_BYTES) {
        bits = bits << 8 | u32::from(*byte);
        count += 8;
        while count >= 5 {
            count -= 5;
            id.push(char::from(BASE32[(bits >> count & 31) as usize]));
        }
    }
    id.parse().expect("base32 is made of the characters of an id")
}

/// Returns the message that a gateway signs to enrol. It is bound to the nonce of one WebSocket, to
/// the claim code and to the origin of the server; gateways of the release before name no origin.
pub fn enroll_message(origin: Option<&str>, nonce: &str, claim: &str) -> Vec<u8> {
    match origin {
        Some(origin) => format!("porthole-enroll-v2\n{origin}\n{nonce}\n{claim}").into_bytes(),
        None => format!("porthole-enroll-v1\n{nonce}\n{claim}").into_bytes(),
    }
}

/// Returns the message that a gateway signs to connect. It is bound to the nonce of one WebSocket
/// and to the origin of the server; gateways of the release before name no origin.
pub fn register_message(origin: Option<&str>, nonce: &str, id: &GatewayId) -> Vec<u8> {
    match origin {
        Some(origin) => format!("porthole-register-v2\n{origin}\n{nonce}\n{id}").into_bytes(),
        None => format!("porthole-register-v1\n{nonce}\n{id}").into_bytes(),
    }
}

/// The access token of a gateway in `register`: `pgw2.SIGNATURE.ID@ORIGIN`, where the signature is
/// over [`register_message`], in base64url without padding. That of a gateway of the release
/// before is `pgw1.ID.SIGNATURE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayToken {
    /// The gateway that the token claims to come from.
    pub id: GatewayId,
    /// The origin of the server for which the gateway has signed.
    pub origin: Option<String>,
    /// The signature that proves it, in base64url without padding.
    pub signature: String,
}

impl GatewayToken {
    const PREFIX: &'static str = "pgw2.";
    const OLD_PREFIX: &'static str = "pgw1.";

    /// Reads a token. Returns `None` if it does not have the form of a gateway's token.
    ///
    /// # Errors
    /// Fails if the token has an invalid id.
    pub fn parse(text: &str) -> Option<Result<Self, InvalidId>> {
        let (id, origin, signature) = match text.strip_prefix(Self::PREFIX) {
            Some(rest) => {
                let (signature, rest) = rest.split_once('.')?;
                let (id, origin) = rest.split_once('@')?;
                (id, Some(origin.to_owned()), signature)
            }
            None => {
                let (id, signature) = text.strip_prefix(Self::OLD_PREFIX)?.rsplit_once('.')?;
                (id, None, signature)
            }
        };
        Some(id.parse().map(|id| Self { id, origin, signature: signature.to_owned() }))
    }
}

impl std::fmt::Display for GatewayToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.origin {
            Some(origin) => write!(f, "{}{}.{}@{origin}", Self::PREFIX, self.signature, self.id),
            None => write!(f, "{}{}.{}", Self::OLD_PREFIX, self.id, self.signature),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_the_hash_of_the_key() {
        assert_eq!(gateway_id(&[0; 32]).as_str(), "gw-mzuhvlpymk6xo3ep");
        assert_ne!(gateway_id(&[0; 32]), gateway_id(&[1; 32]));
    }

    #[test]
    fn a_token_is_read_as_it_was_written() {
        for origin in [None, Some("https://cameras.example.org".to_owned())] {
            let (id, signature) = (gateway_id(&[7; 32]), "abc_-".into());
            let token = GatewayToken { id, origin, signature };
            assert_eq!(GatewayToken::parse(&token.to_string()), Some(Ok(token)));
        }
        for other in ["", "pgw1", "pgw1.", "phu1.x.y", "pgw1.x", "pgw2.x", "pgw2.x.y"] {
            assert_eq!(GatewayToken::parse(other), None, "{other}");
        }
        assert!(GatewayToken::parse("pgw1./.x").unwrap().is_err());
    }
}
