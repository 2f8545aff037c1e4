//! A conversation with UPnP devices until one of them maps the port.
//!
//! One call at a time, each at a device that has answered the search. Routers differ in what they
//! refuse, so a refusal is followed by the request that gets around it.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};

use super::upnp::{self, Call, Place, Service, Wanted, fault};
use crate::onvif::Reply;

/// Limit of calls in one conversation: a description, and for each service its address and a
/// request with some others that get around a refusal.
const MAX_CALLS: u32 = 16;

/// Limit of requests with other ports after those that are taken.
const MAX_PORTS: u32 = 3;

/// Smallest external port that is asked for instead of one that is taken.
const FIRST_PORT: u16 = 1024;

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
    devices: VecDeque<Place>,
    services: VecDeque<Service>,
    pending: Option<Pending>,
    calls: u32,
    ports: u32,
    reason: &'static str,
}

impl Walk {
    /// Creates a conversation with devices that have answered a search.
    pub(super) fn new(client: Ipv4Addr, port: u16, lease: u32, devices: Vec<Place>) -> Self {
        Self {
            client,
            port,
            first_port: port,
            lease,
            devices: devices.into(),
            services: VecDeque::new(),
            pending: None,
            calls: 0,
            ports: 0,
            reason: "no router of UPnP is connected to the Internet",
        }
    }

    /// Creates a conversation that renews a mapping.
    pub(super) fn renewal(client: Ipv4Addr, port: u16, granted: &Granted) -> Self {
        let mut walk = Self::new(client, port, granted.lease, Vec::new());
        walk.first_port = granted.external.1;
        walk.services.push_back(granted.service.clone());
        // Another port would be another mapping.
        walk.ports = MAX_PORTS;
        walk
    }

    /// Begins the conversation.
    pub(super) fn begin(&mut self) -> Next {
        self.go_on()
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
        if is_lease && wanted.lease != 0 {
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
