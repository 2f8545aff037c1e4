//! Messages of UPnP: the search for a router (SSDP), its description, and calls of its service
//! WANIPConnection or WANPPPConnection (SOAP).
//!
//! Everything that a device says is a claim: its addresses count only if they are at the address
//! that has answered.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use super::common::REFUSES;
use crate::onvif::xml::{Element, escape};
use crate::url_parts::UrlParts;

/// The multicast address where UPnP devices listen.
pub(super) const SSDP: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(239, 255, 255, 250), 1900);

/// Longest answer to a search; those of routers have 400 bytes.
const MAX_ANSWER: usize = 2048;

/// Longest path of a service.
const MAX_PATH: usize = 256;

/// Limit of services that are tried of one device.
const MAX_SERVICES: usize = 4;

/// Devices to search for; one of version 2 answers to the first one too, if it follows its
/// specification.
const TARGETS: [&str; 2] = [
    "urn:schemas-upnp-org:device:InternetGatewayDevice:1",
    "urn:schemas-upnp-org:device:InternetGatewayDevice:2",
];

/// The services that map ports, the best first.
const SERVICES: [&str; 3] = [
    "urn:schemas-upnp-org:service:WANIPConnection:2",
    "urn:schemas-upnp-org:service:WANIPConnection:1",
    "urn:schemas-upnp-org:service:WANPPPConnection:1",
];

/// The text that people see in the router's list of mappings.
const DESCRIPTION: &str = "Porthole";

/// A resource of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) at: SocketAddrV4,
    path: String,
}

/// A service of a device that maps ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Service {
    place: Place,
    kind: &'static str,
}

/// Arguments of a request for a mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) client: Ipv4Addr,
    pub(super) internal_port: u16,
    pub(super) external_port: u16,
    /// Seconds for which the mapping exists; 0 means until it is removed.
    pub(super) lease: u32,
}

/// A call of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    /// The external address of the router.
    Address,
    /// A mapping of this external port.
    Add(Wanted),
    /// A mapping of this external port, or of another one if it is taken.
    AddAny(Wanted),
    /// The mapping of this external port.
    Entry(u16),
    /// The end of the mapping of this external port.
    Delete(u16),
}

/// Returns the messages of a search, each for one kind of device.
pub(super) fn searches() -> impl Iterator<Item = Vec<u8>> {
    TARGETS.iter().map(|target| {
        format!(
            "M-SEARCH * HTTP/1.1\r\nHOST: {SSDP}\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\n\
             ST: {target}\r\n\r\n"
        )
        .into_bytes()
    })
}

/// Reads an answer to a search, and returns where the device that is at `from` describes itself.
pub(super) fn read_answer(from: Ipv4Addr, bytes: &[u8]) -> Option<Place> {
    if bytes.len() > MAX_ANSWER {
        return None;
    }
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.lines();
    let (version, status) = lines.next()?.split_once(' ')?;
    if !version.starts_with("HTTP/1.") || !status.trim_start().starts_with("200") {
        return None;
    }
    let mut values = lines.filter_map(|line| line.split_once(':'));
    let (mut location, mut is_router) = (None, false);
    for (name, value) in values.by_ref() {
        match name.trim().to_ascii_lowercase().as_str() {
            "location" => location = Place::read(from, value.trim()),
            "st" | "usn" => is_router |= value.contains("InternetGatewayDevice"),
            _ => {}
        }
    }
    location.filter(|_| is_router)
}

impl Place {
    /// Reads an absolute address of HTTP, which must be at `host`.
    fn read(host: Ipv4Addr, text: &str) -> Option<Self> {
        let parts = UrlParts::split(text)?;
        if parts.scheme != "http" || parts.user_info.is_some() || parts.host != host.to_string() {
            return None;
        }
        let path = if parts.target.starts_with('/') { parts.target } else { "/" };
        Self::new(SocketAddrV4::new(host, parts.port.unwrap_or(80)), path)
    }

    fn new(at: SocketAddrV4, path: &str) -> Option<Self> {
        let is_plain = path.len() <= MAX_PATH && path.bytes().all(|byte| byte.is_ascii_graphic());
        (is_plain && at.port() != 0).then(|| Self { at, path: path.to_owned() })
    }

    /// Returns the place that `reference` means in a document at this one.
    fn resolve(&self, reference: &str) -> Option<Self> {
        if reference.contains("://") {
            return Self::read(*self.at.ip(), reference);
        }
        if reference.starts_with('/') {
            return Self::new(self.at, reference);
        }
        let folder = self.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        Self::new(self.at, &format!("{folder}/{reference}"))
    }

    /// Writes the request for the description.
    pub(super) fn get(&self) -> Vec<u8> {
        format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: Porthole\r\nConnection: close\r\n\r\n",
            self.path, self.at
        )
        .into_bytes()
    }

    /// Returns the services in the description of the device at this place, the best first.
    pub(super) fn services(&self, description: &[u8]) -> Vec<Service> {
        let root = Element::read(description);
        // Where this is given, addresses are relative to it.
        let base = root.text_of("URLBase").and_then(|base| Self::read(*self.at.ip(), base));
        let base = base.as_ref().unwrap_or(self);
        let described = root.all("service");
        let of_kind = |kind: &'static str| {
            let of_kind =
                described.iter().filter(move |one| one.text_of("serviceType") == Some(kind));
            of_kind.filter_map(move |one| {
                let place = base.resolve(one.text_of("controlURL")?)?;
                Some(Service { place, kind })
            })
        };
        SERVICES.into_iter().flat_map(of_kind).take(MAX_SERVICES).collect()
    }
}

