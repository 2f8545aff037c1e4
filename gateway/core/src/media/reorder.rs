//! A buffer that puts a camera's packets back in order and finds the missing ones.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::rtp_packet::{RtpHeader, RtpPacket};
use super::stream::Delivery;
use super::ticks::{ahead, ticks};
use super::timeline::MAX_JUMP;

/// A smaller jump ahead, in packets, is a loss; a larger one is a restart (RFC 3550 A.1,
/// `MAX_DROPOUT`).
const MAX_DROPOUT: u16 = 3000;

/// A packet at most this far behind is late or a duplicate (RFC 3550 A.1, `MAX_MISORDER`).
const MAX_MISORDER: u16 = 100;

/// Number of late packets in a row after which the camera must have restarted its numbers by less
/// than [`MAX_MISORDER`].
const MAX_LATE: u32 = 16;

/// Maximum number of packets held while an earlier one is missing. On a LAN packets overtake each
/// other by a few; 32 packets are about 10 ms of a camera at 30 Mbit/s.
const MAX_HELD: usize = 32;

/// Maximum time a packet waits for an earlier one: far above a LAN's jitter, less than one frame.
const MAX_HOLD: Duration = Duration::from_millis(20);

/// The same once a packet has come later than that: on such a path others will, too.
const MAX_HELD_LATE: usize = 512;

/// The same once a packet has come later than [`MAX_HOLD`]: a viewer notices no more of it than of
/// a slower path, and a picture that misses a packet is worse.
const MAX_HOLD_LATE: Duration = Duration::from_millis(100);

/// Time for which packets are waited for longer, after the last one that came late.
const LATE_TIME: Duration = Duration::from_secs(60);

/// Number of the last 128 packets with a gap or a step back before them from which the camera's
/// numbers are ignored: cameras skip numbers, or repeat them, although nothing is lost. A path that
/// really loses a quarter of the packets gives no picture either way.
const MAX_IRREGULAR: u32 = 32;

/// The same over TCP, which loses nothing: tracks that share one counter skip a number at each
/// packet of sound. More than a sixteenth is no loss from which a picture would recover in time.
const MAX_IRREGULAR_TCP: u32 = 8;

/// Number of irregular ones of the last 128 packets up to which the numbers are believed again.
const FEW_IRREGULAR: u32 = 2;

/// The same over TCP, where little speaks for a loss.
const FEW_IRREGULAR_TCP: u32 = 0;

/// Number of packets of which a trace is kept, to tell a number that is used again from a packet
/// that comes twice: more than [`MAX_MISORDER`].
const MAX_SEEN: usize = 128;

/// Number of bytes at the end of a payload by which packets with one number are told apart.
const TRACE_BYTES: usize = 8;

/// The outcome of inserting a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InsertOutcome {
    /// Kept until its turn.
    Accepted,
    /// A late packet or a duplicate; dropped.
    Late,
    /// Far outside the sequence; kept until the next packet shows if the camera has restarted.
    Suspect,
    /// Kept as the first packet of a new sequence: the camera has restarted.
    Restarted,
    /// Kept as the next packet of the same stream, whose camera has begun its numbers again.
    Renumbered,
    /// Kept as the next packet of the same stream, whose camera has begun its numbers again after
    /// packets that may have been lost.
    Interrupted,
}

/// Marks by which a packet that comes again is recognized.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Trace {
    sequence: u16,
    timestamp: u32,
    len: usize,
    end: [u8; TRACE_BYTES],
}

impl Trace {
    fn of(packet: &RtpPacket) -> Self {
        let RtpHeader { sequence, timestamp, .. } = packet.header;
        let mut end = [0; TRACE_BYTES];
        end.iter_mut().zip(packet.payload.iter().rev()).for_each(|(to, from)| *to = *from);
        Self { sequence, timestamp, len: packet.payload.len(), end }
    }
}

/// A packet in order.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OrderedPacket {
    pub(super) packet: RtpPacket,
    pub(super) arrival: Instant,
    /// Number of packets missing before this one.
    pub(super) lost: u64,
}

/// The reorder buffer of one track.
#[derive(Debug)]
pub(super) struct ReorderBuffer {
    delivery: Delivery,
    /// Extended sequence number of the next packet.
    next: Option<u64>,
    /// The number that is added to those of a camera that has begun its numbers again.
    offset: u16,
    held: BTreeMap<u64, (Instant, RtpPacket)>,
    /// A packet far outside the sequence, until the next one shows if the camera has restarted.
    suspect: Option<(Instant, RtpPacket)>,
    /// Number of late packets in a row.
    late: u32,
    /// The first of the numbers that were last given up, and the one after them.
    given_up: (u16, u16),
    /// Time of the last packet that came later than it was waited for.
    late_at: Option<Instant>,
    /// The last 128 packets, the latest in the lowest bit: 1 for an irregular one.
    irregular: u128,
    /// The numbers mean nothing: packets come out as they arrive.
    is_unnumbered: bool,
    /// The latest packet in arrival order, to which the next one is compared.
    latest: Option<RtpPacket>,
    /// The latest packets; none if they arrive in order.
    seen: VecDeque<Trace>,
}

