//! A viewer: one session on a socket of its own, which counts what arrives.

use std::io::IoSliceMut;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use nix::cmsg_space;
use nix::sys::socket::sockopt::ReceiveTimestampns;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt};
use nix::sys::time::TimeSpec;
use porthole_gateway_core::Datagram;
use porthole_gateway_core::dtls_srtp::{DtlsRole, Identity};
use porthole_gateway_core::ice::LocalBase;
use porthole_viewer::{ViewerConfig, ViewerOutput, ViewerSession};
use socket2::{Domain, Socket, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::sleep_until;

use crate::latency::Arrivals;

/// Size of the kernel's receive queue: some key frames, while other viewers are served.
const RECEIVE_BUFFER: usize = 1024 * 1024;

/// Capacity of the queue of the server's candidates.
pub(crate) const CANDIDATES: usize = 64;

/// Limit of datagrams that are read before another viewer's turn.
const BATCH: usize = 64;

/// Longest sleep when nothing is due.
const IDLE: Duration = Duration::from_secs(60);

/// Counters of all viewers together.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// RTP packets that have arrived.
    pub(crate) packets: AtomicU64,
    /// Packets whose numbers were left out, so far.
    pub(crate) lost: AtomicU64,
    /// Datagrams that the viewers have sent.
    pub(crate) sent: AtomicU64,
    /// The times at which packets arrive, while they are asked for.
    pub(crate) arrivals: Arrivals,
}

/// The reply of a viewer to the offer of its server.
#[derive(Debug, Default)]
pub(crate) struct Reply {
    /// The SDP answer.
    pub(crate) answer: String,
    /// The candidate lines.
    pub(crate) candidates: Vec<String>,
}

/// A viewer that runs until it is dropped.
#[derive(Debug)]
pub(crate) struct Viewer {
    /// Takes candidate lines of the server.
    pub(crate) candidates: mpsc::Sender<String>,
    first_frame: oneshot::Receiver<Instant>,
    task: JoinHandle<Result<()>>,
}

impl Viewer {
    /// Answers an offer; the viewer's socket is on this address.
    pub(crate) fn start(
        offer: &str,
        address: IpAddr,
        identity: &Identity,
        counters: &Arc<Counters>,
    ) -> Result<(Self, Reply)> {
        let any_port = SocketAddr::new(address, 0);
        let socket = Socket::new(Domain::for_address(any_port), Type::DGRAM, None)?;
        socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
        socket.set_nonblocking(true)?;
        setsockopt(&socket, ReceiveTimestampns, &true)?;
        socket.bind(&any_port.into())?;
        let socket = UdpSocket::from_std(socket.into())?;
        let local = socket.local_addr()?;
        let config = ViewerConfig {
            identity: identity.clone(),
            ice_servers: Vec::new(),
            turn_only: false,
            role: DtlsRole::Client,
            seed: rand::random(),
        };
        let now = Instant::now();
        let mut session = ViewerSession::new(now, config, offer).context("the offer")?;
        session.set_addresses(now, &[local]);
        session.handle_reflexive_complete(now);
        let (started, first_frame) = oneshot::channel();
        let (candidates, incoming) = mpsc::channel(CANDIDATES);
        let mut run = Run {
            session,
            socket,
            local,
            counters: Arc::clone(counters),
            number: counters.arrivals.add_viewer(),
            outgoing: Vec::new(),
            reply: Reply::default(),
            last: None,
            started: Some(started),
        };
        run.drain()?;
        let reply = std::mem::take(&mut run.reply);
        let task = tokio::spawn(run.run(incoming));
        Ok((Self { candidates, first_frame, task }, reply))
    }

