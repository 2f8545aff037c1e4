//! Measures the signaling server on one core: the memory of idle gateways, the time that it adds to
//! the set-up of sessions, and how soon all gateways are back after a restart. Or shows that
//! nothing is delivered to the wrong peer.
//! `docs/ref/signaling-benchmark.md` has method, command and results.

#![expect(clippy::print_stdout, reason = "it prints its results")]

mod crowd;
mod gateway;
mod link;
mod server;
mod viewers;
mod whose_camera;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;

use crowd::Crowd;
use server::Server;
use viewers::Setups;

/// Time without anything to do, before the memory is measured.
const CALM: Duration = Duration::from_secs(10);
/// Time in which all gateways must have enrolled, or be back after a restart.
const PATIENCE: Duration = Duration::from_secs(600);

/// Measures the signaling server.
#[derive(Debug, Parser)]
struct Arguments {
    /// The program to measure [default: `porthole` beside this one].
    #[arg(long, value_name = "PATH")]
    porthole: Option<PathBuf>,
    /// Number of gateways.
    #[arg(long, default_value_t = 20_000)]
    gateways: usize,
    /// Session set-ups per second.
    #[arg(long, default_value_t = 500)]
    rate: u32,
    /// Seconds in which sessions are set up.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Measures nothing, but lets this many sessions be asked for, of cameras with the same names,
    /// while connections, tokens and the server end; fails if anything reaches the wrong peer.
    #[arg(long, value_name = "SESSIONS")]
    whose_camera: Option<u64>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    println!("open files: {}", server::raise_open_files()?);
    // The server has the first core to itself; threads inherit what is set here.
    server::leave_first_core()?;
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run(arguments))
}

async fn run(arguments: Arguments) -> Result<()> {
    let binary = match arguments.porthole {
        Some(binary) => binary,
        None => std::env::current_exe()?.with_file_name("porthole"),
    };
    ensure!(binary.exists(), "{} does not exist: build it, or name another", binary.display());
    let count = arguments.gateways;
    if let Some(sessions) = arguments.whose_camera {
        return whose_camera::run(binary, count, sessions).await;
    }
    let data = tempfile::tempdir().context("no temporary folder")?;
    let mut server = Server::new(binary, data.path().to_owned())?;
    server.start().await?;
    let empty = server.memory()?;
    let crowd = Arc::new(Crowd::enroll(&server, count).await?);

    let start = Instant::now();
    crowd.connect(server.address());
    crowd.wait_until_online(PATIENCE).await?;
    println!("{count} gateways have enrolled and registered within {:.1?}", start.elapsed());
    tokio::time::sleep(CALM).await;
    let each = server.memory()?.saturating_sub(empty) / u64::try_from(count.max(1))?;
    println!("memory of each idle gateway: {each} bytes; the server alone: {empty} bytes");
    let (cpu, calm) = (server.cpu()?, Instant::now());
    tokio::time::sleep(CALM).await;
    let busy = (server.cpu()? - cpu).as_secs_f64() / calm.elapsed().as_secs_f64();
    println!("cores of the server while nothing happens: {busy:.3}");

    let (cpu, start) = (server.cpu()?, Instant::now());
    let setups = viewers::run(&server, &crowd, arguments.rate, arguments.seconds).await?;
    let busy = (server.cpu()? - cpu).as_secs_f64() / start.elapsed().as_secs_f64();
    let Setups { asked, failed, mut times } = setups;
    times.sort_unstable();
    let at = |share: f64| quantile(&times, share).as_secs_f64() * 1e3;
    println!(
        "{asked} set-ups at {} a second, {failed} refused; from the request to the answer at the \
         gateway: p50 {:.2}, p99 {:.2}, most {:.2} ms; cores of the server: {busy:.2}",
        arguments.rate,
        at(0.5),
        at(0.99),
        at(1.0),
    );
    server.stop().await?;
    crowd.wait_until_offline(PATIENCE).await?;
    let start = Instant::now();
    server.start().await?;
    crowd.wait_until_online(PATIENCE).await?;
    println!("all are back {:.1?} after the start of a new process", start.elapsed());
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
