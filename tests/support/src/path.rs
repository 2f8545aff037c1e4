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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pair_tells_the_path() {
        let table = [
            // local type, remote type, remote address, path
            ("host", "host", Some("192.168.1.2"), Path::Lan),
            ("prflx", "host", Some("192.168.1.2"), Path::Lan),
            ("host", "host", Some("203.0.113.21"), Path::Direct),
            ("srflx", "prflx", Some("203.0.113.21"), Path::Direct),
            ("host", "host", None, Path::Direct),
            ("relay", "srflx", Some("203.0.113.21"), Path::Relay),
            ("relay", "host", Some("192.168.1.2"), Path::Relay),
            ("host", "relay", Some("203.0.113.10"), Path::Relay),
            ("srflx", "prflx", Some("203.0.113.10"), Path::Relay),
        ];
        for (local, remote, address, path) in table {
            let pair = Pair {
                local: candidate(local, None),
                remote: candidate(remote, address),
                round_trip_ms: 0.0,
            };
            assert_eq!(pair.path(), path, "{pair:?}");
        }
    }

    fn candidate(kind: &str, address: Option<&str>) -> Candidate {
        Candidate {
            kind: kind.to_owned(),
            protocol: "udp".to_owned(),
            relay_protocol: None,
            address: address.map(str::to_owned),
            port: 1,
        }
    }
}
