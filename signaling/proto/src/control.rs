//! Requests of a client to one camera of a gateway: turning it, and putting its settings right.
//!
//! | method | result | needs | for |
//! |---|---|---|---|
//! | `portholeMove` | | `control` | turning and zooming, as long as it is repeated |
//! | `portholePresets` | [`PresetsResult`] | `control` | the positions that the camera has stored |
//! | `portholeGoToPreset` | | `control` | moving to one of them |
//! | `portholeSavePreset` | [`Preset`] | `control` | storing the present position |
//! | `portholeRemovePreset` | | `control` | |
//! | `portholeCheckSettings` | [`CheckSettingsResult`] | `manage` | what would be changed for a better picture |
//! | `portholeApplySettings` | [`ApplySettingsResult`] | `manage` | changing exactly that |
//!
//! They travel as those of [`crate::manage`] do.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::manage::ProbeFinding;
use crate::{CameraId, GatewayId, StreamRole};

/// Time in milliseconds after the last `portholeMove` at which the gateway stops the camera.
pub const MOVE_LEASE_MS: u64 = 1000;

/// Time in milliseconds after the last `portholeMove` for which others cannot move the camera.
pub const HOLD_MS: u64 = 2000;

/// The fastest speed of `portholeMove`, in either direction.
pub const FULL_SPEED: i32 = 100;

/// Parameters of a request that names only its camera: `portholePresets` and
/// `portholeCheckSettings`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct CameraParams {
    /// The gateway of the camera.
    pub peer: GatewayId,
    /// The camera itself, not one of its streams.
    pub camera: CameraId,
    /// From server to gateway: the name of the user or token that asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub by: Option<String>,
}

/// Parameters of `portholeMove`: speeds from -100 to 100 percent of the fastest one. What is beyond
/// is taken as the fastest. The camera stops if all three are 0, and if no further `portholeMove`
/// arrives within [`MOVE_LEASE_MS`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct MoveParams {
    /// The gateway of the camera.
    pub peer: GatewayId,
    /// The camera to move.
    pub camera: CameraId,
    /// The speed to the right; to the left if it is negative.
    #[serde(default)]
    pub pan: i32,
    /// The speed upwards; downwards if it is negative.
    #[serde(default)]
    pub tilt: i32,
    /// The speed at which the picture grows; shrinks if it is negative.
    #[serde(default)]
    pub zoom: i32,
    /// From server to gateway: the name of the user or token that asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub by: Option<String>,
}

/// Parameters of `portholeGoToPreset` and `portholeRemovePreset`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct PresetParams {
    /// The gateway of the camera.
    pub peer: GatewayId,
    /// The camera of the preset.
    pub camera: CameraId,
    /// The token of the preset, as the camera names it.
    pub preset: String,
    /// From server to gateway: the name of the user or token that asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub by: Option<String>,
}

/// Parameters of `portholeSavePreset`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct SavePresetParams {
    /// The gateway of the camera.
    pub peer: GatewayId,
    /// The camera whose position is stored.
    pub camera: CameraId,
    /// The name of the new preset.
    pub name: String,
    /// From server to gateway: the name of the user or token that asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub by: Option<String>,
}

/// A position that a camera has stored (ONVIF PTZ Service Specification, 5.4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Preset {
    /// The token, by which the camera knows it.
    pub token: String,
    /// The name; the token if it has none.
    pub name: String,
}

/// Result of `portholePresets`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct PresetsResult {
    /// The presets in the camera's order.
    pub presets: Vec<Preset>,
}

/// A setting of a camera that spoils its picture in browsers, with the value that does not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct SettingChange {
    /// The name of the setting, which does not change. `docs/ref/onvif.md` lists them.
    pub key: String,
    /// The stream that it belongs to; absent for a setting of the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub stream: Option<StreamRole>,
    /// The present value with its unit.
    pub before: String,
    /// The value to set, with its unit.
    pub after: String,
}

/// Result of `portholeCheckSettings`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct CheckSettingsResult {
    /// The name of exactly these changes from exactly the present settings.
    pub plan: String,
    /// The changes; empty if nothing is to be put right, or nothing can be.
    pub changes: Vec<SettingChange>,
    /// The facts that spoil the picture and cannot be changed from here.
    #[serde(default)]
    pub left: Vec<ProbeFinding>,
}

/// Parameters of `portholeApplySettings`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct ApplySettingsParams {
    /// The gateway of the camera.
    pub peer: GatewayId,
    /// The camera to change.
    pub camera: CameraId,
    /// The [`CheckSettingsResult::plan`] that the person has seen. The gateway refuses it with 409
    /// if the camera's settings are others now.
    pub plan: String,
    /// From server to gateway: the name of the user or token that asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub by: Option<String>,
}

/// Result of `portholeApplySettings`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct ApplySettingsResult {
    /// The changes, each with the value that the camera has now as `after`.
    pub changes: Vec<SettingChange>,
}
