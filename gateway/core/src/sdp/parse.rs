//! Parser for session descriptions: bounds every line and ignores what it does not understand.
//!
//! Lists that are too long are trimmed, because a peer cannot help the number of its addresses or
//! codecs. An error remains where the description could not be used, or not safely.

mod attributes;

use std::time::Duration;

use porthole_signaling_proto::fragment::Fragment;

use super::description::{Description, Section};
use super::{MAX_CANDIDATES, MAX_CODECS, MAX_SECTIONS, MAX_SIZE, SdpError};
use attributes::{OpenSection, is_token};

/// Maximum number of BUNDLE groups that are read; browsers have one.
const MAX_BUNDLES: usize = 4;

/// Parses the description of a browser or a player.
///
/// # Errors
/// If it exceeds [`MAX_SIZE`] or [`MAX_SECTIONS`], or if a line that is needed is malformed.
pub fn parse(text: &str) -> Result<Description, SdpError> {
    if text.len() > MAX_SIZE {
        return Err(SdpError::TooLarge(text.len()));
    }
    let mut parser = Parser::new();
    let mut lines = lines(text);
    match lines.next() {
        Some((_, 'v', "0")) => {}
        _ => return Err(SdpError::Malformed { line: 1, reason: "it must be v=0" }),
    }
    for (number, kind, value) in lines {
        parser.line(kind, value).map_err(|problem| problem.at(number))?;
    }
    parser.finish()
}

/// Parses a fragment of a description, as it is sent to restart ICE (RFC 8840 §9).
///
/// # Errors
/// If it exceeds the bounds of a description, or if a line that is needed is malformed.
pub fn parse_fragment(text: &str) -> Result<Fragment, SdpError> {
    if text.len() > MAX_SIZE {
        return Err(SdpError::TooLarge(text.len()));
    }
    let fragment = Fragment::parse(text)?;
    if fragment.sections.len() > MAX_SECTIONS {
        return Err(SdpError::TooMany { what: "sections", limit: MAX_SECTIONS });
    }
    Ok(fragment)
}

/// Returns number, type and value of each line that has the form `t=value`. Lines may end with LF
/// alone, and have blanks around them.
fn lines(text: &str) -> impl Iterator<Item = (usize, char, &str)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    text.split('\n').enumerate().filter_map(|(index, line)| {
        let (kind, value) = line.trim().split_once('=')?;
        let mut letters = kind.trim_end().chars();
        let letter = letters.next()?;
        letters.next().is_none().then_some((index + 1, letter, value.trim_start()))
    })
}

/// An error in a line, before the line number is known.
enum Problem {
    Malformed(&'static str),
    TooMany(&'static str, usize),
}

impl Problem {
    fn at(self, line: usize) -> SdpError {
        match self {
            Self::Malformed(reason) => SdpError::Malformed { line, reason },
            Self::TooMany(what, limit) => SdpError::TooMany { what, limit },
        }
    }
}

struct Parser {
    description: Description,
    /// Attributes of the session level, which apply to every section.
    session: OpenSection,
    /// The section that the lines belong to; `None` before the first one.
    current: Option<OpenSection>,
    /// Number of candidates in all sections.
    candidates: usize,
}

impl Parser {
    fn new() -> Self {
        Self {
            description: Description::default(),
            session: OpenSection::default(),
            current: None,
            candidates: 0,
        }
    }

    fn line(&mut self, kind: char, value: &str) -> Result<(), Problem> {
        match kind {
            'o' => self.origin(value),
            'm' => return self.media(value),
            'a' => {
                let (name, value) = value.split_once(':').unwrap_or((value, ""));
                return self.attribute(&name.trim().to_ascii_lowercase(), value.trim());
            }
            _ => {}
        }
        Ok(())
    }

    /// Reads session id and version, which only serve to tell descriptions apart.
    fn origin(&mut self, value: &str) {
        let mut fields = value.split_ascii_whitespace().skip(1);
        let mut number = || fields.next().and_then(|field| field.parse().ok()).unwrap_or(0);
        self.description.session = (number(), number());
    }

    fn media(&mut self, value: &str) -> Result<(), Problem> {
        self.close_section();
        if self.description.sections.len() == MAX_SECTIONS {
            return Err(Problem::TooMany("sections", MAX_SECTIONS));
        }
        self.current = Some(media_line(value, &self.session)?);
        Ok(())
    }

    fn close_section(&mut self) {
        if let Some(current) = self.current.take() {
            self.description.sections.push(current.close());
        }
    }

    /// Handles an attribute of the current section, or of the session before the first section.
    fn attribute(&mut self, name: &str, value: &str) -> Result<(), Problem> {
        match name {
            "group" => return self.group(value),
            "ice-lite" => self.description.ice_lite = true,
            "ice-pacing" => {
                let pacing = value.parse::<u32>().ok().map(u64::from);
                self.description.ice_pacing = pacing.map(Duration::from_millis);
            }
            "ice-options" => {
                let has = |option| value.split_ascii_whitespace().any(|known| known == option);
                self.description.trickle |= has("trickle");
                self.description.ice2 |= has("ice2");
            }
            "candidate" => {
                if self.candidates >= MAX_CANDIDATES {
                    return Ok(());
                }
                let section = self.current.as_mut().unwrap_or(&mut self.session);
                self.candidates += usize::from(section.add_candidate(value));
            }
            _ => return self.current.as_mut().unwrap_or(&mut self.session).attribute(name, value),
        }
        Ok(())
    }

    /// Reads a BUNDLE group (RFC 9143 §7). What follows about it in the text is not needed: a
    /// section is in the first group that names it.
    fn group(&mut self, value: &str) -> Result<(), Problem> {
        let mut words = value.split_ascii_whitespace();
        let is_bundle = words.next().is_some_and(|word| word.eq_ignore_ascii_case("BUNDLE"));
        if is_bundle && self.description.bundles.len() < MAX_BUNDLES {
            let mids = words.take(MAX_SECTIONS).map(str::to_owned).collect();
            self.description.bundles.push(mids);
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Description, SdpError> {
        self.close_section();
        let mut description = self.description;
        let session = self.session.close();
        if let Some(first) = description.sections.first_mut() {
            first.candidates.extend(session.candidates);
            first.end_of_candidates |= session.end_of_candidates;
            Ok(description)
        } else {
            Err(SdpError::NoVideo)
        }
    }
}

/// Parses the value of `m=<media> <port>[/<n>] <proto> <fmt> …`.
fn media_line(value: &str, session: &OpenSection) -> Result<OpenSection, Problem> {
    const MALFORMED: Problem =
        Problem::Malformed("an m= line needs media, port, protocol and formats");
    let mut fields = value.split_ascii_whitespace();
    let mut field = || fields.next().filter(|field| is_token(field)).ok_or(MALFORMED);
    let media = field()?.to_ascii_lowercase();
    let port = field()?.split('/').next().and_then(|port| port.parse().ok()).ok_or(MALFORMED)?;
    let protocol = field()?.to_owned();
    let formats: Vec<_> = fields.take(MAX_CODECS).map(str::to_owned).collect();
    if formats.is_empty() || !formats.iter().all(|format| is_token(format)) {
        return Err(MALFORMED);
    }
    let inherited = Section { candidates: Vec::new(), ..session.section().clone() };
    Ok(OpenSection::new(Section { media, port, protocol, formats, ..inherited }))
}
