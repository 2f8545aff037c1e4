//! One question to one server over one transport.

use crate::config::Account;
use porthole_turn_proto::{
    ClientConfig, ClientEvent, FailureReason, StreamDecoder, StunClient, Transport, TurnClient,
    stun::{Class, ErrorCode, Message, Method},
};
use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    time::{timeout, timeout_at},
};
use tokio_rustls::{
    TlsConnector,
    rustls::{self, pki_types::ServerName},
};

/// RFC 8489 §6.2.1 would go on for 39.5 s; whoever waits before a terminal knows after the fourth
/// retransmission.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// For what nobody has asked for and a server need not offer; enough for one lost packet.
pub(super) const LITTLE_PATIENCE: Duration = Duration::from_secs(2);
/// More than any answer to these questions holds.
const MAX_ANSWER_BYTES: usize = 2048;

/// What a server said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Answer {
    /// How it sees us, or where it relays.
    pub(super) address: SocketAddr,
    /// From the last request to its answer: no connecting, no challenge, no packet lost before.
    pub(super) rtt: Duration,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Silence {
    #[error("no answer in time")]
    Timeout,
    #[error("the server refuses the connection")]
    Refused,
    #[error("there is no way to that address")]
    Unreachable,
    #[error("its certificate is not trusted ({0})")]
    Certificate(rustls::CertificateError),
    #[error("the server's answer makes no sense")]
    Nonsense,
    #[error(transparent)]
    Turn(FailureReason),
    #[error("{0}")]
    Other(io::Error),
}

impl From<io::Error> for Silence {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::ConnectionRefused {
            return Self::Refused;
        }
        if matches!(
            error.kind(),
            io::ErrorKind::NetworkUnreachable
                | io::ErrorKind::HostUnreachable
                | io::ErrorKind::NetworkDown
                // No address of that family to send from.
                | io::ErrorKind::AddrNotAvailable
        ) {
            return Self::Unreachable;
        }
        let of_tls = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
        if let Some(rustls::Error::InvalidCertificate(reason)) = of_tls {
            return Self::Certificate(reason.clone());
        }
        Self::Other(error)
    }
}

/// How to reach a server.
pub(super) enum Over<'t> {
    Udp,
    Tcp,
    Tls { connector: &'t TlsConnector, name: ServerName<'static> },
}

impl Over<'_> {
    pub(super) fn transport(&self) -> Transport {
        match self {
            Self::Udp => Transport::Udp,
            Self::Tcp => Transport::Tcp,
            Self::Tls { .. } => Transport::Tls,
        }
    }
}

/// A Binding over UDP. The socket is the caller's, so that several servers see the same one.
pub(super) async fn binding_over_udp(
    socket: &UdpSocket,
    server: SocketAddr,
    patience: Duration,
) -> Result<Answer, Silence> {
    let start = Instant::now();
    let mut sent = start;
    let mut client = StunClient::new(start);
    let mut bytes = [0; MAX_ANSWER_BYTES];
    loop {
        if start.elapsed() >= patience || client.has_failed() {
            return Err(Silence::Timeout);
        }
        if let Some(request) = client.poll_transmit() {
            sent = Instant::now();
            socket.send_to(&request, server).await?;
        }
        let until = client.poll_timeout().unwrap_or(start).min(start + patience);
        match timeout_at(until.into(), socket.recv_from(&mut bytes)).await {
            Err(_) => client.handle_timeout(Instant::now()),
            Ok(received) => {
                let (length, from) = received?;
                let datagram = bytes.get(..length).unwrap_or_default();
                if let Some(address) = client.handle_datagram(datagram).filter(|_| from == server) {
                    return Ok(Answer { address, rtt: sent.elapsed() });
                }
            }
        }
    }
}

/// A Binding over TCP or TLS.
pub(super) async fn binding_over_stream(
    server: SocketAddr,
    over: &Over<'_>,
    patience: Duration,
) -> Result<Answer, Silence> {
    let ask = async {
        let mut wire = Wire::connect(server, over).await?;
        let sent = Instant::now();
        let mut client = StunClient::new(sent);
        if let Some(request) = client.poll_transmit() {
            wire.send(&request).await?;
        }
        let answer = wire.receive().await?;
        let address = client.handle_datagram(&answer).ok_or(Silence::Nonsense)?;
        Ok(Answer { address, rtt: sent.elapsed() })
    };
    timeout(patience, ask).await.unwrap_or(Err(Silence::Timeout))
}

/// What became of an allocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Allocation {
    Made(Answer),
    /// Asked without an account, the server has wanted one (401): TURN answers.
    AccountWanted {
        rtt: Duration,
    },
}

