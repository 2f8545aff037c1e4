//! Setting what was shown: one encoder after another, the clock, reading back, and putting back
//! what was set if the camera refuses a later part.

use std::time::Instant;

use porthole_signaling_proto::StreamRole;

use super::conversation::Heard;
use super::decide::{self, Decision};
use super::encoder::{Encoder, Values};
use super::{
    Change, Failure, Outcome, READ_TIME, SET_TIME, Settings, Step, Undone, calls, read_clock,
};
use crate::onvif::calls::Call;

/// The streams in the order in which they are set.
const ROLES: [StreamRole; 2] = [StreamRole::Main, StreamRole::Sub];

/// A refusal that is told once everything is put back.
#[derive(Debug)]
struct Refusal {
    step: Step,
    reason: String,
    is_forbidden: bool,
    /// The streams to put back.
    todo: Vec<StreamRole>,
    /// The values that could not be put back.
    stands: Vec<String>,
}

/// The state of a change.
#[derive(Debug)]
pub(super) struct Setting {
    decision: Decision,
    /// The changes, whose values are those that were read back in the end.
    changes: Vec<Change>,
    /// The streams that were set.
    set: Vec<StreamRole>,
    /// True once the clock was set.
    has_set_clock: bool,
    /// True if nobody knows whether the clock was set.
    is_clock_unknown: bool,
    /// Steps that read back, in reverse order.
    to_read: Option<Vec<Step>>,
    refusal: Option<Refusal>,
}

impl Setting {
    pub(super) fn new(decision: Decision, changes: Vec<Change>) -> Self {
        Self {
            decision,
            changes,
            set: Vec::new(),
            has_set_clock: false,
            is_clock_unknown: false,
            to_read: None,
            refusal: None,
        }
    }

    fn wanted(&self, role: StreamRole) -> Option<&Values> {
        match role {
            StreamRole::Main => self.decision.main.as_ref(),
            StreamRole::Sub => self.decision.second.as_ref(),
        }
    }

    /// Returns the next step that sets something.
    fn next(&self) -> Option<Step> {
        let is_open =
            |role: &&StreamRole| self.wanted(**role).is_some() && !self.set.contains(role);
        let clock = (self.decision.sets_clock && !self.has_set_clock).then_some(Step::SetTime);
        ROLES.iter().find(is_open).map(|role| Step::Set(*role)).or(clock)
    }

    /// Takes over a value that was read back.
    fn take(&mut self, role: StreamRole, values: &Values) {
        for change in self.changes.iter_mut().filter(|change| change.stream == Some(role)) {
            if let Some(text) = decide::text(change.key, values) {
                change.after = text;
            }
        }
    }

    /// Writes the values of a stream that may stand now.
    fn standing(&self, role: StreamRole) -> String {
        let of_role = self.changes.iter().filter(|change| change.stream == Some(role));
        let values: Vec<_> = of_role.map(|it| format!("{} {}", it.key, it.after)).collect();
        format!("{} stream: {}", decide::role_name(role), values.join(", "))
    }
}

impl Settings {
    /// Sets what is left to be set, then reads it back.
    pub(super) fn go_on(&mut self, now: Instant) {
        let Some(setting) = &mut self.setting else { return };
        match setting.next() {
            Some(Step::Set(role)) => {
                let wanted = setting.wanted(role);
                let encoder = self.read.encoder(role).zip(wanted);
                let written = encoder.and_then(|(encoder, wanted)| encoder.written_with(wanted));
                self.send_encoder(now, Step::Set(role), written);
            }
            Some(_) => self.send_time(now),
            None => {
                let roles = setting.set.iter().rev().map(|role| Step::ReadBack(*role));
                let clock = setting.has_set_clock.then_some(Step::CheckTime);
                setting.to_read = Some(roles.chain(clock).collect());
                self.read_back(now);
            }
        }
    }

    fn send_encoder(&mut self, now: Instant, step: Step, written: Option<String>) {
        let message = self.read.media.zip(written);
        let message = message.map(|(media, written)| calls::set_encoder(media, &written));
        match message {
            Some(message) if !self.line.is_over() => self.line.ask(now, step, message, SET_TIME),
            Some(_) | None => self.handle_set(now, step, Heard::Fault(String::new())),
        }
    }

    fn send_time(&mut self, now: Instant) {
        let Some(clock) = &self.read.clock else { return };
        let unix_s = self.line.unix_s(now);
        let message = calls::set_time(unix_s, clock.is_summer, clock.zone.as_deref());
        self.line.ask(now, Step::SetTime, message, SET_TIME);
    }

    /// Reads back what was set, or ends.
    fn read_back(&mut self, now: Instant) {
        let Some(setting) = &mut self.setting else { return };
        let step = setting.to_read.as_mut().and_then(Vec::pop);
        match step {
            Some(Step::ReadBack(role)) => {
                let token = self.read.media.zip(self.read.token(role));
                let Some((media, token)) = token else { return };
                let message = calls::encoder(media, token);
                self.line.ask(now, Step::ReadBack(role), message, READ_TIME);
            }
            Some(_) => self.ask(now, Step::CheckTime, &Call::SystemTime),
            None => {
                let changes = std::mem::take(&mut setting.changes);
                self.finish(Ok(Outcome { changes, ..Outcome::default() }));
            }
        }
    }

