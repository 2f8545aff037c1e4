//! Certificates by themselves, from a real authority.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use porthole_test_support::porthole::Server;
use porthole_test_support::ports::free_port;
use porthole_test_support::program::Place;
use porthole_test_support::scene::{Need, Scene, scene};
use porthole_test_support::wait;

use super::authority::{Authority, Checked};
use super::client::{Registered, connect, request};
use super::set_ups::SetUps;
use crate::certificate::{Client, make_certificate_for};

const DEADLINE: Duration = Duration::from_secs(30);
/// Validity of the certificates that are renewed, after two thirds of it.
const SHORT_S: u32 = 24;
const LONG_S: u32 = 90 * 24 * 3600;

const NEEDS: [Need; 3] = [Need::Program, Need::Tool("openssl"), Need::Tool("pebble")];

/// Starts a server whose certificates an authority gives.
fn start<'a>(
    scene: &'a Scene,
    (directory, certificate): (&str, &str),
    port: SocketAddr,
    lines: &str,
) -> Result<Server<'a>> {
    let config = scene.folder().join("porthole.toml");
    let text = format!(
        "[public]\nlisten = ['{port}']\nacme_directory = '{directory}'\n\
         acme_ca = '{certificate}'\n{lines}\n\
         [turn]\nusers.anna = 'secret'\nallow_peers = ['127.0.0.0/8']\n",
    );
    std::fs::write(&config, text)?;
    let config = config.to_str().context("a path of text")?;
    Server::start(scene, Place::Here, &["--config", config])
}

fn check_health(port: SocketAddr, name: &str, root: &str) -> Result<()> {
    let mut stream = connect(port, name, root, &["http/1.1"])?;
    let (status, response) = request(&mut stream, "GET /healthz HTTP/1.1", "")?;
    ensure!(status == 200, "{response}");
    Ok(())
}

fn wait_for_line(server: &Server<'_>, line: &str) -> Result<()> {
    wait::until(line, DEADLINE, || Ok(server.output()?.contains(line).then_some(())))
}

/// Takes about 20 s, until the certificate has used two thirds of its life.
#[test]
fn a_certificate_for_an_address_comes_by_itself_and_is_renewed_without_ending_a_connection() {
    let name =
        "a_certificate_for_an_address_comes_by_itself_and_is_renewed_without_ending_a_connection";
    scene(name, &NEEDS, |scene| {
        let (port, http) = (free_port()?, free_port()?);
        let authority = Authority::start(scene, &Checked { tls: port, http, dns: None }, SHORT_S)?;
        // The public address, which the tests give, is the name.
        let mut server = start(scene, authority.api(), port, "")?;
        wait_for_line(&server, "the public port has a certificate for 127.0.0.1")?;
        let root = authority.root()?;
        check_health(port, "127.0.0.1", &root)?;
        for (path, mode) in
            [("acme", 0o700), ("acme/account.json", 0o600), ("acme/certificate.pem", 0o600)]
        {
            let found = std::fs::metadata(server.data().join(path))?.permissions().mode();
            ensure!(found & 0o777 == mode, "{path} has {found:o}");
        }

        let account = std::fs::read(server.data().join("acme/account.json"))?;
        let token = server.token("viewer", &[])?;
        let stream = connect(port, "127.0.0.1", &root, &["http/1.1"])?;
        let mut registered = Registered::connect(stream, &token)?;
        let mut turn = Client::allocate_with("-tls1_3", port, &["-alpn", "stun.turn"])?;
        let mut set_ups = SetUps::default();
        set_ups.until((port, "127.0.0.1"), &root, &token, || {
            Ok(server.output()?.contains("the public port uses a new certificate"))
        })?;
        set_ups.check("renewal by the authority")?;
        check_health(port, "127.0.0.1", &root)?;
        registered.check()?;
        turn.bind_channel(([127, 0, 0, 1], 9).into())?;

        // After a restart the stored one is used, and the account.
        let file = server.data().join("acme/certificate.pem");
        let before = std::fs::read(&file)?;
        drop((registered, turn));
        server.stop()?;
        server.run()?;
        check_health(port, "127.0.0.1", &root)?;
        ensure!(std::fs::read(&file)? == before, "it has ordered another one at once");
        let used = std::fs::read(server.data().join("acme/account.json"))?;
        ensure!(used == account, "it has made another account");
        Ok(())
    });
}

#[test]
fn where_the_public_port_cannot_be_reached_port_80_serves() {
    scene("where_the_public_port_cannot_be_reached_port_80_serves", &NEEDS, |scene| {
        let (port, http, closed) = (free_port()?, free_port()?, free_port()?);
        let authority = Authority::start(scene, &Checked { tls: closed, http, dns: None }, LONG_S)?;
        let lines = format!(
            "names = ['localhost']\nacme_http = ['{http}']\nacme_contact = 'anna@example.org'"
        );
        let server = start(scene, authority.api(), port, &lines)?;
        wait_for_line(&server, "the public port has a certificate for localhost")?;
        check_health(port, "localhost", &authority.root()?)?;
        let listens = std::net::TcpStream::connect(http).is_ok();
        ensure!(!listens, "nothing listens there after the order");
        Ok(())
    });
}

#[test]
fn each_failure_to_get_a_certificate_is_one_sentence_and_the_rest_goes_on() {
    let name = "each_failure_to_get_a_certificate_is_one_sentence_and_the_rest_goes_on";
    for (what, host, answers, sentence) in [
        ("a closed port", "localhost", false, "did not find this program at localhost, port 443"),
        ("another server", "localhost", true, "did not find this program at localhost, port 443"),
        ("no DNS", "a.example", false, "could not check a.example: see that it has the address"),
    ] {
        scene(&format!("{name}: {what}"), &NEEDS, |scene| {
            let (port, http, other) = (free_port()?, free_port()?, free_port()?);
            let dns = (host != "localhost").then(free_port).transpose()?;
            let authority = Authority::start(scene, &Checked { tls: other, http, dns }, LONG_S)?;
            let lines = format!("names = ['{host}']\nacme_http = []");
            // Another server that speaks TLS: one of ours with a certificate in files.
            let mut another = None;
            if answers {
                another = Some(super::Port::start_at(scene, "another", other)?);
            }
            let server = start(scene, authority.api(), port, &lines)?;
            wait_for_line(&server, sentence)?;
            let log = server.output()?;
            let line = log.lines().find(|line| line.contains(sentence)).unwrap_or_default();
            ensure!(line.contains("; next try in 20 min"), "{line}");
            let health = server.get("/healthz", None)?;
            ensure!(health.status == 200, "the plain listener goes on");
            drop(another);
            Ok(())
        });
    }
    scene(&format!("{name}: no authority"), &NEEDS, |scene| {
        let (port, nowhere) = (free_port()?, free_port()?);
        let (certificate, _) = make_certificate_for(scene, "authority", "localhost", &[])?;
        let directory = format!("https://localhost:{}/dir", nowhere.port());
        let server = start(scene, (&directory, &certificate), port, "")?;
        wait_for_line(&server, &format!("cannot reach the authority at {directory}"))?;
        wait_for_line(&server, "; next try in 1 min")
    });
}
