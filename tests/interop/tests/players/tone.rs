//! The sound of cameras with AAC, which the gateway decodes and encodes as Opus: decoded by
//! GStreamer, it is what GStreamer decodes from the camera itself.

use porthole_test_support::cameras::{Camera, Kind, PYTHON};
use porthole_test_support::scene::report;

use super::*;

/// Largest difference between the amplitudes of the tone, which is a half at the camera.
const LOUDER: f64 = 0.05;
/// Decibels by which the tone is louder than everything else, as good as it is at the camera or
/// better than that of a good analogue recording.
const CLEAN: f64 = 40.0;
/// Decibels that Opus may take of it.
const LOST: f64 = 10.0;

/// A tone that a script has measured.
struct Tone {
    amplitude: f64,
    decibels: f64,
}

impl Tone {
    fn read(output: &str) -> Result<Self> {
        let line = output.lines().find_map(|line| line.strip_prefix("tone "));
        let (amplitude, decibels) =
            line.and_then(|line| line.split_once(' ')).context("no tone was measured")?;
        Ok(Self { amplitude: amplitude.parse()?, decibels: decibels.parse()? })
    }
}

#[test]
fn aac_sounds_as_gstreamer_decodes_it_from_the_camera_itself() {
    let name = "aac_sounds_as_gstreamer_decodes_it_from_the_camera_itself";
    scene(name, &[Need::Program, Need::Webrtcbin, Need::GstreamerRtsp], |scene| {
        let table = [
            ("aac", "8000", "1"),
            ("aac", "16000", "1"),
            ("aac", "44100", "2"),
            ("aac", "48000", "2"),
            ("latm", "16000", "1"),
        ];
        for (encoder, rate, channels) in table {
            let case = format!("{encoder}-{rate}-{channels}");
            let flags = ["--sound", encoder, "--rate", rate, "--channels", channels];
            let flags = [&flags[..], &["--size", "320x180", "--fps", "15"]].concat();
            let mut camera = Camera::with_flags(scene, Kind::GstreamerRtsp, &flags)?;
            camera.start()?;
            let direct = measure(scene, &case, &camera.source())?;
            let installation = Installation::start(scene, &case, &camera.source())?;
            let output = installation.play(Player::Webrtcbin, "video,opus", "max-bundle")?;
            let ours = Tone::read(&output).context(output)?;
            report(&format!(
                "{case}: {:.3} and {:.1} dB at the camera, {:.3} and {:.1} dB at the player",
                direct.amplitude, direct.decibels, ours.amplitude, ours.decibels
            ));
            let difference = (ours.amplitude - direct.amplitude).abs();
            ensure!(difference < LOUDER, "{case}: {}, not {}", ours.amplitude, direct.amplitude);
            let wanted = CLEAN.min(direct.decibels - LOST);
            ensure!(ours.decibels > wanted, "{case}: {} dB, not {wanted}", ours.decibels);
        }
        Ok(())
    });
}

/// Lets GStreamer play the sound of a camera.
fn measure(scene: &Scene, case: &str, url: &str) -> Result<Tone> {
    let mut command = Command::new(PYTHON);
    command.arg(folder().join("tone.py")).arg(url);
    let mut program = Program::start(scene, &format!("direct-{case}"), &mut command)?;
    ensure!(program.wait(PATIENCE)?.success(), "{case}: {}", program.output()?);
    Tone::read(&program.output()?)
}
