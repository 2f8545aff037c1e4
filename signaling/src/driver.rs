//! Driver of the hub. One lock guards it, held only while it computes and its outputs are queued;
//! anything that waits (the database, the network) happens outside.
//!
//! Outputs are handled in this order: messages and responses, database lookups, the next deadline.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use porthole_clock::Now;
use porthole_signaling_core::stats::Stats;
use porthole_signaling_core::{
    CameraRemoval, Close, ConnId, Enrolled, Hub, Lookup, LookupId, LookupResult, Output, Principal,
    StoredGateway, TurnUser, WhepRequestId, WhepResponse,
};
use porthole_signaling_proto::rest::{Foreseen, Removed};
use porthole_signaling_proto::rpc::{Fault, code};
use porthole_signaling_proto::{CameraId, GatewayId};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::outbox::Outbox;
use crate::places::Place;
use crate::store::{EnrollOutcome, Removal, RightsEnd, Store, StoreError, TokenLookup};

/// Longest sleep of the timer, when nothing is due.
const IDLE: Duration = Duration::from_secs(60);
/// Pause after a failed write, so that a full disk is not written to all the time.
const PERSIST_RETRY: Duration = Duration::from_secs(5);

/// Time after which a revocation by another process takes effect at the latest. Asking is one read
/// of an empty table.
const REVOCATION_INTERVAL: Duration = Duration::from_millis(500);
/// Time that it waits for other writers of the database.
const REVOCATION_WAIT: Duration = Duration::from_millis(500);

/// The most credentials that wait to be checked. After a restart of the server there is one for
/// each user and token that goes on watching.
const MAX_DOUBTFUL: usize = 65_536;

/// Owns the hub, the database and the tasks of the server.
#[derive(Debug)]
pub(crate) struct Driver {
    state: Mutex<State>,
    pub(crate) store: Store,
    /// Notified when the next deadline has moved forward.
    earlier_deadline: Notify,
    /// Notified when there is something to persist.
    persist_due: Notify,
    pub(crate) tasks: TaskTracker,
    /// Cancelled when every task must end at once.
    pub(crate) abort: CancellationToken,
}

/// The driver's part of a WebSocket.
#[derive(Debug)]
pub(crate) struct Socket {
    /// The queue of outgoing messages.
    pub(crate) outbox: Outbox,
    /// The place of its connection, held until the WebSocket is closed.
    pub(crate) place: Option<Place>,
}

#[derive(Debug)]
struct State {
    hub: Hub,
    sockets: HashMap<ConnId, Socket>,
    whep_requests: HashMap<WhepRequestId, oneshot::Sender<Result<WhepResponse, Fault>>>,
    /// The latest state of each gateway that is not written to the database yet.
    unsaved: BTreeMap<GatewayId, StoredGateway>,
    /// The credentials of sessions of which the hub does not know if they were revoked.
    doubtful: BTreeSet<String>,
    /// Takes the TURN users that have ended.
    ended_turn_users: Option<mpsc::Sender<TurnUser>>,
    last_id: u64,
    /// The number of peers that were disconnected because they did not read.
    slow_peers: u64,
}

/// The lengths of the driver's queues at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Queues {
    /// Messages that wait to be sent, on all WebSockets.
    pub(crate) messages: usize,
    /// The bytes of these messages.
    pub(crate) bytes: usize,
    /// WHEP requests that wait for their response.
    pub(crate) whep_requests: usize,
    /// Gateways that are not written to the database yet.
    pub(crate) unsaved: usize,
    /// Credentials that wait to be checked.
    pub(crate) doubtful: usize,
}

impl Driver {
    pub(crate) fn new(
        mut hub: Hub,
        stored: Vec<StoredGateway>,
        store: Store,
        ended_turn_users: Option<mpsc::Sender<TurnUser>>,
    ) -> Arc<Self> {
        for gateway in stored {
            hub.restore(gateway);
        }
        let state = State {
            hub,
            sockets: HashMap::new(),
            whep_requests: HashMap::new(),
            unsaved: BTreeMap::new(),
            doubtful: BTreeSet::new(),
            ended_turn_users,
            last_id: 0,
            slow_peers: 0,
        };
        Arc::new(Self {
            state: Mutex::new(state),
            store,
            earlier_deadline: Notify::new(),
            persist_due: Notify::new(),
            tasks: TaskTracker::new(),
            abort: CancellationToken::new(),
        })
    }