impl ReorderBuffer {
    pub(super) fn new(delivery: Delivery) -> Self {
        Self {
            delivery,
            next: None,
            offset: 0,
            held: BTreeMap::new(),
            suspect: None,
            late: 0,
            given_up: (0, 0),
            late_at: None,
            irregular: 0,
            is_unnumbered: false,
            latest: None,
            seen: VecDeque::new(),
        }
    }

    pub(super) fn insert(&mut self, now: Instant, packet: RtpPacket) -> InsertOutcome {
        let before = self.latest.replace(packet.clone());
        let (Some(next), Some(before)) = (self.next, before) else {
            self.begin(now, packet);
            return InsertOutcome::Accepted;
        };
        if before.header.ssrc != packet.header.ssrc {
            let has_next_numbers = self.is_unnumbered || is_near(&before.header, &packet.header);
            let has_clock = continues_clock(&before.header, &packet.header);
            if !has_clock || !(has_next_numbers || self.delivery == Delivery::Tcp) {
                *self = Self { latest: self.latest.take(), ..Self::new(self.delivery) };
                self.begin(now, packet);
                return InsertOutcome::Restarted;
            }
            if !has_next_numbers {
                return self.renumber(now, next, packet);
            }
        }
        if self.is_unnumbered {
            let before = Some(before).filter(|before| *before != packet);
            return self.insert_unnumbered(now, next, packet, before);
        }
        let trace = Trace::of(&packet);
        let outcome = self.insert_numbered(now, next, packet, (&before.header, trace));
        let is_irregular = match outcome {
            InsertOutcome::Late => !self.seen.contains(&trace),
            InsertOutcome::Interrupted => true,
            InsertOutcome::Accepted
            | InsertOutcome::Suspect
            | InsertOutcome::Restarted
            | InsertOutcome::Renumbered => false,
        };
        if is_irregular {
            self.note(true);
        }
        if outcome == InsertOutcome::Late && self.was_given_up(trace.sequence) {
            self.late_at = Some(now);
        }
        outcome
    }

    fn was_given_up(&self, sequence: u16) -> bool {
        let (first, end) = self.given_up;
        sequence.wrapping_add(self.offset).wrapping_sub(first) < end.wrapping_sub(first)
    }

    /// Returns for how long, and with how many others, a packet waits for an earlier one.
    fn patience(&self, now: Instant) -> (Duration, usize) {
        let is_late = |late_at| now.saturating_duration_since(late_at) < LATE_TIME;
        match self.delivery == Delivery::Udp && self.late_at.is_some_and(is_late) {
            true => (MAX_HOLD_LATE, MAX_HELD_LATE),
            false => (MAX_HOLD, MAX_HELD),
        }
    }

    /// Keeps a packet as the next one, unless it repeats the one before.
    fn insert_unnumbered(
        &mut self,
        now: Instant,
        next: u64,
        packet: RtpPacket,
        before: Option<RtpPacket>,
    ) -> InsertOutcome {
        let Some(before) = before else { return InsertOutcome::Late };
        let follows = before.header.sequence.wrapping_add(1) == packet.header.sequence;
        self.note(!follows);
        let few = match self.delivery {
            Delivery::Tcp => FEW_IRREGULAR_TCP,
            Delivery::InOrder | Delivery::Udp => FEW_IRREGULAR,
        };
        if self.irregular.count_ones() <= few {
            self.begin(now, packet);
            self.is_unnumbered = false;
            return InsertOutcome::Accepted;
        }
        let number = self.held.keys().next_back().map_or(next, |last| last + 1);
        self.held.insert(number, (now, packet));
        InsertOutcome::Accepted
    }

