//! A UDP socket that receives and sends many datagrams per call where the system can.
//!
//! Everything specific to Linux is in `linux.rs`; on other systems `other.rs` sends one by one.

#[cfg(target_os = "linux")]
#[path = "udp/linux.rs"]
mod system;
#[cfg(not(target_os = "linux"))]
#[path = "udp/other.rs"]
mod system;

use std::io;
use std::io::{ErrorKind, IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::sync::Once;

use mio::net::UdpSocket;
use mio::{Interest, Registry, Token};
use porthole_turn_proto::Family;
use quinn_udp::{RecvMeta, UdpSocketState};
use socket2::Socket;

/// Most segments of one send: UDP_MAX_SEGMENTS of Linux before 6.9.
pub(crate) const MAX_SEGMENTS: usize = 64;
/// Most parts of one send; a segment has up to three (header, payload, padding).
pub(crate) const MAX_PARTS: usize = 2 * MAX_SEGMENTS;
/// Length of the longest segment. Longer datagrams are sent one by one: the system refuses segments
/// that do not fit the MTU, and most networks are Ethernet (1500, less the headers of IPv4 and
/// UDP).
pub(crate) const MAX_SEGMENT: usize = 1472;
/// Most bytes of one send: inside the system all its segments and headers are one IP packet.
pub(crate) const MAX_SEND: usize = 65_000;

/// Most datagrams to several destinations in one call: Linux's limit (`UIO_MAXIOV`) is far higher,
/// but their headers stay in the first level cache.
const MAX_MESSAGES: usize = 64;

/// One datagram, or several of the same length (the last may be shorter).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Datagrams<'a> {
    pub(crate) parts: &'a [IoSlice<'a>],
    /// The length of each datagram but the last.
    pub(crate) segment: usize,
    /// The number of datagrams.
    pub(crate) count: usize,
}

impl<'a> Datagrams<'a> {
    /// Describes a single datagram.
    pub(crate) fn one(parts: &'a [IoSlice<'a>]) -> Self {
        Self { parts, segment: parts.iter().map(|part| part.len()).sum(), count: 1 }
    }
}

/// An ICMP error about a datagram that this socket sent to `peer`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IcmpError {
    pub(crate) peer: SocketAddr,
    pub(crate) kind: u8,
    pub(crate) code: u8,
    pub(crate) data: u32,
}

/// Grows the receive and send buffers to `bytes`, or as far as the system permits.
pub(crate) fn grow_buffers(socket: &Socket, bytes: usize) {
    system::grow_buffers(socket, bytes);
}

/// A bound UDP socket with the options that it uses.
#[derive(Debug)]
pub(crate) struct Udp {
    socket: UdpSocket,
    family: Family,
    /// True if one buffer may receive several datagrams of one source and length.
    coalesces: bool,
    /// True if every poll reports the socket as long as it holds data.
    level_triggered: bool,
    /// True until the system refuses segments once: that depends on the network device.
    segmentation: bool,
    /// True if the system may fragment; see [`Self::allow_fragments`].
    fragments: bool,
}

impl Udp {
    /// Wraps a bound socket. Without `segmentation` every datagram takes a call of its own.
    pub(crate) fn new(socket: UdpSocket, family: Family, segmentation: bool) -> Self {
        // IPv6 has an identification only in fragments, and only the sender fragments.
        let fragments = family == Family::V6 || !system::set_fragments(&socket, family, false);
        Self { socket, family, coalesces: false, level_triggered: false, segmentation, fragments }
    }

