//! Datagrams that the kernel brings to one worker and that are for another: those of clients that
//! have moved (RFC 8016).
//!
//! They go in batches: a lock for each batch, and only when somebody has moved.

use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use porthole_turn_proto::server::FiveTuple;

/// Bytes that wait for one worker: as many as its listening socket is to hold.
const MAX_BYTES: usize = 4 << 20;
/// Datagrams that wait for one worker; short ones cost more than their bytes.
const MAX_DATAGRAMS: usize = 8192;
/// What a batch keeps of its memory when it is empty.
const KEPT: usize = 256 << 10;

/// A datagram of a client.
#[derive(Clone, Debug)]
pub(crate) struct Passed {
    /// The worker that got it.
    pub(crate) via: u8,
    pub(crate) client: FiveTuple,
    /// In the batch's memory.
    pub(crate) bytes: Range<usize>,
}

/// Datagrams in order.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    memory: Vec<u8>,
    datagrams: Vec<Passed>,
}

impl Batch {
    pub(crate) fn push(&mut self, via: u8, client: &FiveTuple, datagram: &[u8]) {
        let start = self.memory.len();
        self.memory.extend_from_slice(datagram);
        let bytes = start..self.memory.len();
        self.datagrams.push(Passed { via, client: *client, bytes });
    }

    pub(crate) fn len(&self) -> usize {
        self.datagrams.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.datagrams.is_empty()
    }

    pub(crate) fn get(&self, index: usize) -> Option<(&Passed, &[u8])> {
        let passed = self.datagrams.get(index)?;
        Some((passed, self.memory.get(passed.bytes.clone()).unwrap_or_default()))
    }

    pub(crate) fn memory(&self) -> &[u8] {
        &self.memory
    }

    pub(crate) fn clear(&mut self) {
        if self.memory.capacity() > KEPT {
            *self = Self::default();
        }
        self.memory.clear();
        self.datagrams.clear();
    }

    fn append(&mut self, other: &Self) {
        for index in 0..other.len() {
            if let Some((Passed { via, client, .. }, datagram)) = other.get(index) {
                self.push(*via, client, datagram);
            }
        }
    }
}

/// What waits for one worker.
#[derive(Debug, Default)]
pub(crate) struct Passage(Mutex<Batch>);

impl Passage {
    /// Puts the datagrams of a batch behind those that wait. Whether the worker is to be woken, or
    /// `None` when there is no room.
    pub(crate) fn put(&self, batch: &Batch) -> Option<bool> {
        let mut waiting = self.lock();
        let fits = waiting.memory.len() + batch.memory.len() <= MAX_BYTES
            && waiting.len() + batch.len() <= MAX_DATAGRAMS;
        let first = waiting.is_empty();
        fits.then(|| waiting.append(batch))?;
        Some(first)
    }

    /// All that waits, in exchange for an empty batch.
    pub(crate) fn take(&self, empty: &mut Batch) {
        std::mem::swap(&mut *self.lock(), empty);
    }

    /// A panic cannot leave more than a datagram cut short: nobody relies on one to come.
    fn lock(&self) -> MutexGuard<'_, Batch> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use porthole_turn_proto::Transport;

    use super::*;

    #[test]
    fn what_waits_is_bounded_and_keeps_its_order() {
        let addr = |port: u16| ([192, 0, 2, 1], port).into();
        let client =
            |port| FiveTuple { transport: Transport::Udp, client: addr(port), server: addr(1) };
        for (len, fitting) in
            [(60_000, MAX_BYTES / 60_000), (0, MAX_DATAGRAMS), (100, MAX_DATAGRAMS)]
        {
            let (passage, mut batch) = (Passage::default(), Batch::default());
            let mut passed = 0;
            for port in 0..10_000 {
                batch.clear();
                batch.push(3, &client(port), &vec![0; len]);
                let woken = passage.put(&batch);
                assert!(woken.is_none_or(|first| first == (port == 0)), "{len}");
                passed += usize::from(woken.is_some());
            }
            assert_eq!(passed, fitting, "{len}");
            batch.clear();
            passage.take(&mut batch);
            assert_eq!(batch.len(), fitting, "{len}");
            for (index, port) in (0..).take(fitting).enumerate() {
                let (found, bytes) = batch.get(index).unwrap();
                assert_eq!((found.via, found.client, bytes.len()), (3, client(port), len));
            }
            assert_eq!(passage.put(&batch), Some(true), "it is empty again");
        }
    }
}
