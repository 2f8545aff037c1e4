//! Opens sockets: the listening sockets, a set for each worker, and those of relayed addresses.

use std::io;
use std::net::{IpAddr, SocketAddr};

use mio::net::{TcpListener, TcpStream, UdpSocket};
use socket2::{Domain, Protocol, Socket, Type};

use crate::error::StartError;
use crate::net::addresses::{Listen, ListenerKind};
use crate::net::udp::grow_buffers;

/// Buffer size requested for a listening socket; without CAP_NET_ADMIN the kernel grants at most
/// `net.core.rmem_max`. A key frame for a hundred clients arrives in one burst, which must survive
/// a stalled thread.
const LISTENER_BUFFER: usize = 4 << 20;
/// Buffer size requested for one relayed address: 50 ms of 40 Mbit/s in small packets, including
/// the overhead that the kernel counts for each.
const RELAY_BUFFER: usize = 1 << 20;
/// Limit of connections waiting to be accepted.
const BACKLOG: i32 = 1024;

/// The listening sockets of one worker.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    pub(crate) udp: Vec<(SocketAddr, UdpSocket)>,
    pub(crate) dtls: Vec<(SocketAddr, UdpSocket)>,
    pub(crate) tcp: Vec<TcpListener>,
    pub(crate) tls: Vec<TcpListener>,
}

/// Opens every configured address for every worker. `own` are this host's addresses, for
/// wildcards. Returns the addresses with their real ports, or the first error.
pub(crate) fn open_all(
    configured: &[(SocketAddr, ListenerKind)],
    own: &[IpAddr],
    workers: usize,
) -> Result<(Vec<Listen>, Vec<Sockets>), StartError> {
    let mut listens = Vec::new();
    for (addr, kind) in configured {
        let addr = free_port(*addr, *kind)?;
        listens.push(Listen { addr, kind: *kind, expanded: false });
        if addr.ip().is_unspecified() && kind.uses_udp() {
            let same_family = own.iter().filter(|ip| ip.is_ipv4() == addr.is_ipv4());
            listens.extend(same_family.map(|ip| {
                let addr = SocketAddr::new(*ip, addr.port());
                Listen { addr, kind: *kind, expanded: true }
            }));
        }
    }
    // Of two equal sockets each would get half of the traffic.
    let mut seen: Vec<Listen> = Vec::new();
    for listen in listens {
        if !seen.iter().any(|l| (l.addr, l.kind) == (listen.addr, listen.kind)) {
            seen.push(listen);
        }
    }
    let sets = (0..workers).map(|_| open_set(&seen)).collect::<Result<_, _>>()?;
    Ok((seen, sets))
}

/// Refuses two protocols on one port: the kernel would give each client to one or the other by
/// chance.
pub(crate) fn check_duplicates(
    configured: &[(SocketAddr, ListenerKind)],
) -> Result<(), StartError> {
    for (index, (addr, kind)) in configured.iter().enumerate() {
        let conflicts = |(other, other_kind): &(SocketAddr, ListenerKind)| {
            let shared = kind.uses_udp() && other_kind.uses_udp()
                || kind.uses_tcp() && other_kind.uses_tcp();
            other == addr && addr.port() != 0 && other_kind != kind && shared
        };
        if configured.iter().skip(index + 1).any(conflicts) {
            return Err(StartError::PortConflict { addr: *addr });
        }
    }
    Ok(())
}

/// Returns those of the addresses for UDP alone that are free. Of the others the log says why
/// clients are not served there, which prevents no start.
pub(crate) fn free_udp(
    wanted: &[SocketAddr],
    configured: &[(SocketAddr, ListenerKind)],
) -> Vec<SocketAddr> {
    let is_free = |addr: &&SocketAddr| {
        let conflicts = |(other, kind): &(SocketAddr, ListenerKind)| {
            let is_wildcard = addr.ip().is_unspecified() || other.ip().is_unspecified();
            let overlaps = other.ip() == addr.ip() || is_wildcard;
            let same_family = other.is_ipv4() == addr.is_ipv4();
            kind.uses_udp() && other.port() == addr.port() && same_family && overlaps
        };
        let bound = if configured.iter().any(conflicts) {
            Err(io::ErrorKind::AddrInUse.into())
        } else {
            bind(**addr, Type::DGRAM, Protocol::UDP)
        };
        let Err(error) = bound else { return true };
        let reason = if error.kind() == io::ErrorKind::AddrInUse {
            "something else listens there; end it and start again if clients are to have it, too"
                .to_owned()
        } else {
            error.to_string()
        };
        tracing::warn!("clients are not served over UDP at {addr}: {reason}");
        false
    };
    wanted.iter().filter(is_free).copied().collect()
}

