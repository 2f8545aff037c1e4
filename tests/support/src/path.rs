//! The way that media takes, as the candidate pair in use tells it.

use std::net::Ipv4Addr;

use serde::Deserialize;

use crate::lab::SERVER_ADDRESS;

/// How media gets from one side to the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// Between two hosts of one LAN.
    Lan,
    /// Between the two hosts, over UDP, through their NATs.
    Direct,
    /// Through the TURN server.
    Relay,
}

/// The candidate pair in use, as the viewer sees it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pair {
    pub local: Candidate,
    pub remote: Candidate,
    pub round_trip_ms: f64,
}

/// One end of it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Candidate {
    /// `host`, `srflx`, `prflx` or `relay`.
    #[serde(rename = "type")]
    pub kind: String,
    pub protocol: String,
    /// How this side talks to its TURN server.
    pub relay_protocol: Option<String>,
    /// Empty for a host candidate that a browser hides behind mDNS.
    pub address: Option<String>,
    pub port: u16,
}

impl Pair {
    /// The path it means in the lab.
    ///
    /// Not by type alone: a relayed address of which a check comes before its candidate is signaled
    /// is peer-reflexive to the receiver.
    pub fn path(&self) -> Path {
        let remote = self.remote.address();
        if self.local.kind == "relay" || self.remote.kind == "relay" {
            return Path::Relay;
        }
        match remote {
            Some(SERVER_ADDRESS) => Path::Relay,
            Some(address) if address.is_private() => Path::Lan,
            _ => Path::Direct,
        }
    }
}

impl Candidate {
    pub fn address(&self) -> Option<Ipv4Addr> {
        self.address.as_deref()?.parse().ok()
    }
}
