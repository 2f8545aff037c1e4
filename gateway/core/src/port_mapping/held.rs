//! A mapping that exists, and its renewals.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::{Duration, Instant};

use super::common::{Common, Message, router_address};
use super::debts::Debt;
use super::walk::{Granted, Next, Walk};
use super::{MIN_LIFETIME, Mapping, Network, Protocol, RENEW_MAX, RENEW_MIN, nat_pmp, pcp};
use crate::onvif::Reply;

/// Longest lifetime that is believed, the one of RFC 6887 §15.
const MAX_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// Time for which a mapping without an end is believed in after its last renewal.
const PERMANENT: Duration = Duration::from_secs(3 * RENEW_MAX.as_secs());

/// The parts of a renewal by PCP or NAT-PMP that have no answer yet, also after its last try: slow
/// routers answer late. Each is answered once.
#[derive(Debug, Default)]
struct Asked {
    mapping: bool,
    address: bool,
}

/// A mapping that exists.
#[derive(Debug)]
pub(super) struct Held {
    mapping: Mapping,
    /// The end of the mapping, unless it is renewed.
    until: Instant,
    renew_at: Instant,
    renewed: Instant,
    /// A renewal by PCP or NAT-PMP that has no answer yet.
    asking: Option<Message>,
    asked: Asked,
    /// The answers of NAT-PMP to a renewal, until both are there: its port, and its address.
    granted_port: Option<(u16, Duration)>,
    address: Option<Ipv4Addr>,
    /// The mapping as UPnP knows it.
    granted: Option<Granted>,
    /// A renewal by UPnP.
    walk: Option<Walk>,
    /// The router refuses to renew it.
    is_refused: bool,
}

impl Held {
    pub(super) fn new(now: Instant, mapping: Mapping, lifetime: Duration) -> Self {
        let mut held = Self {
            mapping,
            until: now,
            renew_at: now,
            renewed: now,
            asking: None,
            asked: Asked::default(),
            granted_port: None,
            address: None,
            granted: None,
            walk: None,
            is_refused: false,
        };
        held.extend(now, lifetime);
        held
    }

    pub(super) fn by_upnp(now: Instant, mapping: Mapping, granted: Granted) -> Self {
        let mut held = Self::new(now, mapping, lifetime_of(&granted));
        held.granted = Some(granted);
        held
    }

    pub(super) fn mapping(&self) -> Mapping {
        self.mapping
    }

    pub(super) fn protocol(&self) -> Protocol {
        self.mapping.protocol
    }

    /// Notes that the mapping exists for this long from now on.
    fn extend(&mut self, now: Instant, lifetime: Duration) {
        let lifetime = lifetime.min(MAX_LIFETIME);
        self.until = now + lifetime;
        self.renewed = now;
        self.renew_at = now + (lifetime / 2).min(RENEW_MAX);
        self.asking = None;
    }

    /// Renews the mapping soon, because the router may have lost it.
    fn hurry(&mut self) {
        self.renew_at = self.renew_at.min(self.renewed + RENEW_MIN);
    }

    /// Handles an answer of PCP; the caller has compared its nonce. What was not asked for changes
    /// nothing: it is a reason to ask.
    pub(super) fn handle_pcp(&mut self, now: Instant, response: pcp::Response, is_restarted: bool) {
        let is_success = response.result == pcp::SUCCESS;
        match response.body {
            pcp::Body::Map(Some(mapped)) if self.asked.mapping => {
                self.asked.mapping = false;
                if !is_success {
                    self.note_refusal(now, pcp::is_transient(response.result));
                } else if let SocketAddr::V4(external) = mapped.external {
                    self.take(now, external, Duration::from_secs(response.lifetime.into()));
                } else {
                    self.is_refused = true;
                }
            }
            // An error that is cut short, and so without its nonce: anybody may have sent it.
            pcp::Body::Map(None) if self.asked.mapping && !is_success => {
                self.asked.mapping = false;
                self.note_refusal(now, true);
            }
            pcp::Body::Map(Some(mapped)) => {
                let is_news = mapped.external != SocketAddr::V4(self.mapping.external);
                if is_restarted || (is_success && is_news) {
                    self.hurry();
                }
            }
            pcp::Body::Announce | pcp::Body::Map(None) => {
                if is_restarted {
                    self.hurry();
                }
            }
        }
    }

    /// Handles an answer of NAT-PMP. What was not asked for changes nothing: it is a reason to ask.
    pub(super) fn handle_nat_pmp(
        &mut self,
        now: Instant,
        common: &Common,
        response: nat_pmp::Response,
        is_restarted: bool,
    ) {
        let was_asked = self.asked.mapping;
        let is_success = response.result == nat_pmp::SUCCESS;
        match response.body {
            nat_pmp::Body::Map(Some(mapped)) if mapped.internal_port != common.config.port => {}
            nat_pmp::Body::Map(mapped) if was_asked => {
                self.asked.mapping = false;
                match mapped.filter(|_| is_success) {
                    Some(mapped) => {
                        let lifetime = Duration::from_secs(mapped.lifetime.into());
                        self.granted_port = Some((mapped.external_port, lifetime));
                    }
                    None => self.note_refusal(now, nat_pmp::is_transient(response.result)),
                }
            }
            nat_pmp::Body::Map(mapped) => {
                let port = self.mapping.external.port();
                if is_success && mapped.is_some_and(|mapped| mapped.external_port != port) {
                    self.hurry();
                }
            }
            nat_pmp::Body::Address(address) if self.asked.address => {
                self.asked.address = false;
                self.address = address.filter(|_| is_success);
            }
            nat_pmp::Body::Address(address) => {
                let known = *self.mapping.external.ip();
                if is_success && address.is_some_and(|address| address != known) {
                    self.hurry();
                }
            }
            nat_pmp::Body::Other => {}
        }
        if !self.asked.address {
            self.take_granted_port(now);
        }
        if is_restarted && !was_asked {
            self.hurry();
        }
    }

