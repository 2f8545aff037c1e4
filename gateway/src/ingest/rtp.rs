//! A source that listens on a port to which RTP is pushed.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::pin::pin;
use std::time::{Duration, Instant};

use bytes::Bytes;
use porthole_gateway_core::media::{
    Delivery, MediaKind, RtpError, RtpPacket, SourceLock, StreamDescription, TrackDescription,
    Verdict, camera_sdp,
};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::AsyncReadExt as _;
use tokio::net::UdpSocket;
use tokio::time::{Instant as TokioInstant, sleep_until};

use super::{EventSender, PUSH_SILENCE, SourceError, SourceEvent};
use crate::batch_socket::{BatchSocket, Slots};

/// Size of the kernel's receive queue in bytes: two seconds of a camera at 8 Mbit/s, in case this
/// process does not run for so long. Without privileges the kernel grants less, which is accepted.
const RECEIVE_BUFFER: usize = 2 * 1024 * 1024;

/// Minimum time between two warnings about dropped datagrams, so that their sender cannot fill the
/// log.
const WARNING_INTERVAL: Duration = Duration::from_secs(10);

/// Listens where an SDP file says. The file is read for each connection, because it may have
/// changed.
pub(super) async fn run_file(file: &Path, events: &EventSender) -> Result<(), SourceError> {
    let text = read(file).await.map_err(|error| SourceError::File { file: file.into(), error })?;
    let video = camera_sdp::find_video(&text)?;
    if video.place.port == 0 {
        return Err(SourceError::NoPort { file: file.into() });
    }
    let address = listening_address(video.place.address);
    let description = TrackDescription {
        codec: video.codec,
        parameter_sets: video.parameter_sets,
        delivery: Delivery::Udp,
    };
    let listen = SocketAddr::new(address, video.place.port);
    run(listen, description, Some(video.place.payload_type), events).await
}

