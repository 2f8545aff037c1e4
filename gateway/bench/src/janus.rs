//! Debian's Janus with its streaming plugin, and its viewers, over its HTTP interface.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use porthole_gateway_core::dtls_srtp::Identity;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::contender::{Joined, PATIENCE};
use crate::network::ADDRESS;
use crate::process::Process;
use crate::viewer::{Counters, Viewer};

/// The HTTP interface, in a namespace of the benchmark's own.
const URL: &str = "http://127.0.0.1:8088/janus";

/// Returns true if Janus is installed.
pub(crate) fn is_installed() -> bool {
    Command::new("janus").arg("--version").output().is_ok()
}

/// A running Janus.
pub(crate) struct Janus {
    pub(crate) process: Process,
    cameras: usize,
    _folder: TempDir,
}

impl Janus {
    /// Starts it with a mountpoint for each port.
    pub(crate) async fn start(ports: &[u16]) -> Result<Self> {
        let folder = TempDir::new()?;
        write_configuration(folder.path(), ports)?;
        let mut command = Command::new("janus");
        command.arg("--configs-folder").arg(folder.path());
        let process = Process::start(&mut command)?;
        let began = Instant::now();
        while post(String::new(), json!({ "janus": "ping" })).await.is_err() {
            ensure!(began.elapsed() < PATIENCE, "Janus does not start");
            sleep(Duration::from_millis(50)).await;
        }
        Ok(Self { process, cameras: ports.len(), _folder: folder })
    }

    /// Lets this many viewers join, each after an interval.
    pub(crate) async fn join(
        &mut self,
        viewers: usize,
        interval: Duration,
        counters: &Arc<Counters>,
    ) -> Result<Vec<Joined>> {
        let identity = Identity::generate()?;
        let mut joining = JoinSet::new();
        for number in 0..viewers {
            let (camera, identity) = (number % self.cameras, identity.clone());
            let counters = Arc::clone(counters);
            joining.spawn(async move {
                let asked = Instant::now();
                let viewer = timeout(PATIENCE, watch(camera, &identity, &counters)).await??;
                anyhow::Ok(Joined { asked, viewer })
            });
            sleep(interval).await;
        }
        // Those that it refuses see no picture, which the table says.
        Ok(joining.join_all().await.into_iter().filter_map(Result::ok).collect())
    }
}

fn write_configuration(folder: &Path, ports: &[u16]) -> Result<()> {
    let general = "general: { session_timeout = 0\n debug_level = 1 }\n";
    std::fs::write(folder.join("janus.jcfg"), general)?;
    let http = "general: { base_path = \"/janus\"\n http = true\n port = 8088\n https = false }\n";
    std::fs::write(folder.join("janus.transport.http.jcfg"), http)?;
    let mut streaming = String::new();
    for (number, port) in ports.iter().enumerate() {
        writeln!(
            streaming,
            "cam{number}: {{ type = \"rtp\"\n id = {id}\n audio = false\n video = true\n \
             videoport = {port}\n videopt = 96\n videocodec = \"h264\"\n \
             videofmtp = \"profile-level-id=42c01f;packetization-mode=1\"\n \
             videobufferkf = true }}",
            id = number + 1
        )?;
    }
    std::fs::write(folder.join("janus.plugin.streaming.jcfg"), streaming)?;
    Ok(())
}

/// Lets one viewer watch a mountpoint.
async fn watch(camera: usize, identity: &Identity, counters: &Arc<Counters>) -> Result<Viewer> {
    let session = id_of(&post(String::new(), json!({ "janus": "create" })).await?)?;
    let attach = json!({ "janus": "attach", "plugin": "janus.plugin.streaming" });
    let handle = id_of(&post(format!("/{session}"), attach).await?)?;
    let path = format!("/{session}/{handle}");
    let body = json!({ "request": "watch", "id": camera + 1 });
    post(path.clone(), json!({ "janus": "message", "body": body })).await?;
    let offer = offer_of(session).await?;
    let (viewer, reply) = Viewer::start(&offer, ADDRESS, identity, counters)?;
    let jsep = json!({ "type": "answer", "sdp": reply.answer });
    let start = json!({ "janus": "message", "body": { "request": "start" }, "jsep": jsep });
    post(path.clone(), start).await?;
    for candidate in reply.candidates.into_iter().filter(|candidate| !candidate.is_empty()) {
        let candidate = json!({ "candidate": candidate, "sdpMLineIndex": 0 });
        post(path.clone(), json!({ "janus": "trickle", "candidate": candidate })).await?;
    }
    let done = json!({ "janus": "trickle", "candidate": { "completed": true } });
    post(path, done).await?;
    Ok(viewer)
}

/// Waits for the offer of a session.
async fn offer_of(session: u64) -> Result<String> {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        let events = get(format!("/{session}?maxev=1")).await?;
        if let Some(offer) = events.pointer("/jsep/sdp").and_then(Value::as_str) {
            return Ok(offer.to_owned());
        }
    }
    anyhow::bail!("Janus makes no offer")
}

fn id_of(reply: &Value) -> Result<u64> {
    reply.pointer("/data/id").and_then(Value::as_u64).with_context(|| reply.to_string())
}

async fn post(path: String, mut body: Value) -> Result<Value> {
    if let Some(body) = body.as_object_mut() {
        body.insert("transaction".to_owned(), json!("t"));
    }
    let request =
        move || ureq::post(format!("{URL}{path}")).send_json(body)?.body_mut().read_json();
    let reply: Value = tokio::task::spawn_blocking(request).await??;
    ensure!(reply["janus"] != "error", "Janus: {reply}");
    Ok(reply)
}

async fn get(path: String) -> Result<Value> {
    let request = move || ureq::get(format!("{URL}{path}")).call()?.body_mut().read_json();
    Ok(tokio::task::spawn_blocking(request).await??)
}
