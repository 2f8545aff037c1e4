//! Tests of the mapper in virtual time, against a router that may be odd in many ways.

mod hostile;
mod router;

use super::*;
use router::{Router, Speaks};

const LOCAL: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 2);
const PORT: u16 = 40_000;
const CONFIG: PortMapperConfig = PortMapperConfig {
    protocols: Protocols::All,
    port: PORT,
    lifetime: LIFETIME,
    is_fixed: true,
    secret: [7; 32],
    seed: 1,
};
const NETWORK: Network = Network { router: router::ADDRESS, local: LOCAL };

/// A mapper and its router, and their clock.
struct House {
    mapper: PortMapper,
    router: Router,
    now: Instant,
    start: Instant,
    states: Vec<State>,
    /// Answers to datagrams that are on their way, if the router is slow.
    late: Option<Vec<Vec<u8>>>,
}

impl House {
    fn new(protocols: Protocols, router: Router) -> Self {
        Self::with(PortMapperConfig { protocols, ..CONFIG }, router)
    }

    fn with(config: PortMapperConfig, router: Router) -> Self {
        let (mapper, now) = (PortMapper::new(config), Instant::now());
        let mut house = Self { mapper, router, now, start: now, states: Vec::new(), late: None };
        house.mapper.set_network(now, Some(NETWORK));
        house.settle();
        house
    }

    /// Passes messages between the two until there are none.
    fn settle(&mut self) {
        let seconds = self.router_seconds();
        for _ in 0..200 {
            let Some(output) = self.mapper.poll_output() else { return };
            match output {
                MapperOutput::Datagram { to, bytes } => {
                    for (from, answer) in self.router.handle_datagram(seconds, to, &bytes) {
                        if let Some(late) = &mut self.late {
                            late.push(answer);
                            continue;
                        }
                        self.mapper.handle_datagram(self.now, from.into(), &answer);
                    }
                }
                MapperOutput::Send(request) => {
                    assert_eq!(request.to.ip(), NETWORK.router, "nobody else is contacted");
                    let answer = self.router.handle_request(seconds, &request.bytes);
                    let Some(reply) = answer else { continue };
                    self.mapper.handle_reply(self.now, request.id, reply.as_ref());
                }
                MapperOutput::Cancel(_) => {}
                MapperOutput::State(state) => self.states.push(state),
            }
        }
        panic!("the mapper does not come to rest");
    }

    fn router_seconds(&self) -> u64 {
        (self.now - self.start).as_secs()
    }

    /// Lets time pass.
    fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        for _ in 0..10_000 {
            let due = self.mapper.poll_timeout().filter(|due| *due <= end);
            let Some(due) = due else {
                self.now = end;
                return;
            };
            self.now = due.max(self.now);
            self.mapper.handle_timeout(self.now);
            self.settle();
        }
        panic!("the mapper wakes too often");
    }

    fn mapping(&self) -> Option<Mapping> {
        match self.mapper.state() {
            State::Mapped(mapping) => Some(mapping),
            State::Unknown | State::NotNeeded | State::Unmapped(_) => None,
        }
    }

    fn close(&mut self) {
        self.mapper.close(self.now);
        self.settle();
        self.pass(CLOSE_TIME);
        assert!(self.mapper.is_closed());
    }
}

const ALL: Speaks = Speaks { pcp: true, nat_pmp: true, upnp: true };
const NONE: Speaks = Speaks { pcp: false, nat_pmp: false, upnp: false };
const PCP: Speaks = Speaks { pcp: true, ..NONE };
const NAT_PMP: Speaks = Speaks { nat_pmp: true, ..NONE };
const UPNP: Speaks = Speaks { upnp: true, ..NONE };

