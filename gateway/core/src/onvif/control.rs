//! One camera in the hand: it is moved, remembers places, and tells of motion.
//!
//! [`Control`] is a value with the contract of every core. It finds the device service, asks what
//! the camera can do, and then has two calls in flight at most: one that moves, one that waits for
//! events. It goes on for as long as the camera is configured, and gives everything back at
//! [`Control::close`]: the camera stands still, and its subscription is free.

mod caller;
mod lanes;
mod mover;
mod setup;
mod start;
mod watcher;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use thiserror::Error;

use super::events::{EventCall, Motion, Sources};
use super::finding::Finding;
use super::http::Reply;
use super::networks::NotAllowed;
use super::probe::knock::Knocks;
use super::probe::{CallError, Config as Device, Request};
use super::ptz::{Preset, PtzCall, Velocity};
use caller::{Caller, Pending};
use mover::{Heard, Mover};
use setup::Setup;
use watcher::{Outcome, Watcher};

/// Time for giving everything back at the end.
const CLOSE_TIME: Duration = Duration::from_secs(2);

/// Maximum number of requests that wait for the camera.
const MAX_WAITING: usize = 4;

/// Settings of a control.
#[derive(Debug, Clone)]
pub struct Config {
    /// The device, as for a probe.
    pub device: Device,
    /// Number of the camera in the device, from one, as a probe counts them.
    pub number: u32,
}

/// A request of a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Move at this speed until it is not asked for any more; or stop.
    Move {
        /// The name of the person.
        by: String,
        /// The speed in each direction.
        velocity: Velocity,
    },
    /// List the presets.
    Presets,
    /// Move to a preset.
    GoTo {
        /// The name of the person.
        by: String,
        /// Token of the preset.
        preset: String,
    },
    /// Remember where the camera looks now.
    Save {
        /// Name of the preset.
        name: String,
    },
    /// Forget a preset.
    Remove {
        /// Token of the preset.
        preset: String,
    },
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Done {
    /// The camera has done it, or will.
    Nothing,
    /// The presets of the camera.
    Presets(Vec<Preset>),
    /// The new preset.
    Saved(Preset),
}

/// Reasons for refusing a request.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The camera has not told yet what it can do.
    #[error("the camera does not answer to its controls yet: try again in a moment")]
    NotReady,
    /// The camera cannot be moved.
    #[error("this camera cannot be moved")]
    NotAble,
    /// The camera has no presets.
    #[error("this camera remembers no places")]
    NoPresets,
    /// The camera is moved by somebody else; the name.
    #[error("{0} is moving this camera: wait a moment")]
    Held(String),
    /// The requests are too many at once.
    #[error("the camera is busy with other requests: try again in a moment")]
    Busy,
    /// The camera refuses the request.
    #[error("the camera refuses to do this: look at its own page, or restart it")]
    Refused,
    /// The user of the gateway may not do this.
    #[error(
        "the camera does not allow this to the user that it was added with: give that user the \
         right to move it, or type another one"
    )]
    NotPermitted,
    /// The camera has not answered.
    #[error("the camera does not answer to its controls: try again in a moment")]
    Silent,
}

/// The abilities of a camera, and who moves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Abilities {
    /// True if it can be turned.
    pub pan_tilt: bool,
    /// True if it can zoom.
    pub zoom: bool,
    /// True if it remembers places.
    pub presets: bool,
    /// The name of who moves it now.
    pub held_by: Option<String>,
}

/// The motion in front of a camera.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// True while there is motion.
    pub active: bool,
    /// Time at which the latest motion began.
    pub began: Option<Instant>,
}

/// The facts about a camera that people see.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// The abilities; `None` if the camera cannot be moved.
    pub abilities: Option<Abilities>,
    /// The motion; `None` if the camera has told nothing about motion.
    pub motion: Option<Seen>,
}

