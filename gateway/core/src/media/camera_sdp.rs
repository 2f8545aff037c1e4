//! Parser for the few lines of an SDP (RFC 8866) that describe a camera's video.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use bytes::Bytes;
use thiserror::Error;

use super::codec::Codec;
use super::stream::CLOCK_RATE;

/// Maximum length of an SDP in bytes: ten times what cameras send.
pub const MAX_LEN: usize = 64 * 1024;

/// The media section of the first video stream that can be forwarded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoSection {
    /// The codec of the stream.
    pub codec: Codec,
    /// The RTP payload type of the stream.
    pub payload_type: u8,
    /// The port that RTP is sent to; 0 in an RTSP description.
    pub port: u16,
    /// The address of the section's `c=` line, or else of the session's.
    pub address: Option<IpAddr>,
    /// NAL units of `sprop-parameter-sets`, or of `sprop-vps`, `sprop-sps` and `sprop-pps`.
    pub parameter_sets: Vec<Bytes>,
    /// Index of the section among all media sections, including audio.
    pub index: usize,
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
        "the camera sends interleaved {0} (packetization-mode 2 or sprop-max-don-diff), \
         which WebRTC cannot carry: set it to non-interleaved"
    )]
    Interleaved(Codec),
    /// The RTP clock rate in hertz is not the 90000 of video.
    #[error("the video of the session description runs at {0} Hz instead of 90000")]
    ClockRate(u32),
}

/// Finds the first video stream in a session description that can be forwarded.
///
/// # Errors
/// If no stream can be forwarded: the problem of the first video section.
pub fn find_video(sdp: &str) -> Result<VideoSection, CameraSdpError> {
    if sdp.len() > MAX_LEN {
        return Err(CameraSdpError::TooLong);
    }
    let mut session_address = None;
    let mut media: Vec<Media<'_>> = Vec::new();
    for line in sdp.lines() {
        let Some((key, value)) = line.trim().split_once('=') else { continue };
        match (key, media.last_mut()) {
            ("m", _) => media.push(Media::new(value)),
            ("c", None) => session_address = address(value),
            ("c", Some(media)) => media.address = address(value),
            ("a", Some(media)) => media.attributes.push(value),
            _ => {}
        }
    }
    let mut refusal = CameraSdpError::NoVideo;
    for (index, media) in media.iter().enumerate().filter(|(_, media)| media.kind == "video") {
        match media.video(index, session_address) {
            Ok(video) => return Ok(video),
            Err(error) if refusal == CameraSdpError::NoVideo => refusal = error,
            Err(_) => {}
        }
    }
    Err(refusal)
}

/// Decodes a comma-separated list of NAL units in base64, as `sprop-` parameters carry them.
/// Invalid items are skipped: the camera still sends its parameter sets in band.
#[must_use]
pub fn parameter_sets(list: &str) -> Vec<Bytes> {
    let decode = |text: &str| {
        let text = text.trim();
        STANDARD.decode(text).or_else(|_| STANDARD_NO_PAD.decode(text)).ok()
    };
    let units = list.split(',').filter_map(decode);
    units.filter(|unit| !unit.is_empty()).map(Bytes::from).collect()
}

/// Parses the value of a `c=` line, such as `IN IP4 239.1.2.3/127`.
fn address(value: &str) -> Option<IpAddr> {
    let address = value.split_whitespace().nth(2)?;
    address.split('/').next()?.parse().ok()
}

/// A media section before it is understood.
struct Media<'a> {
    kind: &'a str,
    port: u16,
    payload_types: Vec<u8>,
    address: Option<IpAddr>,
    attributes: Vec<&'a str>,
}

impl<'a> Media<'a> {
    /// Parses the value of an `m=` line, such as `video 5004 RTP/AVP 96 97`; a port may be
    /// `5004/2`.
    fn new(value: &'a str) -> Self {
        let mut words = value.split_whitespace();
        let kind = words.next().unwrap_or_default();
        let port = words.next().and_then(|port| port.split('/').next()?.parse().ok());
        let payload_types = words.skip(1).filter_map(|word| word.parse().ok()).collect();
        Self { kind, port: port.unwrap_or(0), payload_types, address: None, attributes: Vec::new() }
    }

    /// Finds the first payload type that can be forwarded, or the reason why the first one cannot.
    fn video(&self, index: usize, session: Option<IpAddr>) -> Result<VideoSection, CameraSdpError> {
        let mut refusal = None;
        for &payload_type in &self.payload_types {
            match self.payload_type(payload_type) {
                Ok((codec, parameter_sets)) => {
                    let address = self.address.or(session);
                    let port = self.port;
                    return Ok(VideoSection {
                        codec,
                        payload_type,
                        port,
                        address,
                        parameter_sets,
                        index,
                    });
                }
                Err(error) => refusal = refusal.or(Some(error)),
            }
        }
        Err(refusal.unwrap_or(CameraSdpError::NoVideo))
    }