    /// Calls the hub and applies its outputs.
    pub(crate) fn with<R>(self: &Arc<Self>, act: impl FnOnce(&mut Hub, Now) -> R) -> R {
        let mut state = self.lock();
        let before = state.hub.poll_timeout();
        let now = now();
        let result = act(&mut state.hub, now);
        let lookups = state.apply(now);
        let after = state.hub.poll_timeout();
        let has_unsaved = !state.unsaved.is_empty();
        drop(state);
        if after.is_some_and(|after| before.is_none_or(|before| after < before)) {
            self.earlier_deadline.notify_one();
        }
        if has_unsaved {
            self.persist_due.notify_one();
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

    /// Adds a WebSocket.
    pub(crate) fn open(self: &Arc<Self>, socket: Socket, principal: Option<Principal>) -> ConnId {
        let conn = {
            let mut state = self.lock();
            state.last_id += 1;
            let conn = ConnId(state.last_id);
            state.sockets.insert(conn, socket);
            conn
        };
        self.with(|hub, now| hub.handle_opened(now, conn, principal));
        conn
    }

    /// Removes a WebSocket that is closed.
    pub(crate) fn closed(self: &Arc<Self>, conn: ConnId) {
        self.lock().sockets.remove(&conn);
        self.with(|hub, now| hub.handle_closed(now, conn));
    }

    /// Gives a WHEP request to the hub and waits for the response.
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
        let mut pending = PendingWhepRequest { driver: Arc::clone(self), request, receiver };
        self.with(|hub, now| act(hub, now, request));
        (&mut pending.receiver).await.unwrap_or_else(|_| {
            Err(Fault::new(code::INTERNAL_ERROR, "the server has lost the request; try again"))
        })
    }

    /// Calls the hub at its deadlines until the server stops.
    pub(crate) async fn run_timer(self: Arc<Self>) {
        loop {
            let next = self.lock().hub.poll_timeout();
            let next = next.unwrap_or_else(|| Instant::now() + IDLE);
            tokio::select! {
                () = tokio::time::sleep_until(next.into()) => {
                    self.with(Hub::handle_timeout);
                }
                () = self.earlier_deadline.notified() => {}
                () = self.abort.cancelled() => return,
            }
        }
    }

    /// Writes changed gateways to the database, one after the other, until the server stops.
    pub(crate) async fn run_persist(self: Arc<Self>) {
        loop {
            let first = self.lock().unsaved.pop_first();
            let Some((gateway, stored)) = first else {
                tokio::select! {
                    () = self.persist_due.notified() => continue,
                    () = self.abort.cancelled() => return,
                }
            };
            let saved = self.store.save_gateway(&stored).await;
            if let Err(error) = saved {
                warn!(%gateway, %error, "cannot save the gateway's cameras; sessions go on");
                match error {
                    StoreError::NotWritable(_) | StoreError::Busy => {
                        self.lock().retry_persist(stored);
                    }
                    // It would fail again at once: it waits for the gateway's next report.
                    StoreError::Revoked | StoreError::Other(_) => {
                        self.with(|hub, _| hub.handle_persist_failed(&gateway));
                    }
                }
                tokio::select! {
                    () = tokio::time::sleep(PERSIST_RETRY) => {}
                    () = self.abort.cancelled() => return,
                }
            }
        }
    }

    /// Ends what was started with credentials that were revoked in the database, by this process or
    /// another, and writes down what was counted for the audit log, until the server stops.
    pub(crate) async fn run_revocations(self: Arc<Self>) {
        loop {
            if let Err(error) = self.end_revoked().await {
                warn!(%error, "cannot ask the database what was revoked");
            }
            let driver = Arc::clone(&self);
            // Beside it: writing may take long, and at most one writes in a minute.
            self.tasks.spawn(async move { driver.store.write_refusals().await });
            tokio::select! {
                () = tokio::time::sleep(REVOCATION_INTERVAL) => {}
                () = self.abort.cancelled() => return,
            }
        }
    }

    async fn end_revoked(self: &Arc<Self>) -> Result<(), StoreError> {
        self.end_doubtful().await?;
        let asked_at = Instant::now();
        let revoked = self.store.revoked().await?;
        self.store.times().note_read(asked_at);
        if revoked.is_empty() {
            return Ok(());
        }
        match timeout(REVOCATION_WAIT, self.store.take_revoked()).await {
            // Everything ends while the database cannot change, so that no revocation that comes
            // meanwhile counts as one that has taken effect.
            Ok(Ok(taken)) => {
                self.end_credentials(taken.credentials());
                taken.forget().await
            }
            // Another program writes, or nothing can be written: it ends all the same, and once
            // more until it is written down.
            Ok(Err(error)) => {
                self.end_credentials(&revoked);
                Err(error)
            }
            Err(_) => {
                self.end_credentials(&revoked);
                Ok(())
            }
        }
    }

    /// Ends what goes on with credentials that the hub has asked about, if they are gone.
    async fn end_doubtful(self: &Arc<Self>) -> Result<(), StoreError> {
        let doubtful = std::mem::take(&mut self.lock().doubtful);
        if doubtful.is_empty() {
            return Ok(());
        }
        match self.store.without_existing(&doubtful).await {
            Ok(gone) => {
                self.end_credentials(&gone);
                Ok(())
            }
            Err(error) => {
                self.lock().doubtful.extend(doubtful);
                Err(error)
            }
        }
    }

    /// Ends what was started with credentials that were removed by a request. Returns everything
    /// that was removed with them.
    pub(crate) fn end_removed(self: &Arc<Self>, removal: Removal) -> Removed {
        let sessions = self.end_credentials(&removal.credentials);
        removal.with_sessions(sessions)
    }

    /// Returns everything that a removal would take: it was only looked at, and ends nothing.
    pub(crate) fn foresee(
        &self,
        mut removal: Removal,
        camera: Option<(&GatewayId, &CameraId)>,
    ) -> Foreseen {
        let sessions = self.lock().hub.count_sessions(&removal.credentials, camera);
        let names = std::mem::take(&mut removal.names);
        Foreseen { removed: removal.with_sessions(sessions), names }
    }

    /// Ends what was started with rights to a camera that were taken in the database. Returns
    /// everything that was removed with them.
    pub(crate) fn end_rights(
        self: &Arc<Self>,
        gateway: &GatewayId,
        camera: &CameraId,
        removal: Removal,
    ) -> Removed {
        let sessions = self.with(|hub, now| hub.handle_rights_taken(now, gateway, camera));
        let of_credentials = self.end_credentials(&removal.credentials);
        removal.with_sessions(sessions + of_credentials)
    }

    /// Returns the number of sessions that have ended.
    fn end_credentials(self: &Arc<Self>, credentials: &[String]) -> usize {
        let end = |credential: &String| {
            let gateway =
                credential.strip_prefix("gateway:").and_then(|id| id.parse::<GatewayId>().ok());
            let changed = credential.strip_prefix("changed:");
            self.with(|hub, now| match (gateway, changed) {
                (Some(gateway), _) => hub.handle_gateway_removed(now, &gateway),
                (None, Some(changed)) => hub.handle_rights_changed(now, changed),
                (None, None) => hub.handle_revoked(now, credential),
            })
        };
        credentials.iter().map(end).sum()
    }

    /// Writes down that a credential was used, in a task of its own and once a minute at most.
    pub(crate) fn note_use(self: &Arc<Self>, principal: &Principal) {
        if !self.store.is_use_due(principal.credential()) {
            return;
        }
        let (driver, credential) = (Arc::clone(self), principal.credential().to_owned());
        self.tasks.spawn(async move {
            if let Err(error) = driver.store.note_use(&credential).await {
                debug!(%error, "cannot write down the use of a credential");
            }
        });
    }

    /// Returns the hub's numbers, the lengths of the queues, and the number of peers that were
    /// disconnected because they did not read.
    pub(crate) fn measure(&self) -> (Stats, Queues, u64) {
        let state = self.lock();
        let (mut messages, mut bytes) = (0, 0);
        for socket in state.sockets.values() {
            let (queued, queued_bytes) = socket.outbox.queued();
            messages += queued;
            bytes += queued_bytes;
        }
        let queues = Queues {
            messages,
            bytes,
            whep_requests: state.whep_requests.len(),
            unsaved: state.unsaved.len(),
            doubtful: state.doubtful.len(),
        };
        (state.hub.stats(), queues, state.slow_peers)
    }

    /// Returns true while a change is not written to the database yet.
    pub(crate) fn has_unsaved(&self) -> bool {
        !self.lock().unsaved.is_empty()
    }

    async fn look_up(self: &Arc<Self>, lookup: Lookup) -> LookupResult {
        match lookup {
            Lookup::Token(token) => {
                let owner = self.authenticate_token(&token).await;
                if let Ok(owner) = &owner {
                    self.note_use(owner);
                }
                LookupResult::Token(owner)
            }
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
                let outcome = self.store.enroll(&claim, &gateway, &public_key, &name).await;
                LookupResult::Enrolled(outcome.map_err(storage_fault).and_then(check_enrolled))
            }
            Lookup::TakeRights(removal) => {
                let CameraRemoval { granted, camera, before, is_hidden, .. } = *removal;
                let gateway = granted.object();
                let end = match before {
                    _ if is_hidden => RightsEnd::Hidden,
                    None => RightsEnd::Removing,
                    Some(before) => RightsEnd::Removed(before),
                };
                let taken = self.store.take_rights(&granted, gateway, &camera, end).await;
                let end = |removal: Removal| match is_hidden {
                    true => removal.removed,
                    false => self.end_rights(gateway, &camera, removal),
                };
                LookupResult::RightsTaken(taken.map(end).map_err(storage_fault))
            }
            Lookup::WriteDown(change) => {
                self.store.note_camera_change(&change).await;
                LookupResult::Written
            }
        }
    }