impl Service {
    /// Returns the address of the service.
    pub(super) fn at(&self) -> SocketAddr {
        self.place.at.into()
    }

    /// Returns true if the service can choose an external port.
    pub(super) fn can_choose(&self) -> bool {
        self.kind.ends_with(":2")
    }

    /// Writes a call.
    pub(super) fn write(&self, call: Call) -> Vec<u8> {
        let (action, arguments) = match call {
            Call::Address => ("GetExternalIPAddress", String::new()),
            Call::Add(wanted) => ("AddPortMapping", wanted.arguments()),
            Call::AddAny(wanted) => ("AddAnyPortMapping", wanted.arguments()),
            Call::Entry(port) => ("GetSpecificPortMappingEntry", name_of_mapping(port)),
            Call::Delete(port) => ("DeletePortMapping", name_of_mapping(port)),
        };
        let Self { place: Place { at, path }, kind } = self;
        let body = format!(
            "<?xml version=\"1.0\"?>\r\n\
             <s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\" \
             s:encodingStyle=\"http://schemas.xmlsoap.org/soap/encoding/\"><s:Body>\
             <u:{action} xmlns:u=\"{kind}\">{arguments}</u:{action}></s:Body></s:Envelope>\r\n"
        );
        format!(
            "POST {path} HTTP/1.1\r\nHost: {at}\r\nUser-Agent: Porthole\r\nConnection: close\r\n\
             Content-Type: text/xml; charset=\"utf-8\"\r\nSOAPAction: \"{kind}#{action}\"\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    }
}

/// Writes the arguments that name a mapping.
fn name_of_mapping(port: u16) -> String {
    format!(
        "<NewRemoteHost></NewRemoteHost><NewExternalPort>{port}</NewExternalPort>\
         <NewProtocol>UDP</NewProtocol>"
    )
}

impl Wanted {
    fn arguments(self) -> String {
        let Self { client, internal_port, external_port, lease } = self;
        format!(
            "<NewRemoteHost></NewRemoteHost><NewExternalPort>{external_port}</NewExternalPort>\
             <NewProtocol>UDP</NewProtocol><NewInternalPort>{internal_port}</NewInternalPort>\
             <NewInternalClient>{client}</NewInternalClient><NewEnabled>1</NewEnabled>\
             <NewPortMappingDescription>{}</NewPortMappingDescription>\
             <NewLeaseDuration>{lease}</NewLeaseDuration>",
            escape(DESCRIPTION)
        )
    }
}

/// Returns the external address in the reply to [`Call::Address`].
pub(super) fn read_address(body: &[u8]) -> Option<Ipv4Addr> {
    Element::read(body).text_of("NewExternalIPAddress")?.parse().ok()
}

/// Returns the external port in the reply to [`Call::AddAny`].
pub(super) fn read_port(body: &[u8]) -> Option<u16> {
    let port = Element::read(body).number("NewReservedPort")?;
    u16::try_from(port).ok().filter(|port| *port != 0)
}

/// Returns the machine and its port in the reply to [`Call::Entry`].
pub(super) fn read_entry(body: &[u8]) -> Option<(Ipv4Addr, u16)> {
    let entry = Element::read(body);
    let client = entry.text_of("NewInternalClient")?.parse().ok()?;
    let port = u16::try_from(entry.number("NewInternalPort")?).ok()?;
    Some((client, port))
}

/// Returns the code of a fault.
pub(super) fn read_fault(body: &[u8]) -> u32 {
    Element::read(body).number("errorCode").unwrap_or_default()
}

/// Codes of faults that another request gets around.
pub(super) mod fault {
    /// The action is not known.
    pub(in crate::port_mapping) const INVALID_ACTION: u32 = 401;
    /// An argument is not accepted.
    pub(in crate::port_mapping) const INVALID_ARGUMENTS: u32 = 402;
    /// An argument is not accepted, or nothing is: routers use it for anything.
    pub(in crate::port_mapping) const ACTION_FAILED: u32 = 501;
    /// Another machine has the external port.
    pub(in crate::port_mapping) const CONFLICT: u32 = 718;
    /// The external port must be the internal one.
    pub(in crate::port_mapping) const SAME_PORT: u32 = 724;
    /// Mappings exist until they are removed.
    pub(in crate::port_mapping) const PERMANENT_ONLY: u32 = 725;
    /// The external port is taken by something else.
    pub(in crate::port_mapping) const CONFLICT_ELSEWHERE: u32 = 729;
}

/// Describes the code of a fault.
pub(super) const fn describe(code: u32) -> &'static str {
    match code {
        606 => "it does not allow this machine to map ports",
        fault::CONFLICT | fault::CONFLICT_ELSEWHERE => "the port is taken",
        728 => "it has no room for another mapping",
        _ => REFUSES,
    }
}

#[cfg(test)]
mod tests;
