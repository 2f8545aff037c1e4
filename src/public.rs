//! The public port: one address for everything, over TLS. It ends TLS once and passes each
//! connection on, by the protocol that was agreed on in the handshake (ALPN) or else by the first
//! byte: to the HTTP server of signaling (dashboard, API, WebSocket, WHEP), or to a worker of the
//! TURN server.
//!
//! Architecture invariant: it reads no message of either; it decides by one byte.

mod acme;
mod address;
mod certificate;
mod facts;
mod openings;
mod own_ca;
mod proxy_protocol;
mod settings;

use std::io;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use porthole_signaling::{Authority, Entrance, HttpVersion};
use porthole_turn_server::{Server as TurnServer, TlsClient};
use tokio::io::AsyncBufReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};
use url::Url;

use crate::config::{Config, Network};
use crate::console;
use certificate::Certificate;
use openings::{Limits, Opening, Openings};
use settings::Source;

pub use acme::{FILES as ACME_FILES, certificate_file as acme_certificate};
pub use address::{with_address, with_turn};
pub use own_ca::{
    FILES as OWN_CA_FILES, certificate_file as own_certificate, stored as own_authority,
};
pub use settings::{check_own_ca, turn_udp_url, turn_url, url};

/// Time that a TLS handshake may take: two round trips and some lost segments on a bad mobile link.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// Time in which a load balancer says whose connection it passes on.
const HEADER_TIME: Duration = Duration::from_secs(5);
/// Time to the first byte of a client that has named no protocol.
const FIRST_BYTE_TIME: Duration = Duration::from_secs(10);
/// Bounds on connections that are being opened, each of which takes memory for TLS. Beyond them the
/// oldest makes room, so that beginning many locks nobody out. An office behind one address has a
/// dozen for each page that is being opened, for the time of a handshake.
const OPENINGS: Limits = Limits { total: 512, per_network: 64 };
/// Pause after a failed accept, of which the usual cause is too many open files.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// The application protocols of STUN and TURN (RFC 7443 §3).
const STUN_ALPN: [&[u8]; 2] = [b"stun.turn", b"stun.nat-discovery"];
/// The application protocol of HTTP/1.1 (RFC 7301 §6), over which WebSockets go, too.
const HTTP_ALPN: &[u8] = b"http/1.1";
/// The application protocol of HTTP/2 over TLS (RFC 9113 §3.2).
const HTTP2_ALPN: &[u8] = b"h2";
/// The bits of the first byte that are 0 in every STUN message (RFC 8489 §5). A method of HTTP
/// begins with a letter.
const NOT_STUN: u8 = 0b1100_0000;

/// The public port, bound to its addresses.
pub struct PublicPort {
    listeners: Vec<(SocketAddr, TcpListener)>,
    /// The load balancers that say whose connections they pass on.
    balancers: Vec<Network>,
    certificate: Arc<Certificate>,
    keeper: Keeper,
    /// The URL of the port, for people.
    url: Option<Url>,
}

/// The owner of the certificate, who renews it.
enum Keeper {
    /// The operator, who has it in files.
    Operator,
    /// An authority that is asked for each.
    Acme(Box<acme::Keeper>),
    /// The server's own authority.
    OwnCa(Box<own_ca::Keeper>),
}

/// The protocol inside of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Http(HttpVersion),
    Turn,
}

/// The servers behind the port, and the bounds of what is being opened.
struct Inside {
    tls: TlsAcceptor,
    openings: Arc<Openings>,
    balancers: Vec<Network>,
    entrance: Entrance,
    turn: Option<Arc<TurnServer>>,
}

/// Checks the settings of a configuration that was read again, as far as that needs no look-up of
/// the machine's address.
///
/// # Errors
///
/// Names the setting that is missing.
pub fn check_reloaded(config: &Config) -> anyhow::Result<()> {
    if config.public.listen.is_empty() {
        settings::check(config)?;
    }
    settings::source(config).map(drop)
}

