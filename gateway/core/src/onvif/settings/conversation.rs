//! The conversation with one device: a request at a time, each with its proof and its deadline.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::calls::Message;
use super::{Config, Output, Step};
use crate::onvif::ServiceAddress;
use crate::onvif::answers::Services;
use crate::onvif::calls::Media;
use crate::onvif::finding::Finding;
use crate::onvif::http::{Reply, ReplyError};
use crate::onvif::ladder::{Ladder, MAX_REFUSED, Reaction, Shown};
use crate::onvif::probe::places::Places;
use crate::onvif::probe::{CallError, redirected, request};
use crate::onvif::soap::{self, Answer};
use crate::onvif::xml::Element;
use crate::rtsp::auth::Attempts;

/// Maximum number of requests about one camera; reading needs 8, setting and reading back 6.
const MAX_REQUESTS: u32 = 48;

/// The answer of the device to a request.
#[derive(Debug)]
pub(super) enum Heard {
    /// The content, and the document that it is from.
    Content(Element, Vec<u8>),
    /// A refusal, with its reason.
    Fault(String),
    /// A refusal because of the user's rights.
    Forbidden,
    /// No answer; the request may have arrived.
    Silence,
    /// An answer after which the device is not asked any more.
    Failed(Finding),
}

impl Heard {
    /// Returns true if the device may have done what was asked.
    pub(super) fn is_unknown(&self) -> bool {
        matches!(self, Self::Silence | Self::Failed(Finding::EndlessAnswer))
    }
}

/// A request that waits for its reply.
#[derive(Debug)]
struct Pending {
    id: u32,
    step: Step,
    message: Message,
    time: Duration,
    deadline: Instant,
    shown: Shown,
    attempts: Attempts,
}

/// A conversation with a device.
#[derive(Debug)]
pub(super) struct Conversation {
    peer: SocketAddr,
    device: ServiceAddress,
    services: Services,
    places: Places,
    ladder: Ladder,
    started: Instant,
    unix_s: i64,
    /// Seconds that the camera's clock is ahead.
    ahead_s: i64,
    pending: Option<Pending>,
    requests: u32,
    outputs: VecDeque<Output>,
}

impl Conversation {
    pub(super) fn new(config: &Config, now: Instant) -> Self {
        let host = config.peer.ip().to_canonical().to_string();
        let credentials = config.credentials.clone();
        Self {
            peer: config.peer,
            device: config.service.at_host(&host),
            services: Services::default(),
            places: Places::new(host, config.peer.ip(), config.networks.clone()),
            ladder: Ladder::new(credentials, config.allows_text, config.seed),
            started: now,
            unix_s: config.unix_s,
            ahead_s: 0,
            pending: None,
            requests: 0,
            outputs: VecDeque::new(),
        }
    }

    /// Returns the host that is asked.
    pub(super) fn host(&self) -> &str {
        self.places.host()
    }

    /// Returns the time in seconds since 1970.
    pub(super) fn unix_s(&self, now: Instant) -> i64 {
        let passed = now.saturating_duration_since(self.started).as_secs();
        self.unix_s.saturating_add(i64::try_from(passed).unwrap_or(0))
    }

    /// Takes over how far the camera's clock is ahead.
    pub(super) fn set_ahead(&mut self, ahead_s: i64) {
        self.ahead_s = ahead_s;
    }

    /// Takes over the addresses of the services. Returns false if none of them is about media.
    pub(super) fn set_services(&mut self, named: &Services) -> bool {
        self.places.handle_services(named);
        self.services = self.places.rebase_services(named, &self.device);
        self.services.media1.is_some() || self.services.media2.is_some()
    }

    /// Returns true if the device has this media service. The first one may be at the address of
    /// the device service.
    pub(super) fn has(&self, media: Media) -> bool {
        match media {
            Media::First => self.services.media1.is_some() || self.services.media2.is_none(),
            Media::Second => self.services.media2.is_some(),
        }
    }

