//! Passkeys (WebAuthn, level 2): what a browser sends about one is checked here, step by step as in
//! §7.1 and §7.2 of the standard. Who made the authenticator does not matter (attestation "none").

mod cbor;
mod challenge;

use ring::digest::{SHA256, digest};
use serde::Deserialize;
use url::{Host, Url};

use crate::public_key::PublicKey;
use cbor::{Reader, Value, get};

pub(crate) use challenge::{Challenges, Purpose, Spender};

/// The algorithms that are offered, in this order: EdDSA, ES256, RS256 (RFC 9053, RFC 8812).
pub(crate) const ALGORITHMS: [i32; 3] = [-8, -7, -257];
/// The longest id of a credential (§7.1, step 25 of level 3).
pub(crate) const MAX_CREDENTIAL: usize = 1023;

/// Length of a hash of an RP ID.
const HASH: usize = 32;
/// Length of the data of an authenticator up to its counter (§6.1).
const HEAD: usize = HASH + 1 + 4;
/// Length of the model of an authenticator, which is not looked at.
const AAGUID: usize = 16;

/// Flags in the data of an authenticator (§6.1).
const PRESENT: u8 = 1;
const VERIFIED: u8 = 1 << 2;
const ELIGIBLE: u8 = 1 << 3;
const BACKED_UP: u8 = 1 << 4;
const HAS_CREDENTIAL: u8 = 1 << 6;
const HAS_EXTENSIONS: u8 = 1 << 7;

/// The site that passkeys belong to (the RP). A browser offers a passkey to its own site only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Site {
    /// The host, which is the RP ID.
    pub(crate) id: String,
    /// The origin of the dashboard's pages.
    pub(crate) origin: String,
}

/// A reason why a server has no passkeys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoSite {
    /// Browsers make passkeys for domains only.
    #[error(
        "passkeys need a domain with HTTPS: set `signaling.public_url` to an `https` address with \
         a name"
    )]
    NoDomain,
}

impl Site {
    /// Returns the site under a URL, if browsers make passkeys for it: `https` and a domain, or
    /// this very machine.
    pub(crate) fn at(url: Option<&Url>) -> Result<Self, NoSite> {
        let url = url.ok_or(NoSite::NoDomain)?;
        let Some(Host::Domain(host)) = url.host() else { return Err(NoSite::NoDomain) };
        let is_local = host == "localhost" || host.ends_with(".localhost");
        if url.scheme() != "https" && !is_local {
            return Err(NoSite::NoDomain);
        }
        let origin = url.origin().ascii_serialization();
        Ok(Self { id: host.to_owned(), origin })
    }
}

/// A reason why what a browser has sent about a passkey does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Flaw {
    /// The data cannot be read.
    #[error("the browser sent something that is not a passkey")]
    Malformed,
    /// The answer belongs to another kind of request, or to a page inside another.
    #[error("the browser answered another request")]
    Type,
    /// The page is not one of this server.
    #[error("the passkey was used on a page of another address")]
    Origin,
    /// The passkey belongs to another site.
    #[error("the passkey belongs to another address")]
    Site,
    /// The request is not one of this server, or too old.
    #[error("this took too long; try again")]
    Challenge,
    /// The answer was used before.
    #[error("this answer was used before; try again")]
    Replay,
    /// The authenticator has not seen anybody, or has not checked who it is.
    #[error("the device did not check who you are: it needs a PIN, a fingerprint or a face")]
    NotVerified,
    /// The flags about copies contradict each other, or what they said before.
    #[error("the passkey contradicts itself")]
    Backup,
    /// The key is of none of the algorithms that were offered.
    #[error("the device made a kind of key that this server does not know")]
    Key,
    /// The passkey is that of another user.
    #[error("the passkey belongs to somebody else")]
    Owner,
    /// The signature is wrong.
    #[error("the signature of the passkey is wrong")]
    Signature,
}

/// A passkey that a browser has just made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewCredential {
    /// The number of the challenge that was answered.
    pub(crate) challenge: u64,
    pub(crate) id: Vec<u8>,
    /// The public key as the authenticator wrote it (COSE).
    pub(crate) key: Vec<u8>,
    pub(crate) counter: u32,
    /// True if it may be copied to other devices of the person, by its maker's cloud.
    pub(crate) is_synced: bool,
}

/// The stored part of a passkey that signs in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KnownCredential<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) is_synced: bool,
    /// The handle of its user.
    pub(crate) handle: &'a [u8],
}

/// A response to a request to sign in, as bytes.
#[derive(Debug, Clone)]
pub(crate) struct Assertion {
    pub(crate) client_data: Vec<u8>,
    pub(crate) authenticator_data: Vec<u8>,
    pub(crate) signature: Vec<u8>,
    pub(crate) handle: Vec<u8>,
}

/// The result of a sign-in that is right, except that the caller has to compare the counter with
/// the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asserted {
    /// The number of the challenge that was answered.
    pub(crate) challenge: u64,
    pub(crate) counter: u32,
}

/// Checks the response to a request for a new passkey (§7.1). `number_of` returns the number of a
/// challenge, if it is that of such a request.
pub(crate) fn register(
    site: &Site,
    client_data: &[u8],
    attestation: &[u8],
    number_of: impl Fn(&str) -> Option<u64>,
) -> Result<NewCredential, Flaw> {
    let challenge = check_client_data(site, client_data, "webauthn.create", number_of)?;
    let mut reader = Reader::new(attestation);
    let map = reader.map().filter(|_| reader.is_at_end()).ok_or(Flaw::Malformed)?;
    let Some(Value::Bytes(data)) = get(&map, Value::Text("authData")) else {
        return Err(Flaw::Malformed);
    };
    let head = Head::read(site, data)?;
    let (id, key) = head.credential(data).ok_or(Flaw::Malformed)?;
    public_key(key).ok_or(Flaw::Key)?;
    Ok(NewCredential {
        challenge,
        id: id.to_vec(),
        key: key.to_vec(),
        counter: head.counter,
        is_synced: head.flags & ELIGIBLE != 0,
    })
}

