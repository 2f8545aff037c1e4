//! The metrics. Every label has a bounded number of values, none
//! of which comes from a client. `docs/ref/metrics.md` explains each metric.

use porthole_metrics::Exposition;
use porthole_turn_server::{FallbackCounts, FastPathStatus, Stats};

/// Writes all metrics.
pub(crate) fn write(stats: &Stats, fast_path: &FastPathStatus, out: &mut Exposition) {
    totals(out, stats);
    relayed(out, stats);
    let help = "Network interfaces on which the kernel relays channels; 0 if it relays none";
    out.gauge("porthole_turn_fast_path_interfaces", help, fast_path.interfaces);
    fallbacks(out, &fast_path.fallbacks);
    refused(out, stats);
}

/// Writes the gauges, and what was made in all.
fn totals(out: &mut Exposition, stats: &Stats) {
    out.gauge("porthole_turn_allocations", "Living allocations", stats.allocations);
    out.gauge("porthole_turn_connections", "Open client connections", stats.tcp_connections);
    let associations = stats.dtls_associations;
    out.gauge("porthole_turn_dtls_associations", "DTLS clients", associations);
    let help = "Channels relayed in the kernel";
    out.gauge("porthole_turn_fast_path_channels", help, stats.offloaded_channels);
    let made = stats.counters.allocations_made;
    out.counter("porthole_turn_allocations_total", "Allocations made", &[("", made)]);
    let bindings = stats.counters.bindings;
    out.counter("porthole_turn_bindings_total", "Binding requests answered", &[("", bindings)]);
}

/// Writes the relayed traffic.
fn relayed(out: &mut Exposition, stats: &Stats) {
    let (mut packets, mut bytes) = (Vec::new(), Vec::new());
    for (transport, relayed) in stats.counters.relayed() {
        let ways = [("to_peer", relayed.to_peers), ("to_client", relayed.to_clients)];
        for (direction, traffic) in ways {
            let labels =
                format!("direction=\"{direction}\",client_transport=\"{}\"", transport.name());
            packets.push((labels.clone(), traffic.packets));
            bytes.push((labels, traffic.bytes));
        }
    }
    let fast = stats.counters.offloaded;
    let fast = [
        ("direction=\"to_peer\"", fast.to_peers.packets),
        ("direction=\"to_client\"", fast.to_clients.packets),
    ];
    out.counter("porthole_turn_fast_path_packets_total", "Packets relayed by the kernel", &fast);
    out.counter("porthole_turn_relayed_packets_total", "Packets relayed", &packets);
    out.counter("porthole_turn_relayed_bytes_total", "Payload bytes relayed", &bytes);
}

/// Writes the packets that the fast path left to the sockets.
fn fallbacks(out: &mut Exposition, left: &FallbackCounts) {
    let left = left.map(|(reason, count)| (format!("reason=\"{reason}\""), count));
    let help = "Packets of channels in the kernel that it left to the sockets";
    out.counter("porthole_turn_fast_path_left_packets_total", help, &left);
}

/// Writes the refused requests and the packets that were not relayed.
fn refused(out: &mut Exposition, stats: &Stats) {
    let errors = stats.counters.errors();
    let errors: Vec<_> =
        errors.map(|(code, count)| (format!("code=\"{}\"", code.value()), count)).collect();
    out.counter("porthole_turn_errors_total", "Requests answered with an error", &errors);
    let drops = stats.counters.drops();
    let mut drops: Vec<_> =
        drops.map(|(reason, count)| (format!("reason=\"{}\"", reason.as_str()), count)).collect();
    drops.push(("reason=\"not_sent\"".to_owned(), stats.not_sent));
    out.counter("porthole_turn_dropped_packets_total", "Packets not relayed", &drops);
    let doubts = stats.counters.doubts();
    let doubts: Vec<_> =
        doubts.map(|(doubt, count)| (format!("reason=\"{}\"", doubt.as_str()), count)).collect();
    let help = "Requests with time-limited credentials whose end is doubtful";
    out.counter("porthole_turn_doubtful_credentials_total", help, &doubts);
    let malformed = stats.counters.malformed;
    let help = "Messages that were neither STUN nor ChannelData";
    out.counter("porthole_turn_malformed_total", help, &[("", malformed)]);
    let unanswered = stats.counters.unanswered;
    let help = "Requests from unvalidated addresses that got no response";
    out.counter("porthole_turn_unanswered_total", help, &[("", unanswered)]);
}

#[cfg(test)]
mod tests;
