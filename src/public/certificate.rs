//! The certificate of the public port, as each handshake gets it.

use std::sync::Arc;

use porthole_turn_server::{CertificateError, TlsFiles, WatchedCertificate};
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;

/// The user of the certificate, for the log.
const USER: &str = "the public port";

/// The certificate that new connections get. Open ones keep the one they began with.
#[derive(Debug)]
pub(super) struct Certificate {
    watched: WatchedCertificate,
}

impl Certificate {
    /// Reads the certificate from files, which are followed from then on.
    pub(super) fn from_files(files: TlsFiles) -> Result<Self, CertificateError> {
        Ok(Self { watched: WatchedCertificate::watch(USER, files)? })
    }

    /// Makes the configuration of all connections. Clients that offer only other protocols are
    /// refused by `no_application_protocol` (RFC 7301 §3.2); those that offer none are accepted.
    /// Sessions are not stored for resumption: a store that does not exist cannot be filled up.
    pub(super) fn server_config(self: Arc<Self>, protocols: Vec<Vec<u8>>) -> Arc<ServerConfig> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider has cipher suites for TLS 1.2 and 1.3")
            .with_no_client_auth()
            .with_cert_resolver(self);
        config.alpn_protocols = protocols;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Arc::new(config)
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.watched.current())
    }
}
