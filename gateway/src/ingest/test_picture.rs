//! The built-in camera: a test card, encoded in this process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use openh264::encoder::{
    BitRate, Complexity, Encoder, EncoderConfig, FrameRate, Profile, RateControlMode,
};
use openh264::formats::YUVSource;
use openh264::{OpenH264API, Timestamp};
use porthole_gateway_core::media::{
    Beeper, CLOCK_RATE, ClockReport, Codec, Delivery, I420, MediaKind, NalCodec, Packetizer,
    RtpHeader, RtpPacket, StreamDescription, TestCard, TrackDescription, annex_b_units,
};
use tokio::sync::mpsc;

use super::source::TestPicture;
use super::{EventSender, SourceControl, SourceError, SourceEvent};

/// Time between two key frames: the longest wait of a viewer for whom no group of pictures is
/// cached.
const KEY_FRAME_INTERVAL: Duration = Duration::from_secs(2);

/// Minimum time before a requested key frame: each costs as much as five other frames.
const MIN_KEY_FRAME_INTERVAL: Duration = Duration::from_millis(500);

/// Limit of frames that wait to be passed on.
const MAX_FRAMES: usize = 2;

const PAYLOAD_TYPE: u8 = 96;

/// Time between two reports of the clock (RFC 3550 §6.2 has 5 s; there is nobody to spare here).
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// Longest time, in milliseconds, whose sound is sent late.
const MAX_SILENCE: u64 = 200;

/// Runs the encoder on a blocking thread until it fails or this future is dropped.
pub(super) async fn run(
    picture: TestPicture,
    events: &EventSender,
    control: &mut mpsc::Receiver<SourceControl>,
) -> Result<(), SourceError> {
    let description = TrackDescription {
        codec: Codec::H264,
        parameter_sets: Vec::new(),
        delivery: Delivery::InOrder,
    };
    let audio = Some(Beeper::description());
    let stream = StreamDescription { video: description, audio };
    events.send(SourceEvent::Connected(stream)).await?;
    let signals = Signals::default();
    let _stop = StopOnDrop(signals.clone());
    let (sender, mut frames) = mpsc::channel(MAX_FRAMES);
    let thread_signals = signals.clone();
    let mut camera =
        tokio::task::spawn_blocking(move || encode_frames(picture, &sender, &thread_signals));
    loop {
        tokio::select! {
            result = &mut camera => {
                return result.map_err(|error| SourceError::Encoder(error.to_string()))?;
            }
            Some(frame) = frames.recv() => events.send_all(frame).await?,
            Some(SourceControl::RequestKeyFrame) = control.recv() => {
                signals.key_frame.store(true, Ordering::Relaxed);
            }
        }
    }
}

/// Flags that the encoding thread reads before each frame.
#[derive(Debug, Clone, Default)]
struct Signals {
    stop: Arc<AtomicBool>,
    key_frame: Arc<AtomicBool>,
}

/// Ends the thread when the future that started it is dropped.
struct StopOnDrop(Signals);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::Relaxed);
    }
}

/// Draws, encodes and sends a frame at each tick of a steady clock, until it must stop.
fn encode_frames(
    picture: TestPicture,
    frames: &mpsc::Sender<Vec<SourceEvent>>,
    signals: &Signals,
) -> Result<(), SourceError> {
    let mut camera = Camera::new(picture)?;
    let interval = Duration::from_secs(1) / picture.frames_per_second;
    let start = Instant::now();
    let mut tick = start;
    while !signals.stop.load(Ordering::Relaxed) {
        let now = Instant::now();
        if now < tick {
            std::thread::sleep(tick - now);
        }
        let requested = signals.key_frame.swap(false, Ordering::Relaxed);
        let (elapsed, epoch) = (start.elapsed(), epoch_milliseconds());
        let mut pending = camera.sound(elapsed, epoch);
        pending.extend(camera.frame(elapsed, epoch, requested)?);
        if frames.blocking_send(pending).is_err() {
            return Err(SourceError::ReceiverDropped);
        }
        // Skip the ticks that have passed: late pictures would only get later.
        let behind = start.elapsed().as_nanos() / interval.as_nanos().max(1);
        let next = u32::try_from(behind + 1).unwrap_or(u32::MAX);
        tick = start + interval * next;
    }
    Ok(())
}

/// A test card with its encoder and packetizer, and its sound.
struct Camera {
    card: TestCard,
    encoder: Encoder,
    packetizer: Packetizer,
    /// Time of the last key frame.
    last_key_frame: Option<Duration>,
    is_key_frame_requested: bool,
    /// Header of the next packet of sound.
    sound: RtpHeader,
    /// Time until which the sound has been sent, in milliseconds since the start.
    sounded: u64,
    /// Time of the last report of the clock.
    last_report: Option<Duration>,
}

impl Camera {
    fn new(picture: TestPicture) -> Result<Self, SourceError> {
        let side = |pixels| usize::try_from(pixels).unwrap_or(0);
        let card = TestCard::new(side(picture.width), side(picture.height))
            .ok_or_else(|| SourceError::Encoder("the picture is too small".to_owned()))?;
        let encoder = encoder(picture).map_err(|error| SourceError::Encoder(error.to_string()))?;
        let packetizer =
            Packetizer::new(NalCodec::H264, PAYLOAD_TYPE, rand::random(), rand::random());
        let sound = RtpHeader {
            marker: false,
            payload_type: Beeper::PAYLOAD_TYPE,
            sequence: rand::random(),
            timestamp: 0,
            ssrc: rand::random(),
        };
        Ok(Self {
            card,
            encoder,
            packetizer,
            last_key_frame: None,
            is_key_frame_requested: false,
            sound,
            sounded: 0,
            last_report: None,
        })
    }

