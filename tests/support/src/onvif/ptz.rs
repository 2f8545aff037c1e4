//! The PTZ service of a fake camera, which remembers what it was told and when.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::answers::element;

/// The way in which a camera can be moved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mechanics {
    /// A camera that stands still.
    #[default]
    None,
    /// Pan, tilt, zoom and presets.
    Full,
    /// The same without the call that ends a movement.
    WithoutStop,
}

impl Mechanics {
    /// Returns the PTZ configuration in a media profile.
    pub(super) fn setting(self, is_second: bool) -> &'static str {
        match (self, is_second) {
            (Self::None, _) => "",
            (Self::Full | Self::WithoutStop, false) => {
                "<tt:PTZConfiguration token=\"ptz\"><tt:NodeToken>node</tt:NodeToken>\
                 </tt:PTZConfiguration>"
            }
            (Self::Full | Self::WithoutStop, true) => {
                "<tr2:PTZ token=\"ptz\"><tt:NodeToken>node</tt:NodeToken></tr2:PTZ>"
            }
        }
    }
}

/// The abilities of the mechanics.
const NODE: &str = "<tptz:PTZNode token=\"node\"><tt:SupportedPTZSpaces>\
    <tt:ContinuousPanTiltVelocitySpace><tt:XRange><tt:Min>-1</tt:Min><tt:Max>1</tt:Max>\
    </tt:XRange><tt:YRange><tt:Min>-1</tt:Min><tt:Max>1</tt:Max></tt:YRange>\
    </tt:ContinuousPanTiltVelocitySpace><tt:ContinuousZoomVelocitySpace><tt:XRange>\
    <tt:Min>-1</tt:Min><tt:Max>1</tt:Max></tt:XRange></tt:ContinuousZoomVelocitySpace>\
    </tt:SupportedPTZSpaces><tt:MaximumNumberOfPresets>8</tt:MaximumNumberOfPresets>\
    </tptz:PTZNode>";

#[derive(Debug, Default)]
struct State {
    /// True while it moves, and when it ends by itself.
    is_moving: bool,
    ends: Option<Instant>,
    /// The calls that move it, each with its time.
    calls: Vec<(Instant, String)>,
    stopped: Option<Instant>,
    presets: Vec<(String, String)>,
    last_preset: usize,
}

impl State {
    fn stop(&mut self, at: Instant) {
        if self.is_moving {
            self.stopped = Some(at);
        }
        (self.is_moving, self.ends) = (false, None);
    }
}

/// The movements of a camera.
#[derive(Debug, Default)]
pub struct Movement(Mutex<State>);

impl Movement {
    /// Returns true while the camera moves.
    pub fn is_moving(&self) -> bool {
        self.with(|state| state.is_moving)
    }

    /// Returns the time at which it has stopped last.
    pub fn stopped(&self) -> Option<Instant> {
        self.with(|state| state.stopped)
    }

    /// Returns the names of the calls that have moved it so far, each with its time.
    pub fn calls(&self) -> Vec<(Instant, String)> {
        self.with(|state| state.calls.clone())
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(end) = state.ends.filter(|end| *end <= Instant::now()) {
            state.stop(end);
        }
        act(&mut state)
    }

    /// Answers a call of the service with content or a fault; `None` if it is of another service.
    pub(super) fn answer(
        &self,
        mechanics: Mechanics,
        call: &str,
        request: &str,
    ) -> Option<Result<String, &'static str>> {
        if mechanics == Mechanics::None || !request.starts_with("POST /onvif/ptz") {
            return None;
        }
        Some(self.with(|state| {
            let now = Instant::now();
            state.calls.push((now, call.to_owned()));
            let text = |name: &str| {
                let text = element(request, name).split('<').next().unwrap_or_default();
                text.to_owned()
            };
            match call {
                "GetNode" => return Ok(NODE.to_owned()),
                "ContinuousMove" => {
                    let vector = request.split_once("<c:Velocity").unwrap_or_default().1;
                    let vector = vector.split_once('>').unwrap_or_default().1;
                    let vector = vector.split("</c:Velocity>").next().unwrap_or_default();
                    let speeds = vector.split(['"', '\'']).skip(1).step_by(2);
                    let has_speed = |speed: &str| speed.parse::<f64>().is_ok_and(|it| it != 0.0);
                    let is_moving = speeds.into_iter().any(has_speed);
                    if !is_moving {
                        state.stop(now);
                    }
                    let timeout = text("c:Timeout");
                    let seconds = timeout.trim_start_matches("PT").trim_end_matches('S');
                    let timeout = seconds.parse().ok().map(Duration::from_secs);
                    state.is_moving = is_moving;
                    state.ends = timeout.filter(|_| is_moving).map(|timeout| now + timeout);
                }
                "Stop" if mechanics == Mechanics::Full => state.stop(now),
                "GotoPreset" => {}
                "GetPresets" => {
                    let preset = |(token, name): &(String, String)| {
                        format!(
                            "<tptz:Preset token=\"{token}\"><tt:Name>{name}</tt:Name></tptz:Preset>"
                        )
                    };
                    return Ok(state.presets.iter().map(preset).collect());
                }
                "SetPreset" => {
                    state.last_preset += 1;
                    let token = format!("preset{}", state.last_preset);
                    let content = format!("<tptz:PresetToken>{token}</tptz:PresetToken>");
                    state.presets.push((token, text("c:PresetName")));
                    return Ok(content);
                }
                "RemovePreset" => {
                    let token = text("c:PresetToken");
                    state.presets.retain(|(it, _)| *it != token);
                }
                _ => return Err("ter:ActionNotSupported"),
            }
            Ok(String::new())
        }))
    }
}
