//! Getting a camera's RTP packets: pulled with RTSP, pushed to a port, or made in-process.
//!
//! [`run`] is one connection to one camera. It tells its events until the connection ends, and
//! the caller, who owns the camera's `Feed`, decides whether and when to try again.

mod error;
mod rtp;
mod rtsp;
mod source;
mod test_picture;

use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub use porthole_gateway_core::camera::SourceEvent;

pub use error::SourceError;
pub use source::{Credentials, InvalidSource, Source, TestPicture, Transport};

/// A camera that answered and then sends nothing for so long is given up: with the longest wait
/// between two tries of 5 s, a camera that returns is seen within 10 s.
pub const SILENCE: Duration = Duration::from_secs(5);

/// How long a camera may take to answer, all requests until the first packet together.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Events that may wait for a camera's task: a key frame of 300 kB, twice.
pub const EVENT_QUEUE: usize = 512;

/// What is asked of a camera.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceControl {
    /// A key frame, soon. Only the test picture can; a camera's viewers start from the group of
    /// pictures that is cached.
    RequestKeyFrame,
}

/// Connects to a camera and tells what it does, until it ends, fails or is cancelled.
/// `Ok` means cancelled, or that nobody listens to the events any more.
pub async fn run(
    source: &Source,
    events: mpsc::Sender<SourceEvent>,
    mut control: mpsc::Receiver<SourceControl>,
    cancel: CancellationToken,
) -> Result<(), SourceError> {
    let connection = async {
        match source {
            Source::Rtsp { url, credentials, transport } => {
                rtsp::run(url, credentials.as_ref(), *transport, &events).await
            }
            Source::Rtp { listen, description, payload_type } => {
                rtp::run(*listen, description.clone(), *payload_type, &events).await
            }
            Source::RtpSdp { file } => rtp::run_file(file, &events).await,
            Source::Test(picture) => test_picture::run(*picture, &events, &mut control).await,
        }
    };
    tokio::select! {
        () = cancel.cancelled() => Ok(()),
        result = connection => match result {
            Err(SourceError::Unheard) => Ok(()),
            result => result,
        },
    }
}

/// Tells one event.
async fn tell(events: &mpsc::Sender<SourceEvent>, event: SourceEvent) -> Result<(), SourceError> {
    events.send(event).await.map_err(|_| SourceError::Unheard)
}
