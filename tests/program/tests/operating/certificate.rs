//! The certificate's files change while the server runs, and nobody tells it.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use porthole_test_support::ports::free_port;
use porthole_test_support::program::Place;
use porthole_test_support::scene::{Need, Scene, scene};
use porthole_turn_proto::{ClientConfig, ClientEvent, StreamDecoder, Transport, TurnClient};

use crate::turn::Turn;

const DEADLINE: Duration = Duration::from_secs(20);
/// The files are looked at every ten seconds.
const NOTICED: Duration = Duration::from_secs(15);
const ROUND: Duration = Duration::from_millis(5);
/// Answers that wait to be read: there is one for each question.
const WAITING: usize = 16;

/// Certificate and key for `attic.example`, as paths.
pub(crate) fn make_certificate(scene: &Scene, name: &str) -> Result<(String, String)> {
    let path = |what: &str| {
        let path = scene.folder().join(format!("{name}-{what}.pem"));
        path.to_str().map(str::to_owned).context("a path of text")
    };
    let (certificate, key) = (path("certificate")?, path("key")?);
    let mut openssl = Place::Here.command("openssl");
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]);
    openssl.args(["-nodes", "-days", "2", "-subj", "/CN=attic.example"]);
    openssl.args(["-addext", "subjectAltName=DNS:attic.example"]);
    let made = openssl.args(["-keyout", &key, "-out", &certificate]).output()?;
    ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    Ok((certificate, key))
}

/// What `openssl s_client` says of a new connection, the server's certificate in PEM among it.
pub(crate) fn shown(version: &str, server: SocketAddr) -> Result<String> {
    let mut client = Place::Here.command("openssl");
    client.args(["s_client", version, "-connect", &server.to_string()]);
    let shown = client.stdin(Stdio::null()).output()?;
    Ok(String::from_utf8_lossy(&shown.stdout).into_owned())
}

#[test]
fn a_new_certificate_is_used_by_itself_and_who_is_there_goes_on() {
    let needs = [Need::Program, Need::Tool("openssl")];
    scene("a_new_certificate_is_used_by_itself_and_who_is_there_goes_on", &needs, |scene| {
        let (certificate, key) = make_certificate(scene, "used")?;
        let (next, next_key) = make_certificate(scene, "next")?;
        let (old, new) = (std::fs::read_to_string(&certificate)?, std::fs::read_to_string(&next)?);
        let (tls, dtls) = (free_port()?, free_port()?);
        let lines = format!(
            "listen_tls = ['{tls}']\nlisten_dtls = ['{dtls}']\nallow_peers = ['127.0.0.0/8']\n\
             tls_certificate = '{certificate}'\ntls_key = '{key}'",
        );
        let mut turn = Turn::start(scene, &lines)?;
        let ways = [("-tls1_3", tls), ("-tls1_2", turn.turn), ("-dtls1_2", dtls)];
        let mut there = Vec::new();
        for (version, server) in ways {
            let shown = shown(version, server)?;
            ensure!(shown.contains(old.trim()), "{version} to {server}: {shown}");
            there.push((version, Secured::enter(version, server)?));
        }
        std::fs::copy(next, certificate)?;
        std::fs::copy(next_key, key)?;
        turn.program.wait_for("it says so", NOTICED, |program| {
            Ok(program.output()?.contains("uses a new certificate").then_some(()))
        })?;
        for (version, server) in ways {
            let shown = shown(version, server)?;
            ensure!(shown.contains(new.trim()), "{version} to {server}: {shown}");
        }
        for (version, client) in &mut there {
            client.bind(([127, 0, 0, 1], 9).into()).with_context(|| (*version).to_owned())?;
        }
        Ok(())
    });
}

/// A TURN client with an allocation, whose connection `openssl s_client` keeps.
struct Secured {
    client: TurnClient,
    openssl: Child,
    to_server: ChildStdin,
    from_server: Receiver<Vec<u8>>,
    decoder: StreamDecoder,
}

impl Secured {
    fn enter(version: &str, server: SocketAddr) -> Result<Self> {
        let mut openssl = Place::Here.command("openssl");
        openssl.args(["s_client", version, "-quiet", "-connect", &server.to_string()]);
        openssl.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut openssl = openssl.spawn()?;
        let to_server = openssl.stdin.take().context("a pipe")?;
        let mut stdout = openssl.stdout.take().context("a pipe")?;
        let (received, from_server) = sync_channel(WAITING);
        // Until the connection ends.
        std::thread::spawn(move || {
            let mut buffer = [0; 2048];
            while let Ok(len @ 1..) = stdout.read(&mut buffer) {
                if received.send(buffer[..len].to_vec()).is_err() {
                    return;
                }
            }
        });
        let is_datagram = version.starts_with("-dtls");
        let transport = if is_datagram { Transport::Dtls } else { Transport::Tls };
        let config = ClientConfig::new("anna".to_owned(), "secret".to_owned(), transport);
        let client = TurnClient::new(config, Instant::now());
        let decoder = StreamDecoder::new();
        let mut secured = Self { client, openssl, to_server, from_server, decoder };
        let deadline = Instant::now() + DEADLINE;
        while Instant::now() < deadline {
            match secured.client.poll_event() {
                Some(ClientEvent::Allocated { .. }) => return Ok(secured),
                Some(other) => bail!("{version}: {other:?}"),
                None => secured.round()?,
            }
        }
        bail!("{version}: no answer")
    }

    fn round(&mut self) -> Result<()> {
        self.client.handle_timeout(Instant::now());
        while let Some(bytes) = self.client.poll_transmit() {
            self.to_server.write_all(&bytes)?;
        }
        if let Ok(bytes) = self.from_server.recv_timeout(ROUND) {
            self.decoder.push(&bytes)?;
            while let Some(frame) = self.decoder.next_frame()? {
                self.client.handle_datagram(Instant::now(), frame);
            }
        }
        Ok(())
    }

    /// The server must answer for it.
    fn bind(&mut self, peer: SocketAddr) -> Result<()> {
        self.client.bind_channel(peer, Instant::now());
        let deadline = Instant::now() + DEADLINE;
        while self.client.channel(peer).is_none() {
            ensure!(Instant::now() < deadline, "no channel");
            self.round()?;
        }
        Ok(())
    }
}

impl Drop for Secured {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.openssl.kill();
        let _ = self.openssl.wait();
    }
}
