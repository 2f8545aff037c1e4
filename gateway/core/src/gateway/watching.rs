//! First pictures and sound of a viewer: the cached groups, and what follows them.

use std::time::Instant;

use porthole_signaling_proto::SessionId;
use tracing::info;

use super::{Gateway, PANIC_REASON, REPORT_DELAY, catch_panic};
use crate::camera::Viewer;
use crate::dtls_srtp::SrtpProfile;
use crate::media::{MediaKind, MediaPacket};
use crate::session::Session;
use crate::stats::EndReason;

impl Gateway {
    /// Sends the cached groups of pictures to a viewer whose session has just started.
    pub(super) fn start_watching(&mut self, now: Instant, id: &SessionId) {
        self.join_uplink(now, id);
        self.count_start(now, id);
        let Some(session) = self.sessions.get(id) else { return };
        let path = session.describe_path();
        let srtp = session.srtp_profile().map(SrtpProfile::name);
        info!(session = %id, stream = session.describe_sources(), path, srtp, "watching");
        self.report_at.get_or_insert(now + REPORT_DELAY);
        let negotiated = session.sections().iter().enumerate().filter(|(_, s)| s.codec().is_some());
        let sections: Vec<_> = negotiated.map(|(index, section)| (index, section.kind())).collect();
        for (section, kind) in sections {
            match kind {
                MediaKind::Video if self.begin_low(now, id, section) => {}
                MediaKind::Video => self.send_gop(now, id, section, Session::send_burst),
                MediaKind::Audio => self.start_listening(id, section),
            }
        }
        self.prepare_ladder(id);
    }

    /// Begins to send sound to a section, which the viewer has taken.
    fn start_listening(&mut self, id: &SessionId, section: usize) {
        let Some(source) = self.source_of(id, section) else { return };
        if let Some(stream) = self.stream_mut(&source) {
            stream.add_listener(Viewer { session: id.clone(), section });
        }
    }

    /// Handles a viewer's request for a key frame: the cached group of pictures restarts its
    /// decoder at once, and the camera is asked for a fresh key frame if it supports that.
    pub(super) fn send_key_frame(&mut self, now: Instant, id: &SessionId, section: usize) {
        let Some(source) = self.source_of(id, section) else { return };
        self.send_gop(now, id, section, Session::send_recovery_burst);
        if let Some(stream) = self.stream_mut(&source) {
            stream.request_key_frame(now);
        }
        self.collect_stream_outputs(&source);
    }

    /// Sends the stream's cached group of pictures with `send`, or requests a key frame if there is
    /// none.
    fn send_gop(
        &mut self,
        now: Instant,
        id: &SessionId,
        section: usize,
        send: impl FnOnce(&mut Session, Instant, usize, &[MediaPacket]),
    ) {
        let Some(source) = self.source_of(id, section) else { return };
        let Some(session) = self.sessions.get_mut(id) else { return };
        let camera = self.cameras.get_mut(&source.camera);
        let Some(stream) = camera.and_then(|camera| camera.stream_mut(source.role)) else { return };
        let group = stream.group_of_pictures();
        if group.is_empty() {
            stream.request_key_frame(now);
        } else if catch_panic(|| send(session, now, section, group)).is_none() {
            return self.end_session(now, id, EndReason::Fault, PANIC_REASON);
        }
        self.collect_stream_outputs(&source);
    }
}
