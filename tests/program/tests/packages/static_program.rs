//! The static program where there is nothing but itself: no libraries, no shell, no certificates.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use porthole_test_support::http;
use porthole_test_support::lab::{Lab, SERVER_ADDRESS};
use porthole_test_support::nat::NatKind;
use porthole_test_support::program::{Place, Program};
use porthole_test_support::scene::{Need, Scene, scene};
use serde_json::Value;

use crate::bare::Bare;
use crate::names::NameServer;

/// A build without optimisation hashes, migrates and binds in a second.
const DEADLINE: Duration = Duration::from_secs(30);
const NAME: &str = "server.test";
/// The exit status of the module that must not be loaded.
const PLANTED: i32 = 86;

/// A module for lookups, as machines have them: it ends the program that loads it, with a system
/// call of its own, because there is no C library for it.
const MODULE: &str = "
__attribute__((constructor)) static void loaded(void) {
#ifdef __x86_64__
    __asm__ volatile(\"syscall\" : : \"a\"(231), \"D\"(86));
#else
    register long status __asm__(\"x0\") = 86;
    register long call __asm__(\"x8\") = 94;
    __asm__ volatile(\"svc #0\" : : \"r\"(status), \"r\"(call));
#endif
}";
/// The lookup of a name as any static program does it.
const LOOKUP: &str = "
#include <netdb.h>
#include <stddef.h>
int main(void) {
    struct addrinfo *found;
    return getaddrinfo(\"server.test\", NULL, NULL, &found) != 0;
}";

/// The server has nothing but the program. The gateway's machine has a module for names, whose own
/// C library would be a second one in a static program. Takes about 1 s.
#[test]
fn the_static_program_serves_and_finds_names_where_there_is_nothing_else() {
    let name = "the_static_program_serves_and_finds_names_where_there_is_nothing_else";
    let needs = [Need::Lab, Need::Package, Need::Tool("chroot"), Need::Tool("cc")];
    scene(name, &needs, |scene| {
        let lab = Lab::new("static")?;
        let server = Place::On(lab.server());
        let _names = NameServer::start(server, SERVER_ADDRESS, NAME, SERVER_ADDRESS)?;
        let root = Bare::create(scene.folder(), "server", &SERVER_ADDRESS.to_string())?;
        let _up = start_up(scene, &root, server)?;
        let found = root.output(server, &["netcheck", "--server", NAME, "--json"])?;
        let found: Value = serde_json::from_str(&found)?;
        let checks = found["checks"].as_array().context("a list of checks")?;
        let udp = checks.iter().find(|check| check["what"] == "STUN over UDP");
        ensure!(udp.is_some_and(|check| check["result"] == "ok"), "{found}");

        let home = lab.side(NatKind::Open)?;
        let home = Place::On(&home.host);
        let at_home = Bare::create(scene.folder(), "home", &SERVER_ADDRESS.to_string())?;
        plant(scene, &at_home)?;
        // Any other static program loads it: the module is where it is looked for.
        let status = at_home.command(home, "/lookup").status()?;
        ensure!(status.code() == Some(PLANTED), "nothing loads the module: {status}");
        let claim = root.output(server, &["claim", "create"])?;
        let mut gateway = at_home.command(home, "/porthole");
        gateway.args(["gateway", "--camera", "door=test:"]);
        gateway.args(["--server", &format!("http://{NAME}:8080"), "--claim", &claim]);
        let mut gateway = Program::start(scene, "gateway", &mut gateway)?;
        let viewer = ["token", "create", "--role", "viewer", "--name", "x"];
        let token = root.output(server, &viewer)?;
        let url = format!("http://{SERVER_ADDRESS}:8080/api/v1/cameras");
        gateway.wait_for("its camera is listed", DEADLINE, |_| {
            let list = http::get(server, &url, Some(&token))?.json()?;
            let is_there = |camera: &Value| camera["id"] == "door" && camera["state"] == "live";
            Ok(list["cameras"].as_array().is_some_and(|all| all.iter().any(is_there)).then_some(()))
        })
    });
}

fn start_up(scene: &Scene, root: &Bare, place: Place<'_>) -> Result<Program> {
    let mut command = root.command(place, "/porthole");
    command
        .arg("up")
        .args(["--http", &format!("{SERVER_ADDRESS}:8080")])
        .args(["--turn", &format!("{SERVER_ADDRESS}:3478")])
        .args(["--public-address", &SERVER_ADDRESS.to_string()]);
    let mut up = Program::start(scene, "up", &mut command)?;
    let url = format!("http://{SERVER_ADDRESS}:8080/healthz");
    up.wait_for("the server responds", DEADLINE, |_| Ok(http::get(place, &url, None).ok()))?;
    Ok(up)
}

/// Configures a machine so that a module looks names up first, and adds a program that does so.
fn plant(scene: &Scene, root: &Bare) -> Result<()> {
    let libraries = root.path("lib");
    std::fs::create_dir_all(&libraries)?;
    std::fs::write(root.path("etc/nsswitch.conf"), "hosts: planted files dns\n")?;
    let sources = [("module.c", MODULE), ("lookup.c", LOOKUP)];
    for (file, text) in sources {
        std::fs::write(scene.folder().join(file), text)?;
    }
    let module = libraries.join("libnss_planted.so.2");
    let builds = [
        (&["-shared", "-fPIC", "-nostdlib"][..], "module.c", module),
        (&["-static", "-w"], "lookup.c", root.path("lookup")),
    ];
    for (flags, source, output) in builds {
        let mut cc = Command::new("cc");
        cc.args(flags).arg("-o").arg(output).arg(scene.folder().join(source));
        let output = cc.output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}
