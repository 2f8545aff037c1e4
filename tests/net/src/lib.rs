//! Real NATs.
