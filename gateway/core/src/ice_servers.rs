//! The STUN and TURN servers that a gateway may contact.
//!
//! The signaling server names them, and whoever has taken it over must not be able to reach the
//! gateway's own network through it.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use porthole_signaling_proto::IceServer;
use porthole_turn_proto::server::Cidr;
use porthole_turn_proto::uri::Scheme;
use thiserror::Error;

use crate::turn_clients::IceServerEndpoint;

pub use porthole_turn_proto::server::is_public;

/// Limit of ICE servers in one session, each with all its transports: two TURN servers, each in
/// both address families and at a port for TLS.
pub const MAX_ICE_SERVERS: usize = 6;

/// Limit of the length of a host name (RFC 1035 §2.3.4).
const MAX_NAME_CHARS: usize = 253;

/// A server, or a network of servers, that the owner of the gateway allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AllowedIceServer {
    /// A network, or a single address.
    Network(Cidr),
    /// A host name, whatever its address is.
    Name(String),
}

/// The error of a text that names no server and no network.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is neither a host name nor an address nor a network like 192.168.1.0/24")]
pub struct InvalidIceServer(String);

impl FromStr for AllowedIceServer {
    type Err = InvalidIceServer;

    fn from_str(text: &str) -> Result<Self, InvalidIceServer> {
        if let Ok(network) = text.parse() {
            return Ok(Self::Network(network));
        }
        let is_of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let is_name = (1..=MAX_NAME_CHARS).contains(&text.len()) && text.chars().all(is_of_name);
        if is_name { Ok(Self::Name(text.to_owned())) } else { Err(InvalidIceServer(text.into())) }
    }
}

impl fmt::Display for AllowedIceServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(network) => network.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// The addresses of the gateway's machine, and the networks that it is in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// The addresses of the machine.
    pub addresses: Vec<IpAddr>,
    /// The networks that it has an address in.
    pub networks: Vec<Cidr>,
}

/// Decides which STUN and TURN servers the gateway may contact: those on the Internet, those on the
/// machine of the signaling server, and those that its owner allows.
#[derive(Debug, Clone, Default)]
pub struct IceServerRules {
    allowed: Vec<AllowedIceServer>,
    signaling: Option<IpAddr>,
}

impl IceServerRules {
    /// Creates the rules with what the owner allows.
    pub fn new(allowed: Vec<AllowedIceServer>) -> Self {
        Self { allowed, signaling: None }
    }

    /// Sets the address at which the gateway has reached the signaling server. It is the address
    /// and not the name, because a name may mean another machine at the next moment.
    pub fn set_signaling_server(&mut self, ip: IpAddr) {
        self.signaling = Some(ip.to_canonical());
    }

    /// Returns true if the gateway may contact the server `host` at this address.
    pub fn allows(&self, host: &str, ip: IpAddr, around: &Surroundings) -> bool {
        let ip = ip.to_canonical();
        let is_allowed = |allowed: &AllowedIceServer| match allowed {
            AllowedIceServer::Network(network) => network.contains(ip),
            AllowedIceServer::Name(name) => name.eq_ignore_ascii_case(host),
        };
        let is_near = around.addresses.contains(&ip)
            || around.networks.iter().any(|network| network.contains(ip));
        self.is_on_signaling_machine(ip, around)
            || self.allowed.iter().any(is_allowed)
            || (is_public(ip) && !is_near)
    }

    /// Returns true for an address of the machine on which the signaling server runs. If that is
    /// this machine, each of its addresses is one.
    fn is_on_signaling_machine(&self, ip: IpAddr, around: &Surroundings) -> bool {
        let is_here = |ip: IpAddr| ip.is_loopback() || around.addresses.contains(&ip);
        self.signaling.is_some_and(|signaling| signaling == ip || is_here(signaling) && is_here(ip))
    }
}

/// Returns the usable endpoints of the first [`MAX_ICE_SERVERS`] servers, in their order.
pub(crate) fn endpoints(
    servers: &[IceServer],
) -> impl Iterator<Item = (Scheme, IceServerEndpoint, &IceServer)> {
    let mut places = Vec::new();
    all_endpoints(servers).filter(move |(_, at, _)| {
        let place = (at.host.clone(), at.port);
        let is_known = places.contains(&place);
        if !is_known && places.len() < MAX_ICE_SERVERS {
            places.push(place);
            return true;
        }
        is_known
    })
}

/// Returns true if there are more servers than are used.
pub(crate) fn are_too_many(servers: &[IceServer]) -> bool {
    all_endpoints(servers).count() > endpoints(servers).count()
}

