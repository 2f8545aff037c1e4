//! 401 and 438: the way in for who has proved nothing yet (RFC 8489 §9.2.4).
//!
//! Over UDP the asker may be forged, and the answer hits somebody else. So it is at most twice as
//! long as the question ([`AMPLIFICATION`]): the *full* challenge offers all of RFC 8489, the
//! *short* one is for short questions, and what deserves neither gets no answer.

use super::auth::PASSWORD_ALGORITHMS;
use super::nonce::{ADVERTISING_LEN, Offer, PLAIN_LEN};
use super::requests::ReplyTo;
use super::{FiveTuple, Server};
use crate::Transport;
use crate::stun::{Class, ErrorCode, HEADER_LEN, Message, Method, PasswordAlgorithm, attribute};
use porthole_clock::Now;

/// How much longer than a question from nobody knows whom its answer may be. A realm of more than
/// eight bytes makes the shortest Allocate, a browser's, an exception.
pub(super) const AMPLIFICATION: usize = 2;
const ATTRIBUTE_HEADER: usize = 4;
/// With its header.
const ERROR_CODE_LEN: usize = ATTRIBUTE_HEADER + 4;
const FINGERPRINT_LEN: usize = ATTRIBUTE_HEADER + 4;
const ALGORITHMS_LEN: usize = ATTRIBUTE_HEADER + 4 * PASSWORD_ALGORITHMS.len();

impl Server {
    pub(super) fn challenge(
        &mut self,
        now: Now,
        client: &FiveTuple,
        message: &Message<'_>,
        code: ErrorCode,
    ) {
        let wrong_password = code == ErrorCode::UNAUTHENTICATED && message.has_integrity();
        if !self.may_answer(now, client)
            || wrong_password && !self.limits.may_fail(client.client.ip(), now.instant)
        {
            self.counters.unanswered += 1;
            return;
        }
        let to = ReplyTo::new(client, message, None);
        if code == ErrorCode::BAD_REQUEST {
            return self.refuse(to, code);
        }
        let Some(Affordable { offer, tokens }) = self.affordable(client, message) else {
            self.counters.unanswered += 1;
            return;
        };
        self.counters.challenged += 1;
        self.counters.count_error(code);
        let nonce = self.authenticator.nonce(client, now, offer);
        let realm = self.authenticator.realm().to_owned();
        self.reply(to, Class::Error, |writer| {
            writer
                .error_code(code)
                .attribute(attribute::REALM, realm.as_bytes())
                .attribute(attribute::NONCE, &nonce);
            if tokens {
                writer.attribute(attribute::THIRD_PARTY_AUTHORIZATION, realm.as_bytes());
            }
            if offer != Offer::Plain {
                let algorithms = PASSWORD_ALGORITHMS.map(PasswordAlgorithm::encode);
                writer.attribute(attribute::PASSWORD_ALGORITHMS, algorithms.as_flattened());
            }
        });
    }

    /// Whether a source that has proved nothing gets an answer now.
    pub(super) fn may_answer(&mut self, now: Now, client: &FiveTuple) -> bool {
        client.transport != Transport::Udp
            || self.limits.may_answer(client.client.ip(), now.instant)
    }

    /// The best challenge that this question pays for.
    fn affordable(&self, client: &FiveTuple, message: &Message<'_>) -> Option<Affordable> {
        let tokens = self.authenticator.takes_tokens();
        // A connection has proved its address.
        if client.transport != Transport::Udp {
            return Some(Affordable { offer: self.authenticator.offer(), tokens });
        }
        let padded = |len: usize| ATTRIBUTE_HEADER + len.next_multiple_of(4);
        let fingerprint = if message.has_fingerprint() { FINGERPRINT_LEN } else { 0 };
        let realm = padded(self.authenticator.realm().len());
        let least = HEADER_LEN + ERROR_CODE_LEN + realm + fingerprint;
        let budget = AMPLIFICATION * message.len();
        let allocates = message.method() == Method::Allocate
            && message.first(attribute::REQUESTED_TRANSPORT).is_some();
        let full = padded(ADVERTISING_LEN) + ALGORITHMS_LEN;
        // Who takes tokens has to say so: nothing else lets those in who have no account.
        let ways = [
            (full + realm, Affordable { offer: self.authenticator.offer(), tokens: true }),
            (padded(PLAIN_LEN) + realm, Affordable { offer: Offer::Plain, tokens: true }),
            (full, Affordable { offer: self.authenticator.offer(), tokens: false }),
            (padded(PLAIN_LEN), Affordable { offer: Offer::Plain, tokens: false }),
        ];
        let fits =
            |(len, way): &(usize, Affordable)| least + len <= budget && (tokens || !way.tokens);
        let best = ways.into_iter().find(fits).map(|(_, way)| way);
        best.or(allocates.then_some(Affordable { offer: Offer::Plain, tokens: false }))
    }
}

/// What a challenge holds.
#[derive(Clone, Copy, Debug)]
struct Affordable {
    offer: Offer,
    /// THIRD-PARTY-AUTHORIZATION (RFC 7635 §6.1).
    tokens: bool,
}
