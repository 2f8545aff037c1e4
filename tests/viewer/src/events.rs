//! Events of the viewer, printed to standard output as one JSON object per line.

use std::io::Write as _;
use std::net::SocketAddr;

use porthole_gateway_core::TurnTransport;
use porthole_gateway_core::ice::{CandidateKind, LocalBase, Path};
use serde_json::{Value, json};

/// Prints one event. Errors are ignored: a test that stops reading also ends the viewer.
fn print(event: &Value) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{event}");
    let _ = out.flush();
}

pub(crate) fn path(path: &Path, relay: Option<TurnTransport>) {
    let relay = match (path.base, relay) {
        (LocalBase::Allocation(_), Some(TurnTransport::Udp)) => Some("udp"),
        (LocalBase::Allocation(_), Some(TurnTransport::Tcp)) => Some("tcp"),
        (LocalBase::Allocation(_), Some(TurnTransport::Tls)) => Some("tls"),
        (LocalBase::Allocation(_), None) | (LocalBase::Socket(_), _) => None,
    };
    print(&json!({
        "event": "path",
        "pair": {
            "local": endpoint(path.local_kind, path.local_address, relay),
            "remote": endpoint(path.remote_kind, path.remote, None),
            "roundTripMs": path.rtt.map(|rtt| rtt.as_secs_f64() * 1000.0),
        },
    }));
}

fn endpoint(kind: CandidateKind, address: SocketAddr, relay: Option<&str>) -> Value {
    let kind = match kind {
        CandidateKind::Host => "host",
        CandidateKind::ServerReflexive => "srflx",
        CandidateKind::PeerReflexive => "prflx",
        CandidateKind::Relay => "relay",
    };
    json!({
        "type": kind,
        "protocol": "udp",
        "relayProtocol": relay,
        "address": address.ip().to_string(),
        "port": address.port(),
    })
}

pub(crate) fn frames(count: u64) {
    print(&json!({ "event": "frames", "count": count }));
}

pub(crate) fn error(message: &str) {
    print(&json!({ "event": "error", "message": message }));
}
