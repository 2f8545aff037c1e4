//! RTSP over HTTP: a GET whose response carries what the camera sends, and a POST whose body
//! carries the requests in base64.

use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::Client;
use crate::rtsp::auth::AuthFailure;
use crate::rtsp::message::{self, Message};
use crate::rtsp::requests::Request;
use crate::rtsp::{Address, Failure, Line, Method, Output};

/// The media type of both requests.
const MEDIA_TYPE: &str = "application/x-rtsp-tunnelled";

/// Length of the POST request in bytes as it is announced: more than any session sends.
const POST_LENGTH: &str = "2147483647";

/// The tunnel of a client.
#[derive(Debug)]
pub(super) struct Tunnel {
    /// The cookie that tells the camera which GET and POST belong together.
    cookie: String,
    /// The GET request, while it is repeated for challenges.
    attempt: Request,
}

impl Tunnel {
    pub(super) fn new(random: u64) -> Self {
        let attempt = Request::new(Method::Describe, String::new());
        Self { cookie: format!("{random:016x}"), attempt }
    }

    /// Changes the cookie for a new connection.
    pub(super) fn reset(&mut self) {
        let number = u64::from_str_radix(&self.cookie, 16).unwrap_or(0);
        self.cookie = format!("{:016x}", number.wrapping_add(1));
    }

    pub(super) fn get(&self, address: &Address, authorization: &str) -> Bytes {
        self.request("GET", address, authorization, &[("Accept", MEDIA_TYPE)])
    }

    fn post(&self, address: &Address, authorization: &str) -> Bytes {
        let more = [("Content-Type", MEDIA_TYPE), ("Content-Length", POST_LENGTH)];
        self.request("POST", address, authorization, &more)
    }

    fn request(
        &self,
        method: &str,
        address: &Address,
        authorization: &str,
        more: &[(&str, &str)],
    ) -> Bytes {
        let host = address.host_and_port();
        let mut headers = vec![
            ("Host", host.as_str()),
            ("User-Agent", "Porthole"),
            ("x-sessioncookie", &self.cookie),
            ("Pragma", "no-cache"),
            ("Cache-Control", "no-cache"),
            ("Authorization", authorization),
        ];
        headers.extend_from_slice(more);
        message::write(&format!("{method} {} HTTP/1.0", address.target()), &headers, b"")
    }
}

/// Returns bytes for the body of the POST.
pub(super) fn encode(bytes: &[u8]) -> Bytes {
    STANDARD.encode(bytes).into()
}

impl Client {
    /// Handles the reply to the tunnel's GET.
    pub(super) fn handle_tunnel_reply(&mut self, now: Instant, status: u16, message: &Message) {
        self.has_answered = true;
        let Some(tunnel) = &mut self.tunnel else { return };
        match status {
            200..=299 => {
                let authorization = self.requests.authorize_http("POST", self.address.target());
                let post = tunnel.post(&self.address, &authorization);
                self.outputs.push_back(Output::Send(Line::Upstream, post));
                self.begin(now);
            }
            401 => {
                let headers = &message.headers;
                match self.requests.handle_challenges(&mut tunnel.attempt, headers) {
                    Ok(()) => self.reconnect(),
                    Err(AuthFailure::Missing) => self.fail(Failure::PasswordMissing),
                    Err(AuthFailure::Refused) => self.fail(Failure::WrongPassword),
                    Err(AuthFailure::Unknown) => self.fail(Failure::UnknownAuthentication),
                    Err(AuthFailure::WantsText) => self.fail(Failure::WantsText),
                }
            }
            404 => self.fail(Failure::NotFound(self.address.masked_target())),
            _ => self.fail(Failure::Status(status)),
        }
    }
}
