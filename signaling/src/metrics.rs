//! The metrics of a running server. Every label has the values of an enum, except the names of the
//! TURN servers, which the configuration gives and bounds: no user, camera, gateway or address is
//! one. `docs/ref/metrics.md` explains each metric.

use std::sync::{Arc, PoisonError};

use porthole_metrics::{Exposition, Label as _, Tally, TimeHistogram, label};
use porthole_signaling_core::TurnCondition;
use porthole_signaling_core::stats::Stats;

use crate::app::App;
use crate::driver::Queues;
use crate::places::Places;
use crate::throttle::Outcome;

label! {
    /// The status of a response over HTTP.
    pub(crate) enum Status as "status" {
        /// A WebSocket was opened.
        Switched = "101",
        /// The request has succeeded.
        Success = "2xx",
        /// The resource is elsewhere, or unchanged.
        Redirection = "3xx",
        /// The request cannot be used.
        BadRequest = "400",
        /// Credentials are missing or wrong.
        Unauthorized = "401",
        /// The sender may not do it.
        Forbidden = "403",
        /// The object does not exist.
        NotFound = "404",
        /// The object cannot be changed so now.
        Conflict = "409",
        /// Too many requests or connections.
        TooMany = "429",
        /// Any other request that was refused.
        Refused = "4xx",
        /// A gateway or the provider of OpenID Connect has failed.
        BadGateway = "502",
        /// The camera's gateway is not to be had, or has no picture.
        Unavailable = "503",
        /// A gateway has not answered in time.
        TimedOut = "504",
        /// Any other failure, which is this server's own.
        Failed = "5xx",
    }
}

impl Status {
    /// Returns the label of a status code.
    pub(crate) fn of(code: u16) -> Self {
        match code {
            ..=199 => Self::Switched,
            200..=299 => Self::Success,
            300..=399 => Self::Redirection,
            400 => Self::BadRequest,
            401 => Self::Unauthorized,
            403 => Self::Forbidden,
            404 => Self::NotFound,
            409 => Self::Conflict,
            429 => Self::TooMany,
            402..=499 => Self::Refused,
            502 => Self::BadGateway,
            503 => Self::Unavailable,
            504 => Self::TimedOut,
            500.. => Self::Failed,
        }
    }
}

label! {
    /// The holder of a TCP connection.
    pub(crate) enum Holder as "holder" {
        /// A client that has shown no credential yet.
        Stranger = "stranger",
        /// A user, a token or a gateway.
        Owner = "owner",
    }
}

label! {
    /// The queues of the server.
    pub(crate) enum Queue as "queue" {
        /// Messages that wait to be sent, on all WebSockets.
        Messages = "messages",
        /// WHEP requests that wait for their response.
        WhepRequests = "whep_requests",
        /// Gateways that are not written to the database yet.
        Unsaved = "unsaved_gateways",
        /// Credentials that wait to be checked.
        Doubtful = "unchecked_credentials",
    }
}

/// A handle to the numbers of a server.
#[derive(Debug, Clone)]
pub struct Metrics {
    app: Arc<App>,
    places: Arc<Places>,
}

/// The numbers of a server at one moment.
#[derive(Debug)]
struct Measures {
    stats: Stats,
    queues: Queues,
    slow_peers: u64,
    connections: Tally<Holder>,
    responses: Tally<Status>,
    attempts: Tally<Outcome>,
    writes: TimeHistogram,
    reads: TimeHistogram,
    /// The TURN servers by name.
    turn_servers: Vec<(String, TurnCondition)>,
}

impl Metrics {
    pub(crate) fn new(app: Arc<App>, places: Arc<Places>) -> Self {
        Self { app, places }
    }

    /// Writes the metrics of this moment.
    pub fn write(&self, out: &mut Exposition) {
        let App { driver, throttle, responses, .. } = &*self.app;
        let (stats, queues, slow_peers) = driver.measure();
        let (strangers, owners) = self.places.counts();
        let mut connections = Tally::default();
        connections.add(Holder::Stranger, strangers as u64);
        connections.add(Holder::Owner, owners as u64);
        let responses = responses.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let throttle = throttle.lock().unwrap_or_else(PoisonError::into_inner);
        let attempts = throttle.outcomes().clone();
        drop(throttle);
        let (writes, reads) = driver.store.times().now();
        let turn_servers = driver.with(|hub, _| hub.turn_servers());
        let measures = Measures {
            stats,
            queues,
            slow_peers,
            connections,
            responses,
            attempts,
            writes,
            reads,
            turn_servers,
        };
        write(&measures, out);
    }
}

