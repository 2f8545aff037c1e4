//! The way of a source's events to whoever handles them.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::{SourceError, SourceEvent};

/// Limit of a source's events that nobody has handled: two key frames of 300 kB.
const MAX_WAITING: usize = 512;

/// Limit of the events of one batch, so that sources take turns.
const MAX_BATCH: usize = 64;

/// Capacity of a channel of batches. Each batch is at least one of the `MAX_WAITING` events of
/// its source.
pub const BATCH_QUEUE: usize = 4096;

/// Events of a source, in their order, which are passed on together: what arrived together.
#[derive(Debug)]
pub struct SourceBatch {
    /// The number of the source's sender.
    pub source: u64,
    /// The events of the batch.
    pub events: Vec<SourceEvent>,
    /// The room that the events take up among those that wait, until the batch is dropped.
    _room: OwnedSemaphorePermit,
}

/// The sending end of a source.
#[derive(Debug, Clone)]
pub struct EventSender {
    source: u64,
    room: Arc<Semaphore>,
    batches: mpsc::Sender<SourceBatch>,
}

impl EventSender {
    /// Creates the sender of a source, which gives its batches this number.
    #[must_use]
    pub fn new(source: u64, batches: mpsc::Sender<SourceBatch>) -> Self {
        Self { source, room: Arc::new(Semaphore::new(MAX_WAITING)), batches }
    }

    /// Sends one event, and waits for room first.
    ///
    /// # Errors
    /// With [`SourceError::ReceiverDropped`] if nobody handles events any more.
    pub async fn send(&self, event: SourceEvent) -> Result<(), SourceError> {
        self.send_all(vec![event]).await
    }

    /// Sends events that arrived together, and waits for room first.
    ///
    /// # Errors
    /// With [`SourceError::ReceiverDropped`] if nobody handles events any more.
    pub async fn send_all(&self, mut events: Vec<SourceEvent>) -> Result<(), SourceError> {
        while !events.is_empty() {
            let rest = events.split_off(events.len().min(MAX_BATCH));
            let count = u32::try_from(events.len()).unwrap_or(u32::MAX);
            let room = Arc::clone(&self.room).acquire_many_owned(count).await;
            let room = room.map_err(|_| SourceError::ReceiverDropped)?;
            let batch = SourceBatch { source: self.source, events, _room: room };
            self.batches.send(batch).await.map_err(|_| SourceError::ReceiverDropped)?;
            events = rest;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn silences(count: usize) -> Vec<SourceEvent> {
        std::iter::repeat_with(|| SourceEvent::Silent).take(count).collect()
    }

    #[test]
    fn a_source_waits_while_too_many_of_its_events_do_however_they_are_batched() {
        for (name, sizes) in [
            ("one by one", vec![1; MAX_WAITING]),
            ("whole batches", vec![MAX_BATCH; MAX_WAITING / MAX_BATCH]),
            ("more than a batch at once", vec![MAX_WAITING]),
        ] {
            let (sender, mut batches) = mpsc::channel(BATCH_QUEUE);
            let events = EventSender::new(7, sender.clone());
            let mut context = Context::from_waker(Waker::noop());
            for size in sizes {
                let sent = pin!(events.send_all(silences(size))).poll(&mut context);
                assert!(matches!(sent, Poll::Ready(Ok(()))), "{name}");
            }
            let mut waiting = pin!(events.send(SourceEvent::Silent));
            assert!(waiting.as_mut().poll(&mut context).is_pending(), "{name}");
            // Another source does not.
            let other = EventSender::new(8, sender);
            assert!(pin!(other.send(SourceEvent::Silent)).poll(&mut context).is_ready(), "{name}");

            let first = batches.try_recv().unwrap();
            assert!(first.source == 7 && first.events.len() <= MAX_BATCH, "{name}");
            assert!(waiting.as_mut().poll(&mut context).is_pending(), "{name}: not handled yet");
            drop(first);
            assert!(waiting.as_mut().poll(&mut context).is_ready(), "{name}");
            let mut count = 0;
            while let Ok(batch) = batches.try_recv() {
                count += batch.events.iter().filter(|_| batch.source == 7).count();
            }
            assert!(count > MAX_WAITING - MAX_BATCH, "{name}: none is lost");
        }
    }

    #[tokio::test]
    async fn a_source_whose_events_nobody_handles_ends() {
        let (sender, batches) = mpsc::channel(1);
        let events = EventSender::new(0, sender);
        events.send_all(silences(MAX_BATCH)).await.unwrap();
        drop(batches);
        let sent = events.send_all(silences(MAX_WAITING)).await;
        assert!(matches!(sent, Err(SourceError::ReceiverDropped)));
    }
}
