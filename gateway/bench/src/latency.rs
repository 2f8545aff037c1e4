//! The time that packets spend in a gateway, from their sending by the camera to the kernel's time
//! of their arrival at a viewer.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::source::FRAME_TICKS;

/// Maximum number of viewers whose packets are timed.
const MAX_VIEWERS: usize = 50;

/// Maximum number of packets that are timed: 50 viewers for some minutes.
const MAX_PACKETS: usize = 5_000_000;

/// The packets that have arrived while [`Self::begin`] asked for them.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    is_on: AtomicBool,
    /// Number of viewers so far.
    viewers: AtomicUsize,
    /// Those below this number are timed.
    timed: AtomicUsize,
    packets: Mutex<Vec<Arrival>>,
}

#[derive(Debug, Clone, Copy)]
struct Arrival {
    viewer: usize,
    timestamp: u32,
    /// Time since 1970.
    at: Duration,
}

impl Arrivals {
    /// Returns the number of another viewer.
    pub(crate) fn add_viewer(&self) -> usize {
        self.viewers.fetch_add(1, Ordering::Relaxed)
    }

    /// Begins to keep what arrives at the viewers of now: later ones begin with old packets.
    pub(crate) fn begin(&self) {
        let timed = self.viewers.load(Ordering::Relaxed).min(MAX_VIEWERS);
        self.timed.store(timed, Ordering::Relaxed);
        self.is_on.store(true, Ordering::Relaxed);
    }

    pub(crate) fn push(&self, viewer: usize, timestamp: u32, at: Duration) {
        let timed = self.timed.load(Ordering::Relaxed);
        if viewer >= timed || !self.is_on.load(Ordering::Relaxed) {
            return;
        }
        let mut packets = self.packets.lock().unwrap_or_else(PoisonError::into_inner);
        if packets.len() < MAX_PACKETS {
            packets.push(Arrival { viewer, timestamp, at });
        }
    }

    /// Returns the sorted times in milliseconds that the packets have taken, and keeps no more.
    /// `sent` has the times since 1970 at which the camera has begun to send its frames.
    pub(crate) fn end(&self, sent: &[Duration]) -> Vec<f64> {
        self.is_on.store(false, Ordering::Relaxed);
        let packets = {
            let mut packets = self.packets.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *packets)
        };
        let mut times = Vec::new();
        for viewer in 0..MAX_VIEWERS {
            times.extend(times_of(packets.iter().filter(|one| one.viewer == viewer), sent));
        }
        times.sort_by(f64::total_cmp);
        times
    }
}

/// Returns the times in milliseconds that the packets of one viewer have taken.
///
/// Each gateway keeps the distances of the camera's timestamps. A packet cannot arrive before its
/// frame is sent, and some are there before the next one is: so the distance of the frames' numbers
/// is the least one that any packet allows.
fn times_of<'a>(arrivals: impl Iterator<Item = &'a Arrival>, sent: &[Duration]) -> Vec<f64> {
    let mut last: Option<(u32, i64)> = None;
    let numbered: Vec<(i64, Duration)> = arrivals
        .map(|arrival| {
            let number = last.map_or(0, |(timestamp, number)| {
                let ticks = arrival.timestamp.wrapping_sub(timestamp).cast_signed();
                number + i64::from(ticks / FRAME_TICKS)
            });
            last = Some((arrival.timestamp, number));
            (number, arrival.at)
        })
        .collect();
    let newest = |at: Duration| {
        let before = sent.partition_point(|sent| *sent <= at);
        i64::try_from(before).unwrap_or(i64::MAX) - 1
    };
    let Some(distance) = numbered.iter().map(|(number, at)| newest(*at) - number).min() else {
        return Vec::new();
    };
    let taken = numbered.into_iter().filter_map(|(number, at)| {
        let sent = sent.get(usize::try_from(number + distance).ok()?)?;
        Some(at.saturating_sub(*sent).as_secs_f64() * 1000.0)
    });
    taken.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_found_again_by_their_timestamps() {
        let ms = Duration::from_millis;
        // Frames of three packets, 33 ms apart; each packet takes 2 ms, those of one frame 40 ms.
        let sent: Vec<_> = (0..10).map(|n| ms(1000 + n * 33)).collect();
        for first in [0, u32::MAX - 9000] {
            let arrivals = Arrivals::default();
            let viewer = arrivals.add_viewer();
            arrivals.push(viewer, 7, ms(0));
            arrivals.begin();
            arrivals.push(arrivals.add_viewer(), 7, ms(0));
            for (frame, sent) in (0..).zip(&sent).skip(2).take(6) {
                let at = *sent + ms(if frame == 3 { 40 } else { 2 });
                for _ in 0..3 {
                    arrivals.push(viewer, first.wrapping_add(frame * 3000), at);
                }
            }
            let times = arrivals.end(&sent);
            assert_eq!(times.len(), 18);
            assert!(times[..15].iter().all(|time| (*time - 2.0).abs() < 1e-6), "{times:?}");
            assert!(times[15..].iter().all(|time| (*time - 40.0).abs() < 1e-6), "{times:?}");
        }
    }
}
