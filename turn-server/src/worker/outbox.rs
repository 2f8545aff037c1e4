//! What is to be sent, in runs that one call can take.

use std::io::IoSlice;
use std::ops::Range;

use crate::net::udp::{Datagrams, MAX_PARTS, MAX_SEGMENT, MAX_SEGMENTS, MAX_SEND};

/// How far back a run is looked for that a datagram continues: a few sources may take turns.
const RECENT: usize = 16;
/// Parts of one datagram: header, payload, padding.
const DATAGRAM_PARTS: usize = 3;
/// At most three bytes (RFC 8656 §12.4).
const PADDING: [u8; 3] = [0; 3];

/// A piece of a datagram.
#[derive(Clone, Debug)]
enum Part {
    /// In the inbox.
    Bytes(Range<usize>),
    /// In the outbox.
    Header(Range<usize>),
    Padding(usize),
}

/// Datagrams from one socket to one destination, all of one length but the last.
#[derive(Debug)]
struct Run<T> {
    to: T,
    segment: usize,
    count: usize,
    len: usize,
    /// Whether more may follow.
    open: bool,
    parts: Vec<Part>,
}

/// Datagrams in order for each destination; `T` names socket and destination.
#[derive(Debug)]
pub(super) struct Outbox<T> {
    /// Used ones first; the others keep their memory for the next round.
    runs: Vec<Run<T>>,
    used: usize,
    headers: Vec<u8>,
    segmentation: bool,
}

impl<T: Copy + PartialEq> Outbox<T> {
    pub(super) const fn new(segmentation: bool) -> Self {
        Self { runs: Vec::new(), used: 0, headers: Vec::new(), segmentation }
    }

    /// A datagram that lies in the inbox.
    pub(super) fn push(&mut self, to: T, bytes: Range<usize>, padding: usize) {
        let len = bytes.len() + padding;
        let run = self.run_for(to, len);
        run.parts.push(Part::Bytes(bytes));
        if padding > 0 {
            run.parts.push(Part::Padding(padding));
        }
    }

    /// One whose header does not lie before it.
    pub(super) fn push_with_header(
        &mut self,
        to: T,
        header: &[u8],
        payload: Range<usize>,
        padding: usize,
    ) {
        let start = self.headers.len();
        self.headers.extend_from_slice(header);
        let run = self.run_for(to, header.len() + payload.len() + padding);
        run.parts.push(Part::Header(start..start + header.len()));
        run.parts.push(Part::Bytes(payload));
        if padding > 0 {
            run.parts.push(Part::Padding(padding));
        }
    }

    /// Everything in order; `memory` is the inbox's.
    pub(super) fn drain(&mut self, memory: &[u8], send: impl FnOnce(&[(T, Datagrams<'_>)])) {
        let slice = |part: &Part| match part {
            Part::Bytes(range) => memory.get(range.clone()),
            Part::Header(range) => self.headers.get(range.clone()),
            Part::Padding(len) => PADDING.get(..*len),
        };
        let slice = |part| IoSlice::new(slice(part).unwrap_or_default());
        let runs = self.runs.get(..self.used).unwrap_or_default();
        let parts: Vec<_> = runs.iter().flat_map(|run| run.parts.iter().map(slice)).collect();
        let mut rest = parts.as_slice();
        let runs = runs.iter().map(|Run { to, segment, count, parts, .. }| {
            let (parts, others) = rest.split_at_checked(parts.len()).unwrap_or_default();
            rest = others;
            (*to, Datagrams { parts, segment: *segment, count: *count })
        });
        send(&runs.collect::<Vec<_>>());
        self.clear();
    }

    pub(super) fn clear(&mut self) {
        self.runs.iter_mut().take(self.used).for_each(|run| run.parts.clear());
        self.used = 0;
        self.headers.clear();
    }

    /// Without the room that it has grown to; it is empty.
    pub(super) fn forget(&mut self) {
        *self = Self::new(self.segmentation);
    }

    /// The run that the datagram belongs to; counted already.
    fn run_for(&mut self, to: T, len: usize) -> &mut Run<T> {
        let recent = self.used.saturating_sub(if self.segmentation { RECENT } else { 0 });
        let known = self.runs.get_mut(recent..self.used).unwrap_or_default();
        let same = known.iter().rposition(|run| run.open && run.to == to);
        if let Some(at) = same.map(|at| recent + at)
            && self.runs[at].take(len)
        {
            return &mut self.runs[at];
        }
        let open = self.segmentation && len > 0 && len <= MAX_SEGMENT;
        if self.used == self.runs.len() {
            self.runs.push(Run { to, segment: 0, count: 0, len: 0, open, parts: Vec::new() });
        }
        let run = &mut self.runs[self.used];
        self.used += 1;
        (run.to, run.segment, run.count, run.len, run.open) = (to, len, 1, len, open);
        run
    }
}

impl<T> Run<T> {
    /// Whether it continues with a datagram of this length. If not, it is over: what comes later
    /// must not overtake.
    fn take(&mut self, len: usize) -> bool {
        let fits = len > 0
            && len <= self.segment
            && self.count < MAX_SEGMENTS
            && self.len + len <= MAX_SEND
            && self.parts.len() + DATAGRAM_PARTS <= MAX_PARTS;
        self.open = fits && len == self.segment;
        if fits {
            self.count += 1;
            self.len += len;
        }
        fits
    }
}

#[cfg(test)]
mod tests;
