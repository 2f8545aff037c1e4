//! Tests that watch Porthole in Chromium: the tests are in `tests/`, the scripts that control the
//! browser in `driver/`.

#![warn(missing_docs)]
