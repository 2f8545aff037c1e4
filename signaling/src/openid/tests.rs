//! Tests with a provider in software, and a table of forged tokens.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
};
use serde_json::{Value, json};

use super::discovery::Discovery;
use super::flow::Seal;
use super::id_token::{Claims, Expected, check};
use super::jwks::{Algorithm, Keys};
use super::provider::{Kept, add_claims};
use super::rules::{admit, lacks_claims};
use super::*;
use crate::config::{Join, OpenidConnect, ProviderError};

const ISSUER: &str = "https://id.example/realm";
const CLIENT: &str = "porthole";
const NOW_S: u64 = 1_800_000_000;

enum Signer {
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
}

impl Signer {
    fn es256() -> Self {
        let (random, algorithm) = (SystemRandom::new(), &ECDSA_P256_SHA256_FIXED_SIGNING);
        let key = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        Self::Es256(EcdsaKeyPair::from_pkcs8(algorithm, key.as_ref(), &random).unwrap())
    }

    fn eddsa() -> Self {
        let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self::EdDsa(Ed25519KeyPair::from_pkcs8(key.as_ref()).unwrap())
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Es256(_) => "ES256",
            Self::EdDsa(_) => "EdDSA",
        }
    }

    fn jwk(&self, id: &str) -> Value {
        match self {
            Self::Es256(key) => {
                let (x, y) = key.public_key().as_ref()[1..].split_at(32);
                json!({"kty": "EC", "crv": "P-256", "kid": id, "use": "sig",
                       "x": text(x), "y": text(y)})
            }
            Self::EdDsa(key) => {
                json!({"kty": "OKP", "crv": "Ed25519", "kid": id, "alg": "EdDSA",
                       "x": text(key.public_key().as_ref())})
            }
        }
    }

    fn sign(&self, message: &str) -> Vec<u8> {
        match self {
            Self::Es256(key) => {
                let signature = key.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
                signature.as_ref().to_vec()
            }
            Self::EdDsa(key) => key.sign(message.as_bytes()).as_ref().to_vec(),
        }
    }

    fn token(&self, head: &Value, claims: &Value) -> String {
        let signed = format!("{}.{}", text(head.to_string()), text(claims.to_string()));
        let signature = self.sign(&signed);
        format!("{signed}.{}", text(&signature))
    }
}

fn text(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn keys(all: &[Value]) -> Keys {
    Keys::read(json!({"keys": all}).to_string().as_bytes()).unwrap()
}

fn claims() -> Value {
    json!({
        "iss": ISSUER, "aud": CLIENT, "sub": "248289761001", "nonce": "n-0S6",
        "iat": NOW_S, "exp": NOW_S + 300,
    })
}

fn expected() -> Expected<'static> {
    Expected {
        issuer: ISSUER,
        client_id: CLIENT,
        nonce: "n-0S6",
        algorithms: &Algorithm::ALL,
        begun_s: NOW_S - 60,
        now_s: NOW_S,
    }
}

fn checked(token: &str, keys: &Keys) -> Result<String, Flaw> {
    check(token, keys, &expected()).map(|claims| claims.subject)
}

/// Changes the head and the claims of a token before it is signed.
type Change = fn(&mut Value, &mut Value);

