//! An authority in the lab that gives certificates: pebble, the test server of Let's Encrypt.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use porthole_test_support::lab::Host;
use porthole_test_support::program::Program;
use porthole_test_support::scene::Scene;
use serde_json::json;

/// The URL of the directory, on the host of the authority.
pub const DIRECTORY: &str = "https://localhost:14000/dir";
/// Pebble starts within a second.
const READY_DEADLINE: Duration = Duration::from_secs(30);

/// A running authority. It checks answers at the usual ports, and its API is for its own host.
#[derive(Debug)]
pub struct Authority {
    /// The certificate of its API.
    pub certificate: PathBuf,
    _program: Program,
}

impl Authority {
    /// Starts an authority on a host.
    pub fn start(scene: &Scene, host: &Host) -> Result<Self> {
        let certificate = scene.folder().join("pebble.pem");
        let key = scene.folder().join("pebble.key");
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]);
        openssl.args(["-nodes", "-days", "2", "-subj", "/CN=localhost"]);
        openssl.args(["-addext", "subjectAltName=DNS:localhost"]);
        openssl.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
        let made = openssl.arg("-keyout").arg(&key).arg("-out").arg(&certificate).output()?;
        ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let config = json!({ "pebble": {
            "listenAddress": "127.0.0.1:14000", "managementListenAddress": "127.0.0.1:15000",
            "certificate": certificate, "privateKey": key, "httpPort": 80, "tlsPort": 443,
            "ocspResponderURL": "", "externalAccountBindingRequired": false,
        }});
        let file = scene.folder().join("pebble-config.json");
        std::fs::write(&file, config.to_string())?;
        let mut command = host.command("pebble");
        command.arg("-config").arg(&file).arg("-strict").env("PEBBLE_VA_NOSLEEP", "1");
        let mut program = Program::start(scene, "pebble", &mut command)?;
        program.wait_for("the authority listens", READY_DEADLINE, |program| {
            Ok(program.output()?.contains("ACME directory available").then_some(()))
        })?;
        Ok(Self { certificate, _program: program })
    }
}

/// Returns the SHA-256 digest of the public key in a certificate, in base64.
pub fn key_digest(certificate: &Path) -> Result<String> {
    let pipe = "openssl x509 -in \"$0\" -pubkey -noout | openssl pkey -pubin -outform der | \
        openssl dgst -sha256 -binary | openssl base64";
    let output = Command::new("sh").arg("-c").arg(pipe).arg(certificate).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
