//! The UDP port that all sessions share, for IPv4 and IPv6.
//!
//! Sends and receives several datagrams in one system call where the kernel supports it
//! (`UDP_SEGMENT`, `UDP_GRO`), and reports the local address at which each datagram arrived.

use std::collections::VecDeque;
use std::io;
use std::io::IoSliceMut;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::BytesMut;
use porthole_gateway_core::Datagram;
use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tracing::{debug, trace};

/// Size of the kernel's socket buffers: a key frame for many viewers leaves at once, and must not
/// be lost if this process is scheduled 50 ms late.
const SOCKET_BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// Number of receive slots that one system call can fill.
const RECEIVE_BATCH: usize = 16;

/// Size of a receive slot, which may hold several datagrams joined by GRO.
const RECEIVE_SLOT_BYTES: usize = 64 * 1024;

/// Limit of datagrams that wait for room in the socket: a key frame of 2.4 MB. Later ones are
/// dropped, as a full router would.
const MAX_UNSENT: usize = 2048;

/// Number of ports that are tried until one is free for both IPv4 and IPv6.
const PORT_TRIES: usize = 16;

/// A UDP port, bound for IPv4 and, where available, for IPv6.
pub(crate) struct Udp {
    v4: Option<FamilySocket>,
    v6: Option<FamilySocket>,
    slots: Vec<Vec<u8>>,
    /// Datagrams that the kernel has not accepted yet, in order.
    unsent: VecDeque<Datagram>,
}

struct FamilySocket {
    inner: UdpSocket,
    state: UdpSocketState,
    local: SocketAddr,
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
            let v4 = FamilySocket::bind(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port)?;
            match FamilySocket::bind(IpAddr::V6(Ipv6Addr::UNSPECIFIED), v4.local.port()) {
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

    fn new(v4: Option<FamilySocket>, v6: Option<FamilySocket>) -> Self {
        Self {
            v4,
            v6,
            slots: vec![vec![0; RECEIVE_SLOT_BYTES]; RECEIVE_BATCH],
            unsent: VecDeque::new(),
        }
    }

    /// Returns the bound port.
    pub(crate) fn port(&self) -> u16 {
        self.v4.as_ref().or(self.v6.as_ref()).map_or(0, |socket| socket.local.port())
    }

    /// Waits for datagrams and appends all that are there to `datagrams`. Sends waiting datagrams
    /// meanwhile.
    pub(crate) async fn receive(
        &mut self,
        datagrams: &mut Vec<ReceivedDatagram>,
    ) -> io::Result<()> {
        let next = self.unsent.front().map(|datagram| datagram.to);
        let blocked = next.and_then(|to| self.socket_for(to));
        let socket = tokio::select! {
            ready = readable(self.v4.as_ref()) => { ready?; self.v4.as_ref() }
            ready = readable(self.v6.as_ref()) => { ready?; self.v6.as_ref() }
            ready = writable(blocked) => { ready?; None }
        };
        let Some(socket) = socket else {
            self.flush();
            return Ok(());
        };
        let slots = &mut self.slots;
        socket.receive(slots, datagrams)
    }

    /// Sends as much as the kernel accepts now, and the rest when it has room.
    pub(crate) fn send(&mut self, batch: &[Datagram]) {
        let sent = if self.unsent.is_empty() { self.send_some(batch) } else { 0 };
        let room = MAX_UNSENT.saturating_sub(self.unsent.len());
        let rest = batch.get(sent..).unwrap_or_default();
        if rest.len() > room {
            debug!("the UDP port is full; {} datagrams are dropped", rest.len() - room);
        }
        self.unsent.extend(rest.iter().take(room).cloned());
    }

    /// Sends datagrams from the front until the socket is full; returns how many are done, sent or
    /// failed.
    fn send_some(&self, batch: &[Datagram]) -> usize {
        let mut done = 0;
        while let Some((rest, first)) =
            batch.get(done..).and_then(|rest| rest.first().map(|f| (rest, f)))
        {
            let run = gso_run_length(rest, self.max_segments(first.to));
            let head = rest.get(..run).unwrap_or_default();
            if self
                .socket_for(first.to)
                .is_some_and(|socket| socket.send_run(head) == Sent::Blocked)
            {
                break;
            }
            done += run;
        }
        done
    }

    fn flush(&mut self) {
        let waiting = std::mem::take(&mut self.unsent);
        let waiting = Vec::from(waiting);
        let done = self.send_some(&waiting);
        self.unsent = waiting.into_iter().skip(done).collect();
        let blocked = self.unsent.front().and_then(|datagram| self.socket_for(datagram.to));
        if let Some(socket) = blocked {
            socket.forget_readiness();
        }
    }

    fn socket_for(&self, to: SocketAddr) -> Option<&FamilySocket> {
        if to.is_ipv4() { self.v4.as_ref() } else { self.v6.as_ref() }
    }

    fn max_segments(&self, to: SocketAddr) -> usize {
        self.socket_for(to).map_or(1, |socket| socket.state.max_gso_segments())
    }
}

/// Returns the number of datagrams from the front that can be sent in one call: with the same
/// addresses and the same size, except that the last one may be shorter.
fn gso_run_length(batch: &[Datagram], most: usize) -> usize {
    /// Upper bound of a run, because an IP packet before segmentation has at most 64 kB.
    const MAX_RUN_BYTES: usize = 60_000;
    let Some(first) = batch.first() else { return 0 };
    let size = first.bytes.len();
    let fitting = most.min(MAX_RUN_BYTES / size.max(1)).max(1);
    let mut count = 1;
    for next in batch.iter().take(fitting).skip(1) {
        let same = next.to == first.to && next.from == first.from;
        if !same || next.bytes.len() > size {
            break;
        }
        count += 1;
        if next.bytes.len() < size {
            break;
        }
    }
    count
}

/// Outcome of sending a run of datagrams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    Done,
    Blocked,
}

