//! Video sources of other projects, which behave as cameras and encoders do.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::lab::Host;
use crate::ports::free_port;
use crate::program::Program;
use crate::scene::{Need, Scene};

/// Debian's interpreter, for Debian's GStreamer bindings.
pub const PYTHON: &str = "/usr/bin/python3";
/// Python and GStreamer start within two seconds; live555 then needs another one to connect to its
/// camera.
const READY_DEADLINE: Duration = Duration::from_secs(20);

/// A kind of source. By default all send H.264, 640 × 360 pixels, 30 frames per second and a key
/// frame every 2 s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// GStreamer's RTSP server.
    GstreamerRtsp,
    /// live555's RTSP proxy, which gets its stream from GStreamer's RTSP server.
    Live555,
    /// ffmpeg, which pushes RTP to a port.
    FfmpegRtp,
    /// ffmpeg, which pushes VP8 of 320 × 240 pixels.
    FfmpegVp8,
    /// ffmpeg, which pushes VP9 of 320 × 240 pixels.
    FfmpegVp9,
    /// ffmpeg, which pushes RTP with H.265 to a port: 320 × 240 pixels, 15 frames per second.
    FfmpegH265,
}

/// A source on loopback that can be stopped and started again at the same address.
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
    /// Every kind of source that sends H.264.
    pub const ALL: [Self; 3] = [Self::GstreamerRtsp, Self::Live555, Self::FfmpegRtp];

    /// Returns the name used in logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::GstreamerRtsp => "gstreamer-rtsp",
            Self::Live555 => "live555",
            Self::FfmpegRtp => "ffmpeg-rtp",
            Self::FfmpegVp8 => "ffmpeg-vp8",
            Self::FfmpegVp9 => "ffmpeg-vp9",
            Self::FfmpegH265 => "ffmpeg-h265",
        }
    }

    /// Returns the need of a test that uses this kind.
    pub fn need(self) -> Need {
        match self {
            Self::GstreamerRtsp => Need::GstreamerRtsp,
            Self::Live555 => Need::Live555,
            Self::FfmpegRtp | Self::FfmpegVp8 | Self::FfmpegVp9 | Self::FfmpegH265 => {
                Need::Tool("ffmpeg")
            }
        }
    }

    fn command(self, address: SocketAddr, flags: &[String]) -> Result<Command> {
        const PICTURE: [&str; 6] = ["--fps", "30", "--keyframe-interval", "2", "--kbit", "1000"];
        let port = address.port().to_string();
        Ok(match self {
            Self::GstreamerRtsp => {
                let mut command = Command::new(PYTHON);
                command.arg(folder().join("rtsp_server.py")).args(["--port", &port]).args(PICTURE);
                command.args(flags);
                command
            }
            Self::Live555 => {
                let mut command = live555_script()?;
                command.args(["--port", &port, "--"]).args(PICTURE).args(flags);
                command
            }
            Self::FfmpegRtp => ffmpeg_rtp(address, flags),
            Self::FfmpegVp8 => ffmpeg_vpx("libvpx", address),
            Self::FfmpegVp9 => ffmpeg_vpx("libvpx-vp9", address),
            Self::FfmpegH265 => ffmpeg_h265(address),
        })
    }
}

impl<'a> Camera<'a> {
    /// Creates a camera at a free port, not started yet.
    pub fn new(scene: &'a Scene, kind: Kind) -> Result<Self> {
        Self::with_flags(scene, kind, &[])
    }

    /// Creates a camera with these additional flags for its program; for ffmpeg, options of the
    /// encoder, which replace earlier ones.
    pub fn with_flags(scene: &'a Scene, kind: Kind, flags: &[&str]) -> Result<Self> {
        let flags = flags.iter().map(ToString::to_string).collect();
        Ok(Self { scene, kind, address: free_port()?, flags, starts: 0, program: None })
    }

    /// Returns the address where the camera serves or, for RTP, sends to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the source for the configuration of a gateway.
    pub fn source(&self) -> String {
        match self.kind {
            Kind::GstreamerRtsp => format!("rtsp://{}/camera", self.address),
            Kind::Live555 => format!("rtsp://{}/proxyStream", self.address),
            Kind::FfmpegRtp => format!("rtp://{}?codec=h264", self.address),
            Kind::FfmpegVp8 => format!("rtp://{}?codec=vp8", self.address),
            Kind::FfmpegVp9 => format!("rtp://{}?codec=vp9", self.address),
            Kind::FfmpegH265 => format!("rtp://{}?codec=h265", self.address),
        }
    }

    /// Starts the camera, and returns once its stream can be requested.
    pub fn start(&mut self) -> Result<()> {
        let mut command = self.kind.command(self.address, &self.flags)?;
        // Each start has its own log, so that the output of an earlier one does not count.
        self.starts += 1;
        let name = format!("{}-{}-{}", self.kind.name(), self.address.port(), self.starts);
        let mut program = Program::start(self.scene, &name, &mut command)?;
        if matches!(self.kind, Kind::GstreamerRtsp | Kind::Live555) {
            wait_until_ready(&mut program)?;
        }
        self.program = Some(program);
        Ok(())
    }

    /// Kills the program of the camera.
    pub fn kill(&mut self) -> Result<()> {
        self.program.take().context("the camera is not running")?.kill()
    }
}