/// An output of a control, to be applied by the driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send a request; pass the result to [`Control::handle_reply`] or [`Control::handle_error`].
    Send(Request),
    /// Drop the request with this number; nothing is expected of it any more.
    Cancel(u32),
    /// The answer to the command with this number.
    Answer(u64, Result<Done, Refusal>),
    /// The facts that people see have changed.
    Changed(State),
    /// The reason why nothing is controlled for now.
    Failed(Finding),
    /// The end: everything is given back.
    Closed,
}

/// The stages of a control.
#[derive(Debug)]
enum Stage {
    /// A pause, until then.
    Waiting(Instant),
    Knocking(Knocks),
    Asking(Box<Setup>),
    Ready,
    /// The end, with its deadline.
    Closing(Instant),
    Closed,
}

/// The meaning of the call in flight that is not about events.
#[derive(Debug)]
enum Work {
    Setup,
    /// The camera's clock.
    Time,
    Move(PtzCall),
    /// A command, with its number.
    Command(u64, PtzCall),
}

/// The control of one camera.
#[derive(Debug)]
pub struct Control {
    config: Config,
    starts: u64,
    caller: Caller,
    stage: Stage,
    failures: u32,
    silent: u32,
    /// The reason that was told last.
    failed: Option<Finding>,
    work: Option<(Pending, Work)>,
    event: Option<(Pending, EventCall)>,
    /// The media profile by which the camera is moved.
    profile: String,
    mover: Option<Mover>,
    waiting: VecDeque<(u64, PtzCall)>,
    watcher: Option<Watcher>,
    event_denials: u32,
    /// Number of times in a row that movements were refused to this user, and the time until which
    /// none is tried.
    denials: u32,
    denied_until: Option<Instant>,
    sources: Sources,
    motion: Motion,
    wants_time: bool,
    told: State,
    outputs: VecDeque<Output>,
}

impl Control {
    /// Creates a control, which begins at once.
    ///
    /// # Errors
    /// If the gateway may not contact the address.
    pub fn new(config: Config, now: Instant) -> Result<Self, NotAllowed> {
        config.device.networks.check(config.device.peer.ip())?;
        let mut control = Self {
            caller: Caller::new(&config.device, now, 0),
            config,
            starts: 0,
            stage: Stage::Waiting(now),
            failures: 0,
            silent: 0,
            failed: None,
            work: None,
            event: None,
            profile: String::new(),
            mover: None,
            waiting: VecDeque::new(),
            watcher: None,
            event_denials: 0,
            denials: 0,
            denied_until: None,
            sources: Sources::default(),
            motion: Motion::default(),
            wants_time: false,
            told: State::default(),
            outputs: VecDeque::new(),
        };
        control.go_on(now);
        Ok(control)
    }

    /// Handles a request of a person. It is answered once, under this number.
    pub fn handle_command(&mut self, now: Instant, id: u64, command: Command) {
        match self.admit(now, command) {
            Ok(Some(call)) => self.waiting.push_back((id, call)),
            Ok(None) => self.outputs.push_back(Output::Answer(id, Ok(Done::Nothing))),
            Err(refusal) => self.outputs.push_back(Output::Answer(id, Err(refusal))),
        }
        self.go_on(now);
    }

