//! Addresses of cameras, as the configuration writes them.

use std::fmt;
use std::net::{Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use porthole_gateway_core::media::{Codec, Delivery, TestCard, TrackDescription, camera_sdp};
use porthole_gateway_core::rtsp::percent_decode;
use thiserror::Error;
use url::Url;

use super::{Address, Caution, Credentials, Timeouts, Transport};

/// A source of video. `Display` and `Debug` never show a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A camera with RTSP: `rtsp://user:password@host:554/path`.
    Rtsp(RtspCamera),
    /// RTP pushed to a local port: `rtp://0.0.0.0:5004?codec=h264`, optionally with
    /// `payload_type=96` and `sprop=…`.
    Rtp {
        /// Local address to listen on.
        listen: SocketAddr,
        /// Codec and parameter sets of the stream.
        description: TrackDescription,
        /// Payload type of the stream; `None`: that of the first sender.
        payload_type: Option<u8>,
    },
    /// RTP pushed to a local port that an SDP file names: `rtp+sdp:/path/file.sdp`, or a path that
    /// ends in `.sdp`.
    RtpSdp {
        /// Path of the file.
        file: PathBuf,
    },
    /// The test picture: `test:` or `test:1280x720@30`, optionally with `#bitrate=2000000`.
    Test(TestPicture),
}

/// A camera with RTSP, and how to connect to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RtspCamera {
    /// Address without user and password.
    pub address: Address,
    /// User and password, if the address has them.
    pub credentials: Option<Credentials>,
    /// Transport of the RTP packets.
    pub transport: Transport,
    /// Require a certificate that a public authority has signed, with `rtsps://`.
    pub verifies_tls: bool,
    /// Bounds for the camera's silence, which are not part of its address.
    pub timeouts: Timeouts,
    /// Bounds for the use of the password, which are not part of its address either.
    pub caution: Caution,
}

/// The transports, by their names in addresses.
const TRANSPORTS: &[(&str, Transport)] = &[
    ("auto", Transport::Auto),
    ("tcp", Transport::Tcp),
    ("udp", Transport::Udp),
    ("multicast", Transport::Multicast),
    ("http", Transport::Http),
];

/// Size and rate of the test picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TestPicture {
    /// Width in pixels, even.
    pub width: u32,
    /// Height in pixels, even.
    pub height: u32,
    /// Frames per second, 1 to 60.
    pub frames_per_second: u32,
    /// Bit rate in bits per second.
    pub bitrate: u32,
}

impl Default for TestPicture {
    fn default() -> Self {
        Self { width: 1280, height: 720, frames_per_second: 30, bitrate: 2_000_000 }
    }
}

/// Maximum width and height of the test picture, which one core can encode.
const MAX_TEST_SIZE: (u32, u32) = (1920, 1080);
/// Maximum frame rate of the test picture.
const MAX_TEST_RATE: u32 = 60;
/// Maximum bit rate of the test picture, in bits per second.
const MAX_TEST_BITRATE: u32 = 20_000_000;

/// Reasons why an address is not a source.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidSource {
    /// The scheme is unknown; the scheme.
    #[error(
        "a source begins with rtsp://, rtp:// or test:, or is the path of an .sdp file; \
         this one begins with “{0}”"
    )]
    Scheme(String),
    /// The `rtsp://` address is malformed; the problem.
    #[error(
        "not a valid rtsp:// address ({0}); characters like # / ? @ in a password are written \
         %23 %2F %3F %40"
    )]
    Rtsp(String),
    /// The `rtp://` address has no local address and port.
    #[error("an rtp:// source names an address of this machine and a port, as rtp://0.0.0.0:5004")]
    Listen,
    /// The `rtp://` address has no codec.
    #[error("an rtp:// source names its codec: add ?codec=h264 or ?codec=h265")]
    Codec,
    /// The value of an option is invalid.
    #[error("“{value}” is not a value for {key}; expected {expected}")]
    Value {
        /// Name of the option.
        key: &'static str,
        /// The invalid value.
        value: String,
        /// Description of the valid values.
        expected: &'static str,
    },
    /// The option is unknown; its name, and a clause with the known ones.
    #[error("“{0}” is not known here; {1}")]
    Option(String, &'static str),
}

