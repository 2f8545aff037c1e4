//! Clients over UDP.

use std::io::ErrorKind;
use std::net::SocketAddr;

use mio::net::UdpSocket;
use porthole_turn_proto::Transport;
use porthole_turn_proto::server::FiveTuple;

use super::{BUDGET, Rest, Worker, clocks, plain};

impl Worker {
    pub(super) fn serve_udp(&mut self, index: usize) -> Rest {
        let now = clocks();
        for _ in 0..BUDGET {
            let Some((server, socket)) = self.udp.get(index) else { return Rest::Empty };
            let server = *server;
            let (len, from) = match socket.recv_from(&mut self.buffer) {
                Ok(received) => received,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Rest::Empty,
                Err(_) => continue,
            };
            let client = FiveTuple { transport: Transport::Udp, client: plain(from), server };
            let datagram = self.buffer.get(..len).unwrap_or_default();
            if let Some(to_peer) = self.server.handle_client(now, &client, datagram) {
                let payload = datagram.get(to_peer.payload).unwrap_or_default();
                let sent = self.relays.send(to_peer.relay, payload, to_peer.peer);
                self.not_sent += u64::from(!sent);
            }
            self.do_outputs();
        }
        Rest::More
    }
}

/// From the socket that the client sent to.
pub(super) fn send_udp(
    sockets: &[(SocketAddr, UdpSocket)],
    client: &FiveTuple,
    packet: &[u8],
) -> bool {
    let socket = sockets.iter().find(|(addr, _)| *addr == client.server);
    socket.is_some_and(|(_, socket)| socket.send_to(packet, client.client).is_ok())
}
