//! The TCP connections of one worker.

use std::collections::{HashMap, VecDeque};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::{Interest, Registry, Token};
use porthole_turn_proto::server::FiveTuple;
use porthole_turn_proto::{StreamDecoder, Transport, trimmed_capacity};

use crate::slots::Slab;
use crate::tcp::send_queue::{SendQueue, Stuck};
use crate::tcp::splice::End;
use crate::tcp::wire::Wire;
use crate::tls::stream::{HANDSHAKE_TIME, MAX_HANDSHAKES};

/// Connections of one worker: a file descriptor and about 1 kB each while idle.
pub(crate) const MAX_CONNECTIONS: usize = 8192;
/// How long a connection may be without an allocation: long enough to ask for one over a bad
/// link, short enough that open connections are no attack.
pub(crate) const IDLE: Duration = Duration::from_secs(30);

/// One client over TCP or TLS.
#[derive(Debug)]
pub(crate) struct Connection {
    wire: Wire,
    pub(crate) tuple: FiveTuple,
    pub(crate) decoder: StreamDecoder,
    queue: SendQueue,
    /// Of this worker's connections; none comes twice.
    serial: u64,
    since: Instant,
    /// When something kept it last. What a client says keeps it not: that costs him nothing.
    kept: Instant,
    pub(crate) broken: bool,
    /// Whether it came from another worker; it goes to no third one.
    pub(crate) passed: bool,
    /// The slot of the peer's connection that it is spliced with.
    pub(crate) bound: Option<usize>,
}

impl Connection {
    pub(crate) fn new(wire: Wire, tuple: FiveTuple, now: Instant) -> Self {
        let (decoder, queue) = (StreamDecoder::new(), SendQueue::default());
        Self {
            wire,
            tuple,
            decoder,
            queue,
            serial: 0,
            since: now,
            kept: now,
            broken: false,
            passed: false,
            bound: None,
        }
    }

    /// Looks at the first byte, once. Whether TLS begins with it.
    pub(crate) fn recognise(&mut self) -> io::Result<bool> {
        let was_tls = self.wire.is_tls();
        self.wire.recognise()?;
        if self.wire.is_tls() {
            self.tuple.transport = Transport::Tls;
        }
        Ok(self.wire.is_tls() && !was_tls)
    }

    /// Bytes read into the decoder; 0 at the end of the stream.
    pub(crate) fn read_frames(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.wire.read(buffer)?;
        let read = buffer.get(..n).unwrap_or_default();
        self.decoder
            .push(read)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        Ok(n)
    }

    pub(crate) fn send_answer(&mut self, bytes: Vec<u8>) {
        match self.queue.push_answer(bytes) {
            Ok(()) => self.send_waiting(),
            Err(Stuck) => self.broken = true,
        }
    }

    /// How many datagrams were dropped for it.
    pub(crate) fn send_relayed(&mut self, bytes: &[u8]) -> u64 {
        let dropped = self.queue.push_relayed(bytes);
        self.send_waiting();
        dropped
    }

    /// As much as can be.
    pub(crate) fn send_waiting(&mut self) {
        if !self.queue.is_empty() && self.queue.write_to(&mut self.wire).is_err() {
            self.broken = true;
        }
        if self.wire.flush().is_err_and(|error| error.kind() != io::ErrorKind::WouldBlock) {
            self.broken = true;
        }
    }

    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(self.wire.stream(), token, Interest::READABLE | Interest::WRITABLE)
    }

    pub(crate) fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        registry.deregister(self.wire.stream())
    }
}

impl Read for Connection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.wire.read(buffer)
    }
}

impl Write for Connection {
    /// Behind the messages that wait.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Write::flush(self)?;
        self.wire.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.queue.write_to(&mut self.wire)?;
        if self.queue.is_empty() {
            self.wire.flush()
        } else {
            Err(io::ErrorKind::WouldBlock.into())
        }
    }
}

