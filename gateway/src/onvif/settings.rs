//! The connections of a look at a camera's settings, or of a change of them.

use std::time::Instant;

use porthole_gateway_core::onvif::NotAllowed;
use porthole_gateway_core::onvif::settings::{Config, Failure, Outcome, Output, Settings};

use super::exchange::Exchanges;

/// Reads or sets the settings of one camera.
///
/// # Errors
/// If the gateway may not contact the device; the result itself may be a failure, too.
pub(crate) async fn settings(config: Config) -> Result<Result<Outcome, Failure>, NotAllowed> {
    let mut settings = Settings::new(config, Instant::now())?;
    let mut exchanges = Exchanges::default();
    loop {
        while let Some(output) = settings.poll_output() {
            match output {
                Output::Send(request) => exchanges.send(request),
                Output::Cancel(id) => exchanges.cancel(id),
                Output::Done(result) => return Ok(result),
            }
        }
        let Some(due) = settings.poll_timeout() else { return Ok(Err(Failure::Unreadable)) };
        tokio::select! {
            Some((id, result)) = exchanges.next() => match result {
                Ok(reply) => settings.handle_reply(Instant::now(), id, &reply),
                Err(error) => settings.handle_error(Instant::now(), id, error),
            },
            () = tokio::time::sleep_until(due.into()) => settings.handle_timeout(Instant::now()),
        }
    }
}
