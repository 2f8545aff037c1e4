//! Requests of a client to a gateway that belong to no session: finding cameras, asking one for its
//! streams, adding, changing and removing cameras.
//!
//! | method | result | progress | for |
//! |---|---|---|---|
//! | `portholeSealingKey` | [`SealingKeyResult`] | | the key to seal one password with |
//! | `portholeDiscover` | [`DiscoverResult`] | [`FoundDevice`] | cameras in the gateway's networks |
//! | `portholeProbe` | [`ProbeResult`] | [`ProbeProgress`] | the streams of one device |
//! | `portholeReadConfiguration` | [`ReadConfigurationResult`] | [`ImportEntry`] | the cameras in a file of another program |
//! | `portholeStoredCameras` | [`StoredCamerasResult`] | | the list to change |
//! | `portholeAddCamera` | [`ChangedResult`] | | a camera that was probed |
//! | `portholeChangeCamera` | [`ChangedResult`] | | name, how it is shown, or address and password |
//! | `portholeRemoveCamera` | [`RemovedResult`] | | every right to the camera goes with it |
//!
//! A client sends each to the server with the gateway as `peer`. The server checks the right, adds
//! `by`, and sends it to the gateway under an id of its own. [`ProgressParams`] come back in any
//! number before the response. [`CancelParams`] ends the request; so does the end of the client's
//! WebSocket.
//!
//! A password goes from the browser to the gateway only as [`Sealed`]. A camera that was probed
//! with it is kept by the gateway as a provisional camera, which can be watched, added under a
//! name, or put in the place of another one, until it is forgotten.

mod removed;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use ts_rs::TS;
use zeroize::Zeroize as _;

use crate::rpc::RequestId;
use crate::{CameraId, GatewayId, StreamRole};

pub use removed::RemovedResult;

/// Longest time in seconds from one piece of progress of a request to the next, or to its response.
pub const MAX_SILENCE_S: u64 = 30;

/// Longest time in seconds from a request to its response.
pub const MAX_DURATION_S: u64 = 600;

/// Time in seconds for which a gateway keeps a provisional camera that nobody adds.
pub const PROVISIONAL_S: u64 = 600;

/// Prefix of the ids that gateways give to provisional cameras.
pub const PROVISIONAL_PREFIX: &str = "probe.";

/// Maximum number of pieces of a sealed file: as many as a file of 256 KiB has.
pub const MAX_PIECES: u32 = 32;

/// Maximum length of a piece of a sealed file in characters of base64url, so that it fits into one
/// request.
pub const MAX_PIECE_CHARS: usize = 12 * 1024;

/// Returns the message that a gateway signs with its Ed25519 key when it hands out a sealing key.
/// It is bound to the nonce that the password must be sealed for.
pub fn sealing_key_message(gateway: &GatewayId, nonce: &str, sealing_key: &str) -> Vec<u8> {
    format!("porthole-sealing-key-v1\n{gateway}\n{nonce}\n{sealing_key}").into_bytes()
}

/// Returns the `info` of HPKE (RFC 9180 §5.1) for a password: what it may be used for.
///
/// `camera` is the camera whose address or password is changed, if one is. `address` is that of
/// [`ProbeParams::address`], letter by letter. A gateway opens a password for these values only, so
/// a server that changes one of them makes it useless.
pub fn seal_info(
    gateway: &GatewayId,
    nonce: &str,
    camera: Option<&CameraId>,
    address: &str,
    allows_text: bool,
) -> Vec<u8> {
    let camera = camera.map_or("-", CameraId::as_str);
    let action = if allows_text { "probe-text" } else { "probe" };
    format!("porthole-seal-v1\n{gateway}\n{nonce}\n{action}\n{camera}\n{address}").into_bytes()
}

/// Returns the `info` of HPKE for a file, which can be used for nothing else. The password of a
/// camera has another one ([`seal_info`]).
pub fn file_info(gateway: &GatewayId, nonce: &str) -> Vec<u8> {
    format!("porthole-seal-v1\n{gateway}\n{nonce}\nconfiguration").into_bytes()
}

/// Parameters of a request that names only its gateway: `portholeSealingKey` and
/// `portholeStoredCameras`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct GatewayParams {
    /// The gateway that is asked.
    pub peer: GatewayId,
    /// From server to gateway: the name of the user or token that asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub by: Option<String>,
}

