//! The transport to one peer: a path by ICE, directly or through TURN, with DTLS-SRTP on it.
//!
//! [`crate::ice`] finds the path, `turn_clients` relays, [`crate::dtls_srtp`] encrypts; they do not
//! know each other. A [`PeerTransport`] connects them, and knows neither descriptions nor media:
//! its owner passes in what the peer has signaled, and plain RTP and RTCP.
//!
//! Architecture invariant: nothing here reads or writes SDP, or knows a camera.

mod datagrams;
mod gather;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::Bytes;
use porthole_signaling_proto::IceServer;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tracing::debug;

use crate::dtls_srtp::{DtlsRole, DtlsSrtp, DtlsSrtpError, Fingerprint, Identity, SrtpProfile};
use crate::ice::{Agent, Candidate, CandidateRefused, Credentials, LocalBase, Path, Role};
use crate::stats::PathKind;
use crate::turn_clients::{TurnClients, TurnTransport};
use crate::{Datagram, TurnTransportCommand, ice};
use datagrams::EarlyDatagram;
use gather::Gathering;

pub use datagrams::{media_ssrc, requested_ufrag};

/// Time in which a transport must be ready. ICE itself waits 39.5 s (RFC 8863 §4); the rest is for
/// the exchange of descriptions.
pub const SETUP_TIMEOUT: Duration = Duration::from_secs(45);

/// Time in which a peer must have sent something, once both descriptions are exchanged. A path may
/// need longer to be found (RFC 8863), but the peer's own checks begin at once, and a relayed
/// candidate of ours lets them in. A viewer that has gone away must not take up a place for longer.
pub const SILENCE_TIMEOUT: Duration = Duration::from_secs(20);

/// Time after which a lost path ends the transport: consent has expired by then (RFC 7675 §5.1),
/// even if the base is gone and no check can be sent any more.
pub const LOST_TIMEOUT: Duration = Duration::from_secs(40);

/// Interval between two ICE restarts of a lost path: the offer may be lost together with the
/// network. The server refuses another one while the first has no answer, for at most 15 s.
const RESTART_INTERVAL: Duration = Duration::from_secs(8);

/// Limit of candidates that arrive before the description they belong to.
const MAX_EARLY_CANDIDATES: usize = 64;

/// Configuration of a [`PeerTransport`].
#[derive(Debug, Clone)]
pub struct TransportConfig {
    /// Our DTLS certificate.
    pub identity: Identity,
    /// STUN and TURN servers, with the credentials of this session.
    pub ice_servers: Vec<IceServer>,
    /// Use relayed candidates only.
    pub turn_only: bool,
    /// Our ICE role: controlling if we make the first offer (RFC 8445 §6.1.1).
    pub role: Role,
    /// Seed of the generator for credentials and the like.
    pub seed: u64,
}

/// The peer's side of a transport, as its description announces it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteTransport {
    /// The peer's ICE credentials.
    pub credentials: Credentials,
    /// Fingerprint of the peer's DTLS certificate.
    pub fingerprint: Fingerprint,
    /// Our role in the DTLS handshake.
    pub role: DtlsRole,
    /// True if the peer is an ICE-lite agent (`a=ice-lite`).
    pub ice_lite: bool,
    /// The interval between checks that the peer indicates (`a=ice-pacing`).
    pub ice_pacing: Option<Duration>,
}

/// An output of a transport, to be applied by its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransportOutput {
    /// A datagram to send on the shared port.
    Datagram(Datagram),
    /// A command for the transport of the TURN client with this index.
    TurnTransport(u8, TurnTransportCommand),
    /// A new local candidate, in the form `candidate:…`.
    LocalCandidate(String),
    /// Descriptions that contain their candidates are due, although gathering goes on.
    DescriptionDue,
    /// Gathering has ended: all candidates are known, or its time is over. No
    /// [`Self::LocalCandidate`] follows before the next restart.
    GatheringComplete,
    /// Packets may flow: there is a path, and the keys are agreed.
    Ready,
    /// A decrypted RTP packet of the peer.
    Rtp(Bytes),
    /// A decrypted RTCP compound of the peer.
    Rtcp(Bytes),
    /// Silence of the path, which is being checked.
    PathQuiet,
    /// The path does not respond: ICE should be restarted. Repeated every 8 s while it is lost.
    PathLost,
    /// A path carries packets again after [`Self::PathLost`].
    PathRestored,
    /// The peer has closed the transport (close_notify).
    Closed,
    /// The transport has failed, for this reason.
    Failed(TransportFailure),
}

