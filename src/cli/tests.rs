use clap::CommandFactory;
use clap::error::ErrorKind;
use porthole_signaling_proto::CameraId;

use super::*;
use crate::config::{Config as Effective, InvalidSetting};

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split_whitespace())
}

fn effective(line: &str) -> Effective {
    let mut tree = Tree::default();
    parse(line).unwrap().command.configure(&mut tree);
    tree.deserialize().map_err(|error: InvalidSetting| error.to_string()).unwrap()
}

#[test]
fn the_definition_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn s15_a_password_among_the_arguments_is_noticed() {
    for (line, shows) in [
        ("porthole up --demo --camera door=rtsp://10.0.0.9/1", false),
        ("porthole up --camera door=rtsp://user:geheim@10.0.0.9/1", true),
        ("porthole gateway --camera door=rtsp://user:geheim@10.0.0.9/1", true),
        ("porthole gateway --claim CODE", false),
        ("porthole turn --realm home", false),
        ("porthole turn --user anna:geheim", true),
        ("porthole netcheck --server h --user anna", false),
        ("porthole netcheck --server h --user anna:geheim", true),
    ] {
        assert_eq!(parse(line).unwrap().command.shows_password(), shows, "{line}");
    }
}

#[test]
fn every_command_in_the_documents_is_valid() {
    let mut commands = 0;
    for text in [
        include_str!("../../README.md"),
        include_str!("../../docs/guide/README.md"),
        include_str!("../../docs/guide/coming-from-go2rtc.md"),
        include_str!("../../docs/guide/importing-cameras.md"),
        include_str!("../../docs/guide/installing.md"),
        include_str!("../../docs/ref/signaling-benchmark.md"),
        include_str!("../../deploy/porthole.service"),
        include_str!("../../deploy/porthole-gateway.service"),
    ] {
        let lines = text.lines().map(|line| line.rsplit("/bin/").next().unwrap_or(line));
        for line in lines.filter(|line| line.starts_with("porthole ")) {
            let line = line.split(" #").next().unwrap();
            parse(line).unwrap_or_else(|error| panic!("{line}: {error}"));
            commands += 1;
        }
    }
    assert!(commands >= 8, "{commands}");
}

#[test]
fn up_is_public_with_a_name_or_without() {
    for (line, names) in [
        ("porthole up --public", &[][..]),
        ("porthole up --public cameras.example.org", &["cameras.example.org"]),
        ("porthole up --public --demo", &[]),
        ("porthole up --public=203.0.113.7 --demo", &["203.0.113.7"]),
    ] {
        let public = effective(line).public;
        let listen: Vec<_> = public.listen.iter().map(ToString::to_string).collect();
        assert_eq!(listen, ["0.0.0.0:443", "[::]:443"], "{line}");
        assert_eq!(public.names.iter().map(ToString::to_string).collect::<Vec<_>>(), names);
    }
    assert!(effective("porthole up").public.listen.is_empty());
    assert!(parse("porthole up --public *.example.org").is_err());
}

