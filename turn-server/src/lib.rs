//! The STUN/TURN server: sockets and threads around [`porthole_turn_proto`].
//!
//! A server is one worker thread per core. Each worker has its own listening sockets (the kernel
//! spreads clients over them with SO_REUSEPORT), its own relay sockets and its own [`proto
//! server`](porthole_turn_proto::server), so relaying a packet takes no lock and involves no other
//! thread. The exception is a client that has moved (RFC 8016) to an address whose packets the
//! kernel gives to another worker: that worker hands them over. The workers share the port range
//! (atomic bits) and the quota (a lock taken once per allocation).
//!
//! Modules, from the bottom up: `net` and `tls` (sockets, certificates), `relay` and `tcp`
//! (relayed addresses, connections), `config` (settings and their checks), `control` (the
//! handle's end of a worker), `worker` (the thread), `start` (from a configuration to
//! workers). A module uses only those before it.
//!
//! Architecture invariant: nothing here decides about a message; nothing here blocks but `poll`.

#![warn(missing_docs)]

mod config;
mod control;
mod error;
mod net;
mod quota;
mod relay;
mod slots;
mod start;
mod tcp;
mod tls;
mod watcher;
mod worker;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use config::changes;
use config::check::check;
use config::settings::Settings;
use control::{Command, Control, PendingReply};
use net::addresses::{ListenerKind, own_addresses};
use net::{addresses, open_files};
use relay::offload;
use relay::offload::FastPath;
use tls::certificates;
use tls::certificates::Certificates;
use watcher::Watcher;

pub use config::Config;
pub use config::changes::{Change, Effect};
pub use control::session::{BadSessionId, Session, SessionId};
pub use control::stats::Stats;
pub use error::{ReloadError, StartError, WorkerUnresponsive};
pub use porthole_turn_proto::server::{BandwidthLimits, Cidr, InvalidCidr, OauthKey, QuotaLimits};
pub use relay::offload::{FallbackCounts, FastPathStatus};
pub use tls::certificates::{CertificateError, TlsFiles, WatchedCertificate};
pub use tls::client::TlsClient;

/// Interval at which a shutdown checks if the workers have finished.
const SHUTDOWN_POLL: Duration = Duration::from_millis(10);

/// A running TURN server. Dropping it stops it at once, without draining.
#[derive(Debug)]
pub struct Server {
    local_addrs: Vec<SocketAddr>,
    tls_addrs: Vec<SocketAddr>,
    dtls_addrs: Vec<SocketAddr>,
    udp_addrs: Vec<SocketAddr>,
    certificates: Option<(Arc<Certificates>, Watcher)>,
    fast_path: Option<FastPath>,
    workers: Vec<WorkerHandle>,
    /// The number of clients that the embedding program has accepted; it wraps.
    clients: AtomicUsize,
    settings: Arc<Mutex<Settings>>,
    /// Follows changes of this host's addresses.
    _addresses: Watcher,
    draining: AtomicBool,
}

#[derive(Debug)]
struct WorkerHandle {
    control: Arc<Control>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Server {
    /// Checks `config`, opens every listening socket, then starts the workers.
    ///
    /// # Errors
    ///
    /// Returns what prevents the start; no thread runs then.
    pub fn start(config: Config) -> Result<Self, StartError> {
        let open_files = open_files::raise_limit();
        let prepared = start::prepare(config)?;
        let addrs = ListenerKind::ALL.map(|kind| prepared.addrs(kind));
        let certificates = match prepared.certificates.clone() {
            Some(certificates) => {
                let watcher = certificates::watch(Arc::clone(&certificates), certificates::POLL);
                Some((certificates, watcher.map_err(StartError::System)?))
            }
            None => None,
        };
        let (fast_path, udp_addrs) = (prepared.fast_path.clone(), prepared.udp_addrs.clone());
        let (settings, ready) = prepared.into_workers()?;
        let mut workers = Vec::new();
        for (index, worker) in ready.into_iter().enumerate() {
            let control = worker.control();
            let thread = std::thread::Builder::new()
                .name(format!("turn-{index}"))
                .spawn(move || worker.run())
                .map_err(StartError::System)?;
            workers.push(WorkerHandle { control, thread: Mutex::new(Some(thread)) });
        }
        tracing::info!(
            workers = workers.len(),
            open_files,
            "the TURN server is running; each relayed address takes an open file"
        );
        let settings = Arc::new(Mutex::new(settings));
        let controls = workers.iter().map(|worker| Arc::clone(&worker.control)).collect();
        let watcher = watch_addresses(Arc::clone(&settings), controls);
        let [local_addrs, tls_addrs, dtls_addrs] = addrs;
        Ok(Self {
            local_addrs,
            tls_addrs,
            dtls_addrs,
            udp_addrs,
            certificates,
            fast_path,
            workers,
            clients: AtomicUsize::new(0),
            settings,
            _addresses: watcher.map_err(StartError::System)?,
            draining: AtomicBool::new(false),
        })
    }

    /// Returns the addresses it listens on for UDP and TCP, with the port that a configured port 0
    /// became.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.local_addrs
    }

