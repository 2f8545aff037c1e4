//! Chromium, driven with node by the scripts in `tests/browser/driver`.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::memory;
use crate::npm;
use crate::path::Pair;
use crate::program::{Place, Program};
use crate::scene::Scene;

/// Time for a cold start of Chromium on a loaded machine.
const LAUNCH_DEADLINE: Duration = Duration::from_secs(60);

/// Checks that a browser can be driven here, and installs the driver's npm package.
///
/// # Errors
///
/// Returns a sentence about what is missing.
pub fn available() -> Result<(), String> {
    static AVAILABLE: OnceLock<Result<(), String>> = OnceLock::new();
    AVAILABLE.get_or_init(|| probe().map_err(|error| format!("no browser: {error:#}"))).clone()
}

/// A running script with its Chromium; both end when it is dropped.
#[derive(Debug)]
pub struct Browser {
    /// The script, whose standard output has one JSON line per event.
    pub program: Program,
}

/// A summary of `getStats`, as `page/stats.js` makes it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sample {
    /// Time since the page began to play, in milliseconds.
    pub at_ms: f64,
    /// Number of peer connections that the page has made.
    pub connections: u32,
    /// The state of the current peer connection (W3C `RTCPeerConnectionState`).
    pub connection_state: String,
    /// The MIME type of the video codec.
    pub codec: Option<String>,
    /// `framesReceived`: complete frames received.
    pub frames_received: u64,
    /// `framesDecoded`: frames decoded.
    pub frames_decoded: u64,
    /// `framesDropped`: frames dropped before they were shown.
    pub frames_dropped: u64,
    /// `keyFramesDecoded`: key frames decoded.
    pub key_frames_decoded: u64,
    /// `freezeCount`: number of freezes.
    pub freeze_count: u64,
    /// Duration of all freezes, in seconds.
    pub total_freezes_duration: f64,
    /// Width of the last decoded frame in pixels.
    pub frame_width: u32,
    /// Height of the last decoded frame in pixels.
    pub frame_height: u32,
    /// `packetsReceived`: RTP packets received.
    pub packets_received: u64,
    /// `packetsLost`: RTP packets lost; negative if duplicates arrived (RFC 3550 §6.4.1).
    pub packets_lost: i64,
    /// `retransmittedPacketsReceived`: RTX packets received.
    pub retransmitted_packets_received: u64,
    /// `nackCount`: NACKs sent.
    pub nack_count: u64,
    /// `pliCount`: picture loss indications sent.
    pub pli_count: u64,
    /// Jitter of the RTP packets, in seconds.
    pub jitter: f64,
    /// `srtpCipher`: name of the SRTP profile.
    pub srtp_cipher: Option<String>,
    /// The selected candidate pair.
    pub pair: Option<Pair>,
    /// The sound that the page receives.
    pub audio: Option<Audio>,
}

/// A summary of the sound in `getStats`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Audio {
    /// The MIME type of the codec.
    pub codec: Option<String>,
    /// Number of its channels.
    pub channels: u32,
    /// Milliseconds by which it is ahead of the picture (`estimatedPlayoutTimestamp` of both), once
    /// the browser knows.
    pub ahead_ms: Option<f64>,
    /// `audioLevel`: loudness between 0 and 1.
    pub audio_level: f64,
    /// `totalAudioEnergy`: the sum of squared loudness and time.
    pub total_audio_energy: f64,
    /// `totalSamplesReceived`: samples that were played, concealed ones included.
    pub total_samples_received: u64,
    /// `concealedSamples`: samples that were made up for missing ones.
    pub concealed_samples: u64,
    /// `packetsReceived`: RTP packets received.
    pub packets_received: u64,
    /// `packetsLost`: RTP packets lost.
    pub packets_lost: i64,
}

impl Browser {
    /// Starts a plain WHEP player, with sound, that plays until it is dropped.
    pub fn whep_with_sound(
        scene: &Scene,
        name: &str,
        place: Place<'_>,
        url: &str,
        token: &str,
    ) -> Result<Self> {
        Self::player(scene, name, place, &json!({ "url": url, "token": token, "audio": true }))
    }

    /// Starts a plain WHEP player that plays until it is dropped.
    pub fn whep(
        scene: &Scene,
        name: &str,
        place: Place<'_>,
        url: &str,
        token: &str,
    ) -> Result<Self> {
        Self::player(scene, name, place, &json!({ "url": url, "token": token }))
    }

    fn player(scene: &Scene, name: &str, place: Place<'_>, options: &Value) -> Result<Self> {
        let mut arguments = options.clone();
        arguments["seconds"] = json!(0);
        Self::script(scene, name, place, "whep.mjs", &arguments)
    }

    /// Starts one of the scripts with its arguments.
    pub fn script(
        scene: &Scene,
        name: &str,
        place: Place<'_>,
        script: &str,
        arguments: &Value,
    ) -> Result<Self> {
        let mut command = place.command("node");
        command.arg(folder().join("driver").join(script)).arg(arguments.to_string());
        let mut program = Program::start(scene, name, &mut command)?;
        program.wait_for_event("Chromium is up", LAUNCH_DEADLINE, event("launched"))?;
        Ok(Self { program })
    }

    /// Takes the steps of `dashboard.mjs`, and waits until all of them have succeeded.
    pub fn dashboard(
        scene: &Scene,
        name: &str,
        place: Place<'_>,
        steps: &[Value],
        deadline: Duration,
    ) -> Result<Self> {
        let browser = Self::begin(scene, name, place, steps)?;
        browser.finished(name, deadline)
    }

