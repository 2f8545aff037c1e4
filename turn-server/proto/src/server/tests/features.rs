//! Conservation as in `conservation`, with the extensions of TURN: two families, TCP relaying,
//! mobility, and the fast path.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;

use proptest::prelude::*;

use super::world::{World, addr, credentials, tuple};
use super::*;
use crate::stun::attribute;
use crate::{REQUESTED_TCP, REQUESTED_UDP};

const PEERS: [&str; 4] = ["192.0.2.9:1", "192.0.2.9:2", "[2001:db8:9::9]:1", "10.0.0.1:1"];

#[derive(Clone, Debug)]
enum Step {
    Allocate { from: usize, tcp: bool, both: bool, mobile: bool },
    Refresh { from: usize, lifetime_s: u32, family: Option<bool>, ticket: Option<usize> },
    Peer { from: usize, method: Method, peer: usize },
    Connected { connection: usize, succeeds: bool },
    Accept { from: usize, peer: usize },
    Bind { from: usize, connection: usize },
    Closed { connection: usize },
    Gone { from: usize },
    Wait(u16),
    FailOpens(usize),
    Reconfigure { limited: bool, allowing: bool },
}

fn any_step() -> impl Strategy<Value = Step> {
    let method = prop_oneof![
        Just(Method::CreatePermission),
        Just(Method::ChannelBind),
        Just(Method::Connect),
    ];
    let lifetime = prop_oneof![Just(0_u32), Just(600), Just(3600)];
    prop_oneof![
        4 => (0_usize..4, any::<[bool; 3]>()).prop_map(|(from, [tcp, both, mobile])| {
            Step::Allocate { from, tcp, both, mobile }
        }),
        3 => (0_usize..4, lifetime, any::<Option<bool>>(), proptest::option::of(0_usize..9))
            .prop_map(|(from, lifetime_s, family, ticket)| {
                Step::Refresh { from, lifetime_s, family, ticket }
            }),
        6 => (0_usize..4, method, 0..PEERS.len())
            .prop_map(|(from, method, peer)| Step::Peer { from, method, peer }),
        2 => (0_usize..9, any::<bool>())
            .prop_map(|(connection, succeeds)| Step::Connected { connection, succeeds }),
        2 => (0_usize..4, 0..PEERS.len()).prop_map(|(from, peer)| Step::Accept { from, peer }),
        3 => (0_usize..4, 0_usize..9)
            .prop_map(|(from, connection)| Step::Bind { from, connection }),
        1 => (0_usize..9).prop_map(|connection| Step::Closed { connection }),
        1 => (0_usize..4).prop_map(|from| Step::Gone { from }),
        2 => (1_u16..700).prop_map(Step::Wait),
        1 => (0_usize..10).prop_map(Step::FailOpens),
        1 => any::<[bool; 2]>()
            .prop_map(|[limited, allowing]| Step::Reconfigure { limited, allowing }),
    ]
}

/// The state that a driver would have.
#[derive(Default)]
struct Driver {
    connections: BTreeSet<ConnectionId>,
    offloaded: BTreeMap<(RelayId, u16), Instant>,
    tickets: Vec<Vec<u8>>,
}

impl Driver {
    fn connection(&self, index: usize) -> Option<ConnectionId> {
        self.connections.iter().copied().nth(index % self.connections.len().max(1))
    }

    /// Applies the outputs of the server.
    fn apply(&mut self, world: &mut World) {
        self.connections.extend(std::mem::take(&mut world.connecting).into_keys());
        for connection in world.closed.drain(..) {
            assert!(self.connections.remove(&connection), "{connection:?} was not open");
        }
        for output in world.offloads.drain(..) {
            if let Output::InstallChannel(OffloadedChannel {
                relay, number, to_peer_until, ..
            }) = output
            {
                self.offloaded.insert((relay, number), to_peer_until);
            } else if let Output::RemoveChannel { relay, number, .. } = output {
                self.offloaded.remove(&(relay, number));
            }
        }
        let now = world.now.instant;
        self.offloaded.retain(|_, expires_at| now < *expires_at);
    }
}

/// Returns a client; every other one uses TCP.
fn client(from: usize) -> FiveTuple {
    let transport = if from.is_multiple_of(2) { Transport::Udp } else { Transport::Tcp };
    tuple(transport, &format!("198.51.100.7:{}", 4000 + from))
}

