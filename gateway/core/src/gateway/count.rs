//! The numbers of a gateway: what has happened, and what is there now.

use std::time::Instant;

use porthole_metrics::Label as _;
use porthole_signaling_proto::{CameraId, CameraState, SessionId, StreamRole};
use tracing::info;

use super::Gateway;
use crate::camera::{Camera, Stream};
use crate::session::Session;
use crate::stats::{EndReason, Estimate, State, Stats};

impl Gateway {
    /// Counts a session that begins to watch.
    pub(super) fn count_start(&mut self, now: Instant, id: &SessionId) {
        let Some(session) = self.sessions.get(id) else { return };
        self.stats.setup.record(session.age(now));
        if let Some(path) = session.path_kind() {
            self.stats.started.add(path, 1);
        }
    }

    /// Counts the end of a session, and logs it in one line.
    pub(super) fn count_end(
        &mut self,
        now: Instant,
        id: &SessionId,
        session: &Session,
        reason: EndReason,
        words: &str,
    ) {
        let traffic = session.traffic();
        let (duration_s, path) = (session.age(now).as_secs_f32(), session.describe_path());
        info!(
            session = %id, stream = session.describe_sources(), path, duration_s,
            bytes = traffic.bytes, retransmitted_bytes = traffic.retransmitted_bytes,
            lost_packets = traffic.lost_packets, reason = reason.value(), "ended: {words}"
        );
        self.stats.note_end(reason, session.is_started(), &traffic);
    }

    /// Returns all numbers as they are now.
    pub(super) fn current_stats(&self) -> Stats {
        let mut stats = self.stats.clone();
        stats.uplink = self.uplink.shown();
        stats.max_uplink = self.uplink.cap().unwrap_or_default();
        let added = |(_, camera): &(&CameraId, &Camera)| !camera.is_provisional();
        for (_, camera) in self.cameras.iter().filter(added) {
            let state = camera.stream(StreamRole::Main).map_or(CameraState::Idle, Stream::state);
            stats.cameras.add(State::of(state), 1);
        }
        for session in self.sessions.values() {
            stats.traffic.add(&session.traffic());
            if !session.is_started() {
                stats.starting += 1;
                continue;
            }
            stats.estimates.add(Estimate::of(session.line().estimate), 1);
            if let Some(path) = session.path_kind() {
                stats.watching.add(path, 1);
            }
        }
        stats
    }
}