#[test]
fn a_token_counts_if_it_is_for_this_request_and_signed_by_the_provider() {
    let table: &[(&str, Change)] = &[
        ("as it is", |_, _| {}),
        ("without the name of a key", |head, _| head["kid"] = Value::Null),
        ("of a kind", |head, _| head["typ"] = json!("jwt")),
        ("for several, asked by us", |_, claims| {
            claims["aud"] = json!([CLIENT, "other"]);
            claims["azp"] = json!(CLIENT);
        }),
        ("for us in a list", |_, claims| claims["aud"] = json!([CLIENT])),
        ("just expired", |_, claims| claims["exp"] = json!(NOW_S - 119)),
        ("of a clock ahead", |_, claims| claims["iat"] = json!(NOW_S + 119)),
        ("of a clock behind", |_, claims| claims["iat"] = json!(NOW_S - 179)),
        ("with a fraction", |_, claims| claims["iat"] = json!(1_800_000_000.5)),
    ];
    for signer in [Signer::es256(), Signer::eddsa()] {
        let keys = keys(&[signer.jwk("k1")]);
        for (what, change) in table {
            let mut parts = (json!({"alg": signer.name(), "kid": "k1"}), claims());
            change(&mut parts.0, &mut parts.1);
            let token = signer.token(&parts.0, &parts.1);
            assert_eq!(checked(&token, &keys).as_deref(), Ok("248289761001"), "{what}");
        }
    }
}

#[test]
fn a_forged_token_signs_nobody_in() {
    let table: &[(&str, Change, Flaw)] = &[
        ("without a signature", |head, _| head["alg"] = json!("none"), Flaw::Algorithm),
        ("with a shared secret", |head, _| head["alg"] = json!("HS256"), Flaw::Algorithm),
        ("of another algorithm", |head, _| head["alg"] = json!("RS256"), Flaw::UnknownKey),
        ("of an unknown algorithm", |head, _| head["alg"] = json!("ES512"), Flaw::Algorithm),
        ("without an algorithm", |head, _| head["alg"] = Value::Null, Flaw::Malformed),
        ("with an extension", |head, _| head["crit"] = json!(["b64"]), Flaw::Malformed),
        ("of another kind", |head, _| head["typ"] = json!("at+jwt"), Flaw::Malformed),
        ("of an unknown key", |head, _| head["kid"] = json!("k2"), Flaw::UnknownKey),
        ("of an encryption key", |head, _| head["kid"] = json!("enc"), Flaw::UnknownKey),
        ("of another issuer", |_, c| c["iss"] = json!("https://evil.example"), Flaw::Issuer),
        ("of an issuer with a slash", |_, c| c["iss"] = json!(format!("{ISSUER}/")), Flaw::Issuer),
        ("without an issuer", |_, c| c["iss"] = Value::Null, Flaw::Issuer),
        ("for another program", |_, c| c["aud"] = json!("other"), Flaw::Audience),
        ("for several others", |_, c| c["aud"] = json!(["other", "more"]), Flaw::Audience),
        ("for nobody", |_, c| c["aud"] = json!([]), Flaw::Audience),
        ("for us and another", |_, c| c["aud"] = json!([CLIENT, "other"]), Flaw::Audience),
        ("asked by another", |_, c| c["azp"] = json!("other"), Flaw::Audience),
        ("without an audience", |_, c| c["aud"] = Value::Null, Flaw::Audience),
        ("expired", |_, c| c["exp"] = json!(NOW_S - 120), Flaw::Time),
        ("without an end", |_, c| c["exp"] = Value::Null, Flaw::Time),
        ("with an end in words", |_, c| c["exp"] = json!("9999999999"), Flaw::Time),
        ("from the future", |_, c| c["iat"] = json!(NOW_S + 121), Flaw::Time),
        ("from before the request", |_, c| c["iat"] = json!(NOW_S - 181), Flaw::Time),
        ("without a time", |_, c| c["iat"] = Value::Null, Flaw::Time),
        ("not valid yet", |_, c| c["nbf"] = json!(NOW_S + 121), Flaw::Time),
        ("of another request", |_, c| c["nonce"] = json!("other"), Flaw::Nonce),
        ("of no request", |_, c| c["nonce"] = Value::Null, Flaw::Nonce),
        ("without an account", |_, c| c["sub"] = Value::Null, Flaw::Subject),
        ("with an empty account", |_, c| c["sub"] = json!(""), Flaw::Subject),
        ("with a long account", |_, c| c["sub"] = json!("a".repeat(256)), Flaw::Subject),
        ("with a line in it", |_, c| c["sub"] = json!("a\nb"), Flaw::Subject),
        ("of a list", |_, c| *c = json!([]), Flaw::Malformed),
    ];
    let signer = Signer::es256();
    let mut encryption = signer.jwk("enc");
    encryption["use"] = json!("enc");
    let keys = keys(&[signer.jwk("k1"), encryption]);
    for (what, change, flaw) in table {
        let mut parts = (json!({"alg": "ES256", "kid": "k1"}), claims());
        change(&mut parts.0, &mut parts.1);
        let token = signer.token(&parts.0, &parts.1);
        assert_eq!(checked(&token, &keys), Err(*flaw), "{what}");
    }
}

