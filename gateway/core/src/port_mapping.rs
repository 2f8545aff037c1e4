//! Port mappings: the router of the network is asked to forward a UDP port to this machine, with
//! PCP (RFC 6887), NAT-PMP (RFC 6886) or UPnP.
//!
//! A mapped port can be reached by everybody, whatever NAT they are behind. [`PortMapper`] is a
//! value with the contract of every core. It asks the router of the default route and nobody else,
//! keeps at most one mapping, and gives it back at the end.
//!
//! Architecture invariant: what a router says leads to no address but its own, and is believed only
//! as far as a candidate is: the checks of ICE show whether anything arrives.

mod common;
mod debts;
mod held;
mod nat_pmp;
mod pcp;
mod search;
mod standing;
mod upnp;
mod walk;

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::{Duration, Instant};

use tracing::info;

use crate::onvif::Reply;
use crate::onvif::probe::Request;
use common::{Common, Message};
use held::Held;
use search::Search;

pub use standing::Standing;

/// The port of PCP and NAT-PMP on a router (RFC 6887 §19.1).
pub const ROUTER_PORT: u16 = 5351;

/// The port to which a router announces that it has been restarted (RFC 6887 §14.1.1).
pub const ANNOUNCEMENT_PORT: u16 = 5350;

/// Time for which a port is mapped: the mappings of a gateway that has lost its power are gone
/// after this.
pub const LIFETIME: Duration = Duration::from_secs(3600);

/// Shortest lifetime that is taken; a mapping that ends sooner cannot be kept without flooding the
/// router. RFC 6887 §15 wants at least two minutes.
const MIN_LIFETIME: Duration = Duration::from_secs(60);

/// Longest time between two renewals: so long may a router that was restarted, and announces
/// nothing, be without our mapping.
const RENEW_MAX: Duration = Duration::from_secs(300);

/// Time between two renewals that failed, and between two that announcements cause.
const RENEW_MIN: Duration = Duration::from_secs(10);

/// Time after which a router is searched again that has mapped nothing; it doubles each time,
/// because a router may still be starting after a power cut.
const SEARCH_AGAIN: Duration = Duration::from_secs(30);

/// Longest time until then.
const SEARCH_AGAIN_MAX: Duration = Duration::from_secs(3600);

/// Time for a mapping to be given back at the end.
pub const CLOSE_TIME: Duration = Duration::from_millis(1500);

/// A protocol that maps ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Port Control Protocol (RFC 6887).
    Pcp,
    /// NAT Port Mapping Protocol (RFC 6886).
    NatPmp,
    /// WANIPConnection or WANPPPConnection of a UPnP Internet gateway device.
    Upnp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pcp => "PCP",
            Self::NatPmp => "NAT-PMP",
            Self::Upnp => "UPnP",
        })
    }
}

/// The protocols that are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocols {
    /// All of them, one after the other.
    All,
    /// One of them.
    Only(Protocol),
}

impl Protocols {
    /// Returns true if this protocol is tried.
    fn include(self, protocol: Protocol) -> bool {
        match self {
            Self::All => true,
            Self::Only(only) => only == protocol,
        }
    }
}

/// Configuration of a [`PortMapper`].
#[derive(Clone, Copy)]
pub struct PortMapperConfig {
    /// The protocols that are tried.
    pub protocols: Protocols,
    /// The UDP port of this machine.
    pub port: u16,
    /// Time for which it is mapped, [`LIFETIME`] for a gateway.
    pub lifetime: Duration,
    /// The port is the same after the next start. Mappings without an end are made only then: with
    /// another port at each start they would pile up after crashes.
    pub is_fixed: bool,
    /// Secret that shows mappings to be ours, also after a restart; see RFC 6887 §11.3.
    pub secret: [u8; 32],
    /// Seed of the generator for ports. Must be unpredictable in production.
    pub seed: u64,
}

impl fmt::Debug for PortMapperConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { protocols, port, .. } = self;
        let mut shown = f.debug_struct("PortMapperConfig");
        shown.field("protocols", protocols).field("port", port).finish_non_exhaustive()
    }
}

/// The network of the default route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// The router's address in it.
    pub router: Ipv4Addr,
    /// The address of this machine in it.
    pub local: Ipv4Addr,
}

/// A port that the router forwards to this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mapping {
    /// The protocol that has made it.
    pub protocol: Protocol,
    /// The address and port of this machine.
    pub internal: SocketAddrV4,
    /// The address and port by which it is reached.
    pub external: SocketAddrV4,
}

