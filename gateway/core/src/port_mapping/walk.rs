//! A conversation with UPnP devices until one of them maps the port.
//!
//! One call at a time, each at a device that has answered the search. Routers differ in what they
//! refuse, so a refusal is followed by the request that gets around it.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};

use super::common::Common;
use super::debts::Debt;
use super::upnp::{self, Call, Place, Service, Wanted, fault};
use super::{Network, PortMapperConfig};
use crate::onvif::Reply;

/// Limit of calls in one search: for each device a description, and for each service its address
/// and a request with some others that get around a refusal.
const MAX_CALLS: u32 = 16;

/// Limit of requests with other ports after those that are taken.
const MAX_PORTS: u32 = 3;

/// Smallest external port that is asked for instead of one that is taken.
const FIRST_PORT: u16 = 1024;

/// The reasons for which no device maps the port.
pub(super) const NOT_CONNECTED: &str = "no router of UPnP is connected to the Internet";
const ENDLESS: &str = "it maps ports without an end only, which needs a gateway.udp_port";

/// A call to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Exchange {
    pub(super) to: SocketAddr,
    pub(super) bytes: Vec<u8>,
}

/// A mapping that a service has made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Granted {
    pub(super) service: Service,
    pub(super) external: (Ipv4Addr, u16),
    /// Seconds for which it exists; 0 means until it is removed.
    pub(super) lease: u32,
}

/// The next step of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
    Call(Exchange),
    Granted(Granted),
    /// No device maps the port, for this reason.
    Failed(&'static str),
}

/// A call that has no reply yet.
#[derive(Debug, Clone)]
enum Pending {
    Describe(Place),
    Address(Service),
    Add { service: Service, external: Ipv4Addr, wanted: Wanted, is_any: bool },
}

/// A conversation; see [`Walk::next`].
#[derive(Debug)]
pub(super) struct Walk {
    client: Ipv4Addr,
    port: u16,
    /// The external port to ask for first.
    first_port: u16,
    lease: u32,
    /// A mapping without an end is of use: the next start finds it again.
    takes_endless: bool,
    devices: VecDeque<Place>,
    services: VecDeque<Service>,
    pending: Option<Pending>,
    /// Mappings that a service may have made without a word about it.
    doubts: Vec<(Service, u16)>,
    calls: u32,
    ports: u32,
    reason: &'static str,
}

impl Walk {
    /// Creates a conversation with devices that have answered a search.
    pub(super) fn new(common: &Common, network: Network, devices: Vec<Place>) -> Self {
        let PortMapperConfig { port, is_fixed, .. } = common.config;
        Self {
            client: network.local,
            port,
            first_port: port,
            lease: common.seconds(),
            takes_endless: is_fixed,
            devices: devices.into(),
            services: VecDeque::new(),
            pending: None,
            doubts: Vec::new(),
            calls: 0,
            ports: 0,
            reason: NOT_CONNECTED,
        }
    }

    /// Creates a conversation that renews a mapping.
    pub(super) fn renewal(common: &Common, network: Network, granted: &Granted) -> Self {
        let mut walk = Self::new(common, network, Vec::new());
        walk.lease = granted.lease;
        walk.first_port = granted.external.1;
        walk.services.push_back(granted.service.clone());
        // Another port would be another mapping.
        walk.ports = MAX_PORTS;
        walk
    }

    /// Begins the conversation, after this many calls of the same search.
    pub(super) fn begin(&mut self, calls: u32) -> Next {
        self.calls = calls;
        self.go_on()
    }

    /// Returns the number of calls of the search so far.
    pub(super) fn calls(&self) -> u32 {
        self.calls
    }

    /// Returns the mappings that services may have made without a word about it, also that of the
    /// call under way.
    pub(super) fn doubts(&self) -> Vec<Debt> {
        let doubts = self.doubts.iter().map(|(service, port)| (service, *port));
        let pending = self.pending.as_ref().and_then(|pending| match pending {
            Pending::Add { service, wanted, .. } => Some((service, wanted.external_port)),
            Pending::Describe(_) | Pending::Address(_) => None,
        });
        let debt = |(service, port): (&Service, u16)| {
            let service = service.clone();
            Debt { service, port, client: self.client, is_ours: false, tries: 0 }
        };
        doubts.chain(pending).map(debt).collect()
    }

