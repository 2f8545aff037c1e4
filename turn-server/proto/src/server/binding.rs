//! Binding (RFC 8489 §3): anybody may ask where they are seen.

use super::requests::ReplyTo;
use super::{FiveTuple, Now, Server};
use crate::stun::{Class, Message, attribute};

impl Server {
    /// The answer is at most 12 bytes longer than the question over IPv4, 24 over IPv6.
    pub(super) fn handle_binding(&mut self, now: Now, client: &FiveTuple, message: &Message<'_>) {
        if !self.may_answer(now, client) {
            return;
        }
        let to = ReplyTo::new(client, message, None);
        if message.unknown_required(self.known()).next().is_some() {
            return self.refuse_unknown(to, message);
        }
        self.counters.bindings += 1;
        self.reply(to, Class::Success, |writer| {
            writer.xor_address(attribute::XOR_MAPPED_ADDRESS, client.client);
        });
    }
}
