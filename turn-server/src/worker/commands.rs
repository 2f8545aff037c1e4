//! Commands from the handle and from other workers, run between two rounds of packets.

use std::sync::mpsc::SyncSender;

use super::ready::{WAKER, token};
use super::{Worker, now};
use crate::control::Command;

/// Most commands between two rounds of packets. A connection handed over by another worker may
/// bring 64 kB of requests.
const COMMANDS: usize = 16;

impl Worker {
    /// Runs at most [`COMMANDS`], then lets other sources be served.
    pub(super) fn run_commands(&mut self) {
        for _ in 0..COMMANDS {
            let Ok(command) = self.commands.try_recv() else { return };
            self.control.dequeued(&command);
            match command {
                Command::Reconfigure { reloadable, reply } => {
                    self.config.reloadable = (*reloadable).clone();
                    self.server.set_reloadable(now(), *reloadable);
                    send_reply(&reply, ());
                }
                Command::Sessions { from_slot, limit, reply } => {
                    send_reply(&reply, self.server.allocation_infos(now(), from_slot, limit));
                }
                Command::Serve { connection } => self.adopt_connection(*connection),
                Command::ServeTls { client } => self.adopt_tls_client(*client),
                Command::EndHandover { client, worker, at } => {
                    self.server.handle_handover_ended(&client, worker, at);
                }
                Command::EndUser { user, until_s, reply } => {
                    self.server.end_user(now(), &user, until_s);
                    self.apply_outputs();
                    self.publish();
                    send_reply(&reply, ());
                }
                #[cfg(test)]
                Command::Panic => panic!("as a bug would"),
                #[cfg(test)]
                Command::Stall(until) => drop(until.recv()),
                Command::EndSession { id, reply } => {
                    let ended = self.server.end_allocation(now(), id);
                    // Before the reply, so that its receiver finds the end in the log and metrics.
                    self.apply_outputs();
                    self.publish();
                    send_reply(&reply, ended);
                }
            }
            self.apply_outputs();
        }
        self.ready.push(token(WAKER, 0));
    }
}

/// Sends a reply; the caller may have stopped waiting.
fn send_reply<T>(reply: &SyncSender<T>, value: T) {
    let _ = reply.try_send(value);
}
