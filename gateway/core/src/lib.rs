//! The gateway's pure core: cameras, viewer sessions and their paths.
//!
//! Everything here is a value: events and `now` go in, outputs come out. The driver in
//! `porthole-gateway` owns the sockets, the files and the clock.
//!
//! Architecture invariant: no tokio, socket, clock, task or lock; JSON only by way of
//! `porthole-signaling-proto`; the WebRTC engine only in [`dtls_srtp`].

#![warn(missing_docs)]

pub mod backoff;
pub mod camera;
pub mod congestion;
pub mod dtls_srtp;
mod gateway;
pub mod ice;
pub mod ice_servers;
pub mod import;
pub mod media;
pub mod onvif;
pub mod port_mapping;
pub mod question;
pub mod reflexive;
pub mod rtp;
pub mod rtsp;
pub mod sdp;
pub mod sealing;
pub mod session;
pub mod stats;
pub mod store;
pub mod transport;
mod turn_clients;
mod url_parts;

use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;
use porthole_signaling_proto::rpc::Message;
use porthole_signaling_proto::{CameraId, SessionId};

use crate::camera::{CameraChange, ControlFacts, SourceCommand, SourceEvent, StreamId};
use crate::port_mapping::Mapping;
use crate::question::{QuestionEvent, QuestionOutput};
use crate::stats::Stats;

pub use gateway::{Gateway, GatewayConfig};
pub use turn_clients::{IceServerEndpoint, TurnTransport};

/// A datagram on the shared UDP port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datagram {
    /// The local address, on the shared port, to send from.
    pub from: SocketAddr,
    /// The remote address to send to.
    pub to: SocketAddr,
    /// The payload of the datagram.
    pub bytes: Bytes,
}

/// Identifies a TURN client and its transport: one for each allocation of each session.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TurnClientId {
    /// The session that the client belongs to.
    pub session: SessionId,
    /// Index of the client within the session.
    pub index: u8,
}

/// A command to the driver for the transport of a TURN client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TurnTransportCommand {
    /// Open the transport to this server.
    Open(IceServerEndpoint),
    /// Send these bytes: one datagram over UDP, a part of the stream over TCP.
    Send(Bytes),
    /// Close the transport once everything queued has been sent.
    Close,
}

/// An output of a core, to be applied by the driver.
#[derive(Debug)]
pub enum Output {
    /// A message for the signaling server.
    Signal(Message),
    /// A datagram to send on the shared UDP port.
    Datagram(Datagram),
    /// A command for the transport of a TURN client.
    TurnTransport(TurnClientId, TurnTransportCommand),
    /// A command for the source of a stream.
    Source(StreamId, SourceCommand),
    /// A question of the server to answer, or what has become of one.
    Question(QuestionOutput),
    /// A doubt whether the signaling server can still be reached: the network may have changed.
    DoubtLink,
    /// A host name to resolve; pass the result to [`Core::handle_resolved`].
    Resolve(IceServerEndpoint),
}

/// The contract between the driver's loop and what runs on it: pass in inputs, drain
/// [`Self::poll_output`] until it returns `None`, then wait until [`Self::poll_timeout`].
///
/// The gateway is one such core, the viewer of the tests another.
pub trait Core {
    /// Handles the connection to the signaling server coming up.
    fn handle_online(&mut self, now: Instant);
    /// Handles the loss of the connection to the signaling server.
    fn handle_offline(&mut self, now: Instant);
    /// Handles a message of the signaling server.
    fn handle_message(&mut self, now: Instant, message: Message);
    /// Handles a datagram that arrived on the shared port at the address `local`.
    fn handle_datagram(&mut self, now: Instant, local: SocketAddr, from: SocketAddr, bytes: &[u8]);
    /// Handles the opening of a TURN client's transport.
    fn handle_turn_transport_opened(&mut self, now: Instant, key: &TurnClientId);
    /// Handles bytes from a TURN server: one datagram over UDP, a part of the stream over TCP.
    fn handle_turn_transport_data(&mut self, now: Instant, key: &TurnClientId, bytes: &[u8]);
    /// Handles the end of a TURN client's transport, whichever side closed it.
    fn handle_turn_transport_closed(&mut self, now: Instant, key: &TurnClientId);
    /// Handles the result of [`Output::Resolve`]; `addresses` is empty if the name was not found.
    fn handle_resolved(
        &mut self,
        now: Instant,
        server: &IceServerEndpoint,
        addresses: &[SocketAddr],
    );
    /// Handles an event of a stream's source.
    fn handle_source(&mut self, now: Instant, stream: &StreamId, event: SourceEvent) {
        self.handle_source_events(now, stream, vec![event]);
    }
    /// Handles events of a stream's source, in their order.
    fn handle_source_events(&mut self, now: Instant, stream: &StreamId, events: Vec<SourceEvent>);
    /// Adds, changes or removes a camera. The driver knows its new sources already.
    fn change_camera(&mut self, now: Instant, change: CameraChange);
    /// Handles a piece of the answer to a question, or the answer.
    fn handle_question_event(&mut self, now: Instant, event: QuestionEvent);
    /// Handles what the controls of a camera have found out about it.
    fn handle_control(&mut self, now: Instant, camera: &CameraId, facts: ControlFacts);
    /// Sets the addresses of this machine, each with the shared port, the best first.
    fn set_addresses(&mut self, now: Instant, addresses: Vec<SocketAddr>);
    /// Sets the port that a router forwards to the shared port; `None` if there is none. A core
    /// that offers no candidates of its own may ignore it.
    fn set_mapping(&mut self, _now: Instant, _mapping: Option<Mapping>) {}
    /// Sets what viewers outside the local network may get in all, in bits per second; `None` for
    /// no limit. A core that sends no pictures may ignore it.
    fn set_max_uplink(&mut self, _now: Instant, _max_uplink: Option<u64>) {}
    /// Returns the time at which [`Self::handle_timeout`] is due.
    fn poll_timeout(&mut self) -> Option<Instant>;
    /// Processes everything that is due.
    fn handle_timeout(&mut self, now: Instant);
    /// Returns the numbers of what has happened and of what is there now.
    fn stats(&self) -> Stats {
        Stats::default()
    }
    /// Ends every session; drain [`Self::poll_output`] once more for the last messages.
    fn close(&mut self, now: Instant);
    /// Returns the next output to apply.
    fn poll_output(&mut self) -> Option<Output>;
}
