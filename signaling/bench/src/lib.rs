//! Measures the signaling server on one core: the memory of idle gateways, the time that it adds to
//! the set-up of sessions, and how soon all gateways are back after a restart. Or shows that
//! nothing is delivered to the wrong peer.
//! `docs/ref/signaling-benchmark.md` has method, command and results.
//!
//! Architecture invariant: it drives a program from outside, and prints nothing itself.

#![warn(missing_docs)]

mod crowd;
mod gateway;
mod link;
mod server;
mod viewers;
mod whose_camera;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use porthole_signaling::PlaceLimits;
use tokio::runtime::Runtime;

use crowd::Crowd;
use server::Server;
use viewers::Setups;

/// Number of gateways, unless the plan or the limit of open files says otherwise.
const GATEWAYS: usize = 20_000;
/// Time in which all gateways must have enrolled, or be back after a restart.
const PATIENCE: Duration = Duration::from_secs(600);

/// A run: what is measured, and how much.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The program to measure, which is started as `signaling`.
    pub program: PathBuf,
    /// Number of gateways; `None` for 20 000, or as many as the limit of open files lets.
    pub gateways: Option<usize>,
    /// Session set-ups per second.
    pub rate: u32,
    /// Seconds in which sessions are set up.
    pub seconds: u64,
    /// Time without anything to do, before the memory is measured.
    pub calm: Duration,
}

/// A run that measures nothing: sessions of cameras with the same names are asked for, while
/// connections, tokens and the server end.
#[derive(Debug, Clone)]
pub struct WhoseCamera {
    /// The program to test, which is started as `signaling`.
    pub program: PathBuf,
    /// Number of gateways.
    pub gateways: usize,
    /// Number of sessions that are asked for.
    pub sessions: u64,
}

/// Takes a line of the results.
pub type Print<'a> = &'a dyn Fn(String) -> Result<()>;

/// Runs a plan, and prints each result once it is there. Must be called before any thread has been
/// started, since threads inherit on which cores they run.
///
/// # Errors
/// The first step that fails, with what it was about.
pub fn run(plan: &Plan, print: Print<'_>) -> Result<()> {
    let most = prepare(&plan.program, print)?;
    let gateways = plan.gateways.unwrap_or(GATEWAYS.min(most));
    check(gateways, most)?;
    runtime()?.block_on(measure(plan, gateways, print))
}

/// Runs such a plan, and prints what was delivered. Must be called before any thread has been
/// started.
///
/// # Errors
/// The first step that fails; anything that has reached the wrong peer.
pub fn whose_camera(plan: &WhoseCamera, print: Print<'_>) -> Result<()> {
    check(plan.gateways, prepare(&plan.program, print)?)?;
    runtime()?.block_on(whose_camera::run(plan, print))
}

/// Prepares this process for many connections. Returns the most gateways that find room.
fn prepare(program: &Path, print: Print<'_>) -> Result<usize> {
    let name = program.display();
    ensure!(program.exists(), "{name} does not exist: name another with --porthole");
    let open_files = server::raise_open_files()?;
    let connections = PlaceLimits::within(usize::try_from(open_files)?).total;
    print(format!("open files: {open_files}, of which {connections} for connections"))?;
    // The server has the first core to itself.
    server::leave_first_core()?;
    Ok(connections.saturating_sub(viewers::VIEWERS))
}

fn check(gateways: usize, most: usize) -> Result<()> {
    ensure!(
        gateways <= most,
        "with this limit of open files, {most} gateways and their {} viewers find room: choose \
         --gateways {most} or less, or raise the limit (`ulimit -Hn`)",
        viewers::VIEWERS,
    );
    Ok(())
}

fn runtime() -> Result<Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

async fn measure(plan: &Plan, count: usize, print: Print<'_>) -> Result<()> {
    let data = tempfile::tempdir().context("no temporary folder")?;
    let mut server = Server::new(plan.program.clone(), data.path().to_owned())?;
    server.start().await?;
    let empty = server.memory()?;
    let crowd = Arc::new(Crowd::new(&server, count));

    let start = Instant::now();
    crowd.connect();
    crowd.wait_until_online(PATIENCE).await?;
    print(format!("{count} gateways have enrolled and registered within {:.1?}", start.elapsed()))?;
    tokio::time::sleep(plan.calm).await;
    let each = server.memory()?.saturating_sub(empty) / u64::try_from(count.max(1))?;
    print(format!(
        "memory of each idle connection: {each} bytes; the server alone: {empty} bytes"
    ))?;
    let (cpu, calm) = (server.cpu()?, Instant::now());
    tokio::time::sleep(plan.calm).await;
    let busy = (server.cpu()? - cpu).as_secs_f64() / calm.elapsed().as_secs_f64();
    print(format!("cores of the server while nothing happens: {busy:.3}"))?;

    let (cpu, start) = (server.cpu()?, Instant::now());
    let setups = viewers::run(&server, &crowd, plan.rate, plan.seconds).await?;
    let busy = (server.cpu()? - cpu).as_secs_f64() / start.elapsed().as_secs_f64();
    let Setups { asked, failed, mut times } = setups;
    times.sort_unstable();
    let at = |share: f64| quantile(&times, share).as_secs_f64() * 1e3;
    print(format!(
        "{asked} set-ups at {} a second, {failed} refused; from the request to the answer at the \
         gateway: p50 {:.2}, p99 {:.2}, most {:.2} ms; cores of the server: {busy:.2}",
        plan.rate,
        at(0.5),
        at(0.99),
        at(1.0),
    ))?;
    server.stop().await?;
    crowd.wait_until_offline(PATIENCE).await?;
    let start = Instant::now();
    server.start().await?;
    crowd.wait_until_online(PATIENCE).await?;
    print(format!("all are back {:.1?} after the start of a new process", start.elapsed()))?;
    Ok(())
}

/// Returns the time that this share of all is not above; zero without any.
fn quantile(sorted: &[Duration], share: f64) -> Duration {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index into a list"
    )]
    let index = (sorted.len() as f64 * share) as usize;
    sorted.get(index.min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
}
