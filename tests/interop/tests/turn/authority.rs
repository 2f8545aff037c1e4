//! A certificate authority for the tests.

use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::Result;
use base64::Engine as _;
use porthole_test_support::scene::Scene;
use porthole_turn_server::TlsFiles;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PublicKeyData as _,
};
use sha2::{Digest as _, Sha256};

/// A certificate authority and the certificate it issued.
pub(crate) struct Authority {
    /// Path of its own certificate in PEM.
    pub(crate) root: PathBuf,
    /// The files of the server.
    pub(crate) server: TlsFiles,
    /// The SHA-256 digest of the server's public key in base64.
    pub(crate) key_digest: String,
}

impl Authority {
    pub(crate) fn new(scene: &Scene, addresses: &[IpAddr]) -> Result<Self> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::new())?;
        // Two names: with equal names the server's certificate would count as self-signed.
        params.distinguished_name.push(DnType::CommonName, "test authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let root = params.self_signed(&key)?;
        let issuer = Issuer::new(params, key);

        let key = KeyPair::generate()?;
        let names: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name.push(DnType::CommonName, "test server");
        let certificate = params.signed_by(&key, &issuer)?;
        let file = |name: &str, text: String| -> Result<PathBuf> {
            let path = scene.folder().join(name);
            std::fs::write(&path, text)?;
            Ok(path)
        };
        let digest = Sha256::digest(key.subject_public_key_info());
        Ok(Self {
            root: file("root.pem", root.pem())?,
            server: TlsFiles {
                certificate: file("server.pem", certificate.pem())?,
                key: file("server.key", key.serialize_pem())?,
            },
            key_digest: base64::engine::general_purpose::STANDARD.encode(digest),
        })
    }
}
