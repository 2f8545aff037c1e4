//! The native viewer: `porthole-viewer`, which plays a camera and prints what happens.

use std::path::PathBuf;

use anyhow::Result;

/// `PORTHOLE_VIEWER_BIN`, or the one beside the test executable.
pub fn binary() -> Result<PathBuf> {
    crate::porthole::beside_the_test("PORTHOLE_VIEWER_BIN", "porthole-viewer")
}
