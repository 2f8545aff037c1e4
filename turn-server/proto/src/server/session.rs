//! What operators are told about allocations, while they live and when they end.

use porthole_clock::Now;
use std::net::SocketAddr;
use std::ops::{Add, AddAssign};
use std::time::Duration;

use super::allocation::{Allocation, RelayPort};
use super::{AllocationId, FiveTuple, Output, RelayId, Reloadable, Server};
use crate::channel::ChannelNumber;

/// Packets and their payload bytes. What a stream carries (RFC 6062) is bytes only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// How many.
    pub packets: u64,
    /// Without headers.
    pub bytes: u64,
}

impl Traffic {
    pub(super) fn count(&mut self, bytes: usize) {
        self.packets += 1;
        self.count_bytes(bytes);
    }

    /// Of a stream: it has no packets.
    pub(super) fn count_bytes(&mut self, bytes: usize) {
        self.bytes += u64::try_from(bytes).unwrap_or(u64::MAX);
    }
}

impl Add for Traffic {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { packets: self.packets + other.packets, bytes: self.bytes + other.bytes }
    }
}

impl AddAssign for Traffic {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

/// One allocation as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionInfo {
    /// For [`Server::end_session`].
    pub id: AllocationId,
    /// The client and the server's end.
    pub client: FiveTuple,
    /// As the client names itself: hostile text.
    pub username: String,
    /// One address, or one of each family.
    pub relayed: Vec<SocketAddr>,
    /// Since it was made.
    pub age: Duration,
    /// Until it ends unless it is refreshed.
    pub expires_in: Duration,
    /// Relayed from the client to peers.
    pub to_peer: Traffic,
    /// Relayed from peers to the client.
    pub to_client: Traffic,
}

/// One allocation that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionEnd {
    /// What it was.
    pub session: SessionInfo,
    /// Why it is over.
    pub reason: EndReason,
}

/// Why an allocation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EndReason {
    /// The client did not refresh it in time.
    Expired,
    /// The client asked for it.
    Released,
    /// The client's connection closed.
    ConnectionClosed,
    /// [`Server::end_session`].
    EndedByOperator,
    /// [`Server::end_all`].
    Shutdown,
}

impl EndReason {
    /// For logs and labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Released => "released by the client",
            Self::ConnectionClosed => "connection closed",
            Self::EndedByOperator => "ended by the operator",
            Self::Shutdown => "server shut down",
        }
    }
}

impl Server {
    /// Takes new settings over. What is allocated stays; whether its peers are still allowed is
    /// asked again for each packet.
    pub fn reconfigure(&mut self, now: Now, reloadable: Reloadable) {
        self.set_reloadable(reloadable);
        self.close_forbidden_connections();
        self.reinstall_channels(now.instant);
    }

    pub(super) fn set_reloadable(&mut self, reloadable: Reloadable) {
        let Reloadable { users, rest_secrets, strict_expiry, .. } = reloadable;
        self.authenticator.set_credentials(users, rest_secrets, strict_expiry);
        self.authenticator.set_oauth_keys(&reloadable.oauth_keys);
        self.alternates = reloadable.alternate_servers;
        self.policy.set_config(reloadable.policy);
        self.tcp_relaying = reloadable.tcp_relaying;
        self.mobility = reloadable.mobility;
        self.bandwidth = reloadable.bandwidth;
        self.last_channel = if reloadable.rfc5766_channels {
            ChannelNumber::MAX_RFC_5766
        } else {
            ChannelNumber::MAX
        };
    }

    /// Living allocations in the order of their slots, from this one on, at most `limit`.
    pub fn sessions(&self, now: Now, from_slot: u32, limit: usize) -> Vec<SessionInfo> {
        let living = self.table.beginning_at(from_slot);
        let answered = living.filter(|(_, allocation)| allocation.answered);
        answered.take(limit).map(|(id, allocation)| info(id, allocation, now)).collect()
    }

    /// Ends one allocation. Whether there was one.
    pub fn end_session(&mut self, now: Now, id: AllocationId) -> bool {
        let living = self.table.get(id).is_some();
        self.remove(now, id, EndReason::EndedByOperator);
        living
    }

    /// Ends every allocation at once.
    pub fn end_all(&mut self, now: Now) {
        for id in self.table.ids() {
            self.remove(now, id, EndReason::Shutdown);
        }
    }

    /// Ends one of two relayed addresses.
    pub(super) fn remove_relay(&mut self, now: Now, relay: RelayId) {
        let Some(mut allocation) = self.table.take(relay.allocation) else { return };
        let family = relay.family;
        self.withdraw_channels(relay.allocation, &allocation, Some(family), now.instant);
        allocation.channels.remove_family(family);
        let removed = allocation.relays.remove(family).is_some();
        self.table.put(relay.allocation, allocation);
        if removed {
            self.close_connections_of(relay.allocation, Some(relay.family));
            self.outputs.push_back(Output::CloseRelay { relay });
        }
    }

    pub(super) fn remove(&mut self, now: Now, id: AllocationId, reason: EndReason) {
        let Some(allocation) = self.table.remove(id) else { return };
        self.close_connections_of(id, None);
        self.withdraw_channels(id, &allocation, None, now.instant);
        for family in allocation.relays.families() {
            self.outputs
                .push_back(Output::CloseRelay { relay: RelayId { allocation: id, family } });
        }
        // Otherwise `handle_passed` says it.
        if self.via.is_none() {
            self.forget_moved(&allocation);
        }
        // What was never answered was no session.
        if allocation.answered {
            let session = info(id, &allocation, now);
            let end = Box::new(SessionEnd { session, reason });
            self.outputs.push_back(Output::SessionEnded(end));
        }
        drop(allocation);
        if self.table.shrink() {
            self.quota.shrink();
        }
    }
}

fn info(id: AllocationId, allocation: &Allocation, now: Now) -> SessionInfo {
    SessionInfo {
        id,
        client: allocation.client,
        username: allocation.owner.username.to_string(),
        relayed: allocation.relays.iter().map(RelayPort::addr).collect(),
        age: now.instant.saturating_duration_since(allocation.created_at),
        expires_in: allocation.expires_at.saturating_duration_since(now.instant),
        to_peer: allocation.to_peer,
        to_client: allocation.to_client,
    }
}
