//! Why a server does not start, in words for whoever starts it.

use std::io;
use std::net::{IpAddr, SocketAddr};

use crate::tls::certificates::CertificateError;

/// What stands in the way of a start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The list is empty.
    #[error("the TURN server has no address to listen on")]
    NoListenAddress,
    /// Somebody has the port.
    #[error(
        "the TURN server cannot listen on {addr} ({transport}): another program uses this port; \
         stop it or choose another port"
    )]
    InUse {
        /// Where.
        addr: SocketAddr,
        /// "UDP" or "TCP".
        transport: &'static str,
    },
    /// The address is another machine's.
    #[error(
        "the TURN server cannot listen on {addr}: {} is not an address of this machine",
        addr.ip()
    )]
    NotLocal {
        /// Where.
        addr: SocketAddr,
    },
    /// The same port for two things.
    #[error(
        "the TURN server is to listen on {addr} twice: a port in `listen` serves TLS too, if there \
         is a certificate, but DTLS needs a port of its own"
    )]
    Twice {
        /// Where.
        addr: SocketAddr,
    },
    /// TLS or DTLS are to be spoken.
    #[error("the TURN server needs a certificate and its key to listen for TLS or DTLS")]
    NoCertificate,
    /// The files do not do.
    #[error("the TURN server has no usable certificate: {0}")]
    Certificate(#[from] CertificateError),
    /// Ports below 1024 are root's.
    #[error("the TURN server may not listen on {addr}: ports below 1024 need CAP_NET_BIND_SERVICE")]
    Denied {
        /// Where.
        addr: SocketAddr,
    },
    /// Anything else the system says.
    #[error("the TURN server cannot listen on {addr} ({transport}): {source}")]
    Listen {
        /// Where.
        addr: SocketAddr,
        /// "UDP" or "TCP".
        transport: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// Listening on all addresses says nothing about where peers reach this host.
    #[error("the TURN server needs a relay address: the public address that peers can send to")]
    NoRelayAddress,
    /// 0.0.0.0 or :: cannot be told to a peer.
    #[error("{0} cannot be a relay address: peers must be able to send to it")]
    UnspecifiedRelayAddress(IpAddr),
    /// No socket can be opened for it.
    #[error("the TURN server cannot relay from {ip} (bound to {bind}): {source}")]
    RelayBind {
        /// The advertised address.
        ip: IpAddr,
        /// Where the sockets were to be.
        bind: IpAddr,
        /// What the system says.
        source: io::Error,
    },
    /// RFC 8489 §14.9.
    #[error("the realm has {chars} characters; it must have fewer than 128, and at least one")]
    Realm {
        /// How many it has.
        chars: usize,
    },
    /// The cipher goes by the length of the key.
    #[error("the OAuth key {kid:?} must have 16 bytes (A128GCM) or 32 (A256GCM)")]
    OauthKey {
        /// Its name.
        kid: String,
    },
    /// RFC 5780 needs two addresses with two ports.
    #[error(
        "{alternate} cannot be the discovery address: it must differ in address and port from the \
         first listening address of its family, and neither may be a wildcard or port 0"
    )]
    DiscoveryAddress {
        /// As configured.
        alternate: SocketAddr,
    },
    /// No port in it, or port 0.
    #[error("the relay port range {first}-{last} is empty or holds port 0")]
    RelayPorts {
        /// Its first port.
        first: u16,
        /// Its last port.
        last: u16,
    },
    /// Threads, epoll, interface list.
    #[error("the TURN server cannot start: {0}")]
    System(io::Error),
}

impl StartError {
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

/// Why new settings are not in effect.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// A server could not be started with them; nothing has changed.
    #[error("{0}; the old settings stay in effect")]
    Invalid(StartError),
    /// Some workers have the new settings; the others get them within seconds of answering again.
    #[error(transparent)]
    Unanswered(#[from] Unanswered),
    /// The server is being shut down.
    #[error("the TURN server is shutting down")]
    Stopping,
}

/// A worker did not answer in time, or is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a TURN worker does not answer; look at its thread, or restart the server")]
pub struct Unanswered;
