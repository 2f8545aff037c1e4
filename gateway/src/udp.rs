//! The one UDP port of all sessions, for IPv4 and IPv6.
//!
//! Sends bursts in one go where the kernel can (UDP_SEGMENT), receives them likewise, and knows
//! for each datagram which of the machine's addresses it came to.

use bytes::BytesMut;
use porthole_gateway_core::Datagram;
use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, Socket, Type};
use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tracing::{debug, trace};

/// Kernel buffers: a key frame for many viewers leaves at once, and must not be lost to a process
/// that is scheduled 50 ms late.
const SOCKET_BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// Datagrams taken from the kernel in one go.
const RECEIVE_BATCH: usize = 16;

/// The largest receive of one slot: a GRO run of datagrams.
const RECEIVE_SLOT_BYTES: usize = 64 * 1024;

/// Datagrams that may wait for a full socket: a key frame of 2.4 MB. What comes then is dropped, as
/// the network would.
const MAX_WAITING: usize = 2048;

/// How many ports are tried until IPv4 and IPv6 have the same.
const PORT_TRIES: usize = 16;

/// A bound port.
pub(crate) struct Udp {
    v4: Option<Half>,
    v6: Option<Half>,
    slots: Vec<Vec<u8>>,
    /// What the kernel did not take yet, in order.
    waiting: VecDeque<Datagram>,
}

struct Half {
    socket: UdpSocket,
    state: UdpSocketState,
    local: SocketAddr,
}

/// One datagram that arrived.
#[derive(Debug)]
pub(crate) struct Arrived {
    /// Which of the machine's addresses it came to.
    pub(crate) local: SocketAddr,
    pub(crate) from: SocketAddr,
    pub(crate) bytes: BytesMut,
}

impl Udp {
    /// Binds a port, the same for IPv4 and IPv6; 0 picks one. A machine without IPv6 does without.
    pub(crate) fn bind(port: u16) -> io::Result<Self> {
        let mut last = io::Error::from(io::ErrorKind::AddrInUse);
        for _ in 0..if port == 0 { PORT_TRIES } else { 1 } {
            let v4 = Half::bind(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port)?;
            match Half::bind(IpAddr::V6(Ipv6Addr::UNSPECIFIED), v4.local.port()) {
                Ok(v6) => return Ok(Self::new(Some(v4), Some(v6))),
                Err(e) if e.kind() == io::ErrorKind::AddrInUse => last = e,
                Err(e) => {
                    debug!("no IPv6 here: {e}");
                    return Ok(Self::new(Some(v4), None));
                }
            }
        }
        Err(last)
    }

    fn new(v4: Option<Half>, v6: Option<Half>) -> Self {
        Self {
            v4,
            v6,
            slots: vec![vec![0; RECEIVE_SLOT_BYTES]; RECEIVE_BATCH],
            waiting: VecDeque::new(),
        }
    }

    /// The port.
    pub(crate) fn port(&self) -> u16 {
        self.v4.as_ref().or(self.v6.as_ref()).map_or(0, |half| half.local.port())
    }

    /// Waits until something arrived, and takes it all into `arrived`. What waits leaves meanwhile.
    pub(crate) async fn receive(&mut self, arrived: &mut Vec<Arrived>) -> io::Result<()> {
        let next = self.waiting.front().map(|datagram| datagram.to);
        let blocked = next.and_then(|to| self.half(to));
        let half = tokio::select! {
            ready = readable(self.v4.as_ref()) => { ready?; self.v4.as_ref() }
            ready = readable(self.v6.as_ref()) => { ready?; self.v6.as_ref() }
            ready = writable(blocked) => { ready?; None }
        };
        let Some(half) = half else {
            self.flush();
            return Ok(());
        };
        let slots = &mut self.slots;
        half.take(slots, arrived)
    }

    /// Sends what the kernel takes now, and the rest when it has room.
    pub(crate) fn send(&mut self, batch: &[Datagram]) {
        let sent = if self.waiting.is_empty() { self.send_some(batch) } else { 0 };
        let room = MAX_WAITING.saturating_sub(self.waiting.len());
        let rest = batch.get(sent..).unwrap_or_default();
        if rest.len() > room {
            debug!("the UDP port is full; {} datagrams are dropped", rest.len() - room);
        }
        self.waiting.extend(rest.iter().take(room).cloned());
    }

    /// How many datagrams from the front are done with.
    fn send_some(&self, batch: &[Datagram]) -> usize {
        let mut done = 0;
        while let Some((rest, first)) =
            batch.get(done..).and_then(|rest| rest.first().map(|f| (rest, f)))
        {
            let run = run_length(rest, self.max_segments(first.to));
            let head = rest.get(..run).unwrap_or_default();
            if self.half(first.to).is_some_and(|half| half.send_run(head) == Sent::Blocked) {
                break;
            }
            done += run;
        }
        done
    }

    fn flush(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        let waiting = Vec::from(waiting);
        let done = self.send_some(&waiting);
        self.waiting = waiting.into_iter().skip(done).collect();
        let blocked = self.waiting.front().and_then(|datagram| self.half(datagram.to));
        if let Some(half) = blocked {
            half.forget_readiness();
        }
    }

