//! The registry of cameras: cameras that are added, changed and removed while the gateway runs.

use std::time::Instant;

use porthole_signaling_proto::rpc::Message;
use porthole_signaling_proto::{CameraId, SessionId};
use rand::Rng as _;
use tracing::info;

use super::admission::no_camera;
use super::{Gateway, REPORT_DELAY};
use crate::camera::{Camera, CameraChange, CameraSettings};
use crate::session::Section;
use crate::stats::EndReason;

impl Gateway {
    /// Applies a change of the configuration. Viewers of other cameras notice nothing.
    pub(super) fn apply_camera_change(&mut self, now: Instant, change: CameraChange) {
        match change {
            CameraChange::Put(settings) => self.put_camera(now, settings),
            CameraChange::Adjusted { id, name, on_demand, picture } => {
                if let Some(camera) = self.cameras.get_mut(&id) {
                    info!(camera = %id, name, on_demand, ?picture, "the camera was adjusted");
                    camera.adjust(now, name, on_demand, picture);
                }
                let streams = self.stream_ids().into_iter().filter(|stream| stream.camera == id);
                for stream in streams.collect::<Vec<_>>() {
                    self.collect_stream_outputs(&stream);
                }
            }
            CameraChange::Removed(id) => {
                self.remove_camera(now, &id, "the camera has been removed");
            }
        }
        self.report_at.get_or_insert(now + REPORT_DELAY);
    }

    /// Adds a camera, in the place of one with the same id.
    fn put_camera(&mut self, now: Instant, settings: CameraSettings) {
        self.remove_camera(now, &settings.id, "the camera's settings have changed");
        let id = settings.id.clone();
        if settings.provisional {
            self.make_room(now);
            self.provisional.insert(id.clone(), now);
        }
        let camera = Camera::new(settings, self.rng.random());
        let streams: Vec<_> = camera.streams().map(|stream| stream.id().clone()).collect();
        self.cameras.insert(id, camera);
        for stream in streams {
            self.collect_stream_outputs(&stream);
        }
    }

