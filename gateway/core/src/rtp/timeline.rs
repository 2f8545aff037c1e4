//! A viewer's timestamps: one timeline that never jumps, whichever streams and bursts are sent.
//!
//! 1. Live frames keep the camera's distances: one offset is added to all timestamps.
//! 2. A viewer that joins gets the cached group of pictures first, at a pace ([`super::Pacer`]). It
//!    must be decoded but not watched: each of its frames has the time at which it is sent, in
//!    order, and so have the live frames that queue behind it. From the first frame that no longer
//!    queues, the camera's distances hold. So every frame reaches the player at the time that its
//!    timestamp says, and nothing looks like jitter of the network. (With their original times, a
//!    player would play the old frames at normal speed and stay behind forever; with one common
//!    time, decoders would take them for one frame.)
//! 3. A group sent in the middle of a session (the viewer lost its key frame) follows the last
//!    frame sent in the same way; the timeline is not moved by it.
//! 4. Another stream, or a camera whose clock jumps, continues after the last frame by the time
//!    that really passed.

use std::time::{Duration, Instant};

use crate::media::{CLOCK_RATE, MediaPacket, ahead, ticks_at};

/// Minimum distance between two frames of a burst: a tenth of a millisecond.
const MIN_STEP: u32 = CLOCK_RATE / 10_000;

/// Maximum difference between the step of the timestamp and the time that really passed. More is a
/// new clock. As for cameras in [`crate::media`].
const MAX_JUMP: Duration = Duration::from_secs(10);

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

/// A group that is being sent, and the live frames that queue behind it.
#[derive(Debug)]
struct Burst {
    /// Timestamps of the group's frames, of the camera and for the viewer, oldest first.
    frames: Vec<(u32, u32)>,
    start: Instant,
    /// Timestamp of the viewer at `start`.
    base: u32,
    /// The queue is empty.
    is_sent: bool,
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

    /// Makes the next frames those of a cached group, followed by the live stream. The packets of
    /// the group are sent at `times`, the first of them now.
    pub(super) fn begin_burst(&mut self, now: Instant, group: &[MediaPacket], times: &[Instant]) {
        let Some(newest) = group.iter().reduce(|newest, packet| {
            if ahead(packet.timestamp, newest.timestamp) > 0 { packet } else { newest }
        }) else {
            return;
        };
        let base = self.newest.map_or(self.first, |last| {
            let now = match &self.burst {
                Some(burst) => burst.at(now, self.clock_rate),
                None => {
                    let passed = self.ticks(now.saturating_duration_since(last.arrival));
                    last.viewer.wrapping_add(passed)
                }
            };
            later(now, last.viewer.wrapping_add(MIN_STEP))
        });
        // The times in the order in which the frames are sent, for the frames in their own order.
        let mut sent: Vec<(u32, Instant)> =
            group.iter().map(|packet| packet.timestamp).zip(times.iter().copied()).collect();
        sent.dedup_by_key(|(timestamp, _)| *timestamp);
        let mut frames: Vec<_> = sent.iter().map(|(timestamp, _)| *timestamp).collect();
        frames.sort_unstable_by_key(|timestamp| ahead(*timestamp, newest.timestamp));
        frames.dedup();
        let mut free = base;
        let place = |(camera, (_, at)): (u32, (u32, Instant))| {
            let viewer = base.wrapping_add(self.ticks(at.saturating_duration_since(now)));
            let viewer = later(viewer, free);
            free = viewer.wrapping_add(MIN_STEP);
            (camera, viewer)
        };
        let frames: Vec<_> = frames.into_iter().zip(sent).map(place).collect();
        let end = frames.last().map_or(base, |(_, viewer)| *viewer);
        self.newest = Some(Frame::new(newest, end));
        self.spliced = false;
        self.burst = Some(Burst { frames, start: now, base, is_sent: false });
    }

    /// Ends the queue behind a group: the next frame is sent as it arrives.
    pub(super) fn end_burst(&mut self) {
        if let Some(burst) = &mut self.burst {
            burst.is_sent = true;
        }
    }

    /// Returns the viewer's timestamp for a packet that is sent now.
    pub(super) fn map(&mut self, now: Instant, packet: &MediaPacket) -> u32 {
        let camera = packet.timestamp;
        let Some(newest) = self.newest else {
            self.newest = Some(Frame::new(packet, self.first));
            self.spliced = false;
            return self.first;
        };
        if let Some(burst) = &self.burst {
            if let Some(viewer) = burst.map(camera) {
                return viewer;
            }
            if ahead(camera, newest.camera) > 0 {
                let at = if burst.is_sent { packet.arrival } else { now };
                let place = burst.at(at, self.clock_rate);
                let least = newest.viewer.wrapping_add(MIN_STEP);
                let viewer = later(place, least);
                self.newest = Some(Frame::new(packet, viewer));
                if burst.is_sent {
                    self.burst = None;
                }
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
        if let Some(burst) = &self.burst {
            // That of the live frames that will follow it.
            let place = burst.at(now, self.clock_rate);
            let late = self.ticks(newest.arrival.saturating_duration_since(newest.captured));
            let early = self.ticks(newest.captured.saturating_duration_since(newest.arrival));
            return place.wrapping_add(late).wrapping_sub(early);
        }
        let since = self.ticks(now.saturating_duration_since(newest.captured));
        // The camera's clock may have been ahead of what has arrived since.
        let until = self.ticks(newest.captured.saturating_duration_since(now));
        newest.viewer.wrapping_add(since).wrapping_sub(until)
    }
}

impl Burst {
    /// Returns the viewer's timestamp at a time after the start.
    fn at(&self, time: Instant, clock_rate: u32) -> u32 {
        let since = time.saturating_duration_since(self.start);
        self.base.wrapping_add(ticks_at(since, clock_rate))
    }

    /// Returns the viewer's timestamp for a frame of the group, or for one that belongs between two
    /// of them.
    fn map(&self, camera: u32) -> Option<u32> {
        let newest = self.frames.last()?.0;
        let key = |timestamp: u32| ahead(timestamp, newest);
        let index = self.frames.partition_point(|(frame, _)| key(*frame) < key(camera));
        let (frame, place) = *self.frames.get(index)?;
        Some(if frame == camera { place } else { place.wrapping_sub(1) })
    }
}

/// Returns the later of two timestamps.
fn later(one: u32, other: u32) -> u32 {
    if ahead(one, other) > 0 { one } else { other }
}

#[cfg(test)]
mod tests;
