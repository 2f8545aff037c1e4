//! The check of a stream with the RTSP client of the sources.

use std::time::{Duration, Instant};

use porthole_gateway_core::media::{Codec, MediaKind};
use porthole_gateway_core::onvif::probe::{Camera, Stream};
use porthole_gateway_core::onvif::vendors::{self, PathTries, TryResult};
use porthole_gateway_core::onvif::{Encoding, Measured, StreamCheck};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::ingest;
use crate::ingest::{
    Address, Caution, Credentials, EventSender, RtspCamera, Source, SourceBatch, SourceError,
    SourceEvent, Timeouts, Transport,
};

/// Time for the connection and each reply, as for a call of ONVIF.
const REPLY_TIME: Duration = Duration::from_secs(3);

/// Time until the first picture. Cameras with a smart codec send a key frame every ten seconds.
const PICTURE_TIME: Duration = Duration::from_secs(12);

/// Time for the last request of a session.
const CLOSE_TIME: Duration = Duration::from_millis(500);

/// A stream to check.
#[derive(Debug, Clone)]
pub struct StreamTest {
    /// Address of the stream.
    pub address: Address,
    /// User and password, if there are some.
    pub credentials: Option<Credentials>,
    /// Bounds for the use of the password.
    pub caution: Caution,
}

/// Plays a stream until its second key frame, or for five seconds after the first one, and returns
/// what was measured. The stream is asked for at its address only, with one connection. `connected`
/// is told when the camera begins to play, and so has accepted the password.
///
/// # Errors
/// With the reason if there is no picture.
pub async fn check_stream(
    test: StreamTest,
    connected: Option<oneshot::Sender<()>>,
) -> Result<Measured, SourceError> {
    let StreamTest { address, credentials, caution } = test;
    let timeouts = Timeouts { connect: REPLY_TIME, silence: PICTURE_TIME };
    let (transport, verifies_tls) = (Transport::Auto, false);
    let camera = RtspCamera { address, credentials, transport, verifies_tls, timeouts, caution };
    let source = Source::Rtsp(camera);
    let (sender, mut batches) = mpsc::channel(ingest::BATCH_QUEUE);
    let sender = EventSender::new(0, sender);
    let (_control, commands) = mpsc::channel(1);
    let cancel = CancellationToken::new();
    let running = ingest::run(&source, sender, commands, cancel.clone());
    tokio::pin!(running);
    // The receiver outlives the check, so that the session ends by being cancelled.
    let checking = measure(&mut batches, connected);
    tokio::pin!(checking);
    let measured = tokio::select! {
        result = &mut running => {
            // What it had sent before its end counts.
            let measured = checking.await;
            return match (measured, result) {
                (Some(measured), _) => Ok(measured),
                (None, Err(error)) => Err(error),
                (None, Ok(())) => Err(SourceError::Ended),
            };
        }
        measured = &mut checking => measured,
    };
    cancel.cancel();
    // It ends its session at the camera, whose number of sessions is limited.
    let _ = timeout(CLOSE_TIME, running).await;
    measured.ok_or(SourceError::Silent { after: PICTURE_TIME })
}

/// Measures a stream until everything is known.
async fn measure(
    batches: &mut mpsc::Receiver<SourceBatch>,
    mut connected: Option<oneshot::Sender<()>>,
) -> Option<Measured> {
    let mut check = StreamCheck::default();
    let given_up = Instant::now() + PICTURE_TIME;
    while !check.is_complete() {
        let until = check.deadline().unwrap_or(given_up);
        let batch = tokio::select! {
            batch = batches.recv() => batch,
            () = sleep_until(until.into()) => None,
        };
        let Some(batch) = batch else { break };
        for event in batch.events {
            match event {
                SourceEvent::Connected(description) => {
                    check.handle_description(&description);
                    // Nobody has to wait for it.
                    connected.take().map(|connected| connected.send(()));
                }
                SourceEvent::Packet { track: MediaKind::Video, arrival, packet } => {
                    check.handle_packet(arrival, packet);
                }
                // Only the driver sends the end.
                SourceEvent::Packet { .. }
                | SourceEvent::Clock { .. }
                | SourceEvent::Silent
                | SourceEvent::Ended { .. } => {}
            }
        }
    }
    check.measured()
}

/// Tries the paths of a vendor, and of others, on a device without ONVIF that a person has chosen.
/// `refused` is the number of requests with a password that it has refused before.
///
/// # Errors
/// With the number of requests with a password that it has refused by the end, if it has no picture
/// at any of the paths.
pub async fn try_paths(
    host: &str,
    vendor: &str,
    credentials: Option<Credentials>,
    allows_text: bool,
    refused: u8,
) -> Result<(Camera, Measured), u8> {
    let mut tries = PathTries::new(vendors::named(vendor), refused);
    let caution = Caution { allows_text, max_refused: 1 };
    let test = |path: &str| {
        let address = Address::new(false, host, None, path);
        StreamTest { address, credentials: credentials.clone(), caution }
    };
    while let Some((main, sub)) = tries.poll() {
        let main = test(main);
        match check_stream(main.clone(), None).await {
            Ok(measured) => {
                let main = stream(main.address, &measured);
                let sub = if sub.is_empty() { None } else { try_sub(test(sub)).await };
                let (number, name, snapshot, service) = (1, None, None, None);
                let camera = Camera { number, name, main, sub, snapshot, service };
                return Ok((camera, measured));
            }
            Err(error) => tries.handle_result(result_of(&error)),
        }
    }
    Err(tries.refused())
}

async fn try_sub(test: StreamTest) -> Option<Stream> {
    let address = test.address.clone();
    let measured = check_stream(test, None).await.ok()?;
    Some(stream(address, &measured))
}

fn stream(address: Address, measured: &Measured) -> Stream {
    let encoding = match measured.codec {
        Codec::H264 => Encoding::H264,
        Codec::H265 => Encoding::H265,
        Codec::Vp8 | Codec::Vp9 | Codec::Av1 => Encoding::Other,
    };
    Stream {
        address,
        encoding,
        width: measured.width,
        height: measured.height,
        frames_per_second: None,
        gov_length: None,
    }
}

/// Returns what an error means for the next path.
fn result_of(error: &SourceError) -> TryResult {
    match error {
        SourceError::WrongPassword { .. } => TryResult::WrongPassword,
        SourceError::UnknownHost { .. }
        | SourceError::Refused { .. }
        | SourceError::Unreachable { .. }
        | SourceError::NoAnswer { .. }
        | SourceError::PasswordMissing { .. }
        | SourceError::UnknownAuthentication { .. }
        | SourceError::WantsText { .. } => TryResult::Hopeless,
        SourceError::Closed { .. }
        | SourceError::Tls { .. }
        | SourceError::OldTls { .. }
        | SourceError::Redirected { .. }
        | SourceError::NotFound { .. }
        | SourceError::WrongTransport { .. }
        | SourceError::NoTransport
        | SourceError::Ports(_)
        | SourceError::Status(_)
        | SourceError::Sdp(_)
        | SourceError::Protocol(_)
        | SourceError::Ended
        | SourceError::Silent { .. }
        | SourceError::Listen { .. }
        | SourceError::File { .. }
        | SourceError::NoPort { .. }
        | SourceError::Receive { .. }
        | SourceError::Encoder(_)
        | SourceError::ReceiverDropped => TryResult::NotThere,
    }
}
