//! The queue of sources to serve, and the kinds of source encoded in tokens.

use std::collections::VecDeque;

use mio::Token;

/// Kinds of source, in the low bits of a token; the rest is the index among its kind.
pub(super) const WAKER: usize = 0;
pub(super) const UDP: usize = 1;
pub(super) const TCP: usize = 2;
pub(super) const CONNECTION: usize = 3;
pub(super) const RELAY: usize = 4;
pub(super) const TLS: usize = 5;
pub(super) const DTLS: usize = 6;
pub(super) const TCP_RELAY: usize = 7;
pub(super) const PEER: usize = 8;
const KIND_BITS: u32 = 4;

pub(super) const fn token(kind: usize, index: usize) -> Token {
    Token(index << KIND_BITS | kind)
}

/// Returns the kind and the index of a token.
pub(super) const fn split(token: Token) -> (usize, usize) {
    (token.0 & ((1 << KIND_BITS) - 1), token.0 >> KIND_BITS)
}

/// The two sides, which are served in turn when both have data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Clients,
    Peers,
}

impl Side {
    const fn of(kind: usize) -> Self {
        if kind == RELAY { Self::Peers } else { Self::Clients }
    }

    const fn other(self) -> Self {
        match self {
            Self::Clients => Self::Peers,
            Self::Peers => Self::Clients,
        }
    }
}

/// The sources to serve, each at most once in its queue.
#[derive(Debug, Default)]
pub(super) struct Ready {
    clients: VecDeque<Token>,
    peers: VecDeque<Token>,
    /// A bit for each queued token, at its own number; indices are dense.
    queued: Vec<u64>,
    /// Number of datagrams by which clients are ahead of peers.
    lead: isize,
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

    /// Begins a round: an idle side earns no credit.
    pub(super) fn begin_round(&mut self) {
        if !self.has(Side::Clients) || !self.has(Side::Peers) {
            self.lead = 0;
        }
    }

    /// Returns the next source of the side that is behind, counted in datagrams. `None` also if
    /// that side has no source: the poll comes before the other side continues, because a busy
    /// listening socket would otherwise hide new data of many relay sockets. Only the `first`
    /// source of a round may be of either side.
    pub(super) fn next(&mut self, first: bool) -> Option<Token> {
        let side = if self.lead > 0 { Side::Peers } else { Side::Clients };
        if self.has(side) || !first {
            return self.pop(side);
        }
        self.pop(side.other())
    }

    /// Counts the datagrams of a served source.
    pub(super) fn count(&mut self, token: Token, datagrams: usize) {
        let step = isize::try_from(datagrams).unwrap_or(isize::MAX / 2);
        self.lead = match Side::of(split(token).0) {
            Side::Clients => self.lead.saturating_add(step),
            Side::Peers => self.lead.saturating_sub(step),
        };
    }

    pub(super) fn is_empty(&self) -> bool {
        self.clients.is_empty() && self.peers.is_empty()
    }

    /// Releases the memory of an empty queue.
    pub(super) fn release_memory(&mut self) {
        if self.is_empty() {
            *self = Self::default();
        }
    }

    fn has(&self, side: Side) -> bool {
        match side {
            Side::Clients => !self.clients.is_empty(),
            Side::Peers => !self.peers.is_empty(),
        }
    }

    fn pop(&mut self, side: Side) -> Option<Token> {
        let token = match side {
            Side::Clients => self.clients.pop_front(),
            Side::Peers => self.peers.pop_front(),
        }?;
        let (word, bit) = place(token);
        if let Some(bits) = self.queued.get_mut(word) {
            *bits &= !bit;
        }
        Some(token)
    }
}

const fn place(token: Token) -> (usize, u64) {
    (token.0 / 64, 1 << (token.0 % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_queued_once_and_again_after_its_turn() {
        let mut ready = Ready::default();
        let [a, b, c] = [(UDP, 0), (RELAY, 15), (RELAY, 1000)].map(|(k, i)| token(k, i));
        for pushed in [a, b, a, c, b, b] {
            ready.push(pushed);
        }
        assert_eq!(ready.next(true), Some(a));
        ready.push(a);
        ready.count(a, 1);
        assert_eq!(ready.next(false), Some(b));
        ready.count(b, 1);
        assert_eq!(ready.next(false), Some(a));
        assert_eq!(ready.next(false), None, "it is the turn of the clients, which have nothing");
        assert_eq!(ready.next(true), Some(c));
        assert_eq!(split(c), (RELAY, 1000));
        assert!(ready.is_empty());
    }

    #[test]
    fn neither_direction_gets_ahead_by_more_than_a_batch() {
        for (from_clients, from_peers) in [(32, 1), (32, 8), (1, 8), (1, 1)] {
            let mut ready = Ready::default();
            let mut served = [0_usize; 2];
            for _ in 0..100 {
                // One listening socket and a hundred relay sockets, none of which runs dry.
                ready.push(token(UDP, 0));
                (0..100).for_each(|slot| ready.push(token(RELAY, slot)));
                ready.begin_round();
                let mut first = true;
                for _ in 0..50 {
                    let Some(token) = ready.next(first) else { break };
                    let side = usize::from(split(token).0 == RELAY);
                    let datagrams = [from_clients, from_peers][side];
                    served[side] += datagrams;
                    ready.count(token, datagrams);
                    first = false;
                }
            }
            let ahead = served[0].abs_diff(served[1]);
            assert!(ahead <= 64, "{from_clients}:{from_peers} gave {served:?}");
        }
    }

    #[test]
    fn an_idle_side_earns_no_credit() {
        let mut ready = Ready::default();
        let (listener, relay) = (token(UDP, 0), token(RELAY, 0));
        for _ in 0..1000 {
            ready.push(listener);
            ready.begin_round();
            assert_eq!(ready.next(true), Some(listener));
            ready.count(listener, 32);
        }
        ready.push(relay);
        ready.begin_round();
        ready.push(listener);
        assert_eq!(ready.next(true), Some(listener), "the peers have no credit");
    }
}
