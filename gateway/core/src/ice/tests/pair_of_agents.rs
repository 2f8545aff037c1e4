//! Tests of two agents that can reach each other.

use super::*;

const ROLES: [(Role, Role); 4] = [
    (Role::Controlling, Role::Controlled),
    (Role::Controlled, Role::Controlling),
    (Role::Controlling, Role::Controlling),
    (Role::Controlled, Role::Controlled),
];

#[test]
fn both_are_connected_after_three_one_way_delays_or_four_when_roles_collide() {
    for (left, right) in ROLES {
        let mut two = Two::new(left, right);
        two.connect();
        let delays = if left == right { 4 } else { 3 };
        assert!(two.now - two.epoch <= Duration::from_millis(delays), "{left:?} {right:?}");
        let [a, b] = [&two.left, &two.right].map(|agent| agent.selected().unwrap());
        assert_eq!((a.local_address, a.remote), (b.remote, b.local_address));
        assert_eq!((a.local_kind, a.remote_kind), (CandidateKind::Host, CandidateKind::Host));
        assert_ne!(two.left.role(), two.right.role());
    }
}

#[test]
fn one_connection_causes_one_event() {
    let mut two = Two::new(Role::Controlling, Role::Controlled);
    two.connect();
    two.run(Duration::from_secs(120), |_| false);
    let told: Vec<_> = two.events.iter().map(|(right, e)| (*right, *e)).collect();
    assert!(matches!(told[..], [(_, Event::Connected(_)), (_, Event::Connected(_))]), "{told:?}");
}

#[test]
fn a_better_candidate_that_arrives_late_takes_over() {
    let mut two = Two::new(Role::Controlling, Role::Controlled);
    // At first each knows the other only by a relayed candidate.
    let relayed = |address| Candidate {
        kind: CandidateKind::Relay,
        priority: priority(CandidateKind::Relay, 65_535),
        ..host_candidate(addr(address))
    };
    two.left = agent(two.now, Role::Controlling, 1, LEFT);
    two.right = agent(two.now, Role::Controlled, 2, RIGHT);
    two.left.set_remote_pacing(Some(TA));
    two.left.add_remote(two.now, relayed(RIGHT));
    two.right.add_remote(two.now, relayed(LEFT));
    two.connect();
    assert!(two.left.selected().unwrap().is_relayed());

    let better = addr("192.0.2.2:6000");
    let host = CandidateKind::Host;
    two.right.add_local(two.now, host, LocalBase::Socket(better), better, None, 65_535);
    two.reachable.push(better);
    two.left.add_remote(two.now, host_candidate(better));
    two.events.clear();
    let took_over = |two: &Two| {
        let paths = [&two.left, &two.right].map(|agent| agent.selected().unwrap());
        paths[0].remote == better && paths[1].base == LocalBase::Socket(better)
    };
    assert!(two.run(Duration::from_millis(50), took_over), "{:?}", two.events);
    let changed = two.events.iter().all(|(_, event)| matches!(event, Event::PathChanged(_)));
    assert!(changed && two.events.len() == 2, "{:?}", two.events);
}

#[test]
fn nominations_may_overtake_one_another() {
    let mut two = Two::new(Role::Controlling, Role::Controlled);
    let lesser = addr("192.0.2.2:6000");
    let host = CandidateKind::Host;
    two.right.add_local(two.now, host, LocalBase::Socket(lesser), lesser, None, 1);
    two.reachable.push(lesser);
    two.left.add_remote(two.now, Candidate { priority: 1, ..host_candidate(lesser) });
    two.connect();
    two.run(Duration::from_millis(200), |_| false);
    assert_eq!(two.right.pairs().filter(|p| p.state == PairState::Succeeded).count(), 2);

    let better = base(RIGHT);
    let mut nominate = |id, later: u64| {
        let mut check = Forged::check(&two.left, &two.right);
        (check.id, check.use_candidate) = ([id; 12], true);
        let bytes = check.bytes();
        let now = two.now + Duration::from_millis(later);
        two.right.handle_stun(now, LocalBase::Socket(lesser), addr(LEFT), &bytes).unwrap();
        two.right.selected().unwrap().base
    };
    assert_eq!(nominate(1, 0), better, "an older nomination has been overtaken");
    assert_eq!(nominate(2, 100), better, "so have two");
    assert_eq!(nominate(1, 1300), better, "a retransmission says nothing new");
    assert_eq!(nominate(3, 1400), LocalBase::Socket(lesser), "this one is meant");
}

