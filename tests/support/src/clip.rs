//! Cameras that cost next to nothing: a clip that was encoded before, sent by `ffmpeg` as RTP.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};

use crate::program::{Place, Program};
use crate::scene::Scene;

/// A clip of H.264 that repeats for ever.
#[derive(Debug)]
pub struct Clip {
    path: PathBuf,
}

/// Picture size, rates and groups of a clip.
#[derive(Debug, Clone, Copy)]
pub struct Looks {
    /// Width and height in pixels.
    pub size: (u32, u32),
    /// Pictures a second.
    pub rate: u32,
    /// Pictures from one key frame to the next.
    pub group: u32,
    /// Kilobits a second.
    pub kbit: u32,
}

impl Clip {
    /// Encodes 20 s.
    ///
    /// # Errors
    /// Fails if `ffmpeg` does.
    pub fn encode(scene: &Scene, looks: Looks) -> Result<Self> {
        let Looks { size: (width, height), rate, group, kbit } = looks;
        let path = scene.folder().join(format!("clip-{width}x{height}.ts"));
        let mut encode = Command::new("ffmpeg");
        encode.args(["-hide_banner", "-loglevel", "error", "-nostdin", "-f", "lavfi", "-i"]);
        encode.arg(format!("testsrc2=size={width}x{height}:rate={rate}:duration=20"));
        // The parameter sets come with each key frame, as a copy needs them.
        encode.args(["-c:v", "libx264", "-x264-params", "repeat-headers=1:scenecut=0"]);
        encode.args(["-preset", "veryfast", "-tune", "zerolatency", "-g", &group.to_string()]);
        encode.args(["-profile:v", "baseline", "-pix_fmt", "yuv420p"]);
        encode.args(["-b:v", &format!("{kbit}k")]).arg(&path);
        ensure!(encode.status()?.success(), "ffmpeg made no clip");
        Ok(Self { path })
    }

    /// Returns the file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Sends the clip to these ports until the program is dropped.
    pub fn send(
        &self,
        scene: &Scene,
        name: &str,
        place: Place<'_>,
        ports: &[SocketAddr],
    ) -> Result<Program> {
        let mut command = place.command("ffmpeg");
        command.args(["-hide_banner", "-loglevel", "warning", "-nostdin", "-re"]);
        command.args(["-stream_loop", "-1", "-i"]).arg(&self.path);
        for port in ports {
            command.args(["-map", "0:v", "-c", "copy", "-f", "rtp"]);
            command.arg(format!("rtp://{port}?pkt_size=1200"));
        }
        Program::start(scene, name, &mut command)
    }
}