impl Mapping {
    /// Returns from where the external address can be reached.
    pub fn standing(&self) -> Standing {
        Standing::of(*self.external.ip())
    }

    /// Returns true if it leads to another address that other machines can reach.
    fn is_useful(&self) -> bool {
        self.standing() != Standing::Nowhere
            && self.external.port() != 0
            && self.external.ip() != self.internal.ip()
    }
}

/// The state of the mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// A router is being asked, or there is none.
    Unknown,
    /// The machine has a public address, so that there is nothing to map.
    NotNeeded,
    /// No router maps the port, for this reason.
    Unmapped(&'static str),
    /// A port is mapped.
    Mapped(Mapping),
}

/// An output of a mapper, to be applied by the driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MapperOutput {
    /// Send this datagram from the machine's address in the network.
    Datagram {
        /// The address to send to; a multicast one stays in the network.
        to: SocketAddrV4,
        /// The bytes to send.
        bytes: Vec<u8>,
    },
    /// Send an HTTP request; pass the result to [`PortMapper::handle_reply`].
    Send(Request),
    /// Drop the request with this number; nothing is expected of it any more.
    Cancel(u32),
    /// A change of the state.
    State(State),
}

/// The stage that a mapper has reached.
#[derive(Debug)]
enum Stage {
    /// No router can be asked, or none has to be.
    Idle,
    Searching(Box<Search>),
    Held(Box<Held>),
    /// No router has mapped the port; asked again after `until`, and after `soonest` if a router
    /// shows meanwhile that it speaks a protocol. Nobody can make us search all the time.
    Waiting {
        soonest: Instant,
        until: Instant,
    },
    /// The mapping is being given back.
    Closing {
        message: Option<Message>,
        until: Instant,
    },
    Closed,
}

/// Keeps a UDP port of this machine mapped. After every call that changes it, drain
/// [`Self::poll_output`].
#[derive(Debug)]
pub struct PortMapper {
    common: Common,
    network: Option<Network>,
    stage: Stage,
    /// Searches without a mapping since the last one.
    failures: u32,
    told: State,
}

impl PortMapper {
    /// Creates a mapper, which waits for a network.
    pub fn new(config: PortMapperConfig) -> Self {
        let common = Common::new(config);
        Self { common, network: None, stage: Stage::Idle, failures: 0, told: State::Unknown }
    }

    /// Sets the network of the default route. The mapping of another one is given back, with one
    /// message: its router can perhaps not be reached any more.
    pub fn set_network(&mut self, now: Instant, network: Option<Network>) {
        if self.network == network || self.is_closing() {
            return;
        }
        if let Some(mut message) = self.give_back(now, false) {
            message.poll(now, &mut self.common.outbox);
        }
        if let Some(network) = network {
            self.common.set_nonce(network);
            self.common.forget_other_routers(network.router);
        }
        self.network = network;
        self.failures = 0;
        self.common.epoch = None;
        self.common.cancel();
        match network {
            None => self.enter(Stage::Idle, State::Unknown),
            Some(network) if Standing::of(network.local) == Standing::Public => {
                self.enter(Stage::Idle, State::NotNeeded);
            }
            Some(network) => self.search(now, network),
        }
        self.proceed(now);
    }

    /// Gives back what a router has mapped, or may have: with the message that is returned, and
    /// with exchanges that go on in every stage.
    fn give_back(&mut self, now: Instant, is_ours: bool) -> Option<Message> {
        let Self { common, stage, network, .. } = self;
        let network = (*network)?;
        match stage {
            Stage::Held(held) => held.give_back(now, common, network, is_ours),
            Stage::Searching(search) => {
                search.give_back(common, network);
                None
            }
            Stage::Idle | Stage::Waiting { .. } | Stage::Closing { .. } | Stage::Closed => None,
        }
    }

    /// Returns the state of the mapping.
    pub fn state(&self) -> State {
        self.told
    }

    /// Returns the network that was set.
    pub fn network(&self) -> Option<Network> {
        self.network
    }

