//! Admission of viewers: which stream a viewer gets, and when its session begins.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use porthole_signaling_proto::method::{
    ConnectDevice, ConnectDeviceParams, ConnectDeviceResult, OfferParams, RateCap,
};
use porthole_signaling_proto::rpc::{Fault, Message, RequestId, code};
use porthole_signaling_proto::{CameraId, IceServer, SessionId, StreamRole};
use rand::Rng as _;

use super::signaling::{DEFAULT_LIFETIME, bad_request};
use super::{Gateway, MAX_SESSIONS};
use crate::camera::{Stream, StreamId, Viewer};
use crate::media::{Codec, Format};
use crate::sdp;
use crate::sdp::{MediaKind, OfferedCodec, SdpError};
use crate::session::{Section, SectionConfig, Session, SessionConfig, SessionError};
use crate::stats::Refused;

/// Time for which a viewer waits for the first picture of a stream that has not sent one since the
/// gateway started. The server gives up after 10 s.
const ADMISSION_TIMEOUT: Duration = Duration::from_secs(9);

/// A request to watch a camera.
#[derive(Debug, Clone)]
pub(super) enum ViewerRequest {
    /// The gateway makes the offer (ONVIF WebRTC §5.4).
    Connect(ConnectDeviceParams),
    /// The viewer has made the offer (WHEP).
    Offer(OfferParams),
}

/// A viewer waiting for the first picture of a stream.
#[derive(Debug)]
pub(super) struct PendingViewer {
    pub(super) id: RequestId,
    pub(super) stream: StreamId,
    pub(super) deadline: Instant,
    request: ViewerRequest,
    /// The viewer cannot play the stream that it asked for, so it waits for the other one.
    is_fallback: bool,
}

/// The decision on a viewer of a stream.
#[derive(Debug, PartialEq, Eq)]
enum Admission {
    /// The stream has sent a picture before, so the session can begin.
    Now,
    /// The stream is connecting, or its first key frame is still to come.
    Wait,
    /// No picture, for this reason.
    Refused(String),
}

impl ViewerRequest {
    fn session(&self) -> &SessionId {
        match self {
            Self::Connect(params) => &params.session,
            Self::Offer(params) => &params.session,
        }
    }

    fn profile(&self) -> Option<&CameraId> {
        match self {
            Self::Connect(params) => params.profile.as_ref(),
            Self::Offer(params) => Some(&params.profile),
        }
    }

    fn ice_servers(&self) -> &[IceServer] {
        match self {
            Self::Connect(params) => &params.ice_servers,
            Self::Offer(params) => &params.ice_servers,
        }
    }

    /// Returns the address of a viewer that may gather no candidate with it.
    fn viewer_address(&self) -> Option<IpAddr> {
        match self {
            Self::Connect(_) => None,
            Self::Offer(params) => params.viewer_address,
        }
    }

    /// Returns true if the viewer may hear the camera, and has not said that it does not want to.
    fn may_listen(&self) -> bool {
        match self {
            Self::Connect(params) => params.audio,
            Self::Offer(params) => params.audio,
        }
    }

    /// Returns the limits of the token or link with which the viewer watches.
    fn caps(&self) -> &[RateCap] {
        match self {
            Self::Connect(params) => &params.caps,
            Self::Offer(params) => &params.caps,
        }
    }

    fn lifetime(&self) -> Duration {
        let seconds = match self {
            Self::Connect(params) => params.expiry_time_seconds,
            Self::Offer(params) => params.expiry_time_seconds,
        };
        seconds.map_or(DEFAULT_LIFETIME, |seconds| Duration::from_secs(seconds.into()))
    }
}

impl Gateway {
    /// Handles a request to watch. The first viewer of a stream waits for its first picture,
    /// because its format must be known to offer it, and so that a viewer is told if there is none;
    /// later viewers begin at once.
    pub(super) fn admit_or_queue(
        &mut self,
        now: Instant,
        id: &RequestId,
        request: ViewerRequest,
    ) -> Result<(), Fault> {
        let stream = self.find_stream(request.profile())?;
        let stream = self.starting_stream(stream);
        self.admit(now, id, stream, request, false)
    }

