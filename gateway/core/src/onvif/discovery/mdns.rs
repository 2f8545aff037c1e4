//! Services that devices announce with multicast DNS (RFC 6762) and DNS-SD (RFC 6763): a one-shot
//! query (RFC 6762 §5.1), and a lenient reader of what comes back to its port (§6.7).

use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, ResourceRecord, TYPE};

use crate::onvif::ServiceAddress;
use crate::onvif::discovery::answer::Answer;
use crate::onvif::scopes::{Scopes, mac, shown};

/// The services of cameras, each with the name of the vendor if only one has it.
const SERVICES: [(&str, Option<&str>); 3] = [
    ("_onvif._tcp.local", None),
    ("_axis-video._tcp.local", Some("Axis")),
    ("_rtsp._tcp.local", None),
];

/// The service whose port is that of ONVIF's device service.
const ONVIF: &str = "_onvif._tcp.local";

/// The usual path of the device service (ONVIF Core §5.1.1).
const DEVICE_SERVICE: &str = "/onvif/device_service";

/// Maximum number of records in each section of a message that is read.
const MAX_RECORDS: u16 = 256;

/// Length of the header of a message (RFC 1035 §4.1.1).
const HEADER_LEN: usize = 12;

/// Types of the records that are read: PTR, TXT and SRV (RFC 1035 §3.2.2, RFC 2782).
const READ_TYPES: [u16; 3] = [12, 16, 33];

/// A type for private use (RFC 6895 §3.1).
const OPAQUE_TYPE: u16 = 0xFF00;

/// Maximum number of instances that are read of one message.
const MAX_INSTANCES: usize = 64;

/// Writes the query for all services.
pub(super) fn query() -> Vec<u8> {
    let mut packet = Packet::new_query(0);
    for (service, _) in SERVICES {
        let name = Name::new_unchecked(service);
        let (kind, class) = (QTYPE::TYPE(TYPE::PTR), QCLASS::CLASS(CLASS::IN));
        packet.questions.push(Question::new(name, kind, class, false));
    }
    // It has no name that cannot be written.
    packet.build_bytes_vec().unwrap_or_default()
}

/// Returns true for a response to [`query`], which has the id 0. No document begins like this.
pub(super) fn is_response(bytes: &[u8]) -> bool {
    matches!(bytes, [0, 0, flags, ..] if flags & 0x80 != 0)
}

/// Reads the instances of services in a response. `host` is the address that it came from, where
/// the services are.
pub(super) fn read(bytes: &[u8], host: &str) -> Vec<Answer> {
    if !has_few_records(bytes) {
        return Vec::new();
    }
    let mut bytes = bytes.to_vec();
    make_others_opaque(&mut bytes);
    let Ok(packet) = Packet::parse(&bytes) else { return Vec::new() };
    if !packet.has_flags(PacketFlag::RESPONSE) {
        return Vec::new();
    }
    let records: Vec<_> = packet.answers.iter().chain(&packet.additional_records).collect();
    let instances = records.iter().filter_map(|record| {
        let RData::PTR(instance) = &record.rdata else { return None };
        let service = record.name.to_string();
        let known = SERVICES.iter().find(|(name, _)| service.eq_ignore_ascii_case(name))?;
        Some((*known, &instance.0))
    });
    instances
        .take(MAX_INSTANCES)
        .map(|((service, vendor), instance)| {
            read_instance(&records, service, vendor, instance, host)
        })
        .collect()
}

/// Returns true if the message is not one that costs much to read (RFC 1035 §4.1.1).
fn has_few_records(bytes: &[u8]) -> bool {
    let counts = bytes.get(4..12).unwrap_or_default().chunks_exact(2);
    let counts = counts.filter_map(|count| count.try_into().ok().map(u16::from_be_bytes));
    counts.into_iter().all(|count| count <= MAX_RECORDS)
}

