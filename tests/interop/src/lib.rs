//! Tests with other projects' software. They are in `tests/`.
