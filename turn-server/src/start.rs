//! The way from a configuration to workers: opens every socket, then makes the workers.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use porthole_turn_proto::server::{PortPool, RelayAddress, ServerConfig};
use rand::Rng as _;

use crate::config::Config;
use crate::config::check::{Checked, check};
use crate::config::settings::Settings;
use crate::error::StartError;
use crate::net::addresses::{Listen, ListenerKind, RelaySide, own_addresses};
use crate::net::sockets;
use crate::net::sockets::Sockets;
use crate::quota::SharedQuota;
use crate::relay::offload;
use crate::relay::offload::{FastPath, Offload};
use crate::relay::sockets::RelaySockets;
use crate::tcp::peer_connections::PeerConnections;
use crate::tls::certificates::Certificates;
use crate::worker::{AllWorkers, Worker};

/// A server with every socket open and no thread running.
#[derive(Debug)]
pub(crate) struct Prepared {
    listens: Vec<Listen>,
    /// The addresses for UDP alone that were free.
    pub(crate) udp_addrs: Vec<SocketAddr>,
    pub(crate) certificates: Option<Arc<Certificates>>,
    pub(crate) settings: Settings,
    sockets: Vec<Sockets>,
    proto: ServerConfig,
    sides: Vec<RelaySide>,
    quota: SharedQuota,
    segmentation: bool,
    pub(crate) fast_path: Option<FastPath>,
}

/// Checks the configuration and opens every socket.
pub(crate) fn prepare(config: Config) -> Result<Prepared, StartError> {
    let Checked { certificates, discovery, mut addrs, sides } = check(&config)?;
    let udp_addrs = sockets::free_udp(&config.listen_udp, &addrs);
    addrs.extend(udp_addrs.iter().map(|addr| (*addr, ListenerKind::Udp)));
    let own = own_addresses().map_err(StartError::System)?;
    let workers = match config.workers {
        0 => {
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            u8::try_from(cores).unwrap_or(u8::MAX)
        }
        workers => workers,
    };
    let (listens, sockets) = sockets::open_all(&addrs, &own, workers.into())?;
    let relay = |wanted: fn(&IpAddr) -> bool| {
        let side = sides.iter().find(|side| wanted(&side.advertised))?;
        Some(RelayAddress { ip: side.advertised, ports: PortPool::new(config.relay_ports.clone()) })
    };
    let (relay_v4, relay_v6) = (relay(IpAddr::is_ipv4), relay(IpAddr::is_ipv6));
    let listening = listens.iter().map(|listen| listen.addr.ip());
    let local: Vec<_> = listening.chain(sides.iter().map(|side| side.bind)).collect();
    let fast_path = offload::start(&config.fast_path, &local);
    // The BPF program sees packets that the kernel has already coalesced, and cannot split them.
    let segmentation = config.segmentation && fast_path.is_none();
    let quota = SharedQuota::new(config.quota);
    let settings = Settings::new(config, listens.clone(), sides.clone(), own, quota.clone());
    let proto = ServerConfig {
        relay_v4,
        relay_v6,
        realm: settings.config.realm.clone(),
        reloadable: settings.reloadable(),
        nat_discovery: discovery,
        dont_fragment: cfg!(target_os = "linux"),
        worker: 0,
        offload: fast_path.is_some(),
        nonce_key: rand::rng().random(),
        seed: rand::rng().random(),
    };
    Ok(Prepared {
        listens,
        udp_addrs,
        certificates,
        settings,
        sockets,
        proto,
        sides,
        quota,
        segmentation,
        fast_path,
    })
}

impl Prepared {
    /// Returns the addresses of a kind of listener, with real ports in place of a configured 0.
    pub(crate) fn addrs(&self, kind: ListenerKind) -> Vec<SocketAddr> {
        let matches = |listen: &&Listen| listen.kind == kind && !listen.expanded;
        self.listens.iter().filter(matches).map(|listen| listen.addr).collect()
    }

    /// Makes the workers. The settings stay with the handle.
    pub(crate) fn into_workers(self) -> Result<(Settings, Vec<Worker>), StartError> {
        let all_workers = AllWorkers::default();
        let worker = |(worker, sockets)| {
            let seed = rand::rng().random();
            let proto = ServerConfig { worker, seed, ..self.proto.clone() };
            let relays = RelaySockets::new(self.sides.clone(), self.segmentation);
            let offload = Offload::new(self.fast_path.as_ref());
            let relays = (relays, PeerConnections::new(self.sides.clone()), offload);
            let (quota, certificates) = (self.quota.clone(), self.certificates.clone());
            let all_workers = Arc::clone(&all_workers);
            Worker::new(sockets, proto, quota, relays, all_workers, certificates, self.segmentation)
        };
        let workers = (0..u8::MAX).zip(self.sockets).map(worker);
        let workers: Vec<_> = workers.collect::<Result<_, _>>().map_err(StartError::System)?;
        let controls = workers.iter().map(Worker::control).collect();
        if all_workers.set(controls).is_err() {
            tracing::error!("the TURN workers were connected twice");
        }
        Ok((self.settings, workers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cve_2025_69217_every_start_draws_its_own_key_and_seed() {
        let start = || {
            let listen = vec![([127, 0, 0, 1], 0).into()];
            let prepared = prepare(Config { listen, ..Config::default() }).unwrap();
            [prepared.proto.nonce_key, prepared.proto.seed]
        };
        let drawn = [start(), start(), start()];
        let different = drawn.concat().into_iter().collect::<std::collections::HashSet<_>>();
        assert_eq!(different.len(), 6);
    }
}
