//! Reader of `WWW-Authenticate`, which may have several challenges in one value.

use super::digest::Hash;

/// Maximum number of challenges that are read of one value; cameras send one or two.
const MAX_CHALLENGES: usize = 8;

/// A scheme that can be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    /// Digest (RFC 7616) with a hash.
    Digest(Hash),
    /// Basic (RFC 7617), which sends the password.
    Basic,
}

impl Scheme {
    /// Returns the place in the order in which schemes are tried; the strongest is first.
    pub(super) fn rank(self) -> u8 {
        match self {
            Self::Digest(hash) => hash.rank(),
            Self::Basic => u8::MAX,
        }
    }
}

/// The quality of protection (RFC 7616 §3.4) that an answer uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quality {
    /// The calculation of RFC 2069, because the camera offers no quality.
    None,
    /// The method and URI are protected.
    Auth,
    /// The body is protected, too.
    AuthInt,
}

/// A challenge that can be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Challenge {
    pub(super) scheme: Scheme,
    /// The realm, as it was written.
    pub(super) realm: String,
    /// The nonce, as it was written.
    pub(super) nonce: String,
    /// The value to return unchanged.
    pub(super) opaque: Option<String>,
    /// The name of the hash, as it was written.
    pub(super) algorithm: Option<String>,
    pub(super) quality: Quality,
    /// The nonce of the refused request was valid once.
    pub(super) is_stale: bool,
}

/// Reads the challenges of one value that can be answered.
pub(super) fn read(value: &str) -> Vec<Challenge> {
    let mut challenges = Vec::new();
    let mut words = Words { rest: value };
    let mut current: Option<(String, Vec<(String, String)>)> = None;
    while let Some(word) = words.next() {
        match (word, &mut current) {
            (Word::Parameter(name, value), Some((_, parameters))) => {
                parameters.push((name, value));
            }
            // Parameters without a scheme can only be Digest.
            (Word::Parameter(name, value), None) => {
                current = Some(("Digest".to_owned(), vec![(name, value)]));
            }
            (Word::Scheme(name), _) => {
                challenges.extend(current.replace((name, Vec::new())).and_then(challenge));
            }
        }
        if challenges.len() >= MAX_CHALLENGES {
            return challenges;
        }
    }
    challenges.extend(current.and_then(challenge));
    challenges
}

fn challenge((name, parameters): (String, Vec<(String, String)>)) -> Option<Challenge> {
    let get = |wanted: &str| {
        let named = parameters.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        named.map(|(_, value)| value.clone())
    };
    let algorithm = get("algorithm").filter(|name| !name.is_empty());
    let scheme = if name.eq_ignore_ascii_case("Basic") {
        Scheme::Basic
    } else if name.eq_ignore_ascii_case("Digest") {
        Scheme::Digest(Hash::named(algorithm.as_deref().unwrap_or("MD5"))?)
    } else {
        return None;
    };
    let qualities = get("qop").unwrap_or_default().to_ascii_lowercase();
    let qualities: Vec<_> = qualities.split([',', ' ']).filter(|word| !word.is_empty()).collect();
    let quality = match (qualities.contains(&"auth"), qualities.contains(&"auth-int")) {
        _ if qualities.is_empty() => Quality::None,
        (false, true) => Quality::AuthInt,
        // An unknown quality is answered as the usual one.
        _ => Quality::Auth,
    };
    Some(Challenge {
        scheme,
        realm: get("realm").unwrap_or_default(),
        nonce: get("nonce").unwrap_or_default(),
        opaque: get("opaque"),
        algorithm,
        quality,
        is_stale: get("stale").is_some_and(|stale| stale.eq_ignore_ascii_case("true")),
    })
}

enum Word {
    Scheme(String),
    Parameter(String, String),
}

/// The words of a value: names of schemes, and parameters whatever parts them.
struct Words<'a> {
    rest: &'a str,
}

impl Words<'_> {
    fn next(&mut self) -> Option<Word> {
        let is_gap = |c: char| c.is_whitespace() || matches!(c, ',' | ';');
        self.rest = self.rest.trim_start_matches(|c| is_gap(c) || c == '=' || c == '"');
        if self.rest.is_empty() {
            return None;
        }
        let end = self.rest.find(|c| is_gap(c) || c == '=').unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        let Some(value) = rest.trim_start().strip_prefix('=') else {
            self.rest = rest;
            return Some(Word::Scheme(name.to_owned()));
        };
        let value = value.trim_start();
        let (value, rest) = match value.strip_prefix('"') {
            Some(quoted) => {
                let end = quoted_end(quoted);
                (quoted.get(..end), quoted.get(end + 1..))
            }
            None => {
                let end = value.find(is_gap).unwrap_or(value.len());
                (value.get(..end), value.get(end..))
            }
        };
        self.rest = rest.unwrap_or_default();
        Some(Word::Parameter(name.to_owned(), value.unwrap_or_default().to_owned()))
    }
}

/// Returns the position of the quotation mark that ends a quoted string.
fn quoted_end(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            '"' if !escaped => return at,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    text.len()
}
