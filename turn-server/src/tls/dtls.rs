//! DTLS over UDP (RFC 8656 §2.1, RFC 6347): datagrams in, datagrams out.
//!
//! Nothing is kept of a client before it has shown that it receives what is sent to its address.

mod engine;
mod hello;
mod records;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use porthole_turn_proto::server::FiveTuple;

pub(crate) use engine::Identity;
use engine::{Association, Ended, Engine};
use hello::{ClientHello, Cookie, Cookies};

/// Associations of one worker, about 10 kB each.
pub(crate) const MAX_ASSOCIATIONS: usize = 8192;
/// Of those, handshakes at a time; the oldest makes room for the next.
pub(crate) const MAX_HANDSHAKES: usize = 512;
/// How long a handshake may take: as over TLS.
pub(crate) const HANDSHAKE_TIME: Duration = crate::tls::stream::HANDSHAKE_TIME;
/// HelloVerifyRequests of one worker in a second: 48 bytes each, 4 Mbit/s.
pub(crate) const VERIFY_RATE: u32 = 10_000;
/// Who was kept by nothing for so long has no allocation: [`Dtls::idle`] is asked far more often.
/// When all places are taken, the one for whom it is longest gives way.
pub(crate) const UNKEPT: Duration = Duration::from_secs(10);
/// How often unfinished handshakes are looked at.
const TICK: Duration = Duration::from_millis(100);

/// What a datagram brought.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// Plaintext; empty when it was about the handshake, or from nobody we know.
    Data(Vec<BytesMut>),
    /// The association of this client is over, or another one took its place.
    Ended,
}

/// The identity of new associations; replaced when the certificate's files change.
#[derive(Debug)]
pub(crate) struct CurrentIdentity(RwLock<Arc<Identity>>);

impl CurrentIdentity {
    pub(crate) fn new(identity: Identity) -> Self {
        Self(RwLock::new(Arc::new(identity)))
    }

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
    /// Oldest first. Those that are through, or over, stay until the next tick.
    handshakes: VecDeque<FiveTuple>,
    transmits: VecDeque<(FiveTuple, BytesMut)>,
    next_tick: Instant,
}

#[derive(Debug)]
struct Client {
    association: Association,
    cookie: Option<Cookie>,
    since: Instant,
    /// When something kept it last; what it says does not.
    kept: Instant,
}

