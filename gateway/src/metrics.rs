//! The metrics of a running gateway. Every label has the values of an enum: no camera, viewer or
//! address is one. `docs/ref/metrics.md` explains each metric.

use std::time::Duration;

use porthole_gateway_core::stats::{SessionTraffic, Stats};
use porthole_metrics::{Exposition, Tally, TimeHistogram, label};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// Capacity of the queue of requests for the numbers; further ones wait.
pub(crate) const ASK_QUEUE: usize = 4;

/// Time in which the loop answers, even if it is busy.
const PATIENCE: Duration = Duration::from_secs(2);

/// Upper bounds of the lateness of timers in milliseconds: at 20 a picture stutters.
const LAG_BOUNDS_MS: &[u64] = &[1, 2, 5, 10, 20, 50, 100, 500];

label! {
    /// The queues of the loop.
    pub(crate) enum Queue as "queue" {
        /// Batches of cameras' packets.
        Sources = "cameras",
        /// Data from TURN servers.
        Turn = "turn",
        /// Messages of the signaling server.
        FromServer = "from_server",
        /// Messages for the signaling server.
        ToServer = "to_server",
    }
}

/// The request for the numbers of this moment.
pub(crate) type Ask = oneshot::Sender<Measures>;

/// The numbers of a driver and its core at one moment.
#[derive(Debug)]
pub(crate) struct Measures {
    pub(crate) stats: Stats,
    pub(crate) queues: Tally<Queue>,
    pub(crate) lag: TimeHistogram,
    pub(crate) tasks: u64,
}

/// Returns the histogram of the lateness of timers, of which none was late yet.
pub(crate) fn no_lag() -> TimeHistogram {
    TimeHistogram::new(LAG_BOUNDS_MS)
}

/// A handle to the numbers of a gateway.
#[derive(Debug, Clone)]
pub struct Metrics(mpsc::Sender<Ask>);

impl Metrics {
    pub(crate) fn new(asks: mpsc::Sender<Ask>) -> Self {
        Self(asks)
    }

    /// Writes the metrics of this moment, or nothing if the gateway does not run.
    pub async fn write(&self, out: &mut Exposition) {
        let (answer, answered) = oneshot::channel();
        let measures = async {
            self.0.send(answer).await.ok()?;
            answered.await.ok()
        };
        if let Ok(Some(measures)) = timeout(PATIENCE, measures).await {
            write(&measures, out);
        }
    }
}

fn write(Measures { stats, queues, lag, tasks }: &Measures, out: &mut Exposition) {
    let help = "Cameras, by the state of their main stream";
    out.gauges_by("porthole_gateway_cameras", help, &stats.cameras);
    write_sessions(stats, out);
    write_traffic(&stats.traffic, out);
    let help = "Changes of the stream that a viewer is shown, because of its path";
    out.counter_by("porthole_gateway_stream_changes_total", help, &stats.changes);
    let help = "Viewers by the estimate of what their path carries, in bits per second";
    out.gauges_by("porthole_gateway_viewers_by_estimate", help, &stats.estimates);
    let help =
        "Rates of the streams that viewers outside the local network see, in bits per second";
    out.gauge("porthole_gateway_uplink_bits_per_second", help, stats.uplink);
    let help = "Limit of these rates in all, in bits per second; 0 without one";
    out.gauge("porthole_gateway_max_uplink_bits_per_second", help, stats.max_uplink);
    out.gauges_by("porthole_gateway_queue_length", "Entries of the queues of the loop", queues);
    out.gauge("porthole_gateway_tasks", "Tasks of cameras and TURN connections", *tasks);
    out.histogram("porthole_gateway_loop_lag_seconds", "Lateness of the timers of the loop", lag);
}

/// Writes how sessions begin and end.
fn write_sessions(stats: &Stats, out: &mut Exposition) {
    let help = "Viewers, by the kind of their path";
    out.gauges_by("porthole_gateway_viewers", help, &stats.watching);
    let help = "Sessions that have no path yet";
    out.gauge("porthole_gateway_starting_sessions", help, stats.starting);
    let help = "Sessions that have begun to watch, by the kind of their first path";
    out.counter_by("porthole_gateway_sessions_started_total", help, &stats.started);
    let help = "Ends of sessions that had begun to watch";
    out.counter_by("porthole_gateway_sessions_ended_total", help, &stats.ended);
    let help = "Ends of sessions that never had a picture";
    out.counter_by("porthole_gateway_sessions_failed_total", help, &stats.failed);
    let help = "Requests to watch that were refused";
    out.counter_by("porthole_gateway_requests_refused_total", help, &stats.refused);
    let help = "Time from the beginning of a session to the path and its keys";
    out.histogram("porthole_gateway_setup_seconds", help, &stats.setup);
    let help = "Time from the beginning of a session to the first packet";
    out.histogram("porthole_gateway_first_packet_seconds", help, &stats.first_packet);
}

