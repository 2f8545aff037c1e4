//! A UDP socket that takes and gives many datagrams in a call where the system can.
//!
//! Everything that is Linux's own is in `linux.rs`; elsewhere `other.rs` sends one by one.

#[cfg(target_os = "linux")]
#[path = "linux.rs"]
mod system;
#[cfg(not(target_os = "linux"))]
#[path = "other.rs"]
mod system;

use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::sync::Once;

use mio::net::UdpSocket;
use mio::{Interest, Registry, Token};
use porthole_turn_proto::Family;
use quinn_udp::{RecvMeta, UdpSocketState};
use socket2::Socket;

/// Segments of one send: UDP_MAX_SEGMENTS of Linux before 6.9.
pub(crate) const MAX_SEGMENTS: usize = 64;
/// Pieces of one send; a segment has up to three (header, payload, padding).
pub(crate) const MAX_PARTS: usize = 2 * MAX_SEGMENTS;
/// Longer datagrams go one by one: the system refuses segments that do not fit the MTU, and most
/// networks are Ethernet (1500, less the headers of IPv4 and UDP).
pub(crate) const MAX_SEGMENT: usize = 1472;
/// All segments of one send, headers included, are one IP packet inside the system.
pub(crate) const MAX_SEND: usize = 65_000;

/// One datagram, or several of the same length (the last may be shorter).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Datagrams<'a> {
    pub(crate) parts: &'a [IoSlice<'a>],
    /// Length of all datagrams but the last.
    pub(crate) segment: usize,
    pub(crate) count: usize,
}

impl<'a> Datagrams<'a> {
    /// One datagram.
    pub(crate) fn one(parts: &'a [IoSlice<'a>]) -> Self {
        Self { parts, segment: parts.iter().map(|part| part.len()).sum(), count: 1 }
    }
}

/// An ICMP error about a datagram that was sent to this peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SocketError {
    pub(crate) peer: SocketAddr,
    pub(crate) kind: u8,
    pub(crate) code: u8,
    pub(crate) data: u32,
}

/// As far as the system lets us.
pub(crate) fn grow_buffers(socket: &Socket, bytes: usize) {
    system::grow_buffers(socket, bytes);
}

/// A bound socket.
#[derive(Debug)]
pub(crate) struct Udp {
    socket: UdpSocket,
    family: Family,
    /// Until the system refuses once: it depends on the network device.
    segmentation: bool,
    /// Whether the system may fragment; see [`Self::allow_fragments`].
    fragments: bool,
}

impl Udp {
    /// Without `segmentation` every datagram takes a call of its own.
    pub(crate) fn new(socket: UdpSocket, family: Family, segmentation: bool) -> Self {
        if segmentation {
            system::receive_coalesced(&socket);
        }
        // IPv6 writes an identification only when it fragments, and only the sender does.
        let fragments = family == Family::V6 || !system::set_fragments(&socket, family, false);
        Self { socket, family, segmentation, fragments }
    }

    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut self.socket, token, Interest::READABLE)
    }

    /// From now on [`Self::next_error`] tells what the network says, and an event says when.
    pub(crate) fn queue_errors(&self) {
        system::queue_errors(&self.socket, self.family);
    }

    pub(crate) fn next_error(&self) -> Option<SocketError> {
        system::next_error(&self.socket)
    }

    /// How many of the buffers were filled. Fewer than given: nothing more is there, and the next
    /// datagram makes an event.
    pub(crate) fn receive(
        &self,
        receiver: &Receiver,
        buffers: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> io::Result<usize> {
        receiver.0.recv((&self.socket).into(), buffers, metas)
    }

    /// How many datagrams could not be sent.
    pub(crate) fn send(&mut self, to: SocketAddr, what: Datagrams<'_>, whole: bool) -> usize {
        if what.count > 1 && self.segmentation {
            match retried(|| system::send_segments(&self.socket, to, what)) {
                Ok(()) => return 0,
                Err(error) if system::refuses_segments(&error) => self.stop_segmentation(&error),
                Err(_) => return what.count,
            }
        }
        let mut rest = what.parts;
        let mut failed = 0;
        for _ in 0..what.count {
            let parts = first_datagram(rest, what.segment);
            failed += usize::from(!self.send_one(to, parts, whole));
            rest = rest.get(parts.len()..).unwrap_or_default();
        }
        failed
    }

    /// One datagram. `whole`: it must not be fragmented.
    fn send_one(&mut self, to: SocketAddr, parts: &[IoSlice<'_>], whole: bool) -> bool {
        let send = |socket: &UdpSocket| match parts {
            [datagram] => socket.send_to(datagram, to).map(drop),
            parts => system::send_parts(socket, to, parts),
        };
        if whole && self.fragments {
            system::set_fragments(&self.socket, self.family, false);
            let sent = retried(|| send(&self.socket)).is_ok();
            system::set_fragments(&self.socket, self.family, true);
            return sent;
        }
        match retried(|| send(&self.socket)) {
            Ok(()) => true,
            Err(error) if system::is_too_long(&error) && !whole && !self.fragments => {
                self.allow_fragments();
                retried(|| send(&self.socket)).is_ok()
            }
            Err(_) => false,
        }
    }

    /// A socket begins with DF on all it sends: what fits is then sent without an IP
    /// identification, which is shared by all sockets and costs a cache miss. The first datagram
    /// that is longer than the path's MTU ends that for this socket (RFC 8656 §14 wants DF clear).
    fn allow_fragments(&mut self) {
        self.fragments = system::set_fragments(&self.socket, self.family, true);
    }

    fn stop_segmentation(&mut self, error: &io::Error) {
        static ONCE: Once = Once::new();
        self.segmentation = false;
        ONCE.call_once(|| {
            tracing::info!(%error, "a socket cannot send segments: its datagrams go one by one");
        });
    }
}

/// Receives for every socket of a thread.
#[derive(Debug)]
pub(crate) struct Receiver(UdpSocketState);

impl Receiver {
    pub(crate) fn new() -> io::Result<Self> {
        // The state is the system's, not the socket's.
        let socket = std::net::UdpSocket::bind((std::net::Ipv4Addr::LOCALHOST, 0))?;
        UdpSocketState::new((&socket).into()).map(Self)
    }
}

/// An ICMP error that came earlier is told by the next send, whomever that one is for, and undoes
/// it: so such a send is tried again.
fn retried(mut send: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    match send() {
        Err(error) if is_of_an_earlier_one(&error) => send(),
        sent => sent,
    }
}

fn is_of_an_earlier_one(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionRefused | ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable
    )
}

/// The parts of the first datagram; the last one may be shorter than a segment.
fn first_datagram<'p, 'd>(parts: &'p [IoSlice<'d>], segment: usize) -> &'p [IoSlice<'d>] {
    let mut len = 0;
    let end = parts.iter().position(|part| {
        len += part.len();
        len >= segment
    });
    end.and_then(|end| parts.get(..=end)).unwrap_or(parts)
}
