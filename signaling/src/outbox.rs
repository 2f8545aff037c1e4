//! Queue of messages to send on one WebSocket, bounded in messages and in bytes.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use porthole_signaling_core::Close;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// A hundred viewers that start at once at one gateway, each with a dozen candidates.
const MAX_MESSAGES: usize = 1024;
/// A peer that has this much unread does not read.
const MAX_BYTES: usize = 1024 * 1024;

/// The driver's end of the queue.
#[derive(Debug)]
pub(crate) struct Outbox {
    queue: mpsc::Sender<String>,
    queued_bytes: Arc<AtomicUsize>,
    close: Arc<OnceLock<Close>>,
    closing_now: CancellationToken,
}

/// The WebSocket's end of the queue.
#[derive(Debug)]
pub(crate) struct OutboxReader {
    queue: mpsc::Receiver<String>,
    queued_bytes: Arc<AtomicUsize>,
    close: Arc<OnceLock<Close>>,
    closing_now: CancellationToken,
}

/// The error that the queue is full.
#[derive(Debug)]
pub(crate) struct Full;

impl Outbox {
    pub(crate) fn new() -> (Self, OutboxReader) {
        let (sender, receiver) = mpsc::channel(MAX_MESSAGES);
        let outbox = Self {
            queue: sender,
            queued_bytes: Arc::default(),
            close: Arc::default(),
            closing_now: CancellationToken::new(),
        };
        let reader = OutboxReader {
            queue: receiver,
            queued_bytes: Arc::clone(&outbox.queued_bytes),
            close: Arc::clone(&outbox.close),
            closing_now: outbox.closing_now.clone(),
        };
        (outbox, reader)
    }

    pub(crate) fn send(&self, json: String) -> Result<(), Full> {
        let bytes = json.len();
        if self.queued_bytes.load(Ordering::Relaxed) + bytes > MAX_BYTES {
            return Err(Full);
        }
        self.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.queue.try_send(json).map_err(|_| Full)
    }

    /// Returns how many messages wait, and how many bytes they have.
    pub(crate) fn queued(&self) -> (usize, usize) {
        let messages = self.queue.max_capacity() - self.queue.capacity();
        (messages, self.queued_bytes.load(Ordering::Relaxed))
    }

    /// Closes the WebSocket once the queued messages are sent; at once if the peer is too slow.
    pub(crate) fn close(self, close: Close) {
        let too_slow = close == Close::TOO_SLOW;
        // Nothing can have been set before, because this consumes the only `Outbox`.
        let _first = self.close.set(close);
        if too_slow {
            self.closing_now.cancel();
        }
    }
}

impl OutboxReader {
    /// Waits until the WebSocket is to be closed at once, whatever is still queued.
    pub(crate) async fn closed_now(&self) -> Close {
        self.closing_now.cancelled().await;
        self.reason()
    }

    fn reason(&self) -> Close {
        self.close.get().cloned().unwrap_or(Close::GOING_AWAY)
    }

    /// Waits for the next message to send.
    ///
    /// # Errors
    /// The reason to close the WebSocket with, when it is to be closed.
    pub(crate) async fn next(&mut self) -> Result<String, Close> {
        tokio::select! {
            biased;
            () = self.closing_now.cancelled() => Err(self.reason()),
            message = self.queue.recv() => match message {
                Some(json) => {
                    self.queued_bytes.fetch_sub(json.len(), Ordering::Relaxed);
                    Ok(json)
                }
                // The driver has dropped its end, and everything is sent.
                None => Err(self.reason()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn queued_messages_are_sent_before_the_websocket_is_closed() {
        let (outbox, mut reader) = Outbox::new();
        outbox.send("1".to_owned()).unwrap();
        outbox.close(Close::GOING_AWAY);
        assert_eq!(reader.next().await, Ok("1".to_owned()));
        assert_eq!(reader.next().await, Err(Close::GOING_AWAY));
    }

    #[tokio::test]
    async fn a_queue_full_of_messages_or_bytes_closes_the_websocket_at_once() {
        for (message, fit) in [("1".to_owned(), MAX_MESSAGES), ("1".repeat(MAX_BYTES / 4), 4)] {
            let (outbox, mut reader) = Outbox::new();
            for _ in 0..fit {
                outbox.send(message.clone()).unwrap();
            }
            assert!(outbox.send(message.clone()).is_err());
            outbox.close(Close::TOO_SLOW);
            assert_eq!(reader.next().await, Err(Close::TOO_SLOW));
        }
    }
}
