//! UDP on Linux: UDP_GRO, UDP_SEGMENT, error queues and level-triggered epoll.

use std::io;
use std::io::{IoSlice, IoSliceMut};
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd as _};

use mio::net::UdpSocket;
use mio::{Registry, Token};
use nix::errno::Errno;
use nix::sys::epoll::{EpollEvent, EpollFlags, EpollOp};
use nix::sys::socket::sockopt::{
    Ipv4RecvErr, Ipv6DontFrag, Ipv6RecvErr, RcvBuf, RcvBufForce, SndBuf, SndBufForce, UdpGroSegment,
};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg, setsockopt,
};
use nix::{libc, setsockopt_impl, sockopt_impl};
use porthole_turn_proto::Family;
use rustix::net::addr::SocketAddrArg as _;
use rustix::net::{MMsgHdr, RecvFlags, SendAncillaryBuffer, SendFlags};

use super::{Datagrams, IcmpError};

sockopt_impl!(
    /// IP_MTU_DISCOVER: decides if packets get DF.
    IpMtuDiscover,
    SetOnly,
    libc::IPPROTO_IP,
    libc::IP_MTU_DISCOVER,
    libc::c_int
);

/// Enables UDP_GRO: one buffer may receive several datagrams of one source and length.
pub(super) fn receive_coalesced(socket: &UdpSocket) {
    if let Err(error) = setsockopt(socket, UdpGroSegment, &true) {
        tracing::debug!(%error, "datagrams are received one by one");
    }
}

/// Permits or forbids fragmentation. Returns true if that was possible.
pub(super) fn set_fragments(socket: &UdpSocket, family: Family, allowed: bool) -> bool {
    let mode = if allowed { libc::IP_PMTUDISC_DONT } else { libc::IP_PMTUDISC_DO };
    let set = match family {
        Family::V4 => setsockopt(socket, IpMtuDiscover, &mode),
        Family::V6 => setsockopt(socket, Ipv6DontFrag, &!allowed),
    };
    set.is_ok()
}

/// Returns true if the device cannot segment, or the segments do not fit its MTU.
pub(super) fn refuses_segments(error: &io::Error) -> bool {
    [libc::EIO, libc::EINVAL, libc::EMSGSIZE, libc::EOPNOTSUPP]
        .map(Some)
        .contains(&error.raw_os_error())
}

/// Returns true if a datagram was refused because it does not fit the MTU and has DF.
pub(super) fn exceeds_mtu(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EMSGSIZE)
}

/// Sends all datagrams in one call with UDP_SEGMENT; at best they stay one packet down to the
/// network device.
pub(super) fn send_segments(
    socket: &UdpSocket,
    to: SocketAddr,
    datagrams: Datagrams<'_>,
) -> io::Result<()> {
    let segment = u16::try_from(datagrams.segment).map_err(|_| Errno::EINVAL)?;
    let control = [ControlMessage::UdpGsoSegments(&segment)];
    let to = SockaddrStorage::from(to);
    sendmsg(socket.as_raw_fd(), datagrams.parts, &control, MsgFlags::empty(), Some(&to))?;
    Ok(())
}

