//! The queue of frames for a TCP client that reads slowly.

use std::collections::VecDeque;
use std::io;
use std::io::Write;

/// Most bytes that wait: half a second of an 8 Mbit/s camera, or one large key frame. Beyond that,
/// old video is worth less than new video.
pub(crate) const MAX_QUEUED: usize = 512 * 1024;

/// Whole frames in order. When it is full, the oldest relayed datagrams are dropped, never the
/// responses.
#[derive(Debug, Default)]
pub(crate) struct SendQueue {
    frames: VecDeque<Frame>,
    bytes: usize,
    /// Bytes of the first frame already written; if any, it can no longer be dropped.
    written: usize,
}

#[derive(Debug)]
struct Frame {
    bytes: Vec<u8>,
    relayed: bool,
}

/// The client sends requests without reading the responses, and the queue is full of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QueueFull;

impl SendQueue {
    /// Appends a response or indication of the server itself.
    pub(crate) fn push_response(&mut self, bytes: Vec<u8>) -> Result<(), QueueFull> {
        self.make_room(bytes.len());
        if self.bytes + bytes.len() > MAX_QUEUED {
            return Err(QueueFull);
        }
        self.push(Frame { bytes, relayed: false });
        Ok(())
    }

    /// Appends a peer's datagram. Returns the number of datagrams dropped, which may include this
    /// one.
    pub(crate) fn push_relayed(&mut self, bytes: &[u8]) -> u64 {
        let dropped = self.make_room(bytes.len());
        if self.bytes + bytes.len() > MAX_QUEUED {
            return dropped + 1;
        }
        self.push(Frame { bytes: bytes.to_vec(), relayed: true });
        dropped
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Writes until the queue is empty or the stream accepts no more.
    pub(crate) fn write_to(&mut self, stream: &mut impl Write) -> io::Result<()> {
        while let Some(frame) = self.frames.front() {
            let rest = frame.bytes.get(self.written..).unwrap_or_default();
            match stream.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => self.advance(n),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn advance(&mut self, n: usize) {
        self.written += n;
        if let Some(frame) = self.frames.pop_front_if(|frame| self.written >= frame.bytes.len()) {
            self.bytes -= frame.bytes.len();
            self.written = 0;
        }
    }

    fn push(&mut self, frame: Frame) {
        self.bytes += frame.bytes.len();
        self.frames.push_back(frame);
    }

    fn make_room(&mut self, len: usize) -> u64 {
        let mut dropped = 0;
        while self.bytes + len > MAX_QUEUED {
            let partial = usize::from(self.written > 0);
            let oldest = self.frames.iter().skip(partial).position(|frame| frame.relayed);
            let Some(frame) = oldest.and_then(|at| self.frames.remove(at + partial)) else { break };
            self.bytes -= frame.bytes.len();
            dropped += 1;
        }
        dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stream that accepts a limited number of bytes.
    struct Slow {
        accepts: usize,
        got: Vec<u8>,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.accepts == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let n = bytes.len().min(self.accepts);
            self.accepts -= n;
            self.got.extend_from_slice(&bytes[..n]);
            Ok(n)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_oldest_datagrams_are_dropped_whole_and_responses_stay() {
        let mut queue = SendQueue::default();
        let datagram = |n: u8| vec![n; MAX_QUEUED / 4];
        for n in 1..=4 {
            assert_eq!(queue.push_relayed(&datagram(n)), 0);
        }
        // The first is partly written, so it must be finished.
        let mut slow = Slow { accepts: 10, got: Vec::new() };
        queue.write_to(&mut slow).unwrap();
        queue.push_response(vec![0; 8]).unwrap();
        assert_eq!(queue.push_relayed(&datagram(5)), 1);
        let mut fast = Slow { accepts: usize::MAX, got: Vec::new() };
        queue.write_to(&mut fast).unwrap();
        assert!(queue.is_empty());
        let mut order = [slow.got, fast.got].concat();
        assert_eq!(order.len(), 3 * MAX_QUEUED / 4 + 8);
        order.dedup();
        assert_eq!(order, [1, 4, 0, 5]);
    }

    #[test]
    fn the_queue_is_full_if_a_client_reads_no_responses() {
        let mut queue = SendQueue::default();
        let mut responses = 0;
        while queue.push_response(vec![0; 1024]).is_ok() {
            responses += 1;
        }
        assert_eq!(responses, MAX_QUEUED / 1024);
        assert_eq!(queue.push_relayed(&[0]), 1);
    }
}