/// Reason for which a transport has failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransportFailure {
    /// No path was found, or the keys were not agreed, within [`SETUP_TIMEOUT`].
    #[error("no connection to the viewer was established in time")]
    Slow,
    /// Silence of the peer for [`SILENCE_TIMEOUT`].
    #[error(
        "nothing has arrived from the viewer; check that its network lets UDP out, or that it can \
         reach the TURN server"
    )]
    Silent,
    /// The path has not come back within [`LOST_TIMEOUT`].
    #[error("the path to the viewer was lost")]
    Lost,
    /// ICE has failed.
    #[error(transparent)]
    Ice(ice::FailReason),
    /// The handshake of DTLS has failed, or the peer is another one than it said.
    #[error("{0}")]
    Dtls(String),
}

/// The transport to one peer. After every call that changes it, drain [`Self::poll_output`].
pub struct PeerTransport {
    identity: Identity,
    ice_servers: Vec<IceServer>,
    turn_only: bool,
    rng: StdRng,
    agent: Agent,
    turn_clients: TurnClients,
    /// The DTLS association; `None` before the peer's description has been applied.
    dtls_srtp: Option<DtlsSrtp>,
    gathering: Gathering,
    /// The external address of the port that a router forwards to us.
    mapped: Option<SocketAddr>,
    /// Candidates that arrived before the peer's description (ONVIF WebRTC §5.6 allows it).
    early_candidates: Vec<String>,
    /// DTLS that came before the check of its path had succeeded.
    early_dtls: Vec<EarlyDatagram>,
    /// SSRCs of the peer, from decrypted packets; the newest last.
    peer_ssrcs: VecDeque<u32>,
    ready: bool,
    ended: bool,
    /// True once the peer has sent an ICE message.
    heard: bool,
    /// Time until which the peer must have sent something; `None` before its description.
    silent_until: Option<Instant>,
    setup_until: Instant,
    lost: Option<LostPath>,
    /// The path that was selected last, for logs of when it is lost.
    last_path: Option<Path>,
    /// Bytes that were sent through our TURN servers.
    relayed_bytes: u64,
    outbox: VecDeque<TransportOutput>,
}

/// The state of a path that does not respond.
#[derive(Debug, Clone, Copy)]
struct LostPath {
    since: Instant,
    next_restart: Instant,
}

impl std::fmt::Debug for PeerTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PeerTransport")
            .field("ready", &self.ready)
            .field("path", &self.agent.selected())
            .finish_non_exhaustive()
    }
}

impl PeerTransport {
    /// Creates a transport, which begins to gather candidates. Pass in the addresses of this
    /// machine with [`Self::set_addresses`].
    pub fn new(now: Instant, config: TransportConfig) -> Self {
        let mut rng = StdRng::seed_from_u64(config.seed);
        let credentials = Credentials::random(&mut rng);
        let agent = Agent::new(ice::Config::new(config.role, credentials, rng.random()), now);
        let mut transport = Self {
            identity: config.identity,
            turn_clients: TurnClients::new(now, &config.ice_servers),
            ice_servers: config.ice_servers,
            turn_only: config.turn_only,
            rng,
            agent,
            dtls_srtp: None,
            gathering: Gathering::new(now),
            mapped: None,
            early_candidates: Vec::new(),
            early_dtls: Vec::new(),
            peer_ssrcs: VecDeque::new(),
            ready: false,
            ended: false,
            heard: false,
            silent_until: None,
            setup_until: now + SETUP_TIMEOUT,
            lost: None,
            last_path: None,
            relayed_bytes: 0,
            outbox: VecDeque::new(),
        };
        transport.process(now);
        transport
    }

    /// Returns true once packets may flow: there is a path and the keys are agreed.
    pub fn is_ready(&self) -> bool {
        self.ready
    }

    /// Returns true while the path does not respond.
    pub fn is_lost(&self) -> bool {
        self.lost.is_some()
    }

    /// Returns true if a STUN request with this local user name fragment is for this transport.
    pub fn has_ufrag(&self, ufrag: &str) -> bool {
        self.agent.has_ufrag(ufrag)
    }

    /// Returns our ICE credentials, which a restart replaces.
    pub fn local_credentials(&self) -> &Credentials {
        self.agent.local_credentials()
    }

    /// Returns the fingerprint of our DTLS certificate.
    pub fn fingerprint(&self) -> Fingerprint {
        self.identity.fingerprint()
    }

    /// Returns true once the peer's description has been applied.
    pub fn has_remote(&self) -> bool {
        self.dtls_srtp.is_some()
    }

    /// Returns the path that carries the packets.
    pub fn path(&self) -> Option<Path> {
        self.agent.selected()
    }

    /// Returns the bytes that were sent through our TURN servers: media, checks and handshakes.
    pub fn relayed_bytes(&self) -> u64 {
        self.relayed_bytes
    }

