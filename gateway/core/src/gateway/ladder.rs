//! Viewers whose picture follows their path: main stream, sub stream, key frames of the sub stream,
//! or a picture that stands.
//!
//! A viewer of a camera's main stream follows its path if the camera has a sub stream; one that has
//! chosen a stream keeps it, or sees a picture that stands. So does a viewer whose camera sends no
//! sub stream now. The [`Session`] decides from what the viewer reports; here, the
//! streams are connected, measured and exchanged.

use std::time::Instant;

use porthole_signaling_proto::method::{Shown, ShownParams, ShownPicture, ShownReason};
use porthole_signaling_proto::rpc::Message;
use porthole_signaling_proto::{CameraState, SessionId, StreamRole};
use tracing::info;

use super::Gateway;
use super::uplink::{Left, TO_BEGIN};
use crate::camera::{Stream, StreamId, Viewer};
use crate::congestion::{Decision, Line, Rates, Rung};
use crate::media::{MediaPacket, TrackCodec};
use crate::session::Session;
use crate::stats::EndReason;

impl Gateway {
    /// Prepares the sub stream for a viewer whose picture follows its path, so that its pictures
    /// are there at once when they are needed. In the local network, for those without a limit,
    /// that is so unlikely that the camera need not send both streams.
    pub(super) fn prepare_ladder(&mut self, id: &SessionId) {
        let Some(session) = self.sessions.get(id) else { return };
        let Some((section, _)) = session.following() else { return };
        let is_unlikely = self.is_in_network(session) && !self.caps.bind(id);
        if session.has_no_other() || is_unlikely {
            return;
        }
        if let Some(source) = self.source_of(id, section) {
            self.stand_by_for_sub(id, section, &source);
        }
    }

    fn stand_by(&mut self, id: &SessionId, section: usize, role: StreamRole) {
        let Some(source) = self.source_of(id, section) else { return };
        let other = StreamId { role, ..source };
        let Some(stream) = self.stream_mut(&other) else { return };
        stream.add_standby(Viewer { session: id.clone(), section });
        self.collect_stream_outputs(&other);
    }

    /// Lets a viewer's picture follow what is known about its path and the cap now.
    pub(super) fn follow_line(&mut self, now: Instant, id: &SessionId) {
        self.follow(now, id, Session::follow_line);
    }

    /// Lets a viewer's picture follow the caps, of which no report of the viewer says anything.
    pub(super) fn follow_cap(&mut self, now: Instant, id: &SessionId) {
        self.follow(now, id, |session, now, rates, left| session.follow_cap(now, rates, left));
    }

    fn follow(
        &mut self,
        now: Instant,
        id: &SessionId,
        decide: impl FnOnce(&mut Session, Instant, &Rates, Option<u64>) -> Decision,
    ) {
        self.look_for_sub(id);
        self.join_uplink(now, id);
        let Some(session) = self.sessions.get(id) else { return };
        let Some((section, _)) = session.following() else { return };
        let Some(source) = self.source_of(id, section) else { return };
        let Some(rates) = self.rates_for(session) else { return };
        let left = self.left(id);
        let Some(session) = self.sessions.get_mut(id) else { return };
        let line = session.line();
        match decide(session, now, &rates, left.map(|left| left.rate)) {
            Decision::Stay => {}
            Decision::Down(Rung::Still) => session.go_still(now),
            Decision::Down(rung) => self.go_down(now, id, section, rung),
            Decision::Up(Rung::Main) if session.awaits_main(section) => {
                self.stand_by_for_main(id, section, &source);
            }
            Decision::Up(_) => {}
        }
        self.join_uplink(now, id);
        self.count_change(id, &line, left);
    }

    /// Begins with the sub stream's cached group if the cap leaves too little for the main
    /// stream. Returns false if the viewer is to begin with its own.
    pub(super) fn begin_low(&mut self, now: Instant, id: &SessionId, section: usize) -> bool {
        let Some(source) = self.source_of(id, section) else { return false };
        let Some(left) = self.left(id) else { return false };
        let limit = left.rate;
        let is_low = self.may_begin_low(id, section, &source, limit);
        let sub = StreamId::sub(source.camera.clone());
        let rate = self.rate_of(if is_low { &sub } else { &source });
        let (Some(session), Some(camera)) =
            (self.sessions.get_mut(id), self.cameras.get_mut(&sub.camera))
        else {
            return false;
        };
        if !is_low {
            session.set_first_pace(section, limit, rate);
            return false;
        }
        let Some(stream) = camera.stream_mut(sub.role) else { return false };
        let group = stream.group_of_pictures();
        info!(session = %id, camera = %sub.camera, limit, "begins with the sub stream");
        let pace = (limit, rate);
        let begin = |session: &mut Session| session.begin_low(now, sub.clone(), group, pace);
        if super::catch_panic(|| begin(session)).is_none() {
            self.end_session(now, id, EndReason::Fault, super::PANIC_REASON);
            return true;
        }
        self.exchange(id, section, &source, &sub);
        self.join_uplink(now, id);
        self.tell_shown(id, &Line::default(), Some(left));
        true
    }