/// Waits until the socket is writable; forever without a socket.
async fn writable(socket: Option<&FamilySocket>) -> io::Result<()> {
    match socket {
        Some(socket) => socket.inner.writable().await,
        None => std::future::pending().await,
    }
}

async fn readable(socket: Option<&FamilySocket>) -> io::Result<()> {
    match socket {
        Some(socket) => socket.inner.readable().await,
        None => std::future::pending().await,
    }
}

impl FamilySocket {
    fn bind(ip: IpAddr, port: u16) -> io::Result<Self> {
        let address = SocketAddr::new(ip, port);
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        // The system may grant less; that may cost packets under load, but is no reason to fail.
        let _ = socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES);
        let _ = socket.set_send_buffer_size(SOCKET_BUFFER_BYTES);
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        let socket = UdpSocket::from_std(socket.into())?;
        let local = socket.local_addr()?;
        Ok(Self { inner: socket, state, local })
    }

    fn receive(
        &self,
        slots: &mut [Vec<u8>],
        datagrams: &mut Vec<ReceivedDatagram>,
    ) -> io::Result<()> {
        let mut metas = [RecvMeta::default(); RECEIVE_BATCH];
        let mut buffers: Vec<IoSliceMut<'_>> =
            slots.iter_mut().map(|slot| IoSliceMut::new(slot)).collect();
        let received = self.inner.try_io(Interest::READABLE, || {
            self.state.recv(UdpSockRef::from(&self.inner), &mut buffers, &mut metas)
        });
        let count = match received {
            Ok(count) => count,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            // An ICMP error for an earlier datagram: ICE notices without it.
            Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => return Ok(()),
            Err(e) => return Err(e),
        };
        for (buffer, meta) in buffers.iter().zip(&metas).take(count) {
            let ip = meta.dst_ip.unwrap_or_else(|| self.local.ip());
            let local = SocketAddr::new(ip, self.local.port());
            let bytes = buffer.get(..meta.len).unwrap_or_default();
            for datagram in bytes.chunks(meta.stride.max(1)) {
                let bytes = BytesMut::from(datagram);
                datagrams.push(ReceivedDatagram { local, from: meta.addr, bytes });
            }
        }
        Ok(())
    }

    /// Makes the runtime wait for writability again, by a failing attempt, because it does not
    /// notice that `send_run` was blocked.
    fn forget_readiness(&self) {
        let blocked = || Err::<(), _>(io::Error::from(io::ErrorKind::WouldBlock));
        // The error is deliberate; see above.
        let _ = self.inner.try_io(Interest::WRITABLE, blocked);
    }

    fn send_run(&self, run: &[Datagram]) -> Sent {
        let Some(first) = run.first() else { return Sent::Done };
        let joined: Vec<u8>;
        let contents = if run.len() == 1 {
            first.bytes.as_ref()
        } else {
            joined = run.iter().flat_map(|datagram| datagram.bytes.iter().copied()).collect();
            &joined
        };
        let transmit = Transmit {
            destination: first.to,
            ecn: None,
            contents,
            segment_size: (run.len() > 1).then_some(first.bytes.len()),
            src_ip: Some(first.from.ip()).filter(|ip| !ip.is_unspecified()),
        };
        // Bypasses the runtime's readiness, which a fresh socket does not have yet.
        match self.state.try_send(UdpSockRef::from(&self.inner), &transmit) {
            Ok(()) => Sent::Done,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Sent::Blocked,
            Err(e) => {
                trace!("{} datagrams could not be sent: {e}", run.len());
                Sent::Done
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use tokio::time::timeout;

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(10);

    fn datagram(to: u16, size: usize) -> Datagram {
        Datagram {
            from: SocketAddr::from(([127, 0, 0, 1], 1)),
            to: SocketAddr::from(([127, 0, 0, 1], to)),
            bytes: Bytes::from(vec![0; size]),
        }
    }

    #[test]
    fn a_run_has_one_destination_and_one_size_except_for_its_end() {
        for (name, sizes, most, expected) in [
            ("all the same", vec![(1, 1200), (1, 1200), (1, 1200)], 64, 3),
            ("a shorter end", vec![(1, 1200), (1, 1200), (1, 7), (1, 7)], 64, 3),
            ("a longer next", vec![(1, 7), (1, 1200)], 64, 1),
            ("another peer", vec![(1, 1200), (2, 1200)], 64, 1),
            ("no segmentation", vec![(1, 1200), (1, 1200)], 1, 1),
            ("too much for one", vec![(1, 1200); 64], 64, 50),
            ("nothing", vec![], 64, 0),
        ] {
            let batch: Vec<_> = sizes.into_iter().map(|(to, size)| datagram(to, size)).collect();
            assert_eq!(gso_run_length(&batch, most), expected, "{name}");
        }
    }

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
