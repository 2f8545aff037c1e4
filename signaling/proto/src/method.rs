//! Methods and notifications: those of ONVIF under its names, our extensions as `porthole…`, which
//! other implementations ignore.
//!
//! | method | from → to | |
//! |---|---|---|
//! | `register`, `unregister` | client, device → server | ONVIF §5.3 |
//! | `portholePing` | client → server | a sign of life, for a client that doubts its connection |
//! | `connect` | client → server, server → device | ONVIF §5.4 |
//! | `invite` | device → server → client | ONVIF §5.5; a second one in a session restarts ICE |
//! | `trickle` | client ↔ server ↔ device, a notification | ONVIF §5.6 |
//! | `extend` | client → server → device | ONVIF §5.7 |
//! | `error` | any, a notification | ONVIF §5.8; [`crate::rpc::Message::Error`] |
//! | `portholeChallenge`, `portholeEnroll` | device → server, before `register` | [`crate::identity`] |
//! | `portholeReport` | device → server | all of its cameras, whenever one changes |
//! | `portholeCameras` | server → client, a notification | all cameras that the client may see |
//! | `portholeIceServers` | server → client and device, a notification | new credentials, with `extend` and `portholeRestart` |
//! | `portholeOffer` | server → device | the offer of a viewer (WHEP) |
//! | `portholeRestart` | server → device | an ICE restart by a viewer (WHEP) |
//! | `portholeSealingKey`, `portholeDiscover`, `portholeProbe`, `portholeReadConfiguration`, `portholeStoredCameras`, `portholeAddCamera`, `portholeChangeCamera`, `portholeRemoveCamera` | client → server → device | [`crate::manage`] |
//! | `portholeMove`, `portholePresets`, `portholeGoToPreset`, `portholeSavePreset`, `portholeRemovePreset`, `portholeCheckSettings`, `portholeApplySettings` | client → server → device | [`crate::control`] |
//! | `portholeProgress` | device → server → client, a notification | pieces of the response to one of these |
//! | `portholeCancel` | client → server → device, a notification | the end of one of these |
//! | `portholeShown` | device → server → client, a notification | which picture the device has chosen for a session |
//! | `portholeClose` | client → server → device, device → server → client, a notification | the end of a session |

use std::net::IpAddr;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::control::{
    ApplySettingsParams, ApplySettingsResult, CameraParams, CheckSettingsResult, MoveParams,
    Preset, PresetParams, PresetsResult, SavePresetParams,
};
use crate::manage::{
    AddCameraParams, CancelParams, ChangeCameraParams, ChangedResult, DiscoverParams,
    DiscoverResult, GatewayParams, ProbeParams, ProbeResult, ProgressParams,
    ReadConfigurationParams, ReadConfigurationResult, RemoveCameraParams, RemovedResult,
    SealingKeyResult, StoredCamerasResult,
};
use crate::{Camera, CameraId, CameraReport, GatewayId, IceCandidate, IceServer, SessionId};

/// A method: a request with parameters and a result.
pub trait Method {
    /// The name on the wire.
    const NAME: &'static str;
    /// The parameters, by name.
    type Params: Serialize + DeserializeOwned;
    /// The result, by name.
    type Result: Serialize + DeserializeOwned;
}

