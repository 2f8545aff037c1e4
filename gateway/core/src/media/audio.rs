//! One camera's sound: turns the RTP packets it sends into packets for every listener.
//!
//! An [`AudioFeed`] does for sound what a [`Feed`](super::Feed) does for the picture. G.711, G.722
//! and Opus leave as they came; what browsers do not play, AAC-LC above all, is decoded and encoded
//! as Opus, once for all listeners and only while there are any.
//!
//! `format` says what comes and what leaves, `aac` takes packets of AAC apart, `decoder`,
//! `resampler` and `encoder` each wrap one library, `transcoder` puts them together.
//!
//! Architecture invariant: nothing here delays or refuses a picture. Sound that cannot be carried
//! is a sentence in the camera's report.

mod aac;
mod decoder;
mod encoder;
mod feed;
mod format;
mod resampler;
mod tone;
mod transcoder;

pub use aac::AacFormat;
pub use feed::AudioFeed;
pub use format::{AudioCodec, AudioDescription, AudioEncoding, AudioFormat, AudioProblem, Law};
pub use tone::Beeper;