#[test]
fn a_token_that_was_altered_or_signed_by_others_signs_nobody_in() {
    let (signer, other) = (Signer::es256(), Signer::es256());
    let jwk = signer.jwk("k1");
    let keys = keys(std::slice::from_ref(&jwk));
    let head = json!({"alg": "ES256", "kid": "k1"});
    let token = signer.token(&head, &claims());
    let parts: Vec<&str> = token.split('.').collect();
    let [head_text, body, signature] = parts[..] else { panic!("{token}") };
    let mut forged = claims();
    forged["sub"] = json!("somebody else");
    let forged = text(forged.to_string());
    // The public key as the secret of an HMAC: an old mistake of libraries.
    let secret = hmac::Key::new(hmac::HMAC_SHA256, jwk.to_string().as_bytes());
    let confused = format!("{}.{body}", text(r#"{"alg":"HS256","kid":"k1"}"#));
    let tag = text(hmac::sign(&secret, confused.as_bytes()).as_ref());
    let long = "a".repeat(70_000);
    for (what, token, flaw) in [
        ("other claims", format!("{head_text}.{forged}.{signature}"), Flaw::Signature),
        ("another signer", other.token(&head, &claims()), Flaw::Signature),
        ("no signature", format!("{head_text}.{body}."), Flaw::Signature),
        ("a short signature", format!("{head_text}.{body}.{}", &signature[..40]), Flaw::Signature),
        ("the key as a secret", format!("{confused}.{tag}"), Flaw::Algorithm),
        (
            "no signature, and it says so",
            format!("{}.{body}.", text(r#"{"alg":"none"}"#)),
            Flaw::Algorithm,
        ),
        ("two parts", format!("{head_text}.{body}"), Flaw::Malformed),
        ("encrypted, in five parts", format!("{token}.AAAA.AAAA"), Flaw::Signature),
        ("padded", format!("{head_text}.{body}=.{signature}"), Flaw::Signature),
        ("no JSON", format!("{}.{body}.{signature}", text("head")), Flaw::Malformed),
        ("too long", format!("{head_text}.{long}.{signature}"), Flaw::Malformed),
        ("nothing", String::new(), Flaw::Malformed),
    ] {
        assert_eq!(checked(&token, &keys), Err(flaw), "{what}");
    }
    // The algorithm is one of those that the provider has announced.
    let announced = Expected { algorithms: &[Algorithm::Rs256], ..expected() };
    assert_eq!(check(&token, &keys, &announced), Err(Flaw::Algorithm));
}

#[test]
fn a_key_is_for_signatures_of_its_algorithm_and_must_be_the_only_one() {
    let message = b"eyJhbGciOiJSUzI1NiJ9.e30";
    // Made by OpenSSL 3.
    let n = "sf9z5g4_Ww4ruE2QWxv2_jjwW2UDnOBILXTwTxxppQwHDhR7ucy-sMzdd2Z1s6P6zzIJVh9Kr7jaojqWp1R_\
        4XT75E8JHJhRTk7JDIlH-AJwiP9sqq4OivCPso3ml4NtcArtpuXbsx7kjvGdG9NF6X46lHrEf6aLNFaoPnPQ\
        ZyKduo8fQj8OAelHHPWUF1BJhp93sfO2h_rc4S6j6OUap_v_oL0j2uEloxYq4XpC2Ad7x5AXDnQdDkIaL3lM\
        nqwv-u38Z7ipj6hOz4BqmoO4f0AcWYEqQF47EcaJ1MPxKtr0PpYHNZxGa2FUTS2DiFgA0-7Pv32mptymKbQV\
        G2gZpw";
    let signature = "RRNF8YArew7WLDmGvjTAkukvpSTseVm8YndDBe5VvcYfzOwRWeOMuBBx0untb5-6J_yGzEr8weR9\
        2Xgc968uVxqf04vimJwVbsv4rvz5xCmcmrAqX3jNzguArgxfzGhP\
        KHqJFngTraikxrs1WpbdQ2zTOFfp8qTH19lX3fXU\
        YGhjzSt3SoOrv-yZ0fFbg6Z8KvxCTIfitY5adR_GgDk15l-2FB_iNitKwHEFJdWAhQrmTuTOxSuqZG3z3E8c\
        TtLBxid3daETMFIPjEe1piveGnYWPICfKkwx7fGthVmPG0ZzkCvCG437JnFHv-2B1Wor70H-m9sd3PnYrSQz\
        tBae-g";
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let rsa = |more: Value| {
        let mut jwk = json!({"kty": "RSA", "kid": "r", "n": n, "e": "AQAB"});
        jwk.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        jwk
    };
    let same = rsa(json!({}));
    for (what, all, id, expected) in [
        ("as it is", vec![rsa(json!({}))], Some("r"), Ok(())),
        ("the only one", vec![rsa(json!({"alg": "RS256"}))], None, Ok(())),
        ("for verifying", vec![rsa(json!({"key_ops": ["verify"]}))], None, Ok(())),
        ("for other uses", vec![rsa(json!({"key_ops": ["encrypt"]}))], None, Err(Flaw::UnknownKey)),
        ("for encryption", vec![rsa(json!({"use": "enc"}))], None, Err(Flaw::UnknownKey)),
        ("of RS512", vec![rsa(json!({"alg": "RS512"}))], None, Err(Flaw::UnknownKey)),
        ("too short", vec![rsa(json!({"n": "AQAB"}))], None, Err(Flaw::Signature)),
        ("no number", vec![rsa(json!({"n": "?"}))], None, Err(Flaw::UnknownKey)),
        ("a secret", vec![json!({"kty": "oct", "k": "AAAA"})], None, Err(Flaw::UnknownKey)),
        ("another id", vec![rsa(json!({}))], Some("s"), Err(Flaw::UnknownKey)),
        ("two of one id", vec![same.clone(), same.clone()], Some("r"), Err(Flaw::UnknownKey)),
        ("one of two", vec![same.clone(), rsa(json!({"kid": "s"}))], None, Err(Flaw::UnknownKey)),
        ("no keys", vec![], Some("r"), Err(Flaw::UnknownKey)),
    ] {
        let found = keys(&all).verify(id, Algorithm::Rs256, message, &signature);
        assert_eq!(found, expected, "{what}");
    }
    let many = vec![json!({"kty": "OKP", "crv": "Ed25519", "x": text([7; 32])}); 100];
    assert!(format!("{:?}", keys(&many)).matches("EdDsa").count() <= 64, "keys without end");
}

#[test]
fn the_document_of_a_provider_names_it_and_addresses_with_tls() {
    let document = |issuer: &str| {
        json!({
            "issuer": issuer,
            "authorization_endpoint": format!("{issuer}/auth"),
            "token_endpoint": format!("{issuer}/token"),
            "jwks_uri": format!("{issuer}/keys"),
            "id_token_signing_alg_values_supported": ["HS256", "none", "RS256"],
        })
    };
    let local = "http://127.0.0.1:9";
    for (issuer, name, value, expected) in [
        (ISSUER, "scopes_supported", json!(["openid"]), None),
        (local, "scopes_supported", json!(["openid"]), None),
        (local, "token_endpoint", json!("http://localhost:9/token"), None),
        (local, "token_endpoint", json!("http://id.example/token"), Some(Flaw::Plain)),
        (ISSUER, "issuer", json!("https://id.example"), Some(Flaw::Issuer)),
        (ISSUER, "issuer", json!(format!("{ISSUER}/")), Some(Flaw::Issuer)),
        (ISSUER, "token_endpoint", json!("http://id.example/token"), Some(Flaw::Plain)),
        (ISSUER, "token_endpoint", json!("http://127.0.0.1/token"), Some(Flaw::Plain)),
        (ISSUER, "jwks_uri", json!("file:///etc/passwd"), Some(Flaw::Plain)),
        (ISSUER, "authorization_endpoint", json!("javascript:alert(1)"), Some(Flaw::Plain)),
        (ISSUER, "userinfo_endpoint", json!("http://id.example/me"), Some(Flaw::Plain)),
        (ISSUER, "jwks_uri", json!("keys"), Some(Flaw::Malformed)),
        (ISSUER, "jwks_uri", Value::Null, Some(Flaw::Malformed)),
        (
            ISSUER,
            "id_token_signing_alg_values_supported",
            json!(["HS256", "none"]),
            Some(Flaw::Algorithm),
        ),
    ] {
        let mut document = document(issuer);
        document[name] = value.clone();
        let found = Discovery::read(issuer, document.to_string().as_bytes());
        assert_eq!(found.err(), expected, "{issuer} {name} {value}");
    }
    let found = Discovery::read(ISSUER, document(ISSUER).to_string().as_bytes()).unwrap();
    assert_eq!(found.algorithms, [Algorithm::Rs256]);
    assert!(Discovery::read(ISSUER, b"<html>").is_err());
    let address = Discovery::address(&Url::parse("https://id.example/realm/").unwrap());
    assert_eq!(address.path(), "/realm/.well-known/openid-configuration");
}

fn config() -> OpenidConnect {
    OpenidConnect {
        issuer: ISSUER.to_owned(),
        client_id: CLIENT.to_owned(),
        client_secret: Some("s3".to_owned()),
        name: "Example".to_owned(),
        scopes: vec!["profile".to_owned()],
        name_claim: "preferred_username".to_owned(),
        join: Join::Nobody,
        email_domains: Vec::new(),
        groups: Vec::new(),
        groups_claim: "groups".to_owned(),
        authorities: Vec::new(),
    }
}

fn of_account(more: Value) -> Claims {
    let Value::Object(all) = more else { panic!("an object") };
    Claims { subject: "248289761001".to_owned(), all }
}

#[test]
fn an_account_signs_in_with_a_verified_address_of_a_domain_or_in_a_group() {
    let domains: &[&str] = &["example.org", "example.net"];
    let groups: &[&str] = &["cameras", "family"];
    let verified = |email: &str| json!({"email": email, "email_verified": true});
    for (domains, groups, claims, expected) in [
        (&[][..], &[][..], json!({}), None),
        (domains, &[], verified("ann@example.org"), None),
        (domains, &[], verified("ann@EXAMPLE.net"), None),
        (domains, &[], verified("ann@evil.example"), Some(Forbidden::Domain)),
        (domains, &[], verified("ann@sub.example.org"), Some(Forbidden::Domain)),
        (domains, &[], verified("ann@example.org@evil.example"), Some(Forbidden::Domain)),
        (domains, &[], verified("example.org"), Some(Forbidden::Domain)),
        (domains, &[], json!({"email": "ann@example.org"}), Some(Forbidden::Domain)),
        (
            domains,
            &[],
            json!({"email": "ann@example.org", "email_verified": "true"}),
            Some(Forbidden::Domain),
        ),
        (domains, &[], json!({"email_verified": true}), Some(Forbidden::Domain)),
        (&[], groups, json!({"groups": ["other", "family"]}), None),
        (&[], groups, json!({"groups": "family"}), None),
        (&[], groups, json!({"groups": ["Family"]}), Some(Forbidden::Group)),
        (&[], groups, json!({"groups": []}), Some(Forbidden::Group)),
        (&[], groups, json!({"roles": ["family"]}), Some(Forbidden::Group)),
        (domains, groups, verified("ann@example.org"), Some(Forbidden::Group)),
    ] {
        let owned = |list: &[&str]| list.iter().map(|one| (*one).to_owned()).collect();
        let (email_domains, groups) = (owned(domains), owned(groups));
        let config = OpenidConnect { email_domains, groups, ..config() };
        let found = admit(&config, of_account(claims.clone()));
        assert_eq!(found.err(), expected, "{claims}");
    }
}

#[test]
fn a_name_is_that_of_the_configured_claim_as_far_as_it_can_be_shown() {
    let long = "n".repeat(100);
    for (claim, claims, name) in [
        ("preferred_username", json!({"preferred_username": "ann", "name": "Ann A."}), "ann"),
        ("name", json!({"preferred_username": "ann", "name": "Ann A."}), "Ann A."),
        ("nick", json!({"email": "ann@example.org"}), "ann@example.org"),
        ("nick", json!({"nick": " \u{202e}ann\n "}), "ann"),
        ("nick", json!({"nick": 7}), "248289761001"),
        ("nick", json!({"nick": ""}), "248289761001"),
        ("nick", json!({"nick": long}), &long[..64]),
    ] {
        let config = OpenidConnect { name_claim: claim.to_owned(), ..config() };
        let account = admit(&config, of_account(claims.clone())).unwrap();
        assert_eq!(account.name, name, "{claim} {claims}");
        assert_eq!(account.subject, "248289761001");
    }
    let config = OpenidConnect { groups: vec!["family".to_owned()], ..config() };
    for (claims, lacks) in [
        (json!({"preferred_username": "ann", "groups": []}), false),
        (json!({"preferred_username": "ann"}), true),
        (json!({"groups": []}), true),
    ] {
        assert_eq!(lacks_claims(&config, &of_account(claims.clone())), lacks, "{claims}");
    }
}

#[test]
fn the_cookie_of_a_request_is_sealed_for_ten_minutes_by_one_server() {
    let seal = Seal::new(&[7; 32]);
    let purpose = Purpose::Link { user: 3, credential: "cookie:a.0".to_owned() };
    let flow = Flow::begin(purpose, NOW_S);
    let cookie = seal.close(&flow);
    assert!(cookie.len() < 1024, "{}", cookie.len());
    assert_eq!(seal.open(&cookie, NOW_S + 599).as_ref(), Some(&flow));
    let mut forged = cookie.clone();
    forged.replace_range(30..31, if cookie[30..].starts_with('A') { "B" } else { "A" });
    let foreign = Seal::new(&[8; 32]).close(&flow);
    for (what, cookie, now_s) in [
        ("too late", cookie.as_str(), NOW_S + 600),
        ("forged", &forged, NOW_S),
        ("of another server", &foreign, NOW_S),
        ("cut", &cookie[..40], NOW_S),
        ("nothing", "", NOW_S),
        ("no base64", "?", NOW_S),
    ] {
        assert_eq!(seal.open(cookie, now_s), None, "{what}");
    }
    let again = Flow::begin(Purpose::SignIn, NOW_S);
    assert_ne!((&flow.state, &flow.nonce), (&again.state, &again.nonce));
    assert_ne!(flow.verifier, again.verifier);
    // The example of RFC 7636 §B.
    let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".to_owned();
    let example = Flow { verifier, ..again };
    assert_eq!(example.challenge(), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    for shown in [format!("{seal:?}"), format!("{:?}", config())] {
        assert!(!shown.contains("s3") && !shown.contains("key:"), "{shown}");
    }
}

#[tokio::test]
async fn documents_are_asked_for_seldom_and_failures_are_not_repeated_at_once() {
    let start = Instant::now();
    let mut kept = Kept::default();
    let hour = Duration::from_secs(3600);
    let minute = Duration::from_secs(60);
    let trouble = || Trouble::Provider(Flaw::Malformed);
    let (good, bad) = (|value: u32| Ok(value), || Err(trouble()));
    // The time, the age that is wanted, what would be fetched, and what is found.
    for (at_s, age, fetched, expected) in [
        (0, hour, bad(), None),
        (4, hour, good(1), None),
        (5, hour, good(2), Some(2)),
        (64, minute, good(3), Some(2)),
        (65, minute, good(4), Some(4)),
        (124, minute, good(5), Some(4)),
        (3600, hour, good(6), Some(4)),
        (3665, hour, bad(), None),
        (3669, hour, good(7), None),
        (3670, hour, good(8), Some(8)),
    ] {
        let now = start + Duration::from_secs(at_s);
        let found = kept.get(now, age, async { fetched }).await;
        assert_eq!(found.ok().as_deref(), expected.as_ref(), "at {at_s} s");
    }
}

#[test]
fn a_provider_needs_an_issuer_with_tls_except_on_this_machine() {
    let base = Url::parse("https://cams.example/cams").unwrap();
    for (issuer, client_id, expected) in [
        (ISSUER, CLIENT, None),
        ("https://id.example", CLIENT, None),
        ("http://127.0.0.1:9", CLIENT, None),
        ("http://localhost:9/realm", CLIENT, None),
        ("http://[::1]:9", CLIENT, None),
        ("http://id.example", CLIENT, Some(ProviderError::Issuer)),
        ("http://localhost.evil.example", CLIENT, Some(ProviderError::Issuer)),
        ("https://id.example?x", CLIENT, Some(ProviderError::Issuer)),
        ("https://id.example#x", CLIENT, Some(ProviderError::Issuer)),
        ("https://ann@id.example", CLIENT, Some(ProviderError::Issuer)),
        ("ftp://id.example", CLIENT, Some(ProviderError::Issuer)),
        ("id.example", CLIENT, Some(ProviderError::Issuer)),
        (ISSUER, "", Some(ProviderError::Client)),
    ] {
        let (issuer, client_id) = (issuer.to_owned(), client_id.to_owned());
        let config = OpenidConnect { issuer, client_id, ..config() };
        let found = Provider::new(config.clone(), &base, &[7; 32]);
        assert_eq!(found.as_ref().err(), expected.as_ref(), "{}", config.issuer);
        if let Ok(provider) = found {
            assert_eq!(provider.origin(), "https://cams.example");
        }
    }
}

#[test]
fn an_address_and_whether_it_is_verified_come_from_one_place() {
    let map = |value: Value| value.as_object().cloned().unwrap();
    let mine = json!({"email": "me@mail.example", "email_verified": true});
    for (token, user_info, expected) in [
        (json!({}), mine.clone(), mine.clone()),
        (mine.clone(), json!({"email": "x@corp.example"}), mine.clone()),
        (json!({"email": "x@corp.example"}), mine.clone(), json!({"email": "x@corp.example"})),
        (
            json!({"email_verified": true}),
            json!({"email": "x@corp.example"}),
            json!({"email": "x@corp.example"}),
        ),
        (json!({"email": "me@mail.example"}), mine.clone(), mine.clone()),
        (
            json!({"name": "Me"}),
            json!({"name": "You", "nick": "y"}),
            json!({"name": "Me", "nick": "y"}),
        ),
    ] {
        let mut claims = map(token.clone());
        add_claims(&mut claims, map(user_info.clone()));
        assert_eq!(Value::Object(claims), expected, "{token} and {user_info}");
    }
}
