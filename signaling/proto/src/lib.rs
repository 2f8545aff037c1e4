//! The messages on the wire.
