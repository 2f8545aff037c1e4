//! Datagrams of a session: sorted by their first byte (RFC 7983 §7), sent on the path.

use super::{Session, SessionOutput};
use crate::Datagram;
use crate::ice::LocalEnd;
use bytes::Bytes;
use std::net::SocketAddr;
use std::time::Instant;
use tracing::trace;

/// What a datagram is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    Stun,
    Dtls,
    Rtp,
    Rtcp,
    Other,
}

/// RTP and RTCP share a port; RTCP's packet types are no payload types (RFC 5761 §4).
fn sort(datagram: &[u8]) -> Sort {
    match datagram {
        [0..=3, ..] => Sort::Stun,
        [20..=63, ..] => Sort::Dtls,
        [128..=191, 192..=223, ..] => Sort::Rtcp,
        [128..=191, _, ..] => Sort::Rtp,
        _ => Sort::Other,
    }
}

impl Session {
    /// A datagram from a peer, on the shared port or by way of an allocation.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        end: LocalEnd,
        from: SocketAddr,
        datagram: &[u8],
    ) {
        self.take_datagram(now, end, from, datagram);
        self.settle(now);
    }

    fn take_datagram(&mut self, now: Instant, end: LocalEnd, from: SocketAddr, datagram: &[u8]) {
        if self.ended {
            return;
        }
        let sort = sort(datagram);
        if sort == Sort::Stun {
            if let Err(refused) = self.agent.handle_stun(now, end, from, datagram) {
                trace!("a STUN message changes nothing: {refused}");
            }
            return;
        }
        // One forged ClientHello would end a handshake: only who answered a check is heard.
        if !self.agent.is_proven(end, from) {
            trace!("a datagram from an address that is not proven");
            return;
        }
        match sort {
            Sort::Dtls => self.take_dtls(now, datagram),
            Sort::Rtp => self.take_rtp(now, datagram),
            Sort::Rtcp => self.take_rtcp(now, datagram),
            Sort::Stun | Sort::Other => {}
        }
    }

    fn take_dtls(&mut self, now: Instant, datagram: &[u8]) {
        let Some(secure) = &mut self.secure else { return };
        if let Err(error) = secure.handle_dtls(now, datagram) {
            return self.end(&error.to_string());
        }
        if secure.is_closed() {
            return self.end("the viewer left");
        }
        if secure.is_ready() && !self.started {
            self.started = true;
            self.outbox.push_back(SessionOutput::Started);
        }
    }

    /// The transport to a TURN server is open.
    pub fn handle_relay_opened(&mut self, now: Instant, index: u8) {
        self.relays.handle_opened(now, index);
        self.settle(now);
    }

    /// The transport to a TURN server is closed.
    pub fn handle_relay_closed(&mut self, now: Instant, index: u8) {
        self.relays.handle_closed(index);
        self.settle(now);
    }

    /// Bytes from a TURN server.
    pub fn handle_relay_bytes(&mut self, now: Instant, index: u8, bytes: &[u8]) {
        let mut datagrams = Vec::new();
        self.relays.handle_bytes(now, index, bytes, |peer, datagram| {
            datagrams.push((peer, Bytes::copy_from_slice(datagram)));
        });
        for (peer, datagram) in datagrams {
            self.take_datagram(now, LocalEnd::Relay(index), peer, &datagram);
        }
        self.settle(now);
    }

    /// Sends a datagram from one end to a peer.
    pub(super) fn send_from(&mut self, now: Instant, end: LocalEnd, to: SocketAddr, bytes: Bytes) {
        match end {
            LocalEnd::Socket(from) => {
                self.outbox.push_back(SessionOutput::Datagram(Datagram { from, to, bytes }));
            }
            LocalEnd::Relay(index) => {
                self.relays.send(index, to, &bytes);
                self.flush_relays(now);
            }
        }
    }

    /// Sends a datagram on the path that is in use.
    pub(super) fn send_on_path(&mut self, now: Instant, bytes: Bytes) {
        if let Some(path) = self.agent.selected() {
            self.send_from(now, path.end, path.remote, bytes);
        }
    }

    pub(super) fn flush_secure(&mut self, now: Instant) {
        while let Some(datagram) = self.secure.as_mut().and_then(|secure| secure.poll_transmit()) {
            self.send_on_path(now, datagram.freeze());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell_what_a_datagram_is() {
        for (first, second, expected) in [
            (0, 1, Sort::Stun),
            (3, 0, Sort::Stun),
            (4, 0, Sort::Other),
            (20, 0, Sort::Dtls),
            (22, 254, Sort::Dtls),
            (63, 0, Sort::Dtls),
            (64, 0, Sort::Other),
            (128, 96, Sort::Rtp),
            (144, 224, Sort::Rtp),
            (128, 200, Sort::Rtcp),
            (129, 206, Sort::Rtcp),
            (192, 200, Sort::Other),
        ] {
            assert_eq!(sort(&[first, second, 0]), expected, "{first} {second}");
        }
        assert_eq!(sort(&[]), Sort::Other);
        assert_eq!(sort(&[128]), Sort::Other);
    }
}
