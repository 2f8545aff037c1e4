use super::*;

#[test]
fn candidate_lines_of_browsers_are_parsed() {
    let cases = [
        (
            "candidate:842163049 1 udp 1677729535 203.0.113.7 46154 typ srflx raddr 10.0.1.2 \
             rport 50000 generation 0 ufrag EsAw network-cost 999",
            CandidateKind::ServerReflexive,
            "203.0.113.7:46154",
            Some("10.0.1.2:50000"),
            Some("EsAw"),
        ),
        (
            "a=candidate:0 1 UDP 2122252543 192.168.1.4 52431 typ host",
            CandidateKind::Host,
            "192.168.1.4:52431",
            None,
            None,
        ),
        (
            "candidate:3 1 udp 92217086 2001:db8::7 61000 typ relay raddr :: rport 0",
            CandidateKind::Relay,
            "[2001:db8::7]:61000",
            Some("[::]:0"),
            None,
        ),
        (
            "candidate:3 1 udp 92217086 ::ffff:192.0.2.1 61000 typ prflx raddr h.local rport 9",
            CandidateKind::PeerReflexive,
            "192.0.2.1:61000",
            None,
            None,
        ),
    ];
    for (line, kind, address, related, ufrag) in cases {
        let candidate: Candidate = line.parse().unwrap_or_else(|e| panic!("{line}: {e}"));
        assert_eq!(candidate.kind, kind, "{line}");
        assert_eq!(candidate.address, address.parse::<SocketAddr>().unwrap(), "{line}");
        assert_eq!(candidate.related, related.map(|a| a.parse::<SocketAddr>().unwrap()), "{line}");
        assert_eq!(candidate.ufrag.as_deref(), ufrag, "{line}");
        let again: Candidate = candidate.to_string().parse().unwrap();
        assert_eq!(again.to_string(), candidate.to_string(), "{line}");
    }
}

#[test]
fn unusable_candidates_are_refused_with_the_reason() {
    use CandidateRefused::*;
    let long = format!("candidate:1 1 udp 1 192.0.2.1 1 typ host x {}", "y".repeat(500));
    let cases = [
        ("", Malformed("no 'candidate:'")),
        ("candidate:", Malformed("foundation")),
        ("candidate:1 1 udp 1 192.0.2.1 1 typ", Malformed("type")),
        ("candidate:1 1 udp 1 192.0.2.1 70000 typ host", Malformed("port")),
        ("candidate:1 1 udp -1 192.0.2.1 1 typ host", Malformed("priority")),
        ("candidate:1 1 udp 1 192.0.2.1 1 kind host", Malformed("typ")),
        ("candidate:1; 1 udp 1 192.0.2.1 1 typ host", Malformed("foundation")),
        ("candidate:1 1 tcp 1 192.0.2.1 9 typ host tcptype active", NotUdp),
        ("candidate:1 1 udp 1 0af2-17.local 5000 typ host", Name),
        ("candidate:1 2 udp 1 192.0.2.1 5000 typ host", Component),
        ("candidate:1 1 udp 1 192.0.2.1 5000 typ magic", Kind),
        ("candidate:1 1 udp 1 0.0.0.0 5000 typ host", Address),
        ("candidate:1 1 udp 1 192.0.2.1 0 typ host", Address),
        ("candidate:1 1 udp 1 fe80::1 5000 typ host", Address),
        ("candidate:1 1 udp 1 224.0.0.1 5000 typ host", Address),
        (&long, TooLong),
    ];
    for (line, expected) in cases {
        assert_eq!(line.parse::<Candidate>(), Err(expected), "{line}");
    }
}

#[test]
fn priorities_order_the_kinds_and_mix_the_families() {
    use CandidateKind::*;
    let kinds = [Host, PeerReflexive, ServerReflexive, Relay];
    assert!(kinds.is_sorted_by(|a, b| priority(*a, 0) > priority(*b, u16::MAX)));
    // The example of RFC 8445 §5.1.2.1: 126, 65535, component 1.
    assert_eq!(priority(Host, 65535), 2_130_706_431);

    let addresses: Vec<IpAddr> = ["192.0.2.1", "2001:db8::1", "192.0.2.2", "2001:db8::2"]
        .map(|address| address.parse().unwrap())
        .to_vec();
    assert_eq!(dual_stack_preferences(&addresses), [65534, 65535, 65532, 65533]);
    let mixed = [1, 0, 3, 2].map(|at: usize| addresses[at]);
    assert_eq!(interleave_families(addresses), mixed);
}

#[test]
fn foundations_are_equal_for_one_kind_base_and_source_only() {
    use CandidateKind::{Host, Relay, ServerReflexive};
    let of = |kind, base: &str, preference| foundation(kind, base.parse().unwrap(), preference);
    let (base, other) = ("192.0.2.1", "192.0.2.2");
    for (name, first, second, equal) in [
        ("a host's addresses", of(Host, base, 1), of(Host, base, 2), true),
        ("another base", of(Host, base, 1), of(Host, other, 1), false),
        ("another kind", of(Host, base, 1), of(Relay, base, 1), false),
        ("two STUN servers", of(ServerReflexive, base, 1), of(ServerReflexive, base, 1), true),
        ("a router", of(ServerReflexive, base, 1), of(ServerReflexive, base, 2), false),
    ] {
        assert_eq!(first == second, equal, "{name}");
    }
}
