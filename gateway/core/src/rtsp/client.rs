//! The client: one session with one camera, over any number of connections.

mod numbering;
mod others;
mod playing;
mod setup;
mod track;
mod tunnel;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::auth::AuthFailure;
use super::framing::{Decoder, FramingError, Item};
use super::message::{Message, Start};
use super::requests::{Request, Requests};
use super::{
    Address, Config, Connection, Failure, Line, Lower, Method, Output, RedirectProblem,
    SETUP_REPLIES, Transport, address,
};
use crate::media::AudioDescription;
use numbering::Numbering;
use others::OtherTracks;
use playing::Keepalive;
use track::TrackState;
use tunnel::Tunnel;

/// Maximum number of redirects that are followed.
const MAX_REDIRECTS: u32 = 3;

/// Maximum number of connections that replace one which the camera closed during set-up: after
/// OPTIONS, and after a challenge.
const MAX_RECONNECTS: u32 = 3;

/// Maximum number of requests of the camera and of replies to nothing in a second. Cameras send
/// one in several seconds.
const MAX_MESSAGES: u32 = 100;

/// Maximum length of a text of the camera that is shown, in characters.
const MAX_SHOWN: usize = 200;

/// Time to wait for the reply to OPTIONS, which can be done without.
const OPTIONS_PATIENCE: Duration = Duration::from_secs(2);

/// The state of the session, named after what it waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Connecting,
    Tunnel,
    Options,
    Describe,
    /// UDP ports for a track.
    Ports(u8),
    /// The reply to SETUP of a track.
    Setup(u8),
    Play,
    Playing,
    Closed,
}

/// A session with a camera. See the [module](super) for its use.
#[derive(Debug)]
pub struct Client {
    config: Config,
    /// Address of the current connection; differs from the configured one after a redirect.
    address: Address,
    peer: Option<IpAddr>,
    phase: Phase,
    decoder: Decoder,
    requests: Requests,
    tunnel: Option<Tunnel>,
    lower: Lower,
    tracks: Vec<TrackState>,
    others: OtherTracks,
    numbering: Numbering,
    /// The sound of the description, unless it is one of the tracks.
    unheard: Option<AudioDescription>,
    /// The camera did not play with its sound.
    avoids_audio: bool,
    /// Indices of the sections of video that the camera refused to set up.
    refused_sections: Vec<usize>,
    /// The section that is set up, if there is another one to try.
    other_section: Option<usize>,
    /// Addresses of the whole stream that are still to be tried, the current one first.
    aggregates: VecDeque<String>,
    /// Status of the first refusal of the current request, which is the most telling one.
    refusal: Option<u16>,
    keepalive: Keepalive,
    skip_options: bool,
    redirects: u32,
    reconnects: u32,
    has_answered: bool,
    /// Challenges since the last success of a request that needs a password.
    challenges: u32,
    /// Number of requests with the password that were refused since then.
    refused: u8,
    /// True if one was refused because its nonce was too old.
    was_stale: bool,
    /// Number of connections that the camera closed instead of answering one.
    unanswered: u8,
    messages: Budget,
    own_ssrc: u32,
    started: Instant,
    /// Time of the last data on the connection.
    last_data: Instant,
    last_packet: Instant,
    report_at: Option<Instant>,
    outputs: VecDeque<Output>,
}

impl Client {
    /// Creates a client, whose first output is [`Output::Connect`].
    #[must_use]
    pub fn new(config: Config, now: Instant) -> Self {
        let mut rng = StdRng::seed_from_u64(config.seed);
        let tunnel = (config.transport == Transport::Http).then(|| Tunnel::new(rng.random()));
        let lower = config.transport.first();
        let mut client = Self {
            address: config.address.clone(),
            peer: None,
            phase: Phase::Connecting,
            decoder: Decoder::default(),
            requests: Requests::new(
                config.credentials.clone(),
                config.caution.allows_text,
                rng.random(),
            ),
            tunnel,
            lower,
            tracks: Vec::new(),
            others: OtherTracks::default(),
            numbering: Numbering::default(),
            unheard: None,
            avoids_audio: false,
            refused_sections: Vec::new(),
            other_section: None,
            aggregates: VecDeque::new(),
            refusal: None,
            keepalive: Keepalive::default(),
            skip_options: false,
            redirects: 0,
            reconnects: 0,
            has_answered: false,
            challenges: 0,
            refused: 0,
            was_stale: false,
            unanswered: 0,
            messages: Budget { start: now, count: 0 },
            own_ssrc: rng.random(),
            started: now,
            last_data: now,
            last_packet: now,
            report_at: None,
            outputs: VecDeque::new(),
            config,
        };
        client.connect();
        client
    }

