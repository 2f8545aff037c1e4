//! Channels that the kernel relays, where the system can and the settings permit it.
//!
//! Everything specific to Linux is in `linux.rs`; other systems have no fast path.

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

/// Numbers of packets of offloaded channels that the kernel left to the sockets, by reason.
pub type FallbackCounts = [(&'static str, u64); 6];

/// The state of the fast path.
#[derive(Clone, Copy, Debug)]
pub struct FastPathStatus {
    /// The number of network interfaces it is attached to; 0 without a fast path.
    pub interfaces: u64,
    /// Packets left to the sockets since the start.
    pub fallbacks: FallbackCounts,
}

/// Interval at which the kernel's counters and the routes are read: a changed route is followed
/// within it.
const INTERVAL: Duration = Duration::from_secs(1);

/// A channel of one worker, with the addresses that its packets carry on this host.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Channel {
    pub(crate) relay: RelayId,
    pub(crate) number: u16,
    pub(crate) client: SocketAddr,
    pub(crate) server: SocketAddr,
    pub(crate) relayed: SocketAddr,
    pub(crate) peer: SocketAddr,
}

/// The times until which the kernel may relay each direction of a channel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadlines {
    pub(crate) to_peer: Instant,
    pub(crate) to_client: Instant,
}

/// Traffic that the kernel relayed for a channel since it was last read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RelayedTraffic {
    pub(crate) relay: RelayId,
    pub(crate) to_peer: Traffic,
    pub(crate) to_client: Traffic,
}

/// The offloaded channels of one worker.
#[derive(Debug)]
pub(crate) struct Offload {
    channels: Option<system::Channels>,
    next: Instant,
}

impl Offload {
    /// Begins without channels. Without a fast path all calls do nothing.
    pub(crate) fn new(fast_path: Option<&FastPath>) -> Self {
        let channels = fast_path.map(system::Channels::new);
        Self { channels, next: Instant::now() + INTERVAL }
    }

    /// Lets the kernel relay this channel until the deadlines. Sockets relay what it cannot.
    pub(crate) fn install(&mut self, channel: &Channel, until: Deadlines) {
        if let Some(channels) = &mut self.channels
            && let Err(error) = channels.install(channel, until)
        {
            tracing::debug!(%error, "a channel is relayed by sockets");
        }
    }

    /// Stops offloading a channel and returns the traffic not yet collected.
    pub(crate) fn remove(&mut self, relay: RelayId, number: u16) -> Option<RelayedTraffic> {
        self.channels.as_mut()?.remove(relay, number)
    }

    /// Returns the traffic of all channels once per interval, else nothing.
    pub(crate) fn collect(&mut self, now: Instant) -> Vec<RelayedTraffic> {
        let Some(channels) = self.channels.as_mut().filter(|_| now >= self.next) else {
            return Vec::new();
        };
        self.next = now + INTERVAL;
        channels.collect()
    }

    /// Returns the time of the next [`Self::collect`], if there are channels.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.channels.as_ref().filter(|channels| channels.len() > 0).map(|_| self.next)
    }

    pub(crate) fn clear(&mut self) {
        if let Some(channels) = &mut self.channels {
            channels.clear();
        }
    }

    /// Returns the number of offloaded channels.
    pub(crate) fn len(&self) -> usize {
        self.channels.as_ref().map_or(0, system::Channels::len)
    }
}
