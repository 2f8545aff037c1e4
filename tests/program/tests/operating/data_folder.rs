//! Data folders and configurations of earlier versions, which go on working.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use porthole_test_support::porthole::Server;
use porthole_test_support::program::Place;
use porthole_test_support::scene::{Need, Scene, scene};
use porthole_test_support::viewer::Viewer;
use serde_json::Value;

const DEADLINE: Duration = Duration::from_secs(30);

/// Tokens of the folder of 28 November 2026: for all cameras, for `door`, and for `door.sub`, which
/// was a camera of its own then.
const TOKENS: [(&str, &[&str]); 3] = [
    ("ph_GZ2xWkTZ7rDPVeu--2sfZ3UsxUw64MMix3fYenkd7nQ", &["door", "yard"]),
    ("ph_9nbCKAGoLjU2mPMgj5LSjWczdGiGvDx7hQnkaWa0Qow", &["door"]),
    ("ph_26urIAz5xJWF1svOcCnOUOUo5IIVGBn554JXsPFtcgc", &["door.sub"]),
];

/// Copies a data folder of the given version, with the permissions that the program demands.
fn copy_of(scene: &Scene, version: &str) -> Result<PathBuf> {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("data").join(version);
    let to = scene.data("server")?;
    for entry in std::fs::read_dir(&from)? {
        let entry = entry?;
        let copy = to.join(entry.file_name());
        std::fs::copy(entry.path(), &copy)?;
        std::fs::set_permissions(&copy, std::fs::Permissions::from_mode(0o600))?;
    }
    Ok(to)
}

#[test]
fn a_data_folder_of_28_november_2026_goes_on_working() {
    let needs = [Need::Program, Need::Viewer];
    scene("a_data_folder_of_28_november_2026_goes_on_working", &needs, |scene| {
        let data = copy_of(scene, "2026-11-28")?;
        let config = data.join("porthole.toml");
        let config = config.to_str().context("a path of text")?.to_owned();
        let mut server = Server::start_in(scene, Place::Here, data, &["--config", &config])?;
        let (all, _) = TOKENS[0];
        let is_live = |camera: &Value| camera["state"] == "live";
        server.wait_for_camera_that("yard is live", all, "yard", DEADLINE, is_live)?;

        for (token, expected) in TOKENS {
            let cameras = server.get("/api/v1/cameras", Some(token))?.json()?;
            let list = cameras["cameras"].as_array().context("a list")?;
            let ids: Vec<_> = list.iter().filter_map(|camera| camera["id"].as_str()).collect();
            ensure!(ids == expected, "{cameras}");
            if let Some(door) = list.iter().find(|camera| camera["id"] == "door") {
                ensure!(door["name"] == "Front door", "{door}");
                ensure!(door["streams"][1]["id"] == "door.sub", "{door}");
                ensure!(door["streams"][1]["role"] == "sub", "{door}");
            }
        }
        for (index, (token, _)) in TOKENS.iter().enumerate() {
            let name = format!("viewer-{index}");
            let url = server.url("");
            let mut viewer = Viewer::start_as(scene, &name, Place::Here, &url, token, "door.sub")?;
            viewer.wait_for_frames(10, DEADLINE).context(name)?;
        }
        Ok(())
    });
}
