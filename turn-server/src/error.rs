//! Errors for whoever starts, reloads or asks a server, worded so that they say what to do.

use std::io;
use std::net::{IpAddr, SocketAddr};

use crate::tls::certificates::CertificateError;

/// The reason why a server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No listening address is configured.
    #[error("the TURN server has no address to listen on")]
    NoListenAddress,
    /// Another program uses the port.
    #[error(
        "the TURN server cannot listen on {addr} ({transport}): another program uses this port; \
         stop it or choose another port"
    )]
    InUse {
        /// The configured address.
        addr: SocketAddr,
        /// The transport: "UDP" or "TCP".
        transport: &'static str,
    },
    /// The address does not belong to this machine.
    #[error(
        "the TURN server cannot listen on {addr}: {} is not an address of this machine",
        addr.ip()
    )]
    NotLocal {
        /// The configured address.
        addr: SocketAddr,
    },
    /// One port is configured for two protocols that exclude each other.
    #[error(
        "{addr} is configured twice for the TURN server: a port in `listen` also serves TLS if \
         there is a certificate, but DTLS needs a port of its own"
    )]
    PortConflict {
        /// The configured address.
        addr: SocketAddr,
    },
    /// TLS or DTLS is configured without a certificate.
    #[error("the TURN server needs a certificate and its key to listen for TLS or DTLS")]
    NoCertificate,
    /// The configured certificate cannot be used.
    #[error("the TURN server has no usable certificate: {0}")]
    Certificate(#[from] CertificateError),
    /// The process may not bind a port below 1024.
    #[error("the TURN server may not listen on {addr}: ports below 1024 need CAP_NET_BIND_SERVICE")]
    Denied {
        /// The configured address.
        addr: SocketAddr,
    },
    /// Any other error of the operating system.
    #[error("the TURN server cannot listen on {addr} ({transport}): {source}")]
    Listen {
        /// The configured address.
        addr: SocketAddr,
        /// The transport: "UDP" or "TCP".
        transport: &'static str,
        /// The error of the operating system.
        source: io::Error,
    },
    /// No relay address is configured, and a wildcard listening address does not tell where peers
    /// reach this host.
    #[error("the TURN server needs a relay address: the public address that peers can send to")]
    NoRelayAddress,
    /// The relay address is 0.0.0.0 or ::, which no peer can send to.
    #[error("{0} cannot be a relay address: peers must be able to send to it")]
    UnspecifiedRelayAddress(IpAddr),
    /// No socket can be bound for the relay address.
    #[error("the TURN server cannot relay from {ip} (bound to {bind}): {source}")]
    RelayBind {
        /// The relay address that clients and peers see.
        ip: IpAddr,
        /// The local address to bind relay sockets to.
        bind: IpAddr,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The realm is empty or too long (RFC 8489 §14.9).
    #[error("the realm has {chars} characters; it must have fewer than 128, and at least one")]
    Realm {
        /// The number of its characters.
        chars: usize,
    },
    /// The key has a length that no cipher of RFC 7635 uses.
    #[error("the OAuth key {kid:?} must have 16 bytes (A128GCM) or 32 (A256GCM)")]
    OauthKey {
        /// The identifier of the key.
        kid: String,
    },
    /// The discovery address is unusable: RFC 5780 needs two addresses with two ports.
    #[error(
        "{alternate} cannot be the discovery address: it must differ in address and port from the \
         first listening address of its family, and neither may be a wildcard or port 0"
    )]
    DiscoveryAddress {
        /// The configured address.
        alternate: SocketAddr,
    },
    /// The range holds no port, or port 0.
    #[error("the relay port range {first}-{last} is empty or holds port 0")]
    RelayPorts {
        /// The first port of the range.
        first: u16,
        /// The last port of the range.
        last: u16,
    },
    /// A thread, an epoll instance or the list of interfaces is not available.
    #[error("the TURN server cannot start: {0}")]
    System(io::Error),
}

impl StartError {
    /// Sorts an error of binding a listening socket by what the operator can do about it.
    pub(crate) fn listen(addr: SocketAddr, transport: &'static str, source: io::Error) -> Self {
        let kind = source.kind();
        if kind == io::ErrorKind::AddrInUse {
            Self::InUse { addr, transport }
        } else if kind == io::ErrorKind::AddrNotAvailable {
            Self::NotLocal { addr }
        } else if kind == io::ErrorKind::PermissionDenied {
            Self::Denied { addr }
        } else {
            Self::Listen { addr, transport, source }
        }
    }
}

/// The reason why new settings are not in effect. Nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// A server could not be started with them.
    #[error("{0}; the old settings stay in effect")]
    Invalid(StartError),
    /// The server is being shut down.
    #[error("the TURN server is shutting down")]
    Stopping,
}

/// A worker did not reply in time, or has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a TURN worker does not respond; look at its thread, or restart the server")]
pub struct WorkerUnresponsive;
