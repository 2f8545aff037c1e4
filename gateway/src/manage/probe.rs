//! The questions to one device, with ONVIF or with RTSP alone.

use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use porthole_gateway_core::import::Place;
use porthole_gateway_core::question::{Answer, Progress};
use porthole_signaling_proto::manage::{
    ProbeFinding, ProbeParams, ProbeProgress, ProbeResult, ProbedDevice,
};
use porthole_signaling_proto::rpc::{Fault, code};
use tokio::net::lookup_host;
use tokio::sync::mpsc;

use super::Reporter;
use super::import::Imported;
use super::measure::{Device, Measuring};
use super::networks::{networks, not_allowed};
use crate::ingest::{Address, Credentials};
use crate::onvif::{
    Camera, Cidr, Encoding, Finding, Information, Networks, Probed, Stream, Target,
};
use crate::{offline, onvif};

/// Capacity of the channel for what is found.
const QUEUE: usize = 64;

/// A probe, with the password that was opened for it.
pub(super) struct Probe {
    pub(super) params: ProbeParams,
    /// The camera of a file that is probed, if it is one.
    pub(super) imported: Option<Imported>,
    pub(super) credentials: Option<Credentials>,
    pub(super) named: Vec<Cidr>,
    pub(super) reporter: Reporter,
}

/// The results of the questions with ONVIF.
#[derive(Debug, Default)]
struct Answered {
    cameras: Vec<Camera>,
    information: Information,
    /// The finding that it does not speak ONVIF, if the paths of its vendor are tried then.
    no_onvif: Option<Finding>,
    refused: u8,
}

impl Probe {
    pub(super) async fn run(self) -> Result<Answer, Fault> {
        let networks = networks(&self.named)?;
        let refused = if is_rtsp(&self.params.address) {
            self.probe_url(&networks).await?
        } else {
            self.probe_device(networks).await?
        };
        Ok(Answer::Probed(ProbeResult { refused: refused.into() }))
    }

    /// Plays the stream at an address that was typed as a whole. Returns the number of requests
    /// with the password that were refused.
    async fn probe_url(&self, networks: &Networks) -> Result<u8, Fault> {
        let text = self.params.address.trim();
        if text.contains('@') {
            return Err(bad_address("leave user and password out of the address: type them below"));
        }
        let (typed, sub, service) = match self.imported.as_ref().map(|imported| &imported.place) {
            Some(Place::Streams { main, sub, onvif }) => {
                (Some(main.clone()), sub.clone(), onvif.as_deref().and_then(offline::service))
            }
            Some(Place::Device(_)) | None => (Address::parse(text), None, None),
        };
        let address = typed.ok_or_else(|| {
            bad_address("this is not an rtsp:// address: check how it is written")
        })?;
        let found = lookup_host((address.host(), address.port())).await.ok();
        let peer = found.and_then(|mut found| found.next()).ok_or_else(|| {
            let host = address.host();
            bad_address(&format!("no address is known for {host}: check the name"))
        })?;
        networks.check(peer.ip()).map_err(not_allowed)?;
        // Every connection goes to the machine that was checked.
        let host = peer.ip().to_canonical().to_string();
        let device = self.device(peer.ip(), Information::default(), None);
        let (number, name, snapshot) = (1, None, None);
        let main = stream_at(address.at_host(&host));
        let sub = sub.map(|sub| stream_at(sub.at_host(&host)));
        let service = service.map(|service| service.at_host(&host));
        let camera = Camera { number, name, main, sub, snapshot, service };
        Ok(Measuring::new(self, device, 0).run(vec![camera]).await)
    }

