//! Reasons for a missing picture, in sentences that say what to do.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use porthole_gateway_core::media::camera_sdp::CameraSdpError;
use thiserror::Error;

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
        after.as_secs()
    )]
    NoAnswer {
        /// Host and port of the camera.
        host: String,
        /// The time in which it had to answer.
        after: Duration,
    },
    /// The camera closes the connection during set-up.
    #[error(
        "{host} closes the connection before it plays: restart it, or close other players of it"
    )]
    Closed {
        /// Host and port of the camera.
        host: String,
    },
    /// The TLS handshake fails.
    #[error(
        "no TLS connection to {host} ({reason}): check the port, its certificate if #tls=verify is \
         set, or use rtsp:// inside the local network"
    )]
    Tls {
        /// Host and port of the camera.
        host: String,
        /// The reason that the TLS library gives.
        reason: String,
    },
    /// The camera and we have no version or cipher of TLS in common.
    #[error(
        "{host} has no TLS of version 1.2 or 1.3 with ECDHE, and AES-GCM or ChaCha20, which is \
         required: update the camera, or use rtsp:// inside the local network"
    )]
    OldTls {
        /// Host and port of the camera.
        host: String,
    },
    /// The camera redirects to an address that is not followed.
    #[error("the camera redirects to {to}, {reason}")]
    Redirected {
        /// The address, with passwords masked.
        to: String,
        /// A clause about the problem.
        reason: &'static str,
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
    /// The camera requires a way of authentication that is unknown.
    #[error("{host} requires an unknown way of authentication: set the camera to Digest or Basic")]
    UnknownAuthentication {
        /// Host and port of the camera.
        host: String,
    },
    /// The camera takes the password as readable text only, which is not allowed.
    #[error(
        "{host} takes the password as readable text only: set the camera to Digest, or allow that \
         when you type the password"
    )]
    WantsText {
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
        transport: &'static str,
        /// The transport to try instead.
        other: &'static str,
    },
    /// The camera supports neither TCP nor UDP.
    #[error(
        "the camera sends neither over TCP nor over UDP: try #transport=multicast, or \
         #transport=http"
    )]
    NoTransport,
    /// The local UDP ports for the camera's packets cannot be opened.
    #[error("no UDP port can be opened for the camera: {}: use #transport=tcp", .0.kind())]
    Ports(io::Error),
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
    #[error(
        "the camera sends no packets for {} s: restart it, or try #transport=tcp or \
         #transport=udp",
        after.as_secs()
    )]
    Silent {
        /// The time without packets.
        after: Duration,
    },
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
            | Self::UnknownAuthentication { .. }
            | Self::WantsText { .. }
            | Self::WrongTransport { .. }
            | Self::NoTransport
            | Self::OldTls { .. }
            | Self::Redirected { .. }
            | Self::Sdp(_)
            | Self::NoPort { .. }
            | Self::Encoder(_) => true,
            Self::UnknownHost { .. }
            | Self::Refused { .. }
            | Self::Unreachable { .. }
            | Self::NoAnswer { .. }
            | Self::Closed { .. }
            | Self::Tls { .. }
            | Self::Ports(_)
            // Cameras answer so while they start.
            | Self::NotFound { .. }
            | Self::Status(_)
            | Self::Protocol(_)
            | Self::Ended
            | Self::Silent { .. }
            | Self::Listen { .. }
            | Self::File { .. }
            | Self::Receive { .. }
            | Self::ReceiverDropped => false,
        }
    }
}
