//! How others steer a worker: a state that only goes forward, commands, and numbers to read.

pub(crate) mod handover;
pub(crate) mod session;
pub(crate) mod stats;

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use mio::Waker;
use porthole_turn_proto::server::{AllocationId, AllocationInfo, FiveTuple, ReloadableConfig};

use crate::control::handover::{Batch, Passage};
use crate::control::stats::{Published, Stats};
use crate::error::Unanswered;
use crate::tcp::connections::Connection;

/// Commands that wait for one worker: an operator's, who asks for one thing at a time, and what
/// other workers tell, which clients bring about.
const MAX_COMMANDS: usize = 256;
/// So many of each kind that clients bring about, so that a flood of one leaves room for the other
/// and for the operator.
const MAX_TOLD: usize = 96;
/// A worker looks at its commands between two rounds of packets: that takes milliseconds. One that
/// needs longer is stuck, and whoever asked must not be.
const ANSWER_DEADLINE: Duration = Duration::from_secs(2);

/// What a worker is asked for. It answers once.
#[derive(Debug)]
pub(crate) enum Command {
    Reconfigure {
        reloadable: Box<ReloadableConfig>,
        answer: SyncSender<()>,
    },
    /// Living allocations from this slot on, at most `limit`.
    Sessions {
        from_slot: u32,
        limit: usize,
        answer: SyncSender<Vec<AllocationInfo>>,
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

/// What a worker is to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Run,
    /// No new allocations; say when the last one has ended.
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
    drained: AtomicBool,
    waker: Waker,
    commands: SyncSender<Command>,
    /// Of [`Command::Serve`] and [`Command::Forget`], those that wait.
    told: [AtomicUsize; 2],
    passage: Passage,
    stats: Published,
}

impl Control {
    /// With the worker's end of the queue.
    pub(crate) fn new(waker: Waker) -> (Self, Receiver<Command>) {
        let (commands, received) = sync_channel(MAX_COMMANDS);
        let phase = AtomicU8::new(RUN);
        let (passage, stats) = (Passage::default(), Published::default());
        let told = [AtomicUsize::new(0), AtomicUsize::new(0)];
        let drained = AtomicBool::new(false);
        (Self { phase, drained, waker, commands, told, passage, stats }, received)
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

    /// The worker drains and has no allocation left.
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

    /// Asks for something without an answer; in vain when too much of its kind waits already.
    pub(crate) fn tell(&self, command: Command) {
        let Some(waiting) = self.waiting(&command) else { return };
        if waiting.fetch_add(1, Ordering::Relaxed) < MAX_TOLD
            && self.commands.try_send(command).is_ok()
        {
            return self.wake();
        }
        waiting.fetch_sub(1, Ordering::Relaxed);
    }

    /// The worker has it.
    pub(crate) fn taken(&self, command: &Command) {
        if let Some(waiting) = self.waiting(command) {
            waiting.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// The counter of its kind, if it is one that nobody waits for.
    fn waiting(&self, command: &Command) -> Option<&AtomicUsize> {
        let [serve, forget] = &self.told;
        match command {
            Command::Serve { .. } => Some(serve),
            Command::Forget { .. } => Some(forget),
            Command::Reconfigure { .. } | Command::Sessions { .. } | Command::End { .. } => None,
            #[cfg(test)]
            Command::Panic => None,
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

#[cfg(test)]
mod tests {
    use mio::{Poll, Token};
    use porthole_turn_proto::Transport;

    use super::*;

    #[test]
    fn what_clients_bring_about_leaves_room_for_the_operator() {
        let poll = Poll::new().unwrap();
        let waker = Waker::new(poll.registry(), Token(0)).unwrap();
        let (control, commands) = Control::new(waker);
        let (client, server) = (([10, 0, 0, 1], 1).into(), ([10, 0, 0, 2], 2).into());
        let client = FiveTuple { transport: Transport::Udp, client, server };
        for round in 0..3 {
            for _ in 0..2 * MAX_COMMANDS {
                control.tell(Command::Forget { client, worker: 1, at: Instant::now() });
            }
            let id = AllocationId::from_bits(0);
            let asked = control.ask(|answer| Command::End { id, answer });
            assert!(asked.is_ok(), "{round}");
            let waiting: Vec<_> = commands.try_iter().collect();
            waiting.iter().for_each(|command| control.taken(command));
            assert_eq!(waiting.len(), MAX_TOLD + 1, "{round}");
        }
    }
}
