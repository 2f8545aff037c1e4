//! The check of a stream with the RTSP client of the sources.

use std::time::{Duration, Instant};

use porthole_gateway_core::media::Codec;
use porthole_gateway_core::onvif::probe::{Camera, Stream};
use porthole_gateway_core::onvif::vendors::{self, PathTries, TryResult};
use porthole_gateway_core::onvif::{Encoding, Measured, StreamCheck};
use tokio::sync::mpsc;
use tokio::time::{sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::ingest;
use crate::ingest::{
    Address, Credentials, RtspCamera, Source, SourceError, SourceEvent, Timeouts, Transport,
};

/// Time for the connection and each reply, as for a call of ONVIF.
const REPLY_TIME: Duration = Duration::from_secs(3);

/// Time until the first picture. Cameras with a smart codec send a key frame every ten seconds.
const PICTURE_TIME: Duration = Duration::from_secs(12);

/// Time for the last request of a session.
const CLOSE_TIME: Duration = Duration::from_millis(500);

/// Plays a stream until its second key frame, or for five seconds after the first one, and returns
/// what was measured. The stream is asked for at its address only, with one connection.
///
/// # Errors
/// With the reason if there is no picture.
pub async fn check_stream(
    address: Address,
    credentials: Option<Credentials>,
) -> Result<Measured, SourceError> {
    let timeouts = Timeouts { connect: REPLY_TIME, silence: PICTURE_TIME };
    let transport = Transport::Auto;
    let camera = RtspCamera { address, credentials, transport, verifies_tls: false, timeouts };
    let source = Source::Rtsp(camera);
    let (sender, mut events) = mpsc::channel(ingest::EVENT_QUEUE);
    let (_control, commands) = mpsc::channel(1);
    let cancel = CancellationToken::new();
    let running = ingest::run(&source, sender, commands, cancel.clone());
    tokio::pin!(running);
    // The receiver outlives the check, so that the session ends by being cancelled.
    let checking = measure(&mut events);
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
async fn measure(events: &mut mpsc::Receiver<SourceEvent>) -> Option<Measured> {
    let mut check = StreamCheck::default();
    let given_up = Instant::now() + PICTURE_TIME;
    while !check.is_complete() {
        let until = check.deadline().unwrap_or(given_up);
        let event = tokio::select! {
            event = events.recv() => event,
            () = sleep_until(until.into()) => None,
        };
        match event {
            Some(SourceEvent::Connected(description)) => check.handle_description(&description),
            Some(SourceEvent::Packet { track: 0, arrival, packet }) => {
                check.handle_packet(arrival, packet);
            }
            Some(SourceEvent::Packet { .. } | SourceEvent::Silent) => {}
            Some(SourceEvent::Ended { .. }) | None => break,
        }
    }
    check.measured()
}

/// Tries the paths of a vendor, and of others, on a device without ONVIF that a person has chosen.
/// `refused` is the number of requests with a password that it has refused before.
pub async fn try_paths(
    host: &str,
    vendor: &str,
    credentials: Option<Credentials>,
    refused: u8,
) -> Option<(Camera, Measured)> {
    let mut tries = PathTries::new(vendors::named(vendor), refused);
    while let Some((main, sub)) = tries.poll() {
        let address = Address::new(false, host, None, main);
        match check_stream(address.clone(), credentials.clone()).await {
            Ok(measured) => {
                let main = stream(address, &measured);
                let sub = try_sub(host, sub, credentials).await;
                let camera = Camera { number: 1, name: None, main, sub, snapshot: None };
                return Some((camera, measured));
            }
            Err(error) => tries.handle_result(result_of(&error)),
        }
    }
    None
}

async fn try_sub(host: &str, path: &str, credentials: Option<Credentials>) -> Option<Stream> {
    let address = Address::new(false, host, None, path);
    if path.is_empty() {
        return None;
    }
    let measured = check_stream(address.clone(), credentials).await.ok()?;
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
        | SourceError::UnknownAuthentication { .. } => TryResult::Hopeless,
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
