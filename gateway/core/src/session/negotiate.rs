//! Negotiation: our descriptions, the peer's, and what follows from both.

use std::collections::VecDeque;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use porthole_signaling_proto::IceCandidate;
use porthole_signaling_proto::fragment::{Fragment, FragmentSection};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::transports::{MAX_TRANSPORTS, Transports};
use super::{Local, Section, Session, SessionConfig, SessionOutput};
use crate::congestion::Congestion;
use crate::dtls_srtp::DtlsSrtpError;
use crate::ice::{BadCredentials, Credentials, Role};
use crate::sdp;
use crate::sdp::{
    AnswerConfig, Description, LocalMedia, LocalTransport, MediaKind, Negotiated,
    NegotiatedTransport, OfferConfig, OfferedSection, SdpError, Setup, Transport,
};
use crate::stats::EndReason;
use crate::transport::{PeerTransport, RemoteTransport, TransportConfig};

/// Reason for which a description or a restart is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// The peer's description cannot be parsed or offers nothing usable.
    #[error(transparent)]
    Description(#[from] SdpError),
    /// The ICE credentials in the description are malformed.
    #[error(transparent)]
    Credentials(#[from] BadCredentials),
    /// The DTLS association cannot be set up.
    #[error(transparent)]
    DtlsSrtp(#[from] DtlsSrtpError),
    /// A bug: negotiating panicked.
    #[error("a fault in the gateway")]
    Panic,
    /// The viewer takes H.264 in whole NAL units only, and the camera's do not fit into packets.
    #[error(
        "the player takes H.264 only in single NAL units (packetization-mode=0), and this camera's \
         are too large for that; use a player that offers packetization-mode=1"
    )]
    Fragmented,
    /// The restart has no new ICE credentials.
    #[error("an ICE restart needs a new user name fragment and password")]
    NotARestart,
}

/// A description that waits for our candidates, because none can be trickled after it.
#[derive(Debug)]
pub(super) enum Pending {
    /// The answer to this offer.
    Answer { offer: Box<Description>, setup: Setup },
    /// The fragment that answers a restart, for the media sections with these mids, one for each
    /// transport, in the viewer's BUNDLE group.
    Fragment { mids: Vec<String>, bundle: Vec<String> },
}

impl Session {
    /// Creates a session in which we make the offer (ONVIF WebRTC §5.4).
    ///
    /// # Errors
    /// Never fails because of the viewer.
    pub fn offering(now: Instant, config: SessionConfig) -> Result<Self, SessionError> {
        let mut session = Self::new(now, config, Role::Controlling);
        let offer = session.write_offer();
        session.outbox.push_back(SessionOutput::Offer(offer));
        session.process_transport(now);
        Ok(session)
    }

    /// Creates a session in which the viewer has made the offer (WHEP). The answer follows as
    /// [`SessionOutput::Answer`] once our candidates are gathered.
    ///
    /// # Errors
    /// Returns an error if the offer cannot be parsed or has no codec in common with the camera.
    pub fn answering(
        now: Instant,
        config: SessionConfig,
        offer: &str,
    ) -> Result<Self, SessionError> {
        let mut session = Self::new(now, config, Role::Controlled);
        session.apply_offer(now, offer, Setup::Passive)?;
        session.process_transport(now);
        Ok(session)
    }

    fn new(now: Instant, config: SessionConfig, role: Role) -> Self {
        let SessionConfig { sections, identity, ice_servers, turn_only, expires, seed } = config;
        let mut rng = StdRng::seed_from_u64(seed);
        let seed = rng.random();
        let transport = TransportConfig { identity, ice_servers, turn_only, role, seed };
        let offers = role == Role::Controlling;
        let origin = rng.random::<u64>() >> 1;
        let mids = (0..).map(|index: usize| index.to_string());
        let cname = random_cname(&mut rng);
        let sections: Vec<_> = mids
            .zip(sections)
            .map(|(mid, config)| Section::new(&mut rng, mid, cname.clone(), config))
            .collect();
        let transport_mid = sections.first().map_or_else(String::new, |s| s.mid().to_owned());
        Self {
            transports: Transports::new(now, transport),
            sections,
            expires,
            local: Local { offers, origin, version: 1, transport_mid, pending: None },
            congestion: None,
            following: None,
            started: false,
            ended: false,
            mapping_restart: None,
            created_at: now,
            has_sent: false,
            plain: Vec::new(),
            outbox: VecDeque::new(),
        }
    }

