//! The report: a table for people and JSON for programs.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use porthole_turn_proto::{FailureReason, Transport};
use serde::{Serialize, Serializer};
use tokio_rustls::rustls::CertificateError;

use super::advice;
use super::nat::NatBehaviour;
use super::probe::{Allocation, ProbeError, Response};
use super::router::Router;

/// The results of all checks.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    pub(super) checks: Vec<Check>,
    /// The mapping as far as the servers' STUN responses show it.
    pub(super) mapping: Mapping,
    /// Measured with a server that has two addresses, if there is one.
    pub(super) nat: Option<NatBehaviour>,
    /// The port mapping protocols of the router, if there is one.
    pub(super) router: Option<Router>,
    /// True if this machine has a route to the IPv6 internet.
    pub(super) ipv6: bool,
}

/// The mapping of one socket towards several servers (RFC 4787 §4.1).
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Mapping {
    /// The same for all; peers can connect directly.
    EndpointIndependent,
    /// Different mappings: a symmetric NAT.
    EndpointDependent,
    /// Fewer than two addresses have responded.
    #[default]
    Unknown,
}

/// One check and its outcome.
#[derive(Debug, Serialize)]
pub(super) struct Check {
    what: &'static str,
    server: String,
    address: SocketAddr,
    #[serde(skip)]
    kind: (CheckKind, Transport),
    #[serde(flatten)]
    outcome: Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<Cow<'static, str>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CheckKind {
    Binding,
    Allocation,
}

/// The outcome of a check, in JSON as the field `result`.
#[derive(Debug, Serialize)]
#[serde(tag = "result", rename_all = "kebab-case")]
pub(super) enum Outcome {
    Ok {
        seen: SocketAddr,
        rtt_ms: f64,
    },
    /// TURN works, but needs credentials for an allocation.
    #[serde(rename = "answers")]
    Challenged {
        rtt_ms: f64,
    },
    /// The server lacks something that the user did not ask for.
    NotOffered {
        #[serde(serialize_with = "as_text")]
        reason: ProbeError,
    },
    Failed {
        #[serde(serialize_with = "as_text")]
        reason: ProbeError,
    },
}

fn as_text<S: Serializer>(reason: &ProbeError, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(reason)
}

impl Outcome {
    /// Returns the outcome of a Binding request.
    pub(super) fn of_binding(result: Result<Response, ProbeError>) -> Self {
        match result {
            Ok(Response { address, rtt }) => Self::Ok { seen: address, rtt_ms: in_ms(rtt) },
            Err(reason) => Self::Failed { reason },
        }
    }

    /// Returns the outcome of an Allocate request.
    pub(super) fn of_allocation(result: Result<Allocation, ProbeError>) -> Self {
        match result {
            Ok(Allocation::Created(response)) => Self::of_binding(Ok(response)),
            Ok(Allocation::Challenged { rtt }) => Self::Challenged { rtt_ms: in_ms(rtt) },
            Err(reason) => Self::Failed { reason },
        }
    }

    /// Returns the outcome of a check that the user did not ask for: it does not fail if the server
    /// lacks the service, only if the service does not work.
    ///
    /// `by_address`: the user named the server by its address, which few certificates contain.
    pub(super) fn optional(self, by_address: bool) -> Self {
        match self {
            Self::Failed { reason } if !is_defect(&reason, by_address) => {
                Self::NotOffered { reason }
            }
            Self::Ok { .. }
            | Self::Challenged { .. }
            | Self::NotOffered { .. }
            | Self::Failed { .. } => self,
        }
    }

    /// Returns the mapped or relayed address, if the check succeeded.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Ok { seen, .. } => Some(*seen),
            Self::Challenged { .. } | Self::NotOffered { .. } | Self::Failed { .. } => None,
        }
    }

    /// Returns the reason of a failure.
    fn failure(&self) -> Option<&ProbeError> {
        match self {
            Self::Ok { .. } | Self::Challenged { .. } | Self::NotOffered { .. } => None,
            Self::Failed { reason } => Some(reason),
        }
    }
}

/// Returns true if the server has the service, but clients cannot use it.
fn is_defect(reason: &ProbeError, by_address: bool) -> bool {
    use CertificateError::{NotValidForName, NotValidForNameContext};
    use FailureReason::{NoCapacity, QuotaReached, TryAlternate};
    let is_busy = matches!(reason, ProbeError::Turn(TryAlternate(_) | QuotaReached | NoCapacity));
    let is_untrusted = matches!(reason, ProbeError::Certificate(_));
    let is_wrong_name =
        matches!(reason, ProbeError::Certificate(NotValidForName | NotValidForNameContext { .. }));
    is_busy || is_untrusted && !(is_wrong_name && by_address)
}

/// Rounds to tenths of a millisecond.
fn in_ms(took: Duration) -> f64 {
    (took.as_secs_f64() * 10_000.0).round() / 10.0
}

impl Check {
    /// A check of STUN, with advice if it failed.
    pub(super) fn binding(
        server: &str,
        address: SocketAddr,
        transport: Transport,
        outcome: Outcome,
    ) -> Self {
        let what = match transport {
            Transport::Udp | Transport::Dtls => "STUN over UDP",
            Transport::Tcp => "STUN over TCP",
            Transport::Tls => "STUN over TLS",
        };
        let advice = outcome.failure().map(|error| advice::for_binding(address, transport, error));
        let kind = (CheckKind::Binding, transport);
        Self { what, server: server.to_owned(), address, kind, outcome, advice }
    }

