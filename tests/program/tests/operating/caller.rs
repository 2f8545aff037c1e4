//! A TURN client over UDP that keeps its allocation.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use porthole_turn_proto::{ClientConfig, ClientEvent, FailureReason, Transport, TurnClient};

const PATIENCE: Duration = Duration::from_secs(10);
const ROUND: Duration = Duration::from_millis(5);

pub(crate) struct Caller {
    client: TurnClient,
    socket: UdpSocket,
    pub(crate) relayed: SocketAddr,
}

impl Caller {
    /// Lets itself in as `NAME:PASSWORD`, where the last colon parts the two.
    pub(crate) fn enter(server: SocketAddr, account: &str) -> Result<Self> {
        match Self::ask(server, account)? {
            Ok(caller) => Ok(caller),
            Err(reason) => bail!("{account} is not let in: {reason}"),
        }
    }

    /// The same, or why not.
    pub(crate) fn ask(server: SocketAddr, account: &str) -> Result<Result<Self, FailureReason>> {
        let (name, password) = account.rsplit_once(':').context("NAME:PASSWORD")?;
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.connect(server)?;
        socket.set_read_timeout(Some(ROUND))?;
        let config = ClientConfig::new(name.to_owned(), password.to_owned(), Transport::Udp);
        let client = TurnClient::new(config, Instant::now());
        let mut caller = Self { client, socket, relayed: server };
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            match caller.client.poll_event() {
                Some(ClientEvent::Allocated { relayed, .. }) => {
                    caller.relayed = relayed;
                    return Ok(Ok(caller));
                }
                Some(ClientEvent::Failed { reason, .. }) => return Ok(Err(reason)),
                Some(other) => bail!("{other:?}"),
                None => caller.round().map(drop)?,
            }
        }
        bail!("{server} does not answer")
    }

    /// What a peer sent.
    fn round(&mut self) -> Result<Option<Vec<u8>>> {
        self.client.handle_timeout(Instant::now());
        while let Some(bytes) = self.client.poll_transmit() {
            self.socket.send(&bytes)?;
        }
        let mut buffer = [0; 2048];
        if let Ok(len) = self.socket.recv(&mut buffer) {
            let data = self.client.handle_datagram(Instant::now(), &buffer[..len]);
            return Ok(data.map(|(_, range)| buffer[range].to_vec()));
        }
        Ok(None)
    }

    /// Whether a packet comes through to a peer on loopback. It does not if its permission is
    /// refused, or if what was sent behind it, to our own relayed address, is there before it.
    pub(crate) fn reaches_loopback(&mut self) -> Result<bool> {
        let peer = UdpSocket::bind("127.0.0.1:0")?;
        peer.set_read_timeout(Some(ROUND))?;
        let to = peer.local_addr()?;
        self.client.permit(to.ip(), Instant::now());
        // Nothing of an earlier call is taken for this one's.
        let payload = to.port().to_be_bytes();
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            for to in [to, self.relayed] {
                let mut out = Vec::new();
                if self.client.wrap(to, &payload, &mut out) {
                    self.socket.send(&out)?;
                }
            }
            let is_overtaken = self.round()?.is_some_and(|got| got == payload);
            if let Ok((_, from)) = peer.recv_from(&mut [0; 64]) {
                ensure!(from.port() == self.relayed.port(), "it came from {from}");
                return Ok(true);
            }
            let event = self.client.poll_event();
            if is_overtaken || matches!(event, Some(ClientEvent::PermissionRefused { .. })) {
                return Ok(false);
            }
        }
        bail!("nothing is relayed and nothing refused")
    }
}