fn open_set(listens: &[Listen]) -> Result<Sockets, StartError> {
    let mut sockets = Sockets::default();
    for Listen { addr, kind, expanded } in listens {
        if kind.uses_udp() {
            let to = if *kind == ListenerKind::Dtls { &mut sockets.dtls } else { &mut sockets.udp };
            match open_udp(*addr) {
                Ok(udp) => to.push((*addr, udp)),
                // The address has disappeared since the list was read.
                Err(_) if *expanded => continue,
                Err(error) => return Err(StartError::listen(*addr, "UDP", error)),
            }
        }
        if kind.uses_tcp() && !expanded {
            let to = if *kind == ListenerKind::Tls { &mut sockets.tls } else { &mut sockets.tcp };
            to.push(open_tcp(*addr).map_err(|e| StartError::listen(*addr, "TCP", e))?);
        }
    }
    Ok(sockets)
}

/// Checks that a port is free, and finds one that all its protocols can have if it is 0. The check
/// binds without SO_REUSEPORT: with it, a second server of the same user would silently get half of
/// the traffic.
fn free_port(addr: SocketAddr, kind: ListenerKind) -> Result<SocketAddr, StartError> {
    const TRIES: u32 = 16;
    let mut last = None;
    for _ in 0..if addr.port() == 0 { TRIES } else { 1 } {
        match probe(addr, kind) {
            Ok(found) => return Ok(found),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| StartError::listen(addr, "UDP", io::ErrorKind::AddrInUse.into())))
}

fn probe(addr: SocketAddr, kind: ListenerKind) -> Result<SocketAddr, StartError> {
    let (mut found, mut reserved) = (addr, None);
    if kind.uses_udp() {
        let udp = bind(addr, Type::DGRAM, Protocol::UDP)
            .map_err(|error| StartError::listen(addr, "UDP", error))?;
        found = udp.1;
        reserved = Some(udp.0);
    }
    if kind.uses_tcp() {
        let listening = |(socket, found): (Socket, SocketAddr)| socket.listen(1).map(|()| found);
        found = bind(found, Type::STREAM, Protocol::TCP)
            .and_then(listening)
            .map_err(|error| StartError::listen(found, "TCP", error))?;
    }
    drop(reserved);
    Ok(found)
}

fn bind(addr: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<(Socket, SocketAddr)> {
    let socket = socket(addr, kind, protocol)?;
    if protocol == Protocol::TCP {
        // Old connections of a server that just ended do not block the port; a listener does.
        socket.set_reuse_address(true)?;
    }
    socket.bind(&addr.into())?;
    let bound = socket.local_addr()?.as_socket().ok_or(io::ErrorKind::Unsupported)?;
    Ok((socket, SocketAddr::new(addr.ip(), bound.port())))
}

fn open_udp(addr: SocketAddr) -> io::Result<UdpSocket> {
    let socket = socket(addr, Type::DGRAM, Protocol::UDP)?;
    socket.set_reuse_port(true)?;
    grow_buffers(&socket, LISTENER_BUFFER);
    socket.bind(&addr.into())?;
    Ok(UdpSocket::from_std(socket.into()))
}

fn open_tcp(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket(addr, Type::STREAM, Protocol::TCP)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(TcpListener::from_std(socket.into()))
}

/// Opens the UDP socket of a relayed address.
pub(crate) fn open_relay(addr: SocketAddr) -> io::Result<UdpSocket> {
    let socket = socket(addr, Type::DGRAM, Protocol::UDP)?;
    grow_buffers(&socket, RELAY_BUFFER);
    socket.bind(&addr.into())?;
    Ok(UdpSocket::from_std(socket.into()))
}

/// Opens the listener of a relayed address for TCP; connections to peers share its port (RFC
/// 6062).
pub(crate) fn open_tcp_relay(addr: SocketAddr) -> io::Result<TcpListener> {
    // As in `free_port`: no other program may have the port.
    drop(bind(addr, Type::STREAM, Protocol::TCP)?);
    open_tcp(addr)
}

/// Begins to connect to a peer from a relayed address.
pub(crate) fn connect_from_relay(relay: SocketAddr, peer: SocketAddr) -> io::Result<TcpStream> {
    let socket = socket(relay, Type::STREAM, Protocol::TCP)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&relay.into())?;
    match socket.connect(&peer.into()) {
        Err(error) if !is_in_progress(&error) => Err(error),
        Ok(()) | Err(_) => Ok(TcpStream::from_std(socket.into())),
    }
}

#[cfg(unix)]
fn is_in_progress(error: &io::Error) -> bool {
    error.raw_os_error() == Some(nix::libc::EINPROGRESS)
}

#[cfg(not(unix))]
fn is_in_progress(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

fn socket(addr: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), kind, Some(protocol))?;
    if addr.is_ipv6() {
        // IPv4 has its own sockets, so no IPv4-mapped address appears anywhere.
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}
