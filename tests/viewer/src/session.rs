//! The viewer's side of a session: answers the gateway's offers and receives its video.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use porthole_gateway_core::dtls_srtp::{DtlsRole, Identity};
use porthole_gateway_core::ice::{LocalBase, Path, Role};
use porthole_gateway_core::rtp::rtcp::{self, Packet};
use porthole_gateway_core::transport::{PeerTransport, TransportConfig, TransportOutput};
use porthole_gateway_core::{Datagram, TurnTransport, TurnTransportCommand};
use porthole_signaling_proto::{IceCandidate, IceServer};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::answer::{self, AnswerError, Chosen, Ours};
use crate::arrivals::Arrivals;
use crate::receiver::{ReceivedFrame, Receiver, ReceiverConfig};

/// Configuration of a [`ViewerSession`].
#[derive(Debug, Clone)]
pub struct ViewerConfig {
    /// Our DTLS certificate.
    pub identity: Identity,
    /// STUN and TURN servers, with the credentials of this session.
    pub ice_servers: Vec<IceServer>,
    /// Use relayed candidates only.
    pub turn_only: bool,
    /// Our role in the DTLS handshake; browsers that answer are clients.
    pub role: DtlsRole,
    /// Seed of the generator for credentials and the like.
    pub seed: u64,
}

/// An output of a viewer's session, to be applied by its owner.
#[derive(Debug)]
pub enum ViewerOutput {
    /// A datagram to send on the shared port.
    Datagram(Datagram),
    /// A command for the transport of the TURN client with this index.
    TurnTransport(u8, TurnTransportCommand),
    /// The answer to an offer.
    Answer(String),
    /// A local candidate to trickle; an empty one ends them.
    Trickle(IceCandidate),
    /// The session has a path and keys.
    Started,
    /// A frame arrived whole.
    Frame(ReceivedFrame),
    /// A decrypted RTCP compound arrived; the session has processed it already.
    Rtcp(Vec<Packet>),
    /// The session has ended, for this reason.
    Ended(String),
}

/// The viewer's side of one session. After every call that changes it, drain
/// [`Self::poll_output`].
#[derive(Debug)]
pub struct ViewerSession {
    transport: PeerTransport,
    role: DtlsRole,
    origin: u64,
    version: u64,
    mid: String,
    receiver: Receiver,
    arrivals: Arrivals,
    ended: bool,
    outbox: VecDeque<ViewerOutput>,
}

impl ViewerSession {
    /// Creates a session that answers this offer.
    ///
    /// # Errors
    /// Returns an error if the offer cannot be parsed or has no video that this viewer takes.
    pub fn new(now: Instant, config: ViewerConfig, offer: &str) -> Result<Self, AnswerError> {
        let ViewerConfig { identity, ice_servers, turn_only, role, seed } = config;
        let mut rng = StdRng::seed_from_u64(seed);
        let chosen = answer::read(offer, role)?;
        let transport = TransportConfig {
            identity,
            ice_servers,
            turn_only,
            role: Role::Controlled,
            seed: rng.random(),
        };
        let receiver = Receiver::new(ReceiverConfig {
            ssrc: 1,
            cname: "viewer".to_owned(),
            codec: chosen.codec,
            payload_type: chosen.payload_type,
            rtx_payload_type: chosen.rtx_payload_type,
            remote_ssrc: chosen.ssrc,
        });
        let mut session = Self {
            transport: PeerTransport::new(now, transport),
            role,
            origin: rng.random::<u64>() >> 1,
            version: 1,
            mid: chosen.mid.clone(),
            receiver,
            arrivals: Arrivals::new(chosen.transport_cc),
            ended: false,
            outbox: VecDeque::new(),
        };
        session.apply_offer(now, chosen);
        Ok(session)
    }

    /// Handles another offer, which restarts ICE.
    ///
    /// # Errors
    /// Returns an error if the offer cannot be parsed.
    pub fn handle_offer(&mut self, now: Instant, offer: &str) -> Result<(), AnswerError> {
        let chosen = answer::read(offer, self.role)?;
        self.version += 1;
        self.transport.restart(now);
        self.apply_offer(now, chosen);
        for candidate in self.transport.local_candidates().to_vec() {
            self.trickle(candidate);
        }
        Ok(())
    }

    fn apply_offer(&mut self, now: Instant, chosen: Chosen) {
        let ours = Ours {
            origin: self.origin,
            version: self.version,
            credentials: self.transport.local_credentials(),
            fingerprint: self.transport.fingerprint(),
        };
        self.outbox.push_back(ViewerOutput::Answer(answer::write(&chosen, &ours)));
        if let Err(error) = self.transport.set_remote(now, chosen.remote) {
            return self.end(&error.to_string());
        }
        for candidate in &chosen.candidates {
            self.transport.handle_candidate(now, candidate);
        }
        self.process(now);
    }

    /// Returns true once packets may flow: there is a path and the keys are agreed.
    pub fn is_started(&self) -> bool {
        self.transport.is_ready()
    }

    /// Returns the path that carries the packets.
    pub fn path(&self) -> Option<Path> {
        self.transport.path()
    }

    /// Returns the transport of the TURN client with this index.
    pub fn turn_transport(&self, index: u8) -> Option<TurnTransport> {
        self.transport.turn_transport(index)
    }

