//! Identifiers, each a type of its own so that they cannot be confused.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// The longest identifier, in characters.
const MAX_ID_CHARS: usize = 64;

/// The error that a text is not a valid identifier. It holds the start of the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not an id: 1 to {MAX_ID_CHARS} characters of a–z, A–Z, 0–9, `.`, `_` and `-`, \
     not starting with `.` or `-`"
)]
pub struct InvalidId(pub String);

fn check(text: &str) -> Result<(), InvalidId> {
    let fits = (1..=MAX_ID_CHARS).contains(&text.len());
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    if fits && plain && !text.starts_with(['.', '-']) {
        return Ok(());
    }
    Err(InvalidId(text.chars().take(MAX_ID_CHARS).collect()))
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, TS)]
        #[serde(try_from = "String", into = "String")]
        #[ts(type = "string")]
        pub struct $name(String);

        impl $name {
            /// Returns the identifier as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                check(text).map(|()| Self(text.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                check(&text).map(|()| Self(text))
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id! {
    /// The id of a camera: the ONVIF profile token, on the device that its gateway is. It is unique
    /// within its gateway.
    CameraId
}
/// Suffix of the id of a camera's sub stream.
const SUB_STREAM: &str = ".sub";

impl CameraId {
    /// Returns the id of this camera's sub stream, which is a profile of its own. Whoever may see
    /// the camera may see it. `None` if the id would be too long.
    pub fn sub_stream(&self) -> Option<Self> {
        format!("{self}{SUB_STREAM}").parse().ok()
    }

    /// Returns the camera that this id is the sub stream of; `None` if it is not a sub stream.
    pub fn main_stream(&self) -> Option<Self> {
        self.0.strip_suffix(SUB_STREAM)?.parse().ok()
    }
}

id! {
    /// The id of a gateway: the ONVIF peer id, derived from its public key.
    GatewayId
}
id! {
    /// The id of a session, one viewer watching one camera; assigned by the signaling server.
    SessionId
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sub_stream_is_named_after_its_camera() {
        let camera: CameraId = "door".parse().unwrap();
        let sub = camera.sub_stream().unwrap();
        assert_eq!(sub.as_str(), "door.sub");
        assert_eq!(sub.main_stream(), Some(camera.clone()));
        assert_eq!(camera.main_stream(), None);
        assert_eq!("x".repeat(64).parse::<CameraId>().unwrap().sub_stream(), None);
    }

    #[test]
    fn an_id_is_a_short_plain_word() {
        for (text, good) in [
            ("demo", true),
            ("front-door_2.main", true),
            ("A", true),
            ("", false),
            ("-x", false),
            (".hidden", false),
            ("a/b", false),
            ("a b", false),
            ("ünder", false),
            (&"x".repeat(64), true),
            (&"x".repeat(65), false),
        ] {
            assert_eq!(text.parse::<CameraId>().is_ok(), good, "{text}");
            let json = serde_json::to_string(text).unwrap();
            assert_eq!(serde_json::from_str::<CameraId>(&json).is_ok(), good, "{text}");
        }
    }
}
