//! The memory of datagrams from their arrival until they are sent.

use std::io;
use std::io::IoSliceMut;
use std::net::SocketAddr;
use std::ops::Range;

use porthole_turn_proto::server::{HEADROOM, RelayHeader};
use quinn_udp::RecvMeta;

use super::{MAX_DATAGRAM, without_scope};
use crate::net::udp::{Receiver, Udp};

/// Most buffers that one call fills.
pub(super) const MAX_BATCH: usize = 32;
/// Distance between two buffers: space for a header, then a datagram of any length, or as many
/// coalesced ones as the system delivers. A few cache lines more than 64 KiB, so that the first
/// lines of all buffers do not map to the same place in the cache.
const STRIDE: usize = MAX_DATAGRAM + 1 + 5 * 64;

/// One or more coalesced datagrams of one source.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    pub(super) from: SocketAddr,
    start: usize,
    len: usize,
    stride: usize,
}

impl Arrival {
    /// Returns the ranges of its datagrams.
    pub(super) fn datagrams(self) -> impl Iterator<Item = Range<usize>> {
        let Self { start, len, stride, .. } = self;
        let stride = if stride == 0 { len.max(1) } else { stride };
        // An empty datagram counts as one.
        let count = len.div_ceil(stride).max(1);
        (0..count).map(move |i| start + i * stride..start + len.min((i + 1) * stride))
    }

    /// Returns true if this datagram has space for a header before it.
    pub(super) const fn is_first(&self, datagram: &Range<usize>) -> bool {
        self.start == datagram.start
    }
}

/// A fixed number of buffers, filled one after the other and freed all at once. Memory never filled
/// costs nothing.
#[derive(Debug)]
pub(super) struct Inbox {
    memory: Vec<u8>,
    arrivals: Vec<Arrival>,
    metas: [RecvMeta; MAX_BATCH],
    capacity: usize,
}

impl Inbox {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            memory: vec![0; capacity * STRIDE],
            arrivals: Vec::with_capacity(capacity),
            metas: [RecvMeta::default(); MAX_BATCH],
            capacity,
        }
    }

    /// Returns the number of buffers that can be filled before [`Self::clear`].
    pub(super) fn free_buffers(&self) -> usize {
        self.capacity - self.arrivals.len()
    }

    /// Frees all buffers.
    pub(super) fn clear(&mut self) {
        self.arrivals.clear();
    }

    /// Fills at most `batch` buffers, and at most [`MAX_BATCH`]. Returns the range of new arrivals.
    pub(super) fn receive(
        &mut self,
        receiver: &Receiver,
        from: &Udp,
        batch: usize,
    ) -> io::Result<Range<usize>> {
        let first = self.arrivals.len();
        let batch = batch.min(MAX_BATCH).min(self.capacity - first);
        let free = self.memory.get_mut(first * STRIDE..).unwrap_or_default();
        if batch == 1 && !from.coalesces() {
            let place = free.get_mut(HEADROOM..STRIDE).unwrap_or_default();
            let (len, from) = from.receive_one(place)?;
            let start = first * STRIDE + HEADROOM;
            self.arrivals.push(Arrival { from: without_scope(from), start, len, stride: len });
            return Ok(first..first + 1);
        }
        let mut places = free.chunks_exact_mut(STRIDE).take(batch);
        let mut buffers: [IoSliceMut<'_>; MAX_BATCH] = std::array::from_fn(|_| {
            let place = places.next().and_then(|place| place.get_mut(HEADROOM..));
            IoSliceMut::new(place.unwrap_or_default())
        });
        let buffers = buffers.get_mut(..batch).unwrap_or_default();
        let got = from.receive(receiver, buffers, &mut self.metas)?;
        for (i, meta) in self.metas.iter().take(got).enumerate() {
            let from = without_scope(meta.addr);
            let start = (first + i) * STRIDE + HEADROOM;
            self.arrivals.push(Arrival { from, start, len: meta.len, stride: meta.stride });
        }
        Ok(first..first + got)
    }

    pub(super) fn arrival(&self, index: usize) -> Option<Arrival> {
        self.arrivals.get(index).copied()
    }

    pub(super) fn memory(&self) -> &[u8] {
        &self.memory
    }

    pub(super) fn bytes(&self, range: Range<usize>) -> &[u8] {
        self.memory.get(range).unwrap_or_default()
    }

    /// Writes a header before a payload that [`Arrival::is_first`]. Returns the range of both.
    pub(super) fn put_header(
        &mut self,
        header: &RelayHeader,
        payload: &Range<usize>,
    ) -> Range<usize> {
        let header = header.as_bytes();
        let start = payload.start.saturating_sub(header.len());
        if let Some(place) = self.memory.get_mut(start..payload.start) {
            place.copy_from_slice(header);
        }
        start..payload.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coalesced_datagrams_are_told_apart() {
        for (len, stride, expected) in [
            (0, 0, [(100, 100)].as_slice()),
            (1, 1, &[(100, 101)]),
            (10, 0, &[(100, 110)]),
            (10, 10, &[(100, 110)]),
            (10, 4, &[(100, 104), (104, 108), (108, 110)]),
            (8, 4, &[(100, 104), (104, 108)]),
        ] {
            let from = SocketAddr::from(([127, 0, 0, 1], 1));
            let arrival = Arrival { from, start: 100, len, stride };
            let found: Vec<_> = arrival.datagrams().map(|d| (d.start, d.end)).collect();
            assert_eq!(found, expected, "{len} {stride}");
        }
    }
}
