//! Opening the listening sockets, a set for each worker.

use std::io;
use std::net::{IpAddr, SocketAddr};

use mio::net::{TcpListener, TcpStream, UdpSocket};
use socket2::{Domain, Protocol, Socket, Type};

use crate::error::StartError;
use crate::net::addresses::{Listen, Speaks};
use crate::net::udp::grow_buffers;

/// Asked for; without CAP_NET_ADMIN the kernel gives what `net.core.rmem_max` allows. A key frame
/// for a hundred clients comes in one burst, and a stalled thread must not lose it.
const LISTENER_BUFFER: usize = 4 << 20;
/// Of one allocation: 50 ms of 40 Mbit/s in small packets, with what the kernel counts for each.
const RELAY_BUFFER: usize = 1 << 20;
/// Connections that wait to be accepted.
const BACKLOG: i32 = 1024;

/// The listening sockets of one worker.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    pub(crate) udp: Vec<(SocketAddr, UdpSocket)>,
    pub(crate) dtls: Vec<(SocketAddr, UdpSocket)>,
    pub(crate) tcp: Vec<TcpListener>,
    pub(crate) tls: Vec<TcpListener>,
}

/// Every address for every worker, or the first error.
pub(crate) fn open_all(
    configured: &[(SocketAddr, Speaks)],
    own: &[IpAddr],
    workers: usize,
) -> Result<(Vec<Listen>, Vec<Sockets>), StartError> {
    let mut listens = Vec::new();
    for (addr, speaks) in configured {
        let addr = free_port(*addr, *speaks)?;
        listens.push(Listen { addr, speaks: *speaks, expanded: false });
        if addr.ip().is_unspecified() && speaks.over_udp() {
            let same_family = own.iter().filter(|ip| ip.is_ipv4() == addr.is_ipv4());
            listens.extend(same_family.map(|ip| {
                let addr = SocketAddr::new(*ip, addr.port());
                Listen { addr, speaks: *speaks, expanded: true }
            }));
        }
    }
    // Twice the same socket would halve its traffic.
    let mut seen: Vec<Listen> = Vec::new();
    for listen in listens {
        if !seen.iter().any(|l| (l.addr, l.speaks) == (listen.addr, listen.speaks)) {
            seen.push(listen);
        }
    }
    let sets = (0..workers).map(|_| open_set(&seen)).collect::<Result<_, _>>()?;
    Ok((seen, sets))
}

/// One port for two things would serve each client as one or the other by chance.
pub(crate) fn refuse_twice(configured: &[(SocketAddr, Speaks)]) -> Result<(), StartError> {
    for (index, (addr, speaks)) in configured.iter().enumerate() {
        let clashes = |(other, says): &(SocketAddr, Speaks)| {
            let shared =
                speaks.over_udp() && says.over_udp() || speaks.over_tcp() && says.over_tcp();
            other == addr && addr.port() != 0 && says != speaks && shared
        };
        if configured.iter().skip(index + 1).any(clashes) {
            return Err(StartError::Twice { addr: *addr });
        }
    }
    Ok(())
}

fn open_set(listens: &[Listen]) -> Result<Sockets, StartError> {
    let mut sockets = Sockets::default();
    for Listen { addr, speaks, expanded } in listens {
        if speaks.over_udp() {
            let to = if *speaks == Speaks::Dtls { &mut sockets.dtls } else { &mut sockets.udp };
            match open_udp(*addr) {
                Ok(udp) => to.push((*addr, udp)),
                // An address that went away since the list was made.
                Err(_) if *expanded => continue,
                Err(error) => return Err(StartError::listen(*addr, "UDP", error)),
            }
        }
        if speaks.over_tcp() && !expanded {
            let to = if *speaks == Speaks::Tls { &mut sockets.tls } else { &mut sockets.tcp };
            to.push(open_tcp(*addr).map_err(|e| StartError::listen(*addr, "TCP", e))?);
        }
    }
    Ok(sockets)
}

/// SO_REUSEPORT would let a second server of the same user take half of the traffic in silence:
/// so each port is first bound without. Finds a port for 0 that all protocols have.
fn free_port(addr: SocketAddr, speaks: Speaks) -> Result<SocketAddr, StartError> {
    const TRIES: u32 = 16;
    let mut last = None;
    for _ in 0..if addr.port() == 0 { TRIES } else { 1 } {
        match probe(addr, speaks) {
            Ok(found) => return Ok(found),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| StartError::listen(addr, "UDP", io::ErrorKind::AddrInUse.into())))
}

fn probe(addr: SocketAddr, speaks: Speaks) -> Result<SocketAddr, StartError> {
    let (mut found, mut held) = (addr, None);
    if speaks.over_udp() {
        let udp = bind(addr, Type::DGRAM, Protocol::UDP)
            .map_err(|error| StartError::listen(addr, "UDP", error))?;
        found = udp.1;
        held = Some(udp.0);
    }
    if speaks.over_tcp() {
        let listening = |(socket, found): (Socket, SocketAddr)| socket.listen(1).map(|()| found);
        found = bind(found, Type::STREAM, Protocol::TCP)
            .and_then(listening)
            .map_err(|error| StartError::listen(found, "TCP", error))?;
    }
    drop(held);
    Ok(found)
}

fn bind(addr: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<(Socket, SocketAddr)> {
    let socket = socket(addr, kind, protocol)?;
    if protocol == Protocol::TCP {
        // Connections of a server that just ended do not count, a listening one does.
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

/// A socket for one allocation.
pub(crate) fn open_relay(addr: SocketAddr) -> io::Result<UdpSocket> {
    let socket = socket(addr, Type::DGRAM, Protocol::UDP)?;
    grow_buffers(&socket, RELAY_BUFFER);
    socket.bind(&addr.into())?;
    Ok(UdpSocket::from_std(socket.into()))
}

/// The listener of a TCP relay, whose port its connections to peers share.
pub(crate) fn open_tcp_relay(addr: SocketAddr) -> io::Result<TcpListener> {
    // As with listeners: nobody else is to have it.
    drop(bind(addr, Type::STREAM, Protocol::TCP)?);
    open_tcp(addr)
}

/// Begins to connect from there.
pub(crate) fn connect_from_relay(relay: SocketAddr, peer: SocketAddr) -> io::Result<TcpStream> {
    let socket = socket(relay, Type::STREAM, Protocol::TCP)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&relay.into())?;
    match socket.connect(&peer.into()) {
        Err(error) if !is_under_way(&error) => Err(error),
        Ok(()) | Err(_) => Ok(TcpStream::from_std(socket.into())),
    }
}

#[cfg(unix)]
fn is_under_way(error: &io::Error) -> bool {
    error.raw_os_error() == Some(nix::libc::EINPROGRESS)
}

#[cfg(not(unix))]
fn is_under_way(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

fn socket(addr: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), kind, Some(protocol))?;
    if addr.is_ipv6() {
        // IPv4 has its own sockets: no mapped addresses anywhere.
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}
