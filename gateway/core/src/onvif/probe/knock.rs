//! The first requests of a probe: the camera's clock at several ports, without credentials.

use std::net::SocketAddr;
use std::time::Instant;

use super::places::Places;
use super::{CallError, Config, Reply, ReplyError, Request, request};
use crate::onvif::ServiceAddress;
use crate::onvif::calls::Call;
use crate::onvif::finding::Finding;
use crate::onvif::scopes::shown;
use crate::onvif::soap::{self, Answer};
use crate::onvif::xml::Element;
use crate::rtsp::mask_passwords;

/// Path of the device service that ONVIF Core §5.1.1 prescribes.
const PATH: &str = "/onvif/device_service";

/// Ports of the device service: of most cameras, Reolink, Tapo, many, Xiongmai, and with TLS.
const PORTS: &[(u16, bool)] =
    &[(80, false), (8000, false), (2020, false), (8080, false), (8899, false), (443, true)];

/// Maximum number of addresses that are tried, redirects included.
const MAX_KNOCKS: usize = 12;

/// Result of a knock.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    /// To be sent.
    Waiting,
    /// Sent under this number; the deadline.
    Sent(u32, Instant),
    /// The device speaks ONVIF; its time, if it has told it.
    Onvif(Option<Element>),
    /// A device is there that may speak ONVIF with a password.
    Locked,
    /// A device is there that is no camera.
    Other,
    /// No device is there.
    Nothing,
    /// The answer has no end.
    Endless,
    /// The device names another address.
    Redirect(String),
}

/// An address that is tried.
#[derive(Debug)]
struct Knock {
    service: ServiceAddress,
    result: Outcome,
}

/// The addresses that are tried at once.
#[derive(Debug)]
pub(in crate::onvif) struct Knocks {
    peer: SocketAddr,
    host: String,
    knocks: Vec<Knock>,
}

impl Knocks {
    pub(in crate::onvif) fn new(config: &Config) -> Self {
        let (peer, host) = (config.peer, config.host.clone());
        let mut knocks = Self { peer, host, knocks: Vec::new() };
        for service in &config.services {
            knocks.add(service.at_host(&config.host));
        }
        if !config.only_services {
            for (port, is_tls) in PORTS {
                let port = if matches!(port, 80 | 443) { None } else { Some(*port) };
                knocks.add(ServiceAddress::new(*is_tls, &config.host, port, PATH));
            }
        }
        knocks
    }

    fn add(&mut self, service: ServiceAddress) {
        let is_known = self.knocks.iter().any(|knock| {
            (knock.service.port(), knock.service.target()) == (service.port(), service.target())
                && knock.service.is_tls() == service.is_tls()
        });
        if self.knocks.len() < MAX_KNOCKS && !is_known {
            self.knocks.push(Knock { service, result: Outcome::Waiting });
        }
    }

    /// Returns the request to the next address to be tried. It counts up the requests so far.
    pub(in crate::onvif) fn next(
        &mut self,
        requests: &mut u32,
        deadline: Instant,
    ) -> Option<Request> {
        let knock = self.knocks.iter_mut().find(|knock| knock.result == Outcome::Waiting)?;
        *requests += 1;
        knock.result = Outcome::Sent(*requests, deadline);
        let (action, body) = (Call::SystemTime.action(), Call::SystemTime.body());
        let envelope = soap::envelope("", &body);
        Some(request(self.peer, *requests, &knock.service, &action, "", &envelope))
    }

    fn sent(&mut self, id: u32) -> Option<&mut Knock> {
        let is_it =
            |knock: &&mut Knock| matches!(knock.result, Outcome::Sent(sent, _) if sent == id);
        self.knocks.iter_mut().find(is_it)
    }

    pub(in crate::onvif) fn handle_reply(&mut self, id: u32, reply: &Reply, places: &Places) {
        let Some(knock) = self.sent(id) else { return };
        if (300..400).contains(&reply.status) {
            let location = reply.location.clone().unwrap_or_default();
            knock.result = Outcome::Redirect(shown(&mask_passwords(&location)));
            let was = knock.service.clone();
            self.follow(&was, &location, places);
            return;
        }
        knock.result = match soap::read(reply.status, &reply.body) {
            Answer::Content(root) if root.find("GetSystemDateAndTimeResponse").is_some() => {
                Outcome::Onvif(Some(root))
            }
            // A device that refuses to tell the time speaks SOAP nevertheless.
            Answer::Fault | Answer::Locked => Outcome::Onvif(None),
            Answer::Denied => Outcome::Locked,
            Answer::Content(_) | Answer::NotSoap => Outcome::Other,
        };
    }

