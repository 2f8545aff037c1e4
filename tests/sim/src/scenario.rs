//! Two peers, each in its surroundings, and what they must reach.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use porthole_gateway_core::ice::{Event, Path, Role};
use porthole_test_support::nat::{Behaviour, NatKind};
use porthole_turn_proto::Transport;

use crate::nat::Nat;
use crate::network::{Link, SiteId};
use crate::peer::{Peer, Trickle};
use crate::world::World;

/// How one side is connected.
#[derive(Clone, Copy, Debug)]
pub struct Side {
    /// Mapping and filtering of its NAT; nothing where there is none.
    pub nat: Option<(Behaviour, Behaviour)>,
    /// Whether UDP gets out.
    pub udp: bool,
}

impl From<NatKind> for Side {
    fn from(kind: NatKind) -> Self {
        Self { nat: kind.behaviour(), udp: kind != NatKind::UdpBlocked }
    }
}

/// Two peers to be connected.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// The offerer and the answerer.
    pub sides: [Side; 2],
    /// Both behind the NAT of the first.
    pub same_site: bool,
    /// Their first roles.
    pub roles: [Role; 2],
    /// Of the way between each site and the rest.
    pub access: Link,
    /// Between machines of a site.
    pub lan: Link,
    /// Of the signaling link.
    pub signaling: Link,
    /// The order of signaling.
    pub trickle: Trickle,
    /// Whether they have relays at all.
    pub relays: bool,
    /// All chance.
    pub seed: u64,
}

impl Scenario {
    /// 20 ms to the middle of the Internet, 30 ms through signaling, no loss, the offerer
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
            relays: true,
            seed: 1,
        }
    }

    /// Both in one LAN behind one NAT, signaling included.
    pub fn lan(nat: impl Into<Side>) -> Self {
        let nat = nat.into();
        Self {
            same_site: true,
            signaling: Link::new(Duration::from_millis(1)),
            ..Self::new(nat, nat)
        }
    }

    /// The world at its beginning; the offer is about to leave.
    pub fn build(&self) -> World {
        let mut world = World::new(self.seed, self.signaling);
        let first = self.add_site(&mut world, 0);
        let second = if self.same_site { first } else { self.add_site(&mut world, 1) };
        for (index, site) in [first, second].into_iter().enumerate() {
            let address = self.address(index);
            let seed = self.seed.wrapping_mul(2).wrapping_add(u64::from(index != 0));
            let peer = Peer::new(
                world.instant(),
                &[address],
                self.roles[index],
                self.trickle,
                self.transports(),
                seed,
            );
            world.add_peer(peer, site, &[address]);
        }
        let now = world.instant();
        world.peers[0].offer(now);
        world
    }

    /// How relays are reached.
    pub const fn transports(&self) -> &'static [Transport] {
        if self.relays { &[Transport::Udp, Transport::Tcp] } else { &[] }
    }

    /// Where a peer is.
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

/// The way that media takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From machine to machine.
    Direct,
    /// Through the TURN server.
    Relayed,
}

impl Way {
    /// Of a selected path.
    pub const fn of(path: &Path) -> Self {
        if path.is_relayed() { Self::Relayed } else { Self::Direct }
    }

    /// The best that RFC 4787 allows between such NATs.
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

/// Both have a path.
pub fn both_connected(world: &World) -> bool {
    world.peers.iter().all(|peer| peer.agent.selected().is_some())
}

/// Both have the same path, each seen from its end, and it is of this kind.
pub fn agree_on(world: &World, way: Way) -> bool {
    let [Some(a), Some(b)] = [0, 1].map(|index| world.peers[index].agent.selected()) else {
        return false;
    };
    let same = a.local_address == b.remote && b.local_address == a.remote;
    same && Way::of(&a) == way && Way::of(&b) == way
}

/// The longest time without media at a peer in a span; the span itself when nothing came.
pub fn longest_gap(peer: &Peer, from: Duration, to: Duration) -> Duration {
    let inside = peer.media.iter().copied().filter(|at| (from..=to).contains(at));
    let (longest, last) =
        inside.fold((Duration::ZERO, from), |(longest, last), at| (longest.max(at - last), at));
    longest.max(to - last)
}

/// When the peer first told something like this.
pub fn first_event(peer: &Peer, is_it: impl Fn(&Event) -> bool) -> Option<Duration> {
    peer.events.iter().find(|(_, event)| is_it(event)).map(|(at, _)| *at)
}
