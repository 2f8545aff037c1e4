//! The tables `[signaling.turn_server.NAME]`: further TURN servers, each with a secret of its own.

use std::fmt;
use std::num::NonZeroU16;
use std::str::FromStr;

use porthole_signaling::TurnServer as OfferedServer;
use porthole_turn_proto::uri::ServerUri;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Bounded, Secret};

/// The name of the server of `signaling.turn_urls`, and of that of `up` itself.
pub const MAIN_SERVER: &str = "main";

/// Limit of the length of a name, which is in logs and labels of metrics.
const MAX_NAME_CHARS: usize = 32;
/// Limit of the length of a region, which is for people.
const MAX_REGION_CHARS: usize = 64;
/// Limit of the URIs of one server: each transport in both address families, twice.
const MAX_URIS: usize = 16;
const MAX_WEIGHT: u32 = 1000;

/// Settings of a further TURN server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TurnServer {
    /// The URIs by which clients reach it.
    pub urls: Uris,
    /// The secret shared with it; if absent, that of `signaling.turn_secret`, for `up` that of
    /// `turn.secret`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
    /// Its part of the sessions, in relation to the weights of the others.
    #[serde(default = "usual_weight")]
    pub weight: Bounded<1, MAX_WEIGHT>,
    /// The region that it is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
}

fn usual_weight() -> Bounded<1, MAX_WEIGHT> {
    const USUAL: u32 = OfferedServer::USUAL_WEIGHT.get() as u32;
    Bounded::new(USUAL)
}

impl TurnServer {
    /// Returns the server as sessions are offered it, with this secret.
    pub fn offered(&self, name: &TurnServerName, secret: &Secret) -> OfferedServer {
        let weight = u16::try_from(self.weight.get()).ok().and_then(NonZeroU16::new);
        OfferedServer {
            name: name.to_string(),
            urls: self.urls.0.clone(),
            secret: secret.reveal().as_bytes().to_vec(),
            weight: weight.unwrap_or(OfferedServer::USUAL_WEIGHT),
            region: self.region.as_ref().map(|region| region.0.clone()),
        }
    }
}

/// The name of a TURN server in the configuration.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TurnServerName(String);

/// The error for a name that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{0}` is not a name of 1 to {MAX_NAME_CHARS} lower-case letters, digits, `-` and `_`, other \
     than `{MAIN_SERVER}`"
)]
pub struct InvalidName(String);

impl FromStr for TurnServerName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let is_of_name =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
        let is_name = (1..=MAX_NAME_CHARS).contains(&text.len()) && text.chars().all(is_of_name);
        if is_name && text != MAIN_SERVER {
            return Ok(Self(text.to_owned()));
        }
        Err(InvalidName(text.to_owned()))
    }
}

impl TryFrom<String> for TurnServerName {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        text.parse()
    }
}

impl From<TurnServerName> for String {
    fn from(name: TurnServerName) -> Self {
        name.0
    }
}

impl fmt::Display for TurnServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The URIs of one TURN server, of which one at least relays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Uris(Vec<String>);

/// The error for URIs that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InvalidUris {
    #[error("`{0}` is not a URI such as turn:turn.example.org:3478?transport=udp")]
    Malformed(String),
    #[error(
        "none of them is a turn: or turns: URI; STUN servers alone go into signaling.turn_urls"
    )]
    OnlyStun,
    #[error("there are more than {MAX_URIS}")]
    TooMany,
}

impl TryFrom<Vec<String>> for Uris {
    type Error = InvalidUris;

    fn try_from(uris: Vec<String>) -> Result<Self, InvalidUris> {
        if uris.len() > MAX_URIS {
            return Err(InvalidUris::TooMany);
        }
        if let Some(malformed) = uris.iter().find(|uri| ServerUri::parse(uri).is_none()) {
            return Err(InvalidUris::Malformed(malformed.clone()));
        }
        if !uris.iter().any(|uri| uri.starts_with("turn")) {
            return Err(InvalidUris::OnlyStun);
        }
        Ok(Self(uris))
    }
}

impl Uris {
    /// Returns the URIs.
    pub fn iter(&self) -> impl Iterator<Item = &String> {
        self.0.iter()
    }
}

impl From<Uris> for Vec<String> {
    fn from(uris: Uris) -> Self {
        uris.0
    }
}

/// The region of a TURN server, in words of the owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct Region(String);

/// The error for a region that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("a region is 1 to {MAX_REGION_CHARS} characters without control characters")]
pub struct InvalidRegion;

impl TryFrom<String> for Region {
    type Error = InvalidRegion;

    fn try_from(text: String) -> Result<Self, InvalidRegion> {
        let length = text.chars().count();
        let is_text = (1..=MAX_REGION_CHARS).contains(&length) && !text.contains(char::is_control);
        if is_text { Ok(Self(text)) } else { Err(InvalidRegion) }
    }
}

impl From<Region> for String {
    fn from(region: Region) -> Self {
        region.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<TurnServer, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn a_server_is_offered_with_its_urls_its_weight_and_its_region() {
        let name = "north".parse().unwrap();
        let secret = Secret::from("shared".to_owned());
        let least = read("urls = ['turn:a:1']").unwrap().offered(&name, &secret);
        assert_eq!((least.name.as_str(), least.weight.get(), &least.region), ("north", 100, &None));
        assert_eq!((least.urls, least.secret), (vec!["turn:a:1".to_owned()], b"shared".to_vec()));
        let all = "urls = ['stun:a', 'turns:a']\nweight = 7\nregion = 'Nürnberg'";
        let all = read(all).unwrap().offered(&name, &secret);
        assert_eq!((all.weight.get(), all.region.as_deref()), (7, Some("Nürnberg")));
        assert_eq!(all.urls, ["stun:a", "turns:a"]);
    }

    #[test]
    fn what_cannot_be_a_server_is_refused_in_a_sentence() {
        for (text, sentence) in [
            ("", "missing field `urls`"),
            ("urls = []", "none of them"),
            ("urls = ['stun:a']", "none of them"),
            ("urls = ['turn:a', 'http://a']", "`http://a` is not a URI"),
            ("urls = ['turn:a']\nweight = 0", "not between 1 and 1000"),
            ("urls = ['turn:a']\nweight = 1001", "not between 1 and 1000"),
            ("urls = ['turn:a']\nregion = ''", "a region is"),
            ("urls = ['turn:a']\nregion = \"a\\nb\"", "a region is"),
            ("urls = ['turn:a']\nweigth = 1", "unknown field `weigth`"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(sentence), "{text}: {error}");
        }
        let many = format!("urls = [{}]", "'turn:a',".repeat(MAX_URIS + 1));
        assert!(read(&many).unwrap_err().to_string().contains("more than 16"));
    }

    #[test]
    fn a_name_can_be_a_label_and_is_not_that_of_the_main_server() {
        for (text, is_valid) in [
            ("north", true),
            ("fra-1_b", true),
            ("", false),
            ("main", false),
            ("North", false),
            ("a b", false),
            ("a\"b", false),
            ("ö", false),
            (&"a".repeat(32), true),
            (&"a".repeat(33), false),
        ] {
            assert_eq!(text.parse::<TurnServerName>().is_ok(), is_valid, "{text}");
        }
    }
}
