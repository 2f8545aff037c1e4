//! The program and its maps.

use std::io;
use std::net::IpAddr;

use aya::maps::{HashMap, MapData, MapError, PerCpuArray};
use aya::programs::tc::TcAttachOptions;
use aya::programs::{LinkOrder, SchedClassifier, TcAttachType};
use aya::{Ebpf, EbpfLoader, include_bytes_aligned};
use nix::time::{ClockId, clock_gettime};

use crate::layout::{Counters, Forward, Key, LEFT_REASONS, Value, from_client, from_peer};
use crate::netlink::{Netlink, Route};
use crate::{Flow, Interfaces, Left, MAX_FLOWS, Refused, Relayed, Traffic, Unavailable};

/// Compiled from `bpf/relay.bpf.c`; a test compares.
static OBJECT: &[u8] = include_bytes_aligned!("../bpf/relay.bpf.o");

pub(crate) struct Kernel {
    /// Holds the program and its links: when they go, it is detached.
    _program: Ebpf,
    flows: HashMap<MapData, Key, Value>,
    traffic: PerCpuArray<MapData, Counters>,
    left: PerCpuArray<MapData, u64>,
    netlink: Netlink,
    attached: Vec<(String, u32)>,
    free_slots: Vec<u32>,
    /// Counts the changes of routes that were seen.
    routes_version: u64,
}

impl std::fmt::Debug for Kernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kernel").field("attached", &self.attached).finish_non_exhaustive()
    }
}

/// When the directions of a flow end, by [`clock_ns`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends {
    pub(crate) to_peer_ns: u64,
    pub(crate) to_client_ns: u64,
}

/// Both ways of one flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Routes {
    to_client: Route,
    to_peer: Route,
}

impl Kernel {
    pub(crate) fn start(interfaces: &Interfaces, local: &[IpAddr]) -> Result<Self, Unavailable> {
        let netlink = Netlink::open()?;
        let links = find_links(&netlink, interfaces, local)?;
        let mut ebpf = EbpfLoader::new()
            .map_max_entries("flows", 2 * MAX_FLOWS)
            .map_max_entries("traffic", MAX_FLOWS)
            .map_max_entries("left", LEFT_REASONS)
            .load(OBJECT)
            .map_err(|error| unavailable(&error))?;
        let program: Option<&mut SchedClassifier> =
            ebpf.program_mut("relay").and_then(|program| program.try_into().ok());
        let program = program.ok_or_else(|| Unavailable::Kernel("no program".to_owned()))?;
        program.load().map_err(|error| unavailable(&error))?;
        for (name, _) in &links {
            // After whatever others put there, a firewall for instance.
            let order = TcAttachOptions::TcxOrder(LinkOrder::last());
            program
                .attach_with_options(name, TcAttachType::Ingress, order)
                .map_err(|error| unavailable(&error))?;
        }
        let mut map = |name: &str| {
            ebpf.take_map(name).ok_or_else(|| Unavailable::Kernel(format!("no map {name}")))
        };
        let bad = |error: MapError| Unavailable::Kernel(error.to_string());
        let flows = HashMap::try_from(map("flows")?).map_err(bad)?;
        let traffic = PerCpuArray::try_from(map("traffic")?).map_err(bad)?;
        let left = PerCpuArray::try_from(map("left")?).map_err(bad)?;
        Ok(Self {
            _program: ebpf,
            flows,
            traffic,
            left,
            netlink,
            attached: links,
            free_slots: (0..MAX_FLOWS).rev().collect(),
            routes_version: 0,
        })
    }

    pub(crate) fn interfaces(&self) -> Vec<String> {
        self.attached.iter().map(|(name, _)| name.clone()).collect()
    }

    pub(crate) fn left(&self) -> io::Result<Left> {
        let count = |reason: u32| -> io::Result<u64> {
            let values = self.left.get(&reason, 0).map_err(io::Error::other)?;
            Ok(values.iter().sum())
        };
        Ok(Left {
            expired: count(0)?,
            interface: count(1)?,
            checksum: count(2)?,
            ttl: count(3)?,
            mtu: count(4)?,
            room: count(5)?,
        })
    }

    /// Where the flow's packets come from and go to.
    pub(crate) fn routes(&self, flow: &Flow) -> Result<Routes, Refused> {
        let Flow { client, server, relay, peer, .. } = flow;
        if [server, relay, peer].iter().any(|addr| addr.is_ipv4() != client.is_ipv4()) {
            return Err(Refused::Families);
        }
        let route = |from: IpAddr, to: IpAddr| {
            let route = self.netlink.route(from, to).map_err(Refused::System)?;
            let route = route.ok_or(Refused::NotRouted(to))?;
            let attached = self.attached.iter().any(|(_, index)| *index == route.interface);
            if attached { Ok(route) } else { Err(Refused::Interface(to)) }
        };
        Ok(Routes {
            to_client: route(server.ip(), client.ip())?,
            to_peer: route(relay.ip(), peer.ip())?,
        })
    }