fn write(measures: &Measures, out: &mut Exposition) {
    write_hub(&measures.stats, out);
    let help = "TCP connections, by whose they are";
    out.gauges_by("porthole_signaling_connections", help, &measures.connections);
    let help = "Responses over HTTP, by status";
    out.counter_by("porthole_signaling_http_responses_total", help, &measures.responses);
    let help = "Attempts with a password, a code or an account elsewhere";
    out.counter_by("porthole_signaling_sign_in_attempts_total", help, &measures.attempts);
    let mut lengths = Tally::default();
    for (queue, length) in [
        (Queue::Messages, measures.queues.messages),
        (Queue::WhepRequests, measures.queues.whep_requests),
        (Queue::Unsaved, measures.queues.unsaved),
        (Queue::Doubtful, measures.queues.doubtful),
    ] {
        lengths.add(queue, length as u64);
    }
    out.gauges_by("porthole_signaling_queue_length", "Entries of the server's queues", &lengths);
    let help = "Bytes of the messages that wait to be sent";
    out.gauge("porthole_signaling_queued_bytes", help, measures.queues.bytes as u64);
    let help = "WebSockets that were closed because their peer did not read";
    out.counter("porthole_signaling_slow_peers_total", help, &[("", measures.slow_peers)]);
    let help = "Time of a write to the database, with the wait for its turn";
    out.histogram("porthole_signaling_database_write_seconds", help, &measures.writes);
    let help = "Time of a query that is made twice a second";
    out.histogram("porthole_signaling_database_read_seconds", help, &measures.reads);
    let help = "TURN servers by name: 1 for the state that each is in";
    let states = turn_server_states(&measures.turn_servers);
    out.gauges("porthole_signaling_turn_server_state", help, &states);
}

/// Returns a sample for each TURN server and state.
fn turn_server_states(servers: &[(String, TurnCondition)]) -> Vec<(String, u64)> {
    let of_server = |(name, condition): &(String, TurnCondition)| {
        let (name, condition) = (name.clone(), *condition);
        TurnCondition::ALL.iter().map(move |state| {
            let labels = format!("server=\"{name}\",state=\"{}\"", state.value());
            (labels, u64::from(*state == condition))
        })
    };
    servers.iter().flat_map(of_server).collect()
}

