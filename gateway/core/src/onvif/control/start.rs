//! The start of a control: the device service is found, and asked what the camera can do.

use std::time::{Duration, Instant};

use super::caller::{Caller, Pending, Reading};
use super::mover::Mover;
use super::setup::{Facts, Setup};
use super::watcher::Watcher;
use super::{Control, Output, Refusal, Stage, Work};
use crate::onvif::finding::Finding;
use crate::onvif::http::Reply;
use crate::onvif::probe::CALL_TIME;
use crate::onvif::probe::knock::Knocks;
use crate::onvif::xml::Element;

/// First wait for a camera that does not answer. It doubles.
const FIRST_WAIT: Duration = Duration::from_secs(5);

/// Longest wait for a camera that does not answer.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// Wait for a device that speaks no ONVIF, has nothing to control, or refuses the password:
/// accounts lock, and only a person can help.
pub(super) const HOPELESS_WAIT: Duration = Duration::from_secs(3600);

/// Maximum number of calls of the setup in a row without an answer.
const MAX_SILENT: u32 = 2;

impl Control {
    pub(super) fn start(&mut self, now: Instant) {
        self.starts += 1;
        let mut device = self.config.device.clone();
        // Other nonces than the time before.
        device.seed = device.seed.wrapping_add(self.starts);
        self.caller = Caller::new(&device, now, self.caller.last_id());
        self.silent = 0;
        self.stage = Stage::Knocking(Knocks::new(&device));
        self.knock(now);
    }

    /// Sends the knocks that are due, and goes on once the result is known.
    pub(super) fn knock(&mut self, now: Instant) {
        let Stage::Knocking(knocks) = &mut self.stage else { return };
        while let Some(knock) = knocks.next(self.caller.last_id_mut(), now + CALL_TIME) {
            self.outputs.push_back(Output::Send(knock));
        }
        let Some(verdict) = knocks.verdict() else { return };
        self.cancel_all();
        match verdict {
            Err(finding @ Finding::NothingAnswers { .. }) => self.fail_silent(now, finding),
            Err(finding) => self.fail(now, finding, HOPELESS_WAIT),
            Ok((device, time)) => {
                self.caller.handle_device(now, device, time.as_ref());
                self.stage = Stage::Asking(Box::new(Setup::new(self.config.number)));
                self.go_on(now);
            }
        }
    }

    /// Waits for a camera that does not answer.
    fn fail_silent(&mut self, now: Instant, finding: Finding) {
        let wait = FIRST_WAIT.saturating_mul(2_u32.saturating_pow(self.failures));
        self.failures = self.failures.saturating_add(1);
        self.fail(now, finding, wait.min(LONGEST_WAIT));
    }

    /// Controls nothing for a while.
    pub(super) fn fail(&mut self, now: Instant, finding: Finding, wait: Duration) {
        if matches!(self.stage, Stage::Closing(_) | Stage::Closed) {
            return;
        }
        self.cancel_all();
        self.refuse_all(&Refusal::NotReady);
        (self.mover, self.watcher) = (None, None);
        self.stage = Stage::Waiting(now + wait);
        if self.failed.as_ref() != Some(&finding) {
            self.failed = Some(finding.clone());
            self.outputs.push_back(Output::Failed(finding));
        }
    }

    pub(super) fn handle_setup(&mut self, now: Instant, mut pending: Pending, reply: &Reply) {
        self.silent = 0;
        match self.caller.read(&mut pending, reply) {
            Reading::Content(root) => self.go_on_asking(now, Some(&root)),
            Reading::Again => self.send_work_again(now, pending, Work::Setup),
            // The password is right; this call is not for this user.
            Reading::Denied(Finding::NotPermitted) | Reading::Fault { .. } => {
                self.go_on_asking(now, None);
            }
            Reading::Denied(finding) => self.fail(now, finding, HOPELESS_WAIT),
        }
    }

    pub(super) fn handle_silent_setup(&mut self, now: Instant) {
        self.silent += 1;
        if self.silent >= MAX_SILENT {
            self.fail_silent(now, Finding::StoppedAnswering);
        } else {
            self.go_on_asking(now, None);
        }
    }

    fn go_on_asking(&mut self, now: Instant, root: Option<&Element>) {
        let Stage::Asking(setup) = &mut self.stage else { return };
        let Some(facts) = setup.handle(&mut self.caller, root) else { return };
        let Facts { ptz, sources, has_events } = facts;
        if ptz.is_none() && !has_events {
            // It may be another one after an update of its software.
            self.stage = Stage::Waiting(now + HOPELESS_WAIT);
            return;
        }
        (self.failures, self.failed, self.sources) = (0, None, sources);
        self.mover = ptz.map(|(profile, abilities)| {
            self.profile = profile;
            Mover::new(abilities, now)
        });
        self.watcher = has_events.then(|| Watcher::new(now));
        self.stage = Stage::Ready;
    }
}
