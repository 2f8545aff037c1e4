//! The numbers that a gateway counts, for its driver to show.

use std::time::Duration;

use porthole_metrics::{Tally, TimeHistogram, label};
use porthole_signaling_proto::CameraState;
use porthole_signaling_proto::rpc::code;

use crate::congestion::Rung;
use crate::ice::FailReason;
use crate::transport::TransportFailure;

/// Upper bounds of the times of a start in milliseconds: the goal is below 500, and a set-up is
/// given up after 45 s.
const START_BOUNDS_MS: &[u64] = &[50, 100, 200, 300, 500, 750, 1_000, 2_000, 5_000, 10_000, 45_000];

label! {
    /// The kind of a path to a viewer.
    pub enum PathKind as "path" {
        /// No NAT is on the way.
        Host = "host",
        /// Directly, through a NAT.
        Reflexive = "srflx",
        /// Through our TURN server, over UDP.
        Relay = "relay",
        /// Through our TURN server, over TCP or TLS.
        RelayTcp = "relay_tcp",
        /// Through the viewer's TURN server only.
        RelayOfViewer = "relay_of_viewer",
    }
}

label! {
    /// The reason for the end of a session.
    pub enum EndReason as "reason" {
        /// The viewer has left, as it has said itself.
        ViewerLeft = "viewer_left",
        /// No path was found, or not in time.
        NoPath = "no_path",
        /// Silence of the viewer from the beginning.
        Silent = "silent",
        /// The path was lost and has not come back.
        PathLost = "path_lost",
        /// The handshake of DTLS has failed.
        Handshake = "handshake",
        /// The session has expired.
        Expired = "expired",
        /// The viewer has not answered the offer.
        NoAnswer = "no_answer",
        /// The viewer's description cannot be used.
        Description = "description",
        /// The camera's packets do not fit what was negotiated.
        Packets = "packets",
        /// The camera now sends another codec than was negotiated.
        Codec = "codec",
        /// The camera was changed or removed.
        Camera = "camera",
        /// A fault in the gateway.
        Fault = "fault",
        /// The gateway is stopping.
        Stopping = "stopping",
    }
}

impl EndReason {
    /// Returns the reason for a transport that has failed.
    pub(crate) fn of(failure: &TransportFailure) -> Self {
        match failure {
            TransportFailure::Slow | TransportFailure::Ice(FailReason::NoPath) => Self::NoPath,
            TransportFailure::Silent => Self::Silent,
            TransportFailure::Lost | TransportFailure::Ice(FailReason::ConsentExpired) => {
                Self::PathLost
            }
            TransportFailure::Dtls(_) => Self::Handshake,
        }
    }
}

label! {
    /// The reason for which a request to watch is refused.
    pub enum Refused as "reason" {
        /// The camera gives no picture.
        NoVideo = "no_video",
        /// No such camera or session.
        NotFound = "not_found",
        /// The gateway has as many viewers as it may have.
        Full = "full",
        /// The description or the request cannot be used.
        BadRequest = "bad_request",
        /// The viewer has left meanwhile.
        Gone = "gone",
        /// Any other reason.
        Other = "other",
    }
}

impl Refused {
    /// Returns the reason for a fault with this number.
    pub(crate) fn of(number: i64) -> Self {
        match number {
            code::NO_VIDEO => Self::NoVideo,
            code::NOT_FOUND => Self::NotFound,
            code::INSUFFICIENT_RESOURCES => Self::Full,
            code::BAD_REQUEST | code::INVALID_PARAMS => Self::BadRequest,
            code::GONE => Self::Gone,
            _ => Self::Other,
        }
    }
}

label! {
    /// The state of a camera's main stream.
    pub enum State as "state" {
        /// Not connected, because nobody watches.
        Idle = "idle",
        /// The camera is being connected.
        Connecting = "connecting",
        /// The camera sends video.
        Live = "live",
        /// Not to be reached or used.
        Failed = "failed",
    }
}

impl State {
    /// Returns the state as it is counted; the gateway's own cameras are never offline.
    pub(crate) fn of(state: CameraState) -> Self {
        match state {
            CameraState::Idle => Self::Idle,
            CameraState::Connecting => Self::Connecting,
            CameraState::Live => Self::Live,
            CameraState::Failed | CameraState::Offline => Self::Failed,
        }
    }
}

label! {
    /// The stream that a viewer's picture has changed to.
    pub enum Shown as "to" {
        /// The main stream.
        Main = "main",
        /// The sub stream.
        Sub = "sub",
        /// The key frames of the sub stream.
        KeyFrames = "key_frames",
        /// No picture: the last one stands.
        Still = "still",
    }
}

impl From<Rung> for Shown {
    fn from(rung: Rung) -> Self {
        match rung {
            Rung::Main => Self::Main,
            Rung::Sub => Self::Sub,
            Rung::KeyFrames => Self::KeyFrames,
            Rung::Still => Self::Still,
        }
    }
}

label! {
    /// The estimate of what a viewer's path carries.
    pub enum Estimate as "up_to" {
        /// At most 500 kbit/s.
        HalfMbit = "500k",
        /// At most 1 Mbit/s.
        OneMbit = "1M",
        /// At most 2 Mbit/s.
        TwoMbit = "2M",
        /// At most 5 Mbit/s.
        FiveMbit = "5M",
        /// More than that.
        More = "inf",
        /// Not known: nothing is told about the path.
        Unknown = "unknown",
    }
}

