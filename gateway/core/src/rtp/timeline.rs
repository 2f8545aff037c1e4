//! A viewer's timestamps: one line that never jumps, whatever is played on it.
//!
//! 1. Live frames keep the camera's distances: one offset is added to all.
//! 2. A viewer that joins gets the cached group of pictures first. It must be decoded, but not
//!    watched: its frames are put closely in front of the newest one, in their order, a tenth of a
//!    millisecond apart and 20 ms in all at most. The newest frame gets the live offset, so the
//!    live edge follows at the camera's own distance, without a jump and without a wait. (Were the
//!    old frames given their own times, a player would play them at their own speed and stay
//!    behind for ever; were they given one and the same, decoders would take them for one frame.)
//! 3. A group sent in the middle of a session (the viewer lost its key frame) goes on behind what
//!    was sent last; the line is late by those 20 ms from then on, not by the group's length.
//! 4. Another stream, or a camera whose clock jumps, goes on behind the last frame after the time
//!    that really passed.

use std::time::Instant;

use super::{ahead, ticks};
use crate::media::{CLOCK_RATE, VideoPacket};

/// Between two frames of a burst: a tenth of a millisecond.
const BURST_STEP: u32 = CLOCK_RATE / 10_000;

/// A whole burst: 20 ms, what a person's eye and a player's buffer do not notice.
const BURST_SPAN: u32 = CLOCK_RATE / 50;

/// A timestamp that differs by more from the time that really passed is a new clock: ten seconds,
/// as [`crate::media`] has it for cameras.
const MAX_JUMP: u32 = 10 * CLOCK_RATE;

/// How long after a burst frames may come that belong before its end (B-frames).
const MAX_REORDER: i32 = CLOCK_RATE as i32;

#[derive(Debug)]
pub(super) struct Timeline {
    first: u32,
    /// The newest frame so far; offset and order are measured from it.
    newest: Option<Frame>,
    spliced: bool,
    burst: Option<Burst>,
}

#[derive(Debug, Clone, Copy)]
struct Frame {
    camera: u32,
    viewer: u32,
    arrival: Instant,
}

/// The frames of a cached group, squeezed.
#[derive(Debug)]
struct Burst {
    /// The camera's timestamps, oldest first.
    frames: Vec<u32>,
    step: u32,
    /// Of the viewer, for the last of `frames`.
    end: u32,
}

impl Timeline {
    pub(super) fn new(first: u32) -> Self {
        Self { first, newest: None, spliced: false, burst: None }
    }

    /// What follows comes from another stream.
    pub(super) fn splice(&mut self) {
        self.spliced = true;
        self.burst = None;
    }

    /// What follows is this cached group, and then the live stream.
    pub(super) fn begin_burst(&mut self, group: &[VideoPacket]) {
        let Some(newest) = group.iter().reduce(|newest, packet| {
            if ahead(packet.timestamp, newest.timestamp) > 0 { packet } else { newest }
        }) else {
            return;
        };
        let mut frames: Vec<_> = group.iter().map(|packet| packet.timestamp).collect();
        frames.sort_unstable_by_key(|timestamp| ahead(*timestamp, newest.timestamp));
        frames.dedup();
        let count = u32::try_from(frames.len()).unwrap_or(u32::MAX);
        let step = (BURST_SPAN / count).clamp(1, BURST_STEP);
        let span = step.wrapping_mul(count);
        let end = match self.newest {
            None => self.first.wrapping_add(span),
            Some(last) => {
                let passed = self.passed(&last, newest.timestamp, newest.arrival);
                let passed = u32::try_from(passed).unwrap_or(0);
                last.viewer.wrapping_add(passed.max(span))
            }
        };
        let arrival = newest.arrival;
        self.newest = Some(Frame { camera: newest.timestamp, viewer: end, arrival });
        self.spliced = false;
        self.burst = Some(Burst { frames, step, end });
    }

    pub(super) fn map(&mut self, camera: u32, arrival: Instant) -> u32 {
        let Some(newest) = self.newest else {
            self.newest = Some(Frame { camera, viewer: self.first, arrival });
            self.spliced = false;
            return self.first;
        };
        if let Some(burst) = &self.burst {
            if burst.is_over(camera) {
                self.burst = None;
            } else if let Some(viewer) = burst.map(camera) {
                return viewer;
            }
        }
        let passed = self.passed(&newest, camera, arrival);
        self.spliced = false;
        #[expect(clippy::cast_possible_truncation, reason = "within the circle of 32 bits")]
        #[expect(clippy::cast_sign_loss, reason = "the circle has no sign")]
        let viewer = newest.viewer.wrapping_add(passed as u32);
        if passed > 0 {
            self.newest = Some(Frame { camera, viewer, arrival });
        }
        viewer
    }

    /// Ticks from the newest frame to this one: by the camera's clock, unless it cannot be right.
    fn passed(&self, newest: &Frame, camera: u32, arrival: Instant) -> i64 {
        let by_camera = i64::from(ahead(camera, newest.camera));
        let really = i64::from(ticks(arrival.saturating_duration_since(newest.arrival)));
        if self.spliced || (by_camera - really).unsigned_abs() > u64::from(MAX_JUMP) {
            really.max(1)
        } else {
            by_camera
        }
    }

    /// The timestamp a frame would have that came now.
    pub(super) fn at(&self, now: Instant) -> u32 {
        self.newest.map_or(self.first, |frame| {
            frame.viewer.wrapping_add(ticks(now.saturating_duration_since(frame.arrival)))
        })
    }
}

impl Burst {
    fn is_over(&self, camera: u32) -> bool {
        self.frames.last().is_none_or(|newest| ahead(camera, *newest) > MAX_REORDER)
    }

    /// Where a frame of the burst, or one that belongs between two of them, is put.
    fn map(&self, camera: u32) -> Option<u32> {
        let newest = *self.frames.last()?;
        let key = |timestamp: u32| ahead(timestamp, newest);
        let index = self.frames.partition_point(|frame| key(*frame) < key(camera));
        let exact = *self.frames.get(index)? == camera;
        let behind = u32::try_from(self.frames.len() - 1 - index).ok()?;
        let place = self.end.wrapping_sub(behind.wrapping_mul(self.step));
        Some(if exact { place } else { place.wrapping_sub(1) })
    }
}

#[cfg(test)]
mod tests;
