//! One allocation at a server that a URI names, as a client of a session makes it.

use std::path::Path;
use std::time::Duration;

use porthole_turn_proto::uri::ServerUri;
use porthole_turn_proto::{FailureReason, Transport};
use tokio::net::lookup_host;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use super::probe::{self, ProbeError, ProbeTransport};
use super::tls::Tls;
use crate::config::Account;

/// Time for the allocation at one address: two packets may be lost.
const ADDRESS_TIMEOUT: Duration = Duration::from_secs(3);

/// The reason why there is no allocation.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAllocated {
    /// The server answers, and takes no new clients.
    #[error("{0}")]
    Refused(String),
    /// The server cannot be reached or used.
    #[error("{0}")]
    Failed(String),
}

impl From<ProbeError> for NotAllocated {
    fn from(error: ProbeError) -> Self {
        let takes_no_clients = match &error {
            ProbeError::Turn(reason) => match reason {
                FailureReason::TryAlternate(_)
                | FailureReason::QuotaReached
                | FailureReason::NoCapacity => true,
                FailureReason::Timeout
                | FailureReason::Unauthenticated
                | FailureReason::Mismatch
                | FailureReason::UnsupportedFamily
                | FailureReason::BadResponse
                | FailureReason::Refused => false,
            },
            ProbeError::Timeout
            | ProbeError::Refused
            | ProbeError::Unreachable
            | ProbeError::Certificate(_)
            | ProbeError::InvalidResponse
            | ProbeError::Other(_) => false,
        };
        let reason = error.to_string();
        if takes_no_clients { Self::Refused(reason) } else { Self::Failed(reason) }
    }
}

/// Makes an allocation at a TURN server, at the first address of each family that its host has
/// until one works, and deletes it.
///
/// # Errors
/// Returns the reason of the last address, or of one that takes no new clients.
pub async fn allocate(
    uri: &ServerUri,
    account: &Account,
    tls: &TlsConnector,
) -> Result<(), NotAllocated> {
    let failed = |reason: String| NotAllocated::Failed(reason);
    let via = match uri.transport {
        Transport::Udp => ProbeTransport::Udp,
        Transport::Tcp => ProbeTransport::Tcp,
        Transport::Tls => {
            let name = ServerName::try_from(uri.host.clone());
            let name = name.map_err(|_| failed("not the name in a certificate".to_owned()))?;
            ProbeTransport::Tls { connector: tls, name }
        }
        Transport::Dtls => return Err(failed("TURN over DTLS is not checked".to_owned())),
    };
    let found = lookup_host((uri.host.as_str(), uri.port)).await;
    let found: Vec<_> = found.map_err(|_| failed("its name is unknown".to_owned()))?.collect();
    let first = |v6: bool| found.iter().copied().find(|address| address.is_ipv6() == v6);
    let mut last = failed("its name has no address".to_owned());
    for address in [first(false), first(true)].into_iter().flatten() {
        match probe::allocate(address, &via, Some(account), ADDRESS_TIMEOUT).await {
            Ok(_) => return Ok(()),
            Err(error) if matches!(last, NotAllocated::Refused(_)) => drop(error),
            Err(error) => last = error.into(),
        }
    }
    Err(last)
}

/// Returns the settings of TLS to TURN servers, which trust what browsers trust and the
/// certificates in the PEM file `ca`.
///
/// # Errors
/// Fails if the file cannot be read.
pub fn connector(ca: Option<&Path>) -> anyhow::Result<TlsConnector> {
    Ok(Tls::new(None, ca)?.connector)
}
