//! Handover: datagrams that the kernel gives to one worker although they belong to another, those
//! of clients that have moved (RFC 8016).
//!
//! They are handed over in batches: a lock for each batch, and only if a client has moved.

use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use porthole_turn_proto::server::FiveTuple;

/// Most bytes that wait for one worker: as many as its listening socket should hold.
const MAX_BYTES: usize = 4 << 20;
/// Most datagrams that wait for one worker: short ones cost more than their bytes.
const MAX_DATAGRAMS: usize = 8192;
/// Most memory that an empty batch keeps.
const MAX_SPARE: usize = 256 << 10;

/// A datagram of a client that was handed over.
#[derive(Clone, Debug)]
pub(crate) struct HandedOver {
    /// The worker that received it.
    pub(crate) via: u8,
    pub(crate) client: FiveTuple,
    /// The range of its bytes in the batch's memory.
    pub(crate) bytes: Range<usize>,
}

/// Datagrams in order of arrival.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    memory: Vec<u8>,
    datagrams: Vec<HandedOver>,
}

impl Batch {
    pub(crate) fn push(&mut self, via: u8, client: &FiveTuple, datagram: &[u8]) {
        let start = self.memory.len();
        self.memory.extend_from_slice(datagram);
        let bytes = start..self.memory.len();
        self.datagrams.push(HandedOver { via, client: *client, bytes });
    }

    pub(crate) fn len(&self) -> usize {
        self.datagrams.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.datagrams.is_empty()
    }

    pub(crate) fn get(&self, index: usize) -> Option<(&HandedOver, &[u8])> {
        let datagram = self.datagrams.get(index)?;
        Some((datagram, self.memory.get(datagram.bytes.clone()).unwrap_or_default()))
    }

    pub(crate) fn memory(&self) -> &[u8] {
        &self.memory
    }

    pub(crate) fn clear(&mut self) {
        if self.memory.capacity() > MAX_SPARE {
            *self = Self::default();
        }
        self.memory.clear();
        self.datagrams.clear();
    }

    fn append(&mut self, other: &Self) {
        for index in 0..other.len() {
            if let Some((HandedOver { via, client, .. }, datagram)) = other.get(index) {
                self.push(*via, client, datagram);
            }
        }
    }
}

/// The datagrams that wait for one worker.
#[derive(Debug, Default)]
pub(crate) struct HandoverQueue(Mutex<Batch>);

impl HandoverQueue {
    /// Appends the datagrams of a batch. Returns `Some(true)` if the worker must be woken, and
    /// `None` if the queue is full.
    pub(crate) fn put(&self, batch: &Batch) -> Option<bool> {
        let mut waiting = self.lock();
        let fits = waiting.memory.len() + batch.memory.len() <= MAX_BYTES
            && waiting.len() + batch.len() <= MAX_DATAGRAMS;
        let first = waiting.is_empty();
        fits.then(|| waiting.append(batch))?;
        Some(first)
    }

    /// Exchanges the waiting datagrams for an empty batch.
    pub(crate) fn take(&self, empty: &mut Batch) {
        std::mem::swap(&mut *self.lock(), empty);
    }

    /// Locks the queue even after a panic, which can at most have truncated a datagram. UDP
    /// promises no more.
    fn lock(&self) -> MutexGuard<'_, Batch> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use porthole_turn_proto::Transport;

    use super::*;

    #[test]
    fn the_queue_is_bounded_and_keeps_the_order() {
        let addr = |port: u16| ([192, 0, 2, 1], port).into();
        let client =
            |port| FiveTuple { transport: Transport::Udp, client: addr(port), server: addr(1) };
        for (len, fitting) in
            [(60_000, MAX_BYTES / 60_000), (0, MAX_DATAGRAMS), (100, MAX_DATAGRAMS)]
        {
            let (queue, mut batch) = (HandoverQueue::default(), Batch::default());
            let mut accepted = 0;
            for port in 0..10_000 {
                batch.clear();
                batch.push(3, &client(port), &vec![0; len]);
                let woken = queue.put(&batch);
                assert!(woken.is_none_or(|first| first == (port == 0)), "{len}");
                accepted += usize::from(woken.is_some());
            }
            assert_eq!(accepted, fitting, "{len}");
            batch.clear();
            queue.take(&mut batch);
            assert_eq!(batch.len(), fitting, "{len}");
            for (index, port) in (0..).take(fitting).enumerate() {
                let (found, bytes) = batch.get(index).unwrap();
                assert_eq!((found.via, found.client, bytes.len()), (3, client(port), len));
            }
            assert_eq!(queue.put(&batch), Some(true), "it is empty again");
        }
    }
}
