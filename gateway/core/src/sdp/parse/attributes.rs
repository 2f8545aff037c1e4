//! Attributes of a section.

use super::Problem;
use crate::dtls_srtp::Fingerprint;
use crate::sdp::MAX_CANDIDATE_LEN;
use crate::sdp::description::{Direction, Extension, RemoteCodec, Section, Setup};

/// Maximum length of a mid in bytes. Browsers use one digit; those that fit no header extension
/// are taken all the same.
const MAX_MID_LEN: usize = 64;

/// Length of `a=ice-ufrag` in bytes (RFC 8839 §5.4).
const UFRAG_LEN: std::ops::RangeInclusive<usize> = 4..=256;
/// Length of `a=ice-pwd` in bytes (RFC 8839 §5.4).
const PWD_LEN: std::ops::RangeInclusive<usize> = 22..=256;

/// Maximum length of format parameters in bytes; the longest have H.264's parameter sets. What is
/// beyond it is left out.
const MAX_FMTP_LEN: usize = 2048;

/// Maximum number of feedback kinds of a payload type; browsers list five.
const MAX_FEEDBACK: usize = 16;

/// Maximum number of header extensions of a section; browsers list eleven.
const MAX_EXTENSIONS: usize = 32;

/// The last payload type (RFC 3550 §5.1), and with it the bound of a section's codecs.
const MAX_PAYLOAD_TYPE: u8 = 127;

/// Payload types that need no `a=rtpmap` (RFC 3551 §6), as far as WebRTC knows them.
const STATIC_TYPES: [(u8, &str, u32); 3] =
    [(0, "PCMU", 8000), (8, "PCMA", 8000), (9, "G722", 8000)];

/// A section whose lines are being read.
#[derive(Debug, Default)]
pub(super) struct OpenSection {
    section: Section,
    /// Feedback of `a=rtcp-fb:*`, which holds for all codecs, wherever it stands (RFC 4585 §4.2).
    any_feedback: Vec<String>,
}

impl OpenSection {
    pub(super) fn new(section: Section) -> Self {
        Self { section, any_feedback: Vec::new() }
    }

    pub(super) fn section(&self) -> &Section {
        &self.section
    }

    /// Returns the section with all that its lines mean together.
    pub(super) fn close(self) -> Section {
        let Self { mut section, any_feedback } = self;
        let position = |payload_type: u8| {
            let text = payload_type.to_string();
            section.formats.iter().position(|format| *format == text)
        };
        for (payload_type, name, clock_rate) in STATIC_TYPES {
            let is_known = section.codecs.iter().any(|codec| codec.payload_type == payload_type);
            if !is_known && position(payload_type).is_some() {
                let codec =
                    RemoteCodec { name: name.to_owned(), clock_rate, ..empty(payload_type) };
                section.codecs.push(codec);
            }
        }
        let is_usable =
            |codec: &RemoteCodec| !codec.name.is_empty() && position(codec.payload_type).is_some();
        section.codecs.retain(is_usable);
        // The order of the m= line is the order of preference (RFC 3264 §5.1).
        section.codecs.sort_by_key(|codec| position(codec.payload_type));
        for codec in &mut section.codecs {
            for feedback in &any_feedback {
                add_feedback(&mut codec.feedback, feedback);
            }
        }
        section
    }

    /// Handles an attribute; one that is unknown or says nothing is ignored.
    pub(super) fn attribute(&mut self, name: &str, value: &str) -> Result<(), Problem> {
        let section = &mut self.section;
        match name {
            "ice-ufrag" => section.ufrag = Some(ufrag(value)?),
            "ice-pwd" => section.pwd = Some(pwd(value)?),
            "fingerprint" => return section.fingerprint_attribute(value),
            "setup" => {
                let mut known = Setup::ALL.into_iter();
                section.setup = known.find(|setup| setup.as_str().eq_ignore_ascii_case(value));
            }
            "end-of-candidates" => section.end_of_candidates = true,
            "mid" if value.len() > MAX_MID_LEN || !is_token(value) => {
                return Err(Problem::Malformed("a mid is a token of at most 64 letters"));
            }
            "mid" => section.mid = Some(value.to_owned()),
            "rtcp-mux" | "rtcp-mux-only" => section.rtcp_mux = true,
            "bundle-only" => section.bundle_only = true,
            "extmap" => section.extension_attribute(value),
            "ssrc" | "ssrc-group" => section.source_attribute(name, value),
            "rtpmap" | "fmtp" | "rtcp-fb" => self.codec_attribute(name, value),
            _ => {
                let known = Direction::ALL.into_iter().find(|known| known.as_str() == name);
                section.direction = known.unwrap_or(section.direction);
            }
        }
        Ok(())
    }

    /// Adds a candidate in the form `candidate:…` that trickling uses. Returns false if it cannot
    /// be used: media needs UDP here, and sections of one transport repeat their candidates.
    pub(super) fn add_candidate(&mut self, value: &str) -> bool {
        let is_plain = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
        let transport = value.split_ascii_whitespace().nth(2);
        if value.len() > MAX_CANDIDATE_LEN
            || !value.bytes().all(is_plain)
            || transport.is_none_or(|transport| !transport.eq_ignore_ascii_case("udp"))
        {
            return false;
        }
        let candidate = format!("candidate:{value}");
        let is_new = !self.section.candidates.contains(&candidate);
        if is_new {
            self.section.candidates.push(candidate);
        }
        is_new
    }