impl Dtls {
    /// Starts without associations. `key` makes the cookies. `None` if the engine does not accept
    /// the identity; [`Identity::new`] has tried it.
    pub(crate) fn new(current: Arc<CurrentIdentity>, key: [u8; 32], now: Instant) -> Option<Self> {
        let identity = current.get();
        Some(Self {
            cookies: Cookies::new(key, now),
            budget: Budget { left: VERIFY_RATE, since: now },
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

    /// `kept`: who has an allocation.
    pub(crate) fn receive(
        &mut self,
        now: Instant,
        from: &FiveTuple,
        bytes: &[u8],
        kept: impl Fn(&FiveTuple) -> bool,
    ) -> Received {
        if let Some(hello) = ClientHello::parse(bytes) {
            if !self.cookies.proves(now, from, &hello) {
                self.ask_to_verify(now, from, &hello);
                return Received::Data(Vec::new());
            }
            let known = self.clients.get(from).map(|client| client.cookie);
            if known != Some(hello.cookie()) {
                return self.accept(now, from, &hello, bytes, kept);
            }
        }
        self.pass_on(now, from, bytes)
    }

    /// Encrypts. `false` when nobody is there to receive it.
    pub(crate) fn send(&mut self, now: Instant, to: &FiveTuple, bytes: &[u8]) -> bool {
        let Some(client) = self.clients.get_mut(to) else { return false };
        let sent = client.association.is_ready() && client.association.send(now, bytes);
        collect(&mut self.transmits, to, client);
        sent
    }

    /// The next datagram to send, and to whom.
    pub(crate) fn poll_transmit(&mut self) -> Option<(FiveTuple, BytesMut)> {
        self.transmits.pop_front()
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        (!self.handshakes.is_empty()).then_some(self.next_tick)
    }

    /// Sends flights again, and gives up handshakes that take too long.
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
            let late = now.saturating_duration_since(client.since) >= HANDSHAKE_TIME;
            if late || client.association.handle_timeout(now) == Err(Ended) {
                self.clients.remove(&tuple);
                continue;
            }
            collect(&mut self.transmits, &tuple, client);
            self.handshakes.push_back(tuple);
        }
    }

    /// Those that nothing has kept for so long.
    pub(crate) fn idle(
        &mut self,
        now: Instant,
        limit: Duration,
        kept: impl Fn(&FiveTuple) -> bool,
    ) -> Vec<FiveTuple> {
        let mut idle = Vec::new();
        for (tuple, client) in &mut self.clients {
            if kept(tuple) {
                client.kept = now;
            }
            let late = now.saturating_duration_since(client.kept) > limit;
            if client.association.is_ready() && late {
                idle.push(*tuple);
            }
        }
        idle
    }

    pub(crate) fn close(&mut self, now: Instant, tuple: &FiveTuple) {
        if let Some(mut client) = self.clients.remove(tuple) {
            client.association.close(now);
            collect(&mut self.transmits, tuple, &mut client);
        }
    }

    fn ask_to_verify(&mut self, now: Instant, from: &FiveTuple, hello: &ClientHello<'_>) {
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
        kept: impl Fn(&FiveTuple) -> bool,
    ) -> Received {
        // The second message of the handshake: the first had no cookie.
        if hello.message_sequence() != 1 {
            return Received::Data(Vec::new());
        }
        // The client began anew from the same port (RFC 6347 §4.2.8).
        let replaced = self.clients.remove(from).is_some();
        self.make_room(now, kept);
        self.renew();
        if self.clients.len() < self.max {
            let association = self.engine.accept(now, hello);
            let client = Client { association, cookie: hello.cookie(), since: now, kept: now };
            self.clients.insert(*from, client);
            self.handshakes.push_back(*from);
            self.pass_on(now, from, bytes);
        }
        if replaced { Received::Ended } else { Received::Data(Vec::new()) }
    }

    /// A certificate that changed is that of new associations from now on.
    fn renew(&mut self) {
        let identity = self.current.get();
        if !Arc::ptr_eq(&identity, &self.identity)
            && let Some(engine) = identity.engine()
        {
            (self.identity, self.engine) = (identity, engine);
        }
    }

    /// Of handshakes that go on the oldest one gives way, and of associations that nothing keeps.
    fn make_room(&mut self, now: Instant, kept: impl Fn(&FiveTuple) -> bool) {
        if self.clients.len() >= self.max
            && let Some((tuple, client)) = self.clients.iter_mut().min_by_key(|(_, c)| c.kept)
            && now.saturating_duration_since(client.kept) >= UNKEPT
        {
            if kept(tuple) {
                // Since [`Self::idle`] looked. Who wants the place asks again in a second.
                client.kept = now;
            } else {
                let tuple = *tuple;
                self.close(now, &tuple);
            }
        }
        let clients = &self.clients;
        let goes_on = |tuple: &FiveTuple| {
            clients.get(tuple).is_some_and(|client| !client.association.is_ready())
        };
        if self.handshakes.len() >= MAX_HANDSHAKES {
            self.handshakes.retain(goes_on);
        }
        if self.handshakes.len() >= MAX_HANDSHAKES
            && let Some(oldest) = self.handshakes.pop_front()
        {
            self.clients.remove(&oldest);
        }
    }

    fn pass_on(&mut self, now: Instant, from: &FiveTuple, bytes: &[u8]) -> Received {
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

/// How many answers the unverified may still get in this second.
#[derive(Debug)]
struct Budget {
    left: u32,
    since: Instant,
}

impl Budget {
    fn spend(&mut self, now: Instant) -> bool {
        if now.saturating_duration_since(self.since) >= Duration::from_secs(1) {
            *self = Self { left: VERIFY_RATE, since: now };
        }
        let left = self.left.checked_sub(1);
        self.left = left.unwrap_or(0);
        left.is_some()
    }
}

#[cfg(test)]
mod tests;
