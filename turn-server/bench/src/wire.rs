//! One UDP socket that is many hosts: every packet names the address it comes from, and says which
//! one it came to.

use std::io::{self, ErrorKind, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd as _;
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::TimeSpec;
use quinn_udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSocketState};
use socket2::SockRef;

/// Asked for, so that the generator never is what loses a packet.
const SOCKET_BUFFER: usize = 64 << 20;
/// More than a packet without UDP_GRO, and more than what UDP_GRO joins.
const ROOM: usize = 2048;
const ROOM_GRO: usize = 65_536;

pub(crate) struct Wire {
    socket: UdpSocket,
    state: UdpSocketState,
    buffer: Vec<u8>,
    room: usize,
    metas: [RecvMeta; BATCH_SIZE],
}

/// Until one of them has a packet, or the time is over.
pub(crate) fn wait_for_any(wires: [&Wire; 2], time: Duration) -> Result<()> {
    let mut polls = wires.map(|wire| PollFd::new(wire.socket.as_fd(), PollFlags::POLLIN));
    match ppoll(&mut polls, Some(TimeSpec::from_duration(time)), None) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// A packet that came.
pub(crate) struct Received<'b> {
    pub(crate) bytes: &'b [u8],
    pub(crate) from: SocketAddr,
    /// Which of the hosts it came to, unless that was not asked for.
    pub(crate) to: Option<Ipv4Addr>,
}

impl Wire {
    /// On every address and a port of its own; `gro` lets the kernel join packets of one flow.
    pub(crate) fn open(gro: bool) -> Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.set_nonblocking(true)?;
        setsockopt(&socket, sockopt::Ipv4PacketInfo, &true).context("IP_PKTINFO")?;
        if gro {
            setsockopt(&socket, sockopt::UdpGroSegment, &true).context("UDP_GRO")?;
        }
        // The state is the system's, not the socket's. A socket that is made with it gets
        // timestamps and UDP_GRO: once one has them, they cost every packet of this kernel.
        let state = UdpSocketState::new((&UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?).into())?;
        grow_buffers(&socket);
        let room = if gro { ROOM_GRO } else { ROOM };
        let buffer = vec![0; room * BATCH_SIZE];
        Ok(Self { socket, state, buffer, room, metas: [RecvMeta::default(); BATCH_SIZE] })
    }

    /// From now on nobody is told which host a packet came to. Over loopback whoever sends it
    /// pays for finding that out.
    pub(crate) fn forget_destinations(&self) -> Result<()> {
        setsockopt(&self.socket, sockopt::Ipv4PacketInfo, &false).context("IP_PKTINFO")
    }

    pub(crate) fn port(&self) -> io::Result<u16> {
        Ok(self.socket.local_addr()?.port())
    }

    /// Sends, as several packets of `segment` bytes if given. A full buffer is waited for.
    pub(crate) fn send(
        &self,
        from: Ipv4Addr,
        to: SocketAddr,
        bytes: &[u8],
        segment: Option<usize>,
    ) -> io::Result<()> {
        let transmit = Transmit {
            destination: to,
            ecn: None,
            contents: bytes,
            segment_size: segment,
            src_ip: Some(IpAddr::V4(from)),
        };
        loop {
            match self.state.try_send((&self.socket).into(), &transmit) {
                Ok(()) => return Ok(()),
                Err(error) if is_passing(&error) => std::hint::spin_loop(),
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes what is there, at most a batch; returns how many packets that were.
    pub(crate) fn receive(&mut self, mut take: impl FnMut(Received<'_>)) -> io::Result<usize> {
        let mut rooms = self.buffer.chunks_mut(self.room);
        let mut slices: [IoSliceMut<'_>; BATCH_SIZE] =
            std::array::from_fn(|_| IoSliceMut::new(rooms.next().unwrap_or_default()));
        let received = self.state.recv((&self.socket).into(), &mut slices, &mut self.metas);
        let filled = match received {
            Ok(filled) => filled,
            Err(error) if is_passing(&error) => return Ok(0),
            Err(error) => return Err(error),
        };
        let mut packets = 0;
        for (room, meta) in self.buffer.chunks(self.room).zip(&self.metas).take(filled) {
            let to = match meta.dst_ip {
                Some(IpAddr::V4(to)) => Some(to),
                Some(IpAddr::V6(_)) | None => None,
            };
            let joined = room.get(..meta.len).unwrap_or_default();
            for bytes in joined.chunks(meta.stride.max(1)) {
                packets += 1;
                take(Received { bytes, from: meta.addr, to });
            }
        }
        Ok(packets)
    }
}

/// What is over in a moment.
fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::Interrupted | ErrorKind::ConnectionRefused
    ) || error.raw_os_error() == Some(nix::libc::ENOBUFS)
}

/// Beyond the system's bound if we may, else up to it.
fn grow_buffers(socket: &UdpSocket) {
    let forced = setsockopt(socket, sockopt::RcvBufForce, &SOCKET_BUFFER)
        .and_then(|()| setsockopt(socket, sockopt::SndBufForce, &SOCKET_BUFFER));
    if forced.is_err() {
        let _ = SockRef::from(socket).set_recv_buffer_size(SOCKET_BUFFER);
        let _ = SockRef::from(socket).set_send_buffer_size(SOCKET_BUFFER);
    }
}
