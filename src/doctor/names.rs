//! The names and the public address by which others reach this machine.

use std::net::IpAddr;
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::time::timeout;

use super::Patient;
use super::finding::Finding;

const DNS_TIMEOUT: Duration = Duration::from_secs(5);

/// Checks the public address, and each name.
pub(super) async fn check(patient: &Patient<'_>) -> Vec<Finding> {
    if !patient.has_signaling() && !patient.has_turn() {
        return Vec::new();
    }
    let own: Vec<IpAddr> =
        if_addrs::get_if_addrs().unwrap_or_default().iter().map(|one| one.ip()).collect();
    let mut findings = Vec::new();
    findings.extend(patient.has_turn().then(|| public_address(patient, &own)));
    for name in names(patient) {
        let found = timeout(DNS_TIMEOUT, lookup_host((name.as_str(), 443))).await;
        let found = found.ok().and_then(Result::ok).into_iter().flatten();
        let addresses: Vec<IpAddr> = found.map(|address| address.ip()).collect();
        findings.push(resolved(&name, &addresses, patient.config.public_address, &own));
    }
    findings
}

/// Returns the host names by which browsers and gateways reach the server.
fn names(patient: &Patient<'_>) -> Vec<String> {
    let config = patient.config;
    let url = config.signaling.public_url.as_ref();
    let of_url = url.and_then(|url| url.domain()).map(str::to_owned);
    let mut names: Vec<_> =
        of_url.into_iter().chain(config.public.names.iter().map(ToString::to_string)).collect();
    names.retain(|name| name.trim_matches(['[', ']']).parse::<IpAddr>().is_err());
    names.sort();
    names.dedup();
    names
}

fn public_address(patient: &Patient<'_>, own: &[IpAddr]) -> Finding {
    let subject = "public address";
    let turn = &patient.config.turn;
    let Some(address) = patient.config.public_address else {
        if turn.external_address.is_some() || !turn.relay_address.is_empty() {
            return Finding::ok(subject, "found on the start, or given for relaying alone");
        }
        if turn.listen.iter().all(|address| address.ip().is_loopback()) {
            return Finding::ok(subject, "not needed: TURN listens on this machine only");
        }
        return Finding::warning(
            subject,
            "not set, so that clients learn an address of this machine's own network",
            "set public_address to the address by which the Internet reaches this machine, or \
             turn.external_address to the way to find it",
        );
    };
    if own.contains(&address) {
        return Finding::ok(subject, format!("{address} is this machine's own"));
    }
    let ports = turn.relay_ports;
    Finding::warning(
        subject,
        format!("{address} is not this machine's own: it is behind a NAT"),
        format!(
            "let the router forward the ports of TURN and UDP {ports} to this machine, or run it \
             where it has a public address"
        ),
    )
}

fn resolved(name: &str, addresses: &[IpAddr], public: Option<IpAddr>, own: &[IpAddr]) -> Finding {
    let subject = format!("name {name}");
    let Some(first) = addresses.first() else {
        let advice = "add an A or AAAA record with the public address, and wait until it is known";
        return Finding::failure(subject, "DNS knows no address for it", advice);
    };
    if addresses.iter().any(|address| own.contains(address) || public == Some(*address)) {
        return Finding::ok(subject, format!("leads to this machine, {first}"));
    }
    Finding::warning(
        subject,
        format!("leads to {first}, which is not known as this machine's"),
        "right for a reverse proxy or a router that forwards; else correct the DNS record",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Level;

    #[test]
    fn a_name_leads_here_or_elsewhere_or_nowhere() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let (own, public) = ([ip("10.0.0.7")], Some(ip("203.0.113.7")));
        for (addresses, expected) in [
            (vec![], Level::Failure),
            (vec![ip("10.0.0.7")], Level::Ok),
            (vec![ip("2001:db8::1"), ip("203.0.113.7")], Level::Ok),
            (vec![ip("198.51.100.1")], Level::Warning),
        ] {
            let found = resolved("cams.example.org", &addresses, public, &own);
            assert_eq!(found.level, expected, "{addresses:?}");
        }
    }
}
