//! The flag by which a command runs as a service from then on.

use clap::Args;

use super::Command;

#[derive(Debug, Args)]
pub struct ServiceFlag {
    /// Run as a service of systemd, from now on and after each start of this machine: writes the
    /// other flags into /etc/porthole/porthole.toml first.
    #[arg(long, conflicts_with_all = ["data", "config"])]
    pub(super) service: bool,
}

/// A service of the packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Runs the command `up`.
    Server,
    /// Runs the command `gateway`.
    Gateway,
}

impl Command {
    /// Returns the service that is to run from now on, in place of the command itself.
    pub fn service(&self) -> Option<Service> {
        match self {
            Self::Up(up) => up.service.service.then_some(Service::Server),
            Self::Gateway(gateway) => gateway.service.service.then_some(Service::Gateway),
            Self::Signaling(_)
            | Self::Turn(_)
            | Self::Netcheck(_)
            | Self::Doctor(_)
            | Self::Health(_)
            | Self::Backup(_)
            | Self::Restore(_)
            | Self::Discover(_)
            | Self::Probe(_)
            | Self::Import(_)
            | Self::Token(_)
            | Self::Claim(_)
            | Self::Invite(_)
            | Self::Share(_)
            | Self::User(_)
            | Self::Audit(_)
            | Self::Bench(_)
            | Self::Config(_) => None,
        }
    }
}
