//! The STUN/TURN server: sockets and threads around [`porthole_turn_proto`].
//!
//! One thread a core, each with its own listening sockets (the kernel spreads clients by
//! SO_REUSEPORT), its own relay sockets and its own [`proto server`](porthole_turn_proto::server):
//! a packet meets no lock and no other thread. What they share is the port range (atomic bits)
//! and the quota (a lock taken once for each allocation).
//!
//! Architecture invariant: nothing here decides about a message; nothing here blocks but `poll`.

mod addresses;
mod config;
mod connection;
mod error;
mod listen;
mod relays;
mod send_queue;
mod stats;
mod worker;

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub use config::Config;
pub use error::StartError;
pub use porthole_turn_proto::server::{BadCidr, Cidr, QuotaLimits};
pub use stats::Stats;

use worker::Control;

/// How often a shutdown looks whether the workers are through.
const SHUTDOWN_POLL: Duration = Duration::from_millis(10);

/// A running server. Dropping it stops it at once.
#[derive(Debug)]
pub struct Server {
    local_addrs: Vec<SocketAddr>,
    workers: Vec<Running>,
}

#[derive(Debug)]
struct Running {
    control: Arc<Control>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Opens every listening socket, then starts the workers.
    pub fn start(config: Config) -> Result<Self, StartError> {
        let prepared = config::prepare(config)?;
        let local_addrs = prepared.local_addrs.clone();
        let mut workers = Vec::new();
        for (index, worker) in prepared.into_workers()?.into_iter().enumerate() {
            let control = worker.control();
            let thread = std::thread::Builder::new()
                .name(format!("turn-{index}"))
                .spawn(move || worker.run())
                .map_err(StartError::System)?;
            workers.push(Running { control, thread: Some(thread) });
        }
        tracing::info!(workers = workers.len(), "the TURN server runs");
        Ok(Self { local_addrs, workers })
    }

    /// Where it listens, UDP and TCP; a configured port 0 is a real one here.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.local_addrs
    }

    /// What it has done and what it holds, summed over the workers.
    pub fn stats(&self) -> Stats {
        self.workers.iter().fold(Stats::default(), |sum, w| sum + w.control.stats())
    }

    /// Takes no new allocations, lets the living ones go on until they end or `deadline` is over,
    /// then stops.
    pub fn shutdown(mut self, deadline: Duration) {
        let until = Instant::now() + deadline;
        self.workers.iter().for_each(|worker| worker.control.drain());
        let running = |w: &Running| w.thread.as_ref().is_some_and(|thread| !thread.is_finished());
        while self.workers.iter().any(running) && Instant::now() < until {
            std::thread::sleep(SHUTDOWN_POLL.min(deadline));
        }
        self.workers.iter().for_each(|worker| worker.control.stop());
        for thread in self.workers.iter_mut().filter_map(|worker| worker.thread.take()) {
            if thread.join().is_err() {
                tracing::error!("a TURN worker panicked");
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.workers.iter().for_each(|worker| worker.control.stop());
    }
}
