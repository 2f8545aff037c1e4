use super::*;

const SCOPES: &str = "onvif://www.onvif.org/name/AXIS%20M1065 onvif://www.onvif.org/hardware/M1065";

/// Writes an answer with one device.
fn answer(uuid: &str, scopes: &str, xaddrs: &str) -> String {
    format!(
        "<e:Envelope><e:Body><d:ProbeMatches><d:ProbeMatch><a:EndpointReference>\
         <a:Address>{uuid}</a:Address></a:EndpointReference>\
         <d:Types>dn:NetworkVideoTransmitter</d:Types><d:Scopes>{scopes}</d:Scopes>\
         <d:XAddrs>{xaddrs}</d:XAddrs></d:ProbeMatch></d:ProbeMatches></e:Body></e:Envelope>"
    )
}

fn from(ip: &str) -> SocketAddr {
    SocketAddr::new(ip.parse().unwrap(), PORT)
}

/// Returns the devices among the outputs so far; `true` for those that moved.
fn devices(search: &mut Search) -> Vec<(bool, Device)> {
    let mut devices = Vec::new();
    while let Some(output) = search.poll_output() {
        match output {
            Output::Found(device) => devices.push((false, device)),
            Output::Moved(device) => devices.push((true, device)),
            Output::Send { .. } | Output::Done => {}
        }
    }
    devices
}

#[test]
fn each_link_is_asked_in_three_rounds_for_both_kinds_of_devices() {
    let start = Instant::now();
    let mut search = Search::new(2, 1, start);
    let mut rounds = Vec::new();
    let mut ids = Vec::new();
    while let Some(due) = search.poll_timeout() {
        let mut links = Vec::new();
        while let Some(output) = search.poll_output() {
            let Output::Send { link, protocol, bytes } = output else { panic!("{output:?}") };
            if protocol == Protocol::WsDiscovery {
                links.push(link);
                ids.push(bytes);
            }
        }
        rounds.push((due.duration_since(start).as_secs(), links));
        search.handle_timeout(due);
    }
    let links = vec![0, 0, 1, 1];
    assert_eq!(rounds, [(2, links.clone()), (4, links.clone()), (6, links)]);
    assert_eq!(search.poll_output(), Some(Output::Done));
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count, "each message has an id of its own");
}

/// A response of multicast DNS: an instance of `_axis-video._tcp` with a MAC address.
fn announcement(mac: &str) -> Vec<u8> {
    use simple_dns::rdata::{PTR, RData, TXT};
    use simple_dns::{CLASS, Name, Packet, ResourceRecord};
    let instance = Name::new_unchecked("AXIS M1065._axis-video._tcp.local");
    let mut packet = Packet::new_reply(0);
    let service = Name::new_unchecked("_axis-video._tcp.local");
    let pointer = RData::PTR(PTR(instance.clone()));
    packet.answers.push(ResourceRecord::new(service, CLASS::IN, 10, pointer));
    let attribute = format!("macaddress={mac}");
    let text = RData::TXT(TXT::new().with_string(&attribute).unwrap());
    packet.additional_records.push(ResourceRecord::new(instance, CLASS::IN, 10, text));
    packet.build_bytes_vec().unwrap()
}

#[test]
fn a_camera_that_announces_itself_is_found_once_whatever_comes_first() {
    let announced = announcement("00408CABCDEF");
    let scopes = "onvif://www.onvif.org/MAC/00:40:8c:ab:cd:ef onvif://www.onvif.org/name/Door";
    let answered = answer("urn:uuid:a", scopes, "http://192.168.1.20/onvif").into_bytes();
    type Case<'a> = (&'static str, [&'a [u8]; 2], [&'static str; 2], usize);
    let table: [Case<'_>; 4] = [
        // The datagrams, the addresses that they come from, how many devices are found.
        ("announced first", [&announced, &answered], ["192.168.1.20"; 2], 1),
        ("answered first", [&answered, &announced], ["192.168.1.20"; 2], 1),
        ("known by its MAC address", [&answered, &announced], ["192.168.1.20", "192.168.1.30"], 1),
        ("announced twice", [&announced, &announced], ["192.168.1.20"; 2], 1),
    ];
    for (case, datagrams, addresses, count) in table {
        let mut search = Search::new(1, 1, Instant::now());
        for (datagram, address) in datagrams.iter().zip(addresses) {
            search.handle_datagram(from(address), datagram);
        }
        let devices = devices(&mut search);
        let found = devices.iter().filter(|(moved, _)| !moved).count();
        assert_eq!(found, count, "{case}: {devices:?}");
        let (_, last) = devices.last().unwrap();
        assert_eq!(last.mac.as_deref(), Some("00:40:8c:ab:cd:ef"), "{case}");
        let has_service = last.service.is_some();
        assert_eq!(has_service, case != "announced twice", "{case}: {last:?}");
    }
}

type Case = (&'static str, &'static str, &'static str, Option<&'static str>);