    fn write_offer(&self) -> String {
        let transport = self.local_transport(Setup::ActPass);
        sdp::offer(&OfferConfig {
            session_id: self.local.origin,
            version: self.local.version,
            transport: &transport,
            sections: &self.offered_sections(),
            candidates: &[],
        })
    }

    fn offered_sections(&self) -> Vec<OfferedSection<'_>> {
        let offered = |s| OfferedSection { mid: Section::mid(s), media: s.local_media() };
        self.sections.iter().map(offered).collect()
    }

    fn local_media(&self) -> Vec<LocalMedia<'_>> {
        self.sections.iter().map(Section::local_media).collect()
    }

    fn local_transport(&self, setup: Setup) -> Transport {
        let transport = self.transports.first();
        let Credentials { ufrag, pwd } = transport.local_credentials().clone();
        Transport { ufrag, pwd, fingerprint: transport.fingerprint(), setup }
    }

    /// Handles the peer's answer to our offer, the first one or one that restarts ICE. A bad answer
    /// ends the session.
    pub fn handle_answer(&mut self, now: Instant, answer: &str) {
        if let Err(error) = self.try_answer(now, answer) {
            self.end(EndReason::Description, &error.to_string());
        }
        self.process_transport(now);
    }

    fn try_answer(&mut self, now: Instant, answer: &str) -> Result<(), SessionError> {
        let answer = sdp::parse(answer)?;
        let negotiated = sdp::apply_answer(&self.offered_sections(), &answer)?;
        self.apply_negotiated(now, &negotiated)
    }

    fn apply_offer(&mut self, now: Instant, offer: &str, setup: Setup) -> Result<(), SessionError> {
        let offer = sdp::parse(offer)?;
        let media = self.local_media();
        // Which transports are needed follows from the offer; the text is written when each has
        // its candidates.
        let any = vec![self.transports.first(); MAX_TRANSPORTS];
        let any: Vec<_> = any.into_iter().map(|it| local_transport(it, false)).collect();
        let negotiated = sdp::answer(&offer, &self.answer_config(setup, &media, &any))?.negotiated;
        self.local.pending = Some(Pending::Answer { offer: Box::new(offer), setup });
        self.transports.extend(now, negotiated.transports.len());
        self.apply_negotiated(now, &negotiated)
    }

    fn answer_config<'a>(
        &'a self,
        setup: Setup,
        media: &'a [LocalMedia<'a>],
        transports: &'a [LocalTransport<'a>],
    ) -> AnswerConfig<'a> {
        AnswerConfig {
            session_id: self.local.origin,
            version: self.local.version,
            transports,
            fingerprint: self.transports.first().fingerprint(),
            setup,
            media,
        }
    }

    /// Sends the pending description, if any, with the candidates gathered so far.
    pub(super) fn send_pending_description(&mut self) {
        match self.local.pending.take() {
            Some(Pending::Answer { offer, setup }) => self.send_answer(&offer, setup),
            Some(Pending::Fragment { mids, bundle }) => self.send_fragment(mids, bundle),
            None => {}
        }
    }

    fn send_answer(&mut self, offer: &Description, setup: Setup) {
        let ended = !self.is_gathering();
        let media = self.local_media();
        let transports: Vec<_> =
            self.transports.iter().map(|transport| local_transport(transport, ended)).collect();
        let config = self.answer_config(setup, &media, &transports);
        match sdp::answer(offer, &config) {
            Ok(answer) => self.outbox.push_back(SessionOutput::Answer(answer.text)),
            Err(error) => self.end(EndReason::Description, &error.to_string()),
        }
    }

    fn send_fragment(&mut self, mids: Vec<String>, bundle: Vec<String>) {
        let first = self.transports.first().local_credentials();
        let (ufrag, pwd) = (first.ufrag.clone(), first.pwd.clone());
        let section = |(mid, transport): (String, &PeerTransport)| {
            let Credentials { ufrag, pwd } = transport.local_credentials().clone();
            let has_own = ufrag != first.ufrag;
            FragmentSection {
                mid,
                ufrag: has_own.then_some(ufrag),
                pwd: has_own.then_some(pwd),
                candidates: transport.local_candidates().to_vec(),
                end_of_candidates: true,
            }
        };
        let sections = mids.into_iter().zip(self.transports.iter()).map(section).collect();
        let fragment = Fragment {
            ufrag: Some(ufrag),
            pwd: Some(pwd),
            bundle,
            attributes: sdp::ice_attributes().to_vec(),
            sections,
        };
        self.outbox.push_back(SessionOutput::Fragment(fragment.write()));
    }

    /// Applies what both descriptions agree on: the peer's credentials and fingerprint, the codec.
    fn apply_negotiated(
        &mut self,
        now: Instant,
        negotiated: &Negotiated,
    ) -> Result<(), SessionError> {
        let Negotiated { transports, sections } = negotiated;
        for (transport, negotiated) in self.transports.iter_mut().zip(transports) {
            apply_transport(now, transport, negotiated)?;
        }
        if let Some(mid) = transports.first().and_then(|first| first.mid.as_ref()) {
            self.local.transport_mid.clone_from(mid);
        }
        // A player that is told to play the picture at once cannot bring it in sync with its sound.
        let at_once = sections.iter().all(|section| section.kind == MediaKind::Video);
        // The picture's packets are numbered, on the first transport.
        let numbered = sections.iter().filter(|section| section.transport == 0);
        let mut numbered = numbered.filter_map(|section| {
            section.transport_cc_extension.map(|id| (id, section.rtx_payload_type.is_some()))
        });
        let (id, takes_padding) = numbered.next().unzip();
        let takes_padding = takes_padding.unwrap_or_default();
        self.congestion.get_or_insert_with(|| Congestion::new(now, id, takes_padding));
        for negotiated in sections {
            if let Some(section) = self.sections.get_mut(negotiated.media) {
                section.apply(now, negotiated, at_once);
            }
        }
        Ok(())
    }

    /// Signals a candidate, unless a pending description will contain it.
    pub(super) fn trickle(&mut self, candidate: String) {
        if self.local.pending.is_some() {
            return;
        }
        self.outbox.push_back(SessionOutput::Trickle(IceCandidate {
            candidate,
            sdp_mid: Some(self.local.transport_mid.clone()),
            sdp_mline_index: Some(0),
            username_fragment: Some(self.transports.first().local_credentials().ufrag.clone()),
        }));
    }

    /// Sends the description that waits for our candidates, with those found so far; it ends them,
    /// because none can follow it.
    pub(super) fn handle_description_due(&mut self) {
        if self.local.pending.is_some() {
            self.transports.iter_mut().for_each(PeerTransport::end_gathering);
            self.send_pending_description();
        }
    }

    /// Handles the end of gathering of a transport, and the last one: sends the description that
    /// waits for it, or signals the end of our candidates.
    pub(super) fn handle_gathering_complete(&mut self) {
        if self.is_gathering() {
            return;
        }
        if self.local.pending.is_some() {
            self.send_pending_description();
        } else {
            self.trickle(String::new());
        }
    }

    /// Restarts ICE because the path is lost; the old path may still come back meanwhile.
    pub(super) fn restart(&mut self, now: Instant) {
        if !self.transports.first().has_remote() || !self.local.offers {
            // The peer made the offer, so the peer restarts.
            return;
        }
        self.local.version += 1;
        // Our offers bundle all sections.
        self.transports.first_mut().restart(now);
        let offer = self.write_offer();
        self.outbox.push_back(SessionOutput::Offer(offer));
        for candidate in self.transports.first().local_candidates().to_vec() {
            self.trickle(candidate);
        }
    }

    /// Returns the section of a viewer's fragment that is for the transport with this index. For
    /// the first one, any section will do that is for no other: all of a bundle share it.
    fn fragment_section<'a>(
        &self,
        fragment: &'a Fragment,
        index: usize,
    ) -> Option<&'a FragmentSection> {
        let transport = |section: &FragmentSection| {
            let mut ours = self.sections.iter();
            ours.find(|ours| ours.mid() == section.mid).map_or(0, Section::transport)
        };
        fragment.sections.iter().find(|section| transport(section) == index)
    }

    /// Handles an ICE restart of the viewer over WHEP. The answer follows as
    /// [`SessionOutput::Fragment`] once our candidates are gathered.
    ///
    /// # Errors
    /// Returns an error if the fragment cannot be parsed or has no new credentials.
    pub fn handle_restart_fragment(
        &mut self,
        now: Instant,
        fragment: &str,
    ) -> Result<(), SessionError> {
        let fragment = sdp::parse_fragment(fragment)?;
        if fragment.ufrag.is_none() || fragment.pwd.is_none() {
            return Err(SessionError::NotARestart);
        }
        let of_transport: Vec<_> = (0..self.transports.len())
            .map(|index| self.fragment_section(&fragment, index))
            .collect();
        let mut remotes = Vec::new();
        for section in &of_transport {
            let ufrag = section.and_then(|s| s.ufrag.as_ref()).or(fragment.ufrag.as_ref());
            let pwd = section.and_then(|s| s.pwd.as_ref()).or(fragment.pwd.as_ref());
            let (Some(ufrag), Some(pwd)) = (ufrag, pwd) else {
                return Err(SessionError::NotARestart);
            };
            remotes.push(Credentials::parse(ufrag, pwd)?);
        }
        let mids = of_transport.iter().map(|section| {
            section.map_or_else(|| self.local.transport_mid.clone(), |it| it.mid.clone())
        });
        let (mids, bundle) = (mids.collect(), fragment.bundle.clone());
        self.local.pending = Some(Pending::Fragment { mids, bundle });
        for (transport, remote) in self.transports.iter_mut().zip(remotes) {
            transport.restart(now);
            transport.set_remote_credentials(now, remote);
        }
        for candidate in fragment.ice_candidates() {
            self.handle_candidate(now, &candidate);
        }
        self.process_transport(now);
        Ok(())
    }
}

