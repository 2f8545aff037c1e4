//! The methods: ONVIF's under their own names, Porthole's as `porthole…`, which others ignore.
//!
//! | method | from → to | |
//! |---|---|---|
//! | `register`, `unregister` | client, device → server | ONVIF §5.3 |
//! | `connect` | client → server, server → device | ONVIF §5.4 |
//! | `invite` | device → server → client | ONVIF §5.5; again in a session: ICE restart |
//! | `trickle` | client ↔ server ↔ device, a notification | ONVIF §5.6 |
//! | `extend` | client → server → device | ONVIF §5.7 |
//! | `error` | any, a notification | ONVIF §5.8; [`crate::rpc::Message::Error`] |
//! | `portholeChallenge`, `portholeEnroll` | device → server, before `register` | [`crate::identity`] |
//! | `portholeReport` | device → server | its cameras, whole, whenever one changes |
//! | `portholeCameras` | server → client, a notification | what the client may see, whole |
//! | `portholeIceServers` | server → client and device, a notification | fresh credentials, with `extend` and `portholeRestart` |
//! | `portholeOffer` | server → device | the viewer makes the offer (WHEP) |
//! | `portholeRestart` | server → device | the viewer restarts ICE (WHEP) |
//! | `portholeClose` | client → server → device, device → server → client, a notification | the session is over |

use crate::{Camera, CameraId, CameraReport, GatewayId, IceCandidate, IceServer, SessionId};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use ts_rs::TS;

/// A request and what it returns.
pub trait Method {
    /// Its name on the wire.
    const NAME: &'static str;
    /// Its parameters, by name.
    type Params: Serialize + DeserializeOwned;
    /// What it returns.
    type Result: Serialize + DeserializeOwned;
}

/// A notification: nothing is returned.
pub trait Notice {
    /// Its name on the wire.
    const NAME: &'static str;
    /// Its parameters, by name.
    type Params: Serialize + DeserializeOwned;
}

macro_rules! methods {
    ($($(#[$doc:meta])* $name:ident = $wire:literal ($params:ty) -> $result:ty;)*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, Copy)]
            pub enum $name {}

            impl Method for $name {
                const NAME: &'static str = $wire;
                type Params = $params;
                type Result = $result;
            }
        )*
    };
}

macro_rules! notices {
    ($($(#[$doc:meta])* $name:ident = $wire:literal ($params:ty);)*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, Copy)]
            pub enum $name {}

            impl Notice for $name {
                const NAME: &'static str = $wire;
                type Params = $params;
            }
        )*
    };
}

methods! {
    /// The first command on a WebSocket: who is there.
    Register = "register" (RegisterParams) -> RegisterResult;
    /// Going away on purpose.
    Unregister = "unregister" (Empty) -> Empty;
    /// A client wants to watch.
    Connect = "connect" (ConnectParams) -> ConnectResult;
    /// The server passes a [`Connect`] on to the device.
    ConnectDevice = "connect" (ConnectDeviceParams) -> ConnectDeviceResult;
    /// The device's offer, and the client's answer.
    Invite = "invite" (InviteParams) -> InviteResult;
    /// More time for a session.
    Extend = "extend" (ExtendParams) -> ExtendResult;
    /// A nonce to sign.
    Challenge = "portholeChallenge" (Empty) -> ChallengeResult;
    /// A gateway becomes known, by a claim code and its key.
    Enroll = "portholeEnroll" (EnrollParams) -> EnrollResult;
    /// A gateway says what its cameras are and do.
    Report = "portholeReport" (ReportParams) -> ReportResult;
    /// A viewer that makes the offer itself (WHEP).
    Offer = "portholeOffer" (OfferParams) -> OfferResult;
    /// A viewer that restarts ICE itself (WHEP).
    Restart = "portholeRestart" (RestartParams) -> RestartResult;
}

notices! {
    /// One more way to reach a peer. Relayed unaltered.
    Trickle = "trickle" (TrickleParams);
    /// The cameras a client may see, whole, after `register` and after each change.
    Cameras = "portholeCameras" (CamerasParams);
    /// STUN and TURN servers with fresh credentials, for an ICE restart late in a session.
    IceServers = "portholeIceServers" (IceServersParams);
    /// A session is over.
    Close = "portholeClose" (SessionParams);
}

/// No parameters, or nothing to return.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Empty {}

/// See [`Register`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct RegisterParams {
    /// Access token, unless the WebSocket came with one. A gateway's is built by
    /// [`crate::identity::GatewayToken`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub authorization: Option<String>,
    /// What people call the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub name: Option<String>,
    /// What the device can do: `extend`, `subProtocols` (ONVIF §5.2.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub capabilities: Option<Vec<String>>,
}

/// See [`Register`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct RegisterResult {
    /// What the server calls this endpoint: a device's [`GatewayId`], or a name for this
    /// connection of a client.
    pub id: String,
}

