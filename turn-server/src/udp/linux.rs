//! UDP_GRO, UDP_SEGMENT and what else only Linux has.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::AsRawFd as _;

use mio::net::UdpSocket;
use nix::errno::Errno;
use nix::sys::socket::sockopt::{Ipv6DontFrag, UdpGroSegment};
use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrStorage, sendmsg, setsockopt};
use nix::{libc, setsockopt_impl, sockopt_impl};

use porthole_turn_proto::Family;

use super::Datagrams;

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
