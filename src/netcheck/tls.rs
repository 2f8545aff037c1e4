//! TLS to a server, as a browser would do it.

use anyhow::Context;
use std::{net::IpAddr, path::Path, sync::Arc};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, ServerName, pem::PemObject as _},
    },
};

/// RFC 7443 §3.
const ALPN: &[u8] = b"stun.turn";

/// The port, and how to speak TLS there.
pub(super) struct Tls {
    pub(super) port: u16,
    pub(super) connector: TlsConnector,
}

impl Tls {
    /// Trusts whom browsers trust, and the certificates in `ca`.
    pub(super) fn new(port: u16, ca: Option<&Path>) -> anyhow::Result<Self> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        if let Some(ca) = ca {
            let unusable = || format!("cannot use the certificates in {}", ca.display());
            for certificate in CertificateDer::pem_file_iter(ca).with_context(unusable)? {
                roots.add(certificate.with_context(unusable)?).with_context(unusable)?;
            }
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions()?;
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Self { port, connector: TlsConnector::from(Arc::new(config)) })
    }
}

/// The name that a server's certificate must be for: `HOST[:PORT]` without the port.
pub(super) fn name(server: &str) -> anyhow::Result<ServerName<'static>> {
    let host = match server.rsplit_once(':') {
        _ if server.parse::<IpAddr>().is_ok() => server,
        Some((host, port)) if port.parse::<u16>().is_ok() => host,
        Some(_) | None => server,
    };
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    ServerName::try_from(host).with_context(|| format!("{server} is no name for a certificate"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_for_the_host_without_its_port() {
        for (server, wanted) in [
            ("turn.example.org", "turn.example.org"),
            ("turn.example.org:3478", "turn.example.org"),
            ("192.0.2.1:3478", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]:3478", "2001:db8::1"),
        ] {
            assert_eq!(name(server).unwrap().to_str(), wanted, "{server}");
        }
        assert!(name("no name").is_err());
    }
}
