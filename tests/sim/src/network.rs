//! Hosts, sites and the links between them.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;

use crate::nat::Nat;

/// What a way does to datagrams. Jitter reorders them.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// One way.
    pub delay: Duration,
    /// Added evenly, from nothing to this.
    pub jitter: Duration,
    /// From 0 to 1.
    pub loss: f64,
}

impl Link {
    /// Perfect but for its length.
    pub const fn new(delay: Duration) -> Self {
        Self { delay, jitter: Duration::ZERO, loss: 0.0 }
    }

    /// The time on it; nothing when lost.
    pub fn pass(&self, rng: &mut StdRng) -> Option<Duration> {
        let lost = rng.random_bool(self.loss);
        let jitter = self.jitter.mul_f64(rng.random());
        (!lost).then_some(self.delay + jitter)
    }
}

/// A datagram under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// As whoever gets it sees it.
    pub from: SocketAddr,
    /// Where it goes.
    pub to: SocketAddr,
    /// What it carries.
    pub bytes: Vec<u8>,
}

/// Names a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SiteId(usize);

#[derive(Debug)]
struct Site {
    nat: Option<Nat>,
    lan: Link,
    access: Link,
}

/// Where a packet is next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hop {
    /// At a NAT's public address.
    Nat(SiteId, Packet),
    /// At its goal.
    Host(Packet),
}

/// Everything between the sockets.
#[derive(Debug, Default)]
pub struct Network {
    sites: Vec<Site>,
    hosts: HashMap<IpAddr, SiteId>,
    /// A cut site gets nothing out or in.
    cut: Vec<SiteId>,
    /// Nothing passes between these two, although both reach everybody else.
    severed: Option<(SiteId, SiteId)>,
}

impl Network {
    /// A LAN with a way out, through a NAT or not.
    pub fn add_site(&mut self, nat: Option<Nat>, lan: Link, access: Link) -> SiteId {
        self.sites.push(Site { nat, lan, access });
        SiteId(self.sites.len() - 1)
    }

    /// A machine, or one more address of it.
    pub fn add_host(&mut self, site: SiteId, ip: IpAddr) {
        self.hosts.insert(ip, site);
    }

    /// Where an address is.
    pub fn site_of(&self, ip: IpAddr) -> Option<SiteId> {
        self.hosts.get(&ip).copied()
    }

    /// The address is gone.
    pub fn remove_host(&mut self, ip: IpAddr) {
        self.hosts.remove(&ip);
    }

    /// Cuts the way between a site and the rest, or restores it.
    pub fn set_cut(&mut self, site: SiteId, cut: bool) {
        self.cut.retain(|known| *known != site);
        if cut {
            self.cut.push(site);
        }
    }

    /// Severs two sites from each other, or restores everything.
    pub fn sever(&mut self, sites: Option<(SiteId, SiteId)>) {
        self.severed = sites;
    }

    /// To change what it does.
    pub fn nat_mut(&mut self, site: SiteId) -> Option<&mut Nat> {
        self.sites.get_mut(site.0)?.nat.as_mut()
    }

    /// Sends a datagram; where it is next and how long that takes.
    pub fn send(
        &mut self,
        now: Duration,
        rng: &mut StdRng,
        packet: Packet,
    ) -> Option<(Duration, Hop)> {
        let from = *self.hosts.get(&packet.from.ip())?;
        let goal = self.hosts.get(&packet.to.ip()).copied();
        let Site { nat, lan, access } = self.sites.get_mut(from.0)?;
        if goal == Some(from) {
            return Some((lan.pass(rng)?, Hop::Host(packet)));
        }
        if self.cut.contains(&from) {
            return None;
        }
        let mut packet = packet;
        if let Some(nat) = nat {
            packet.from = nat.outbound(now, rng, packet.from, packet.to)?;
            if nat.public == packet.to.ip() {
                let delay = lan.pass(rng)?;
                return nat.hairpin.then_some((delay, Hop::Nat(from, packet)));
            }
        }
        let out = access.pass(rng)?;
        let behind_nat = self
            .sites
            .iter()
            .position(|site| site.nat.as_ref().is_some_and(|nat| nat.public == packet.to.ip()));
        if let Some(site) = behind_nat.map(SiteId) {
            if self.severed.is_some_and(|two| two == (from, site) || two == (site, from)) {
                return None;
            }
            let delay = out + self.enter(site, rng)?;
            return Some((delay, Hop::Nat(site, packet)));
        }
        // A private address means nothing out here.
        let site = goal.filter(|site| self.sites.get(site.0).is_some_and(|s| s.nat.is_none()))?;
        let delay = out + self.enter(site, rng)?;
        Some((delay, Hop::Host(packet)))
    }

    /// A datagram at a NAT: who gets it, and after how long.
    pub fn through_nat(
        &mut self,
        now: Duration,
        rng: &mut StdRng,
        site: SiteId,
        packet: Packet,
    ) -> Option<(Duration, Packet)> {
        let Site { nat, lan, .. } = self.sites.get_mut(site.0)?;
        let to = nat.as_mut()?.inbound(now, packet.from, packet.to.port())?;
        Some((lan.pass(rng)?, Packet { to, ..packet }))
    }

    /// A TCP segment between a host and the server: it always arrives, lost ones later. Also as
    /// whom the server sees the host.
    pub fn segment(&self, rng: &mut StdRng, host: SocketAddr) -> Option<(Duration, SocketAddr)> {
        /// What a lost segment costs: the least retransmission time-out of common stacks.
        const RETRANSMISSION: Duration = Duration::from_millis(200);
        let site = self.hosts.get(&host.ip())?;
        let Site { nat, access, .. } = self.sites.get(site.0)?;
        if self.cut.contains(site) {
            return None;
        }
        let delay = access.pass(rng).unwrap_or(access.delay + RETRANSMISSION);
        let seen = nat.as_ref().map_or(host.ip(), |nat| nat.public);
        Some((delay, SocketAddr::new(seen, host.port())))
    }

    fn enter(&self, site: SiteId, rng: &mut StdRng) -> Option<Duration> {
        if self.cut.contains(&site) {
            return None;
        }
        self.sites.get(site.0)?.access.pass(rng)
    }
}
