//! A backup of a running server, which starts on another machine.

use std::time::Duration;

use anyhow::{Result, ensure};
use porthole_test_support::porthole::{Server, binary};
use porthole_test_support::program::Place;
use porthole_test_support::scene::{Need, scene};

const DEADLINE: Duration = Duration::from_secs(30);

/// Takes about 5 s.
#[test]
fn a_backup_of_a_running_server_is_the_same_server_elsewhere() {
    let name = "a_backup_of_a_running_server_is_the_same_server_elsewhere";
    scene(name, &[Need::Program], |scene| {
        let [password, file] = ["password", "backup"].map(|name| scene.folder().join(name));
        let elsewhere = scene.folder().join("elsewhere");
        std::fs::write(&password, "a porthole in the hull")?;
        let [password, file] = [&password, &file].map(|path| path.to_string_lossy().into_owned());
        let secret = ["--password-file", password.as_str()];

        let mut server = Server::start(scene, Place::Here, &["--demo"])?;
        let token = server.token("viewer", &[])?;
        server.wait_for_camera(&token, "demo", DEADLINE)?;
        server.command(&[&["backup", file.as_str()], secret.as_slice()].concat())?;
        let later = server.token("viewer", &[])?;
        server.stop()?;

        let mut restore = Place::Here.command(binary()?);
        restore.args(["restore", &file]).args(secret).arg("--data").arg(&elsewhere);
        ensure!(restore.status()?.success(), "the backup cannot be restored");
        let mut moved = Server::start_in(scene, Place::Here, elsewhere, &["--demo"])?;
        moved.wait_for_camera(&token, "demo", DEADLINE)?;
        // Known only since the backup.
        let status = moved.get("/api/v1/cameras", Some(&later))?.status;
        ensure!(status == 401, "a later token is answered with {status}");
        check_one_gateway(&moved)
    });
}

/// Checks that the gateway is the same as before, not a second one.
fn check_one_gateway(server: &Server<'_>) -> Result<()> {
    let listed = server.command(&["gateway", "list"])?;
    ensure!(listed.lines().count() == 2, "not one gateway:\n{listed}");
    Ok(())
}
