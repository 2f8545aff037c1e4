//! Whole houses in virtual time: viewers with players of all kinds come and go, behind links and an
//! uplink that change, are cut and rebind, with a cap and a sub stream that change, too. A seed
//! says what happens. After it all stays as it is for a while, and a model says what must be true
//! then.

use std::time::Instant;

use porthole_signaling_proto::method::ShownPicture::{self, KeyFrames, Main, Still};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::link::{Link, Shape};
use super::scene::{MAIN, Player, SUB, Scene, Sub};
use super::watcher::Watcher;
use super::{MS, SECOND};

/// Number of houses in a run: `PORTHOLE_HOUSES` or this many, from the seed `PORTHOLE_HOUSE` on.
const HOUSES: u64 = 40;

/// Viewers of a house at most, and the things that happen.
const MAX_VIEWERS: usize = 5;
const EVENTS: usize = 12;

/// Time without events after which the model has to be true.
const CALM: u32 = 60;

/// The last part of it, in which everything is measured.
const MEASURED: u32 = 20;

/// Time for which the packets of a link may wait for long in succession.
const MAX_FLOOD: u32 = 8;

/// The least that a line carries for each of its viewers, in bits per second, for the model to say
/// more than what is sent: sound takes half of it, whatever the line.
const LEAST: u64 = 200_000;

#[derive(Debug)]
struct Viewer {
    name: String,
    profile: &'static str,
    player: Player,
    link: usize,
    is_there: bool,
}

struct House {
    rng: StdRng,
    scene: Scene,
    start: Instant,
    viewers: Vec<Viewer>,
    cap: Option<u64>,
    has_sub: bool,
    /// The least that each link and, at last, the uplink have carried.
    least: Vec<u64>,
    /// True if all players tell everything, no stream is chosen and the sub stream always plays, so
    /// that nothing has to flood a line until a breaker stops it.
    is_orderly: bool,
    /// True if the cap never changes.
    is_steady: bool,
    /// Events until now, for whoever reads why it failed.
    events: Vec<String>,
}

