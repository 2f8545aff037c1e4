//! Certificates for the tests of this module.

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::tls::chain::Chain;

/// Makes a self-signed certificate; returns it and its key in PEM.
pub(crate) fn pair(key: &KeyPair) -> (String, String) {
    let params = CertificateParams::new(vec!["turn.example".to_owned()]).unwrap();
    (params.self_signed(key).unwrap().pem(), key.serialize_pem())
}

/// Makes a self-signed certificate, as [`Chain`].
pub(crate) fn chain(key: &KeyPair) -> Chain {
    let (certificate, key) = pair(key);
    Chain {
        certificates: vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()],
        key: PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
    }
}

/// Reads an RSA key from a file: making one takes seconds, and `ring` cannot.
pub(crate) fn rsa() -> KeyPair {
    KeyPair::from_pem(include_str!("../../tests/fixtures/rsa.pem")).unwrap()
}
