//! The certificate's files change while the server runs, without a reload.

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

use crate::turn_server::TurnServer;

const DEADLINE: Duration = Duration::from_secs(20);
/// The server checks the files every ten seconds.
const NOTICED_DEADLINE: Duration = Duration::from_secs(15);
/// Time to wait for data before the client looks at its timers again.
const POLL_INTERVAL: Duration = Duration::from_millis(5);
/// Reads that wait for the client, which sends one request at a time.
const QUEUE: usize = 16;

/// Creates a certificate for `attic.example` and returns the paths of it and its key.
pub(crate) fn make_certificate(scene: &Scene, name: &str) -> Result<(String, String)> {
    make_certificate_for(scene, name, "attic.example", &[])
}

/// Creates a certificate for this host, with further extensions, and returns the paths of it and
/// its key.
pub(crate) fn make_certificate_for(
    scene: &Scene,
    name: &str,
    host: &str,
    extensions: &[&str],
) -> Result<(String, String)> {
    let path = |what: &str| {
        let path = scene.folder().join(format!("{name}-{what}.pem"));
        path.to_str().map(str::to_owned).context("a path of text")
    };
    let (certificate, key) = (path("certificate")?, path("key")?);
    let mut openssl = Place::Here.command("openssl");
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]);
    openssl.args(["-nodes", "-days", "2", "-subj", &format!("/CN={host}")]);
    openssl.args(["-addext", &format!("subjectAltName=DNS:{host}")]);
    openssl.args(extensions.iter().flat_map(|extension| ["-addext", extension]));
    let made = openssl.args(["-keyout", &key, "-out", &certificate]).output()?;
    ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    Ok((certificate, key))
}

/// Connects with `openssl s_client` and returns its output, which contains the server's
/// certificate in PEM.
pub(crate) fn openssl_output(version: &str, server: SocketAddr) -> Result<String> {
    let mut client = Place::Here.command("openssl");
    client.args(["s_client", version, "-connect", &server.to_string()]);
    let output = client.stdin(Stdio::null()).output()?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Takes about 10 s: the server checks the files of the certificate every ten seconds.
#[test]
fn a_new_certificate_is_loaded_automatically_and_open_connections_continue() {
    let needs = [Need::Program, Need::Tool("openssl")];
    scene(
        "a_new_certificate_is_loaded_automatically_and_open_connections_continue",
        &needs,
        |scene| {
            let (certificate, key) = make_certificate(scene, "used")?;
            let (next, next_key) = make_certificate(scene, "next")?;
            let (old, new) =
                (std::fs::read_to_string(&certificate)?, std::fs::read_to_string(&next)?);
            let (tls, dtls) = (free_port()?, free_port()?);
            let lines = format!(
                "listen_tls = ['{tls}']\nlisten_dtls = ['{dtls}']\nallow_peers = ['127.0.0.0/8']\n\
             tls_certificate = '{certificate}'\ntls_key = '{key}'",
            );
            let mut turn = TurnServer::start(scene, &lines)?;
            let servers = [("-tls1_3", tls), ("-tls1_2", turn.address), ("-dtls1_2", dtls)];
            let mut clients = Vec::new();
            for (version, server) in servers {
                let output = openssl_output(version, server)?;
                ensure!(output.contains(old.trim()), "{version} to {server}: {output}");
                clients.push((version, Client::allocate(version, server)?));
            }
            std::fs::copy(next, certificate)?;
            std::fs::copy(next_key, key)?;
            turn.program.wait_for(
                "the new certificate is logged",
                NOTICED_DEADLINE,
                |program| Ok(program.output()?.contains("uses a new certificate").then_some(())),
            )?;
            for (version, server) in servers {
                let output = openssl_output(version, server)?;
                ensure!(output.contains(new.trim()), "{version} to {server}: {output}");
            }
            for (version, client) in &mut clients {
                client
                    .bind_channel(([127, 0, 0, 1], 9).into())
                    .with_context(|| (*version).to_owned())?;
            }
            Ok(())
        },
    );
}

/// A TURN client with an allocation, connected through `openssl s_client`.
pub(crate) struct Client {
    turn: TurnClient,
    openssl: Child,
    to_server: ChildStdin,
    from_server: Receiver<Vec<u8>>,
    decoder: StreamDecoder,
}

impl Client {
    fn allocate(version: &str, server: SocketAddr) -> Result<Self> {
        Self::allocate_with(version, server, &[])
    }

    /// Connects with further arguments for openssl.
    pub(crate) fn allocate_with(
        version: &str,
        server: SocketAddr,
        arguments: &[&str],
    ) -> Result<Self> {
        let mut openssl = Place::Here.command("openssl");
        openssl.args(["s_client", version, "-quiet", "-connect", &server.to_string()]);
        openssl.args(arguments);
        openssl.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut openssl = openssl.spawn()?;
        let to_server = openssl.stdin.take().context("a pipe")?;
        let mut stdout = openssl.stdout.take().context("a pipe")?;
        let (received, from_server) = sync_channel(QUEUE);
        // Ends with the connection.
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
        let turn = TurnClient::new(config, Instant::now());
        let decoder = StreamDecoder::new();
        let mut client = Self { turn, openssl, to_server, from_server, decoder };
        let deadline = Instant::now() + DEADLINE;
        while Instant::now() < deadline {
            match client.turn.poll_event() {
                Some(ClientEvent::Allocated { .. }) => return Ok(client),
                Some(other) => bail!("{version}: {other:?}"),
                None => client.poll()?,
            }
        }
        bail!("{version}: no response")
    }

    /// Sends what is due and receives what has arrived.
    fn poll(&mut self) -> Result<()> {
        self.turn.handle_timeout(Instant::now());
        while let Some(bytes) = self.turn.poll_transmit() {
            self.to_server.write_all(&bytes)?;
        }
        if let Ok(bytes) = self.from_server.recv_timeout(POLL_INTERVAL) {
            self.decoder.push(&bytes)?;
            while let Some(frame) = self.decoder.next_frame()? {
                self.turn.handle_datagram(Instant::now(), frame);
            }
        }
        Ok(())
    }

    /// Binds a channel, which needs a response of the server over the connection.
    pub(crate) fn bind_channel(&mut self, peer: SocketAddr) -> Result<()> {
        self.turn.bind_channel(Instant::now(), peer);
        let deadline = Instant::now() + DEADLINE;
        while self.turn.channel(peer).is_none() {
            ensure!(Instant::now() < deadline, "no channel");
            self.poll()?;
        }
        Ok(())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.openssl.kill();
        let _ = self.openssl.wait();
    }
}
