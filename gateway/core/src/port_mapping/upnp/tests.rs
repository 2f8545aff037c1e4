//! Tests of what is taken from a UPnP device, and of what it is sent.

use super::*;

const ROUTER: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 1);

fn at(path: &str) -> Place {
    Place { at: SocketAddrV4::new(ROUTER, 5000), path: path.to_owned() }
}

#[test]
fn an_answer_counts_only_if_it_leads_to_the_router_that_sent_it() {
    let st = "ST: urn:schemas-upnp-org:device:InternetGatewayDevice:1";
    let ok = "HTTP/1.1 200 OK";
    let location = "LOCATION: http://192.168.1.1:5000/root.xml";
    let long = "x".repeat(MAX_PATH);
    for (name, lines, expected) in [
        ("a router", [ok, location, st], Some(at("/root.xml"))),
        ("lower case", [ok, "location:http://192.168.1.1:5000/a", st], Some(at("/a"))),
        ("no path", [ok, "Location: http://192.168.1.1:5000", st], Some(at("/"))),
        (
            "only its name tells",
            [ok, location, "USN: uuid:1::x:InternetGatewayDevice:2"],
            Some(at("/root.xml")),
        ),
        ("another device", [ok, location, "ST: upnp:rootdevice"], None),
        ("another address", [ok, "LOCATION: http://192.168.1.9:5000/", st], None),
        ("a name", [ok, "LOCATION: http://router:5000/", st], None),
        ("another scheme", [ok, "LOCATION: https://192.168.1.1/", st], None),
        ("a user", [ok, "LOCATION: http://a@192.168.1.1/", st], None),
        ("port 0", [ok, "LOCATION: http://192.168.1.1:0/", st], None),
        ("a blank in the path", [ok, "LOCATION: http://192.168.1.1:5000/a b", st], None),
        ("an announcement", ["NOTIFY * HTTP/1.1", location, st], None),
        ("a refusal", ["HTTP/1.1 404 Not Found", location, st], None),
        ("no place", [ok, "", st], None),
        ("nothing", ["", "", ""], None),
        ("a long path", [ok, &format!("LOCATION: http://192.168.1.1:5000/{long}"), st], None),
    ] {
        let text = lines.join("\r\n") + "\r\n\r\n";
        assert_eq!(read_answer(ROUTER, text.as_bytes()), expected, "{name}");
    }
    let long = format!("{ok}\r\n{location}\r\n{st}\r\nX: {}\r\n\r\n", "x".repeat(MAX_ANSWER));
    assert_eq!(read_answer(ROUTER, long.as_bytes()), None, "a long answer");
}

/// Writes a description with these services, by type and control URL.
fn description(base: &str, services: &[(&str, &str)]) -> String {
    let services: String = services
        .iter()
        .map(|(kind, control)| {
            format!(
                "<service><serviceType>urn:schemas-upnp-org:service:{kind}</serviceType>\
                 <controlURL>{control}</controlURL></service>"
            )
        })
        .collect();
    format!(
        "<root xmlns=\"urn:schemas-upnp-org:device-1-0\">{base}<device><deviceList><device>\
         <serviceList>{services}</serviceList></device></deviceList></device></root>"
    )
}

