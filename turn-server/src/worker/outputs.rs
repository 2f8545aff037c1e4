//! What the protocol wants done.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use porthole_turn_proto::Transport;
use porthole_turn_proto::server::{
    AllocationInfo, OffloadedChannel, Output, RelayId, RelayProtocol,
};

use super::ready::{RELAY, token};
use super::{Worker, clocks};
use crate::control::session;
use crate::relay::offload::{Channel, Share, Until};

impl Worker {
    pub(super) fn do_outputs(&mut self) {
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
                        if let Some(connection) = self.connections.of_client(&client) {
                            connection.send_answer(bytes);
                        }
                    }
                },
                Output::OpenRelay { relay, protocol, port } => {
                    match self.open_relay(relay, protocol, port) {
                        Ok(()) => self.server.handle_relay_opened(clocks(), relay),
                        Err(error) => {
                            tracing::debug!(port, %error, "a relay port cannot be opened");
                            self.server.handle_relay_failed(clocks(), relay);
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
                    let share = self.offload.remove(relay, number);
                    self.account(share);
                }
                Output::CloseConnection { connection } => self.close_peer(connection),
                Output::HandOver { client, worker } if client.transport.is_stream() => {
                    self.pass_client(&client, worker);
                }
                Output::HandOver { worker, .. } => self.passing.next = Some(worker),
                Output::EndHandover { client, worker } => self.forget_client(client, worker),
                Output::CloseRelay { relay } => {
                    self.relays.close(relay);
                    self.peers.close_relay(relay);
                }
                Output::AllocationEnded(end) => self.log_end(&end.allocation, end.reason.as_str()),
            }
        }
    }

    fn log_end(&self, session: &AllocationInfo, reason: &str) {
        session::log_end(self.config.worker.into(), session, reason);
    }

    /// After a panic, which may have left anything behind.
    pub(super) fn log_lost(&self) {
        let read = || self.server.allocation_infos(clocks(), 0, self.server.allocations());
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

    /// Addresses as they are on the wire; a socket that is bound to all does not tell.
    fn offload(&mut self, channel: &OffloadedChannel) {
        let OffloadedChannel { relay, client, number, peer, to_peer_until, to_client_until } =
            *channel;
        let Some((relayed, peer)) = self.relays.on_the_wire(relay, peer) else { return };
        let (client, server) = (client.client, client.server);
        if !server.ip().is_unspecified() && !relayed.ip().is_unspecified() {
            let until = Until { to_peer: to_peer_until, to_client: to_client_until };
            let channel = Channel { relay, number, client, server, relayed, peer };
            self.offload.install(&channel, until);
        }
    }

    /// What the kernel relayed counts as if it had been relayed here.
    pub(super) fn count_offloaded(&mut self) {
        let shares = self.offload.collect(self.now.instant);
        self.account(shares);
    }

    fn account(&mut self, shares: impl IntoIterator<Item = Share>) {
        for Share { relay, to_peer, to_client } in shares {
            self.server.handle_offloaded_traffic(relay, to_peer, to_client);
        }
    }
}