/// Sends single datagrams to several destinations in one call. Returns how many were sent; the
/// next one was refused.
pub(super) fn send_each(socket: &UdpSocket, datagrams: &[(SocketAddr, Datagrams<'_>)]) -> usize {
    let addresses: Vec<_> = datagrams.iter().map(|(to, _)| to.as_any()).collect();
    let mut controls: Vec<_> = datagrams.iter().map(|_| SendAncillaryBuffer::default()).collect();
    let each = datagrams.iter().zip(&addresses).zip(&mut controls);
    let mut messages: Vec<_> = each
        .map(|(((_, datagrams), to), control)| MMsgHdr::new_with_addr(to, datagrams.parts, control))
        .collect();
    rustix::net::sendmmsg(socket, &mut messages, SendFlags::empty()).unwrap_or(0)
}

/// Sends a datagram that lies in one piece.
pub(super) fn send_to(socket: &UdpSocket, datagram: &[u8], to: SocketAddr) -> io::Result<()> {
    rustix::net::sendto(socket, datagram, SendFlags::empty(), &to)?;
    Ok(())
}

/// Receives one datagram; returns its length and source.
pub(super) fn receive_one(
    socket: &UdpSocket,
    buffer: &mut [u8],
) -> io::Result<(usize, SocketAddr)> {
    let (_, len, from) = rustix::net::recvfrom(socket, buffer, RecvFlags::empty())?;
    let from = from.and_then(|from| SocketAddr::try_from(from).ok());
    Ok((len, from.ok_or(io::ErrorKind::AddrNotAvailable)?))
}

/// Makes every poll report this socket as long as it holds data; mio registers edge-triggered.
pub(super) fn set_level_triggered(
    socket: &UdpSocket,
    registry: &Registry,
    token: Token,
) -> io::Result<()> {
    let data = u64::try_from(token.0).map_err(io::Error::other)?;
    let mut event = EpollEvent::new(EpollFlags::EPOLLIN, data);
    #[expect(deprecated, reason = "its replacement must own the epoll instance, which mio owns")]
    nix::sys::epoll::epoll_ctl(
        registry.as_raw_fd(),
        EpollOp::EpollCtlMod,
        socket.as_raw_fd(),
        &mut event,
    )?;
    Ok(())
}

/// Sends a datagram that lies in several parts.
pub(super) fn send_parts(
    socket: &UdpSocket,
    to: SocketAddr,
    parts: &[IoSlice<'_>],
) -> io::Result<()> {
    let to = SockaddrStorage::from(to);
    sendmsg(socket.as_raw_fd(), parts, &[], MsgFlags::empty(), Some(&to))?;
    Ok(())
}

/// Sets both buffer sizes: to `bytes` with CAP_NET_ADMIN, else to at most `net.core.rmem_max` and
/// `net.core.wmem_max`.
pub(super) fn grow_buffers(socket: &impl AsFd, bytes: usize) {
    let _ = setsockopt(socket, RcvBufForce, &bytes).or_else(|_| setsockopt(socket, RcvBuf, &bytes));
    let _ = setsockopt(socket, SndBufForce, &bytes).or_else(|_| setsockopt(socket, SndBuf, &bytes));
}

/// Makes the kernel put ICMP errors into the socket's error queue.
pub(super) fn queue_errors(socket: &UdpSocket, family: Family) {
    let queued = match family {
        Family::V4 => setsockopt(socket, Ipv4RecvErr, &true),
        Family::V6 => setsockopt(socket, Ipv6RecvErr, &true),
    };
    if let Err(error) = queued {
        tracing::debug!(%error, "ICMP errors will not be reported");
    }
}

/// Returns the next error in the queue that came from the network. Errors of this host itself are
/// reported by the send.
pub(super) fn next_error(socket: &UdpSocket) -> Option<IcmpError> {
    let mut control = nix::cmsg_space!(libc::sock_extended_err, libc::sockaddr_in6);
    loop {
        let mut nothing = [0; 1];
        let mut parts = [IoSliceMut::new(&mut nothing)];
        let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
        let fd = socket.as_raw_fd();
        let message = recvmsg::<SockaddrStorage>(fd, &mut parts, Some(&mut control), flags).ok()?;
        let peer = message.address.as_ref().and_then(socket_addr);
        let error = message.cmsgs().ok()?.find_map(|control| {
            let (ControlMessageOwned::Ipv4RecvErr(error, _)
            | ControlMessageOwned::Ipv6RecvErr(error, _)) = control
            else {
                return None;
            };
            Some(error)
        });
        let icmp = [libc::SO_EE_ORIGIN_ICMP, libc::SO_EE_ORIGIN_ICMP6];
        if let (Some(peer), Some(error)) = (peer, error)
            && icmp.contains(&error.ee_origin)
        {
            let (kind, code, data) = (error.ee_type, error.ee_code, error.ee_info);
            return Some(IcmpError { peer, kind, code, data });
        }
    }
}

fn socket_addr(addr: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = addr.as_sockaddr_in().map(|addr| SocketAddr::V4(SocketAddrV4::from(*addr)));
    let v6 = || addr.as_sockaddr_in6().map(|addr| SocketAddr::V6(SocketAddrV6::from(*addr)));
    v4.or_else(v6)
}
