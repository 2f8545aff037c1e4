//! TLS to a server, with the trust anchors of a browser.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use porthole_turn_proto::uri::DEFAULT_TLS_PORT;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::authorities;

/// The ALPN protocol id of TURN (RFC 7443 §3).
const ALPN: &[u8] = b"stun.turn";

/// The TLS port of the servers, and the settings to connect to it.
pub(super) struct Tls {
    pub(super) port: u16,
    /// True if the user named the port. Otherwise a server need not have TLS.
    pub(super) is_required: bool,
    pub(super) connector: TlsConnector,
}

impl Tls {
    /// Trusts the authorities that browsers trust, and the certificates in the PEM file `ca`.
    pub(super) fn new(port: Option<u16>, ca: Option<&Path>) -> anyhow::Result<Self> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        if let Some(ca) = ca {
            for certificate in authorities::read(ca)? {
                let unusable = || format!("cannot use the certificates in {}", ca.display());
                roots.add(certificate).with_context(unusable)?;
            }
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions()?;
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Self {
            port: port.unwrap_or(DEFAULT_TLS_PORT),
            is_required: port.is_some(),
            connector: TlsConnector::from(Arc::new(config)),
        })
    }
}