impl Source {
    /// Sets the bounds for the silence of an RTSP camera; other sources have none.
    #[must_use]
    pub fn with_timeouts(self, timeouts: Timeouts) -> Self {
        match self {
            Self::Rtsp(camera) => Self::Rtsp(RtspCamera { timeouts, ..camera }),
            Self::Rtp { .. } | Self::RtpSdp { .. } | Self::Test(_) => self,
        }
    }
}

impl FromStr for Source {
    type Err = InvalidSource;

    fn from_str(text: &str) -> Result<Self, InvalidSource> {
        let text = text.trim();
        let scheme: String = text.chars().take_while(|c| *c != ':').take(16).collect();
        match scheme.to_ascii_lowercase().as_str() {
            "rtsp" | "rtsps" => rtsp(text),
            "rtp" => rtp(text),
            "rtp+sdp" => {
                let file = text.split_once(':').map_or("", |(_, file)| file);
                Ok(Self::RtpSdp { file: PathBuf::from(file) })
            }
            "test" => test(text),
            _ if text.to_ascii_lowercase().ends_with(".sdp") => {
                Ok(Self::RtpSdp { file: PathBuf::from(text) })
            }
            _ => Err(InvalidSource::Scheme(scheme)),
        }
    }
}

fn rtsp(text: &str) -> Result<Source, InvalidSource> {
    let invalid = |error: url::ParseError| InvalidSource::Rtsp(error.to_string());
    let url = Url::parse(text).map_err(invalid)?;
    if url.host_str().is_none_or(str::is_empty) {
        return Err(InvalidSource::Rtsp("it has no host".to_owned()));
    }
    let (mut transport, mut verifies_tls) = (Transport::default(), false);
    for (key, value) in options(url.fragment().unwrap_or_default()) {
        let invalid =
            |key, expected| Err(InvalidSource::Value { key, value: value.to_owned(), expected });
        let named = TRANSPORTS.iter().find(|(name, _)| *name == value);
        match (key, named) {
            ("transport", Some((_, chosen))) => transport = *chosen,
            ("transport", None) => {
                return invalid("transport", "tcp, udp, multicast, http or auto");
            }
            ("tls", _) if value == "verify" => verifies_tls = true,
            ("tls", _) => return invalid("tls", "verify"),
            // This may be the rest of a password: never show it.
            _ => {
                let text = "only #transport=… and tls=verify may follow";
                return Err(InvalidSource::Rtsp(text.to_owned()));
            }
        }
    }
    let is_tls = url.scheme() == "rtsps";
    if is_tls && matches!(transport, Transport::Udp | Transport::Multicast) {
        let text = "rtsps:// encrypts TCP only: use #transport=tcp";
        return Err(InvalidSource::Rtsp(text.to_owned()));
    }
    let decode = |text: &str| percent_decode(text);
    let credentials = match (url.username(), url.password()) {
        ("", None) => None,
        (user, password) => {
            Some(Credentials { user: decode(user), password: decode(password.unwrap_or_default()) })
        }
    };
    let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
    let target = format!("{}{query}", url.path());
    let address = Address::new(is_tls, url.host_str().unwrap_or_default(), url.port(), &target);
    let (timeouts, caution) = (Timeouts::default(), Caution::default());
    let camera = RtspCamera { address, credentials, transport, verifies_tls, timeouts, caution };
    Ok(Source::Rtsp(camera))
}