/// Gives the records that are not read a type whose data can be anything: zeroconf 0.47 for Python
/// writes NSEC records that are invalid. A message that ends too early stays as it is
/// from there on.
fn make_others_opaque(bytes: &mut [u8]) {
    let number = |bytes: &[u8], at: usize| {
        let pair = bytes.get(at..at + 2)?;
        pair.try_into().ok().map(u16::from_be_bytes)
    };
    let mut counts = [4, 6, 8, 10].map(|at| number(bytes, at).unwrap_or(0)).into_iter();
    let mut at = HEADER_LEN;
    for _ in 0..counts.next().unwrap_or(0) {
        let Some(end) = end_of_name(bytes, at) else { return };
        // Type and class (RFC 1035 §4.1.2).
        at = end + 4;
    }
    for _ in 0..counts.map(u32::from).sum::<u32>() {
        // Type, class, time to live, length, data (RFC 1035 §4.1.3).
        let Some(fields) = end_of_name(bytes, at) else { return };
        let (Some(kind), Some(len)) = (number(bytes, fields), number(bytes, fields + 8)) else {
            return;
        };
        if !READ_TYPES.contains(&kind)
            && let Some(field) = bytes.get_mut(fields..fields + 2)
        {
            field.copy_from_slice(&OPAQUE_TYPE.to_be_bytes());
        }
        at = fields + 10 + usize::from(len);
    }
}

/// Returns the offset behind a name, which ends with an empty label or a pointer (RFC 1035 §4.1.4).
fn end_of_name(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *bytes.get(at)? {
            0 => return Some(at + 1),
            len if len >= 0xC0 => return Some(at + 2),
            len => at += 1 + usize::from(len),
        }
    }
}

