//! Home Assistant plays a camera with the integration of `deploy/home-assistant`, by the commands
//! that its own pages send, through a gateway that its add-on has started.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use porthole_test_support::porthole::{Server, binary};
use porthole_test_support::ports::free_port;
use porthole_test_support::program::{Place, Program};
use porthole_test_support::scene::{Need, Scene, report, scene};
use porthole_test_support::{home_assistant, http, wait};
use serde_json::{Value, json};

/// Start of Home Assistant on a loaded machine, the first time without compiled files of Python.
const START: Duration = Duration::from_secs(90);
/// Time until a change has come to the entities, which ask every 10 s.
const CHANGE: Duration = Duration::from_secs(40);
/// Pictures that are decoded, so that more than the first burst has arrived.
const PICTURES: &str = "20";
/// The entity of the camera `door`.
const ENTITY: &str = "camera.front_door";

/// Home Assistant, and the person who uses it.
struct House<'a> {
    scene: &'a Scene,
    folder: PathBuf,
    address: String,
    program: Program,
}

impl<'a> House<'a> {
    /// Starts it with the integration, and creates its owner.
    fn start(scene: &'a Scene, server: &Server<'_>) -> Result<Self> {
        let folder = scene.folder().join("house");
        let config = folder.join("config");
        fs::create_dir_all(&folder)?;
        unpack(scene, &folder)?;
        fs::copy(own("driver.py"), folder.join("driver.py"))?;
        let http = free_port()?;
        // Without a server of its own, Home Assistant names one on the Internet to viewers.
        let configuration = format!(
            "http:\n  server_host: {}\n  server_port: {}\nfrontend:\nweb_rtc:\n  ice_servers:\n    \
             - url: stun:{}\n",
            http.ip(),
            http.port(),
            server.turn()
        );
        fs::write(config.join("configuration.yaml"), configuration)?;
        let mut command = home_assistant::python(Place::Here, &folder)?;
        command.args(["-m", "homeassistant", "--config", "/scene/config", "--skip-pip"]);
        let program = Program::start(scene, "home-assistant", &mut command)?;
        let mut house = Self { scene, folder, address: format!("http://{http}"), program };
        let url = format!("{}/api/onboarding", house.address);
        house.program.wait_for("Home Assistant responds", START, |_| {
            Ok(http::get(Place::Here, &url, None).ok().filter(|response| response.status == 200))
        })?;
        house.ask("onboard", &[])?;
        Ok(house)
    }

    /// Lets its user do one thing, and returns what is found.
    fn ask(&self, command: &str, arguments: &[&str]) -> Result<Value> {
        let mut driver = home_assistant::python(Place::Here, &self.folder)?;
        driver.args(["-W", "ignore", "/scene/driver.py", &self.address, "/scene/token", command]);
        let output = driver.args(arguments).output()?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{command}: {errors}");
        serde_json::from_slice(&output.stdout).with_context(|| format!("{command}: {errors}"))
    }

    /// Waits for a state of the only camera, and returns the camera.
    fn wait_for(&mut self, wanted: &str) -> Result<Value> {
        let mut last = Value::Null;
        wait::until(&format!("the camera is {wanted}"), CHANGE, || {
            self.program.check()?;
            last = self.ask("cameras", &[])?;
            let is_so = last.as_array().is_some_and(|all| all.len() == 1)
                && last[0]["entity_id"] == ENTITY
                && last[0]["state"] == wanted;
            Ok(is_so.then(|| last[0].clone()))
        })
        .with_context(|| format!("the cameras were {last}"))
    }

    /// Plays the camera in one of the ways of the driver, and checks what has come.
    fn play(&self, way: &str) -> Result<()> {
        let found = self.ask(way, &[ENTITY, PICTURES])?;
        ensure!(found["pictures"] == 20 && found["size"] == "640x360", "{way}: {found}");
        ensure!(found["types"] == json!(["web_rtc"]), "{way}: {found}");
        ensure!(found["relayed"].as_u64() >= Some(1), "no credentials for TURN: {found}");
        ensure!(found["candidates"].as_u64() >= Some(1), "nothing was trickled: {found}");
        report(&format!("Home Assistant, {way}: {found}"));
        Ok(())
    }