    /// Returns codec and parameter sets of a payload type, if it can be forwarded.
    fn payload_type(&self, payload_type: u8) -> Result<(Codec, Vec<Bytes>), CameraSdpError> {
        let (name, rate) = match self.attribute("rtpmap", payload_type) {
            Some(map) => {
                let mut parts = map.split('/');
                let name = parts.next().unwrap_or_default();
                (name, parts.next().and_then(|rate| rate.trim().parse().ok()).unwrap_or(CLOCK_RATE))
            }
            None => (static_name(payload_type), CLOCK_RATE),
        };
        let codec = Codec::from_encoding_name(name)
            .ok_or_else(|| CameraSdpError::UnsupportedCodec(display_name(name, payload_type)))?;
        if rate != CLOCK_RATE {
            return Err(CameraSdpError::ClockRate(rate));
        }
        let mut sets = Vec::new();
        for parameter in self.attribute("fmtp", payload_type).unwrap_or_default().split(';') {
            let Some((key, value)) = parameter.trim().split_once('=') else { continue };
            match (key.to_ascii_lowercase().as_str(), value) {
                ("sprop-parameter-sets" | "sprop-vps" | "sprop-sps" | "sprop-pps", list) => {
                    sets.extend(parameter_sets(list));
                }
                ("packetization-mode", "2") => return Err(CameraSdpError::Interleaved(codec)),
                ("sprop-max-don-diff", diff) if diff != "0" => {
                    return Err(CameraSdpError::Interleaved(codec));
                }
                _ => {}
            }
        }
        Ok((codec, sets))
    }

    /// Returns the value of `a=rtpmap:96 …`, `a=fmtp:96 …` and so on.
    fn attribute(&self, name: &str, payload_type: u8) -> Option<&'a str> {
        self.attributes.iter().find_map(|attribute| {
            let (key, value) = attribute.split_once(':')?;
            let (number, rest) = value.trim_start().split_once(char::is_whitespace)?;
            (key == name && number.parse() == Ok(payload_type)).then_some(rest.trim())
        })
    }
}

/// Returns the name of a video format that needs no `rtpmap` (RFC 3551 table 5).
fn static_name(payload_type: u8) -> &'static str {
    match payload_type {
        26 => "JPEG",
        28 => "nv",
        31 => "H261",
        32 => "MPV",
        33 => "MP2T",
        34 => "H263",
        _ => "",
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
            payload_type: 96,
            port: 5004,
            address: Some([127, 0, 0, 1].into()),
            parameter_sets: vec![
                Bytes::from_static(b"\x67\x42\xc0\x1e\xd9\0"),
                Bytes::from_static(b"\x68\xcb\x8c\xb2"),
            ],
            index: 0,
        };
        assert_eq!(find_video(FFMPEG), Ok(expected));
    }

    #[test]
    fn the_first_stream_that_can_be_forwarded_is_chosen() {
        let h265 = "m=audio 0 RTP/AVP 0\nm=video 0/2 RTP/AVP 97\na=rtpmap:97 h265/90000\n\
            a=fmtp:97 sprop-vps=QAEM; sprop-sps=QgEB; sprop-pps=RAHA\nc=IN IP6 2001:db8::1\n";
        let found = find_video(h265).unwrap();
        assert_eq!((found.codec, found.payload_type, found.index), (Codec::H265, 97, 1));
        assert_eq!(found.parameter_sets.len(), 3);
        assert_eq!(found.address, Some("2001:db8::1".parse().unwrap()));

        let second = "m=video 0 RTP/AVP 26\nm=video 0 RTP/AVP 99\na=rtpmap:99 H264/90000\n";
        assert_eq!(find_video(second).unwrap().index, 1);
        let several = "m=video 0 RTP/AVP 98 99\na=rtpmap:98 VP8/90000\na=rtpmap:99 H264/90000\n";
        assert_eq!(find_video(several).unwrap().payload_type, 99);
    }

    #[test]
    fn unusable_descriptions_are_refused_with_the_reason() {
        let unsupported = |name: &str| CameraSdpError::UnsupportedCodec(name.to_owned());
        let table = [
            ("", CameraSdpError::NoVideo),
            ("m=audio 0 RTP/AVP 0", CameraSdpError::NoVideo),
            ("m=video 0 RTP/AVP", CameraSdpError::NoVideo),
            ("m=video 0 RTP/AVP 26", unsupported("Motion JPEG")),
            ("m=video 0 RTP/AVP 96\na=rtpmap:96 VP8/90000", unsupported("VP8")),
            ("m=video 0 RTP/AVP 96", unsupported("an unnamed codec (payload type 96)")),
            (
                "m=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000\na=fmtp:96 packetization-mode=2",
                CameraSdpError::Interleaved(Codec::H264),
            ),
            (
                "m=video 0 RTP/AVP 96\na=rtpmap:96 H265/90000\na=fmtp:96 sprop-max-don-diff=3",
                CameraSdpError::Interleaved(Codec::H265),
            ),
            ("m=video 0 RTP/AVP 96\na=rtpmap:96 H264/1000", CameraSdpError::ClockRate(1000)),
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
