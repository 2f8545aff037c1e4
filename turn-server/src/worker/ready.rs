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

/// Who is served next when clients and peers have both something to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Clients,
    Peers,
}

impl Side {
    pub(super) const fn of(kind: usize) -> Self {
        if kind == RELAY { Self::Peers } else { Self::Clients }
    }
}

/// Sources to serve, each at most once in its queue.
#[derive(Debug, Default)]
pub(super) struct Ready {
    clients: VecDeque<Token>,
    peers: VecDeque<Token>,
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
            match Side::of(split(token).0) {
                Side::Clients => self.clients.push_back(token),
                Side::Peers => self.peers.push_back(token),
            }
        }
    }

    pub(super) fn has(&self, side: Side) -> bool {
        match side {
            Side::Clients => !self.clients.is_empty(),
            Side::Peers => !self.peers.is_empty(),
        }
    }

    /// The other side's when this one has none.
    pub(super) fn pop(&mut self, side: Side) -> Option<Token> {
        let token = match side {
            Side::Clients => self.clients.pop_front().or_else(|| self.peers.pop_front()),
            Side::Peers => self.peers.pop_front().or_else(|| self.clients.pop_front()),
        }?;
        let (word, bit) = place(token);
        if let Some(bits) = self.queued.get_mut(word) {
            *bits &= !bit;
        }
        Some(token)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.clients.is_empty() && self.peers.is_empty()
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
        assert_eq!(ready.pop(Side::Clients), Some(a));
        ready.push(a);
        let order = [Side::Peers, Side::Clients, Side::Clients, Side::Clients];
        assert_eq!(order.map(|side| ready.pop(side)), [Some(b), Some(a), Some(c), None]);
        assert_eq!(split(c), (RELAY, 1000));
        assert!(ready.is_empty());
    }
}
