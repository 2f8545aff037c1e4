//! A server and a gateway run for long while viewers come and go: their needs must not grow.
//!
//! `PORTHOLE_SOAK_MINUTES=30 cargo test --workspace --test operating -- soak --nocapture`
//! compares the last third of that time with the one before it. Without the variable it is a sample
//! of a few seconds, after which files and tasks must be as before.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use porthole_test_support::http;
use porthole_test_support::porthole::{Gateway, Server};
use porthole_test_support::ports::free_port;
use porthole_test_support::program::Place;
use porthole_test_support::scene::{Need, Scene, report, scene};
use porthole_test_support::viewer::Viewer;
use porthole_test_support::wait;

use crate::turn_server::TOKEN;

const DEADLINE: Duration = Duration::from_secs(30);
/// Length of the sample, in seconds.
const SAMPLE_S: u64 = 12;
/// Time in which everything of the viewers must have ended. The goodbye of a relayed one may be
/// lost with its relay: the gateway then notices within 30 s that it is gone (RFC 7675).
const RETURN_DEADLINE: Duration = Duration::from_secs(60);
/// Measurements of a long run: enough for an average, few enough for any length.
const MEASUREMENTS: u32 = 360;
/// Shortest time between two measurements.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(500);
/// Viewers at the same time, half of them relayed.
const VIEWERS: usize = 4;
/// Pictures after which a viewer counts as watching.
const FIRST_FRAMES: u64 = 15;
/// Pictures that it then watches, at 15 a second: five to eight seconds.
const FRAMES: u64 = 75;
const MORE_FRAMES: u64 = 15;
/// Most growth of the memory from the middle third to the last one, in percent.
const MEMORY_GROWTH: f64 = 3.0;
/// Most growth of the number of files, threads and tasks.
const COUNT_GROWTH: f64 = 1.0;
/// Files and tasks that may stay behind: connections to the database, which are opened when they
/// are needed and then kept.
const LEFT: u64 = 4;
/// Width of a line of characters.
const COLUMNS: usize = 60;

/// Takes 25 to 60 s, or as many minutes as `PORTHOLE_SOAK_MINUTES` says.
#[test]
fn soak_with_viewers_that_come_and_go_takes_no_more_over_time() {
    let name = "soak_with_viewers_that_come_and_go_takes_no_more_over_time";
    scene(name, &[Need::Program, Need::Viewer], |scene| {
        let minutes = std::env::var("PORTHOLE_SOAK_MINUTES").ok();
        let minutes: Option<u64> = minutes.map(|text| text.parse()).transpose()?;
        let length = Duration::from_secs(minutes.map_or(SAMPLE_S, |minutes| minutes * 60));
        let mut house = House::start(scene)?;
        // What is made for the first viewers stays.
        for slot in 0..2 {
            house.watch(slot, 0)?;
        }
        let before = house.when_quiet(|_| true)?;
        let played = house.run(length)?;
        ensure!(played > 0, "nobody has watched");
        report(&format!("{played} viewers in {length:?}"));
        let mut failures = Vec::new();
        for subject in &house.subjects {
            report(&subject.table());
            failures.extend(subject.growth());
        }
        house
            .when_quiet(|after| after.iter().zip(&before).all(|(one, other)| one.is_back(other)))
            .with_context(|| format!("before: {before:?}"))?;
        ensure!(minutes.is_none() || failures.is_empty(), "{}", failures.join("\n"));
        Ok(())
    });
}

/// A server, a gateway with a camera, and what was measured of both.
struct House<'a> {
    scene: &'a Scene,
    server: Server<'a>,
    _gateway: Gateway,
    token: String,
    subjects: [Subject; 2],
}

