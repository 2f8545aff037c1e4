//! A UDP socket that sends and receives several datagrams in one system call, where the kernel
//! supports it (`UDP_SEGMENT`, `UDP_GRO`, `recvmmsg`).

use std::io;
use std::io::IoSliceMut;
use std::net::SocketAddr;
use std::sync::Arc;

use porthole_gateway_core::Datagram;
use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use socket2::Socket;
use tokio::io::Interest;
use tokio::io::unix::{AsyncFd, AsyncFdReadyGuard};
use tracing::trace;

/// Number of receive slots that one system call can fill: a frame of 150 kB in packets of one path.
pub(crate) const SLOTS: usize = 16;

/// Size of a receive slot, which may hold several datagrams joined by GRO.
const SLOT_BYTES: usize = 64 * 1024;

/// Upper bound of a run, because an IP packet before segmentation has at most 64 kB.
const MAX_RUN_BYTES: usize = 60_000;

/// Memory that datagrams are received into. Pages that nothing was received into cost nothing.
pub(crate) struct Slots(Vec<Vec<u8>>);

impl Slots {
    pub(crate) fn new() -> Self {
        Self(vec![vec![0; SLOT_BYTES]; SLOTS])
    }
}

/// A UDP socket. It belongs to the runtime in which it is first waited for.
pub(crate) struct BatchSocket {
    socket: Arc<Socket>,
    state: UdpSocketState,
    local: SocketAddr,
    /// Watches for datagrams, and not for room to send: each datagram that leaves makes room, and
    /// would wake the program.
    incoming: Option<AsyncFd<Arc<Socket>>>,
}

impl BatchSocket {
    /// Takes over a socket that is bound.
    pub(crate) fn new(socket: Socket) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        let local = socket.local_addr()?.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok(Self { socket: Arc::new(socket), state, local, incoming: None })
    }

    /// Returns the address to which the socket is bound.
    pub(crate) fn local(&self) -> SocketAddr {
        self.local
    }

    /// Returns the number of datagrams that can be sent in one call.
    pub(crate) fn max_segments(&self) -> usize {
        self.state.max_gso_segments()
    }

    /// Waits until something has arrived.
    pub(crate) async fn readable(&mut self) -> io::Result<Readable<'_>> {
        let Self { socket, state, local, incoming } = self;
        let watch = match incoming {
            Some(watch) => watch,
            None => incoming.insert(watch(Arc::clone(socket), Interest::READABLE)?),
        };
        Ok(Readable { guard: watch.readable().await?, state, local: *local })
    }

    /// Sends a run of datagrams, as [`run_length`] determines them, in one call. `joined` is
    /// memory that is used for that.
    pub(crate) fn send(&self, run: &[&Datagram], joined: &mut Vec<u8>) -> Sent {
        let Some(first) = run.first() else { return Sent::Done };
        let contents = if run.len() == 1 {
            first.bytes.as_ref()
        } else {
            joined.clear();
            run.iter().for_each(|datagram| joined.extend_from_slice(&datagram.bytes));
            joined
        };
        let transmit = Transmit {
            destination: first.to,
            ecn: None,
            contents,
            segment_size: (run.len() > 1).then_some(first.bytes.len()),
            src_ip: Some(first.from.ip()).filter(|ip| !ip.is_unspecified()),
        };
        match self.state.try_send(UdpSockRef::from(&*self.socket), &transmit) {
            Ok(()) => Sent::Done,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Sent::Blocked,
            Err(e) => {
                trace!("{} datagrams could not be sent: {e}", run.len());
                Sent::Done
            }
        }
    }

    /// Begins to watch for room to send. To be called after [`Self::send`] was blocked.
    pub(crate) fn watch_room(&self) -> io::Result<Room> {
        // A second descriptor, because the runtime watches each for one thing only.
        Ok(Room(watch(Arc::new(self.socket.try_clone()?), Interest::WRITABLE)?))
    }
}

