//! The address of a camera as people type it: an address, a name, with a port, or a whole URL.

use std::net::{IpAddr, SocketAddr};

use porthole_gateway_core::onvif::ServiceAddress;
use thiserror::Error;
use tokio::net::lookup_host;

/// Path of the device service (ONVIF Core §5.1.1).
pub const USUAL_SERVICE: &str = "/onvif/device_service";

/// Reasons for not asking a camera at an address.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidTarget {
    /// The address has user and password in it.
    #[error("leave user and password out of the address, and give them on their own")]
    Login,
    /// The address has a scheme that is not one of ONVIF.
    #[error("an address begins with http:// or https://, or has no ://")]
    Scheme,
    /// The text is no address; the text.
    #[error("{0} is not the address of a camera: expected an address like 192.168.1.20")]
    NoAddress(String),
    /// The name cannot be resolved; the name.
    #[error("no address is known for {0}: check the name, or give the IP address")]
    UnknownHost(String),
}

/// A camera that is to be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Name or address, without brackets.
    pub host: String,
    port: Option<u16>,
    /// The address of the device service, if it was given as a whole.
    service: Option<ServiceAddress>,
}

impl Target {
    /// Parses an address as people type it.
    ///
    /// # Errors
    /// With the reason if it cannot be that of a camera.
    pub fn parse(text: &str) -> Result<Self, InvalidTarget> {
        let text = text.trim();
        if text.contains('@') {
            return Err(InvalidTarget::Login);
        }
        if text.contains("://") {
            let service = ServiceAddress::parse(text).ok_or(InvalidTarget::Scheme)?;
            let (host, port) = (service.host().to_owned(), Some(service.port()));
            return Ok(Self { host, port, service: Some(service) });
        }
        if let Ok(ip) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
            return Ok(Self { host: ip.to_string(), port: None, service: None });
        }
        // A path would be taken for part of the name.
        let service = ServiceAddress::parse(&format!("http://{text}"));
        let service = service.filter(|service| service.target() == "/");
        let service = service.ok_or_else(|| InvalidTarget::NoAddress(text.to_owned()))?;
        let has_port = text.rsplit(':').next().is_some_and(|port| port.parse::<u16>().is_ok());
        let port = (has_port && text.contains(':')).then(|| service.port());
        Ok(Self { host: service.host().to_owned(), port, service: None })
    }

    /// Returns the addresses of the device service that were given; none if it is to be found.
    #[must_use]
    pub fn services(&self) -> Vec<ServiceAddress> {
        match (&self.service, self.port) {
            (Some(service), _) => vec![service.clone()],
            (None, Some(port)) => {
                vec![ServiceAddress::new(port == 443, &self.host, Some(port), USUAL_SERVICE)]
            }
            (None, None) => Vec::new(),
        }
    }

    /// Looks the host up. Every request goes to the address that is returned.
    ///
    /// # Errors
    /// If no address is known for it.
    pub async fn resolve(&self) -> Result<SocketAddr, InvalidTarget> {
        let port = self.port.unwrap_or(80);
        let found = lookup_host((self.host.as_str(), port)).await.ok().and_then(|found| {
            let mut found: Vec<_> = found.collect();
            found.sort_by_key(SocketAddr::is_ipv6);
            found.into_iter().next()
        });
        found.ok_or_else(|| InvalidTarget::UnknownHost(self.host.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_as_people_type_it() {
        for (text, host, services) in [
            ("192.168.1.20", "192.168.1.20", &[][..]),
            ("cam.local", "cam.local", &[]),
            ("fe80::1", "fe80::1", &[]),
            ("[fe80::1]", "fe80::1", &[]),
            (
                "192.168.1.20:8000",
                "192.168.1.20",
                &["http://192.168.1.20:8000/onvif/device_service"],
            ),
            ("[fe80::1]:80", "fe80::1", &["http://[fe80::1]:80/onvif/device_service"]),
            ("cam:443", "cam", &["https://cam:443/onvif/device_service"]),
            ("http://cam:81/x?y", "cam", &["http://cam:81/x?y"]),
        ] {
            let target = Target::parse(text).unwrap();
            assert_eq!(target.host, host, "{text}");
            let found: Vec<_> = target.services().iter().map(ToString::to_string).collect();
            assert_eq!(found, services, "{text}");
        }
        for text in ["", "rtsp://cam/live", "http://u:geheim@cam/", "u:geheim@cam", "cam/path"] {
            let error = Target::parse(text).unwrap_err().to_string();
            assert!(!error.contains("geheim"), "{text}: {error}");
        }
    }
}
