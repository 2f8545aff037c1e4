//! A viewer: one session on a socket of its own, which counts what arrives.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use porthole_gateway_core::Datagram;
use porthole_gateway_core::dtls_srtp::{DtlsRole, Identity};
use porthole_gateway_core::ice::LocalBase;
use porthole_viewer::{ViewerConfig, ViewerOutput, ViewerSession};
use socket2::{Domain, Socket, Type};
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::sleep_until;

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

    fn receive(&mut self, buffer: &mut [u8]) {
        let now = Instant::now();
        for _ in 0..BATCH {
            let Ok((length, from)) = self.socket.try_recv_from(buffer) else { return };
            let datagram = buffer.get(..length).unwrap_or_default();
            self.count(datagram);
            self.session.handle_datagram(now, LocalBase::Socket(self.local), from, datagram);
        }
    }

    /// Counts a packet by its header, which SRTP leaves readable.
    fn count(&mut self, datagram: &[u8]) {
        let [first, kind, high, low, ..] = *datagram else { return };
        if !(128..=191).contains(&first) || (192..=223).contains(&kind) {
            return;
        }
        self.counters.packets.fetch_add(1, Ordering::Relaxed);
        let sequence = u16::from_be_bytes([high, low]);
        let ahead = self.last.map_or(1, |last| sequence.wrapping_sub(last));
        if ahead == 0 || ahead >= 1 << 15 {
            return;
        }
        self.counters.lost.fetch_add(u64::from(ahead - 1), Ordering::Relaxed);
        self.last = Some(sequence);
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
