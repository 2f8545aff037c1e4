//! The certificate of TLS and DTLS: read, checked, and read again when its files change.

use std::fs::File;
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{InconsistentKeys, ServerConfig};

use crate::tls::chain::Chain;
use crate::tls::dtls::{CurrentIdentity, Identity};
use crate::tls::stream;
use crate::watcher::Watcher;

/// How often the files are looked at: a renewal has weeks, whoever waits for its effect has not.
pub(crate) const POLL: Duration = Duration::from_secs(10);
/// A chain with its intermediates is 10 kB. What is behind this is not looked at.
const MAX_FILE: u64 = 1 << 20;

/// Where the certificate of TLS and DTLS lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// PEM: the server's certificate first, then the intermediates.
    pub certificate: PathBuf,
    /// PEM: the private key of the first one.
    pub key: PathBuf,
}

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// Missing, not ours to read, or far too large.
    #[error("{} cannot be read: {source}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// No PEM, or none of what is needed.
    #[error("{} holds no {what} in PEM format: {detail}", path.display())]
    NotPem {
        /// Which file.
        path: PathBuf,
        /// "certificate" or "private key".
        what: &'static str,
        /// What the parser says.
        detail: String,
    },
    /// Two files of different pairs; usual in the middle of a renewal.
    #[error(
        "the key in {} does not belong to the certificate in {}",
        key.display(),
        certificate.display()
    )]
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// Of a kind that is not supported.
    #[error("the certificate in {} cannot be used for {protocol}: {detail}", certificate.display())]
    Unusable {
        /// The certificate's file.
        certificate: PathBuf,
        /// "TLS" or "DTLS".
        protocol: &'static str,
        /// What the library says.
        detail: String,
    },
}

/// The certificate that new connections get. Existing connections keep the one they began with.
#[derive(Debug)]
pub(crate) struct Certificates {
    files: TlsFiles,
    hasher: RandomState,
    tls: RwLock<Arc<ServerConfig>>,
    /// `None` when the server does not listen for DTLS.
    dtls: Option<Arc<CurrentIdentity>>,
    /// Fingerprint of the files in use.
    used: Mutex<u64>,
}

/// One certificate, ready for use.
struct Prepared {
    tls: Arc<ServerConfig>,
    dtls: Option<Identity>,
}

impl Certificates {
    /// Reads and checks the files; `dtls` says that DTLS needs the certificate, too.
    pub(crate) fn load(files: TlsFiles, dtls: bool) -> Result<Self, CertificateError> {
        let hasher = RandomState::new();
        let bytes = Bytes::read(&files)?;
        let Prepared { tls, dtls } = bytes.prepare(&files, dtls)?;
        let used = Mutex::new(hasher.hash_one(&bytes));
        let dtls = dtls.map(CurrentIdentity::new).map(Arc::new);
        Ok(Self { files, hasher, tls: RwLock::new(tls), dtls, used })
    }

    /// Returns the TLS configuration of new connections.
    pub(crate) fn tls(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.tls.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns the DTLS identity of new associations, which follows the files.
    pub(crate) fn dtls(&self) -> Option<Arc<CurrentIdentity>> {
        self.dtls.clone()
    }

    /// Looks at the files now. `Ok(true)`: they held another certificate, which new connections
    /// get from now on. After an error the old one stays in use.
    pub(crate) fn reload(&self) -> Result<bool, CertificateError> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = Bytes::read(&self.files)?;
        let fingerprint = self.hasher.hash_one(&bytes);
        if fingerprint == *used {
            return Ok(false);
        }
        let Prepared { tls, dtls } = bytes.prepare(&self.files, self.dtls.is_some())?;
        *self.tls.write().unwrap_or_else(PoisonError::into_inner) = tls;
        if let (Some(current), Some(identity)) = (&self.dtls, dtls) {
            current.replace(identity);
        }
        *used = fingerprint;
        tracing::info!("the TURN server uses a new certificate");
        Ok(true)
    }
}

/// Reloads certificates when their files change. Complains once of each thing that is wrong, not
/// every few seconds.
pub(crate) fn watch(certificates: Arc<Certificates>, every: Duration) -> io::Result<Watcher> {
    let mut complaint = None;
    Watcher::start("turn-certificate", every, move || {
        let wrong = certificates.reload().err().map(|error| error.to_string());
        if wrong != complaint
            && let Some(error) = &wrong
        {
            tracing::warn!(%error, "the TURN server goes on with its old certificate");
        }
        complaint = wrong;
    })
}

/// The files as they are.
#[derive(Hash)]
struct Bytes {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Bytes {
    fn read(files: &TlsFiles) -> Result<Self, CertificateError> {
        Ok(Self { certificate: read(&files.certificate)?, key: read(&files.key)? })
    }

    fn prepare(&self, files: &TlsFiles, dtls: bool) -> Result<Prepared, CertificateError> {
        let not_pem = |path: &Path, what| {
            let path = path.to_owned();
            move |detail| CertificateError::NotPem { path, what, detail }
        };
        let chain = Chain {
            certificates: certificates(&self.certificate)
                .map_err(not_pem(&files.certificate, "certificate"))?,
            key: PrivateKeyDer::from_pem_slice(&self.key)
                .map_err(|error| error.to_string())
                .map_err(not_pem(&files.key, "private key"))?,
        };
        let unusable = |protocol, detail| CertificateError::Unusable {
            certificate: files.certificate.clone(),
            protocol,
            detail,
        };
        let tls = stream::server_config(&chain).map_err(|error| {
            if error == rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) {
                let TlsFiles { certificate, key } = files.clone();
                return CertificateError::Mismatch { certificate, key };
            }
            unusable("TLS", error.to_string())
        })?;
        let identity = dtls.then(|| Identity::new(&chain)).transpose();
        let dtls = identity.map_err(|detail| unusable("DTLS", detail))?;
        Ok(Prepared { tls, dtls })
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| error.to_string())?;
    if certificates.is_empty() { Err("nothing found".to_owned()) } else { Ok(certificates) }
}

fn read(path: &Path) -> Result<Vec<u8>, CertificateError> {
    let unreadable = |source| CertificateError::Unreadable { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(MAX_FILE).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