    /// Returns the packets of sound that are complete `elapsed` after the start, when it is
    /// `epoch_milliseconds`, and from time to time the clock of both tracks.
    fn sound(&mut self, elapsed: Duration, epoch_milliseconds: u64) -> Vec<SourceEvent> {
        let now = millis(elapsed);
        let mut events = Vec::new();
        if self.last_report.is_none_or(|last| elapsed.saturating_sub(last) >= REPORT_INTERVAL) {
            self.last_report = Some(elapsed);
            let ntp = ntp_time(elapsed);
            let ticks = u64::from(Beeper::TICKS) * now;
            #[expect(clippy::cast_possible_truncation, reason = "an RTP timestamp wraps")]
            let clocks = [
                (MediaKind::Video, rtp_timestamp(Duration::from_millis(now))),
                (MediaKind::Audio, ticks as u32),
            ];
            events.extend(clocks.map(|(track, timestamp)| SourceEvent::Clock {
                track,
                report: ClockReport { ntp, timestamp },
            }));
        }
        // After a standstill, the sound goes on with the picture.
        if now.saturating_sub(self.sounded) > MAX_SILENCE {
            self.sounded = now;
        }
        while self.sounded + Beeper::PACKET_MILLISECONDS <= now {
            let recorded = epoch_milliseconds.saturating_sub(now - self.sounded);
            let ticks = u64::from(Beeper::TICKS) * self.sounded;
            #[expect(clippy::cast_possible_truncation, reason = "an RTP timestamp wraps")]
            let timestamp = ticks as u32;
            let header = RtpHeader { timestamp, ..self.sound };
            self.sound.sequence = self.sound.sequence.wrapping_add(1);
            self.sounded += Beeper::PACKET_MILLISECONDS;
            let packet = RtpPacket { header, payload: Beeper::payload(recorded) };
            let arrival = Instant::now();
            events.push(SourceEvent::Packet { track: MediaKind::Audio, arrival, packet });
        }
        events
    }

    /// Returns the packets of the picture that shows `epoch_milliseconds`, `elapsed` after the
    /// start.
    fn frame(
        &mut self,
        elapsed: Duration,
        epoch_milliseconds: u64,
        key_frame_requested: bool,
    ) -> Result<Vec<SourceEvent>, SourceError> {
        self.is_key_frame_requested |= key_frame_requested;
        let interval =
            if self.is_key_frame_requested { MIN_KEY_FRAME_INTERVAL } else { KEY_FRAME_INTERVAL };
        if self.last_key_frame.is_none_or(|last| elapsed.saturating_sub(last) >= interval) {
            self.encoder.force_intra_frame();
            self.last_key_frame = Some(elapsed);
            self.is_key_frame_requested = false;
        }
        let picture = Picture(self.card.draw(epoch_milliseconds));
        let timestamp = Timestamp::from_millis(millis(elapsed));
        let encoded = self.encoder.encode_at(&picture, timestamp);
        let stream = encoded.map_err(|error| SourceError::Encoder(error.to_string()))?.to_vec();
        let packets = self.packetizer.packets(rtp_timestamp(elapsed), annex_b_units(&stream));
        let arrival = Instant::now();
        Ok(packets
            .into_iter()
            .map(|packet| SourceEvent::Packet { track: MediaKind::Video, arrival, packet })
            .collect())
    }
}

/// Creates the encoder. It needs 6 % of a core for 1280x720 at 30 frames a second, 12 % without
/// assembler. Scene change detection and adaptive quantization cost more and do not improve a test
/// card.
fn encoder(picture: TestPicture) -> Result<Encoder, openh264::Error> {
    #[expect(clippy::cast_precision_loss, reason = "at most 60")]
    let rate = picture.frames_per_second as f32;
    let config = EncoderConfig::new()
        .profile(Profile::Baseline)
        .bitrate(BitRate::from_bps(picture.bitrate))
        .rate_control_mode(RateControlMode::Bitrate)
        .skip_frames(true)
        .max_frame_rate(FrameRate::from_hz(rate))
        .complexity(Complexity::Low)
        .scene_change_detect(false)
        .adaptive_quantization(false)
        .background_detection(false)
        .num_threads(1);
    Encoder::with_api_config(OpenH264API::from_source(), config)
}

/// A picture that the encoder can read without a copy.
struct Picture<'a>(&'a I420);

impl YUVSource for Picture<'_> {
    fn dimensions(&self) -> (usize, usize) {
        (self.0.width, self.0.height)
    }

    fn strides(&self) -> (usize, usize, usize) {
        (self.0.width, self.0.width / 2, self.0.width / 2)
    }

    fn y(&self) -> &[u8] {
        &self.0.y
    }

    fn u(&self) -> &[u8] {
        &self.0.u
    }

    fn v(&self) -> &[u8] {
        &self.0.v
    }
}

fn epoch_milliseconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Converts to a time of the camera's own clock, which began 256 seconds before the camera: zero
/// would mean that it has none.
fn ntp_time(elapsed: Duration) -> u64 {
    let fraction = (u64::from(elapsed.subsec_millis()) << 32) / 1_000;
    (elapsed.as_secs() + 256) << 32 | fraction
}

/// Converts to an RTP timestamp, which wraps after 13 hours.
fn rtp_timestamp(elapsed: Duration) -> u32 {
    let ticks = elapsed.as_micros() * u128::from(CLOCK_RATE) / 1_000_000;
    #[expect(clippy::cast_possible_truncation, reason = "an RTP timestamp wraps")]
    let wrapped = ticks as u32;
    wrapped
}

#[cfg(test)]
mod tests;