/// See [`Connect`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct ConnectParams {
    /// The device.
    pub peer: GatewayId,
    /// The camera; the device's first one if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub profile: Option<CameraId>,
    /// Access token, if it is another than the one registered with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub authorization: Option<String>,
}

/// See [`Connect`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct ConnectResult {
    /// The session that begins.
    pub session: SessionId,
    /// The STUN and TURN servers to use in it.
    #[serde(default)]
    pub ice_servers: Vec<IceServer>,
    /// When the session ends unless extended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub expiry_time_seconds: Option<u32>,
    /// What the session can do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub capabilities: Option<Vec<String>>,
}

/// See [`ConnectDevice`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct ConnectDeviceParams {
    /// The session that begins.
    pub session: SessionId,
    /// The camera; the device's first one if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub profile: Option<CameraId>,
    /// The STUN and TURN servers to use in it.
    #[serde(default)]
    pub ice_servers: Vec<IceServer>,
    /// When the session ends unless extended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub expiry_time_seconds: Option<u32>,
}

/// See [`ConnectDevice`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct ConnectDeviceResult {
    /// What the session can do; as registered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub capabilities: Option<Vec<String>>,
}

/// See [`Invite`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct InviteParams {
    /// The session.
    pub session: SessionId,
    /// SDP offer (RFC 9429 §5.2), with `a=ice-options:trickle`.
    pub offer: String,
    /// Data channels to be allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub subprotocols: Option<Vec<String>>,
}

/// See [`Invite`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct InviteResult {
    /// SDP answer (RFC 9429 §5.3).
    pub answer: String,
    /// Data channels to be allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub subprotocols: Option<Vec<String>>,
}

/// See [`Trickle`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct TrickleParams {
    /// The session.
    pub session: SessionId,
    /// The candidate; empty after the last.
    pub candidate: IceCandidate,
}

/// See [`Extend`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct ExtendParams {
    /// The session.
    pub session: SessionId,
    /// Client to server: an access token, if it is another than the one registered with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub authorization: Option<String>,
    /// Server to device: the new time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub expiry_time_seconds: Option<u32>,
}

/// See [`Extend`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct ExtendResult {
    /// Seconds until the session ends.
    pub expiry_time_seconds: u32,
}

/// See [`Challenge`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct ChallengeResult {
    /// Good once, on this WebSocket.
    pub nonce: String,
}

/// See [`Enroll`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct EnrollParams {
    /// The single-use claim code a person gave.
    pub claim: String,
    /// The gateway's Ed25519 public key, base64url without padding.
    pub public_key: String,
    /// Signature over [`crate::identity::enroll_message`], base64url without padding.
    pub signature: String,
    /// What people call the gateway.
    pub name: String,
}

/// See [`Enroll`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct EnrollResult {
    /// The gateway's id, the hash of its key.
    pub id: GatewayId,
}

/// See [`Report`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct ReportParams {
    /// All cameras of the gateway.
    pub cameras: Vec<CameraReport>,
    /// The sessions it has: the server forgets others of it. Absent if it does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub sessions: Option<Vec<SessionId>>,
}

/// See [`Report`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct ReportResult {
    /// Cameras the server does not take, such as one whose id is another gateway's.
    #[serde(default)]
    pub refused: Vec<RefusedCamera>,
}

/// A camera that the server does not take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct RefusedCamera {
    /// Which.
    pub id: CameraId,
    /// Why, and what to do.
    pub reason: String,
}

/// See [`Cameras`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct CamerasParams {
    /// All cameras the client may see.
    pub cameras: Vec<Camera>,
}

/// See [`IceServers`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct IceServersParams {
    /// The session.
    pub session: SessionId,
    /// Instead of those it had.
    pub ice_servers: Vec<IceServer>,
}

/// Names a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct SessionParams {
    /// The session.
    pub session: SessionId,
}

/// See [`Offer`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct OfferParams {
    /// The session that begins.
    pub session: SessionId,
    /// The camera.
    pub profile: CameraId,
    /// The viewer's SDP offer.
    pub offer: String,
    /// The STUN and TURN servers to use.
    #[serde(default)]
    pub ice_servers: Vec<IceServer>,
    /// When the session ends unless extended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub expiry_time_seconds: Option<u32>,
}

/// See [`Offer`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct OfferResult {
    /// The SDP answer, with every candidate that was found in time.
    pub answer: String,
}

/// See [`Restart`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct RestartParams {
    /// The session.
    pub session: SessionId,
    /// The viewer's new ICE user name fragment, password and candidates as
    /// `application/trickle-ice-sdpfrag` (RFC 8840 §9).
    pub fragment: String,
}

/// See [`Restart`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct RestartResult {
    /// The gateway's, likewise.
    pub fragment: String,
}
