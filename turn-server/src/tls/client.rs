//! A client that the embedding program has accepted.

use std::net::{SocketAddr, TcpStream};

use rustls::server::ServerConnection;

/// A client's connection after its TLS handshake.
#[derive(Debug)]
pub struct TlsClient {
    /// The connection, which must not block.
    pub stream: TcpStream,
    /// The state of TLS, with what was read and not used yet.
    pub tls: ServerConnection,
    /// The address of the client, which a proxy may have told.
    pub address: SocketAddr,
}
