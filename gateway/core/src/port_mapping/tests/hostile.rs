//! Tests of what others may do to a mapping, and of what stays behind after accidents.

use super::*;

/// Passes an announcement of an external address to the mapper, which nobody has asked for.
fn announce(house: &mut House, address: Ipv4Addr) {
    let from = SocketAddr::from((router::ADDRESS, ROUTER_PORT));
    let mut router = Router::new(NAT_PMP);
    router.external = address;
    let announcement = router.announcement(house.router_seconds());
    house.mapper.handle_datagram(house.now, from, &announcement);
    house.settle();
}

#[test]
fn what_nobody_asked_for_changes_no_mapping_and_renews_it_seldom() {
    let lies = [Ipv4Addr::new(198, 51, 100, 1), Ipv4Addr::new(198, 51, 100, 2)];
    for (name, speaks) in [("PCP", PCP), ("NAT-PMP", NAT_PMP)] {
        let mut house = House::new(Protocols::All, Router::new(speaks));
        house.pass(Duration::from_secs(60));
        let mapping = house.mapping().expect("a mapping");
        let asked = house.router.asked;
        for round in 0..1000 {
            announce(&mut house, lies[round % 2]);
            // The mapping with another port, as NAT-PMP grants it.
            let mut granted = vec![0, 129, 0, 0, 0, 0, 0, 60];
            granted.extend(PORT.to_be_bytes());
            granted.extend([0x20, 2, 0, 0, 14, 16]);
            let from = SocketAddr::from((router::ADDRESS, ROUTER_PORT));
            house.mapper.handle_datagram(house.now, from, &granted);
            house.settle();
        }
        house.pass(RENEW_MIN);
        assert_eq!(house.states, [State::Mapped(mapping)], "{name}");
        assert!(house.router.asked - asked <= 4, "{name}: {}", house.router.asked - asked);
    }
}

#[test]
fn whoever_writes_as_the_router_all_the_time_changes_the_mapping_once_in_ten_seconds() {
    let lies = [Ipv4Addr::new(198, 51, 100, 1), Ipv4Addr::new(198, 51, 100, 2)];
    let mut house = House::new(Protocols::All, Router::new(NAT_PMP));
    house.pass(Duration::from_secs(60));
    house.states.clear();
    // The router is silenced, and every one of our questions is answered with a lie.
    house.router.speaks = NONE;
    for round in 0..600 {
        announce(&mut house, lies[round % 2]);
        let mut granted = vec![0, 129, 0, 0, 0, 0, 0, 60];
        granted.extend(PORT.to_be_bytes());
        granted.extend(PORT.to_be_bytes());
        granted.extend([0, 0, 14, 16]);
        let from = SocketAddr::from((router::ADDRESS, ROUTER_PORT));
        house.mapper.handle_datagram(house.now, from, &granted);
        house.settle();
        house.pass(Duration::from_millis(100));
    }
    assert!((1..=7).contains(&house.states.len()), "{:?}", house.states);
}

#[test]
fn an_answer_of_pcp_counts_only_with_our_nonce() {
    let from = SocketAddr::from((router::ADDRESS, ROUTER_PORT));
    // A refusal, and the end of the mapping, both with another nonce.
    let forged = |result: u8| {
        let mut bytes = vec![2, 129, 0, result, 0, 0, 0, 0, 0, 0, 0, 0];
        bytes.extend([0; 12]);
        bytes.extend([9; 12]);
        bytes.extend([17, 0, 0, 0]);
        bytes.extend(PORT.to_be_bytes());
        bytes.extend(PORT.to_be_bytes());
        bytes.extend(router::EXTERNAL.to_ipv6_mapped().octets());
        bytes
    };
    // While it is searched, held and given back.
    let mut house = House::new(Protocols::Only(Protocol::Pcp), Router::new(NONE));
    house.mapper.handle_datagram(house.now, from, &forged(2));
    house.router.speaks = PCP;
    house.pass(Duration::from_secs(1));
    assert!(house.mapping().is_some(), "the search goes on");
    house.router.speaks = NONE;
    house.pass(RENEW_MAX);
    house.mapper.handle_datagram(house.now, from, &forged(2));
    house.settle();
    assert!(house.mapping().is_some(), "it is still held");
    house.mapper.close(house.now);
    house.settle();
    house.mapper.handle_datagram(house.now, from, &forged(0));
    house.settle();
    assert!(!house.mapper.is_closed(), "its end is still asked for");
}

