//! Parser for the few lines of an SDP (RFC 8866) that describe a camera's picture and sound.

mod audio;

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use thiserror::Error;

use super::codec::Codec;

pub use audio::{AudioSection, find_audio};

/// Maximum length of an SDP in bytes: a hundred times what cameras send.
pub const MAX_LEN: usize = 256 * 1024;

/// Maximum number of media sections that are read; further ones are ignored.
const MAX_SECTIONS: usize = 64;

/// Maximum number of attributes that are read of one section; further ones are ignored.
const MAX_ATTRIBUTES: usize = 256;

/// Maximum number of parameter sets that are taken from a description: with more, a camera is no
/// worse off than without any.
const MAX_SETS: usize = 64;

/// The start code of NAL units in a file (H.264 annex B), with any zeros before it.
const START_CODE: [u8; 3] = [0, 0, 1];

/// The place of a track: where its packets are, and how they are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The RTP payload type of the track.
    pub payload_type: u8,
    /// The port that RTP is sent to; 0 in an RTSP description.
    pub port: u16,
    /// The address of the section's `c=` line, or else of the session's.
    pub address: Option<IpAddr>,
    /// Index of the section among all media sections.
    pub index: usize,
    /// The section's `a=control` (RFC 2326 §C.1.1).
    pub control: Option<String>,
}

/// The media section of the video stream to forward.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoSection {
    /// The codec of the stream.
    pub codec: Codec,
    /// NAL units of `sprop-parameter-sets`, or of `sprop-vps`, `sprop-sps` and `sprop-pps`.
    pub parameter_sets: Vec<Bytes>,
    /// The place of the track.
    pub place: Place,
    /// The session's `a=control`.
    pub session_control: Option<String>,
}

/// Reasons why a camera's description cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CameraSdpError {
    /// The description exceeds [`MAX_LEN`].
    #[error("the session description is longer than {MAX_LEN} bytes")]
    TooLong,
    /// No media section is video.
    #[error("the session description has no video")]
    NoVideo,
    /// The codec cannot be forwarded; its name.
    #[error(
        "the camera sends {0}, which no browser can play; \
         set it to {supported}", supported = Codec::SUPPORTED
    )]
    UnsupportedCodec(String),
    /// The camera uses the interleaved mode of this codec.
    #[error(
        "the camera sends interleaved {0} (sprop-max-don-diff), \
         which WebRTC cannot carry: set it to non-interleaved"
    )]
    Interleaved(Codec),
    /// The camera encrypts its packets (RFC 3711).
    #[error(
        "the camera encrypts its stream with SRTP: turn that off in its settings; rtsps:// \
         encrypts the connection instead"
    )]
    Encrypted,
}

/// Finds the video stream in a session description to forward: the first one of H.264, which every
/// browser plays, or else the first one of another codec, H.265 last.
///
/// Only the section itself is needed: every other line may be missing or wrong.
///
/// # Errors
/// If no stream can be forwarded: the problem of the first video section.
pub fn find_video(sdp: &str) -> Result<VideoSection, CameraSdpError> {
    find_other_video(sdp, &[])
}

/// Finds the video stream as [`find_video`] does, without the sections with these indices, which
/// the camera does not send.
///
/// # Errors
/// As [`find_video`].
pub(crate) fn find_other_video(
    sdp: &str,
    refused: &[usize],
) -> Result<VideoSection, CameraSdpError> {
    if sdp.len() > MAX_LEN {
        return Err(CameraSdpError::TooLong);
    }
    let (session, media) = sections(sdp);
    let mut refusal = CameraSdpError::NoVideo;
    let mut usable = Vec::new();
    for (index, media) in media.iter().enumerate() {
        if !media.kind.eq_ignore_ascii_case("video") || refused.contains(&index) {
            continue;
        }
        match media.video(index, &session) {
            Ok(_) if media.is_encrypted(&session) => {
                if refusal == CameraSdpError::NoVideo {
                    refusal = CameraSdpError::Encrypted;
                }
            }
            Ok(video) => usable.push(((media.is_secure, media.is_inactive()), video)),
            Err(error) if refusal == CameraSdpError::NoVideo => refusal = error,
            Err(_) => {}
        }
    }
    let rank = |(disadvantages, video): &((bool, bool), VideoSection)| {
        let codec = match video.codec {
            Codec::H264 => 0,
            Codec::Vp8 | Codec::Vp9 | Codec::Av1 => 1,
            Codec::H265 => 2,
        };
        (*disadvantages, codec)
    };
    usable.into_iter().min_by_key(rank).map(|(_, video)| video).ok_or(refusal)
}

