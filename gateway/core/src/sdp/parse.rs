//! Parser for session descriptions: bounds and checks every line, ignores unknown ones.

use porthole_signaling_proto::fragment::Fragment;

use super::description::{Description, Direction, Extension, RemoteCodec, Section, Setup};
use super::{MAX_CANDIDATE_LEN, MAX_CANDIDATES, MAX_CODECS, MAX_SECTIONS, MAX_SIZE, SdpError};
use crate::dtls_srtp::Fingerprint;

/// Maximum length of a mid in bytes: it must fit a one-byte header extension (RFC 9143 §14).
const MAX_MID_LEN: usize = 16;

/// Length of `a=ice-ufrag` in bytes (RFC 8839 §5.4).
const UFRAG_LEN: std::ops::RangeInclusive<usize> = 4..=256;
/// Length of `a=ice-pwd` in bytes (RFC 8839 §5.4).
const PWD_LEN: std::ops::RangeInclusive<usize> = 22..=256;

/// Maximum length of format parameters in bytes; the longest have H.264's parameter sets.
const MAX_FMTP_LEN: usize = 1024;

/// Maximum number of feedback kinds of a payload type; browsers list five.
const MAX_FEEDBACK: usize = 16;

/// Maximum number of header extensions of a section; browsers list eleven.
const MAX_EXTENSIONS: usize = 32;

/// Maximum number of BUNDLE groups; browsers have one.
const MAX_BUNDLES: usize = 4;

/// Parses the description of a browser or a player.
///
/// # Errors
/// If it exceeds a bound, or if a line that is needed is malformed.
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

