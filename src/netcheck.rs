//! `porthole netcheck`: what works on this network, and advice for what does not.

mod advice;
mod nat;
mod probe;
mod relay;
mod report;
mod router;
mod server;
#[cfg(test)]
pub mod tests;
mod tls;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use porthole_turn_proto::Transport;
use porthole_turn_proto::uri::DEFAULT_PORT;
use tokio::net::UdpSocket;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::cameras::password;
use crate::config::Account;
use crate::{cli, console};
use probe::{ProbeError, ProbeTransport};
use report::{Check, Mapping, Outcome, Report};
use server::Server;
use tls::Tls;

pub use relay::{NotAllocated, allocate, connector};

/// A global IPv6 address, for a lookup in the routing table; nothing is sent to it.
const SOMEWHERE_V6: Ipv6Addr = Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 1);

/// Runs the checks and prints the report; fails if a check has failed.
pub async fn run(flags: &cli::Netcheck) -> anyhow::Result<()> {
    let mut servers = Vec::new();
    for name in &flags.servers {
        servers.push(Server::resolve(name).await?);
    }
    let tls = Tls::new(flags.tls_port, flags.ca.as_deref())?;
    let user = account(flags)?;
    let (map_port, timeout) = (flags.map_port, probe::TIMEOUT);
    let options = Options { user: user.as_ref(), tls, timeout, map_port };
    let report = run_checks(&servers, &options).await?;
    if flags.json {
        console::print_line(serde_json::to_string_pretty(&report)?)?;
    } else {
        console::print_line(&report)?;
    }
    let failures = report.failures();
    ensure!(failures == 0, "{failures} of {} checks failed", report.checks.len());
    Ok(())
}

/// Returns the account for the test allocation.
fn account(flags: &cli::Netcheck) -> anyhow::Result<Option<Account>> {
    let Some(user) = &flags.user else { return Ok(None) };
    if user.contains(':') {
        return Ok(Some(user.parse().context("--user")?));
    }
    let password = password::read(user, flags.password_file.as_deref(), "")?.into();
    Ok(Some(Account { name: user.clone(), password }))
}

/// Returns the server-reflexive addresses of this machine, as a STUN server sees them: at most one
/// of each family that `is_wanted` accepts.
pub async fn reflexive_addresses(
    server: &str,
    is_wanted: impl Fn(IpAddr) -> bool,
) -> anyhow::Result<Vec<IpAddr>> {
    let server = Server::resolve(server).await?;
    let (mut seen, mut failure) = (Vec::new(), None);
    for address in server.addresses.into_iter().filter(|address| is_wanted(address.ip())) {
        let timeout = if seen.is_empty() { probe::TIMEOUT } else { probe::OPTIONAL_TIMEOUT };
        let socket =
            UdpSocket::bind(any_local(address)).await.context("cannot open a UDP socket")?;
        match probe::binding_over_udp(&socket, address, timeout).await {
            Ok(response) => seen.push(response.address.ip()),
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    match failure {
        Some(error) if seen.is_empty() => {
            Err(error).with_context(|| format!("the STUN server {}", server.name))
        }
        _ => Ok(seen),
    }
}

/// Returns true if a STUN server answers at this address.
pub async fn answers_stun(address: SocketAddr, over_udp: bool) -> bool {
    if !over_udp {
        let tcp = ProbeTransport::Tcp;
        return probe::binding_over_stream(address, &tcp, probe::OPTIONAL_TIMEOUT).await.is_ok();
    }
    let Ok(socket) = UdpSocket::bind(any_local(address)).await else { return false };
    probe::binding_over_udp(&socket, address, probe::OPTIONAL_TIMEOUT).await.is_ok()
}

/// The options of the checks.
struct Options<'a> {
    /// The account for the allocation, if there is one.
    user: Option<&'a Account>,
    tls: Tls,
    /// Time for a Binding request over UDP.
    timeout: Duration,
    /// Ask the router to forward a port for a moment.
    map_port: bool,
}

/// Runs all checks: STUN with every server, TURN with the first one.
async fn run_checks(servers: &[Server], options: &Options<'_>) -> anyhow::Result<Report> {
    let mut report = Report { ipv6: has_ipv6().await, ..Report::default() };
    for v6 in [false, true] {
        let mapping = bindings_over_udp(servers, v6, options.timeout, &mut report).await;
        report.mapping = report.mapping.or(mapping);
    }
    let mut tried = BTreeSet::new();
    for (_, address) in each_address(servers) {
        // IPv6 has no NAT to be measured.
        if report.nat.is_none() && address.is_ipv4() && tried.insert(address) {
            report.nat = nat::measure(address).await.unwrap_or_default();
        }
    }
    // A server on this machine is not reached through the router.
    if servers.iter().flat_map(|server| &server.addresses).any(|at| !at.ip().is_loopback()) {
        report.router = router::probe(options.map_port).await;
    }
    for (server, address) in each_address(servers) {
        for target in stream_targets(server, address, &options.tls)? {
            let transport = target.via.transport();
            if report.has_checked(&server.name, target.address, transport) {
                continue;
            }
            let result =
                probe::binding_over_stream(target.address, &target.via, target.timeout()).await;
            let outcome = target.outcome(server, Outcome::of_binding(result));
            report.checks.push(Check::binding(&server.name, target.address, transport, outcome));
        }
    }
    for (server, address) in each_address(servers.get(..1).unwrap_or_default()) {
        let udp = Target { address, via: ProbeTransport::Udp, is_required: true };
        for target in [udp].into_iter().chain(stream_targets(server, address, &options.tls)?) {
            check_turn(server, &target, options.user, &mut report).await;
        }
    }
    Ok(report)
}

/// Requests an allocation. STUN and TURN share a port: if STUN has failed there and the user did
/// not ask for TURN, there is nothing to learn.
async fn check_turn(
    server: &Server,
    target: &Target<'_>,
    user: Option<&Account>,
    report: &mut Report,
) {
    let transport = target.via.transport();
    let is_required = target.is_required && user.is_some();
    if !is_required && !report.is_reachable(target.address, transport) {
        return;
    }
    let timeout = if user.is_some() { probe::TIMEOUT } else { probe::OPTIONAL_TIMEOUT };
    let result = probe::allocate(target.address, &target.via, user, timeout).await;
    let outcome = Outcome::of_allocation(result);
    let outcome = if user.is_some() { outcome } else { outcome.optional(server.is_address()) };
    report.checks.push(Check::allocation(&server.name, target.address, transport, outcome));
}

/// An address of a server with the transport to check.
struct Target<'t> {
    address: SocketAddr,
    via: ProbeTransport<'t>,
    /// False if the server may lack this transport, because the user did not ask for it.
    is_required: bool,
}

