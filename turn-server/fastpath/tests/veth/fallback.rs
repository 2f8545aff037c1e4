//! Packets that the kernel leaves to the sockets.

use std::net::UdpSocket;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use porthole_test_support::lab::SERVER_ADDRESS;
use porthole_test_support::scene::scene;
use porthole_test_support::wait;
use porthole_turn_fastpath::{Fallbacks, Flow, Flows, InstallError, Lifetimes};

use crate::NEEDS;
use crate::network::{CHANNEL, Endpoints, LONG, Network, V4, V6, message, receive, run};

/// The sockets that a server has for a flow.
struct ServerSockets<'a> {
    network: &'a Network,
    endpoints: &'a Endpoints,
    server: UdpSocket,
    relay: UdpSocket,
    left: Fallbacks,
}

impl<'a> ServerSockets<'a> {
    fn new(network: &'a Network, endpoints: &'a Endpoints) -> Result<Self> {
        let (server, relay) =
            (network.listen(&endpoints.flow.server)?, network.listen(&endpoints.flow.relay)?);
        Ok(Self { network, endpoints, server, relay, left: network.fast_path.fallbacks()? })
    }

    /// Sends a packet from the client, which must reach the server's socket unchanged and no peer.
    fn receive_from_client(&self, what: &str, packet: &[u8]) -> Result<()> {
        self.endpoints.client_sends(packet).context(what.to_owned())?;
        self.expect_from_client(what, packet)
    }

    fn expect_from_client(&self, what: &str, packet: &[u8]) -> Result<()> {
        let got = receive(&self.server, self.endpoints.flow.client).context(what.to_owned())?;
        ensure!(got == packet, "{what}: {got:x?} instead of {packet:x?}");
        ensure!(self.endpoints.peer_receives_nothing()?, "{what}: it is relayed as well");
        Ok(())
    }

    fn receive_from_peer(&self, what: &str, packet: &[u8]) -> Result<()> {
        self.endpoints.peer_sends(packet)?;
        let got = receive(&self.relay, self.endpoints.flow.peer).context(what.to_owned())?;
        ensure!(got == packet, "{what}: it is changed");
        ensure!(self.endpoints.client_receives_nothing()?, "{what}: it is relayed as well");
        Ok(())
    }

    fn kernel_relays(&self, what: &str) -> Result<()> {
        self.endpoints.client_sends(&message(CHANNEL, what.as_bytes()))?;
        ensure!(self.endpoints.peer_receives().context(what.to_owned())? == what.as_bytes());
        self.endpoints.peer_sends(what.as_bytes())?;
        let got = self.endpoints.client_receives().context(what.to_owned())?;
        ensure!(got == message(CHANNEL, what.as_bytes()), "{what}");
        Ok(())
    }

    /// Checks that exactly the fallbacks counted by `more` were added.
    fn expect_fallback(&mut self, what: &str, more: impl Fn(&mut Fallbacks)) -> Result<()> {
        more(&mut self.left);
        let left = self.network.fast_path.fallbacks()?;
        ensure!(left == self.left, "{what}: {left:?} instead of {:?}", self.left);
        Ok(())
    }
}

#[test]
fn unusual_packets_go_to_the_sockets() {
    scene("unusual_packets_go_to_the_sockets", NEEDS, |_| {
        let network = Network::new("unusual")?;
        for family in [V4, V6] {
            let endpoints = network.endpoints(family)?;
            let mut sockets = ServerSockets::new(&network, &endpoints)?;
            let mut flows = network.fast_path.flows();
            flows.install(1, &endpoints.flow, LONG)?;
            sockets.kernel_relays("usual")?;
            let intact = message(CHANNEL, b"seven b");
            let mut short = intact.clone();
            short[3] = 6;
            let mut long = intact.clone();
            long[3] = 8;
            for (what, packet) in [
                ("another channel", message(CHANNEL + 1, b"seven b")),
                ("a channel of RFC 5766", message(0x5000, b"seven b")),
                ("padded", [&intact[..], &[0]].concat()),
                ("longer than its header says", short),
                ("shorter than its header says", long),
                ("no header", vec![0x40, 1, 0]),
                ("empty", Vec::new()),
                ("a STUN request", vec![0, 1, 0, 0]),
            ] {
                sockets.receive_from_client(what, &packet)?;
            }
            sockets.expect_fallback("none belonged to the flow", |_| {})?;
            sockets.receive_from_client("fragments", &message(CHANNEL, &[1; 4000]))?;
            sockets.expect_fallback("fragments have no ports", |_| {})?;
            let largest = 1500 - 8 - if family == V4 { 20 } else { 40 };
            sockets.receive_from_peer("no room for the header", &vec![2; largest])?;
            sockets.expect_fallback("no room for the header", |left| left.mtu += 1)?;
            sockets.kernel_relays("as before")?;
        }
        Ok(())
    });
}

