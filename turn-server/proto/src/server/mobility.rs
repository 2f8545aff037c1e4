//! Mobility (RFC 8016): a client whose address has changed shows a ticket and keeps its
//! allocation.
//!
//! Resuming is one step. The nonce has proved the new address before, so no state is kept for
//! clients that only try. The quota unit stays with the allocation.

use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use porthole_clock::Now;
use rand::Rng;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use super::allocation::Allocation;
use super::requests::AuthenticatedRequest;
use super::{AllocationId, FiveTuple, Output, RelayProtocol, Server, ToPeer};
use crate::Transport;
use crate::stun::{ErrorCode, Message, Method, attribute};

/// Keeps this use of the key apart from any other.
const DOMAIN: &[u8] = b"porthole turn mobility 1";
/// Bytes of the name of an allocation: worker, slot, generation, and three random bytes.
const NAME_LEN: usize = 1 + 4 + 4 + 3;
/// Bytes of the HMAC. 96 bits suffice because each guess needs a password first.
const TAG_LEN: usize = 12;
/// Bytes of a ticket as base64: coturn's client keeps it as a text of at most 32 characters.
const TICKET_LEN: usize = (NAME_LEN + TAG_LEN) / 3 * 4;

/// A mobility ticket, which names an allocation and can be made with the key only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket([u8; TICKET_LEN]);

impl Ticket {
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Makes and reads tickets. Workers with the same key can read each other's.
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

    /// Returns the worker and the allocation that a valid ticket names.
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
    /// Returns true if the response to an Allocate request needs a ticket (RFC 8016 §3.1). A TCP
    /// allocation has none, because its connections could not move.
    pub(super) fn is_ticket_wanted(
        &self,
        request: &AuthenticatedRequest<'_>,
        protocol: RelayProtocol,
    ) -> Result<bool, ErrorCode> {
        let wanted = request.message.first(attribute::MOBILITY_TICKET).is_some();
        if wanted && !self.mobility {
            return Err(ErrorCode::MOBILITY_FORBIDDEN);
        }
        Ok(wanted && protocol == RelayProtocol::Udp)
    }

    /// Returns a new ticket, if the allocation has tickets at all.
    pub(super) fn ticket_for(&mut self, id: AllocationId) -> Option<Ticket> {
        let mobile = self.table.get(id).is_some_and(|allocation| allocation.mobile);
        mobile.then(|| self.tickets.make(id, &mut self.rng))
    }

    /// Returns the allocation that the message's ticket names, if it is in this worker.
    pub(super) fn allocation_by_ticket(&self, message: &Message<'_>) -> Option<&Allocation> {
        let ticket = message.first(attribute::MOBILITY_TICKET)?;
        let (worker, id) = self.tickets.read(ticket.value)?;
        self.table.get(id).filter(|_| worker == self.worker)
    }

    /// Moves the allocation of a ticket to the client that sent it, as the first half of a Refresh
    /// (RFC 8016 §3.2).
    pub(super) fn resume(
        &mut self,
        request: &AuthenticatedRequest<'_>,
        ticket: &[u8],
    ) -> Result<(), ErrorCode> {
        if !self.mobility {
            return Err(ErrorCode::MOBILITY_FORBIDDEN);
        }
        let (worker, id) = self.tickets.read(ticket).ok_or(ErrorCode::BAD_REQUEST)?;
        // It could not be handed over, see `hand_over_refresh`.
        if worker != self.worker {
            return Err(ErrorCode::ALLOCATION_MISMATCH);
        }
        let allocation = self.table.get(id).filter(|a| a.answered && a.mobile);
        let allocation = allocation.ok_or(ErrorCode::BAD_REQUEST)?;
        if allocation.owner.username != request.identity.username {
            return Err(ErrorCode::WRONG_CREDENTIALS);
        }
        match self.table.id_of(request.client) {
            // The response to the first request was lost.
            Some(own) if own == id => Ok(()),
            Some(_) => Err(ErrorCode::ALLOCATION_MISMATCH),
            None => {
                self.move_to(request.now, id, request.client);
                Ok(())
            }
        }
    }