/// A notification: a message with parameters that gets no response.
pub trait Notification {
    /// The name on the wire.
    const NAME: &'static str;
    /// The parameters, by name.
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

macro_rules! notifications {
    ($($(#[$doc:meta])* $name:ident = $wire:literal ($params:ty);)*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, Copy)]
            pub enum $name {}

            impl Notification for $name {
                const NAME: &'static str = $wire;
                type Params = $params;
            }
        )*
    };
}

methods! {
    /// The first request on a WebSocket, with which a client or a device authenticates.
    Register = "register" (RegisterParams) -> RegisterResult;
    /// The request to end the connection.
    Unregister = "unregister" (Empty) -> Empty;
    /// A client's question whether the server is still there.
    Ping = "portholePing" (Empty) -> Empty;
    /// A client's request to watch a camera.
    Connect = "connect" (ConnectParams) -> ConnectResult;
    /// A [`Connect`] as the server forwards it to the device.
    ConnectDevice = "connect" (ConnectDeviceParams) -> ConnectDeviceResult;
    /// The device's SDP offer, to which the client responds with its answer.
    Invite = "invite" (InviteParams) -> InviteResult;
    /// The request to prolong a session.
    Extend = "extend" (ExtendParams) -> ExtendResult;
    /// A gateway's request for a nonce to sign.
    Challenge = "portholeChallenge" (Empty) -> ChallengeResult;
    /// A gateway's enrolment with a claim code and its key.
    Enroll = "portholeEnroll" (EnrollParams) -> EnrollResult;
    /// A gateway's report of its cameras and sessions.
    Report = "portholeReport" (ReportParams) -> ReportResult;
    /// An SDP offer of a viewer (WHEP), to which the gateway responds with its answer.
    Offer = "portholeOffer" (OfferParams) -> OfferResult;
    /// An ICE restart by a viewer (WHEP).
    Restart = "portholeRestart" (RestartParams) -> RestartResult;
    /// A request for the key to seal one password with.
    SealingKey = "portholeSealingKey" (GatewayParams) -> SealingKeyResult;
    /// A search for cameras in the gateway's networks.
    Discover = "portholeDiscover" (DiscoverParams) -> DiscoverResult;
    /// A question to one device for its cameras and streams.
    Probe = "portholeProbe" (ProbeParams) -> ProbeResult;
    /// A file of another program, whose cameras the gateway reads.
    ReadConfiguration = "portholeReadConfiguration"
        (ReadConfigurationParams) -> ReadConfigurationResult;
    /// A request for the cameras as the gateway keeps them.
    StoredCameras = "portholeStoredCameras" (GatewayParams) -> StoredCamerasResult;
    /// The request to add a camera that was probed.
    AddCamera = "portholeAddCamera" (AddCameraParams) -> ChangedResult;
    /// The request to change the name of a camera, how it is shown, or its address and password.
    ChangeCamera = "portholeChangeCamera" (ChangeCameraParams) -> ChangedResult;
    /// The request to remove a camera.
    RemoveCamera = "portholeRemoveCamera" (RemoveCameraParams) -> RemovedResult;
    /// The request to turn a camera or to zoom, which is repeated while it moves.
    Move = "portholeMove" (MoveParams) -> Empty;
    /// A request for the positions that a camera has stored.
    Presets = "portholePresets" (CameraParams) -> PresetsResult;
    /// The request to move to a stored position.
    GoToPreset = "portholeGoToPreset" (PresetParams) -> Empty;
    /// The request to store the present position.
    SavePreset = "portholeSavePreset" (SavePresetParams) -> Preset;
    /// The request to forget a stored position.
    RemovePreset = "portholeRemovePreset" (PresetParams) -> Empty;
    /// A question for the settings of a camera that spoil its picture in browsers.
    CheckSettings = "portholeCheckSettings" (CameraParams) -> CheckSettingsResult;
    /// The request to change these settings.
    ApplySettings = "portholeApplySettings" (ApplySettingsParams) -> ApplySettingsResult;
}

notifications! {
    /// One more ICE candidate of a peer. The server forwards it unchanged.
    Trickle = "trickle" (TrickleParams);
    /// All cameras that a client may see; sent after `register` and after each change.
    Cameras = "portholeCameras" (CamerasParams);
    /// STUN and TURN servers with new credentials, for an ICE restart late in a session.
    IceServers = "portholeIceServers" (IceServersParams);
    /// The picture that a viewer gets now, where the gateway chooses it.
    Shown = "portholeShown" (ShownParams);
    /// The end of a session.
    Close = "portholeClose" (SessionParams);
    /// A piece of the response to a request that takes its time.
    Progress = "portholeProgress" (ProgressParams);
    /// The end of such a request.
    Cancel = "portholeCancel" (CancelParams);
}

/// Parameters or a result without fields.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Empty {}

/// Number of the protocol between gateways and server that this version speaks. It grows with each
/// change in which the older side cannot take part; everything before it goes on between the two.
pub const PROTOCOL: u32 = 1;

/// Parameters of `register`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct RegisterParams {
    /// The access token, unless the HTTP request of the WebSocket carried one. A gateway's is
    /// `pgw2.SIGNATURE.ID@ORIGIN`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub authorization: Option<String>,
    /// The display name of the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub name: Option<String>,
    /// The version of the gateway's program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub version: Option<String>,
    /// The number of the protocol that the gateway speaks, see [`PROTOCOL`].
    #[serde(default, rename = "portholeProtocol", skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub protocol: Option<u32>,
    /// The capabilities of the device: `extend`, `subProtocols` (ONVIF WebRTC 26.06 §5.2.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub capabilities: Option<Vec<String>>,
}

/// Result of `register`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct RegisterResult {
    /// The server's name for this endpoint: the id of a gateway, or a name for this connection of a
    /// client.
    pub id: String,
    /// The number of the protocol that the server speaks, see [`PROTOCOL`]; for gateways only.
    #[serde(default, rename = "portholeProtocol", skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub protocol: Option<u32>,
}

