//! A fake camera on real sockets: WS-Discovery and ONVIF over HTTP, with every oddity as a field.

mod answers;
pub mod encoder;
mod events;
mod passwords;
mod ptz;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};

pub use answers::mac;
pub use events::Events;
pub use ptz::{Mechanics, Movement};

/// The port of WS-Discovery.
const DISCOVERY_PORT: u16 = 3702;

/// Number of wrong tries after which an account is locked.
const LOCKED_AFTER: usize = 5;

/// Interval at which a thread looks if the camera is dropped.
const TICK: Duration = Duration::from_millis(100);

/// The user of every camera.
pub const USER: &str = "anna";

/// The password of every camera.
pub const PASSWORD: &str = "geheim-4711-&-äö";

/// The proof that a camera wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// No proof at all.
    Open,
    /// HTTP digest with this hash.
    Digest(&'static str),
    /// WS-UsernameToken with a hash.
    Token,
    /// WS-UsernameToken with the password as text.
    Text,
}

/// The way in which a hostile device answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hostile {
    /// A body without an end.
    Endless,
    /// A byte a second.
    Drip,
    /// A redirect to this address.
    Redirect(String),
}

/// A camera before it is started.
#[derive(Debug, Clone)]
pub struct Fake {
    /// The proof that it wants.
    pub auth: Auth,
    /// The password of [`USER`].
    pub password: &'static str,
    /// The model in its answers to a search.
    pub model: &'static str,
    /// The host in its addresses, if it is not its own.
    pub named: Option<&'static str>,
    /// Seconds that its clock is ahead.
    pub ahead_s: i64,
    /// Number of its video sources, each with a main and a sub stream.
    pub sources: usize,
    /// Only the second media service.
    pub media2_only: bool,
    /// The way in which it answers if it is hostile.
    pub hostile: Option<Hostile>,
    /// The address of its streams, if it has real ones. `TOKEN` in it stands for that of the
    /// profile, such as `main1`.
    pub stream: Option<String>,
    /// Number of devices in its answers to a search.
    pub devices: usize,
    /// Number of the first of these devices, which becomes a part of its UUID and its MAC address.
    pub first: usize,
    /// The way in which it can be moved.
    pub mechanics: Mechanics,
    /// Number of subscriptions that it has room for; 0 if it tells of no events.
    pub event_slots: usize,
    /// Encoders that can be set, in place of those of `sources`.
    pub encoders: Option<encoder::Encoders>,
}

impl Fake {
    /// Returns the seconds that its clock is ahead, once it may have been set.
    fn ahead_now_s(&self) -> i64 {
        self.ahead_s + self.encoders.as_ref().map_or(0, encoder::Encoders::moved_s)
    }
}

impl Default for Fake {
    fn default() -> Self {
        Self {
            auth: Auth::Open,
            password: PASSWORD,
            model: "M1065",
            named: None,
            ahead_s: 0,
            sources: 1,
            media2_only: false,
            hostile: None,
            stream: None,
            devices: 1,
            first: 0,
            mechanics: Mechanics::None,
            event_slots: 0,
            encoders: None,
        }
    }
}

/// The requests that a running camera has seen.
#[derive(Debug, Default)]
pub struct Seen {
    /// Requests with a password that were refused.
    pub refused: AtomicUsize,
    /// All requests so far.
    log: Mutex<String>,
    /// The movements that it was told.
    pub movement: Movement,
    /// The subscriptions to its events.
    pub events: Events,
    stopped: AtomicBool,
}

impl Seen {
    /// Returns all requests so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns true once the account is locked.
    pub fn is_locked(&self) -> bool {
        self.refused.load(Ordering::Relaxed) >= LOCKED_AFTER
    }
}

/// A camera that runs until it is dropped.
#[derive(Debug)]
pub struct Running {
    /// The address of its device service.
    pub http: SocketAddr,
    /// The requests that it has seen.
    pub seen: Arc<Seen>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.seen.stopped.store(true, Ordering::Relaxed);
    }
}

/// The sockets of a camera. They belong to the namespace in which they were opened.
#[derive(Debug)]
pub struct Sockets {
    http: TcpListener,
    discovery: Option<UdpSocket>,
}

impl Sockets {
    /// Opens the socket of a camera that does not answer to searches.
    ///
    /// # Errors
    /// If the port is in use.
    pub fn open_http(ip: IpAddr, port: u16) -> Result<Self> {
        let http = TcpListener::bind((ip, port)).context("the port of the camera")?;
        http.set_nonblocking(true)?;
        Ok(Self { http, discovery: None })
    }

