//! The two calls in flight of a camera that is ready: one that moves, and one for its events.

use std::time::{Duration, Instant};

use super::caller::{Ask, Pending, Reading, Slot};
use super::mover::Heard;
use super::start::HOPELESS_WAIT;
use super::watcher::{NO_EVENTS_WAIT, Outcome};
use super::{Control, Done, Output, Refusal, Work};
use crate::onvif::calls::Call;
use crate::onvif::events::{EventCall, PULL_TIME, Reference, lifetime, read_motion};
use crate::onvif::finding::Finding;
use crate::onvif::http::Reply;
use crate::onvif::probe::CALL_TIME;
use crate::onvif::ptz::{Abilities, Preset, PtzCall};
use crate::onvif::xml::Element;

/// Time for the answer to a movement or a stop. Cameras answer within 100 ms, and a stop that is
/// lost has to be told again soon.
const MOVE_TIME: Duration = Duration::from_secs(1);

/// Time for the answer to the last call to a subscription.
const UNSUBSCRIBE_TIME: Duration = Duration::from_secs(1);

/// Wait after movements are refused to this user for the first time, and after that: the clock of
/// the camera may have been set, and accounts lock.
const FIRST_DENIED_WAIT: Duration = Duration::from_secs(2);
const DENIED_WAIT: Duration = Duration::from_secs(60);

/// Wait after events are refused to this user for the first time, for the same reason.
const EVENTS_DENIED_WAIT: Duration = Duration::from_secs(5);

impl Control {
    pub(super) fn send_work(&mut self, now: Instant, ask: Ask, work: Work) {
        let (request, pending) = self.caller.send(now, ask);
        self.outputs.push_back(Output::Send(request));
        self.work = Some((pending, work));
    }

    pub(super) fn send_work_again(&mut self, now: Instant, pending: Pending, work: Work) {
        let (request, pending) = self.caller.send_again(now, pending);
        self.outputs.push_back(Output::Send(request));
        self.work = Some((pending, work));
    }

    /// Makes the next call that is not about events: a stop or movement before anything else.
    pub(super) fn send_next_work(&mut self, now: Instant) {
        if self.work.is_some() {
            return;
        }
        if let Some(call) = self.mover.as_mut().and_then(|mover| mover.poll_call(now)) {
            let ask = self.ptz_ask(&call, MOVE_TIME);
            self.send_work(now, ask, Work::Move(call));
        } else if std::mem::take(&mut self.wants_time) {
            self.send_work(now, Ask::of_probe(&Call::SystemTime), Work::Time);
        } else if self.mover.as_ref().is_some_and(|mover| !mover.is_moving())
            && let Some((id, call)) = self.waiting.pop_front()
        {
            let ask = self.ptz_ask(&call, CALL_TIME);
            self.send_work(now, ask, Work::Command(id, call));
        }
    }

    fn ptz_ask(&self, call: &PtzCall, time: Duration) -> Ask {
        let none = Abilities::default();
        let abilities = self.mover.as_ref().map_or(&none, |mover| mover.abilities());
        Ask {
            slot: Slot::Ptz,
            action: call.action(),
            headers: String::new(),
            body: call.body(&self.profile, abilities),
            time,
        }
    }

    pub(super) fn handle_work(
        &mut self,
        now: Instant,
        mut pending: Pending,
        work: Work,
        reply: &Reply,
    ) {
        if matches!(work, Work::Setup) {
            return self.handle_setup(now, pending, reply);
        }
        let reading = self.caller.read(&mut pending, reply);
        if matches!(reading, Reading::Again) {
            return self.send_work_again(now, pending, work);
        }
        if let Reading::Denied(finding) = &reading {
            if !self.handle_denied(now, finding) {
                return;
            }
            let wait = if self.denials == 0 { FIRST_DENIED_WAIT } else { DENIED_WAIT };
            self.denials += 1;
            self.denied_until = Some(now + wait);
        } else if !matches!(work, Work::Time) {
            self.denials = 0;
        }
        match work {
            Work::Setup => {}
            Work::Time => {
                if let Reading::Content(root) = &reading {
                    self.caller.handle_time(now, Some(root));
                }
            }
            Work::Move(call) => {
                let heard = match reading {
                    Reading::Content(_) => Heard::Done,
                    Reading::Denied(_) => Heard::Denied,
                    Reading::Fault { .. } | Reading::Again => Heard::Refused,
                };
                self.handle_heard(now, &call, heard);
            }
            Work::Command(id, call) => {
                let answer = match reading {
                    Reading::Content(root) => Ok(done(&call, &root)),
                    Reading::Denied(_) => Err(Refusal::NotPermitted),
                    Reading::Fault { .. } | Reading::Again => Err(Refusal::Refused),
                };
                self.outputs.push_back(Output::Answer(id, answer));
            }
        }
    }