    /// Handles the opening of the connections that [`Output::Connect`] names; `peer` is the address
    /// of the camera.
    pub fn handle_connected(&mut self, now: Instant, peer: SocketAddr) {
        if self.phase != Phase::Connecting {
            return;
        }
        self.peer = Some(peer.ip());
        self.last_data = now;
        if let Some(tunnel) = &self.tunnel {
            self.phase = Phase::Tunnel;
            let authorization = self.requests.authorize_http("GET", self.address.target());
            let request = tunnel.get(&self.address, &authorization);
            self.outputs.push_back(Output::Send(Line::Main, request));
        } else {
            self.begin(now);
        }
    }

    /// Handles the end of a connection, whichever side closed it.
    pub fn handle_disconnected(&mut self, now: Instant) {
        // A description without a length ends with the connection.
        self.finish_message(now);
        if self.requests.is_password_pending() {
            self.unanswered = self.unanswered.saturating_add(1);
        }
        let was_challenged = self.requests.authenticator.has_credentials() && self.has_answered;
        if self.retry_without_audio() {
            return;
        }
        match self.phase {
            Phase::Closed => {}
            Phase::Playing => self.fail(Failure::Ended),
            Phase::Connecting => self.fail(Failure::Closed),
            Phase::Options => {
                self.skip_options = true;
                self.reconnect();
            }
            // Not a refusal of the password, so perhaps one of TCP.
            Phase::Setup(_) if self.may_change_transport() && self.challenges == 0 => {
                self.lower = Lower::Udp;
                self.reconnect();
            }
            Phase::Tunnel | Phase::Describe | Phase::Ports(_) | Phase::Setup(_) | Phase::Play => {
                if !was_challenged {
                    self.fail(Failure::Closed);
                } else if self.challenges > 1 || self.unanswered > self.config.caution.max_refused {
                    // It closes the connection with each refusal.
                    self.fail(Failure::WrongPassword);
                } else {
                    self.reconnect();
                }
            }
        }
    }

    /// Handles bytes from [`Line::Main`].
    pub fn handle_data(&mut self, now: Instant, bytes: &[u8]) {
        if self.phase == Phase::Closed {
            return;
        }
        self.last_data = now;
        self.decoder.push(bytes);
        while self.phase != Phase::Closed {
            match self.decoder.next() {
                Ok(Some(item)) => self.handle_item(now, item),
                Ok(None) => return,
                Err(error) => self.fail_framing(error),
            }
        }
    }

