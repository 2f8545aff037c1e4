//! Foreign parts.