    /// Returns the kind of the path that carries the packets.
    pub fn path_kind(&self) -> Option<PathKind> {
        let path = self.path()?;
        Some(match path.base {
            LocalBase::Allocation(index) => match self.turn_clients.transport(index) {
                Some(TurnTransport::Tls | TurnTransport::Tcp) => PathKind::RelayTcp,
                Some(TurnTransport::Udp) | None => PathKind::Relay,
            },
            LocalBase::Socket(_) if path.is_relayed() => PathKind::RelayOfViewer,
            LocalBase::Socket(_) if path.is_untranslated() => PathKind::Host,
            LocalBase::Socket(_) => PathKind::Reflexive,
        })
    }

    /// Describes the path for logs, for example `direct` or `relayed over TCP`: the last one if it
    /// is lost.
    pub fn describe_path(&self) -> String {
        let Some(path) = self.path().or(self.last_path) else { return "none".to_owned() };
        match path.base {
            LocalBase::Allocation(index) => match self.turn_clients.transport(index) {
                Some(TurnTransport::Tls) => "relayed over TLS".to_owned(),
                Some(TurnTransport::Tcp) => "relayed over TCP".to_owned(),
                Some(TurnTransport::Udp) | None => "relayed over UDP".to_owned(),
            },
            LocalBase::Socket(_) if path.is_relayed() => "relayed by the viewer's side".to_owned(),
            LocalBase::Socket(_) => "direct".to_owned(),
        }
    }

    /// Returns the profile that protects the packets, once the keys are agreed.
    pub fn srtp_profile(&self) -> Option<SrtpProfile> {
        self.dtls_srtp.as_ref().and_then(DtlsSrtp::profile)
    }

    /// Returns the transport of the TURN client with this index.
    pub fn turn_transport(&self, index: u8) -> Option<TurnTransport> {
        self.turn_clients.transport(index)
    }

    /// Applies the peer's description, the first one or one that restarts ICE. The DTLS association
    /// stays the same after the first one.
    ///
    /// # Errors
    /// Returns [`DtlsSrtpError::Handshake`] if the engine refuses the configuration.
    pub fn set_remote(
        &mut self,
        now: Instant,
        remote: RemoteTransport,
    ) -> Result<(), DtlsSrtpError> {
        self.agent.set_remote_pacing(remote.ice_pacing);
        if remote.ice_lite {
            self.agent.set_remote_lite(now);
        }
        self.agent.set_remote_credentials(now, remote.credentials);
        if self.dtls_srtp.is_none() {
            self.dtls_srtp = Some(DtlsSrtp::new(&self.identity, remote.role, remote.fingerprint)?);
        }
        self.silent_until.get_or_insert(now + SILENCE_TIMEOUT);
        for candidate in std::mem::take(&mut self.early_candidates) {
            self.add_remote_candidate(now, &candidate);
        }
        self.process(now);
        Ok(())
    }

    /// Sets the peer's new ICE credentials after a restart that concerns nothing else.
    pub fn set_remote_credentials(&mut self, now: Instant, credentials: Credentials) {
        self.agent.set_remote_credentials(now, credentials);
        self.process(now);
    }

    /// Handles a candidate line of the peer; an empty one ends its candidates.
    pub fn handle_candidate(&mut self, now: Instant, candidate: &str) {
        if self.has_remote() {
            self.add_remote_candidate(now, candidate);
        } else if self.early_candidates.len() < MAX_EARLY_CANDIDATES {
            self.early_candidates.push(candidate.to_owned());
        }
        self.process(now);
    }

    fn add_remote_candidate(&mut self, now: Instant, line: &str) {
        if line.is_empty() {
            return self.agent.end_of_remote_candidates(now);
        }
        match line.parse::<Candidate>() {
            Ok(candidate) => {
                self.turn_clients.permit(now, candidate.address.ip());
                self.agent.add_remote(now, candidate);
            }
            // The checks that such a viewer sends reveal its address.
            Err(CandidateRefused::Name) => debug!("a candidate with a .local name is ignored"),
            Err(refused) => debug!("a candidate is ignored: {refused}"),
        }
    }

    /// Lets packets from this address in through our relayed candidates, in addition to those of
    /// the peer's candidates.
    pub fn permit(&mut self, now: Instant, peer: IpAddr) {
        self.turn_clients.permit_always(now, peer);
        self.process(now);
    }

    /// Handles the end of the peer's candidates.
    pub fn handle_end_of_candidates(&mut self, now: Instant) {
        self.agent.end_of_remote_candidates(now);
        self.process(now);
    }

