//! Relays bound channels of the TURN server in the kernel.
//!
//! A small BPF program (`bpf/relay.bpf.c`) is attached to the ingress of the server's interfaces
//! (TCX, Linux 6.6 and later). For each installed flow between a client and a peer it removes or
//! adds the header of a ChannelData message and forwards the datagram. Everything else, and every
//! unusual datagram, goes to the server's sockets as if the program were not there.
//!
//! Architecture invariant: nothing here decides about allocations, permissions or channels. A flow
//! is relayed until the deadline that its owner gave, and no later.

#![warn(missing_docs)]

mod flows;
mod kernel;
mod layout;
mod netlink;

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kernel::Kernel;

pub use flows::Flows;

/// Most flows at a time: as many as there may be allocations. Further flows are relayed by sockets.
pub const MAX_FLOWS: u32 = 16_384;

/// The interfaces to attach the program to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Interfaces {
    /// Every Ethernet interface that has an address of the server.
    Auto,
    /// The interfaces with these names.
    Named(Vec<String>),
}

/// A channel between a client and a peer, with the addresses that packets carry at this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// The address of the client.
    pub client: SocketAddr,
    /// The address of the server that the client sends to.
    pub server: SocketAddr,
    /// The address of the relay socket.
    pub relay: SocketAddr,
    /// The address of the peer.
    pub peer: SocketAddr,
    /// The channel number.
    pub channel: u16,
}

/// The time from now on for which each direction is relayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetimes {
    /// The lifetime of the direction from the client to the peer.
    pub to_peer: Duration,
    /// The lifetime of the direction from the peer to the client.
    pub to_client: Duration,
}

impl Lifetimes {
    /// Makes the same lifetime for both directions.
    pub const fn both(lifetime: Duration) -> Self {
        Self { to_peer: lifetime, to_client: lifetime }
    }
}

/// Numbers of datagrams and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Number of datagrams.
    pub packets: u64,
    /// Bytes of application data in them.
    pub bytes: u64,
}

/// The traffic that the kernel relayed for one flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Relayed {
    /// Traffic from the client to the peer.
    pub to_peer: Traffic,
    /// Traffic from the peer to the client.
    pub to_client: Traffic,
}

/// Numbers of datagrams of known flows that were left to the sockets, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fallbacks {
    /// Datagrams of an expired flow.
    pub expired: u64,
    /// Datagrams that arrived on another interface than the opposite direction leaves by.
    pub interface: u64,
    /// Datagrams without a complete UDP checksum.
    pub checksum: u64,
    /// Datagrams whose TTL or hop limit is used up.
    pub ttl: u64,
    /// Datagrams that would have exceeded the MTU.
    pub mtu: u64,
    /// Datagrams whose header space the kernel could not change.
    pub room: u64,
}

/// The reason why there is no fast path. The server works without it.
#[derive(Debug, thiserror::Error)]
pub enum Unavailable {
    /// No Ethernet interface has an address of the server, or the list is empty.
    #[error("no Ethernet interface has an address of the TURN server; name the interfaces")]
    NoInterface,
    /// The interface is not Ethernet.
    #[error("{0} is not an Ethernet interface; remove it from the list")]
    NotEthernet(String),
    /// No interface has this name.
    #[error("there is no interface {0}: {1}")]
    Unknown(String, std::io::Error),
    /// The process does not have the needed capabilities.
    #[error("loading a BPF program needs CAP_BPF and CAP_NET_ADMIN")]
    NotPermitted,
    /// The kernel is too old, or built without the needed features.
    #[error(
        "this kernel does not accept the program (it needs Linux 6.6 with CONFIG_NET_XGRESS): {0}"
    )]
    Kernel(String),
    /// Interfaces, routes or the clock cannot be read.
    #[error("interfaces, routes or the clock cannot be read: {0}")]
    System(#[from] std::io::Error),
}

/// The reason why a flow is not relayed by the kernel.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// One side uses IPv4, the other IPv6.
    #[error("client and peer are of different address families")]
    Families,
    /// The address belongs to this host, or no interface leads to it.
    #[error("no interface leads to {0}")]
    NotRouted(IpAddr),
    /// The program is not attached to the interface that leads to this address.
    #[error("the fast path is not attached to the interface that leads to {0}")]
    Interface(IpAddr),
    /// All [`MAX_FLOWS`] flows are in use.
    #[error("the fast path already has {MAX_FLOWS} flows")]
    Full,
    /// Any other error of the operating system.
    #[error("the kernel does not accept the flow: {0}")]
    System(std::io::Error),
}

/// The program in the kernel, shared by all workers. It stays attached as long as this value, a
/// clone or a [`Flows`] of it exists, at most until the process ends, in whatever way.
#[derive(Clone, Debug)]
pub struct FastPath(Arc<Mutex<Kernel>>);

impl FastPath {
    /// Loads the program and attaches it to the interfaces. `local` are the addresses of the
    /// server.
    pub fn start(interfaces: &Interfaces, local: &[IpAddr]) -> Result<Self, Unavailable> {
        let kernel = Kernel::start(interfaces, local)?;
        Ok(Self(Arc::new(Mutex::new(kernel))))
    }

    /// Returns the names of the interfaces it is attached to.
    pub fn interfaces(&self) -> Vec<String> {
        self.lock().interfaces()
    }

    /// Reads the numbers of datagrams left to the sockets since the start.
    pub fn fallbacks(&self) -> std::io::Result<Fallbacks> {
        self.lock().fallbacks()
    }

    /// Makes an empty set of flows, for one worker.
    pub fn flows<K>(&self) -> Flows<K> {
        Flows::new(self.clone())
    }

    /// Locks the kernel side, to install or remove a flow or to read counters, never for a packet.
    fn lock(&self) -> MutexGuard<'_, Kernel> {
        // A panic can at worst have left flows in the maps that are not needed any more.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
