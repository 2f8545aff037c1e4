//! The session's transport, for what the gateway passes to it: datagrams, addresses, ICE servers.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use porthole_signaling_proto::IceServer;

use super::Session;
use crate::TurnTransport;
use crate::dtls_srtp::SrtpProfile;
use crate::ice::{LocalBase, Path};

impl Session {
    /// Returns true if a STUN request with this local user name fragment is for this session.
    pub fn has_ufrag(&self, ufrag: &str) -> bool {
        self.transport.has_ufrag(ufrag)
    }

    /// Returns true if the peer has sent authentic packets with this SSRC.
    pub fn has_peer_ssrc(&self, ssrc: u32) -> bool {
        self.transport.has_peer_ssrc(ssrc)
    }

    /// Returns the path that carries the packets.
    pub fn path(&self) -> Option<Path> {
        self.transport.path()
    }

    /// Describes the path for logs, for example `direct` or `relayed over TCP`.
    pub fn describe_path(&self) -> String {
        self.transport.describe_path()
    }

    /// Returns the profile that protects the packets, once the keys are agreed.
    pub fn srtp_profile(&self) -> Option<SrtpProfile> {
        self.transport.srtp_profile()
    }

    /// Lets packets from this address in through our relayed candidates, for a viewer that does not
    /// tell us its public address.
    pub fn permit(&mut self, now: Instant, viewer: IpAddr) {
        self.transport.permit(now, viewer);
        self.process_transport(now);
    }

    /// Returns the transport of the TURN client with this index.
    pub fn turn_transport(&self, index: u8) -> Option<TurnTransport> {
        self.transport.turn_transport(index)
    }

    /// Returns true while candidates are being gathered.
    pub fn is_gathering(&self) -> bool {
        self.transport.is_gathering()
    }

    /// Returns the STUN and TURN servers of the session.
    pub fn ice_servers(&self) -> &[IceServer] {
        self.transport.ice_servers()
    }

    /// Sets fresh credentials of the same TURN servers, for future allocations.
    pub fn set_ice_servers(&mut self, servers: Vec<IceServer>) {
        self.transport.set_ice_servers(servers);
    }

    /// Sets the addresses of this machine, each with the shared port.
    pub fn set_addresses(&mut self, now: Instant, addresses: &[SocketAddr]) {
        self.transport.set_addresses(now, addresses);
        self.process_transport(now);
    }

    /// Handles a STUN server's response: the address `base` is mapped to `mapped`.
    pub fn handle_reflexive(&mut self, now: Instant, base: SocketAddr, mapped: SocketAddr) {
        self.transport.handle_reflexive(now, base, mapped);
        self.process_transport(now);
    }

    /// Handles the end of the search for reflexive addresses.
    pub fn handle_reflexive_complete(&mut self, now: Instant) {
        self.transport.handle_reflexive_complete(now);
        self.process_transport(now);
    }

    /// Handles a candidate line of the peer; an empty one ends its candidates.
    pub fn handle_candidate(&mut self, now: Instant, candidate: &str) {
        self.transport.handle_candidate(now, candidate);
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
            self.transport.handle_datagram(now, base, from, datagram);
            self.process_transport(now);
        }
    }

    /// Handles the opening of a TURN client's transport.
    pub fn handle_turn_transport_opened(&mut self, now: Instant, index: u8) {
        self.transport.handle_turn_transport_opened(now, index);
        self.process_transport(now);
    }

    /// Handles the end of a TURN client's transport.
    pub fn handle_turn_transport_closed(&mut self, now: Instant, index: u8) {
        self.transport.handle_turn_transport_closed(now, index);
        self.process_transport(now);
    }

    /// Handles bytes from a TURN server.
    pub fn handle_turn_transport_data(&mut self, now: Instant, index: u8, bytes: &[u8]) {
        if !self.ended {
            self.transport.handle_turn_transport_data(now, index, bytes);
            self.process_transport(now);
        }
    }

    /// Handles the reconnection to the signaling server: a lost path is restarted at once.
    pub fn handle_signaling_restored(&mut self, now: Instant) {
        if self.transport.is_lost() {
            self.restart(now);
            self.process_transport(now);
        }
    }
}
