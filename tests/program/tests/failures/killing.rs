//! The server is killed while several people create and revoke tokens at once.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use porthole_test_support::http;
use porthole_test_support::porthole::Server;
use porthole_test_support::program::Place;
use porthole_test_support::scene::{Need, report, scene};
use serde_json::{Value, json};

/// Number of times that the server is killed; `PORTHOLE_KILLS` names another one.
const KILLS: u32 = 10;

/// Longest time from the first change to the kill.
const LIFE_US: u32 = 120_000;

/// Writers at the same time.
const WRITERS: usize = 4;

/// Tokens of a writer, above which it revokes more than it creates.
const MOST: usize = 20;

/// The tokens of one writer, as far as it can know them: their names, and their ids in the list.
#[derive(Debug, Default)]
struct Writer {
    number: usize,
    created: usize,
    known: BTreeMap<String, Option<i64>>,
    /// The name in the change that was not acknowledged before the kill.
    pending: Option<String>,
    acknowledged: usize,
}

impl Writer {
    /// Takes its tokens after a start: those that were acknowledged, and perhaps the last change.
    fn check(&mut self, list: &Value) -> Result<()> {
        let prefix = format!("w{}.", self.number);
        let tokens = list["tokens"].as_array().context("a list")?;
        let mut found = BTreeMap::new();
        for token in tokens {
            let name = token["name"].as_str().context("a name")?;
            if name.starts_with(&prefix) {
                let id = token["id"].as_i64();
                ensure!(found.insert(name.to_owned(), id).is_none(), "{name} is there twice");
            }
        }
        let names = |of: &BTreeMap<String, Option<i64>>| of.keys().cloned().collect();
        let (before, after): (BTreeSet<String>, BTreeSet<String>) =
            (names(&self.known), names(&found));
        let mut changed = before.symmetric_difference(&after);
        ensure!(
            changed.all(|name| self.pending.as_ref() == Some(name)),
            "{:?} with the change {:?} became {after:?}",
            before,
            self.pending,
        );
        (self.known, self.pending) = (found, None);
        Ok(())
    }

    /// Creates and revokes tokens until the server is gone.
    fn write(&mut self, url: &str, admin: &str) -> Result<()> {
        loop {
            let revoked = self.known.iter().find_map(|(name, id)| id.map(|id| (name.clone(), id)));
            let response = match revoked.filter(|_| self.known.len() > MOST) {
                Some((name, id)) => {
                    self.pending = Some(name);
                    http::delete(Place::Here, &format!("{url}/{id}"), Some(admin))
                }
                None => {
                    self.created += 1;
                    let name = format!("w{}.{}", self.number, self.created);
                    self.pending = Some(name.clone());
                    let body = json!({ "name": name, "role": "viewer" });
                    http::post(Place::Here, url, Some(admin), &body)
                }
            };
            let Ok(response) = response else { return Ok(()) };
            ensure!(response.status < 300, "{}: {}", response.status, response.body);
            self.acknowledged += 1;
            let Some(name) = self.pending.take() else { continue };
            if self.known.remove(&name).is_none() {
                self.known.insert(name, None);
            }
        }
    }
}

#[test]
fn a_server_that_is_killed_loses_no_change_that_it_has_acknowledged() {
    let name = "a_server_that_is_killed_loses_no_change_that_it_has_acknowledged";
    scene(name, &[Need::Program, Need::Tool("python3")], |scene| {
        let kills = std::env::var("PORTHOLE_KILLS").ok().and_then(|text| text.parse().ok());
        let kills = kills.unwrap_or(KILLS);
        let mut server = Server::start(scene, Place::Here, &[])?;
        let admin = server.token("admin", &[])?;
        let url = server.url("/api/v1/tokens");
        let mut writers: Vec<_> =
            (0..WRITERS).map(|number| Writer { number, ..Writer::default() }).collect();
        let mut random = 0x2545_F491_u32;
        for _ in 0..kills {
            // A generator of Marsaglia is random enough to choose a moment.
            random ^= random << 13;
            random ^= random >> 17;
            random ^= random << 5;
            let at = Instant::now() + Duration::from_micros(u64::from(random % LIFE_US));
            thread::scope(|scope| {
                let running: Vec<_> = writers
                    .iter_mut()
                    .map(|writer| scope.spawn(|| writer.write(&url, &admin)))
                    .collect();
                thread::sleep(at.saturating_duration_since(Instant::now()));
                server.kill()?;
                running.into_iter().try_for_each(|writer| {
                    writer.join().unwrap_or_else(|_| anyhow::bail!("a writer has panicked"))
                })
            })?;
            check_integrity(&server)?;
            server.run()?;
            let list = http::get(Place::Here, &url, Some(&admin))?.json()?;
            writers.iter_mut().try_for_each(|writer| writer.check(&list))?;
        }
        let acknowledged: usize = writers.iter().map(|writer| writer.acknowledged).sum();
        report(&format!("{acknowledged} changes were acknowledged in {kills} lives"));
        ensure!(acknowledged > 0, "no change was ever acknowledged");
        Ok(())
    });
}

/// Lets another program check the database as the kill has left it.
fn check_integrity(server: &Server<'_>) -> Result<()> {
    let script = "import sqlite3, sys\n\
        print(sqlite3.connect(sys.argv[1]).execute('PRAGMA integrity_check').fetchone()[0])";
    let file = server.data().join("signaling.sqlite3");
    let checked = Command::new("python3").args(["-c", script]).arg(file).output()?;
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    ensure!(said.trim() == "ok", "{said}{}", String::from_utf8_lossy(&checked.stderr));
    Ok(())
}
