//! Tests of who gets a place, and who loses one.

use super::*;

const LIMITS: PlaceLimits = PlaceLimits { total: 8, strangers: 6, per_network: 3, per_owner: 4 };

fn address(text: &str) -> Option<IpAddr> {
    Some(text.parse().unwrap())
}

fn is_lost(place: &Place) -> bool {
    place.0.lost.is_cancelled()
}

/// The places of connections, by the index in which they were taken; `None` if it was refused.
fn take(places: &Arc<Places>, from: &[&str]) -> Vec<Option<Place>> {
    from.iter().map(|from| places.take(address(from))).collect()
}

fn lost(held: &[Option<Place>]) -> Vec<usize> {
    let held = held.iter().enumerate();
    held.filter(|(_, place)| place.as_ref().is_some_and(is_lost)).map(|(index, _)| index).collect()
}

/// Counts everything again.
fn assert_consistent(places: &Places) {
    let state = places.lock();
    let mut again = State { last: state.last, ..State::default() };
    for (id, taken) in &state.taken {
        again.index(*id, &taken.holder);
    }
    assert_eq!(state.strangers, again.strangers);
    assert_eq!(state.networks, again.networks);
    assert_eq!(state.owners, again.owners);
    assert!(state.taken.len() <= places.limits.total);
    assert!(state.strangers.len() <= places.limits.strangers);
    assert!(state.owners.values().all(|count| *count <= places.limits.per_owner));
}

#[test]
fn s4_strangers_make_room_the_oldest_first() {
    const ONE: &str = "192.0.2.1";
    type Case = (&'static str, &'static [&'static str], &'static [usize]);
    let table: [Case; 6] = [
        ("room for all", &[ONE, ONE, ONE, "192.0.2.2"], &[]),
        ("one address", &[ONE, ONE, ONE, ONE, ONE], &[0, 1]),
        ("mapped", &[ONE, ONE, ONE, "::ffff:192.0.2.1"], &[0]),
        ("one /64", &["2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8::4"], &[0]),
        (
            "many addresses",
            &["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.5", "192.0.2.6", ONE],
            &[0],
        ),
        ("several /64", &["2001:db8:0:1::", "2001:db8:0:2::", "2001:db8:0:3::"], &[]),
    ];
    for (what, from, expected) in table {
        let places = Places::new(LIMITS);
        let held = take(&places, from);
        assert_eq!(lost(&held), expected, "{what}");
        assert_consistent(&places);
        drop(held);
        assert!(places.lock().taken.is_empty());
        assert_consistent(&places);
    }
}

#[test]
fn s4_one_site_of_ipv6_cannot_take_every_place() {
    let places = Places::new(PlaceLimits { strangers: 100, total: 100, ..LIMITS });
    let addresses: Vec<_> = (0..50).map(|number| format!("2001:db8:7:{number:x}::1")).collect();
    let held: Vec<_> = addresses.iter().map(|from| places.take(address(from))).collect();
    assert_eq!(lost(&held).len(), 50 - 3 * 4);
    assert_consistent(&places);
}

#[test]
fn s4_the_places_of_owners_are_not_for_strangers() {
    let places = Places::new(LIMITS);
    let owned = take(&places, &["192.0.2.1"; 3]);
    for place in owned.iter().flatten() {
        place.note_owner("token:1").unwrap();
        place.note_owner("token:1").unwrap();
    }
    let strangers: Vec<_> =
        (0..100_u8).map(|host| places.take(address(&format!("203.0.113.{host}")))).collect();
    assert!(lost(&owned).is_empty());
    assert_eq!(strangers.iter().flatten().filter(|place| !is_lost(place)).count(), 5);
    assert_consistent(&places);
    let newest = strangers.last().unwrap().as_ref().unwrap();
    newest.note_owner("token:1").unwrap();
    let another = places.take(address("203.0.113.200")).unwrap();
    assert_eq!(another.note_owner("token:1"), Err(Full), "four each");
    another.note_owner("token:2").unwrap();
    drop(owned);
    another.note_owner("token:1").unwrap();
    assert_consistent(&places);
}

#[test]
fn s4_nobody_is_admitted_when_only_owners_are_left() {
    let places = Places::new(LIMITS);
    let held = take(&places, &["192.0.2.1"; 8]);
    assert_eq!(lost(&held), [0, 1, 2, 3, 4]);
    let mut owned = Vec::new();
    for number in 0..8 {
        let place = places.take(address("192.0.2.1")).unwrap();
        place.note_owner(&format!("token:{}", number % 3)).unwrap();
        owned.push(place);
    }
    assert!(places.take(address("192.0.2.9")).is_none());
    assert!(places.take(None).is_none());
    owned.pop();
    assert!(places.take(None).is_some());
}

#[test]
fn s4_a_connection_of_a_proxy_counts_for_each_client_in_turn() {
    let places = Places::new(LIMITS);
    let proxied: Vec<_> = (0..6).map(|_| places.take(None).unwrap()).collect();
    assert!(!proxied.iter().any(is_lost), "the proxy itself has no bound but that of strangers");
    for place in &proxied[..4] {
        place.note_client(address("192.0.2.1"));
        assert_consistent(&places);
    }
    assert!(is_lost(&proxied[0]) && !is_lost(&proxied[1]));
    proxied[1].note_owner("token:1").unwrap();
    proxied[4].note_client(address("192.0.2.1"));
    assert_eq!(proxied.iter().filter(|place| is_lost(place)).count(), 1);
    proxied[1].note_client(address("192.0.2.2"));
    assert!(places.lock().owners.is_empty(), "the next request is somebody else's");
    proxied[0].note_client(address("192.0.2.2"));
    proxied[0].note_owner("token:1").unwrap();
    assert!(places.lock().owners.is_empty(), "a lost place stays lost");
    assert_consistent(&places);
}