/// Checks the response to a request to sign in (§7.2). `number_of` returns the number of a
/// challenge, if it is that of such a request.
pub(crate) fn assert(
    site: &Site,
    known: KnownCredential<'_>,
    assertion: &Assertion,
    number_of: impl Fn(&str) -> Option<u64>,
) -> Result<Asserted, Flaw> {
    let Assertion { client_data, authenticator_data, signature, handle } = assertion;
    if handle != known.handle {
        return Err(Flaw::Owner);
    }
    let challenge = check_client_data(site, client_data, "webauthn.get", number_of)?;
    let head = Head::read(site, authenticator_data)?;
    if (head.flags & ELIGIBLE != 0) != known.is_synced {
        return Err(Flaw::Backup);
    }
    let key = public_key(known.key).ok_or(Flaw::Key)?;
    let hash = digest(&SHA256, client_data);
    let message = [authenticator_data.as_slice(), hash.as_ref()].concat();
    if !key.verifies(&message, signature) {
        return Err(Flaw::Signature);
    }
    Ok(Asserted { challenge, counter: head.counter })
}

/// The data that a browser writes about the request that it answers (§5.8.1).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClientData {
    #[serde(rename = "type")]
    kind: String,
    challenge: String,
    origin: String,
    #[serde(default)]
    cross_origin: bool,
    top_origin: Option<String>,
}

fn check_client_data(
    site: &Site,
    bytes: &[u8],
    kind: &str,
    number_of: impl Fn(&str) -> Option<u64>,
) -> Result<u64, Flaw> {
    let data: ClientData = serde_json::from_slice(bytes).map_err(|_| Flaw::Malformed)?;
    if data.kind != kind || data.cross_origin || data.top_origin.is_some() {
        return Err(Flaw::Type);
    }
    if data.origin != site.origin {
        return Err(Flaw::Origin);
    }
    number_of(&data.challenge).ok_or(Flaw::Challenge)
}

/// The beginning of the data of an authenticator (§6.1), once it is checked.
#[derive(Debug, Clone, Copy)]
struct Head {
    flags: u8,
    counter: u32,
}

impl Head {
    fn read(site: &Site, data: &[u8]) -> Result<Self, Flaw> {
        let (hash, rest) = data.split_at_checked(HASH).ok_or(Flaw::Malformed)?;
        let (&[flags, a, b, c, d], _) = rest.split_first_chunk().ok_or(Flaw::Malformed)?;
        if hash != digest(&SHA256, site.id.as_bytes()).as_ref() {
            return Err(Flaw::Site);
        }
        if flags & PRESENT == 0 || flags & VERIFIED == 0 {
            return Err(Flaw::NotVerified);
        }
        // What cannot be copied was not copied.
        if flags & BACKED_UP != 0 && flags & ELIGIBLE == 0 {
            return Err(Flaw::Backup);
        }
        Ok(Self { flags, counter: u32::from_be_bytes([a, b, c, d]) })
    }

    /// Returns the id and the public key of the credential that follows.
    fn credential(self, data: &[u8]) -> Option<(&[u8], &[u8])> {
        if self.flags & HAS_CREDENTIAL == 0 {
            return None;
        }
        let (length, rest) = data.get(HEAD + AAGUID..)?.split_first_chunk()?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (id, rest) = rest.split_at_checked(length)?;
        if id.is_empty() || id.len() > MAX_CREDENTIAL {
            return None;
        }
        let mut reader = Reader::new(rest);
        reader.map()?;
        let key = &rest[..rest.len() - reader.left()];
        if self.flags & HAS_EXTENSIONS != 0 {
            reader.map()?;
        }
        reader.is_at_end().then_some((id, key))
    }
}

/// Reads a key in the form of COSE (RFC 9052 §7, RFC 9053 §7, RFC 8230 §4).
fn public_key(bytes: &[u8]) -> Option<PublicKey> {
    const KIND: Value<'_> = Value::Int(1);
    const ALGORITHM: Value<'_> = Value::Int(3);
    const CURVE_OR_N: Value<'_> = Value::Int(-1);
    const X_OR_E: Value<'_> = Value::Int(-2);
    const Y: Value<'_> = Value::Int(-3);
    let mut reader = Reader::new(bytes);
    let map = reader.map().filter(|_| reader.is_at_end())?;
    let int = |key| match get(&map, key)? {
        Value::Int(number) => Some(number),
        Value::Bytes(_) | Value::Text(_) | Value::Other => None,
    };
    let bytes = |key| match get(&map, key)? {
        Value::Bytes(bytes) => Some(bytes),
        Value::Int(_) | Value::Text(_) | Value::Other => None,
    };
    match (int(KIND)?, int(ALGORITHM)?) {
        (1, -8) if int(CURVE_OR_N)? == 6 => PublicKey::ed25519(bytes(X_OR_E)?),
        (2, -7) if int(CURVE_OR_N)? == 1 => PublicKey::p256(bytes(X_OR_E)?, bytes(Y)?),
        (3, -257) => PublicKey::rsa(bytes(CURVE_OR_N)?, bytes(X_OR_E)?),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
