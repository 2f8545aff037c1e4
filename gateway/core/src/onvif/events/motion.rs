//! The events that are about motion, and whether there is some.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::onvif::xml::Element;

/// Maximum number of events that are read of one answer.
const MAX_EVENTS: usize = 64;

/// Maximum number of rules of one camera that see motion at the same time.
const MAX_RULES: usize = 32;

/// Maximum length of the name of a rule in bytes, as it is kept.
const MAX_KEY: usize = 512;

/// Time after which a motion is over that was not told again: some cameras never tell its end.
const STALE: Duration = Duration::from_secs(60);

/// Shortest time for which a motion is shown, so that a rule that flickers is no flood of reports.
const SHORTEST: Duration = Duration::from_secs(1);

/// Names of values that mean motion in any topic.
const MOTION_ITEMS: &[&str] = &["ismotion", "motion"];

/// Names of values that mean motion in the topics below.
const STATE_ITEMS: &[&str] = &[
    "state",
    "isinside",
    "ispeople",
    "isvehicle",
    "ispet",
    "isintrusion",
    "islinecross",
    "isobject",
];

/// Parts of the topics of motion: of the standard, of Reolink, Tapo and others.
const TOPICS: &[&str] = &[
    "motion",
    "peopledetect",
    "persondetect",
    "humandetect",
    "facedetect",
    "vehicledetect",
    "dogcatdetect",
    "petdetect",
    "objectsinside",
    "smartevent",
    "intrusion",
];

/// Parts of the topics of what only looks like motion.
const OTHER_TOPICS: &[&str] = &["tamper", "scenechange", "audio", "sound"];

/// The tokens by which events name the video source of a camera.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::onvif) struct Sources {
    /// Tokens of the source, of its configuration and of its profiles.
    pub(in crate::onvif) tokens: Vec<String>,
    /// True if the device has no other source, so that every event is about it.
    pub(in crate::onvif) is_only: bool,
}

impl Sources {
    fn is_meant(&self, names: &[(&str, &str)]) -> bool {
        let is_source = |name: &str| {
            let name = name.to_ascii_lowercase();
            name.contains("source") || name.contains("profile") || name.contains("channel")
        };
        let is_ours = |value: &str| self.tokens.iter().any(|it| it.eq_ignore_ascii_case(value));
        self.is_only || names.iter().any(|(name, value)| is_source(name) && is_ours(value))
    }
}

/// A statement of a camera about one rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::onvif) struct Told {
    /// The topic with its source.
    rule: String,
    is_active: bool,
}

/// Reads what the answer to a pull says about motion (ONVIF Core §9.5).
pub(in crate::onvif) fn read_motion(root: &Element, sources: &Sources) -> Vec<Told> {
    let events = root.all("NotificationMessage").into_iter().take(MAX_EVENTS);
    events.filter_map(|event| read_event(event, sources)).collect()
}

fn read_event(event: &Element, sources: &Sources) -> Option<Told> {
    let topic = event.text_of("Topic")?;
    let parts = topic.split('/').map(|part| part.rsplit(':').next().unwrap_or_default());
    let topic = parts.collect::<Vec<_>>().join("/").to_ascii_lowercase();
    let about = items(event.find("Source"));
    let key = items(event.find("Key"));
    let data = event.find("Data");
    let is_active = items(data).into_iter().find_map(|(name, value)| value_of(&topic, name, value));
    // A rule that is gone sees nothing; some leave its value out then.
    let operation = event.all("Message").into_iter().find_map(operation_of);
    let is_gone = operation.is_some_and(|it| it.eq_ignore_ascii_case("Deleted"));
    let is_active = if is_gone && is_topic(&topic) { Some(false) } else { is_active }?;
    if !sources.is_meant(&about) {
        return None;
    }
    let mut rule = topic;
    for (name, value) in about.iter().chain(&key) {
        rule += &format!(" {name}={value}");
    }
    let rule = rule.chars().take(MAX_KEY).collect();
    Some(Told { rule, is_active })
}

/// Returns the operation of a message, which is inside another element of the same name.
fn operation_of(message: &Element) -> Option<&str> {
    let inner = message.named("Message").next().unwrap_or(message);
    inner.attribute("PropertyOperation")
}

/// Returns the names and values in a part of an event.
fn items(part: Option<&Element>) -> Vec<(&str, &str)> {
    let items = part.map(|part| part.all("SimpleItem")).unwrap_or_default();
    items
        .into_iter()
        .filter_map(|it| Some((it.attribute("Name")?, it.attribute("Value")?)))
        .collect()
}

fn is_topic(topic: &str) -> bool {
    let has = |words: &[&str]| words.iter().any(|word| topic.contains(word));
    has(TOPICS) && !has(OTHER_TOPICS)
}

/// Returns the state that a value tells; `None` if it is not about motion.
fn value_of(topic: &str, name: &str, value: &str) -> Option<bool> {
    let name = name.to_ascii_lowercase();
    let is_other = OTHER_TOPICS.iter().any(|word| topic.contains(word));
    let is_motion = MOTION_ITEMS.contains(&name.as_str()) && !is_other
        || STATE_ITEMS.contains(&name.as_str()) && is_topic(topic);
    match value.to_ascii_lowercase().as_str() {
        "true" | "1" if is_motion => Some(true),
        "false" | "0" if is_motion => Some(false),
        _ => None,
    }
}

/// The motion in front of a camera.
#[derive(Debug, Default)]
pub(in crate::onvif) struct Motion {
    /// The rules that see some, each with the time at which it was told last.
    rules: BTreeMap<String, Instant>,
    /// Time at which the latest motion began.
    began: Option<Instant>,
    is_shown: bool,
    /// True once the camera has told anything about motion.
    is_known: bool,
}

impl Motion {
    /// Handles what the camera has told.
    pub(in crate::onvif) fn handle_told(&mut self, now: Instant, told: Vec<Told>) {
        for Told { rule, is_active } in told {
            self.is_known = true;
            if !is_active {
                self.rules.remove(&rule);
            } else if self.rules.len() < MAX_RULES || self.rules.contains_key(&rule) {
                self.rules.insert(rule, now);
                if !self.is_shown {
                    (self.is_shown, self.began) = (true, Some(now));
                }
            }
        }
        self.handle_timeout(now);
    }

    /// Returns the time at which [`Self::handle_timeout`] is due.
    pub(in crate::onvif) fn poll_timeout(&self) -> Option<Instant> {
        if !self.is_shown {
            return None;
        }
        let stale = self.rules.values().min().map(|told| *told + STALE);
        stale.or_else(|| self.began.map(|began| began + SHORTEST))
    }

    /// Ends what is over.
    pub(in crate::onvif) fn handle_timeout(&mut self, now: Instant) {
        self.rules.retain(|_, told| now < *told + STALE);
        let is_long = self.began.is_none_or(|began| now >= began + SHORTEST);
        if self.rules.is_empty() && is_long {
            self.is_shown = false;
        }
    }

    /// Returns true while there is motion, and the time at which the latest one began; `None` if
    /// the camera has never told anything about motion.
    pub(in crate::onvif) fn state(&self) -> Option<(bool, Option<Instant>)> {
        self.is_known.then_some((self.is_shown, self.began))
    }
}
