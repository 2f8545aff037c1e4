//! The questions in flight, within their bounds.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use porthole_signaling_proto::manage::{MAX_DURATION_S, MAX_SILENCE_S};
use porthole_signaling_proto::rpc::{Fault, RequestId, code};

use super::{Question, QuestionId};

/// Maximum number of questions in flight. Three people who add cameras have a probe each, a search
/// and a change.
const MAX_OPEN: usize = 16;

/// Maximum number of probes in flight. Each measures two streams at once.
const MAX_PROBES: usize = 2;

/// Maximum number of searches in flight.
const MAX_SEARCHES: usize = 2;

/// Maximum number of questions in a burst: adding 16 cameras takes three each, and the lists.
const MAX_BURST: u32 = 60;

/// Time in which one more question is allowed after a burst.
const REFILL: Duration = Duration::from_millis(500);

/// Maximum number of movements and requests about presets in flight. They are answered at once, or
/// by the camera.
const MAX_OPEN_CONTROLS: usize = 32;

/// Maximum number of them in a burst, and the time in which one more is allowed. A movement is
/// asked for three times a second: this is enough for ten people.
const MAX_CONTROL_BURST: u32 = 60;
const CONTROL_REFILL: Duration = Duration::from_millis(25);

/// Maximum number of pieces of progress of one question: a search finds 256 devices, each of which
/// may move a few times.
const MAX_PIECES: u32 = 2048;

/// Time without progress after which a question is answered with a fault: before the server does.
const SILENCE: Duration = Duration::from_secs(MAX_SILENCE_S - 5);

/// Time after which a question is answered with a fault, for the same reason.
const DURATION: Duration = Duration::from_secs(MAX_DURATION_S - 5);

/// The kinds of questions, as far as their numbers are bounded on their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Search,
    Probe,
    Short,
    Control,
}

impl Kind {
    fn of(question: &Question) -> Self {
        match question {
            Question::Discover(_) => Self::Search,
            // It measures two streams, too.
            Question::Probe(_) | Question::CheckSettings(_) => Self::Probe,
            Question::Control(..) => Self::Control,
            Question::SealingKey
            | Question::StoredCameras
            | Question::ReadConfiguration(_)
            | Question::AddCamera(_)
            | Question::ChangeCamera(_)
            | Question::RemoveCamera(_)
            | Question::ApplySettings(_) => Self::Short,
        }
    }
}

/// A question that is not answered yet.
#[derive(Debug)]
struct Open {
    request: RequestId,
    kind: Kind,
    started: Instant,
    /// Time of the last progress.
    heard: Instant,
    pieces: u32,
}

impl Open {
    fn deadline(&self) -> Instant {
        (self.heard + SILENCE).min(self.started + DURATION)
    }
}

/// A number of questions that grows back with time.
#[derive(Debug)]
struct Budget {
    most: u32,
    refill: Duration,
    /// Number of questions of the current burst, and the time up to which it was reduced.
    burst: u32,
    refilled: Option<Instant>,
}

impl Budget {
    fn new(most: u32, refill: Duration) -> Self {
        Self { most, refill, burst: 0, refilled: None }
    }

    /// Takes a question from the budget; returns false if there have been too many.
    fn take(&mut self, now: Instant) -> bool {
        let since = *self.refilled.get_or_insert(now);
        let passed = now.saturating_duration_since(since).as_millis() / self.refill.as_millis();
        let passed = u32::try_from(passed).unwrap_or(u32::MAX);
        if passed >= self.burst {
            (self.burst, self.refilled) = (0, Some(now));
        } else {
            self.burst -= passed;
            self.refilled = Some(since + self.refill * passed);
        }
        let has_room = self.burst < self.most;
        self.burst += u32::from(has_room);
        has_room
    }
}

/// The questions in flight.
#[derive(Debug)]
pub(crate) struct Registry {
    open: BTreeMap<QuestionId, Open>,
    next: u64,
    budget: Budget,
    controls: Budget,
}

impl Default for Registry {
    fn default() -> Self {
        Self {
            open: BTreeMap::new(),
            next: 0,
            budget: Budget::new(MAX_BURST, REFILL),
            controls: Budget::new(MAX_CONTROL_BURST, CONTROL_REFILL),
        }
    }
}

impl Registry {
    /// Admits a question, or returns the fault to answer with.
    pub(crate) fn admit(
        &mut self,
        now: Instant,
        request: RequestId,
        question: &Question,
    ) -> Result<QuestionId, Fault> {
        let kind = Kind::of(question);
        let refused = |text: &str| Err(Fault::new(code::INSUFFICIENT_RESOURCES, text));
        if self.open.values().any(|open| open.request == request) {
            return Err(Fault::new(code::CONFLICT, "a request with this id is in progress"));
        }
        let is_control = kind == Kind::Control;
        let budget = if is_control { &mut self.controls } else { &mut self.budget };
        if !budget.take(now) {
            return refused("this gateway is asked too much at once: try again in a minute");
        }
        let count = |wanted| self.open.values().filter(|open| open.kind == wanted).count();
        if kind == Kind::Probe && count(kind) >= MAX_PROBES {
            return refused("this gateway is asking other cameras now: try again when it is done");
        }
        if kind == Kind::Search && count(kind) >= MAX_SEARCHES {
            return refused("this gateway is looking for cameras already: wait until it is done");
        }
        let is_like = |open: &&Open| (open.kind == Kind::Control) == is_control;
        let most = if is_control { MAX_OPEN_CONTROLS } else { MAX_OPEN };
        if self.open.values().filter(is_like).count() >= most {
            return refused("this gateway has too many questions to answer: try again in a minute");
        }
        self.next += 1;
        let id = QuestionId(self.next);
        self.open.insert(id, Open { request, kind, started: now, heard: now, pieces: 0 });
        Ok(id)
    }

    /// Notes progress of a question. Returns the request that it belongs to; `None` if nobody waits
    /// for it, or if there was too much of it.
    pub(crate) fn handle_progress(&mut self, now: Instant, id: QuestionId) -> Option<RequestId> {
        let open = self.open.get_mut(&id)?;
        open.heard = now;
        open.pieces = open.pieces.saturating_add(1);
        (open.pieces <= MAX_PIECES).then(|| open.request.clone())
    }

    /// Removes a question that is answered. Returns its request; `None` if nobody waits for it.
    pub(crate) fn remove(&mut self, id: QuestionId) -> Option<RequestId> {
        self.open.remove(&id).map(|open| open.request)
    }

    /// Removes the question of a request that is cancelled.
    pub(crate) fn cancel(&mut self, request: &RequestId) -> Option<QuestionId> {
        let (id, _) = self.open.iter().find(|(_, open)| open.request == *request)?;
        let id = *id;
        self.open.remove(&id);
        Some(id)
    }

    /// Removes all questions.
    pub(crate) fn clear(&mut self) -> Vec<QuestionId> {
        std::mem::take(&mut self.open).into_keys().collect()
    }

    /// Returns the time at which [`Self::take_late`] is due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.open.values().map(Open::deadline).min()
    }

    /// Removes the questions that were not answered in time.
    pub(crate) fn take_late(&mut self, now: Instant) -> Vec<(QuestionId, RequestId)> {
        let late = self.open.iter().filter(|(_, open)| open.deadline() <= now);
        let late: Vec<_> = late.map(|(id, open)| (*id, open.request.clone())).collect();
        for (id, _) in &late {
            self.open.remove(id);
        }
        late
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }
}
