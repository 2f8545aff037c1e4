//! Real sources of video: what a camera, an encoder or another program would send.

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::porthole::free_port;
use crate::program::Program;
use crate::scene::{Need, Scene};

/// Python and GStreamer start in a second or two.
const READY_DEADLINE: Duration = Duration::from_secs(20);

/// A kind of source; all of them are H.264, 640 × 360, 30 frames a second, a key frame every 2 s,
/// unless told otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// GStreamer's RTSP server.
    GstreamerRtsp,
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
    program: Option<Program>,
}

impl Kind {
    pub const ALL: [Self; 2] = [Self::GstreamerRtsp, Self::FfmpegRtp];

    pub fn name(self) -> &'static str {
        match self {
            Self::GstreamerRtsp => "gstreamer-rtsp",
            Self::FfmpegRtp => "ffmpeg-rtp",
        }
    }

    pub fn need(self) -> Need {
        match self {
            Self::GstreamerRtsp => Need::GstreamerRtsp,
            Self::FfmpegRtp => Need::Tool("ffmpeg"),
        }
    }

    fn command(self, address: SocketAddr) -> Command {
        match self {
            Self::GstreamerRtsp => {
                // Debian's Python, which has Debian's GStreamer bindings.
                let mut command = Command::new("/usr/bin/python3");
                command
                    .arg(folder().join("rtsp_server.py"))
                    .args(["--port", &address.port().to_string()])
                    .args(["--fps", "30", "--keyframe-interval", "2", "--kbit", "1000"]);
                command
            }
            Self::FfmpegRtp => ffmpeg_rtp(address),
        }
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
        Ok(Self { scene, kind, address: free_port()?, flags, program: None })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What a gateway is given for it.
    pub fn source(&self) -> String {
        match self.kind {
            Kind::GstreamerRtsp => format!("rtsp://{}/camera", self.address),
            Kind::FfmpegRtp => format!("rtp://{}?codec=h264", self.address),
        }
    }

    /// Starts it, and returns when it can be reached.
    pub fn start(&mut self) -> Result<()> {
        let mut command = self.kind.command(self.address);
        command.args(&self.flags);
        let mut program = Program::start(self.scene, self.kind.name(), &mut command)?;
        if self.kind != Kind::FfmpegRtp {
            program.wait_for("the camera can be reached", READY_DEADLINE, |_| {
                Ok(TcpStream::connect(self.address).ok())
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
    let output = Command::new("/usr/bin/python3").args(["-c", IMPORT]).output();
    let works = output.is_ok_and(|output| output.status.success());
    ensure!(works, "python3-gi or gir1.2-gst-rtsp-server-1.0 is not installed");
    Ok(())
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
