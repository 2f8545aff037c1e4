//! The ports that Porthole listens on: each is free, or Porthole has it.

use std::io;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use porthole_admin::Place;
use tokio::net::{TcpListener, UdpSocket};

use super::finding::Finding;
use super::{Patient, http};
use crate::{admin_api, netcheck};

/// The protocol in which Porthole answers on a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answers {
    Http,
    Https,
    Stun,
    /// Only what its peers send.
    Nothing,
}

/// A port that Porthole is to have.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Port {
    name: &'static str,
    address: SocketAddr,
    is_udp: bool,
    answers: Answers,
}

/// Checks each port of the role.
pub(super) async fn check(patient: &Patient<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for port in ports(patient) {
        findings.push(check_port(patient, &port).await);
    }
    findings
}

fn ports(patient: &Patient<'_>) -> Vec<Port> {
    let config = patient.config;
    let mut ports = Vec::new();
    let mut add = |name, address: SocketAddr, is_udp, answers| {
        ports.push(Port { name, address, is_udp, answers });
    };
    if patient.has_signaling() {
        add("dashboard", config.signaling.http, false, Answers::Http);
        for address in &config.public.listen {
            add("public port", *address, false, Answers::Https);
        }
    }
    if patient.has_turn() {
        for address in &config.turn.listen {
            add("TURN over UDP", *address, true, Answers::Stun);
            add("TURN over TCP", *address, false, Answers::Stun);
        }
        for address in &config.turn.listen_tls {
            add("TURN over TLS", *address, false, Answers::Nothing);
        }
        for address in &config.turn.listen_dtls {
            add("TURN over DTLS", *address, true, Answers::Nothing);
        }
    }
    let admin = match patient.has_turn() {
        true => admin_api::configuration_with_turn(config),
        false => admin_api::configuration(config),
    };
    if let Some(Place::Tcp(address)) = admin.map(|admin| admin.at) {
        add("admin API", address, false, Answers::Http);
    }
    if patient.has_gateway() && config.gateway.udp_port != 0 {
        let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, config.gateway.udp_port));
        add("video", any, true, Answers::Nothing);
    }
    ports
}

/// Takes the port for a moment.
async fn take(port: &Port) -> io::Result<()> {
    if port.is_udp {
        UdpSocket::bind(port.address).await.map(drop)
    } else {
        TcpListener::bind(port.address).await.map(drop)
    }
}

async fn check_port(patient: &Patient<'_>, port: &Port) -> Finding {
    let subject = format!("{} at {}", port.name, port.address);
    let Err(error) = take(port).await else {
        return Finding::ok(subject, "free: Porthole can listen there");
    };
    if error.kind() == ErrorKind::AddrInUse {
        return taken(patient, port, subject).await;
    }
    let advice = if error.kind() == ErrorKind::PermissionDenied {
        "ports below 1024 need the right to: start Porthole with its systemd unit, or give the \
         program the right with: setcap cap_net_bind_service=+ep porthole"
    } else {
        "listen on 0.0.0.0 or [::], or on an address that `ip address` shows"
    };
    Finding::failure(subject, format!("Porthole cannot listen there: {error}"), advice)
}

/// Returns the finding for a port that somebody has.
async fn taken(patient: &Patient<'_>, port: &Port, subject: String) -> Finding {
    let address = reachable(port.address);
    let advice = format!("see who has it: ss -lnptu 'sport = :{}'", port.address.port());
    let is_ours = match port.answers {
        Answers::Http => http::is_porthole(address, None).await,
        Answers::Https => {
            let public = &patient.config.public;
            let first = public.names.first().map(ToString::to_string);
            let name = first.or(patient.config.public_address.map(|address| address.to_string()));
            let name = name.unwrap_or_else(|| address.ip().to_string());
            let name = name.trim_matches(['[', ']']);
            http::is_porthole(address, Some((&patient.tls, name))).await
        }
        Answers::Stun => Ok(netcheck::answers_stun(address, port.is_udp).await),
        Answers::Nothing => {
            return Finding::warning(subject, "taken, by Porthole or another program", advice);
        }
    };
    match is_ours {
        Ok(true) => Finding::ok(subject, "Porthole listens there"),
        Ok(false) => {
            let text = "taken, and what is there does not answer as Porthole does";
            Finding::failure(subject, text, advice)
        }
        Err(reason) => {
            let text = format!("browsers do not trust the certificate that is shown: {reason}");
            let advice = "see `certificate` below, or trust its authority in each browser";
            Finding::warning(subject, text, advice)
        }
    }
}

/// Returns an address by which this machine reaches a listener of its own.
pub fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    SocketAddr::new(ip, address.port())
}
