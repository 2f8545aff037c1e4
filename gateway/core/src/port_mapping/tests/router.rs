//! A router in virtual time that speaks PCP, NAT-PMP and UPnP as the RFCs and the forum's documents
//! draw them, and is odd where a test wants it.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};

use crate::onvif::Reply;

pub(super) const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 1);
pub(super) const EXTERNAL: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 7);
const HTTP: u16 = 5000;
/// The machine that asks, and another one.
const CLIENT: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 2);
const OTHER: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 66);

/// The protocols of a router.
#[derive(Clone, Copy)]
pub(super) struct Speaks {
    pub(super) pcp: bool,
    pub(super) nat_pmp: bool,
    pub(super) upnp: bool,
}

pub(super) struct Router {
    pub(super) speaks: Speaks,
    pub(super) external: Ipv4Addr,
    /// Internal ports by external ones.
    pub(super) mappings: BTreeMap<u16, u16>,
    ends: BTreeMap<u16, u64>,
    /// The nonces of PCP by internal ports.
    nonces: BTreeMap<u16, [u8; 12]>,
    /// External ports of others.
    pub(super) taken: Vec<u16>,
    /// The number of messages that have arrived.
    pub(super) asked: u32,
    pub(super) pcp_result: u8,
    pub(super) nat_pmp_result: u16,
    /// Answers PCP with NAT-PMP's "unsupported version".
    pub(super) tells_version: bool,
    /// Longest lifetime that is given.
    pub(super) lifetime: u32,
    pub(super) breaks_nonce: bool,
    /// Times that each answer is sent.
    pub(super) repeats: usize,
    /// Messages that are lost, of three.
    pub(super) loses: u32,
    /// Answers everything with noise.
    pub(super) noise: bool,
    /// The version of its UPnP service.
    pub(super) igd: u8,
    pub(super) fault: u32,
    pub(super) fault_of_leases: u32,
    /// Says that its description is at another address.
    pub(super) elsewhere: bool,
    /// Never answers over HTTP.
    pub(super) is_mute: bool,
    /// Ends each connection over HTTP.
    pub(super) hangs_up: bool,
    /// Maps a port by UPnP without an answer.
    pub(super) maps_mutely: bool,
    /// Maps no port by UPnP that is mapped, not even for its owner.
    pub(super) maps_once: bool,
    began: u64,
}

impl Router {
    pub(super) fn new(speaks: Speaks) -> Self {
        Self {
            speaks,
            external: EXTERNAL,
            mappings: BTreeMap::new(),
            ends: BTreeMap::new(),
            nonces: BTreeMap::new(),
            taken: Vec::new(),
            asked: 0,
            pcp_result: 0,
            nat_pmp_result: 0,
            tells_version: false,
            lifetime: 7200,
            breaks_nonce: false,
            repeats: 1,
            loses: 0,
            noise: false,
            igd: 1,
            fault: 0,
            fault_of_leases: 0,
            elsewhere: false,
            is_mute: false,
            hangs_up: false,
            maps_mutely: false,
            maps_once: false,
            began: 0,
        }
    }

    /// Forgets everything, as one that is switched off and on.
    pub(super) fn restart(&mut self, now: u64) {
        self.mappings.clear();
        self.ends.clear();
        self.nonces.clear();
        self.began = now;
    }

    /// Drops the mappings whose time is over.
    pub(super) fn expire(&mut self, now: u64) {
        let over: Vec<_> = self.ends.iter().filter(|(_, end)| **end <= now).collect();
        for port in over.into_iter().map(|(port, _)| *port).collect::<Vec<_>>() {
            self.unmap(port);
        }
    }

    fn unmap(&mut self, port: u16) {
        self.ends.remove(&port);
        if let Some(internal) = self.mappings.remove(&port) {
            self.nonces.remove(&internal);
        }
    }

    fn epoch(&self, now: u64) -> [u8; 4] {
        u32::try_from(now - self.began + 1).unwrap().to_be_bytes()
    }

    /// Maps a port for a lifetime of 0 or more, and returns the external one.
    fn map(&mut self, now: u64, internal: u16, wanted: u16, lifetime: u32) -> u16 {
        let known = self.mappings.iter().find(|(_, to)| **to == internal).map(|(port, _)| *port);
        let mut external = known.unwrap_or(if wanted == 0 { internal } else { wanted });
        while self.taken.contains(&external) {
            external += 1;
        }
        if lifetime == 0 {
            self.unmap(external);
        } else {
            self.mappings.insert(external, internal);
            self.ends.insert(external, now + u64::from(lifetime));
        }
        external
    }

