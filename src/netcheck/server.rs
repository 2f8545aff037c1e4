//! A server as the user names it, and where it is.

use anyhow::{Context, bail};
use std::net::{IpAddr, SocketAddr};
use tokio::net::lookup_host;

/// STUN's and TURN's port (RFC 8489 §18.6).
pub(super) const DEFAULT_PORT: u16 = 3478;
/// The same over TLS.
pub(super) const DEFAULT_TLS_PORT: u16 = 5349;

/// A server and its addresses.
#[derive(Debug)]
pub(super) struct Server {
    /// As the user wrote it.
    pub(super) name: String,
    /// What a certificate must be for.
    pub(super) host: String,
    /// With the port for UDP and TCP; one of each family is enough to learn what the network does.
    pub(super) addresses: Vec<SocketAddr>,
    /// Named with `stuns:` or `turns:`.
    pub(super) tls_port: Option<u16>,
}

impl Server {
    pub(super) async fn resolve(name: &str) -> anyhow::Result<Self> {
        let (host, port, tls_port) = parse(name);
        let found = lookup_host((host, port)).await;
        let found: Vec<_> =
            found.with_context(|| format!("cannot find the server {name}"))?.collect();
        let first = |v6: bool| found.iter().copied().find(|address| address.is_ipv6() == v6);
        let addresses: Vec<_> = [first(false), first(true)].into_iter().flatten().collect();
        if addresses.is_empty() {
            bail!("the server {name} has no address");
        }
        Ok(Self { name: name.to_owned(), host: host.to_owned(), addresses, tls_port })
    }

    /// Whether it is named by its address: few certificates are for one.
    pub(super) fn is_address(&self) -> bool {
        self.host.parse::<IpAddr>().is_ok()
    }
}

/// Host, port and port for TLS of `HOST[:PORT]` or of a URI (RFC 7064, RFC 7065), whose transport
/// does not matter: all are tried.
fn parse(name: &str) -> (&str, u16, Option<u16>) {
    let (scheme, rest) = match name.split_once(':') {
        // A host may be called so, too.
        Some((scheme @ ("stun" | "turn" | "stuns" | "turns"), rest))
            if rest.parse::<u16>().is_err() =>
        {
            (scheme, rest.split_once('?').map_or(rest, |(rest, _)| rest))
        }
        Some(_) | None => ("", name),
    };
    let (host, port) = match rest.rsplit_once(':') {
        _ if rest.parse::<IpAddr>().is_ok() => (rest, None),
        Some((host, port)) => port.parse().map_or((rest, None), |port: u16| (host, Some(port))),
        None => (rest, None),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if scheme.ends_with('s') {
        return (host, DEFAULT_PORT, Some(port.unwrap_or(DEFAULT_TLS_PORT)));
    }
    (host, port.unwrap_or(DEFAULT_PORT), None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_named_with_or_without_its_port_and_scheme() {
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
            // A machine of that name.
            ("turn", "turn", 3478, None),
            ("turn:99", "turn", 99, None),
        ] {
            assert_eq!(parse(name), (host, port, tls_port), "{name}");
        }
    }

    #[tokio::test]
    async fn an_address_needs_no_looking_up() {
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
