//! Sources of RTP packets: pulled from a camera with RTSP, pushed to a port, or the test picture.
//!
//! [`run`] is one connection to one camera. It sends events until the connection ends; the core
//! decides if and when to connect again.

mod error;
mod events;
mod rtp;
mod rtsp;
mod source;
mod test_picture;

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub use error::SourceError;
pub use events::{BATCH_QUEUE, EventSender, SourceBatch};
pub use porthole_gateway_core::camera::SourceEvent;
pub use porthole_gateway_core::rtsp::{
    Address, Caution, Credentials, Timeouts, Transport, mask_passwords,
};
pub use source::{InvalidSource, RtspCamera, Source, TestPicture};

/// Time without packets after which a port that RTP is pushed to is reported as silent.
pub const PUSH_SILENCE: Duration = Duration::from_secs(5);

/// A request to a camera.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceControl {
    /// Send a key frame soon. Only the test picture supports it; a real camera's viewers start from
    /// the cached group of pictures.
    RequestKeyFrame,
}

/// Connects to a camera and sends its events until the connection ends, fails or is cancelled.
///
/// Returns `Ok` if it was cancelled, or if the receiver of `events` was dropped.
///
/// # Errors
/// With the reason why the connection ended.
pub async fn run(
    source: &Source,
    events: EventSender,
    mut control: mpsc::Receiver<SourceControl>,
    cancel: CancellationToken,
) -> Result<(), SourceError> {
    let connection = async {
        match source {
            // It is cancelled by itself, so that it can end its session at the camera.
            Source::Rtsp(camera) => rtsp::run(camera, &events, &cancel).await,
            Source::Rtp { listen, description, payload_type } => {
                rtp::run(*listen, description.clone(), *payload_type, &events).await
            }
            Source::RtpSdp { file } => rtp::run_file(file, &events).await,
            Source::Test(picture) => test_picture::run(*picture, &events, &mut control).await,
        }
    };
    let is_rtsp = matches!(source, Source::Rtsp(_));
    tokio::select! {
        () = cancel.cancelled(), if !is_rtsp => Ok(()),
        result = connection => match result {
            Err(SourceError::ReceiverDropped) => Ok(()),
            result => result,
        },
    }
}

/// Runs a source as [`run`] does, and returns the event of its end. A panic ends it, too.
pub async fn run_to_end(
    source: &Source,
    events: EventSender,
    control: mpsc::Receiver<SourceControl>,
    cancel: CancellationToken,
) -> SourceEvent {
    end_of(run(source, events, control, cancel)).await
}

async fn end_of(source: impl Future<Output = Result<(), SourceError>>) -> SourceEvent {
    let (reason, needs_a_person) = match AssertUnwindSafe(source).catch_unwind().await {
        Ok(Ok(())) => (SourceError::Ended.to_string(), false),
        Ok(Err(error)) => (error.to_string(), error.needs_a_person()),
        Err(_) => (DEFECT.to_owned(), false),
    };
    SourceEvent::Ended { reason, needs_a_person }
}

/// The reason that is shown after a panic, whose message and place are in the log.
const DEFECT: &str =
    "reading this camera failed because of a defect of Porthole: please report what its log says";

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_source_that_panics_is_reported_like_any_other_end() {
        let ended = end_of(async { panic!("a camera does something new") }).await;
        let SourceEvent::Ended { reason, needs_a_person } = ended else { panic!("{ended:?}") };
        assert!(reason.contains("defect") && !needs_a_person, "{reason}");
        let ended = end_of(async { Err(SourceError::Ended) }).await;
        assert!(matches!(ended, SourceEvent::Ended { reason, .. } if reason.contains("ended")));
    }
}
