//! Certificates of authorities that are trusted beside those that browsers trust.

use std::path::Path;

use anyhow::Context as _;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;

/// Reads the certificates in a PEM file, which may have none.
///
/// # Errors
/// Fails if the file cannot be read.
pub fn read(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let unusable = || format!("cannot use the certificates in {}", path.display());
    let read = CertificateDer::pem_file_iter(path).with_context(unusable)?;
    read.collect::<Result<Vec<_>, _>>().with_context(unusable)
}
