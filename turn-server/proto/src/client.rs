//! The clients: [`StunClient`] for one Binding request, [`TurnClient`] for one allocation.

mod auth;
mod binding;
mod config;
mod peers;
mod transaction;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::REQUESTED_UDP;
use crate::channel::{CHANNEL_HEADER_LEN, ChannelNumber, Kind, channel_header, read_channel_data};
use crate::stun::{
    Class, ErrorCode, LongTermKey, Message, MessageWriter, Method, TransactionId, attribute,
};
use auth::Auth;
use peers::Peers;
use transaction::{Due, Schedule};

pub use binding::StunClient;
pub use config::{ClientConfig, ClientEvent, FailureReason};

/// Times one request may be repeated with a new nonce, so that a server that calls every nonce
/// stale does not keep the client busy for ever.
const MAX_AUTH_RETRIES: u8 = 3;
/// Time before the end of an allocation at which it is refreshed (RFC 8656 §8).
const REFRESH_EARLY: Duration = Duration::from_secs(60);
/// Least time between two Refresh requests, however short a lifetime the server grants.
const MIN_REFRESH: Duration = Duration::from_secs(5);
/// Messages that may wait for the driver: those of one round plus the queued datagrams.
const MAX_OUTBOX: usize = 512;
/// Events that may wait for the driver; more than the peers of one allocation.
const MAX_EVENTS: usize = 256;

/// The client of one allocation over one transport.
///
/// After every call that changes it, drain [`Self::poll_transmit`] and [`Self::poll_event`], then
/// wait for input or until [`Self::poll_timeout`].
#[derive(Debug)]
pub struct TurnClient {
    config: ClientConfig,
    rng: StdRng,
    auth: Option<Auth>,
    state: State,
    peers: Peers,
    transactions: Vec<Transaction>,
    outbox: VecDeque<Vec<u8>>,
    events: VecDeque<ClientEvent>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Allocating,
    Allocated {
        relayed: SocketAddr,
        refresh_at: Instant,
        expires_at: Instant,
    },
    /// The Refresh with lifetime 0 is unanswered.
    Closing,
    Finished,
}

/// The purpose of a request, sufficient to write it again with a new nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Allocate,
    Refresh,
    Release,
    CreatePermission(IpAddr),
    BindChannel(SocketAddr, ChannelNumber),
}

impl Purpose {
    const fn method(self) -> Method {
        match self {
            Self::Allocate => Method::Allocate,
            Self::Refresh | Self::Release => Method::Refresh,
            Self::CreatePermission(_) => Method::CreatePermission,
            Self::BindChannel(..) => Method::ChannelBind,
        }
    }
}

#[derive(Debug)]
struct Transaction {
    id: TransactionId,
    purpose: Purpose,
    bytes: Vec<u8>,
    schedule: Schedule,
    /// The key that the request was signed with; `None` before the first challenge.
    key: Option<LongTermKey>,
    retries: u8,
}

impl TurnClient {
    /// Creates a client that requests its allocation at once.
    pub fn new(config: ClientConfig, now: Instant) -> Self {
        let mut client = Self {
            rng: StdRng::from_seed(config.seed),
            config,
            auth: None,
            state: State::Allocating,
            peers: Peers::default(),
            transactions: Vec::new(),
            outbox: VecDeque::new(),
            events: VecDeque::new(),
        };
        client.start(Purpose::Allocate, 0, now);
        client
    }

