//! Allocations as operators see them, and their ends.

use std::net::SocketAddr;
use std::ops::{Add, AddAssign};
use std::time::Duration;

use porthole_clock::Now;

use super::allocation::{Allocation, RelayPort};
use super::{AllocationId, FiveTuple, Output, RelayId, ReloadableConfig, Server};
use crate::channel::ChannelNumber;

/// Packets and their payload bytes. Streams (RFC 6062) count as bytes only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Number of packets.
    pub packets: u64,
    /// Payload bytes, without headers.
    pub bytes: u64,
}

impl Traffic {
    pub(super) fn count(&mut self, bytes: usize) {
        self.packets += 1;
        self.count_bytes(bytes);
    }

    /// Counts bytes of a stream, which has no packets.
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

/// The state of one allocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllocationInfo {
    /// The id, by which [`Server::end_allocation`] ends it.
    pub id: AllocationId,
    /// The addresses of client and server.
    pub client: FiveTuple,
    /// The username. The client has chosen it: do not trust it.
    pub username: String,
    /// The relayed address, or one of each family.
    pub relayed: Vec<SocketAddr>,
    /// Time since the allocation was made.
    pub age: Duration,
    /// Time after which it ends unless it is refreshed.
    pub expires_in: Duration,
    /// Traffic relayed from the client to peers.
    pub to_peer: Traffic,
    /// Traffic relayed from peers to the client.
    pub to_client: Traffic,
}

/// The end of an allocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllocationEnd {
    /// The last state of the allocation.
    pub allocation: AllocationInfo,
    /// The reason of its end.
    pub reason: EndReason,
}

/// The reason why an allocation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EndReason {
    /// The client did not refresh it in time.
    Expired,
    /// The client released it by a Refresh with lifetime 0.
    Released,
    /// The client's connection closed.
    ConnectionClosed,
    /// An operator ended it, see [`Server::end_allocation`].
    EndedByOperator,
    /// Its user has ended, see [`Server::end_user`].
    UserEnded,
    /// The server was closed, see [`Server::close`].
    Shutdown,
}

impl EndReason {
    /// Returns the reason in words, for the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Released => "released by the client",
            Self::ConnectionClosed => "connection closed",
            Self::EndedByOperator => "ended by the operator",
            Self::UserEnded => "its user has ended",
            Self::Shutdown => "server shut down",
        }
    }
}

impl Server {
    /// Applies new settings. Allocations stay, but their peers must be allowed by the new policy.
    pub fn set_reloadable(&mut self, now: Now, reloadable: ReloadableConfig) {
        self.apply_reloadable(reloadable);
        self.close_forbidden_connections();
        self.reinstall_channels(now.instant);
    }

    pub(super) fn apply_reloadable(&mut self, reloadable: ReloadableConfig) {
        let ReloadableConfig { users, rest_secrets, strict_expiry, .. } = reloadable;
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

    /// Returns at most `limit` living allocations in the order of their slots, beginning at
    /// `from_slot`.
    pub fn allocation_infos(&self, now: Now, from_slot: u32, limit: usize) -> Vec<AllocationInfo> {
        let living = self.table.iter_from(from_slot);
        let answered = living.filter(|(_, allocation)| allocation.answered);
        answered.take(limit).map(|(id, allocation)| allocation_info(id, allocation, now)).collect()
    }

    /// Ends an allocation. Returns false if it does not exist.
    pub fn end_allocation(&mut self, now: Now, id: AllocationId) -> bool {
        let living = self.table.get(id).is_some();
        self.remove(now, id, EndReason::EndedByOperator);
        living
    }

    /// Ends every allocation of a time-limited user, and refuses its credentials until `until_s`,
    /// in seconds since 1970, when the last of them has expired.
    pub fn end_user(&mut self, now: Now, user_id: &str, until_s: u64) {
        self.authenticator.end_user(user_id, until_s, now);
        let all = self.table.iter_from(0);
        let of_user = all.filter(|(_, one)| one.owner.is_time_limited_user(user_id));
        let ids: Vec<_> = of_user.map(|(id, _)| id).collect();
        for id in ids {
            self.remove(now, id, EndReason::UserEnded);
        }
    }

    /// Ends every allocation. The outputs close the sockets and report the ends.
    pub fn close(&mut self, now: Now) {
        for id in self.table.ids() {
            self.remove(now, id, EndReason::Shutdown);
        }
    }

    /// Ends one of the two relayed addresses of an allocation.
    pub(super) fn remove_relay(&mut self, now: Now, relay: RelayId) {
        let Some(mut allocation) = self.table.take(relay.allocation) else { return };
        let family = relay.family;
        self.withdraw_channels(relay.allocation, &allocation, Some(family), now.instant);
        allocation.channels.remove_family(family);
        let removed = allocation.relays.remove(family).is_some();
        self.table.put(relay.allocation, allocation);
        if removed {
            self.close_connections(relay.allocation, Some(relay.family));
            self.outputs.push_back(Output::CloseRelay { relay });
        }
    }

    pub(super) fn remove(&mut self, now: Now, id: AllocationId, reason: EndReason) {
        let Some(allocation) = self.table.remove(id) else { return };
        self.close_connections(id, None);
        self.withdraw_channels(id, &allocation, None, now.instant);
        for family in allocation.relays.families() {
            self.outputs
                .push_back(Output::CloseRelay { relay: RelayId { allocation: id, family } });
        }
        // Otherwise `handle_handover` does so.
        if self.handover_from.is_none() {
            self.end_handover(&allocation);
        }
        // The client never learned of an allocation that was not answered.
        if allocation.answered {
            let allocation = allocation_info(id, &allocation, now);
            let end = Box::new(AllocationEnd { allocation, reason });
            self.outputs.push_back(Output::AllocationEnded(end));
        }
        drop(allocation);
        if self.table.shrink() {
            self.quota.shrink();
        }
    }
}

fn allocation_info(id: AllocationId, allocation: &Allocation, now: Now) -> AllocationInfo {
    AllocationInfo {
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