    /// Registers the socket edge-triggered: an event reports new data, and a batch that is not full
    /// shows that nothing is left.
    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut self.socket, token, Interest::READABLE)
    }

    /// Registers the socket level-triggered where the system can: every poll reports it as long as
    /// it holds data.
    pub(crate) fn register_level_triggered(
        &mut self,
        registry: &Registry,
        token: Token,
    ) -> io::Result<()> {
        self.register(registry, token)?;
        self.level_triggered = system::set_level_triggered(&self.socket, registry, token).is_ok();
        Ok(())
    }

    /// Lets one buffer receive several datagrams of one source and length. This cannot be undone:
    /// datagrams already waiting in the socket would arrive as one long datagram.
    pub(crate) fn enable_coalescing(&mut self) {
        if self.segmentation && !self.coalesces {
            system::receive_coalesced(&self.socket);
            self.coalesces = true;
        }
    }

    pub(crate) fn coalesces(&self) -> bool {
        self.coalesces
    }

    /// Makes ICMP errors available through [`Self::next_error`]; an event reports each.
    pub(crate) fn queue_errors(&self) {
        system::queue_errors(&self.socket, self.family);
    }

    pub(crate) fn next_error(&self) -> Option<IcmpError> {
        system::next_error(&self.socket)
    }

    /// Receives into `buffers` and returns how many were filled. If fewer than given, nothing is
    /// left, and the next datagram makes an event.
    pub(crate) fn receive(
        &self,
        receiver: &Receiver,
        buffers: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> io::Result<usize> {
        receiver.0.recv((&self.socket).into(), buffers, metas)
    }

    /// Receives one datagram, uncoalesced: half the cost of a batch of one.
    pub(crate) fn receive_one(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        system::receive_one(&self.socket, buffer)
    }

    /// Returns true if data may remain although no further event will report it, after a call that
    /// filled `got` of `offered` buffers.
    pub(crate) fn may_have_more(&self, got: usize, offered: usize) -> bool {
        got == offered && (got > 1 || !self.level_triggered)
    }

    /// Sends in order and returns how many datagrams could not be sent. Consecutive single
    /// datagrams to different destinations share a call.
    pub(crate) fn send_all(&mut self, datagrams: &[(SocketAddr, Datagrams<'_>)]) -> usize {
        let (mut rest, mut failed) = (datagrams, 0);
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

    /// Sends to one destination and returns how many datagrams could not be sent.
    pub(crate) fn send(
        &mut self,
        to: SocketAddr,
        datagrams: Datagrams<'_>,
        dont_fragment: bool,
    ) -> usize {
        if datagrams.count > 1 && self.segmentation {
            match retry_once(|| system::send_segments(&self.socket, to, datagrams)) {
                Ok(()) => return 0,
                Err(error) if system::refuses_segments(&error) => self.stop_segmentation(&error),
                Err(_) => return datagrams.count,
            }
        }
        let mut rest = datagrams.parts;
        let mut failed = 0;
        for _ in 0..datagrams.count {
            let parts = first_datagram(rest, datagrams.segment);
            failed += usize::from(!self.send_one(to, parts, dont_fragment));
            rest = rest.get(parts.len()..).unwrap_or_default();
        }
        failed
    }

    /// Sends one datagram. Returns false if it could not be sent.
    fn send_one(&mut self, to: SocketAddr, parts: &[IoSlice<'_>], dont_fragment: bool) -> bool {
        let send = |socket: &UdpSocket| match parts {
            [datagram] => system::send_to(socket, datagram, to),
            parts => system::send_parts(socket, to, parts),
        };
        if dont_fragment && self.fragments {
            system::set_fragments(&self.socket, self.family, false);
            let sent = retry_once(|| send(&self.socket)).is_ok();
            system::set_fragments(&self.socket, self.family, true);
            return sent;
        }
        match retry_once(|| send(&self.socket)) {
            Ok(()) => true,
            Err(error) if system::exceeds_mtu(&error) && !dont_fragment && !self.fragments => {
                self.allow_fragments();
                retry_once(|| send(&self.socket)).is_ok()
            }
            Err(_) => false,
        }
    }

    /// Clears DF for this socket from now on. A socket begins with DF on everything it sends:
    /// packets that fit are then sent without an IP identification, which is shared by all sockets
    /// and costs a cache miss. The first datagram that is longer than the path's MTU ends that
    /// (RFC 8656 §14 wants DF clear).
    fn allow_fragments(&mut self) {
        self.fragments = system::set_fragments(&self.socket, self.family, true);
    }

    fn stop_segmentation(&mut self, error: &io::Error) {
        static ONCE: Once = Once::new();
        self.segmentation = false;
        ONCE.call_once(|| {
            tracing::info!(%error, "a socket cannot send segments: it sends datagrams one by one");
        });
    }
}

/// The state of receiving, shared by all sockets of a thread.
#[derive(Debug)]
pub(crate) struct Receiver(UdpSocketState);

impl Receiver {
    pub(crate) fn new() -> io::Result<Self> {
        // The state describes the system, not this socket.
        let socket = std::net::UdpSocket::bind((std::net::Ipv4Addr::LOCALHOST, 0))?;
        UdpSocketState::new((&socket).into()).map(Self)
    }
}

/// Sends, and sends once more after an ICMP error: the system reports an earlier error through the
/// next send, whatever its destination, and does not send that datagram.
fn retry_once(mut send: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    match send() {
        Err(error) if is_earlier_icmp_error(&error) => send(),
        sent => sent,
    }
}

fn is_earlier_icmp_error(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionRefused | ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable
    )
}

/// Returns the parts of the first datagram; the last one may be shorter than a segment.
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
