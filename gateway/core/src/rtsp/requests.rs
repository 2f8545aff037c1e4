//! The requests of one connection: numbers, authentication, and which reply belongs to which.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::auth::{Attempts, AuthFailure, Authenticator};
use super::message::{self, Headers};
use super::{Credentials, Method};

/// Name of the program, as cameras log it.
const USER_AGENT: &str = "Porthole";

/// Number of requests without a reply that are remembered, so that a late reply is not taken for
/// that of a later request.
const MAX_GIVEN_UP: usize = 8;

/// Maximum length of a session id in bytes; real ones have 8 to 40.
const MAX_SESSION_LEN: usize = 512;

/// A request and everything that is needed to send it again.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) uri: String,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) attempts: Attempts,
    /// True if it was sent with the password.
    pub(super) has_password: bool,
}

impl Request {
    pub(super) fn new(method: Method, uri: String) -> Self {
        let (headers, attempts) = (Vec::new(), Attempts::default());
        Self { method, uri, headers, attempts, has_password: false }
    }

    pub(super) fn with(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }
}

/// A request that waits for its reply.
#[derive(Debug)]
struct Pending {
    number: u32,
    request: Request,
    deadline: Instant,
}

/// Sends requests one after another, and finds the request of each reply.
#[derive(Debug)]
pub(super) struct Requests {
    next_number: u32,
    pending: Option<Pending>,
    given_up: VecDeque<u32>,
    pub(super) authenticator: Authenticator,
    session: String,
    rng: StdRng,
}

impl Requests {
    pub(super) fn new(credentials: Option<Credentials>, allows_text: bool, seed: u64) -> Self {
        let mut authenticator = Authenticator::new(credentials);
        authenticator.set_allows_basic(allows_text);
        Self {
            next_number: 1,
            pending: None,
            given_up: VecDeque::new(),
            authenticator,
            session: String::new(),
            rng: StdRng::seed_from_u64(seed),
        }
    }

    /// Forgets what belongs to a connection that is replaced. Challenges stay known.
    pub(super) fn reset_connection(&mut self) {
        self.pending = None;
        self.given_up.clear();
        self.session.clear();
    }

    /// Returns a request in bytes; its reply is expected until `deadline`.
    pub(super) fn send(&mut self, deadline: Instant, mut request: Request) -> Bytes {
        self.give_up();
        let number = self.next_number;
        self.next_number = self.next_number.wrapping_add(1).max(1);
        let method = request.method.name();
        let authorization = self.authenticator.authorize(&mut self.rng, method, &request.uri, b"");
        request.has_password = !authorization.is_empty();
        let number_text = number.to_string();
        let mut headers = vec![
            ("CSeq", number_text.as_str()),
            ("Authorization", &authorization),
            ("User-Agent", USER_AGENT),
            ("Session", &self.session),
        ];
        headers.extend(request.headers.iter().map(|(name, value)| (*name, value.as_str())));
        let bytes = message::write(&format!("{method} {} RTSP/1.0", request.uri), &headers, b"");
        self.pending = Some(Pending { number, request, deadline });
        bytes
    }

    /// Returns the value of `Authorization` for a request of the HTTP tunnel.
    pub(super) fn authorize_http(&mut self, method: &str, target: &str) -> String {
        self.authenticator.authorize(&mut self.rng, method, target, b"")
    }

    /// Stops waiting for the pending request; its reply may still come.
    pub(super) fn give_up(&mut self) {
        let Some(pending) = self.pending.take() else { return };
        if self.given_up.len() == MAX_GIVEN_UP {
            self.given_up.pop_front();
        }
        self.given_up.push_back(pending.number);
    }

    /// Returns the request that a reply belongs to.
    ///
    /// Only one request waits at a time, so a reply whose number is missing or wrong is that one's,
    /// unless it is the late reply to an earlier one.
    pub(super) fn take(&mut self, headers: &Headers) -> Option<Request> {
        let number = headers.get("CSeq").and_then(|text| text.trim().parse().ok());
        let is_pending = self.pending.as_ref().is_some_and(|p| Some(p.number) == number);
        if let Some(late) = self.given_up.iter().position(|n| Some(*n) == number)
            && !is_pending
        {
            self.given_up.remove(late);
            return None;
        }
        self.pending.take().map(|pending| pending.request)
    }

    /// Puts a request back whose reply was a provisional one.
    pub(super) fn resume(&mut self, deadline: Instant, request: Request) {
        let number = self.next_number.wrapping_sub(1);
        self.pending = Some(Pending { number, request, deadline });
    }

    /// Returns the time until which the reply is expected.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.pending.as_ref().map(|pending| pending.deadline)
    }

    /// Returns true while a request with the password waits for its reply.
    pub(super) fn is_password_pending(&self) -> bool {
        self.pending.as_ref().is_some_and(|pending| pending.request.has_password)
    }

    /// Chooses the answer to the challenges of a 401.
    pub(super) fn handle_challenges(
        &mut self,
        request: &mut Request,
        headers: &Headers,
    ) -> Result<(), AuthFailure> {
        let values = headers.all("WWW-Authenticate");
        self.authenticator.handle_challenges(&mut request.attempts, values)
    }

    /// Returns true if the camera has given a session.
    pub(super) fn has_session(&self) -> bool {
        !self.session.is_empty()
    }

    /// Takes the id from a `Session` header. An id that is known is replaced only if `replaces` is
    /// true. Returns the timeout in seconds, if the header has one.
    pub(super) fn set_session(&mut self, value: &str, replaces: bool) -> Option<u64> {
        let (id, parameters) = value.split_once(';').unwrap_or((value, ""));
        let id = id.trim();
        let is_wanted = replaces || self.session.is_empty();
        if is_wanted && !id.is_empty() && id.len() <= MAX_SESSION_LEN {
            id.clone_into(&mut self.session);
        }
        parameters.split(';').find_map(|parameter| {
            let (key, value) = parameter.split_once('=')?;
            let value = value.trim();
            let digits = value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len());
            let is_timeout = key.trim().eq_ignore_ascii_case("timeout");
            value.get(..digits)?.parse().ok().filter(|_| is_timeout)
        })
    }

    /// Returns our reply to a request of the camera.
    pub(super) fn reply(&self, headers: &Headers, is_known: bool) -> Bytes {
        let status = if is_known { "200 OK" } else { "501 Not Implemented" };
        let methods = "OPTIONS, ANNOUNCE, GET_PARAMETER, SET_PARAMETER, REDIRECT, TEARDOWN";
        let session = headers.get("Session").unwrap_or(&self.session);
        let headers = [
            ("CSeq", headers.get("CSeq").unwrap_or_default()),
            ("Session", session),
            ("User-Agent", USER_AGENT),
            ("Public", methods),
        ];
        message::write(&format!("RTSP/1.0 {status}"), &headers, b"")
    }
}
