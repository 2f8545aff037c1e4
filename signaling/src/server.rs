//! Start, run and shutdown of the server.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use porthole_signaling_core::{
    Hub, Origins, SessionKey, TurnCondition, TurnConditions, TurnConfig,
};
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use url::Url;

use crate::api::passkeys::Passkeys;
use crate::app::{App, router};
use crate::config::{Config, OpenidConnect, ProviderError};
use crate::device::Devices;
use crate::driver::Driver;
use crate::listener::{Admission, Entrance};
use crate::metrics::Metrics;
use crate::openid::Provider;
use crate::places::Places;
use crate::prefix::Prefix;
use crate::proxies::Proxies;
use crate::store::{OpenError, Store, StoreError};
use crate::webauthn::{Challenges, Site};
use crate::{listener, secret};

/// Time to tell peers that the server is going away and to finish their requests.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(3);
/// Time to close the database. Committed data is already on the disk.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// A signaling server, bound to its address.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    app: Arc<App>,
    entrance: Entrance,
    setup_link: Option<String>,
    metrics: Metrics,
}

/// The TURN servers that a running server names, which can be replaced.
#[derive(Debug, Clone)]
pub struct TurnServers {
    driver: Arc<Driver>,
}

impl TurnServers {
    /// Names these servers, and signs with this secret, from now on. Sessions that run keep what
    /// they have until they look for another path. Returns false if nothing has changed.
    pub fn replace(&self, turn: Option<TurnConfig>) -> bool {
        self.driver.with(|hub, _| hub.set_turn(turn))
    }

    /// Returns true if one of the servers works, according to the conditions.
    pub fn works(&self) -> bool {
        let servers = self.driver.with(|hub, _| hub.turn_servers());
        servers.iter().any(|(_, condition)| *condition == TurnCondition::Up)
    }

    /// Offers new sessions the servers that work, according to these conditions.
    pub fn set_conditions(&self, conditions: TurnConditions) {
        self.driver.with(|hub, _| hub.set_turn_conditions(conditions));
    }
}