    /// Begins the session of a viewer, refuses it, or lets it wait. Without room to wait, the
    /// session begins.
    fn admit(
        &mut self,
        now: Instant,
        id: &RequestId,
        stream: StreamId,
        request: ViewerRequest,
        is_fallback: bool,
    ) -> Result<(), Fault> {
        match self.admission(&stream) {
            Admission::Refused(reason) => Err(no_video(&reason)),
            Admission::Wait if self.pending_viewers.len() < MAX_SESSIONS => {
                self.queue_viewer(now, id, stream, request, is_fallback);
                Ok(())
            }
            Admission::Now | Admission::Wait => {
                self.begin_session(now, id, stream, request, is_fallback)
            }
        }
    }

    fn admission(&self, stream: &StreamId) -> Admission {
        let Some(stream) = self.stream(stream) else { return Admission::Wait };
        match stream.failure() {
            Some(reason) => Admission::Refused(reason.to_owned()),
            None if stream.is_proven() => Admission::Now,
            None => Admission::Wait,
        }
    }

    /// Returns the stream to begin with: the sub stream if the main stream's next picture is far
    /// away, because its group of pictures is too large to be cached.
    fn starting_stream(&self, stream: StreamId) -> StreamId {
        let must_wait = self.stream(&stream).is_some_and(Stream::is_group_too_large);
        match self.other_stream(&stream) {
            Some(sub) if must_wait && sub.role == StreamRole::Sub => sub,
            Some(_) | None => stream,
        }
    }

    /// Returns the other stream of the same camera.
    fn other_stream(&self, stream: &StreamId) -> Option<StreamId> {
        let mut streams = self.cameras.get(&stream.camera)?.streams().map(Stream::id);
        streams.find(|other| *other != stream).cloned()
    }

    fn queue_viewer(
        &mut self,
        now: Instant,
        id: &RequestId,
        stream: StreamId,
        request: ViewerRequest,
        is_fallback: bool,
    ) {
        if let Some(known) = self.stream_mut(&stream) {
            known.add_viewer(viewer(request.session()));
        }
        self.collect_stream_outputs(&stream);
        let (id, deadline) = (id.clone(), now + ADMISSION_TIMEOUT);
        self.pending_viewers.push_back(PendingViewer {
            id,
            stream,
            deadline,
            request,
            is_fallback,
        });
    }

    /// Begins the sessions of viewers whose stream has sent a picture by now, refuses those whose
    /// stream has none, and ends the wait of those who have waited long enough.
    pub(super) fn admit_pending_viewers(&mut self, now: Instant) {
        for _ in 0..self.pending_viewers.len() {
            let Some(pending) = self.pending_viewers.pop_front() else { return };
            let has_format = self.stream(&pending.stream).is_some_and(|s| s.format().is_some());
            let admission = match self.admission(&pending.stream) {
                Admission::Wait if now < pending.deadline => {
                    self.pending_viewers.push_back(pending);
                    continue;
                }
                // A browser that is offered H.264 has a good chance to play what comes.
                Admission::Wait
                    if has_format || matches!(pending.request, ViewerRequest::Connect(_)) =>
                {
                    Admission::Now
                }
                Admission::Wait => Admission::Refused(format!(
                    "the camera has not sent a picture within {} s: try again, and check that it \
                     is on",
                    ADMISSION_TIMEOUT.as_secs()
                )),
                Admission::Now => Admission::Now,
                Admission::Refused(reason) => Admission::Refused(reason),
            };
            let PendingViewer { id, stream, request, is_fallback, .. } = pending;
            let session = request.session().clone();
            let begun = match admission {
                Admission::Refused(reason) => Err(no_video(&reason)),
                Admission::Now | Admission::Wait => {
                    self.begin_session(now, &id, stream.clone(), request, is_fallback)
                }
            };
            if let Err(fault) = begun {
                self.stats.refused.add(Refused::of(fault.code), 1);
                self.signal(Message::fault(Some(id), fault));
            }
            self.forget_viewer_without_session(now, &stream, &session);
        }
    }

