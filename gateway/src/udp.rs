//! The UDP port that all sessions share, for IPv4 and IPv6.
//!
//! Sends and receives several datagrams in one system call where the kernel supports it
//! (`UDP_SEGMENT`, `UDP_GRO`), and reports the local address at which each datagram arrived.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::BytesMut;
use porthole_gateway_core::Datagram;
use socket2::{Domain, Protocol, Socket, Type};
use tracing::debug;

use crate::batch_socket::{BatchSocket, Readable, Room, Sent, Slots, by_destination, run_length};

/// Size of the kernel's socket buffers: a key frame for many viewers leaves at once, and must not
/// be lost if this process is scheduled 50 ms late.
const SOCKET_BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// Limit of datagrams that wait for room in the socket: a key frame of 2.4 MB. Later ones are
/// dropped, as a full router would.
const MAX_UNSENT: usize = 2048;

/// Number of ports that are tried until one is free for both IPv4 and IPv6.
const PORT_TRIES: usize = 16;

/// A UDP port, bound for IPv4 and, where available, for IPv6.
pub(crate) struct Udp {
    v4: Option<BatchSocket>,
    v6: Option<BatchSocket>,
    slots: Slots,
    /// Datagrams that the kernel has not accepted yet, in order.
    unsent: VecDeque<Datagram>,
    /// The socket of the first of them; watched only while there are some.
    room: Option<Room>,
    /// Memory for the datagrams that one call sends, kept from call to call.
    joined: Vec<u8>,
}

/// A received datagram.
#[derive(Debug)]
pub(crate) struct ReceivedDatagram {
    /// The local address at which the datagram arrived.
    pub(crate) local: SocketAddr,
    pub(crate) from: SocketAddr,
    pub(crate) bytes: BytesMut,
}

impl Udp {
    /// Binds the same port for IPv4 and IPv6; 0 picks a free one. Without IPv6, binds IPv4 only.
    pub(crate) fn bind(port: u16) -> io::Result<Self> {
        let mut last = io::Error::from(io::ErrorKind::AddrInUse);
        for _ in 0..if port == 0 { PORT_TRIES } else { 1 } {
            let v4 = bind(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port)?;
            match bind(IpAddr::V6(Ipv6Addr::UNSPECIFIED), v4.local().port()) {
                Ok(v6) => return Ok(Self::new(Some(v4), Some(v6))),
                Err(e) if e.kind() == io::ErrorKind::AddrInUse => last = e,
                Err(e) => {
                    debug!("IPv6 is not available: {e}");
                    return Ok(Self::new(Some(v4), None));
                }
            }
        }
        Err(last)
    }

    fn new(v4: Option<BatchSocket>, v6: Option<BatchSocket>) -> Self {
        let (unsent, room, joined) = (VecDeque::new(), None, Vec::new());
        Self { v4, v6, slots: Slots::new(), unsent, room, joined }
    }

    /// Returns the bound port.
    pub(crate) fn port(&self) -> u16 {
        self.v4.as_ref().or(self.v6.as_ref()).map_or(0, |socket| socket.local().port())
    }

    /// Waits for datagrams and appends all that are there to `datagrams`. Sends waiting datagrams
    /// meanwhile.
    pub(crate) async fn receive(
        &mut self,
        datagrams: &mut Vec<ReceivedDatagram>,
    ) -> io::Result<()> {
        let Self { v4, v6, slots, room, .. } = self;
        let readable = tokio::select! {
            ready = readable(v4.as_mut()) => ready?,
            ready = readable(v6.as_mut()) => ready?,
            ready = writable(room.as_ref()) => {
                ready?;
                self.flush();
                return Ok(());
            }
        };
        let bound = readable.local;
        readable.receive(slots, |meta, datagram| {
            let local = SocketAddr::new(meta.dst_ip.unwrap_or(bound.ip()), bound.port());
            let bytes = BytesMut::from(datagram);
            datagrams.push(ReceivedDatagram { local, from: meta.addr, bytes });
        })
    }

