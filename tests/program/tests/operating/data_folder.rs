//! Data folders and configurations of earlier versions, which go on working.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use porthole_test_support::cameras::start_on;
use porthole_test_support::lab::{Host, Lab};
use porthole_test_support::nat::NatKind;
use porthole_test_support::onvif::{PASSWORD, USER};
use porthole_test_support::porthole::{Gateway, Server, binary};
use porthole_test_support::program::{Place, Program};
use porthole_test_support::scene::{Need, Scene, scene};
use porthole_test_support::viewer::Viewer;
use serde_json::{Value, json};

use crate::manager::Manager;

mod caps;
mod scopes;

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

/// Checks that a copy that the program has made is there, for its owner alone.
fn check_private(copy: &Path) -> Result<()> {
    let mode = std::fs::metadata(copy)?.permissions().mode() & 0o777;
    ensure!(mode == 0o600, "{} can be read by others: {mode:o}", copy.display());
    Ok(())
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
        check_private(&copy)?;
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

/// The gateway of the folder with cameras of 29 November 2026, which is that of its server.
const HOUSE: &str = "gw-bkyeoamktkmrqtcn";
/// The token of an admin in that folder.
const ADMIN: &str = "ph_ajXwRte4lga44EyVZYLpmZ-rcQEB2-NkwwZ_f6yxlb8";
/// The cameras of that folder as the gateway tells them: id, name, origin, port and path of the
/// address, and `true` if there is a password. Sorted by name.
const CAMERAS: [(&str, &str, &str, Option<&str>, bool); 3] = [
    ("front-door", "Front door", "stored", Some("554/camera?main1"), true),
    ("hall", "Hall", "configured", None, false),
    ("yard", "Yard", "stored", Some("8554/camera"), false),
];

/// Starts the streams of the cameras that were added, one of which wants the password.
fn start_cameras(scene: &Scene, host: &Host) -> Result<[Program; 2]> {
    let picture = ["--size", "320x180", "--fps", "10", "--kbit", "200"];
    let login = ["--user", USER, "--password", PASSWORD];
    let door = [&["--port", "554"], &login[..], &picture].concat();
    let yard = [&["--port", "8554"], &picture[..]].concat();
    Ok([
        start_on(scene, host, "door", "rtsp_server.py", &door)?,
        start_on(scene, host, "yard", "rtsp_server.py", &yard)?,
    ])
}

/// Waits until each camera is live under its old id, and checks its name and streams. The yard has
/// the given name.
fn wait_until_live(server: &mut Server<'_>, yard: &str) -> Result<()> {
    let is_live = |camera: &Value| camera["state"] == "live";
    for (id, name, ..) in CAMERAS {
        let what = format!("{id} is live");
        let camera = server.wait_for_camera_that(&what, ADMIN, id, DEADLINE, is_live)?;
        ensure!(camera["gateway"] == HOUSE && camera["address"] == id, "{camera}");
        ensure!(camera["name"] == if id == "yard" { yard } else { name }, "{camera}");
        let sub = (id == "front-door").then_some("front-door.sub");
        ensure!(camera["streams"][1]["id"].as_str() == sub, "{camera}");
    }
    Ok(())
}

/// Checks the cameras that the gateway keeps, and returns the number of their last change.
fn check_kept(manager: &mut Manager, host: &Host) -> Result<u64> {
    let list = manager.ask("portholeStoredCameras", json!({}))?;
    let cameras = list["cameras"].as_array().context("a list")?;
    ensure!(cameras.len() == CAMERAS.len(), "{list}");
    for (camera, (id, name, origin, place, has_password)) in cameras.iter().zip(CAMERAS) {
        let address = place.map(|place| format!("rtsp://{}:{place}", host.address()));
        let author = (origin == "stored").then_some("ann");
        ensure!(camera["id"] == id && camera["name"] == name, "{camera}");
        ensure!(camera["origin"] == origin && camera["hasPassword"] == has_password, "{camera}");
        ensure!(camera["address"].as_str() == address.as_deref(), "{camera}");
        ensure!(camera["changedBy"].as_str() == author, "{camera}");
    }
    list["revision"].as_u64().context("a revision")
}

/// Checks that the file of the cameras has the second version, and that the one of the first is
/// kept as it was, for its owner alone.
fn check_upgraded(data: &Path, before: &str) -> Result<()> {
    let now: Value = serde_json::from_str(&std::fs::read_to_string(data.join("cameras.json"))?)?;
    ensure!(now["version"] == 2, "{now}");
    let copy = data.join("cameras.json.version-1");
    ensure!(std::fs::read_to_string(&copy)? == before, "the copy is another text");
    check_private(&copy)
}

#[test]
fn a_data_folder_with_cameras_of_29_november_2026_goes_on_working() {
    let name = "a_data_folder_with_cameras_of_29_november_2026_goes_on_working";
    let needs = [Need::Lab, Need::Program, Need::Viewer, Need::GstreamerRtsp];
    scene(name, &needs, |scene| {
        let data = copy_of(scene, "2026-11-29-cameras")?;
        let before = std::fs::read_to_string(data.join("cameras.json"))?;
        let lab = Lab::new("folder")?;
        let (place, devices) = (Place::On(lab.server()), lab.side(NatKind::Open)?.host);
        let _devices = start_cameras(scene, &devices)?;
        let config = data.join("porthole.toml");
        let config = config.to_str().context("a path of text")?.to_owned();
        let mut server = Server::start_in(scene, place, data.clone(), &["--config", &config])?;
        wait_until_live(&mut server, "Yard")?;
        check_private(&data.join("signaling.sqlite3.v3"))?;
        let sign_in = json!({"name": "ann", "password": "a long password"});
        let response = server.post("/api/v1/session", None, &sign_in)?;
        ensure!(response.status == 200, "{response:?}");
        for stream in ["front-door", "front-door.sub", "yard"] {
            let (name, url) = (format!("viewer-{stream}"), server.url(""));
            let mut viewer = Viewer::start_as(scene, &name, place, &url, ADMIN, stream)?;
            viewer.wait_for_frames(10, DEADLINE).context(name)?;
        }

        let mut manager = Manager::connect(place, &server, ADMIN, HOUSE)?;
        let revision = check_kept(&mut manager, &devices)?;
        ensure!(
            std::fs::read_to_string(data.join("cameras.json"))? == before,
            "a start changed it"
        );
        let rename = json!({"camera": "yard", "revision": revision, "name": "Back yard"});
        let changed = manager.ask("portholeChangeCamera", rename)?;
        ensure!(changed["revision"] == revision + 1, "{changed}");
        check_upgraded(&data, &before)?;
        server.kill()?;
        server.run()?;
        wait_until_live(&mut server, "Back yard")?;
        check_upgraded(&data, &before)
    });
}

/// The tokens of the folder with a token that turns cameras, and what each may do with `door`.
const PERMISSIONS: [(&str, &[&str]); 4] = [
    ("ph_BVs5PX_S-2SizxJqlAu3VLKAo4Jb6do6KJaFkKDONOM", &["watch", "listen"]),
    ("ph_XfuVUvSAnKVnTADcISjhomWv_ucM2U4dzrP0boTNWOU", &["watch", "listen"]),
    ("ph_l_u7QYyE_KoBA9_UujVnR-nh4EqvxRZjzFUunKJN3B4", &["watch", "listen", "control"]),
    (
        "ph_H-HX4R8bXHD4sI8L9JqwlQ6TUYmBTfqISeYZLu5tVqQ",
        &["watch", "listen", "talk", "control", "manage"],
    ),
];

/// Checks what a token may do with `door`.
fn check_permissions(server: &Server<'_>, token: &str, expected: &[&str]) -> Result<()> {
    let cameras = server.get("/api/v1/cameras", Some(token))?.json()?;
    let list = cameras["cameras"].as_array().context("a list")?;
    let door = list.iter().find(|one| one["id"] == "door").context("no door")?;
    ensure!(door["permissions"] == json!(expected), "{token}: {door}");
    Ok(())
}

#[test]
fn a_data_folder_in_which_every_token_hears_goes_on_working() {
    let name = "a_data_folder_in_which_every_token_hears_goes_on_working";
    let needs = [Need::Program, Need::Viewer];
    scene(name, &needs, |scene| {
        let data = copy_of(scene, "2026-11-29-control")?;
        let config = data.join("porthole.toml");
        let config = config.to_str().context("a path of text")?.to_owned();
        let mut server =
            Server::start_in(scene, Place::Here, data.clone(), &["--config", &config])?;
        server.wait_for_camera(PERMISSIONS[0].0, "door", DEADLINE)?;
        check_private(&data.join("signaling.sqlite3.v4"))?;
        for (token, expected) in PERMISSIONS {
            check_permissions(&server, token, expected)?;
        }
        let sees = server.token("viewer", &["--camera", "door", "--no-listen"])?;
        let moves = server.token("viewer", &["--camera", "door", "--no-listen", "--control"])?;
        check_permissions(&server, &sees, &["watch"])?;
        check_permissions(&server, &moves, &["watch", "control"])?;
        for (name, token) in [("hears", PERMISSIONS[1].0), ("sees", &sees)] {
            let url = server.url("");
            let mut viewer = Viewer::start_as(scene, name, Place::Here, &url, token, "door")?;
            viewer.wait_for_frames(10, DEADLINE).context(name)?;
        }
        let sign_in = json!({"name": "ann", "password": "a long password"});
        let response = server.post("/api/v1/session", None, &sign_in)?;
        ensure!(response.status == 200, "{response:?}");
        Ok(())
    });
}

/// The tokens of the folder from before tokens could be revoked: name, and what each may do with
/// `door`.
const REVOCABLE: [(&str, &str, &[&str]); 5] = [
    ("all", "ph_6IT88twTEk0beexjb2BE9v48_IydbSIfuZQ-NxeR3Jw", &["watch", "listen"]),
    ("door", "ph_D_gp7YhB9Jvd7cN4wpOQM-86UmPYQX3xKvCGa9tdahg", &["watch", "listen"]),
    ("deaf", "ph_EDVmpAgNe4EFe2_2eOKJMdTBytWn0uf7Db0D6pv5ds8", &["watch"]),
    (
        "root",
        "ph_DfLjq3bD5LdnHuR0pa_ndVOeaHvSyOXD__QHLr6cWNY",
        &["watch", "listen", "talk", "control", "manage"],
    ),
    // It administered everything, and does not any more.
    (
        "doorman",
        "ph_ewmRHb2wlQ-qDEm9qHJCUNZ0-wjmX9LrEKzR82QaFAQ",
        &["watch", "listen", "talk", "control"],
    ),
];

/// Checks that a viewer gets no more pictures, of which the camera has ten a second, within two
/// seconds.
fn check_stopped(viewer: &Viewer) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(2);
    loop {
        let before = viewer.frames()?;
        std::thread::sleep(Duration::from_millis(400));
        if viewer.frames()? == before {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "the pictures go on");
    }
}