    /// Starts the add-on with these options, as the Supervisor does.
    fn start_add_on(&self, name: &str, options: &Value) -> Result<Program> {
        let folder = self.folder.join("addons/porthole_gateway");
        fs::create_dir_all(folder.join("data"))?;
        fs::write(folder.join("data/options.json"), options.to_string())?;
        let mut command = home_assistant::command(Place::Here, &folder, "/scene/run.sh")?;
        // The router of the machine that runs the tests is left alone.
        command.env("PORTHOLE__GATEWAY__PORT_MAPPING", "off");
        Program::start(self.scene, name, &mut command)
    }
}

/// Returns a file or folder that is installed in Home Assistant.
fn deployed(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/home-assistant").join(name)
}

/// Returns a script of this test.
fn own(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/home_assistant").join(name)
}

/// Makes the package for Home Assistant, and unpacks it as its guide says.
fn unpack(scene: &Scene, folder: &Path) -> Result<()> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/package");
    let packages = scene.folder().join("packages");
    let mut make = Command::new(package);
    make.arg("home-assistant").arg(&packages);
    make.env("PORTHOLE_PROFILE", "quick").env("PORTHOLE_PROGRAM", binary()?);
    let output = make.output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let package = fs::read_dir(&packages)?.next().context("there is no package")??.path();
    let status = Command::new("tar").arg("-xf").arg(package).arg("-C").arg(folder).status()?;
    ensure!(status.success(), "tar: {status}");
    Ok(())
}

/// Waits until as many sessions have ended because Home Assistant has said so.
fn wait_for_ends(add_on: &mut Program, count: usize) -> Result<()> {
    let what = format!("{count} viewers have left");
    add_on.wait_for(&what, CHANGE, |program| {
        let left = program.output()?.matches("ended: the viewer left").count();
        Ok((left == count).then_some(()))
    })
}

/// Takes about 45 s, and two minutes more where Home Assistant is not installed yet.
#[test]
fn home_assistant_plays_a_camera_by_its_own_commands() {
    let name = "home_assistant_plays_a_camera_by_its_own_commands";
    let needs = [Need::Lab, Need::Program, Need::Tool("unshare"), Need::HomeAssistant];
    scene(name, &needs, |scene| {
        let mut server = Server::start(scene, Place::Here, &[])?;
        let watcher = server.token("viewer", &[])?;
        let token = server.token("viewer", &[])?;
        let mut house = House::start(scene, &server)?;
        // One option after the other: nothing, then all of them.
        let mut idle = house.start_add_on("add-on-without-options", &json!({}))?;
        ensure!(!idle.wait(START)?.success(), "it starts without a server");
        ensure!(idle.output()?.contains("Enter the address of the Porthole server"), "no advice");
        let cameras = json!([{ "id": "door", "source": "test:640x360", "name": "Front \"door\"" }]);
        let (url, claim) = (server.url(""), server.claim()?);
        let options = json!({ "server": url, "claim": claim, "cameras": cameras });
        let mut add_on = house.start_add_on("add-on", &options)?;
        server.wait_for_camera(&watcher, "door", START)?;

        configure(&house, &url, &token)?;
        let camera = house.wait_for("streaming")?;
        ensure!(camera["attributes"]["friendly_name"] == "Front \"door\"", "{camera}");
        ensure!(!camera.to_string().contains(&token), "the token is in a state: {camera}");
        let picture = house.ask("picture", &[ENTITY])?;
        ensure!(picture[0] == 200 && picture[1] == "image/svg+xml", "{picture}");
        for (way, ends) in [("play", 1), ("be_found", 2)] {
            house.play(way)?;
            wait_for_ends(&mut add_on, ends)?;
        }
        house.ask("leave", &[ENTITY])?;
        wait_for_ends(&mut add_on, 3)?;

        add_on.stop()?;
        house.wait_for("unavailable")?;
        let found = house.ask("play", &[ENTITY, PICTURES])?;
        ensure!(found["error"] == "The gateway of this camera is not connected", "{found}");
        // The key is in its data: the claim code, which was used, is not needed.
        let options = json!({ "server": url, "cameras": cameras });
        let _add_on = house.start_add_on("add-on-again", &options)?;
        house.wait_for("streaming")?;
        sign_in_again(&mut house, &server)?;
        house.play("play")
    });
}

