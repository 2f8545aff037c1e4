//! The check of an ID token (OpenID Connect Core 1.0 §3.1.3.7, RFC 8725).

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::Flaw;
use super::jwks::{Algorithm, Keys};

/// The longest token, in bytes.
const MAX_TOKEN: usize = 64 * 1024;
/// The longest id of an account, in bytes (§2).
const MAX_SUBJECT: usize = 255;
/// Difference of the clocks of the provider and this server that does not matter.
const LEEWAY: Duration = Duration::from_secs(120);

/// The values that a token must have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected<'a> {
    pub(super) issuer: &'a str,
    pub(super) client_id: &'a str,
    pub(super) nonce: &'a str,
    /// The algorithms that the provider has announced.
    pub(super) algorithms: &'a [Algorithm],
    /// The time at which the browser began, in seconds since 1970.
    pub(super) begun_s: u64,
    pub(super) now_s: u64,
}

/// The statements of a provider about an account.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Claims {
    /// The id of the account at the provider.
    pub(crate) subject: String,
    pub(crate) all: Map<String, Value>,
}

#[derive(Deserialize)]
struct Head {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    /// Extensions that must be understood, of which this server knows none.
    crit: Option<Value>,
}

/// Returns what an ID token says, if it is one that the provider has made for this request.
pub(super) fn check(token: &str, keys: &Keys, expected: &Expected<'_>) -> Result<Claims, Flaw> {
    if token.len() > MAX_TOKEN {
        return Err(Flaw::Malformed);
    }
    let (signed, signature) = token.rsplit_once('.').ok_or(Flaw::Malformed)?;
    let (head, body) = signed.split_once('.').ok_or(Flaw::Malformed)?;
    let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| Flaw::Malformed);
    let head: Head = serde_json::from_slice(&bytes(head)?).map_err(|_| Flaw::Malformed)?;
    let is_plain = head.typ.is_none_or(|kind| kind.eq_ignore_ascii_case("JWT"));
    if !is_plain || head.crit.is_some() {
        return Err(Flaw::Malformed);
    }
    let algorithm = Algorithm::named(&head.alg).ok_or(Flaw::Algorithm)?;
    if !expected.algorithms.contains(&algorithm) {
        return Err(Flaw::Algorithm);
    }
    keys.verify(head.kid.as_deref(), algorithm, signed.as_bytes(), &bytes(signature)?)?;
    let claims = serde_json::from_slice(&bytes(body)?).map_err(|_| Flaw::Malformed)?;
    check_claims(claims, expected)
}

fn check_claims(claims: Map<String, Value>, expected: &Expected<'_>) -> Result<Claims, Flaw> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    if text("iss") != Some(expected.issuer) {
        return Err(Flaw::Issuer);
    }
    check_audience(&claims, expected.client_id)?;
    let time = |name: &str| claims.get(name).map(|value| value.as_f64().ok_or(Flaw::Time));
    let (now, begun) = (as_time(expected.now_s), as_time(expected.begun_s));
    let leeway = LEEWAY.as_secs_f64();
    let expires = time("exp").ok_or(Flaw::Time)??;
    let issued = time("iat").ok_or(Flaw::Time)??;
    let starts = time("nbf").transpose()?.unwrap_or(issued);
    let is_current = expires + leeway > now
        && issued - leeway <= now
        && issued + leeway >= begun
        && starts - leeway <= now;
    if !is_current {
        return Err(Flaw::Time);
    }
    if text("nonce") != Some(expected.nonce) {
        return Err(Flaw::Nonce);
    }
    let subject = text("sub").filter(|subject| is_subject(subject)).ok_or(Flaw::Subject)?;
    let subject = subject.to_owned();
    Ok(Claims { subject, all: claims })
}

/// Checks that a token is for this client. If it is for others, too, it must say that this client
/// has asked for it.
fn check_audience(claims: &Map<String, Value>, client_id: &str) -> Result<(), Flaw> {
    let (is_for_us, is_for_others) = match claims.get("aud") {
        Some(Value::String(one)) => (one == client_id, false),
        Some(Value::Array(several)) => {
            let is_us = |one: &&Value| one.as_str() == Some(client_id);
            (several.iter().any(|one| is_us(&one)), !several.iter().all(|one| is_us(&one)))
        }
        _ => (false, false),
    };
    let asked = match claims.get("azp") {
        Some(party) => party.as_str() == Some(client_id),
        None => !is_for_others,
    };
    if is_for_us && asked { Ok(()) } else { Err(Flaw::Audience) }
}

/// Returns true for an id of an account that can be stored and compared as it is.
fn is_subject(subject: &str) -> bool {
    (1..=MAX_SUBJECT).contains(&subject.len()) && !subject.chars().any(char::is_control)
}

/// Returns a time as a number of JSON, of which dates have no more than 53 bits.
#[allow(clippy::cast_precision_loss, reason = "seconds since 1970 have 34 bits")]
fn as_time(seconds: u64) -> f64 {
    seconds as f64
}
