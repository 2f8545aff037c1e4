//! The movement of a camera, which ends by itself unless somebody goes on asking for it.
//!
//! A camera that goes on turning is the worst that can happen. So a movement is told with a timeout
//! of the camera's own, and renewed only while the person renews it; its end is told until the
//! camera has heard it.

use std::time::{Duration, Instant};

use crate::onvif::ptz::{Abilities, PtzCall, Velocity};

/// Time after the last request for a movement at which it ends.
pub(super) const LEASE: Duration = Duration::from_millis(1000);

/// Time after the last request for a movement in which nobody else may move the camera.
pub(super) const HOLD: Duration = Duration::from_millis(2000);

/// Time after which a movement that goes on is told again: well before the camera's own timeout.
const RENEWAL: Duration = Duration::from_millis(500);

/// Time until a stop that the camera has not heard is told again.
const STOP_AGAIN: Duration = Duration::from_millis(250);

/// Maximum number of times that one stop is told. By then the camera's own timeout is over.
const MAX_STOPS: u32 = 10;

/// Number of movements in a row without an answer after which the person is told.
const MAX_SILENT: u32 = 2;

/// The way in which a camera is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StopWay {
    /// The call for it.
    Stop,
    /// A movement of no speed, for cameras without the call.
    Zero,
}

/// Result of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// The camera has done it.
    Done,
    /// The camera refuses it.
    Refused,
    /// The camera refuses it to this user.
    Denied,
    /// The camera has not answered, and may have done it.
    Nothing,
}

#[derive(Debug)]
struct Holder {
    name: String,
    last: Instant,
}

/// The movement of one camera.
#[derive(Debug)]
pub(super) struct Mover {
    abilities: Abilities,
    holder: Option<Holder>,
    /// The speed that is asked for, until the end of its lease.
    wanted: Velocity,
    lease_end: Option<Instant>,
    /// The speed that the camera was told last, and when; `None` once it is known to stand still.
    told: Option<(Velocity, Instant)>,
    /// The same before the last movement was told.
    before: Option<(Velocity, Instant)>,
    /// True if the person has asked again since the camera was told.
    is_renewed: bool,
    has_timeout: bool,
    stop_way: StopWay,
    stops: u32,
    stop_at: Instant,
    /// True if a movement had no answer, and may be begun by the camera later.
    is_unsure: bool,
    /// Movements in a row that had no answer.
    silent: u32,
    /// The outcome of the movement if the camera has failed; the next request is told so.
    failure: Option<Heard>,
}

impl Mover {
    pub(super) fn new(abilities: Abilities, now: Instant) -> Self {
        Self {
            abilities,
            holder: None,
            wanted: Velocity::default(),
            lease_end: None,
            told: None,
            before: None,
            is_renewed: false,
            has_timeout: true,
            stop_way: StopWay::Stop,
            stops: 0,
            stop_at: now,
            is_unsure: false,
            silent: 0,
            failure: None,
        }
    }

    pub(super) fn abilities(&self) -> &Abilities {
        &self.abilities
    }

    /// Handles the request of a person for a movement. Returns what became of the one before, if
    /// the camera has failed.
    ///
    /// # Errors
    /// With the name of who is moving the camera, if that is somebody else.
    pub(super) fn handle_move(
        &mut self,
        now: Instant,
        by: &str,
        velocity: Velocity,
    ) -> Result<Option<Heard>, String> {
        self.hold(now, by)?;
        self.wanted = self.abilities.limit(velocity);
        self.lease_end = Some(now + LEASE);
        self.is_renewed = true;
        let failure = self.failure.take();
        if failure.is_some() {
            self.release();
        }
        Ok(failure)
    }

    /// Gives the camera to a person for a while, and ends the movement that goes on.
    ///
    /// # Errors
    /// With the name of who is moving the camera, if that is somebody else.
    pub(super) fn take(&mut self, now: Instant, by: &str) -> Result<(), String> {
        self.hold(now, by)?;
        self.release();
        Ok(())
    }

    fn hold(&mut self, now: Instant, by: &str) -> Result<(), String> {
        if let Some(name) = self.held_by(now).filter(|name| *name != by) {
            return Err(name.to_owned());
        }
        self.holder = Some(Holder { name: by.to_owned(), last: now });
        Ok(())
    }

    /// Ends the movement.
    pub(super) fn release(&mut self) {
        (self.wanted, self.lease_end) = (Velocity::default(), None);
    }

    /// Returns the name of who is moving the camera.
    pub(super) fn held_by(&self, now: Instant) -> Option<&str> {
        let holder = self.holder.as_ref().filter(|holder| now < holder.last + HOLD)?;
        Some(&holder.name)
    }

