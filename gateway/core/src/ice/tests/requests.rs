//! Tests of a single agent and single messages.

use super::*;

/// Returns a controlled agent that knows its peer's credentials, and the peer, which never runs.
fn known() -> (Instant, Agent, Agent) {
    let now = Instant::now();
    let mut right = agent(now, Role::Controlled, 2, RIGHT);
    let left = agent(now, Role::Controlling, 1, LEFT);
    right.set_remote_credentials(now, left.local_credentials().clone());
    while right.poll_transmit().is_some() {}
    (now, left, right)
}

#[test]
fn only_an_authentic_check_is_answered() {
    type Change = fn(&mut Forged<'_>);
    type Answer = Option<(Class, Option<u16>)>;
    let cases: [(&str, Change, Result<(), StunRefused>, Answer); 9] = [
        ("a good one", |_| {}, Ok(()), Some((Class::Success, None))),
        ("wrong password", |c| c.password = "wrong", Err(StunRefused::Integrity), None),
        (
            "for another agent",
            |c| c.username = "abcd:efgh".into(),
            Err(StunRefused::Username),
            None,
        ),
        (
            "from another agent",
            |c| c.username = format!("{}:efgh", c.username.split(':').next().unwrap()),
            Err(StunRefused::Username),
            None,
        ),
        ("no colon", |c| c.username = "abcd".into(), Err(StunRefused::Username), None),
        ("no fingerprint", |c| c.fingerprint = false, Err(StunRefused::NoFingerprint), None),
        (
            "no priority",
            |c| c.priority = None,
            Err(StunRefused::Attributes),
            Some((Class::Error, Some(400))),
        ),
        (
            "an attribute to be understood",
            |c| c.unknown = Some(0x7777),
            Err(StunRefused::Attributes),
            Some((Class::Error, Some(420))),
        ),
        (
            "an attribute that may be ignored",
            |c| c.unknown = Some(0xC057),
            Ok(()),
            Some((Class::Success, None)),
        ),
    ];
    for (name, change, expected, answered) in cases {
        let (now, left, mut right) = known();
        let bytes = {
            let mut check = Forged::check(&left, &right);
            change(&mut check);
            check.bytes()
        };
        assert_eq!(right.handle_stun(now, base(RIGHT), addr(LEFT), &bytes), expected, "{name}");
        assert_eq!(response(&mut right), answered, "{name}");
        let accepted = expected.is_ok();
        assert_eq!(right.is_validated(base(RIGHT), addr(LEFT)), accepted, "{name}");
        assert_eq!(right.pairs().count(), usize::from(accepted), "{name}");
    }
}

#[test]
fn a_check_is_answered_before_its_sender_is_known_and_checked_back_as_soon_as_it_is() {
    let now = Instant::now();
    let left = agent(now, Role::Controlling, 1, LEFT);
    let mut right = agent(now, Role::Controlled, 2, RIGHT);
    let bytes = Forged::check(&left, &right).bytes();
    right.handle_stun(now, base(RIGHT), addr(LEFT), &bytes).unwrap();
    assert_eq!(response(&mut right), Some((Class::Success, None)));
    assert_eq!(response(&mut right), None, "no check without a key");
    right.set_remote_credentials(now, left.local_credentials().clone());
    assert_eq!(response(&mut right), Some((Class::Request, None)));
}

#[test]
fn a_nomination_alone_selects_nothing() {
    let (now, left, mut right) = known();
    let mut check = Forged::check(&left, &right);
    check.use_candidate = true;
    let bytes = check.bytes();
    right.handle_stun(now, base(RIGHT), addr(LEFT), &bytes).unwrap();
    assert_eq!(right.selected(), None, "media goes only to an address that has responded");
}

#[test]
fn of_two_equal_roles_the_larger_tie_breaker_controls() {
    // Our role, the peer's tie-breaker, our role afterwards; 487 exactly when our role stays.
    let cases = [
        (Role::Controlling, 0, Role::Controlling),
        (Role::Controlling, u64::MAX, Role::Controlled),
        (Role::Controlled, 0, Role::Controlling),
        (Role::Controlled, u64::MAX, Role::Controlled),
    ];
    for (role, tie_breaker, expected) in cases {
        let now = Instant::now();
        let left = agent(now, role, 1, LEFT);
        let mut right = agent(now, role, 2, RIGHT);
        let mut check = Forged::check(&left, &right);
        check.tie_breaker = tie_breaker;
        check.role = match role {
            Role::Controlling => attribute::ICE_CONTROLLING,
            Role::Controlled => attribute::ICE_CONTROLLED,
        };
        let bytes = check.bytes();
        let result = right.handle_stun(now, base(RIGHT), addr(LEFT), &bytes);
        assert_eq!(right.role(), expected, "{role:?} against {tie_breaker}");
        let (refused, code) = if role == expected {
            (Err(StunRefused::RoleConflict), Some((Class::Error, Some(487))))
        } else {
            (Ok(()), Some((Class::Success, None)))
        };
        assert_eq!(result, refused, "{role:?} against {tie_breaker}");
        assert_eq!(response(&mut right), code, "{role:?} against {tie_breaker}");
    }
}

#[test]
fn the_first_check_leaves_at_once_and_the_others_in_turn() {
    let now = Instant::now();
    let mut agent = agent(now, Role::Controlling, 1, LEFT);
    for port in 0..10 {
        agent.add_remote(now, host_candidate(SocketAddr::new(addr(RIGHT).ip(), 6000 + port)));
    }
    assert_eq!(agent.poll_transmit(), None, "no credentials yet");
    agent.set_remote_credentials(now, credentials(2));
    let mut left = Vec::new();
    let mut at = now;
    for _ in 0..10 {
        left.push((at - now, agent.poll_transmit().unwrap().to.port()));
        assert_eq!(agent.poll_transmit(), None, "one at a time");
        at = agent.poll_timeout().unwrap();
        agent.handle_timeout(at);
    }
    assert_eq!(left.last().map(|(at, _)| *at), Some(DEFAULT_TA * 9));
    let mut ports: Vec<_> = left.iter().map(|(_, port)| *port).collect();
    ports.sort_unstable();
    assert_eq!(ports, (6000..6010).collect::<Vec<_>>(), "each once");
}

#[test]
fn the_longer_one_of_both_paces_is_kept() {
    let ms = Duration::from_millis;
    let cases = [
        ("the peer indicates none", TA, None, DEFAULT_TA),
        ("the peer indicates ours", TA, Some(TA), TA),
        ("the peer is slower", TA, Some(ms(100)), ms(100)),
        ("the peer is faster", TA, Some(ms(10)), TA),
        ("we are slower", ms(80), None, ms(80)),
        ("both are too fast", ms(1), Some(ms(1)), MIN_TA),
        ("the peer never gets anywhere", TA, Some(Duration::from_secs(9_999_999)), MAX_TA),
    ];
    for (name, ours, theirs, expected) in cases {
        let now = Instant::now();
        let config = Config { ta: ours, ..Config::new(Role::Controlling, credentials(1), 1) };
        let mut agent = Agent::new(config, now);
        let host = CandidateKind::Host;
        agent.add_local(now, host, base(LEFT), addr(LEFT), None, 65_535).unwrap();
        agent.set_remote_pacing(theirs);
        for port in 0..2 {
            agent.add_remote(now, host_candidate(SocketAddr::new(addr(RIGHT).ip(), 6000 + port)));
        }
        agent.set_remote_credentials(now, credentials(2));
        assert!(agent.poll_transmit().is_some(), "{name}: the first check leaves at once");
        assert_eq!(agent.poll_timeout(), Some(now + expected), "{name}");
    }
}

#[test]
fn of_too_many_candidates_the_best_are_kept_and_new_addresses_of_the_peer_still_learned() {
    let now = Instant::now();
    let left = agent(now, Role::Controlling, 1, LEFT);
    let mut right = agent(now, Role::Controlled, 2, RIGHT);
    right.set_remote_credentials(now, left.local_credentials().clone());
    let at = |port| SocketAddr::new(addr("198.51.100.1:1").ip(), port);
    let count = u16::try_from(MAX_REMOTE).unwrap();
    for port in 1..=2 * count {
        right.add_remote(now, Candidate { priority: port.into(), ..host_candidate(at(port)) });
        right.add_remote(now, host_candidate(at(2 * count)));
    }
    let mut kept: Vec<_> = right.remote_addresses().map(|address| address.port()).collect();
    kept.sort_unstable();
    assert_eq!(kept, (count + 1..=2 * count).collect::<Vec<_>>(), "the best, each once");

    let bytes = Forged::check(&left, &right).bytes();
    right.handle_stun(now, base(RIGHT), addr(LEFT), &bytes).unwrap();
    assert!(right.remote_addresses().any(|address| address == addr(LEFT)), "learned");
    assert_eq!(right.remote_addresses().count(), MAX_REMOTE);
    let checked = std::iter::from_fn(|| right.poll_transmit()).any(|t| {
        let class = Message::parse(&t.bytes).unwrap().class();
        t.to == addr(LEFT) && class == Class::Request
    });
    assert!(checked, "and checked at once");
}

#[test]
fn candidates_that_no_check_can_use_are_ignored() {
    let now = Instant::now();
    let mut agent = agent(now, Role::Controlling, 1, LEFT);
    for bad in ["0.0.0.0:5000", "[fe80::1]:5000", "192.0.2.9:0", "224.0.0.1:5000", LEFT] {
        let host = CandidateKind::Host;
        let socket = LocalBase::Socket(addr(bad));
        assert_eq!(agent.add_local(now, host, socket, addr(bad), None, 1), None, "{bad}");
    }
    let reflexive = CandidateKind::ServerReflexive;
    let unknown = LocalBase::Allocation(3);
    assert_eq!(agent.add_local(now, reflexive, unknown, addr("203.0.113.1:1"), None, 1), None);
    for other in ["127.0.0.1:1", "[2001:db8::1]:1", "[fe80::2]:1"] {
        agent.add_remote(now, host_candidate(addr(other)));
    }
    assert_eq!(agent.pairs().count(), 0, "another family, loopback, link-local");
    agent.add_remote(now, host_candidate(addr("[::ffff:192.0.2.2]:1")));
    assert_eq!(agent.pairs().count(), 1, "the same address, spelled for both families");
}

#[test]
fn lists_stay_within_their_bounds() {
    let now = Instant::now();
    let mut agent = agent(now, Role::Controlling, 1, LEFT);
    for index in 0..5 {
        let base = LocalBase::Allocation(index);
        let address = SocketAddr::new(addr("203.0.113.1:0").ip(), 7000 + u16::from(index));
        agent.add_local(now, CandidateKind::Relay, base, address, None, u16::from(index));
    }
    for port in 1..=500 {
        agent.add_remote(now, host_candidate(SocketAddr::new(addr(RIGHT).ip(), port)));
    }
    assert_eq!(agent.remote_addresses().count(), MAX_REMOTE);
    assert_eq!(agent.pairs().count(), MAX_PAIRS);
    let direct = agent.pairs().filter(|pair| !pair.path.is_relayed()).count();
    assert_eq!(direct, MAX_REMOTE, "the lowest priorities are dropped");
}

#[test]
fn an_ice_restart_changes_what_is_signaled() {
    let now = Instant::now();
    let mut agent = agent(now, Role::Controlling, 1, LEFT);
    let new = credentials(9);
    agent.restart(now, new.clone());
    assert_eq!(agent.local_credentials(), &new);
    let signaled: Vec<_> = agent.local_candidates().map(|c| c.ufrag.clone()).collect();
    assert_eq!(signaled, [Some(new.ufrag.clone())]);
    let known = [new, credentials(1), credentials(8)].map(|c| agent.has_ufrag(&c.ufrag));
    assert_eq!(known, [true, true, false], "the old one, for what is still in flight");
}
