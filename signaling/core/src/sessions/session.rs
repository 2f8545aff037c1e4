//! One session: one viewer, one camera, and how far it has come.

use std::time::{Duration, Instant};

use porthole_clock::Now;
use porthole_signaling_proto::{CameraId, GatewayId, IceServer};

use crate::request::RequestKind;
use crate::stats::ViewerKind;
use crate::{ConnId, GatewayCamera, Granted, RateCap};

/// A session between a viewer and a gateway.
#[derive(Debug)]
pub(crate) struct Session {
    viewer: Viewer,
    /// The right to the camera with which the session was started or extended last.
    granted: Granted<GatewayCamera>,
    /// True if the gateway was told that the viewer wants the sound of the camera, and may hear it.
    sound: bool,
    /// The limits that the gateway was told of.
    caps: Vec<RateCap>,
    started_at: Instant,
    expires_at: Instant,
    /// True until the gateway has accepted the session.
    pending: bool,
    /// True once the viewer has answered the gateway's offer. A WHEP player makes the offer itself.
    answered: bool,
    /// The latest report of the gateway about this session.
    progress: Progress,
    /// The ICE servers for the viewer, sent once the gateway has accepted the session.
    ice_servers: Vec<IceServer>,
    /// The requests of this session that have no response yet.
    pending_requests: Vec<RequestKind>,
}

/// State of a session as its gateway reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// The gateway has not said.
    Unknown,
    /// No path to the viewer has been found yet.
    Starting,
    /// The viewer is being sent the picture, or was.
    Started,
}

/// The viewer of a session, and how it is reached.
#[derive(Debug)]
pub(crate) enum Viewer {
    /// A client with its WebSocket.
    Connected(ConnId),
    /// A client whose WebSocket is closed.
    Disconnected { since: Instant },
    /// A player that uses WHEP.
    Whep(WhepViewer),
}

/// The ICE generations of a WHEP player.
#[derive(Debug)]
pub(crate) struct WhepViewer {
    /// The number of the generation, from which the entity tag is made.
    generation: u64,
    /// The viewer's ICE user name fragments in this generation: sections that are bundled may have
    /// different ones.
    ufrags: Vec<String>,
    /// The viewer's next user name fragments, while the gateway restarts ICE.
    restarting: Option<Vec<String>>,
}

impl WhepViewer {
    /// Creates the first generation, with the user name fragments of the offer.
    pub(crate) fn new(ufrags: Vec<String>) -> Self {
        Self { generation: 1, ufrags, restarting: None }
    }

    /// Returns the number of the ICE generation, of which the first is 1.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    pub(crate) fn ufrags(&self) -> &[String] {
        &self.ufrags
    }

    /// Notes the user name fragments with which the viewer wants to restart ICE.
    pub(crate) fn begin_restart(&mut self, ufrags: Vec<String>) {
        self.restarting = Some(ufrags);
    }

    /// Ends a restart. If it has succeeded, the next generation begins.
    pub(crate) fn end_restart(&mut self, has_succeeded: bool) {
        let ufrags = self.restarting.take();
        if has_succeeded {
            self.generation += 1;
            self.ufrags = ufrags.unwrap_or_default();
        }
    }
}

impl Session {
    /// Creates a session that its gateway has not accepted yet.
    pub(crate) fn new(
        now: Now,
        lifetime: Duration,
        granted: Granted<GatewayCamera>,
        viewer: Viewer,
    ) -> Self {
        let answered = matches!(viewer, Viewer::Whep(_));
        let caps = granted.principal().caps().to_vec();
        Self {
            viewer,
            granted,
            sound: false,
            caps,
            started_at: now.instant,
            expires_at: now.instant + lifetime,
            pending: true,
            answered,
            progress: Progress::Unknown,
            ice_servers: Vec::new(),
            pending_requests: Vec::new(),
        }
    }

    /// Returns the session with or without the sound of the camera.
    pub(crate) fn with_sound(self, sound: bool) -> Self {
        Self { sound, ..self }
    }

    pub(crate) fn has_sound(&self) -> bool {
        self.sound
    }

    /// Returns the limits on what is sent for it, which stay as they were when it began.
    pub(crate) fn caps(&self) -> &[RateCap] {
        &self.caps
    }

    pub(crate) fn gateway(&self) -> &GatewayId {
        &self.granted.object().gateway
    }

    pub(crate) fn granted(&self) -> &Granted<GatewayCamera> {
        &self.granted
    }

    pub(crate) fn camera(&self) -> &CameraId {
        &self.granted.object().camera
    }

    /// Returns the user or token that the session belongs to.
    pub(crate) fn subject(&self) -> &str {
        self.granted.principal().subject()
    }

