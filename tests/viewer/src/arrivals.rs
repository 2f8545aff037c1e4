//! The viewer's part of congestion control: reports when the packets of the transport arrived, as
//! browsers do.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use porthole_gateway_core::rtp::rtcp::{self, TICK};
use porthole_gateway_core::rtp::transport_number;

/// Interval of the reports; browsers have 50 to 250 ms, by the rate.
const INTERVAL: Duration = Duration::from_millis(100);

/// Maximum number of packets that are noted between two reports.
const MAX_NOTED: usize = 4096;

/// Notes the arrivals of packets, and reports them.
#[derive(Debug)]
pub struct Arrivals {
    /// Id of the header extension with the number.
    id: Option<u8>,
    begin: Option<Instant>,
    noted: BTreeMap<u64, Instant>,
    /// Number of the first packet that is not reported yet, extended.
    next: Option<u64>,
    due: Option<Instant>,
    count: u8,
}

impl Arrivals {
    /// Creates an empty record; `id` is that of the header extension with the number.
    #[must_use]
    pub fn new(id: Option<u8>) -> Self {
        Self { id, begin: None, noted: BTreeMap::new(), next: None, due: None, count: 0 }
    }

    /// Notes the arrival of an RTP packet.
    pub fn handle_rtp(&mut self, now: Instant, packet: &[u8]) {
        let Some(number) = self.id.and_then(|id| transport_number(packet, id)) else { return };
        self.begin.get_or_insert(now);
        self.due.get_or_insert(now + INTERVAL);
        // One cycle up, so that a packet before the first has a number, too.
        let next = *self.next.get_or_insert(u64::from(number) + (1 << 16));
        #[expect(clippy::cast_possible_truncation, reason = "the low 16 bits are the wire's")]
        let ahead = number.wrapping_sub(next as u16);
        if ahead < 0x8000 && self.noted.len() < MAX_NOTED {
            self.noted.insert(next + u64::from(ahead), now);
        }
    }

    /// Returns the time at which [`Self::poll_rtcp`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.due.filter(|_| !self.noted.is_empty())
    }

    /// Writes the next report into `out`, replacing its contents. Returns false if none is due.
    pub fn poll_rtcp(&mut self, now: Instant, out: &mut Vec<u8>) -> bool {
        if self.due.is_none_or(|due| now < due) {
            return false;
        }
        let (Some(begin), Some(first), Some(last)) =
            (self.begin, self.next, self.noted.last_key_value().map(|(last, _)| *last))
        else {
            self.due = None;
            return false;
        };
        let end = (first + rtcp::MAX_WRITTEN as u64).min(last + 1);
        let ticks = |at: &Instant| {
            let since = at.saturating_duration_since(begin).as_micros() / TICK.as_micros();
            i64::try_from(since).unwrap_or(i64::MAX)
        };
        let arrivals: Vec<_> = (first..end).map(|it| self.noted.get(&it).map(ticks)).collect();
        self.noted = self.noted.split_off(&end);
        self.next = Some(end);
        out.clear();
        #[expect(clippy::cast_possible_truncation, reason = "the low 16 bits are the wire's")]
        rtcp::Writer::new(out, 1).transport_feedback(0, first as u16, self.count, &arrivals);
        self.count = self.count.wrapping_add(1);
        if self.noted.is_empty() {
            self.due = None;
        }
        true
    }
}
