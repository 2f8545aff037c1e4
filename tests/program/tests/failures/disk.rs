//! A full disk under the data folder.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use porthole_test_support::disk::SmallDisk;
use porthole_test_support::http::Response;
use porthole_test_support::porthole::Server;
use porthole_test_support::ports::free_port;
use porthole_test_support::program::Place;
use porthole_test_support::scene::{Need, Scene, scene};
use serde_json::{Value, json};

use crate::installation::{Installation, NEEDS};
use crate::process::{porthole, run_to_end};
use crate::sentence::check_sentence;

/// The size of the disk: 4 MB, more than the database takes.
const PAGES: u64 = 1024;
const PASSWORD: &str = "right-geheim-4711";
/// Writes that may succeed on a full disk, because they fit into pages the database already has.
const MAX_WRITES: usize = 200;

/// Runs nine programs one after the other, each until it has found the disk full. Takes a few
/// seconds.
#[test]
fn on_a_full_disk_nothing_starts_and_the_error_says_why() {
    let needs = [Need::Program, Need::SmallDisk];
    scene("on_a_full_disk_nothing_starts_and_the_error_says_why", &needs, |scene| {
        let disk = SmallDisk::new(scene, PAGES)?;
        let data = disk.folder().join("data");
        // Wherever it runs out of space: a secret takes one page, the database some dozens.
        for free in [0, 1, 2, 4, 8, 16] {
            disk.fill(free)?;
            check_start_fails(scene, &format!("up-{free}"), &data, "up")?;
            if free == 0 {
                for command in ["gateway", "claim", "token"] {
                    check_start_fails(scene, command, &data, command)?;
                }
            }
            disk.clear()?;
            std::fs::remove_dir_all(&data)?;
        }
        Ok(())
    });
}

/// Checks that a command ends with an error that names the folder and the two ways out.
fn check_start_fails(scene: &Scene, name: &str, data: &Path, command: &str) -> Result<()> {
    let (http, turn) = (free_port()?.to_string(), free_port()?.to_string());
    let arguments: &[&str] = match command {
        "up" => &["up", "--demo", "--http", &http, "--turn", &turn],
        "gateway" => &["gateway", "--server", "http://127.0.0.1:9", "--camera", "a=test:"],
        "claim" => &["claim", "create"],
        _ => &["token", "create", "--role", "viewer", "--name", "test"],
    };
    let folder = data.to_str().context("a path of text")?;
    let mut command = porthole(arguments)?;
    let ended = run_to_end(scene, name, command.arg("--data").arg(data))?;
    ended.check(1, &[folder, "make room", "--data"], &[]).with_context(|| name.to_owned())
}

#[test]
fn on_a_full_disk_only_requests_that_write_are_refused() {
    let needs = [&NEEDS[..], &[Need::SmallDisk]].concat();
    scene("on_a_full_disk_only_requests_that_write_are_refused", &needs, |scene| {
        let disk = SmallDisk::new(scene, PAGES)?;
        let mut installation =
            Installation::start_in(scene, Place::Here, disk.folder().join("data"), &[])?;
        let admin = installation.server.token("admin", &[])?;
        set_up(&installation.server)?;

        disk.fill(0)?;
        for (case, write) in WRITES {
            let refusal = write_until_refused(&installation.server, &admin, write).context(case)?;
            ensure!(refusal.status == 507, "{case}: {} {}", refusal.status, refusal.body);
            let body: Value = serde_json::from_str(&refusal.body).context(case)?;
            let sentence = body["error"].as_str().context("a sentence")?;
            check_sentence(sentence, &["data folder", "make room"], &[PASSWORD, &admin])
                .context(case)?;
        }
        for command in ["token", "claim"] {
            check_start_fails(scene, command, installation.server.data(), command)?;
        }
        installation.check_unharmed()?;

        // Free space is enough; no restart is needed.
        disk.clear()?;
        for (case, write) in WRITES {
            let response = write(&installation.server, &admin)?;
            ensure!(response.status == 200, "{case}: {} {}", response.status, response.body);
        }
        installation.server.token("viewer", &[])?;
        installation.check_unharmed()
    });
}

type Write = fn(&Server<'_>, &str) -> Result<Response>;

const WRITES: [(&str, Write); 3] = [
    ("a claim code", |server, admin| server.post("/api/v1/claims", Some(admin), &json!({}))),
    ("a token", |server, admin| {
        let token = json!({ "name": "another", "role": "viewer" });
        server.post("/api/v1/tokens", Some(admin), &token)
    }),
    ("signing in", |server, _| {
        let credentials = json!({ "name": "admin", "password": PASSWORD });
        server.post("/api/v1/session", None, &credentials)
    }),
];

/// Writes until a write is refused: the first ones may fit into space the database already has.
fn write_until_refused(server: &Server<'_>, admin: &str, write: Write) -> Result<Response> {
    for _ in 0..MAX_WRITES {
        let response = write(server, admin)?;
        if response.status != 200 {
            return Ok(response);
        }
    }
    anyhow::bail!("{MAX_WRITES} writes succeeded on a full disk")
}

/// Creates the first admin with the setup link that the server has printed.
fn set_up(server: &Server<'_>) -> Result<()> {
    let output = server.output()?;
    let (_, token) = output.split_once("/setup#t=").context("no setup link")?;
    let token = token.split_whitespace().next().context("no setup token")?;
    let body = json!({ "token": token, "name": "admin", "password": PASSWORD });
    let response = server.post("/api/v1/setup", None, &body)?;
    ensure!(response.status == 200, "{} {}", response.status, response.body);
    Ok(())
}
