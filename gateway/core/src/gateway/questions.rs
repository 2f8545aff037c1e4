//! The questions of the server that belong to no session, and the cameras that a probe has found.

use std::time::{Duration, Instant};

use porthole_signaling_proto::CameraId;
use porthole_signaling_proto::manage::{PROVISIONAL_S, ProgressParams, RemovedResult};
use porthole_signaling_proto::method::{
    AddCamera, ApplySettings, ChangeCamera, CheckSettings, Discover, Empty, Move, Presets, Probe,
    ReadConfiguration, RemoveCamera, SavePreset, SealingKey, StoredCameras,
};
use porthole_signaling_proto::rpc::{Fault, Message, RequestId, code};

use super::Gateway;
use crate::Output;
use crate::camera::Camera;
use crate::question::{Answer, Progress, Question, QuestionEvent, QuestionId, QuestionOutput};

/// Maximum number of provisional cameras: two recorders with 32 channels.
pub(super) const MAX_PROVISIONAL: usize = 64;

/// Time for which a provisional camera is kept without a viewer.
const PROVISIONAL: Duration = Duration::from_secs(PROVISIONAL_S);

impl Gateway {
    /// Handles a question: passes it to the driver, or refuses it.
    pub(super) fn handle_question(
        &mut self,
        now: Instant,
        request: RequestId,
        question: Question,
    ) -> Result<(), Fault> {
        let id = self.questions.admit(now, request, &question)?;
        self.ask(QuestionOutput::Ask(id, question));
        Ok(())
    }

    /// Handles the end of a request that nobody waits for any more.
    pub(super) fn cancel_question(&mut self, request: &RequestId) {
        if let Some(id) = self.questions.cancel(request) {
            self.ask(QuestionOutput::Cancel(id));
        }
    }

    /// Cancels all questions, because nobody can hear the answers.
    pub(super) fn cancel_questions(&mut self) {
        for id in self.questions.clear() {
            self.ask(QuestionOutput::Cancel(id));
        }
    }

    /// Answers the questions that the driver has not answered in time.
    pub(super) fn give_up_questions(&mut self, now: Instant) {
        for (id, request) in self.questions.take_late(now) {
            self.ask(QuestionOutput::Cancel(id));
            let text = "this gateway has not found out in time: try again";
            self.signal(Message::fault(Some(request), Fault::new(code::REQUEST_TIMEOUT, text)));
        }
    }

    pub(super) fn handle_question_event(&mut self, now: Instant, event: QuestionEvent) {
        match event {
            QuestionEvent::Progress(id, progress) => {
                if let Some(request) = self.questions.handle_progress(now, id) {
                    self.signal(progress_message(request, &progress));
                }
            }
            QuestionEvent::Answered(id, outcome) => self.answer(id, outcome),
        }
    }

    fn answer(&mut self, id: QuestionId, outcome: Result<Answer, Fault>) {
        let Some(request) = self.questions.remove(id) else { return };
        match outcome {
            Ok(Answer::SealingKey(result)) => self.reply::<SealingKey>(&request, &result),
            Ok(Answer::Discovered(result)) => self.reply::<Discover>(&request, &result),
            Ok(Answer::Probed(result)) => self.reply::<Probe>(&request, &result),
            Ok(Answer::Read(result)) => self.reply::<ReadConfiguration>(&request, &result),
            Ok(Answer::StoredCameras(result)) => self.reply::<StoredCameras>(&request, &result),
            Ok(Answer::Added(result)) => self.reply::<AddCamera>(&request, &result),
            Ok(Answer::Changed(result)) => self.reply::<ChangeCamera>(&request, &result),
            Ok(Answer::Removed(result)) => {
                self.reply::<RemoveCamera>(&request, &RemovedResult::from(&result));
            }
            // The others without a result are answered in the same way.
            Ok(Answer::Controlled) => self.reply::<Move>(&request, &Empty {}),
            Ok(Answer::Presets(result)) => self.reply::<Presets>(&request, &result),
            Ok(Answer::SavedPreset(preset)) => self.reply::<SavePreset>(&request, &preset),
            Ok(Answer::CheckedSettings(result)) => self.reply::<CheckSettings>(&request, &result),
            Ok(Answer::AppliedSettings(result)) => self.reply::<ApplySettings>(&request, &result),
            Err(fault) => self.signal(Message::fault(Some(request), fault)),
        }
    }

    fn ask(&mut self, output: QuestionOutput) {
        self.outbox.push_back(Output::Question(output));
    }

    /// Makes room for one more provisional camera: the one goes that was watched least recently,
    /// one with viewers last.
    pub(super) fn make_room(&mut self, now: Instant) {
        while self.provisional.len() >= MAX_PROVISIONAL {
            let watched = |id: &CameraId| self.cameras.get(id).is_some_and(Camera::is_watched);
            let oldest = self.provisional.iter().min_by_key(|(id, since)| (watched(id), **since));
            let Some(id) = oldest.map(|(id, _)| id.clone()) else { return };
            self.forget_provisional(now, &id);
        }
    }

    /// Forgets the provisional cameras that nobody has watched for a while.
    pub(super) fn forget_unwatched(&mut self, now: Instant) {
        let due = self.provisional.iter().filter(|(_, since)| **since + PROVISIONAL <= now);
        for id in due.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
            if self.cameras.get(&id).is_some_and(Camera::is_watched) {
                self.provisional.insert(id, now);
            } else {
                self.forget_provisional(now, &id);
            }
        }
    }

    /// Returns the time at which a provisional camera may have to be forgotten.
    pub(super) fn next_forgotten(&self) -> Option<Instant> {
        self.provisional.values().map(|since| *since + PROVISIONAL).min()
    }

    fn forget_provisional(&mut self, now: Instant, id: &CameraId) {
        self.remove_camera(now, id, "the camera was not added");
        self.report_at.get_or_insert(now + super::REPORT_DELAY);
        self.ask(QuestionOutput::Forgotten(id.clone()));
    }
}

fn progress_message(request: RequestId, progress: &Progress) -> Message {
    let params = match progress {
        Progress::Found(device) => ProgressParams::new(request, device),
        Progress::Probed(found) => ProgressParams::new(request, found),
        Progress::Imported(entry) => ProgressParams::new(request, entry),
    };
    Message::notification::<porthole_signaling_proto::method::Progress>(&params)
}

#[cfg(test)]
mod tests;
