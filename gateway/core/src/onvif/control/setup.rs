//! The questions before anything is moved: which services are there, which profile is the camera,
//! and what it can do.

use super::caller::{Ask, Caller, Slot};
use crate::onvif::answers::{Profile, Services, choose};
use crate::onvif::calls::{Call, Media};
use crate::onvif::events::Sources;
use crate::onvif::probe::{CALL_TIME, MAX_CAMERAS};
use crate::onvif::ptz::{Abilities, PtzCall, Setting};
use crate::onvif::xml::Element;

/// Maximum number of tokens by which events may name a camera.
const MAX_TOKENS: usize = 32;

/// Result of the questions.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// The media profile by which the camera is moved, and what it can do; `None` if it cannot.
    pub(super) ptz: Option<(String, Abilities)>,
    /// The names of the camera in events.
    pub(super) sources: Sources,
    pub(super) has_events: bool,
}

/// The questions, one after another.
#[derive(Debug)]
pub(super) struct Setup {
    /// Number of the camera in the device, from one.
    number: usize,
    step: Step,
    facts: Facts,
    /// Token of the camera's video source.
    source: Option<String>,
    setting: Option<Setting>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Services,
    Capabilities,
    Profiles(Media),
    /// The profiles of the first media service, for their PTZ configurations only.
    Settings,
    Node,
    Options,
}

impl Setup {
    pub(super) fn new(number: u32) -> Self {
        Self {
            number: usize::try_from(number).unwrap_or(1).max(1),
            step: Step::Services,
            facts: Facts::default(),
            source: None,
            setting: None,
        }
    }

    /// Returns the call of this step.
    pub(super) fn ask(&self) -> Ask {
        let setting = self.setting.as_ref();
        let ptz = |call: PtzCall| Ask {
            slot: Slot::Ptz,
            action: call.action(),
            headers: String::new(),
            body: call.body("", &Abilities::default()),
            time: CALL_TIME,
        };
        match &self.step {
            Step::Services => Ask::of_probe(&Call::Services),
            Step::Capabilities => Ask::of_probe(&Call::Capabilities),
            Step::Profiles(media) => Ask::of_probe(&Call::Profiles(*media)),
            Step::Settings => Ask::of_probe(&Call::Profiles(Media::First)),
            Step::Node => ptz(PtzCall::Node(setting.map(|it| it.node.clone()).unwrap_or_default())),
            Step::Options => ptz(PtzCall::Options(
                setting.map(|it| it.configuration.clone()).unwrap_or_default(),
            )),
        }
    }

    /// Handles the answer to the call of this step; `None` if the camera refuses it. Returns the
    /// facts at the end.
    pub(super) fn handle(&mut self, caller: &mut Caller, root: Option<&Element>) -> Option<Facts> {
        let next = match &self.step {
            Step::Services | Step::Capabilities => self.handle_services(caller, root),
            Step::Profiles(media) => {
                let media = *media;
                self.handle_profiles(caller, media, root)
            }
            Step::Settings => {
                self.setting = root.and_then(|root| self.choose_setting(root));
                self.after_settings()
            }
            Step::Node | Step::Options => self.handle_abilities(root),
        };
        match next {
            Some(step) => {
                self.step = step;
                None
            }
            None => Some(std::mem::take(&mut self.facts)),
        }
    }

    fn handle_services(&mut self, caller: &mut Caller, root: Option<&Element>) -> Option<Step> {
        let is_first = self.step == Step::Services;
        let found = match root {
            Some(root) if is_first => Services::read(root),
            Some(root) => Services::read_capabilities(root),
            None => Services::default(),
        };
        let is_empty = found.media1.is_none() && found.media2.is_none();
        if is_first && is_empty {
            return Some(Step::Capabilities);
        }
        caller.handle_services(found);
        let services = caller.services();
        self.facts.has_events = services.events.is_some();
        if services.ptz.is_none() && services.events.is_none() {
            return None;
        }
        // In the order of a probe, so that the numbers mean the same.
        let media = if services.media2.is_some() { Media::Second } else { Media::First };
        Some(Step::Profiles(media))
    }

    fn handle_profiles(
        &mut self,
        caller: &Caller,
        media: Media,
        root: Option<&Element>,
    ) -> Option<Step> {
        let profiles = root.map(Profile::read_all).unwrap_or_default();
        if profiles.is_empty() && media == Media::Second {
            return Some(Step::Profiles(Media::First));
        }
        let choices = choose(profiles.clone(), MAX_CAMERAS);
        self.facts.sources.is_only = choices.len() <= 1 && self.number == 1;
        if let Some(choice) = choices.get(self.number - 1) {
            let source = &choice.main.source;
            self.source = Some(source.clone());
            let of_source = profiles.iter().filter(|it| it.source == *source);
            let tokens = of_source.flat_map(|it| [&it.token, &it.source, &it.source_setting]);
            let tokens = tokens.filter(|token| !token.is_empty()).cloned();
            self.facts.sources.tokens = tokens.take(MAX_TOKENS).collect();
        }
        let services = caller.services();
        if services.ptz.is_none() || self.source.is_none() {
            return None;
        }
        self.setting = root.and_then(|root| self.choose_setting(root));
        if self.setting.is_none() && media == Media::Second && services.media1.is_some() {
            return Some(Step::Settings);
        }
        self.after_settings()
    }

    /// Returns the first PTZ configuration of the camera's source.
    fn choose_setting(&self, root: &Element) -> Option<Setting> {
        let settings = Setting::read_all(root);
        settings.into_iter().find(|it| Some(&it.source) == self.source.as_ref())
    }

    fn after_settings(&self) -> Option<Step> {
        let setting = self.setting.as_ref()?;
        Some(if setting.node.is_empty() { Step::Options } else { Step::Node })
    }

    fn handle_abilities(&mut self, root: Option<&Element>) -> Option<Step> {
        let setting = self.setting.as_ref()?;
        let abilities = root.map(|root| Abilities::read(root, setting));
        let abilities = match abilities.filter(Abilities::is_movable) {
            Some(abilities) => abilities,
            None if self.step == Step::Node => return Some(Step::Options),
            // What it answers says that it cannot be moved; no answer says nothing.
            None if root.is_some() => return None,
            None => Abilities::of_setting(setting),
        };
        if abilities.is_movable() {
            self.facts.ptz = Some((setting.profile.clone(), abilities));
        }
        None
    }
}
