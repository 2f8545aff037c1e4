//! Applies the outputs of the protocol.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use porthole_turn_proto::Transport;
use porthole_turn_proto::server::{
    AllocationInfo, OffloadedChannel, Output, RelayId, RelayProtocol,
};

use super::ready::{RELAY, token};
use super::{Worker, now};
use crate::control::{doubt, session};
use crate::relay::offload::{Channel, Deadlines, RelayedTraffic};

impl Worker {
    /// Applies all pending outputs.
    pub(super) fn apply_outputs(&mut self) {
        while let Some(output) = self.server.poll_output() {
            match output {
                Output::Send { client, bytes } => match client.transport {
                    Transport::Udp => {
                        self.send_udp(&client, &bytes);
                    }
                    Transport::Dtls => {
                        self.not_sent += u64::from(!self.dtls.send(&client, &bytes));
                    }
                    Transport::Tcp | Transport::Tls => {
                        if let Some(connection) = self.connections.by_client_mut(&client) {
                            connection.send_response(bytes);
                        }
                    }
                },
                Output::OpenRelay { relay, protocol, port } => {
                    match self.open_relay(relay, protocol, port) {
                        Ok(()) => self.server.handle_relay_opened(now(), relay),
                        Err(error) => {
                            tracing::debug!(port, %error, "a relay port cannot be opened");
                            self.server.handle_relay_failed(now(), relay);
                        }
                    }
                }
                Output::ConnectPeer { connection, relay, peer } => {
                    self.connect_peer(connection, relay, peer);
                }
                Output::BindConnection { client, connection } => {
                    self.bind_connection(&client, connection);
                }
                Output::InstallChannel(channel) => self.offload(&channel),
                Output::RemoveChannel { relay, number, .. } => {
                    let relayed = self.offload.remove(relay, number);
                    self.account(relayed);
                }
                Output::CloseConnection { connection } => self.close_peer(connection),
                Output::HandOver { client, worker } if client.transport.is_stream() => {
                    self.hand_over_connection(&client, worker);
                }
                Output::HandOver { worker, .. } => self.handover.target = Some(worker),
                Output::EndHandover { client, worker } => self.end_handover(client, worker),
                Output::CloseRelay { relay } => {
                    self.relays.close(relay);
                    self.peers.close_relay(relay);
                }
                Output::AllocationEnded(end) => self.log_end(&end.allocation, end.reason.as_str()),
                Output::DoubtfulCredential { doubt, expiry_s, now_s } => {
                    doubt::log(doubt, expiry_s, now_s);
                }
            }
        }
    }

    fn log_end(&self, session: &AllocationInfo, reason: &str) {
        session::log_end(self.config.worker.into(), session, reason);
    }

    /// Logs the sessions lost in a panic, as far as the damaged state can still be read.
    pub(super) fn log_lost_sessions(&self) {
        let read = || self.server.allocation_infos(now(), 0, self.server.allocations());
        for session in catch_unwind(AssertUnwindSafe(read)).unwrap_or_default() {
            self.log_end(&session, "worker panicked");
        }
    }

    fn open_relay(&mut self, relay: RelayId, protocol: RelayProtocol, port: u16) -> io::Result<()> {
        match protocol {
            RelayProtocol::Udp => {
                let token = token(RELAY, relay.slot());
                self.relays.open(relay, port, self.poll.registry(), token)
            }
            RelayProtocol::Tcp => self.open_tcp_relay(relay, port),
        }
    }

    /// Offloads a channel, given its addresses in packets. Those of a socket bound to a wildcard
    /// are not known.
    fn offload(&mut self, channel: &OffloadedChannel) {
        let OffloadedChannel { relay, client, number, peer, to_peer_until, to_client_until } =
            *channel;
        let Some((relayed, peer)) = self.relays.wire_addresses(relay, peer) else { return };
        let (client, server) = (client.client, client.server);
        if !server.ip().is_unspecified() && !relayed.ip().is_unspecified() {
            let until = Deadlines { to_peer: to_peer_until, to_client: to_client_until };
            let channel = Channel { relay, number, client, server, relayed, peer };
            self.offload.install(&channel, until);
        }
    }

    /// Adds the traffic relayed by the kernel to that of the server.
    pub(super) fn count_offloaded(&mut self) {
        let relayed = self.offload.collect(self.now.instant);
        self.account(relayed);
    }

    fn account(&mut self, relayed: impl IntoIterator<Item = RelayedTraffic>) {
        for RelayedTraffic { relay, to_peer, to_client } in relayed {
            self.server.handle_offloaded_traffic(relay, to_peer, to_client);
        }
    }
}