    /// Separates an allocation from its client, whose connection has closed: a ticket may bring it
    /// back. Until then its five-tuple is free, because a NAT may assign it to another client.
    pub(super) fn detach(&mut self, now: Now, id: AllocationId) {
        let Some(allocation) = self.table.take(id) else { return };
        self.end_handover(&allocation);
        self.withdraw_channels(id, &allocation, None, now.instant);
        self.table.put(id, allocation);
        self.table.detach(id);
    }

    fn move_to(&mut self, now: Now, id: AllocationId, client: &FiveTuple) {
        let Some(mut allocation) = self.table.take(id) else { return };
        self.end_handover(&allocation);
        allocation.handover_from = self.handover_from;
        self.withdraw_channels(id, &allocation, None, now.instant);
        let peers: Vec<_> = allocation.channels.iter(now.instant).map(|(_, p, _)| p.ip()).collect();
        self.table.put(id, allocation);
        self.table.move_to(id, client);
        self.install_channels(id, &peers, now.instant);
    }
}

/// Handover between workers: over UDP the kernel may deliver the datagrams of a client whose
/// address has changed to any of them.
impl Server {
    /// Handles a datagram that another worker received and hands over because of
    /// [`Output::HandOver`]. Returns the data to send to a peer, if there is any.
    pub fn handle_handover(
        &mut self,
        now: Now,
        worker: u8,
        client: &FiveTuple,
        bytes: &[u8],
    ) -> Option<ToPeer> {
        self.handover_from = Some(worker);
        let to_peer = self.handle_client(now, client, bytes);
        self.handover_from = None;
        if !self.has_allocation(client) {
            self.outputs.push_back(Output::EndHandover { client: *client, worker });
        }
        to_peer
    }

    /// Handles [`Output::EndHandover`] of another worker, which it produced at `at`.
    pub fn handle_handover_ended(&mut self, client: &FiveTuple, worker: u8, at: Instant) {
        self.handovers.remove(client, worker, at);
    }

    /// Returns the number of clients whose datagrams are handed over to other workers.
    pub fn handed_over_clients(&self) -> usize {
        self.handovers.len()
    }

    /// Hands a message over if another worker serves its client. Returns true if it did. A message
    /// is never handed over twice.
    pub(super) fn hand_over(&mut self, now: Instant, client: &FiveTuple) -> bool {
        if self.handovers.is_empty() || self.handover_from.is_some() || self.has_allocation(client)
        {
            return false;
        }
        let Some(worker) = self.handovers.worker_of(client, now) else { return false };
        self.outputs.push_back(Output::HandOver { client: *client, worker });
        true
    }

    /// Hands over a Refresh with a ticket of another worker, and all that the client sends from
    /// then on. Returns true if it did.
    ///
    /// The other worker checks the credentials, because it knows the owner. Here it suffices that
    /// the ticket is valid and that the client has proved its address. Clients over DTLS are not
    /// handed over, because only the worker that has received their handshake has the keys.
    pub(super) fn hand_over_refresh(
        &mut self,
        now: Now,
        client: &FiveTuple,
        message: &Message<'_>,
    ) -> bool {
        let may_hand_over = self.mobility
            && self.handover_from.is_none()
            && message.method() == Method::Refresh
            && client.transport != Transport::Dtls
            && !self.has_allocation(client);
        let ticket = message.first(attribute::MOBILITY_TICKET).filter(|_| may_hand_over);
        let Some(ticket) = ticket else { return false };
        if !self.authenticator.has_proved_its_address(client, message, now) {
            return false;
        }
        let named = self.tickets.read(ticket.value).map(|(worker, _)| worker);
        let Some(worker) = named.filter(|worker| *worker != self.worker) else { return false };
        if !client.transport.is_stream() && !self.handovers.insert(client, worker, now.instant) {
            return false;
        }
        self.outputs.push_back(Output::HandOver { client: *client, worker });
        true
    }

    /// Tells the worker that hands over the datagrams of this allocation's client to stop.
    pub(super) fn end_handover(&mut self, allocation: &Allocation) {
        if let Some(worker) = allocation.handover_from {
            let client = allocation.client;
            self.outputs.push_back(Output::EndHandover { client, worker });
        }
    }
}
