//! Peers: what comes to relay sockets.

use std::io::ErrorKind;

use porthole_turn_proto::Transport;
use porthole_turn_proto::server::{HEADROOM, ToClient};

use super::clients::send_udp;
use super::{BUDGET, Rest, Worker, clocks, plain};

impl Worker {
    pub(super) fn serve_relay(&mut self, slot: usize) -> Rest {
        let now = clocks();
        for _ in 0..BUDGET {
            let Some(relay) = self.relays.at(slot) else { return Rest::Empty };
            let room = self.buffer.get_mut(HEADROOM..).unwrap_or_default();
            let (len, from) = match relay.recv(room) {
                Ok(received) => received,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Rest::Empty,
                Err(_) => continue,
            };
            let id = relay.id;
            if let Some(to_client) = self.server.handle_peer(now, id, plain(from), len) {
                self.send_to_client(&to_client, len);
            }
        }
        Rest::More
    }

    /// Puts the header before and the padding behind the payload that lies in the buffer.
    fn send_to_client(&mut self, to: &ToClient, len: usize) {
        let header = to.header.as_bytes();
        let (start, end) = (HEADROOM - header.len(), HEADROOM + len);
        if let Some(place) = self.buffer.get_mut(start..HEADROOM) {
            place.copy_from_slice(header);
        }
        if let Some(padding) = self.buffer.get_mut(end..end + to.padding) {
            padding.fill(0);
        }
        let Some(packet) = self.buffer.get(start..end + to.padding) else { return };
        self.not_sent += match to.client.transport {
            Transport::Udp | Transport::Dtls => u64::from(!send_udp(&self.udp, &to.client, packet)),
            Transport::Tcp | Transport::Tls => {
                self.connections.of_client(&to.client).map_or(1, |c| c.send_relayed(packet))
            }
        };
    }
}