impl Target<'_> {
    fn timeout(&self) -> Duration {
        if self.is_required { probe::TIMEOUT } else { probe::OPTIONAL_TIMEOUT }
    }

    fn outcome(&self, server: &Server, outcome: Outcome) -> Outcome {
        if self.is_required { outcome } else { outcome.optional(server.is_address()) }
    }
}

/// Returns the targets of a server over TCP and TLS.
fn stream_targets<'t>(
    server: &Server,
    address: SocketAddr,
    tls: &'t Tls,
) -> anyhow::Result<Vec<Target<'t>>> {
    let mut targets = vec![Target { address, via: ProbeTransport::Tcp, is_required: true }];
    let (port, is_required) = match server.tls_port {
        Some(port) if !tls.is_required => (port, true),
        Some(_) | None => (tls.port, tls.is_required),
    };
    let address = SocketAddr::new(address.ip(), port);
    match ServerName::try_from(server.host.clone()) {
        Ok(name) => {
            let via = ProbeTransport::Tls { connector: &tls.connector, name };
            targets.push(Target { address, via, is_required });
        }
        Err(_) if is_required => bail!("{} cannot be the name in a certificate", server.host),
        Err(_) => {}
    }
    Ok(targets)
}

fn each_address(servers: &[Server]) -> impl Iterator<Item = (&Server, SocketAddr)> {
    servers.iter().flat_map(|server| server.addresses.iter().map(move |address| (server, *address)))
}

/// Sends Binding requests to every server of one family from one socket: if the NAT uses the same
/// mapping for all of them (RFC 4787 §4.1), peers can connect directly; otherwise some need TURN.
async fn bindings_over_udp(
    servers: &[Server],
    v6: bool,
    timeout: Duration,
    report: &mut Report,
) -> Mapping {
    let local: IpAddr =
        if v6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    let mut mapped = Vec::new();
    let mut socket = None;
    for (server, address) in each_address(servers).filter(|(_, address)| address.is_ipv6() == v6) {
        if report.has_checked(&server.name, address, Transport::Udp) {
            continue;
        }
        if socket.is_none() {
            socket = UdpSocket::bind((local, 0)).await.ok();
        }
        let result = match &socket {
            Some(socket) => probe::binding_over_udp(socket, address, timeout).await,
            // This machine does not support the family.
            None => Err(ProbeError::Unreachable),
        };
        let outcome = Outcome::of_binding(result);
        mapped.extend(outcome.address().map(|seen| (address.ip(), seen)));
        report.checks.push(Check::binding(&server.name, address, Transport::Udp, outcome));
    }
    Mapping::new(&mapped)
}

/// Returns the wildcard address of the same family, with any port.
fn any_local(towards: SocketAddr) -> SocketAddr {
    let local: IpAddr = match towards {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    SocketAddr::new(local, 0)
}

/// Returns true if the routing table has a route to the IPv6 internet.
async fn has_ipv6() -> bool {
    let Ok(socket) = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).await else { return false };
    socket.connect((SOMEWHERE_V6, DEFAULT_PORT)).await.is_ok()
}
