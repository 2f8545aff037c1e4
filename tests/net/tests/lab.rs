//! The lab itself: its NATs behave as documented, in the words of RFC 4787, and hole punching works
//! between two of them exactly where the table of paths says so.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use porthole_net_tests::pairs;
use porthole_test_support::lab::{Host, Lab, SERVER_ADDRESS, Side};
use porthole_test_support::nat::{Behaviour, NatKind};
use porthole_test_support::path::Path;
use porthole_test_support::program::{Place, Program};
use porthole_test_support::scene::{Need, scene};

/// A packet crosses the lab in microseconds; this is for a loaded machine.
const ARRIVAL: Duration = Duration::from_millis(500);
/// Time after the last packet in which an earlier one could still arrive by another path.
const STRAGGLER: Duration = Duration::from_millis(20);
const TCP_DEADLINE: Duration = Duration::from_secs(5);

use Behaviour::{AddressAndPortDependent, AddressDependent, EndpointIndependent};

#[test]
fn each_nat_maps_and_filters_as_documented() {
    //                         mapping, filtering
    let table = [
        (NatKind::Open, EndpointIndependent, EndpointIndependent),
        (NatKind::FullCone, EndpointIndependent, EndpointIndependent),
        (NatKind::Restricted, EndpointIndependent, AddressDependent),
        (NatKind::PortRestricted, EndpointIndependent, AddressAndPortDependent),
        (NatKind::Symmetric, AddressAndPortDependent, AddressAndPortDependent),
    ];
    scene("each_nat_maps_and_filters_as_documented", &[Need::Lab], |_| {
        let lab = Lab::new("rfc4787")?;
        let servers = Servers::open(lab.server())?;
        for (nat, mapping, filtering) in table {
            let documented = nat.behaviour().unwrap_or((EndpointIndependent, EndpointIndependent));
            ensure!(documented == (mapping, filtering), "{nat} is documented as {documented:?}");
            // One router per measurement, because a restricted one remembers contacted addresses.
            ensure!(servers.mapping(&lab.side(nat)?)? == mapping, "mapping of {nat}");
            ensure!(servers.filtering(&lab.side(nat)?)? == filtering, "filtering of {nat}");
        }
        Ok(())
    });
}

#[test]
fn udp_blocked_passes_tcp_and_nothing_else() {
    scene("udp_blocked_passes_tcp_and_nothing_else", &[Need::Lab], |_| {
        let lab = Lab::new("blocked")?;
        let side = lab.side(NatKind::UdpBlocked)?;
        let servers = Servers::open(lab.server())?;
        let client = socket(&side.host)?;
        client.send_to(b"hello", servers.sockets[0].local_addr()?)?;
        ensure!(receive(&servers.sockets[0], ARRIVAL)?.is_none(), "UDP is not blocked");

        let listener = lab.server().inside(|| TcpListener::bind((SERVER_ADDRESS, 80)))??;
        let address = listener.local_addr()?;
        side.host.inside(|| TcpStream::connect_timeout(&address, TCP_DEADLINE))??;
        let (_, from) = listener.accept()?;
        ensure!(from.ip() == side.public_address(), "TCP arrived from {from}");
        Ok(())
    });
}

/// Takes about 15 s, because it sets up 36 labs with up to six network namespaces each.
#[test]
fn hole_punching_works_exactly_where_the_table_says_direct() {
    let name = "hole_punching_works_exactly_where_the_table_says_direct";
    scene(name, &[Need::Lab], |_| {
        let mut wrong = Vec::new();
        for (one, other, path) in pairs() {
            let lab = Lab::new("punch")?;
            let direct = punch(&lab, &lab.side(one)?, &lab.side(other)?)?;
            if direct != (path == Path::Direct) {
                wrong.push(format!("{one} – {other}: expected {path:?}, direct {direct}"));
            }
        }
        ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
        Ok(())
    });
}

#[test]
fn hosts_behind_one_router_reach_each_other_inside_the_lan() {
    scene("hosts_behind_one_router_reach_each_other_inside_the_lan", &[Need::Lab], |_| {
        let lab = Lab::new("lan")?;
        let side = lab.side(NatKind::Symmetric)?;
        let neighbour = lab.host_behind(&side)?;
        let (one, other) = (socket(&side.host)?, socket(&neighbour)?);
        one.send_to(b"hello", (neighbour.address(), port(&other)?))?;
        let from = receive(&other, ARRIVAL)?.context("nothing arrived")?;
        ensure!(from.ip() == side.host.address(), "it arrived from {from}");
        Ok(())
    });
}

#[test]
fn a_cut_link_carries_nothing_until_it_is_restored() {
    scene("a_cut_link_carries_nothing_until_it_is_restored", &[Need::Lab], |_| {
        let lab = Lab::new("cut")?;
        let side = lab.side(NatKind::PortRestricted)?;
        let servers = Servers::open(lab.server())?;
        let client = socket(&side.host)?;
        let server = servers.sockets[0].local_addr()?;
        ensure!(servers.reflect(&client, 0).is_ok(), "the link does not work");
        lab.cut(&side.host)?;
        ensure!(client.send_to(b"hello", server).is_err(), "sending on a cut link succeeds");
        lab.restore(&side.host)?;
        ensure!(servers.reflect(&client, 0).is_ok(), "the restored link does not work");

        lab.lose(&side.host, 100)?;
        ensure!(servers.reflect(&client, 0).is_err(), "packets arrive although all are dropped");
        lab.lose(&side.host, 0)?;
        ensure!(servers.reflect(&client, 0).is_ok(), "packets are dropped although none should be");
        Ok(())
    });
}

