//! Reservations by EVEN-PORT and RESERVATION-TOKEN.

use super::super::reservation::{MAX_PER_USER, MAX_RESERVATIONS};
use super::world::{REALM, SERVER, World, addr, tuple};
use super::*;
use crate::REQUESTED_UDP;
use crate::stun::{MessageWriter, TransactionId, attribute, long_term_key};

/// Allocates from this client. Returns the relayed address and a token, or the error code.
#[expect(clippy::unwrap_in_result, reason = "malformed responses fail the test")]
fn allocate(
    world: &mut World,
    user: &str,
    from: &str,
    fill: impl Fn(&mut MessageWriter<'_>),
) -> Result<(SocketAddr, Option<Vec<u8>>), u16> {
    let tuple = FiveTuple { transport: Transport::Udp, client: addr(from), server: addr(SERVER) };
    let mut nonce = String::new();
    for round in 0..2_u8 {
        let mut out = Vec::new();
        let id = TransactionId([round; 12]);
        let mut writer = MessageWriter::new(&mut out, Class::Request, Method::Allocate, id);
        writer.u32(attribute::REQUESTED_TRANSPORT, REQUESTED_UDP);
        fill(&mut writer);
        writer.attribute(attribute::USERNAME, user.as_bytes());
        writer.attribute(attribute::REALM, REALM.as_bytes());
        writer.attribute(attribute::NONCE, nonce.as_bytes());
        writer.integrity(&long_term_key(user, REALM, &format!("{user}'s"))).finish().unwrap();
        let sent = world.send_to_server(&tuple, &out);
        let message = Message::parse(&sent[0]).unwrap();
        let text = |kind| message.text(kind).unwrap().map(str::to_owned);
        if let Some(fresh) = text(attribute::NONCE) {
            nonce = fresh;
            continue;
        }
        if let Some(code) = message.error_code() {
            return Err(code.value());
        }
        let relayed = message.xor_address(attribute::XOR_RELAYED_ADDRESS).unwrap().unwrap();
        let token = message.first(attribute::RESERVATION_TOKEN).map(|a| a.value.to_vec());
        return Ok((relayed, token));
    }
    panic!("nonces are stale at once");
}

fn even(reserve: bool) -> impl Fn(&mut MessageWriter<'_>) {
    move |writer| {
        writer.attribute(attribute::EVEN_PORT, &[if reserve { 0x80 } else { 0 }]);
    }
}

fn token(token: &[u8]) -> impl Fn(&mut MessageWriter<'_>) {
    move |writer| {
        writer.attribute(attribute::RESERVATION_TOKEN, token);
    }
}

#[test]
fn even_ports_are_even_and_reserve_nothing() {
    let mut world = World::new();
    for n in 1..=3 {
        let got = allocate(&mut world, "anna", &format!("198.51.100.{n}:1"), even(false));
        let (relayed, token) = got.unwrap();
        assert_eq!((relayed.port() % 2, token), (0, None));
        assert_eq!(world.ports_taken(), n, "the odd port is not kept");
    }
}

#[test]
fn the_next_port_is_reserved_for_its_token() {
    let mut world = World::new();
    let (first, reserved) = allocate(&mut world, "anna", "198.51.100.1:1", even(true)).unwrap();
    let reserved = reserved.unwrap();
    assert_eq!((first.port() % 2, world.ports_taken()), (0, 2));

    let stolen = allocate(&mut world, "bert", "198.51.100.2:1", token(&reserved));
    assert_eq!(stolen, Err(508), "a token is valid for its user only");
    let (second, none) = allocate(&mut world, "anna", "198.51.100.3:1", token(&reserved)).unwrap();
    assert_eq!((second.port(), none), (first.port() + 1, None));
    let again = allocate(&mut world, "anna", "198.51.100.4:1", token(&reserved));
    assert_eq!(again, Err(508), "a token is valid once");
    assert_eq!((world.ports_taken(), world.quota_in_use()), (2, 2));
    world.advance(Duration::from_secs(31));
    assert_eq!(world.ports_taken(), 2, "a claimed port outlives the reservation");
}

#[test]
fn an_unclaimed_port_is_released() {
    let mut world = World::new();
    let (_, reserved) = allocate(&mut world, "anna", "198.51.100.1:1", even(true)).unwrap();
    world.advance(Duration::from_secs(29));
    assert_eq!(world.ports_taken(), 2);
    world.advance(Duration::from_secs(1));
    assert_eq!(world.ports_taken(), 1);
    let late = allocate(&mut world, "anna", "198.51.100.2:1", token(&reserved.unwrap()));
    assert_eq!(late, Err(508));
    assert_eq!((world.ports_taken(), world.quota_in_use()), (1, 1));
}

#[test]
fn a_pair_that_cannot_be_opened_is_replaced_by_another() {
    let mut world = World::new();
    world.failing_opens = 2;
    let (first, reserved) = allocate(&mut world, "anna", "198.51.100.1:1", even(true)).unwrap();
    let (second, _) =
        allocate(&mut world, "anna", "198.51.100.2:1", token(&reserved.unwrap())).unwrap();
    assert_eq!(second.port(), first.port() + 1);
    assert_eq!(
        (world.ports_taken(), world.server.reservations.waiting()),
        (2, 0),
        "no port of the failed pairs is reserved"
    );
}

#[test]
fn r8_a_user_reserves_only_so_many_ports() {
    let mut world = World::with_room_for(6 * MAX_PER_USER);
    let mut asks =
        |user: &str, n: usize| allocate(&mut world, user, &format!("198.51.100.{n}:1"), even(true));
    let reserved = (1..=MAX_PER_USER).map(|n| asks("anna", n).unwrap().1.unwrap());
    let reserved = reserved.collect::<Vec<_>>();
    assert_eq!(asks("anna", 20), Err(508), "as many are reserved as may");
    assert!(asks("bert", 21).is_ok(), "other users are not affected");
    allocate(&mut world, "anna", "198.51.100.22:1", token(&reserved[3])).unwrap();
    let again = allocate(&mut world, "anna", "198.51.100.23:1", even(true));
    assert!(again.is_ok(), "one was claimed");
}

/// A claimed reservation does not count.
#[test]
fn r8_claimed_ports_leave_room_for_other_reservations() {
    let mut world = World::with_room_for(2 * MAX_RESERVATIONS + 8);
    for n in 0..=MAX_RESERVATIONS {
        let from = |second: u8| format!("198.51.{second}.{}:{}", n % 256, 1 + n / 256);
        let (_, reserved) = allocate(&mut world, "anna", &from(100), even(true)).unwrap();
        let reserved = reserved.unwrap();
        allocate(&mut world, "anna", &from(101), token(&reserved)).unwrap();
    }
    assert!(allocate(&mut world, "bert", "198.51.100.9:9", even(true)).is_ok());
    assert_eq!(world.server.reservations.waiting(), 1);
}

/// The token is not valid for a later reservation of the same port.
#[test]
fn a_token_is_for_one_reservation() {
    // One pair of ports.
    let mut world = World::with_room_for(2);
    let claim = |world: &mut World, n: usize, reserved: &[u8]| {
        allocate(world, "anna", &format!("198.51.100.{n}:1"), token(reserved))
    };
    let (first, old) = allocate(&mut world, "anna", "198.51.100.1:1", even(true)).unwrap();
    let old = old.unwrap();
    claim(&mut world, 2, &old).unwrap();
    for n in [1, 2] {
        let from = tuple(Transport::Udp, &format!("198.51.100.{n}:1"));
        let released = world.request(&from, "anna", Method::Refresh, |writer| {
            writer.u32(attribute::LIFETIME, 0);
        });
        assert_eq!(released.code(), 0);
    }
    assert_eq!(world.ports_taken(), 0);
    world.advance(Duration::from_secs(20));
    let (second, new) = allocate(&mut world, "anna", "198.51.100.3:1", even(true)).unwrap();
    assert_eq!(first, second, "the same ports again");
    assert_eq!(claim(&mut world, 4, &old), Err(508), "the old token");
    assert!(claim(&mut world, 5, &new.unwrap()).is_ok());
}

/// The claim may happen in another worker, so that the reservation's own keeps its entry for half
/// a minute.
#[test]
fn the_end_of_a_reservation_is_not_that_of_the_next_one_at_its_port() {
    let pool = PortPool::new(50_000..=50_000);
    let reserved = || pool.take(&mut rand::rng()).unwrap().reserve();
    let old = reserved();
    drop(pool.claim(50_000, old.id()).unwrap());
    let new = reserved();
    drop(old);
    assert!(new.is_waiting());
    drop(new);
    assert_eq!(pool.taken(), 0);
}

/// A reserved port has no socket of ours, but another program may have one.
#[test]
fn r2_a_reserved_port_is_not_a_peer() {
    let mut world = World::new();
    let (first, reserved) = allocate(&mut world, "anna", "198.51.100.1:1", even(true)).unwrap();
    let above = SocketAddr::new(first.ip(), first.port() + 1);
    let from = FiveTuple {
        transport: Transport::Udp,
        client: addr("198.51.100.9:1"),
        server: addr(SERVER),
    };
    world.request(&from, "anna", Method::Allocate, |writer| {
        writer.u32(attribute::REQUESTED_TRANSPORT, REQUESTED_UDP);
    });
    let mut number = 0x4000_0000;
    let mut binds = |world: &mut World, to: SocketAddr| {
        number += 0x0001_0000;
        let bound = world.request(&from, "anna", Method::ChannelBind, |writer| {
            writer
                .u32(attribute::CHANNEL_NUMBER, number)
                .xor_address(attribute::XOR_PEER_ADDRESS, to);
        });
        bound.code()
    };
    assert_eq!((binds(&mut world, first), binds(&mut world, above)), (0, 403), "reserved");
    allocate(&mut world, "anna", "198.51.100.2:1", token(&reserved.unwrap())).unwrap();
    assert_eq!(binds(&mut world, above), 0, "claimed");
}
