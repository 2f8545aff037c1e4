//! The sound of the built-in camera: a beep at each full second.

use bytes::Bytes;

use super::decoder::compress_a;
use super::format::{AudioDescription, AudioEncoding, AudioFormat, Law};
use crate::media::Delivery;

/// The sampling rate, and RTP clock rate, in hertz.
const RATE: u32 = 8_000;

/// Duration of a beep in samples: a tenth of a second.
const BEEP: u64 = RATE as u64 / 10;

/// Period of the tone in samples: it has 1000 hertz.
const PERIOD: u64 = 8;

/// Loudness of the tone, of 1.
const LOUDNESS: f32 = 0.4;

/// Draws the sound of the built-in camera, as [`TestCard`](crate::media::TestCard) draws its
/// picture.
#[derive(Debug, Clone, Copy)]
pub struct Beeper;

impl Beeper {
    /// Duration of a packet in milliseconds.
    pub const PACKET_MILLISECONDS: u64 = 20;

    /// Number of ticks of the RTP clock in a millisecond.
    pub const TICKS: u32 = RATE / 1_000;

    /// The static payload type of its codec, G.711 with A-law (RFC 3551 table 4).
    pub const PAYLOAD_TYPE: u8 = 8;

    /// Describes the sound.
    #[must_use]
    pub fn description() -> AudioDescription {
        let encoding = AudioEncoding::G711(Law::A);
        AudioDescription {
            codec: "PCMA".to_owned(),
            format: Ok(AudioFormat { encoding, clock_rate: RATE, channels: 1 }),
            delivery: Delivery::InOrder,
        }
    }

    /// Returns the payload of a packet whose first sample is recorded at this time, in milliseconds
    /// since 1970.
    #[must_use]
    pub fn payload(epoch_milliseconds: u64) -> Bytes {
        let ticks = u64::from(Self::TICKS);
        let first = epoch_milliseconds.wrapping_mul(ticks);
        let samples = 0..Self::PACKET_MILLISECONDS * ticks;
        samples.map(|sample| compress_a(tone(first.wrapping_add(sample)))).collect()
    }
}

/// Returns the sample with this number since 1970.
fn tone(number: u64) -> f32 {
    let within = number % u64::from(RATE);
    if within >= BEEP {
        return 0.0;
    }
    // One period is all there is to know.
    let sine = [0.0, 0.707, 1.0, 0.707, 0.0, -0.707, -1.0, -0.707];
    let place = usize::try_from(within % PERIOD).unwrap_or(0);
    sine.get(place).copied().unwrap_or(0.0) * LOUDNESS
}
