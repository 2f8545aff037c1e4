//! Reverse proxies in front of the server: which of them may say what client a request comes from.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::{HeaderMap, header};
use tracing::{debug, warn};
use url::Url;

use crate::config::TrustProxy;

/// The header of reverse proxies that lists the addresses a request came through; the last is the
/// one that the proxy itself saw.
const FORWARDED_FOR: &str = "x-forwarded-for";
/// Headers that proxies add, and browsers and gateways do not.
const OF_PROXIES: [&str; 6] = [
    "forwarded",
    "via",
    "x-forwarded-host",
    "x-forwarded-prefix",
    "x-forwarded-proto",
    "x-real-ip",
];
/// Most proxies on the way of a request that are looked through.
const MAX_PROXIES: usize = 16;

/// The client that sent a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Client {
    /// Its address, or that of a proxy that does not say.
    pub(crate) address: IpAddr,
    /// True if it is the address of a trusted proxy, behind which there may be anybody.
    pub(crate) is_proxy: bool,
}

/// The proxies that are trusted.
#[derive(Clone)]
pub(crate) struct Proxies {
    trusts: TrustProxy,
    public_host: Option<String>,
    /// True once an administrator was told that a proxy does not name its clients.
    has_warned: Arc<AtomicBool>,
}

impl Proxies {
    pub(crate) fn new(trusts: TrustProxy, public_url: Option<&Url>) -> Self {
        let public_host = public_url.and_then(Url::host_str).map(str::to_owned);
        Self { trusts, public_host, has_warned: Arc::default() }
    }

    /// Returns those that are believed at the public port: none on this machine. What passes TLS
    /// on unopened, as haproxy does with `mode tcp`, adds no header, and what arrives through it
    /// was written by the client.
    pub(crate) fn at_public_port(&self) -> Self {
        let trusts = Arc::clone(&self.trusts);
        let trusts = Arc::new(move |address: IpAddr| !address.is_loopback() && trusts(address));
        Self { trusts, ..self.clone() }
    }

    /// Returns true if connections from this address are those of a proxy.
    pub(crate) fn trusts(&self, address: IpAddr) -> bool {
        (self.trusts)(address.to_canonical())
    }

    /// Returns the client of a request. Only trusted proxies are believed, from the last one
    /// backwards: what stands before the address of a client was written by the client.
    pub(crate) fn client(&self, tcp: IpAddr, headers: &HeaderMap) -> Client {
        let mut client = Client { address: tcp.to_canonical(), is_proxy: self.trusts(tcp) };
        for address in forwarded_for(headers).take(MAX_PROXIES) {
            if !client.is_proxy {
                return client;
            }
            let Some(address) = address else { break };
            client = Client { address, is_proxy: self.trusts(address) };
        }
        if client.is_proxy && !headers.contains_key(FORWARDED_FOR) {
            self.warn_of_silence(headers);
        }
        client
    }

    /// Tells the administrator, once, that a proxy does not say who its clients are. Requests that
    /// come from this machine without a proxy are no reason.
    fn warn_of_silence(&self, headers: &HeaderMap) {
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let host = host.and_then(|host| Url::parse(&format!("http://{host}")).ok());
        let host = host.as_ref().and_then(Url::host_str);
        let is_public = host.is_some() && host == self.public_host.as_deref() && !is_local(host);
        let is_proxy = is_public || OF_PROXIES.iter().any(|name| headers.contains_key(*name));
        if is_proxy && !self.has_warned.swap(true, Ordering::Relaxed) {
            warn!(
                "a reverse proxy passes requests on without `X-Forwarded-For`: all its clients \
                 count as one, and wrong passwords of one keep others from signing in. The guide \
                 has the lines for nginx and haproxy"
            );
        } else if is_proxy {
            debug!("a request of a proxy without `X-Forwarded-For`");
        }
    }
}

fn is_local(host: Option<&str>) -> bool {
    let address = host.and_then(|host| host.trim_matches(['[', ']']).parse::<IpAddr>().ok());
    host == Some("localhost") || address.is_some_and(|address| address.is_loopback())
}

/// Returns the addresses in the header, the last one first; `None` for what is no address.
fn forwarded_for(headers: &HeaderMap) -> impl Iterator<Item = Option<IpAddr>> {
    let values = headers.get_all(FORWARDED_FOR).into_iter();
    let values = values.map(|value| value.to_str().unwrap_or_default());
    let mut values: Vec<&str> = values.collect();
    values.reverse();
    let values = values.into_iter().flat_map(|value| value.rsplit(','));
    values.map(|address| read_address(address.trim()))
}

/// Reads an address; some proxies add the port.
fn read_address(text: &str) -> Option<IpAddr> {
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    let plain = text.trim_matches(['[', ']']).parse::<IpAddr>().ok();
    plain.or_else(with_port).map(|address| address.to_canonical())
}

impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxies").field("public_host", &self.public_host).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in list {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    fn proxies(trusts: fn(IpAddr) -> bool) -> Proxies {
        let public = Url::parse("https://cams.example").unwrap();
        Proxies::new(Arc::new(trusts), Some(&public))
    }

    #[test]
    fn at_the_public_port_no_proxy_on_this_machine_is_believed() {
        let listed =
            |address: IpAddr| address.is_loopback() || address == IpAddr::from([10, 0, 0, 5]);
        let sent = headers(&[("x-forwarded-for", "198.51.100.7")]);
        let proxies = proxies(listed);
        for (tcp, at_http, at_public_port) in [
            ("127.0.0.1", "198.51.100.7", "127.0.0.1"),
            ("::1", "198.51.100.7", "::1"),
            ("::ffff:127.0.0.1", "198.51.100.7", "127.0.0.1"),
            ("10.0.0.5", "198.51.100.7", "198.51.100.7"),
            ("192.0.2.1", "192.0.2.1", "192.0.2.1"),
        ] {
            let client =
                |proxies: &Proxies| proxies.client(tcp.parse().unwrap(), &sent).address.to_string();
            assert_eq!(client(&proxies), at_http, "{tcp}");
            assert_eq!(client(&proxies.at_public_port()), at_public_port, "{tcp}");
        }
    }

    #[test]
    fn s3_only_a_trusted_proxy_may_say_who_its_client_is() {
        type Case = (&'static str, &'static [&'static str], &'static str, bool);
        let table: [Case; 15] = [
            ("192.0.2.1", &[], "192.0.2.1", false),
            ("192.0.2.1", &["198.51.100.7"], "192.0.2.1", false),
            ("::ffff:192.0.2.1", &["198.51.100.7"], "192.0.2.1", false),
            ("127.0.0.1", &[], "127.0.0.1", true),
            ("127.0.0.1", &["198.51.100.7"], "198.51.100.7", false),
            ("::1", &["2001:db8::7"], "2001:db8::7", false),
            ("::ffff:127.0.0.1", &["198.51.100.7"], "198.51.100.7", false),
            ("127.0.0.1", &["203.0.113.1, 198.51.100.7"], "198.51.100.7", false),
            ("127.0.0.1", &["203.0.113.1", "203.0.113.2,198.51.100.7 "], "198.51.100.7", false),
            ("127.0.0.1", &["198.51.100.7:4711"], "198.51.100.7", false),
            ("127.0.0.1", &["[2001:db8::7]:4711"], "2001:db8::7", false),
            // One proxy behind the other.
            ("127.0.0.1", &["203.0.113.1, 198.51.100.7, ::1"], "198.51.100.7", false),
            ("127.0.0.1", &["198.51.100.7, unknown"], "127.0.0.1", true),
            ("127.0.0.1", &["198.51.100.7, unknown, ::1"], "::1", true),
            ("127.0.0.1", &[""], "127.0.0.1", true),
        ];
        for (tcp, forwarded, address, is_proxy) in table {
            let list: Vec<_> = forwarded.iter().map(|value| (FORWARDED_FOR, *value)).collect();
            let found =
                proxies(|ip| ip.is_loopback()).client(tcp.parse().unwrap(), &headers(&list));
            let expected = Client { address: address.parse().unwrap(), is_proxy };
            assert_eq!(found, expected, "{tcp} {forwarded:?}");
        }
        let list = headers(&[(FORWARDED_FOR, "198.51.100.7")]);
        for (trusts, address) in [
            ((|_| false) as fn(IpAddr) -> bool, "127.0.0.1"),
            (|ip| ip.to_string() == "127.0.0.1", "198.51.100.7"),
        ] {
            let found = proxies(trusts).client("127.0.0.1".parse().unwrap(), &list);
            assert_eq!(found.address.to_string(), address);
        }
    }

    #[test]
    fn s3_a_proxy_that_does_not_name_its_clients_is_reported_once() {
        type Case = (&'static str, &'static [(&'static str, &'static str)], bool);
        let table: [Case; 8] = [
            ("no header", &[], false),
            ("the gateway of this machine", &[("host", "127.0.0.1:8080")], false),
            ("a browser of this machine", &[("host", "localhost:8080")], false),
            ("a name of this machine", &[("host", "camserver.local:8080")], false),
            ("the public name", &[("host", "cams.example")], true),
            ("the public name and a port", &[("host", "cams.example:8443")], true),
            ("nginx", &[("host", "127.0.0.1:8080"), ("x-forwarded-proto", "https")], true),
            ("named", &[("host", "cams.example"), (FORWARDED_FOR, "192.0.2.1")], false),
        ];
        for (what, list, warns) in table {
            let proxies = proxies(|ip| ip.is_loopback());
            for _ in 0..2 {
                proxies.client("127.0.0.1".parse().unwrap(), &headers(list));
                assert_eq!(proxies.has_warned.load(Ordering::Relaxed), warns, "{what}");
            }
            let proxies = self::proxies(|_| false);
            proxies.client("127.0.0.1".parse().unwrap(), &headers(list));
            assert!(!proxies.has_warned.load(Ordering::Relaxed), "{what}");
        }
    }
}
