//! The NAT lab: a small internet made of network namespaces, veth pairs and nftables.
//!
//! ```text
//!            server 203.0.113.10          open host 203.0.113.2x
//!                  │                            │
//!   ───────────────┴──── internet (bridge) ─────┴──────┬───────────────
//!                                                      │ wan 203.0.113.2x
//!                                                   router (a NAT)
//!                                                      │ lan 192.168.x.1
//!                                             ┌────────┴────────┐
//!                                      host 192.168.x.2   host 192.168.x.3
//! ```
//!
//! The lab needs root. Namespaces have the process id in their name and are removed when dropped,
//! even if a test panics; those of a killed run are removed by the next one.

mod nat64;
mod netns;
mod port_mapper;
mod rules;

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::nat::NatKind;
use crate::wait;
use netns::Namespace;
use port_mapper::{MAPPED_NETWORK, MAPPED_SERVER};

pub use nat64::{Ipv6Home, SERVER_NAME};

/// Homes have one public address each, from 203.0.113.20 to .249.
const FIRST_HOME: u8 = 20;
const MAX_HOMES: u8 = 230;
/// The hosts of a LAN have the addresses 192.168.x.2 to .9.
const MAX_LAN_HOSTS: u8 = 8;

/// The address of the lab's server.
pub const SERVER_ADDRESS: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
/// The address of the bridge that is the internet. The bridge forwards nothing, so that packets to
/// an unknown address vanish, as they do on the real internet.
const INTERNET_ADDRESS: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);

/// The MAC address of every bridge. By default a bridge uses the lowest address of its ports, which
/// may change whenever a port is added, although others have it in their ARP tables.
const BRIDGE_MAC: &str = "02:00:00:00:00:01";
/// A link works within milliseconds, or a second later if the first ARP request was lost: the
/// kernel repeats it after a second.
const LINK_DEADLINE: Duration = Duration::from_secs(15);
const LINK_TRY: Duration = Duration::from_secs(3);
/// A port where nothing listens (discard, RFC 863).
const CLOSED_PORT: u16 = 9;

/// An internet with one server. Homes are added with [`Lab::side`].
#[derive(Debug)]
pub struct Lab {
    name: String,
    internet: Namespace,
    server: Host,
    homes: AtomicU8,
}

/// A home: a host, and the router in front of it, if any.
#[derive(Debug)]
pub struct Side {
    /// The kind of NAT in front of the host.
    pub nat: NatKind,
    /// The first host of the home.
    pub host: Host,
    router: Option<Router>,
    /// The router before that one, if there are two.
    outer: Option<Arc<Router>>,
}

/// A router whose LAN is the network between two routers. Several homes may be behind it.
#[derive(Clone, Debug)]
pub struct Outer(Arc<Router>);

#[derive(Debug)]
struct Router {
    namespace: Namespace,
    public: Ipv4Addr,
    home: u8,
    /// The network of its LAN.
    lan: [u8; 3],
    lan_hosts: AtomicU8,
}

/// The network that a router's `wan` is in.
struct Uplink<'a> {
    namespace: &'a Namespace,
    bridge: &'a str,
    gateway: Ipv4Addr,
}

/// A machine in the lab: a namespace with one interface, `eth0`.
#[derive(Debug)]
pub struct Host {
    namespace: Namespace,
    address: Ipv4Addr,
    gateway: Ipv4Addr,
}

impl Lab {
    /// Checks that a lab can be created here.
    ///
    /// # Errors
    ///
    /// Returns a sentence about what is missing.
    pub fn available() -> Result<(), String> {
        static AVAILABLE: OnceLock<Result<(), String>> = OnceLock::new();
        AVAILABLE.get_or_init(|| probe().map_err(|error| format!("no NAT lab: {error:#}"))).clone()
    }

    /// Creates an internet with a server. `name` is part of the names of its namespaces.
    pub fn new(name: &str) -> Result<Self> {
        static SWEPT: OnceLock<()> = OnceLock::new();
        static LABS: AtomicU32 = AtomicU32::new(0);
        SWEPT.get_or_init(netns::sweep);

        let name = format!("{}-{name}", LABS.fetch_add(1, Ordering::Relaxed));
        let internet = Namespace::create(&format!("{name}-internet"))?;
        internet.ip(&format!(
            "link add br0 address {BRIDGE_MAC} type bridge
            addr add {INTERNET_ADDRESS}/24 dev br0
            link set br0 up",
        ))?;
        internet.sysctl("net/ipv4/ip_forward", "0")?;
        let server = public_host(&internet, &format!("{name}-server"), SERVER_ADDRESS)?;
        Ok(Self { name, internet, server, homes: AtomicU8::new(0) })
    }