    /// Sends as much as the kernel accepts now, and the rest when it has room. Datagrams for one
    /// destination leave in their order; others may overtake them.
    pub(crate) fn send(&mut self, batch: &[Datagram]) {
        if self.room.is_none() {
            self.flush();
        }
        let batch = by_destination(batch);
        let sent = if self.unsent.is_empty() { self.send_some(&batch) } else { 0 };
        let room = MAX_UNSENT.saturating_sub(self.unsent.len());
        let rest = batch.get(sent..).unwrap_or_default();
        if rest.len() > room {
            debug!("the UDP port is full; {} datagrams are dropped", rest.len() - room);
        }
        self.unsent.extend(rest.iter().take(room).copied().cloned());
        self.watch_room();
    }

    /// Sends datagrams from the front until the socket is full; returns how many are done, sent or
    /// failed.
    fn send_some(&mut self, batch: &[&Datagram]) -> usize {
        let mut done = 0;
        while let Some(rest) = batch.get(done..)
            && let Some(first) = rest.first()
        {
            let socket = if first.to.is_ipv4() { &self.v4 } else { &self.v6 };
            let run = run_length(rest, socket.as_ref().map_or(1, BatchSocket::max_segments));
            let head = rest.get(..run).unwrap_or_default();
            if let Some(socket) = socket
                && socket.send(head, &mut self.joined) == Sent::Blocked
            {
                break;
            }
            done += run;
        }
        done
    }

    /// Sends what waits, as far as there is room.
    fn flush(&mut self) {
        if self.unsent.is_empty() {
            return;
        }
        let mut waiting = std::mem::take(&mut self.unsent);
        let done = self.send_some(&waiting.iter().collect::<Vec<_>>());
        waiting.drain(..done);
        self.unsent = waiting;
        self.room = None;
        self.watch_room();
    }

    /// Watches for room while something waits for it.
    fn watch_room(&mut self) {
        let Some(first) = self.unsent.front().filter(|_| self.room.is_none()) else { return };
        let socket = if first.to.is_ipv4() { &self.v4 } else { &self.v6 };
        match socket.as_ref().map(BatchSocket::watch_room).transpose() {
            Ok(room) => self.room = room,
            // The next call tries again.
            Err(error) => debug!(%error, "the full UDP port cannot be watched"),
        }
    }
}

/// Waits until there is room in a full socket; forever without one.
async fn writable(room: Option<&Room>) -> io::Result<()> {
    match room {
        Some(room) => room.wait().await,
        None => std::future::pending().await,
    }
}

async fn readable(socket: Option<&mut BatchSocket>) -> io::Result<Readable<'_>> {
    match socket {
        Some(socket) => socket.readable().await,
        None => std::future::pending().await,
    }
}

fn bind(ip: IpAddr, port: u16) -> io::Result<BatchSocket> {
    let address = SocketAddr::new(ip, port);
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // The system may grant less; that may cost packets under load, but is no reason to fail.
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES);
    let _ = socket.set_send_buffer_size(SOCKET_BUFFER_BYTES);
    socket.bind(&address.into())?;
    BatchSocket::new(socket)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use tokio::time::timeout;

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn a_datagram_arrives_with_its_addresses() {
        let (mut receiver, mut sender) = (Udp::bind(0).unwrap(), Udp::bind(0).unwrap());
        for local in ["127.0.0.1", "127.0.0.2", "::1"] {
            let ip: IpAddr = local.parse().unwrap();
            let to = SocketAddr::new(ip, receiver.port());
            let from = SocketAddr::new(
                if ip.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { ip },
                sender.port(),
            );
            let bytes = |n: usize| Bytes::from(vec![n as u8; if n == 4 { 100 } else { 1000 }]);
            let batch: Vec<_> = (0..5).map(|n| Datagram { from, to, bytes: bytes(n) }).collect();
            sender.send(&batch);
            let mut received = Vec::new();
            while received.len() < 5 {
                let receiving = receiver.receive(&mut received);
                timeout(DEADLINE, receiving).await.expect("all five arrive").unwrap();
            }
            for (n, datagram) in received.iter().enumerate() {
                assert_eq!(datagram.bytes.as_ref(), bytes(n).as_ref(), "{local} {n}");
                assert_eq!((datagram.local, datagram.from), (to, from), "{local} {n}");
            }
        }
    }
}