    /// Adds the address of a redirect, if it is one of the same device.
    fn follow(&mut self, was: &ServiceAddress, location: &str, places: &Places) {
        let to = if location.starts_with('/') && !location.starts_with("//") {
            let port = Some(was.port());
            Some(ServiceAddress::new(was.is_tls(), was.host(), port, location))
        } else {
            ServiceAddress::parse(location)
        };
        // Never from TLS to readable text.
        let is_worse = |to: &ServiceAddress| was.is_tls() && !to.is_tls();
        if let Some(to) = to.filter(|to| places.is_device(to.host()) && !is_worse(to)) {
            let host = self.host.clone();
            self.add(to.at_host(&host));
        }
    }

    pub(in crate::onvif) fn handle_error(&mut self, id: u32, error: CallError) {
        if let Some(knock) = self.sent(id) {
            knock.result = match error {
                CallError::Refused => Outcome::Other,
                CallError::Unreachable => Outcome::Nothing,
                CallError::Reply(ReplyError::TooLong) => Outcome::Endless,
                CallError::Reply(ReplyError::NotHttp | ReplyError::Cut) => Outcome::Other,
            };
        }
    }

    /// Returns the earliest deadline.
    pub(in crate::onvif) fn deadline(&self) -> Option<Instant> {
        self.pending().map(|(_, deadline)| deadline).min()
    }

    fn pending(&self) -> impl Iterator<Item = (u32, Instant)> {
        self.knocks.iter().filter_map(|knock| match knock.result {
            Outcome::Sent(id, deadline) => Some((id, deadline)),
            Outcome::Waiting
            | Outcome::Onvif(_)
            | Outcome::Locked
            | Outcome::Other
            | Outcome::Nothing
            | Outcome::Endless
            | Outcome::Redirect(_) => None,
        })
    }

    /// Gives up the requests that are late, and returns their numbers.
    pub(in crate::onvif) fn handle_timeout(&mut self, now: Instant) -> Vec<u32> {
        let late: Vec<u32> =
            self.pending().filter(|(_, deadline)| *deadline <= now).map(|(id, _)| id).collect();
        for id in &late {
            self.handle_error(*id, CallError::Unreachable);
        }
        late
    }

    /// Returns the numbers of the requests that are still waited for.
    pub(in crate::onvif) fn cancel(&mut self) -> Vec<u32> {
        self.pending().map(|(id, _)| id).collect()
    }

    /// Returns the service that has answered, with the time it told; or what is there instead.
    /// `None` until it is known.
    pub(in crate::onvif) fn verdict(
        &self,
    ) -> Option<Result<(ServiceAddress, Option<Element>), Finding>> {
        let mut results = self.knocks.iter().map(|knock| (&knock.service, &knock.result));
        for (service, result) in results.clone() {
            if let Outcome::Onvif(root) = result {
                return Some(Ok((service.clone(), root.clone())));
            }
        }
        if self.pending().next().is_some() {
            return None;
        }
        let has = |wanted: &Outcome| self.knocks.iter().any(|knock| knock.result == *wanted);
        if let Some((service, _)) = results.clone().find(|(_, r)| **r == Outcome::Locked) {
            return Some(Ok((service.clone(), None)));
        }
        if has(&Outcome::Endless) {
            return Some(Err(Finding::EndlessAnswer));
        }
        let redirect = results.find_map(|(_, result)| match result {
            Outcome::Redirect(to) => Some(to.clone()),
            Outcome::Waiting
            | Outcome::Sent(..)
            | Outcome::Onvif(_)
            | Outcome::Locked
            | Outcome::Other
            | Outcome::Nothing
            | Outcome::Endless => None,
        });
        let host = self.host.clone();
        Some(Err(match redirect {
            Some(to) => Finding::Redirects(to),
            None if has(&Outcome::Other) => Finding::NoOnvif { host },
            None => Finding::NothingAnswers { host },
        }))
    }
}
