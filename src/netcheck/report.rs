//! What was found, as a table for people and as JSON for programs.

use super::{
    advice,
    behaviour::Behaviour,
    probe::{Allocation, Answer, Silence},
    router::Router,
};
use porthole_turn_proto::{FailureReason, Transport};
use serde::{Serialize, Serializer};
use std::{
    borrow::Cow,
    fmt,
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use tokio_rustls::rustls::CertificateError;

/// Everything that was found.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    pub(super) checks: Vec<Check>,
    pub(super) mapping: Mapping,
    /// From a server with two addresses.
    pub(super) nat: Option<Behaviour>,
    /// What the router offers, where there is one.
    pub(super) router: Option<Router>,
    pub(super) ipv6: bool,
}

/// How the NAT maps one socket to several destinations (RFC 4787 §4.1).
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Mapping {
    /// Alike: peers can connect directly.
    EndpointIndependent,
    /// Differently: a "symmetric" NAT.
    EndpointDependent,
    /// Servers at fewer than two addresses have answered.
    #[default]
    Unknown,
}

/// One question and its answer.
#[derive(Debug, Serialize)]
pub(super) struct Check {
    what: &'static str,
    server: String,
    address: SocketAddr,
    #[serde(skip)]
    question: (Question, Transport),
    #[serde(flatten)]
    outcome: Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<Cow<'static, str>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Question {
    Binding,
    Relay,
}

/// What became of it.
#[derive(Debug, Serialize)]
#[serde(tag = "result", rename_all = "kebab-case")]
pub(super) enum Outcome {
    Ok {
        seen: SocketAddr,
        rtt_ms: f64,
    },
    /// TURN is there, but relays for users only.
    Answers {
        rtt_ms: f64,
    },
    /// Nobody has asked for it, and the server need not have it.
    NotOffered {
        #[serde(serialize_with = "as_text")]
        reason: Silence,
    },
    Failed {
        #[serde(serialize_with = "as_text")]
        reason: Silence,
    },
}

fn as_text<S: Serializer>(reason: &Silence, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(reason)
}

impl Outcome {
    pub(super) fn of(result: Result<Answer, Silence>) -> Self {
        match result {
            Ok(Answer { address, rtt }) => Self::Ok { seen: address, rtt_ms: in_ms(rtt) },
            Err(reason) => Self::Failed { reason },
        }
    }

    pub(super) fn of_allocation(result: Result<Allocation, Silence>) -> Self {
        match result {
            Ok(Allocation::Made(answer)) => Self::of(Ok(answer)),
            Ok(Allocation::AccountWanted { rtt }) => Self::Answers { rtt_ms: in_ms(rtt) },
            Err(reason) => Self::Failed { reason },
        }
    }

    /// What is not there is no failure where nobody has asked for it; what is there and does not
    /// work is one. `by_address`: so the server was named, and few certificates are for one.
    pub(super) fn unasked(self, by_address: bool) -> Self {
        match self {
            Self::Failed { reason } if !is_defect(&reason, by_address) => {
                Self::NotOffered { reason }
            }
            Self::Ok { .. }
            | Self::Answers { .. }
            | Self::NotOffered { .. }
            | Self::Failed { .. } => self,
        }
    }

    pub(super) fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Ok { seen, .. } => Some(*seen),
            Self::Answers { .. } | Self::NotOffered { .. } | Self::Failed { .. } => None,
        }
    }

    /// Why it failed, if it did.
    fn failure(&self) -> Option<&Silence> {
        match self {
            Self::Ok { .. } | Self::Answers { .. } | Self::NotOffered { .. } => None,
            Self::Failed { reason } => Some(reason),
        }
    }
}

/// Whether the server has what it was asked for, but nobody can use it.
fn is_defect(reason: &Silence, by_address: bool) -> bool {
    use CertificateError::{NotValidForName, NotValidForNameContext};
    use FailureReason::{NoCapacity, QuotaReached, TryAlternate};
    let is_busy = matches!(reason, Silence::Turn(TryAlternate(_) | QuotaReached | NoCapacity));
    let is_distrusted = matches!(reason, Silence::Certificate(_));
    let is_for_a_name =
        matches!(reason, Silence::Certificate(NotValidForName | NotValidForNameContext { .. }));
    is_busy || is_distrusted && !(is_for_a_name && by_address)
}

