//! The check of passwords, as cameras do it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::{Auth, Fake, USER, answers};

/// The nonce of every challenge.
const NONCE: &str = "4711";

/// Seconds that the time of a token may be off; real cameras allow some minutes.
const TOLERANCE: i64 = 5;

/// Writes the header of a challenge.
pub(super) fn challenge(hash: &str) -> String {
    format!(
        "WWW-Authenticate: Digest realm=\"camera\", nonce=\"{NONCE}\", qop=\"auth\", \
         algorithm={hash}\r\n"
    )
}

/// Returns true if a request has what the camera wants; `now` is the time of its clock.
pub(super) fn is_right(camera: &Fake, request: &str, now: i64) -> bool {
    let user = answers::element(request, "w:Username");
    match camera.auth {
        Auth::Open => true,
        Auth::Digest(hash) => is_digest(hash, camera.password, request),
        Auth::Text => {
            let password = answers::element(request, "w:Password").replace("&amp;", "&");
            user == USER && request.contains("#PasswordText\"") && password == camera.password
        }
        Auth::Token => {
            let created = answers::element(request, "u:Created");
            let is_now = (-TOLERANCE..=TOLERANCE).any(|off| answers::date(now + off) == created);
            let nonce = STANDARD.decode(answers::element(request, "w:Nonce")).unwrap_or_default();
            let hash = Sha1::new().chain_update(nonce).chain_update(created);
            let expected = STANDARD.encode(hash.chain_update(camera.password).finalize());
            let is_hash = answers::element(request, "w:Password") == expected;
            user == USER && request.contains("#PasswordDigest\"") && is_now && is_hash
        }
    }
}

/// Checks the answer to a challenge (RFC 7616 §3.4.1).
fn is_digest(hash: &str, password: &str, request: &str) -> bool {
    let header = request.lines().find_map(|line| line.strip_prefix("Authorization: Digest "));
    let Some(header) = header else { return false };
    let parameter = |name: &str| {
        let named = header.split(", ").find_map(|part| part.strip_prefix(&format!("{name}=")));
        named.unwrap_or_default().trim_matches('"').to_owned()
    };
    let of = |text: String| match hash {
        "SHA-256" => hex(&Sha256::digest(text)),
        _ => hex(&Md5::digest(text)),
    };
    let key = of(format!("{USER}:camera:{password}"));
    let subject = of(format!("POST:{}", parameter("uri")));
    let (count, client) = (parameter("nc"), parameter("cnonce"));
    let expected = of(format!("{key}:{NONCE}:{count}:{client}:auth:{subject}"));
    parameter("algorithm") == hash && parameter("response") == expected
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
