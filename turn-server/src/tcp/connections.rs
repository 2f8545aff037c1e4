//! The TCP connections of clients, TLS included, of one worker.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::{Interest, Registry, Token};
use porthole_turn_proto::server::FiveTuple;
use porthole_turn_proto::{StreamDecoder, Transport, trimmed_capacity};

use crate::slots::Slab;
use crate::tcp::client_stream::ClientStream;
use crate::tcp::send_queue::{QueueFull, SendQueue};
use crate::tcp::splice::SpliceEnd;
use crate::tls::stream::{HANDSHAKE_TIME, MAX_HANDSHAKES};

/// Most connections of one worker: each takes a file descriptor and about 1 kB while idle.
pub(crate) const MAX_CONNECTIONS: usize = 8192;
/// Time that a connection may be without an allocation: long enough to request one over a bad
/// link, short enough that opening connections is no attack.
pub(crate) const IDLE: Duration = Duration::from_secs(30);

/// A client over TCP or TLS.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: ClientStream,
    pub(crate) tuple: FiveTuple,
    pub(crate) decoder: StreamDecoder,
    queue: SendQueue,
    /// A number that no other connection of this worker has.
    serial: u64,
    opened_at: Instant,
    /// Last time an allocation justified keeping this connection open. Client traffic alone does
    /// not: it is free to send.
    last_needed: Instant,
    /// True if it must be closed after an error.
    pub(crate) broken: bool,
    /// True if another worker handed it over; it is not handed over again.
    pub(crate) handed_over: bool,
    /// The slot of the peer connection that it is spliced with.
    pub(crate) bound: Option<usize>,
}

impl Connection {
    pub(crate) fn new(stream: ClientStream, tuple: FiveTuple, now: Instant) -> Self {
        let (decoder, queue) = (StreamDecoder::new(), SendQueue::default());
        Self {
            stream,
            tuple,
            decoder,
            queue,
            serial: 0,
            opened_at: now,
            last_needed: now,
            broken: false,
            handed_over: false,
            bound: None,
        }
    }

    /// Decides by the first byte if the client uses TLS. Returns true if that was just found.
    pub(crate) fn detect_tls(&mut self) -> io::Result<bool> {
        let was_tls = self.stream.is_tls();
        self.stream.detect_tls()?;
        if self.stream.is_tls() {
            self.tuple.transport = Transport::Tls;
        }
        Ok(self.stream.is_tls() && !was_tls)
    }

    /// Reads into the decoder and returns the number of bytes; 0 at the end of the stream.
    pub(crate) fn read_frames(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.stream.read(buffer)?;
        let read = buffer.get(..n).unwrap_or_default();
        self.decoder
            .push(read)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        Ok(n)
    }

    /// Sends a message of the server itself.
    pub(crate) fn send_response(&mut self, bytes: Vec<u8>) {
        match self.queue.push_response(bytes) {
            Ok(()) => self.flush_queue(),
            Err(QueueFull) => self.broken = true,
        }
    }

    /// Sends a peer's datagram. Returns the number of datagrams dropped.
    pub(crate) fn send_relayed(&mut self, bytes: &[u8]) -> u64 {
        let dropped = self.queue.push_relayed(bytes);
        self.flush_queue();
        dropped
    }

    /// Writes as much of the queue as the stream accepts.
    pub(crate) fn flush_queue(&mut self) {
        if !self.queue.is_empty() && self.queue.write_to(&mut self.stream).is_err() {
            self.broken = true;
        }
        if self.stream.flush().is_err_and(|error| error.kind() != io::ErrorKind::WouldBlock) {
            self.broken = true;
        }
    }

    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(self.stream.stream(), token, Interest::READABLE | Interest::WRITABLE)
    }

    pub(crate) fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        registry.deregister(self.stream.stream())
    }
}

impl Read for Connection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.read(buffer)
    }
}

impl Write for Connection {
    /// Writes after the queued messages.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Write::flush(self)?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.queue.write_to(&mut self.stream)?;
        if self.queue.is_empty() {
            self.stream.flush()
        } else {
            Err(io::ErrorKind::WouldBlock.into())
        }
    }
}

impl SpliceEnd for Connection {
    fn shutdown_write(&mut self) {
        self.stream.shutdown_write();
    }
}

