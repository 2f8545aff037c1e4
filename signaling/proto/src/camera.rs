//! What is said about cameras and about the way to them.

use crate::{CameraId, GatewayId};
use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// What a camera is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[serde(rename_all = "lowercase")]
pub enum CameraState {
    /// Reached when somebody watches; nobody does now.
    Idle,
    /// Being connected to, for the first time or again.
    Connecting,
    /// Sending video.
    Live,
    /// Cannot be reached or used; `reason` says why. The gateway keeps trying.
    Failed,
    /// Its gateway is not connected.
    Offline,
}

/// A camera as its gateway reports it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct CameraReport {
    /// Its token; the `profile` of [`crate::method::Connect`].
    pub id: CameraId,
    /// What people call it.
    pub name: String,
    /// What it is doing.
    pub state: CameraState,
    /// Why it failed, as one sentence; absent unless `state` is `failed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub reason: Option<String>,
    /// `H264` or `H265`, once known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub codec: Option<String>,
    /// Width of the picture in pixels, once known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub width: Option<u32>,
    /// Height of the picture in pixels, once known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub height: Option<u32>,
    /// How many sessions are watching it.
    #[serde(default)]
    pub viewers: u32,
}

/// A camera as the server tells people about it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Camera {
    /// The gateway it is behind; the `peer` of [`crate::method::Connect`].
    pub gateway: GatewayId,
    /// What its gateway last said of it.
    #[serde(flatten)]
    pub report: CameraReport,
}

/// A STUN or TURN server, as W3C WebRTC's `RTCIceServer`; `urls` is always an array
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

/// An ICE candidate, as W3C WebRTC's `RTCIceCandidateInit`. An empty `candidate` ends the
/// candidates (RFC 8838 §13).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct IceCandidate {
    /// The `candidate-attribute` of RFC 8839 §5.1, or empty.
    #[serde(default)]
    pub candidate: String,
    /// The media section it belongs to, by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub sdp_mid: Option<String>,
    /// The media section it belongs to, by place.
    #[serde(default, rename = "sdpMLineIndex", skip_serializing_if = "Option::is_none")]
    #[ts(optional, rename = "sdpMLineIndex")]
    pub sdp_mline_index: Option<u16>,
    /// The user name fragment of the ICE generation it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub username_fragment: Option<String>,
}