/// Parameters of `connect`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct ConnectParams {
    /// The device to connect to.
    pub peer: GatewayId,
    /// The camera to watch; if absent, the device's first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub profile: Option<CameraId>,
    /// The access token, if it is not the one registered with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub authorization: Option<String>,
    /// False: the session is to carry no sound. A client that says nothing gets the sound that it
    /// may hear.
    #[serde(default, rename = "portholeAudio", skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub audio: Option<bool>,
}

/// Result of `connect`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct ConnectResult {
    /// The new session.
    pub session: SessionId,
    /// The STUN and TURN servers to use in the session.
    #[serde(default)]
    pub ice_servers: Vec<IceServer>,
    /// The seconds until the session ends, unless it is extended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub expiry_time_seconds: Option<u32>,
    /// The capabilities of the device in this session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub capabilities: Option<Vec<String>>,
}

/// Parameters of `connect` from server to device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct ConnectDeviceParams {
    /// The new session.
    pub session: SessionId,
    /// The camera to watch; if absent, the device's first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub profile: Option<CameraId>,
    /// The STUN and TURN servers to use in the session.
    #[serde(default)]
    pub ice_servers: Vec<IceServer>,
    /// The seconds until the session ends, unless it is extended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub expiry_time_seconds: Option<u32>,
    /// True: the client wants the sound of the camera, and may hear it.
    #[serde(default, rename = "portholeAudio", skip_serializing_if = "std::ops::Not::not")]
    #[ts(optional, as = "Option<bool>")]
    pub audio: bool,
    /// The limits of the access token or share link, [`RateCap::MAX`] at most. A gateway of an
    /// earlier version ignores them.
    #[serde(default, rename = "portholeCaps", skip_serializing_if = "Vec::is_empty")]
    #[ts(optional, as = "Option<Vec<RateCap>>")]
    pub caps: Vec<RateCap>,
}

/// A limit on what a gateway sends for an access token or share link, with all of its sessions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct RateCap {
    /// A name that stands for the token or link: all sessions with the same one share the limit.
    pub of: String,
    /// The limit in kbit/s.
    pub max_kbit_per_s: u32,
}

impl RateCap {
    /// The most limits of one session: its own, and one of the token from which it comes.
    pub const MAX: usize = 2;
}

/// Result of `connect` from server to device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct ConnectDeviceResult {
    /// The capabilities of the device in this session; if absent, the registered ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub capabilities: Option<Vec<String>>,
}

/// Parameters of `invite`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct InviteParams {
    /// The id of the session.
    pub session: SessionId,
    /// The SDP offer (RFC 9429 §5.2), with `a=ice-options:trickle`.
    pub offer: String,
    /// The sub-protocols of data channels to allow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub subprotocols: Option<Vec<String>>,
}

/// Result of `invite`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct InviteResult {
    /// The SDP answer (RFC 9429 §5.3).
    pub answer: String,
    /// The sub-protocols of data channels to allow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub subprotocols: Option<Vec<String>>,
}

/// Parameters of `trickle`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct TrickleParams {
    /// The id of the session.
    pub session: SessionId,
    /// The candidate; an empty one follows the last.
    pub candidate: IceCandidate,
}

/// Parameters of `extend`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct ExtendParams {
    /// The id of the session.
    pub session: SessionId,
    /// From client to server: the access token, if it is not the one registered with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub authorization: Option<String>,
    /// From server to device: the seconds until the session ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub expiry_time_seconds: Option<u32>,
}

/// Result of `extend`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct ExtendResult {
    /// The seconds until the session ends.
    pub expiry_time_seconds: u32,
}

/// Result of `portholeChallenge`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct ChallengeResult {
    /// The nonce, which is valid once, on this WebSocket.
    pub nonce: String,
}