/// Waits until the stream of a script can be requested.
pub fn wait_until_ready(program: &mut Program) -> Result<()> {
    program.wait_for("the camera can be reached", READY_DEADLINE, |program| {
        Ok(program.output()?.lines().any(|line| line.starts_with("ready ")).then_some(()))
    })
}

/// Starts a script of [`folder`] on a lab host, at its address unless the flags have another one,
/// and waits until it can be reached.
pub fn start_on(
    scene: &Scene,
    host: &Host,
    name: &str,
    script: &str,
    flags: &[&str],
) -> Result<Program> {
    let mut command = host.command(PYTHON);
    let address = host.address().to_string();
    command.arg(folder().join(script)).args(["--address", &address]).args(flags);
    let mut program = Program::start(scene, name, &mut command)?;
    wait_until_ready(&mut program)?;
    Ok(program)
}

/// Checks that GStreamer's RTSP server can run here; an error says what is missing.
pub(crate) fn gstreamer() -> Result<()> {
    const IMPORT: &str = "import gi; gi.require_version('GstRtspServer', '1.0')";
    ensure!(runs(IMPORT), "python3-gi or gir1.2-gst-rtsp-server-1.0 is not installed");
    Ok(())
}

/// Checks that Python's zeroconf can run here; an error says what is missing.
pub(crate) fn zeroconf() -> Result<()> {
    ensure!(runs("import zeroconf"), "python3-zeroconf is not installed");
    Ok(())
}

/// Returns true if Debian's interpreter runs a program without an error.
fn runs(program: &str) -> bool {
    let output = Command::new(PYTHON).args(["-c", program]).output();
    output.is_ok_and(|output| output.status.success())
}

/// Checks that GStreamer's WebRTC element and decoders can run here; an error says what is missing.
pub(crate) fn webrtcbin() -> Result<()> {
    const PROBE: &str = "import gi\n\
        gi.require_version('GstWebRTC', '1.0')\n\
        from gi.repository import Gst, GstWebRTC\n\
        Gst.init(None)\n\
        for name in ['webrtcbin', 'nicesrc', 'avdec_h264', 'vp8dec']:\n    \
            assert Gst.ElementFactory.find(name), name";
    ensure!(
        runs(PROBE),
        "gir1.2-gst-plugins-bad-1.0, gstreamer1.0-nice or gstreamer1.0-libav is not installed"
    );
    Ok(())
}

/// Downloads live555 unless it is installed; an error says why it cannot run here.
pub(crate) fn live555() -> Result<(), String> {
    static AVAILABLE: OnceLock<Result<(), String>> = OnceLock::new();
    let probe = || {
        gstreamer()?;
        let output = live555_script()?.arg("--fetch-only").output()?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{}", errors.lines().last().unwrap_or_default());
        Ok(())
    };
    let result = AVAILABLE.get_or_init(|| probe().map_err(|error| format!("no live555: {error}")));
    result.clone()
}

/// Returns the command of the script, whose downloads all tests of a target folder share.
fn live555_script() -> Result<Command> {
    let exe = std::env::current_exe()?;
    // target/<profile>/deps/<test>
    let target = exe.ancestors().nth(3).context("the test runs outside of a target folder")?;
    let mut command = Command::new(PYTHON);
    command.arg(folder().join("live555_server.py")).arg("--cache").arg(target.join("live555"));
    Ok(command)
}

/// Returns the folder of the scripts.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("cameras")
}

fn ffmpeg_rtp(address: SocketAddr, options: &[String]) -> Command {
    let mut command = Command::new("ffmpeg");
    command
        .args(["-hide_banner", "-loglevel", "warning", "-nostdin", "-re"])
        .args(["-f", "lavfi", "-i", "testsrc2=size=640x360:rate=30"])
        .args(["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "60"])
        .args(["-profile:v", "baseline", "-pix_fmt", "yuv420p", "-b:v", "1M"])
        .args(options)
        .args(["-f", "rtp"])
        .arg(format!("rtp://{address}?pkt_size=1200"));
    command
}

fn ffmpeg_h265(address: SocketAddr) -> Command {
    let mut command = Command::new("ffmpeg");
    command
        .args(["-hide_banner", "-loglevel", "warning", "-nostdin", "-re"])
        .args(["-f", "lavfi", "-i", "testsrc2=size=320x240:rate=15"])
        .args(["-c:v", "libx265", "-preset", "ultrafast", "-tune", "zerolatency"])
        .args(["-x265-params", "keyint=30:repeat-headers=1:log-level=error"])
        .args(["-pix_fmt", "yuv420p", "-b:v", "500k", "-f", "rtp"])
        .arg(format!("rtp://{address}?pkt_size=1200"));
    command
}

fn ffmpeg_vpx(encoder: &str, address: SocketAddr) -> Command {
    let mut command = Command::new("ffmpeg");
    command
        .args(["-hide_banner", "-loglevel", "warning", "-nostdin", "-re"])
        .args(["-f", "lavfi", "-i", "testsrc2=size=320x240:rate=15"])
        .args(["-c:v", encoder, "-deadline", "realtime", "-cpu-used", "8", "-g", "30"])
        .args(["-b:v", "500k", "-strict", "experimental", "-f", "rtp"])
        .arg(format!("rtp://{address}?pkt_size=1400"));
    command
}
