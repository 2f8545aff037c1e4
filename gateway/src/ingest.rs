//! Sources of RTP packets: pulled from a camera with RTSP, pushed to a port, or the test picture.
//!
//! [`run`] is one connection to one camera. It sends events until the connection ends; the core
//! decides if and when to connect again.

mod error;
mod rtp;
mod rtsp;
mod source;
mod test_picture;

use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub use error::SourceError;
pub use porthole_gateway_core::camera::SourceEvent;
pub use source::{Credentials, InvalidSource, Source, TestPicture, Transport};

/// Time without packets after which a connected camera is given up. With the longest wait between
/// two attempts of 5 s, a camera that returns is connected within 10 s.
pub const SILENCE_TIMEOUT: Duration = Duration::from_secs(5);

/// Maximum time for all RTSP requests of a connection together; `FORMAT_TIMEOUT` of the core must
/// not be shorter.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Capacity of the channel for a camera's events: two key frames of 300 kB.
pub const EVENT_QUEUE: usize = 512;

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
            Err(SourceError::ReceiverDropped) => Ok(()),
            result => result,
        },
    }
}

/// Sends one event to the core.
async fn send_event(
    events: &mpsc::Sender<SourceEvent>,
    event: SourceEvent,
) -> Result<(), SourceError> {
    events.send(event).await.map_err(|_| SourceError::ReceiverDropped)
}
