//! The JSON of the responses.

use std::net::SocketAddr;

use porthole_turn_proto::server::Traffic;
use porthole_turn_server::Session;
use serde::Serialize;

/// One page of the list of sessions.
#[derive(Debug, Serialize)]
pub(crate) struct SessionPage {
    sessions: Vec<SessionView>,
    /// The `after` of the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

impl SessionPage {
    pub(crate) fn new(found: Vec<Session>, limit: usize) -> Self {
        let next = found.last().filter(|_| found.len() == limit).map(|last| last.id.to_string());
        Self { sessions: found.into_iter().map(SessionView::from).collect(), next }
    }
}

#[derive(Debug, Serialize)]
struct SessionView {
    id: String,
    transport: &'static str,
    client: SocketAddr,
    username: String,
    relayed: Vec<SocketAddr>,
    age_s: u64,
    expires_in_s: u64,
    to_peer: TrafficView,
    to_client: TrafficView,
}

#[derive(Debug, Serialize)]
struct TrafficView {
    packets: u64,
    bytes: u64,
}

impl From<Traffic> for TrafficView {
    fn from(Traffic { packets, bytes }: Traffic) -> Self {
        Self { packets, bytes }
    }
}

impl From<Session> for SessionView {
    fn from(Session { id, info }: Session) -> Self {
        Self {
            id: id.to_string(),
            transport: info.client.transport.name(),
            client: info.client.client,
            username: info.username,
            relayed: info.relayed,
            age_s: info.age.as_secs(),
            expires_in_s: info.expires_in.as_secs(),
            to_peer: info.to_peer.into(),
            to_client: info.to_client.into(),
        }
    }
}
