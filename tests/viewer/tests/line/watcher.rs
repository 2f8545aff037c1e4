//! A viewer and the pictures that it has seen.

use std::time::{Duration, Instant};

use porthole_signaling_proto::rpc::RequestId;
use porthole_viewer::{ReceivedFrame, ViewerSession};

use crate::scene::PICTURE;

/// A change of the picture's size is seen by this many bytes of its pictures.
const LARGE: usize = 9_000;

/// A viewer behind its link.
pub(crate) struct Watcher {
    pub(crate) session: ViewerSession,
    /// Index of its link.
    pub(crate) link: usize,
    pub(crate) frames: Vec<ReceivedFrame>,
    pub(crate) ended: Vec<String>,
    pub(crate) invite: Option<RequestId>,
    /// Port by which its NAT maps it.
    pub(crate) port: u16,
    /// Bytes that were sent to it.
    pub(crate) sent: u64,
}

impl Watcher {
    /// Returns the time of the first picture after this one that is large, or small.
    pub(crate) fn first(&self, from: Instant, large: bool) -> Option<Instant> {
        let frame = self.frames.iter().find(|it| it.at >= from && is_large(it) == large);
        frame.map(|frame| frame.at)
    }

    /// Returns how often the picture has changed its size.
    pub(crate) fn changes(&self, from: Instant, until: Instant) -> usize {
        let shown: Vec<_> =
            self.frames.iter().filter(|it| (from..until).contains(&it.at)).map(is_large).collect();
        shown.windows(2).filter(|two| two[0] != two[1]).count()
    }

    /// Returns the time that passes without a picture for longer than browsers accept as smooth:
    /// 150 ms more than usual, or `patience` more.
    pub(crate) fn frozen(&self, from: Instant, until: Instant, patience: Duration) -> Duration {
        let times = self.frames.iter().map(|frame| frame.at);
        let times: Vec<_> = [from]
            .into_iter()
            .chain(times.filter(|at| (from..until).contains(at)))
            .chain([until])
            .collect();
        let gaps = times.windows(2).map(|two| two[1] - two[0]);
        gaps.filter(|gap| *gap > PICTURE + patience).sum()
    }

    /// Returns the longest time without a picture.
    pub(crate) fn longest_gap(&self, from: Instant, until: Instant) -> Duration {
        let times = self.frames.iter().map(|frame| frame.at);
        let times: Vec<_> = times.filter(|at| (from..until).contains(at)).collect();
        times.windows(2).map(|two| two[1] - two[0]).max().unwrap_or(until - from)
    }
}

/// Returns true for a picture of the main stream. Those of the sub stream that are as large are key
/// frames.
fn is_large(frame: &ReceivedFrame) -> bool {
    frame.bytes > LARGE && !(frame.is_key && frame.bytes < 30_000)
}
