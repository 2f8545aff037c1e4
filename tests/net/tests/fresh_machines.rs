//! Two machines with nothing but Debian, and as many commands as it takes to watch a camera.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use porthole_net_tests::authority::{Authority, DIRECTORY, key_digest};
use porthole_test_support::browser::{Browser, event};
use porthole_test_support::cameras;
use porthole_test_support::debian::Machine;
use porthole_test_support::lab::{Host, Lab, Side};
use porthole_test_support::nat::NatKind;
use porthole_test_support::onvif::{Auth, Fake, PASSWORD, Running, Sockets, USER};
use porthole_test_support::program::{Place, Program};
use porthole_test_support::scene::{Need, Scene, report, scene};
use porthole_test_support::{porthole, wait};
use serde_json::{Value, json};

const NEEDS: [Need; 9] = [
    Need::Lab,
    Need::Package,
    Need::Debian,
    Need::Browser,
    Need::GstreamerRtsp,
    Need::Tool("dpkg-deb"),
    Need::Tool("nsenter"),
    Need::Tool("openssl"),
    Need::Tool("pebble"),
];
/// The most commands that a person types on a machine.
const MAX_COMMANDS: usize = 2;
const DEADLINE: Duration = Duration::from_secs(60);
const DASHBOARD_DEADLINE: Duration = Duration::from_secs(120);
/// A second of the camera.
const FRAMES: u64 = 30;
/// The name of the gateway's machine, by which people find it in the dashboard.
const HOUSE: &str = "house";
/// The folder of the user who types.
const HOME: &str = "/root";
/// The configuration of the services.
const CONFIG: &str = "/etc/porthole/porthole.toml";
/// The commands of the guide. A person puts the version, the address and the code in.
const GUIDE: &str = include_str!("../../../docs/guide/installing.md");
const INSTALL: &str = "apt install ./porthole_VERSION_amd64.deb";
const SERVE: &str = "porthole up --public --service";
const ENROL: &str = "porthole gateway --server https://cameras.example.org --claim CODE --service";

/// A machine, and what a person has typed there.
struct Typist<'a> {
    machine: Machine<'a>,
    typed: Vec<String>,
}

/// Takes about 20 s, once the program is packaged and the root file system made, which takes a
/// minute.
#[test]
fn two_fresh_machines_show_a_camera_through_443_alone_after_two_commands_each() {
    let name = "two_fresh_machines_show_a_camera_through_443_alone_after_two_commands_each";
    scene(name, &NEEDS, |scene| {
        let began = Instant::now();
        let lab = Lab::new("fresh")?;
        let (home, away) = (closed_side(&lab)?, closed_side(&lab)?);
        let package = package(scene)?;
        let mut server = Typist::new(scene, lab.server(), "server", &package)?;
        let mut gateway = Typist::new(scene, &home.host, HOUSE, &package)?;
        let address = lab.publish_server()?;
        let authority = Authority::start(scene, lab.server())?;
        let camera_host = lab.host_behind(&home)?;
        let _camera = start_camera(scene, &camera_host)?;

        let install = INSTALL.replace("porthole_VERSION_amd64.deb", file_name(&package)?);
        server.type_line(&install)?;
        let (_up, link) = server.serve(&authority)?;
        ensure!(link.starts_with(&format!("https://{address}/setup#t=")), "{link}");
        let certificate = server.machine.path("/var/lib/porthole/acme/certificate.pem");
        let owner = server.machine.owner("/var/lib/porthole/acme/certificate.pem")?;
        ensure!(owner == "porthole", "the server runs as {owner}");

        let arguments = json!({ "steps": steps(&link), "trustedKey": key_digest(&certificate)? });
        let place = Place::On(&away.host);
        let mut browser = Browser::script(scene, "browser", place, "dashboard.mjs", &arguments)?;
        let command = shown_command(&mut browser)?;
        let code = command.split(' ').skip_while(|word| *word != "--claim").nth(1);
        let server_url = format!("https://{address}");
        let documented = ENROL.replace("https://cameras.example.org", &server_url);
        ensure!(command == documented.replace("CODE", code.context("no code")?), "{command}");
        gateway.type_line(&install)?;
        let _gateway = gateway.enrol(&command, &certificate)?;
        browser.finish(DASHBOARD_DEADLINE)?;

        check_picture(&browser)?;
        check_filter(&lab, [&home, &away], address)?;
        server.serve_again()?;
        report(&format!("a picture after {} s; a person typed:", began.elapsed().as_secs()));
        server.check("on the server")?;
        gateway.check("beside the camera")
    });
}

