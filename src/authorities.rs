//! Certificates of authorities that are trusted beside those that browsers trust.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Reads the certificates in a PEM file, which may have none.
///
/// # Errors
/// Fails if the file cannot be read.
pub fn read(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let unusable = || format!("cannot use the certificates in {}", path.display());
    let read = CertificateDer::pem_file_iter(path).with_context(unusable)?;
    read.collect::<Result<Vec<_>, _>>().with_context(unusable)
}

/// Returns settings of TLS that trust the authorities that browsers trust, and the certificates in
/// the PEM file `ca`.
///
/// # Errors
/// Fails if the file cannot be read, or has something that is no certificate.
pub fn client_config(ca: Option<&Path>) -> anyhow::Result<ClientConfig> {
    let Some(ca) = ca else { return trusting(Vec::new()) };
    trusting(read(ca)?).with_context(|| format!("cannot use the certificates in {}", ca.display()))
}

/// Returns settings of TLS that trust the authorities that browsers trust, and these.
///
/// # Errors
/// Fails if one of them is no certificate.
pub fn trusting(authorities: Vec<CertificateDer<'static>>) -> anyhow::Result<ClientConfig> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    for authority in authorities {
        roots.add(authority)?;
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions()?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
