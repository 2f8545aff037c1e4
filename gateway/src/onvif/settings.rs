//! The connections of a look at a camera's settings, or of a change of them.

use std::time::Instant;

use porthole_gateway_core::onvif::NotAllowed;
use porthole_gateway_core::onvif::settings::{Config, Failure, Outcome, Output, Settings};
use tokio::task::JoinSet;

use super::exchange;

/// Reads or sets the settings of one camera.
///
/// # Errors
/// If the gateway may not contact the device; the result itself may be a failure, too.
pub(crate) async fn settings(config: Config) -> Result<Result<Outcome, Failure>, NotAllowed> {
    let mut settings = Settings::new(config, Instant::now())?;
    // One request at a time; one that was cancelled may still end.
    let mut requests = JoinSet::new();
    loop {
        while let Some(output) = settings.poll_output() {
            match output {
                Output::Send(request) => {
                    let id = request.id;
                    requests.spawn(async move { (id, exchange::run(request).await) });
                }
                Output::Cancel(_) => requests.abort_all(),
                Output::Done(result) => return Ok(result),
            }
        }
        let Some(due) = settings.poll_timeout() else { return Ok(Err(Failure::Unreadable)) };
        tokio::select! {
            Some(ended) = requests.join_next() => match ended {
                Ok((id, Ok(reply))) => settings.handle_reply(Instant::now(), id, &reply),
                Ok((id, Err(error))) => settings.handle_error(Instant::now(), id, error),
                // It was cancelled.
                Err(_) => {}
            },
            () = tokio::time::sleep_until(due.into()) => settings.handle_timeout(Instant::now()),
        }
    }
}