    fn insert_numbered(
        &mut self,
        now: Instant,
        next: u64,
        packet: RtpPacket,
        (before, trace): (&RtpHeader, Trace),
    ) -> InsertOutcome {
        let RtpHeader { sequence, timestamp, .. } = packet.header;
        #[expect(clippy::cast_possible_truncation, reason = "the low 16 bits are the wire's")]
        let ahead = sequence.wrapping_add(self.offset).wrapping_sub(next as u16);
        let keeps_clock = continues_clock(before, &packet.header);
        if ahead < MAX_DROPOUT {
            self.suspect = None;
            let before = self.held.len();
            self.held.entry(next + u64::from(ahead)).or_insert((now, packet));
            if self.held.len() == before {
                return InsertOutcome::Late;
            }
            self.late = 0;
            self.remember(trace);
            return InsertOutcome::Accepted;
        }
        if ahead.wrapping_neg() <= MAX_MISORDER {
            // A packet that comes twice has its timestamp twice.
            let is_used_again =
                self.seen.iter().any(|s| s.sequence == sequence && s.timestamp != timestamp);
            self.late += 1;
            if !is_used_again && (self.late < MAX_LATE || self.seen.contains(&trace)) {
                return InsertOutcome::Late;
            }
            match self.delivery {
                Delivery::Tcp if keeps_clock => return self.renumber(now, next, packet),
                Delivery::Tcp | Delivery::InOrder | Delivery::Udp => {}
            }
            self.begin(now, packet);
            return match is_used_again && keeps_clock {
                true => InsertOutcome::Interrupted,
                false => InsertOutcome::Restarted,
            };
        }
        match self.delivery {
            Delivery::Tcp if keeps_clock => return self.renumber(now, next, packet),
            Delivery::Tcp | Delivery::InOrder => {
                self.begin(now, packet);
                return InsertOutcome::Restarted;
            }
            Delivery::Udp => {}
        }
        let follows =
            |(_, before): &(Instant, RtpPacket)| before.header.sequence.wrapping_add(1) == sequence;
        match self.suspect.take().filter(follows) {
            Some((arrival, before)) => {
                self.begin(arrival, before);
                let second = self.next.map_or(0, |first| first + 1);
                self.held.insert(second, (now, packet));
                InsertOutcome::Restarted
            }
            None => {
                self.suspect = Some((now, packet));
                InsertOutcome::Suspect
            }
        }
    }

    /// Keeps a packet as the one after all others, with which new numbers begin.
    fn renumber(&mut self, now: Instant, next: u64, packet: RtpPacket) -> InsertOutcome {
        let number = self.held.keys().next_back().map_or(next, |last| last + 1);
        #[expect(clippy::cast_possible_truncation, reason = "the low 16 bits are the wire's")]
        let low = number as u16;
        self.offset = low.wrapping_sub(packet.header.sequence);
        self.late = 0;
        self.seen.clear();
        self.remember(Trace::of(&packet));
        self.held.insert(number, (now, packet));
        self.note(true);
        InsertOutcome::Renumbered
    }

    fn remember(&mut self, trace: Trace) {
        if self.delivery != Delivery::InOrder {
            self.seen.truncate(MAX_SEEN - 1);
            self.seen.push_front(trace);
        }
    }

    /// Returns the next packet, once the ones before it have arrived or are given up.
    pub(super) fn pop(&mut self, now: Instant) -> Option<OrderedPacket> {
        let next = self.next?;
        let first = *self.held.keys().next()?;
        if first != next && !self.gives_up(now) {
            return None;
        }
        let (arrival, packet) = self.held.remove(&first)?;
        self.next = Some(first + 1);
        if self.is_unnumbered {
            return Some(OrderedPacket { packet, arrival, lost: 0 });
        }
        self.note(first > next);
        if first > next {
            #[expect(clippy::cast_possible_truncation, reason = "the low 16 bits are the wire's")]
            let range = (next as u16, first as u16);
            self.given_up = range;
        }
        Some(OrderedPacket { packet, arrival, lost: first - next })
    }

    /// Returns true if the packets that are missing now are not waited for any longer.
    fn gives_up(&self, now: Instant) -> bool {
        self.delivery == Delivery::InOrder
            || self.is_unnumbered
            || self.held.len() > self.patience(now).1
            || self.timeout().is_some_and(|timeout| timeout <= now)
    }

    fn note(&mut self, is_irregular: bool) {
        let most = match self.delivery {
            Delivery::Tcp => MAX_IRREGULAR_TCP,
            Delivery::InOrder | Delivery::Udp => MAX_IRREGULAR,
        };
        self.irregular = self.irregular << 1 | u128::from(is_irregular);
        self.is_unnumbered |= self.irregular.count_ones() >= most;
    }

    /// Returns the time at which the missing packets are given up.
    pub(super) fn timeout(&self) -> Option<Instant> {
        let wait = |arrival: &Instant| *arrival + self.patience(*arrival).0;
        self.held.values().map(|(arrival, _)| wait(arrival)).min()
    }

    fn begin(&mut self, now: Instant, packet: RtpPacket) {
        let first = u64::from(packet.header.sequence);
        self.offset = 0;
        self.seen.clear();
        self.remember(Trace::of(&packet));
        self.held.clear();
        self.held.insert(first, (now, packet));
        self.next = Some(first);
        self.suspect = None;
        self.late = 0;
    }
}

/// Returns true if one number follows the other, with those between them lost or late.
fn is_near(before: &RtpHeader, header: &RtpHeader) -> bool {
    let ahead = header.sequence.wrapping_sub(before.sequence);
    ahead.min(ahead.wrapping_neg()) <= MAX_MISORDER
}

/// Returns true if both timestamps can be of one clock, which two streams share by chance once in
/// two thousand times.
fn continues_clock(before: &RtpHeader, header: &RtpHeader) -> bool {
    ahead(header.timestamp, before.timestamp).unsigned_abs() <= ticks(MAX_JUMP)
}

#[cfg(test)]
mod tests;
