//! The target for the first records of a DTLS client.

use porthole_gateway_core::dtls_srtp::{HelloPeek, MAX_HELD_BYTES, Peeked, SrtpProfile};

/// Handshake message that a ClientHello is.
const CLIENT_HELLO: u8 = 1;

/// Maximum size of a ClientHello here: with the headers of its fragments it can be held back.
const MAX_HELLO: usize = MAX_HELD_BYTES - 256;

/// Checks that the first records of a client are held back within bounds, and that a ClientHello is
/// read the same in fragments. The first byte chooses the size of the fragments; what follows is
/// taken as datagrams, each behind its length, and as the body of a ClientHello.
pub fn client_hello(data: &[u8]) {
    let Some((choice, rest)) = data.split_first() else { return };
    hold_back(rest);
    if rest.len() > MAX_HELLO {
        return;
    }
    let size = (rest.len() / 8 + 1).max(usize::from(*choice));
    let records: Vec<Vec<u8>> =
        (0..rest.len().div_ceil(size).max(1)).map(|part| record(rest, part * size, size)).collect();
    let backwards: Vec<Vec<u8>> = records.iter().rev().cloned().collect();
    let whole = read(&[record(rest, 0, rest.len())]);
    assert_eq!(read(&records), whole, "in fragments of {size}");
    assert_eq!(read(&backwards), whole, "in fragments of {size}, the last one first");
}

/// Checks the bounds of what is held back.
fn hold_back(mut rest: &[u8]) {
    let mut peek = HelloPeek::default();
    let mut held = 0;
    while let [high, low, piece @ ..] = rest {
        let len = usize::from(u16::from_be_bytes([*high, *low])).min(piece.len());
        let (datagram, after) = piece.split_at(len);
        rest = after;
        held += datagram.len();
        match peek.handle_records(datagram) {
            Peeked::Wait => {}
            Peeked::Done { records, .. } => {
                assert!(records.len() <= held);
                assert!(records.len() <= MAX_HELD_BYTES + datagram.len());
                held = 0;
            }
        }
    }
}

/// Makes a record with the part of a ClientHello from `offset` on.
fn record(hello: &[u8], offset: usize, size: usize) -> Vec<u8> {
    let part = &hello[offset..hello.len().min(offset + size)];
    let number = |value: usize, width: usize| value.to_be_bytes()[8 - width..].to_vec();
    let fragment = [
        vec![CLIENT_HELLO],
        number(hello.len(), 3),
        number(0, 2),
        number(offset, 3),
        number(part.len(), 3),
        part.to_vec(),
    ];
    let fragment = fragment.concat();
    let header = [vec![22, 254, 253], vec![0; 8], number(fragment.len(), 2)];
    [header.concat(), fragment].concat()
}

/// Returns the profile that is read from these datagrams, if the message is whole.
fn read(datagrams: &[Vec<u8>]) -> Option<Option<SrtpProfile>> {
    let mut peek = HelloPeek::default();
    let mut sent = 0;
    for (index, datagram) in datagrams.iter().enumerate() {
        sent += datagram.len();
        if let Peeked::Done { records, profile } = peek.handle_records(datagram) {
            assert_eq!(records.len(), sent, "a record is lost");
            assert_eq!(index + 1, datagrams.len(), "a ClientHello is not whole");
            return Some(profile);
        }
    }
    None
}
