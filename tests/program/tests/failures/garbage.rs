//! Datagrams that no camera sends.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};

/// With [`AT_ONCE`], 400 datagrams per second to each port.
const PAUSE: Duration = Duration::from_millis(10);
const AT_ONCE: usize = 4;
/// The sender ends after two minutes even if nothing stops it.
const MAX_ROUNDS: usize = 12_000;
/// More than any packet of a camera has.
const MAX_BYTES: usize = 9000;

/// A thread that sends garbage until it is stopped.
#[derive(Debug)]
pub(crate) struct Garbage {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<usize>>>,
}

impl Garbage {
    pub(crate) fn send_to(ports: &[SocketAddr]) -> Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        let (stop, ports) = (Arc::new(AtomicBool::new(false)), ports.to_vec());
        let thread = std::thread::spawn({
            let stop = Arc::clone(&stop);
            move || send(&socket, &ports, &stop)
        });
        Ok(Self { stop, thread: Some(thread) })
    }

    /// Stops the thread; fails if it had already ended.
    pub(crate) fn stop(mut self) -> Result<()> {
        let thread = self.thread.take().context("already stopped")?;
        ensure!(!thread.is_finished(), "the sender ended too early");
        self.stop.store(true, Ordering::Relaxed);
        let sent = thread.join().map_err(|_| anyhow!("the thread has panicked"))??;
        ensure!(sent > 0, "nothing was sent");
        Ok(())
    }
}

impl Drop for Garbage {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn send(socket: &UdpSocket, ports: &[SocketAddr], stop: &AtomicBool) -> Result<usize> {
    let (mut random, mut sent) = (Random(0x9e37_79b9_7f4a_7c15), 0);
    for _ in 0..MAX_ROUNDS {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        for port in ports {
            for _ in 0..AT_ONCE {
                // While nothing listens on the port, ICMP makes the next call fail.
                sent += usize::from(socket.send_to(&random.datagram(), port).is_ok());
            }
        }
        std::thread::sleep(PAUSE);
    }
    Ok(sent)
}

/// Marsaglia's xorshift, so that every run sends the same garbage.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap_or_default() % limit
    }

    /// Returns noise, noise behind an RTP header of payload type 96, a STUN request, or nothing.
    fn datagram(&mut self) -> Vec<u8> {
        let kind = self.below(8);
        let length = self.below(if kind == 0 { MAX_BYTES } else { 1400 });
        let mut bytes: Vec<u8> = (0..length).map(|_| self.next().to_le_bytes()[3]).collect();
        let head: &[u8] = match kind {
            0..4 => &[],
            4..6 => &[0x80, 0x60],
            6 => &[0x00, 0x01, 0x00, 0x00, 0x21, 0x12, 0xa4, 0x42],
            _ => return Vec::new(),
        };
        for (byte, fixed) in bytes.iter_mut().zip(head) {
            *byte = *fixed;
        }
        bytes
    }
}