    /// Handles one STUN message or ChannelData from the server: a UDP datagram, or a frame of a
    /// [`StreamDecoder`](crate::StreamDecoder). Returns the peer and the range of its payload in
    /// `bytes` if they carry data of a peer.
    ///
    /// The caller must have checked that the bytes come from the server's address.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        bytes: &[u8],
    ) -> Option<(SocketAddr, Range<usize>)> {
        match Kind::of(bytes) {
            Kind::ChannelData => self.unwrap_channel_data(bytes),
            Kind::Stun => {
                let message = Message::parse(bytes).ok()?;
                match message.class() {
                    Class::Indication => self.unwrap_data(&message),
                    Class::Success | Class::Error => {
                        self.handle_response(now, &message);
                        None
                    }
                    Class::Request => None,
                }
            }
            Kind::Other => None,
        }
    }

    /// Retransmits, refreshes, renews and expires whatever is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.run_transactions(now);
        if let State::Allocated { relayed, refresh_at, expires_at } = self.state {
            if now >= expires_at {
                return self.end(Some(ClientEvent::Expired));
            }
            if now >= refresh_at {
                self.state = State::Allocated { relayed, refresh_at: expires_at, expires_at };
                self.start(Purpose::Refresh, 0, now);
            }
            self.request_peers(now);
        }
    }

    /// Returns the time at which to call [`Self::handle_timeout`], or `None` if nothing is due
    /// until the next input.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let requests = self.transactions.iter().map(|t| t.schedule.next()).min();
        let upkeep = match self.state {
            State::Allocated { refresh_at, .. } => {
                Some(self.peers.next_renewal().map_or(refresh_at, |t| t.min(refresh_at)))
            }
            State::Allocating | State::Closing | State::Finished => None,
        };
        requests.into_iter().chain(upkeep).min()
    }

    /// Returns the next message to send to the server. On TCP it is a whole frame.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.outbox.pop_front()
    }

    /// Returns the next event for the owner of the client.
    pub fn poll_event(&mut self) -> Option<ClientEvent> {
        self.events.pop_front()
    }

    /// Creates a permission for this peer's address, now or as soon as there is an allocation, and
    /// keeps it installed. Does nothing for a peer that has one.
    ///
    /// A refusal arrives as [`ClientEvent::PermissionRefused`].
    pub fn create_permission(&mut self, now: Instant, peer: IpAddr) {
        if self.is_closed() {
            return;
        }
        if !self.peers.add_permission(peer) {
            self.push_event(ClientEvent::PermissionRefused { peer, code: None });
        }
        self.request_peers(now);
    }

    /// Creates a permission for the peer and binds a channel to it: 4 bytes of overhead for each
    /// packet instead of 36 or 48. If the server refuses the channel, Send indications go on
    /// carrying the data.
    pub fn bind_channel(&mut self, now: Instant, peer: SocketAddr) {
        if self.is_closed() {
            return;
        }
        if self.peers.permission(peer.ip()).is_none() {
            self.create_permission(now, peer.ip());
        }
        self.peers.add_channel(peer);
        self.request_peers(now);
    }

    /// Appends to `out` the message that carries `payload` to `peer` through the server. Returns
    /// false if nothing was appended.
    ///
    /// Nothing is appended before the permission is granted. While it is requested, the datagram
    /// is queued (at most 16 of all peers) and sent once it is granted; otherwise it is dropped.
    pub fn wrap(&mut self, peer: SocketAddr, payload: &[u8], out: &mut Vec<u8>) -> bool {
        if self.is_closed() {
            return false;
        }
        if let Some(channel) = self.peers.channel(peer).filter(|c| c.progress.is_granted()) {
            return self.wrap_channel_data(channel.number, payload, out);
        }
        if self.peers.permission(peer.ip()).is_some_and(|p| p.is_granted()) {
            return self.wrap_send(peer, payload, out);
        }
        self.peers.queue(peer, payload);
        false
    }

    /// Ends the allocation. The request that does so comes from [`Self::poll_transmit`].
    pub fn close(&mut self, now: Instant) {
        match self.state {
            State::Allocated { .. } => {
                self.transactions.clear();
                self.state = State::Closing;
                self.start(Purpose::Release, 0, now);
            }
            State::Allocating => self.end(None),
            State::Closing | State::Finished => {}
        }
    }

    /// Returns the relayed address, while the allocation exists.
    pub fn relayed(&self) -> Option<SocketAddr> {
        match self.state {
            State::Allocated { relayed, .. } => Some(relayed),
            State::Allocating | State::Closing | State::Finished => None,
        }
    }

    /// Returns the channel bound to `peer`, once the server has confirmed it.
    pub fn channel(&self, peer: SocketAddr) -> Option<ChannelNumber> {
        let channel = self.peers.channel(peer)?;
        channel.progress.is_granted().then_some(channel.number)
    }

    /// Returns true if the allocation has ended or failed and nothing is left to send.
    pub fn is_finished(&self) -> bool {
        self.state == State::Finished && self.outbox.is_empty()
    }

    fn is_closed(&self) -> bool {
        matches!(self.state, State::Closing | State::Finished)
    }
}