    /// Sets the addresses of this machine, each with the shared port.
    pub fn set_addresses(&mut self, now: Instant, addresses: &[SocketAddr]) {
        self.transport.set_addresses(now, addresses);
        self.process(now);
    }

    /// Handles a STUN server's response: the address `base` is mapped to `mapped`.
    pub fn handle_reflexive(&mut self, now: Instant, base: SocketAddr, mapped: SocketAddr) {
        self.transport.handle_reflexive(now, base, mapped);
        self.process(now);
    }

    /// Handles the end of the search for reflexive addresses.
    pub fn handle_reflexive_complete(&mut self, now: Instant) {
        self.transport.handle_reflexive_complete(now);
        self.process(now);
    }

    /// Handles a candidate line of the gateway; an empty one ends its candidates.
    pub fn handle_candidate(&mut self, now: Instant, candidate: &str) {
        self.transport.handle_candidate(now, candidate);
        self.process(now);
    }

    /// Handles a datagram of the gateway that arrived at `base`.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        base: LocalBase,
        from: SocketAddr,
        datagram: &[u8],
    ) {
        self.transport.handle_datagram(now, base, from, datagram);
        self.process(now);
    }

    /// Handles the opening of a TURN client's transport.
    pub fn handle_turn_transport_opened(&mut self, now: Instant, index: u8) {
        self.transport.handle_turn_transport_opened(now, index);
        self.process(now);
    }

    /// Handles the end of a TURN client's transport.
    pub fn handle_turn_transport_closed(&mut self, now: Instant, index: u8) {
        self.transport.handle_turn_transport_closed(now, index);
        self.process(now);
    }

    /// Handles bytes from a TURN server.
    pub fn handle_turn_transport_data(&mut self, now: Instant, index: u8, bytes: &[u8]) {
        self.transport.handle_turn_transport_data(now, index, bytes);
        self.process(now);
    }

    /// Returns the time at which [`Self::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let transport = self.transport.poll_timeout();
        let receiver = self.receiver.poll_timeout().filter(|_| self.is_started());
        let arrivals = self.arrivals.poll_timeout().filter(|_| self.is_started());
        transport.into_iter().chain(receiver).chain(arrivals).min().filter(|_| !self.ended)
    }

    /// Processes everything that is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.ended {
            return;
        }
        self.transport.handle_timeout(now);
        self.receiver.handle_timeout(now);
        self.process(now);
        self.flush_receiver(now);
        self.process(now);
    }

    /// Returns the next output to apply.
    pub fn poll_output(&mut self) -> Option<ViewerOutput> {
        self.outbox.pop_front()
    }

    /// Ends the session. Drain [`Self::poll_output`] once more for the last messages.
    pub fn close(&mut self, now: Instant) {
        self.transport.close(now);
        self.process(now);
        self.ended = true;
    }

    fn end(&mut self, reason: &str) {
        if !self.ended {
            self.ended = true;
            self.outbox.push_back(ViewerOutput::Ended(reason.to_owned()));
        }
    }

    fn process(&mut self, now: Instant) {
        self.flush_receiver(now);
        while let Some(output) = self.transport.poll_output() {
            self.handle_transport(now, output);
        }
    }

    fn handle_transport(&mut self, now: Instant, output: TransportOutput) {
        match output {
            TransportOutput::Datagram(datagram) => {
                self.outbox.push_back(ViewerOutput::Datagram(datagram));
            }
            TransportOutput::TurnTransport(index, command) => {
                self.outbox.push_back(ViewerOutput::TurnTransport(index, command));
            }
            TransportOutput::LocalCandidate(candidate) => self.trickle(candidate),
            TransportOutput::GatheringComplete => self.trickle(String::new()),
            TransportOutput::Ready => self.outbox.push_back(ViewerOutput::Started),
            TransportOutput::Rtp(packet) => {
                self.arrivals.handle_rtp(now, &packet);
                self.receiver.handle_rtp(now, packet);
                self.flush_receiver(now);
            }
            TransportOutput::Rtcp(compound) => {
                self.receiver.handle_rtcp(now, &compound);
                let packets = rtcp::read(&compound).unwrap_or_default();
                self.outbox.push_back(ViewerOutput::Rtcp(packets));
                self.flush_receiver(now);
            }
            // The answer does not wait, and the gateway made the offer, so it restarts ICE.
            TransportOutput::DescriptionDue
            | TransportOutput::PathQuiet
            | TransportOutput::PathLost
            | TransportOutput::PathRestored => {}
            TransportOutput::Closed => self.end("the gateway has closed the session"),
            TransportOutput::Failed(reason) => self.end(&reason.to_string()),
        }
    }

    fn trickle(&mut self, candidate: String) {
        self.outbox.push_back(ViewerOutput::Trickle(IceCandidate {
            candidate,
            sdp_mid: Some(self.mid.clone()),
            sdp_mline_index: Some(0),
            username_fragment: Some(self.transport.local_credentials().ufrag.clone()),
        }));
    }

    fn flush_receiver(&mut self, now: Instant) {
        while let Some(frame) = self.receiver.poll_frame() {
            self.outbox.push_back(ViewerOutput::Frame(frame));
        }
        let mut plain = Vec::new();
        while self.is_started() && self.receiver.poll_rtcp(now, &mut plain) {
            self.transport.send_rtcp(now, &plain);
        }
        while self.is_started() && self.arrivals.poll_rtcp(now, &mut plain) {
            self.transport.send_rtcp(now, &plain);
        }
    }
}
