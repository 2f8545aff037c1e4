//! A network of client, server and peer, with the program attached to the server's interface.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use porthole_test_support::lab::{Host, Lab, SERVER_ADDRESS, Side};
use porthole_test_support::nat::NatKind;
use porthole_test_support::wait;
use porthole_turn_fastpath::{FastPath, Flow, Interfaces, Lifetimes};

pub(crate) const LONG: Lifetimes = Lifetimes::both(Duration::from_secs(600));
pub(crate) const CHANNEL: u16 = 0x4abc;
/// Time limit for a packet to arrive: microseconds, but more on a loaded machine.
const ARRIVAL: Duration = Duration::from_secs(3);
/// Time after which a packet that did not arrive counts as dropped.
const SILENCE: Duration = Duration::from_millis(50);
const READY: Duration = Duration::from_secs(15);
const SERVER_V6: &str = "2001:db8::10";
const CLIENT_V6: &str = "2001:db8::20";
const PEER_V6: &str = "2001:db8::30";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

pub(crate) use Family::{V4, V6};

#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) lab: Lab,
    pub(crate) client: Side,
    pub(crate) peer: Side,
    pub(crate) fast_path: FastPath,
    ports: AtomicU16,
}

/// The two ends of one flow.
#[derive(Debug)]
pub(crate) struct Endpoints {
    pub(crate) flow: Flow,
    pub(crate) client: UdpSocket,
    pub(crate) peer: UdpSocket,
}

impl Network {
    pub(crate) fn new(name: &str) -> Result<Self> {
        let lab = Lab::new(name)?;
        let (client, peer) = (lab.side(NatKind::Open)?, lab.side(NatKind::Open)?);
        let hosts = [(lab.server(), SERVER_V6), (&client.host, CLIENT_V6), (&peer.host, PEER_V6)];
        for (host, v6) in hosts {
            run(
                host,
                &format!(
                    "echo 0 > /proc/sys/net/ipv6/conf/eth0/disable_ipv6
                    ip addr add {v6}/64 dev eth0 nodad
                    ethtool -K eth0 tx off >/dev/null"
                ),
            )?;
        }
        let fast_path = lab.server().inside(|| {
            FastPath::start(&Interfaces::Auto, &[SERVER_ADDRESS.into(), SERVER_V6.parse()?])
                .context("cannot start the fast path")
        })??;
        let network = Self { lab, client, peer, fast_path, ports: AtomicU16::new(50_000) };
        network.wait_for_v6()?;
        Ok(network)
    }

    /// Makes the endpoints of a new flow, with its own ports except for the server's. They are the
    /// same in every run, and so is every checksum: one in 65536 would make the program leave a
    /// packet to the sockets.
    pub(crate) fn endpoints(&self, family: Family) -> Result<Endpoints> {
        let (server, client, peer): (IpAddr, IpAddr, IpAddr) = match family {
            V4 => (
                SERVER_ADDRESS.into(),
                self.client.host.address().into(),
                self.peer.host.address().into(),
            ),
            V6 => (SERVER_V6.parse()?, CLIENT_V6.parse()?, PEER_V6.parse()?),
        };
        let port = self.ports.fetch_add(1, Ordering::Relaxed);
        let client = bind(&self.client.host, (client, port).into())?;
        let peer = bind(&self.peer.host, (peer, port).into())?;
        let flow = Flow {
            client: client.local_addr()?,
            server: SocketAddr::new(server, 3478),
            relay: SocketAddr::new(server, port),
            peer: peer.local_addr()?,
            channel: CHANNEL,
        };
        Ok(Endpoints { flow, client, peer })
    }

    /// Opens a socket on the server.
    pub(crate) fn listen(&self, addr: &SocketAddr) -> Result<UdpSocket> {
        let socket = self.lab.server().inside(|| UdpSocket::bind(addr))??;
        socket.set_read_timeout(Some(ARRIVAL))?;
        Ok(socket)
    }

    /// Waits until neighbours are resolved, so that no test's first packet has to.
    fn wait_for_v6(&self) -> Result<()> {
        let server = self.listen(&SocketAddr::new(SERVER_V6.parse()?, 3478))?;
        server.set_read_timeout(Some(SILENCE))?;
        for (host, from) in [(&self.client.host, CLIENT_V6), (&self.peer.host, PEER_V6)] {
            let from: IpAddr = from.parse()?;
            wait::until("IPv6 reaches the server", READY, || {
                let Ok(socket) = host.inside(|| UdpSocket::bind((from, 0)))? else {
                    return Ok(None);
                };
                let sent = socket.send_to(b"hello", server.local_addr()?);
                Ok(sent.and_then(|_| server.recv(&mut [0; 16])).is_ok().then_some(()))
            })?;
        }
        Ok(())
    }
}

impl Endpoints {
    pub(crate) fn client_sends(&self, packet: &[u8]) -> Result<()> {
        self.client.send_to(packet, self.flow.server)?;
        Ok(())
    }

    pub(crate) fn peer_sends(&self, packet: &[u8]) -> Result<()> {
        self.peer.send_to(packet, self.flow.relay)?;
        Ok(())
    }

    /// Receives a packet at the peer, from the relay's address.
    pub(crate) fn peer_receives(&self) -> Result<Vec<u8>> {
        receive(&self.peer, self.flow.relay).context("the peer receives nothing")
    }

    /// Receives a packet at the client, from the server's address.
    pub(crate) fn client_receives(&self) -> Result<Vec<u8>> {
        receive(&self.client, self.flow.server).context("the client receives nothing")
    }

    pub(crate) fn peer_receives_nothing(&self) -> Result<bool> {
        is_silent(&self.peer)
    }

    pub(crate) fn client_receives_nothing(&self) -> Result<bool> {
        is_silent(&self.client)
    }
}

/// Makes a ChannelData message over UDP, without padding (RFC 8656 §12.5).
pub(crate) fn message(channel: u16, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).expect("a test's payload fits");
    [&channel.to_be_bytes()[..], &length.to_be_bytes(), payload].concat()
}

pub(crate) fn receive(socket: &UdpSocket, from: SocketAddr) -> Result<Vec<u8>> {
    let mut buffer = vec![0; 65_536];
    let (length, source) = socket.recv_from(&mut buffer)?;
    ensure!(source == from, "a packet from {source} instead of {from}");
    buffer.truncate(length);
    Ok(buffer)
}

pub(crate) fn run(host: &Host, script: &str) -> Result<()> {
    let output = host.command("sh").args(["-ec", script]).output()?;
    ensure!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

fn bind(host: &Host, addr: SocketAddr) -> Result<UdpSocket> {
    let socket = host.inside(|| UdpSocket::bind(addr))??;
    socket.set_read_timeout(Some(ARRIVAL))?;
    Ok(socket)
}

fn is_silent(socket: &UdpSocket) -> Result<bool> {
    socket.set_read_timeout(Some(SILENCE))?;
    let silent = socket.recv(&mut [0; 1]).is_err();
    socket.set_read_timeout(Some(ARRIVAL))?;
    Ok(silent)
}
