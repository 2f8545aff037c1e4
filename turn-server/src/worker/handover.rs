//! Handover of datagrams to other workers, and from them.

use std::ops::Range;
use std::time::Instant;

use porthole_turn_proto::server::FiveTuple;

use super::inbox::MAX_BATCH;
use super::udp_clients::send_all;
use super::{Served, Worker};
use crate::control::Command;
use crate::control::handover::Batch;
use crate::relay::sockets::ToRelay;

/// Datagrams of both directions.
#[derive(Debug, Default)]
pub(super) struct Handover {
    /// The worker that the datagram being handled belongs to.
    pub(super) target: Option<u8>,
    /// Batches by worker, sent after each batch from a listening socket.
    outgoing: Vec<Batch>,
    incoming: Batch,
    /// The number of datagrams of `incoming` already handled.
    processed: usize,
}

impl Worker {
    /// Adds another worker's datagram to the next [`Self::flush_handover`].
    pub(super) fn hand_over_datagram(
        &mut self,
        worker: u8,
        client: &FiveTuple,
        datagram: Range<usize>,
    ) {
        let index = usize::from(worker);
        let outgoing = &mut self.handover.outgoing;
        if outgoing.len() <= index {
            outgoing.resize_with(index + 1, Batch::default);
        }
        if let Some(batch) = outgoing.get_mut(index) {
            batch.push(self.config.worker, client, self.from_clients.bytes(datagram));
        }
    }

    /// Gives the outgoing datagrams to their workers.
    pub(super) fn flush_handover(&mut self) {
        let all_workers = self.all_workers.get().map(Vec::as_slice).unwrap_or_default();
        let mut failed = 0;
        for (worker, batch) in self.handover.outgoing.iter_mut().enumerate() {
            if !batch.is_empty() {
                let accepted = all_workers.get(worker).is_some_and(|other| other.hand_over(batch));
                failed += if accepted { 0 } else { batch.len() };
                batch.clear();
            }
        }
        self.count_not_sent(failed);
    }

    /// Serves a batch of datagrams that other workers handed over.
    pub(super) fn serve_handed_over(&mut self) -> Served {
        if self.handover.processed == self.handover.incoming.len() {
            self.handover.processed = 0;
            self.handover.incoming.clear();
            self.control.swap_handed_over(&mut self.handover.incoming);
        }
        let first = self.handover.processed;
        for index in first..first + MAX_BATCH {
            let Some((handed_over, bytes)) = self.handover.incoming.get(index) else { break };
            let to_peer =
                self.server.handle_handover(self.now, handed_over.via, &handed_over.client, bytes);
            if let Some(to_peer) = to_peer {
                let (start, of) = (handed_over.bytes.start, &to_peer.payload);
                self.to_peers.push(ToRelay::from(&to_peer), start + of.start..start + of.end, 0);
            }
            self.handover.processed = index + 1;
            self.apply_outputs();
        }
        let failed =
            send_all(&mut self.to_peers, &mut self.relays, self.handover.incoming.memory());
        self.count_not_sent(failed);
        Served { datagrams: self.handover.processed - first, more: self.handover.processed > first }
    }

    /// Asks another worker to stop handing over this client's datagrams.
    pub(super) fn end_handover(&mut self, client: FiveTuple, worker: u8) {
        let other =
            self.all_workers.get().and_then(|all_workers| all_workers.get(usize::from(worker)));
        if let Some(other) = other {
            let (worker, at) = (self.config.worker, Instant::now());
            other.notify(Command::EndHandover { client, worker, at });
        }
    }
}