    /// Returns the host for signaling and TURN.
    pub fn server(&self) -> &Host {
        &self.server
    }

    /// Adds a home: a host behind its own NAT.
    pub fn side(&self, nat: NatKind) -> Result<Side> {
        let home = self.homes.fetch_add(1, Ordering::Relaxed);
        ensure!(home < MAX_HOMES, "the lab has no public address left");
        let public = Ipv4Addr::new(203, 0, 113, FIRST_HOME + home);
        let name = format!("{}-{home}", self.name);
        if nat == NatKind::Open {
            let host = public_host(&self.internet, &format!("{name}-host"), public)?;
            return Ok(Side { nat, host, router: None, outer: None });
        }
        let uplink = self.uplink();
        let router = Router::create(uplink, &name, public, (home, [192, 168, home]), nat)?;
        let host = router.host(&name)?;
        Ok(Side { nat, host, router: Some(router), outer: None })
    }

    /// Adds a router of a provider that shares its public address among homes: the network behind
    /// it is one of RFC 6598.
    pub fn shared_router(&self, nat: NatKind) -> Result<Outer> {
        let home = self.homes.fetch_add(1, Ordering::Relaxed);
        ensure!(home < MAX_HOMES, "the lab has no public address left");
        let public = Ipv4Addr::new(203, 0, 113, FIRST_HOME + home);
        let name = format!("{}-{home}-outer", self.name);
        let place = (home, [100, 64, home]);
        Ok(Outer(Arc::new(Router::create(self.uplink(), &name, public, place, nat)?)))
    }

    /// Adds a home behind such a router, with a router of its own: its packets are translated
    /// twice.
    pub fn side_behind(&self, outer: &Outer, nat: NatKind) -> Result<Side> {
        let home = self.homes.fetch_add(1, Ordering::Relaxed);
        ensure!(home < MAX_HOMES, "the lab has no public address left");
        let name = format!("{}-{home}", self.name);
        let Outer(shared) = outer;
        let (address, gateway) = (shared.next_address()?, shared.lan_address(1));
        let uplink = Uplink { namespace: &shared.namespace, bridge: "lan", gateway };
        let router = Router::create(uplink, &name, address, (home, [192, 168, home]), nat)?;
        let host = router.host(&name)?;
        Ok(Side { nat, host, router: Some(router), outer: Some(Arc::clone(shared)) })
    }

