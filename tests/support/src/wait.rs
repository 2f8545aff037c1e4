//! Waiting for a condition, with a deadline and an error that names the condition.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Calls `poll` every 50 ms until it returns a value.
///
/// After `deadline` it fails with a message that ends with `what`, a clause such as "the camera is
/// live". An error of `poll` is returned at once.
pub fn until<T>(
    what: &str,
    deadline: Duration,
    mut poll: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let start = Instant::now();
    loop {
        if let Some(value) = poll()? {
            return Ok(value);
        }
        if start.elapsed() > deadline {
            bail!("this did not happen within {deadline:?}: {what}");
        }
        std::thread::sleep(POLL_INTERVAL);
    }
}
