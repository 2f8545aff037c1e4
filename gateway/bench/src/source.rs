//! Cameras that push RTP in real time: H.264 of 4 Mbit/s whose slices nobody can decode, which no
//! gateway tries.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result};

/// Number of frames a second.
const RATE: u32 = 30;

/// Time between two frames, in ticks of the RTP clock of 90 kHz.
pub(crate) const FRAME_TICKS: i32 = 3000;

/// Number of frames from one key frame to the next.
const GROUP: u64 = 120;

/// Number of packets of a key frame, and of another frame: together 4 Mbit/s.
const PACKETS: (u64, u64) = (77, 14);

/// Size of a packet: one that every gateway forwards as it is.
const PACKET_BYTES: usize = 1180;

/// The synchronization source of the first camera.
const FIRST_SSRC: u32 = 0x1000;

/// The parameter sets: baseline, 1280x720.
const SPS: &[u8] = &[0x67, 0x42, 0xc0, 0x1f, 0xda, 0x01, 0x40, 0x16, 0xe4];
const PPS: &[u8] = &[0x68, 0xce, 0x3c, 0x80];

/// The times since 1970 at which the first camera has begun to send its frames.
type Times = Arc<Mutex<Vec<Duration>>>;

/// Cameras that send until they are dropped.
pub(crate) struct Cameras {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    times: Times,
    thread: Option<JoinHandle<()>>,
}

impl Cameras {
    /// Starts a camera for each port. They are spread evenly over the time of a frame.
    pub(crate) fn start(ports: &[u16]) -> Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).context("no UDP port")?;
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let interval = Duration::from_secs(1) / RATE;
        let count = u32::try_from(ports.len()).unwrap_or(u32::MAX);
        let begin = Instant::now();
        let cameras = ports.iter().zip(0..).map(|(port, number)| {
            let to = SocketAddr::from((Ipv4Addr::LOCALHOST, *port));
            (begin + interval * number / count.max(1), Camera::new(to, number))
        });
        let mut cameras: Vec<_> = cameras.collect();
        let (stopped, counter) = (Arc::clone(&stop), Arc::clone(&sent));
        let times = Times::default();
        let noted = Arc::clone(&times);
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let Some((due, camera)) = cameras.iter_mut().min_by_key(|(due, _)| *due) else {
                    return;
                };
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                counter.fetch_add(camera.send_frame(&socket, &noted), Ordering::Relaxed);
                *due += interval;
            }
        });
        Ok(Self { stop, sent, times, thread: Some(thread) })
    }

    /// Returns the times since 1970 at which the first camera has begun to send its frames.
    pub(crate) fn times(&self) -> Vec<Duration> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the number of packets so far.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}

impl Drop for Cameras {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It has nothing that could panic.
            let _ = thread.join();
        }
    }
}

struct Camera {
    to: SocketAddr,
    ssrc: u32,
    frame: u64,
    sequence: u16,
}

impl Camera {
    fn new(to: SocketAddr, number: u32) -> Self {
        Self { to, ssrc: FIRST_SSRC + number, frame: 0, sequence: 0 }
    }

    /// Sends a frame; returns the number of its packets.
    fn send_frame(&mut self, socket: &UdpSocket, times: &Times) -> u64 {
        let packets = self.packets();
        self.frame += 1;
        if self.ssrc == FIRST_SSRC {
            let mut times = times.lock().unwrap_or_else(PoisonError::into_inner);
            times.push(SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default());
        }
        for packet in &packets {
            // A gateway that has just ended refuses it.
            let _ = socket.send_to(packet, self.to);
        }
        packets.len() as u64
    }

    /// Returns the packets of the next frame, in FU-A (RFC 6184 §5.8).
    fn packets(&mut self) -> Vec<Vec<u8>> {
        let is_key = self.frame.is_multiple_of(GROUP);
        let count = if is_key { PACKETS.0 } else { PACKETS.1 };
        let (indicator, kind, slice) = if is_key { (0x7c, 5, 0x88) } else { (0x5c, 1, 0x9a) };
        let mut packets = Vec::new();
        if is_key {
            packets.extend([SPS, PPS].map(|set| self.packet(false, set)));
        }
        for number in 0..count {
            let (first, last) = (number == 0, number + 1 == count);
            let header = u8::from(first) << 7 | u8::from(last) << 6 | kind;
            let mut payload = vec![indicator, header, slice];
            payload.resize(PACKET_BYTES - 12, 0x55);
            packets.push(self.packet(last, &payload));
        }
        packets
    }

    fn packet(&mut self, marker: bool, payload: &[u8]) -> Vec<u8> {
        #[expect(clippy::cast_possible_truncation, reason = "an RTP timestamp wraps")]
        let timestamp = (self.frame as u32).wrapping_mul(FRAME_TICKS.cast_unsigned());
        let mut packet = vec![0x80, u8::from(marker) << 7 | 96];
        packet.extend(self.sequence.to_be_bytes());
        packet.extend(timestamp.to_be_bytes());
        packet.extend(self.ssrc.to_be_bytes());
        packet.extend_from_slice(payload);
        self.sequence = self.sequence.wrapping_add(1);
        packet
    }
}

#[cfg(test)]
mod tests {
    use porthole_gateway_core::media::RtpPacket;

    use super::*;

    #[test]
    fn a_group_of_pictures_has_four_megabits_a_second_and_begins_with_a_key_frame() {
        let mut camera = Camera::new(SocketAddr::from(([127, 0, 0, 1], 9)), 0);
        let mut bytes = 0;
        for frame in 0..GROUP {
            let packets = camera.packets();
            camera.frame += 1;
            bytes += packets.iter().map(Vec::len).sum::<usize>();
            let first = RtpPacket::parse(packets[0].clone().into()).unwrap();
            assert_eq!(first.payload[0] & 0x1f == 7, frame == 0, "frame {frame}");
            let markers = packets.iter().filter(|packet| packet[1] & 0x80 != 0).count();
            assert_eq!((markers, packets.last().unwrap()[1] & 0x80), (1, 0x80), "frame {frame}");
        }
        let rate = bytes * 8 / 4;
        assert!((3_900_000..4_300_000).contains(&rate), "{rate}");
    }
}