    /// Takes the port that NAT-PMP has granted, at the address that it has named, if it has.
    fn take_granted_port(&mut self, now: Instant) {
        let Some((port, lifetime)) = self.granted_port.take() else { return };
        let ip = self.address.take().unwrap_or(*self.mapping.external.ip());
        self.take(now, SocketAddrV4::new(ip, port), lifetime);
    }

    /// Takes what a renewal has brought, by the rules for a new mapping.
    fn take(&mut self, now: Instant, external: SocketAddrV4, lifetime: Duration) {
        let renewed = Mapping { external, ..self.mapping };
        if lifetime < MIN_LIFETIME || !renewed.is_useful() {
            self.is_refused = true;
            return;
        }
        self.mapping = renewed;
        self.extend(now, lifetime);
    }

    /// Notes that a renewal was refused: for good, or for now, so that what there is stays until
    /// its end.
    fn note_refusal(&mut self, now: Instant, is_transient: bool) {
        self.asking = None;
        if is_transient {
            self.try_later(now);
        } else {
            self.is_refused = true;
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
            Next::Failed(_) => {
                self.walk = None;
                self.try_later(now);
            }
            Next::Granted(granted) => {
                self.walk = None;
                if granted.external.1 != self.mapping.external.port() {
                    self.owe(common, network, false);
                }
                let external = SocketAddrV4::new(granted.external.0, granted.external.1);
                let lifetime = lifetime_of(&granted);
                self.granted = Some(granted);
                self.take(now, external, lifetime);
            }
        }
    }

    /// Puts the next renewal off after one that failed.
    fn try_later(&mut self, now: Instant) {
        let rest = self.until.saturating_duration_since(now) / 4;
        self.renew_at = now + rest.clamp(RENEW_MIN, RENEW_MAX);
    }

    /// Renews the mapping if that is due. Returns false once it does not exist any more.
    pub(super) fn proceed(&mut self, now: Instant, common: &mut Common, network: Network) -> bool {
        if self.is_refused || self.until <= now {
            return false;
        }
        if self.asking.take_if(|asking| !asking.poll(now, &mut common.outbox)).is_some() {
            self.try_later(now);
            // The address may have stayed without an answer.
            self.take_granted_port(now);
        }
        if self.asking.is_none() && self.walk.is_none() && self.renew_at <= now {
            self.renew(now, common, network);
        }
        true
    }

    fn renew(&mut self, now: Instant, common: &mut Common, network: Network) {
        self.renewed = now;
        let (port, seconds) = (common.config.port, common.seconds());
        let external = self.mapping.external;
        let datagrams = match self.protocol() {
            Protocol::Pcp => vec![common.pcp_request(network, external, seconds)],
            Protocol::NatPmp => {
                vec![nat_pmp::address(), nat_pmp::map(port, external.port(), seconds)]
            }
            Protocol::Upnp => {
                let Some(granted) = &self.granted else { return };
                let walk = self.walk.insert(Walk::renewal(common, network, granted));
                let next = walk.begin(0);
                return self.follow(now, common, network, next);
            }
        };
        let is_nat_pmp = self.protocol() == Protocol::NatPmp;
        self.asked = Asked { mapping: true, address: is_nat_pmp };
        (self.granted_port, self.address) = (None, None);
        let to = router_address(network);
        let datagrams = datagrams.into_iter().map(|bytes| (to, bytes)).collect();
        let message = self.asking.insert(Message::new(now, datagrams));
        message.poll(now, &mut common.outbox);
    }

    /// Returns the time at which [`Self::proceed`] is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let next = match (&self.asking, &self.walk) {
            (Some(asking), _) => Some(asking.next),
            // The exchange has a time of its own.
            (None, Some(_)) => None,
            (None, None) => Some(self.renew_at),
        };
        Some(next.map_or(self.until, |next| next.min(self.until)))
    }

    /// Gives the mapping back: with the message that is returned, or with an exchange. `is_ours` is
    /// true if that is certain, so that the router need not be asked first.
    pub(super) fn give_back(
        &self,
        now: Instant,
        common: &mut Common,
        network: Network,
        is_ours: bool,
    ) -> Option<Message> {
        let bytes = match self.protocol() {
            Protocol::Pcp => common.pcp_request(network, self.mapping.external, 0),
            Protocol::NatPmp => nat_pmp::map(common.config.port, 0, 0),
            Protocol::Upnp => {
                self.owe(common, network, is_ours);
                return None;
            }
        };
        Some(Message::new(now, vec![(router_address(network), bytes)]))
    }

    fn owe(&self, common: &mut Common, network: Network, is_ours: bool) {
        let Some(granted) = &self.granted else { return };
        let (service, client) = (granted.service.clone(), network.local);
        let port = granted.external.1;
        common.owe(Debt { service, port, client, is_ours, tries: 0 });
    }
}

fn lifetime_of(granted: &Granted) -> Duration {
    match granted.lease {
        0 => PERMANENT,
        seconds => Duration::from_secs(seconds.into()),
    }
}
