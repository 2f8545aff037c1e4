//! Tests with an authenticator in software, and a table of altered responses.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, Signature,
};

use super::*;

const ID: &[u8] = b"credential of ann";
const HANDLE: &[u8] = b"handle of ann";
const CHALLENGE: &str = "Y2hhbGxlbmdl";
const NUMBER: u64 = 7;
const ORDINARY: u8 = PRESENT | VERIFIED;

fn site() -> Site {
    Site { id: "cams.example".into(), origin: "https://cams.example".into() }
}

fn number_of(challenge: &str) -> Option<u64> {
    (challenge == CHALLENGE).then_some(NUMBER)
}

fn client_data(kind: &str, challenge: &str, origin: &str, rest: &str) -> Vec<u8> {
    format!(r#"{{"type":"{kind}","challenge":"{challenge}","origin":"{origin}"{rest}}}"#)
        .into_bytes()
}

fn head(site: &str, flags: u8, counter: u32) -> Vec<u8> {
    let hash = digest(&SHA256, site.as_bytes());
    [hash.as_ref(), &[flags], &counter.to_be_bytes()].concat()
}

/// Writes bytes of less than 256 as CBOR.
fn cbor_bytes(bytes: &[u8]) -> Vec<u8> {
    [&[0x58, u8::try_from(bytes.len()).unwrap()], bytes].concat()
}

enum Signer {
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl Signer {
    fn p256() -> Self {
        let (random, algorithm) = (SystemRandom::new(), &ECDSA_P256_SHA256_ASN1_SIGNING);
        let key = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        Self::P256(EcdsaKeyPair::from_pkcs8(algorithm, key.as_ref(), &random).unwrap())
    }

    fn ed25519() -> Self {
        let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self::Ed25519(Ed25519KeyPair::from_pkcs8(key.as_ref()).unwrap())
    }

    fn cose(&self) -> Vec<u8> {
        match self {
            Self::P256(key) => {
                let point = key.public_key().as_ref();
                // {1: 2, 3: -7, -1: 1, -2: x, -3: y}
                let start = [0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21];
                [&start, &*cbor_bytes(&point[1..33]), &[0x22], &*cbor_bytes(&point[33..])].concat()
            }
            Self::Ed25519(key) => {
                // {1: 1, 3: -8, -1: 6, -2: x}
                let start = [0xa4, 0x01, 0x01, 0x03, 0x27, 0x20, 0x06, 0x21];
                [&start[..], &cbor_bytes(key.public_key().as_ref())].concat()
            }
        }
    }

    fn sign(&self, message: &[u8]) -> Signature {
        match self {
            Self::P256(key) => key.sign(&SystemRandom::new(), message).unwrap(),
            Self::Ed25519(key) => key.sign(message),
        }
    }

    fn assertion(&self, client_data: Vec<u8>, authenticator_data: Vec<u8>) -> Assertion {
        let hash = digest(&SHA256, &client_data);
        let signature = self.sign(&[&*authenticator_data, hash.as_ref()].concat());
        let signature = signature.as_ref().to_vec();
        Assertion { client_data, authenticator_data, signature, handle: HANDLE.to_vec() }
    }
}

fn attested(flags: u8, id: &[u8], key: &[u8], rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(id.len()).unwrap().to_be_bytes();
    [&*head("cams.example", flags, 1), &[0; AAGUID], &length, id, key, rest].concat()
}

/// Returns an attestation: `{"fmt": "none", "attStmt": {}, "authData": …}`.
fn attestation(data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).unwrap().to_be_bytes();
    let start = b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x59";
    [start, &length[..], data].concat()
}

#[test]
fn a_passkey_that_was_made_signs_in() {
    for signer in [Signer::p256(), Signer::ed25519()] {
        let made = client_data("webauthn.create", CHALLENGE, &site().origin, "");
        let flags = ORDINARY | HAS_CREDENTIAL | ELIGIBLE | BACKED_UP;
        let data = attested(flags, ID, &signer.cose(), b"");
        let new = register(&site(), &made, &attestation(&data), number_of).unwrap();
        let key = signer.cose();
        let expected = NewCredential {
            challenge: NUMBER,
            id: ID.to_vec(),
            key: key.clone(),
            counter: 1,
            is_synced: true,
        };
        assert_eq!(new, expected);
        let used = client_data("webauthn.get", CHALLENGE, &site().origin, r#","more":[1]"#);
        let assertion = signer.assertion(used, head("cams.example", ORDINARY | ELIGIBLE, 2));
        let known = KnownCredential { key: &key, is_synced: true, handle: HANDLE };
        let expected = Asserted { challenge: NUMBER, counter: 2 };
        assert_eq!(assert(&site(), known, &assertion, number_of), Ok(expected));
    }
}

#[test]
fn a_signature_of_rsa_counts() {
    // Made by OpenSSL 3.
    let n = "lkoF3SR9GOTTGqcRAh1lj170uymk9USA4pjixG3K_XYFrW3ceBPChaaj-PM1Xg5PsHukNonqt-rlekbfnfY_\
        Kml6rYPdanpONLREWolIYS0BvIjgbU7bCpXk1WNPIPmlC4wtdlrCo2nKH2jzTVCdYdMjl_pyvcBbfL7pcENUPQd_\
        Saz5uukOxBnfiUDDvY-CPEOEpVa-sByHSTXqexWYdo75LaSeLhjcyB3YgBNHdoVRdgzaiXK5nsKtPnBw0UEvrRqJ\
        Mj68bVKjvhwSbHwThreUMZUdNNHSOolk3GaQsMjBl8L3i04xL3AX2n3EDMWUunFDNXrNNQ7lKveFCG7lUw";
    let signature = "WMJOMxmpaAk_uCHlOygeI7RRJaOh_ZIts_TxI45Zz-GHa-10b2RxJxUHADpChySWrAil1FGVKyki\
        IMb8G4mXk0BkATCq4Mp5MziH9nnLrTMwqn53i1rofb7cLfKeYkcZBlY7N3UP68C1FFvA5hVHamt6-pS0YZPC7A-l\
        pUxFIOIJUiBfd5lLSLLOmAFbqpmNz_I0QLXonPLlsmSk020QwXKufU78EO81Xh9YR2lRkM7TtxEO5cL50Si1B-zd\
        10_T9h8OpTjk5hjno5Bzs5blQaxhhFwyjkCtdx6RPC8zoaQD2vrGCUfkT_StgRj6UOhg_fJsexbOuHxg7FSVk1dv\
        qg";
    let n = URL_SAFE_NO_PAD.decode(n).unwrap();
    // {1: 3, 3: -257, -1: n, -2: 65537}
    let start = [0xa4, 0x01, 0x03, 0x03, 0x39, 0x01, 0x00, 0x20, 0x59, 0x01, 0x00];
    let key = [&start, &*n, &[0x21, 0x43, 1, 0, 1]].concat();
    let mut assertion = Assertion {
        client_data: client_data("webauthn.get", CHALLENGE, &site().origin, ""),
        authenticator_data: head("cams.example", ORDINARY, 7),
        signature: URL_SAFE_NO_PAD.decode(signature).unwrap(),
        handle: HANDLE.to_vec(),
    };
    let known = KnownCredential { key: &key, is_synced: false, handle: HANDLE };
    let expected = Asserted { challenge: NUMBER, counter: 7 };
    assert_eq!(assert(&site(), known, &assertion, number_of), Ok(expected));
    assertion.authenticator_data = head("cams.example", ORDINARY, 8);
    assert_eq!(assert(&site(), known, &assertion, number_of), Err(Flaw::Signature));
}

/// Changes what is signed, or the response after it was signed.
type Change = fn(&mut Assertion);

#[test]
fn an_altered_response_does_not_sign_in() {
    let signer = Signer::p256();
    let key = signer.cose();
    let good = (
        client_data("webauthn.get", CHALLENGE, &site().origin, ""),
        head("cams.example", ORDINARY, 1),
    );
    let data = |kind: &str, challenge: &str, origin: &str, rest: &str| {
        (client_data(kind, challenge, origin, rest), good.1.clone())
    };
    let flags = |flags| (good.0.clone(), head("cams.example", flags, 1));
    let origin = site().origin;
    let (get, framed) = ("webauthn.get", r#","topOrigin":"https://evil.example""#);
    // Signed by the right key.
    for (what, (client_data, authenticator_data), flaw) in [
        ("kind", data("webauthn.create", CHALLENGE, &origin, ""), Flaw::Type),
        ("challenge", data(get, "b3RoZXI", &origin, ""), Flaw::Challenge),
        ("origin", data(get, CHALLENGE, "https://evil.example", ""), Flaw::Origin),
        ("port", data(get, CHALLENGE, "https://cams.example:8443", ""), Flaw::Origin),
        ("scheme", data(get, CHALLENGE, "http://cams.example", ""), Flaw::Origin),
        ("below", data(get, CHALLENGE, "https://a.cams.example", ""), Flaw::Origin),
        ("frame", data(get, CHALLENGE, &origin, r#","crossOrigin":true"#), Flaw::Type),
        ("page around", data(get, CHALLENGE, &origin, framed), Flaw::Type),
        ("twice", data(get, CHALLENGE, &origin, r#","type":"webauthn.get""#), Flaw::Malformed),
        ("no JSON", (b"{".to_vec(), good.1.clone()), Flaw::Malformed),
        ("site", (good.0.clone(), head("evil.example", ORDINARY, 1)), Flaw::Site),
        ("nobody there", flags(VERIFIED), Flaw::NotVerified),
        ("nobody verified", flags(PRESENT), Flaw::NotVerified),
        ("copied", flags(ORDINARY | BACKED_UP), Flaw::Backup),
        ("may be copied", flags(ORDINARY | ELIGIBLE), Flaw::Backup),
        ("short", (good.0.clone(), good.1[..HEAD - 1].to_vec()), Flaw::Malformed),
        ("empty", (good.0.clone(), Vec::new()), Flaw::Malformed),
    ] {
        let assertion = signer.assertion(client_data, authenticator_data);
        let known = KnownCredential { key: &key, is_synced: false, handle: HANDLE };
        assert_eq!(assert(&site(), known, &assertion, number_of), Err(flaw), "{what}");
    }
    // Altered afterwards.
    let changes: [(&str, Change, Flaw); 6] = [
        ("signature", |one| one.signature[9] ^= 1, Flaw::Signature),
        ("no signature", |one| one.signature.clear(), Flaw::Signature),
        ("counter", |one| one.authenticator_data[HEAD - 1] ^= 1, Flaw::Signature),
        ("space", |one| one.client_data.push(b' '), Flaw::Signature),
        ("handle of another", |one| one.handle = b"handle of bob".to_vec(), Flaw::Owner),
        ("no handle", |one| one.handle.clear(), Flaw::Owner),
    ];
    for (what, change, flaw) in changes {
        let mut assertion = signer.assertion(good.0.clone(), good.1.clone());
        let known = KnownCredential { key: &key, is_synced: false, handle: HANDLE };
        assert!(assert(&site(), known, &assertion, number_of).is_ok());
        change(&mut assertion);
        assert_eq!(assert(&site(), known, &assertion, number_of), Err(flaw), "{what}");
    }
    let other = Signer::p256().cose();
    let assertion = signer.assertion(good.0, good.1);
    for (what, key, flaw) in [
        ("another key", other.as_slice(), Flaw::Signature),
        ("a key of another kind", &Signer::ed25519().cose(), Flaw::Signature),
        ("no key", b"", Flaw::Key),
    ] {
        let known = KnownCredential { key, is_synced: false, handle: HANDLE };
        assert_eq!(assert(&site(), known, &assertion, number_of), Err(flaw), "{what}");
    }
}

#[test]
fn an_altered_registration_is_refused() {
    let key = Signer::p256().cose();
    let flags = ORDINARY | HAS_CREDENTIAL;
    let good = attested(flags, ID, &key, b"");
    let mut alien = key.clone();
    // ES384 in place of ES256.
    alien[4] = 0x38;
    alien.insert(5, 0x22);
    let other_site = [&head("evil.example", flags, 1), &good[HEAD..]].concat();
    let long = [b'a'; MAX_CREDENTIAL + 1];
    let extensions = attested(flags | HAS_EXTENSIONS, ID, &key, b"\xa1\x61a\xf5");
    let made = |origin: &str| client_data("webauthn.create", CHALLENGE, origin, "");
    let (ours, used) = (made(&site().origin), client_data("webauthn.get", CHALLENGE, "", ""));
    for (what, client_data, attestation, flaw) in [
        ("as it is", &ours, attestation(&good), None),
        ("extensions", &ours, attestation(&extensions), None),
        ("kind", &used, attestation(&good), Some(Flaw::Type)),
        ("origin", &made("https://evil.example"), attestation(&good), Some(Flaw::Origin)),
        ("site", &ours, attestation(&other_site), Some(Flaw::Site)),
        ("algorithm", &ours, attestation(&attested(flags, ID, &alien, b"")), Some(Flaw::Key)),
        ("id", &ours, attestation(&attested(flags, b"", &key, b"")), Some(Flaw::Malformed)),
        ("long", &ours, attestation(&attested(flags, &long, &key, b"")), Some(Flaw::Malformed)),
        ("rest", &ours, attestation(&attested(flags, ID, &key, b"a")), Some(Flaw::Malformed)),
        ("cut", &ours, attestation(&good[..good.len() - 1]), Some(Flaw::Malformed)),
        (
            "no credential",
            &ours,
            attestation(&attested(ORDINARY, ID, &key, b"")),
            Some(Flaw::Malformed),
        ),
        (
            "nobody verified",
            &ours,
            attestation(&attested(PRESENT | HAS_CREDENTIAL, ID, &key, b"")),
            Some(Flaw::NotVerified),
        ),
        ("more", &ours, [&*attestation(&good), b"a"].concat(), Some(Flaw::Malformed)),
        ("nothing", &ours, Vec::new(), Some(Flaw::Malformed)),
    ] {
        let found = register(&site(), client_data, &attestation, number_of);
        assert_eq!(found.err(), flaw, "{what}");
    }
    let replayed = register(&site(), &ours, &attestation(&good), |_| None);
    assert_eq!(replayed, Err(Flaw::Challenge));
}

#[test]
fn passkeys_are_for_domains_with_https_and_this_machine() {
    for (url, expected) in [
        ("https://cams.example", Some(("cams.example", "https://cams.example"))),
        ("https://cams.example:8443/a", Some(("cams.example", "https://cams.example:8443"))),
        ("http://localhost:8080", Some(("localhost", "http://localhost:8080"))),
        ("http://a.localhost", Some(("a.localhost", "http://a.localhost"))),
        ("http://cams.example", None),
        ("http://127.0.0.1:8080", None),
        ("https://192.0.2.1", None),
        ("https://[2001:db8::1]", None),
    ] {
        let found = Site::at(Some(&Url::parse(url).unwrap()));
        let expected = expected.map(|(id, origin)| Site { id: id.into(), origin: origin.into() });
        assert_eq!(found.ok(), expected, "{url}");
    }
    assert_eq!(Site::at(None), Err(NoSite::NoDomain));
}