/// Requests to the server.
impl TurnClient {
    fn start(&mut self, purpose: Purpose, retries: u8, now: Instant) {
        let id = TransactionId(self.rng.random());
        let Some(bytes) = self.request(purpose, id) else {
            // Only with a username of 64 kB.
            return self.failed(purpose, None, FailureReason::Refused);
        };
        self.send(bytes.clone());
        let schedule = Schedule::new(self.config.transport, now);
        let key = self.auth.as_ref().map(|auth| auth.key.clone());
        self.transactions.push(Transaction { id, purpose, bytes, schedule, key, retries });
    }

    fn request(&self, purpose: Purpose, id: TransactionId) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(160);
        let mut writer = MessageWriter::new(&mut out, Class::Request, purpose.method(), id);
        if let Some(software) = &self.config.software {
            writer.attribute(attribute::SOFTWARE, software.as_bytes());
        }
        match purpose {
            Purpose::Allocate => {
                writer.u32(attribute::REQUESTED_TRANSPORT, REQUESTED_UDP);
                if let Some(family) = self.config.requested_family {
                    writer.u32(attribute::REQUESTED_ADDRESS_FAMILY, family.to_attribute());
                }
            }
            Purpose::Refresh => {}
            Purpose::Release => {
                writer.u32(attribute::LIFETIME, 0);
            }
            Purpose::CreatePermission(peer) => {
                // The port is ignored in a permission (RFC 8656 §9.1).
                writer.xor_address(attribute::XOR_PEER_ADDRESS, SocketAddr::new(peer, 0));
            }
            Purpose::BindChannel(peer, number) => {
                writer.u32(attribute::CHANNEL_NUMBER, u32::from(number.value()) << 16);
                writer.xor_address(attribute::XOR_PEER_ADDRESS, peer);
            }
        }
        if let Some(auth) = &self.auth {
            auth.sign(&mut writer, &self.config.username);
        }
        writer.finish().ok().map(|()| out)
    }

    fn run_transactions(&mut self, now: Instant) {
        let mut given_up = Vec::new();
        let mut resend = Vec::new();
        self.transactions.retain_mut(|t| match t.schedule.due(now) {
            Due::Nothing => true,
            Due::Resend => {
                resend.push(t.bytes.clone());
                true
            }
            Due::GiveUp => {
                given_up.push(t.purpose);
                false
            }
        });
        resend.into_iter().for_each(|bytes| self.send(bytes));
        for purpose in given_up {
            self.failed(purpose, None, FailureReason::Timeout);
        }
    }

    fn request_peers(&mut self, now: Instant) {
        if self.relayed().is_none() {
            return;
        }
        for (peer, number) in self.peers.due_channels(now) {
            self.start(Purpose::BindChannel(peer, number), 0, now);
        }
        for peer in self.peers.due_permissions(now) {
            self.start(Purpose::CreatePermission(peer), 0, now);
        }
    }

    fn send(&mut self, bytes: Vec<u8>) {
        if self.outbox.len() < MAX_OUTBOX {
            self.outbox.push_back(bytes);
        }
    }

    fn push_event(&mut self, event: ClientEvent) {
        if self.events.len() < MAX_EVENTS {
            self.events.push_back(event);
        }
    }
}

