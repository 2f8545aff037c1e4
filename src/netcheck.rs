//! `porthole netcheck`: what this network lets through, and what to do about the rest.

mod advice;
mod behaviour;
mod probe;
mod report;
mod router;
mod server;
#[cfg(test)]
pub mod tests;
mod tls;

use crate::{cli, config::Account, say};
use anyhow::{Context, bail, ensure};
use porthole_turn_proto::Transport;
use probe::{Over, Silence};
use report::{Check, Mapping, Outcome, Report};
use server::{DEFAULT_PORT, Server};
use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};
use tls::Tls;
use tokio::net::UdpSocket;
use tokio_rustls::rustls::pki_types::ServerName;

/// An address of the global IPv6 Internet, to ask the routing table about; nothing is sent to it.
const SOMEWHERE_V6: Ipv6Addr = Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 1);

/// Asks, prints, and fails when something does not work.
pub async fn run(flags: &cli::Netcheck) -> anyhow::Result<()> {
    let mut servers = Vec::new();
    for name in &flags.servers {
        servers.push(Server::resolve(name).await?);
    }
    let tls = Tls::new(flags.tls_port, flags.ca.as_deref())?;
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

/// The addresses under which a STUN server sees this machine, at most one of each wanted family.
pub async fn seen_by(
    server: &str,
    is_wanted: impl Fn(IpAddr) -> bool,
) -> anyhow::Result<Vec<IpAddr>> {
    let server = Server::resolve(server).await?;
    let (mut seen, mut silence) = (Vec::new(), None);
    for address in server.addresses.into_iter().filter(|address| is_wanted(address.ip())) {
        let patience = if seen.is_empty() { probe::PATIENCE } else { probe::LITTLE_PATIENCE };
        let socket =
            UdpSocket::bind(any_local(address)).await.context("cannot open a UDP socket")?;
        match probe::binding_over_udp(&socket, address, patience).await {
            Ok(answer) => seen.push(answer.address.ip()),
            Err(why) => silence = silence.or(Some(why)),
        }
    }
    match silence {
        Some(why) if seen.is_empty() => {
            Err(why).with_context(|| format!("the STUN server {}", server.name))
        }
        _ => Ok(seen),
    }
}

/// What is to be tried beside the rest.
struct Asked<'a> {
    user: Option<&'a Account>,
    tls: Tls,
    patience: Duration,
}

async fn gather(servers: &[Server], asked: &Asked<'_>) -> anyhow::Result<Report> {
    let mut report = Report { ipv6: has_ipv6().await, ..Report::default() };
    for v6 in [false, true] {
        let mapping = bindings_over_udp(servers, v6, asked.patience, &mut report).await;
        report.mapping = report.mapping.or(mapping);
    }
    let mut tried = BTreeSet::new();
    for (_, address) in each_address(servers) {
        // Address translation is IPv4's trouble.
        if report.nat.is_none() && address.is_ipv4() && tried.insert(address) {
            report.nat = behaviour::discover(address).await.unwrap_or_default();
        }
    }
    // Nobody goes through the router to this machine itself.
    if servers.iter().flat_map(|server| &server.addresses).any(|at| !at.ip().is_loopback()) {
        report.router = router::discover().await;
    }
    for (server, address) in each_address(servers) {
        for way in streams(server, address, &asked.tls)? {
            let transport = way.over.transport();
            if report.has_asked(&server.name, way.address, transport) {
                continue;
            }
            let outcome = probe::binding_over_stream(way.address, &way.over, way.patience()).await;
            let outcome = way.outcome(server, Outcome::of(outcome));
            report.checks.push(Check::binding(&server.name, way.address, transport, outcome));
        }
    }
    for (server, address) in each_address(servers.get(..1).unwrap_or_default()) {
        let udp = Way { address, over: Over::Udp, is_asked: true };
        for way in [udp].into_iter().chain(streams(server, address, &asked.tls)?) {
            relay(server, &way, asked.user, &mut report).await;
        }
    }
    Ok(report)
}

/// Asks for an allocation. STUN and TURN share a port: where STUN does not get through and nobody
/// has asked for TURN, there is nothing to learn.
async fn relay(server: &Server, way: &Way<'_>, user: Option<&Account>, report: &mut Report) {
    let transport = way.over.transport();
    let is_asked = way.is_asked && user.is_some();
    if !is_asked && !report.reaches(way.address, transport) {
        return;
    }
    let patience = if user.is_some() { probe::PATIENCE } else { probe::LITTLE_PATIENCE };
    let outcome = probe::allocate(way.address, &way.over, user, patience).await;
    let outcome = Outcome::of_allocation(outcome);
    let outcome = if user.is_some() { outcome } else { outcome.unasked(server.is_address()) };
    report.checks.push(Check::relay(&server.name, way.address, transport, outcome));
}

/// A way to a server.
struct Way<'t> {
    address: SocketAddr,
    over: Over<'t>,
    /// Not a guess of ours that the server may have it.
    is_asked: bool,
}

impl Way<'_> {
    fn patience(&self) -> Duration {
        if self.is_asked { probe::PATIENCE } else { probe::LITTLE_PATIENCE }
    }

    fn outcome(&self, server: &Server, outcome: Outcome) -> Outcome {
        if self.is_asked { outcome } else { outcome.unasked(server.is_address()) }
    }
}

/// The ways to a server that are streams.
fn streams<'t>(server: &Server, address: SocketAddr, tls: &'t Tls) -> anyhow::Result<Vec<Way<'t>>> {
    let mut ways = vec![Way { address, over: Over::Tcp, is_asked: true }];
    let (port, is_asked) = match server.tls_port {
        Some(port) if !tls.is_asked => (port, true),
        Some(_) | None => (tls.port, tls.is_asked),
    };
    let address = SocketAddr::new(address.ip(), port);
    match ServerName::try_from(server.host.clone()) {
        Ok(name) => {
            let over = Over::Tls { connector: &tls.connector, name };
            ways.push(Way { address, over, is_asked });
        }
        Err(_) if is_asked => bail!("{} is no name for a certificate", server.host),
        Err(_) => {}
    }
    Ok(ways)
}

fn each_address(servers: &[Server]) -> impl Iterator<Item = (&Server, SocketAddr)> {
    servers.iter().flat_map(|server| server.addresses.iter().map(move |address| (server, *address)))
}

/// Asks every server of one family from one socket: a NAT that maps alike to all destinations
/// (RFC 4787 §4.1) lets peers connect directly, one that does not needs a relay more often.
async fn bindings_over_udp(
    servers: &[Server],
    v6: bool,
    patience: Duration,
    report: &mut Report,
) -> Mapping {
    let local: IpAddr =
        if v6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    let mut mapped = Vec::new();
    let mut socket = None;
    for (server, address) in each_address(servers).filter(|(_, address)| address.is_ipv6() == v6) {
        if report.has_asked(&server.name, address, Transport::Udp) {
            continue;
        }
        if socket.is_none() {
            socket = UdpSocket::bind((local, 0)).await.ok();
        }
        let answer = match &socket {
            Some(socket) => probe::binding_over_udp(socket, address, patience).await,
            // A system without this family has no sockets of it.
            None => Err(Silence::Unreachable),
        };
        let outcome = Outcome::of(answer);
        mapped.extend(outcome.address().map(|seen| (address.ip(), seen)));
        report.checks.push(Check::binding(&server.name, address, Transport::Udp, outcome));
    }
    Mapping::of(&mapped)
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
