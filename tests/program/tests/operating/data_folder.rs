//! Data folders and configurations of earlier versions, which go on working.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use porthole_test_support::porthole::{Gateway, Server};
use porthole_test_support::program::Place;
use porthole_test_support::scene::{Need, Scene, scene};
use porthole_test_support::viewer::Viewer;
use serde_json::{Value, json};

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

/// The gateways of the folder of 29 November 2026; `ATTIC` is the one of its server.
const ATTIC: &str = "gw-sosc4tzxf57ct4a5";
const BARN: &str = "gw-i4rluepfolavtio4";
/// The token for all cameras in that folder.
const ALL: &str = "ph_tadoYLO6KHqlWLHxYZEv-4EkPCpaLp_LU10mz9fKYjE";
/// The token for `door` in that folder.
const DOOR: &str = "ph_FLP-Vc0XsIVlIZj_5-qkpDMQ1jaJG9EWQRTL1PwnLUY";
/// Its tokens, with the addresses of the cameras that each may see once the barn has a `door` and
/// a `cellar` too.
const LISTS: [(&str, &[&str]); 7] = [
    (ALL, &["barn", "cellar", "door", "door@BARN", "gate", "yard"]),
    (DOOR, &["door"]),
    ("ph_YuLEvoH7WCrIzJOE-y5bJPSN6lt83kGPwSij5jIBTLc", &["door.sub"]),
    ("ph_RkJyI0y2TcqJQ26pzGpWuXv2D_YjEvtyk7mckhmsbVo", &["barn", "door"]),
    ("ph_U1ua1XmXbWjjS7c0qWVIdJeyRGYwow_rBiRPHZUVJ7Y", &[]),
    (
        "ph_hByoV0IEBe-uV_Fj6MDLLxx5fTQTB9UXbeOn7kSatDE",
        &["barn", "cellar", "door", "door@BARN", "gate", "yard"],
    ),
    ("ph_xZSQbTJDdtRnoAvKqsEIOTW9D80cFGWNi5ZRnlx3UCk", &["gate"]),
];

/// Checks what each token of the folder may see, and what its addresses mean.
fn check_rights(server: &mut Server<'_>) -> Result<()> {
    for (token, expected) in LISTS {
        let cameras = server.get("/api/v1/cameras", Some(token))?.json()?;
        let list = cameras["cameras"].as_array().context("a list")?;
        let found: BTreeSet<_> = list.iter().filter_map(|one| one["address"].as_str()).collect();
        let expected: Vec<_> = expected.iter().map(|one| one.replace("BARN", BARN)).collect();
        ensure!(found == expected.iter().map(String::as_str).collect(), "{token}: {cameras}");
        let is_attic = |one: &&Value| one["address"] == "door" || one["address"] == "yard";
        for camera in list {
            let gateway = if is_attic(&camera) { ATTIC } else { BARN };
            let is_sub = camera["address"] == "door.sub";
            ensure!(is_sub || camera["gateway"] == gateway, "{camera}");
        }
    }
    for (token, address, expected) in [
        (DOOR, "door".to_owned(), 200),
        (DOOR, format!("door@{ATTIC}"), 200),
        (DOOR, format!("door@{BARN}"), 403),
        (ALL, format!("door@{BARN}"), 200),
        (ALL, format!("yard@{BARN}"), 404),
    ] {
        let response = server.get(&format!("/whep/{address}"), Some(token))?;
        ensure!(response.status == expected, "{address}: {response:?}");
    }
    Ok(())
}

#[test]
fn a_data_folder_of_29_november_2026_goes_on_working() {
    let needs = [Need::Program, Need::Viewer];
    scene("a_data_folder_of_29_november_2026_goes_on_working", &needs, |scene| {
        let data = copy_of(scene, "2026-11-29")?;
        std::fs::rename(data.join("barn.key"), scene.data("barn")?.join("gateway.key"))?;
        let before = std::fs::read(data.join("signaling.sqlite3"))?;
        let config = data.join("porthole.toml");
        let config = config.to_str().context("a path of text")?.to_owned();
        let mut server =
            Server::start_in(scene, Place::Here, data.clone(), &["--config", &config])?;
        let source = "test:320x180@10";
        let cameras = ["door", "cellar", "barn", "gate"].map(|id| (id, source));
        let flags = ["--gateway-name", "Barn"];
        let _barn = Gateway::start(scene, "barn", Place::Here, &server, &cameras, &flags)?;
        server.wait_for_camera(ALL, "cellar", DEADLINE)?;
        server.wait_for_camera(ALL, "door", DEADLINE)?;

        let copy = data.join("signaling.sqlite3.v1");
        let mode = std::fs::metadata(&copy)?.permissions().mode() & 0o777;
        ensure!(mode == 0o600, "the copy can be read by others: {mode:o}");
        let copied = std::fs::read(&copy)?;
        ensure!(copied.len() == before.len(), "{} bytes", copied.len());
        let output = server.output()?;
        let dormant: Vec<_> =
            output.lines().filter(|line| line.contains("have no effect")).collect();
        ensure!(dormant.len() == 1 && dormant[0].contains("count=3"), "{dormant:?}");
        for name in ["ann", "bob"] {
            let sign_in = json!({"name": name, "password": "a long password"});
            let response = server.post("/api/v1/session", None, &sign_in)?;
            ensure!(response.status == 200, "{name}: {response:?}");
        }

        check_rights(&mut server)?;
        let url = server.url("");
        let mut viewer = Viewer::start(scene, Place::Here, &url, DOOR, "door")?;
        viewer.wait_for_frames(10, DEADLINE)?;
        drop(viewer);
        server.kill()?;
        server.run()?;
        server.wait_for_camera(ALL, "cellar", DEADLINE)?;
        server.wait_for_camera(ALL, "yard", DEADLINE)?;
        check_rights(&mut server)?;
        ensure!(std::fs::read(&copy)? == copied, "the copy was replaced");
        Ok(())
    });
}
