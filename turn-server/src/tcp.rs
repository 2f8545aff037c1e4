//! TCP connections: clients' (plain or TLS), peers' (RFC 6062), and the two joined.

pub(crate) mod client_stream;
pub(crate) mod connections;
pub(crate) mod peer_connections;
pub(crate) mod send_queue;
pub(crate) mod splice;