/// Result of `portholeSealingKey`. All texts are in base64url without padding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct SealingKeyResult {
    /// The gateway's Ed25519 public key, whose hash is its id.
    pub public_key: String,
    /// The X25519 public key to seal with (RFC 9180, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256,
    /// ChaCha20Poly1305).
    pub sealing_key: String,
    /// The nonce, which is valid for one password and ten minutes.
    pub nonce: String,
    /// The Ed25519 signature over [`sealing_key_message`].
    pub signature: String,
}

/// A user and a password, sealed with HPKE in base mode to a gateway's key. The plaintext is a
/// [`Login`] as JSON, the `info` is [`seal_info`], the additional data are empty. The texts are in
/// base64url without padding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Sealed {
    /// The nonce that the gateway has handed out.
    pub nonce: String,
    /// The encapsulated key: 32 bytes.
    pub enc: String,
    /// The ciphertext with its tag.
    pub ciphertext: String,
}

/// A user and a password of a camera: the plaintext of [`Sealed`]. The password is overwritten when
/// it is dropped.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Login {
    /// The name of the user, at most 128 characters.
    pub user: String,
    /// The password, at most 256 characters.
    pub password: String,
}

impl Login {
    /// Reads the plaintext of [`Sealed`]; `None` if it is something else.
    #[must_use]
    pub fn from_json(plaintext: &[u8]) -> Option<Self> {
        // The error could quote a part of the password.
        serde_json::from_slice(plaintext).ok()
    }

    /// Writes the plaintext of [`Sealed`].
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        // Fails for maps whose keys are no texts only, and there is none.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

impl Drop for Login {
    fn drop(&mut self) {
        self.password.zeroize();
    }
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").finish_non_exhaustive()
    }
}

/// Parameters of `portholeDiscover`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct DiscoverParams {
    /// The gateway that is asked.
    pub peer: GatewayId,
    /// Machines to ask one by one: addresses, names or ranges such as `192.168.1.0/24`. Without
    /// any, the gateway asks all devices of its networks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[ts(optional, as = "Option<Vec<String>>")]
    pub addresses: Vec<String>,
    /// From server to gateway: the name of the user or token that asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub by: Option<String>,
}

/// Result of `portholeDiscover`, after the last progress.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct DiscoverResult {
    /// The networks that were searched, such as `192.168.1.0/24`.
    #[serde(default)]
    pub networks: Vec<String>,
}

/// Progress of `portholeDiscover`: a device that has answered. One of the same number replaces the
/// one before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct FoundDevice {
    /// The number of the device in this search.
    pub number: u32,
    /// The address to probe it at: a host, with the port of its service if that is known.
    pub address: String,
    /// The name of the vendor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub vendor: Option<String>,
    /// The model, as the device calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub model: Option<String>,
    /// The name of the device, as it calls itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub name: Option<String>,
    /// The MAC address, as `aa:bb:cc:dd:ee:ff`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub mac: Option<String>,
    /// The cameras of the gateway that are at this device already.
    #[serde(default)]
    pub cameras: Vec<CameraId>,
}

/// Parameters of `portholeProbe`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct ProbeParams {
    /// The gateway that is asked.
    pub peer: GatewayId,
    /// The address of the device: a host, a host and port, or an `rtsp://` URL without user and
    /// password.
    pub address: String,
    /// User and password, if the device needs them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub login: Option<Sealed>,
    /// The person has agreed that the password may be sent to this device as readable text.
    #[serde(default)]
    pub allows_text: bool,
    /// The camera whose address or password is changed, if one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub camera: Option<CameraId>,
    /// The camera of a file whose streams and login are used. The address must be that of the
    /// file, and the password goes to the device in no readable form unless `login` is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub import: Option<ImportChoice>,
    /// The vendor whose RTSP paths are tried on a device without ONVIF; if absent, none are tried.
    /// `any` stands for the most usual ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub vendor: Option<String>,
    /// From server to gateway: the name of the user or token that asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub by: Option<String>,
}

/// A camera of a file that a gateway has read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct ImportChoice {
    /// The id of the file: [`ReadConfigurationResult::import`].
    pub import: String,
    /// The number of the camera: [`ImportEntry::number`].
    pub entry: u32,
}