/// Adds the server in the dialog of Home Assistant, after entries that are wrong.
fn configure(house: &House<'_>, url: &str, token: &str) -> Result<()> {
    for (url, token, field, error) in [
        (url, "wrong", "token", "invalid_auth"),
        (url, "not\u{20ac}ascii", "token", "invalid_auth"),
        ("ftp://127.0.0.1", token, "url", "invalid_url"),
        ("http://127.0.0.1:9", token, "base", "cannot_connect"),
        ("http://1.1.1.1", token, "url", "insecure_url"),
        (house.address.as_str(), token, "base", "cannot_connect"),
    ] {
        let form = house.ask("add", &[url, token])?;
        ensure!(form["type"] == "form" && form["errors"][field] == error, "{url}: {form}");
    }
    let entry = house.ask("add", &[&format!(" {url}/ "), token])?;
    ensure!(entry["type"] == "create_entry", "{entry}");
    ensure!(entry["result"]["state"] == "loaded", "{entry}");
    let again = house.ask("add", &[url, token])?;
    ensure!(again["reason"] == "already_configured", "{again}");
    let devices = house.ask("devices", &[])?;
    let named = |device: &&Value| device["identifiers"][0][0] == "porthole";
    let gateways = devices.as_array().into_iter().flatten().filter(named).count();
    ensure!(gateways == 1, "a gateway is one device: {devices}");
    Ok(())
}

/// Revokes the token, and enters another one where Home Assistant asks for it.
fn sign_in_again(house: &mut House<'_>, server: &Server<'_>) -> Result<()> {
    ensure!(house.ask("dialogs", &[])? == json!([]), "a dialog is open");
    server.command(&["token", "revoke", "2"])?;
    house.wait_for("unavailable")?;
    ensure!(house.ask("dialogs", &[])? == json!(["reauth"]), "it does not ask");
    let form = house.ask("sign_in_again", &["wrong"])?;
    ensure!(form["errors"]["token"] == "invalid_auth", "{form}");
    let done = house.ask("sign_in_again", &[&server.token("viewer", &[])?])?;
    ensure!(done["reason"] == "reauth_successful", "{done}");
    house.wait_for("streaming").map(drop)
}

#[test]
fn what_a_hostile_server_or_viewer_sends_is_bounded_and_refused_in_a_sentence() {
    let name = "what_a_hostile_server_or_viewer_sends_is_bounded_and_refused_in_a_sentence";
    let needs = [Need::Lab, Need::Tool("unshare"), Need::HomeAssistant];
    scene(name, &needs, |scene| {
        let folder = scene.folder();
        let from = deployed("custom_components");
        let status = Command::new("cp").arg("-r").arg(from).arg(folder).status()?;
        ensure!(status.success(), "cp: {status}");
        fs::copy(own("parts.py"), folder.join("parts.py"))?;
        let mut tables = home_assistant::python(Place::Here, folder)?;
        let output = tables.env("PYTHONPATH", "/scene").arg("/scene/parts.py").output()?;
        let text = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success() && text.contains("Ran 8 tests"), "{text}");
        Ok(())
    });
}

/// Reads a file that is installed as JSON.
fn read(name: &str) -> Result<Value> {
    Ok(serde_json::from_slice(&fs::read(deployed(name))?)?)
}

#[test]
fn what_is_installed_has_the_version_of_the_program_and_every_text() -> Result<()> {
    let component = "custom_components/porthole";
    let version = env!("CARGO_PKG_VERSION");
    let manifest = read(&format!("{component}/manifest.json"))?;
    ensure!(manifest["version"] == version && manifest["domain"] == "porthole", "{manifest}");
    let add_on = fs::read_to_string(deployed("porthole_gateway/config.yaml"))?;
    ensure!(add_on.contains(&format!("\nversion: \"{version}\"\n")), "another version: {add_on}");
    let texts = &read(&format!("{component}/translations/en.json"))?["config"];
    let mut code = String::new();
    for file in ["config_flow.py", "address.py"] {
        code += &fs::read_to_string(deployed(&format!("{component}/{file}")))?;
    }
    for (part, names) in [
        (
            "error",
            &["cannot_connect", "insecure_url", "invalid_auth", "invalid_url", "refused"][..],
        ),
        ("step", &["reauth_confirm", "reconfigure", "user"]),
        ("abort", &["already_configured", "reauth_successful", "reconfigure_successful"]),
    ] {
        let known = texts[part].as_object().context("no texts")?;
        ensure!(known.keys().eq(names.iter()), "{part}: {known:?}");
        let used = |name: &&&str| part == "abort" || code.contains(&format!("\"{name}\""));
        ensure!(names.iter().all(|name| used(&name)), "a text of {part} is not used");
    }
    Ok(())
}
