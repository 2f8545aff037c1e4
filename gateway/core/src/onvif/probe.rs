//! The questions to one device: is it a camera, which streams has it, and what is wrong with it.
//!
//! [`Probe`] is a value with the contract of every core. It knocks at several ports at once without
//! credentials, and then makes one call after another at the service that has answered. Everything
//! that a camera says about addresses is taken as a hint: all requests go to the one address that
//! the probe was made for.

pub(super) mod knock;
pub(super) mod places;
mod stream;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::answers::{self, Information, Profile, Services};
use super::calls::{Call, Media};
use super::finding::Finding;
use super::http::{self, Reply, ReplyError};
use super::ladder::{Ladder, MAX_REFUSED, Reaction, Shown};
use super::networks::{Networks, NotAllowed};
use super::soap::{self, Answer};
use super::xml::Element;
use super::{ServiceAddress, clock};
use crate::rtsp::Credentials;
use crate::rtsp::auth::Attempts;
use knock::Knocks;
use places::Places;
use stream::Streams;

pub use stream::{Camera, Stream};

/// Time for a call. Cameras answer within 100 ms, slow ones within a second.
pub(super) const CALL_TIME: Duration = Duration::from_secs(3);

/// Time for a whole probe: a recorder with 32 sources needs about 100 calls.
const TOTAL_TIME: Duration = Duration::from_secs(60);

/// Maximum number of requests of a probe.
const MAX_REQUESTS: u32 = 160;

/// Maximum number of cameras that are read of one device.
pub(super) const MAX_CAMERAS: usize = 32;

/// Maximum number of calls in a row without an answer, after which the device is given up.
const MAX_SILENT: u32 = 2;

/// Difference of clocks in seconds from which it is told. Devices accept a token whose time is some
/// seconds off.
pub(super) const CLOCK_TOLERANCE: i64 = 5;

/// Settings of a probe.
#[derive(Debug, Clone)]
pub struct Config {
    /// The address that every request goes to; its port is not used.
    pub peer: SocketAddr,
    /// The host as the person knows it: a name or an address.
    pub host: String,
    /// Addresses of the device service that are known; without any, the usual ports are tried.
    pub services: Vec<ServiceAddress>,
    /// True: only [`Self::services`] are tried.
    pub only_services: bool,
    /// User and password, if there are some.
    pub credentials: Option<Credentials>,
    /// Allow the password to be sent as readable text.
    pub allows_text: bool,
    /// The networks whose machines may be contacted.
    pub networks: Networks,
    /// Time at the start in seconds since 1970.
    pub unix_s: i64,
    /// Seed of the random numbers.
    pub seed: u64,
}

/// An HTTP request for the driver. The reply may not be followed to another address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Number of the request, for its reply.
    pub id: u32,
    /// The address to connect to.
    pub to: SocketAddr,
    /// With TLS: the name of the server. Cameras sign their certificates themselves.
    pub tls_name: Option<String>,
    /// The bytes to send.
    pub bytes: Vec<u8>,
}

/// Reasons why a request has no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallError {
    /// The port is closed.
    Refused,
    /// The connection cannot be opened.
    Unreachable,
    /// The reply cannot be read.
    Reply(ReplyError),
}

/// An output of a probe, to be applied by the driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send a request; pass the result to [`Probe::handle_reply`] or [`Probe::handle_error`].
    Send(Request),
    /// Drop the request with this number; nothing is expected of it any more.
    Cancel(u32),
    /// A fact that was found out.
    Finding(Finding),
    /// The properties of the device.
    Device(Information),
    /// A camera of the device with its streams.
    Camera(Camera),
    /// The probe has ended.
    Done,
}

/// A call that waits for its reply.
#[derive(Debug)]
struct Pending {
    id: u32,
    call: Call,
    deadline: Instant,
    shown: Shown,
    attempts: Attempts,
}

/// The stages of a probe.
#[derive(Debug)]
enum Stage {
    Knocking(Knocks),
    Asking(Box<Asking>),
    Closed,
}

/// The state once a device service has answered.
#[derive(Debug)]
struct Asking {
    /// The address that has answered.
    device: ServiceAddress,
    services: Services,
    pending: Option<Pending>,
    information: Information,
    streams: Streams,
}