    /// Returns the addresses it listens on for TLS only.
    pub fn tls_addrs(&self) -> &[SocketAddr] {
        &self.tls_addrs
    }

    /// Returns the addresses it listens on for DTLS.
    pub fn dtls_addrs(&self) -> &[SocketAddr] {
        &self.dtls_addrs
    }

    /// Returns the addresses of `listen_udp` that were free, where it listens for UDP.
    pub fn udp_addrs(&self) -> &[SocketAddr] {
        &self.udp_addrs
    }

    /// Reads the certificate's files now instead of within 10 seconds. Returns `Ok(true)` if they
    /// changed: new connections get the new certificate. After an error they get the old one.
    pub fn reload_certificate(&self) -> Result<bool, CertificateError> {
        self.certificates.as_ref().map_or(Ok(false), |(certificates, _)| certificates.reload())
    }

    /// Serves a client that the embedding program has accepted at a port of its own, where it has
    /// finished the TLS handshake. The workers get such clients in turn. Returns false if the next
    /// one has too many to begin with: the client is then disconnected, and may try again.
    pub fn serve_tls(&self, client: TlsClient) -> bool {
        let next = self.clients.fetch_add(1, Ordering::Relaxed) % self.workers.len().max(1);
        let client = Box::new(client);
        self.workers
            .get(next)
            .is_some_and(|worker| worker.control.notify(Command::ServeTls { client }))
    }

    /// Returns the counters and gauges, summed over the workers.
    pub fn stats(&self) -> Stats {
        self.workers.iter().fold(Stats::default(), |sum, w| sum + w.control.stats())
    }

    /// Returns the state of the fast path: its interfaces, and the packets it left to the sockets.
    pub fn fast_path(&self) -> FastPathStatus {
        offload::status(self.fast_path.as_ref())
    }

    /// Applies new settings without ending an allocation, and returns what differs from the old
    /// ones. They are checked as a whole first. A setting that needs a restart keeps its old value
    /// and is listed as well. A worker that does not reply in time gets them within seconds of
    /// responding again, and a warning is logged.
    pub fn reload(&self, config: Config) -> Result<Vec<Change>, ReloadError> {
        if self.is_draining() {
            return Err(ReloadError::Stopping);
        }
        check(&config).map_err(ReloadError::Invalid)?;
        let mut settings = lock(&self.settings);
        let changes = changes::changes(&settings.config, &config);
        let in_effect = changes::in_effect(&settings.config, config);
        let reloadable = settings.replace(in_effect);
        if let Err(error) = self.request_all(|reply| {
            let reloadable = Box::new(reloadable.clone());
            Command::Reconfigure { reloadable, reply }
        }) {
            settings.mark_stale();
            tracing::warn!(%error, "a TURN worker gets the new settings later");
        }
        for change in &changes {
            tracing::info!("TURN setting changed: {change}");
        }
        Ok(changes)
    }

    /// Lists the TURN sessions (allocations) in the order of their ids, beginning after `after`, at
    /// most `limit`.
    pub fn sessions(
        &self,
        after: Option<SessionId>,
        limit: usize,
    ) -> Result<Vec<Session>, WorkerUnresponsive> {
        let mut found = Vec::new();
        let first = after.map_or(0, |after| after.worker);
        for (worker, running) in self.workers.iter().enumerate().skip(first) {
            let seen = after.filter(|after| after.worker == worker);
            let from_slot = seen.map_or(0, |after| after.allocation.slot().saturating_add(1));
            let limit = limit.saturating_sub(found.len());
            if limit == 0 {
                break;
            }
            let command = |reply| Command::Sessions { from_slot, limit, reply };
            let session = |info: porthole_turn_proto::server::AllocationInfo| Session {
                id: SessionId { worker, allocation: info.id },
                info,
            };
            found.extend(running.control.request(command)?.wait()?.into_iter().map(session));
        }
        Ok(found)
    }