    /// Returns true if the camera may be turning because of us.
    pub(super) fn is_moving(&self) -> bool {
        self.told.is_some()
    }

    /// Returns the next call, if one is due. Only one may be in flight.
    pub(super) fn poll_call(&mut self, now: Instant) -> Option<PtzCall> {
        let wanted = self.wanted_at(now);
        if wanted.is_zero() {
            let (before, _) = self.told.filter(|_| now >= self.stop_at)?;
            self.stops += 1;
            return Some(match self.stop_way {
                StopWay::Stop => PtzCall::Stop,
                StopWay::Zero => self.move_call(Velocity::default(), before),
            });
        }
        let is_due = match self.told {
            Some((velocity, at)) => velocity != wanted || self.is_renewed && now >= at + RENEWAL,
            None => self.is_renewed,
        };
        if !is_due {
            return None;
        }
        self.before = self.told.replace((wanted, now));
        (self.is_renewed, self.stops, self.stop_at) = (false, 0, now);
        let before = self.before.map(|(velocity, _)| velocity);
        Some(self.move_call(wanted, before.unwrap_or_default()))
    }

    fn wanted_at(&self, now: Instant) -> Velocity {
        let is_wanted = self.lease_end.is_some_and(|end| now < end);
        if is_wanted { self.wanted } else { Velocity::default() }
    }

    fn move_call(&self, velocity: Velocity, before: Velocity) -> PtzCall {
        PtzCall::Move { velocity, before, has_timeout: self.has_timeout }
    }

    /// Handles the end of a call.
    pub(super) fn handle_heard(&mut self, now: Instant, call: &PtzCall, heard: Heard) {
        match call {
            PtzCall::Move { velocity, .. } if !velocity.is_zero() => self.handle_moved(now, heard),
            PtzCall::Move { .. } | PtzCall::Stop => self.handle_stopped(now, call, heard),
            PtzCall::Node(_)
            | PtzCall::Options(_)
            | PtzCall::Presets
            | PtzCall::GoTo(_)
            | PtzCall::Save(_)
            | PtzCall::Remove(_) => {}
        }
    }

    fn handle_moved(&mut self, now: Instant, heard: Heard) {
        match heard {
            Heard::Done => self.silent = 0,
            // Some cameras know no timeout; theirs has a default (ONVIF PTZ §5.2).
            Heard::Refused if self.has_timeout => {
                self.has_timeout = false;
                // Told again at once, or stopped if nobody wants it any more.
                self.told = Some((Velocity::default(), now));
            }
            Heard::Refused => {
                (self.failure, self.has_timeout) = (Some(heard), true);
                self.release();
                self.stop_at = now;
            }
            // Not told in another way: accounts lock.
            Heard::Denied => {
                self.release();
                (self.told, self.stop_at) = (self.before, now);
            }
            Heard::Nothing => {
                self.is_unsure = true;
                self.silent = self.silent.saturating_add(1);
                if self.silent >= MAX_SILENT {
                    self.silent = 0;
                    self.failure = Some(heard);
                }
            }
        }
    }

    fn handle_stopped(&mut self, now: Instant, call: &PtzCall, heard: Heard) {
        let is_last = self.stops >= MAX_STOPS;
        match heard {
            Heard::Done if std::mem::take(&mut self.is_unsure) && !is_last => {
                self.stop_at = now + LEASE;
            }
            Heard::Refused if *call == PtzCall::Stop => {
                self.stop_way = StopWay::Zero;
                self.stop_at = now;
            }
            // It may be allowed once the clock of the camera is known again.
            Heard::Refused | Heard::Denied | Heard::Nothing if !is_last => {
                self.stop_at = now + STOP_AGAIN;
            }
            Heard::Done | Heard::Refused | Heard::Denied | Heard::Nothing => self.told = None,
        }
    }

    /// Returns the time at which the camera is nobody's again.
    pub(super) fn held_until(&self, now: Instant) -> Option<Instant> {
        self.holder.as_ref().map(|it| it.last + HOLD).filter(|end| now < *end)
    }

    /// Returns the time at which [`Self::poll_call`] is due by itself.
    pub(super) fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        let lease = self.lease_end.filter(|end| now < *end);
        let stop = self.told.filter(|_| self.wanted_at(now).is_zero()).map(|_| self.stop_at);
        let renewal = self.told.filter(|_| self.is_renewed).map(|(_, at)| at + RENEWAL);
        [lease, stop, renewal.filter(|_| lease.is_some())].into_iter().flatten().min()
    }
}
