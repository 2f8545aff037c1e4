//! Single checks: one STUN or TURN request to one server over one transport.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use porthole_turn_proto::stun::{Class, ErrorCode, Message, Method};
use porthole_turn_proto::{
    ClientConfig, ClientEvent, FailureReason, StreamDecoder, StunClient, Transport, TurnClient,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time;
use tokio::time::timeout_at;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::{TlsConnector, rustls};

use crate::config::Account;

/// Time for a check that must succeed. RFC 8489 §6.2.1 would retransmit for 39.5 s; a user at a
/// terminal need not wait longer than for the fourth retransmission.
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);
/// Time for a check of something that the user did not ask for and the server may lack; enough for
/// one lost packet.
pub(super) const OPTIONAL_TIMEOUT: Duration = Duration::from_secs(2);
/// Time for the deletion of an allocation over UDP, in which the request is sent twice.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(1);
/// More than any response to these requests has.
const MAX_RESPONSE_BYTES: usize = 2048;

/// The successful response of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Response {
    /// The mapped address (STUN) or the relayed address (TURN).
    pub(super) address: SocketAddr,
    /// Time from the last request to its response, without connecting, the challenge, and packets
    /// lost before.
    pub(super) rtt: Duration,
}

/// The reason why a check has failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProbeError {
    #[error("no response in time")]
    Timeout,
    #[error("connection refused")]
    Refused,
    #[error("no route to this address")]
    Unreachable,
    #[error("certificate not trusted ({0})")]
    Certificate(rustls::CertificateError),
    #[error("invalid response")]
    InvalidResponse,
    #[error(transparent)]
    Turn(FailureReason),
    #[error("{0}")]
    Other(io::Error),
}

impl From<io::Error> for ProbeError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::ConnectionRefused {
            return Self::Refused;
        }
        if matches!(
            error.kind(),
            io::ErrorKind::NetworkUnreachable
                | io::ErrorKind::HostUnreachable
                | io::ErrorKind::NetworkDown
                // This machine has no address of that family.
                | io::ErrorKind::AddrNotAvailable
        ) {
            return Self::Unreachable;
        }
        let tls_error = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
        if let Some(rustls::Error::InvalidCertificate(reason)) = tls_error {
            return Self::Certificate(reason.clone());
        }
        Self::Other(error)
    }
}

/// The transport of a check, with what it needs.
pub(super) enum ProbeTransport<'t> {
    Udp,
    Tcp,
    Tls { connector: &'t TlsConnector, name: ServerName<'static> },
}

impl ProbeTransport<'_> {
    pub(super) fn transport(&self) -> Transport {
        match self {
            Self::Udp => Transport::Udp,
            Self::Tcp => Transport::Tcp,
            Self::Tls { .. } => Transport::Tls,
        }
    }
}

/// Sends a Binding request over UDP, from the caller's socket, so that several servers can see the
/// same one.
pub(super) async fn binding_over_udp(
    socket: &UdpSocket,
    server: SocketAddr,
    limit: Duration,
) -> Result<Response, ProbeError> {
    let start = Instant::now();
    let mut sent = start;
    let mut client = StunClient::new(start);
    let mut bytes = [0; MAX_RESPONSE_BYTES];
    loop {
        if start.elapsed() >= limit || client.has_failed() {
            return Err(ProbeError::Timeout);
        }
        if let Some(request) = client.poll_transmit() {
            sent = Instant::now();
            socket.send_to(&request, server).await?;
        }
        let until = client.poll_timeout().unwrap_or(start).min(start + limit);
        match timeout_at(until.into(), socket.recv_from(&mut bytes)).await {
            Err(_) => client.handle_timeout(Instant::now()),
            Ok(received) => {
                let (length, from) = received?;
                let datagram = bytes.get(..length).unwrap_or_default();
                if let Some(address) = client.handle_datagram(datagram).filter(|_| from == server) {
                    return Ok(Response { address, rtt: sent.elapsed() });
                }
            }
        }
    }
}

/// Sends a Binding request over TCP or TLS.
pub(super) async fn binding_over_stream(
    server: SocketAddr,
    via: &ProbeTransport<'_>,
    limit: Duration,
) -> Result<Response, ProbeError> {
    let probe = async {
        let mut connection = Connection::connect(server, via).await?;
        let sent = Instant::now();
        let mut client = StunClient::new(sent);
        if let Some(request) = client.poll_transmit() {
            connection.send(&request).await?;
        }
        let response = connection.receive().await?;
        let address = client.handle_datagram(&response).ok_or(ProbeError::InvalidResponse)?;
        Ok(Response { address, rtt: sent.elapsed() })
    };
    time::timeout(limit, probe).await.unwrap_or(Err(ProbeError::Timeout))
}

/// The result of an Allocate request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Allocation {
    /// The server made an allocation.
    Created(Response),
    /// The server challenged a request without credentials (401), so TURN works.
    Challenged { rtt: Duration },
}