    /// Ends one allocation. Returns false if it does not exist.
    pub fn end_session(&self, session: SessionId) -> Result<bool, WorkerUnresponsive> {
        let Some(running) = self.workers.get(session.worker) else { return Ok(false) };
        let command = |reply| Command::EndSession { id: session.allocation, reply };
        running.control.request(command)?.wait()
    }

    /// Ends all allocations of a user with time-limited credentials, and refuses these until
    /// `until_s`, in seconds since 1970, when the last of them has expired.
    pub fn end_user(&self, user_id: &str, until_s: u64) -> Result<(), WorkerUnresponsive> {
        let user: Arc<str> = user_id.into();
        self.request_all(|reply| Command::EndUser { user: Arc::clone(&user), until_s, reply })
    }

    /// Returns true once [`Self::drain`] was called: no new allocations are made.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Makes no new allocations from now on, and waits until the existing ones have ended or
    /// `deadline` has passed. They are served until [`Self::shutdown`].
    pub fn drain(&self, deadline: Duration) {
        let until = Instant::now() + deadline;
        self.draining.store(true, Ordering::Relaxed);
        self.workers.iter().for_each(|worker| worker.control.drain());
        while self.workers.iter().any(WorkerHandle::has_allocations) && Instant::now() < until {
            std::thread::sleep(SHUTDOWN_POLL.min(deadline));
        }
    }

    /// Drains and stops the server: makes no new allocations, serves the existing ones until they
    /// end or `deadline` has passed, then stops the workers.
    pub fn shutdown(&self, deadline: Duration) {
        self.drain(deadline);
        self.workers.iter().for_each(|worker| worker.control.stop());
        for thread in self.workers.iter().filter_map(|worker| lock(&worker.thread).take()) {
            if thread.join().is_err() {
                tracing::error!("a TURN worker panicked");
            }
        }
    }

    /// Sends a command to all running workers before it waits for the first reply: so the wait is
    /// that of the slowest worker, and one that does not reply does not hold up the others.
    fn request_all(
        &self,
        command: impl Fn(std::sync::mpsc::SyncSender<()>) -> Command,
    ) -> Result<(), WorkerUnresponsive> {
        let workers = self.workers.iter().filter(|worker| worker.is_running());
        let pending: Vec<_> = workers.map(|worker| worker.control.request(&command)).collect();
        let replies: Vec<_> =
            pending.into_iter().map(|reply| reply.and_then(PendingReply::wait)).collect();
        replies.into_iter().collect()
    }
}

impl WorkerHandle {
    /// Returns true while a draining worker still has allocations.
    fn has_allocations(&self) -> bool {
        self.is_running() && !self.control.is_drained()
    }

    fn is_running(&self) -> bool {
        lock(&self.thread).as_ref().is_some_and(|thread| !thread.is_finished())
    }
}

/// Sends the workers new settings when this host's addresses change. Nothing waits for a reply: if
/// a worker's queue was full, all workers get them again the next time.
fn watch_addresses(
    settings: Arc<Mutex<Settings>>,
    workers: Vec<Arc<Control>>,
) -> io::Result<Watcher> {
    let check = move || {
        let own = match own_addresses() {
            Ok(own) => own,
            Err(error) => return tracing::debug!(%error, "this host's addresses cannot be read"),
        };
        let mut settings = lock(&settings);
        let Some(reloadable) = settings.follow_addresses(own) else { return };
        let failed = |worker: &&Arc<Control>| {
            let reloadable = Box::new(reloadable.clone());
            worker.request(|reply| Command::Reconfigure { reloadable, reply }).is_err()
        };
        if workers.iter().filter(failed).count() > 0 {
            settings.mark_stale();
        }
    };
    Watcher::start("addresses", addresses::POLL, check)
}

/// Locks a mutex even after a panic: the values behind these locks are replaced as a whole, so
/// none is left half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Server {
    fn drop(&mut self) {
        self.workers.iter().for_each(|worker| worker.control.stop());
    }
}
