//! One check of a TURN server: an allocation over each transport of its URLs, deleted at once.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use porthole_signaling::TurnServer;
use porthole_turn_proto::Transport;
use porthole_turn_proto::uri::{Scheme, ServerUri};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::CREDENTIALS_LIFETIME;
use crate::config::Account;
use crate::netcheck;

/// The id of the TURN user of the checks. No session and no viewer has it, so that the quota for
/// one user at the TURN server bounds what the checks could leave there.
const USER: &str = "health-check";

/// Time for the check of one URL, with the lookup of its name, in both address families.
const URL_TIMEOUT: Duration = Duration::from_secs(8);

/// The outcome of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The server has made an allocation.
    Works,
    /// The server answers, and takes no new clients: it drains, is full or names another one.
    Refuses(String),
    /// The server does not answer, or cannot be used. Says why.
    Fails(String),
}

/// The check of one URL.
#[derive(Debug)]
pub struct UrlCheck {
    pub transport: Transport,
    pub outcome: Outcome,
}

/// Checks each `turn:` and `turns:` URL of a server at the same time, except those over DTLS, which
/// clients of ours do not speak.
pub async fn check(server: &TurnServer, tls: &TlsConnector) -> Vec<UrlCheck> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let expiry_unix_s = (now + CREDENTIALS_LIFETIME).as_secs();
    let (name, password) = server.credentials(USER, expiry_unix_s);
    let account = Account { name, password: password.into() };
    let mut running = JoinSet::new();
    for (index, uri) in server.urls.iter().filter_map(|url| checked_uri(url)).enumerate() {
        let (account, tls) = (account.clone(), tls.clone());
        running.spawn(async move {
            let allocating = netcheck::allocate(&uri, &account, &tls);
            let allocated = timeout(URL_TIMEOUT, allocating).await;
            let late = || Outcome::Fails("no response in time".to_owned());
            let outcome = allocated.map_or_else(|_| late(), outcome_of);
            (index, UrlCheck { transport: uri.transport, outcome })
        });
    }
    let mut checks = running.join_all().await;
    checks.sort_by_key(|(index, _)| *index);
    checks.into_iter().map(|(_, check)| check).collect()
}

/// Returns the URI if it is one of a relay that can be checked.
fn checked_uri(url: &str) -> Option<ServerUri> {
    let uri = ServerUri::parse(url)?;
    let relays = matches!(uri.scheme, Scheme::Turn | Scheme::Turns);
    (relays && uri.transport != Transport::Dtls).then_some(uri)
}

fn outcome_of(result: Result<(), netcheck::NotAllocated>) -> Outcome {
    match result {
        Ok(()) => Outcome::Works,
        Err(netcheck::NotAllocated::Refused(reason)) => Outcome::Refuses(reason),
        Err(netcheck::NotAllocated::Failed(reason)) => Outcome::Fails(reason),
    }
}

/// Returns the outcome for a server: it works if one of its URLs does, and takes no new clients if
/// one says so and none works. One whose URLs cannot be checked counts as working.
pub fn outcome(checks: &[UrlCheck]) -> Outcome {
    let rank = |outcome: &Outcome| match outcome {
        Outcome::Works => 0,
        Outcome::Refuses(_) => 1,
        Outcome::Fails(_) => 2,
    };
    // Of equals it is the first one: servers are listed with UDP first.
    let best = checks.iter().map(|check| &check.outcome).min_by_key(|outcome| rank(outcome));
    best.cloned().unwrap_or(Outcome::Works)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_as_good_as_the_best_of_its_urls() {
        let refuses = || Outcome::Refuses("full".to_owned());
        let fails = |why: &str| Outcome::Fails(why.to_owned());
        for (outcomes, expected) in [
            (vec![], Outcome::Works),
            (vec![fails("a"), Outcome::Works, refuses()], Outcome::Works),
            (vec![fails("a"), refuses()], refuses()),
            (vec![fails("a"), fails("b")], fails("a")),
        ] {
            let check = |outcome| UrlCheck { transport: Transport::Udp, outcome };
            let checks: Vec<_> = outcomes.into_iter().map(check).collect();
            assert_eq!(outcome(&checks), expected, "{checks:?}");
        }
    }

    #[test]
    fn relays_are_checked_over_all_transports_but_dtls() {
        for (url, is_checked) in [
            ("turn:a", true),
            ("turn:a?transport=tcp", true),
            ("turns:a", true),
            ("turns:a?transport=udp", false),
            ("stun:a", false),
            ("http://a", false),
        ] {
            assert_eq!(checked_uri(url).is_some(), is_checked, "{url}");
        }
    }
}
