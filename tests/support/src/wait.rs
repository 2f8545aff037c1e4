//! Waiting: for a condition, with a deadline, and a sentence about what did not happen.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Asks until there is an answer. `what` completes the sentence "… did not happen within …".
pub fn until<T>(
    what: &str,
    deadline: Duration,
    mut ask: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        if start.elapsed() > deadline {
            bail!("this did not happen within {deadline:?}: {what}");
        }
        std::thread::sleep(POLL_INTERVAL);
    }
}