#[test]
fn every_flag_reaches_its_key() {
    let up = effective(
        "porthole up --http 127.0.0.1:81 --turn 127.0.0.1:82 --turn [::1]:82 \
         --public-address 203.0.113.7 --public-url https://x.example/ --data /d --demo \
         --allow-peer 10.0.0.0/8 --allow-peer fd00::/8 --deny-peer 192.0.2.0/24 \
         --relay-ports 5000-6000 --workers 2 --camera a=rtsp://h/1 --camera b=test: \
         --gateway-name here --udp-port 7000 --turn-only",
    );
    assert_eq!(up.signaling.http.to_string(), "127.0.0.1:81");
    assert_eq!(up.signaling.public_url.unwrap().as_str(), "https://x.example/");
    assert_eq!(up.turn.listen.len(), 2);
    assert_eq!(up.public_address.unwrap().to_string(), "203.0.113.7");
    assert_eq!(up.data.to_str(), Some("/d"));
    let networks = |list: &[Network]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(networks(&up.turn.allow_peers), ["10.0.0.0/8", "fd00::/8"]);
    assert_eq!(networks(&up.turn.deny_peers), ["192.0.2.0/24"]);
    assert_eq!((up.turn.relay_ports.first, up.turn.relay_ports.last), (5000, 6000));
    assert_eq!(up.turn.workers.get(), 2);
    let ids: Vec<_> = up.camera.keys().map(CameraId::as_str).collect();
    assert_eq!(ids, ["a", "b", "demo"]);
    assert_eq!(up.gateway.name, "here");
    assert_eq!(up.gateway.udp_port, 7000);
    assert!(up.gateway.turn_only);

    let turn = effective(
        "porthole turn --listen 127.0.0.1:82 --realm r --user a:b:c --relay-address 127.0.0.1 \
         --relay-ports 5000-6000 --allow-peer 127.0.0.0/8 --workers 4",
    );
    assert_eq!(turn.turn.realm, "r");
    assert_eq!(turn.turn.users["a"].reveal(), "b:c");
    assert_eq!(turn.turn.relay_address.len(), 1);

    let gateway = effective("porthole gateway --server http://h:1 --claim c --camera a=test:");
    assert_eq!(gateway.gateway.server.unwrap().as_str(), "http://h:1/");
    assert_eq!(gateway.gateway.claim.unwrap().reveal(), "c");

    let signaling = effective("porthole signaling --http [::1]:1 --turn-url turn:h:1");
    assert_eq!(signaling.signaling.turn_urls, ["turn:h:1"]);
}

#[test]
fn a_server_and_a_gateway_can_become_services_with_the_data_of_the_services() {
    for (line, service) in [
        ("porthole up --public", None),
        ("porthole up --public --service", Some(Service::Server)),
        ("porthole up --public cameras.example.org --service", Some(Service::Server)),
        ("porthole gateway --server http://h:1 --claim c --service", Some(Service::Gateway)),
        ("porthole gateway --server http://h:1", None),
        ("porthole gateway list", None),
    ] {
        assert_eq!(parse(line).unwrap().command.service(), service, "{line}");
    }
    for line in [
        "porthole up --service --data /d",
        "porthole up --service --config c.toml",
        "porthole gateway --service --data /d",
        "porthole gateway --service list",
        "porthole signaling --service",
        "porthole turn --service",
    ] {
        assert!(parse(line).is_err(), "{line}");
    }
}

#[test]
fn a_wrong_command_line_is_refused() {
    for line in [
        "porthole",
        "porthole fly",
        "porthole up --http 8080",
        "porthole up --camera x",
        "porthole turn --user x",
        "porthole turn --relay-ports 9-1",
        "porthole turn --allow-peer 10.0.0.0/99",
        "porthole gateway --server h",
        "porthole token create --role king --name x",
        "porthole token create --role viewer",
        "porthole token create --role viewer --name x --expires soon",
        "porthole token create --role viewer --name x --camera door@",
        "porthole token create --role viewer --name x --max-kbit-per-s 63",
        "porthole share create x --camera door --max-kbit-per-s 1000001",
        "porthole netcheck",
    ] {
        let error = parse(line).unwrap_err();
        assert!(error.exit_code() == 2 && error.kind() != ErrorKind::DisplayHelp, "{line}");
    }
}

#[test]
fn an_error_does_not_repeat_a_secret() {
    for line in [
        "porthole up --camera yard=ftp://admin:geheim@192.0.2.1/1",
        "porthole up --camera rtsp://admin:geheim@192.0.2.1/?channel=1",
        "porthole turn --user :geheim",
    ] {
        let text = without_secrets(parse(line).unwrap_err()).to_string();
        assert!(!text.contains("geheim"), "{text}");
        assert!(text.contains("--camera <ID=SOURCE>") || text.contains("--user"), "{text}");
    }
}

#[test]
fn a_limit_of_a_token_or_a_link_is_read_as_it_is_written() {
    let line = "porthole token create --role viewer --name x --max-kbit-per-s 64";
    let Command::Token(Token::Create(token)) = parse(line).unwrap().command else {
        panic!("{line}")
    };
    let line = "porthole share create x --camera door --max-kbit-per-s 1000000";
    let Command::Share(Share::Create(share)) = parse(line).unwrap().command else {
        panic!("{line}")
    };
    assert_eq!((token.max_kbit_per_s, share.max_kbit_per_s), (Some(64), Some(1_000_000)));
}
