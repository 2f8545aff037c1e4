//! The gateway: beside the cameras, behind whatever NAT is there.
//!
//! It dials out to the signaling server, takes video from cameras ([`ingest`]) and sends it to
//! viewers. What it decides is in `porthole-gateway-core`; here are sockets, files and tasks.

mod addresses;
pub mod driver;
pub mod ingest;
mod key;
mod link;
mod turn_transport;
mod udp;

pub use key::KeyError;
pub use link::{LinkError, websocket_url};

use crate::driver::{Driver, LINK_QUEUE, LinkEvent, Sources};
use crate::link::Link;
use key::Key;
use porthole_gateway_core::camera::CameraSettings;
use porthole_gateway_core::dtls_srtp::{DtlsSrtpError, Identity};
use porthole_gateway_core::{Gateway as Core, GatewayConfig};
use porthole_signaling_proto::rpc::Message;
use porthole_signaling_proto::{CameraId, GatewayId};
use std::io;
use std::path::PathBuf;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use url::Url;

/// A camera of this gateway.
#[derive(Debug, Clone)]
pub struct CameraConfig {
    /// Its id, unique in the signaling server.
    pub id: CameraId,
    /// What people call it.
    pub name: String,
    /// Where its main stream comes from.
    pub source: ingest::Source,
    /// A smaller stream of the same picture, if it has one: a profile of its own, `ID.sub`.
    pub sub_source: Option<ingest::Source>,
    /// Connect when somebody watches, not always.
    pub on_demand: bool,
}

/// What a gateway needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// The signaling server, `http` or `https`.
    pub server: Url,
    /// A single-use claim code, for the first time.
    pub claim: Option<String>,
    /// Where the key is kept.
    pub data: PathBuf,
    /// What people call the gateway.
    pub name: String,
    /// Its cameras.
    pub cameras: Vec<CameraConfig>,
    /// The UDP port of all sessions; 0 picks one.
    pub udp_port: u16,
    /// Never go direct: the addresses of this network stay private.
    pub turn_only: bool,
}

/// Why a gateway does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Its UDP port.
    #[error(
        "UDP port {port} cannot be used: {source}; choose another port with --udp-port, or stop \
         what uses it"
    )]
    Port {
        /// The port.
        port: u16,
        /// What the system says.
        source: io::Error,
    },
    /// A camera's id leaves no room for the name of its smaller stream.
    #[error("the camera id `{0}` is too long to name its smaller stream; shorten it by 4")]
    LongId(CameraId),
    /// Its certificate.
    #[error(transparent)]
    Certificate(#[from] DtlsSrtpError),
}

/// Why a gateway ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It cannot be linked to the signaling server.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// Its sockets broke.
    #[error("the gateway's UDP port broke: {0}")]
    Socket(#[from] io::Error),
}

/// A gateway that is ready to run.
#[derive(Debug)]
pub struct Gateway {
    driver: Driver<Core>,
    link: Link,
    /// Of the link: what it tells the driver, and what the driver gives it.
    events: mpsc::Sender<LinkEvent>,
    outgoing: mpsc::Receiver<Message>,
}

impl Gateway {
    /// Binds the port and reads or makes the key. Nothing is sent yet.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn start(config: Config) -> Result<Self, StartError> {
        let key = Key::load_or_create(&config.data)?;
        let mut cameras = Vec::new();
        let mut sources = Sources::new();
        for camera in config.cameras {
            let CameraConfig { id, name, source, sub_source, on_demand } = camera;
            if let Some(source) = sub_source {
                let id = id.sub_stream().ok_or_else(|| StartError::LongId(id.clone()))?;
                let name = format!("{name} (small)");
                cameras.push(CameraSettings { id: id.clone(), name, on_demand });
                sources.insert(id, source);
            }
            cameras.push(CameraSettings { id: id.clone(), name, on_demand });
            sources.insert(id, source);
        }
        let core = Core::new(GatewayConfig {
            identity: Identity::generate()?,
            cameras,
            turn_only: config.turn_only,
            seed: rand::random(),
        });
        let with_loopback = is_loopback(&config.server);
        let (messages, outgoing) = mpsc::channel(LINK_QUEUE);
        let (events, incoming) = mpsc::channel(LINK_QUEUE);
        let port = config.udp_port;
        let driver = Driver::new(core, port, sources, messages, incoming, with_loopback)
            .map_err(|source| StartError::Port { port, source })?;
        let link = Link { server: config.server, claim: config.claim, name: config.name, key };
        Ok(Self { driver, link, events, outgoing })
    }

    /// Who this gateway is.
    pub fn id(&self) -> GatewayId {
        self.link.key.id()
    }

    /// Runs until told to stop.
    ///
    /// # Errors
    /// See [`RunError`]; a server or camera that is away is none, it is tried again.
    pub async fn run(self, stop: CancellationToken) -> Result<(), RunError> {
        let Self { driver, link, events, outgoing } = self;
        let both = stop.child_token();
        let link = async {
            let ended = link.run(events, outgoing, both.clone()).await;
            both.cancel();
            ended
        };
        let (linked, driven) = tokio::join!(link, driver.run(both.clone()));
        linked?;
        Ok(driven?)
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
