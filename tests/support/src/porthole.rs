//! The `porthole` program, driven by its flags.

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::http::Response;
use crate::ports::free_port;
use crate::program::{Place, Program};
use crate::scene::Scene;
use crate::{http, wait};

/// A debug build hashes, migrates and binds in less than a second; this is for a loaded machine.
const READY_DEADLINE: Duration = Duration::from_secs(30);
const HTTP_PORT: u16 = 8080;
const TURN_PORT: u16 = 3478;

/// Returns the path of the program: `PORTHOLE_BIN`, or the one next to the test executable.
pub fn binary() -> Result<PathBuf> {
    next_to_the_test("PORTHOLE_BIN", "porthole")
}

/// Returns the path of the program that is packaged, which is linked statically.
pub fn packaged() -> Result<PathBuf> {
    // target/<profile>/deps/<test>
    let exe = std::env::current_exe()?;
    let folder = exe.ancestors().nth(3).context("the test runs outside of a target folder")?;
    let path = folder.join("package/porthole");
    ensure!(path.is_file(), "the program is not packaged; run scripts/package program");
    Ok(path)
}

pub(crate) fn next_to_the_test(variable: &str, name: &str) -> Result<PathBuf> {
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

/// Puts another copy of the program into the scene, in place of the one that may run from there.
fn install(scene: &Scene) -> Result<PathBuf> {
    let installed = scene.folder().join("porthole");
    let copy = scene.folder().join("porthole.new");
    std::fs::copy(binary()?, &copy)?;
    std::fs::rename(copy, &installed)?;
    Ok(installed)
}

/// A `porthole up` process: signaling, dashboard and TURN.
#[derive(Debug)]
pub struct Server<'a> {
    scene: &'a Scene,
    place: Place<'a>,
    http: SocketAddr,
    turn: SocketAddr,
    data: PathBuf,
    flags: Vec<OsString>,
    log: Option<String>,
    /// The program's file, if it has been upgraded.
    installed: Option<PathBuf>,
    program: Option<Program>,
}

/// A `porthole gateway` process.
#[derive(Debug)]
pub struct Gateway {
    /// The running program.
    pub program: Program,
    name: String,
    arguments: Vec<OsString>,
}

impl<'a> Server<'a> {
    /// Starts `porthole up` with these additional flags, and waits until it responds.
    pub fn start(scene: &'a Scene, place: Place<'a>, flags: &[&str]) -> Result<Self> {
        Self::start_in(scene, place, scene.data("server")?, flags)
    }

    /// Starts it on this machine with this address for HTTP.
    pub fn start_at(scene: &'a Scene, http: SocketAddr, flags: &[&str]) -> Result<Self> {
        Self::start_on(scene, Place::Here, scene.data("server")?, flags, (http, free_port()?))
    }

    /// Starts it with this data folder.
    pub fn start_in(
        scene: &'a Scene,
        place: Place<'a>,
        data: PathBuf,
        flags: &[&str],
    ) -> Result<Self> {
        let addresses = match place {
            Place::Here => (free_port()?, free_port()?),
            Place::On(host) => {
                let address = IpAddr::V4(host.address());
                (SocketAddr::new(address, HTTP_PORT), SocketAddr::new(address, TURN_PORT))
            }
        };
        Self::start_on(scene, place, data, flags, addresses)
    }

    /// Starts it with these addresses for HTTP, and for STUN and TURN.
    fn start_on(
        scene: &'a Scene,
        place: Place<'a>,
        data: PathBuf,
        flags: &[&str],
        (http, turn): (SocketAddr, SocketAddr),
    ) -> Result<Self> {
        let flags = flags.iter().map(OsString::from).collect();
        let (log, installed, program) = (None, None, None);
        let mut server = Self { scene, place, http, turn, data, flags, log, installed, program };
        server.run()?;
        Ok(server)
    }

    /// Starts it again with this filter of its log.
    pub fn log(&mut self, filter: &str) -> Result<()> {
        self.stop()?;
        self.log = Some(filter.to_owned());
        self.run()
    }

    /// Starts the program again after it was stopped, with the same ports and data.
    pub fn run(&mut self) -> Result<()> {
        let mut command = match &self.installed {
            Some(file) => self.place.command(file),
            None => self.place.command(binary()?),
        };
        command
            .arg("up")
            .args(["--http", &self.http.to_string()])
            .args(["--turn", &self.turn.to_string()])
            .args(["--public-address", &self.turn.ip().to_string()])
            .arg("--data")
            .arg(&self.data)
            .args(&self.flags);
        if let Some(filter) = &self.log {
            command.env("PORTHOLE_LOG", filter);
        }
        let mut program = Program::start(self.scene, "server", &mut command)?;
        let url = self.url("/api/v1/session");
        program.wait_for("the server responds on its HTTP port", READY_DEADLINE, |_| {
            Ok(http::get(self.place, &url, None).ok())
        })?;
        self.program = Some(program);
        Ok(())
    }

    /// Returns the address where it listens for HTTP.
    pub fn http(&self) -> SocketAddr {
        self.http
    }

    /// Returns the address where it listens for STUN and TURN.
    pub fn turn(&self) -> SocketAddr {
        self.turn
    }

    /// Returns the data folder.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Returns the id of its process.
    pub fn pid(&self) -> Result<u32> {
        Ok(self.program.as_ref().context("the server is not running")?.pid())
    }

    /// Makes it read its configuration again with SIGHUP, and waits until it has.
    pub fn reload(&self) -> Result<()> {
        self.program.as_ref().context("the server is not running")?.reload()
    }