    /// Removes a viewer that waited for a stream, unless it now has a session on it or waits for
    /// another stream.
    fn forget_viewer_without_session(
        &mut self,
        now: Instant,
        stream: &StreamId,
        session: &SessionId,
    ) {
        let is_source = |section: &Section| section.source() == stream;
        if self.sessions.get(session).is_some_and(|known| known.sections().iter().any(is_source)) {
            return;
        }
        if let Some(known) = self.stream_mut(stream) {
            known.remove_session(now, session);
        }
        self.collect_stream_outputs(stream);
    }

    /// Removes a viewer that left while it waited for a stream.
    pub(super) fn remove_pending_viewer(&mut self, now: Instant, session: &SessionId) {
        let is_leaving = |viewer: &PendingViewer| viewer.request.session() == session;
        let Some(index) = self.pending_viewers.iter().position(is_leaving) else { return };
        let Some(PendingViewer { id, stream, .. }) = self.pending_viewers.remove(index) else {
            return;
        };
        self.forget_viewer_without_session(now, &stream, session);
        let fault = Fault::new(code::GONE, "the viewer left before there was a picture");
        self.stats.refused.add(Refused::Gone, 1);
        self.signal(Message::fault(Some(id), fault));
    }

    /// Finds the stream with this ONVIF profile token; without one, the first camera's main stream.
    fn find_stream(&self, profile: Option<&CameraId>) -> Result<StreamId, Fault> {
        let Some(profile) = profile else {
            let mut added = self.cameras.values().filter(|camera| !camera.is_provisional());
            let first = added.next().ok_or_else(no_camera)?;
            return Ok(StreamId::main(first.id().clone()));
        };
        let mut candidates = [Some(profile.clone()), profile.main_stream()].into_iter().flatten();
        let found = candidates.find_map(|camera| {
            let role = self.cameras.get(&camera)?.role_of(profile)?;
            Some(StreamId { camera, role })
        });
        found.ok_or_else(no_camera)
    }

    /// Begins a session. With [`ViewerRequest::Connect`] the gateway makes the offer; with
    /// [`ViewerRequest::Offer`] the answer follows once candidates are gathered.
    fn begin_session(
        &mut self,
        now: Instant,
        id: &RequestId,
        stream: StreamId,
        request: ViewerRequest,
        is_fallback: bool,
    ) -> Result<(), Fault> {
        let session_id = request.session().clone();
        let ice_servers = request.ice_servers().to_vec();
        if self.sessions.contains_key(&session_id) {
            return Err(Fault::new(code::CONFLICT, "this session exists already"));
        }
        if self.sessions.len() >= MAX_SESSIONS {
            let why = format!("this gateway serves {MAX_SESSIONS} viewers already");
            return Err(Fault::new(code::INSUFFICIENT_RESOURCES, why));
        }
        let session = match self.make_session(now, &stream, &request) {
            Err(
                SessionError::Description(
                    SdpError::NoCommonCodec { .. } | SdpError::PacketizationMode(_),
                )
                | SessionError::Fragmented,
            ) if !is_fallback && self.other_stream(&stream).is_some() => {
                let other = self.other_stream(&stream).ok_or_else(no_camera)?;
                return self.admit(now, id, other, request, true);
            }
            made => made.map_err(|error| refused_session(&error))?,
        };
        let mut session = session;
        self.follow_path(now, &stream, &mut session, is_fallback);
        self.caps.add(&session_id, request.caps());
        let viewer_address = request.viewer_address();
        match request {
            ViewerRequest::Connect(_) => {
                let capabilities = Some(vec!["extend".to_owned()]);
                self.reply::<ConnectDevice>(id, &ConnectDeviceResult { capabilities });
            }
            ViewerRequest::Offer(_) => {
                self.pending_whep_answers.insert(session_id.clone(), id.clone());
            }
        }
        self.add_session(now, &session_id, &stream, session, &ice_servers);
        if let Some(address) = viewer_address {
            self.with_session(now, &session_id, |session| session.permit(now, address));
        }
        Ok(())
    }

