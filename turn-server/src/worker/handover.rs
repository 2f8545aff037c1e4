//! Datagrams for other workers, and theirs for this one.

use std::ops::Range;
use std::time::Instant;

use porthole_turn_proto::server::FiveTuple;

use super::inbox::MAX_BATCH;
use super::udp_clients::send_all;
use super::{Served, Worker};
use crate::control::Command;
use crate::control::handover::Batch;
use crate::relay::sockets::ToRelay;

/// Both ways.
#[derive(Debug, Default)]
pub(super) struct Passing {
    /// Which worker the datagram that is being handled is for.
    pub(super) next: Option<u8>,
    /// By worker; they leave when a batch from a listening socket ends.
    leaving: Vec<Batch>,
    /// What came, of which so many are done.
    arrived: Batch,
    done: usize,
}

impl Worker {
    /// A datagram that came to the wrong worker leaves with the next [`Self::hand_over`].
    pub(super) fn pass_datagram(&mut self, worker: u8, client: &FiveTuple, datagram: Range<usize>) {
        let index = usize::from(worker);
        let leaving = &mut self.passing.leaving;
        if leaving.len() <= index {
            leaving.resize_with(index + 1, Batch::default);
        }
        if let Some(batch) = leaving.get_mut(index) {
            batch.push(self.config.worker, client, self.from_clients.bytes(datagram));
        }
    }

    /// To the workers that they are for.
    pub(super) fn hand_over(&mut self) {
        let others = self.others.get().map(Vec::as_slice).unwrap_or_default();
        let mut failed = 0;
        for (worker, batch) in self.passing.leaving.iter_mut().enumerate() {
            if !batch.is_empty() {
                let taken = others.get(worker).is_some_and(|other| other.pass(batch));
                failed += if taken { 0 } else { batch.len() };
                batch.clear();
            }
        }
        self.count_not_sent(failed);
    }

    /// Datagrams that other workers got, a batch of them.
    pub(super) fn serve_passed(&mut self) -> Served {
        if self.passing.done == self.passing.arrived.len() {
            self.passing.done = 0;
            self.passing.arrived.clear();
            self.control.take_passed(&mut self.passing.arrived);
        }
        let first = self.passing.done;
        for index in first..first + MAX_BATCH {
            let Some((passed, bytes)) = self.passing.arrived.get(index) else { break };
            let to_peer = self.server.handle_handover(self.now, passed.via, &passed.client, bytes);
            if let Some(to_peer) = to_peer {
                let (start, of) = (passed.bytes.start, &to_peer.payload);
                self.to_peers.push(ToRelay::from(&to_peer), start + of.start..start + of.end, 0);
            }
            self.passing.done = index + 1;
            self.do_outputs();
        }
        let failed = send_all(&mut self.to_peers, &mut self.relays, self.passing.arrived.memory());
        self.count_not_sent(failed);
        Served { datagrams: self.passing.done - first, more: self.passing.done > first }
    }

    /// The other worker need not pass this client's datagrams on to us any more.
    pub(super) fn forget_client(&mut self, client: FiveTuple, worker: u8) {
        let other = self.others.get().and_then(|others| others.get(usize::from(worker)));
        if let Some(other) = other {
            let (worker, at) = (self.config.worker, Instant::now());
            other.tell(Command::Forget { client, worker, at });
        }
    }
}