/// An allocation, given back at once. Without a user the server's challenge is enough.
pub(super) async fn allocate(
    server: SocketAddr,
    over: &Over<'_>,
    user: Option<&Account>,
    patience: Duration,
) -> Result<Allocation, Silence> {
    let start = Instant::now();
    let ask = async {
        let mut wire = Wire::connect(server, over).await?;
        let (name, password) = match user {
            Some(user) => (user.name.clone(), user.password.reveal().to_owned()),
            None => (String::new(), String::new()),
        };
        let config = ClientConfig::new(name, password, over.transport());
        let mut client = TurnClient::new(config, start);
        let mut sent = start;
        loop {
            while let Some(request) = client.poll_transmit() {
                sent = Instant::now();
                wire.send(&request).await?;
            }
            match client.poll_event() {
                Some(ClientEvent::Allocated { relayed, .. }) => {
                    let rtt = sent.elapsed();
                    client.close(Instant::now());
                    while let Some(goodbye) = client.poll_transmit() {
                        wire.send(&goodbye).await?;
                    }
                    return Ok(Allocation::Made(Answer { address: relayed, rtt }));
                }
                Some(ClientEvent::Failed { reason, .. }) => return Err(Silence::Turn(reason)),
                Some(ClientEvent::PermissionRefused { .. } | ClientEvent::Expired) => {
                    return Err(Silence::Nonsense);
                }
                None => {}
            }
            let until = client.poll_timeout().unwrap_or(start + patience);
            match timeout_at(until.into(), wire.receive()).await {
                Err(_) => client.handle_timeout(Instant::now()),
                Ok(message) => {
                    let message = message?;
                    if user.is_none() && is_challenge(&message) {
                        return Ok(Allocation::AccountWanted { rtt: sent.elapsed() });
                    }
                    client.handle_datagram(Instant::now(), &message);
                }
            }
        }
    };
    timeout(patience, ask).await.unwrap_or(Err(Silence::Timeout))
}

/// Whether a server wants an account for an allocation (RFC 8489 §9.2.4).
fn is_challenge(message: &[u8]) -> bool {
    Message::parse(message).is_ok_and(|message| {
        message.method() == Method::Allocate
            && message.class() == Class::Error
            && message.error_code() == Some(ErrorCode::UNAUTHENTICATED)
    })
}

/// A way to one server, message by message.
enum Wire {
    Udp(UdpSocket),
    Stream(Box<dyn Duplex>, StreamDecoder),
}

/// TCP, with or without TLS.
trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// Nothing waits here for the other end's acknowledgement of what was sent before (Nagle): with
/// TLS's last flight before it, that would be 40 ms that no round trip takes.
async fn connect(server: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(server).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl Wire {
    async fn connect(server: SocketAddr, over: &Over<'_>) -> Result<Self, Silence> {
        match over {
            Over::Udp => {}
            Over::Tcp => {
                let stream = connect(server).await?;
                return Ok(Self::Stream(Box::new(stream), StreamDecoder::new()));
            }
            Over::Tls { connector, name } => {
                let stream = connect(server).await?;
                let stream = connector.connect(name.clone(), stream).await?;
                return Ok(Self::Stream(Box::new(stream), StreamDecoder::new()));
            }
        }
        let local: IpAddr = match server {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = UdpSocket::bind((local, 0)).await?;
        socket.connect(server).await?;
        Ok(Self::Udp(socket))
    }

    async fn send(&mut self, message: &[u8]) -> Result<(), Silence> {
        match self {
            Self::Udp(socket) => socket.send(message).await.map(|_| ())?,
            Self::Stream(stream, _) => {
                stream.write_all(message).await?;
                stream.flush().await?;
            }
        }
        Ok(())
    }

    async fn receive(&mut self) -> Result<Vec<u8>, Silence> {
        let mut bytes = [0; MAX_ANSWER_BYTES];
        let (stream, decoder) = match self {
            Self::Udp(socket) => {
                let length = socket.recv(&mut bytes).await?;
                return Ok(bytes.get(..length).unwrap_or_default().to_vec());
            }
            Self::Stream(stream, decoder) => (stream, decoder),
        };
        loop {
            if let Some(frame) = decoder.next_frame().map_err(|_| Silence::Nonsense)? {
                return Ok(frame.to_vec());
            }
            let length = stream.read(&mut bytes).await?;
            if length == 0 {
                return Err(Silence::Nonsense);
            }
            let read = bytes.get(..length).unwrap_or_default();
            decoder.push(read).map_err(|_| Silence::Nonsense)?;
        }
    }
}
