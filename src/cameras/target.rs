//! The address of a camera as people type it: an address, a name, with a port, or a whole URL.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context as _, bail};
use porthole_gateway::onvif::ServiceAddress;
use tokio::net::lookup_host;

/// Path of the device service (ONVIF Core §5.1.1).
const PATH: &str = "/onvif/device_service";

/// A camera that is to be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// Name or address, without brackets.
    pub(super) host: String,
    port: Option<u16>,
    /// The address of the device service, if it was given as a whole.
    service: Option<ServiceAddress>,
}

impl Target {
    pub(super) fn parse(text: &str) -> anyhow::Result<Self> {
        let text = text.trim();
        if text.contains('@') {
            bail!("leave user and password out of the address: give --user and --password-file");
        }
        if text.contains("://") {
            let service = ServiceAddress::parse(text);
            let service =
                service.context("an address begins with http:// or https://, or has no ://")?;
            let (host, port) = (service.host().to_owned(), Some(service.port()));
            return Ok(Self { host, port, service: Some(service) });
        }
        if let Ok(ip) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
            return Ok(Self { host: ip.to_string(), port: None, service: None });
        }
        // A path would be taken for part of the name.
        let service = ServiceAddress::parse(&format!("http://{text}"));
        let service = service.filter(|service| service.target() == "/");
        let service = service.with_context(|| {
            format!("{text} is not the address of a camera: expected an address like 192.168.1.20")
        })?;
        let has_port = text.rsplit(':').next().is_some_and(|port| port.parse::<u16>().is_ok());
        let port = (has_port && text.contains(':')).then(|| service.port());
        Ok(Self { host: service.host().to_owned(), port, service: None })
    }

    /// Returns the addresses of the device service that were given; none if it is to be found.
    pub(super) fn services(&self) -> Vec<ServiceAddress> {
        match (&self.service, self.port) {
            (Some(service), _) => vec![service.clone()],
            (None, Some(port)) => {
                vec![ServiceAddress::new(port == 443, &self.host, Some(port), PATH)]
            }
            (None, None) => Vec::new(),
        }
    }

    /// Looks the host up. Every request goes to the address that is returned.
    pub(super) async fn resolve(&self) -> anyhow::Result<SocketAddr> {
        let port = self.port.unwrap_or(80);
        let found = lookup_host((self.host.as_str(), port)).await.ok().and_then(|found| {
            let mut found: Vec<_> = found.collect();
            found.sort_by_key(SocketAddr::is_ipv6);
            found.into_iter().next()
        });
        found.with_context(|| {
            format!("no address is known for {}: check the name, or give the IP address", self.host)
        })
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
