//! The search for cameras.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use porthole_gateway_core::question::{Answer, Progress};
use porthole_signaling_proto::CameraId;
use porthole_signaling_proto::manage::{DiscoverParams, DiscoverResult, FoundDevice};
use porthole_signaling_proto::rpc::{Fault, code};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::Reporter;
use super::networks::{Machine, machines, networks};
use crate::onvif;
use crate::onvif::{Cidr, DISCOVERY_PORT, Device, Discovered};

/// Capacity of the channel for what is found.
const QUEUE: usize = 64;

/// Time for a machine to answer the search before its ports are tried.
const PATIENCE: Duration = Duration::from_millis(700);

/// Time for a port to answer.
const KNOCK_TIME: Duration = Duration::from_millis(1500);

/// Ports of cameras: HTTP, RTSP, and those of some vendors for ONVIF.
const PORTS: [u16; 8] = [80, 554, 2020, 8000, 8080, 8554, 8899, 88];

/// Number of the first device that was found by its ports; those of the search have 0 to 255.
const FIRST_KNOCKED: u32 = 1000;

/// A camera that the gateway has.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) id: CameraId,
    pub(super) host: String,
    pub(super) uuid: Option<String>,
    pub(super) mac: Option<String>,
}

impl Known {
    fn is_at(&self, device: &Device) -> bool {
        self.host.parse() == Ok(device.from.ip().to_canonical())
            || is_same(&self.uuid, &device.uuid)
            || is_same(&self.mac, &device.mac)
    }
}

/// Returns true if both are known and equal.
pub(super) fn is_same(a: &Option<String>, b: &Option<String>) -> bool {
    a.is_some() && a == b
}

/// Returns the cameras that are at a device.
pub(super) fn cameras_at<'a>(known: &'a [Known], device: &Device) -> Vec<&'a Known> {
    known.iter().filter(|camera| camera.is_at(device)).collect()
}

/// A search, with the number of the devices that were found by their ports.
pub(super) struct Discover {
    pub(super) params: DiscoverParams,
    pub(super) named: Vec<Cidr>,
    pub(super) known: Vec<Known>,
    pub(super) reporter: Reporter,
}

impl Discover {
    pub(super) async fn run(self) -> Result<Answer, Fault> {
        let networks = networks(&self.named)?;
        let machines = machines(&self.params.addresses, &networks).await?;
        let searched = if machines.is_empty() {
            self.search(&[], &[]).await?;
            networks.own.iter().map(ToString::to_string).collect()
        } else {
            let to = |machine: &Machine| SocketAddr::new(machine.ip, DISCOVERY_PORT);
            let to: Vec<_> = machines.iter().map(to).collect();
            self.search(&to, &machines).await?;
            self.params.addresses.clone()
        };
        Ok(Answer::Discovered(DiscoverResult { networks: searched }))
    }

    /// Searches, and tries the ports of the machines that a person has named.
    async fn search(&self, to: &[SocketAddr], machines: &[Machine]) -> Result<(), Fault> {
        let links = if to.is_empty() {
            onvif::links().map_err(|error| {
                let text = format!("the gateway cannot read its network interfaces: {error}");
                Fault::new(code::INTERNAL_ERROR, text)
            })?
        } else {
            Vec::new()
        };
        let (sender, mut found) = mpsc::channel(QUEUE);
        let search = onvif::search(&links, to, sender);
        let mut knocks: FuturesUnordered<_> =
            machines.iter().filter(|machine| machine.is_named).map(|it| knock(it.ip)).collect();
        let mut answered: Vec<(IpAddr, u32)> = Vec::new();
        tokio::pin!(search);
        let mut is_searching = true;
        loop {
            tokio::select! {
                () = &mut search, if is_searching => is_searching = false,
                Some(output) = found.recv() => match output {
                    Discovered::Found(device) | Discovered::Moved(device) => {
                        self.tell(&mut answered, &device).await;
                    }
                    Discovered::Send { .. } | Discovered::Done => {}
                },
                Some(open) = knocks.next(), if !knocks.is_empty() => {
                    if let Some(ip) = open {
                        self.tell_open(&mut answered, ip).await;
                    }
                }
                else => return Ok(()),
            }
        }
    }

    async fn tell(&self, answered: &mut Vec<(IpAddr, u32)>, device: &Device) {
        let ip = device.from.ip();
        let own = u32::try_from(device.number).unwrap_or(u32::MAX);
        // One that was found by its ports before keeps that number.
        let is_knocked = |number: u32| number >= FIRST_KNOCKED;
        let by_port = answered.iter().find(|(known, number)| *known == ip && is_knocked(*number));
        let number = by_port.map_or(own, |(_, number)| *number);
        answered.push((ip, own));
        let found = FoundDevice {
            number,
            address: address_of(device),
            vendor: device.vendor.clone(),
            model: device.model.clone(),
            name: device.name.clone(),
            mac: device.mac.clone(),
            cameras: cameras_at(&self.known, device).into_iter().map(|it| it.id.clone()).collect(),
        };
        self.reporter.tell(Progress::Found(found)).await;
    }

    /// Tells a machine that does not answer to the search, but has a port of a camera.
    async fn tell_open(&self, answered: &mut Vec<(IpAddr, u32)>, ip: IpAddr) {
        if answered.iter().any(|(known, _)| *known == ip) {
            return;
        }
        let count = u32::try_from(answered.len()).unwrap_or(u32::MAX);
        let number = FIRST_KNOCKED.saturating_add(count);
        answered.push((ip, number));
        let here = |camera: &&Known| camera.host.parse() == Ok(ip);
        let found = FoundDevice {
            number,
            address: host_text(ip),
            vendor: None,
            model: None,
            name: None,
            mac: None,
            cameras: self.known.iter().filter(here).map(|camera| camera.id.clone()).collect(),
        };
        self.reporter.tell(Progress::Found(found)).await;
    }
}

/// Returns the machine if one of its ports answers.
async fn knock(ip: IpAddr) -> Option<IpAddr> {
    sleep(PATIENCE).await;
    let connect = |port| async move {
        matches!(timeout(KNOCK_TIME, TcpStream::connect((ip, port))).await, Ok(Ok(_)))
    };
    let mut tries: FuturesUnordered<_> = PORTS.into_iter().map(connect).collect();
    while let Some(is_open) = tries.next().await {
        if is_open {
            return Some(ip);
        }
    }
    None
}

/// Returns the address to probe a device at: where its answer came from, with the port of its
/// service.
fn address_of(device: &Device) -> String {
    let host = host_text(device.from.ip());
    match device.service.as_ref().map(onvif::ServiceAddress::port) {
        Some(port) => format!("{host}:{port}"),
        None => host,
    }
}

fn host_text(ip: IpAddr) -> String {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}