/// Tenths of a millisecond are all a person can use.
fn in_ms(took: Duration) -> f64 {
    (took.as_secs_f64() * 10_000.0).round() / 10.0
}

impl Check {
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
        let advice = outcome.failure().map(|why| advice::on_binding(address, transport, why));
        let question = (Question::Binding, transport);
        Self { what, server: server.to_owned(), address, question, outcome, advice }
    }

    pub(super) fn relay(
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
        let advice = outcome.failure().map(|why| advice::on_relay(address, transport, why));
        let question = (Question::Relay, transport);
        Self { what, server: server.to_owned(), address, question, outcome, advice }
    }
}

impl Mapping {
    /// Of what each server has seen, by its address. A NAT may map alike to all ports of one
    /// address and still differently to each address: one address tells nothing good.
    pub(super) fn of(seen: &[(IpAddr, SocketAddr)]) -> Self {
        let Some((address, mapped)) = seen.first() else { return Self::Unknown };
        if seen.iter().any(|(_, other)| other != mapped) {
            return Self::EndpointDependent;
        }
        if seen.iter().all(|(other, _)| other == address) {
            return Self::Unknown;
        }
        Self::EndpointIndependent
    }

    /// This one if it is known.
    pub(super) fn or(self, other: Self) -> Self {
        if self == Self::Unknown { other } else { self }
    }

    fn sentence(self) -> &'static str {
        match self {
            Self::EndpointIndependent => "maps alike to every server; direct connections work",
            Self::EndpointDependent => {
                "maps differently to each server (\"symmetric\"); with some peers video is \
                 relayed. A rule for a fixed UDP port, or IPv6, mends it"
            }
            Self::Unknown => "not known; name two servers at different addresses to learn it",
        }
    }
}

impl Report {
    pub(super) fn failures(&self) -> usize {
        self.checks.iter().filter(|check| check.outcome.failure().is_some()).count()
    }

    /// Whether STUN was tried to there: another name of the same server tells nothing new, but that
    /// a certificate is for a name.
    pub(super) fn has_asked(
        &self,
        server: &str,
        address: SocketAddr,
        transport: Transport,
    ) -> bool {
        self.checks.iter().any(|check| {
            check.address == address
                && check.question == (Question::Binding, transport)
                && (transport != Transport::Tls || check.server == server)
        })
    }

    /// Whether STUN has got through to there.
    pub(super) fn reaches(&self, address: SocketAddr, transport: Transport) -> bool {
        self.checks.iter().any(|check| {
            check.address == address
                && check.question == (Question::Binding, transport)
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
            Some(nat) => writeln!(f, "NAT   {}", nat.class.sentence())?,
            None => writeln!(f, "NAT   {}", self.mapping.sentence())?,
        }
        if let Some(turns) = self.nat.and_then(|nat| nat.hairpinning) {
            let sentence = if turns {
                "neighbours can use each other's outside addresses"
            } else {
                "neighbours cannot use each other's outside addresses; they meet inside the LAN"
            };
            writeln!(f, "      {sentence}")?;
        }
        if let Some(router) = self.router {
            writeln!(f, "      the router {}", router.sentence())?;
        }
        write!(f, "IPv6  {}", if self.ipv6 { "there is a way out" } else { "none" })
    }
}

impl Check {
    /// A row; addresses are `width` wide.
    fn write(&self, f: &mut fmt::Formatter<'_>, width: usize) -> fmt::Result {
        let Self { what, outcome, advice, .. } = self;
        let address = self.address.to_string();
        match outcome {
            Outcome::Ok { seen, rtt_ms } => {
                let seen_as = match self.question.0 {
                    Question::Binding => "as",
                    Question::Relay => "relays at",
                };
                writeln!(f, "ok    {what}  {address:width$}  {rtt_ms:6.1} ms  {seen_as} {seen}")?;
            }
            Outcome::Answers { rtt_ms } => {
                let hint = "TURN answers; give --user to try a relay";
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
    fn two_addresses_tell_how_the_nat_maps_and_two_names_of_one_do_not() {
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
            assert_eq!(Mapping::of(&parsed), mapping, "{seen:?}");
        }
    }
}
