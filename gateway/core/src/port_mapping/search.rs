//! The search for a router that maps the port: all protocols are asked at once, and the mapping is
//! made with the first of them that works, in the order PCP, NAT-PMP, UPnP.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::{Duration, Instant};

use super::common::{Common, Message, REFUSES, router_address};
use super::debts::Debt;
use super::held::Held;
use super::upnp::{self, Place};
use super::walk::{NOT_CONNECTED, Next, Walk};
use super::{MIN_LIFETIME, Mapping, Network, Protocol, nat_pmp, pcp};
use crate::onvif::Reply;

/// Time for devices to answer the search of UPnP: the second that it gives them, and a second
/// search.
const DEVICE_TIME: Duration = Duration::from_secs(2);

/// Limit of descriptions of devices; a router names its one under several kinds of device.
const MAX_DEVICES: usize = 4;

/// The reason if no router has answered.
const SILENT: &str = "none answers; if direct connections fail, enable PCP, NAT-PMP or UPnP on the \
                      router, or forward the port of gateway.udp_port to this machine by hand";

/// The reasons for not using a mapping.
const SHORT: &str = "it maps ports for less than a minute";
const USELESS: &str = "it names no external address that can be reached";

/// A search that is under way. A message is `None` once its protocol is decided.
#[derive(Debug)]
pub(super) struct Search {
    pcp: Option<Message>,
    /// PCP has not answered: it may have mapped the port nevertheless.
    is_pcp_silent: bool,
    /// The request for the external address.
    nat_pmp: Option<Message>,
    /// The external address by NAT-PMP, until a mapping is asked for with it.
    address: Option<Ipv4Addr>,
    /// The request for a mapping with NAT-PMP, and the external address.
    mapping: Option<(Message, Ipv4Addr)>,
    /// The request for a mapping has no answer: the port may be mapped nevertheless.
    is_mapping_silent: bool,
    upnp: Option<Message>,
    /// Devices that have answered and are not asked yet.
    devices: Vec<Place>,
    /// All that have answered.
    known_devices: Vec<Place>,
    /// The end of the wait for devices; `None` once it is over.
    devices_until: Option<Instant>,
    walk: Option<Walk>,
    /// HTTP requests so far, and the mappings that may have been made without a word about it.
    calls: u32,
    doubts: Vec<Debt>,
    found: Option<Held>,
    reason: &'static str,
}