    /// Returns the time since the session began.
    pub(crate) fn age(&self, now: Now) -> Duration {
        now.instant.saturating_duration_since(self.started_at)
    }

    pub(crate) fn viewer_kind(&self) -> ViewerKind {
        match self.viewer {
            Viewer::Connected(_) => ViewerKind::Client,
            Viewer::Disconnected { .. } => ViewerKind::Away,
            Viewer::Whep(_) => ViewerKind::Whep,
        }
    }

    /// Returns the user or token by which the session is counted.
    pub(crate) fn account(&self) -> &str {
        self.granted.principal().account()
    }

    pub(crate) fn started_at(&self) -> Instant {
        self.started_at
    }

    pub(crate) fn expires_at(&self) -> Instant {
        self.expires_at
    }

    /// Returns true until the gateway has accepted the session.
    pub(crate) fn is_pending(&self) -> bool {
        self.pending
    }

    /// Returns true if the gateway says that no path has been found yet.
    pub(super) fn is_starting(&self) -> bool {
        self.progress == Progress::Starting
    }

    /// Returns true while one side has not answered the other: the gateway has not accepted the
    /// session, the viewer has not answered the offer, or no check of a path was answered.
    pub(super) fn is_unanswered(&self) -> bool {
        self.pending || !self.answered || self.is_starting()
    }

    /// Notes that the viewer has answered the gateway's offer.
    pub(crate) fn note_answer(&mut self) {
        self.answered = true;
    }

    pub(super) fn note_progress(&mut self, is_starting: bool) {
        self.progress = if is_starting { Progress::Starting } else { Progress::Started };
    }

    /// Returns the connection of the client; `None` if it is away, or a WHEP player.
    pub(crate) fn client(&self) -> Option<ConnId> {
        match self.viewer {
            Viewer::Connected(conn) => Some(conn),
            Viewer::Disconnected { .. } | Viewer::Whep(_) => None,
        }
    }

    /// Returns the time since which the client is away.
    pub(crate) fn away_since(&self) -> Option<Instant> {
        match self.viewer {
            Viewer::Disconnected { since } => Some(since),
            Viewer::Connected(_) | Viewer::Whep(_) => None,
        }
    }

    /// Returns the ICE generations of the viewer if it is a WHEP player.
    pub(crate) fn whep(&self) -> Option<&WhepViewer> {
        match &self.viewer {
            Viewer::Whep(viewer) => Some(viewer),
            Viewer::Connected(_) | Viewer::Disconnected { .. } => None,
        }
    }

    pub(crate) fn whep_mut(&mut self) -> Option<&mut WhepViewer> {
        match &mut self.viewer {
            Viewer::Whep(viewer) => Some(viewer),
            Viewer::Connected(_) | Viewer::Disconnected { .. } => None,
        }
    }

    /// Returns true if the client on this connection may take the session up: it is its own, or
    /// that of another connection of its user or token. A WHEP player's cannot be taken up.
    pub(crate) fn can_be_extended_by(&self, conn: ConnId, subject: &str) -> bool {
        match self.viewer {
            Viewer::Connected(own) => own == conn || self.subject() == subject,
            Viewer::Disconnected { .. } => self.subject() == subject,
            Viewer::Whep(_) => false,
        }
    }

    pub(super) fn set_viewer(&mut self, viewer: Viewer) {
        self.viewer = viewer;
    }

    /// Keeps the ICE servers that the viewer gets once the gateway has accepted the session.
    pub(crate) fn keep_ice_servers(&mut self, ice_servers: Vec<IceServer>) {
        self.ice_servers = ice_servers;
    }

    /// Notes that the gateway has accepted the session. Returns the ICE servers for the viewer.
    pub(crate) fn accept(&mut self) -> Vec<IceServer> {
        self.pending = false;
        std::mem::take(&mut self.ice_servers)
    }

    /// Prolongs the session with another right to its camera.
    pub(super) fn prolong(&mut self, granted: Granted<GatewayCamera>, expires_at: Instant) {
        self.granted = granted;
        self.expires_at = expires_at;
    }

    pub(crate) fn has_request(&self, kind: RequestKind) -> bool {
        self.pending_requests.contains(&kind)
    }

    /// Notes that a request of this kind is in flight; returns false if there is one already.
    pub(crate) fn begin_request(&mut self, kind: RequestKind) -> bool {
        let is_first = !self.has_request(kind);
        if is_first {
            self.pending_requests.push(kind);
        }
        is_first
    }

    pub(crate) fn end_request(&mut self, kind: RequestKind) {
        self.pending_requests.retain(|pending| *pending != kind);
    }
}