/// A probe of one device.
#[derive(Debug)]
pub struct Probe {
    peer: SocketAddr,
    started: Instant,
    /// Time of the camera's clock at the start, in seconds since 1970.
    camera_s: i64,
    unix_s: i64,
    stage: Stage,
    ladder: Ladder,
    places: Places,
    requests: u32,
    silent: u32,
    told_not_permitted: bool,
    outputs: VecDeque<Output>,
}

impl Probe {
    /// Creates a probe, which begins at once.
    ///
    /// # Errors
    /// If the gateway may not contact the address.
    pub fn new(config: Config, now: Instant) -> Result<Self, NotAllowed> {
        config.networks.check(config.peer.ip())?;
        let knocks = Knocks::new(&config);
        let mut probe = Self {
            peer: config.peer,
            started: now,
            camera_s: config.unix_s,
            unix_s: config.unix_s,
            stage: Stage::Closed,
            ladder: Ladder::new(config.credentials, config.allows_text, config.seed),
            places: Places::new(config.host, config.peer.ip(), config.networks),
            requests: 0,
            silent: 0,
            told_not_permitted: false,
            outputs: VecDeque::new(),
        };
        probe.stage = Stage::Knocking(knocks);
        probe.knock(now);
        Ok(probe)
    }

    /// Handles the reply to a request.
    pub fn handle_reply(&mut self, now: Instant, id: u32, reply: &Reply) {
        match &mut self.stage {
            Stage::Knocking(knocks) => {
                knocks.handle_reply(id, reply, &self.places);
                self.knock(now);
            }
            Stage::Asking(asking) => {
                if let Some(pending) = asking.pending.take_if(|pending| pending.id == id) {
                    self.silent = 0;
                    self.handle_answer(now, pending, reply);
                }
            }
            Stage::Closed => {}
        }
    }

    /// Handles a request that has no reply.
    pub fn handle_error(&mut self, now: Instant, id: u32, error: CallError) {
        match &mut self.stage {
            Stage::Knocking(knocks) => {
                knocks.handle_error(id, error);
                self.knock(now);
            }
            Stage::Asking(asking) => {
                let Some(pending) = asking.pending.take_if(|pending| pending.id == id) else {
                    return;
                };
                if error == CallError::Reply(ReplyError::TooLong) {
                    self.fail(Finding::EndlessAnswer);
                } else {
                    self.handle_silence(now, &pending.call);
                }
            }
            Stage::Closed => {}
        }
    }

