//! Questions of the signaling server that belong to no session: finding cameras, asking one for its
//! streams, adding, changing and removing cameras.
//!
//! The core keeps the questions in flight within their bounds (`registry`), the driver answers
//! them. Each question is answered once, or cancelled.

mod registry;

use porthole_signaling_proto::control::{
    ApplySettingsParams, ApplySettingsResult, CameraParams, CheckSettingsResult, MoveParams,
    Preset, PresetParams, PresetsResult, SavePresetParams,
};
use porthole_signaling_proto::manage::{
    AddCameraParams, ChangeCameraParams, ChangedResult, DiscoverParams, DiscoverResult,
    FoundDevice, GatewayParams, ImportEntry, MAX_PIECE_CHARS, ProbeParams, ProbeProgress,
    ProbeResult, ReadConfigurationParams, ReadConfigurationResult, RemoveCameraParams, Sealed,
    SealingKeyResult, StoredCamerasResult,
};
use porthole_signaling_proto::method::{
    AddCamera, ApplySettings, ChangeCamera, CheckSettings, Discover, GoToPreset, Method, Move,
    Presets, Probe, ReadConfiguration, RemoveCamera, RemovePreset, SavePreset, SealingKey,
    StoredCameras,
};
use porthole_signaling_proto::rpc::{Fault, Value, code};
use porthole_signaling_proto::{CameraId, ROTATIONS, rpc};

use crate::onvif::Velocity;
use crate::onvif::control::Command;
use crate::onvif::settings::MAX_PLAN;

pub(crate) use registry::Registry;

/// Maximum length of a typed address in characters; an `rtsp://` URL has about 100.
const MAX_ADDRESS_CHARS: usize = 512;

/// Maximum length of the nonce and the encapsulated key of a sealed file, which have 22 and 43
/// characters.
const MAX_KEY_CHARS: usize = 64;

/// Maximum number of addresses in one search.
const MAX_ADDRESSES: usize = 16;

/// Maximum length of a name in characters, as the server shows it.
pub const MAX_NAME_CHARS: usize = 64;

/// Maximum length of the token of a preset in characters (ONVIF's `ReferenceToken` has 64).
const MAX_TOKEN_CHARS: usize = 128;

/// The number of a question, which is never used again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QuestionId(u64);

/// A question for the driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// The key to seal one password with.
    SealingKey,
    /// The cameras in the gateway's networks, or at the addresses that are named.
    Discover(DiscoverParams),
    /// The streams of one device.
    Probe(Box<ProbeParams>),
    /// A piece of a file whose cameras are read.
    ReadConfiguration(ReadConfigurationParams),
    /// The list of cameras as they are kept.
    StoredCameras,
    /// The request to add a provisional camera.
    AddCamera(AddCameraParams),
    /// The request to change a camera.
    ChangeCamera(ChangeCameraParams),
    /// The request to remove a camera.
    RemoveCamera(RemoveCameraParams),
    /// The request to move a camera, or about its presets.
    Control(CameraId, Command),
    /// The settings of a camera that spoil its picture.
    CheckSettings(CameraParams),
    /// The request to set what was shown of them.
    ApplySettings(ApplySettingsParams),
}