    /// Takes the steps of `dashboard.mjs` on a phone, and waits until all of them have succeeded.
    pub fn phone(
        scene: &Scene,
        name: &str,
        place: Place<'_>,
        steps: &[Value],
        deadline: Duration,
    ) -> Result<Self> {
        let arguments = json!({ "steps": steps, "phone": true });
        let browser = Self::script(scene, name, place, "dashboard.mjs", &arguments)?;
        browser.finished(name, deadline)
    }

    /// Begins with the steps of `dashboard.mjs`.
    pub fn begin(scene: &Scene, name: &str, place: Place<'_>, steps: &[Value]) -> Result<Self> {
        Self::script(scene, name, place, "dashboard.mjs", &json!({ "steps": steps }))
    }

    /// Stops every process of the browser, as a laptop that goes to sleep does.
    pub fn sleep(&self) -> Result<()> {
        self.signal(Signal::SIGSTOP)
    }

    /// Lets the browser go on after [`Self::sleep`].
    pub fn wake(&self) -> Result<()> {
        self.signal(Signal::SIGCONT)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        for pid in memory::family(self.program.pid())? {
            kill(Pid::from_raw(i32::try_from(pid)?), signal)?;
        }
        Ok(())
    }

    fn finished(mut self, name: &str, deadline: Duration) -> Result<Self> {
        self.finish(deadline).context(name.to_owned())?;
        Ok(self)
    }

    /// Waits until the script has ended successfully.
    pub fn finish(&mut self, deadline: Duration) -> Result<()> {
        let status = self.program.wait(deadline)?;
        if status.success() {
            return Ok(());
        }
        let message =
            self.last(|value| event("error")(value)?["message"].as_str().map(str::to_owned));
        bail!("the browser script failed: {}", message?.unwrap_or_else(|| status.to_string()))
    }

    /// Returns what the closure makes of the latest line for which it returns a value.
    pub fn last<T>(&self, pick: impl Fn(&Value) -> Option<T>) -> Result<Option<T>> {
        Ok(self.program.events()?.iter().rev().find_map(pick))
    }

    /// Returns what the closure makes of the earliest line for which it returns a value.
    pub fn first<T>(&self, pick: impl Fn(&Value) -> Option<T>) -> Result<Option<T>> {
        Ok(self.program.events()?.iter().find_map(pick))
    }

    /// Returns the time in milliseconds at which each step of `dashboard.mjs` had ended.
    pub fn step_times(&self) -> Result<Vec<u64>> {
        let events = self.program.events()?;
        Ok(events.iter().filter_map(|value| event("step")(value)?["atMs"].as_u64()).collect())
    }

    /// Returns all samples so far.
    pub fn samples(&self) -> Result<Vec<Sample>> {
        samples(&self.program)
    }

    /// Returns the latest sample.
    pub fn sample(&self) -> Result<Sample> {
        parse(self.last(event("stats"))?.context("no statistics yet")?)
    }

    /// Waits for a sample, taken after this call, that the closure accepts.
    pub fn wait_for_sample(
        &mut self,
        what: &str,
        deadline: Duration,
        accept: impl Fn(&Sample) -> bool,
    ) -> Result<Sample> {
        let seen = self.samples()?.len();
        let result = self.program.wait_for(what, deadline, |program| {
            Ok(samples(program)?.into_iter().skip(seen).find(&accept))
        });
        result.with_context(|| format!("the last statistics were {:?}", self.sample().ok()))
    }

    /// Waits for the first picture.
    pub fn wait_for_picture(&mut self, deadline: Duration) -> Result<Sample> {
        let what = "the browser shows a picture";
        self.program.wait_for_event(what, deadline, event("playing"))?;
        self.wait_for_sample(what, deadline, |sample| sample.frames_decoded > 0)
    }

    /// Waits until two consecutive samples, a second apart, have the same number of frames.
    pub fn wait_for_standstill(&mut self, deadline: Duration) -> Result<Sample> {
        let seen = self.samples()?.len();
        self.program.wait_for("the picture stands still", deadline, |program| {
            let samples = samples(program)?;
            let new = samples.get(seen..).unwrap_or_default();
            let still = new.windows(2).find(|two| two[0].frames_decoded == two[1].frames_decoded);
            Ok(still.map(|two| two[1].clone()))
        })
    }

    /// Waits until this many more frames have been decoded.
    pub fn wait_for_frames(&mut self, more: u64, deadline: Duration) -> Result<Sample> {
        let enough = self.sample()?.frames_decoded + more;
        let what = format!("{more} more frames are decoded");
        self.wait_for_sample(&what, deadline, |sample| sample.frames_decoded >= enough)
    }
}

/// Returns a function that accepts the events with this name.
pub fn event(name: &'static str) -> impl Fn(&Value) -> Option<Value> {
    move |value| (value["event"] == name).then(|| value.clone())
}

/// Returns the folder of the scripts and their pages.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../browser")
}

fn samples(program: &Program) -> Result<Vec<Sample>> {
    program.events()?.iter().filter_map(event("stats")).map(parse).collect()
}

fn parse(value: Value) -> Result<Sample> {
    serde_json::from_value(value.clone()).map_err(|error| anyhow!("{error} in {value}"))
}

fn probe() -> Result<()> {
    let chromium = std::env::var("PORTHOLE_CHROMIUM").unwrap_or("/usr/bin/chromium".to_owned());
    ensure!(Path::new(&chromium).exists(), "{chromium} does not exist");
    npm::install(&folder())
}
