//! Drives the hub: one lock, held only while it thinks; what it wants is done outside.
//!
//! Priorities, in order: what the hub wants sent, what it wants looked up, its deadlines.

use crate::{
    line::{Line, Outgoing},
    store::{Claimed, Store, StoreError, TokenLookup},
};
use porthole_clock::Now;
use porthole_signaling_core::{
    Close, ConnId, Hub, Lookup, LookupId, LookupResult, Output, Principal, StoredGateway,
    WhepRequestId, WhepResponse,
};
use porthole_signaling_proto::{
    CameraId, GatewayId,
    rpc::{Fault, code},
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::{Notify, oneshot};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::warn;

/// How long the timer sleeps when nothing is due.
const IDLE: Duration = Duration::from_secs(60);
/// How long to leave a data folder alone that could not be written.
const PERSIST_RETRY: Duration = Duration::from_secs(5);

/// The hub, with everybody who waits for it.
#[derive(Debug)]
pub(crate) struct Driver {
    state: Mutex<State>,
    pub(crate) store: Store,
    /// The next deadline has become an earlier one.
    earlier: Notify,
    /// Something is to be written down.
    persist_wanted: Notify,
    pub(crate) tasks: TaskTracker,
    /// Everything ends now.
    pub(crate) abort: CancellationToken,
}

#[derive(Debug)]
struct State {
    hub: Hub,
    lines: HashMap<ConnId, Line>,
    whep_requests: HashMap<WhepRequestId, oneshot::Sender<Result<WhepResponse, Fault>>>,
    /// What is to be written down of each gateway; the newest counts.
    to_persist: BTreeMap<GatewayId, GatewayRecord>,
    last_id: u64,
}

#[derive(Debug)]
struct GatewayRecord {
    name: String,
    cameras: Vec<(CameraId, String)>,
}

impl Driver {
    pub(crate) fn new(mut hub: Hub, stored: Vec<StoredGateway>, store: Store) -> Arc<Self> {
        for gateway in stored {
            hub.restore(gateway);
        }
        let state = State {
            hub,
            lines: HashMap::new(),
            whep_requests: HashMap::new(),
            to_persist: BTreeMap::new(),
            last_id: 0,
        };
        Arc::new(Self {
            state: Mutex::new(state),
            store,
            earlier: Notify::new(),
            persist_wanted: Notify::new(),
            tasks: TaskTracker::new(),
            abort: CancellationToken::new(),
        })
    }

    /// Lets the hub do something, and does what it wants.
    pub(crate) fn with<R>(self: &Arc<Self>, act: impl FnOnce(&mut Hub, Now) -> R) -> R {
        let mut state = self.lock();
        let before = state.hub.poll_timeout();
        let now = now();
        let result = act(&mut state.hub, now);
        let lookups = state.apply(now);
        let after = state.hub.poll_timeout();
        let to_persist = !state.to_persist.is_empty();
        drop(state);
        if after.is_some_and(|after| before.is_none_or(|before| after < before)) {
            self.earlier.notify_one();
        }
        if to_persist {
            self.persist_wanted.notify_one();
        }
        for (id, lookup) in lookups {
            self.spawn_lookup(id, lookup);
        }
        result
    }

    fn spawn_lookup(self: &Arc<Self>, id: LookupId, lookup: Lookup) {
        let driver = Arc::clone(self);
        self.tasks.spawn(async move {
            let result = driver.look_up(lookup).await;
            driver.with(|hub, now| hub.handle_lookup_result(now, id, result));
        });
    }

    /// A WebSocket is open; the hub hears of it and its outputs go down this line.
    pub(crate) fn open(self: &Arc<Self>, line: Line, principal: Option<Principal>) -> ConnId {
        let conn = {
            let mut state = self.lock();
            state.last_id += 1;
            let conn = ConnId(state.last_id);
            state.lines.insert(conn, line);
            conn
        };
        self.with(|hub, now| hub.handle_opened(now, conn, principal));
        conn
    }

    pub(crate) fn closed(self: &Arc<Self>, conn: ConnId) {
        self.lock().lines.remove(&conn);
        self.with(|hub, now| hub.handle_closed(now, conn));
    }

    /// Lets the hub do something that has an answer, and waits for it.
    pub(crate) async fn whep_request(
        self: &Arc<Self>,
        act: impl FnOnce(&mut Hub, Now, WhepRequestId),
    ) -> Result<WhepResponse, Fault> {
        let (sender, receiver) = oneshot::channel();
        let request = {
            let mut state = self.lock();
            state.last_id += 1;
            let request = WhepRequestId(state.last_id);
            state.whep_requests.insert(request, sender);
            request
        };
        let _gone = PendingWhepRequest { driver: Arc::clone(self), request };
        self.with(|hub, now| act(hub, now, request));
        receiver.await.unwrap_or_else(|_| {
            Err(Fault::new(code::INTERNAL_ERROR, "the server has lost the request; try again"))
        })
    }

    /// Deadlines, until the end.
    pub(crate) async fn run_timer(self: Arc<Self>) {
        loop {
            let next = self.lock().hub.poll_timeout();
            let next = next.unwrap_or_else(|| Instant::now() + IDLE);
            tokio::select! {
                () = tokio::time::sleep_until(next.into()) => {
                    self.with(Hub::handle_timeout);
                }
                () = self.earlier.notified() => {}
                () = self.abort.cancelled() => return,
            }
        }
    }

    /// Writes down what is to be record, one gateway after the other, until the end.
    pub(crate) async fn run_persist(self: Arc<Self>) {
        loop {
            let first = self.lock().to_persist.pop_first();
            let Some((gateway, record)) = first else {
                tokio::select! {
                    () = self.persist_wanted.notified() => continue,
                    () = self.abort.cancelled() => return,
                }
            };
            let done = self.store.save_gateway(&gateway, &record.name, &record.cameras).await;
            if let Err(error) = done {
                warn!(%gateway, %error, "its cameras could not be written down; watching goes on");
                match error {
                    StoreError::NotWritable(_) | StoreError::Busy => {
                        self.lock().retry_persist(gateway, record);
                    }
                    // It would fail again: it has to wait until the gateway says it again.
                    StoreError::Other(_) => self.with(|hub, _| hub.handle_persist_failed(&gateway)),
                }
                tokio::select! {
                    () = tokio::time::sleep(PERSIST_RETRY) => {}
                    () = self.abort.cancelled() => return,
                }
            }
        }
    }

    pub(crate) fn has_to_persist(&self) -> bool {
        !self.lock().to_persist.is_empty()
    }

    async fn look_up(&self, lookup: Lookup) -> LookupResult {
        match lookup {
            Lookup::Token(token) => LookupResult::Token(self.authenticate_token(&token).await),
            Lookup::GatewayKey(gateway) => {
                let key = self.store.gateway_key(&gateway).await;
                LookupResult::GatewayKey(key.map_err(storage_fault).and_then(|key| {
                    key.ok_or_else(|| {
                        let text = "this gateway is not known here; enroll it with a claim code";
                        Fault::new(code::UNAUTHORIZED, text)
                    })
                }))
            }
            Lookup::Enroll { claim, gateway, public_key, name } => {
                let done = self.store.enroll(&claim, &gateway, &public_key, &name).await;
                LookupResult::Enrolled(done.map_err(storage_fault).and_then(claim_outcome))
            }
        }
    }

    /// Whose access token it is.
    pub(crate) async fn authenticate_token(&self, token: &str) -> Result<Principal, Fault> {
        let no = |text| Err(Fault::new(code::UNAUTHORIZED, text));
        match self.store.find_token(token).await.map_err(storage_fault)? {
            TokenLookup::Somebody(principal) => Ok(principal),
            TokenLookup::Expired => no("the access token has expired; make a new one"),
            TokenLookup::Nobody => no("the access token is not known here"),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The hub does not panic half way through a change that others would trip over.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Everything that does not wait; gives back what does.
    fn apply(&mut self, now: Now) -> Vec<(LookupId, Lookup)> {
        let mut lookups = Vec::new();
        while let Some(output) = self.hub.poll_output() {
            match output {
                Output::Send { to, message } => self.send(now, to, &message.to_json()),
                Output::Close { conn, close } => {
                    if let Some(line) = self.lines.remove(&conn) {
                        line.close(close);
                    }
                }
                Output::WhepResponse { request, outcome } => {
                    if let Some(sender) = self.whep_requests.remove(&request) {
                        // Whoever waited may have gone this moment.
                        drop(sender.send(outcome));
                    }
                }
                Output::Lookup { id, lookup } => lookups.push((id, lookup)),
                Output::Persist { gateway, name, cameras } => {
                    self.to_persist.insert(gateway, GatewayRecord { name, cameras });
                }
            }
        }
        lookups
    }

    /// It could not be written down; it is tried again unless there is a newer one.
    fn retry_persist(&mut self, gateway: GatewayId, record: GatewayRecord) {
        self.to_persist.entry(gateway).or_insert(record);
    }

    /// Who does not read what was sent to them is let go, and nobody else waits for them.
    fn send(&mut self, now: Now, to: ConnId, json: &str) {
        let Some(line) = self.lines.get(&to) else { return };
        if line.send(Outgoing::new(json)).is_err() {
            if let Some(line) = self.lines.remove(&to) {
                line.close(Close::TOO_SLOW);
            }
            self.hub.handle_closed(now, to);
        }
    }
}

/// Somebody waits for a reply; when they go, the hub hears of it.
struct PendingWhepRequest {
    driver: Arc<Driver>,
    request: WhepRequestId,
}

impl Drop for PendingWhepRequest {
    fn drop(&mut self) {
        if self.driver.lock().whep_requests.remove(&self.request).is_some() {
            self.driver.with(|hub, _| hub.handle_whep_abandoned(self.request));
        }
    }
}

fn claim_outcome(claimed: Claimed) -> Result<(), Fault> {
    match claimed {
        Claimed::Yes => Ok(()),
        Claimed::Expired => Err(Fault::new(
            code::FORBIDDEN,
            "the claim code has expired; make a new one with `porthole claim create`",
        )),
        Claimed::Unknown => Err(Fault::new(
            code::FORBIDDEN,
            "the claim code is wrong or was used already; \
             make a new one with `porthole claim create`",
        )),
    }
}

pub(crate) fn storage_fault(error: StoreError) -> Fault {
    warn!(%error, "the database failed");
    match error {
        StoreError::NotWritable(_) => Fault::new(
            code::STORAGE_FULL,
            "the server cannot write to its data folder: make room on its disk, or mend the \
             folder's permissions",
        ),
        StoreError::Busy => Fault::new(code::INTERNAL_ERROR, "the database is busy; try again"),
        StoreError::Other(_) => {
            Fault::new(code::INTERNAL_ERROR, "the database failed; the server's log says how")
        }
    }
}

fn now() -> Now {
    Now { instant: Instant::now(), unix_s: crate::store::unix_s() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_could_not_be_written_down_is_tried_again_unless_there_is_newer() {
        let data = tempfile::tempdir().unwrap();
        let store = Store::open(data.path()).await.unwrap();
        let hub = Hub::new(porthole_signaling_core::Config::default(), [7; 32]);
        let driver = Driver::new(hub, Vec::new(), store);
        let record = |name: &str| GatewayRecord { name: name.to_owned(), cameras: Vec::new() };
        let gateway: GatewayId = "gw-a".parse().unwrap();
        for (newer, expected) in [(None, "failed"), (Some("newer"), "newer")] {
            let mut state = driver.lock();
            state.to_persist.clear();
            if let Some(newer) = newer {
                state.to_persist.insert(gateway.clone(), record(newer));
            }
            state.retry_persist(gateway.clone(), record("failed"));
            assert_eq!(state.to_persist[&gateway].name, expected);
        }
        assert!(driver.has_to_persist());
    }
}
