//! What the protocol wants done.

use porthole_turn_proto::Transport;
use porthole_turn_proto::server::{Output, RelayProtocol};

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
                Output::OpenRelay { relay, protocol: RelayProtocol::Udp, port } => {
                    let token = token(RELAY, relay.slot());
                    match self.relays.open(relay, port, self.poll.registry(), token) {
                        Ok(()) => self.server.relay_opened(clocks(), relay),
                        Err(error) => {
                            tracing::debug!(port, %error, "a relay port cannot be opened");
                            self.server.relay_failed(clocks(), relay);
                        }
                    }
                }
                Output::OpenRelay { relay, protocol: RelayProtocol::Tcp, .. } => {
                    self.server.relay_failed(clocks(), relay);
                }
                Output::ConnectPeer { connection, .. } => {
                    self.server.peer_connect_failed(clocks(), connection);
                }
                // Without connected peers none of these comes.
                // Nor of these without a fast path.
                Output::ChannelInstalled { .. } | Output::ChannelRemoved { .. } => {}
                Output::BindConnection { .. }
                | Output::CloseConnection { .. }
                | Output::PassClient { .. } => {}
                Output::CloseRelay { relay } => self.relays.close(relay),
                Output::SessionEnded(end) => log_end(&end),
            }
        }
    }
}
