//! The server's certificate with its intermediates and its private key.

use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A certificate chain, the server's own certificate first, and the key of that one.
#[derive(Debug)]
pub(crate) struct Chain {
    pub(crate) certificates: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
}
