//! Viewers that come and go: what each of them takes from the program, the program gets back.

use std::time::Instant;

use porthole_test_support::cameras::{Camera, Kind};
use porthole_test_support::memory;
use porthole_test_support::scene::report;
use porthole_test_support::wait;
use webrtc::peer_connection::policy::bundle_policy::RTCBundlePolicy;

use super::webrtc_crate::watch;
use super::*;

/// Viewers at any time.
const VIEWERS: usize = 20;
/// Time until the program has forgotten everything about its viewers, and time without a change
/// after which it has.
const FORGOTTEN: Duration = Duration::from_secs(90);
const SETTLED: Duration = Duration::from_secs(6);
/// Growth that is a leak: a viewer's share of it, 190 kB, times ten, and what an allocator keeps.
const GROWTH_BYTES: u64 = 8 << 20;

/// A camera with AAC, for which an encoder comes and goes with its listeners.
const CAMERA: [&str; 8] = ["--sound", "aac", "--rate", "48000", "--size", "320x180", "--fps", "15"];

/// Takes half a minute; `PORTHOLE_COMINGS_S` is the time in seconds in which viewers come and go.
#[test]
fn viewers_that_come_and_go_leave_no_memory_and_no_descriptors() {
    let name = "viewers_that_come_and_go_leave_no_memory_and_no_descriptors";
    scene(name, &[Need::Program, Need::GstreamerRtsp], |scene| {
        let seconds = match std::env::var("PORTHOLE_COMINGS_S") {
            Ok(text) => text.parse().with_context(|| format!("{text} is no number"))?,
            Err(_) => 10,
        };
        let mut camera = Camera::with_flags(scene, Kind::GstreamerRtsp, &CAMERA)?;
        camera.start()?;
        let installation = Installation::start(scene, "server", &camera.source())?;
        // Each token has a rate of its own.
        let tokens: Vec<_> = (0..VIEWERS)
            .map(|_| installation.server.token("viewer", &[]))
            .collect::<Result<_>>()?;
        let pid = installation.server.pid()?;
        let mut used = Vec::new();
        let mut descriptors = Vec::new();
        let mut sessions = 0;
        // The first viewers fill what is kept for the next ones.
        for time in [Duration::from_secs(5), Duration::from_secs(seconds)] {
            sessions += come_and_go(&installation.server, &tokens, Instant::now() + time)?;
            descriptors.push(settled_descriptors(pid)?);
            let memory = memory::used_by_family(pid)?;
            used.push(memory.values().map(|part| part.allocated).sum::<u64>());
        }
        report(&format!(
            "{sessions} sessions, {VIEWERS} at a time: {} kB after the first, {} kB after the \
             last; {} and {} descriptors",
            used[0] / 1024,
            used[1] / 1024,
            descriptors[0],
            descriptors[1],
        ));
        ensure!(descriptors[1] <= descriptors[0], "descriptors are left: {descriptors:?}");
        ensure!(used[1] < used[0] + GROWTH_BYTES, "the memory has grown: {used:?}");
        Ok(())
    });
}

/// Returns the number of descriptors of a process once it has not changed for some time.
fn settled_descriptors(pid: u32) -> Result<usize> {
    let (mut last, mut since) = (0, Instant::now());
    wait::until("the number of descriptors settles", FORGOTTEN, || {
        let count = std::fs::read_dir(format!("/proc/{pid}/fd"))?.count();
        if count != last {
            (last, since) = (count, Instant::now());
        }
        Ok((since.elapsed() >= SETTLED).then_some(count))
    })
}

/// Lets viewers come and go until this time, and returns how many have come.
fn come_and_go(server: &Server<'_>, tokens: &[String], until: Instant) -> Result<usize> {
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let viewers = tokens.iter().enumerate().map(|(viewer, token)| async move {
            // Half of them ask for sound.
            let sections = if viewer % 2 == 0 { "video" } else { "audio,video" };
            let mut sessions = 0;
            while sessions == 0 || Instant::now() < until {
                let watched = watch(server, token, sections, RTCBundlePolicy::MaxBundle);
                watched.await.with_context(|| format!("viewer {viewer}"))?;
                sessions += 1;
            }
            anyhow::Ok(sessions)
        });
        let counts = futures_util::future::try_join_all(viewers).await?;
        Ok(counts.into_iter().sum())
    })
}
