//! The calls to one device over a long time: their addresses, proofs and answers.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::onvif::ServiceAddress;
use crate::onvif::answers::Services;
use crate::onvif::calls::{Call, Media};
use crate::onvif::clock;
use crate::onvif::finding::Finding;
use crate::onvif::http::Reply;
use crate::onvif::ladder::{Ladder, Reaction, Shown};
use crate::onvif::probe::places::Places;
use crate::onvif::probe::{CALL_TIME, Config, Request, request};
use crate::onvif::soap::{self, Answer};
use crate::onvif::xml::Element;
use crate::rtsp::auth::Attempts;

/// The service that answers a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Slot {
    Device,
    Media(Media),
    Ptz,
    Events,
    /// The address of a subscription.
    At(ServiceAddress),
}

/// A call to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ask {
    pub(super) slot: Slot,
    pub(super) action: String,
    pub(super) headers: String,
    pub(super) body: String,
    /// Time for the answer.
    pub(super) time: Duration,
}

impl Ask {
    /// Makes the same call as a probe.
    pub(super) fn of_probe(call: &Call) -> Self {
        Self {
            slot: call.media().map_or(Slot::Device, Slot::Media),
            action: call.action(),
            headers: String::new(),
            body: call.body(),
            time: CALL_TIME,
        }
    }
}

/// A call that waits for its answer.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) id: u32,
    pub(super) ask: Ask,
    pub(super) deadline: Instant,
    shown: Shown,
    attempts: Attempts,
}

/// The meaning of an answer.
#[derive(Debug)]
pub(super) enum Reading {
    Content(Element),
    /// Another proof is wanted: [`Caller::send_again`].
    Again,
    /// The camera refuses the credentials.
    Denied(Finding),
    /// The camera refuses the call; true if it does not have it at all.
    Fault {
        is_unknown: bool,
    },
}

/// The way to one device.
#[derive(Debug)]
pub(super) struct Caller {
    peer: SocketAddr,
    places: Places,
    ladder: Ladder,
    /// A moment, and the time of the camera's clock in it, in seconds since 1970.
    clock: (Instant, i64),
    /// The address of the device service that has answered.
    device: ServiceAddress,
    /// The services as the camera names them, and rebased.
    named: Services,
    services: Services,
    last_id: u32,
}

impl Caller {
    pub(super) fn new(config: &Config, now: Instant, last_id: u32) -> Self {
        let device = ServiceAddress::new(false, &config.host, None, "/");
        let credentials = config.credentials.clone();
        Self {
            peer: config.peer,
            places: Places::new(config.host.clone(), config.peer.ip(), config.networks.clone()),
            ladder: Ladder::new(credentials, config.allows_text, config.seed),
            clock: (now, config.unix_s),
            device,
            named: Services::default(),
            services: Services::default(),
            last_id,
        }
    }

    /// Takes over the device service that has answered, and the time that it tells.
    pub(super) fn handle_device(
        &mut self,
        now: Instant,
        device: ServiceAddress,
        time: Option<&Element>,
    ) {
        self.device = device;
        self.handle_time(now, time);
    }

    /// Takes over the camera's clock.
    pub(super) fn handle_time(&mut self, now: Instant, time: Option<&Element>) {
        if let Some(time) = time.and_then(clock::read) {
            self.clock = (now, time.unix_s);
        }
    }

    /// Takes over the addresses of the services.
    pub(super) fn handle_services(&mut self, named: Services) {
        // What it calls itself does not matter here.
        let _ = self.places.handle_services(&named);
        self.services = self.places.rebase_services(&named, &self.device);
        self.named = named;
    }

    /// Returns the number of the last request.
    pub(super) fn last_id(&self) -> u32 {
        self.last_id
    }

    /// Returns the number of the last request, to be counted up.
    pub(super) fn last_id_mut(&mut self) -> &mut u32 {
        &mut self.last_id
    }

    /// Returns the address of the event service.
    pub(super) fn event_service(&self) -> &ServiceAddress {
        self.services.events.as_ref().unwrap_or(&self.device)
    }

    pub(super) fn services(&self) -> &Services {
        &self.services
    }

    pub(super) fn places(&self) -> &Places {
        &self.places
    }

    /// Returns the address of a subscription at this device.
    pub(super) fn rebase(&self, address: &ServiceAddress) -> ServiceAddress {
        let claimed = self.named.device.as_ref().or(self.named.events.as_ref());
        self.places.rebase(address, claimed, &self.device)
    }

    /// Returns the time of the camera's clock in seconds since 1970.
    pub(super) fn camera_s(&self, now: Instant) -> i64 {
        let (then, unix_s) = self.clock;
        let passed = now.saturating_duration_since(then).as_secs();
        unix_s.saturating_add(i64::try_from(passed).unwrap_or(0))
    }

    /// Returns true once the camera has accepted the password.
    pub(super) fn is_proven(&self) -> bool {
        self.ladder.is_proven()
    }

    /// Returns the request for a call.
    pub(super) fn send(&mut self, now: Instant, ask: Ask) -> (Request, Pending) {
        self.write(now, ask, Attempts::default())
    }

    /// Returns the request for a call with another proof.
    pub(super) fn send_again(&mut self, now: Instant, pending: Pending) -> (Request, Pending) {
        self.write(now, pending.ask, pending.attempts)
    }

    fn write(&mut self, now: Instant, ask: Ask, attempts: Attempts) -> (Request, Pending) {
        let services = &self.services;
        let named = match &ask.slot {
            Slot::Device => None,
            Slot::Media(media) => services.of(Some(*media)),
            Slot::Ptz => services.ptz.as_ref(),
            Slot::Events => services.events.as_ref(),
            Slot::At(address) => Some(address),
        };
        let service = named.unwrap_or(&self.device);
        let camera_s = self.camera_s(now);
        let proof = self.ladder.prove_with(service.target(), &ask.headers, &ask.body, camera_s);
        self.last_id = self.last_id.wrapping_add(1);
        let (id, deadline) = (self.last_id, now + ask.time);
        let (authorization, envelope) = (&proof.authorization, &proof.envelope);
        let sent = request(self.peer, id, service, &ask.action, authorization, envelope);
        (sent, Pending { id, ask, deadline, shown: proof.shown, attempts })
    }

    /// Reads the answer to a call.
    pub(super) fn read(&mut self, pending: &mut Pending, reply: &Reply) -> Reading {
        match soap::read(reply.status, &reply.body) {
            Answer::Content(root) => {
                self.ladder.handle_success(pending.shown);
                if pending.shown != Shown::Nothing {
                    self.ladder.forgive();
                }
                Reading::Content(root)
            }
            Answer::Locked => Reading::Denied(Finding::AccountLocked),
            Answer::Fault => Reading::Fault { is_unknown: soap::is_not_supported(&reply.body) },
            // Some have nothing to say about what they have done.
            Answer::NotSoap if is_empty_success(reply) => Reading::Content(Element::default()),
            Answer::NotSoap => Reading::Fault { is_unknown: reply.status == 404 },
            Answer::Denied => {
                let (shown, attempts) = (pending.shown, &mut pending.attempts);
                match self.ladder.handle_denied(shown, attempts, &reply.challenges) {
                    Reaction::Again => Reading::Again,
                    Reaction::Stop(finding) => Reading::Denied(finding),
                }
            }
        }
    }
}

fn is_empty_success(reply: &Reply) -> bool {
    let is_blank = reply.body.iter().all(u8::is_ascii_whitespace);
    let has_envelope = || Element::read(&reply.body).find("Envelope").is_some();
    (200..300).contains(&reply.status) && (is_blank || has_envelope())
}