    /// Returns true if a viewer that begins is to begin with the sub stream, because too little is
    /// left for the main stream.
    fn may_begin_low(
        &mut self,
        id: &SessionId,
        section: usize,
        main: &StreamId,
        limit: u64,
    ) -> bool {
        let rate = self.rate_of(main);
        let is_little = rate.is_some_and(|rate| limit < rate.saturating_mul(TO_BEGIN) / 100);
        let follows = self.sessions.get(id).is_some_and(|session| {
            session.following().is_some_and(|(at, _)| at == section) && !session.has_no_other()
        });
        is_little && follows && self.can_show(id, section, &StreamId::sub(main.camera.clone()))
    }

    /// Lets a viewer whose picture follows its path do with the main stream or nothing while the
    /// sub stream has no pictures that it takes, and take the sub stream when it has.
    fn look_for_sub(&mut self, id: &SessionId) {
        let Some(session) = self.sessions.get(id) else { return };
        let Some((section, _)) = session.following() else { return };
        let (lacked, is_still) = (session.lacks_sub(), session.is_still());
        // As long as nothing of it is needed, nobody asks for it.
        if session.has_no_other() != lacked || !lacked && !is_still {
            return;
        }
        let Some(source) = self.source_of(id, section) else { return };
        let sub = StreamId::sub(source.camera.clone());
        let lacks = !self.can_show(id, section, &sub);
        let Some(session) = self.sessions.get_mut(id).filter(|_| lacks != lacked) else { return };
        session.set_lacks_sub(lacks);
        let next = if lacks { StreamId { role: StreamRole::Main, ..sub } } else { sub };
        if is_still && next != source {
            session.wait_for(next.clone());
            self.exchange(id, section, &source, &next);
        }
    }

    fn count_change(&mut self, id: &SessionId, line: &Line, left: Option<Left>) {
        if let Some(rung) = self.tell_shown(id, line, left) {
            self.stats.changes.add(rung.into(), 1);
        }
    }

    /// Tells a viewer which rung it sees now, and why, if that has changed: `line` is its path
    /// before the change, and `left` what the caps leave. Returns that rung.
    fn tell_shown(&mut self, id: &SessionId, line: &Line, left: Option<Left>) -> Option<Rung> {
        let session = self.sessions.get(id)?;
        let percent = if session.has_no_other() { 100 } else { TO_BEGIN };
        let rates = self.rates_for(session).unwrap_or_default();
        let (reason, carried) = reason(line, left, rates.main.saturating_mul(percent) / 100);
        let rung = self.sessions.get_mut(id)?.take_news()?;
        let kilobits = |rate: u64| u32::try_from(rate / 1000).unwrap_or(u32::MAX);
        let is_main = rung == Rung::Main;
        self.signal(Message::notification::<Shown>(&ShownParams {
            session: id.clone(),
            picture: match rung {
                Rung::Main => ShownPicture::Main,
                Rung::Sub => ShownPicture::Sub,
                Rung::KeyFrames => ShownPicture::KeyFrames,
                Rung::Still => ShownPicture::Still,
            },
            reason: (!is_main).then_some(reason),
            kbit_per_s: carried.filter(|_| !is_main).map(kilobits),
        }));
        Some(rung)
    }

    /// Returns true if a stream has pictures that the viewer of a section takes.
    fn can_show(&mut self, id: &SessionId, section: usize, source: &StreamId) -> bool {
        let (Some(session), Some(camera)) =
            (self.sessions.get(id), self.cameras.get_mut(&source.camera))
        else {
            return false;
        };
        let Some(stream) = camera.stream_mut(source.role) else { return false };
        let Some(shown) = session.sections().get(section) else { return false };
        let codec = codec_of(stream);
        let group = stream.group_of_pictures();
        !group.is_empty() && codec == shown.codec() && shown.check_group(group).is_ok()
    }

    fn stand_by_for_main(&mut self, id: &SessionId, section: usize, source: &StreamId) {
        if source.role == StreamRole::Sub {
            self.stand_by(id, section, StreamRole::Main);
        }
    }

