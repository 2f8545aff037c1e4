//! Datagrams to send, in runs that one call can send.

use std::io::IoSlice;
use std::ops::Range;

use crate::net::udp::{Datagrams, MAX_PARTS, MAX_SEGMENT, MAX_SEGMENTS, MAX_SEND};

/// Number of recent runs that a datagram may continue: a few sources may alternate.
const RECENT: usize = 16;
/// Most parts of one datagram: header, payload, padding.
const DATAGRAM_PARTS: usize = 3;
/// Padding of ChannelData, at most three bytes (RFC 8656 §12.4).
const PADDING: [u8; 3] = [0; 3];

/// A piece of a datagram.
#[derive(Clone, Debug)]
enum Part {
    /// A range of the inbox.
    Bytes(Range<usize>),
    /// A range of the outbox's headers.
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
    /// True if more datagrams may follow.
    open: bool,
    parts: Vec<Part>,
}

/// Datagrams in order for each destination; `T` names socket and destination.
#[derive(Debug)]
pub(super) struct Outbox<T> {
    /// The used runs come first; the others keep their memory for the next round.
    runs: Vec<Run<T>>,
    used: usize,
    headers: Vec<u8>,
    segmentation: bool,
}

impl<T: Copy + PartialEq> Outbox<T> {
    pub(super) const fn new(segmentation: bool) -> Self {
        Self { runs: Vec::new(), used: 0, headers: Vec::new(), segmentation }
    }

    /// Appends a datagram that lies in the inbox.
    pub(super) fn push(&mut self, to: T, bytes: Range<usize>, padding: usize) {
        let len = bytes.len() + padding;
        let run = self.run_for(to, len);
        run.parts.push(Part::Bytes(bytes));
        if padding > 0 {
            run.parts.push(Part::Padding(padding));
        }
    }

    /// Appends a datagram whose header does not lie before the payload.
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

    /// Passes everything in order to `send` and clears the outbox. `memory` is the inbox's.
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

    /// Releases the memory of an empty outbox.
    pub(super) fn release_memory(&mut self) {
        *self = Self::new(self.segmentation);
    }

    /// Returns the run that a datagram belongs to, with the datagram already counted.
    fn run_for(&mut self, to: T, len: usize) -> &mut Run<T> {
        let recent = self.used.saturating_sub(if self.segmentation { RECENT } else { 0 });
        let known = self.runs.get_mut(recent..self.used).unwrap_or_default();
        let same = known.iter().rposition(|run| run.open && run.to == to);
        if let Some(at) = same.map(|at| recent + at)
            && self.runs[at].append(len)
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
    /// Counts a datagram of this length if it fits. If not, the run is closed, so that no later
    /// datagram overtakes this one.
    fn append(&mut self, len: usize) -> bool {
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
