//! The signaling server is killed while a viewer watches.

use std::time::{Duration, Instant};

use anyhow::ensure;
use porthole_test_support::scene::{report, scene};

use crate::{NEEDS, server_and_gateway, watch, watch_smoothly};

const FRAMES_DEADLINE: Duration = Duration::from_secs(20);
/// Time from the restart of the server to the first frame of a new viewer.
const NEW_VIEWER: Duration = Duration::from_secs(10);

/// Takes about 20 s: the signaling server is stopped and started again while Chromium watches.
#[test]
fn video_outlives_the_signaling_server() {
    scene("video_outlives_the_signaling_server", &NEEDS, |scene| {
        let (mut server, _gateway, token) = server_and_gateway(scene, &[("yard", "test:")])?;
        let mut old = watch(scene, "old-viewer", &server, &token, "yard")?;
        let before = watch_smoothly(&mut old, 60, FRAMES_DEADLINE)?;

        server.kill()?;
        let while_down = watch_smoothly(&mut old, 150, FRAMES_DEADLINE)?;

        server.run()?;
        let restarted = Instant::now();
        server.wait_for_camera(&token, "yard", NEW_VIEWER)?;
        let mut new = watch(scene, "new-viewer", &server, &token, "yard")?;
        let took = restarted.elapsed();
        report(&format!("a new viewer has video {took:.1?} after the server's restart"));
        ensure!(took <= NEW_VIEWER, "a new viewer had to wait {took:?}");
        watch_smoothly(&mut new, 30, FRAMES_DEADLINE)?;

        let after = watch_smoothly(&mut old, 60, FRAMES_DEADLINE)?;
        for sample in [&while_down, &after] {
            ensure!(sample.connections == 1, "the page had to connect again");
            ensure!(sample.packets_lost == before.packets_lost, "packets lost: {sample:?}");
            ensure!(
                sample.pli_count == before.pli_count,
                "the browser requested a key frame: {sample:?}"
            );
        }
        Ok(())
    });
}
