//! Real sources of video: what a camera, an encoder or another program would send.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::ports::free_port;
use crate::program::Program;
use crate::scene::{Need, Scene};

/// Debian's, which has Debian's GStreamer bindings.
const PYTHON: &str = "/usr/bin/python3";
/// Python and GStreamer start in a second or two; live555 then takes another to look at its camera.
const READY_DEADLINE: Duration = Duration::from_secs(20);

/// A kind of source; all of them are H.264, 640 × 360, 30 frames a second, a key frame every 2 s,
/// unless told otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// GStreamer's RTSP server.
    GstreamerRtsp,
    /// live555's RTSP server, which has its picture from a camera of GStreamer.
    Live555,
    /// ffmpeg, which sends RTP and knows nothing of who receives it.
    FfmpegRtp,
}

/// A source on loopback that can be ended and started again at the same address.
#[derive(Debug)]
pub struct Camera<'a> {
    scene: &'a Scene,
    kind: Kind,
    address: SocketAddr,
    flags: Vec<String>,
    starts: u32,
    program: Option<Program>,
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::GstreamerRtsp, Self::Live555, Self::FfmpegRtp];

    pub fn name(self) -> &'static str {
        match self {
            Self::GstreamerRtsp => "gstreamer-rtsp",
            Self::Live555 => "live555",
            Self::FfmpegRtp => "ffmpeg-rtp",
        }
    }

    pub fn need(self) -> Need {
        match self {
            Self::GstreamerRtsp => Need::GstreamerRtsp,
            Self::Live555 => Need::Live555,
            Self::FfmpegRtp => Need::Tool("ffmpeg"),
        }
    }

    fn command(self, address: SocketAddr) -> Result<Command> {
        const PICTURE: [&str; 6] = ["--fps", "30", "--keyframe-interval", "2", "--kbit", "1000"];
        let port = address.port().to_string();
        Ok(match self {
            Self::GstreamerRtsp => {
                let mut command = Command::new(PYTHON);
                command.arg(folder().join("rtsp_server.py")).args(["--port", &port]).args(PICTURE);
                command
            }
            Self::Live555 => {
                let mut command = live555_script()?;
                command.args(["--port", &port, "--"]).args(PICTURE);
                command
            }
            Self::FfmpegRtp => ffmpeg_rtp(address),
        })
    }
}

impl<'a> Camera<'a> {
    /// A camera that is not there yet, at a free port.
    pub fn new(scene: &'a Scene, kind: Kind) -> Result<Self> {
        Self::with_flags(scene, kind, &[])
    }

    /// The same with these flags for its program.
    pub fn with_flags(scene: &'a Scene, kind: Kind, flags: &[&str]) -> Result<Self> {
        let flags = flags.iter().map(ToString::to_string).collect();
        Ok(Self { scene, kind, address: free_port()?, flags, starts: 0, program: None })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What a gateway is given for it.
    pub fn source(&self) -> String {
        match self.kind {
            Kind::GstreamerRtsp => format!("rtsp://{}/camera", self.address),
            Kind::Live555 => format!("rtsp://{}/proxyStream", self.address),
            Kind::FfmpegRtp => format!("rtp://{}?codec=h264", self.address),
        }
    }

    /// Starts it, and returns when its stream can be asked for.
    pub fn start(&mut self) -> Result<()> {
        let mut command = self.kind.command(self.address)?;
        command.args(&self.flags);
        // Each start has a log of its own: what an earlier one said does not count.
        self.starts += 1;
        let name = format!("{}-{}-{}", self.kind.name(), self.address.port(), self.starts);
        let mut program = Program::start(self.scene, &name, &mut command)?;
        if self.kind != Kind::FfmpegRtp {
            program.wait_for("the camera can be reached", READY_DEADLINE, |program| {
                Ok(program.output()?.lines().any(|line| line.starts_with("ready ")).then_some(()))
            })?;
        }
        self.program = Some(program);
        Ok(())
    }

    /// Ends it without a warning.
    pub fn kill(&mut self) -> Result<()> {
        self.program.take().context("the camera is not running")?.kill()
    }
}

/// Whether GStreamer's RTSP server can be run here.
pub(crate) fn gstreamer() -> Result<()> {
    const IMPORT: &str = "import gi; gi.require_version('GstRtspServer', '1.0')";
    let output = Command::new(PYTHON).args(["-c", IMPORT]).output();
    let works = output.is_ok_and(|output| output.status.success());
    ensure!(works, "python3-gi or gir1.2-gst-rtsp-server-1.0 is not installed");
    Ok(())
}

/// Whether live555 can be run here; if not, why not. Fetches it where it is not installed.
pub(crate) fn live555() -> Result<(), String> {
    static AVAILABLE: OnceLock<Result<(), String>> = OnceLock::new();
    let probe = || {
        gstreamer()?;
        let output = live555_script()?.arg("--fetch-only").output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{}", said.lines().last().unwrap_or_default());
        Ok(())
    };
    let result = AVAILABLE.get_or_init(|| probe().map_err(|error| format!("no live555: {error}")));
    result.clone()
}

/// All tests of a target folder share what is fetched.
fn live555_script() -> Result<Command> {
    let exe = std::env::current_exe()?;
    // target/<profile>/deps/<test>
    let target = exe.ancestors().nth(3).context("the test runs outside of a target folder")?;
    let mut command = Command::new(PYTHON);
    command.arg(folder().join("live555_server.py")).arg("--cache").arg(target.join("live555"));
    Ok(command)
}

/// Where the scripts are.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("cameras")
}

fn ffmpeg_rtp(address: SocketAddr) -> Command {
    let mut command = Command::new("ffmpeg");
    command
        .args(["-hide_banner", "-loglevel", "warning", "-nostdin", "-re"])
        .args(["-f", "lavfi", "-i", "testsrc2=size=640x360:rate=30"])
        .args(["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "60"])
        .args(["-profile:v", "baseline", "-pix_fmt", "yuv420p", "-b:v", "1M", "-f", "rtp"])
        .arg(format!("rtp://{address}?pkt_size=1200"));
    command
}