impl<'a> House<'a> {
    fn start(scene: &'a Scene) -> Result<Self> {
        let settings = |name: &str| -> Result<(SocketAddr, String)> {
            let (admin, file) = (free_port()?, scene.folder().join(format!("{name}.toml")));
            std::fs::write(&file, format!("[admin]\nlisten = '{admin}'\ntoken = '{TOKEN}'\n"))?;
            Ok((admin, file.to_str().context("a path in UTF-8")?.to_owned()))
        };
        let (admin, file) = settings("up")?;
        let flags = ["--config", &file, "--allow-peer", "127.0.0.0/8"];
        let mut server = Server::start(scene, Place::Here, &flags)?;
        let token = server.token("viewer", &[])?;
        let of_server = Subject::new("server", server.pid()?, admin);
        let (admin, file) = settings("gateway")?;
        let cameras = [("yard", "test:320x180@15")];
        let flags = ["--config", file.as_str()];
        let gateway = Gateway::start(scene, "gateway", Place::Here, &server, &cameras, &flags)?;
        server.wait_for_camera(&token, "yard", DEADLINE)?;
        let of_gateway = Subject::new("gateway", gateway.program.pid(), admin);
        Ok(Self { scene, server, _gateway: gateway, token, subjects: [of_server, of_gateway] })
    }

    /// Lets a viewer come, watch and go. Those with odd numbers are relayed.
    fn watch(&self, slot: usize, turn: u64) -> Result<()> {
        let name = format!("viewer-{slot}");
        for end in ["json", "log"] {
            // There is none before the first turn.
            let _ = std::fs::remove_file(self.scene.folder().join(format!("{name}.{end}")));
        }
        let is_relayed = slot % 2 == 1;
        let start = if is_relayed { Viewer::start_relayed } else { Viewer::start_as };
        let url = self.server.url("");
        let mut viewer = start(self.scene, &name, Place::Here, &url, &self.token, "yard")?;
        viewer.wait_for_frames(FIRST_FRAMES, DEADLINE)?;
        viewer.wait_for_frames(FRAMES + MORE_FRAMES * (turn % 4), DEADLINE)
    }

    /// Lets viewers come and go for so long, and measures meanwhile. Returns how many there were.
    fn run(&mut self, length: Duration) -> Result<u64> {
        let (stop, played) = (AtomicBool::new(false), AtomicU64::new(0));
        let mut measured = [Vec::new(), Vec::new()];
        let house = &*self;
        let measuring = thread::scope(|threads| {
            let play = |slot| {
                for turn in slot as u64.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    house.watch(slot, turn).inspect_err(|_| stop.store(true, Ordering::Relaxed))?;
                    played.fetch_add(1, Ordering::Relaxed);
                }
                anyhow::Ok(())
            };
            let viewers: Vec<_> =
                (0..VIEWERS).map(|slot| threads.spawn(move || play(slot))).collect();
            let measuring = house.measure_for(length, &stop, &mut measured);
            stop.store(true, Ordering::Relaxed);
            for viewer in viewers {
                viewer.join().map_err(|_| anyhow!("a viewer has panicked"))??;
            }
            measuring
        });
        measuring?;
        for (subject, measured) in self.subjects.iter_mut().zip(measured) {
            subject.measured = measured;
        }
        Ok(played.into_inner())
    }

    fn measure_for(
        &self,
        length: Duration,
        stop: &AtomicBool,
        measured: &mut [Vec<Measured>; 2],
    ) -> Result<()> {
        let interval = (length / MEASUREMENTS).max(SHORTEST_INTERVAL);
        let end = Instant::now() + length;
        while Instant::now() < end && !stop.load(Ordering::Relaxed) {
            for (subject, measured) in self.subjects.iter().zip(&mut *measured) {
                measured.push(subject.measure()?);
            }
            thread::sleep(interval);
        }
        Ok(())
    }

    /// Waits until nobody watches and the closure accepts what is measured then.
    fn when_quiet(&self, accept: impl Fn(&[Measured]) -> bool) -> Result<Vec<Measured>> {
        let mut last = Vec::new();
        let quiet = wait::until("everything of the viewers has ended", RETURN_DEADLINE, || {
            last = self.subjects.iter().map(Subject::measure).collect::<Result<_>>()?;
            let is_quiet = last.iter().all(|measured| measured.viewers == 0);
            Ok((is_quiet && accept(&last)).then(|| last.clone()))
        });
        quiet.with_context(|| format!("{last:?}"))
    }
}

/// The needs of a program at one moment.
#[derive(Debug, Clone, Copy, Default)]
struct Measured {
    memory: u64,
    files: u64,
    threads: u64,
    tasks: u64,
    /// Sessions of a gateway, and allocations of a TURN server.
    viewers: u64,
}

impl Measured {
    /// Returns true if the files and tasks of the viewers have ended.
    fn is_back(&self, before: &Self) -> bool {
        self.files <= before.files + LEFT && self.tasks <= before.tasks + LEFT
    }
}