/// Makes an allocation and deletes it at once. Without a user the server's challenge is enough.
pub(super) async fn allocate(
    server: SocketAddr,
    via: &ProbeTransport<'_>,
    user: Option<&Account>,
    limit: Duration,
) -> Result<Allocation, ProbeError> {
    let start = Instant::now();
    let probe = async {
        let mut connection = Connection::connect(server, via).await?;
        let (name, password) = match user {
            Some(user) => (user.name.clone(), user.password.reveal().to_owned()),
            None => (String::new(), String::new()),
        };
        let config = ClientConfig::new(name, password, via.transport());
        let mut client = TurnClient::new(config, start);
        let mut sent = start;
        loop {
            while let Some(request) = client.poll_transmit() {
                sent = Instant::now();
                connection.send(&request).await?;
            }
            match client.poll_event() {
                Some(ClientEvent::Allocated { relayed, .. }) => {
                    let rtt = sent.elapsed();
                    let made = Response { address: relayed, rtt };
                    return Ok((Allocation::Created(made), Some((connection, client))));
                }
                Some(ClientEvent::Failed { reason, .. }) => return Err(ProbeError::Turn(reason)),
                Some(ClientEvent::PermissionRefused { .. } | ClientEvent::Expired) => {
                    return Err(ProbeError::InvalidResponse);
                }
                None => {}
            }
            let until = client.poll_timeout().unwrap_or(start + limit);
            match timeout_at(until.into(), connection.receive()).await {
                Err(_) => client.handle_timeout(Instant::now()),
                Ok(message) => {
                    let message = message?;
                    if user.is_none() && is_challenge(&message) {
                        return Ok((Allocation::Challenged { rtt: sent.elapsed() }, None));
                    }
                    client.handle_datagram(Instant::now(), &message);
                }
            }
        }
    };
    let (allocation, open) =
        time::timeout(limit, probe).await.unwrap_or(Err(ProbeError::Timeout))?;
    if let Some((connection, client)) = open {
        // An allocation that is not deleted ends by itself, after minutes.
        let _ = time::timeout(RELEASE_TIMEOUT, release(connection, client)).await;
    }
    Ok(allocation)
}

/// Deletes an allocation, and waits until the server has confirmed it: the request may be lost. On
/// a stream it cannot be, and the allocation ends with the connection anyway.
async fn release(mut connection: Connection, mut client: TurnClient) -> Result<(), ProbeError> {
    client.close(Instant::now());
    loop {
        while let Some(request) = client.poll_transmit() {
            connection.send(&request).await?;
        }
        if client.is_finished() || matches!(connection, Connection::Stream(..)) {
            return Ok(());
        }
        let until = client.poll_timeout().unwrap_or_else(Instant::now);
        match timeout_at(until.into(), connection.receive()).await {
            Err(_) => client.handle_timeout(Instant::now()),
            Ok(message) => {
                client.handle_datagram(Instant::now(), &message?);
            }
        }
    }
}

/// Returns true if the message asks for credentials for an allocation (RFC 8489 §9.2.4).
fn is_challenge(message: &[u8]) -> bool {
    Message::parse(message).is_ok_and(|message| {
        message.method() == Method::Allocate
            && message.class() == Class::Error
            && message.error_code() == Some(ErrorCode::UNAUTHENTICATED)
    })
}

/// A connection to one server that carries whole STUN messages.
enum Connection {
    Udp(UdpSocket),
    Stream(Box<dyn Duplex>, StreamDecoder),
}

/// A TCP connection, with or without TLS.
trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// Connects with TCP_NODELAY: after the last flight of the TLS handshake, Nagle's algorithm would
/// wait for a delayed acknowledgement and add 40 ms to the measured round trip.
async fn connect(server: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(server).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl Connection {
    async fn connect(server: SocketAddr, via: &ProbeTransport<'_>) -> Result<Self, ProbeError> {
        match via {
            ProbeTransport::Udp => {}
            ProbeTransport::Tcp => {
                let stream = connect(server).await?;
                return Ok(Self::Stream(Box::new(stream), StreamDecoder::new()));
            }
            ProbeTransport::Tls { connector, name } => {
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

    async fn send(&mut self, message: &[u8]) -> Result<(), ProbeError> {
        match self {
            Self::Udp(socket) => socket.send(message).await.map(|_| ())?,
            Self::Stream(stream, _) => {
                stream.write_all(message).await?;
                stream.flush().await?;
            }
        }
        Ok(())
    }

    async fn receive(&mut self) -> Result<Vec<u8>, ProbeError> {
        let mut bytes = [0; MAX_RESPONSE_BYTES];
        let (stream, decoder) = match self {
            Self::Udp(socket) => {
                let length = socket.recv(&mut bytes).await?;
                return Ok(bytes.get(..length).unwrap_or_default().to_vec());
            }
            Self::Stream(stream, decoder) => (stream, decoder),
        };
        loop {
            if let Some(frame) = decoder.next_frame().map_err(|_| ProbeError::InvalidResponse)? {
                return Ok(frame.to_vec());
            }
            let length = stream.read(&mut bytes).await?;
            if length == 0 {
                return Err(ProbeError::InvalidResponse);
            }
            let read = bytes.get(..length).unwrap_or_default();
            decoder.push(read).map_err(|_| ProbeError::InvalidResponse)?;
        }
    }
}
