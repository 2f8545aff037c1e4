//! The TCP connections of one worker.

use std::collections::{HashMap, VecDeque};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::{Interest, Registry, Token};
use porthole_turn_proto::server::FiveTuple;
use porthole_turn_proto::{StreamDecoder, Transport, spare_room};

use crate::send_queue::{SendQueue, Stuck};
use crate::slots::Slab;
use crate::splice::End;
use crate::tls::{HANDSHAKE_TIME, MAX_HANDSHAKES};
use crate::wire::Wire;

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
    since: Instant,
    /// When something kept it last. What a client says keeps it not: that costs him nothing.
    kept: Instant,
    pub(crate) broken: bool,
    /// The slot of the peer's connection that it is spliced with.
    pub(crate) bound: Option<usize>,
}

impl Connection {
    pub(crate) fn new(wire: Wire, tuple: FiveTuple, now: Instant) -> Self {
        let (decoder, queue) = (StreamDecoder::new(), SendQueue::default());
        Self { wire, tuple, decoder, queue, since: now, kept: now, broken: false, bound: None }
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

/// The client's end and ours; what is spoken may show later.
type Ends = (SocketAddr, SocketAddr);

/// Connections by slot and by client.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    slots: Slab<Connection>,
    by_ends: HashMap<Ends, usize>,
    /// TLS handshakes, oldest first; those that are through stay until there are too many.
    handshakes: VecDeque<(usize, Ends)>,
}

impl Connections {
    pub(crate) fn len(&self) -> usize {
        self.by_ends.len()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.len() >= MAX_CONNECTIONS
    }

    /// Where the next one will be.
    pub(crate) fn next_slot(&mut self) -> usize {
        self.slots.next_slot()
    }

    /// Puts it at [`Self::next_slot`].
    pub(crate) fn insert(&mut self, connection: Connection) {
        let ends = ends(&connection.tuple);
        self.by_ends.insert(ends, self.slots.insert(connection));
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
        self.by_ends.remove(&ends(&connection.tuple));
        if let Some(room) = spare_room(self.by_ends.len(), self.by_ends.capacity()) {
            self.by_ends.shrink_to(room);
        }
        Some(connection)
    }

    /// A TLS handshake begins. Returns the slot of another one that must give way to it.
    pub(crate) fn begin_handshake(&mut self, slot: usize) -> Option<usize> {
        let ends = ends(&self.get_mut(slot)?.tuple);
        let (slots, by_ends) = (&self.slots, &self.by_ends);
        let goes_on = |(slot, ends): &(usize, Ends)| {
            let connection = slots.get(*slot);
            by_ends.get(ends) == Some(slot) && connection.is_some_and(|c| c.wire.is_handshaking())
        };
        if self.handshakes.len() >= MAX_HANDSHAKES {
            self.handshakes.retain(goes_on);
        }
        let full = self.handshakes.len() >= MAX_HANDSHAKES;
        let oldest = if full { self.handshakes.pop_front() } else { None };
        self.handshakes.push_back((slot, ends));
        oldest.map(|(slot, _)| slot)
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
    use crate::wire::Expect;

    #[test]
    fn a_connection_is_kept_by_an_allocation_and_by_nothing_else() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let server = listener.local_addr().unwrap();
        let stream = std::net::TcpStream::connect(server).unwrap();
        let client = stream.local_addr().unwrap();
        let now = Instant::now();
        let tuple = FiveTuple { transport: Transport::Tcp, client, server };
        let wire = Wire::new(mio::net::TcpStream::from_std(stream), Expect::Plain).unwrap();
        let mut connections = Connections::default();
        connections.insert(Connection::new(wire, tuple, now));
        let slot = connections.slot_of(&tuple).unwrap();
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
}
