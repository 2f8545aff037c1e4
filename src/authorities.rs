//! Certificates of authorities that are trusted beside those that browsers trust.

use std::path::Path;

use anyhow::Context as _;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;

/// Reads the certificates in a PEM file.
///
/// # Errors
/// Fails if the file cannot be read, or has none.
pub fn read(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let unusable = || format!("cannot use the certificates in {}", path.display());
    let read = CertificateDer::pem_file_iter(path).with_context(unusable)?;
    let certificates = read.collect::<Result<Vec<_>, _>>().with_context(unusable)?;
    anyhow::ensure!(!certificates.is_empty(), "{} has no certificate", path.display());
    Ok(certificates)
}