    fn codec_attribute(&mut self, name: &str, value: &str) {
        // Format parameters are written into the answer, where they must not begin a new line.
        if value.contains(char::is_control) {
            return;
        }
        let (target, rest) = value.split_once(' ').unwrap_or((value, ""));
        let rest = rest.trim_start();
        if name == "rtcp-fb" && target == "*" {
            return add_feedback(&mut self.any_feedback, rest);
        }
        // `a=fmtp` of a data channel has no payload type.
        let Some(codec) = target.parse().ok().and_then(|number| self.section.codec(number)) else {
            return;
        };
        match name {
            "rtpmap" => {
                let mut parts = rest.split('/').map(str::trim);
                let name = parts.next().filter(|name| is_token(name));
                let clock_rate = parts.next().and_then(|rate| rate.parse().ok());
                if let (Some(name), Some(clock_rate)) = (name, clock_rate) {
                    codec.name = name.to_owned();
                    codec.clock_rate = clock_rate;
                    codec.channels = parts.next().and_then(|channels| channels.parse().ok());
                }
            }
            "fmtp" => codec.fmtp = shortened(rest).to_owned(),
            _ => add_feedback(&mut codec.feedback, rest),
        }
    }
}

impl Section {
    fn fingerprint_attribute(&mut self, value: &str) -> Result<(), Problem> {
        let mut words = value.split_ascii_whitespace();
        // Other hash functions may be listed beside the one everybody has (RFC 8122 §5).
        if words.next().is_some_and(|hash| hash.eq_ignore_ascii_case("sha-256")) {
            let parsed = words.next().and_then(fingerprint);
            const MALFORMED: Problem = Problem::Malformed("a SHA-256 fingerprint has 32 bytes");
            self.fingerprint = Some(parsed.ok_or(MALFORMED)?);
        }
        Ok(())
    }

    fn codec(&mut self, payload_type: u8) -> Option<&mut RemoteCodec> {
        let known = self.codecs.iter().position(|codec| codec.payload_type == payload_type);
        if let Some(index) = known {
            return self.codecs.get_mut(index);
        }
        let is_payload_type = payload_type <= MAX_PAYLOAD_TYPE;
        is_payload_type.then(|| self.codecs.push_mut(empty(payload_type)))
    }

    fn source_attribute(&mut self, name: &str, value: &str) {
        let mut words = value.split_ascii_whitespace();
        if name == "ssrc" {
            let ssrc = words.next().and_then(|ssrc| ssrc.parse().ok());
            self.ssrc = self.ssrc.or(ssrc);
        } else if words.next() == Some("FID") {
            let mut ssrc = || words.next().and_then(|ssrc| ssrc.parse().ok());
            if let (Some(ssrc), Some(rtx_ssrc)) = (ssrc(), ssrc()) {
                (self.ssrc, self.rtx_ssrc) = (Some(ssrc), Some(rtx_ssrc));
            }
        }
    }

    fn extension_attribute(&mut self, value: &str) {
        let mut words = value.split_ascii_whitespace();
        let id = words.next().and_then(|id| id.split('/').next()?.parse::<u8>().ok());
        // Ids of 15 and above need two-byte headers, which are not sent (RFC 8285 §4.2).
        let (Some(id @ 1..=14), Some(uri)) = (id, words.next()) else { return };
        if self.extensions.len() < MAX_EXTENSIONS {
            self.extensions.push(Extension { id, uri: uri.to_owned() });
        }
    }
}

fn empty(payload_type: u8) -> RemoteCodec {
    let (name, fmtp, feedback) = (String::new(), String::new(), Vec::new());
    RemoteCodec { payload_type, name, clock_rate: 0, channels: None, fmtp, feedback }
}

fn add_feedback(known: &mut Vec<String>, feedback: &str) {
    let feedback = feedback.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
    if known.len() < MAX_FEEDBACK && !known.contains(&feedback) {
        known.push(feedback);
    }
}

/// Returns the first parameters of an `a=fmtp` line, as many as fit [`MAX_FMTP_LEN`].
fn shortened(parameters: &str) -> &str {
    if parameters.len() <= MAX_FMTP_LEN {
        return parameters;
    }
    let ends = parameters.match_indices(';').map(|(at, _)| at);
    let end = ends.take_while(|at| *at <= MAX_FMTP_LEN).last().unwrap_or(0);
    parameters.get(..end).unwrap_or_default()
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

fn fingerprint(hex: &str) -> Option<Fingerprint> {
    let mut bytes = [0; 32];
    let mut pairs = hex.split(':');
    for byte in &mut bytes {
        let pair = pairs.next().filter(|pair| pair.len() == 2)?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    pairs.next().is_none().then_some(Fingerprint(bytes))
}

/// Returns true for a token of RFC 8866 §9, or one with the slashes of a protocol.
pub(super) fn is_token(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_graphic() && !b"\"(),:;<=>?@[\\]".contains(&byte);
    !text.is_empty() && text.bytes().all(is_allowed)
}
