//! Trickled candidates as WHIP and WHEP send them: `application/trickle-ice-sdpfrag`
//! (RFC 8840 §9).

use std::fmt::Write as _;

use super::parse::{Problem, candidate, is_token, lines, pwd, ufrag};
use super::{MAX_CANDIDATES, MAX_SECTIONS, MAX_SIZE, SdpError};

/// A piece of a description: new candidates, and new credentials when ICE restarts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fragment {
    /// The credentials the candidates belong to.
    pub ufrag: Option<String>,
    pub pwd: Option<String>,
    pub sections: Vec<FragmentSection>,
}

/// The candidates of one section.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FragmentSection {
    pub mid: String,
    /// `candidate:…`
    pub candidates: Vec<String>,
    pub end_of_candidates: bool,
}

impl Fragment {
    /// Reads the body of a `PATCH`.
    ///
    /// # Errors
    /// When it is larger than it may be, or a line cannot be understood.
    pub fn parse(text: &str) -> Result<Self, SdpError> {
        if text.len() > MAX_SIZE {
            return Err(SdpError::TooLarge(text.len()));
        }
        let mut fragment = Self::default();
        for (number, kind, value) in lines(text) {
            fragment.line(kind, value).map_err(|problem| problem.at(number))?;
        }
        Ok(fragment)
    }

    fn line(&mut self, kind: char, value: &str) -> Result<(), Problem> {
        if kind == 'm' {
            if self.sections.len() == MAX_SECTIONS {
                return Err(Problem::TooMany("sections", MAX_SECTIONS));
            }
            self.sections.push(FragmentSection::default());
            return Ok(());
        }
        let (name, value) = value.split_once(':').unwrap_or((value, ""));
        match (kind, name) {
            // Of the session or of the first section: all share one transport.
            ('a', "ice-ufrag") => self.ufrag = Some(ufrag(value)?),
            ('a', "ice-pwd") => self.pwd = Some(pwd(value)?),
            ('a', "mid") if !is_token(value) => return Err(Problem::Malformed("a mid is a token")),
            ('a', "mid") => self.section().mid = value.to_owned(),
            ('a', "candidate") => {
                if self.candidates().count() == MAX_CANDIDATES {
                    return Err(Problem::TooMany("candidates", MAX_CANDIDATES));
                }
                let candidate = candidate(value)?;
                self.section().candidates.push(candidate);
            }
            ('a', "end-of-candidates") => self.section().end_of_candidates = true,
            _ => {}
        }
        Ok(())
    }

    fn section(&mut self) -> &mut FragmentSection {
        if self.sections.is_empty() {
            self.sections.push(FragmentSection::default());
        }
        self.sections.last_mut().expect("one was pushed above")
    }

    /// The candidates of all sections: bundled, they share one transport.
    pub fn candidates(&self) -> impl Iterator<Item = &str> {
        self.sections.iter().flat_map(|section| &section.candidates).map(String::as_str)
    }

    /// Whether there are no more to come.
    #[must_use]
    pub fn end_of_candidates(&self) -> bool {
        self.sections.iter().any(|section| section.end_of_candidates)
    }

    /// The body of a `PATCH` or of its response.
    #[must_use]
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
            // Media and formats of the line say nothing in a fragment (RFC 8840 §9.1).
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