#[test]
fn a_data_folder_from_before_tokens_could_be_revoked_goes_on_working() {
    let name = "a_data_folder_from_before_tokens_could_be_revoked_goes_on_working";
    let needs = [Need::Program, Need::Viewer];
    scene(name, &needs, |scene| {
        let data = copy_of(scene, "2026-11-29-listen")?;
        let config = data.join("porthole.toml");
        let config = config.to_str().context("a path of text")?.to_owned();
        let mut server =
            Server::start_in(scene, Place::Here, data.clone(), &["--config", &config])?;
        let (_, all, _) = REVOCABLE[0];
        server.wait_for_camera(all, "door", DEADLINE)?;
        check_private(&data.join("signaling.sqlite3.v5"))?;
        for (_, token, expected) in REVOCABLE {
            check_permissions(&server, token, expected)?;
        }
        let (_, doorman, _) = REVOCABLE[4];
        ensure!(server.get("/api/v1/gateways", Some(doorman))?.status == 403);
        let mut viewer =
            Viewer::start_as(scene, "viewer", Place::Here, &server.url(""), all, "door")?;
        viewer.wait_for_frames(10, DEADLINE)?;

        let list = server.command(&["token", "list"])?;
        for (name, _, _) in REVOCABLE {
            ensure!(list.contains(name), "{name} is not in {list}");
        }
        let is_all = |line: &&str| line.split_whitespace().nth(1) == Some("all");
        let line = list.lines().find(is_all).context("no such token")?;
        let number = line.split_whitespace().next().context("a number")?.to_owned();
        let removed = server.command(&["token", "revoke", &number])?;
        ensure!(removed == "removed: 1 × token", "{removed}");
        ensure!(server.get("/api/v1/cameras", Some(all))?.status == 401);
        check_stopped(&viewer)
    });
}