/// An error when starting the server. Each sentence says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another program already listens on the address.
    #[error(
        "{0} is in use: end the program that listens there, or choose another port with --http"
    )]
    InUse(SocketAddr),
    /// The address cannot be listened on.
    #[error("cannot listen on {0}: {1}; choose another address with --http")]
    Listen(SocketAddr, std::io::Error),
    /// The path of the public URL cannot be served.
    #[error(
        "the path in signaling.public_url must consist of letters, digits, slashes and -._~%, at \
         most 128 of them"
    )]
    PublicUrl,
    /// The provider of OpenID Connect cannot be used.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// The database cannot be opened.
    #[error(transparent)]
    Data(#[from] OpenError),
    /// The database cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Server {
    /// Binds the address and opens the data folder. Connections wait until [`Self::run`].
    ///
    /// # Errors
    /// Fails if the address cannot be bound or the database cannot be opened.
    pub async fn bind(config: Config) -> Result<Self, StartError> {
        let Config { http, public_url, trusts_proxy, gateway_urls, .. } = config;
        let Config { data, turn, ended_turn_users, assets, limits, places, .. } = config;
        let (openid, authority) = (config.openid_connect, config.authority);
        let origin = |url: &Url| url.origin().ascii_serialization();
        let origins = Origins {
            public: public_url.as_ref().map(origin),
            listed: gateway_urls.iter().map(origin).collect(),
        };
        let prefix = Prefix::of_url(public_url.as_ref()).ok_or(StartError::PublicUrl)?;
        let listener = TcpListener::bind(http).await.map_err(|error| {
            let in_use = error.kind() == std::io::ErrorKind::AddrInUse;
            if in_use { StartError::InUse(http) } else { StartError::Listen(http, error) }
        })?;
        let address = listener.local_addr().map_err(|error| StartError::Listen(http, error))?;
        let store = Store::open(&data).await?;
        let base = public_url.clone().or_else(|| local_url(address));
        let setup_link = first_setup_link(&store, base.as_ref()).await?;
        let dormant = store.dormant_rights().await?;
        if dormant > 0 {
            warn!(
                count = dormant,
                "rights of tokens to cameras that no gateway had at the upgrade have no effect: \
                 create these tokens again"
            );
        }
        let stored = store.gateways().await?;
        let devices = Devices::open(&data);
        let session_key = SessionKey::new(devices.key_for("sessions"));
        let core = porthole_signaling_core::Config { limits, turn, origins, session_key };
        let hub = Hub::new(core, secret::random());
        let driver = Driver::new(hub, stored, store, ended_turn_users);
        let throttle = Mutex::default();
        let proxies = Proxies::new(trusts_proxy, public_url.as_ref());
        let places = Places::new(places);
        let admission = Admission { prefix: prefix.clone(), proxies, places: Arc::clone(&places) };
        let site = Site::at(base.as_ref());
        let passkeys = Passkeys { site, challenges: Challenges::new(Instant::now()) };
        let provider =
            openid.map(|config| provider(config, base.as_ref(), &devices)).transpose()?;
        let responses = Mutex::default();
        let app = Arc::new(App {
            driver,
            public_url,
            prefix,
            assets,
            throttle,
            devices,
            passkeys,
            provider,
            authority,
            responses,
        });
        let (tasks, abort) = (app.driver.tasks.clone(), app.driver.abort.clone());
        let entrance = Entrance::new(router(&app), admission, tasks, abort);
        let metrics = Metrics::new(Arc::clone(&app), places);
        Ok(Self { listener, address, app, entrance, setup_link, metrics })
    }

    #[cfg(test)]
    pub(crate) fn app(&self) -> Arc<App> {
        Arc::clone(&self.app)
    }

    /// Returns the address that the server listens on.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Returns the entrance for connections that the program accepts at the public port. They are
    /// served while the server runs. No proxy on this machine is believed there.
    pub fn entrance(&self) -> Entrance {
        self.entrance.at_public_port()
    }

    /// Returns a handle to the server's numbers, which can be read while it runs.
    pub fn metrics(&self) -> Metrics {
        self.metrics.clone()
    }

    /// Returns a handle by which its TURN servers are replaced while it runs.
    pub fn turn_servers(&self) -> TurnServers {
        TurnServers { driver: Arc::clone(&self.app.driver) }
    }

    /// Returns the URL at which the first admin can be created, once. `None` if there is an admin.
    pub fn setup_link(&self) -> Option<String> {
        self.setup_link.clone()
    }

    /// Serves until `stop` is cancelled, then tells all peers and returns within 5 s.
    pub async fn run(self, stop: CancellationToken) {
        let Self { listener, address, app, entrance, .. } = self;
        let driver = Arc::clone(&app.driver);
        let (tasks, abort) = (driver.tasks.clone(), driver.abort.clone());
        tasks.spawn(Arc::clone(&driver).run_timer());
        tasks.spawn(Arc::clone(&driver).run_persist());
        tasks.spawn(Arc::clone(&driver).run_revocations());
        info!(%address, "the signaling server is listening");
        listener::run(listener, &entrance, stop).await;
        info!("the signaling server is stopping");
        driver.with(|hub, _| hub.close());
        tasks.close();
        // The driver's own tasks end only when they are aborted.
        if timeout(DRAIN_TIMEOUT, drained(&driver)).await.is_err() {
            warn!("some connections did not end in time");
        }
        abort.cancel();
        let ended = async {
            tasks.wait().await;
            driver.store.close().await;
        };
        if timeout(CLOSE_TIMEOUT, ended).await.is_err() {
            warn!("the database did not close in time");
        }
    }
}

fn provider(
    config: OpenidConnect,
    base: Option<&Url>,
    devices: &Devices,
) -> Result<Provider, ProviderError> {
    let base = base.ok_or(ProviderError::PublicUrl)?;
    Provider::new(config, base, &devices.key_for("openid connect"))
}

/// Waits until only the driver's own tasks are left and everything is saved.
async fn drained(driver: &Driver) {
    /// The tasks of [`Driver::run_timer`], [`Driver::run_persist`] and
    /// [`Driver::run_revocations`].
    const OWN_TASKS: usize = 3;
    const POLL_INTERVAL: Duration = Duration::from_millis(20);
    while driver.tasks.len() > OWN_TASKS || driver.has_unsaved() {
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

fn local_url(address: SocketAddr) -> Option<Url> {
    let host = match address.ip() {
        ip if ip.is_unspecified() || ip.is_loopback() => "localhost".to_owned(),
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    Url::parse(&format!("http://{host}:{}", address.port())).ok()
}

/// Returns the setup link, if there is no owner yet.
async fn first_setup_link(store: &Store, base: Option<&Url>) -> Result<Option<String>, StoreError> {
    if store.has_owner().await? {
        return Ok(None);
    }
    let token = store.create_setup_token().await?;
    Ok(base.map(|base| setup_link(base, &token)))
}

/// Returns the setup link. Its token is in the fragment, which browsers do not send to servers.
fn setup_link(base: &Url, token: &str) -> String {
    let mut link = base.clone();
    link.set_path(&format!("{}/setup", base.path().trim_end_matches('/')));
    link.set_fragment(Some(&format!("t={token}")));
    link.to_string()
}
