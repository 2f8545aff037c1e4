//! Relays bound channels of the TURN server in the kernel.
//!
//! A small BPF program (`bpf/relay.bpf.c`) stands at the ingress of the server's interfaces (TCX,
//! Linux 6.6 and later). Between a client and a peer, of whom it was told, it takes off or puts on
//! the header of a ChannelData message and sends the datagram on. Everything else, and whatever is
//! odd about a datagram, goes to the server's sockets as if the program were not there.
//!
//! Architecture invariant: nothing here decides about allocations, permissions or channels. A flow
//! is relayed until the moment that whoever installed it named, and no later.

mod flows;
mod kernel;
mod layout;
mod netlink;

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use flows::Flows;
use kernel::Kernel;

/// Flows at once: as many as there may be allocations in all. What is beyond is relayed by sockets.
pub const MAX_FLOWS: u32 = 16_384;

/// Where the program is to stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Interfaces {
    /// On every Ethernet interface that holds an address of the server.
    Auto,
    /// On these.
    Named(Vec<String>),
}

/// A channel between a client and a peer, with addresses as they are on the wire at this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// The client.
    pub client: SocketAddr,
    /// What it sends to.
    pub server: SocketAddr,
    /// The relay socket.
    pub relay: SocketAddr,
    /// The peer.
    pub peer: SocketAddr,
    /// The channel's number.
    pub channel: u16,
}

/// For how long each direction is relayed, from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetimes {
    /// From the client.
    pub to_peer: Duration,
    /// To the client.
    pub to_client: Duration,
}

impl Lifetimes {
    /// The same for both directions.
    pub const fn both(lifetime: Duration) -> Self {
        Self { to_peer: lifetime, to_client: lifetime }
    }
}

/// Datagrams and bytes of application data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Datagrams.
    pub packets: u64,
    /// Application data in them.
    pub bytes: u64,
}

/// What the kernel relayed for one flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Relayed {
    /// From the client.
    pub to_peer: Traffic,
    /// To the client.
    pub to_client: Traffic,
}

/// Datagrams of known flows that were left to the sockets, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// The flow's time was over.
    pub expired: u64,
    /// They came in where no answer would go out.
    pub interface: u64,
    /// They had no finished UDP checksum.
    pub checksum: u64,
    /// They had no hop left.
    pub ttl: u64,
    /// They would not have fitted.
    pub mtu: u64,
    /// The kernel could not move their headers.
    pub room: u64,
}

/// Why there is no fast path; the server does without.
#[derive(Debug, thiserror::Error)]
pub enum Unavailable {
    /// With `auto` and no Ethernet interface.
    #[error("no Ethernet interface holds an address of the TURN server; name the interfaces")]
    NoInterface,
    /// Something else than Ethernet.
    #[error("{0} is no Ethernet interface; leave it out of the list")]
    NotEthernet(String),
    /// A name that nothing has.
    #[error("there is no interface {0}: {1}")]
    Unknown(String, std::io::Error),
    /// Neither root nor the capabilities.
    #[error("loading a BPF program needs CAP_BPF and CAP_NET_ADMIN")]
    NotPermitted,
    /// The kernel is older, or built otherwise.
    #[error("this kernel does not take the program (Linux 6.6 with CONFIG_NET_XGRESS does): {0}")]
    Kernel(String),
    /// Interfaces, routes or the clock could not be asked for.
    #[error("the system does not say what is needed: {0}")]
    System(#[from] std::io::Error),
}

/// Why a flow is relayed by sockets.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// IPv4 on one side, IPv6 on the other.
    #[error("client and peer are of different address families")]
    Families,
    /// The peer, or the client, is on this host, or no interface leads there.
    #[error("{0} is not beyond an interface")]
    NotRouted(IpAddr),
    /// The program does not stand where these packets come in.
    #[error("the fast path is not on the interface that leads to {0}")]
    Interface(IpAddr),
    /// The bound is reached.
    #[error("the fast path has {MAX_FLOWS} flows already")]
    Full,
    /// Anything else.
    #[error("the kernel does not take the flow: {0}")]
    System(std::io::Error),
}

/// The program in the kernel, shared by all workers. It stands there as long as this or any of its
/// clones and [`Flows`] lives; the end of the process, however it comes, takes it away.
#[derive(Clone, Debug)]
pub struct FastPath(Arc<Mutex<Kernel>>);

impl FastPath {
    /// Loads the program and puts it on the interfaces. `local` is where the server is reached.
    pub fn start(interfaces: &Interfaces, local: &[IpAddr]) -> Result<Self, Unavailable> {
        let kernel = Kernel::start(interfaces, local)?;
        Ok(Self(Arc::new(Mutex::new(kernel))))
    }

    /// Where it stands.
    pub fn interfaces(&self) -> Vec<String> {
        self.lock().interfaces()
    }

    /// What it left to the sockets since it was started.
    pub fn left(&self) -> std::io::Result<Left> {
        self.lock().left()
    }

    /// An empty set of flows, for one worker.
    pub fn flows<K>(&self) -> Flows<K> {
        Flows::new(self.clone())
    }

    /// Taken for a channel that comes or goes and for reading counters, never for a packet.
    fn lock(&self) -> MutexGuard<'_, Kernel> {
        // A panic elsewhere leaves maps and table in a state that is at worst too full.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
