//! The UDP ports of a session's tracks.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::task::Poll;

use bytes::Bytes;
use porthole_gateway_core::rtsp::{Datagram, Port};
use tokio::io::ReadBuf;
use tokio::net::UdpSocket;

use crate::ingest::rtp;

/// Number of attempts to find two free ports side by side, the first one even (RFC 3550 §11).
const ATTEMPTS: usize = 50;

/// Size of the largest possible UDP datagram, in bytes.
const MAX_DATAGRAM: usize = 65_535;

/// Maximum number of errors of a socket in a row that are skipped.
const MAX_ERRORS: usize = 16;

/// The open ports.
#[derive(Default)]
pub(super) struct Ports {
    sockets: Vec<(u8, Port, UdpSocket)>,
    buffer: Vec<u8>,
}

impl Ports {
    /// Opens a pair of ports for a track and returns their numbers, RTP first.
    pub(super) fn open(&mut self, track: u8, peer: Option<SocketAddr>) -> io::Result<(u16, u16)> {
        let any: IpAddr = match peer.map(|peer| peer.ip().to_canonical()) {
            Some(IpAddr::V6(_)) => Ipv6Addr::UNSPECIFIED.into(),
            Some(IpAddr::V4(_)) | None => Ipv4Addr::UNSPECIFIED.into(),
        };
        let mut failure = io::Error::from(io::ErrorKind::AddrInUse);
        for _ in 0..ATTEMPTS {
            let rtp = rtp::bind(SocketAddr::new(any, 0))?;
            let first = rtp.local_addr()?.port();
            if first % 2 != 0 {
                continue;
            }
            match rtp::bind(SocketAddr::new(any, first + 1)) {
                Ok(rtcp) => {
                    self.sockets.push((track, Port::Rtp, rtp));
                    self.sockets.push((track, Port::Rtcp, rtcp));
                    return Ok((first, first + 1));
                }
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// Joins a multicast group on the interface with this address.
    pub(super) fn join(
        &mut self,
        track: u8,
        group: IpAddr,
        ports: (u16, u16),
        interface: Option<IpAddr>,
    ) -> io::Result<()> {
        for (port, number) in [(Port::Rtp, ports.0), (Port::Rtcp, ports.1)] {
            let socket = rtp::join(SocketAddr::new(group, number), interface)?;
            self.sockets.push((track, port, socket));
        }
        Ok(())
    }

    /// Sends a datagram. One that cannot be sent is lost, as on the way.
    pub(super) fn send(&self, datagram: &Datagram) {
        let wanted = (datagram.track, datagram.port);
        let socket = self.sockets.iter().find(|(track, port, _)| (*track, *port) == wanted);
        if let Some((_, _, socket)) = socket {
            let _ = socket.try_send_to(&datagram.bytes, datagram.to);
        }
    }

    /// Receives the next datagram of any port; waits for ever if none is open.
    pub(super) async fn receive(&mut self) -> (u8, Port, SocketAddr, Bytes) {
        self.buffer.resize(MAX_DATAGRAM, 0);
        let Self { sockets, buffer } = self;
        poll_fn(|context| {
            for (track, port, socket) in &*sockets {
                for _ in 0..MAX_ERRORS {
                    let mut read = ReadBuf::new(buffer);
                    match socket.poll_recv_from(context, &mut read) {
                        Poll::Ready(Ok(from)) => {
                            let bytes = Bytes::copy_from_slice(read.filled());
                            return Poll::Ready((*track, *port, from, bytes));
                        }
                        // The error of an earlier datagram, which the camera refused.
                        Poll::Ready(Err(_)) => {}
                        Poll::Pending => break,
                    }
                }
            }
            Poll::Pending
        })
        .await
    }
}
