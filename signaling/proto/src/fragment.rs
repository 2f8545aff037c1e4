//! Fragments of a session description, `application/trickle-ice-sdpfrag` (RFC 8840 §9): the ICE
//! candidates and credentials that WHEP players and gateways send after offer and answer.

use std::fmt::Write as _;

use crate::IceCandidate;

/// The most candidates that are read from one fragment, enough for a machine with dozens of
/// addresses; the ones after it are left out.
const MAX_CANDIDATES: usize = 64;
/// The most sections that are read from one fragment, more than an offer may have; what the ones
/// after it hold is left out.
const MAX_SECTIONS: usize = 64;
/// The longest candidate; a longer one is left out. Those of browsers have less than half of it.
const MAX_CANDIDATE_CHARS: usize = 512;
/// The longest name of a section, which is repeated with each of its candidates; a longer one is
/// left out. Browsers use `0`.
const MAX_MID_CHARS: usize = 64;
/// The most sections of an offer whose credentials are remembered.
const MAX_CREDENTIALS: usize = 32;
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
    /// The names of the sections that share one transport (`a=group:BUNDLE`, RFC 8840 §4.4); empty
    /// without such a group.
    pub bundle: Vec<String>,
    /// The other attributes to write before the sections, each without its `a=`, such as
    /// `ice-options:ice2`, which a response to a restart repeats. None are read.
    pub attributes: Vec<String>,
    /// The media sections; candidates before the first `m=` line are in a section of their own.
    pub sections: Vec<FragmentSection>,
}

/// The candidates of one media section.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FragmentSection {
    /// The name of the section, empty if it has none.
    pub mid: String,
    /// The ICE user name fragment of this section, if it has one of its own.
    pub ufrag: Option<String>,
    /// The ICE password of this section, if it has one of its own.
    pub pwd: Option<String>,
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
    /// A line does not have the form `t=value`.
    #[error("the fragment has a line that is not an SDP line")]
    Line,
    /// The fragment has candidates, and none has the form of RFC 8839 §5.1.
    #[error("none of the fragment's candidates has the form of RFC 8839 §5.1")]
    Candidate,
}

impl Fragment {
    /// Reads the body of a `PATCH` or of its response. Credentials may be missing. Attributes that
    /// it does not know are ignored, and so are blanks at the end of a line, candidates that are
    /// malformed, too long or too many, and names of sections that are no tokens (RFC 8866 §9): a
    /// candidate needs no name where all sections share one transport.
    ///
    /// # Errors
    /// [`FragmentError::Line`], or [`FragmentError::Candidate`] if there are candidates and none of
    /// them can be read.
    pub fn parse(text: &str) -> Result<Self, FragmentError> {
        let mut parser = Parser::default();
        for line in text.lines().map(str::trim_end).filter(|line| !line.is_empty()) {
            parser.line(line)?;
        }
        if parser.left_out && parser.candidates == 0 {
            return Err(FragmentError::Candidate);
        }
        Ok(parser.fragment)
    }

