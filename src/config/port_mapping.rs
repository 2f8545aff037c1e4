//! The setting of a gateway about the router in front of it.

use porthole_gateway::port_mapping::{Protocol, Protocols};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The way in which a gateway asks the router to forward its UDP port.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PortMapping {
    /// With all protocols.
    #[default]
    Auto,
    /// Not at all.
    Off,
    /// With PCP only.
    Pcp,
    /// With NAT-PMP only.
    NatPmp,
    /// With UPnP only.
    Upnp,
}

impl PortMapping {
    /// Returns the protocols; `None` if the router is not asked.
    pub fn protocols(self) -> Option<Protocols> {
        match self {
            Self::Auto => Some(Protocols::All),
            Self::Off => None,
            Self::Pcp => Some(Protocols::Only(Protocol::Pcp)),
            Self::NatPmp => Some(Protocols::Only(Protocol::NatPmp)),
            Self::Upnp => Some(Protocols::Only(Protocol::Upnp)),
        }
    }
}
