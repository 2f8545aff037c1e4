//! A UDP socket that acts as many hosts: each packet carries the address it is sent from, and each
//! received one the address it was sent to.

use std::io;
use std::io::{ErrorKind, IoSliceMut};
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

/// Buffer size requested, so that the generator itself loses no packet.
const SOCKET_BUFFER: usize = 64 << 20;
/// Size of a receive buffer without UDP_GRO: more than a packet.
const BUFFER: usize = 2048;
/// Size of a receive buffer with UDP_GRO: more than it coalesces.
const BUFFER_GRO: usize = 65_536;

pub(crate) struct MultiHostSocket {
    socket: UdpSocket,
    state: UdpSocketState,
    buffer: Vec<u8>,
    buffer_size: usize,
    metas: [RecvMeta; BATCH_SIZE],
}

/// Waits until one of the sockets has a packet, or the time is over.
pub(crate) fn wait_for_any(sockets: [&MultiHostSocket; 2], time: Duration) -> Result<()> {
    let mut polls = sockets.map(|one| PollFd::new(one.socket.as_fd(), PollFlags::POLLIN));
    match ppoll(&mut polls, Some(TimeSpec::from_duration(time)), None) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// A received packet.
pub(crate) struct Received<'b> {
    pub(crate) bytes: &'b [u8],
    pub(crate) from: SocketAddr,
    /// The destination address, unless reading it is switched off.
    pub(crate) to: Option<Ipv4Addr>,
}

impl MultiHostSocket {
    /// Opens a socket on all addresses and its own port. `gro` lets the kernel coalesce packets of
    /// one flow.
    pub(crate) fn open(gro: bool) -> Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.set_nonblocking(true)?;
        setsockopt(&socket, sockopt::Ipv4PacketInfo, &true).context("IP_PKTINFO")?;
        if gro {
            setsockopt(&socket, sockopt::UdpGroSegment, &true).context("UDP_GRO")?;
        }
        // The state describes the system, not this socket, so it is made with another one: a socket
        // it is made with gets timestamps and UDP_GRO, which cost every packet of this kernel.
        let state = UdpSocketState::new((&UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?).into())?;
        grow_buffers(&socket);
        let buffer_size = if gro { BUFFER_GRO } else { BUFFER };
        let buffer = vec![0; buffer_size * BATCH_SIZE];
        Ok(Self { socket, state, buffer, buffer_size, metas: [RecvMeta::default(); BATCH_SIZE] })
    }

    /// Stops reading destination addresses: over loopback that would cost the sender time.
    pub(crate) fn stop_reading_destinations(&self) -> Result<()> {
        setsockopt(&self.socket, sockopt::Ipv4PacketInfo, &false).context("IP_PKTINFO")
    }

    pub(crate) fn port(&self) -> io::Result<u16> {
        Ok(self.socket.local_addr()?.port())
    }

    /// Sends `bytes`, as several packets of `segment` bytes if given. Waits while the buffer is
    /// full.
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
                Err(error) if is_transient(&error) => std::hint::spin_loop(),
                Err(error) => return Err(error),
            }
        }
    }

    /// Receives at most a batch without waiting; returns the number of packets.
    pub(crate) fn receive(&mut self, mut handle: impl FnMut(Received<'_>)) -> io::Result<usize> {
        let mut buffers = self.buffer.chunks_mut(self.buffer_size);
        let mut slices: [IoSliceMut<'_>; BATCH_SIZE] =
            std::array::from_fn(|_| IoSliceMut::new(buffers.next().unwrap_or_default()));
        let received = self.state.recv((&self.socket).into(), &mut slices, &mut self.metas);
        let filled = match received {
            Ok(filled) => filled,
            Err(error) if is_transient(&error) => return Ok(0),
            Err(error) => return Err(error),
        };
        let mut packets = 0;
        for (buffer, meta) in self.buffer.chunks(self.buffer_size).zip(&self.metas).take(filled) {
            let to = match meta.dst_ip {
                Some(IpAddr::V4(to)) => Some(to),
                Some(IpAddr::V6(_)) | None => None,
            };
            let coalesced = buffer.get(..meta.len).unwrap_or_default();
            for bytes in coalesced.chunks(meta.stride.max(1)) {
                packets += 1;
                handle(Received { bytes, from: meta.addr, to });
            }
        }
        Ok(packets)
    }
}

/// Returns true for errors that pass in a moment.
fn is_transient(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::Interrupted | ErrorKind::ConnectionRefused
    ) || error.raw_os_error() == Some(nix::libc::ENOBUFS)
}

/// Grows the buffers, beyond the limit of the system if permitted.
fn grow_buffers(socket: &UdpSocket) {
    let forced = setsockopt(socket, sockopt::RcvBufForce, &SOCKET_BUFFER)
        .and_then(|()| setsockopt(socket, sockopt::SndBufForce, &SOCKET_BUFFER));
    if forced.is_err() {
        let _ = SockRef::from(socket).set_recv_buffer_size(SOCKET_BUFFER);
        let _ = SockRef::from(socket).set_send_buffer_size(SOCKET_BUFFER);
    }
}