/// The number of programs that open a data folder at once.
const AT_ONCE: usize = 6;

#[test]
fn programs_that_open_a_new_or_an_old_data_folder_at_once_all_succeed() {
    let name = "programs_that_open_a_new_or_an_old_data_folder_at_once_all_succeed";
    scene(name, &[Need::Program], |scene| {
        for data in [scene.data("new")?, copy_of(scene, "2026-11-29-listen")?] {
            let start = |_| {
                let mut command = Place::Here.command(binary()?);
                command.args(["user", "list", "--data"]).arg(&data);
                Ok(command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?)
            };
            let started = (0..AT_ONCE).map(start).collect::<Result<Vec<_>>>()?;
            for program in started {
                let ended = program.wait_with_output()?;
                let errors = String::from_utf8_lossy(&ended.stderr);
                ensure!(ended.status.success(), "{}: {errors}", data.display());
            }
        }
        Ok(())
    });
}

/// The browser that is signed in as `ann` in the folder from before servers had owners.
const COOKIE: &str = "porthole_session=gNzt6lLqzFHZER9VJ19l4ytXe1iQfYngYiXz7fV4tuU";
/// The tokens of that folder, and what each may do with `door`.
const OLD_TOKENS: [(&str, &[&str]); 3] = [
    ("ph_xX4egFTHoKLAs9P8B6vanheoFmC7H83JiDMmTvDZO6E", &["watch", "listen"]),
    ("ph_nIkZQv6UNdkR1PcoRXMdmNdW_wE4tgrO8h_7OBRtszQ", &["watch"]),
    (
        "ph__62waG7BDeGjpS2CEinuTd8m03gmBmwJy49kat-It5g",
        &["watch", "listen", "talk", "control", "manage"],
    ),
];

