//! Types of single settings, which are parsed and checked when they are loaded.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use porthole_admin::{BadPlace, Place};
use porthole_gateway::onvif::ServiceAddress;
use porthole_gateway::{AllowedIceServer, InvalidIceServer, ingest};
use porthole_signaling_proto::{CameraId, ROTATIONS};
use porthole_turn_proto::server::{Cidr, InvalidCidr};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize, Serializer};
use url::Host;

/// The text shown instead of a secret.
const REDACTED: &str = "…";

/// A secret text, which neither `Debug` nor serialization shows.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Returns the secret text.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(REDACTED)
    }
}

/// Implements the JSON Schema of a type that is written as text.
macro_rules! schema_of_text {
    ($type:ty) => {
        impl JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string" })
            }
        }
    };
}

/// Implements the conversions from and to `String` that serde uses, by `FromStr` and `Display`.
macro_rules! convert_as_string {
    ($type:ty) => {
        schema_of_text!($type);

        impl TryFrom<String> for $type {
            type Error = <Self as FromStr>::Err;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(value: $type) -> Self {
                value.to_string()
            }
        }
    };
}

schema_of_text!(Secret);
schema_of_text!(Source);

/// A range of UDP ports, including both ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Ports {
    pub first: u16,
    pub last: u16,
}

/// The error for an invalid range of ports.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a range of ports such as 49152-65535")]
pub struct InvalidPorts(String);

impl FromStr for Ports {
    type Err = InvalidPorts;

    fn from_str(text: &str) -> Result<Self, InvalidPorts> {
        let parse = || {
            let (first, last) = text.split_once('-')?;
            let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
            (first > 0 && first <= last).then_some(Self { first, last })
        };
        parse().ok_or_else(|| InvalidPorts(text.to_owned()))
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

convert_as_string!(Ports);

/// A length of time with a unit: `90s`, `15m`, `1h`, `30d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span {
    /// The length in seconds, at least 1.
    pub seconds: u32,
}

/// The error for an invalid length of time.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a length of time such as 90s, 15m, 1h or 30d")]
pub struct InvalidSpan(String);

impl FromStr for Span {
    type Err = InvalidSpan;

    fn from_str(text: &str) -> Result<Self, InvalidSpan> {
        let parse = || {
            let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
            let unit_s: u32 = match text.get(digits.len()..)? {
                "s" => 1,
                "m" => 60,
                "h" => 60 * 60,
                "d" => 24 * 60 * 60,
                _ => return None,
            };
            let seconds = digits.parse::<u32>().ok()?.checked_mul(unit_s)?;
            (seconds > 0).then_some(Self { seconds })
        };
        parse().ok_or_else(|| InvalidSpan(text.to_owned()))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u32, &str); 3] = [(24 * 60 * 60, "d"), (60 * 60, "h"), (60, "m")];
        let whole = UNITS.iter().find(|(seconds, _)| self.seconds.is_multiple_of(*seconds));
        let (unit_s, name) = whole.unwrap_or(&(1, "s"));
        write!(f, "{}{name}", self.seconds / unit_s)
    }
}

convert_as_string!(Span);

/// An integer from `MIN` to `MAX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Bounded<const MIN: u32, const MAX: u32>(u32);

/// The error for a number that is too small or too large.
#[derive(Debug, thiserror::Error)]
#[error("{number} is not between {min} and {max}")]
pub struct OutOfRange {
    number: u32,
    min: u32,
    max: u32,
}

impl<const MIN: u32, const MAX: u32> Bounded<MIN, MAX> {
    /// Creates a default value.
    ///
    /// # Panics
    ///
    /// Panics if the number is out of range; at compile time in a constant.
    pub const fn new(number: u32) -> Self {
        assert!(MIN <= number && number <= MAX);
        Self(number)
    }

    /// Returns the number.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// Returns the number as `usize`.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl<const MIN: u32, const MAX: u32> TryFrom<u32> for Bounded<MIN, MAX> {
    type Error = OutOfRange;

    fn try_from(number: u32) -> Result<Self, OutOfRange> {
        if (MIN..=MAX).contains(&number) {
            return Ok(Self(number));
        }
        Err(OutOfRange { number, min: MIN, max: MAX })
    }
}