fn all_endpoints(
    servers: &[IceServer],
) -> impl Iterator<Item = (Scheme, IceServerEndpoint, &IceServer)> {
    servers.iter().flat_map(|server| {
        let read = server.urls.iter().filter_map(|uri| IceServerEndpoint::parse(uri));
        read.map(move |(scheme, at)| (scheme, at, server))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn home() -> Surroundings {
        Surroundings {
            addresses: ["127.0.0.1", "192.168.1.2", "2a01:4f8:1:2::2"].map(ip).into(),
            networks: ["192.168.1.0/24", "2a01:4f8:1:2::/64"].map(|n| n.parse().unwrap()).into(),
        }
    }

    #[test]
    fn s8_a_server_is_public_or_the_signaling_servers_or_allowed_by_the_owner() {
        const PUBLIC: &str = "9.9.9.9";
        const LAN: &str = "192.168.1.7";
        // The address of the signaling server, what the owner allows, and a TURN server.
        for (signaling, allowed, host, address, expected) in [
            (PUBLIC, "", "turn.example.org", "8.8.8.8", true),
            (PUBLIC, "", "turn.example.org", "2606:4700::1111", true),
            (PUBLIC, "", "turn.example.org", "64:ff9b::808:808", true),
            (PUBLIC, "", "turn.example.org", "64:ff9b::c0a8:107", false),
            (PUBLIC, "", "127.0.0.1", "127.0.0.1", false),
            (PUBLIC, "", "0.0.0.0", "0.0.0.0", false),
            (PUBLIC, "", "::1", "::1", false),
            (PUBLIC, "", "::ffff:127.0.0.1", "::ffff:127.0.0.1", false),
            (PUBLIC, "", "rebinding.example", "192.168.1.20", false),
            (PUBLIC, "", "rebinding.example", "10.0.0.1", false),
            (PUBLIC, "", "rebinding.example", "169.254.169.254", false),
            (PUBLIC, "", "rebinding.example", "100.64.0.1", false),
            (PUBLIC, "", "rebinding.example", "fd00::1", false),
            (PUBLIC, "", "rebinding.example", "fe80::1", false),
            (PUBLIC, "", "rebinding.example", "2002:c0a8:0107::1", false),
            (PUBLIC, "", "rebinding.example", "224.0.0.1", false),
            (PUBLIC, "", "a global address in the LAN", "2a01:4f8:1:2::20", false),
            (PUBLIC, "", "a global address of the gateway", "2a01:4f8:1:2::2", false),
            (PUBLIC, "", "9.9.9.9", "9.9.9.9", true),
            (LAN, "", "192.168.1.7", "192.168.1.7", true),
            (LAN, "", "server.lan", "192.168.1.7", true),
            (LAN, "", "mapped", "::ffff:192.168.1.7", true),
            (LAN, "", "another machine", "192.168.1.8", false),
            (LAN, "", "the gateway itself", "192.168.1.2", false),
            (LAN, "", "the gateway itself", "127.0.0.1", false),
            ("127.0.0.1", "", "the same machine", "127.0.0.1", true),
            ("127.0.0.1", "", "the same machine", "192.168.1.2", true),
            ("127.0.0.1", "", "the same machine", "2a01:4f8:1:2::2", true),
            ("127.0.0.1", "", "another machine", "192.168.1.8", false),
            ("192.168.1.2", "", "the same machine", "127.0.0.1", true),
            (PUBLIC, "192.168.1.8", "192.168.1.8", "192.168.1.8", true),
            (PUBLIC, "192.168.1.8", "192.168.1.9", "192.168.1.9", false),
            (PUBLIC, "10.7.0.0/16", "turn", "10.7.1.1", true),
            (PUBLIC, "turn.lan", "Turn.LAN", "192.168.1.8", true),
            (PUBLIC, "turn.lan", "other.lan", "192.168.1.8", false),
        ] {
            let allowed = Some(allowed).filter(|text| !text.is_empty());
            let allowed = allowed.map(|text| text.parse().unwrap());
            let mut rules = IceServerRules::new(allowed.into_iter().collect());
            rules.set_signaling_server(ip(signaling));
            let given = rules.allows(host, ip(address), &home());
            assert_eq!(given, expected, "{host} at {address}, the signaling server at {signaling}");
        }
    }

    #[test]
    fn before_there_is_a_link_only_public_servers_are_allowed() {
        let rules = IceServerRules::default();
        for (address, expected) in [("8.8.8.8", true), ("127.0.0.1", false), ("10.0.0.1", false)] {
            assert_eq!(rules.allows("turn", ip(address), &home()), expected, "{address}");
        }
    }

    #[test]
    fn a_server_is_allowed_by_its_name_its_address_or_its_network() {
        for (text, is_valid) in [
            ("turn.example.org", true),
            ("10.0.0.7", true),
            ("10.0.0.0/8", true),
            ("fd00::7", true),
            ("", false),
            ("10.0.0.7/8", false),
            ("turn:10.0.0.7", false),
            ("turn.example.org:3478", false),
            ("http://turn.example.org/", false),
        ] {
            let read = text.parse::<AllowedIceServer>();
            assert_eq!(read.is_ok(), is_valid, "{text}");
            if let Ok(read) = read {
                assert_eq!(read.to_string().parse(), Ok(read), "{text}");
            }
        }
    }

    #[test]
    fn only_the_first_six_servers_are_used_each_with_all_its_transports() {
        let uri = |number: usize| {
            let at = format!("h{number}:3478");
            vec![format!("stun:{at}"), format!("turn:{at}"), format!("turn:{at}?transport=tcp")]
        };
        for (count, used) in [(0, 0), (1, 3), (6, 18), (7, 18), (50, 18)] {
            let (username, credential) = (Some("u".to_owned()), Some("c".to_owned()));
            let urls = (0..count).flat_map(uri).collect();
            let servers = [IceServer { urls, username, credential }];
            assert_eq!(endpoints(&servers).count(), used, "{count}");
            assert_eq!(are_too_many(&servers), count > MAX_ICE_SERVERS, "{count}");
        }
    }
}