#[test]
fn losing_the_base_of_the_selected_pair_is_reported_at_once() {
    let mut two = Two::new(Role::Controlling, Role::Controlled);
    two.connect();
    two.events.clear();
    two.left.remove_local(two.now, base(LEFT));
    two.drain();
    assert_eq!(two.events, [(false, Event::Disconnected)]);
    assert_eq!(two.left.selected(), None);
    assert!(!two.left.is_validated(base(LEFT), addr(RIGHT)));
}

#[test]
fn the_response_must_take_the_path_of_the_request() {
    let mut two = Two::new(Role::Controlling, Role::Controlled);
    two.introduce();
    let check = two.left.poll_transmit().unwrap();
    two.right.handle_stun(two.now, base(RIGHT), addr(LEFT), &check.bytes).unwrap();
    let responses = std::iter::from_fn(|| two.right.poll_transmit()).map(|transmit| transmit.bytes);
    let is_success = |bytes: &Vec<u8>| Message::parse(bytes).unwrap().class() == Class::Success;
    let response = responses.into_iter().find(is_success).unwrap();

    let elsewhere = addr("192.0.2.3:5000");
    let mut receive = |from| two.left.handle_stun(two.now, base(LEFT), from, &response);
    assert_eq!(receive(elsewhere), Err(StunRefused::Asymmetric));
    assert_eq!(receive(addr(RIGHT)), Ok(()));
    assert_eq!(receive(addr(RIGHT)), Err(StunRefused::UnknownTransaction), "once only");
    assert!(two.left.selected().is_some());
    assert!(!two.left.is_validated(base(LEFT), elsewhere));
}

#[test]
fn r14_checks_of_the_peer_are_no_consent() {
    let mut two = Two::new(Role::Controlling, Role::Controlled);
    two.connect();
    two.events.clear();
    // From now on the right agent receives nothing and sends no responses, but keeps checking.
    let begun = two.now;
    while two.now < begun + Duration::from_secs(40) {
        two.now += Duration::from_secs(1);
        let check = Forged::check(&two.right, &two.left).bytes();
        let _ = two.left.handle_stun(two.now, base(LEFT), addr(RIGHT), &check);
        two.left.handle_timeout(two.now);
        two.right.handle_timeout(two.now);
        two.drain();
        two.under_way.clear();
    }
    let left: Vec<_> = two.events.iter().filter(|(right, _)| !right).map(|(_, e)| *e).collect();
    assert_eq!(left, [Event::Disconnected, Event::Failed(FailReason::ConsentExpired)]);
    assert_eq!(two.left.selected(), None);
}

#[test]
fn a_flood_of_addresses_from_the_peer_itself_stays_small() {
    let mut two = Two::new(Role::Controlling, Role::Controlled);
    two.connect();
    two.events.clear();
    let check = Forged::check(&two.left, &two.right).bytes();
    for port in 1..=2000 {
        let from = SocketAddr::new(addr("198.51.100.7:1").ip(), port);
        two.right.handle_stun(two.now, base(RIGHT), from, &check).unwrap();
        two.now += Duration::from_millis(1);
    }
    let mut sent = 0;
    while let Some(transmit) = two.right.poll_transmit() {
        let message = Message::parse(&transmit.bytes).unwrap();
        sent += usize::from(message.class() == Class::Request);
    }
    assert!(two.right.pairs().count() <= 1 + MAX_PEER_REFLEXIVE);
    assert!(sent <= 2 * MAX_PEER_REFLEXIVE + 10, "{sent} checks for 2000 addresses");
    assert!(
        two.right.is_validated(base(RIGHT), addr(LEFT)),
        "the selected pair is never forgotten"
    );
    assert_eq!(two.events, [], "and stays selected");
}
