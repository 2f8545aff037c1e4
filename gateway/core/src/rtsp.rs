//! A client of RTSP (RFC 2326) for cameras: lenient in what it takes, strict in its bounds.
//!
//! [`Client`] is a value with the contract of every core. It says what to connect to and what to
//! send, and is told what arrives:
//!
//! 1. [`Output::Connect`], answered by [`Client::handle_connected`];
//! 2. [`Output::Send`] and [`Client::handle_data`], until [`Output::Described`] and
//!    [`Output::Playing`]; over UDP also [`Output::OpenPorts`] and [`Client::handle_ports`];
//! 3. [`Output::Packet`], until [`Output::Ended`] or [`Client::close`].
//!
//! The files depend on each other in one direction: `message` and `framing` read the stream,
//! `auth`, `transport` and `address` the contents of headers, `requests` pairs requests and
//! replies, and `client` puts them together.
//!
//! A camera's description may have several tracks; the client sets up those that are forwarded,
//! which is one video track now, and the others only if the camera does not play without them.
//! [`Config::require`] names extensions such as ONVIF's `onvif-replay` (RFC 2326 §12.32); a back
//! channel would be one more track of the list.

mod address;
pub(crate) mod auth;
mod client;
mod framing;
mod mask;
mod message;
mod report;
mod requests;
mod transport;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;

use crate::media::camera_sdp::CameraSdpError;
use crate::media::{ClockReport, MediaKind, RtpPacket, StreamDescription};

pub use address::{Address, percent_decode};
pub use auth::Credentials;
pub use client::Client;
pub use mask::passwords as mask_passwords;
pub use transport::Lower;

/// Settings of a client.
#[derive(Debug, Clone)]
pub struct Config {
    /// Address of the camera.
    pub address: Address,
    /// User and password, if the camera requires them.
    pub credentials: Option<Credentials>,
    /// The way in which the camera sends RTP packets.
    pub transport: Transport,
    /// Bounds for the camera's silence.
    pub timeouts: Timeouts,
    /// Bounds for the use of the password.
    pub caution: Caution,
    /// Extensions that the camera must support (`Require`, RFC 2326 §12.32); none for a live
    /// picture.
    pub require: Vec<String>,
    /// Seed of the random numbers: client nonces, the tunnel's cookie and our SSRC.
    pub seed: u64,
}

/// Bounds for the use of a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caution {
    /// Allow the password to be sent as readable text (Basic, RFC 7617).
    pub allows_text: bool,
    /// Number of requests with the password that may be refused before the camera has accepted it.
    /// Cameras lock accounts after some.
    pub max_refused: u8,
}

impl Default for Caution {
    /// Returns the bounds for a password that the owner has written down: each scheme that the
    /// camera offers is tried once.
    fn default() -> Self {
        Self { allows_text: true, max_refused: u8::MAX }
    }
}

/// The choice of transport in a camera's address.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Transport {
    /// TCP; UDP if the camera refuses that.
    #[default]
    Auto,
    /// Interleaved with RTSP in one TCP connection: no packet is lost, and NATs and firewalls let
    /// it pass.
    Tcp,
    /// UDP to ports of ours.
    Udp,
    /// UDP to a multicast group that the camera chooses.
    Multicast,
    /// RTSP and RTP in two HTTP requests, for firewalls that let nothing else pass.
    Http,
}

impl Transport {
    /// Returns the transport that is tried first.
    fn first(self) -> Lower {
        match self {
            Self::Auto | Self::Tcp | Self::Http => Lower::Tcp,
            Self::Udp => Lower::Udp,
            Self::Multicast => Lower::Multicast,
        }
    }
}

/// Bounds for the time in which a camera must do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Time for the connection and the first reply, and for each later reply. The whole set-up may
    /// take [`SETUP_REPLIES`] times as long.
    pub connect: Duration,
    /// Time without a packet after which a playing camera is given up.
    pub silence: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(10), silence: Duration::from_secs(15) }
    }
}