    /// Returns the announcement that the router sends after its start.
    pub(super) fn announcement(&self, now: u64) -> Vec<u8> {
        if self.speaks.nat_pmp {
            return self.nat_pmp_address(now);
        }
        let head = [2, 128, 0, 0, 0, 0, 0, 0];
        [&head[..], &self.epoch(now), &[0; 12]].concat()
    }

    fn nat_pmp_address(&self, now: u64) -> Vec<u8> {
        let result = self.nat_pmp_result.to_be_bytes();
        [&[0, 128], &result[..], &self.epoch(now), &self.external.octets()].concat()
    }

    /// Handles a datagram, and returns the answers with the addresses that they come from.
    pub(super) fn handle_datagram(
        &mut self,
        now: u64,
        to: SocketAddrV4,
        bytes: &[u8],
    ) -> Vec<(SocketAddrV4, Vec<u8>)> {
        self.asked += 1;
        self.expire(now);
        if self.asked % 3 < self.loses {
            return Vec::new();
        }
        let control = SocketAddrV4::new(ADDRESS, 5351);
        let answer = match (to.port(), bytes.first()) {
            (1900, _) if self.speaks.upnp => {
                Some((SocketAddrV4::new(ADDRESS, 1900), self.search(bytes)))
            }
            (5351, Some(2)) if self.speaks.pcp => Some((control, self.pcp(now, bytes))),
            (5351, Some(2)) if self.tells_version => {
                Some((control, [&[0, 129, 0, 1][..], &self.epoch(now)].concat()))
            }
            (5351, Some(0)) if self.speaks.nat_pmp => Some((control, self.nat_pmp(now, bytes))),
            // A router of PCP alone (RFC 6887 §9).
            (5351, Some(0)) if self.speaks.pcp => Some((
                control,
                [&[2, 128, 0, 1, 0, 0, 0, 0], &self.epoch(now)[..], &[0; 12]].concat(),
            )),
            _ => None,
        };
        let answers = std::iter::repeat_n(answer, self.repeats).flatten();
        let noise = |bytes: Vec<u8>| bytes.iter().map(|byte| byte ^ 0x55).rev().collect();
        answers.map(|(from, bytes)| (from, if self.noise { noise(bytes) } else { bytes })).collect()
    }

