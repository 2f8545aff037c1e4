use super::*;

const FAST_PATH: FastPathStatus = FastPathStatus {
    interfaces: 6,
    fallbacks: [
        ("expired", 41),
        ("interface", 42),
        ("checksum", 43),
        ("ttl", 44),
        ("mtu", 45),
        ("room", 46),
    ],
};

const REFERENCE: &str = include_str!("../../../../docs/ref/metrics.md");

fn render(stats: &Stats, fast_path: &FastPathStatus) -> String {
    let mut out = Exposition::default();
    write(stats, fast_path, &mut out);
    out.into_text()
}

/// The sample lines: name, labels, value.
fn samples(text: &str) -> Vec<(&str, &str, u64)> {
    let sample = |line: &'_ str| -> Option<(usize, usize)> {
        (!line.starts_with('#')).then(|| (line.find(['{', ' ']).unwrap(), line.rfind(' ').unwrap()))
    };
    text.lines()
        .filter_map(|line| {
            let (name, value) = sample(line)?;
            let labels = line[name..value].trim_matches(['{', '}']);
            Some((&line[..name], labels, line[value + 1..].parse().unwrap()))
        })
        .collect()
}

#[test]
fn the_number_of_series_is_bounded_and_each_is_unique() {
    let text = render(&Stats::default(), &FAST_PATH);
    let found = porthole_test_support::metrics::complaints(&text, "porthole_turn_", REFERENCE);
    assert_eq!(found, [""; 0], "docs/ref/metrics.md and turn-server/admin/src/metrics.rs");
}

#[test]
fn each_metric_shows_its_counter() {
    let numbers = std::array::from_fn(|i| u64::try_from(i).unwrap() + 100);
    let counters = porthole_turn_proto::server::Counters::from_array(numbers);
    let stats = Stats {
        allocations: 1,
        tcp_connections: 2,
        dtls_associations: 4,
        not_sent: 3,
        offloaded_channels: 5,
        counters,
    };
    let text = render(&stats, &FAST_PATH);
    let value = |name: &str, labels: &str| {
        let found = samples(&text).into_iter().find(|(n, l, _)| (*n, *l) == (name, labels));
        found.map(|(_, _, value)| value)
    };
    assert_eq!(value("porthole_turn_allocations", ""), Some(1));
    assert_eq!(value("porthole_turn_dtls_associations", ""), Some(4));
    assert_eq!(value("porthole_turn_connections", ""), Some(2));
    assert_eq!(value("porthole_turn_fast_path_channels", ""), Some(5));
    assert_eq!(value("porthole_turn_dropped_packets_total", "reason=\"not_sent\""), Some(3));
    assert_eq!(value("porthole_turn_bindings_total", ""), Some(counters.bindings));
    assert_eq!(value("porthole_turn_fast_path_interfaces", ""), Some(6));
    let left = "porthole_turn_fast_path_left_packets_total";
    assert_eq!(value(left, "reason=\"mtu\""), Some(45));
    let (transport, relayed) = counters.relayed().nth(1).unwrap();
    let labels = format!("direction=\"to_client\",client_transport=\"{}\"", transport.name());
    let bytes = value("porthole_turn_relayed_bytes_total", &labels);
    assert_eq!(bytes, Some(relayed.to_clients.bytes));
    let packets = value("porthole_turn_relayed_packets_total", &labels);
    assert_eq!(packets, Some(relayed.to_clients.packets));
    let fast = counters.offloaded;
    for (direction, packets) in
        [("to_peer", fast.to_peers.packets), ("to_client", fast.to_clients.packets)]
    {
        let labels = format!("direction=\"{direction}\"");
        assert_eq!(value("porthole_turn_fast_path_packets_total", &labels), Some(packets));
    }
    for (doubt, count) in counters.doubts() {
        let labels = format!("reason=\"{}\"", doubt.as_str());
        assert_eq!(value("porthole_turn_doubtful_credentials_total", &labels), Some(count));
    }
    let (reason, count) = counters.drops().nth(1).unwrap();
    let labels = format!("reason=\"{}\"", reason.as_str());
    assert_eq!(value("porthole_turn_dropped_packets_total", &labels), Some(count));
    let (code, count) = counters.errors().nth(2).unwrap();
    let labels = format!("code=\"{}\"", code.value());
    assert_eq!(value("porthole_turn_errors_total", &labels), Some(count));
}
