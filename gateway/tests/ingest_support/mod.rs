//! Senders of real streams, and the task of a camera as the gateway runs it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use openh264::decoder::Decoder;
use porthole_gateway::ingest;
use porthole_gateway::ingest::{
    EventSender, Source, SourceBatch, SourceControl, SourceError, SourceEvent,
};
use porthole_gateway_core::media::{
    AudioFeed, Codec, Feed, FeedOutput, MediaKind, MediaPacket, NalCodec, byte_stream,
};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

/// Environment variable that is set to 1 where every test must run.
const REQUIRE_ALL: &str = "PORTHOLE_REQUIRE_ALL";

/// The packets received from a camera so far.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) feed: Feed,
    pub(crate) audio: AudioFeed,
    pub(crate) sound: Vec<MediaPacket>,
    pub(crate) packets: Vec<MediaPacket>,
    pub(crate) silent: bool,
    control: mpsc::Sender<SourceControl>,
}

impl Watch {
    pub(crate) fn send_control(&self, control: SourceControl) {
        self.control.try_send(control).expect("the source listens");
    }

    fn handle_event(&mut self, event: SourceEvent) {
        match event {
            SourceEvent::Connected(description) => {
                self.feed.handle_description(&description.video);
                self.audio.handle_description(description.audio.as_ref());
                self.audio.set_wanted(true);
            }
            SourceEvent::Packet { track: MediaKind::Video, arrival, packet } => {
                // Packets that are refused are counted.
                let _ = self.feed.handle_packet(arrival, packet);
                self.silent = false;
            }
            SourceEvent::Packet { track: MediaKind::Audio, arrival, packet } => {
                self.audio.handle_packet(arrival, packet);
            }
            SourceEvent::Clock { .. } => {}
            SourceEvent::Silent => self.silent = true,
            SourceEvent::Ended { reason, .. } => panic!("only the driver sends this: {reason}"),
        }
        self.sound.extend(std::iter::from_fn(|| self.audio.poll_output()));
        while let Some(output) = self.feed.poll_output() {
            if let FeedOutput::Packet(packet) = output {
                self.packets.push(packet);
            }
        }
    }
}

/// A task that runs `ingest::run`.
pub(crate) struct Camera {
    pub(crate) events: mpsc::Receiver<SourceBatch>,
    pub(crate) control: mpsc::Sender<SourceControl>,
    pub(crate) cancel: CancellationToken,
    pub(crate) task: JoinHandle<Result<(), SourceError>>,
}

impl Camera {
    pub(crate) fn start(source: &Source) -> Self {
        let (sender, events) = mpsc::channel(ingest::BATCH_QUEUE);
        let sender = EventSender::new(0, sender);
        let (control, controlled) = mpsc::channel(4);
        let cancel = CancellationToken::new();
        let (source, token) = (source.clone(), cancel.clone());
        let task =
            tokio::spawn(async move { ingest::run(&source, sender, controlled, token).await });
        Self { events, control, cancel, task }
    }
}

/// Watches a source until `enough` returns true, the time limit has passed or the source fails.
/// Calls `enough` after each event and every tenth of a second.
pub(crate) async fn watch(
    source: &str,
    limit: Duration,
    enough: impl FnMut(&Watch) -> bool,
) -> Result<Watch, SourceError> {
    watch_source(&source.parse().expect("a valid source"), limit, enough).await
}

/// Watches a source as [`watch`] does.
pub(crate) async fn watch_source(
    source: &Source,
    limit: Duration,
    mut enough: impl FnMut(&Watch) -> bool,
) -> Result<Watch, SourceError> {
    let Camera { mut events, control, cancel, task } = Camera::start(source);
    let mut watch = Watch {
        feed: Feed::new(),
        audio: AudioFeed::default(),
        sound: Vec::new(),
        packets: Vec::new(),
        silent: false,
        control,
    };
    let deadline = Instant::now() + limit;
    while Instant::now() < deadline {
        let tick = deadline.min(Instant::now() + Duration::from_millis(100));
        match timeout_at(tick, events.recv()).await {
            Ok(Some(batch)) => batch.events.into_iter().for_each(|event| watch.handle_event(event)),
            Ok(None) => {
                task.await.expect("it does not panic")?;
                return Ok(watch);
            }
            Err(_) => {}
        }
        if enough(&watch) {
            break;
        }
    }
    cancel.cancel();
    task.await.expect("it does not panic")?;
    Ok(watch)
}

/// A program that sends video. It ends when the value is dropped.
#[derive(Debug)]
pub(crate) struct Sender {
    child: Child,
    pub(crate) port: u16,
}