    /// Handles a datagram, from any port of any address; only those of the router count.
    pub fn handle_datagram(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) {
        let Some(network) = self.network else { return };
        let SocketAddr::V4(from) = from else { return };
        if *from.ip() != network.router {
            return;
        }
        if from.port() != ROUTER_PORT {
            if let (Stage::Searching(search), Some(place)) =
                (&mut self.stage, upnp::read_answer(*from.ip(), bytes))
            {
                search.handle_device(place);
                self.proceed(now);
            }
            return;
        }
        if let Some(response) = pcp::read(bytes) {
            self.handle_pcp(now, network, response);
        } else if let Some(response) = nat_pmp::read(bytes) {
            self.handle_nat_pmp(now, network, response);
        }
    }

    fn handle_pcp(&mut self, now: Instant, network: Network, response: pcp::Response) {
        let Self { common, stage, .. } = self;
        let mapped = match response.body {
            pcp::Body::Map(mapped) => mapped,
            pcp::Body::Announce => None,
        };
        // Whoever answers without our nonce has not seen our request.
        if mapped.is_some_and(|mapped| !common.is_ours(&mapped)) {
            return;
        }
        match stage {
            Stage::Searching(search) => search.handle_pcp(now, common, network, response),
            Stage::Held(held) if held.protocol() == Protocol::Pcp => {
                let is_restarted = common.note_epoch(now, response.epoch);
                held.handle_pcp(now, response, is_restarted);
            }
            Stage::Closing { message, .. } if mapped.is_some() && response.lifetime == 0 => {
                *message = None;
            }
            Stage::Waiting { soonest, until } => {
                let is_late = response.result == pcp::SUCCESS && response.lifetime != 0;
                if let Some(SocketAddr::V4(external)) = mapped.map(|mapped| mapped.external)
                    && is_late
                {
                    // The search has ended without it.
                    let bytes = common.pcp_request(network, external, 0);
                    common.send_datagram(network, bytes);
                }
                *until = (*until).min(*soonest);
            }
            Stage::Idle | Stage::Held(_) | Stage::Closing { .. } | Stage::Closed => {}
        }
        self.proceed(now);
    }

    fn handle_nat_pmp(&mut self, now: Instant, network: Network, response: nat_pmp::Response) {
        let Self { common, stage, .. } = self;
        match stage {
            Stage::Searching(search) => search.handle_nat_pmp(now, common, network, response),
            Stage::Held(held) if held.protocol() == Protocol::NatPmp => {
                let is_restarted = common.note_epoch(now, response.epoch);
                held.handle_nat_pmp(now, common, response, is_restarted);
            }
            Stage::Closing { message, .. } => {
                message.take_if(|_| response.body.is_given_back(common.config.port));
            }
            Stage::Waiting { soonest, until } => {
                if response.result == nat_pmp::SUCCESS && response.body.maps(common.config.port) {
                    common.send_datagram(network, nat_pmp::map(common.config.port, 0, 0));
                }
                *until = (*until).min(*soonest);
            }
            Stage::Idle | Stage::Held(_) | Stage::Closed => {}
        }
        self.proceed(now);
    }

    /// Handles the reply to an HTTP request, `None` if there is none.
    pub fn handle_reply(&mut self, now: Instant, id: u32, reply: Option<&Reply>) {
        if self.common.pending.take_if(|pending| pending.id == id).is_some() {
            self.pass_reply(now, reply);
        } else if self.common.handle_removal(now, id, reply) {
            self.proceed(now);
        }
    }

    fn pass_reply(&mut self, now: Instant, reply: Option<&Reply>) {
        let Self { common, stage, network, .. } = self;
        let Some(network) = *network else { return };
        match stage {
            Stage::Searching(search) => search.handle_reply(now, common, network, reply),
            Stage::Held(held) => held.handle_reply(now, common, network, reply),
            Stage::Idle | Stage::Waiting { .. } | Stage::Closing { .. } | Stage::Closed => {}
        }
        self.proceed(now);
    }