/// Returns the `a=control` of every other section than the ones with these indices that RTP packets
/// can be asked for.
pub(crate) fn other_controls(sdp: &str, indices: &[Option<usize>]) -> Vec<String> {
    let (_, media) = sections(sdp);
    let others = media.iter().enumerate().filter(|(other, _)| !indices.contains(&Some(*other)));
    others.filter(|(_, media)| media.is_plain).filter_map(|(_, media)| media.control()).collect()
}

/// Splits a description into the lines before the first media section, and the sections.
fn sections(sdp: &str) -> (Section<'_>, Vec<Section<'_>>) {
    let mut session = Section::default();
    let mut media: Vec<Section<'_>> = Vec::new();
    // Line ends may be of any kind, and blanks anywhere.
    for line in sdp.split(['\n', '\r']) {
        let Some((key, value)) = line.split_once('=') else { continue };
        let value = value.trim();
        match key.trim().to_ascii_lowercase().as_str() {
            "m" if media.len() < MAX_SECTIONS => media.push(Section::new(value)),
            "m" => return (session, media),
            "c" => media.last_mut().unwrap_or(&mut session).address = address(value),
            "a" => media.last_mut().unwrap_or(&mut session).push(value),
            _ => {}
        }
    }
    (session, media)
}

/// Decodes a comma-separated list of NAL units in base64, as `sprop-` parameters carry them.
/// Invalid items are skipped: the camera still sends its parameter sets in band.
#[must_use]
pub fn parameter_sets(list: &str) -> Vec<Bytes> {
    let decode = |text: &str| {
        let text = text.trim().trim_end_matches('=');
        STANDARD_NO_PAD.decode(text).ok()
    };
    let items = list.trim_matches('"').split(',').filter_map(decode);
    items.flat_map(units).take(MAX_SETS).collect()
}

/// Splits what a camera gives as one NAL unit at the start codes that some keep in it.
fn units(bytes: Vec<u8>) -> Vec<Bytes> {
    let (mut rest, mut units) = (Bytes::from(bytes), Vec::new());
    while let Some(at) = rest.windows(START_CODE.len()).position(|window| window == START_CODE) {
        let unit = rest.split_to(at);
        rest = rest.slice(START_CODE.len()..);
        let zeros = unit.iter().rev().take_while(|byte| **byte == 0).count();
        units.push(unit.slice(..unit.len() - zeros));
    }
    units.push(rest);
    units.retain(|unit| !unit.is_empty());
    units
}

/// Parses the value of a `c=` line, such as `IN IP4 239.1.2.3/127`.
fn address(value: &str) -> Option<IpAddr> {
    value.split_whitespace().find_map(|word| word.split('/').next()?.parse().ok())
}

/// A media section before it is understood, or the part before the first one.
#[derive(Default)]
struct Section<'a> {
    kind: &'a str,
    port: u16,
    payload_types: Vec<u8>,
    /// The protocol is `RTP/SAVP` or `RTP/SAVPF`.
    is_secure: bool,
    /// The protocol is `RTP/AVP` or `RTP/AVPF`.
    is_plain: bool,
    address: Option<IpAddr>,
    /// Names, without blanks, and values.
    attributes: Vec<(&'a str, &'a str)>,
}

