//! The check of a stream: what it really sends, and how far its key frames are apart.

use std::time::{Duration, Instant};

use super::finding::Finding;
use crate::media::{
    CLOCK_RATE, Codec, Feed, FeedOutput, MediaPacket, RtpPacket, StreamDescription,
};

/// Time after the first picture until which the next key frame is waited for. Ordinary cameras send
/// one every second or two, those with a smart codec every ten.
const KEY_FRAME_TIME: Duration = Duration::from_secs(5);

/// Number of pictures that must go back in time before they are taken for B pictures.
const MIN_PICTURES_BACK: u64 = 2;

/// The properties of a stream, as they were measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// Codec of the stream.
    pub codec: Codec,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Frames per second, if there were two.
    pub frames_per_second: Option<f64>,
    /// Seconds from one key frame to the next; `None` if there was no second one within 5 s.
    pub key_frame_distance_s: Option<f64>,
    /// True if pictures are sent in another order than they are shown.
    pub has_b_pictures: bool,
}

/// Distance of key frames from which a picture starts too late.
pub(super) const FAR: Duration = Duration::from_secs(4);

impl Measured {
    /// Returns what is to be told about the stream of this name.
    #[must_use]
    pub fn findings(&self, stream: &str) -> Vec<Finding> {
        let mut findings = Vec::new();
        let stream = stream.to_owned();
        let far = match self.key_frame_distance_s {
            // Whole seconds are enough for a sentence, and no stream has hours of them.
            Some(seconds) => {
                Some(Duration::from_secs_f64(seconds)).filter(|distance| *distance > FAR).map(Some)
            }
            None => Some(None),
        };
        if let Some(distance) = far {
            let seconds = distance.and_then(|distance| u32::try_from(distance.as_secs()).ok());
            findings.push(Finding::FarKeyFrames { stream: stream.clone(), seconds });
        }
        if self.has_b_pictures {
            findings.push(Finding::BPictures(stream));
        }
        findings
    }
}

/// A stream that is being checked.
#[derive(Debug)]
pub struct StreamCheck {
    feed: Feed,
    /// Time of the first key frame.
    started: Option<Instant>,
    first_key: Option<u32>,
    second_key: Option<u32>,
    /// Timestamp of the first picture after the first key frame, and of the last one.
    span: Option<(u32, u32)>,
    frames: u32,
    size: Option<(Codec, u32, u32)>,
}

impl Default for StreamCheck {
    fn default() -> Self {
        Self {
            feed: Feed::new(),
            started: None,
            first_key: None,
            second_key: None,
            span: None,
            frames: 0,
            size: None,
        }
    }
}

impl StreamCheck {
    /// Handles the description of the stream.
    pub fn handle_description(&mut self, description: &StreamDescription) {
        self.feed.handle_description(&description.video);
    }

    /// Handles a packet of the video.
    pub fn handle_packet(&mut self, now: Instant, packet: RtpPacket) {
        // A packet that cannot be read is counted by the feed.
        let _ = self.feed.handle_packet(now, packet);
        while let Some(output) = self.feed.poll_output() {
            match output {
                FeedOutput::Format(format) => {
                    self.size = Some((format.codec, format.width, format.height));
                }
                FeedOutput::Packet(packet) => self.handle_output(now, &packet),
            }
        }
    }

    fn handle_output(&mut self, now: Instant, packet: &MediaPacket) {
        if packet.starts_key_frame && self.second_key.is_none() {
            match self.first_key {
                None => {
                    self.started = Some(now);
                    self.first_key = Some(packet.timestamp);
                }
                Some(first) if first != packet.timestamp => {
                    self.second_key = Some(packet.timestamp);
                }
                Some(_) => {}
            }
        }
        if packet.marker && self.first_key.is_some() {
            self.frames += 1;
            let (first, _) = self.span.unwrap_or((packet.timestamp, packet.timestamp));
            self.span = Some((first, packet.timestamp));
        }
    }

