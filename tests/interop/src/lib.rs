//! Tests with other projects' software. They are in `tests/`.

#![warn(missing_docs)]
