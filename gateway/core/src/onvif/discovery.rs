//! Finding cameras: with WS-Discovery (April 2005) over UDP, as ONVIF Core §7 has it, and with
//! multicast DNS (RFC 6762), by which some announce themselves.
//!
//! [`Search`] is a value with the contract of every core: it says what to send on which link, and
//! is told what arrives. Links are the interfaces of this machine, once for each address family, or
//! one machine that is asked directly.

mod answer;
mod mdns;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::{ServiceAddress, vendors};
use answer::Answer;

/// The port of WS-Discovery (§2.4 of April 2005).
pub const PORT: u16 = 3702;

/// The port of multicast DNS (RFC 6762 §3).
pub const MDNS_PORT: u16 = 5353;

/// Maximum length of a datagram in bytes (SOAP-over-UDP §3.2 allows 64 KiB, WS-Discovery half).
pub const MAX_DATAGRAM: usize = 32_767;

/// Number of rounds: datagrams get lost, and cameras that sleep wake up.
const ROUNDS: u32 = 3;

/// Time between two rounds, and after the last one. Devices wait up to half a second before they
/// answer (APP_MAX_DELAY of WS-Discovery).
const ROUND_TIME: Duration = Duration::from_secs(2);

/// Maximum number of devices that a search finds.
pub const MAX_DEVICES: usize = 256;

/// Maximum number of devices at one address: a recorder may answer for each of its cameras.
const MAX_PER_ADDRESS: usize = 64;

/// Maximum number of answers that are read in one search: each device may answer two probes in
/// three rounds on several links.
const MAX_ANSWERS: usize = 4096;

/// Maximum number of answers of one address that are read in one search, so that one machine cannot
/// keep others from being found.
const MAX_ANSWERS_PER_ADDRESS: u32 = 512;

/// A device that has answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Number of the device in this search.
    pub number: usize,
    /// The address that its answer came from.
    pub from: SocketAddr,
    /// The address of its device service: the one at [`Self::from`] if it names one.
    pub service: Option<ServiceAddress>,
    /// The UUID of its endpoint reference, in lower case.
    pub uuid: Option<String>,
    /// Name of the vendor, from its scopes or the names in them.
    pub vendor: Option<String>,
    /// Model of the device, as it calls it.
    pub model: Option<String>,
    /// Name of the device, as it calls itself.
    pub name: Option<String>,
    /// MAC address, as `aa:bb:cc:dd:ee:ff`.
    pub mac: Option<String>,
}

impl Device {
    fn new(number: usize, from: SocketAddr, answer: Answer) -> Self {
        let Answer { uuid, scopes, services, .. } = answer;
        let service = choose(services, from.ip());
        let names = [&scopes.vendor, &scopes.name, &scopes.model];
        let known = names.into_iter().flatten().find_map(|name| vendors::named(name));
        let vendor = known.map(|vendor| vendor.name.to_owned()).or(scopes.vendor);
        let (model, name, mac) = (scopes.model, scopes.name, scopes.mac);
        Self { number, from, service, uuid, vendor, model, name, mac }
    }

    /// Returns true if both are the same device: by UUID, else by MAC address, else by address.
    /// Some devices have another UUID in each answer; these are known by the address of their
    /// service.
    fn is(&self, other: &Self) -> bool {
        let is_same_service = self.service.is_some() && self.service == other.service;
        if is_same_service && self.from.ip() == other.from.ip() {
            return true;
        }
        match (&self.uuid, &other.uuid, &self.mac, &other.mac) {
            (Some(a), Some(b), _, _) | (_, _, Some(a), Some(b)) => a == b,
            _ => self.from.ip() == other.from.ip(),
        }
    }

    /// Returns the place of its address in the order of preference, the best first.
    fn rank(&self) -> (bool, bool, bool) {
        let at_source = self.service.as_ref().is_some_and(|s| s.ip() == Some(self.from.ip()));
        let is_link_local = match self.from.ip() {
            IpAddr::V4(ip) => ip.is_link_local(),
            IpAddr::V6(ip) => ip.is_unicast_link_local(),
        };
        (is_link_local, !self.from.is_ipv4(), !at_source)
    }
}

/// Chooses the address of a device's service: the one whose host the answer came from, then IPv4
/// without TLS, which every device has.
fn choose(services: Vec<ServiceAddress>, from: IpAddr) -> Option<ServiceAddress> {
    let from = from.to_canonical();
    services.into_iter().min_by_key(|service| {
        let ip = service.ip().map(|ip| ip.to_canonical());
        (ip != Some(from), !ip.is_some_and(|ip| ip.is_ipv4()), service.is_tls())
    })
}