    /// Takes a request over. Returns the call that answers it, if one does.
    fn admit(&mut self, now: Instant, command: Command) -> Result<Option<PtzCall>, Refusal> {
        let is_ready = matches!(self.stage, Stage::Ready);
        let mover = self.mover.as_mut().filter(|_| is_ready);
        let mover = mover.ok_or(if is_ready { Refusal::NotAble } else { Refusal::NotReady })?;
        if self.denied_until.is_some_and(|until| now < until) {
            return Err(Refusal::NotPermitted);
        }
        let has_presets = mover.abilities().presets;
        let call = match command {
            Command::Move { by, velocity } => {
                let before = mover.handle_move(now, &by, velocity).map_err(Refusal::Held)?;
                return match before {
                    None | Some(Heard::Done) => Ok(None),
                    Some(Heard::Refused) => Err(Refusal::Refused),
                    Some(Heard::Denied) => Err(Refusal::NotPermitted),
                    Some(Heard::Nothing) => Err(Refusal::Silent),
                };
            }
            Command::Presets
            | Command::GoTo { .. }
            | Command::Save { .. }
            | Command::Remove { .. }
                if !has_presets =>
            {
                return Err(Refusal::NoPresets);
            }
            Command::Presets
            | Command::GoTo { .. }
            | Command::Save { .. }
            | Command::Remove { .. }
                if self.waiting.len() >= MAX_WAITING =>
            {
                return Err(Refusal::Busy);
            }
            Command::Presets => PtzCall::Presets,
            Command::GoTo { by, preset } => {
                mover.take(now, &by).map_err(Refusal::Held)?;
                PtzCall::GoTo(preset)
            }
            Command::Save { name } => PtzCall::Save(name),
            Command::Remove { preset } => PtzCall::Remove(preset),
        };
        Ok(Some(call))
    }

    /// Handles the reply to a request.
    pub fn handle_reply(&mut self, now: Instant, id: u32, reply: &Reply) {
        if let Stage::Knocking(knocks) = &mut self.stage {
            knocks.handle_reply(id, reply, self.caller.places());
        } else if let Some((pending, work)) = self.work.take_if(|(it, _)| it.id == id) {
            self.handle_work(now, pending, work, reply);
        } else if let Some((pending, call)) = self.event.take_if(|(it, _)| it.id == id) {
            self.handle_event(now, pending, call, reply);
        }
        self.go_on(now);
    }

    /// Handles a request that has no reply.
    pub fn handle_error(&mut self, now: Instant, id: u32, error: CallError) {
        if let Stage::Knocking(knocks) = &mut self.stage {
            knocks.handle_error(id, error);
        } else if let Some((_, work)) = self.work.take_if(|(it, _)| it.id == id) {
            self.handle_silent_work(now, work);
        } else if let Some((_, call)) = self.event.take_if(|(it, _)| it.id == id) {
            let outcome = match error {
                CallError::Refused | CallError::Unreachable => Outcome::Unreachable,
                CallError::Reply(_) => Outcome::Silent,
            };
            self.handle_outcome(now, call, outcome);
        }
        self.go_on(now);
    }