impl Search {
    pub(super) fn new(now: Instant, common: &Common, network: Network) -> Self {
        let protocols = common.config.protocols;
        let message =
            |protocol, datagrams| protocols.include(protocol).then(|| Message::new(now, datagrams));
        let to = router_address(network);
        let any = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, common.config.port);
        let request = common.pcp_request(network, any, common.seconds());
        // The router is also asked by itself: some drop multicast.
        let at_router = SocketAddrV4::new(network.router, upnp::SSDP.port());
        let searches = upnp::searches().map(|search| (upnp::SSDP, search));
        let searches = searches.chain(upnp::searches().take(1).map(|search| (at_router, search)));
        Self {
            pcp: message(Protocol::Pcp, vec![(to, request)]),
            is_pcp_silent: false,
            nat_pmp: message(Protocol::NatPmp, vec![(to, nat_pmp::address())]),
            address: None,
            mapping: None,
            is_mapping_silent: false,
            upnp: message(Protocol::Upnp, searches.collect()),
            devices: Vec::new(),
            known_devices: Vec::new(),
            devices_until: protocols.include(Protocol::Upnp).then_some(now + DEVICE_TIME),
            walk: None,
            calls: 0,
            doubts: Vec::new(),
            found: None,
            reason: SILENT,
        }
    }

    /// Handles the answer of a UPnP device.
    pub(super) fn handle_device(&mut self, place: Place) {
        let is_new = self.known_devices.len() < MAX_DEVICES && !self.known_devices.contains(&place);
        if is_new && self.devices_until.is_some() {
            self.known_devices.push(place.clone());
            self.devices.push(place);
        }
    }

    pub(super) fn handle_pcp(
        &mut self,
        now: Instant,
        common: &mut Common,
        network: Network,
        response: pcp::Response,
    ) {
        let is_success = response.result == pcp::SUCCESS;
        match response.body {
            // A router that speaks PCP alone answers NAT-PMP so.
            pcp::Body::Announce if response.result == pcp::UNSUPPORTED_VERSION => {
                self.nat_pmp = None;
            }
            // An answer to our request, also one that came late.
            pcp::Body::Map(Some(mapped)) if is_success && self.wants_pcp(common) => {
                if response.lifetime == 0 {
                    // It may be the answer to a request that gives a mapping back.
                    if self.pcp.is_some() {
                        self.note(SHORT);
                    }
                    return;
                }
                (self.pcp, self.is_pcp_silent) = (None, false);
                let external = match mapped.external {
                    SocketAddr::V4(external) => external,
                    SocketAddr::V6(_) => SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0),
                };
                let lifetime = Duration::from_secs(response.lifetime.into());
                let mapping = mapping(Protocol::Pcp, common, network, external);
                if self.take(now, mapping, lifetime) {
                    common.begin_epoch(now, response.epoch);
                } else {
                    // It is given back at once, without waiting for an answer.
                    common.send_datagram(network, common.pcp_request(network, external, 0));
                }
            }
            pcp::Body::Map(_) if !is_success => {
                if self.pcp.take().is_some() {
                    self.note(pcp::describe(response.result));
                }
            }
            pcp::Body::Announce | pcp::Body::Map(_) => {}
        }
    }

    fn wants_pcp(&self, common: &Common) -> bool {
        common.config.protocols.include(Protocol::Pcp) && self.found.is_none()
    }

    /// Notes why a protocol maps nothing. The first reason that says something stays.
    fn note(&mut self, reason: &'static str) {
        let rank = |reason| match reason {
            SILENT => 0,
            NOT_CONNECTED => 1,
            REFUSES => 2,
            _ => 3,
        };
        if rank(reason) > rank(self.reason) {
            self.reason = reason;
        }
    }

    pub(super) fn handle_nat_pmp(
        &mut self,
        now: Instant,
        common: &mut Common,
        network: Network,
        response: nat_pmp::Response,
    ) {
        let result = response.result;
        if result == nat_pmp::UNSUPPORTED_VERSION {
            // The answer to PCP of a router that knows NAT-PMP alone.
            self.pcp = None;
            return;
        }
        match response.body {
            nat_pmp::Body::Address(address) => {
                if self.nat_pmp.take().is_some() {
                    self.address = address.filter(|_| result == nat_pmp::SUCCESS);
                    if result != nat_pmp::SUCCESS {
                        self.note(nat_pmp::describe(result));
                    }
                }
            }
            nat_pmp::Body::Map(mapped) => {
                if mapped.is_some_and(|one| one.internal_port != common.config.port) {
                    return;
                }
                let Some((_, address)) = self.mapping.take() else { return };
                let Some(mapped) = mapped.filter(|_| result == nat_pmp::SUCCESS) else {
                    self.note(nat_pmp::describe(result));
                    return;
                };
                let external = SocketAddrV4::new(address, mapped.external_port);
                let mapping = mapping(Protocol::NatPmp, common, network, external);
                if self.take(now, mapping, Duration::from_secs(mapped.lifetime.into())) {
                    common.begin_epoch(now, response.epoch);
                } else {
                    common.send_datagram(network, nat_pmp::map(common.config.port, 0, 0));
                }
            }
            nat_pmp::Body::Other => {}
        }
    }

    pub(super) fn handle_reply(
        &mut self,
        now: Instant,
        common: &mut Common,
        network: Network,
        reply: Option<&Reply>,
    ) {
        let Some(walk) = &mut self.walk else { return };
        let next = walk.handle(reply, common.random_port());
        self.follow(now, common, network, next);
    }

    fn follow(&mut self, now: Instant, common: &mut Common, network: Network, next: Next) {
        match next {
            Next::Call(exchange) => common.send(now, exchange),
            Next::Failed(reason) => {
                self.end_walk();
                self.note(reason);
            }
            Next::Granted(granted) => {
                self.end_walk();
                let external = SocketAddrV4::new(granted.external.0, granted.external.1);
                let mapping = mapping(Protocol::Upnp, common, network, external);
                if mapping.is_useful() {
                    self.found = Some(Held::by_upnp(now, mapping, granted));
                } else {
                    self.note(USELESS);
                    let (service, client) = (granted.service, network.local);
                    let port = external.port();
                    common.owe(Debt { service, port, client, is_ours: true, tries: 0 });
                }
            }
        }
    }

    fn end_walk(&mut self) {
        if let Some(walk) = self.walk.take() {
            self.calls = walk.calls();
            self.doubts.extend(walk.doubts());
        }
    }

    /// Takes a mapping if it is of use.
    fn take(&mut self, now: Instant, mapping: Mapping, lifetime: Duration) -> bool {
        if lifetime < MIN_LIFETIME || !mapping.is_useful() {
            self.note(if lifetime < MIN_LIFETIME { SHORT } else { USELESS });
            return false;
        }
        self.found = Some(Held::new(now, mapping, lifetime));
        true
    }

    /// Goes on with the search. Returns its result once there is one, else `None`.
    pub(super) fn proceed(
        &mut self,
        now: Instant,
        common: &mut Common,
        network: Network,
    ) -> Option<Result<Held, &'static str>> {
        if let Some(held) = self.found.take() {
            return Some(Ok(held));
        }
        let silent = self.pcp.take_if(|message| !message.poll(now, &mut common.outbox));
        self.is_pcp_silent |= silent.is_some();
        for message in [&mut self.nat_pmp, &mut self.upnp] {
            message.take_if(|message| !message.poll(now, &mut common.outbox));
        }
        self.devices_until.take_if(|until| *until <= now);
        let silent = self.mapping.take_if(|(message, _)| !message.poll(now, &mut common.outbox));
        self.is_mapping_silent |= silent.is_some();
        if self.pcp.is_some() || self.nat_pmp.is_some() {
            return None;
        }
        if let Some(address) = self.address.take() {
            let port = common.config.port;
            let request = nat_pmp::map(port, port, common.seconds());
            let mut message = Message::new(now, vec![(router_address(network), request)]);
            message.poll(now, &mut common.outbox);
            self.mapping = Some((message, address));
        }
        if self.mapping.is_some() || self.walk.is_some() {
            return None;
        }
        if !self.devices.is_empty() {
            let devices = std::mem::take(&mut self.devices);
            let walk = self.walk.insert(Walk::new(common, network, devices));
            let next = walk.begin(self.calls);
            self.follow(now, common, network, next);
            return None;
        }
        self.devices_until.is_none().then_some(Err(self.reason))
    }

    /// Returns the time at which [`Self::proceed`] is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let mapping = self.mapping.as_ref().map(|(message, _)| message);
        let messages = [self.pcp.as_ref(), self.nat_pmp.as_ref(), self.upnp.as_ref(), mapping];
        let messages = messages.into_iter().flatten().map(|message| message.next);
        messages.chain(self.devices_until).min()
    }

    /// Gives back what a router may have mapped without our having heard of it, by UPnP.
    pub(super) fn give_back_doubts(&mut self, common: &mut Common) {
        self.end_walk();
        self.doubts.drain(..).for_each(|debt| common.owe(debt));
    }

    /// Gives back what a router may have mapped without our having heard of it.
    pub(super) fn give_back(&mut self, common: &mut Common, network: Network) {
        self.give_back_doubts(common);
        if self.pcp.is_some() || self.is_pcp_silent {
            let any = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
            common.send_datagram(network, common.pcp_request(network, any, 0));
        }
        if self.mapping.is_some() || self.is_mapping_silent {
            common.send_datagram(network, nat_pmp::map(common.config.port, 0, 0));
        }
    }
}

fn mapping(
    protocol: Protocol,
    common: &Common,
    network: Network,
    external: SocketAddrV4,
) -> Mapping {
    let internal = SocketAddrV4::new(network.local, common.config.port);
    Mapping { protocol, internal, external }
}
