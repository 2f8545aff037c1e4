//! STUN and TURN URIs (RFC 7064, RFC 7065).

use std::net::Ipv6Addr;

use crate::Transport;

/// Default port of STUN and TURN over UDP and TCP (RFC 8489 §18.6, RFC 8656 §18).
pub const DEFAULT_PORT: u16 = 3478;

/// Default port of STUN and TURN over TLS and DTLS (RFC 8489 §18.6, RFC 8656 §18).
pub const DEFAULT_TLS_PORT: u16 = 5349;

/// The scheme of a [`ServerUri`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `stun`: a STUN server over UDP or TCP.
    Stun,
    /// `stuns`: a STUN server over TLS or DTLS.
    Stuns,
    /// `turn`: a TURN server over UDP or TCP.
    Turn,
    /// `turns`: a TURN server over TLS or DTLS.
    Turns,
}

impl Scheme {
    /// Returns true for the schemes that demand TLS or DTLS.
    pub const fn is_secure(self) -> bool {
        match self {
            Self::Stun | Self::Turn => false,
            Self::Stuns | Self::Turns => true,
        }
    }

    /// Returns the port of a URI that names none.
    pub const fn default_port(self) -> u16 {
        if self.is_secure() { DEFAULT_TLS_PORT } else { DEFAULT_PORT }
    }

    /// Returns the transport for the value of `?transport=`, `None` if it is an unknown one.
    /// Without a value it is UDP, or TLS for the secure schemes.
    fn transport(self, value: Option<&str>) -> Option<Transport> {
        Some(match (self.is_secure(), value) {
            (false, None | Some("udp")) => Transport::Udp,
            (false, Some("tcp")) => Transport::Tcp,
            (true, None | Some("tcp")) => Transport::Tls,
            (true, Some("udp")) => Transport::Dtls,
            (_, Some(_)) => return None,
        })
    }

    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "stun" => Self::Stun,
            "stuns" => Self::Stuns,
            "turn" => Self::Turn,
            "turns" => Self::Turns,
            _ => return None,
        })
    }
}

/// A server named by a URI such as `turn:example.org:3478?transport=udp`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerUri {
    /// The scheme, which tells STUN from TURN.
    pub scheme: Scheme,
    /// A DNS name or an IP address, without the brackets of an IPv6 address.
    pub host: String,
    /// The port, the scheme's default if the URI has none.
    pub port: u16,
    /// The transport to the server: UDP or TCP, for the secure schemes TLS or DTLS.
    pub transport: Transport,
}

impl ServerUri {
    /// Reads a URI. Returns `None` if it has another scheme, no host, a port above 65535 or an
    /// unknown transport.
    ///
    /// A transport is accepted after `stun:` too, although RFC 7064 has none, and an IPv6 address
    /// without brackets if no port follows it.
    pub fn parse(uri: &str) -> Option<Self> {
        let (scheme, rest) = uri.split_once(':')?;
        let scheme = Scheme::parse(scheme)?;
        let (authority, query) = rest.split_once('?').unwrap_or((rest, ""));
        let transport = scheme.transport(query.strip_prefix("transport="))?;
        let (host, port) = split_host_port(authority)?;
        let port = port.unwrap_or(scheme.default_port());
        Some(Self { scheme, host: host.to_owned(), port, transport })
    }
}

/// Splits `HOST[:PORT]`, where the host is a name, an IPv4 address, an IPv6 address in brackets, or
/// without a port an IPv6 address alone, also with a zone. Returns `None` if the host is empty or
/// the port is not a number up to 65535.
pub fn split_host_port(text: &str) -> Option<(&str, Option<u16>)> {
    let without_zone = text.split('%').next().unwrap_or_default();
    if without_zone.parse::<Ipv6Addr>().is_ok() {
        return Some((text, None));
    }
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        let port = if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) };
        (host, port)
    } else {
        text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)))
    };
    if host.is_empty() {
        return None;
    }
    Some((host, port.map(str::parse).transpose().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_are_read_as_rfc_7064_and_rfc_7065_define_them() {
        use Scheme::{Stun, Stuns, Turn, Turns};
        use Transport::{Dtls, Tcp, Tls, Udp};
        for (uri, expected) in [
            ("turn:example.org", Some((Turn, "example.org", 3478, Udp))),
            ("turn:example.org:1?transport=udp", Some((Turn, "example.org", 1, Udp))),
            ("turn:example.org:99?transport=tcp", Some((Turn, "example.org", 99, Tcp))),
            ("turn:1.2.3.4?transport=tcp", Some((Turn, "1.2.3.4", 3478, Tcp))),
            ("turn:[2001:db8::1]:99", Some((Turn, "2001:db8::1", 99, Udp))),
            ("turn:2001:db8::1", Some((Turn, "2001:db8::1", 3478, Udp))),
            ("stun:example.org", Some((Stun, "example.org", 3478, Udp))),
            ("stun:[::1]", Some((Stun, "::1", 3478, Udp))),
            ("stuns:[2001:db8::1]:443", Some((Stuns, "2001:db8::1", 443, Tls))),
            ("turns:example.org", Some((Turns, "example.org", 5349, Tls))),
            ("turns:example.org:443?transport=tcp", Some((Turns, "example.org", 443, Tls))),
            ("turns:example.org?transport=udp", Some((Turns, "example.org", 5349, Dtls))),
            ("turn:example.org?transport=sctp", None),
            ("turns:example.org?transport=sctp", None),
            ("turn:example.org:99999", None),
            ("turn:example.org:port", None),
            ("turn:2001:db8::1:port", None),
            ("turn:[2001:db8::1", None),
            ("turn:[2001:db8::1]99", None),
            ("turn:", None),
            ("turn::99", None),
            ("turn", None),
            ("http://example.org", None),
        ] {
            let read = ServerUri::parse(uri);
            let read = read.as_ref().map(|u| (u.scheme, u.host.as_str(), u.port, u.transport));
            assert_eq!(read, expected, "{uri}");
        }
    }

    #[test]
    fn a_host_and_its_port_are_told_apart() {
        for (text, expected) in [
            ("turn.example.org", Some(("turn.example.org", None))),
            ("turn.example.org:99", Some(("turn.example.org", Some(99)))),
            ("192.0.2.1:99", Some(("192.0.2.1", Some(99)))),
            ("2001:db8::1", Some(("2001:db8::1", None))),
            ("[2001:db8::1]:99", Some(("2001:db8::1", Some(99)))),
            ("[2001:db8::1]", Some(("2001:db8::1", None))),
            ("fe80::1%eth0", Some(("fe80::1%eth0", None))),
            ("turn.example.org:65536", None),
            ("turn.example.org:", None),
            ("[2001:db8::1]:", None),
            (":99", None),
            ("[]", None),
            ("", None),
        ] {
            assert_eq!(split_host_port(text), expected, "{text}");
        }
    }
}