    /// Makes such a router send what its homes send to its public address to the first of them, as
    /// a full-cone NAT with hairpinning does (RFC 4787 §6).
    pub fn hairpin(&self, outer: &Outer) -> Result<()> {
        let Outer(router) = outer;
        router.namespace.nft(&format!(
            "table ip hairpin {{
                chain entering {{
                    type nat hook prerouting priority dstnat;
                    iifname lan ip daddr {} meta l4proto udp dnat to {}
                }}
                chain leaving {{
                    type nat hook postrouting priority srcnat;
                    iifname lan oifname lan ct status dnat masquerade
                }}
            }}",
            router.public,
            router.lan_address(2),
        ))
    }

    fn uplink(&self) -> Uplink<'_> {
        Uplink { namespace: &self.internet, bridge: "br0", gateway: INTERNET_ADDRESS }
    }

    /// Adds another host to the LAN of a home; without a NAT, another public host.
    pub fn host_behind(&self, side: &Side) -> Result<Host> {
        match &side.router {
            Some(router) => router.host(&format!("{}-{}", self.name, router.home)),
            None => Ok(self.side(NatKind::Open)?.host),
        }
    }

    /// Takes the network interface of a host down; its routes are removed.
    pub fn cut(&self, host: &Host) -> Result<()> {
        host.namespace.ip("link set eth0 down")
    }

    /// Brings the network interface of a host up again, and waits until it works.
    pub fn restore(&self, host: &Host) -> Result<()> {
        host.namespace.ip(&format!(
            "link set eth0 up
            route add default via {}",
            host.gateway,
        ))?;
        wait_for_link(&host.namespace, host.gateway)
    }

    /// Gives a home's router another public address, as a provider does. The router forgets every
    /// mapping: the kernel drops those of a masqueraded address that is gone. Nothing that is sent
    /// to the old address arrives.
    ///
    /// # Errors
    ///
    /// Fails for a home without a router.
    pub fn renumber(&self, side: &mut Side) -> Result<()> {
        let home = self.homes.fetch_add(1, Ordering::Relaxed);
        ensure!(home < MAX_HOMES, "the lab has no public address left");
        let router = side.router.as_mut().context("a home without a router")?;
        let public = Ipv4Addr::new(203, 0, 113, FIRST_HOME + home);
        router.namespace.ip(&format!(
            "addr del {}/24 dev wan
            addr add {public}/24 dev wan
            route add default via {INTERNET_ADDRESS}",
            router.public,
        ))?;
        router.namespace.nft(&format!(
            "table ip renumbered {{
                chain entering {{
                    type filter hook prerouting priority raw;
                    iifname wan ip daddr {} drop
                }}
            }}",
            router.public,
        ))?;
        router.public = public;
        Ok(())
    }

    /// Makes a home's router forget every mapping, as one that is restarted does. Its address
    /// stays: the kernel drops the mappings of an interface that goes down.
    ///
    /// # Errors
    ///
    /// Fails for a home without a router.
    pub fn rebind(&self, side: &Side) -> Result<()> {
        let router = side.router.as_ref().context("a home without a router")?;
        router.namespace.ip(&format!(
            "link set wan down
            link set wan up
            route add default via {INTERNET_ADDRESS}",
        ))?;
        wait_for_link(&router.namespace, INTERNET_ADDRESS)
    }

    /// Drops this percentage of the host's UDP packets in each direction, from now on.
    ///
    /// # Errors
    ///
    /// Fails if `percent` is more than 100.
    pub fn lose(&self, host: &Host, percent: u8) -> Result<()> {
        ensure!(percent <= 100, "{percent} % is more than 100 %");
        let dice = format!("numgen random mod 100 < {}", percent.min(99));
        let dice = if percent == 100 { "" } else { &dice };
        let lose = format!("meta l4proto udp {dice} drop");
        host.namespace.nft(&format!(
            "table ip loss
            delete table ip loss
            table ip loss {{
                chain inwards {{ type filter hook input priority 0; {lose}; }}
                chain outwards {{ type filter hook output priority 0; {lose}; }}
            }}",
        ))
    }

    /// Gives the server an address that is not one of documentation, and returns it: a program that
    /// looks for the public address of its machine finds this one.
    pub fn publish_server(&self) -> Result<Ipv4Addr> {
        let address = MAPPED_SERVER;
        self.server.namespace.ip(&format!("addr add {address}/24 dev eth0"))?;
        Ok(address)
    }

    /// Lets nothing out of a home from now on but TCP to port 443, and there nothing but
    /// connections whose first bytes are those of a ClientHello of TLS.
    ///
    /// # Errors
    ///
    /// Fails for a home without a router.
    pub fn only_tls(&self, side: &Side) -> Result<()> {
        let router = side.router.as_ref().context("a home without a router")?;
        router.namespace.nft(rules::ONLY_TLS)
    }

    /// Returns the number of packets to port 443 that [`Self::only_tls`] has dropped.
    pub fn refused_packets(&self, side: &Side) -> Result<u64> {
        let router = side.router.as_ref().context("a home without a router")?;
        let mut command = router.namespace.command("nft");
        let output = command.args(["list", "counter", "ip", "only_tls", "refused"]).output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let count = text.split_once("packets ").and_then(|(_, rest)| rest.split(' ').next());
        count.with_context(|| text.clone())?.parse().context("a number of packets")
    }

    /// Gives a home's uplink this rate from now on: a token bucket of 15 kB with a queue of at most
    /// 300 ms.
    ///
    /// # Errors
    ///
    /// Fails for a home without a router.
    pub fn shape(&self, side: &Side, kbit: u32) -> Result<()> {
        let router = side.router.as_ref().context("a home without a router")?;
        router.namespace.tc(&format!(
            "qdisc replace dev wan root handle 1: tbf rate {kbit}kbit burst 15kb latency 300ms"
        ))
    }
}

impl Side {
    /// Returns the public address: the router's, or the host's own without a NAT.
    pub fn public_address(&self) -> Ipv4Addr {
        let router = self.outer.as_deref().or(self.router.as_ref());
        router.map_or(self.host.address, |router| router.public)
    }
}

