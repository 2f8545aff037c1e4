//! Addresses of cameras, as people write them and as they stand in URLs.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::{CameraId, GatewayId, InvalidId};

/// Character between the id of a camera and that of its gateway. No id has it, and it stands in the
/// path of a URL as it is (RFC 3986 §3.3).
const SEPARATOR: char = '@';

/// An address of a camera: `door`, which is the camera of the gateway that had one with this id
/// first, or `door@GATEWAY`, which is that of one gateway.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, TS)]
#[serde(try_from = "String", into = "String")]
#[ts(type = "string")]
pub struct CameraAddress {
    /// The id of the camera or of its sub stream.
    pub camera: CameraId,
    /// The gateway, if the address names it.
    pub gateway: Option<GatewayId>,
}

impl CameraAddress {
    /// Creates the address that names the gateway.
    pub fn at(camera: CameraId, gateway: GatewayId) -> Self {
        Self { camera, gateway: Some(gateway) }
    }
}

impl From<CameraId> for CameraAddress {
    fn from(camera: CameraId) -> Self {
        Self { camera, gateway: None }
    }
}

impl FromStr for CameraAddress {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let Some((camera, gateway)) = text.split_once(SEPARATOR) else {
            return Ok(text.parse::<CameraId>()?.into());
        };
        Ok(Self::at(camera.parse()?, gateway.parse()?))
    }
}

impl TryFrom<String> for CameraAddress {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

impl From<CameraAddress> for String {
    fn from(address: CameraAddress) -> Self {
        address.to_string()
    }
}

impl fmt::Display for CameraAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.camera)?;
        self.gateway.iter().try_for_each(|gateway| write!(f, "{SEPARATOR}{gateway}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_camera_with_or_without_its_gateway() {
        type Case = (&'static str, Option<(&'static str, Option<&'static str>)>);
        let table: [Case; 9] = [
            ("door", Some(("door", None))),
            ("door@gw-a", Some(("door", Some("gw-a")))),
            ("door.sub@gw-a", Some(("door.sub", Some("gw-a")))),
            ("", None),
            ("@gw-a", None),
            ("door@", None),
            ("door@gw-a@gw-b", None),
            ("door @gw-a", None),
            ("door@-a", None),
        ];
        for (text, expected) in table {
            let found = text.parse::<CameraAddress>().ok();
            let parts = found.as_ref().map(|address| {
                (address.camera.as_str(), address.gateway.as_ref().map(GatewayId::as_str))
            });
            assert_eq!(parts, expected, "{text}");
            let json = serde_json::to_string(text).unwrap();
            let read = serde_json::from_str::<CameraAddress>(&json).ok();
            assert_eq!(read, found, "{text}");
            if let Some(address) = found {
                assert_eq!(address.to_string(), text);
                assert_eq!(serde_json::to_string(&address).unwrap(), json);
            }
        }
    }
}