#[test]
fn a_gateway_that_has_crashed_gets_its_mapping_back() {
    for (name, speaks) in [("PCP", PCP), ("NAT-PMP", NAT_PMP), ("UPnP", UPNP)] {
        let mut house = House::new(Protocols::All, Router::new(speaks));
        house.pass(Duration::from_secs(5));
        let mapping = house.mapping();
        assert!(mapping.is_some(), "{name}");
        for (secret, expected) in [([7; 32], mapping), ([8; 32], None)] {
            let config = PortMapperConfig { secret, seed: 2, ..CONFIG };
            let mut after = House::with(config, house.router);
            after.pass(Duration::from_secs(5));
            // Another gateway's mapping is safe where the protocol can tell.
            let expected = if speaks.pcp { expected } else { mapping };
            assert_eq!(after.mapping(), expected, "{name}");
            assert_eq!(after.router.mappings.len(), 1, "{name}");
            house = after;
        }
    }
}

#[test]
fn a_mapping_that_comes_after_the_search_is_given_back() {
    for (name, speaks) in [("PCP", PCP), ("NAT-PMP", NAT_PMP)] {
        let mut house = House::new(Protocols::All, Router::new(NONE));
        house.pass(Duration::from_secs(4));
        assert!(matches!(house.mapper.state(), State::Unmapped(_)), "{name}");
        house.router.speaks = speaks;
        let request = if speaks.pcp {
            let common = &house.mapper.common;
            common.pcp_request(NETWORK, SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, PORT), 3600)
        } else {
            nat_pmp::map(PORT, PORT, 3600)
        };
        let at = SocketAddrV4::new(router::ADDRESS, ROUTER_PORT);
        let answers = house.router.handle_datagram(4, at, &request);
        assert_eq!(house.router.mappings.len(), 1, "{name}");
        for (from, answer) in answers {
            house.mapper.handle_datagram(house.now, from.into(), &answer);
            house.settle();
        }
        assert!(house.router.mappings.is_empty(), "{name}");
    }
}

#[test]
fn what_a_router_may_have_mapped_without_a_word_is_given_back_at_the_end() {
    use Protocol::{NatPmp, Pcp, Upnp};
    for (protocol, speaks) in [(Pcp, PCP), (NatPmp, NAT_PMP), (Upnp, UPNP)] {
        let mut house = House::new(Protocols::Only(protocol), Router::new(NONE));
        house.pass(SEARCH_AGAIN);
        (house.router.speaks, house.router.maps_mutely) = (speaks, true);
        house.late = (protocol != Upnp).then(Vec::new);
        // In the middle of the second search.
        house.pass(Duration::from_secs(3));
        if protocol == NatPmp {
            // Its answer for the address arrives, the one for the mapping does not.
            let from = SocketAddr::from((router::ADDRESS, ROUTER_PORT));
            let answer = house.router.announcement(house.router_seconds());
            house.mapper.handle_datagram(house.now, from, &answer);
            house.settle();
        }
        assert_eq!(house.router.mappings.len(), 1, "{protocol}");
        house.close();
        assert!(house.router.mappings.is_empty(), "{protocol}: {:?}", house.router.mappings);
    }
}

#[test]
fn the_mapping_of_another_machine_is_not_removed() {
    let mut router = Router::new(UPNP);
    router.maps_mutely = true;
    let mut house = House::new(Protocols::All, router);
    house.pass(Duration::from_millis(2500));
    // Before the answer is missed, another machine has the port.
    house.router.mappings.clear();
    house.router.taken.push(PORT);
    let asked = house.router.asked;
    // The router asserts that nobody removes it.
    house.pass(Duration::from_secs(20));
    assert!(house.router.asked > asked, "whose it is");
    house.close();
}

