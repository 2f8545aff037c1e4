//! UDP_GRO, UDP_SEGMENT and what else only Linux has.

use std::io::{self, IoSlice, IoSliceMut};
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

use super::{Datagrams, SocketError};

sockopt_impl!(
    /// Whether packets get DF.
    IpMtuDiscover,
    SetOnly,
    libc::IPPROTO_IP,
    libc::IP_MTU_DISCOVER,
    libc::c_int
);

/// Several datagrams of one source and length may come in one buffer.
pub(super) fn receive_coalesced(socket: &UdpSocket) {
    if let Err(error) = setsockopt(socket, UdpGroSegment, &true) {
        tracing::debug!(%error, "datagrams are received one by one");
    }
}

/// Whether that was possible.
pub(super) fn set_fragments(socket: &UdpSocket, family: Family, allowed: bool) -> bool {
    let mode = if allowed { libc::IP_PMTUDISC_DONT } else { libc::IP_PMTUDISC_DO };
    let set = match family {
        Family::V4 => setsockopt(socket, IpMtuDiscover, &mode),
        Family::V6 => setsockopt(socket, Ipv6DontFrag, &!allowed),
    };
    set.is_ok()
}

/// No segmentation with this device, or the segments do not fit its MTU.
pub(super) fn refuses_segments(error: &io::Error) -> bool {
    [libc::EIO, libc::EINVAL, libc::EMSGSIZE, libc::EOPNOTSUPP]
        .map(Some)
        .contains(&error.raw_os_error())
}

pub(super) fn is_too_long(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EMSGSIZE)
}

/// All of them in one call and, with luck, in one packet down to the network device.
pub(super) fn send_segments(
    socket: &UdpSocket,
    to: SocketAddr,
    what: Datagrams<'_>,
) -> io::Result<()> {
    let segment = u16::try_from(what.segment).map_err(|_| Errno::EINVAL)?;
    let control = [ControlMessage::UdpGsoSegments(&segment)];
    let to = SockaddrStorage::from(to);
    sendmsg(socket.as_raw_fd(), what.parts, &control, MsgFlags::empty(), Some(&to))?;
    Ok(())
}

/// One datagram each, in one call. How many were sent: what comes next was refused.
pub(super) fn send_each(socket: &UdpSocket, what: &[(SocketAddr, Datagrams<'_>)]) -> usize {
    let addresses: Vec<_> = what.iter().map(|(to, _)| to.as_any()).collect();
    let mut controls: Vec<_> = what.iter().map(|_| SendAncillaryBuffer::default()).collect();
    let each = what.iter().zip(&addresses).zip(&mut controls);
    let mut messages: Vec<_> = each
        .map(|(((_, what), to), control)| MMsgHdr::new_with_addr(to, what.parts, control))
        .collect();
    rustix::net::sendmmsg(socket, &mut messages, SendFlags::empty()).unwrap_or(0)
}

/// One datagram in one piece.
pub(super) fn send_to(socket: &UdpSocket, datagram: &[u8], to: SocketAddr) -> io::Result<()> {
    rustix::net::sendto(socket, datagram, SendFlags::empty(), &to)?;
    Ok(())
}

/// One datagram.
pub(super) fn receive_one(
    socket: &UdpSocket,
    buffer: &mut [u8],
) -> io::Result<(usize, SocketAddr)> {
    let (_, len, from) = rustix::net::recvfrom(socket, buffer, RecvFlags::empty())?;
    let from = from.and_then(|from| SocketAddr::try_from(from).ok());
    Ok((len, from.ok_or(io::ErrorKind::AddrNotAvailable)?))
}

/// Makes an event of this socket in every poll as long as it holds something. mio tells once.
pub(super) fn tell_again(socket: &UdpSocket, registry: &Registry, token: Token) -> io::Result<()> {
    let data = u64::try_from(token.0).map_err(io::Error::other)?;
    let mut event = EpollEvent::new(EpollFlags::EPOLLIN, data);
    #[expect(deprecated, reason = "its replacement wants to own the poll, which is mio's")]
    nix::sys::epoll::epoll_ctl(
        registry.as_raw_fd(),
        EpollOp::EpollCtlMod,
        socket.as_raw_fd(),
        &mut event,
    )?;
    Ok(())
}

/// One datagram.
pub(super) fn send_parts(
    socket: &UdpSocket,
    to: SocketAddr,
    parts: &[IoSlice<'_>],
) -> io::Result<()> {
    let to = SockaddrStorage::from(to);
    sendmsg(socket.as_raw_fd(), parts, &[], MsgFlags::empty(), Some(&to))?;
    Ok(())
}

/// With CAP_NET_ADMIN what is asked for, else as much as `net.core.rmem_max` and `wmem_max` allow.
pub(super) fn grow_buffers(socket: &impl AsFd, bytes: usize) {
    let _ = setsockopt(socket, RcvBufForce, &bytes).or_else(|_| setsockopt(socket, RcvBuf, &bytes));
    let _ = setsockopt(socket, SndBufForce, &bytes).or_else(|_| setsockopt(socket, SndBuf, &bytes));
}

/// ICMP errors go to the socket's error queue.
pub(super) fn queue_errors(socket: &UdpSocket, family: Family) {
    let queued = match family {
        Family::V4 => setsockopt(socket, Ipv4RecvErr, &true),
        Family::V6 => setsockopt(socket, Ipv6RecvErr, &true),
    };
    if let Err(error) = queued {
        tracing::debug!(%error, "ICMP errors will not be heard");
    }
}

/// The next one in the error queue that came from the network. What the host itself says of a
/// packet is told by the send.
pub(super) fn next_error(socket: &UdpSocket) -> Option<SocketError> {
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
            return Some(SocketError { peer, kind, code, data });
        }
    }
}

fn socket_addr(addr: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = addr.as_sockaddr_in().map(|addr| SocketAddr::V4(SocketAddrV4::from(*addr)));
    let v6 = || addr.as_sockaddr_in6().map(|addr| SocketAddr::V6(SocketAddrV6::from(*addr)));
    v4.or_else(v6)
}
