//! The PTZ service: what a camera can do, and the requests that move it (ONVIF PTZ Service
//! Specification).

use super::answers::MAX_TOKEN;
use super::calls::PTZ;
use super::scopes::shown;
use super::xml::{Element, escape};

/// Namespace of the types in requests.
const SCHEMA: &str = "http://www.onvif.org/ver10/schema";

/// Time after which a camera ends a movement by itself, unless it is told again. Some take whole
/// seconds only.
const MOVE_TIMEOUT: &str = "PT2S";

/// Maximum number of presets that are read; cameras have up to 300, most of them never set.
pub const MAX_PRESETS: usize = 128;

/// Maximum length of the name of a preset in characters.
pub const MAX_PRESET_NAME: usize = 64;

/// Largest end of a range that is believed.
const MAX_SPEED: f64 = 1000.0;

/// A speed in percent of the fastest one. Right, up and closer are positive.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Velocity {
    /// Speed to the right, −100 to 100.
    pub pan: i32,
    /// Speed upwards, −100 to 100.
    pub tilt: i32,
    /// Speed of the zoom, −100 to 100.
    pub zoom: i32,
}

impl Velocity {
    /// Creates a speed; larger numbers become the fastest one.
    #[must_use]
    pub fn new(pan: i32, tilt: i32, zoom: i32) -> Self {
        let [pan, tilt, zoom] = [pan, tilt, zoom].map(|percent| percent.clamp(-100, 100));
        Self { pan, tilt, zoom }
    }

    /// Returns true if nothing moves.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self == Self::default()
    }
}

/// A range of speeds that contains 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Range {
    min: f64,
    max: f64,
}

impl Default for Range {
    fn default() -> Self {
        Self { min: -1.0, max: 1.0 }
    }
}

impl Range {
    /// Reads a range; one that cannot be used is taken for the usual one.
    fn read(element: Option<&Element>) -> Self {
        let end = |name: &str| element?.text_of(name)?.parse::<f64>().ok();
        match (end("Min"), end("Max")) {
            (Some(min), Some(max))
                if (-MAX_SPEED..0.0).contains(&min) && max > 0.0 && max <= MAX_SPEED =>
            {
                Self { min, max }
            }
            _ => Self::default(),
        }
    }

    /// Writes the speed of a percentage.
    fn speed(self, percent: i32) -> String {
        let part = f64::from(percent.clamp(-100, 100)) / 100.0;
        match percent {
            0 => "0".to_owned(),
            1.. => format!("{:.4}", part * self.max),
            _ => format!("{:.4}", -part * self.min),
        }
    }
}

/// The configuration of PTZ in a media profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    /// Token of the media profile.
    pub(super) profile: String,
    /// Token of its video source.
    pub(super) source: String,
    pub(super) configuration: String,
    pub(super) node: String,
    pan_tilt_space: Option<String>,
    zoom_space: Option<String>,
}

impl Setting {
    /// Reads the configurations in the profiles of either media service.
    pub(super) fn read_all(root: &Element) -> Vec<Self> {
        root.all("Profiles").into_iter().filter_map(Self::read).collect()
    }

    fn read(profile: &Element) -> Option<Self> {
        let setting = profile.find("PTZConfiguration").or_else(|| profile.find("PTZ"))?;
        let text = |name: &str| setting.text_of(name).map(ToOwned::to_owned);
        Some(Self {
            profile: token(profile.attribute("token"))?,
            source: profile.text_of("SourceToken").unwrap_or_default().to_owned(),
            configuration: token(setting.attribute("token"))?,
            node: token(setting.text_of("NodeToken")).unwrap_or_default(),
            pan_tilt_space: text("DefaultContinuousPanTiltVelocitySpace"),
            zoom_space: text("DefaultContinuousZoomVelocitySpace"),
        })
    }
}

/// Returns a token that may be sent back.
fn token(text: Option<&str>) -> Option<String> {
    let is_token = |text: &&str| {
        let len = text.chars().count();
        (1..=MAX_TOKEN).contains(&len) && !text.chars().any(char::is_control)
    };
    text.filter(is_token).map(ToOwned::to_owned)
}

/// The movements that a camera can make.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Abilities {
    /// Ranges of pan and tilt.
    pub(super) pan_tilt: Option<(Range, Range)>,
    pub(super) zoom: Option<Range>,
    pub(super) presets: bool,
}

impl Abilities {
    /// Reads the answer to `GetNode` (ONVIF PTZ §5.1.2) or `GetConfigurationOptions` (§5.2.3).
    pub(super) fn read(root: &Element, setting: &Setting) -> Self {
        let space = |name: &str, usual: &Option<String>| {
            let spaces = root.all(name);
            let is_usual = |space: &&&Element| space.text_of("URI") == usual.as_deref();
            spaces.iter().find(is_usual).or(spaces.first()).copied()
        };
        let pan_tilt = space("ContinuousPanTiltVelocitySpace", &setting.pan_tilt_space);
        let zoom = space("ContinuousZoomVelocitySpace", &setting.zoom_space);
        let range = |space: &Element, name: &str| Range::read(space.find(name));
        Self {
            pan_tilt: pan_tilt.map(|space| (range(space, "XRange"), range(space, "YRange"))),
            zoom: zoom.map(|space| range(space, "XRange")),
            presets: root.number("MaximumNumberOfPresets") != Some(0),
        }
    }

