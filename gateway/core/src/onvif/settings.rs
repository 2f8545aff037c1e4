//! The settings of a camera's encoders and its clock: those that spoil WebRTC, and setting them
//! right (ONVIF Media, Media2 and Core specifications).
//!
//! [`Settings`] is a value with the contract of every core. It reads the encoders of one video
//! source with either media service and decides. To set what was decided, it is made again with the
//! plan that was shown, reads again, and goes on only if the camera is as it was. It sets one
//! encoder after another and the clock last, because a new time changes the proofs; if the camera
//! refuses one, those before it are set back as they were read.
//!
//! Architecture invariant: nothing is set without a plan, nothing but what the plan shows, and
//! every request goes to the one address that was checked.

mod calls;
mod conversation;
mod decide;
mod document;
mod encoder;
mod failure;
mod plan;
mod setting;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use porthole_signaling_proto::StreamRole;

use super::answers::{self, Profile, Services};
use super::calls::{Call, Media};
use super::finding::Finding;
use super::http::Reply;
use super::networks::{Networks, NotAllowed};
use super::probe::{CallError, MAX_CAMERAS, Request};
use super::stream_check::Measured;
use super::xml::Element;
use super::{Encoding, ServiceAddress, clock, scopes};
use crate::rtsp::Credentials;
use calls::Message;
use conversation::{Conversation, Heard};
use decide::{Clock, Decision, Encoders};
use encoder::Encoder;
use setting::Setting;

pub use failure::{Failure, Undone};

/// Maximum length of a plan in bytes.
pub const MAX_PLAN: usize = 128;

/// Time for a call that reads. Cameras answer within 100 ms, slow ones within a second.
const READ_TIME: Duration = Duration::from_secs(3);

/// Time for a call that sets. Some encoders start again before they answer. A refusal of the last
/// of three, with what is put back then, is told before the question is given up.
const SET_TIME: Duration = Duration::from_secs(5);

/// The facts about a stream that its settings do not tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Facts {
    /// True if the stream has B pictures.
    pub has_b_pictures: bool,
    /// True if its key frames are more than 4 s apart.
    pub has_far_key_frames: bool,
    /// Their distance in seconds, if there were two.
    pub key_frame_distance_s: Option<u32>,
}

impl From<&Measured> for Facts {
    fn from(measured: &Measured) -> Self {
        let mut facts = Self::default();
        for finding in measured.findings("") {
            if let Finding::FarKeyFrames { seconds, .. } = finding {
                facts.has_far_key_frames = true;
                facts.key_frame_distance_s = seconds;
            }
        }
        Self { has_b_pictures: measured.has_b_pictures, ..facts }
    }
}

/// The task of [`Settings`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task {
    /// Read the settings and decide; facts of the main and of the sub stream.
    Check([Facts; 2]),
    /// Set what this plan has shown.
    Apply(String),
}

/// Configuration of [`Settings`].
#[derive(Debug, Clone)]
pub struct Config {
    /// The address that every request goes to; its port is not used.
    pub peer: SocketAddr,
    /// The address of the device service; its host is not used.
    pub service: ServiceAddress,
    /// User and password, if there are some.
    pub credentials: Option<Credentials>,
    /// Allow the password to be sent as readable text.
    pub allows_text: bool,
    /// The networks whose machines may be contacted.
    pub networks: Networks,
    /// Number of the camera in the device, from one.
    pub number: usize,
    /// The task to be done.
    pub task: Task,
    /// Time at the start in seconds since 1970.
    pub unix_s: i64,
    /// Seed of the random numbers.
    pub seed: u64,
}

/// A setting with its value before and after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Name of the setting for programs; it does not change.
    pub key: &'static str,
    /// The stream it belongs to; `None` for the camera as a whole.
    pub stream: Option<StreamRole>,
    /// The value as it is, with its unit.
    pub before: String,
    /// The value that is wanted, or that was read back, with its unit.
    pub after: String,
}

/// The result of a task.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The plan by which the changes are set; empty once they are.
    pub plan: String,
    /// The changes to make, or those that were made, with the values that were read back.
    pub changes: Vec<Change>,
    /// The facts that cannot be changed from here.
    pub left: Vec<Finding>,
}

