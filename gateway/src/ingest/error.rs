//! Why a camera gives no picture, in a sentence that says what to do.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use porthole_gateway_core::media::camera_sdp::CameraSdpError;
use thiserror::Error;

use super::source::Transport;
use super::{CONNECT_TIMEOUT, SILENCE};

/// Why a connection to a camera ended. Nothing in it is secret.
#[derive(Debug, Error)]
pub enum SourceError {
    #[error("no address is known for {host}: check the name, or give the camera's IP address")]
    UnknownHost { host: String },
    #[error("{host} refuses the connection: check the port, and that the camera's RTSP is on")]
    Refused { host: String },
    #[error("{host} cannot be reached: check that the camera is on and in this network")]
    Unreachable { host: String },
    #[error(
        "{host} does not answer within {} s: check the address, and that the camera is on",
        CONNECT_TIMEOUT.as_secs()
    )]
    NoAnswer { host: String },
    #[error("{host} asks for user and password: add them as rtsp://user:password@…")]
    PasswordMissing { host: String },
    #[error("{host} refuses user and password: check both, and that RTSP is allowed to them")]
    WrongPassword { host: String },
    #[error("the camera has no stream at {path}: check the path of its address")]
    NotFound { path: String },
    #[error("the camera does not send over {transport}: use #transport={other}")]
    WrongTransport { transport: Transport, other: Transport },
    #[error("the camera refuses with status {0}: restart it, or close other players of it")]
    Status(u16),
    #[error(transparent)]
    Sdp(#[from] CameraSdpError),
    #[error("the camera breaks the RTSP protocol ({0}): try the other transport, or update it")]
    Protocol(String),
    #[error("the camera ended the stream")]
    Ended,
    #[error("the camera sends no packets for {} s", SILENCE.as_secs())]
    Silent,
    #[error(
        "cannot listen on {address}: {}: give the camera another port or address",
        error.kind()
    )]
    Listen { address: SocketAddr, error: io::Error },
    #[error("cannot read {}: {}: check its path and permissions", file.display(), error.kind())]
    File { file: PathBuf, error: io::Error },
    #[error("{} gives no port for the video: m=video must name one", file.display())]
    NoPort { file: PathBuf },
    #[error("receiving on {address} failed: {}", error.kind())]
    Receive { address: SocketAddr, error: io::Error },
    #[error("the test picture cannot be encoded: {0}")]
    Encoder(String),
    #[error("nobody listens to this camera any more")]
    Unheard,
}

impl SourceError {
    /// Whether only a person can mend it. Retries may then be rare, which keeps a camera from
    /// locking an account for its wrong password.
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
            // What a camera says while it starts.
            | Self::NotFound { .. }
            | Self::Status(_)
            | Self::Protocol(_)
            | Self::Ended
            | Self::Silent
            | Self::Listen { .. }
            | Self::File { .. }
            | Self::Receive { .. }
            | Self::Unheard => false,
        }
    }
}