impl<'a> Section<'a> {
    /// Parses the value of an `m=` line, such as `video 5004 RTP/AVP 96 97`; a port may be
    /// `5004/2`, and port or protocol may be missing.
    fn new(value: &'a str) -> Self {
        let mut words = value.split_whitespace();
        let kind = words.next().unwrap_or_default();
        let mut section = Self { kind, ..Self::default() };
        let mut is_after_protocol = false;
        for word in words {
            let number = word.split('/').next().and_then(|number| number.parse::<u16>().ok());
            match number {
                None => {
                    is_after_protocol = true;
                    let word = word.to_ascii_uppercase();
                    section.is_secure |= word.contains("/SAVP");
                    section.is_plain |= word.contains("/AVP");
                }
                Some(port) if !is_after_protocol => section.port = port,
                Some(number) => section.payload_types.extend(u8::try_from(number).ok()),
            }
        }
        section
    }

    fn push(&mut self, attribute: &'a str) {
        if self.attributes.len() < MAX_ATTRIBUTES {
            let (name, value) = attribute.split_once(':').unwrap_or((attribute, ""));
            self.attributes.push((name.trim(), value.trim()));
        }
    }

    /// Finds the payload type to forward: the first one that can be, or else the reason why the
    /// first one cannot.
    fn video(&self, index: usize, session: &Self) -> Result<VideoSection, CameraSdpError> {
        let mut refusal = None;
        for payload_type in self.all_payload_types() {
            match self.payload_type(payload_type, session) {
                Ok((codec, parameter_sets)) => {
                    return Ok(VideoSection {
                        codec,
                        parameter_sets,
                        place: self.place(index, payload_type, session),
                        session_control: session.control(),
                    });
                }
                Err(error) => refusal = refusal.or(Some(error)),
            }
        }
        Err(refusal.unwrap_or(CameraSdpError::NoVideo))
    }

    fn place(&self, index: usize, payload_type: u8, session: &Section<'_>) -> Place {
        Place {
            payload_type,
            port: self.port,
            address: self.address.or(session.address),
            index,
            control: self.control(),
        }
    }

    /// Returns true if the packets are encrypted: the description then says with which key, or how
    /// to agree on one (RFC 4567, RFC 4568, RFC 5763).
    fn is_encrypted(&self, session: &Section<'_>) -> bool {
        let names = ["crypto", "key-mgmt", "fingerprint"];
        let has = |section: &Section<'_>, name| section.named(name).next().is_some();
        self.is_secure && names.into_iter().any(|name| has(self, name) || has(session, name))
    }

    /// Returns true if the camera says that it does not send the section.
    fn is_inactive(&self) -> bool {
        self.named("inactive").next().is_some()
    }

    /// Returns the payload types of the `m=` line; those of `rtpmap` if it has none.
    fn all_payload_types(&self) -> Vec<u8> {
        if !self.payload_types.is_empty() {
            return self.payload_types.clone();
        }
        self.named("rtpmap").filter_map(|value| Some(numbered(value)?.0)).collect()
    }

    /// Returns codec and parameter sets of a payload type, if it can be forwarded.
    fn payload_type(
        &self,
        payload_type: u8,
        session: &Self,
    ) -> Result<(Codec, Vec<Bytes>), CameraSdpError> {
        let (map, parameters) = self.map_and_parameters(payload_type, session);
        let parameters = parameters.as_str();
        // The clock rate may be missing or wrong: that of these codecs is always the same.
        let name = match map {
            Some(map) => map.split('/').next().unwrap_or_default().trim(),
            None => static_name(payload_type).unwrap_or_else(|| name_by_parameters(parameters)),
        };
        let codec = codec_named(name)
            .ok_or_else(|| CameraSdpError::UnsupportedCodec(display_name(name, payload_type)))?;
        let mut sets = Vec::new();
        for parameter in parameters.split(';') {
            let Some((key, value)) = parameter.split_once('=') else { continue };
            match (key.trim().to_ascii_lowercase().as_str(), value.trim()) {
                ("sprop-parameter-sets" | "sprop-vps" | "sprop-sps" | "sprop-pps", list) => {
                    sets.extend(parameter_sets(list));
                }
                // Packets of H.264 show it themselves, and some cameras announce it wrongly.
                ("sprop-max-don-diff", diff) if codec == Codec::H265 && diff != "0" => {
                    return Err(CameraSdpError::Interleaved(codec));
                }
                _ => {}
            }
        }
        Ok((codec, sets))
    }

