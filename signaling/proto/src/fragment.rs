//! Fragments of a session description, `application/trickle-ice-sdpfrag` (RFC 8840 §9): the ICE
//! candidates and credentials that WHEP players and gateways send after offer and answer.

use std::fmt::Write as _;

use crate::IceCandidate;

/// The most candidates in one fragment, enough for a machine with dozens of addresses. Each
/// `a=end-of-candidates` counts as one, because it is forwarded like one.
const MAX_CANDIDATES: usize = 64;
/// The longest candidate; those of browsers have less than half of it.
const MAX_CANDIDATE_CHARS: usize = 512;
/// The longest name of a section, which is repeated with each of its candidates. Browsers use `0`.
const MAX_MID_CHARS: usize = 64;
/// RFC 8839 §5.4: a user name fragment has 4 to 256 characters, a password 22 to 256.
const MIN_UFRAG_CHARS: usize = 4;
const MIN_PWD_CHARS: usize = 22;
const MAX_CREDENTIAL_CHARS: usize = 256;

/// A fragment of a session description.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fragment {
    /// The ICE user name fragment of the first `a=ice-ufrag`, as it was sent.
    pub ufrag: Option<String>,
    /// The ICE password of the first `a=ice-pwd`, as it was sent.
    pub pwd: Option<String>,
    /// The media sections; candidates before the first `m=` line are in a section of their own.
    pub sections: Vec<FragmentSection>,
}

/// The candidates of one media section.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FragmentSection {
    /// The name of the section, empty if it has none.
    pub mid: String,
    /// The candidates, each in the form `candidate:…`.
    pub candidates: Vec<String>,
    /// True if no more candidates will follow.
    pub end_of_candidates: bool,
}

/// A fragment that cannot be read or used; its text is for the sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FragmentError {
    /// `a=ice-ufrag` is missing or not valid.
    #[error("the fragment has no valid a=ice-ufrag line")]
    Ufrag,
    /// `a=ice-pwd` is missing or not valid.
    #[error("the fragment has no valid a=ice-pwd line")]
    Pwd,
    /// The fragment has more candidates than any machine.
    #[error("the fragment has more than {MAX_CANDIDATES} candidates")]
    TooMany,
    /// A candidate or the name of its section is too long.
    #[error(
        "a candidate has at most {MAX_CANDIDATE_CHARS} characters, and the name of its section \
         {MAX_MID_CHARS}"
    )]
    TooLong,
    /// A line does not have the form `t=value`.
    #[error("the fragment has a line that is not an SDP line")]
    Line,
    /// The name of a section is not a token (RFC 8866 §9).
    #[error("the fragment has a section whose name is not a token")]
    Mid,
    /// A candidate has characters other than printable ASCII.
    #[error("the fragment has a candidate that is not printable ASCII")]
    Candidate,
}

impl Fragment {
    /// Reads the body of a `PATCH` or of its response. Attributes that it does not know are
    /// ignored; credentials may be missing.
    ///
    /// # Errors
    /// [`FragmentError::Line`], [`FragmentError::TooMany`] or [`FragmentError::TooLong`].
    pub fn parse(text: &str) -> Result<Self, FragmentError> {
        let mut parser = Parser::default();
        for line in text.lines().filter(|line| !line.is_empty()) {
            parser.line(line)?;
        }
        Ok(parser.fragment)
    }

    /// Returns the user name fragment and the password.
    ///
    /// # Errors
    /// [`FragmentError::Ufrag`] or [`FragmentError::Pwd`] if one is missing or not valid by
    /// RFC 8839 §5.4.
    pub fn credentials(&self) -> Result<(&str, &str), FragmentError> {
        let valid = |text: &Option<String>, min| match text {
            Some(text) if is_credential(text, min) => true,
            Some(_) | None => false,
        };
        if !valid(&self.ufrag, MIN_UFRAG_CHARS) {
            return Err(FragmentError::Ufrag);
        }
        if !valid(&self.pwd, MIN_PWD_CHARS) {
            return Err(FragmentError::Pwd);
        }
        let (ufrag, pwd) = (self.ufrag.as_deref(), self.pwd.as_deref());
        Ok((ufrag.unwrap_or_default(), pwd.unwrap_or_default()))
    }

    /// Checks that nothing in the fragment could begin a line of its own where it is written.
    ///
    /// # Errors
    /// [`FragmentError::Mid`] or [`FragmentError::Candidate`].
    pub fn check_characters(&self) -> Result<(), FragmentError> {
        for FragmentSection { mid, .. } in &self.sections {
            if !mid.is_empty() && !is_token(mid) {
                return Err(FragmentError::Mid);
            }
        }
        let is_plain = |text: &str| text.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
        if self.candidates().all(is_plain) { Ok(()) } else { Err(FragmentError::Candidate) }
    }

    /// Returns the candidates of all sections. Bundled, they share one transport.
    pub fn candidates(&self) -> impl Iterator<Item = &str> {
        self.sections.iter().flat_map(|section| &section.candidates).map(String::as_str)
    }