#[test]
fn the_address_of_the_service_is_the_one_that_has_answered() {
    let cases: &[Case] = &[
        ("one", "192.168.1.20", "http://192.168.1.20/onvif", Some("http://192.168.1.20/onvif")),
        (
            "several in one element",
            "192.168.1.20",
            "http://10.0.0.1/onvif http://192.168.1.20/onvif",
            Some("http://192.168.1.20/onvif"),
        ),
        (
            "IPv6 first",
            "192.168.1.20",
            "http://[fe80::1]/onvif http://192.168.1.9/onvif",
            Some("http://192.168.1.9/onvif"),
        ),
        (
            "TLS first",
            "192.168.1.20",
            "https://192.168.1.20/onvif http://192.168.1.20/onvif",
            Some("http://192.168.1.20/onvif"),
        ),
        (
            "a stray ampersand",
            "192.168.1.20",
            "http://192.168.1.20/onvif?a=1&b=2",
            Some("http://192.168.1.20/onvif?a=1&b=2"),
        ),
        ("another address only", "192.168.1.20", "http://10.9.9.9/x", Some("http://10.9.9.9/x")),
        ("none", "192.168.1.20", "", None),
    ];
    for (name, ip, xaddrs, expected) in cases {
        let mut search = Search::new(1, 1, Instant::now());
        search.handle_datagram(from(ip), answer("urn:uuid:a1", SCOPES, xaddrs).as_bytes());
        let found = devices(&mut search);
        let service = found[0].1.service.as_ref().map(ToString::to_string);
        assert_eq!(service.as_deref(), *expected, "{name}");
        assert_eq!(found[0].1.from, from(ip), "{name}");
        assert_eq!(found[0].1.vendor.as_deref(), Some("Axis"), "{name}");
    }
}

#[test]
fn a_device_is_found_once_by_uuid_or_mac_address_or_address() {
    let mac = "onvif://www.onvif.org/MAC/00:11:22:33:44:55";
    let url = "http://192.168.1.20/onvif";
    type Seen = (&'static str, &'static str, &'static str, &'static str);
    let cases: &[(&str, &[Seen], usize)] = &[
        (
            "the same UUID",
            &[("192.168.1.20", "uuid:A1", "", ""), ("10.0.0.1", "urn:uuid:a1", "", "")],
            1,
        ),
        ("the same MAC", &[("192.168.1.20", "", mac, ""), ("10.0.0.1", "", mac, "")], 1),
        ("the same address", &[("192.168.1.20", "", "", ""), ("192.168.1.20", "", "", "")], 1),
        (
            "a UUID that changes",
            &[("192.168.1.20", "uuid:a1", "", url), ("192.168.1.20", "uuid:a2", "", url)],
            1,
        ),
        (
            "two cameras of a recorder",
            &[
                ("192.168.1.20", "uuid:a1", "", url),
                ("192.168.1.20", "uuid:a2", "", "http://192.168.1.20/onvif2"),
            ],
            2,
        ),
        (
            "two devices",
            &[("192.168.1.20", "uuid:a1", "", ""), ("192.168.1.21", "uuid:a2", "", "")],
            2,
        ),
    ];
    for (name, seen, expected) in cases {
        let mut search = Search::new(1, 1, Instant::now());
        for (ip, uuid, scopes, xaddrs) in *seen {
            search.handle_datagram(from(ip), answer(uuid, scopes, xaddrs).as_bytes());
        }
        let found = devices(&mut search);
        assert_eq!(found.iter().filter(|(moved, _)| !moved).count(), *expected, "{name}");
    }
}

#[test]
fn a_better_address_replaces_the_one_that_came_first() {
    let mut search = Search::new(2, 1, Instant::now());
    for ip in ["fe80::1", "192.168.1.20", "fe80::1"] {
        search.handle_datagram(from(ip), answer("uuid:a1", SCOPES, "").as_bytes());
    }
    let found: Vec<_> = devices(&mut search)
        .into_iter()
        .map(|(moved, device)| (moved, device.number, device.from))
        .collect();
    assert_eq!(found, [(false, 0, from("fe80::1")), (true, 0, from("192.168.1.20"))]);
}

#[test]
fn printers_computers_and_junk_are_no_cameras() {
    let typed = |types: &str| {
        answer("uuid:a1", "", "http://10.0.0.1/").replace("dn:NetworkVideoTransmitter", types)
    };
    for (name, datagram, expected) in [
        ("a computer", typed("wsdp:Device pub:Computer"), 0),
        ("a printer", typed("wprt:PrintDeviceType"), 0),
        ("no types", typed(""), 0),
        ("another prefix", typed("q:NetworkVideoTransmitter"), 1),
        ("a greeting", answer("uuid:a1", "", "").replace("ProbeMatch>", "Hello>"), 1),
        ("text", "hello".to_owned(), 0),
        ("an answer that is too long", format!("{}{}", typed("q:x"), " ".repeat(40_000)), 0),
    ] {
        let mut search = Search::new(1, 1, Instant::now());
        search.handle_datagram(from("10.0.0.1"), datagram.as_bytes());
        assert_eq!(devices(&mut search).len(), expected, "{name}");
    }
}

#[test]
fn ten_thousand_answers_find_a_bounded_number_of_devices() {
    let flood = |same_address: bool| {
        let mut search = Search::new(1, 1, Instant::now());
        for number in 0..10_000_u32 {
            let ip = if same_address {
                [10, 0, 0, 1].into()
            } else {
                IpAddr::from(number.to_be_bytes())
            };
            let text = answer(&format!("uuid:{number:08x}1"), "", "");
            search.handle_datagram(SocketAddr::new(ip, PORT), text.as_bytes());
        }
        // One that comes late, from another machine.
        search.handle_datagram(from("192.168.1.20"), answer("uuid:e1", "", "").as_bytes());
        devices(&mut search)
    };
    assert_eq!(flood(false).len(), MAX_DEVICES);
    let found = flood(true);
    assert_eq!(found.len(), MAX_PER_ADDRESS + 1, "one machine does not hide another");
}

#[test]
fn nothing_is_found_after_the_end() {
    let mut search = Search::new(1, 1, Instant::now());
    search.close();
    search.handle_datagram(from("10.0.0.1"), answer("uuid:a1", SCOPES, "").as_bytes());
    assert_eq!((devices(&mut search), search.poll_timeout()), (Vec::new(), None));
}
