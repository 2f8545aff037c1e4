//! A plain WHEP page without Porthole's code plays the demo camera.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use porthole_test_support::browser::{Browser, event};
use porthole_test_support::porthole::Server;
use porthole_test_support::program::Place;
use porthole_test_support::scene::{Scene, scene};
use serde_json::json;

use crate::{CAMERA_DEADLINE, HITCH, NEEDS, SHARED, froze_for};

const DEADLINE: Duration = Duration::from_secs(60);

/// The SRTP profile in `srtpCipher`: Chromium lists AES-CM first, the gateway chooses AES-GCM.
const AES_GCM: &str = "SRTP_AEAD_AES_128_GCM";

/// Takes about 17 s.
#[test]
fn a_plain_whep_page_plays_the_demo_camera() {
    scene("a_plain_whep_page_plays_the_demo_camera", &NEEDS, |scene| {
        let server = demo(scene)?;
        let token = server.token("viewer", &[])?;
        for (name, trickle) in [("trickling", true), ("at-once", false)] {
            let arguments = json!({
                "url": server.url("/whep/demo"), "token": token, "trickle": trickle, "seconds": 5,
            });
            let mut browser = Browser::script(scene, name, Place::Here, "whep.mjs", &arguments)?;
            browser.finish(DEADLINE).context(name)?;
            let samples = browser.samples()?;
            let (first, last) =
                (samples.iter().find(|each| each.frames_decoded > 0), samples.last());
            let (first, last) = (first.context("no picture")?, last.context("no samples")?);
            ensure!(last.frames_decoded >= 100, "{name}: too few frames in 5 s: {last:?}");
            let froze = froze_for(first, last);
            ensure!(froze <= HITCH, "{name}: the video froze: {first:?} {last:?}");
            ensure!(last.codec.as_deref() == Some("video/H264"), "{name}: {last:?}");
            ensure!(last.srtp_cipher.as_deref() == Some(AES_GCM), "{name}: {last:?}");
            let deleted = browser.last(event("deleted"))?.context("nothing was deleted")?;
            ensure!(
                deleted["status"].as_u64().is_some_and(|status| status / 100 == 2),
                "{deleted}"
            );
        }
        Ok(())
    });
}

#[test]
fn whep_refuses_a_missing_or_wrong_token() {
    scene("whep_refuses_a_missing_or_wrong_token", &SHARED, |scene| {
        let server = demo(scene)?;
        for token in ["", "wrong"] {
            let arguments =
                json!({ "url": server.url("/whep/demo"), "token": token, "seconds": 1 });
            let mut browser =
                Browser::script(scene, "refused", Place::Here, "whep.mjs", &arguments)?;
            let error =
                browser.finish(DEADLINE).err().context("the player was let in")?.to_string();
            ensure!(error.contains("WHEP answered 401"), "{error}");
        }
        Ok(())
    });
}

fn demo(scene: &Scene) -> Result<Server<'_>> {
    let mut server = Server::start(scene, Place::Here, &["--demo"])?;
    let token = server.token("viewer", &[])?;
    server.wait_for_camera(&token, "demo", CAMERA_DEADLINE)?;
    Ok(server)
}
