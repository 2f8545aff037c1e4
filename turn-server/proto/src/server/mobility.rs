//! Mobility (RFC 8016): a client that comes from another address shows a ticket and keeps its
//! allocation.
//!
//! A move is one step: the nonce has proved the new address before, so there is no resume that
//! could be pending, and nothing is kept for those who only try. The quota stays with the
//! allocation.

use porthole_clock::Now;
use std::time::Instant;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use rand::Rng;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use super::allocation::Allocation;
use super::requests::Asked;
use super::{AllocationId, FiveTuple, Output, RelayProtocol, Server, ToPeer};
use crate::Transport;
use crate::stun::{ErrorCode, Message, Method, attribute};

/// Keeps this use of the key apart from any other.
const DOMAIN: &[u8] = b"porthole turn mobility 1";
/// Worker, slot, generation, and three bytes of chance.
const NAME_LEN: usize = 1 + 4 + 4 + 3;
/// 96 bits: who guesses proves a password before each guess.
const TAG_LEN: usize = 12;
/// As base64: coturn's client keeps a ticket as a text of at most 32 characters.
const TICKET_LEN: usize = (NAME_LEN + TAG_LEN) / 3 * 4;

/// Names an allocation to those who hold the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket([u8; TICKET_LEN]);

impl Ticket {
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Makes and reads tickets. Workers with the same key read each other's.
pub(super) struct Tickets {
    key: [u8; 32],
    worker: u8,
}

impl std::fmt::Debug for Tickets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tickets(…)")
    }
}

impl Tickets {
    pub(super) fn new(key: [u8; 32], worker: u8) -> Self {
        Self { key, worker }
    }

    fn make(&self, id: AllocationId, rng: &mut impl Rng) -> Ticket {
        let mut name: [u8; NAME_LEN] = rng.random();
        name[0] = self.worker;
        name[1..9].copy_from_slice(&id.to_bits().to_be_bytes());
        let mut plain = [0; NAME_LEN + TAG_LEN];
        plain[..NAME_LEN].copy_from_slice(&name);
        plain[NAME_LEN..].copy_from_slice(&self.tag(name));
        let mut ticket = [0; TICKET_LEN];
        URL_SAFE_NO_PAD
            .encode_slice(plain, &mut ticket)
            .expect("the length is that of the encoding");
        Ticket(ticket)
    }

    /// The worker and the allocation that a ticket of ours names.
    fn read(&self, ticket: &[u8]) -> Option<(u8, AllocationId)> {
        let mut plain = [0; NAME_LEN + TAG_LEN];
        if URL_SAFE_NO_PAD.decode_slice(ticket, &mut plain) != Ok(plain.len()) {
            return None;
        }
        let (name, tag) = plain.split_first_chunk::<NAME_LEN>()?;
        if !bool::from(self.tag(*name).ct_eq(tag)) {
            return None;
        }
        let [worker, id @ ..] = name.first_chunk::<9>()?;
        Some((*worker, AllocationId::from_bits(u64::from_be_bytes(*id))))
    }

    fn tag(&self, name: [u8; NAME_LEN]) -> [u8; TAG_LEN] {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes a key of any length");
        mac.update(DOMAIN);
        mac.update(&name);
        let full: [u8; 32] = mac.finalize().into_bytes().into();
        let mut tag = [0; TAG_LEN];
        tag.copy_from_slice(&full[..TAG_LEN]);
        tag
    }
}

impl Server {
    /// Whether an Allocate request is to get a ticket (RFC 8016 §3.1). TCP relaying has none: its
    /// connections would stay behind.
    pub(super) fn wants_ticket(
        &self,
        asked: &Asked<'_>,
        protocol: RelayProtocol,
    ) -> Result<bool, ErrorCode> {
        let wanted = asked.message.first(attribute::MOBILITY_TICKET).is_some();
        if wanted && !self.mobility {
            return Err(ErrorCode::MOBILITY_FORBIDDEN);
        }
        Ok(wanted && protocol == RelayProtocol::Udp)
    }

    /// A fresh one, if the allocation has tickets at all.
    pub(super) fn ticket_for(&mut self, id: AllocationId) -> Option<Ticket> {
        let mobile = self.table.get(id).is_some_and(|allocation| allocation.mobile);
        mobile.then(|| self.tickets.make(id, &mut self.rng))
    }

    /// The allocation of a ticket, if it is in this worker.
    pub(super) fn allocation_of_ticket(&self, message: &Message<'_>) -> Option<&Allocation> {
        let ticket = message.first(attribute::MOBILITY_TICKET)?;
        let (worker, id) = self.tickets.read(ticket.value)?;
        self.table.get(id).filter(|_| worker == self.worker)
    }

