//! Samples of other rates than Opus takes, brought to 48 kHz.

use std::fmt;

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{
    Async, FixedAsync, Resampler as _, SincInterpolationParameters, SincInterpolationType,
    WindowFunction,
};

/// Length of the filter in samples: no aliasing is heard, and the delay is below a millisecond.
const FILTER_LENGTH: usize = 64;

/// A resampler whose output has a fixed length.
pub(super) struct Resampler {
    inner: Async<f32>,
    channels: usize,
    /// The output, interleaved.
    output: Vec<f32>,
}

impl fmt::Debug for Resampler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resampler").field("channels", &self.channels).finish_non_exhaustive()
    }
}

impl Resampler {
    /// Creates a resampler between two rates in hertz, whose output has `frame` samples for each
    /// channel; `None` if it cannot.
    pub(super) fn new(from: u32, to: u32, channels: u8, frame: usize) -> Option<Self> {
        let parameters =
            SincInterpolationParameters::new(FILTER_LENGTH, WindowFunction::BlackmanHarris2)
                .interpolation(SincInterpolationType::Linear);
        let ratio = f64::from(to) / f64::from(from);
        let channels = usize::from(channels);
        let fixed = FixedAsync::Output;
        let inner = Async::new_sinc(ratio, 1.0, &parameters, frame, channels, fixed).ok()?;
        Some(Self { inner, channels, output: vec![0.0; frame * channels] })
    }

    /// Returns the number of samples, for each channel, that the next output needs.
    pub(super) fn needed(&self) -> usize {
        self.inner.input_frames_next()
    }

    /// Resamples that many samples, interleaved; `None` if that fails.
    pub(super) fn process(&mut self, input: &[f32]) -> Option<&[f32]> {
        let frames = input.len() / self.channels;
        let input = InterleavedSlice::new(input, self.channels, frames).ok()?;
        let room = self.output.len() / self.channels;
        let mut output = InterleavedSlice::new_mut(&mut self.output, self.channels, room).ok()?;
        let (_, written) = self.inner.process_into_buffer(&input, &mut output, None).ok()?;
        self.output.get(..written * self.channels)
    }
}
