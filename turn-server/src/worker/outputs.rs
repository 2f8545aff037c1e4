//! What the protocol wants done.

use std::io;

use porthole_turn_proto::Transport;
use porthole_turn_proto::server::{Output, RelayId, RelayProtocol};

use super::ready::{RELAY, token};
use super::{Worker, clocks};
use crate::session::log_end;

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
                        Ok(()) => self.server.relay_opened(clocks(), relay),
                        Err(error) => {
                            tracing::debug!(port, %error, "a relay port cannot be opened");
                            self.server.relay_failed(clocks(), relay);
                        }
                    }
                }
                Output::ConnectPeer { connection, relay, peer } => {
                    self.connect_peer(connection, relay, peer);
                }
                Output::BindConnection { client, connection } => {
                    self.bind_connection(&client, connection);
                }
                Output::CloseConnection { connection } => self.close_peer(connection),
                Output::PassClient { client, worker } => self.pass_client(&client, worker),
                // Without a fast path none of these comes.
                Output::ChannelInstalled { .. } | Output::ChannelRemoved { .. } => {}
                Output::CloseRelay { relay } => {
                    self.relays.close(relay);
                    self.peers.close_relay(relay);
                }
                Output::SessionEnded(end) => log_end(&end),
            }
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
}
