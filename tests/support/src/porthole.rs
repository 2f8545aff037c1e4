//! The `porthole` program, driven by its flags alone.

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::http::{self, Answer};
use crate::ports::free_port;
use crate::program::{Place, Program};
use crate::scene::Scene;
use crate::wait;

/// Generous: a debug build on a loaded machine hashes, migrates and binds in well under a second.
const READY_DEADLINE: Duration = Duration::from_secs(30);
const HTTP_PORT: u16 = 8080;
const TURN_PORT: u16 = 3478;

/// The program under test: `PORTHOLE_BIN`, or the one beside the test executable.
pub fn binary() -> Result<PathBuf> {
    beside_the_test("PORTHOLE_BIN", "porthole")
}

pub(crate) fn beside_the_test(variable: &str, name: &str) -> Result<PathBuf> {
    let path = match std::env::var_os(variable) {
        Some(path) => PathBuf::from(path),
        None => {
            let exe = std::env::current_exe()?;
            // target/<profile>/deps/<test>
            let folder =
                exe.ancestors().nth(2).context("the test runs outside of a target folder")?;
            folder.join(name)
        }
    };
    ensure!(path.is_file(), "the program {name} is not built");
    Ok(path)
}

/// Signaling, dashboard and TURN in one process.
#[derive(Debug)]
pub struct Server<'a> {
    scene: &'a Scene,
    place: Place<'a>,
    http: SocketAddr,
    turn: SocketAddr,
    data: PathBuf,
    flags: Vec<OsString>,
    program: Option<Program>,
}

/// A gateway in a process of its own.
#[derive(Debug)]
pub struct Gateway {
    pub program: Program,
}

impl<'a> Server<'a> {
    /// `porthole up` with these flags besides, and waits until it answers.
    pub fn start(scene: &'a Scene, place: Place<'a>, flags: &[&str]) -> Result<Self> {
        Self::start_in(scene, place, scene.data("server")?, flags)
    }

    /// The same with this data folder.
    pub fn start_in(
        scene: &'a Scene,
        place: Place<'a>,
        data: PathBuf,
        flags: &[&str],
    ) -> Result<Self> {
        let (http, turn) = match place {
            Place::Here => (free_port()?, free_port()?),
            Place::On(host) => {
                let address = IpAddr::V4(host.address());
                (SocketAddr::new(address, HTTP_PORT), SocketAddr::new(address, TURN_PORT))
            }
        };
        let flags = flags.iter().map(OsString::from).collect();
        let mut server = Self { scene, place, http, turn, data, flags, program: None };
        server.run()?;
        Ok(server)
    }

    /// Starts it, again if it was stopped, with the same ports and data.
    pub fn run(&mut self) -> Result<()> {
        let mut command = self.place.command(binary()?);
        command
            .arg("up")
            .args(["--http", &self.http.to_string()])
            .args(["--turn", &self.turn.to_string()])
            .args(["--public-address", &self.turn.ip().to_string()])
            .arg("--data")
            .arg(&self.data)
            .args(&self.flags);
        let mut program = Program::start(self.scene, "server", &mut command)?;
        let url = self.url("/api/v1/session");
        program.wait_for("the server answers on its HTTP port", READY_DEADLINE, |_| {
            Ok(http::get(self.place, &url, None).ok())
        })?;
        self.program = Some(program);
        Ok(())
    }

    /// Where it listens for HTTP.
    pub fn http(&self) -> SocketAddr {
        self.http
    }

    /// Where it listens for STUN and TURN.
    pub fn turn(&self) -> SocketAddr {
        self.turn
    }

    pub fn data(&self) -> &Path {
        &self.data
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.http)
    }

    /// Ends it without a warning.
    pub fn kill(&mut self) -> Result<()> {
        self.program.take().context("the server is not running")?.kill()
    }

    /// Ends it as an operator would, and expects exit status 0.
    pub fn stop(&mut self) -> Result<()> {
        self.program.take().context("the server is not running")?.stop()
    }

    /// Everything it has printed.
    pub fn output(&self) -> Result<String> {
        self.program.as_ref().context("the server is not running")?.output()
    }

    /// `porthole claim create`: a claim code.
    pub fn claim(&self) -> Result<String> {
        self.ask(&["claim", "create"])
    }

    /// `porthole token create`: an API token. More flags may follow.
    pub fn token(&self, role: &str, flags: &[&str]) -> Result<String> {
        self.ask(&[&["token", "create", "--role", role, "--name", "test"], flags].concat())
    }

    pub fn get(&self, path: &str, token: Option<&str>) -> Result<Answer> {
        http::get(self.place, &self.url(path), token)
    }

    pub fn post(&self, path: &str, token: Option<&str>, body: &Value) -> Result<Answer> {
        http::post(self.place, &self.url(path), token, body)
    }

    /// Waits until a camera can be watched.
    pub fn wait_for_camera(&mut self, token: &str, id: &str, deadline: Duration) -> Result<()> {
        let ready = |camera: &Value| camera["state"] == "idle" || camera["state"] == "live";
        let what = format!("camera {id} is ready");
        self.wait_for_camera_that(&what, token, id, deadline, ready).map(drop)
    }

    /// Waits until a camera is listed as the closure wants it.
    pub fn wait_for_camera_that(
        &mut self,
        what: &str,
        token: &str,
        id: &str,
        deadline: Duration,
        accept: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let mut last = String::new();
        let result = wait::until(what, deadline, || {
            if let Some(program) = &mut self.program {
                program.check()?;
            }
            let answer = http::get(self.place, &self.url("/api/v1/cameras"), Some(token))?;
            last.clone_from(&answer.body);
            let cameras = answer.json()?;
            let camera = cameras["cameras"]
                .as_array()
                .and_then(|cameras| cameras.iter().find(|camera| camera["id"] == id));
            Ok(camera.filter(|camera| accept(camera)).cloned())
        });
        result.with_context(|| format!("the cameras were {last}"))
    }

    /// Runs a subcommand beside the server, as a script would; it prints one word.
    fn ask(&self, arguments: &[&str]) -> Result<String> {
        let output =
            self.place.command(binary()?).args(arguments).arg("--data").arg(&self.data).output()?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if !output.status.success() || text.is_empty() || text.contains(char::is_whitespace) {
            let errors = String::from_utf8_lossy(&output.stderr);
            bail!("porthole {} printed {text:?}, {}: {errors}", arguments.join(" "), output.status);
        }
        Ok(text)
    }
}

impl Gateway {
    /// `porthole gateway` with these cameras (id, source), enrolled with a fresh claim code.
    pub fn start(
        scene: &Scene,
        name: &str,
        place: Place<'_>,
        server: &Server<'_>,
        cameras: &[(&str, &str)],
        flags: &[&str],
    ) -> Result<Self> {
        let claim = server.claim()?;
        let mut command: Command = place.command(binary()?);
        command
            .arg("gateway")
            .args(["--server", &server.url("")])
            .args(["--claim", &claim])
            .arg("--data")
            .arg(scene.data(name)?);
        for (id, source) in cameras {
            command.args(["--camera", &format!("{id}={source}")]);
        }
        Ok(Self { program: Program::start(scene, name, command.args(flags))? })
    }
}
