//! The IP and UDP headers of relayed packets.

use std::io::Read as _;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use porthole_test_support::scene::scene;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::NEEDS;
use crate::network::{CHANNEL, LONG, Network, V4, message, run};

const PAYLOAD: &[u8] = b"an odd number of bytes!";
/// DSCP "expedited forwarding", ECN "congestion experienced".
const TOS: u32 = 46 << 2 | 3;
/// The DF flag of IPv4.
const DONT_FRAGMENT: u8 = 0x40;

/// RFC 8656 §14: TTL less one; DSCP, ECN and DF unchanged; both checksums correct.
#[test]
fn headers_are_those_of_a_relay() {
    scene("headers_are_those_of_a_relay", NEEDS, |_| {
        let network = Network::new("headers")?;
        let capture = |host: &porthole_test_support::lab::Host| -> Result<Socket> {
            let open = || Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::UDP));
            let socket = host.inside(open)??;
            socket.set_read_timeout(Some(Duration::from_secs(3)))?;
            Ok(socket)
        };
        for (no_discovery, flags) in [(0, DONT_FRAGMENT), (1, 0)] {
            for side in [&network.client, &network.peer] {
                // Path MTU discovery of sockets opened from now on.
                let setting = "/proc/sys/net/ipv4/ip_no_pmtu_disc";
                run(&side.host, &format!("echo {no_discovery} > {setting}"))?;
            }
            let endpoints = network.endpoints(V4)?;
            let mut flows = network.fast_path.flows();
            flows.install(1, &endpoints.flow, LONG)?;
            let (at_peer, at_client) =
                (capture(&network.peer.host)?, capture(&network.client.host)?);
            for socket in [&endpoints.client, &endpoints.peer] {
                socket.set_ttl(17)?;
                SockRef::from(socket).set_tos_v4(TOS)?;
            }
            endpoints.client_sends(&message(CHANNEL, PAYLOAD))?;
            check(&read(&at_peer)?, flags, PAYLOAD).context("to the peer")?;
            endpoints.peer_sends(PAYLOAD)?;
            let to_client = message(CHANNEL, PAYLOAD);
            check(&read(&at_client)?, flags, &to_client).context("to the client")?;
        }
        Ok(())
    });
}

fn read(mut socket: &Socket) -> Result<Vec<u8>> {
    let mut buffer = vec![0; 2048];
    let length = socket.read(&mut buffer).context("nothing arrives")?;
    buffer.truncate(length);
    Ok(buffer)
}

fn check(packet: &[u8], flags: u8, payload: &[u8]) -> Result<()> {
    let (ip, udp) = packet.split_at(20);
    ensure!(ip[0] == 0x45 && u32::from(ip[1]) == TOS, "{ip:x?}");
    ensure!(usize::from(u16::from_be_bytes([ip[2], ip[3]])) == packet.len());
    ensure!(ip[6] == flags, "DF stays as it is: {ip:x?}");
    ensure!(ip[8] == 16, "one hop less than 17: {ip:x?}");
    ensure!(sum(ip) == 0xffff, "the checksum of IP: {ip:x?}");
    let pseudo = [&ip[12..20], &[0, 17], &udp[4..6]].concat();
    ensure!(udp[6..8] != [0, 0] && sum(&[&pseudo[..], udp].concat()) == 0xffff, "UDP: {udp:x?}");
    ensure!(&udp[8..] == payload, "{udp:x?}");
    Ok(())
}

/// Sums bytes as in RFC 1071; the result is all ones if they contain their correct checksum.
fn sum(bytes: &[u8]) -> u32 {
    let words = bytes.chunks(2).map(|pair| match pair {
        [high, low] => u32::from(u16::from_be_bytes([*high, *low])),
        [high] => u32::from(*high) << 8,
        _ => 0,
    });
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum
}
