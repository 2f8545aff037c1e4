//! Offload of channels to a fast path below the driver: those of UDP clients and UDP relays.
//!
//! The fast path relays a channel until a given time or until it is removed, and reports the
//! traffic. With bandwidth limits nothing is offloaded, because the fast path does not check them.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use super::allocation::Allocation;
use super::{AllocationId, FiveTuple, Output, RelayId, RelayProtocol, Scope, Server, Traffic};
use crate::{Family, Transport};

/// A channel for the fast path to relay, each way until a time of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffloadedChannel {
    /// The relay socket of the channel.
    pub relay: RelayId,
    /// The client, which uses UDP.
    pub client: FiveTuple,
    /// The channel number in the client's ChannelData.
    pub number: u16,
    /// The peer that the channel is bound to.
    pub peer: SocketAddr,
    /// End of relaying to the peer: that of the channel, since ChannelData of the client needs no
    /// permission (RFC 8656 §12.6).
    pub to_peer_until: Instant,
    /// End of relaying to the client: that of the channel or the permission, since packets of the
    /// peer need both (RFC 8656 §11.3).
    pub to_client_until: Instant,
}

impl Server {
    /// Accounts for traffic that the fast path relayed since the last call.
    pub fn handle_offloaded_traffic(
        &mut self,
        relay: RelayId,
        to_peer: Traffic,
        to_client: Traffic,
    ) {
        let Some(allocation) = self.table.get_mut(relay.allocation) else { return };
        allocation.to_peer += to_peer;
        allocation.to_client += to_client;
        let total = self.counters.relayed_mut(allocation.client.transport);
        total.to_peers += to_peer;
        total.to_clients += to_client;
        // Only channels of UDP clients are offloaded; since then the client may have moved to TCP.
        if allocation.client.transport == Transport::Udp {
            self.counters.offloaded.to_peers += to_peer;
            self.counters.offloaded.to_clients += to_client;
        }
    }

    /// Offloads the channels to these peers, whose times may have changed.
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
            self.outputs.push_back(Output::InstallChannel(OffloadedChannel {
                relay,
                client,
                number,
                peer,
                to_peer_until,
                to_client_until,
            }));
        }
    }

    /// Removes the channels of an allocation, or those of one family, from the fast path.
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
                self.outputs.push_back(Output::RemoveChannel { relay, number, peer });
            }
        }
    }

    fn offloads(&self) -> bool {
        self.offload && self.bandwidth.is_unlimited()
    }

    /// Removes all channels from the fast path and installs those that the new settings allow.
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
                self.outputs.push_back(Output::RemoveChannel { relay, number, peer: addr });
                peers.push(peer.ip());
            }
            self.install_channels(id, &peers, now);
        }
    }
}

fn may_be_offloaded(allocation: &Allocation) -> bool {
    allocation.client.transport == Transport::Udp && allocation.protocol == RelayProtocol::Udp
}
