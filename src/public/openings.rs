//! The connections that are being opened: their number is bounded, and the oldest makes room.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

/// All connections that are being opened, in the order of their arrival.
#[derive(Debug)]
pub(super) struct Openings {
    max: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last: u64,
    open: BTreeMap<u64, CancellationToken>,
}

/// A connection that is being opened; no longer when this is dropped.
#[derive(Debug)]
pub(super) struct Opening {
    all: Arc<Openings>,
    id: u64,
    lost: CancellationToken,
}

impl Openings {
    /// Begins with none, for at most `max`.
    pub(super) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max, state: Mutex::default() })
    }

    /// Adds a connection, for which the oldest makes room if there are too many.
    pub(super) fn begin(self: &Arc<Self>) -> Opening {
        let mut state = self.lock();
        while state.open.len() >= self.max
            && let Some((_, oldest)) = state.open.pop_first()
        {
            oldest.cancel();
        }
        state.last += 1;
        let (id, lost) = (state.last, CancellationToken::new());
        state.open.insert(id, lost.clone());
        drop(state);
        Opening { all: Arc::clone(self), id, lost }
    }

    /// Locks the state even after a panic: it is changed in single steps.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Opening {
    /// Waits until the connection must make room for another one.
    pub(super) async fn crowded_out(&self) {
        self.lost.cancelled().await;
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        self.all.lock().open.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_makes_room_and_those_that_are_opened_do_not_count() {
        let all = Openings::new(2);
        let (first, second) = (all.begin(), all.begin());
        let third = all.begin();
        for (what, opening, is_lost) in [
            ("the oldest", &first, true),
            ("the second", &second, false),
            ("the new", &third, false),
        ] {
            assert_eq!(opening.lost.is_cancelled(), is_lost, "{what}");
        }
        drop(second);
        let fourth = all.begin();
        assert!(!third.lost.is_cancelled(), "a place was free");
        drop((first, third, fourth));
        assert!(all.lock().open.is_empty());
    }
}
