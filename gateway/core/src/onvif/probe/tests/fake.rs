//! A camera for tests: what it says and accepts is set by its fields.

use super::super::{CallError, Reply, ReplyError, Request};
use crate::onvif::clock;
use crate::onvif::soap;
use crate::onvif::xml::Element;
use crate::rtsp::Credentials;

pub(super) const PASSWORD: &str = "geheim & <4711>";

/// The credentials that a camera accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Auth {
    Open,
    /// HTTP digest with this hash; another hash of a password is a wrong one.
    Http(&'static str),
    Token,
    Text,
    Basic,
    /// No password is right.
    Nobody(&'static str),
    Locked,
}

/// A request as the camera sees it.
#[derive(Debug)]
pub(super) struct Sent {
    port: u16,
    path: String,
    authorization: String,
    envelope: Element,
    call: String,
}

impl Sent {
    pub(super) fn read(request: &Request) -> Self {
        let text = String::from_utf8(request.bytes.clone()).expect("requests are text");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        let header = |name: &str| {
            let line = head.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_default().to_owned()
        };
        let action = header("Content-Type: ");
        let call = action.rsplit('/').next().unwrap_or_default().trim_end_matches('"').to_owned();
        assert_eq!(header("Content-Length: "), body.len().to_string());
        Self {
            port: request.to.port(),
            path: head.split(' ').nth(1).unwrap_or_default().to_owned(),
            authorization: header("Authorization: "),
            envelope: Element::read(body.as_bytes()),
            call,
        }
    }
}

/// A camera with its oddities.
#[derive(Debug)]
pub(super) struct Fake {
    pub(super) auth: Auth,
    pub(super) port: u16,
    /// The host in its addresses.
    pub(super) named: &'static str,
    pub(super) ahead_s: i64,
    pub(super) sources: usize,
    pub(super) encodings: (&'static str, &'static str),
    pub(super) media1: bool,
    pub(super) media2: bool,
    pub(super) lacks: Vec<&'static str>,
    pub(super) forbids: &'static str,
    pub(super) page: Option<&'static str>,
    pub(super) redirect: Option<&'static str>,
    pub(super) is_endless: bool,
    pub(super) is_junk: bool,
    /// Number of answers before it falls silent.
    pub(super) silent_after: usize,
    /// Number of requests with a password that it has refused.
    pub(super) refused: usize,
    pub(super) answered: usize,
}

impl Default for Fake {
    fn default() -> Self {
        Self {
            auth: Auth::Open,
            port: 80,
            named: "192.168.12.2",
            ahead_s: 0,
            sources: 1,
            encodings: ("H264", "H264"),
            media1: true,
            media2: false,
            lacks: Vec::new(),
            forbids: "nothing",
            page: None,
            redirect: None,
            is_endless: false,
            is_junk: false,
            silent_after: usize::MAX,
            refused: 0,
            answered: 0,
        }
    }
}

impl Fake {
    /// Returns true if the camera answers to this request at all.
    pub(super) fn answers(&self, request: &Request) -> bool {
        request.to.port() == self.port && self.answered < self.silent_after
    }

    pub(super) fn handle(&mut self, sent: &Sent, unix_s: i64) -> Result<Reply, CallError> {
        self.answered += 1;
        assert_eq!(sent.port, self.port);
        if self.is_endless {
            return Err(CallError::Reply(ReplyError::TooLong));
        }
        if let Some(page) = self.page {
            return Ok(reply(200, page));
        }
        if let Some(to) = self.redirect.filter(|_| sent.path == "/onvif/device_service") {
            return Ok(Reply { location: Some(to.to_owned()), ..reply(302, "") });
        }
        if sent.call == "GetSystemDateAndTime" {
            return Ok(reply(200, &envelope(&self.time(unix_s))));
        }
        if self.is_junk {
            return Ok(reply(200, "<s:Envelope><s:Body><x/>&&<<</s:Body>"));
        }
        if self.lacks.contains(&sent.call.as_str()) {
            return Ok(fault("ter:ActionNotSupported"));
        }
        if sent.call != "GetServices" && (sent.call == self.forbids || !self.accepts(sent, unix_s))
        {
            return Ok(self.refuse(sent));
        }
        Ok(self.content(sent))
    }

    fn refuse(&mut self, sent: &Sent) -> Reply {
        let has_password =
            !sent.authorization.is_empty() || sent.envelope.find("Password").is_some();
        self.refused += usize::from(has_password);
        let challenge = match self.auth {
            Auth::Http(hash) | Auth::Nobody(hash) => {
                format!("Digest realm=\"cam\", nonce=\"n\", qop=\"auth\", algorithm={hash}")
            }
            Auth::Basic => "Basic realm=\"cam\"".to_owned(),
            Auth::Locked => return fault("the account is locked"),
            Auth::Open | Auth::Token | Auth::Text => return fault("ter:NotAuthorized"),
        };
        Reply { challenges: vec![challenge], ..reply(401, "") }
    }

    fn accepts(&self, sent: &Sent, unix_s: i64) -> bool {
        let password = sent.envelope.find("Password");
        let is_type = |kind: &str| {
            let found = password.and_then(|password| password.attribute("Type"));
            found.is_some_and(|found| found.ends_with(kind))
        };
        match self.auth {
            Auth::Open => true,
            Auth::Http(hash) => {
                sent.authorization.starts_with("Digest username=\"u\"")
                    && sent.authorization.contains(&format!("algorithm={hash}"))
            }
            Auth::Token => is_type("#PasswordDigest") && self.is_right(sent, unix_s),
            Auth::Text => {
                is_type("#PasswordText") && password.is_some_and(|found| found.text() == PASSWORD)
            }
            Auth::Basic => sent.authorization.starts_with("Basic "),
            Auth::Nobody(_) | Auth::Locked => false,
        }
    }

    /// Checks a token as cameras do: its time must be that of their own clock.
    fn is_right(&self, sent: &Sent, unix_s: i64) -> bool {
        use base64::Engine as _;
        let text = |name: &str| sent.envelope.text_of(name).unwrap_or_default().to_owned();
        let nonce =
            base64::engine::general_purpose::STANDARD.decode(text("Nonce")).expect("base64");
        let nonce = nonce.try_into().expect("16 bytes");
        let user = Credentials { user: "u".to_owned(), password: PASSWORD.to_owned() };
        let expected = soap::digest_token(&user, nonce, &text("Created"));
        let expected = Element::read(expected.as_bytes());
        let own = unix_s + self.ahead_s;
        let is_now = (-5..=20).any(|late| clock::format(own + late) == text("Created"));
        is_now && expected.text_of("Password") == Some(&text("Password"))
    }

    fn time(&self, unix_s: i64) -> String {
        let text = clock::format(unix_s + self.ahead_s);
        let mut numbers = text.split(['-', 'T', ':', 'Z']);
        let mut next = || numbers.next().expect("six numbers").to_owned();
        let (year, month, day) = (next(), next(), next());
        let (hour, minute, second) = (next(), next(), next());
        format!(
            "<GetSystemDateAndTimeResponse><SystemDateAndTime><UTCDateTime><Time><Hour>{hour}\
             </Hour><Minute>{minute}</Minute><Second>{second}</Second></Time><Date><Year>{year}\
             </Year><Month>{month}</Month><Day>{day}</Day></Date></UTCDateTime>\
             </SystemDateAndTime></GetSystemDateAndTimeResponse>"
        )
    }

    fn content(&self, sent: &Sent) -> Reply {
        let named = self.named;
        let token = sent.envelope.text_of("ProfileToken").unwrap_or_default();
        let content = match sent.call.as_str() {
            "GetServices" => {
                let mut services = service("ver10/device/wsdl", named, "/onvif/device_service");
                if self.media1 {
                    services.push_str(&service("ver10/media/wsdl", named, "/onvif/media"));
                }
                if self.media2 {
                    services.push_str(&service("ver20/media/wsdl", named, "/onvif/media2"));
                }
                services
            }
            "GetCapabilities" => format!(
                "<Capabilities><Device><XAddr>http://{named}/onvif/device_service</XAddr></Device>\
                 <Media><XAddr>http://{named}/onvif/media</XAddr></Media></Capabilities>"
            ),
            "GetDeviceInformation" => {
                "<Manufacturer>Example</Manufacturer><Model>Model 1</Model>".to_owned()
            }
            "GetNetworkInterfaces" => "<NetworkInterfaces><Enabled>true</Enabled>\
                <HwAddress>00-11-22-33-44-55</HwAddress></NetworkInterfaces>"
                .to_owned(),
            "GetProfiles" if self.media1 != (sent.path == "/onvif/media2") => self.profiles(),
            "GetStreamUri" => format!("<Uri>rtsp://{named}:554/{token}?a=1&b=2</Uri>"),
            "GetSnapshotUri" => format!("<Uri>http://{named}/snap</Uri>"),
            _ => return fault("ter:ActionNotSupported"),
        };
        reply(200, &envelope(&content))
    }

    fn profiles(&self) -> String {
        let profile = |token: String, source: usize, encoding: &str, size: (u32, u32)| {
            format!(
                "<Profiles token=\"{token}\"><Name>{token}</Name>\
                 <VideoSourceConfiguration><SourceToken>s{source}</SourceToken>\
                 </VideoSourceConfiguration><VideoEncoderConfiguration><Encoding>{encoding}\
                 </Encoding><Resolution><Width>{}</Width><Height>{}</Height></Resolution>\
                 <RateControl><FrameRateLimit>25</FrameRateLimit></RateControl>\
                 <H264><GovLength>50</GovLength></H264></VideoEncoderConfiguration></Profiles>",
                size.0, size.1
            )
        };
        let (main, sub) = self.encodings;
        (0..self.sources.min(64))
            .map(|source| {
                profile(format!("main{source}"), source, main, (1920, 1080))
                    + &profile(format!("sub{source}"), source, sub, (640, 360))
            })
            .collect()
    }
}

fn service(namespace: &str, host: &str, path: &str) -> String {
    format!(
        "<Service><Namespace>http://www.onvif.org/{namespace}</Namespace>\
         <XAddr>http://{host}{path}</XAddr></Service>"
    )
}

fn envelope(content: &str) -> String {
    format!("<s:Envelope><s:Body><r>{content}</r></s:Body></s:Envelope>")
}

fn fault(code: &str) -> Reply {
    let body = format!("<s:Fault><s:Subcode><s:Value>{code}</s:Value></s:Subcode></s:Fault>");
    reply(400, &envelope(&body))
}

fn reply(status: u16, body: &str) -> Reply {
    Reply { status, body: body.as_bytes().to_vec(), ..Reply::default() }
}
