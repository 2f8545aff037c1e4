//! Channels that the kernel relays, where the system can and the settings say so.
//!
//! Everything that is Linux's own is in `linux.rs`; elsewhere there is no fast path.

#[cfg(target_os = "linux")]
#[path = "offload/linux.rs"]
mod system;
#[cfg(not(target_os = "linux"))]
#[path = "offload/other.rs"]
mod system;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use porthole_turn_proto::server::{RelayId, Traffic};

pub(crate) use system::{FastPath, start, status};

/// Packets of channels in the kernel that it left to the sockets after all, with the reason.
pub type LeftToSockets = [(&'static str, u64); 6];

/// Whether there is a fast path, and what went past it.
#[derive(Clone, Copy, Debug)]
pub struct FastPathStatus {
    /// How many network interfaces it is attached to; 0 where there is none.
    pub interfaces: u64,
    /// Since the start.
    pub left_to_sockets: LeftToSockets,
}

/// How often what the kernel relayed is counted, and routes are looked at. A route that changes
/// is followed no later.
const INTERVAL: Duration = Duration::from_secs(1);

/// A channel of one worker, with the addresses that its packets have on this host.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Channel {
    pub(crate) relay: RelayId,
    pub(crate) number: u16,
    pub(crate) client: SocketAddr,
    pub(crate) server: SocketAddr,
    pub(crate) relayed: SocketAddr,
    pub(crate) peer: SocketAddr,
}

/// When the directions of a channel end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Until {
    pub(crate) to_peer: Instant,
    pub(crate) to_client: Instant,
}

/// What the kernel relayed for a channel since it was last asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share {
    pub(crate) relay: RelayId,
    pub(crate) to_peer: Traffic,
    pub(crate) to_client: Traffic,
}

/// One worker's channels in the kernel.
#[derive(Debug)]
pub(crate) struct Offload {
    channels: Option<system::Channels>,
    next: Instant,
}

impl Offload {
    pub(crate) fn new(fast_path: Option<&FastPath>) -> Self {
        let channels = fast_path.map(system::Channels::new);
        Self { channels, next: Instant::now() + INTERVAL }
    }

    /// Until then the kernel relays what it can of this channel; sockets do the rest.
    pub(crate) fn install(&mut self, channel: &Channel, until: Until) {
        if let Some(channels) = &mut self.channels
            && let Err(refused) = channels.install(channel, until)
        {
            tracing::debug!(%refused, "a channel is relayed by sockets");
        }
    }

    /// What it relayed until now.
    pub(crate) fn remove(&mut self, relay: RelayId, number: u16) -> Option<Share> {
        self.channels.as_mut()?.remove(relay, number)
    }

    /// Once in an interval: what was relayed since.
    pub(crate) fn collect(&mut self, now: Instant) -> Vec<Share> {
        let Some(channels) = self.channels.as_mut().filter(|_| now >= self.next) else {
            return Vec::new();
        };
        self.next = now + INTERVAL;
        channels.collect()
    }

    /// When there is something to collect.
    pub(crate) fn timeout(&self) -> Option<Instant> {
        self.channels.as_ref().filter(|channels| channels.len() > 0).map(|_| self.next)
    }

    pub(crate) fn clear(&mut self) {
        if let Some(channels) = &mut self.channels {
            channels.clear();
        }
    }

    /// How many channels the kernel has.
    pub(crate) fn len(&self) -> usize {
        self.channels.as_ref().map_or(0, system::Channels::len)
    }
}
