//! A viewer's timestamps: one timeline that never jumps, whichever streams and bursts are sent.
//!
//! 1. Live frames keep the camera's distances: one offset is added to all timestamps.
//! 2. A viewer that joins gets the cached group of pictures first. It must be decoded but not
//!    watched: its frames are placed just before the newest one, in order, a tenth of a millisecond
//!    apart and within 20 ms in total. The newest frame gets the live offset, so that the live
//!    frames follow at the camera's own distance, without a jump or a pause. (With their original
//!    times, a player would play the old frames at normal speed and stay behind forever; with one
//!    common time, decoders would take them for one frame.)
//! 3. A group sent in the middle of a session (the viewer lost its key frame) follows the last
//!    frame sent; from then on the timeline is late by those 20 ms, not by the length of the group.
//! 4. Another stream, or a camera whose clock jumps, continues after the last frame by the time
//!    that really passed.

use std::time::{Duration, Instant};

use crate::media::{CLOCK_RATE, MediaPacket, ahead, ticks_at};

/// Distance between two frames of a burst: a tenth of a millisecond.
const BURST_STEP: u32 = CLOCK_RATE / 10_000;

/// Maximum length of a burst: 20 ms, which neither the eye nor a player's buffer notices.
const BURST_SPAN: u32 = CLOCK_RATE / 50;

/// Maximum difference between the step of the timestamp and the time that really passed. More is a
/// new clock. As for cameras in [`crate::media`].
const MAX_JUMP: Duration = Duration::from_secs(10);

/// Time after a burst during which frames may still belong before its end (B-frames).
const MAX_REORDER: i32 = CLOCK_RATE as i32;

/// Maps the camera's timestamps to a viewer's.
#[derive(Debug)]
pub(super) struct Timeline {
    /// The RTP clock rate of the track in hertz.
    clock_rate: u32,
    first: u32,
    /// The newest frame so far, the reference for offset and order.
    newest: Option<Frame>,
    spliced: bool,
    burst: Option<Burst>,
}

#[derive(Debug, Clone, Copy)]
struct Frame {
    camera: u32,
    viewer: u32,
    arrival: Instant,
    captured: Instant,
}

impl Frame {
    fn new(packet: &MediaPacket, viewer: u32) -> Self {
        let MediaPacket { timestamp, arrival, captured, .. } = *packet;
        Self { camera: timestamp, viewer, arrival, captured }
    }
}

/// The frames of a cached group, squeezed together.
#[derive(Debug)]
struct Burst {
    /// Timestamps of the camera, oldest first.
    frames: Vec<u32>,
    step: u32,
    /// Timestamp of the viewer for the last of `frames`.
    end: u32,
}

impl Timeline {
    pub(super) fn new(first: u32, clock_rate: u32) -> Self {
        Self { clock_rate, first, newest: None, spliced: false, burst: None }
    }

    fn ticks(&self, duration: Duration) -> u32 {
        ticks_at(duration, self.clock_rate)
    }

    /// Makes the next frame the first of another stream.
    pub(super) fn splice(&mut self) {
        self.spliced = true;
        self.burst = None;
    }

    /// Makes the next frames those of a cached group, followed by the live stream.
    pub(super) fn begin_burst(&mut self, group: &[MediaPacket]) {
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
        self.newest = Some(Frame::new(newest, end));
        self.spliced = false;
        self.burst = Some(Burst { frames, step, end });
    }

    /// Returns the viewer's timestamp for a packet.
    pub(super) fn map(&mut self, packet: &MediaPacket) -> u32 {
        let camera = packet.timestamp;
        let Some(newest) = self.newest else {
            self.newest = Some(Frame::new(packet, self.first));
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
        let passed = self.passed(&newest, camera, packet.arrival);
        self.spliced = false;
        #[expect(clippy::cast_possible_truncation, reason = "timestamps wrap at 32 bits")]
        #[expect(clippy::cast_sign_loss, reason = "timestamps have no sign")]
        let viewer = newest.viewer.wrapping_add(passed as u32);
        if passed > 0 {
            self.newest = Some(Frame::new(packet, viewer));
        }
        viewer
    }

    /// Returns the ticks from the newest frame to this one: by the camera's clock, unless that is
    /// implausible.
    fn passed(&self, newest: &Frame, camera: u32, arrival: Instant) -> i64 {
        let by_camera = i64::from(ahead(camera, newest.camera));
        let really = i64::from(self.ticks(arrival.saturating_duration_since(newest.arrival)));
        if self.spliced || (by_camera - really).unsigned_abs() > u64::from(self.ticks(MAX_JUMP)) {
            really.max(1)
        } else {
            by_camera
        }
    }

    /// Returns the timestamp of what is recorded now.
    pub(super) fn at(&self, now: Instant) -> u32 {
        let Some(newest) = self.newest else { return self.first };
        let since = self.ticks(now.saturating_duration_since(newest.captured));
        // The camera's clock may have been ahead of what has arrived since.
        let until = self.ticks(newest.captured.saturating_duration_since(now));
        newest.viewer.wrapping_add(since).wrapping_sub(until)
    }
}

impl Burst {
    fn is_over(&self, camera: u32) -> bool {
        self.frames.last().is_none_or(|newest| ahead(camera, *newest) > MAX_REORDER)
    }

    /// Returns the timestamp for a frame of the burst, or for one that belongs between two of them.
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