impl PublicPort {
    /// Reads the certificate and binds the addresses of `public.listen`. `None` if there are none.
    ///
    /// # Errors
    ///
    /// Fails if a setting is missing, or if the certificate or an address cannot be used.
    pub fn bind(config: &Config) -> anyhow::Result<Option<Self>> {
        settings::check(config)?;
        if config.public.listen.is_empty() {
            return Ok(None);
        }
        let (certificate, keeper) = match settings::source(config)? {
            Source::Files(files) => (Arc::new(Certificate::from_files(files)?), Keeper::Operator),
            Source::Acme => {
                let keeper = acme::Keeper::open(config, settings::acme(config))?;
                (keeper.certificate(), Keeper::Acme(Box::new(keeper)))
            }
            Source::OwnCa => {
                let names = settings::names(config);
                let keeper = own_ca::Keeper::open(&config.data, names, now_s())?;
                (keeper.certificate(), Keeper::OwnCa(Box::new(keeper)))
            }
        };
        let listeners = settings::listen(&config.public.listen)?;
        let balancers = config.public.proxy_protocol.clone();
        let url = settings::url(config);
        Ok(Some(Self { listeners, balancers, certificate, keeper, url }))
    }

    /// Returns the server's own authority, which others must come to trust, if it has one.
    pub fn authority(&self) -> Option<Authority> {
        match &self.keeper {
            Keeper::OwnCa(keeper) => Some(Authority::new(&keeper.authority())),
            Keeper::Operator | Keeper::Acme(_) => None,
        }
    }

    /// Returns the addresses at whose number clients of TURN may come over UDP, too. Behind a load
    /// balancer there are none: it passes TCP on.
    pub fn udp_addresses(&self) -> Vec<SocketAddr> {
        let addresses = self.listeners.iter().map(|(address, _)| *address);
        addresses.filter(|_| self.balancers.is_empty()).collect()
    }

    /// Opens the port: connections are accepted until `stop`.
    pub fn open(self, entrance: Entrance, turn: Option<Arc<TurnServer>>, stop: &CancellationToken) {
        let has_challenges = matches!(self.keeper, Keeper::Acme(_));
        let protocols = protocols(turn.is_some(), has_challenges);
        if let Some(authority) = self.authority() {
            tell(&authority, self.url.as_ref());
        }
        let tls = TlsAcceptor::from(self.certificate.server_config(protocols));
        let openings = Openings::new(OPENINGS);
        let balancers = self.balancers;
        let inside = Arc::new(Inside { tls, openings, balancers, entrance, turn });
        for (address, listener) in self.listeners {
            console::print_progress(format_args!("starting the public port on {address}, TLS"));
            tokio::spawn(accept(listener, Arc::clone(&inside), stop.clone()));
        }
        match self.keeper {
            Keeper::Operator => {}
            Keeper::Acme(keeper) => drop(tokio::spawn(keeper.run(stop.clone()))),
            Keeper::OwnCa(keeper) => drop(tokio::spawn(keeper.run(stop.clone()))),
        }
    }
}

