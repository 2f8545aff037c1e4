//! A session: one viewer watching one camera.
//!
//! The parts do not know each other: [`crate::ice`] finds the path, [`crate::dtls_srtp`] encrypts,
//! [`crate::rtp`] numbers the packets. A session connects them and decides nothing else. The same
//! type serves both sides: the gateway's session sends, the one of the tests' viewer receives.

mod gather;
mod media;
mod negotiate;
mod transport;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use porthole_signaling_proto::{CameraId, IceCandidate, IceServer};
use rand::rngs::StdRng;

use crate::dtls_srtp::{DtlsSrtp, Identity};
use crate::ice::{Agent, Credentials, LocalBase, Path};
use crate::media::Codec;
use crate::rtp::ReceivedFrame;
use crate::sdp::VideoCodec;
use crate::turn_clients::{TurnClients, TurnTransport};
use crate::{Datagram, TurnTransportCommand, ice};
use gather::Gathering;
use media::Media;

pub use negotiate::SessionError;

/// Time in which a session must start. ICE itself waits 39.5 s (RFC 8863 §4); the rest is for the
/// exchange of descriptions.
const SETUP_TIMEOUT: Duration = Duration::from_secs(45);

/// Time after which a lost path ends the session: consent has expired by then (RFC 7675 §5.1), even
/// if the base is gone and no check can be sent any more.
const LOST_TIMEOUT: Duration = Duration::from_secs(40);

/// Interval between two ICE restarts of a lost path: the offer may be lost together with the
/// network. The server refuses another one while the first has no answer, for at most 15 s.
const RESTART_INTERVAL: Duration = Duration::from_secs(8);

/// Time that a session lasts beyond its expiry, so that clocks need not agree exactly.
const EXPIRY_GRACE: Duration = Duration::from_secs(5);

/// The mid of the only media section.
const MID: &str = "0";

/// Configuration of a [`Session`].
#[derive(Debug, Clone)]
pub struct SessionConfig {
    /// The camera that is watched.
    pub camera: CameraId,
    /// Our DTLS certificate.
    pub identity: Identity,
    /// STUN and TURN servers, with the credentials of this session.
    pub ice_servers: Vec<IceServer>,
    /// Use relayed candidates only.
    pub turn_only: bool,
    /// Time at which the session ends; see [`Session::set_expiry`].
    pub expires: Instant,
    /// Seed of the generator for credentials, SSRCs and the like.
    pub seed: u64,
}

/// An output of a session, to be applied by its owner.
#[derive(Debug)]
pub enum SessionOutput {
    /// A datagram to send on the shared port.
    Datagram(Datagram),
    /// A command for the transport of the TURN client with this index.
    TurnTransport(u8, TurnTransportCommand),
    /// Our SDP offer, the first one or one that restarts ICE.
    Offer(String),
    /// Our SDP answer.
    Answer(String),
    /// The SDP fragment in response to an ICE restart over WHEP.
    Fragment(String),
    /// A local candidate to trickle; an empty one ends them.
    Trickle(IceCandidate),
    /// The session has a path and keys: packets may flow.
    Started,
    /// The viewer needs a key frame to continue decoding.
    KeyFrame,
    /// A complete frame arrived (receiving sessions only).
    Received(ReceivedFrame),
    /// The session has ended, for this reason.
    Ended(String),
}

/// One viewer of one camera. After every call that changes it, drain [`Self::poll_output`].
pub struct Session {
    config: SessionConfig,
    rng: StdRng,
    agent: Agent,
    turn_clients: TurnClients,
    dtls_srtp: Option<DtlsSrtp>,
    media: Media,
    local: Local,
    gathering: Gathering,
    /// Candidates that arrived before the peer's description (ONVIF WebRTC §5.6 allows it).
    early_candidates: Vec<String>,
    /// True once the peer's description has been applied.
    has_remote_description: bool,
    started: bool,
    ended: bool,
    setup_until: Instant,
    lost: Option<LostPath>,
    /// First sequence number of the last group of pictures that was sent for recovery.
    recovery_burst: Option<u64>,
    outbox: VecDeque<SessionOutput>,
}

/// The state of a path that does not respond.
#[derive(Debug, Clone, Copy)]
struct LostPath {
    since: Instant,
    next_restart: Instant,
}

/// The contents of our descriptions.
#[derive(Debug)]
struct Local {
    origin: u64,
    version: u64,
    credentials: Credentials,
    codecs: Vec<VideoCodec>,
    /// A description that is sent once the candidates are gathered.
    pending: Option<negotiate::Pending>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("camera", &self.config.camera)
            .field("started", &self.started)
            .field("path", &self.agent.selected())
            .finish_non_exhaustive()
    }
}

impl Session {
    /// Returns the camera that is watched.
    pub fn camera(&self) -> &CameraId {
        &self.config.camera
    }

    /// Returns true once packets may flow: there is a path and the keys are agreed.
    pub fn is_started(&self) -> bool {
        self.started
    }