    /// Returns true if the fragment has a user name fragment or a password, valid or not.
    pub fn has_credentials(&self) -> bool {
        self.ufrag.is_some() || self.pwd.is_some()
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

    /// Returns the user name fragments of the session and of its sections, each once.
    pub fn ufrags(&self) -> Vec<&str> {
        let sections = self.sections.iter().filter_map(|section| section.ufrag.as_deref());
        let mut ufrags = Vec::new();
        for ufrag in self.ufrag.as_deref().into_iter().chain(sections) {
            if !ufrags.contains(&ufrag) {
                ufrags.push(ufrag);
            }
        }
        ufrags
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
                    username_fragment: section.ufrag.clone().or_else(|| self.ufrag.clone()),
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
        if !self.bundle.is_empty() {
            line("a=group:BUNDLE ", &self.bundle.join(" "));
        }
        for attribute in &self.attributes {
            line("a=", attribute);
        }
        for section in &self.sections {
            // Media and formats of the line mean nothing in a fragment (RFC 8840 §9.1).
            line("m=", "video 9 UDP/TLS/RTP/SAVPF 0");
            line("a=mid:", &section.mid);
            for (prefix, value) in [("a=ice-ufrag:", &section.ufrag), ("a=ice-pwd:", &section.pwd)]
            {
                if let Some(value) = value {
                    line(prefix, value);
                }
            }
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
    /// True if a candidate was left out.
    left_out: bool,
    /// The number of `m=` lines so far.
    sections: usize,
}

impl Parser {
    fn line(&mut self, line: &str) -> Result<(), FragmentError> {
        let (kind, value) = line.split_once('=').ok_or(FragmentError::Line)?;
        match kind {
            "m" => {
                self.sections += 1;
                if self.sections <= MAX_SECTIONS {
                    self.fragment.sections.push(FragmentSection::default());
                }
            }
            "a" if self.sections <= MAX_SECTIONS => self.attribute(value),
            _ if kind.len() == 1 => {}
            _ => return Err(FragmentError::Line),
        }
        Ok(())
    }

    fn attribute(&mut self, attribute: &str) {
        let fragment = &mut self.fragment;
        match attribute.split_once(':') {
            Some(("ice-ufrag", value)) => {
                fragment.ufrag.get_or_insert_with(|| value.to_owned());
                if let Some(section) = fragment.sections.last_mut() {
                    section.ufrag = Some(value.to_owned());
                }
            }
            Some(("ice-pwd", value)) => {
                fragment.pwd.get_or_insert_with(|| value.to_owned());
                if let Some(section) = fragment.sections.last_mut() {
                    section.pwd = Some(value.to_owned());
                }
            }
            Some(("group", value)) if fragment.bundle.is_empty() => {
                if let Some(mids) = value.strip_prefix("BUNDLE ") {
                    let mids = mids.split_ascii_whitespace().filter(|mid| is_mid(mid));
                    fragment.bundle = mids.take(MAX_SECTIONS).map(str::to_owned).collect();
                }
            }
            Some(("mid", value)) if is_mid(value) => {
                value.clone_into(&mut self.section().mid);
            }
            Some(("candidate", _)) => {
                if self.counts_candidate(is_candidate(attribute)) {
                    self.section().candidates.push(attribute.to_owned());
                }
            }
            None if attribute == "end-of-candidates" => {
                // It is forwarded like a candidate.
                if self.counts_candidate(true) {
                    self.section().end_of_candidates = true;
                }
            }
            Some(_) | None => {}
        }
    }

    /// Returns true if there is room for one more candidate, and counts it.
    fn counts_candidate(&mut self, is_valid: bool) -> bool {
        let counts = is_valid && self.candidates < MAX_CANDIDATES;
        self.candidates += usize::from(counts);
        self.left_out |= !counts;
        counts
    }

    fn section(&mut self) -> &mut FragmentSection {
        let sections = &mut self.fragment.sections;
        if sections.is_empty() {
            sections.push(FragmentSection::default());
        }
        sections.last_mut().expect("one was pushed above")
    }
}

/// Returns the ICE user name fragments of an SDP offer that are valid by RFC 8839 §5.4: that of the
/// session and those of its first sections, each once. Bundled sections may have different ones, of
/// which the transport uses one (RFC 9143 §7.3.1).
pub fn offer_ufrags(sdp: &str) -> Vec<&str> {
    let mut ufrags = Vec::new();
    let lines = sdp.lines().filter_map(|line| line.trim_end().strip_prefix("a=ice-ufrag:"));
    for ufrag in lines.filter(|ufrag| is_credential(ufrag, MIN_UFRAG_CHARS)) {
        if !ufrags.contains(&ufrag) && ufrags.len() < MAX_CREDENTIALS {
            ufrags.push(ufrag);
        }
    }
    ufrags
}

/// Returns true if an attribute has the form of a candidate (RFC 8839 §5.1): foundation, component,
/// transport, priority, address, port, `typ` and a type, which extensions may follow.
fn is_candidate(attribute: &str) -> bool {
    let is_printable = attribute.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    let Some(fields) = attribute.strip_prefix("candidate:") else { return false };
    let fields: Vec<&str> = fields.split_ascii_whitespace().take(8).collect();
    let [_foundation, component, _transport, priority, _address, port, typ, _type] =
        fields.as_slice()
    else {
        return false;
    };
    is_printable
        && attribute.len() <= MAX_CANDIDATE_CHARS
        && component.parse::<u16>().is_ok()
        && priority.parse::<u32>().is_ok()
        && port.parse::<u16>().is_ok()
        && typ.eq_ignore_ascii_case("typ")
}

/// Returns true if `text` consists of enough `ice-char`s of RFC 8839 §5.4.
fn is_credential(text: &str, min: usize) -> bool {
    (min..=MAX_CREDENTIAL_CHARS).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/'))
}

/// Returns true if `text` is a token of RFC 8866 §9 and not too long for the name of a section.
/// Slashes are allowed.
fn is_mid(text: &str) -> bool {
    (1..=MAX_MID_CHARS).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_graphic() && !b"\"(),:;<=>?@[\\]".contains(&b))
}

#[cfg(test)]
mod tests;
