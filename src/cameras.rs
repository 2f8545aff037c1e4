//! `porthole discover` and `porthole probe`: finding cameras and asking them for their streams.

pub mod password;
mod report;
mod streams;

use std::net::{IpAddr, SocketAddr};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, anyhow, bail};
use porthole_gateway::ingest::Caution;
use porthole_gateway::onvif;
use porthole_gateway::onvif::{
    Cidr, DISCOVERY_PORT, Device, Discovered, InvalidTarget, Probed, Target,
};
use tokio::sync::mpsc;

use crate::config::Network;
use crate::{cli, console};
use report::ProbeReport;

/// Capacity of the channel for what is found.
const QUEUE: usize = 64;

/// Runs `porthole discover`: prints each camera as it answers.
pub async fn discover(flags: &cli::Discover) -> anyhow::Result<()> {
    let networks = onvif::networks(named(&flags.networks)).context(INTERFACES)?;
    let mut machines = Vec::new();
    for machine in &flags.addresses {
        networks.check(*machine)?;
        machines.push(SocketAddr::new(*machine, DISCOVERY_PORT));
    }
    // Machines that are named are asked instead of everybody.
    let links = if machines.is_empty() { onvif::links().context(INTERFACES)? } else { Vec::new() };
    if links.is_empty() && machines.is_empty() {
        bail!("this machine has no network to look for cameras in: connect it, and try again");
    }
    let (sender, mut found) = mpsc::channel(QUEUE);
    let search = onvif::search(&links, &machines, sender);
    let mut devices: Vec<Device> = Vec::new();
    let print = async {
        while let Some(output) = found.recv().await {
            let (Discovered::Found(device) | Discovered::Moved(device)) = output else { continue };
            if !flags.json {
                console::print_line(report::device_line(&device))?;
            }
            devices.retain(|known| known.number != device.number);
            devices.push(device);
        }
        anyhow::Ok(())
    };
    let ((), printed) = tokio::join!(search, print);
    printed?;
    if flags.json {
        return console::print_line(report::devices_json(&mut devices)?);
    }
    if devices.is_empty() {
        bail!(
            "no camera has answered: check that ONVIF is switched on in the cameras, and try \
             porthole probe with the address of one"
        );
    }
    Ok(())
}

/// Clause of the error if the interfaces cannot be read.
const INTERFACES: &str = "cannot read the network interfaces of this machine";

/// Runs `porthole probe`: asks one camera for its streams, and prints what it finds.
pub async fn probe(flags: &cli::Probe) -> anyhow::Result<()> {
    let target = Target::parse(&flags.address).map_err(|error| match error {
        InvalidTarget::Login => {
            anyhow!("leave user and password out of the address: give --user and --password-file")
        }
        error @ (InvalidTarget::Scheme
        | InvalidTarget::NoAddress(_)
        | InvalidTarget::UnknownHost(_)) => error.into(),
    })?;
    let peer = target.resolve().await?;
    let networks = onvif::networks(named(&flags.networks)).context(INTERFACES)?;
    networks.check(peer.ip())?;
    let credentials = password::credentials(flags.user.as_deref(), flags.password_file.as_deref())?;
    let mut services = target.services();
    let only_services = !services.is_empty();
    if !only_services {
        let device = onvif::ask(peer).await;
        services.extend(device.and_then(|device| device.service));
    }
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let config = onvif::Config {
        peer,
        host: target.host.clone(),
        services,
        only_services,
        credentials: credentials.clone(),
        allows_text: flags.allow_text,
        networks,
        unix_s: i64::try_from(since_1970.as_secs()).unwrap_or(i64::MAX),
        seed: rand::random(),
    };
    let user = credentials.as_ref().map(|credentials| credentials.user.clone());
    let mut report = ProbeReport::new(target.host, user, !flags.json);
    let (sender, mut found) = mpsc::channel(QUEUE);
    let probe = onvif::probe(config, sender);
    let print = async {
        while let Some(output) = found.recv().await {
            match output {
                Probed::Finding(finding) => report.handle_finding(finding)?,
                Probed::Device(information) => report.handle_device(information)?,
                Probed::Camera(camera) => report.handle_camera(camera)?,
                Probed::Send(_) | Probed::Cancel(_) | Probed::Done => {}
            }
        }
        anyhow::Ok(())
    };
    let (refused, printed) = tokio::join!(probe, print);
    printed?;
    let refused = refused?;
    if let Some(vendor) = flags.vendor.as_deref().filter(|_| report.has_no_onvif()) {
        streams::try_paths(&mut report, vendor, credentials, flags.allow_text, refused).await?;
    } else if !flags.no_streams {
        let max_refused = onvif::MAX_REFUSED.saturating_sub(refused).max(1);
        let caution = Caution { allows_text: flags.allow_text, max_refused };
        streams::check(&mut report, credentials, caution).await?;
    }
    console::print_line(if flags.json { report.json()? } else { report.configuration() })?;
    match report.failure() {
        Some(finding) => bail!("no camera can be added: {finding}"),
        None => Ok(()),
    }
}

fn named(networks: &[Network]) -> Vec<Cidr> {
    networks.iter().map(|network| network.0).collect()
}

/// Returns the textual form of an address, without a zone.
fn shown(ip: IpAddr) -> String {
    ip.to_canonical().to_string()
}