    /// Returns the `rtpmap` of a payload type, if it has one, and its format parameters, which may
    /// be in several lines. Those of another payload type are better than none.
    fn map_and_parameters(&self, payload_type: u8, session: &Self) -> (Option<&'a str>, String) {
        let map = self.attributes_of("rtpmap", payload_type).next();
        let map = map.or_else(|| session.attributes_of("rtpmap", payload_type).next());
        let join = |section: &Self| {
            let lines: Vec<_> = section.attributes_of("fmtp", payload_type).collect();
            (!lines.is_empty()).then(|| lines.join(";"))
        };
        let of_another =
            || self.named("fmtp").find_map(|value| Some(numbered(value)?.1.to_owned()));
        let parameters = join(self).or_else(|| join(session)).or_else(of_another);
        (map, parameters.unwrap_or_default())
    }

    /// Returns the values of `a=rtpmap:96 …`, `a=fmtp:96 …` and so on.
    fn attributes_of(&self, name: &str, payload_type: u8) -> impl Iterator<Item = &'a str> {
        let values = self.named(name).filter_map(numbered);
        values.filter(move |(number, _)| *number == payload_type).map(|(_, rest)| rest)
    }

    fn control(&self) -> Option<String> {
        let control = self.named("control").find(|value| !value.is_empty());
        control.map(|value| value.trim_matches('"').to_owned())
    }

    fn named(&self, name: &str) -> impl Iterator<Item = &'a str> {
        let named = self.attributes.iter().filter(move |(key, _)| key.eq_ignore_ascii_case(name));
        named.map(|(_, value)| *value)
    }
}

/// Splits `96 H264/90000` into the payload type and the rest.
fn numbered(value: &str) -> Option<(u8, &str)> {
    let end = value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len());
    let (number, rest) = value.split_at(end);
    Some((number.parse().ok()?, rest.trim()))
}

/// Looks a codec up by its name in SDP, or by one that people use.
fn codec_named(name: &str) -> Option<Codec> {
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    match plain.to_ascii_uppercase().as_str() {
        "AVC" | "AVC1" => Some(Codec::H264),
        "HEVC" | "HVC1" => Some(Codec::H265),
        plain => Codec::from_encoding_name(plain),
    }
}

/// Returns the name of the codec that has such format parameters.
fn name_by_parameters(parameters: &str) -> &'static str {
    let parameters = parameters.to_ascii_lowercase();
    if parameters.contains("sprop-vps") {
        "H265"
    } else if parameters.contains("sprop-parameter-sets")
        || parameters.contains("packetization-mode")
    {
        "H264"
    } else {
        ""
    }
}

/// Returns the name of a video format that needs no `rtpmap` (RFC 3551 table 5).
fn static_name(payload_type: u8) -> Option<&'static str> {
    match payload_type {
        26 => Some("JPEG"),
        28 => Some("nv"),
        31 => Some("H261"),
        32 => Some("MPV"),
        33 => Some("MP2T"),
        34 => Some("H263"),
        _ => None,
    }
}

/// Returns the codec's common name, for an error message.
fn display_name(name: &str, payload_type: u8) -> String {
    match name.to_ascii_uppercase().as_str() {
        "" => format!("an unnamed codec (payload type {payload_type})"),
        "JPEG" => "Motion JPEG".to_owned(),
        "MP4V-ES" => "MPEG-4 Part 2".to_owned(),
        "MPV" => "MPEG-2".to_owned(),
        // Names come from the network: keep what is shown short and printable.
        _ => name.chars().filter(char::is_ascii_graphic).take(32).collect(),
    }
}

#[cfg(test)]
mod tests;
