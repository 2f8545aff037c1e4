//! Which records of a client reach the engine, and which numbers its own ones get.
//!
//! The engine keeps fragments of handshake messages and records of later epochs without a bound
//! that an attacker would feel, and looks for a message's fragments in a time that grows
//! exponentially with repeated ones. A client of a TURN server needs neither: it shows no
//! certificate, so each of its messages fits a datagram, and there is no second handshake.

use crate::tls::dtls::hello::{HANDSHAKE, MESSAGE_HEADER, RECORD_HEADER, number};

/// ClientHello, ClientKeyExchange and Finished, each sent again as often as a handshake allows.
pub(crate) const MAX_HANDSHAKE_RECORDS: u32 = 32;
/// Records before the handshake is through: those, ChangeCipherSpec, and data that overtook them.
pub(crate) const MAX_EARLY_RECORDS: u32 = 96;
/// An encrypted Finished: nonce, header, 12 bytes, tag. Shorter than two fragments.
const MAX_ENCRYPTED_MESSAGE: usize = 8 + MESSAGE_HEADER + 12 + 16;

/// What one association may still send.
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
    /// Whether the engine may have this datagram.
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

/// Adds to the sequence numbers of unencrypted records. The engine counts from its own
/// HelloVerifyRequest, which nobody saw; RFC 6347 §4.2.1 wants the ServerHello to go on from the
/// number of the hello that it answers.
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
