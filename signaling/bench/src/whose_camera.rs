//! No wrong camera, over real connections: gateways whose cameras all have the same names, viewers
//! who ask for some of them, and a server that is killed. Meanwhile connections are cut and tokens
//! revoked. Everything is stamped, and whoever receives it compares.

mod gateways;
mod stamps;
mod viewers;
mod whep;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rand::Rng as _;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::gateway::{Entrance, Gateway};
use crate::server::Server;
use crate::{Print, WhoseCamera};
use stamps::Counts;
use viewers::Access;

/// Cameras of every gateway. Nobody has a right to the last one.
const CAMERAS: [&str; 3] = ["door", "yard", "hall"];
/// Gateways for each viewer.
const GATEWAYS_PER_VIEWER: usize = 20;
/// Most viewers of a run.
const MOST_VIEWERS: usize = 100;
/// Time between two revocations.
const REVOCATION: Duration = Duration::from_millis(500);
/// Times that the server is killed.
const KILLS: u64 = 3;
/// Time in which all gateways must have enrolled, or all sessions been asked for.
const PATIENCE: Duration = Duration::from_secs(600);
const LOOK: Duration = Duration::from_millis(20);

/// State that the peers of a run share.
#[derive(Debug)]
struct World {
    server: SocketAddr,
    data: PathBuf,
    gateways: Vec<Gateway>,
    viewers: Vec<Access>,
    entrance: Entrance,
    /// Number of sessions that are to be asked for.
    sessions: u64,
    counts: Counts,
    /// The longest time from the revocation of a token to the end of its connection.
    longest_end: Mutex<Duration>,
}

impl World {
    fn is_over(&self) -> bool {
        self.counts.asked.load(Ordering::Relaxed) >= self.sessions
    }

    fn note_end(&self, took: Duration) {
        let mut longest = lock(&self.longest_end);
        *longest = took.max(*longest);
    }
}

/// Runs until so many sessions were asked for. An error says what is wrong.
pub(crate) async fn run(plan: &WhoseCamera, print: Print<'_>) -> Result<()> {
    let data = tempfile::tempdir().context("no temporary folder")?;
    let mut server = Server::new(plan.program.clone(), data.path().to_owned())?;
    server.start().await?;
    let gateways: Vec<_> = (0..plan.gateways).map(|_| Gateway::new()).collect();
    let count = (gateways.len() / GATEWAYS_PER_VIEWER).clamp(1, MOST_VIEWERS);
    let world = Arc::new(World {
        server: server.address(),
        data: server.data().to_owned(),
        viewers: (0..count).map(|_| Access::random(&gateways)).collect::<Result<_>>()?,
        gateways,
        entrance: Entrance::new(server.address(), server.data().to_owned()),
        sessions: plan.sessions,
        counts: Counts::default(),
        longest_end: Mutex::default(),
    });
    let mut peers = JoinSet::new();
    for number in 0..world.gateways.len() {
        peers.spawn(gateways::run(Arc::clone(&world), number));
    }
    wait(|| world.gateways.iter().all(Gateway::has_enrolled)).await.context("enrolling")?;
    print(format!("{} gateways have enrolled; {count} viewers", world.gateways.len()))?;
    let mut viewers = JoinSet::new();
    for number in 0..count {
        viewers.spawn(viewers::run(Arc::clone(&world), number));
    }
    disturb(&world, &mut server).await?;
    timeout(PATIENCE, async {
        while let Some(ended) = viewers.join_next().await {
            ended.context("a viewer has panicked")??;
        }
        anyhow::Ok(())
    })
    .await
    .context("the viewers do not come to an end")??;
    for found in world.counts.faults() {
        print(found)?;
    }
    print(world.counts.to_string())?;
    let longest = *lock(&world.longest_end);
    print(format!("connections with a revoked token ended within {longest:.1?}"))?;
    let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    ensure!(of(&world.counts.wrong) == 0, "something was delivered to the wrong peer");
    ensure!(
        of(&world.counts.compared) >= plan.sessions,
        "too little was delivered to say anything"
    );
    Ok(())
}

/// Revokes tokens and kills the server, until all sessions were asked for.
async fn disturb(world: &Arc<World>, server: &mut Server) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    let mut kills = 0;
    while !world.is_over() {
        ensure!(Instant::now() < end, "not all sessions were asked for: {}", world.counts);
        sleep(REVOCATION).await;
        let index = rand::rng().random_range(0..world.viewers.len());
        if let Some(viewer) = world.viewers.get(index) {
            viewer.revoke(world).await?;
        }
        let share = world.sessions / (KILLS + 1);
        if kills < KILLS && world.counts.asked.load(Ordering::Relaxed) > share * (kills + 1) {
            kills += 1;
            server.kill()?;
            server.start().await?;
            Counts::add(&world.counts.restarted);
        }
    }
    Ok(())
}

async fn wait(is: impl Fn() -> bool) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    while !is() {
        ensure!(Instant::now() < end, "it takes too long");
        sleep(LOOK).await;
    }
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns a random time between these many milliseconds.
fn between(least_ms: u64, most_ms: u64) -> Duration {
    Duration::from_millis(rand::rng().random_range(least_ms..most_ms))
}
