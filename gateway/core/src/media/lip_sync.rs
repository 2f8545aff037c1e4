//! Sound and picture of a camera on one clock: ours, by way of the camera's own.
//!
//! A camera says in its sender reports (RFC 3550 §6.4.1) at which time of its clock a timestamp of
//! each track was recorded. Its clock may be wrong by years; what counts is that both tracks are on
//! it. How far it is from ours is measured by the arrival of pictures, smoothly, so that the
//! jitter of the network does not move the sound.

use std::time::{Duration, Instant};

use super::reference::Reference;
use super::stream::MediaKind;
use super::ticks::ahead;

/// Weight of a new measurement of the distance of the clocks: one in so many.
const SMOOTHING: i64 = 64;

/// Change of that distance that is a clock that was set, not jitter.
const MAX_STEP: Duration = Duration::from_millis(500);

/// Difference between what two reports of a track say that is a clock that was set. It makes the
/// report of the other track worthless.
const MAX_DISAGREEMENT: Duration = Duration::from_millis(100);

/// A sender report of a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockReport {
    /// Time of the camera's clock: seconds since 1900, with 32 fractional bits (RFC 3550 §4).
    pub ntp: u64,
    /// The timestamp of that time.
    pub timestamp: u32,
}

/// A report with the clock rate of its track.
#[derive(Debug, Clone, Copy)]
struct Known {
    report: ClockReport,
    clock_rate: u32,
}

impl Known {
    /// Returns the time of the camera's clock at which something with this timestamp was recorded,
    /// in nanoseconds since 1900.
    fn time_of(&self, timestamp: u32) -> i128 {
        let ticks = i128::from(ahead(timestamp, self.report.timestamp));
        nanos(self.report.ntp) + ticks * 1_000_000_000 / i128::from(self.clock_rate.max(1))
    }
}

/// The clocks of a camera's connection.
#[derive(Debug, Default)]
pub struct LipSync {
    video: Option<Known>,
    audio: Option<Known>,
    /// A moment on both clocks, by which the distance is measured, and the distance from it in
    /// nanoseconds.
    distance: Option<(Instant, i128, i64)>,
    /// Timestamp of the latest picture.
    picture: Option<u32>,
}

impl LipSync {
    /// Handles a sender report of a track.
    pub fn handle_report(&mut self, track: MediaKind, report: ClockReport, clock_rate: u32) {
        // Without a clock, senders write zero (RFC 3550 §6.4.1).
        if report.ntp == 0 {
            return;
        }
        let known = Known { report, clock_rate };
        let (own, other) = match track {
            MediaKind::Video => (&mut self.video, &mut self.audio),
            MediaKind::Audio => (&mut self.audio, &mut self.video),
        };
        if let Some(before) = own {
            let expected = before.time_of(report.timestamp);
            let off = (nanos(report.ntp) - expected).unsigned_abs();
            if off > MAX_DISAGREEMENT.as_nanos() {
                *other = None;
                self.distance = None;
            }
        }
        *own = Some(known);
    }

    /// Measures the distance of the clocks by the arrival of a picture with this timestamp, whose
    /// first packet counts. Returns true if the references may have changed.
    pub fn handle_picture(&mut self, arrival: Instant, timestamp: u32) -> bool {
        let Some(video) = self.video else { return false };
        let is_new = self.picture.replace(timestamp) != Some(timestamp);
        if is_new {
            self.measure(arrival, video.time_of(timestamp));
        }
        is_new
    }

    fn measure(&mut self, arrival: Instant, camera: i128) {
        let Some((at, of_camera, distance)) = &mut self.distance else {
            self.distance = Some((arrival, camera, 0));
            return;
        };
        let passed = i128::try_from(arrival.saturating_duration_since(*at).as_nanos());
        let measured = passed.unwrap_or_default() - (camera - *of_camera);
        let change = i64::try_from(measured).map_or(i64::MAX, |it| it.saturating_sub(*distance));
        if change.unsigned_abs() > u64::try_from(MAX_STEP.as_nanos()).unwrap_or(u64::MAX) {
            self.distance = Some((arrival, camera, 0));
        } else {
            *distance += change / SMOOTHING;
        }
    }

    /// Returns a moment of a track on our clock; `None` until both tracks have reports.
    #[must_use]
    pub fn reference(&self, track: MediaKind) -> Option<Reference> {
        let (video, audio) = (self.video?, self.audio?);
        let (at, of_camera, distance) = self.distance?;
        let Known { report, clock_rate } = match track {
            MediaKind::Video => video,
            MediaKind::Audio => audio,
        };
        let since = nanos(report.ntp) - of_camera + i128::from(distance);
        let length = Duration::from_nanos(u64::try_from(since.unsigned_abs()).ok()?);
        let at = if since < 0 { at.checked_sub(length)? } else { at.checked_add(length)? };
        Some(Reference { at, timestamp: report.timestamp, clock_rate })
    }
}

fn nanos(ntp: u64) -> i128 {
    (i128::from(ntp) * 1_000_000_000) >> 32
}

#[cfg(test)]
mod tests;