#[test]
fn mappings_without_an_end_are_made_only_for_a_port_that_stays() {
    for (is_fixed, expected) in [(true, true), (false, false)] {
        let mut router = Router::new(UPNP);
        router.fault_of_leases = 725;
        let mut house = House::with(PortMapperConfig { is_fixed, ..CONFIG }, router);
        house.pass(Duration::from_secs(5));
        assert_eq!(house.mapping().is_some(), expected);
        assert_eq!(house.router.mappings.len(), usize::from(expected));
        if let State::Unmapped(reason) = house.mapper.state() {
            assert!(reason.contains("gateway.udp_port"), "{reason}");
        }
    }
}

#[test]
fn a_renewal_that_is_refused_for_now_leaves_the_mapping_as_long_as_it_lasts() {
    for (name, speaks, code, stays) in [
        ("PCP, no resources", PCP, 8, true),
        ("PCP, not authorized", PCP, 2, false),
        ("NAT-PMP, no resources", NAT_PMP, 4, true),
        ("NAT-PMP, not authorized", NAT_PMP, 2, false),
    ] {
        let mut house = House::new(Protocols::All, Router::new(speaks));
        house.pass(Duration::from_secs(5));
        (house.router.pcp_result, house.router.nat_pmp_result) = (code, code.into());
        house.pass(RENEW_MAX + Duration::from_secs(30));
        assert_eq!(house.mapping().is_some(), stays, "{name}");
        (house.router.pcp_result, house.router.nat_pmp_result) = (0, 0);
        house.pass(RENEW_MAX);
        assert!(house.mapping().is_some(), "{name}");
    }
}

#[test]
fn a_renewal_is_taken_by_the_rules_for_a_new_mapping() {
    for (name, speaks) in [("PCP", PCP), ("NAT-PMP", NAT_PMP), ("UPnP", UPNP)] {
        let mut house = House::new(Protocols::All, Router::new(speaks));
        house.pass(Duration::from_secs(5));
        house.router.external = Ipv4Addr::LOCALHOST;
        house.pass(RENEW_MAX + Duration::from_secs(10));
        assert_eq!(house.mapping(), None, "{name}");
        house.close();
        assert!(house.router.mappings.is_empty(), "{name}");
    }
}

#[test]
fn the_reason_is_that_of_the_router() {
    type Odd = (&'static str, fn(&mut Router), &'static str);
    let table: &[Odd] = &[
        ("silence", |r| r.speaks = NONE, "none answers"),
        ("a refusal of PCP", |r| (r.speaks, r.pcp_result) = (PCP, 2), "does not allow"),
        ("a short lifetime", |r| (r.speaks, r.lifetime) = (NAT_PMP, 10), "less than a minute"),
        (
            "an address of no use",
            |r| (r.speaks, r.external) = (PCP, Ipv4Addr::LOCALHOST),
            "no external address",
        ),
        ("a refusal of UPnP", |r| (r.speaks, r.fault) = (UPNP, 606), "does not allow"),
        (
            "a refusal of PCP, and UPnP without a connection",
            |r| (r.pcp_result, r.nat_pmp_result, r.is_mute) = (2, 2, true),
            "does not allow",
        ),
    ];
    for (name, make_odd, expected) in table {
        let mut router = Router::new(ALL);
        make_odd(&mut router);
        let mut house = House::new(Protocols::All, router);
        house.pass(Duration::from_secs(25));
        let State::Unmapped(reason) = house.mapper.state() else { panic!("{name}") };
        assert!(reason.contains(expected), "{name}: {reason}");
    }
}

#[test]
fn a_search_makes_sixteen_http_requests_at_most() {
    // Four descriptions, each with services that refuse.
    let mut router = Router::new(UPNP);
    router.fault = 718;
    let mut house = House::new(Protocols::All, router);
    let from = SocketAddr::from((router::ADDRESS, 1900));
    // Late, so that each is asked for itself.
    house.pass(Duration::from_millis(1800));
    for number in 0..4 {
        let answer = format!(
            "HTTP/1.1 200 OK\r\nST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n\
             LOCATION: http://{}:5000/rootDesc.xml?{number}\r\n\r\n",
            router::ADDRESS
        );
        house.mapper.handle_datagram(house.now, from, answer.as_bytes());
        house.settle();
    }
    house.pass(Duration::from_secs(20));
    let requests = house.mapper.common.requests;
    assert!((10..=16).contains(&requests), "{requests}");
}
