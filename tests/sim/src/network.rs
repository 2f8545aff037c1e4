//! Simulated hosts, sites and the links between them.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;

use crate::nat::Nat;

/// The properties of a link. Jitter reorders datagrams.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// Minimum one-way delay.
    pub delay: Duration,
    /// Maximum additional delay; uniformly distributed from zero.
    pub jitter: Duration,
    /// Probability that a datagram is lost, from 0 to 1.
    pub loss: f64,
}

impl Link {
    /// Creates a link with this delay and neither jitter nor loss.
    pub const fn new(delay: Duration) -> Self {
        Self { delay, jitter: Duration::ZERO, loss: 0.0 }
    }

    /// Returns the delay of one datagram, or `None` if it is lost.
    pub fn transit(&self, rng: &mut StdRng) -> Option<Duration> {
        let lost = rng.random_bool(self.loss);
        let jitter = self.jitter.mul_f64(rng.random());
        (!lost).then_some(self.delay + jitter)
    }
}

/// A datagram in flight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// The source address; NATs translate it.
    pub from: SocketAddr,
    /// The destination address.
    pub to: SocketAddr,
    /// The payload of the datagram.
    pub bytes: Vec<u8>,
}

/// Identifier of a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SiteId(usize);

#[derive(Debug)]
struct Site {
    nat: Option<Nat>,
    lan: Link,
    access: Link,
}

/// The next stop of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hop {
    /// The public address of this site's NAT.
    Nat(SiteId, Packet),
    /// The destination host.
    Host(Packet),
}

/// The network between the sockets.
#[derive(Debug, Default)]
pub struct Network {
    sites: Vec<Site>,
    hosts: HashMap<IpAddr, SiteId>,
    /// Sites without a connection to the others.
    cut: Vec<SiteId>,
    /// Two sites that cannot reach each other, although both reach all others.
    severed: Option<(SiteId, SiteId)>,
}

impl Network {
    /// Adds a site: a LAN with an access link, behind a NAT or not.
    pub fn add_site(&mut self, nat: Option<Nat>, lan: Link, access: Link) -> SiteId {
        self.sites.push(Site { nat, lan, access });
        SiteId(self.sites.len() - 1)
    }

    /// Adds an address of a host.
    pub fn add_host(&mut self, site: SiteId, ip: IpAddr) {
        self.hosts.insert(ip, site);
    }

    /// Returns the site of an address.
    pub fn site_of(&self, ip: IpAddr) -> Option<SiteId> {
        self.hosts.get(&ip).copied()
    }

    /// Removes an address of a host.
    pub fn remove_host(&mut self, ip: IpAddr) {
        self.hosts.remove(&ip);
    }

    /// Cuts the access link of a site, or restores it.
    pub fn set_cut(&mut self, site: SiteId, cut: bool) {
        self.cut.retain(|known| *known != site);
        if cut {
            self.cut.push(site);
        }
    }

    /// Cuts the connection between two sites; `None` restores it.
    pub fn sever(&mut self, sites: Option<(SiteId, SiteId)>) {
        self.severed = sites;
    }

    /// Returns the NAT of a site, to change its behaviour.
    pub fn nat_mut(&mut self, site: SiteId) -> Option<&mut Nat> {
        self.sites.get_mut(site.0)?.nat.as_mut()
    }

    /// Sends a datagram; returns its next stop and the delay until then, or `None` if it is lost.
    pub fn send(
        &mut self,
        now: Duration,
        rng: &mut StdRng,
        packet: Packet,
    ) -> Option<(Duration, Hop)> {
        let from = *self.hosts.get(&packet.from.ip())?;
        let destination = self.hosts.get(&packet.to.ip()).copied();
        let Site { nat, lan, access } = self.sites.get_mut(from.0)?;
        if destination == Some(from) {
            return Some((lan.transit(rng)?, Hop::Host(packet)));
        }
        if self.cut.contains(&from) {
            return None;
        }
        let mut packet = packet;
        if let Some(nat) = nat {
            packet.from = nat.outbound(now, rng, packet.from, packet.to)?;
            if nat.public == packet.to.ip() {
                let delay = lan.transit(rng)?;
                return nat.hairpin.then_some((delay, Hop::Nat(from, packet)));
            }
        }
        let out = access.transit(rng)?;
        let behind_nat = self
            .sites
            .iter()
            .position(|site| site.nat.as_ref().is_some_and(|nat| nat.public == packet.to.ip()));
        if let Some(site) = behind_nat.map(SiteId) {
            if self.severed.is_some_and(|pair| pair == (from, site) || pair == (site, from)) {
                return None;
            }
            let delay = out + self.transit_into(site, rng)?;
            return Some((delay, Hop::Nat(site, packet)));
        }
        // Private addresses are not routed outside of their site.
        let site =
            destination.filter(|site| self.sites.get(site.0).is_some_and(|s| s.nat.is_none()))?;
        let delay = out + self.transit_into(site, rng)?;
        Some((delay, Hop::Host(packet)))
    }

    /// Passes a datagram through a NAT; returns it with its new destination and the delay, or
    /// `None` if it is filtered or lost.
    pub fn through_nat(
        &mut self,
        now: Duration,
        rng: &mut StdRng,
        site: SiteId,
        packet: Packet,
    ) -> Option<(Duration, Packet)> {
        let Site { nat, lan, .. } = self.sites.get_mut(site.0)?;
        let to = nat.as_mut()?.inbound(now, packet.from, packet.to.port())?;
        Some((lan.transit(rng)?, Packet { to, ..packet }))
    }

    /// Returns the delay of a TCP segment between a host and the server, and the address at which
    /// the server sees the host. Segments always arrive, lost ones later; `None` if the site is cut
    /// off.
    pub fn segment(&self, rng: &mut StdRng, host: SocketAddr) -> Option<(Duration, SocketAddr)> {
        /// Delay of a lost segment: the minimum retransmission timeout of common stacks.
        const RETRANSMISSION: Duration = Duration::from_millis(200);
        let site = self.hosts.get(&host.ip())?;
        let Site { nat, access, .. } = self.sites.get(site.0)?;
        if self.cut.contains(site) {
            return None;
        }
        let delay = access.transit(rng).unwrap_or(access.delay + RETRANSMISSION);
        let mapped = nat.as_ref().map_or(host.ip(), |nat| nat.public);
        Some((delay, SocketAddr::new(mapped, host.port())))
    }

    fn transit_into(&self, site: SiteId, rng: &mut StdRng) -> Option<Duration> {
        if self.cut.contains(&site) {
            return None;
        }
        self.sites.get(site.0)?.access.transit(rng)
    }
}
