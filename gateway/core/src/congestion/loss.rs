//! The packets that the viewer reports as lost.

use std::collections::VecDeque;

/// Time over which losses are counted, in microseconds.
const WINDOW: i64 = 1_000_000;

/// Maximum number of reports in the window: one every 10 ms.
const MAX_REPORTS: usize = 100;

/// Minimum number of packets that a fraction is made of.
const MIN_PACKETS: u32 = 20;

/// Time for which heavy loss lasts before it counts, in microseconds.
const HEAVY_TIME: i64 = 500_000;

/// Counts the packets that have arrived and were lost in the last second.
#[derive(Debug, Default)]
pub(super) struct Loss {
    reports: VecDeque<(i64, u32, u32)>,
    received: u32,
    lost: u32,
    /// Time since which the loss is heavy, and that of the last report.
    heavy_since: Option<i64>,
    now: i64,
}

impl Loss {
    pub(super) fn add(&mut self, now: i64, received: u32, lost: u32) {
        self.reports.push_back((now, received, lost));
        (self.received, self.lost) = (self.received + received, self.lost + lost);
        let is_old = |(at, ..): &(i64, u32, u32)| now - at > WINDOW;
        while self.reports.front().is_some_and(is_old) || self.reports.len() > MAX_REPORTS {
            let Some((_, received, lost)) = self.reports.pop_front() else { break };
            (self.received, self.lost) = (self.received - received, self.lost - lost);
        }
        self.now = now;
        // A fifth: a radio link loses less, and who sends too much loses more with each repetition.
        self.heavy_since = self.is_above(20).then(|| self.heavy_since.unwrap_or(now));
    }

    /// Returns true if so many packets are lost that less has to be sent.
    pub(super) fn is_heavy(&self) -> bool {
        self.heavy_since.is_some_and(|since| self.now - since >= HEAVY_TIME)
    }

    /// Returns true if packets are lost, so that a queue may be full that does not grow any more.
    pub(super) fn is_noticeable(&self) -> bool {
        self.is_above(5)
    }

    /// Returns true if the loss does not forbid to send more.
    pub(super) fn is_fine(&self) -> bool {
        !self.is_above(15)
    }

    fn is_above(&self, percent: u32) -> bool {
        let all = self.received + self.lost;
        all >= MIN_PACKETS && u64::from(self.lost) * 100 > u64::from(all) * u64::from(percent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_counts_if_it_is_heavy_and_lasts() {
        // Percent of loss, and what it is after 400 ms and after two seconds.
        for (percent, early, late, noticeable, fine) in [
            (0, false, false, false, true),
            (4, false, false, false, true),
            (10, false, false, true, true),
            (18, false, false, true, false),
            (30, false, true, true, false),
            (100, false, true, true, false),
        ] {
            let mut loss = Loss::default();
            for step in 0..20 {
                loss.add(step * 100_000, 100 - percent, percent);
                if step == 4 {
                    assert_eq!(loss.is_heavy(), early, "{percent} % for 400 ms");
                }
            }
            assert_eq!(loss.is_heavy(), late, "{percent} %");
            assert_eq!((loss.is_noticeable(), loss.is_fine()), (noticeable, fine), "{percent} %");
            (0..12).for_each(|step| loss.add(2_000_000 + step * 100_000, 100, 0));
            assert!(!loss.is_noticeable() && !loss.is_heavy(), "{percent} % a second ago");
        }
        let mut loss = Loss::default();
        (0..1000).for_each(|step| loss.add(step, 1, 1));
        assert_eq!((loss.reports.len(), loss.received), (MAX_REPORTS, 100));
    }
}
