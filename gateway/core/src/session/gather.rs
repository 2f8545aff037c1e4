//! Our candidates: found, told to the agent, told to the viewer.

use super::{MID, Session, SessionOutput};
use crate::ice::{Candidate, CandidateKind, LocalBase, dual_stack_preferences};
use crate::turn_clients::TurnClientsOutput;
use porthole_signaling_proto::{IceCandidate, IceServer};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How long candidates are waited for. A STUN server that is far answers in 300 ms, a TURN server
/// in twice that; what comes later is still trickled where that is possible.
const GATHERING_TIME: Duration = Duration::from_millis(1500);

/// How far gathering is.
#[derive(Debug)]
pub(super) struct Gathering {
    until: Option<Instant>,
    reflexive: bool,
    /// For answers and restarts that carry their candidates with them.
    found: Vec<String>,
}

impl Gathering {
    pub(super) fn new(now: Instant) -> Self {
        Self { until: Some(now + GATHERING_TIME), reflexive: false, found: Vec::new() }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.until
    }

    pub(super) fn found(&self) -> &[String] {
        &self.found
    }
}

impl Session {
    /// Whether candidates are still looked for.
    pub fn is_gathering(&self) -> bool {
        self.gathering.until.is_some()
    }

    /// Our addresses, each with the shared port.
    pub fn set_addresses(&mut self, now: Instant, addresses: &[SocketAddr]) {
        if self.config.turn_only {
            return;
        }
        let gone: Vec<_> = self.host_addresses().filter(|a| !addresses.contains(a)).collect();
        for address in gone {
            self.agent.remove_local(now, LocalBase::Socket(address));
        }
        let ips: Vec<_> = addresses.iter().map(SocketAddr::ip).collect();
        for (address, preference) in addresses.iter().zip(dual_stack_preferences(&ips)) {
            let base = LocalBase::Socket(*address);
            self.add_local(now, CandidateKind::Host, base, *address, None, preference);
        }
        self.process_pending(now);
    }

    fn host_addresses(&self) -> impl Iterator<Item = SocketAddr> {
        let host = |candidate: &&Candidate| candidate.kind == CandidateKind::Host;
        self.agent.local_candidates().filter(host).map(|candidate| candidate.address)
    }

    /// One of our addresses is seen as another from outside.
    pub fn handle_reflexive(&mut self, now: Instant, base: SocketAddr, mapped: SocketAddr) {
        if self.config.turn_only || base == mapped {
            return;
        }
        let local = LocalBase::Socket(base);
        let kind = CandidateKind::ServerReflexive;
        self.add_local(now, kind, local, mapped, Some(base), u16::MAX);
        self.process_pending(now);
    }

    /// The STUN and TURN servers in use.
    pub fn ice_servers(&self) -> &[IceServer] {
        &self.config.ice_servers
    }

    /// Fresh credentials for the same TURN servers, for allocations to come.
    pub fn set_ice_servers(&mut self, servers: Vec<IceServer>) {
        self.turn_clients.set_credentials(&servers);
        self.config.ice_servers = servers;
    }

    /// No more reflexive addresses will come for now.
    pub fn handle_reflexive_complete(&mut self, now: Instant) {
        self.gathering.reflexive = true;
        self.process_pending(now);
    }

    fn add_local(
        &mut self,
        now: Instant,
        kind: CandidateKind,
        base: LocalBase,
        address: SocketAddr,
        related: Option<SocketAddr>,
        preference: u16,
    ) {
        let added = self.agent.add_local(now, kind, base, address, related, preference);
        let Some(candidate) = added else { return };
        let line = candidate.to_string();
        self.gathering.found.push(line.clone());
        self.trickle(line);
    }

    /// Tells the viewer, unless an answer that is still due will.
    fn trickle(&mut self, candidate: String) {
        if self.local.pending.is_some() {
            return;
        }
        self.outbox.push_back(SessionOutput::Trickle(IceCandidate {
            candidate,
            sdp_mid: Some(MID.to_owned()),
            sdp_mline_index: Some(0),
            username_fragment: Some(self.local.credentials.ufrag.clone()),
        }));
    }

    /// Ends gathering when nothing more can come, or has come in time.
    pub(super) fn advance_gathering(&mut self, now: Instant) {
        let Some(until) = self.gathering.until else { return };
        let reflexive = self.gathering.reflexive || self.config.turn_only;
        if now < until && !(reflexive && self.turn_clients.is_complete()) {
            return;
        }
        self.gathering.until = None;
        if self.local.pending.is_some() {
            self.send_pending_description();
        } else {
            self.trickle(String::new());
        }
    }

    /// Candidates are looked for again: ICE restarts, and the network may be another.
    pub(super) fn gather_again(&mut self, now: Instant) {
        let known = self.agent.local_candidates().map(ToString::to_string).collect();
        self.gathering = Gathering { found: known, ..Gathering::new(now) };
        self.turn_clients.retry(now);
    }

    /// Tells the viewer the candidates of the new generation.
    pub(super) fn trickle_again(&mut self, now: Instant) {
        self.gather_again(now);
        for candidate in self.gathering.found.clone() {
            self.trickle(candidate);
        }
    }

    pub(super) fn flush_turn_clients(&mut self, now: Instant) {
        while let Some(output) = self.turn_clients.poll_output() {
            match output {
                TurnClientsOutput::Command(index, command) => {
                    self.outbox.push_back(SessionOutput::TurnTransport(index, command));
                }
                TurnClientsOutput::Gone(base) => self.agent.remove_local(now, base),
                TurnClientsOutput::Allocated { base, relayed, mapped, preference } => {
                    // The mapped address is of the way to the TURN server; told to the viewer it
                    // would only say where we are.
                    let related = (!self.config.turn_only).then_some(mapped);
                    let kind = CandidateKind::Relay;
                    self.add_local(now, kind, base, relayed, related, preference);
                }
            }
        }
    }
}