    /// Returns the next output; `None` until the next input.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Returns the time at which [`Self::handle_timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        let stage = match &self.stage {
            Stage::Waiting(until) | Stage::Closing(until) => Some(*until),
            Stage::Knocking(knocks) => knocks.deadline(),
            Stage::Asking(_) | Stage::Ready => None,
            Stage::Closed => return None,
        };
        let work = self.work.as_ref().map(|(pending, _)| pending.deadline);
        let event = self.event.as_ref().map(|(pending, _)| pending.deadline);
        let mover = self.mover.as_ref().filter(|_| work.is_none());
        let mover = mover.and_then(|mover| mover.poll_timeout(now));
        let held = self.mover.as_ref().and_then(|mover| mover.held_until(now));
        let watcher = self.watcher.as_ref().filter(|_| event.is_none() && stage.is_none());
        let watcher = watcher.and_then(Watcher::poll_timeout);
        let due = [stage, work, event, mover, held, watcher, self.motion.poll_timeout()];
        due.into_iter().flatten().min()
    }

    /// Processes everything that is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if let Stage::Knocking(knocks) = &mut self.stage {
            let late = knocks.handle_timeout(now);
            self.outputs.extend(late.into_iter().map(Output::Cancel));
        }
        if let Some((late, work)) = self.work.take_if(|(it, _)| it.deadline <= now) {
            self.outputs.push_back(Output::Cancel(late.id));
            self.handle_silent_work(now, work);
        }
        if let Some((late, call)) = self.event.take_if(|(it, _)| it.deadline <= now) {
            self.outputs.push_back(Output::Cancel(late.id));
            self.handle_outcome(now, call, Outcome::Silent);
        }
        self.motion.handle_timeout(now);
        self.go_on(now);
    }

    /// Stops the camera and gives its subscription back; [`Output::Closed`] follows within 2 s.
    pub fn close(&mut self, now: Instant) {
        if let Some(mover) = &mut self.mover {
            mover.release();
        }
        if let Some(watcher) = &mut self.watcher {
            watcher.close();
        }
        // A subscription that is being made is waited for, to be given back.
        if let Some((pull, _)) =
            self.event.take_if(|(_, call)| !matches!(call, EventCall::Subscribe { .. }))
        {
            self.outputs.push_back(Output::Cancel(pull.id));
        }
        if !matches!(self.stage, Stage::Ready | Stage::Closed) {
            self.cancel_all();
        }
        if !matches!(self.stage, Stage::Closed) {
            self.stage = Stage::Closing(now + CLOSE_TIME);
        }
        self.go_on(now);
    }

    fn cancel_all(&mut self) {
        let knocks = match &mut self.stage {
            Stage::Knocking(knocks) => knocks.cancel(),
            Stage::Waiting(_)
            | Stage::Asking(_)
            | Stage::Ready
            | Stage::Closing(_)
            | Stage::Closed => Vec::new(),
        };
        let work = self.work.take().map(|(pending, _)| pending.id);
        let event = self.event.take().map(|(pending, _)| pending.id);
        self.outputs.extend(knocks.into_iter().chain(work).chain(event).map(Output::Cancel));
    }

    /// Makes the calls that are due, and tells what has changed.
    fn go_on(&mut self, now: Instant) {
        match &self.stage {
            Stage::Waiting(until) if now >= *until => self.start(now),
            Stage::Waiting(_) | Stage::Closed => {}
            Stage::Knocking(_) => self.knock(now),
            Stage::Asking(setup) => {
                if self.work.is_none() {
                    let ask = setup.ask();
                    self.send_work(now, ask, Work::Setup);
                }
            }
            Stage::Ready => {
                self.send_next_work(now);
                self.send_next_event(now);
            }
            Stage::Closing(until) => self.go_on_closing(now, *until),
        }
        self.tell(now);
    }

    fn go_on_closing(&mut self, now: Instant, until: Instant) {
        self.send_next_work(now);
        self.send_next_event(now);
        let is_moving = self.mover.as_ref().is_some_and(Mover::is_moving);
        let is_subscribed = self.watcher.as_ref().is_some_and(Watcher::is_subscribed);
        let is_done = self.work.is_none() && self.event.is_none() && !is_moving && !is_subscribed;
        if is_done || now >= until {
            self.cancel_all();
            self.refuse_all(&Refusal::NotReady);
            self.stage = Stage::Closed;
            self.outputs.push_back(Output::Closed);
        }
    }

    fn refuse_all(&mut self, refusal: &Refusal) {
        for (id, _) in self.waiting.drain(..) {
            self.outputs.push_back(Output::Answer(id, Err(refusal.clone())));
        }
    }

    /// Tells the facts that people see, if they have changed.
    fn tell(&mut self, now: Instant) {
        let is_ready = matches!(self.stage, Stage::Ready);
        let abilities = self.mover.as_ref().filter(|_| is_ready).map(|mover| Abilities {
            pan_tilt: mover.abilities().pan_tilt.is_some(),
            zoom: mover.abilities().zoom.is_some(),
            presets: mover.abilities().presets,
            held_by: mover.held_by(now).map(ToOwned::to_owned),
        });
        let motion = self.motion.state().map(|(active, began)| Seen { active, began });
        let state = State { abilities, motion };
        if state != self.told {
            self.told = state.clone();
            self.outputs.push_back(Output::Changed(state));
        }
    }
}

#[cfg(test)]
mod tests;