/// Returns the address to listen on for a description's address. That may be the sender's or a
/// third one (RFC 8866 §5.7): if it is neither a group nor this machine's, any address will do.
fn listening_address(described: Option<IpAddr>) -> IpAddr {
    let Some(address) = described else { return Ipv4Addr::UNSPECIFIED.into() };
    let is_ours =
        address.is_multicast() || std::net::UdpSocket::bind(SocketAddr::new(address, 0)).is_ok();
    match address {
        _ if is_ours => address,
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}

/// Reads one byte more than is allowed, so that a longer file is detected.
async fn read(file: &Path) -> io::Result<String> {
    let limit = u64::try_from(camera_sdp::MAX_LEN + 1).unwrap_or(u64::MAX);
    let mut text = Vec::new();
    tokio::fs::File::open(file).await?.take(limit).read_to_end(&mut text).await?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Listens until the socket fails. A silent camera does not end it.
pub(super) async fn run(
    listen: SocketAddr,
    description: TrackDescription,
    payload_type: Option<u8>,
    events: &EventSender,
) -> Result<(), SourceError> {
    let socket = bind_at(listen, None).and_then(BatchSocket::new);
    let mut socket = socket.map_err(|error| SourceError::Listen { address: listen, error })?;
    events.send(SourceEvent::Connected(StreamDescription::video(description))).await?;
    let lock = SourceLock::new(payload_type);
    let filter = SenderFilter { payload_type, lock, first: None };
    let mut port = Port { listen, filter, dropped: DropLog::default() };
    let mut slots = Slots::new();
    let mut silent = false;
    let mut silent_at = TokioInstant::now() + PUSH_SILENCE;
    let mut silence = pin!(sleep_until(silent_at));
    loop {
        let readable = tokio::select! {
            readable = socket.readable() => readable,
            // A camera that is already reported as silent may stay so for any time.
            () = &mut silence, if !silent => {
                silent = silent_at <= TokioInstant::now();
                if silent {
                    events.send(SourceEvent::Silent).await?;
                }
                silence.as_mut().reset(silent_at);
                continue;
            }
        };
        let (arrival, mut packets) = (Instant::now(), Vec::new());
        let received = readable.and_then(|readable| {
            readable.receive(&mut slots, |meta, datagram| {
                port.accept(arrival, meta.addr, datagram, &mut packets);
            })
        });
        received.map_err(|error| SourceError::Receive { address: listen, error })?;
        if packets.is_empty() {
            continue;
        }
        // The timer follows when it fires, not with each packet.
        silent_at = TokioInstant::now() + PUSH_SILENCE;
        if std::mem::take(&mut silent) {
            silence.as_mut().reset(silent_at);
        }
        events.send_all(packets).await?;
    }
}

/// A port to which RTP is pushed.
struct Port {
    listen: SocketAddr,
    filter: SenderFilter,
    dropped: DropLog,
}

impl Port {
    /// Appends the packets of a datagram to `packets`, unless it has to be dropped.
    fn accept(
        &mut self,
        arrival: Instant,
        from: SocketAddr,
        datagram: &[u8],
        packets: &mut Vec<SourceEvent>,
    ) {
        match self.filter.accept(arrival, from, Bytes::copy_from_slice(datagram)) {
            Ok(accepted) => {
                let accepted = accepted.into_iter().flatten();
                packets.extend(accepted.map(|(arrival, packet)| SourceEvent::Packet {
                    track: MediaKind::Video,
                    arrival,
                    packet,
                }));
            }
            // Some senders multiplex RTCP, which is harmless.
            Err(DropReason::Invalid(RtpError::Rtcp(_))) => {}
            Err(reason) => self.dropped.count(arrival, self.listen, &reason),
        }
    }
}

/// Reasons for dropping a datagram.
#[derive(Debug)]
enum DropReason {
    /// The datagram is not RTP.
    Invalid(RtpError),
    /// The packet is from another sender, or has another payload type.
    Foreign,
}

/// Accepts the packets of one sender.
struct SenderFilter {
    /// The described payload type.
    payload_type: Option<u8>,
    lock: SourceLock,
    /// The first packet of a possible sender, kept until the next one confirms it.
    first: Option<Arrived>,
}

type Arrived = (Instant, RtpPacket);

impl SenderFilter {
    fn accept(
        &mut self,
        arrival: Instant,
        from: SocketAddr,
        datagram: Bytes,
    ) -> Result<[Option<Arrived>; 2], DropReason> {
        let parsed = match self.payload_type {
            Some(described) => RtpPacket::parse_as(described, datagram),
            None => RtpPacket::parse(datagram),
        };
        let packet = parsed.map_err(DropReason::Invalid)?;
        match self.lock.handle_packet(arrival, from, &packet.header) {
            Verdict::Accepted => Ok([None, Some((arrival, packet))]),
            Verdict::Confirmed => Ok([self.first.take(), Some((arrival, packet))]),
            Verdict::Probation => {
                self.first = Some((arrival, packet));
                Ok([None, None])
            }
            Verdict::Foreign => Err(DropReason::Foreign),
        }
    }
}

/// Counts the datagrams dropped since the last warning.
#[derive(Debug, Default)]
struct DropLog {
    invalid: u64,
    foreign: u64,
    last_warning: Option<Instant>,
}

impl DropLog {
    fn count(&mut self, now: Instant, listen: SocketAddr, reason: &DropReason) {
        let example = match reason {
            DropReason::Invalid(error) => {
                self.invalid += 1;
                error.to_string()
            }
            DropReason::Foreign => {
                self.foreign += 1;
                "a second sender, or another payload type".to_owned()
            }
        };
        let since = |before| now.saturating_duration_since(before);
        if self.last_warning.is_some_and(|before| since(before) < WARNING_INTERVAL) {
            return;
        }
        tracing::warn!(
            port = listen.port(),
            garbage = self.invalid,
            foreign = self.foreign,
            "dropped datagrams on an RTP port: check what else sends to it; the last one: {example}"
        );
        *self = Self { last_warning: Some(now), ..Self::default() };
    }
}

/// Opens a socket on an address of this machine, or on one of a multicast group, which it joins on
/// the system's interface for that group.
pub(super) fn bind(listen: SocketAddr) -> io::Result<UdpSocket> {
    bind_at(listen, None).and_then(register)
}

/// Opens a socket on an address of a multicast group and joins the group on the interface that has
/// this address: the one through which the camera is reached.
pub(super) fn join(group: SocketAddr, interface: Option<IpAddr>) -> io::Result<UdpSocket> {
    bind_at(group, interface.map(|address| address.to_canonical())).and_then(register)
}

fn register(socket: Socket) -> io::Result<UdpSocket> {
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket.into())
}

fn bind_at(listen: SocketAddr, interface: Option<IpAddr>) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(listen), Type::DGRAM, Some(Protocol::UDP))?;
    if let Err(error) = socket.set_recv_buffer_size(RECEIVE_BUFFER) {
        tracing::debug!(%error, "the receive buffer keeps its default size");
    }
    if listen.is_ipv6() && listen.ip().is_unspecified() {
        socket.set_only_v6(false)?;
    }
    match listen.ip() {
        IpAddr::V4(group) if group.is_multicast() => {
            // Several gateways may listen to one group.
            socket.set_reuse_address(true)?;
            socket.bind(&listen.into())?;
            let interface = match interface {
                Some(IpAddr::V4(address)) => address,
                Some(IpAddr::V6(_)) | None => Ipv4Addr::UNSPECIFIED,
            };
            socket.join_multicast_v4(&group, &interface)?;
        }
        IpAddr::V6(group) if group.is_multicast() => {
            socket.set_reuse_address(true)?;
            socket.bind(&listen.into())?;
            socket.join_multicast_v6(&group, interface.and_then(index_of).unwrap_or(0))?;
        }
        IpAddr::V4(_) | IpAddr::V6(_) => socket.bind(&listen.into())?,
    }
    Ok(socket)
}

/// Returns the number of the interface that has this address.
fn index_of(address: IpAddr) -> Option<u32> {
    let interfaces = if_addrs::get_if_addrs().ok()?;
    interfaces.into_iter().find(|interface| interface.ip() == address)?.index
}
