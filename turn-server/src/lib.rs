//! The STUN/TURN server: sockets and threads around [`porthole_turn_proto`].
//!
//! One thread a core, each with its own listening sockets (the kernel spreads clients by
//! SO_REUSEPORT), its own relay sockets and its own [`proto server`](porthole_turn_proto::server):
//! a packet meets no lock and no other thread, unless its client has moved (RFC 8016) to where the
//! kernel brings it to another worker. What they share is the port range (atomic bits) and the
//! quota (a lock taken once for each allocation).
//!
//! Architecture invariant: nothing here decides about a message; nothing here blocks but `poll`.

mod config;
mod control;
mod error;
mod net;
mod relay;
mod slots;
mod start;
mod tcp;
mod tls;
mod watcher;
mod worker;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub use config::Config;
pub use config::changes::{Change, Effect};
pub use control::session::{BadSessionId, Session, SessionId};
pub use control::stats::Stats;
pub use error::{ReloadError, StartError, Unanswered};
pub use porthole_turn_proto::server::{BandwidthLimits, Cidr, InvalidCidr, OauthKey, QuotaLimits};
pub use relay::offload::{FastPathStatus, LeftToSockets};
pub use tls::certificates::{CertificateError, TlsFiles};

use config::changes;
use config::check::check;
use config::settings::Settings;
use control::{Command, Control, Question};
use net::addresses::{self, Speaks, own_addresses};
use net::open_files;
use relay::offload::{self, FastPath};
use tls::certificates::{self, Certificates};
use watcher::Watcher;

/// How often a shutdown looks whether the workers are through.
const SHUTDOWN_POLL: Duration = Duration::from_millis(10);

/// A running server. Dropping it stops it at once.
#[derive(Debug)]
pub struct Server {
    local_addrs: Vec<SocketAddr>,
    tls_addrs: Vec<SocketAddr>,
    dtls_addrs: Vec<SocketAddr>,
    certificates: Option<(Arc<Certificates>, Watcher)>,
    fast_path: Option<FastPath>,
    workers: Vec<Running>,
    settings: Arc<Mutex<Settings>>,
    /// Of this host's addresses.
    _addresses: Watcher,
    draining: AtomicBool,
}

#[derive(Debug)]
struct Running {
    control: Arc<Control>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Server {
    /// Opens every listening socket, then starts the workers.
    pub fn start(config: Config) -> Result<Self, StartError> {
        let open_files = open_files::raise_limit();
        let prepared = start::prepare(config)?;
        let addrs = Speaks::ALL.map(|speaks| prepared.addrs(speaks));
        let certificates = match prepared.certificates.clone() {
            Some(certificates) => {
                let watcher = certificates::watch(Arc::clone(&certificates), certificates::POLL);
                Some((certificates, watcher.map_err(StartError::System)?))
            }
            None => None,
        };
        let fast_path = prepared.fast_path.clone();
        let (settings, ready) = prepared.into_workers()?;
        let mut workers = Vec::new();
        for (index, worker) in ready.into_iter().enumerate() {
            let control = worker.control();
            let thread = std::thread::Builder::new()
                .name(format!("turn-{index}"))
                .spawn(move || worker.run())
                .map_err(StartError::System)?;
            workers.push(Running { control, thread: Mutex::new(Some(thread)) });
        }
        tracing::info!(
            workers = workers.len(),
            open_files,
            "the TURN server runs; each relayed address takes an open file"
        );
        let settings = Arc::new(Mutex::new(settings));
        let controls = workers.iter().map(|worker| Arc::clone(&worker.control)).collect();
        let watcher = watch_addresses(Arc::clone(&settings), controls);
        let [local_addrs, tls_addrs, dtls_addrs] = addrs;
        Ok(Self {
            local_addrs,
            tls_addrs,
            dtls_addrs,
            certificates,
            fast_path,
            workers,
            settings,
            _addresses: watcher.map_err(StartError::System)?,
            draining: AtomicBool::new(false),
        })
    }

    /// Where it listens, UDP and TCP; a configured port 0 is a real one here.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.local_addrs
    }

    /// Where it listens for TLS only.
    pub fn tls_addrs(&self) -> &[SocketAddr] {
        &self.tls_addrs
    }

    /// Where it listens for DTLS.
    pub fn dtls_addrs(&self) -> &[SocketAddr] {
        &self.dtls_addrs
    }

    /// Looks at the certificate's files now instead of in a few seconds. `Ok(true)` when new
    /// connections get a new certificate; after an error they get the old one.
    pub fn reload_certificate(&self) -> Result<bool, CertificateError> {
        self.certificates.as_ref().map_or(Ok(false), |(certificates, _)| certificates.reload())
    }

    /// What it has done and what it holds, summed over the workers.
    pub fn stats(&self) -> Stats {
        self.workers.iter().fold(Stats::default(), |sum, w| sum + w.control.stats())
    }

    /// Whether the kernel relays what it can, and what it left to the sockets after all.
    pub fn fast_path(&self) -> FastPathStatus {
        offload::status(self.fast_path.as_ref())
    }