    /// Shows a lower rung, if the sub stream has pictures and the viewer takes them. Otherwise the
    /// sub stream is connected, and until it has some there is the main stream or nothing.
    fn go_down(&mut self, now: Instant, id: &SessionId, section: usize, rung: Rung) {
        let Some(source) = self.source_of(id, section) else { return };
        let sub = StreamId::sub(source.camera.clone());
        self.stand_by_for_sub(id, section, &source);
        if !self.can_show(id, section, &sub) {
            return self.do_without_sub(now, id, section, source);
        }
        let (Some(session), Some(camera)) =
            (self.sessions.get_mut(id), self.cameras.get_mut(&sub.camera))
        else {
            return;
        };
        let Some(stream) = camera.stream_mut(sub.role) else { return };
        let group = stream.group_of_pictures();
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
        if source.role == StreamRole::Main {
            self.exchange(id, section, &source, &sub);
        }
        self.process_session_outputs(now, id);
    }

    /// Shows the main stream or nothing from now on: the sub stream has no pictures.
    fn do_without_sub(&mut self, now: Instant, id: &SessionId, section: usize, source: StreamId) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        session.set_lacks_sub(true);
        if session.shows_sub(section) {
            // The main stream is more than what is already too much.
            session.go_still(now);
            let main = StreamId { role: StreamRole::Main, ..source.clone() };
            session.wait_for(main.clone());
            self.exchange(id, section, &source, &main);
        }
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
                .is_some_and(|it| it.awaits_main(section) || !has_sub && it.shows_sub(section));
            let Some(source) = self.source_of(&session, section).filter(|_| waits) else {
                continue;
            };
            if codec.is_none() || self.negotiated_codec(&session, section) != codec {
                continue;
            }
            info!(session = %session, camera = %id.camera, rung = name(Rung::Main),
                "the viewer's path carries the main stream again");
            self.exchange(&session, section, &source, id);
            self.with_session(now, &session, |it| it.go_up(now, id.clone(), packets));
            self.count_change(&session, &Line::default(), None);
        }
    }
}

/// Returns the reason for which a viewer gets less than the main stream, which needs so many bits
/// per second, and those that were found to be carried: the least of its path, if that was too
/// narrow, and of what a cap leaves.
fn reason(line: &Line, left: Option<Left>, needed: u64) -> (ShownReason, Option<u64>) {
    let is_narrow = line.is_congested || line.is_losing || line.is_tripped;
    let by_cap = left.filter(|left| left.rate < needed);
    match by_cap {
        Some(Left { rate, reason })
            if !is_narrow || line.estimate.is_some_and(|path| path >= rate) =>
        {
            (reason, Some(rate))
        }
        Some(_) | None => (ShownReason::Path, line.estimate),
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
        Rung::Still => "none",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_the_least_of_the_path_and_the_cap() {
        use ShownReason::{Cap, Limit, Path};
        let clear = Line { is_clear: true, is_detailed: true, ..Line::default() };
        let full = Line { is_congested: true, ..Line::default() };
        let tripped = Line { is_tripped: true, ..Line::default() };
        let kilobits = |rate: u64| Some(rate * 1000);
        // The estimate of the path and what is left of the cap, in kbit/s, for a main stream that
        // needs 4600.
        type Case<'a> = (&'a str, Line, Option<u64>, Option<u64>, ShownReason, Option<u64>);
        let table: [Case<'_>; 9] = [
            ("no cap", full, kilobits(900), None, Path, kilobits(900)),
            ("a cap that suffices", full, kilobits(900), kilobits(6000), Path, kilobits(900)),
            ("a path below the cap", full, kilobits(300), kilobits(1800), Path, kilobits(300)),
            ("a cap below the path", full, kilobits(3000), kilobits(1800), Cap, kilobits(1800)),
            ("a clear path", clear, kilobits(600), kilobits(1800), Cap, kilobits(1800)),
            ("a clear path and no cap", clear, kilobits(600), None, Path, kilobits(600)),
            ("a path that is not known yet", clear, None, kilobits(4599), Cap, kilobits(4599)),
            ("it just suffices", clear, None, kilobits(4600), Path, None),
            ("a path of which only the loss is known", tripped, None, kilobits(1800), Path, None),
        ];
        for (case, line, estimate, left, expected, carried) in table {
            let line = Line { estimate, ..line };
            for of_cap in [Cap, Limit] {
                let left = left.map(|rate| Left { rate, reason: of_cap });
                let expected = if expected == Cap { of_cap } else { expected };
                assert_eq!(reason(&line, left, 4_600_000), (expected, carried), "{case}");
            }
        }
    }
}