/// Writes what was sent to viewers.
fn write_traffic(traffic: &SessionTraffic, out: &mut Exposition) {
    let packets = [
        ("kind=\"media\"", traffic.packets),
        ("kind=\"retransmission\"", traffic.retransmitted_packets),
    ];
    out.counter("porthole_gateway_sent_packets_total", "Packets sent to viewers", &packets);
    let bytes = [
        ("kind=\"media\"", traffic.bytes),
        ("kind=\"retransmission\"", traffic.retransmitted_bytes),
        ("kind=\"padding\"", traffic.padding_bytes),
    ];
    out.counter("porthole_gateway_sent_bytes_total", "Payload bytes sent to viewers", &bytes);
    let lost = [("", traffic.lost_packets)];
    let help = "Packets that viewers have reported as lost";
    out.counter("porthole_gateway_lost_packets_total", help, &lost);
    let relayed = [("", traffic.relayed_bytes)];
    let help = "Bytes of datagrams sent through TURN servers";
    out.counter("porthole_gateway_relayed_bytes_total", help, &relayed);
}

#[cfg(test)]
mod tests {
    use porthole_gateway_core::stats::{EndReason, Estimate, PathKind, Refused, Shown, State};

    use super::*;

    /// Returns numbers that differ from each other.
    fn measures() -> Measures {
        let mut stats = Stats { starting: 1, ..Stats::default() };
        stats.cameras.add(State::Live, 2);
        stats.watching.add(PathKind::Relay, 3);
        stats.estimates.add(Estimate::TwoMbit, 4);
        stats.started.add(PathKind::Host, 5);
        stats.ended.add(EndReason::ViewerLeft, 6);
        stats.failed.add(EndReason::NoPath, 7);
        stats.refused.add(Refused::NoVideo, 8);
        stats.setup.record(Duration::from_millis(90));
        stats.first_packet.record(Duration::from_millis(400));
        stats.changes.add(Shown::Sub, 9);
        stats.traffic = SessionTraffic {
            packets: 10,
            bytes: 11,
            retransmitted_packets: 12,
            retransmitted_bytes: 13,
            padding_bytes: 14,
            lost_packets: 15,
            relayed_bytes: 16,
        };
        (stats.uplink, stats.max_uplink) = (19, 20);
        let mut queues = Tally::default();
        queues.add(Queue::ToServer, 17);
        let mut lag = no_lag();
        lag.record(Duration::from_millis(3));
        Measures { stats, queues, lag, tasks: 18 }
    }

    #[test]
    fn the_reference_lists_exactly_these_metrics_with_bounded_labels() {
        let mut out = Exposition::default();
        write(&measures(), &mut out);
        let reference = include_str!("../../docs/ref/metrics.md");
        let found = porthole_test_support::metrics::complaints(
            &out.into_text(),
            "porthole_gateway_",
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
            "starting_sessions 1",
            "cameras{state=\"live\"} 2",
            "viewers{path=\"relay\"} 3",
            "viewers_by_estimate{up_to=\"2M\"} 4",
            "uplink_bits_per_second 19",
            "max_uplink_bits_per_second 20",
            "sessions_started_total{path=\"host\"} 5",
            "sessions_ended_total{reason=\"viewer_left\"} 6",
            "sessions_failed_total{reason=\"no_path\"} 7",
            "requests_refused_total{reason=\"no_video\"} 8",
            "setup_seconds_bucket{le=\"0.1\"} 1",
            "first_packet_seconds_sum 0.4",
            "stream_changes_total{to=\"sub\"} 9",
            "sent_packets_total{kind=\"media\"} 10",
            "sent_bytes_total{kind=\"media\"} 11",
            "sent_packets_total{kind=\"retransmission\"} 12",
            "sent_bytes_total{kind=\"retransmission\"} 13",
            "sent_bytes_total{kind=\"padding\"} 14",
            "lost_packets_total 15",
            "relayed_bytes_total 16",
            "queue_length{queue=\"to_server\"} 17",
            "tasks 18",
            "loop_lag_seconds_bucket{le=\"0.005\"} 1",
        ] {
            let line = format!("porthole_gateway_{line}");
            assert!(text.lines().any(|found| found == line), "{line} is not in:\n{text}");
        }
    }

    #[tokio::test]
    async fn a_gateway_that_does_not_run_has_no_metrics() {
        let (asks, asked) = mpsc::channel(ASK_QUEUE);
        drop(asked);
        let mut out = Exposition::default();
        Metrics::new(asks).write(&mut out).await;
        assert_eq!(out.into_text(), "");
    }
}
