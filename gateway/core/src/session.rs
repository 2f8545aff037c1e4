//! One viewer watching one camera: descriptions, path, keys and packets.
//!
//! The parts know nothing of each other: [`crate::ice`] finds the path, [`crate::dtls_srtp`] keeps
//! the keys, [`crate::rtp`] numbers the packets. A session ties them together and decides nothing
//! else. The same session serves both ends: the gateway sends, the tests' viewer receives.

mod gather;
mod media;
mod negotiate;
mod transport;

pub use negotiate::SessionError;

use crate::Datagram;
use crate::TurnTransportCommand;
use crate::dtls_srtp::{DtlsSrtp, Identity};
use crate::ice::{self, Agent, Credentials, LocalBase, Path};
use crate::media::Codec;
use crate::rtp::ReceivedFrame;
use crate::sdp::VideoCodec;
use crate::turn_clients::{TurnClients, TurnTransport};
use gather::Gathering;
use media::Media;
use porthole_signaling_proto::{CameraId, IceCandidate, IceServer};
use rand::rngs::StdRng;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long a viewer may take from the beginning to the first packet. ICE itself is patient for
/// 39.5 s (RFC 8863 §4); the rest is for the descriptions.
const SETUP_TIMEOUT: Duration = Duration::from_secs(45);

/// A path that is lost ends the session after this: consent is over by then (RFC 7675 §5.1), also
/// when the end it used is gone and nothing can be asked any more.
const LOST_TIMEOUT: Duration = Duration::from_secs(40);

/// Between two restarts of a lost path: the offer may be lost with the network that carried it,
/// and the server holds an unanswered one for 15 s at the most.
const RESTART_INTERVAL: Duration = Duration::from_secs(8);

/// After its time is over a session lasts this much longer, so that clocks need not agree.
const EXPIRY_GRACE: Duration = Duration::from_secs(5);

/// The only media section.
const MID: &str = "0";

/// What a session is begun with.
#[derive(Debug, Clone)]
pub struct SessionConfig {
    /// What is watched.
    pub camera: CameraId,
    /// Our certificate.
    pub identity: Identity,
    /// STUN and TURN servers, with the credentials of this session.
    pub ice_servers: Vec<IceServer>,
    /// Offer relay candidates only.
    pub turn_only: bool,
    /// When it ends unless extended.
    pub expires: Instant,
    /// For transaction ids, SSRCs and the like.
    pub seed: u64,
}

/// What a session wants done.
#[derive(Debug)]
pub enum SessionOutput {
    /// A datagram on the shared port.
    Datagram(Datagram),
    /// Something for the transport of one of its TURN allocations.
    TurnTransport(u8, TurnTransportCommand),
    /// Our offer, the first or one that restarts ICE.
    Offer(String),
    /// Our answer.
    Answer(String),
    /// Our part of an ICE restart that the viewer began over WHEP.
    Fragment(String),
    /// A candidate of ours.
    Trickle(IceCandidate),
    /// The path is there and the keys are: packets may flow.
    Started,
    /// The viewer cannot go on without a key frame.
    KeyFrame,
    /// A whole frame arrived (on the receiving end).
    Received(ReceivedFrame),
    /// It is over; why.
    Ended(String),
}

/// One viewer of one camera. Mutate, then drain [`Self::poll_output`].
pub struct Session {
    config: SessionConfig,
    rng: StdRng,
    agent: Agent,
    turn_clients: TurnClients,
    dtls_srtp: Option<DtlsSrtp>,
    media: Media,
    local: Local,
    gathering: Gathering,
    /// What the viewer trickled before its description (ONVIF WebRTC §5.6 allows it).
    early_candidates: Vec<String>,
    described: bool,
    started: bool,
    ended: bool,
    setup_until: Instant,
    lost: Option<Lost>,
    /// The group of pictures that was repeated last, by its first packet.
    repeated: Option<u64>,
    outbox: VecDeque<SessionOutput>,
}

/// A path that does not answer.
#[derive(Debug, Clone, Copy)]
struct Lost {
    since: Instant,
    next_restart: Instant,
}

/// What our descriptions say.
#[derive(Debug)]
struct Local {
    origin: u64,
    version: u64,
    credentials: Credentials,
    codecs: Vec<VideoCodec>,
    /// What waits until the candidates are gathered.
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
    /// What is watched.
    pub fn camera(&self) -> &CameraId {
        &self.config.camera
    }

    /// Whether packets flow.
    pub fn is_started(&self) -> bool {
        self.started
    }

    /// Whether a STUN request with this user fragment is for this session.
    pub fn has_ufrag(&self, ufrag: &str) -> bool {
        self.agent.has_ufrag(ufrag)
    }

    /// What carries the packets now.
    pub fn path(&self) -> Option<Path> {
        self.agent.selected()
    }

    /// The path for people: `direct, UDP` or `relayed over TCP`.
    pub fn path_in_words(&self) -> String {
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

    /// How the TURN server of an allocation is reached.
    pub fn turn_transport(&self, index: u8) -> Option<TurnTransport> {
        self.turn_clients.transport(index)
    }

    /// The codec that was agreed on.
    pub fn codec(&self) -> Option<Codec> {
        self.media.codec()
    }

    /// More time.
    pub fn extend(&mut self, expires: Instant) {
        self.config.expires = expires;
    }

    /// When [`Self::handle_timeout`] is due.
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

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.ended {
            return;
        }
        if now >= self.config.expires + EXPIRY_GRACE {
            return self.end("its time is over and nobody extended it");
        }
        if !self.started && now >= self.setup_until {
            return self.end("the viewer never got through");
        }
        if let Some(lost) = self.lost {
            if now >= lost.since + LOST_TIMEOUT {
                return self.end("the path is lost");
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
        self.media_timeout(now);
        self.process_pending(now);
    }

    /// What is to be done next.
    pub fn poll_output(&mut self) -> Option<SessionOutput> {
        self.outbox.pop_front()
    }

    /// Says goodbye. Drain [`Self::poll_output`] once more.
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

    /// After every input: carries what one part says to the others, until all are silent.
    fn process_pending(&mut self, now: Instant) {
        self.flush_turn_clients(now);
        self.flush_agent(now);
        self.flush_dtls_srtp(now);
        self.advance_gathering(now);
        self.flush_turn_clients(now);
    }

    fn flush_agent(&mut self, now: Instant) {
        while let Some(event) = self.agent.poll_event() {
            match event {
                ice::Event::Connected(path) | ice::Event::PathChanged(path) => {
                    self.handle_path(now, path);
                }
                ice::Event::Disconnected => {
                    self.lost = Some(Lost { since: now, next_restart: now });
                    self.restart(now);
                }
                ice::Event::Failed(reason) => self.end(&reason.to_string()),
            }
        }
        while let Some(transmit) = self.agent.poll_transmit() {
            self.send_from(now, transmit.base, transmit.to, transmit.bytes.into());
        }
    }

    /// What carries descriptions is back, so a lost path can be looked for at once.
    pub fn handle_signaling_back(&mut self, now: Instant) {
        if self.lost.is_some() {
            self.restart(now);
            self.process_pending(now);
        }
    }

    /// Packets go this way from now on.
    fn handle_path(&mut self, now: Instant, path: Path) {
        self.lost = None;
        if let LocalBase::Allocation(index) = path.base {
            self.turn_clients.bind(now, index, path.remote);
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
