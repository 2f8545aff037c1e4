//! The gateway is killed while cameras are added and removed.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use porthole_test_support::porthole::binary;
use porthole_test_support::program::Place;
use porthole_test_support::scene::{Need, scene};
use serde_json::{Value, json};

use crate::camera;
use crate::server::{Connected, ScriptedServer};

/// Number of times that the gateway is killed; `PORTHOLE_KILLS` names another one.
const KILLS: u32 = 20;

/// Longest time from the first change to the kill: all changes of a life take about this long.
const LIFE_US: u32 = 60_000;

/// Number of cameras that are added in one life.
const ADDED: usize = 4;

/// The cameras on the disk, as far as the test can know them.
#[derive(Debug, Default)]
struct Known {
    cameras: BTreeSet<String>,
    /// The change that was not acknowledged before the kill.
    pending: Option<Change>,
    acknowledged: usize,
}

#[derive(Debug, Clone)]
enum Change {
    Add,
    Remove(String),
}

impl Known {
    /// Takes the cameras that are there after a start: those that were acknowledged, and perhaps
    /// the last change.
    fn check(&mut self, list: &Value) -> Result<()> {
        let found: BTreeSet<String> = list["cameras"]
            .as_array()
            .context("a list")?
            .iter()
            .filter_map(|camera| camera["id"].as_str().map(str::to_owned))
            .collect();
        let lost: Vec<_> = self.cameras.difference(&found).cloned().collect();
        let more: Vec<_> = found.difference(&self.cameras).cloned().collect();
        let is_right = match &self.pending {
            None => lost.is_empty() && more.is_empty(),
            Some(Change::Add) => lost.is_empty() && more.len() <= 1,
            Some(Change::Remove(id)) => more.is_empty() && lost.iter().all(|lost| lost == id),
        };
        ensure!(is_right, "{self:?} became {found:?}");
        (self.cameras, self.pending) = (found, None);
        Ok(())
    }

    /// Adds and removes cameras until the gateway is gone.
    fn change(&mut self, asking: &mut Connected, provisional: &[String], mut revision: u64) {
        for (number, provisional) in provisional.iter().enumerate() {
            self.pending = Some(Change::Add);
            let params =
                json!({ "revision": revision, "provisional": provisional, "name": "Door" });
            let Ok(result) = asking.ask("portholeAddCamera", params) else { return };
            self.acknowledge(&result, &mut revision);
            if number % 2 == 1 || self.cameras.len() > 2 * ADDED {
                let Some(id) = self.cameras.first().cloned() else { continue };
                self.pending = Some(Change::Remove(id.clone()));
                let params = json!({ "revision": revision, "camera": id });
                let Ok(result) = asking.ask("portholeRemoveCamera", params) else { return };
                self.acknowledge(&result, &mut revision);
            }
        }
    }

    fn acknowledge(&mut self, result: &Value, revision: &mut u64) {
        let camera = result["camera"].as_str().unwrap_or_default().to_owned();
        match self.pending.take() {
            Some(Change::Add) => self.cameras.insert(camera),
            Some(Change::Remove(id)) => self.cameras.remove(&id),
            None => false,
        };
        *revision = result["revision"].as_u64().unwrap_or_default();
        self.acknowledged += 1;
    }
}

#[test]
fn a_gateway_that_is_killed_loses_no_change_that_it_has_acknowledged() {
    let name = "a_gateway_that_is_killed_loses_no_change_that_it_has_acknowledged";
    scene(name, &[Need::Program], |scene| {
        let kills = std::env::var("PORTHOLE_KILLS").ok().and_then(|text| text.parse().ok());
        let server = ScriptedServer::bind()?;
        let camera = format!("rtsp://{}/live", camera::start()?);
        let data = scene.data("gateway")?;
        let config = scene.folder().join("porthole.toml");
        std::fs::write(&config, "[gateway]\nnetworks = ['127.0.0.0/8']\n")?;
        let mut known = Known::default();
        let mut random = 0x2545_F491_u32;
        for _ in 0..kills.unwrap_or(KILLS) {
            let log = std::fs::File::create(scene.folder().join("gateway.log"))?;
            let mut gateway = Place::Here
                .command(binary()?)
                .arg("gateway")
                .args(["--server", &format!("http://{}", server.address()?)])
                .arg("--config")
                .arg(&config)
                .arg("--data")
                .arg(&data)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(log)
                .spawn()?;
            let lived = live(&mut gateway, &server, &camera, &mut known, &mut random);
            // It has ended already, unless the test has failed.
            let _ = gateway.kill();
            gateway.wait()?;
            lived?;
            check_files(&data)?;
        }
        ensure!(known.acknowledged > 0, "no change was ever acknowledged");
        Ok(())
    });
}

/// Starts changes, and kills the gateway in the middle of them.
fn live(
    gateway: &mut Child,
    server: &ScriptedServer,
    camera: &str,
    known: &mut Known,
    random: &mut u32,
) -> Result<()> {
    let mut asking = server.accept()?;
    let list = asking.ask("portholeStoredCameras", json!({}))?;
    known.check(&list)?;
    let revision = list["revision"].as_u64().context("a revision")?;
    let provisional: Vec<String> =
        (0..ADDED).map(|_| asking.probe(camera)).collect::<Result<_>>()?;
    // A generator of Marsaglia is random enough to choose a moment.
    *random ^= *random << 13;
    *random ^= *random >> 17;
    *random ^= *random << 5;
    let at = Instant::now() + Duration::from_micros(u64::from(*random % LIFE_US));
    thread::scope(|scope| {
        scope.spawn(move || {
            thread::sleep(at.saturating_duration_since(Instant::now()));
            gateway.kill()
        });
        known.change(&mut asking, &provisional, revision);
    });
    Ok(())
}

/// Checks that no file is half written, and that none was taken for damaged.
fn check_files(data: &Path) -> Result<()> {
    for entry in std::fs::read_dir(data)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        ensure!(!name.contains("damaged"), "{name} was damaged");
        if name == "cameras.json" {
            let text = std::fs::read_to_string(&path)?;
            serde_json::from_str::<Value>(&text).with_context(|| text.clone())?;
        }
    }
    Ok(())
}
