//! One measurement of one gateway.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::time::sleep;

use crate::contender::{Contender, Joined, PATIENCE, Running};
use crate::process::sends;
use crate::source::Cameras;
use crate::viewer::Counters;

/// Interval at which viewers join.
const JOIN_INTERVAL: Duration = Duration::from_millis(50);

/// Time after the last viewer's first frame until the measurement begins.
const WARM_UP: Duration = Duration::from_secs(2);

/// The port of the first camera.
const FIRST_PORT: u16 = 5004;

/// Time in which all viewers of a storm join.
const STORM: Duration = Duration::from_secs(5);

/// A number of viewers and of cameras; viewer n watches camera n modulo their number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) viewers: usize,
    pub(crate) cameras: u16,
    /// Number of viewers that join within [`STORM`] while the others watch.
    pub(crate) storm: usize,
}

impl Case {
    const fn new(viewers: usize, cameras: u16) -> Self {
        Self { viewers, cameras, storm: 0 }
    }
}

/// The cases of the table.
pub(crate) const CASES: [Case; 8] = [
    Case::new(1, 1),
    Case::new(10, 1),
    Case::new(50, 1),
    Case::new(100, 1),
    Case::new(490, 1),
    Case::new(20, 20),
    Case::new(0, 20),
    Case { viewers: 20, cameras: 1, storm: 200 },
];

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.storm > 0 {
            let Self { viewers, storm, .. } = self;
            return write!(f, "1 camera, {viewers} viewers, {storm} more join in 5 s");
        }
        match (self.viewers, self.cameras) {
            (0, cameras) => write!(f, "{cameras} cameras, nobody watches"),
            (viewers, 1) => write!(f, "1 camera, {viewers} viewers"),
            (viewers, cameras) => write!(f, "{cameras} cameras, {viewers} viewers"),
        }
    }
}

/// The figures of one measurement.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Found {
    /// CPU time of the gateway for each packet that left it, or entered it if none left.
    pub(crate) us_per_packet: f64,
    /// CPU time of the gateway in each second.
    pub(crate) cores: f64,
    /// Packets that left the gateway in each call.
    pub(crate) packets_per_send: f64,
    /// Memory that each viewer has added, in kilobytes.
    pub(crate) kilobytes_per_viewer: f64,
    /// Time from a viewer's first request to its first whole frame, the median.
    pub(crate) first_frame_ms: f64,
    /// The same, the 95th percentile.
    pub(crate) first_frame_p95_ms: f64,
    /// Time that a packet spends in the gateway, the median.
    pub(crate) latency_ms: f64,
    /// The same, the 99th percentile.
    pub(crate) latency_p99_ms: f64,
    /// Packets that did not arrive, of a million.
    pub(crate) lost_ppm: f64,
    /// Viewers that have seen a picture.
    pub(crate) watching: f64,
}

/// Measures one gateway for this long.
#[expect(clippy::cast_precision_loss, reason = "figures for people")]
pub(crate) async fn measure(contender: &Contender, case: Case, time: Duration) -> Result<Found> {
    let ports: Vec<u16> = (0..case.cameras).map(|number| FIRST_PORT + 2 * number).collect();
    let mut running = contender.start(&ports).await?;
    let cameras = Cameras::start(&ports)?;
    let counters = Arc::new(Counters::default());
    // The first key frame is there.
    sleep(WARM_UP).await;
    let before = running.process().memory()?;
    let mut joined = running.join(case.viewers, JOIN_INTERVAL, &counters).await?;
    let mut waits = first_frames(&mut joined).await;
    sleep(WARM_UP).await;
    let read = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    let snapshot = |running: &Running| -> Result<[u64; 5]> {
        let own = cameras.sent() + read(&counters.sent);
        let cpu = u64::try_from(running.process().cpu()?.as_nanos())?;
        Ok([cpu, read(&counters.packets), read(&counters.lost), sends()? - own, cameras.sent()])
    };
    let (begin, began) = (snapshot(&running)?, Instant::now());
    if case.cameras == 1 {
        counters.arrivals.begin();
    }
    let mut late = Vec::new();
    if case.storm > 0 {
        let interval = STORM / u32::try_from(case.storm)?;
        late = running.join(case.storm, interval, &counters).await?;
        waits = first_frames(&mut late).await;
    } else {
        sleep(time).await;
    }
    let end = snapshot(&running)?;
    let took = began.elapsed().as_secs_f64();
    let latencies = counters.arrivals.end(&cameras.times());
    let mut differences = end.iter().zip(&begin).map(|(end, begin)| (end - begin) as f64);
    let mut next = || differences.next().unwrap_or_default();
    let (cpu, arrived, lost, sends, taken) = (next(), next(), next(), next(), next());
    let packets = if case.viewers == 0 { taken } else { arrived };
    let added = running.process().memory()?.saturating_sub(before) as f64 / 1024.0;
    let percentile =
        |sorted: &[f64], part: usize| sorted.get(sorted.len() * part / 100).copied().unwrap_or(0.0);
    Ok(Found {
        us_per_packet: cpu / 1000.0 / packets.max(1.0),
        cores: cpu / 1e9 / took,
        packets_per_send: arrived / sends.max(1.0),
        kilobytes_per_viewer: added / (case.viewers + late.len()).max(1) as f64,
        first_frame_ms: percentile(&waits, 50),
        first_frame_p95_ms: percentile(&waits, 95),
        latency_ms: percentile(&latencies, 50),
        latency_p99_ms: percentile(&latencies, 99),
        watching: waits.len() as f64,
        lost_ppm: lost / (arrived + lost).max(1.0) * 1e6,
    })
}

/// Waits for the first frames; returns the sorted times in milliseconds from the requests to them,
/// of those viewers that see one.
async fn first_frames(joined: &mut [Joined]) -> Vec<f64> {
    let mut waits = Vec::new();
    for viewer in joined {
        if let Ok(at) = viewer.viewer.first_frame(PATIENCE).await {
            waits.push(at.saturating_duration_since(viewer.asked).as_secs_f64() * 1000.0);
        }
    }
    waits.sort_by(f64::total_cmp);
    waits
}
