use std::collections::VecDeque;

use super::*;

/// One end in memory, with the bytes it sends and the number of bytes it accepts.
#[derive(Debug, Default)]
struct Memory {
    sends: VecDeque<u8>,
    ended: bool,
    got: Vec<u8>,
    accepts: usize,
    shut_down: bool,
}

impl Read for Memory {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.sends.is_empty() && !self.ended {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.sends.read(buffer)
    }
}

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = bytes.len().min(self.accepts);
        if n == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.accepts -= n;
        self.got.extend_from_slice(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl SpliceEnd for Memory {
    fn shutdown_write(&mut self) {
        self.shut_down = true;
    }
}

#[test]
fn bytes_that_a_slow_end_does_not_accept_are_not_read_from_the_other() {
    let sent: Vec<u8> = (0..=255).cycle().take(10 * PIPE).collect();
    let mut client = Memory { sends: sent.iter().copied().collect(), ..Memory::default() };
    let mut peer = Memory::default();
    let mut splice = Splice::new(b"first".to_vec());
    for _ in 0..3 {
        assert_eq!(splice.pump(&mut client, &mut peer, usize::MAX).unwrap(), SpliceStatus::Idle);
        assert_eq!(client.sends.len(), sent.len(), "not before the first is written");
    }
    peer.accepts = 5 + 100;
    splice.pump(&mut client, &mut peer, usize::MAX).unwrap();
    assert_eq!(client.sends.len(), sent.len() - PIPE);
    peer.accepts = usize::MAX;
    splice.pump(&mut client, &mut peer, usize::MAX).unwrap();
    assert_eq!(peer.got, [&b"first"[..], &sent].concat());
}

#[test]
fn a_fast_pair_yields_to_others() {
    let mut client = Memory { sends: vec![1; 2 * BUDGET].into(), ..Memory::default() };
    let mut peer = Memory { accepts: usize::MAX, ..Memory::default() };
    let mut splice = Splice::new(Vec::new());
    assert_eq!(splice.pump(&mut client, &mut peer, usize::MAX).unwrap(), SpliceStatus::More);
    assert_eq!(peer.got.len(), BUDGET);
    let transferred = Transferred { to_peer: BUDGET, to_client: 0 };
    assert_eq!(
        (splice.take_transferred(), splice.take_transferred()),
        (transferred, Transferred::default())
    );
}

#[test]
fn both_directions_share_a_small_allowance() {
    for (allowance, each) in [(1, 1), (100, 50), (PIPE, PIPE / 2), (4 * PIPE, 2 * PIPE)] {
        let end =
            || Memory { sends: vec![1; BUDGET].into(), accepts: usize::MAX, ..Memory::default() };
        let (mut client, mut peer) = (end(), end());
        let mut splice = Splice::new(Vec::new());
        assert_eq!(splice.pump(&mut client, &mut peer, allowance).unwrap(), SpliceStatus::More);
        assert_eq!((peer.got.len(), client.got.len()), (each, each), "{allowance}");
        assert_eq!(splice.take_transferred(), Transferred { to_peer: each, to_client: each });
    }
}

#[test]
fn the_end_of_one_direction_does_not_end_the_other() {
    let mut client = Memory { sends: vec![1; 10].into(), ended: true, ..Memory::default() };
    let mut peer = Memory { accepts: 4, ..Memory::default() };
    let mut splice = Splice::new(Vec::new());
    assert_eq!(splice.pump(&mut client, &mut peer, usize::MAX).unwrap(), SpliceStatus::Idle);
    assert!(!peer.shut_down, "before the last byte");
    peer.accepts = usize::MAX;
    assert_eq!(splice.pump(&mut client, &mut peer, usize::MAX).unwrap(), SpliceStatus::Idle);
    assert!(peer.shut_down && peer.got.len() == 10);
    peer.sends.extend([2; 10]);
    peer.ended = true;
    client.accepts = usize::MAX;
    assert_eq!(splice.pump(&mut client, &mut peer, usize::MAX).unwrap(), SpliceStatus::Done);
    assert!(client.shut_down && client.got.len() == 10);
}
