//! Tests of the `porthole` program as its users run it; everything is in `tests/`.
//!
//! - `onvif`: finding cameras and asking them, with fake ones, odd and hostile.
//! - `failures`: something is wrong, and one sentence tells whoever can act on it.
//! - `operating`: settings, reloads, certificates and logs of a running server.

#![warn(missing_docs)]
