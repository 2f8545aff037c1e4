//! The challenges 401 and 438, which respond to unauthenticated requests (RFC 8489 §9.2.4).
//!
//! Over UDP the source of a request may be forged, so that the response hits someone else.
//! Therefore it is at most twice as long as the request ([`AMPLIFICATION`]): the *full* challenge
//! announces all features of RFC 8489, the *short* one answers short requests, and a request too
//! short for either gets no response.

use porthole_clock::Now;

use super::auth::PASSWORD_ALGORITHMS;
use super::nonce::{ADVERTISING_LEN, Features, PLAIN_LEN};
use super::requests::ReplyTo;
use super::{Doubt, FiveTuple, Server};
use crate::Transport;
use crate::stun::{Class, ErrorCode, HEADER_LEN, Message, Method, PasswordAlgorithm, attribute};

/// Ratio of lengths that the response to an unauthenticated request over UDP may have. With a
/// realm of more than eight bytes the shortest Allocate, a browser's, is an exception.
pub(super) const AMPLIFICATION: usize = 2;
const ATTRIBUTE_HEADER: usize = 4;
/// Bytes of ERROR-CODE with its header.
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
        if !self.may_respond(now, client)
            || wrong_password && !self.limits.may_reject_password(client.client.ip(), now.instant)
        {
            self.counters.unanswered += 1;
            return;
        }
        let expired = if wrong_password { self.authenticator.expired(message, now) } else { None };
        if let Some(expiry_s) = expired {
            self.doubt(now, Doubt::Expired, expiry_s);
        }
        let to = ReplyTo::new(client, message, None);
        if code == ErrorCode::BAD_REQUEST {
            return self.refuse(to, code);
        }
        let Some(ChallengeContents { features, tokens }) = self.affordable(client, message) else {
            self.counters.unanswered += 1;
            return;
        };
        self.counters.challenged += 1;
        self.counters.count_error(code);
        let nonce = self.authenticator.nonce(client, now, features);
        let realm = self.authenticator.realm().to_owned();
        self.reply(to, Class::Error, |writer| {
            writer
                .error_code(code)
                .attribute(attribute::REALM, realm.as_bytes())
                .attribute(attribute::NONCE, &nonce);
            if tokens {
                writer.attribute(attribute::THIRD_PARTY_AUTHORIZATION, realm.as_bytes());
            }
            if features != Features::None {
                let algorithms = PASSWORD_ALGORITHMS.map(PasswordAlgorithm::encode);
                writer.attribute(attribute::PASSWORD_ALGORITHMS, algorithms.as_flattened());
            }
        });
    }

    /// Returns true if the rate limits allow a response to an unauthenticated client now.
    pub(super) fn may_respond(&mut self, now: Now, client: &FiveTuple) -> bool {
        client.transport != Transport::Udp
            || self.limits.may_respond(client.client.ip(), now.instant)
    }

    /// Returns the best challenge that is not too long for this request.
    fn affordable(&self, client: &FiveTuple, message: &Message<'_>) -> Option<ChallengeContents> {
        let tokens = self.authenticator.accepts_tokens();
        // Over a connection the client's address cannot be forged.
        if client.transport != Transport::Udp {
            return Some(ChallengeContents { features: self.authenticator.features(), tokens });
        }
        let padded = |len: usize| ATTRIBUTE_HEADER + len.next_multiple_of(4);
        let fingerprint = if message.has_fingerprint() { FINGERPRINT_LEN } else { 0 };
        let realm = padded(self.authenticator.realm().len());
        let least = HEADER_LEN + ERROR_CODE_LEN + realm + fingerprint;
        let budget = AMPLIFICATION * message.len();
        let allocates = message.method() == Method::Allocate
            && message.first(attribute::REQUESTED_TRANSPORT).is_some();
        let full = padded(ADVERTISING_LEN) + ALGORITHMS_LEN;
        let features = self.authenticator.features();
        let contents = |features, tokens| ChallengeContents { features, tokens };
        // Tokens before features: a client without an account cannot sign in unless it learns that
        // tokens are accepted.
        let choices = [
            (full + realm, contents(features, true)),
            (padded(PLAIN_LEN) + realm, contents(Features::None, true)),
            (full, contents(features, false)),
            (padded(PLAIN_LEN), contents(Features::None, false)),
        ];
        let fits = |(len, contents): &(usize, ChallengeContents)| {
            least + len <= budget && (tokens || !contents.tokens)
        };
        let best = choices.into_iter().find(fits).map(|(_, contents)| contents);
        best.or(allocates.then_some(contents(Features::None, false)))
    }
}

/// The optional contents of a challenge.
#[derive(Clone, Copy, Debug)]
struct ChallengeContents {
    features: Features,
    /// True to add THIRD-PARTY-AUTHORIZATION (RFC 7635 §6.1).
    tokens: bool,
}
