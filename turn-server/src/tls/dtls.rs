//! DTLS over UDP (RFC 8656 §2.1, RFC 6347): datagrams in, datagrams out.
//!
//! No state is kept for a client before it has shown that it receives what is sent to its address.

mod engine;
mod hello;
mod records;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use porthole_turn_proto::server::FiveTuple;

use engine::{Association, Ended, Engine};
use hello::{ClientHello, Cookie, Cookies};

pub(crate) use engine::Identity;

/// Most associations of one worker, about 10 kB each.
pub(crate) const MAX_ASSOCIATIONS: usize = 8192;
/// Most handshakes among them; beyond it the oldest is dropped for the next.
pub(crate) const MAX_HANDSHAKES: usize = 512;
/// Time that a handshake may take, as over TLS.
pub(crate) const HANDSHAKE_TIME: Duration = crate::tls::stream::HANDSHAKE_TIME;
/// Most HelloVerifyRequests of one worker in a second: 48 bytes each, 4 Mbit/s.
pub(crate) const VERIFY_RATE: u32 = 10_000;
/// Time after which an association without an allocation may be evicted, the longest unused first,
/// when there are [`MAX_ASSOCIATIONS`]. An association with an allocation never gets so old:
/// [`Dtls::idle`] is called far more often.
pub(crate) const EVICTABLE_AFTER: Duration = Duration::from_secs(10);
/// Interval at which unfinished handshakes are checked.
const TICK: Duration = Duration::from_millis(100);

/// The result of a received datagram.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// Plaintext; empty if it was part of a handshake, or from an unknown client.
    Data(Vec<BytesMut>),
    /// The association of this client has ended, or was replaced by a new one.
    Ended,
}

/// The identity of new associations; replaced when the certificate's files change.
#[derive(Debug)]
pub(crate) struct CurrentIdentity(RwLock<Arc<Identity>>);

impl CurrentIdentity {
    pub(crate) fn new(identity: Identity) -> Self {
        Self(RwLock::new(Arc::new(identity)))
    }

    /// Replaces it for associations that begin from now on.
    pub(crate) fn replace(&self, identity: Identity) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(identity);
    }

    fn get(&self) -> Arc<Identity> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The associations of one worker.
#[derive(Debug)]
pub(crate) struct Dtls {
    cookies: Cookies,
    budget: Budget,
    current: Arc<CurrentIdentity>,
    /// The identity that `engine` was made from.
    identity: Arc<Identity>,
    engine: Engine,
    max: usize,
    clients: HashMap<FiveTuple, Client>,
    /// Handshakes, oldest first. Finished and failed ones stay until the next tick.
    handshakes: VecDeque<FiveTuple>,
    transmits: VecDeque<(FiveTuple, BytesMut)>,
    next_tick: Instant,
}

#[derive(Debug)]
struct Client {
    association: Association,
    cookie: Option<Cookie>,
    began_at: Instant,
    /// Last time an allocation justified keeping this association. Client traffic alone does not:
    /// it is free to send.
    last_needed: Instant,
}

