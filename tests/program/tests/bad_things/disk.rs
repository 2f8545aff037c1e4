//! No room for the data.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use porthole_test_support::disk::SmallDisk;
use porthole_test_support::http::Answer;
use porthole_test_support::porthole::Server;
use porthole_test_support::ports::free_port;
use porthole_test_support::program::Place;
use porthole_test_support::scene::{Need, Scene, scene};
use serde_json::{Value, json};

use crate::house::{House, NEEDS, porthole, run_to_end};
use crate::words::check_sentence;

/// 4 MB, more than the database takes.
const PAGES: u64 = 1024;
const PASSWORD: &str = "right-geheim-4711";
/// What a write may take that needs no new page of the disk.
const MAX_WRITES: usize = 200;

#[test]
fn without_room_for_its_data_nothing_starts_and_it_says_why() {
    let needs = [Need::Program, Need::SmallDisk];
    scene("without_room_for_its_data_nothing_starts_and_it_says_why", &needs, |scene| {
        let disk = SmallDisk::new(scene, PAGES)?;
        let data = disk.folder().join("data");
        // However far it gets: a secret takes a page, a database some dozens.
        for free in [0, 1, 2, 4, 8, 16] {
            disk.fill(free)?;
            start(scene, &format!("up-{free}"), &data, "up")?;
            if free == 0 {
                for command in ["gateway", "claim", "token"] {
                    start(scene, command, &data, command)?;
                }
            }
            disk.clear()?;
            std::fs::remove_dir_all(&data)?;
        }
        Ok(())
    });
}

fn start(scene: &Scene, name: &str, data: &Path, command: &str) -> Result<()> {
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
fn when_the_disk_is_full_only_what_writes_is_refused() {
    let needs = [&NEEDS[..], &[Need::SmallDisk]].concat();
    scene("when_the_disk_is_full_only_what_writes_is_refused", &needs, |scene| {
        let disk = SmallDisk::new(scene, PAGES)?;
        let mut house = House::start_in(scene, Place::Here, disk.folder().join("data"), &[])?;
        let admin = house.server.token("admin", &[])?;
        set_up(&house.server)?;

        disk.fill(0)?;
        for (case, write) in WRITES {
            let refusal = refusal(&house.server, &admin, write).context(case)?;
            ensure!(refusal.status == 507, "{case}: {} {}", refusal.status, refusal.body);
            let body: Value = serde_json::from_str(&refusal.body).context(case)?;
            let sentence = body["error"].as_str().context("a sentence")?;
            check_sentence(sentence, &["data folder", "make room"], &[PASSWORD, &admin])
                .context(case)?;
        }
        start(scene, "token", house.server.data(), "token")?;
        start(scene, "claim", house.server.data(), "claim")?;
        house.check_unharmed()?;

        // Room is all it needs, no restart.
        disk.clear()?;
        for (case, write) in WRITES {
            let answer = write(&house.server, &admin)?;
            ensure!(answer.status == 200, "{case}: {} {}", answer.status, answer.body);
        }
        house.server.token("viewer", &[])?;
        house.check_unharmed()
    });
}

type Write = fn(&Server<'_>, &str) -> Result<Answer>;

const WRITES: [(&str, Write); 3] = [
    ("a claim code", |server, admin| server.post("/api/v1/claims", Some(admin), &json!({}))),
    ("a token", |server, admin| {
        let token = json!({ "name": "another", "role": "viewer" });
        server.post("/api/v1/tokens", Some(admin), &token)
    }),
    ("signing in", |server, _| {
        let who = json!({ "name": "admin", "password": PASSWORD });
        server.post("/api/v1/session", None, &who)
    }),
];

/// The first answer that is none: what fits where the database has room already is no matter.
fn refusal(server: &Server<'_>, admin: &str, write: Write) -> Result<Answer> {
    for _ in 0..MAX_WRITES {
        let answer = write(server, admin)?;
        if answer.status != 200 {
            return Ok(answer);
        }
    }
    anyhow::bail!("{MAX_WRITES} writes went to a full disk")
}

/// Makes the first admin, by the link that the server has printed.
fn set_up(server: &Server<'_>) -> Result<()> {
    let output = server.output()?;
    let (_, token) = output.split_once("/setup#t=").context("no setup link")?;
    let token = token.split_whitespace().next().context("no setup token")?;
    let body = json!({ "token": token, "name": "admin", "password": PASSWORD });
    let answer = server.post("/api/v1/setup", None, &body)?;
    ensure!(answer.status == 200, "{} {}", answer.status, answer.body);
    Ok(())
}
