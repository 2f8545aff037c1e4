//! One port for everything, over TLS.

mod acme;
mod authority;
mod balancer;
mod client;
mod http2;
mod own_ca;
mod set_ups;
mod udp;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use porthole_test_support::porthole::Server;
use porthole_test_support::ports::free_port;
use porthole_test_support::program::Place;
use porthole_test_support::scene::{Need, Scene, scene};
use porthole_test_support::wait;

use crate::certificate::{Client, make_certificate_for};
use client::{Registered, connect, request};

const DEADLINE: Duration = Duration::from_secs(30);
/// The server looks at the files of the certificate every ten seconds.
const NOTICED_DEADLINE: Duration = Duration::from_secs(20);
/// More than can be opened at a time (512; 64 from one address), so that the oldest must make room.
const CROWD: usize = 600;
/// An offer that no gateway can answer, but that reaches it.
const OFFER: &str = "v=0\r\na=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n";

/// A server with a public port, and the certificate that its clients trust.
struct Port<'a> {
    server: Server<'a>,
    address: SocketAddr,
    authority: String,
    certificate: String,
    key: String,
}

impl<'a> Port<'a> {
    fn start(scene: &'a Scene) -> Result<Self> {
        Self::start_at(scene, "used", free_port()?)
    }

    /// Starts one of several servers in a scene.
    fn start_at(scene: &'a Scene, name: &str, address: SocketAddr) -> Result<Self> {
        Self::start_with(scene, name, address, ("", ""))
    }

    /// Starts one with further lines of `[public]` and `[turn]`.
    fn start_with(
        scene: &'a Scene,
        name: &str,
        address: SocketAddr,
        (public, turn): (&str, &str),
    ) -> Result<Self> {
        // It is its own authority.
        let (certificate, key) = make(scene, name)?;
        let config = scene.folder().join(format!("{name}.toml"));
        let text = format!(
            "[public]\nlisten = ['{address}']\nnames = ['localhost']\n\
             certificate = '{certificate}'\nkey = '{key}'\n\
             {public}\n[turn]\n{turn}\nusers.anna = 'secret'\nallow_peers = ['127.0.0.0/8']\n",
        );
        std::fs::write(&config, text)?;
        let config = config.to_str().context("a path of text")?;
        let flags = ["--config", config, "--camera", "cam=test:320x180@15"];
        let server = Server::start_in(scene, Place::Here, scene.data(name)?, &flags)?;
        let authority = scene.folder().join(format!("{name}-authority.pem"));
        std::fs::copy(&certificate, &authority)?;
        let authority = authority.to_str().context("a path of text")?.to_owned();
        Ok(Self { server, address, authority, certificate, key })
    }

    fn connect(&self, protocols: &[&str]) -> Result<client::Stream> {
        connect(self.address, "localhost", &self.authority, protocols)
    }

    fn check_health(&self, protocols: &[&str]) -> Result<()> {
        let mut stream = self.connect(protocols)?;
        let (status, response) = request(&mut stream, "GET /healthz HTTP/1.1", "")?;
        ensure!(status == 200, "{protocols:?}: {response}");
        Ok(())
    }
}

fn make(scene: &Scene, name: &str) -> Result<(String, String)> {
    let no_authority = ["basicConstraints=critical,CA:FALSE"];
    make_certificate_for(scene, name, "localhost", &no_authority)
}