impl Question {
    /// Reads a question; `None` if the method is none of the questions.
    ///
    /// # Errors
    /// With the fault to answer with if the parameters cannot be used.
    pub(crate) fn read(method: &str, params: Value) -> Option<Result<Self, Fault>> {
        let question = match method {
            SealingKey::NAME => rpc::read::<GatewayParams>(params).map(|_| Self::SealingKey),
            Discover::NAME => rpc::read(params).map(Self::Discover),
            Probe::NAME => rpc::read(params).map(Box::new).map(Self::Probe),
            ReadConfiguration::NAME => rpc::read(params).map(Self::ReadConfiguration),
            StoredCameras::NAME => rpc::read::<GatewayParams>(params).map(|_| Self::StoredCameras),
            AddCamera::NAME => rpc::read(params).map(Self::AddCamera),
            ChangeCamera::NAME => rpc::read(params).map(Self::ChangeCamera),
            RemoveCamera::NAME => rpc::read(params).map(Self::RemoveCamera),
            Move::NAME => rpc::read(params).map(Self::of_move),
            Presets::NAME => rpc::read::<CameraParams>(params)
                .map(|params| Self::Control(params.camera, Command::Presets)),
            GoToPreset::NAME => rpc::read::<PresetParams>(params).map(|params| {
                let command = Command::GoTo { by: name_of(params.by), preset: params.preset };
                Self::Control(params.camera, command)
            }),
            SavePreset::NAME => rpc::read::<SavePresetParams>(params)
                .map(|params| Self::Control(params.camera, Command::Save { name: params.name })),
            RemovePreset::NAME => rpc::read::<PresetParams>(params).map(|params| {
                Self::Control(params.camera, Command::Remove { preset: params.preset })
            }),
            CheckSettings::NAME => rpc::read(params).map(Self::CheckSettings),
            ApplySettings::NAME => rpc::read(params).map(Self::ApplySettings),
            _ => return None,
        };
        Some(question.and_then(Self::checked))
    }

    fn of_move(params: MoveParams) -> Self {
        let MoveParams { camera, pan, tilt, zoom, by, .. } = params;
        let velocity = Velocity::new(pan, tilt, zoom);
        Self::Control(camera, Command::Move { by: name_of(by), velocity })
    }

    /// Checks the texts of a question, and cuts who asks to a length that can be shown.
    fn checked(mut self) -> Result<Self, Fault> {
        match &mut self {
            Self::SealingKey | Self::StoredCameras => {}
            Self::Discover(params) => {
                if params.addresses.len() > MAX_ADDRESSES {
                    let text = format!("a search takes at most {MAX_ADDRESSES} addresses");
                    return Err(Fault::new(code::BAD_REQUEST, text));
                }
                params.addresses.iter().try_for_each(|address| check_address(address))?;
                shorten(&mut params.by);
            }
            Self::Probe(params) => {
                check_address(&params.address)?;
                shorten(&mut params.by);
            }
            Self::ReadConfiguration(params) => {
                check_piece(&params.sealed)?;
                shorten(&mut params.by);
            }
            Self::AddCamera(params) => {
                params.name = checked_name(&params.name)?;
                shorten(&mut params.by);
            }
            Self::ChangeCamera(params) => {
                params.name = params.name.as_deref().map(checked_name).transpose()?;
                if params.rotation.is_some_and(|rotation| !ROTATIONS.contains(&rotation)) {
                    let text = "a picture is turned by 0, 90, 180 or 270 degrees";
                    return Err(Fault::new(code::BAD_REQUEST, text));
                }
                shorten(&mut params.by);
            }
            Self::RemoveCamera(params) => shorten(&mut params.by),
            Self::Control(_, command) => match command {
                Command::Move { .. } | Command::Presets => {}
                Command::Save { name } => *name = checked_preset_name(name)?,
                Command::GoTo { preset, .. } | Command::Remove { preset } => check_token(preset)?,
            },
            Self::CheckSettings(params) => shorten(&mut params.by),
            Self::ApplySettings(params) => {
                if params.plan.len() > MAX_PLAN || !params.plan.is_ascii() {
                    let text = "this is no plan of this gateway: look at the settings again";
                    return Err(Fault::new(code::BAD_REQUEST, text));
                }
                shorten(&mut params.by);
            }
        }
        Ok(self)
    }
}

fn check_address(address: &str) -> Result<(), Fault> {
    let is_plain = !address.chars().any(char::is_control);
    if is_plain && (1..=MAX_ADDRESS_CHARS).contains(&address.chars().count()) {
        return Ok(());
    }
    let text = format!("an address has 1 to {MAX_ADDRESS_CHARS} characters, on one line");
    Err(Fault::new(code::BAD_REQUEST, text))
}