/// Returns the whole response to the request of a browser for its own user.
fn ask_who(server: &Server<'_>, cookie: &str) -> Result<String> {
    let url = server.url("");
    let address = url.trim_start_matches("http://").trim_end_matches('/');
    let mut stream = TcpStream::connect(address).with_context(|| address.to_owned())?;
    let head = format!(
        "GET /api/v1/session HTTP/1.1\r\nHost: {address}\r\nCookie: {cookie}\r\n\
         Connection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    let mut response = String::new();
    stream.read_to_string(&mut response)?;
    Ok(response)
}

#[test]
fn a_data_folder_from_before_servers_had_owners_goes_on_working() {
    let name = "a_data_folder_from_before_servers_had_owners_goes_on_working";
    let needs = [Need::Program, Need::Viewer];
    scene(name, &needs, |scene| {
        let data = copy_of(scene, "2026-11-29-people")?;
        let config = data.join("porthole.toml");
        let config = config.to_str().context("a path of text")?.to_owned();
        let mut server =
            Server::start_in(scene, Place::Here, data.clone(), &["--config", &config])?;
        let (viewer, _) = OLD_TOKENS[0];
        server.wait_for_camera(viewer, "door", DEADLINE)?;
        check_private(&data.join("signaling.sqlite3.v7"))?;
        for (token, expected) in OLD_TOKENS {
            check_permissions(&server, token, expected)?;
        }
        for (name, role) in [("ann", "owner"), ("abe", "admin"), ("cid", "viewer")] {
            let sign_in = json!({"name": name, "password": "a long password"});
            let response = server.post("/api/v1/session", None, &sign_in)?;
            ensure!(response.json()? == json!({"name": name, "role": role}), "{response:?}");
        }
        let ann = ask_who(&server, COOKIE)?;
        ensure!(ann.contains(r#"{"name":"ann","role":"owner"}"#), "{ann}");
        let mut watched =
            Viewer::start_as(scene, "viewer", Place::Here, &server.url(""), viewer, "door")?;
        watched.wait_for_frames(10, DEADLINE)?;

        // The oldest admin is the only owner, and stays one until there is another.
        let last = server.command(&["user", "change", "ann", "--role", "viewer"]);
        ensure!(last.is_err(), "{last:?}");
        server.command(&["user", "change", "abe", "--role", "owner"])?;
        server.command(&["user", "change", "ann", "--role", "viewer", "--camera", "yard"])?;
        let ann = ask_who(&server, COOKIE)?;
        ensure!(ann.contains(r#"{"name":"ann","role":"viewer"}"#), "{ann}");
        let list = server.command(&["user", "list"])?;
        for row in [["abe", "owner", "all"], ["ann", "viewer", "yard@gw-znvdaaylrmbb35xo"]] {
            let is_shown = |line: &str| line.split_whitespace().take(3).eq(row);
            ensure!(list.lines().any(is_shown), "{row:?} is not in {list}");
        }
        server.kill()?;
        server.run()?;
        server.wait_for_camera(viewer, "yard", DEADLINE)?;
        check_permissions(&server, viewer, &["watch", "listen"])
    });
}

/// The browser that is signed in as `ann` in the folder of 30 November 2026.
const COOKIE_OF_ELEVEN: &str = "porthole_session=tm_jSydUFGUtM9EJrXU_q2x-yuQCziyCqOJOgDL6SQo";

/// Takes about 3 s.
#[test]
fn a_data_folder_from_before_there_were_passkeys_goes_on_working() {
    let name = "a_data_folder_from_before_there_were_passkeys_goes_on_working";
    scene(name, &[Need::Program], |scene| {
        let data = copy_of(scene, "2026-11-30-second-factors")?;
        let server = Server::start_in(scene, Place::Here, data.clone(), &[])?;
        check_private(&data.join("signaling.sqlite3.v11"))?;
        let ann = ask_who(&server, COOKIE_OF_ELEVEN)?;
        ensure!(ann.contains(r#"{"name":"ann","role":"owner"}"#), "{ann}");
        let recovery = "9TAF-73F5-KBSK-KDKX";
        for (name, code, expected) in
            [("ann", "", 401), ("ann", recovery, 200), ("ann", recovery, 401), ("cid", "", 200)]
        {
            let sign_in = json!({"name": name, "password": "a long password", "code": code});
            let response = server.post("/api/v1/session", None, &sign_in)?;
            ensure!(response.status == expected, "{name} {code}: {response:?}");
        }
        Ok(())
    });
}

/// The browser that is signed in as `ann` in the folder of 30 November 2026 with passkeys.
const COOKIE_OF_THIRTEEN: &str = "porthole_session=IuWlVIA5s_fQ0vzhPoowGFIu_Agc-mLKpON9vJPu040";

/// Takes about 3 s.
#[test]
fn a_data_folder_from_before_accounts_elsewhere_signed_in_goes_on_working() {
    let name = "a_data_folder_from_before_accounts_elsewhere_signed_in_goes_on_working";
    scene(name, &[Need::Program], |scene| {
        let data = copy_of(scene, "2026-11-30-passkeys")?;
        let server = Server::start_in(scene, Place::Here, data.clone(), &[])?;
        check_private(&data.join("signaling.sqlite3.v13"))?;
        let ann = ask_who(&server, COOKIE_OF_THIRTEEN)?;
        ensure!(ann.contains(r#"{"name":"ann","role":"owner"}"#), "{ann}");
        for (name, password, expected) in
            [("ann", "a long password", 200), ("cid", "a long password", 200), ("cid", "", 401)]
        {
            let sign_in = json!({"name": name, "password": password});
            let response = server.post("/api/v1/session", None, &sign_in)?;
            ensure!(response.status == expected, "{name}: {response:?}");
        }
        Ok(())
    });
}
