//! The handle's end of a worker: its phase, which only advances, commands, and published values.

pub(crate) mod doubt;
pub(crate) mod handover;
pub(crate) mod session;
pub(crate) mod stats;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use mio::Waker;
use porthole_turn_proto::server::{AllocationId, AllocationInfo, FiveTuple, ReloadableConfig};

use crate::control::handover::{Batch, HandoverQueue};
use crate::control::stats::{Published, Stats};
use crate::error::WorkerUnresponsive;
use crate::tcp::connections::Connection;
use crate::tls::client::TlsClient;

/// Most commands that wait for one worker: those of an operator, one at a time, and notifications
/// from other workers, which clients cause.
const MAX_COMMANDS: usize = 256;
/// Most notifications of each kind that wait, so that a flood of one kind leaves room for the
/// others and for the operator.
const MAX_NOTIFICATIONS: usize = 80;
/// Time to wait for a reply. A worker runs its commands between two rounds of packets, within
/// milliseconds; one that needs longer is stuck, and its caller must not be.
const REPLY_DEADLINE: Duration = Duration::from_secs(2);

/// A command to a worker. One with `reply` is replied to once.
#[derive(Debug)]
pub(crate) enum Command {
    /// Applies new settings.
    Reconfigure { reloadable: Box<ReloadableConfig>, reply: SyncSender<()> },
    /// Lists allocations from a slot on, at most `limit`.
    Sessions { from_slot: u32, limit: usize, reply: SyncSender<Vec<AllocationInfo>> },
    /// Ends an allocation; the reply is false if it does not exist.
    EndSession { id: AllocationId, reply: SyncSender<bool> },
    /// Ends a time-limited user, whose last credentials expire at `until_s` in seconds since 1970.
    EndUser { user: Arc<str>, until_s: u64, reply: SyncSender<()> },
    /// Takes over a connection that the kernel gave to another worker.
    Serve { connection: Box<Connection> },
    /// Serves a client that the embedding program has accepted.
    ServeTls { client: Box<TlsClient> },
    /// Stops the handover of a client's datagrams to `worker`, which has no allocation of it (any
    /// more).
    EndHandover { client: FiveTuple, worker: u8, at: Instant },
    #[cfg(test)]
    Panic,
    /// Keeps the worker busy until the sender is dropped.
    #[cfg(test)]
    Stall(Receiver<()>),
}

/// The phase of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Run,
    /// Makes no new allocations, and reports when the last one has ended.
    Drain,
    Stop,
}

const RUN: u8 = 0;
const DRAIN: u8 = 1;
const STOP: u8 = 2;

/// The handle's end of one worker.
#[derive(Debug)]
pub(crate) struct Control {
    phase: AtomicU8,
    drained: AtomicBool,
    waker: Waker,
    commands: SyncSender<Command>,
    /// Numbers of waiting [`Command::Serve`], [`Command::EndHandover`] and [`Command::ServeTls`].
    notifications: [AtomicUsize; 3],
    handover: HandoverQueue,
    stats: Published,
}

impl Control {
    /// Makes both ends; the second is the worker's queue of commands.
    pub(crate) fn new(waker: Waker) -> (Self, Receiver<Command>) {
        let (commands, received) = sync_channel(MAX_COMMANDS);
        let phase = AtomicU8::new(RUN);
        let (handover, stats) = (HandoverQueue::default(), Published::default());
        let notifications = std::array::from_fn(|_| AtomicUsize::new(0));
        let drained = AtomicBool::new(false);
        (Self { phase, drained, waker, commands, notifications, handover, stats }, received)
    }

    pub(crate) fn drain(&self) {
        self.go_to(DRAIN);
    }

    pub(crate) fn stop(&self) {
        self.go_to(STOP);
    }

