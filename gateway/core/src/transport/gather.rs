//! Gathering: local candidates are found, added to the ICE agent and announced to the owner.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use porthole_signaling_proto::IceServer;

use super::{PeerTransport, TransportOutput};
use crate::ice::{Candidate, CandidateKind, LocalBase};
use crate::port_mapping::{Mapping, Standing};
use crate::turn_clients::TurnClientsOutput;

/// Time for which a description that contains its candidates waits for them. A distant STUN server
/// responds in 300 ms, a TURN server in twice that.
const DESCRIPTION_TIME: Duration = Duration::from_millis(1500);

/// Time for which such a description waits for more once it has a relayed candidate, with which it
/// connects wherever it can: in a network without UDP, nothing else follows.
const RELAYED_TIME: Duration = Duration::from_millis(250);

/// Time limit of gathering: enough for a TURN server on a path that loses the first messages. A
/// candidate that is found later is used, and signaled with the next restart only: after the end of
/// candidates none may be conveyed (RFC 8838 §13).
const GATHERING_TIME: Duration = Duration::from_secs(10);

/// Local preferences of server-reflexive candidates (RFC 8445 §5.1.2.1): a port that a router
/// forwards to us, what a STUN server has seen, and a port that only a network before the router
/// reaches.
const MAPPED_PREFERENCE: u16 = u16::MAX;
const REFLEXIVE_PREFERENCE: u16 = MAPPED_PREFERENCE - 1;
const NEAR_PREFERENCE: u16 = MAPPED_PREFERENCE - 2;

/// State of the gathering of candidates.
#[derive(Debug)]
pub(super) struct Gathering {
    /// Time at which descriptions are due; `None` once that has been announced.
    description_due: Option<Instant>,
    /// The end of gathering; `None` once it has ended.
    deadline: Option<Instant>,
    reflexive_complete: bool,
    /// Candidate lines found so far.
    found: Vec<String>,
}

impl Gathering {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            description_due: Some(now + DESCRIPTION_TIME),
            deadline: Some(now + GATHERING_TIME),
            reflexive_complete: false,
            found: Vec::new(),
        }
    }

    /// Notes a relayed candidate.
    fn handle_relayed(&mut self, now: Instant) {
        self.description_due = self.description_due.map(|due| due.min(now + RELAYED_TIME));
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        [self.description_due, self.deadline].into_iter().flatten().min()
    }
}

impl PeerTransport {
    /// Returns true while candidates are being gathered.
    pub fn is_gathering(&self) -> bool {
        self.gathering.deadline.is_some()
    }

    /// Returns the candidate lines found so far, since the last restart those that were known and
    /// those found since, for descriptions that contain their candidates.
    pub fn local_candidates(&self) -> &[String] {
        &self.gathering.found
    }

    /// Sets the addresses of this machine, each with the shared port, the best first.
    pub fn set_addresses(&mut self, now: Instant, addresses: &[SocketAddr]) {
        if self.turn_only {
            return;
        }
        let gone: Vec<_> = self.host_addresses().filter(|a| !addresses.contains(a)).collect();
        for address in gone {
            self.agent.remove_local(now, LocalBase::Socket(address));
        }
        for (address, preference) in addresses.iter().zip((0..=u16::MAX).rev()) {
            let base = LocalBase::Socket(*address);
            self.add_local(now, CandidateKind::Host, base, *address, None, preference);
        }
        self.process(now);
    }

    fn host_addresses(&self) -> impl Iterator<Item = SocketAddr> {
        let host = |candidate: &&Candidate| candidate.kind == CandidateKind::Host;
        self.agent.local_candidates().filter(host).map(|candidate| candidate.address)
    }

    /// Handles a STUN server's response: the address `base` is mapped to `mapped`.
    pub fn handle_reflexive(&mut self, now: Instant, base: SocketAddr, mapped: SocketAddr) {
        if self.turn_only || base == mapped {
            return;
        }
        let local = LocalBase::Socket(base);
        let kind = CandidateKind::ServerReflexive;
        self.add_local(now, kind, local, mapped, Some(base), REFLEXIVE_PREFERENCE);
        self.process(now);
    }

