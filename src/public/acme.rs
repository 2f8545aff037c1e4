//! Certificates by themselves (ACME, RFC 8555): an account at an authority, an order for the names
//! of the public port, and the next order in time. The certificate is a file in the data folder,
//! which the port follows like any other.

mod challenge;
mod http;
mod order;
mod renewal;
mod schedule;
mod store;
mod trouble;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use instant_acme::{Account, CertificateIdentifier, Error, NewAccount};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};
use url::{Host, Url};

use super::certificate::Certificate;
use super::facts::Facts;
use super::now_s;
use crate::authorities;
use crate::config::Config;
use challenge::HttpAnswers;
use http::Client;
use order::Kind;
use renewal::{Advice, Answer};
use schedule::Schedule;
use store::Store;
use trouble::Trouble;

pub(super) use challenge::{ALPN, TlsAnswers};
pub use store::{FILES, certificate_file};

/// Time for one order, with all its challenges.
const ORDER_TIME: Duration = Duration::from_secs(180);
/// Time for a question about the renewal, which is no order.
const QUESTION_TIME: Duration = Duration::from_secs(60);
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
        let mut advice = Advice::new(rand::random());
        loop {
            let facts = self.store.facts();
            let facts = facts.as_ref();
            if let Some(facts) = facts {
                self.take_advice(&mut advice, facts).await;
            }
            let advised_s = facts.and_then(|facts| advice.moment_s(facts));
            let wait = schedule.wait(facts, &self.settings.names, advised_s, now_s());
            if !wait.is_zero() {
                sleep(wait.min(LONGEST_SLEEP)).await;
                continue;
            }
            let replaced = facts.and_then(|facts| advice.replaced(facts));
            match self.obtain(replaced.as_ref()).await {
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

    /// Asks the authority when to renew the certificate, if it is time to. Without an answer it is
    /// renewed as if there were no such question.
    async fn take_advice(&self, advice: &mut Advice, facts: &Facts) {
        let Some(certificate) = advice.question(facts, now_s()) else { return };
        let answer = timeout(QUESTION_TIME, self.ask(&certificate)).await;
        let answer = answer.unwrap_or(Err(Error::Str("an answer in time")));
        if let Err(error) = &answer {
            debug!(%error, "the authority does not say when to renew the certificate");
        }
        let answer = answer.ok();
        advice.heard(certificate, answer.as_ref(), now_s());
        if let (Some(answer), Some(at_s)) = (answer, advice.moment_s(facts)) {
            let hours = at_s.saturating_sub(now_s()) / 3600;
            let reason = answer.explanation.as_deref().map(trouble::cleaned);
            debug!(hours, reason, "the authority has said when to renew the certificate");
        }
    }

    /// Asks the authority about a certificate, in the name of the account that has ordered it.
    async fn ask(&self, certificate: &CertificateIdentifier<'_>) -> Result<Answer, Error> {
        let credentials = self.store.account(self.settings.directory.as_str());
        let credentials = credentials.ok_or(Error::Str("an account at this authority"))?;
        let builder = Account::builder_with_http(Box::new(self.client.clone()));
        let account = builder.from_credentials(credentials).await?;
        renewal::ask(&account, certificate).await
    }

    /// Logs the new certificate.
    fn tell(&self) {
        let Some(facts) = self.store.facts() else { return };
        let names: Vec<_> = self.settings.names.iter().map(Host::to_string).collect();
        let hours = facts.not_after_s.saturating_sub(now_s()) / 3600;
        info!("the public port has a certificate for {}, valid for {hours} h", names.join(", "));
    }

    /// Gets a certificate by the first kind of challenge that works, in place of one that the
    /// authority knows.
    async fn obtain(
        &self,
        replaced: Option<&CertificateIdentifier<'static>>,
    ) -> Result<(), Trouble> {
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
                        debug!(%error, "HTTP challenges cannot be answered");
                        break;
                    }
                },
            };
            let tls = self.certificate.answers();
            let names = &self.settings.names;
            let order = order::obtain(&account, names, replaced, tls, answers.as_ref());
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
