//! Descriptions: ours, the viewer's, and what follows from both.

use super::{
    Gathering, Local, MID, Media, RESTART_INTERVAL, SETUP_TIMEOUT, Session, SessionConfig,
    SessionOutput,
};
use crate::dtls_srtp::{DtlsSrtp, DtlsSrtpError};
use crate::ice::{self, Agent, BadCredentials, Candidate, CandidateRefused, Credentials, Role};
use crate::media::{Codec, Format};
use crate::sdp::{
    self, AnswerConfig, Description, Direction, Negotiated, OfferConfig, SdpError, Setup, TrackIds,
    Transport, VideoCodec,
};
use crate::turn_clients::TurnClients;
use porthole_signaling_proto::fragment::{Fragment, FragmentSection};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use std::collections::VecDeque;
use std::time::Instant;
use tracing::debug;

/// Candidates that may come before the description they belong to.
const MAX_EARLY_CANDIDATES: usize = 64;

/// Why a session cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// The viewer's description.
    #[error(transparent)]
    Description(#[from] SdpError),
    /// What is in it.
    #[error(transparent)]
    Credentials(#[from] BadCredentials),
    /// The keys.
    #[error(transparent)]
    DtlsSrtp(#[from] DtlsSrtpError),
    /// A restart that changes nothing.
    #[error("an ICE restart needs a new user fragment and password")]
    NotARestart,
}

/// What is said only when our candidates are known, since nothing can follow it.
#[derive(Debug)]
pub(super) enum Pending {
    /// The answer to an offer.
    Answer { offer: Box<Description>, setup: Setup },
    /// The fragment that answers a restart, for this section.
    Fragment { mid: String },
}

impl Session {
    /// A session in which we make the offer, as ONVIF has it.
    ///
    /// # Errors
    /// None that a viewer could cause; see [`SessionError`].
    pub fn offering(
        now: Instant,
        config: SessionConfig,
        format: Option<&Format>,
    ) -> Result<Self, SessionError> {
        let mut session = Self::new(now, config, Role::Controlling, codecs_of(format));
        let offer = session.write_offer();
        session.outbox.push_back(SessionOutput::Offer(offer));
        session.process_pending(now);
        Ok(session)
    }

    /// A session in which the viewer makes the offer, as WHEP has it. The answer waits until our
    /// candidates are gathered.
    ///
    /// # Errors
    /// When the offer cannot be read or shares nothing with the camera.
    pub fn answering(
        now: Instant,
        config: SessionConfig,
        format: Option<&Format>,
        offer: &str,
    ) -> Result<Self, SessionError> {
        let mut session = Self::new(now, config, Role::Controlled, codecs_of(format));
        session.apply_offer(now, offer, Setup::Passive)?;
        session.process_pending(now);
        Ok(session)
    }

    /// The other end: receives what a gateway offers, and answers at once.
    ///
    /// # Errors
    /// When the offer cannot be read.
    pub fn receiving(
        now: Instant,
        config: SessionConfig,
        offer: &str,
    ) -> Result<Self, SessionError> {
        let codecs = sdp::offered_codecs(Codec::H264, None);
        let mut session = Self::new(now, config, Role::Controlled, codecs);
        session.media = Media::receiving();
        session.apply_offer(now, offer, Setup::Active)?;
        session.send_pending_description();
        session.process_pending(now);
        Ok(session)
    }

    fn new(now: Instant, config: SessionConfig, role: Role, codecs: Vec<VideoCodec>) -> Self {
        let mut rng = StdRng::seed_from_u64(config.seed);
        let credentials = Credentials::random(&mut rng);
        let agent = Agent::new(ice::Config::new(role, credentials.clone(), rng.random()), now);
        let turn_clients = TurnClients::new(now, &config.ice_servers);
        let local = Local {
            origin: rng.random::<u64>() >> 1,
            version: 1,
            credentials,
            codecs,
            pending: None,
        };
        let media = Media::sending(&mut rng, &config.camera);
        Self {
            config,
            rng,
            agent,
            turn_clients,
            dtls_srtp: None,
            media,
            local,
            gathering: Gathering::new(now),
            early_candidates: Vec::new(),
            described: false,
            started: false,
            ended: false,
            setup_until: now + SETUP_TIMEOUT,
            lost: None,
            repeated: None,
            outbox: VecDeque::new(),
        }
    }

    fn write_offer(&self) -> String {
        let transport = self.transport(Setup::ActPass);
        sdp::offer(&OfferConfig {
            session_id: self.local.origin,
            version: self.local.version,
            transport: &transport,
            codecs: &self.local.codecs,
            track: self.media.track(),
            mid: MID,
            candidates: &[],
            direction: Direction::SendOnly,
        })
    }

    fn transport(&self, setup: Setup) -> Transport {
        Transport {
            ufrag: self.local.credentials.ufrag.clone(),
            pwd: self.local.credentials.pwd.clone(),
            fingerprint: self.config.identity.fingerprint(),
            setup,
        }
    }

    /// The viewer's answer to our offer, the first or one that restarts ICE.
    pub fn handle_answer(&mut self, now: Instant, answer: &str) {
        if let Err(error) = self.try_answer(now, answer) {
            self.end(&error.to_string());
        }
        self.process_pending(now);
    }

    fn try_answer(&mut self, now: Instant, answer: &str) -> Result<(), SessionError> {
        let answer = sdp::parse(answer)?;
        let negotiated = sdp::apply_answer(&self.local.codecs, &answer)?;
        self.apply_negotiated(now, &negotiated)
    }

    /// The viewer's offer; another one in the session restarts ICE.
    ///
    /// # Errors
    /// When the offer cannot be read or shares nothing with what we have.
    pub fn handle_offer(&mut self, now: Instant, offer: &str) -> Result<(), SessionError> {
        let credentials = Credentials::random(&mut self.rng);
        self.local.version += 1;
        self.local.credentials = credentials.clone();
        self.agent.restart(now, credentials);
        self.gather_again(now);
        self.apply_offer(now, offer, Setup::Active)?;
        self.send_pending_description();
        self.process_pending(now);
        Ok(())
    }

    fn apply_offer(&mut self, now: Instant, offer: &str, setup: Setup) -> Result<(), SessionError> {
        let offer = sdp::parse(offer)?;
        let answer = sdp::answer(&offer, &self.answer_config(setup, None, &[], false))?;
        self.local.pending = Some(Pending::Answer { offer: Box::new(offer), setup });
        self.apply_negotiated(now, &answer.negotiated)
    }

    fn answer_config<'a>(
        &'a self,
        setup: Setup,
        track: Option<&'a TrackIds>,
        candidates: &'a [String],
        end_of_candidates: bool,
    ) -> AnswerConfig<'a> {
        AnswerConfig {
            session_id: self.local.origin,
            version: self.local.version,
            ufrag: &self.local.credentials.ufrag,
            pwd: &self.local.credentials.pwd,
            fingerprint: self.config.identity.fingerprint(),
            setup,
            codecs: &self.local.codecs,
            track: track.or(self.media.track()),
            candidates,
            end_of_candidates,
        }
    }

    /// Says what was held back, with the candidates there are.
    pub(super) fn send_pending_description(&mut self) {
        match self.local.pending.take() {
            Some(Pending::Answer { offer, setup }) => self.send_answer(&offer, setup),
            Some(Pending::Fragment { mid }) => self.send_fragment(mid),
            None => {}
        }
    }

    fn send_answer(&mut self, offer: &Description, setup: Setup) {
        let ended = !self.is_gathering();
        let config = self.answer_config(setup, None, self.gathering.found(), ended);
        match sdp::answer(offer, &config) {
            Ok(answer) => self.outbox.push_back(SessionOutput::Answer(answer.text)),
            Err(error) => self.end(&error.to_string()),
        }
    }

    fn send_fragment(&mut self, mid: String) {
        let candidates = self.gathering.found().to_vec();
        let section = FragmentSection { mid, candidates, end_of_candidates: true };
        let fragment = Fragment {
            ufrag: Some(self.local.credentials.ufrag.clone()),
            pwd: Some(self.local.credentials.pwd.clone()),
            sections: vec![section],
        };
        self.outbox.push_back(SessionOutput::Fragment(fragment.write()));
    }

    /// What both descriptions settle: how the viewer is reached and recognised, what it plays.
    fn apply_negotiated(&mut self, now: Instant, with: &Negotiated) -> Result<(), SessionError> {
        let credentials = Credentials::parse(&with.remote.ufrag, &with.remote.pwd)?;
        self.agent.set_remote_credentials(now, credentials);
        if self.dtls_srtp.is_none() {
            let fingerprint = with.remote.fingerprint;
            self.dtls_srtp = Some(DtlsSrtp::new(&self.config.identity, with.role, fingerprint)?);
        }
        self.media.negotiated(now, with);
        self.described = true;
        for candidate in std::mem::take(&mut self.early_candidates) {
            self.add_remote(now, &candidate);
        }
        for candidate in &with.remote_candidates {
            self.add_remote(now, candidate);
        }
        if with.end_of_candidates {
            self.agent.end_of_remote_candidates(now);
        }
        Ok(())
    }

    /// A candidate of the viewer's; an empty one ends them.
    pub fn handle_candidate(&mut self, now: Instant, candidate: &str) {
        if self.described {
            self.add_remote(now, candidate);
        } else if self.early_candidates.len() < MAX_EARLY_CANDIDATES {
            self.early_candidates.push(candidate.to_owned());
        }
        self.process_pending(now);
    }

    fn add_remote(&mut self, now: Instant, line: &str) {
        if line.is_empty() {
            return self.agent.end_of_remote_candidates(now);
        }
        match line.parse::<Candidate>() {
            Ok(candidate) => {
                self.turn_clients.permit(now, candidate.address.ip());
                self.agent.add_remote(now, candidate);
            }
            // Such a viewer is found by the checks it sends.
            Err(CandidateRefused::Name) => debug!("a candidate hides behind a .local name"),
            Err(refused) => debug!("a candidate is left out: {refused}"),
        }
    }

    /// The path is lost: asks for another, while the old one may still come back.
    pub(super) fn restart(&mut self, now: Instant) {
        if let Some(lost) = &mut self.lost {
            lost.next_restart = now + RESTART_INTERVAL;
        }
        if !self.described || self.agent.role() == Role::Controlled {
            // The viewer made the offer, so the viewer restarts.
            return;
        }
        let credentials = Credentials::random(&mut self.rng);
        self.local.version += 1;
        self.local.credentials = credentials.clone();
        self.agent.restart(now, credentials);
        let offer = self.write_offer();
        self.outbox.push_back(SessionOutput::Offer(offer));
        self.trickle_again(now);
    }

    /// The viewer restarts ICE over WHEP. Answered by [`SessionOutput::Fragment`].
    ///
    /// # Errors
    /// When the fragment cannot be read or restarts nothing.
    pub fn restart_from_viewer(
        &mut self,
        now: Instant,
        fragment: &str,
    ) -> Result<(), SessionError> {
        let fragment = sdp::parse_fragment(fragment)?;
        let (Some(ufrag), Some(pwd)) = (&fragment.ufrag, &fragment.pwd) else {
            return Err(SessionError::NotARestart);
        };
        let remote = Credentials::parse(ufrag, pwd)?;
        let credentials = Credentials::random(&mut self.rng);
        self.local.credentials = credentials.clone();
        self.agent.restart(now, credentials);
        self.gather_again(now);
        let mid = fragment.sections.first().map_or_else(|| MID.to_owned(), |s| s.mid.clone());
        self.local.pending = Some(Pending::Fragment { mid });
        self.agent.set_remote_credentials(now, remote);
        for candidate in fragment.candidates() {
            self.add_remote(now, candidate);
        }
        self.process_pending(now);
        Ok(())
    }
}

/// What is offered: the camera's own codec, and H.264 while nothing is known of it, since that is
/// what nearly all cameras send and all browsers play.
fn codecs_of(format: Option<&Format>) -> Vec<VideoCodec> {
    match format {
        Some(format) => sdp::offered_codecs(format.codec, format.profile_level_id),
        None => sdp::offered_codecs(Codec::H264, None),
    }
}
