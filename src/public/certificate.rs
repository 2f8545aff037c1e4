//! The certificate of the public port, as each handshake gets it.

use std::sync::{Arc, OnceLock};

use porthole_turn_server::{CertificateError, TlsFiles, WatchedCertificate};
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;

use super::acme::{ALPN, TlsAnswers};

/// The user of the certificate, for the log.
const USER: &str = "the public port";

/// The certificate that new connections get. Open ones keep the one they began with.
#[derive(Debug)]
pub(super) struct Certificate {
    /// Unset until there is a first one.
    watched: OnceLock<WatchedCertificate>,
    /// The answers to challenges of an authority.
    answers: TlsAnswers,
}

impl Certificate {
    /// Begins without a certificate.
    pub(super) fn empty() -> Self {
        Self { watched: OnceLock::new(), answers: TlsAnswers::default() }
    }

    /// Reads the certificate from files, which are followed from then on.
    pub(super) fn from_files(files: TlsFiles) -> Result<Self, CertificateError> {
        let certificate = Self::empty();
        certificate.use_files(files)?;
        Ok(certificate)
    }

    /// Reads the certificate from files: always the same, once there are any.
    pub(super) fn use_files(&self, files: TlsFiles) -> Result<(), CertificateError> {
        match self.watched.get() {
            Some(watched) => watched.reload().map(drop),
            None => {
                // Nobody else sets it.
                let _ = self.watched.set(WatchedCertificate::watch(USER, files)?);
                Ok(())
            }
        }
    }

    /// Returns the answers to challenges.
    pub(super) fn answers(&self) -> &TlsAnswers {
        &self.answers
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
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let mut protocols = hello.alpn().into_iter().flatten();
        if protocols.next() == Some(ALPN) && protocols.next().is_none() {
            return self.answers.get(hello.server_name()?);
        }
        self.watched.get().map(WatchedCertificate::current)
    }
}
