//! Tests of a peer whose NAT gives it another address while media flows.

use super::*;

const NEW: &str = "192.0.2.99:40000";

/// The signs of life that a viewer sends.
#[derive(Clone, Copy, Debug)]
struct Viewer {
    /// Interval of its checks.
    checks: Duration,
    /// Interval of its reports.
    reports: Duration,
    /// True if its checks nominate the pair again.
    nominates: bool,
}

/// Lets the viewer on the left move `offset` after a check of its, and returns the time until the
/// gateway on the right sends to its new address.
fn move_viewer(role: Role, viewer: Viewer, offset: Duration, follows_media: bool) -> Duration {
    let mut two = Two::new(role.opposite(), role);
    two.connect();
    let step = Duration::from_millis(10);
    let start = two.now;
    let mut moved = None;
    let (mut next_check, mut next_report) = (start, start);
    for id in 0_u32.. {
        let since = two.now - start;
        if since >= Duration::from_secs(20) + offset && moved.is_none() {
            two.left_mapped = addr(NEW);
            moved = Some(two.now);
        }
        if two.now >= next_check {
            next_check += viewer.checks;
            let mut check = Forged::check(&two.left, &two.right);
            check.id[..4].copy_from_slice(&id.to_be_bytes());
            check.use_candidate = viewer.nominates && role == Role::Controlled;
            let bytes = check.bytes();
            two.right.handle_stun(two.now, base(RIGHT), two.left_mapped, &bytes).unwrap();
        }
        if two.now >= next_report {
            next_report += viewer.reports;
            if follows_media || two.left_mapped == addr(LEFT) {
                two.right.handle_media(two.now, base(RIGHT), two.left_mapped);
            }
        }
        two.run(step, |_| false);
        let there = two.right.selected().is_some_and(|path| path.remote == two.left_mapped);
        if let Some(moved) = moved.filter(|moved| there || two.now > *moved + step * 1000) {
            return two.now - moved;
        }
    }
    unreachable!("the loop ends with the move");
}

#[test]
fn media_follows_a_viewer_to_its_new_address_within_three_seconds() {
    let ms = Duration::from_millis;
    // Chromium checks every 2.5 s and reports every second. Firefox and aiortc check every 4 to
    // 6 s, so only their reports tell of the new address in time.
    let chromium = Viewer { checks: ms(2500), reports: ms(1000), nominates: true };
    let regular = Viewer { nominates: false, ..chromium };
    let firefox = Viewer { checks: ms(5000), ..regular };
    let cases = [
        ("Chromium, routed by its checks", chromium, false),
        ("a viewer that nominates once, routed by its checks", regular, false),
        ("Firefox, routed by its reports", firefox, true),
        ("Chromium, routed by its reports", chromium, true),
    ];
    for (name, viewer, follows_media) in cases {
        for role in [Role::Controlling, Role::Controlled] {
            let offsets = (0..10).map(|tenth| viewer.checks * tenth / 10);
            let took = offsets.map(|offset| move_viewer(role, viewer, offset, follows_media));
            let longest = took.max().unwrap();
            println!("{name}, we are {role:?}: {longest:?} at most");
            assert!(longest <= Duration::from_secs(3), "{name}, we are {role:?}: {longest:?}");
        }
    }
}

#[test]
fn a_viewer_that_checks_from_a_second_address_keeps_the_path_that_works() {
    for role in [Role::Controlling, Role::Controlled] {
        let mut two = Two::new(role.opposite(), role);
        two.connect();
        two.run(Duration::from_secs(20), |_| false);
        two.events.clear();
        for id in 0..40 {
            let mut check = Forged::check(&two.left, &two.right);
            // Less than any candidate, so that the address is not worth a change.
            (check.id, check.priority) = ([id; 12], Some(1));
            let bytes = check.bytes();
            two.right.handle_stun(two.now, base(RIGHT), addr(NEW), &bytes).unwrap();
            two.run(Duration::from_millis(250), |_| false);
        }
        assert_eq!(two.events, [], "{role:?}");
    }
}

#[test]
fn media_from_an_unknown_address_moves_nothing_until_a_check_there_is_answered() {
    for role in [Role::Controlling, Role::Controlled] {
        let mut two = Two::new(role.opposite(), role);
        two.connect();
        two.run(Duration::from_secs(20), |_| false);
        two.events.clear();
        let mut checks = 0;
        for port in 1..=200 {
            let from = SocketAddr::new(addr("198.51.100.7:1").ip(), port);
            two.right.handle_media(two.now, base(RIGHT), from);
            while let Some(transmit) = two.right.poll_transmit() {
                checks += usize::from(transmit.to == from);
            }
            assert!(!two.right.is_validated(base(RIGHT), from));
            two.run(Duration::from_millis(10), |_| false);
        }
        assert_eq!(two.events, [], "{role:?}");
        assert_eq!(two.right.selected().unwrap().remote, addr(LEFT));
        assert!(checks <= 2 * MAX_PEER_REFLEXIVE, "{checks} checks for 200 addresses");
    }
}

#[test]
fn a_path_that_falls_quiet_is_checked_at_once_and_once_only() {
    let mut two = Two::new(Role::Controlled, Role::Controlling);
    two.connect();
    two.run(Duration::from_secs(10), |_| false);
    let checks = |two: &Two| two.right.pairs().find(|pair| pair.selected).unwrap().checks;
    two.right.handle_media(two.now, base(RIGHT), addr(LEFT));
    let before = checks(&two);
    two.run(Duration::from_secs(30), |_| false);
    let sent = checks(&two) - before;
    assert!((6..=9).contains(&sent), "{sent} checks in 30 s: those of consent, and one more");
}
