//! The TCP connections of one worker.

use std::collections::HashMap;
use std::io::{self, Read as _};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use porthole_turn_proto::StreamDecoder;
use porthole_turn_proto::server::FiveTuple;

use crate::send_queue::{SendQueue, Stuck};

/// Connections of one worker: a file descriptor and about 1 kB each while idle.
pub(crate) const MAX_CONNECTIONS: usize = 8192;
/// How long a connection may be without an allocation: long enough to ask for one over a bad
/// link, short enough that open connections are no attack.
pub(crate) const IDLE: Duration = Duration::from_secs(30);

/// One client over TCP.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    pub(crate) tuple: FiveTuple,
    pub(crate) decoder: StreamDecoder,
    queue: SendQueue,
    /// When the last whole frame came.
    pub(crate) heard: Instant,
    pub(crate) broken: bool,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream, tuple: FiveTuple, now: Instant) -> Self {
        let (decoder, queue) = (StreamDecoder::new(), SendQueue::default());
        Self { stream, tuple, decoder, queue, heard: now, broken: false }
    }

    /// Bytes read into the decoder; 0 at the end of the stream.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.stream.read(buffer)?;
        let read = buffer.get(..n).unwrap_or_default();
        self.decoder
            .push(read)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        Ok(n)
    }

    pub(crate) fn send_answer(&mut self, bytes: Vec<u8>) {
        match self.queue.push_answer(bytes) {
            Ok(()) => self.flush(),
            Err(Stuck) => self.broken = true,
        }
    }

    /// How many datagrams were dropped for it.
    pub(crate) fn send_relayed(&mut self, bytes: &[u8]) -> u64 {
        let dropped = self.queue.push_relayed(bytes);
        self.flush();
        dropped
    }

    pub(crate) fn flush(&mut self) {
        if !self.queue.is_empty() && self.queue.write_to(&mut self.stream).is_err() {
            self.broken = true;
        }
    }
}

/// Connections by slot and by client.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    slots: Vec<Option<Connection>>,
    free: Vec<usize>,
    by_tuple: HashMap<FiveTuple, usize>,
}

impl Connections {
    pub(crate) fn len(&self) -> usize {
        self.by_tuple.len()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.len() >= MAX_CONNECTIONS
    }

    /// Where the next one will be.
    pub(crate) fn next_slot(&mut self) -> usize {
        if self.free.is_empty() {
            self.slots.push(None);
            self.free.push(self.slots.len() - 1);
        }
        self.free.last().copied().unwrap_or(0)
    }

    /// Puts it at [`Self::next_slot`].
    pub(crate) fn insert(&mut self, connection: Connection) {
        let slot = self.next_slot();
        self.free.pop();
        self.by_tuple.insert(connection.tuple, slot);
        if let Some(place) = self.slots.get_mut(slot) {
            *place = Some(connection);
        }
    }

    pub(crate) fn get_mut(&mut self, slot: usize) -> Option<&mut Connection> {
        self.slots.get_mut(slot)?.as_mut()
    }

    pub(crate) fn of_client(&mut self, tuple: &FiveTuple) -> Option<&mut Connection> {
        let slot = *self.by_tuple.get(tuple)?;
        self.get_mut(slot)
    }

    pub(crate) fn remove(&mut self, slot: usize) -> Option<Connection> {
        let connection = self.slots.get_mut(slot)?.take()?;
        self.by_tuple.remove(&connection.tuple);
        self.free.push(slot);
        Some(connection)
    }

    /// Broken ones, and those that were silent since `since` and that nothing keeps.
    pub(crate) fn to_close(&self, since: Instant, kept: impl Fn(&FiveTuple) -> bool) -> Vec<usize> {
        let close = |c: &Connection| c.broken || (c.heard < since && !kept(&c.tuple));
        let slots = self.slots.iter().enumerate();
        slots.filter(|(_, c)| c.as_ref().is_some_and(close)).map(|(slot, _)| slot).collect()
    }
}