/// Tells people the fingerprint of the server's own authority, and how others come to trust it.
fn tell(authority: &Authority, url: Option<&Url>) {
    let url = url.map_or("", Url::as_str);
    console::print_progress(format_args!(
        "this server has its own certificate authority, with the SHA-256 fingerprint {}: open \
         {url}trust on each device",
        authority.fingerprint()
    ));
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Returns the application protocols to choose from, the preferred ones first.
fn protocols(has_turn: bool, has_challenges: bool) -> Vec<Vec<u8>> {
    let turn = STUN_ALPN.into_iter().filter(|_| has_turn);
    let challenges = [acme::ALPN].into_iter().filter(|_| has_challenges);
    turn.chain([HTTP2_ALPN, HTTP_ALPN]).chain(challenges).map(<[u8]>::to_vec).collect()
}

async fn accept(listener: TcpListener, inside: Arc<Inside>, stop: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        match accepted {
            Ok((stream, from)) => {
                let stranger = (!inside.is_balancer(from)).then_some(from.ip());
                let opening = inside.openings.begin(stranger);
                drop(tokio::spawn(inside.clone().receive(stream, from, opening)));
            }
            Err(error) => {
                warn!(%error, "the public port cannot accept connections");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

impl Inside {
    async fn receive(self: Arc<Self>, mut stream: TcpStream, from: SocketAddr, opening: Opening) {
        let client = tokio::select! {
            client = self.client(&mut stream, from) => client,
            () = opening.crowded_out() => return,
        };
        let client = match client {
            Ok(client) => client,
            Err(error) => return debug!(%error, "a load balancer does not name its client"),
        };
        let Some(visitor) = self.entrance.admit(client.ip()) else {
            return debug!("refused a connection: there are too many");
        };
        let opened = tokio::select! {
            opened = open(&self.tls, stream) => opened,
            () = visitor.must_leave() => return,
            () = opening.crowded_out() => return,
        };
        drop(opening);
        match opened {
            Ok((Protocol::Http(version), stream)) => visitor.serve(version, stream),
            Ok((Protocol::Turn, stream)) => {
                // From here on the limits of the TURN server are in effect.
                drop(visitor);
                if let Err(error) = self.give_to_turn(stream, client) {
                    debug!(%error, "a TURN client at the public port was not served");
                }
            }
            Err(error) => debug!(%error, "a connection to the public port was not opened"),
        }
    }

    /// Returns the address of the client. A load balancer must name it, and nobody else may.
    async fn client(&self, stream: &mut TcpStream, from: SocketAddr) -> io::Result<SocketAddr> {
        if !self.is_balancer(from) {
            return Ok(from);
        }
        let header = timeout(HEADER_TIME, proxy_protocol::read_header(stream)).await??;
        let client = header.unwrap_or(from);
        Ok(SocketAddr::new(client.ip().to_canonical(), client.port()))
    }

    fn is_balancer(&self, from: SocketAddr) -> bool {
        self.balancers.iter().any(|network| network.0.contains(from.ip()))
    }

    fn give_to_turn(&self, stream: TlsStream<TcpStream>, address: SocketAddr) -> io::Result<()> {
        let turn = self.turn.as_ref().ok_or(ErrorKind::Unsupported)?;
        let (stream, tls) = stream.into_inner();
        let client = TlsClient { stream: stream.into_std()?, tls, address };
        if turn.serve_tls(client) { Ok(()) } else { Err(ErrorKind::ResourceBusy.into()) }
    }
}

/// Finishes the TLS handshake and finds out the protocol inside.
async fn open(
    acceptor: &TlsAcceptor,
    stream: TcpStream,
) -> io::Result<(Protocol, TlsStream<TcpStream>)> {
    // Peers wait for small messages, and video comes in small packets.
    stream.set_nodelay(true)?;
    let mut stream = timeout(HANDSHAKE_TIME, acceptor.accept(stream)).await??;
    let (_, tls) = stream.get_ref();
    let protocol = match tls.alpn_protocol() {
        Some(HTTP_ALPN) => Protocol::Http(HttpVersion::Http1),
        Some(HTTP2_ALPN) => Protocol::Http(HttpVersion::Http2),
        // An authority has seen the certificate, which is all that it wants.
        Some(acme::ALPN) => return Err(ErrorKind::ConnectionAborted.into()),
        // The server has only offered the others.
        Some(_) => Protocol::Turn,
        None => timeout(FIRST_BYTE_TIME, detect(&mut stream)).await??,
    };
    Ok((protocol, stream))
}

/// Finds out the protocol by the first byte, which stays in the stream. Each client speaks first.
async fn detect(stream: &mut TlsStream<TcpStream>) -> io::Result<Protocol> {
    let first = *stream.fill_buf().await?.first().ok_or(ErrorKind::UnexpectedEof)?;
    let http = Protocol::Http(HttpVersion::Http1);
    Ok(if first & NOT_STUN == 0 { Protocol::Turn } else { http })
}
