//! A source that pulls a camera's stream with RTSP: the driver of the core's
//! [`Client`](porthole_gateway_core::rtsp::Client).

mod connection;
mod explain;
mod ports;

use std::time::{Duration, Instant};

use porthole_gateway_core::rtsp::{Client, Config, Line, Output};
use tokio::io::AsyncReadExt as _;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::source::RtspCamera;
use super::{EventSender, SourceError, SourceEvent};
use connection::Lines;
use explain::explain;
use ports::Ports;

/// Size of the buffer for data from the camera in bytes: the largest interleaved frame.
const READ_BUFFER: usize = 64 * 1024;

/// Time for the last request, TEARDOWN, to be sent; the gateway waits 300 ms for its tasks.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(200);

/// Longest sleep when nothing is due.
const IDLE: Duration = Duration::from_secs(60);

/// Runs one RTSP session, from the first connection to its end.
pub(super) async fn run(
    camera: &RtspCamera,
    events: &EventSender,
    cancel: &CancellationToken,
) -> Result<(), SourceError> {
    let config = Config {
        address: camera.address.clone(),
        credentials: camera.credentials.clone(),
        transport: camera.transport,
        timeouts: camera.timeouts,
        caution: camera.caution,
        require: Vec::new(),
        seed: rand::random(),
    };
    let client = Client::new(config, Instant::now());
    let (lines, ports, packets) = (Lines::default(), Ports::default(), Vec::new());
    let mut session = Session { camera, client, lines, ports, packets };
    tokio::select! {
        result = session.run(events) => return result,
        () = cancel.cancelled() => {}
    }
    session.close().await;
    Ok(())
}

/// A client with the sockets that it has asked for.
struct Session<'a> {
    camera: &'a RtspCamera,
    client: Client,
    lines: Lines,
    ports: Ports,
    /// Packets that have arrived together; at most those of one read.
    packets: Vec<SourceEvent>,
}

impl Session<'_> {
    /// Runs until the session ends.
    async fn run(&mut self, events: &EventSender) -> Result<(), SourceError> {
        let mut buffer = vec![0; READ_BUFFER];
        loop {
            while let Some(output) = self.client.poll_output() {
                if !matches!(output, Output::Packet { .. }) {
                    events.send_all(std::mem::take(&mut self.packets)).await?;
                }
                self.apply(output, events).await?;
            }
            events.send_all(std::mem::take(&mut self.packets)).await?;
            let due = self.client.poll_timeout().unwrap_or_else(|| Instant::now() + IDLE);
            tokio::select! {
                read = self.lines.main.read(&mut buffer) => {
                    let bytes = buffer.get(..read.unwrap_or(0)).unwrap_or_default();
                    if bytes.is_empty() {
                        self.lines.reset();
                        self.client.handle_disconnected(Instant::now());
                    } else {
                        self.client.handle_data(Instant::now(), bytes);
                    }
                }
                received = self.ports.receive() => {
                    let (track, port, from, bytes) = received;
                    self.client.handle_datagram(Instant::now(), track, port, from, bytes);
                }
                () = tokio::time::sleep_until(due.into()) => {
                    self.client.handle_timeout(Instant::now());
                }
            }
        }
    }

    /// Applies one output.
    async fn apply(&mut self, output: Output, events: &EventSender) -> Result<(), SourceError> {
        match output {
            Output::Connect(wanted) => {
                self.ports = Ports::default();
                self.lines = Lines::default();
                let (lines, peer) = connection::open(self.camera, &wanted).await?;
                self.lines = lines;
                self.client.handle_connected(Instant::now(), peer);
            }
            Output::Send(line, bytes) => self.send(line, &bytes).await,
            Output::OpenPorts(track) => {
                let peer = self.lines.peer();
                let ports = self.ports.open(track, peer).map_err(SourceError::Ports)?;
                self.client.handle_ports(Instant::now(), track, ports);
            }
            Output::JoinGroup { track, group, ports } => {
                let interface = self.lines.local().map(|local| local.ip());
                self.ports.join(track, group, ports, interface).map_err(SourceError::Ports)?;
            }
            Output::Datagram(datagram) => self.ports.send(&datagram),
            Output::Described(stream) => {
                events.send(SourceEvent::Connected(stream)).await?;
            }
            Output::Playing => {
                tracing::debug!(transport = ?self.camera.transport, "the camera is playing");
            }
            Output::Packet { track, packet } => {
                let arrival = Instant::now();
                self.packets.push(SourceEvent::Packet { track, arrival, packet });
            }
            Output::Clock { track, report } => {
                events.send(SourceEvent::Clock { track, report }).await?;
            }
            Output::Ended(failure) => {
                tracing::debug!(?failure, "the session has ended");
                return Err(explain(self.camera, failure));
            }
        }
        Ok(())
    }

    /// Sends bytes. A camera that does not read them is not waited for: the client notices when no
    /// reply comes.
    async fn send(&mut self, line: Line, bytes: &[u8]) {
        let sent = timeout(self.camera.timeouts.connect, self.lines.send(line, bytes)).await;
        if !matches!(sent, Ok(Ok(()))) {
            self.lines = Lines::default();
            self.client.handle_disconnected(Instant::now());
        }
    }

    /// Ends the session at the camera.
    async fn close(mut self) {
        self.client.close(Instant::now());
        while let Some(output) = self.client.poll_output() {
            if let Output::Send(line, bytes) = output
                && !matches!(
                    timeout(CLOSE_TIMEOUT, self.lines.send(line, &bytes)).await,
                    Ok(Ok(()))
                )
            {
                return;
            }
        }
    }
}