    fn half(&self, to: SocketAddr) -> Option<&Half> {
        if to.is_ipv4() { self.v4.as_ref() } else { self.v6.as_ref() }
    }

    fn max_segments(&self, to: SocketAddr) -> usize {
        self.half(to).map_or(1, |half| half.state.max_gso_segments())
    }
}

/// How many datagrams from the front can leave as one: the same way, the same size, but for the
/// last, which may be shorter.
fn run_length(batch: &[Datagram], most: usize) -> usize {
    /// An IP packet before segmentation is at most 64 kB.
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

/// What became of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    Done,
    Blocked,
}

/// Never, when nothing is blocked.
async fn writable(half: Option<&Half>) -> io::Result<()> {
    match half {
        Some(half) => half.socket.writable().await,
        None => std::future::pending().await,
    }
}

async fn readable(half: Option<&Half>) -> io::Result<()> {
    match half {
        Some(half) => half.socket.readable().await,
        None => std::future::pending().await,
    }
}

impl Half {
    fn bind(ip: IpAddr, port: u16) -> io::Result<Self> {
        let address = SocketAddr::new(ip, port);
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        // The system may grant less; that costs losses under load, not the start.
        let _ = socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES);
        let _ = socket.set_send_buffer_size(SOCKET_BUFFER_BYTES);
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        let socket = UdpSocket::from_std(socket.into())?;
        let local = socket.local_addr()?;
        Ok(Self { socket, state, local })
    }

    fn take(&self, slots: &mut [Vec<u8>], arrived: &mut Vec<Arrived>) -> io::Result<()> {
        let mut metas = [RecvMeta::default(); RECEIVE_BATCH];
        let mut buffers: Vec<IoSliceMut<'_>> =
            slots.iter_mut().map(|slot| IoSliceMut::new(slot)).collect();
        let received = self.socket.try_io(Interest::READABLE, || {
            self.state.recv(UdpSockRef::from(&self.socket), &mut buffers, &mut metas)
        });
        let count = match received {
            Ok(count) => count,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            // An ICMP answer to something sent earlier: ICE finds out by itself.
            Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => return Ok(()),
            Err(e) => return Err(e),
        };
        for (buffer, meta) in buffers.iter().zip(&metas).take(count) {
            let ip = meta.dst_ip.unwrap_or_else(|| self.local.ip());
            let local = SocketAddr::new(ip, self.local.port());
            let bytes = buffer.get(..meta.len).unwrap_or_default();
            for datagram in bytes.chunks(meta.stride.max(1)) {
                arrived.push(Arrived { local, from: meta.addr, bytes: BytesMut::from(datagram) });
            }
        }
        Ok(())
    }

    /// Lets the runtime wait for room again: it only learns from an attempt that there is none.
    fn forget_readiness(&self) {
        let blocked = || Err::<(), _>(io::Error::from(io::ErrorKind::WouldBlock));
        // The error is what is told, not what happened.
        let _ = self.socket.try_io(Interest::WRITABLE, blocked);
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
        // Past the runtime's idea of readiness, which a fresh socket does not have yet.
        match self.state.try_send(UdpSockRef::from(&self.socket), &transmit) {
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
    use super::*;
    use bytes::Bytes;
    use std::time::Duration;
    use tokio::time::timeout;

    const DEADLINE: Duration = Duration::from_secs(10);

    fn datagram(to: u16, size: usize) -> Datagram {
        Datagram {
            from: SocketAddr::from(([127, 0, 0, 1], 1)),
            to: SocketAddr::from(([127, 0, 0, 1], to)),
            bytes: Bytes::from(vec![0; size]),
        }
    }

    #[test]
    fn a_run_goes_one_way_in_one_size_but_for_its_end() {
        for (name, sizes, most, expected) in [
            ("all alike", vec![(1, 1200), (1, 1200), (1, 1200)], 64, 3),
            ("a shorter end", vec![(1, 1200), (1, 1200), (1, 7), (1, 7)], 64, 3),
            ("a longer next", vec![(1, 7), (1, 1200)], 64, 1),
            ("another peer", vec![(1, 1200), (2, 1200)], 64, 1),
            ("no segmentation", vec![(1, 1200), (1, 1200)], 1, 1),
            ("too much for one", vec![(1, 1200); 64], 64, 50),
            ("nothing", vec![], 64, 0),
        ] {
            let batch: Vec<_> = sizes.into_iter().map(|(to, size)| datagram(to, size)).collect();
            assert_eq!(run_length(&batch, most), expected, "{name}");
        }
    }

    #[tokio::test]
    async fn what_is_sent_arrives_and_says_where() {
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
            let mut arrived = Vec::new();
            while arrived.len() < 5 {
                let received = receiver.receive(&mut arrived);
                timeout(DEADLINE, received).await.expect("all five arrive").unwrap();
            }
            for (n, datagram) in arrived.iter().enumerate() {
                assert_eq!(datagram.bytes.as_ref(), bytes(n).as_ref(), "{local} {n}");
                assert_eq!((datagram.local, datagram.from), (to, from), "{local} {n}");
            }
        }
    }
}
