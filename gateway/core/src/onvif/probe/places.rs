//! The places that a camera names: its addresses are hints, and all requests go to one machine.

use std::net::IpAddr;

use crate::onvif::answers::Services;
use crate::onvif::finding::Finding;
use crate::onvif::networks::Networks;
use crate::onvif::scopes::shown;
use crate::onvif::{ServiceAddress, address};
use crate::rtsp;

/// Maximum number of names that a camera may have for itself.
const MAX_NAMES: usize = 8;

/// The machine that is asked, and the names that it has for itself.
#[derive(Debug)]
pub(in crate::onvif) struct Places {
    host: String,
    ip: IpAddr,
    networks: Networks,
    /// Other hosts in the addresses of its services.
    names: Vec<String>,
}

impl Places {
    pub(in crate::onvif) fn new(host: String, ip: IpAddr, networks: Networks) -> Self {
        Self { host, ip: ip.to_canonical(), networks, names: Vec::new() }
    }

    /// Returns the host as the person knows it.
    pub(in crate::onvif) fn host(&self) -> &str {
        &self.host
    }

    /// Returns true if a host is the machine that is asked.
    pub(in crate::onvif) fn is_device(&self, host: &str) -> bool {
        parse_ip(host) == Some(self.ip) || host.eq_ignore_ascii_case(&self.host)
    }

    /// Learns the names that the camera has for itself, and returns the new ones.
    pub(in crate::onvif) fn handle_services(&mut self, services: &Services) -> Vec<String> {
        let mut learnt = Vec::new();
        for service in services.all() {
            let host = service.host().to_ascii_lowercase();
            let is_new = !self.is_device(&host) && !self.names.contains(&host);
            if is_new && self.names.len() < MAX_NAMES {
                learnt.push(shown(&host));
                self.names.push(host);
            }
        }
        learnt
    }

    /// Returns the services at the machine that is asked. Each keeps its path, query and port,
    /// except that a port which belongs to the device service is the one that has answered: there
    /// may be a port forwarding in between.
    pub(in crate::onvif) fn rebase_services(
        &self,
        named: &Services,
        contacted: &ServiceAddress,
    ) -> Services {
        let claimed = named.device.as_ref();
        let rebase = |service: &ServiceAddress| self.rebase(service, claimed, contacted);
        Services {
            device: named.device.as_ref().map(rebase),
            media1: named.media1.as_ref().map(rebase),
            media2: named.media2.as_ref().map(rebase),
            ptz: named.ptz.as_ref().map(rebase),
            events: named.events.as_ref().map(rebase),
        }
    }

    /// Returns an address of the camera at the machine that is asked. `claimed` is what the camera
    /// takes for the address of its device service, `contacted` the one that has answered.
    pub(in crate::onvif) fn rebase(
        &self,
        service: &ServiceAddress,
        claimed: Option<&ServiceAddress>,
        contacted: &ServiceAddress,
    ) -> ServiceAddress {
        let is_same =
            |it: &ServiceAddress| (it.port(), it.is_tls()) == (service.port(), service.is_tls());
        if claimed.is_some_and(is_same) {
            let (is_tls, port) = (contacted.is_tls(), contacted.port());
            return ServiceAddress::new(is_tls, &self.host, Some(port), service.target());
        }
        service.at_host(&self.host)
    }

    /// Returns the host to use for a stream or still picture, and what is to be told about it: the
    /// machine that is asked if it is meant, or if the host cannot be reached from here.
    fn host_for(&self, host: &str) -> (String, Option<Finding>) {
        if self.is_device(host) || self.names.iter().any(|name| name.eq_ignore_ascii_case(host)) {
            return (self.host.clone(), None);
        }
        if parse_ip(host).is_some_and(|ip| self.networks.check(ip).is_ok()) {
            return (host.to_owned(), Some(Finding::StreamElsewhere(shown(host))));
        }
        let (named, used) = (shown(host), self.host.clone());
        (self.host.clone(), Some(Finding::OtherAddress { named, used }))
    }

