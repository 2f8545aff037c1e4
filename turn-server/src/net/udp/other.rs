//! UDP on other systems: one datagram per call, fragmented as the system decides.

use std::io;
use std::io::{ErrorKind, IoSlice};
use std::net::SocketAddr;

use mio::net::UdpSocket;
use mio::{Registry, Token};
use porthole_turn_proto::Family;
use socket2::Socket;

use super::{Datagrams, IcmpError};

pub(super) fn receive_coalesced(_: &UdpSocket) {}

pub(super) fn set_fragments(_: &UdpSocket, _: Family, allowed: bool) -> bool {
    allowed
}

pub(super) fn refuses_segments(error: &io::Error) -> bool {
    error.kind() == ErrorKind::Unsupported
}

pub(super) fn exceeds_mtu(_: &io::Error) -> bool {
    false
}

pub(super) fn send_segments(_: &UdpSocket, _: SocketAddr, _: Datagrams<'_>) -> io::Result<()> {
    Err(ErrorKind::Unsupported.into())
}

pub(super) fn send_each(_: &UdpSocket, _: &[(SocketAddr, Datagrams<'_>)]) -> usize {
    0
}

pub(super) fn send_to(socket: &UdpSocket, datagram: &[u8], to: SocketAddr) -> io::Result<()> {
    socket.send_to(datagram, to).map(drop)
}

pub(super) fn receive_one(
    socket: &UdpSocket,
    buffer: &mut [u8],
) -> io::Result<(usize, SocketAddr)> {
    socket.recv_from(buffer)
}

pub(super) fn set_level_triggered(_: &UdpSocket, _: &Registry, _: Token) -> io::Result<()> {
    Err(ErrorKind::Unsupported.into())
}

pub(super) fn send_parts(
    socket: &UdpSocket,
    to: SocketAddr,
    parts: &[IoSlice<'_>],
) -> io::Result<()> {
    let datagram: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
    socket.send_to(&datagram, to).map(drop)
}

pub(super) fn grow_buffers(socket: &Socket, bytes: usize) {
    let _ = socket.set_recv_buffer_size(bytes);
    let _ = socket.set_send_buffer_size(bytes);
}

pub(super) fn queue_errors(_: &UdpSocket, _: Family) {}

pub(super) fn next_error(_: &UdpSocket) -> Option<IcmpError> {
    None
}