/// A program whose needs are measured.
struct Subject {
    name: &'static str,
    pid: u32,
    admin: SocketAddr,
    measured: Vec<Measured>,
}

type Column = (&'static str, fn(&Measured) -> f64);

const COLUMNS_OF_COUNTS: [Column; 3] = [
    ("files", |measured| measured.files as f64),
    ("threads", |measured| measured.threads as f64),
    ("tasks", |measured| measured.tasks as f64),
];
const MEMORY: Column = ("MiB", |measured| measured.memory as f64 / f64::from(1 << 20));

impl Subject {
    fn new(name: &'static str, pid: u32, admin: SocketAddr) -> Self {
        Self { name, pid, admin, measured: Vec::new() }
    }

    fn measure(&self) -> Result<Measured> {
        let url = format!("http://{}/metrics", self.admin);
        let text = http::get(Place::Here, &url, Some(TOKEN))?.body;
        let sum = |name: &str| {
            let values = text.lines().filter_map(|line| {
                let rest = line.strip_prefix(name)?;
                rest.starts_with([' ', '{'])
                    .then(|| rest.rsplit(' ').next()?.parse::<u64>().ok())?
            });
            values.sum::<u64>()
        };
        let viewers = ["porthole_gateway_viewers", "porthole_gateway_starting_sessions"];
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.pid))?.count();
        Ok(Measured {
            memory: sum("porthole_resident_memory_bytes"),
            files: sum("porthole_open_files"),
            threads: threads as u64,
            tasks: sum("porthole_tasks"),
            viewers: viewers.map(sum).iter().sum::<u64>() + sum("porthole_turn_allocations"),
        })
    }

    /// Returns the averages of the middle third and of the last one.
    fn thirds(&self, of: fn(&Measured) -> f64) -> (f64, f64) {
        let third = self.measured.len() / 3;
        let average = |from: usize| {
            let values = self.measured.iter().skip(from).take(third).map(of);
            values.sum::<f64>() / third.max(1) as f64
        };
        (average(third), average(2 * third))
    }

    /// Returns what has grown more than it may.
    fn growth(&self) -> Vec<String> {
        let (middle, last) = self.thirds(MEMORY.1);
        let grown = middle * (1.0 + MEMORY_GROWTH / 100.0) < last;
        let memory = grown.then(|| format!("{}: {middle:.2} to {last:.2} MiB", self.name));
        let counts = COLUMNS_OF_COUNTS.iter().filter_map(|(what, of)| {
            let (middle, last) = self.thirds(*of);
            let grown = middle + COUNT_GROWTH < last;
            grown.then(|| format!("{}: {middle:.1} to {last:.1} {what}", self.name))
        });
        memory.into_iter().chain(counts).collect()
    }

    /// Returns a table with a line of the course of each number.
    fn table(&self) -> String {
        let mut text = format!("{:8} {:>8} {:>8} {:>8}\n", self.name, "first", "middle", "last");
        for (what, of) in [MEMORY].iter().chain(&COLUMNS_OF_COUNTS) {
            let first = self.measured.first().map_or(0.0, of);
            let (middle, last) = self.thirds(*of);
            let values: Vec<f64> = self.measured.iter().map(of).collect();
            let course = course(&values);
            // Writing to a text cannot fail.
            let _ = writeln!(text, "{what:8} {first:8.2} {middle:8.2} {last:8.2}  {course}");
        }
        text
    }
}

/// Returns a line of characters with the course of a number between its least and its greatest
/// value.
fn course(values: &[f64]) -> String {
    const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let greatest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let range = (greatest - least).max(f64::MIN_POSITIVE);
    let chunk = values.len().div_ceil(COLUMNS).max(1);
    let level = |values: &[f64]| {
        let average = values.iter().sum::<f64>() / values.len() as f64;
        LEVELS[(((average - least) / range) * 7.0).round() as usize]
    };
    values.chunks(chunk).map(level).collect()
}

#[test]
fn the_course_of_a_number_is_a_line_of_characters() {
    for (values, expected) in [(&[][..], ""), (&[5.0, 5.0], "▁▁"), (&[0.0, 7.0, 3.0], "▁█▄")]
    {
        assert_eq!(course(values), expected, "{values:?}");
    }
}
