//! Tests of role conflicts, and of peers that resolve none.

use super::*;

/// Returns the role attribute and the tie-breaker of the next check that the agent sends.
fn claim(agent: &mut Agent) -> Option<(Role, u64)> {
    while let Some(transmit) = agent.poll_transmit() {
        let message = Message::parse(&transmit.bytes).unwrap();
        if message.class() != Class::Request {
            continue;
        }
        let controlling = message.u64(attribute::ICE_CONTROLLING).unwrap();
        let controlled = message.u64(attribute::ICE_CONTROLLED).unwrap();
        return controlling
            .map(|value| (Role::Controlling, value))
            .or(controlled.map(|value| (Role::Controlled, value)));
    }
    None
}

/// Makes the response 487 of `to`, which the agent's last check went to.
fn role_conflict(check: &Transmit, from: &Agent) -> Vec<u8> {
    let id = Message::parse(&check.bytes).unwrap().id();
    let mut bytes = Vec::new();
    let mut writer = MessageWriter::new(&mut bytes, Class::Error, Method::Binding, id);
    writer.error_code(ErrorCode::ROLE_CONFLICT);
    writer.short_term_integrity(&ShortTermKey::new(&from.local_credentials().pwd)).fingerprint();
    writer.finish().unwrap();
    bytes
}

#[test]
fn a_487_changes_the_role_and_the_tie_breaker_and_the_check_is_repeated() {
    for role in [Role::Controlling, Role::Controlled] {
        let now = Instant::now();
        let mut left = agent(now, role, 1, LEFT);
        let right = agent(now, role, 2, RIGHT);
        left.add_remote(now, host_candidate(addr(RIGHT)));
        left.set_remote_credentials(now, right.local_credentials().clone());
        let check = left.poll_transmit().unwrap();
        let message = Message::parse(&check.bytes).unwrap();
        let controlling = message.u64(attribute::ICE_CONTROLLING).unwrap();
        let before = controlling.or(message.u64(attribute::ICE_CONTROLLED).unwrap()).unwrap();

        let refusal = role_conflict(&check, &right);
        let refused = left.handle_stun(now, base(LEFT), addr(RIGHT), &refusal);
        assert_eq!(refused, Err(StunRefused::RoleConflict), "{role:?}");
        let (claimed, after) = claim(&mut left).expect("the check is repeated at once");
        assert_eq!(claimed, role.opposite());
        assert_ne!(after, before, "RFC 8445 §7.2.5.1: a new tie-breaker");
    }
}

#[test]
fn a_487_to_a_claim_that_is_no_longer_made_changes_nothing() {
    let now = Instant::now();
    let mut left = agent(now, Role::Controlling, 1, LEFT);
    let right = agent(now, Role::Controlling, 2, RIGHT);
    left.add_remote(now, host_candidate(addr(RIGHT)));
    left.add_remote(now, host_candidate(addr("192.0.2.2:6000")));
    left.set_remote_credentials(now, right.local_credentials().clone());
    let first = left.poll_transmit().unwrap();
    let at = left.poll_timeout().unwrap();
    left.handle_timeout(at);
    let second = left.poll_transmit().unwrap();
    for (check, expected) in [(first, Role::Controlled), (second, Role::Controlled)] {
        let refusal = role_conflict(&check, &right);
        let _ = left.handle_stun(at, base(LEFT), check.to, &refusal);
        assert_eq!(left.role(), expected);
    }
}

#[test]
fn a_full_agent_controls_an_ice_lite_peer_and_nominates_also_if_the_peer_made_the_offer() {
    for role in [Role::Controlling, Role::Controlled] {
        let mut now = Instant::now();
        let mut right = agent(now, role, 2, RIGHT);
        // Lite: it responds, and never checks.
        let mut lite = agent(now, Role::Controlled, 1, LEFT);
        right.set_remote_lite(now);
        right.add_remote(now, host_candidate(addr(LEFT)));
        right.set_remote_credentials(now, lite.local_credentials().clone());
        assert_eq!(right.role(), Role::Controlling, "{role:?}");
        let end = now + Duration::from_secs(60);
        let mut nominated = 0;
        while now < end {
            while let Some(check) = right.poll_transmit() {
                let message = Message::parse(&check.bytes).unwrap();
                nominated += u32::from(message.first(attribute::USE_CANDIDATE).is_some());
                lite.handle_stun(now, base(LEFT), addr(RIGHT), &check.bytes).unwrap();
                let response = lite.poll_transmit().unwrap();
                let _ = right.handle_stun(now, base(RIGHT), addr(LEFT), &response.bytes);
            }
            now = right.poll_timeout().unwrap_or(end).max(now);
            right.handle_timeout(now);
        }
        assert!(right.selected().is_some() && nominated > 0, "{role:?}: {nominated} nominations");
        let events: Vec<_> = std::iter::from_fn(|| right.poll_event()).collect();
        assert!(matches!(events[..], [Event::Connected(_)]), "{role:?}: {events:?}");
    }
}

#[test]
fn equal_roles_connect_also_if_no_side_ever_hears_of_a_conflict() {
    // Two agents whose error responses are lost; both were told to have the same role.
    for role in [Role::Controlling, Role::Controlled] {
        let mut two = Two::new(role, role);
        two.conflicts = false;
        two.introduce();
        let connected = |two: &Two| {
            let roles_differ = two.left.role() != two.right.role();
            roles_differ && two.left.selected().is_some() && two.right.selected().is_some()
        };
        let limit = ROLE_PATIENCE + Duration::from_secs(6);
        assert!(two.run(limit, connected), "{role:?}: {:?}", two.events);
        two.run(Duration::from_secs(60), |_| false);
        let failed =
            |(_, event): &(bool, Event)| matches!(event, Event::Disconnected | Event::Failed(_));
        assert!(!two.events.iter().any(failed), "{role:?}: {:?}", two.events);
    }
}

#[test]
fn a_peer_that_nominates_nothing_is_nominated_to_after_a_while() {
    // The peer claims to control, checks and responds, and nominates nothing.
    let mut now = Instant::now();
    let left = agent(now, Role::Controlling, 1, LEFT);
    let mut lazy = agent(now, Role::Controlling, 1, LEFT);
    let mut right = agent(now, Role::Controlled, 2, RIGHT);
    right.set_remote_credentials(now, left.local_credentials().clone());
    let check = Forged::check(&left, &right).bytes();
    right.handle_stun(now, base(RIGHT), addr(LEFT), &check).unwrap();
    let start = now;
    let mut nominated = None;
    while nominated.is_none() && now < start + Duration::from_secs(60) {
        while let Some(transmit) = right.poll_transmit() {
            let message = Message::parse(&transmit.bytes).unwrap();
            if message.class() != Class::Request {
                continue;
            }
            if message.first(attribute::USE_CANDIDATE).is_some() {
                nominated.get_or_insert(now - start);
            }
            // It does not see the conflict either.
            lazy.handle_stun(now, base(LEFT), addr(RIGHT), &transmit.bytes).ok();
            if let Some(response) = lazy.poll_transmit() {
                let _ = right.handle_stun(now, base(RIGHT), addr(LEFT), &response.bytes);
            }
        }
        now = right.poll_timeout().unwrap().max(now);
        right.handle_timeout(now);
    }
    let nominated = nominated.expect("a nomination");
    assert!(nominated >= ROLE_PATIENCE && nominated <= ROLE_PATIENCE * 2, "{nominated:?}");
}
