//! What the fuzzer runs: each function takes any bytes and panics when a promise is broken.
//!
//! `libfuzzer/` has a binary for each; `scripts/fuzz` builds and runs them. What they found worth
//! keeping is in `corpus/` and is replayed by `tests/replay.rs`, without the fuzzer.

mod channel_data;
mod framing;
mod message;
mod server;
pub mod world;

pub use channel_data::channel_data;
pub use framing::framing;
pub use message::message;
pub use server::server;

/// Takes any bytes; panics when a promise is broken.
pub type Target = fn(&[u8]);

/// Every target and the name of its corpus.
pub const TARGETS: &[(&str, Target)] = &[
    ("message", message),
    ("channel_data", channel_data),
    ("framing", framing),
    ("server", server),
];
