//! The path that media takes, derived from the selected candidate pair.

use std::net::Ipv4Addr;

use serde::Deserialize;

use crate::lab::SERVER_ADDRESS;

/// The kind of path between a gateway and a viewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// Directly between two hosts of one LAN.
    Lan,
    /// Directly between the two hosts, over UDP, through their NATs.
    Direct,
    /// Through the TURN server.
    Relay,
}

/// The selected candidate pair, as the viewer reports it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pair {
    /// The viewer's candidate.
    pub local: Candidate,
    /// The gateway's candidate.
    pub remote: Candidate,
    /// The latest round-trip time in milliseconds.
    pub round_trip_ms: f64,
}

/// One candidate of a pair.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Candidate {
    /// The type: `host`, `srflx`, `prflx` or `relay`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The transport protocol: `udp` or `tcp`.
    pub protocol: String,
    /// The protocol between a relayed candidate and its TURN server: `udp`, `tcp` or `tls`.
    pub relay_protocol: Option<String>,
    /// The IP address; `None` for a host candidate that a browser hides behind mDNS.
    pub address: Option<String>,
    /// The port number.
    pub port: u16,
}

impl Pair {
    /// Returns the path that this pair means in the lab.
    ///
    /// The type of a candidate alone does not tell: if a check from a relayed address arrives
    /// before its candidate is signaled, the candidate is peer-reflexive to the receiver.
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
    /// Returns the IPv4 address, if the candidate has one.
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
