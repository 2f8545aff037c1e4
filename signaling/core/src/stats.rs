//! The numbers that the hub counts, for its driver to show.

use porthole_clock::Now;
use porthole_metrics::{Label as _, Tally, TimeHistogram, label};
use porthole_signaling_proto::rpc::{Fault, Message, code};
use porthole_signaling_proto::{CameraState, SessionId};
use tracing::info;

use crate::Hub;
use crate::links::Peer;
use crate::sessions::Session;

/// Upper bounds of the times of a set-up in milliseconds: the goal is below 500, and a gateway has
/// at most 20 s to respond.
const SETUP_BOUNDS_MS: &[u64] = &[50, 100, 200, 300, 500, 750, 1_000, 2_000, 5_000, 10_000, 20_000];

label! {
    /// The peer on a WebSocket.
    pub enum PeerKind as "peer" {
        /// A peer that has not registered yet.
        Unregistered = "unregistered",
        /// A client: a browser or another viewer.
        Client = "client",
        /// A gateway beside its cameras.
        Gateway = "gateway",
    }
}

label! {
    /// The state of a gateway.
    pub enum Presence as "state" {
        /// The gateway is connected.
        Online = "online",
        /// Known, and not connected.
        Offline = "offline",
    }
}

label! {
    /// The state of a camera.
    pub enum State as "state" {
        /// Not connected, because nobody watches.
        Idle = "idle",
        /// The camera is being connected.
        Connecting = "connecting",
        /// The camera sends video.
        Live = "live",
        /// Not to be reached or used.
        Failed = "failed",
        /// At a gateway that is not connected.
        Offline = "offline",
    }
}

impl From<CameraState> for State {
    fn from(state: CameraState) -> Self {
        match state {
            CameraState::Idle => Self::Idle,
            CameraState::Connecting => Self::Connecting,
            CameraState::Live => Self::Live,
            CameraState::Failed => Self::Failed,
            CameraState::Offline => Self::Offline,
        }
    }
}

label! {
    /// The viewer of a session.
    pub enum ViewerKind as "viewer" {
        /// A client on its WebSocket.
        Client = "client",
        /// A client whose WebSocket is closed.
        Away = "away",
        /// A player that uses WHEP.
        Whep = "whep",
    }
}

label! {
    /// The reason for the end of a session.
    pub enum EndReason as "reason" {
        /// The viewer has ended it.
        Viewer = "viewer",
        /// The gateway has ended it.
        Gateway = "gateway",
        /// The gateway has refused it, or has not responded.
        Refused = "refused",
        /// The gateway no longer has it.
        Unreported = "unreported",
        /// The viewer has disconnected before the gateway accepted it.
        Abandoned = "abandoned",
        /// The time of the session is over.
        Expired = "expired",
        /// The access was revoked or changed.
        Revoked = "revoked",
        /// The gateway was removed.
        GatewayRemoved = "gateway_removed",
        /// Another session of the same viewer or gateway has needed the room.
        MadeRoom = "made_room",
        /// Viewer or gateway were away for too long; it may go on between them.
        Away = "away",
    }
}

label! {
    /// The reason for which a request was refused.
    pub enum Refused as "reason" {
        /// The message or its parameters cannot be used.
        BadRequest = "bad_request",
        /// Credentials are missing, wrong or expired.
        Unauthorized = "unauthorized",
        /// The sender may not do it.
        Forbidden = "forbidden",
        /// The object does not exist.
        NotFound = "not_found",
        /// The peer has not responded in time.
        Timeout = "timeout",
        /// Another change is in progress.
        Conflict = "conflict",
        /// The peer has left.
        Gone = "gone",
        /// Too many requests in too short a time.
        TooMany = "too_many_requests",
        /// The gateway is not connected.
        Unavailable = "unavailable",
        /// The camera gives no picture.
        NoVideo = "no_video",
        /// No room for one more.
        Full = "full",
        /// The server has failed.
        Internal = "internal",
        /// Any other reason.
        Other = "other",
    }
}