fn write_hub(stats: &Stats, out: &mut Exposition) {
    out.gauges_by("porthole_signaling_websockets", "Open WebSockets, by peer", &stats.sockets);
    out.gauges_by("porthole_signaling_gateways", "Gateways, by state", &stats.gateways);
    out.gauges_by("porthole_signaling_cameras", "Cameras, by state", &stats.cameras);
    let help = "Sessions that the server knows, by viewer";
    out.gauges_by("porthole_signaling_sessions", help, &stats.sessions);
    let help = "Sessions that were begun, by viewer";
    out.counter_by("porthole_signaling_sessions_begun_total", help, &stats.begun);
    let help = "Ends of sessions that the gateway had accepted";
    out.counter_by("porthole_signaling_sessions_ended_total", help, &stats.ended);
    let help = "Ends of sessions that the gateway had not accepted";
    out.counter_by("porthole_signaling_sessions_failed_total", help, &stats.failed);
    let help = "Time from the request to watch to the gateway's acceptance";
    out.histogram("porthole_signaling_setup_seconds", help, &stats.setup);
    let help = "Requests over WebSockets and WHEP that were refused";
    out.counter_by("porthole_signaling_requests_refused_total", help, &stats.refused);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use porthole_signaling_core::stats::{
        EndReason, PeerKind, Presence, Refused, State, ViewerKind,
    };

    use super::*;

    /// Returns numbers that differ from each other.
    fn measures() -> Measures {
        let mut stats = Stats::default();
        stats.sockets.add(PeerKind::Client, 1);
        stats.gateways.add(Presence::Online, 2);
        stats.cameras.add(State::Offline, 3);
        stats.sessions.add(ViewerKind::Whep, 4);
        stats.begun.add(ViewerKind::Client, 5);
        stats.ended.add(EndReason::Viewer, 6);
        stats.failed.add(EndReason::Refused, 7);
        stats.setup.record(Duration::from_millis(80));
        stats.refused.add(Refused::NoVideo, 8);
        let queues =
            Queues { messages: 9, bytes: 10, whep_requests: 11, unsaved: 12, doubtful: 13 };
        let mut connections = Tally::default();
        connections.add(Holder::Stranger, 14);
        let mut responses = Tally::default();
        responses.add(Status::TooMany, 15);
        let mut attempts = Tally::default();
        attempts.add(Outcome::Refused, 16);
        let (mut writes, mut reads) =
            (TimeHistogram::new(&[1, 1_000]), TimeHistogram::new(&[1, 1_000]));
        writes.record(Duration::from_millis(500));
        reads.record(Duration::from_millis(1));
        let slow_peers = 17;
        let turn_servers = vec![
            ("main".to_owned(), TurnCondition::Up),
            ("north".to_owned(), TurnCondition::Draining),
        ];
        Measures {
            stats,
            queues,
            slow_peers,
            connections,
            responses,
            attempts,
            writes,
            reads,
            turn_servers,
        }
    }

    #[test]
    fn the_reference_lists_exactly_these_metrics_with_bounded_labels() {
        let mut out = Exposition::default();
        write(&measures(), &mut out);
        let reference = include_str!("../../docs/ref/metrics.md");
        let found = porthole_test_support::metrics::complaints(
            &out.into_text(),
            "porthole_signaling_",
            reference,
        );
        assert_eq!(found, [""; 0], "docs/ref/metrics.md");
    }

    #[test]
    fn each_metric_shows_its_number() {
        let mut out = Exposition::default();
        write(&measures(), &mut out);
        let text = out.into_text();
        for line in [
            "websockets{peer=\"client\"} 1",
            "gateways{state=\"online\"} 2",
            "cameras{state=\"offline\"} 3",
            "sessions{viewer=\"whep\"} 4",
            "sessions_begun_total{viewer=\"client\"} 5",
            "sessions_ended_total{reason=\"viewer\"} 6",
            "sessions_failed_total{reason=\"refused\"} 7",
            "setup_seconds_bucket{le=\"0.1\"} 1",
            "requests_refused_total{reason=\"no_video\"} 8",
            "queue_length{queue=\"messages\"} 9",
            "queued_bytes 10",
            "queue_length{queue=\"whep_requests\"} 11",
            "queue_length{queue=\"unsaved_gateways\"} 12",
            "queue_length{queue=\"unchecked_credentials\"} 13",
            "connections{holder=\"stranger\"} 14",
            "http_responses_total{status=\"429\"} 15",
            "sign_in_attempts_total{outcome=\"refused\"} 16",
            "slow_peers_total 17",
            "database_write_seconds_sum 0.5",
            "database_read_seconds_bucket{le=\"0.001\"} 1",
            "turn_server_state{server=\"main\",state=\"up\"} 1",
            "turn_server_state{server=\"main\",state=\"down\"} 0",
            "turn_server_state{server=\"north\",state=\"up\"} 0",
            "turn_server_state{server=\"north\",state=\"draining\"} 1",
        ] {
            let line = format!("porthole_signaling_{line}");
            assert!(text.lines().any(|found| found == line), "{line} is not in:\n{text}");
        }
    }

    #[test]
    fn every_status_has_a_label() {
        for (code, label) in [
            (101, "101"),
            (200, "2xx"),
            (304, "3xx"),
            (400, "400"),
            (401, "401"),
            (402, "4xx"),
            (403, "403"),
            (404, "404"),
            (405, "4xx"),
            (409, "409"),
            (422, "4xx"),
            (429, "429"),
            (500, "5xx"),
            (502, "502"),
            (503, "503"),
            (504, "504"),
            (507, "5xx"),
        ] {
            assert_eq!(Status::of(code).value(), label, "{code}");
        }
    }
}