    /// Handles the answer to a step that sets, reads back or puts back.
    pub(super) fn handle_set(&mut self, now: Instant, step: Step, heard: Heard) {
        match step {
            Step::Set(role) if matches!(heard, Heard::Content(..)) => {
                self.setting.iter_mut().for_each(|setting| setting.set.push(role));
                self.go_on(now);
            }
            Step::Set(_) => self.refuse(now, step, &heard),
            Step::SetTime => self.handle_time_set(now, heard),
            Step::CheckTime => self.handle_time_read(now, heard),
            Step::ReadBack(role) => {
                if let Heard::Content(_, bytes) = heard {
                    self.take(role, &bytes);
                }
                self.read_back(now);
            }
            Step::PutBack(role) => {
                if let Some(setting) = &mut self.setting {
                    let standing = setting.standing(role);
                    let is_back = matches!(heard, Heard::Content(..));
                    let refusal = setting.refusal.as_mut().filter(|_| !is_back);
                    refusal.into_iter().for_each(|it| it.stands.push(standing.clone()));
                }
                self.put_back(now);
            }
            Step::Time
            | Step::Services
            | Step::Capabilities
            | Step::Profiles(_)
            | Step::Encoder(_)
            | Step::Options(_) => {}
        }
    }

    fn handle_time_set(&mut self, now: Instant, heard: Heard) {
        let Some(setting) = &mut self.setting else { return };
        match heard {
            Heard::Content(..) => {
                setting.has_set_clock = true;
                self.line.set_ahead(0);
                self.go_on(now);
            }
            Heard::Silence => {
                // The clock itself tells if the request has arrived.
                setting.is_clock_unknown = true;
                self.ask(now, Step::CheckTime, &Call::SystemTime);
            }
            Heard::Fault(_) | Heard::Forbidden | Heard::Failed(_) => {
                self.refuse(now, Step::SetTime, &heard);
            }
        }
    }

    fn handle_time_read(&mut self, now: Instant, heard: Heard) {
        let unix_s = self.line.unix_s(now);
        let clock = match &heard {
            Heard::Content(root, _) => read_clock(root, unix_s),
            Heard::Fault(_) | Heard::Forbidden | Heard::Silence | Heard::Failed(_) => None,
        };
        let Some(setting) = &mut self.setting else { return };
        let was_unknown = std::mem::take(&mut setting.is_clock_unknown);
        if let Some(clock) = &clock {
            self.line.set_ahead(clock.ahead_s);
            if let Some(change) = setting.changes.iter_mut().find(|it| it.stream.is_none()) {
                change.after = clock.shown();
            }
        }
        if !was_unknown {
            self.read_back(now);
        } else if clock.as_ref().is_some_and(|clock| !clock.is_wrong()) {
            setting.has_set_clock = true;
            self.go_on(now);
        } else {
            setting.is_clock_unknown = clock.is_none();
            self.refuse(now, Step::SetTime, &Heard::Fault(String::new()));
        }
    }

    /// Takes over the values of an encoder that were read back.
    fn take(&mut self, role: StreamRole, answer: &[u8]) {
        let token = self.read.media.zip(self.read.token(role));
        let encoder = token.and_then(|(media, token)| Encoder::read(media, token, answer));
        if let (Some(setting), Some(encoder)) = (&mut self.setting, encoder) {
            setting.take(role, &encoder.values);
        }
    }

    /// Begins to put back what was set, because the camera has refused a step.
    fn refuse(&mut self, now: Instant, step: Step, heard: &Heard) {
        let Some(setting) = &mut self.setting else { return };
        let mut todo = setting.set.clone();
        // One without an answer may have been set.
        if let (Step::Set(role), true) = (step, heard.is_unknown()) {
            todo.push(role);
        }
        let reason = match heard {
            Heard::Fault(reason) => reason.clone(),
            Heard::Silence => "it does not answer".to_owned(),
            Heard::Failed(finding) => finding.told(),
            Heard::Content(..) | Heard::Forbidden => String::new(),
        };
        let is_forbidden = matches!(heard, Heard::Forbidden);
        let unknown = std::mem::take(&mut setting.is_clock_unknown);
        let stands = if unknown { vec!["clock: perhaps".to_owned()] } else { Vec::new() };
        setting.refusal = Some(Refusal { step, reason, is_forbidden, todo, stands });
        self.put_back(now);
    }

    /// Puts back the next encoder as it was read, or ends.
    fn put_back(&mut self, now: Instant) {
        let Some(setting) = &mut self.setting else { return };
        let Some(refusal) = &mut setting.refusal else { return };
        if let Some(role) = refusal.todo.pop() {
            let written = self.read.encoder(role).and_then(Encoder::written);
            self.send_encoder(now, Step::PutBack(role), written);
            return;
        }
        let undone = match (refusal.stands.is_empty(), setting.set.is_empty()) {
            (true, true) => Undone::Nothing,
            (true, false) => Undone::Back,
            (false, _) => Undone::Stands(refusal.stands.join("; ")),
        };
        let failure = if refusal.is_forbidden {
            Failure::NotPermitted(undone)
        } else {
            let what = if refusal.step == Step::Set(StreamRole::Main) {
                "the settings of its main stream"
            } else if refusal.step == Step::Set(StreamRole::Sub) {
                "the settings of its sub stream"
            } else {
                "the time"
            };
            Failure::Refused { what, reason: refusal.reason.clone(), undone }
        };
        self.finish(Err(failure));
    }
}