/// Parameters of `portholeEnroll`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct EnrollParams {
    /// The single-use claim code, as it was typed.
    pub claim: String,
    /// The gateway's Ed25519 public key, in base64url without padding.
    pub public_key: String,
    /// The origin of the server that the gateway has dialled, such as `https://example.org`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub origin: Option<String>,
    /// The signature over the origin, the nonce and the claim code, in base64url without padding.
    pub signature: String,
    /// The display name of the gateway.
    pub name: String,
}

/// Result of `portholeEnroll`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct EnrollResult {
    /// The gateway's id, a hash of its key.
    pub id: GatewayId,
}

/// Parameters of `portholeReport`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, TS)]
pub struct ReportParams {
    /// All cameras of the gateway, or some of them with [`Self::more`].
    pub cameras: Vec<CameraReport>,
    /// True if further cameras follow with the next report: a message has a bounded length. They
    /// count together once the last part has arrived.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[ts(optional, as = "Option<bool>")]
    pub more: bool,
    /// All sessions of the gateway; the server removes any others. Absent if not reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub sessions: Option<Vec<SessionId>>,
    /// Those of `sessions` in which nothing has been sent yet, because no path was found so far.
    /// Absent if not reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub starting: Option<Vec<SessionId>>,
}

/// Result of `portholeReport`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct ReportResult {
    /// The cameras that the server refuses, such as one whose id belongs to another gateway.
    #[serde(default)]
    pub refused: Vec<RefusedCamera>,
}

/// A camera that the server refuses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct RefusedCamera {
    /// The id of the camera.
    pub id: CameraId,
    /// The reason, and what to do about it.
    pub reason: String,
}

/// Parameters of `portholeCameras`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct CamerasParams {
    /// All cameras that the client may see.
    pub cameras: Vec<Camera>,
}

/// Parameters of `portholeIceServers`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct IceServersParams {
    /// The id of the session.
    pub session: SessionId,
    /// The ICE servers that replace the previous ones.
    pub ice_servers: Vec<IceServer>,
}

/// Parameters of `portholeShown`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct ShownParams {
    /// The id of the session.
    pub session: SessionId,
    /// The picture that is shown.
    pub picture: ShownPicture,
    /// The reason for which it is less than the main stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub reason: Option<ShownReason>,
    /// The rate in kbit/s that the viewer's path was found to carry, or that the cap or the limit
    /// leaves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub kbit_per_s: Option<u32>,
}

/// The picture that the gateway has chosen for a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub enum ShownPicture {
    /// The main stream.
    Main,
    /// The sub stream.
    Sub,
    /// The key frames of the sub stream, seconds apart.
    KeyFrames,
    /// The last picture, until the path carries more.
    Still,
}

/// The reason for which a viewer gets less than the main stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub enum ShownReason {
    /// The viewer's path carries no more.
    Path,
    /// The cap of the gateway's uplink leaves no more.
    Cap,
    /// The limit of the access token or share link leaves no more.
    Limit,
}

/// A reference to a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct SessionParams {
    /// The id of the session.
    pub session: SessionId,
}

/// Parameters of `portholeOffer`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct OfferParams {
    /// The new session.
    pub session: SessionId,
    /// The camera to watch.
    pub profile: CameraId,
    /// The viewer's SDP offer.
    pub offer: String,
    /// The IP address from which the viewer's offer came, for a viewer that gathers no candidate
    /// with its public address. Absent if the server does not know it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub viewer_address: Option<IpAddr>,
    /// The STUN and TURN servers to use in the session.
    #[serde(default)]
    pub ice_servers: Vec<IceServer>,
    /// The seconds until the session ends, unless it is extended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub expiry_time_seconds: Option<u32>,
    /// True: the viewer may hear the camera, if its offer asks for sound.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[ts(optional, as = "Option<bool>")]
    pub audio: bool,
    /// The limits of the access token or share link, [`RateCap::MAX`] at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[ts(optional, as = "Option<Vec<RateCap>>")]
    pub caps: Vec<RateCap>,
}

/// Result of `portholeOffer`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct OfferResult {
    /// The SDP answer, with all candidates that were found in time.
    pub answer: String,
}

/// Parameters of `portholeRestart`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct RestartParams {
    /// The id of the session.
    pub session: SessionId,
    /// The viewer's new ICE user name fragment, password and candidates as
    /// `application/trickle-ice-sdpfrag` (RFC 8840 §9).
    pub fragment: String,
}

/// Result of `portholeRestart`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct RestartResult {
    /// The gateway's new ICE user name fragment, password and candidates, in the same form.
    pub fragment: String,
}
