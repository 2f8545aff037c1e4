//! The transports of a session. One carries everything for a peer that bundles its sections, as
//! browsers do; a section outside of the picture's bundle has one of its own (RFC 9143 §7.3.2).

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use porthole_signaling_proto::IceServer;

use crate::TurnTransport;
use crate::ice::LocalBase;
use crate::transport::{
    PeerTransport, TransportConfig, TransportOutput, media_ssrc, requested_ufrag,
};
use crate::turn_clients::MAX_CLIENTS;

/// Limit of transports in one session: for a picture and its sound.
pub(super) const MAX_TRANSPORTS: usize = 2;

/// Limit of remembered remote addresses, of which each transport has a handful.
const MAX_REMOTES: usize = 256;

/// All transports of a session, at least one. The first is the picture's, and what is said about
/// the session's path is about that one.
#[derive(Debug)]
pub(super) struct Transports {
    first: PeerTransport,
    others: Vec<PeerTransport>,
    config: TransportConfig,
    /// Index of the transport that has last sent to a remote address. Empty while there is one.
    remotes: HashMap<(LocalBase, SocketAddr), usize>,
}

impl Transports {
    pub(super) fn new(now: Instant, config: TransportConfig) -> Self {
        let first = PeerTransport::new(now, config.clone());
        Self { first, others: Vec::new(), config, remotes: HashMap::new() }
    }

    /// Adds transports until there are this many, at most [`MAX_TRANSPORTS`].
    pub(super) fn extend(&mut self, now: Instant, count: usize) {
        while self.len() < count.min(MAX_TRANSPORTS) {
            self.config.seed = self.config.seed.wrapping_add(1);
            self.others.push(PeerTransport::new(now, self.config.clone()));
        }
    }

    pub(super) fn len(&self) -> usize {
        1 + self.others.len()
    }

    pub(super) fn first(&self) -> &PeerTransport {
        &self.first
    }

    pub(super) fn first_mut(&mut self) -> &mut PeerTransport {
        &mut self.first
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &PeerTransport> {
        [&self.first].into_iter().chain(&self.others)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut PeerTransport> {
        [&mut self.first].into_iter().chain(&mut self.others)
    }

    pub(super) fn get_mut(&mut self, index: usize) -> Option<&mut PeerTransport> {
        match index.checked_sub(1) {
            None => Some(&mut self.first),
            Some(other) => self.others.get_mut(other),
        }
    }

    /// Returns a transport on which packets may flow.
    pub(super) fn ready(&mut self, index: usize) -> Option<&mut PeerTransport> {
        self.get_mut(index).filter(|transport| transport.is_ready())
    }

    /// Returns the next output and the index of its transport. The TURN clients of each transport
    /// are numbered after those of the transports before it.
    pub(super) fn poll_output(&mut self) -> Option<(usize, TransportOutput)> {
        let mut all = self.iter_mut().enumerate();
        let (index, output) = all.find_map(|(index, it)| it.poll_output().map(|o| (index, o)))?;
        drop(all);
        if let TransportOutput::Datagram(datagram) = &output {
            self.note((LocalBase::Socket(datagram.from), datagram.to), index);
        }
        if let TransportOutput::TurnTransport(client, command) = output {
            let client = session_client(index, client);
            return Some((index, TransportOutput::TurnTransport(client, command)));
        }
        Some((index, output))
    }

    fn note(&mut self, remote: (LocalBase, SocketAddr), index: usize) {
        if self.others.is_empty() || self.remotes.get(&remote) == Some(&index) {
            return;
        }
        if self.remotes.len() >= MAX_REMOTES {
            // Full of addresses that were tried once. Live ones return with the next datagram.
            self.remotes.clear();
        }
        self.remotes.insert(remote, index);
    }

    /// Returns the transport that a datagram is for: a STUN request names it, all else comes from
    /// an address that it has sent to, or is a report of the peer that it knows.
    pub(super) fn of_datagram(
        &mut self,
        base: LocalBase,
        from: SocketAddr,
        datagram: &[u8],
    ) -> &mut PeerTransport {
        let index = if self.others.is_empty() { None } else { self.find(base, from, datagram) };
        match index.and_then(|index| index.checked_sub(1)) {
            None => &mut self.first,
            Some(other) => self.others.get_mut(other).unwrap_or(&mut self.first),
        }
    }

    fn find(&self, base: LocalBase, from: SocketAddr, datagram: &[u8]) -> Option<usize> {
        let position = |of: &dyn Fn(&PeerTransport) -> bool| self.iter().position(of);
        let asked = requested_ufrag(datagram);
        asked
            .and_then(|ufrag| position(&|transport| transport.has_ufrag(&ufrag)))
            .or_else(|| self.remotes.get(&(base, from)).copied())
            .or_else(|| {
                let ssrc = media_ssrc(datagram)?;
                position(&|transport| transport.has_peer_ssrc(ssrc))
            })
    }

    pub(super) fn has_ufrag(&self, ufrag: &str) -> bool {
        self.iter().any(|transport| transport.has_ufrag(ufrag))
    }

    pub(super) fn has_peer_ssrc(&self, ssrc: u32) -> bool {
        self.iter().any(|transport| transport.has_peer_ssrc(ssrc))
    }

    pub(super) fn is_gathering(&self) -> bool {
        self.iter().any(PeerTransport::is_gathering)
    }

    pub(super) fn permit(&mut self, now: Instant, viewer: IpAddr) {
        self.iter_mut().for_each(|transport| transport.permit(now, viewer));
    }

    pub(super) fn set_ice_servers(&mut self, servers: &[IceServer]) {
        self.config.ice_servers = servers.to_vec();
        self.iter_mut().for_each(|transport| transport.set_ice_servers(servers.to_vec()));
    }

    /// Returns the transport that a TURN client of the session belongs to, and the client's index
    /// in it.
    pub(super) fn of_client(&mut self, client: u8) -> Option<(&mut PeerTransport, u8)> {
        let (index, client) = transport_client(client);
        self.get_mut(index).map(|transport| (transport, client))
    }

    pub(super) fn turn_transport(&self, client: u8) -> Option<TurnTransport> {
        let (index, client) = transport_client(client);
        self.iter().nth(index).and_then(|transport| transport.turn_transport(client))
    }
}

/// Returns the index in the session of a TURN client of the transport with this index.
fn session_client(transport: usize, client: u8) -> u8 {
    let before = u8::try_from(transport * MAX_CLIENTS).unwrap_or(u8::MAX);
    before.saturating_add(client)
}

/// Returns the index of the transport and that of its client.
fn transport_client(client: u8) -> (usize, u8) {
    let (count, client) = (MAX_CLIENTS, usize::from(client));
    (client / count, u8::try_from(client % count).unwrap_or(u8::MAX))
}