#[test]
fn the_services_of_a_description_are_at_its_own_address_and_the_best_comes_first() {
    let ip1 = "WANIPConnection:1";
    for (name, base, services, expected) in [
        ("one", "", vec![(ip1, "/ctl")], vec![(1, "/ctl")]),
        ("relative", "", vec![(ip1, "ctl")], vec![(1, "/dev/ctl")]),
        ("absolute", "", vec![(ip1, "http://192.168.1.1:5000/c")], vec![(1, "/c")]),
        (
            "all kinds",
            "",
            vec![("WANPPPConnection:1", "/p"), (ip1, "/1"), ("WANIPConnection:2", "/2")],
            vec![(0, "/2"), (1, "/1"), (2, "/p")],
        ),
        (
            "a base",
            "<URLBase>http://192.168.1.1:5000/base/</URLBase>",
            vec![(ip1, "c")],
            vec![(1, "/base/c")],
        ),
        (
            "a base elsewhere",
            "<URLBase>http://198.51.100.1/</URLBase>",
            vec![(ip1, "/c")],
            vec![(1, "/c")],
        ),
        ("another address", "", vec![(ip1, "http://198.51.100.1/c")], vec![]),
        ("another service", "", vec![("Layer3Forwarding:1", "/c")], vec![]),
        ("a blank", "", vec![(ip1, "/a b")], vec![]),
        ("many", "", vec![(ip1, "/c"); 20], vec![(1, "/c"); MAX_SERVICES]),
    ] {
        let found = at("/dev/root.xml").services(description(base, &services).as_bytes());
        let expected: Vec<_> = expected
            .into_iter()
            .map(|(kind, path): (usize, &str)| Service { place: at(path), kind: SERVICES[kind] })
            .collect();
        assert_eq!(found, expected, "{name}");
    }
    assert_eq!(at("/").services(b"<root><serv"), []);
}

#[test]
fn a_call_names_its_service_and_its_arguments() {
    let service = Service { place: at("/ctl"), kind: SERVICES[1] };
    let client = Ipv4Addr::new(192, 168, 1, 2);
    let wanted = Wanted { client, internal_port: 4000, external_port: 4001, lease: 3600 };
    for (call, action, arguments) in [
        (Call::Address, "GetExternalIPAddress", vec![]),
        (
            Call::Add(wanted),
            "AddPortMapping",
            vec![
                "<NewExternalPort>4001</NewExternalPort>",
                "<NewInternalPort>4000</NewInternalPort>",
                "<NewInternalClient>192.168.1.2</NewInternalClient>",
                "<NewProtocol>UDP</NewProtocol>",
                "<NewLeaseDuration>3600</NewLeaseDuration>",
            ],
        ),
        (Call::AddAny(wanted), "AddAnyPortMapping", vec!["<NewEnabled>1</NewEnabled>"]),
        (Call::Delete(4001), "DeletePortMapping", vec!["<NewExternalPort>4001<"]),
    ] {
        let text = String::from_utf8(service.write(call)).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("POST /ctl HTTP/1.1\r\nHost: 192.168.1.1:5000\r\n"), "{head}");
        let header = format!("SOAPAction: \"{}#{action}\"", SERVICES[1]);
        assert!(head.contains(&header), "{head}");
        assert!(head.ends_with(&format!("Content-Length: {}", body.len())), "{head}");
        assert!(body.contains(&format!("<u:{action} xmlns:u=\"{}\">", SERVICES[1])), "{body}");
        for argument in arguments {
            assert!(body.contains(argument), "{argument}: {body}");
        }
    }
}

#[test]
fn replies_are_read_as_far_as_they_make_sense() {
    let address = |text: &str| {
        read_address(format!("<NewExternalIPAddress>{text}</NewExternalIPAddress>").as_bytes())
    };
    assert_eq!(address("203.0.113.7"), Some(Ipv4Addr::new(203, 0, 113, 7)));
    assert_eq!(address(" 203.0.113.7\n"), Some(Ipv4Addr::new(203, 0, 113, 7)));
    assert_eq!([address(""), address("router"), address("2001:db8::1")], [None; 3]);
    let port =
        |text: &str| read_port(format!("<NewReservedPort>{text}</NewReservedPort>").as_bytes());
    assert_eq!(port("4001"), Some(4001));
    assert_eq!([port("0"), port("70000"), port("x"), port("")], [None; 4]);
    assert_eq!(read_fault(b"<s:Fault><errorCode>718</errorCode></s:Fault>"), 718);
    assert_eq!(read_fault(b"<html>"), 0);
}
