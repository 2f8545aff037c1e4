//! Server-reflexive addresses: where the world sees the shared UDP port (RFC 8445 §5.1.1.2).
//!
//! Asked once for all sessions, since they share the port, and asked again for a new session when
//! the answer may be out of date.

use crate::Datagram;
use crate::turn_clients::{IceServerEndpoint, TurnTransport};
use porthole_signaling_proto::IceServer;
use porthole_turn_proto::{StunClient, uri::Scheme};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// After this an answer is asked for again: shorter than the 30 s a NAT keeps a UDP mapping that
/// nobody uses (RFC 4787 §4.3 asks for two minutes, but home routers do as they like).
const FRESH: Duration = Duration::from_secs(10);

/// STUN servers that are remembered; a session names one or two.
const MAX_SERVERS: usize = 8;

/// Questions under way: every address to every server.
const MAX_QUERIES: usize = 64;

/// Asks STUN servers for the reflexive addresses of the shared port.
#[derive(Debug, Default)]
pub struct ReflexiveGatherer {
    bases: Vec<SocketAddr>,
    servers: Vec<Server>,
    queries: Vec<Query>,
    known: Vec<Known>,
    resolve: VecDeque<IceServerEndpoint>,
    transmits: VecDeque<Datagram>,
}

#[derive(Debug)]
struct Server {
    at: IceServerEndpoint,
    addresses: Vec<SocketAddr>,
    asked: Option<Instant>,
    resolving: bool,
}

#[derive(Debug)]
struct Query {
    base: SocketAddr,
    server: SocketAddr,
    client: StunClient,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    base: SocketAddr,
    server: SocketAddr,
    mapped: SocketAddr,
}

impl ReflexiveGatherer {
    /// The machine's addresses changed: what was known is worth nothing.
    pub fn set_bases(&mut self, bases: Vec<SocketAddr>) {
        self.bases = bases;
        self.queries.clear();
        self.known.clear();
        for server in &mut self.servers {
            server.asked = None;
        }
    }

    /// A session begins: asks what is not known well enough.
    pub fn refresh(&mut self, now: Instant, servers: &[IceServer]) {
        let uris = servers.iter().flat_map(|server| &server.urls);
        for (scheme, at) in uris.filter_map(|uri| IceServerEndpoint::parse(uri)) {
            let stun = scheme == Scheme::Stun && at.transport == TurnTransport::Udp;
            let known = self.servers.iter().any(|server| server.at == at);
            if stun && !known && self.servers.len() < MAX_SERVERS {
                self.resolve.push_back(at.clone());
                self.servers.push(Server {
                    at,
                    addresses: Vec::new(),
                    asked: None,
                    resolving: true,
                });
            }
        }
        self.start_queries(now);
    }

    /// The addresses of a server's name; none if it has none.
    pub fn handle_resolved(
        &mut self,
        now: Instant,
        at: &IceServerEndpoint,
        addresses: &[SocketAddr],
    ) {
        if let Some(server) = self.servers.iter_mut().find(|server| server.at == *at) {
            server.resolving = false;
            // One for each family will do.
            let first = |v4| addresses.iter().find(|a| a.is_ipv4() == v4);
            server.addresses = [first(true), first(false)].into_iter().flatten().copied().collect();
        }
        // A name that is not found may be found for the next session.
        self.servers.retain(|server| server.resolving || !server.addresses.is_empty());
        self.start_queries(now);
    }

    fn start_queries(&mut self, now: Instant) {
        for server in &mut self.servers {
            let stale = |at: Instant| now.saturating_duration_since(at) >= FRESH;
            if server.addresses.is_empty() || !server.asked.is_none_or(stale) {
                continue;
            }
            server.asked = Some(now);
            for address in &server.addresses {
                // What is asked again may be another by now.
                self.known.retain(|known| known.server != *address);
                let bases = self.bases.iter().filter(|b| b.is_ipv4() == address.is_ipv4());
                for base in
                    bases.filter(|base| !base.ip().is_loopback() || address.ip().is_loopback())
                {
                    if self.queries.len() < MAX_QUERIES {
                        let client = StunClient::new(now);
                        self.queries.push(Query { base: *base, server: *address, client });
                    }
                }
            }
        }
        self.collect_transmits();
    }

    /// A STUN answer on the shared port; the base and what it is seen as, if it is one of ours.
    pub fn handle_response(
        &mut self,
        from: SocketAddr,
        datagram: &[u8],
    ) -> Option<(SocketAddr, SocketAddr)> {
        let answered = self.queries.iter_mut().enumerate().find_map(|(index, query)| {
            (query.server == from)
                .then(|| query.client.handle_datagram(datagram))
                .flatten()
                .map(|mapped| (index, mapped))
        });
        let (index, mapped) = answered?;
        let Query { base, server, .. } = self.queries.swap_remove(index);
        self.known.retain(|known| (known.base, known.server) != (base, server));
        self.known.push(Known { base, server, mapped });
        Some((base, mapped))
    }

    /// What is known already: base and reflexive address.
    pub fn known(&self) -> impl Iterator<Item = (SocketAddr, SocketAddr)> {
        self.known.iter().map(|known| (known.base, known.mapped))
    }

    /// Whether nothing more will be learned for now.
    pub fn is_complete(&self) -> bool {
        let answered = |q: &Query| self.known.iter().any(|k| k.base.is_ipv4() == q.base.is_ipv4());
        self.servers.iter().all(|server| !server.resolving) && self.queries.iter().all(answered)
    }

    /// When [`Self::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.queries.iter().filter_map(|query| query.client.poll_timeout()).min()
    }

    /// Asks again what was not answered.
    pub fn handle_timeout(&mut self, now: Instant) {
        for query in &mut self.queries {
            query.client.handle_timeout(now);
        }
        self.collect_transmits();
        self.queries.retain(|query| !query.client.has_failed());
    }

    fn collect_transmits(&mut self) {
        for Query { base, server, client } in &mut self.queries {
            while let Some(bytes) = client.poll_transmit() {
                self.transmits.push_back(Datagram {
                    from: *base,
                    to: *server,
                    bytes: bytes.into(),
                });
            }
        }
    }

    /// The next question.
    pub fn poll_transmit(&mut self) -> Option<Datagram> {
        self.transmits.pop_front()
    }

    /// A name to look up.
    pub fn poll_resolve(&mut self) -> Option<IceServerEndpoint> {
        self.resolve.pop_front()
    }
}

#[cfg(test)]
mod tests;