    /// Returns the owner of an access token.
    pub(crate) async fn authenticate_token(&self, token: &str) -> Result<Principal, Fault> {
        let unauthorized = |text| Err(Fault::new(code::UNAUTHORIZED, text));
        let takings = self.takings();
        match self.store.find_token(token).await.map_err(storage_fault)? {
            TokenLookup::Valid(principal) => Ok(principal.as_of(takings)),
            TokenLookup::Expired => unauthorized("the access token has expired; create a new one"),
            TokenLookup::Locked => {
                unauthorized("the link needs its password: open it with `POST /api/v1/shares/open`")
            }
            TokenLookup::Unknown => unauthorized("the access token is not known here"),
        }
    }

    /// Returns how many cameras have lost their rights since the start, to be asked before rights
    /// are read.
    pub(crate) fn takings(&self) -> u64 {
        self.lock().hub.takings()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The hub does not panic in the middle of a change, so its state is consistent.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Applies the hub's outputs. Returns the lookups, which have to wait for the database.
    fn apply(&mut self, now: Now) -> Vec<(LookupId, Lookup)> {
        let mut lookups = Vec::new();
        while let Some(output) = self.hub.poll_output() {
            match output {
                Output::Send { to, message } => self.send(now, to, message.to_json()),
                Output::Close { conn, close } => {
                    if let Some(socket) = self.sockets.remove(&conn) {
                        socket.outbox.close(close);
                    }
                }
                Output::WhepResponse { request, outcome } => {
                    if let Some(sender) = self.whep_requests.remove(&request) {
                        // The HTTP client may have disconnected at this moment.
                        drop(sender.send(outcome));
                    }
                }
                Output::Registered { conn, owner } => self.note_owner(conn, &owner),
                Output::Lookup { id, lookup } => lookups.push((id, lookup)),
                Output::TurnUserEnded(user) => {
                    let ended = self.ended_turn_users.as_ref();
                    if ended.is_some_and(|ended| ended.try_send(user).is_err()) {
                        warn!("too many TURN users have ended at once: one keeps its relays");
                    }
                }
                Output::CheckCredentials(credentials) => {
                    let room = MAX_DOUBTFUL.saturating_sub(self.doubtful.len());
                    self.doubtful.extend(credentials.into_iter().take(room));
                }
                Output::Persist(stored) => {
                    self.unsaved.insert(stored.id.clone(), stored);
                }
            }
        }
        lookups
    }

    /// Gives a registered WebSocket a place that no stranger can take.
    fn note_owner(&self, conn: ConnId, owner: &str) {
        let place = self.sockets.get(&conn).and_then(|socket| socket.place.as_ref());
        // With too many places its owner keeps a stranger's, which may have to make room.
        let full = place.is_some_and(|place| place.note_owner(owner).is_err());
        if full {
            debug!(conn = conn.0, "too many connections of this user or token");
        }
    }

    /// Puts back what could not be written, unless there is something newer.
    fn retry_persist(&mut self, stored: StoredGateway) {
        self.unsaved.entry(stored.id.clone()).or_insert(stored);
    }

    /// Queues a message. A peer whose queue is full is disconnected, so that others need not wait
    /// for it.
    fn send(&mut self, now: Now, to: ConnId, json: String) {
        let Some(socket) = self.sockets.get(&to) else { return };
        if socket.outbox.send(json).is_err() {
            self.slow_peers += 1;
            if let Some(socket) = self.sockets.remove(&to) {
                socket.outbox.close(Close::TOO_SLOW);
            }
            self.hub.handle_closed(now, to);
        }
    }
}

/// Tells the hub when an HTTP client disconnects before it has got its response.
struct PendingWhepRequest {
    driver: Arc<Driver>,
    request: WhepRequestId,
    receiver: oneshot::Receiver<Result<WhepResponse, Fault>>,
}

impl Drop for PendingWhepRequest {
    fn drop(&mut self) {
        if self.driver.lock().whep_requests.remove(&self.request).is_some() {
            self.driver.with(|hub, now| hub.handle_whep_abandoned(now, self.request));
        } else if let Ok(Ok(response)) = self.receiver.try_recv() {
            // It arrived just when the client disconnected.
            self.driver.with(|hub, now| hub.handle_whep_undelivered(now, &response));
        }
    }
}

fn check_enrolled(outcome: EnrollOutcome) -> Result<Enrolled, Fault> {
    match outcome {
        EnrollOutcome::Enrolled(enrolled) => Ok(enrolled),
        EnrollOutcome::ClaimExpired => Err(Fault::new(
            code::FORBIDDEN,
            "the claim code has expired; make a new one with `porthole claim create`",
        )),
        EnrollOutcome::ClaimUnknown => Err(Fault::new(
            code::FORBIDDEN,
            "the claim code is wrong or has already been used; \
             make a new one with `porthole claim create`",
        )),
    }
}

/// Logs a failure of the database and makes the fault to answer with.
pub(crate) fn storage_fault(error: StoreError) -> Fault {
    if let StoreError::Revoked = error {
        return Fault::new(code::UNAUTHORIZED, error.to_string());
    }
    warn!(%error, "the database failed");
    match error {
        StoreError::NotWritable(_) => Fault::new(
            code::STORAGE_FULL,
            "the server cannot write to its data folder: make room on its disk, or correct the \
             folder's permissions",
        ),
        StoreError::Busy => Fault::new(code::INTERNAL_ERROR, "the database is busy; try again"),
        StoreError::Revoked | StoreError::Other(_) => {
            Fault::new(code::INTERNAL_ERROR, "the database failed; see the server's log")
        }
    }
}

pub(crate) fn now() -> Now {
    Now { instant: Instant::now(), unix_s: crate::store::unix_s() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_failed_write_is_retried_unless_there_is_a_newer_record() {
        let data = tempfile::tempdir().unwrap();
        let store = Store::open(data.path()).await.unwrap();
        let hub = Hub::new(porthole_signaling_core::Config::default(), [7; 32]);
        let driver = Driver::new(hub, Vec::new(), store, None);
        let gateway: GatewayId = "gw-a".parse().unwrap();
        let record = |name: &str| StoredGateway {
            id: gateway.clone(),
            name: name.to_owned(),
            renamed: false,
            seen_s: None,
            cameras: Vec::new(),
        };
        for (newer, expected) in [(None, "failed"), (Some("newer"), "newer")] {
            let mut state = driver.lock();
            state.unsaved.clear();
            if let Some(newer) = newer {
                state.unsaved.insert(gateway.clone(), record(newer));
            }
            state.retry_persist(record("failed"));
            assert_eq!(state.unsaved[&gateway].name, expected);
        }
        assert!(driver.has_unsaved());
    }
}
