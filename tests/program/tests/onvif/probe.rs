//! `porthole probe` with each fake camera.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, Ipv4Addr};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use porthole_test_support::cameras::{Camera, Kind};
use porthole_test_support::onvif::{Auth, Fake, Hostile, PASSWORD, Running, Sockets, USER};
use porthole_test_support::porthole::binary;
use porthole_test_support::ports::free_port;
use porthole_test_support::program::Place;
use porthole_test_support::scene::{Need, Scene, scene};
use serde_json::Value;

/// The port of the cameras: a usual one that needs no root.
const PORT: u16 = 8000;

/// Longest time of a probe of a camera that answers; it takes 1 s on an idle machine, of which 0.7
/// s are for devices that do not answer to a search.
const PROBE_TIME: Duration = Duration::from_secs(20);

/// Returns an address of this machine that no other test uses.
pub(crate) fn own_address() -> IpAddr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    Ipv4Addr::new(127, 16 + high % 64, low, number).into()
}

/// Starts a camera at an address of its own.
fn start(camera: Fake) -> Result<Running> {
    camera.start(Sockets::open(own_address(), PORT, false)?)
}

/// A password that a command line can have.
const PLAIN_PASSWORD: &str = "geheim-4714";

/// Runs `porthole probe` with a camera, and checks that the password is shown nowhere.
fn probe(scene: &Scene, camera: &Running, password: &str, flags: &[&str]) -> Result<Output> {
    probe_at(scene, &camera.http.ip().to_string(), password, flags)
}

/// Runs `porthole probe` with the camera at an address, as [`probe`] does.
fn probe_at(scene: &Scene, address: &str, password: &str, flags: &[&str]) -> Result<Output> {
    let file = scene.folder().join("password");
    std::fs::write(&file, password)?;
    let mut command = Place::Here.command(binary()?);
    command.args(["probe", address, "--network", "127.0.0.0/8"]);
    command.args(["--user", USER]).arg("--password-file").arg(&file).args(flags);
    command.env("PORTHOLE_LOG", "trace");
    let begun = Instant::now();
    let output = command.output()?;
    ensure!(begun.elapsed() < PROBE_TIME, "it took {:?}", begun.elapsed());
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    ensure!(!text.contains(password) && !text.contains("geheim"), "the password is shown: {text}");
    Ok(output)
}

/// Returns the report of a probe.
fn report(output: &Output) -> Result<Value> {
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    serde_json::from_slice(&output.stdout).with_context(|| format!("probe printed {errors}"))
}

fn findings(report: &Value) -> Vec<&str> {
    let list = report["findings"].as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter().filter_map(|finding| finding["finding"].as_str()).collect()
}

