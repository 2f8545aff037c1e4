//! The BPF program and its maps.

use std::io;
use std::net::IpAddr;

use aya::maps::{HashMap, MapData, MapError, PerCpuArray};
use aya::programs::tc::TcAttachOptions;
use aya::programs::{LinkOrder, SchedClassifier, TcAttachType};
use aya::{Ebpf, EbpfLoader, include_bytes_aligned};
use nix::time::{ClockId, clock_gettime};

use crate::layout::{Counters, Forward, Key, LEFT_REASONS, Value, from_client, from_peer};
use crate::netlink::{Netlink, Route};
use crate::{Fallbacks, Flow, InstallError, Interfaces, MAX_FLOWS, Relayed, Traffic, Unavailable};

/// The program, compiled from `bpf/relay.bpf.c`; a test compares both.
static OBJECT: &[u8] = include_bytes_aligned!("../bpf/relay.bpf.o");

/// The attached program, its maps, and the netlink sockets.
pub(crate) struct Kernel {
    /// The program and its links; dropping them detaches it.
    _program: Ebpf,
    flows: HashMap<MapData, Key, Value>,
    traffic: PerCpuArray<MapData, Counters>,
    left: PerCpuArray<MapData, u64>,
    netlink: Netlink,
    attached: Vec<(String, u32)>,
    free_slots: Vec<u32>,
    /// Number of route changes noticed.
    routes_version: u64,
}

impl std::fmt::Debug for Kernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kernel").field("attached", &self.attached).finish_non_exhaustive()
    }
}

/// The deadlines of both directions of a flow, by [`clock_ns`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadlines {
    pub(crate) to_peer_ns: u64,
    pub(crate) to_client_ns: u64,
}

/// The routes of both directions of a flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Routes {
    to_client: Route,
    to_peer: Route,
}

impl Kernel {
    /// Loads the program and attaches it.
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
            // After programs of others, for instance a firewall.
            let order = TcAttachOptions::TcxOrder(LinkOrder::last());
            program
                .attach_with_options(name, TcAttachType::Ingress, order)
                .map_err(|error| unavailable(&error))?;
        }
        let mut map = |name: &str| {
            ebpf.take_map(name).ok_or_else(|| Unavailable::Kernel(format!("no map {name}")))
        };
        let invalid = |error: MapError| Unavailable::Kernel(error.to_string());
        let flows = HashMap::try_from(map("flows")?).map_err(invalid)?;
        let traffic = PerCpuArray::try_from(map("traffic")?).map_err(invalid)?;
        let left = PerCpuArray::try_from(map("left")?).map_err(invalid)?;
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

    pub(crate) fn fallbacks(&self) -> io::Result<Fallbacks> {
        let count = |reason: u32| -> io::Result<u64> {
            let values = self.left.get(&reason, 0).map_err(io::Error::other)?;
            Ok(values.iter().sum())
        };
        Ok(Fallbacks {
            expired: count(0)?,
            interface: count(1)?,
            checksum: count(2)?,
            ttl: count(3)?,
            mtu: count(4)?,
            room: count(5)?,
        })
    }

    /// Looks up the routes of a flow, which must use interfaces with the program attached.
    pub(crate) fn routes(&self, flow: &Flow) -> Result<Routes, InstallError> {
        let Flow { client, server, relay, peer, .. } = flow;
        if [server, relay, peer].iter().any(|addr| addr.is_ipv4() != client.is_ipv4()) {
            return Err(InstallError::Families);
        }
        let route = |from: IpAddr, to: IpAddr| {
            let route = self.netlink.route(from, to).map_err(InstallError::System)?;
            let route = route.ok_or(InstallError::NotRouted(to))?;
            let attached = self.attached.iter().any(|(_, index)| *index == route.interface);
            if attached { Ok(route) } else { Err(InstallError::Interface(to)) }
        };
        Ok(Routes {
            to_client: route(server.ip(), client.ip())?,
            to_peer: route(relay.ip(), peer.ip())?,
        })
    }

    /// Returns a number that increases whenever routes may have changed.
    pub(crate) fn routes_version(&mut self) -> u64 {
        self.routes_version += u64::from(self.netlink.changed());
        self.routes_version
    }

    pub(crate) fn allocate_slot(&mut self) -> Result<u32, InstallError> {
        self.free_slots.pop().ok_or(InstallError::Full)
    }

    pub(crate) fn free_slot(&mut self, slot: u32) {
        self.free_slots.push(slot);
    }

    /// Writes both directions of a flow, or neither.
    pub(crate) fn write(
        &mut self,
        flow: &Flow,
        routes: &Routes,
        slot: u32,
        deadlines: Deadlines,
    ) -> Result<(), InstallError> {
        let Routes { to_client, to_peer } = routes;
        let up = Forward {
            expires_ns: deadlines.to_peer_ns,
            from: flow.relay,
            to: flow.peer,
            channel: 0,
            back: to_client,
            out: to_peer,
            slot,
        };
        let down = Forward {
            expires_ns: deadlines.to_client_ns,
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
            InstallError::System(io::Error::other(error))
        })
    }

    pub(crate) fn erase(&mut self, flow: &Flow) {
        for key in [from_client(flow), from_peer(flow)] {
            // Fails only if the entry does not exist.
            let _ = self.flows.remove(&key);
        }
    }

    /// Reads the traffic of a slot since the program was started.
    pub(crate) fn relayed(&self, slot: u32) -> Relayed {
        let Ok(values) = self.traffic.get(&slot, 0) else { return Relayed::default() };
        let sum = |field: usize| values.iter().filter_map(|counters| counters.get(field)).sum();
        Relayed {
            to_peer: Traffic { packets: sum(0), bytes: sum(1) },
            to_client: Traffic { packets: sum(2), bytes: sum(3) },
        }
    }
}

/// Reads the clock that the program uses, in nanoseconds.
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
        Interfaces::Auto => interfaces_with(local)?,
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

/// Returns the interfaces with one of these addresses, or all if one address is unspecified.
fn interfaces_with(local: &[IpAddr]) -> io::Result<Vec<String>> {
    let all = local.iter().any(IpAddr::is_unspecified);
    let mut found = if_addrs::get_if_addrs()?;
    found.retain(|interface| all || local.contains(&interface.ip()));
    let mut names: Vec<_> = found.into_iter().map(|interface| interface.name).collect();
    names.sort();
    names.dedup();
    Ok(names)
}

/// Formats the whole chain of causes, because the outermost error only names the step.
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