/// Watches a socket for one kind of event.
fn watch(socket: Arc<Socket>, interest: Interest) -> io::Result<AsyncFd<Arc<Socket>>> {
    #[expect(deprecated, reason = "what replaces it is unsafe for types that close a descriptor")]
    AsyncFd::with_interest(socket, interest)
}

/// Outcome of sending a run of datagrams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    /// The run was sent, or has failed for good.
    Done,
    /// The socket is full.
    Blocked,
}

/// A full socket that is watched for room to send.
pub(crate) struct Room(AsyncFd<Arc<Socket>>);

impl Room {
    /// Waits until there is room that there was not at the last call.
    pub(crate) async fn wait(&self) -> io::Result<()> {
        self.0.writable().await?.clear_ready();
        Ok(())
    }
}

/// A socket at which something has arrived.
pub(crate) struct Readable<'a> {
    guard: AsyncFdReadyGuard<'a, Arc<Socket>>,
    state: &'a UdpSocketState,
    /// The address to which the socket is bound.
    pub(crate) local: SocketAddr,
}

impl Readable<'_> {
    /// Receives up to [`SLOTS`] runs of datagrams, and passes each datagram to `take`.
    pub(crate) fn receive(
        mut self,
        slots: &mut Slots,
        mut take: impl FnMut(&RecvMeta, &[u8]),
    ) -> io::Result<()> {
        let mut metas = [RecvMeta::default(); SLOTS];
        let mut buffers: Vec<IoSliceMut<'_>> =
            slots.0.iter_mut().map(|slot| IoSliceMut::new(slot)).collect();
        let socket = UdpSockRef::from(&**self.guard.get_inner());
        let count = match self.state.recv(socket, &mut buffers, &mut metas) {
            Ok(count) => count,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => 0,
            // An ICMP error for an earlier datagram: whoever sent that notices without it.
            Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => return Ok(()),
            Err(e) => return Err(e),
        };
        if count < SLOTS {
            // There is no more. What arrives from now on is an event of its own.
            self.guard.clear_ready();
        }
        for (buffer, meta) in buffers.iter().zip(&metas).take(count) {
            let bytes = buffer.get(..meta.len).unwrap_or_default();
            for datagram in bytes.chunks(meta.stride.max(1)) {
                take(meta, datagram);
            }
        }
        Ok(())
    }
}

/// Returns datagrams grouped by destination, so that those for one are neighbours, in their order.
pub(crate) fn by_destination(batch: &[Datagram]) -> Vec<&Datagram> {
    let mut runs: Vec<_> = batch.chunk_by(|a, b| a.to == b.to).collect();
    // The sort is stable.
    runs.sort_by_key(|run| run.first().map(|datagram| datagram.to));
    runs.into_iter().flatten().collect()
}

/// Returns the number of datagrams from the front that can be sent in one call: with the same
/// addresses and the same size, except that the last one may be shorter. `most` is what the kernel
/// takes.
pub(crate) fn run_length(batch: &[&Datagram], most: usize) -> usize {
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

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
            let batch: Vec<_> = batch.iter().collect();
            assert_eq!(run_length(&batch, most), expected, "{name}");
        }
    }

    #[test]
    fn datagrams_for_one_destination_become_neighbours_and_keep_their_order() {
        for (name, destinations, runs) in [
            ("none", vec![], 0),
            ("one viewer", vec![1, 1, 1], 1),
            ("two viewers in turn", vec![2, 1, 2, 1, 2, 1], 2),
            ("a viewer in two places", vec![1, 1, 2, 3, 1, 3, 2], 3),
            ("grouped already", vec![3, 3, 1, 1, 2], 3),
        ] {
            // The size tells the place in the batch.
            let numbered = destinations.iter().zip(1..);
            let batch: Vec<_> = numbered.map(|(to, size)| datagram(*to, size)).collect();
            let grouped = by_destination(&batch);
            let found: Vec<_> = grouped.chunk_by(|a, b| a.to == b.to).collect();
            assert_eq!((grouped.len(), found.len()), (batch.len(), runs), "{name}");
            for run in found {
                assert!(run.is_sorted_by_key(|datagram| datagram.bytes.len()), "{name}");
            }
        }
    }
}