impl<const MIN: u32, const MAX: u32> From<Bounded<MIN, MAX>> for u32 {
    fn from(bounded: Bounded<MIN, MAX>) -> Self {
        bounded.0
    }
}

impl<const MIN: u32, const MAX: u32> JsonSchema for Bounded<MIN, MAX> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("From{MIN}To{MAX}").into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": MIN, "maximum": MAX })
    }
}

/// A domain name or an IP address by which clients reach this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicName(pub Host);

/// The error for a text that names no machine.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a name or address such as cameras.example.org or 203.0.113.7")]
pub struct InvalidPublicName(String);

impl FromStr for PublicName {
    type Err = InvalidPublicName;

    fn from_str(text: &str) -> Result<Self, InvalidPublicName> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::from(address));
        }
        let host = Host::parse(text).map_err(|_| InvalidPublicName(text.to_owned()))?;
        match &host {
            Host::Domain(name) if name.contains('*') => Err(InvalidPublicName(text.to_owned())),
            Host::Domain(_) | Host::Ipv4(_) | Host::Ipv6(_) => Ok(Self(host)),
        }
    }
}

impl From<IpAddr> for PublicName {
    fn from(address: IpAddr) -> Self {
        Self(match address {
            IpAddr::V4(address) => Host::Ipv4(address),
            IpAddr::V6(address) => Host::Ipv6(address),
        })
    }
}

/// Formats it as in a URL.
impl fmt::Display for PublicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

convert_as_string!(PublicName);

/// The way to find the public address of this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ExternalAddress {
    /// The address itself.
    Ip(IpAddr),
    /// The address that a STUN server sees: `HOST[:PORT]`.
    Stun(String),
    /// The address of a network interface.
    Interface(String),
}

/// The error for an invalid way.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is neither an IP address nor stun:HOST[:PORT] nor interface:NAME")]
pub struct InvalidExternalAddress(String);

impl FromStr for ExternalAddress {
    type Err = InvalidExternalAddress;

    fn from_str(text: &str) -> Result<Self, InvalidExternalAddress> {
        let named = |name: &str| Some(name.to_owned()).filter(|name| !name.is_empty());
        let parsed = match text.split_once(':') {
            Some(("stun", server)) => named(server).map(Self::Stun),
            Some(("interface", name)) => named(name).map(Self::Interface),
            Some(_) | None => text.parse().ok().map(Self::Ip),
        };
        parsed.ok_or_else(|| InvalidExternalAddress(text.to_owned()))
    }
}

impl fmt::Display for ExternalAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(ip) => ip.fmt(f),
            Self::Stun(server) => write!(f, "stun:{server}"),
            Self::Interface(name) => write!(f, "interface:{name}"),
        }
    }
}

convert_as_string!(ExternalAddress);

/// The loopback address or Unix socket of the admin API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AdminAddress(pub Place);

impl FromStr for AdminAddress {
    type Err = BadPlace;

    fn from_str(text: &str) -> Result<Self, BadPlace> {
        text.parse().map(Self)
    }
}

impl fmt::Display for AdminAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

convert_as_string!(AdminAddress);

/// A TURN account, given as `NAME:PASSWORD` in flags.
#[derive(Debug, Clone)]
pub struct Account {
    pub name: String,
    pub password: Secret,
}

/// The error for an account that is not `NAME:PASSWORD`.
#[derive(Debug, thiserror::Error)]
#[error("expected NAME:PASSWORD")]
pub struct InvalidAccount;

impl FromStr for Account {
    type Err = InvalidAccount;

    fn from_str(text: &str) -> Result<Self, InvalidAccount> {
        match text.split_once(':') {
            Some((name, password)) if !name.is_empty() && !password.is_empty() => {
                Ok(Self { name: name.to_owned(), password: password.to_owned().into() })
            }
            _ => Err(InvalidAccount),
        }
    }
}

/// A network in CIDR notation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network(pub Cidr);

impl FromStr for Network {
    type Err = InvalidCidr;