/// Returns our side of a transport, as an answer describes it.
fn local_transport(transport: &PeerTransport, end_of_candidates: bool) -> LocalTransport<'_> {
    let Credentials { ufrag, pwd } = transport.local_credentials();
    LocalTransport { ufrag, pwd, candidates: transport.local_candidates(), end_of_candidates }
}

/// Applies the peer's side of a transport: its credentials, fingerprint and candidates.
fn apply_transport(
    now: Instant,
    transport: &mut PeerTransport,
    negotiated: &NegotiatedTransport,
) -> Result<(), SessionError> {
    let Transport { ufrag, pwd, fingerprint, .. } = &negotiated.remote;
    let remote = RemoteTransport {
        credentials: Credentials::parse(ufrag, pwd)?,
        fingerprint: *fingerprint,
        role: negotiated.role,
        ice_lite: negotiated.ice_lite,
        ice_pacing: negotiated.ice_pacing,
    };
    transport.set_remote(now, remote)?;
    for candidate in &negotiated.remote_candidates {
        transport.handle_candidate(now, candidate);
    }
    if negotiated.end_of_candidates {
        transport.handle_end_of_candidates(now);
    }
    Ok(())
}

/// Returns a canonical name that is used for one session only, so that it does not tell that
/// sessions have the same source (RFC 7022 §4.2): 96 random bits.
fn random_cname(rng: &mut StdRng) -> String {
    STANDARD.encode(rng.random::<[u8; 12]>())
}