/// An output of [`Settings`], to be applied by the driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send a request; pass the result to [`Settings::handle_reply`] or
    /// [`Settings::handle_error`].
    Send(Request),
    /// Drop the request with this number; nothing is expected of it any more.
    Cancel(u32),
    /// The task has ended.
    Done(Result<Outcome, Failure>),
}

/// The steps of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Time,
    Services,
    Capabilities,
    Profiles(Media),
    Encoder(StreamRole),
    Options(StreamRole),
    Set(StreamRole),
    SetTime,
    CheckTime,
    ReadBack(StreamRole),
    PutBack(StreamRole),
}

impl Step {
    /// Returns true if the step needs no credentials (ONVIF Core §5.9.4.3).
    fn is_public(self) -> bool {
        matches!(self, Self::Time | Self::CheckTime)
    }
}

/// The encoders of the camera, as far as they were read.
#[derive(Debug, Default)]
struct Read {
    media: Option<Media>,
    /// Tokens of the main and of the second encoder.
    tokens: [Option<String>; 2],
    has_sub: bool,
    main: Option<Encoder>,
    second: Option<Encoder>,
    clock: Option<Clock>,
}

impl Read {
    fn token(&self, role: StreamRole) -> Option<&str> {
        let [main, second] = &self.tokens;
        match role {
            StreamRole::Main => main.as_deref(),
            StreamRole::Sub => second.as_deref(),
        }
    }

    fn slot(&mut self, role: StreamRole) -> &mut Option<Encoder> {
        match role {
            StreamRole::Main => &mut self.main,
            StreamRole::Sub => &mut self.second,
        }
    }

    fn encoder(&self, role: StreamRole) -> Option<&Encoder> {
        match role {
            StreamRole::Main => self.main.as_ref(),
            StreamRole::Sub => self.second.as_ref(),
        }
    }
}

/// A look at the settings of a camera, or a change of them.
#[derive(Debug)]
pub struct Settings {
    line: Conversation,
    number: usize,
    task: Task,
    read: Read,
    setting: Option<Setting>,
    is_done: bool,
}

impl Settings {
    /// Creates the task, which begins at once.
    ///
    /// # Errors
    /// If the gateway may not contact the address.
    pub fn new(config: Config, now: Instant) -> Result<Self, NotAllowed> {
        config.networks.check(config.peer.ip())?;
        let line = Conversation::new(&config, now);
        let Config { number, task, .. } = config;
        let (read, setting) = (Read::default(), None);
        let mut settings = Self { line, number, task, read, setting, is_done: false };
        settings.ask(now, Step::Time, &Call::SystemTime);
        Ok(settings)
    }

    /// Handles the reply to a request.
    pub fn handle_reply(&mut self, now: Instant, id: u32, reply: &Reply) {
        if let Some((step, heard)) = self.line.handle_reply(now, id, reply) {
            self.handle(now, step, heard);
        }
    }

    /// Handles a request that has no reply.
    pub fn handle_error(&mut self, now: Instant, id: u32, error: CallError) {
        if let Some((step, heard)) = self.line.handle_error(id, error) {
            self.handle(now, step, heard);
        }
    }

