//! Addresses of ONVIF services: `http://` and `https://`.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use crate::url_parts::UrlParts;

/// Maximum length of an address in bytes; those of cameras have 40 to 150.
const MAX_LEN: usize = 1024;

/// An address of a service, without user and password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceAddress {
    is_tls: bool,
    host: String,
    port: Option<u16>,
    target: String,
}

impl ServiceAddress {
    /// Creates an address; `target` is path and query.
    #[must_use]
    pub fn new(is_tls: bool, host: &str, port: Option<u16>, target: &str) -> Self {
        let slash = if target.starts_with('/') { "" } else { "/" };
        let target = format!("{slash}{target}").replace(char::is_whitespace, "%20");
        let is_printable = |c: &char| !c.is_control();
        let target = target.chars().filter(is_printable).collect();
        Self { is_tls, host: host.to_owned(), port, target }
    }

    /// Parses `http://host:port/path?query` or `https://…`. User, password and fragment are left
    /// out. Returns `None` for other schemes and for what is no address.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.len() > MAX_LEN {
            return None;
        }
        let parts = UrlParts::split(text)?;
        let is_tls = match parts.scheme.as_str() {
            "http" => false,
            "https" => true,
            _ => return None,
        };
        let UrlParts { host, port, target, .. } = parts;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let is_host = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
        let is_valid = !host.is_empty() && host.chars().all(is_host) && port != Some(0);
        is_valid.then(|| Self::new(is_tls, host, port, target))
    }

    /// Returns true if the connection is encrypted with TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// Returns the host without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the host as an address, if it is one. A zone is left out.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        plain(&self.host).parse().ok()
    }

    /// Returns the port, which is 80 by default, 443 with TLS.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(if self.is_tls { 443 } else { 80 })
    }

    /// Returns path and query.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Returns the same address at another host.
    #[must_use]
    pub fn at_host(&self, host: &str) -> Self {
        Self { host: host.to_owned(), ..self.clone() }
    }

    /// Returns host and port as the `Host` header has them.
    #[must_use]
    pub fn authority(&self) -> String {
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        format!("{}{port}", bracketed(&self.host))
    }
}

/// Returns a host without brackets and zone.
pub(super) fn plain(host: &str) -> &str {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.split('%').next().unwrap_or_default()
}

/// Returns a host as addresses contain it: IPv6 in brackets, without its zone.
fn bracketed(host: &str) -> String {
    let plain = plain(host);
    if plain.parse::<Ipv6Addr>().is_ok() { format!("[{plain}]") } else { host.to_owned() }
}

impl fmt::Display for ServiceAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority(), self.target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_without_user_and_password() {
        for (text, expected) in [
            ("http://10.0.0.1/onvif/device_service", "http://10.0.0.1/onvif/device_service"),
            ("HTTP://u:p@10.0.0.1:8000/x?a=1&b=2#c", "http://10.0.0.1:8000/x?a=1&b=2"),
            (" https://cam.local ", "https://cam.local/"),
            ("http://[fe80::1%25eth0]:80/x", "http://[fe80::1]:80/x"),
            ("http://fe80::1/x", "http://[fe80::1]/x"),
            ("http://10.0.0.1:/x y", "http://10.0.0.1/x%20y"),
        ] {
            let parsed = ServiceAddress::parse(text).map(|address| address.to_string());
            assert_eq!(parsed.as_deref(), Some(expected), "{text}");
        }
        for text in ["rtsp://a/", "http:///x", "http://a:0/", "http://a:99999/", "http://a b/", ""]
        {
            assert_eq!(ServiceAddress::parse(text), None, "{text}");
        }
    }

    #[test]
    fn no_line_end_reaches_a_request() {
        let address = ServiceAddress::parse("http://10.0.0.1/a\r\nHost: b").unwrap();
        assert!(!address.target().contains(['\r', '\n']), "{address}");
    }
}