    /// Returns the URL of a path, which starts with `/` or is empty.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.http)
    }

    /// Kills the server.
    pub fn kill(&mut self) -> Result<()> {
        self.program.take().context("the server is not running")?.kill()
    }

    /// Stops the server as an operator would, and checks that its exit status is 0.
    pub fn stop(&mut self) -> Result<()> {
        self.program.take().context("the server is not running")?.stop()
    }

    /// Tells the server to stop, and does not wait for it.
    pub fn terminate(&self) -> Result<()> {
        self.program.as_ref().context("the server is not running")?.begin_to_stop()
    }

    /// Waits until the server has ended by itself.
    pub fn wait(&mut self, deadline: Duration) -> Result<ExitStatus> {
        self.program.take().context("the server is not running")?.wait(deadline)
    }

    /// Upgrades the server as a package does under a service manager: another file takes the place
    /// of the program's, then it is told to stop, and started once it has ended.
    pub fn upgrade(&mut self) -> Result<()> {
        self.installed = Some(install(self.scene)?);
        self.stop()?;
        self.run()
    }

    /// Returns everything that the server has printed.
    pub fn output(&self) -> Result<String> {
        self.program.as_ref().context("the server is not running")?.output()
    }

    /// Returns the setup link that the first start prints; it works once.
    pub fn setup_link(&self) -> Result<String> {
        let output = self.output()?;
        let mut words = output.split_whitespace();
        let link = words.find(|word| word.starts_with("http") && word.contains("#t="));
        Ok(link.context("no setup link was printed")?.to_owned())
    }

    /// Creates a claim code with `porthole claim create`.
    pub fn claim(&self) -> Result<String> {
        self.run_subcommand(&["claim", "create"])
    }

    /// Creates an API token with `porthole token create` and these additional flags.
    pub fn token(&self, role: &str, flags: &[&str]) -> Result<String> {
        self.run_subcommand(
            &[&["token", "create", "--role", role, "--name", "test"], flags].concat(),
        )
    }

    /// Sends a `GET` request to a path of the server.
    pub fn get(&self, path: &str, token: Option<&str>) -> Result<Response> {
        http::get(self.place, &self.url(path), token)
    }

    /// Sends a `POST` request to a path of the server.
    pub fn post(&self, path: &str, token: Option<&str>, body: &Value) -> Result<Response> {
        http::post(self.place, &self.url(path), token, body)
    }

    /// Waits until a camera can be watched: it is live, or idle and on demand.
    pub fn wait_for_camera(&mut self, token: &str, id: &str, deadline: Duration) -> Result<()> {
        let ready = |camera: &Value| camera["state"] == "idle" || camera["state"] == "live";
        let what = format!("camera {id} is ready");
        self.wait_for_camera_that(&what, token, id, deadline, ready).map(drop)
    }

    /// Waits until the closure accepts the entry of a camera in the list, and returns the entry.
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
            let response = http::get(self.place, &self.url("/api/v1/cameras"), Some(token))?;
            last.clone_from(&response.body);
            let cameras = response.json()?;
            let camera = cameras["cameras"]
                .as_array()
                .and_then(|cameras| cameras.iter().find(|camera| camera["id"] == id));
            Ok(camera.filter(|camera| accept(camera)).cloned())
        });
        result.with_context(|| format!("the cameras were {last}"))
    }

    /// Runs a subcommand next to the server, as a script would, and returns the one word it prints.
    fn run_subcommand(&self, arguments: &[&str]) -> Result<String> {
        let text = self.command(arguments)?;
        if text.is_empty() || text.contains(char::is_whitespace) {
            bail!("porthole {} printed {text:?}", arguments.join(" "));
        }
        Ok(text)
    }

    /// Runs a subcommand next to the server, as an operator would, and returns what it prints.
    pub fn command(&self, arguments: &[&str]) -> Result<String> {
        let output =
            self.place.command(binary()?).args(arguments).arg("--data").arg(&self.data).output()?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if !output.status.success() {
            let errors = String::from_utf8_lossy(&output.stderr);
            bail!("porthole {} printed {text:?}, {}: {errors}", arguments.join(" "), output.status);
        }
        Ok(text)
    }
}

impl Drop for Server<'_> {
    fn drop(&mut self) {
        // A stop would wait for `turn.drain_s` while a viewer still has an allocation. Tests of an
        // orderly stop call `stop`.
        if let Some(program) = self.program.take() {
            let _ = program.kill();
        }
    }
}

impl Gateway {
    /// Starts `porthole gateway` with these cameras (id, source) and a new claim code.
    pub fn start(
        scene: &Scene,
        name: &str,
        place: Place<'_>,
        server: &Server<'_>,
        cameras: &[(&str, &str)],
        flags: &[&str],
    ) -> Result<Self> {
        let claim = server.claim()?;
        let mut arguments: Vec<OsString> = ["gateway", "--server", &server.url("")]
            .into_iter()
            .chain(["--claim", &claim, "--data"])
            .map(OsString::from)
            .collect();
        arguments.push(scene.data(name)?.into());
        for (id, source) in cameras {
            arguments.extend(["--camera".into(), format!("{id}={source}").into()]);
        }
        arguments.extend(flags.iter().map(OsString::from));
        let mut command: Command = place.command(binary()?);
        let program = Program::start(scene, name, command.args(&arguments))?;
        Ok(Self { program, name: name.to_owned(), arguments })
    }

    /// Upgrades the gateway as [`Server::upgrade`] does a server.
    pub fn upgrade(self, scene: &Scene, place: Place<'_>) -> Result<Self> {
        let Self { program, name, arguments } = self;
        let mut command = place.command(install(scene)?);
        program.stop()?;
        let program = Program::start(scene, &name, command.args(&arguments))?;
        Ok(Self { program, name, arguments })
    }

    /// Makes it read its configuration again with SIGHUP, and waits until it has.
    pub fn reload(&self) -> Result<()> {
        self.program.reload()
    }
}
