//! The password of a scripted camera: Digest of RFC 7616, as a camera checks it.

use md5::Md5;
use sha2::{Digest as _, Sha256};

use super::{Reply, Request};

/// User and password of every camera that has one.
pub(super) const USER: &str = "ada:secret@";

/// Returns a challenge with these lines.
pub(crate) fn challenge(reply: Reply, lines: &[String]) -> Reply {
    let refused = Reply { body: String::new(), ..reply.status("401 Unauthorized") };
    let refused = refused.without("Content-Length").without("Transport");
    lines.iter().fold(refused, |reply, line| reply.adding("WWW-Authenticate", line))
}

/// Returns one line of a challenge with Digest.
pub(crate) fn digest(nonce: &str, more: &str) -> String {
    format!("Digest realm=\"camera\", nonce=\"{nonce}\"{more}")
}

/// Returns true if a request answers the challenge with this nonce, with one of these hashes. An
/// answer that names none uses MD5.
pub(crate) fn is_authorized(request: &Request, nonce: &str, hashes: &[&str]) -> bool {
    let Some(value) = request.header("Authorization") else { return false };
    let parameter = |name: &str| {
        let (_, rest) = value.split_once(&format!("{name}="))?;
        let rest = rest.strip_prefix('"').unwrap_or(rest);
        Some(rest.split(['"', ',']).next().unwrap_or_default().to_owned())
    };
    let algorithm = parameter("algorithm").unwrap_or_else(|| "MD5".to_owned());
    let hash = |text: String| match algorithm.as_str() {
        "MD5" => hex(&Md5::digest(text)),
        _ => hex(&Sha256::digest(text)),
    };
    let key = hash("ada:camera:secret".to_owned());
    let subject = hash(format!("{}:{}", request.method(), request.uri()));
    let expected = match (parameter("qop"), parameter("nc"), parameter("cnonce")) {
        (Some(qop), Some(count), Some(own)) => {
            hash(format!("{key}:{nonce}:{count}:{own}:{qop}:{subject}"))
        }
        _ => hash(format!("{key}:{nonce}:{subject}")),
    };
    hashes.contains(&algorithm.as_str())
        && parameter("uri").as_deref() == Some(request.uri())
        && parameter("response") == Some(expected)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
