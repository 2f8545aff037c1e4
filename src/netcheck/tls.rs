//! TLS to a server, with the trust anchors of a browser.

use std::path::Path;
use std::sync::Arc;

use porthole_turn_proto::uri::DEFAULT_TLS_PORT;
use tokio_rustls::TlsConnector;

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
        let mut config = authorities::client_config(ca)?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Self {
            port: port.unwrap_or(DEFAULT_TLS_PORT),
            is_required: port.is_some(),
            connector: TlsConnector::from(Arc::new(config)),
        })
    }
}