impl House {
    fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let links: Vec<_> = (0..rng.random_range(1..=3)).map(|_| random_shape(&mut rng)).collect();
        let cap = random_cap(&mut rng);
        let mut scene = Scene::with(MAIN, Sub::Plays(SUB), &links, cap);
        let uplink = Shape { delay: MS, lost: 0, ..random_shape(&mut rng) };
        scene.uplink = Some(Link::new(uplink, seed));
        scene.play_sound();
        let (start, events) = (scene.now, vec![format!("{links:?}, {uplink:?}, cap {cap:?}")]);
        let (is_orderly, viewers) = (seed.is_multiple_of(2), Vec::new());
        let (is_steady, has_sub) = (cap.is_none(), true);
        let least = links.iter().chain([&uplink]).map(|it| it.rate).collect();
        Self { rng, scene, start, viewers, cap, has_sub, least, is_orderly, is_steady, events }
    }

    /// Lets something happen.
    fn happen(&mut self) {
        let rng = &mut self.rng;
        let link = rng.random_range(0..self.scene.links.len());
        let there: Vec<_> =
            (0..self.viewers.len()).filter(|it| self.viewers[*it].is_there).collect();
        let one = there.get(rng.random_range(0..there.len().max(1))).copied();
        let event = match (rng.random_range(0..12), one) {
            (0..=3, _) | (_, None) if there.len() < MAX_VIEWERS => self.join(link),
            (4, Some(one)) => {
                let viewer = &mut self.viewers[one];
                viewer.is_there = false;
                self.scene.leave(&viewer.name);
                format!("{} leaves", viewer.name)
            }
            (5, Some(one)) => {
                self.scene.rebind(&self.viewers[one].name);
                format!("the NAT of {} rebinds", self.viewers[one].name)
            }
            (6, _) => {
                let time = MS * rng.random_range(100..12_000);
                let lost = std::mem::replace(&mut self.scene.links[link].shape.lost, 100);
                self.scene.run(time);
                self.scene.links[link].shape.lost = lost;
                format!("link {link} was cut for {time:?}")
            }
            (7, _) => {
                let rate = random_rate(rng);
                self.scene.uplink.as_mut().unwrap().shape.rate = rate;
                format!("the uplink has {rate} bit/s")
            }
            (8, _) => {
                self.cap = random_cap(rng);
                self.is_steady &= self.cap.is_none();
                self.scene.set_max_uplink(self.cap);
                format!("the cap is {:?}", self.cap)
            }
            (9, _) if !self.is_orderly => {
                self.has_sub = !self.has_sub;
                if self.has_sub {
                    self.scene.play_sub(SUB)
                } else {
                    self.scene.end_sub()
                }
                format!("the sub stream plays: {}", self.has_sub)
            }
            _ => {
                let rate = random_rate(rng);
                self.scene.links[link].shape.rate = rate;
                format!("link {link} has {rate} bit/s")
            }
        };
        let links = self.scene.links.iter().chain(&self.scene.uplink);
        for (least, link) in self.least.iter_mut().zip(links) {
            *least = link.shape.rate.min(*least);
        }
        self.events.push(format!("{:.1?}: {event}", self.scene.now - self.start));
        self.scene.run(MS * self.rng.random_range(200..8_000));
    }

    fn join(&mut self, link: usize) -> String {
        let is_orderly = self.is_orderly;
        let mut once_in = |count| !is_orderly && self.rng.random_range(0..count) == 0;
        let player = Player {
            has_sound: self.viewers.len() % 3 == 2,
            is_detailed: !once_in(5),
            takes_rtx: !once_in(8),
            is_silent: once_in(12),
        };
        let is_chosen = once_in(5) && self.has_sub;
        let profile = if is_chosen { "door.sub" } else { "door" };
        // The order of names is the order of addresses.
        let name = format!("v{:02}", self.viewers.len());
        self.scene.watch_with(&name, profile, link, player);
        let event = format!("{name} watches {profile} over link {link}: {player:?}");
        self.viewers.push(Viewer { name, profile, player, link, is_there: true });
        event
    }

    fn there(&self) -> impl Iterator<Item = (&Viewer, &Watcher)> {
        let there = self.viewers.iter().filter(|viewer| viewer.is_there);
        there.filter_map(|viewer| Some((viewer, self.scene.watchers.get(&viewer.name)?)))
    }

    /// Returns what the narrowest part of a viewer's path carries for each of those on it.
    fn share(&self, viewer: &Viewer) -> u64 {
        let on_link = self.there().filter(|(it, _)| it.link == viewer.link).count() as u64;
        let all = self.there().count() as u64;
        let link = self.scene.links[viewer.link].shape.rate / on_link.max(1);
        link.min(self.uplink().shape.rate / all.max(1))
    }

    fn uplink(&self) -> &Link {
        self.scene.uplink.as_ref().unwrap()
    }

    /// Returns viewers that see something else than they were told.
    fn wrong_words(&self) -> Vec<String> {
        let (long, from) = (self.scene.now - SECOND * 8, self.scene.now - SECOND * 4);
        let wrong = |(viewer, watcher): (&Viewer, &Watcher)| {
            let told = self.scene.told(&viewer.name, self.start);
            let (at, shown) = told.last()?;
            let picture = shown.picture;
            let frames = watcher.frames.iter().filter(|it| it.at >= from);
            let (all, keys) = (frames.clone().count(), frames.filter(|it| it.is_key).count());
            let is_large = watcher.first(from, true).is_some();
            let is_true = match picture {
                // A probe repeats packets that were lost, and may complete the last picture.
                Still => all <= 1,
                KeyFrames => all == keys && !is_large,
                ShownPicture::Sub => !is_large,
                Main => is_large || all == 0 || viewer.profile == "door.sub",
            };
            let name = &viewer.name;
            (*at < long && !is_true).then(|| {
                format!("{name} was told {picture:?}, and gets {all}, {keys} of them keys")
            })
        };
        self.there().filter_map(wrong).collect()
    }

    /// Returns viewers whose session has ended, or that see less than their path carries.
    fn wrong_pictures(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for (viewer, watcher) in self.there() {
            let (name, share) = (&viewer.name, self.share(viewer));
            if share >= LEAST {
                let ends = watcher.ended.iter();
                wrong.extend(ends.map(|why| format!("{name} has ended with {share} bit/s: {why}")));
            }
            let from = self.scene.now - SECOND * 10;
            let pictures = watcher.frames.iter().filter(|it| it.at >= from).count();
            let is_large = watcher.first(from, true).is_some();
            let told = self.scene.told(name, self.start);
            let changes = told.iter().filter(|it| it.0 > self.scene.now - SECOND * 120).count();
            // Viewers on one line find out about it one by one, so each may see less for a while.
            if self.cap.is_some() || self.there().count() > 1 {
                continue;
            }
            if share > 12_000_000 && changes < 3 && !is_large {
                wrong.push(format!("{name} does not see the main stream with {share} bit/s"));
            }
            if share > 2_000_000 && pictures < 100 {
                wrong.push(format!("{name} sees {pictures} pictures in 10 s with {share} bit/s"));
            }
            // A key frame leaves at once, so a queue that is shorter loses a part of it each time.
            let shapes = [self.uplink(), &self.scene.links[viewer.link]].map(|it| it.shape);
            let fits = shapes.iter().all(|it| it.queue > it.time_of(12_000));
            if fits && share > LEAST && pictures == 0 {
                wrong.push(format!("{name} sees nothing for 10 s with {share} bit/s"));
            }
        }
        wrong
    }

    /// Returns what is wrong with what was sent to all, so many bytes in the time that is measured.
    fn wrong_cap(&self, bytes: u64) -> Option<String> {
        let cap = self.cap?;
        let sent = bytes * 8 / u64::from(MEASURED);
        // Sound, checks and reports come on top.
        let loud = self.there().filter(|(viewer, _)| viewer.player.has_sound).count() as u64;
        let most = cap * 110 / 100 + loud * 100_000 + self.there().count() as u64 * 20_000;
        (sent > most).then(|| format!("{sent} bit/s are sent under a cap of {cap}"))
    }

    /// Returns the links that were flooded for too long, of those that are not too narrow for all
    /// their viewers. The last one is the uplink.
    fn wrong_links(&self) -> Vec<String> {
        let links = self.scene.links.iter().chain(&self.scene.uplink).zip(&self.least).enumerate();
        let count = |index| self.viewers.iter().filter(|it| it.link == index).count();
        let flooded = |(index, (link, least)): (usize, (&Link, &u64))| {
            let is_uplink = index == self.scene.links.len();
            let viewers = if is_uplink { self.viewers.len() } else { count(index) } as u64;
            let flood = link.longest_wait(MS * 150);
            (*least >= LEAST * viewers && flood > SECOND * MAX_FLOOD)
                .then(|| format!("link {index} is flooded for {flood:.1?}"))
        };
        links.filter_map(flooded).collect()
    }

    /// Returns the viewers whose picture has changed too often.
    fn wrong_changes(&self) -> Vec<String> {
        let many = |(viewer, _): &(&Viewer, &Watcher)| {
            let mut last = Main;
            let mut changes = Vec::new();
            for (at, shown) in self.scene.told(&viewer.name, self.start) {
                let both = [last, shown.picture];
                // These two are the same picture.
                if !(both.contains(&KeyFrames) && both.contains(&Still)) {
                    changes.push(at);
                }
                last = shown.picture;
            }
            changes.windows(5).any(|five| five[4] - five[0] < SECOND * 60)
        };
        let many = self.there().filter(many);
        many.map(|(it, _)| format!("{} has five changes in a minute", it.name)).collect()
    }
}

