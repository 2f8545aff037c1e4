//! The configured provider: what is known about it, and the exchange of a code for an account.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::sync::{Mutex, Semaphore};
use tracing::warn;
use url::Url;
use url::form_urlencoded::{Serializer, byte_serialize};

use super::discovery::{Discovery, is_plain_and_local};
use super::fetch::{FetchError, Fetcher, Question};
use super::flow::{Flow, Purpose, Seal};
use super::id_token::{Claims, Expected, check};
use super::jwks::Keys;
use super::rules::{Account, EMAIL, EMAIL_VERIFIED, admit, lacks_claims};
use super::{Flaw, Trouble};
use crate::config::{OpenidConnect, ProviderError};

/// Time for which a document of the provider is used: a key that it no longer has counts no longer.
const FRESH: Duration = Duration::from_secs(60 * 60);
/// Least time between two requests for the keys because a token names one that is not known.
const NEW_KEYS: Duration = Duration::from_secs(60);
/// Least time after a failed request for a document.
const RETRY: Duration = Duration::from_secs(5);
/// The most exchanges at once. Each takes less than a second, unless the provider is slow.
const MAX_EXCHANGES: usize = 16;
/// The longest code that is passed on, in bytes.
const MAX_CODE: usize = 4096;
/// The path of the page to which the provider sends browsers back.
const PAGE: &str = "provider";

/// The parameters with which the provider has sent a browser back.
#[derive(Debug, Clone)]
pub(crate) struct Response {
    pub(crate) state: String,
    pub(crate) code: Option<String>,
    /// The issuer of the response (RFC 9207).
    pub(crate) issuer: Option<String>,
    /// The reason why there is no code.
    pub(crate) error: Option<String>,
}

/// The provider of accounts that may sign in here.
#[derive(Debug)]
pub(crate) struct Provider {
    config: OpenidConnect,
    issuer: Url,
    redirect: Url,
    seal: Seal,
    fetcher: Fetcher,
    discovery: Mutex<Kept<Discovery>>,
    keys: Mutex<Kept<Keys>>,
    exchanges: Semaphore,
}

#[derive(Deserialize)]
struct Tokens {
    id_token: String,
    access_token: Option<String>,
}

/// The reason in a refusal (RFC 6749 §5.2).
#[derive(Deserialize)]
struct TokenError {
    error: String,
}

impl Provider {
    /// Creates it for a server with this public address, and a key to seal cookies with.
    pub(crate) fn new(
        config: OpenidConnect,
        base: &Url,
        key: &[u8; 32],
    ) -> Result<Self, ProviderError> {
        let issuer = Url::parse(&config.issuer).map_err(|_| ProviderError::Issuer)?;
        let is_bare = issuer.query().is_none() && issuer.fragment().is_none();
        let is_safe = issuer.scheme() == "https" || is_plain_and_local(&issuer);
        if !is_safe || !is_bare || !issuer.username().is_empty() {
            return Err(ProviderError::Issuer);
        }
        if config.client_id.is_empty() {
            return Err(ProviderError::Client);
        }
        let mut redirect = base.clone();
        redirect.set_path(&format!("{}/{PAGE}", base.path().trim_end_matches('/')));
        let fetcher = Fetcher::new(&config.authorities)
            .map_err(|error| ProviderError::Authorities(error.to_string()))?;
        let exchanges = Semaphore::new(MAX_EXCHANGES);
        let (discovery, keys) = (Mutex::default(), Mutex::default());
        let seal = Seal::new(key);
        Ok(Self { config, issuer, redirect, seal, fetcher, discovery, keys, exchanges })
    }

    pub(crate) fn config(&self) -> &OpenidConnect {
        &self.config
    }

    /// Returns the origin of the pages to which the provider sends browsers back.
    pub(crate) fn origin(&self) -> String {
        self.redirect.origin().ascii_serialization()
    }

