//! Opening the listening sockets, a set for each worker.

use std::io;
use std::net::{IpAddr, SocketAddr};

use mio::net::{TcpListener, UdpSocket};
use socket2::{Domain, Protocol, Socket, Type};

use crate::addresses::Listen;
use crate::error::StartError;
use crate::udp::grow_buffers;

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
    pub(crate) tcp: Vec<TcpListener>,
}

/// Every address for every worker, or the first error.
pub(crate) fn open_all(
    configured: &[SocketAddr],
    own: &[IpAddr],
    workers: usize,
) -> Result<(Vec<Listen>, Vec<Sockets>), StartError> {
    let mut listens = Vec::new();
    for addr in configured {
        let addr = free_port(*addr)?;
        listens.push(Listen { addr, expanded: false });
        if addr.ip().is_unspecified() {
            let same_family = own.iter().filter(|ip| ip.is_ipv4() == addr.is_ipv4());
            let expand = |ip: &IpAddr| SocketAddr::new(*ip, addr.port());
            listens.extend(same_family.map(expand).map(|addr| Listen { addr, expanded: true }));
        }
    }
    // Twice the same socket would halve its traffic.
    let mut seen: Vec<SocketAddr> = Vec::new();
    listens.retain(|l| {
        let new = !seen.contains(&l.addr);
        seen.push(l.addr);
        new
    });
    let mut sets = Vec::new();
    for _ in 0..workers {
        sets.push(open_set(&listens)?);
    }
    Ok((listens, sets))
}

fn open_set(listens: &[Listen]) -> Result<Sockets, StartError> {
    let mut sockets = Sockets::default();
    for Listen { addr, expanded } in listens {
        match open_udp(*addr) {
            Ok(udp) => sockets.udp.push((*addr, udp)),
            // An address that went away since the list was made.
            Err(_) if *expanded => continue,
            Err(error) => return Err(StartError::listen(*addr, "UDP", error)),
        }
        if !expanded {
            let tcp = open_tcp(*addr).map_err(|e| StartError::listen(*addr, "TCP", e))?;
            sockets.tcp.push(tcp);
        }
    }
    Ok(sockets)
}

/// SO_REUSEPORT would let a second server of the same user take half of the traffic in silence:
/// so each port is first bound without. Finds a port for 0 that both UDP and TCP have.
fn free_port(addr: SocketAddr) -> Result<SocketAddr, StartError> {
    const TRIES: u32 = 16;
    let mut last = None;
    for _ in 0..if addr.port() == 0 { TRIES } else { 1 } {
        match probe(addr) {
            Ok(found) => return Ok(found),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| StartError::listen(addr, "UDP", io::ErrorKind::AddrInUse.into())))
}

fn probe(addr: SocketAddr) -> Result<SocketAddr, StartError> {
    let udp = || -> io::Result<(Socket, SocketAddr)> {
        let socket = socket(addr, Type::DGRAM, Protocol::UDP)?;
        socket.bind(&addr.into())?;
        let bound = socket.local_addr()?.as_socket().ok_or(io::ErrorKind::Unsupported)?;
        Ok((socket, SocketAddr::new(addr.ip(), bound.port())))
    };
    let (_held, addr) = udp().map_err(|error| StartError::listen(addr, "UDP", error))?;
    let tcp = || -> io::Result<()> {
        let socket = socket(addr, Type::STREAM, Protocol::TCP)?;
        // Connections of a server that just ended do not count, a listening one does.
        socket.set_reuse_address(true)?;
        socket.bind(&addr.into())?;
        socket.listen(1)
    };
    tcp().map_err(|error| StartError::listen(addr, "TCP", error))?;
    Ok(addr)
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

fn socket(addr: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), kind, Some(protocol))?;
    if addr.is_ipv6() {
        // IPv4 has its own sockets: no mapped addresses anywhere.
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}