fn read_instance(
    records: &[&ResourceRecord<'_>],
    service: &str,
    vendor: Option<&str>,
    instance: &Name<'_>,
    host: &str,
) -> Answer {
    let own = || records.iter().filter(|record| record.name == *instance);
    let port = own().find_map(|record| {
        if let RData::SRV(service) = &record.rdata { Some(service.port) } else { None }
    });
    let label = instance.get_labels().first().map(|label| shown(&label.to_string()));
    let name = label.filter(|name| !name.is_empty());
    let scopes = Scopes {
        name,
        vendor: vendor.map(str::to_owned),
        mac: own().find_map(|record| mac_of(&record.rdata)),
        ..Scopes::default()
    };
    let is_onvif = service == ONVIF;
    let device = ServiceAddress::new(false, host, port.filter(|port| *port != 80), DEVICE_SERVICE);
    let services = if is_onvif { vec![device] } else { Vec::new() };
    Answer { uuid: None, types: Vec::new(), scopes, services }
}

/// Returns the MAC address that Axis and others write into the attributes of their services.
fn mac_of(data: &RData<'_>) -> Option<String> {
    let RData::TXT(text) = data else { return None };
    let is_mac = |key: &[u8]| {
        ["macaddress", "mac"].iter().any(|name| key.eq_ignore_ascii_case(name.as_bytes()))
    };
    let value = text.iter_raw().find_map(|(key, value)| value.filter(|_| is_mac(key)))?;
    mac(std::str::from_utf8(value).ok()?)
}

#[cfg(test)]
mod tests {
    use simple_dns::rdata::{A, PTR, SRV, TXT};

    use super::*;

    const INSTANCE: &str = "AXIS M1065 - 00408CABCDEF._axis-video._tcp.local";

    fn record<'a>(name: &'a str, data: RData<'a>) -> ResourceRecord<'a> {
        ResourceRecord::new(Name::new_unchecked(name), CLASS::IN, 10, data)
    }

    /// Writes a response of a device with one service.
    fn response(service: &str, instance: &str, port: u16, attribute: &str) -> Vec<u8> {
        let mut packet = Packet::new_reply(0);
        let pointer = PTR(Name::new_unchecked(instance));
        packet.answers.push(record(service, RData::PTR(pointer)));
        let target = Name::new_unchecked("axis-00408cabcdef.local");
        let address = SRV { priority: 0, weight: 0, port, target };
        packet.additional_records.push(record(instance, RData::SRV(address)));
        let text = TXT::new().with_string(attribute).unwrap();
        packet.additional_records.push(record(instance, RData::TXT(text)));
        let address = A { address: 0xC0A8_0114 };
        packet.additional_records.push(record("axis-00408cabcdef.local", RData::A(address)));
        packet.build_bytes_vec_compressed().unwrap()
    }

    #[test]
    fn one_query_asks_for_all_services() {
        let bytes = query();
        let packet = Packet::parse(&bytes).unwrap();
        let names: Vec<_> = packet.questions.iter().map(|one| one.qname.to_string()).collect();
        assert_eq!(names, SERVICES.map(|(name, _)| name));
        assert!(!is_response(&bytes), "one's own query is no response");
    }

    #[test]
    fn what_a_device_announces_is_read_leniently() {
        type Case = (&'static str, &'static str, u16, &'static str, [Option<&'static str>; 4]);
        let table: [Case; 4] = [
            // Service, instance, port, attribute; name, vendor, MAC address, ONVIF's service.
            (
                "_axis-video._tcp.local",
                INSTANCE,
                80,
                "macaddress=00408CABCDEF",
                [Some("AXIS M1065 - 00408CABCDEF"), Some("Axis"), Some("00:40:8c:ab:cd:ef"), None],
            ),
            (
                "_AXIS-Video._tcp.local",
                "x._AXIS-Video._tcp.local",
                80,
                "macaddress=none",
                [Some("x"), Some("Axis"), None, None],
            ),
            (
                "_onvif._tcp.local",
                "Door._onvif._tcp.local",
                8000,
                "txtvers=1",
                [Some("Door"), None, None, Some("http://192.168.1.20:8000/onvif/device_service")],
            ),
            (
                "_rtsp._tcp.local",
                "Yard._rtsp._tcp.local",
                554,
                "a",
                [Some("Yard"), None, None, None],
            ),
        ];
        for (service, instance, port, attribute, expected) in table {
            let bytes = response(service, instance, port, attribute);
            assert!(is_response(&bytes), "{instance}");
            let answers = read(&bytes, "192.168.1.20");
            let [answer] = answers.as_slice() else { panic!("{instance}: {answers:?}") };
            let scopes = &answer.scopes;
            let device = answer.services.first().map(ToString::to_string);
            let found = [scopes.name.clone(), scopes.vendor.clone(), scopes.mac.clone(), device];
            assert_eq!(found.each_ref().map(Option::as_deref), expected, "{instance}");
        }
    }

    /// The response of zeroconf 0.47 for Python, whose NSEC record has a bit map that is none.
    #[test]
    fn a_record_that_is_invalid_and_not_read_takes_nothing_with_it() {
        let mut bytes = response("_axis-video._tcp.local", INSTANCE, 80, "macaddress=00408CABCDEF");
        // A pointer to the first name; NSEC, IN, 4500 s, ten bytes.
        bytes.extend([0xC0, 12, 0, 47, 0, 1, 0, 0, 0x11, 0x94, 0, 10]);
        bytes.extend([0xC0, 12, 0, 0, 4, 0, 0, 0, 0, 8]);
        bytes[11] += 1;
        assert!(Packet::parse(&bytes).is_err(), "the record is invalid");
        let answers = read(&bytes, "192.168.1.20");
        let [answer] = answers.as_slice() else { panic!("{answers:?}") };
        assert_eq!(answer.scopes.mac.as_deref(), Some("00:40:8c:ab:cd:ef"));
    }

    #[test]
    fn other_services_queries_and_pieces_of_messages_are_no_cameras() {
        let camera = response("_rtsp._tcp.local", "Yard._rtsp._tcp.local", 554, "a=b");
        let printer = response("_ipp._tcp.local", "Printer._ipp._tcp.local", 631, "a=b");
        assert_eq!(read(&printer, "192.168.1.20"), []);
        assert_eq!(read(&query(), "192.168.1.20"), []);
        for len in 0..camera.len() {
            assert_eq!(read(&camera[..len], "192.168.1.20"), [], "{len} bytes");
        }
        let mut many = camera;
        many[6] = 0xFF;
        assert_eq!(read(&many, "192.168.1.20"), [], "65 000 records in a short message");
    }
}
