//! Messages of Porthole's signaling: JSON-RPC 2.0 over a WebSocket as ONVIF WebRTC 26.06 defines
//! it, Porthole's additions to it (all named `porthole…`), and the bodies of the REST interface
//! and of WHEP.
//!
//! Architecture invariant: this is the only crate that knows the JSON. The TypeScript types of the
//! dashboard are generated from it into `web/src/protocol`.

#![warn(missing_docs)]

mod address;
mod camera;
pub mod control;
pub mod fragment;
mod id;
pub mod identity;
pub mod manage;
pub mod method;
pub mod names;
pub mod rest;
pub mod rpc;

pub use address::CameraAddress;
pub use camera::{
    Camera, CameraPermission, CameraReport, CameraState, ControlReport, IceCandidate, IceServer,
    MotionReport, ROTATIONS, SoundReport, StreamReport, StreamRole,
};
pub use id::{CameraId, GatewayId, InvalidId, SessionId};

/// The WebSocket sub-protocol of ONVIF WebRTC 26.06 §5.1.
pub const SUBPROTOCOL: &str = "webrtc.onvif.org";

/// Path at which a signaling server accepts WebSockets.
pub const WEBSOCKET_PATH: &str = "/ws";

/// The longest WebSocket message that a server accepts, in bytes. An SDP with all candidates and
/// codecs of a browser has about 8 kB.
pub const MAX_MESSAGE_BYTES: usize = 64 * 1024;

/// The longest WebSocket message that a client accepts from its server, in bytes: a list of some
/// thousand cameras.
pub const MAX_CLIENT_MESSAGE_BYTES: usize = 4 * 1024 * 1024;

/// The longest WebSocket message that a gateway accepts from its server, in bytes: the longest WHEP
/// offer (64 KiB), which becomes longer as a string of JSON, and what is around it.
pub const MAX_GATEWAY_MESSAGE_BYTES: usize = 256 * 1024;
