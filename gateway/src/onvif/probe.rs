//! The connections of a probe.

use std::collections::HashMap;
use std::time::Instant;

use porthole_gateway_core::onvif::probe::{CallError, Config, Output, Probe};
use porthole_gateway_core::onvif::{NotAllowed, Reply};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

use super::exchange;

/// Asks one device, and sends what is found until the probe ends or the receiver is dropped.
/// Returns the number of requests with a password that the device has refused.
///
/// # Errors
/// If the gateway may not contact the device.
pub async fn probe(config: Config, found: mpsc::Sender<Output>) -> Result<u8, NotAllowed> {
    let mut probe = Probe::new(config, Instant::now())?;
    let mut requests: JoinSet<(u32, Result<Reply, CallError>)> = JoinSet::new();
    let mut handles: HashMap<u32, AbortHandle> = HashMap::new();
    loop {
        while let Some(output) = probe.poll_output() {
            match output {
                Output::Send(request) => {
                    let id = request.id;
                    let task = async move { (id, exchange::run(request).await) };
                    handles.insert(id, requests.spawn(task));
                }
                Output::Cancel(id) => {
                    if let Some(handle) = handles.remove(&id) {
                        handle.abort();
                    }
                }
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
            Some(ended) = requests.join_next() => {
                // One that was cancelled is not waited for any more.
                let Ok((id, result)) = ended else { continue };
                handles.remove(&id);
                match result {
                    Ok(reply) => probe.handle_reply(Instant::now(), id, &reply),
                    Err(error) => probe.handle_error(Instant::now(), id, error),
                }
            }
            () = tokio::time::sleep_until(due.into()) => probe.handle_timeout(Instant::now()),
            () = found.closed() => return Ok(probe.refused()),
        }
    }
}
