//! Datagrams of a transport: demultiplexing (RFC 7983 §7), and sending on the selected path.

use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;
use porthole_turn_proto::stun::{Class, Message, attribute};
use tracing::trace;

use super::{PeerTransport, TransportFailure, TransportOutput};
use crate::Datagram;
use crate::ice::LocalBase;

/// Limit of remembered SSRCs of the peer: its reports have one, and every track that it sends.
const MAX_PEER_SSRCS: usize = 8;

/// Limit of DTLS datagrams that are kept until their path is validated: a ClientHello in fragments.
const MAX_EARLY_DTLS: usize = 4;

/// Maximum size of one in bytes; a handshake has none that is larger.
const MAX_EARLY_BYTES: usize = 2048;

/// A datagram that waits for the check of its path.
#[derive(Debug)]
pub(super) struct EarlyDatagram {
    base: LocalBase,
    from: SocketAddr,
    bytes: Bytes,
}

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

/// Returns the SSRC of the sender of an RTP or RTCP packet, which SRTP does not encrypt
/// (RFC 3711 §3.1, §3.4).
pub fn media_ssrc(datagram: &[u8]) -> Option<u32> {
    let at = match demultiplex(datagram) {
        PacketKind::Rtcp => 4..8,
        PacketKind::Rtp => 8..12,
        PacketKind::Stun | PacketKind::Dtls | PacketKind::Other => return None,
    };
    datagram.get(at)?.try_into().ok().map(u32::from_be_bytes)
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
            match self.agent.handle_stun(now, base, from, datagram) {
                Ok(()) => self.heard = true,
                Err(refused) => trace!("a STUN message is ignored: {refused}"),
            }
            return;
        }
        match kind {
            // One forged ClientHello would end a handshake, so only validated addresses may send
            // one.
            PacketKind::Dtls
                if self.agent.selected().is_some() && self.agent.is_validated(base, from) =>
            {
                self.handle_dtls(now, datagram);
            }
            // A peer whose own check has succeeded begins at once, a moment before ours has, and
            // there is no path yet on which it could be answered.
            PacketKind::Dtls
                if !self.ready
                    && self.early_dtls.len() < MAX_EARLY_DTLS
                    && datagram.len() <= MAX_EARLY_BYTES =>
            {
                let bytes = Bytes::copy_from_slice(datagram);
                self.early_dtls.push(EarlyDatagram { base, from, bytes });
            }
            // Media is authentic by itself, and from a new address it shows that the peer moved.
            PacketKind::Rtp | PacketKind::Rtcp if self.handle_srtp(kind, datagram) => {
                self.agent.handle_media(now, base, from);
            }
            PacketKind::Stun
            | PacketKind::Dtls
            | PacketKind::Rtp
            | PacketKind::Rtcp
            | PacketKind::Other => trace!("a datagram that is not authentic is dropped"),
        }
    }

    /// Handles the DTLS that came before the check of its path had succeeded.
    pub(super) fn handle_early_dtls(&mut self, now: Instant) {
        let can_answer = self.dtls_srtp.is_some() && self.agent.selected().is_some();
        if self.early_dtls.is_empty() || !can_answer {
            return;
        }
        let agent = &self.agent;
        let early: Vec<_> = self
            .early_dtls
            .extract_if(.., |early| agent.is_validated(early.base, early.from))
            .collect();
        for datagram in early {
            self.handle_dtls(now, &datagram.bytes);
        }
    }

    fn handle_dtls(&mut self, now: Instant, datagram: &[u8]) {
        let Some(dtls_srtp) = &mut self.dtls_srtp else { return };
        if let Err(error) = dtls_srtp.handle_dtls(now, datagram) {
            return self.fail(TransportFailure::Dtls(error.to_string()));
        }
        if dtls_srtp.is_closed() {
            return self.end(TransportOutput::Closed);
        }
        if dtls_srtp.is_ready() && !self.ready {
            self.ready = true;
            self.outbox.push_back(TransportOutput::Ready);
        }
    }

    /// Decrypts a packet of media. Returns false if it is not authentic.
    fn handle_srtp(&mut self, kind: PacketKind, datagram: &[u8]) -> bool {
        let Some(dtls_srtp) = &mut self.dtls_srtp else { return false };
        let plain = if kind == PacketKind::Rtcp {
            dtls_srtp.unprotect_rtcp(datagram).map(|plain| TransportOutput::Rtcp(plain.freeze()))
        } else {
            dtls_srtp.unprotect_rtp(datagram).map(|plain| TransportOutput::Rtp(plain.freeze()))
        };
        let Ok(output) = plain else { return false };
        self.outbox.push_back(output);
        if let Some(ssrc) = media_ssrc(datagram).filter(|ssrc| !self.has_peer_ssrc(*ssrc)) {
            if self.peer_ssrcs.len() >= MAX_PEER_SSRCS {
                self.peer_ssrcs.pop_front();
            }
            self.peer_ssrcs.push_back(ssrc);
        }
        true
    }

    /// Returns true if the peer has sent authentic packets with this SSRC.
    pub fn has_peer_ssrc(&self, ssrc: u32) -> bool {
        self.peer_ssrcs.contains(&ssrc)
    }

    /// Handles the opening of a TURN client's transport.
    pub fn handle_turn_transport_opened(&mut self, now: Instant, index: u8) {
        self.turn_clients.handle_opened(now, index);
        self.process(now);
    }

    /// Handles the end of a TURN client's transport.
    pub fn handle_turn_transport_closed(&mut self, now: Instant, index: u8) {
        self.turn_clients.handle_closed(now, index);
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
                self.relayed_bytes += bytes.len() as u64;
                self.turn_clients.send(now, index, to, &bytes);
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

/// Returns the user name fragment of the transport that a STUN request is for: the part of USERNAME
/// before the colon is the receiver's (RFC 8445 §7.2.2).
pub fn requested_ufrag(bytes: &[u8]) -> Option<String> {
    if bytes.first().is_none_or(|first| *first > 3) {
        return None;
    }
    let message = Message::parse(bytes).ok()?;
    if message.class() != Class::Request {
        return None;
    }
    let (ufrag, _) = message.text(attribute::USERNAME).ok()??.split_once(':')?;
    Some(ufrag.to_owned())
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

    #[test]
    fn the_ssrc_of_media_is_read_where_its_protocol_has_it() {
        let rtp = [0x80, 96, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
        let rtcp = [0x81, 201, 0, 7, 0, 0, 0, 4];
        for (name, datagram, expected) in [
            ("RTP", &rtp[..], Some(3)),
            ("RTCP", &rtcp, Some(4)),
            ("short RTP", &rtp[..11], None),
            ("short RTCP", &rtcp[..7], None),
            ("STUN", &[0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], None),
            ("DTLS", &[22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0], None),
            ("nothing", &[], None),
        ] {
            assert_eq!(media_ssrc(datagram), expected, "{name}");
        }
    }
}
