//! Viewers whose picture follows their path: main stream, sub stream, key frames of the sub stream.
//!
//! A viewer of a camera's main stream follows its path if the camera has a sub stream; one that has
//! chosen the sub stream keeps it. The [`Session`] decides from what the viewer reports; here, the
//! streams are connected, measured and exchanged.

use std::time::Instant;

use porthole_signaling_proto::{CameraState, SessionId, StreamRole};
use tracing::info;

use super::Gateway;
use crate::camera::{Stream, StreamId, Viewer};
use crate::congestion::{Decision, Rates, Rung};
use crate::ice;
use crate::ice::Path;
use crate::media::{MediaPacket, TrackCodec};
use crate::session::Session;
use crate::stats::EndReason;

impl Gateway {
    /// Prepares the sub stream for a viewer whose picture follows its path, so that its pictures
    /// are there at once when they are needed. In the local network that is so unlikely that the
    /// camera need not send both streams.
    pub(super) fn prepare_ladder(&mut self, id: &SessionId) {
        let Some(session) = self.sessions.get(id) else { return };
        let Some((section, _)) = session.following() else { return };
        if session.path().as_ref().is_some_and(is_local) {
            return;
        }
        self.stand_by(id, section, StreamRole::Sub);
    }

    fn stand_by(&mut self, id: &SessionId, section: usize, role: StreamRole) {
        let Some(source) = self.source_of(id, section) else { return };
        let other = StreamId { role, ..source };
        let Some(stream) = self.stream_mut(&other) else { return };
        stream.add_standby(Viewer { session: id.clone(), section });
        self.collect_stream_outputs(&other);
    }

    /// Lets a viewer's picture follow what is known about its path now.
    pub(super) fn follow_line(&mut self, now: Instant, id: &SessionId) {
        let Some(session) = self.sessions.get(id) else { return };
        let Some((section, _)) = session.following() else { return };
        let Some(source) = self.source_of(id, section) else { return };
        let streams = self.cameras.get(&source.camera);
        let rate = |role| streams.and_then(|it| it.stream(role)?.bits_per_second());
        // Before its rate is known, the sub stream is taken for one that fits.
        let Some(main) = rate(StreamRole::Main) else { return };
        let rates = Rates { main, sub: rate(StreamRole::Sub).unwrap_or(0) };
        let Some(session) = self.sessions.get_mut(id) else { return };
        match session.follow_line(now, &rates) {
            Decision::Stay => {}
            Decision::Down(rung) => self.go_down(now, id, section, rung),
            Decision::Up(rung) => {
                if rung == Rung::Sub {
                    self.stats.changes.add(rung.into(), 1);
                }
                self.stand_by_for_main(id, section, &source);
            }
        }
    }

    fn stand_by_for_main(&mut self, id: &SessionId, section: usize, source: &StreamId) {
        if source.role == StreamRole::Sub {
            self.stand_by(id, section, StreamRole::Main);
        }
    }

    /// Shows a lower rung, if the sub stream has pictures and the viewer takes them. Otherwise the
    /// sub stream is connected, and the next report decides again.
    fn go_down(&mut self, now: Instant, id: &SessionId, section: usize, rung: Rung) {
        let Some(source) = self.source_of(id, section) else { return };
        let sub = StreamId::sub(source.camera.clone());
        self.stand_by_for_sub(id, section, &source);
        let (Some(session), Some(camera)) =
            (self.sessions.get_mut(id), self.cameras.get_mut(&sub.camera))
        else {
            return;
        };
        let Some(stream) = camera.stream_mut(sub.role) else { return };
        let Some(shown) = session.sections().get(section) else { return };
        let group = stream.group_of_pictures();
        let is_ready = !group.is_empty()
            && codec_of(stream) == shown.codec()
            && shown.check_group(group).is_ok();
        if !is_ready {
            return;
        }
        let line = session.line();
        let (queue_ms, carried) = (line.queue.as_millis(), line.estimate.unwrap_or_default());
        info!(
            session = %id, camera = %sub.camera, rung = name(rung), queue_ms,
            "the viewer's path carries {} kbit/s", carried / 1000
        );
        let change = |session: &mut Session| session.go_down(now, rung, sub.clone(), group);
        if super::catch_panic(|| change(session)).is_none() {
            return self.end_session(now, id, EndReason::Fault, super::PANIC_REASON);
        }
        self.stats.changes.add(rung.into(), 1);
        if source.role == StreamRole::Main {
            self.exchange(id, section, &source, &sub);
        }
        self.process_session_outputs(now, id);
    }

    fn stand_by_for_sub(&mut self, id: &SessionId, section: usize, source: &StreamId) {
        if source.role == StreamRole::Main {
            self.stand_by(id, section, StreamRole::Sub);
        }
    }

    /// Makes a section a viewer of another stream of its camera. It may come back at any moment.
    fn exchange(&mut self, id: &SessionId, section: usize, from: &StreamId, to: &StreamId) {
        let viewer = Viewer { session: id.clone(), section };
        if let Some(stream) = self.stream_mut(to) {
            stream.add_viewer(viewer.clone());
        }
        if let Some(stream) = self.stream_mut(from) {
            stream.add_standby(viewer);
        }
        self.collect_stream_outputs(to);
        self.collect_stream_outputs(from);
    }

    /// Shows the main stream to those who wait for the key frame that is among these packets.
    pub(super) fn go_up(&mut self, now: Instant, id: &StreamId, packets: &[MediaPacket]) {
        let Some(stream) = self.stream(id).filter(|stream| !stream.standby().is_empty()) else {
            return;
        };
        let Some(start) = packets.iter().position(|packet| packet.starts_key_frame) else { return };
        let packets = packets.get(start..).unwrap_or_default();
        let codec = codec_of(stream);
        let waiting: Vec<_> = stream.standby().iter().cloned().collect();
        let sub = self.stream(&StreamId::sub(id.camera.clone()));
        // A path that carries little is no reason to look at a stream that has ended.
        let has_sub = sub.is_some_and(|sub| sub.state() == CameraState::Live);
        for Viewer { session, section } in waiting {
            let waits = self
                .sessions
                .get(&session)
                .is_some_and(|it| it.awaits_main(section) || !has_sub && it.is_below_main(section));
            let Some(source) = self.source_of(&session, section).filter(|_| waits) else {
                continue;
            };
            if codec.is_none() || self.negotiated_codec(&session, section) != codec {
                continue;
            }
            info!(session = %session, camera = %id.camera, rung = name(Rung::Main),
                "the viewer's path carries the main stream again");
            self.stats.changes.add(Rung::Main.into(), 1);
            self.exchange(&session, section, &source, id);
            self.with_session(now, &session, |it| it.go_up(now, id.clone(), packets));
        }
    }
}

fn codec_of(stream: &Stream) -> Option<TrackCodec> {
    stream.format().map(|format| TrackCodec::from(format.codec))
}

/// Returns the name of a rung in logs.
fn name(rung: Rung) -> &'static str {
    match rung {
        Rung::Main => "main stream",
        Rung::Sub => "sub stream",
        Rung::KeyFrames => "key frames of the sub stream",
    }
}

/// Returns true if a path stays in the local network.
fn is_local(path: &Path) -> bool {
    !path.is_relayed() && ice::is_local(path.remote.ip())
}
