//! A certificate by the server's own authority, for a local network.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use porthole_test_support::porthole::{Server, binary};
use porthole_test_support::ports::free_port;
use porthole_test_support::program::{Place, Program};
use porthole_test_support::scene::{Need, Scene, scene};

use super::DEADLINE;
use super::client::connect;
use crate::certificate::make_certificate_for;

const NEEDS: [Need; 3] = [Need::Program, Need::Tool("curl"), Need::Tool("openssl")];

/// Starts a server that makes its own authority, for these names.
fn start<'a>(scene: &'a Scene, port: SocketAddr, names: &str) -> Result<Server<'a>> {
    let config = scene.folder().join("porthole.toml");
    write_config(&config, port, names)?;
    let config = config.to_str().context("a path of text")?;
    Server::start(scene, Place::Here, &["--config", config, "--camera", "cam=test:320x180@15"])
}

fn write_config(path: &Path, port: SocketAddr, names: &str) -> Result<()> {
    let text = format!("[public]\nlisten = ['{port}']\nnames = [{names}]\nown_ca = true\n");
    Ok(std::fs::write(path, text)?)
}

/// Runs a tool, and returns what it prints.
fn run(tool: &str, arguments: &[&str]) -> Result<String> {
    let output = Place::Here.command(tool).args(arguments).output()?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{tool} {arguments:?}: {printed}{complaint}");
    Ok(printed)
}

/// Gets the certificate of the authority as somebody does who does not trust it yet. Returns the
/// path of it in PEM, and its fingerprint as openssl prints it.
fn download(scene: &Scene, port: SocketAddr) -> Result<(String, String)> {
    let path = |name: &str| {
        let path = scene.folder().join(name);
        path.to_str().map(str::to_owned).context("a path of text")
    };
    let (der, pem) = (path("ca.crt")?, path("ca.pem")?);
    let url = format!("https://127.0.0.1:{}/ca.crt", port.port());
    let format = "%{content_type}";
    let kind = run("curl", &["-sS", "--insecure", "-o", &der, "-w", format, &url])?;
    ensure!(kind == "application/x-x509-ca-cert", "{kind}");
    run("openssl", &["x509", "-inform", "der", "-in", &der, "-out", &pem])?;
    let printed = run("openssl", &["x509", "-in", &pem, "-noout", "-fingerprint", "-sha256"])?;
    let (_, fingerprint) = printed.trim().split_once('=').context(printed.clone())?;
    Ok((pem, fingerprint.to_owned()))
}

#[test]
fn who_trusts_the_own_authority_of_a_server_reaches_it_over_tls() {
    scene("who_trusts_the_own_authority_of_a_server_reaches_it_over_tls", &NEEDS, |scene| {
        let port = free_port()?;
        let mut server = start(scene, port, "'127.0.0.1', 'localhost'")?;
        let token = server.token("viewer", &[])?;
        server.wait_for_camera(&token, "cam", DEADLINE)?;
        let (authority, fingerprint) = download(scene, port)?;
        let log = server.output()?;
        ensure!(log.contains(&fingerprint), "the log has the fingerprint {fingerprint}: {log}");
        let page = server.get("/trust", None)?;
        let shown = page.body.replace("<br />", "");
        ensure!(page.status == 200 && shown.contains(&fingerprint), "{shown}");

        for name in ["127.0.0.1", "localhost"] {
            connect(port, name, &authority, &["http/1.1"])?;
            let url = format!("https://{name}:{}/healthz", port.port());
            ensure!(run("curl", &["-sS", "--cacert", &authority, &url])? == "ok\n", "{name}");
        }
        // The first certificate in the file is that of the server.
        let issued = server.data().join("own-ca/certificate.pem");
        let issued = issued.to_str().context("a path of text")?;
        run("openssl", &["verify", "-x509_strict", "-CAfile", &authority, issued])?;
        let (stranger, _) = make_certificate_for(scene, "stranger", "localhost", &[])?;
        ensure!(connect(port, "localhost", &stranger, &[]).is_err(), "another authority");

        // Another name needs another certificate, and no device another authority.
        server.stop()?;
        write_config(&scene.folder().join("porthole.toml"), port, "'127.0.0.1', 'cams.lan'")?;
        server.run()?;
        connect(port, "cams.lan", &authority, &["http/1.1"])?;
        ensure!(connect(port, "localhost", &authority, &[]).is_err(), "the name is gone");
        ensure!(download(scene, port)?.1 == fingerprint, "the authority is the same");
        ensure!(server.output()?.contains(&fingerprint), "each start tells it");
        Ok(())
    });
}

#[test]
fn a_gateway_trusts_the_own_authority_of_its_server_by_the_fingerprint() {
    let name = "a_gateway_trusts_the_own_authority_of_its_server_by_the_fingerprint";
    scene(name, &NEEDS, |scene| {
        let port = free_port()?;
        let mut server = start(scene, port, "'127.0.0.1'")?;
        let (_, right) = download(scene, port)?;
        let wrong = "0".repeat(64);
        let (claim, token) = (server.claim()?, server.token("viewer", &[])?);
        let data = scene.data("far")?;
        let url = format!("https://127.0.0.1:{}", port.port());
        for (what, flags, trusts) in [
            // The claim code works once: here it is not sent.
            ("wrong", &["--claim", &claim, "--ca-fingerprint", &wrong][..], false),
            ("right", &["--claim", &claim, "--ca-fingerprint", &right], true),
            ("later", &[], true),
        ] {
            let mut command = Place::Here.command(binary()?);
            command.args(["gateway", "--server", &url]).args(flags).arg("--data").arg(&data);
            command.args(["--camera", "far=test:320x180@15"]);
            let mut gateway = Program::start(scene, what, &mut command)?;
            if trusts {
                server.wait_for_camera(&token, "far", DEADLINE).context(what)?;
                gateway.stop()?;
            } else {
                let status = gateway.wait(DEADLINE)?;
                let output = gateway.output()?;
                let sentence = "so nothing was sent to it";
                ensure!(!status.success() && output.contains(sentence), "{what}: {output}");
            }
        }
        Ok(())
    });
}
