//! What waits for a TCP client that reads slowly.

use std::collections::VecDeque;
use std::io::{self, Write};

/// Half a second of a 8 Mbit/s camera, or one large key frame: beyond that old video is worth
/// less than new video.
pub(crate) const MAX_QUEUED: usize = 512 * 1024;

/// Whole frames in order. When full, the oldest relayed datagram makes room; answers stay.
#[derive(Debug, Default)]
pub(crate) struct SendQueue {
    frames: VecDeque<Frame>,
    bytes: usize,
    /// Bytes of the first frame that are written already: it cannot be dropped any more.
    written: usize,
}

#[derive(Debug)]
struct Frame {
    bytes: Vec<u8>,
    relayed: bool,
}

/// The client asks and asks and reads no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stuck;

impl SendQueue {
    /// An answer of the server's own.
    pub(crate) fn push_answer(&mut self, bytes: Vec<u8>) -> Result<(), Stuck> {
        self.make_room(bytes.len());
        if self.bytes + bytes.len() > MAX_QUEUED {
            return Err(Stuck);
        }
        self.push(Frame { bytes, relayed: false });
        Ok(())
    }

    /// A peer's datagram. Returns how many datagrams were dropped, this one included.
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

    /// Writes until nothing is left or the stream takes no more.
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
            let begun = usize::from(self.written > 0);
            let oldest = self.frames.iter().skip(begun).position(|frame| frame.relayed);
            let Some(frame) = oldest.and_then(|at| self.frames.remove(at + begun)) else { break };
            self.bytes -= frame.bytes.len();
            dropped += 1;
        }
        dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes so many bytes, then no more.
    struct Slow {
        room: usize,
        got: Vec<u8>,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.room == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let n = bytes.len().min(self.room);
            self.room -= n;
            self.got.extend_from_slice(&bytes[..n]);
            Ok(n)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_oldest_datagrams_are_dropped_whole_and_answers_stay() {
        let mut queue = SendQueue::default();
        let datagram = |n: u8| vec![n; MAX_QUEUED / 4];
        for n in 1..=4 {
            assert_eq!(queue.push_relayed(&datagram(n)), 0);
        }
        // The first has begun: it must end.
        let mut slow = Slow { room: 10, got: Vec::new() };
        queue.write_to(&mut slow).unwrap();
        queue.push_answer(vec![0; 8]).unwrap();
        assert_eq!(queue.push_relayed(&datagram(5)), 1);
        let mut fast = Slow { room: usize::MAX, got: Vec::new() };
        queue.write_to(&mut fast).unwrap();
        assert!(queue.is_empty());
        let mut order = [slow.got, fast.got].concat();
        assert_eq!(order.len(), 3 * MAX_QUEUED / 4 + 8);
        order.dedup();
        assert_eq!(order, [1, 4, 0, 5]);
    }

    #[test]
    fn a_client_that_reads_no_answers_is_stuck() {
        let mut queue = SendQueue::default();
        let mut answers = 0;
        while queue.push_answer(vec![0; 1024]).is_ok() {
            answers += 1;
        }
        assert_eq!(answers, MAX_QUEUED / 1024);
        assert_eq!(queue.push_relayed(&[0]), 1);
    }
}
