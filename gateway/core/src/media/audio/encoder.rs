//! The encoder of Opus, behind one function: samples of 20 ms in, a packet out.

use std::fmt;

use bytes::Bytes;
use opus_rs::{Application, OpusEncoder};

/// Number of frames in a second: 20 ms each, as every WebRTC endpoint expects (RFC 7874 §3).
pub(super) const FRAME_RATE: u32 = 50;

/// Bit rates for speech and the sounds around it, in bits a second (RFC 6716 §2.1.1).
const MONO_BIT_RATE: i32 = 32_000;
const STEREO_BIT_RATE: i32 = 64_000;

/// Effort of the encoder, 0 to 10. More is not heard in what a camera records.
const COMPLEXITY: i32 = 5;

/// Size of the largest Opus frame in bytes (RFC 6716 §3.4).
const MAX_FRAME: usize = 1275;

/// The encoder of a track.
pub(super) struct Encoder {
    encoder: OpusEncoder,
    /// Samples of a frame, for each channel.
    frame: usize,
    out: Vec<u8>,
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoder").field("frame", &self.frame).finish_non_exhaustive()
    }
}

/// Returns true if Opus takes samples of this rate, in hertz (RFC 6716 §2.1.3).
pub(super) fn takes(sample_rate: u32) -> bool {
    [8_000, 12_000, 16_000, 24_000, 48_000].contains(&sample_rate)
}

impl Encoder {
    /// Creates an encoder; `None` if Opus does not take this rate or number of channels.
    pub(super) fn new(sample_rate: u32, channels: u8) -> Option<Self> {
        let rate = i32::try_from(sample_rate).ok()?;
        let mut encoder = OpusEncoder::new(rate, channels.into(), Application::Audio).ok()?;
        encoder.bitrate_bps = if channels == 2 { STEREO_BIT_RATE } else { MONO_BIT_RATE };
        encoder.complexity = COMPLEXITY;
        let frame = usize::try_from(sample_rate / FRAME_RATE).ok()?;
        Some(Self { encoder, frame, out: vec![0; MAX_FRAME] })
    }

    /// Returns the number of samples of a frame, for each channel.
    pub(super) fn frame(&self) -> usize {
        self.frame
    }

    /// Encodes one frame of interleaved samples between −1 and 1; `None` if that fails.
    pub(super) fn encode(&mut self, samples: &[f32]) -> Option<Bytes> {
        let len = self.encoder.encode(samples, self.frame, &mut self.out).ok()?;
        self.out.get(..len).map(Bytes::copy_from_slice)
    }
}
