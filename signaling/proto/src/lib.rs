//! The messages on the wire: JSON-RPC 2.0 over a WebSocket as ONVIF WebRTC 26.06 lays it down,
//! Porthole's additions to it (all named `porthole…`), and the bodies of the REST interface.
//!
//! Architecture invariant: this is the only crate that knows the JSON. The TypeScript that the
//! dashboard uses is generated from it into `web/src/protocol`.

#![warn(missing_docs)]

mod camera;
pub mod fragment;
mod id;
pub mod identity;
pub mod method;
pub mod rest;
pub mod rpc;

pub use camera::{Camera, CameraReport, CameraState, IceCandidate, IceServer};
pub use id::{CameraId, GatewayId, InvalidId, SessionId};

/// The WebSocket sub-protocol of ONVIF WebRTC 26.06 §5.1.
pub const SUBPROTOCOL: &str = "webrtc.onvif.org";

/// Where a signaling server takes WebSockets.
pub const WEBSOCKET_PATH: &str = "/ws";

/// The longest WebSocket message either side accepts, in bytes. An SDP with every candidate and
/// codec of a browser is about 8 kB.
pub const MAX_MESSAGE_BYTES: usize = 64 * 1024;