    /// Takes new settings over without touching an allocation, and says what has changed. They
    /// are checked as a whole first. What needs a restart stays as it is, and is said as well. A
    /// worker that does not answer in time gets them later.
    pub fn reload(&self, config: Config) -> Result<Vec<Change>, ReloadError> {
        if self.is_draining() {
            return Err(ReloadError::Stopping);
        }
        check(&config).map_err(ReloadError::Invalid)?;
        let mut settings = lock(&self.settings);
        let changes = changes::changes(&settings.config, &config);
        let in_effect = changes::in_effect(&settings.config, config);
        let reloadable = settings.take_over(in_effect);
        if let Err(unanswered) = self.ask_all(|answer| {
            let reloadable = Box::new(reloadable.clone());
            Command::Reconfigure { reloadable, answer }
        }) {
            settings.tell_again();
            return Err(unanswered.into());
        }
        for change in &changes {
            tracing::info!("the TURN server's settings: {change}");
        }
        Ok(changes)
    }

    /// Living allocations in the order of their ids, after this one, at most `limit`.
    pub fn sessions(
        &self,
        after: Option<SessionId>,
        limit: usize,
    ) -> Result<Vec<Session>, Unanswered> {
        let mut found = Vec::new();
        let first = after.map_or(0, |after| after.worker);
        for (worker, running) in self.workers.iter().enumerate().skip(first) {
            let seen = after.filter(|after| after.worker == worker);
            let from_slot = seen.map_or(0, |after| after.allocation.slot().saturating_add(1));
            let limit = limit.saturating_sub(found.len());
            if limit == 0 {
                break;
            }
            let ask = |answer| Command::Sessions { from_slot, limit, answer };
            let named = |info: porthole_turn_proto::server::AllocationInfo| Session {
                id: SessionId { worker, allocation: info.id },
                info,
            };
            found.extend(running.control.ask(ask)?.answer()?.into_iter().map(named));
        }
        Ok(found)
    }

    /// Ends one allocation. Whether there was one.
    pub fn end_session(&self, session: SessionId) -> Result<bool, Unanswered> {
        let Some(running) = self.workers.get(session.worker) else { return Ok(false) };
        let ask = |answer| Command::End { id: session.allocation, answer };
        running.control.ask(ask)?.answer()
    }

    /// Whether it takes no new allocations any more.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Takes no new allocations, lets the living ones go on until they end or `deadline` is over,
    /// then stops.
    pub fn shutdown(&self, deadline: Duration) {
        let until = Instant::now() + deadline;
        self.draining.store(true, Ordering::Relaxed);
        self.workers.iter().for_each(|worker| worker.control.drain());
        while self.workers.iter().any(Running::has_clients) && Instant::now() < until {
            std::thread::sleep(SHUTDOWN_POLL.min(deadline));
        }
        self.workers.iter().for_each(|worker| worker.control.stop());
        for thread in self.workers.iter().filter_map(|worker| lock(&worker.thread).take()) {
            if thread.join().is_err() {
                tracing::error!("a TURN worker panicked");
            }
        }
    }

    /// All who are there, at once, so that the slowest worker is waited for and not each; one that
    /// does not answer keeps no other from being asked.
    fn ask_all(
        &self,
        command: impl Fn(std::sync::mpsc::SyncSender<()>) -> Command,
    ) -> Result<(), Unanswered> {
        let workers = self.workers.iter().filter(|worker| worker.goes_on());
        let asked: Vec<_> = workers.map(|worker| worker.control.ask(&command)).collect();
        let answers: Vec<_> = asked.into_iter().map(|one| one.and_then(Question::answer)).collect();
        answers.into_iter().collect()
    }
}

impl Running {
    /// While the server drains.
    fn has_clients(&self) -> bool {
        self.goes_on() && !self.control.is_drained()
    }

    fn goes_on(&self) -> bool {
        lock(&self.thread).as_ref().is_some_and(|thread| !thread.is_finished())
    }
}

/// Tells the workers when this host has other addresses. Nobody waits for an answer: if one was not
/// reached, all are told the next time.
fn watch_addresses(
    settings: Arc<Mutex<Settings>>,
    workers: Vec<Arc<Control>>,
) -> io::Result<Watcher> {
    let look = move || {
        let own = match own_addresses() {
            Ok(own) => own,
            Err(error) => return tracing::debug!(%error, "this host's addresses cannot be read"),
        };
        let mut settings = lock(&settings);
        let Some(reloadable) = settings.follow_addresses(own) else { return };
        let tell = |worker: &&Arc<Control>| {
            let reloadable = Box::new(reloadable.clone());
            worker.ask(|answer| Command::Reconfigure { reloadable, answer }).is_err()
        };
        if workers.iter().filter(tell).count() > 0 {
            settings.tell_again();
        }
    };
    Watcher::start("addresses", addresses::POLL, look)
}

/// What is behind a lock here is replaced as a whole: a panic leaves nothing half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Server {
    fn drop(&mut self) {
        self.workers.iter().for_each(|worker| worker.control.stop());
    }
}
