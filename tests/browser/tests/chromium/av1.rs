//! AV1, pushed over RTP and shown by Chromium.

use std::fs::File;
use std::io::BufReader;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::Command;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use bytes::Bytes;
use porthole_test_support::ports::free_port;
use porthole_test_support::scene::{Need, Scene, scene};
use webrtc::media::io::ivf_reader::IVFReader;
use webrtc::rtp::codecs::av1::Av1Payloader;
use webrtc::rtp::header::Header;
use webrtc::rtp::packet::Packet;
use webrtc::rtp::packetizer::Payloader;
use webrtc::util::marshal::Marshal;

use crate::{NEEDS, server_and_gateway, watch, watch_smoothly};

const FFMPEG: Need = Need::Tool("ffmpeg");
/// Rate of RTP timestamps.
const CLOCK_RATE: u32 = 90_000;
/// Bytes of one packet.
const MAX_PAYLOAD: usize = 1100;
/// Time that the frames of one measurement may take.
const FRAMES_DEADLINE: Duration = Duration::from_secs(20);

/// Pictures per second of the camera.
const RATE: u32 = 15;

/// A thread that sends pictures until the test drops this value.
struct Camera {
    wanted: Arc<()>,
    thread: JoinHandle<Result<()>>,
}

impl Camera {
    /// Sends the pictures again and again at their rate.
    fn start(pictures: Vec<Bytes>, to: SocketAddr) -> Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        let wanted = Arc::new(());
        let is_wanted = Arc::downgrade(&wanted);
        let thread = std::thread::spawn(move || {
            let (start, mut sequence_number) = (Instant::now(), 0_u16);
            for (picture, number) in pictures.iter().cycle().zip(0_u32..) {
                let at = start + Duration::from_secs(1) * number / RATE;
                std::thread::sleep(at.saturating_duration_since(Instant::now()));
                if is_wanted.strong_count() == 0 {
                    break;
                }
                for packet in packets(picture, number, &mut sequence_number)? {
                    socket.send_to(&packet.marshal()?, to)?;
                }
            }
            Ok(())
        });
        Ok(Self { wanted, thread })
    }

    /// Ends the thread and returns its error.
    fn stop(self) -> Result<()> {
        drop(self.wanted);
        self.thread.join().map_err(|_| anyhow!("the camera panicked"))?
    }
}

/// Neither ffmpeg nor GStreamer of Debian 12 sends AV1 over RTP: the encoder is ffmpeg's, the
/// packets are made by the `rtp` crate.
#[test]
fn pushed_av1_is_shown() {
    scene("pushed_av1_is_shown", &[NEEDS[0], NEEDS[1], FFMPEG], |scene| {
        let address = free_port()?;
        let pictures = encode_av1(scene)?;
        let camera = Camera::start(pictures, address)?;
        let source = format!("rtp://{address}?codec=av1");
        let (server, _gateway, token) = server_and_gateway(scene, &[("yard", &source)])?;
        let mut browser = watch(scene, "browser", &server, &token, "yard")?;
        let last = watch_smoothly(&mut browser, 60, FRAMES_DEADLINE)?;
        ensure!(last.codec.as_deref() == Some("video/AV1"), "{last:?}");
        ensure!((last.frame_width, last.frame_height) == (320, 240), "{last:?}");
        camera.stop()
    });
}

/// Encodes four seconds and returns their temporal units, the first one a key frame.
fn encode_av1(scene: &Scene) -> Result<Vec<Bytes>> {
    let file = scene.folder().join("camera.ivf");
    let mut command = Command::new("ffmpeg");
    command
        .args(["-hide_banner", "-loglevel", "error", "-nostdin", "-f", "lavfi"])
        .args(["-i", &format!("testsrc2=size=320x240:rate={RATE}:duration=4")])
        .args(["-c:v", "libaom-av1", "-usage", "realtime", "-cpu-used", "8", "-g", "15"])
        .args(["-pix_fmt", "yuv420p", "-b:v", "300k", "-f", "ivf"])
        .arg(&file);
    let status = command.status().context("ffmpeg")?;
    ensure!(status.success(), "ffmpeg: {status}");
    let (mut reader, header) = IVFReader::new(BufReader::new(File::open(&file)?))?;
    (0..header.num_frames).map(|_| Ok(reader.parse_next_frame()?.0.freeze())).collect()
}

/// Returns the packets of a picture.
fn packets(picture: &Bytes, number: u32, sequence_number: &mut u16) -> Result<Vec<Packet>> {
    let payloads = Av1Payloader::default().payload(MAX_PAYLOAD, picture)?;
    let last = payloads.len().saturating_sub(1);
    let packet = |(index, payload)| {
        let header = Header {
            version: 2,
            marker: index == last,
            payload_type: 96,
            sequence_number: *sequence_number,
            timestamp: number.wrapping_mul(CLOCK_RATE / RATE),
            ssrc: 1,
            ..Header::default()
        };
        *sequence_number = sequence_number.wrapping_add(1);
        Packet { header, payload }
    };
    Ok(payloads.into_iter().enumerate().map(packet).collect())
}
