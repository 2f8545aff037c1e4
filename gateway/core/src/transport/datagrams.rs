//! Datagrams of a transport: demultiplexing (RFC 7983 §7), and sending on the selected path.

use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;
use tracing::trace;

use super::{PeerTransport, TransportOutput};
use crate::Datagram;
use crate::ice::LocalBase;

/// The kind of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PacketKind {
    Stun,
    Dtls,
    Rtp,
    Rtcp,
    Other,
}

/// Determines the kind of a datagram by its first bytes (RFC 7983 §7). RTP and RTCP share a port;
/// RTCP packet types are told from RTP payload types as in RFC 5761 §4.
fn demultiplex(datagram: &[u8]) -> PacketKind {
    match datagram {
        [0..=3, ..] => PacketKind::Stun,
        [20..=63, ..] => PacketKind::Dtls,
        [128..=191, 192..=223, ..] => PacketKind::Rtcp,
        [128..=191, _, ..] => PacketKind::Rtp,
        _ => PacketKind::Other,
    }
}

impl PeerTransport {
    /// Handles a datagram of the peer that arrived at `base`: on the shared port or through a TURN
    /// allocation.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        base: LocalBase,
        from: SocketAddr,
        datagram: &[u8],
    ) {
        self.dispatch_datagram(now, base, from, datagram);
        self.process(now);
    }

    fn dispatch_datagram(
        &mut self,
        now: Instant,
        base: LocalBase,
        from: SocketAddr,
        datagram: &[u8],
    ) {
        if self.ended {
            return;
        }
        let kind = demultiplex(datagram);
        if kind == PacketKind::Stun {
            if let Err(refused) = self.agent.handle_stun(now, base, from, datagram) {
                trace!("a STUN message is ignored: {refused}");
            }
            return;
        }
        // One forged ClientHello would end a handshake, so only validated addresses may send one.
        if !self.agent.is_validated(base, from) {
            trace!("a datagram from an address that is not validated is dropped");
            return;
        }
        match kind {
            PacketKind::Dtls => self.handle_dtls(now, datagram),
            PacketKind::Rtp | PacketKind::Rtcp => self.handle_srtp(kind, datagram),
            PacketKind::Stun | PacketKind::Other => {}
        }
    }

    fn handle_dtls(&mut self, now: Instant, datagram: &[u8]) {
        let Some(dtls_srtp) = &mut self.dtls_srtp else { return };
        if let Err(error) = dtls_srtp.handle_dtls(now, datagram) {
            return self.fail(&error.to_string());
        }
        if dtls_srtp.is_closed() {
            return self.end(TransportOutput::Closed);
        }
        if dtls_srtp.is_ready() && !self.ready {
            self.ready = true;
            self.outbox.push_back(TransportOutput::Ready);
        }
    }

    fn handle_srtp(&mut self, kind: PacketKind, datagram: &[u8]) {
        let Some(dtls_srtp) = &mut self.dtls_srtp else { return };
        let plain = if kind == PacketKind::Rtcp {
            dtls_srtp.unprotect_rtcp(datagram)
        } else {
            dtls_srtp.unprotect_rtp(datagram)
        };
        match plain {
            Ok(plain) if kind == PacketKind::Rtcp => {
                self.outbox.push_back(TransportOutput::Rtcp(plain.freeze()));
            }
            Ok(plain) => self.outbox.push_back(TransportOutput::Rtp(plain.freeze())),
            Err(error) => trace!("an encrypted packet is dropped: {error}"),
        }
    }

    /// Handles the opening of a TURN client's transport.
    pub fn handle_turn_transport_opened(&mut self, now: Instant, index: u8) {
        self.turn_clients.handle_opened(now, index);
        self.process(now);
    }

    /// Handles the end of a TURN client's transport.
    pub fn handle_turn_transport_closed(&mut self, now: Instant, index: u8) {
        self.turn_clients.handle_closed(index);
        self.process(now);
    }

    /// Handles bytes from a TURN server.
    pub fn handle_turn_transport_data(&mut self, now: Instant, index: u8, bytes: &[u8]) {
        let mut datagrams = Vec::new();
        self.turn_clients.handle_data(now, index, bytes, |peer, datagram| {
            datagrams.push((peer, Bytes::copy_from_slice(datagram)));
        });
        for (peer, datagram) in datagrams {
            self.dispatch_datagram(now, LocalBase::Allocation(index), peer, &datagram);
        }
        self.process(now);
    }

    /// Encrypts an RTP packet and sends it on the path; without one it is dropped.
    pub fn send_rtp(&mut self, now: Instant, packet: &[u8]) {
        let Some(dtls_srtp) = &mut self.dtls_srtp else { return };
        match dtls_srtp.protect_rtp(packet) {
            Ok(packet) => self.send_on_path(now, packet.freeze()),
            Err(error) => trace!("a packet cannot be encrypted: {error}"),
        }
    }

    /// Encrypts an RTCP compound and sends it on the path; without one it is dropped.
    pub fn send_rtcp(&mut self, now: Instant, compound: &[u8]) {
        let Some(dtls_srtp) = &mut self.dtls_srtp else { return };
        match dtls_srtp.protect_rtcp(compound) {
            Ok(packet) => self.send_on_path(now, packet.freeze()),
            Err(error) => trace!("a packet cannot be encrypted: {error}"),
        }
    }

    /// Sends a datagram from a local base to a remote address.
    pub(super) fn send_from(
        &mut self,
        now: Instant,
        base: LocalBase,
        to: SocketAddr,
        bytes: Bytes,
    ) {
        match base {
            LocalBase::Socket(from) => {
                self.outbox.push_back(TransportOutput::Datagram(Datagram { from, to, bytes }));
            }
            LocalBase::Allocation(index) => {
                self.turn_clients.send(index, to, &bytes);
                self.flush_turn_clients(now);
            }
        }
    }

    /// Sends a datagram on the selected path, or drops it without one.
    fn send_on_path(&mut self, now: Instant, bytes: Bytes) {
        if let Some(path) = self.agent.selected() {
            self.send_from(now, path.base, path.remote, bytes);
        }
    }

    pub(super) fn flush_dtls_srtp(&mut self, now: Instant) {
        while let Some(datagram) =
            self.dtls_srtp.as_mut().and_then(|dtls_srtp| dtls_srtp.poll_transmit())
        {
            self.send_on_path(now, datagram.freeze());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell_the_kind_of_a_datagram() {
        for (first, second, expected) in [
            (0, 1, PacketKind::Stun),
            (3, 0, PacketKind::Stun),
            (4, 0, PacketKind::Other),
            (20, 0, PacketKind::Dtls),
            (22, 254, PacketKind::Dtls),
            (63, 0, PacketKind::Dtls),
            (64, 0, PacketKind::Other),
            (128, 96, PacketKind::Rtp),
            (144, 224, PacketKind::Rtp),
            (128, 200, PacketKind::Rtcp),
            (129, 206, PacketKind::Rtcp),
            (192, 200, PacketKind::Other),
        ] {
            assert_eq!(demultiplex(&[first, second, 0]), expected, "{first} {second}");
        }
        assert_eq!(demultiplex(&[]), PacketKind::Other);
        assert_eq!(demultiplex(&[128]), PacketKind::Other);
    }
}
