//! A session: one viewer watching one or several streams.
//!
//! A session negotiates a list of [`Section`]s with the viewer ([`crate::sdp`]), each fed by a
//! stream, and sends what [`crate::rtp`] has numbered over its [`PeerTransport`]: one, or two for a
//! player that does not bundle. It connects these parts and decides nothing else.

mod line;
mod media;
mod negotiate;
mod path;
mod section;
mod single_units;
mod transports;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use porthole_signaling_proto::{IceCandidate, IceServer};
use tracing::debug;

use crate::congestion::Congestion;
use crate::dtls_srtp::Identity;
use crate::stats::EndReason;
use crate::transport::{PeerTransport, TransportOutput};
use crate::{Datagram, TurnTransportCommand};
use transports::Transports;

pub use negotiate::SessionError;
pub use section::{Section, SectionConfig};

/// Time that a session lasts beyond its expiry, so that clocks need not agree exactly.
pub const EXPIRY_GRACE: Duration = Duration::from_secs(5);

/// Configuration of a [`Session`].
#[derive(Debug, Clone)]
pub struct SessionConfig {
    /// The sections to negotiate, at least one.
    pub sections: Vec<SectionConfig>,
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
    KeyFrame {
        /// Index of the section among [`Session::sections`].
        section: usize,
    },
    /// Silence of the viewer: it, or the network, may be gone.
    Quiet,
    /// News about the path of a viewer; see [`Session::follow_line`].
    Line,
    /// The first packet of a track was sent, so long after the session was created.
    FirstPacket(Duration),
    /// The session has ended, for this reason and in these words.
    Ended(EndReason, String),
}

/// One viewer's session. After every call that changes it, drain [`Self::poll_output`].
pub struct Session {
    expires: Instant,
    transports: Transports,
    sections: Vec<Section>,
    local: Local,
    /// Control of the path of the first transport; `None` before the negotiation.
    congestion: Option<Congestion>,
    /// State of a section whose stream follows the path.
    following: Option<line::Following>,
    started: bool,
    ended: bool,
    /// The last restart for a port that a router forwards.
    mapping_restart: Option<Instant>,
    created_at: Instant,
    /// True once a packet of a track was sent.
    has_sent: bool,
    /// Buffer for one packet before encryption.
    plain: Vec<u8>,
    outbox: VecDeque<SessionOutput>,
}

/// The contents of our descriptions.
#[derive(Debug)]
struct Local {
    /// True if we make the offers, also those that restart ICE.
    offers: bool,
    origin: u64,
    version: u64,
    /// Mid of the section whose transport the bundle uses; candidates are trickled with it.
    transport_mid: String,
    /// A description that is sent once the candidates are gathered.
    pending: Option<negotiate::Pending>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("sections", &self.sections.iter().map(Section::source).collect::<Vec<_>>())
            .field("started", &self.started)
            .field("transport", self.transports.first())
            .finish_non_exhaustive()
    }
}

impl Session {
    /// Describes what is watched, for logs.
    pub fn describe_sources(&self) -> String {
        let sources: Vec<_> = self.sections.iter().map(|s| s.source().to_string()).collect();
        sources.join(", ")
    }

    /// Returns true once packets may flow: there is a path and the keys are agreed.
    pub fn is_started(&self) -> bool {
        self.started
    }

    /// Sets the time at which the session ends.
    pub fn set_expiry(&mut self, expires: Instant) {
        self.expires = expires;
    }

    /// Returns the time at which [`Self::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.ended {
            return None;
        }
        let sections = self.sections.iter().filter_map(Section::poll_timeout);
        let transports = self.transports.iter().filter_map(PeerTransport::poll_timeout);
        let line = self.line_timeout();
        sections.chain(transports).chain(line).chain([self.expires + EXPIRY_GRACE]).min()
    }

    /// Processes everything that is due: checks, retransmissions, reports, restarts, expiry.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.ended {
            return;
        }
        if now >= self.expires + EXPIRY_GRACE {
            return self.end(EndReason::Expired, "the session expired and was not extended");
        }
        self.transports.iter_mut().for_each(|transport| transport.handle_timeout(now));
        self.decide_without_report(now);
        self.send_due_packets(now);
        self.process_transport(now);
    }

    /// Returns the next output to apply.
    pub fn poll_output(&mut self) -> Option<SessionOutput> {
        self.outbox.pop_front()
    }

    /// Ends the session. Drain [`Self::poll_output`] once more for the last messages.
    pub fn close(&mut self, now: Instant) {
        self.send_goodbyes(now);
        self.transports.iter_mut().for_each(|transport| transport.close(now));
        self.process_transport(now);
        self.ended = true;
    }

    fn end(&mut self, reason: EndReason, words: &str) {
        if !self.ended {
            self.ended = true;
            self.outbox.push_back(SessionOutput::Ended(reason, words.to_owned()));
        }
    }

    /// Processes the outputs of the transports. Called after every input.
    fn process_transport(&mut self, now: Instant) {
        while let Some((index, output)) = self.transports.poll_output() {
            match output {
                TransportOutput::Datagram(datagram) => {
                    self.outbox.push_back(SessionOutput::Datagram(datagram));
                }
                TransportOutput::TurnTransport(index, command) => {
                    self.outbox.push_back(SessionOutput::TurnTransport(index, command));
                }
                TransportOutput::LocalCandidate(candidate) => self.trickle(candidate),
                TransportOutput::DescriptionDue => self.handle_description_due(),
                TransportOutput::GatheringComplete => self.handle_gathering_complete(),
                // What is bundled apart from the picture begins with its own next packet.
                TransportOutput::Ready if index > 0 => {}
                TransportOutput::Ready => {
                    self.started = true;
                    self.outbox.push_back(SessionOutput::Started);
                }
                TransportOutput::Rtcp(compound) => self.handle_rtcp(now, &compound),
                TransportOutput::PathQuiet => self.outbox.push_back(SessionOutput::Quiet),
                TransportOutput::PathLost => self.restart(now),
                // Nothing is received from viewers yet.
                TransportOutput::Rtp(_) | TransportOutput::PathRestored => {}
                TransportOutput::Closed | TransportOutput::Failed(_) if index > 0 => {
                    debug!("a section apart from the picture has lost its transport");
                }
                TransportOutput::Closed => self.end(EndReason::ViewerLeft, "the viewer left"),
                TransportOutput::Failed(failure) => {
                    self.end(EndReason::of(&failure), &failure.to_string());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
