//! Gathering of server-reflexive addresses: the mapped addresses of the shared UDP port
//! (RFC 8445 §5.1.1.2).
//!
//! Queried once for all sessions, because they share the port, and again for a new session when the
//! result may be out of date.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use porthole_signaling_proto::IceServer;
use porthole_turn_proto::StunClient;
use porthole_turn_proto::uri::Scheme;
use tracing::warn;

use crate::Datagram;
use crate::ice_servers::{MAX_ICE_SERVERS, are_too_many, endpoints};
use crate::turn_clients::{IceServerEndpoint, TurnTransport};

/// Age at which a result is queried again: shorter than the 30 s for which home routers keep an
/// unused UDP mapping (RFC 4787 §4.3 requires two minutes, but many do not comply).
const FRESH: Duration = Duration::from_secs(10);

/// Limit of remembered STUN servers; a session names one or two.
const MAX_SERVERS: usize = 8;

/// Limit of queries in flight: one from every local address to every server.
const MAX_QUERIES: usize = 64;

/// Queries STUN servers for the server-reflexive addresses of the shared port.
#[derive(Debug, Default)]
pub struct ReflexiveGatherer {
    bases: Vec<SocketAddr>,
    servers: Vec<Server>,
    queries: Vec<Query>,
    known: Vec<Known>,
    resolve: VecDeque<IceServerEndpoint>,
    transmits: VecDeque<Datagram>,
    /// The log has said that a session names too many servers.
    has_warned: bool,
}

#[derive(Debug)]
struct Server {
    at: IceServerEndpoint,
    addresses: Vec<SocketAddr>,
    queried: Option<Instant>,
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
    /// Sets the addresses of the machine and forgets all results for the old ones.
    pub fn set_bases(&mut self, bases: Vec<SocketAddr>) {
        self.bases = bases;
        self.queries.clear();
        self.known.clear();
        for server in &mut self.servers {
            server.queried = None;
        }
    }

    /// Queries the STUN servers among `servers` whose results are missing or stale. Called at the
    /// beginning and restart of a session.
    pub fn refresh(&mut self, now: Instant, servers: &[IceServer]) {
        if are_too_many(servers) && !std::mem::replace(&mut self.has_warned, true) {
            warn!("the signaling server names more than {MAX_ICE_SERVERS} STUN and TURN servers");
        }
        for (scheme, at, _) in endpoints(servers) {
            let stun = scheme == Scheme::Stun && at.transport == TurnTransport::Udp;
            let known = self.servers.iter().any(|server| server.at == at);
            if stun && !known && self.servers.len() < MAX_SERVERS {
                self.resolve.push_back(at.clone());
                self.servers.push(Server {
                    at,
                    addresses: Vec::new(),
                    queried: None,
                    resolving: true,
                });
            }
        }
        self.start_queries(now);
    }

    /// Handles the addresses of a server's host name; `addresses` is empty if it was not found.
    pub fn handle_resolved(
        &mut self,
        now: Instant,
        at: &IceServerEndpoint,
        addresses: &[SocketAddr],
    ) {
        if let Some(server) = self.servers.iter_mut().find(|server| server.at == *at) {
            server.resolving = false;
            // One of each address family is enough.
            let first = |v4| addresses.iter().find(|a| a.is_ipv4() == v4);
            server.addresses = [first(true), first(false)].into_iter().flatten().copied().collect();
        }
        // A name that is not found is resolved again for the next session.
        self.servers.retain(|server| server.resolving || !server.addresses.is_empty());
        self.start_queries(now);
    }

    fn start_queries(&mut self, now: Instant) {
        for server in &mut self.servers {
            let stale = |at: Instant| now.saturating_duration_since(at) >= FRESH;
            if server.addresses.is_empty() || !server.queried.is_none_or(stale) {
                continue;
            }
            server.queried = Some(now);
            for address in &server.addresses {
                // The mapped address may have changed.
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

    /// Handles a datagram on the shared port. Returns the base and its mapped address if it is a
    /// response to one of our queries.
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

    /// Returns the known pairs of base and server-reflexive address.
    pub fn known(&self) -> impl Iterator<Item = (SocketAddr, SocketAddr)> {
        self.known.iter().map(|known| (known.base, known.mapped))
    }

    /// Returns true once every server name is resolved and each address family has a result, or all
    /// of its queries have failed.
    pub fn is_complete(&self) -> bool {
        let answered = |q: &Query| self.known.iter().any(|k| k.base.is_ipv4() == q.base.is_ipv4());
        self.servers.iter().all(|server| !server.resolving) && self.queries.iter().all(answered)
    }

    /// Returns the time at which [`Self::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.queries.iter().filter_map(|query| query.client.poll_timeout()).min()
    }

    /// Retransmits unanswered queries and gives up on old ones.
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

    /// Returns the next STUN request to send.
    pub fn poll_transmit(&mut self) -> Option<Datagram> {
        self.transmits.pop_front()
    }

    /// Returns the next host name to resolve; pass the result to [`Self::handle_resolved`].
    pub fn poll_resolve(&mut self) -> Option<IceServerEndpoint> {
        self.resolve.pop_front()
    }
}

#[cfg(test)]
mod tests;
