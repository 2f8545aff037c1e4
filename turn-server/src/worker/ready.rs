//! Which sources have something to give, and what a token says about its source.

use std::collections::VecDeque;

use mio::Token;

/// What a token's low bits say it is; the rest is its index.
pub(super) const WAKER: usize = 0;
pub(super) const UDP: usize = 1;
pub(super) const TCP: usize = 2;
pub(super) const CONNECTION: usize = 3;
pub(super) const RELAY: usize = 4;
const KIND_BITS: u32 = 3;

pub(super) const fn token(kind: usize, index: usize) -> Token {
    Token(index << KIND_BITS | kind)
}

/// Its kind and its index.
pub(super) const fn split(token: Token) -> (usize, usize) {
    (token.0 & ((1 << KIND_BITS) - 1), token.0 >> KIND_BITS)
}

/// Sources to serve, each at most once in the queue.
#[derive(Debug, Default)]
pub(super) struct Ready {
    queue: VecDeque<Token>,
    /// A bit for each token, at its own number: indices are dense.
    queued: Vec<u64>,
}

impl Ready {
    pub(super) fn push(&mut self, token: Token) {
        let (word, bit) = place(token);
        if self.queued.len() <= word {
            self.queued.resize(word + 1, 0);
        }
        if let Some(bits) = self.queued.get_mut(word)
            && *bits & bit == 0
        {
            *bits |= bit;
            self.queue.push_back(token);
        }
    }

    pub(super) fn pop(&mut self) -> Option<Token> {
        let token = self.queue.pop_front()?;
        let (word, bit) = place(token);
        if let Some(bits) = self.queued.get_mut(word) {
            *bits &= !bit;
        }
        Some(token)
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

const fn place(token: Token) -> (usize, u64) {
    (token.0 / 64, 1 << (token.0 % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_waits_once_and_comes_again_after_its_turn() {
        let mut ready = Ready::default();
        let [a, b, c] = [(UDP, 0), (RELAY, 15), (RELAY, 1000)].map(|(k, i)| token(k, i));
        for pushed in [a, b, a, c, b, b] {
            ready.push(pushed);
        }
        assert_eq!((ready.pop(), ready.len()), (Some(a), 2));
        ready.push(a);
        let order: Vec<_> = std::iter::from_fn(|| ready.pop()).collect();
        assert_eq!(order, [b, c, a]);
        assert_eq!(split(c), (RELAY, 1000));
        assert!(ready.is_empty());
    }
}
