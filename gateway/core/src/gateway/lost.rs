//! Cameras that have failed for a while: perhaps they have another address now.

use std::time::{Duration, Instant};

use porthole_signaling_proto::{CameraId, StreamRole};

use super::Gateway;
use crate::Output;
use crate::camera::{Camera, Stream};
use crate::question::QuestionOutput;

/// Time for which a camera fails before it is looked for: longer than one that restarts.
const LOST_AFTER: Duration = Duration::from_secs(30);

/// Time until a camera that goes on failing is looked for again.
const AGAIN_AFTER: Duration = Duration::from_secs(300);

impl Gateway {
    /// Notes which cameras fail, after the state of one has changed.
    pub(super) fn note_failing(&mut self, now: Instant) {
        for (id, camera) in self.cameras.iter().filter(|(_, camera)| !camera.is_provisional()) {
            if !is_failing(camera) {
                self.lost.remove(id);
            } else if !self.lost.contains_key(id) {
                self.lost.insert(id.clone(), now + LOST_AFTER);
            }
        }
    }

    /// Tells the cameras that have failed for a while.
    pub(super) fn tell_lost(&mut self, now: Instant) {
        let mut told: Vec<CameraId> = Vec::new();
        for (id, due) in self.lost.iter_mut().filter(|(_, due)| **due <= now) {
            *due = now + AGAIN_AFTER;
            told.push(id.clone());
        }
        let told = told.into_iter().map(|id| Output::Question(QuestionOutput::Lost(id)));
        self.outbox.extend(told);
    }

    /// Returns the time at which [`Self::tell_lost`] is due.
    pub(super) fn next_lost(&self) -> Option<Instant> {
        self.lost.values().min().copied()
    }
}

fn is_failing(camera: &Camera) -> bool {
    camera.stream(StreamRole::Main).and_then(Stream::failure).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Core as _;
    use crate::camera::{CameraChange, SourceEvent};
    use crate::gateway::tests::{Case, main_stream};

    fn lost(case: &mut Case) -> Vec<String> {
        let outputs = case.outputs().into_iter().filter_map(|output| match output {
            Output::Question(QuestionOutput::Lost(id)) => Some(id.to_string()),
            Output::Question(_)
            | Output::Signal(_)
            | Output::Datagram(_)
            | Output::TurnTransport(..)
            | Output::Source(..)
            | Output::DoubtLink
            | Output::Resolve(_) => None,
        });
        outputs.collect()
    }

    #[test]
    fn a_camera_that_fails_for_half_a_minute_is_looked_for_every_five_minutes() {
        let mut case = Case::new();
        case.outputs();
        let fail = |case: &mut Case| {
            let reason = "it is off".to_owned();
            let ended = SourceEvent::Ended { reason, needs_a_person: false };
            case.gateway.handle_source(case.now, &main_stream("yard"), ended);
        };
        fail(&mut case);
        let mut told = Vec::new();
        for second in 0_u64..700 {
            case.now += Duration::from_secs(1);
            case.gateway.handle_timeout(case.now);
            // Each try fails at once.
            fail(&mut case);
            told.extend(lost(&mut case).into_iter().map(|id| (id, second + 1)));
        }
        let yard = || "yard".to_owned();
        assert_eq!(told, [(yard(), 30), (yard(), 330), (yard(), 630)]);
        case.gateway.change_camera(case.now, CameraChange::Removed("yard".parse().unwrap()));
        case.now += AGAIN_AFTER;
        case.gateway.handle_timeout(case.now);
        assert_eq!(lost(&mut case), Vec::<String>::new());
    }
}
