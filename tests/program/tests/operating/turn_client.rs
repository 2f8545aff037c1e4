//! A TURN client over UDP that keeps its allocation.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use porthole_turn_proto::{ClientConfig, ClientEvent, FailureReason, Transport, TurnClient};

const DEADLINE: Duration = Duration::from_secs(10);
/// Time to wait for a datagram before the client looks at its timers again.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// A client on loopback with one allocation.
pub(crate) struct Client {
    turn: TurnClient,
    socket: UdpSocket,
    pub(crate) relayed: SocketAddr,
}

impl Client {
    /// Allocates as `NAME:PASSWORD`; the last colon separates the two.
    pub(crate) fn allocate(server: SocketAddr, account: &str) -> Result<Self> {
        match Self::try_allocate(server, account)? {
            Ok(client) => Ok(client),
            Err(reason) => bail!("{account} is refused: {reason}"),
        }
    }

    /// Tries to allocate; the inner `Err` is the reason why the server refuses.
    pub(crate) fn try_allocate(
        server: SocketAddr,
        account: &str,
    ) -> Result<Result<Self, FailureReason>> {
        let (name, password) = account.rsplit_once(':').context("NAME:PASSWORD")?;
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.connect(server)?;
        socket.set_read_timeout(Some(POLL_INTERVAL))?;
        let config = ClientConfig::new(name.to_owned(), password.to_owned(), Transport::Udp);
        let turn = TurnClient::new(config, Instant::now());
        let mut client = Self { turn, socket, relayed: server };
        let deadline = Instant::now() + DEADLINE;
        while Instant::now() < deadline {
            match client.turn.poll_event() {
                Some(ClientEvent::Allocated { relayed, .. }) => {
                    client.relayed = relayed;
                    return Ok(Ok(client));
                }
                Some(ClientEvent::Failed { reason, .. }) => return Ok(Err(reason)),
                Some(other) => bail!("{other:?}"),
                None => client.poll().map(drop)?,
            }
        }
        bail!("{server} does not respond")
    }

    /// Sends what is due and receives one datagram; returns the data that a peer sent, if any.
    fn poll(&mut self) -> Result<Option<Vec<u8>>> {
        self.turn.handle_timeout(Instant::now());
        while let Some(bytes) = self.turn.poll_transmit() {
            self.socket.send(&bytes)?;
        }
        let mut buffer = [0; 2048];
        if let Ok(len) = self.socket.recv(&mut buffer) {
            let data = self.turn.handle_datagram(Instant::now(), &buffer[..len]);
            return Ok(data.map(|(_, range)| buffer[range].to_vec()));
        }
        Ok(None)
    }

    /// Returns true if a packet reaches a peer on loopback. Returns false if the permission is
    /// refused, or if a packet sent after it, to the client's own relayed address, arrives first.
    pub(crate) fn reaches_loopback(&mut self) -> Result<bool> {
        let peer = UdpSocket::bind("127.0.0.1:0")?;
        peer.set_read_timeout(Some(POLL_INTERVAL))?;
        let to = peer.local_addr()?;
        self.turn.create_permission(Instant::now(), to.ip());
        // The port makes this call's packets differ from an earlier call's.
        let payload = to.port().to_be_bytes();
        let deadline = Instant::now() + DEADLINE;
        while Instant::now() < deadline {
            for to in [to, self.relayed] {
                let mut out = Vec::new();
                if self.turn.wrap(to, &payload, &mut out) {
                    self.socket.send(&out)?;
                }
            }
            let is_overtaken = self.poll()?.is_some_and(|got| got == payload);
            if let Ok((_, from)) = peer.recv_from(&mut [0; 64]) {
                ensure!(from.port() == self.relayed.port(), "it came from {from}");
                return Ok(true);
            }
            let event = self.turn.poll_event();
            if is_overtaken || matches!(event, Some(ClientEvent::PermissionRefused { .. })) {
                return Ok(false);
            }
        }
        bail!("nothing is relayed and nothing refused")
    }
}
