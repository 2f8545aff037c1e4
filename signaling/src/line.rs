//! What waits to be sent on one WebSocket: bounded in messages and in bytes.

use porthole_signaling_core::Close;
use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicUsize, Ordering},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// A hundred viewers that begin at once at one gateway, each with a dozen candidates.
const MAX_MESSAGES: usize = 1024;
/// A peer that has this much to read does not read.
const MAX_BYTES: usize = 1024 * 1024;

/// The driver's end.
#[derive(Debug)]
pub(crate) struct Line {
    queue: mpsc::Sender<Outgoing>,
    waiting: Arc<AtomicUsize>,
    close: Arc<OnceLock<Close>>,
    closing: CancellationToken,
}

/// The WebSocket's end.
#[derive(Debug)]
pub(crate) struct LineEnd {
    queue: mpsc::Receiver<Outgoing>,
    waiting: Arc<AtomicUsize>,
    close: Arc<OnceLock<Close>>,
    closing: CancellationToken,
}

#[derive(Debug)]
pub(crate) struct Outgoing(String);

impl Outgoing {
    pub(crate) fn new(json: &str) -> Self {
        Self(json.to_owned())
    }
}

/// The line is full.
#[derive(Debug)]
pub(crate) struct Full;

impl Line {
    pub(crate) fn new() -> (Self, LineEnd) {
        let (sender, receiver) = mpsc::channel(MAX_MESSAGES);
        let line = Self {
            queue: sender,
            waiting: Arc::default(),
            close: Arc::default(),
            closing: CancellationToken::new(),
        };
        let end = LineEnd {
            queue: receiver,
            waiting: Arc::clone(&line.waiting),
            close: Arc::clone(&line.close),
            closing: line.closing.clone(),
        };
        (line, end)
    }

    pub(crate) fn send(&self, message: Outgoing) -> Result<(), Full> {
        let bytes = message.0.len();
        if self.waiting.load(Ordering::Relaxed) + bytes > MAX_BYTES {
            return Err(Full);
        }
        self.waiting.fetch_add(bytes, Ordering::Relaxed);
        self.queue.try_send(message).map_err(|_| Full)
    }

    /// Closes the WebSocket after what waits already.
    pub(crate) fn close(self, close: Close) {
        let too_slow = close == Close::TOO_SLOW;
        // There is only one: `self` is gone then.
        let _first = self.close.set(close);
        if too_slow {
            self.closing.cancel();
        }
    }
}

impl LineEnd {
    /// Waits until the WebSocket is to be closed at once, whatever still waits.
    pub(crate) async fn cut(&self) -> Close {
        self.closing.cancelled().await;
        self.reason()
    }

    fn reason(&self) -> Close {
        self.close.get().cloned().unwrap_or(Close::GOING_AWAY)
    }

    /// What to send next; `Err` when the WebSocket is to be closed.
    pub(crate) async fn next(&mut self) -> Result<String, Close> {
        tokio::select! {
            biased;
            () = self.closing.cancelled() => Err(self.reason()),
            message = self.queue.recv() => match message {
                Some(Outgoing(json)) => {
                    self.waiting.fetch_sub(json.len(), Ordering::Relaxed);
                    Ok(json)
                }
                // The driver's end is gone: everything was sent.
                None => Err(self.reason()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_waits_is_sent_before_the_line_is_closed() {
        let (line, mut end) = Line::new();
        line.send(Outgoing::new("1")).unwrap();
        line.close(Close::GOING_AWAY);
        assert_eq!(end.next().await, Ok("1".to_owned()));
        assert_eq!(end.next().await, Err(Close::GOING_AWAY));
    }

    #[tokio::test]
    async fn a_line_is_full_by_messages_and_by_bytes_and_then_closed_at_once() {
        for (message, fit) in [("1".to_owned(), MAX_MESSAGES), ("1".repeat(MAX_BYTES / 4), 4)] {
            let (line, mut end) = Line::new();
            for _ in 0..fit {
                line.send(Outgoing::new(&message)).unwrap();
            }
            assert!(line.send(Outgoing::new(&message)).is_err());
            line.close(Close::TOO_SLOW);
            assert_eq!(end.next().await, Err(Close::TOO_SLOW));
        }
    }
}