fn apply(world: &mut World, driver: &mut Driver, step: &Step) {
    let now = world.now;
    match *step {
        Step::Allocate { from, tcp, both, mobile } => {
            let response = world.request(&client(from), "anna", Method::Allocate, |writer| {
                let protocol = if tcp { REQUESTED_TCP } else { REQUESTED_UDP };
                writer.u32(attribute::REQUESTED_TRANSPORT, protocol);
                if both {
                    writer.u32(attribute::ADDITIONAL_ADDRESS_FAMILY, 0x0200_0000);
                }
                if mobile {
                    writer.attribute(attribute::MOBILITY_TICKET, &[]);
                }
            });
            let ticket =
                response.message().first(attribute::MOBILITY_TICKET).map(|a| a.value.to_vec());
            driver.tickets.extend(ticket);
        }
        Step::Refresh { from, lifetime_s, family, ticket } => {
            let count = driver.tickets.len().max(1);
            let ticket = ticket.and_then(|index| driver.tickets.get(index % count).cloned());
            world.request(&client(from), "anna", Method::Refresh, |writer| {
                writer.u32(attribute::LIFETIME, lifetime_s);
                if let Some(v6) = family {
                    let family = if v6 { 0x0200_0000 } else { 0x0100_0000 };
                    writer.u32(attribute::REQUESTED_ADDRESS_FAMILY, family);
                }
                if let Some(ticket) = &ticket {
                    writer.attribute(attribute::MOBILITY_TICKET, ticket);
                }
            });
        }
        Step::Peer { from, method, peer } => {
            world.try_request(&client(from), "anna", method, |writer| {
                let number = 0x4000 + u32::try_from(peer).unwrap();
                writer
                    .u32(attribute::CHANNEL_NUMBER, number << 16)
                    .xor_address(attribute::XOR_PEER_ADDRESS, addr(PEERS[peer]));
            });
        }
        Step::Connected { connection, succeeds } => {
            let Some(id) = driver.connection(connection) else { return };
            if succeeds {
                world.server.handle_peer_connected(now, id);
            } else {
                world.server.handle_peer_connect_failed(now, id);
                driver.connections.remove(&id);
            }
        }
        Step::Accept { from, peer } => {
            let Some(allocation) = world.server.table.id_of(&client(from)) else { return };
            let peer = addr(PEERS[peer]);
            let relay = RelayId { allocation, family: Family::of(&peer.ip()) };
            driver.connections.extend(world.server.handle_peer_accepted(now, relay, peer));
        }
        Step::Bind { from, connection } => {
            let Some(id) = driver.connection(connection) else { return };
            world.request(&client(from), "anna", Method::ConnectionBind, |writer| {
                writer.u32(attribute::CONNECTION_ID, id.value());
            });
        }
        Step::Closed { connection } => {
            let Some(id) = driver.connection(connection) else { return };
            world.server.handle_connection_closed(now, id);
            driver.connections.remove(&id);
        }
        Step::Gone { from } => world.server.handle_client_disconnected(now, &client(from)),
        Step::Wait(seconds) => world.advance(Duration::from_secs(u64::from(seconds))),
        Step::FailOpens(count) => world.failing_opens = count,
        Step::Reconfigure { limited, allowing } => {
            let blocks = ["192.0.2.0/24", "2001:db8:9::/48"].iter().filter(|_| allowing);
            let allow = blocks.map(|block| block.parse().unwrap()).collect();
            let policy = PolicyConfig { allow, ..PolicyConfig::default() };
            let per_user = NonZeroU64::new(u64::from(limited));
            let bandwidth = BandwidthLimits { per_user, ..BandwidthLimits::default() };
            world
                .server
                .set_reloadable(now, ReloadableConfig { policy, bandwidth, ..credentials() });
        }
    }
    world.drain();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn relays_connections_and_the_fast_path_are_conserved(
        steps in proptest::collection::vec(any_step(), 0..80),
    ) {
        let (mut world, mut driver) = (World::new(), Driver::default());
        for step in &steps {
            apply(&mut world, &mut driver, step);
            driver.apply(&mut world);
            let living = world.server.allocations();
            let ids = world.server.table.ids();
            let relays = ids.iter().filter_map(|id| world.server.table.get(*id));
            let relays: usize = relays.map(|a| a.relays.iter().count()).sum();
            prop_assert_eq!(ids.len(), living);
            prop_assert_eq!((world.open_count(), world.ports_taken()), (relays, relays));
            prop_assert_eq!(world.quota_in_use(), living);
            prop_assert!(relays >= living);
            prop_assert_eq!(world.server.connections.len(), driver.connections.len());
            prop_assert!(world.server.connections.allocations().all(|id| ids.contains(&id)));
            prop_assert_eq!(world.server.poll_timeout().is_some(), living > 0);
            for (relay, _) in driver.offloaded.keys() {
                prop_assert!(world.open.contains_key(relay), "{relay:?} is closed");
            }
        }
        world.advance(MAX_LIFETIME);
        driver.apply(&mut world);
        prop_assert_eq!((world.server.allocations(), world.open_count()), (0, 0));
        prop_assert_eq!((world.ports_taken(), world.quota_in_use()), (0, 0));
        prop_assert_eq!((driver.connections.len(), driver.offloaded.len()), (0, 0));
        prop_assert_eq!(world.server.connections.len(), 0);
        let made = usize::try_from(world.server.counters().allocations_made).unwrap();
        prop_assert_eq!(world.ended.len(), made, "each end is reported");
    }
}