impl Router {
    /// Creates a router with this name of its home, address in its uplink, number and LAN.
    fn create(
        uplink: Uplink<'_>,
        name: &str,
        public: Ipv4Addr,
        (home, lan): (u8, [u8; 3]),
        nat: NatKind,
    ) -> Result<Self> {
        let namespace = Namespace::create(&format!("{name}-router"))?;
        let Uplink { namespace: before, bridge, gateway } = uplink;
        plug(before, &namespace, "wan", &format!("home{home}"), bridge, public)?;
        let router = Self { namespace, public, home, lan, lan_hosts: AtomicU8::new(0) };
        router.namespace.ip(&format!(
            "link add lan address {BRIDGE_MAC} type bridge
            addr add {}/24 dev lan
            link set lan up
            route add default via {gateway}
            route add {MAPPED_NETWORK} dev wan",
            router.lan_address(1),
        ))?;
        wait_for_link(&router.namespace, gateway)?;
        router.namespace.sysctl("net/ipv4/ip_forward", "1")?;
        router.namespace.nft(&rules::for_nat(nat, router.lan_address(2)))?;
        Ok(router)
    }

    fn lan_address(&self, host: u8) -> Ipv4Addr {
        let [a, b, c] = self.lan;
        Ipv4Addr::new(a, b, c, host)
    }

    /// Returns the next free address of the LAN.
    fn next_address(&self) -> Result<Ipv4Addr> {
        let number = self.lan_hosts.fetch_add(1, Ordering::Relaxed);
        ensure!(number < MAX_LAN_HOSTS, "the LAN has no address left");
        Ok(self.lan_address(2 + number))
    }

    fn host(&self, name: &str) -> Result<Host> {
        let (address, gateway) = (self.next_address()?, self.lan_address(1));
        let [.., last] = address.octets();
        let number = last - 2;
        let namespace = Namespace::create(&format!("{name}-host{number}"))?;
        plug(&self.namespace, &namespace, "eth0", &format!("port{number}"), "lan", address)?;
        namespace.ip(&format!("route add default via {gateway}"))?;
        wait_for_link(&namespace, gateway)?;
        Ok(Host { namespace, address, gateway })
    }
}

impl Host {
    /// Returns the host's own address, which may be private.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Returns the name of the namespace, for messages.
    pub fn name(&self) -> &str {
        self.namespace.name()
    }

    /// Returns a command that will run on this host.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        self.namespace.command(program)
    }

    /// Runs a closure on this host, on a new thread. Sockets opened in it belong to the host.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        self.namespace.inside(work)
    }

    /// Adds another address of its network to the host, as NAT behavior discovery needs it.
    pub fn add_address(&self, address: Ipv4Addr) -> Result<()> {
        self.namespace.ip(&format!("addr add {address}/24 dev eth0"))
    }
}

fn public_host(internet: &Namespace, name: &str, address: Ipv4Addr) -> Result<Host> {
    let namespace = Namespace::create(name)?;
    let [.., last] = address.octets();
    plug(internet, &namespace, "eth0", &format!("host{last}"), "br0", address)?;
    namespace.ip(&format!("route add default via {INTERNET_ADDRESS}"))?;
    wait_for_link(&namespace, INTERNET_ADDRESS)?;
    Ok(Host { namespace, address, gateway: INTERNET_ADDRESS })
}

/// Connects `near` and `far` by a veth pair: the end `port` joins a bridge of `near`, the other end
/// is an interface of `far`.
fn plug(
    near: &Namespace,
    far: &Namespace,
    interface: &str,
    port: &str,
    bridge: &str,
    address: Ipv4Addr,
) -> Result<()> {
    near.ip(&format!(
        "link add {port} type veth peer name {interface} netns {}
        link set {port} master {bridge}
        link set {port} up",
        far.name(),
    ))?;
    far.ip(&format!(
        "addr add {address}/24 dev {interface}
        link set {interface} up",
    ))
}

/// Waits until a packet crosses from here to the bridge and back.
///
/// A new link does not work at once: the kernel informs a bridge of its port's carrier from a work
/// queue, and silently drops packets that arrive earlier, ARP requests included.
fn wait_for_link(here: &Namespace, bridge: Ipv4Addr) -> Result<()> {
    let what = format!("{} reaches {bridge}", here.name());
    wait::until(&what, LINK_DEADLINE, || {
        let address = (bridge, CLOSED_PORT).into();
        let result = here.inside(|| TcpStream::connect_timeout(&address, LINK_TRY))?;
        // The refusal shows that the packet arrived.
        Ok(result.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused).then_some(()))
    })
}

fn probe() -> Result<()> {
    ensure!(nix::unistd::geteuid().is_root(), "it needs root");
    for tool in ["ip", "nft"] {
        Command::new(tool)
            .arg("-V")
            .output()
            .with_context(|| format!("{tool} is not installed"))?;
    }
    let namespace = Namespace::create("probe").context("network namespaces cannot be created")?;
    namespace
        .nft(&rules::for_nat(NatKind::Symmetric, Ipv4Addr::LOCALHOST))
        .context("nftables cannot translate addresses")
}
