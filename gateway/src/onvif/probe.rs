//! The connections of a probe.

use std::time::Instant;

use porthole_gateway_core::onvif::NotAllowed;
use porthole_gateway_core::onvif::probe::{Config, Output, Probe};
use tokio::sync::mpsc;

use super::exchange::Exchanges;

/// Asks one device, and sends what is found until the probe ends or the receiver is dropped.
/// Returns the number of requests with a password that the device has refused.
///
/// # Errors
/// If the gateway may not contact the device.
pub async fn probe(config: Config, found: mpsc::Sender<Output>) -> Result<u8, NotAllowed> {
    let mut probe = Probe::new(config, Instant::now())?;
    let mut exchanges = Exchanges::default();
    loop {
        while let Some(output) = probe.poll_output() {
            match output {
                Output::Send(request) => exchanges.send(request),
                Output::Cancel(id) => exchanges.cancel(id),
                Output::Finding(_) | Output::Device(_) | Output::Camera(_) => {
                    if found.send(output).await.is_err() {
                        return Ok(probe.refused());
                    }
                }
                Output::Done => {
                    // Nobody has to be there any more to hear it.
                    let _ = found.send(output).await;
                    return Ok(probe.refused());
                }
            }
        }
        let Some(due) = probe.poll_timeout() else { return Ok(probe.refused()) };
        tokio::select! {
            Some((id, result)) = exchanges.next() => match result {
                Ok(reply) => probe.handle_reply(Instant::now(), id, &reply),
                Err(error) => probe.handle_error(Instant::now(), id, error),
            },
            () = tokio::time::sleep_until(due.into()) => probe.handle_timeout(Instant::now()),
            () = found.closed() => return Ok(probe.refused()),
        }
    }
}