/// Takes about 5 s.
#[test]
fn a_service_that_cannot_start_is_refused_before_anything_is_changed() {
    let name = "a_service_that_cannot_start_is_refused_before_anything_is_changed";
    let needs = [Need::Lab, Need::Package, Need::Debian, Need::Tool("nsenter")];
    scene(name, &needs, |scene| {
        let lab = Lab::new("refused")?;
        let package = package(scene)?;
        let side = lab.side(NatKind::Open)?;
        let typist = Typist::new(scene, &side.host, "odd", &package)?;
        let machine = &typist.machine;
        // The program alone has no services.
        machine.copy(&porthole::packaged()?, "/usr/local/bin/porthole")?;
        let error = machine.mistype_line(SERVE)?;
        ensure!(error.contains("this machine has no service porthole: install"), "{error}");
        machine.type_line("rm /usr/local/bin/porthole")?;
        machine.type_line(&format!("dpkg --install {}", file_name(&package)?))?;
        let before = machine.read(CONFIG)?;
        for (line, sentence) in [
            // Its only address is one for documentation.
            (SERVE, "no interface of this machine has a public address: give the name"),
            ("porthole gateway --service", "the gateway has no server: give its URL with --server"),
            (
                "setpriv --reuid 65534 --clear-groups porthole up --public --service",
                "run this command as root",
            ),
        ] {
            let error = machine.mistype_line(line)?;
            ensure!(error.contains(sentence), "{line}: {error}");
            ensure!(machine.read(CONFIG)? == before, "{line} changes the configuration");
            let is_enabled = ["porthole", "porthole-gateway"].map(|name| machine.is_enabled(name));
            ensure!(is_enabled == [false; 2], "{line} enables a service: {is_enabled:?}");
        }
        // Without systemd the settings are there for whatever starts programs.
        machine.type_line("mv /usr/bin/systemctl /usr/bin/absent")?;
        let error =
            machine.mistype_line("porthole gateway --server https://a.example --service")?;
        ensure!(error.contains("this machine has no systemd: the settings are in"), "{error}");
        let written = machine.read(CONFIG)?;
        for line in ["server = \"https://a.example/\"", "name = \"odd\""] {
            ensure!(written.lines().any(|found| found == line), "{line}: {written}");
        }
        Ok(())
    });
}

#[test]
fn what_is_typed_on_fresh_machines_stands_in_the_guide() {
    for line in [INSTALL, SERVE, ENROL] {
        let stands = GUIDE.lines().any(|found| found.split(" #").next().unwrap().trim() == line);
        assert!(stands, "{line}");
    }
}

impl<'a> Typist<'a> {
    /// Makes a machine with the package in the folder of its user.
    fn new(scene: &'a Scene, host: &Host, name: &str, package: &Path) -> Result<Self> {
        let machine = Machine::new(scene, host, name)?;
        machine.copy(package, &format!("{HOME}/{}", file_name(package)?))?;
        Ok(Self { machine, typed: Vec::new() })
    }

    fn type_line(&mut self, line: &str) -> Result<()> {
        self.typed.push(line.to_owned());
        self.machine.type_line(line).map(drop)
    }

