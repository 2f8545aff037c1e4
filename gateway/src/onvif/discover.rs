//! The sockets of a search: one for each link.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::sync::Arc;
use std::time::{Duration, Instant};

use porthole_gateway_core::onvif::discovery::{
    Device, MAX_DATAGRAM, MDNS_PORT, Output, PORT, Protocol, Search,
};
use socket2::SockRef;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::Link;

/// The group of WS-Discovery (§2.4 of April 2005).
const GROUP_V4: Ipv4Addr = Ipv4Addr::new(239, 255, 255, 250);

/// The same for IPv6, on one link.
const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xFF02, 0, 0, 0, 0, 0, 0, 0xC);

/// The group of multicast DNS (RFC 6762 §3).
const MDNS_GROUP_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);

/// The same for IPv6, on one link.
const MDNS_GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xFF02, 0, 0, 0, 0, 0, 0, 0xFB);

/// Time in which a machine must answer that is asked for the address of its service. Cameras need
/// some milliseconds.
const ASK_PATIENCE: Duration = Duration::from_millis(700);

/// Capacity of the channel for datagrams; more are dropped by the kernel.
const QUEUE: usize = 64;

/// Maximum number of errors of a socket in a row that are skipped.
const MAX_ERRORS: usize = 16;

/// A socket, and where its datagrams go.
struct Outlet {
    socket: Arc<UdpSocket>,
    /// The address for WS-Discovery.
    to: SocketAddr,
    /// The address for multicast DNS.
    mdns: SocketAddr,
}

impl Outlet {
    fn to(&self, protocol: Protocol) -> SocketAddr {
        match protocol {
            Protocol::WsDiscovery => self.to,
            Protocol::Mdns => self.mdns,
        }
    }
}

/// Searches the links and the machines that are named. Sends what is found until the search ends or
/// the receiver is dropped.
///
/// A link that cannot be used is left out: a machine has interfaces that were just taken down.
pub async fn search(links: &[Link], machines: &[SocketAddr], found: mpsc::Sender<Output>) {
    let mut outlets = Vec::new();
    let shared = Shared::new();
    for (name, outlet) in links
        .iter()
        .map(|link| (link.name.clone(), for_link(link)))
        .chain(machines.iter().map(|machine| (machine.to_string(), shared.outlet(*machine))))
    {
        match outlet {
            Ok(outlet) => outlets.push(outlet),
            Err(error) => tracing::debug!(name, "cameras cannot be looked for: {error}"),
        }
    }
    let mut readers = JoinSet::new();
    let (datagrams, mut arriving) = mpsc::channel(QUEUE);
    let mut sockets: Vec<&Arc<UdpSocket>> = Vec::new();
    for Outlet { socket, .. } in &outlets {
        if !sockets.iter().any(|known| Arc::ptr_eq(known, socket)) {
            sockets.push(socket);
            readers.spawn(read(Arc::clone(socket), datagrams.clone()));
        }
    }
    drop(datagrams);
    let mut search = Search::new(outlets.len(), rand::random(), Instant::now());
    loop {
        while let Some(output) = search.poll_output() {
            let is_done = output == Output::Done;
            match output {
                Output::Send { link, protocol, bytes } => {
                    send(outlets.get(link), protocol, &bytes).await;
                }
                Output::Found(_) | Output::Moved(_) | Output::Done => {
                    if found.send(output).await.is_err() || is_done {
                        return;
                    }
                }
            }
        }
        let Some(due) = search.poll_timeout() else { return };
        tokio::select! {
            Some((from, bytes)) = arriving.recv() => search.handle_datagram(from, &bytes),
            () = tokio::time::sleep_until(due.into()) => search.handle_timeout(Instant::now()),
            () = found.closed() => return,
        }
    }
}

/// Asks one machine, whatever the port of its address. Returns the first device that answers in
/// time and names the address of its service, else the first one.
pub async fn ask(mut machine: SocketAddr) -> Option<Device> {
    machine.set_port(PORT);
    let machines = [machine];
    let (sender, mut found) = mpsc::channel(QUEUE);
    let mut best = None;
    let with_service = async {
        while let Some(Output::Found(device) | Output::Moved(device)) = found.recv().await {
            let is_complete = device.service.is_some();
            best.get_or_insert_with(|| device.clone());
            if is_complete {
                best = Some(device);
                return;
            }
        }
    };
    tokio::select! {
        () = search(&[], &machines, sender) => {}
        () = with_service => {}
        () = tokio::time::sleep(ASK_PATIENCE) => {}
    }
    best
}

async fn send(outlet: Option<&Outlet>, protocol: Protocol, bytes: &[u8]) {
    let Some(outlet) = outlet else { return };
    let to = outlet.to(protocol);
    if let Err(error) = outlet.socket.send_to(bytes, to).await {
        tracing::debug!(%to, "a probe for cameras cannot be sent: {error}");
    }
}

async fn read(socket: Arc<UdpSocket>, datagrams: mpsc::Sender<(SocketAddr, Vec<u8>)>) {
    // One byte more, so that a datagram that is too long is seen to be.
    let mut buffer = vec![0; MAX_DATAGRAM + 1];
    let mut errors = 0;
    while errors < MAX_ERRORS {
        match socket.recv_from(&mut buffer).await {
            Ok((len, from)) => {
                errors = 0;
                let bytes = buffer.get(..len).unwrap_or_default().to_vec();
                if datagrams.send((from, bytes)).await.is_err() {
                    return;
                }
            }
            // A machine without the port answers with ICMP.
            Err(_) => errors += 1,
        }
    }
}

fn for_link(link: &Link) -> io::Result<Outlet> {
    let socket = bind(link.local)?;
    let options = SockRef::from(&socket);
    let (to, mdns) = match link.local {
        SocketAddr::V4(local) => {
            options.set_multicast_if_v4(local.ip())?;
            (SocketAddr::from((GROUP_V4, PORT)), SocketAddr::from((MDNS_GROUP_V4, MDNS_PORT)))
        }
        SocketAddr::V6(_) => {
            options.set_multicast_if_v6(link.index)?;
            let group = |group, port| SocketAddrV6::new(group, port, 0, link.index).into();
            (group(GROUP_V6, PORT), group(MDNS_GROUP_V6, MDNS_PORT))
        }
    };
    Ok(Outlet { socket: Arc::new(socket), to, mdns })
}

/// The sockets from which single machines are asked, one for each address family: a range has
/// hundreds of machines.
struct Shared {
    v4: io::Result<Arc<UdpSocket>>,
    v6: io::Result<Arc<UdpSocket>>,
}

impl Shared {
    fn new() -> Self {
        let any = |ip: IpAddr| bind(SocketAddr::new(ip, 0)).map(Arc::new);
        Self { v4: any(Ipv4Addr::UNSPECIFIED.into()), v6: any(Ipv6Addr::UNSPECIFIED.into()) }
    }

    fn outlet(&self, machine: SocketAddr) -> io::Result<Outlet> {
        match if machine.is_ipv4() { &self.v4 } else { &self.v6 } {
            Ok(socket) => {
                let mut mdns = machine;
                mdns.set_port(MDNS_PORT);
                Ok(Outlet { socket: Arc::clone(socket), to: machine, mdns })
            }
            Err(error) => Err(io::Error::from(error.kind())),
        }
    }
}

fn bind(local: SocketAddr) -> io::Result<UdpSocket> {
    let socket = std::net::UdpSocket::bind(local)?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}
