//! `porthole health`, as container runtimes ask it.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use porthole_test_support::porthole::{Gateway, Server, binary};
use porthole_test_support::ports::free_port;
use porthole_test_support::program::{Place, Program};
use porthole_test_support::scene::{Need, scene};
use porthole_test_support::wait;

/// A server starts in milliseconds; this is for a loaded machine.
const DEADLINE: Duration = Duration::from_secs(20);

/// Takes about 3 s: a TURN server without an admin API that does not answer is asked for 2 s.
#[test]
fn health_is_that_of_the_server_on_this_machine() {
    scene("health_is_that_of_the_server_on_this_machine", &[Need::Program], |scene| {
        let (listen, admin) = (free_port()?, free_port()?);
        let socket = scene.folder().join("turn.sock");
        for (name, admin) in [
            ("tcp", format!("admin = '{admin}'\nadmin_token = 'a-token-of-the-admin-api'")),
            ("unix", format!("admin = 'unix:{}'", socket.display())),
            ("stun", String::new()),
        ] {
            let file = scene.folder().join(format!("{name}.toml"));
            let text = format!("[turn]\nlisten = ['{listen}']\nusers.anna = 'secret'\n{admin}\n");
            std::fs::write(&file, text)?;
            let mut turn = Place::Here.command(binary()?);
            let mut turn =
                Program::start(scene, name, turn.arg("turn").arg("--config").arg(&file))?;
            turn.wait_for("it is healthy", DEADLINE, |_| {
                Ok(health(&file, "turn")?.is_ok().then_some(()))
            })?;
            turn.stop()?;
            let reason = health(&file, "turn")?;
            ensure!(reason.is_err_and(|text| text.contains("the server at")), "{name}");
        }

        let mut server = Server::start(scene, Place::Here, &[])?;
        let file = scene.folder().join("up.toml");
        std::fs::write(&file, format!("[signaling]\nhttp = '{}'\n", server.http()))?;
        for role in ["up", "signaling"] {
            ensure!(health(&file, role)? == Ok(()), "{role}");
        }
        let reason = health(&file, "gateway")?;
        ensure!(reason.is_err_and(|text| text.contains("set it, or ask")), "a gateway");
        let socket = scene.folder().join("gateway.sock");
        std::fs::write(&file, format!("[admin]\nlisten = 'unix:{}'\n", socket.display()))?;
        let config = ["--config", file.to_str().context("a path in UTF-8")?];
        let gateway = Gateway::start(scene, "gateway", Place::Here, &server, &[], &config)?;
        wait::until("the gateway is healthy", DEADLINE, || {
            Ok(health(&file, "gateway")?.is_ok().then_some(()))
        })?;
        drop(gateway);
        let reason = health(&file, "gateway")?;
        ensure!(reason.is_err_and(|text| text.contains("is not healthy")), "no gateway");
        std::fs::write(&file, format!("[signaling]\nhttp = '{}'\n", server.http()))?;
        server.stop()?;
        let reason = health(&file, "up")?;
        ensure!(reason.is_err_and(|text| text.contains("is not healthy")), "up");
        Ok(())
    });
}

/// Asks for the health of a role with this configuration; an error is what it says.
fn health(file: &Path, role: &str) -> Result<Result<(), String>> {
    let mut command = Place::Here.command(binary()?);
    let output = command.args(["health", role, "--config"]).arg(file).output()?;
    if output.status.success() {
        return Ok(Ok(()));
    }
    Ok(Err(String::from_utf8_lossy(&output.stderr).into_owned()))
}