/// Responses of the server.
impl TurnClient {
    fn handle_response(&mut self, now: Instant, message: &Message<'_>) {
        let found = self
            .transactions
            .iter()
            .position(|t| t.id == message.id() && t.purpose.method() == message.method());
        let Some(index) = found else { return };
        let code = (message.class() == Class::Error).then(|| message.error_code());
        if !self.transactions.get(index).is_some_and(|t| is_authentic(t, message, code.flatten())) {
            return;
        }
        let transaction = self.transactions.swap_remove(index);
        match code {
            None => self.handle_success(transaction.purpose, message, now),
            Some(Some(code)) => self.handle_error(&transaction, code, message, now),
            Some(None) => self.failed(transaction.purpose, None, FailureReason::BadResponse),
        }
    }

    fn handle_success(&mut self, purpose: Purpose, message: &Message<'_>, now: Instant) {
        match purpose {
            Purpose::Allocate => self.handle_allocated(message, now),
            Purpose::Refresh => self.handle_refreshed(message, now),
            Purpose::Release => self.end(None),
            Purpose::CreatePermission(peer) => {
                self.peers.permission_granted(peer, now);
                self.flush(peer);
            }
            Purpose::BindChannel(peer, _) => {
                self.peers.channel_bound(peer, now);
                self.flush(peer.ip());
            }
        }
    }

    fn handle_allocated(&mut self, message: &Message<'_>, now: Instant) {
        let relayed = message.xor_address(attribute::XOR_RELAYED_ADDRESS).ok().flatten();
        let mapped = binding::mapped_address(message);
        let lifetime = message.u32(attribute::LIFETIME).ok().flatten();
        let (Some(relayed), Some(mapped), Some(lifetime)) = (relayed, mapped, lifetime) else {
            return self.failed(Purpose::Allocate, None, FailureReason::BadResponse);
        };
        self.set_lifetime(relayed, lifetime, now);
        self.push_event(ClientEvent::Allocated { relayed, mapped });
        self.request_peers(now);
    }

    fn handle_refreshed(&mut self, message: &Message<'_>, now: Instant) {
        let lifetime = message.u32(attribute::LIFETIME).ok().flatten();
        if let (State::Allocated { relayed, .. }, Some(lifetime)) = (self.state, lifetime) {
            self.set_lifetime(relayed, lifetime, now);
        }
    }

    fn set_lifetime(&mut self, relayed: SocketAddr, lifetime_s: u32, now: Instant) {
        let lifetime = Duration::from_secs(u64::from(lifetime_s)).max(MIN_REFRESH * 2);
        let refresh = lifetime.saturating_sub(REFRESH_EARLY).max(lifetime / 2).max(MIN_REFRESH);
        self.state =
            State::Allocated { relayed, refresh_at: now + refresh, expires_at: now + lifetime };
    }

    fn handle_error(
        &mut self,
        t: &Transaction,
        code: ErrorCode,
        message: &Message<'_>,
        now: Instant,
    ) {
        let challenged = code == ErrorCode::UNAUTHENTICATED && t.key.is_none();
        let stale = code == ErrorCode::STALE_NONCE;
        if (challenged || stale) && t.retries < MAX_AUTH_RETRIES && self.store_challenge(message) {
            return self.start(t.purpose, t.retries + 1, now);
        }
        let alternate = message.address(attribute::ALTERNATE_SERVER).ok().flatten();
        let reason = FailureReason::of(code, alternate);
        self.failed(t.purpose, Some(code.value()), reason);
    }

    /// Remembers the answer to a challenge. Returns false if there is none.
    fn store_challenge(&mut self, message: &Message<'_>) -> bool {
        let answer = Auth::answer(message, &self.config.username, &self.config.password);
        let has_answer = answer.is_some();
        self.auth = answer.or(self.auth.take());
        has_answer
    }