    /// Makes a request, for which the device has this time.
    pub(super) fn ask(&mut self, now: Instant, step: Step, message: Message, time: Duration) {
        let deadline = now + time;
        let (id, shown, attempts) = (0, Shown::Nothing, Attempts::default());
        self.send(now, Pending { id, step, message, time, deadline, shown, attempts });
    }

    fn send(&mut self, now: Instant, mut pending: Pending) {
        let message = &pending.message;
        let service = self.services.of(message.media).unwrap_or(&self.device);
        let camera_s = self.unix_s(now).saturating_add(self.ahead_s);
        let (authorization, envelope) = if pending.step.is_public() {
            pending.shown = Shown::Nothing;
            (String::new(), soap::envelope("", &message.body))
        } else {
            let proof = self.ladder.prove(service.target(), &message.body, camera_s);
            pending.shown = proof.shown;
            (proof.authorization, proof.envelope)
        };
        self.requests += 1;
        pending.id = self.requests;
        pending.deadline = now + pending.time;
        let (id, action) = (pending.id, &pending.message.action);
        let sent = request(self.peer, id, service, action, &authorization, &envelope);
        self.outputs.push_back(Output::Send(sent));
        self.pending = Some(pending);
    }

    /// Handles a reply. Returns the answer to a step, once there is one.
    pub(super) fn handle_reply(
        &mut self,
        now: Instant,
        id: u32,
        reply: &Reply,
    ) -> Option<(Step, Heard)> {
        let mut pending = self.pending.take_if(|pending| pending.id == id)?;
        let step = pending.step;
        if (300..400).contains(&reply.status) {
            return Some((step, Heard::Failed(redirected(reply))));
        }
        let heard = match soap::read(reply.status, &reply.body) {
            Answer::Content(root) => {
                self.ladder.handle_success(pending.shown);
                Heard::Content(root, reply.body.clone())
            }
            Answer::Locked => Heard::Failed(Finding::AccountLocked),
            Answer::Fault | Answer::NotSoap => Heard::Fault(soap::reason(&reply.body)),
            Answer::Denied if step.is_public() => Heard::Fault(String::new()),
            Answer::Denied => {
                let (shown, attempts) = (pending.shown, &mut pending.attempts);
                match self.ladder.handle_denied(shown, attempts, &reply.challenges) {
                    Reaction::Again if self.requests < MAX_REQUESTS => {
                        self.send(now, pending);
                        return None;
                    }
                    Reaction::Again => Heard::Failed(Finding::StoppedAnswering),
                    Reaction::Stop(Finding::NotPermitted) => Heard::Forbidden,
                    Reaction::Stop(finding) => Heard::Failed(finding),
                }
            }
        };
        Some((step, heard))
    }

    /// Handles a request that has no reply. Returns the step it was for.
    pub(super) fn handle_error(&mut self, id: u32, error: CallError) -> Option<(Step, Heard)> {
        let pending = self.pending.take_if(|pending| pending.id == id)?;
        let heard = match error {
            CallError::Reply(ReplyError::TooLong) => Heard::Failed(Finding::EndlessAnswer),
            CallError::Refused
            | CallError::Unreachable
            | CallError::Reply(ReplyError::NotHttp | ReplyError::Cut) => Heard::Silence,
        };
        Some((pending.step, heard))
    }

    /// Gives up a request whose time is over. Returns the step it was for.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Option<(Step, Heard)> {
        let late = self.pending.take_if(|pending| pending.deadline <= now)?;
        self.outputs.push_back(Output::Cancel(late.id));
        Some((late.step, Heard::Silence))
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.pending.as_ref().map(|pending| pending.deadline)
    }

    pub(super) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Adds the last output.
    pub(super) fn end(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    /// Returns true if a further request could lock the account.
    pub(super) fn is_over(&self) -> bool {
        self.ladder.refused() >= MAX_REFUSED && !self.ladder.is_proven()
    }

    /// Returns the number of requests with a password that the device has refused.
    pub(super) fn refused(&self) -> u8 {
        self.ladder.refused()
    }
}
