use std::collections::BTreeSet;

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

/// The names of the labels of a sample.
fn label_names(labels: &str) -> BTreeSet<&str> {
    labels.split(',').filter_map(|pair| Some(pair.split_once('=')?.0)).collect()
}

#[test]
fn the_reference_lists_exactly_these_metrics() {
    let text = render(&Stats::default(), &FAST_PATH);
    let shown: BTreeSet<String> = samples(&text)
        .iter()
        .map(|(name, labels, _)| {
            format!("{name} {}", label_names(labels).into_iter().collect::<Vec<_>>().join(" "))
        })
        .collect();
    let documented: BTreeSet<String> = REFERENCE
        .lines()
        .filter_map(|line| line.strip_prefix("| `porthole_turn"))
        .map(|line| {
            let mut cells = line.split('|').map(str::trim);
            let name = cells.next().unwrap().trim_end_matches('`');
            let labels: BTreeSet<_> = cells.nth(1).unwrap().split('`').skip(1).step_by(2).collect();
            format!("porthole_turn{name} {}", labels.into_iter().collect::<Vec<_>>().join(" "))
        })
        .collect();
    assert_eq!(shown, documented, "docs/ref/metrics.md and turn-server/admin/src/metrics.rs");
}

#[test]
fn a_metric_has_help_and_a_type_before_its_samples() {
    let text = render(&Stats::default(), &FAST_PATH);
    let mut described = BTreeSet::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            assert!(described.insert(name), "{name} is described twice");
        } else if !line.starts_with('#') {
            let name = line.split(['{', ' ']).next().unwrap();
            assert!(described.contains(name), "{name} has no type");
        }
    }
}

#[test]
fn the_number_of_series_is_bounded_and_each_is_unique() {
    let text = render(&Stats::default(), &FAST_PATH);
    let samples = samples(&text);
    let series: BTreeSet<_> = samples.iter().map(|(name, labels, _)| (name, labels)).collect();
    assert_eq!(series.len(), samples.len());
    assert!(samples.len() < 100, "{} series", samples.len());
    let names: BTreeSet<_> =
        samples.iter().flat_map(|(_, labels, _)| label_names(labels)).collect();
    for name in ["user", "username", "client", "peer", "address", "session"] {
        assert!(!names.contains(name), "{name} must not be a label: clients choose its values");
    }
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
