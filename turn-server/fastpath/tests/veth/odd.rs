//! What the kernel leaves to the sockets.

use std::net::UdpSocket;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use porthole_test_support::lab::SERVER_ADDRESS;
use porthole_test_support::scene::scene;
use porthole_test_support::wait;
use porthole_turn_fastpath::{Flow, Flows, Left, Lifetimes, Refused};

use crate::NEEDS;
use crate::road::{CHANNEL, Ends, LONG, Road, V4, V6, message, receive, run};

/// The sockets that a server would have for a flow.
struct Sockets<'a> {
    road: &'a Road,
    ends: &'a Ends,
    server: UdpSocket,
    relay: UdpSocket,
    left: Left,
}

impl<'a> Sockets<'a> {
    fn new(road: &'a Road, ends: &'a Ends) -> Result<Self> {
        let (server, relay) = (road.listen(&ends.flow.server)?, road.listen(&ends.flow.relay)?);
        Ok(Self { road, ends, server, relay, left: road.fast_path.left()? })
    }

    /// The client's packet comes to the server's socket as it is, and to nobody else.
    fn get_from_client(&self, what: &str, packet: &[u8]) -> Result<()> {
        self.ends.client_sends(packet).context(what.to_owned())?;
        self.have_from_client(what, packet)
    }

    fn have_from_client(&self, what: &str, packet: &[u8]) -> Result<()> {
        let got = receive(&self.server, self.ends.flow.client).context(what.to_owned())?;
        ensure!(got == packet, "{what}: {got:x?} instead of {packet:x?}");
        ensure!(self.ends.peer_is_left_alone()?, "{what}: it is relayed as well");
        Ok(())
    }

    fn get_from_peer(&self, what: &str, packet: &[u8]) -> Result<()> {
        self.ends.peer_sends(packet)?;
        let got = receive(&self.relay, self.ends.flow.peer).context(what.to_owned())?;
        ensure!(got == packet, "{what}: it is changed");
        ensure!(self.ends.client_is_left_alone()?, "{what}: it is relayed as well");
        Ok(())
    }

    fn kernel_relays(&self, what: &str) -> Result<()> {
        self.ends.client_sends(&message(CHANNEL, what.as_bytes()))?;
        ensure!(self.ends.peer_gets().context(what.to_owned())? == what.as_bytes());
        self.ends.peer_sends(what.as_bytes())?;
        let got = self.ends.client_gets().context(what.to_owned())?;
        ensure!(got == message(CHANNEL, what.as_bytes()), "{what}");
        Ok(())
    }

    /// One more was left for the reason that the closure counts, and none for another.
    fn left_for(&mut self, what: &str, more: impl Fn(&mut Left)) -> Result<()> {
        more(&mut self.left);
        let left = self.road.fast_path.left()?;
        ensure!(left == self.left, "{what}: {left:?} instead of {:?}", self.left);
        Ok(())
    }
}

#[test]
fn what_is_odd_goes_to_the_sockets() {
    scene("what_is_odd_goes_to_the_sockets", NEEDS, |_| {
        let road = Road::new("odd")?;
        for family in [V4, V6] {
            let ends = road.ends(family)?;
            let mut sockets = Sockets::new(&road, &ends)?;
            let mut flows = road.fast_path.flows();
            flows.install(1, &ends.flow, LONG)?;
            sockets.kernel_relays("usual")?;
            let whole = message(CHANNEL, b"seven b");
            let mut short = whole.clone();
            short[3] = 6;
            let mut long = whole.clone();
            long[3] = 8;
            for (what, packet) in [
                ("another channel", message(CHANNEL + 1, b"seven b")),
                ("a channel of RFC 5766", message(0x5000, b"seven b")),
                ("padded", [&whole[..], &[0]].concat()),
                ("longer than it says", short),
                ("shorter than it says", long),
                ("no header", vec![0x40, 1, 0]),
                ("empty", Vec::new()),
                ("a STUN request", vec![0, 1, 0, 0]),
            ] {
                sockets.get_from_client(what, &packet)?;
            }
            sockets.left_for("none was of the flow", |_| {})?;
            sockets.get_from_client("fragments", &message(CHANNEL, &[1; 4000]))?;
            sockets.left_for("fragments have no ports", |_| {})?;
            let largest = 1500 - 8 - if family == V4 { 20 } else { 40 };
            sockets.get_from_peer("no room for the header", &vec![2; largest])?;
            sockets.left_for("no room for the header", |left| left.mtu += 1)?;
            sockets.kernel_relays("as before")?;
        }
        Ok(())
    });
}