    /// Returns the time at which nothing more is to be learnt; `None` before the first picture.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.started.map(|started| started + KEY_FRAME_TIME)
    }

    /// Returns true once a second key frame has arrived.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.second_key.is_some()
    }

    /// Returns what was measured; `None` without a picture.
    #[must_use]
    pub fn measured(&self) -> Option<Measured> {
        let (codec, width, height) = self.size.filter(|_| self.first_key.is_some())?;
        let seconds = |from: u32, to: u32| f64::from(to.wrapping_sub(from)) / f64::from(CLOCK_RATE);
        let rate = self
            .span
            .filter(|(first, last)| first != last)
            .map(|(first, last)| f64::from(self.frames.saturating_sub(1)) / seconds(first, last));
        let distance = self.first_key.zip(self.second_key).map(|(a, b)| seconds(a, b));
        Some(Measured {
            codec,
            width,
            height,
            frames_per_second: rate,
            key_frame_distance_s: distance,
            has_b_pictures: self.feed.statistics().pictures_back >= MIN_PICTURES_BACK,
        })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::media::{Delivery, RtpHeader, TrackDescription};

    /// A sequence parameter set of 640×360 pixels and a picture parameter set.
    const SPS: &[u8] = &[
        0x67, 0x42, 0xc0, 0x1e, 0xd9, 0x00, 0xa0, 0x2f, 0xf9, 0x70, 0x11, 0x00, 0x00, 0x03, 0x00,
        0x01, 0x00, 0x00, 0x03, 0x00, 0x32, 0x0f, 0x16, 0x2e, 0x48,
    ];
    const PPS: &[u8] = &[0x68, 0xcb, 0x83, 0xcb, 0x20];

    fn check() -> StreamCheck {
        let parameter_sets = vec![Bytes::from_static(SPS), Bytes::from_static(PPS)];
        let track =
            TrackDescription { codec: Codec::H264, parameter_sets, delivery: Delivery::InOrder };
        let mut check = StreamCheck::default();
        check.handle_description(&StreamDescription::video(track));
        check
    }

    /// Sends pictures at 25 a second, of which each `distance`-th is a key frame.
    fn send(check: &mut StreamCheck, start: Instant, pictures: u16, distance: u16) {
        for number in 0..pictures {
            let kind: &'static [u8] = if number % distance == 0 {
                &[0x65, 0x88, 0x80, 0x10]
            } else {
                &[0x41, 0x9a, 0x02]
            };
            let timestamp = u32::MAX - 20_000;
            let header = RtpHeader {
                marker: true,
                payload_type: 96,
                sequence: number,
                timestamp: timestamp.wrapping_add(u32::from(number) * 3600),
                ssrc: 1,
            };
            let packet = RtpPacket { header, payload: Bytes::from_static(kind) };
            check.handle_packet(start + Duration::from_millis(40) * u32::from(number), packet);
        }
    }

    #[test]
    fn rate_and_distance_of_key_frames_are_measured_not_believed() {
        let start = Instant::now();
        for (pictures, distance, expected) in
            [(60, 50, Some(2.0)), (30, 25, Some(1.0)), (30, 99, None)]
        {
            let mut check = check();
            assert_eq!((check.measured(), check.deadline()), (None, None));
            send(&mut check, start, pictures, distance);
            let measured = check.measured().expect("a picture");
            assert_eq!(measured.codec, Codec::H264);
            assert_eq!(measured.key_frame_distance_s, expected, "{distance}");
            assert_eq!(check.is_complete(), expected.is_some());
            let rate = measured.frames_per_second.expect("a rate");
            assert!((rate - 25.0).abs() < 0.01, "{rate}");
            assert!(!measured.has_b_pictures);
            assert_eq!(check.deadline(), Some(start + KEY_FRAME_TIME));
            let told = measured.findings("main 1");
            assert_eq!(told.is_empty(), expected.is_some(), "{told:?}");
        }
    }
}