    /// Returns the next output; `None` until the next input.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.line.poll_output()
    }

    /// Returns the time at which [`Self::handle_timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.line.poll_timeout()
    }

    /// Processes everything that is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if let Some((step, heard)) = self.line.handle_timeout(now) {
            self.handle(now, step, heard);
        }
    }

    /// Returns the number of requests with a password that the device has refused.
    #[must_use]
    pub fn refused(&self) -> u8 {
        self.line.refused()
    }

    fn ask(&mut self, now: Instant, step: Step, message: impl Into<Message>) {
        self.line.ask(now, step, message.into(), READ_TIME);
    }

    fn finish(&mut self, result: Result<Outcome, Failure>) {
        if !std::mem::replace(&mut self.is_done, true) {
            self.line.end(Output::Done(result));
        }
    }

    fn handle(&mut self, now: Instant, step: Step, heard: Heard) {
        match step {
            Step::Time
            | Step::Services
            | Step::Capabilities
            | Step::Profiles(_)
            | Step::Encoder(_)
            | Step::Options(_) => self.handle_read(now, step, heard),
            Step::Set(_)
            | Step::SetTime
            | Step::CheckTime
            | Step::ReadBack(_)
            | Step::PutBack(_) => self.handle_set(now, step, heard),
        }
    }

    /// Handles the answer to a step that reads before anything is set.
    fn handle_read(&mut self, now: Instant, step: Step, heard: Heard) {
        let answer = match heard {
            Heard::Content(root, bytes) => Some((root, bytes)),
            Heard::Failed(finding) => return self.finish(Err(Failure::Finding(finding))),
            Heard::Silence if step == Step::Time => {
                let host = self.line.host().to_owned();
                let finding = Finding::NothingAnswers { host };
                return self.finish(Err(Failure::Finding(finding)));
            }
            Heard::Silence => {
                return self.finish(Err(Failure::Finding(Finding::StoppedAnswering)));
            }
            Heard::Forbidden if matches!(step, Step::Profiles(_) | Step::Encoder(_)) => {
                return self.finish(Err(Failure::NotPermitted(Undone::Nothing)));
            }
            Heard::Forbidden | Heard::Fault(_) => None,
        };
        let root = answer.as_ref().map(|(root, _)| root);
        match step {
            Step::Time => self.handle_time(now, root),
            Step::Services | Step::Capabilities => self.handle_services(now, step, root),
            Step::Profiles(media) => self.handle_profiles(now, media, root),
            Step::Encoder(role) => {
                let bytes = answer.map(|(_, bytes)| bytes).unwrap_or_default();
                self.handle_encoder(now, role, &bytes);
            }
            Step::Options(role) => self.handle_options(now, role, root),
            Step::Set(_)
            | Step::SetTime
            | Step::CheckTime
            | Step::ReadBack(_)
            | Step::PutBack(_) => {}
        }
    }

    fn handle_time(&mut self, now: Instant, root: Option<&Element>) {
        self.read.clock = root.and_then(|root| read_clock(root, self.line.unix_s(now)));
        if let Some(clock) = &self.read.clock {
            self.line.set_ahead(clock.ahead_s);
        }
        self.ask(now, Step::Services, &Call::Services);
    }

    fn handle_services(&mut self, now: Instant, step: Step, root: Option<&Element>) {
        let found = if step == Step::Services {
            root.map(Services::read)
        } else {
            root.map(Services::read_capabilities)
        };
        let has_media = found.is_some_and(|found| self.line.set_services(&found));
        if !has_media && step == Step::Services {
            self.ask(now, Step::Capabilities, &Call::Capabilities);
            return;
        }
        let media = if self.line.has(Media::Second) { Media::Second } else { Media::First };
        self.ask(now, Step::Profiles(media), &Call::Profiles(media));
    }

    fn handle_profiles(&mut self, now: Instant, media: Media, root: Option<&Element>) {
        let profiles = root.map(Profile::read_all).unwrap_or_default();
        let is_empty = !profiles.iter().any(|profile| profile.encoding != Encoding::Other);
        if is_empty && media == Media::Second && self.line.has(Media::First) {
            self.ask(now, Step::Profiles(Media::First), &Call::Profiles(Media::First));
            return;
        }
        if is_empty {
            return self.finish(Err(Failure::Finding(Finding::NoVideo)));
        }
        let index = self.number.checked_sub(1);
        let mut choices = answers::choose(profiles.clone(), MAX_CAMERAS).into_iter();
        let Some(choice) = index.and_then(|index| choices.nth(index)) else {
            return self.finish(Err(Failure::NoCamera(self.number)));
        };
        let main = choice.main;
        let is_other = |profile: &Profile| {
            let has_encoder = !profile.encoder.is_empty() && profile.encoder != main.encoder;
            has_encoder && profile.source == main.source && profile.encoding != Encoding::Other
        };
        let sub = choice.sub.filter(&is_other);
        self.read.has_sub = sub.is_some();
        let second = sub.or_else(|| profiles.iter().find(|it| is_other(it)).cloned());
        self.read.media = Some(media);
        self.read.tokens = [Some(main.encoder.clone()), second.map(|second| second.encoder)];
        self.ask_encoder(now, StreamRole::Main);
    }

    fn ask_encoder(&mut self, now: Instant, role: StreamRole) {
        let (Some(media), Some(token)) = (self.read.media, self.read.token(role)) else { return };
        let message = calls::encoder(media, token);
        self.ask(now, Step::Encoder(role), message);
    }

    fn handle_encoder(&mut self, now: Instant, role: StreamRole, answer: &[u8]) {
        let (Some(media), Some(token)) = (self.read.media, self.read.token(role)) else { return };
        let message = calls::options(media, token);
        let Some(encoder) = Encoder::read(media, token, answer) else {
            return self.finish(Err(Failure::Unreadable));
        };
        *self.read.slot(role) = Some(encoder);
        self.ask(now, Step::Options(role), message);
    }

    fn handle_options(&mut self, now: Instant, role: StreamRole, root: Option<&Element>) {
        if let (Some(encoder), Some(root)) = (self.read.slot(role), root) {
            encoder.handle_options(root);
        }
        if role == StreamRole::Main && self.read.token(StreamRole::Sub).is_some() {
            self.ask_encoder(now, StreamRole::Sub);
        } else {
            self.decide(now);
        }
    }

    /// Decides, and answers or begins to set what was shown.
    fn decide(&mut self, now: Instant) {
        let facts = match &self.task {
            Task::Check(facts) => Some(*facts),
            Task::Apply(plan) => plan::facts(plan),
        };
        let Some(facts) = facts else { return self.finish(Err(Failure::Changed)) };
        let Some(main) = &self.read.main else { return };
        let (number, second) = (self.number, self.read.second.as_ref());
        let encoders = Encoders { number, main, second, has_sub: self.read.has_sub };
        let clock = self.read.clock.as_ref();
        let decision = decide::decide(encoders, facts, clock);
        let is_writable = |encoder: &Encoder, values: &Option<encoder::Values>| {
            values.as_ref().is_none_or(|values| encoder.written_with(values).is_some())
        };
        if !is_writable(main, &decision.main)
            || !second.is_none_or(|second| is_writable(second, &decision.second))
        {
            return self.finish(Err(Failure::Unreadable));
        }
        let plan = plan::plan([Some(main), second], clock, &decision, facts);
        let changes = self.changes(&decision, now);
        match &self.task {
            Task::Check(_) => {
                let left = decision.left;
                self.finish(Ok(Outcome { plan, changes, left }));
            }
            Task::Apply(shown) if *shown != plan => self.finish(Err(Failure::Changed)),
            Task::Apply(_) => {
                self.setting = Some(Setting::new(decision, changes));
                self.go_on(now);
            }
        }
    }

    /// Returns the changes of a decision as they are shown.
    fn changes(&self, decision: &Decision, now: Instant) -> Vec<Change> {
        let of = |role, wanted: Option<&encoder::Values>| {
            let encoder = self.read.encoder(role).zip(wanted);
            encoder.map(|(encoder, wanted)| decide::changes(role, &encoder.values, wanted))
        };
        let main = of(StreamRole::Main, decision.main.as_ref());
        let second = of(StreamRole::Sub, decision.second.as_ref());
        let clock = self.read.clock.as_ref().filter(|_| decision.sets_clock);
        let clock = clock.map(|clock| clock.change(self.line.unix_s(now)));
        [main, second].into_iter().flatten().flatten().chain(clock).collect()
    }
}

/// Reads the camera's clock; `unix_s` is the time here.
fn read_clock(root: &Element, unix_s: i64) -> Option<Clock> {
    let time = clock::read(root)?;
    let is = |name, value| root.text_of(name).is_some_and(|text| text.eq_ignore_ascii_case(value));
    Some(Clock {
        unix_s: time.unix_s,
        is_set: time.is_set,
        ahead_s: time.unix_s.saturating_sub(unix_s),
        has_server: is("DateTimeType", "NTP"),
        is_summer: is("DaylightSavings", "true"),
        zone: root.text_of("TZ").map(scopes::shown).filter(|zone| !zone.is_empty()),
    })
}

#[cfg(test)]
mod tests;
