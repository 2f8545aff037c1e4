//! `application/trickle-ice-sdpfrag` (RFC 8840 §9): what a WHEP player adds to its offer.

use porthole_signaling_proto::IceCandidate;

/// The most candidates in one fragment: a machine with dozens of addresses.
const MAX_CANDIDATES: usize = 64;
/// The longest candidate; those of browsers have less than half of it.
const MAX_CANDIDATE_CHARS: usize = 512;
/// The longest name of a section: it goes with each of its candidates. Browsers have `0`.
const MAX_MID_CHARS: usize = 64;
/// RFC 8839 §5.4: 4 to 256 characters for the fragment, 22 to 256 for the password.
const MAX_CREDENTIAL_CHARS: usize = 256;

/// A fragment, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fragment {
    /// The ICE user name fragment it belongs to.
    pub ufrag: String,
    /// Its password.
    pub pwd: String,
    /// The candidates, and an empty one at the end if there are no more.
    pub candidates: Vec<IceCandidate>,
    /// The fragment as it came.
    pub text: String,
}

/// Why a fragment is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FragmentError {
    /// No `a=ice-ufrag`, or one that cannot be.
    Ufrag,
    /// No `a=ice-pwd`, or one that cannot be.
    Pwd,
    /// More candidates than anybody has.
    TooMany,
    /// A candidate or the name of its section that is longer than any is.
    TooLong,
    /// A line that is no line of an SDP.
    Line,
}

impl FragmentError {
    /// One sentence.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Ufrag => "the fragment has no valid a=ice-ufrag line",
            Self::Pwd => "the fragment has no valid a=ice-pwd line",
            Self::TooMany => "the fragment has more than 64 candidates",
            Self::TooLong => "a candidate has at most 512 characters, and its section's name 64",
            Self::Line => "the fragment has a line that is no line of an SDP",
        }
    }
}

impl Fragment {
    /// Reads a fragment.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, FragmentError> {
        let mut reader = Reader::default();
        for line in text.lines().filter(|line| !line.is_empty()) {
            reader.line(line)?;
        }
        let ufrag = reader.ufrag.filter(|text| is_credential(text, 4));
        let pwd = reader.pwd.filter(|text| is_credential(text, 22));
        let ufrag = ufrag.ok_or(FragmentError::Ufrag)?.to_owned();
        let pwd = pwd.ok_or(FragmentError::Pwd)?.to_owned();
        for candidate in &mut reader.candidates {
            candidate.username_fragment = Some(ufrag.clone());
        }
        Ok(Self { ufrag, pwd, candidates: reader.candidates, text: text.to_owned() })
    }
}

#[derive(Default)]
struct Reader<'a> {
    ufrag: Option<&'a str>,
    pwd: Option<&'a str>,
    mid: Option<&'a str>,
    candidates: Vec<IceCandidate>,
}

impl<'a> Reader<'a> {
    fn line(&mut self, line: &'a str) -> Result<(), FragmentError> {
        let (kind, value) = line.split_once('=').ok_or(FragmentError::Line)?;
        if kind.len() != 1 {
            return Err(FragmentError::Line);
        }
        if kind == "m" {
            self.mid = None;
        }
        if kind == "a" {
            self.attribute(value)?;
        }
        Ok(())
    }

    fn attribute(&mut self, attribute: &'a str) -> Result<(), FragmentError> {
        match attribute.split_once(':') {
            Some(("ice-ufrag", value)) => self.ufrag = self.ufrag.or(Some(value)),
            Some(("ice-pwd", value)) => self.pwd = self.pwd.or(Some(value)),
            Some(("mid", value)) if value.len() > MAX_MID_CHARS => {
                return Err(FragmentError::TooLong);
            }
            Some(("mid", value)) => self.mid = Some(value),
            Some(("candidate", _)) => self.candidate(attribute)?,
            None if attribute == "end-of-candidates" => self.candidate("")?,
            Some(_) | None => {}
        }
        Ok(())
    }

    fn candidate(&mut self, candidate: &str) -> Result<(), FragmentError> {
        if self.candidates.len() >= MAX_CANDIDATES {
            return Err(FragmentError::TooMany);
        }
        if candidate.len() > MAX_CANDIDATE_CHARS {
            return Err(FragmentError::TooLong);
        }
        self.candidates.push(IceCandidate {
            candidate: candidate.to_owned(),
            sdp_mid: self.mid.map(str::to_owned),
            sdp_mline_index: None,
            username_fragment: None,
        });
        Ok(())
    }
}

/// `ice-char`s of RFC 8839 §5.4.
fn is_credential(text: &str, least: usize) -> bool {
    let fits = (least..=MAX_CREDENTIAL_CHARS).contains(&text.len());
    fits && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/'))
}

/// The ICE user name fragment of an offer.
pub(crate) fn ufrag_of(sdp: &str) -> Option<&str> {
    let ufrag = sdp.lines().find_map(|line| line.strip_prefix("a=ice-ufrag:"))?;
    is_credential(ufrag, 4).then_some(ufrag)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RFC_8840: &str = "a=ice-ufrag:P2uR\r\n\
        a=ice-pwd:YH75Fviy6338Vbrhrlp8Yh1A\r\n\
        m=audio 9 RTP/AVP 0\r\n\
        a=mid:0\r\n\
        a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host\r\n\
        a=end-of-candidates\r\n";

    #[test]
    fn candidates_are_read_with_the_section_they_belong_to() {
        let fragment = Fragment::parse(RFC_8840).unwrap();
        assert_eq!(fragment.ufrag, "P2uR");
        let of = |candidate: &str| IceCandidate {
            candidate: candidate.to_owned(),
            sdp_mid: Some("0".into()),
            sdp_mline_index: None,
            username_fragment: Some("P2uR".into()),
        };
        let host = "candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host";
        assert_eq!(fragment.candidates, [of(host), of("")]);
    }

    #[test]
    fn what_is_no_fragment_is_named() {
        let pwd = "a=ice-pwd:YH75Fviy6338Vbrhrlp8Yh1A\r\n";
        let ufrag = "a=ice-ufrag:P2uR\r\n";
        let many = "a=candidate:1\r\n".repeat(MAX_CANDIDATES + 1);
        let candidate = "candidate:".len();
        let fits = format!(
            "{ufrag}{pwd}a=mid:{}\r\na=candidate:{}\r\n",
            "m".repeat(MAX_MID_CHARS),
            "c".repeat(MAX_CANDIDATE_CHARS - candidate)
        );
        assert_eq!(Fragment::parse(&fits).unwrap().candidates.len(), 1);
        for (text, error) in [
            (String::new(), FragmentError::Ufrag),
            (pwd.to_owned(), FragmentError::Ufrag),
            (ufrag.to_owned(), FragmentError::Pwd),
            (format!("a=ice-ufrag:x\r\n{pwd}"), FragmentError::Ufrag),
            (format!("a=ice-ufrag:a b c\r\n{pwd}"), FragmentError::Ufrag),
            (format!("{ufrag}{pwd}{many}"), FragmentError::TooMany),
            (fits.replace("a=mid:", "a=mid:m"), FragmentError::TooLong),
            (fits.replace("a=candidate:", "a=candidate:c"), FragmentError::TooLong),
            ("nonsense".to_owned(), FragmentError::Line),
            ("abc=1".to_owned(), FragmentError::Line),
        ] {
            assert_eq!(Fragment::parse(&text), Err(error), "{text}");
        }
    }
}
