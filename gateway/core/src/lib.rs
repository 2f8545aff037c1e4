//! The gateway's pure core: cameras, viewer sessions, paths.
//!
//! Everything here is a value: events and `now` go in, outputs come out. The driver in
//! `porthole-gateway` owns the sockets, the files and the clock.
//!
//! Architecture invariant: no tokio, socket, clock, task or lock; JSON only by way of
//! `porthole-signaling-proto`; the WebRTC engine only in [`dtls_srtp`].

pub mod backoff;
pub mod camera;
pub mod dtls_srtp;
mod gateway;
pub mod ice;
pub mod media;
pub mod reflexive;
pub mod rtp;
pub mod sdp;
pub mod session;
mod turn_clients;

pub use gateway::{Gateway, GatewayConfig};
pub use turn_clients::{IceServerEndpoint, TurnTransport};

use crate::camera::{CameraCommand, SourceEvent};
use bytes::Bytes;
use porthole_signaling_proto::rpc::Message;
use porthole_signaling_proto::{CameraId, SessionId};
use std::net::SocketAddr;
use std::time::Instant;

/// A datagram on the shared UDP port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datagram {
    /// The local address it leaves from.
    pub from: SocketAddr,
    /// Where it goes.
    pub to: SocketAddr,
    /// What it carries.
    pub bytes: Bytes,
}

/// A transport to a TURN server: one for each allocation of each session.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TurnClientId {
    /// The session.
    pub session: SessionId,
    /// Which of its allocations.
    pub index: u8,
}

/// What the driver must do with a transport to a TURN server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TurnTransportCommand {
    /// Open it.
    Open(IceServerEndpoint),
    /// Send these bytes.
    Send(Bytes),
    /// Close it, after what was sent.
    Close,
}

/// What a core wants done.
#[derive(Debug)]
pub enum Output {
    /// A message for the signaling server.
    Signal(Message),
    /// A datagram to send.
    Datagram(Datagram),
    /// Something for a transport to a TURN server.
    TurnTransport(TurnClientId, TurnTransportCommand),
    /// Something for a camera.
    Camera(CameraId, CameraCommand),
    /// A name to look up; answer with [`Core::handle_resolved`].
    Resolve(IceServerEndpoint),
}

/// The one contract of everything that runs on the driver's loop: mutate, drain
/// [`Self::poll_output`] until it is silent, wait until [`Self::poll_timeout`].
pub trait Core {
    /// The link to the signaling server is up.
    fn handle_online(&mut self, now: Instant);
    /// The link to the signaling server is down.
    fn handle_offline(&mut self, now: Instant);
    /// Something the signaling server said.
    fn handle_message(&mut self, now: Instant, message: Message);
    /// A datagram on the shared port.
    fn handle_datagram(&mut self, now: Instant, local: SocketAddr, from: SocketAddr, bytes: &[u8]);
    /// A transport to a TURN server is open.
    fn handle_turn_transport_opened(&mut self, now: Instant, key: &TurnClientId);
    /// Bytes from a TURN server.
    fn handle_turn_transport_data(&mut self, now: Instant, key: &TurnClientId, bytes: &[u8]);
    /// A transport to a TURN server is closed.
    fn handle_turn_transport_closed(&mut self, now: Instant, key: &TurnClientId);
    /// The addresses of a name; none if it has none.
    fn handle_resolved(
        &mut self,
        now: Instant,
        server: &IceServerEndpoint,
        addresses: &[SocketAddr],
    );
    /// Something from a camera.
    fn handle_source(&mut self, now: Instant, camera: &CameraId, event: SourceEvent);
    /// The addresses of this machine, each with the shared port.
    fn set_addresses(&mut self, now: Instant, addresses: Vec<SocketAddr>);
    /// When [`Self::handle_timeout`] is due.
    fn poll_timeout(&self) -> Option<Instant>;
    /// Does what is due.
    fn handle_timeout(&mut self, now: Instant);
    /// Ends every session.
    fn close(&mut self, now: Instant);
    /// What is to be done.
    fn poll_output(&mut self) -> Option<Output>;
}
