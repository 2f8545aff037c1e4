//! Linux: the program of `porthole-turn-fastpath`.

use std::net::IpAddr;
use std::time::Instant;

use porthole_turn_fastpath::{Flow, Flows, Interfaces, Left, Lifetimes, Refused, Relayed};
use porthole_turn_proto::server::{RelayId, Traffic};

pub(crate) use porthole_turn_fastpath::FastPath;

use super::{Channel, FastPathStatus, Share, Until};

/// In place of a list of interfaces.
const AUTO: &str = "auto";

/// The fast path that the settings ask for, if it can be had; says in the log which it is.
pub(crate) fn start(interfaces: &[String], local: &[IpAddr]) -> Option<FastPath> {
    let asked = match interfaces {
        [] => return None,
        [only] if only == AUTO => Interfaces::Auto,
        names => Interfaces::Named(names.to_vec()),
    };
    match FastPath::start(&asked, local) {
        Ok(fast_path) => {
            let on = fast_path.interfaces().join(", ");
            tracing::info!("TURN channels are relayed in the kernel, on {on}");
            Some(fast_path)
        }
        Err(error) => {
            tracing::warn!(%error, "TURN channels are relayed by sockets: no fast path");
            None
        }
    }
}

/// Zeros without a fast path.
pub(crate) fn status(fast_path: Option<&FastPath>) -> FastPathStatus {
    let left = fast_path.map(FastPath::left).transpose().unwrap_or_else(|error| {
        tracing::warn!(%error, "the kernel does not say what it left to the sockets");
        None
    });
    let Left { expired, interface, checksum, ttl, mtu, room } = left.unwrap_or_default();
    let left_to_sockets = [
        ("expired", expired),
        ("interface", interface),
        ("checksum", checksum),
        ("ttl", ttl),
        ("mtu", mtu),
        ("room", room),
    ];
    let interfaces = fast_path.map_or(0, |fast_path| fast_path.interfaces().len() as u64);
    FastPathStatus { interfaces, left_to_sockets }
}

#[derive(Debug)]
pub(crate) struct Channels(Flows<(RelayId, u16)>);

impl Channels {
    pub(crate) fn new(fast_path: &FastPath) -> Self {
        Self(fast_path.flows())
    }

    pub(crate) fn install(&mut self, what: &Channel, until: Until) -> Result<(), Refused> {
        let Channel { relay, number, client, server, relayed, peer } = *what;
        let flow = Flow { client, server, relay: relayed, peer, channel: number };
        let now = Instant::now();
        let lifetimes = Lifetimes {
            to_peer: until.to_peer.saturating_duration_since(now),
            to_client: until.to_client.saturating_duration_since(now),
        };
        self.0.install((relay, number), &flow, lifetimes)
    }

    pub(crate) fn remove(&mut self, relay: RelayId, number: u16) -> Option<Share> {
        self.0.remove(&(relay, number)).map(|relayed| share(relay, relayed))
    }

    pub(crate) fn collect(&mut self) -> Vec<Share> {
        self.0.follow_routes();
        self.0.collect().into_iter().map(|((relay, _), relayed)| share(relay, relayed)).collect()
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

fn share(relay: RelayId, relayed: Relayed) -> Share {
    let traffic = |counted: porthole_turn_fastpath::Traffic| Traffic {
        packets: counted.packets,
        bytes: counted.bytes,
    };
    Share { relay, to_peer: traffic(relayed.to_peer), to_client: traffic(relayed.to_client) }
}
