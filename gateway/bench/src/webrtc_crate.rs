//! The gateway made with the `webrtc` crate (`examples/webrtc_gateway.rs`), and its viewers.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{ChildStdin, Command};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use porthole_gateway_core::dtls_srtp::Identity;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::contender::{Joined, PATIENCE};
use crate::network::ADDRESS;
use crate::process::Process;
use crate::viewer::{Counters, Viewer};

/// Capacity of the queue of its offers.
const QUEUE: usize = 1024;

/// Returns the program, which is built beside the benchmark.
pub(crate) fn program() -> Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name("examples").join("webrtc_gateway"))
}

/// A running gateway.
pub(crate) struct WebrtcCrate {
    pub(crate) process: Process,
    input: ChildStdin,
    offers: mpsc::Receiver<Value>,
    cameras: usize,
    viewers: u64,
}

impl WebrtcCrate {
    /// Starts it with a camera for each port.
    pub(crate) async fn start(ports: &[u16]) -> Result<Self> {
        let mut command = Command::new(program()?);
        command.arg(ADDRESS.to_string()).args(ports.iter().map(u16::to_string));
        let (process, input, output) = Process::start_to_talk(&mut command)?;
        let (lines, mut offers) = mpsc::channel(QUEUE);
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let Ok(line) = serde_json::from_str(&line) else { return };
                if lines.blocking_send(line).is_err() {
                    return;
                }
            }
        });
        let ready = timeout(PATIENCE, offers.recv()).await?;
        ensure!(ready.is_some(), "the gateway of the webrtc crate does not start");
        Ok(Self { process, input, offers, cameras: ports.len(), viewers: 0 })
    }

    /// Lets this many viewers join, each after an interval.
    pub(crate) async fn join(
        &mut self,
        viewers: usize,
        interval: Duration,
        counters: &Arc<Counters>,
    ) -> Result<Vec<Joined>> {
        let identity = Identity::generate()?;
        let mut joined = Vec::new();
        let mut asked = HashMap::new();
        let mut next = Instant::now();
        let mut count = 0;
        let patience = Instant::now() + PATIENCE + interval * u32::try_from(viewers)?;
        while joined.len() < viewers && Instant::now() < patience {
            if count < viewers && next <= Instant::now() {
                let id = self.viewers;
                asked.insert(id, Instant::now());
                self.write(&json!({ "viewer": id, "camera": count % self.cameras }))?;
                self.viewers += 1;
                count += 1;
                next += interval;
            }
            let wait = next.saturating_duration_since(Instant::now());
            let wait = if count < viewers { wait } else { PATIENCE };
            let Ok(offer) = timeout(wait, self.offers.recv()).await else { continue };
            let offer = offer.context("the gateway of the webrtc crate has ended")?;
            let id = offer["viewer"].as_u64().context("viewer")?;
            let sdp = offer["offer"].as_str().context("offer")?;
            let (viewer, reply) = Viewer::start(sdp, ADDRESS, &identity, counters)?;
            let candidates: Vec<_> = reply.candidates.iter().filter(|c| !c.is_empty()).collect();
            self.write(&json!({ "viewer": id, "answer": reply.answer, "candidates": candidates }))?;
            let asked = asked.remove(&id).context("an offer that nobody asked for")?;
            joined.push(Joined { asked, viewer });
        }
        Ok(joined)
    }

    fn write(&mut self, line: &Value) -> Result<()> {
        Ok(writeln!(self.input, "{line}")?)
    }
}
