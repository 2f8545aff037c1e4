//! The gateway: runs beside the cameras, behind any NAT.
//!
//! It connects to the signaling server, receives video from cameras ([`ingest`]) and sends it to
//! viewers. `porthole-gateway-core` makes the decisions; this crate owns sockets, files and tasks.

#![warn(missing_docs)]

mod addresses;
mod atomic_file;
mod batch_socket;
mod cameras;
mod control;
pub mod driver;
mod ice_servers;
pub mod ingest;
mod key;
mod link;
mod manage;
mod metrics;
mod offline;
pub mod onvif;
pub mod port_mapping;
mod store_file;
mod tls;
mod turn_transport;
mod udp;
mod uplink;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use porthole_gateway_core::dtls_srtp::{DtlsSrtpError, Identity};
use porthole_gateway_core::{Gateway as Core, GatewayConfig};
use porthole_signaling_proto::rpc::Message;
use porthole_signaling_proto::{CameraId, GatewayId};
use rustls::pki_types::CertificateDer;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::control::{ControlChannels, Controls};
use crate::driver::{Channels, Driver, IceServerAccess, LINK_QUEUE, LinkEvent, QUESTION_QUEUE};
use crate::link::Link;
use crate::manage::{Manager, ManagerChannels, Shelf};
use crate::port_mapping::{LIFETIME, PortMapperConfig, PortMapping, Protocols, State};
use crate::store_file::StoreFile;
use key::Key;

pub use cameras::{CameraConfig, Cameras, ChangeError, Difference, OnvifPlace, PreparedCameras};
pub use key::KeyError;
pub use link::{LinkError, server_address, websocket_url};
pub use metrics::Metrics;
pub use offline::{OfflineError, Skipped, add_imported};
pub use porthole_gateway_core::camera::Picture;
pub use porthole_gateway_core::ice_servers::{AllowedIceServer, InvalidIceServer};
pub use porthole_gateway_core::import;
pub use store_file::StoreError;
pub use uplink::MaxUplink;

/// Configuration of a gateway.
#[derive(Debug, Clone)]
pub struct Config {
    /// The URL of the signaling server, `http` or `https`.
    pub server: Url,
    /// A single-use claim code with which the gateway enrols on its first start.
    pub claim: Option<String>,
    /// The data folder, which holds the key and the cameras that were added in a browser.
    pub data: PathBuf,
    /// The name of the gateway shown to people.
    pub name: String,
    /// The cameras of the gateway.
    pub cameras: Vec<CameraConfig>,
    /// The UDP port of all sessions; 0 picks a free one.
    pub udp_port: u16,
    /// Bounds for the silence of RTSP cameras.
    pub camera_timeouts: ingest::Timeouts,
    /// Networks in which cameras may be looked for although this machine has no address in them.
    pub networks: Vec<onvif::Cidr>,
    /// STUN and TURN servers that may be contacted although they are neither public nor on the
    /// signaling server's machine.
    pub allow_ice_servers: Vec<AllowedIceServer>,
    /// Certificates of authorities that are trusted beside those that browsers trust, in TLS to the
    /// signaling server and to TURN servers.
    pub authorities: Vec<CertificateDer<'static>>,
    /// Connect to a signaling server on the Internet without TLS.
    pub allow_plain_http: bool,
    /// Use relayed paths only, so that the addresses of this network stay private.
    pub turn_only: bool,
    /// Protocols with which the router is asked to forward the UDP port; `None` if it is not asked.
    pub port_mapping: Option<Protocols>,
    /// Limit of everything that viewers outside the local network get, in bits per second.
    pub max_uplink: Option<u64>,
}