    /// Handles the reply to the last call, `None` if there is none. `random` chooses another port.
    pub(super) fn handle(&mut self, reply: Option<&Reply>, random: u16) -> Next {
        let body = reply.filter(|reply| reply.status == 200).map(|reply| reply.body.as_slice());
        let code = reply.map_or(0, |reply| upnp::read_fault(&reply.body));
        match self.pending.take() {
            None => self.go_on(),
            Some(Pending::Describe(place)) => {
                self.services.extend(body.map(|body| place.services(body)).unwrap_or_default());
                self.go_on()
            }
            Some(Pending::Address(service)) => {
                // A service that is not connected has no address, or 0.0.0.0.
                let address = body.and_then(upnp::read_address);
                match address.filter(|address| !address.is_unspecified()) {
                    Some(external) => self.add(service, external),
                    None => self.go_on(),
                }
            }
            Some(Pending::Add { service, external, wanted, is_any }) => {
                let Some(body) = body else {
                    self.reason = upnp::describe(code);
                    // Without a code, nobody knows what has been done.
                    if code == 0 && self.doubts.len() < MAX_CALLS as usize {
                        self.doubts.push((service.clone(), wanted.external_port));
                    }
                    return self.get_around(code, service, external, (wanted, is_any), random);
                };
                let port = if is_any { upnp::read_port(body) } else { None }
                    .unwrap_or(wanted.external_port);
                let external = (external, port);
                Next::Granted(Granted { service, external, lease: wanted.lease })
            }
        }
    }

    /// Makes the next call that may lead to a mapping.
    fn go_on(&mut self) -> Next {
        if let Some(service) = self.services.pop_front() {
            let exchange = Exchange { to: service.at(), bytes: service.write(Call::Address) };
            return self.call(Pending::Address(service), exchange);
        }
        let Some(place) = self.devices.pop_front() else { return Next::Failed(self.reason) };
        let exchange = Exchange { to: place.at.into(), bytes: place.get() };
        self.call(Pending::Describe(place), exchange)
    }

    fn add(&mut self, service: Service, external: Ipv4Addr) -> Next {
        let wanted = Wanted {
            client: self.client,
            internal_port: self.port,
            external_port: self.first_port,
            lease: self.lease,
        };
        // A renewal asks for its own port.
        let is_any = service.can_choose() && self.ports == 0;
        self.ask(service, external, wanted, is_any)
    }

    fn ask(&mut self, service: Service, external: Ipv4Addr, wanted: Wanted, is_any: bool) -> Next {
        let call = if is_any { Call::AddAny(wanted) } else { Call::Add(wanted) };
        let exchange = Exchange { to: service.at(), bytes: service.write(call) };
        self.call(Pending::Add { service, external, wanted, is_any }, exchange)
    }

    /// Makes the request that may succeed after a refusal with this code, or goes on elsewhere.
    fn get_around(
        &mut self,
        code: u32,
        service: Service,
        external: Ipv4Addr,
        (wanted, is_any): (Wanted, bool),
        random: u16,
    ) -> Next {
        let is_lease = code == fault::PERMANENT_ONLY
            || matches!(code, fault::INVALID_ARGUMENTS | fault::ACTION_FAILED) && !is_any;
        if is_any && (code == 0 || code == fault::INVALID_ACTION || !is_lease) {
            return self.ask(service, external, wanted, false);
        }
        if code == fault::PERMANENT_ONLY && !self.takes_endless {
            self.reason = ENDLESS;
        } else if is_lease && wanted.lease != 0 && self.takes_endless {
            return self.ask(service, external, Wanted { lease: 0, ..wanted }, false);
        }
        if code == fault::SAME_PORT && wanted.external_port != wanted.internal_port {
            let wanted = Wanted { external_port: wanted.internal_port, ..wanted };
            return self.ask(service, external, wanted, false);
        }
        let is_taken = matches!(code, fault::CONFLICT | fault::CONFLICT_ELSEWHERE);
        if is_taken && self.ports < MAX_PORTS {
            self.ports += 1;
            let wanted = Wanted { external_port: random.max(FIRST_PORT), ..wanted };
            return self.ask(service, external, wanted, false);
        }
        self.go_on()
    }

    fn call(&mut self, pending: Pending, exchange: Exchange) -> Next {
        if self.calls >= MAX_CALLS {
            return Next::Failed(self.reason);
        }
        self.calls += 1;
        self.pending = Some(pending);
        Next::Call(exchange)
    }
}
