//! The filter between a client's records and the engine, and the numbers of the engine's records.
//!
//! The engine stores fragments of handshake messages and records of later epochs without an
//! effective bound, and the time it takes to find a message's fragments grows exponentially with
//! repeated ones. A client of a TURN server needs neither: it sends no certificate, so each of its
//! messages fits a datagram, and there is no second handshake.

use crate::tls::dtls::hello::{HANDSHAKE, MESSAGE_HEADER, RECORD_HEADER, number};

/// Most handshake records: ClientHello, ClientKeyExchange and Finished, each retransmitted as often
/// as a handshake allows.
pub(crate) const MAX_HANDSHAKE_RECORDS: u32 = 32;
/// Most records before the handshake has succeeded: those, ChangeCipherSpec, and data that overtook
/// them.
pub(crate) const MAX_EARLY_RECORDS: u32 = 96;
/// Length of an encrypted Finished: nonce, header, 12 bytes, tag. Shorter than two fragments.
const MAX_ENCRYPTED_MESSAGE: usize = 8 + MESSAGE_HEADER + 12 + 16;

/// The numbers of records that one association may still send.
#[derive(Debug)]
pub(crate) struct Filter {
    handshake_records: u32,
    early_records: u32,
}

impl Default for Filter {
    fn default() -> Self {
        Self { handshake_records: MAX_HANDSHAKE_RECORDS, early_records: MAX_EARLY_RECORDS }
    }
}

impl Filter {
    /// Returns true if the engine may have this datagram. `early`: the handshake has not succeeded.
    pub(crate) fn admits(&mut self, datagram: &[u8], early: bool) -> bool {
        let mut rest = datagram;
        while !rest.is_empty() {
            let Some((header, body)) = rest.split_at_checked(RECORD_HEADER) else { return false };
            let length = number(header.get(11..13).unwrap_or_default());
            let Some((body, next)) = body.split_at_checked(length) else { return false };
            if !self.admits_record(header, body, early) {
                return false;
            }
            rest = next;
        }
        true
    }

    fn admits_record(&mut self, header: &[u8], body: &[u8], early: bool) -> bool {
        let epoch = number(header.get(3..5).unwrap_or_default());
        if early && !spend(&mut self.early_records) {
            return false;
        }
        if header.first() != Some(&HANDSHAKE) {
            return epoch <= 1;
        }
        let fits = match epoch {
            0 => is_whole_message(body),
            1 => body.len() <= MAX_ENCRYPTED_MESSAGE,
            _ => false,
        };
        fits && spend(&mut self.handshake_records)
    }
}

fn spend(budget: &mut u32) -> bool {
    let left = budget.checked_sub(1);
    *budget = left.unwrap_or(0);
    left.is_some()
}

fn is_whole_message(body: &[u8]) -> bool {
    let Some((header, message)) = body.split_at_checked(MESSAGE_HEADER) else { return false };
    let field = |range| number(header.get(range).unwrap_or_default());
    field(1..4) == message.len() && field(6..9) == 0 && field(9..12) == message.len()
}

/// Adds `offset` to the sequence numbers of unencrypted records. The engine counts from its own
/// HelloVerifyRequest, which was never sent; RFC 6347 §4.2.1 wants the ServerHello to continue from
/// the number of the hello that it responds to.
pub(crate) fn renumber(datagram: &mut [u8], offset: u64) {
    let mut rest = datagram;
    while let Some((header, body)) = rest.split_at_mut_checked(RECORD_HEADER) {
        let length = number(header.get(11..13).unwrap_or_default());
        if let Some(place) = header.get_mut(3..11)
            && let Ok(sequence) = <[u8; 8]>::try_from(&*place)
        {
            let sequence = u64::from_be_bytes(sequence);
            if sequence >> 48 == 0 {
                let moved = sequence.saturating_add(offset) & (u64::MAX >> 16);
                place.copy_from_slice(&moved.to_be_bytes());
            }
        }
        let Some((_, next)) = body.split_at_mut_checked(length) else { return };
        rest = next;
    }
}
