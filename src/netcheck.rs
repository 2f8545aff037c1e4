//! `porthole netcheck`: what this network lets through, and what to do about the rest.

mod advice;
mod behaviour;
mod probe;
mod report;
mod router;
#[cfg(test)]
pub mod tests;
mod tls;

use crate::{cli, config::Account, say};
use anyhow::{Context, bail, ensure};
use porthole_turn_proto::Transport;
use probe::Over;
use report::{Check, Mapping, Outcome, Report};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};
use tls::Tls;
use tokio::net::{UdpSocket, lookup_host};

/// STUN's and TURN's port (RFC 8489 §18.6).
const DEFAULT_PORT: u16 = 3478;
/// An address of the global IPv6 Internet, to ask the routing table about; nothing is sent to it.
const SOMEWHERE_V6: Ipv6Addr = Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 1);

/// A server as the user named it, and where it is.
struct Server {
    name: String,
    addresses: Vec<SocketAddr>,
}

/// Asks, prints, and fails when something does not work.
pub async fn run(flags: &cli::Netcheck) -> anyhow::Result<()> {
    let mut servers = Vec::new();
    for name in &flags.servers {
        servers.push(resolve(name).await?);
    }
    let tls = flags.tls_port.map(|port| Tls::new(port, flags.ca.as_deref())).transpose()?;
    let asked = Asked { user: flags.user.as_ref(), tls, patience: probe::PATIENCE };
    let report = gather(&servers, &asked).await?;
    if flags.json {
        say::line(serde_json::to_string_pretty(&report)?)?;
    } else {
        say::line(&report)?;
    }
    let failures = report.failures();
    ensure!(failures == 0, "{failures} of {} checks failed", report.checks.len());
    Ok(())
}

/// The address under which a STUN server sees this machine.
pub async fn seen_by(server: &str) -> anyhow::Result<IpAddr> {
    let server = resolve(server).await?;
    let address = *server.addresses.first().context("the server has no address")?;
    let socket = UdpSocket::bind(any_local(address)).await.context("cannot open a UDP socket")?;
    let answer = probe::binding_over_udp(&socket, address, probe::PATIENCE).await;
    let answer = answer.with_context(|| format!("the STUN server {}", server.name))?;
    Ok(answer.address.ip())
}

async fn resolve(name: &str) -> anyhow::Result<Server> {
    let with_port = match name.parse::<IpAddr>() {
        Ok(address) => SocketAddr::new(address, DEFAULT_PORT).to_string(),
        Err(_) if name.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) => {
            name.to_owned()
        }
        Err(_) => format!("{name}:{DEFAULT_PORT}"),
    };
    let found = lookup_host(&with_port).await;
    let found: Vec<_> = found.with_context(|| format!("cannot find the server {name}"))?.collect();
    // One address of each family is enough to learn what the network does.
    let first = |v6: bool| found.iter().copied().find(|address| address.is_ipv6() == v6);
    let addresses: Vec<_> = [first(false), first(true)].into_iter().flatten().collect();
    if addresses.is_empty() {
        bail!("the server {name} has no address");
    }
    Ok(Server { name: name.to_owned(), addresses })
}

/// What is to be tried beside the rest.
struct Asked<'a> {
    user: Option<&'a Account>,
    tls: Option<Tls>,
    patience: Duration,
}

async fn gather(servers: &[Server], asked: &Asked<'_>) -> anyhow::Result<Report> {
    let mut report = Report { ipv6: has_ipv6().await, ..Report::default() };
    for v6 in [false, true] {
        report.mapping =
            report
                .mapping
                .or(bindings_over_udp(servers, v6, asked.patience, &mut report.checks).await?);
    }
    for address in servers.iter().flat_map(|server| &server.addresses) {
        // Address translation is IPv4's trouble.
        if report.nat.is_none() && address.is_ipv4() {
            report.nat = behaviour::discover(*address).await.unwrap_or_default();
        }
    }
    // Nobody goes through the router to this machine itself.
    if servers.iter().flat_map(|server| &server.addresses).any(|at| !at.ip().is_loopback()) {
        report.router = router::discover().await;
    }
    for (server, address) in each_address(servers) {
        for (address, over) in streams(server, address, asked.tls.as_ref())? {
            let outcome = Outcome::of(probe::binding_over_stream(address, &over).await);
            report.checks.push(Check::binding(server, address, over.transport(), outcome));
        }
    }
    let (Some(user), Some(first)) = (asked.user, servers.get(..1)) else { return Ok(report) };
    for (server, address) in each_address(first) {
        let udp = (address, Over::Udp);
        for (address, over) in
            [udp].into_iter().chain(streams(server, address, asked.tls.as_ref())?)
        {
            let outcome = Outcome::of(probe::allocate(address, &over, user).await);
            report.checks.push(Check::relay(server, address, over.transport(), outcome));
        }
    }
    Ok(report)
}

/// The ways to a server that are streams, each with its address.
fn streams<'t>(
    server: &str,
    address: SocketAddr,
    tls: Option<&'t Tls>,
) -> anyhow::Result<Vec<(SocketAddr, Over<'t>)>> {
    let mut ways = vec![(address, Over::Tcp)];
    if let Some(Tls { port, connector }) = tls {
        let name = tls::name(server)?;
        ways.push((SocketAddr::new(address.ip(), *port), Over::Tls { connector, name }));
    }
    Ok(ways)
}

fn each_address(servers: &[Server]) -> impl Iterator<Item = (&str, SocketAddr)> {
    servers.iter().flat_map(|server| {
        server.addresses.iter().map(move |address| (server.name.as_str(), *address))
    })
}

/// Asks every server of one family from one socket: a NAT that maps alike to all destinations
/// (RFC 4787 §4.1) lets peers connect directly, one that does not needs a relay more often.
async fn bindings_over_udp(
    servers: &[Server],
    v6: bool,
    patience: Duration,
    checks: &mut Vec<Check>,
) -> anyhow::Result<Mapping> {
    let local: IpAddr =
        if v6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    let mut mapped = Vec::new();
    let mut socket = None;
    for (server, address) in each_address(servers).filter(|(_, address)| address.is_ipv6() == v6) {
        if socket.is_none() {
            socket = Some(UdpSocket::bind((local, 0)).await.context("cannot open a UDP socket")?);
        }
        let Some(socket) = &socket else { continue };
        let outcome = Outcome::of(probe::binding_over_udp(socket, address, patience).await);
        mapped.extend(outcome.address());
        checks.push(Check::binding(server, address, Transport::Udp, outcome));
    }
    Ok(Mapping::of(&mapped))
}

/// Any port of this machine, to send to that address.
fn any_local(towards: SocketAddr) -> SocketAddr {
    let local: IpAddr = match towards {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    SocketAddr::new(local, 0)
}

/// Whether there is a way to the IPv6 Internet, as far as this machine knows.
async fn has_ipv6() -> bool {
    let Ok(socket) = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).await else { return false };
    socket.connect((SOMEWHERE_V6, DEFAULT_PORT)).await.is_ok()
}