impl End for Connection {
    fn end(&mut self) {
        self.wire.end();
    }
}

/// For one more connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    There,
    /// Once this one is closed: of those without an allocation the first that came. So nobody
    /// keeps others out by opening connections.
    After(usize),
    None,
}

/// The client's end and ours; what is spoken may show later.
type Ends = (SocketAddr, SocketAddr);

/// Connections by slot and by client.
#[derive(Debug)]
pub(crate) struct Connections {
    max: usize,
    slots: Slab<Connection>,
    by_ends: HashMap<Ends, usize>,
    next_serial: u64,
    /// In the order in which they came; those that are gone stay until there are too many.
    newcomers: VecDeque<Entry>,
    /// TLS handshakes, oldest first; those that are through stay until there are too many.
    handshakes: VecDeque<Entry>,
}

/// A connection in a queue. Its slot and even its ends may be another one's by the time it is
/// looked at.
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
    /// For so many at a time.
    pub(crate) fn new(max: usize) -> Self {
        Self {
            max,
            slots: Slab::default(),
            by_ends: HashMap::new(),
            next_serial: 0,
            newcomers: VecDeque::new(),
            handshakes: VecDeque::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// `kept`: who has an allocation.
    pub(crate) fn room(&mut self, kept: impl Fn(&FiveTuple) -> bool) -> Room {
        if self.len() < self.max {
            return Room::There;
        }
        let slots = &self.slots;
        let is_stranger =
            |entry: &Entry| entry.find(slots).is_some_and(|c| c.bound.is_none() && !kept(&c.tuple));
        // Who has an allocation by now is passed over for good: once it ends, [`IDLE`] is left.
        while let Some(oldest) = self.newcomers.pop_front() {
            if is_stranger(&oldest) {
                return Room::After(oldest.slot);
            }
        }
        Room::None
    }

    /// Where the next one will be.
    pub(crate) fn next_slot(&mut self) -> usize {
        self.slots.next_slot()
    }

    /// Puts it at [`Self::next_slot`]. Another one with the same ends is over, and to be closed
    /// before.
    pub(crate) fn insert(&mut self, mut connection: Connection) {
        let ends = ends(&connection.tuple);
        let serial = self.next_serial;
        self.next_serial += 1;
        connection.serial = serial;
        let slot = self.slots.insert(connection);
        self.by_ends.insert(ends, slot);
        if self.newcomers.len() >= 2 * self.max {
            let slots = &self.slots;
            self.newcomers.retain(|entry| entry.find(slots).is_some());
        }
        self.newcomers.push_back(Entry { slot, serial });
    }

    pub(crate) fn get_mut(&mut self, slot: usize) -> Option<&mut Connection> {
        self.slots.get_mut(slot)
    }

    pub(crate) fn slot_of(&self, tuple: &FiveTuple) -> Option<usize> {
        self.by_ends.get(&ends(tuple)).copied()
    }

    pub(crate) fn of_client(&mut self, tuple: &FiveTuple) -> Option<&mut Connection> {
        let slot = self.slot_of(tuple)?;
        self.get_mut(slot)
    }

    pub(crate) fn remove(&mut self, slot: usize) -> Option<Connection> {
        let connection = self.slots.remove(slot)?;
        let ends = ends(&connection.tuple);
        if self.by_ends.get(&ends) == Some(&slot) {
            self.by_ends.remove(&ends);
        }
        if let Some(room) = trimmed_capacity(self.by_ends.len(), self.by_ends.capacity()) {
            self.by_ends.shrink_to(room);
        }
        Some(connection)
    }

    /// A TLS handshake begins. Returns the slot of another one that must give way to it.
    pub(crate) fn begin_handshake(&mut self, slot: usize) -> Option<usize> {
        let serial = self.slots.get(slot)?.serial;
        let slots = &self.slots;
        let goes_on = |entry: &Entry| entry.find(slots).is_some_and(|c| c.wire.is_handshaking());
        if self.handshakes.len() >= MAX_HANDSHAKES {
            self.handshakes.retain(goes_on);
        }
        let full = self.handshakes.len() >= MAX_HANDSHAKES;
        let oldest = if full { self.handshakes.pop_front() } else { None };
        self.handshakes.push_back(Entry { slot, serial });
        oldest.map(|entry| entry.slot)
    }

    /// Broken ones, handshakes that take too long, and those that nothing has kept for [`IDLE`].
    pub(crate) fn overdue(
        &mut self,
        now: Instant,
        kept: impl Fn(&FiveTuple) -> bool,
    ) -> Vec<usize> {
        let late = |at: Instant, limit| now.saturating_duration_since(at) > limit;
        let mut close = Vec::new();
        for (slot, c) in self.slots.iter_mut() {
            if c.bound.is_some() || kept(&c.tuple) {
                c.kept = now;
            }
            let unfinished = c.wire.is_handshaking() && late(c.since, HANDSHAKE_TIME);
            if c.broken || unfinished || late(c.kept, IDLE) {
                close.push(slot);
            }
        }
        close
    }
}

fn ends(tuple: &FiveTuple) -> Ends {
    (tuple.client, tuple.server)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tcp::wire::Expect;

    /// One that came just now, from a listener that is gone by the end of it.
    fn connection(now: Instant) -> Connection {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let server = listener.local_addr().unwrap();
        let stream = std::net::TcpStream::connect(server).unwrap();
        let client = stream.local_addr().unwrap();
        let tuple = FiveTuple { transport: Transport::Tcp, client, server };
        let wire = Wire::new(mio::net::TcpStream::from_std(stream), Expect::Plain).unwrap();
        Connection::new(wire, tuple, now)
    }

    #[test]
    fn a_connection_is_kept_by_an_allocation_and_by_nothing_else() {
        let now = Instant::now();
        let mut connections = Connections::new(1);
        let slot = connections.next_slot();
        connections.insert(connection(now));
        let second = Duration::from_secs(1);
        for (what, after, has_allocation, overdue) in [
            ("it has just come", IDLE, false, false),
            ("an allocation keeps it", 5 * IDLE, true, false),
            ("it may ask for another one", 6 * IDLE, false, false),
            ("it has not", 6 * IDLE + second, false, true),
        ] {
            let found = connections.overdue(now + after, |_| has_allocation);
            assert_eq!(found.contains(&slot), overdue, "{what}");
        }
    }

    #[test]
    fn who_comes_from_the_same_port_again_and_again_leaves_nothing() {
        let now = Instant::now();
        let mut connections = Connections::new(4);
        let tuple = connection(now).tuple;
        for n in 0..100 {
            let slot = connections.next_slot();
            connections.insert(Connection { tuple, ..connection(now) });
            let queued = connections.newcomers.len();
            assert!(queued <= 2 * connections.max, "{queued} after {n}");
            assert!(connections.remove(slot).is_some());
        }
        assert_eq!((connections.len(), connections.by_ends.len()), (0, 0));
    }

    #[test]
    fn the_oldest_without_an_allocation_gives_way() {
        let now = Instant::now();
        let mut connections = Connections::new(4);
        let first = connection(now);
        let allocated = first.tuple;
        connections.insert(first);
        for n in 1..4 {
            assert_eq!(connections.room(|_| false), Room::There, "{n}");
            connections.insert(connection(now));
        }
        connections.get_mut(1).unwrap().bound = Some(0);
        for (what, all, room) in [
            ("the first has an allocation, the second is spliced", false, Room::After(2)),
            ("the fourth came next", false, Room::After(3)),
            ("then those that came in their place", false, Room::After(2)),
            ("all have allocations", true, Room::None),
        ] {
            let found = connections.room(|tuple| all || *tuple == allocated);
            assert_eq!(found, room, "{what}");
            if let Room::After(slot) = found {
                connections.remove(slot);
                connections.insert(connection(now));
            }
        }
    }
}