    /// Opens the sockets at an address; it answers to the group of a search, too, if `group` is
    /// true.
    ///
    /// # Errors
    /// If a port is in use, or the group cannot be joined.
    pub fn open(ip: IpAddr, port: u16, group: bool) -> Result<Self> {
        let sockets = Self::open_http(ip, port)?;
        let any = if group { IpAddr::from([0, 0, 0, 0]) } else { ip };
        let discovery = UdpSocket::bind((any, DISCOVERY_PORT)).context("the port of searches")?;
        if let (true, IpAddr::V4(ip)) = (group, ip) {
            discovery.join_multicast_v4(&[239, 255, 255, 250].into(), &ip)?;
        }
        discovery.set_read_timeout(Some(TICK))?;
        Ok(Self { discovery: Some(discovery), ..sockets })
    }
}

impl Fake {
    /// Starts the camera on these sockets.
    ///
    /// # Errors
    /// If the address cannot be read.
    pub fn start(self, sockets: Sockets) -> Result<Running> {
        let http = sockets.http.local_addr()?;
        let seen = Arc::new(Seen::default());
        let camera = Arc::new(self);
        if let Some(discovery) = sockets.discovery {
            let (camera, seen) = (Arc::clone(&camera), Arc::clone(&seen));
            thread::spawn(move || camera.answer_searches(&discovery, http, &seen));
        }
        {
            let seen = Arc::clone(&seen);
            thread::spawn(move || {
                while !seen.stopped.load(Ordering::Relaxed) {
                    match sockets.http.accept() {
                        Ok((stream, _)) => {
                            let (camera, seen) = (Arc::clone(&camera), Arc::clone(&seen));
                            // A client that goes away is the end of its request.
                            thread::spawn(move || camera.serve(stream, http, &seen));
                        }
                        Err(_) => thread::sleep(TICK / 10),
                    }
                }
            });
        }
        Ok(Running { http, seen })
    }

    fn answer_searches(&self, socket: &UdpSocket, http: SocketAddr, seen: &Seen) {
        let mut bytes = [0; 4096];
        while !seen.stopped.load(Ordering::Relaxed) {
            let Ok((len, from)) = socket.recv_from(&mut bytes) else { continue };
            let probe = String::from_utf8_lossy(&bytes[..len]).into_owned();
            for number in self.first..self.first + self.devices {
                let text = answers::probe_match(self, &probe, number, http);
                let _ = socket.send_to(text.as_bytes(), from);
            }
        }
    }

    fn serve(&self, mut stream: TcpStream, http: SocketAddr, seen: &Seen) -> Result<()> {
        stream.set_nonblocking(false)?;
        let request = read_request(&stream)?;
        seen.log.lock().unwrap_or_else(PoisonError::into_inner).push_str(&request);
        match &self.hostile {
            Some(Hostile::Endless) => {
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
                while !seen.stopped.load(Ordering::Relaxed) {
                    stream.write_all(&[b'x'; 4096])?;
                }
            }
            Some(Hostile::Drip) => {
                let mut drops = b"HTTP/1.1 200 OK\r\nX: ".iter().chain(std::iter::repeat(&b'x'));
                while !seen.stopped.load(Ordering::Relaxed) {
                    stream.write_all(&[*drops.next().unwrap_or(&b'x')])?;
                    thread::sleep(TICK * 3);
                }
            }
            Some(Hostile::Redirect(to)) => {
                let head = format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\n");
                stream.write_all(format!("{head}Content-Length: 0\r\n\r\n").as_bytes())?;
            }
            None => stream.write_all(self.reply(&request, http, seen).as_bytes())?,
        }
        Ok(())
    }

    /// Returns the reply to a request.
    fn reply(&self, request: &str, http: SocketAddr, seen: &Seen) -> String {
        let call = answers::call(request);
        let is_public = matches!(call, "GetSystemDateAndTime" | "GetServices");
        if !is_public && seen.is_locked() {
            return answers::fault(400, "", "the account is locked");
        }
        if !is_public && !passwords::is_right(self, request, answers::now() + self.ahead_now_s()) {
            let has_password =
                request.contains("<w:Password") || request.contains("Authorization:");
            seen.refused.fetch_add(usize::from(has_password), Ordering::Relaxed);
            return match self.auth {
                Auth::Digest(hash) => {
                    answers::fault(401, &passwords::challenge(hash), "ter:NotAuthorized")
                }
                Auth::Open | Auth::Token | Auth::Text => {
                    answers::fault(400, "", "ter:NotAuthorized")
                }
            };
        }
        let moved = seen.movement.answer(self.mechanics, call, request);
        let told = moved.or_else(|| {
            let address = format!("http://{}/onvif/events", answers::authority(self, http));
            seen.events.answer(self, call, request, &address)
        });
        match told {
            Some(Ok(content)) => answers::reply(call, &content),
            Some(Err(code)) => answers::fault(500, "", code),
            None => answers::content(self, call, request, http),
        }
    }
}

/// Reads a request with its body.
fn read_request(stream: &TcpStream) -> Result<String> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        let read = reader.read_line(&mut head)?;
        anyhow::ensure!(read > 0, "the request ends early");
    }
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    let mut body = vec![0; length.unwrap_or("0").parse()?];
    reader.read_exact(&mut body)?;
    Ok(head + &String::from_utf8(body)?)
}