fn check_piece(Sealed { nonce, enc, ciphertext }: &Sealed) -> Result<(), Fault> {
    if [nonce, enc].iter().all(|text| text.len() <= MAX_KEY_CHARS)
        && ciphertext.len() <= MAX_PIECE_CHARS
    {
        return Ok(());
    }
    let text = format!("a piece of a file has at most {MAX_PIECE_CHARS} characters");
    Err(Fault::new(code::BAD_REQUEST, text))
}

fn checked_name(name: &str) -> Result<String, Fault> {
    let name = name.trim();
    let is_plain = !name.chars().any(char::is_control);
    if is_plain && (1..=MAX_NAME_CHARS).contains(&name.chars().count()) {
        return Ok(name.to_owned());
    }
    let text = format!("give the camera a name of 1 to {MAX_NAME_CHARS} characters, on one line");
    Err(Fault::new(code::BAD_REQUEST, text))
}

fn checked_preset_name(name: &str) -> Result<String, Fault> {
    checked_name(name).map_err(|_| {
        let text =
            format!("give the place a name of 1 to {MAX_NAME_CHARS} characters, on one line");
        Fault::new(code::BAD_REQUEST, text)
    })
}

fn check_token(token: &str) -> Result<(), Fault> {
    let is_plain = !token.chars().any(char::is_control);
    if is_plain && (1..=MAX_TOKEN_CHARS).contains(&token.chars().count()) {
        return Ok(());
    }
    let text = "this is no place that the camera has stored: look at the list again";
    Err(Fault::new(code::BAD_REQUEST, text))
}

/// Returns the name of who asks, for others to see.
fn name_of(mut by: Option<String>) -> String {
    shorten(&mut by);
    by.filter(|name| !name.is_empty()).unwrap_or_else(|| "somebody else".to_owned())
}

fn shorten(by: &mut Option<String>) {
    if let Some(name) = by {
        *name = name.chars().filter(|c| !c.is_control()).take(MAX_NAME_CHARS).collect();
    }
}

/// A piece of the answer to a question.
#[derive(Debug, Clone, PartialEq)]
pub enum Progress {
    /// A device that a search has found.
    Found(FoundDevice),
    /// A fact that a probe has found out.
    Probed(ProbeProgress),
    /// A camera of a file.
    Imported(ImportEntry),
}

/// The answer to a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The key to seal one password with.
    SealingKey(SealingKeyResult),
    /// The end of a search.
    Discovered(DiscoverResult),
    /// The end of a probe.
    Probed(ProbeResult),
    /// A piece of a file has arrived, or the file was read.
    Read(ReadConfigurationResult),
    /// The cameras as they are kept.
    StoredCameras(StoredCamerasResult),
    /// A change that is on the disk.
    Added(ChangedResult),
    /// A change that is on the disk.
    Changed(ChangedResult),
    /// A change that is on the disk.
    Removed(ChangedResult),
    /// A movement, or a preset that is gone.
    Controlled,
    /// The presets of a camera.
    Presets(PresetsResult),
    /// A preset that the camera has stored.
    SavedPreset(Preset),
    /// The settings of a camera that spoil its picture.
    CheckedSettings(CheckSettingsResult),
    /// The settings that were set.
    AppliedSettings(ApplySettingsResult),
}

/// An input of the core about its questions, from the driver.
#[derive(Debug)]
pub enum QuestionEvent {
    /// A piece of the answer.
    Progress(QuestionId, Progress),
    /// The answer, or the fault to answer with.
    Answered(QuestionId, Result<Answer, Fault>),
}

/// An output of the core about its questions and provisional cameras, for whoever answers them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QuestionOutput {
    /// Answer this question.
    Ask(QuestionId, Question),
    /// Stop answering: nobody waits for it any more. A change that has begun is finished.
    Cancel(QuestionId),
    /// A provisional camera is gone; forget its sources and its password.
    Forgotten(CameraId),
    /// A camera has failed for a while: look if it has another address.
    Lost(CameraId),
}