#[test]
fn a_lab_leaves_neither_namespace_nor_process_behind() {
    scene("a_lab_leaves_neither_namespace_nor_process_behind", &[Need::Lab], |scene| {
        let lab = Lab::new("gone")?;
        let side = lab.side(NatKind::FullCone)?;
        let place = Place::On(&side.host);
        let mut sleeper = Program::start(scene, "sleep", place.command("sleep").arg("600"))?;
        let names = [side.host.name().to_owned(), lab.server().name().to_owned()];
        drop((lab, side));
        for name in names {
            ensure!(
                !std::path::Path::new("/run/netns").join(&name).exists(),
                "{name} still exists"
            );
        }
        sleeper.wait(ARRIVAL)?;
        Ok(())
    });
}

/// Sockets at two addresses and two ports, as NAT behavior discovery needs them (RFC 5780 §2).
struct Servers {
    /// At the first address and port, at the first address and second port, and at the second
    /// address and first port.
    sockets: [UdpSocket; 3],
}

impl Servers {
    fn open(host: &Host) -> Result<Self> {
        let second = Ipv4Addr::new(203, 0, 113, 11);
        host.add_address(second)?;
        let sockets = host.inside(|| -> Result<_> {
            let bind = |address, port| UdpSocket::bind((address, port));
            Ok([bind(SERVER_ADDRESS, 3000)?, bind(SERVER_ADDRESS, 3001)?, bind(second, 3000)?])
        })??;
        Ok(Self { sockets })
    }

    /// Returns the address from which the packets of a client arrive at one of the sockets.
    fn reflect(&self, client: &UdpSocket, server: usize) -> Result<SocketAddr> {
        let socket = &self.sockets[server];
        client.send_to(b"hello", socket.local_addr()?)?;
        receive(socket, ARRIVAL)?.with_context(|| format!("nothing arrived at server {server}"))
    }

    /// Measures the mapping behaviour (RFC 4787 §4.1).
    fn mapping(&self, side: &Side) -> Result<Behaviour> {
        let client = socket(&side.host)?;
        let [first, other_port, other_address] = [0, 1, 2].map(|n| self.reflect(&client, n));
        let (first, other_port, other_address) = (first?, other_port?, other_address?);
        ensure!(first.ip() == side.public_address(), "{} appeared as {first}", side.nat);
        Ok(match (first == other_port, first == other_address) {
            (true, true) => EndpointIndependent,
            (true, false) => AddressDependent,
            (false, _) => AddressAndPortDependent,
        })
    }

    /// Measures the filtering behaviour (RFC 4787 §5).
    fn filtering(&self, side: &Side) -> Result<Behaviour> {
        let client = socket(&side.host)?;
        let mapped = self.reflect(&client, 0)?;
        // From the contacted endpoint last, because its packet ends the wait.
        let [contacted, same_address, other_address] = &self.sockets;
        for socket in [other_address, same_address, contacted] {
            socket.send_to(b"hello", mapped)?;
        }
        let mut seen = Vec::new();
        while let Some(from) = receive(&client, ARRIVAL)? {
            seen.push(from);
            if from == contacted.local_addr()? {
                break;
            }
        }
        while let Some(from) = receive(&client, STRAGGLER)? {
            seen.push(from);
        }
        let saw = |socket: &UdpSocket| Ok::<_, anyhow::Error>(seen.contains(&socket.local_addr()?));
        ensure!(saw(contacted)?, "{}: the contacted endpoint is filtered", side.nat);
        Ok(match (saw(same_address)?, saw(other_address)?) {
            (_, true) => EndpointIndependent,
            (true, false) => AddressDependent,
            (false, false) => AddressAndPortDependent,
        })
    }
}

/// Punches holes in the simplest way: both sides learn their mapped address, send to each other's,
/// and reply to every packet that arrives. Returns true if packets arrive on both sides.
fn punch(lab: &Lab, one: &Side, other: &Side) -> Result<bool> {
    const ROUNDS: usize = 5;
    const ROUND: Duration = Duration::from_millis(10);
    let servers = Servers::open(lab.server())?;
    let clients = [socket(&one.host)?, socket(&other.host)?];
    let [Ok(first), Ok(second)] = [0, 1].map(|n| servers.reflect(&clients[n], 0)) else {
        return Ok(false);
    };
    let mut targets = [vec![second], vec![first]];
    let mut reached = [false; 2];
    for _ in 0..ROUNDS {
        for (client, targets) in clients.iter().zip(&targets) {
            for target in targets {
                client.send_to(b"punch", target)?;
            }
        }
        for n in [0, 1] {
            while let Some(from) = receive(&clients[n], ROUND)? {
                reached[n] = true;
                if !targets[n].contains(&from) {
                    targets[n].push(from);
                }
            }
        }
    }
    Ok(reached == [true; 2])
}

fn socket(host: &Host) -> Result<UdpSocket> {
    Ok(host.inside(|| UdpSocket::bind(SocketAddrV4::new(host.address(), 0)))??)
}

fn port(socket: &UdpSocket) -> Result<u16> {
    Ok(socket.local_addr()?.port())
}

/// Returns the source of the next packet, or `None` if none arrives in time.
fn receive(socket: &UdpSocket, within: Duration) -> Result<Option<SocketAddr>> {
    socket.set_read_timeout(Some(within))?;
    match socket.recv_from(&mut [0; 64]) {
        Ok((_, from)) => Ok(Some(from)),
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error.into()),
    }
}