/// Parameters of `portholeReadConfiguration`: a piece of a sealed file. The plaintext is the file
/// itself, the `info` is [`file_info`]. The pieces are sent in order, each after the response to
/// the one before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct ReadConfigurationParams {
    /// The gateway that is asked.
    pub peer: GatewayId,
    /// The sealed file, with this piece of its ciphertext: at most [`MAX_PIECE_CHARS`] characters.
    pub sealed: Sealed,
    /// The number of the piece, from zero.
    pub piece: u32,
    /// The number of pieces in all, at most [`MAX_PIECES`].
    pub pieces: u32,
    /// From server to gateway: the name of the user or token that asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub by: Option<String>,
}

/// Result of `portholeReadConfiguration`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct ReadConfigurationResult {
    /// The id of the file, with which its cameras are probed; absent before the last piece.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub import: Option<String>,
    /// The name of the program that the file is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub program: Option<String>,
    /// The number of cameras that were left out because there are too many.
    #[serde(default)]
    pub left_out: u32,
}

/// Progress of `portholeReadConfiguration`: a camera of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct ImportEntry {
    /// The number of the camera in the file, from zero.
    pub number: u32,
    /// The name in the file.
    pub name: String,
    /// The address to probe it at, without passwords; absent if it cannot be taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub address: Option<String>,
    /// The address of the sub stream, without passwords.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub sub: Option<String>,
    /// The user and password in the file.
    pub login: ImportLogin,
    /// True if it is to be added unless the person decides otherwise.
    pub wanted: bool,
    /// Notes about what cannot be taken over, and why.
    #[serde(default)]
    pub notes: Vec<ImportNote>,
}

/// The user and password of a camera in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "lowercase")]
pub enum ImportLogin {
    /// The file has none.
    None,
    /// The file has both; the gateway keeps them.
    Known,
    /// The file names a variable: the person must type them.
    Missing,
}

/// A note about a camera of a file. `docs/ref/import.md` lists the keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct ImportNote {
    /// The name of the note, which does not change.
    pub key: String,
    /// True if the camera cannot be taken because of it.
    pub failure: bool,
    /// One sentence about it.
    pub text: String,
    /// The values in the sentence, by name.
    #[serde(default)]
    pub values: BTreeMap<String, String>,
}

/// Progress of `portholeProbe`, in the order in which it is found out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub enum ProbeProgress {
    /// The properties of the device.
    Device(ProbedDevice),
    /// A fact to tell.
    Finding(ProbeFinding),
    /// A camera of the device. One of the same id replaces the one before: first as it is set, then
    /// as it was measured.
    Camera(ProbedCamera),
}

/// The properties of a device, as it tells them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct ProbedDevice {
    /// The name of the vendor; empty if the device does not say.
    pub vendor: String,
    /// The model; empty if the device does not say.
    pub model: String,
    /// The version of the firmware; empty if the device does not say.
    pub firmware: String,
}

/// A fact that a probe has found out. `docs/ref/onvif.md` lists the keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct ProbeFinding {
    /// The name of the fact, which does not change.
    pub key: String,
    /// True if there is no picture because of it.
    pub failure: bool,
    /// One sentence that says what to do.
    pub text: String,
    /// The values in the sentence, by name.
    #[serde(default)]
    pub values: BTreeMap<String, String>,
}

/// A camera that was probed and can be watched and added.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct ProbedCamera {
    /// The id of the provisional camera: the `profile` of `connect`, and the one to add.
    pub id: CameraId,
    /// The number of the camera in the device, from one.
    pub number: u32,
    /// A name to begin with.
    pub name: String,
    /// The streams, the main stream first.
    pub streams: Vec<ProbedStream>,
}

/// A stream of a camera that was probed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct ProbedStream {
    /// The `profile` of `connect`.
    pub id: CameraId,
    /// The role of the stream.
    pub role: StreamRole,
    /// The codec, such as `H264`.
    pub codec: String,
    /// The width of the picture in pixels; 0 until known.
    pub width: u32,
    /// The height of the picture in pixels; 0 until known.
    pub height: u32,
    /// The frames per second, once known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub frames_per_second: Option<f64>,
    /// The seconds from one key frame to the next, once measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub key_frame_distance_s: Option<f64>,
    /// True once a picture has arrived.
    pub has_picture: bool,
}