/// An output of a search, to be applied by the driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send a datagram on a link, to the group of its family or to the machine that is asked.
    Send {
        /// Number of the link.
        link: usize,
        /// The protocol, which has a group and a port of its own.
        protocol: Protocol,
        /// Payload of the datagram.
        bytes: Vec<u8>,
    },
    /// A device that has not been seen before in this search.
    Found(Device),
    /// A device that was found has answered with a better address.
    Moved(Device),
    /// The search has ended.
    Done,
}

/// A protocol by which cameras are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// WS-Discovery, at [`PORT`].
    WsDiscovery,
    /// Multicast DNS, at [`MDNS_PORT`].
    Mdns,
}

/// A search on a number of links.
#[derive(Debug)]
pub struct Search {
    links: usize,
    rng: StdRng,
    round: u32,
    /// Time of the next round, or of the end.
    next: Option<Instant>,
    devices: Vec<Device>,
    answers: usize,
    /// Number of answers for each address that has answered.
    sources: Vec<(IpAddr, u32)>,
    outputs: VecDeque<Output>,
}

impl Search {
    /// Creates a search, which begins at once. `links` are sent to in the order of their numbers:
    /// the last ones are those of virtual networks.
    #[must_use]
    pub fn new(links: usize, seed: u64, now: Instant) -> Self {
        let mut search = Self {
            links,
            rng: StdRng::seed_from_u64(seed),
            round: 0,
            next: Some(now),
            devices: Vec::new(),
            answers: 0,
            sources: Vec::new(),
            outputs: VecDeque::new(),
        };
        search.handle_timeout(now);
        search
    }

    /// Handles a datagram that arrived on a link.
    pub fn handle_datagram(&mut self, from: SocketAddr, bytes: &[u8]) {
        if self.next.is_none() || bytes.len() > MAX_DATAGRAM || !self.admit(from.ip()) {
            return;
        }
        if mdns::is_response(bytes) {
            for answer in mdns::read(bytes, &from.ip().to_canonical().to_string()) {
                self.handle_answer(from, answer);
            }
            return;
        }
        for answer in answer::read(bytes) {
            if answer.is_camera() {
                self.handle_answer(from, answer);
            }
        }
    }

    /// Returns the next output; `None` until the next input.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Returns the time at which [`Self::handle_timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.next
    }

    /// Begins the next round, or ends the search.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.next.is_none_or(|next| next > now) {
            return;
        }
        if self.round == ROUNDS {
            self.close();
            return;
        }
        self.round += 1;
        self.next = Some(now + ROUND_TIME);
        for link in 0..self.links {
            for kind in answer::KINDS {
                let bytes = answer::probe(kind, self.rng.random()).into_bytes();
                let protocol = Protocol::WsDiscovery;
                self.outputs.push_back(Output::Send { link, protocol, bytes });
            }
            let (protocol, bytes) = (Protocol::Mdns, mdns::query());
            self.outputs.push_back(Output::Send { link, protocol, bytes });
        }
    }

    /// Ends the search.
    pub fn close(&mut self) {
        if self.next.take().is_some() {
            self.outputs.push_back(Output::Done);
        }
    }

    /// Counts an answer; returns false if there have been too many.
    fn admit(&mut self, ip: IpAddr) -> bool {
        if self.answers >= MAX_ANSWERS {
            return false;
        }
        let known = self.sources.iter_mut().find(|(known, _)| *known == ip);
        let is_admitted = match known {
            Some((_, count)) => {
                *count += 1;
                *count <= MAX_ANSWERS_PER_ADDRESS
            }
            // At most one for each answer.
            None => {
                self.sources.push((ip, 1));
                true
            }
        };
        self.answers += usize::from(is_admitted);
        is_admitted
    }

    fn handle_answer(&mut self, from: SocketAddr, answer: Answer) {
        let mut device = Device::new(self.devices.len(), from, answer);
        if let Some(known) = self.devices.iter_mut().find(|known| known.is(&device)) {
            if device.rank() < known.rank() {
                device.number = known.number;
                device.uuid = device.uuid.or_else(|| known.uuid.take());
                device.mac = device.mac.or_else(|| known.mac.take());
                known.clone_from(&device);
                self.outputs.push_back(Output::Moved(device));
            }
            return;
        }
        let neighbours = self.devices.iter().filter(|known| known.from.ip() == from.ip()).count();
        if self.devices.len() < MAX_DEVICES && neighbours < MAX_PER_ADDRESS {
            self.devices.push(device.clone());
            self.outputs.push_back(Output::Found(device));
        }
    }
}

#[cfg(test)]
mod tests;
