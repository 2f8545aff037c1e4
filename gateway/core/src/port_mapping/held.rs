//! A mapping that exists, and its renewals.

use std::net::{SocketAddr, SocketAddrV4};
use std::time::{Duration, Instant};

use super::common::{Common, Message, router_address};
use super::upnp::Call;
use super::walk::{Exchange, Granted, Next, Walk};
use super::{MIN_LIFETIME, Mapping, Network, Protocol, RENEW_MAX, RENEW_MIN, nat_pmp, pcp};
use crate::onvif::Reply;

/// Longest lifetime that is believed, the one of RFC 6887 §15.
const MAX_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// Time for which a mapping without an end is believed in after its last renewal.
const PERMANENT: Duration = Duration::from_secs(3 * RENEW_MAX.as_secs());

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

    pub(super) fn handle_pcp(
        &mut self,
        now: Instant,
        common: &Common,
        response: pcp::Response,
        is_restarted: bool,
    ) {
        let lifetime = Duration::from_secs(response.lifetime.into());
        match response.body {
            pcp::Body::Map(Some(mapped))
                if (mapped.nonce, mapped.internal_port) == (common.nonce, common.config.port) =>
            {
                if response.result != pcp::SUCCESS || lifetime < MIN_LIFETIME {
                    self.is_refused |= self.asking.is_some();
                } else if let SocketAddr::V4(external) = mapped.external {
                    self.mapping.external = external;
                    self.extend(now, lifetime);
                }
            }
            pcp::Body::Map(None) if response.result != pcp::SUCCESS => {
                self.is_refused |= self.asking.is_some();
            }
            pcp::Body::Announce | pcp::Body::Map(_) if is_restarted => self.hurry(),
            pcp::Body::Announce | pcp::Body::Map(_) => {}
        }
    }

    pub(super) fn handle_nat_pmp(
        &mut self,
        now: Instant,
        common: &Common,
        response: nat_pmp::Response,
        is_restarted: bool,
    ) {
        let is_success = response.result == nat_pmp::SUCCESS;
        match response.body {
            nat_pmp::Body::Map(Some(mapped)) if mapped.internal_port == common.config.port => {
                let lifetime = Duration::from_secs(mapped.lifetime.into());
                if !is_success || lifetime < MIN_LIFETIME {
                    self.is_refused |= self.asking.is_some();
                } else {
                    let ip = *self.mapping.external.ip();
                    self.mapping.external = SocketAddrV4::new(ip, mapped.external_port);
                    self.extend(now, lifetime);
                }
                return;
            }
            nat_pmp::Body::Map(None) if !is_success => {
                self.is_refused |= self.asking.is_some();
            }
            nat_pmp::Body::Address(Some(address)) if is_success => {
                if address != *self.mapping.external.ip() {
                    self.mapping.external.set_ip(address);
                    self.hurry();
                }
            }
            nat_pmp::Body::Address(_) | nat_pmp::Body::Map(_) | nat_pmp::Body::Other => {}
        }
        if is_restarted && self.asking.is_none() {
            self.hurry();
        }
    }

    pub(super) fn handle_reply(
        &mut self,
        now: Instant,
        common: &mut Common,
        reply: Option<&Reply>,
    ) {
        let Some(walk) = &mut self.walk else { return };
        let next = walk.handle(reply, common.random_port());
        self.follow(now, common, next);
    }

    fn follow(&mut self, now: Instant, common: &mut Common, next: Next) {
        match next {
            Next::Call(exchange) => common.send(now, exchange),
            Next::Failed(_) => {
                self.walk = None;
                self.try_later(now);
            }
            Next::Granted(granted) => {
                self.walk = None;
                self.mapping.external = SocketAddrV4::new(granted.external.0, granted.external.1);
                self.extend(now, lifetime_of(&granted));
                self.granted = Some(granted);
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
                let walk = self.walk.insert(Walk::renewal(network.local, port, granted));
                let next = walk.begin();
                return self.follow(now, common, next);
            }
        };
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

    /// Gives the mapping back: with the message that is returned, or with an exchange.
    pub(super) fn give_back(
        &self,
        now: Instant,
        common: &mut Common,
        network: Network,
    ) -> Option<Message> {
        let bytes = match self.protocol() {
            Protocol::Pcp => common.pcp_request(network, self.mapping.external, 0),
            Protocol::NatPmp => nat_pmp::map(common.config.port, 0, 0),
            Protocol::Upnp => {
                let granted = self.granted.as_ref()?;
                let bytes = granted.service.write(Call::Delete(granted.external.1));
                common.send(now, Exchange { to: granted.service.at(), bytes });
                return None;
            }
        };
        Some(Message::new(now, vec![(router_address(network), bytes)]))
    }
}

fn lifetime_of(granted: &Granted) -> Duration {
    match granted.lease {
        0 => PERMANENT,
        seconds => Duration::from_secs(seconds.into()),
    }
}
