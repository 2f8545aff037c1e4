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
    if sdp.len() > MAX_LEN {
        return Err(CameraSdpError::TooLong);
    }
    let (session, media) = sections(sdp);
    let mut refusal = CameraSdpError::NoVideo;
    let mut usable = Vec::new();
    for (index, media) in media.iter().enumerate() {
        if !media.kind.eq_ignore_ascii_case("video") {
            continue;
        }
        match media.video(index, &session) {
            Ok(_) if media.is_encrypted(&session) => {
                if refusal == CameraSdpError::NoVideo {
                    refusal = CameraSdpError::Encrypted;
                }
            }
            Ok(video) => usable.push((media.is_secure, video)),
            Err(error) if refusal == CameraSdpError::NoVideo => refusal = error,
            Err(_) => {}
        }
    }
    let rank = |(is_secure, video): &(bool, VideoSection)| {
        let codec = match video.codec {
            Codec::H264 => 0,
            Codec::Vp8 | Codec::Vp9 | Codec::Av1 => 1,
            Codec::H265 => 2,
        };
        (*is_secure, codec)
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
    let units = list.trim_matches('"').split(',').filter_map(decode);
    // Some cameras keep the start code, or a zero after the unit.
    let unit = |bytes: Vec<u8>| {
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        let code = (zeros >= 2 && bytes.get(zeros) == Some(&1)).then_some(zeros + 1);
        Bytes::from(bytes).slice(code.unwrap_or(0)..)
    };
    units.map(unit).filter(|unit| !unit.is_empty()).collect()
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

    /// Returns the `rtpmap` of a payload type, if it has one, and its format parameters. Those of
    /// another payload type are better than none.
    fn map_and_parameters(&self, payload_type: u8, session: &Self) -> (Option<&'a str>, &'a str) {
        let attribute = |name| {
            self.attribute(name, payload_type).or_else(|| session.attribute(name, payload_type))
        };
        let parameters = attribute("fmtp")
            .or_else(|| self.named("fmtp").find_map(|value| Some(numbered(value)?.1)));
        (attribute("rtpmap"), parameters.unwrap_or_default())
    }

    /// Returns the value of `a=rtpmap:96 …`, `a=fmtp:96 …` and so on.
    fn attribute(&self, name: &str, payload_type: u8) -> Option<&'a str> {
        let values = self.named(name).filter_map(numbered);
        values.filter(|(number, _)| *number == payload_type).map(|(_, rest)| rest).next()
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A file that ffmpeg wrote.
    const FFMPEG: &str = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=No Name\r\nc=IN IP4 127.0.0.1\r\n\
        t=0 0\r\na=tool:libavformat 59.27.100\r\nm=video 5004 RTP/AVP 96\r\nb=AS:200\r\n\
        a=rtpmap:96 H264/90000\r\n\
        a=fmtp:96 packetization-mode=1; sprop-parameter-sets=Z0LAHtkA,aMuMsg==; \
        profile-level-id=42C01E\r\n";

    #[test]
    fn the_file_ffmpeg_writes() {
        let expected = VideoSection {
            codec: Codec::H264,
            parameter_sets: vec![
                Bytes::from_static(b"\x67\x42\xc0\x1e\xd9\0"),
                Bytes::from_static(b"\x68\xcb\x8c\xb2"),
            ],
            place: Place {
                payload_type: 96,
                port: 5004,
                address: Some([127, 0, 0, 1].into()),
                index: 0,
                control: None,
            },
            session_control: None,
        };
        assert_eq!(find_video(FFMPEG), Ok(expected));
    }

    #[test]
    fn the_first_stream_that_can_be_forwarded_is_chosen() {
        let h265 = "m=audio 0 RTP/AVP 0\nm=video 0/2 RTP/AVP 97\na=rtpmap:97 h265/90000\n\
            a=fmtp:97 sprop-vps=QAEM; sprop-sps=QgEB; sprop-pps=RAHA\nc=IN IP6 2001:db8::1\n";
        let found = find_video(h265).unwrap();
        assert_eq!(
            (found.codec, found.place.payload_type, found.place.index),
            (Codec::H265, 97, 1)
        );
        assert_eq!(found.parameter_sets.len(), 3);
        assert_eq!(found.place.address, Some("2001:db8::1".parse().unwrap()));

        let second = "m=video 0 RTP/AVP 26\nm=video 0 RTP/AVP 99\na=rtpmap:99 H264/90000\n";
        assert_eq!(find_video(second).unwrap().place.index, 1);
        let several = "m=video 0 RTP/AVP 98 99\na=rtpmap:98 theora/90000\na=rtpmap:99 H264/90000\n";
        assert_eq!(find_video(several).unwrap().place.payload_type, 99);
    }

    #[test]
    fn h264_is_chosen_among_several_tracks() {
        let sdp = "m=video 0 RTP/AVP 96\na=rtpmap:96 H265/90000\na=control:big\n\
            m=video 0 RTP/AVP 97\na=rtpmap:97 H264/90000\na=control:small\n";
        let found = find_video(sdp).unwrap();
        assert_eq!((found.codec, found.place.control.as_deref()), (Codec::H264, Some("small")));
        let first = sdp.split("m=video 0 RTP/AVP 97").next().unwrap();
        assert_eq!(find_video(first).unwrap().codec, Codec::H265);
    }

    #[test]
    fn a_careless_description_is_understood_if_one_section_is_usable() {
        let table = [
            (
                "no addresses",
                "v=0\no=- 1001 1 IN\nc=IN\nm=video 0 RTP/AVP 96\n\
                a=rtpmap:96 H264/90000\n",
            ),
            ("nothing but the section", "m=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000"),
            (
                "blank lines and blanks",
                "\n\n v = 0 \n\n m = video 0 RTP/AVP 96 \n\n \
                a = rtpmap : 96   H264/90000 \n",
            ),
            ("bare carriage returns", "v=0\rm=video 0 RTP/AVP 96\ra=rtpmap:96 H264/90000\r"),
            ("any case", "M=VIDEO 0 rtp/avp 96\nA=RTPMAP:96 h264/90000"),
            ("no clock rate", "m=video 0 RTP/AVP 96\na=rtpmap:96 H264"),
            ("an odd clock rate", "m=video 0 RTP/AVP 96\na=rtpmap:96 H264/1000"),
            ("blanks in the rtpmap", "m=video 0 RTP/AVP 96\na=rtpmap: 96 H264 / 90000"),
            (
                "parameters first",
                "m=video 0 RTP/AVP 96\na=fmtp:96 packetization-mode=1\n\
                a=rtpmap:96 H264/90000",
            ),
            ("no rtpmap", "m=video 0 RTP/AVP 96\na=fmtp:96 packetization-mode=1"),
            ("no payload type", "m=video 0 RTP/AVP\na=rtpmap:96 H264/90000"),
            ("no port", "m=video RTP/AVP 96\na=rtpmap:96 H264/90000"),
            ("the rtpmap before the section", "a=rtpmap:96 H264/90000\nm=video 0 RTP/AVP 96"),
            ("an unusual name", "m=video 0 RTP/AVP 96\na=rtpmap:96 H.264/90000"),
            ("another charset", "s=K\u{fffd}che\nm=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000"),
            ("noise", "hello\n=\na=\nm=audio\nm=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000"),
            ("SRTP without a key", "m=video 0 RTP/SAVP 96\na=rtpmap:96 H264/90000"),
            (
                "SRTP first",
                "m=video 0 RTP/SAVPF 97\na=rtpmap:97 H264/90000\na=crypto:1 AES inline:x\n\
                m=video 0 RTP/SAVP 98\na=rtpmap:98 H264/90000\n\
                m=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000",
            ),
            (
                "interleaved, as it says",
                "m=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000\n\
                a=fmtp:96 packetization-mode=2;sprop-max-don-diff=3",
            ),
        ];
        for (case, sdp) in table {
            let found = find_video(sdp)
                .map(|video| (video.codec, video.place.payload_type, video.place.port));
            assert_eq!(found, Ok((Codec::H264, 96, 0)), "{case}");
        }
    }

    #[test]
    fn parameter_sets_are_read_however_they_are_written() {
        let expected: &[u8] = b"\x67\x42\xc0\x1e\xd9\0";
        for list in
            ["Z0LAHtkA", " Z0LAHtkA==, ", "\"Z0LAHtkA\"", "AAAAAWdCwB7ZAA==", "***,Z0LAHtkA"]
        {
            assert_eq!(parameter_sets(list), [Bytes::from_static(expected)], "{list}");
        }
    }

    #[test]
    fn unusable_descriptions_are_refused_with_the_reason() {
        let unsupported = |name: &str| CameraSdpError::UnsupportedCodec(name.to_owned());
        let table = [
            ("", CameraSdpError::NoVideo),
            ("m=audio 0 RTP/AVP 0", CameraSdpError::NoVideo),
            ("m=video 0 RTP/AVP", CameraSdpError::NoVideo),
            ("m=video 0 RTP/AVP 26", unsupported("Motion JPEG")),
            ("m=video 0 RTP/AVP 96\na=rtpmap:96 theora/90000", unsupported("theora")),
            ("m=video 0 RTP/AVP 96", unsupported("an unnamed codec (payload type 96)")),
            (
                "m=video 0 RTP/SAVP 96\na=rtpmap:96 H264/90000\na=crypto:1 AES inline:x",
                CameraSdpError::Encrypted,
            ),
            (
                "a=key-mgmt:mikey AQ==\nm=video 0 RTP/SAVPF 96\na=rtpmap:96 H265/90000",
                CameraSdpError::Encrypted,
            ),
            (
                "m=video 0 RTP/AVP 96\na=rtpmap:96 H265/90000\na=fmtp:96 sprop-max-don-diff=3",
                CameraSdpError::Interleaved(Codec::H265),
            ),
        ];
        for (sdp, expected) in table {
            assert_eq!(find_video(sdp), Err(expected), "{sdp}");
        }
        assert_eq!(find_video(&"a".repeat(MAX_LEN + 1)), Err(CameraSdpError::TooLong));
        let message = unsupported("Motion JPEG").to_string();
        assert!(message.contains("Motion JPEG") && message.contains("H.264"), "{message}");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(
            words in prop::collection::vec(
                prop::sample::select(vec![
                    "m=", "video ", "5004", "/2", " RTP/AVP ", "96", " ", "\r\n", "a=rtpmap:",
                    "H264", "/90000", "a=fmtp:", ";", "=", "c=IN IP4 ", "sprop-sps", "é", "",
                ]),
                0..60,
            ),
        ) {
            let _ = find_video(&words.concat());
        }
    }
}