    /// Returns true if a STUN request with this local user name fragment is for this session.
    pub fn has_ufrag(&self, ufrag: &str) -> bool {
        self.agent.has_ufrag(ufrag)
    }

    /// Returns the path that carries the packets.
    pub fn path(&self) -> Option<Path> {
        self.agent.selected()
    }

    /// Describes the path for logs, for example `direct` or `relayed over TCP`.
    pub fn describe_path(&self) -> String {
        let Some(path) = self.path() else { return "none".to_owned() };
        match path.base {
            LocalBase::Allocation(index) => match self.turn_clients.transport(index) {
                Some(TurnTransport::Tcp) => "relayed over TCP".to_owned(),
                Some(TurnTransport::Udp) | None => "relayed over UDP".to_owned(),
            },
            LocalBase::Socket(_) if path.is_relayed() => "relayed by the viewer's side".to_owned(),
            LocalBase::Socket(_) => "direct".to_owned(),
        }
    }

    /// Returns the transport of the TURN client with this index.
    pub fn turn_transport(&self, index: u8) -> Option<TurnTransport> {
        self.turn_clients.transport(index)
    }

    /// Returns the negotiated codec.
    pub fn codec(&self) -> Option<Codec> {
        self.media.codec()
    }

    /// Sets the time at which the session ends.
    pub fn set_expiry(&mut self, expires: Instant) {
        self.config.expires = expires;
    }

    /// Returns the time at which [`Self::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.ended {
            return None;
        }
        let setup = (!self.started).then_some(self.setup_until);
        let lost = self.lost.map(|lost| lost.next_restart.min(lost.since + LOST_TIMEOUT));
        let parts = [
            self.agent.poll_timeout(),
            self.turn_clients.poll_timeout(),
            self.dtls_srtp.as_ref().and_then(DtlsSrtp::poll_timeout),
            self.media.poll_timeout(),
            self.gathering.poll_timeout(),
            setup,
            lost,
            Some(self.config.expires + EXPIRY_GRACE),
        ];
        parts.into_iter().flatten().min()
    }

    /// Processes everything that is due: checks, retransmissions, reports, restarts, expiry.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.ended {
            return;
        }
        if now >= self.config.expires + EXPIRY_GRACE {
            return self.end("the session expired and was not extended");
        }
        if !self.started && now >= self.setup_until {
            return self.end("no connection to the viewer was established in time");
        }
        if let Some(lost) = self.lost {
            if now >= lost.since + LOST_TIMEOUT {
                return self.end("the path to the viewer was lost");
            }
            if now >= lost.next_restart {
                self.restart(now);
            }
        }
        self.agent.handle_timeout(now);
        self.turn_clients.handle_timeout(now);
        if let Some(dtls_srtp) = &mut self.dtls_srtp
            && let Err(error) = dtls_srtp.handle_timeout(now)
        {
            return self.end(&error.to_string());
        }
        self.send_due_packets(now);
        self.process_pending(now);
    }

    /// Returns the next output to apply.
    pub fn poll_output(&mut self) -> Option<SessionOutput> {
        self.outbox.pop_front()
    }

    /// Ends the session. Drain [`Self::poll_output`] once more for the last messages.
    pub fn close(&mut self, now: Instant) {
        if let Some(dtls_srtp) = &mut self.dtls_srtp {
            dtls_srtp.close(now);
        }
        self.flush_dtls_srtp(now);
        self.turn_clients.close(now);
        self.flush_turn_clients(now);
        self.ended = true;
    }

    fn end(&mut self, reason: &str) {
        if !self.ended {
            self.ended = true;
            self.outbox.push_back(SessionOutput::Ended(reason.to_owned()));
        }
    }

    /// Passes the outputs of each part to the others until none is left. Called after every input.
    fn process_pending(&mut self, now: Instant) {
        self.flush_turn_clients(now);
        self.flush_agent(now);
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
                ice::Event::Disconnected => {
                    self.lost = Some(LostPath { since: now, next_restart: now });
                    self.restart(now);
                }
                ice::Event::Failed(reason) => self.end(&reason.to_string()),
            }
        }
        while let Some(transmit) = self.agent.poll_transmit() {
            self.send_from(now, transmit.base, transmit.to, transmit.bytes.into());
        }
    }

    /// Handles the reconnection to the signaling server: a lost path is restarted at once.
    pub fn handle_signaling_restored(&mut self, now: Instant) {
        if self.lost.is_some() {
            self.restart(now);
            self.process_pending(now);
        }
    }

    /// Handles the selection of a path.
    fn handle_path(&mut self, now: Instant, path: Path) {
        self.lost = None;
        if let LocalBase::Allocation(index) = path.base {
            self.turn_clients.bind_channel(now, index, path.remote);
        }
        if let Some(dtls_srtp) = &mut self.dtls_srtp
            && let Err(error) = dtls_srtp.start(now)
        {
            self.end(&error.to_string());
        }
    }
}

#[cfg(test)]
mod tests;