    /// Begins a request. Returns the address to which the browser goes, and the value of its
    /// cookie.
    pub(crate) async fn begin(
        &self,
        purpose: Purpose,
        now_s: u64,
    ) -> Result<(String, String), Trouble> {
        let discovery = self.discovery(Instant::now()).await?;
        let flow = Flow::begin(purpose, now_s);
        let mut url = discovery.authorization.clone();
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.config.client_id)
            .append_pair("redirect_uri", self.redirect.as_str())
            .append_pair("scope", &self.scope())
            .append_pair("state", &flow.state)
            .append_pair("nonce", &flow.nonce)
            .append_pair("code_challenge", &flow.challenge())
            .append_pair("code_challenge_method", "S256");
        Ok((url.into(), self.seal.close(&flow)))
    }

    /// Returns the request that a browser has begun, if this is a response to it.
    pub(crate) fn begun<'a>(
        &self,
        cookies: impl Iterator<Item = &'a str>,
        response: &Response,
        now_s: u64,
    ) -> Result<Flow, Trouble> {
        let mut flows = cookies.filter_map(|cookie| self.seal.open(cookie, now_s));
        flows.find(|flow| flow.state == response.state).ok_or(Trouble::NotBegun)
    }

    /// Returns the account with which somebody has signed in at the provider.
    pub(crate) async fn finish(
        &self,
        flow: &Flow,
        response: &Response,
        now_s: u64,
    ) -> Result<Account, Trouble> {
        let _place = self.exchanges.try_acquire().map_err(|_| Trouble::Busy)?;
        let discovery = self.discovery(Instant::now()).await?;
        let names_issuer = response.issuer.is_some() || discovery.names_issuer;
        if names_issuer && response.issuer.as_deref() != Some(&self.config.issuer) {
            return Err(Trouble::Answer(Flaw::Issuer));
        }
        let code = match (&response.code, &response.error) {
            (Some(code), None) if code.len() <= MAX_CODE => code,
            (_, Some(reason)) => return Err(Trouble::Refused(reason_of(reason))),
            _ => return Err(Trouble::Answer(Flaw::Malformed)),
        };
        let tokens = self.exchange(&discovery, flow, code).await?;
        let claims = self.check(&discovery, flow, &tokens.id_token, now_s).await?;
        let claims = self.complete(&discovery, claims, tokens.access_token.as_deref()).await?;
        Ok(admit(&self.config, claims)?)
    }

    fn scope(&self) -> String {
        let others = self.config.scopes.iter().filter(|scope| *scope != "openid");
        others.fold("openid".to_owned(), |all, scope| format!("{all} {scope}"))
    }

    /// Exchanges a code for tokens (RFC 6749 §4.1.3).
    async fn exchange(
        &self,
        discovery: &Discovery,
        flow: &Flow,
        code: &str,
    ) -> Result<Tokens, Trouble> {
        let (form, authorization) = self.code_form(discovery, flow, code);
        let authorization = authorization.as_deref();
        let url = &discovery.token;
        let question = Question { url, authorization, form: Some(&form) };
        let (status, body) = self.fetcher.send(question).await.map_err(unreachable)?;
        if status == StatusCode::OK {
            let tokens = serde_json::from_slice(&body);
            return tokens.map_err(|_| Trouble::Provider(Flaw::Malformed));
        }
        let reason = serde_json::from_slice::<TokenError>(&body).map(|body| reason_of(&body.error));
        let reason = reason.unwrap_or_else(|_| format!("status {status}"));
        warn!(reason, "the OpenID provider has refused a code");
        Err(Trouble::Refused(reason))
    }

    /// Returns the form with a code, and the value of `Authorization` if the secret goes there.
    fn code_form(
        &self,
        discovery: &Discovery,
        flow: &Flow,
        code: &str,
    ) -> (String, Option<String>) {
        let OpenidConnect { client_id, client_secret, .. } = &self.config;
        let mut form = Serializer::new(String::new());
        form.append_pair("grant_type", "authorization_code")
            .append_pair("code", code)
            .append_pair("redirect_uri", self.redirect.as_str())
            .append_pair("code_verifier", &flow.verifier);
        let mut authorization = None;
        match client_secret {
            Some(secret) if discovery.posts_secret => {
                form.append_pair("client_id", client_id).append_pair("client_secret", secret);
            }
            Some(secret) => authorization = Some(basic(client_id, secret)),
            None => {
                form.append_pair("client_id", client_id);
            }
        }
        (form.finish(), authorization)
    }

    /// Checks an ID token, with other keys if the provider may have new ones.
    async fn check(
        &self,
        discovery: &Discovery,
        flow: &Flow,
        token: &str,
        now_s: u64,
    ) -> Result<Claims, Trouble> {
        let expected = Expected {
            issuer: &self.config.issuer,
            client_id: &self.config.client_id,
            nonce: &flow.nonce,
            algorithms: &discovery.algorithms,
            begun_s: flow.begun_s,
            now_s,
        };
        let keys = self.keys(discovery, FRESH).await?;
        match check(token, &keys, &expected) {
            Err(Flaw::UnknownKey) => {
                let keys = self.keys(discovery, NEW_KEYS).await?;
                check(token, &keys, &expected).map_err(Trouble::Answer)
            }
            checked => checked.map_err(Trouble::Answer),
        }
    }

    /// Asks for the statements that the ID token lacks (OpenID Connect Core §5.3). Those of the
    /// token count before others.
    async fn complete(
        &self,
        discovery: &Discovery,
        mut claims: Claims,
        access_token: Option<&str>,
    ) -> Result<Claims, Trouble> {
        let (Some(url), Some(token)) = (&discovery.userinfo, access_token) else {
            return Ok(claims);
        };
        if !lacks_claims(&self.config, &claims) {
            return Ok(claims);
        }
        let authorization = format!("Bearer {token}");
        let question = Question { authorization: Some(&authorization), ..Question::get(url) };
        let body = self.fetcher.document(question).await.map_err(unreachable)?;
        let more: Result<Map<String, Value>, _> = serde_json::from_slice(&body);
        let more = more.map_err(|_| Trouble::Provider(Flaw::Malformed))?;
        if more.get("sub").and_then(Value::as_str) != Some(&claims.subject) {
            return Err(Trouble::Answer(Flaw::Subject));
        }
        add_claims(&mut claims.all, more);
        Ok(claims)
    }

    async fn discovery(&self, now: Instant) -> Result<Arc<Discovery>, Trouble> {
        let mut kept = self.discovery.lock().await;
        let fetched = async {
            let address = Discovery::address(&self.issuer);
            let document = self.fetcher.document(Question::get(&address)).await;
            let document = document.map_err(unreachable)?;
            Discovery::read(&self.config.issuer, &document).map_err(unusable)
        };
        kept.get(now, FRESH, fetched).await
    }

    /// Returns the keys of the provider, which are at most this old if they can be.
    async fn keys(&self, discovery: &Discovery, age: Duration) -> Result<Arc<Keys>, Trouble> {
        let mut kept = self.keys.lock().await;
        let fetched = async {
            let document = self.fetcher.document(Question::get(&discovery.keys)).await;
            Keys::read(&document.map_err(unreachable)?).map_err(unusable)
        };
        kept.get(Instant::now(), age, fetched).await
    }
}