#[test]
fn one_port_serves_the_dashboard_websockets_players_and_turn() {
    let name = "one_port_serves_the_dashboard_websockets_players_and_turn";
    scene(name, &[Need::Program, Need::Tool("openssl")], |scene| {
        let mut port = Port::start(scene)?;
        let token = port.server.token("viewer", &[])?;
        port.server.wait_for_camera(&token, "cam", DEADLINE)?;
        let link = port.server.setup_link()?;
        ensure!(link.starts_with(&format!("https://localhost:{}/", port.address.port())), "{link}");

        for protocols in [&["http/1.1"][..], &["http/1.1", "smtp"], &[]] {
            port.check_health(protocols)?;
        }
        let (status, page) = request(&mut port.connect(&["http/1.1"])?, "GET / HTTP/1.1", "")?;
        ensure!(status == 200 && page.contains("<html"), "{page}");

        Registered::connect(port.connect(&["http/1.1"])?, &token)?;

        let head = format!(
            "POST /whep/cam HTTP/1.1\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/sdp"
        );
        let (status, refusal) = request(&mut port.connect(&["http/1.1"])?, &head, OFFER)?;
        ensure!(status == 400 || status == 422, "the gateway refuses this offer: {refusal}");
        let head = head.replacen("POST", "OPTIONS", 1);
        let (_, options) = request(&mut port.connect(&["http/1.1"])?, &head, "")?;
        let turn = format!("turns:localhost:{}?transport=tcp", port.address.port());
        ensure!(options.contains(&turn), "{options}");

        for arguments in [&["-alpn", "stun.turn"][..], &["-alpn", "h2,stun.turn"], &[]] {
            let mut client = Client::allocate_with("-tls1_3", port.address, arguments)?;
            client
                .bind_channel(([127, 0, 0, 1], 9).into())
                .with_context(|| format!("{arguments:?}"))?;
        }
        let mut client = Client::allocate_with("-tls1_2", port.address, &[])?;
        client.bind_channel(([127, 0, 0, 1], 9).into())
    });
}

#[test]
fn turnutils_uclient_relays_at_the_public_port() {
    let needs = [Need::Program, Need::Tool("openssl"), Need::Tool("turnutils_uclient")];
    scene("turnutils_uclient_relays_at_the_public_port", &needs, |scene| {
        let port = Port::start(scene)?;
        let mut client = Place::Here.command("turnutils_uclient");
        // Two clients over TLS, without ALPN, which send to each other.
        client.args(["-t", "-S", "-c", "-y", "-m", "2", "-n", "20", "-u", "anna", "-w", "secret"]);
        client.args(["-p", &port.address.port().to_string(), "127.0.0.1"]);
        let output = client.output()?;
        let output = String::from_utf8_lossy(&output.stdout).into_owned();
        let totals = output.lines().rev().find(|line| line.contains("tot_send_msgs"));
        let totals = totals.with_context(|| output.clone())?;
        ensure!(totals.contains("tot_send_msgs=40, tot_recv_msgs=40"), "{totals}");
        Ok(())
    });
}

/// Takes about 10 s: the server looks at the files of the certificate every ten seconds.
#[test]
fn a_new_certificate_at_the_public_port_ends_no_connection() {
    let name = "a_new_certificate_at_the_public_port_ends_no_connection";
    scene(name, &[Need::Program, Need::Tool("openssl")], |scene| {
        let mut port = Port::start(scene)?;
        let token = port.server.token("viewer", &[])?;
        let mut registered = Registered::connect(port.connect(&["http/1.1"])?, &token)?;
        let mut turn = Client::allocate_with("-tls1_3", port.address, &[])?;

        let (next, next_key) = make(scene, "next")?;
        std::fs::copy(&next, &port.certificate)?;
        std::fs::copy(&next_key, &port.key)?;
        wait::until("the new certificate is used", NOTICED_DEADLINE, || {
            let line = "the public port uses a new certificate";
            Ok(port.server.output()?.contains(line).then_some(()))
        })?;
        ensure!(port.connect(&[]).is_err(), "it still has the old one");
        port.authority = next;
        port.check_health(&["http/1.1"])?;
        registered.check()?;
        turn.bind_channel(([127, 0, 0, 1], 9).into())
    });
}