    fn failed(&mut self, purpose: Purpose, code: Option<u16>, reason: FailureReason) {
        let gone = code == Some(ErrorCode::ALLOCATION_MISMATCH.value());
        match purpose {
            Purpose::Allocate => self.end(Some(ClientEvent::Failed { code, reason })),
            Purpose::Release => self.end(None),
            Purpose::Refresh => self.end(Some(ClientEvent::Expired)),
            Purpose::CreatePermission(_) | Purpose::BindChannel(..) if gone => {
                self.end(Some(ClientEvent::Expired))
            }
            Purpose::CreatePermission(peer) => {
                self.peers.permission_refused(peer);
                self.push_event(ClientEvent::PermissionRefused { peer, code });
            }
            Purpose::BindChannel(peer, _) => self.peers.channel_refused(peer),
        }
    }

    /// Sends the datagrams that waited for the permission of this peer.
    fn flush(&mut self, peer: IpAddr) {
        for (to, payload) in self.peers.take_queued(peer) {
            let mut out = Vec::with_capacity(payload.len() + 64);
            if self.wrap(to, &payload, &mut out) {
                self.send(out);
            }
        }
    }

    fn end(&mut self, event: Option<ClientEvent>) {
        if self.state == State::Finished {
            return;
        }
        self.state = State::Finished;
        self.transactions.clear();
        self.peers = Peers::default();
        event.into_iter().for_each(|event| self.push_event(event));
    }
}

/// Data to and from peers.
impl TurnClient {
    fn unwrap_channel_data(&self, bytes: &[u8]) -> Option<(SocketAddr, Range<usize>)> {
        let (number, payload) = read_channel_data(bytes)?;
        let peer = self.peers.peer_of(number)?;
        Some((peer, CHANNEL_HEADER_LEN..CHANNEL_HEADER_LEN + payload.len()))
    }

    fn unwrap_data(&self, message: &Message<'_>) -> Option<(SocketAddr, Range<usize>)> {
        if message.method() != Method::Data {
            return None;
        }
        let peer = message.xor_address(attribute::XOR_PEER_ADDRESS).ok()??;
        let data = message.first(attribute::DATA)?;
        // An indication has no integrity: at least it must name a peer that we asked for.
        self.peers.permission(peer.ip())?;
        Some((peer, data.offset..data.offset + data.value.len()))
    }

    fn wrap_channel_data(&self, number: ChannelNumber, payload: &[u8], out: &mut Vec<u8>) -> bool {
        let Some(header) = channel_header(number, payload.len()) else { return false };
        out.extend_from_slice(&header);
        out.extend_from_slice(payload);
        if self.config.transport.is_stream() {
            let padding = payload.len().next_multiple_of(4) - payload.len();
            out.resize(out.len() + padding, 0);
        }
        true
    }

    fn wrap_send(&mut self, peer: SocketAddr, payload: &[u8], out: &mut Vec<u8>) -> bool {
        let id = TransactionId(self.rng.random());
        MessageWriter::new(out, Class::Indication, Method::Send, id)
            .xor_address(attribute::XOR_PEER_ADDRESS, peer)
            .attribute(attribute::DATA, payload)
            .finish()
            .is_ok()
    }
}

/// Returns true if the response may be trusted. The response to a signed request must be signed
/// with the same key, except for errors that a server cannot sign because it did not get as far
/// as the key.
fn is_authentic(t: &Transaction, message: &Message<'_>, code: Option<ErrorCode>) -> bool {
    let Some(key) = &t.key else { return true };
    let unsigned = [
        ErrorCode::BAD_REQUEST,
        ErrorCode::UNAUTHENTICATED,
        ErrorCode::STALE_NONCE,
        ErrorCode::SERVER_ERROR,
    ];
    if !message.has_integrity() {
        return code.is_some_and(|code| unsigned.contains(&code));
    }
    message.has_valid_integrity(key)
}

#[cfg(test)]
mod tests;
