//! A UDP socket that takes and gives many datagrams in a call where the system can.
//!
//! Everything that is Linux's own is in `linux.rs`; elsewhere `other.rs` sends one by one.

#[cfg(target_os = "linux")]
#[path = "udp/linux.rs"]
mod system;
#[cfg(not(target_os = "linux"))]
#[path = "udp/other.rs"]
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

/// Datagrams to several destinations in one call: `UIO_MAXIOV` of Linux is far above, and their
/// headers stay in the first level cache.
const MAX_MESSAGES: usize = 64;

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
    /// Whether several datagrams of one source and length may come in one buffer.
    joins: bool,
    /// Whether the poll tells again of what was left.
    told_again: bool,
    /// Until the system refuses once: it depends on the network device.
    segmentation: bool,
    /// Whether the system may fragment; see [`Self::allow_fragments`].
    fragments: bool,
}

impl Udp {
    /// Without `segmentation` every datagram takes a call of its own.
    pub(crate) fn new(socket: UdpSocket, family: Family, segmentation: bool) -> Self {
        // IPv6 writes an identification only when it fragments, and only the sender does.
        let fragments = family == Family::V6 || !system::set_fragments(&socket, family, false);
        Self { socket, family, joins: false, told_again: false, segmentation, fragments }
    }

    /// An event says that something came; a batch that is not full, that nothing is left.
    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut self.socket, token, Interest::READABLE)
    }

    /// Where the system can, every poll makes an event as long as something is there.
    pub(crate) fn register_to_be_told_again(
        &mut self,
        registry: &Registry,
        token: Token,
    ) -> io::Result<()> {
        self.register(registry, token)?;
        self.told_again = system::tell_again(&self.socket, registry, token).is_ok();
        Ok(())
    }

    /// From now on several datagrams of one source and length may come in one buffer. There is no
    /// way back: those that wait in the socket would come as one long datagram.
    pub(crate) fn join_datagrams(&mut self) {
        if self.segmentation && !self.joins {
            system::receive_coalesced(&self.socket);
            self.joins = true;
        }
    }

    pub(crate) fn joins_datagrams(&self) -> bool {
        self.joins
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

    /// One datagram of a socket that does not join them: half the price of a batch of one.
    pub(crate) fn receive_one(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        system::receive_one(&self.socket, buffer)
    }

    /// Whether something may be left of which no event will tell.
    pub(crate) fn may_have_more(&self, got: usize, offered: usize) -> bool {
        got == offered && (got > 1 || !self.told_again)
    }

    /// How many datagrams could not be sent. Lone ones to several destinations share a call.
    pub(crate) fn send_all(&mut self, what: &[(SocketAddr, Datagrams<'_>)]) -> usize {
        let (mut rest, mut failed) = (what, 0);
        while let Some(((to, first), others)) = rest.split_first() {
            let lone = rest.iter().take_while(|(_, datagrams)| datagrams.count == 1).count();
            let sent = match rest.get(..lone.min(MAX_MESSAGES)) {
                Some(several @ [_, _, ..]) => system::send_each(&self.socket, several),
                Some(_) | None => 0,
            };
            if sent == 0 {
                failed += self.send(*to, *first, false);
                rest = others;
            } else {
                rest = rest.get(sent..).unwrap_or_default();
            }
        }
        failed
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
            [datagram] => system::send_to(socket, datagram, to),
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

#[cfg(test)]
mod tests;
