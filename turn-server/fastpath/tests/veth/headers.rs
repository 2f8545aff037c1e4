//! What becomes of the headers of IP and UDP.

use std::io::Read as _;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use porthole_test_support::scene::scene;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::NEEDS;
use crate::road::{CHANNEL, LONG, Road, V4, message, run};

const PAYLOAD: &[u8] = b"an odd number of bytes!";
/// Expedited forwarding, congestion experienced.
const TOS: u32 = 46 << 2 | 3;
/// Of the flags of IPv4.
const DONT_FRAGMENT: u8 = 0x40;

/// RFC 8656 §14: one hop less, DSCP, ECN and DF as they came; checksums of both headers are right.
#[test]
fn headers_are_those_of_a_relay() {
    scene("headers_are_those_of_a_relay", NEEDS, |_| {
        let road = Road::new("headers")?;
        let capture = |host: &porthole_test_support::lab::Host| -> Result<Socket> {
            let open = || Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::UDP));
            let socket = host.inside(open)??;
            socket.set_read_timeout(Some(Duration::from_secs(3)))?;
            Ok(socket)
        };
        for (no_discovery, flags) in [(0, DONT_FRAGMENT), (1, 0)] {
            for side in [&road.client, &road.peer] {
                // Of the path's MTU; new sockets do as this says.
                let setting = "/proc/sys/net/ipv4/ip_no_pmtu_disc";
                run(&side.host, &format!("echo {no_discovery} > {setting}"))?;
            }
            let ends = road.ends(V4)?;
            let mut flows = road.fast_path.flows();
            flows.install(1, &ends.flow, LONG)?;
            let (at_peer, at_client) = (capture(&road.peer.host)?, capture(&road.client.host)?);
            for socket in [&ends.client, &ends.peer] {
                socket.set_ttl(17)?;
                SockRef::from(socket).set_tos_v4(TOS)?;
            }
            ends.client_sends(&message(CHANNEL, PAYLOAD))?;
            check(&read(&at_peer)?, flags, PAYLOAD).context("to the peer")?;
            ends.peer_sends(PAYLOAD)?;
            let to_client = message(CHANNEL, PAYLOAD);
            check(&read(&at_client)?, flags, &to_client).context("to the client")?;
        }
        Ok(())
    });
}

fn read(mut socket: &Socket) -> Result<Vec<u8>> {
    let mut buffer = vec![0; 2048];
    let length = socket.read(&mut buffer).context("nothing comes")?;
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

/// RFC 1071, over bytes that hold their own checksum: all ones.
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
