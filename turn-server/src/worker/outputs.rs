//! What the protocol wants done.

use porthole_turn_proto::Transport;
use porthole_turn_proto::server::Output;

use super::clients::send_udp;
use super::ready::{RELAY, token};
use super::{Worker, clocks};

impl Worker {
    pub(super) fn do_outputs(&mut self) {
        while let Some(output) = self.server.poll_output() {
            match output {
                Output::Send { client, bytes } => match client.transport {
                    Transport::Udp => {
                        self.not_sent += u64::from(!send_udp(&self.udp, &client, &bytes));
                    }
                    Transport::Tcp => {
                        if let Some(connection) = self.connections.of_client(&client) {
                            connection.send_answer(bytes);
                        }
                    }
                },
                Output::OpenRelay { id, family, port } => {
                    let slot = usize::try_from(id.slot()).unwrap_or(usize::MAX);
                    let registry = self.poll.registry();
                    match self.relays.open(id, family, port, registry, token(RELAY, slot)) {
                        Ok(()) => self.server.relay_opened(id),
                        Err(error) => {
                            tracing::debug!(port, %error, "a relay port cannot be opened");
                            self.server.relay_failed(clocks(), id);
                        }
                    }
                }
                Output::CloseRelay { id } => self.relays.close(id),
            }
        }
    }
}