    /// Returns the next output; `None` until the next input.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Returns the time at which [`Self::handle_timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let deadline = match &self.stage {
            Stage::Knocking(knocks) => knocks.deadline(),
            Stage::Asking(asking) => asking.pending.as_ref().map(|pending| pending.deadline),
            Stage::Closed => return None,
        };
        let end = self.started + TOTAL_TIME;
        Some(deadline.map_or(end, |deadline| deadline.min(end)))
    }

    /// Processes everything that is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if now >= self.started + TOTAL_TIME {
            self.cancel_all();
            self.fail(Finding::StoppedAnswering);
            return;
        }
        match &mut self.stage {
            Stage::Knocking(knocks) => {
                let late = knocks.handle_timeout(now);
                self.outputs.extend(late.into_iter().map(Output::Cancel));
                self.knock(now);
            }
            Stage::Asking(asking) => {
                if let Some(late) = asking.pending.take_if(|pending| pending.deadline <= now) {
                    self.outputs.push_back(Output::Cancel(late.id));
                    self.handle_silence(now, &late.call);
                }
            }
            Stage::Closed => {}
        }
    }

    /// Ends the probe; the outputs that follow cancel its requests.
    pub fn close(&mut self) {
        self.cancel_all();
        self.done();
    }

    /// Returns the number of requests with a password that the device has refused.
    #[must_use]
    pub fn refused(&self) -> u8 {
        self.ladder.refused()
    }

    fn cancel_all(&mut self) {
        let pending = match &mut self.stage {
            Stage::Knocking(knocks) => knocks.cancel(),
            Stage::Asking(asking) => asking.pending.take().into_iter().map(|p| p.id).collect(),
            Stage::Closed => Vec::new(),
        };
        self.outputs.extend(pending.into_iter().map(Output::Cancel));
    }

    /// Sends the knocks that are due, and goes on once the result is known.
    fn knock(&mut self, now: Instant) {
        let Stage::Knocking(knocks) = &mut self.stage else { return };
        while let Some(knock) = knocks.next(&mut self.requests, now + CALL_TIME) {
            self.outputs.push_back(Output::Send(knock));
        }
        let Some(verdict) = knocks.verdict() else { return };
        self.cancel_all();
        match verdict {
            Err(finding) => self.fail(finding),
            Ok((device, root)) => {
                self.take_time(root.as_ref());
                let services = Services::default();
                self.stage = Stage::Asking(Box::new(Asking {
                    device,
                    services,
                    pending: None,
                    information: Information::default(),
                    streams: Streams::default(),
                }));
                self.ask(now, Call::Services, Attempts::default());
            }
        }
    }

    /// Takes over the camera's clock.
    fn take_time(&mut self, root: Option<&Element>) {
        let Some(time) = root.and_then(clock::read) else { return };
        self.camera_s = time.unix_s;
        let ahead = time.unix_s - self.unix_s;
        if !time.is_set {
            self.tell(Finding::ClockUnset);
        } else if ahead.abs() > CLOCK_TOLERANCE {
            self.tell(Finding::ClockOff(ahead));
        }
    }

    fn tell(&mut self, finding: Finding) {
        self.outputs.push_back(Output::Finding(finding));
    }

    /// Ends the probe because of a finding.
    fn fail(&mut self, finding: Finding) {
        if !matches!(self.stage, Stage::Closed) {
            self.tell(finding);
        }
        self.done();
    }

    fn done(&mut self) {
        if !matches!(self.stage, Stage::Closed) {
            self.stage = Stage::Closed;
            self.outputs.push_back(Output::Done);
        }
    }

    /// Makes a call.
    fn ask(&mut self, now: Instant, call: Call, attempts: Attempts) {
        let Stage::Asking(asking) = &mut self.stage else { return };
        if self.requests >= MAX_REQUESTS {
            self.fail(Finding::StoppedAnswering);
            return;
        }
        let service = asking.services.of(call.media()).unwrap_or(&asking.device);
        self.requests += 1;
        let id = self.requests;
        let passed = i64::try_from(now.duration_since(self.started).as_secs()).unwrap_or(0);
        let proof = self.ladder.prove(service.target(), &call.body(), self.camera_s + passed);
        let (authorization, envelope) = (&proof.authorization, &proof.envelope);
        let sent = request(self.peer, id, service, &call.action(), authorization, envelope);
        self.outputs.push_back(Output::Send(sent));
        let deadline = now + CALL_TIME;
        asking.pending = Some(Pending { id, call, deadline, shown: proof.shown, attempts });
    }

    fn handle_answer(&mut self, now: Instant, mut pending: Pending, reply: &Reply) {
        if (300..400).contains(&reply.status) {
            self.fail(redirected(reply));
            return;
        }
        match soap::read(reply.status, &reply.body) {
            Answer::Content(root) => {
                self.ladder.handle_success(pending.shown);
                self.handle_content(now, pending.call, &root);
            }
            Answer::Locked => self.fail(Finding::AccountLocked),
            Answer::Fault | Answer::NotSoap => self.go_on(now, &pending.call),
            Answer::Denied => {
                let (shown, attempts) = (pending.shown, &mut pending.attempts);
                match self.ladder.handle_denied(shown, attempts, &reply.challenges) {
                    Reaction::Again => self.ask(now, pending.call, pending.attempts),
                    Reaction::Stop(Finding::NotPermitted) => self.handle_forbidden(now, &pending),
                    Reaction::Stop(finding) => self.fail(finding),
                }
            }
        }
    }

    /// Handles a call that this user may not make although the password is right.
    fn handle_forbidden(&mut self, now: Instant, pending: &Pending) {
        if !std::mem::replace(&mut self.told_not_permitted, true) {
            self.tell(Finding::NotPermitted);
        }
        if self.ladder.refused() >= MAX_REFUSED {
            self.finish();
        } else {
            self.go_on(now, &pending.call);
        }
    }

    /// Handles a call without an answer: one may be lost, a device that stays silent is given up.
    fn handle_silence(&mut self, now: Instant, call: &Call) {
        self.silent += 1;
        if self.silent >= MAX_SILENT {
            self.fail(Finding::StoppedAnswering);
        } else {
            self.go_on(now, call);
        }
    }

    fn handle_content(&mut self, now: Instant, call: Call, root: &Element) {
        let Stage::Asking(asking) = &mut self.stage else { return };
        match &call {
            Call::Services | Call::Capabilities => {
                let found = if call == Call::Services {
                    Services::read(root)
                } else {
                    Services::read_capabilities(root)
                };
                if found.media1.is_none() && found.media2.is_none() && call == Call::Services {
                    self.ask(now, Call::Capabilities, Attempts::default());
                    return;
                }
                for named in self.places.handle_services(&found) {
                    let used = self.places.host().to_owned();
                    self.outputs.push_back(Output::Finding(Finding::OtherAddress { named, used }));
                }
                asking.services = self.places.rebase_services(&found, &asking.device);
            }
            Call::Information => {
                asking.information = Information::read(root);
                self.outputs.push_back(Output::Device(asking.information.clone()));
            }
            Call::Interfaces => {
                asking.information.mac = Information::read_mac(root);
                self.outputs.push_back(Output::Device(asking.information.clone()));
            }
            Call::Profiles(media) => {
                let choices = answers::choose(Profile::read_all(root), MAX_CAMERAS);
                asking.streams = Streams::new(*media, choices);
            }
            Call::StreamUri(..) | Call::SnapshotUri(..) => {
                let findings = asking.streams.handle_uri(&call, root, &self.places);
                self.outputs.extend(findings.into_iter().map(Output::Finding));
            }
            Call::SystemTime => {}
        }
        self.go_on(now, &call);
    }

    /// Makes the call after this one, whether or not it was answered.
    fn go_on(&mut self, now: Instant, after: &Call) {
        let Stage::Asking(asking) = &mut self.stage else { return };
        let second = asking.services.media2.is_some();
        let next = match after {
            Call::SystemTime => Some(Call::Services),
            Call::Services if asking.services == Services::default() => Some(Call::Capabilities),
            Call::Services | Call::Capabilities => Some(Call::Information),
            Call::Information if second => Some(Call::Profiles(Media::Second)),
            Call::Information => Some(Call::Profiles(Media::First)),
            Call::Profiles(Media::Second) if asking.streams.is_empty() => {
                Some(Call::Profiles(Media::First))
            }
            Call::Profiles(Media::First) if asking.streams.is_empty() => {
                self.fail(Finding::NoVideo);
                return;
            }
            Call::Profiles(_) | Call::StreamUri(..) | Call::SnapshotUri(..) => {
                let (camera, call) = asking.streams.next(after);
                if let Some(mut camera) = camera {
                    camera.service = Some(asking.device.clone());
                    if !camera.has_h264() {
                        let finding = Finding::NoH264(camera.number);
                        self.outputs.push_back(Output::Finding(finding));
                    }
                    self.outputs.push_back(Output::Camera(camera));
                }
                Some(call.unwrap_or(Call::Interfaces))
            }
            Call::Interfaces => None,
        };
        match next {
            Some(call) => self.ask(now, call, Attempts::default()),
            None => self.finish(),
        }
    }

    /// Ends the probe of a camera that has answered.
    fn finish(&mut self) {
        if self.ladder.sends_text() && self.ladder.is_proven() {
            self.tell(Finding::SentText);
        }
        self.done();
    }
}

/// Returns the finding about a reply that names another address.
pub(super) fn redirected(reply: &Reply) -> Finding {
    let to = reply.location.as_deref().unwrap_or("nowhere");
    Finding::Redirects(super::scopes::shown(&crate::rtsp::mask_passwords(to)))
}

/// Returns the request for a call to a service, at the address of the probe. `authorization` is the
/// value of that header, or empty.
pub(super) fn request(
    peer: SocketAddr,
    id: u32,
    service: &ServiceAddress,
    action: &str,
    authorization: &str,
    envelope: &str,
) -> Request {
    let (authority, target) = (service.authority(), service.target());
    let bytes = http::post(&authority, target, action, authorization, envelope);
    let mut to = peer;
    to.set_port(service.port());
    let tls_name = service.is_tls().then(|| service.host().to_owned());
    Request { id, to, tls_name, bytes }
}

#[cfg(test)]
mod tests;
