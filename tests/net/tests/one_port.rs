//! A network that lets nothing out but TCP to port 443, on both sides, and a server that has
//! nothing but an address.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use porthole_net_tests::authority::{Authority, DIRECTORY, key_digest};
use porthole_test_support::browser::{Browser, event};
use porthole_test_support::lab::{Host, Lab, SERVER_ADDRESS};
use porthole_test_support::nat::NatKind;
use porthole_test_support::porthole::{Server, binary};
use porthole_test_support::program::{Place, Program};
use porthole_test_support::scene::{Need, Scene, report, scene};
use porthole_test_support::wait;
use serde_json::json;

const NEEDS: [Need; 5] =
    [Need::Lab, Need::Program, Need::Browser, Need::Tool("openssl"), Need::Tool("pebble")];
const CERTIFICATE_DEADLINE: Duration = Duration::from_secs(30);
const CAMERA_DEADLINE: Duration = Duration::from_secs(40);
const PICTURE_DEADLINE: Duration = Duration::from_secs(40);
const DASHBOARD_DEADLINE: Duration = Duration::from_secs(90);
/// Two seconds of the test camera.
const FRAMES: u64 = 60;
/// Rules of a host's own firewall: nothing leaves it but TCP to port 443.
const ONLY_443: &str = "table inet only443 {
    chain out {
        type filter hook output priority 0; policy drop;
        oif lo accept
        tcp dport 443 accept
    }
}";

/// Returns the lines of the server's configuration that name the authority.
fn lines(authority: &Authority) -> String {
    format!(
        "[public]\nacme_directory = '{DIRECTORY}'\nacme_ca = '{}'\n\
         # Its own gateway connects to the plain listener, which is not on loopback here.\n\
         [signaling]\ngateway_urls = ['http://{SERVER_ADDRESS}:8080']\n",
        authority.certificate.display(),
    )
}

fn restrict(host: &Host) -> Result<()> {
    let output = host.command("nft").arg(ONLY_443).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Starts a gateway that knows nothing but the address of the server and whom to trust.
fn start_gateway(
    scene: &Scene,
    host: &Host,
    server: &Server<'_>,
    certificate: &Path,
) -> Result<Program> {
    let config = scene.folder().join("gateway.toml");
    let text = format!("[gateway]\nca_certificates = '{}'\n", certificate.display());
    std::fs::write(&config, text)?;
    let mut command = host.command(binary()?);
    command.args(["gateway", "--server", &format!("https://{SERVER_ADDRESS}")]);
    command.args(["--claim", &server.claim()?, "--camera", "cam=test:640x360@30"]);
    command.arg("--data").arg(scene.data("gateway")?).arg("--config").arg(&config);
    Program::start(scene, "gateway", &mut command)
}

#[test]
fn a_picture_comes_through_two_networks_that_let_only_443_out() {
    scene("a_picture_comes_through_two_networks_that_let_only_443_out", &NEEDS, |scene| {
        let lab = Lab::new("one-port")?;
        let (home, away) = (lab.side(NatKind::UdpBlocked)?, lab.side(NatKind::UdpBlocked)?);
        restrict(&home.host)?;
        restrict(&away.host)?;
        let authority = Authority::start(scene, lab.server())?;
        let config = scene.folder().join("server.toml");
        std::fs::write(&config, lines(&authority))?;
        let config = config.to_str().context("a path of text")?;
        // It has no domain: the certificate is for its address.
        let flags = ["--public", "--config", config];
        let mut server = Server::start(scene, Place::On(lab.server()), &flags)?;
        let certificate = server.data().join("acme/certificate.pem");
        wait::until("the certificate has come", CERTIFICATE_DEADLINE, || {
            Ok(certificate.exists().then_some(()))
        })?;
        let token = server.token("viewer", &[])?;
        let trusted = key_digest(&certificate)?;
        let _gateway = start_gateway(scene, &home.host, &server, &certificate)?;
        server.wait_for_camera(&token, "cam", CAMERA_DEADLINE)?;

        let arguments = json!({
            "url": format!("https://{SERVER_ADDRESS}/whep/cam"), "token": token, "seconds": 0,
            "trustedKey": trusted,
        });
        let place = Place::On(&away.host);
        let mut browser = Browser::script(scene, "browser", place, "whep.mjs", &arguments)?;
        browser.wait_for_picture(PICTURE_DEADLINE)?;
        let sample = browser.wait_for_frames(FRAMES, PICTURE_DEADLINE)?;
        let pair = sample.pair.context("no pair")?;
        report(&format!("a picture through 443/tcp alone: {pair:?}"));
        ensure!(pair.local.relay_protocol.as_deref() == Some("tls"), "{pair:?}");
        drop(browser);

        // The dashboard, with its cookie and its WebSocket, from the link that the start prints.
        let steps = json!([
            { "goto": server.setup_link()? },
            { "fill": "Username", "value": "ada" },
            { "fill": "Password", "value": "a porthole in the hull" },
            { "click": "Create account" },
            { "click": "cam", "role": "link" },
            { "watch": 2, "timeoutMs": PICTURE_DEADLINE.as_millis() },
            { "protocols": true },
        ]);
        let arguments = json!({ "steps": steps, "trustedKey": trusted });
        let mut dashboard =
            Browser::script(scene, "dashboard", place, "dashboard.mjs", &arguments)?;
        dashboard.finish(DASHBOARD_DEADLINE)?;
        let sample = dashboard.sample()?;
        ensure!(sample.frames_decoded >= FRAMES / 2, "too few frames: {sample:?}");
        // The WebSocket beside them, without which there is no picture, is HTTP/1.1.
        let files = dashboard.last(event("protocols"))?.context("no files")?;
        ensure!(files["protocols"] == json!(["h2"]), "{files}");
        Ok(())
    });
}