fn random_rate(rng: &mut StdRng) -> u64 {
    10_f64.powf(rng.random_range(5.0..7.8)) as u64
}

fn random_shape(rng: &mut StdRng) -> Shape {
    Shape {
        rate: random_rate(rng),
        bucket: rng.random_range(2_000..20_000),
        queue: MS * rng.random_range(100..800),
        delay: MS * rng.random_range(1..80),
        lost: rng.random_range(0..3),
    }
}

fn random_cap(rng: &mut StdRng) -> Option<u64> {
    let cap = random_rate(rng).max(100_000);
    (rng.random_range(0..2) == 0).then_some(cap)
}

/// Returns what was wrong with a random house.
fn random_house(seed: u64) -> Vec<String> {
    let mut house = House::new(seed);
    for _ in 0..EVENTS {
        house.happen();
    }
    house.scene.run(SECOND * (CALM - MEASURED));
    let sent = |house: &House| house.scene.watchers.values().map(|it| it.sent).sum::<u64>();
    let before = sent(&house);
    house.scene.run(SECOND * MEASURED);
    let bytes = sent(&house) - before;
    let mut wrong = house.wrong_words();
    wrong.extend(house.wrong_cap(bytes));
    if house.is_orderly {
        wrong.extend(house.wrong_pictures());
        wrong.extend(house.wrong_links());
    }
    if house.is_orderly && house.is_steady {
        wrong.extend(house.wrong_changes());
    }
    if !wrong.is_empty() {
        wrong.extend(house.events);
        for viewer in &house.viewers {
            let told = house.scene.told(&viewer.name, house.start);
            let told = told.iter().map(|(at, it)| {
                format!("{:.1?} {:?} {:?}", *at - house.start, it.picture, it.kbit_per_s)
            });
            wrong.push(format!("{} was told {:?}", viewer.name, told.collect::<Vec<_>>()));
        }
    }
    wrong
}

#[test]
fn random_houses_show_everybody_what_their_lines_carry() {
    let number = |name| std::env::var(name).ok().and_then(|number| number.parse::<u64>().ok());
    let (first, count) = (number("PORTHOLE_HOUSE").unwrap_or(0), number("PORTHOLE_HOUSES"));
    let seeds = first..first + count.unwrap_or(HOUSES);
    let mut failed = 0;
    for seed in seeds.clone() {
        let wrong = random_house(seed);
        failed += u64::from(!wrong.is_empty());
        if !wrong.is_empty() {
            println!("house {seed}:\n  {}", wrong.join("\n  "));
        }
    }
    assert_eq!(failed, 0, "of the houses {seeds:?}");
}
