//! The messages of WS-Discovery: a strict writer and a lenient reader.

use crate::onvif::ServiceAddress;
use crate::onvif::scopes::Scopes;
use crate::onvif::xml::Element;

/// Maximum number of devices in one answer; a discovery proxy has several.
const MAX_MATCHES: usize = 64;

/// Maximum number of addresses that are read of one device.
const MAX_SERVICES: usize = 16;

/// Maximum length of a UUID in characters; those that are longer identify nothing.
const MAX_UUID: usize = 128;

/// The kinds of devices that are asked for, each with its namespace. Some cameras answer to one
/// only.
pub(super) const KINDS: [(&str, &str); 2] = [
    ("NetworkVideoTransmitter", "http://www.onvif.org/ver10/network/wsdl"),
    ("Device", "http://www.onvif.org/ver10/device/wsdl"),
];

/// Writes a probe for a kind of device; `id` becomes the UUID of the message.
pub(super) fn probe((kind, namespace): (&str, &str), id: u128) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
         <s:Envelope xmlns:s=\"http://www.w3.org/2003/05/soap-envelope\" \
         xmlns:a=\"http://schemas.xmlsoap.org/ws/2004/08/addressing\" \
         xmlns:d=\"http://schemas.xmlsoap.org/ws/2005/04/discovery\" \
         xmlns:k=\"{namespace}\"><s:Header>\
         <a:Action s:mustUnderstand=\"1\">\
         http://schemas.xmlsoap.org/ws/2005/04/discovery/Probe</a:Action>\
         <a:MessageID>urn:uuid:{}</a:MessageID>\
         <a:ReplyTo><a:Address>\
         http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous\
         </a:Address></a:ReplyTo>\
         <a:To s:mustUnderstand=\"1\">urn:schemas-xmlsoap-org:ws:2005:04:discovery</a:To>\
         </s:Header><s:Body><d:Probe><d:Types>k:{kind}</d:Types></d:Probe></s:Body></s:Envelope>",
        uuid(id)
    )
}

/// Writes a random UUID (RFC 9562 §5.4).
fn uuid(bits: u128) -> String {
    let bits = bits & !(0xF << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62;
    let hex = format!("{bits:032x}");
    let mut text = String::with_capacity(36);
    for (at, digit) in hex.chars().enumerate() {
        if matches!(at, 8 | 12 | 16 | 20) {
            text.push('-');
        }
        text.push(digit);
    }
    text
}

/// A device in an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) uuid: Option<String>,
    /// Types without their prefixes.
    pub(super) types: Vec<String>,
    pub(super) scopes: Scopes,
    /// Addresses of its device service.
    pub(super) services: Vec<ServiceAddress>,
}

impl Answer {
    /// Returns true for a device that speaks ONVIF: printers and computers answer, too.
    pub(super) fn is_camera(&self) -> bool {
        let is_onvif = |service: &ServiceAddress| service.target().contains("onvif");
        self.types.iter().any(|kind| kind == "NetworkVideoTransmitter")
            || self.scopes.is_onvif
            || self.services.iter().any(is_onvif)
    }

    fn read(matched: &Element) -> Self {
        let types = matched.text_of("Types").unwrap_or_default();
        let local = |name: &str| name.rsplit(':').next().unwrap_or(name).to_owned();
        let mut services = Vec::new();
        for text in matched.all("XAddrs").into_iter().flat_map(|xaddrs| addresses(xaddrs.text())) {
            services.extend(ServiceAddress::parse(text).filter(|_| services.len() < MAX_SERVICES));
        }
        Self {
            uuid: matched.find("EndpointReference").and_then(|at| identity(at.text_of("Address")?)),
            types: types.split_whitespace().map(local).take(MAX_SERVICES).collect(),
            scopes: Scopes::read(matched.text_of("Scopes").unwrap_or_default()),
            services,
        }
    }
}

/// Returns the addresses in a list, which may be parted by blanks, commas, or by nothing.
fn addresses(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for mut word in text.split(|c: char| c.is_whitespace() || matches!(c, ',' | ';')) {
        let begins = |rest: &str| rest.find("http://").or_else(|| rest.find("https://"));
        while let Some(next) = word.get(1..).and_then(begins) {
            let (first, rest) = word.split_at(next + 1);
            found.push(first);
            word = rest;
        }
        found.push(word);
    }
    found
}

/// Returns the part of an endpoint reference that stays the same, in lower case.
fn identity(address: &str) -> Option<String> {
    let address = address.trim().to_ascii_lowercase();
    let uuid = address.rsplit(':').next().unwrap_or_default();
    let is_uuid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '{' | '}');
    let has_digits = uuid.chars().any(|c| c.is_ascii_hexdigit() && c != '0');
    (uuid.len() <= MAX_UUID && has_digits && uuid.chars().all(is_uuid)).then(|| uuid.to_owned())
}

/// Reads the devices of an answer to a probe, or of a greeting.
pub(super) fn read(bytes: &[u8]) -> Vec<Answer> {
    let root = Element::read(bytes);
    let mut matches = root.all("ProbeMatch");
    matches.extend(root.all("ResolveMatch"));
    matches.extend(root.all("Hello"));
    matches.into_iter().take(MAX_MATCHES).map(Answer::read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_is_well_formed_and_has_a_random_uuid() {
        let text = probe(KINDS[0], u128::MAX);
        let root = Element::read(text.as_bytes());
        let id = root.text_of("MessageID").unwrap();
        assert_eq!(id, "urn:uuid:ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(root.text_of("Types"), Some("k:NetworkVideoTransmitter"));
        assert!(text.contains("xmlns:k=\"http://www.onvif.org/ver10/network/wsdl\""));
    }

    #[test]
    fn addresses_are_parted_whatever_is_between_them() {
        let (a, b) = ("http://10.0.0.1/onvif", "https://[fe80::1]/onvif");
        for between in [" ", "  ", "\n", ",", ", ", ";", ""] {
            let text = format!("{a}{between}{b}");
            let found: Vec<_> =
                addresses(&text).into_iter().filter_map(ServiceAddress::parse).collect();
            let found: Vec<_> = found.iter().map(ServiceAddress::to_string).collect();
            assert_eq!(found, [a, b], "{text:?}");
        }
    }

    #[test]
    fn an_identity_is_a_uuid_or_nothing() {
        for (address, expected) in [
            ("urn:uuid:4D454930-0000-1000", Some("4d454930-0000-1000")),
            ("uuid:4d454930", Some("4d454930")),
            (" 4d454930 ", Some("4d454930")),
            ("urn:uuid:00000000-0000-0000-0000-000000000000", None),
            ("http://10.0.0.1/onvif/device_service", None),
            ("urn:uuid:", None),
            ("", None),
        ] {
            assert_eq!(identity(address).as_deref(), expected, "{address}");
        }
    }
}