impl Estimate {
    /// Returns the range of an estimate in bits per second.
    pub(crate) fn of(bits_per_second: Option<u64>) -> Self {
        match bits_per_second {
            None => Self::Unknown,
            Some(..=500_000) => Self::HalfMbit,
            Some(..=1_000_000) => Self::OneMbit,
            Some(..=2_000_000) => Self::TwoMbit,
            Some(..=5_000_000) => Self::FiveMbit,
            Some(_) => Self::More,
        }
    }
}

/// The traffic of a session to its viewer. Bytes are those of payloads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SessionTraffic {
    /// Packets, without retransmissions.
    pub packets: u64,
    /// Bytes, without retransmissions.
    pub bytes: u64,
    /// Packets that were sent again.
    pub retransmitted_packets: u64,
    /// Bytes that were sent again.
    pub retransmitted_bytes: u64,
    /// Bytes that were sent to probe the path.
    pub padding_bytes: u64,
    /// Packets that the viewer has reported as lost.
    pub lost_packets: u64,
    /// Bytes of datagrams that were sent through our TURN servers.
    pub relayed_bytes: u64,
}

impl SessionTraffic {
    /// Adds the traffic of another session.
    pub fn add(&mut self, other: &Self) {
        self.packets += other.packets;
        self.bytes += other.bytes;
        self.retransmitted_packets += other.retransmitted_packets;
        self.retransmitted_bytes += other.retransmitted_bytes;
        self.padding_bytes += other.padding_bytes;
        self.lost_packets += other.lost_packets;
        self.relayed_bytes += other.relayed_bytes;
    }
}

/// The numbers of a gateway at one moment. All but the first four only go up.
#[derive(Debug, Clone)]
pub struct Stats {
    /// Cameras by the state of their main stream.
    pub cameras: Tally<State>,
    /// Sessions that have no path yet.
    pub starting: u64,
    /// Sessions that watch, by the kind of their path now.
    pub watching: Tally<PathKind>,
    /// Sessions that watch, by the estimate of their path.
    pub estimates: Tally<Estimate>,
    /// Rates of what viewers outside the local network see, in bits per second.
    pub uplink: u64,
    /// Limit of these rates in all; 0 for none.
    pub max_uplink: u64,
    /// Sessions that have begun to watch, by the kind of their first path.
    pub started: Tally<PathKind>,
    /// Ends of sessions that had begun to watch.
    pub ended: Tally<EndReason>,
    /// Ends of sessions that never had a picture.
    pub failed: Tally<EndReason>,
    /// Requests to watch that were refused.
    pub refused: Tally<Refused>,
    /// The time from the request to the path and the keys.
    pub setup: TimeHistogram,
    /// The time from the request to the first packet.
    pub first_packet: TimeHistogram,
    /// Changes of the shown stream because of the path.
    pub changes: Tally<Shown>,
    /// The traffic of all sessions.
    pub traffic: SessionTraffic,
}

impl Default for Stats {
    fn default() -> Self {
        Self {
            cameras: Tally::default(),
            starting: 0,
            watching: Tally::default(),
            estimates: Tally::default(),
            uplink: 0,
            max_uplink: 0,
            started: Tally::default(),
            ended: Tally::default(),
            failed: Tally::default(),
            refused: Tally::default(),
            setup: TimeHistogram::new(START_BOUNDS_MS),
            first_packet: TimeHistogram::new(START_BOUNDS_MS),
            changes: Tally::default(),
            traffic: SessionTraffic::default(),
        }
    }
}

impl Stats {
    /// Counts the end of a session.
    pub(crate) fn note_end(&mut self, reason: EndReason, was_seen: bool, traffic: &SessionTraffic) {
        let ends = if was_seen { &mut self.ended } else { &mut self.failed };
        ends.add(reason, 1);
        self.traffic.add(traffic);
    }

    /// Counts the time until the first packet of a session.
    pub(crate) fn note_first_packet(&mut self, time: Duration) {
        self.first_packet.record(time);
    }
}

#[cfg(test)]
mod tests {
    use porthole_metrics::Label as _;

    use super::*;

    #[test]
    fn an_estimate_is_counted_in_its_range() {
        for (estimate, expected) in [
            (None, "unknown"),
            (Some(0), "500k"),
            (Some(500_000), "500k"),
            (Some(500_001), "1M"),
            (Some(1_500_000), "2M"),
            (Some(5_000_000), "5M"),
            (Some(5_000_001), "inf"),
        ] {
            assert_eq!(Estimate::of(estimate).value(), expected, "{estimate:?}");
        }
    }

    #[test]
    fn a_failure_of_the_transport_has_its_reason() {
        for (failure, expected) in [
            (TransportFailure::Slow, "no_path"),
            (TransportFailure::Ice(FailReason::NoPath), "no_path"),
            (TransportFailure::Ice(FailReason::ConsentExpired), "path_lost"),
            (TransportFailure::Lost, "path_lost"),
            (TransportFailure::Silent, "silent"),
            (TransportFailure::Dtls("bad".to_owned()), "handshake"),
        ] {
            assert_eq!(EndReason::of(&failure).value(), expected, "{failure:?}");
        }
    }
}