#[test]
fn a_port_is_mapped_by_what_the_router_speaks_kept_for_a_day_and_given_back() {
    use Protocol::{NatPmp, Pcp, Upnp};
    let table = [
        ("everything", ALL, Protocols::All, Some(Pcp)),
        ("PCP", PCP, Protocols::All, Some(Pcp)),
        ("NAT-PMP", NAT_PMP, Protocols::All, Some(NatPmp)),
        ("UPnP", UPNP, Protocols::All, Some(Upnp)),
        ("everything, NAT-PMP wanted", ALL, Protocols::Only(NatPmp), Some(NatPmp)),
        ("everything, UPnP wanted", ALL, Protocols::Only(Upnp), Some(Upnp)),
        ("PCP, UPnP wanted", PCP, Protocols::Only(Upnp), None),
        ("UPnP, PCP wanted", UPNP, Protocols::Only(Pcp), None),
        ("nothing", NONE, Protocols::All, None),
    ];
    for (name, speaks, protocols, expected) in table {
        let mut house = House::new(protocols, Router::new(speaks));
        house.pass(Duration::from_secs(5));
        assert_eq!(house.mapping().map(|mapping| mapping.protocol), expected, "{name}");
        let Some(mapping) = house.mapping() else {
            assert!(matches!(house.mapper.state(), State::Unmapped(_)), "{name}");
            assert!(house.router.mappings.is_empty(), "{name}");
            continue;
        };
        assert_eq!(mapping.internal, SocketAddrV4::new(LOCAL, PORT), "{name}");
        assert_eq!(*mapping.external.ip(), router::EXTERNAL, "{name}");
        assert_eq!(house.router.mappings.len(), 1, "{name}");
        for _ in 0..24 * 12 {
            house.pass(RENEW_MAX);
            house.router.expire(house.router_seconds());
            assert_eq!(house.router.mappings.get(&mapping.external.port()), Some(&PORT), "{name}");
        }
        assert_eq!(house.states, [State::Mapped(mapping)], "{name}: nothing has changed");
        let asked = house.router.asked;
        assert!(asked < 24 * 12 * 5, "{name}: {asked} messages in a day");
        house.close();
        assert!(house.router.mappings.is_empty(), "{name}: it is given back");
    }
}

