//! Certificates by themselves (ACME, RFC 8555): an account at an authority, an order for the names
//! of the public port, and the next order in time. The certificate is a file in the data folder,
//! which the port follows like any other.

mod challenge;
mod http;
mod order;
mod schedule;
mod store;
mod trouble;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use instant_acme::{Account, NewAccount};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use url::{Host, Url};

use super::certificate::Certificate;
use super::now_s;
use crate::authorities;
use crate::config::Config;
use challenge::HttpAnswers;
use http::Client;
use order::Kind;
use schedule::Schedule;
use store::Store;
use trouble::Trouble;

pub(super) use challenge::{ALPN, TlsAnswers};
pub use store::{FILES, certificate_file};

/// Time for one order, with all its challenges.
const ORDER_TIME: Duration = Duration::from_secs(180);
/// Longest time between two looks at the clock, which may be set, or stand still while the machine
/// sleeps.
const LONGEST_SLEEP: Duration = Duration::from_secs(60 * 60);
/// The port of HTTP, where authorities look for the answer to an HTTP challenge.
const HTTP_PORT: u16 = 80;

/// The settings of an account and its orders.
#[derive(Debug)]
pub(super) struct Settings {
    /// The URL of the authority.
    pub(super) directory: Url,
    /// The mail address that the authority may write to.
    pub(super) contact: Option<String>,
    /// The names in the certificate.
    pub(super) names: Vec<Host>,
    /// The addresses where HTTP challenges are answered.
    pub(super) http: Vec<SocketAddr>,
}

/// The kinds of challenges in the order in which they are tried.
const KINDS: [Kind; 2] = [Kind::TlsAlpn, Kind::Http];

/// The owner of the certificate, who keeps it valid.
pub(super) struct Keeper {
    settings: Settings,
    client: Client,
    store: Store,
    certificate: Arc<Certificate>,
}

impl Keeper {
    /// Opens the folder in the data folder. A certificate that is there is used at once.
    ///
    /// # Errors
    ///
    /// Fails if the folder or the file in `public.acme_ca` cannot be used.
    pub(super) fn open(config: &Config, settings: Settings) -> anyhow::Result<Self> {
        let authority = config.public.acme_ca.as_deref().map(authorities::read).transpose()?;
        let client = Client::new(authority.unwrap_or_default())?;
        let store = Store::open(&config.data)?;
        let certificate = Arc::new(Certificate::empty());
        if store.facts().is_some()
            && let Err(error) = certificate.use_files(store.files())
        {
            warn!(%error, "the stored certificate is damaged: a new one is ordered");
            store.remove_certificate()?;
        }
        Ok(Self { settings, client, store, certificate })
    }

    /// Returns the certificate, which is missing until the first order has succeeded.
    pub(super) fn certificate(&self) -> Arc<Certificate> {
        Arc::clone(&self.certificate)
    }

    /// Keeps the certificate valid until `stop`.
    pub(super) async fn run(self, stop: CancellationToken) {
        tokio::select! {
            () = self.keep() => {}
            () = stop.cancelled() => {}
        }
    }

    async fn keep(&self) {
        let mut schedule = Schedule::default();
        loop {
            let facts = self.store.facts();
            let wait = schedule.wait(facts.as_ref(), &self.settings.names, now_s());
            if !wait.is_zero() {
                sleep(wait.min(LONGEST_SLEEP)).await;
                continue;
            }
            match self.obtain().await {
                Ok(()) => {
                    schedule.succeeded(self.store.facts().as_ref(), now_s());
                    self.tell();
                }
                Err(trouble) => {
                    if matches!(trouble, Trouble::NoAccount(_)) {
                        self.store.forget_account();
                    }
                    let wait = schedule.failed(&trouble, now_s());
                    let minutes = wait.as_secs().div_ceil(60);
                    warn!(
                        "no certificate for the public port: {trouble}; next try in {minutes} min"
                    );
                }
            }
        }
    }

    /// Logs the new certificate.
    fn tell(&self) {
        let Some(facts) = self.store.facts() else { return };
        let names: Vec<_> = self.settings.names.iter().map(Host::to_string).collect();
        let hours = facts.not_after_s.saturating_sub(now_s()) / 3600;
        info!("the public port has a certificate for {}, valid for {hours} h", names.join(", "));
    }

    /// Gets a certificate by the first kind of challenge that works.
    async fn obtain(&self) -> Result<(), Trouble> {
        let account = timeout(ORDER_TIME, self.account()).await.map_err(|_| self.silent())??;
        let mut first = None;
        let kinds = if self.settings.http.is_empty() { &KINDS[..1] } else { &KINDS[..] };
        for kind in kinds {
            let answers = match kind {
                Kind::TlsAlpn => None,
                // Usually another program has the port, or it may not be bound.
                Kind::Http => match HttpAnswers::listen(&self.settings.http) {
                    Ok(answers) => Some(answers),
                    Err(error) => {
                        tracing::debug!(%error, "HTTP challenges cannot be answered");
                        break;
                    }
                },
            };
            let tls = self.certificate.answers();
            let order = order::obtain(&account, &self.settings.names, tls, answers.as_ref());
            let issued = timeout(ORDER_TIME, order).await.unwrap_or_else(|_| Err(self.silent()));
            match issued {
                Ok(issued) => return self.use_new(&issued),
                // The other kind would fail as well, and failures are counted.
                Err(trouble) if !trouble.depends_on_challenge() => return Err(trouble),
                Err(trouble) => first = first.or(Some(trouble)),
            }
        }
        Err(first.unwrap_or_else(|| self.silent()))
    }

    fn silent(&self) -> Trouble {
        Trouble::unreachable(&self.settings.directory, "it did not answer in time")
    }

    fn use_new(&self, issued: &order::Issued) -> Result<(), Trouble> {
        let saved = self.store.save_certificate(issued);
        saved
            .map_err(|error| Trouble::Issued(format!("cannot store the certificate: {error:#}")))?;
        let used = self.certificate.use_files(self.store.files());
        used.map_err(|error| Trouble::Issued(error.to_string()))
    }

    /// Returns the account at the authority, which is made with the first order.
    async fn account(&self) -> Result<Account, Trouble> {
        let directory = &self.settings.directory;
        let trouble = |error| Trouble::of(directory, error);
        let builder = || Account::builder_with_http(Box::new(self.client.clone()));
        if let Some(credentials) = self.store.account(directory.as_str()) {
            return builder().from_credentials(credentials).await.map_err(trouble);
        }
        let contact = self.settings.contact.as_ref().map(|mail| format!("mailto:{mail}"));
        let contact: Vec<_> = contact.iter().map(String::as_str).collect();
        let new = NewAccount {
            contact: &contact,
            terms_of_service_agreed: true,
            only_return_existing: false,
        };
        let created = builder().create(&new, directory.to_string(), None).await;
        let (account, credentials) = created.map_err(trouble)?;
        let saved = self.store.save_account(directory.as_str(), &credentials);
        saved.map_err(|error| Trouble::Local(format!("cannot store the account: {error:#}")))?;
        Ok(account)
    }
}

/// Returns the default addresses for HTTP challenges.
pub(super) fn http_addresses(listen: &[SocketAddr]) -> Vec<SocketAddr> {
    listen.iter().map(|address| SocketAddr::new(address.ip(), HTTP_PORT)).collect()
}