    /// Types the command that makes the server a service, and starts that in place of systemd.
    /// Returns it and the setup link that the command prints once the certificate has come. The
    /// authority is the one thing that a real machine has not to be told: Let's Encrypt is known.
    fn serve(&mut self, authority: &Authority) -> Result<(Program, String)> {
        self.machine.copy(&authority.certificate, "/etc/authority.pem")?;
        self.typed.push(SERVE.to_owned());
        let mut command = self.machine.start_line(SERVE)?;
        wait_until_enabled(&self.machine, "porthole", &mut command)?;
        let environment = [
            ("PORTHOLE__PUBLIC__ACME_DIRECTORY", DIRECTORY),
            ("PORTHOLE__PUBLIC__ACME_CA", "/etc/authority.pem"),
        ];
        let up = self.machine.start("porthole", &environment)?;
        let status = command.wait(DEADLINE)?;
        let output = command.output()?;
        ensure!(status.success(), "{SERVE}: {output}");
        let link = output.split_whitespace().find(|word| word.contains("#t="));
        Ok((up, link.context("no setup link")?.to_owned()))
    }

    /// Types the command of the server once more, as somebody who is not sure does: nothing
    /// changes, and there is no setup link where there is an owner.
    fn serve_again(&self) -> Result<()> {
        let before = self.machine.read(CONFIG)?;
        let printed = self.machine.type_line(SERVE)?;
        ensure!(printed.contains("Open https://") && !printed.contains("#t="), "{printed}");
        ensure!(self.machine.read(CONFIG)? == before, "the configuration has changed");
        let mode = self.machine.path(CONFIG).metadata()?.permissions().mode() & 0o777;
        ensure!(mode == 0o600, "the configuration has the mode {mode:o}");
        Ok(())
    }

    /// Types the command of the dashboard, and starts the service in place of systemd. The
    /// certificate is trusted as one of Let's Encrypt is without being told.
    fn enrol(&mut self, command: &str, certificate: &Path) -> Result<Program> {
        let text = std::fs::read_to_string(certificate)?;
        let (certificates, _key) = text.split_once("-----BEGIN PRIVATE").context("no key")?;
        self.machine.write("/etc/authority.pem", certificates)?;
        self.type_line(command)?;
        let environment = [("PORTHOLE__GATEWAY__CA_CERTIFICATES", "/etc/authority.pem")];
        self.machine.start("porthole-gateway", &environment)
    }

    /// Prints what was typed, and fails if that is too much.
    fn check(&self, place: &str) -> Result<()> {
        report(&format!("  {place}, {} commands:", self.typed.len()));
        for line in &self.typed {
            report(&format!("    {line}"));
        }
        ensure!(self.typed.len() <= MAX_COMMANDS, "too many commands {place}");
        Ok(())
    }
}

/// Waits for the service that a running command enables.
fn wait_until_enabled(machine: &Machine<'_>, name: &str, command: &mut Program) -> Result<()> {
    command.wait_for("the service is enabled", DEADLINE, |_| {
        Ok(machine.is_enabled(name).then_some(()))
    })
}

/// Makes the Debian package of the program.
fn package(scene: &Scene) -> Result<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/package");
    let mut command = Command::new(script);
    command.arg("debian").arg(scene.folder()).env("PORTHOLE_PROFILE", "quick");
    let output = command.env("PORTHOLE_PROGRAM", porthole::packaged()?).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let files = std::fs::read_dir(scene.folder())?.collect::<Result<Vec<_>, _>>()?;
    let mut files = files.into_iter().map(|file| file.path());
    let is_package = |file: &PathBuf| file.extension().is_some_and(|end| end == "deb");
    files.find(is_package).context("there is no package")
}

fn file_name(package: &Path) -> Result<&str> {
    package.file_name().and_then(|name| name.to_str()).context("a name of text")
}