#[test]
fn an_odd_router_gives_a_mapping_that_works_or_none() {
    use Protocol::{NatPmp, Pcp, Upnp};
    type Odd = (&'static str, fn(&mut Router), Option<(Protocol, u16)>);
    let table: &[Odd] = &[
        ("PCP is refused, NAT-PMP is not", |r| r.pcp_result = 2, Some((NatPmp, PORT))),
        (
            "PCP and NAT-PMP are refused",
            |r| (r.pcp_result, r.nat_pmp_result) = (2, 2),
            Some((Upnp, PORT)),
        ),
        ("PCP alone knows no other version", |r| r.speaks = PCP, Some((Pcp, PORT))),
        (
            "NAT-PMP alone says that it knows no PCP",
            |r| (r.speaks, r.tells_version) = (NAT_PMP, true),
            Some((NatPmp, PORT)),
        ),
        ("another port is given by PCP", |r| r.taken.push(PORT), Some((Pcp, PORT + 1))),
        (
            "another port is given by NAT-PMP",
            |r| {
                r.speaks = NAT_PMP;
                r.taken.push(PORT);
            },
            Some((NatPmp, PORT + 1)),
        ),
        (
            "another port is given by UPnP of version 2",
            |r| {
                (r.speaks, r.igd) = (UPNP, 2);
                r.taken.push(PORT);
            },
            Some((Upnp, PORT + 1)),
        ),
        (
            "only permanent mappings",
            |r| (r.speaks, r.fault_of_leases) = (UPNP, 725),
            Some((Upnp, PORT)),
        ),
        (
            "leases are invalid arguments",
            |r| (r.speaks, r.fault_of_leases) = (UPNP, 402),
            Some((Upnp, PORT)),
        ),
        ("UPnP fails", |r| (r.speaks, r.fault) = (UPNP, 606), None),
        ("a lifetime of nothing", |r| (r.speaks, r.lifetime) = (PCP, 0), None),
        ("a lifetime of ten seconds", |r| (r.speaks, r.lifetime) = (NAT_PMP, 10), None),
        ("an endless lifetime", |r| r.lifetime = u32::MAX, Some((Pcp, PORT))),
        ("no external address", |r| (r.speaks, r.external) = (ALL, Ipv4Addr::UNSPECIFIED), None),
        ("its external address is ours", |r| r.external = LOCAL, None),
        ("its external address is loopback", |r| r.external = Ipv4Addr::LOCALHOST, None),
        ("the nonce of another", |r| (r.speaks, r.breaks_nonce) = (PCP, true), None),
        ("every answer comes thrice", |r| r.repeats = 3, Some((Pcp, PORT))),
        // All of PCP are among them.
        ("two of three messages are lost", |r| r.loses = 2, Some((NatPmp, PORT))),
        ("one of three messages is lost", |r| r.loses = 1, Some((Pcp, PORT))),
        ("ten seconds by PCP", |r| (r.speaks, r.lifetime) = (PCP, 10), None),
        ("noise", |r| r.noise = true, None),
        ("a place elsewhere", |r| (r.speaks, r.elsewhere) = (UPNP, true), None),
        ("no answer over HTTP", |r| (r.speaks, r.is_mute) = (UPNP, true), None),
        ("HTTP fails", |r| (r.speaks, r.hangs_up) = (UPNP, true), None),
        ("a mapping without an answer", |r| (r.speaks, r.maps_mutely) = (UPNP, true), None),
        (
            "a mapping without an answer by UPnP of version 2",
            |r| (r.speaks, r.maps_mutely, r.igd) = (UPNP, true, 2),
            None,
        ),
        (
            "no renewal of a permanent mapping",
            |r| (r.speaks, r.maps_once, r.fault_of_leases) = (UPNP, true, 725),
            Some((Upnp, PORT)),
        ),
    ];
    for (name, make_odd, expected) in table {
        let mut router = Router::new(ALL);
        make_odd(&mut router);
        let mut house = House::new(Protocols::All, router);
        house.pass(Duration::from_secs(40));
        let found = house.mapping().map(|it| (it.protocol, it.external.port()));
        assert_eq!(found, *expected, "{name}");
        // However odd: it asks seldom, and leaves nothing behind that it knows of.
        house.pass(Duration::from_secs(3600));
        let asked = house.router.asked;
        assert!(asked < 300, "{name}: {asked} messages in an hour");
        assert!(house.router.mappings.len() <= 1, "{name}: they pile up");
        if house.mapping().is_none() {
            assert!(house.router.mappings.is_empty(), "{name}: {:?}", house.router.mappings);
        }
        house.close();
        assert!(house.router.mappings.is_empty(), "{name}");
    }
}

#[test]
fn a_port_that_is_taken_at_a_router_of_upnp_1_is_exchanged_for_another() {
    let mut router = Router::new(UPNP);
    router.taken.push(PORT);
    let mut house = House::new(Protocols::All, router);
    house.pass(Duration::from_secs(5));
    let port = house.mapping().expect("another port").external.port();
    assert!(port != PORT && port >= 1024, "{port}");
    assert_eq!(house.router.mappings.get(&port), Some(&PORT));
}

#[test]
fn a_router_that_lost_its_mappings_is_asked_again() {
    for (name, speaks, announces, limit) in [
        ("PCP that announces it", PCP, true, RENEW_MIN),
        ("NAT-PMP that announces it", NAT_PMP, true, RENEW_MIN),
        ("PCP that is silent", PCP, false, RENEW_MAX),
        ("NAT-PMP that is silent", NAT_PMP, false, RENEW_MAX),
        ("UPnP", UPNP, false, RENEW_MAX),
    ] {
        let mut house = House::new(Protocols::All, Router::new(speaks));
        house.pass(Duration::from_secs(1000));
        assert_eq!(house.router.mappings.len(), 1, "{name}");
        house.router.restart(house.router_seconds());
        house.pass(Duration::from_secs(20));
        if announces {
            let announcement = house.router.announcement(house.router_seconds());
            let from = SocketAddr::from((router::ADDRESS, ROUTER_PORT));
            // A flood of them is no reason to hurry.
            for _ in 0..100 {
                house.mapper.handle_datagram(house.now, from, &announcement);
                house.settle();
            }
        }
        let asked = house.router.asked;
        house.pass(limit);
        assert_eq!(house.router.mappings.len(), 1, "{name}");
        assert!(house.router.asked - asked < 10, "{name}");
    }
}

#[test]
fn a_changed_external_address_is_noticed() {
    let other = Ipv4Addr::new(198, 51, 100, 99);
    for (name, speaks) in [("PCP", PCP), ("NAT-PMP", NAT_PMP), ("UPnP", UPNP)] {
        let mut house = House::new(Protocols::All, Router::new(speaks));
        house.pass(Duration::from_secs(10));
        house.router.external = other;
        house.pass(RENEW_MAX);
        assert_eq!(house.mapping().map(|mapping| *mapping.external.ip()), Some(other), "{name}");
    }
}

#[test]
fn a_router_that_is_gone_is_noticed_and_found_again_when_it_is_back() {
    for (name, speaks) in [("PCP", PCP), ("NAT-PMP", NAT_PMP), ("UPnP", UPNP)] {
        let mut house = House::new(Protocols::All, Router::new(speaks));
        house.pass(Duration::from_secs(10));
        house.router.speaks = NONE;
        house.pass(LIFETIME + Duration::from_secs(10));
        assert_eq!(house.mapping(), None, "{name}");
        house.router.speaks = speaks;
        house.pass(SEARCH_AGAIN_MAX + Duration::from_secs(5));
        assert!(house.mapping().is_some(), "{name}");
    }
}

#[test]
fn a_router_that_announces_itself_is_asked_soon_and_a_flood_of_announcements_changes_nothing() {
    for (name, speaks) in [("PCP", PCP), ("NAT-PMP", NAT_PMP)] {
        let mut house = House::new(Protocols::All, Router::new(NONE));
        house.pass(Duration::from_secs(3));
        let from = SocketAddr::from((router::ADDRESS, ROUTER_PORT));
        let announcement = Router::new(speaks).announcement(0);
        for starts in [false, true] {
            let asked = house.router.asked;
            house.router.speaks = if starts { speaks } else { NONE };
            for _ in 0..100 {
                house.mapper.handle_datagram(house.now, from, &announcement);
                house.settle();
            }
            house.pass(SEARCH_AGAIN);
            assert!(house.router.asked - asked < 40, "{name}");
            assert_eq!(house.mapping().is_some(), starts, "{name}");
        }
    }
}

#[test]
fn another_network_is_asked_at_once_and_a_public_address_needs_nothing() {
    let mut house = House::new(Protocols::All, Router::new(PCP));
    house.pass(Duration::from_secs(10));
    assert!(house.mapping().is_some());
    house.mapper.set_network(house.now, None);
    assert_eq!(house.mapper.state(), State::Unknown);
    assert_eq!(house.mapper.poll_timeout(), None);
    let local = Ipv4Addr::new(192, 168, 1, 77);
    house.mapper.set_network(house.now, Some(Network { local, ..NETWORK }));
    house.settle();
    assert_eq!(house.mapping().map(|mapping| *mapping.internal.ip()), Some(local));
    assert_eq!(house.router.mappings.len(), 1);
    let public = Network { local: Ipv4Addr::new(203, 0, 113, 5), ..NETWORK };
    house.mapper.set_network(house.now, Some(public));
    house.settle();
    assert!(house.router.mappings.is_empty(), "it is given back");
    let asked = house.router.asked;
    house.pass(Duration::from_secs(3600));
    assert_eq!((house.mapper.state(), house.router.asked), (State::NotNeeded, asked));
}

#[test]
fn only_the_router_is_believed() {
    let mut house = House::new(Protocols::All, Router::new(NONE));
    let mut router = Router::new(ALL);
    let (mut lies, mut now) = (0, house.now);
    for _ in 0..20 {
        now += FIRST_LOOK;
        house.now = now;
        house.mapper.handle_timeout(now);
        while let Some(output) = house.mapper.poll_output() {
            let MapperOutput::Datagram { to, bytes } = output else { continue };
            for (from, answer) in router.handle_datagram(0, to, &bytes) {
                let other = SocketAddr::from((Ipv4Addr::new(192, 168, 1, 66), from.port()));
                house.mapper.handle_datagram(now, other, &answer);
                lies += 1;
            }
        }
    }
    assert!(lies > 3, "{lies}");
    assert!(matches!(house.mapper.state(), State::Unmapped(_)), "{:?}", house.mapper.state());
}

/// Time between two looks at the clock.
const FIRST_LOOK: Duration = Duration::from_millis(250);

#[test]
fn the_end_does_not_wait_for_a_router_that_is_silent() {
    for (name, speaks) in [("PCP", PCP), ("NAT-PMP", NAT_PMP), ("UPnP", UPNP)] {
        let mut house = House::new(Protocols::All, Router::new(speaks));
        house.pass(Duration::from_secs(10));
        house.router.speaks = NONE;
        house.mapper.close(house.now);
        house.settle();
        assert!(!house.mapper.is_closed(), "{name}");
        house.pass(CLOSE_TIME);
        assert!(house.mapper.is_closed(), "{name}");
        assert_eq!(house.mapper.poll_timeout(), None, "{name}");
    }
    let mut house = House::new(Protocols::All, Router::new(NONE));
    house.mapper.close(house.now);
    assert!(house.mapper.is_closed(), "while it is being searched");
}