/// The decision about one more connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// A place is free.
    Free,
    /// The connection in this slot must be closed first: the oldest without an allocation. So
    /// opening many connections does not lock others out.
    Evict(usize),
    /// All places are taken by connections with an allocation.
    Full,
}

/// The client's address and ours. The transport is not part of it: TLS may be detected later.
type AddressPair = (SocketAddr, SocketAddr);

/// Connections by slot and by client.
#[derive(Debug)]
pub(crate) struct Connections {
    max: usize,
    slots: Slab<Connection>,
    by_addresses: HashMap<AddressPair, usize>,
    next_serial: u64,
    /// Connections in the order of their arrival. Closed ones stay until there are too many.
    by_arrival: VecDeque<Entry>,
    /// TLS handshakes, oldest first. Finished ones stay until there are too many.
    handshakes: VecDeque<Entry>,
}

/// A connection in a queue. By the time the entry is read, its slot and even its addresses may
/// belong to another connection.
#[derive(Clone, Copy, Debug)]
struct Entry {
    slot: usize,
    serial: u64,
}

impl Entry {
    fn find(self, slots: &Slab<Connection>) -> Option<&Connection> {
        slots.get(self.slot).filter(|connection| connection.serial == self.serial)
    }
}

impl Connections {
    /// Begins without connections, for at most `max`.
    pub(crate) fn new(max: usize) -> Self {
        Self {
            max,
            slots: Slab::default(),
            by_addresses: HashMap::new(),
            next_serial: 0,
            by_arrival: VecDeque::new(),
            handshakes: VecDeque::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Decides about one more connection. `has_allocation` says which clients have one.
    pub(crate) fn admission(&mut self, has_allocation: impl Fn(&FiveTuple) -> bool) -> Admission {
        if self.len() < self.max {
            return Admission::Free;
        }
        let slots = &self.slots;
        let is_evictable = |entry: &Entry| {
            entry.find(slots).is_some_and(|c| c.bound.is_none() && !has_allocation(&c.tuple))
        };
        // One with an allocation is skipped for good: after the allocation, [`IDLE`] limits it.
        while let Some(oldest) = self.by_arrival.pop_front() {
            if is_evictable(&oldest) {
                return Admission::Evict(oldest.slot);
            }
        }
        Admission::Full
    }

    /// Returns the slot of the next [`Self::insert`].
    pub(crate) fn next_slot(&mut self) -> usize {
        self.slots.next_slot()
    }

    /// Stores a connection at [`Self::next_slot`]. One with the same addresses must be closed
    /// before: it has ended.
    pub(crate) fn insert(&mut self, mut connection: Connection) {
        let addresses = address_pair(&connection.tuple);
        let serial = self.next_serial;
        self.next_serial += 1;
        connection.serial = serial;
        let slot = self.slots.insert(connection);
        self.by_addresses.insert(addresses, slot);
        if self.by_arrival.len() >= 2 * self.max {
            let slots = &self.slots;
            self.by_arrival.retain(|entry| entry.find(slots).is_some());
        }
        self.by_arrival.push_back(Entry { slot, serial });
    }

    pub(crate) fn get_mut(&mut self, slot: usize) -> Option<&mut Connection> {
        self.slots.get_mut(slot)
    }

    pub(crate) fn slot_of(&self, tuple: &FiveTuple) -> Option<usize> {
        self.by_addresses.get(&address_pair(tuple)).copied()
    }

    pub(crate) fn by_client_mut(&mut self, tuple: &FiveTuple) -> Option<&mut Connection> {
        let slot = self.slot_of(tuple)?;
        self.get_mut(slot)
    }

    pub(crate) fn remove(&mut self, slot: usize) -> Option<Connection> {
        let connection = self.slots.remove(slot)?;
        let addresses = address_pair(&connection.tuple);
        if self.by_addresses.get(&addresses) == Some(&slot) {
            self.by_addresses.remove(&addresses);
        }
        if let Some(capacity) =
            trimmed_capacity(self.by_addresses.len(), self.by_addresses.capacity())
        {
            self.by_addresses.shrink_to(capacity);
        }
        Some(connection)
    }

    /// Records the begin of a TLS handshake. Returns the slot of another one to be closed for it.
    pub(crate) fn begin_handshake(&mut self, slot: usize) -> Option<usize> {
        let serial = self.slots.get(slot)?.serial;
        let slots = &self.slots;
        let is_handshaking =
            |entry: &Entry| entry.find(slots).is_some_and(|c| c.stream.is_handshaking());
        if self.handshakes.len() >= MAX_HANDSHAKES {
            self.handshakes.retain(is_handshaking);
        }
        let full = self.handshakes.len() >= MAX_HANDSHAKES;
        let oldest = if full { self.handshakes.pop_front() } else { None };
        self.handshakes.push_back(Entry { slot, serial });
        oldest.map(|entry| entry.slot)
    }

    /// Returns the slots to be closed: broken connections, handshakes that take too long, and
    /// connections without an allocation for [`IDLE`].
    pub(crate) fn overdue(
        &mut self,
        now: Instant,
        has_allocation: impl Fn(&FiveTuple) -> bool,
    ) -> Vec<usize> {
        let late = |at: Instant, limit| now.saturating_duration_since(at) > limit;
        let mut close = Vec::new();
        for (slot, c) in self.slots.iter_mut() {
            if c.bound.is_some() || has_allocation(&c.tuple) {
                c.last_needed = now;
            }
            let unfinished = c.stream.is_handshaking() && late(c.opened_at, HANDSHAKE_TIME);
            if c.broken || unfinished || late(c.last_needed, IDLE) {
                close.push(slot);
            }
        }
        close
    }
}

fn address_pair(tuple: &FiveTuple) -> AddressPair {
    (tuple.client, tuple.server)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tcp::client_stream::ExpectedProtocol;

    /// Makes a connection whose listener is closed.
    fn connection(now: Instant) -> Connection {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let server = listener.local_addr().unwrap();
        let stream = std::net::TcpStream::connect(server).unwrap();
        let client = stream.local_addr().unwrap();
        let tuple = FiveTuple { transport: Transport::Tcp, client, server };
        let stream =
            ClientStream::new(mio::net::TcpStream::from_std(stream), ExpectedProtocol::Plain)
                .unwrap();
        Connection::new(stream, tuple, now)
    }

    #[test]
    fn only_an_allocation_keeps_a_connection_open() {
        let now = Instant::now();
        let mut connections = Connections::new(1);
        let slot = connections.next_slot();
        connections.insert(connection(now));
        let second = Duration::from_secs(1);
        for (what, after, has_allocation, overdue) in [
            ("it is new", IDLE, false, false),
            ("an allocation keeps it", 5 * IDLE, true, false),
            ("it may request another one", 6 * IDLE, false, false),
            ("it has not requested one", 6 * IDLE + second, false, true),
        ] {
            let found = connections.overdue(now + after, |_| has_allocation);
            assert_eq!(found.contains(&slot), overdue, "{what}");
        }
    }

    #[test]
    fn reconnecting_from_one_port_leaves_nothing_behind() {
        let now = Instant::now();
        let mut connections = Connections::new(4);
        let tuple = connection(now).tuple;
        for n in 0..100 {
            let slot = connections.next_slot();
            connections.insert(Connection { tuple, ..connection(now) });
            let queued = connections.by_arrival.len();
            assert!(queued <= 2 * connections.max, "{queued} after {n}");
            assert!(connections.remove(slot).is_some());
        }
        assert_eq!((connections.len(), connections.by_addresses.len()), (0, 0));
    }

    #[test]
    fn the_oldest_without_an_allocation_is_evicted() {
        let now = Instant::now();
        let mut connections = Connections::new(4);
        let first = connection(now);
        let allocated = first.tuple;
        connections.insert(first);
        for n in 1..4 {
            assert_eq!(connections.admission(|_| false), Admission::Free, "{n}");
            connections.insert(connection(now));
        }
        connections.get_mut(1).unwrap().bound = Some(0);
        for (what, all, admission) in [
            ("the first has an allocation, the second is spliced", false, Admission::Evict(2)),
            ("the fourth arrived next", false, Admission::Evict(3)),
            ("then those that arrived in their place", false, Admission::Evict(2)),
            ("all have allocations", true, Admission::Full),
        ] {
            let found = connections.admission(|tuple| all || *tuple == allocated);
            assert_eq!(found, admission, "{what}");
            if let Admission::Evict(slot) = found {
                connections.remove(slot);
                connections.insert(connection(now));
            }
        }
    }
}