    fn handle_heard(&mut self, now: Instant, call: &PtzCall, heard: Heard) {
        if let Some(mover) = &mut self.mover {
            mover.handle_heard(now, call, heard);
        }
    }

    /// Handles a refusal of the credentials. Returns false if nothing may be asked for a while.
    fn handle_denied(&mut self, now: Instant, finding: &Finding) -> bool {
        if *finding == Finding::NotPermitted && self.caller.is_proven() {
            // The password was right before. The camera's clock may have been set.
            self.wants_time = true;
            return true;
        }
        self.fail(now, finding.clone(), HOPELESS_WAIT);
        false
    }

    pub(super) fn handle_silent_work(&mut self, now: Instant, work: Work) {
        match work {
            Work::Setup => self.handle_silent_setup(now),
            Work::Time => {}
            Work::Move(call) => self.handle_heard(now, &call, Heard::Nothing),
            Work::Command(id, _) => {
                self.outputs.push_back(Output::Answer(id, Err(Refusal::Silent)));
            }
        }
    }

    /// Makes the next call about events.
    pub(super) fn send_next_event(&mut self, now: Instant) {
        if self.event.is_some() {
            return;
        }
        let Some(watcher) = &mut self.watcher else { return };
        let Some(call) = watcher.poll_call(now) else { return };
        let reference = watcher.reference();
        let slot = match reference {
            Some(reference) => Slot::At(self.caller.rebase(&reference.address)),
            None => Slot::Events,
        };
        let time = match call {
            EventCall::Pull => PULL_TIME + CALL_TIME,
            EventCall::Unsubscribe => UNSUBSCRIBE_TIME,
            EventCall::Subscribe { .. } | EventCall::Synchronize | EventCall::Renew => CALL_TIME,
        };
        let (action, headers, body) = (call.action(), call.headers(reference), call.body());
        let ask = Ask { slot, action, headers, body, time };
        let (request, pending) = self.caller.send(now, ask);
        self.outputs.push_back(Output::Send(request));
        self.event = Some((pending, call));
    }

    pub(super) fn handle_event(
        &mut self,
        now: Instant,
        mut pending: Pending,
        call: EventCall,
        reply: &Reply,
    ) {
        match self.caller.read(&mut pending, reply) {
            Reading::Content(root) => {
                self.event_denials = 0;
                let outcome = self.handle_event_content(now, call, &root, reply);
                self.handle_outcome(now, call, outcome);
            }
            Reading::Again => {
                let (request, pending) = self.caller.send_again(now, pending);
                self.outputs.push_back(Output::Send(request));
                self.event = Some((pending, call));
            }
            Reading::Fault { is_unknown } => {
                self.handle_outcome(now, call, Outcome::Refused(is_unknown));
            }
            Reading::Denied(finding) => {
                if self.handle_denied(now, &finding)
                    && let Some(watcher) = &mut self.watcher
                {
                    let is_first = self.event_denials == 0;
                    self.event_denials += 1;
                    let wait = if is_first { EVENTS_DENIED_WAIT } else { NO_EVENTS_WAIT };
                    watcher.handle_denied(now, call, wait);
                }
            }
        }
    }

    fn handle_event_content(
        &mut self,
        now: Instant,
        call: EventCall,
        root: &Element,
        reply: &Reply,
    ) -> Outcome {
        let lifetime = || lifetime(root, self.caller.camera_s(now));
        match call {
            EventCall::Subscribe { .. } => {
                let reference = Reference::read(root, &reply.body, self.caller.event_service());
                Outcome::Subscribed(reference, lifetime())
            }
            EventCall::Renew => Outcome::Renewed(lifetime()),
            EventCall::Pull => {
                let told = read_motion(root, &self.sources);
                self.motion.handle_told(now, told);
                Outcome::Pulled(root.all("NotificationMessage").len())
            }
            EventCall::Synchronize | EventCall::Unsubscribe => Outcome::Done,
        }
    }

    pub(super) fn handle_outcome(&mut self, now: Instant, call: EventCall, outcome: Outcome) {
        if let Some(watcher) = &mut self.watcher {
            watcher.handle_outcome(now, call, outcome);
        }
    }
}

/// Returns what a camera has answered to a command.
fn done(call: &PtzCall, root: &Element) -> Done {
    match call {
        PtzCall::Presets => Done::Presets(Preset::read_all(root)),
        PtzCall::Save(name) => Preset::read_token(root)
            .map_or(Done::Nothing, |token| Done::Saved(Preset { token, name: name.clone() })),
        PtzCall::Node(_)
        | PtzCall::Options(_)
        | PtzCall::Move { .. }
        | PtzCall::Stop
        | PtzCall::GoTo(_)
        | PtzCall::Remove(_) => Done::Nothing,
    }
}