    /// Waits for the first whole frame; returns when it was there.
    pub(crate) async fn first_frame(&mut self, patience: Duration) -> Result<Instant> {
        let waited = tokio::time::timeout(patience, &mut self.first_frame).await;
        waited.context("no picture in time")?.context("the session has ended")
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Run {
    session: ViewerSession,
    socket: UdpSocket,
    local: SocketAddr,
    counters: Arc<Counters>,
    /// The number of the viewer among [`Arrivals`].
    number: usize,
    outgoing: Vec<Datagram>,
    reply: Reply,
    /// The highest sequence number so far.
    last: Option<u16>,
    started: Option<oneshot::Sender<Instant>>,
}

impl Run {
    async fn run(mut self, mut candidates: mpsc::Receiver<String>) -> Result<()> {
        let mut buffer = vec![0; 2048];
        loop {
            let due = self.session.poll_timeout().unwrap_or_else(|| Instant::now() + IDLE);
            tokio::select! {
                readable = self.socket.readable() => {
                    readable?;
                    self.receive(&mut buffer);
                }
                Some(candidate) = candidates.recv() => {
                    self.session.handle_candidate(Instant::now(), &candidate);
                }
                () = sleep_until(due.into()) => self.session.handle_timeout(Instant::now()),
            }
            self.drain()?;
        }
    }

    /// Reads what has arrived. From the first frame on, packets are counted by their headers, which
    /// SRTP leaves readable: hundreds of viewers would be a load of their own.
    fn receive(&mut self, buffer: &mut [u8]) {
        let now = Instant::now();
        for _ in 0..BATCH {
            let read = || read(&self.socket, buffer);
            let Ok((length, from, at)) = self.socket.try_io(Interest::READABLE, read) else {
                return;
            };
            let datagram = buffer.get(..length).unwrap_or_default();
            if self.count(datagram, at) && self.started.is_none() {
                continue;
            }
            self.session.handle_datagram(now, LocalBase::Socket(self.local), from, datagram);
        }
    }

    /// Counts a datagram if it is an RTP packet; returns true if it is.
    fn count(&mut self, datagram: &[u8], at: Duration) -> bool {
        let [first, kind, high, low, a, b, c, d, ..] = *datagram else { return false };
        if !(128..=191).contains(&first) || (192..=223).contains(&kind) {
            return false;
        }
        self.counters.packets.fetch_add(1, Ordering::Relaxed);
        let sequence = u16::from_be_bytes([high, low]);
        self.counters.arrivals.push(self.number, u32::from_be_bytes([a, b, c, d]), at);
        let ahead = self.last.map_or(1, |last| sequence.wrapping_sub(last));
        if ahead == 0 || ahead >= 1 << 15 {
            return true;
        }
        self.counters.lost.fetch_add(u64::from(ahead - 1), Ordering::Relaxed);
        self.last = Some(sequence);
        true
    }

    fn drain(&mut self) -> Result<()> {
        while let Some(output) = self.session.poll_output() {
            match output {
                ViewerOutput::Datagram(datagram) => self.outgoing.push(datagram),
                ViewerOutput::Answer(answer) => self.reply.answer = answer,
                ViewerOutput::Trickle(candidate) => {
                    self.reply.candidates.push(candidate.candidate);
                }
                ViewerOutput::Frame(frame) => {
                    if let Some(started) = self.started.take() {
                        // Whoever waited may have given up.
                        let _ = started.send(frame.at);
                    }
                }
                ViewerOutput::Ended(reason) => return Err(anyhow!(reason)),
                ViewerOutput::Started | ViewerOutput::Rtcp(_) | ViewerOutput::TurnTransport(..) => {
                }
            }
        }
        for datagram in self.outgoing.drain(..) {
            self.counters.sent.fetch_add(1, Ordering::Relaxed);
            // A full socket loses it, as a network would.
            let _ = self.socket.try_send_to(&datagram.bytes, datagram.to);
        }
        Ok(())
    }
}

/// Reads one datagram; returns its length, its sender, and the kernel's time of its arrival since
/// 1970.
fn read(socket: &UdpSocket, buffer: &mut [u8]) -> std::io::Result<(usize, SocketAddr, Duration)> {
    let mut space = cmsg_space!(TimeSpec);
    let mut parts = [IoSliceMut::new(buffer)];
    let fd = socket.as_raw_fd();
    let flags = MsgFlags::MSG_DONTWAIT;
    let message = recvmsg::<SockaddrStorage>(fd, &mut parts, Some(&mut space), flags)?;
    let at = message.cmsgs()?.find_map(|control| {
        let ControlMessageOwned::ScmTimestampns(time) = control else { return None };
        Some(Duration::from(time))
    });
    let from = message.address.as_ref().and_then(|address| {
        let v4 = address.as_sockaddr_in().map(|v4| SocketAddr::from((v4.ip(), v4.port())));
        v4.or_else(|| address.as_sockaddr_in6().map(|v6| SocketAddr::from((v6.ip(), v6.port()))))
    });
    let from = from.ok_or_else(|| std::io::Error::other("a datagram without a sender"))?;
    Ok((message.bytes, from, at.unwrap_or_default()))
}