    /// Returns the address of a stream, rebased, and what is to be told about it.
    pub(in crate::onvif) fn stream(&self, uri: &str) -> Option<(rtsp::Address, Option<Finding>)> {
        let address = rtsp::Address::parse(uri)?;
        let (host, finding) = self.host_for(address.host());
        Some((address.at_host(&host), finding))
    }

    /// Returns the address of a still picture, rebased.
    pub(in crate::onvif) fn snapshot(&self, uri: &str) -> Option<ServiceAddress> {
        let snapshot = ServiceAddress::parse(uri)?;
        let (host, _) = self.host_for(snapshot.host());
        Some(snapshot.at_host(&host))
    }
}

/// Returns a host as an address, without brackets and zone.
fn parse_ip(host: &str) -> Option<IpAddr> {
    address::plain(host).parse::<IpAddr>().ok().map(|ip| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    type Case = (&'static str, &'static str, &'static str, Option<&'static str>);

    #[test]
    fn the_host_of_a_stream_is_replaced_where_it_is_wrong_and_the_rest_stays() {
        let networks =
            Networks { own: vec!["192.168.12.0/24".parse().unwrap()], named: Vec::new() };
        let ip = "192.168.12.2".parse().unwrap();
        let mut places = Places::new("192.168.12.2".to_owned(), ip, networks);
        let device = ServiceAddress::parse("http://192.168.12.99/onvif/device_service");
        places.handle_services(&Services { device, ..Services::default() });
        let cases: &[Case] = &[
            (
                "its own",
                "rtsp://192.168.12.2:554/a?b=1&c=2",
                "rtsp://192.168.12.2:554/a?b=1&c=2",
                None,
            ),
            ("its own port", "rtsp://192.168.12.2:8554/a", "rtsp://192.168.12.2:8554/a", None),
            ("its name for itself", "rtsp://192.168.12.99/a", "rtsp://192.168.12.2/a", None),
            (
                "outside of the networks",
                "rtsp://192.168.1.88/a",
                "rtsp://192.168.12.2/a",
                Some("other-address"),
            ),
            ("no machine", "rtsp://0.0.0.0/a", "rtsp://192.168.12.2/a", Some("other-address")),
            ("this machine", "rtsp://127.0.0.1/a", "rtsp://192.168.12.2/a", Some("other-address")),
            ("a cloud", "rtsp://169.254.169.254/a", "rtsp://192.168.12.2/a", Some("other-address")),
            ("a name", "rtsp://cam.local/a", "rtsp://192.168.12.2/a", Some("other-address")),
            (
                "another machine of the network",
                "rtsp://192.168.12.7/a",
                "rtsp://192.168.12.7/a",
                Some("stream-elsewhere"),
            ),
            ("a password in it", "rtsp://u:p@192.168.12.2/a", "rtsp://192.168.12.2/a", None),
        ];
        for (name, uri, expected, finding) in cases {
            let (address, found) = places.stream(uri).unwrap();
            assert_eq!(address.url(), *expected, "{name}");
            assert_eq!(found.map(|finding| finding.key()), *finding, "{name}");
        }
        assert_eq!(places.stream("http://192.168.12.2/a"), None);
    }

    #[test]
    fn a_service_keeps_its_port_unless_it_is_that_of_the_device_service() {
        let address = |text: &str| ServiceAddress::parse(text).unwrap();
        let places =
            Places::new("cam".to_owned(), "10.0.0.1".parse().unwrap(), Networks::default());
        for (device, media, contacted, expected) in [
            ("http://1.2.3.4/d", "http://1.2.3.4/m", "http://cam/d", "http://cam:80/m"),
            ("http://1.2.3.4/d", "http://1.2.3.4/m", "http://cam:8081/d", "http://cam:8081/m"),
            ("http://1.2.3.4/d", "http://1.2.3.4:8899/m?x", "http://cam/d", "http://cam:8899/m?x"),
            ("http://1.2.3.4/d", "http://1.2.3.4/m", "https://cam/d", "https://cam:443/m"),
        ] {
            let services = Services {
                device: Some(address(device)),
                media1: Some(address(media)),
                media2: None,
                ..Services::default()
            };
            let rebased = places.rebase_services(&services, &address(contacted));
            assert_eq!(rebased.media1.unwrap().to_string(), expected, "{media} at {contacted}");
        }
    }
}