/// Result of `portholeProbe`, after the last progress.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct ProbeResult {
    /// The number of times that the device has refused the password. Some lock the account after
    /// five.
    pub refused: u32,
}

/// Result of `portholeStoredCameras`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct StoredCamerasResult {
    /// The number of the last change, for the next one.
    pub revision: u32,
    /// The cameras, sorted by name.
    pub cameras: Vec<StoredCamera>,
}

/// The place where a camera is configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "lowercase")]
pub enum CameraOrigin {
    /// The gateway's configuration file or command line, where it is changed.
    Configured,
    /// The gateway's own file, by this interface.
    Stored,
    /// The gateway's own file, while one of the configuration has the same id and is used.
    Hidden,
}

/// A camera as its gateway keeps it, without the password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct StoredCamera {
    /// The id of the camera.
    pub id: CameraId,
    /// The display name.
    pub name: String,
    /// The place where it is configured.
    pub origin: CameraOrigin,
    /// The address of the main stream, without user and password; absent if it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub address: Option<String>,
    /// True if a user and a password are kept for it.
    #[serde(default)]
    pub has_password: bool,
    /// The name of who changed it last, for stored cameras.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub changed_by: Option<String>,
    /// The time of the last change in seconds since 1970, for stored cameras.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional, type = "number")]
    pub changed_s: Option<u64>,
    /// The degrees by which its picture is turned clockwise: 0, 90, 180 or 270.
    #[serde(default)]
    pub rotation: u16,
    /// True if its picture is mirrored, left to right, before it is turned.
    #[serde(default)]
    pub mirrored: bool,
    /// True if the gateway connects to it only while somebody watches.
    #[serde(default)]
    pub on_demand: bool,
}

/// Parameters of `portholeAddCamera`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct AddCameraParams {
    /// The gateway that is asked.
    pub peer: GatewayId,
    /// The revision that the person has seen. The gateway refuses the change with 409 if there is a
    /// later one.
    pub revision: u32,
    /// The provisional camera to add.
    pub provisional: CameraId,
    /// The display name. The id of the camera is made of it.
    pub name: String,
    /// From server to gateway: the name of the user or token that asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub by: Option<String>,
}

/// Parameters of `portholeChangeCamera`. What is absent stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct ChangeCameraParams {
    /// The gateway that is asked.
    pub peer: GatewayId,
    /// The revision that the person has seen.
    pub revision: u32,
    /// The camera to change.
    pub camera: CameraId,
    /// The new display name. The id stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub name: Option<String>,
    /// The provisional camera whose addresses and password it gets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub provisional: Option<CameraId>,
    /// The degrees by which its picture is turned clockwise: 0, 90, 180 or 270.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub rotation: Option<u16>,
    /// True if its picture is mirrored, left to right, before it is turned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub mirrored: Option<bool>,
    /// True if the gateway connects to it only while somebody watches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub on_demand: Option<bool>,
    /// From server to gateway: the name of the user or token that asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub by: Option<String>,
}

/// Parameters of `portholeRemoveCamera`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct RemoveCameraParams {
    /// The gateway that is asked.
    pub peer: GatewayId,
    /// The revision that the person has seen.
    pub revision: u32,
    /// The camera to remove.
    pub camera: CameraId,
    /// From server to gateway: the name of the user or token that asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub by: Option<String>,
}

/// Result of a change, once it is on the gateway's disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct ChangedResult {
    /// The id of the camera.
    pub camera: CameraId,
    /// The number of this change, for the next one.
    pub revision: u32,
}

/// Parameters of `portholeProgress`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct ProgressParams {
    /// The id of the request that it belongs to.
    pub request: RequestId,
    /// The progress, whose type depends on the method.
    #[ts(type = "unknown")]
    pub value: Value,
}

impl ProgressParams {
    /// Creates a piece of progress of a request.
    #[must_use]
    pub fn new(request: RequestId, value: &impl Serialize) -> Self {
        Self { request, value: crate::rpc::write(value) }
    }
}

/// Parameters of `portholeCancel`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct CancelParams {
    /// The id of the request that nobody waits for any more. It gets no response.
    pub request: RequestId,
}
