//! Runs the programs in `examples/` against each other. The pages there are tested by
//! `tests/browser`.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use anyhow::{Context as _, Result, ensure};

const USER: &str = "alice";
const PASSWORD: &str = "correct horse";

/// The program of an example. `cargo test --package porthole` builds it beside the tests, but not
/// when it is told which targets to test.
fn example(name: &str) -> Result<PathBuf> {
    let folder = Path::new(env!("CARGO_BIN_EXE_porthole")).with_file_name("examples");
    let path = folder.join(name);
    ensure!(path.is_file(), "run `cargo build --examples`: there is no {}", path.display());
    Ok(path)
}

/// A running `turn_server`.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn start() -> Result<Self> {
        let mut child = Command::new(example("turn_server")?)
            .args(["127.0.0.1:0", USER, PASSWORD])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("no output")?).read_line(&mut line)?;
        Ok(Self { child, address: line.trim().parse()? })
    }

    /// Runs `turn_client` against this server.
    fn allocate(&self, password: &str) -> Result<Output> {
        let mut client = Command::new(example("turn_client")?);
        Ok(client.args([&self.address.to_string(), USER, password]).output()?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_turn_client_gets_a_relayed_address_from_the_embedded_server() -> Result<()> {
    let mut server = Server::start()?;
    let output = server.allocate(PASSWORD)?;
    ensure!(output.status.success(), "{output:?}");
    let relayed: SocketAddr = String::from_utf8(output.stdout)?.trim().parse()?;
    assert_eq!(relayed.ip(), server.address.ip());
    // RFC 6335 §6: relayed addresses have dynamic ports.
    assert!((49_152..=65_535).contains(&relayed.port()), "{relayed}");

    // The end of its standard input stops the server.
    drop(server.child.stdin.take());
    assert!(server.child.wait()?.success());
    Ok(())
}

#[test]
fn the_turn_client_says_that_its_password_is_wrong() -> Result<()> {
    let output = Server::start()?.allocate("wrong")?;
    let error = String::from_utf8(output.stderr)?;
    assert!(!output.status.success() && error.contains("Unauthenticated"), "{error}");
    Ok(())
}
