//! Cameras, ICE servers and ICE candidates.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::{CameraAddress, CameraId, GatewayId};

/// The state of a camera.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[serde(rename_all = "lowercase")]
pub enum CameraState {
    /// The camera is not connected, because nobody is watching it.
    Idle,
    /// The gateway is connecting or reconnecting to the camera.
    Connecting,
    /// The camera is sending video.
    Live,
    /// The camera cannot be reached or used; `reason` says why. The gateway keeps trying.
    Failed,
    /// The camera's gateway is not connected.
    Offline,
}

/// The rotations of a picture, in degrees clockwise.
pub const ROTATIONS: [u16; 4] = [0, 90, 180, 270];

/// A camera as its gateway reports it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct CameraReport {
    /// The camera's id: the ONVIF profile token, and the `profile` of `connect`.
    pub id: CameraId,
    /// The display name.
    pub name: String,
    /// The current state.
    pub state: CameraState,
    /// The reason of the failure in one sentence if `state` is `failed`; what spoils the picture if
    /// it is `live`; otherwise absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub reason: Option<String>,
    /// The codec, `H264` or `H265`; absent until known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub codec: Option<String>,
    /// The width of the picture in pixels; absent until known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub width: Option<u32>,
    /// The height of the picture in pixels; absent until known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub height: Option<u32>,
    /// The number of sessions that are watching it, on all of its streams.
    #[serde(default)]
    pub viewers: u32,
    /// The streams of the camera, the main stream first; empty if there is only that one, which the
    /// fields above describe.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[ts(optional, as = "Option<Vec<StreamReport>>")]
    pub streams: Vec<StreamReport>,
    /// True for a camera that was probed and not added: only those who manage its gateway may watch
    /// it, and it is in no list.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[ts(optional, as = "Option<bool>")]
    pub provisional: bool,
    /// The ways in which the camera can be moved; absent if it cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub control: Option<ControlReport>,
    /// Motion in front of the camera; absent if it does not tell of any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub motion: Option<MotionReport>,
    /// The degrees by which its picture is to be turned clockwise: 0, 90, 180 or 270.
    #[serde(default, skip_serializing_if = "is_upright")]
    #[ts(optional, as = "Option<u16>")]
    pub rotation: u16,
    /// True if its picture is to be mirrored, left to right, before it is turned.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[ts(optional, as = "Option<bool>")]
    pub mirrored: bool,
    /// The sound of the camera; absent if it sends none, or until that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub sound: Option<SoundReport>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_upright(rotation: &u16) -> bool {
    *rotation == 0
}

impl CameraReport {
    /// Creates the report of a camera of which nothing more is known.
    #[must_use]
    pub fn new(id: CameraId, name: String, state: CameraState) -> Self {
        Self {
            id,
            name,
            state,
            reason: None,
            codec: None,
            width: None,
            height: None,
            viewers: 0,
            streams: Vec::new(),
            provisional: false,
            control: None,
            motion: None,
            rotation: 0,
            mirrored: false,
            sound: None,
        }
    }
}

/// The sound of a camera.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct SoundReport {
    /// The codec in which the camera sends it, such as `PCMA` or `AAC`.
    pub codec: String,
    /// The reason why it cannot be heard, in one sentence; absent if it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub reason: Option<String>,
}

/// The ways in which a camera can be moved ([`crate::control`]).
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct ControlReport {
    /// True if the camera turns left, right, up and down.
    #[serde(default)]
    pub pan_tilt: bool,
    /// True if the camera has a zoom lens.
    #[serde(default)]
    pub zoom: bool,
    /// True if the camera stores positions.
    #[serde(default)]
    pub presets: bool,
    /// The name of who is moving it, and keeps others from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub held_by: Option<String>,
}

/// Motion in front of a camera, as the camera tells it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct MotionReport {
    /// True while something moves.
    #[serde(default)]
    pub active: bool,
    /// The time at which the latest motion has begun, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional, type = "number")]
    pub last_s: Option<u64>,
}

/// The role of a stream of a camera.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, TS)]
#[serde(rename_all = "lowercase")]
pub enum StreamRole {
    /// The full-size picture.
    Main,
    /// A smaller picture of the same scene, for tiles and slow paths.
    Sub,
}

/// A stream of a camera as its gateway reports it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct StreamReport {
    /// The ONVIF profile token of the stream, the `profile` of `connect`: the camera's id for the
    /// main stream, `ID.sub` for the sub stream.
    pub id: CameraId,
    /// The role of the stream.
    pub role: StreamRole,
    /// The current state of the stream, which is connected on its own.
    pub state: CameraState,
    /// The reason of the failure in one sentence if `state` is `failed`; what spoils the picture if
    /// it is `live`; otherwise absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub reason: Option<String>,
    /// The codec; absent until known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub codec: Option<String>,
    /// The width of the picture in pixels; absent until known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub width: Option<u32>,
    /// The height of the picture in pixels; absent until known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub height: Option<u32>,
}

/// A camera as the server shows it to clients.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Camera {
    /// The gateway of the camera: the `peer` of `connect`.
    pub gateway: GatewayId,
    /// The shortest address that leads to the camera, in `/whep/ADDRESS` and in the dashboard: its
    /// id, or `ID@GATEWAY` if another gateway had a camera with this id before.
    pub address: CameraAddress,
    /// The permissions on this camera of whoever gets the list. The server checks each request
    /// whatever is in here.
    #[serde(default)]
    pub permissions: Vec<CameraPermission>,
    /// The gateway's latest report.
    #[serde(flatten)]
    pub report: CameraReport,
}

/// A way to use a camera that somebody may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[serde(rename_all = "lowercase")]
pub enum CameraPermission {
    /// Seeing its picture and its state.
    Watch,
    /// Hearing its sound.
    Listen,
    /// Speaking through its loudspeaker.
    Talk,
    /// Turning it, and zooming.
    Control,
    /// Changing and removing it.
    Manage,
}

/// A STUN or TURN server in the form of W3C WebRTC's `RTCIceServer`; `urls` is always an array
/// (ONVIF WebRTC 26.06 §5.4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct IceServer {
    /// `stun:`, `turn:` and `turns:` URIs (RFC 7064, RFC 7065).
    pub urls: Vec<String>,
    /// The TURN user name, for `turn:` and `turns:`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub username: Option<String>,
    /// The TURN password, for `turn:` and `turns:`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub credential: Option<String>,
}

/// An ICE candidate in the form of W3C WebRTC's `RTCIceCandidateInit`. An empty `candidate` marks
/// the end of candidates (RFC 8838 §13).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct IceCandidate {
    /// The `candidate-attribute` of RFC 8839 §5.1, or empty after the last candidate.
    #[serde(default)]
    pub candidate: String,
    /// The name (mid) of the media section that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub sdp_mid: Option<String>,
    /// The index of the media section that it belongs to.
    #[serde(default, rename = "sdpMLineIndex", skip_serializing_if = "Option::is_none")]
    #[ts(optional, rename = "sdpMLineIndex")]
    pub sdp_mline_index: Option<u16>,
    /// The user name fragment of the ICE generation that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub username_fragment: Option<String>,
}