    /// Restarts ICE with new credentials and gathers again. The old path carries packets until
    /// there is a new one.
    pub fn restart(&mut self, now: Instant) {
        if let Some(lost) = &mut self.lost {
            lost.next_restart = now + RESTART_INTERVAL;
        }
        let credentials = Credentials::random(&mut self.rng);
        self.agent.restart(now, credentials);
        self.restart_gathering(now);
        self.process(now);
    }

    /// Returns the time at which [`Self::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.ended {
            return None;
        }
        let setup = (!self.ready).then_some(self.setup_until);
        let silent = self.silent_until.filter(|_| !self.heard);
        let lost = self.lost.map(|lost| lost.next_restart.min(lost.since + LOST_TIMEOUT));
        let parts = [
            self.agent.poll_timeout(),
            self.turn_clients.poll_timeout(),
            self.dtls_srtp.as_ref().and_then(DtlsSrtp::poll_timeout),
            self.gathering.poll_timeout(),
            setup,
            silent,
            lost,
        ];
        parts.into_iter().flatten().min()
    }

    /// Processes everything that is due: checks, retransmissions, restarts, the end of a path that
    /// stays lost.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.ended {
            return;
        }
        if !self.ready && now >= self.setup_until {
            return self.fail(TransportFailure::Slow);
        }
        if !self.heard && self.silent_until.is_some_and(|until| now >= until) {
            return self.fail(TransportFailure::Silent);
        }
        if let Some(lost) = &mut self.lost {
            if now >= lost.since + LOST_TIMEOUT {
                return self.fail(TransportFailure::Lost);
            }
            if now >= lost.next_restart {
                lost.next_restart = now + RESTART_INTERVAL;
                self.outbox.push_back(TransportOutput::PathLost);
            }
        }
        self.agent.handle_timeout(now);
        self.turn_clients.handle_timeout(now);
        if let Some(dtls_srtp) = &mut self.dtls_srtp
            && let Err(error) = dtls_srtp.handle_timeout(now)
        {
            return self.fail(TransportFailure::Dtls(error.to_string()));
        }
        self.process(now);
    }

    /// Returns the next output to apply.
    pub fn poll_output(&mut self) -> Option<TransportOutput> {
        self.outbox.pop_front()
    }

    /// Closes the transport. Drain [`Self::poll_output`] once more for the last messages.
    pub fn close(&mut self, now: Instant) {
        if let Some(dtls_srtp) = &mut self.dtls_srtp {
            dtls_srtp.close(now);
        }
        self.flush_dtls_srtp(now);
        self.turn_clients.close(now);
        self.flush_turn_clients(now);
        self.ended = true;
    }

    fn fail(&mut self, reason: TransportFailure) {
        self.end(TransportOutput::Failed(reason));
    }

    fn end(&mut self, output: TransportOutput) {
        if !self.ended {
            self.ended = true;
            self.outbox.push_back(output);
        }
    }

    /// Passes the outputs of each part to the others until none is left. Called after every input.
    fn process(&mut self, now: Instant) {
        self.flush_turn_clients(now);
        self.flush_agent(now);
        self.handle_early_dtls(now);
        self.flush_dtls_srtp(now);
        self.end_gathering_if_complete(now);
        self.flush_turn_clients(now);
    }

    fn flush_agent(&mut self, now: Instant) {
        while let Some(event) = self.agent.poll_event() {
            match event {
                ice::Event::Connected(path) | ice::Event::PathChanged(path) => {
                    self.handle_path(now, path);
                }
                ice::Event::Quiet => self.outbox.push_back(TransportOutput::PathQuiet),
                ice::Event::Disconnected => {
                    let next_restart = now + RESTART_INTERVAL;
                    self.lost = Some(LostPath { since: now, next_restart });
                    self.outbox.push_back(TransportOutput::PathLost);
                }
                ice::Event::Failed(reason) => self.fail(TransportFailure::Ice(reason)),
            }
        }
        while let Some(transmit) = self.agent.poll_transmit() {
            self.send_from(now, transmit.base, transmit.to, transmit.bytes.into());
        }
    }

    /// Handles the selection of a path.
    fn handle_path(&mut self, now: Instant, path: Path) {
        self.last_path = Some(path);
        if self.lost.take().is_some() {
            self.outbox.push_back(TransportOutput::PathRestored);
        }
        if let LocalBase::Allocation(index) = path.base {
            self.turn_clients.bind_channel(now, index, path.remote);
        }
        if let Some(dtls_srtp) = &mut self.dtls_srtp
            && let Err(error) = dtls_srtp.start(now, path.rtt)
        {
            self.fail(TransportFailure::Dtls(error.to_string()));
        }
    }
}

#[cfg(test)]
mod tests;
