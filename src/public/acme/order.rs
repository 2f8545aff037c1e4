//! One order of a certificate.

use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, CertificateIdentifier, ChallengeType, Error, Identifier,
    NewOrder, Order, OrderStatus, RetryPolicy,
};
use tracing::debug;
use url::Host;

use super::challenge::{HttpAnswers, TlsAnswers, address};
use super::trouble::Trouble;

/// The profile of certificates for IP addresses at Let's Encrypt, valid for about six days.
const SHORT_LIVED: &str = "shortlived";
/// Time in which an authority checks the answers, and later makes the certificate.
const PATIENCE: Duration = Duration::from_secs(75);

/// The kind of challenge that is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// At the public port.
    TlsAlpn,
    /// At port 80.
    Http,
}

impl Kind {
    fn challenge(self) -> ChallengeType {
        match self {
            Self::TlsAlpn => ChallengeType::TlsAlpn01,
            Self::Http => ChallengeType::Http01,
        }
    }
}

/// A certificate with its intermediates, and its key, both in PEM.
pub(super) struct Issued {
    pub(super) chain: String,
    pub(super) key: String,
}

/// The answers of an order by TLS, which end with it.
struct Answers<'a> {
    tls: &'a TlsAnswers,
    http: Option<&'a HttpAnswers>,
}

impl Drop for Answers<'_> {
    fn drop(&mut self) {
        self.tls.clear();
    }
}

/// Orders a certificate, in place of another one if there is one to replace. Challenges are
/// answered by HTTP if there is an `http`, else by TLS.
pub(super) async fn obtain(
    account: &Account,
    names: &[Host],
    replaced: Option<&CertificateIdentifier<'static>>,
    tls: &TlsAnswers,
    http: Option<&HttpAnswers>,
) -> Result<Issued, Trouble> {
    let kind = if http.is_some() { Kind::Http } else { Kind::TlsAlpn };
    let identifiers: Vec<_> = names.iter().map(identifier).collect();
    let has_address = names.iter().any(|name| address(name).is_some());
    let is_short = has_address && account.profiles().any(|profile| profile.name == SHORT_LIVED);
    let plain = || {
        let new_order = NewOrder::new(&identifiers);
        if is_short { new_order.profile(SHORT_LIVED) } else { new_order }
    };
    let mut order = match replaced {
        Some(replaced) => replace(account, plain, replaced).await?,
        None => account.new_order(&plain()).await?,
    };
    let answers = Answers { tls, http };
    let checked = check(&mut order, kind, &answers).await;
    if let Err(trouble) = checked {
        // The authorizations say more than the order.
        return Err(refusal(&mut order, kind).await.unwrap_or(trouble));
    }
    drop(answers);
    let key = order.finalize().await?;
    let chain = order.poll_certificate(&RetryPolicy::new().timeout(PATIENCE)).await;
    let chain = chain.map_err(|error| Trouble::from(error).after_issue())?;
    Ok(Issued { chain, key })
}

/// Places an order that replaces a certificate (RFC 9773 §5), which authorities count less. If it
/// is refused, for example because another order has replaced it, it is an order like any other.
async fn replace<'a>(
    account: &Account,
    plain: impl Fn() -> NewOrder<'a>,
    replaced: &CertificateIdentifier<'static>,
) -> Result<Order, Error> {
    match account.new_order(&plain().replaces(replaced.clone())).await {
        Ok(order) => Ok(order),
        Err(error) => {
            debug!(%error, "the authority does not let an order replace the certificate");
            account.new_order(&plain()).await
        }
    }
}

fn identifier(name: &Host) -> Identifier {
    match name {
        Host::Domain(name) => Identifier::Dns(name.clone()),
        Host::Ipv4(address) => Identifier::Ip((*address).into()),
        Host::Ipv6(address) => Identifier::Ip((*address).into()),
    }
}

/// Answers the challenges and waits until the authority has checked the answers.
async fn check(order: &mut Order, kind: Kind, answers: &Answers<'_>) -> Result<(), Trouble> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        // Authorities remember answers for some time.
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let name = authorization.identifier().to_string();
        let challenge = authorization.challenge(kind.challenge());
        let mut challenge = challenge.ok_or_else(|| Trouble::no_challenge(&name))?;
        let text = challenge.key_authorization();
        match answers.http {
            Some(http) => http.add(&challenge.token, text.as_str()),
            None => {
                let host = Host::parse(&bracketed(&name));
                let host = host.map_err(|_| Trouble::no_challenge(&name))?;
                let added = answers.tls.add(&host, text.digest().as_ref());
                added.map_err(|error| Trouble::Local(error.to_string()))?;
            }
        }
        challenge.set_ready().await?;
    }
    match order.poll_ready(&RetryPolicy::new().timeout(PATIENCE)).await? {
        OrderStatus::Ready | OrderStatus::Valid | OrderStatus::Processing => Ok(()),
        OrderStatus::Pending | OrderStatus::Invalid => Err(Trouble::refused()),
    }
}

/// Returns a name as `Host` reads it: an address of IPv6 in brackets.
fn bracketed(name: &str) -> String {
    if name.contains(':') { format!("[{name}]") } else { name.to_owned() }
}

/// Returns the reason why the authority has refused an answer.
async fn refusal(order: &mut Order, kind: Kind) -> Option<Trouble> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.ok()?;
        let state = authorization.refresh().await.ok()?;
        let name = state.identifier().to_string();
        let mut challenges = state.challenges.iter();
        if let Some(problem) = challenges.find_map(|challenge| challenge.error.as_ref()) {
            return Some(Trouble::at(&name, kind, problem));
        }
    }
    None
}
