//! Runs the programs in `examples/` against each other. The pages in it are tested by
//! `tests/browser`.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const USER: &str = "alice";
const PASSWORD: &str = "correct horse";

/// The program of an example. `cargo test --package porthole` builds it beside the tests, but not
/// when it is told which targets to test.
fn example(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_BIN_EXE_porthole")).with_file_name("examples");
    let path = folder.join(name);
    assert!(path.is_file(), "run `cargo build --examples`: there is no {}", path.display());
    path
}

/// A running `turn_server`.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn start() -> Self {
        let mut child = Command::new(example("turn_server"))
            .args(["127.0.0.1:0", USER, PASSWORD])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, address: line.trim().parse().unwrap() }
    }

    /// Returns what `turn_client` printed, or its error.
    fn allocate(&self, password: &str) -> Result<String, String> {
        let output = Command::new(example("turn_client"))
            .args([&self.address.to_string(), USER, password])
            .output()
            .unwrap();
        if output.status.success() {
            Ok(String::from_utf8(output.stdout).unwrap())
        } else {
            Err(String::from_utf8(output.stderr).unwrap())
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_turn_client_gets_a_relayed_address_from_the_embedded_server() {
    let mut server = Server::start();
    let relayed: SocketAddr = server.allocate(PASSWORD).unwrap().trim().parse().unwrap();
    assert_eq!(relayed.ip(), server.address.ip());
    // RFC 6335 §6: relayed addresses have dynamic ports.
    assert!((49_152..=65_535).contains(&relayed.port()), "{relayed}");

    // The end of its standard input stops the server.
    drop(server.child.stdin.take());
    assert!(server.child.wait().unwrap().success());
}

#[test]
fn the_turn_client_says_that_its_password_is_wrong() {
    let server = Server::start();
    let error = server.allocate("wrong").unwrap_err();
    assert!(error.contains("Unauthenticated"), "{error}");
}