type Case = (&'static str, Fake, &'static [&'static str], &'static [&'static str], usize);

fn cases() -> Vec<Case> {
    let plain = Fake::default;
    let day = 86_400;
    vec![
        ("an open camera", plain(), &[], &[], 1),
        ("HTTP digest", Fake { auth: Auth::Digest("MD5"), ..plain() }, &[], &[], 1),
        (
            "a wrong address for itself",
            Fake { named: Some("192.0.2.88"), auth: Auth::Token, ..plain() },
            &[],
            &["other-address"],
            1,
        ),
        (
            "a clock that is 183 days behind",
            Fake { ahead_s: -183 * day, auth: Auth::Token, ..plain() },
            &[],
            &["clock-off"],
            1,
        ),
        (
            "the second media service only, with SHA-256",
            Fake { media2_only: true, auth: Auth::Digest("SHA-256"), ..plain() },
            &[],
            &[],
            1,
        ),
        (
            "text, allowed",
            Fake { auth: Auth::Text, ..plain() },
            &["--allow-text"],
            &["sent-text"],
            1,
        ),
        ("text, not allowed", Fake { auth: Auth::Text, ..plain() }, &[], &["wrong-password"], 0),
        ("a recorder", Fake { sources: 4, auth: Auth::Digest("MD5"), ..plain() }, &[], &[], 4),
    ]
}

#[test]
fn each_odd_camera_is_probed_and_the_password_is_shown_nowhere() {
    let name = "each_odd_camera_is_probed_and_the_password_is_shown_nowhere";
    scene(name, &[Need::Program], |scene| {
        for (name, camera, flags, expected, cameras) in cases() {
            let camera = start(camera)?;
            let output =
                probe(scene, &camera, PASSWORD, &[flags, &["--json", "--no-streams"]].concat())?;
            let found = report(&output)?;
            ensure!(findings(&found) == expected, "{name}: {found}");
            ensure!(output.status.success() == (cameras > 0), "{name}: {}", output.status);
            let list = found["cameras"].as_array().context("a list")?;
            ensure!(list.len() == cameras, "{name}: {found}");
            for (number, entry) in (1..).zip(list) {
                let at = camera.http.ip();
                let main = format!("rtsp://{at}:554/main{number}?x=1&y=2");
                ensure!(entry["main"]["source"] == main, "{name}: {entry}");
                let sub = format!("rtsp://{at}:554/sub{number}?x=1&y=2");
                ensure!(entry["sub"]["source"] == sub, "{name}: {entry}");
            }
            let log = camera.seen.log();
            let shows_text = flags.contains(&"--allow-text");
            ensure!(
                log.contains("geheim") == shows_text,
                "{name}: the password goes over the wire"
            );
        }
        Ok(())
    });
}

#[test]
fn the_lines_for_the_configuration_file_are_a_valid_configuration() {
    let name = "the_lines_for_the_configuration_file_are_a_valid_configuration";
    scene(name, &[Need::Program], |scene| {
        let camera = start(Fake { sources: 2, auth: Auth::Digest("MD5"), ..Fake::default() })?;
        let output = probe(scene, &camera, PASSWORD, &["--no-streams"])?;
        let text = String::from_utf8(output.stdout)?;
        let (lines, configuration) = text.split_once("\n\n").context("two parts")?;
        ensure!(lines.contains("ok    device   Example  Model 1  1.2"), "{lines}");
        ensure!(lines.contains("main 1   H.264  1920x1080  25/s"), "{lines}");
        ensure!(configuration.contains(&format!("{USER}:PASSWORD@")), "{configuration}");
        let file = scene.folder().join("porthole.toml");
        std::fs::write(&file, configuration)?;
        let check = Place::Here.command(binary()?);
        let mut check = check;
        let checked = check.args(["config", "check", "--config"]).arg(&file).output()?;
        let errors = String::from_utf8_lossy(&checked.stderr).into_owned();
        ensure!(checked.status.success(), "{errors}\n{configuration}");
        Ok(())
    });
}

#[test]
fn an_account_that_locks_after_five_wrong_tries_is_not_locked() {
    let name = "an_account_that_locks_after_five_wrong_tries_is_not_locked";
    scene(name, &[Need::Program], |scene| {
        // A camera that takes text only refuses the hash of the right password, too.
        for (auth, actions) in [
            (Auth::Digest("MD5"), 2),
            (Auth::Digest("SHA-256"), 2),
            (Auth::Token, 2),
            (Auth::Text, 1),
        ] {
            let camera = start(Fake { auth, ..Fake::default() })?;
            for _ in 0..actions {
                let output =
                    probe(scene, &camera, "wrong-4712", &["--allow-text", "--no-streams"])?;
                let errors = String::from_utf8_lossy(&output.stderr).into_owned();
                ensure!(output.status.code() == Some(1), "{auth:?}: {}", output.status);
                ensure!(errors.contains("cameras lock accounts"), "{auth:?}: {errors}");
            }
            ensure!(!camera.seen.is_locked(), "{auth:?}: the account is locked");
            let output = probe(scene, &camera, PASSWORD, &["--allow-text", "--no-streams"])?;
            ensure!(output.status.success(), "{auth:?}: the right password comes too late");
        }
        Ok(())
    });
}

#[test]
fn a_hostile_device_costs_little_and_gets_one_sentence() {
    scene("a_hostile_device_costs_little_and_gets_one_sentence", &[Need::Program], |scene| {
        let redirect = |to: &str| Hostile::Redirect(to.to_owned());
        for (hostile, finding) in [
            (Hostile::Endless, "endless-answer"),
            (Hostile::Drip, "no-onvif"),
            (redirect("http://127.0.0.1:9/"), "redirects"),
            (redirect("http://169.254.169.254/latest/meta-data"), "redirects"),
        ] {
            let camera = start(Fake { hostile: Some(hostile.clone()), ..Fake::default() })?;
            let output = probe(scene, &camera, PASSWORD, &["--json"])?;
            let found = report(&output)?;
            ensure!(findings(&found) == [finding], "{hostile:?}: {found}");
            ensure!(output.status.code() == Some(1), "{hostile:?}: {}", output.status);
        }
        Ok(())
    });
}

/// Probes a camera whose streams are at a path of GStreamer's RTSP server with these flags.
fn probe_streams(scene: &Scene, flags: &[&str], path: &str) -> Result<(Output, Value)> {
    let mut rtsp = Camera::with_flags(scene, Kind::GstreamerRtsp, flags)?;
    rtsp.start()?;
    let stream = Some(format!("rtsp://{}/{path}", rtsp.address()));
    let sockets = Sockets::open_http(rtsp.address().ip(), free_port()?.port())?;
    let camera = Fake { stream, ..Fake::default() }.start(sockets)?;
    let output = probe_at(scene, &camera.http.to_string(), PLAIN_PASSWORD, &["--json"])?;
    let found = report(&output)?;
    Ok((output, found))
}

#[test]
fn the_streams_of_a_camera_are_played_and_measured() {
    let needs = [Need::Program, Need::GstreamerRtsp];
    scene("the_streams_of_a_camera_are_played_and_measured", &needs, |scene| {
        for (password, expected, works) in
            [(PLAIN_PASSWORD, &[][..], true), ("another-4713", &["separate-user"][..], false)]
        {
            let flags = ["--user", USER, "--password", password];
            let (output, found) = probe_streams(scene, &flags, "camera")?;
            ensure!(findings(&found) == expected, "{found}");
            ensure!(output.status.success() == works, "{}", output.status);
            let measured = &found["measured"][0];
            ensure!(measured["codec"] == "H.264" || !works, "{found}");
            ensure!(measured["key_frame_distance_s"].is_number() == works, "{found}");
        }
        Ok(())
    });
}

#[test]
fn a_stream_that_is_missing_or_unfit_is_explained() {
    let needs = [Need::Program, Need::GstreamerRtsp];
    scene("a_stream_that_is_missing_or_unfit_is_explained", &needs, |scene| {
        let far = ["--keyframe-interval", "30"];
        for (flags, path, expected, works) in [
            (&[][..], "missing", "no-picture", false),
            (&far[..], "camera", "far-key-frames", true),
            (&["--b-pictures"], "camera", "b-pictures", true),
        ] {
            let (output, found) = probe_streams(scene, flags, path)?;
            // One for the main stream and one for the sub stream.
            ensure!(findings(&found) == [expected, expected], "{expected}: {found}");
            ensure!(output.status.success() == works, "{expected}: {}", output.status);
        }
        Ok(())
    });
}

#[test]
fn a_closed_port_of_rtsp_and_a_device_without_onvif_are_explained() {
    let name = "a_closed_port_of_rtsp_and_a_device_without_onvif_are_explained";
    scene(name, &[Need::Program], |scene| {
        let camera = start(Fake::default())?;
        let output = probe(scene, &camera, PASSWORD, &["--json"])?;
        let found = report(&output)?;
        ensure!(findings(&found) == ["rtsp-off"] && !output.status.success(), "{found}");
        let hostile = Some(Hostile::Drip);
        let camera = start(Fake { hostile, ..Fake::default() })?;
        let output = probe(scene, &camera, PASSWORD, &["--json", "--vendor", "reolink"])?;
        let found = report(&output)?;
        ensure!(findings(&found) == ["no-onvif"] && !output.status.success(), "{found}");
        Ok(())
    });
}

#[test]
fn an_address_outside_of_the_networks_is_refused_in_one_sentence() {
    let name = "an_address_outside_of_the_networks_is_refused_in_one_sentence";
    scene(name, &[Need::Program], |_| {
        for (address, advice) in [
            ("127.0.0.1", "--network"),
            ("203.0.113.77", "--network"),
            ("169.254.169.254", "not a camera"),
            ("239.255.255.250", "single machine"),
            ("anna:geheim@192.168.1.20", "--user"),
        ] {
            let output = Place::Here.command(binary()?).args(["probe", address]).output()?;
            let errors = String::from_utf8_lossy(&output.stderr).into_owned();
            ensure!(output.status.code() == Some(1), "{address}: {}", output.status);
            ensure!(errors.contains(advice) && errors.lines().count() == 1, "{address}: {errors}");
            ensure!(!errors.contains("geheim"), "{errors}");
        }
        Ok(())
    });
}

#[test]
fn the_password_of_the_environment_is_used_unless_there_is_a_file() {
    let name = "the_password_of_the_environment_is_used_unless_there_is_a_file";
    scene(name, &[Need::Program], |scene| {
        let file = scene.folder().join("right");
        std::fs::write(&file, PASSWORD)?;
        let file = file.to_str().context("a path")?;
        let with_file: &[&str] = &["--password-file", file];
        for (variable, flags, is_right) in [
            (Some(PASSWORD), &[][..], true),
            (Some("wrong-4712"), &[][..], false),
            (Some("wrong-4712"), with_file, true),
            (None, &[][..], false),
        ] {
            let camera = start(Fake { auth: Auth::Token, ..Fake::default() })?;
            let mut command = Place::Here.command(binary()?);
            command.args(["probe", &camera.http.ip().to_string(), "--network", "127.0.0.0/8"]);
            command.args(["--user", USER, "--no-streams"]).args(flags);
            command.env_remove("PORTHOLE_CAMERA_PASSWORD").stdin(Stdio::null());
            command.envs(variable.map(|password| ("PORTHOLE_CAMERA_PASSWORD", password)));
            let output = command.output()?;
            let errors = String::from_utf8_lossy(&output.stderr);
            ensure!(output.status.success() == is_right, "{variable:?} {flags:?}: {errors}");
        }
        Ok(())
    });
}

/// Asks for a password on a terminal, then prints the exit code and the terminal's echo.
const ASKING: &str = "trap : INT; \"$PROBE\" probe 127.0.0.1 --network 127.0.0.0/8 --user ada; \
    echo \"code=$?\"; stty -a | grep -ow -e -echo -e echo";

#[test]
fn the_terminal_shows_what_is_typed_again_after_a_password_and_after_ctrl_c() {
    let name = "the_terminal_shows_what_is_typed_again_after_a_password_and_after_ctrl_c";
    // It runs a command on a terminal of its own, to which it passes what it reads.
    scene(name, &[Need::Program, Need::Tool("script")], |_| {
        for (case, typed, code) in
            [("Ctrl-C", "\x03", "code=130"), ("a password", "secret\n", "code=1")]
        {
            let mut child = Command::new("script")
                .args(["--quiet", "--command", ASKING, "/dev/null"])
                .env("PROBE", binary()?)
                .env_remove("PORTHOLE_CAMERA_PASSWORD")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()?;
            let mut input = child.stdin.take().context("piped")?;
            let mut lines = BufReader::new(child.stdout.take().context("piped")?).lines();
            // Returns the next line with such a text.
            let mut next = |wanted: &str| -> Result<String> {
                let found = lines.by_ref().map_while(Result::ok).find(|line| line.contains(wanted));
                found.with_context(|| format!("{case}: no line with {wanted}"))
            };
            next("password of ada")?;
            input.write_all(typed.as_bytes())?;
            next(code)?;
            let echo = next("echo")?;
            ensure!(echo.trim() == "echo", "{case}: the terminal is left with {echo}");
            drop(input);
            child.wait()?;
        }
        Ok(())
    });
}
