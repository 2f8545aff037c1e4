use std::collections::VecDeque;

use super::*;

/// One end in the memory: what comes from it, and how much it takes.
#[derive(Debug, Default)]
struct Memory {
    sends: VecDeque<u8>,
    ended: bool,
    got: Vec<u8>,
    room: usize,
    told: bool,
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
        let n = bytes.len().min(self.room);
        if n == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.room -= n;
        self.got.extend_from_slice(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl End for Memory {
    fn end(&mut self) {
        self.told = true;
    }
}

#[test]
fn what_a_slow_end_does_not_take_is_not_read_from_the_other() {
    let sent: Vec<u8> = (0..=255).cycle().take(10 * PIPE).collect();
    let mut client = Memory { sends: sent.iter().copied().collect(), ..Memory::default() };
    let mut peer = Memory::default();
    let mut splice = Splice::new(b"first".to_vec());
    for _ in 0..3 {
        assert_eq!(splice.pump(&mut client, &mut peer, usize::MAX).unwrap(), Spliced::Waits);
        assert_eq!(client.sends.len(), sent.len(), "not before the first is written");
    }
    peer.room = 5 + 100;
    splice.pump(&mut client, &mut peer, usize::MAX).unwrap();
    assert_eq!(client.sends.len(), sent.len() - PIPE);
    peer.room = usize::MAX;
    splice.pump(&mut client, &mut peer, usize::MAX).unwrap();
    assert_eq!(peer.got, [&b"first"[..], &sent].concat());
}

#[test]
fn a_fast_pair_gives_others_their_turn() {
    let mut client = Memory { sends: vec![1; 2 * BUDGET].into(), ..Memory::default() };
    let mut peer = Memory { room: usize::MAX, ..Memory::default() };
    let mut splice = Splice::new(Vec::new());
    assert_eq!(splice.pump(&mut client, &mut peer, usize::MAX).unwrap(), Spliced::More);
    assert_eq!(peer.got.len(), BUDGET);
    let carried = Carried { to_peer: BUDGET, to_client: 0 };
    assert_eq!((splice.take_carried(), splice.take_carried()), (carried, Carried::default()));
}

#[test]
fn no_more_than_there_is_room_for_is_read_and_both_have_their_share() {
    for (room, each) in [(1, 1), (100, 50), (PIPE, PIPE / 2), (4 * PIPE, 2 * PIPE)] {
        let end =
            || Memory { sends: vec![1; BUDGET].into(), room: usize::MAX, ..Memory::default() };
        let (mut client, mut peer) = (end(), end());
        let mut splice = Splice::new(Vec::new());
        assert_eq!(splice.pump(&mut client, &mut peer, room).unwrap(), Spliced::More);
        assert_eq!((peer.got.len(), client.got.len()), (each, each), "{room}");
        assert_eq!(splice.take_carried(), Carried { to_peer: each, to_client: each });
    }
}

#[test]
fn an_end_is_passed_on_and_the_other_direction_goes_on() {
    let mut client = Memory { sends: vec![1; 10].into(), ended: true, ..Memory::default() };
    let mut peer = Memory { room: 4, ..Memory::default() };
    let mut splice = Splice::new(Vec::new());
    assert_eq!(splice.pump(&mut client, &mut peer, usize::MAX).unwrap(), Spliced::Waits);
    assert!(!peer.told, "before the last byte");
    peer.room = usize::MAX;
    assert_eq!(splice.pump(&mut client, &mut peer, usize::MAX).unwrap(), Spliced::Waits);
    assert!(peer.told && peer.got.len() == 10);
    peer.sends.extend([2; 10]);
    peer.ended = true;
    client.room = usize::MAX;
    assert_eq!(splice.pump(&mut client, &mut peer, usize::MAX).unwrap(), Spliced::Over);
    assert!(client.told && client.got.len() == 10);
}
