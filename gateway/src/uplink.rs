//! The limit of the gateway's uplink, which can be changed while it runs.

use tokio::sync::watch;

/// The limit of what viewers outside the local network get in all, in bits per second. A clone
/// changes the same gateway.
#[derive(Debug, Clone)]
pub struct MaxUplink(watch::Sender<Option<u64>>);

impl MaxUplink {
    /// Creates the limit that a gateway starts with, and the driver's end.
    pub(crate) fn new(limit: Option<u64>) -> (Self, watch::Receiver<Option<u64>>) {
        let (limits, limit) = watch::channel(limit);
        (Self(limits), limit)
    }

    /// Sets another limit; `None` for as much as the paths carry. Returns the former one.
    pub fn replace(&self, limit: Option<u64>) -> Option<u64> {
        let mut before = limit;
        self.0.send_if_modified(|current| {
            before = std::mem::replace(current, limit);
            before != limit
        });
        before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_driver_is_told_of_another_limit_only() {
        let (limit, mut told) = MaxUplink::new(Some(8_000));
        for (new, before, is_told) in [
            (Some(8_000), Some(8_000), false),
            (Some(4_000), Some(8_000), true),
            (None, Some(4_000), true),
            (None, None, false),
            (Some(1), None, true),
        ] {
            assert_eq!(limit.replace(new), before, "{new:?}");
            assert_eq!(told.has_changed().unwrap(), is_told, "{new:?}");
            assert_eq!(*told.borrow_and_update(), new);
        }
    }
}