    fn make_session(
        &mut self,
        now: Instant,
        stream: &StreamId,
        request: &ViewerRequest,
    ) -> Result<Session, SessionError> {
        let format = self.stream(stream).and_then(|stream| stream.format()).cloned();
        let codecs = codecs_to_offer(format.as_ref());
        let video = SectionConfig { kind: MediaKind::Video, source: stream.clone(), codecs };
        let audio = self.stream(stream).and_then(Stream::audio_codec);
        let audio = audio.filter(|_| request.may_listen()).map(|codec| SectionConfig {
            kind: MediaKind::Audio,
            source: stream.clone(),
            codecs: vec![sdp::offered_audio(codec)],
        });
        let config = SessionConfig {
            sections: [Some(video), audio].into_iter().flatten().collect(),
            identity: self.identity.clone(),
            ice_servers: request.ice_servers().to_vec(),
            turn_only: self.turn_only,
            expires: now + request.lifetime(),
            seed: self.rng.random(),
        };
        let session = super::catch_panic(|| match &request {
            ViewerRequest::Connect(_) => Session::offering(now, config),
            ViewerRequest::Offer(params) => Session::answering(now, config, &params.offer),
        });
        let session = session.unwrap_or(Err(SessionError::Panic))?;
        if let (Some(section), Some(stream)) = (session.sections().first(), self.stream(stream)) {
            section.check_group(stream.group_of_pictures())?;
        }
        Ok(session)
    }

    /// Lets the picture of a viewer of the main stream follow its path, if there is a sub stream
    /// that it can play. Who has chosen a stream keeps it, unless it would flood the path.
    fn follow_path(
        &self,
        now: Instant,
        stream: &StreamId,
        session: &mut Session,
        is_fallback: bool,
    ) {
        let has_sub = self
            .other_stream(stream)
            .is_some_and(|it| it.role == StreamRole::Sub && self.may_splice(stream, &it));
        if stream.role == StreamRole::Main && has_sub && !is_fallback {
            session.set_following(now, 0);
        } else {
            session.set_breaker(now, 0);
        }
    }

    /// Returns false if two streams are known to have different codecs, so that one section cannot
    /// show both.
    fn may_splice(&self, one: &StreamId, other: &StreamId) -> bool {
        let codec = |id| self.stream(id).and_then(Stream::format).map(|format| format.codec);
        codec(one).zip(codec(other)).is_none_or(|(one, other)| one == other)
    }

    fn add_session(
        &mut self,
        now: Instant,
        id: &SessionId,
        stream: &StreamId,
        session: Session,
        ice_servers: &[IceServer],
    ) {
        self.sessions.insert(id.clone(), session);
        if let Some(stream) = self.stream_mut(stream) {
            stream.add_viewer(viewer(id));
        }
        self.collect_stream_outputs(stream);
        self.process_session_outputs(now, id);
        self.reflexive.refresh(now, ice_servers);
        self.gather(now, id);
        self.process_reflexive_outputs(now);
    }
}

/// Returns the section of a session that shows the picture, as a stream's viewer.
fn viewer(session: &SessionId) -> Viewer {
    Viewer { session: session.clone(), section: 0 }
}

/// Returns the codecs to offer: those of the camera's stream, or H.264 while its format is unknown,
/// because nearly all cameras send it and all browsers play it.
fn codecs_to_offer(format: Option<&Format>) -> Vec<OfferedCodec> {
    match format {
        Some(format) => sdp::offered_codecs(format.codec, format.profile),
        None => sdp::offered_codecs(Codec::H264, None),
    }
}

/// Returns the fault for a stream that gives no picture, for this reason.
fn no_video(reason: &str) -> Fault {
    Fault::new(code::NO_VIDEO, reason)
}

pub(super) fn no_camera() -> Fault {
    Fault::new(code::NOT_FOUND, "this gateway has no such camera")
}

fn refused_session(error: &SessionError) -> Fault {
    if matches!(error, SessionError::Description(SdpError::NoCommonCodec { .. })) {
        let advice = "set the camera's video to H.264, or give it a sub stream in H.264";
        return bad_request(&format!("{error}: {advice}"));
    }
    bad_request(error)
}
