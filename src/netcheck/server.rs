//! The server to check, as the user names it, and its addresses.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, bail};
use porthole_turn_proto::uri::{DEFAULT_PORT, ServerUri, split_host_port};
use tokio::net::lookup_host;

/// A server with its addresses.
#[derive(Debug)]
pub(super) struct Server {
    /// The name as the user wrote it.
    pub(super) name: String,
    /// The host, which the server's certificate must be for.
    pub(super) host: String,
    /// Addresses with the port for UDP and TCP. One of each family is enough to check the network.
    pub(super) addresses: Vec<SocketAddr>,
    /// The TLS port, if the name is a `stuns:` or `turns:` URI.
    pub(super) tls_port: Option<u16>,
}

impl Server {
    /// Parses the name and looks up its addresses.
    ///
    /// # Errors
    ///
    /// Fails if the name is invalid, or if no address is found.
    pub(super) async fn resolve(name: &str) -> anyhow::Result<Self> {
        let parsed = parse(name);
        let (host, port, tls_port) =
            parsed.with_context(|| format!("{name} is not HOST[:PORT] or a STUN or TURN URI"))?;
        let found = lookup_host((host.as_str(), port)).await;
        let found: Vec<_> =
            found.with_context(|| format!("cannot find the server {name}"))?.collect();
        let first = |v6: bool| found.iter().copied().find(|address| address.is_ipv6() == v6);
        let addresses: Vec<_> = [first(false), first(true)].into_iter().flatten().collect();
        if addresses.is_empty() {
            bail!("the server {name} has no address");
        }
        Ok(Self { name: name.to_owned(), host, addresses, tls_port })
    }

    /// Returns true if the server is named by its address, which few certificates contain.
    pub(super) fn is_address(&self) -> bool {
        self.host.parse::<IpAddr>().is_ok()
    }
}

/// Returns host, port and port for TLS of `HOST[:PORT]` or of a URI (RFC 7064, RFC 7065). The
/// transport of a URI is ignored, because all transports are tried.
fn parse(name: &str) -> Option<(String, u16, Option<u16>)> {
    let without_transport = name.split_once('?').map_or(name, |(uri, _)| uri);
    match ServerUri::parse(without_transport) {
        Some(uri) if !is_host_and_port(name) => {
            let secure = uri.scheme.is_secure();
            let (port, tls_port) =
                if secure { (DEFAULT_PORT, Some(uri.port)) } else { (uri.port, None) };
            Some((uri.host, port, tls_port))
        }
        Some(_) | None => {
            let (host, port) = split_host_port(name)?;
            Some((host.to_owned(), port.unwrap_or(DEFAULT_PORT), None))
        }
    }
}

/// Returns true for a text such as `turn:99`: a host may be named like a scheme.
fn is_host_and_port(name: &str) -> bool {
    name.rsplit_once(':')
        .is_some_and(|(host, port)| !host.contains(':') && port.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_have_a_port_and_a_scheme() {
        for (name, host, port, tls_port) in [
            ("turn.example.org", "turn.example.org", 3478, None),
            ("turn.example.org:99", "turn.example.org", 99, None),
            ("192.0.2.1:99", "192.0.2.1", 99, None),
            ("2001:db8::1", "2001:db8::1", 3478, None),
            ("[2001:db8::1]:99", "2001:db8::1", 99, None),
            ("[2001:db8::1]", "2001:db8::1", 3478, None),
            ("stun:example.org", "example.org", 3478, None),
            ("turn:example.org:99?transport=tcp", "example.org", 99, None),
            ("turns:example.org", "example.org", 3478, Some(5349)),
            ("stuns:[2001:db8::1]:443", "2001:db8::1", 3478, Some(443)),
            ("turns:example.org:443?transport=tcp", "example.org", 3478, Some(443)),
            // Hosts that are named like a scheme.
            ("turn", "turn", 3478, None),
            ("turn:99", "turn", 99, None),
        ] {
            assert_eq!(parse(name), Some((host.to_owned(), port, tls_port)), "{name}");
        }
    }

    #[tokio::test]
    async fn an_address_is_not_looked_up() {
        for (name, address) in [
            ("127.0.0.1", "127.0.0.1:3478"),
            ("127.0.0.1:99", "127.0.0.1:99"),
            ("::1", "[::1]:3478"),
            ("[::1]:99", "[::1]:99"),
        ] {
            let server = Server::resolve(name).await.unwrap();
            let address: SocketAddr = address.parse().unwrap();
            assert_eq!(server.addresses, [address], "{name}");
            assert!(server.is_address(), "{name}");
        }
        assert!(Server::resolve("no such host").await.is_err());
    }
}
