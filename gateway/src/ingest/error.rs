//! Reasons for a missing picture, in sentences that say what to do.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use porthole_gateway_core::media::camera_sdp::CameraSdpError;
use thiserror::Error;

use super::source::Transport;
use super::{CONNECT_TIMEOUT, SILENCE_TIMEOUT};

/// Reasons why a connection to a camera ended. They contain no secrets.
#[derive(Debug, Error)]
pub enum SourceError {
    /// The host name cannot be resolved.
    #[error("no address is known for {host}: check the name, or give the camera's IP address")]
    UnknownHost {
        /// Name of the host.
        host: String,
    },
    /// The TCP connection is refused.
    #[error("{host} refuses the connection: check the port, and that the camera's RTSP is on")]
    Refused {
        /// Host and port of the camera.
        host: String,
    },
    /// The network has no route to the camera.
    #[error("{host} cannot be reached: check that the camera is on and in this network")]
    Unreachable {
        /// Host and port of the camera.
        host: String,
    },
    /// The camera does not answer in time.
    #[error(
        "{host} does not answer within {} s: check the address, and that the camera is on",
        CONNECT_TIMEOUT.as_secs()
    )]
    NoAnswer {
        /// Host and port of the camera.
        host: String,
    },
    /// The camera requires a password and none is configured.
    #[error("{host} requires user and password: add them as rtsp://user:password@…")]
    PasswordMissing {
        /// Host and port of the camera.
        host: String,
    },
    /// The camera refuses the configured user or password.
    #[error("{host} refuses user and password: check both, and that the user may use RTSP")]
    WrongPassword {
        /// Host and port of the camera.
        host: String,
    },
    /// The camera has no stream at the path of the address.
    #[error("the camera has no stream at {path}: check the path of its address")]
    NotFound {
        /// Path of the camera's address.
        path: String,
    },
    /// The camera does not support the transport.
    #[error("the camera does not send over {transport}: use #transport={other}")]
    WrongTransport {
        /// The configured transport.
        transport: Transport,
        /// The transport to try instead.
        other: Transport,
    },
    /// The camera answers with this RTSP status.
    #[error("the camera refuses with status {0}: restart it, or close other players of it")]
    Status(u16),
    /// The camera's session description cannot be used.
    #[error(transparent)]
    Sdp(#[from] CameraSdpError),
    /// The camera violates the RTSP protocol; the details.
    #[error("the camera violates the RTSP protocol ({0}): try the other transport, or update it")]
    Protocol(String),
    /// The camera ended the stream or the connection.
    #[error("the camera ended the stream")]
    Ended,
    /// The camera is connected but sends no packets.
    #[error("the camera sends no packets for {} s", SILENCE_TIMEOUT.as_secs())]
    Silent,
    /// The local port cannot be opened.
    #[error(
        "cannot listen on {address}: {}: give the camera another port or address",
        error.kind()
    )]
    Listen {
        /// The local address and port.
        address: SocketAddr,
        /// Cause of the failure.
        error: io::Error,
    },
    /// The SDP file cannot be read.
    #[error("cannot read {}: {}: check its path and permissions", file.display(), error.kind())]
    File {
        /// Path of the file.
        file: PathBuf,
        /// Cause of the failure.
        error: io::Error,
    },
    /// The SDP file has no port for the video.
    #[error("{} names no port for the video: m=video must name one", file.display())]
    NoPort {
        /// Path of the file.
        file: PathBuf,
    },
    /// The local port fails.
    #[error("receiving on {address} failed: {}", error.kind())]
    Receive {
        /// The local address and port.
        address: SocketAddr,
        /// Cause of the failure.
        error: io::Error,
    },
    /// The encoder of the test picture fails; the details.
    #[error("the test picture cannot be encoded: {0}")]
    Encoder(String),
    /// The receiver of the events was dropped.
    #[error("the receiver of this camera's events was dropped")]
    ReceiverDropped,
}

impl SourceError {
    /// Returns true if only a person can fix the problem. Retries may then be rare, so that a
    /// camera does not lock the account because of a wrong password.
    #[must_use]
    pub fn needs_a_person(&self) -> bool {
        match self {
            Self::PasswordMissing { .. }
            | Self::WrongPassword { .. }
            | Self::WrongTransport { .. }
            | Self::Sdp(_)
            | Self::NoPort { .. }
            | Self::Encoder(_) => true,
            Self::UnknownHost { .. }
            | Self::Refused { .. }
            | Self::Unreachable { .. }
            | Self::NoAnswer { .. }
            // Cameras answer so while they start.
            | Self::NotFound { .. }
            | Self::Status(_)
            | Self::Protocol(_)
            | Self::Ended
            | Self::Silent
            | Self::Listen { .. }
            | Self::File { .. }
            | Self::Receive { .. }
            | Self::ReceiverDropped => false,
        }
    }
}