impl Refused {
    /// Returns the reason for a fault with this number.
    fn of(number: i64) -> Self {
        match number {
            code::PARSE_ERROR
            | code::INVALID_REQUEST
            | code::METHOD_NOT_FOUND
            | code::INVALID_PARAMS
            | code::BAD_REQUEST
            | code::MALFORMED_CANDIDATE => Self::BadRequest,
            code::UNAUTHORIZED => Self::Unauthorized,
            code::FORBIDDEN => Self::Forbidden,
            code::NOT_FOUND => Self::NotFound,
            code::REQUEST_TIMEOUT => Self::Timeout,
            code::CONFLICT => Self::Conflict,
            code::GONE | code::PEER_DISCONNECTED => Self::Gone,
            code::TOO_MANY_REQUESTS => Self::TooMany,
            code::UNAVAILABLE => Self::Unavailable,
            code::NO_VIDEO => Self::NoVideo,
            code::INSUFFICIENT_RESOURCES => Self::Full,
            code::INTERNAL_ERROR | code::STORAGE_FULL => Self::Internal,
            _ => Self::Other,
        }
    }
}

/// The numbers of a hub at one moment. The first four go up and down.
#[derive(Debug, Clone)]
pub struct Stats {
    /// WebSockets by the peer on them.
    pub sockets: Tally<PeerKind>,
    /// Gateways by state.
    pub gateways: Tally<Presence>,
    /// Cameras by state.
    pub cameras: Tally<State>,
    /// Sessions by their viewer.
    pub sessions: Tally<ViewerKind>,
    /// Sessions that were begun, by their viewer.
    pub begun: Tally<ViewerKind>,
    /// Ends of sessions that the gateway had accepted.
    pub ended: Tally<EndReason>,
    /// Ends of sessions that the gateway had not accepted.
    pub failed: Tally<EndReason>,
    /// The time from the request to the gateway's acceptance.
    pub setup: TimeHistogram,
    /// Requests that were refused, over WebSockets and WHEP.
    pub refused: Tally<Refused>,
}

impl Default for Stats {
    fn default() -> Self {
        Self {
            sockets: Tally::default(),
            gateways: Tally::default(),
            cameras: Tally::default(),
            sessions: Tally::default(),
            begun: Tally::default(),
            ended: Tally::default(),
            failed: Tally::default(),
            setup: TimeHistogram::new(SETUP_BOUNDS_MS),
            refused: Tally::default(),
        }
    }
}

impl Hub {
    /// Returns the numbers of what has happened and of what is there now.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let mut stats = self.stats.clone();
        for connection in self.links.iter() {
            let kind = match connection.peer() {
                Peer::Unregistered => PeerKind::Unregistered,
                Peer::Client(_) => PeerKind::Client,
                Peer::Gateway(_) => PeerKind::Gateway,
            };
            stats.sockets.add(kind, 1);
        }
        for (is_online, states) in self.directory.states() {
            let presence = if is_online { Presence::Online } else { Presence::Offline };
            stats.gateways.add(presence, 1);
            states.for_each(|state| stats.cameras.add(state.into(), 1));
        }
        for session in self.sessions.values() {
            stats.sessions.add(session.viewer_kind(), 1);
        }
        stats
    }

    /// Counts a session that the gateway has accepted.
    pub(crate) fn count_accepted(&mut self, now: Now, id: &SessionId) {
        if let Some(session) = self.sessions.get(id) {
            self.stats.setup.record(session.age(now));
        }
    }

    /// Counts the end of a session, and logs it in one line.
    pub(crate) fn count_end(
        &mut self,
        now: Now,
        id: &SessionId,
        session: &Session,
        reason: EndReason,
    ) {
        let was_accepted = !session.is_pending();
        let ends = if was_accepted { &mut self.stats.ended } else { &mut self.stats.failed };
        ends.add(reason, 1);
        info!(
            session = %id, camera = %session.camera(), gateway = %session.gateway(),
            viewer = session.viewer_kind().value(), duration_s = session.age(now).as_secs_f32(),
            was_accepted, reason = reason.value(), "session ended"
        );
    }

    /// Counts a message that refuses a request.
    pub(crate) fn count_refusal(&mut self, message: &Message) {
        match message {
            Message::Response { outcome: Err(fault), .. } => self.count_fault(fault),
            Message::Response { .. }
            | Message::Error(_)
            | Message::Request { .. }
            | Message::Notification { .. } => {}
        }
    }

    /// Counts a fault with which a request is refused.
    pub(crate) fn count_fault(&mut self, fault: &Fault) {
        self.stats.refused.add(Refused::of(fault.code), 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_counted_by_the_reason_of_its_fault() {
        for (number, expected) in [
            (code::PARSE_ERROR, "bad_request"),
            (code::FORBIDDEN, "forbidden"),
            (code::STORAGE_FULL, "internal"),
            (code::NO_VIDEO, "no_video"),
            (418, "other"),
        ] {
            assert_eq!(Refused::of(number).value(), expected, "{number}");
        }
    }
}
