//! A TURN client on a real socket.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use porthole_turn_proto::{ClientConfig, ClientEvent, StreamDecoder, Transport, TurnClient};

/// Time that one round waits for messages, so that timers are handled often enough.
const ROUND: Duration = Duration::from_millis(5);
/// Time limit of everything else that a client waits for.
const PATIENCE: Duration = Duration::from_secs(20);
/// First bytes of a success response to CreatePermission.
const PERMITTED: [u8; 2] = [0x01, 0x08];

/// The connection between a client and its server.
pub trait Link {
    /// Sends a message.
    fn send(&mut self, message: &[u8]) -> Result<()>;

    /// Waits a few milliseconds and returns the messages that have arrived.
    fn receive(&mut self) -> Result<Vec<Vec<u8>>>;
}

/// A connection over UDP or TCP.
#[derive(Debug)]
pub enum Socket {
    /// A UDP socket, connected to the server.
    Udp(UdpSocket),
    /// A TCP connection, and what was read of an incomplete message.
    Tcp(TcpStream, StreamDecoder),
}

impl Socket {
    /// Connects to a server. TLS and DTLS need a [`Link`] of their own.
    pub fn connect(server: SocketAddr, transport: Transport) -> Result<Self> {
        match transport {
            Transport::Udp => {
                let socket = UdpSocket::bind((server.ip(), 0))?;
                socket.connect(server)?;
                socket.set_read_timeout(Some(ROUND))?;
                Ok(Self::Udp(socket))
            }
            Transport::Tcp => {
                let stream = TcpStream::connect(server)?;
                stream.set_read_timeout(Some(ROUND))?;
                Ok(Self::Tcp(stream, StreamDecoder::new()))
            }
            Transport::Tls | Transport::Dtls => bail!("{transport:?} is neither UDP nor TCP"),
        }
    }

    /// Returns the address of this end.
    pub fn local_addr(&self) -> Result<SocketAddr> {
        Ok(match self {
            Self::Udp(socket) => socket.local_addr()?,
            Self::Tcp(stream, _) => stream.local_addr()?,
        })
    }
}

impl Link for Socket {
    fn send(&mut self, message: &[u8]) -> Result<()> {
        match self {
            Self::Udp(socket) => {
                ensure!(socket.send(message)? == message.len(), "a datagram was truncated");
            }
            Self::Tcp(stream, _) => stream.write_all(message)?,
        }
        Ok(())
    }

    fn receive(&mut self) -> Result<Vec<Vec<u8>>> {
        let mut buffer = [0; 65_536];
        match self {
            Self::Udp(socket) => match socket.recv(&mut buffer) {
                Ok(n) => Ok(vec![buffer[..n].to_vec()]),
                Err(error) if is_timeout(&error) => Ok(Vec::new()),
                Err(error) => Err(error.into()),
            },
            Self::Tcp(stream, decoder) => {
                match stream.read(&mut buffer) {
                    Ok(0) => bail!("the server closed the connection"),
                    Ok(n) => decoder.push(&buffer[..n])?,
                    Err(error) if is_timeout(&error) => {}
                    Err(error) => return Err(error.into()),
                }
                let mut messages = Vec::new();
                while let Some(message) = decoder.next_frame()? {
                    messages.push(message.to_vec());
                }
                Ok(messages)
            }
        }
    }
}

/// Returns true if a read has timed out.
pub fn is_timeout(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// A TURN client and its connection. Nothing happens but in the methods that wait.
#[derive(Debug)]
pub struct TestTurnClient<L = Socket> {
    /// The client state machine.
    pub client: TurnClient,
    /// The connection to the server.
    pub link: L,
    /// Payloads of peers, not yet returned by [`Self::receive`].
    pub received: VecDeque<(SocketAddr, Vec<u8>)>,
    is_permitted: bool,
}

impl TestTurnClient<Socket> {
    /// Connects to a server over UDP or TCP, as the user `anna` with the password `secret`.
    pub fn anna(server: SocketAddr, transport: Transport) -> Result<Self> {
        let (user, password) = ("anna".to_owned(), "secret".to_owned());
        Self::connect(server, ClientConfig::new(user, password, transport))
    }

    /// Connects to a server over UDP or TCP.
    pub fn connect(server: SocketAddr, config: ClientConfig) -> Result<Self> {
        Ok(Self::new(Socket::connect(server, config.transport)?, config))
    }
}

impl<L: Link> TestTurnClient<L> {
    /// Makes a client on an established connection.
    pub fn new(link: L, config: ClientConfig) -> Self {
        let client = TurnClient::new(config, Instant::now());
        Self { client, link, received: VecDeque::new(), is_permitted: false }
    }

    /// Sends what is due and handles the messages that arrive within a few milliseconds. Returns
    /// those messages.
    pub fn round(&mut self) -> Result<Vec<Vec<u8>>> {
        self.client.handle_timeout(Instant::now());
        while let Some(bytes) = self.client.poll_transmit() {
            self.link.send(&bytes)?;
        }
        let messages = self.link.receive()?;
        for message in &messages {
            self.is_permitted |= message.starts_with(&PERMITTED);
            if let Some((peer, range)) = self.client.handle_datagram(Instant::now(), message) {
                self.received.push_back((peer, message[range].to_vec()));
            }
        }
        Ok(messages)
    }

    /// Waits until `holds`.
    pub fn wait_until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !holds(self) {
            ensure!(Instant::now() < deadline, "timed out: {what}");
            self.round()?;
        }
        Ok(())
    }

    /// Waits for the next event.
    pub fn event(&mut self) -> Result<ClientEvent> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(event) = self.client.poll_event() {
                return Ok(event);
            }
            self.round()?;
        }
        bail!("timed out: an event")
    }

    /// Waits for the allocation and returns the relayed address.
    pub fn allocate(&mut self) -> Result<SocketAddr> {
        let event = self.event()?;
        let ClientEvent::Allocated { relayed, .. } = event else {
            bail!("no allocation: {event:?}");
        };
        Ok(relayed)
    }

    /// Asks for a permission and waits for the first one to be granted.
    pub fn permit(&mut self, peer: IpAddr) -> Result<()> {
        self.client.create_permission(Instant::now(), peer);
        self.wait_until("a permission", |client| client.is_permitted)
    }

    /// Binds a channel and waits until it is bound.
    pub fn bind(&mut self, peer: SocketAddr) -> Result<()> {
        self.client.bind_channel(Instant::now(), peer);
        self.wait_until("a channel", |client| client.client.channel(peer).is_some())
    }

    /// Sends a payload to a permitted peer.
    pub fn send(&mut self, peer: SocketAddr, payload: &[u8]) -> Result<()> {
        let mut message = Vec::new();
        ensure!(self.client.wrap(peer, payload, &mut message), "{peer} is not permitted");
        self.link.send(&message)
    }

    /// Waits for the next payload of a peer.
    pub fn receive(&mut self) -> Result<(SocketAddr, Vec<u8>)> {
        self.receive_within(PATIENCE)
    }

    /// Waits at most `patience` for the next payload of a peer.
    pub fn receive_within(&mut self, patience: Duration) -> Result<(SocketAddr, Vec<u8>)> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(received) = self.received.pop_front() {
                return Ok(received);
            }
            ensure!(Instant::now() < deadline, "timed out: a payload");
            self.round()?;
        }
    }

    /// Releases the allocation, without waiting for the response.
    pub fn release(&mut self) -> Result<()> {
        self.client.close(Instant::now());
        self.round().map(drop)
    }
}
