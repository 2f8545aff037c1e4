//! RTP that is pushed to a port of ours.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use porthole_gateway_core::media::{
    RtpError, RtpPacket, SourceLock, StreamDescription, Verdict, camera_sdp,
};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::AsyncReadExt as _;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{SILENCE, SourceError, SourceEvent, tell};

/// The kernel's queue: two seconds of a camera of 8 Mbit/s, while this process has no turn.
/// Without privileges the kernel grants less, which is no reason to fail.
const RECEIVE_BUFFER: usize = 2 * 1024 * 1024;

/// The largest datagram there is.
const MAX_DATAGRAM: usize = 65_535;

/// Refused datagrams are told at most this often: whoever sends them must not fill the log.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(10);

/// Listens as an SDP file says. It is read each time, as it may have been written anew.
pub(super) async fn run_file(
    file: &Path,
    events: &mpsc::Sender<SourceEvent>,
) -> Result<(), SourceError> {
    let text = read(file).await.map_err(|error| SourceError::File { file: file.into(), error })?;
    let video = camera_sdp::find_video(&text)?;
    if video.port == 0 {
        return Err(SourceError::NoPort { file: file.into() });
    }
    let address = video.address.unwrap_or(Ipv4Addr::UNSPECIFIED.into());
    let description = StreamDescription {
        codec: video.codec,
        parameter_sets: video.parameter_sets,
        in_order: false,
    };
    let listen = SocketAddr::new(address, video.port);
    run(listen, description, Some(video.payload_type), events).await
}

/// One byte more than is allowed is read, so that a longer file is noticed.
async fn read(file: &Path) -> io::Result<String> {
    let limit = u64::try_from(camera_sdp::MAX_LEN + 1).unwrap_or(u64::MAX);
    let mut text = Vec::new();
    tokio::fs::File::open(file).await?.take(limit).read_to_end(&mut text).await?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Listens until the socket fails, which a silent camera is no reason for.
pub(super) async fn run(
    listen: SocketAddr,
    description: StreamDescription,
    payload_type: Option<u8>,
    events: &mpsc::Sender<SourceEvent>,
) -> Result<(), SourceError> {
    let socket = bind(listen).map_err(|error| SourceError::Listen { address: listen, error })?;
    tell(events, SourceEvent::Connected(description)).await?;
    let mut gate = Gate { lock: SourceLock::new(payload_type), first: None };
    let mut refused = Refused::default();
    let mut buffer = vec![0; MAX_DATAGRAM];
    let mut silent = false;
    let mut heard = tokio::time::Instant::now();
    loop {
        let wait = SILENCE.saturating_sub(heard.elapsed());
        // While it is silent the next datagram is all there is to wait for.
        let received = if silent {
            Ok(socket.recv_from(&mut buffer).await)
        } else {
            timeout(wait, socket.recv_from(&mut buffer)).await
        };
        let Ok(received) = received else {
            silent = true;
            tell(events, SourceEvent::Silent).await?;
            continue;
        };
        let (len, from) =
            received.map_err(|error| SourceError::Receive { address: listen, error })?;
        let arrival = Instant::now();
        let datagram = Bytes::copy_from_slice(buffer.get(..len).unwrap_or_default());
        match gate.accept(arrival, from, datagram) {
            Ok(packets) => {
                for (arrival, packet) in packets.into_iter().flatten() {
                    silent = false;
                    heard = tokio::time::Instant::now();
                    tell(events, SourceEvent::Packet { arrival, packet }).await?;
                }
            }
            // Some senders multiplex RTCP; nothing is wrong with that.
            Err(Refusal::Garbage(RtpError::Rtcp(_))) => {}
            Err(refusal) => refused.count(arrival, listen, &refusal),
        }
    }
}

/// Why a datagram is dropped.
#[derive(Debug)]
enum Refusal {
    Garbage(RtpError),
    Foreign,
}

/// Lets the packets of one sender through.
struct Gate {
    lock: SourceLock,
    /// Waits for the one after it to prove its sender.
    first: Option<Arrived>,
}

type Arrived = (Instant, RtpPacket);

impl Gate {
    fn accept(
        &mut self,
        arrival: Instant,
        from: SocketAddr,
        datagram: Bytes,
    ) -> Result<[Option<Arrived>; 2], Refusal> {
        let packet = RtpPacket::parse(datagram).map_err(Refusal::Garbage)?;
        match self.lock.handle(arrival, from, &packet.header) {
            Verdict::Accepted => Ok([None, Some((arrival, packet))]),
            Verdict::Proven => Ok([self.first.take(), Some((arrival, packet))]),
            Verdict::Unproven => {
                self.first = Some((arrival, packet));
                Ok([None, None])
            }
            Verdict::Foreign => Err(Refusal::Foreign),
        }
    }
}

/// What was dropped since the last complaint.
#[derive(Debug, Default)]
struct Refused {
    garbage: u64,
    foreign: u64,
    complained: Option<Instant>,
}

impl Refused {
    fn count(&mut self, now: Instant, listen: SocketAddr, refusal: &Refusal) {
        let example = match refusal {
            Refusal::Garbage(error) => {
                self.garbage += 1;
                error.to_string()
            }
            Refusal::Foreign => {
                self.foreign += 1;
                "a second sender, or another payload type".to_owned()
            }
        };
        let since = |before| now.saturating_duration_since(before);
        if self.complained.is_some_and(|before| since(before) < COMPLAINT_INTERVAL) {
            return;
        }
        tracing::warn!(
            port = listen.port(),
            garbage = self.garbage,
            foreign = self.foreign,
            "datagrams on an RTP port were dropped: check what else sends to it; the last one: \
             {example}"
        );
        *self = Self { complained: Some(now), ..Self::default() };
    }
}

fn bind(listen: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(listen), Type::DGRAM, Some(Protocol::UDP))?;
    if let Err(error) = socket.set_recv_buffer_size(RECEIVE_BUFFER) {
        tracing::debug!(%error, "the receive buffer keeps its size");
    }
    if listen.is_ipv6() && listen.ip().is_unspecified() {
        socket.set_only_v6(false)?;
    }
    match listen.ip() {
        IpAddr::V4(group) if group.is_multicast() => {
            // Several gateways may listen to one group.
            socket.set_reuse_address(true)?;
            socket.bind(&listen.into())?;
            socket.join_multicast_v4(&group, &Ipv4Addr::UNSPECIFIED)?;
        }
        IpAddr::V6(group) if group.is_multicast() => {
            socket.set_reuse_address(true)?;
            socket.bind(&listen.into())?;
            socket.join_multicast_v6(&group, 0)?;
        }
        IpAddr::V4(_) | IpAddr::V6(_) => socket.bind(&listen.into())?,
    }
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket.into())
}
