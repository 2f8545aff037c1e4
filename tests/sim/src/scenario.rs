//! Scenarios: two peers, the networks around them, and the path they must reach.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use porthole_gateway_core::ice::{Event, Path, Role};
use porthole_test_support::nat::{Behaviour, NatKind};
use porthole_turn_proto::Transport;

use crate::nat::Nat;
use crate::network::{Link, SiteId};
use crate::peer::{Peer, Trickle};
use crate::world::World;

/// The network access of one side.
#[derive(Clone, Copy, Debug)]
pub struct Side {
    /// Mapping and filtering behaviour of its NAT; `None` without a NAT.
    pub nat: Option<(Behaviour, Behaviour)>,
    /// True if UDP is let out.
    pub udp: bool,
}

impl From<NatKind> for Side {
    fn from(kind: NatKind) -> Self {
        Self { nat: kind.behaviour(), udp: kind != NatKind::UdpBlocked }
    }
}

/// Two peers to be connected, and everything between them.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// The offerer and the answerer.
    pub sides: [Side; 2],
    /// True if both peers are behind the NAT of the first side.
    pub same_site: bool,
    /// Initial ICE roles of offerer and answerer.
    pub roles: [Role; 2],
    /// The access link of each site.
    pub access: Link,
    /// The LAN of each site.
    pub lan: Link,
    /// The signaling link.
    pub signaling: Link,
    /// The order of credentials and candidates in signaling.
    pub trickle: Trickle,
    /// The Ta that both peers indicate, if they indicate one.
    pub pacing: Option<Duration>,
    /// True if the peers use the TURN server.
    pub relays: bool,
    /// Seed of all randomness.
    pub seed: u64,
}

impl Scenario {
    /// Creates a scenario with access links of 20 ms, signaling of 30 ms, no loss, and the offerer
    /// controlling.
    pub fn new(a: impl Into<Side>, b: impl Into<Side>) -> Self {
        Self {
            sides: [a.into(), b.into()],
            same_site: false,
            roles: [Role::Controlling, Role::Controlled],
            access: Link::new(Duration::from_millis(20)),
            lan: Link::new(Duration::from_millis(1)),
            signaling: Link::new(Duration::from_millis(30)),
            trickle: Trickle::CredentialsFirst,
            pacing: None,
            relays: true,
            seed: 1,
        }
    }

    /// Creates a scenario with both peers in one LAN behind one NAT, and signaling as fast as the
    /// LAN.
    pub fn lan(nat: impl Into<Side>) -> Self {
        let nat = nat.into();
        Self {
            same_site: true,
            signaling: Link::new(Duration::from_millis(1)),
            ..Self::new(nat, nat)
        }
    }

    /// Builds the world in which the first offer is about to be sent.
    pub fn build(&self) -> World {
        let mut world = World::new(self.seed, self.signaling);
        let first = self.add_site(&mut world, 0);
        let second = if self.same_site { first } else { self.add_site(&mut world, 1) };
        for (index, site) in [first, second].into_iter().enumerate() {
            let address = self.address(index);
            let seed = self.seed.wrapping_mul(2).wrapping_add(u64::from(index != 0));
            let mut peer = Peer::new(
                world.instant(),
                &[address],
                self.roles[index],
                self.trickle,
                self.transports(),
                seed,
            );
            peer.agent.set_remote_pacing(self.pacing);
            world.add_peer(peer, site, &[address]);
        }
        let now = world.instant();
        world.peers[0].offer(now);
        world
    }

    /// Returns the transports of each peer's TURN clients.
    pub const fn transports(&self) -> &'static [Transport] {
        if self.relays { &[Transport::Udp, Transport::Tcp] } else { &[] }
    }

    /// Returns the address of a peer's host.
    pub fn address(&self, index: usize) -> IpAddr {
        let octet = u8::try_from(index).expect("two sides");
        let site = if self.same_site { 0 } else { octet };
        let ip = match self.sides[usize::from(site)].nat {
            Some(_) => Ipv4Addr::new(10, 0, site, 2 + octet),
            None => Ipv4Addr::new(203, 0, 113, 100 + octet),
        };
        ip.into()
    }

    fn add_site(&self, world: &mut World, index: u8) -> SiteId {
        let side = self.sides[usize::from(index)];
        let public = Ipv4Addr::new(203, 0, 113, 1 + index).into();
        let nat = side.nat.map(|(mapping, filtering)| {
            let mut nat = Nat::new(public, mapping, filtering);
            nat.udp = side.udp;
            nat
        });
        world.network.add_site(nat, self.lan, self.access)
    }
}

/// The kind of path that media takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathKind {
    /// From host to host.
    Direct,
    /// Through the TURN server.
    Relayed,
}

impl PathKind {
    /// Returns the kind of a selected path.
    pub const fn of(path: &Path) -> Self {
        if path.is_relayed() { Self::Relayed } else { Self::Direct }
    }

    /// Returns the best kind of path that is possible between two kinds of NAT.
    pub const fn best(a: NatKind, b: NatKind) -> Self {
        use NatKind::{PortRestricted, Symmetric, UdpBlocked};
        match (a, b) {
            (UdpBlocked, _)
            | (_, UdpBlocked)
            | (Symmetric, Symmetric | PortRestricted)
            | (PortRestricted, Symmetric) => Self::Relayed,
            _ => Self::Direct,
        }
    }
}

/// Returns true if both peers have a path.
pub fn both_connected(world: &World) -> bool {
    world.peers.iter().all(|peer| peer.agent.selected().is_some())
}

/// Returns true if both peers have selected the same path and it is of this kind.
pub fn agree_on(world: &World, path_kind: PathKind) -> bool {
    let [Some(a), Some(b)] = [0, 1].map(|index| world.peers[index].agent.selected()) else {
        return false;
    };
    let same = a.local_address == b.remote && b.local_address == a.remote;
    same && PathKind::of(&a) == path_kind && PathKind::of(&b) == path_kind
}

/// Returns the longest time without media at a peer in the given span.
pub fn longest_gap(peer: &Peer, from: Duration, to: Duration) -> Duration {
    let inside = peer.media.iter().copied().filter(|at| (from..=to).contains(at));
    let (longest, last) =
        inside.fold((Duration::ZERO, from), |(longest, last), at| (longest.max(at - last), at));
    longest.max(to - last)
}

/// Returns the time of the first event of a peer that matches.
pub fn first_event(peer: &Peer, matches: impl Fn(&Event) -> bool) -> Option<Duration> {
    peer.events.iter().find(|(_, event)| matches(event)).map(|(at, _)| *at)
}
