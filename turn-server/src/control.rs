//! How others steer a worker: a state that only goes forward, commands, and numbers to read.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use mio::Waker;
use porthole_turn_proto::server::{AllocationId, FiveTuple, Reloadable, SessionInfo};

use crate::connection::Connection;
use crate::passage::{Batch, Passage};
use crate::stats::{Published, Stats};

/// Commands that wait for one worker: an operator's, who asks for one thing at a time, and clients
/// from other workers.
const MAX_COMMANDS: usize = 256;
/// A worker looks at its commands between two rounds of packets: that takes milliseconds. One that
/// needs longer is stuck, and whoever asked must not be.
const ANSWER_DEADLINE: Duration = Duration::from_secs(2);

/// What a worker is asked for. It answers once.
#[derive(Debug)]
pub(crate) enum Command {
    Reconfigure {
        reloadable: Box<Reloadable>,
        answer: SyncSender<()>,
    },
    /// Living allocations from this slot on, at most `limit`.
    Sessions {
        from_slot: u32,
        limit: usize,
        answer: SyncSender<Vec<SessionInfo>>,
    },
    End {
        id: AllocationId,
        answer: SyncSender<bool>,
    },
    /// A client whose connection came to the wrong worker. Nobody waits for an answer.
    Serve {
        connection: Box<Connection>,
    },
    /// This worker has no allocation of this client (any more), whose datagrams were passed on to
    /// it until then.
    Forget {
        client: FiveTuple,
        worker: u8,
        at: Instant,
    },
    #[cfg(test)]
    Panic,
}

/// A worker did not answer in time, or is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a TURN worker does not answer; look at its thread, or restart the server")]
pub struct Unanswered;

/// What a worker is to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Run,
    /// No new allocations; end with the last.
    Drain,
    Stop,
}

const RUN: u8 = 0;
const DRAIN: u8 = 1;
const STOP: u8 = 2;

/// The handle's end.
#[derive(Debug)]
pub(crate) struct Control {
    phase: AtomicU8,
    waker: Waker,
    commands: SyncSender<Command>,
    passage: Passage,
    stats: Published,
}

impl Control {
    /// With the worker's end of the queue.
    pub(crate) fn new(waker: Waker) -> (Self, Receiver<Command>) {
        let (commands, received) = sync_channel(MAX_COMMANDS);
        let phase = AtomicU8::new(RUN);
        let (passage, stats) = (Passage::default(), Published::default());
        (Self { phase, waker, commands, passage, stats }, received)
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

    pub(crate) fn publish(&self, stats: Stats) {
        self.stats.store(stats);
    }

    pub(crate) fn stats(&self) -> Stats {
        self.stats.load()
    }

    /// Begins to ask; [`Question::answer`] waits, and fails at once for a worker that has ended. An
    /// error is that too much waits already.
    pub(crate) fn ask<T>(
        &self,
        command: impl FnOnce(SyncSender<T>) -> Command,
    ) -> Result<Question<T>, Unanswered> {
        let (sender, receiver) = sync_channel(1);
        match self.commands.try_send(command(sender)) {
            Ok(()) => self.wake(),
            Err(TrySendError::Full(_)) => return Err(Unanswered),
            Err(TrySendError::Disconnected(_)) => {}
        }
        Ok(Question(receiver))
    }

    /// Asks for something without an answer; in vain when too much waits already.
    pub(crate) fn tell(&self, command: Command) {
        if self.commands.try_send(command).is_ok() {
            self.wake();
        }
    }

    /// Datagrams for this worker. Whether there was room for them.
    pub(crate) fn pass(&self, batch: &Batch) -> bool {
        let put = self.passage.put(batch);
        if put == Some(true) {
            self.wake();
        }
        put.is_some()
    }

    /// What [`Self::pass`] brought, for an empty batch.
    pub(crate) fn take_passed(&self, empty: &mut Batch) {
        self.passage.take(empty);
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

/// What was asked of one worker.
#[derive(Debug)]
pub(crate) struct Question<T>(Receiver<T>);

impl<T> Question<T> {
    pub(crate) fn answer(self) -> Result<T, Unanswered> {
        self.0.recv_timeout(ANSWER_DEADLINE).map_err(|_| Unanswered)
    }
}