/// Takes about 20 s, after which slow openings are given up.
#[test]
fn hostile_openings_of_the_public_port_hurt_nobody_else() {
    let name = "hostile_openings_of_the_public_port_hurt_nobody_else";
    scene(name, &[Need::Program, Need::Tool("openssl")], |scene| {
        let port = Port::start(scene)?;
        let token = port.server.token("viewer", &[])?;
        let mut registered = Registered::connect(port.connect(&["http/1.1"])?, &token)?;

        // The beginning of a handshake that never goes on.
        let half = [22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3];
        let mut crowd = Vec::new();
        for _ in 0..CROWD {
            let mut stream = TcpStream::connect(port.address)?;
            stream.write_all(&half)?;
            crowd.push(stream);
        }
        port.check_health(&["http/1.1"])?;
        let oldest = crowd.first_mut().context("a crowd")?;
        oldest.set_read_timeout(Some(DEADLINE))?;
        ensure!(ends(oldest), "the oldest has made room");
        drop(crowd);
        let mut slow = TcpStream::connect(port.address)?;
        slow.write_all(&half)?;
        // It has finished the handshake, and says nothing.
        let silent = port.connect(&[])?;

        for (what, bytes) in [
            ("plain HTTP", &b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"[..]),
            ("plain STUN", &[0; 28]),
            ("a long record", &[22, 3, 1, 255, 255, 1, 2, 3]),
            ("an end", &[]),
        ] {
            let mut stream = TcpStream::connect(port.address)?;
            stream.set_read_timeout(Some(DEADLINE))?;
            stream.write_all(bytes)?;
            if bytes.is_empty() {
                stream.shutdown(std::net::Shutdown::Write)?;
            }
            ensure!(ends(&mut stream), "{what} is not served");
        }
        for unknown in ["h3", "acme-tls/1", "smtp"] {
            let Err(refused) = port.connect(&[unknown]) else {
                anyhow::bail!("{unknown} is accepted")
            };
            let refused = format!("{refused:#}");
            // There is no certificate for challenges, and no protocol for the others.
            let alert =
                if unknown == "acme-tls/1" { "AccessDenied" } else { "NoApplicationProtocol" };
            ensure!(refused.contains(alert), "{unknown}: {refused}");
        }
        // Nonsense inside of TLS: the first byte decides.
        for bytes in [&[0; 64][..], &[0xff; 64], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
            let mut stream = port.connect(&[])?;
            stream.write_all(bytes)?;
            let mut rest = Vec::new();
            // It may end with or without a farewell.
            let _ = stream.read_to_end(&mut rest);
            let text = String::from_utf8_lossy(&rest);
            ensure!(rest.is_empty() || text.starts_with("HTTP/1.1 4"), "{bytes:?}: {text}");
        }
        for (what, stream) in [("half a handshake", &mut slow), ("silence", &mut { silent.sock })] {
            stream.set_read_timeout(Some(DEADLINE))?;
            ensure!(ends(stream), "{what} is given up");
        }
        port.check_health(&[])?;
        registered.check()
    });
}

/// Takes about 20 s: a connection has 10 s without a request, and as long for its farewell.
#[test]
fn silence_over_http_2_is_given_up() {
    scene("silence_over_http_2_is_given_up", &[Need::Program, Need::Tool("openssl")], |scene| {
        let port = Port::start(scene)?;
        let silent = port.connect(&["h2"])?;
        // It has begun, and does nothing else.
        let mut idle = port.connect(&["h2"])?;
        idle.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")?;
        for (what, stream) in
            [("silence", &mut { silent.sock }), ("no request", &mut { idle.sock })]
        {
            stream.set_read_timeout(Some(DEADLINE))?;
            ensure!(ends(stream), "{what} is given up");
        }
        port.check_health(&[])
    });
}

/// Returns true once the server has closed the connection.
fn ends(stream: &mut TcpStream) -> bool {
    let mut sink = Vec::new();
    match stream.read_to_end(&mut sink) {
        Ok(_) => true,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}