/// Adds a network that lets no UDP out, and of TCP nothing but TLS at port 443.
fn closed_side(lab: &Lab) -> Result<Side> {
    let side = lab.side(NatKind::UdpBlocked)?;
    lab.only_tls(&side)?;
    Ok(side)
}

/// Starts a camera in the network of the gateway: its streams, and what answers to searches.
fn start_camera(scene: &Scene, host: &Host) -> Result<(Program, Running)> {
    let flags = ["--port", "8554", "--fps", "30", "--kbit", "1000", "--keyframe-interval", "1"];
    let streams = cameras::start_on(scene, host, "streams", "rtsp_server.py", &flags)?;
    let address = IpAddr::V4(host.address());
    let sockets = host.inside(|| Sockets::open(address, 80, true))??;
    let stream = Some(format!("rtsp://{address}:8554/camera"));
    let fake = Fake { auth: Auth::Digest("MD5"), stream, ..Fake::default() };
    Ok((streams, fake.start(sockets)?))
}

/// Returns the steps in the dashboard: the first administrator, the gateway, its camera, a picture.
fn steps(link: &str) -> Vec<Value> {
    let patience = DEADLINE.as_millis();
    vec![
        json!({ "goto": link, "timeoutMs": patience }),
        json!({ "fill": "Username", "value": "ada" }),
        json!({ "fill": "Password", "value": "a porthole in the hull" }),
        json!({ "click": "Create account" }),
        json!({ "click": "Account: ada" }),
        json!({ "click": "Gateways", "role": "link" }),
        json!({ "click": "Add a gateway" }),
        json!({ "see": "porthole gateway --server" }),
        json!({ "text": true }),
        json!({ "see": HOUSE, "role": "heading", "timeoutMs": patience }),
        json!({ "click": "Add a camera", "role": "link" }),
        json!({ "click": HOUSE, "timeoutMs": patience }),
        json!({ "click": "Add Axis M1065", "timeoutMs": patience }),
        json!({ "fill": "User", "value": USER }),
        json!({ "fill": "Password", "value": PASSWORD }),
        json!({ "click": "Show the picture" }),
        json!({ "see": "Ready to add", "timeoutMs": patience }),
        json!({ "fill": "Name", "value": "Front door" }),
        json!({ "click": "Add camera" }),
        json!({ "see": "Front door is added" }),
        json!({ "click": "Go to cameras", "role": "link" }),
        json!({ "click": "Front door", "role": "link" }),
        json!({ "watch": 3, "timeoutMs": patience }),
    ]
}

/// Waits for the command that the dashboard shows, and returns it.
fn shown_command(browser: &mut Browser) -> Result<String> {
    browser.program.wait_for_event("the command is shown", DASHBOARD_DEADLINE, |value| {
        let text = event("text")(value)?;
        let mut lines = text["text"].as_str()?.lines().map(str::trim);
        lines.find(|line| line.starts_with("porthole gateway ")).map(str::to_owned)
    })
}

fn check_picture(browser: &Browser) -> Result<()> {
    let sample = browser.sample()?;
    ensure!(sample.frames_decoded >= FRAMES, "too few frames: {sample:?}");
    let pair = sample.pair.context("no pair")?;
    ensure!(pair.local.relay_protocol.as_deref() == Some("tls"), "{pair:?}");
    Ok(())
}

/// Checks that the lab drops what is not TLS at port 443, and has dropped nothing else there.
fn check_filter(lab: &Lab, sides: [&Side; 2], server: Ipv4Addr) -> Result<()> {
    for side in sides {
        let refused = lab.refused_packets(side)?;
        ensure!(refused == 0, "{}: {refused} packets were not of TLS", side.host.name());
        let mut stream = side.host.inside(|| TcpStream::connect((server, 443)))??;
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n")?;
        wait::until("the router refuses plain HTTP at port 443", DEADLINE, || {
            Ok((lab.refused_packets(side)? > 0).then_some(()))
        })?;
    }
    Ok(())
}
