//! What a fast path below the driver may relay by itself: channels of UDP clients and UDP relays.
//!
//! It does so until the time it was told, or until told to stop, and reports what it did. Where
//! bandwidth is limited nothing is given away: nobody would count in between.

use std::net::IpAddr;
use std::time::Instant;

use super::allocation::Allocation;
use super::{AllocationId, Output, RelayId, RelayProtocol, Scope, Server, Traffic};
use crate::{Family, Transport};

impl Server {
    /// What a fast path relayed by itself, or what went through spliced TCP connections.
    pub fn account_offloaded(&mut self, relay: RelayId, to_peer: Traffic, to_client: Traffic) {
        let Some(allocation) = self.table.get_mut(relay.allocation) else { return };
        allocation.to_peer += to_peer;
        allocation.to_client += to_client;
        let total = self.counters.relayed_mut(allocation.client.transport);
        total.to_peers += to_peer;
        total.to_clients += to_client;
        // What a stream's client sends is spliced here and not in the kernel.
        if allocation.client.transport == Transport::Udp {
            self.counters.offloaded.to_peers += to_peer;
            self.counters.offloaded.to_clients += to_client;
        }
    }

    /// The channels to these peers are good for longer.
    pub(super) fn install_channels(&mut self, id: AllocationId, peers: &[IpAddr], now: Instant) {
        if !self.offloads() {
            return;
        }
        let Some(allocation) = self.table.get(id).filter(|a| may_be_offloaded(a)) else { return };
        let client = allocation.client;
        for (number, peer, to_peer_until) in allocation.channels.iter(now) {
            if !peers.contains(&peer.ip())
                || !self.authorize_peer(peer, Scope::ThisPort(RelayProtocol::Udp))
            {
                continue;
            }
            let permission_end = allocation.permissions.end_of(peer.ip()).unwrap_or(now);
            let to_client_until = to_peer_until.min(permission_end);
            let relay = RelayId { allocation: id, family: Family::of(&peer.ip()) };
            let (number, peer) = (number.value(), peer.addr());
            self.outputs.push_back(Output::ChannelInstalled {
                relay,
                client,
                number,
                peer,
                to_peer_until,
                to_client_until,
            });
        }
    }

    /// The channels of an allocation, or those of one family, must not be used any more.
    pub(super) fn withdraw_channels(
        &mut self,
        id: AllocationId,
        allocation: &Allocation,
        family: Option<Family>,
        now: Instant,
    ) {
        if !self.offloads() || !may_be_offloaded(allocation) {
            return;
        }
        for (number, peer, _) in allocation.channels.iter(now) {
            let relay = RelayId { allocation: id, family: Family::of(&peer.ip()) };
            if family.is_none_or(|family| family == relay.family) {
                let (number, peer) = (number.value(), peer.addr());
                self.outputs.push_back(Output::ChannelRemoved { relay, number, peer });
            }
        }
    }

    fn offloads(&self) -> bool {
        self.offload && self.bandwidth.is_unlimited()
    }

    /// After new rules or limits: everything anew.
    pub(super) fn reinstall_channels(&mut self, now: Instant) {
        if !self.offload {
            return;
        }
        for id in self.table.ids() {
            let Some(allocation) = self.table.get(id).filter(|a| may_be_offloaded(a)) else {
                continue;
            };
            let mut peers = Vec::new();
            for (number, peer, _) in allocation.channels.iter(now) {
                let relay = RelayId { allocation: id, family: Family::of(&peer.ip()) };
                let (number, addr) = (number.value(), peer.addr());
                self.outputs.push_back(Output::ChannelRemoved { relay, number, peer: addr });
                peers.push(peer.ip());
            }
            self.install_channels(id, &peers, now);
        }
    }
}

fn may_be_offloaded(allocation: &Allocation) -> bool {
    allocation.client.transport == Transport::Udp && allocation.protocol == RelayProtocol::Udp
}
