//! What the handle asks for, between two rounds of packets.

use std::sync::mpsc::SyncSender;

use super::ready::{WAKER, token};
use super::{Worker, clocks};
use crate::control::Command;

/// Commands between two rounds of packets. A client that another worker passes on may bring 64 kB
/// of requests.
const COMMANDS: usize = 16;

impl Worker {
    /// At most [`COMMANDS`], then others have their turn.
    pub(super) fn obey(&mut self) {
        for _ in 0..COMMANDS {
            let Ok(command) = self.commands.try_recv() else { return };
            self.control.taken(&command);
            match command {
                Command::Reconfigure { reloadable, answer } => {
                    self.config.reloadable = (*reloadable).clone();
                    self.server.set_reloadable(clocks(), *reloadable);
                    tell(&answer, ());
                }
                Command::Sessions { from_slot, limit, answer } => {
                    tell(&answer, self.server.allocation_infos(clocks(), from_slot, limit));
                }
                Command::Serve { connection } => self.adopt_client(*connection),
                Command::Forget { client, worker, at } => {
                    self.server.handle_handover_ended(&client, worker, at);
                }
                #[cfg(test)]
                Command::Panic => panic!("as a bug would"),
                Command::End { id, answer } => {
                    let ended = self.server.end_allocation(clocks(), id);
                    // Whoever has the answer finds the end in the log and in the numbers.
                    self.do_outputs();
                    self.publish();
                    tell(&answer, ended);
                }
            }
            self.do_outputs();
        }
        self.ready.push(token(WAKER, 0));
    }
}

/// Whoever asked may have stopped waiting.
fn tell<T>(answer: &SyncSender<T>, value: T) {
    let _ = answer.try_send(value);
}