#[test]
fn a_packet_with_ttl_1_or_without_a_checksum_goes_to_the_sockets() {
    scene("a_packet_with_ttl_1_or_without_a_checksum_goes_to_the_sockets", NEEDS, |_| {
        let network = Network::new("hops")?;
        let endpoints = network.endpoints(V4)?;
        let mut sockets = ServerSockets::new(&network, &endpoints)?;
        let mut flows = network.fast_path.flows();
        flows.install(1, &endpoints.flow, LONG)?;
        let packet = message(CHANNEL, b"a packet");
        endpoints.client.set_ttl(1)?;
        sockets.receive_from_client("the last hop", &packet)?;
        sockets.expect_fallback("the last hop", |left| left.ttl += 1)?;
        endpoints.client.set_ttl(64)?;
        // With offloading on, no checksum is computed: the packet never reaches a wire.
        run(&network.client.host, "ethtool -K eth0 tx on >/dev/null")?;
        sockets.receive_from_client("incomplete checksum", &packet)?;
        sockets.expect_fallback("incomplete checksum", |left| left.checksum += 1)?;
        run(&network.client.host, "ethtool -K eth0 tx off >/dev/null")?;
        let raw = network.client.host.inside(|| {
            socket2::Socket::new(
                socket2::Domain::IPV4,
                socket2::Type::RAW,
                Some(socket2::Protocol::UDP),
            )
        })??;
        let length = u16::try_from(8 + packet.len())?;
        let datagram = [
            &endpoints.flow.client.port().to_be_bytes()[..],
            &endpoints.flow.server.port().to_be_bytes(),
            &length.to_be_bytes(),
            &[0, 0],
            &packet,
        ]
        .concat();
        raw.send_to(&datagram, &endpoints.flow.server.into())?;
        sockets.expect_from_client("no checksum", &packet)?;
        sockets.expect_fallback("no checksum", |left| left.checksum += 1)?;
        sockets.kernel_relays("as before")
    });
}

#[test]
fn a_flow_expires_unless_it_is_prolonged() {
    scene("a_flow_expires_unless_it_is_prolonged", NEEDS, |_| {
        const SHORT: Duration = Duration::from_millis(300);
        const OVER: Lifetimes = Lifetimes::both(Duration::ZERO);
        let network = Network::new("endpoints")?;
        let endpoints = network.endpoints(V4)?;
        let mut sockets = ServerSockets::new(&network, &endpoints)?;
        let mut flows = network.fast_path.flows();
        flows.install(1, &endpoints.flow, Lifetimes::both(SHORT))?;
        std::thread::sleep(SHORT + Duration::from_millis(50));
        sockets.receive_from_client("expired", &message(CHANNEL, b"late"))?;
        sockets.receive_from_peer("expired", b"late")?;
        sockets.expect_fallback("both", |left| left.expired += 2)?;
        flows.install(1, &endpoints.flow, LONG)?;
        ensure!(flows.collect().is_empty() && flows.len() == 1, "nothing was relayed");
        sockets.kernel_relays("prolonged")?;
        ensure!(flows.len() == 1, "it is the same flow");
        flows.install(2, &Flow { channel: CHANNEL + 1, ..endpoints.flow }, OVER)?;
        ensure!(flows.collect().len() == 1 && flows.len() == 1, "an expired flow is removed");
        flows.install(1, &endpoints.flow, LONG)?;
        flows.remove(&1);
        sockets.receive_from_client("removed", &message(CHANNEL, b"gone"))?;
        flows.install(1, &endpoints.flow, LONG)?;
        sockets.kernel_relays("again")?;
        drop(flows);
        sockets.receive_from_client("its owner was dropped", &message(CHANNEL, b"gone"))?;
        sockets.receive_from_peer("its owner was dropped", b"gone")?;
        sockets.expect_fallback("neither belonged to a flow", |_| {})
    });
}

/// A channel lives longer than its permission, which only packets from the peer need.
#[test]
fn each_direction_has_its_own_deadline() {
    scene("each_direction_has_its_own_deadline", NEEDS, |_| {
        let network = Network::new("ways")?;
        let endpoints = network.endpoints(V4)?;
        let mut sockets = ServerSockets::new(&network, &endpoints)?;
        let mut flows = network.fast_path.flows();
        let lifetimes = Lifetimes { to_client: Duration::ZERO, ..LONG };
        flows.install(1, &endpoints.flow, lifetimes)?;
        // The program's clock advances once per tick.
        std::thread::sleep(Duration::from_millis(50));
        sockets.receive_from_peer("its permission has expired", b"late")?;
        sockets.expect_fallback("to the client", |left| left.expired += 1)?;
        endpoints.client_sends(&message(CHANNEL, b"in time"))?;
        ensure!(endpoints.peer_receives()? == b"in time");
        ensure!(flows.collect().len() == 1 && flows.len() == 1, "the flow still exists");
        Ok(())
    });
}

#[test]
fn a_flow_follows_its_routes_and_is_refused_without_one() {
    scene("a_flow_follows_its_routes_and_is_refused_without_one", NEEDS, |_| {
        let network = Network::new("routes")?;
        let endpoints = network.endpoints(V4)?;
        let sockets = ServerSockets::new(&network, &endpoints)?;
        let mut flows: Flows<u8> = network.fast_path.flows();
        let other_family = Flow { peer: "[2001:db8::30]:5000".parse()?, ..endpoints.flow };
        let here = Flow { peer: endpoints.flow.server, ..endpoints.flow };
        ensure!(matches!(flows.install(1, &other_family, LONG), Err(InstallError::Families)));
        let refused = flows.install(1, &here, LONG);
        ensure!(matches!(refused, Err(InstallError::NotRouted(ip)) if ip == SERVER_ADDRESS));
        ensure!(flows.is_empty());
        flows.install(1, &endpoints.flow, LONG)?;
        sockets.kernel_relays("a route")?;
        let peer = network.peer.host.address();
        run(network.lab.server(), &format!("ip route add prohibit {peer}"))?;
        let followed = |what: &str, there: bool| {
            wait::until(what, Duration::from_secs(5), || {
                flows.follow_routes();
                endpoints.client_sends(&message(CHANNEL, b"where?"))?;
                Ok((endpoints.peer_receives_nothing()? != there).then_some(()))
            })
        };
        let mut followed = followed;
        followed("the flow is withdrawn", false)?;
        run(network.lab.server(), &format!("ip route del prohibit {peer}"))?;
        followed("the flow is back", true)
    });
}
