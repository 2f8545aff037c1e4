//! The certificate of TLS and DTLS: loaded, checked, and reloaded when its files change. The
//! embedding program uses the same for its own listeners.

use std::fs::File;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, ServerConfig};

use crate::tls::chain::Chain;
use crate::tls::dtls::{CurrentIdentity, Identity};
use crate::tls::stream;
use crate::watcher::Watcher;

/// Interval at which the files are read: a renewal has weeks of time, but an operator waits for its
/// effect.
pub(crate) const POLL: Duration = Duration::from_secs(10);
/// Most bytes read of a file: a chain with its intermediates has 10 kB.
const MAX_FILE: u64 = 1 << 20;

/// The files of the certificate for TLS and DTLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// Path of the certificate chain in PEM: the server's own first, then the intermediates.
    pub certificate: PathBuf,
    /// Path of the private key in PEM, that of the first certificate.
    pub key: PathBuf,
}

/// The reason why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file is missing or not readable.
    #[error("{} cannot be read: {source}", path.display())]
    Unreadable {
        /// The path of the file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A file holds no PEM, or not the needed part.
    #[error("{} holds no {what} in PEM format: {detail}", path.display())]
    NotPem {
        /// The path of the file.
        path: PathBuf,
        /// The missing part: "certificate" or "private key".
        what: &'static str,
        /// The error of the parser.
        detail: String,
    },
    /// The files belong to different pairs; usual in the middle of a renewal.
    #[error(
        "the key in {} does not belong to the certificate in {}",
        key.display(),
        certificate.display()
    )]
    Mismatch {
        /// The path of the certificate.
        certificate: PathBuf,
        /// The path of the key.
        key: PathBuf,
    },
    /// The system starts no thread to watch the files.
    #[error("the files of the certificate cannot be watched: {0}")]
    Unwatched(io::Error),
    /// The certificate or key is of a kind that is not supported.
    #[error("the certificate in {} cannot be used for {protocol}: {detail}", certificate.display())]
    Unusable {
        /// The path of the certificate.
        certificate: PathBuf,
        /// The protocol: "TLS" or "DTLS".
        protocol: &'static str,
        /// The error of the library.
        detail: String,
    },
}

/// The certificate that new connections get. Existing connections keep the one they began with.
#[derive(Debug)]
pub(crate) struct Certificates {
    files: TlsFiles,
    /// The user of the certificate, for the log.
    user: &'static str,
    hasher: RandomState,
    key: RwLock<Arc<CertifiedKey>>,
    tls: RwLock<Arc<ServerConfig>>,
    /// `None` when the server does not listen for DTLS.
    dtls: Option<Arc<CurrentIdentity>>,
    /// Fingerprint of the files in use.
    used: Mutex<u64>,
}

/// A certificate that was checked, ready for use.
struct Loaded {
    key: Arc<CertifiedKey>,
    tls: Arc<ServerConfig>,
    dtls: Option<Identity>,
}

impl Certificates {
    /// Reads and checks the files; `dtls` says that DTLS needs the certificate, too.
    pub(crate) fn load(files: TlsFiles, dtls: bool) -> Result<Self, CertificateError> {
        Self::load_for("the TURN server", files, dtls)
    }

    fn load_for(user: &'static str, files: TlsFiles, dtls: bool) -> Result<Self, CertificateError> {
        let hasher = RandomState::new();
        let bytes = Bytes::read(&files)?;
        let Loaded { key, tls, dtls } = bytes.prepare(&files, dtls)?;
        let used = Mutex::new(hasher.hash_one(&bytes));
        let dtls = dtls.map(CurrentIdentity::new).map(Arc::new);
        let (key, tls) = (RwLock::new(key), RwLock::new(tls));
        Ok(Self { files, user, hasher, key, tls, dtls, used })
    }

    /// Returns the certificate of new connections, with its key.
    fn key(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.key.read().unwrap_or_else(PoisonError::into_inner))
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
        let Loaded { key, tls, dtls } = bytes.prepare(&self.files, self.dtls.is_some())?;
        *self.key.write().unwrap_or_else(PoisonError::into_inner) = key;
        *self.tls.write().unwrap_or_else(PoisonError::into_inner) = tls;
        if let (Some(current), Some(identity)) = (&self.dtls, dtls) {
            current.replace(identity);
        }
        *used = fingerprint;
        tracing::info!("{} uses a new certificate", self.user);
        Ok(true)
    }
}

/// Starts a thread that reloads the certificate when its files change. Logs each error once, not
/// at every interval.
pub(crate) fn watch(certificates: Arc<Certificates>, every: Duration) -> io::Result<Watcher> {
    let mut last_error = None;
    Watcher::start("certificate", every, move || {
        let error = certificates.reload().err().map(|error| error.to_string());
        if error != last_error
            && let Some(error) = &error
        {
            tracing::warn!(%error, "{} keeps its old certificate", certificates.user);
        }
        last_error = error;
    })
}

/// A certificate in files, which are read again when they change: for listeners of the embedding
/// program.
#[derive(Debug)]
pub struct WatchedCertificate {
    certificates: Arc<Certificates>,
    _watcher: Watcher,
}

impl WatchedCertificate {
    /// Reads and checks the files, and follows their changes from then on. `user` names the
    /// listener in the log.
    ///
    /// # Errors
    ///
    /// Returns the reason why the certificate cannot be used now, or why its files cannot be
    /// watched.
    pub fn watch(user: &'static str, files: TlsFiles) -> Result<Self, CertificateError> {
        let certificates = Arc::new(Certificates::load_for(user, files, false)?);
        let watcher = watch(Arc::clone(&certificates), POLL);
        let watcher = watcher.map_err(CertificateError::Unwatched)?;
        Ok(Self { certificates, _watcher: watcher })
    }

    /// Returns the certificate for a new connection.
    #[must_use]
    pub fn current(&self) -> Arc<CertifiedKey> {
        self.certificates.key()
    }

    /// Reads the files now instead of within 10 seconds. Returns `Ok(true)` if they changed.
    ///
    /// # Errors
    ///
    /// Returns the reason why the certificate in the files cannot be used. The old one stays.
    pub fn reload(&self) -> Result<bool, CertificateError> {
        self.certificates.reload()
    }
}

/// The contents of both files.
#[derive(Hash)]
struct Bytes {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Bytes {
    fn read(files: &TlsFiles) -> Result<Self, CertificateError> {
        Ok(Self { certificate: read(&files.certificate)?, key: read(&files.key)? })
    }

    fn prepare(&self, files: &TlsFiles, dtls: bool) -> Result<Loaded, CertificateError> {
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
        let key = stream::certified_key(&chain).map_err(|error| {
            if error == rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) {
                let TlsFiles { certificate, key } = files.clone();
                return CertificateError::Mismatch { certificate, key };
            }
            unusable("TLS", error.to_string())
        })?;
        let tls = stream::server_config(Arc::clone(&key))
            .map_err(|error| unusable("TLS", error.to_string()))?;
        let identity = dtls.then(|| Identity::new(&chain)).transpose();
        let dtls = identity.map_err(|detail| unusable("DTLS", detail))?;
        Ok(Loaded { key, tls, dtls })
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