/// Reason for which a gateway does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The key cannot be read or generated.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The UDP port cannot be bound.
    #[error(
        "UDP port {port} cannot be used: {source}; choose another port with --udp-port, or stop \
         what uses it"
    )]
    Port {
        /// The configured port.
        port: u16,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A camera's id is too long to append `.sub` for its sub stream.
    #[error("the camera id `{0}` leaves no room for the `.sub` of its sub stream; shorten it by 4")]
    LongId(CameraId),
    /// A camera's id begins like those of cameras that were probed.
    #[error("the camera id `{0}` begins with `probe.`, which is reserved; choose another id")]
    ReservedId(CameraId),
    /// The file of cameras cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The DTLS certificate cannot be generated.
    #[error(transparent)]
    Certificate(#[from] DtlsSrtpError),
    /// A certificate in `gateway.ca_certificates` cannot be used.
    #[error("a certificate in gateway.ca_certificates cannot be used: {0}")]
    Authorities(rustls::Error),
}

/// Reason for which a running gateway ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The signaling server refuses the gateway for good.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The UDP socket failed.
    #[error("the gateway's UDP socket failed: {0}")]
    Socket(#[from] io::Error),
}

/// A gateway with its port bound and its key loaded, ready to run.
#[derive(Debug)]
pub struct Gateway {
    driver: Driver<Core>,
    cameras: Cameras,
    max_uplink: MaxUplink,
    link: Link,
    manager: Manager,
    controls: Controls,
    /// The link's ends of its channels to and from the driver.
    links: (mpsc::Sender<LinkEvent>, mpsc::Receiver<Message>),
    doubts: Arc<Notify>,
    port_mapping: Option<PortMapping>,
}

impl Gateway {
    /// Binds the UDP port and reads or generates the key. Nothing is sent before [`Self::run`].
    ///
    /// # Errors
    /// Returns the reason for which the gateway cannot start.
    pub fn start(config: Config) -> Result<Self, StartError> {
        let key = Arc::new(Key::load_or_create(&config.data)?);
        let core = core(&config)?;
        let (messages, outgoing) = mpsc::channel(LINK_QUEUE);
        let (events, incoming) = mpsc::channel(LINK_QUEUE);
        let (updates, changes) = mpsc::channel(cameras::QUEUE);
        let (placing, places) = watch::channel(control::Places::new());
        let (file, store, vault) = StoreFile::load(&config.data, key.id())?;
        let stored = manage::stored_configs(&store, &vault);
        let timeouts = config.camera_timeouts;
        let (cameras, initial) = Cameras::new(config.cameras, stored, timeouts, updates, placing)?;
        let port = config.udp_port;
        let (questions, asked) = mpsc::channel(QUESTION_QUEUE);
        let (answered, answers) = mpsc::channel(QUESTION_QUEUE);
        let (controlling, controlled) = mpsc::channel(QUESTION_QUEUE);
        let (telling, facts) = mpsc::channel(QUESTION_QUEUE);
        let control = ControlChannels {
            places,
            questions: controlled,
            answers: answered.clone(),
            facts: telling,
        };
        let controls = Controls::new(config.networks.clone(), control);
        let asking = ManagerChannels { questions: asked, answers: answered };
        let shelf = Shelf { file, store, vault };
        let manager =
            Manager::new(Arc::clone(&key), shelf, cameras.clone(), config.networks, asking);
        let doubts = Arc::new(Notify::new());
        let (mapping, mapped) = watch::channel(State::Unknown);
        let (max_uplink, limit) = MaxUplink::new(config.max_uplink);
        let channels = Channels {
            link: messages,
            doubts: Arc::clone(&doubts),
            link_events: incoming,
            changes,
            questions,
            answers,
            controls: controlling,
            facts,
            mapped,
            max_uplink: limit,
        };
        let loopback = is_loopback(&config.server);
        let tls = tls::to_servers(&config.authorities).map_err(StartError::Authorities)?;
        let access =
            IceServerAccess { allowed: config.allow_ice_servers, authorities: config.authorities };
        let mut driver = Driver::new(core, port, channels, loopback, access)
            .map_err(|source| StartError::Port { port, source })?;
        driver.change_cameras(initial);
        // A port by which it is reached would reveal where the gateway is.
        let protocols = config.port_mapping.filter(|_| !config.turn_only);
        let mapper = |protocols| mapper(protocols, driver.udp_port(), port != 0, &key);
        let port_mapping = protocols.map(|it| PortMapping::new(mapper(it), mapping));
        let Config { server, claim, name, allow_plain_http, .. } = config;
        let link = Link { server, claim, name, key, tls: Arc::new(tls), allow_plain_http };
        let links = (events, outgoing);
        Ok(Self {
            driver,
            cameras,
            max_uplink,
            link,
            manager,
            controls,
            links,
            doubts,
            port_mapping,
        })
    }

    /// Returns the gateway's id, derived from its public key.
    pub fn id(&self) -> GatewayId {
        self.link.key.id()
    }

    /// Returns the gateway's cameras, which can be changed while it runs.
    pub fn cameras(&self) -> &Cameras {
        &self.cameras
    }

    /// Returns the limit of the gateway's uplink, which can be changed while it runs.
    pub fn max_uplink(&self) -> &MaxUplink {
        &self.max_uplink
    }

    /// Returns a handle to the gateway's numbers, which can be read while it runs.
    pub fn metrics(&self) -> Metrics {
        self.driver.metrics()
    }

    /// Runs until `stop` is cancelled.
    ///
    /// # Errors
    /// Returns an error if the signaling server refuses the gateway for good or the UDP socket
    /// fails. A server or camera that cannot be reached is tried again.
    pub async fn run(self, stop: CancellationToken) -> Result<(), RunError> {
        let Self { driver, link, manager, controls, links, doubts, port_mapping, .. } = self;
        let (events, outgoing) = links;
        let both = stop.child_token();
        let mapping = async {
            if let Some(port_mapping) = port_mapping {
                port_mapping.run(both.clone()).await;
            }
        };
        let link = async {
            let ended = link.run(events, outgoing, &doubts, both.clone()).await;
            both.cancel();
            ended
        };
        let (linked, driven, (), (), ()) = tokio::join!(
            link,
            run_media(driver, both.clone()),
            manager.run(both.clone()),
            controls.run(both.clone()),
            mapping
        );
        linked?;
        Ok(driven?)
    }
}

/// Returns how the router is asked to forward a port of the gateway with this key.
fn mapper(protocols: Protocols, port: u16, is_fixed: bool, key: &Key) -> PortMapperConfig {
    PortMapperConfig {
        protocols,
        port,
        lifetime: LIFETIME,
        is_fixed,
        secret: key.derive("port mapping"),
        seed: rand::random(),
    }
}

fn core(config: &Config) -> Result<Core, DtlsSrtpError> {
    Ok(Core::new(GatewayConfig {
        identity: Identity::generate()?,
        turn_only: config.turn_only,
        max_uplink: config.max_uplink,
        seed: rand::random(),
    }))
}

/// Runs the driver, with all sources and sockets of the media, on a thread of its own: on a runtime
/// of several threads each packet would wake another one.
async fn run_media(driver: Driver<Core>, stop: CancellationToken) -> io::Result<()> {
    // Also if this future is dropped.
    let _stopping = stop.clone().drop_guard();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let running = tokio::task::spawn_blocking(move || {
        let ended = runtime.block_on(driver.run(stop));
        // Without waiting for names that are being resolved.
        runtime.shutdown_background();
        ended
    });
    match running.await {
        Ok(ended) => ended,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Ok(()),
        },
    }
}

fn is_loopback(server: &Url) -> bool {
    match server.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}