    /// Sets the port that a router forwards to the shared port. Its candidate is a server-reflexive
    /// one that lets everybody in, so that viewers try it before what STUN servers have seen.
    /// Returns true if the peer's packets take a detour although this one would save it: it can
    /// only be signaled with a restart.
    pub fn set_mapping(&mut self, now: Instant, mapping: Option<Mapping>) -> bool {
        if self.turn_only {
            return false;
        }
        let external = mapping.map(|mapping| SocketAddr::V4(mapping.external));
        if let Some(old) = self.mapped.filter(|old| Some(*old) != external) {
            self.agent.remove_reflexive(old);
        }
        let is_new = self.mapped != external;
        self.mapped = external;
        let Some(mapping) = mapping else { return false };
        let preference = match mapping.standing() {
            Standing::Public => MAPPED_PREFERENCE,
            Standing::Private | Standing::Shared => NEAR_PREFERENCE,
            Standing::Nowhere => return false,
        };
        let (base, external) = (mapping.internal.into(), mapping.external.into());
        let kind = CandidateKind::ServerReflexive;
        self.add_local(now, kind, LocalBase::Socket(base), external, Some(base), preference);
        self.process(now);
        let is_relayed = self.path().is_some_and(|path| path.is_relayed());
        is_new && is_relayed && !self.is_gathering() && mapping.standing() == Standing::Public
    }

    /// Returns the STUN and TURN servers.
    pub fn ice_servers(&self) -> &[IceServer] {
        &self.ice_servers
    }

    /// Sets fresh credentials of the same TURN servers, for future allocations.
    pub fn set_ice_servers(&mut self, servers: Vec<IceServer>) {
        self.turn_clients.set_credentials(&servers);
        self.ice_servers = servers;
    }

    /// Handles the end of the search for reflexive addresses.
    pub fn handle_reflexive_complete(&mut self, now: Instant) {
        self.gathering.reflexive_complete = true;
        self.process(now);
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
        let Some(candidate) = added.filter(|_| self.is_gathering()) else { return };
        let line = candidate.to_string();
        self.gathering.found.push(line.clone());
        self.outbox.push_back(TransportOutput::LocalCandidate(line));
    }

    /// Ends gathering once all candidates are known or the time limit is reached.
    pub(super) fn end_gathering_if_complete(&mut self, now: Instant) {
        let Some(deadline) = self.gathering.deadline else { return };
        let reflexive = self.gathering.reflexive_complete || self.turn_only;
        if now >= deadline || (reflexive && self.turn_clients.is_complete()) {
            self.end_gathering();
            self.outbox.push_back(TransportOutput::GatheringComplete);
        } else if self.gathering.description_due.take_if(|due| *due <= now).is_some() {
            self.outbox.push_back(TransportOutput::DescriptionDue);
        }
    }

    /// Ends gathering, because the description that has been sent ends our candidates.
    pub fn end_gathering(&mut self) {
        (self.gathering.description_due, self.gathering.deadline) = (None, None);
    }

    /// Gathers again for an ICE restart, because the network may have changed.
    pub(super) fn restart_gathering(&mut self, now: Instant) {
        // What the owner has not seen yet is among the known candidates.
        self.outbox.retain(|output| {
            !matches!(
                output,
                TransportOutput::LocalCandidate(_)
                    | TransportOutput::DescriptionDue
                    | TransportOutput::GatheringComplete
            )
        });
        let known = self.agent.local_candidates().map(ToString::to_string).collect();
        self.gathering = Gathering { found: known, ..Gathering::new(now) };
        self.turn_clients.retry(now);
    }

    pub(super) fn flush_turn_clients(&mut self, now: Instant) {
        while let Some(output) = self.turn_clients.poll_output() {
            match output {
                TurnClientsOutput::Command(index, command) => {
                    self.outbox.push_back(TransportOutput::TurnTransport(index, command));
                }
                TurnClientsOutput::Gone(base) => self.agent.remove_local(now, base),
                TurnClientsOutput::Allocated { base, relayed, mapped, preference } => {
                    // The mapped address is only for diagnosis. With `turn_only` it would reveal
                    // the location of the gateway.
                    let related = (!self.turn_only).then_some(mapped);
                    let kind = CandidateKind::Relay;
                    self.add_local(now, kind, base, relayed, related, preference);
                    self.gathering.handle_relayed(now);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_is_not_held_back_for_slow_candidates_once_there_is_a_relayed_one() {
        let now = Instant::now();
        let ms = |ms| now + Duration::from_millis(ms);
        // Times of relayed candidates in milliseconds, and when the description is due.
        let table: [(&[u64], u64); 4] =
            [(&[], 1500), (&[60], 310), (&[300, 900], 550), (&[1400], 1500)];
        for (relayed, due) in table {
            let mut gathering = Gathering::new(now);
            relayed.iter().for_each(|at| gathering.handle_relayed(ms(*at)));
            assert_eq!(gathering.poll_timeout(), Some(ms(due)), "{relayed:?}");
        }
        let mut announced = Gathering::new(now);
        announced.description_due = None;
        announced.handle_relayed(now);
        assert_eq!(announced.poll_timeout(), Some(now + GATHERING_TIME));
    }
}