    fn pcp(&mut self, now: u64, bytes: &[u8]) -> Vec<u8> {
        assert_eq!(bytes[8..20], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255], "the client's address");
        let wanted = u32::from_be_bytes(bytes[4..8].try_into().unwrap());
        // One that knows no end gives more than was asked for.
        let is_endless = self.lifetime == u32::MAX && wanted != 0;
        let lifetime = if is_endless { u32::MAX } else { wanted.min(self.lifetime) };
        let [internal, suggested] =
            [40, 42].map(|at| u16::from_be_bytes(bytes[at..at + 2].try_into().unwrap()));
        let nonce = bytes[24..36].try_into().unwrap();
        // RFC 6887 §11.3: a mapping belongs to whoever knows its nonce.
        let is_anothers = self.nonces.get(&internal).is_some_and(|known| *known != nonce);
        let result = if is_anothers { 2 } else { self.pcp_result };
        let mut external = 0;
        if result == 0 {
            external = self.map(now, internal, suggested, lifetime);
            if lifetime != 0 {
                self.nonces.insert(internal, nonce);
            }
        }
        let mut answer = [&[2, 129, 0, result][..], &lifetime.to_be_bytes()].concat();
        answer.extend(self.epoch(now));
        answer.extend([0; 12]);
        answer.extend(&bytes[24..42]);
        answer.extend(external.to_be_bytes());
        answer.extend(self.external.to_ipv6_mapped().octets());
        if self.breaks_nonce {
            answer[24] ^= 1;
        }
        answer
    }

    fn nat_pmp(&mut self, now: u64, bytes: &[u8]) -> Vec<u8> {
        if bytes == [0, 0] {
            return self.nat_pmp_address(now);
        }
        let number = |at: usize| u16::from_be_bytes(bytes[at..at + 2].try_into().unwrap());
        let wanted = u32::from_be_bytes(bytes[8..12].try_into().unwrap());
        let lifetime = wanted.min(self.lifetime);
        let is_refused = self.nat_pmp_result != 0;
        let external = if is_refused { 0 } else { self.map(now, number(4), number(6), lifetime) };
        let result = self.nat_pmp_result.to_be_bytes();
        let head = [&[0, 129], &result[..], &self.epoch(now), &bytes[4..6]].concat();
        [&head[..], &external.to_be_bytes(), &lifetime.to_be_bytes()].concat()
    }

    fn search(&self, bytes: &[u8]) -> Vec<u8> {
        let text = String::from_utf8_lossy(bytes);
        let target = text.lines().find_map(|line| line.strip_prefix("ST: ")).unwrap();
        let host = if self.elsewhere { Ipv4Addr::new(203, 0, 113, 80) } else { ADDRESS };
        format!(
            "HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=120\r\nST: {target}\r\n\
             LOCATION: http://{host}:{HTTP}/rootDesc.xml\r\nEXT:\r\n\r\n"
        )
        .into_bytes()
    }

    /// Handles an HTTP request. Returns `None` if there is no answer yet, and `Some(None)` if the
    /// connection ends without one.
    pub(super) fn handle_request(&mut self, now: u64, bytes: &[u8]) -> Option<Option<Reply>> {
        self.asked += 1;
        if self.is_mute || !self.speaks.upnp {
            return None;
        }
        if self.hangs_up {
            return Some(None);
        }
        let text = String::from_utf8_lossy(bytes).into_owned();
        let (status, body) = if text.starts_with("GET /rootDesc.xml") {
            (200, self.description())
        } else {
            match self.call(now, &text) {
                Ok(_) if self.maps_mutely && text.contains("#Add") => return None,
                Ok(body) => (200, body),
                Err(code) => (500, format!("<e><errorCode>{code}</errorCode></e>")),
            }
        };
        Some(Some(Reply { status, body: body.into_bytes(), ..Reply::default() }))
    }

    fn description(&self) -> String {
        format!(
            "<root><device><deviceList><device><serviceList><service><serviceType>\
             urn:schemas-upnp-org:service:WANIPConnection:{}</serviceType>\
             <controlURL>/ctl</controlURL></service></serviceList></device></deviceList></device>\
             </root>",
            self.igd
        )
    }

    fn call(&mut self, now: u64, text: &str) -> Result<String, u32> {
        let value = |name: &str| {
            let (_, rest) = text.split_once(&format!("<{name}>"))?;
            rest.split_once('<')?.0.parse::<u32>().ok()
        };
        let port = |name: &str| value(name).and_then(|port| u16::try_from(port).ok()).unwrap();
        if text.contains("#GetExternalIPAddress") {
            let address = self.external;
            return Ok(format!("<NewExternalIPAddress>{address}</NewExternalIPAddress>"));
        }
        if text.contains("#GetSpecificPortMappingEntry") {
            let external = port("NewExternalPort");
            let (client, internal) = match self.mappings.get(&external) {
                _ if self.taken.contains(&external) => (OTHER, external),
                Some(internal) => (CLIENT, *internal),
                None => return Err(714),
            };
            return Ok(format!(
                "<NewInternalPort>{internal}</NewInternalPort>\
                 <NewInternalClient>{client}</NewInternalClient>"
            ));
        }
        if text.contains("#DeletePortMapping") {
            assert!(!self.taken.contains(&port("NewExternalPort")), "the mapping of another");
            self.unmap(port("NewExternalPort"));
            return Ok(String::new());
        }
        if text.contains("#AddAnyPortMapping") && self.igd < 2 {
            return Err(401);
        }
        if self.fault != 0 {
            return Err(self.fault);
        }
        let lease = value("NewLeaseDuration").unwrap();
        if self.fault_of_leases != 0 && lease != 0 {
            return Err(self.fault_of_leases);
        }
        let (internal, external) = (port("NewInternalPort"), port("NewExternalPort"));
        let is_known = self.maps_once && self.mappings.contains_key(&external);
        if text.contains("#AddPortMapping") && (self.taken.contains(&external) || is_known) {
            return Err(718);
        }
        // One that is permanent has no end.
        let lifetime = if lease == 0 { u32::MAX } else { lease };
        let given = self.map(now, internal, external, lifetime);
        Ok(format!("<NewReservedPort>{given}</NewReservedPort>"))
    }
}