    pub(super) fn remove_camera(&mut self, now: Instant, id: &CameraId, reason: &str) {
        self.provisional.remove(id);
        self.lost.remove(id);
        if !self.cameras.contains_key(id) {
            return;
        }
        info!(camera = %id, "{reason}");
        let is_of_camera = |section: &Section| section.source().camera == *id;
        let sessions = self.sessions.iter();
        let watching = sessions.filter(|(_, session)| session.sections().iter().any(is_of_camera));
        let watching: Vec<SessionId> = watching.map(|(session, _)| session.clone()).collect();
        for session in watching {
            self.end_session(now, &session, EndReason::Camera, reason);
        }
        let mut refused = Vec::new();
        self.pending_viewers.retain(|viewer| {
            let is_waiting = viewer.stream.camera == *id;
            if is_waiting {
                refused.push(viewer.id.clone());
            }
            !is_waiting
        });
        for request in refused {
            self.signal(Message::fault(Some(request), no_camera()));
        }
        let streams = self.stream_ids().into_iter().filter(|stream| stream.camera == *id);
        for stream in streams.collect::<Vec<_>>() {
            if let Some(known) = self.stream_mut(&stream) {
                known.stop();
            }
            self.collect_stream_outputs(&stream);
        }
        self.cameras.remove(id);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use porthole_signaling_proto::method::{Close, Notification as _, ReportParams, SessionParams};
    use porthole_signaling_proto::{
        CameraReport, CameraState, ControlReport, MAX_MESSAGE_BYTES, MotionReport,
    };

    use super::*;
    use crate::camera::{ControlFacts, Picture, SourceCommand, SourceEvent, Stream, StreamId};
    use crate::gateway::tests::{Case, fault_of, main_stream, params_of, signal};
    use crate::{Core as _, Output};

    fn settings(id: &str, name: &str, has_sub: bool) -> CameraSettings {
        CameraSettings {
            id: id.parse().unwrap(),
            name: name.to_owned(),
            on_demand: false,
            has_sub,
            picture: Picture::default(),
            provisional: false,
        }
    }

    /// Applies a change; returns the commands to sources, the ended sessions and what is reported.
    fn change(
        case: &mut Case,
        change: CameraChange,
    ) -> (Vec<(StreamId, SourceCommand)>, Vec<String>, Vec<CameraReport>) {
        case.outputs();
        case.gateway.change_camera(case.now, change);
        case.now += REPORT_DELAY;
        case.gateway.handle_timeout(case.now);
        let (mut commands, mut messages) = (Vec::new(), Vec::new());
        for output in case.outputs() {
            if let Output::Source(stream, command) = output {
                commands.push((stream, command));
            } else {
                messages.extend(signal(output));
            }
        }
        let closed = params_of::<SessionParams>(&messages, Close::NAME);
        let closed = closed.into_iter().map(|params| params.session.to_string()).collect();
        let reports = params_of::<ReportParams>(&messages, "portholeReport");
        (commands, closed, reports.into_iter().flat_map(|report| report.cameras).collect())
    }

    #[test]
    fn a_camera_is_added_adjusted_and_removed_and_nobody_else_notices() {
        let mut case = Case::described();
        case.connect("s1", Some("yard"));
        let (commands, closed, reports) =
            change(&mut case, CameraChange::Put(settings("gate", "Gate", true)));
        let gate = "gate".parse::<CameraId>().unwrap();
        let (main, sub) = (StreamId::main(gate.clone()), StreamId::sub(gate.clone()));
        let starts = [(main.clone(), SourceCommand::Start), (sub.clone(), SourceCommand::Start)];
        assert_eq!(commands, starts);
        assert_eq!(closed, Vec::<String>::new());
        assert_eq!(reports.len(), 3);

        let adjusted = CameraChange::Adjusted {
            id: gate.clone(),
            name: "Front gate".to_owned(),
            on_demand: false,
            picture: Picture { rotation: 90, mirrored: true },
        };
        let (commands, closed, reports) = change(&mut case, adjusted);
        assert_eq!((commands, closed), (Vec::new(), Vec::new()));
        let is_it = |report: &&CameraReport| report.name == "Front gate";
        let report = reports.iter().find(is_it).unwrap();
        assert_eq!((report.rotation, report.mirrored), (90, true));

        let (commands, closed, reports) = change(&mut case, CameraChange::Removed(gate.clone()));
        assert_eq!(commands, [(main, SourceCommand::Stop), (sub, SourceCommand::Stop)]);
        assert_eq!(closed, Vec::<String>::new());
        assert!(reports.len() == 2 && reports.iter().all(|report| report.id != gate));
        assert_eq!(case.gateway.sessions.len(), 1, "the yard's viewer goes on");
    }

    #[test]
    fn a_camera_becomes_one_on_demand_and_back_while_it_runs() {
        let mut case = Case::described();
        let gate = "gate".parse::<CameraId>().unwrap();
        change(&mut case, CameraChange::Put(settings("gate", "Gate", false)));
        let adjusted = |on_demand| CameraChange::Adjusted {
            id: gate.clone(),
            name: "Gate".to_owned(),
            on_demand,
            picture: Picture::default(),
        };
        change(&mut case, adjusted(true));
        case.now += Duration::from_secs(60);
        case.gateway.handle_timeout(case.now);
        let main = StreamId::main(gate.clone());
        let state = case.gateway.stream(&main).map(Stream::state);
        assert_eq!(state, Some(CameraState::Idle), "nobody watches it");
        let (commands, ..) = change(&mut case, adjusted(false));
        assert_eq!(commands, [(main, SourceCommand::Start)]);
    }

    #[test]
    fn what_the_controls_of_a_camera_find_out_is_reported_until_they_end() {
        let mut case = Case::described();
        let gate = "gate".parse::<CameraId>().unwrap();
        let motion = Some(MotionReport { active: true, last_s: Some(7) });
        let control = Some(ControlReport { zoom: true, ..ControlReport::default() });
        let facts = ControlFacts { control: control.clone(), motion: motion.clone() };
        // Before the camera is known here.
        case.gateway.handle_control(case.now, &gate, facts);
        for name in ["Gate", "Another place"] {
            let put = CameraChange::Put(settings("gate", name, false));
            let (_, _, reports) = change(&mut case, put);
            let report = reports.iter().find(|report| report.id == gate).unwrap();
            assert_eq!((&report.control, &report.motion), (&control, &motion), "{name}");
        }
        case.gateway.handle_control(case.now, &gate, ControlFacts::default());
        assert!(case.gateway.report_at.is_some(), "a change is reported");
        let (_, _, reports) = change(&mut case, CameraChange::Put(settings("gate", "Gate", false)));
        let report = reports.iter().find(|report| report.id == gate).unwrap();
        assert_eq!((&report.control, &report.motion), (&None, &None));
        case.gateway.handle_control(case.now, &gate, ControlFacts::default());
        assert!(case.gateway.report_at.is_none(), "what has not changed is not reported");
    }

    #[test]
    fn the_viewers_of_a_camera_that_changes_are_told_and_it_starts_again() {
        let mut case = Case::described();
        case.connect("s1", Some("yard"));
        case.connect("s2", Some("door"));
        let (commands, closed, _) =
            change(&mut case, CameraChange::Put(settings("yard", "YARD", false)));
        let yard = main_stream("yard");
        assert_eq!(closed, ["s1"]);
        assert_eq!(commands.last(), Some(&(yard.clone(), SourceCommand::Start)));
        assert!(commands.contains(&(yard, SourceCommand::Stop)));
        assert!(case.gateway.stream(&StreamId::sub("yard".parse().unwrap())).is_none());
    }

    #[test]
    fn a_viewer_who_waits_for_a_camera_that_is_removed_is_refused() {
        let mut case = Case::new();
        case.connect("s1", Some("door"));
        case.gateway.change_camera(case.now, CameraChange::Removed("door".parse().unwrap()));
        let signals = case.signals();
        assert!(
            fault_of(&signals).is_some_and(|fault| fault.to_string().contains("no such camera"))
        );
        assert!(case.gateway.pending_viewers.is_empty());
    }

    #[test]
    fn a_report_of_many_cameras_comes_in_parts_that_a_server_accepts() {
        let mut case = Case::described();
        // Control characters are the longest in JSON.
        let long = "\u{1}".repeat(64);
        for number in 0..256 {
            let id = format!("{number:0>60}");
            let settings = settings(&id, &long, true);
            case.gateway.change_camera(case.now, CameraChange::Put(settings));
        }
        for stream in case.gateway.stream_ids() {
            let (reason, needs_a_person) = ("\u{1}".repeat(300), true);
            let ended = SourceEvent::Ended { reason, needs_a_person };
            case.gateway.handle_source(case.now, &stream, ended);
        }
        case.outputs();
        case.now += REPORT_DELAY;
        case.gateway.handle_timeout(case.now);
        let messages: Vec<Message> = case.outputs().into_iter().filter_map(signal).collect();
        let longest = messages.iter().map(|message| message.to_json().len()).max();
        assert!(longest.is_some_and(|bytes| bytes <= MAX_MESSAGE_BYTES), "{longest:?}");
        let reports = params_of::<ReportParams>(&messages, "portholeReport");
        let (last, parts) = reports.split_last().unwrap();
        assert!(!last.more && last.sessions.is_some());
        assert!(parts.iter().all(|part| part.more && part.sessions.is_none()));
        let ids: std::collections::BTreeSet<_> =
            reports.iter().flat_map(|part| &part.cameras).map(|camera| &camera.id).collect();
        assert_eq!(ids.len(), 256 + 2, "each camera is in one part");
    }
}