    pub(crate) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            RUN => Phase::Run,
            DRAIN => Phase::Drain,
            _ => Phase::Stop,
        }
    }

    /// Reports that the worker drains and has no allocation left.
    pub(crate) fn set_drained(&self) {
        self.drained.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_drained(&self) -> bool {
        self.drained.load(Ordering::Relaxed)
    }

    pub(crate) fn publish(&self, stats: Stats) {
        self.stats.store(stats);
    }

    pub(crate) fn stats(&self) -> Stats {
        self.stats.load()
    }

    /// Sends a command with a reply, which [`PendingReply::wait`] returns. Fails if too many
    /// commands wait.
    pub(crate) fn request<T>(
        &self,
        command: impl FnOnce(SyncSender<T>) -> Command,
    ) -> Result<PendingReply<T>, WorkerUnresponsive> {
        let (sender, receiver) = sync_channel(1);
        match self.commands.try_send(command(sender)) {
            Ok(()) => self.wake(),
            Err(TrySendError::Full(_)) => return Err(WorkerUnresponsive),
            Err(TrySendError::Disconnected(_)) => {}
        }
        Ok(PendingReply(receiver))
    }

    /// Sends a command without a reply. Drops it and returns false if too many of its kind wait.
    pub(crate) fn notify(&self, command: Command) -> bool {
        let Some(waiting) = self.notifications_of(&command) else { return false };
        if waiting.fetch_add(1, Ordering::Relaxed) < MAX_NOTIFICATIONS
            && self.commands.try_send(command).is_ok()
        {
            self.wake();
            return true;
        }
        waiting.fetch_sub(1, Ordering::Relaxed);
        false
    }

    /// Records that the worker has taken a command from its queue.
    pub(crate) fn dequeued(&self, command: &Command) {
        if let Some(waiting) = self.notifications_of(command) {
            waiting.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Returns the counter of a command without a reply.
    fn notifications_of(&self, command: &Command) -> Option<&AtomicUsize> {
        let [serve, end_handover, serve_tls] = &self.notifications;
        match command {
            Command::Serve { .. } => Some(serve),
            Command::EndHandover { .. } => Some(end_handover),
            Command::ServeTls { .. } => Some(serve_tls),
            Command::Reconfigure { .. }
            | Command::Sessions { .. }
            | Command::EndSession { .. }
            | Command::EndUser { .. } => None,
            #[cfg(test)]
            Command::Panic | Command::Stall(_) => None,
        }
    }

    /// Hands datagrams over to this worker. Returns false if its queue is full.
    pub(crate) fn hand_over(&self, batch: &Batch) -> bool {
        let put = self.handover.put(batch);
        if put == Some(true) {
            self.wake();
        }
        put.is_some()
    }

    /// Exchanges the datagrams handed over for an empty batch.
    pub(crate) fn swap_handed_over(&self, empty: &mut Batch) {
        self.handover.take(empty);
    }

    fn go_to(&self, phase: u8) {
        self.phase.fetch_max(phase, Ordering::Relaxed);
        self.wake();
    }

    fn wake(&self) {
        if let Err(error) = self.waker.wake() {
            tracing::warn!(%error, "a TURN worker cannot be woken");
        }
    }
}

/// The reply to a command, not yet received.
#[derive(Debug)]
pub(crate) struct PendingReply<T>(Receiver<T>);

impl<T> PendingReply<T> {
    /// Waits for the reply. Fails after [`REPLY_DEADLINE`], or if the worker has ended.
    pub(crate) fn wait(self) -> Result<T, WorkerUnresponsive> {
        self.0.recv_timeout(REPLY_DEADLINE).map_err(|_| WorkerUnresponsive)
    }
}

#[cfg(test)]
mod tests {
    use mio::{Poll, Token};
    use porthole_turn_proto::Transport;

    use super::*;

    #[test]
    fn notifications_caused_by_clients_leave_room_for_the_operator() {
        let poll = Poll::new().unwrap();
        let waker = Waker::new(poll.registry(), Token(0)).unwrap();
        let (control, commands) = Control::new(waker);
        let (client, server) = (([10, 0, 0, 1], 1).into(), ([10, 0, 0, 2], 2).into());
        let client = FiveTuple { transport: Transport::Udp, client, server };
        for round in 0..3 {
            for _ in 0..2 * MAX_COMMANDS {
                control.notify(Command::EndHandover { client, worker: 1, at: Instant::now() });
            }
            let id = AllocationId::from_bits(0);
            let pending = control.request(|reply| Command::EndSession { id, reply });
            assert!(pending.is_ok(), "{round}");
            let waiting: Vec<_> = commands.try_iter().collect();
            waiting.iter().for_each(|command| control.dequeued(command));
            assert_eq!(waiting.len(), MAX_NOTIFICATIONS + 1, "{round}");
        }
    }
}
