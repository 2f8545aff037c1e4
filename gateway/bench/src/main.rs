//! Measures the gateway beside Janus on one machine: builds of ours and Debian's Janus take turns,
//! with the same RTP in and the same viewers.

mod case;
mod contender;
mod janus;
mod latency;
mod network;
mod porthole;
mod process;
mod source;
mod table;
mod viewer;
mod webrtc_crate;

use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Parser;

use case::{CASES, Case, Found, measure};
use contender::Contender;

/// Measure the gateway beside Janus; needs root, for a network namespace of its own
#[derive(Debug, Parser)]
struct Arguments {
    /// The program to measure, as PATH or NAME=PATH (repeatable) [default: the one beside this]
    #[arg(long = "porthole", value_name = "PATH")]
    portholes: Vec<Contender>,
    /// Leave Janus out
    #[arg(long)]
    without_janus: bool,
    /// Leave the gateway of the webrtc crate out
    #[arg(long)]
    without_webrtc_crate: bool,
    /// Number of measurements of each; the table has medians
    #[arg(long, default_value_t = 3, value_name = "N")]
    rounds: usize,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 6, value_name = "S")]
    seconds: u64,
    /// Only the cases whose row has this text
    #[arg(long, default_value = "", value_name = "TEXT")]
    only: String,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    network::enter()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(compare(arguments))
}

async fn compare(arguments: Arguments) -> Result<()> {
    let mut contenders = arguments.portholes.clone();
    if contenders.is_empty() {
        let program = std::env::current_exe()?.with_file_name("porthole");
        contenders.push(Contender::Porthole("Porthole".to_owned(), program));
    }
    if !arguments.without_janus && janus::is_installed() {
        contenders.insert(0, Contender::Janus);
    }
    if !arguments.without_webrtc_crate && webrtc_crate::program()?.is_file() {
        contenders.push(Contender::WebrtcCrate);
    }
    let time = Duration::from_secs(arguments.seconds);
    let cases = CASES.iter().filter(|case| case.to_string().contains(&arguments.only));
    let mut rows: Vec<(Case, Vec<Vec<Found>>)> = Vec::new();
    for case in cases {
        let mut found = vec![Vec::new(); contenders.len()];
        for round in 0..arguments.rounds {
            for (contender, list) in contenders.iter().zip(&mut found) {
                progress(&format!(
                    "{case}: {}, {} of {}",
                    contender.name(),
                    round + 1,
                    arguments.rounds
                ));
                let measured = measure(contender, *case, time).await;
                list.push(measured.with_context(|| format!("{case}: {}", contender.name()))?);
            }
        }
        rows.push((*case, found));
    }
    let names: Vec<_> = contenders.iter().map(Contender::name).collect();
    std::io::stdout().lock().write_all(table::write(&names, &rows).as_bytes())?;
    Ok(())
}

/// Tells what is being done.
fn progress(text: &str) {
    // Nobody may be reading.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
