//! The origins of this server, for which gateways sign: a server to which a gateway has connected
//! must not be able to pass its signature on to another.

use std::net::IpAddr;

use porthole_signaling_proto::rpc::{Fault, code};

/// The endings of names that mean another machine in each network.
const PRIVATE_NAMES: [&str; 6] =
    [".local", ".lan", ".home", ".home.arpa", ".internal", ".localhost"];

/// The longest host of an origin: a name (RFC 1035 §2.3.4), a colon and a port.
const MAX_ORIGIN_CHARS: usize = 253 + 6;

/// The origins, such as `https://cameras.example.org`, under which gateways reach this server.
#[derive(Debug, Clone, Default)]
pub struct Origins {
    /// The origin of the public URL.
    pub public: Option<String>,
    /// The origins that the owner has listed besides. If there is one, no others are accepted, and
    /// every gateway must name one.
    pub listed: Vec<String>,
}

impl Origins {
    /// Checks the origin for which a gateway has signed; gateways of the release before name none.
    ///
    /// # Errors
    /// Returns the fault with what to do if the signature is not for this server.
    pub(crate) fn check(&self, origin: Option<&str>) -> Result<(), Fault> {
        let is_strict = !self.listed.is_empty();
        let Some(origin) = origin else {
            let text = "the gateway does not say for which server it signs in: update it";
            return if is_strict { Err(Fault::new(code::FORBIDDEN, text)) } else { Ok(()) };
        };
        let host = host_of(origin).ok_or_else(|| {
            Fault::new(code::BAD_REQUEST, "`origin` is not a scheme, a host and perhaps a port")
        })?;
        let is_listed = self.public.iter().chain(&self.listed).any(|own| own == origin);
        let is_own = match is_strict {
            true => is_loopback(host),
            // Without a public URL, the server does not know what it is called.
            false => self.public.is_none() || is_private(host),
        };
        if is_listed || is_own {
            return Ok(());
        }
        let text = format!(
            "the gateway signs in at {origin}, which is not this server: use its public URL, or \
             list that URL in signaling.gateway_urls on the server"
        );
        Err(Fault::new(code::FORBIDDEN, text))
    }
}

/// Returns the host of an origin, an IPv6 address without its brackets.
fn host_of(origin: &str) -> Option<&str> {
    let rest = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"))?;
    let is_of_origin =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
    if !(1..=MAX_ORIGIN_CHARS).contains(&rest.len()) || !rest.chars().all(is_of_origin) {
        return None;
    }
    match rest.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map(|(host, _)| host),
        None => rest.split(':').next(),
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Returns true for a host that is another one in each network, so that it belongs to nobody.
fn is_private(host: &str) -> bool {
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => ip.is_private() || ip.is_loopback() || ip.is_link_local(),
        Ok(IpAddr::V6(ip)) => {
            ip.is_unique_local() || ip.is_loopback() || ip.is_unicast_link_local()
        }
        Err(_) => !host.contains('.') || PRIVATE_NAMES.iter().any(|end| host.ends_with(end)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_for_this_server_and_no_other() {
        const PUBLIC: &str = "https://cameras.example.org";
        const OTHER: &str = "https://other.example.org:8443";
        // The public URL, what is listed, the origin, and if it is accepted.
        for (public, listed, origin, expected) in [
            (None, None, None, true),
            (None, None, Some("https://anything.example"), true),
            (None, None, Some("nonsense"), false),
            (None, None, Some("http://a\nb"), false),
            (Some(PUBLIC), None, None, true),
            (Some(PUBLIC), None, Some(PUBLIC), true),
            (Some(PUBLIC), None, Some("http://cameras.example.org"), false),
            (Some(PUBLIC), None, Some("https://cameras.example.org:444"), false),
            (Some(PUBLIC), None, Some("https://hostile.example"), false),
            (Some(PUBLIC), None, Some("http://8.8.8.8:8080"), false),
            (Some(PUBLIC), None, Some("http://192.168.1.7:8080"), true),
            (Some(PUBLIC), None, Some("http://server.lan:8080"), true),
            (Some(PUBLIC), None, Some("http://server:8080"), true),
            (Some(PUBLIC), None, Some("http://[fd00::7]:8080"), true),
            (Some(PUBLIC), None, Some("http://[2001:db8::7]:8080"), false),
            (Some(PUBLIC), None, Some("http://127.0.0.1:8080"), true),
            (Some(PUBLIC), Some(OTHER), None, false),
            (Some(PUBLIC), Some(OTHER), Some(PUBLIC), true),
            (Some(PUBLIC), Some(OTHER), Some(OTHER), true),
            (Some(PUBLIC), Some(OTHER), Some("http://192.168.1.7:8080"), false),
            (Some(PUBLIC), Some(OTHER), Some("http://127.0.0.1:8080"), true),
            (None, Some(OTHER), Some("https://hostile.example"), false),
        ] {
            let own = |text: &str| text.to_owned();
            let origins =
                Origins { public: public.map(own), listed: listed.map(own).into_iter().collect() };
            let checked = origins.check(origin);
            assert_eq!(checked.is_ok(), expected, "{origin:?} at {public:?} {listed:?}");
        }
    }
}