    /// Returns the next output; `None` until the next input.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Returns the time at which [`Self::handle_timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.phase == Phase::Closed {
            return None;
        }
        let quiet = self.decoder.patience().map(|patience| self.last_data + patience);
        let deadlines = if self.phase == Phase::Playing {
            [Some(self.last_packet + self.config.timeouts.silence), self.keepalive.at]
        } else {
            [Some(self.setup_deadline()), self.reply_deadline()]
        };
        let others = [quiet, self.report_at.filter(|_| self.phase == Phase::Playing)];
        deadlines.into_iter().chain(others).flatten().min()
    }

    /// Processes everything that is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        let quiet = self.decoder.patience().map(|patience| self.last_data + patience);
        if quiet.is_some_and(|at| at <= now) {
            self.finish_message(now);
        }
        match self.phase {
            Phase::Closed => {}
            Phase::Playing => self.handle_playing_timeout(now),
            _ if self.setup_deadline() <= now => self.fail(Failure::NoReply),
            _ if self.reply_deadline().is_none_or(|at| at > now) => {}
            Phase::Options => {
                self.requests.give_up();
                self.describe(now);
            }
            Phase::Connecting
            | Phase::Tunnel
            | Phase::Describe
            | Phase::Ports(_)
            | Phase::Setup(_)
            | Phase::Play => {
                if !self.retry_without_audio() {
                    self.fail(Failure::NoReply);
                }
            }
        }
    }

    /// Ends the session; the outputs that follow tell the camera.
    pub fn close(&mut self, now: Instant) {
        self.tear_down(now);
        self.phase = Phase::Closed;
    }

    /// Returns the end of the whole set-up.
    fn setup_deadline(&self) -> Instant {
        self.started + self.config.timeouts.connect * SETUP_REPLIES
    }

    /// Returns the time until which the next step of the set-up must be done.
    fn reply_deadline(&self) -> Option<Instant> {
        let first = self.started + self.config.timeouts.connect;
        if matches!(self.phase, Phase::Connecting | Phase::Tunnel) {
            return Some(self.last_data.max(self.started) + self.config.timeouts.connect);
        }
        let reply = self.requests.deadline();
        if self.has_answered {
            return reply;
        }
        // OPTIONS without a reply takes no time from the first reply.
        Some(reply.map_or(first, |at| at.min(first)))
    }

    fn connect(&mut self) {
        self.phase = Phase::Connecting;
        self.decoder = Decoder::default();
        self.requests.reset_connection();
        self.tracks.clear();
        self.others = OtherTracks::default();
        self.numbering = Numbering::default();
        self.unheard = None;
        self.peer = None;
        if let Some(tunnel) = &mut self.tunnel {
            tunnel.reset();
        }
        let connection =
            Connection { address: self.address.clone(), is_tunnel: self.tunnel.is_some() };
        self.outputs.push_back(Output::Connect(connection));
    }

    fn reconnect(&mut self) {
        self.reconnects += 1;
        if self.reconnects > MAX_RECONNECTS {
            self.fail(Failure::Closed);
        } else {
            self.connect();
        }
    }

    /// Ends an incomplete message that nothing more belongs to.
    fn finish_message(&mut self, now: Instant) {
        if self.phase == Phase::Closed {
            return;
        }
        match self.decoder.finish() {
            Ok(Some(item)) => self.handle_item(now, item),
            Ok(None) => {}
            Err(error) => self.fail_framing(error),
        }
    }

    fn handle_item(&mut self, now: Instant, item: Item) {
        match item {
            Item::Frame { channel, payload } => self.handle_frame(now, channel, payload),
            Item::Message(message) => match &message.start {
                Start::Reply(status) => self.handle_reply(now, *status, &message),
                Start::Request(method) => {
                    let method = method.clone();
                    self.handle_request(now, &method, &message);
                }
            },
        }
    }

    fn handle_reply(&mut self, now: Instant, status: u16, message: &Message) {
        if self.phase == Phase::Tunnel {
            self.handle_tunnel_reply(now, status, message);
            return;
        }
        let Some(mut request) = self.requests.take(&message.headers) else {
            self.count_message(now);
            return;
        };
        self.has_answered = true;
        // Some cameras name other sessions in their replies to OPTIONS and PLAY; some name theirs
        // in that to DESCRIBE only.
        let names_session = (200..300).contains(&status) && request.method != Method::Options;
        let replaces = request.method == Method::Setup;
        if let Some(session) = message.headers.get("Session").filter(|_| names_session)
            && let Some(timeout) = self.requests.set_session(session, replaces)
        {
            self.keepalive.set_session_timeout(Duration::from_secs(timeout));
        }
        match status {
            100..=199 => {
                self.requests.resume(now + self.config.timeouts.connect, request);
                self.count_message(now);
            }
            401 => {
                self.challenges += 1;
                self.count_refusal(&request, message);
                match self.requests.handle_challenges(&mut request, &message.headers) {
                    Ok(()) if self.refused >= self.config.caution.max_refused => {
                        self.handle_refused_password(now, &request, AuthFailure::Refused);
                    }
                    Ok(()) => self.send(now, request),
                    Err(failure) => self.handle_refused_password(now, &request, failure),
                }
            }
            301..=303 | 305 | 307 | 308 if self.phase != Phase::Playing => {
                self.follow(message.headers.get("Location"));
            }
            _ => self.handle_result(now, status, request, message),
        }
    }

    /// Counts a request whose password was refused. That a nonce was too old is believed once.
    fn count_refusal(&mut self, request: &Request, message: &Message) {
        let is_excused = is_stale(message) && !self.was_stale;
        self.was_stale |= request.has_password && is_excused;
        if request.has_password && !is_excused {
            self.refused = self.refused.saturating_add(1);
        }
    }

    fn handle_refused_password(&mut self, now: Instant, request: &Request, why: AuthFailure) {
        match (self.phase, request.method) {
            // The packets tell if the session lives on.
            (Phase::Playing, _) => self.keepalive.handle_reply(false),
            // The camera cannot challenge OPTIONS properly.
            (Phase::Options, Method::Options) if why == AuthFailure::Unknown => self.describe(now),
            _ => self.fail(match why {
                AuthFailure::Missing => Failure::PasswordMissing,
                AuthFailure::Refused => Failure::WrongPassword,
                AuthFailure::Unknown => Failure::UnknownAuthentication,
                AuthFailure::WantsText => Failure::WantsText,
            }),
        }
    }

    /// Follows a redirect to the same host (RFC 2326 §11.3).
    fn follow(&mut self, location: Option<&str>) {
        let to = location.and_then(|location| self.address.redirected(location));
        let Some(to) = to else {
            let to = shown(&super::mask_passwords(location.unwrap_or("nowhere")));
            self.fail(Failure::Redirect { to, problem: RedirectProblem::NotRtsp });
            return;
        };
        let is_same_host = to.has_host_of(&self.config.address)
            || self.peer.is_some_and(|peer| to.host().parse() == Ok(peer));
        let problem = if !is_same_host {
            RedirectProblem::OtherHost
        } else if self.address.is_tls() && !to.is_tls() {
            RedirectProblem::WithoutTls
        } else if self.redirects == MAX_REDIRECTS {
            RedirectProblem::TooMany
        } else {
            self.redirects += 1;
            self.address = to;
            if let Some(credentials) = location.and_then(address::credentials) {
                self.requests.authenticator.set_credentials(credentials);
                self.challenges = 0;
            }
            self.connect();
            return;
        };
        self.fail(Failure::Redirect { to: shown(&to.to_string()), problem });
    }

    /// Answers a request of the camera.
    fn handle_request(&mut self, now: Instant, method: &str, message: &Message) {
        self.count_message(now);
        if self.phase == Phase::Closed {
            return;
        }
        let known =
            ["OPTIONS", "ANNOUNCE", "GET_PARAMETER", "SET_PARAMETER", "REDIRECT", "TEARDOWN"];
        let reply = self.requests.reply(&message.headers, known.contains(&method));
        self.send_bytes(reply);
        match method {
            "REDIRECT" => self.follow(message.headers.get("Location")),
            "TEARDOWN" => self.fail(Failure::Ended),
            _ => {}
        }
    }

    fn count_message(&mut self, now: Instant) {
        if !self.messages.take(now) {
            let text = format!("it sends more than {MAX_MESSAGES} messages a second");
            self.fail(Failure::Protocol(text));
        }
    }

    fn send(&mut self, now: Instant, request: Request) {
        let is_optional = request.method == Method::Options && self.phase == Phase::Options;
        let timeout = self.config.timeouts.connect;
        let timeout = if is_optional { timeout.min(OPTIONS_PATIENCE) } else { timeout };
        self.decoder.set_expects_body(request.method == Method::Describe);
        let bytes = self.requests.send(now + timeout, request);
        self.send_bytes(bytes);
    }

    fn send_bytes(&mut self, bytes: bytes::Bytes) {
        let output = match &self.tunnel {
            Some(_) => Output::Send(Line::Upstream, tunnel::encode(&bytes)),
            None => Output::Send(Line::Main, bytes),
        };
        self.outputs.push_back(output);
    }

    /// Ends the session at the camera, whose number of sessions is limited.
    fn tear_down(&mut self, now: Instant) {
        let is_set_up = matches!(self.phase, Phase::Setup(_) | Phase::Play | Phase::Playing);
        if is_set_up && self.requests.has_session() {
            let uri = self.aggregate();
            self.send(now, Request::new(Method::Teardown, uri));
        }
    }

    fn fail_framing(&mut self, error: FramingError) {
        self.fail(Failure::Protocol(error.to_string()));
    }

    fn fail(&mut self, failure: Failure) {
        if self.phase == Phase::Closed {
            return;
        }
        self.tear_down(self.last_data);
        self.phase = Phase::Closed;
        self.outputs.push_back(Output::Ended(failure));
    }
}

/// Returns true if a refusal says that only the nonce was too old (RFC 7616 §3.3).
fn is_stale(message: &Message) -> bool {
    let mut values = message.headers.all("WWW-Authenticate");
    values.any(|value| value.to_ascii_lowercase().contains("stale=true"))
}

/// Returns a text of the camera as a sentence may contain it.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MAX_SHOWN).collect()
}

/// A bound for what happens in a second.
#[derive(Debug)]
struct Budget {
    start: Instant,
    count: u32,
}

impl Budget {
    fn take(&mut self, now: Instant) -> bool {
        if now.saturating_duration_since(self.start) >= Duration::from_secs(1) {
            *self = Self { start: now, count: 0 };
        }
        self.count += 1;
        self.count <= MAX_MESSAGES
    }
}