    fn from_str(text: &str) -> Result<Self, InvalidCidr> {
        text.parse().map(Self)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

convert_as_string!(Network);

/// A STUN or TURN server by name or address, or a network of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IceServerHost(pub AllowedIceServer);

impl FromStr for IceServerHost {
    type Err = InvalidIceServer;

    fn from_str(text: &str) -> Result<Self, InvalidIceServer> {
        text.parse().map(Self)
    }
}

impl fmt::Display for IceServerHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

convert_as_string!(IceServerHost);

/// The rights of somebody who signs in at a provider and is not known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Join {
    /// No rights: an invitation is needed.
    #[default]
    Nobody,
    /// A viewer without cameras.
    WithoutCameras,
    /// A viewer of all cameras.
    Viewer,
}

/// The degrees by which a picture is turned clockwise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct Rotation(u16);

impl Rotation {
    /// Returns the degrees.
    pub fn degrees(self) -> u16 {
        self.0
    }
}

impl JsonSchema for Rotation {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Rotation".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "enum": ROTATIONS })
    }
}

impl From<Rotation> for u16 {
    fn from(rotation: Rotation) -> Self {
        rotation.0
    }
}

impl TryFrom<u16> for Rotation {
    type Error = String;

    fn try_from(degrees: u16) -> Result<Self, String> {
        if ROTATIONS.contains(&degrees) {
            return Ok(Self(degrees));
        }
        Err(format!("{degrees} is not a rotation: give 0, 90, 180 or 270"))
    }
}

/// The address of an ONVIF device service, without user and password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OnvifService(pub ServiceAddress);

impl FromStr for OnvifService {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let authority = text.split("://").nth(1).unwrap_or_default();
        if authority.split('/').next().unwrap_or_default().contains('@') {
            let text = "leave user and password out of it: those of `source` are used";
            return Err(text.to_owned());
        }
        let service = ServiceAddress::parse(text).map(Self);
        service.ok_or_else(|| {
            format!("`{text}` is not an address like http://192.168.1.20/onvif/device_service")
        })
    }
}

impl fmt::Display for OnvifService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

convert_as_string!(OnvifService);

/// The source of a camera's stream. Its text may contain a password, which is not shown.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Source {
    text: String,
    parsed: ingest::Source,
}

impl Source {
    /// Returns the text as it was configured, including the password.
    pub fn reveal(&self) -> &str {
        &self.text
    }

    /// Returns the source as the gateway needs it.
    pub fn parsed(&self) -> ingest::Source {
        self.parsed.clone()
    }

    /// Returns true if there is a password in it.
    pub fn has_password(&self) -> bool {
        self.redacted() != self.text
    }

    /// Returns the text with the passwords replaced, also those in path and query.
    fn redacted(&self) -> String {
        let mut text = self.text.clone();
        if let Ok(mut url) = url::Url::parse(&self.text)
            && url.password().is_some()
            && url.set_password(Some("***")).is_ok()
        {
            text = url.into();
        }
        ingest::mask_passwords(&text)
    }
}

impl TryFrom<String> for Source {
    type Error = ingest::InvalidSource;

    fn try_from(text: String) -> Result<Self, ingest::InvalidSource> {
        Ok(Self { parsed: text.parse()?, text })
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.redacted())
    }
}

impl Serialize for Source {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.redacted())
    }
}

/// A camera given as `ID=SOURCE` in a flag.
#[derive(Debug, Clone)]
pub struct CameraFlag {
    pub id: CameraId,
    pub source: Source,
}

/// The error for an invalid camera flag.
#[derive(Debug, thiserror::Error)]
pub enum InvalidCamera {
    #[error("expected ID=SOURCE, such as door=rtsp://10.0.0.9/stream1")]
    Form,
    /// The text is not repeated, because it may be a URL with a password.
    #[error(
        "the part before `=` is not a camera id: 1 to 64 characters of a–z, A–Z, 0–9, `.`, `_` and \
         `-`"
    )]
    Id,
    #[error(transparent)]
    Source(#[from] ingest::InvalidSource),
}

impl FromStr for CameraFlag {
    type Err = InvalidCamera;

    fn from_str(text: &str) -> Result<Self, InvalidCamera> {
        match text.split_once('=') {
            Some((id, source)) if !source.is_empty() => {
                let id = id.parse().map_err(|_| InvalidCamera::Id)?;
                Ok(Self { id, source: source.to_owned().try_into()? })
            }
            _ => Err(InvalidCamera::Form),
        }
    }
}