fn rtp(text: &str) -> Result<Source, InvalidSource> {
    let rest = text.split_once("://").map_or("", |(_, rest)| rest);
    let (address, query) = rest.split_once('?').unwrap_or((rest, ""));
    let listen = match address.trim_end_matches('/').strip_prefix(':') {
        Some(port) => {
            port.parse().ok().map(|port| SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port))
        }
        None => address.trim_end_matches('/').parse().ok(),
    };
    let listen = listen.filter(|listen| listen.port() != 0).ok_or(InvalidSource::Listen)?;
    let (mut codec, mut payload_type, mut parameter_sets) = (None, None, Vec::new());
    for (key, value) in options(query) {
        match key {
            "codec" => {
                let known = Codec::from_encoding_name(value);
                codec = Some(known.ok_or_else(|| InvalidSource::Value {
                    key: "codec",
                    value: value.to_owned(),
                    expected: "h264, h265, vp8, vp9 or av1",
                })?);
            }
            "payload_type" => {
                let number = value.parse().ok().filter(|number| *number < 128);
                payload_type = Some(number.ok_or_else(|| InvalidSource::Value {
                    key: "payload_type",
                    value: value.to_owned(),
                    expected: "a number below 128",
                })?);
            }
            "sprop" => parameter_sets = camera_sdp::parameter_sets(value),
            other => {
                let known = "rtp:// knows codec, payload_type and sprop";
                return Err(InvalidSource::Option(other.to_owned(), known));
            }
        }
    }
    let codec = codec.ok_or(InvalidSource::Codec)?;
    let description = TrackDescription { codec, parameter_sets, delivery: Delivery::Udp };
    Ok(Source::Rtp { listen, description, payload_type })
}

fn test(text: &str) -> Result<Source, InvalidSource> {
    let rest = text.split_once(':').map_or("", |(_, rest)| rest);
    let (size, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let mut picture = TestPicture::default();
    let invalid = |key, value: &str, expected| {
        Err(InvalidSource::Value { key, value: value.to_owned(), expected })
    };
    let (size, rate) = size.split_once('@').map_or((size, None), |(s, rate)| (s, Some(rate)));
    if !size.is_empty() {
        let sides =
            size.split_once('x').and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
        let fits = |(width, height): &(u32, u32)| {
            usize::try_from(*width).is_ok_and(|width| width >= TestCard::MIN_WIDTH)
                && usize::try_from(*height).is_ok_and(|height| height >= TestCard::MIN_HEIGHT)
                && *width <= MAX_TEST_SIZE.0
                && *height <= MAX_TEST_SIZE.1
        };
        match sides.filter(fits) {
            Some((width, height)) => {
                (picture.width, picture.height) = (width & !1, height & !1);
            }
            None => return invalid("the size", size, "from 256x144 to 1920x1080"),
        }
    }
    if let Some(rate) = rate {
        match rate.parse() {
            Ok(frames @ 1..=MAX_TEST_RATE) => picture.frames_per_second = frames,
            _ => return invalid("the frame rate", rate, "1 to 60"),
        }
    }
    for (key, value) in options(fragment) {
        match (key, value.parse()) {
            ("bitrate", Ok(bitrate @ 50_000..=MAX_TEST_BITRATE)) => picture.bitrate = bitrate,
            ("bitrate", _) => return invalid("bitrate", value, "50000 to 20000000 bit/s"),
            _ => return Err(InvalidSource::Option(key.to_owned(), "test: knows bitrate")),
        }
    }
    Ok(Source::Test(picture))
}

/// Splits `key=value&key=value`. Nothing is decoded, because base64 contains a plus sign.
fn options(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

impl fmt::Display for RtspCamera {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = self.address.to_string();
        let (scheme, rest) = address.split_once("://").unwrap_or(("rtsp", &address));
        let user = self.credentials.as_ref().map(|_| "***:***@").unwrap_or_default();
        write!(f, "{scheme}://{user}{rest}")?;
        let named = TRANSPORTS.iter().find(|(_, transport)| *transport == self.transport);
        if let Some((name, _)) = named.filter(|_| self.transport != Transport::default()) {
            write!(f, "#transport={name}")?;
        }
        match (self.verifies_tls, self.transport == Transport::default()) {
            (true, true) => f.write_str("#tls=verify"),
            (true, false) => f.write_str("&tls=verify"),
            (false, _) => Ok(()),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rtsp(camera) => camera.fmt(f),
            Self::Rtp { listen, description, .. } => {
                let codec = description.codec.encoding_name().to_ascii_lowercase();
                write!(f, "rtp://{listen}?codec={codec}")
            }
            Self::RtpSdp { file } => write!(f, "rtp+sdp:{}", file.display()),
            Self::Test(picture) => {
                let TestPicture { width, height, frames_per_second, .. } = picture;
                write!(f, "test:{width}x{height}@{frames_per_second}")
            }
        }
    }
}

#[cfg(test)]
mod tests;
