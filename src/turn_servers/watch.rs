//! The task of each TURN server: checks it, and tells the signaling server and the log.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use porthole_signaling::{TurnCondition, TurnConditions, TurnConfig, TurnServer, TurnServers};
use tokio::time::sleep;
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;

use super::check::{self, Outcome};
use super::health::Health;
use crate::netcheck;

/// Most time until the first check of a server, random for each.
const FIRST_WITHIN: Duration = Duration::from_secs(1);

/// The checks of the TURN servers that sessions are offered, as long as it exists.
pub struct Watcher {
    board: Arc<Board>,
    tls: TlsConnector,
    /// The server that is not checked, because it is in this program.
    own: Option<&'static str>,
}

/// The servers that are checked, with their conditions.
struct Board {
    offered: TurnServers,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    entries: BTreeMap<String, Entry>,
    /// The number of the last task.
    last: u64,
}

struct Entry {
    server: TurnServer,
    condition: TurnCondition,
    /// The number of its task: what an earlier one has found does not count.
    number: u64,
    _task: AbortOnDropHandle<()>,
}

impl Watcher {
    /// Checks these servers from now on, except the one with the name `own`.
    pub fn start(
        offered: TurnServers,
        config: Option<&TurnConfig>,
        own: Option<&'static str>,
        tls: TlsConnector,
    ) -> Self {
        let board = Arc::new(Board { offered, state: Mutex::default() });
        let watcher = Self { board, tls, own };
        watcher.follow(config);
        watcher
    }

    /// Offers these servers to new sessions from now on, and checks them. Returns false if they are
    /// the same as before, in which case every task goes on.
    pub fn replace(&self, config: Option<TurnConfig>) -> bool {
        self.follow(config.as_ref());
        self.board.offered.replace(config)
    }

    /// Starts and stops tasks so that each of these servers has one. A server that is the same as
    /// before keeps its task and its condition.
    fn follow(&self, config: Option<&TurnConfig>) {
        let servers = config.map(|config| config.servers.as_slice()).unwrap_or_default();
        let is_checked = |server: &&TurnServer| {
            server.has_users() && self.own.is_none_or(|own| own != server.name)
        };
        let mut state = self.board.lock();
        let mut before = std::mem::take(&mut state.entries);
        for server in servers.iter().filter(is_checked) {
            let kept = before.remove(&server.name).filter(|entry| entry.server == *server);
            let entry = kept.unwrap_or_else(|| self.begin(&mut state.last, server.clone()));
            state.entries.insert(server.name.clone(), entry);
        }
        self.board.offered.set_conditions(state.conditions());
    }

    fn begin(&self, last: &mut u64, server: TurnServer) -> Entry {
        *last += 1;
        let (board, tls) = (Arc::downgrade(&self.board), self.tls.clone());
        let task = tokio::spawn(watch(board, *last, server.clone(), tls));
        let _task = AbortOnDropHandle::new(task);
        Entry { server, condition: TurnCondition::Up, number: *last, _task }
    }
}

/// Checks one server again and again.
async fn watch(board: Weak<Board>, number: u64, server: TurnServer, tls: TlsConnector) {
    let mut health = Health::default();
    sleep(FIRST_WITHIN.mul_f64(rand::random())).await;
    loop {
        let checks = check::check(&server, &tls).await;
        let outcome = check::outcome(&checks);
        tracing::debug!(server = %server.name, ?checks, "the TURN server was checked");
        if let Some(condition) = health.note(&outcome) {
            let Some(board) = board.upgrade() else { return };
            board.note(&server.name, number, condition, &outcome);
        }
        sleep(health.until_next(rand::random())).await;
    }
}

impl Board {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes the new condition of a server, unless it has another task by now.
    fn note(&self, name: &str, number: u64, condition: TurnCondition, outcome: &Outcome) {
        let mut state = self.lock();
        let Some(entry) = state.entries.get_mut(name).filter(|entry| entry.number == number) else {
            return;
        };
        entry.condition = condition;
        let conditions = state.conditions();
        self.offered.set_conditions(conditions);
        let has_other = self.offered.works();
        drop(state);
        report(name, condition, outcome, has_other);
    }
}

impl State {
    fn conditions(&self) -> TurnConditions {
        let row = |(name, entry): (&String, &Entry)| (name.clone(), entry.condition);
        self.entries.iter().map(row).collect()
    }
}

/// Logs the new condition of a server.
fn report(name: &str, condition: TurnCondition, outcome: &Outcome, has_other: bool) {
    let reason = match outcome {
        Outcome::Works => "",
        Outcome::Refuses(reason) | Outcome::Fails(reason) => reason,
    };
    let now = match has_other {
        true => "new sessions are offered others",
        false => "no other works, so that sessions are offered all of them",
    };
    match condition {
        TurnCondition::Up => {
            tracing::info!(server = name, "the TURN server makes allocations again");
        }
        TurnCondition::Draining => {
            tracing::warn!(server = name, "the TURN server takes no new clients ({reason}): {now}");
        }
        TurnCondition::Down => {
            tracing::warn!(server = name, "the TURN server is down ({reason}): {now}");
        }
    }
}

/// Returns the settings of TLS to TURN servers: the authorities that browsers trust, and those in
/// the file. One that cannot be read is the gateway's, and need not be on this machine.
pub fn connector(ca: Option<&Path>) -> anyhow::Result<TlsConnector> {
    netcheck::connector(ca).or_else(|error| {
        tracing::debug!("TURN servers are checked without gateway.ca_certificates: {error:#}");
        netcheck::connector(None)
    })
}