    /// Goes up whenever routes may have become others.
    pub(crate) fn routes_version(&mut self) -> u64 {
        self.routes_version += u64::from(self.netlink.changed());
        self.routes_version
    }

    pub(crate) fn take_slot(&mut self) -> Result<u32, Refused> {
        self.free_slots.pop().ok_or(Refused::Full)
    }

    pub(crate) fn give_slot(&mut self, slot: u32) {
        self.free_slots.push(slot);
    }

    /// Puts both directions there, or neither.
    pub(crate) fn write(
        &mut self,
        flow: &Flow,
        routes: &Routes,
        slot: u32,
        ends: Ends,
    ) -> Result<(), Refused> {
        let Routes { to_client, to_peer } = routes;
        let up = Forward {
            expires_ns: ends.to_peer_ns,
            from: flow.relay,
            to: flow.peer,
            channel: 0,
            back: to_client,
            out: to_peer,
            slot,
        };
        let down = Forward {
            expires_ns: ends.to_client_ns,
            from: flow.server,
            to: flow.client,
            channel: flow.channel,
            back: to_peer,
            out: to_client,
            slot,
        };
        let up = self.flows.insert(from_client(flow), up.to_bytes(), 0);
        let down = up.and_then(|()| self.flows.insert(from_peer(flow), down.to_bytes(), 0));
        down.map_err(|error| {
            self.erase(flow);
            Refused::System(io::Error::other(error))
        })
    }

    pub(crate) fn erase(&mut self, flow: &Flow) {
        for key in [from_client(flow), from_peer(flow)] {
            // It fails only if there is none.
            let _ = self.flows.remove(&key);
        }
    }

    /// What went through this slot since the program was started.
    pub(crate) fn relayed(&self, slot: u32) -> Relayed {
        let Ok(values) = self.traffic.get(&slot, 0) else { return Relayed::default() };
        let sum = |field: usize| values.iter().filter_map(|counters| counters.get(field)).sum();
        Relayed {
            to_peer: Traffic { packets: sum(0), bytes: sum(1) },
            to_client: Traffic { packets: sum(2), bytes: sum(3) },
        }
    }
}

/// By the clock that the program reads.
pub(crate) fn clock_ns() -> io::Result<u64> {
    let since_boot = std::time::Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC)?);
    Ok(u64::try_from(since_boot.as_nanos()).unwrap_or(u64::MAX))
}

fn find_links(
    netlink: &Netlink,
    interfaces: &Interfaces,
    local: &[IpAddr],
) -> Result<Vec<(String, u32)>, Unavailable> {
    let mut links = Vec::new();
    let names = match interfaces {
        Interfaces::Named(names) => names.clone(),
        Interfaces::Auto => holders(local)?,
    };
    for name in names {
        let link =
            netlink.link(&name).map_err(|error| Unavailable::Unknown(name.clone(), error))?;
        match interfaces {
            Interfaces::Auto if !link.ethernet => continue,
            Interfaces::Named(_) if !link.ethernet => return Err(Unavailable::NotEthernet(name)),
            Interfaces::Auto | Interfaces::Named(_) => links.push((name, link.index)),
        }
    }
    links.sort();
    links.dedup();
    if links.is_empty() { Err(Unavailable::NoInterface) } else { Ok(links) }
}

/// The interfaces with one of these addresses; with any address if one of them is unspecified.
fn holders(local: &[IpAddr]) -> io::Result<Vec<String>> {
    let all = local.iter().any(IpAddr::is_unspecified);
    let mut found = if_addrs::get_if_addrs()?;
    found.retain(|interface| all || local.contains(&interface.ip()));
    let mut names: Vec<_> = found.into_iter().map(|interface| interface.name).collect();
    names.sort();
    names.dedup();
    Ok(names)
}

/// With the whole chain of causes: the first only names the step.
fn unavailable(error: &(dyn std::error::Error + 'static)) -> Unavailable {
    let chain = std::iter::successors(Some(error), |error| error.source());
    let mut text = String::new();
    for cause in chain {
        let system = cause.downcast_ref::<io::Error>();
        if system.is_some_and(|system| system.kind() == io::ErrorKind::PermissionDenied) {
            return Unavailable::NotPermitted;
        }
        let separator = if text.is_empty() { "" } else { ": " };
        text = format!("{text}{separator}{cause}");
    }
    Unavailable::Kernel(text)
}
