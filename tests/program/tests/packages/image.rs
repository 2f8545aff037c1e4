//! The container image: what is in it, and that it runs as it says. No container runtime is asked:
//! its root file system is run with the image's user, read-only, in namespaces of its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use porthole_test_support::http;
use porthole_test_support::lab::Lab;
use porthole_test_support::porthole;
use porthole_test_support::program::{Place, Program};
use porthole_test_support::scene::{Need, Scene, report, scene};
use serde_json::Value;

use crate::{repository, run};

const DEADLINE: Duration = Duration::from_secs(30);
/// The user of the image, who has no name.
const USER: &str = "10001:10001";
/// The dashboard and signaling of `porthole up` unless it is configured.
const HEALTH: &str = "http://127.0.0.1:8080/healthz";
/// Runs a command in a root file system that cannot be written to but for its volume.
const CONTAINER: &str = "mount --bind \"$1\" \"$1\" && mount -o remount,bind,ro \"$1\" && \
    mount -t tmpfs -o mode=700,uid=10001,gid=10001 tmpfs \"$1/data\" && \
    root=$1 && shift && exec chroot --userspec 10001:10001 \"$root\" \"$@\"";

/// Takes about 5 s.
#[test]
fn the_image_has_the_program_alone_and_runs_without_rights() {
    let name = "the_image_has_the_program_alone_and_runs_without_rights";
    let needs = [Need::Lab, Need::Package, Need::Tool("buildah"), Need::Tool("unshare")];
    scene(name, &needs, |scene| {
        let root = scene.folder().join("root");
        let config = unpack(scene, &root)?;
        ensure!(config["User"] == USER, "it runs as another user: {config}");
        ensure!(config["Entrypoint"] == serde_json::json!(["/porthole"]), "{config}");
        ensure!(config["Volumes"]["/data"].is_object(), "{config}");
        let health = &config["Healthcheck"]["Test"];
        ensure!(*health == serde_json::json!(["CMD", "/porthole", "health"]), "{config}");
        let mut find = Command::new("find");
        let found = run(find.arg(&root).args(["-mindepth", "1", "-printf", "%P %u %m\n"]))?;
        let mut files: Vec<_> = found.lines().collect();
        files.sort_unstable();
        ensure!(files == ["data 10001 755", "porthole root 755"], "{files:?}");
        serve(scene, &root, &config)
    });
}

/// Runs the image, and asks its health as a container runtime does.
fn serve(scene: &Scene, root: &Path, config: &Value) -> Result<()> {
    let lab = Lab::new("image")?;
    let place = Place::On(lab.server());
    let strings = |key: &str| -> Vec<String> {
        let list = config[key].as_array().into_iter().flatten();
        list.filter_map(|word| word.as_str().map(str::to_owned)).collect()
    };
    let command = |arguments: &[String]| {
        let mut command = place.command("unshare");
        command.args(["--mount", "sh", "-c", CONTAINER, "sh"]).arg(root).args(arguments);
        let environment = strings("Env").into_iter();
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.envs(environment.filter_map(|pair| {
            let (name, value) = pair.split_once('=')?;
            Some((name.to_owned(), value.to_owned()))
        }));
        command
    };
    let health: Vec<_> = ["/porthole", "health"].map(str::to_owned).into();
    ensure!(!command(&health).output()?.status.success(), "healthy before it runs");
    let began = Instant::now();
    let all = [strings("Entrypoint"), strings("Cmd")].concat();
    let mut up = Program::start(scene, "image", &mut command(&all))?;
    up.wait_for("it answers", DEADLINE, |_| Ok(http::get(place, HEALTH, None).ok()))?;
    report(&format!("the image serves after {} ms", began.elapsed().as_millis()));
    let answer = command(&health).output()?;
    ensure!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
    up.stop()?;
    let answer = command(&health).output()?;
    let errors = String::from_utf8_lossy(&answer.stderr).into_owned();
    ensure!(!answer.status.success() && errors.contains("not healthy"), "{errors}");
    Ok(())
}

/// Makes the image, unpacks its only layer, and returns its configuration.
fn unpack(scene: &Scene, root: &Path) -> Result<Value> {
    let folder = scene.folder().join("image");
    let mut package = Command::new(repository().join("scripts/package"));
    package
        .env("PORTHOLE_PROFILE", "quick")
        .arg("image")
        .arg(&folder)
        .env("PORTHOLE_PROGRAM", porthole::packaged()?);
    run(&mut package)?;
    let mut files = std::fs::read_dir(&folder)?;
    let file = files.next().context("there is no image")??.path();
    run(Command::new("tar").arg("-xf").arg(&file).arg("-C").arg(&folder))?;
    let read = |name: &str| -> Result<Value> {
        Ok(serde_json::from_slice(&std::fs::read(folder.join(name))?)?)
    };
    let manifest = read("manifest.json")?;
    let config = read(manifest[0]["Config"].as_str().context("it has no configuration")?)?;
    let layers = manifest[0]["Layers"].as_array().context("it has no layers")?;
    ensure!(!layers.is_empty(), "it is empty");
    std::fs::create_dir(root)?;
    for layer in layers {
        let layer: PathBuf = folder.join(layer.as_str().context("a name of a layer")?);
        run(Command::new("tar").arg("-xpf").arg(layer).arg("-C").arg(root))?;
    }
    Ok(config["config"].clone())
}

/// Checks the environment of each compose file as the program reads it.
#[test]
fn the_compose_files_configure_what_there_is() {
    scene("the_compose_files_configure_what_there_is", &[Need::Program], |_| {
        for (file, shell) in [
            ("compose.yaml", &[("PORTHOLE__PUBLIC__NAMES", "cameras.example.org")][..]),
            (
                "compose.gateway.yaml",
                &[("PORTHOLE__GATEWAY__CLAIM", "CODE"), ("SERVER", "https://cameras.example.org")],
            ),
            ("compose.turn.yaml", &[("EXTERNAL", "203.0.113.7"), ("TURN_SECRET", "geheim")]),
        ] {
            let text = std::fs::read_to_string(repository().join("deploy").join(file))?;
            let shell = BTreeMap::from_iter(shell.iter().copied());
            let environment = environment(&text, &shell).context(file)?;
            ensure!(!environment.is_empty(), "{file} has no environment");
            for spoilt in [false, true] {
                let mut check = Command::new(porthole::binary()?);
                check.args(["config", "check"]).env_clear().envs(&environment);
                // The image has it.
                check.env("PORTHOLE__DATA", "/data");
                if spoilt {
                    check.env("PORTHOLE__NO__SUCH", "1");
                }
                let output = check.output()?;
                let errors = String::from_utf8_lossy(&output.stderr).into_owned();
                ensure!(output.status.success() != spoilt, "{file}: {errors}");
            }
        }
        Ok(())
    });
}

/// Returns the environment in a compose file, with the variables of a shell put in.
fn environment<'a>(
    text: &'a str,
    shell: &BTreeMap<&str, &'a str>,
) -> Result<BTreeMap<&'a str, &'a str>> {
    let mut found = BTreeMap::new();
    for line in text.lines().map(str::trim).filter(|line| line.starts_with("PORTHOLE__")) {
        let (name, value) = line.split_once(':').context("a name and a value")?;
        let variable = match value.trim() {
            "" => name,
            value => match value.strip_prefix("${").and_then(|rest| rest.split_once(":?")) {
                Some((variable, _)) => variable,
                None => {
                    found.insert(name, value);
                    continue;
                }
            },
        };
        let Some(value) = shell.get(variable) else { bail!("{variable} is not set") };
        found.insert(name, value);
    }
    Ok(found)
}
