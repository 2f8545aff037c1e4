//! A source that pulls a camera's stream with RTSP (RFC 2326).

use std::io;
use std::time::Instant;

use futures_util::StreamExt as _;
use porthole_gateway_core::media::{
    RtpHeader, RtpPacket, StreamDescription, TrackDescription, camera_sdp,
};
use retina::client::{
    Described, PacketItem, PlayOptions, Playing, Session, SessionOptions, SetupOptions,
    TcpTransportOptions, UdpTransportOptions,
};
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::mpsc;
use tokio::time::timeout;
use url::Url;

use super::source::{Credentials, Transport};
use super::{CONNECT_TIMEOUT, SILENCE_TIMEOUT, SourceError, SourceEvent, send_event};

/// The default port of RTSP (RFC 2326 §3.2).
const DEFAULT_PORT: u16 = 554;

/// Runs one RTSP session, from DESCRIBE to the end of its packets.
pub(super) async fn run(
    url: &Url,
    credentials: Option<&Credentials>,
    transport: Transport,
    events: &mpsc::Sender<SourceEvent>,
) -> Result<(), SourceError> {
    let connected = timeout(CONNECT_TIMEOUT, connect(url, credentials, transport)).await;
    let (mut session, description) =
        connected.map_err(|_| SourceError::NoAnswer { host: host(url) })??;
    tracing::debug!(codec = %description.codec, ?transport, "the camera is playing");
    send_event(events, SourceEvent::Connected(StreamDescription::video(description))).await?;
    // A camera that answered must also send; the wait for the first packet counts as silence.
    loop {
        let item = timeout(SILENCE_TIMEOUT, next_packet(&mut session)).await;
        let packet = item.map_err(|_| SourceError::Silent)??;
        send_event(events, SourceEvent::Packet { track: 0, arrival: Instant::now(), packet })
            .await?;
    }
}

async fn connect(
    url: &Url,
    credentials: Option<&Credentials>,
    transport: Transport,
) -> Result<(Session<Playing>, TrackDescription), SourceError> {
    let given = credentials.map(|credentials| retina::client::Credentials {
        username: credentials.user.clone(),
        password: credentials.password.clone(),
    });
    let explain = |error| explain(url, credentials.is_some(), transport, error);
    let options = SessionOptions::default().creds(given).user_agent("porthole".to_owned());
    let mut session = match Session::describe(url.clone(), options).await {
        Ok(session) => session,
        Err(error) if error.status_code().is_none() => return Err(diagnose(url, error).await),
        Err(error) => return Err(explain(error)),
    };
    let video = camera_sdp::find_video(&String::from_utf8_lossy(session.sdp()))?;
    let stream = find_stream(&session, &video)?;
    let setup = SetupOptions::default().transport(match transport {
        Transport::Tcp => retina::client::Transport::Tcp(TcpTransportOptions::default()),
        Transport::Udp => retina::client::Transport::Udp(UdpTransportOptions::default()),
    });
    session.setup(stream, setup).await.map_err(explain)?;
    let session = session.play(PlayOptions::default()).await.map_err(explain)?;
    let description = TrackDescription {
        codec: video.codec,
        parameter_sets: video.parameter_sets,
        // Retina drops packets that arrive out of order over UDP; the others are in order.
        in_order: true,
    };
    Ok((session, description))
}

/// Returns the index of the only stream that is set up, so that no audio is sent in vain.
fn find_stream(
    session: &Session<Described>,
    video: &camera_sdp::VideoSection,
) -> Result<usize, SourceError> {
    let is_video = |stream: &retina::client::Stream| {
        stream.media() == "video"
            && stream.encoding_name().eq_ignore_ascii_case(video.codec.encoding_name())
    };
    let missing = || SourceError::Protocol("its description has no such stream".to_owned());
    session.streams().iter().position(is_video).ok_or_else(missing)
}

async fn next_packet(session: &mut Session<Playing>) -> Result<RtpPacket, SourceError> {
    loop {
        match session.next().await {
            Some(Ok(PacketItem::Rtp(packet))) => {
                let header = packet.header();
                let header = RtpHeader {
                    marker: header.mark(),
                    payload_type: header.payload_type(),
                    sequence: header.sequence_number(),
                    timestamp: header.timestamp(),
                    ssrc: header.ssrc(),
                };
                return Ok(RtpPacket { header, payload: packet.into_payload_bytes() });
            }
            // Sender reports, and kinds of items that retina may add.
            Some(Ok(_)) => {}
            Some(Err(error)) => {
                tracing::debug!(error = first_line(&error), "the session failed");
                return Err(SourceError::Ended);
            }
            None => return Err(SourceError::Ended),
        }
    }
}

/// Maps a camera's refusal to an error.
fn explain(
    url: &Url,
    with_credentials: bool,
    transport: Transport,
    error: retina::Error,
) -> SourceError {
    match error.status_code() {
        Some(401 | 403) if with_credentials => SourceError::WrongPassword { host: host(url) },
        Some(401) => SourceError::PasswordMissing { host: host(url) },
        Some(404) => SourceError::NotFound { path: url.path().to_owned() },
        Some(461) => {
            let other = match transport {
                Transport::Tcp => Transport::Udp,
                Transport::Udp => Transport::Tcp,
            };
            SourceError::WrongTransport { transport, other }
        }
        Some(status @ 400..) => SourceError::Status(status),
        _ => SourceError::Protocol(first_line(&error)),
    }
}

/// Finds out why there was no answer at all. Retina reports it as prose only, so each step is tried
/// again: the name, then the port.
async fn diagnose(url: &Url, error: retina::Error) -> SourceError {
    let port = url.port().unwrap_or(DEFAULT_PORT);
    let name = url.host_str().unwrap_or_default();
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    let Ok(addresses) = lookup_host((bare, port)).await else {
        return SourceError::UnknownHost { host: name.to_owned() };
    };
    let addresses: Vec<_> = addresses.collect();
    let Err(failure) = TcpStream::connect(&addresses[..]).await else {
        return SourceError::Protocol(first_line(&error));
    };
    let host = host(url);
    let kind = failure.kind();
    if kind == io::ErrorKind::ConnectionRefused {
        SourceError::Refused { host }
    } else if kind == io::ErrorKind::TimedOut {
        SourceError::NoAnswer { host }
    } else {
        SourceError::Unreachable { host }
    }
}

/// Returns host and port for an error message.
fn host(url: &Url) -> String {
    let port = url.port().unwrap_or(DEFAULT_PORT);
    format!("{}:{port}", url.host_str().unwrap_or_default())
}

/// Returns the first line of retina's message; the rest refers to a packet capture.
fn first_line(error: &retina::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().chars().take(200).collect()
}