impl Sender {
    /// Starts ffmpeg, which pushes RTP to a port of loopback. `None` if it is not installed.
    pub(crate) fn ffmpeg(encoder: &str, port: u16, flags: &[&str]) -> Option<Self> {
        let mut command = Command::new("ffmpeg");
        command
            .args(["-hide_banner", "-loglevel", "error", "-nostdin", "-re"])
            .args(["-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25"])
            .args(["-pix_fmt", "yuv420p", "-c:v", encoder, "-preset", "ultrafast"])
            .args(["-tune", "zerolatency", "-g", "25", "-b:v", "600k"])
            .args(if encoder == "libx265" { &["-x265-params", "log-level=error"][..] } else { &[] })
            .args(flags)
            .args(["-f", "rtp", &format!("rtp://127.0.0.1:{port}")])
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        match command.spawn() {
            Ok(child) => Some(Self { child, port }),
            Err(error) => not_run(&format!("ffmpeg does not start: {error}")),
        }
    }

    /// Starts a script of the test cameras and waits until it is ready.
    fn script(name: &str, flags: &[&str]) -> Option<Self> {
        let script = cameras().join(name);
        // Debian's Python, which has Debian's GStreamer bindings.
        let child = Command::new("/usr/bin/python3")
            .arg(&script)
            .arg("--stdin")
            .args(flags)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let mut child = match child {
            Ok(child) => child,
            Err(error) => return not_run(&format!("{name} does not start: {error}")),
        };
        let mut line = String::new();
        let output = child.stdout.take()?;
        let read = BufReader::new(output).read_line(&mut line);
        let port = line.trim().strip_prefix("ready ").and_then(|port| port.parse().ok());
        let sender = Self { child, port: port.unwrap_or(0) };
        match (read, port) {
            (Ok(_), Some(_)) => Some(sender),
            _ => not_run(&format!("{name} does not start; the script lists its dependencies")),
        }
    }

    /// Kills the program.
    pub(crate) fn kill(&mut self) {
        self.child.kill().and_then(|()| self.child.wait().map(|_| ())).expect("it was running");
    }

    /// Sends a signal to the program.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(status.is_ok_and(|status| status.success()), "kill -s {name}");
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        // A script stops its children and ends when its standard input closes. Other programs are
        // killed, and so is a script that takes too long.
        if self.child.stdin.take().is_some() {
            for _ in 0..20 {
                if self.child.try_wait().is_ok_and(|status| status.is_some()) {
                    return;
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts GStreamer's RTSP server, with a stream at /camera.
pub(crate) fn rtsp_server(flags: &[&str]) -> Option<Sender> {
    Sender::script("rtsp_server.py", flags)
}

/// Starts live555's RTSP server, with a stream at /proxyStream.
pub(crate) fn live555() -> Option<Sender> {
    // All tests of a target folder share the downloads.
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("live555");
    let cache = cache.to_str()?;
    let port = free_udp_port().to_string();
    Sender::script("live555_server.py", &["--cache", cache, "--port", &port])
}

/// Returns how many pictures a decoder makes of the packets.
pub(crate) fn decoded_pictures(packets: &[MediaPacket]) -> usize {
    try_decode(Codec::H264, packets).expect("what a camera sends can be decoded")
}

/// Returns how many pictures a decoder makes of the packets, or what it says about them.
pub(crate) fn try_decode(codec: Codec, packets: &[MediaPacket]) -> Result<usize, String> {
    // The last access unit may not be complete.
    let complete = packets.iter().rposition(|packet| packet.marker).map_or(0, |last| last + 1);
    let packets = &packets[..complete];
    if codec == Codec::H265 {
        return decode_h265(&byte_stream(NalCodec::H265, packets));
    }
    let mut decoder = Decoder::new().map_err(|error| error.to_string())?;
    let mut count = 0;
    for unit in packets.chunk_by(|a, b| a.timestamp == b.timestamp) {
        let stream = byte_stream(NalCodec::H264, unit);
        let picture = decoder.decode(&stream).map_err(|error| error.to_string())?;
        count += usize::from(picture.is_some());
    }
    Ok(count)
}

fn decode_h265(stream: &[u8]) -> Result<usize, String> {
    let text = |error: std::io::Error| error.to_string();
    let mut file = tempfile::NamedTempFile::new().map_err(text)?;
    file.write_all(stream).map_err(text)?;
    let output = Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "error", "-nostdin", "-f", "hevc", "-i"])
        .arg(file.path())
        .args(["-f", "null", "-", "-progress", "pipe:1"])
        .stdin(Stdio::null())
        .output()
        .map_err(text)?;
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let frames = text.lines().filter_map(|line| line.strip_prefix("frame="));
    let count = frames.filter_map(|count| count.trim().parse().ok()).next_back();
    if errors.is_empty() { Ok(count.unwrap_or(0)) } else { Err(errors) }
}

pub(crate) fn free_udp_port() -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback");
    socket.local_addr().expect("bound").port()
}

fn cameras() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/support/cameras")
}

/// Reports that a test cannot run here, or fails it where every test must run.
pub(crate) fn not_run<T>(reason: &str) -> Option<T> {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let message = format!("NOT RUN: {test}: {reason}");
    assert!(std::env::var(REQUIRE_ALL).as_deref() != Ok("1"), "{message}");
    let _ = writeln!(std::io::stderr().lock(), "{message}");
    None
}
