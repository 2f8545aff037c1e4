//! The parts of a mapper that its stages share: messages and their repetition, the exchange that is
//! under way, the epoch of the router.

use std::collections::VecDeque;
use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use sha2::{Digest as _, Sha256};

use super::debts::Debt;
use super::walk::Exchange;
use super::{MapperOutput, Network, PortMapperConfig, ROUTER_PORT, pcp};
use crate::onvif::probe::Request;

/// Time to the first repetition of a message; it doubles each time (RFC 6886 §3.1).
const FIRST_WAIT: Duration = Duration::from_millis(250);

/// Number of times a message is sent.
const TRIES: u32 = 3;

/// Time for one HTTP exchange with a UPnP device; old routers take a second.
const EXCHANGE_TIME: Duration = Duration::from_secs(3);

/// A message that is repeated until it has an answer.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) datagrams: Vec<(SocketAddrV4, Vec<u8>)>,
    pub(super) next: Instant,
    pub(super) wait: Duration,
    pub(super) tries: u32,
}

impl Message {
    pub(super) fn new(now: Instant, datagrams: Vec<(SocketAddrV4, Vec<u8>)>) -> Self {
        Self { datagrams, next: now, wait: FIRST_WAIT, tries: 0 }
    }

    /// Sends the message if it is due. Returns false once the last try has had its time.
    pub(super) fn poll(&mut self, now: Instant, outbox: &mut VecDeque<MapperOutput>) -> bool {
        if now < self.next {
            return true;
        }
        if self.tries >= TRIES {
            return false;
        }
        let datagrams = self.datagrams.iter();
        outbox.extend(
            datagrams.map(|(to, bytes)| MapperOutput::Datagram { to: *to, bytes: bytes.clone() }),
        );
        self.tries += 1;
        self.next = now + self.wait;
        self.wait *= 2;
        true
    }
}

/// The count of seconds by which a router shows that it has kept its mappings (RFC 6887 §8.5).
#[derive(Debug, Clone, Copy)]
pub(super) struct Epoch {
    pub(super) router: u32,
    pub(super) seen: Instant,
}

impl Epoch {
    /// Returns true if the router has lost its state since: its clock runs unlike ours.
    pub(super) fn is_broken_by(self, now: Instant, router: u32) -> bool {
        if router.saturating_add(1) < self.router {
            return true;
        }
        let ours = now.saturating_duration_since(self.seen).as_secs();
        let theirs = u64::from(router.saturating_sub(self.router));
        ours + 2 < theirs - theirs / 16 || theirs + 2 < ours - ours / 16
    }
}

/// An HTTP exchange that is under way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pending {
    pub(super) id: u32,
    pub(super) until: Instant,
}

/// The parts of a mapper that its stages share.
#[derive(Debug)]
pub(super) struct Common {
    pub(super) config: PortMapperConfig,
    pub(super) rng: StdRng,
    /// The nonce in the network that is set.
    pub(super) nonce: pcp::Nonce,
    pub(super) epoch: Option<Epoch>,
    pub(super) pending: Option<Pending>,
    /// Mappings that are to be removed, and the one that is being removed.
    pub(super) debts: VecDeque<Debt>,
    pub(super) removal: Option<(Debt, Pending)>,
    pub(super) requests: u32,
    pub(super) outbox: VecDeque<MapperOutput>,
}

impl Common {
    pub(super) fn new(config: PortMapperConfig) -> Self {
        Self {
            config,
            rng: StdRng::seed_from_u64(config.seed),
            nonce: pcp::Nonce::default(),
            epoch: None,
            pending: None,
            debts: VecDeque::new(),
            removal: None,
            requests: 0,
            outbox: VecDeque::new(),
        }
    }

    /// Sets the nonce of PCP for a network. It is the same after every start, so that a router
    /// takes a gateway that has crashed for the owner of its mapping (RFC 6887 §11.3), and nobody
    /// knows it who does not know the secret.
    pub(super) fn set_nonce(&mut self, network: Network) {
        let digest = Sha256::new()
            .chain_update(self.config.secret)
            .chain_update(b"pcp nonce")
            .chain_update(network.router.octets())
            .chain_update(network.local.octets())
            .chain_update(self.config.port.to_be_bytes())
            .finalize();
        self.nonce = pcp::array(&digest, 0).unwrap_or_default();
    }

    /// Returns true for a mapping by PCP that is ours.
    pub(super) fn is_ours(&self, mapped: &pcp::Mapped) -> bool {
        (mapped.nonce, mapped.internal_port) == (self.nonce, self.config.port)
    }

    /// Sends an HTTP request, in place of the one under way.
    pub(super) fn send(&mut self, now: Instant, exchange: Exchange) {
        self.cancel();
        self.pending = Some(self.request(now, exchange));
    }

    /// Sends an HTTP request.
    pub(super) fn request(&mut self, now: Instant, exchange: Exchange) -> Pending {
        self.requests = self.requests.wrapping_add(1);
        let id = self.requests;
        let Exchange { to, bytes } = exchange;
        self.outbox.push_back(MapperOutput::Send(Request { id, to, tls_name: None, bytes }));
        Pending { id, until: now + EXCHANGE_TIME }
    }

    pub(super) fn drop_exchange(&mut self, pending: Pending) {
        self.outbox.push_back(MapperOutput::Cancel(pending.id));
    }

    /// Sends a datagram to the router, once.
    pub(super) fn send_datagram(&mut self, network: Network, bytes: Vec<u8>) {
        self.outbox.push_back(MapperOutput::Datagram { to: router_address(network), bytes });
    }

    pub(super) fn cancel(&mut self) {
        if let Some(pending) = self.pending.take() {
            self.drop_exchange(pending);
        }
    }

    /// Returns true if the exchange under way has taken too long, and drops it.
    pub(super) fn is_overdue(&mut self, now: Instant) -> bool {
        let is_overdue = self.pending.is_some_and(|pending| pending.until <= now);
        if is_overdue {
            self.cancel();
        }
        is_overdue
    }

    /// Begins to follow the epoch of the router.
    pub(super) fn begin_epoch(&mut self, now: Instant, router: u32) {
        self.epoch = Some(Epoch { router, seen: now });
    }

    /// Notes the epoch of the router, and returns true if it has lost its mappings.
    pub(super) fn note_epoch(&mut self, now: Instant, router: u32) -> bool {
        let known = self.epoch.replace(Epoch { router, seen: now });
        known.is_some_and(|known| known.is_broken_by(now, router))
    }

    pub(super) fn seconds(&self) -> u32 {
        u32::try_from(self.config.lifetime.as_secs()).unwrap_or(u32::MAX)
    }

    /// Returns the request of PCP for a mapping; with lifetime 0 it gives the mapping back.
    pub(super) fn pcp_request(
        &self,
        network: Network,
        suggested: SocketAddrV4,
        lifetime: u32,
    ) -> Vec<u8> {
        pcp::map(&self.nonce, network.local, self.config.port, suggested.into(), lifetime)
    }

    pub(super) fn random_port(&mut self) -> u16 {
        self.rng.random()
    }
}

/// The reason of a router that names none.
pub(super) const REFUSES: &str = "it refuses";

/// Returns the address of PCP and NAT-PMP on a router.
pub(super) const fn router_address(network: Network) -> SocketAddrV4 {
    SocketAddrV4::new(network.router, ROUTER_PORT)
}