impl Dtls {
    /// Starts without associations. `key` makes the cookies. `None` if the engine does not accept
    /// the identity; [`Identity::new`] has tried it.
    pub(crate) fn new(current: Arc<CurrentIdentity>, key: [u8; 32], now: Instant) -> Option<Self> {
        let identity = current.get();
        Some(Self {
            cookies: Cookies::new(key, now),
            budget: Budget { left: VERIFY_RATE, second_began: now },
            engine: identity.engine()?,
            current,
            identity,
            max: MAX_ASSOCIATIONS,
            clients: HashMap::new(),
            handshakes: VecDeque::new(),
            transmits: VecDeque::new(),
            next_tick: now,
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.clients.len()
    }

    /// Handles a datagram from a client. `has_allocation` says which clients have one.
    pub(crate) fn receive(
        &mut self,
        now: Instant,
        from: &FiveTuple,
        bytes: &[u8],
        has_allocation: impl Fn(&FiveTuple) -> bool,
    ) -> Received {
        if let Some(hello) = ClientHello::parse(bytes) {
            if !self.cookies.is_valid(now, from, &hello) {
                self.send_verify_request(now, from, &hello);
                return Received::Data(Vec::new());
            }
            let known = self.clients.get(from).map(|client| client.cookie);
            if known != Some(hello.cookie()) {
                return self.accept(now, from, &hello, bytes, has_allocation);
            }
        }
        self.decrypt(now, from, bytes)
    }

    /// Encrypts a message. Returns false if the client has no association.
    pub(crate) fn send(&mut self, now: Instant, to: &FiveTuple, bytes: &[u8]) -> bool {
        let Some(client) = self.clients.get_mut(to) else { return false };
        let sent = client.association.is_ready() && client.association.send(now, bytes);
        collect(&mut self.transmits, to, client);
        sent
    }

    /// Returns the next datagram to send and its destination.
    pub(crate) fn poll_transmit(&mut self) -> Option<(FiveTuple, BytesMut)> {
        self.transmits.pop_front()
    }

    /// Returns the time of the next [`Self::handle_timeout`], if a handshake is going on.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        (!self.handshakes.is_empty()).then_some(self.next_tick)
    }

    /// Retransmits flights, and drops handshakes that take too long.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if now < self.next_tick {
            return;
        }
        self.next_tick = now + TICK;
        for _ in 0..self.handshakes.len() {
            let Some(tuple) = self.handshakes.pop_front() else { return };
            let Some(client) = self.clients.get_mut(&tuple) else { continue };
            if client.association.is_ready() {
                continue;
            }
            let late = now.saturating_duration_since(client.began_at) >= HANDSHAKE_TIME;
            if late || client.association.handle_timeout(now) == Err(Ended) {
                self.clients.remove(&tuple);
                continue;
            }
            collect(&mut self.transmits, &tuple, client);
            self.handshakes.push_back(tuple);
        }
    }

    /// Returns the clients that have had no allocation for longer than `limit`.
    pub(crate) fn idle(
        &mut self,
        now: Instant,
        limit: Duration,
        has_allocation: impl Fn(&FiveTuple) -> bool,
    ) -> Vec<FiveTuple> {
        let mut idle = Vec::new();
        for (tuple, client) in &mut self.clients {
            if has_allocation(tuple) {
                client.last_needed = now;
            }
            let late = now.saturating_duration_since(client.last_needed) > limit;
            if client.association.is_ready() && late {
                idle.push(*tuple);
            }
        }
        idle
    }

    /// Ends an association with an alert.
    pub(crate) fn close(&mut self, now: Instant, tuple: &FiveTuple) {
        if let Some(mut client) = self.clients.remove(tuple) {
            client.association.close(now);
            collect(&mut self.transmits, tuple, &mut client);
        }
    }

    fn send_verify_request(&mut self, now: Instant, from: &FiveTuple, hello: &ClientHello<'_>) {
        if self.budget.spend(now) {
            let request = self.cookies.verify_request(now, from, hello);
            self.transmits.push_back((*from, BytesMut::from(&request[..])));
        }
    }

    fn accept(
        &mut self,
        now: Instant,
        from: &FiveTuple,
        hello: &ClientHello<'_>,
        bytes: &[u8],
        has_allocation: impl Fn(&FiveTuple) -> bool,
    ) -> Received {
        // The second message of the handshake: the first had no cookie.
        if hello.message_sequence() != 1 {
            return Received::Data(Vec::new());
        }
        // The client may have restarted on the same port (RFC 6347 §4.2.8).
        let replaced = self.clients.remove(from).is_some();
        self.make_room(now, has_allocation);
        self.refresh_identity();
        if self.clients.len() < self.max {
            let association = self.engine.accept(now, hello);
            let client =
                Client { association, cookie: hello.cookie(), began_at: now, last_needed: now };
            self.clients.insert(*from, client);
            self.handshakes.push_back(*from);
            self.decrypt(now, from, bytes);
        }
        if replaced { Received::Ended } else { Received::Data(Vec::new()) }
    }

    /// Uses a changed certificate for new associations.
    fn refresh_identity(&mut self) {
        let identity = self.current.get();
        if !Arc::ptr_eq(&identity, &self.identity)
            && let Some(engine) = identity.engine()
        {
            (self.identity, self.engine) = (identity, engine);
        }
    }

    /// Evicts one association if all places are taken, and the oldest of too many handshakes.
    fn make_room(&mut self, now: Instant, has_allocation: impl Fn(&FiveTuple) -> bool) {
        if self.clients.len() >= self.max
            && let Some((tuple, client)) =
                self.clients.iter_mut().min_by_key(|(_, c)| c.last_needed)
            && now.saturating_duration_since(client.last_needed) >= EVICTABLE_AFTER
        {
            if has_allocation(tuple) {
                // Allocated since [`Self::idle`] was called. The newcomer retries in a second.
                client.last_needed = now;
            } else {
                let tuple = *tuple;
                self.close(now, &tuple);
            }
        }
        let clients = &self.clients;
        let is_handshaking = |tuple: &FiveTuple| {
            clients.get(tuple).is_some_and(|client| !client.association.is_ready())
        };
        if self.handshakes.len() >= MAX_HANDSHAKES {
            self.handshakes.retain(is_handshaking);
        }
        if self.handshakes.len() >= MAX_HANDSHAKES
            && let Some(oldest) = self.handshakes.pop_front()
        {
            self.clients.remove(&oldest);
        }
    }

    /// Gives a datagram to the association it belongs to.
    fn decrypt(&mut self, now: Instant, from: &FiveTuple, bytes: &[u8]) -> Received {
        let Some(client) = self.clients.get_mut(from) else { return Received::Data(Vec::new()) };
        let received = client.association.receive(now, bytes);
        collect(&mut self.transmits, from, client);
        match received {
            Ok(data) => Received::Data(data),
            Err(Ended) => {
                self.clients.remove(from);
                Received::Ended
            }
        }
    }
}

fn collect(transmits: &mut VecDeque<(FiveTuple, BytesMut)>, to: &FiveTuple, client: &mut Client) {
    while let Some(datagram) = client.association.poll_transmit() {
        transmits.push_back((*to, datagram));
    }
}

/// The number of HelloVerifyRequests that may still be sent in this second.
#[derive(Debug)]
struct Budget {
    left: u32,
    second_began: Instant,
}

impl Budget {
    fn spend(&mut self, now: Instant) -> bool {
        if now.saturating_duration_since(self.second_began) >= Duration::from_secs(1) {
            *self = Self { left: VERIFY_RATE, second_began: now };
        }
        let left = self.left.checked_sub(1);
        self.left = left.unwrap_or(0);
        left.is_some()
    }
}

#[cfg(test)]
mod tests;