    /// Returns what the configuration promises, for a camera that answers to nothing more.
    pub(super) fn of_setting(setting: &Setting) -> Self {
        Self {
            pan_tilt: setting.pan_tilt_space.as_ref().map(|_| Default::default()),
            zoom: setting.zoom_space.as_ref().map(|_| Range::default()),
            presets: true,
        }
    }

    /// Returns true if the camera can be moved at all.
    pub(super) fn is_movable(&self) -> bool {
        self.pan_tilt.is_some() || self.zoom.is_some()
    }

    /// Returns the part of a speed that the camera can follow.
    pub(super) fn limit(&self, velocity: Velocity) -> Velocity {
        let pan_tilt = if self.pan_tilt.is_some() { 1 } else { 0 };
        let zoom = if self.zoom.is_some() { velocity.zoom } else { 0 };
        Velocity::new(velocity.pan * pan_tilt, velocity.tilt * pan_tilt, zoom)
    }

    /// Writes a speed. A part that is zero is left out unless it is to be ended: some cameras
    /// refuse what they cannot move.
    fn vector(&self, velocity: Velocity, before: Velocity) -> String {
        let mut vector = String::new();
        let has_pan_tilt = |it: Velocity| it.pan != 0 || it.tilt != 0;
        if let Some((pan, tilt)) = self.pan_tilt
            && (has_pan_tilt(velocity) || has_pan_tilt(before))
        {
            let (x, y) = (pan.speed(velocity.pan), tilt.speed(velocity.tilt));
            vector = format!("<t:PanTilt x=\"{x}\" y=\"{y}\"/>");
        }
        if let Some(zoom) = self.zoom
            && (velocity.zoom != 0 || before.zoom != 0)
        {
            vector += &format!("<t:Zoom x=\"{}\"/>", zoom.speed(velocity.zoom));
        }
        vector
    }
}

/// A place that a camera remembers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preset {
    /// The camera's own token.
    pub token: String,
    /// The name that people see.
    pub name: String,
}

impl Preset {
    /// Reads the answer to `GetPresets` (ONVIF PTZ §5.4.3).
    pub(super) fn read_all(root: &Element) -> Vec<Self> {
        let mut presets: Vec<Self> = Vec::new();
        for element in root.all("Preset") {
            let Some(token) = token(element.attribute("token")) else { continue };
            let is_known = presets.iter().any(|preset| preset.token == token);
            if presets.len() < MAX_PRESETS && !is_known {
                let name: String = shown(element.text_of("Name").unwrap_or_default());
                let name: String = name.chars().take(MAX_PRESET_NAME).collect();
                let name = if name.is_empty() { shown(&token) } else { name };
                presets.push(Self { token, name });
            }
        }
        presets
    }

    /// Reads the answer to `SetPreset` (ONVIF PTZ §5.4.1).
    pub(super) fn read_token(root: &Element) -> Option<String> {
        token(root.text_of("PresetToken"))
    }
}

/// A call of the PTZ service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PtzCall {
    /// The abilities of the mechanics.
    Node(String),
    /// The abilities in a configuration.
    Options(String),
    /// A movement: its speed, that of the one before, and whether it ends by itself.
    Move { velocity: Velocity, before: Velocity, has_timeout: bool },
    /// The end of a movement.
    Stop,
    /// The list of presets.
    Presets,
    /// A movement to a preset.
    GoTo(String),
    /// A new preset of this name, here.
    Save(String),
    /// The end of a preset.
    Remove(String),
}

impl PtzCall {
    /// Returns the name of the call.
    fn name(&self) -> &'static str {
        match self {
            Self::Node(_) => "GetNode",
            Self::Options(_) => "GetConfigurationOptions",
            Self::Move { .. } => "ContinuousMove",
            Self::Stop => "Stop",
            Self::Presets => "GetPresets",
            Self::GoTo(_) => "GotoPreset",
            Self::Save(_) => "SetPreset",
            Self::Remove(_) => "RemovePreset",
        }
    }

    /// Returns the value of `action` in the content type.
    pub(super) fn action(&self) -> String {
        format!("{PTZ}/{}", self.name())
    }

    /// Returns the content of the request's body, for a media profile.
    pub(super) fn body(&self, profile: &str, abilities: &Abilities) -> String {
        let tag = |name: &str, text: &str| format!("<c:{name}>{}</c:{name}>", escape(text));
        let of_profile = |rest: String| tag("ProfileToken", profile) + &rest;
        let content = match self {
            Self::Node(node) => tag("NodeToken", node),
            Self::Options(configuration) => tag("ConfigurationToken", configuration),
            Self::Move { velocity, before, has_timeout } => {
                let vector = abilities.vector(*velocity, *before);
                let timeout =
                    if *has_timeout { tag("Timeout", MOVE_TIMEOUT) } else { String::new() };
                of_profile(format!(
                    "<c:Velocity xmlns:t=\"{SCHEMA}\">{vector}</c:Velocity>{timeout}"
                ))
            }
            Self::Stop => of_profile(tag("PanTilt", "true") + &tag("Zoom", "true")),
            Self::Presets => of_profile(String::new()),
            Self::GoTo(preset) | Self::Remove(preset) => of_profile(tag("PresetToken", preset)),
            Self::Save(name) => of_profile(tag("PresetName", name)),
        };
        let name = self.name();
        format!("<c:{name} xmlns:c=\"{PTZ}\">{content}</c:{name}>")
    }
}

#[cfg(test)]
mod tests;
