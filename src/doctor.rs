//! `porthole doctor`: what is wrong with this machine and its configuration, and what to do.
//!
//! It changes nothing but a port at the router, for a moment, and runs beside a running Porthole: a
//! port that Porthole has is in order.

mod bundle;
mod cameras;
mod certificates;
mod finding;
mod http;
mod machine;
mod names;
mod ports;
mod router;
mod turn_servers;

use std::path::Path;

use anyhow::ensure;
use tokio_rustls::TlsConnector;

use crate::cli::{self, DoctorRole};
use crate::config::Config;
use crate::{authorities, console, netcheck, public, server_authority, turn};
use finding::{Finding, Report};

pub use http::ask_health;
pub use ports::reachable;

/// The configuration and role, which all checks know.
struct Patient<'a> {
    config: &'a Config,
    file: Option<&'a Path>,
    role: DoctorRole,
    /// TLS with the authorities that the gateway trusts.
    tls: TlsConnector,
    /// TLS to TURN servers with the same authorities.
    turn_tls: TlsConnector,
}

impl Patient<'_> {
    /// Returns true if this machine runs the signaling server.
    fn has_signaling(&self) -> bool {
        matches!(self.role, DoctorRole::Up | DoctorRole::Signaling)
    }

    /// Returns true if this machine runs the STUN and TURN server.
    fn has_turn(&self) -> bool {
        matches!(self.role, DoctorRole::Up | DoctorRole::Turn)
    }

    /// Returns true if this machine runs a gateway.
    fn has_gateway(&self) -> bool {
        matches!(self.role, DoctorRole::Up | DoctorRole::Gateway)
    }
}

/// Runs the checks and prints the report; fails if something is wrong.
///
/// # Errors
///
/// Fails if a check has failed, or if the bundle cannot be written.
pub async fn run(config: &Config, file: Option<&Path>, flags: &cli::Doctor) -> anyhow::Result<()> {
    let role = flags.role.unwrap_or_else(|| role_of(config));
    let tls = connector(config)?;
    let config = &completed(config, role).await;
    let turn_tls = netcheck::connector(config.gateway.ca_certificates.as_deref())?;
    let patient = Patient { config, file, role, tls, turn_tls };
    let report = Report::new(role, examine(&patient).await);
    if let Some(path) = &flags.bundle {
        bundle::write(path, config, &report)?;
    }
    if flags.json {
        console::print_line(serde_json::to_string_pretty(&report)?)?;
    } else {
        console::print_line(&report)?;
    }
    if let Some(path) = &flags.bundle {
        console::print_progress(format_args!(
            "the report, the configuration without its secrets, and facts about this machine are \
             in {}",
            path.display()
        ));
    }
    let failures = report.failures();
    ensure!(failures == 0, "{failures} of {} checks failed", report.count());
    Ok(())
}

/// Returns the role that a configuration is for.
pub fn role_of(config: &Config) -> DoctorRole {
    match config.gateway.server {
        Some(_) => DoctorRole::Gateway,
        None => DoctorRole::Up,
    }
}

/// Returns the configuration as the command completes it. Without a public address the checks say
/// so.
async fn completed(config: &Config, role: DoctorRole) -> Config {
    let config = match role {
        DoctorRole::Up => turn::for_sessions(public::with_turn(config.clone())),
        DoctorRole::Gateway | DoctorRole::Signaling | DoctorRole::Turn => config.clone(),
    };
    public::with_address(config.clone()).await.unwrap_or(config)
}

/// Returns the TLS of a machine that trusts what it is told to. An authority in the data folder
/// that cannot be read is a finding of its own.
fn connector(config: &Config) -> anyhow::Result<TlsConnector> {
    let file = config.gateway.ca_certificates.as_deref();
    let mut trusted = file.map(authorities::read).transpose()?.unwrap_or_default();
    if config.public.own_ca {
        trusted.extend(public::own_authority(&config.data).ok().flatten());
    }
    trusted.extend(server_authority::stored(&config.data).ok().flatten());
    Ok(TlsConnector::from(std::sync::Arc::new(authorities::trusting(trusted)?)))
}

/// Runs all checks of the role, those of the machine first.
async fn examine(patient: &Patient<'_>) -> Vec<Finding> {
    let mut findings = machine::check(patient);
    findings.extend(ports::check(patient).await);
    findings.extend(certificates::check(patient));
    findings.extend(names::check(patient).await);
    findings.extend(turn_servers::check(patient).await);
    if patient.role == DoctorRole::Gateway {
        findings.extend(http::check_server(patient).await);
    }
    if patient.has_gateway() {
        findings.extend(router::check(patient).await);
        findings.extend(cameras::check(patient).await);
    }
    findings
}

#[cfg(test)]
mod tests;
