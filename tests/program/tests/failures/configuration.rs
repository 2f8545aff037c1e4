//! Mistakes in the configuration and on the command line.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use anyhow::{Context as _, Result, ensure};
use porthole_test_support::ports::free_port;
use porthole_test_support::scene::{Need, Scene, scene};

use crate::process::{porthole, run_to_end};

const SECRET: &str = "geheim-4711";

#[test]
fn an_unknown_key_is_named_with_its_line_and_the_nearest_known_one() {
    let name = "an_unknown_key_is_named_with_its_line_and_the_nearest_known_one";
    scene(name, &[Need::Program], |scene| {
        // The wrong line, the lines before it, the key in question, the nearest known key.
        let table = [
            ("[signalling]", "", "`signalling`", "`signaling`"),
            ("htpp = '127.0.0.1:1'", "[signaling]\n", "`signaling.htpp`", "`signaling.http`"),
            (
                "sorce = 'rtsp://admin:geheim-4711@192.0.2.1/1'",
                "# The yard.\n\n[camera.yard]\n",
                "`camera.yard.sorce`",
                "`camera.yard.source`",
            ),
            (
                "on_demmand = true",
                "[camera.a]\nsource = 'rtsp://admin:geheim-4711@192.0.2.1/1'\n",
                "`camera.a.on_demmand`",
                "`camera.a.on_demand`",
            ),
        ];
        for (index, (wrong, before, key, nearest)) in table.into_iter().enumerate() {
            let file = scene.folder().join(format!("{index}.toml"));
            std::fs::write(&file, format!("{before}{wrong}\n"))?;
            let file = file.to_str().context("a path of text")?;
            let line = before.lines().count() + 1;
            let place = format!("{file}:{line}");
            refuse(scene, index, file, &[&place, key, nearest]).context(wrong)?;
        }
        Ok(())
    });
}

/// Checks that `config check` and `up` both refuse the file, and that nothing is started.
fn refuse(scene: &Scene, index: usize, file: &str, names: &[&str]) -> Result<()> {
    let (http, turn) = (free_port()?, free_port()?);
    let data = scene.folder().join("never-made");
    let data_path = data.to_str().context("a path of text")?;
    let (http_flag, turn_flag) = (http.to_string(), turn.to_string());
    let up = ["up", "--http", &http_flag, "--turn", &turn_flag, "--demo"];
    for (command, arguments) in [("check", &["config", "check"][..]), ("up", &up)] {
        let arguments = [arguments, &["--config", file, "--data", data_path]].concat();
        let name = format!("{command}-{index}");
        let ended = run_to_end(scene, &name, &mut porthole(&arguments)?)?;
        ended.check(1, names, &[SECRET]).context(command)?;
        ensure!(!data.exists(), "{command} made a data folder");
    }
    Ok(())
}

#[test]
fn an_unknown_variable_is_named_with_the_nearest_known_one() {
    let name = "an_unknown_variable_is_named_with_the_nearest_known_one";
    scene(name, &[Need::Program], |scene| {
        for (wrong, nearest) in [
            ("PORTHOLE__SIGNALING__HTPP", "`PORTHOLE__SIGNALING__HTTP`"),
            ("PORTHOLE__TURN__WORKRES", "`PORTHOLE__TURN__WORKERS`"),
        ] {
            let mut command = porthole(&["config", "check"])?;
            command.arg("--data").arg(scene.data("checked")?).env(wrong, SECRET);
            let ended = run_to_end(scene, wrong, &mut command)?;
            ended.check(1, &[wrong, nearest], &[SECRET]).context(wrong)?;
        }
        Ok(())
    });
}

#[test]
fn s15_a_file_with_secrets_that_all_can_read_is_warned_of() {
    let name = "s15_a_file_with_secrets_that_all_can_read_is_warned_of";
    scene(name, &[Need::Program], |scene| {
        let secret = format!("[turn]\nsecret = \"{SECRET}\"\n");
        for (index, (text, mode, warns)) in [
            (secret.as_str(), 0o644, true),
            (&secret, 0o604, true),
            (&secret, 0o640, false),
            (&secret, 0o600, false),
            ("[turn]\nrealm = \"home\"\n", 0o644, false),
        ]
        .into_iter()
        .enumerate()
        {
            let file = scene.folder().join(format!("{index}.toml"));
            fs::write(&file, text)?;
            fs::set_permissions(&file, Permissions::from_mode(mode))?;
            let mut command = porthole(&["config", "check", "--config"])?;
            command.arg(&file).arg("--data").arg(scene.data("checked")?);
            let ended = run_to_end(scene, &format!("check-{index}-mode"), &mut command)?;
            ensure!(ended.code == Some(0), "exit code {:?}", ended.code);
            let (output, hint) = (&ended.output, format!("chmod 600 {}", file.display()));
            ensure!(output.contains(&hint) == warns, "{mode:o}: {output}");
            ensure!(output.contains(": ok") && !output.contains(SECRET), "{output}");
        }
        Ok(())
    });
}

#[test]
fn a_wrong_command_line_is_exit_code_2() {
    scene("a_wrong_command_line_is_exit_code_2", &[Need::Program], |scene| {
        for (index, (arguments, named)) in [
            (&["up", "--htpp", "127.0.0.1:1"][..], "'--http'"),
            (&["up", "--http", "nowhere"], "'nowhere'"),
            (&["up", "--camera", "yard=ftp://admin:geheim-4711@192.0.2.1/1"], "rtsp://"),
            (&["token", "create", "--role", "king", "--name", "a"], "viewer"),
        ]
        .into_iter()
        .enumerate()
        {
            let ended = run_to_end(scene, &format!("usage-{index}"), &mut porthole(arguments)?)?;
            ended.check_usage(named, &[SECRET]).with_context(|| format!("{arguments:?}"))?;
        }
        Ok(())
    });
}