    /// Returns the candidates as `trickle` carries them: each with its section and the user name
    /// fragment, and an empty one at the end of a section that will get no more.
    pub fn ice_candidates(&self) -> Vec<IceCandidate> {
        let mut candidates = Vec::new();
        for section in &self.sections {
            let end = section.end_of_candidates.then_some("");
            for candidate in section.candidates.iter().map(String::as_str).chain(end) {
                candidates.push(IceCandidate {
                    candidate: candidate.to_owned(),
                    sdp_mid: (!section.mid.is_empty()).then(|| section.mid.clone()),
                    sdp_mline_index: None,
                    username_fragment: self.ufrag.clone(),
                });
            }
        }
        candidates
    }

    /// Returns true if a section says that no more candidates will follow.
    pub fn end_of_candidates(&self) -> bool {
        self.sections.iter().any(|section| section.end_of_candidates)
    }

    /// Writes the body of a `PATCH` or of its response.
    ///
    /// # Panics
    /// Never: a `String` takes everything that is written to it.
    pub fn write(&self) -> String {
        let mut text = String::new();
        let mut line = |prefix: &str, value: &str| {
            write!(text, "{prefix}{value}\r\n").expect("a String takes everything");
        };
        for (prefix, value) in [("a=ice-ufrag:", &self.ufrag), ("a=ice-pwd:", &self.pwd)] {
            if let Some(value) = value {
                line(prefix, value);
            }
        }
        for section in &self.sections {
            // Media and formats of the line mean nothing in a fragment (RFC 8840 §9.1).
            line("m=", "video 9 UDP/TLS/RTP/SAVPF 0");
            line("a=mid:", &section.mid);
            for candidate in &section.candidates {
                line("a=", candidate);
            }
            if section.end_of_candidates {
                line("a=", "end-of-candidates");
            }
        }
        text
    }
}

#[derive(Default)]
struct Parser {
    fragment: Fragment,
    /// The number of candidates and ends of candidates so far.
    candidates: usize,
}

impl Parser {
    fn line(&mut self, line: &str) -> Result<(), FragmentError> {
        let (kind, value) = line.split_once('=').ok_or(FragmentError::Line)?;
        match kind {
            "m" => self.fragment.sections.push(FragmentSection::default()),
            "a" => self.attribute(value)?,
            _ if kind.len() == 1 => {}
            _ => return Err(FragmentError::Line),
        }
        Ok(())
    }

    fn attribute(&mut self, attribute: &str) -> Result<(), FragmentError> {
        let fragment = &mut self.fragment;
        match attribute.split_once(':') {
            // Credentials of the session or of a section: all sections share one transport.
            Some(("ice-ufrag", value)) => {
                fragment.ufrag.get_or_insert_with(|| value.to_owned());
            }
            Some(("ice-pwd", value)) => {
                fragment.pwd.get_or_insert_with(|| value.to_owned());
            }
            Some(("mid", value)) if value.len() > MAX_MID_CHARS => {
                return Err(FragmentError::TooLong);
            }
            Some(("mid", value)) => self.section().mid = value.to_owned(),
            Some(("candidate", _)) => {
                self.count_candidate()?;
                if attribute.len() > MAX_CANDIDATE_CHARS {
                    return Err(FragmentError::TooLong);
                }
                self.section().candidates.push(attribute.to_owned());
            }
            None if attribute == "end-of-candidates" => {
                self.count_candidate()?;
                self.section().end_of_candidates = true;
            }
            Some(_) | None => {}
        }
        Ok(())
    }

    fn count_candidate(&mut self) -> Result<(), FragmentError> {
        if self.candidates >= MAX_CANDIDATES {
            return Err(FragmentError::TooMany);
        }
        self.candidates += 1;
        Ok(())
    }

    fn section(&mut self) -> &mut FragmentSection {
        let sections = &mut self.fragment.sections;
        if sections.is_empty() {
            sections.push(FragmentSection::default());
        }
        sections.last_mut().expect("one was pushed above")
    }
}

/// Returns the ICE user name fragment of an SDP offer, if it is valid by RFC 8839 §5.4.
pub fn offer_ufrag(sdp: &str) -> Option<&str> {
    let ufrag = sdp.lines().find_map(|line| line.strip_prefix("a=ice-ufrag:"))?;
    is_credential(ufrag, MIN_UFRAG_CHARS).then_some(ufrag)
}

/// Returns true if `text` consists of enough `ice-char`s of RFC 8839 §5.4.
fn is_credential(text: &str, min: usize) -> bool {
    (min..=MAX_CREDENTIAL_CHARS).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/'))
}

/// Returns true if all of `text` may be in a token of RFC 8866 §9, or is a slash.
fn is_token(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_graphic() && !b"\"(),:;<=>?@[\\]".contains(&b))
}

#[cfg(test)]
mod tests;
