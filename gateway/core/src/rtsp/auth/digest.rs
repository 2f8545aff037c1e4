//! The calculation of Digest answers (RFC 7616 §3.4).

use std::fmt::Write as _;

use md5::Md5;
use sha2::{Digest as _, Sha256, Sha512_256};

use super::Credentials;
use super::challenge::{Challenge, Quality};

/// A hash function (RFC 7616 §6.1), and its use with the session's nonces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hash {
    function: Function,
    /// The variant with `-sess`, whose key depends on both nonces.
    with_session: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Function {
    Sha512Of256,
    Sha256,
    Md5,
}

impl Hash {
    /// Returns the hash with this name, in any case.
    pub(super) fn named(name: &str) -> Option<Self> {
        let name = name.to_ascii_uppercase();
        let (name, with_session) = match name.strip_suffix("-SESS") {
            Some(name) => (name, true),
            None => (name.as_str(), false),
        };
        let function = match name {
            "MD5" => Function::Md5,
            "SHA-256" | "SHA256" => Function::Sha256,
            "SHA-512-256" | "SHA512-256" => Function::Sha512Of256,
            _ => return None,
        };
        Some(Self { function, with_session })
    }

    /// Returns the place in the order of strength; the strongest is first.
    pub(super) fn rank(self) -> u8 {
        match self.function {
            Function::Sha512Of256 => 0,
            Function::Sha256 => 1,
            Function::Md5 => 2,
        }
    }

    fn of(self, text: &[u8]) -> String {
        let hash = match self.function {
            Function::Md5 => Md5::digest(text).to_vec(),
            Function::Sha256 => Sha256::digest(text).to_vec(),
            Function::Sha512Of256 => Sha512_256::digest(text).to_vec(),
        };
        hash.iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }
}

/// The parts of a request that an answer depends on.
#[derive(Debug)]
pub(super) struct Request<'a> {
    pub(super) method: &'a str,
    pub(super) uri: &'a str,
    pub(super) body: &'a [u8],
    /// Number of requests with this nonce, including this one.
    pub(super) count: u32,
    pub(super) client_nonce: &'a str,
}

/// Returns the value of `Authorization` that answers a challenge.
pub(super) fn answer(
    hash: Hash,
    challenge: &Challenge,
    credentials: &Credentials,
    request: &Request<'_>,
) -> String {
    let Credentials { user, password } = credentials;
    let Challenge { realm, nonce, quality, .. } = challenge;
    let Request { method, uri, body, count, client_nonce } = request;
    let mut key = hash.of(format!("{user}:{realm}:{password}").as_bytes());
    if hash.with_session {
        key = hash.of(format!("{key}:{nonce}:{client_nonce}").as_bytes());
    }
    let subject = match quality {
        Quality::AuthInt => format!("{method}:{uri}:{}", hash.of(body)),
        Quality::None | Quality::Auth => format!("{method}:{uri}"),
    };
    let subject = hash.of(subject.as_bytes());
    let (protection, middle) = match quality {
        Quality::None => (None, nonce.clone()),
        Quality::Auth => (Some("auth"), format!("{nonce}:{count:08x}:{client_nonce}:auth")),
        Quality::AuthInt => {
            (Some("auth-int"), format!("{nonce}:{count:08x}:{client_nonce}:auth-int"))
        }
    };
    let response = hash.of(format!("{key}:{middle}:{subject}").as_bytes());
    let quoted = user.replace('\\', "\\\\").replace('"', "\\\"");
    let mut value = format!(
        "Digest username=\"{quoted}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", \
         response=\"{response}\""
    );
    if let Some(algorithm) = &challenge.algorithm {
        let _ = write!(value, ", algorithm={algorithm}");
    }
    if let Some(opaque) = &challenge.opaque {
        let _ = write!(value, ", opaque=\"{opaque}\"");
    }
    if let Some(protection) = protection {
        let _ = write!(value, ", qop={protection}, nc={count:08x}, cnonce=\"{client_nonce}\"");
    } else if hash.with_session {
        let _ = write!(value, ", cnonce=\"{client_nonce}\"");
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtsp::auth::challenge;

    #[test]
    fn answers_are_those_of_the_standards() {
        // RFC 7616 §3.9.1.
        let user = Credentials { user: "Mufasa".to_owned(), password: "Circle of Life".to_owned() };
        let parameters = "realm=\"http-auth@example.org\", qop=\"auth, auth-int\", \
            nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", \
            opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\"";
        let request = Request {
            method: "GET",
            uri: "/dir/index.html",
            body: b"",
            count: 1,
            client_nonce: "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
        };
        for (algorithm, expected) in [
            ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
            ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ] {
            let value = format!("Digest {parameters}, algorithm={algorithm}");
            let challenges = challenge::read(&value);
            let hash = Hash::named(algorithm).unwrap();
            let answer = answer(hash, &challenges[0], &user, &request);
            assert!(answer.contains(&format!("response=\"{expected}\"")), "{algorithm}: {answer}");
            assert!(answer.contains(&format!("algorithm={algorithm}")), "{answer}");
        }
        // RFC 2069 §2.4, as corrected by its erratum.
        let old = "Digest realm=\"testrealm@host.com\", \
            nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\"";
        let user = Credentials { user: "Mufasa".to_owned(), password: "CircleOfLife".to_owned() };
        let challenges = challenge::read(old);
        let answer = answer(Hash::named("md5").unwrap(), &challenges[0], &user, &request);
        assert!(answer.contains("response=\"1949323746fe6a43ef61f9606e7febea\""), "{answer}");
        assert!(!answer.contains("algorithm") && !answer.contains("cnonce"), "{answer}");
    }
}