#[test]
fn a_packet_without_a_hop_left_or_a_checksum_goes_to_the_sockets() {
    scene("a_packet_without_a_hop_left_or_a_checksum_goes_to_the_sockets", NEEDS, |_| {
        let road = Road::new("hops")?;
        let ends = road.ends(V4)?;
        let mut sockets = Sockets::new(&road, &ends)?;
        let mut flows = road.fast_path.flows();
        flows.install(1, &ends.flow, LONG)?;
        let packet = message(CHANNEL, b"a packet");
        ends.client.set_ttl(1)?;
        sockets.get_from_client("the last hop", &packet)?;
        sockets.left_for("the last hop", |left| left.ttl += 1)?;
        ends.client.set_ttl(64)?;
        // With offloading on, nobody makes the checksum: the packet never sees a wire.
        run(&road.client.host, "ethtool -K eth0 tx on >/dev/null")?;
        sockets.get_from_client("unfinished", &packet)?;
        sockets.left_for("unfinished", |left| left.checksum += 1)?;
        run(&road.client.host, "ethtool -K eth0 tx off >/dev/null")?;
        let raw = road.client.host.inside(|| {
            socket2::Socket::new(
                socket2::Domain::IPV4,
                socket2::Type::RAW,
                Some(socket2::Protocol::UDP),
            )
        })??;
        let length = u16::try_from(8 + packet.len())?;
        let datagram = [
            &ends.flow.client.port().to_be_bytes()[..],
            &ends.flow.server.port().to_be_bytes(),
            &length.to_be_bytes(),
            &[0, 0],
            &packet,
        ]
        .concat();
        raw.send_to(&datagram, &ends.flow.server.into())?;
        sockets.have_from_client("no checksum", &packet)?;
        sockets.left_for("no checksum", |left| left.checksum += 1)?;
        sockets.kernel_relays("as before")
    });
}

#[test]
fn a_flow_ends_by_itself_unless_it_is_prolonged() {
    scene("a_flow_ends_by_itself_unless_it_is_prolonged", NEEDS, |_| {
        const SHORT: Duration = Duration::from_millis(300);
        const OVER: Lifetimes = Lifetimes::both(Duration::ZERO);
        let road = Road::new("ends")?;
        let ends = road.ends(V4)?;
        let mut sockets = Sockets::new(&road, &ends)?;
        let mut flows = road.fast_path.flows();
        flows.install(1, &ends.flow, Lifetimes::both(SHORT))?;
        std::thread::sleep(SHORT + Duration::from_millis(50));
        sockets.get_from_client("expired", &message(CHANNEL, b"late"))?;
        sockets.get_from_peer("expired", b"late")?;
        sockets.left_for("both", |left| left.expired += 2)?;
        flows.install(1, &ends.flow, LONG)?;
        ensure!(flows.collect().is_empty() && flows.len() == 1, "nothing was relayed");
        sockets.kernel_relays("prolonged")?;
        ensure!(flows.len() == 1, "it is the same flow");
        flows.install(2, &Flow { channel: CHANNEL + 1, ..ends.flow }, OVER)?;
        ensure!(flows.collect().len() == 1 && flows.len() == 1, "what is over is forgotten");
        flows.install(1, &ends.flow, LONG)?;
        flows.remove(&1);
        sockets.get_from_client("removed", &message(CHANNEL, b"gone"))?;
        flows.install(1, &ends.flow, LONG)?;
        sockets.kernel_relays("again")?;
        drop(flows);
        sockets.get_from_client("its owner is gone", &message(CHANNEL, b"gone"))?;
        sockets.get_from_peer("its owner is gone", b"gone")?;
        sockets.left_for("neither was of a flow", |_| {})
    });
}

/// A channel lives longer than its permission, which only what comes from the peer needs.
#[test]
fn each_direction_ends_at_its_own_time() {
    scene("each_direction_ends_at_its_own_time", NEEDS, |_| {
        let road = Road::new("ways")?;
        let ends = road.ends(V4)?;
        let mut sockets = Sockets::new(&road, &ends)?;
        let mut flows = road.fast_path.flows();
        let lifetimes = Lifetimes { to_client: Duration::ZERO, ..LONG };
        flows.install(1, &ends.flow, lifetimes)?;
        // The program's clock is read once in a tick.
        std::thread::sleep(Duration::from_millis(50));
        sockets.get_from_peer("its permission is over", b"late")?;
        sockets.left_for("to the client", |left| left.expired += 1)?;
        ends.client_sends(&message(CHANNEL, b"in time"))?;
        ensure!(ends.peer_gets()? == b"in time");
        ensure!(flows.collect().len() == 1 && flows.len() == 1, "it lives on");
        Ok(())
    });
}

#[test]
fn a_flow_follows_its_routes_and_is_refused_without() {
    scene("a_flow_follows_its_routes_and_is_refused_without", NEEDS, |_| {
        let road = Road::new("routes")?;
        let ends = road.ends(V4)?;
        let sockets = Sockets::new(&road, &ends)?;
        let mut flows: Flows<u8> = road.fast_path.flows();
        let other_family = Flow { peer: "[2001:db8::30]:5000".parse()?, ..ends.flow };
        let here = Flow { peer: ends.flow.server, ..ends.flow };
        ensure!(matches!(flows.install(1, &other_family, LONG), Err(Refused::Families)));
        let refused = flows.install(1, &here, LONG);
        ensure!(matches!(refused, Err(Refused::NotRouted(ip)) if ip == SERVER_ADDRESS));
        ensure!(flows.is_empty());
        flows.install(1, &ends.flow, LONG)?;
        sockets.kernel_relays("a route")?;
        let peer = road.peer.host.address();
        run(road.lab.server(), &format!("ip route add prohibit {peer}"))?;
        let followed = |what: &str, there: bool| {
            wait::until(what, Duration::from_secs(5), || {
                flows.follow_routes();
                ends.client_sends(&message(CHANNEL, b"where?"))?;
                Ok((ends.peer_is_left_alone()? != there).then_some(()))
            })
        };
        let mut followed = followed;
        followed("the flow is withdrawn", false)?;
        run(road.lab.server(), &format!("ip route del prohibit {peer}"))?;
        followed("the flow is back", true)
    });
}
