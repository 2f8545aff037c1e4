//! The fuzz targets: each function takes any bytes and panics if an invariant is broken.
//!
//! `libfuzzer/` has a binary for each; `scripts/fuzz` builds and runs them. The inputs that they
//! kept are in `corpus/`; `tests/replay.rs` replays them without the fuzzer.

#![warn(missing_docs)]

mod channel_data;
mod control;
mod dtls;
mod framing;
mod import;
mod media;
mod message;
mod onvif;
mod onvif_settings;
mod rtsp;
mod sealing;
mod server;
pub mod world;

pub use channel_data::channel_data;
pub use dtls::client_hello;
pub use framing::framing;
pub use import::import_file;
pub use media::{camera_description, payloads, sound};
pub use message::message;
pub use onvif::{discovery_answers, onvif_answers};
pub use rtsp::{rtsp_client, rtsp_frames};
pub use sealing::sealed_messages;
pub use server::server;

/// A function that takes any bytes and panics if an invariant is broken.
pub type Target = fn(&[u8]);

/// Every target and the name of its corpus.
pub const TARGETS: &[(&str, Target)] = &[
    ("message", message),
    ("channel_data", channel_data),
    ("framing", framing),
    ("server", server),
    ("rtsp_client", rtsp_client),
    ("rtsp_frames", rtsp_frames),
    ("camera_description", camera_description),
    ("payloads", payloads),
    ("sound", sound),
    ("discovery_answers", discovery_answers),
    ("onvif_answers", onvif_answers),
    ("sealed_messages", sealed_messages),
    ("client_hello", client_hello),
    ("import_file", import_file),
];