    /// Asks a device with ONVIF, then plays its streams. Returns the number of requests with the
    /// password that were refused.
    async fn probe_device(&self, networks: Networks) -> Result<u8, Fault> {
        let target = Target::parse(&self.params.address);
        let target = target.map_err(|error| bad_address(&error.to_string()))?;
        let peer = target.resolve().await.map_err(|error| bad_address(&error.to_string()))?;
        networks.check(peer.ip()).map_err(not_allowed)?;
        let mut services = target.services();
        let only_services = !services.is_empty();
        let asked = onvif::ask(peer);
        let mut uuid = None;
        // Asking for the service and for the UUID is one question; a probe whose port is known does
        // not wait for it.
        let mut asking = tokio::spawn(asked);
        if !only_services && let Ok(Some(device)) = (&mut asking).await {
            services.extend(device.service);
            uuid = device.uuid;
        }
        let config = onvif::Config {
            peer,
            host: peer.ip().to_canonical().to_string(),
            services: services.iter().map(|it| it.at_host(&peer.ip().to_string())).collect(),
            only_services,
            credentials: self.credentials.clone(),
            allows_text: self.params.allows_text,
            networks,
            unix_s: i64::try_from(unix_s()).unwrap_or(i64::MAX),
            seed: rand::random(),
        };
        let answered = self.ask(config).await?;
        if only_services && asking.is_finished() {
            uuid = asking.await.ok().flatten().and_then(|device| device.uuid);
        } else {
            asking.abort();
        }
        let device = self.device(peer.ip(), answered.information, uuid);
        if let (Some(vendor), Some(finding)) = (&self.params.vendor, answered.no_onvif) {
            let measuring = Measuring::new(self, device, answered.refused);
            return Ok(measuring.try_paths(vendor, &finding).await);
        }
        let is_here = |camera: &Camera| is_at(&camera.main, peer.ip());
        let cameras: Vec<_> = answered.cameras.into_iter().filter(is_here).collect();
        Ok(Measuring::new(self, device, answered.refused).run(cameras).await)
    }

    async fn ask(&self, config: onvif::Config) -> Result<Answered, Fault> {
        let mut answered = Answered::default();
        let (sender, mut found) = mpsc::channel(QUEUE);
        let probing = onvif::probe(config, sender);
        let listening = async {
            while let Some(output) = found.recv().await {
                match output {
                    // Nothing that keeps the picture away, if the device has a path of its vendor.
                    Probed::Finding(finding @ Finding::NoOnvif { .. })
                        if self.params.vendor.is_some() =>
                    {
                        answered.no_onvif = Some(finding);
                    }
                    Probed::Finding(finding) => self.reporter.finding(&finding).await,
                    Probed::Device(information) => {
                        self.tell_device(&information).await;
                        answered.information = information;
                    }
                    Probed::Camera(camera) => answered.cameras.push(camera),
                    Probed::Send(_) | Probed::Cancel(_) | Probed::Done => {}
                }
            }
        };
        let (refused, ()) = tokio::join!(probing, listening);
        answered.refused = refused.map_err(not_allowed)?;
        Ok(answered)
    }

    async fn tell_device(&self, information: &Information) {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let device = ProbedDevice {
            vendor: text(&information.vendor),
            model: text(&information.model),
            firmware: text(&information.firmware),
        };
        self.reporter.tell(Progress::Probed(ProbeProgress::Device(device))).await;
    }

    fn device(&self, ip: IpAddr, information: Information, uuid: Option<String>) -> Device {
        let Information { model, mac, .. } = information;
        Device { host: ip.to_canonical().to_string(), model, mac, uuid }
    }
}

impl Reporter {
    /// Tells a fact.
    pub(super) async fn finding(&self, finding: &Finding) {
        self.tell(Progress::Probed(ProbeProgress::Finding(told(finding)))).await;
    }
}

/// Returns a finding as the dashboard gets it.
pub(super) fn told(finding: &Finding) -> ProbeFinding {
    ProbeFinding {
        key: finding.key().to_owned(),
        failure: finding.is_failure(),
        text: finding.told(),
        values: finding.values(),
    }
}

/// Returns the time in seconds since 1970.
pub(super) fn unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn is_rtsp(address: &str) -> bool {
    let scheme = address.trim().split("://").next().unwrap_or_default();
    address.contains("://") && scheme.to_ascii_lowercase().starts_with("rtsp")
}

/// Returns true if a stream is at the device itself: the password goes nowhere else.
pub(super) fn is_at(stream: &Stream, ip: IpAddr) -> bool {
    stream.address.host().parse() == Ok(ip.to_canonical())
}

fn stream_at(address: Address) -> Stream {
    let encoding = Encoding::Other;
    let (frames_per_second, gov_length) = (None, None);
    Stream { address, encoding, width: 0, height: 0, frames_per_second, gov_length }
}

fn bad_address(text: &str) -> Fault {
    Fault::new(code::BAD_REQUEST, text)
}
