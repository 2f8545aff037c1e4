//! The server's own authority for its certificate, as others come to trust it: its certificate, and
//! a page that says how. Both are for everybody, because nobody can sign in safely before.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::{StatusCode, header};
use sha2::{Digest as _, Sha256};

use crate::app::App;
use crate::refusal::Refusal;

/// The media type at which browsers offer to trust an authority, also those of phones.
const MEDIA_TYPE: &str = "application/x-x509-ca-cert";
/// The page, with [`FINGERPRINT`] where that is shown.
const PAGE: &str = include_str!("authority/page.html");
const FINGERPRINT: &str = "{fingerprint}";
/// Bytes of a fingerprint in a line of the page: as many as people compare at a time.
const BYTES_IN_LINE: usize = 8;
/// Bytes of a fingerprint: the output of SHA-256.
const BYTES: usize = 32;

/// The certificate of an authority that a server has made for itself.
#[derive(Debug, Clone)]
pub struct Authority {
    der: Vec<u8>,
}

impl Authority {
    /// Creates it from the certificate, which is DER.
    #[must_use]
    pub fn new(der: &[u8]) -> Self {
        Self { der: der.to_vec() }
    }

    /// Returns its fingerprint, which people compare.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.der)
    }

    fn page(&self) -> String {
        let lines: Vec<_> = self.fingerprint().0.chunks(BYTES_IN_LINE).map(pairs).collect();
        PAGE.replace(FINGERPRINT, &lines.join(":<br />"))
    }
}

/// The SHA-256 of a certificate, in the form that phones and browsers show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; BYTES]);

/// The error for a text that is no fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no SHA-256 fingerprint: give 64 digits from 0 to F, with or without colons")]
pub struct InvalidFingerprint;

impl Fingerprint {
    /// Returns that of a certificate, which is DER.
    #[must_use]
    pub fn of(der: &[u8]) -> Self {
        Self(Sha256::digest(der).into())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&pairs(&self.0))
    }
}

impl FromStr for Fingerprint {
    type Err = InvalidFingerprint;

    fn from_str(text: &str) -> Result<Self, InvalidFingerprint> {
        let is_digit = |char: &char| !matches!(*char, ':' | ' ');
        // One more than needed is enough to see that there are too many.
        let digits = text.chars().filter(is_digit).take(2 * BYTES + 1);
        let digits: Option<Vec<u32>> = digits.map(|digit| digit.to_digit(16)).collect();
        let digits = digits.filter(|digits| digits.len() == 2 * BYTES).ok_or(InvalidFingerprint)?;
        let mut bytes = [0; BYTES];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
            let value = pair.iter().fold(0, |value, digit| value * 16 + digit);
            *byte = u8::try_from(value).map_err(|_| InvalidFingerprint)?;
        }
        Ok(Self(bytes))
    }
}

fn pairs(bytes: &[u8]) -> String {
    let pairs: Vec<_> = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
    pairs.join(":")
}

/// Answers with the certificate of the authority.
pub(crate) async fn certificate(State(app): State<Arc<App>>) -> Response {
    match &app.authority {
        Some(authority) => {
            ([(header::CONTENT_TYPE, MEDIA_TYPE)], authority.der.clone()).into_response()
        }
        None => absent(),
    }
}

/// Answers with the page that says how to trust it.
pub(crate) async fn page(State(app): State<Arc<App>>) -> Response {
    match &app.authority {
        Some(authority) => axum::response::Html(authority.page()).into_response(),
        None => absent(),
    }
}

fn absent() -> Response {
    let text = "this server has no authority of its own: its certificate needs no steps here";
    Refusal::new(StatusCode::NOT_FOUND, text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The fingerprint of nothing, as `sha256sum /dev/null` prints it.
    const OF_NOTHING: &str = "E3:B0:C4:42:98:FC:1C:14:9A:FB:F4:C8:99:6F:B9:24:\
        27:AE:41:E4:64:9B:93:4C:A4:95:99:1B:78:52:B8:55";

    #[test]
    fn a_fingerprint_is_read_in_every_form_in_which_people_copy_it() {
        let expected = Fingerprint::of(b"");
        assert_eq!(expected.to_string(), OF_NOTHING);
        for text in [
            OF_NOTHING.to_owned(),
            OF_NOTHING.to_lowercase(),
            OF_NOTHING.replace(':', ""),
            OF_NOTHING.replace(':', " "),
            format!(" {OF_NOTHING} "),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
        for text in [
            String::new(),
            OF_NOTHING.replace('E', "G"),
            OF_NOTHING[3..].to_owned(),
            format!("{OF_NOTHING}:00"),
            "0".repeat(10_000),
            "é".repeat(64),
        ] {
            assert_eq!(text.parse::<Fingerprint>(), Err(InvalidFingerprint), "{text}");
        }
    }

    #[test]
    fn the_page_shows_the_whole_fingerprint_and_needs_nothing_from_elsewhere() {
        let page = Authority::new(b"").page();
        assert!(page.replace("<br />", "").contains(OF_NOTHING), "{page}");
        assert!(!page.contains(FINGERPRINT), "{page}");
        for foreign in ["http:", "https:", "<script", "style=", "href=\"/", "src="] {
            assert!(!page.contains(foreign), "{foreign}");
        }
        assert!(page.contains("href=\"ca.crt\""), "it works below a path, too");
    }
}
