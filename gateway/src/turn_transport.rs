//! TURN transports: a UDP socket, or a TCP connection with or without TLS, for each TURN client of
//! a session.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use porthole_gateway_core::{IceServerEndpoint, TurnClientId, TurnTransport};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tracing::debug;

use crate::ice_servers::IceServerResolver;

/// Timeout of resolving a TURN server's name and connecting to it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Capacity of the queue to a TURN server: half a second of 8 Mbit/s in packets of 1200 bytes. When
/// it is full, new packets are dropped, as a full router would.
pub(crate) const QUEUE: usize = 512;

/// Size of the read buffer: the largest datagram, or part of a stream, that is read at once.
const READ_BYTES: usize = 16 * 1024;

/// An event of a transport to a TURN server, for the driver.
#[derive(Debug)]
pub(crate) enum TurnTransportEvent {
    /// The socket is connected.
    Opened,
    /// A datagram, or a piece of the TCP stream.
    Data(BytesMut),
    /// The transport failed or was closed; it sends no more events.
    Closed,
}

/// The ALPN protocol id of TURN (RFC 7443 §3).
const ALPN: &[u8] = b"stun.turn";

/// Returns the settings of TLS to TURN servers.
pub(crate) fn connector(mut tls: rustls::ClientConfig) -> TlsConnector {
    tls.alpn_protocols = vec![ALPN.to_vec()];
    TlsConnector::from(Arc::new(tls))
}

/// Opens the transport and passes bytes both ways until either side ends.
pub(crate) async fn run(
    key: TurnClientId,
    server: IceServerEndpoint,
    (resolver, tls): (Arc<IceServerResolver>, TlsConnector),
    mut outgoing: mpsc::Receiver<Bytes>,
    events: mpsc::Sender<(TurnClientId, TurnTransportEvent)>,
) {
    let opened = match timeout(CONNECT_TIMEOUT, open(&server, &resolver, &tls)).await {
        Ok(opened) => opened,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    };
    let ended = match opened {
        Ok(transport) => {
            if events.send((key.clone(), TurnTransportEvent::Opened)).await.is_err() {
                return;
            }
            match transport {
                Transport::Udp(socket) => run_udp(&key, &socket, &mut outgoing, &events).await,
                Transport::Tcp(stream) => {
                    let (reader, writer) = stream.into_split();
                    run_stream(&key, reader, writer, &mut outgoing, &events).await
                }
                Transport::Tls(stream) => {
                    let (reader, writer) = tokio::io::split(*stream);
                    run_stream(&key, reader, writer, &mut outgoing, &events).await
                }
            }
        }
        Err(error) => Err(error),
    };
    if let Err(error) = ended {
        debug!(session = %key.session, "TURN over {:?}: {error}", server.transport);
    }
    // Fails if the driver has stopped; then the event does not matter.
    let _ = events.send((key, TurnTransportEvent::Closed)).await;
}

enum Transport {
    Udp(UdpSocket),
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

async fn open(
    server: &IceServerEndpoint,
    resolver: &IceServerResolver,
    tls: &TlsConnector,
) -> io::Result<Transport> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in resolver.resolve(server).await? {
        let opened = match server.transport {
            TurnTransport::Udp => connect_udp(address).await.map(Transport::Udp),
            TurnTransport::Tcp => connect_tcp(address).await.map(Transport::Tcp),
            TurnTransport::Tls => connect_tls(address, &server.host, tls).await,
        };
        match opened {
            Ok(transport) => return Ok(transport),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn connect_udp(address: SocketAddr) -> io::Result<UdpSocket> {
    let any: IpAddr =
        if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(address).await?;
    Ok(socket)
}

async fn connect_tcp(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Connects with TLS, to a server whose certificate is for this host.
async fn connect_tls(address: SocketAddr, host: &str, tls: &TlsConnector) -> io::Result<Transport> {
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let stream = tls.connect(name, connect_tcp(address).await?).await?;
    Ok(Transport::Tls(Box::new(stream)))
}

async fn run_udp(
    key: &TurnClientId,
    socket: &UdpSocket,
    outgoing: &mut mpsc::Receiver<Bytes>,
    events: &mpsc::Sender<(TurnClientId, TurnTransportEvent)>,
) -> io::Result<()> {
    let mut buffer = vec![0; READ_BYTES];
    loop {
        tokio::select! {
            bytes = outgoing.recv() => {
                let Some(bytes) = bytes else { return Ok(()) };
                if let Err(error) = socket.send(&bytes).await {
                    debug!(session = %key.session, "cannot send to the TURN server: {error}");
                }
            }
            received = socket.recv(&mut buffer) => {
                let length = match received {
                    Ok(length) => length,
                    Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => return Err(e),
                    Err(_) => continue,
                };
                let bytes = BytesMut::from(buffer.get(..length).unwrap_or_default());
                if events.send((key.clone(), TurnTransportEvent::Data(bytes))).await.is_err() {
                    return Ok(());
                }
            }
        }
    }
}

async fn run_stream(
    key: &TurnClientId,
    mut reader: impl AsyncRead + Unpin,
    mut writer: impl AsyncWrite + Unpin,
    outgoing: &mut mpsc::Receiver<Bytes>,
    events: &mpsc::Sender<(TurnClientId, TurnTransportEvent)>,
) -> io::Result<()> {
    let write = async {
        while let Some(bytes) = outgoing.recv().await {
            writer.write_all(&bytes).await?;
            // TLS keeps what the socket did not take at once.
            writer.flush().await?;
        }
        writer.shutdown().await
    };
    let read = async {
        loop {
            let mut buffer = BytesMut::with_capacity(READ_BYTES);
            if reader.read_buf(&mut buffer).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
            }
            if events.send((key.clone(), TurnTransportEvent::Data(buffer))).await.is_err() {
                return Ok(());
            }
        }
    };
    tokio::select! {
        written = write => written,
        read = read => read,
    }
}

#[cfg(test)]
mod tests {
    use porthole_signaling_proto::SessionId;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_hostile_signaling_server_makes_the_gateway_connect_to_nothing_near_it() {
        let inside = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = inside.local_addr().unwrap().port();
        for (signaling, is_reached) in [("203.0.113.1", false), ("127.0.0.1", true)] {
            for transport in [TurnTransport::Udp, TurnTransport::Tcp, TurnTransport::Tls] {
                let resolver = Arc::new(IceServerResolver::default());
                resolver.set_signaling_server(signaling.parse().unwrap());
                let server = IceServerEndpoint { host: "localhost".to_owned(), port, transport };
                let key = TurnClientId { session: "s1".parse::<SessionId>().unwrap(), index: 0 };
                let (outgoing, sent) = mpsc::channel(QUEUE);
                let (events, mut received) = mpsc::channel(QUEUE);
                let tls = connector(crate::tls::to_servers(&[]).unwrap());
                let task = tokio::spawn(run(key, server, (resolver, tls), sent, events));
                let is_open = tokio::select! {
                    // A handshake of TLS begins, and nobody answers.
                    accepted = inside.accept() => accepted.is_ok(),
                    event = received.recv() => {
                        matches!(event, Some((_, TurnTransportEvent::Opened)))
                    }
                };
                assert_eq!(is_open, is_reached, "{transport:?}, signaling at {signaling}");
                drop(outgoing);
                task.abort();
            }
        }
    }
}