/// Adds the statements that the ID token lacks. An address and whether it is verified belong
/// together: they are never taken from two places.
pub(super) fn add_claims(claims: &mut Map<String, Value>, mut more: Map<String, Value>) {
    if !claims.contains_key(EMAIL) {
        claims.remove(EMAIL_VERIFIED);
    } else if claims.get(EMAIL) != more.get(EMAIL) {
        more.remove(EMAIL_VERIFIED);
    }
    for (name, value) in more {
        claims.entry(name).or_insert(value);
    }
}

/// A document of the provider, with the times of the requests for it.
#[derive(Debug)]
pub(super) struct Kept<T> {
    value: Option<(Instant, Arc<T>)>,
    failure: Option<(Instant, Trouble)>,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self { value: None, failure: None }
    }
}

impl<T> Kept<T> {
    /// Returns what is known if it is younger than `age`, else what is fetched now. After a failure
    /// nothing is fetched for a while.
    pub(super) async fn get(
        &mut self,
        now: Instant,
        age: Duration,
        fetched: impl Future<Output = Result<T, Trouble>>,
    ) -> Result<Arc<T>, Trouble> {
        let passed = |since: &Instant| now.saturating_duration_since(*since);
        if let Some((since, value)) = &self.value
            && passed(since) < age
        {
            return Ok(Arc::clone(value));
        }
        if let Some((since, trouble)) = &self.failure
            && passed(since) < RETRY
        {
            return Err(trouble.clone());
        }
        match fetched.await {
            Ok(value) => {
                let value = Arc::new(value);
                self.value = Some((now, Arc::clone(&value)));
                self.failure = None;
                Ok(value)
            }
            Err(trouble) => {
                self.failure = Some((now, trouble.clone()));
                Err(trouble)
            }
        }
    }
}

fn unreachable(error: FetchError) -> Trouble {
    warn!(%error, "the OpenID provider cannot be reached");
    Trouble::Unreachable(Arc::new(error))
}

fn unusable(flaw: Flaw) -> Trouble {
    warn!(%flaw, "a document of the OpenID provider cannot be used");
    Trouble::Provider(flaw)
}

/// Returns the value of `Authorization` with the secret of a client (RFC 6749 §2.3.1).
fn basic(client_id: &str, secret: &str) -> String {
    let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
    let pair = format!("{}:{}", encoded(client_id), encoded(secret));
    format!("Basic {}", STANDARD.encode(pair))
}

/// Returns the reason of a refusal as it may be shown: a short word of the protocol.
fn reason_of(error: &str) -> String {
    let is_word = error.len() <= 40 && error.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    if is_word { error.to_owned() } else { "for a reason that cannot be shown".to_owned() }
}