    /// The first half of a Refresh with a ticket (RFC 8016 §3.2): makes the allocation the
    /// asker's.
    pub(super) fn resume(&mut self, asked: &Asked<'_>, ticket: &[u8]) -> Result<(), ErrorCode> {
        if !self.mobility {
            return Err(ErrorCode::MOBILITY_FORBIDDEN);
        }
        let (worker, id) = self.tickets.read(ticket).ok_or(ErrorCode::BAD_REQUEST)?;
        // Not passed on, see `pass_resuming`.
        if worker != self.worker {
            return Err(ErrorCode::ALLOCATION_MISMATCH);
        }
        let allocation = self.table.get(id).filter(|a| a.answered && a.mobile);
        let allocation = allocation.ok_or(ErrorCode::BAD_REQUEST)?;
        if allocation.owner.username != asked.who.username {
            return Err(ErrorCode::WRONG_CREDENTIALS);
        }
        match self.table.id_of(asked.client) {
            // The answer to the first one was lost.
            Some(own) if own == id => Ok(()),
            Some(_) => Err(ErrorCode::ALLOCATION_MISMATCH),
            None => {
                self.move_to(asked.now, id, asked.client);
                Ok(())
            }
        }
    }

    /// The client is gone; a ticket brings it back. Whoever comes from its address meanwhile, after
    /// a NAT for instance, is somebody else.
    pub(super) fn detach(&mut self, now: Now, id: AllocationId) {
        let Some(allocation) = self.table.take(id) else { return };
        self.forget_moved(&allocation);
        self.withdraw_channels(id, &allocation, None, now.instant);
        self.table.put(id, allocation);
        self.table.detach(id);
    }

    fn move_to(&mut self, now: Now, id: AllocationId, client: &FiveTuple) {
        let Some(mut allocation) = self.table.take(id) else { return };
        self.forget_moved(&allocation);
        allocation.via = self.via;
        self.withdraw_channels(id, &allocation, None, now.instant);
        let peers: Vec<_> = allocation.channels.iter(now.instant).map(|(_, p, _)| p.ip()).collect();
        self.table.put(id, allocation);
        self.table.move_to(id, client);
        self.install_channels(id, &peers, now.instant);
    }
}

/// More than one worker: over UDP the kernel brings a client that has moved to any of them.
impl Server {
    /// A datagram that another worker got, whose [`Output::PassClient`] named this one.
    pub fn handle_passed(
        &mut self,
        now: Now,
        worker: u8,
        client: &FiveTuple,
        bytes: &[u8],
    ) -> Option<ToPeer> {
        self.via = Some(worker);
        let to_peer = self.handle_client(now, client, bytes);
        self.via = None;
        if !self.has_allocation(client) {
            self.outputs.push_back(Output::ForgetClient { client: *client, worker });
        }
        to_peer
    }

    /// The other worker said so at that moment, see [`Output::ForgetClient`].
    pub fn forget_client(&mut self, client: &FiveTuple, worker: u8, at: Instant) {
        self.moved.remove(client, worker, at);
    }

    /// Clients whose datagrams are passed on.
    pub fn moved_clients(&self) -> usize {
        self.moved.len()
    }

    /// Whether this client is served by another worker, which gets the message. Nothing is passed
    /// on twice.
    pub(super) fn pass_on(&mut self, now: Instant, client: &FiveTuple) -> bool {
        if self.moved.is_empty() || self.via.is_some() || self.has_allocation(client) {
            return false;
        }
        let Some(worker) = self.moved.worker_of(client, now) else { return false };
        self.outputs.push_back(Output::PassClient { client: *client, worker });
        true
    }

    /// Whether this is a Refresh with a ticket of another worker, which gets it and whatever else
    /// comes from this client. That one looks at the credentials, as it knows the owner; here it is
    /// enough that we made the ticket and that the address is the client's own.
    ///
    /// Not over DTLS: only the worker that a client of DTLS comes to has its keys.
    pub(super) fn pass_resuming(
        &mut self,
        now: Now,
        client: &FiveTuple,
        message: &Message<'_>,
    ) -> bool {
        let passes = self.mobility
            && self.via.is_none()
            && message.method() == Method::Refresh
            && client.transport != Transport::Dtls
            && !self.has_allocation(client);
        let ticket = message.first(attribute::MOBILITY_TICKET).filter(|_| passes);
        let Some(ticket) = ticket else { return false };
        if !self.authenticator.has_proved_its_address(client, message, now) {
            return false;
        }
        let named = self.tickets.read(ticket.value).map(|(worker, _)| worker);
        let Some(worker) = named.filter(|worker| *worker != self.worker) else { return false };
        if !client.transport.is_stream() && !self.moved.insert(client, worker, now.instant) {
            return false;
        }
        self.outputs.push_back(Output::PassClient { client: *client, worker });
        true
    }

    /// The client of this allocation is no longer to be passed on to us.
    pub(super) fn forget_moved(&mut self, allocation: &Allocation) {
        if let Some(worker) = allocation.via {
            let client = allocation.client;
            self.outputs.push_back(Output::ForgetClient { client, worker });
        }
    }
}
