//! Foreign parts: the tests are in `tests/`.