/// Returns number, type and value of each line that has the form `t=value`.
fn lines(text: &str) -> impl Iterator<Item = (usize, char, &str)> {
    let lines = text.split('\n').enumerate();
    lines.filter_map(|(index, line)| {
        let (kind, value) = line.trim_end_matches('\r').split_once('=')?;
        let mut letters = kind.chars();
        let letter = letters.next()?;
        letters.next().is_none().then_some((index + 1, letter, value))
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
    session: Section,
    /// Number of candidates in all sections.
    candidates: usize,
}

impl Parser {
    fn new() -> Self {
        let session = empty_section();
        let description = Description {
            session: (0, 0),
            bundles: Vec::new(),
            trickle: false,
            ice_lite: false,
            sections: Vec::new(),
        };
        Self { description, session, candidates: 0 }
    }

    fn line(&mut self, kind: char, value: &str) -> Result<(), Problem> {
        // Some values are written into the answer, where they must not begin a new line.
        if value.contains(char::is_control) {
            return Err(Problem::Malformed("it has control characters"));
        }
        match kind {
            'o' => self.origin(value),
            'm' => self.media(value),
            'a' => match value.split_once(':') {
                Some((name, value)) => self.attribute(name, value),
                None => self.attribute(value, ""),
            },
            _ => Ok(()),
        }
    }

    fn origin(&mut self, value: &str) -> Result<(), Problem> {
        let mut fields = value.split(' ').skip(1);
        let mut number = || fields.next().and_then(|field| field.parse().ok());
        let (Some(id), Some(version)) = (number(), number()) else {
            return Err(Problem::Malformed("the origin needs a session id and version"));
        };
        self.description.session = (id, version);
        Ok(())
    }

    fn media(&mut self, value: &str) -> Result<(), Problem> {
        if self.description.sections.len() == MAX_SECTIONS {
            return Err(Problem::TooMany("sections", MAX_SECTIONS));
        }
        let section = media_line(value, &self.session)?;
        self.description.sections.push(section);
        Ok(())
    }

    /// Handles an attribute of the current section, or of the session before the first section.
    fn attribute(&mut self, name: &str, value: &str) -> Result<(), Problem> {
        let in_session = self.description.sections.is_empty();
        match name {
            "group" if in_session => return self.group(value),
            "ice-lite" if in_session => self.description.ice_lite = true,
            "ice-options" => {
                self.description.trickle |= value.split(' ').any(|option| option == "trickle");
            }
            "candidate" => self.count_candidate()?,
            _ => {}
        }
        let section = self.description.sections.last_mut().unwrap_or(&mut self.session);
        match name {
            "ice-ufrag" | "ice-pwd" | "fingerprint" | "setup" => {
                section.transport_attribute(name, value)
            }
            "candidate" | "end-of-candidates" => section.candidate_attribute(name, value),
            "rtpmap" | "fmtp" | "rtcp-fb" => section.codec_attribute(name, value),
            "ssrc" | "ssrc-group" => section.source_attribute(name, value),
            _ => section.other_attribute(name, value),
        }
    }

    fn group(&mut self, value: &str) -> Result<(), Problem> {
        let Some(mids) = value.strip_prefix("BUNDLE") else {
            return Ok(());
        };
        if self.description.bundles.len() == MAX_BUNDLES {
            return Err(Problem::TooMany("BUNDLE groups", MAX_BUNDLES));
        }
        let mids: Vec<_> = mids.split_ascii_whitespace().map(str::to_owned).collect();
        if mids.len() > MAX_SECTIONS {
            return Err(Problem::TooMany("sections", MAX_SECTIONS));
        }
        self.description.bundles.push(mids);
        Ok(())
    }

    fn count_candidate(&mut self) -> Result<(), Problem> {
        if self.candidates == MAX_CANDIDATES {
            return Err(Problem::TooMany("candidates", MAX_CANDIDATES));
        }
        self.candidates += 1;
        Ok(())
    }

    fn finish(self) -> Result<Description, SdpError> {
        let mut description = self.description;
        if description.sections.is_empty() {
            return Err(SdpError::NoVideo);
        }
        for section in &mut description.sections {
            section.end_of_candidates |= self.session.end_of_candidates;
            let known = &section.formats;
            section.codecs.retain(|codec| {
                !codec.name.is_empty() && known.contains(&codec.payload_type.to_string())
            });
            // The order of the m= line is the order of preference (RFC 3264 §5.1).
            section.codecs.sort_by_key(|codec| {
                let text = codec.payload_type.to_string();
                known.iter().position(|format| *format == text)
            });
        }
        Ok(description)
    }
}

fn empty_section() -> Section {
    Section {
        media: String::new(),
        port: 0,
        protocol: String::new(),
        formats: Vec::new(),
        mid: None,
        direction: Direction::SendRecv,
        bundle_only: false,
        ufrag: None,
        pwd: None,
        fingerprint: None,
        setup: None,
        rtcp_mux: false,
        codecs: Vec::new(),
        extensions: Vec::new(),
        ssrc: None,
        rtx_ssrc: None,
        candidates: Vec::new(),
        end_of_candidates: false,
    }
}

/// Parses the value of `m=<media> <port>[/<n>] <proto> <fmt> …`.
fn media_line(value: &str, session: &Section) -> Result<Section, Problem> {
    const MALFORMED: Problem =
        Problem::Malformed("an m= line needs media, port, protocol and formats");
    let mut fields = value.split_ascii_whitespace();
    let mut field = || fields.next().filter(|field| is_token(field)).ok_or(MALFORMED);
    let media = field()?.to_owned();
    let port = field()?.split('/').next().and_then(|port| port.parse().ok()).ok_or(MALFORMED)?;
    let protocol = field()?.to_owned();
    let formats: Vec<_> = fields.map(str::to_owned).collect();
    if formats.len() > MAX_CODECS {
        return Err(Problem::TooMany("formats in a section", MAX_CODECS));
    }
    if formats.is_empty() || !formats.iter().all(|format| is_token(format)) {
        return Err(MALFORMED);
    }
    Ok(Section {
        media,
        port,
        protocol,
        formats,
        direction: session.direction,
        ufrag: session.ufrag.clone(),
        pwd: session.pwd.clone(),
        fingerprint: session.fingerprint,
        setup: session.setup,
        extensions: session.extensions.clone(),
        ..empty_section()
    })
}

impl Section {
    fn transport_attribute(&mut self, name: &str, value: &str) -> Result<(), Problem> {
        match name {
            "ice-ufrag" => self.ufrag = Some(ufrag(value)?),
            "ice-pwd" => self.pwd = Some(pwd(value)?),
            "setup" => {
                let known = Setup::ALL.into_iter().find(|setup| setup.as_str() == value);
                self.setup = Some(known.ok_or(Problem::Malformed("an unknown a=setup"))?);
            }
            // Other hash functions may be listed beside the one everybody has (RFC 8122 §5).
            _ => {
                if let Some(hex) = strip_prefix_ignore_case(value, "sha-256 ") {
                    let parsed = fingerprint(hex)
                        .ok_or(Problem::Malformed("a SHA-256 fingerprint has 32 bytes"))?;
                    self.fingerprint = Some(parsed);
                }
            }
        }
        Ok(())
    }

    fn candidate_attribute(&mut self, name: &str, value: &str) -> Result<(), Problem> {
        if name == "end-of-candidates" {
            self.end_of_candidates = true;
            return Ok(());
        }
        self.candidates.push(candidate(value)?);
        Ok(())
    }

    fn codec_attribute(&mut self, name: &str, value: &str) -> Result<(), Problem> {
        let (target, rest) = value.split_once(' ').unwrap_or((value, ""));
        if name == "rtcp-fb" && target == "*" {
            return self.codecs.iter_mut().try_for_each(|codec| add_feedback(codec, rest));
        }
        // `a=fmtp` of a data channel has no payload type.
        let Ok(payload_type) = target.parse::<u8>() else {
            return Ok(());
        };
        let codec = self.codec(payload_type)?;
        match name {
            "rtpmap" => {
                let mut parts = rest.trim().split('/');
                codec.name = parts.next().filter(|name| is_token(name)).unwrap_or("").to_owned();
                let clock_rate = parts.next().and_then(|rate| rate.parse().ok());
                codec.clock_rate =
                    clock_rate.ok_or(Problem::Malformed("an a=rtpmap needs a clock rate"))?;
                codec.channels = parts.next().and_then(|channels| channels.parse().ok());
            }
            "fmtp" if rest.len() > MAX_FMTP_LEN => {
                return Err(Problem::TooMany("bytes of format parameters", MAX_FMTP_LEN));
            }
            "fmtp" => codec.fmtp = rest.to_owned(),
            _ => add_feedback(codec, rest)?,
        }
        Ok(())
    }

    fn codec(&mut self, payload_type: u8) -> Result<&mut RemoteCodec, Problem> {
        let known = self.codecs.iter().position(|codec| codec.payload_type == payload_type);
        if let Some(index) = known {
            return self.codecs.get_mut(index).ok_or(Problem::Malformed("a codec is missing"));
        }
        if self.codecs.len() == MAX_CODECS {
            return Err(Problem::TooMany("codecs in a section", MAX_CODECS));
        }
        let (name, fmtp, feedback) = (String::new(), String::new(), Vec::new());
        let (clock_rate, channels) = (0, None);
        let codec = RemoteCodec { payload_type, name, clock_rate, channels, fmtp, feedback };
        Ok(self.codecs.push_mut(codec))
    }

    fn source_attribute(&mut self, name: &str, value: &str) -> Result<(), Problem> {
        const MALFORMED: Problem = Problem::Malformed("an SSRC is a number of 32 bits");
        let mut words = value.split_ascii_whitespace();
        if name == "ssrc" {
            let ssrc = words.next().and_then(|ssrc| ssrc.parse().ok()).ok_or(MALFORMED)?;
            self.ssrc.get_or_insert(ssrc);
        } else if words.next() == Some("FID") {
            let mut ssrc = || words.next().and_then(|ssrc| ssrc.parse().ok()).ok_or(MALFORMED);
            self.ssrc = Some(ssrc()?);
            self.rtx_ssrc = Some(ssrc()?);
        }
        Ok(())
    }

    fn other_attribute(&mut self, name: &str, value: &str) -> Result<(), Problem> {
        match name {
            "mid" if value.len() > MAX_MID_LEN || !is_token(value) => {
                return Err(Problem::Malformed("a mid is a token of at most 16 letters"));
            }
            "mid" => self.mid = Some(value.to_owned()),
            "rtcp-mux" => self.rtcp_mux = true,
            "bundle-only" => self.bundle_only = true,
            "extmap" => return self.extension_attribute(value),
            _ => {
                let known = Direction::ALL.into_iter().find(|known| known.as_str() == name);
                self.direction = known.unwrap_or(self.direction);
            }
        }
        Ok(())
    }

    fn extension_attribute(&mut self, value: &str) -> Result<(), Problem> {
        let mut words = value.split_ascii_whitespace();
        let id = words.next().and_then(|id| id.split('/').next()?.parse::<u16>().ok());
        let (Some(id), Some(uri)) = (id, words.next()) else {
            return Err(Problem::Malformed("an a=extmap needs a number and a URI"));
        };
        if self.extensions.len() == MAX_EXTENSIONS {
            return Err(Problem::TooMany("header extensions", MAX_EXTENSIONS));
        }
        // Ids of 15 and above need two-byte headers, which are not sent (RFC 8285 §4.2).
        if let Some(id) = u8::try_from(id).ok().filter(|id| (1..=14).contains(id)) {
            self.extensions.push(Extension { id, uri: uri.to_owned() });
        }
        Ok(())
    }
}

fn add_feedback(codec: &mut RemoteCodec, feedback: &str) -> Result<(), Problem> {
    if codec.feedback.len() == MAX_FEEDBACK {
        return Err(Problem::TooMany("kinds of feedback for a codec", MAX_FEEDBACK));
    }
    codec.feedback.push(feedback.trim().to_owned());
    Ok(())
}

fn ufrag(value: &str) -> Result<String, Problem> {
    ice_chars(value, UFRAG_LEN)
        .ok_or(Problem::Malformed("an a=ice-ufrag has 4 to 256 ICE characters"))
}

fn pwd(value: &str) -> Result<String, Problem> {
    ice_chars(value, PWD_LEN).ok_or(Problem::Malformed("an a=ice-pwd has 22 to 256 ICE characters"))
}

/// Checks length and characters of an ICE credential. Some players use `=`, `-` and `_` of base64
/// besides the characters of RFC 8839 §5.4.
fn ice_chars(value: &str, len: std::ops::RangeInclusive<usize>) -> Option<String> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=-_".contains(&byte);
    (len.contains(&value.len()) && value.bytes().all(is_allowed)).then(|| value.to_owned())
}

/// Returns the value of `a=candidate` in the form `candidate:…` that trickling uses.
fn candidate(value: &str) -> Result<String, Problem> {
    if value.len() > MAX_CANDIDATE_LEN || !value.bytes().all(|b| b == b' ' || b.is_ascii_graphic())
    {
        return Err(Problem::Malformed("a candidate is one short line"));
    }
    Ok(format!("candidate:{value}"))
}

fn fingerprint(hex: &str) -> Option<Fingerprint> {
    let mut bytes = [0; 32];
    let mut pairs = hex.trim().split(':');
    for byte in &mut bytes {
        let pair = pairs.next().filter(|pair| pair.len() == 2)?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    pairs.next().is_none().then_some(Fingerprint(bytes))
}

fn strip_prefix_ignore_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let start = text.get(..prefix.len())?;
    if start.eq_ignore_ascii_case(prefix) { text.get(prefix.len()..) } else { None }
}

/// Returns true for a token of RFC 8866 §9, or one with the slashes of a protocol.
fn is_token(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_graphic() && !b"\"(),:;<=>?@[\\]".contains(&byte);
    !text.is_empty() && text.bytes().all(is_allowed)
}