    /// Returns the time at which [`Self::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let of_stage = match &self.stage {
            Stage::Idle | Stage::Closed => None,
            Stage::Searching(search) => search.poll_timeout(),
            Stage::Held(held) => held.poll_timeout(),
            Stage::Waiting { until, .. } => Some(*until),
            Stage::Closing { message, until } => {
                Some(message.as_ref().map_or(*until, |message| message.next.min(*until)))
            }
        };
        let Common { pending, removal, .. } = &self.common;
        let exchanges = pending.iter().chain(removal.iter().map(|(_, pending)| pending));
        of_stage.into_iter().chain(exchanges.map(|pending| pending.until)).min()
    }

    /// Processes everything that is due: repetitions, renewals, another search.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.common.is_overdue(now) {
            self.pass_reply(now, None);
        }
        self.proceed(now);
    }

    /// Goes on with what is due.
    fn proceed(&mut self, now: Instant) {
        self.advance(now);
        self.common.remove_next(now);
        if let Stage::Closing { message, until } = &self.stage
            && (*until <= now || (message.is_none() && !self.common.has_debts()))
        {
            self.common.forget_debts();
            self.stage = Stage::Closed;
        }
    }

    /// Goes on to the next stage if this one has ended.
    fn advance(&mut self, now: Instant) {
        let Self { common, stage, network, .. } = self;
        let Some(network) = *network else { return };
        match stage {
            Stage::Searching(search) => match search.proceed(now, common, network) {
                None => {}
                Some(Ok(held)) => {
                    search.give_back_doubts(common);
                    self.hold(held);
                }
                Some(Err(reason)) => {
                    search.give_back(common, network);
                    self.wait(now, reason);
                }
            },
            Stage::Held(held) => {
                if !held.proceed(now, common, network) {
                    if let Some(mut message) = held.give_back(now, common, network, false) {
                        message.poll(now, &mut common.outbox);
                    }
                    self.search(now, network);
                } else if self.told != State::Mapped(held.mapping()) {
                    let state = State::Mapped(held.mapping());
                    self.tell(state);
                }
            }
            Stage::Waiting { until, .. } if *until <= now => self.search(now, network),
            Stage::Closing { message, .. } => {
                message.take_if(|message| !message.poll(now, &mut common.outbox));
            }
            Stage::Idle | Stage::Waiting { .. } | Stage::Closed => {}
        }
    }

    fn search(&mut self, now: Instant, network: Network) {
        self.common.cancel();
        let search = Search::new(now, &self.common, network);
        // While a router is asked again, what is known of it stays true.
        let state = match self.told {
            State::Unmapped(_) if self.failures > 0 => self.told,
            State::Unknown | State::NotNeeded | State::Unmapped(_) | State::Mapped(_) => {
                State::Unknown
            }
        };
        self.enter(Stage::Searching(Box::new(search)), state);
        self.proceed(now);
    }

    fn hold(&mut self, held: Held) {
        self.failures = 0;
        self.common.cancel();
        self.common.keep(held.mapping().external.port());
        let state = State::Mapped(held.mapping());
        self.enter(Stage::Held(Box::new(held)), state);
    }

    fn wait(&mut self, now: Instant, reason: &'static str) {
        let factor = 2_u32.saturating_pow(self.failures);
        self.failures += 1;
        let wait = SEARCH_AGAIN.saturating_mul(factor).min(SEARCH_AGAIN_MAX);
        let (soonest, until) = (now + wait / 3, now + wait);
        self.enter(Stage::Waiting { soonest, until }, State::Unmapped(reason));
    }

    fn enter(&mut self, stage: Stage, state: State) {
        self.stage = stage;
        self.tell(state);
    }

    fn tell(&mut self, state: State) {
        if self.told == state {
            return;
        }
        match state {
            State::Mapped(Mapping { protocol, external, .. }) => {
                let reach = Standing::of(*external.ip()).describe();
                info!(
                    "the router forwards UDP port {external} to this gateway ({protocol}){reach}"
                );
            }
            State::Unmapped(reason) => info!("no router forwards a port to this gateway: {reason}"),
            State::Unknown | State::NotNeeded => {}
        }
        self.told = state;
        self.common.outbox.push_back(MapperOutput::State(state));
    }

    /// Gives the mapping back. Goes on until [`Self::is_closed`].
    pub fn close(&mut self, now: Instant) {
        if self.is_closing() {
            return;
        }
        let message = self.give_back(now, true);
        self.common.cancel();
        self.stage = Stage::Closing { message, until: now + CLOSE_TIME };
        self.proceed(now);
    }

    /// Returns true once nothing is left to give back.
    pub fn is_closed(&self) -> bool {
        matches!(self.stage, Stage::Closed)
    }

    fn is_closing(&self) -> bool {
        matches!(self.stage, Stage::Closing { .. } | Stage::Closed)
    }

    /// Returns the next output to apply.
    pub fn poll_output(&mut self) -> Option<MapperOutput> {
        self.common.outbox.pop_front()
    }
}

#[cfg(test)]
mod tests;
