//! The session's transports, for what the gateway passes to it: datagrams, addresses, ICE servers.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use porthole_signaling_proto::{IceCandidate, IceServer};

use super::{Section, Session};
use crate::TurnTransport;
use crate::dtls_srtp::SrtpProfile;
use crate::ice::{LocalBase, Path};
use crate::port_mapping::Mapping;
use crate::stats::PathKind;

/// Shortest time between two restarts of a session for ports that a router forwards: whoever can
/// write as the router is no reason to negotiate all the time.
const MAPPING_RESTART: Duration = Duration::from_secs(60);

/// Returns true, and notes the time, if enough of it has passed since the last restart.
fn may_restart(last: &mut Option<Instant>, now: Instant) -> bool {
    let is_due = last.is_none_or(|last| now.saturating_duration_since(last) >= MAPPING_RESTART);
    if is_due {
        *last = Some(now);
    }
    is_due
}

impl Session {
    /// Returns true if a STUN request with this local user name fragment is for this session.
    pub fn has_ufrag(&self, ufrag: &str) -> bool {
        self.transports.has_ufrag(ufrag)
    }

    /// Returns true if the peer has sent authentic packets with this SSRC.
    pub fn has_peer_ssrc(&self, ssrc: u32) -> bool {
        self.transports.has_peer_ssrc(ssrc)
    }

    /// Returns the path that carries the packets.
    pub fn path(&self) -> Option<Path> {
        self.transports.first().path()
    }

    /// Returns the kind of the path that carries the packets.
    pub fn path_kind(&self) -> Option<PathKind> {
        self.transports.first().path_kind()
    }

    /// Returns the time since the session was created.
    pub fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.created_at)
    }

    /// Describes the path for logs, for example `direct` or `relayed over TCP`.
    pub fn describe_path(&self) -> String {
        self.transports.first().describe_path()
    }

    /// Returns the profile that protects the packets, once the keys are agreed.
    pub fn srtp_profile(&self) -> Option<SrtpProfile> {
        self.transports.first().srtp_profile()
    }

    /// Lets packets from this address in through our relayed candidates, for a viewer that does not
    /// tell us its public address.
    pub fn permit(&mut self, now: Instant, viewer: IpAddr) {
        self.transports.permit(now, viewer);
        self.process_transport(now);
    }

    /// Returns the transport of the TURN client with this index.
    pub fn turn_transport(&self, index: u8) -> Option<TurnTransport> {
        self.transports.turn_transport(index)
    }

    /// Returns true while candidates are being gathered.
    pub fn is_gathering(&self) -> bool {
        self.transports.is_gathering()
    }

    /// Returns the STUN and TURN servers of the session.
    pub fn ice_servers(&self) -> &[IceServer] {
        self.transports.first().ice_servers()
    }

    /// Sets fresh credentials of the same TURN servers, for future allocations.
    pub fn set_ice_servers(&mut self, servers: Vec<IceServer>) {
        self.transports.set_ice_servers(&servers);
    }

    /// Sets the addresses of this machine, each with the shared port.
    pub fn set_addresses(&mut self, now: Instant, addresses: &[SocketAddr]) {
        self.transports.iter_mut().for_each(|transport| transport.set_addresses(now, addresses));
        self.process_transport(now);
    }

    /// Handles a STUN server's response: the address `base` is mapped to `mapped`.
    pub fn handle_reflexive(&mut self, now: Instant, base: SocketAddr, mapped: SocketAddr) {
        self.transports.iter_mut().for_each(|it| it.handle_reflexive(now, base, mapped));
        self.process_transport(now);
    }

    /// Sets the port that a router forwards to the shared port. A session that is relayed restarts
    /// for a new one: the path that it has stays until there is a better one. What comes within
    /// a minute of the last one is used after the next restart.
    pub fn set_mapping(&mut self, now: Instant, mapping: Option<Mapping>) {
        let mut would_help = false;
        for transport in self.transports.iter_mut() {
            would_help |= transport.set_mapping(now, mapping);
        }
        if would_help && may_restart(&mut self.mapping_restart, now) {
            self.restart(now);
        }
        self.process_transport(now);
    }

    /// Handles the end of the search for reflexive addresses.
    pub fn handle_reflexive_complete(&mut self, now: Instant) {
        self.transports.iter_mut().for_each(|it| it.handle_reflexive_complete(now));
        self.process_transport(now);
    }

    /// Handles a candidate of the peer; an empty one ends its candidates. One that names a section
    /// is for that section's transport.
    pub fn handle_candidate(&mut self, now: Instant, candidate: &IceCandidate) {
        let mid = candidate.sdp_mid.as_deref();
        let named = self.sections.iter().find(|section| Some(section.mid()) == mid);
        let only = named.map(Section::transport);
        for (index, transport) in self.transports.iter_mut().enumerate() {
            if only.is_none_or(|only| only == index) {
                transport.handle_candidate(now, &candidate.candidate);
            }
        }
        self.process_transport(now);
    }

    /// Handles a datagram of the peer that arrived at `base`: on the shared port or through a TURN
    /// allocation.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        base: LocalBase,
        from: SocketAddr,
        datagram: &[u8],
    ) {
        if !self.ended {
            let transport = self.transports.of_datagram(base, from, datagram);
            transport.handle_datagram(now, base, from, datagram);
            self.process_transport(now);
        }
    }

    /// Handles the opening of a TURN client's transport.
    pub fn handle_turn_transport_opened(&mut self, now: Instant, index: u8) {
        if let Some((transport, index)) = self.transports.of_client(index) {
            transport.handle_turn_transport_opened(now, index);
        }
        self.process_transport(now);
    }

    /// Handles the end of a TURN client's transport.
    pub fn handle_turn_transport_closed(&mut self, now: Instant, index: u8) {
        if let Some((transport, index)) = self.transports.of_client(index) {
            transport.handle_turn_transport_closed(now, index);
        }
        self.process_transport(now);
    }

    /// Handles bytes from a TURN server.
    pub fn handle_turn_transport_data(&mut self, now: Instant, index: u8, bytes: &[u8]) {
        if self.ended {
            return;
        }
        if let Some((transport, index)) = self.transports.of_client(index) {
            transport.handle_turn_transport_data(now, index, bytes);
            self.process_transport(now);
        }
    }

    /// Handles the reconnection to the signaling server: a lost path is restarted at once.
    pub fn handle_signaling_restored(&mut self, now: Instant) {
        if self.transports.first().is_lost() {
            self.restart(now);
            self.process_transport(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_restart_a_session_once_a_minute_however_many_there_are() {
        let start = Instant::now();
        let mut last = None;
        let restarts = (0..600)
            .filter(|second| may_restart(&mut last, start + Duration::from_secs(*second)))
            .count();
        assert_eq!(restarts, 10);
    }
}
