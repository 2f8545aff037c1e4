//! Routing of datagrams to sessions, and what sessions learn about the machine's addresses.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Instant;

use porthole_signaling_proto::SessionId;
use tracing::trace;

use super::Gateway;
use crate::Output;
use crate::ice::LocalBase;
use crate::session::Session;
use crate::transport::{media_ssrc, requested_ufrag};

/// Limit of remembered remote addresses; every session has a handful of remote candidates.
const MAX_REMOTES: usize = 16 * 1024;

/// The session that last used a local base and a remote address, so that most datagrams need no
/// search.
#[derive(Debug, Default)]
pub(super) struct Remotes(HashMap<(LocalBase, SocketAddr), SessionId>);

impl Remotes {
    fn session(&self, remote: &(LocalBase, SocketAddr)) -> Option<&SessionId> {
        self.0.get(remote)
    }

    /// Notes that a session exchanges datagrams with this remote address.
    pub(super) fn note(&mut self, remote: (LocalBase, SocketAddr), id: &SessionId) {
        if self.session(&remote).is_some_and(|known| known == id) {
            return;
        }
        if self.0.len() >= MAX_REMOTES {
            // Full of addresses that were tried once. Live ones return with their next datagram.
            self.0.clear();
        }
        self.0.insert(remote, id.clone());
    }

    /// Forgets the addresses of a session that has ended.
    pub(super) fn forget(&mut self, id: &SessionId) {
        self.0.retain(|_, session| session != id);
    }
}

impl Gateway {
    /// Passes a datagram on the shared port to its session: a STUN request names the session, all
    /// else comes from an address that the session has sent to. Reports from another address show
    /// by their SSRC that a viewer has moved.
    pub(super) fn route_datagram(
        &mut self,
        now: Instant,
        local: SocketAddr,
        from: SocketAddr,
        bytes: &[u8],
    ) {
        let base = LocalBase::Socket(local);
        if let Some((base, mapped)) = self.reflexive.handle_response(from, bytes) {
            self.handle_reflexive(now, base, mapped);
            return;
        }
        let addressed = requested_ufrag(bytes).and_then(|ufrag| self.session_of(&ufrag));
        let session = addressed
            .or_else(|| self.remotes.session(&(base, from)).cloned())
            .or_else(|| media_ssrc(bytes).and_then(|ssrc| self.session_by_ssrc(ssrc)));
        let Some(id) = session else {
            trace!("a datagram belongs to no session");
            return;
        };
        self.with_session(now, &id, |session| session.handle_datagram(now, base, from, bytes));
    }

    fn session_of(&self, ufrag: &str) -> Option<SessionId> {
        self.sessions.iter().find(|(_, s)| s.has_ufrag(ufrag)).map(|(id, _)| id.clone())
    }

    fn session_by_ssrc(&self, ssrc: u32) -> Option<SessionId> {
        self.sessions.iter().find(|(_, s)| s.has_peer_ssrc(ssrc)).map(|(id, _)| id.clone())
    }

    /// Passes the machine's addresses and their known reflexive addresses to a session.
    pub(super) fn gather(&mut self, now: Instant, id: &SessionId) {
        let addresses = self.addresses.clone();
        let known: Vec<_> = self.reflexive.known().collect();
        let (complete, mapping) = (self.reflexive.is_complete(), self.mapping);
        self.with_session(now, id, |session| {
            session.set_addresses(now, &addresses);
            for (base, mapped) in known {
                session.handle_reflexive(now, base, mapped);
            }
            session.set_mapping(now, mapping);
            if complete {
                session.handle_reflexive_complete(now);
            }
        });
    }

    fn handle_reflexive(&mut self, now: Instant, base: SocketAddr, mapped: SocketAddr) {
        for id in self.sessions.keys().cloned().collect::<Vec<_>>() {
            self.with_session(now, &id, |session| session.handle_reflexive(now, base, mapped));
        }
        self.process_reflexive_outputs(now);
    }

    pub(super) fn process_reflexive_outputs(&mut self, now: Instant) {
        while let Some(datagram) = self.reflexive.poll_transmit() {
            self.outbox.push_back(Output::Datagram(datagram));
        }
        while let Some(server) = self.reflexive.poll_resolve() {
            self.outbox.push_back(Output::Resolve(server));
        }
        if self.reflexive.is_complete() {
            for id in self.gathering_sessions() {
                self.with_session(now, &id, |session| session.handle_reflexive_complete(now));
            }
        }
    }

    fn gathering_sessions(&self) -> Vec<SessionId> {
        let gathering = self.sessions.iter().filter(|(_, session)| Session::is_gathering(session));
        gathering.map(|(id, _)| id.clone()).collect()
    }
}
