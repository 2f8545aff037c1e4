//! An authority on this machine: pebble, the test server of Let's Encrypt.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use porthole_test_support::ports::free_port;
use porthole_test_support::program::{Place, Program};
use porthole_test_support::scene::Scene;
use serde_json::json;

use super::client::{connect, request};
use crate::certificate::make_certificate_for;

const READY_DEADLINE: Duration = Duration::from_secs(20);

/// The ways in which the authority checks answers.
pub(super) struct Checked {
    pub(super) tls: SocketAddr,
    pub(super) http: SocketAddr,
    /// The DNS server that it asks, in place of this machine's.
    pub(super) dns: Option<SocketAddr>,
}

/// A running authority.
pub(super) struct Authority {
    _program: Program,
    /// The certificate of its API.
    api_certificate: String,
    directory: String,
    management: SocketAddr,
    folder: PathBuf,
}

impl Authority {
    /// Starts an authority whose certificates are valid for so long.
    pub(super) fn start(scene: &Scene, checked: &Checked, validity_s: u32) -> Result<Self> {
        let no_authority = ["basicConstraints=critical,CA:FALSE"];
        let (certificate, key) =
            make_certificate_for(scene, "authority", "localhost", &no_authority)?;
        let (api, management) = (free_port()?, free_port()?);
        let config = json!({ "pebble": {
            "listenAddress": api, "managementListenAddress": management,
            "certificate": certificate, "privateKey": key,
            "httpPort": checked.http.port(), "tlsPort": checked.tls.port(),
            "ocspResponderURL": "", "externalAccountBindingRequired": false,
            "certificateValidityPeriod": validity_s,
        }});
        let folder = scene.folder().to_owned();
        let file = folder.join("pebble-config.json");
        std::fs::write(&file, config.to_string())?;
        let mut command = Place::Here.command("pebble");
        command.arg("-config").arg(&file).arg("-strict");
        if let Some(dns) = checked.dns {
            command.args(["-dnsserver", &dns.to_string()]);
        }
        command.env("PEBBLE_VA_NOSLEEP", "1");
        let mut program = Program::start(scene, "pebble", &mut command)?;
        let api_certificate = certificate;
        program.wait_for("the authority answers", READY_DEADLINE, |_| {
            Ok(connect(management, "localhost", &api_certificate, &[]).ok())
        })?;
        let directory = format!("https://localhost:{}/dir", api.port());
        Ok(Self { _program: program, api_certificate, directory, management, folder })
    }

    /// Returns the address of its API and the certificate of that.
    pub(super) fn api(&self) -> (&str, &str) {
        (&self.directory, &self.api_certificate)
    }

    /// Returns the file with the root of its certificates, which it makes at each start.
    pub(super) fn root(&self) -> Result<String> {
        let mut stream = connect(self.management, "localhost", &self.api_certificate, &[])?;
        let (status, response) = request(&mut stream, "GET /roots/0 HTTP/1.1", "")?;
        let begin = response.find("-----BEGIN").context("no certificate")?;
        ensure!(status == 200, "{response}");
        let file = self.folder.join("root.pem");
        std::fs::write(&file, &response[begin..])?;
        Ok(file.to_str().context("a path of text")?.to_owned())
    }
}