    /// A check of TURN, with advice if it failed.
    pub(super) fn allocation(
        server: &str,
        address: SocketAddr,
        transport: Transport,
        outcome: Outcome,
    ) -> Self {
        let what = match transport {
            Transport::Udp => "TURN over UDP",
            Transport::Tcp => "TURN over TCP",
            Transport::Tls => "TURN over TLS",
            Transport::Dtls => "TURN over DTLS",
        };
        let advice =
            outcome.failure().map(|error| advice::for_allocation(address, transport, error));
        let kind = (CheckKind::Allocation, transport);
        Self { what, server: server.to_owned(), address, kind, outcome, advice }
    }
}

impl Mapping {
    /// Compares the mapped addresses that servers have seen; each comes with the server's address.
    ///
    /// A NAT may use the same mapping for all ports of one address and another one for each
    /// address, so that a single address cannot show an endpoint-independent mapping.
    pub(super) fn new(seen: &[(IpAddr, SocketAddr)]) -> Self {
        let Some((address, mapped)) = seen.first() else { return Self::Unknown };
        if seen.iter().any(|(_, other)| other != mapped) {
            return Self::EndpointDependent;
        }
        if seen.iter().all(|(other, _)| other == address) {
            return Self::Unknown;
        }
        Self::EndpointIndependent
    }

    /// Returns this mapping if it is known, else the other one.
    pub(super) fn or(self, other: Self) -> Self {
        if self == Self::Unknown { other } else { self }
    }

    /// Describes the mapping and what it means for direct connections.
    fn describe(self) -> &'static str {
        match self {
            Self::EndpointIndependent => {
                "the same mapping for every server; direct connections work"
            }
            Self::EndpointDependent => {
                "a different mapping for each server (\"symmetric\"); video to some peers is \
                 relayed. A forwarded UDP port or IPv6 avoids this"
            }
            Self::Unknown => "unknown; two servers at different addresses can tell",
        }
    }
}

impl Report {
    /// Returns the number of failed checks.
    pub(super) fn failures(&self) -> usize {
        self.checks.iter().filter(|check| check.outcome.failure().is_some()).count()
    }

    /// Returns true if STUN was already checked at this address. Another name of the same server
    /// only matters for TLS, because certificates are for names.
    pub(super) fn has_checked(
        &self,
        server: &str,
        address: SocketAddr,
        transport: Transport,
    ) -> bool {
        self.checks.iter().any(|check| {
            check.address == address
                && check.kind == (CheckKind::Binding, transport)
                && (transport != Transport::Tls || check.server == server)
        })
    }

    /// Returns true if STUN succeeded at this address.
    pub(super) fn is_reachable(&self, address: SocketAddr, transport: Transport) -> bool {
        self.checks.iter().any(|check| {
            check.address == address
                && check.kind == (CheckKind::Binding, transport)
                && check.outcome.address().is_some()
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.checks.iter().map(|check| check.address.to_string().len());
        let width = width.max().unwrap_or_default();
        for check in &self.checks {
            check.write(f, width)?;
        }
        match &self.nat {
            Some(nat) => writeln!(f, "NAT   {}", nat.class.describe())?,
            None => writeln!(f, "NAT   {}", self.mapping.describe())?,
        }
        if let Some(hairpins) = self.nat.and_then(|nat| nat.hairpinning) {
            let sentence = if hairpins {
                "hairpinning works: hosts behind it reach each other's public addresses"
            } else {
                "no hairpinning: hosts behind it reach each other only inside the LAN"
            };
            writeln!(f, "      {sentence}")?;
        }
        if let Some(router) = &self.router {
            writeln!(f, "      the router {}", router.describe())?;
        }
        write!(f, "IPv6  {}", if self.ipv6 { "available" } else { "not available" })
    }
}

impl Check {
    /// Writes one row of the table; addresses are padded to `width` characters.
    fn write(&self, f: &mut fmt::Formatter<'_>, width: usize) -> fmt::Result {
        let Self { what, outcome, advice, .. } = self;
        let address = self.address.to_string();
        match outcome {
            Outcome::Ok { seen, rtt_ms } => {
                let label = match self.kind.0 {
                    CheckKind::Binding => "seen as",
                    CheckKind::Allocation => "relays at",
                };
                writeln!(f, "ok    {what}  {address:width$}  {rtt_ms:6.1} ms  {label} {seen}")?;
            }
            Outcome::Challenged { rtt_ms } => {
                let hint = "TURN responds; use --user to test an allocation";
                writeln!(f, "ok    {what}  {address:width$}  {rtt_ms:6.1} ms  {hint}")?;
            }
            Outcome::NotOffered { reason } => {
                writeln!(f, "-     {what}  {address:width$}  not offered ({reason})")?;
            }
            Outcome::Failed { reason } => {
                writeln!(f, "FAIL  {what}  {address:width$}  {reason}")?;
            }
        }
        if let Some(advice) = advice {
            writeln!(f, "      {advice}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_addresses_show_the_mapping_and_two_names_of_one_do_not() {
        let (a, b) = ("192.0.2.1", "192.0.2.2");
        let (one, other) = ("203.0.113.9:1", "203.0.113.9:2");
        for (seen, mapping) in [
            (&[][..], Mapping::Unknown),
            (&[(a, one)], Mapping::Unknown),
            // Two ports of one machine.
            (&[(a, one), (a, one)], Mapping::Unknown),
            (&[(a, one), (a, other)], Mapping::EndpointDependent),
            (&[(a, one), (b, one)], Mapping::EndpointIndependent),
            (&[(a, one), (a, one), (b, one)], Mapping::EndpointIndependent),
            (&[(a, one), (a, one), (b, other)], Mapping::EndpointDependent),
        ] {
            let parsed: Vec<_> = seen
                .iter()
                .map(|(server, seen)| (server.parse().unwrap(), seen.parse().unwrap()))
                .collect();
            assert_eq!(Mapping::new(&parsed), mapping, "{seen:?}");
        }
    }
}
