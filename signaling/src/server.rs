//! The server: opened, run, drained.

use crate::{
    app::{App, router},
    config::Config,
    drive::Driver,
    peer, secret,
    store::{OpenError, Store, StoreError},
};
use porthole_signaling_core::Hub;
use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{net::TcpListener, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use url::Url;

/// How long peers have to hear that the server goes away.
const DRAIN: Duration = Duration::from_secs(3);
/// How long the database may take to close; what it has promised is on the disk already.
const CLOSE: Duration = Duration::from_secs(1);

/// A signaling server that listens.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    app: Arc<App>,
    setup_link: Option<String>,
}

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Somebody listens there already.
    #[error(
        "{0} is in use: end the program that listens there, or choose another port with --http"
    )]
    InUse(SocketAddr),
    /// It cannot be listened there.
    #[error("cannot listen on {0}: {1}; choose another address with --http")]
    Listen(SocketAddr, std::io::Error),
    /// There is no database.
    #[error(transparent)]
    Data(#[from] OpenError),
    /// The database does not work.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Server {
    /// Listens and opens the data folder; nobody is served yet.
    ///
    /// # Errors
    /// Each says in one sentence what to do.
    pub async fn bind(config: Config) -> Result<Self, StartError> {
        let Config { http, public_url, data, turn, assets, limits } = config;
        let listener = TcpListener::bind(http).await.map_err(|error| {
            let in_use = error.kind() == std::io::ErrorKind::AddrInUse;
            if in_use { StartError::InUse(http) } else { StartError::Listen(http, error) }
        })?;
        let address = listener.local_addr().map_err(|error| StartError::Listen(http, error))?;
        let store = Store::open(&data).await?;
        let setup_link = match store.has_admin().await? {
            true => None,
            false => {
                let base = public_url.clone().or_else(|| local_url(address));
                let token = store.new_setup_token().await?;
                base.map(|base| link(&base, &token))
            }
        };
        let stored = store.gateways().await?;
        let hub = Hub::new(porthole_signaling_core::Config { limits, turn }, secret::random());
        let driver = Driver::new(hub, stored, store);
        let app = Arc::new(App { driver, public_url, assets, throttle: Mutex::default() });
        Ok(Self { listener, address, app, setup_link })
    }

    #[cfg(test)]
    pub(crate) fn app(&self) -> Arc<App> {
        Arc::clone(&self.app)
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Where the first admin is made, once; `None` when there is one.
    pub fn setup_link(&self) -> Option<String> {
        self.setup_link.clone()
    }

    /// Serves until `stop`, then tells everybody and ends within 5 s.
    pub async fn run(self, stop: CancellationToken) {
        let Self { listener, address, app, .. } = self;
        let driver = Arc::clone(&app.driver);
        let (tasks, abort) = (driver.tasks.clone(), driver.abort.clone());
        tasks.spawn(Arc::clone(&driver).run_timer());
        tasks.spawn(Arc::clone(&driver).run_persist());
        info!(%address, "signaling listens");
        peer::accept(listener, router(&app), tasks.clone(), stop, abort.clone()).await;
        info!("signaling is going away");
        driver.with(|hub, _| hub.close());
        tasks.close();
        // The timer and the keeper end only when told to.
        if timeout(DRAIN, drained(&driver)).await.is_err() {
            warn!("some connections did not end in time");
        }
        abort.cancel();
        let ended = async {
            tasks.wait().await;
            driver.store.close().await;
        };
        if timeout(CLOSE, ended).await.is_err() {
            warn!("the database did not close in time");
        }
    }
}

/// Only the timer and the keeper are left, and they have nothing to do.
async fn drained(driver: &Driver) {
    const OWN_TASKS: usize = 2;
    const LOOK_AGAIN: Duration = Duration::from_millis(20);
    while driver.tasks.len() > OWN_TASKS || driver.has_to_persist() {
        tokio::time::sleep(LOOK_AGAIN).await;
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

/// The token is behind the `#`: browsers send it to nobody of themselves.
fn link(base: &Url, token: &str) -> String {
    let mut link = base.clone();
    link.set_path("/setup");
    link.set_fragment(Some(&format!("t={token}")));
    link.to_string()
}
