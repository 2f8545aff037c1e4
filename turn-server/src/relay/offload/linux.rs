//! The fast path on Linux: the BPF program of `porthole-turn-fastpath`.

use std::net::IpAddr;
use std::time::Instant;

use porthole_turn_fastpath::{
    Fallbacks, Flow, Flows, InstallError, Interfaces, Lifetimes, Relayed,
};
use porthole_turn_proto::server::{RelayId, Traffic};

use super::{Channel, Deadlines, FastPathStatus, RelayedTraffic};

pub(crate) use porthole_turn_fastpath::FastPath;

/// Setting that stands for a list of interfaces: those with an address of the server.
const AUTO: &str = "auto";

/// Starts the fast path if the settings ask for it and the system can. Logs which.
pub(crate) fn start(interfaces: &[String], local: &[IpAddr]) -> Option<FastPath> {
    let wanted = match interfaces {
        [] => return None,
        [only] if only == AUTO => Interfaces::Auto,
        names => Interfaces::Named(names.to_vec()),
    };
    match FastPath::start(&wanted, local) {
        Ok(fast_path) => {
            let on = fast_path.interfaces().join(", ");
            tracing::info!("TURN channels are relayed in the kernel on {on}");
            Some(fast_path)
        }
        Err(error) => {
            tracing::warn!(%error, "TURN channels are relayed by sockets: no fast path");
            None
        }
    }
}

/// Reads the state of the fast path; all zeros without one.
pub(crate) fn status(fast_path: Option<&FastPath>) -> FastPathStatus {
    let counts = fast_path.map(FastPath::fallbacks).transpose().unwrap_or_else(|error| {
        tracing::warn!(%error, "the counters of the TURN fast path cannot be read");
        None
    });
    let counts: Fallbacks = counts.unwrap_or_default();
    let Fallbacks { expired, interface, checksum, ttl, mtu, room } = counts;
    let fallbacks = [
        ("expired", expired),
        ("interface", interface),
        ("checksum", checksum),
        ("ttl", ttl),
        ("mtu", mtu),
        ("room", room),
    ];
    let interfaces = fast_path.map_or(0, |fast_path| fast_path.interfaces().len() as u64);
    FastPathStatus { interfaces, fallbacks }
}

#[derive(Debug)]
pub(crate) struct Channels(Flows<(RelayId, u16)>);

impl Channels {
    pub(crate) fn new(fast_path: &FastPath) -> Self {
        Self(fast_path.flows())
    }

    pub(crate) fn install(
        &mut self,
        channel: &Channel,
        until: Deadlines,
    ) -> Result<(), InstallError> {
        let Channel { relay, number, client, server, relayed, peer } = *channel;
        let flow = Flow { client, server, relay: relayed, peer, channel: number };
        let now = Instant::now();
        let lifetimes = Lifetimes {
            to_peer: until.to_peer.saturating_duration_since(now),
            to_client: until.to_client.saturating_duration_since(now),
        };
        self.0.install((relay, number), &flow, lifetimes)
    }

    pub(crate) fn remove(&mut self, relay: RelayId, number: u16) -> Option<RelayedTraffic> {
        self.0.remove(&(relay, number)).map(|relayed| relayed_traffic(relay, relayed))
    }

    pub(crate) fn collect(&mut self) -> Vec<RelayedTraffic> {
        self.0.follow_routes();
        self.0
            .collect()
            .into_iter()
            .map(|((relay, _), relayed)| relayed_traffic(relay, relayed))
            .collect()
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

fn relayed_traffic(relay: RelayId, relayed: Relayed) -> RelayedTraffic {
    let traffic = |counted: porthole_turn_fastpath::Traffic| Traffic {
        packets: counted.packets,
        bytes: counted.bytes,
    };
    RelayedTraffic {
        relay,
        to_peer: traffic(relayed.to_peer),
        to_client: traffic(relayed.to_client),
    }
}