/// The whole set-up may take this many times [`Timeouts::connect`], however many replies it has.
pub const SETUP_REPLIES: u32 = 3;

/// A connection to open; it replaces the one before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// Address to connect to.
    pub address: Address,
    /// True: open a second connection for [`Line::Upstream`].
    pub is_tunnel: bool,
}

/// One of the connections to the camera.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// The only connection, or the one that a tunnel's data arrives on.
    Main,
    /// The connection on which a tunnel's requests are sent.
    Upstream,
}

/// One of the two UDP ports of a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Port {
    /// The port of RTP packets.
    Rtp,
    /// The port of RTCP packets.
    Rtcp,
}

/// A datagram to send from one of a track's ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datagram {
    /// Number of the track.
    pub track: u8,
    /// The port to send from.
    pub port: Port,
    /// The address of the camera.
    pub to: SocketAddr,
    /// Payload of the datagram.
    pub bytes: Bytes,
}

/// An output of a client, to be applied by the driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Connect, and close what was connected before, its ports included.
    Connect(Connection),
    /// Send bytes to the camera.
    Send(Line, Bytes),
    /// Open a pair of UDP ports for a track; pass them to [`Client::handle_ports`].
    OpenPorts(u8),
    /// Receive what is sent to a multicast group.
    JoinGroup {
        /// Number of the track.
        track: u8,
        /// Address of the group.
        group: IpAddr,
        /// Ports for RTP and RTCP.
        ports: (u16, u16),
    },
    /// Send a datagram from a track's port.
    Datagram(Datagram),
    /// The tracks of the camera; their packets follow.
    Described(StreamDescription),
    /// The camera has begun to play.
    Playing,
    /// An RTP packet of a track.
    Packet {
        /// The kind of the track.
        track: MediaKind,
        /// The packet itself.
        packet: RtpPacket,
    },
    /// The clock in a sender report of a track.
    Clock {
        /// The kind of the track.
        track: MediaKind,
        /// The report itself.
        report: ClockReport,
    },
    /// The session has ended; close all connections and ports.
    Ended(Failure),
}

/// Reasons for the end of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The camera does not answer in time.
    NoReply,
    /// The camera closes the connection before it plays.
    Closed,
    /// The camera requires user and password, and none are configured.
    PasswordMissing,
    /// The camera refuses user and password.
    WrongPassword,
    /// The camera requires a way of authentication that is unknown.
    UnknownAuthentication,
    /// The camera takes the password as readable text only, which is not allowed.
    WantsText,
    /// The camera has no stream at this path; the path, with passwords masked.
    NotFound(String),
    /// The camera does not send in this way.
    Transport(Lower),
    /// The camera refuses with this status.
    Status(u16),
    /// The camera redirects to an address that is not followed.
    Redirect {
        /// The address, with passwords masked.
        to: String,
        /// The problem with it.
        problem: RedirectProblem,
    },
    /// The session description cannot be used.
    Sdp(CameraSdpError),
    /// The camera violates the protocol; a clause about it.
    Protocol(String),
    /// The camera ended the stream.
    Ended,
    /// The camera sends no packets.
    Silent,
}

/// Reasons for not following a redirect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RedirectProblem {
    /// The address is that of another host.
    OtherHost,
    /// The address would give up TLS.
    WithoutTls,
    /// The camera has redirected too often.
    TooMany,
    /// The address is missing, or not one of RTSP.
    NotRtsp,
}

/// The methods of RTSP (RFC 2326 §10) that the client uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    Options,
    Describe,
    Setup,
    Play,
    GetParameter,
    Teardown,
}

impl Method {
    fn name(self) -> &'static str {
        match self {
            Self::Options => "OPTIONS",
            Self::Describe => "DESCRIBE",
            Self::Setup => "SETUP",
            Self::Play => "PLAY",
            Self::GetParameter => "GET_PARAMETER",
            Self::Teardown => "TEARDOWN",
        }
    }
}
