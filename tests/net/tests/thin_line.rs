//! A picture that follows the line, in Chromium: an uplink of the gateway's home that does not
//! carry the main stream for a while.

use std::net::{Ipv4Addr, SocketAddr};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use porthole_test_support::browser::{Browser, Sample, event};
use porthole_test_support::clip::{Clip, Looks};
use porthole_test_support::lab::Lab;
use porthole_test_support::nat::NatKind;
use porthole_test_support::porthole::{Gateway, Server};
use porthole_test_support::program::Place;
use porthole_test_support::scene::{Need, report, scene};
use serde_json::json;

const NEEDS: [Need; 5] =
    [Need::Lab, Need::Program, Need::Browser, Need::Tool("ffmpeg"), Need::Tool("tc")];
/// Two seconds between two key frames, at 30 frames a second.
const MAIN: Looks = Looks { size: (1280, 720), rate: 30, group: 60, kbit: 4000 };
const SUB: Looks = Looks { size: (640, 360), rate: 30, group: 60, kbit: 500 };
const PORTS: [u16; 2] = [5004, 5006];
/// The rate of the uplink in kbit/s, before and after, and meanwhile.
const WIDE: u32 = 10_000;
const NARROW: u32 = 1_000;
const DEADLINE: Duration = Duration::from_secs(60);
/// Time from each change of the uplink to the next.
const BEFORE: Duration = Duration::from_secs(10);
const MEANWHILE: Duration = Duration::from_secs(20);
const AFTER: Duration = Duration::from_secs(20);
/// The page is asked once a second.
const SLACK: Duration = Duration::from_secs(2);
/// The documentation addresses of the lab are not public.
const SERVER_FLAGS: [&str; 2] = ["--allow-peer", "203.0.113.0/24"];

/// Takes about 80 s. The times and freezes are printed; the bounds have room for a machine on which
/// other programs run.
#[test]
fn chromium_sees_the_sub_stream_while_the_uplink_does_not_carry_the_main_stream() {
    let name = "chromium_sees_the_sub_stream_while_the_uplink_does_not_carry_the_main_stream";
    scene(name, &NEEDS, |scene| {
        let lab = Lab::new("line")?;
        let mut server = Server::start(scene, Place::On(lab.server()), &SERVER_FLAGS)?;
        let token = server.token("viewer", &[])?;
        let home = lab.side(NatKind::PortRestricted)?;
        let away = lab.side(NatKind::PortRestricted)?;
        let place = Place::On(&home.host);
        let ports = PORTS.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let mut senders = Vec::new();
        for ((looks, port), name) in [MAIN, SUB].into_iter().zip(ports).zip(["main", "sub"]) {
            let clip = Clip::encode(scene, looks)?;
            senders.push(clip.send(scene, name, place, &[port])?);
        }
        let config = scene.folder().join("gateway.toml");
        let [main, sub] = ports.map(|port| format!("rtp://{port}?codec=h264"));
        let text = format!("[camera.door]\nsource = \"{main}\"\nsub_source = \"{sub}\"\n");
        std::fs::write(&config, text)?;
        let flags = ["--config", config.to_str().context("a path that is no text")?];
        let gateway = Gateway::start(scene, "gateway", place, &server, &[], &flags)?;
        server.wait_for_camera(&token, "door", DEADLINE)?;
        lab.shape(&home, WIDE)?;

        let arguments = json!({ "url": server.url("/whep/door"), "token": token, "seconds": 0 });
        let away = Place::On(&away.host);
        let mut browser = Browser::script(scene, "browser", away, "whep.mjs", &arguments)?;
        browser.program.wait_for_event("a picture", DEADLINE, event("playing"))?;
        let start = Instant::now();
        sleep(BEFORE);
        lab.shape(&home, NARROW)?;
        let narrowed = start.elapsed();
        sleep(MEANWHILE);
        lab.shape(&home, WIDE)?;
        let widened = start.elapsed();
        sleep(AFTER);
        let samples = samples(&browser)?;
        drop((gateway, senders));
        check(&samples, narrowed, widened)
    });
}

/// Returns what the page told, each with the time since its first picture.
fn samples(browser: &Browser) -> Result<Vec<(Duration, Sample)>> {
    let events = browser.program.events()?;
    let begin = events.iter().find(|event| event["event"] == "playing");
    let begin = begin.and_then(|event| event["afterMs"].as_u64()).context("no picture")?;
    let stats = events.iter().filter(|event| event["event"] == "stats");
    stats
        .map(|event| {
            let at = event["atMs"].as_u64().context("no time")?;
            let at = Duration::from_millis(at.saturating_sub(begin));
            Ok((at, serde_json::from_value(event.clone())?))
        })
        .collect()
}

fn check(samples: &[(Duration, Sample)], narrowed: Duration, widened: Duration) -> Result<()> {
    report("   s  height  decoded  freezes   frozen s   lost   NACKs   PLIs");
    for (at, sample) in samples {
        report(&format!(
            "{:>4.0}  {:>6}  {:>7}  {:>7}  {:>9.2}  {:>5}  {:>6}  {:>5}",
            at.as_secs_f64(),
            sample.frame_height,
            sample.frames_decoded,
            sample.freeze_count,
            sample.total_freezes_duration,
            sample.packets_lost,
            sample.nack_count,
            sample.pli_count,
        ));
    }
    let first = |from: Duration, looks: Looks| {
        let mut later = samples.iter().filter(|(at, _)| *at >= from);
        later.find(|(_, it)| it.frame_height == looks.size.1).map(|(at, _)| *at - from)
    };
    let frozen = |at: Duration| {
        let until = samples.iter().take_while(|(time, _)| *time <= at).last();
        until.map_or(0.0, |(_, sample)| sample.total_freezes_duration)
    };
    let down = first(narrowed, SUB).context("the sub stream is never seen")?;
    let up = first(widened, MAIN).context("the main stream is never seen again")?;
    let last = samples.last().context("nothing was seen")?;
    let freezes = last.1.total_freezes_duration - frozen(narrowed);
    report(&format!("down within {down:.1?}, up within {up:.1?}, frozen for {freezes:.2} s"));
    ensure!(down <= Duration::from_millis(1500) + SLACK, "down after {down:?}");
    ensure!(up <= Duration::from_secs(8) + SLACK, "up after {up:?}");
    ensure!(freezes <= 3.0, "{freezes} s without a picture");
    let meanwhile = samples.iter().filter(|(at, _)| (narrowed + down..widened).contains(at));
    let large = meanwhile.filter(|(_, it)| it.frame_height == MAIN.size.1).count();
    ensure!(large == 0, "the main stream was shown although the uplink does not carry it");
    Ok(())
}
