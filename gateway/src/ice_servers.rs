//! The addresses of STUN and TURN servers: a name is resolved once, and only an address that passes
//! the rules of the core is contacted.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use porthole_gateway_core::IceServerEndpoint;
use porthole_gateway_core::ice_servers::{AllowedIceServer, IceServerRules, Surroundings};
use tokio::net::lookup_host;
use tracing::warn;

use crate::onvif;

/// Limit of addresses of one name: more than any service publishes.
const MAX_ADDRESSES: usize = 8;

/// Limit of refused servers that the log names; a server that names more is up to something.
const MAX_TOLD: usize = 32;

/// Finds the addresses of the servers that the signaling server names.
#[derive(Debug, Default)]
pub(crate) struct IceServerResolver(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    rules: IceServerRules,
    /// Refused servers that the log has named.
    told: BTreeSet<(String, IpAddr)>,
}

impl IceServerResolver {
    /// Creates a resolver with what the owner of the gateway allows.
    pub(crate) fn new(allowed: Vec<AllowedIceServer>) -> Self {
        let rules = IceServerRules::new(allowed);
        Self(Mutex::new(State { rules, told: BTreeSet::new() }))
    }

    /// Sets the address at which the signaling server was reached.
    pub(crate) fn set_signaling_server(&self, ip: IpAddr) {
        self.state().rules.set_signaling_server(ip);
    }

    /// Returns the addresses of a server that may be contacted; they are not resolved again.
    ///
    /// # Errors
    /// Fails if the name has no address, or none that may be contacted.
    pub(crate) async fn resolve(&self, server: &IceServerEndpoint) -> io::Result<Vec<SocketAddr>> {
        let found = lookup_host((server.host.as_str(), server.port)).await?;
        let found: Vec<SocketAddr> = found.take(MAX_ADDRESSES).collect();
        let around = surroundings()?;
        let mut state = self.state();
        let allowed = found.into_iter().filter(|found| state.allows(server, found.ip(), &around));
        let allowed: Vec<_> = allowed.collect();
        if allowed.is_empty() {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        Ok(allowed)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Asks the rules, and tells the log once about a server that they refuse.
    fn allows(&mut self, server: &IceServerEndpoint, ip: IpAddr, around: &Surroundings) -> bool {
        let is_allowed = self.rules.allows(&server.host, ip, around);
        if !is_allowed && self.told.len() < MAX_TOLD && self.told.insert((server.host.clone(), ip))
        {
            warn!(
                "the signaling server names the STUN or TURN server {:?} at {ip}, which is neither \
                 on the Internet nor on the machine of the signaling server: it is not contacted. \
                 If it is yours, name it in gateway.allow_ice_servers",
                server.host
            );
        }
        is_allowed
    }
}

/// Reads the addresses and networks of this machine.
fn surroundings() -> io::Result<Surroundings> {
    let interfaces = if_addrs::get_if_addrs()?;
    let addresses = interfaces.iter().map(|interface| interface.ip()).collect();
    Ok(Surroundings { addresses, networks: onvif::networks(Vec::new())?.own })
}

#[cfg(test)]
mod tests {
    use porthole_gateway_core::TurnTransport;

    use super::*;

    fn endpoint(host: &str) -> IceServerEndpoint {
        IceServerEndpoint { host: host.to_owned(), port: 3478, transport: TurnTransport::Udp }
    }

    #[tokio::test]
    async fn names_and_addresses_of_this_machine_are_refused_unless_the_server_is_here() {
        for (signaling, allowed, host, expected) in [
            ("203.0.113.1", None, "127.0.0.1", false),
            ("203.0.113.1", None, "::1", false),
            ("203.0.113.1", None, "localhost", false),
            ("203.0.113.1", None, "0.0.0.0", false),
            ("203.0.113.1", None, "203.0.113.1", true),
            ("203.0.113.1", Some("127.0.0.0/8"), "127.0.0.1", true),
            ("203.0.113.1", Some("localhost"), "localhost", true),
            ("127.0.0.1", None, "127.0.0.1", true),
            ("127.0.0.1", None, "localhost", true),
            ("127.0.0.1", None, "192.0.2.7", false),
        ] {
            let allowed: Option<AllowedIceServer> = allowed.map(|text| text.parse().unwrap());
            let resolver = IceServerResolver::new(allowed.into_iter().collect());
            resolver.set_signaling_server(signaling.parse().unwrap());
            let found = resolver.resolve(&endpoint(host)).await;
            assert_eq!(found.is_ok(), expected, "{host}, the signaling server at {signaling}");
        }
    }

    #[tokio::test]
    async fn a_refused_server_is_told_once_and_a_flood_of_them_is_bounded() {
        let resolver = IceServerResolver::default();
        for _ in 0..3 {
            assert!(resolver.resolve(&endpoint("127.0.0.1")).await.is_err());
        }
        assert_eq!(resolver.state().told.len(), 1);
        for last in 0..=u8::MAX {
            assert!(resolver.resolve(&endpoint(&format!("127.0.1.{last}"))).await.is_err());
        }
        assert_eq!(resolver.state().told.len(), MAX_TOLD);
    }
}
